package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"
)

// A neuron of a three-layer network is theta = (filters, w): one unit filter, or
// one for every patch, and a unit vector w of K middle weights. The program over
// such neurons has one output weight a of each and penalty beta |a|.

// neuronSearch searches for neurons; filters is 1 when they are tied, else K.
func (m *twoLevel) neuronSearch(ctx context.Context, tied bool, loss Fn, p *Problem, s *Settings) *columnSearch {
	c := &columnSearch{
		loss: loss, beta: p.Beta, samples: m.n, outputs: 1, width: 1, bias: p.OutputBias,
		column: m.neuronColumn, slope: func(u, w, v, g []float64) { m.neuronSlope(v, u, w[0], g) }, mon: NewMonitor(ctx, "neurons", s),
	}
	filters := m.K
	if tied {
		filters = 1
	}
	for range filters {
		c.parts = append(c.parts, m.h)
	}
	c.parts = append(c.parts, m.K)
	if t := m.plane(); tied && t != nil {
		c.price = func(_ context.Context, v []float64, _ [][]float64) [][]float64 { return t.price(v) }
		c.bound = func(ctx context.Context, v []float64) float64 { return t.bound(ctx, v, p.Beta, s.Tol/20) }
		return c
	}
	rng := rand.New(rand.NewPCG(p.Seed, 0x74687265))
	c.rough = true
	c.price = func(ctx context.Context, v []float64, from [][]float64) [][]float64 {
		return m.climb(ctx, c, v, from, tied, rng)
	}
	c.bound = func(ctx context.Context, v []float64) float64 { return m.spectral(ctx, v, tied) }
	return c
}

// columnProgram is the program over the neurons of a search.
func (m *twoLevel) columnProgram(ctx context.Context, search *columnSearch, s *Settings, sample func() [][]float64) (*Program, error) {
	prog, theta, err := search.lower(ctx, s, sample)
	if err != nil {
		return nil, err
	}
	prog.Decode = func(x []float64) (*Network, error) { return m.fromNeurons(theta, x), nil }
	return prog, nil
}

// fromNeurons is the network of neurons theta with output weights a.
func (m *twoLevel) fromNeurons(theta [][]float64, a []float64) *Network {
	var filters, middle [][]float64
	var used []float64
	for j, v := range a {
		if v != 0 {
			at := len(theta[j]) - m.K
			filters, middle, used = append(filters, theta[j][:at]), append(middle, theta[j][at:]), append(used, v)
		}
	}
	return m.network(filters, middle, used)
}

// neuronColumn is (Σ_k (X_k u_k)_+ w_k)_+.
func (m *twoLevel) neuronColumn(theta []float64) []float64 {
	at := len(theta) - m.K
	f := middleUnits(m.X, theta[:at], theta[at:])
	for i, t := range f {
		f[i] = math.Max(t, 0)
	}
	return f
}

// unitNeuron brings theta back to unit filters and unit middle weights.
func (m *twoLevel) unitNeuron(theta []float64) {
	at := len(theta) - m.K
	for q := 0; q < at; q += m.h {
		normalise(theta[q : q+m.h])
	}
	normalise(theta[at:])
}

// neuronValue is |v'(Σ_k (X_k u_k)_+ w_k)_+|; g, unless nil, is set to its
// gradient.
func (m *twoLevel) neuronValue(v, theta, g []float64) float64 {
	f := m.neuronColumn(theta)
	value := dot(v, f)
	if g == nil {
		return math.Abs(value)
	}
	clear(g)
	m.neuronSlope(v, theta, math.Copysign(1, value), g)
	return math.Abs(value)
}

// neuronSlope adds to g a times the gradient of v'(Σ_k (X_k u_k)_+ w_k)_+.
func (m *twoLevel) neuronSlope(v, theta []float64, a float64, g []float64) {
	f := m.neuronColumn(theta)
	at := len(theta) - m.K
	for k, X := range m.X {
		q := k * m.h
		if at == m.h {
			q = 0
		}
		rows, w := X.(*mat.Dense), theta[at+k]
		for i, t := range f {
			if t <= 0 {
				continue
			}
			row := rows.RawRowView(i)
			if z := dot(row, theta[q:q+m.h]); z > 0 {
				d := a * v[i]
				g[at+k] += d * z
				axpy(d*w, row, g[q:q+m.h])
			}
		}
	}
}

// randomNeuron is one of normal weights.
func (m *twoLevel) randomNeuron(tied bool, rng *rand.Rand) []float64 {
	size := m.h
	if !tied {
		size *= m.K
	}
	theta := normalVector(size+m.K, rng)
	m.unitNeuron(theta)
	return theta
}

// simplexDimension is the number of weights up to which the downhill simplex
// method refines what gradient steps found: maxima sit on kinks as a rule, where
// gradients lead nowhere.
const simplexDimension = 10

// climb looks for neurons with a large |v'g|, from random ones and those in use.
func (m *twoLevel) climb(ctx context.Context, c *columnSearch, v []float64, from [][]float64, tied bool, rng *rand.Rand) [][]float64 {
	var all [][]float64
	for _, theta := range from {
		all = append(all, append([]float64(nil), theta...))
	}
	for range climbStarts {
		all = append(all, m.randomNeuron(tied, rng))
	}
	parallel(len(all), 1, func(lo, hi int) {
		for _, theta := range all[lo:hi] {
			if ctx.Err() != nil {
				return
			}
			c.uphill(ctx, theta, func(x, g []float64) float64 { return m.neuronValue(v, x, g) })
		}
	})
	value := func(theta []float64) float64 { return m.neuronValue(v, theta, nil) }
	sortByDescending(all, value)
	if len(all[0]) > simplexDimension {
		return all
	}
	parallel(min(len(all), 16), 1, func(lo, hi int) {
		for _, x := range all[lo:hi] {
			m.simplex(ctx, x, v)
		}
	})
	return all
}

// simplex improves a neuron, in place, by the downhill simplex method.
func (m *twoLevel) simplex(ctx context.Context, x, v []float64) {
	unit := func(x []float64) []float64 {
		y := append([]float64(nil), x...)
		m.unitNeuron(y)
		return y
	}
	value := func(x []float64) float64 { return m.neuronValue(v, unit(x), nil) }
	for _, size := range []float64{1e-1, 1e-3, 1e-5} {
		if ctx.Err() != nil {
			return
		}
		r, err := optimize.Minimize(optimize.Problem{Func: func(x []float64) float64 { return -value(x) }}, x,
			&optimize.Settings{FuncEvaluations: 150 * len(x), Converger: &optimize.FunctionConverge{Absolute: 1e-15, Iterations: 20 * len(x)}},
			&optimize.NelderMead{SimplexSize: size})
		if r != nil && (err == nil || len(r.X) == len(x)) && value(r.X) >= value(x) {
			copy(x, unit(r.X))
		}
	}
}

// spectral bounds max |v'g| over all neurons. With a = (sv)_+ for either sign s
// and X_i the K×h patches of sample i, s v'g ≤ Σ_i a_i |Σ_k w_k (x_ki'u_k)_+|, and
// the sum over k is no more than |X_i|_F, and no more than Σ_k |w_k x_ki'u_k|:
//
//	M ≤ Σ_i a_i |X_i|_F,
//	M ≤ √(K Σ_i a_i · max_k λ_max(Σ_i a_i x_ki x_ki')),
//	M ≤ √(Σ_i a_i · λ_max(Σ_i a_i X_i'X_i)) ≤ that, when filters are tied.
//
// When ctx has ended it is the first of these, which takes one pass.
func (m *twoLevel) spectral(ctx context.Context, v []float64, tied bool) float64 {
	worst := 0.0
	for _, s := range []float64{1, -1} {
		sum, M := 0.0, 0.0
		for i, t := range v {
			if t *= s; t > 0 {
				size := 0.0
				for _, X := range m.X {
					size = math.Hypot(size, norm2(X.(*mat.Dense).RawRowView(i)))
				}
				sum += t
				M += t * size
			}
		}
		if M > worst && ctx.Err() == nil {
			top, W := 0.0, mat.NewDense(m.n*m.K, m.h, nil)
			for k, X := range m.X {
				part := W.Slice(k*m.n, (k+1)*m.n, 0, m.h).(*mat.Dense)
				for i, t := range v {
					if t *= s; t > 0 {
						mat.Row(part.RawRowView(i), i, X)
						scale(math.Sqrt(t), part.RawRowView(i))
					}
				}
				if !tied {
					top = math.Max(top, math.Sqrt(float64(m.K))*largestSingular(part))
				}
			}
			if tied {
				top = largestSingular(W)
			}
			M = math.Min(M, math.Sqrt(sum)*top)
		}
		worst = math.Max(worst, M)
	}
	return worst * (1 + 1e-12)
}

// tiedPlane is the angle search within the angle search for tied filters over
// two patches of rank 2 or less. For a filter u at an angle the best middle
// weights w are a maximum of |Σ_i v_i (w'h_i)_+| over the circle, exact by the arcs
// of the points h_i = ((x_1i'u)_+, (x_2i'u)_+) = B_i u. Between the angles where a
// patch turns on or off, or two of the points are parallel, the matrices B_i and
// the order of the arcs of w stay the same, and on each arc the function is
// bilinear, w'A u.
type tiedPlane struct {
	n         int
	basis     *mat.Dense
	rows      [][2]float64 // row k·n+i
	intervals [][2]float64 // of angles between which nothing changes
}

// maxTied is the number of samples up to which pairs of them are gone through.
const maxTied = 200

// plane is the search when it applies, else nil.
func (m *twoLevel) plane() *tiedPlane {
	if m.K != 2 || m.n > maxTied {
		return nil
	}
	rows, basis, ok := planeOf(stackRows(m.X))
	if !ok {
		return nil
	}
	t := &tiedPlane{n: m.n, basis: basis, rows: rows}
	on := make([]bool, len(rows))
	newFan(rows).arcs(func(r int, now bool) { on[r] = now }, func(a arc) {
		at := []float64{a.from, a.to}
		B := make([][4]float64, t.n)
		for i := range B {
			B[i] = t.matrix(i, on)
		}
		for i, b := range B {
			for _, c := range B[:i] {
				// b u and c u are parallel where the form p cos² + 2q cos sin +
				// r sin² of their determinant is zero.
				p := b[0]*c[2] - b[2]*c[0]
				q := (b[0]*c[3] + b[1]*c[2] - b[2]*c[1] - b[3]*c[0]) / 2
				r := b[1]*c[3] - b[3]*c[1]
				mean, swing := (p+r)/2, math.Hypot((p-r)/2, q)
				if swing == 0 || math.Abs(mean) > swing {
					continue
				}
				shift, half := math.Atan2(q, (p-r)/2)/2, math.Acos(-mean/swing)/2
				for _, x := range []float64{shift + half, shift - half} {
					if x += math.Pi * math.Ceil((a.from-x)/math.Pi); x < a.to {
						at = append(at, x)
					}
				}
			}
		}
		slices.Sort(at)
		for i := range at[1:] {
			if at[i+1] > at[i] {
				t.intervals = append(t.intervals, [2]float64{at[i], at[i+1]})
			}
		}
	})
	return t
}

// matrix is B_i, row-major, for the rows that are on.
func (t *tiedPlane) matrix(i int, on []bool) (B [4]float64) {
	for k := range 2 {
		if r := k*t.n + i; on[r] {
			B[2*k], B[2*k+1] = t.rows[r][0], t.rows[r][1]
		}
	}
	return B
}

// inner is the maximum over w for a filter at an angle, with the angle of w, and
// an upper bound on it that allows for rounding.
func (t *tiedPlane) inner(angle float64, v []float64) (best peak, bound float64) {
	s, c := math.Sincos(angle)
	h := make([][2]float64, t.n)
	for r, x := range t.rows {
		h[r%t.n][r/t.n] = math.Max(0, c*x[0]+s*x[1])
	}
	ps, bound := newFan(h).peaks(v, 1)
	for _, p := range ps {
		if p.value > best.value {
			best = p
		}
	}
	return best, bound
}

// price returns the neurons at the local maxima over the angles of u.
func (t *tiedPlane) price(v []float64) [][]float64 {
	value := func(angle float64) float64 { p, _ := t.inner(angle, v); return p.value }
	var at []float64
	for _, iv := range t.intervals {
		k := max(2, int(math.Ceil(180*(iv[1]-iv[0])/math.Pi)))
		for i := range k {
			at = append(at, iv[0]+(iv[1]-iv[0])*float64(i)/float64(k))
		}
	}
	if len(at) == 0 {
		at = []float64{0}
	}
	f := make([]float64, len(at))
	for i, a := range at {
		f[i] = value(a)
	}
	k := len(at)
	var out [][]float64
	for i, a := range at {
		before, after := at[(i+k-1)%k], at[(i+1)%k]
		if f[i] < f[(i+1)%k] || f[i] < f[(i+k-1)%k] {
			continue
		}
		if i == 0 {
			before -= 2 * math.Pi
		}
		if i == k-1 {
			after += 2 * math.Pi
		}
		best, top := a, f[i]
		for _, side := range [][2]float64{{before, a}, {a, after}} {
			if x, y := goldenMax(value, side[0], side[1]); y > top {
				best, top = x, y
			}
		}
		p, _ := t.inner(best, v)
		s, c := math.Sincos(p.angle)
		out = append(out, append(inPlane(t.basis, best), c, s))
	}
	return out
}

// goldenMax is a local maximum of f on an interval by golden section.
func goldenMax(f func(float64) float64, a, b float64) (x, y float64) {
	const golden = 0.6180339887498949
	x1, x2 := b-golden*(b-a), a+golden*(b-a)
	f1, f2 := f(x1), f(x2)
	for range 50 {
		if f1 < f2 {
			a, x1, f1 = x1, x2, f2
			x2 = a + golden*(b-a)
			f2 = f(x2)
		} else {
			b, x2, f2 = x2, x1, f1
			x1 = b - golden*(b-a)
			f1 = f(x1)
		}
	}
	if f1 > f2 {
		return x1, f1
	}
	return x2, f2
}

// maxSplits bounds the work of one bound.
const maxSplits = 200_000

// bound is an upper bound on the maximum over all neurons, within tol of it, or
// of beta if that is larger, as long as there is time. On an interval of angles
// of u and an arc of w, the maximum over w of w'A u is that of |A u + μ s B_e u|
// for the right μ ≥ 0 and one end e of the arc, where s w'B_e u ≥ 0 on the arc
// (the projection on the arc), and no less for any other μ. The one that is right
// in the middle of the interval is off by the square of its length, so halving
// converges fast.
func (t *tiedPlane) bound(ctx context.Context, v []float64, beta, tol float64) float64 {
	best, worst, size := beta, 0.0, 0.0
	for i, x := range v {
		size += math.Abs(x) * (math.Hypot(t.rows[i][0], t.rows[i][1]) + math.Hypot(t.rows[t.n+i][0], t.rows[t.n+i][1]))
	}
	for _, iv := range t.intervals {
		_, M := t.inner((iv[0]+iv[1])/2, v)
		best = math.Max(best, M)
	}
	splits := 0
	var refine func(from, to float64, A [4]float64, ends [2][4]float64)
	refine = func(from, to float64, A [4]float64, ends [2][4]float64) {
		if ctx.Err() != nil {
			splits = maxSplits
		}
		M := boundOnArc(from, to, A, ends)
		if M <= best*(1+tol) || splits >= maxSplits || to-from < 1e-12 {
			worst = math.Max(worst, M)
			return
		}
		splits++
		mid := (from + to) / 2
		_, inner := t.inner(mid, v)
		best = math.Max(best, inner)
		refine(from, mid, A, ends)
		refine(mid, to, A, ends)
	}
	h := make([][2]float64, t.n)
	outer := make([]bool, len(t.rows))
	B := make([][4]float64, t.n)
	for _, iv := range t.intervals {
		s, c := math.Sincos((iv[0] + iv[1]) / 2)
		clear(h)
		for r, x := range t.rows {
			z := c*x[0] + s*x[1]
			outer[r] = z > 0
			h[r%t.n][r/t.n] = math.Max(0, z)
		}
		for i := range B {
			B[i] = t.matrix(i, outer)
		}
		on := make([]bool, t.n)
		newFan(h).arcs(func(i int, now bool) { on[i] = now }, func(a arc) {
			var A [4]float64
			for i, b := range B {
				if on[i] {
					axpy(v[i], b[:], A[:])
				}
			}
			ends := [2][4]float64{B[a.first], B[a.last]}
			for e, i := range []int{a.first, a.last} {
				if !on[i] {
					scale(-1, ends[e][:])
				}
			}
			for _, sign := range []float64{1, -1} { // of v
				signed := A
				scale(sign, signed[:])
				refine(iv[0], iv[1], signed, ends)
			}
		})
	}
	return math.Max(best, worst) + 1e-14*size
}

// boundOnArc bounds w'A u for u at the angles from … to and w with w'B u ≥ 0 for
// both matrices B of ends.
func boundOnArc(from, to float64, A [4]float64, ends [2][4]float64) float64 {
	s, c := math.Sincos((from + to) / 2)
	largest := func(A [4]float64) float64 {
		return formMax([]float64{A[0], A[2]}, []float64{A[1], A[3]}, from, to).value
	}
	bound := largest(A)
	x, y := A[0]*c+A[1]*s, A[2]*c+A[3]*s
	for e, B := range ends {
		p, q := B[0]*c+B[1]*s, B[2]*c+B[3]*s
		if math.Abs(B[0]*B[3]-B[1]*B[2]) <= 1e-14*dot(B[:], B[:]) {
			// B u has one direction, so that w'B u ≥ 0 is w'B u_mid ≥ 0 even
			// where B u vanishes.
			B = [4]float64{p * c, p * s, q * c, q * s}
			ends[e] = B
		}
		if mu := -(x*p + y*q) / (p*p + q*q); mu > 0 {
			with := A
			axpy(mu, B[:], with[:])
			bound = math.Min(bound, largest(with))
		}
	}
	// Where all of the arc is on the wrong side both ends are needed, and zero
	// can be reached: A u + μ_1 B_1 u + μ_2 B_2 u = 0.
	p, q, r, t := ends[0][0]*c+ends[0][1]*s, ends[0][2]*c+ends[0][3]*s, ends[1][0]*c+ends[1][1]*s, ends[1][2]*c+ends[1][3]*s
	if det := p*t - q*r; det != 0 {
		m1, m2 := (-x*t+y*r)/det, (-p*y+q*x)/det
		if m1 > 0 && m2 > 0 {
			both := A
			axpy(m1, ends[0][:], both[:])
			axpy(m2, ends[1][:], both[:])
			bound = math.Min(bound, largest(both))
		}
	}
	return bound
}
