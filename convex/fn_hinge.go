package convex

import "math"

// Hinge is the loss Σ max(0, 1 - y f), for labels -1 and +1.
var Hinge = Loss{Name: "hinge", New: newHinge}

func newHinge(y []float64) (Fn, error) {
	if err := signLabels("hinge", y); err != nil {
		return Fn{}, err
	}
	// Off the kink at f = y, the loss rises on the side of the other class.
	k := &Kinks{Above: make([]float64, len(y)), Below: make([]float64, len(y))}
	for i, v := range y {
		k.Above[i], k.Below[i] = math.Max(0, -v), math.Max(0, v)
	}
	return Fn{
		Name:   "hinge",
		Labels: y,
		Kinks:  k,
		Value: func(x []float64) float64 {
			s := 0.0
			for i, v := range x {
				s += math.Max(0, 1-y[i]*v)
			}
			return s
		},
		Subgrad: func(dst, x []float64) {
			for i, v := range x {
				switch m := 1 - y[i]*v; {
				case m > 0:
					dst[i] = -y[i]
				case m == 0:
					dst[i] = -y[i] / 2
				default:
					dst[i] = 0
				}
			}
		},
		Prox: func(dst, x []float64, t float64) {
			for i, v := range x {
				m := y[i] * v
				switch {
				case m < 1-t:
					m += t
				case m < 1:
					m = 1
				}
				dst[i] = y[i] * m
			}
		},
		// f*(v) = y v for -1 ≤ y v ≤ 0.
		Conj: func(v []float64) float64 {
			s := 0.0
			for i, u := range v {
				p := y[i] * u
				if !(p >= -1 && p <= 0) {
					return math.Inf(1)
				}
				s += p
			}
			return s
		},
	}, nil
}
