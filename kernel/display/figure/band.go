package figure

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Band adds what several runs, such as those from several seeds, have at x: the
// median as a line in colour k, over a band from the lower to the upper quartile
// and a fainter one from the lowest to the highest. runs[r][i] belongs to x[i];
// a run may be shorter than x, as one that diverged is.
func Band(p *plot.Plot, k int, label string, x []float64, runs [][]float64) *plotter.Line {
	quantiles := []float64{0, 0.25, 0.5, 0.75, 1}
	var at []float64
	values := make([][]float64, len(quantiles))
	for r, y := range runs {
		if len(y) > len(x) {
			complain(p, "Band %q: run %d has %d numbers for %d x", label, r, len(y), len(x))
			return &plotter.Line{}
		}
	}
	for i := range x {
		var here []float64
		for _, y := range runs {
			if i < len(y) && shown(p.Y, y[i]) {
				here = append(here, y[i])
			}
		}
		if len(here) == 0 || !shown(p.X, x[i]) {
			continue
		}
		slices.Sort(here)
		at = append(at, x[i])
		for q, share := range quantiles {
			values[q] = append(values[q], quantile(here, share))
		}
	}
	if len(at) > 0 {
		p.Add(between(at, values[0], values[4], Faint(k, 0.15)), between(at, values[1], values[3], Faint(k, 0.3)))
	}
	return Curve(p, k, label, at, values[2])
}

// quantile interpolates in sorted numbers.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-1)
	j := min(i+1, len(sorted)-1)
	return sorted[i] + (at-float64(i))*(sorted[j]-sorted[i])
}

// Spread adds one box a position: the lowest, the quartiles, the median and the
// highest of values[i] stand at x[i], in colour k.
func Spread(p *plot.Plot, k int, label string, x []float64, values [][]float64) {
	if len(x) != len(values) {
		complain(p, "Spread %q has %d x and %d lists of values", label, len(x), len(values))
		return
	}
	var bars plotter.XYs
	var lows, highs, lower, upper []float64
	for i := range x {
		var here []float64
		for _, v := range values[i] {
			if shown(p.Y, v) {
				here = append(here, v)
			}
		}
		if len(here) == 0 || !shown(p.X, x[i]) {
			continue
		}
		slices.Sort(here)
		bars = append(bars, plotter.XY{X: x[i], Y: quantile(here, 0.5)})
		lows, highs = append(lows, here[0]), append(highs, here[len(here)-1])
		lower, upper = append(lower, quantile(here, 0.25)), append(upper, quantile(here, 0.75))
	}
	s := &spread{k: k, XYs: bars, lows: lows, highs: highs, lower: lower, upper: upper}
	if len(bars) > 0 {
		p.Add(s)
	}
	if label != "" {
		p.Legend.Add(label, s)
	}
}

type spread struct {
	plotter.XYs
	k                         int
	lows, highs, lower, upper []float64
}

func (s *spread) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	thin := draw.LineStyle{Color: Color(s.k), Width: vg.Points(1)}
	thick := draw.LineStyle{Color: Faint(s.k, 0.45), Width: vg.Points(6)}
	for i, at := range s.XYs {
		x := tx(at.X)
		c.StrokeLine2(thin, x, ty(s.lows[i]), x, ty(s.highs[i]))
		c.StrokeLine2(thick, x, ty(s.lower[i]), x, ty(s.upper[i]))
		c.DrawGlyph(draw.GlyphStyle{Color: Color(s.k), Radius: vg.Points(3), Shape: draw.CircleGlyph{}}, vg.Point{X: x, Y: ty(at.Y)})
	}
}

// Thumbnail draws the entry of the legend.
func (s *spread) Thumbnail(c *draw.Canvas) {
	c.DrawGlyph(draw.GlyphStyle{Color: Color(s.k), Radius: vg.Points(3), Shape: draw.CircleGlyph{}}, c.Center())
}

// DataRange holds the lowest and the highest of all.
func (s *spread) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax, _, _ = plotter.XYRange(s.XYs)
	return xmin, xmax, slices.Min(s.lows), slices.Max(s.highs)
}

// between is the area between two curves.
func between(x, low, high []float64, fill color.Color) plot.Plotter {
	outline := make(plotter.XYs, 0, 2*len(x))
	for i := range x {
		outline = append(outline, plotter.XY{X: x[i], Y: low[i]})
	}
	for i := len(x) - 1; i >= 0; i-- {
		outline = append(outline, plotter.XY{X: x[i], Y: high[i]})
	}
	area, err := plotter.NewPolygon(outline)
	if err != nil { // numbers that are not finite, and those were left out
		return plotter.NewGlyphBoxes()
	}
	area.Color, area.LineStyle.Width = fill, 0
	return area
}
