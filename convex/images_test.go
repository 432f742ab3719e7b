package convex_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// images are n of two classes of Fashion-MNIST (T-shirt and shirt), shrunk to
// 14×14 by the mean of 2×2 pixels, with labels ±1, for 3×3 filters at stride 3:
// 16 patches of 9 pixels.
func images(tb testing.TB, n int) convex.Problem {
	train, _, err := data.FashionMNIST()
	if err != nil {
		tb.Skip(err)
	}
	two, err := train.Classes(0, 6)
	if err == nil {
		two, err = two.Take(n)
	}
	if err != nil {
		tb.Fatal(err)
	}
	X := mat.NewDense(n, 14*14, nil)
	for i := range n {
		for r := range 28 {
			for c := range 28 {
				j := r/2*14 + c/2
				X.Set(i, j, X.At(i, j)+two.X.At(i, r*28+c)/4)
			}
		}
	}
	return convex.Problem{X: X, Y: two.Y, Patching: convex.Patching{Height: 14, Width: 14, FilterH: 3, FilterW: 3, Stride: 3}}
}

// BenchmarkImages trains every convolutional architecture on images; the gap is
// that between the network and the bound over all networks of the architecture.
// Run one at a time, with -benchtime 1x; memory is what the process took from
// the system, the data set included.
func BenchmarkImages(b *testing.B) {
	for _, c := range []struct {
		name string
		arch convex.Arch
		beta float64
	}{
		{"linear", convex.LinearCNN{}, 1},
		{"circular_linear", convex.CircularLinearCNN{}, 1},
		{"circular_relu", convex.CircularReLUCNN{}, 1},
		{"sum", convex.CNN{Pool: "sum"}, 1},
		{"average", convex.CNN{Pool: "average"}, 1},
		{"max", convex.CNN{Pool: "max"}, 1},
		{"flatten", convex.CNN{Pool: "flatten"}, 1},
		{"three_layer_untied", convex.ThreeLayerReLUCNN{}, 1},
		{"three_layer_tied", convex.ThreeLayerReLUCNN{Filters: "tied"}, 1},
	} {
		for _, n := range []int{100, 300} {
			b.Run(fmt.Sprintf("%s/n%d", c.name, n), func(b *testing.B) {
				p := images(b, n)
				p.Arch, p.Beta = c.arch, c.beta
				if strings.HasPrefix(c.name, "circular") {
					p.Patching = convex.Patching{} // their filters are as long as an image
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for b.Loop() {
					sol, err := convex.Solve(b.Context(), p, &convex.Settings{TimeLimit: time.Minute})
					if err != nil {
						b.Fatal(err)
					}
					runtime.ReadMemStats(&after)
					b.ReportMetric(float64(after.Sys>>20), "MiB")
					b.ReportMetric((sol.Primal-sol.GlobalLower)/sol.Primal, "gap")
					b.ReportMetric(sol.Primal, "objective")
					b.ReportMetric(float64(sol.Network.Neurons()), "neurons")
					b.Log(sol)
				}
			})
		}
	}
}
