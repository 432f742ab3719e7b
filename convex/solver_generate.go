package convex

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// patternsOf sets bits (rows of pats) to 1[X u > 0] for every row u of us.
func (m *maskedData) patternsOf(pats [][]uint64, us []float64) { m.network(nil, pats, us, nil) }

// network is patternsOf that also sets f, unless nil, to the predictions
// Σ_p sgn_p (X u_p)_+, which come along for free.
func (m *maskedData) network(f []float64, pats [][]uint64, us, sgn []float64) {
	k := len(pats)
	clear(f)
	if k == 0 {
		return
	}
	ug := blas64.General{Rows: k, Cols: m.d, Stride: m.d, Data: us}
	parallel(m.n, gemmRows, func(from, to int) {
		buf, none := getBlock(k*gemmRows), make([]float64, gemmRows)
		defer blockPool.Put(buf)
		for lo := from; lo < to; lo += gemmRows {
			hi := min(lo+gemmRows, to)
			blas64.Gemm(blas.NoTrans, blas.Trans, 1, ug, m.rows(lo, hi), 0,
				blas64.General{Rows: k, Cols: hi - lo, Stride: gemmRows, Data: *buf})
			for p, pat := range pats {
				z, out := (*buf)[p*gemmRows:][:hi-lo], none
				size := 0.0
				if f != nil {
					out, size = f[lo:hi], sgn[p]
				}
				for w := 0; w*64 < len(z); w++ {
					var word uint64
					to := out[w*64 : min(w*64+64, len(z))]
					for i, v := range z[w*64 : w*64+len(to)] {
						on := uint64(0)
						if v > 0 {
							on = 1
						}
						word |= on << uint(i)
						to[i] += size * math.Float64frombits(math.Float64bits(v)&-on)
					}
					pat[lo>>6+w] = word
				}
			}
		}
	})
}

func newBits(k, n int) [][]uint64 {
	w := (n + 63) / 64
	all := make([]uint64, k*w)
	out := make([][]uint64, k)
	for i := range out {
		out[i] = all[i*w : (i+1)*w : (i+1)*w]
	}
	return out
}

// ascend climbs phi_s(u) = s·theta'(Xu)_+ on the unit sphere from every row of
// us (signs in sgn) by gradient steps whose length adapts per start; the
// gradient of phi on a cell is s X'D_u theta, so one step of all starts is two
// matrix products. It returns the values reached; us and pats are updated.
//
// This is the pricing of neurons outside the patterns at hand: a start with
// phi > beta is a neuron that lowers the objective.
func ascend(m *maskedModel, us, sgn, theta []float64, pats [][]uint64, steps int) []float64 {
	k, d := len(sgn), m.d
	g, trial, tg := make([]float64, k*d), make([]float64, k*d), make([]float64, k*d)
	tp := newBits(k, m.n)
	phi, step := make([]float64, k), make([]float64, k)
	value := func(u, g []float64, pats [][]uint64, phi []float64) {
		m.patternsOf(pats, u)
		m.adjoint(g, theta, pats)
		for j := range phi {
			if sgn[j] < 0 {
				scale(-1, g[j*d:][:d])
			}
			phi[j] = dot(u[j*d:][:d], g[j*d:][:d])
		}
	}
	for j := range phi {
		u := us[j*d:][:d]
		if nu := norm2(u); nu > 0 {
			scale(1/nu, u)
		}
	}
	value(us, g, pats, phi)
	for j := range step {
		step[j] = 10
	}
	tphi := make([]float64, k)
	for it := 0; it < steps; it++ {
		for j := range phi {
			u, t, gj := us[j*d:][:d], trial[j*d:][:d], g[j*d:][:d]
			gn := norm2(gj)
			copy(t, u)
			if gn > 0 {
				axpy(step[j]/gn, gj, t)
				if nt := norm2(t); nt > 0 {
					scale(1/nt, t)
				}
			}
		}
		value(trial, tg, tp, tphi)
		moved := false
		for j := range phi {
			if tphi[j] > phi[j]*(1+1e-12) {
				moved = moved || tphi[j] > phi[j]*(1+1e-6)
				phi[j] = tphi[j]
				copy(us[j*d:][:d], trial[j*d:][:d])
				copy(g[j*d:][:d], tg[j*d:][:d])
				copy(pats[j], tp[j])
				step[j] = math.Min(2*step[j], 10)
			} else {
				step[j] *= 0.3
				moved = moved || step[j] > 1e-3
			}
		}
		if !moved {
			break
		}
	}
	return phi
}

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
// where searches ended on Gaussian and on medical data.
type descent struct {
	m      *maskedData // in coordinates in which X'X is about diagonal
	turn   *mat.Dense  // d×d, to those coordinates; nil if they are those of X
	metric []float64
	curve  []float64
	loss   Fn
	beta   float64
	long   float64 // firstStep, or more where steps diverged in this descent or the last
}

// firstStep is 1/step a neuron at the start of a descent.
const firstStep = 0.06

func newDescent(X *mat.Dense, loss Fn, beta float64) *descent {
	p := &descent{loss: loss, beta: beta, long: firstStep}
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
	d, n := p.m.d, p.m.n
	p.long = math.Max(firstStep, p.long/2) // where steps were too long once they need not be now
	if n == 0 || slices.Max(p.curve) == 0 {
		return net, math.Inf(1)
	}
	model := &maskedModel{maskedData: p.m, samples: n, patches: 1, scale: 1}
	curve := math.Min(1, p.loss.Lipschitz)
	if !(curve > 0) {
		curve = 1 // of a loss with kinks
	}
	shared := newSharedCurvature(model, p.curve, 1)
	scale(math.Sqrt(curve), shared.root)
	scale(math.Sqrt(curve), shared.b)
	if p.metric == nil {
		mean := 0.0
		for _, t := range p.curve {
			mean += t / float64(d)
		}
		curve *= mean
	}
	if how.gentle {
		curve *= 3
	}
	// The neurons x, and y ahead of them by their momentum, where gradients are taken.
	x, sgn := flat(net)
	if p.turn != nil {
		x = turned(mat.NewDense(len(sgn), d, x), p.turn).RawMatrix().Data
	}
	y := slices.Clone(x)
	f, grad := make([]float64, n), make([]float64, n)
	var next, g []float64
	var pats [][]uint64
	var r *screened
	// Patterns change slowly and directions more so: one metric does for some
	// steps, and one look at who points the same way for more.
	const renew, meet = 4, 20
	var old int // steps until the metric is renewed
	fit := func() {
		k := len(sgn)
		next, g, pats, old = make([]float64, k*d), make([]float64, k*d), newBits(k, n), 0
		r = &screened{d: d, c: 1, metric: p.metric, weight: make([]float64, k), norm: make([]float64, k), pen: Penalty{GroupL2: p.beta}}
		for j := range k {
			r.weight[j] = 1
			r.inPlay = append(r.inPlay, j)
		}
	}
	fit()
	best, first := math.Inf(1), math.Inf(1)
	bestV, bestS := slices.Clone(x), slices.Clone(sgn)
	back := func() { // to the best, with shorter steps
		p.long *= 2
		x, y, sgn = slices.Clone(bestV), slices.Clone(bestV), slices.Clone(bestS)
		fit()
	}
	look := func() float64 {
		p.m.network(f, pats, y, sgn)
		cost := 0.0
		for j := range sgn {
			cost += norm2(y[j*d:][:d])
		}
		value := p.loss.Value(f) + p.beta*cost
		if value < best {
			best = value
			bestV, bestS = append(bestV[:0], y...), append(bestS[:0], sgn...)
		}
		return value
	}
	for it := range how.steps {
		past := t.past()
		if past >= 1 {
			break
		}
		past = math.Max(past, float64(it)/float64(how.steps))
		if how.join && it%meet == meet-1 {
			if c := alike(y, sgn, 0.99); 0 < len(c.sgn) && len(c.sgn) < len(sgn) {
				x, y, sgn = c.sum(x), c.sum(y), c.sgn
				fit()
			}
		}
		value := look()
		if it == 0 {
			first = value
		}
		if !(value <= 2*math.Abs(first)) {
			back()
			continue
		}
		p.loss.anyGrad()(grad, f)
		set := &patternSet{bits: pats}
		p.m.adjointSet(g, grad, set)
		if old--; old < 0 {
			old = renew - 1
			shared.use(model, set)
			for j, s := range sgn {
				shared.alpha[j] *= s
				scale(s, shared.h[j*d:][:d])
			}
		}
		for j, s := range sgn {
			scale(s, g[j*d:][:d])
			r.norm[j] = norm2(y[j*d:][:d])
		}
		clear(shared.w)
		shared.product(shared.y, y)
		r.step = p.long * curve * float64(len(sgn)) * math.Pow(1e3, math.Max(0, past-0.3))
		if !shared.prox(r, next, y, g) {
			back()
			continue
		}
		const momentum = 0.97
		for i, t := range next {
			y[i] = t + momentum*(t-x[i])
		}
		copy(x, next)
	}
	copy(y, x) // the last, without its momentum, which keeps no neuron at zero
	look()
	if p.turn != nil {
		bestV = turned(mat.NewDense(len(bestS), d, bestV), p.turn.T()).RawMatrix().Data
	}
	return neuronsOf(bestV, bestS), best
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

// neuron is a unit of a two-layer network with its sign: s (x'v)_+.
type neuron struct {
	v    []float64
	sign float64
}

// flat returns the vectors of neurons as rows of a matrix, with their signs.
func flat(net []neuron) (v, sgn []float64) {
	for _, nr := range net {
		v, sgn = append(v, nr.v...), append(sgn, nr.sign)
	}
	return v, sgn
}

// neuronsOf is the inverse of flat but for neurons at zero, which it leaves out.
func neuronsOf(v, sgn []float64) []neuron {
	var net []neuron
	for j, s := range sgn {
		d := len(v) / len(sgn)
		if w := v[j*d:][:d:d]; norm2(w) > 0 {
			net = append(net, neuron{w, s})
		}
	}
	return net
}

// GeneratePatterns finds the activation patterns that matter for a ReLU
// network when there are too many to enumerate: it solves the convex program
// over a small set, prices neurons of any pattern against its dual point by
// local ascent from many starts, adds the patterns of those that violate the
// dual constraint, moves the neurons of the current network downhill in the
// network objective itself to find the cells they head for, and repeats until
// no start finds a violator. What comes back is those patterns, with a vector
// of each as Gates, and a network over them that the final solve starts from.
//
// The optimum over them is not certified to be global: pricing is a search.
func GeneratePatterns(ctx context.Context, X *mat.Dense, loss Fn, beta float64, seed uint64, s *Settings) (*Patterns, error) {
	X, err := finiteMatrix("X", X)
	if err != nil {
		return nil, err
	}
	if n, d := X.Dims(); loss.Labels != nil && len(loss.Labels) != n {
		return nil, fmt.Errorf("convex: GeneratePatterns: the loss has %d labels but X is %d×%d: want one label a row", len(loss.Labels), n, d)
	}
	if !(beta > 0) || math.IsInf(beta, 1) || loss.Value == nil || loss.Prox == nil || loss.Conj == nil || loss.anyGrad() == nil {
		return nil, fmt.Errorf("convex: GeneratePatterns: want a positive beta (have %g) and a loss with Value, Grad or Subgrad, Prox and Conj (have %q)", beta, loss.Name)
	}
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	return generatePatterns(background(ctx), &MaskedData{X: X, Signed: true}, loss, GroupL1(beta), seed, s)
}

// generatePatterns is GeneratePatterns for networks whose neurons act on data
// with several patches of a sample, and a scale, or whose penalty is by parts.
func generatePatterns(ctx context.Context, data *MaskedData, loss Fn, pen Penalty, seed uint64, s *Settings) (*Patterns, error) {
	s = s.withDefaults()
	_, d := data.X.Dims()
	beta := unitPenalty(pen, Block{Rows: d, Cols: 1, Weight: 1})
	g := &generator{
		m: newMaskedModel(data), loss: loss, beta: beta, parts: pen.Parts, rng: rand.New(rand.NewPCG(seed, 0x6761746573)),
		mon: NewMonitor(ctx, "patterns", s), data: data, seen: map[string]int{},
	}
	if g.m.patches == 1 && g.parts == nil {
		g.down = newDescent(data.X, loss, beta).run
	} else {
		parts := g.parts
		if parts == nil {
			parts = []int{d}
		}
		metric := partCurvature(g.m.x, parts)
		g.down = func(net []neuron, how pace, t span) ([]neuron, float64) {
			v, sgn := flat(net)
			value := plainDescent(g.m, loss, beta, parts, metric, v, sgn, how.steps, t.stop)
			return neuronsOf(v, sgn), value
		}
	}
	if err := g.run(ctx, s); err != nil {
		return nil, err
	}
	if len(g.bits) == 0 && len(g.net) == 0 { // the optimum is zero: keep some patterns to certify it on
		return data.samplePatterns(50, seed)
	}
	return g.patterns(), nil
}

// generationTime bounds the search when the context has no deadline; with one,
// the search takes at most two thirds of the time left: the solve after it
// starts from the network found, and what it needs is for the bound.
const generationTime = time.Minute

// span is a stretch of time for the search or a part of it.
type span struct {
	ctx      context.Context
	from, to time.Time
}

// generationSpan is the time for a search that begins now.
func generationSpan(ctx context.Context) span {
	t := span{ctx, time.Now(), time.Now().Add(generationTime)}
	if deadline, ok := ctx.Deadline(); ok {
		t.to = deadline
		return t.share(2. / 3)
	}
	return t
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

type generator struct {
	m     *maskedModel
	data  *MaskedData // without patterns
	loss  Fn
	beta  float64
	parts []int // of a penalty by parts
	rng   *rand.Rand
	mon   *Monitor
	down  func(net []neuron, how pace, t span) ([]neuron, float64)

	bits [][]uint64     // patterns kept
	gate [][]float64    // a vector of each
	idle []int          // rounds since each was of use
	seen map[string]int // index of a pattern

	net   []neuron
	f     []float64
	theta []float64
	value float64
	gram  []float64
	cone  *coneData
}

func key(bits []uint64) string {
	b := make([]byte, 0, len(bits)*8)
	for _, w := range bits {
		b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24), byte(w>>32), byte(w>>40), byte(w>>48), byte(w>>56))
	}
	return string(b)
}

// add keeps a pattern (copied) and returns its index.
func (g *generator) add(bits []uint64, u []float64) int {
	k := key(bits)
	if i, ok := g.seen[k]; ok {
		g.idle[i] = 0
		return i
	}
	g.seen[k] = len(g.bits)
	g.bits = append(g.bits, append([]uint64(nil), bits...))
	g.gate = append(g.gate, append([]float64(nil), u...))
	g.idle = append(g.idle, 0)
	return len(g.bits) - 1
}

func (g *generator) run(ctx context.Context, s *Settings) error {
	n := g.m.samples
	g.cone = newConeData(g.data.X)
	g.f, g.theta = make([]float64, n), make([]float64, n)
	g.loss.anyGrad()(g.theta, g.f)
	scale(-1, g.theta)
	g.value = g.loss.Value(g.f)
	t := generationSpan(ctx)
	if g.data.winners || g.parts != nil {
		return g.descents(ctx, t)
	}
	quiet := 0
	var history []float64
	tol := s.Tol
	roundTol := 1e-2
	// Many starts find the low valleys. Those that meet in one become one neuron,
	// which makes the steps that follow cheap. On many samples, where a round below
	// takes long, more of them pay.
	steps := 500
	if n > 2000 {
		steps = 900
	}
	g.descend(g.random(450), pace{steps: steps, join: true}, t.share(0.8))
	g.descend(g.shaken(0.98), pace{steps: 500}, t.share(0.4))
	for round := 1; round < 200 && !t.stop(); round++ {
		if err := g.convex(roundTol, t.stop); err != nil {
			return err
		}
		// One descent goes on from the network; another, mostly worse, has
		// patterns that the next program does better with.
		g.descend(g.shaken(0.99), pace{steps: 300, gentle: true}, t.share(0.4))
		g.descend(g.shaken(0.98), pace{steps: 200}, t.share(0.4))
		g.mon.Report(Progress{Iter: round, Primal: g.value, Lower: math.Inf(-1), Active: len(g.net)})
		worst, added := g.price(round, t.stop)
		est := math.Max(worst-1, 0)
		history = append(history, g.value)
		// A long tail of cells next door is not worth the while, but where there
		// are few cells it soon ends, and then the bound closes.
		few := len(g.bits) < 100 && round < 6
		if k := len(history); k > 1 && history[k-2]-g.value < math.Max(1e-5, 0.1*tol)*math.Abs(g.value) && roundTol <= 1e-3 && !few {
			break
		}
		if added == 0 || est < 0.5*tol {
			if quiet++; quiet >= 2 && roundTol <= tol {
				return nil // no violators
			}
			roundTol = math.Max(tol, roundTol*0.03)
		} else {
			quiet = 0
			roundTol = math.Max(tol, math.Min(1e-2, 0.1*est))
		}
	}
	g.keepNetwork()
	return nil
}

// descents searches by descents alone, where the cones are not those of the
// signs of the rows: after each, neurons that violate the dual constraint
// join, as small ones, for the next, and the weights are set to the optimum over
// the directions reached. The patterns of the last round are kept.
// With a penalty by parts those that join have one part, as the vertices of its
// unit ball.
func (g *generator) descents(ctx context.Context, t span) error {
	const starts = 64
	d, climbs := g.m.d, 40
	rounds, steps := 20, 100
	if g.parts != nil {
		climbs, rounds, steps = 0, 200, 400
	}
	g.descend(g.random(200), pace{steps: 150}, t)
	for round := 1; round < rounds && !t.stop(); round++ {
		before, net := g.value, g.net
		us, sgn := make([]float64, starts*d), make([]float64, starts)
		for j := range sgn {
			at, size := 0, d
			if g.parts != nil {
				p := g.rng.IntN(len(g.parts))
				at, size = sumInts(g.parts[:p]), g.parts[p]
			}
			for i := range size {
				us[j*d+at+i] = g.rng.NormFloat64()
			}
			sgn[j] = 1 - 2*float64(j%2)
		}
		pats := newBits(starts, g.m.n)
		phi := ascend(g.m, us, sgn, g.theta, pats, climbs)
		g.bits, g.gate, g.idle, g.seen = nil, nil, nil, map[string]int{}
		size := 1.0
		for _, nr := range net {
			size = math.Min(size, norm2(nr.v))
		}
		g.net = slices.Clip(net)
		for j, p := range phi {
			if p > g.beta {
				u := append([]float64(nil), us[j*d:][:d]...)
				g.add(pats[j], u)
				scale(0.1*size, u)
				g.net = append(g.net, neuron{u, sgn[j]})
			}
		}
		g.descend(g.shaken(0.98), pace{steps: steps}, t)
		if err := g.reweigh(ctx); err != nil {
			return err
		}
		if g.value == before {
			g.net = net
		}
		if before-g.value < 1e-4*math.Abs(g.value) {
			return nil
		}
	}
	return nil
}

// reweigh sets the sizes and signs of the neurons of the network to those of the
// optimum over their directions.
func (g *generator) reweigh(ctx context.Context) error {
	d := g.m.d
	pats := newBits(len(g.net), g.m.n)
	all, _ := flat(g.net)
	g.m.patternsOf(pats, all)
	norm := func(v []float64) float64 {
		if g.parts != nil {
			return normOfParts(v, g.parts)
		}
		return norm2(v)
	}
	us := make([][]float64, len(g.net))
	for j, nr := range g.net {
		us[j] = all[j*d:][:d]
		scale(1/norm(nr.v), us[j])
	}
	at := 0
	c := &columnSearch{loss: g.loss, beta: g.beta, samples: g.m.samples, outputs: 1, width: 1, column: func(u []float64) []float64 {
		f := make([]float64, g.m.samples)
		g.m.forward(f, u, pats[at:at+1])
		at++
		return f
	}}
	prog := c.plain(us)
	sol, err := SolveProgram(ctx, prog, &Settings{Tol: 1e-5, MaxIter: 20_000, Progress: func(Progress) {}})
	if err != nil || !(sol.Certificate.Primal < g.value) {
		return err
	}
	g.net = nil
	for j, w := range sol.Certificate.X {
		if w != 0 {
			scale(math.Abs(w), us[j])
			g.net = append(g.net, neuron{us[j], math.Copysign(1, w)})
		}
	}
	g.value = sol.Certificate.Primal
	prog.Op.Apply(g.f, sol.Certificate.X)
	g.loss.anyGrad()(g.theta, g.f)
	scale(-1, g.theta)
	return nil
}

// price searches for neurons that violate the dual constraint at theta and
// adds the patterns of the worst; worst is the largest dual norm found, over
// beta.
func (g *generator) price(round int, stop func() bool) (worst float64, added int) {
	d := g.m.d
	starts := 128
	var us, sgn []float64
	push := func(u []float64, s float64) {
		us = append(us, u...)
		sgn = append(sgn, s)
	}
	u := make([]float64, d)
	for j := 0; j < starts; j++ {
		if j%4 == 3 { // a sample's own direction, which finds narrow cells
			copy(u, g.data.X.RawRowView(g.rng.IntN(g.m.n)))
			if g.rng.IntN(2) == 0 {
				scale(-1, u)
			}
		} else {
			for i := range u {
				u[i] = g.rng.NormFloat64()
			}
		}
		push(u, 1-2*float64(j%2))
	}
	// Around the neurons of the network, where cells next door may be better.
	for _, nr := range g.net {
		nv := norm2(nr.v)
		for rep := 0; rep < 2; rep++ {
			for i := range u {
				u[i] = nr.v[i]/nv + 0.1*math.Pow(0.3, float64(rep+round%3))*g.rng.NormFloat64()/math.Sqrt(float64(d))
			}
			push(u, nr.sign)
		}
	}
	pats := newBits(len(sgn), g.m.n)
	phi := ascend(g.m, us, sgn, g.theta, pats, 40)
	// From the best cells reached, and from those of the network, climb on
	// exactly.
	var cands []climber
	seen := map[string]bool{}
	start := func(bits []uint64, sign, value float64) {
		k := key(bits)
		if sign < 0 {
			k += "-"
		}
		if !seen[k] {
			seen[k] = true
			cands = append(cands, climber{bits: append([]uint64(nil), bits...), sign: sign, norm: value})
		}
	}
	for j, p := range phi {
		if p > 0.7*g.beta {
			start(pats[j], sgn[j], p)
		}
	}
	sort.Slice(cands, func(a, b int) bool { return cands[a].norm > cands[b].norm })
	if len(cands) > 96 {
		cands = cands[:96]
	}
	own := newBits(len(g.net), g.m.n)
	all, _ := flat(g.net)
	g.m.patternsOf(own, all)
	for j, nr := range g.net {
		start(own[j], nr.sign, 0)
	}
	cone := *g.cone
	cone.halt = stop // a climb over thousands of samples takes long
	run := ssn{cone: &cone}
	theta := g.m.spread(g.theta)
	run.eachProjector(len(cands), func(i int, p *coneProjector) { cands[i].climb(g.m.maskedData, p, theta, g.beta) })
	sort.Slice(cands, func(a, b int) bool { return cands[a].norm > cands[b].norm })
	for _, c := range cands {
		if c.u == nil { // no projection was found in time
			continue
		}
		worst = math.Max(worst, c.norm/g.beta)
		if c.norm <= g.beta*(1+1e-9) || added >= 100 {
			break
		}
		before := len(g.bits)
		g.add(c.bits, c.u)
		if len(g.bits) > before {
			added++
		}
	}
	return worst, added
}

// climber is a cell on its way to a local maximum of the dual norm over cells.
type climber struct {
	bits []uint64
	sign float64
	norm float64   // |Proj_K(s X'D theta)|
	u    []float64 // the projection
}

// climb moves to neighbouring cells while the dual norm grows. With
// v = Proj_K(z), z = s X'D theta, and multipliers a_i of the rows x_i v = 0, the
// function s·theta'(Xv)_+ has a kink at row i. If s·theta_i > 0 the kink is
// convex and no maximum; if it is negative v is a maximum across the row only
// when a_i <= |theta_i| |x_i|. Rows that fail are flipped, all at once, and the
// cell on their other side, which v also belongs to, is taken up from there.
func (c *climber) climb(m *maskedData, p *coneProjector, theta []float64, beta float64) {
	d := m.d
	z := make([]float64, d)
	m.adjointGemm(z, theta, [][]uint64{c.bits})
	scale(c.sign, z)
	if norm2(z) <= 0.5*beta {
		c.u = z
		c.norm = 0
		return
	}
	v := make([]float64, d)
	if _, err := p.project(v, z, c.bits, nil, 1e-10, 0.3*beta); err != nil {
		return
	}
	c.u, c.norm = append([]float64(nil), v...), norm2(v)
	bits := append([]uint64(nil), c.bits...)
	for range 40 {
		var flip, warm []int
		for j, i := range p.idx {
			t := c.sign * theta[i]
			if p.a[j] > 0 && (t > 0 || p.a[j]*p.c.inv[i] > -t*(1+1e-9)) {
				flip = append(flip, i)
			}
			warm = append(warm, i)
		}
		if len(flip) == 0 || c.norm <= 0.3*beta {
			return
		}
		for _, i := range flip {
			t := c.sign * theta[i]
			if bits[i>>6]>>(uint(i)&63)&1 != 0 {
				t = -t
			}
			bits[i>>6] ^= 1 << (uint(i) & 63)
			axpy(t, p.c.row(i), z)
		}
		if _, err := p.project(v, z, bits, warm, 1e-10, 0); err != nil {
			return
		}
		nv := norm2(v)
		if !(nv > c.norm*(1+1e-10)) {
			return
		}
		c.norm = nv
		copy(c.u, v)
		copy(c.bits, bits)
	}
}

// convex solves the program over the kept patterns from the current network.
func (g *generator) convex(tol float64, stop func() bool) error {
	r := newWorkingSetRun(g.data, g.loss, true, nil)
	r.cone, r.ssn.cone, r.ssn.halt = g.cone, g.cone, stop
	r.ssn.gram = g.gram
	r.signed = true
	r.beta = func(int) float64 { return g.beta }
	at := make([]int, len(g.net))
	pats := newBits(len(g.net), g.m.n)
	all, _ := flat(g.net)
	g.m.patternsOf(pats, all)
	for j, nr := range g.net {
		at[j] = g.add(pats[j], nr.v)
	}
	r.bits = g.bits
	for j, nr := range g.net {
		id := 2 * at[j]
		if nr.sign < 0 {
			id++
		}
		axpy(1, nr.v, r.group(id).v) // neurons of one cell and sign add up
	}
	if _, err := r.solve(tol, func() (Status, bool) { return Stopped, stop() }); err != nil {
		return err
	}
	g.gram = r.ssn.gram
	if r.best.primal <= g.value {
		g.net = g.net[:0]
		for _, gr := range r.best.groups {
			g.net = append(g.net, neuron{append([]float64(nil), gr.v...), gr.sign})
			g.idle[gr.id/2] = 0
		}
		g.value = r.best.primal
	}
	copy(g.theta, r.best.theta)
	g.forget(r)
	return nil
}

// keepNetwork drops all patterns but those of the network, when the search ends
// before it has run out of violators, also for want of time: the cells next door
// would split neurons without end, for little.
func (g *generator) keepNetwork() {
	g.bits, g.gate, g.idle, g.seen = nil, nil, nil, map[string]int{}
}

// forget drops patterns that were of no use for several rounds.
func (g *generator) forget(r *workingSetRun) {
	used := map[int]bool{}
	for _, w := range r.work {
		used[w.id/2] = true
	}
	bits, gate, idle := g.bits, g.gate, g.idle
	g.bits, g.gate, g.idle = nil, nil, nil
	g.seen = map[string]int{}
	for i := range bits {
		if !used[i] {
			idle[i]++
		}
		if idle[i] < 2 {
			j := g.add(bits[i], gate[i])
			g.idle[j] = idle[i]
		}
	}
}

// descend moves a network downhill and keeps the patterns it ends in.
func (g *generator) descend(net []neuron, how pace, t span) {
	if len(net) == 0 {
		return
	}
	net, value := g.down(net, how, t)
	v, sgn := flat(net)
	pats := newBits(len(net), g.m.n)
	g.m.patternsOf(pats, v)
	for j, nr := range net {
		g.add(pats[j], nr.v)
	}
	if !(value < g.value) {
		return
	}
	g.value, g.net = value, net
	for j, s := range sgn {
		scale(s, v[j*g.m.d:][:g.m.d])
	}
	g.m.forward(g.f, v, pats)
	g.loss.anyGrad()(g.theta, g.f)
	scale(-1, g.theta)
}

// random is a network of small neurons of any direction.
func (g *generator) random(width int) []neuron {
	net := make([]neuron, width)
	for j := range net {
		net[j] = neuron{make([]float64, g.m.d), 1 - 2*float64(j%2)}
		for i := range net[j].v {
			net[j].v[i] = 0.1 * g.rng.NormFloat64() / math.Sqrt(float64(g.m.d))
		}
	}
	return net
}

// shaken is the network with neurons of nearly the same direction merged, and
// all moved a little. The solution of a convex program sits on the walls of its
// cells, from where no gradient leads away, and has split its neurons over cells
// next door.
func (g *generator) shaken(cosine float64) []neuron {
	v, sgn := flat(g.net)
	c := alike(v, sgn, cosine)
	net := neuronsOf(c.sum(v), c.sgn)
	for _, nr := range net {
		shake := 0.02 * norm2(nr.v) / math.Sqrt(float64(g.m.d))
		for i := range nr.v {
			nr.v[i] += shake * g.rng.NormFloat64()
		}
	}
	return net
}

// clusters are sets of neurons of one sign and of much the same direction.
type clusters struct {
	of  []int     // the cluster of each neuron, -1 if it is at zero
	sgn []float64 // of each cluster
}

// alike puts neurons whose directions have at least the given cosine with that
// of a longer one into its cluster.
func alike(v, sgn []float64, cosine float64) clusters {
	k := len(sgn)
	c := clusters{of: make([]int, k)}
	if k == 0 {
		return c
	}
	d := len(v) / k
	size, order := make([]float64, k), make([]int, k)
	for j := range order {
		order[j], size[j] = j, norm2(v[j*d:][:d])
	}
	sort.SliceStable(order, func(a, b int) bool { return size[order[a]] > size[order[b]] })
	var heads []int // the longest of each cluster
next:
	for _, j := range order {
		if size[j] == 0 {
			c.of[j] = -1
			continue
		}
		for at, i := range heads {
			if sgn[i] == sgn[j] && dot(v[i*d:][:d], v[j*d:][:d]) >= cosine*size[i]*size[j] {
				c.of[j] = at
				continue next
			}
		}
		c.of[j] = len(heads)
		heads, c.sgn = append(heads, j), append(c.sgn, sgn[j])
	}
	return c
}

// sum adds up the rows of v in each cluster.
func (c clusters) sum(v []float64) []float64 {
	d := len(v) / max(len(c.of), 1)
	out := make([]float64, len(c.sgn)*d)
	for j, at := range c.of {
		if at >= 0 {
			axpy(1, v[j*d:][:d], out[at*d:][:d])
		}
	}
	return out
}

// seed is the value of one group: a pattern with a sign, and its vector.
type seed struct {
	pattern int
	sign    float64
	v       []float64
}

// patterns returns what the search kept, with the network it ended at.
func (g *generator) patterns() *Patterns {
	pats := newBits(len(g.net), g.m.n)
	all, _ := flat(g.net)
	g.m.patternsOf(pats, all)
	at := make([]int, len(g.net))
	for j, nr := range g.net {
		at[j] = g.add(pats[j], nr.v)
	}
	p := newPatterns(len(g.bits), g.m.n)
	p.Source = "generated"
	p.Gates = mat.NewDense(g.m.d, max(len(g.bits), 1), nil)
	for i, b := range g.bits {
		copy(p.bits[i*p.words:], b)
		p.Gates.SetCol(i, g.gate[i])
	}
	return p.startingFrom(g.net, at)
}

// startingFrom is p with a network to start a solve from, whose neurons have the
// patterns at. It leaves out the all-off pattern, which adds nothing and which is
// left out of patterns that are given: those of a saved problem or solution.
func (p *Patterns) startingFrom(net []neuron, at []int) *Patterns {
	q := p.Distinct()
	index := make(map[string]int, q.Len())
	for i := range q.Len() {
		index[rowKey(q.Row(i))] = i
	}
	for j, nr := range net {
		if i, ok := index[rowKey(p.Row(at[j]))]; ok {
			q.net = append(q.net, seed{i, nr.sign, nr.v})
		}
	}
	return q
}
