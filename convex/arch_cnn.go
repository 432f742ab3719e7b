package convex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// CNN is the two-layer ReLU convolutional network with one output over patches
// X_k (n×h, k = 1…K): filter u_j ∈ R^h, one output weight a_j, pooling over the
// patches, weight decay beta/2 Σ_j (|u_j|² + a_j²).
//
// Pool "sum" (the default) is f = Σ_j Σ_k (X_k u_j)_+ a_j, and "average" divides
// it by K. The program has a pair of blocks for every cell of the arrangement of
// all nK patches (Pilanci & Ergen 2020, §5; Ergen & Pilanci 2021),
//
//	minimise Loss(Σ_i Σ_k D_i^k X_k (c_i - c_i')) + beta Σ_i (|c_i| + |c_i'|)
//	subject to (2D_i^k - I) X_k c_i ≥ 0 for all k, and so for c_i'.
//
// Pool "max" is f = Σ_j max_k (X_k u_j)_+ a_j. A pattern then names for every
// sample the patch that wins, or none, and the cones also say that it wins:
// (x_k - x_l)'c ≥ 0 for all l. Without these rows the value is far too low.
//
// These three are exact with all patterns.
//
// Pool "flatten" has no pooling but a dense layer of K output weights a filter,
//
//	f = Σ_j Σ_k (X_k u_j)_+ w_jk,  weight decay beta/2 Σ_j (|u_j|² + |w_j|²),
//
// whose program is Σ_i of a nuclear norm constrained to the cone of pattern i
// (Sahiner et al. 2021): for patches of rank 2 or less, such as two-pixel
// filters, it is solved exactly over all filters by angle search, and the bound
// holds between angles too. Otherwise it has no tractable form. Then, where all
// patterns can be listed, Lower is the optimum without the cones,
//
//	minimise Loss(Σ_i Σ_k D_i^k X_k z_ik) + beta Σ_i ‖Z_i‖_*,  Z_i = [z_i1 … z_iK],
//
// a bound that is strictly below as a rule; the network is found by a search
// for filters, Primal is its own objective, and Status is Bounded while they
// are apart. Where there are more patterns than a tenth of Settings.MaxPatterns
// the network is that of the search, its scope restricted to the filters found,
// and GlobalLower a spectral bound. It takes no Patterns; Settings.Samples > 0
// takes so many random filters in place of the search.
type CNN struct {
	Pool string // "sum", "average", "max" or "flatten"; "" means sum
}

func init() { RegisterArch(CNN{}) }

// Name is "cnn".
func (CNN) Name() string { return "cnn" }

var errPool = errors.New("want sum, average, max or flatten")

func (a CNN) pool() (string, error) {
	switch a.Pool {
	case "":
		return "sum", nil
	case "sum", "average", "max", "flatten":
		return a.Pool, nil
	}
	return "", errPool
}

// Lower builds the program above over the patterns of p, which have nK bits:
// bit k·n+i is sample i, patch k.
func (a CNN) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	pool, err := a.pool()
	if err != nil {
		return nil, fmt.Errorf("convex: CNN.Pool is %q: %w", a.Pool, err)
	}
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	if t.X != nil {
		return nil, fmt.Errorf("convex: architecture cnn takes Patches, not X: K matrices n×h, patch k of every sample, or images and Patching, which cuts them")
	}
	if t.c != 1 {
		return nil, fmt.Errorf("convex: Y is %d×%d: architecture cnn has one output; train one network an output", t.n, t.c)
	}
	K := len(t.inputs)
	switch {
	case pool == "flatten" && p.Patterns != nil:
		return nil, errors.New("convex: CNN.Pool flatten takes no Patterns: it searches for filters itself")
	case pool == "flatten":
		return flattenedFamily(p, t).lower(ctx, s)
	}
	m := &MaskedData{X: stackRows(t.inputs), Signed: true, Patches: K}
	if pool == "max" {
		m.winners = true
		m.Patterns, err = p.winnerPatterns(ctx, m, t.loss, s)
	} else {
		if pool == "average" {
			m.Scale = 1 / float64(K)
		}
		var search func() (*Patterns, error)
		if t.loss.anyGrad() != nil {
			search = func() (*Patterns, error) { return p.searchPatterns(ctx, m, t.loss, GroupL1(p.Beta), s) }
		}
		m.Patterns, err = p.patternsFor(ctx, m.X, s, search)
	}
	if err != nil {
		return nil, err
	}
	prog := &Program{
		Samples: t.n, Outputs: 1,
		Loss: t.loss, Op: m.Op(), Blocks: m.Blocks(),
		Penalty: GroupL1(p.Beta), Cones: m.Cones(),
		Patterns: m.Patterns,
	}
	if m.Patterns.Complete {
		prog.Scope = Global
	} else if pool == "max" {
		beta := p.Beta
		prog.AllPatterns = func(_ context.Context, v []float64) float64 { return m.winnerBound(v) / beta }
	} else {
		// v'Σ_k (X_k u)_+ is v, repeated for every patch, times (M u)_+.
		bound := &reluBound{X: m.X}
		beta, s := p.Beta, m.scale()
		prog.AllPatterns = func(ctx context.Context, v []float64) float64 {
			all := make([]float64, 0, K*len(v))
			for range K {
				all = append(all, v...)
			}
			return bound.polar(ctx, all, beta/s)
		}
	}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(a, t.d, 1)
		return net, net.fromBlocks(prog.Blocks, x, m)
	}
	return prog, nil
}

func (a CNN) run(net *Network) {
	if pool, _ := a.pool(); pool == "flatten" {
		net.Forward = flattened
	} else {
		net.Activations = poolActivations(pool)
	}
}

// flattenedFamily is the family of networks of Pool "flatten".
func flattenedFamily(p *Problem, t *checked) *rectified {
	K := len(t.inputs)
	ties := make([][]tie, K*t.n)
	for r := range ties {
		ties[r] = []tie{{r % t.n, r / t.n}}
	}
	return &rectified{
		X: stackRows(t.inputs), n: t.n, c: 1, width: K, ties: ties,
		loss: t.loss, beta: p.Beta, bias: p.OutputBias, seed: p.Seed,
		decode: func(u, w [][]float64) *Network {
			net := newNetwork(CNN{Pool: "flatten"}, t.d, 1)
			net.fromColumns(u, w)
			return net
		},
	}
}

// flattened is f = Σ_j Σ_k (X_k u_j)_+ w_jk of a network with an output weight
// for each of K patches.
func flattened(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	n, h := inputs[0].Dims()
	out := mat.NewDense(n, 1, nil)
	if net.Neurons() == 0 {
		return out, nil
	}
	if _, K := net.Output.Dims(); len(inputs) != K || h != net.Inputs {
		return nil, fmt.Errorf("convex: the network takes %d patches of n×%d, not %d of %d×%d", K, net.Inputs, len(inputs), n, h)
	}
	for k, X := range inputs {
		A, err := reluActivations(net, []mat.Matrix{X})
		if err != nil {
			return nil, err
		}
		var f mat.Dense
		f.Mul(A, net.Output.Slice(0, net.Neurons(), k, k+1))
		out.Add(out, &f)
	}
	return out, nil
}

// poolActivations are the pooled outputs of the filters.
func poolActivations(pool string) func(*Network, []mat.Matrix) (*mat.Dense, error) {
	return func(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
		n, h := inputs[0].Dims()
		K := len(inputs)
		if net.patches != 0 && net.patches != K || h != net.Inputs {
			return nil, fmt.Errorf("convex: the network takes %d patches of n×%d, not %d of %d×%d", net.patches, net.Inputs, K, n, h)
		}
		A := mat.NewDense(n, net.Neurons(), nil)
		out := A.RawMatrix().Data
		for _, X := range inputs {
			R, err := reluActivations(net, []mat.Matrix{X})
			if err != nil {
				return nil, err
			}
			for i, v := range R.RawMatrix().Data {
				if pool == "max" {
					out[i] = math.Max(out[i], v)
				} else {
					out[i] += v
				}
			}
		}
		if pool == "average" {
			scale(1/float64(K), out)
		}
		return A, nil
	}
}

// stackRows puts the K patches under one another: row k·n+i is patch k of
// sample i.
func stackRows(patches []mat.Matrix) *mat.Dense {
	n, h := patches[0].Dims()
	M := mat.NewDense(n*len(patches), h, nil)
	for k, X := range patches {
		M.Slice(k*n, (k+1)*n, 0, h).(*mat.Dense).Copy(X)
	}
	return M
}

// winnerPatterns returns the patterns of max pooling: bit k·n+i says that patch
// k of sample i is positive and the largest. They are the cells of the
// arrangement of all patches and their differences, merged where the winners
// are the same.
func (p *Problem) winnerPatterns(ctx context.Context, m *MaskedData, loss Fn, s *Settings) (*Patterns, error) {
	if p.Patterns != nil {
		given := p.Patterns.Distinct()
		for g := range given.Len() {
			if i := given.secondWinner(g, m.Patches); i >= 0 {
				return nil, fmt.Errorf("convex: patterns: pattern %d has more than one winning patch of sample %d: with Pool max bit k·n+i says that patch k of sample i is positive and the largest", g, i)
			}
		}
		if given.Len() == 0 {
			return nil, errors.New("convex: patterns: none of the patterns is active on any sample")
		}
		cp := *given
		cp.Complete, cp.cells = false, 0
		return &cp, nil
	}
	n, h, _, _ := m.Dims()
	K := m.Patches
	rows := mat.NewDense(n*K+n*K*(K-1)/2, h, nil)
	rows.Slice(0, n*K, 0, h).(*mat.Dense).Copy(m.X)
	at := n * K
	for i := range n {
		for k := range K {
			for l := k + 1; l < K; l++ {
				x, y := m.X.RawRowView(k*n+i), m.X.RawRowView(l*n+i)
				for j, r := 0, rows.RawRowView(at); j < h; j++ {
					r[j] = x[j] - y[j]
				}
				at++
			}
		}
	}
	cells, err := EnumeratePatterns(ctx, rows, s.MaxPatterns)
	tooMany := errors.Is(err, ErrTooManyPatterns)
	if tooMany && s.Samples == 0 && loss.anyGrad() != nil {
		found, err := p.searchPatterns(ctx, m, loss, GroupL1(p.Beta), s)
		if err != nil {
			return nil, err
		}
		return found.ofData(rows, 0), nil
	}
	if tooMany || err != nil && ctx.Err() != nil {
		count := s.Samples
		if count == 0 {
			count = defaultSamples
		}
		cells, err = SamplePatterns(rows, count, p.Seed)
	}
	if err != nil {
		return nil, err
	}
	won := newPatterns(cells.Len(), n*K)
	for c := range cells.Len() {
		at := n * K
		for i := range n {
			base := at
			// beats says whether patch k is above patch l of this sample.
			beats := func(k, l int) bool {
				if k > l {
					return !cells.Bit(c, base+l*K-l*(l+1)/2+k-l-1)
				}
				return cells.Bit(c, base+k*K-k*(k+1)/2+l-k-1)
			}
			w := 0
			for k := 1; k < K; k++ {
				if beats(k, w) {
					w = k
				}
			}
			if cells.Bit(c, w*n+i) {
				won.set(c, w*n+i)
			}
			at += K * (K - 1) / 2
		}
	}
	won.Source, won.Complete = cells.Source, cells.Complete
	all := 0
	if cells.Complete {
		all = cells.Len()
	}
	return won.Distinct().ofData(rows, all), nil
}

// secondWinner is a sample of which pattern g has two winners among K patches,
// -1 if there is none.
func (p *Patterns) secondWinner(g, K int) int {
	n := p.n / K
	for i := range n {
		won := 0
		for k := range K {
			if p.Bit(g, k*n+i) {
				won++
			}
		}
		if won > 1 {
			return i
		}
	}
	return -1
}

// samplePatterns is SamplePatterns for the neurons of m, which for max pooling
// are active on the winning patch of a sample only.
func (m *MaskedData) samplePatterns(count int, seed uint64) (*Patterns, error) {
	p, err := SamplePatterns(m.X, count, seed)
	if err != nil || !m.winners {
		return p, err
	}
	rows := make([][]uint64, p.Len())
	for g := range rows {
		rows[g] = p.Row(g)
	}
	newMaskedModel(m).patternsOf(rows, mat.DenseCopyOf(p.Gates.T()).RawMatrix().Data)
	return p.Distinct(), nil
}

// winnerBound is an upper bound on max { |Σ_i v_i max_k (x_ik'u)_+| : |u|₂ ≤ 1 }:
// with w = (sv)_+ and max_k t_k² ≤ Σ_k t_k², it is at most
// √(1'w · λmax(Σ_i w_i Σ_k x_ik x_ik')).
func (m *MaskedData) winnerBound(v []float64) float64 {
	return math.Max(weightedTop(m.X, v, 1), weightedTop(m.X, v, -1)) * (1 + 1e-12)
}

// winnerCone is the cone on which the winners of block g's pattern win: rows
// x_k and x_k - x_l for a winning patch k, and -x_l for all patches of a sample
// without.
func (m *MaskedData) winnerCone(g int) *mat.Dense {
	n, h, _, _ := m.Dims()
	K, pat := m.patches(), m.Pattern(g)
	G := mat.NewDense(n*K, h, nil)
	for i := range n {
		win := -1
		for k := range K {
			if m.Patterns.Bit(pat, k*n+i) {
				win = k
			}
		}
		for l := range K {
			r, x := G.RawRowView(i*K+l), m.X.RawRowView(l*n+i)
			switch {
			case l == win:
				copy(r, x)
			case win < 0:
				for j := range r {
					r[j] = -x[j]
				}
			default:
				w := m.X.RawRowView(win*n + i)
				for j := range r {
					r[j] = w[j] - x[j]
				}
			}
		}
	}
	return G
}

func (CNN) fileFields() []string { return []string{"patches", "pool"} }

func (a CNN) fromFile(raw map[string]json.RawMessage) (Arch, error) {
	if v, ok := raw["pool"]; ok {
		if err := json.Unmarshal(v, &a.Pool); err != nil {
			return nil, fmt.Errorf(`field "pool": %w`, errPool)
		}
	}
	if _, err := a.pool(); err != nil {
		return nil, fmt.Errorf(`field "pool" is %q: %w`, a.Pool, err)
	}
	return a, nil
}

func (a CNN) toFile() map[string]any {
	if a.Pool == "" {
		return nil
	}
	return map[string]any{"pool": a.Pool}
}
