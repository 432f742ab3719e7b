package convex

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// Network is a trained network. For the two-layer networks
//
//	f(x) = Σ_j act_j(x'Hidden_j) Output_j
//
// neuron j is row j of Hidden and of Output. Architectures with more weights
// keep them in Extra by name.
type Network struct {
	Arch   string
	Hidden *mat.Dense            // m×d first-layer weights; nil when there is no neuron
	Output *mat.Dense            // m×c second-layer weights; nil when there is no neuron
	Gates  *mat.Dense            // m×d, gated networks: neuron j is active on x when x'Gates_j > 0
	Extra  map[string]*mat.Dense // further weights of other architectures, by name

	Inputs, Outputs int // d and c

	// Forward returns the n×c predictions for inputs: one n×d matrix, or the
	// K patches of a convolutional network.
	Forward func(inputs []mat.Matrix) (*mat.Dense, error)
	// Decay is the weight decay penalty divided by beta, such as
	// ½ Σ_j (|u_j|² + |a_j|²).
	Decay func() float64
}

// Neurons is the number of hidden neurons m.
func (net *Network) Neurons() int {
	if net == nil || net.Hidden == nil || net.Hidden.IsEmpty() {
		return 0
	}
	m, _ := net.Hidden.Dims()
	return m
}

// Predict returns the n×c predictions for the rows of X (n×d).
func (net *Network) Predict(X mat.Matrix) (*mat.Dense, error) {
	if net == nil || net.Forward == nil {
		return nil, fmt.Errorf("convex: there is no network to predict with")
	}
	if X == nil {
		return nil, fmt.Errorf("convex: Predict: X is nil: want a matrix with %d columns", net.Inputs)
	}
	return net.Forward([]mat.Matrix{X})
}

// PredictPatches returns the predictions of a convolutional network for K
// patches of n×h.
func (net *Network) PredictPatches(patches []mat.Matrix) (*mat.Dense, error) {
	if net == nil || net.Forward == nil {
		return nil, fmt.Errorf("convex: there is no network to predict with")
	}
	return net.Forward(patches)
}
