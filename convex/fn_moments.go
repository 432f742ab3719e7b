package convex

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Moments is beta times the mass of a measure on the unit sphere of R^d, as a
// function of its moments up to the second, the (d+1)×(d+1) matrix
//
//	Z = ∫ [u; 1][u; 1]' dμ(u),  |u|₂ = 1:  Value = beta ∫ dμ.
//
// These matrices are exactly those with Z ⪰ 0 whose first d diagonal entries add
// up to the last (the S-lemma; Bartan & Pilanci 2021); elsewhere Value is +Inf.
// Because of that one equation a block has one number less than the packed
// triangle: its k = (d+1)(d+2)/2 - 1 variables are coordinates in an orthonormal
// basis of the matrices that satisfy it, which MomentMatrix turns into Z.
func Moments(beta float64) Penalty {
	return Penalty{
		Name: "moments",
		Norm: "moments",
		Value: func(z []float64, rows, cols int) float64 {
			if norm2(z) == 0 {
				return 0
			}
			q := momentOrder(len(z))
			vals, _, ok := eigen(momentMatrix(z), false)
			if !ok || math.IsNaN(vals[0]) {
				return math.NaN()
			}
			if vals[0] < -1e-10*math.Max(vals[q-1], 0) || vals[q-1] <= 0 {
				return math.Inf(1)
			}
			return beta * momentMass(z)
		},
		Prox: func(dst, z []float64, rows, cols int, t float64) {
			q := momentOrder(len(z))
			v := append([]float64(nil), z...)
			for j := len(v) - q + 1; j < len(v); j++ {
				v[j] -= t * beta / math.Sqrt(float64(q))
			}
			projectMoments(dst, v)
		},
		Polar: func(v []float64, rows, cols int) float64 {
			return math.Max(0, sphereMaximum(momentMatrix(v))) / beta
		},
	}
}

// momentOrder is the order d+1 of the matrices whose blocks have k variables, 0
// when there are none.
func momentOrder(k int) int {
	q := int(math.Round((math.Sqrt(8*float64(k+1)+1) - 1) / 2))
	if q < 2 || q*(q+1)/2-1 != k {
		return 0
	}
	return q
}

// momentMass is the last diagonal entry of the matrix, the mass of the measure.
func momentMass(z []float64) float64 {
	q := momentOrder(len(z))
	sum := 0.0
	for _, v := range z[len(z)-q+1:] {
		sum += v
	}
	return sum / math.Sqrt(float64(q))
}

// momentMatrix is the matrix of coordinates z: the strict lower triangle row by
// row times √2, then d coordinates y of the diagonal in the basis that a
// Householder reflection of the last unit vector to (1, …, 1, -1)/√q leaves,
//
//	Z_ii = y_i - Σy/(q+√q) for i < d,  Z_dd = Σy/√q,
//
// so that Σ_{i<d} Z_ii = Z_dd whatever y.
func momentMatrix(z []float64) *mat.SymDense {
	q := momentOrder(len(z))
	Z := mat.NewSymDense(q, nil)
	at := 0
	for i := range q {
		for j := range i {
			Z.SetSym(i, j, z[at]/math.Sqrt2)
			at++
		}
	}
	y := z[at:]
	sum := 0.0
	for _, v := range y {
		sum += v
	}
	root := math.Sqrt(float64(q))
	for i, v := range y {
		Z.SetSym(i, i, v-sum/(float64(q)+root))
	}
	Z.SetSym(q-1, q-1, sum/root)
	return Z
}

// momentCoordinates is the adjoint of momentMatrix: the coordinates of V, or of
// the matrix nearest to it that satisfies the equation.
func momentCoordinates(dst []float64, V mat.Matrix) {
	q, _ := V.Dims()
	at, trace := 0, 0.0
	for i := range q {
		for j := range i {
			dst[at] = math.Sqrt2 * V.At(i, j)
			at++
		}
		if i < q-1 {
			trace += V.At(i, i)
		}
	}
	root := math.Sqrt(float64(q))
	for i := range q - 1 {
		dst[at+i] = V.At(i, i) - trace/(float64(q)+root) + V.At(q-1, q-1)/root
	}
}

// eigen is the eigendecomposition of A, values ascending.
func eigen(A *mat.SymDense, vectors bool) (values []float64, V *mat.Dense, ok bool) {
	var e mat.EigenSym
	if !e.Factorize(A, vectors) {
		return nil, nil, false
	}
	if vectors {
		V = new(mat.Dense)
		e.VectorsTo(V)
	}
	return e.Values(nil), V, true
}

// projectMoments sets dst to the point nearest to v whose matrix is positive
// semidefinite: (V - μE)₊ with E = diag(1, …, 1, -1) and the μ that restores
// ⟨E, Z⟩ = 0, the root of a decreasing function, by Newton's method within a
// bracket.
func projectMoments(dst, v []float64) {
	q := momentOrder(len(v))
	V := momentMatrix(v)
	A := mat.NewSymDense(q, nil)
	Z := mat.NewDense(q, q, nil)
	half := mat.NewDense(q, q, nil)
	lo, hi, mu := math.Inf(-1), math.Inf(1), 0.0
	reach := math.Max(norm2(v)/math.Sqrt(float64(q)), 1e-300)
	for range 100 {
		A.CopySym(V)
		for i := range q - 1 {
			A.SetSym(i, i, V.At(i, i)-mu)
		}
		A.SetSym(q-1, q-1, V.At(q-1, q-1)+mu)
		vals, U, ok := eigen(A, true)
		if !ok {
			for i := range dst {
				dst[i] = math.NaN() // seen by every solver; a wrong number would not be
			}
			return
		}
		// φ(μ) = Σ_k λ_k⁺ e_kk with e = U'EU = I - 2 r r', r the last row of U.
		r := U.RawRowView(q - 1)
		phi, mass := 0.0, 0.0
		for k, l := range vals {
			if l > 0 {
				phi += l * (1 - 2*r[k]*r[k])
				mass += l
			}
		}
		if math.Abs(phi) <= 1e-15*float64(q)*mass {
			half.Zero()
			for k, l := range vals {
				if l > 0 {
					root := math.Sqrt(l)
					for i := range q {
						half.Set(i, k, root*U.At(i, k))
					}
				}
			}
			Z.Mul(half, half.T())
			momentCoordinates(dst, Z)
			return
		}
		if phi > 0 {
			lo = mu
		} else {
			hi = mu
		}
		// -φ' = Σ_kl w_kl e_kl², w_kl the difference quotients of t₊.
		slope := 0.0
		for k, a := range vals {
			for l, b := range vals {
				w := 0.0
				switch {
				case a > 0 && b > 0:
					w = 1
				case a > 0:
					w = a / (a - b)
				case b > 0:
					w = b / (b - a)
				}
				e := -2 * r[k] * r[l]
				if k == l {
					e++
				}
				slope += w * e * e
			}
		}
		next := mu + phi/slope
		if !(next > lo && next < hi) {
			switch {
			case math.IsInf(lo, -1):
				next = mu - reach
			case math.IsInf(hi, 1):
				next = mu + reach
			default:
				next = lo + (hi-lo)/2
			}
			reach *= 2
		}
		if next == mu || hi-lo <= 1e-16*math.Abs(mu) {
			break
		}
		mu = next
	}
	// The bracket cannot be split: rounding is all that is left of φ.
	vals, U, ok := eigen(A, true)
	half.Zero()
	for k, l := range vals {
		if ok && l > 0 {
			for i := range q {
				half.Set(i, k, math.Sqrt(l)*U.At(i, k))
			}
		}
	}
	Z.Mul(half, half.T())
	momentCoordinates(dst, Z)
}

// sphereMaximum is an upper bound, tight to rounding, on [u; 1]'V[u; 1] over
// |u|₂ = 1: the value min_{λ ≥ λ_max} λ + Σ_i c_i²/(λ-λ_i) + V_dd of the dual,
// which has no gap (the trust-region problem), at whatever λ the search ends.
func sphereMaximum(V *mat.SymDense) float64 {
	d := V.SymmetricDim() - 1
	A := mat.NewSymDense(d, nil)
	for i := range d {
		for j := range i + 1 {
			A.SetSym(i, j, V.At(i, j))
		}
	}
	vals, U, ok := eigen(A, true)
	if !ok {
		return math.Inf(1)
	}
	c := make([]float64, d)
	for k := range d {
		for i := range d {
			c[k] += U.At(i, k) * V.At(i, d)
		}
	}
	top := vals[d-1]
	best := math.Inf(1)
	at := func(lambda float64) (slope float64) {
		g, s := lambda, 1.0
		for k, l := range vals {
			if c[k] == 0 {
				continue
			}
			gap := lambda - l
			if gap <= 0 {
				return math.Inf(-1)
			}
			g += c[k] * (c[k] / gap)
			s -= (c[k] / gap) * (c[k] / gap)
		}
		best = math.Min(best, g)
		return s
	}
	lo, hi := top, top+norm2(c)
	at(lo)
	at(hi)
	for range 200 {
		mid := lo + (hi-lo)/2
		if mid == lo || mid == hi {
			break
		}
		if at(mid) < 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	size := math.Max(math.Abs(top), math.Abs(vals[0])) + norm2(c)
	return best + V.At(d, d) + 1e-15*float64(d+1)*size
}

// MomentMatrix is the (d+1)×(d+1) matrix Z of a block of the penalty Moments;
// nil when z has no such length.
func MomentMatrix(z []float64) *mat.SymDense {
	if momentOrder(len(z)) == 0 {
		return nil
	}
	return momentMatrix(z)
}

// sphereMeasure decomposes a moment matrix into Σ_j w_j [u_j; 1][u_j; 1]' with
// unit vectors u_j (the rows) and w_j > 0, as many as its rank: eigenvectors,
// rotated into one another until each satisfies the equation by itself (Sturm &
// Zhang 2003).
func sphereMeasure(Z *mat.SymDense) (u [][]float64, w []float64, ok bool) {
	q := Z.SymmetricDim()
	vals, U, ok := eigen(Z, true)
	if !ok {
		return nil, nil, false
	}
	var p [][]float64
	for k, l := range vals {
		if l > 1e-14*vals[q-1] {
			c := mat.Col(nil, k, U)
			scale(math.Sqrt(l), c)
			p = append(p, c)
		}
	}
	form := func(x, y []float64) float64 { return dot(x[:q-1], y[:q-1]) - x[q-1]*y[q-1] }
	for len(p) > 1 {
		// Rotate the last vector with one of the opposite sign.
		x := p[len(p)-1]
		ex, at := form(x, x), -1
		for i, y := range p[:len(p)-1] {
			if e := form(y, y); e*ex < 0 && (at < 0 || math.Abs(e) > math.Abs(form(p[at], p[at]))) {
				at = i
			}
		}
		if at >= 0 {
			// x + t y with form zero: ex + 2 t exy + t² ey = 0.
			y := p[at]
			exy, ey := form(x, y), form(y, y)
			root := math.Sqrt(exy*exy - ex*ey)
			t := ex / (-exy - math.Copysign(root, exy))
			n := 1 / math.Hypot(1, t)
			for i := range x {
				x[i], y[i] = n*(x[i]+t*y[i]), n*(y[i]-t*x[i])
			}
		}
		u, w = appendAtom(u, w, x)
		p = p[:len(p)-1]
	}
	for _, x := range p {
		u, w = appendAtom(u, w, x)
	}
	return u, w, true
}

// appendAtom adds x = √w [u; 1] up to sign.
func appendAtom(u [][]float64, w []float64, x []float64) ([][]float64, []float64) {
	d := len(x) - 1
	head := x[:d]
	n := norm2(head)
	if n == 0 || x[d] == 0 {
		return u, w
	}
	scale(math.Copysign(1/n, x[d]), head)
	return append(u, head), append(w, x[d]*x[d])
}
