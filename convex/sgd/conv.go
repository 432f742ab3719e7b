package sgd

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

// conv is what a convolutional network adds to a model: its samples are rows of
// K patches of h numbers, one after the other, so that n rows are n·K rows of
// single patches to a matrix product.
//
// A neuron has a filter of h numbers (K of them when untied) in the hidden
// layer. In the output layer it has one weight, or one a patch when the pooled
// outputs are flattened; with two ReLU layers one, and K middle weights before
// it. There the filters are taken at length one and do not decay.
type conv struct {
	kind  string // "sum", "average", "max", "flatten", "tied" or "untied"
	K, h  int
	plain *convex.Network // without neurons

	z, dz []float64 // rows·K × m: before the first activation, and the gradient there
	s     []float64 // rows × m: before the second one
	unit  []float64 // filters at length one
	g     []float64 // gradient by those
}

func (c *conv) threeLayers() bool { return c.kind == "tied" || c.kind == "untied" }

// newConv describes the network of p, or returns nil for one that is not
// convolutional, as parallel branches are with every unit a patch; X has a sample a row.
func newConv(ctx context.Context, p convex.Problem) (c *conv, X *mat.Dense, err error) {
	c = new(conv)
	switch arch := p.Arch.(type) {
	case convex.CNN:
		if c.kind = arch.Pool; c.kind == "" {
			c.kind = "sum"
		}
	case convex.ThreeLayerReLUCNN:
		if c.kind = arch.Filters; c.kind == "" {
			c.kind = "untied"
		}
	case convex.ParallelReLU:
		c.kind = "untied"
	default:
		return nil, nil, nil
	}
	// The cheapest program has a network without neurons to start from, and
	// lowering checks the problem.
	p.Patterns = nil
	prog, err := convex.Lower(ctx, p, &convex.Settings{MaxPatterns: 1, Samples: 1})
	if err != nil {
		return nil, nil, fmt.Errorf("sgd: %w", err)
	}
	if c.plain, err = prog.Decode(make([]float64, prog.Op.Cols)); err != nil {
		return nil, nil, fmt.Errorf("sgd: %w", err)
	}
	patches := p.Patches
	if arch, ok := p.Arch.(convex.ParallelReLU); ok {
		patches = slices.Repeat([]mat.Matrix{p.X}, cmp.Or(arch.Units, 2))
	} else if len(patches) == 0 {
		if patches, err = p.Patching.Patches(p.X); err != nil {
			return nil, nil, fmt.Errorf("sgd: %w", err)
		}
	}
	n, h := patches[0].Dims()
	c.K, c.h = len(patches), h
	X = mat.NewDense(n, c.K*h, nil)
	for k, P := range patches {
		X.Slice(0, n, k*h, (k+1)*h).(*mat.Dense).Copy(P)
	}
	return c, X, nil
}

func (c *conv) widths() (hidden, output, middle int) {
	hidden, output = c.h, 1
	switch c.kind {
	case "flatten":
		output = c.K
	case "untied":
		hidden, middle = c.K*c.h, c.K
	case "tied":
		middle = c.K
	}
	return hidden, output, middle
}

func (c *conv) fans() (hidden, middle int) { return c.h, c.K }

func (c *conv) parts(net *convex.Network) (hidden, middle *mat.Dense) {
	return net.Hidden, net.Extra["w1"]
}

func (c *conv) grow(rows, m int) {
	hidden, _, middle := c.widths()
	c.z, c.dz = make([]float64, rows*c.K*m), make([]float64, rows*c.K*m)
	if middle > 0 {
		c.s, c.unit, c.g = make([]float64, rows*m), make([]float64, m*hidden), make([]float64, m*hidden)
	}
}

// filters are those that the patches meet, one a row.
func (c *conv) filters(hidden blas64.General) blas64.General {
	if !c.threeLayers() {
		return hidden
	}
	copy(c.unit, hidden.Data)
	for at := 0; at < len(c.unit); at += c.h {
		u := c.unit[at : at+c.h]
		if size := norm(u); size > 0 {
			for i := range u {
				u[i] /= size
			}
		}
	}
	hidden.Data = c.unit
	return hidden
}

func norm(u []float64) float64 { return blas64.Nrm2(blas64.Vector{N: len(u), Inc: 1, Data: u}) }

// products calls multiply with matching parts of the patches, the filters and
// the first layer: all at once, or patch by patch when each has its own filters.
func (c *conv) products(x, filters blas64.General, z []float64, multiply func(x, u, z blas64.General)) {
	rows, m := x.Rows, filters.Rows
	if c.kind != "untied" {
		multiply(blas64.General{Rows: rows * c.K, Cols: c.h, Stride: c.h, Data: x.Data}, filters,
			blas64.General{Rows: rows * c.K, Cols: m, Stride: m, Data: z})
		return
	}
	for k := range c.K {
		multiply(blas64.General{Rows: rows, Cols: c.h, Stride: x.Stride, Data: x.Data[k*c.h:]},
			blas64.General{Rows: m, Cols: c.h, Stride: filters.Stride, Data: filters.Data[k*c.h:]},
			blas64.General{Rows: rows, Cols: m, Stride: c.K * m, Data: z[k*m:]})
	}
}

func (c *conv) forward(m *model, x, f blas64.General) {
	k := m.neurons
	z := c.z[:x.Rows*c.K*k]
	c.products(x, c.filters(m.hidden), z, func(x, u, z blas64.General) {
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, x, u, 0, z)
	})
	a := m.output.Data
	for i := range x.Rows {
		zi := z[i*c.K*k : (i+1)*c.K*k]
		sum := 0.0
		switch c.kind {
		case "max":
			for j := range k {
				if q := c.winner(zi, j, k); q >= 0 {
					sum += zi[q*k+j] * a[j]
				}
			}
		case "tied", "untied":
			s := c.s[i*k : (i+1)*k]
			clear(s)
			for q := range c.K {
				for j, v := range zi[q*k : (q+1)*k] {
					s[j] += max(v, 0) * m.middle.Data[j*c.K+q]
				}
			}
			for j, v := range s {
				sum += max(v, 0) * a[j]
			}
		default:
			for q := range c.K {
				for j, v := range zi[q*k : (q+1)*k] {
					sum += max(v, 0) * a[c.weight(j, q)]
				}
			}
		}
		f.Data[i] = sum * c.scale()
	}
}

// weight is the index of the output weight of neuron j on patch q.
func (c *conv) weight(j, q int) int {
	if c.kind == "flatten" {
		return j*c.K + q
	}
	return j
}

func (c *conv) scale() float64 {
	if c.kind == "average" {
		return 1 / float64(c.K)
	}
	return 1
}

// winner is the patch with the largest positive output of neuron j, -1 if none.
func (c *conv) winner(z []float64, j, k int) int {
	best, at := 0.0, -1
	for q := range c.K {
		if v := z[q*k+j]; v > best {
			best, at = v, q
		}
	}
	return at
}

func (c *conv) backward(m *model, x blas64.General, r []float64, weight float64) {
	k := m.neurons
	z, dz := c.z[:x.Rows*c.K*k], c.dz[:x.Rows*c.K*k]
	clear(dz)
	a, da := m.output.Data, m.gradOutput.Data
	for i := range x.Rows {
		zi, di := z[i*c.K*k:(i+1)*c.K*k], dz[i*c.K*k:(i+1)*c.K*k]
		t := r[i] * weight * c.scale()
		switch c.kind {
		case "max":
			for j := range k {
				if q := c.winner(zi, j, k); q >= 0 {
					da[j] += t * zi[q*k+j]
					di[q*k+j] = t * a[j]
				}
			}
		case "tied", "untied":
			for j, s := range c.s[i*k : (i+1)*k] {
				if !(s > 0) {
					continue
				}
				da[j] += t * s
				for q := range c.K {
					if v := zi[q*k+j]; v > 0 {
						m.gradMiddle.Data[j*c.K+q] += t * a[j] * v
						di[q*k+j] = t * a[j] * m.middle.Data[j*c.K+q]
					}
				}
			}
		default:
			for q := range c.K {
				for j, v := range zi[q*k : (q+1)*k] {
					if v > 0 {
						w := c.weight(j, q)
						da[w] += t * v
						di[q*k+j] = t * a[w]
					}
				}
			}
		}
	}
	into := m.gradHidden
	if c.threeLayers() {
		clear(c.g)
		into.Data = c.g
	}
	c.products(x, into, dz, func(x, g, z blas64.General) {
		blas64.Gemm(blas.Trans, blas.NoTrans, 1, z, x, 1, g)
	})
	if !c.threeLayers() {
		return
	}
	// By u through u/|u|: what is left of the gradient across u, over |u|.
	for at := 0; at < len(c.g); at += c.h {
		u, g := c.unit[at:at+c.h], c.g[at:at+c.h]
		size := norm(m.hidden.Data[at : at+c.h])
		if size == 0 {
			continue
		}
		along := 0.0
		for i, v := range u {
			along += v * g[i]
		}
		for i, v := range g {
			m.gradHidden.Data[at+i] += (v - along*u[i]) / size
		}
	}
}

func (c *conv) network(m *model) *convex.Network {
	net := *c.plain
	k, hidden := m.neurons, m.hidden
	hidden = c.filters(hidden)
	_, output, middle := c.widths()
	net.Hidden = mat.NewDense(k, hidden.Cols, append([]float64(nil), hidden.Data...))
	net.Output = mat.NewDense(k, output, append([]float64(nil), m.output.Data...))
	if middle > 0 {
		net.Extra = map[string]*mat.Dense{"w1": mat.NewDense(k, middle, append([]float64(nil), m.middle.Data...))}
	}
	return &net
}

// perOutputDecay is Σ_j (Σ_o |w_jo|)² of the rows of W; grad, unless nil, gets
// rate times half its gradient.
func perOutputDecay(W blas64.General, grad []float64, rate float64) float64 {
	total := 0.0
	for j := range W.Rows {
		sum := 0.0
		w := W.Data[j*W.Stride : j*W.Stride+W.Cols]
		for _, v := range w {
			sum += math.Abs(v)
		}
		total += sum * sum
		if grad != nil {
			for o, v := range w {
				if v != 0 {
					grad[j*W.Stride+o] += rate * math.Copysign(sum, v)
				}
			}
		}
	}
	return total
}
