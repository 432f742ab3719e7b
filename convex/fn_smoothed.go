package convex

// smoothed is the Moreau envelope of f, min_z f(z) + |z-x|²/(2 mu): f with arcs
// in place of its kinks, at most mu/2 times a squared slope below it. f is a sum
// over entries with Value, Prox and Conj.
func smoothed(f Fn, mu float64) Fn {
	nearest := func(x []float64, t float64) []float64 {
		z := make([]float64, len(x))
		f.Prox(z, x, t)
		return z
	}
	return Fn{
		Name:   f.Name + ", smoothed",
		Labels: f.Labels,
		Value: func(x []float64) float64 {
			z := nearest(x, mu)
			s := f.Value(z)
			for i, v := range x {
				s += (v - z[i]) * (v - z[i]) / (2 * mu)
			}
			return s
		},
		Grad: func(dst, x []float64) {
			for i, z := range nearest(x, mu) {
				dst[i] = (x[i] - z) / mu
			}
		},
		Hess: func(dst, x []float64) {
			f.proxSlope(dst, x, mu)
			for i, p := range dst {
				h := 1 - p
				if h < 1e-6 { // rounding where f is straight
					h = 0
				}
				dst[i] = h / mu
			}
		},
		Prox: func(dst, x []float64, t float64) {
			for i, z := range nearest(x, mu+t) {
				dst[i] = (mu*x[i] + t*z) / (mu + t)
			}
		},
		Conj: func(v []float64) float64 {
			// Slopes of the envelope are slopes of f but for their rounding.
			w := make([]float64, len(v))
			axpy(-1, v, w)
			f.intoDomain(w)
			scale(-1, w)
			return f.Conj(w) + mu/2*dot(w, w)
		},
		Lipschitz: 1 / mu,
	}
}
