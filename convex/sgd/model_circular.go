package sgd

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

// circular is the first layer of a three-layer circular network: neuron j sees
// X through θ_j = u_j ∗ w_j, the circular convolution of its filter u_j, which
// has no weight decay but a norm bound, and its weights w_j.
type circular struct {
	bound         float64 // on |u_j|
	weights       blas64.General
	filters       blas64.General // m×d, the last part of the parameters
	gradWeights   blas64.General
	gradFilters   blas64.General
	theta         blas64.General // m×d
	gradConvolved blas64.General // of theta
}

func newCircular(a convex.CircularReLUCNN, d int) (*circular, error) {
	if a.Layers > 3 {
		return nil, fmt.Errorf("sgd: CircularReLUCNN has %d layers: only those of three are trained here", a.Layers)
	}
	c := &circular{bound: 1}
	if a.FilterNorm == "product_frobenius" { // the Frobenius norm of a circulant is √d times that of its filter
		c.bound = 1 / math.Sqrt(float64(d))
	}
	return c, nil
}

// attach views the parameters and gradients of m.
func (c *circular) attach(m *model) {
	view := func(data []float64) blas64.General {
		return blas64.General{Rows: m.neurons, Cols: m.d, Stride: m.d, Data: data}
	}
	from := m.neurons * (m.d + m.c)
	c.weights, c.gradWeights = m.hidden, m.gradHidden
	c.filters, c.gradFilters = view(m.theta[from:]), view(m.grad[from:])
	c.theta, c.gradConvolved = view(make([]float64, m.neurons*m.d)), view(make([]float64, m.neurons*m.d))
}

func (c *circular) start(net *convex.Network) error {
	f := net.Extra["filters"]
	if f == nil {
		return fmt.Errorf("sgd: Options.Start has no filters: it must be a network of convex.Solve or of Train")
	}
	mat.NewDense(c.filters.Rows, c.filters.Cols, c.filters.Data).Copy(f)
	c.project()
	return nil
}

// convolved is the matrix of rows θ_j.
func (c *circular) convolved() blas64.General {
	d := c.theta.Cols
	clear(c.theta.Data)
	for j := range c.theta.Rows {
		u, w, t := c.filters.Data[j*d:(j+1)*d], c.weights.Data[j*d:(j+1)*d], c.theta.Data[j*d:(j+1)*d]
		for i, v := range u { // θ_(i+k) += u_i w_k
			floats.AddScaled(t[i:], v, w[:d-i])
			floats.AddScaled(t[:i], v, w[d-i:])
		}
	}
	return c.theta
}

// pull turns the gradient of θ into those of the weights and the filters.
func (c *circular) pull() {
	d := c.theta.Cols
	for j := range c.theta.Rows {
		u, w, g := c.filters.Data[j*d:(j+1)*d], c.weights.Data[j*d:(j+1)*d], c.gradConvolved.Data[j*d:(j+1)*d]
		gu, gw := c.gradFilters.Data[j*d:(j+1)*d], c.gradWeights.Data[j*d:(j+1)*d]
		for i := range d {
			gu[i] = floats.Dot(g[i:], w[:d-i]) + floats.Dot(g[:i], w[d-i:])
			gw[i] = floats.Dot(g[i:], u[:d-i]) + floats.Dot(g[:i], u[d-i:])
		}
	}
}

// project scales the filters that are beyond their bound back to it.
func (c *circular) project() {
	d := c.filters.Cols
	for j := range c.filters.Rows {
		u := c.filters.Data[j*d : (j+1)*d]
		if r := floats.Norm(u, 2); r > c.bound {
			floats.Scale(c.bound/r, u)
		}
	}
}
