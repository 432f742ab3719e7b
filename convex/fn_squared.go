package convex

// Squared is the loss ½ Σ (f-y)², for any finite labels.
var Squared = Loss{Name: "squared", New: newSquared}

func newSquared(y []float64) (Fn, error) {
	if err := finiteLabels("squared", y); err != nil {
		return Fn{}, err
	}
	return Fn{
		Name:   "squared",
		Labels: y,
		Value: func(x []float64) float64 {
			s := 0.0
			for i, v := range x {
				e := v - y[i]
				s += e * e
			}
			return s / 2
		},
		Grad: func(dst, x []float64) {
			for i, v := range x {
				dst[i] = v - y[i]
			}
		},
		Hess: func(dst, x []float64) {
			for i := range x {
				dst[i] = 1
			}
		},
		Prox: func(dst, x []float64, t float64) {
			for i, v := range x {
				dst[i] = (v + t*y[i]) / (1 + t)
			}
		},
		// f*(v) = ½ v² + y v.
		Conj: func(v []float64) float64 {
			s := 0.0
			for i, u := range v {
				s += u * (u/2 + y[i])
			}
			return s
		},
		ConjGrad: func(dst, v []float64) {
			for i, u := range v {
				dst[i] = u + y[i]
			}
		},
		ConjHess: func(dst, v []float64) {
			for i := range v {
				dst[i] = 1
			}
		},
		Lipschitz: 1,
	}, nil
}
