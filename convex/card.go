package convex

import (
	"fmt"
	"html"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"
)

// row is one line of a solution's card.
type row struct{ name, value, note string }

func (s *Solution) rows() []row {
	scope := "optimal over the given patterns only; nothing is said about others"
	if s.Scope == Global {
		scope = "over all networks of this architecture"
	}
	if s.Scope == Restricted && s.Program != nil && s.Program.Patterns == nil {
		scope = "optimal over the neurons of the program only; nothing is said about others"
	}
	if s.Program != nil && s.Program.Relaxation {
		scope = "the bound is of a relaxation; " + map[Scope]string{
			Global:     "no network of this architecture is below it",
			Restricted: "it holds for the sampled patterns only",
		}[s.Scope]
	}
	rows := []row{
		{"status", s.Status.String(), ""},
		{"objective", number(s.Primal), "recomputed from the network"},
		{"lower bound", number(s.Lower), "certified by duality"},
		{"gap", fmt.Sprintf("%.1e", s.Gap), "relative"},
		{"scope", s.Scope.String(), scope},
	}
	if s.Scope == Restricted && !math.IsInf(s.GlobalLower, 0) && s.GlobalLower > 0 {
		rows = append(rows, row{"global bound", number(s.GlobalLower), fmt.Sprintf("over all patterns: no network is more than %.3g%% better", 100*relativeGap(s.Primal, s.GlobalLower))})
	}
	if s.Network == nil {
		rows[1].note = "of the feasible point"
	} else {
		if s.changed() {
			rows[1].note = "of the program, changed since it was lowered, at the feasible point"
			rows = append(rows, row{"network", number(s.NetworkObjective), "its objective in the problem that was lowered, whose Decode made it"})
		}
		rows = append(rows, row{"neurons", fmt.Sprint(s.Network.Neurons()), s.enough()})
	}
	if s.Program != nil && s.Program.Patterns != nil {
		rows = append(rows, row{"patterns", fmt.Sprint(s.Program.Patterns.Len()), s.Program.Counts().note(s.Program.Patterns.Source)})
	}
	rows = append(rows,
		row{"infeasibility", fmt.Sprintf("%.1e", s.Infeasibility), "largest relative cone violation"},
		row{"time", seconds(s.Elapsed), fmt.Sprintf("%s, %d iterations", s.Solver, s.Iterations)},
		row{"backend", s.Backend, ""},
	)
	return rows
}

// changed says that the objective is not that of the network in the problem
// which the program came from.
func (s *Solution) changed() bool {
	return s.Program != nil && s.Program.Problem.Y != nil && s.NetworkObjective != s.Primal
}

// enough says how many neurons an optimum needs.
func (s *Solution) enough() string {
	if s.Program == nil || s.Program.Op.Rows == 0 {
		return ""
	}
	name := "n+1"
	if s.Program.Outputs > 1 {
		name = "nc+1"
	}
	return fmt.Sprintf("an optimum needs at most %s = %d", name, s.Program.Op.Rows+1)
}

func (s *Solution) title() string {
	if s.Program == nil {
		return "solution"
	}
	t := s.Program.Name
	if p := s.Program; p.Problem.Arch != nil {
		if t != p.Problem.Arch.Name() {
			t += ": " + p.Problem.Arch.Name()
		}
		t += fmt.Sprintf(", %s loss, beta %g, %d samples", p.Loss.Name, p.Problem.Beta, p.Samples)
	}
	return t
}

// String is the solution's card as text.
func (s *Solution) String() string {
	if s == nil {
		return "no solution"
	}
	var b strings.Builder
	b.WriteString(s.title())
	for _, r := range s.rows() {
		if r.value == "" {
			continue
		}
		fmt.Fprintf(&b, "\n  %-14s%s", r.name, r.value)
		if r.note != "" {
			fmt.Fprintf(&b, " (%s)", r.note)
		}
	}
	return b.String()
}

// HTML is the solution's card, with a picture of how the gap closed.
func (s *Solution) HTML() string {
	if s == nil {
		return "no solution"
	}
	var b strings.Builder
	b.WriteString(`<div style="display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start;font-size:90%">`)
	fmt.Fprintf(&b, `<table style="margin:0"><caption style="text-align:left;font-weight:bold;padding-bottom:.3em">%s</caption><tbody>`, html.EscapeString(s.title()))
	for _, r := range s.rows() {
		if r.value == "" {
			continue
		}
		value := html.EscapeString(r.value)
		if r.name == "status" {
			value = fmt.Sprintf(`<span style="color:%s;font-weight:bold">%s</span>`, s.Status.colour(), value)
		}
		note := ""
		if r.note != "" {
			note = fmt.Sprintf(` <span style="opacity:.65">%s</span>`, html.EscapeString(r.note))
		}
		fmt.Fprintf(&b, `<tr><th style="text-align:left;font-weight:normal;opacity:.75">%s</th><td style="text-align:left">%s%s</td></tr>`, r.name, value, note)
	}
	b.WriteString(`</tbody></table>`)
	b.WriteString(s.picture())
	b.WriteString(`</div>`)
	return b.String()
}

// String says what the program is made of.
func (prog Program) String() string {
	cones := "none"
	if prog.Cones != nil {
		cones = prog.Cones.Name
	}
	blocks := map[string]int{}
	var shapes []string
	for _, b := range prog.Blocks {
		shape := fmt.Sprintf("%d×%d", b.Rows, b.Cols)
		if blocks[shape]++; blocks[shape] == 1 {
			shapes = append(shapes, shape)
		}
	}
	for i, shape := range shapes {
		shapes[i] = fmt.Sprintf("%d of %s", blocks[shape], shape)
	}
	text := fmt.Sprintf("program %s\n  predictions  %d×%d\n  loss         %s\n  operator     %s, %d×%d\n  blocks       %s\n  penalty      %s\n  cones        %s",
		prog.Name, prog.Samples, prog.Outputs, prog.Loss.Name, prog.Op.Name, prog.Op.Rows, prog.Op.Cols, strings.Join(shapes, ", "), prog.Penalty.Name, cones)
	if prog.Patterns != nil {
		text += "\n  patterns     " + prog.Patterns.String()
	}
	return text + "\n  scope        " + prog.Scope.String()
}

// String says what weights the network has.
func (net *Network) String() string {
	if net == nil {
		return "no network"
	}
	text := fmt.Sprintf("%s network, %d neurons\n  inputs   %d\n  outputs  %d", net.Arch, net.Neurons(), net.Inputs, net.Outputs)
	add := func(name string, W *mat.Dense) {
		if W != nil && !W.IsEmpty() {
			r, c := W.Dims()
			text += fmt.Sprintf("\n  %-8s %d×%d", name, r, c)
		}
	}
	add("Hidden", net.Hidden)
	add("Output", net.Output)
	add("Gates", net.Gates)
	for _, name := range slices.Sorted(maps.Keys(net.Extra)) {
		add(name, net.Extra[name])
	}
	if len(net.Bias) > 0 {
		text += fmt.Sprintf("\n  Bias     %.6g", net.Bias)
	}
	return text
}

// String is the objective and its parts.
func (v *Verification) String() string {
	if v == nil {
		return "no verification"
	}
	return fmt.Sprintf("objective %s = loss %s + β · decay %s, %d neurons", number(v.Objective), number(v.Loss), number(v.Decay), v.Neurons)
}

func (s Status) colour() string {
	switch s {
	case Optimal:
		return "#2a7d2a"
	case Almost, IterLimit, TimeLimit, Stopped, Bounded:
		return "#b36b00"
	}
	return "#b3261e"
}

// number shows ten significant digits, which is what a gap of 1e-10 can carry.
func number(v float64) string {
	if math.IsInf(v, -1) {
		return "none"
	}
	return fmt.Sprintf("%.10g", v)
}

func seconds(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// picture draws, on a logarithmic axis against time, the gap that was certified
// at each report and the distance of the objective from the final lower bound;
// "" when there is nothing to draw.
func (s *Solution) picture() string {
	const (
		w, h                     = 320.0, 160.0
		left, right, top, bottom = 44.0, 8.0, 20.0, 22.0
	)
	size := math.Abs(s.Primal)
	lines := []struct {
		name, colour string
		x, y         []float64
	}{{name: "objective - final bound", colour: "#e07b00"}, {name: "gap", colour: "#1f77b4"}}
	end, lo, hi := 0.0, math.Inf(1), math.Inf(-1)
	add := func(l int, t, v float64) {
		if !(v > 1e-16) || math.IsInf(v, 1) {
			return
		}
		v = math.Log10(v)
		lines[l].x, lines[l].y = append(lines[l].x, t), append(lines[l].y, v)
		end, lo, hi = math.Max(end, t), math.Min(lo, math.Floor(v)), math.Max(hi, math.Ceil(v))
	}
	for _, p := range s.Trace {
		add(0, p.Elapsed.Seconds(), (p.Primal-s.Lower)/size)
		add(1, p.Elapsed.Seconds(), p.Gap)
	}
	if len(lines[0].x) < 2 || end <= 0 {
		return ""
	}
	if hi == lo {
		hi++
	}
	X := func(x float64) float64 { return left + x/end*(w-left-right) }
	Y := func(y float64) float64 { return top + (hi-y)/(hi-lo)*(h-top-bottom) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-label="gap against time"><g font-family="sans-serif" font-size="10" fill="currentColor">`, w, h, w, h)
	step := math.Max(1, math.Ceil((hi-lo)/5))
	for y := hi; y >= lo; y -= step {
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity=".15"/><text x="%g" y="%.1f" text-anchor="end">1e%d</text>`, left, w-right, Y(y), Y(y), left-5, Y(y)+3, int(y))
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g">0</text><text x="%g" y="%g" text-anchor="end">%s</text>`,
		left, h-6, w-right, h-6, seconds(time.Duration(end*float64(time.Second))))
	at := left
	for _, l := range lines {
		if len(l.x) > 1 {
			fmt.Fprintf(&b, `<text x="%g" y="11" fill="%s">%s</text>`, at, l.colour, l.name)
			at += 140
		}
	}
	b.WriteString(`</g>`)
	for _, l := range lines {
		const most = 200 // points drawn
		every := (len(l.x) + most - 1) / most
		var points []string
		for i := range l.x {
			if i%every == 0 || i == len(l.x)-1 {
				points = append(points, fmt.Sprintf("%.1f,%.1f", X(l.x[i]), Y(l.y[i])))
			}
		}
		if len(points) > 0 {
			fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`, l.colour, strings.Join(points, " "))
		}
	}
	b.WriteString(`</svg>`)
	return b.String()
}
