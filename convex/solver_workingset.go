package convex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
	"time"
)

// WorkingSet solves programs over masked data with a group l2 penalty — gated
// ReLU, exact ReLU (cones), leaky ReLU, pooled patches — to certified high
// accuracy. Only a small working set of groups is in play: a semismooth Newton
// method solves the program over it, then all groups are priced against the
// dual point, violators join and idle ones leave. For cones a group is first
// bounded by |A_g'v|, from one matrix product over all patterns, and only the
// rest need a cone projection (a non-negative least squares problem).
type WorkingSet struct{}

func init() { RegisterSolver(WorkingSet{}, 10) }

// Name is "workingset".
func (WorkingSet) Name() string { return "workingset" }

// Uses wants masked data with one output, a group l2 penalty with a positive
// weight on every block, a loss with Value, Prox and Conj, and no cones but
// the activation cones of the same data.
func (WorkingSet) Uses(prog *Program) error {
	m := prog.Op.Masked
	switch {
	case m == nil:
		return fmt.Errorf("needs the masked structure of the operator, and %q has none", prog.Op.Name)
	case m.outputs() != 1:
		return fmt.Errorf("needs one output, the program has %d", m.outputs())
	case !(prog.Penalty.GroupL2 > 0):
		return fmt.Errorf("needs a group l2 penalty, the program has %q", prog.Penalty.Name)
	case prog.Cones != nil && prog.Cones.Masked != m:
		return fmt.Errorf("needs the activation cones of the operator's own data; %q are others", prog.Cones.Name)
	case prog.Loss.Value == nil || prog.Loss.Prox == nil || prog.Loss.Conj == nil:
		return fmt.Errorf("needs Value, Prox and Conj of loss %q", prog.Loss.Name)
	case prog.Loss.anyGrad() == nil:
		return fmt.Errorf("needs Grad or Subgrad of loss %q", prog.Loss.Name)
	}
	return standardBlocks(prog)
}

// Solve finds the optimum of prog.
func (WorkingSet) Solve(ctx context.Context, prog *Program, s *Settings) (*Point, error) {
	m := prog.Op.Masked
	mon := NewMonitor(ctx, "workingset", s)
	done, start := 0, s.StartPoint(prog)
	var sets map[int]activeSet // of the projections there, by block
	// From zero, which is also where a path begins; a start that is given is kept.
	if mu := smoothing(prog); norm2(start) == 0 && mu > 0 {
		near := *prog
		near.Loss = smoothed(prog.Loss, mu)
		zero := prog.Loss.Value(make([]float64, prog.Op.Rows)) // what is reached so far
		pt, err := WorkingSet{}.Solve(ctx, &near, &Settings{Tol: 3e-2, MaxIter: s.MaxIter, Progress: func(p Progress) {
			mon.Report(Progress{Iter: p.Iter, Primal: zero, Lower: math.Inf(-1), Active: p.Active})
		}})
		if err != nil {
			return nil, err
		}
		done, start, sets = pt.Iter, pt.X, pt.sets
	}
	var first *screened
	if (ScreenedFISTA{}).Uses(prog) == nil {
		// First-order steps first: they may be all that is needed, and are a
		// good start for Newton's method if not.
		first = newScreened(prog, mon)
		first.start(start)
		budget := 100_000
		status := first.run(0.9*s.Tol, func(it int) (Status, bool) { return mon.Stop(it, budget) }, func(left float64) bool {
			// Not before they had half the work of the Newton steps: rates are
			// known late, and the loss is bounded so.
			newton := newtonSteps * first.newtonWork()
			return left > newton && first.work > newton/2
		})
		if status != Unknown && status != Numerical && !(status == IterLimit && s.MaxIter == 0) {
			return first.point(status, "workingset"), nil
		}
	}
	r := newWorkingSetRun(m, prog.Loss, prog.Cones != nil, mon)
	r.ssn.halt = func() bool { return ctx.Err() != nil }
	P := m.Patterns.Len()
	for p := 0; p < P; p++ {
		r.addPattern(m.Patterns.Row(p))
	}
	r.signed = m.Signed
	r.beta = func(id int) float64 { return prog.Penalty.GroupL2 * prog.Blocks[r.block(id)].Weight }
	if first != nil {
		ps, zs := first.blocks()
		for j, p := range ps {
			r.group(2 * p).v = zs[j]
		}
	} else if start != nil {
		for g, b := range prog.Blocks {
			id := 2 * (g % P)
			if g >= P {
				id++
			}
			if act, ok := sets[g]; ok {
				r.warm[id] = act
			}
			if v := b.Of(start); norm2(v) > 0 {
				r.group(id).v = append([]float64(nil), v...)
			}
		}
	}
	if first != nil {
		done = first.iter
	}
	status, err := r.solve(0.9*s.Tol, func() (Status, bool) { return mon.Stop(done+r.ssn.newtons, 0) })
	if err != nil {
		return nil, err
	}
	if first != nil && first.lower > r.lower {
		r.dual = first.dual
	}
	x := make([]float64, prog.Op.Cols)
	for _, g := range r.best.groups {
		copy(prog.Blocks[r.block(g.id)].Of(x), g.v)
	}
	return &Point{X: x, Dual: r.dualPoint(), Status: status, Iter: done + r.ssn.newtons, Trace: mon.Trace(), Solver: "workingset", sets: r.activeSets()}, nil
}

// smoothing is how much the loss of prog is smoothed for a first solve, which
// Newton's method begins with where the loss has kinks: from zero it would take
// many short steps along them. They become arcs half as wide as the labels are
// large. It is 0 for a loss with a gradient.
func smoothing(prog *Program) float64 {
	loss := prog.Loss
	if loss.Grad != nil {
		return 0
	}
	slope, zero := make([]float64, prog.Op.Rows), make([]float64, prog.Op.Rows)
	loss.Subgrad(slope, zero)
	mu := 0.5 * labelSize(loss, len(zero)) / norm2(slope)
	if !(mu > 0) || math.IsInf(mu, 1) {
		return 0
	}
	return mu
}

// labelSize is the norm of the labels of a loss of n predictions or, where it has
// none, of the way that a proximal step from zero goes; never 0.
func labelSize(loss Fn, n int) float64 {
	if size := norm2(loss.Labels); size > 0 {
		return size
	}
	p := make([]float64, n)
	loss.Prox(p, p, 1)
	return math.Max(norm2(p), math.SmallestNonzeroFloat64)
}

// newtonSteps is the usual number of Newton steps from a moderate gap to the
// tolerance.
const newtonSteps = 25

// newtonWork estimates the operations of a Newton step over the blocks that
// are not zero.
func (r *screened) newtonWork() float64 {
	if r.c > 1 {
		return math.Inf(1)
	}
	n, d, k := float64(r.model.samples), float64(r.d), 0.0
	for _, t := range r.norm {
		if t > 0 {
			k++
		}
	}
	q := k * d
	flops := n*q*q + q*q*q/3 + 2*n*d*q
	if n <= denseLimit {
		flops = math.Min(flops, 2*n*d*q+n*n*q+n*n*n/3)
		if r.model.patches == 1 {
			flops = math.Min(flops, 2*n*n*k+n*n*n/3+n*n*d/newtonSteps)
		}
	} else if q > denseLimit {
		return math.Inf(1)
	}
	return 2*flops + 1e6 // smaller blocks run at half the rate
}

// workingSetRun is one solve. A group is a pattern with a sign: id 2p is
// pattern p with +, id 2p+1 the same with -.
type workingSetRun struct {
	model  *maskedModel
	cone   *coneData
	loss   Fn
	beta   func(id int) float64
	signed bool
	bits   [][]uint64
	groups map[int]*ssnGroup // those that were ever in the working set
	warm   map[int]activeSet // of the projection at the last pricing of a group
	priced map[int][]float64 // Proj_K(z)-z of the last projection of a group in pricing
	known  map[int]float64   // bounds on dual norms over beta at the present dual point
	ssn    *ssn
	mon    *Monitor
	work   []*ssnGroup
	fscale float64   // size of the predictions, for tolerances
	lower  float64   // best certified lower bound
	dual   []float64 // its dual point

	best struct {
		primal float64
		groups []ssnGroup // active ones: id and v
		f      []float64
		theta  []float64
	}
	gap float64 // last estimate, relative
}

func newWorkingSetRun(m *MaskedData, loss Fn, cones bool, mon *Monitor) *workingSetRun {
	r := &workingSetRun{
		model: newMaskedModel(m), loss: loss,
		groups: map[int]*ssnGroup{}, warm: map[int]activeSet{}, priced: map[int][]float64{}, mon: mon, lower: math.Inf(-1), gap: 1,
	}
	if cones {
		r.cone = newConeData(m.X)
	}
	n := r.model.samples
	r.ssn = &ssn{model: r.model, cone: r.cone, loss: loss, xi: make([]float64, n), f: make([]float64, n)}
	r.best.primal = math.Inf(1)
	return r
}

func (r *workingSetRun) addPattern(bits []uint64) { r.bits = append(r.bits, bits) }

// block is the block of the program behind a group.
func (r *workingSetRun) block(id int) int { return id/2 + id%2*len(r.bits) }

func (r *workingSetRun) group(id int) *ssnGroup {
	g := r.groups[id]
	if g == nil {
		g = &ssnGroup{id: id, bits: r.bits[id/2], sign: 1 - 2*float64(id%2), beta: r.beta(id), v: make([]float64, r.model.d)}
		g.activeSet = r.warm[id].guess()
		r.groups[id] = g
	}
	return g
}

// multiplier sets theta to minus a subgradient of the loss, the dual candidate
// of predictions f.
func (r *workingSetRun) multiplier(theta, f []float64) {
	r.loss.anyGrad()(theta, f)
	scale(-1, theta)
}

func (r *workingSetRun) dualValue(theta []float64, worst float64) float64 {
	return dualValue(r.loss, theta, worst)
}

// dualValue is the best -L*(-s·theta) over 0 <= s <= 1/worst, a lower bound on
// the optimum when worst bounds the dual norms of all groups over beta.
func dualValue(loss Fn, theta []float64, worst float64) float64 {
	v := make([]float64, len(theta))
	at := func(s float64) float64 {
		for i, t := range theta {
			v[i] = -s * t
		}
		if c := loss.Conj(v); !math.IsNaN(c) {
			return -c
		}
		return math.Inf(-1)
	}
	hi := math.Min(1/worst, 2)
	best := math.Max(at(0), math.Max(at(math.Min(1, hi)), at(hi)))
	// The function is concave; look for an inner maximum by golden section.
	const golden = 0.6180339887498949
	lo := 0.0
	if hi >= 1 {
		lo = 0.5
	}
	a, b := hi-golden*(hi-lo), lo+golden*(hi-lo)
	fa, fb := at(a), at(b)
	for range 24 {
		if fa < fb {
			lo, a, fa = a, b, fb
			b = lo + golden*(hi-lo)
			fb = at(b)
		} else {
			hi, b, fb = b, a, fa
			a = hi - golden*(hi-lo)
			fa = at(a)
		}
	}
	return math.Max(best, math.Max(fa, fb))
}

// pricedGroup is a group with its dual norm over beta.
type pricedGroup struct {
	id    int
	ratio float64
}

// activeSets has those of the last projections, by block.
func (r *workingSetRun) activeSets() map[int]activeSet {
	sets := make(map[int]activeSet, len(r.warm))
	for id, act := range r.warm {
		sets[r.block(id)] = act
	}
	for id, g := range r.groups {
		sets[r.block(id)] = g.guess()
	}
	return sets
}

// dualNorms returns, for every group of the list, an upper bound on
// |Proj_K(A_g'theta)|/beta that is exact for groups above 1, but for those whose
// bound is known.
func (r *workingSetRun) dualNorms(list []int, corr func(p int) []float64) ([]pricedGroup, error) {
	out := make([]pricedGroup, len(list))
	if r.cone == nil {
		for i, id := range list {
			out[i] = pricedGroup{id, norm2(corr(id/2)) / r.beta(id)}
		}
		return out, nil
	}
	errs := make([]error, len(list))
	acts := make([]*activeSet, len(list))
	pulls := make([][]float64, len(list))
	r.ssn.eachProjector(len(list), func(i int, p *coneProjector) {
		id := list[i]
		b := r.beta(id)
		z := append([]float64(nil), corr(id/2)...)
		if id%2 == 1 {
			scale(-1, z)
		}
		ratio := norm2(z) / b
		if k, ok := r.known[id]; ok {
			out[i] = pricedGroup{id, math.Min(ratio, k)}
			return
		}
		if ratio > 1 {
			ratio = math.Min(ratio, pulled(z, r.priced[id])/b)
		}
		if ratio > 1 && !r.ssn.halted() { // late, the plain bound has to do
			v := make([]float64, len(z))
			// An unfinished projection still is a bound.
			from := r.warm[id]
			_, errs[i] = p.project(v, z, r.bits[id/2], &from, coneTol, b*(1-1e-9))
			ratio = math.Min(ratio, norm2(v)/b)
			acts[i] = new(activeSet)
			acts[i].set(p, false)
			axpy(-1, z, v)
			pulls[i] = v
		}
		out[i] = pricedGroup{id, ratio}
	})
	for i, id := range list {
		if acts[i] != nil {
			r.warm[id], r.priced[id] = *acts[i], pulls[i]
		}
	}
	return out, errors.Join(errs...)
}

// pulled bounds |Proj_K(z)| with a vector S'a, a >= 0, from the projection of a
// vector nearby: by |z + t S'a| for the best t >= 0.
func pulled(z, sa []float64) float64 {
	size := norm2(z)
	if len(sa) == 0 {
		return size
	}
	length := norm2(sa)
	along := dot(z, sa) / length
	if !(along < 0) {
		return size
	}
	return math.Sqrt(math.Max(size*size-along*along, 0))
}

// know takes the bounds of the groups of the working set from the last
// minimisation, which had the dual point xi and not theta.
func (r *workingSetRun) know(pats [][]uint64, theta []float64) {
	if r.cone == nil {
		return
	}
	d := r.model.d
	diff, corr := make([]float64, len(theta)), make([]float64, len(pats)*d)
	for i, t := range theta {
		diff[i] = t - r.ssn.xi[i]
	}
	r.model.adjoint(corr, diff, pats)
	r.known = make(map[int]float64, len(r.work))
	for j, g := range r.work {
		r.known[g.id] = (g.polar + norm2(corr[j*d:][:d])) / g.beta
	}
}

// price bounds the dual norms of groups at theta. It works through them in
// order of the cheap bound |A_g'theta| and, once it has found want violators,
// stops; all says that it got through, and worst then bounds every group.
func (r *workingSetRun) price(theta []float64, want int) (worst float64, violators []pricedGroup, all bool, err error) {
	d := r.model.d
	corr := make([]float64, len(r.bits)*d)
	r.model.adjoint(corr, theta, r.bits)
	at := func(p int) []float64 { return corr[p*d:][:d] }
	cheap := make([]pricedGroup, 0, 2*len(r.bits))
	for p := range r.bits {
		nrm := norm2(at(p))
		cheap = append(cheap, pricedGroup{2 * p, nrm / r.beta(2*p)})
		if r.signed {
			cheap = append(cheap, pricedGroup{2*p + 1, nrm / r.beta(2*p+1)})
		}
	}
	sort.Slice(cheap, func(i, j int) bool {
		if cheap[i].ratio != cheap[j].ratio {
			return cheap[i].ratio > cheap[j].ratio
		}
		return cheap[i].id < cheap[j].id
	})
	if r.cone == nil {
		for _, g := range cheap {
			if g.ratio > 1 {
				violators = append(violators, g)
			}
		}
		if len(cheap) > 0 {
			worst = cheap[0].ratio
		}
		return worst, violators, true, nil
	}
	for from := 0; from < len(cheap); {
		if cheap[from].ratio <= 1 {
			worst = math.Max(worst, cheap[from].ratio)
			break
		}
		if len(violators) >= want {
			return worst, violators, false, nil
		}
		to := from
		var list []int
		for ; to < len(cheap) && len(list) < 2*want+16 && cheap[to].ratio > 1; to++ {
			list = append(list, cheap[to].id)
		}
		ps, err := r.dualNorms(list, at)
		if err != nil {
			return 0, nil, false, err
		}
		for _, g := range ps {
			worst = math.Max(worst, g.ratio)
			if g.ratio > 1 {
				violators = append(violators, g)
			}
		}
		from = to
	}
	sort.Slice(violators, func(i, j int) bool { return violators[i].ratio > violators[j].ratio })
	return worst, violators, true, nil
}

// active lists the groups of the working set that are not zero.
func (r *workingSetRun) active() (gs []*ssnGroup, v []float64, cost float64) {
	for _, g := range r.work {
		if nv := norm2(g.v); nv > 0 {
			gs = append(gs, g)
			v = append(v, g.v...)
			cost += g.beta * nv
		}
	}
	return gs, v, cost
}

// solve runs until the relative gap is below tol or stop says so.
func (r *workingSetRun) solve(tol float64, stop func() (Status, bool)) (Status, error) {
	n := r.model.samples
	f, theta := make([]float64, n), make([]float64, n)
	s := r.ssn

	// Start from the groups given, or from zero.
	r.work = r.work[:0]
	ids := make([]int, 0, len(r.groups))
	for id, g := range r.groups {
		if norm2(g.v) > 0 {
			ids = append(ids, id)
		}
	}
	sort.Ints(ids)
	for _, id := range ids {
		r.work = append(r.work, r.groups[id])
	}
	gs, v, cost := r.active()
	s.signedForward(f, gs, v)
	r.multiplier(theta, f)
	zero := make([]float64, n)
	r.fscale = labelSize(r.loss, n)
	r.keep(f, theta, r.loss.Value(f)+cost)
	if z := r.loss.Value(zero); z < r.best.primal { // a useless start
		for _, g := range r.work {
			clear(g.v)
		}
		r.work, gs = r.work[:0], nil
		clear(f)
		r.multiplier(theta, f)
		r.keep(f, theta, z)
	}
	const first = 24
	worst, violators, all, err := r.price(theta, first)
	if err != nil {
		return Numerical, err
	}
	if r.bound(theta, worst, all) <= tol {
		r.report(len(r.best.groups), tol)
		return Optimal, nil
	}
	r.join(violators, max(first, len(r.work)))

	s.noise = 1e-14 * r.fscale
	s.sigma = r.firstSigma(theta, gs) / excess(worst)
	quadratic := r.isQuadratic()
	loose, early := 0.1, 0.5 // of the inner steps; of the gap, when violators may join
	switch {
	case quadratic:
		s.tau, loose, early = 1e7, 1, 0.9
	case r.loss.Hess != nil && r.loss.Lipschitz > 0:
		s.tau, loose = 40/r.loss.Lipschitz, 1
	default:
		s.tau = 1
	}
	copy(s.f, f)
	copy(s.xi, theta)

	outer, lastGain, gapBest := 0, 0, math.Inf(1)
	status := Unknown
	halt := func() bool {
		var now bool
		if status == Unknown {
			if status, now = stop(); !now {
				status = Unknown
			}
		}
		return status != Unknown
	}
	growth, failures := 6.0, 0
	for ; !halt(); outer++ {
		target := math.Min(0.1, r.gap)
		before := r.snapshot()
		count := s.newtons
		done, err := s.minimise(r.work, func(it int, g, move float64) bool {
			lim := target
			if outer > 0 {
				lim = math.Min(lim, loose*move/(math.Sqrt(s.sigma)*r.fscale))
			}
			return it > 0 && g <= lim*r.fscale
		}, halt)
		if err != nil {
			return Numerical, err
		}
		if !done && s.gnorm > math.Max(1e-9, target)*r.fscale && failures < 20 {
			// Too long a step: go back and take a shorter one.
			failures++
			r.restore(before)
			copy(s.xi, theta)
			s.sigma /= 10
			growth = 2
			continue
		}
		count = s.newtons - count
		gs, v, cost := r.active()
		s.signedForward(f, gs, v)
		// -grad L(f⁺) of the proximal step: for a small beta it is far more
		// accurate than the gradient at f, which rounding of A v spoils.
		for i := range theta {
			theta[i] = s.xi[i] + (s.fplus[i]-s.f[i])/s.tau
		}
		r.loss.intoDomain(theta)
		copy(s.f, s.fplus)
		primal := r.loss.Value(f) + cost
		r.keep(f, theta, primal)

		// Gap over the working set, then, if that is good enough, over all.
		pats := make([][]uint64, len(r.work))
		list := make([]int, len(r.work))
		for j, g := range r.work {
			pats[j], list[j] = g.bits, g.id
		}
		corr := make([]float64, len(pats)*r.model.d)
		r.model.adjoint(corr, theta, pats)
		at := make(map[int]int, len(list))
		for j, id := range list {
			at[id/2] = j
		}
		r.know(pats, theta)
		inWork, err := r.dualNorms(list, func(p int) []float64 { return corr[at[p]*r.model.d:][:r.model.d] })
		if err != nil {
			return Numerical, err
		}
		worstW := 0.0
		for _, g := range inWork {
			worstW = math.Max(worstW, g.ratio)
		}
		gapW := primal - r.dualValue(theta, worstW)
		mag := math.Max(math.Abs(primal), math.SmallestNonzeroFloat64)
		grown := false
		if r.gap > 0.05 || gapW <= math.Max(0.3*r.gap, 0.5*tol)*mag || halt() {
			want := max(40, len(r.work))
			worst, violators, all, err := r.price(theta, 2*want)
			if err != nil {
				return Numerical, err
			}
			gap := r.bound(theta, worst, all)
			if all && gap <= tol {
				status = Optimal
				break
			}
			r.gap = math.Min(math.Max((primal-r.dualValue(theta, worst))/mag, 0), 1)
			if gapW < early*r.gap*mag || worst-1 > 3*(worstW-1) {
				// Idle groups leave, violators join.
				var keep []*ssnGroup
				for j, g := range r.work {
					if norm2(g.v) > 0 || inWork[j].ratio > 0.9 {
						keep = append(keep, g)
					}
				}
				r.work = keep
				if grown = r.join(violators, want); grown {
					lastGain = outer
				}
				if grown && len(gs) > 0 {
					// With this sigma the newcomers, by what they exceed their
					// dual bound, move by about the size of the others.
					s.sigma = math.Min(s.sigma, 3*cost/float64(len(gs))/(meanBeta(gs)*meanBeta(gs)*excess(worst)))
				}
			}
			if r.gap < 0.5*gapBest {
				gapBest, lastGain = r.gap, outer
			}
		}
		if status == Unknown && outer-lastGain > 40 {
			status = Numerical
			break
		}
		if !grown {
			// Beyond a multiple of the size of the groups (weighted by mass,
			// many small ones say little) rounding spoils the gradient.
			mass, mass2 := 0.0, 0.0
			for _, g := range gs {
				nv := norm2(g.v)
				mass += nv
				mass2 += nv * nv / g.beta
			}
			size := 0.0
			if mass > 0 {
				size = mass2 / mass
			}
			// Long steps are cheap while Newton's method finds them easy.
			switch {
			case count <= 6:
				growth = 10
			case count <= 15:
				growth = 6
			default:
				growth = 2.5
			}
			// When that stalls, precision may still be there.
			limit := math.Max(2e4*size*math.Pow(10, float64(min((outer-lastGain)/3, 4))), 1e-6*s.sigma)
			s.sigma = math.Min(growth*s.sigma, math.Max(limit, s.sigma/growth))
			if !quadratic {
				cap := 1e4
				if r.loss.Lipschitz > 0 {
					cap = 1e6 / r.loss.Lipschitz
				}
				s.tau = math.Min(s.tau*growth, cap)
			}
		}
		copy(s.xi, theta)
		r.report(len(gs), tol)
	}
	r.report(len(r.best.groups), tol)
	return status, nil
}

// excess is by how much a dual norm of worst exceeds its bound of 1, within
// what a first step may rely on.
func excess(worst float64) float64 { return math.Min(1, math.Max(worst-1, 1e-3)) }

// snapshot copies the values of the working set.
func (r *workingSetRun) snapshot() []float64 {
	var v []float64
	for _, g := range r.work {
		v = append(v, g.v...)
	}
	return v
}

func (r *workingSetRun) restore(v []float64) {
	d := r.model.d
	for j, g := range r.work {
		copy(g.v, v[j*d:(j+1)*d])
	}
}

func meanBeta(gs []*ssnGroup) float64 {
	sum := 0.0
	for _, g := range gs {
		sum += g.beta
	}
	return sum / float64(len(gs))
}

// join adds up to limit violators that are not in the working set.
func (r *workingSetRun) join(violators []pricedGroup, limit int) bool {
	in := make(map[int]bool, len(r.work))
	for _, g := range r.work {
		in[g.id] = true
	}
	added := 0
	for _, v := range violators {
		if added == limit {
			break
		}
		if !in[v.id] {
			r.work = append(r.work, r.group(v.id))
			added++
		}
	}
	return added > 0
}

// keep remembers the point if it is the best so far.
func (r *workingSetRun) keep(f, theta []float64, primal float64) {
	if !(primal < r.best.primal) {
		return
	}
	r.best.primal = primal
	r.best.f = append(r.best.f[:0], f...)
	r.best.theta = append(r.best.theta[:0], theta...)
	r.best.groups = r.best.groups[:0]
	for _, g := range r.work {
		if norm2(g.v) > 0 {
			r.best.groups = append(r.best.groups, ssnGroup{id: g.id, bits: g.bits, sign: g.sign, v: append([]float64(nil), g.v...)})
		}
	}
}

// dualPoint is the dual point of the best bound, or the latest when none was
// proved.
func (r *workingSetRun) dualPoint() []float64 {
	if r.dual != nil {
		return r.dual
	}
	return r.best.theta
}

// bound updates the lower bound if all groups were priced and returns the
// relative gap it proves.
func (r *workingSetRun) bound(theta []float64, worst float64, all bool) float64 {
	if all {
		if low := r.dualValue(theta, worst); low > r.lower || r.dual == nil {
			r.lower = math.Max(r.lower, low)
			r.dual = append(r.dual[:0], theta...)
		}
	}
	return relativeGap(r.best.primal, r.lower)
}

// firstSigma is the step for which the proximal term moves groups at twice their
// dual bound by about their final size: the size of a warm start, or of the best
// fit by one group.
func (r *workingSetRun) firstSigma(theta []float64, warm []*ssnGroup) float64 {
	if len(warm) > 0 {
		mean := 0.0
		for _, g := range warm {
			mean += norm2(g.v) / g.beta / float64(len(warm))
		}
		return mean
	}
	n, d := r.model.samples, r.model.d
	hess := make([]float64, n)
	if r.loss.Hess != nil {
		r.loss.Hess(hess, make([]float64, n))
	} else {
		for i := range hess {
			hess[i] = 1
		}
	}
	best, a := 0.0, make([]float64, n)
	for _, g := range r.work[:min(len(r.work), 3)] {
		u := make([]float64, d)
		r.model.adjoint(u, theta, [][]uint64{g.bits})
		nu := norm2(u)
		if nu <= g.beta {
			continue
		}
		scale(1/nu, u)
		r.model.forward(a, u, [][]uint64{g.bits})
		curv := 0.0
		for i, v := range a {
			curv += hess[i] * v * v
		}
		if curv > 0 {
			best = math.Max(best, (nu-g.beta)/curv/nu)
		}
	}
	if best == 0 {
		return 1
	}
	return 0.3 * best
}

// isQuadratic says whether the second derivative of the loss is constant.
func (r *workingSetRun) isQuadratic() bool {
	if r.loss.Hess == nil {
		return false
	}
	n := r.model.samples
	x, a, b := make([]float64, n), make([]float64, n), make([]float64, n)
	r.loss.Hess(a, x)
	for i := range x {
		x[i] = 3 + float64(i%7)
	}
	r.loss.Hess(b, x)
	for i := range a {
		if a[i] != b[i] || a[i] <= 0 {
			return false
		}
	}
	return true
}

func (r *workingSetRun) report(active int, tol float64) {
	if r.mon == nil {
		return
	}
	p := Progress{Iter: r.ssn.newtons, Primal: r.best.primal, Lower: r.lower, Active: active}
	// The gap falls about geometrically.
	if el := time.Since(r.mon.start); r.gap < 0.5 && r.gap > tol {
		p.ETA = time.Duration(float64(el) * math.Log(r.gap/tol) / math.Log(1/r.gap))
	}
	r.mon.Report(p)
}
