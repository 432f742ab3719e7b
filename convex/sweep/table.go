package sweep

import (
	"errors"
	"fmt"
	"html"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// Table is what there is of a sweep: the results, and what is missing. In a
// notebook it shows as a table.
type Table struct {
	Total   int       // jobs of the spec
	Results []Result  // in the order of the spec
	Missing []Missing // jobs without a result
}

// Missing is a job without a result. Reason is what its last run left, or
// empty for a job that has not run, or not to its end.
type Missing struct {
	Index  int
	Job    Job
	Reason string
}

// Collect reads the results that a spec has in a folder. A missing or damaged
// result is no error but one of Missing; a result of another job is an error.
func Collect(spec, out string) (*Table, error) {
	lines, err := Plan{Spec: spec}.jobLines()
	if err != nil {
		return nil, err
	}
	t := &Table{Total: len(lines)}
	for i, line := range lines {
		r, err := readResult(out, i, line)
		if err == nil {
			t.Results = append(t.Results, *r)
			continue
		}
		if errors.Is(err, errOtherJob) {
			return nil, err
		}
		m := Missing{Index: i}
		if !errors.Is(err, fs.ErrNotExist) {
			m.Reason = err.Error()
		}
		if err := decodeJob(line, &m.Job); err != nil {
			return nil, fmt.Errorf("sweep: %s: line %d: %w", spec, i+1, err)
		}
		if text, err := os.ReadFile(errorFile(out, i)); err == nil {
			m.Reason = strings.TrimSpace(string(text))
		}
		t.Missing = append(t.Missing, m)
	}
	return t, nil
}

// Complete says whether every job has a result.
func (t *Table) Complete() bool { return len(t.Missing) == 0 }

// Curve is one quantity against another, over jobs that differ in no more than
// their seed: at X[i] the mean, the lowest and the highest of Count[i] results.
type Curve struct {
	Name            string
	X               []float64
	Mean, Low, High []float64
	Count           []int
}

// Curves groups the results by name and, within a name, by x, which it sorts.
// Results where x or y is NaN are left out. For instance, test accuracy
// against weight decay for every architecture:
//
//	table.Curves(sweep.ByArchitecture, sweep.Beta, sweep.TestAccuracy)
func (t *Table) Curves(name func(Result) string, x, y func(Result) float64) []Curve {
	type point struct{ x, y float64 }
	points := map[string][]point{}
	var names []string
	for _, r := range t.Results {
		p := point{x(r), y(r)}
		if math.IsNaN(p.x) || math.IsNaN(p.y) {
			continue
		}
		k := name(r)
		if points[k] == nil {
			names = append(names, k)
		}
		points[k] = append(points[k], p)
	}
	var curves []Curve
	for _, k := range names {
		ps := points[k]
		slices.SortStableFunc(ps, func(a, b point) int {
			switch {
			case a.x < b.x:
				return -1
			case a.x > b.x:
				return 1
			}
			return 0
		})
		c := Curve{Name: k}
		for i, p := range ps {
			if i == 0 || p.x != ps[i-1].x {
				c.X, c.Mean = append(c.X, p.x), append(c.Mean, 0)
				c.Low, c.High = append(c.Low, p.y), append(c.High, p.y)
				c.Count = append(c.Count, 0)
			}
			last := len(c.X) - 1
			c.Count[last]++
			c.Mean[last] += (p.y - c.Mean[last]) / float64(c.Count[last])
			c.Low[last], c.High[last] = min(c.Low[last], p.y), max(c.High[last], p.y)
		}
		curves = append(curves, c)
	}
	return curves
}

// ByArchitecture names a result by its architecture.
func ByArchitecture(r Result) string { return r.Architecture }

// ByName names a result by its job's name.
func ByName(r Result) string { return r.Job.Name }

// Beta is the weight decay of a result.
func Beta(r Result) float64 { return r.Beta }

// TestAccuracy is the share of test samples whose class is right; NaN without.
func TestAccuracy(r Result) float64 { return value(r.TestAccuracy) }

// TrainAccuracy is the share of training samples whose class is right; NaN
// for a regression.
func TrainAccuracy(r Result) float64 { return value(r.TrainAccuracy) }

// TestR2 is the coefficient of determination on the test samples; NaN without.
func TestR2(r Result) float64 { return value(r.TestR2) }

// Objective is the objective of a result; NaN if there is none.
func Objective(r Result) float64 { return value(r.Objective) }

// Neurons is the number of neurons of a result's network.
func Neurons(r Result) float64 { return float64(r.Neurons) }

func value(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// summary is one line on how much there is.
func (t *Table) summary() string {
	s := fmt.Sprintf("%d of %d jobs have a result", len(t.Results), t.Total)
	if len(t.Missing) == 0 {
		return s
	}
	var waiting, failed []int
	for _, m := range t.Missing {
		if m.Reason == "" {
			waiting = append(waiting, m.Index)
		} else {
			failed = append(failed, m.Index)
		}
	}
	if len(waiting) > 0 {
		s += "; missing: " + shorten(ranges(waiting), 120)
	}
	if len(failed) > 0 {
		s += "; failed: " + shorten(ranges(failed), 120)
	}
	return s
}

func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// columns are what a table shows of a result.
var columns = []struct {
	name string
	of   func(r *Result) string
}{
	{"job", func(r *Result) string { return fmt.Sprint(r.Index) }},
	{"name", func(r *Result) string { return r.Job.Name }},
	{"data", func(r *Result) string { return r.Job.Data + r.Job.Problem }},
	{"architecture", func(r *Result) string { return r.Architecture }},
	{"loss", func(r *Result) string { return r.Loss }},
	{"beta", func(r *Result) string { return fmt.Sprintf("%.4g", r.Beta) }},
	{"seed", func(r *Result) string { return fmt.Sprint(r.Job.Seed) }},
	{"objective", func(r *Result) string { return show(r.Objective, "%.6g") }},
	{"gap", func(r *Result) string { return show(r.Gap, "%.0e") }},
	{"status", func(r *Result) string { return r.Status }},
	{"scope", func(r *Result) string { return r.Scope }},
	{"neurons", func(r *Result) string { return fmt.Sprint(r.Neurons) }},
	{"train", func(r *Result) string { return show(either(r.TrainAccuracy, r.TrainR2), "%.4f") }},
	{"test", func(r *Result) string { return show(either(r.TestAccuracy, r.TestR2), "%.4f") }},
	{"time", func(r *Result) string {
		return time.Duration(r.Run.SolveSeconds * float64(time.Second)).Round(time.Millisecond).String()
	}},
}

func either(a, b *float64) *float64 {
	if a != nil {
		return a
	}
	return b
}

func show(v *float64, format string) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf(format, *v)
}

// mostRows is the number of results shown.
const mostRows = 40

// cells are the rows to show: the head first, columns that say nothing left
// out, the middle of a long table elided (a nil row).
func (t *Table) cells() [][]string {
	var shown []int
	for i := range t.Results {
		if len(t.Results) <= mostRows || i < mostRows/2 || i >= len(t.Results)-mostRows/2 {
			shown = append(shown, i)
		}
	}
	var use []int
	for c, col := range columns {
		for _, i := range shown {
			// A label that is the same everywhere tells nothing.
			label := col.name == "name" || col.name == "data" || col.name == "loss" || col.name == "seed"
			if v := col.of(&t.Results[i]); v != "" && (!label || v != col.of(&t.Results[0])) {
				use = append(use, c)
				break
			}
		}
	}
	var rows [][]string
	if len(use) > 0 {
		var head []string
		for _, c := range use {
			head = append(head, columns[c].name)
		}
		rows = append(rows, head)
	}
	for k, i := range shown {
		if k > 0 && shown[k-1] != i-1 {
			rows = append(rows, nil)
		}
		var row []string
		for _, c := range use {
			row = append(row, columns[c].of(&t.Results[i]))
		}
		rows = append(rows, row)
	}
	return rows
}

// reasons are the distinct reasons of what failed, with their jobs.
func (t *Table) reasons() []string {
	jobs := map[string][]int{}
	var order []string
	for _, m := range t.Missing {
		if m.Reason == "" {
			continue
		}
		// The reason begins with the number of its own job.
		r := strings.TrimPrefix(m.Reason, "sweep: ")
		r = strings.TrimPrefix(r, fmt.Sprintf("job %d: ", m.Index))
		if jobs[r] == nil {
			order = append(order, r)
		}
		jobs[r] = append(jobs[r], m.Index)
	}
	var out []string
	for i, r := range order {
		if i == 10 {
			out = append(out, fmt.Sprintf("and %d more reasons", len(order)-i))
			break
		}
		out = append(out, fmt.Sprintf("%s: %s", shorten(ranges(jobs[r]), 40), shorten(r, 300)))
	}
	return out
}

// String is the table as text.
func (t *Table) String() string {
	if t == nil {
		return "no table"
	}
	rows := t.cells()
	var width []int
	for _, row := range rows {
		for c, v := range row {
			if c >= len(width) {
				width = append(width, 0)
			}
			width[c] = max(width[c], len([]rune(v)))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		if row == nil {
			b.WriteString("…\n")
			continue
		}
		for c, v := range row {
			if c > 0 {
				b.WriteString("  ")
			}
			fmt.Fprintf(&b, "%*s", width[c], v)
		}
		b.WriteByte('\n')
	}
	b.WriteString(t.summary())
	for _, r := range t.reasons() {
		b.WriteString("\n  " + r)
	}
	return b.String()
}

// HTML is the table for a notebook.
func (t *Table) HTML() string {
	if t == nil {
		return "<em>no table</em>"
	}
	var b strings.Builder
	b.WriteString(`<div class="gonvex"><table style="margin:0">`)
	for i, row := range t.cells() {
		tag := "td"
		if i == 0 {
			tag = "th"
		}
		b.WriteString("<tr>")
		if row == nil {
			b.WriteString(`<td style="text-align:right">…</td>`)
		}
		for _, v := range row {
			fmt.Fprintf(&b, `<%s style="text-align:right">%s</%s>`, tag, html.EscapeString(v), tag)
		}
		b.WriteString("</tr>")
	}
	colour := "#2a7d2a"
	if len(t.Missing) > 0 {
		colour = "#b36b00"
	}
	fmt.Fprintf(&b, `</table><p style="color:%s;margin:.4em 0 0">%s</p>`, colour, html.EscapeString(t.summary()))
	if rs := t.reasons(); len(rs) > 0 {
		b.WriteString(`<ul style="margin:.2em 0 0">`)
		for _, r := range rs {
			fmt.Fprintf(&b, "<li>%s</li>", html.EscapeString(r))
		}
		b.WriteString("</ul>")
	}
	b.WriteString("</div>")
	return b.String()
}
