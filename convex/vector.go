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
	var s0, s1, s2, s3 float64
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
