package convex

import "math"

// Fn is a convex function of a vector, as a struct of functions: a capability
// is a field that is not nil, so a function written in a cell says by what it
// leaves out what cannot be done with it. All functions must be safe to call
// concurrently, must not keep their arguments, and dst may be the argument.
type Fn struct {
	Name   string
	Labels []float64 // the targets y of a data term, one an entry of the argument; nil if it has none

	Value    func(x []float64) float64         // f(x)
	Grad     func(dst, x []float64)            // gradient; nil when f is not differentiable everywhere
	Subgrad  func(dst, x []float64)            // some subgradient; nil when Grad serves
	Hess     func(dst, x []float64)            // diagonal of the Hessian, for an f that is a sum over entries
	Prox     func(dst, x []float64, t float64) // argmin_z f(z) + |z-x|²/(2t), t > 0
	Conj     func(v []float64) float64         // f*(v) = sup_x v'x - f(x); +Inf outside its domain
	ConjGrad func(dst, v []float64)            // gradient of f* inside its domain
	ConjHess func(dst, v []float64)            // diagonal of the Hessian of f* inside its domain

	// Lipschitz is a Lipschitz constant of Grad; 0 when unknown or there is none.
	Lipschitz float64

	// Kinks, when set, says that f is exactly that function of x - Labels.
	Kinks *Kinks
}

// Kinks is the structure of a function Σ_i φ_i(e_i) with one kink an entry:
// φ_i(e) is Above[i]·e for e ≥ 0 and Below[i]·|e| for e ≤ 0. When Rounded it is
// the infimal convolution of that with e²/2. An interior-point method needs it
// for losses that are not twice differentiable.
type Kinks struct {
	Above, Below []float64 // slopes, Above[i] + Below[i] ≥ 0
	Rounded      bool
}

// anyGrad is Grad, or Subgrad when there is no gradient; nil if neither.
func (f Fn) anyGrad() func(dst, x []float64) {
	if f.Grad != nil {
		return f.Grad
	}
	return f.Subgrad
}

// proxSlope sets dst to the derivative of Prox at x by a central difference, for
// an f that is a sum over entries.
func (f Fn) proxSlope(dst, x []float64, t float64) {
	hi, lo := make([]float64, len(x)), make([]float64, len(x))
	h := 1e-7 * (1 + norm2(x)/math.Sqrt(float64(len(x))))
	for i, v := range x {
		hi[i], lo[i] = v+h, v-h
	}
	f.Prox(hi, hi, t)
	f.Prox(lo, lo, t)
	for i := range dst {
		dst[i] = (hi[i] - lo[i]) / (2 * h)
	}
}

// intoDomain moves v, minus a slope of f that rounding may have taken out of the
// domain of Conj, back into it, where Kinks says what that is: the slopes.
func (f Fn) intoDomain(v []float64) {
	if f.Kinks == nil {
		return
	}
	for i, t := range v {
		v[i] = math.Max(-f.Kinks.Above[i], math.Min(f.Kinks.Below[i], t))
	}
}

// Loss makes the data term of a problem from its labels. The zero value means
// Squared. A loss of one's own is convex.Loss{Name: "mine", New: ...}.
type Loss struct {
	Name  string
	Delta float64 // parameter of the huber loss; 0 for losses without one
	// New returns Σ_i loss(f_i, y_i) as a function of f, for labels y; an
	// error says which labels are not in the domain.
	New func(y []float64) (Fn, error)
}

func (l Loss) orDefault() Loss {
	if l.New == nil && l.Name == "" {
		return Squared
	}
	return l
}

// Penalty is a convex, positively homogeneous or at least non-negative
// function of one block of variables with value 0 at 0; its weight (beta) is
// part of it. A capability is a field that is not nil.
//
// A block z comes with its shape: a rows×cols matrix, row-major.
type Penalty struct {
	Name string

	Value func(z []float64, rows, cols int) float64
	// Prox is argmin_w t·Value(w) + |w-z|²/2.
	Prox func(dst, z []float64, rows, cols int, t float64)
	// Polar is, for a norm, the dual norm divided by the weight: the smallest
	// t ≥ 0 with v'w ≤ t·Value(w) for all w. The dual constraint of a block
	// without cone is Polar(A_b'v) ≤ 1.
	Polar func(v []float64, rows, cols int) float64
	// Conj is the conjugate, for penalties that are not norms.
	Conj func(v []float64, rows, cols int) float64

	// GroupL2 > 0 says that Value is exactly GroupL2·|z|₂.
	GroupL2 float64

	// Norm names what Value is exactly a positive multiple of, for solvers that
	// need more than its functions: "l2" the Euclidean norm, "l1" the sum of
	// the entries' sizes, "columns" the sum of the norms of the columns,
	// "parts" the sum of the norms of the Parts, "nuclear" the sum of the
	// singular values, "squares" |z|₂², "moments" that of the penalty Moments,
	// which is finite on a cone only. "" says nothing.
	Norm string

	// Parts are the lengths, 1 or more, of the consecutive parts of every block
	// that Norm "parts" sums over.
	Parts []int
}
