package convex

import "math"

// PartsL2 is beta times the sum of the Euclidean norms of consecutive parts of
// each block, whose lengths are given and add up to that of the block: the
// l1-norm of complex numbers, for parts of real and imaginary parts.
func PartsL2(beta float64, lengths []int) Penalty {
	lengths = append([]int(nil), lengths...)
	each := func(z []float64, f func(part []float64)) {
		for _, k := range lengths {
			f(z[:k])
			z = z[k:]
		}
	}
	return Penalty{
		Name:  "parts l2",
		Norm:  "parts",
		Parts: lengths,
		Value: func(z []float64, rows, cols int) float64 {
			s := 0.0
			each(z, func(part []float64) { s += norm2(part) })
			return beta * s
		},
		Prox: func(dst, z []float64, rows, cols int, t float64) {
			at := 0
			each(z, func(part []float64) {
				f := 0.0
				if s := norm2(part); s > t*beta {
					f = 1 - t*beta/s
				}
				for _, v := range part {
					dst[at] = f * v
					at++
				}
			})
		},
		Polar: func(v []float64, rows, cols int) float64 {
			m := 0.0
			each(v, func(part []float64) { m = math.Max(m, norm2(part)) })
			return m / beta
		},
	}
}

func sumInts(x []int) int {
	s := 0
	for _, v := range x {
		s += v
	}
	return s
}
