package convex_test

import (
	"testing"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// TestHingeIsCertified: rounding took the dual point of samples beyond the margin
// out of the domain of hinge's conjugate, and nothing was proved.
func TestHingeIsCertified(t *testing.T) {
	for seed := uint64(1); seed < 4; seed++ {
		X, y := data.Spiral(30, 0.1, seed)
		X = data.WithBias(X)
		for _, arch := range []convex.Arch{convex.GatedReLU{}, convex.ReLU{}} {
			for _, beta := range []float64{0.5, 0.1, 0.01} {
				sol, err := convex.Solve(t.Context(), convex.Problem{X: X, Y: y, Arch: arch, Loss: convex.Hinge, Beta: beta}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if sol.Status != convex.Optimal || sol.Gap > 1e-6 {
					t.Errorf("%s, seed %d, beta %g: %s, gap %.1e", arch.Name(), seed, beta, sol.Status, sol.Gap)
				}
			}
		}
	}
}
