package convex

import (
	"math"
	"slices"
)

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
		var flip []int
		for j, i := range p.idx {
			t := c.sign * theta[i]
			if p.a[j] > 0 && (t > 0 || p.a[j]*p.c.inv[i] > -t*(1+1e-9)) {
				flip = append(flip, i)
			}
		}
		if len(flip) == 0 || c.norm <= 0.3*beta {
			return
		}
		warm := activeSet{rows: slices.Clone(p.idx)} // flipping turns the multipliers of some
		for _, i := range flip {
			t := c.sign * theta[i]
			if bits[i>>6]>>(uint(i)&63)&1 != 0 {
				t = -t
			}
			bits[i>>6] ^= 1 << (uint(i) & 63)
			axpy(t, p.c.row(i), z)
		}
		if _, err := p.project(v, z, bits, &warm, 1e-10, 0); err != nil {
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
