package figure_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/plot"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/display/figure"
)

// draw renders a plot as the kernel does. With FIGURES set to a folder it leaves
// the picture there to be looked at.
func draw(t *testing.T, name string, p *plot.Plot) {
	t.Helper()
	b := display.Render(p)
	png, _ := b.Data[display.MIMEPNG].([]byte)
	if len(png) == 0 {
		t.Fatalf("%s: not drawn: %s", name, b.Text())
	}
	if svg, _ := b.Data[display.MIMESVG].(string); svg == "" {
		t.Errorf("%s: no vector picture", name)
	}
	if dir := os.Getenv("FIGURES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			t.Error(err)
		}
	}
}

func TestDrawn(t *testing.T) {
	ctx := t.Context()
	X, y := data.Moons(60, 0.15, 1)
	Xb := data.WithBias(X)
	sol, err := convex.Solve(ctx, convex.Problem{X: Xb, Y: y, Loss: convex.Logistic, Beta: 0.05}, nil)
	if err != nil {
		t.Fatal(err)
	}
	draw(t, "convergence", figure.Convergence("Convergence", sol))
	p, err := figure.Regions("Regions", sol.Predict, Xb, y)
	if err != nil {
		t.Fatal(err)
	}
	figure.Hyperplanes(p, 2, "neurons", sol.Network.Hidden, Xb)
	draw(t, "regions", p)
	p, err = figure.Weights("Weights", "input", "neuron", sol.Network.Hidden)
	if err != nil {
		t.Fatal(err)
	}
	draw(t, "weights", p)

	digits := data.Digits()
	p, err = figure.Filters("Filters", digits.X.Slice(0, 12, 0, 64), 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	draw(t, "filters", p)
	p, err = figure.Images("Images", digits.X.Slice(0, 12, 0, 64), digits.Shape)
	if err != nil {
		t.Fatal(err)
	}
	draw(t, "images", p)

	path, err := convex.SolvePath(ctx, convex.Problem{X: Xb, Y: y, Loss: convex.Logistic, Beta: 1}, &convex.PathOptions{Count: 15, Ratio: 1e-2})
	if err != nil {
		t.Fatal(err)
	}
	draw(t, "path", figure.SparsityPath("Path", path))
	draw(t, "heldout", figure.HeldOut("Cross-validation", &convex.CrossValidation{
		Betas: []float64{10, 1, 0.1}, Loss: []float64{0.7, 0.45, 0.4}, StdErr: []float64{0.02, 0.05, 0.1}, Best: 2, Sparsest: 1, Folds: 5,
	}))

	x := []float64{1, 10, 100, 1000}
	p = figure.New("Band and spread", "epochs", "objective")
	figure.LogX(p)
	figure.LogY(p)
	figure.Band(p, 0, "three runs", x, [][]float64{{9, 5, 3, 2}, {8, 4, 1, 1}, {10, 6, 4, math.Inf(1)}})
	figure.Spread(p, 1, "values", x, [][]float64{{9, 5, 3, 2}, {8, 4, 1, 1}, {10, 6, 4}, {3}})
	figure.Level(p, "optimal", 0.8)
	draw(t, "band", p)

	p = figure.New("Spectrum", "frequency (cycles/sample)", "amplitude")
	figure.Spectrum(p, 2, "impulse", []float64{0, 1, 0, 0, 0, 0.5})
	draw(t, "spectrum", p)
	p = figure.New("Profile", "time (s)", "share")
	figure.LogX(p)
	figure.Profile(p, 0, "a", []float64{0.1, 0.4, 2, math.Inf(1)})
	figure.Profile(p, 1, "b", []float64{0.3, 0.2, 5, 7})
	draw(t, "profile", p)
}

// What cannot be drawn is said on the plot, never a panic.
func TestNothingToDraw(t *testing.T) {
	for name, add := range map[string]func(p *plot.Plot){
		"two lengths":     func(p *plot.Plot) { figure.Curve(p, 0, "a", []float64{1, 2}, []float64{1}) },
		"dots":            func(p *plot.Plot) { figure.Dots(p, 0, "a", []float64{1, 2}, nil) },
		"level":           func(p *plot.Plot) { figure.LogY(p); figure.Level(p, "optimum", 0) },
		"band":            func(p *plot.Plot) { figure.Band(p, 0, "a", nil, [][]float64{{1}}) },
		"spread":          func(p *plot.Plot) { figure.Spread(p, 0, "a", nil, [][]float64{{1}}) },
		"error bars":      func(p *plot.Plot) { figure.ErrorBars(p, 0, []float64{1}, []float64{1}, nil) },
		"no validation":   func(p *plot.Plot) { *p = *figure.HeldOut("t", nil) },
		"no neurons":      func(p *plot.Plot) { figure.Hyperplanes(p, 0, "a", nil, nil) },
		"other columns":   func(p *plot.Plot) { figure.Hyperplanes(p, 0, "a", mat.NewDense(1, 3, nil), mat.NewDense(1, 2, nil)) },
		"no gaps":         func(p *plot.Plot) { figure.Gaps(p, 0, "a", nil) },
		"empty signal":    func(p *plot.Plot) { figure.Spectrum(p, 0, "a", nil) },
		"no problems":     func(p *plot.Plot) { figure.Profile(p, 0, "a", nil) },
		"no solution":     func(p *plot.Plot) { *p = *figure.Convergence("t", nil) },
		"empty path":      func(p *plot.Plot) { *p = *figure.SparsityPath("t", nil) },
		"empty solution":  func(p *plot.Plot) { *p = *figure.Convergence("t", &convex.Solution{}) },
		"path of nothing": func(p *plot.Plot) { *p = *figure.SparsityPath("t", &convex.Path{}) },
	} {
		p := figure.New("t", "x", "y")
		add(p)
		if !strings.Contains(p.Title.Text, "figure: ") {
			t.Errorf("%s: the title says %q", name, p.Title.Text)
		}
		if name != "level" {
			figure.Curve(p, 0, "", []float64{1, 2}, []float64{3, 4})
		}
		draw(t, "nothing", p)
	}
	p := figure.New("t", "x", "y")
	figure.LogX(p)
	figure.LogY(p)
	nan := math.NaN()
	figure.Curve(p, -3, "a", []float64{0, 1, 2, 10, nan}, []float64{1, -1, 2, 3, 4})
	if p.X.Min != 2 || p.Y.Max != 3 {
		t.Errorf("the axes are from %g to %g: what they cannot show was not left out", p.X.Min, p.Y.Max)
	}
	draw(t, "log", p)
}

// Bars that leave a logarithmic axis keep their upper half; lines end at the
// sides of the picture, and one that passes it by is left out.
func TestErrorBarsAndHyperplanes(t *testing.T) {
	p := figure.New("t", "x", "y")
	figure.LogY(p)
	bars := figure.ErrorBars(p, 0, []float64{1, 2, 3}, []float64{1, 2, math.NaN()}, []float64{2, 1, 1})
	if len(bars.XYs) != 2 || bars.YErrors[0].Low != 0 || bars.YErrors[0].High != 2 || bars.YErrors[1].Low != 1 {
		t.Errorf("%+v", bars)
	}
	p = figure.New("t", "x", "y")
	X := mat.NewDense(2, 3, []float64{0, 0, 1, 1, 1, 1}) // the picture is from -0.12 to 1.12
	figure.Hyperplanes(p, 0, "", mat.NewDense(3, 3, []float64{1, -1, 0, 1, 0, -0.5, 1, 1, -9}), X)
	if p.X.Min < -0.1201 || p.X.Max > 1.1201 || p.Y.Min < -0.1201 || p.Y.Max > 1.1201 || p.Y.Max < 1.11 {
		t.Errorf("lines from %g to %g and %g to %g", p.X.Min, p.X.Max, p.Y.Min, p.Y.Max)
	}
}

func TestErrors(t *testing.T) {
	X := mat.NewDense(3, 3, []float64{0, 0, 1, 1, 1, 1, 2, 0, 2})
	y := mat.NewVecDense(3, []float64{-1, 1, 1})
	predict := func(A mat.Matrix) (*mat.Dense, error) { return mat.NewDense(1, 1, nil), nil }
	for want, call := range map[string]func() (*plot.Plot, error){
		"column 2":         func() (*plot.Plot, error) { return figure.Regions("", predict, X, y) },
		"must not be nil":  func() (*plot.Plot, error) { return figure.Regions("", nil, X, y) },
		"predict gave 1×1": func() (*plot.Plot, error) { return figure.Regions("", predict, X.Slice(0, 3, 0, 2), y) },
		"W is 3×3":         func() (*plot.Plot, error) { return figure.Filters("", X, 2, 2) },
		"nil or empty":     func() (*plot.Plot, error) { return figure.Weights("", "", "", nil) },
	} {
		if p, err := call(); err == nil || p != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
