package convex

import (
	"context"
	"math"
	"sort"
	"time"

	"gonum.org/v1/gonum/mat"
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

	// column is Φ(u), samples·outputs × width, row-major.
	column func(u []float64) []float64
	// price returns local maximisers u of |Φ(u)'v|₂, at least one; it may start
	// from those in use.
	price func(ctx context.Context, v []float64, from [][]float64) [][]float64
	// bound is an upper bound on the maximum; nil when there is none.
	bound func(ctx context.Context, v []float64) float64
	// rough says that price searches, and bound is too weak to stop at: the
	// search then has a time limit.
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
	if len(x) <= maxPruned {
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
	deadline := time.Now().Add(generationTime)
	if end, ok := ctx.Deadline(); ok {
		deadline = time.Now().Add(time.Until(end) / 2)
	}
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
	stalled := 0
	for round := 0; ; round++ {
		prog := c.program(u)
		s.Use = nil
		if (Interior{}).Uses(prog) == nil {
			s.Use = Interior{} // near columns that are almost parallel it is the only one that converges
		}
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
		if sol.Certificate.Primal >= out.primal-tol/10*math.Abs(out.primal) {
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
		late := c.rough && time.Now().After(deadline)
		if len(duals) == 0 || ctx.Err() != nil || late || round+1 >= rounds || stalled > 2 || relativeGap(out.primal, out.lower) <= tol {
			return out, nil
		}
		// Keep the columns in use, and add the best new ones.
		v := duals[0]
		var keep [][]float64
		for i, b := range prog.Blocks[:len(u)] {
			if norm2(b.Of(sol.Certificate.X)) > 0 {
				keep = append(keep, u[i])
			}
		}
		found := c.price(ctx, v, keep)
		value := func(u []float64) float64 { return c.polar(u, v) }
		sortByDescending(found, value)
		used := len(keep)
		for _, w := range found {
			if len(keep) < used+2*rows+10 && value(w) > c.beta*(1+1e-12) && !near(keep, w) {
				keep = append(keep, w)
			}
		}
		if len(keep) == used {
			return out, nil
		}
		u = keep
	}
}

// uphill climbs a function of points that project brings back to its domain
// from x, in place, by gradient steps whose length adapts; value sets g, unless
// nil, to the gradient.
func uphill(x []float64, value func(x, g []float64) float64, project func(x []float64)) float64 {
	g, trial, next := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
	project(x)
	best := value(x, g)
	for it, step := 0, 1.0; it < 80 && step > 1e-4; it++ {
		size := norm2(g)
		if size == 0 {
			break
		}
		copy(trial, x)
		axpy(step/size, g, trial)
		project(trial)
		if v := value(trial, next); v > best*(1+1e-12) {
			best = v
			copy(x, trial)
			copy(g, next)
			step = math.Min(2*step, 1)
		} else {
			step *= 0.4
		}
	}
	return best
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
