package convex

import "math"

// PerOutput is beta times the sum of the Euclidean norms of the columns of each
// block: the penalty of one network an output.
func PerOutput(beta float64) Penalty {
	norms := func(z []float64, cols int) []float64 {
		s := make([]float64, cols)
		col := make([]float64, len(z)/cols)
		for o := range s {
			for j := range col {
				col[j] = z[j*cols+o]
			}
			s[o] = norm2(col)
		}
		return s
	}
	return Penalty{
		Name: "per output",
		Norm: "columns",
		Value: func(z []float64, rows, cols int) float64 {
			t := 0.0
			for _, s := range norms(z, cols) {
				t += s
			}
			return beta * t
		},
		Prox: func(dst, z []float64, rows, cols int, t float64) {
			for o, s := range norms(z, cols) {
				f := 0.0
				if s > t*beta {
					f = 1 - t*beta/s
				}
				for j := o; j < len(z); j += cols {
					dst[j] = f * z[j]
				}
			}
		},
		Polar: func(v []float64, rows, cols int) float64 {
			t := 0.0
			for _, s := range norms(v, cols) {
				t = math.Max(t, s)
			}
			return t / beta
		},
	}
}
