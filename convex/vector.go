package convex

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas64"
)

// Loops over short vectors, for which a call of the BLAS costs more than it
// saves.

// assembledFrom is the length from which the call of an assembled loop pays.
const assembledFrom = 8

func dot(a, b []float64) float64 {
	b = b[:len(a)]
	if assembled256 && len(a) >= assembledFrom {
		return dotAVX2(&a[0], &b[0], len(a))
	}
	return plainDot(a, b)
}

// dot32 is dot in float32.
func dot32(a, b []float32) float32 {
	b = b[:len(a)]
	if assembled256 && len(a) >= assembledFrom {
		return dot32AVX2(&a[0], &b[0], len(a))
	}
	return plainDot(a, b)
}

// plainDot is dot without assembly, in either precision.
func plainDot[T float32 | float64](a, b []T) T {
	var s0, s1, s2, s3 T
	for len(a) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		s0 += v * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// axpy adds alpha·x to y.
func axpy(alpha float64, x, y []float64) {
	y = y[:len(x)]
	if assembled256 && len(x) >= assembledFrom {
		axpyAVX2(alpha, &x[0], &y[0], len(x))
		return
	}
	for i, v := range x {
		y[i] += alpha * v
	}
}

// rotate turns the pairs (x_i, y_i) into (c·x_i + s·y_i, c·y_i - s·x_i).
func rotate(c, s float64, x, y []float64) {
	y = y[:len(x)]
	if assembled256 && len(x) >= assembledFrom {
		rotateAVX2(c, s, &x[0], &y[0], len(x))
		return
	}
	for i, u := range x {
		v := y[i]
		x[i], y[i] = c*u+s*v, c*v-s*u
	}
}

// dots sets dst to the products of v with as many rows, which begin stride apart.
func dots(dst, rows []float64, stride int, v []float64) {
	n, k := len(v), 0
	if assembled256 && n >= assembledFrom && len(dst) >= 4 {
		k = len(dst) &^ 3
		_ = rows[(k-1)*stride+n-1]
		dotsAVX2(&dst[0], &rows[0], &v[0], n, stride, k)
	}
	for ; k < len(dst); k++ {
		dst[k] = dot(v, rows[k*stride:])
	}
}

// dots32 is dots in float32 for rows that lie one behind the other.
func dots32(dst, rows, v []float32) {
	n, k := len(v), 0
	if assembled256 && n >= assembledFrom && len(dst) >= 4 {
		k = len(dst) &^ 3
		_ = rows[k*n-1]
		dots32AVX2(&dst[0], &rows[0], &v[0], n, n, k)
	}
	for ; k < len(dst); k++ {
		dst[k] = dot32(v, rows[k*n:])
	}
}

// wrongSide sets the bits of mask where t_i > least, and where the bit in bits
// is set where -t_i > least.
func wrongSide(mask, bits []uint64, t []float32, least float32) {
	words := 0
	if assembled256 && len(t) >= 64 {
		words = len(t) / 64
		_, _ = mask[words-1], bits[words-1]
		wrongSideAVX2(&mask[0], &bits[0], &t[0], least, words)
	}
	for w := words; w < len(mask); w++ {
		word, out := bits[w], uint64(0)
		for i, v := range t[w*64 : min(w*64+64, len(t))] {
			if word>>uint(i)&1 != 0 {
				v = -v
			}
			if v > least {
				out |= 1 << uint(i)
			}
		}
		mask[w] = out
	}
}

// addRows adds the rows, which lie one behind the other, times c to v.
func addRows(v, rows, c []float64) {
	d, k := len(v), 0
	if assembled256 && d >= assembledFrom && len(c) >= 4 {
		k = len(c) &^ 3
		rows = rows[:len(c)*d]
		sumAVX2(&v[0], &rows[0], &c[0], d, k)
	}
	for ; k < len(c); k++ {
		axpy(c[k], rows[k*d:][:d], v)
	}
}

// addProducts adds the products of a and b, entry by entry, to dst.
func addProducts(dst, a, b []float64) {
	a, b = a[:len(dst)], b[:len(dst)]
	if assembled256 && len(dst) >= assembledFrom {
		addProductsAVX2(&dst[0], &a[0], &b[0], len(dst))
		return
	}
	for i, v := range a {
		dst[i] += v * b[i]
	}
}

func scale(alpha float64, x []float64) {
	for i := range x {
		x[i] *= alpha
	}
}

// norm2 is the Euclidean norm; it falls back on a scaled sum where squares
// would over- or underflow.
func norm2(x []float64) float64 {
	s := dot(x, x)
	if s > 1e-280 && s < 1e280 {
		return math.Sqrt(s)
	}
	if s == 0 && !slices.ContainsFunc(x, func(t float64) bool { return t != 0 }) {
		return 0
	}
	return blas64.Nrm2(blas64.Vector{N: len(x), Inc: 1, Data: x})
}
