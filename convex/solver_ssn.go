package convex

import (
	"errors"
	"math"
	"runtime"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// maskedModel is the operator A of a masked program as solvers use it: groups
// are a pattern with a sign, vectors have length d, predictions length n.
// It adds to maskedData what MaskedData allows beyond one plain ReLU: a slope
// on inactive rows, a scale of the fit and several patches summed.
type maskedModel struct {
	*maskedData      // over n·patches rows
	samples, patches int
	scale, slope     float64
	winners          bool
}

func newMaskedModel(m *MaskedData) *maskedModel {
	n, _, _, _ := m.Dims()
	return &maskedModel{maskedData: newMaskedData(m.X), samples: n, patches: m.patches(), scale: m.scale(), slope: m.Slope, winners: m.winners}
}

// patternsOf sets the rows of pats to the patterns of the neurons in the rows
// of us.
func (m *maskedModel) patternsOf(pats [][]uint64, us []float64) {
	if !m.winners {
		m.maskedData.patternsOf(pats, us)
		return
	}
	parallel(len(pats), 1, func(lo, hi int) {
		z := make([]float64, m.n)
		for j := lo; j < hi; j++ {
			blas64.Gemv(blas.NoTrans, 1, m.x, blas64.Vector{N: m.d, Inc: 1, Data: us[j*m.d:]}, 0, blas64.Vector{N: m.n, Inc: 1, Data: z})
			clear(pats[j])
			for i := range m.samples {
				best := i
				for r := i + m.samples; r < m.n; r += m.samples {
					if z[r] > z[best] {
						best = r
					}
				}
				if z[best] > 0 {
					pats[j][best>>6] |= 1 << uint(best&63)
				}
			}
		}
	})
}

// adjoint sets row j of g to A_j'r for the pattern j, sign +1.
func (m *maskedModel) adjoint(g, r []float64, pats [][]uint64) {
	m.adjointSet(g, r, &patternSet{bits: pats})
}

func (m *maskedModel) adjointSet(g, r []float64, set *patternSet) {
	r = m.spread(r)
	m.maskedData.adjointSet(g, r, set)
	if m.slope != 0 {
		all := make([]float64, m.d)
		blas64.Gemv(blas.Trans, m.slope, m.x, blas64.Vector{N: m.n, Inc: 1, Data: r}, 0, blas64.Vector{N: m.d, Inc: 1, Data: all})
		scale(1-m.slope, g)
		for j := range set.bits {
			axpy(1, all, g[j*m.d:][:m.d])
		}
	}
}

// adjointOutputs is adjointSet for c vectors r, one after the other, and as
// many results.
func (m *maskedModel) adjointOutputs(g, r []float64, set *patternSet, c int) {
	if m.plain() {
		m.maskedData.adjointOutputs(g, r, set, c)
		return
	}
	for o := range c {
		m.adjointSet(g[o*len(set.bits)*m.d:][:len(set.bits)*m.d], r[o*m.samples:][:m.samples], set)
	}
}

// forwardOutputs is forwardSet for c lists of vectors v, one after the other,
// and as many results.
func (m *maskedModel) forwardOutputs(f, v []float64, set *patternSet, c int) {
	if m.plain() {
		m.maskedData.forwardOutputs(f, v, set, c)
		return
	}
	for o := range c {
		m.forwardSet(f[o*m.samples:][:m.samples], v[o*len(set.bits)*m.d:], set)
	}
}

// plain says that the operator is D_p X.
func (m *maskedModel) plain() bool { return m.patches == 1 && m.scale == 1 && m.slope == 0 }

// spread gives every row, of a patch, what its sample has in r, scaled.
func (m *maskedModel) spread(r []float64) []float64 {
	if m.patches == 1 && m.scale == 1 {
		return r
	}
	rows := make([]float64, m.n)
	for i := range rows {
		rows[i] = m.scale * r[i%m.samples]
	}
	return rows
}

// forward sets f to the sum of A_j v_j over patterns of sign +1.
func (m *maskedModel) forward(f, v []float64, pats [][]uint64) {
	m.forwardSet(f, v, &patternSet{bits: pats})
}

func (m *maskedModel) forwardSet(f, v []float64, set *patternSet) {
	out := f
	if m.patches > 1 {
		out = make([]float64, m.n)
	}
	m.maskedData.forwardSet(out, v, set)
	if m.slope != 0 {
		sum := make([]float64, m.d)
		for j := range set.bits {
			axpy(1, v[j*m.d:][:m.d], sum)
		}
		blas64.Gemv(blas.NoTrans, m.scale*m.slope, m.x, blas64.Vector{N: m.d, Inc: 1, Data: sum}, m.scale*(1-m.slope), blas64.Vector{N: m.n, Inc: 1, Data: out})
	} else if m.scale != 1 {
		scale(m.scale, out)
	}
	if m.patches > 1 {
		m.fold(f, out)
	}
}

// fold sums the patches of every sample.
func (m *maskedModel) fold(f, rows []float64) {
	copy(f[:m.samples], rows)
	for k := 1; k < m.patches; k++ {
		axpy(1, rows[k*m.samples:(k+1)*m.samples], f)
	}
}

// factor returns D~_{i,pattern}, the factor of row i under a pattern.
func (m *maskedModel) factor(bits []uint64, i int) float64 {
	if bits[i>>6]>>(uint(i)&63)&1 != 0 {
		return m.scale
	}
	return m.scale * m.slope
}

// factors sets dst to the factors of as many rows from one on.
func (m *maskedModel) factors(dst []float64, bits []uint64, from int) {
	on, off := m.scale, m.scale*m.slope
	for i := range dst {
		r := from + i
		dst[i] = off + (on-off)*float64(bits[r>>6]>>(uint(r)&63)&1)
	}
}

// ssnGroup is one group of a working set: min over v in R^d (in the cone of
// the pattern, if the program has cones) at cost beta·|v|.
type ssnGroup struct {
	id        int // block of the program
	bits      []uint64
	sign      float64
	beta      float64
	v         []float64 // current value
	activeSet           // of its cone, at the last projection
	// of the last evaluation
	proj []float64 // Proj_K(z)
	norm float64   // |proj|
	c    float64   // 1 - sigma·beta/norm, > 0 when the group is active
	seen bool      // proj is of the last evaluation
	// of the last minimisation: a bound on |Proj_K(A'xi)|
	polar float64
}

// free is the number of directions that the active rows of the cone leave.
func (g *ssnGroup) free(d int) int { return d - len(g.rows) }

// ssn minimises
//
//	L(f) + Σ_j beta_j |v_j|  s.t.  f = Σ_j A_j v_j,  v_j in K_j
//
// over a working set of groups by the proximal method of multipliers: every
// outer step minimises the dual function of the proximal problem
//
//	Psi(xi) = Σ_j |S_j(v_j + sigma A_j'xi)|²/(2 sigma) - min_f {L(f) + xi'f + |f-f_k|²/(2 tau)}
//
// by a semismooth Newton method (Li, Sun & Toh 2018 for the lasso; here for
// groups with cones, whose prox is the soft threshold S_j of the projection on
// K_j). xi, of length n, is a dual point; its gradient is A v⁺ - f⁺. The
// generalised Hessian
//
//	tau (I + tau L'')⁻¹ + sigma Σ_j A_j (c_j (I - R_j R_j') + (1-c_j) q_j q_j') A_j'
//
// (R_j a basis of the active rows of the cone, q_j the unit vector of v_j⁺), with a
// damping that is learnt on the way, is factored in whichever of the sample space
// and the space of active variables is cheaper, and a factor in the sample space
// serves for later matrices, too.
type ssn struct {
	model *maskedModel
	cone  *coneData // nil when groups are free
	loss  Fn
	gram  []float64      // K = X X', n×n, when it was needed
	kept  blas64.General // the factor of an earlier Newton matrix, n×n, if there is one
	noise float64        // accuracy to which the gradient can be computed

	sigma, tau float64
	xi, f      []float64 // current multiplier and predictions
	gnorm      float64
	fplus      []float64 // predictions f⁺ of the last minimisation
	newtons    int
	space      *freeSpace // of an earlier Newton step, for the next one
	damping    float64    // added to the diagonal of the Newton matrix, see damp

	projectors []*coneProjector

	// halt, which may be nil, ends a Newton step that is under way; it must
	// bear concurrent calls.
	halt func() bool
}

// maxNewton bounds the Newton steps of one outer step.
const maxNewton = 40

// denseLimit is the number of samples up to which the n×n Newton matrix is formed.
const denseLimit = 6000

// ssnEval is Psi and its gradient at one xi.
type ssnEval struct {
	xi     []float64
	val    float64
	grad   []float64
	gnorm  float64
	fplus  []float64
	active []int     // groups with c > 0
	up     []float64 // len(active)×d, S_j(z_j)
}

func (s *ssn) signedForward(f []float64, groups []*ssnGroup, v []float64) {
	pats := make([][]uint64, len(groups))
	w := make([]float64, len(v))
	copy(w, v)
	for j, g := range groups {
		pats[j] = g.bits
		if g.sign < 0 {
			scale(-1, w[j*s.model.d:][:s.model.d])
		}
	}
	s.model.forward(f, w, pats)
}

func (s *ssn) eval(w []*ssnGroup, xi []float64) (*ssnEval, error) {
	return s.evalUpTo(w, xi, math.Inf(1))
}

// evalChunk is how many cones evalUpTo projects on between two looks at the sum.
const evalChunk = 32

// evalUpTo is eval, but returns nothing as soon as Psi is known to be more than
// most. The groups then are as they were, or as they would be there.
func (s *ssn) evalUpTo(w []*ssnGroup, xi []float64, most float64) (*ssnEval, error) {
	d, n := s.model.d, s.model.samples
	e := &ssnEval{xi: xi, grad: make([]float64, n), fplus: make([]float64, n)}
	for i, x := range xi {
		e.fplus[i] = s.f[i] - s.tau*x
	}
	s.loss.Prox(e.fplus, e.fplus, s.tau)
	e.val = -s.loss.Value(e.fplus)
	for i, v := range e.fplus {
		df := v - s.f[i]
		e.val -= xi[i]*v + df*df/(2*s.tau)
	}
	pats := make([][]uint64, len(w))
	for j, g := range w {
		pats[j] = g.bits
	}
	z := make([]float64, len(w)*d)
	s.model.adjoint(z, xi, pats)
	for j, g := range w {
		for k, t := range z[j*d:][:d] {
			z[j*d+k] = g.v[k] + s.sigma*g.sign*t
		}
	}
	errs := make([]error, len(w))
	one := func(j int, p *coneProjector) {
		g, zj := w[j], z[j*d:][:d]
		g.c, g.norm, g.seen = 0, norm2(zj), false
		thr := s.sigma * g.beta
		if !(g.norm > thr) {
			return
		}
		g.proj, g.seen = append(g.proj[:0], zj...), true
		if p != nil {
			if _, errs[j] = p.project(g.proj, zj, g.bits, &g.activeSet, coneTol, thr); errs[j] != nil {
				return
			}
			g.set(p, true)
			g.norm = norm2(g.proj)
			if g.norm <= thr {
				return
			}
		}
		g.c = 1 - thr/g.norm
	}
	if s.cone == nil {
		for j := range w {
			one(j, nil)
		}
	} else {
		// What a group adds at least: for u in its cone, |Proj(z)| is no less than u'z/|u|.
		least, sum := make([]float64, len(w)), e.val
		for j, g := range w {
			if g.c > 0 {
				t := math.Max(0, dot(g.proj, z[j*d:][:d])/g.norm-s.sigma*g.beta)
				least[j] = t * t / (2 * s.sigma)
				sum += least[j]
			}
		}
		for from := 0; from < len(w) && sum <= most; from += evalChunk {
			to := min(from+evalChunk, len(w))
			s.eachProjector(to-from, func(i int, p *coneProjector) { one(from+i, p) })
			for j := from; j < to; j++ {
				t := w[j].c * w[j].norm
				sum += t*t/(2*s.sigma) - least[j]
			}
		}
		if sum > most {
			return nil, errors.Join(errs...)
		}
	}
	var act []*ssnGroup
	for j, g := range w {
		if errs[j] != nil {
			return nil, errs[j]
		}
		if g.c > 0 {
			e.active = append(e.active, j)
			act = append(act, g)
			for _, v := range g.proj {
				e.up = append(e.up, g.c*v)
			}
		}
	}
	s.signedForward(e.grad, act, e.up)
	e.val += dot(e.up, e.up) / (2 * s.sigma)
	for i, v := range e.fplus {
		e.grad[i] -= v
	}
	e.gnorm = norm2(e.grad)
	return e, nil
}

// coneTol is the relative violation to which cone projections are solved.
const coneTol = 1e-13

// eachProjector runs f(0..n-1), each call with a projector of its own goroutine.
func (s *ssn) eachProjector(n int, f func(j int, p *coneProjector)) {
	ps := make(chan *coneProjector, 64)
	for len(s.projectors) < min(runtime.GOMAXPROCS(0), cap(ps)) {
		s.projectors = append(s.projectors, newConeProjector(s.cone))
	}
	for _, p := range s.projectors {
		ps <- p
	}
	tasks(n, func(j int) {
		p := <-ps
		f(j, p)
		ps <- p
	})
}

// minimise runs Newton steps on Psi for the current sigma, tau, f and group
// values. enough says, from |grad| and the move |v⁺-v|, when to end. On return
// the groups' v are v⁺ and xi the minimiser; f is left to the caller. done is
// false when Newton's method got nowhere near: sigma is too large then.
func (s *ssn) minimise(w []*ssnGroup, enough func(it int, gnorm, move float64) bool, stop func() bool) (done bool, err error) {
	e, err := s.eval(w, s.xi)
	if err != nil {
		return false, err
	}
	d := s.model.d
	flat, last := 0, 0.0
	for it := 0; it < maxNewton; it++ {
		move2, k := 0.0, 0
		for j, g := range w {
			if k < len(e.active) && e.active[k] == j {
				for i, v := range e.up[k*d:][:d] {
					t := v - g.v[i]
					move2 += t * t
				}
				k++
			} else {
				move2 += dot(g.v, g.v)
			}
		}
		if e.gnorm <= s.noise || enough(it, e.gnorm, math.Sqrt(move2)) || stop() {
			done = true
			break
		}
		dir, ok := s.direction(w, e)
		s.newtons++
		slope := dot(e.grad, dir)
		if !ok || !(slope < 0) {
			for i, g := range e.grad { // steepest descent in the metric of the loss
				dir[i] = -g / s.tau
			}
			slope = dot(e.grad, dir)
		}
		ne, t, err := s.lineSearch(w, e, dir, slope)
		if err != nil {
			return false, err
		}
		if ne == nil {
			// Restore the groups' state for the point kept.
			if e, err = s.eval(w, s.xi); err != nil {
				return false, err
			}
			break
		}
		// Steps that are cut short but grow will soon be full ones.
		if s.damping > 0 || t < 1 && t <= last {
			s.damp(e, ne, dir, slope, t)
		}
		last = t
		if ne.gnorm > 0.5*e.gnorm && math.Abs(e.val-ne.val) <= 1e-15*math.Abs(e.val) {
			if flat++; flat >= 3 {
				copy(s.xi, ne.xi)
				e = ne
				break
			}
		} else {
			flat = 0
		}
		copy(s.xi, ne.xi)
		e = ne
	}
	s.fplus = append(s.fplus[:0], e.fplus...)
	s.gnorm = e.gnorm
	k := 0
	for j, g := range w {
		g.bound(s.sigma)
		if k < len(e.active) && e.active[k] == j {
			g.v = append(g.v[:0], e.up[k*d:][:d]...)
			k++
		} else {
			g.v = g.v[:0]
			for range d {
				g.v = append(g.v, 0)
			}
		}
	}
	return done, nil
}

// lineSearch goes along dir, from e, where Psi begins with the given slope, by the
// longest of the steps 1, 1/2, 1/4, ... for which Psi falls enough. It returns no
// point when there is none.
func (s *ssn) lineSearch(w []*ssnGroup, e *ssnEval, dir []float64, slope float64) (ne *ssnEval, t float64, err error) {
	blurred := e.blurred(slope)
	for t = 1; t > 1e-12; t /= 2 {
		xi := append([]float64(nil), e.xi...)
		axpy(t, dir, xi)
		enough := e.val + 1e-4*t*slope
		most := enough
		if blurred { // then the gradient may decide, which takes all of the evaluation
			most = math.Inf(1)
		}
		if ne, err = s.evalUpTo(w, xi, most); err != nil {
			return nil, 0, err
		}
		if ne != nil && (ne.val <= enough || blurred && ne.gnorm <= 0.9*e.gnorm) {
			return ne, t, nil
		}
	}
	return nil, 0, nil
}

// blurred says that Psi is not known to the digits in which a step of this slope
// would be seen.
func (e *ssnEval) blurred(slope float64) bool {
	return math.Abs(slope) < 1e-9*(math.Abs(e.val)+math.Abs(dot(e.xi, e.fplus)))
}

// damp chooses the damping of the next Newton step, as Levenberg and Marquardt do,
// by what one of length t along dir has gained of what its quadratic model
// promised. Undamped, where many cones change their faces on the way, an eighth of
// a step is right dozens of times in a row, and most of what is cut off would have
// been good: only the directions of small curvature go too far. A short step that
// keeps its promise has met a kink of the loss, against which damping does not help.
func (s *ssn) damp(e, ne *ssnEval, dir []float64, slope, t float64) {
	length2 := dot(dir, dir)
	curvature := -slope / length2 // along dir, with the damping
	promised := -t*slope - t*t/2*(curvature-s.damping)*length2
	gain := (e.val - ne.val) / promised
	if e.blurred(slope) { // by how well the model knew the gradient
		off := 0.0
		for i, g := range e.grad {
			miss := ne.grad[i] - ((1-t)*g - t*s.damping*dir[i])
			off += miss * miss
		}
		gain = 1 - math.Sqrt(off)/e.gnorm
	}
	switch {
	case t < 1:
		// For a miss of 1 what would have made the whole step as short as t, along dir.
		miss := math.Min(math.Max(0, 1-gain), 1)
		s.damping += miss * miss * curvature * (1/t - 1)
	case gain > 0.95:
		s.damping /= 9
	case gain > 0.75:
		s.damping /= 3
	case gain < 0.25:
		s.damping = math.Max(2*s.damping, 0.3*curvature)
	}
	if s.damping < 1e-3*curvature {
		s.damping = 0
	}
}

// bound sets polar. With p = Proj_K(v + sigma A'xi) or, short of that, the sum
// p of it and of normals of the cone, v + sigma A'xi - p has no positive product
// with any u in K, so that u'A'xi <= u'(p - v)/sigma <= |u| |p - v|/sigma.
func (g *ssnGroup) bound(sigma float64) {
	if !g.seen {
		g.polar = (g.norm + norm2(g.v)) / sigma
		return
	}
	sum := 0.0
	for i, p := range g.proj {
		sum += (p - g.v[i]) * (p - g.v[i])
	}
	g.polar = math.Sqrt(sum) / sigma
}

// direction solves the Newton system at an evaluated point for -gradient.
func (s *ssn) direction(w []*ssnGroup, e *ssnEval) ([]float64, bool) {
	n, d := s.model.samples, s.model.d
	dir := make([]float64, n)
	for i, g := range e.grad {
		dir[i] = -g
	}
	diag := make([]float64, n)
	if s.loss.Hess != nil {
		s.loss.Hess(diag, e.fplus)
		for i, h := range diag {
			diag[i] = s.tau / (1 + s.tau*h)
		}
	} else {
		at := make([]float64, n)
		for i := range at {
			at[i] = s.f[i] - s.tau*s.xi[i]
		}
		s.loss.proxSlope(diag, at, s.tau)
		for i, h := range diag { // positive, so that the Newton matrix is definite
			diag[i] = s.tau * math.Max(h, 1e-9)
		}
	}
	for i := range diag {
		diag[i] += s.damping
	}
	if len(e.active) == 0 {
		for i := range dir {
			dir[i] /= diag[i]
		}
		return dir, true
	}
	k, nact, q := len(e.active), 0, 0
	act := make([]*ssnGroup, k)
	for i, j := range e.active {
		act[i] = w[j]
		nact += d - w[j].free(d)
		q += w[j].free(d)
	}
	N, K, Q, A := float64(n), float64(k), float64(q), float64(nact)
	build := 2 * float64(s.model.n) * float64(d) * Q // the n×q matrix of free directions
	sampleGram := math.Inf(1)
	if s.model.patches == 1 && n <= denseLimit {
		sampleGram = N*N*(2*K+A) + N*N*N/3 + 2*N*float64(d)*A
		if s.gram == nil {
			sampleGram += N * N * float64(d) / 4 // paid once
		}
	}
	sample := build + N*N*Q + N*N*N/3
	active := build + N*Q*Q + Q*Q*Q/3
	var space *freeSpace
	if q <= denseLimit {
		space = newFreeSpace(act, d)
	}
	if space != nil && s.keeps(q, diag) {
		// What is the same as in an earlier step is there already, and costs a
		// copy, which takes as long as some forty products.
		if space.follow(s.space); space.known() {
			F := float64(space.fresh())
			active = math.Min(active, 2*N*F*(float64(d)+Q)+Q*Q*Q/3+40*N*Q)
		}
	} else {
		s.space = nil
	}
	if n > denseLimit {
		sample = math.Inf(1)
	} else {
		minDiag := math.Inf(1)
		for _, v := range diag {
			minDiag = math.Min(minDiag, v)
		}
		if minDiag <= 1e-6*s.tau/(1+s.tau) { // E⁻¹ would be large
			active = math.Inf(1)
		}
	}
	if q > denseLimit {
		active = math.Inf(1)
		if n > denseLimit {
			return s.solveFree(act, e, diag, dir), true
		}
	}
	least := math.Min(active, math.Min(sample, sampleGram))
	if s.kept.Rows == n {
		// A step of conjugate gradients runs at the speed of memory, a quarter of
		// that of a product of matrices. It has to succeed within the number of
		// steps that one factorisation costs.
		step := 4 * (4*float64(s.model.n)*float64(d)*K + 2*N*N)
		if steps := int(math.Min(least/step, 40)); steps >= 5 {
			if x, ok := s.solveKept(act, diag, dir, steps); ok {
				return x, true
			}
		}
		s.kept = blas64.General{} // and its memory, before there is another
	}
	// Rounding can make the matrix indefinite; then a growing multiple of the
	// identity is added.
	for shift := 0.0; shift < 1e-3*s.tau && !s.halted(); shift = math.Max(1e3*shift, 1e-12*s.tau) {
		for i, g := range e.grad {
			dir[i] = -g
			diag[i] += shift
		}
		ok := false
		switch least {
		case active:
			ok = s.solveActive(space, diag, dir)
		case sampleGram:
			ok = s.solveSampleGram(act, diag, dir, nact)
		default:
			ok = s.solveSample(act, diag, dir)
		}
		if ok {
			return dir, true
		}
	}
	return dir, false
}

func (s *ssn) halted() bool { return s.halt != nil && s.halt() }

// solveActive solves in the space of the q free variables:
//
//	(E + sigma T M T')⁻¹ g = E⁻¹g - E⁻¹T (M⁻¹/sigma + T'E⁻¹T)⁻¹ T'E⁻¹g.
func (s *ssn) solveActive(f *freeSpace, diag, dir []float64) bool {
	n := s.model.samples
	half, tmp := make([]float64, n), make([]float64, n)
	for i, v := range diag {
		half[i] = 1 / math.Sqrt(v)
		tmp[i] = half[i] * dir[i]
	}
	var t, m blas64.General // T'E^(-1/2) and T'E⁻¹T
	q := f.size()
	keeps := s.keeps(q, diag)
	if keeps {
		if !f.gramOf(s) {
			return false
		}
		s.space = f
		t, m = f.t, newGeneral(q, q)
		tasks(q, func(i int) {
			row := m.Data[i*q:][:i+1]
			for j, v := range f.gram.Data[i*q:][:i+1] {
				row[j] = v / diag[0]
			}
		})
		scale(half[0], tmp) // what t lacks
	} else {
		t, m = s.rowsOf(f, 0, len(f.groups), half), newGeneral(q, q)
		syrkLowerUntil(1, t, 0, m, s.halt)
	}
	b := make([]float64, q)
	blas64.Gemv(blas.NoTrans, 1, t, blas64.Vector{N: n, Inc: 1, Data: tmp}, 0, blas64.Vector{N: q, Inc: 1, Data: b})
	for k, g := range f.groups {
		u, off := f.unit(k), f.at[k]
		inv := 1 / (s.sigma * math.Max(g.c, 1e-12))
		for a := range u {
			for c := 0; c <= a; c++ {
				m.Data[(off+a)*q+off+c] += (1/s.sigma - inv) * u[a] * u[c]
			}
			m.Data[(off+a)*q+off+a] += inv
		}
	}
	if !cholLowerUntil(m, s.halt) {
		return false
	}
	cholSolve(m, b)
	// dir = E⁻¹(g - T b)
	blas64.Gemv(blas.Trans, 1, t, blas64.Vector{N: q, Inc: 1, Data: b}, 0, blas64.Vector{N: n, Inc: 1, Data: tmp})
	if keeps {
		scale(half[0], tmp)
	}
	for i, v := range dir {
		dir[i] = v/diag[i] - tmp[i]*half[i]
	}
	return true
}

// keeps says that a space of q active variables keeps what does not depend on E.
func (s *ssn) keeps(q int, diag []float64) bool {
	return s.model.samples <= denseLimit && q <= s.model.samples && uniform(diag)
}

// solveSampleGram forms the n×n matrix from K = XX' by Hadamard products:
// Σ_j c_j D_j K D_j = (D diag(c) D') o K, so a group costs n² and not n² d.
func (s *ssn) solveSampleGram(act []*ssnGroup, diag, dir []float64, nact int) bool {
	n, d, k := s.model.samples, s.model.d, len(act)
	if s.gram == nil {
		g := newGeneral(n, n)
		if syrkLowerUntil(1, s.model.x, 0, g, s.halt); s.halted() {
			return false
		}
		s.gram = g.Data
	}
	// Columns: k for the masks, k for the unit vectors, nact for the active rows.
	pos, neg := newGeneral(n, k), newGeneral(n, nact)
	mask := newGeneral(n, k)
	at := make([]int, k)
	units := newGeneral(k, d)
	for i, g := range act {
		copy(units.Data[i*d:], g.proj)
		scale(1/g.norm, units.Data[i*d:][:d])
		if i > 0 {
			at[i] = at[i-1] + d - act[i-1].free(d)
		}
	}
	parallel(n, 64, func(lo, hi int) {
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, s.model.rows(lo, hi), units, 0, blas64.General{Rows: hi - lo, Cols: k, Stride: k, Data: pos.Data[lo*k:]})
		for c, g := range act {
			a, b := math.Sqrt(s.sigma*g.c), math.Sqrt(s.sigma*(1-g.c))
			for i := lo; i < hi; i++ {
				f := s.model.factor(g.bits, i)
				mask.Data[i*k+c] = a * f
				pos.Data[i*k+c] *= b * f
			}
			if m := len(g.rows); m > 0 {
				out := blas64.General{Rows: hi - lo, Cols: m, Stride: nact, Data: neg.Data[lo*nact+at[c]:]}
				blas64.Gemm(blas.NoTrans, blas.Trans, 1, s.model.rows(lo, hi), blas64.General{Rows: m, Cols: d, Stride: d, Data: g.active(d)}, 0, out)
				for i := lo; i < hi; i++ {
					scale(a*s.model.factor(g.bits, i), neg.Data[i*nact+at[c]:][:m])
				}
			}
		}
	})
	m := newGeneral(n, n)
	syrkLowerUntil(1, mask, 0, m, s.halt)
	tasks(n, func(i int) {
		row := m.Data[i*n:][:i+1]
		for j, v := range s.gram[i*n:][:i+1] {
			row[j] *= v
		}
		row[i] += diag[i]
	})
	syrkLowerUntil(1, pos, 1, m, s.halt)
	syrkLowerUntil(-1, neg, 1, m, s.halt)
	return s.solveDense(m, dir)
}

// sampleBlock is about how many free directions solveSample works on at a time.
const sampleBlock = 1024

// solveSample forms the n×n matrix from the free directions.
func (s *ssn) solveSample(act []*ssnGroup, diag, dir []float64) bool {
	n, d := s.model.samples, s.model.d
	m, ones := newGeneral(n, n), make([]float64, n)
	for i := range ones {
		ones[i] = 1
	}
	for len(act) > 0 {
		q, next := 0, 0
		for next < len(act) && (next == 0 || q+act[next].free(d) <= sampleBlock) {
			q += act[next].free(d)
			next++
		}
		f := newFreeSpace(act[:next], d)
		t := s.rowsOf(f, 0, next, ones)
		for k, g := range act[:next] {
			// rows of t times the square root sqrt(c) I + (1-sqrt(c)) u u' of M
			rows, u := t.Data[f.at[k]*n:f.at[k+1]*n], f.unit(k)
			root, sg := math.Sqrt(g.c), math.Sqrt(s.sigma)
			mean := make([]float64, n)
			for i, v := range u {
				axpy(v, rows[i*n:][:n], mean)
			}
			for i, v := range u {
				row := rows[i*n:][:n]
				scale(sg*root, row)
				axpy(sg*(1-root)*v, mean, row)
			}
		}
		gramLower(t, 1, m, s.halt)
		act = act[next:]
	}
	for i, v := range diag {
		m.Data[i*n+i] += v
	}
	return s.solveDense(m, dir)
}

// solveDense factors the n×n Newton matrix, keeps the factor and solves.
func (s *ssn) solveDense(m blas64.General, dir []float64) bool {
	if !cholLowerUntil(m, s.halt) {
		return false
	}
	cholSolve(m, dir)
	s.kept = m
	return true
}

// solveKept solves to a residual of two digits, which is what a Newton step needs,
// by conjugate gradients with the factor of an earlier matrix as preconditioner:
// few rows and groups become active or idle from one step to the next. It is
// false when that takes more than the given number of steps.
func (s *ssn) solveKept(act []*ssnGroup, diag, dir []float64, steps int) ([]float64, bool) {
	tol := 1e-2 * norm2(dir)
	x, left := s.conjugateGradients(act, diag, dir, steps, tol, func(z, r []float64) {
		copy(z, r)
		cholSolve(s.kept, z)
	})
	return x, left <= tol
}

// solveFree solves by conjugate gradients with the diagonal as preconditioner,
// for data too large for a factorisation.
func (s *ssn) solveFree(act []*ssnGroup, e *ssnEval, diag, dir []float64) []float64 {
	d := s.model.d
	// Diagonal of the matrix, up to the correlation of directions.
	pre := append([]float64(nil), diag...)
	for i := 0; i < s.model.n; i++ {
		x := s.model.x.Data[i*s.model.x.Stride:][:d]
		x2 := dot(x, x)
		for _, g := range act {
			f := s.model.factor(g.bits, i)
			pre[i%len(pre)] += s.sigma * f * f * x2 * math.Max(g.c, 1/float64(d))
		}
	}
	tol := math.Min(0.1, math.Sqrt(e.gnorm/(1+norm2(e.fplus))))
	x, _ := s.conjugateGradients(act, diag, dir, 300, tol*norm2(dir), func(z, r []float64) {
		for i, v := range r {
			z[i] = v / pre[i]
		}
	})
	return x
}

// conjugateGradients solves matrix-free, until the residual is at most tol, and
// returns how long it is.
func (s *ssn) conjugateGradients(act []*ssnGroup, diag, rhs []float64, steps int, tol float64, precondition func(z, r []float64)) (x []float64, left float64) {
	n, d := s.model.samples, s.model.d
	pats := make([][]uint64, len(act))
	for k, g := range act {
		pats[k] = g.bits
	}
	t, av := make([]float64, len(act)*d), make([]float64, n)
	mul := func(v []float64) {
		s.model.adjoint(t, v, pats)
		for k, g := range act {
			z := t[k*d:][:d]
			for basis := g.active(d); len(basis) > 0; basis = basis[d:] {
				b := basis[:d]
				axpy(-dot(b, z), b, z)
			}
			along := (1 - g.c) * dot(g.proj, z) / (g.norm * g.norm)
			for i, q := range g.proj {
				z[i] = s.sigma * (g.c*z[i] + along*q)
			}
		}
		s.model.forward(av, t, pats)
		for i, x := range v {
			av[i] += diag[i] * x
		}
	}
	x = make([]float64, n)
	r, z, p := append([]float64(nil), rhs...), make([]float64, n), make([]float64, n)
	left = norm2(r)
	rz := 0.0
	for it := 0; it < steps && left > tol && !s.halted(); it++ {
		precondition(z, r)
		next := dot(r, z)
		b := 0.0
		if it > 0 {
			b = next / rz
		}
		rz = next
		for i, v := range z {
			p[i] = v + b*p[i]
		}
		mul(p)
		a := rz / dot(p, av)
		if !(a > 0) {
			break
		}
		axpy(a, p, x)
		axpy(-a, av, r)
		left = norm2(r)
	}
	return x, left
}
