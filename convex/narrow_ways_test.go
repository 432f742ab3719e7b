package convex_test

import (
	"testing"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// With four neurons the first way to them ends at 3.72, others at 3.46.
func TestNarrowGoesSeveralWays(t *testing.T) {
	x, y := data.PlantedReLU(60, 6, 5, 0.3, 7)
	p := convex.Problem{X: data.WithBias(x), Y: y, Beta: 0.688}
	wide, err := convex.Solve(t.Context(), p, &convex.Settings{Tol: 1e-4})
	if err != nil {
		t.Fatal(err)
	}
	sol, err := convex.Narrow(t.Context(), p, wide.Network, 4, nil)
	if err != nil || sol.Network.Neurons() > 4 || sol.Primal > 3.5 {
		t.Errorf("%v %v", sol, err)
	}
}
