package convex

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// Network is a trained network. For the two-layer networks
//
//	f(x) = Σ_j act_j(x'Hidden_j) Output_j
//
// neuron j is row j of Hidden and of Output. Architectures with more weights
// keep them in Extra by name. The functions take the network itself, so a copy
// with other weights works.
type Network struct {
	Arch   string
	Hidden *mat.Dense            // m×d first-layer weights; nil when there is no neuron
	Output *mat.Dense            // m×c second-layer weights; nil when there is no neuron
	Gates  *mat.Dense            // m×d, gated networks: neuron j is active on x when x'Gates_j > 0; nil when unknown
	Extra  map[string]*mat.Dense // further weights of other architectures, by name

	Bias []float64 // c numbers added to the predictions, not penalised; nil: none

	Inputs, Outputs int      // d and c; of a convolutional network d is h, the length of a patch
	Patching        Patching // how Predict cuts images into patches; the zero value: X is not images

	// Activations returns the n×m outputs of the hidden neurons for inputs:
	// one n×d matrix, or the K patches of a convolutional network. It is not
	// called for a network without neurons.
	Activations func(net *Network, inputs []mat.Matrix) (*mat.Dense, error)
	// Forward returns the n×c predictions; nil means Activations · Output.
	Forward func(net *Network, inputs []mat.Matrix) (*mat.Dense, error)
	// Decay is the penalty divided by beta; nil means ½ Σ_j (|u_j|² + |a_j|²).
	Decay func(net *Network) float64

	arch       Arch                                 // what the functions belong to; nil for those of one's own
	patches    int                                  // K of a convolutional network
	gate       []int                                // pattern each neuron came from, when there are patterns
	findGates  func(gate []int) (*mat.Dense, error) // gate vectors of those patterns; nil when Gates are all there is
	unitHidden bool                                 // the hidden weights have a fixed size: only Output takes a scale
}

// Neurons is the number of hidden neurons m.
func (net *Network) Neurons() int {
	if net == nil || net.Hidden == nil || net.Hidden.IsEmpty() {
		return 0
	}
	m, _ := net.Hidden.Dims()
	return m
}

// Predict returns the n×c predictions for the rows of X (n×d), which need the
// same columns as the training data, a column of ones included. They are images
// for a network with a Patching.
func (net *Network) Predict(X mat.Matrix) (*mat.Dense, error) {
	if net == nil {
		return nil, errors.New("convex: Predict: there is no network: solve a problem first")
	}
	M, err := finiteMatrix("X", X)
	if err != nil {
		return nil, err
	}
	if net.Patching.given() {
		patches, err := net.Patching.Patches(M)
		if err != nil {
			return nil, fmt.Errorf("convex: Predict: %s", strings.TrimPrefix(err.Error(), "convex: "))
		}
		return net.forward(patches)
	}
	if n, d := M.Dims(); d != net.Inputs {
		return nil, fmt.Errorf("convex: Predict: X is %d×%d, the network was trained on %d columns (a column of ones counts)", n, d, net.Inputs)
	}
	return net.forward([]mat.Matrix{M})
}

// PredictPatches returns the predictions of a convolutional network for K
// patches of n×h.
func (net *Network) PredictPatches(patches []mat.Matrix) (*mat.Dense, error) {
	if net == nil {
		return nil, errors.New("convex: PredictPatches: there is no network: solve a problem first")
	}
	if len(patches) == 0 {
		return nil, errors.New("convex: PredictPatches: there are no patches: want K matrices n×h, or images and Predict")
	}
	inputs := make([]mat.Matrix, len(patches))
	for k, P := range patches {
		M, err := finiteMatrix(fmt.Sprintf("patches[%d]", k), P)
		if err != nil {
			return nil, err
		}
		n, h := M.Dims()
		if first, _ := patches[0].Dims(); n != first || h != net.Inputs {
			return nil, fmt.Errorf("convex: PredictPatches: patches[%d] is %d×%d: the network wants all %d×%d", k, n, h, first, net.Inputs)
		}
		inputs[k] = M
	}
	return net.forward(inputs)
}

func (net *Network) forward(inputs []mat.Matrix) (*mat.Dense, error) {
	out, err := net.withoutBias(inputs)
	if err != nil || net.Bias == nil {
		return out, err
	}
	n, c := out.Dims()
	if len(net.Bias) != c {
		return nil, fmt.Errorf("convex: the network has %d outputs, its Bias %d numbers", c, len(net.Bias))
	}
	for i := range n {
		axpy(1, net.Bias, out.RawRowView(i))
	}
	return out, nil
}

func (net *Network) withoutBias(inputs []mat.Matrix) (*mat.Dense, error) {
	if net.Forward != nil {
		return net.Forward(net, inputs)
	}
	n, _ := inputs[0].Dims()
	out := mat.NewDense(n, net.Outputs, nil)
	if net.Neurons() == 0 {
		return out, nil
	}
	m := net.Neurons()
	switch {
	case net.Activations == nil:
		return nil, errors.New("convex: the network has neither Activations nor Forward: SetArch sets those of an architecture")
	case net.Output == nil:
		return nil, fmt.Errorf("convex: the network has no Output: want %d×%d second-layer weights", m, net.Outputs)
	}
	if r, c := net.Output.Dims(); r != m || c != net.Outputs {
		return nil, fmt.Errorf("convex: the network's Output is %d×%d: want %d×%d, a row a neuron", r, c, m, net.Outputs)
	}
	A, err := net.Activations(net, inputs)
	if err != nil {
		return nil, err
	}
	if r, c := A.Dims(); r != n || c != m {
		return nil, fmt.Errorf("convex: the network's Activations are %d×%d: want %d×%d, a column a neuron", r, c, n, m)
	}
	out.Mul(A, net.Output)
	return out, nil
}

func (net *Network) decay() float64 {
	if net.Decay != nil {
		return net.Decay(net)
	}
	s := 0.0
	for j := 0; j < net.Neurons(); j++ {
		u, a := net.Hidden.RawRowView(j), net.Output.RawRowView(j)
		s += dot(u, u) + dot(a, a)
	}
	return s / 2
}

// Objective recomputes the objective of p at the network from scratch: the loss
// of its predictions plus beta times its weight decay. See Verify for the
// parts.
func (net *Network) Objective(p Problem) (float64, error) {
	v, err := Verify(p, net)
	if err != nil {
		return 0, err
	}
	return v.Objective, nil
}

// subset returns the network of neurons keep, with the contribution of neuron
// keep[i] multiplied by scale[i] ≥ 0 (nil: 1).
func (net *Network) subset(keep []int, scales []float64) *Network {
	out := *net
	out.Hidden, out.Output, out.Gates, out.gate = nil, nil, nil, nil
	if len(keep) == 0 {
		return &out
	}
	_, d := net.Hidden.Dims()
	_, c := net.Output.Dims()
	out.Hidden, out.Output = mat.NewDense(len(keep), d, nil), mat.NewDense(len(keep), c, nil)
	if net.Gates != nil {
		_, gd := net.Gates.Dims()
		out.Gates = mat.NewDense(len(keep), gd, nil)
	}
	for i, j := range keep {
		below, above := 1.0, 1.0
		switch {
		case scales != nil && net.unitHidden:
			above = scales[i]
		case scales != nil:
			below = math.Sqrt(scales[i])
			above = below
		}
		copy(out.Hidden.RawRowView(i), net.Hidden.RawRowView(j))
		copy(out.Output.RawRowView(i), net.Output.RawRowView(j))
		scale(below, out.Hidden.RawRowView(i))
		scale(above, out.Output.RawRowView(i))
		if out.Gates != nil {
			copy(out.Gates.RawRowView(i), net.Gates.RawRowView(j))
		}
		if net.gate != nil {
			out.gate = append(out.gate, net.gate[j])
		}
	}
	return &out
}

// Verification is a network's own objective, with its parts.
type Verification struct {
	Objective float64 // Loss + Beta·Decay
	Loss      float64
	Decay     float64 // ½ Σ (|u|²+|a|²), before beta
	Neurons   int
}

// Verify evaluates the non-convex objective of p at a network, from the
// network's weights and the data alone.
func Verify(p Problem, net *Network) (*Verification, error) {
	if net == nil {
		return nil, errors.New("convex: Verify: the network is nil")
	}
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	if net.Outputs != t.c {
		return nil, fmt.Errorf("convex: Verify: the network has %d outputs, Y is %d×%d", net.Outputs, t.n, t.c)
	}
	if t.X != nil && net.Inputs != t.d {
		return nil, fmt.Errorf("convex: Verify: X is %d×%d, the network was trained on %d columns", t.n, t.d, net.Inputs)
	}
	f, err := net.forward(t.inputs)
	if err != nil {
		return nil, err
	}
	v := &Verification{Decay: net.decay(), Neurons: net.Neurons()}
	v.Loss = t.loss.Value(flatten(f))
	v.Objective = v.Loss + p.Beta*v.Decay
	return v, nil
}

// flatten is the entries of A, row-major.
func flatten(A *mat.Dense) []float64 {
	r := A.RawMatrix()
	if r.Stride == r.Cols {
		return r.Data
	}
	return mat.DenseCopyOf(A).RawMatrix().Data
}
