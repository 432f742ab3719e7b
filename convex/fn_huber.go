package convex

import (
	"fmt"
	"math"
)

// Huber is the loss Σ h(f-y) with h(e) = e²/2 for |e| ≤ delta and
// delta(|e| - delta/2) beyond, for any finite labels; delta > 0.
func Huber(delta float64) Loss {
	return Loss{Name: "huber", Delta: delta, New: func(y []float64) (Fn, error) { return newHuber(y, delta) }}
}

func newHuber(y []float64, delta float64) (Fn, error) {
	if !(delta > 0) || math.IsInf(delta, 1) {
		return Fn{}, fmt.Errorf("convex: huber loss: delta is %g: want a positive number", delta)
	}
	if err := finiteLabels("huber", y); err != nil {
		return Fn{}, err
	}
	return Fn{
		Name:   "huber",
		Labels: y,
		Kinks:  &Kinks{Above: constant(len(y), delta), Below: constant(len(y), delta), Rounded: true},
		Value: func(x []float64) float64 {
			s := 0.0
			for i, v := range x {
				if e := math.Abs(v - y[i]); e <= delta {
					s += e * e / 2
				} else {
					s += delta * (e - delta/2)
				}
			}
			return s
		},
		Grad: func(dst, x []float64) {
			for i, v := range x {
				dst[i] = math.Max(-delta, math.Min(delta, v-y[i]))
			}
		},
		Hess: func(dst, x []float64) {
			for i, v := range x {
				if math.Abs(v-y[i]) <= delta {
					dst[i] = 1
				} else {
					dst[i] = 0
				}
			}
		},
		Prox: func(dst, x []float64, t float64) {
			for i, v := range x {
				e := v - y[i]
				if math.Abs(e) <= delta*(1+t) {
					e /= 1 + t
				} else {
					e -= math.Copysign(t*delta, e)
				}
				dst[i] = y[i] + e
			}
		},
		// f*(v) = v²/2 + y v for |v| ≤ delta.
		Conj: func(v []float64) float64 {
			s := 0.0
			for i, u := range v {
				if !(math.Abs(u) <= delta) {
					return math.Inf(1)
				}
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
