package convex

import (
	"context"
	"encoding/json"
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// ParallelReLU is a fully connected network with two ReLU layers, in parallel
// branches of K units each, and one output,
//
//	f = Σ_j ( Σ_k (X u_jk)_+ w_1jk )_+ w_2j,   |u_jk|₂ ≤ 1,
//	weight decay beta/2 Σ_j (|w_1j|² + w_2j²).
//
// It is ThreeLayerReLUCNN with untied filters and X for each of its K patches,
// and so is its program, exact when every choice of patterns is listed (Ergen &
// Pilanci 2021, Global Optimality Beyond Two Layers). The number of choices is
// polynomial in the samples, but grows with the power K of the first layer's
// patterns: beyond tiny data neurons are searched for, and the scope is
// restricted.
type ParallelReLU struct {
	Units int // K, of the first layer of a branch; 0 means 2
}

func init() { RegisterArch(ParallelReLU{}) }

// Name is "parallel_relu".
func (ParallelReLU) Name() string { return "parallel_relu" }

func (a ParallelReLU) units() (int, error) {
	switch {
	case a.Units == 0:
		return 2, nil
	case a.Units < 0:
		return 0, fmt.Errorf("is %d: want a positive number of units a branch", a.Units)
	}
	return a.Units, nil
}

// Lower builds the program of the three-layer network on K copies of X.
func (a ParallelReLU) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	units, err := a.units()
	if err != nil {
		return nil, fmt.Errorf("convex: ParallelReLU.Units %w", err)
	}
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	if t.X == nil {
		return nil, fmt.Errorf("convex: architecture %s takes X, not Patches", a.Name())
	}
	if m := (&twoLevel{K: units, n: t.n, h: t.d}); !m.fits(false) {
		return nil, fmt.Errorf("convex: ParallelReLU.Units is %d: with X %d×%d a branch has %s: take fewer units, such as 2 to 100", units, t.n, t.d, tooManyWeights)
	}
	q := *p
	q.X, q.Patching, q.Arch = nil, Patching{}, ThreeLayerReLUCNN{}
	for range units {
		q.Patches = append(q.Patches, t.X)
	}
	prog, err := ThreeLayerReLUCNN{}.Lower(ctx, &q, s)
	if err != nil {
		return nil, err
	}
	decode := prog.Decode
	prog.Decode = func(x []float64) (*Network, error) {
		net, err := decode(x)
		if err != nil {
			return nil, err
		}
		return net, net.SetArch(a)
	}
	return prog, nil
}

func (a ParallelReLU) run(net *Network) {
	net.Decay = middleDecay
	net.Forward = func(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
		branch := inputs
		if w := net.Extra["w1"]; w != nil && len(inputs) == 1 {
			for range w.RawMatrix().Cols - 1 {
				branch = append(branch[:len(branch):len(branch)], inputs[0])
			}
		}
		return forwardThreeLayer(net, branch)
	}
}

func (ParallelReLU) fileFields() []string { return []string{"units"} }

func (a ParallelReLU) fromFile(raw map[string]json.RawMessage) (Arch, error) {
	if v, ok := raw["units"]; ok {
		if err := json.Unmarshal(v, &a.Units); err != nil || a.Units < 1 {
			return nil, fmt.Errorf(`field "units": want the number of units of a branch, 1 or more`)
		}
	}
	return a, nil
}

func (a ParallelReLU) toFile() map[string]any {
	if a.Units == 0 {
		return nil
	}
	return map[string]any{"units": a.Units}
}
