package convex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/mat"
)

// rectified is the family of two-layer networks whose neuron j has several
// output weights,
//
//	f_p = Σ_j Σ_r (x_r'u_j)_+ w_jq  over the rows r with a tie (p, q),
//
// under weight decay beta/2 Σ_j (|u_j|² + |w_j|²), which is beta Σ_j |w_j| over
// unit u_j: networks with several outputs (row i adds to output q of sample i
// through weight q) and flattened convolutional ones (patch k of sample i adds
// to sample i through weight k). The dual constraint is
//
//	|Σ_r (x_r'u)_+ c_r|₂ ≤ beta for all unit u,  c_rq = v_p.
type rectified struct {
	X      *mat.Dense // R×h
	n, c   int        // samples, outputs
	width  int        // weights of a neuron
	ties   [][]tie    // of every row
	loss   Fn
	beta   float64
	bias   bool // a free number an output
	seed   uint64
	decode func(u, w [][]float64) *Network // unit u and their weights

	plane [][2]float64 // the rows in the plane, when they have rank 2 or less
	basis *mat.Dense
	fan   *fan

	once sync.Once
	all  *Patterns // for the bound; nil when there are too many
}

// tie says that a row adds to prediction p through weight q.
type tie struct{ p, q int }

// lower chooses among three programs. Where the rows are of rank 2 or less, the
// group lasso over the neurons of a search, which the angle search proves
// optimal over all neurons. Else, where all patterns can be listed, the
// relaxation without cones,
//
//	minimise Loss(Σ_i D_i X Z_i) + beta Σ_i ‖Z_i‖_*,
//
// whose optimum is a lower bound, with a network found by search. Else the group
// lasso over the neurons of a search, restricted to them.
func (f *rectified) lower(ctx context.Context, s *Settings) (*Program, error) {
	if rows, basis, ok := planeOf(f.X); ok {
		f.plane, f.basis, f.fan = rows, basis, newFan(rows)
		return f.columnProgram(ctx, s)
	}
	all, err := EnumeratePatterns(ctx, f.X, max(1, s.MaxPatterns/relaxationShare))
	switch {
	case err == nil:
		return f.relaxation(ctx, all.Distinct(), s)
	case !errors.Is(err, ErrTooManyPatterns) && ctx.Err() == nil:
		return nil, err
	}
	return f.columnProgram(ctx, s)
}

// relaxationShare is how many times fewer blocks of a nuclear norm, or cones of
// two levels, are taken than Settings.MaxPatterns says: each costs as much as
// that many plain ones.
const relaxationShare = 10

// columnProgram is the program over the neurons that a search finds, or over
// Settings.Samples random ones.
func (f *rectified) columnProgram(ctx context.Context, s *Settings) (*Program, error) {
	search := f.search(ctx, s)
	prog, u, err := search.lower(ctx, s, func() [][]float64 { return f.directions(s.Samples) })
	if err != nil {
		return nil, err
	}
	prog.Decode = func(x []float64) (*Network, error) {
		w := make([][]float64, len(u))
		for j, b := range prog.Blocks {
			w[j] = b.Of(x)
		}
		return f.decode(u, w), nil
	}
	return prog, nil
}

// relaxation is the program over all patterns without their cones.
func (f *rectified) relaxation(ctx context.Context, all *Patterns, s *Settings) (*Program, error) {
	prog := &Program{
		Samples: f.n, Outputs: f.c,
		Loss: f.loss, Op: f.op(all), Penalty: Nuclear(f.beta),
		Patterns: all, Scope: Global, Relaxation: true,
		Prefer: Pricing{}.Name(), // many patterns, few of them in use: first-order methods crawl at a small beta
	}
	_, h := f.X.Dims()
	for g := range all.Len() {
		prog.Blocks = append(prog.Blocks, Block{Offset: g * h * f.width, Rows: h, Cols: f.width, Weight: 1})
	}
	prog.round = func(ctx context.Context, x []float64) (*Network, error) {
		var start [][]float64
		for g, b := range prog.Blocks {
			z := b.Of(x)
			if norm2(z) == 0 {
				continue
			}
			U, sv, _, err := thinSVD(z, b.Rows, b.Cols)
			if err != nil {
				return nil, fmt.Errorf("convex: block %d: %w", g, err)
			}
			for q, v := range sv {
				if v > 1e-6*sv[0] {
					u := mat.Col(nil, q, U)
					start = append(start, u, negated(u))
				}
			}
		}
		found, err := f.search(ctx, s).grow(ctx, start, s.Tol/10, maxRounds)
		if err != nil {
			return nil, err
		}
		net := f.decode(found.u, found.w)
		net.Bias = found.bias
		return net, nil
	}
	prog.Decode = func(x []float64) (*Network, error) { return prog.round(context.Background(), x) }
	return prog, nil
}

func negated(u []float64) []float64 {
	w := append([]float64(nil), u...)
	scale(-1, w)
	return w
}

// op is the operator of the relaxation: block g is Z_g (h×width) of pattern g.
func (f *rectified) op(all *Patterns) Op {
	R, h := f.X.Dims()
	P, size := all.Len(), h*f.width
	return Op{
		Name: "rectified rows", Rows: f.n * f.c, Cols: P * size,
		Apply: func(dst, x []float64) {
			clear(dst[:f.n*f.c])
			var T mat.Dense
			for g := range P {
				z := x[g*size : (g+1)*size]
				if norm2(z) == 0 {
					continue
				}
				T.Reset()
				T.Mul(f.X, mat.NewDense(h, f.width, z))
				for r := range R {
					if all.Bit(g, r) {
						row := T.RawRowView(r)
						for _, e := range f.ties[r] {
							dst[e.p] += row[e.q]
						}
					}
				}
			}
		},
		Adjoint: func(dst, y []float64) {
			C := mat.NewDense(R, f.width, f.coefficients(y))
			var masked mat.Dense
			for g := range P {
				masked.CloneFrom(C)
				for r := range R {
					if !all.Bit(g, r) {
						clear(masked.RawRowView(r))
					}
				}
				mat.NewDense(h, f.width, dst[g*size:(g+1)*size]).Mul(f.X.T(), &masked)
			}
		},
	}
}

// coefficients are the rows c_r of v, R×width.
func (f *rectified) coefficients(v []float64) []float64 {
	R, _ := f.X.Dims()
	C := make([]float64, R*f.width)
	for r := range R {
		for _, e := range f.ties[r] {
			C[r*f.width+e.q] = v[e.p]
		}
	}
	return C
}

// column is Φ(u).
func (f *rectified) column(u []float64) []float64 {
	R, _ := f.X.Dims()
	F := make([]float64, f.n*f.c*f.width)
	for r := range R {
		if t := dot(f.X.RawRowView(r), u); t > 0 {
			for _, e := range f.ties[r] {
				F[e.p*f.width+e.q] += t
			}
		}
	}
	return F
}

// slope adds to g the gradient of v'Φ(u)w.
func (f *rectified) slope(u, w, v, g []float64) {
	R, _ := f.X.Dims()
	for r := range R {
		if row := f.X.RawRowView(r); dot(row, u) > 0 {
			t := 0.0
			for _, e := range f.ties[r] {
				t += w[e.q] * v[e.p]
			}
			axpy(t, row, g)
		}
	}
}

func (f *rectified) search(ctx context.Context, s *Settings) *columnSearch {
	rng := rand.New(rand.NewPCG(f.seed, 0x726563))
	_, h := f.X.Dims()
	c := &columnSearch{
		parts: []int{h}, slope: f.slope,
		loss: f.loss, beta: f.beta, samples: f.n, outputs: f.c, width: f.width, bias: f.bias,
		column: f.column, bound: f.bound, mon: NewMonitor(ctx, "neurons", s),
	}
	if f.fan != nil {
		c.price = func(_ context.Context, v []float64, _ [][]float64) [][]float64 {
			ps, _ := f.fan.peaks(f.coefficients(v), f.width)
			var u [][]float64
			for _, p := range localPeaks(ps) {
				u = append(u, inPlane(f.basis, p.angle))
			}
			if len(u) == 0 { // the data are zero
				u = append(u, inPlane(f.basis, 0))
			}
			return u
		}
		return c
	}
	c.price = func(ctx context.Context, v []float64, from [][]float64) [][]float64 {
		return f.climb(ctx, c, v, from, rng)
	}
	c.rough = true
	return c
}

// directions are count random unit vectors.
func (f *rectified) directions(count int) [][]float64 {
	_, h := f.X.Dims()
	rng := rand.New(rand.NewPCG(f.seed, 0x646972))
	us := make([][]float64, count)
	for i := range us {
		us[i] = normalVector(h, rng)
		normalise(us[i])
	}
	return us
}

func normalVector(h int, rng *rand.Rand) []float64 {
	u := make([]float64, h)
	for j := range u {
		u[j] = rng.NormFloat64()
	}
	return u
}

// climbStarts is the number of random starts of a round of local searches.
const climbStarts = 48

// climb looks for unit u of large |Σ_r (x_r'u)_+ c_r| from random ones, from
// rows of the data and from those in use: by gradient steps, then exactly within
// the cells of the arrangement and from cell to neighbouring cell, for the best
// w of each u in turn.
func (f *rectified) climb(ctx context.Context, c *columnSearch, v []float64, from [][]float64, rng *rand.Rand) [][]float64 {
	R, h := f.X.Dims()
	us := make([][]float64, 0, len(from)+climbStarts)
	for _, u := range from {
		us = append(us, append([]float64(nil), u...))
	}
	for j := range climbStarts {
		u := normalVector(h, rng)
		if j%4 == 3 { // a row's own direction, which finds narrow cells
			if row := f.X.RawRowView(rng.IntN(R)); norm2(row) > 0 {
				copy(u, row)
			}
		}
		normalise(u)
		us = append(us, u)
	}
	data, cone := newMaskedData(f.X), newConeData(f.X)
	parallel(len(us), 1, func(lo, hi int) {
		h := &rectifiedHill{f: f, v: v, z: make([]float64, R), theta: make([]float64, R), w: make([]float64, f.width)}
		projector := newConeProjector(cone)
		for _, u := range us[lo:hi] {
			if ctx.Err() != nil {
				return
			}
			best := c.uphill(ctx, u, h.value)
			bits := newBits(1, R)
			for range 20 {
				h.value(u, nil)
				data.patternsOf(bits, u)
				top := climber{bits: bits[0], sign: 1}
				top.climb(data, projector, h.theta, f.beta)
				if !(top.norm > best*(1+1e-12)) {
					break
				}
				copy(u, top.u)
				normalise(u)
				if best = h.value(u, nil); best == 0 {
					break
				}
			}
		}
	})
	return us
}

// rectifiedHill is |Σ_r (x_r'u)_+ c_r| as a function of u, with room to work in.
type rectifiedHill struct {
	f        *rectified
	v        []float64
	z, theta []float64
	w        []float64 // the unit vector along the sum
}

// value sets g, unless nil, to the gradient, and theta_r to w'c_r.
func (h *rectifiedHill) value(u, g []float64) float64 {
	X := h.f.X
	clear(h.w)
	for r := range h.z {
		if h.z[r] = dot(X.RawRowView(r), u); h.z[r] > 0 {
			for _, e := range h.f.ties[r] {
				h.w[e.q] += h.z[r] * h.v[e.p]
			}
		}
	}
	size := norm2(h.w)
	if size > 0 {
		scale(1/size, h.w)
	}
	clear(g)
	for r := range h.z {
		h.theta[r] = 0
		for _, e := range h.f.ties[r] {
			h.theta[r] += h.w[e.q] * h.v[e.p]
		}
		if g != nil && h.z[r] > 0 {
			axpy(h.theta[r], X.RawRowView(r), g)
		}
	}
	return size
}

// bound is an upper bound on the dual constraint: exact in the plane, else the
// better of the spectral bound and the largest singular value over all patterns
// without cones, where they can be listed.
func (f *rectified) bound(ctx context.Context, v []float64) float64 {
	C := f.coefficients(v)
	if f.fan != nil {
		_, M := f.fan.peaks(C, f.width)
		return M
	}
	M := f.spectral(C)
	if ctx.Err() != nil {
		return M
	}
	f.once.Do(func() {
		R, h := f.X.Dims()
		if CoverCount(R, min(R, h)) > maxCertified {
			return // general data of this shape have too many: do not try
		}
		if all, err := EnumeratePatterns(ctx, f.X, maxCertified); err == nil {
			f.all = all.Distinct()
		}
	})
	if f.all == nil {
		return M
	}
	top := 0.0
	R, _ := f.X.Dims()
	var A, masked mat.Dense
	for g := range f.all.Len() {
		if ctx.Err() != nil {
			return M
		}
		masked.CloneFrom(mat.NewDense(R, f.width, C))
		for r := range R {
			if !f.all.Bit(g, r) {
				clear(masked.RawRowView(r))
			}
		}
		A.Reset()
		A.Mul(f.X.T(), &masked)
		top = math.Max(top, largestSingular(&A))
	}
	return math.Min(M, top*(1+1e-12))
}

// spectral bounds the dual constraint without patterns: with (t)_+ = (t+|t|)/2,
//
//	|Σ_r (x_r'u)_+ c_r| ≤ ½ |Σ_r c_r x_r'u| + ½ Σ_r |c_r| |x_r'u|
//	                    ≤ ½ σ_max(Σ_r c_r x_r') + ½ √(Σ|c_r| · λ_max(Σ|c_r| x_r x_r')),
//
// or, if that is less, by its bound for each of the weights alone.
func (f *rectified) spectral(C []float64) float64 {
	R, h := f.X.Dims()
	W := mat.NewDense(R, h, nil)
	sum := 0.0
	for r := range R {
		if t := norm2(C[r*f.width : (r+1)*f.width]); t > 0 {
			sum += t
			copy(W.RawRowView(r), f.X.RawRowView(r))
			scale(math.Sqrt(t), W.RawRowView(r))
		}
	}
	var A mat.Dense
	A.Mul(f.X.T(), mat.NewDense(R, f.width, C))
	joint := (largestSingular(&A) + math.Sqrt(sum)*largestSingular(W)) / 2
	alone := 0.0
	one := &reluBound{X: f.X}
	for q := range f.width {
		m := one.spectral(mat.Col(nil, q, mat.NewDense(R, f.width, C)))
		alone += m * m
	}
	return math.Min(joint, math.Sqrt(alone)) * (1 + 1e-12)
}
