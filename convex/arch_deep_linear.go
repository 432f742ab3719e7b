package convex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// DeepLinear is the linear network of L layers in parallel branches,
//
//	f = Σ_b X W_1b W_2b … W_Lb,   penalty (beta/L) Σ_b Σ_l ‖W_lb‖_F^L,
//
// which for L = 2 is weight decay beta/2 Σ ‖W_l‖_F² on one network X W_1 W_2.
// Its program is
//
//	minimise Loss(X Z) + beta ‖Z‖_*,  Z ∈ R^{d×c},
//
// exact for every L (with one branch a singular value; with one output a single
// branch does). The ordinary weight decay beta/2 Σ_l ‖W_l‖_F² of a standard
// network with L ≥ 3 has no convex equivalent: its value is that of the
// Schatten-2/L quasi-norm, see SchattenValue.
type DeepLinear struct {
	Layers int // L ≥ 2; 0 means 2
}

func init() { RegisterArch(DeepLinear{}) }

// Name is "deep_linear".
func (DeepLinear) Name() string { return "deep_linear" }

func (a DeepLinear) layers() int {
	if a.Layers == 0 {
		return 2
	}
	return a.Layers
}

// Lower builds the program above.
func (a DeepLinear) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	if a.layers() < 2 {
		return nil, fmt.Errorf("convex: DeepLinear.Layers is %d: want 2 or more", a.Layers)
	}
	if a.layers() > maxLayers {
		return nil, fmt.Errorf("convex: DeepLinear.Layers is %d: want at most %d, since all of them are multiplied out", a.Layers, maxLayers)
	}
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	if t.X == nil {
		return nil, fmt.Errorf("convex: architecture deep_linear takes X, not Patches")
	}
	prog := &Program{
		Samples: t.n, Outputs: t.c,
		Loss: t.loss, Op: patchOp([]mat.Matrix{t.X}, t.c),
		Blocks:  []Block{{Rows: t.d, Cols: t.c, Weight: 1}},
		Penalty: Nuclear(p.Beta),
		Scope:   Global,
	}
	prog.Decode = func(x []float64) (*Network, error) {
		// Branch b is the singular triple (s, u, v): every layer has norm
		// s^(1/L), the first along u, the last along v. Hidden and Output keep
		// u √s and v √s, whose product is what f needs.
		net := newNetwork(a, t.d, t.c)
		err := net.fromSVD(prog.Blocks, x)
		net.gate = nil
		return net, err
	}
	return prog, nil
}

// Weights returns the L matrices of every branch of a network that Solve made
// for this architecture, each layer of norm s^(1/L): d×1, then 1×1, then 1×c.
func (a DeepLinear) Weights(net *Network) ([][]*mat.Dense, error) {
	if net == nil || net.Arch != a.Name() {
		return nil, errors.New("convex: DeepLinear.Weights wants a network of architecture deep_linear")
	}
	L := a.layers()
	var branches [][]*mat.Dense
	for j := range net.Neurons() {
		u, v := net.Hidden.RawRowView(j), net.Output.RawRowView(j)
		nu, nv := norm2(u), norm2(v)
		if nu == 0 || nv == 0 {
			continue
		}
		root := math.Pow(nu*nv, 1/float64(L))
		ws := []*mat.Dense{mat.NewDense(len(u), 1, append([]float64(nil), u...))}
		ws[0].Scale(root/nu, ws[0])
		for range L - 2 {
			ws = append(ws, mat.NewDense(1, 1, []float64{root}))
		}
		last := mat.NewDense(1, len(v), append([]float64(nil), v...))
		last.Scale(root/nv, last)
		branches = append(branches, append(ws, last))
	}
	return branches, nil
}

// decay is (1/L) Σ_b Σ_l ‖W_lb‖_F^L of the balanced weights.
func (a DeepLinear) decay(net *Network) float64 {
	branches, err := a.Weights(net)
	if err != nil {
		return math.NaN()
	}
	L, s := float64(a.layers()), 0.0
	for _, ws := range branches {
		for _, w := range ws {
			s += math.Pow(mat.Norm(w, 2), L) / L
		}
	}
	return s
}

func (a DeepLinear) run(net *Network) { net.Activations, net.Decay = linearActivations, a.decay }

func linearActivations(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	A := new(mat.Dense)
	A.Mul(inputs[0], net.Hidden.T())
	return A, nil
}

// SchattenValue is the objective of a standard L-layer linear network X W_1 … W_L
// under ordinary weight decay beta/2 Σ_l ‖W_l‖_F² with product Z, at its
// cheapest factorisation: Loss(XZ) + (beta L/2) Σ_i σ_i(Z)^(2/L). It is
// non-convex in Z for L ≥ 3, so it is reported and never minimised here.
func (a DeepLinear) SchattenValue(p Problem, Z mat.Matrix) (float64, error) {
	t, err := p.check()
	if err != nil {
		return 0, err
	}
	M, err := finiteMatrix("Z", Z)
	if err != nil {
		return 0, err
	}
	if r, c := M.Dims(); r != t.d || c != t.c {
		return 0, fmt.Errorf("convex: Z is %d×%d but X has %d columns and Y %d: want %d×%d", r, c, t.d, t.c, t.d, t.c)
	}
	f := make([]float64, t.n*t.c)
	patchOp(t.inputs, t.c).Apply(f, flatten(M))
	L, s := float64(a.layers()), 0.0
	for _, sv := range singularValues(flatten(M), t.d, t.c) {
		s += math.Pow(sv, 2/L)
	}
	return t.loss.Value(f) + p.Beta*L/2*s, nil
}

func (DeepLinear) fileFields() []string { return []string{"layers"} }

func (a DeepLinear) fromFile(raw map[string]json.RawMessage) (Arch, error) {
	if v, ok := raw["layers"]; ok {
		if err := json.Unmarshal(v, &a.Layers); err != nil || a.Layers < 2 {
			return nil, errors.New(`field "layers": want a whole number of 2 or more`)
		}
	}
	return a, nil
}

func (a DeepLinear) toFile() map[string]any {
	if a.Layers == 0 {
		return nil
	}
	return map[string]any{"layers": a.Layers}
}
