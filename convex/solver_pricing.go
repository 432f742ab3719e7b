package convex

import (
	"context"
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/mat"
)

// Pricing is column generation over the blocks of a program: the interior-point
// method solves it over a few blocks, all others are priced at the dual point,
// and those whose dual constraint is violated join, until the gap over all
// blocks is closed. It takes programs with more blocks than the interior-point
// method has memory for and with parts that the working-set method does not
// know: free blocks, such as an output bias or a linear skip connection, winner
// cones, other norms than the Euclidean one.
type Pricing struct{}

func init() { RegisterSolver(Pricing{}, 25) }

// Name is "pricing".
func (Pricing) Name() string { return "pricing" }

// Uses wants what the interior-point method wants, Polar of the penalty, and
// several blocks.
func (Pricing) Uses(prog *Program) error {
	if prog.Penalty.Polar == nil {
		return fmt.Errorf("needs Polar of penalty %q", prog.Penalty.Name)
	}
	free, least := 0, 0
	for _, b := range prog.Blocks {
		if b.Weight == 0 {
			free += b.Len()
		} else if least == 0 || b.Len() < least {
			least = b.Len()
		}
	}
	if len(prog.Blocks) < 3 || least == 0 {
		return fmt.Errorf("needs several penalised blocks, the program has %d blocks", len(prog.Blocks))
	}
	if prog.Penalty.norm() == "squares" {
		return fmt.Errorf("needs a penalty that is a norm, the program has %q", prog.Penalty.Name)
	}
	// As many blocks as an optimum can have, and as many candidates.
	few := *prog
	few.Blocks, few.Op.Cols = nil, 0
	for _, b := range prog.Blocks {
		if b.Weight == 0 || len(few.Blocks) < 4*prog.Op.Rows {
			few.Blocks = append(few.Blocks, b)
			few.Op.Cols += b.Len()
		}
	}
	return Interior{}.Uses(&few)
}

// Solve runs until the certified gap over all blocks is below the tolerance.
func (Pricing) Solve(ctx context.Context, prog *Program, s *Settings) (*Point, error) {
	mon := NewMonitor(ctx, "pricing", s)
	best := bestPoint{primal: math.Inf(1), lower: math.Inf(-1)}
	f := make([]float64, prog.Op.Rows)
	look := func(x []float64) error {
		prog.Op.Apply(f, x)
		_, err := best.look(ctx, prog, x, f)
		return err
	}
	in := make([]bool, len(prog.Blocks))
	for i, b := range prog.Blocks {
		in[i] = b.Weight == 0
	}
	start := s.StartPoint(prog)
	if start == nil {
		start = make([]float64, prog.Op.Cols)
	} else {
		prog.repair(start)
		if prog.Op.Rows <= maxPruned {
			prog.pruneBlocks(start)
		}
		for i, b := range prog.Blocks {
			in[i] = in[i] || norm2(b.Of(start)) > 0
		}
		if s.Warm != nil && len(s.Warm.Certificate.Dual) == prog.Op.Rows {
			if _, err := best.bound(ctx, prog, s.Warm.Certificate.Dual); err != nil {
				return nil, err
			}
		}
	}
	if err := look(start); err != nil {
		return nil, err
	}
	warm := norm2(start) > 0
	v := append([]float64(nil), best.dual...)
	iterations := 0
	end := func(status Status) (*Point, error) {
		mon.Report(best.progress(iterations, prog))
		return &Point{X: best.x, Dual: best.dual, Status: status, Iter: iterations, Trace: mon.Trace(), Solver: "pricing"}, nil
	}
	idle := make([]int, len(prog.Blocks))
	thin := thinCones{prog: prog, rows: map[int][]int{}}
	grown := 0
	tol := 1e-3 // of the rounds; the last ones are exact
	for round := 0; ; round++ {
		gap := relativeGap(best.primal, best.lower)
		if gap <= 0.9*s.Tol {
			return end(Optimal)
		}
		if status, stop := mon.Stop(iterations, 100*conicLimit); stop {
			return end(status)
		}
		added := 0
		if round > 0 || !warm { // the slope at a start is no price yet
			added = prog.price(ctx, v, in, max(prog.Op.Rows, 50))
		}
		if added == 0 && grown == 0 && round > 0 && tol <= 0.1*s.Tol {
			return end(Numerical) // nothing to add, and the gap is what rounding leaves
		}
		if tol = math.Min(tol, 0.1*gap); added == 0 && grown == 0 || !(tol > 0.1*s.Tol) {
			tol = 0.1 * s.Tol
		}
		sub, of := prog.over(in)
		thin.of(sub, of, best.x, v)
		pt, err := Interior{}.Solve(ctx, sub, &Settings{Tol: tol, Progress: func(Progress) {}})
		if err != nil {
			return nil, err
		}
		iterations += pt.Iter
		x := make([]float64, prog.Op.Cols)
		grown = 0
		for k, i := range of {
			z := sub.Blocks[k].Of(pt.X)
			grown += thin.grow(i, z)
			copy(prog.Blocks[i].Of(x), z)
			if idle[i]++; norm2(z) > 0 {
				idle[i] = 0
			}
			in[i] = idle[i] < 3 || prog.Blocks[i].Weight == 0
		}
		if len(thin.rows) > 0 {
			prog.repair(x)
		}
		if err := look(x); err != nil {
			return nil, err
		}
		if len(pt.Dual) == len(f) {
			v = pt.Dual
			if _, err := best.bound(ctx, prog, v); err != nil {
				return nil, err
			}
		}
		mon.Report(best.progress(iterations, prog))
	}
}

// price adds to the blocks in those whose dual constraint v violates most, at
// most a number of them, and returns how many.
func (prog *Program) price(ctx context.Context, v []float64, in []bool, most int) int {
	if len(v) != prog.Op.Rows {
		return 0
	}
	g := make([]float64, prog.Op.Cols)
	v, _ = prog.orthogonalToFree(v)
	prog.Op.Adjoint(g, v)
	polar := make([]float64, len(prog.Blocks))
	var cones *coneWork
	if prog.Cones != nil {
		cones = prog.newConeWork(prog.coneData())
	}
	var out []int
	for i, b := range prog.Blocks {
		z := b.Of(g)
		if in[i] || norm2(z) == 0 {
			continue
		}
		if polar[i] = prog.Penalty.Polar(z, b.Rows, b.Cols) / b.Weight; polar[i] > 1 {
			out = append(out, i)
		}
	}
	// The plain polar is an upper bound: cones are looked into from the top.
	sort.SliceStable(out, func(a, b int) bool { return polar[out[a]] > polar[out[b]] })
	added := 0
	for _, i := range out {
		if added == most || ctx.Err() != nil {
			break
		}
		if cones != nil {
			if p, _ := cones.of(i); p != nil && cones.polar(i, g, 1) <= 1 {
				continue
			}
		}
		in[i] = true
		added++
	}
	return added
}

// over is the program over the blocks in, with their indices.
func (prog *Program) over(in []bool) (sub *Program, of []int) {
	part := *prog
	sub = &part
	sub.Blocks, sub.Decode, sub.AllPatterns = nil, nil, nil
	for i, b := range prog.Blocks {
		if in[i] {
			of = append(of, i)
			b.Offset = 0
			if k := len(sub.Blocks); k > 0 {
				b.Offset = sub.Blocks[k-1].Offset + sub.Blocks[k-1].Len()
			}
			sub.Blocks = append(sub.Blocks, b)
		}
	}
	sub.Op = prog.Op.over(prog.Blocks, of)
	if cones := prog.Cones; cones != nil {
		block := cones.block()
		sub.Cones = &Cones{Name: cones.Name, Block: func(k int) *mat.Dense { return block(of[k]) }}
	}
	return sub, of
}

// thinCones leaves out of cones of many rows those that have not mattered yet,
// which is nearly all of them: a cone has few facets near any point. Rows that
// a point violates come back.
type thinCones struct {
	prog *Program
	rows map[int][]int // of the blocks that are thin
}

const (
	thinAbove = 20 // times the variables: rows of a cone from which on it is thin
	thinFirst = 6  // times the variables: rows to begin with, the tightest
	thinMore  = 2  // times the variables: most rows that come back at once
)

// of makes the cones of sub, over the blocks of, thin. A block new here begins
// with the rows that are tightest at x or, where that is zero, at A'v.
func (t *thinCones) of(sub *Program, of []int, x, v []float64) {
	if sub.Cones == nil {
		return
	}
	var g []float64
	for _, i := range of {
		b := t.prog.Blocks[i]
		if t.rows[i] != nil || !t.many(i) {
			continue
		}
		z := b.Of(x)
		if norm2(z) == 0 {
			if len(v) != t.prog.Op.Rows {
				continue
			}
			if g == nil {
				g = make([]float64, t.prog.Op.Cols)
				t.prog.Op.Adjoint(g, v)
			}
			z = b.Of(g)
		}
		t.add(i, z, thinFirst*b.Len(), math.Inf(1))
	}
	block := sub.Cones.Block
	sub.Cones = &Cones{Name: sub.Cones.Name, Block: func(k int) *mat.Dense {
		G, rows := block(k), t.rows[of[k]]
		if rows == nil {
			return G
		}
		part := mat.NewDense(len(rows), G.RawMatrix().Cols, nil)
		for j, r := range rows {
			part.SetRow(j, G.RawRowView(r))
		}
		return part
	}}
}

func (t *thinCones) many(i int) bool {
	G := t.prog.Cones.block()(i)
	if G == nil || G.IsEmpty() {
		return false
	}
	r, _ := G.Dims()
	return r > thinAbove*t.prog.Blocks[i].Len()
}

// grow brings back the rows of block i that z violates, and returns how many.
func (t *thinCones) grow(i int, z []float64) int {
	if t.rows[i] == nil || norm2(z) == 0 {
		return 0
	}
	return t.add(i, z, thinMore*len(z), -1e-10)
}

// add adds at most a number of rows whose slack at z, for rows and z of length
// one, is below a limit.
func (t *thinCones) add(i int, z []float64, most int, below float64) int {
	G, size := t.prog.Cones.block()(i), norm2(z)
	in := map[int]bool{}
	for _, r := range t.rows[i] {
		in[r] = true
	}
	type row struct {
		at    int
		slack float64
	}
	var found []row
	n, _ := G.Dims()
	for r := range n {
		x := G.RawRowView(r)
		if long := norm2(x); long > 0 && !in[r] {
			if s := dot(x, z) / (long * size); s < below {
				found = append(found, row{r, s})
			}
		}
	}
	sort.Slice(found, func(a, b int) bool { return found[a].slack < found[b].slack })
	found = found[:min(most, len(found))]
	for _, r := range found {
		t.rows[i] = append(t.rows[i], r.at)
	}
	return len(found)
}
