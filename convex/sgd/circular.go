package sgd

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

// circular is the first layer of a circular network: neuron j sees the data
// through θ_j = p_j ∗ w_j, a circular convolution. In a linear network p_j is
// the filter u_j and both have weight decay; with a ReLU layer p_j is the
// product u_j ∗ … ∗ u_j of the filters at the length bound, without decay.
type circular struct {
	arch    convex.Arch
	d       int
	filters int     // of a neuron; 0 in a linear network
	bound   float64 // length of their product

	product, theta *mat.Dense // m×d: p_j and θ_j of the last call of convolved
	h, dh          []float64  // rows×m: before the ReLU, and the gradient there
}

func newCircular(a convex.CircularReLUCNN, d int) *circular {
	layers := a.Layers
	if layers == 0 {
		layers = 3
	}
	c := &circular{arch: a, d: d, filters: layers - 2, bound: 1}
	if a.FilterNorm == "product_frobenius" || a.FilterNorm == "" && layers > 3 {
		c.bound = 1 / math.Sqrt(float64(d)) // the Frobenius norm of a circulant is √d times that of its filter
	}
	return c
}

// power is the product of a neuron's filters, and its length.
func (c *circular) power(u []float64) ([]float64, float64) {
	p := u
	for range c.filters - 1 {
		p = convolve(p, u)
	}
	return p, norm(p)
}

// convolved is θ (m×d) for filters u and weights w, m·d numbers each.
func (c *circular) convolved(u, w []float64) *mat.Dense {
	d := c.d
	if c.theta == nil {
		c.product, c.theta = mat.NewDense(len(u)/d, d, nil), mat.NewDense(len(u)/d, d, nil)
	}
	for at := 0; at < len(u); at += d {
		p := c.product.RawRowView(at / d)
		copy(p, u[at:at+d])
		if c.filters > 0 {
			q, r := c.power(u[at : at+d])
			floats.ScaleTo(p, c.bound/math.Max(r, 1e-300), q)
		}
		copy(c.theta.RawRowView(at/d), convolve(p, w[at:at+d]))
	}
	return c.theta
}

// pull adds to gu and gw the gradients by the filters and weights that convolved
// was called with, from the gradient by θ.
func (c *circular) pull(gradTheta *mat.Dense, u, w, gu, gw []float64) {
	d := c.d
	for at := 0; at < len(u); at += d {
		g, p := gradTheta.RawRowView(at/d), c.product.RawRowView(at/d)
		floats.Add(gw[at:at+d], correlate(g, p))
		gp := correlate(g, w[at:at+d])
		if c.filters > 0 {
			// Through bound·q/|q|, then through q = u ∗ … ∗ u.
			_, r := c.power(u[at : at+d])
			if r == 0 {
				continue
			}
			floats.AddScaled(gp, -floats.Dot(p, gp)/(c.bound*c.bound), p)
			floats.Scale(float64(c.filters)*c.bound/r, gp)
			for range c.filters - 1 {
				gp = correlate(gp, u[at:at+d])
			}
		}
		floats.Add(gu[at:at+d], gp)
	}
}

// scaled are filters whose product has the length bound.
func (c *circular) scaled(u []float64) *mat.Dense {
	all := mat.NewDense(len(u)/c.d, c.d, clone(u))
	for j := range len(u) / c.d {
		if _, r := c.power(all.RawRowView(j)); r > 0 {
			floats.Scale(math.Pow(c.bound/r, 1/float64(c.filters)), all.RawRowView(j))
		}
	}
	return all
}

// descent is Σ_j X θ_j for a linear network, and Σ_j (X θ_j)_+ a_j otherwise.
func (c *circular) descent(X *mat.Dense, m int) *descent {
	n, d := X.Dims()
	linear := c.filters == 0
	H, G := mat.NewDense(n, m, nil), mat.NewDense(n, m, nil)
	size := 2 * m * d
	if !linear {
		size += m
	}
	u := func(x []float64) []float64 { return x[:m*d] }
	w := func(x []float64) []float64 { return x[m*d : 2*m*d] }
	return &descent{
		size: size,
		forward: func(theta []float64) []float64 {
			H.Mul(X, c.convolved(u(theta), w(theta)).T())
			f := make([]float64, n)
			for i := range f {
				for j, h := range H.RawRowView(i) {
					if linear {
						f[i] += h
					} else {
						f[i] += math.Max(h, 0) * theta[2*m*d+j]
					}
				}
			}
			return f
		},
		backward: func(theta, r, grad []float64) {
			G.Zero()
			for i, ri := range r {
				for j, h := range H.RawRowView(i) {
					switch {
					case linear:
						G.Set(i, j, ri)
					case h > 0:
						grad[2*m*d+j] += ri * h
						G.Set(i, j, ri*theta[2*m*d+j])
					}
				}
			}
			gT := new(mat.Dense)
			gT.Mul(G.T(), X)
			c.pull(gT, u(theta), w(theta), u(grad), w(grad))
		},
		decay: func(theta, grad []float64, beta float64) float64 {
			if linear {
				return halfSquares(theta, grad, beta)
			}
			return halfSquares(theta[m*d:], grad[m*d:size], beta)
		},
		network: func(theta []float64) (*convex.Network, error) {
			theta = clone(theta)
			net := &convex.Network{Inputs: d, Outputs: 1}
			if linear {
				net.Hidden, net.Output = view(theta, 0, m, d), view(theta, m*d, m, d)
			} else {
				net.Hidden, net.Output = view(theta, m*d, m, d), view(theta, 2*m*d, m, 1)
				net.Extra = map[string]*mat.Dense{"filters": c.scaled(u(theta))}
			}
			return own(net, c.arch)
		},
	}
}

// The hidden layer of a model has the filters, its middle one the weights w.

func (c *circular) widths() (hidden, output, middle int) { return c.d, 1, c.d }

func (c *circular) fans() (hidden, middle int) { return c.d, c.d }

func (c *circular) parts(net *convex.Network) (hidden, middle *mat.Dense) {
	return net.Extra["filters"], net.Hidden
}

func (c *circular) grow(rows, m int) { c.h, c.dh = make([]float64, rows*m), make([]float64, rows*m) }

func (c *circular) forward(m *model, x, f blas64.General) {
	k := m.neurons
	h := blas64.General{Rows: x.Rows, Cols: k, Stride: k, Data: c.h[:x.Rows*k]}
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, x, c.convolved(m.hidden.Data, m.middle.Data).RawMatrix(), 0, h)
	for i := range f.Data {
		f.Data[i] = 0
		for j, v := range h.Data[i*k : (i+1)*k] {
			f.Data[i] += max(v, 0) * m.output.Data[j]
		}
	}
}

func (c *circular) backward(m *model, x blas64.General, r []float64, weight float64) {
	k := m.neurons
	dh := c.dh[:x.Rows*k]
	clear(dh)
	for i, ri := range r {
		for j, v := range c.h[i*k : (i+1)*k] {
			if v > 0 {
				m.gradOutput.Data[j] += weight * ri * v
				dh[i*k+j] = weight * ri * m.output.Data[j]
			}
		}
	}
	gradTheta := mat.NewDense(k, c.d, nil)
	blas64.Gemm(blas.Trans, blas.NoTrans, 1, blas64.General{Rows: x.Rows, Cols: k, Stride: k, Data: dh}, x, 0, gradTheta.RawMatrix())
	c.pull(gradTheta, m.hidden.Data, m.middle.Data, m.gradHidden.Data, m.gradMiddle.Data)
}

func (c *circular) network(m *model) *convex.Network {
	net, _ := own(&convex.Network{ // it fails for unknown architectures only
		Inputs: c.d, Outputs: 1,
		Hidden: mat.NewDense(m.neurons, c.d, clone(m.middle.Data)),
		Output: mat.NewDense(m.neurons, 1, clone(m.output.Data)),
		Extra:  map[string]*mat.Dense{"filters": c.scaled(m.hidden.Data)},
	}, c.arch)
	return net
}

// convolve is the circular convolution of u and w, and correlate its adjoint by
// w: ⟨g, u ∗ w⟩ = ⟨correlate(g, u), w⟩.
func convolve(u, w []float64) []float64 {
	d := len(w)
	s := make([]float64, d)
	for i, ui := range u {
		floats.AddScaled(s[i:], ui, w[:d-i])
		floats.AddScaled(s[:i], ui, w[d-i:])
	}
	return s
}

func correlate(g, u []float64) []float64 {
	d := len(g)
	s := make([]float64, d)
	for k := range s {
		s[k] = floats.Dot(g[k:], u[:d-k]) + floats.Dot(g[:k], u[d-k:])
	}
	return s
}
