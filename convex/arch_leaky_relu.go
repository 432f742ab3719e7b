package convex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// LeakyReLU is the two-layer network f(x) = Σ_j s(x'u_j) a_j with
//
//	s(t) = t for t > 0 and Slope·t below,
//
// with one output. Slope -1 is the absolute value. s is positively homogeneous
// and linear on every cell of the arrangement, so the program is that of ReLU
// with D_i + Slope (I - D_i) in place of D_i: the same cones, the same norm
// (Pilanci & Ergen 2020, remark after Theorem 1). It is exact.
type LeakyReLU struct {
	Slope float64 // below zero; any finite number but 1, which is no activation at all
}

func init() { RegisterArch(LeakyReLU{Slope: 0.01}) }

// Name is "leaky_relu".
func (LeakyReLU) Name() string { return "leaky_relu" }

func (a LeakyReLU) check() error {
	if math.IsNaN(a.Slope) || math.IsInf(a.Slope, 0) || a.Slope == 1 {
		return fmt.Errorf("convex: LeakyReLU.Slope is %g: want a finite number other than 1, such as 0.01, or -1 for the absolute value", a.Slope)
	}
	return nil
}

// Lower builds the program above over the patterns of p.
func (a LeakyReLU) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
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
	if a.Slope != 0 && p.Patterns == nil {
		// A neuron that is off on every sample still contributes: the cell
		// opposite to the all-on one, when there is that.
		pat = pat.withAllOff()
	}
	m := &MaskedData{X: t.X, Patterns: pat, Signed: true, Slope: a.Slope}
	prog := &Program{
		Samples: t.n, Outputs: 1,
		Loss: t.loss, Op: m.Op(), Blocks: m.Blocks(),
		Penalty: GroupL1(p.Beta), Cones: m.Cones(),
		Patterns: pat,
	}
	if pat.Complete {
		prog.Scope = Global
	}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(a, t.d, 1)
		return net, net.fromBlocks(prog.Blocks, x, m)
	}
	return prog, nil
}

func (a LeakyReLU) run(net *Network) { net.Activations = a.activations }

func (a LeakyReLU) activations(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	n, _ := inputs[0].Dims()
	A := mat.NewDense(n, net.Neurons(), nil)
	A.Mul(inputs[0], net.Hidden.T())
	for i, v := range A.RawMatrix().Data {
		if v < 0 {
			A.RawMatrix().Data[i] = a.Slope * v
		}
	}
	return A, nil
}

func (LeakyReLU) fileFields() []string { return []string{"slope"} }

func (a LeakyReLU) fromFile(raw map[string]json.RawMessage) (Arch, error) {
	if v, ok := raw["slope"]; ok {
		if err := json.Unmarshal(v, &a.Slope); err != nil {
			return nil, errors.New(`field "slope": want a number such as 0.01`)
		}
	}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf(`field "slope" is %g: want a finite number other than 1`, a.Slope)
	}
	return a, nil
}

func (a LeakyReLU) toFile() map[string]any { return map[string]any{"slope": a.Slope} }

// withAllOff adds the pattern that is off everywhere to complete patterns that
// have the one that is on everywhere, whose cell is its mirror image.
func (p *Patterns) withAllOff() *Patterns {
	if !p.Complete {
		return p
	}
	for i := 0; i < p.Len(); i++ {
		if p.Count(i) == p.n {
			out := *p
			out.bits = append(append([]uint64(nil), p.bits...), make([]uint64, p.words)...)
			if p.Gates != nil {
				var opposite mat.VecDense
				opposite.ScaleVec(-1, p.Gates.ColView(i))
				out.Gates = new(mat.Dense)
				out.Gates.Augment(p.Gates, &opposite)
			}
			return &out
		}
	}
	return p
}

// checkOneOutput is check for an architecture that takes X and one output.
func (p *Problem) checkOneOutput(arch string) (*checked, error) {
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	if t.X == nil {
		return nil, fmt.Errorf("convex: architecture %s takes X, not Patches", arch)
	}
	if t.c != 1 {
		return nil, fmt.Errorf("convex: Y is %d×%d: architecture %s has one output; train one network an output", t.n, t.c, arch)
	}
	return t, nil
}
