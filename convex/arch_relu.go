package convex

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// ReLU is the two-layer ReLU network f(x) = Σ_j (x'u_j)_+ a_j.
//
// With one output its program (Pilanci & Ergen 2020, Theorem 1) has two d-vectors v_i, w_i for
// every activation pattern D_i,
//
//	minimise Loss(Σ_i D_i X (v_i - w_i)) + beta Σ_i (|v_i| + |w_i|)
//	subject to (2D_i - I) X v_i ≥ 0, (2D_i - I) X w_i ≥ 0,
//
// and is exact: with all patterns its optimum is the global optimum of the
// network with enough neurons, n of them at most. v_i ≠ 0 becomes the neuron
// u = v/√|v|, a = √|v|, and w_i the neuron u = w/√|w|, a = -√|w|.
//
// With several outputs, f(x) = Σ_j (x'u_j)_+ w_j', w_j ∈ R^c, weight decay
// beta/2 Σ_j (|u_j|² + |w_j|²) has the constrained nuclear norm as its program
// (Sahiner et al. 2021), exact but hard in general. For data of rank 2 or less
// it is solved exactly, over all neurons, by angle search. Otherwise, where all
// patterns can be listed, Lower is the optimum without the cones, the gated
// network's
//
//	minimise Loss(Σ_i D_i X Z_i) + beta Σ_i ‖Z_i‖_*,  Z_i d×c,
//
// a bound that is strictly below as a rule; the network is found by a search
// for neurons, Primal is its own objective, and Status is Bounded while they
// are apart. Where there are more patterns than a tenth of Settings.MaxPatterns
// the network is that of the search, its scope restricted to the neurons found,
// and GlobalLower a spectral bound. It then takes no Patterns; Settings.Samples
// > 0 takes so many random neurons in place of the search.
type ReLU struct {
	// Penalty is for several outputs. "" is weight decay, as above.
	// "per_output" is another regulariser, beta/2 Σ_j (|u_j|² + (Σ_o |w_jo|)²),
	// for which one network an output, each by its own program, is exact.
	Penalty string
}

func init() { RegisterArch(ReLU{}) }

// Name is "relu".
func (ReLU) Name() string { return "relu" }

// Lower builds the program above over the patterns of p.
func (a ReLU) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	switch {
	case t.X == nil:
		return nil, fmt.Errorf("convex: architecture relu takes X, not Patches")
	case a.Penalty != "" && a.Penalty != "per_output":
		return nil, fmt.Errorf("convex: ReLU.Penalty is %q: want per_output, or nothing for weight decay", a.Penalty)
	case t.c == 1:
		return lowerReLU(ctx, p, t, s)
	case a.Penalty == "per_output":
		return lowerPerOutput(ctx, p, t, s)
	case p.Patterns != nil:
		return nil, fmt.Errorf("convex: Y is %d×%d: a ReLU network with several outputs takes no Patterns, it searches for neurons itself; GatedReLU takes them, and so does ReLU.Penalty per_output", t.n, t.c)
	}
	return vectorFamily(p, t).lower(ctx, s)
}

// vectorFamily is the family of networks with several outputs.
func vectorFamily(p *Problem, t *checked) *rectified {
	ties := make([][]tie, t.n)
	for i := range ties {
		for o := range t.c {
			ties[i] = append(ties[i], tie{i*t.c + o, o})
		}
	}
	return &rectified{
		X: t.X, n: t.n, c: t.c, width: t.c, ties: ties,
		loss: t.loss, beta: p.Beta, bias: p.OutputBias, seed: p.Seed,
		decode: func(u, w [][]float64) *Network {
			net := newNetwork(ReLU{}, t.d, t.c)
			net.fromColumns(u, w)
			return net
		},
	}
}

// lowerReLU builds the program of one output.
func lowerReLU(ctx context.Context, p *Problem, t *checked, s *Settings) (*Program, error) {
	var search func() (*Patterns, error)
	if t.loss.anyGrad() != nil {
		search = func() (*Patterns, error) {
			return p.searchPatterns(ctx, &MaskedData{X: t.X, Signed: true}, t.loss, GroupL1(p.Beta), s)
		}
	}
	pat, err := p.patternsFor(ctx, t.X, s, search)
	if err != nil {
		return nil, err
	}
	m := &MaskedData{X: t.X, Patterns: pat, Signed: true}
	prog := &Program{
		Samples: t.n, Outputs: 1,
		Loss: t.loss, Op: m.Op(), Blocks: m.Blocks(),
		Penalty: GroupL1(p.Beta), Cones: m.Cones(),
		Patterns: pat,
	}
	if pat.Complete {
		prog.Scope = Global
	} else {
		bound := &reluBound{X: t.X}
		beta := p.Beta
		prog.AllPatterns = func(ctx context.Context, v []float64) float64 { return bound.polar(ctx, v, beta) }
	}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(ReLU{}, t.d, 1)
		return net, net.fromBlocks(prog.Blocks, x, m)
	}
	return prog, nil
}

// fromBlocks makes a neuron of every column block that is not zero: the weight
// of norm r splits as √r in both layers, the sign of the block into the second.
func (net *Network) fromBlocks(blocks []Block, x []float64, m *MaskedData) error {
	var hidden, output []float64
	for g, b := range blocks {
		z := b.Of(x)
		r := norm2(z)
		if math.IsNaN(r) || math.IsInf(r, 0) {
			return fmt.Errorf("convex: block %d of the point has norm %g", g, r)
		}
		if r == 0 {
			continue
		}
		root := math.Sqrt(r)
		for _, v := range z {
			hidden = append(hidden, v/root)
		}
		output = append(output, m.Sign(g)*root)
		net.gate = append(net.gate, m.Pattern(g))
	}
	if k := len(output); k > 0 {
		net.Hidden, net.Output = mat.NewDense(k, net.Inputs, hidden), mat.NewDense(k, 1, output)
	}
	return nil
}

func (a ReLU) run(net *Network) {
	net.Activations = reluActivations
	if a.Penalty == "per_output" {
		net.Decay = perOutputDecay
	}
}

// fromColumns makes a neuron of every unit vector u_j with output weights w_j that
// are not zero: the size of w_j splits between the layers.
func (net *Network) fromColumns(u, w [][]float64) {
	var hidden, output []float64
	width := 0
	for j := range u {
		size := norm2(w[j])
		if size == 0 {
			continue
		}
		root := math.Sqrt(size)
		for _, v := range u[j] {
			hidden = append(hidden, root*v)
		}
		for _, v := range w[j] {
			output = append(output, v/root)
		}
		width = len(w[j])
	}
	if len(output) > 0 {
		k := len(output) / width
		net.Hidden, net.Output = mat.NewDense(k, net.Inputs, hidden), mat.NewDense(k, width, output)
	}
}

func reluActivations(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	n, d := inputs[0].Dims()
	if m, hd := net.Hidden.Dims(); hd != d {
		return nil, fmt.Errorf("convex: the network's Hidden is %d×%d but the data are %d×%d: they do not fit, they need the same columns", m, hd, n, d)
	}
	A := mat.NewDense(n, net.Neurons(), nil)
	A.Mul(inputs[0], net.Hidden.T())
	for i, v := range A.RawMatrix().Data {
		A.RawMatrix().Data[i] = math.Max(v, 0)
	}
	return A, nil
}
