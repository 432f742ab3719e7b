package convex

import "math"

// Lasso is beta·Σ|z_j|, entry by entry.
func Lasso(beta float64) Penalty {
	return Penalty{
		Name: "lasso",
		Norm: "l1",
		Value: func(z []float64, rows, cols int) float64 {
			s := 0.0
			for _, v := range z {
				s += math.Abs(v)
			}
			return beta * s
		},
		Prox: func(dst, z []float64, rows, cols int, t float64) {
			for i, v := range z {
				dst[i] = math.Copysign(math.Max(0, math.Abs(v)-t*beta), v)
			}
		},
		Polar: func(v []float64, rows, cols int) float64 {
			m := 0.0
			for _, t := range v {
				m = math.Max(m, math.Abs(t))
			}
			return m / beta
		},
	}
}
