package convex

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// BatchNormReLU is the two-layer ReLU network with batch normalisation before
// the activation, without epsilon,
//
//	f = Σ_j (γ_j (Xw_j - mean)/|Xw_j - mean|₂ + α_j/√n)_+ a_j,
//
// and weight decay beta/2 Σ_j (γ_j² + α_j² + a_j²); the scale of w_j does not
// matter. With the centred data HX = U S V' its program is that of ReLU on the
// whitened data [U, 1/√n] (Ergen, Sahiner, Ozturkler, Pauly, Mardani & Pilanci
// 2021), exact with all patterns of those.
//
// The networks keep (γ_j V'-coordinates of w_j, α_j) as row j of Hidden; Extra
// has "mean" (1×d), "whiten" (d×r) and "samples" (n), so that a sample x enters as
// [(x-mean)·whiten, 1/√n]. Prediction on new data uses the training statistics.
type BatchNormReLU struct{}

func init() { RegisterArch(BatchNormReLU{}) }

// Name is "batch_norm_relu".
func (BatchNormReLU) Name() string { return "batch_norm_relu" }

// Lower builds the program above; given patterns are those of the whitened data.
func (a BatchNormReLU) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	t, err := p.checkOneOutput(a.Name())
	if err != nil {
		return nil, err
	}
	mean, whiten, err := whitening(t.X)
	if err != nil {
		return nil, err
	}
	rootN := math.Sqrt(float64(t.n))
	extra := map[string]*mat.Dense{"mean": mean, "whiten": whiten, "samples": mat.NewDense(1, 1, []float64{float64(t.n)})}
	white := *p
	white.X, white.Arch = whitened(t.X, mean, whiten, rootN), ReLU{}
	prog, err := ReLU{}.Lower(ctx, &white, s)
	if err != nil {
		return nil, err
	}
	decode := prog.Decode
	prog.Decode = func(x []float64) (*Network, error) {
		net, err := decode(x)
		if err != nil {
			return nil, err
		}
		net.Inputs, net.Extra = t.d, extra
		return net, net.SetArch(a)
	}
	return prog, nil
}

func (BatchNormReLU) run(net *Network) {
	net.Activations = func(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
		mean, whiten, n := net.Extra["mean"], net.Extra["whiten"], net.Extra["samples"]
		if mean == nil || whiten == nil || n == nil {
			return nil, errors.New(`convex: a batch_norm_relu network needs "mean", "whiten" and "samples" in Extra`)
		}
		return reluActivations(net, []mat.Matrix{whitened(inputs[0], mean, whiten, math.Sqrt(n.At(0, 0)))})
	}
}

// whitening returns the means of the columns of X and V S⁻¹ of its centred
// singular value decomposition, with the directions of no variance left out.
func whitening(X *mat.Dense) (mean, whiten *mat.Dense, err error) {
	n, d := X.Dims()
	mean = mat.NewDense(1, d, nil)
	C := mat.DenseCopyOf(X)
	for j := range d {
		m := mat.Sum(X.ColView(j)) / float64(n)
		mean.Set(0, j, m)
		for i := range n {
			C.Set(i, j, X.At(i, j)-m)
		}
	}
	_, sv, V, err := thinSVD(C.RawMatrix().Data, n, d)
	if err != nil {
		return nil, nil, fmt.Errorf("convex: X: %w", err)
	}
	r := 0
	for r < len(sv) && sv[r] > 1e-12*math.Sqrt(float64(n))*math.Max(sv[0], mat.Norm(X, 2)) {
		r++
	}
	if r == 0 {
		return nil, nil, errors.New("convex: all rows of X are the same: batch normalisation has no variance to divide by")
	}
	whiten = mat.NewDense(d, r, nil)
	for k := range r {
		for j := range d {
			whiten.Set(j, k, V.At(j, k)/sv[k])
		}
	}
	return mean, whiten, nil
}

// whitened is [(X-mean)·whiten, 1/rootN].
func whitened(X mat.Matrix, mean, whiten *mat.Dense, rootN float64) *mat.Dense {
	n, d := X.Dims()
	_, r := whiten.Dims()
	C := mat.NewDense(n, d, nil)
	C.Apply(func(i, j int, v float64) float64 { return v - mean.At(0, j) }, X)
	W := mat.NewDense(n, r+1, nil)
	W.Slice(0, n, 0, r).(*mat.Dense).Mul(C, whiten)
	for i := range n {
		W.Set(i, r, 1/rootN)
	}
	return W
}
