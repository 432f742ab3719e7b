package convex

// GroupL1 is the group lasso penalty beta·|z|₂ on each block (the Frobenius
// norm of a matrix block): the penalty of two-layer networks with one output
// under weight decay beta/2 (|u|²+|a|²).
func GroupL1(beta float64) Penalty {
	return Penalty{
		Name:    "group l2",
		GroupL2: beta,
		Norm:    "l2",
		Value: func(z []float64, rows, cols int) float64 {
			return beta * norm2(z)
		},
		Prox: func(dst, z []float64, rows, cols int, t float64) {
			nz := norm2(z)
			if nz <= t*beta {
				clear(dst)
				return
			}
			s := 1 - t*beta/nz
			for i, v := range z {
				dst[i] = s * v
			}
		},
		Polar: func(v []float64, rows, cols int) float64 {
			return norm2(v) / beta
		},
	}
}
