package lapack_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	_ "github.com/gonvex/gonvex/lapack"
)

// Singular values without vectors of matrices of every proportion: netlib's
// workspace query answered too little for very wide and very tall ones.
func TestSingularValuesOfEveryShape(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][2]int{{1, 1}, {1, 700}, {700, 1}, {2, 50}, {9, 676}, {676, 9}, {30, 31}, {70, 500}, {500, 70}, {130, 4000}} {
		r, c := shape[0], shape[1]
		A := mat.NewDense(r, c, nil)
		sum := 0.0
		A.Apply(func(_, _ int, _ float64) float64 { v := rng.NormFloat64(); sum += v * v; return v }, A)
		for _, kind := range []mat.SVDKind{mat.SVDNone, mat.SVDThin, mat.SVDThinU, mat.SVDThinV} {
			var svd mat.SVD
			if !svd.Factorize(A, kind) {
				t.Fatalf("%d×%d, kind %v: no convergence", r, c, kind)
			}
			got := 0.0
			for _, s := range svd.Values(nil) {
				got += s * s
			}
			if math.Abs(got-sum) > 1e-9*sum {
				t.Errorf("%d×%d, kind %v: squares of the singular values sum to %v, of the entries to %v", r, c, kind, got, sum)
			}
		}
	}
}
