package convex

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"
)

// A cone is one factor of a product of symmetric cones, together with its
// Nesterov-Todd scaling W at a pair of interior points: W z = W⁻ᵀ s = λ. The
// formulas are those of Vandenberghe, "The CVXOPT linear and quadratic cone
// program solvers" (2010). Vectors are the cone's own rows.
type cone interface {
	dim() int
	degree() int          // of the barrier
	identity(e []float64) // the unit of the Jordan product

	// setScaling computes the scaling of s and z; false when one of them is
	// not an interior point, as far as rounding can tell.
	setScaling(s, z []float64) bool
	lambda(dst []float64)
	scaling(op scalingOp, dst, x []float64) // dst may be x
	// scaleRows sets dst = W⁻ᵀ src, column by column.
	scaleRows(dst, src blas64.General)

	product(dst, x, y []float64) // Jordan product
	divide(dst, x []float64)     // the u with λ∘u = x; dst may be x
	step(d []float64) float64    // largest α with λ + αd in the cone
	margin(x []float64) float64  // smallest t with x + t e in the cone
}

type scalingOp int

const (
	opW scalingOp = iota
	opWT
	opWInv
	opWInvT
)

// orthant is the cone of non-negative vectors; W is diagonal.
type orthant struct{ w, l []float64 }

func newOrthant(n int) *orthant { return &orthant{make([]float64, n), make([]float64, n)} }

func (c *orthant) dim() int    { return len(c.w) }
func (c *orthant) degree() int { return len(c.w) }

func (c *orthant) identity(e []float64) {
	for i := range e {
		e[i] = 1
	}
}

func (c *orthant) setScaling(s, z []float64) bool {
	for i, v := range s {
		if !(v > 0) || !(z[i] > 0) {
			return false
		}
		c.w[i] = math.Sqrt(v / z[i])
		c.l[i] = math.Sqrt(v * z[i])
		if !(c.w[i] > 0) || math.IsInf(c.w[i], 0) || !(c.l[i] > 0) {
			return false
		}
	}
	return true
}

func (c *orthant) lambda(dst []float64) { copy(dst, c.l) }

func (c *orthant) scaling(op scalingOp, dst, x []float64) {
	if op == opW || op == opWT {
		for i, w := range c.w {
			dst[i] = w * x[i]
		}
		return
	}
	for i, w := range c.w {
		dst[i] = x[i] / w
	}
}

func (c *orthant) scaleRows(dst, src blas64.General) {
	for i, w := range c.w {
		d, s := rowOf(dst, i), rowOf(src, i)
		for j, v := range s {
			d[j] = v / w
		}
	}
}

func (c *orthant) product(dst, x, y []float64) {
	for i := range dst {
		dst[i] = x[i] * y[i]
	}
}

func (c *orthant) divide(dst, x []float64) {
	for i, l := range c.l {
		dst[i] = x[i] / l
	}
}

func (c *orthant) step(d []float64) float64 {
	a := math.Inf(1)
	for i, l := range c.l {
		if d[i] < 0 {
			a = math.Min(a, -l/d[i])
		}
	}
	return a
}

func (c *orthant) margin(x []float64) float64 {
	t := math.Inf(-1)
	for _, v := range x {
		t = math.Max(t, -v)
	}
	return t
}

// secondOrder is {(t, x): |x| ≤ t}; W = scale (2vv' - J), J = diag(1, -I).
type secondOrder struct {
	scale float64
	v, l  []float64
}

func newSecondOrder(n int) *secondOrder {
	return &secondOrder{v: make([]float64, n), l: make([]float64, n)}
}

func (c *secondOrder) dim() int    { return len(c.v) }
func (c *secondOrder) degree() int { return 1 }

func (c *secondOrder) identity(e []float64) {
	clear(e)
	e[0] = 1
}

// jnorm is the square root of x0² - |x1|², not positive outside the interior.
func jnorm(x []float64) float64 {
	n := norm2(x[1:])
	d := (x[0] - n) * (x[0] + n)
	if !(x[0] > n) || !(d > 0) {
		return 0
	}
	return math.Sqrt(d)
}

func (c *secondOrder) setScaling(s, z []float64) bool {
	a, b := jnorm(s), jnorm(z)
	if !(a > 0) || !(b > 0) || math.IsInf(a, 0) || math.IsInf(b, 0) {
		return false
	}
	g := math.Sqrt((1 + dot(s, z)/a/b) / 2)
	v := c.v
	v[0] = (s[0]/a + z[0]/b) / (2 * g)
	for i := 1; i < len(v); i++ {
		v[i] = (s[i]/a - z[i]/b) / (2 * g)
	}
	// The point w is on the hyperboloid w'Jw = 1; its first entry follows from
	// the others with less cancellation.
	v[0] = math.Hypot(1, norm2(v[1:]))
	r := 1 / math.Sqrt(2*(v[0]+1))
	v[0]++
	for i := range v {
		v[i] *= r
	}
	c.scale = math.Sqrt(a / b)
	c.scaling(opW, c.l, z)
	return c.scale > 0 && !math.IsInf(c.scale, 0) && jnorm(c.l) > 0
}

func (c *secondOrder) lambda(dst []float64) { copy(dst, c.l) }

func (c *secondOrder) scaling(op scalingOp, dst, x []float64) {
	v := c.v
	if op == opW || op == opWT {
		t := 2 * dot(v, x)
		x0 := x[0]
		for i := range dst {
			dst[i] = c.scale * (t*v[i] + x[i])
		}
		dst[0] = c.scale * (t*v[0] - x0)
		return
	}
	x0 := x[0]
	t := 2 * (v[0]*x0 - dot(v[1:], x[1:]))
	for i := range dst {
		dst[i] = (-t*v[i] + x[i]) / c.scale
	}
	dst[0] = (t*v[0] - x0) / c.scale
}

func (c *secondOrder) scaleRows(dst, src blas64.General) {
	t := make([]float64, src.Cols)
	axpy(2*c.v[0], rowOf(src, 0), t)
	for i := 1; i < len(c.v); i++ {
		axpy(-2*c.v[i], rowOf(src, i), t)
	}
	for i, v := range c.v {
		d, s := rowOf(dst, i), rowOf(src, i)
		if i > 0 {
			for j := range d {
				d[j] = (s[j] - t[j]*v) / c.scale
			}
			continue
		}
		for j := range d {
			d[j] = (t[j]*v - s[j]) / c.scale
		}
	}
}

func (c *secondOrder) product(dst, x, y []float64) {
	p := dot(x, y)
	x0, y0 := x[0], y[0]
	for i := range dst {
		dst[i] = x0*y[i] + y0*x[i]
	}
	dst[0] = p
}

func (c *secondOrder) divide(dst, x []float64) {
	l := c.l
	n := jnorm(l)
	u0 := (l[0]*x[0] - dot(l[1:], x[1:])) / n / n
	for i := 1; i < len(dst); i++ {
		dst[i] = (x[i] - u0*l[i]) / l[0]
	}
	dst[0] = u0
}

func (c *secondOrder) step(d []float64) float64 {
	// Turn λ into the identity: then the step is 1/(|r1| - r0).
	n := jnorm(c.l)
	l0 := c.l[0] / n
	p := (l0*d[0] - dot(c.l[1:], d[1:])/n) / n
	f := (p + d[0]/n) / (l0 + 1)
	r := 0.0
	for i := 1; i < len(d); i++ {
		t := d[i]/n - f*c.l[i]/n
		r += t * t
	}
	if r = math.Sqrt(r); r > p {
		return 1 / (r - p)
	}
	return math.Inf(1)
}

func (c *secondOrder) margin(x []float64) float64 { return norm2(x[1:]) - x[0] }

// semidefinite is the cone of positive semidefinite matrices of an order, as
// vectors: the lower triangle row by row, off the diagonal times √2, so that
// the inner product is that of matrices. W z is R'ZR.
type semidefinite struct {
	n       int
	r, rinv *mat.Dense
	l       []float64
	a, b, t *mat.Dense // work
}

func newSemidefinite(n int) *semidefinite {
	d := func() *mat.Dense { return mat.NewDense(n, n, nil) }
	return &semidefinite{n: n, r: d(), rinv: d(), l: make([]float64, n), a: d(), b: d(), t: d()}
}

func (c *semidefinite) dim() int    { return c.n * (c.n + 1) / 2 }
func (c *semidefinite) degree() int { return c.n }

func (c *semidefinite) identity(e []float64) {
	clear(e)
	for i, k := 0, 0; i < c.n; i++ {
		e[k+i] = 1
		k += i + 1
	}
}

// unpack sets the matrix of a vector, pack the vector of a matrix, of which it
// takes the symmetric part.
func unpack(A *mat.Dense, x []float64) {
	n, _ := A.Dims()
	k := 0
	for i := 0; i < n; i++ {
		for j := 0; j < i; j++ {
			v := x[k] / math.Sqrt2
			A.Set(i, j, v)
			A.Set(j, i, v)
			k++
		}
		A.Set(i, i, x[k])
		k++
	}
}

func pack(x []float64, A *mat.Dense) {
	n, _ := A.Dims()
	k := 0
	for i := 0; i < n; i++ {
		for j := 0; j < i; j++ {
			x[k] = (A.At(i, j) + A.At(j, i)) / math.Sqrt2
			k++
		}
		x[k] = A.At(i, i)
		k++
	}
}

// cholesky replaces A by its lower Cholesky factor.
func cholesky(A *mat.Dense) bool {
	n, _ := A.Dims()
	raw := A.RawMatrix()
	for _, v := range raw.Data {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	if _, ok := lapack64.Potrf(blas64.Symmetric{Uplo: blas.Lower, N: n, Stride: raw.Stride, Data: raw.Data}); !ok {
		return false
	}
	for i := 0; i < n; i++ {
		for j := i + 1; j < n; j++ {
			A.Set(i, j, 0)
		}
	}
	return true
}

func (c *semidefinite) setScaling(s, z []float64) bool {
	unpack(c.a, s)
	unpack(c.b, z)
	if !cholesky(c.a) || !cholesky(c.b) {
		return false
	}
	// L_z'L_s = U Λ V' gives R = L_s V Λ^{-1/2}, R⁻¹ = Λ^{-1/2} U'L_z'.
	c.t.Mul(c.b.T(), c.a)
	var svd mat.SVD
	if !svd.Factorize(c.t, mat.SVDFull) {
		return false
	}
	svd.Values(c.l)
	var U, V mat.Dense
	svd.UTo(&U)
	svd.VTo(&V)
	c.r.Mul(c.a, &V)
	c.rinv.Mul(U.T(), c.b.T())
	for k, l := range c.l {
		q := 1 / math.Sqrt(l)
		if !(l > 0) || math.IsInf(q, 0) {
			return false
		}
		for i := 0; i < c.n; i++ {
			c.r.Set(i, k, q*c.r.At(i, k))
			c.rinv.Set(k, i, q*c.rinv.At(k, i))
		}
	}
	return true
}

func (c *semidefinite) lambda(dst []float64) {
	clear(dst)
	for i, k := 0, 0; i < c.n; i++ {
		dst[k+i] = c.l[i]
		k += i + 1
	}
}

func (c *semidefinite) scaling(op scalingOp, dst, x []float64) {
	unpack(c.a, x)
	switch op {
	case opW:
		c.t.Mul(c.a, c.r)
		c.b.Mul(c.r.T(), c.t)
	case opWT:
		c.t.Mul(c.r, c.a)
		c.b.Mul(c.t, c.r.T())
	case opWInv:
		c.t.Mul(c.a, c.rinv)
		c.b.Mul(c.rinv.T(), c.t)
	case opWInvT:
		c.t.Mul(c.rinv, c.a)
		c.b.Mul(c.t, c.rinv.T())
	}
	pack(dst, c.b)
}

func (c *semidefinite) scaleRows(dst, src blas64.General) {
	x := make([]float64, c.dim())
	for j := 0; j < src.Cols; j++ {
		zero := true
		for i := range x {
			x[i] = src.Data[i*src.Stride+j]
			zero = zero && x[i] == 0
		}
		if !zero {
			c.scaling(opWInvT, x, x)
		}
		for i, v := range x {
			dst.Data[i*dst.Stride+j] = v
		}
	}
}

func (c *semidefinite) product(dst, x, y []float64) {
	unpack(c.a, x)
	unpack(c.b, y)
	c.t.Mul(c.a, c.b)
	pack(dst, c.t)
}

func (c *semidefinite) divide(dst, x []float64) {
	k := 0
	for i := 0; i < c.n; i++ {
		for j := 0; j <= i; j++ {
			dst[k] = 2 * x[k] / (c.l[i] + c.l[j])
			k++
		}
	}
}

func (c *semidefinite) step(d []float64) float64 {
	unpack(c.a, d)
	S := mat.NewSymDense(c.n, nil)
	for i := 0; i < c.n; i++ {
		for j := 0; j <= i; j++ {
			S.SetSym(i, j, c.a.At(i, j)/math.Sqrt(c.l[i])/math.Sqrt(c.l[j]))
		}
	}
	if e := smallestEigenvalue(S); e < 0 {
		return -1 / e
	} else if math.IsNaN(e) {
		return 0
	}
	return math.Inf(1)
}

func (c *semidefinite) margin(x []float64) float64 {
	unpack(c.a, x)
	S := mat.NewSymDense(c.n, nil)
	for i := 0; i < c.n; i++ {
		for j := 0; j <= i; j++ {
			S.SetSym(i, j, c.a.At(i, j))
		}
	}
	return -smallestEigenvalue(S)
}

// smallestEigenvalue is NaN when it cannot be computed.
func smallestEigenvalue(S *mat.SymDense) float64 {
	var e mat.EigenSym
	for i := 0; i < S.SymmetricDim(); i++ {
		for j := 0; j <= i; j++ {
			if v := S.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return math.NaN()
			}
		}
	}
	if !e.Factorize(S, false) {
		return math.NaN()
	}
	return e.Values(nil)[0]
}

func rowOf(a blas64.General, i int) []float64 { return a.Data[i*a.Stride : i*a.Stride+a.Cols] }
