// Package equality makes the table that a convex formulation stands or falls
// with: for tiny instances of every architecture, the optimum of the convex
// program, the objective of the network decoded from it, the best of many
// descents on the network's own objective, the lower bound from the dual, and
// the value an independent solver found on the same data. A row is a problem
// file.
package equality

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/sgd"
	"github.com/gonvex/gonvex/convex/testdata/problems"
)

// Instance is a problem of the table.
type Instance struct {
	Row       string // of the table of architectures, such as "1"
	System    string
	Origin    string // of the data and of Reference
	Problem   convex.Problem
	Reference float64 // optimum by an independent solver; NaN when there is none
	Tolerance float64 // relative, of Reference
}

// Row is what was found on an instance.
type Row struct {
	Row       string  `json:"row,omitempty"`
	System    string  `json:"system"`
	Name      string  `json:"name"`
	Convex    float64 `json:"convex"`              // objective of the program's point
	Network   float64 `json:"network"`             // objective of the decoded network, from scratch
	Lower     float64 `json:"lower_bound"`         // certified
	Descent   float64 `json:"descent"`             // best of the starts; NaN when there was none
	Starts    int     `json:"starts"`              //
	Reference float64 `json:"reference"`           // by an independent solver; NaN when there is none
	Status    string  `json:"status"`              // of the solve
	Scope     string  `json:"scope"`               //
	Note      string  `json:"note,omitempty"`      // why there is no descent
	Tolerance float64 `json:"tolerance,omitempty"` // relative, of the reference
}

// Digits is the number of digits that two values share, at most 15: the integer
// part of -log10 |a-b|/|a|.
func Digits(a, b float64) int {
	e := math.Abs(a-b) / math.Max(math.Abs(a), 1e-300)
	switch {
	case math.IsNaN(e):
		return 0
	case e < 1e-15:
		return 15
	}
	return max(0, int(math.Floor(-math.Log10(e))))
}

// Shared are the digits that the network, the descent, the bound and the
// reference share with the convex optimum.
func (r Row) Shared() (network, descent, lower, reference int) {
	return Digits(r.Convex, r.Network), Digits(r.Convex, r.Descent), Digits(r.Convex, r.Lower), Digits(r.Convex, r.Reference)
}

// Err says whether the row is no equality: a network or a bound that is not the
// optimum to tol, a reference off by more than its tolerance, or a descent that
// ended below the bound. A descent that did not reach the optimum is no
// contradiction: network and bound decide.
func (r Row) Err(tol float64) error {
	off := func(v float64) float64 { return math.Abs(v-r.Convex) / math.Abs(r.Convex) }
	switch {
	case !(off(r.Network) <= tol):
		return fmt.Errorf("%s: the network has %.12g, the program %.12g", r.Name, r.Network, r.Convex)
	case !(off(r.Lower) <= tol) || r.Lower > r.Convex*(1+1e-12):
		return fmt.Errorf("%s: the bound is %.12g, the optimum %.12g", r.Name, r.Lower, r.Convex)
	case r.Descent < r.Lower*(1-1e-12):
		return fmt.Errorf("%s: a descent ended at %.12g, below the bound %.12g", r.Name, r.Descent, r.Lower)
	case off(r.Reference) > math.Max(r.Tolerance, tol):
		return fmt.Errorf("%s: the optimum is %.12g, the reference %.12g", r.Name, r.Convex, r.Reference)
	}
	return nil
}

// Instances are those that come with the package, in the order of the table.
func Instances() ([]Instance, error) {
	names, err := fs.Glob(problems.Files, "*.expected.json")
	if err != nil {
		return nil, err
	}
	var out []Instance
	for _, name := range names {
		b, err := problems.Files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var want struct {
			Optimum             *float64
			Row, System, Origin string
			Tolerance           float64 `json:"relative_tolerance"`
		}
		if err := json.Unmarshal(b, &want); err != nil {
			return nil, fmt.Errorf("equality: %s: %w", name, err)
		}
		if want.Row == "" {
			continue
		}
		file := strings.TrimSuffix(name, ".expected.json") + ".json"
		f, err := problems.Files.Open(file)
		if err != nil {
			return nil, err
		}
		p, err := convex.ParseProblem(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("equality: %s: %w", file, err)
		}
		i := Instance{Row: want.Row, System: want.System, Origin: want.Origin, Problem: p, Reference: math.NaN(), Tolerance: want.Tolerance}
		if want.Optimum != nil {
			i.Reference = *want.Optimum
		}
		out = append(out, i)
	}
	number := func(row string) int {
		if n, err := strconv.Atoi(row); err == nil {
			return n
		}
		return math.MaxInt
	}
	sort.SliceStable(out, func(a, b int) bool {
		if x, y := number(out[a].Row), number(out[b].Row); x != y {
			return x < y
		}
		return out[a].System < out[b].System
	})
	return out, nil
}

// Options are the settings of Run. The zero value means the defaults.
type Options struct {
	Tol    float64 // of the solve; 0: 1e-9, or what can be reached
	Starts int     // descents from random weights; 0: 60, negative: none
	Seed   uint64  // of the first
}

// Run makes the row of an instance. An interrupted context is an error.
func Run(ctx context.Context, i Instance, o Options) (Row, error) {
	if o.Tol == 0 {
		o.Tol = 1e-9
	}
	if o.Starts == 0 {
		o.Starts = 60
	}
	p := i.Problem
	r := Row{Row: i.Row, System: i.System, Name: p.Name, Reference: i.Reference, Tolerance: i.Tolerance, Descent: math.NaN()}
	quiet := func(convex.Progress) {}
	sol, err := convex.Solve(ctx, p, &convex.Settings{Tol: o.Tol, Progress: quiet})
	if err != nil {
		return r, fmt.Errorf("equality: %s: %w", p.Name, err)
	}
	r.Convex, r.Lower, r.Status, r.Scope = sol.Certificate.Primal, sol.Lower, sol.Status.String(), sol.Scope.String()
	if sol.Program.Relaxation {
		r.Convex = sol.Primal // the program is a bound, and the network searched for
	}
	if r.Network, err = sol.Network.Objective(p); err != nil {
		return r, fmt.Errorf("equality: %s: %w", p.Name, err)
	}
	if o.Starts > 0 && ctx.Err() == nil {
		runs, err := sgd.Runs(ctx, p, options(p, o), o.Starts)
		if err != nil {
			r.Note = err.Error()
		}
		for _, run := range runs {
			if run == nil {
				continue
			}
			r.Starts++
			if v, err := run.Network.Objective(p); err == nil && !(v >= r.Descent) {
				r.Descent = v
			}
		}
	}
	return r, ctx.Err()
}

// options are those of the descents: as many neurons as an optimum needs and
// some to spare, many random ones where nothing descends.
func options(p convex.Problem, o Options) *sgd.Options {
	s := &sgd.Options{Method: "lbfgs", Seed: o.Seed, Progress: func(convex.Progress) {}}
	n, c := p.Y.Dims()
	switch p.Arch.(type) {
	case convex.GatedReLU:
	case convex.Threshold:
		s.Neurons = 2000
	default:
		s.Neurons = n*c + 4
	}
	return s
}

// Write prints rows as an aligned table; each value is followed by the digits
// that it shares with the first.
func Write(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tsystem\tinstance\tconvex optimum\tnetwork\tdigits\tbest descent\tdigits\tlower bound\tdigits\treference\tdigits\tstarts")
	value := func(v float64) string {
		if math.IsNaN(v) {
			return "-"
		}
		return fmt.Sprintf("%.10g", v)
	}
	digits := func(v float64, d int) string {
		if math.IsNaN(v) {
			return "-"
		}
		return strconv.Itoa(d)
	}
	for _, r := range rows {
		network, descent, lower, reference := r.Shared()
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%d\t%s\t%s\t%d\n", r.Row, r.System, r.Name, value(r.Convex), value(r.Network), network,
			value(r.Descent), digits(r.Descent, descent), value(r.Lower), lower, value(r.Reference), digits(r.Reference, reference), r.Starts)
	}
	return t.Flush()
}
