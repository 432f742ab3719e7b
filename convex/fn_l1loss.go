package convex

import "math"

// L1 is the loss Σ |f-y|, for any finite labels.
var L1 = Loss{Name: "l1", New: newL1}

// constant is a vector of n equal numbers.
func constant(n int, v float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = v
	}
	return x
}

func newL1(y []float64) (Fn, error) {
	if err := finiteLabels("l1", y); err != nil {
		return Fn{}, err
	}
	return Fn{
		Name:   "l1",
		Labels: y,
		Kinks:  &Kinks{Above: constant(len(y), 1), Below: constant(len(y), 1)},
		Value: func(x []float64) float64 {
			s := 0.0
			for i, v := range x {
				s += math.Abs(v - y[i])
			}
			return s
		},
		Subgrad: func(dst, x []float64) {
			for i, v := range x {
				switch e := v - y[i]; {
				case e > 0:
					dst[i] = 1
				case e < 0:
					dst[i] = -1
				default:
					dst[i] = 0
				}
			}
		},
		Prox: func(dst, x []float64, t float64) {
			for i, v := range x {
				e := v - y[i]
				dst[i] = y[i] + math.Copysign(math.Max(0, math.Abs(e)-t), e)
			}
		},
		// f*(v) = y v for |v| ≤ 1.
		Conj: func(v []float64) float64 {
			s := 0.0
			for i, u := range v {
				if !(math.Abs(u) <= 1) {
					return math.Inf(1)
				}
				s += y[i] * u
			}
			return s
		},
	}, nil
}
