package convex

import (
	"math/rand/v2"
	"testing"
)

func TestCholeskyBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, n := range []int{1, 5, 127, 128, 129, 400} {
		a, c := newGeneral(n, n+3), newGeneral(n, n)
		for i := range a.Data {
			a.Data[i] = rng.NormFloat64()
		}
		syrkLower(1, a, 0, c)
		b, x := make([]float64, n), make([]float64, n)
		for i := range b {
			b[i] = rng.NormFloat64()
			c.Data[i*n+i]++
		}
		for i := range b { // x = C b from the lower triangle
			for j := range b {
				if j <= i {
					x[i] += c.Data[i*n+j] * b[j]
				} else {
					x[i] += c.Data[j*n+i] * b[j]
				}
			}
		}
		if !cholLower(c) {
			t.Fatalf("n=%d: not positive definite", n)
		}
		cholSolve(c, x)
		if e := maxDiff(x, b); e > 1e-8 {
			t.Errorf("n=%d: error %g", n, e)
		}
	}
}
