package convex

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// The factor over the variables of one sign solves the same system as that over
// the rows.
func TestGramSolve(t *testing.T) {
	for _, c := range []struct {
		patches, outputs int
		signed, cones    bool
	}{{1, 1, false, false}, {1, 3, false, false}, {1, 1, true, true}, {2, 1, true, true}, {3, 1, true, false}} {
		rng := rand.New(rand.NewPCG(1, 2))
		n, d, P := 30, 4, 5
		X := mat.NewDense(n*c.patches, d, nil)
		for i := range X.RawMatrix().Data {
			X.RawMatrix().Data[i] = rng.NormFloat64()
		}
		pat, err := SamplePatterns(X, P, 1)
		if err != nil {
			t.Fatal(err)
		}
		m := &MaskedData{X: X, Patterns: pat, Outputs: c.outputs, Signed: c.signed, Patches: c.patches}
		prog := &Program{Samples: n, Outputs: c.outputs, Op: m.Op(), Blocks: m.Blocks()}
		if c.cones {
			prog.Cones = m.Cones()
		}
		sys, err := newADMMSystem(prog)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]float64, prog.Op.Cols)
		for i := range b {
			b[i] = rng.NormFloat64()
		}
		want, got, back := make([]float64, len(b)), make([]float64, len(b)), make([]float64, len(b))
		sys.solve(want, b)
		sys.cap = newGeneral(0, 0)
		signs := 1.0
		if c.signed {
			signs = 2
		}
		if err := sys.factorGram(m, signs); err != nil || sys.gram.Rows == 0 {
			t.Fatal(err)
		}
		sys.solve(got, b)
		sys.product(back, got)
		axpy(-1, b, back)
		axpy(-1, want, got)
		if norm2(got) > 1e-9*norm2(want) || norm2(back) > 1e-9*norm2(b) {
			t.Errorf("%+v: solutions differ by %g, residual %g", c, norm2(got), norm2(back))
		}
	}
}

// Whatever solver is asked, with no time it returns its start or better: that
// of the search for patterns, or the warm start. Given an optimum ADMM is there
// at once.
func TestStart(t *testing.T) {
	rng := rand.New(rand.NewPCG(63, 64))
	X, y := randomMatrix(rng, 20, 4), randomMatrix(rng, 20, 1)
	long := Problem{X: randomMatrix(rng, 12, 16), Y: randomMatrix(rng, 12, 1), Arch: CircularReLUCNN{}, Beta: 2}
	var err error
	if long.Patterns, err = SamplePatterns(long.X, 30, 1); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Problem{
		{X: X, Y: y, Arch: ReLU{}, Beta: 1},
		{X: X, Y: y, Arch: ReLU{}, Beta: 1, OutputBias: true},
		{X: X, Y: y, Arch: GatedReLU{}, Beta: 1},
		long,
	} {
		few := &Settings{MaxPatterns: 100, Tol: 1e-7}
		prog, err := Lower(t.Context(), p, few)
		if err != nil {
			t.Fatal(err)
		}
		optimal, err := SolveProgram(t.Context(), prog, few)
		if err != nil || optimal.Status != Optimal {
			t.Fatal(optimal, err)
		}
		for _, name := range Solvers() {
			solver, err := LookupSolver(name)
			if err != nil {
				t.Fatal(err)
			}
			if solver.Uses(prog) != nil {
				continue
			}
			start := few.StartPoint(prog)
			for _, warm := range []*Solution{nil, optimal} {
				if start == nil && warm == nil {
					continue
				}
				want := optimal.Certificate.Primal
				if warm == nil {
					if want, err = prog.Objective(start); err != nil {
						t.Fatal(err)
					}
				}
				sol, err := SolveProgram(t.Context(), prog, &Settings{Use: solver, Warm: warm, MaxIter: 1})
				if err != nil || !(sol.Certificate.Primal <= want*(1+1e-9)) {
					t.Errorf("%s, %s, warm %v: %v, want at most %g: %v", p.Arch.Name(), name, warm != nil, sol, want, err)
				}
			}
		}
		if (ADMM{}).Uses(prog) != nil {
			continue
		}
		at, err := SolveProgram(t.Context(), prog, &Settings{Use: ADMM{}, Warm: optimal, Tol: 1e-6})
		if err != nil || at.Status != Optimal || at.Iterations > 1 {
			t.Errorf("%s: ADMM leaves an optimum: %v %v", p.Arch.Name(), at, err)
		}
	}
}
