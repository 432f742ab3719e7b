package sgd

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gonvex/gonvex/convex"
)

// For every architecture: the gradient is that of the objective by differences,
// and the best of a few starts is the convex optimum, with a network whose
// objective, recomputed from scratch, is what the run says.
func TestLBFGS(t *testing.T) {
	files, err := filepath.Glob("../testdata/problems/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".expected.json") {
			continue
		}
		p, err := convex.ReadProblem(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(p.Name, func(t *testing.T) {
			o := &Options{Method: "lbfgs", Neurons: 12, Seed: 1}
			if p.Arch.Name() == "threshold" {
				o.Neurons = 2000 // random ones, of which the output layer takes its pick
			}
			if p.Arch.Name() == "gated_relu" {
				o.Neurons = 0
			}
			if p.Arch.Name() != "threshold" {
				resolved, err := o.resolve(1)
				if err != nil {
					t.Fatal(err)
				}
				value, size, _, _, err := objectiveOf(t.Context(), p, o, resolved)
				if err != nil {
					t.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(3, 3))
				theta, grad, none := make([]float64, size), make([]float64, size), make([]float64, size)
				for i := range theta {
					theta[i] = rng.NormFloat64()
				}
				if _, err := value(theta, grad); err != nil {
					t.Fatal(err)
				}
				for range 30 {
					i := rng.IntN(size)
					const h = 1e-6
					x := theta[i]
					theta[i] = x + h
					up, _ := value(theta, none)
					theta[i] = x - h
					down, _ := value(theta, none)
					theta[i] = x
					if d := (up - down) / (2 * h); math.Abs(d-grad[i]) > 1e-4*(1+math.Abs(d)) {
						t.Errorf("weight %d: gradient %v, by differences %v", i, grad[i], d)
					}
				}
			}
			runs, err := Runs(t.Context(), p, o, 12)
			if err != nil {
				t.Fatal(err)
			}
			sol, err := convex.Solve(t.Context(), p, nil)
			if err != nil {
				t.Fatal(err)
			}
			best := math.Inf(1)
			for _, r := range runs {
				v, err := r.Network.Objective(p)
				if err != nil || v > r.Objective*(1+1e-9) {
					t.Errorf("the network has objective %v, the run says %v (%v)", v, r.Objective, err)
				}
				if v < sol.Lower*(1-1e-12) {
					t.Errorf("objective %v below the bound %v", v, sol.Lower)
				}
				best = math.Min(best, r.Objective)
			}
			t.Logf("optimum %.10g, best of 12 starts %.10g (%.1e)", sol.Primal, best, best/sol.Primal-1)
			if best > sol.Primal*1.05 {
				t.Errorf("best of 12 starts %v, optimum %v", best, sol.Primal)
			}
		})
	}
}
