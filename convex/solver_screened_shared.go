package convex

import (
	"math"
	"math/bits"

	"gonum.org/v1/gonum/blas"
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
// (a diagonal plus low rank metric, Becker and Fadili 2012). With c outputs all
// this holds for each, and the norms of the d×c blocks tie them together.
type sharedCurvature struct {
	c     int
	lever []float64 // n: the share of X'X of every sample, over d
	b     []float64 // n
	root  []float64 // d: the square root of X'X
	alpha []float64 // of the patterns in play
	h     []float64 // their h_p
	w     []float64 // (d+1)×c, at the last step and the start of the next

	x, y, next []float64 // W' of the points of the same names

	step  []float64 // L·metric
	value []float64
	rows  blas64.General
	jac   blas64.General // where there are more blocks than entries of w
}

// newSharedCurvature takes the model in coordinates in which X'X is diagonal,
// and that diagonal.
func newSharedCurvature(m *maskedModel, metric []float64, c int) *sharedCurvature {
	n, d := m.n, m.d
	room := func() []float64 { return make([]float64, (d+1)*c) }
	s := &sharedCurvature{
		c: c, lever: make([]float64, n), b: make([]float64, n), root: make([]float64, d),
		w: room(), x: room(), y: room(), next: room(), step: make([]float64, d), value: room(),
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
	s.rows = newGeneral(k, len(s.w))
	if k == 0 {
		return
	}
	m.adjointSet(s.h, s.b, set)
	all := 0.0
	for _, t := range s.lever {
		all += t
	}
	parallel(k, 8, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			on := 0.0
			for w, word := range set.bits[p] {
				for ; word != 0; word &= word - 1 {
					on += s.lever[w*64+bits.TrailingZeros64(word)]
				}
			}
			s.alpha[p] = m.scale * (on + m.slope*(all-on))
		}
	})
}

// product sets out to W'z.
func (s *sharedCurvature) product(out, z []float64) {
	d, c := len(s.root), s.c
	clear(out)
	for p, a := range s.alpha {
		zp := z[p*d*c:][:d*c]
		axpy(a, zp, out[:d*c])
		for i, h := range s.h[p*d:][:d] {
			axpy(h, zp[i*c:][:c], out[d*c:])
		}
	}
	for i, t := range s.root {
		scale(t, out[i*c:][:c])
	}
}

// prox sets next to the minimiser over u of
//
//	⟨g, u⟩ + ½ L|u-y|²_M + ½|W'(u-y)|² + Σ_p β_p |u_p|
//
// and r.norm to the norms of its blocks. It returns false when Newton's method
// does not find it.
func (s *sharedCurvature) prox(r *screened, next, y, g []float64) bool {
	d, c, k := r.d, s.c, len(s.alpha)
	for i := range s.step {
		s.step[i] = r.step
		if r.metric != nil {
			s.step[i] *= r.metric[i]
		}
	}
	scaleY := norm2(s.y)
	last := math.Inf(1)
	for range 50 {
		parallel(k, 1+20_000/(d*c), func(lo, hi int) {
			row := make([]float64, 2*d)
			shift := append([]float64(nil), s.w...)
			for i, t := range s.root {
				scale(t, shift[i*c:][:c])
			}
			side := shift[d*c:]
			for p := lo; p < hi; p++ {
				z, yp, gp := next[p*d*c:][:d*c], y[p*d*c:][:d*c], g[p*d*c:][:d*c]
				a := s.alpha[p]
				for i, h := range s.h[p*d:][:d] {
					for j, t := range side {
						j += i * c
						z[j] = s.step[i]*yp[j] - gp[j] - a*shift[j] - h*t
					}
				}
				beta := r.weight[r.inPlay[p]] * r.pen.GroupL2
				if r.metric != nil {
					r.norm[p] = r.secular(z, row, 0, c, beta, r.norm[p])
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

// newton replaces the value of the equation for w by the Newton step. The
// matrix is M⊗I + R'R with an arrow M, a diagonal and its last row, and one row
// of R a block.
func (s *sharedCurvature) newton(r *screened, u []float64) bool {
	d, c, k := r.d, s.c, 0
	m := arrow{diag: make([]float64, d), side: make([]float64, d), corner: 1}
	for i := range m.diag {
		m.diag[i] = 1
	}
	e := make([]float64, d)
	// β/t is the curvature of the norm of a block u of length t:
	// ∂u/∂b = (E - κvv')⁻¹ with E = L·M + κ, κ = β/t, v = u/t.
	for p, a := range s.alpha {
		t := r.norm[p]
		if t == 0 {
			continue
		}
		kappa := r.weight[r.inPlay[p]] * r.pen.GroupL2 / t
		up, hp, row := u[p*d*c:][:d*c], s.h[p*d:][:d], s.rows.Data[k*s.rows.Stride:][:s.rows.Cols]
		clear(row)
		side := row[d*c:]
		inner := 0.0
		for i, h := range s.step {
			e[i] = 1 / (h + kappa)
			ui, ri := up[i*c:][:c], row[i*c:][:c]
			inner += dot(ui, ui) * e[i]
			axpy(a*s.root[i]*e[i]/t, ui, ri)
			axpy(hp[i]*e[i]/t, ui, side)
			m.diag[i] += a * a * s.root[i] * s.root[i] * e[i]
			m.side[i] += a * s.root[i] * e[i] * hp[i]
			m.corner += e[i] * hp[i] * hp[i]
		}
		inner /= t * t
		scale(math.Sqrt(kappa/math.Max(1-kappa*inner, 1e-14)), row)
		k++
	}
	if k == 0 {
		return m.solve(s.value, c)
	}
	rows := blas64.General{Rows: k, Cols: s.rows.Cols, Stride: s.rows.Stride, Data: s.rows.Data}
	if c == 1 && k > d {
		if s.jac.Rows == 0 {
			s.jac = newGeneral(d+1, d+1)
		}
		J := s.jac
		gramLower(rows, 0, J, nil)
		for i := range d {
			J.Data[i*J.Stride+i] += m.diag[i]
			J.Data[d*J.Stride+i] += m.side[i]
		}
		J.Data[d*J.Stride+d] += m.corner
		if !cholLower(J) {
			return false
		}
		cholSolve(J, s.value)
		return true
	}
	// (A + R'R)⁻¹ = A⁻¹ - A⁻¹R'(I + RA⁻¹R')⁻¹RA⁻¹.
	scaled := newGeneral(k, rows.Cols)
	for p := range k {
		row := scaled.Data[p*rows.Cols:][:rows.Cols]
		copy(row, rows.Data[p*rows.Stride:])
		if !m.solve(row, c) {
			return false
		}
	}
	small := newGeneral(k, k)
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, rows, scaled, 0, small)
	for p := range k {
		small.Data[p*k+p]++
	}
	if !cholLower(small) {
		return false
	}
	t := make([]float64, k)
	for p := range t {
		t[p] = dot(scaled.Data[p*rows.Cols:][:rows.Cols], s.value)
	}
	cholSolve(small, t)
	if !m.solve(s.value, c) {
		return false
	}
	for p, v := range t {
		axpy(-v, scaled.Data[p*rows.Cols:][:rows.Cols], s.value)
	}
	return true
}

// arrow is a matrix with a diagonal and a last row and column.
type arrow struct {
	diag, side []float64
	corner     float64
}

// solve replaces v, of c columns, by the inverse times v; false if the matrix
// is not definite.
func (m *arrow) solve(v []float64, c int) bool {
	last := v[len(m.diag)*c:]
	pivot := m.corner
	for i, t := range m.side {
		t /= m.diag[i]
		pivot -= t * m.side[i]
		axpy(-t, v[i*c:][:c], last)
	}
	if !(pivot > 0) {
		return false
	}
	scale(1/pivot, last)
	for i, t := range m.side {
		vi := v[i*c:][:c]
		axpy(-t, last, vi)
		scale(1/m.diag[i], vi)
	}
	return true
}
