package convex

import (
	"context"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"
)

// columnSearch trains a network whose neurons are a continuum,
//
//	f = Σ_j Φ(u_j) w_j,   penalty beta Σ_j |w_j|₂,   u_j in a compact set,
//
// by column generation: solve the group lasso over finitely many u_j exactly,
// look for u with |Φ(u)'v|₂ > beta at its dual v, add them, repeat. The
// objective never rises. With a bound on max_u |Φ(u)'v|₂ every round also gives
// a lower bound over all u.
type columnSearch struct {
	loss    Fn
	beta    float64
	samples int
	outputs int
	width   int  // length of w_j
	bias    bool // each output has a free number of its own

	// column is Φ(u), samples·outputs × width, row-major. u is made of parts of
	// length one each.
	column func(u []float64) []float64
	parts  []int // their lengths
	// slope adds to g the gradient of v'Φ(u)w by u; nil when the search has no
	// need to move neurons.
	slope func(u, w, v, g []float64)
	// price returns local maximisers u of |Φ(u)'v|₂, at least one; it may start
	// from those in use.
	price func(ctx context.Context, v []float64, from [][]float64) [][]float64
	// bound is an upper bound on the maximum; nil when there is none.
	bound func(ctx context.Context, v []float64) float64
	// rough says that price searches, and bound is too weak to stop at: the
	// search then has a time limit, and moves the neurons it has downhill, all at
	// once, between rounds.
	rough bool

	mon *Monitor
}

// columns are what a search found.
type columns struct {
	u      [][]float64
	w      [][]float64 // their weights
	bias   []float64   // nil without
	primal float64
	lower  float64     // over all u; -Inf without a bound
	duals  [][]float64 // v behind lower
}

// maxRounds is the number of rounds of a search; each adds all local maximisers
// found.
const maxRounds = 100

// roughColumns is the most columns that a round of a rough search adds: it has
// many rounds, and their solves take longer than it does.
const roughColumns = 40

// lower is the program over the columns of a search, or over those that sample
// returns when s asks for samples.
func (c *columnSearch) lower(ctx context.Context, s *Settings, sample func() [][]float64) (*Program, [][]float64, error) {
	var u, duals [][]float64
	if s.Samples > 0 {
		u = sample()
	} else {
		found, err := c.grow(ctx, nil, s.Tol/10, maxRounds)
		if err != nil {
			return nil, nil, err
		}
		u, duals = found.u, found.duals
	}
	prog := c.plain(u) // the caller adds the bias
	prog.Name, prog.Duals = "", duals
	return prog, u, nil
}

// grow searches until the bound is within tol of the objective, no column
// improves it, or ctx ends, starting from columns u, which may be empty. Only
// columns that an optimum needs are left; at least one.
func (c *columnSearch) grow(ctx context.Context, u [][]float64, tol float64, rounds int) (*columns, error) {
	out, err := c.search(ctx, u, tol, rounds)
	if err != nil {
		return nil, err
	}
	// Columns that converge to one another are more than an optimum needs.
	prog := c.plain(out.u)
	x := make([]float64, prog.Op.Cols)
	for j, b := range prog.Blocks {
		copy(b.Of(x), out.w[j])
	}
	if prog.Op.Rows <= maxPruned {
		prog.pruneBlocks(x)
	}
	first := out.u[0]
	all := out.u
	out.u, out.w = nil, nil
	for j, b := range prog.Blocks {
		if w := b.Of(x); norm2(w) > 0 {
			out.u, out.w = append(out.u, all[j]), append(out.w, w)
		}
	}
	if len(out.u) == 0 {
		out.u, out.w = [][]float64{first}, [][]float64{make([]float64, c.width)}
	}
	return out, nil
}

func (c *columnSearch) search(ctx context.Context, u [][]float64, tol float64, rounds int) (*columns, error) {
	rows := c.samples * c.outputs
	out := &columns{lower: math.Inf(-1), primal: math.Inf(1)}
	deadline := generationSpan(ctx).to
	slope := c.loss.anyGrad()
	if len(u) == 0 {
		v := make([]float64, rows)
		if slope != nil {
			slope(v, v)
			scale(-1, v)
		}
		v, _ = c.program(nil).orthogonalToFree(v)
		u = c.price(ctx, v, nil)
	}
	s := &Settings{Tol: math.Min(math.Max(tol/10, 1e-11), 1e-7), NoPrune: true, Progress: func(Progress) {}}
	most := 2*rows + 10 // columns added a round
	outer := ctx
	if c.rough {
		s.Tol, most = math.Max(s.Tol, 1e-5), roughColumns
	}
	stalled := 0
	for round := 0; ; round++ {
		if c.rough && round == 1 { // the first solve is never cut short
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(outer, deadline)
			defer cancel()
		}
		prog := c.program(u)
		prog.AllPatterns = nil // asked below, and not for every solve
		sol, err := SolveProgram(ctx, prog, s)
		if err != nil {
			return nil, err
		}
		// Candidates for the dual: that of the solver and the loss's slope.
		duals := [][]float64{}
		if sol.Certificate.Dual != nil {
			duals = append(duals, sol.Certificate.Dual)
		}
		if slope != nil {
			v := make([]float64, rows)
			prog.Op.Apply(v, sol.Certificate.X)
			slope(v, v)
			scale(-1, v)
			v, _ = prog.orthogonalToFree(v)
			duals = append(duals, v)
		}
		least := tol / 10
		if c.rough {
			least = math.Max(least, 1e-5)
		}
		if sol.Certificate.Primal >= out.primal-least*math.Abs(out.primal) {
			stalled++
		} else {
			stalled = 0
		}
		if sol.Certificate.Primal < out.primal {
			out.u, out.w, out.primal = u, nil, sol.Certificate.Primal
			x := append([]float64(nil), sol.Certificate.X...)
			for _, b := range prog.Blocks[:len(u)] {
				out.w = append(out.w, b.Of(x))
			}
			if c.bias {
				out.bias = x[len(u)*c.width:]
			}
		}
		if c.bound != nil && c.loss.Conj != nil && (!c.rough || round == 0) {
			for _, v := range duals {
				limit := math.Inf(1)
				if M := c.bound(ctx, v); M > 0 {
					limit = c.beta / M
				}
				if low := rayBound(c.loss, v, limit); low > out.lower {
					out.lower, out.duals = low, [][]float64{v}
				}
			}
		}
		c.mon.Report(Progress{Iter: round, Primal: out.primal, Lower: out.lower, Active: prog.ActiveBlocks(sol.Certificate.X)})
		if len(duals) == 0 || ctx.Err() != nil || round+1 >= rounds || stalled > 2 || relativeGap(out.primal, out.lower) <= tol {
			return out, nil
		}
		// Keep the columns in use, and add the best new ones.
		v := duals[0]
		var keep, weights [][]float64
		for i, b := range prog.Blocks[:len(u)] {
			if w := b.Of(sol.Certificate.X); norm2(w) > 0 {
				keep, weights = append(keep, u[i]), append(weights, w)
			}
		}
		if c.rough && len(keep) > 0 {
			moved := c.descend(ctx, keep, weights, sol.Certificate.X[len(u)*c.width:])
			for _, w := range moved {
				if !near(keep, w) {
					keep = append(keep, w)
				}
			}
		}
		found := c.price(ctx, v, keep)
		value := func(u []float64) float64 { return c.polar(u, v) }
		sortByDescending(found, value)
		used := len(keep)
		for _, w := range found {
			if len(keep) < used+most && value(w) > c.beta*(1+1e-12) && !near(keep, w) {
				keep = append(keep, w)
			}
		}
		if len(keep) == 0 || len(keep) == used && !c.rough {
			return out, nil
		}
		u = keep
	}
}

// unit brings every part of u to length one.
func (c *columnSearch) unit(u []float64) {
	for _, k := range c.parts {
		normalise(u[:k])
		u = u[k:]
	}
}

// across removes from g its components along the parts of u.
func (c *columnSearch) across(g, u []float64) {
	for _, k := range c.parts {
		axpy(-dot(g[:k], u[:k]), u[:k], g[:k])
		g, u = g[k:], u[k:]
	}
}

// uphill climbs |Φ(u)'v|₂, which value returns with its gradient g (unless nil),
// from u, in place, by gradient steps whose length adapts.
func (c *columnSearch) uphill(ctx context.Context, u []float64, value func(u, g []float64) float64) float64 {
	g, trial, next := make([]float64, len(u)), make([]float64, len(u)), make([]float64, len(u))
	c.unit(u)
	best := value(u, g)
	for it, step := 0, 1.0; it < 80 && step > 1e-4 && ctx.Err() == nil; it++ {
		size := norm2(g)
		if size == 0 {
			break
		}
		copy(trial, u)
		axpy(step/size, g, trial)
		c.unit(trial)
		if v := value(trial, next); v > best*(1+1e-12) {
			best = v
			copy(u, trial)
			copy(g, next)
			step = math.Min(2*step, 1)
		} else {
			step *= 0.4
		}
	}
	return best
}

// descentSteps is the number of steps of a descent.
const descentSteps = 200

// descend lowers the objective of the network of neurons u with weights w and
// biases by the quasi-Newton method in all of them, and returns where the
// neurons went.
func (c *columnSearch) descend(ctx context.Context, u, w [][]float64, bias []float64) [][]float64 {
	slope := c.loss.anyGrad()
	if slope == nil {
		return nil
	}
	d, rows := len(u[0]), c.samples*c.outputs
	var start []float64
	for j := range u {
		start = append(append(start, u[j]...), w[j]...)
	}
	size := d + c.width
	start = append(start, bias...)
	f, v := make([]float64, rows), make([]float64, rows)
	columns := make([][]float64, len(u))
	units := make([][]float64, len(u))
	var last []float64 // where columns, f and penalty are of
	penalty := 0.0
	predict := func(x []float64) {
		if slices.Equal(x, last) {
			return
		}
		last = append(last[:0], x...)
		penalty = 0
		parallel(len(u), 1, func(lo, hi int) {
			for j := lo; j < hi; j++ {
				units[j] = append([]float64(nil), x[j*size:j*size+d]...)
				c.unit(units[j])
				columns[j] = c.column(units[j])
			}
		})
		clear(f)
		for j := range u {
			w := x[j*size+d : (j+1)*size]
			penalty += norm2(w)
			for i := range f {
				f[i] += dot(w, columns[j][i*c.width:(i+1)*c.width])
			}
		}
		for o, b := range x[len(u)*size:] {
			for i := o; i < rows; i += c.outputs {
				f[i] += b
			}
		}
	}
	r, err := optimize.Minimize(optimize.Problem{
		Func: func(x []float64) float64 {
			predict(x)
			return c.loss.Value(f) + c.beta*penalty
		},
		Grad: func(g, x []float64) {
			predict(x)
			slope(v, f)
			clear(g)
			parallel(len(u), 1, func(lo, hi int) {
				for j := lo; j < hi; j++ {
					gu, gw := g[j*size:j*size+d], g[j*size+d:(j+1)*size]
					w := x[j*size+d : (j+1)*size]
					c.slope(units[j], w, v, gu)
					// By u through its unit parts.
					c.across(gu, units[j])
					at := 0
					for _, k := range c.parts {
						if s := norm2(x[j*size+at : j*size+at+k]); s > 0 {
							scale(1/s, gu[at:at+k])
						}
						at += k
					}
					for i, t := range v {
						axpy(t, columns[j][i*c.width:(i+1)*c.width], gw)
					}
					if s := norm2(w); s > 0 {
						axpy(c.beta/s, w, gw)
					}
				}
			})
			for o := range x[len(u)*size:] {
				for i := o; i < rows; i += c.outputs {
					g[len(u)*size+o] += v[i]
				}
			}
		},
		Status: func() (optimize.Status, error) {
			if ctx.Err() != nil {
				return optimize.RuntimeLimit, nil
			}
			return optimize.NotTerminated, nil
		},
	}, start, &optimize.Settings{MajorIterations: descentSteps, GradientThreshold: 1e-12}, &optimize.LBFGS{})
	if r == nil || err != nil && len(r.X) != len(start) { // a line search that fails at a kink is no failure
		return nil
	}
	out := make([][]float64, len(u))
	for j := range out {
		out[j] = append([]float64(nil), r.X[j*size:j*size+d]...)
		c.unit(out[j])
	}
	return out
}

// near says whether w is one of u, to rounding.
func near(u [][]float64, w []float64) bool {
	for _, x := range u {
		d := 0.0
		for i, t := range x {
			d = math.Max(d, math.Abs(t-w[i]))
		}
		if d < 1e-11 {
			return true
		}
	}
	return false
}

// polar is |Φ(u)'v|₂.
func (c *columnSearch) polar(u, v []float64) float64 {
	F := c.column(u)
	g := make([]float64, c.width)
	for i, t := range v {
		axpy(t, F[i*c.width:(i+1)*c.width], g)
	}
	return norm2(g)
}

// program is the group lasso over columns u, with the bias if there is one.
func (c *columnSearch) program(u [][]float64) *Program {
	prog := c.plain(u)
	if c.bias {
		prog = prog.withOutputBias()
	}
	return prog
}

func (c *columnSearch) plain(u [][]float64) *Program {
	rows := c.samples * c.outputs
	cols := max(1, len(u)) // a column of zeros stands for none
	A := mat.NewDense(rows, cols*c.width, nil)
	prog := &Program{
		Name: "columns", Samples: c.samples, Outputs: c.outputs,
		Loss: c.loss, Penalty: GroupL1(c.beta),
		Prefer: Interior{}.Name(), // near columns that are almost parallel it is the only one that converges
	}
	for j := range cols {
		if j < len(u) {
			A.Slice(0, rows, j*c.width, (j+1)*c.width).(*mat.Dense).Copy(mat.NewDense(rows, c.width, c.column(u[j])))
		}
		prog.Blocks = append(prog.Blocks, Block{Offset: j * c.width, Rows: c.width, Cols: 1, Weight: 1})
	}
	prog.Op = DenseOp(A)
	if c.bound != nil {
		prog.AllPatterns = func(ctx context.Context, v []float64) float64 { return c.bound(ctx, v) / c.beta }
	}
	return prog
}

// sortByDescending sorts by a value that is costly, computed once each.
func sortByDescending(x [][]float64, value func([]float64) float64) {
	sort.Sort(sort.Reverse(&byValue{x, values(x, value)}))
}

func values(x [][]float64, value func([]float64) float64) []float64 {
	v := make([]float64, len(x))
	for i := range x {
		v[i] = value(x[i])
	}
	return v
}

type byValue struct {
	x [][]float64
	v []float64
}

func (b *byValue) Len() int           { return len(b.x) }
func (b *byValue) Less(i, j int) bool { return b.v[i] < b.v[j] }
func (b *byValue) Swap(i, j int) {
	b.x[i], b.x[j] = b.x[j], b.x[i]
	b.v[i], b.v[j] = b.v[j], b.v[i]
}
