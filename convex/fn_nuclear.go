package convex

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Nuclear is beta times the nuclear norm, the sum of the singular values, of
// each block: the penalty of weight decay on a linear map of two layers.
func Nuclear(beta float64) Penalty {
	return Penalty{
		Name: "nuclear",
		Norm: "nuclear",
		Value: func(z []float64, rows, cols int) float64 {
			t := 0.0
			for _, s := range singularValues(z, rows, cols) {
				t += s
			}
			return beta * t
		},
		// Soft thresholding of the singular values.
		Prox: func(dst, z []float64, rows, cols int, t float64) {
			U, s, V, err := thinSVD(z, rows, cols)
			if err != nil {
				for i := range dst {
					dst[i] = math.NaN() // seen by every solver; a wrong number would not be
				}
				return
			}
			clear(dst)
			for k, sv := range s {
				if sv -= t * beta; sv <= 0 {
					break
				}
				for i := 0; i < rows; i++ {
					u := sv * U.At(i, k)
					for j := 0; j < cols; j++ {
						dst[i*cols+j] += u * V.At(j, k)
					}
				}
			}
		},
		Polar: func(v []float64, rows, cols int) float64 {
			return singularValues(v, rows, cols)[0] / beta
		},
	}
}

// singularValues of a row-major matrix, largest first; NaN if they cannot be
// computed.
func singularValues(z []float64, rows, cols int) []float64 {
	if rows == 1 || cols == 1 {
		return []float64{norm2(z)}
	}
	var svd mat.SVD
	if !svd.Factorize(mat.NewDense(rows, cols, append([]float64(nil), z...)), mat.SVDNone) {
		return []float64{math.NaN()}
	}
	return svd.Values(nil)
}
