package convex_test

import (
	"math"
	"testing"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// Losses with kinks are solved to the end, gated and with cones, from zero and on
// a path, at every weight decay. Steps from zero along the kinks would not get
// there: with the hinge at a hundredth they would stall at twice the optimum and more.
func TestWorkingSetKinks(t *testing.T) {
	w := data.Wine()
	z, err := data.FitStandardizer(w.X)
	if err != nil {
		t.Fatal(err)
	}
	X, err := z.Apply(w.X)
	if err != nil {
		t.Fatal(err)
	}
	x := data.WithBias(X)
	for i := range w.Y.Len() {
		w.Y.SetVec(i, 2*math.Min(1, math.Abs(w.Y.AtVec(i)-1))-1)
	}
	for _, arch := range []convex.Arch{convex.GatedReLU{}, convex.ReLU{}} {
		for _, loss := range []convex.Loss{convex.Hinge, convex.L1} {
			p := convex.Problem{X: x, Y: w.Y, Loss: loss, Arch: arch, Beta: 1}
			if p.Patterns, err = convex.SamplePatterns(x, 100, 1); err != nil {
				t.Fatal(err)
			}
			top, err := convex.BetaMax(t.Context(), p, nil)
			if err != nil {
				t.Fatal(err)
			}
			var warm *convex.Solution
			for _, ratio := range []float64{0.1, 0.01} {
				p.Beta = ratio * top
				var primal []float64
				for _, s := range []*convex.Settings{{}, {Warm: warm}} {
					s.Solver, s.Tol = "workingset", 1e-6
					sol, err := convex.Solve(t.Context(), p, s)
					if err != nil || sol.Status != convex.Optimal {
						t.Fatalf("%s, %s, %g of the largest weight decay: %v %v", arch.Name(), loss.Name, ratio, sol, err)
					}
					primal = append(primal, sol.Primal)
					warm = sol
				}
				if math.Abs(primal[0]-primal[1]) > 1e-5*primal[0] {
					t.Errorf("%s, %s, %g of the largest weight decay: from zero %g, on a path %g", arch.Name(), loss.Name, ratio, primal[0], primal[1])
				}
				if ratio == 0.01 {
					sol, err := convex.Solve(t.Context(), p, &convex.Settings{Solver: "interior", Tol: 1e-6})
					if err != nil || math.Abs(sol.Primal-primal[0]) > 1e-5*primal[0] {
						t.Errorf("%s, %s: %g, by the interior-point method %v %v", arch.Name(), loss.Name, primal[0], sol, err)
					}
				}
			}
		}
	}
}
