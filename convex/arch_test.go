package convex_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/convextest"
)

// Every architecture's sample problem goes through the suite: the network's own
// objective is the program's, the gap closes, predictions agree.
func TestSampleArchitectures(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no problems", err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f, ".expected.json") {
			continue
		}
		p, err := convex.ReadProblem(f)
		if err != nil {
			t.Fatal(err)
		}
		seen[p.Arch.Name()] = true
		t.Run(p.Name, func(t *testing.T) { convextest.TestArch(t, p) })
	}
	for _, name := range convex.Archs() {
		if !seen[name] {
			t.Errorf("architecture %s has no sample in testdata/problems", name)
		}
	}
}

func TestDeepLinearWeights(t *testing.T) {
	p, err := convex.ReadProblem("testdata/problems/deep_linear_a.json")
	if err != nil {
		t.Fatal(err)
	}
	sol := convextest.TestArch(t, p)
	branches, err := p.Arch.(convex.DeepLinear).Weights(sol.Network)
	if err != nil || len(branches) == 0 {
		t.Fatal(branches, err)
	}
	// The product of the layers, summed over branches, predicts as the network.
	_, d := p.X.Dims()
	_, c := p.Y.Dims()
	Z := mat.NewDense(d, c, nil)
	for _, ws := range branches {
		if len(ws) != p.Arch.(convex.DeepLinear).Layers {
			t.Fatalf("%d layers", len(ws))
		}
		var W mat.Dense
		W.CloneFrom(ws[0])
		for _, w := range ws[1:] {
			var next mat.Dense
			next.Mul(&W, w)
			W.CloneFrom(&next)
		}
		Z.Add(Z, &W)
	}
	var want mat.Dense
	want.Mul(p.X, Z)
	got, err := sol.Predict(p.X)
	if err != nil || !mat.EqualApprox(got, &want, 1e-9) {
		t.Errorf("predictions of the layers' product differ (%v)", err)
	}
	// The standard network's own decay can only be larger at L ≥ 3 and rank
	// above one, and is the same for two layers.
	two, err := convex.DeepLinear{Layers: 2}.SchattenValue(p, Z)
	if err != nil || two < sol.Lower {
		t.Errorf("two layers: %v, bound %v (%v)", two, sol.Lower, err)
	}
}

func TestArchitectureErrors(t *testing.T) {
	X, Y := mat.NewDense(3, 2, []float64{1, 2, 3, 4, 5, 7}), mat.NewDense(3, 1, []float64{1, 2, 3})
	two := mat.NewDense(3, 2, nil)
	patches := []mat.Matrix{X, X}
	given, err := convex.NewPatterns(mat.NewDense(1, 6, []float64{1, 0, 0, 1, 0, 1}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p    convex.Problem
		want string
	}{
		{convex.Problem{X: X, Y: Y, Arch: convex.LeakyReLU{Slope: 1}}, "LeakyReLU.Slope is 1"},
		{convex.Problem{X: X, Y: two, Arch: convex.LeakyReLU{}}, "Y is 3×2"},
		{convex.Problem{X: X, Y: two, Arch: convex.Threshold{}}, "Y is 3×2"},
		{convex.Problem{X: X, Y: Y, Arch: convex.LinearCNN{}}, "takes Patches"},
		{convex.Problem{Patches: patches, Y: Y, Arch: convex.DeepLinear{}}, "takes X"},
		{convex.Problem{X: X, Y: Y, Arch: convex.DeepLinear{Layers: 1}}, "DeepLinear.Layers is 1"},
		{convex.Problem{Patches: patches, Y: Y, Arch: convex.CircularLinearCNN{}}, "takes X"},
		{convex.Problem{Patches: patches, Y: Y, Arch: convex.CircularReLUCNN{}}, "takes X"},
		{convex.Problem{X: X, Y: Y, Arch: convex.ThreeLayerReLUCNN{}}, "takes Patches"},
		{convex.Problem{Patches: patches, Y: two, Arch: convex.ThreeLayerReLUCNN{}}, "Y is 3×2"},
		{convex.Problem{Patches: patches, Y: Y, Arch: convex.ThreeLayerReLUCNN{Filters: "shared"}}, `Filters is "shared"`},
		{convex.Problem{Patches: patches, Y: Y, Arch: convex.ThreeLayerReLUCNN{}, Patterns: given}, "takes no Patterns"},
		{convex.Problem{X: X, Y: two, Arch: convex.CircularReLUCNN{}}, "Y is 3×2"},
		{convex.Problem{X: X, Y: Y, Arch: convex.CircularReLUCNN{Layers: 2}}, "Layers is 2"},
		{convex.Problem{X: X, Y: Y, Arch: convex.CircularReLUCNN{Layers: 4, FilterNorm: "l2"}}, "no l1 program is exact"},
		{convex.Problem{X: X, Y: Y, Arch: convex.CircularReLUCNN{FilterNorm: "l1"}}, `FilterNorm is "l1"`},
	} {
		c.p.Beta = 0.1
		if _, err := convex.Solve(t.Context(), c.p, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.p.Arch.Name(), err, c.want)
		}
	}
}

// The circular networks' filters keep their norm bound, and interior-point and
// first-order methods agree on the program.
func TestCircularReLUCNN(t *testing.T) {
	for _, name := range []string{"circular_l3_a", "circular_l4_a"} {
		p, err := convex.ReadProblem("testdata/problems/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		sol, err := convex.Solve(t.Context(), p, &convex.Settings{Solver: "interior", Tol: 1e-8})
		if err != nil || sol.Status != convex.Optimal {
			t.Fatal(sol, err)
		}
		arch := p.Arch.(convex.CircularReLUCNN)
		filters, err := arch.Filters(sol.Network)
		if err != nil || len(filters) != arch.Layers-2 {
			t.Fatal(len(filters), err)
		}
		_, d := p.X.Dims()
		for j := range sol.Network.Neurons() {
			// The eigenvalues of the circulant product, by brute force.
			C := mat.NewDense(d, d, nil)
			for i := range d {
				C.Set(i, i, 1)
			}
			for _, f := range filters {
				U := mat.NewDense(d, d, nil)
				for r := range d {
					for c := range d {
						U.Set(r, c, f.At(j, (r-c+d)%d))
					}
				}
				var next mat.Dense
				next.Mul(C, U)
				C.Copy(&next)
			}
			size := mat.Norm(C, 2)
			if arch.FilterNorm == "l2" {
				size = mat.Norm(filters[0].RowView(j), 2)
			}
			if math.Abs(size-1) > 1e-9 {
				t.Errorf("%s: the filters of neuron %d have norm %v", name, j, size)
			}
		}
	}
}

// The choices of patterns of two levels are those random networks show, and
// sampled ones give an upper bound.
func TestThreeLayerPatterns(t *testing.T) {
	p, err := convex.ReadProblem("testdata/problems/three_layer_untied_a.json")
	if err != nil {
		t.Fatal(err)
	}
	all, err := convex.Solve(t.Context(), p, nil)
	if err != nil || all.Status != convex.Optimal || all.Scope != convex.Global {
		t.Fatal(all, err)
	}
	if n, _ := p.Y.Dims(); all.Network.Neurons() > n {
		t.Errorf("%d neurons for %d samples", all.Network.Neurons(), n)
	}
	few, err := convex.Solve(t.Context(), p, &convex.Settings{MaxPatterns: 10, Samples: 20})
	if err != nil || few.Scope != convex.Restricted || few.Primal < all.Lower {
		t.Fatal(few, err)
	}
	// Random choices among very many find no pattern that was not enumerated:
	// the program over them is no better.
	many, err := convex.Solve(t.Context(), p, &convex.Settings{MaxPatterns: 10, Samples: 2000})
	if err != nil || many.Primal < all.Lower {
		t.Fatal(many, err)
	}
	if many.Program.Op.Cols > all.Program.Op.Cols {
		t.Errorf("%d variables sampled, %d enumerated", many.Program.Op.Cols, all.Program.Op.Cols)
	}
}

// A column of ones gives the all-on pattern, whose opposite a leaky network
// needs as well.
func TestLeakyReLUWithBiasColumn(t *testing.T) {
	X := mat.NewDense(5, 2, []float64{-2, 1, -1, 1, 0, 1, 1, 1, 2, 1})
	p := convex.Problem{X: X, Y: mat.NewDense(5, 1, []float64{1, -1, 1, 1, -1}), Arch: convex.LeakyReLU{Slope: -1}, Beta: 0.1}
	sol := convextest.TestArch(t, p)
	if r, c := sol.Program.Patterns.Gates.Dims(); r != 2 || c != sol.Program.Patterns.Len() {
		t.Errorf("gates are %d×%d for %d patterns", r, c, sol.Program.Patterns.Len())
	}
}
