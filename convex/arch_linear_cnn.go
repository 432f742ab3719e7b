package convex

import (
	"context"
	"encoding/json"
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// LinearCNN is the two-layer linear convolutional network
//
//	f = Σ_j Σ_k X_k u_j w_jk',   weight decay beta/2 Σ_j (|u_j|² + |w_j|²),
//
// over patches X_k (n×h, k = 1…K) with filters u_j ∈ R^h and one weight a patch
// and output. Its program is
//
//	minimise Loss(Σ_k X_k Z_k) + beta ‖[Z_1 … Z_K]‖_*  over Z ∈ R^{h×Kc},
//
// exact always (Pilanci & Ergen 2020, §6), with rank Z filters at most.
type LinearCNN struct{}

func init() { RegisterArch(LinearCNN{}) }

// Name is "linear_cnn".
func (LinearCNN) Name() string { return "linear_cnn" }

// Lower builds the program above.
func (a LinearCNN) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	if t.X != nil {
		return nil, fmt.Errorf("convex: architecture linear_cnn takes Patches, not X: K matrices n×h, patch k of every sample, or images and Patching, which cuts them")
	}
	h, K, c := t.d, len(t.inputs), t.c
	prog := &Program{
		Samples: t.n, Outputs: c,
		Loss: t.loss, Op: patchOp(t.inputs, c),
		Blocks:  []Block{{Rows: h, Cols: K * c, Weight: 1}},
		Penalty: Nuclear(p.Beta),
		Scope:   Global,
	}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(a, h, K*c)
		err := net.fromSVD(prog.Blocks, x)
		net.Outputs, net.gate = c, nil
		return net, err
	}
	return prog, nil
}

func (LinearCNN) run(net *Network) { net.Forward = forwardPatches }

// forwardPatches is Σ_k X_k Hidden' Output_k, where Output_k are the columns of
// patch k.
func forwardPatches(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	n, h := inputs[0].Dims()
	out := mat.NewDense(n, net.Outputs, nil)
	if net.Neurons() == 0 {
		return out, nil
	}
	m, kc := net.Output.Dims()
	if h != net.Inputs || len(inputs)*net.Outputs != kc {
		return nil, fmt.Errorf("convex: the network takes %d patches of n×%d, not %d of %d×%d", kc/net.Outputs, net.Inputs, len(inputs), n, h)
	}
	var A, f mat.Dense
	for k, X := range inputs {
		A.Reset()
		A.Mul(X, net.Hidden.T())
		f.Reset()
		f.Mul(&A, net.Output.Slice(0, m, k*net.Outputs, (k+1)*net.Outputs))
		out.Add(out, &f)
	}
	return out, nil
}

// patchOp is Z ↦ Σ_k X_k Z_k, where Z_k are columns kc to (k+1)c of the h×Kc
// matrix Z.
func patchOp(patches []mat.Matrix, c int) Op {
	n, h := patches[0].Dims()
	K := len(patches)
	return Op{
		Name: fmt.Sprintf("%d patches", K),
		Rows: n * c, Cols: h * K * c,
		Apply: func(dst, x []float64) {
			Z, f := mat.NewDense(h, K*c, x), mat.NewDense(n, c, dst)
			f.Zero()
			var t mat.Dense
			for k, X := range patches {
				t.Reset()
				t.Mul(X, Z.Slice(0, h, k*c, (k+1)*c))
				f.Add(f, &t)
			}
		},
		Adjoint: func(dst, y []float64) {
			G, r := mat.NewDense(h, K*c, dst), mat.NewDense(n, c, y)
			for k, X := range patches {
				G.Slice(0, h, k*c, (k+1)*c).(*mat.Dense).Mul(X.T(), r)
			}
		},
	}
}

func (LinearCNN) fileFields() []string { return []string{"patches"} }

func (a LinearCNN) fromFile(map[string]json.RawMessage) (Arch, error) { return a, nil }

func (LinearCNN) toFile() map[string]any { return nil }
