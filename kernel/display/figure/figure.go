// Package figure draws what notebooks about training keep drawing: objective
// and bound against time, error bands over seeds, decision regions, filters and
// weights as pictures, spectra, regularisation paths, performance profiles.
//
// Everything is a [plot.Plot] of gonum/plot, which a cell shows as a vector
// picture and as a raster of twice the screen's resolution, and which the caller
// can go on changing; several make a display.Figure. [New] starts an empty plot
// and the functions that take one add to it. They draw what they can: numbers
// that are not finite, or not positive on a logarithmic axis, are left out, and
// arguments that do not fit together are named in the plot's title.
//
//	p := figure.New("Duality gap", "time (s)", "relative gap")
//	figure.LogY(p)
//	figure.Curve(p, 0, "working set", sol.TraceSeconds(), sol.TraceGap())
//	p
package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Palette is the colours of curves number 0, 1, …: those of Okabe & Ito (2008),
// which people with any of the usual colour blindnesses tell apart.
var Palette = []color.Color{
	color.NRGBA{R: 0, G: 114, B: 178, A: 255},   // blue
	color.NRGBA{R: 213, G: 94, B: 0, A: 255},    // vermilion
	color.NRGBA{R: 0, G: 158, B: 115, A: 255},   // bluish green
	color.NRGBA{R: 204, G: 121, B: 167, A: 255}, // reddish purple
	color.NRGBA{R: 230, G: 159, B: 0, A: 255},   // orange
	color.NRGBA{R: 86, G: 180, B: 233, A: 255},  // sky blue
	color.NRGBA{R: 90, G: 90, B: 90, A: 255},    // grey
}

// Dashed is the dash pattern of reference lines; set a line's Dashes to it.
var Dashed = []vg.Length{vg.Points(5), vg.Points(3)}

// Color is colour k of the palette, which starts again after its end.
func Color(k int) color.Color {
	n := len(Palette)
	return Palette[(k%n+n)%n]
}

// Faint is colour k, of which only the given part, 0 to 1, covers what is below.
func Faint(k int, part float64) color.Color {
	c := color.NRGBAModel.Convert(Color(k)).(color.NRGBA)
	c.A = uint8(255*min(max(part, 0), 1) + 0.5)
	return c
}

// New is an empty plot with a grid, a title and labels of its axes. A label
// names the quantity and its unit, such as "time (s)".
func New(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(6)
	p.X.Label.Padding, p.Y.Label.Padding = vg.Points(3), vg.Points(3)
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(2)
	grid := plotter.NewGrid()
	grid.Horizontal.Color = color.Gray{Y: 225}
	grid.Vertical.Color = color.Gray{Y: 225}
	p.Add(grid)
	return p
}

// LogX makes the horizontal axis logarithmic. Call it before adding curves.
func LogX(p *plot.Plot) { p.X.Scale, p.X.Tick.Marker = logScale{}, logTicks{} }

// LogY makes the vertical axis logarithmic. Call it before adding curves.
func LogY(p *plot.Plot) { p.Y.Scale, p.Y.Tick.Marker = logScale{}, logTicks{} }

// logScale is plot.LogScale, which panics on the range of a plot with nothing in
// it.
type logScale struct{}

func (logScale) Normalize(least, most, x float64) float64 {
	if !(least > 0 && most > least && x > 0) {
		return plot.LinearScale{}.Normalize(least, most, x)
	}
	return plot.LogScale{}.Normalize(least, most, x)
}

// logTicks labels powers of ten, and on axes with few of them 2 and 5 times
// those, which plot.LogTicks leaves without a number.
type logTicks struct{}

func (logTicks) Ticks(least, most float64) []plot.Tick {
	if !(least > 0 && most > least) {
		return plot.DefaultTicks{}.Ticks(least, most)
	}
	low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	decades := math.Log10(most / least)
	every := math.Max(1, math.Ceil(decades/8)) // decades from label to label
	var ticks []plot.Tick
	for e := low; e <= high; e++ {
		for m := 1.0; m < 10; m++ {
			t := plot.Tick{Value: m * math.Pow(10, e)}
			if m == 1 && math.Mod(e, every) == 0 || decades < 2 && (m == 2 || m == 5) {
				t.Label = number(t.Value)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// number writes a number of an axis or a legend.
func number(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-3 || a >= 1e5) {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// complain says on the plot what could not be drawn.
func complain(p *plot.Plot, format string, args ...any) {
	text := "figure: " + fmt.Sprintf(format, args...)
	if p.Title.Text != "" {
		text = p.Title.Text + "\n" + text
	}
	p.Title.Text = text
}

// points pairs x with y and leaves out what the axes of p cannot show.
func points(p *plot.Plot, who string, x, y []float64) plotter.XYs {
	if len(x) != len(y) {
		complain(p, "%s has %d x and %d y", who, len(x), len(y))
		return nil
	}
	out := make(plotter.XYs, 0, len(x))
	for i := range x {
		if shown(p.X, x[i]) && shown(p.Y, y[i]) {
			out = append(out, plotter.XY{X: x[i], Y: y[i]})
		}
	}
	return out
}

// shown says whether the axis has a place for v.
func shown(a plot.Axis, v float64) bool {
	switch a.Scale.(type) {
	case logScale, plot.LogScale:
		return v > 0 && !math.IsInf(v, 1)
	}
	return v-v == 0
}

// Curve adds the line through the points (x_i, y_i) in colour k, with a label in
// the legend unless that is empty. The line it returns can be restyled.
func Curve(p *plot.Plot, k int, label string, x, y []float64) *plotter.Line {
	l := &plotter.Line{XYs: points(p, fmt.Sprintf("Curve %q", label), x, y)}
	l.LineStyle = draw.LineStyle{Color: Color(k), Width: vg.Points(1.6)}
	if len(l.XYs) > 0 {
		p.Add(thinned{l})
	}
	if label != "" {
		p.Legend.Add(label, l)
	}
	return l
}

// thinned is a line whose points are left out where they would fall together on
// paper, so that a trace of 10⁵ points is not a picture of megabytes.
type thinned struct{ *plotter.Line }

func (t thinned) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	line := *t.Line
	line.XYs = nil
	for i, at := range t.XYs {
		if k := len(line.XYs); k > 0 && i < len(t.XYs)-1 {
			last := line.XYs[k-1]
			if math.Hypot(float64(tx(at.X)-tx(last.X)), float64(ty(at.Y)-ty(last.Y))) < 0.4 {
				continue
			}
		}
		line.XYs = append(line.XYs, at)
	}
	line.Plot(c, p)
}

// Dots adds the points (x_i, y_i) in colour k; see Curve.
func Dots(p *plot.Plot, k int, label string, x, y []float64) *plotter.Scatter {
	s := &plotter.Scatter{XYs: points(p, fmt.Sprintf("Dots %q", label), x, y)}
	s.GlyphStyle = draw.GlyphStyle{Color: Color(k), Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}
	if len(s.XYs) > 0 {
		p.Add(s)
	}
	if label != "" {
		p.Legend.Add(label, s)
	}
	return s
}

// ErrorBars adds vertical bars from y_i - e_i to y_i + e_i at x_i in colour k,
// such as the standard errors of a mean; a Curve or Dots shows the mean itself.
func ErrorBars(p *plot.Plot, k int, x, y, e []float64) *plotter.YErrorBars {
	bars := &plotter.YErrorBars{CapWidth: vg.Points(4), LineStyle: draw.LineStyle{Color: Color(k), Width: vg.Points(1)}}
	if len(x) != len(y) || len(x) != len(e) {
		complain(p, "ErrorBars has %d x, %d y and %d errors", len(x), len(y), len(e))
		return bars
	}
	for i := range x {
		if !shown(p.X, x[i]) || !shown(p.Y, y[i]) || !shown(p.Y, y[i]+math.Abs(e[i])) {
			continue
		}
		below := math.Abs(e[i])
		if !shown(p.Y, y[i]-below) { // past the end of a logarithmic axis
			below = 0
		}
		bars.XYs = append(bars.XYs, plotter.XY{X: x[i], Y: y[i]})
		bars.YErrors = append(bars.YErrors, struct{ Low, High float64 }{below, math.Abs(e[i])})
	}
	if len(bars.XYs) > 0 {
		p.Add(bars)
	}
	return bars
}

// Level adds a dashed black line across the plot at height y: an optimum, a
// bound, a target.
func Level(p *plot.Plot, label string, y float64) *plotter.Line {
	l := &plotter.Line{LineStyle: draw.LineStyle{Color: color.Black, Width: vg.Points(1.4), Dashes: Dashed}}
	if !shown(p.Y, y) {
		complain(p, "Level %q is at %g", label, y)
		return l
	}
	p.Add(level{l, y})
	if label != "" {
		p.Legend.Add(label, l)
	}
	return l
}

type level struct {
	line *plotter.Line
	y    float64
}

func (l level) Plot(c draw.Canvas, p *plot.Plot) {
	_, ty := p.Transforms(&c)
	c.StrokeLine2(l.line.LineStyle, c.Min.X, ty(l.y), c.Max.X, ty(l.y))
}

// DataRange has the height alone; the line is as wide as the plot.
func (l level) DataRange() (xmin, xmax, ymin, ymax float64) {
	return math.Inf(1), math.Inf(-1), l.y, l.y
}
