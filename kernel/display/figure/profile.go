package figure

import (
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// Profile adds the performance profile of one method in colour k: the share of
// problems it had solved against the time it took (Dolan & Moré 2002, with the
// time itself in place of a ratio). times has one entry a problem, +Inf where
// the method failed. Set the horizontal axis to LogX before.
func Profile(p *plot.Plot, k int, label string, times []float64) {
	if len(times) == 0 {
		complain(p, "Profile %q has no problems", label)
		return
	}
	sorted := slices.Clone(times)
	slices.Sort(sorted)
	var at, share []float64
	for i, t := range sorted {
		if math.IsInf(t, 1) || t != t {
			break
		}
		at = append(at, t, t)
		share = append(share, float64(i)/float64(len(sorted)), float64(i+1)/float64(len(sorted)))
	}
	line := Curve(p, k, label, at, share)
	if n := len(line.XYs); n > 0 {
		p.Add(onward{line.LineStyle, line.XYs[n-1]})
	}
	p.Y.Min, p.Y.Max = 0, 1
}

// onward is the line from a point to the right edge of the plot.
type onward struct {
	draw.LineStyle
	from plotter.XY
}

func (o onward) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	c.StrokeLine2(o.LineStyle, tx(o.from.X), ty(o.from.Y), c.Max.X, ty(o.from.Y))
}
