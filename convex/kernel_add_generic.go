package convex

import (
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/blas/gonum"
)

const haveVectorAdd = false

func addRows(dst, tab []float64, w uint32) { addRowsGo(dst, tab, w) }

// nativeBLAS reports whether blas64 runs on gonum's own Go code.
func nativeBLAS() bool {
	_, ok := blas64.Implementation().(gonum.Implementation)
	return ok
}
