package convex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/cmplx"
	"sort"
	"strings"

	"gonum.org/v1/gonum/dsp/fourier"
	"gonum.org/v1/gonum/mat"
)

// CircularReLUCNN is the network of L layers, of which L-2 are circular
// convolutions and one is a ReLU layer,
//
//	f = Σ_j (X U_1j … U_(L-2)j w_1j)_+ w_2j,   weight decay beta/2 Σ_j (|w_1j|² + w_2j²),
//
// U_lj the d×d circulant matrices of normalised full-length filters u_lj. With
// F the unitary DFT and D_i the patterns of X itself its program is
//
//	minimise Loss(Σ_i D_i X F (c_i - c_i')) + κ beta Σ_i (|c_i|_1 + |c_i'|_1)
//	subject to (2D_i - I) X F c_i ≥ 0, (2D_i - I) X F c_i' ≥ 0
//
// over conjugate-symmetric c_i, c_i' ∈ C^d (Ergen & Pilanci 2021, §3; the
// constants were derived and checked here). It is exact with all patterns for
//
//	L = 3, |u_1j|₂ ≤ 1 (FilterNorm "l2"):                    κ = 1/√d
//	L ≥ 3, ‖U_1j … U_(L-2)j‖_F ≤ 1 ("product_frobenius"):    κ = 1
//
// For L ≥ 4 with a norm on each filter the unit ball of the problem is that of
// an l_{2/(L-1)} quasi-norm, so that no l1 program is exact, and Lower says so.
//
// The variables are the real and imaginary parts of c_i: c_0 (and c_{d/2} for
// even d), then twice those of each pair (k, d-k), so that all weigh the same.
//
// Where there are too many patterns to list and nd is above 5000, such as for
// images, the program is that over the neurons of a search instead, each with its
// weight as the variable: its scope is restricted to these neurons, and
// GlobalLower bounds all networks.
//
// Networks keep row j of Hidden for w_1j, Output for w_2j and Extra "filters"
// (m×d) for the filter u_1j = … = u_(L-2)j.
type CircularReLUCNN struct {
	Layers     int    // L ≥ 3; 0 means 3
	FilterNorm string // "l2" or "product_frobenius"; "" means l2 for three layers, else product_frobenius
}

func init() { RegisterArch(CircularReLUCNN{}) }

// Name is "circular_relu_cnn".
func (CircularReLUCNN) Name() string { return "circular_relu_cnn" }

func (a CircularReLUCNN) layers() int {
	if a.Layers == 0 {
		return 3
	}
	return a.Layers
}

func (a CircularReLUCNN) filterNorm() string {
	switch {
	case a.FilterNorm != "":
		return a.FilterNorm
	case a.layers() == 3:
		return "l2"
	}
	return "product_frobenius"
}

func (a CircularReLUCNN) check() error {
	norm := a.filterNorm()
	switch {
	case a.layers() < 3:
		return fmt.Errorf("convex: CircularReLUCNN.Layers is %d: want 3 or more (two layers are ReLU)", a.Layers)
	case a.layers() > maxLayers:
		return fmt.Errorf("convex: CircularReLUCNN.Layers is %d: want at most %d, since all of them are multiplied out", a.Layers, maxLayers)
	case norm != "l2" && norm != "product_frobenius":
		return fmt.Errorf("convex: CircularReLUCNN.FilterNorm is %q: want l2 or product_frobenius", a.FilterNorm)
	case norm == "l2" && a.layers() > 3:
		return fmt.Errorf("convex: CircularReLUCNN.FilterNorm is l2 with %d layers: with a norm on each filter no l1 program is exact for 4 or more layers (the weights' unit ball is not convex: β/d·|c|₁ is only a lower bound and β/√d·|c|₁ no bound at all); take 3 layers, or product_frobenius, which is exact for any number", a.layers())
	}
	return nil
}

// Lower builds the program above over the patterns of p.
func (a CircularReLUCNN) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	t, err := p.checkOneOutput(a.Name())
	if err != nil {
		return nil, err
	}
	spectrum, basis := spectralBasis(t.d)
	parts := make([]int, len(spectrum))
	for i, b := range spectrum {
		parts[i] = b.Len()
		for j := b.Offset; j < b.Offset+b.Len(); j++ {
			for r := range t.d {
				basis.Set(r, j, basis.At(r, j)/b.Weight)
			}
		}
	}
	kappa := 1.0
	if a.filterNorm() == "l2" {
		kappa = 1 / math.Sqrt(float64(t.d))
	}
	XF := new(mat.Dense)
	XF.Mul(t.X, basis)
	m := &MaskedData{X: XF, Signed: true}
	pen := PartsL2(kappa*p.Beta, parts)
	large := t.n*t.d > circularSearch
	var neurons [][]float64 // found in place of patterns
	var search func() (*Patterns, error)
	if t.loss.anyGrad() != nil {
		search = func() (pat *Patterns, err error) {
			if !large {
				return p.searchPatterns(ctx, m, t.loss, pen, s)
			}
			pat, neurons, err = p.searchNeurons(ctx, m, t.loss, pen, s)
			return pat, err
		}
	}
	if m.Patterns, err = p.patternsFor(ctx, t.X, s, search); err != nil {
		return nil, err
	}
	var prog *Program
	if neurons != nil {
		prog = neuronColumns(m, t.loss, kappa*p.Beta).plain(neurons)
		prog.Name = ""
	} else {
		prog = &Program{
			Samples: t.n, Outputs: 1,
			Loss: t.loss, Op: m.Op(), Blocks: m.Blocks(),
			Penalty: pen, Cones: m.Cones(),
			Patterns: m.Patterns,
		}
	}
	if m.Patterns.Complete {
		prog.Scope = Global
	} else {
		beta := kappa * p.Beta
		prog.AllPatterns = func(ctx context.Context, v []float64) float64 { return spectralBound(ctx, XF, parts, v) / beta }
	}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(a, t.d, 1)
		var hidden, output, filters []float64
		for g, b := range prog.Blocks {
			z, sign := append([]float64(nil), b.Of(x)...), m.Sign(g)
			if neurons != nil {
				w := z[0]
				z, sign = append([]float64(nil), neurons[g]...), math.Copysign(1, w)
				scale(math.Abs(w), z)
			}
			for _, sb := range spectrum {
				scale(1/sb.Weight, sb.Of(z))
			}
			u, w1, w2, ok := a.factors(spectrumOf(spectrum, z, t.d), t.d)
			if !ok {
				continue
			}
			filters, hidden = append(filters, u...), append(hidden, w1...)
			output = append(output, sign*w2)
			if neurons == nil {
				net.gate = append(net.gate, m.Pattern(g))
			}
		}
		if k := len(output); k > 0 {
			net.Hidden, net.Output = mat.NewDense(k, t.d, hidden), mat.NewDense(k, 1, output)
			net.Extra = map[string]*mat.Dense{"filters": mat.NewDense(k, t.d, filters)}
		}
		return net, nil
	}
	return prog, nil
}

// circularSearch is the number of samples times variables up to which the program
// is over patterns: beyond, a cone of one pattern alone takes seconds.
const circularSearch = 5000

// searchNeurons finds patterns of the neurons of m that matter under a penalty by
// parts, and such neurons, of penalty 1 each. With an output bias it alternates
// with the optimal bias over what it found.
func (p *Problem) searchNeurons(ctx context.Context, m *MaskedData, loss Fn, pen Penalty, s *Settings) (*Patterns, [][]float64, error) {
	neurons := [][]float64{}
	b := []float64{0}
	for round := 0; ; round++ {
		pat, err := generatePatterns(ctx, m, shifted(loss, b), pen, p.Seed, s)
		if err != nil {
			return nil, nil, err
		}
		for _, nr := range pat.net {
			c := append([]float64(nil), nr.v...)
			scale(1/normOfParts(c, pen.Parts), c)
			neurons = append(neurons, c)
		}
		if !p.OutputBias || round == 3 || ctx.Err() != nil {
			return pat, neurons, nil
		}
		_, d := m.X.Dims()
		prog := neuronColumns(m, loss, unitPenalty(pen, Block{Rows: d, Cols: 1, Weight: 1})).plain(neurons).withOutputBias()
		sol, err := SolveProgram(ctx, prog, &Settings{Tol: 1e-5, Progress: func(Progress) {}})
		if err != nil {
			return nil, nil, err
		}
		next := sol.Certificate.X[len(sol.Certificate.X)-1]
		if math.Abs(next-b[0]) <= 1e-3*math.Max(math.Abs(next), norm2(loss.Labels)/math.Sqrt(float64(prog.Op.Rows))) {
			return pat, neurons, nil
		}
		b = []float64{next}
	}
}

// neuronColumns is the group lasso over neurons c of penalty 1, (X c)_+ each.
func neuronColumns(m *MaskedData, loss Fn, beta float64) *columnSearch {
	n, _ := m.X.Dims()
	return &columnSearch{
		loss: loss, beta: beta, samples: n, outputs: 1, width: 1,
		column: func(c []float64) []float64 {
			f := make([]float64, n)
			for i := range f {
				f[i] = math.Max(0, dot(m.X.RawRowView(i), c))
			}
			return f
		},
	}
}

// spectralBound is an upper bound on max { |v'(A c)_+| : Σ_p |c_p| ≤ 1 }, c_p the
// parts of c, of one or two numbers. With w = (sv)_+, u = (-sv)_+ and any λ_i in
// [0, 1], by (t)_+ ≥ λ t,
//
//	s v'(A c)_+ ≤ Σ_i w_i (a_i'c)_+ - λ_i u_i a_i'c,
//
// which is convex in c and so largest at a vertex of the ball, a c of one part.
// In a part of two numbers there are as many pieces as samples, walked through
// by angle. λ starts at ½ and follows a few subgradients of the maximum.
func spectralBound(ctx context.Context, A *mat.Dense, parts []int, v []float64) float64 {
	const steps = 100
	n, d := A.Dims()
	M := 0.0
	for _, s := range []float64{1, -1} {
		lambda := make([]float64, n)
		for i := range lambda {
			lambda[i] = 0.5
		}
		best := math.Inf(1)
		for it := range steps {
			// The slope of a linear part, w/2 - λu, and weights w/2 of |a_i'c|.
			slope, w := make([]float64, n), make([]float64, n)
			for i, t := range v {
				if t *= s; t > 0 {
					slope[i], w[i] = t/2, t/2
				} else {
					slope[i] = lambda[i] * t
				}
			}
			top, at := 0.0, 0
			var direction []float64
			for j := 0; j < d; {
				size := parts[at]
				if value, c := vertexMax(A.Slice(0, n, j, j+size).(*mat.Dense), slope, w); value > top {
					top, direction = value, make([]float64, d)
					copy(direction[j:], c)
				}
				j, at = j+size, at+1
			}
			best = math.Min(best, top)
			if direction == nil || ctx.Err() != nil {
				break
			}
			// Down the subgradient -u_i a_i'c, by steps that shrink.
			g, size := make([]float64, n), 0.0
			for i, t := range v {
				if t *= s; t < 0 {
					g[i] = t * dot(A.RawRowView(i), direction)
					size += g[i] * g[i]
				}
			}
			if size == 0 {
				break
			}
			for i := range lambda {
				lambda[i] = min(1, max(0, lambda[i]-0.1*top/size/math.Sqrt(float64(1+it))*g[i]))
			}
		}
		M = math.Max(M, best)
	}
	return M * (1 + 1e-9)
}

// vertexMax is the maximum of Σ_i slope_i a_i'c + w_i |a_i'c| over unit c, for
// rows a_i of one or two numbers, and a maximiser.
func vertexMax(A *mat.Dense, slope, w []float64) (float64, []float64) {
	n, k := A.Dims()
	row := func(i int) (x, y float64) {
		if x = A.At(i, 0); k == 2 {
			y = A.At(i, 1)
		}
		return x, y
	}
	var qx, qy, zx, zy float64 // the linear part, and Σ ±w_i a_i on the first piece
	angle, order := make([]float64, n), make([]int, 0, n)
	for i := range n {
		x, y := row(i)
		qx, qy = qx+slope[i]*x, qy+slope[i]*y
		if w[i] == 0 || x == 0 && y == 0 {
			continue
		}
		if x < 0 || x == 0 && y < 0 { // a_i and -a_i are one
			x, y = -x, -y
		}
		zx, zy = zx+w[i]*x, zy+w[i]*y
		// c = (cos t, sin t) turns from a_i's side at t = angle of a_i + π/2,
		// which t from -π/2+ on meets in order of the angles, all in (-π/2, π/2].
		angle[i] = math.Atan2(y, x)
		order = append(order, i)
	}
	sort.Slice(order, func(a, b int) bool { return angle[order[a]] < angle[order[b]] })
	best, c := -1.0, make([]float64, k)
	look := func(x, y float64) {
		if r := math.Hypot(x, y); r > best {
			best = r
			c[0] = 0
			if r > 0 {
				c[0] = x / r
				if k == 2 {
					c[1] = y / r
				}
			}
		}
	}
	for j := 0; ; j++ {
		look(qx+zx, qy+zy)
		look(qx-zx, qy-zy)
		if j == len(order) || k == 1 {
			return best, c
		}
		i := order[j]
		x, y := row(i)
		if x < 0 || x == 0 && y < 0 {
			x, y = -x, -y
		}
		zx, zy = zx-2*w[i]*x, zy-2*w[i]*y
	}
}

// factors splits s = F c, given by the first half of c, into L-2 equal circular
// convolutions and w with s·w2 = U^(L-2) w1·w2 at the least cost, |w1| = |w2|.
// ok is false for c = 0.
//
// The eigenvalues λ_k of the product of the filters and the spectrum z_k of w1
// have λ_k z_k = c_k; with |λ|₂ ≤ r the least |z|₂ is |c|_1/r, at λ_k ∝ √|c_k|:
// r = 1 for the Frobenius norm of the product, √d for one filter of norm 1.
func (a CircularReLUCNN) factors(c []complex128, d int) (u, w1 []float64, w2 float64, ok bool) {
	l1 := 0.0
	for k, v := range c {
		if r := cmplx.Abs(v); k == 0 || 2*k == d {
			l1 += r
		} else {
			l1 += 2 * r
		}
	}
	if l1 == 0 {
		return nil, nil, 0, false
	}
	root := math.Sqrt(float64(d))
	r := 1.0
	if a.filterNorm() == "l2" {
		r = root
	}
	filters := float64(a.layers() - 2)
	uh, zh := make([]complex128, len(c)), make([]complex128, len(c))
	for k, v := range c {
		if lambda := r * math.Sqrt(cmplx.Abs(v)/l1); lambda > 0 {
			// As circular convolution: eigenvalues are the unnormalised DFT of
			// the filter, and that of F z is √d conj(z).
			uh[k] = complex(math.Pow(lambda, 1/filters), 0)
			zh[k] = complex(root/lambda, 0) * cmplx.Conj(v)
		}
	}
	fft := fourier.NewFFT(d)
	u, w1 = fft.Sequence(nil, uh), fft.Sequence(nil, zh)
	scale(1/float64(d), u)
	scale(1/float64(d), w1)
	w2 = math.Sqrt(l1 / r) // |z|₂ = |c|_1/r, shared evenly
	scale(1/w2, w1)
	return u, w1, w2, true
}

// Filters returns the L-2 filters (m×d each, row j of neuron j) of a network
// that Solve made for this architecture.
func (a CircularReLUCNN) Filters(net *Network) ([]*mat.Dense, error) {
	if net == nil || net.Arch != a.Name() {
		return nil, errors.New("convex: CircularReLUCNN.Filters wants a network of architecture circular_relu_cnn")
	}
	var all []*mat.Dense
	if f := net.Extra["filters"]; f != nil {
		for range a.layers() - 2 {
			all = append(all, mat.DenseCopyOf(f))
		}
	}
	return all, nil
}

func (a CircularReLUCNN) run(net *Network) { net.Forward, net.Decay = a.forward, a.decay }

// forward is Σ_j (X U_j^(L-2) w_1j)_+ w_2j.
func (a CircularReLUCNN) forward(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	n, d := inputs[0].Dims()
	if d != net.Inputs {
		return nil, fmt.Errorf("convex: X is %d×%d, the network was trained on %d columns", n, d, net.Inputs)
	}
	f := mat.NewDense(n, 1, nil)
	if net.Neurons() == 0 {
		return f, nil
	}
	theta := mat.NewDense(d, net.Neurons(), nil)
	for j := range net.Neurons() {
		w := net.Hidden.RawRowView(j)
		for range a.layers() - 2 {
			w = convolve(net.Extra["filters"].RawRowView(j), w)
		}
		theta.SetCol(j, w)
	}
	A := new(mat.Dense)
	A.Mul(inputs[0], theta)
	for i, v := range A.RawMatrix().Data {
		A.RawMatrix().Data[i] = math.Max(v, 0)
	}
	f.Mul(A, net.Output)
	return f, nil
}

// convolve is the circular convolution of u and w.
func convolve(u, w []float64) []float64 {
	d := len(w)
	s := make([]float64, d)
	for i, ui := range u {
		for k, wk := range w {
			s[(i+k)%d] += ui * wk
		}
	}
	return s
}

// decay is ½ Σ_j (|w_1j|² + w_2j²) with filters scaled to their norm bound: a
// filter that breaks it costs what it would with the scale moved into w_1j, and
// one with room to spare gains nothing.
func (a CircularReLUCNN) decay(net *Network) float64 {
	s := 0.0
	for j := range net.Neurons() {
		u := net.Extra["filters"].RawRowView(j)
		over := 1.0
		if a.filterNorm() == "l2" {
			over = norm2(u)
		} else {
			// The squared Frobenius norm of a circulant matrix is d times that
			// of its first column.
			p := u
			for range a.layers() - 3 {
				p = convolve(u, p)
			}
			over = math.Sqrt(float64(len(u))) * norm2(p)
		}
		over = math.Max(over, 1)
		w, v := net.Hidden.RawRowView(j), net.Output.At(j, 0)
		s += (over*over*dot(w, w) + v*v) / 2
	}
	return s
}

func (CircularReLUCNN) fileFields() []string { return []string{"layers", "filter_norm"} }

func (a CircularReLUCNN) fromFile(raw map[string]json.RawMessage) (Arch, error) {
	if v, ok := raw["layers"]; ok {
		if err := json.Unmarshal(v, &a.Layers); err != nil || a.Layers < 3 {
			return nil, errors.New(`field "layers": want a whole number of 3 or more`)
		}
	}
	if v, ok := raw["filter_norm"]; ok {
		if err := json.Unmarshal(v, &a.FilterNorm); err != nil || a.FilterNorm == "" {
			return nil, errors.New(`field "filter_norm": want l2 or product_frobenius`)
		}
	}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf(`fields "layers", "filter_norm": %s`, strings.TrimPrefix(err.Error(), "convex: "))
	}
	return a, nil
}

func (a CircularReLUCNN) toFile() map[string]any {
	out := map[string]any{"layers": a.layers()}
	if a.FilterNorm != "" {
		out["filter_norm"] = a.FilterNorm
	}
	return out
}
