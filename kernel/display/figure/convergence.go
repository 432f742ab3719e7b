package figure

import (
	"math"

	"gonum.org/v1/plot"

	"github.com/gonvex/gonvex/convex"
)

// Convergence is the objective of a solve and its certified lower bound against
// time, with the gap between them shaded: the optimum lies in the shade. The
// axis is cut where the early values would flatten the rest.
func Convergence(title string, sol *convex.Solution) *plot.Plot {
	p := New(title, "time (s)", "objective")
	if sol == nil {
		complain(p, "Convergence: the solution is nil")
		return p
	}
	var at, lower, upper []float64
	bottom := 0.0
	if sol.Lower < 0 {
		bottom = 2 * sol.Lower
	}
	top := 2*sol.Primal - bottom
	for _, t := range sol.Trace {
		if t.Primal-t.Primal != 0 {
			continue
		}
		at = append(at, t.Elapsed.Seconds())
		upper = append(upper, min(t.Primal, top))
		lower = append(lower, max(t.Lower, bottom))
	}
	if len(at) == 0 {
		complain(p, "Convergence: the trace is empty")
		return p
	}
	p.Add(between(at, lower, upper, Faint(0, 0.15)))
	Curve(p, 0, "objective", at, upper)
	Curve(p, 1, "certified lower bound", at, lower)
	p.X.Min = 0
	p.Legend.Top = false
	return p
}

// Gaps adds the relative duality gap of a solve against time in colour k. Both
// axes are better logarithmic: LogX and LogY before.
func Gaps(p *plot.Plot, k int, label string, sol *convex.Solution) {
	if sol == nil {
		complain(p, "Gaps %q: the solution is nil", label)
		return
	}
	gaps := sol.TraceGap()
	for i, g := range gaps { // what a bound has to say does not get worse
		if i > 0 && !(g <= gaps[i-1]) {
			gaps[i] = gaps[i-1]
		}
	}
	seconds := sol.TraceSeconds()
	if sol.Gap > 0 && !math.IsInf(sol.Gap, 1) {
		gaps, seconds = append(gaps, sol.Gap), append(seconds, sol.Elapsed.Seconds())
	}
	Curve(p, k, label, seconds, gaps)
}
