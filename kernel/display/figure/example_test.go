package figure_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/plot"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
	"github.com/gonvex/gonvex/convex/sgd"
	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/display/figure"
)

// The objective closes in on its bound; beside it the gap on logarithmic axes.
func ExampleConvergence() {
	X, y := data.Spiral(40, 0.1, 1)
	sol, err := convex.Solve(context.Background(), convex.Problem{X: data.WithBias(X), Y: y, Loss: convex.Logistic, Beta: 0.1}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	gap := figure.New("Duality gap", "time (s)", "relative gap")
	figure.LogY(gap)
	figure.Gaps(gap, 0, sol.Solver, sol)
	f := display.Figure{Plots: [][]*plot.Plot{{figure.Convergence("Training", sol), gap}}}
	fmt.Println(f)
	// Output: plot: Training: Duality gap
}

// Ten starts of gradient descent: the median over a band of all, and the
// certified optimum below them.
func ExampleBand() {
	x, y := data.Toy1D()
	p := convex.Problem{X: data.WithBias(x), Y: y, Beta: 1e-2}
	ctx := context.Background()
	best, err := convex.Solve(ctx, p, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	runs, err := sgd.Runs(ctx, p, &sgd.Options{Method: "momentum", Step: 0.03, Neurons: 8, Epochs: 2000, Seed: 1}, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	var objectives [][]float64
	for _, r := range runs {
		objectives = append(objectives, r.TraceObjective())
	}
	fig := figure.New("Gradient descent, 10 starts", "epochs", "training objective")
	figure.LogY(fig)
	figure.Band(fig, 0, "m = 8", runs[0].TraceEpochs(), objectives)
	figure.Level(fig, "optimal", best.Primal)
	display.Show(fig)
	// Output: plot: Gradient descent, 10 starts
}

func ExampleRegions() {
	X, y := data.Moons(40, 0.1, 1)
	Xb := data.WithBias(X)
	sol, err := convex.Solve(context.Background(), convex.Problem{X: Xb, Y: y, Loss: convex.Logistic, Beta: 0.1}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := figure.Regions("Two moons", sol.Predict, Xb, y)
	if err != nil {
		fmt.Println(err)
		return
	}
	display.Show(p)
	// Output: plot: Two moons
}

func ExampleSpectrum() {
	u := make([]float64, 16)
	for i := range u {
		u[i] = math.Cos(2 * math.Pi * 3 * float64(i) / 16)
	}
	p := figure.New("A cosine of frequency 3/16", "frequency (cycles/sample)", "amplitude")
	figure.Spectrum(p, 0, "u", u)
	display.Show(p)
	// Output: plot: A cosine of frequency 3/16
}

func ExampleFilters() {
	W := mat.NewDense(2, 9, []float64{
		-1, 0, 1, -2, 0, 2, -1, 0, 1,
		-1, -2, -1, 0, 0, 0, 1, 2, 1,
	})
	p, err := figure.Filters("Two edges", W, 3, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	display.Show(p)
	// Output: plot: Two edges
}

func ExampleSparsityPath() {
	X, y := data.PlantedReLU(20, 2, 3, 0.1, 1)
	path, err := convex.SolvePath(context.Background(), convex.Problem{X: X, Y: y, Beta: 1}, &convex.PathOptions{Count: 10, Ratio: 1e-2})
	if err != nil {
		fmt.Println(err)
		return
	}
	display.Show(figure.SparsityPath("Neurons enter one by one", path))
	// Output: plot: Neurons enter one by one
}

// The third problem was not solved by the slow method.
func ExampleProfile() {
	p := figure.New("Solved within a time", "time (s)", "share of problems")
	figure.LogX(p)
	figure.Profile(p, 0, "fast", []float64{0.1, 0.2, 0.5})
	figure.Profile(p, 1, "slow", []float64{1, 3, math.Inf(1)})
	display.Show(p)
	// Output: plot: Solved within a time
}

// Cross-validated loss against the weight decay, and the network of the best one
// with the lines of its neurons, in one file.
func ExampleHeldOut() {
	X, y := data.Moons(40, 0.2, 1)
	p := convex.Problem{X: data.WithBias(X), Y: y, Loss: convex.Logistic}
	cv, err := convex.CrossValidate(context.Background(), p, &convex.FoldOptions{Folds: 3, Path: &convex.PathOptions{Count: 4, Ratio: 1e-2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	best := cv.Path.Solutions[cv.Best]
	regions, err := figure.Regions("The best of them", best.Predict, p.X, y)
	if err != nil {
		fmt.Println(err)
		return
	}
	figure.Hyperplanes(regions, 2, "neurons", best.Network.Hidden, p.X)
	f := display.Figure{Plots: [][]*plot.Plot{{figure.HeldOut("Cross-validation", cv), regions}}, Width: 9}
	dir, _ := os.MkdirTemp("", "figure")
	defer os.RemoveAll(dir)
	fmt.Println(f.Save(filepath.Join(dir, "cv.pdf")))
	// Output: <nil>
}
