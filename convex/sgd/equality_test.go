package sgd

import (
	"context"
	"testing"

	"github.com/gonvex/gonvex/convex"
)

// The best of many descents is the convex optimum, and none is below its bound,
// for the networks whose optimum is not that of one convex program of patterns.
func TestBestOfManyStarts(t *testing.T) {
	ctx := context.Background()
	for _, name := range []string{
		"cnn_flatten_b", "cnn_flatten_c", "relu_vector_a", "relu_vector_b", "relu_per_output_b",
		"three_layer_untied_b", "three_layer_tied_a", "three_layer_tied_b", "three_layer_tied_e",
		"circular_l3_a", "circular_l4_a",
	} {
		p, err := convex.ReadProblem("../testdata/problems/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		sol, err := convex.Solve(ctx, p, &convex.Settings{Tol: 1e-7})
		if err != nil || sol.Scope != convex.Global {
			t.Fatal(name, sol, err)
		}
		runs, err := Runs(ctx, p, &Options{Method: "adam", Step: 0.02, HalveEvery: 400, Epochs: 4000, Neurons: 20, TraceEvery: 400}, 30)
		if err != nil {
			t.Fatal(name, err)
		}
		best := runs[0]
		for _, r := range runs {
			if r.Objective < best.Objective {
				best = r
			}
			if v, err := r.Network.Objective(p); err != nil || v < sol.Lower {
				t.Errorf("%s: a run ended at %.12g, below the bound %.12g (%v)", name, v, sol.Lower, err)
			}
		}
		rel := best.Objective/sol.Primal - 1
		t.Logf("%s: optimum %.10g, bound %.10g, best of 30 %.10g (%+.1e)", name, sol.Primal, sol.Lower, best.Objective, rel)
		if rel > 1e-4 {
			t.Errorf("%s: best of 30 starts %.10g, optimum %.10g", name, best.Objective, sol.Primal)
		}
		// Trained networks start runs of their own.
		again, err := Train(ctx, p, &Options{Start: best.Network, Epochs: 1, Step: 1e-9})
		if err != nil || again.Objective > best.Objective*(1+1e-6) {
			t.Errorf("%s: started from %v: %v (%v)", name, best, again, err)
		}
	}
}
