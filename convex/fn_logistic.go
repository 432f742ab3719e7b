package convex

import "math"

// Logistic is the loss Σ log(1+exp(-y f)), for labels -1 and +1.
var Logistic = Loss{Name: "logistic", New: newLogistic}

func newLogistic(y []float64) (Fn, error) {
	if err := signLabels("logistic", y); err != nil {
		return Fn{}, err
	}
	return Fn{
		Name:   "logistic",
		Labels: y,
		Value: func(x []float64) float64 {
			s := 0.0
			for i, v := range x {
				s += log1pexp(-y[i] * v)
			}
			return s
		},
		Grad: func(dst, x []float64) {
			for i, v := range x {
				dst[i] = -y[i] * sigmoid(-y[i]*v)
			}
		},
		Hess: func(dst, x []float64) {
			for i, v := range x {
				dst[i] = sigmoid(v) * sigmoid(-v)
			}
		},
		Prox: func(dst, x []float64, t float64) {
			for i, v := range x {
				dst[i] = y[i] * proxLogistic(y[i]*v, t)
			}
		},
		// With p = -y v in [0,1], f*(v) = p log p + (1-p) log(1-p).
		Conj: func(v []float64) float64 {
			s := 0.0
			for i, u := range v {
				p := -y[i] * u
				if !(p >= 0 && p <= 1) {
					return math.Inf(1)
				}
				if p > 0 {
					s += p * math.Log(p)
				}
				if p < 1 {
					s += (1 - p) * math.Log1p(-p)
				}
			}
			return s
		},
		ConjGrad: func(dst, v []float64) {
			for i, u := range v {
				p := -y[i] * u
				dst[i] = -y[i] * (math.Log(p) - math.Log1p(-p))
			}
		},
		ConjHess: func(dst, v []float64) {
			for i, u := range v {
				p := -y[i] * u
				dst[i] = 1 / (p * (1 - p))
			}
		},
		Lipschitz: 0.25,
	}, nil
}

// log1pexp is log(1+exp(t)) without overflow.
func log1pexp(t float64) float64 {
	if t > 0 {
		return t + math.Log1p(math.Exp(-t))
	}
	return math.Log1p(math.Exp(t))
}

// sigmoid is 1/(1+exp(-t)) without overflow and without loss in either tail.
func sigmoid(t float64) float64 {
	if t >= 0 {
		return 1 / (1 + math.Exp(-t))
	}
	e := math.Exp(t)
	return e / (1 + e)
}

// proxLogistic solves z - x = t·sigmoid(-z), the prox of log(1+exp(-z)). The
// left side minus the right is increasing with slope in [1, 1+t/4], so Newton
// steps kept inside a shrinking bracket converge.
func proxLogistic(x, t float64) float64 {
	lo, hi := x, x+t
	z := x + t*sigmoid(-x)/2
	for range 100 {
		s := sigmoid(-z)
		r := z - x - t*s
		if r > 0 {
			hi = z
		} else {
			lo = z
		}
		next := z - r/(1+t*s*(1-s))
		if !(next > lo && next < hi) {
			next = lo + (hi-lo)/2
		}
		if math.Abs(next-z) <= 1e-16*math.Abs(z) || hi-lo <= 0 {
			return next
		}
		z = next
	}
	return z
}
