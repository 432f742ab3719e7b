package convex

import (
	"context"
	"fmt"
	"math"
	"math/cmplx"

	"gonum.org/v1/gonum/dsp/fourier"
	"gonum.org/v1/gonum/mat"
)

// CircularLinearCNN is the two-layer linear network of circular convolutions
//
//	f = X Σ_j U_j w_j,   weight decay beta/2 Σ_j (|u_j|² + |w_j|²),
//
// U_j the d×d circulant matrix of the full-length filter u_j. With F the unitary
// DFT its program is
//
//	minimise Loss(X F c) + (beta/√d) |c|_1  over conjugate-symmetric c ∈ C^d
//
// (Pilanci & Ergen 2020, §6): exact, and one neuron is enough. The variables
// here are the real and imaginary parts: c_0 (and c_{d/2} for even d) are real,
// and each pair (k, d-k) is a block of two numbers of weight 2.
type CircularLinearCNN struct{}

func init() { RegisterArch(CircularLinearCNN{}) }

// Name is "circular_linear_cnn".
func (CircularLinearCNN) Name() string { return "circular_linear_cnn" }

// Lower builds the program above.
func (a CircularLinearCNN) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	t, err := p.checkOneOutput(a.Name())
	if err != nil {
		return nil, err
	}
	blocks, basis := spectralBasis(t.d)
	var XF mat.Dense
	XF.Mul(t.X, basis)
	prog := &Program{
		Samples: t.n, Outputs: 1,
		Loss: t.loss, Op: DenseOp(&XF),
		Blocks:  blocks,
		Penalty: GroupL1(p.Beta / math.Sqrt(float64(t.d))),
		Scope:   Global,
	}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(a, t.d, 1)
		u, w, ok := circularFactors(spectrumOf(blocks, x, t.d), t.d)
		if !ok {
			return net, nil
		}
		net.Hidden = mat.NewDense(1, t.d, u)
		net.Output = mat.NewDense(1, t.d, w)
		return net, nil
	}
	return prog, nil
}

func (CircularLinearCNN) run(net *Network) { net.Forward = forwardCircular }

// forwardCircular is X Σ_j U_j w_j: row j of Hidden is the filter u_j, row j of
// Output the weights w_j, and U w is their circular convolution.
func forwardCircular(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	n, d := inputs[0].Dims()
	if d != net.Inputs {
		return nil, fmt.Errorf("convex: X is %d×%d, the network was trained on %d columns", n, d, net.Inputs)
	}
	theta := mat.NewVecDense(d, nil)
	for j := range net.Neurons() {
		u, w := net.Hidden.RawRowView(j), net.Output.RawRowView(j)
		for i, ui := range u {
			for k, wk := range w {
				at := (i + k) % d
				theta.SetVec(at, theta.AtVec(at)+ui*wk)
			}
		}
	}
	f := mat.NewDense(n, 1, nil)
	f.Mul(inputs[0], theta)
	return f, nil
}

// spectralBasis returns the blocks of a conjugate-symmetric spectrum c ∈ C^d and
// the real d×d matrix that takes their variables to F c, F the unitary DFT: a
// real frequency is a block of one number of weight 1, a pair (k, d-k) a block
// (Re c_k, Im c_k) of weight 2, so that Σ weight·|block|₂ = |c|_1.
func spectralBasis(d int) ([]Block, *mat.Dense) {
	var blocks []Block
	B := mat.NewDense(d, d, nil)
	root := 1 / math.Sqrt(float64(d))
	at := 0
	for k := 0; k <= d/2; k++ {
		paired := k != 0 && 2*k != d
		b := Block{Offset: at, Rows: 1, Cols: 1, Weight: 1}
		if paired {
			b.Rows, b.Weight = 2, 2
		}
		for i := range d {
			// (F c)_i = d^-1/2 Σ_k c_k exp(-2πi ik/d).
			sin, cos := math.Sincos(2 * math.Pi * float64(i*k%d) / float64(d))
			if paired {
				B.Set(i, at, 2*root*cos)
				B.Set(i, at+1, 2*root*sin)
			} else {
				B.Set(i, at, root*cos)
			}
		}
		blocks = append(blocks, b)
		at += b.Len()
	}
	return blocks, B
}

// spectrumOf puts the variables of spectralBasis's blocks into c_0 … c_{d/2}.
func spectrumOf(blocks []Block, x []float64, d int) []complex128 {
	c := make([]complex128, d/2+1)
	for k, b := range blocks {
		z := b.Of(x)
		if len(z) == 2 {
			c[k] = complex(z[0], z[1])
		} else {
			c[k] = complex(z[0], 0)
		}
	}
	return c
}

// circularFactors splits F c, given by the first half of c, into the circular
// convolution of u and w with |u|² = |w|² = |c|_1/√d, the least that weight
// decay allows. ok is false for c = 0.
func circularFactors(c []complex128, d int) (u, w []float64, ok bool) {
	root := math.Sqrt(float64(d))
	uh, wh := make([]complex128, len(c)), make([]complex128, len(c))
	for k, v := range c {
		// The unnormalised DFT of F c is √d conj(c); its factors have equal
		// moduli at every frequency.
		if r := cmplx.Abs(v); r > 0 {
			uh[k] = complex(math.Sqrt(root*r), 0)
			wh[k] = complex(root, 0) * cmplx.Conj(v) / uh[k]
			ok = true
		}
	}
	fft := fourier.NewFFT(d)
	u, w = fft.Sequence(nil, uh), fft.Sequence(nil, wh)
	scale(1/float64(d), u)
	scale(1/float64(d), w)
	return u, w, ok
}
