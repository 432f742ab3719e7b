package convex

import (
	"math"

	"gonum.org/v1/gonum/blas/blas64"
)

// sharedCurvature is the part of the curvature of the squared loss that the
// blocks of a masked program have in common. Every D_p keeps about the same
// share α_p of X'X, so blocks that move together move the predictions far more
// than blocks that move apart: the largest eigenvalues of A'A, d of them, are
// those of αα'⊗X'X, and one more belongs to the constant part of the
// predictions, along h_p = X'D_p b for the part b of it that X does not span.
// With
//
//	W = [α_p (X'X)^½, h_p]_p    and    B = [X (X'X)^-½, b], B'B = I,
//
// W approximates A'B, and A'A = A'B B'A + A'(I-BB')A. Steps taken in the metric
// L·I⊗X'X + WW' thus need an L that bounds only the rest, several times smaller.
// Their proximal operator is exact: with w = W'(u-y) known the blocks fall
// apart, and w, d+1 numbers, is found by a semismooth Newton method
// (a diagonal plus low rank metric, Becker and Fadili 2012).
type sharedCurvature struct {
	lever []float64 // n: the share of X'X of every sample, over d
	b     []float64 // n
	root  []float64 // d: the square root of X'X
	alpha []float64 // of the patterns in play
	h     []float64 // their h_p
	w     []float64 // d+1, at the last step and the start of the next

	x, y, next []float64 // W' of the points of the same names

	step  []float64 // L·metric
	norm  []float64
	u     []float64
	value []float64
	rows  blas64.General
	jac   blas64.General
}

// newSharedCurvature takes the model in coordinates in which X'X is diagonal,
// and that diagonal.
func newSharedCurvature(m *maskedModel, metric []float64) *sharedCurvature {
	n, d := m.n, m.d
	s := &sharedCurvature{
		lever: make([]float64, n), b: make([]float64, n), root: make([]float64, d),
		w: make([]float64, d+1), x: make([]float64, d+1), y: make([]float64, d+1), next: make([]float64, d+1),
		step: make([]float64, d), value: make([]float64, d+1), jac: newGeneral(d+1, d+1),
	}
	sum := make([]float64, d)
	for i := 0; i < n; i++ {
		axpy(1, m.x.Data[i*m.x.Stride:][:d], sum)
	}
	for j, v := range metric {
		s.root[j] = math.Sqrt(v)
		sum[j] /= v
	}
	parallel(n, 256, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x := m.x.Data[i*m.x.Stride:][:d]
			t := 0.0
			for j, v := range x {
				t += v * v / metric[j]
			}
			s.lever[i] = t / float64(d)
			s.b[i] = 1 - dot(x, sum)
		}
	})
	if size := norm2(s.b); size > 1e-3*math.Sqrt(float64(n)) {
		scale(1/size, s.b)
	} else {
		clear(s.b)
	}
	return s
}

// use takes up the patterns in play.
func (s *sharedCurvature) use(m *maskedModel, set *patternSet) {
	k := len(set.bits)
	s.alpha, s.h = make([]float64, k), make([]float64, k*m.d)
	s.norm, s.u = make([]float64, k), make([]float64, k*m.d)
	s.rows = newGeneral(k, m.d+1)
	if k == 0 {
		return
	}
	m.adjointSet(s.h, s.b, set)
	parallel(k, 8, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			for i, t := range s.lever {
				s.alpha[p] += t * m.factor(set.bits[p], i)
			}
		}
	})
}

// product sets out to W'z.
func (s *sharedCurvature) product(out, z []float64) {
	d := len(s.root)
	clear(out)
	for p, a := range s.alpha {
		zp := z[p*d:][:d]
		axpy(a, zp, out[:d])
		out[d] += dot(s.h[p*d:][:d], zp)
	}
	for i, t := range s.root {
		out[i] *= t
	}
}

// prox sets next to the minimiser over u of
//
//	⟨g, u⟩ + ½ L|u-y|²_M + ½|W'(u-y)|² + Σ_p β_p |u_p|
//
// and r.norm to the norms of its blocks. It returns false when Newton's method
// does not find it.
func (s *sharedCurvature) prox(r *screened, next, y, g []float64) bool {
	d, k := r.d, len(s.alpha)
	for i := range s.step {
		s.step[i] = r.step
		if r.metric != nil {
			s.step[i] *= r.metric[i]
		}
	}
	scaleY := norm2(s.y)
	last := math.Inf(1)
	for range 50 {
		parallel(k, 1+20_000/d, func(lo, hi int) {
			row := make([]float64, 2*d)
			shift := make([]float64, d)
			for i, t := range s.root {
				shift[i] = t * s.w[i]
			}
			for p := lo; p < hi; p++ {
				z, yp, gp, hp := next[p*d:][:d], y[p*d:][:d], g[p*d:][:d], s.h[p*d:][:d]
				a, t := s.alpha[p], s.w[d]
				for i := range z {
					z[i] = s.step[i]*yp[i] - gp[i] - a*shift[i] - t*hp[i]
				}
				beta := r.weight[r.inPlay[p]] * r.pen.GroupL2
				if r.metric != nil {
					r.norm[p] = r.secular(z, row, 0, 1, beta, r.norm[p])
				} else if size := norm2(z); size > beta {
					r.norm[p] = (size - beta) / r.step
					scale(r.norm[p]/size, z)
				} else {
					r.norm[p] = 0
					clear(z)
				}
			}
		})
		s.product(s.next, next)
		for i, w := range s.w {
			s.value[i] = w - (s.next[i] - s.y[i])
		}
		size, off := norm2(s.w), norm2(s.value)
		if off <= 1e-12*(size+scaleY)+1e-5*size || size == 0 && off == 0 {
			// The step is that of the point found, to rounding.
			for i := range s.w {
				s.w[i] = s.next[i] - s.y[i]
			}
			return true
		}
		if math.IsNaN(off) || off > 1e3*last {
			return false
		}
		last = math.Min(last, off)
		if !s.newton(r, next) {
			return false
		}
		axpy(-1, s.value, s.w)
	}
	return false
}

// newton replaces the value of the equation for w by the Newton step.
func (s *sharedCurvature) newton(r *screened, u []float64) bool {
	d, k := r.d, len(s.alpha)
	clear(s.rows.Data)
	diag, cross, last := make([]float64, d), make([]float64, d), 0.0
	// β/t is the curvature of the norm of a block u of length t:
	// ∂u/∂b = (E - κvv')⁻¹ with E = L·M + κ, κ = β/t, v = u/t.
	for p := 0; p < k; p++ {
		t := r.norm[p]
		if t == 0 {
			continue
		}
		kappa := r.weight[r.inPlay[p]] * r.pen.GroupL2 / t
		up, hp, row, a := u[p*d:][:d], s.h[p*d:][:d], s.rows.Data[p*(d+1):][:d+1], s.alpha[p]
		inner, side := 0.0, 0.0
		for i, h := range s.step {
			e := 1 / (h + kappa)
			v := up[i] / t
			ev := e * v
			inner += v * ev
			side += hp[i] * ev
			row[i] = a * s.root[i] * ev
			diag[i] += a * a * e
			cross[i] += a * e * hp[i]
			last += e * hp[i] * hp[i]
		}
		row[d] = side
		scale(math.Sqrt(kappa/math.Max(1-kappa*inner, 1e-14)), row)
	}
	if k > 0 {
		gramLower(s.rows, s.jac)
	}
	J := s.jac
	for i := range diag {
		J.Data[i*J.Stride+i] += 1 + s.root[i]*s.root[i]*diag[i]
		J.Data[d*J.Stride+i] += s.root[i] * cross[i]
	}
	J.Data[d*J.Stride+d] += 1 + last
	if !cholLower(J) {
		return false
	}
	cholSolve(J, s.value)
	return true
}
