package convex

// Ridge is beta/2 |z|₂², the squared norm of each block.
func Ridge(beta float64) Penalty {
	return Penalty{
		Name: "ridge",
		Norm: "squares",
		Value: func(z []float64, rows, cols int) float64 {
			return beta / 2 * dot(z, z)
		},
		Prox: func(dst, z []float64, rows, cols int, t float64) {
			for i, v := range z {
				dst[i] = v / (1 + t*beta)
			}
		},
		Conj: func(v []float64, rows, cols int) float64 {
			return dot(v, v) / (2 * beta)
		},
	}
}
