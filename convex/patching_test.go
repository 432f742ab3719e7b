package convex_test

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/convextest"
)

// Patches against the definition, for every stride, padding and filter that fits.
func TestPatching(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 0))
	const H, W, C, n = 4, 5, 2, 3
	X := randomDense(rng, n, H*W*C)
	pixel := func(i, c, y, x int) float64 {
		if y < 0 || y >= H || x < 0 || x >= W {
			return 0
		}
		return X.At(i, (c*H+y)*W+x)
	}
	count := 0
	for _, g := range []convex.Patching{
		{FilterH: 3, FilterW: 3}, {FilterH: 3}, {FilterH: 4, FilterW: 5}, {FilterH: 1, FilterW: 2, Stride: 2},
		{FilterH: 3, FilterW: 2, Padding: 1}, {FilterH: 3, FilterW: 3, Padding: 2, Stride: 3},
	} {
		g.Height, g.Width, g.Channels = H, W, C
		patches, err := g.Patches(X)
		if err != nil {
			t.Fatal(g, err)
		}
		rows, cols, err := g.Positions()
		if err != nil || rows*cols != len(patches) {
			t.Fatalf("%v: %d×%d positions, %d patches (%v)", g, rows, cols, len(patches), err)
		}
		fh, fw, stride := g.FilterH, g.FilterW, max(g.Stride, 1)
		if fw == 0 {
			fw = fh
		}
		k := 0
		for y := -g.Padding; y+fh <= H+g.Padding; y += stride {
			for x := -g.Padding; x+fw <= W+g.Padding; x += stride {
				for i := range n {
					for c := range C {
						for dy := range fh {
							for dx := range fw {
								if got, want := patches[k].At(i, (c*fh+dy)*fw+dx), pixel(i, c, y+dy, x+dx); got != want {
									t.Fatalf("%v: patch %d at (%d,%d,%d,%d) is %v, want %v", g, k, i, c, dy, dx, got, want)
								}
								count++
							}
						}
					}
				}
				k++
			}
		}
		if k != len(patches) {
			t.Errorf("%v: %d patches, want %d", g, len(patches), k)
		}
	}
	if count == 0 {
		t.Error("nothing compared")
	}
	for _, c := range []struct {
		g    convex.Patching
		want string
	}{
		{convex.Patching{Height: 4, Width: 5, Channels: 2}, "filter is 0×0"},
		{convex.Patching{Height: 4, Width: 5, Channels: 2, FilterH: 5, FilterW: 5}, "must fit"},
		{convex.Patching{Height: 4, Width: 5, Channels: 2, FilterH: 2, Stride: -1}, "Stride is -1"},
		{convex.Patching{Height: 4, Width: 5, Channels: 2, FilterH: 2, Padding: -1}, "Padding is -1"},
		{convex.Patching{Height: 4, Width: 5, Channels: 2, FilterH: 2, Padding: 2}, "Padding is 2"},
		{convex.Patching{Height: 5, Width: 5, FilterH: 2}, "X is 3×40"},
		{convex.Patching{FilterH: 2}, "images are 0×0"},
	} {
		if _, err := c.g.Patches(X); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", c.g, err, c.want)
		}
	}
}

// Every convolutional architecture trains on images as on the patches cut by
// hand, predicts on images, and goes through a problem file.
func TestImages(t *testing.T) {
	rng := rand.New(rand.NewPCG(32, 0))
	X, y := randomDense(rng, 6, 9), randomDense(rng, 6, 1)
	g := convex.Patching{Height: 3, Width: 3, FilterH: 2, FilterW: 2, Stride: 1}
	patches, err := g.Patches(X)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, name := range convex.Archs() {
		arch, err := convex.LookupArch(name)
		if err != nil {
			t.Fatal(err)
		}
		p := convex.Problem{X: X, Y: y, Arch: arch, Beta: 0.1, Patching: g}
		by := convex.Problem{Patches: patches, Y: y, Arch: arch, Beta: 0.1}
		s := &convex.Settings{Samples: 20, MaxPatterns: 500}
		hand, err := convex.Solve(t.Context(), by, s)
		if err != nil {
			if !strings.Contains(err.Error(), "takes X") {
				t.Errorf("%s: %v", name, err)
			}
			continue // takes X
		}
		tried++
		t.Run(name, func(t *testing.T) {
			sol, err := convex.Solve(t.Context(), p, s)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(sol.Primal-hand.Primal) > 1e-9*hand.Primal {
				t.Errorf("objective %v on images, %v on patches", sol.Primal, hand.Primal)
			}
			f, err := sol.Predict(X)
			if err != nil {
				t.Fatal(err)
			}
			want, err := sol.Network.PredictPatches(patches)
			if err != nil || !mat.EqualApprox(f, want, 1e-12) {
				t.Errorf("predictions differ (%v)", err)
			}
			if _, err := sol.Predict(randomDense(rng, 2, 4)); err == nil || !strings.Contains(err.Error(), "want 9 columns") {
				t.Errorf("images of another size: %v", err)
			}
			file := filepath.Join(t.TempDir(), "images.json")
			if err := p.Save(file); err != nil {
				t.Fatal(err)
			}
			back, err := convex.ReadProblem(file)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := sol.Network.Objective(back); err != nil || math.Abs(v-sol.Primal) > 1e-12*v {
				t.Errorf("the problem read back has objective %v, want %v (%v)", v, sol.Primal, err)
			}
			if text, _ := os.ReadFile(file); !strings.Contains(string(text), `"shape": [3,3]`) {
				t.Errorf("the file is %s", text)
			}
			p.Patching.Stride = 2 // a changed Patching is a changed problem
			if one, err := convex.Solve(t.Context(), p, s); err != nil || one.Primal == sol.Primal {
				t.Errorf("stride 2: %v (%v)", one, err)
			}
		})
	}
	if tried < 2 {
		t.Errorf("%d convolutional architectures", tried)
	}
	for want, p := range map[string]convex.Problem{
		"takes X, not Patches":  {X: X, Y: y, Beta: 1, Patching: g},
		"both Patches and":      {X: X, Patches: patches, Arch: convex.CNN{}, Y: y, Beta: 1, Patching: g},
		"X is nil":              {Arch: convex.CNN{}, Y: y, Beta: 1, Patching: g},
		"Y is 1×6 but X is 6×9": {X: X, Arch: convex.CNN{}, Y: y.T(), Beta: 1, Patching: g},
	} {
		if _, err := convex.Solve(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	for fields, want := range map[string]string{
		`"shape": [3, 3]`:                                 `"filter"`,
		`"filter": 2`:                                     `"shape"`,
		`"shape": [3], "filter": 2`:                       `"shape" is [3]`,
		`"shape": [3, 3], "filter": "a"`:                  `"filter"`,
		`"shape": [3, 3], "filter": 2, "stride": 0`:       `"stride" is 0`,
		`"shape": [3, 3], "filter": 2, "padding": 0.5`:    `"padding" is 0.5`,
		`"shape": [3, 4], "filter": 2`:                    `want 12 columns`,
		`"shape": [3, 3], "filter": [4, 2]`:               `must fit`,
		`"shape": [3, 3], "filter": 2, "patterns": [[1]]`: `want P rows of 4`,
	} {
		file := filepath.Join(t.TempDir(), "p.json")
		os.WriteFile(file, []byte(`{"architecture": "cnn", "beta": 1, "X": [[1,2,3,4,5,6,7,8,9]], "Y": [1], `+fields+`}`), 0o644)
		if _, err := convex.ReadProblem(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", fields, err, want)
		}
	}
	convextest.TestArch(t, convex.Problem{X: X, Y: y, Arch: convex.CNN{}, Beta: 0.1, Patching: g, Seed: 1, Patterns: somePatterns(t, patches)})
}

// somePatterns are sampled patterns of all patches.
func somePatterns(t *testing.T, patches []mat.Matrix) *convex.Patterns {
	t.Helper()
	n, h := patches[0].Dims()
	M := mat.NewDense(n*len(patches), h, nil)
	for k, P := range patches {
		M.Slice(k*n, (k+1)*n, 0, h).(*mat.Dense).Copy(P)
	}
	pat, err := convex.SamplePatterns(M, 30, 1)
	if err != nil {
		t.Fatal(err)
	}
	return pat
}
