package convex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/cmplx"
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
	pat, err := p.patternsFor(ctx, t.X, s, nil)
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
	m := &MaskedData{X: XF, Patterns: pat, Signed: true}
	prog := &Program{
		Samples: t.n, Outputs: 1,
		Loss: t.loss, Op: m.Op(), Blocks: m.Blocks(),
		Penalty: PartsL2(kappa*p.Beta, parts), Cones: m.Cones(),
		Patterns: pat,
	}
	if pat.Complete {
		prog.Scope = Global
	}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(a, t.d, 1)
		var hidden, output, filters []float64
		for g, b := range prog.Blocks {
			z := append([]float64(nil), b.Of(x)...)
			for _, sb := range spectrum {
				scale(1/sb.Weight, sb.Of(z))
			}
			u, w1, w2, ok := a.factors(spectrumOf(spectrum, z, t.d), t.d)
			if !ok {
				continue
			}
			filters, hidden = append(filters, u...), append(hidden, w1...)
			output = append(output, m.Sign(g)*w2)
			net.gate = append(net.gate, m.Pattern(g))
		}
		net.setNeurons(hidden, output)
		if k := len(output); k > 0 {
			net.Extra = map[string]*mat.Dense{"filters": mat.NewDense(k, t.d, filters)}
		}
		return net, nil
	}
	return prog, nil
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
