package convex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Polynomial is the two-layer network with a polynomial activation of degree two,
// unit first-layer weights and one output,
//
//	f(x) = Σ_j s(x'u_j) α_j,  s(t) = a t² + b t + c,  |u_j|₂ = 1,  penalty beta Σ_j |α_j|.
//
// The square of a linear form is linear in u u', so its program is the
// semidefinite one of Bartan & Pilanci (2021, arXiv 2101.02429): over symmetric
// (d+1)×(d+1) matrices Z = [Z1 z; z' ζ] and Z',
//
//	minimise Loss(f) + beta (ζ + ζ')
//	subject to Z ⪰ 0, tr Z1 = ζ, and so for Z',
//	f_i = a x_i'(Z1-Z1')x_i + b x_i'(z-z') + c (ζ-ζ').
//
// It is exact always, in polynomial time, and needs no activation patterns: the
// scope is global. (Under plain weight decay, without |u_j|₂ = 1, the problem is
// NP-hard.) The two blocks are in the coordinates of the penalty Moments.
//
// Networks keep u_j as row j of Hidden and α_j in Output.
type Polynomial struct {
	// Coefficients are a, b and c of a t² + b t + c. All zero means
	// 0.09, 0.5, 0.47, the polynomial nearest to ReLU on [-5, 5] in the paper.
	Coefficients [3]float64
}

func init() { RegisterArch(Polynomial{}) }

// Name is "polynomial".
func (Polynomial) Name() string { return "polynomial" }

func (a Polynomial) coefficients() [3]float64 {
	if a.Coefficients == [3]float64{} {
		return [3]float64{0.09, 0.5, 0.47}
	}
	return a.Coefficients
}

func (a Polynomial) check() error {
	for i, v := range a.Coefficients {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("convex: Polynomial.Coefficients[%d] is %g: want finite numbers a, b, c of a t² + b t + c", i, v)
		}
	}
	return nil
}

// Lower builds the program above.
func (a Polynomial) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	t, err := p.checkOneOutput(a.Name())
	if err != nil {
		return nil, err
	}
	if p.Patterns != nil {
		return nil, errors.New("convex: architecture polynomial has no activation patterns: leave Patterns nil")
	}
	q := t.d + 1
	k := q*(q+1)/2 - 1
	prog := &Program{
		Samples: t.n, Outputs: 1,
		Loss: t.loss, Op: a.op(t.X),
		Blocks:  []Block{{Rows: k, Cols: 1, Weight: 1}, {Offset: k, Rows: k, Cols: 1, Weight: 1}},
		Penalty: Moments(p.Beta),
		Scope:   Global,
	}
	if t.loss.Grad == nil && k <= 1500 {
		prog.Prefer = Interior{}.Name() // splitting converges slowly for losses with kinks
	}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(a, t.d, 1)
		var hidden, output []float64
		for g, b := range prog.Blocks {
			if norm2(b.Of(x)) == 0 {
				continue
			}
			u, w, ok := sphereMeasure(momentMatrix(b.Of(x)))
			if !ok {
				return nil, fmt.Errorf("convex: block %d: the eigenvalue decomposition did not converge", g)
			}
			for j, v := range w {
				hidden, output = append(hidden, u[j]...), append(output, float64(1-2*g)*v)
			}
		}
		if m := len(output); m > 0 {
			net.Hidden, net.Output = mat.NewDense(m, t.d, hidden), mat.NewDense(m, 1, output)
		}
		return net, nil
	}
	return prog, nil
}

// op takes (Z, Z') to the predictions, f_i = [x_i; 1]'(C∘(Z-Z'))[x_i; 1] with
// C = [a b/2; b/2 c], without a feature matrix of n×(d+1)² numbers.
func (a Polynomial) op(X *mat.Dense) Op {
	n, d := X.Dims()
	q := d + 1
	k := q*(q+1)/2 - 1
	E := mat.NewDense(n, q, nil)
	E.Slice(0, n, 0, d).(*mat.Dense).Copy(X)
	for i := range n {
		E.Set(i, d, 1)
	}
	coef := a.coefficients()
	weigh := func(i, j int, v float64) float64 {
		switch {
		case i < d && j < d:
			return coef[0] * v
		case i < d || j < d:
			return coef[1] / 2 * v
		}
		return coef[2] * v
	}
	return Op{
		Name: fmt.Sprintf("polynomial features %d×%d", n, k),
		Rows: n, Cols: 2 * k,
		Apply: func(dst, x []float64) {
			z := make([]float64, k)
			for i := range z {
				z[i] = x[i] - x[k+i]
			}
			S, T := new(mat.Dense), new(mat.Dense)
			S.Apply(weigh, momentMatrix(z))
			T.Mul(E, S)
			for i := range dst {
				dst[i] = dot(T.RawRowView(i), E.RawRowView(i))
			}
		},
		Adjoint: func(dst, y []float64) {
			T, S := mat.NewDense(n, q, nil), new(mat.Dense)
			T.Apply(func(i, j int, v float64) float64 { return y[i] * v }, E)
			S.Mul(E.T(), T)
			S.Apply(weigh, S)
			momentCoordinates(dst[:k], S)
			for i, v := range dst[:k] {
				dst[k+i] = -v
			}
		},
	}
}

func (a Polynomial) run(net *Network) {
	net.Activations, net.Decay, net.unitHidden = a.activations, outputDecay, true
}

func (a Polynomial) activations(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	coef := a.coefficients()
	A := new(mat.Dense)
	A.Mul(inputs[0], net.Hidden.T())
	A.Apply(func(_, _ int, t float64) float64 { return (coef[0]*t+coef[1])*t + coef[2] }, A)
	return A, nil
}

func (Polynomial) fileFields() []string { return []string{"coefficients"} }

func (a Polynomial) fromFile(raw map[string]json.RawMessage) (Arch, error) {
	if v, ok := raw["coefficients"]; ok {
		var c []float64
		if err := json.Unmarshal(v, &c); err != nil || len(c) != 3 {
			return nil, fmt.Errorf(`field "coefficients" is %s: want [a, b, c] of a t² + b t + c`, excerpt(v))
		}
		copy(a.Coefficients[:], c)
		if a.Coefficients == [3]float64{} {
			return nil, errors.New(`field "coefficients": all three are zero, which is no activation`)
		}
	}
	return a, nil
}

func (a Polynomial) toFile() map[string]any {
	if a.Coefficients == [3]float64{} {
		return nil
	}
	return map[string]any{"coefficients": a.Coefficients}
}
