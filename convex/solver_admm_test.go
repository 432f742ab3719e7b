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
