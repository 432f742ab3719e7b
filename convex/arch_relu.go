package convex

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// ReLU is the two-layer ReLU network f(x) = Σ_j (x'u_j)_+ a_j with one output.
//
// Its program (Pilanci & Ergen 2020, Theorem 1) has two d-vectors v_i, w_i for
// every activation pattern D_i,
//
//	minimise Loss(Σ_i D_i X (v_i - w_i)) + beta Σ_i (|v_i| + |w_i|)
//	subject to (2D_i - I) X v_i ≥ 0, (2D_i - I) X w_i ≥ 0,
//
// and is exact: with all patterns its optimum is the global optimum of the
// network with enough neurons, n of them at most. v_i ≠ 0 becomes the neuron
// u = v/√|v|, a = √|v|, and w_i the neuron u = w/√|w|, a = -√|w|.
type ReLU struct{}

func init() { RegisterArch(ReLU{}) }

// Name is "relu".
func (ReLU) Name() string { return "relu" }

// Lower builds the program above over the patterns of p.
func (ReLU) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	if t.X == nil {
		return nil, fmt.Errorf("convex: architecture relu takes X, not Patches")
	}
	if t.c != 1 {
		return nil, fmt.Errorf("convex: Y is %d×%d: the exact ReLU program has one output; train one network an output, or use GatedReLU, which is exact for several", t.n, t.c)
	}
	var search func() (*Patterns, error)
	if t.loss.anyGrad() != nil {
		search = func() (*Patterns, error) {
			return p.searchPatterns(ctx, t.X, t.loss, s)
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

func (ReLU) run(net *Network) { net.Activations = reluActivations }

func reluActivations(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	n, _ := inputs[0].Dims()
	A := mat.NewDense(n, net.Neurons(), nil)
	A.Mul(inputs[0], net.Hidden.T())
	for i, v := range A.RawMatrix().Data {
		A.RawMatrix().Data[i] = math.Max(v, 0)
	}
	return A, nil
}
