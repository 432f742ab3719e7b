package convex

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"
)

// The sample problems to many digits, against values certified elsewhere.
func TestInteriorSamples(t *testing.T) {
	files, _ := filepath.Glob("testdata/problems/*.json")
	solved := 0
	for _, name := range files {
		if strings.HasSuffix(name, ".expected.json") {
			continue
		}
		p, err := ReadProblem(name)
		if err != nil {
			continue // of an architecture that is not there
		}
		prog, err := Lower(context.Background(), p, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := (Interior{}).Uses(prog); err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		sol, err := SolveProgram(context.Background(), prog, &Settings{Use: Interior{}, Tol: 1e-9})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		solved++
		raw, err := os.ReadFile(strings.TrimSuffix(name, ".json") + ".expected.json")
		if err != nil {
			t.Error(err)
			continue
		}
		var want map[string]any
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		if prog.Relaxation {
			if cert := sol.Certificate; cert.Gap > 1e-9 || (sol.Status == Optimal) != (sol.Gap <= 1e-9) {
				t.Errorf("%s: %v, gap %.2e, of the relaxation %.2e", name, sol.Status, sol.Gap, cert.Gap)
			}
			continue
		}
		if sol.Status != Optimal {
			t.Errorf("%s: %v, gap %.2e", name, sol.Status, sol.Gap)
		}
		tol := 1e-7
		if own, ok := want["relative_tolerance"].(float64); ok {
			tol = max(tol, own) // the solver the sample is from was not as exact
		}
		if v, ok := want["optimum"].(float64); ok && math.Abs(sol.Primal-v) > tol*math.Abs(v) {
			t.Errorf("%s: %.12g, expected %.12g", name, sol.Primal, v)
		}
	}
	if solved == 0 {
		t.Error("no sample was solved")
	}
}

// matrixProgram is min loss(A vec(Z)) + penalty(Z), one block of r×c.
func matrixProgram(rng *rand.Rand, n, r, c int, loss Loss, pen Penalty) *Program {
	y := randomMatrix(rng, n, 1).RawMatrix().Data
	if loss.Name == "hinge" || loss.Name == "logistic" {
		for i, v := range y {
			y[i] = math.Copysign(1, v)
		}
	}
	f, err := loss.New(y)
	if err != nil {
		panic(err)
	}
	return &Program{Name: "matrix", Samples: n, Outputs: 1, Loss: f, Op: DenseOp(randomMatrix(rng, n, r*c)),
		Blocks: []Block{{0, r, c, 1}}, Penalty: pen}
}

// The interior method and proximal gradients agree on every penalty, and the
// conic form, where there is one, too.
func TestInteriorAgainstFISTA(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	ctx := context.Background()
	for _, pen := range []func(float64) Penalty{GroupL1, Lasso, PerOutput, Nuclear, Ridge} {
		for _, loss := range []Loss{Squared, Logistic, Huber(0.3)} {
			for _, shape := range [][3]int{{12, 4, 3}, {30, 3, 3}, {8, 5, 1}} {
				prog := matrixProgram(rng, shape[0], shape[1], shape[2], loss, pen(0.4))
				a, err := SolveProgram(ctx, prog, &Settings{Use: Interior{}, Tol: 1e-9})
				if err != nil {
					t.Fatal(err)
				}
				b, err := SolveProgram(ctx, prog, &Settings{Use: FISTA{}, Tol: 1e-9})
				if err != nil {
					t.Fatal(err)
				}
				if a.Status != Optimal || math.Abs(a.Primal-b.Primal) > 2e-9*math.Abs(b.Primal) {
					t.Errorf("%s %s %v: interior %.12g (%v, gap %.1e), fista %.12g (%v)", pen(1).Name, loss.Name, shape, a.Primal, a.Status, a.Gap, b.Primal, b.Status)
				}
				q, err := prog.Conic()
				if loss.Name == "logistic" {
					if err == nil {
						t.Error("logistic loss has a conic form")
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				c, err := SolveConic(ctx, q, nil)
				if err != nil {
					t.Fatal(err)
				}
				if c.Status != Optimal || math.Abs(c.Primal-a.Primal) > 1e-8*math.Abs(a.Primal) {
					t.Errorf("%s %s %v: conic form %v, interior %.12g", pen(1).Name, loss.Name, shape, c, a.Primal)
				}
				if v, err := prog.Objective(c.X[:prog.Op.Cols]); err != nil || math.Abs(v-a.Primal) > 1e-7*math.Abs(a.Primal) {
					t.Errorf("%s %s %v: the conic point has objective %v (%v), optimum %v", pen(1).Name, loss.Name, shape, v, err, a.Primal)
				}
			}
		}
	}
}

// Nuclear norm programs solved as semidefinite programs and as themselves.
func TestSDP(t *testing.T) {
	rng := rand.New(rand.NewPCG(63, 64))
	ctx := context.Background()
	X := randomMatrix(rng, 10, 3)
	gates, _ := SamplePatterns(X, 4, 1)
	gated, err := Lower(ctx, Problem{X: X, Y: randomMatrix(rng, 10, 3), Arch: GatedReLU{}, Beta: 0.3, Patterns: gates}, nil)
	if err != nil {
		t.Fatal(err)
	}
	progs := []*Program{gated,
		matrixProgram(rng, 9, 3, 5, Squared, Nuclear(0.5)), // linear convolutional: filter × patches
		matrixProgram(rng, 9, 4, 4, Hinge, Nuclear(0.2)),
		matrixProgram(rng, 9, 3, 4, L1, Nuclear(0.2)),
		matrixProgram(rng, 9, 4, 1, Squared, Nuclear(0.2)),
	}
	for _, prog := range progs {
		q, err := prog.SDP()
		if err != nil {
			t.Fatal(err)
		}
		if len(q.Semidefinite) != len(prog.Blocks) || len(q.SecondOrder) != 0 {
			t.Errorf("%s: cones %v and %v", prog.Name, q.SecondOrder, q.Semidefinite)
		}
		a, err := SolveConic(ctx, q, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := SolveProgram(ctx, prog, &Settings{Use: Interior{}, Tol: 1e-9})
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != Optimal || b.Status != Optimal || math.Abs(a.Primal-b.Primal) > 2e-9*math.Abs(b.Primal) {
			t.Errorf("%s %s: semidefinite program %v; program %.12g, %v, gap %.1e", prog.Name, prog.Loss.Name, a, b.Primal, b.Status, b.Gap)
		}
	}
	prog := matrixProgram(rng, 9, 3, 5, Squared, GroupL1(1))
	if _, err := prog.SDP(); err == nil || !strings.Contains(err.Error(), "nuclear") {
		t.Errorf("a group lasso as semidefinite program: %v", err)
	}
}

// Any linear cones, with any penalty, and blocks without penalty.
func TestInteriorCones(t *testing.T) {
	rng := rand.New(rand.NewPCG(65, 66))
	ctx := context.Background()
	for _, pen := range []Penalty{GroupL1(0.3), Lasso(0.2)} {
		for _, loss := range losses() {
			prog := matrixProgram(rng, 10, 8, 1, loss, pen)
			// Two blocks in cones and one free bias.
			prog.Blocks = []Block{{0, 4, 1, 1}, {4, 3, 1, 2}, {7, 1, 1, 0}}
			G := []*mat.Dense{randomMatrix(rng, 3, 4), randomMatrix(rng, 2, 3), nil}
			prog.Cones = &Cones{Name: "random", Block: func(b int) *mat.Dense { return G[b] }}
			a, err := SolveProgram(ctx, prog, &Settings{Use: Interior{}, Tol: 1e-8})
			if err != nil {
				t.Fatal(err)
			}
			b, err := SolveProgram(ctx, prog, &Settings{Use: ADMM{}, Tol: 1e-6})
			if err != nil {
				t.Fatal(err)
			}
			for i, blk := range prog.Blocks {
				for r := 0; G[i] != nil && r < G[i].RawMatrix().Rows; r++ {
					if v := dot(G[i].RawRowView(r), blk.Of(a.Certificate.X)); v < -1e-9 {
						t.Errorf("%s %s: row %d of cone %d is %v", pen.Name, loss.Name, r, i, v)
					}
				}
			}
			if a.Status != Optimal || a.Primal > b.Primal*(1+1e-8) || b.Primal > a.Primal*(1+1e-5) {
				t.Errorf("%s %s: interior %.10g (%v), admm %.10g (%v)", pen.Name, loss.Name, a.Primal, a.Status, b.Primal, b.Status)
			}
		}
	}
}

// A loss written in a cell, with Grad and Hess only.
func TestInteriorOwnLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(67, 68))
	prog := matrixProgram(rng, 15, 4, 2, Squared, GroupL1(0.5))
	// exp(x) - y x, a Poisson likelihood.
	y := make([]float64, 15)
	for i := range y {
		y[i] = float64(rng.IntN(4))
	}
	prog.Loss = Fn{Name: "poisson",
		Value: func(x []float64) float64 {
			s := 0.0
			for i, v := range x {
				s += math.Exp(v) - y[i]*v
			}
			return s
		},
		Grad: func(dst, x []float64) {
			for i, v := range x {
				dst[i] = math.Exp(v) - y[i]
			}
		},
		Hess: func(dst, x []float64) {
			for i, v := range x {
				dst[i] = math.Exp(v)
			}
		},
		Conj: func(v []float64) float64 {
			s := 0.0
			for i, u := range v {
				if u += y[i]; u < 0 {
					return math.Inf(1)
				} else if u > 0 {
					s += u*math.Log(u) - u
				}
			}
			return s
		},
	}
	sol, err := SolveProgram(context.Background(), prog, &Settings{Use: Interior{}, Tol: 1e-9})
	if err != nil || sol.Status != Optimal {
		t.Errorf("%v %v", sol, err)
	}
}

func randomVector(rng *rand.Rand, n int) []float64 { return randomMatrix(rng, n, 1).RawMatrix().Data }

func TestInteriorRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(69, 70))
	prog := matrixProgram(rng, 5, 2, 2, Squared, GroupL1(1))
	prog.Loss.Hess = nil
	if err := (Interior{}).Uses(prog); err == nil || !strings.Contains(err.Error(), "Hess") {
		t.Errorf("no Hessian: %v", err)
	}
	prog = matrixProgram(rng, 5, 2, 2, Squared, GroupL1(1))
	prog.Penalty = Penalty{Name: "mine", Value: prog.Penalty.Value}
	if err := (Interior{}).Uses(prog); err == nil || !strings.Contains(err.Error(), "Norm of penalty") {
		t.Errorf("unknown penalty: %v", err)
	}
	prog = matrixProgram(rng, 5, 2, 2, Squared, Nuclear(1))
	prog.Blocks = []Block{{0, 300, 300, 1}}
	if err := (Interior{}).Uses(prog); err == nil || !strings.Contains(err.Error(), "MiB") {
		t.Errorf("too large: %v", err)
	}
}

// Cones without interior: rows that are opposite, twice, zero, or nearly so.
func TestInteriorDegenerateCones(t *testing.T) {
	rng := rand.New(rand.NewPCG(73, 74))
	ctx := context.Background()
	a, b := randomVector(rng, 4), randomVector(rng, 4)
	minus := append([]float64(nil), a...)
	scale(-2, minus)
	for name, rows := range map[string][][]float64{
		"line":       {a, minus, b},
		"twice":      {a, a, b, b},
		"zero":       {a, make([]float64, 4), b},
		"point":      {{1, 0, 0, 0}, {-1, 0, 0, 0}, {0, 1, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}, {0, 0, -1, 0}, {0, 0, 0, 1}, {0, 0, 0, -1}},
		"near twice": {a, {a[0] * (1 + 1e-9), a[1], a[2], a[3]}, b},
	} {
		for _, loss := range losses() {
			prog := matrixProgram(rng, 12, 4, 2, loss, GroupL1(0.2))
			prog.Blocks = []Block{{0, 4, 1, 1}, {4, 4, 1, 1}}
			G := mat.NewDense(len(rows), 4, nil)
			for i, r := range rows {
				G.SetRow(i, r)
			}
			prog.Cones = &Cones{Name: name, Block: func(k int) *mat.Dense { return G }}
			sol, err := SolveProgram(ctx, prog, &Settings{Use: Interior{}})
			if err != nil {
				t.Fatal(err)
			}
			if sol.Status != Optimal {
				t.Errorf("%s %s: %v, gap %.1e, %d iterations", name, loss.Name, sol.Status, sol.Gap, sol.Iterations)
			}
		}
	}
}

// A deadline during a solve gives the best point so far.
func TestInteriorDeadline(t *testing.T) {
	rng := rand.New(rand.NewPCG(71, 72))
	X := randomMatrix(rng, 30, 4)
	p := Problem{X: X, Y: randomMatrix(rng, 30, 1), Beta: 0.01}
	p.Patterns, _ = SamplePatterns(X, 300, 1)
	sol, err := Solve(context.Background(), p, &Settings{Use: Interior{}, TimeLimit: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if sol.Status != TimeLimit && sol.Status != Optimal || sol.Lower > sol.Primal {
		t.Errorf("%v", sol)
	}
}
