package convex_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/convextest"
)

// searched are problems of the architectures whose neurons are searched for:
// two-pixel ones, which are exact, and larger ones, which are bounded.
func searched(rng *rand.Rand, n, h int) map[string]convex.Problem {
	patches := []mat.Matrix{randomDense(rng, n, h), randomDense(rng, n, h)}
	X, y, Y := randomDense(rng, n, h), randomDense(rng, n, 1), randomDense(rng, n, 2)
	return map[string]convex.Problem{
		"flatten":    {Patches: patches, Y: y, Arch: convex.CNN{Pool: "flatten"}, Beta: 0.3},
		"vector":     {X: X, Y: Y, Arch: convex.ReLU{}, Beta: 0.3},
		"per output": {X: X, Y: Y, Arch: convex.ReLU{Penalty: "per_output"}, Beta: 0.3},
		"untied":     {Patches: patches, Y: y, Arch: convex.ThreeLayerReLUCNN{}, Beta: 0.2},
		"tied":       {Patches: patches, Y: y, Arch: convex.ThreeLayerReLUCNN{Filters: "tied"}, Beta: 0.2},
	}
}

// Two-pixel filters are exact with every loss, with and without an output bias.
func TestSearchedArchitectures(t *testing.T) {
	for name, p := range searched(rand.New(rand.NewPCG(7, 1)), 4, 2) {
		for _, loss := range []convex.Loss{convex.Squared, convex.Logistic, convex.Hinge, convex.L1, convex.Huber(0.3)} {
			for _, bias := range []bool{false, true} {
				p := p
				p.Loss, p.OutputBias = loss, bias
				if loss.Name == "logistic" || loss.Name == "hinge" {
					labels := mat.DenseCopyOf(p.Y)
					labels.Apply(func(i, j int, v float64) float64 { return float64(1 - 2*((i+j)/2%2)) }, labels)
					p.Y = labels
				}
				t.Run(fmt.Sprintf("%s %s %v", name, loss.Name, bias), func(t *testing.T) {
					sol := convextest.TestArch(t, p)
					if sol.Scope != convex.Global {
						t.Errorf("scope %v", sol.Scope)
					}
					if (sol.Network.Bias != nil) != bias {
						t.Errorf("bias %v", sol.Network.Bias)
					}
				})
			}
		}
	}
}

// One pixel, one sample, zeros, equal patches, beta above its largest: the
// angle search has no general position to lean on.
func TestSearchedDegenerate(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 2))
	X := randomDense(rng, 3, 2)
	zero, one := mat.NewDense(3, 2, nil), mat.DenseCopyOf(X.Slice(0, 3, 0, 1))
	same := mat.NewDense(3, 2, []float64{1, 2, 1, 2, -2, -4})
	y := randomDense(rng, 3, 1)
	for name, patches := range map[string][]mat.Matrix{
		"zero": {zero, zero}, "a zero patch": {X, zero}, "one pixel": {one, one}, "equal": {X, X}, "parallel": {same, same},
		"one patch": {X}, "one sample": {X.Slice(0, 1, 0, 2), X.Slice(1, 2, 0, 2)},
	} {
		n, _ := patches[0].Dims()
		for _, arch := range []convex.Arch{convex.CNN{Pool: "flatten"}, convex.ThreeLayerReLUCNN{}, convex.ThreeLayerReLUCNN{Filters: "tied"}} {
			for _, beta := range []float64{0.1, 100} {
				p := convex.Problem{Patches: patches, Y: y.Slice(0, n, 0, 1), Arch: arch, Beta: beta}
				sol, err := convex.Solve(t.Context(), p, nil)
				if err != nil || sol.Status != convex.Optimal || sol.Scope != convex.Global {
					t.Errorf("%s, %v, beta %v: %v %v", name, arch, beta, sol, err)
				} else if (beta == 100 || name == "zero") && sol.Network.Neurons() != 0 {
					t.Errorf("%s, %v, beta %v: %d neurons", name, arch, beta, sol.Network.Neurons())
				}
			}
		}
	}
}

// Three pixels are not exact: the bound is below, the network above it and no
// worse than gated networks allow, and the same seed gives the same.
func TestSearchedBounded(t *testing.T) {
	for name, p := range searched(rand.New(rand.NewPCG(7, 3)), 4, 3) {
		sol := convextest.TestArch(t, p)
		again, err := convex.Solve(t.Context(), p, &convex.Settings{NoPrune: true})
		if err != nil || again.Primal != sol.Primal || again.Lower != sol.Lower {
			t.Errorf("%s: %v again %v (%v)", name, sol, again, err)
		}
		if bounded := name != "untied" && name != "per output"; bounded != sol.Program.Relaxation {
			t.Errorf("%s: %v", name, sol)
		} else if bounded && (sol.Status == convex.Optimal || sol.Gap > 0.9) {
			t.Errorf("%s: %v", name, sol)
		}
		t.Logf("%s: %v", name, sol)
	}
}

// With more patterns than can be listed the scope is restricted, bounds over all
// neurons stay bounds, and a stopped search returns what it has.
func TestSearchedRestricted(t *testing.T) {
	for name, p := range searched(rand.New(rand.NewPCG(7, 4)), 12, 3) {
		few := &convex.Settings{MaxPatterns: 20}
		if name == "per output" {
			few = nil
		}
		sol, err := convex.Solve(t.Context(), p, few)
		if err != nil || sol.Status != convex.Optimal {
			t.Fatal(name, sol, err)
		}
		if name != "per output" && sol.Scope != convex.Restricted || !(sol.GlobalLower > 0) || sol.GlobalLower > sol.Primal {
			t.Errorf("%s: %v, %v from %v", name, sol.Scope, sol.Primal, sol.GlobalLower)
		}
		if low, err := convex.NetworkBound(t.Context(), p, sol.Network); err != nil || !(low > 0) || low > sol.Primal {
			t.Errorf("%s: bound %v of the network (%v)", name, low, err)
		}
		random, err := convex.Solve(t.Context(), p, &convex.Settings{MaxPatterns: 20, Samples: 30})
		if err != nil || random.Primal < sol.Primal {
			t.Errorf("%s: %v of random neurons, %v of a search (%v)", name, random.Primal, sol.Primal, err)
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		for _, ctx := range []context.Context{stopped, late} {
			start := time.Now()
			sol, err := convex.Solve(ctx, p, few)
			if err != nil || sol.Network == nil || sol.Status == convex.Optimal && sol.Scope == convex.Global && name != "per output" {
				t.Errorf("%s: stopped: %v %v", name, sol, err)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("%s: stopped after %v", name, d)
			}
		}
	}
}

func TestSearchedErrors(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 5))
	X, y := randomDense(rng, 4, 2), randomDense(rng, 4, 1)
	pat, err := convex.SamplePatterns(X, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	net := searched(rng, 4, 2)["flatten"]
	sol, err := convex.Solve(t.Context(), net, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sol.Network.PredictPatches(net.Patches[:1]); err == nil || !strings.Contains(err.Error(), "2 patches") {
		t.Error(err)
	}
	for _, c := range []struct {
		p    convex.Problem
		want string
	}{
		{convex.Problem{X: X, Y: y, Arch: convex.CNN{Pool: "flatten"}}, "takes Patches"},
		{convex.Problem{Patches: []mat.Matrix{X}, Y: y, Arch: convex.CNN{Pool: "flatten"}, Patterns: pat}, "takes no Patterns"},
		{convex.Problem{Patches: []mat.Matrix{X}, Y: X, Arch: convex.CNN{Pool: "flatten"}}, "has one output"},
		{convex.Problem{Patches: []mat.Matrix{X}, Y: y, Arch: convex.CNN{Pool: "flat"}}, "sum, average, max or flatten"},
		{convex.Problem{X: X, Y: X, Arch: convex.ReLU{}, Patterns: pat}, "takes no Patterns"},
		{convex.Problem{X: X, Y: X, Arch: convex.ReLU{Penalty: "nuclear"}}, "want per_output"},
		{convex.Problem{Patches: []mat.Matrix{X}, Y: X, Arch: convex.ReLU{}}, "not Patches"},
	} {
		c.p.Beta = 0.1
		if _, err := convex.Solve(t.Context(), c.p, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}
