package convex

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"gonum.org/v1/gonum/mat"
)

// Certificate is what Certify proves about a point.
type Certificate struct {
	Primal        float64   // objective of the feasible point X
	Lower         float64   // lower bound on the optimum of the program; -Inf when there is none
	Gap           float64   // (Primal-Lower)/|Primal|; +Inf without a bound
	Infeasibility float64   // largest cone violation left in X, for rows and blocks of length one
	Repaired      float64   // the same of the point given, before it was projected on the cones
	X             []float64 // a feasible point: the one given, projected on the cones where needed
	Dual          []float64 // dual feasible v behind Lower
	Scope         Scope     // of the program
}

// feasible is the cone violation, relative, up to which a block is left alone.
const feasible = 1e-11

// Certify bounds the optimum of prog from both sides, using pt only as a hint:
// the primal value is that of pt.X after a projection on the cones, recomputed
// from scratch; the lower bound is the best that DualBound gives for v = -∇L at
// that point and for pt.Dual. Whatever pt holds, Lower ≤ optimum ≤ Primal.
//
// When ctx has ended, Certify still answers, within about a second, with a
// bound that may be weaker.
func Certify(ctx context.Context, prog *Program, pt *Point) (*Certificate, error) {
	ctx = background(ctx)
	if err := prog.Validate(); err != nil {
		return nil, err
	}
	if pt == nil || len(pt.X) != prog.Op.Cols {
		have := 0
		if pt != nil {
			have = len(pt.X)
		}
		return nil, fmt.Errorf("convex: Certify: the point has %d variables, program %q has %d", have, prog.Name, prog.Op.Cols)
	}
	x := append([]float64(nil), pt.X...)
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("convex: Certify: variable %d of the point is %g", i, v)
		}
	}
	c := &Certificate{X: x, Lower: math.Inf(-1), Scope: prog.Scope}
	c.Repaired, c.Infeasibility = prog.repair(x)

	f := make([]float64, prog.Op.Rows)
	prog.Op.Apply(f, x)
	c.Primal = prog.Loss.Value(f) + prog.penaltyAt(x)

	var candidates [][]float64
	if g := prog.Loss.anyGrad(); g != nil {
		v := make([]float64, len(f))
		g(v, f)
		scale(-1, v)
		candidates = append(candidates, v)
	}
	if len(pt.Dual) == len(f) {
		candidates = append(candidates, pt.Dual)
	}
	var missing error
	hints := &coneHints{sets: maps.Clone(pt.sets)}
	for _, v := range candidates {
		low, dual, err := dualBound(ctx, prog, v, hints)
		if err != nil {
			missing = err
			continue
		}
		if low > c.Lower {
			c.Lower, c.Dual = low, dual
		}
	}
	c.Gap = relativeGap(c.Primal, c.Lower)
	if c.Dual == nil && missing != nil && !errors.Is(missing, errNoBound) {
		return nil, missing
	}
	return c, nil
}

// errNoBound marks programs whose parts do not say enough for a lower bound.
var errNoBound = errors.New("no lower bound")

// DualBound returns a lower bound on the optimum of prog from any vector v of
// Op.Rows numbers, and the dual feasible multiple of v behind it. By weak
// duality
//
//	optimum ≥ max { -L*(-sv) : s ≥ 0, s·max_b polar_b(A_b'v) ≤ 1 }
//
// where polar_b is the dual norm of block b restricted to its cone, itself
// bounded from above by min_{λ≥0} |A_b'v + G_b'λ| at whatever λ was found. A
// good v is -∇L(f) at predictions f that are nearly optimal, of any origin: it
// may be a network trained elsewhere. Blocks without penalty and cone ask for
// A_b'v = 0, and v is projected on that first. The error says which capability of the
// program's parts is missing.
func DualBound(ctx context.Context, prog *Program, v []float64) (float64, []float64, error) {
	return dualBound(ctx, prog, v, nil)
}

// coneHints has, by block, the active set of a projection on its cone. It is
// where projections nearby begin, and proves nothing.
type coneHints struct {
	sync.Mutex
	sets map[int]activeSet
}

func (h *coneHints) of(b int) *activeSet {
	if h == nil {
		return nil
	}
	h.Lock()
	defer h.Unlock()
	s := h.sets[b]
	return &s
}

func (h *coneHints) set(b int, p *coneProjector) {
	if h == nil {
		return
	}
	h.Lock()
	defer h.Unlock()
	if h.sets == nil {
		h.sets = map[int]activeSet{}
	}
	var s activeSet
	s.set(p, false)
	h.sets[b] = s
}

// dualBound is DualBound with hints, which may be nil.
func dualBound(ctx context.Context, prog *Program, v []float64, hints *coneHints) (float64, []float64, error) {
	ctx = background(ctx)
	if err := prog.Validate(); err != nil {
		return 0, nil, err
	}
	if len(v) != prog.Op.Rows {
		return 0, nil, fmt.Errorf("convex: DualBound: v has %d entries, the predictions of program %q have %d", len(v), prog.Name, prog.Op.Rows)
	}
	for i, t := range v {
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return 0, nil, fmt.Errorf("convex: DualBound: entry %d of v is %g", i, t)
		}
	}
	if prog.Loss.Conj == nil {
		return 0, nil, fmt.Errorf("convex: %w: it needs Conj of loss %q", errNoBound, prog.Loss.Name)
	}
	g := make([]float64, prog.Op.Cols)
	v = append([]float64(nil), v...)
	prog.Loss.intoDomain(v)
	v, free := prog.orthogonalToFree(v)
	prog.Op.Adjoint(g, v)
	for _, b := range free {
		clear(b.Of(g)) // zero, but for rounding
	}

	sv := make([]float64, len(v))
	loss := func(s float64) float64 {
		for i, t := range v {
			sv[i] = -s * t
		}
		return -prog.Loss.Conj(sv)
	}
	var value func(s float64) float64
	limit := math.Inf(1)
	switch {
	case prog.Penalty.Polar != nil:
		// Rounding in A'v is covered by a slightly larger M.
		M := prog.maxPolar(ctx, g, hints) * (1 + 1e-15*math.Sqrt(float64(len(v)+16)))
		if M > 0 {
			limit = 1 / M
		}
		value = loss
	case prog.Penalty.Conj != nil && prog.Cones == nil:
		h := make([]float64, len(g))
		value = func(s float64) float64 {
			total := loss(s)
			for _, b := range prog.Blocks {
				z := b.Of(h)
				if b.Weight == 0 {
					if s != 0 && norm2(b.Of(g)) != 0 {
						return math.Inf(-1)
					}
					continue
				}
				for i, t := range b.Of(g) {
					z[i] = s * t / b.Weight
				}
				total -= b.Weight * prog.Penalty.Conj(z, b.Rows, b.Cols)
			}
			return total
		}
	default:
		return 0, nil, fmt.Errorf("convex: %w: it needs Polar of penalty %q", errNoBound, prog.Penalty.Name)
	}
	s, low := maximise(value, limit)
	low -= rounding(prog.Loss, v, s, low)
	if math.IsNaN(low) {
		low = math.Inf(-1)
	}
	dual := append([]float64(nil), v...)
	scale(s, dual)
	return low, dual, nil
}

// orthogonalToFree returns the blocks that neither penalty nor cone holds, and
// v without its part in their range: a dual feasible v has none.
func (prog *Program) orthogonalToFree(v []float64) ([]float64, []Block) {
	var free []Block
	for i, b := range prog.Blocks {
		if prog.isFree(i) {
			free = append(free, b)
		}
	}
	if free == nil {
		return v, nil
	}
	var basis [][]float64
	remove := func(x []float64) {
		for range 2 {
			for _, q := range basis {
				axpy(-dot(q, x), q, x)
			}
		}
	}
	e := make([]float64, prog.Op.Cols)
	for _, b := range free {
		for j := range b.Of(e) {
			b.Of(e)[j] = 1
			a := make([]float64, len(v))
			prog.Op.Apply(a, e)
			b.Of(e)[j] = 0
			size := norm2(a)
			remove(a)
			if n := norm2(a); n > 1e-12*size {
				scale(1/n, a)
				basis = append(basis, a)
			}
		}
	}
	w := append([]float64(nil), v...)
	remove(w)
	if norm2(w) <= 1e-15*math.Sqrt(float64(len(v)+16))*norm2(v) {
		clear(w) // the rounding of what was removed
	}
	return w, free
}

// lossRounding is how far from its infimum a loss is at predictions f that are
// exact but for rounding.
func lossRounding(loss Fn, f []float64) float64 {
	sum := 0.0
	for i, t := range f {
		d := 4e-16 * math.Abs(t)
		if loss.Labels != nil {
			d += 4e-16 * math.Abs(loss.Labels[i])
		}
		if loss.Grad != nil && loss.Lipschitz > 0 {
			d *= d * loss.Lipschitz / 2
		}
		sum += d
	}
	return sum
}

// rounding is a bound, with a margin, on the error of evaluating -L*(-sv).
func rounding(loss Fn, v []float64, s, value float64) float64 {
	size := math.Abs(value)
	for i, t := range v {
		y := 1.0
		if loss.Labels != nil {
			y = math.Abs(loss.Labels[i])
		}
		t = math.Abs(s * t)
		size += t * (t + y)
	}
	return 4e-16 * math.Sqrt(float64(len(v)+16)) * size
}

// rayBound is the largest -L*(-sv) for 0 ≤ s ≤ limit, less its rounding.
func rayBound(loss Fn, v []float64, limit float64) float64 {
	sv := make([]float64, len(v))
	s, low := maximise(func(s float64) float64 {
		for i, t := range v {
			sv[i] = -s * t
		}
		return -loss.Conj(sv)
	}, limit)
	low -= rounding(loss, v, s, low)
	if math.IsNaN(low) {
		return math.Inf(-1)
	}
	return low
}

// maximise returns the best of a concave function on [0, limit], looking first
// at 1 and at the ends. Any point is valid, so it need not be exact.
func maximise(f func(float64) float64, limit float64) (best, value float64) {
	hi := math.Min(limit, 2)
	best, value = 0, f(0)
	try := func(s float64) float64 {
		t := f(s)
		if t > value {
			best, value = s, t
		}
		return t
	}
	try(hi)
	try(math.Min(1, hi))
	const golden = 0.6180339887498949
	a, b := 0.0, hi
	if best > 0 {
		a, b = best/2, math.Min(hi, 2*best)
	}
	x1, x2 := b-golden*(b-a), a+golden*(b-a)
	f1, f2 := try(x1), try(x2)
	for range 60 {
		if f1 < f2 {
			a, x1, f1 = x1, x2, f2
			x2 = a + golden*(b-a)
			f2 = try(x2)
		} else {
			b, x2, f2 = x2, x1, f1
			x1 = b - golden*(b-a)
			f1 = try(x1)
		}
	}
	return best, value
}

// grace is how long a certificate may take once its context has ended.
const grace = time.Second

// maxPolar is an upper bound on the largest polar_b(g_b)/weight_b, exact up to
// the accuracy of the cone projections where it is above 1.
func (prog *Program) maxPolar(ctx context.Context, g []float64, hints *coneHints) float64 {
	type entry struct {
		b     int
		polar float64
	}
	var todo []entry // blocks with cones whose plain bound is above 1
	M := 0.0
	for b, blk := range prog.Blocks {
		z := blk.Of(g)
		p := 0.0
		if norm2(z) > 0 { // a zero is 0 for every norm and every weight
			p = prog.Penalty.Polar(z, blk.Rows, blk.Cols) / blk.Weight
		}
		if math.IsNaN(p) {
			p = math.Inf(1)
		}
		if p > 1 && prog.Cones != nil {
			todo = append(todo, entry{b, p})
			continue
		}
		M = math.Max(M, p)
	}
	if len(todo) == 0 {
		return M
	}
	// From the largest down: once M is at least the plain bound of the rest,
	// the rest cannot matter.
	sort.Slice(todo, func(i, j int) bool {
		if todo[i].polar != todo[j].polar {
			return todo[i].polar > todo[j].polar
		}
		return todo[i].b < todo[j].b
	})
	M = math.Max(M, 1)
	end := make(chan struct{})
	defer close(end)
	var late atomic.Bool
	go func() {
		select {
		case <-ctx.Done():
			select {
			case <-time.After(grace):
				late.Store(true)
			case <-end:
			}
		case <-end:
		}
	}()
	data := prog.coneData()
	var mu sync.Mutex
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(todo)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			cones := prog.newConeWork(data)
			cones.hints = hints
			for {
				i := int(next.Add(1)) - 1
				if i >= len(todo) {
					return
				}
				mu.Lock()
				m := M
				mu.Unlock()
				e := todo[i]
				if e.polar <= m {
					return
				}
				if !late.Load() {
					e.polar = math.Min(e.polar, cones.polar(e.b, g, m))
				}
				mu.Lock()
				M = math.Max(M, e.polar)
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	return M
}

// coneWork projects on the cones of a program; one for each goroutine.
type coneWork struct {
	prog   *Program
	shared *coneProjector // for cones of one data matrix
	on     []uint64       // all-on pattern for other cones
	hints  *coneHints     // may be nil
}

// newConeWork wants the prog.coneData() that goroutines share.
func (prog *Program) newConeWork(data *coneData) *coneWork {
	w := &coneWork{prog: prog}
	if data != nil {
		w.shared = newConeProjector(data)
	}
	return w
}

// coneData is that of the cones of one data matrix, nil for others.
func (prog *Program) coneData() *coneData {
	if m, _ := prog.Cones.masked(); m != nil {
		return newConeData(m.X)
	}
	return nil
}

// of returns the projector and pattern of block b; nil for a free block.
func (w *coneWork) of(b int) (*coneProjector, []uint64) {
	if w.shared != nil {
		m, blocks := w.prog.Cones.masked()
		if b >= blocks {
			return nil, nil
		}
		return w.shared, m.Patterns.Row(m.Pattern(b))
	}
	G := w.prog.Cones.Block(b)
	if G == nil || G.IsEmpty() {
		return nil, nil
	}
	r, _ := G.Dims()
	for len(w.on) < (r+63)/64 {
		w.on = append(w.on, ^uint64(0))
	}
	if G.RawMatrix().Stride != G.RawMatrix().Cols {
		G = mat.DenseCopyOf(G)
	}
	return newConeProjector(newConeData(G)), w.on
}

// polar is an upper bound on the polar of block b at its part of g, over the
// weight; it may stop short once the bound is no more than enough.
func (w *coneWork) polar(b int, g []float64, enough float64) float64 {
	blk := w.prog.Blocks[b]
	pen := w.prog.Penalty
	z := blk.Of(g)
	p, pattern := w.of(b)
	if p == nil {
		return math.Inf(1)
	}
	stop := 0.0
	if pen.GroupL2 > 0 {
		stop = enough * pen.GroupL2 * blk.Weight * (1 - 1e-12)
	}
	v := make([]float64, len(z))
	if _, err := p.project(v, z, pattern, w.hints.of(b), 1e-12, stop); err != nil && len(p.idx) == 0 {
		return math.Inf(1)
	}
	w.hints.set(b, p)
	// Any λ ≥ 0 gives a bound: evaluate at the one found, as it stands.
	copy(v, z)
	size := norm2(z)
	for j, i := range p.idx {
		axpy(p.a[j]*p.c.rowSign(pattern, i), p.c.row(i), v)
		size += p.a[j]
	}
	t := pen.Polar(v, blk.Rows, blk.Cols)
	if pen.GroupL2 > 0 {
		t += 4e-16 * float64(len(z)+2) * size / pen.GroupL2
	} else {
		t *= 1 + 1e-12
		t = math.Min(t, w.conicPolar(b, z))
	}
	return t / blk.Weight
}

// conicPolar bounds the polar of z in the cone of block b for a norm that the
// projection, which is Euclidean, is not made for.
func (w *coneWork) conicPolar(b int, z []float64) float64 {
	blk, pen := w.prog.Blocks[b], w.prog.Penalty
	G := w.prog.Cones.Block(b)
	lambda := conicPolar(pen, blk, G.RawMatrix(), z)
	if lambda == nil {
		return math.Inf(1)
	}
	v := append([]float64(nil), z...)
	size := norm2(z)
	for i, l := range lambda {
		axpy(l, G.RawRowView(i), v)
		size += l * norm2(G.RawRowView(i))
	}
	// Rounding in v, in units of the largest polar of a unit vector.
	unit := 0.0
	e := make([]float64, len(z))
	for i := range e {
		e[i] = 1
		unit = math.Max(unit, pen.Polar(e, blk.Rows, blk.Cols))
		e[i] = 0
	}
	return pen.Polar(v, blk.Rows, blk.Cols)*(1+1e-12) + 4e-16*float64(len(z)+2)*size*unit*math.Sqrt(float64(len(z)))
}

// repair projects the blocks of x on their cones where they violate them, in
// place, and returns the largest relative violation before and after.
func (prog *Program) repair(x []float64) (before, after float64) {
	if prog.Cones == nil {
		return 0, 0
	}
	var w *coneWork
	for b, blk := range prog.Blocks {
		z := blk.Of(x)
		if norm2(z) == 0 {
			continue
		}
		if w == nil {
			w = prog.newConeWork(prog.coneData())
		}
		p, pattern := w.of(b)
		if p == nil {
			continue
		}
		viol := p.c.violation(z, pattern)
		before = math.Max(before, viol)
		if viol > feasible {
			v := make([]float64, len(z))
			if _, err := p.project(v, z, pattern, nil, 1e-13, 0); err != nil {
				clear(v)
			}
			// What is left of a block that the cone all but excludes is noise.
			if norm2(v) <= 1e-12*norm2(z) {
				clear(v)
			}
			copy(z, v)
			viol = p.c.violation(z, pattern)
		}
		after = math.Max(after, viol)
	}
	return before, after
}

// violation is the largest -(Sz)_i/|z| over rows of length one.
func (c *coneData) violation(z []float64, pattern []uint64) float64 {
	nz := norm2(z)
	if nz == 0 {
		return 0
	}
	worst := 0.0
	for i := 0; i < c.n; i++ {
		worst = math.Max(worst, -c.rowSign(pattern, i)*dot(c.row(i), z))
	}
	return worst / nz
}
