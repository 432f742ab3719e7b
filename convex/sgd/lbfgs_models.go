package sgd

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

// newDescent is the network of p as L-BFGS trains it; nil for an architecture
// that the other methods train too.
func newDescent(ctx context.Context, p convex.Problem, o Options) (*descent, error) {
	if _, err := convex.Lower(ctx, p, &convex.Settings{MaxPatterns: 1, Samples: 1}); err != nil {
		return nil, err // which says what is wrong with the problem
	}
	_, c := dims(p.Y)
	m := o.Neurons
	if m == 0 {
		m = defaultNeurons
	}
	switch a := p.Arch.(type) {
	case nil:
		return rectifierDescent(mat.DenseCopyOf(p.X), m, c, 0, convex.ReLU{}), nil
	case convex.ReLU:
		if a.Penalty == "" {
			return rectifierDescent(mat.DenseCopyOf(p.X), m, c, 0, a), nil
		}
	case convex.LeakyReLU:
		return rectifierDescent(mat.DenseCopyOf(p.X), m, c, a.Slope, a), nil
	case convex.Polynomial:
		return polynomialDescent(mat.DenseCopyOf(p.X), m, a), nil
	case convex.BatchNormReLU:
		return batchNormDescent(ctx, p, m, a)
	case convex.DeepLinear:
		return deepLinearDescent(mat.DenseCopyOf(p.X), m, c, a), nil
	case convex.LinearCNN:
		patches := p.Patches
		if len(patches) == 0 {
			var err error
			if patches, err = p.Patching.Patches(p.X); err != nil {
				return nil, err
			}
		}
		return linearCNNDescent(patches, m, c, p.Patching, a), nil
	case convex.CircularLinearCNN:
		_, d := dims(p.X)
		return (&circular{arch: a, d: d}).descent(mat.DenseCopyOf(p.X), m), nil
	case convex.CircularReLUCNN:
		_, d := dims(p.X)
		return newCircular(a, d).descent(mat.DenseCopyOf(p.X), m), nil
	}
	return nil, nil
}

// own gives a network the functions of its architecture.
func own(net *convex.Network, a convex.Arch) (*convex.Network, error) { return net, net.SetArch(a) }

// halfSquares is ½|theta|² with its gradient, rate times theta.
func halfSquares(theta, grad []float64, rate float64) float64 {
	s := 0.0
	for i, v := range theta {
		s += v * v
		grad[i] += rate * v
	}
	return s / 2
}

// view is rows×cols numbers of x from at.
func view(x []float64, at, rows, cols int) *mat.Dense {
	return mat.NewDense(rows, cols, x[at:at+rows*cols:at+rows*cols])
}

func clone(x []float64) []float64 { return append([]float64(nil), x...) }

// rectifierDescent is f = s(X U') A with s(t) = t above and slope·t below zero.
func rectifierDescent(X *mat.Dense, m, c int, slope float64, a convex.Arch) *descent {
	n, d := X.Dims()
	H, S := mat.NewDense(n, m, nil), mat.NewDense(n, m, nil)
	return &descent{
		size: m * (d + c),
		forward: func(theta []float64) []float64 {
			H.Mul(X, view(theta, 0, m, d).T())
			S.Apply(func(i, j int, v float64) float64 {
				if v > 0 {
					return v
				}
				return slope * v
			}, H)
			f := mat.NewDense(n, c, nil)
			f.Mul(S, view(theta, m*d, m, c))
			return f.RawMatrix().Data
		},
		backward: func(theta, r, grad []float64) {
			R := mat.NewDense(n, c, r)
			var gA, dH, gU mat.Dense
			gA.Mul(S.T(), R)
			dH.Mul(R, view(theta, m*d, m, c).T())
			dH.Apply(func(i, j int, v float64) float64 {
				if H.At(i, j) > 0 {
					return v
				}
				return slope * v
			}, &dH)
			gU.Mul(dH.T(), X)
			into := view(grad, 0, m, d)
			into.Add(into, &gU)
			into = view(grad, m*d, m, c)
			into.Add(into, &gA)
		},
		decay: func(theta, grad []float64, beta float64) float64 { return halfSquares(theta, grad, beta) },
		network: func(theta []float64) (*convex.Network, error) {
			theta = clone(theta)
			return own(&convex.Network{Inputs: d, Outputs: c, Hidden: view(theta, 0, m, d), Output: view(theta, m*d, m, c)}, a)
		},
	}
}

// polynomialDescent is f = Σ_j s(x'u_j/|u_j|) α_j with α = p² - q², which makes
// |α| smooth: p² + q² is no less, and the same at an optimum.
func polynomialDescent(X *mat.Dense, m int, a convex.Polynomial) *descent {
	n, d := X.Dims()
	coef := a.Coefficients
	if coef == [3]float64{} {
		coef = [3]float64{0.09, 0.5, 0.47}
	}
	H, S, U := mat.NewDense(n, m, nil), mat.NewDense(n, m, nil), mat.NewDense(m, d, nil)
	alpha := func(theta []float64, j int) float64 {
		p, q := theta[m*d+j], theta[m*d+m+j]
		return p*p - q*q
	}
	return &descent{
		size: m * (d + 2),
		forward: func(theta []float64) []float64 {
			unitRows(U, theta)
			H.Mul(X, U.T())
			S.Apply(func(i, j int, t float64) float64 { return (coef[0]*t+coef[1])*t + coef[2] }, H)
			f := make([]float64, n)
			for i := range f {
				for j, s := range S.RawRowView(i) {
					f[i] += s * alpha(theta, j)
				}
			}
			return f
		},
		backward: func(theta, r, grad []float64) {
			gA := make([]float64, m)
			G := mat.NewDense(n, m, nil)
			for i, ri := range r {
				for j, t := range H.RawRowView(i) {
					gA[j] += ri * S.At(i, j)
					G.Set(i, j, ri*alpha(theta, j)*(2*coef[0]*t+coef[1]))
				}
			}
			for j, g := range gA {
				grad[m*d+j] += 2 * theta[m*d+j] * g
				grad[m*d+m+j] -= 2 * theta[m*d+m+j] * g
			}
			gU := new(mat.Dense)
			gU.Mul(G.T(), X)
			pullUnit(grad, theta, U, gU)
		},
		decay: func(theta, grad []float64, beta float64) float64 {
			return 2 * halfSquares(theta[m*d:], grad[m*d:m*d+2*m], 2*beta)
		},
		network: func(theta []float64) (*convex.Network, error) {
			net := &convex.Network{Inputs: d, Outputs: 1, Hidden: mat.NewDense(m, d, nil), Output: mat.NewDense(m, 1, nil)}
			unitRows(net.Hidden, theta)
			for j := range m {
				net.Output.Set(j, 0, alpha(theta, j))
			}
			return own(net, a)
		},
	}
}

// unitRows sets the rows of U to those of theta at length one.
func unitRows(U *mat.Dense, theta []float64) {
	m, d := U.Dims()
	for j := range m {
		row := U.RawRowView(j)
		copy(row, theta[j*d:])
		if s := norm(row); s > 0 {
			for i := range row {
				row[i] /= s
			}
		}
	}
}

// pullUnit adds the gradient by theta of a function of its unit rows U from that
// by U: what is left across the row, over its length.
func pullUnit(grad, theta []float64, U, gU *mat.Dense) {
	m, d := U.Dims()
	for j := range m {
		u, g := U.RawRowView(j), gU.RawRowView(j)
		size := norm(theta[j*d : (j+1)*d])
		if size == 0 {
			continue
		}
		along := 0.0
		for i, v := range u {
			along += v * g[i]
		}
		for i, v := range u {
			grad[j*d+i] += (g[i] - along*v) / size
		}
	}
}

// batchNormDescent is f = Σ_j (γ_j (Xw_j - mean)/|Xw_j - mean| + α_j/√n)_+ a_j.
func batchNormDescent(ctx context.Context, p convex.Problem, m int, a convex.BatchNormReLU) (*descent, error) {
	// The network without neurons knows the statistics of the data.
	prog, err := convex.Lower(ctx, p, &convex.Settings{MaxPatterns: 1, Samples: 1})
	if err != nil {
		return nil, err
	}
	plain, err := prog.Decode(make([]float64, prog.Op.Cols))
	if err != nil {
		return nil, err
	}
	n, d := dims(p.X)
	mean, whiten := plain.Extra["mean"], plain.Extra["whiten"]
	_, rank := whiten.Dims()
	X := mat.NewDense(n, d, nil)
	X.Apply(func(i, j int, v float64) float64 { return v - mean.At(0, j) }, p.X)
	root := math.Sqrt(float64(n))
	Z, H := mat.NewDense(n, m, nil), mat.NewDense(n, m, nil) // normalised; before the ReLU
	size := make([]float64, m)
	// theta: w (m×d), γ, α, a.
	at := m * d
	forward := func(theta []float64) []float64 {
		Z.Mul(X, view(theta, 0, m, d).T())
		for j := range m {
			size[j] = mat.Norm(Z.ColView(j), 2)
		}
		f := make([]float64, n)
		for i := range f {
			z, h := Z.RawRowView(i), H.RawRowView(i)
			for j := range z {
				if size[j] > 0 {
					z[j] /= size[j]
				}
				h[j] = theta[at+j]*z[j] + theta[at+m+j]/root
				f[i] += math.Max(h[j], 0) * theta[at+2*m+j]
			}
		}
		return f
	}
	return &descent{
		size:    m * (d + 3),
		forward: forward,
		backward: func(theta, r, grad []float64) {
			G := mat.NewDense(n, m, nil) // by Z
			along := make([]float64, m)
			for i, ri := range r {
				for j, h := range H.RawRowView(i) {
					if !(h > 0) {
						continue
					}
					g := ri * theta[at+2*m+j]
					grad[at+2*m+j] += ri * h
					grad[at+m+j] += g / root
					grad[at+j] += g * Z.At(i, j)
					G.Set(i, j, g*theta[at+j])
					along[j] += g * theta[at+j] * Z.At(i, j)
				}
			}
			G.Apply(func(i, j int, g float64) float64 {
				if size[j] == 0 {
					return 0
				}
				return (g - along[j]*Z.At(i, j)) / size[j]
			}, G)
			var gW mat.Dense
			gW.Mul(G.T(), X)
			into := view(grad, 0, m, d)
			into.Add(into, &gW)
		},
		decay: func(theta, grad []float64, beta float64) float64 {
			return halfSquares(theta[at:], grad[at:at+3*m], beta)
		},
		network: func(theta []float64) (*convex.Network, error) {
			forward(theta)
			net := *plain
			net.Hidden, net.Output = mat.NewDense(m, rank+1, nil), mat.NewDense(m, 1, nil)
			// γ Z_j in the whitened basis, which is orthonormal.
			var basis, coordinates mat.Dense
			basis.Mul(X, whiten)
			coordinates.Mul(basis.T(), Z)
			for j := range m {
				for k := range rank {
					net.Hidden.Set(j, k, theta[at+j]*coordinates.At(k, j))
				}
				net.Hidden.Set(j, rank, theta[at+m+j])
				net.Output.Set(j, 0, theta[at+2*m+j])
			}
			return &net, nil
		},
	}, nil
}

// deepLinearDescent is f = Σ_b X u_b t_b1 … t_b(L-2) v_b', whose inner layers are
// single numbers.
func deepLinearDescent(X *mat.Dense, m, c int, a convex.DeepLinear) *descent {
	n, d := X.Dims()
	L := a.Layers
	if L == 0 {
		L = 2
	}
	inner := L - 2
	H := mat.NewDense(n, m, nil)
	at, in := m*d, m*(d+c) // of v and of t
	product := func(theta []float64, j, without int) float64 {
		t := 1.0
		for l := range inner {
			if l != without {
				t *= theta[in+j*inner+l]
			}
		}
		return t
	}
	return &descent{
		size: m * (d + c + inner),
		forward: func(theta []float64) []float64 {
			H.Mul(X, view(theta, 0, m, d).T())
			V := mat.NewDense(m, c, nil)
			V.Apply(func(j, o int, v float64) float64 { return v * product(theta, j, -1) }, view(theta, at, m, c))
			f := mat.NewDense(n, c, nil)
			f.Mul(H, V)
			return f.RawMatrix().Data
		},
		backward: func(theta, r, grad []float64) {
			R := mat.NewDense(n, c, r)
			var HR, RX mat.Dense
			HR.Mul(H.T(), R) // m×c
			RX.Mul(R.T(), X) // c×d
			for j := range m {
				t := product(theta, j, -1)
				v := theta[at+j*c : at+(j+1)*c]
				along := 0.0
				for o, vo := range v {
					grad[at+j*c+o] += t * HR.At(j, o)
					along += vo * HR.At(j, o)
					for i := range d {
						grad[j*d+i] += t * vo * RX.At(o, i)
					}
				}
				for l := range inner {
					grad[in+j*inner+l] += product(theta, j, l) * along
				}
			}
		},
		decay: func(theta, grad []float64, beta float64) float64 {
			power := float64(L)
			s := 0.0
			add := func(from, to int) { // |w|^L/L
				r := norm(theta[from:to])
				s += math.Pow(r, power) / power
				if r > 0 {
					f := beta * math.Pow(r, power-2)
					for i := from; i < to; i++ {
						grad[i] += f * theta[i]
					}
				}
			}
			for j := range m {
				add(j*d, (j+1)*d)
				add(at+j*c, at+(j+1)*c)
				for l := range inner {
					add(in+j*inner+l, in+j*inner+l+1)
				}
			}
			return s
		},
		network: func(theta []float64) (*convex.Network, error) {
			net := &convex.Network{Inputs: d, Outputs: c, Hidden: view(clone(theta), 0, m, d), Output: mat.NewDense(m, c, nil)}
			net.Output.Apply(func(j, o int, v float64) float64 { return v * product(theta, j, -1) }, view(theta, at, m, c))
			return own(net, a)
		},
	}
}

// linearCNNDescent is f = Σ_k X_k U' W_k.
func linearCNNDescent(patches []mat.Matrix, m, c int, g convex.Patching, a convex.Arch) *descent {
	n, h := patches[0].Dims()
	K := len(patches)
	H := make([]*mat.Dense, K)
	for k := range H {
		H[k] = mat.NewDense(n, m, nil)
	}
	part := func(x []float64, k int) mat.Matrix { return view(x, m*h, m, K*c).Slice(0, m, k*c, (k+1)*c) }
	return &descent{
		size: m * (h + K*c),
		forward: func(theta []float64) []float64 {
			f, t := mat.NewDense(n, c, nil), new(mat.Dense)
			for k, X := range patches {
				H[k].Mul(X, view(theta, 0, m, h).T())
				t.Reset()
				t.Mul(H[k], part(theta, k))
				f.Add(f, t)
			}
			return f.RawMatrix().Data
		},
		backward: func(theta, r, grad []float64) {
			R := mat.NewDense(n, c, r)
			into := view(grad, 0, m, h)
			for k, X := range patches {
				var gW, RW, gU mat.Dense
				gW.Mul(H[k].T(), R)
				w := part(grad, k).(*mat.Dense)
				w.Add(w, &gW)
				RW.Mul(R, part(theta, k).T())
				gU.Mul(RW.T(), X)
				into.Add(into, &gU)
			}
		},
		decay: func(theta, grad []float64, beta float64) float64 { return halfSquares(theta, grad, beta) },
		network: func(theta []float64) (*convex.Network, error) {
			theta = clone(theta)
			return own(&convex.Network{Inputs: h, Outputs: c, Patching: g, Hidden: view(theta, 0, m, h), Output: view(theta, m*h, m, K*c)}, a)
		},
	}
}
