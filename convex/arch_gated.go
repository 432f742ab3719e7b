package convex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"gonum.org/v1/gonum/mat"
)

// GatedReLU is the two-layer gated ReLU network
//
//	f(x) = Σ_j 1[x'g_j > 0] (x'u_j) a_j,
//
// with fixed gates g_j (Mishkin, Sahiner & Pilanci 2022). The gates are the
// problem's patterns. Its program is a group lasso without cones,
//
//	minimise Loss(Σ_i D_i X Z_i) + beta Σ_i ‖Z_i‖,
//
// and is exact for these gates, with any number of outputs. Scope is Global
// when the patterns are all that the data allow, so that no other gates could
// do better.
type GatedReLU struct {
	// Penalty is the norm of the d×c blocks Z_i when there are several
	// outputs. "" or "nuclear": the one of weight decay beta/2 (|u|²+|a|²).
	// "frobenius": beta |Z|_F, one linear map a gate. "per_output":
	// beta Σ_o |Z e_o|, one network an output, which is
	// beta/2 (|u|² + (Σ_o |a_o|)²). With one output all three are the same.
	Penalty string
}

func init() { RegisterArch(GatedReLU{}) }

// Name is "gated_relu".
func (GatedReLU) Name() string { return "gated_relu" }

// Lower builds the program above over the patterns of p.
func (a GatedReLU) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	if t.X == nil {
		return nil, fmt.Errorf("convex: architecture gated_relu takes X, not Patches")
	}
	var pen Penalty
	switch {
	case a.Penalty != "" && a.Penalty != "nuclear" && a.Penalty != "frobenius" && a.Penalty != "per_output":
		return nil, fmt.Errorf("convex: GatedReLU.Penalty is %q: want nuclear, frobenius or per_output", a.Penalty)
	case t.c == 1 || a.Penalty == "frobenius":
		pen = GroupL1(p.Beta)
	case a.Penalty == "per_output":
		pen = PerOutput(p.Beta)
	default:
		pen = Nuclear(p.Beta)
	}
	pat, err := p.patternsFor(ctx, t.X, s, nil)
	if err != nil {
		return nil, err
	}
	m := &MaskedData{X: t.X, Patterns: pat, Outputs: t.c}
	prog := &Program{
		Samples: t.n, Outputs: t.c,
		Loss: t.loss, Op: m.Op(), Blocks: m.Blocks(),
		Penalty:  pen,
		Patterns: pat,
	}
	if pat.Complete {
		prog.Scope = Global
	}
	gates := &gateTable{X: t.X, patterns: pat}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(a, t.d, t.c)
		net.Activations, net.findGates = gates.activations, gates.gatesOf
		var err error
		switch {
		case t.c == 1:
			err = net.fromBlocks(prog.Blocks, x, m)
		case a.Penalty == "per_output":
			net.fromOutputs(prog.Blocks, x)
		default:
			err = net.fromSVD(prog.Blocks, x)
		}
		if err != nil {
			return nil, err
		}
		if k := net.Neurons(); k > 0 && pat.Gates != nil {
			net.Gates = mat.NewDense(k, t.d, nil)
			for j, g := range net.gate {
				mat.Col(net.Gates.RawRowView(j), g, pat.Gates)
			}
		}
		return net, nil
	}
	return prog, nil
}

func (a GatedReLU) run(net *Network) {
	net.Activations = gatedActivations
	if a.Penalty == "frobenius" {
		net.Decay = frobeniusDecay
	}
}

// gatedActivations are those by the gate vectors.
func gatedActivations(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	if net.Gates == nil {
		return nil, errors.New("convex: the network has no gate vectors: give the patterns with GatePatterns, or set Gates")
	}
	n, _ := inputs[0].Dims()
	A, S := mat.NewDense(n, net.Neurons(), nil), mat.NewDense(n, net.Neurons(), nil)
	A.Mul(inputs[0], net.Hidden.T())
	S.Mul(inputs[0], net.Gates.T())
	for i, v := range S.RawMatrix().Data {
		if !(v > 0) {
			A.RawMatrix().Data[i] = 0
		}
	}
	return A, nil
}

// fromOutputs makes a neuron of every column of every block, feeding only its
// own output.
func (net *Network) fromOutputs(blocks []Block, x []float64) {
	var hidden, output []float64
	for g, b := range blocks {
		z := b.Of(x)
		for o := 0; o < b.Cols; o++ {
			col := make([]float64, b.Rows)
			for j := range col {
				col[j] = z[j*b.Cols+o]
			}
			r := norm2(col)
			if r == 0 {
				continue
			}
			root := math.Sqrt(r)
			for _, v := range col {
				hidden = append(hidden, v/root)
			}
			a := make([]float64, b.Cols)
			a[o] = root
			output = append(output, a...)
			net.gate = append(net.gate, g)
		}
	}
	net.setNeurons(hidden, output)
}

// fromSVD makes a neuron of every singular triple of every block: √s times the
// left vector below, √s times the right vector above.
func (net *Network) fromSVD(blocks []Block, x []float64) error {
	var hidden, output []float64
	for g, b := range blocks {
		z := b.Of(x)
		if norm2(z) == 0 {
			continue
		}
		U, s, V, err := thinSVD(z, b.Rows, b.Cols)
		if err != nil {
			return fmt.Errorf("convex: block %d: %w", g, err)
		}
		for k, sv := range s {
			if sv <= 1e-13*s[0] {
				break
			}
			root := math.Sqrt(sv)
			for j := 0; j < b.Rows; j++ {
				hidden = append(hidden, root*U.At(j, k))
			}
			for o := 0; o < b.Cols; o++ {
				output = append(output, root*V.At(o, k))
			}
			net.gate = append(net.gate, g)
		}
	}
	net.setNeurons(hidden, output)
	return nil
}

func (net *Network) setNeurons(hidden, output []float64) {
	if k := len(net.gate); k > 0 {
		net.Hidden, net.Output = mat.NewDense(k, net.Inputs, hidden), mat.NewDense(k, net.Outputs, output)
	}
}

// frobeniusDecay is Σ_gates |Z|_F. The neurons of a gate are orthogonal, so
// |Z|_F² is the sum of their squared sizes.
func frobeniusDecay(net *Network) float64 {
	squares := map[int]float64{}
	var order []int // the sum must not depend on the order of a map
	for j, g := range net.gate {
		r := norm2(net.Hidden.RawRowView(j)) * norm2(net.Output.RawRowView(j))
		if _, ok := squares[g]; !ok {
			order = append(order, g)
		}
		squares[g] += r * r
	}
	s := 0.0
	for _, g := range order {
		s += math.Sqrt(squares[g])
	}
	return s
}

// gateTable says which neurons are active: on the training data by the
// patterns themselves, elsewhere by gate vectors, which are looked for the
// first time they are needed if the patterns came without.
type gateTable struct {
	X        *mat.Dense
	patterns *Patterns

	mu    sync.Mutex
	found map[int][]float64 // pattern → gate; nil when there is none
}

func (t *gateTable) activations(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	X := inputs[0]
	n, _ := X.Dims()
	if tn, _ := t.X.Dims(); n == tn && (X == mat.Matrix(t.X) || mat.Equal(X, t.X)) {
		A := mat.NewDense(n, net.Neurons(), nil)
		A.Mul(X, net.Hidden.T())
		for i := 0; i < n; i++ {
			for j, v := range A.RawRowView(i) {
				if v != 0 && !t.patterns.Bit(net.gate[j], i) {
					A.Set(i, j, 0)
				}
			}
		}
		return A, nil
	}
	if net.Gates == nil {
		G, err := t.gatesOf(net.gate)
		if err != nil {
			return nil, err
		}
		with := *net
		with.Gates = G
		net = &with
	}
	return gatedActivations(net, inputs)
}

func (t *gateTable) gatesOf(patterns []int) (*mat.Dense, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, d := t.X.Dims()
	G := mat.NewDense(len(patterns), d, nil)
	for j, p := range patterns {
		g, known := t.found[p]
		if !known {
			g = gateOf(t.X, t.patterns, p)
			if t.found == nil {
				t.found = map[int][]float64{}
			}
			t.found[p] = g
		}
		if g == nil {
			return nil, fmt.Errorf("convex: pattern %d is not 1[Xg > 0] of any gate vector g, so the network is known on its training data only: give gates with GatePatterns to predict elsewhere", p)
		}
		G.SetRow(j, g)
	}
	return G, nil
}

// gateOf returns a vector g with 1[Xg > 0] equal to pattern p, nil if there is
// none.
func gateOf(X *mat.Dense, pat *Patterns, p int) []float64 {
	n, _ := X.Dims()
	var rows [][]float64
	for i := range n {
		row := append([]float64(nil), X.RawRowView(i)...)
		switch on := pat.Bit(p, i); {
		case norm2(row) == 0 && on:
			return nil
		case norm2(row) == 0: // constrains nothing
			continue
		case !on:
			scale(-1, row)
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil
	}
	return innerPoint(rows)
}

var errSVD = errors.New("the singular value decomposition did not converge")

// thinSVD is the singular value decomposition of a row-major matrix.
func thinSVD(z []float64, rows, cols int) (U *mat.Dense, s []float64, V *mat.Dense, err error) {
	var svd mat.SVD
	if !svd.Factorize(mat.NewDense(rows, cols, append([]float64(nil), z...)), mat.SVDThin) {
		return nil, nil, nil, errSVD
	}
	U, V = new(mat.Dense), new(mat.Dense)
	svd.UTo(U)
	svd.VTo(V)
	return U, svd.Values(nil), V, nil
}
