package convex

import (
	"context"
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/mat"
)

// BlockSet is a working set over the blocks of any program with cones and a
// norm as penalty: it solves the program over a few blocks by the interior-point
// method, prices all others at its dual point by projection on their cones, adds
// the worst, and repeats. Every round has the lower bound of the scaled dual
// point. It is for the many small blocks of programs that WorkingSet, which
// knows activation patterns of one matrix only, does not take.
type BlockSet struct{}

func init() { RegisterSolver(BlockSet{}, 25) }

// Name is "blocks".
func (BlockSet) Name() string { return "blocks" }

// blockSetAdd is the number of blocks of the first round, and the most that are
// added in another.
const blockSetAdd = 40

// Uses wants cones, Polar of the penalty, Grad or Subgrad of the loss, and what
// the interior-point method needs for a few of the blocks.
func (BlockSet) Uses(prog *Program) error {
	switch {
	case prog.Cones == nil:
		return fmt.Errorf("is for programs with cones")
	case prog.Penalty.Polar == nil:
		return fmt.Errorf("needs Polar of penalty %q", prog.Penalty.Name)
	case prog.Loss.anyGrad() == nil:
		return fmt.Errorf("needs Grad or Subgrad of loss %q", prog.Loss.Name)
	}
	few := *prog
	few.Blocks = prog.Blocks[:min(len(prog.Blocks), 2*blockSetAdd)]
	return (Interior{}).Uses(&few)
}

// blockSet is a run.
type blockSet struct {
	prog    *Program
	work    []int             // blocks in use, in order
	columns map[int][]float64 // their columns, Op.Rows × length
	unit    []float64
}

// Solve runs until the certified gap is below the tolerance.
func (BlockSet) Solve(ctx context.Context, prog *Program, s *Settings) (*Point, error) {
	mon := NewMonitor(ctx, "blocks", s)
	best := bestPoint{primal: math.Inf(1), lower: math.Inf(-1)}
	r := &blockSet{prog: prog, columns: map[int][]float64{}, unit: make([]float64, prog.Op.Cols)}
	f, g := make([]float64, prog.Op.Rows), make([]float64, prog.Op.Cols)
	end := func(status Status, it int) (*Point, error) {
		mon.Report(best.progress(it, prog))
		return &Point{X: best.x, Dual: best.dual, Status: status, Iter: it, Trace: mon.Trace(), Solver: "blocks"}, nil
	}
	look := func(x []float64) error {
		prog.Op.Apply(f, x)
		_, err := best.look(ctx, prog, x, f)
		return err
	}
	if err := look(make([]float64, prog.Op.Cols)); err != nil {
		return nil, err
	}
	if x := s.StartPoint(prog); x != nil {
		prog.repair(x)
		if err := look(x); err != nil {
			return nil, err
		}
		if d := s.Warm.Certificate.Dual; len(d) == prog.Op.Rows {
			if _, err := best.bound(ctx, prog, d); err != nil {
				return nil, err
			}
		}
		for b, blk := range prog.Blocks {
			if norm2(blk.Of(x)) > 0 {
				r.add(b)
			}
		}
	}
	for b, blk := range prog.Blocks {
		if blk.Weight == 0 {
			r.add(b)
		}
	}
	price := append([]float64(nil), best.dual...) // where to price
	if len(price) == 0 {
		price = make([]float64, prog.Op.Rows)
		prog.Loss.anyGrad()(price, f)
		scale(-1, price)
	}
	tol, stuck := 1e-3, 0
	for it := 0; ; it++ {
		if relativeGap(best.primal, best.lower) <= s.Tol {
			return end(Optimal, it)
		}
		if status, stop := mon.Stop(it, 200); stop {
			return end(status, it)
		}
		prog.Op.Adjoint(g, price)
		added := 0
		for _, b := range r.worst(ctx, g) {
			if added < blockSetAdd && r.add(b) {
				added++
			}
		}
		if added == 0 {
			if tol <= s.Tol/100 {
				if stuck++; stuck > 2 {
					return end(Numerical, it)
				}
			}
			tol = math.Max(tol/100, s.Tol/100)
		}
		sol, err := SolveProgram(ctx, r.program(), &Settings{Use: Interior{}, Tol: math.Max(tol, 1e-12), Progress: func(Progress) {}})
		if err != nil {
			return nil, err
		}
		x := make([]float64, prog.Op.Cols)
		at := 0
		for _, b := range r.work {
			at += copy(prog.Blocks[b].Of(x), sol.Certificate.X[at:])
		}
		last := best.lower
		if err := look(x); err != nil {
			return nil, err
		}
		if d := sol.Certificate.Dual; d != nil {
			if _, err := best.bound(ctx, prog, d); err != nil {
				return nil, err
			}
			price = append(price[:0], d...)
		}
		if added > 0 && best.lower <= last && tol > s.Tol/100 {
			tol /= 10
		}
		mon.Report(best.progress(it+1, prog))
		r.forget(x)
	}
}

// add takes block b into the working set; false if it is there.
func (r *blockSet) add(b int) bool {
	i := sort.SearchInts(r.work, b)
	if i < len(r.work) && r.work[i] == b {
		return false
	}
	r.work = append(r.work, 0)
	copy(r.work[i+1:], r.work[i:])
	r.work[i] = b
	if r.columns[b] == nil {
		blk := r.prog.Blocks[b]
		k := blk.Len()
		A := make([]float64, r.prog.Op.Rows*k)
		col := make([]float64, r.prog.Op.Rows)
		for j := range k {
			blk.Of(r.unit)[j] = 1
			r.prog.Op.Apply(col, r.unit)
			blk.Of(r.unit)[j] = 0
			for i, v := range col {
				A[i*k+j] = v
			}
		}
		r.columns[b] = A
	}
	return true
}

// forget drops the blocks that are zero in x when there are many.
func (r *blockSet) forget(x []float64) {
	if len(r.work) < 8*blockSetAdd {
		return
	}
	keep := r.work[:0]
	for _, b := range r.work {
		if blk := r.prog.Blocks[b]; blk.Weight == 0 || norm2(blk.Of(x)) > 0 {
			keep = append(keep, b)
		}
	}
	r.work = keep
}

// program is the one over the working set.
func (r *blockSet) program() *Program {
	p := *r.prog
	p.Blocks, p.Decode, p.round, p.parts, p.AllPatterns, p.Relaxation = nil, nil, nil, nil, nil, false
	cols := 0
	for _, b := range r.work {
		blk := r.prog.Blocks[b]
		blk.Offset = cols
		cols += blk.Len()
		p.Blocks = append(p.Blocks, blk)
	}
	rows := r.prog.Op.Rows
	A := mat.NewDense(rows, max(cols, 1), nil)
	for i, b := range r.work {
		k := p.Blocks[i].Len()
		A.Slice(0, rows, p.Blocks[i].Offset, p.Blocks[i].Offset+k).(*mat.Dense).Copy(mat.NewDense(rows, k, r.columns[b]))
	}
	p.Op = DenseOp(A)
	p.Op.Cols = cols
	work, cones := append([]int(nil), r.work...), r.prog.Cones
	p.Cones = &Cones{Name: cones.Name, Block: func(b int) *mat.Dense { return cones.Block(work[b]) }}
	return &p
}

// worst lists blocks outside the working set whose polar at g is above 1, the
// largest first.
func (r *blockSet) worst(ctx context.Context, g []float64) []int {
	prog := r.prog
	in := map[int]bool{}
	for _, b := range r.work {
		in[b] = true
	}
	var todo []int
	for b, blk := range prog.Blocks {
		if z := blk.Of(g); !in[b] && blk.Weight > 0 && norm2(z) > 0 && prog.Penalty.Polar(z, blk.Rows, blk.Cols) > blk.Weight {
			todo = append(todo, b)
		}
	}
	polar := make([]float64, len(todo))
	parallel(len(todo), 16, func(lo, hi int) {
		w := prog.newConeWork()
		for i := lo; i < hi && ctx.Err() == nil; i++ {
			polar[i] = w.polar(todo[i], g, 0)
		}
	})
	order := make([]int, 0, len(todo))
	for i, p := range polar {
		if p > 1+1e-12 {
			order = append(order, i)
		}
	}
	sort.Slice(order, func(a, b int) bool {
		if polar[order[a]] != polar[order[b]] {
			return polar[order[a]] > polar[order[b]]
		}
		return order[a] < order[b]
	})
	for i, k := range order {
		order[i] = todo[k]
	}
	return order
}
