package convex

import (
	"context"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// descent lowers the network objective
//
//	F(V) = L(Σ_j s_j (X v_j)_+) + beta Σ_j |v_j|
//
// itself by proximal gradient steps with momentum in which neurons change their
// patterns freely. It moves all neurons at once towards cells that a convex
// program over fixed patterns cannot reach, and its result is a feasible point
// of that program over the patterns it ends in.
//
// Steps are taken in the metric of the curvature that neurons share, many times
// longer than plain ones. They need not lower F: they start long, which carries
// neurons over the kinks between cells, and shorten a hundredfold. How long they
// start and how much momentum they have, which decides how low they end, is by
// where searches ended on Gaussian and on medical data; on many samples both may
// be more.
type descent struct {
	m        *maskedData // in coordinates in which X'X is about diagonal
	turn     *mat.Dense  // d×d, to those coordinates; nil if they are those of X
	metric   []float64
	curve    []float64
	loss     Fn
	beta     float64
	first    float64 // 1/step a neuron at the start of a descent
	momentum float64
	long     float64 // first, or more where steps diverged in this descent or the last
}

// manySamples is from where on descents are those for many samples, of which a
// step tells more and costs more.
const manySamples = 2000

func newDescent(X *mat.Dense, loss Fn, beta float64) *descent {
	p := &descent{loss: loss, beta: beta, first: 0.06, momentum: 0.97}
	if n, _ := X.Dims(); n > manySamples {
		p.first, p.momentum = 0.02, 0.985
	}
	p.long = p.first
	c := principalAxes(X)
	if c.turn != nil && !c.scaled {
		p.turn, p.curve = c.turn, c.curve
		X = turned(X, c.turn)
	} else {
		_, d := X.Dims()
		p.curve = make([]float64, d)
		for j := range p.curve {
			col := mat.Col(nil, j, X)
			p.curve[j] = dot(col, col)
		}
		top := slices.Max(p.curve)
		for j := range p.curve {
			p.curve[j] = math.Max(p.curve[j], 1e-12*top)
		}
	}
	p.metric = p.curve
	if !c.uneven && p.turn != nil { // white enough, and steps cost less
		p.metric = nil
	}
	p.m = newMaskedData(X)
	return p
}

// pace is how a descent goes.
type pace struct {
	steps  int
	gentle bool // begin with steps a third as long, which keeps a good network
	join   bool // make one neuron of those that come to point the same way
}

// run moves the neurons of net downhill and returns the best network it saw with
// its objective. Steps shorten with time, too, so that a descent for which there
// is less time than its steps take ends as a whole one.
func (p *descent) run(net []neuron, how pace, t span) ([]neuron, float64) {
	p.long = math.Max(p.first, p.long/2) // where steps were too long once they need not be now
	if p.m.n == 0 || slices.Max(p.curve) == 0 {
		return net, math.Inf(1)
	}
	r := p.from(net)
	if how.gentle {
		r.bend *= 3
	}
	const meet = 20 // steps between looks who points the same way
	first := 0.0
	for it := range how.steps {
		past := t.past()
		if past >= 1 {
			break
		}
		past = math.Max(past, float64(it)/float64(how.steps))
		if how.join && it%meet == meet-1 {
			r.join()
		}
		value := r.look()
		if it == 0 {
			first = value
		}
		if !(value <= 2*math.Abs(first)) || !r.step(math.Pow(1e3, math.Max(0, past-0.3))) {
			r.back()
		}
	}
	return r.end()
}

// descentRun is one descent on its way.
type descentRun struct {
	*descent
	x, y   []float64 // the neurons, and those ahead of them by their momentum, where gradients are taken
	sgn    []float64
	bend   float64 // second derivative of the loss, at most 1, times what the metric leaves out
	model  *maskedModel
	shared *sharedCurvature
	prox   *screened // what shared's proximal steps know of the neurons
	old    int       // steps until the metric is renewed

	pats    [][]uint64
	f, grad []float64 // predictions, and the loss's gradient there
	g, next []float64 // gradient of the neurons, and where it leads

	best         float64
	bestV, bestS []float64
}

// from is a descent that begins at a network.
func (p *descent) from(net []neuron) *descentRun {
	n := p.m.n
	r := &descentRun{descent: p, bend: math.Min(1, p.loss.Lipschitz), f: make([]float64, n), grad: make([]float64, n), best: math.Inf(1)}
	if !(r.bend > 0) {
		r.bend = 1 // of a loss with kinks
	}
	r.model = &maskedModel{maskedData: p.m, samples: n, patches: 1, scale: 1}
	r.shared = newSharedCurvature(r.model, p.curve, 1)
	scale(math.Sqrt(r.bend), r.shared.root)
	scale(math.Sqrt(r.bend), r.shared.b)
	if p.metric == nil {
		mean := 0.0
		for _, t := range p.curve {
			mean += t / float64(p.m.d)
		}
		r.bend *= mean
	}
	r.x, r.sgn = flat(net)
	if p.turn != nil {
		r.x = turned(mat.NewDense(len(r.sgn), p.m.d, r.x), p.turn).RawMatrix().Data
	}
	r.y = slices.Clone(r.x)
	r.bestV, r.bestS = slices.Clone(r.x), slices.Clone(r.sgn)
	r.fit()
	return r
}

// fit makes room for as many neurons as there are.
func (r *descentRun) fit() {
	k, d := len(r.sgn), r.m.d
	r.next, r.g, r.pats, r.old = make([]float64, k*d), make([]float64, k*d), newBits(k, r.m.n), 0
	r.prox = &screened{d: d, c: 1, metric: r.metric, weight: make([]float64, k), norm: make([]float64, k), pen: Penalty{GroupL2: r.beta}}
	for j := range k {
		r.prox.weight[j] = 1
		r.prox.inPlay = append(r.prox.inPlay, j)
	}
}

// join makes one neuron of those that point the same way.
func (r *descentRun) join() {
	if c := alike(r.y, r.sgn, 0.99); 0 < len(c.sgn) && len(c.sgn) < len(r.sgn) {
		r.x, r.y, r.sgn = c.sum(r.x), c.sum(r.y), c.sgn
		r.fit()
	}
}

// look is the objective at y, which sets the patterns and the predictions there.
func (r *descentRun) look() float64 {
	r.m.network(r.f, r.pats, r.y, r.sgn)
	cost := 0.0
	for j := range r.sgn {
		cost += norm2(r.y[j*r.m.d:][:r.m.d])
	}
	value := r.loss.Value(r.f) + r.beta*cost
	if value < r.best {
		r.best = value
		r.bestV, r.bestS = append(r.bestV[:0], r.y...), append(r.bestS[:0], r.sgn...)
	}
	return value
}

// back goes to the best network seen, to take shorter steps from there.
func (r *descentRun) back() {
	r.long *= 2
	r.x, r.y, r.sgn = slices.Clone(r.bestV), slices.Clone(r.bestV), slices.Clone(r.bestS)
	r.fit()
}

// step is one from where look was, so many times shorter than a first one. It
// fails where that is too long for the metric.
func (r *descentRun) step(shorter float64) bool {
	d := r.m.d
	r.loss.anyGrad()(r.grad, r.f)
	set := &patternSet{bits: r.pats}
	r.m.adjointSet(r.g, r.grad, set)
	// Patterns change slowly: one metric does for some steps.
	if r.old--; r.old < 0 {
		r.old = 3
		r.shared.use(r.model, set)
		for j, s := range r.sgn {
			r.shared.alpha[j] *= s
			scale(s, r.shared.h[j*d:][:d])
		}
	}
	for j, s := range r.sgn {
		scale(s, r.g[j*d:][:d])
		r.prox.norm[j] = norm2(r.y[j*d:][:d])
	}
	clear(r.shared.w)
	r.shared.product(r.shared.y, r.y)
	r.prox.step = r.long * r.bend * float64(len(r.sgn)) * shorter
	if !r.shared.prox(r.prox, r.next, r.y, r.g) {
		return false
	}
	for i, t := range r.next {
		r.y[i] = t + r.momentum*(t-r.x[i])
	}
	copy(r.x, r.next)
	return true
}

// end is the best network, in the coordinates of X, and its objective. The last
// one counts without its momentum, which keeps no neuron at zero.
func (r *descentRun) end() ([]neuron, float64) {
	copy(r.y, r.x)
	r.look()
	if r.turn != nil {
		r.bestV = turned(mat.NewDense(len(r.bestS), r.m.d, r.bestV), r.turn.T()).RawMatrix().Data
	}
	return neuronsOf(r.bestV, r.bestS), r.best
}

// plainDescent is descent for neurons that share no such curvature, those of
// samples of several patches, and for penalties by parts: beta times the sum of
// the norms of parts of v_j of the given lengths, each with a metric of its own.
// Every accepted one of its accelerated proximal gradient steps lowers F.
func plainDescent(m *maskedModel, loss Fn, beta float64, parts []int, metric, v, sgn []float64, steps int, stop func() bool) float64 {
	k, d := len(sgn), m.d
	pats := newBits(k, m.n)
	f, grad, signed := make([]float64, m.samples), make([]float64, m.samples), make([]float64, k*d)
	// predict sets f and the patterns of w; value adds the penalty.
	value := func(w []float64) float64 {
		m.patternsOf(pats, w)
		cost := 0.0
		for j := range sgn {
			wj := w[j*d:][:d]
			cost += normOfParts(wj, parts)
			for i, x := range wj {
				signed[j*d+i] = sgn[j] * x
			}
		}
		m.forward(f, signed, pats)
		return loss.Value(f) + beta*cost
	}
	prox := loss.anyGrad()
	cur := value(v)
	x, y, next, g := append([]float64(nil), v...), append([]float64(nil), v...), make([]float64, k*d), make([]float64, k*d)
	// 1/L from the norm of the data: Gershgorin over neurons is far too
	// careful, so start there and let successes lengthen the step.
	t := 10.0
	theta, fails := 1.0, 0
	for it := 0; it < steps && !stop(); it++ {
		value(y)
		prox(grad, f)
		m.adjoint(g, grad, pats)
		for j := range sgn {
			yj, nj, gj := y[j*d:][:d], next[j*d:][:d], g[j*d:][:d]
			for p, size := range parts {
				step, to := t/metric[p], nj[:size]
				for i := range to {
					to[i] = yj[i] - step*sgn[j]*gj[i]
				}
				if nn := norm2(to); nn <= step*beta {
					clear(to)
				} else {
					scale(1-step*beta/nn, to)
				}
				yj, nj, gj = yj[size:], nj[size:], gj[size:]
			}
		}
		val := value(next)
		if !(val < cur) {
			if theta > 1 { // restart the momentum first
				theta = 1
				copy(y, x)
				continue
			}
			t *= 0.5
			if fails++; fails > 20 {
				break
			}
			continue
		}
		fails = 0
		small := cur-val < 1e-9*math.Abs(cur)
		th := (1 + math.Sqrt(1+4*theta*theta)) / 2
		mom := (theta - 1) / th
		theta = th
		for i := range y {
			y[i] = next[i] + mom*(next[i]-x[i])
		}
		copy(x, next)
		cur = val
		t *= 1.05
		if small {
			break
		}
	}
	copy(v, x)
	return cur
}

// normOfParts is the sum of the norms of the parts of z.
func normOfParts(z []float64, parts []int) float64 {
	s := 0.0
	for _, size := range parts {
		s += norm2(z[:size])
		z = z[size:]
	}
	return s
}

// partCurvature is the sum of the squares of the columns of x in each part: the
// metric of plainDescent.
func partCurvature(x blas64.General, parts []int) []float64 {
	metric, top := make([]float64, len(parts)), 0.0
	for i := range x.Rows {
		row := x.Data[i*x.Stride:]
		for p, size := range parts {
			metric[p] += dot(row[:size], row[:size])
			top, row = math.Max(top, metric[p]), row[size:]
		}
	}
	for p := range metric { // a part without data stays where it is
		metric[p] = math.Max(metric[p], 1e-12*top+1e-300)
	}
	return metric
}

// span is a stretch of time for the search or a part of it.
type span struct {
	ctx      context.Context
	from, to time.Time
}

// share is the next part of what is left, of the given share.
func (t span) share(of float64) span {
	now := time.Now()
	return span{t.ctx, now, now.Add(time.Duration(of * float64(t.to.Sub(now))))}
}

// past is the share that is over, 1 when there is nothing left.
func (t span) past() float64 {
	now := time.Now()
	if t.ctx.Err() != nil || !now.Before(t.to) {
		return 1
	}
	return float64(now.Sub(t.from)) / float64(t.to.Sub(t.from))
}

func (t span) stop() bool { return t.past() >= 1 }
