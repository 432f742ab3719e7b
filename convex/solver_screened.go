package convex

import (
	"context"
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// ScreenedFISTA solves programs over masked data without cones — gated ReLU
// networks with one output or many — by the accelerated proximal gradient
// method over a working set of patterns. An iteration is one forward and one
// adjoint product over the working set only; all patterns are priced when the
// gap over the set is closed, violators join, idle ones leave, and those that
// the gap proves inactive (gap-safe screening, Ndiaye et al. 2017) are not
// priced again. Where the data are far from white the steps are taken in the
// metric of X'X, which all masked products share. It is the method for many
// samples; WorkingSet starts with it and goes over to Newton steps when they
// promise to end sooner.
type ScreenedFISTA struct{}

func init() { RegisterSolver(ScreenedFISTA{}, 15) }

// Name is "screened-fista".
func (ScreenedFISTA) Name() string { return "screened-fista" }

// Uses wants masked data without cones, a loss with Grad, Lipschitz and Conj,
// and a norm with Prox and Polar and a positive weight on every block.
func (ScreenedFISTA) Uses(prog *Program) error {
	m := prog.Op.Masked
	switch {
	case m == nil:
		return fmt.Errorf("needs the masked structure of the operator, and %q has none", prog.Op.Name)
	case m.Signed:
		return fmt.Errorf("needs blocks of one sign")
	case prog.Cones != nil:
		return fmt.Errorf("cannot project on cones %q", prog.Cones.Name)
	case prog.Loss.Grad == nil || !(prog.Loss.Lipschitz > 0) || prog.Loss.Conj == nil || prog.Loss.Value == nil:
		return fmt.Errorf("needs Value, Grad with its Lipschitz constant, and Conj of loss %q", prog.Loss.Name)
	case prog.Penalty.Prox == nil || prog.Penalty.Polar == nil || prog.Penalty.Value == nil:
		return fmt.Errorf("needs Value, Prox and Polar of penalty %q", prog.Penalty.Name)
	}
	return standardBlocks(prog)
}

// standardBlocks wants one block a pattern and sign, in their order, with a
// positive weight.
func standardBlocks(prog *Program) error {
	m := prog.Op.Masked
	_, d, c, nb := m.Dims()
	if len(prog.Blocks) != nb {
		return fmt.Errorf("needs one block a pattern and sign: %d, the program has %d", nb, len(prog.Blocks))
	}
	for g, b := range prog.Blocks {
		if b.Rows != d || b.Cols != c || b.Offset != g*d*c {
			return fmt.Errorf("needs block %d to be variables %d to %d", g, g*d*c, (g+1)*d*c)
		}
		if !(b.Weight > 0) {
			return fmt.Errorf("needs positive weights; block %d has %g", g, b.Weight)
		}
	}
	return nil
}

// Solve runs until the gap is below the tolerance.
func (ScreenedFISTA) Solve(ctx context.Context, prog *Program, s *Settings) (*Point, error) {
	mon := NewMonitor(ctx, "screened-fista", s)
	r := newScreened(prog, mon)
	r.start(s.StartPoint(prog))
	status := r.run(0.9*s.Tol, func(it int) (Status, bool) { return mon.Stop(it, 200_000) }, nil)
	return r.point(status, "screened-fista"), nil
}

// screened is one run.
type screened struct {
	prog   *Program
	model  *maskedModel // in the coordinates of the method
	loss   Fn
	pen    Penalty
	d, c   int
	mon    *Monitor
	all    *patternSet
	out    []bool     // patterns proved inactive
	rotate *mat.Dense // d×d, orthogonal: coordinates are rotate'·x; nil for those of the program
	single bool       // take the first steps in float32
	metric []float64  // d: steps are taken in L·diag(metric); nil for the identity
	shared *sharedCurvature
	topX   float64   // an upper bound on |X|₂
	sizes  []float64 // |D_p X|_F of every pattern
	iter   int
	step   float64 // L
	weight []float64

	fits, maps []float64 // predictions and blocks, output by output

	inPlay []int // patterns in the working set, ascending
	set    *patternSet
	x      []float64 // their blocks, len(work)·d·c
	norm   []float64 // |x_j| at the last prox, its warm start
	f      []float64 // predictions of x

	primal, lower float64
	dual          []float64 // v behind lower, not yet scaled
	grad          []float64 // -∇L at f
	work          float64   // done in iterations, in operations of a matrix product
	history       []gapAt
}

type gapAt struct {
	iter int
	gap  float64
}

// whiten is the ratio of the largest eigenvalue of X'X to the mean of the rest
// beyond which steps are taken in its metric; standard normal data have 1 to 3.
const whiten = 4

// unequal is the ratio of the lengths of columns beyond which X is not rotated.
const unequal = 1e4

func newScreened(prog *Program, mon *Monitor) *screened {
	m := prog.Op.Masked
	n, d, c, P := m.Dims()
	r := &screened{
		prog: prog, loss: prog.Loss, pen: prog.Penalty, d: d, c: c, mon: mon,
		lower: math.Inf(-1), primal: math.Inf(1), out: make([]bool, P), weight: make([]float64, P),
		f: make([]float64, n*c), grad: make([]float64, n*c),
	}
	r.all = &patternSet{bits: make([][]uint64, P)}
	for p := range r.all.bits {
		r.all.bits[p] = m.Patterns.Row(p)
		r.weight[p] = prog.Blocks[p].Weight
	}
	X := m.X
	// What the blocks curve together is taken out where it is the same everywhere.
	shares := m.patches() == 1 && r.loss.Name == Squared.Name && r.pen.GroupL2 > 0 && r.pen.Norm == "l2"
	axes := principalAxes(X)
	r.topX = axes.top
	switch {
	case axes.curve == nil || r.pen.Norm != "l2" && r.pen.Norm != "columns":
		shares = false
	case axes.scaled:
		shares = false
		if axes.uneven {
			r.metric = axes.curve
		}
	case axes.uneven || shares:
		r.rotate = axes.turn
		if axes.uneven {
			r.metric = axes.curve
		}
	}
	if r.topX == 0 {
		r.topX = mat.Norm(X, 2) // Frobenius
	}
	if r.rotate != nil {
		mm := *m
		mm.X = turned(X, r.rotate)
		m = &mm
	}
	r.model = newMaskedModel(m)
	r.single = r.model.n*r.model.d >= singleFrom && r.topX > 1e-10 && r.topX < 1e10 // far from the ends of float32
	if shares {
		r.shared = newSharedCurvature(r.model, axes.curve, c)
	}
	r.step = r.loss.Lipschitz * r.model.scale * r.model.scale
	if r.metric == nil {
		r.step *= r.topX * r.topX / 2
		if r.shared != nil {
			r.step /= 4
		}
	}
	if !(r.step > 0) {
		r.step = 1
	}
	return r
}

// axes are coordinates for data: those of the eigenvectors of X'X, or those of X
// where a rotation would mix columns of very different size and lose the digits
// of the small ones.
type axes struct {
	turn   *mat.Dense // d×d, orthogonal: coordinates are x·turn
	curve  []float64  // the diagonal of X'X in them; nil if d is too large for this
	top    float64    // an upper bound on |X|₂
	uneven bool       // curve is far from constant
	scaled bool       // the coordinates are those of X
}

func principalAxes(X *mat.Dense) (a axes) {
	raw := X.RawMatrix()
	d := raw.Cols
	if d > 1200 {
		return a
	}
	gram := newGeneral(d, d)
	gramLower(raw, 0, gram, nil)
	small, large := math.Inf(1), 0.0
	sym := mat.NewSymDense(d, nil)
	for i := 0; i < d; i++ {
		for j := 0; j <= i; j++ {
			sym.SetSym(j, i, gram.Data[i*d+j])
		}
		if v := gram.Data[i*d+i]; v > 0 {
			small, large = math.Min(small, v), math.Max(large, v)
		}
	}
	var e mat.EigenSym
	if !e.Factorize(sym, true) {
		return a
	}
	lam := e.Values(nil)
	top, trace := lam[d-1], 0.0
	for _, l := range lam {
		trace += math.Max(l, 0)
	}
	if !(top > 0) {
		return a
	}
	a.top = math.Sqrt(top) * (1 + 1e-10)
	a.uneven = top*float64(d-1) > whiten*(trace-top)
	a.scaled = large > unequal*unequal*small
	a.curve = make([]float64, d)
	if a.scaled {
		for j := range a.curve {
			a.curve[j] = math.Max(gram.Data[j*d+j], 1e-12*small)
		}
		return a
	}
	a.turn = new(mat.Dense)
	e.VectorsTo(a.turn)
	for j, l := range lam {
		a.curve[j] = math.Max(l, 1e-8*top)
	}
	return a
}

// turned is X·Q.
func turned(X *mat.Dense, Q mat.Matrix) *mat.Dense {
	n, d := X.Dims()
	out := mat.NewDense(n, d, nil)
	parallel(n, 256, func(lo, hi int) {
		out.Slice(lo, hi, 0, d).(*mat.Dense).Mul(X.Slice(lo, hi, 0, d), Q)
	})
	return out
}

// adjoint sets g to the blocks A_p'v of the patterns of the set.
func (r *screened) adjoint(g, v []float64, set *patternSet) {
	if r.c == 1 {
		r.model.adjointSet(g, v, set)
		return
	}
	r.room(len(set.bits))
	transpose(r.fits, v, r.model.samples, r.c)
	r.model.adjointOutputs(r.maps, r.fits, set, r.c)
	transpose(g, r.maps, r.c, len(set.bits)*r.d)
}

// forward sets f to the predictions of the blocks x of the patterns of the set.
func (r *screened) forward(f, x []float64, set *patternSet) {
	if r.c == 1 {
		r.model.forwardSet(f, x, set)
		return
	}
	r.room(len(set.bits))
	transpose(r.maps, x, len(set.bits)*r.d, r.c)
	r.model.forwardOutputs(r.fits, r.maps, set, r.c)
	transpose(f, r.fits, r.c, r.model.samples)
}

// room makes room for predictions and blocks of k patterns output by output.
func (r *screened) room(k int) {
	if r.fits == nil {
		r.fits = make([]float64, r.model.samples*r.c)
	}
	if need := k * r.d * r.c; cap(r.maps) < need {
		r.maps = make([]float64, need)
	} else {
		r.maps = r.maps[:need]
	}
}

// transpose sets dst (cols×rows) to the transpose of src (rows×cols).
func transpose(dst, src []float64, rows, cols int) {
	for i := range rows {
		for j := range cols {
			dst[j*rows+i] = src[i*cols+j]
		}
	}
}

// start sets the working set from a point of the program, or the patterns
// that the gradient at zero favours.
func (r *screened) start(x []float64) {
	bs := r.d * r.c
	r.inPlay = r.inPlay[:0]
	r.x = nil
	if x != nil {
		for p, b := range r.prog.Blocks {
			if z := b.Of(x); norm2(z) > 0 {
				r.inPlay = append(r.inPlay, p)
				r.x = append(r.x, r.turn(z, true)...)
			}
		}
	}
	r.use(r.inPlay)
	r.x = append([]float64(nil), r.x...)
	r.forward(r.f, r.x, r.set)
	zero := make([]float64, len(r.f))
	if len(r.inPlay) > 0 && !(r.value(r.f, r.x) < r.loss.Value(zero)) {
		r.x, r.f = nil, zero
		r.use(nil)
	}
	r.norm = make([]float64, len(r.x)/bs)
	for j := range r.norm {
		r.norm[j] = norm2(r.x[j*bs:][:bs])
	}
}

func (r *screened) use(work []int) {
	r.inPlay = work
	r.set = &patternSet{bits: make([][]uint64, len(work))}
	for j, p := range work {
		r.set.bits[j] = r.all.bits[p]
	}
	if r.shared != nil {
		r.shared.use(r.model, r.set)
	}
}

// turn changes a block between the coordinates of the program and those of the
// method.
func (r *screened) turn(z []float64, in bool) []float64 {
	out := make([]float64, len(z))
	if r.rotate == nil {
		copy(out, z)
		return out
	}
	t := blas.NoTrans
	if in {
		t = blas.Trans
	}
	g := func(v []float64) blas64.General { return blas64.General{Rows: r.d, Cols: r.c, Stride: r.c, Data: v} }
	blas64.Gemm(t, blas.NoTrans, 1, r.rotate.RawMatrix(), g(z), 0, g(out))
	return out
}

// value is the objective of blocks x with predictions f.
func (r *screened) value(f, x []float64) float64 {
	bs, s := r.d*r.c, r.loss.Value(f)
	for j, p := range r.inPlay {
		s += r.weight[p] * r.pen.Value(x[j*bs:][:bs], r.d, r.c)
	}
	return s
}

// polars are the dual norms, over the weights, of the blocks g of the patterns.
func (r *screened) polars(g []float64, list []int) []float64 {
	bs, out := r.d*r.c, make([]float64, len(list))
	parallel(len(list), 1+2000/bs, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			out[j] = r.pen.Polar(g[j*bs:][:bs], r.d, r.c) / r.weight[list[j]]
		}
	})
	return out
}

// run iterates until the relative gap is below tol, or stop says so, or enough
// (if not nil), asked now and then with an estimate of the work left, wants
// another method to go on.
func (r *screened) run(tol float64, stop func(it int) (Status, bool), enough func(left float64) bool) Status {
	status := Unknown
	halted := func() bool {
		if status == Unknown {
			if s, now := stop(r.iter); now {
				status = s
			}
		}
		return status != Unknown
	}
	gap := r.price(true)
	r.report()
	best := gap
	for quiet := 0; gap > tol && !halted(); {
		r.inner(gap, tol, halted, enough)
		if enough != nil && enough(r.left(tol)) {
			break
		}
		gap = r.price(status == Unknown)
		r.report()
		if quiet++; gap < 0.7*best || gap <= tol {
			best, quiet = gap, 0
		}
		if quiet > 60 {
			status = Numerical
			break
		}
	}
	if gap <= tol {
		status = Optimal
	}
	return status
}

// price computes the gap over all patterns and, if asked, changes the working
// set: idle patterns leave, violators join.
func (r *screened) price(change bool) float64 {
	r.primal = r.value(r.f, r.x)
	r.loss.Grad(r.grad, r.f)
	scale(-1, r.grad)
	var list []int
	set := r.all
	for p, o := range r.out {
		if !o {
			list = append(list, p)
		}
	}
	if len(list) < len(r.out) {
		set = &patternSet{bits: make([][]uint64, len(list))}
		for j, p := range list {
			set.bits[j] = r.all.bits[p]
		}
	}
	bs := r.d * r.c
	g := make([]float64, len(list)*bs)
	r.adjoint(g, r.grad, set)
	ratio := r.polars(g, list)
	worst := 0.0
	for _, t := range ratio {
		worst = math.Max(worst, t)
	}
	if low := dualValue(r.loss, r.grad, worst); low > r.lower || r.dual == nil {
		r.lower = math.Max(low, r.lower)
		r.dual = append(r.dual[:0], r.grad...)
	}
	gap := relativeGap(r.primal, r.lower)
	if !change {
		return gap
	}
	r.screen(list, ratio, worst)
	bsz := map[int]int{}
	for j, p := range r.inPlay {
		bsz[p] = j
	}
	keep := make([]bool, len(r.out))
	kept := 0
	type violator struct {
		p     int
		ratio float64
	}
	var vs []violator
	for j, p := range list {
		if r.out[p] {
			continue
		}
		if w, in := bsz[p]; in {
			if r.norm[w] > 0 || ratio[j] > 0.95 {
				keep[p] = true
				kept++
			}
		} else if ratio[j] > 1 || len(r.inPlay) == 0 {
			vs = append(vs, violator{p, ratio[j]})
		}
	}
	sort.Slice(vs, func(i, j int) bool {
		if vs[i].ratio != vs[j].ratio {
			return vs[i].ratio > vs[j].ratio
		}
		return vs[i].p < vs[j].p
	})
	room := max(10, len(r.inPlay))
	if len(r.inPlay) == 0 {
		room = max(10, len(r.out)/20)
	}
	for _, v := range vs[:min(room, len(vs))] {
		keep[v.p] = true
	}
	var work []int
	var x, norm []float64
	for p, k := range keep {
		if !k {
			continue
		}
		work = append(work, p)
		if w, in := bsz[p]; in {
			x = append(x, r.x[w*bs:][:bs]...)
			norm = append(norm, r.norm[w])
		} else {
			x = append(x, make([]float64, bs)...)
			norm = append(norm, 0)
		}
	}
	if len(work) != len(r.inPlay) || len(vs) > 0 {
		r.use(work)
	} // else the same patterns: keep their words
	r.x, r.norm = x, norm
	return gap
}

// screen marks patterns that are zero in every optimum: with radius
// √(2·Lip·gap) around the dual feasible point v/s the optimal dual point has
// |A_p'θ*|ᵒ ≤ |A_p'v|ᵒ/s + radius·|A_p| < 1.
func (r *screened) screen(list []int, ratio []float64, worst float64) {
	gap := r.primal - dualValue(r.loss, r.grad, worst)
	if !(gap >= 0) || worst == 0 {
		return
	}
	s := math.Min(1, 1/worst)
	// dualValue may use another multiple; the gap at s itself is what counts.
	v := make([]float64, len(r.grad))
	for i, t := range r.grad {
		v[i] = -s * t
	}
	gap = r.primal + r.loss.Conj(v)
	if math.IsNaN(gap) || math.IsInf(gap, 0) {
		return
	}
	radius := math.Sqrt(2 * r.loss.Lipschitz * math.Max(gap, 1e-14*math.Abs(r.primal)))
	gain := r.gains()
	unit := r.unitPolar()
	for j, p := range list {
		if s*ratio[j]+radius*gain[p]*unit/r.weight[p] < 1-1e-9 {
			r.out[p] = true
		}
	}
	for _, p := range r.inPlay { // what is in play stays
		r.out[p] = false
	}
}

// unitPolar bounds the polar of a matrix by its Frobenius norm times this.
func (r *screened) unitPolar() float64 {
	switch r.pen.Norm {
	case "l2", "columns", "nuclear": // the dual norms are at most Frobenius
		e := make([]float64, r.d*r.c)
		e[0] = 1
		return r.pen.Polar(e, r.d, r.c)
	}
	return math.Inf(1)
}

// gains are upper bounds on the norms |A_p|₂ of the patterns.
func (r *screened) gains() []float64 {
	if r.sizes != nil {
		return r.sizes
	}
	m := r.model
	r.sizes = make([]float64, len(r.out))
	rows := make([]float64, m.n)
	for i := range rows {
		x := m.x.Data[i*m.x.Stride:][:m.d]
		rows[i] = dot(x, x)
	}
	top := r.topX * m.scale * math.Sqrt(float64(m.patches)) * math.Max(1, math.Abs(m.slope))
	parallel(len(r.out), 8, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			s := 0.0
			for i, v := range rows {
				f := m.factor(r.all.bits[p], i)
				s += f * f * v
			}
			r.sizes[p] = math.Min(top, math.Sqrt(s*float64(m.patches)))
		}
	})
	return r.sizes
}

// Large data are first gone over in float32, whose products take half the time,
// as long as the gap over the working set is to come down to no less than
// singleTo; prices, bounds and what comes after are in float64.
const singleTo = 1e-4

var singleFrom = 1 << 20 // entries of X; tests lower it

// gapCheck is the number of iterations between looks at the gap over the
// working set.
const gapCheck = 10

// inner runs over the working set until its gap is a fraction of the whole.
func (r *screened) inner(gap, tol float64, halted func() bool, enough func(float64) bool) {
	n, bs, k := len(r.f), r.d*r.c, len(r.inPlay)
	if k == 0 {
		return
	}
	target := 0.1 * gap
	if gap > 0.02 {
		target = 0.3 * gap
	}
	target = math.Max(target, 0.6*tol)
	if r.model.single = r.single && target >= singleTo; r.model.single {
		defer func() {
			r.model.single = false
			r.forward(r.f, r.x, r.set)
		}()
	}
	y, g, next := append([]float64(nil), r.x...), make([]float64, k*bs), make([]float64, k*bs)
	fy, fn := append([]float64(nil), r.f...), make([]float64, n)
	h0, h1 := make([]float64, n), make([]float64, n)
	quadratic := r.loss.Name == Squared.Name || r.loss.Hess == nil
	theta := 1.0
	sh := r.shared
	if sh != nil {
		sh.product(sh.x, r.x)
		copy(sh.y, sh.x)
		clear(sh.w)
	}
	for it := 1; ; it++ {
		r.loss.Grad(r.grad, fy)
		r.adjoint(g, r.grad, r.set)
		var curve, quad, loss float64
		if !quadratic {
			loss = r.loss.Value(fy)
		}
		for range 60 {
			if sh != nil && !sh.prox(r, next, y, g) {
				r.shared, sh = nil, nil // plain steps always work
			}
			if sh == nil {
				r.prox(next, y, g)
			}
			r.forward(fn, next, r.set)
			curve, quad = 0, 0
			if quadratic {
				for i, v := range fn {
					t := v - fy[i]
					curve += t * t
				}
				curve *= r.loss.Lipschitz
			} else {
				// The mean of the curvatures at both ends bounds what the loss
				// grows by, to third order; where they miss what is between,
				// such as both ends of Huber's loss, its values show it.
				r.loss.Hess(h0, fy)
				r.loss.Hess(h1, fn)
				flat, slope := 0.0, 0.0
				for i, v := range fn {
					t := v - fy[i]
					curve += (h0[i] + h1[i]) / 2 * t * t
					flat += t * t
					slope += r.grad[i] * t
				}
				value := r.loss.Value(fn)
				noise := 1e-14 * (math.Abs(value) + math.Abs(loss) + math.Abs(slope))
				curve = math.Max(1.1*curve, 2*(value-loss-slope-noise))
				curve = math.Min(curve, r.loss.Lipschitz*flat)
			}
			for j := 0; j < len(next); j += bs {
				for i := 0; i < r.d; i++ {
					q := 0.0
					for o := i * r.c; o < (i+1)*r.c; o++ {
						t := next[j+o] - y[j+o]
						q += t * t
					}
					if r.metric != nil {
						q *= r.metric[i]
					}
					quad += q
				}
			}
			rounding := 1e-10*r.step*quad + 1e-300
			if r.model.single {
				rounding = 1e-3*r.step*quad + 1e-6*math.Sqrt(curve)*norm2(fn)
			}
			if sh != nil {
				curve = math.Max(0, curve-dot(sh.w, sh.w))
			}
			if curve <= r.step*quad+rounding || halted() {
				break
			}
			r.step = math.Max(1.3*r.step, math.Min(1.05*curve/quad, 4*r.step))
		}
		turn := 0.0
		for j := 0; j < len(next); j += bs {
			for i := 0; i < r.d; i++ {
				q := 0.0
				for o := j + i*r.c; o < j+(i+1)*r.c; o++ {
					q += (y[o] - next[o]) * (next[o] - r.x[o])
				}
				if r.metric != nil {
					q *= r.metric[i]
				}
				turn += q
			}
		}
		if sh != nil {
			turn *= r.step
			for i, w := range sh.w {
				turn -= w * (sh.next[i] - sh.x[i])
			}
		}
		if turn > 0 {
			theta = 1
		}
		t := (1 + math.Sqrt(1+4*theta*theta)) / 2
		mom := (theta - 1) / t
		theta = t
		for i, v := range next {
			y[i] = v + mom*(v-r.x[i])
		}
		for i, v := range fn {
			fy[i] = v + mom*(v-r.f[i])
		}
		if sh != nil {
			for i, v := range sh.next {
				sh.y[i] = v + mom*(v-sh.x[i])
			}
			sh.x, sh.next = sh.next, sh.x
		}
		r.x, next = next, r.x
		r.f, fn = fn, r.f
		if curve < 0.8*r.step*quad {
			r.step *= 0.97
		}
		r.iter++
		r.work += r.iterationWork()
		if it%gapCheck != 0 && !halted() {
			continue
		}
		if it%500 == 0 { // sums of predictions drift
			r.forward(fy, y, r.set)
			if sh != nil {
				sh.product(sh.y, y)
				sh.product(sh.x, r.x)
			}
		}
		r.primal = r.value(r.f, r.x)
		r.loss.Grad(r.grad, r.f)
		scale(-1, r.grad)
		r.adjoint(g, r.grad, r.set)
		worst := 0.0
		for _, p := range r.polars(g, r.inPlay) {
			worst = math.Max(worst, p)
		}
		gapW := relativeGap(r.primal, dualValue(r.loss, r.grad, worst))
		r.history = append(r.history, gapAt{r.iter, gapW})
		if gapW <= target || halted() {
			break
		}
		if r.model.single && it >= 1000 { // rounding may be in the way
			r.single = false
			break
		}
		if enough != nil && it%30 == 0 && enough(r.left(tol)) {
			break
		}
	}
}

// iterationWork is the cost of an iteration in operations of a matrix product:
// table lookup is three times as fast, a pass over vectors far slower. It is
// an estimate and not a measurement, so that the same problem always takes
// the same steps.
func (r *screened) iterationWork() float64 {
	n, x := float64(r.model.n*r.c), float64(len(r.x))
	return 4*float64(r.model.n)*x/3 + 300*(n+x)
}

// left estimates the work to a gap of tol from the rate of late.
func (r *screened) left(tol float64) float64 {
	h := r.history
	if len(h) < 6 || r.iter == 0 {
		return math.NaN()
	}
	a, b := h[len(h)/2], h[len(h)-1]
	if !(b.gap < a.gap) || b.iter == a.iter {
		return math.Inf(1)
	}
	rate := math.Log(a.gap/b.gap) / float64(b.iter-a.iter)
	return math.Max(0, math.Log(b.gap/tol)) / rate * r.iterationWork()
}

// prox sets next to the proximal step from y along -g.
func (r *screened) prox(next, y, g []float64) {
	bs := r.d * r.c
	grain := 1 + 20_000/bs
	if r.pen.Norm == "nuclear" && r.c > 1 {
		grain = 1
	}
	parallel(len(r.inPlay), grain, func(lo, hi int) {
		row := make([]float64, 2*r.d)
		for j := lo; j < hi; j++ {
			w := r.weight[r.inPlay[j]]
			z, yj, gj := next[j*bs:][:bs], y[j*bs:][:bs], g[j*bs:][:bs]
			if r.metric == nil {
				for i, t := range yj {
					z[i] = t - gj[i]/r.step
				}
				if r.pen.GroupL2 > 0 {
					t := r.pen.GroupL2 * w / r.step
					if nz := norm2(z); nz > t {
						scale(1-t/nz, z)
						r.norm[j] = nz - t
					} else {
						clear(z)
						r.norm[j] = 0
					}
					continue
				}
				r.pen.Prox(z, z, r.d, r.c, w/r.step)
				r.norm[j] = norm2(z)
				continue
			}
			// b = L·h∘(y - g/(L·h))
			for i := 0; i < r.d; i++ {
				h := r.step * r.metric[i]
				for o := i * r.c; o < (i+1)*r.c; o++ {
					z[o] = h*yj[o] - gj[o]
				}
			}
			if r.pen.Norm == "columns" {
				sum := 0.0
				for o := 0; o < r.c; o++ {
					n := r.secular(z, row, o, o+1, w*r.columnWeight(), 0)
					sum += n
				}
				r.norm[j] = sum
			} else {
				r.norm[j] = r.secular(z, row, 0, r.c, w*r.pen.GroupL2, r.norm[j])
			}
		}
	})
}

// columnWeight is the weight of one column in a penalty of columns.
func (r *screened) columnWeight() float64 {
	e := make([]float64, r.d*r.c)
	e[0] = 1
	return r.pen.Value(e, r.d, r.c)
}

// secular replaces the columns from..to of b by the minimiser of
// ½ Σ_i L h_i |w_i - b_i/(L h_i)|² + beta |w|, rows w_i: w is zero where
// |b| ≤ beta, else t b_i/(t L h_i + beta) for the root t = |w| of
// Σ_i |b_i|²/(t L h_i + beta)² = 1. It returns t; warm is a guess of it.
func (r *screened) secular(b, row []float64, from, to int, beta, warm float64) float64 {
	e, h := row[:r.d], row[r.d:2*r.d]
	size, top := 0.0, 0.0
	for i, m := range r.metric {
		s := 0.0
		for o := i*r.c + from; o < i*r.c+to; o++ {
			s += b[o] * b[o]
		}
		e[i] = s
		size += s
		h[i] = r.step * m
		if h[i] > top {
			top = h[i]
		}
	}
	size = math.Sqrt(size)
	if size <= beta {
		for i := 0; i < r.d; i++ {
			clear(b[i*r.c+from : i*r.c+to])
		}
		return 0
	}
	// s^(-1/2) is nearly linear in t: Newton's method on it, from a point
	// below the root.
	low := (size - beta) / top
	t := math.Max(warm, low)
	for range 60 {
		s, ds := 0.0, 0.0
		for i, v := range e {
			q := 1 / (t*h[i] + beta)
			v *= q * q
			s += v
			ds += v * h[i] * q
		}
		next := t + (1/math.Sqrt(s)-1)*(-s*math.Sqrt(s)/ds)
		next = math.Max(next, low)
		done := math.Abs(next-t) <= 1e-8*next // the error is its square
		t = next
		if done {
			break
		}
	}
	for i := 0; i < r.d; i++ {
		q := t / (t*h[i] + beta)
		for o := i*r.c + from; o < i*r.c+to; o++ {
			b[o] *= q
		}
	}
	return t
}

func (r *screened) report() {
	if r.mon == nil {
		return
	}
	active := 0
	for _, n := range r.norm {
		if n > 0 {
			active++
		}
	}
	p := Progress{Iter: r.iter, Primal: r.primal, Lower: r.lower, Active: active}
	r.mon.Report(p)
}

// blocks are the patterns that are not zero with their blocks in the
// coordinates of the program.
func (r *screened) blocks() (ps []int, zs [][]float64) {
	bs := r.d * r.c
	for j, p := range r.inPlay {
		if z := r.x[j*bs:][:bs]; norm2(z) > 0 {
			ps = append(ps, p)
			zs = append(zs, r.turn(z, false))
		}
	}
	return ps, zs
}

func (r *screened) point(status Status, name string) *Point {
	x := make([]float64, r.prog.Op.Cols)
	ps, zs := r.blocks()
	for j, p := range ps {
		copy(r.prog.Blocks[p].Of(x), zs[j])
	}
	return &Point{X: x, Dual: append([]float64(nil), r.dual...), Status: status, Iter: r.iter, Trace: r.mon.Trace(), Solver: name}
}
