package convex

import (
	"context"
	"errors"

	"gonum.org/v1/gonum/mat"
)

// Threshold is the two-layer network f(x) = Σ_j 1[x'u_j > 0] a_j of hard
// thresholds with the penalty beta Σ_j |a_j| and one output. Its hidden layer
// only chooses among the columns of D, the matrix of all activation patterns,
// so the program is the lasso
//
//	minimise Loss(D z) + beta |z|_1
//
// (Ergen, Gulluk, Lacotte & Pilanci 2023). It is exact with all patterns that
// occur on an open set of u, unless a u with samples on its threshold, x_i'u = 0,
// has a pattern that no other has: samples x and -x, say, can be off together on
// it only. The scope is global where that cannot be: for data with a bias column,
// or with the samples in an open half-space otherwise, and for data in general
// position. For others it is restricted to the open patterns.
type Threshold struct{}

func init() { RegisterArch(Threshold{}) }

// Name is "threshold".
func (Threshold) Name() string { return "threshold" }

// Lower builds the lasso above over the patterns of p.
func (a Threshold) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	t, err := p.checkOneOutput(a.Name())
	if err != nil {
		return nil, err
	}
	pat, err := p.patternsFor(ctx, t.X, s, nil)
	if err != nil {
		return nil, err
	}
	P := pat.Len()
	op := Op{Name: "no patterns", Rows: t.n, Apply: func(dst, _ []float64) { clear(dst[:t.n]) }, Adjoint: func(_, _ []float64) {}}
	if P > 0 { // data of zeros have none
		op = DenseOp(pat.Dense().T())
	}
	prog := &Program{
		Samples: t.n, Outputs: 1,
		Loss: t.loss, Op: op,
		Penalty:  Lasso(p.Beta),
		Patterns: pat,
	}
	for g := range P {
		prog.Blocks = append(prog.Blocks, Block{Offset: g, Rows: 1, Cols: 1, Weight: 1})
	}
	if pat.Complete && openPatternsSuffice(t.X, pat) {
		prog.Scope = Global
	}
	gates := &gateTable{X: t.X, patterns: pat}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(a, t.d, 1)
		net.Forward, net.findGates = gates.thresholds, gates.gatesOf
		var out []float64
		for g, v := range x {
			if v != 0 {
				out, net.gate = append(out, v), append(net.gate, g)
			}
		}
		if len(out) == 0 {
			return net, nil
		}
		net.Output = mat.NewDense(len(out), 1, out)
		// The hidden weights are gates of the patterns where those are known;
		// on the training data the patterns themselves decide.
		net.Hidden = mat.NewDense(len(out), t.d, nil)
		if G, err := gates.gatesOf(net.gate); err == nil {
			net.Hidden, net.Gates = G, G
		}
		return net, nil
	}
	return prog, nil
}

// openPatternsSuffice says that every pattern 1[Xu > 0] occurs on an open set of
// u, given those that do. Where samples are on a threshold, moving u turns them
// off unless they are positively dependent. They never are if some u has all of
// them on, nor if those of any proper flat are independent: in general position,
// which is where there are as many patterns as Cover's count.
func openPatternsSuffice(X *mat.Dense, pat *Patterns) bool {
	n, _ := X.Dims()
	var rows [][]float64
	on := 0
	for i := range n {
		row := append([]float64(nil), X.RawRowView(i)...)
		if !normalise(row) {
			continue // of zeros: off with every u
		}
		if on++; !near(rows, row) {
			rows = append(rows, row)
		}
	}
	pat = pat.Distinct()
	for g := range pat.Len() {
		if pat.Count(g) == on {
			return true
		}
	}
	// No pattern is on everywhere, so none is off everywhere.
	return float64(pat.Len()) == CoverCount(len(rows), rankOf(X))
}

// outputDecay is Σ_j |a_j|, the penalty of networks whose hidden weights cost
// nothing.
func outputDecay(net *Network) float64 {
	s := 0.0
	for j := range net.Neurons() {
		for _, v := range net.Output.RawRowView(j) {
			s += max(v, -v)
		}
	}
	return s
}

// thresholds are the predictions from the gates themselves: on the training
// data the patterns, elsewhere 1[Xg > 0].
func (t *gateTable) thresholds(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	X := inputs[0]
	n, _ := X.Dims()
	f := mat.NewDense(n, 1, nil)
	if net.Neurons() == 0 {
		return f, nil
	}
	A := mat.NewDense(n, net.Neurons(), nil)
	if tn, _ := t.X.Dims(); n == tn && (X == mat.Matrix(t.X) || mat.Equal(X, t.X)) {
		for i := range n {
			for j, g := range net.gate {
				if t.patterns.Bit(g, i) {
					A.Set(i, j, 1)
				}
			}
		}
		f.Mul(A, net.Output)
		return f, nil
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
	return forwardThresholds(net, inputs)
}

func (Threshold) run(net *Network) { net.Forward, net.Decay = forwardThresholds, outputDecay }

// forwardThresholds is Σ_j 1[Xg_j > 0] a_j.
func forwardThresholds(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	n, _ := inputs[0].Dims()
	f := mat.NewDense(n, 1, nil)
	if net.Neurons() == 0 {
		return f, nil
	}
	if net.Gates == nil {
		return nil, errors.New("convex: the network has no gate vectors: give the patterns with GatePatterns, or set Gates")
	}
	A := mat.NewDense(n, net.Neurons(), nil)
	A.Mul(inputs[0], net.Gates.T())
	for i, v := range A.RawMatrix().Data {
		A.RawMatrix().Data[i] = 0
		if v > 0 {
			A.RawMatrix().Data[i] = 1
		}
	}
	f.Mul(A, net.Output)
	return f, nil
}
