package convex

import "math"

// conicIPM is a primal-dual interior-point method with Nesterov-Todd scaling
// and Mehrotra's predictor and corrector, from infeasible starts, as in
// Vandenberghe (2010); the homogeneous embedding for quadratic programs is that
// of Goulart & Chen, "Clarabel" (2024). With multipliers v of the link and z of
// the cones, a solution is
//
//	P x + c + F'v + G'z = 0,   ψ'(u) = v,   above - v = λp ≥ 0,   below + v = λq ≥ 0,
//	F x - u - p + q = y,   G x + s = h,   s∘z = 0,   p λp = 0,   q λq = 0.
//
// In the embedding c, y and h are multiplied by τ, and without it τ is 1.
type conicIPM struct {
	p   *conicProblem
	kkt *conicKKT

	x, v, s, z    []float64
	u             []float64 // nil without ψ
	p1, q, lp, lq []float64 // nil without p and q; p1 is p
	tau, kappa    float64

	degree int

	// Residuals of the equations above, in that order, and of κ.
	rx, ru, rp, rq, rl, rz []float64
	rt                     float64
	px                     []float64 // P x

	primal, dual float64 // objectives, over τ² or τ
	gap          float64 // complementarity, over τ²
	pres, dres   float64 // relative residuals
	sigma, alpha float64 // of the last step
}

func newConicIPM(p *conicProblem) (*conicIPM, error) {
	k := newConicKKT(p)
	m := &conicIPM{p: p, kkt: k, tau: 1}
	vecs := func(n int, vs ...*[]float64) {
		for _, v := range vs {
			*v = make([]float64, n)
		}
	}
	vecs(k.nv, &m.x, &m.rx, &m.px)
	vecs(k.nl, &m.v, &m.rl)
	vecs(k.nz, &m.s, &m.z, &m.rz)
	if p.smooth != nil {
		vecs(k.nl, &m.u, &m.ru)
	}
	if p.above != nil {
		vecs(k.nl, &m.p1, &m.q, &m.lp, &m.lq, &m.rp, &m.rq)
		m.degree += 2 * k.nl
	}
	for i := range p.blocks {
		p.blocks[i].eachCone(func(c cone, _, _ int) { m.degree += c.degree() })
	}
	if p.embed {
		m.kappa = 1
		m.degree++
	}
	return m, m.start()
}

// start solves for W = I and pushes s and z into the cones.
func (m *conicIPM) start() error {
	k, p := m.kkt, m.p
	for i := range k.d {
		k.d[i] = 0
	}
	if m.u != nil {
		h := make([]float64, k.nl)
		p.smooth.hess(h, m.u)
		for i, v := range h {
			k.d[i] += 1 / math.Max(v, 1e-8)
		}
	}
	if m.p1 != nil {
		for i := range k.d {
			k.d[i] += 2
			m.p1[i], m.q[i], m.lp[i], m.lq[i] = 1, 1, 1, 1
		}
	}
	if err := k.factor(true); err != nil {
		return err
	}
	bx := append([]float64(nil), p.c...)
	scale(-1, bx)
	bz := make([]float64, k.nz)
	for i := range p.blocks {
		copy(bz[p.blocks[i].row:], p.blocks[i].h)
	}
	k.solve(m.x, m.v, m.z, bx, p.y, bz, true)
	for i, v := range m.z {
		m.s[i] = -v
	}
	m.push(m.s)
	m.push(m.z)
	if m.u != nil {
		// Where it is feasible to stand on the curve ψ' = v, stand there.
		if m.p1 == nil {
			p.mulF(m.u, m.x)
			axpy(-1, p.y, m.u)
			p.smooth.grad(m.v, m.u)
			if !finite(m.v) || math.IsInf(p.smooth.value(m.u), 0) || math.IsNaN(p.smooth.value(m.u)) {
				clear(m.u)
				p.smooth.grad(m.v, m.u)
			}
		} else {
			clear(m.v)
		}
	}
	if m.p1 != nil {
		clear(m.v)
		r := make([]float64, k.nl)
		p.mulF(r, m.x)
		for i := range r {
			r[i] -= p.y[i]
			m.p1[i] = 1 + math.Max(r[i], 0)
			m.q[i] = 1 + math.Max(-r[i], 0)
			m.lp[i] = math.Max(p.above[i], 1e-1*(p.above[i]+p.below[i]))
			m.lq[i] = math.Max(p.below[i], 1e-1*(p.above[i]+p.below[i]))
		}
	}
	if m.p.embed {
		m.tau, m.kappa = 1, 1
	}
	return nil
}

func finite(x []float64) bool {
	for _, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// push moves x into the interior of all cones by a multiple of their units.
func (m *conicIPM) push(x []float64) {
	t := math.Inf(-1)
	size := norm2(x)
	for i := range m.p.blocks {
		m.p.blocks[i].eachCone(func(c cone, lo, hi int) { t = math.Max(t, c.margin(x[lo:hi])) })
	}
	if t < -1e-8*math.Max(size, 1) {
		return
	}
	for i := range m.p.blocks {
		m.p.blocks[i].eachCone(func(c cone, lo, hi int) {
			e := make([]float64, hi-lo)
			c.identity(e)
			axpy(1+t, e, x[lo:hi])
		})
	}
}

// residuals evaluates the equations, objectives and the gap at the iterate.
func (m *conicIPM) residuals() {
	k, p := m.kkt, m.p
	p.mulP(m.px, m.x)
	gtz := make([]float64, k.nv)
	p.mulGT(gtz, m.z)
	copy(m.rx, m.px)
	axpy(m.tau, p.c, m.rx)
	p.addFT(m.rx, m.v)
	axpy(1, gtz, m.rx)

	p.mulF(m.rl, m.x)
	fx := append([]float64(nil), m.rl...)
	axpy(-m.tau, p.y, m.rl)
	p.mulG(m.rz, m.x)
	hz := 0.0
	for i := range p.blocks {
		b := &p.blocks[i]
		for j, h := range b.h {
			m.rz[b.row+j] -= m.tau * h
			hz += h * m.z[b.row+j]
		}
	}
	axpy(1, m.s, m.rz)
	xpx, cx, yv := dot(m.x, m.px), dot(p.c, m.x), dot(p.y, m.v)
	m.rt = m.kappa + xpx/m.tau + cx + yv + hz
	m.gap = dot(m.s, m.z)
	t := m.tau
	m.primal = xpx/2/t/t + cx/t
	m.dual = -xpx/2/t/t - yv/t - hz/t

	dres := norm2(m.rx)
	dsize := math.Max(norm2(m.px), math.Max(t*norm2(p.c), norm2(gtz)))
	psize := math.Max(norm2(fx), t*norm2(p.y))
	if m.u != nil {
		p.smooth.grad(m.ru, m.u)
		axpy(-1, m.v, m.ru)
		axpy(-1, m.u, m.rl)
		dres = math.Hypot(dres, norm2(m.ru))
		val := p.smooth.value(m.u)
		m.primal += val
		// ψ*(v) at v = ψ'(u): v'u - ψ(u).
		m.dual += val - dot(m.v, m.u)
		dsize = math.Max(dsize, norm2(m.v))
	}
	if m.p1 != nil {
		for i := range m.p1 {
			m.rp[i] = p.above[i] - m.v[i] - m.lp[i]
			m.rq[i] = p.below[i] + m.v[i] - m.lq[i]
			m.rl[i] += m.q[i] - m.p1[i]
			m.primal += p.above[i]*m.p1[i] + p.below[i]*m.q[i]
		}
		m.gap += dot(m.p1, m.lp) + dot(m.q, m.lq)
		dres = math.Hypot(dres, math.Hypot(norm2(m.rp), norm2(m.rq)))
		dsize = math.Max(dsize, norm2(m.v))
	}
	pres := math.Hypot(norm2(m.rl), norm2(m.rz))
	psize = math.Max(psize, norm2(m.s))
	m.gap /= t * t
	// In units of the iterate over τ.
	m.pres = pres / math.Max(t, psize)
	m.dres = dres / math.Max(t, dsize)
}

// mu is the mean of the complementarity products.
func (m *conicIPM) mu() float64 {
	t := m.gap * m.tau * m.tau
	if m.p.embed {
		t += m.tau * m.kappa
	}
	return t / float64(max(m.degree, 1))
}

// direction is a step and, for the corrector, its scaled parts.
type direction struct {
	x, v, s, z, u, p, q, lp, lq []float64
	tau, kappa                  float64
	ws, wz                      []float64 // W⁻ᵀ ds, W dz
}

// iterate takes one step from the iterate whose residuals are known. It
// returns an error when it cannot.
func (m *conicIPM) iterate() error {
	k, p := m.kkt, m.p
	ok := true
	for i := range p.blocks {
		p.blocks[i].eachCone(func(c cone, lo, hi int) {
			ok = ok && c.setScaling(m.s[lo:hi], m.z[lo:hi])
		})
	}
	if !ok {
		return errKKT
	}
	clear(k.d)
	var compliance []float64
	if m.u != nil {
		compliance = make([]float64, k.nl)
		p.smooth.hess(compliance, m.u)
		for i, h := range compliance {
			compliance[i] = 1 / math.Max(h, 1e-14)
			k.d[i] = compliance[i]
		}
	}
	for i := range m.p1 {
		k.d[i] += m.p1[i]/m.lp[i] + m.q[i]/m.lq[i]
	}
	if err := k.factor(false); err != nil {
		return err
	}
	lam := make([]float64, k.nz)
	lamlam := make([]float64, k.nz)
	for i := range p.blocks {
		p.blocks[i].eachCone(func(c cone, lo, hi int) {
			c.lambda(lam[lo:hi])
			c.product(lamlam[lo:hi], lam[lo:hi], lam[lo:hi])
		})
	}
	// The second right hand side of the embedding: (-c, y, h).
	var d2x, d2v, d2z []float64
	if p.embed {
		d2x, d2v, d2z = make([]float64, k.nv), make([]float64, k.nl), make([]float64, k.nz)
		bx := append([]float64(nil), p.c...)
		scale(-1, bx)
		bz := make([]float64, k.nz)
		for i := range p.blocks {
			copy(bz[p.blocks[i].row:], p.blocks[i].h)
		}
		k.solve(d2x, d2v, d2z, bx, p.y, bz, false)
	}
	mu := m.mu()

	solve := func(sigma float64, aff *direction) *direction {
		rho := 1.0
		if p.embed {
			rho = 1 - sigma
		}
		d := &direction{
			x: make([]float64, k.nv), v: make([]float64, k.nl), s: make([]float64, k.nz), z: make([]float64, k.nz),
			ws: make([]float64, k.nz), wz: make([]float64, k.nz),
		}
		// t = λ \ (σμe - λ∘λ - ds∘dz).
		t := make([]float64, k.nz)
		for i := range p.blocks {
			p.blocks[i].eachCone(func(c cone, lo, hi int) {
				c.identity(t[lo:hi])
				scale(sigma*mu, t[lo:hi])
				axpy(-1, lamlam[lo:hi], t[lo:hi])
				if aff != nil {
					e := make([]float64, hi-lo)
					c.product(e, aff.ws[lo:hi], aff.wz[lo:hi])
					axpy(-1, e, t[lo:hi])
				}
				c.divide(t[lo:hi], t[lo:hi])
			})
		}
		bx, bl, bz := make([]float64, k.nv), make([]float64, k.nl), make([]float64, k.nz)
		for i, r := range m.rx {
			bx[i] = -rho * r
		}
		p.scaleZ(opWT, bz, t)
		for i, r := range m.rz {
			bz[i] = -rho*r - bz[i]
		}
		for i, r := range m.rl {
			bl[i] = -rho * r
			if m.u != nil {
				bl[i] -= compliance[i] * m.ru[i]
			}
		}
		var cp, cq []float64
		if m.p1 != nil {
			cp, cq = make([]float64, k.nl), make([]float64, k.nl)
			for i := range cp {
				cp[i] = sigma*mu - m.p1[i]*m.lp[i]
				cq[i] = sigma*mu - m.q[i]*m.lq[i]
				if aff != nil {
					cp[i] -= aff.p[i] * aff.lp[i]
					cq[i] -= aff.q[i] * aff.lq[i]
				}
				bl[i] += (cp[i]-m.p1[i]*m.rp[i])/m.lp[i] - (cq[i]-m.q[i]*m.rq[i])/m.lq[i]
			}
		}
		k.solve(d.x, d.v, d.z, bx, bl, bz, false)
		if p.embed {
			rk := sigma*mu - m.kappa*m.tau
			if aff != nil {
				rk -= aff.tau * aff.kappa
			}
			num, den := rho*m.rt+rk/m.tau, m.kappa/m.tau
			xi := make([]float64, k.nv) // 2Pξ + c
			copy(xi, p.c)
			axpy(2/m.tau, m.px, xi)
			num += dot(xi, d.x) + dot(p.y, d.v)
			den -= dot(xi, d2x) + dot(p.y, d2v) - dot(m.x, m.px)/m.tau/m.tau
			for i := range p.blocks {
				b := &p.blocks[i]
				num += dot(b.h, d.z[b.row:b.row+len(b.h)])
				den -= dot(b.h, d2z[b.row:b.row+len(b.h)])
			}
			d.tau = num / den
			axpy(d.tau, d2x, d.x)
			axpy(d.tau, d2v, d.v)
			axpy(d.tau, d2z, d.z)
			d.kappa = (rk - m.kappa*d.tau) / m.tau
		}
		p.scaleZ(opW, d.wz, d.z)
		// ds from the equation it has to meet, G dx + ds = h dτ - ρ r: from
		// the scaled one, W'(t - W dz), it would carry the rounding of W'W.
		p.mulG(d.s, d.x)
		for i, r := range m.rz {
			d.s[i] = -rho*r - d.s[i]
		}
		for i := range p.blocks {
			b := &p.blocks[i]
			axpy(d.tau, b.h, d.s[b.row:b.row+len(b.h)])
		}
		p.scaleZ(opWInvT, d.ws, d.s)
		if m.u != nil {
			d.u = make([]float64, k.nl)
			for i, v := range d.v {
				d.u[i] = compliance[i] * (v - m.ru[i])
			}
		}
		if m.p1 != nil {
			d.p, d.q, d.lp, d.lq = make([]float64, k.nl), make([]float64, k.nl), make([]float64, k.nl), make([]float64, k.nl)
			for i, v := range d.v {
				d.lp[i] = m.rp[i] - v
				d.lq[i] = m.rq[i] + v
				d.p[i] = (cp[i] - m.p1[i]*d.lp[i]) / m.lp[i]
				d.q[i] = (cq[i] - m.q[i]*d.lq[i]) / m.lq[i]
			}
		}
		return d
	}

	aff := solve(0, nil)
	a := math.Min(1, m.longest(aff))
	sigma := math.Pow(1-a, 3)
	if m.u != nil {
		// Let the gap wait for the equation that is not linear: at a corner of
		// the cones Newton's method could not follow the curve.
		rest := 0.0
		for i, r := range m.ru {
			rest += math.Abs(r) * (1 + math.Abs(m.u[i]))
		}
		if rest > 0 && m.gap > 0 {
			sigma = math.Max(sigma, math.Min(1, rest/m.gap/4))
		}
	}
	d := solve(sigma, aff)
	alpha := math.Min(1, 0.99*m.longest(d))
	if !(alpha > 0) || !finite(d.x) || !finite(d.v) || !finite(d.z) || !finite(d.s) {
		return errKKT
	}
	if m.u != nil {
		alpha = m.search(d, alpha)
	}
	if !(alpha > 1e-13) {
		return errKKT
	}
	m.sigma, m.alpha = sigma, alpha
	m.move(d, alpha)
	m.residuals()
	return nil
}

// longest is the step to the boundary.
func (m *conicIPM) longest(d *direction) float64 {
	a := math.Inf(1)
	for i := range m.p.blocks {
		m.p.blocks[i].eachCone(func(c cone, lo, hi int) {
			a = math.Min(a, math.Min(c.step(d.ws[lo:hi]), c.step(d.wz[lo:hi])))
		})
	}
	ratio := func(x, dx float64) {
		if dx < 0 {
			a = math.Min(a, -x/dx)
		}
	}
	for i := range m.p1 {
		ratio(m.p1[i], d.p[i])
		ratio(m.q[i], d.q[i])
		ratio(m.lp[i], d.lp[i])
		ratio(m.lq[i], d.lq[i])
	}
	if m.p.embed {
		ratio(m.tau, d.tau)
		ratio(m.kappa, d.kappa)
	}
	return a
}

func (m *conicIPM) move(d *direction, a float64) {
	axpy(a, d.x, m.x)
	axpy(a, d.v, m.v)
	axpy(a, d.s, m.s)
	axpy(a, d.z, m.z)
	if m.u != nil {
		axpy(a, d.u, m.u)
	}
	if m.p1 != nil {
		axpy(a, d.p, m.p1)
		axpy(a, d.q, m.q)
		axpy(a, d.lp, m.lp)
		axpy(a, d.lq, m.lq)
	}
	m.tau += a * d.tau
	m.kappa += a * d.kappa
}

// search shortens the step until what is left of the one equation that is not
// linear, ψ'(u) = v, is small beside the gap, or less than before together with
// the stationarity of x.
func (m *conicIPM) search(d *direction, alpha float64) float64 {
	n := len(m.u)
	u, g := make([]float64, n), make([]float64, n)
	rest := func(a float64) float64 {
		for i, v := range m.u {
			u[i] = v + a*d.u[i]
		}
		if f := m.p.smooth.value(u); math.IsNaN(f) || math.IsInf(f, 0) {
			return math.Inf(1)
		}
		m.p.smooth.grad(g, u)
		t := 0.0
		for i, v := range m.v {
			t += math.Abs(g[i]-v-a*d.v[i]) * (1 + math.Abs(m.u[i]))
		}
		return t
	}
	gap := func(a float64) float64 {
		t := 0.0
		for i, v := range m.s {
			t += (v + a*d.s[i]) * (m.z[i] + a*d.z[i])
		}
		for i, v := range m.p1 {
			t += (v+a*d.p[i])*(m.lp[i]+a*d.lp[i]) + (m.q[i]+a*d.q[i])*(m.lq[i]+a*d.lq[i])
		}
		return t
	}
	before, linear := rest(0), 0.0
	for i, r := range m.rx {
		linear += math.Abs(r) * (1 + math.Abs(m.x[i]))
	}
	for range 40 {
		r := rest(alpha)
		if r+(1-alpha)*linear <= (1-0.1*alpha)*(before+linear) || r <= gap(alpha)/4 || r <= 1e-13*(1+math.Abs(m.primal)) {
			return alpha
		}
		alpha *= 0.6
	}
	return 0
}
