package convex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// ThreeLayerReLUCNN is the convolutional network with two ReLU layers and one
// output over patches X_k (n×h, k = 1…K),
//
//	f = Σ_j ( Σ_k (X_k u_jk)_+ w_1jk )_+ w_2j,   |u_jk|₂ ≤ 1,
//	weight decay beta/2 Σ_j (|w_1j|² + w_2j²).
//
// Filters "untied" (the default) gives every patch its own filter. The program
// then has a pair of blocks C = [c_1 … c_K] ∈ R^{h×K} for every choice of a
// first-layer pattern D_1^k of each X_k, signs I ∈ {±1}^K of w_1, and a
// second-layer pattern D_2 that meets them,
//
//	minimise Loss(Σ D_2 Σ_k I_k D_1^k X_k (c_k - c_k')) + beta Σ (‖C‖_F + ‖C'‖_F)
//	subject to (2D_1^k - I) X_k c_k ≥ 0,  (2D_2 - I) Σ_k I_k D_1^k X_k c_k ≥ 0,
//
// and is exact (Ergen & Pilanci 2021, §4, with the patterns of the patches
// chosen independently; checked numerically). With X_k = X for all k these are
// parallel fully connected networks of K units.
//
// Filters "tied" is u_jk = u_j, which makes C = u w' of rank one. For two patches
// of rank 2 or less, such as two-pixel filters, it is solved exactly over all
// neurons by angle search, with a bound that holds between angles too.
// Otherwise, where all choices can be listed, the program with one pattern of
// all patches in common is solved, which drops the rank: a relaxation, whose
// optimum Lower is, in general strictly below. The network is the rounded one,
// improved by a search over neurons; Primal is its own objective, and Status is
// Bounded while they are apart.
//
// Networks keep the filters u_jk as row j of Hidden (patch after patch; h
// numbers when tied), w_1 as Extra "w1" (m×K) and w_2 as Output.
//
// The patterns have two levels and cannot be given: Problem.Patterns must be
// nil. Where there are more choices than a tenth of Settings.MaxPatterns, since
// each has K filters, neurons are searched for, or with Settings.Samples that
// many choices sampled. The scope is then restricted, and GlobalLower a spectral
// bound.
type ThreeLayerReLUCNN struct {
	Filters string // "untied" or "tied"; "" means untied
}

func init() { RegisterArch(ThreeLayerReLUCNN{}) }

// Name is "three_layer_relu_cnn".
func (ThreeLayerReLUCNN) Name() string { return "three_layer_relu_cnn" }

func (a ThreeLayerReLUCNN) tied() (bool, error) {
	switch a.Filters {
	case "", "untied":
		return false, nil
	case "tied":
		return true, nil
	}
	return false, fmt.Errorf("is %q: want untied or tied", a.Filters)
}

// Lower builds the program above.
func (a ThreeLayerReLUCNN) Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error) {
	tied, err := a.tied()
	if err != nil {
		return nil, fmt.Errorf("convex: ThreeLayerReLUCNN.Filters %w", err)
	}
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	switch {
	case t.X != nil:
		return nil, fmt.Errorf("convex: architecture %s takes Patches, not X: K matrices n×h, patch k of every sample", a.Name())
	case t.c != 1:
		return nil, fmt.Errorf("convex: Y is %d×%d: architecture %s has one output; train one network an output", t.n, t.c, a.Name())
	case p.Patterns != nil:
		return nil, fmt.Errorf("convex: architecture %s takes no Patterns: it has two levels of them, which it enumerates or samples itself", a.Name())
	}
	m := &twoLevel{X: t.inputs, K: len(t.inputs), n: t.n, h: t.d}
	if m.K == 1 {
		tied = false // the same networks
	}
	if !m.fits(tied) {
		return nil, fmt.Errorf("convex: architecture %s on %d samples of %d patches of %d numbers has %s: take fewer patches (a larger Stride, smaller images), or fewer samples", a.Name(), m.n, m.K, m.h, tooManyWeights)
	}
	search := func(ctx context.Context) *columnSearch {
		return m.neuronSearch(ctx, tied, t.loss, p, s)
	}
	if tied && m.plane() != nil {
		return m.columnProgram(ctx, search(ctx), s, func() [][]float64 { return m.randomNeurons(true, s.Samples, p.Seed) })
	}
	err = m.enumerate(ctx, max(1, s.MaxPatterns/relaxationShare), tied)
	complete := err == nil
	switch {
	case complete:
	case !errors.Is(err, ErrTooManyPatterns) && ctx.Err() == nil:
		return nil, err
	case s.Samples == 0 || tied:
		return m.columnProgram(ctx, search(ctx), s, func() [][]float64 { return m.randomNeurons(tied, s.Samples, p.Seed) })
	default:
		if err := m.sample(s.Samples, p.Seed); err != nil {
			return nil, err
		}
	}
	prog := &Program{
		Samples: t.n, Outputs: 1,
		Loss: t.loss, Op: m.op(), Blocks: m.blocks(),
		Penalty: GroupL1(p.Beta), Cones: &Cones{Name: "two levels", Block: m.cone},
		Relaxation: tied,
	}
	if complete {
		prog.Scope = Global
	} else {
		prog.AllPatterns = func(ctx context.Context, v []float64) float64 { return m.spectral(ctx, v, false) / p.Beta }
	}
	prog.Decode = func(x []float64) (*Network, error) {
		return m.decode(prog.Blocks, x)
	}
	if tied {
		prog.round = func(ctx context.Context, x []float64) (*Network, error) {
			return m.round(ctx, search(ctx), prog.Blocks, x, s)
		}
		prog.Decode = func(x []float64) (*Network, error) { return prog.round(context.Background(), x) }
	}
	return prog, nil
}

// twoLevel are the patterns of two layers and the data they are of.
type twoLevel struct {
	X       []mat.Matrix // K patches n×h
	n, h, K int
	choice  []choice
}

// maxNeuronWeights is the most weights of a neuron, and maxRowNumbers the most
// numbers of all patches: searching takes up to some 12 KB for each of the
// former, and two copies of the latter, 3 and 2 GiB in all.
const (
	maxNeuronWeights = 1 << 18
	maxRowNumbers    = 1 << 27
)

// tooManyWeights says what does not fit.
var tooManyWeights = fmt.Sprintf("over %d weights a neuron or %d numbers in all, which would take gigabytes and hours", maxNeuronWeights, maxRowNumbers)

// fits says whether there is memory and time to search for neurons.
func (m *twoLevel) fits(tied bool) bool {
	h, K := float64(m.h), float64(m.K)
	weights := h*K + K
	if tied {
		weights = h + K
	}
	return weights <= maxNeuronWeights && float64(m.n)*h*K <= maxRowNumbers
}

// choice is the activation patterns of both layers and the signs between.
type choice struct {
	first  []bool    // bit k·n+i: patch k of sample i is active
	sign   []float64 // K signs of the middle weights
	second []bool    // n
}

// enumerate lists every choice whose cone has an interior. Filters that are off
// everywhere, and neurons that are, add nothing. One filter for all patches has a
// cell of their common arrangement as its first-layer pattern, filters of their
// own each a cell of its own.
func (m *twoLevel) enumerate(ctx context.Context, limit int, tied bool) error {
	m.choice = nil
	X := m.X
	if tied {
		X = []mat.Matrix{stackRows(m.X)}
	}
	cells := make([]*Patterns, len(X))
	combinations := math.Exp2(float64(m.K))
	if combinations > 4*float64(limit) {
		return ErrTooManyPatterns // before enumerating for nothing
	}
	for k, X := range X {
		all, err := EnumeratePatterns(ctx, X, limit)
		if err != nil {
			return err
		}
		if d := all.Distinct(); d.Len() > 0 {
			all = d
		}
		cells[k] = all
		combinations *= float64(all.Len())
	}
	// Of all sign vectors only the one without a plus is of no use, so that
	// nearly every combination gives a choice.
	if combinations > 4*float64(limit) {
		return ErrTooManyPatterns
	}
	at := make([]int, len(X))
	for {
		first := make([]bool, 0, m.n*m.K)
		inside := make([]float64, 0, m.h*m.K)
		for k, c := range at {
			for i := range cells[k].Samples() {
				first = append(first, cells[k].Bit(c, i))
			}
			inside = append(inside, mat.Col(nil, c, cells[k].Gates)...)
		}
		for len(inside) < m.h*m.K { // the one filter, for every patch
			inside = append(inside, inside[:m.h]...)
		}
		for signs := 1; signs < 1<<m.K; signs++ {
			sign := make([]float64, m.K)
			for k := range sign {
				sign[k] = -1
				if signs>>k&1 == 1 {
					sign[k] = 1
				}
			}
			if err := m.split(ctx, choice{first, sign, make([]bool, m.n)}, inside, limit); err != nil {
				return err
			}
		}
		k := 0
		for ; k < len(at); k++ {
			if at[k]++; at[k] < cells[k].Len() {
				break
			}
			at[k] = 0
		}
		if k == len(at) {
			return nil
		}
	}
}

// split adds the choices of all second-layer patterns on the cone of c's first
// layer, of which inside is an inner point: sample by sample, one side of its
// hyperplane has the point known and the other is looked for.
func (m *twoLevel) split(ctx context.Context, c choice, inside []float64, limit int) error {
	var walk func(i int, rows [][]float64, inside []float64) error
	walk = func(i int, rows [][]float64, inside []float64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i == m.n {
			if !slices.Contains(c.second, true) {
				return nil
			}
			m.choice = append(m.choice, choice{c.first, c.sign, slices.Clone(c.second)})
			if len(m.choice) > limit {
				return ErrTooManyPatterns
			}
			return nil
		}
		b := m.secondRow(c, i)
		one, mixed := 0.0, false // sign, where the first layer decides it
		for k, s := range c.sign {
			if x := b[k*m.h : (k+1)*m.h]; norm2(x) > 0 {
				mixed = mixed || one == -s
				one = s
			}
		}
		if !mixed {
			c.second[i] = one > 0
			return walk(i+1, rows, inside)
		}
		for _, s := range []float64{1, -1} {
			side := append([]float64(nil), b...)
			scale(s, side)
			next := append(rows[:len(rows):len(rows)], side)
			point := inside
			if t := dot(side, inside); t <= 1e-9*norm2(side)*norm2(inside) {
				if point = innerPoint(next); point == nil {
					continue
				}
			}
			c.second[i] = s > 0
			if err := walk(i+1, next, point); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(0, m.firstRows(c), inside)
}

// firstRows are the rows of the first-layer cone on (c_1, …, c_K).
func (m *twoLevel) firstRows(c choice) [][]float64 {
	var rows [][]float64
	for k, X := range m.X {
		for i := range m.n {
			row := make([]float64, m.h*m.K)
			part := row[k*m.h : (k+1)*m.h]
			mat.Row(part, i, X)
			if norm2(part) == 0 {
				continue
			}
			if !c.first[k*m.n+i] {
				scale(-1, part)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// secondRow is row i of [I_1 D_1^1 X_1 … I_K D_1^K X_K].
func (m *twoLevel) secondRow(c choice, i int) []float64 {
	row := make([]float64, m.h*m.K)
	for k, X := range m.X {
		if c.first[k*m.n+i] {
			part := row[k*m.h : (k+1)*m.h]
			mat.Row(part, i, X)
			scale(c.sign[k], part)
		}
	}
	return row
}

// innerPoint is a point u with r'u > 0 for all rows r, nil if there is none: the
// projection (u, t) of (0, 1) on {(u, t): r'u ≥ t, |r| = 1} has t > 0 exactly
// then.
func innerPoint(rows [][]float64) []float64 {
	d := len(rows[0])
	W := mat.NewDense(len(rows), d+1, nil)
	on := make([]uint64, (len(rows)+63)/64)
	for i, r := range rows {
		w := W.RawRowView(i)
		copy(w, r)
		normalise(w[:d])
		w[d] = -1
		on[i>>6] |= 1 << (uint(i) & 63)
	}
	e, v := make([]float64, d+1), make([]float64, d+1)
	e[d] = 1
	if _, err := newConeProjector(newConeData(W)).project(v, e, on, nil, 1e-12, 0); err != nil || !(v[d] > 1e-9) {
		return nil
	}
	for _, r := range rows {
		if !(dot(r, v[:d]) > 0) {
			return nil
		}
	}
	return v[:d]
}

// randomNeurons are count neurons of normal random weights.
func (m *twoLevel) randomNeurons(tied bool, count int, seed uint64) [][]float64 {
	rng := rand.New(rand.NewPCG(seed, 3))
	out := make([][]float64, count)
	for j := range out {
		out[j] = m.randomNeuron(tied, rng)
	}
	return out
}

// sample draws choices from normal random weights.
func (m *twoLevel) sample(count int, seed uint64) error {
	m.choice = nil
	rng := rand.New(rand.NewPCG(seed, 3))
	seen := map[string]bool{}
	for range 20 * count {
		if len(m.choice) == count {
			break
		}
		c := choice{make([]bool, m.n*m.K), make([]float64, m.K), make([]bool, m.n)}
		sum := make([]float64, m.n)
		for k, X := range m.X {
			u := make([]float64, m.h)
			for j := range u {
				u[j] = rng.NormFloat64()
			}
			w := rng.NormFloat64()
			c.sign[k] = math.Copysign(1, w)
			z := mat.NewVecDense(m.n, nil)
			z.MulVec(X, mat.NewVecDense(m.h, u))
			for i := range m.n {
				if t := z.AtVec(i); t > 0 {
					c.first[k*m.n+i] = true
					sum[i] += w * t
				}
			}
		}
		any := false
		for i, t := range sum {
			c.second[i] = t > 0
			any = any || t > 0
		}
		if key := fmt.Sprint(c); any && !seen[key] {
			seen[key] = true
			m.choice = append(m.choice, c)
		}
	}
	if len(m.choice) == 0 {
		return errors.New("convex: Patches: no random network is active on any sample: are they all zero?")
	}
	return nil
}

func (m *twoLevel) blocks() []Block {
	k := m.h * m.K
	bs := make([]Block, 2*len(m.choice))
	for g := range bs {
		bs[g] = Block{Offset: g * k, Rows: k, Cols: 1, Weight: 1}
	}
	return bs
}

// op is the operator of the program: block g has choice g mod G and the sign
// of its half.
func (m *twoLevel) op() Op {
	G, k := len(m.choice), m.h*m.K
	rows := make([]*mat.Dense, len(m.X))
	for q, X := range m.X {
		rows[q] = X.(*mat.Dense)
	}
	// each calls f with the active patch rows of choice g.
	each := func(g int, f func(i, at int, sign float64, x []float64)) {
		c := m.choice[g]
		for i, on := range c.second {
			if !on {
				continue
			}
			for q := range rows {
				if c.first[q*m.n+i] {
					f(i, q*m.h, c.sign[q], rows[q].RawRowView(i))
				}
			}
		}
	}
	return Op{
		Name: "two levels", Rows: m.n, Cols: 2 * G * k,
		Apply: func(dst, x []float64) {
			clear(dst[:m.n])
			for g := range G {
				plus, minus := x[g*k:(g+1)*k], x[(G+g)*k:(G+g+1)*k]
				if norm2(plus) == 0 && norm2(minus) == 0 {
					continue
				}
				each(g, func(i, at int, sign float64, row []float64) {
					dst[i] += sign * (dot(row, plus[at:at+m.h]) - dot(row, minus[at:at+m.h]))
				})
			}
		},
		Adjoint: func(dst, y []float64) {
			clear(dst[:2*G*k])
			for g := range G {
				plus, minus := dst[g*k:(g+1)*k], dst[(G+g)*k:(G+g+1)*k]
				each(g, func(i, at int, sign float64, row []float64) {
					axpy(sign*y[i], row, plus[at:at+m.h])
				})
				for j, v := range plus {
					minus[j] = -v
				}
			}
		},
	}
}

// cone is that of both layers' patterns.
func (m *twoLevel) cone(g int) *mat.Dense {
	c := m.choice[g%len(m.choice)]
	rows := m.firstRows(c)
	for i, on := range c.second {
		b := m.secondRow(c, i)
		if norm2(b) == 0 {
			continue
		}
		if !on {
			scale(-1, b)
		}
		rows = append(rows, b)
	}
	G := mat.NewDense(len(rows), m.h*m.K, nil)
	for i, r := range rows {
		G.SetRow(i, r)
	}
	return G
}

// network is one of unit filters (m rows of h or h·K numbers), middle weights
// of length one, and outputs a: the size of a is shared between the two.
func (m *twoLevel) network(filters, middle [][]float64, a []float64) *Network {
	net := newNetwork(ThreeLayerReLUCNN{}, m.h, 1)
	k := len(a)
	if k == 0 {
		return net
	}
	W := mat.NewDense(k, m.K, nil)
	net.Hidden, net.Output = mat.NewDense(k, len(filters[0]), nil), mat.NewDense(k, 1, nil)
	for j, v := range a {
		root := math.Sqrt(math.Abs(v))
		net.Hidden.SetRow(j, filters[j])
		W.SetRow(j, middle[j])
		scale(root, W.RawRowView(j))
		net.Output.Set(j, 0, math.Copysign(root, v))
	}
	net.Extra = map[string]*mat.Dense{"w1": W}
	return net
}

// decode makes a neuron of every block: c_k = |w_1k| u_k up to scale.
func (m *twoLevel) decode(blocks []Block, x []float64) (*Network, error) {
	var filters, middle [][]float64
	var a []float64
	for g, b := range blocks {
		z := b.Of(x)
		size := norm2(z)
		if math.IsNaN(size) || math.IsInf(size, 0) {
			return nil, fmt.Errorf("convex: block %d of the point has norm %g", g, size)
		}
		if size == 0 {
			continue
		}
		c := m.choice[g%len(m.choice)]
		u, w := append([]float64(nil), z...), make([]float64, m.K)
		for k := range w {
			part := u[k*m.h : (k+1)*m.h]
			if s := norm2(part); s > 0 {
				scale(1/s, part)
				w[k] = c.sign[k] * s / size
			}
		}
		if g >= len(m.choice) {
			size = -size
		}
		filters, middle, a = append(filters, u), append(middle, w), append(a, size)
	}
	return m.network(filters, middle, a), nil
}

func (ThreeLayerReLUCNN) run(net *Network) { net.Forward, net.Decay = forwardThreeLayer, middleDecay }

// forwardThreeLayer is Σ_j (Σ_k (X_k u_jk)_+ w_1jk)_+ w_2j.
func forwardThreeLayer(net *Network, inputs []mat.Matrix) (*mat.Dense, error) {
	n, h := inputs[0].Dims()
	f := mat.NewDense(n, 1, nil)
	if net.Neurons() == 0 {
		return f, nil
	}
	if net.Extra["w1"] == nil {
		return nil, errors.New(`convex: a three_layer_relu_cnn network needs "w1" in Extra`)
	}
	if _, K := net.Extra["w1"].Dims(); len(inputs) != K || h != net.Inputs {
		return nil, fmt.Errorf("convex: the network takes %d patches of n×%d, not %d of %d×%d", K, net.Inputs, len(inputs), n, h)
	}
	for j := range net.Neurons() {
		u, w := net.Hidden.RawRowView(j), net.Extra["w1"].RawRowView(j)
		for i, t := range middleUnits(inputs, u, w) {
			f.Set(i, 0, f.At(i, 0)+math.Max(t, 0)*net.Output.At(j, 0))
		}
	}
	return f, nil
}

// middleUnits is Σ_k (X_k u_k)_+ w_k, with one filter for all patches when u is
// that short.
func middleUnits(inputs []mat.Matrix, u, w []float64) []float64 {
	n, h := inputs[0].Dims()
	sum, z := make([]float64, n), mat.NewVecDense(n, nil)
	for k, X := range inputs {
		filter := u
		if len(u) > h {
			filter = u[k*h : (k+1)*h]
		}
		if w[k] == 0 {
			continue
		}
		z.MulVec(X, mat.NewVecDense(h, filter))
		for i := range sum {
			sum[i] += w[k] * math.Max(z.AtVec(i), 0)
		}
	}
	return sum
}

// middleDecay is ½ Σ_j (|w_1j|² + w_2j²), with the size of filters above one
// counted into w_1: |u_jk| ≤ 1 is a constraint.
func middleDecay(net *Network) float64 {
	s := 0.0
	for j := range net.Neurons() {
		u, w := net.Hidden.RawRowView(j), net.Extra["w1"].RawRowView(j)
		h := net.Inputs
		for k, v := range w {
			filter := u
			if len(u) > h {
				filter = u[k*h : (k+1)*h]
			}
			v *= math.Max(1, norm2(filter))
			s += v * v / 2
		}
		a := net.Output.At(j, 0)
		s += a * a / 2
	}
	return s
}

// round makes a network of tied filters of a point of the relaxation: the
// leading singular vectors of each C are a filter and middle weights, from
// where a search over neurons goes on.
func (m *twoLevel) round(ctx context.Context, search *columnSearch, blocks []Block, x []float64, s *Settings) (*Network, error) {
	var start [][]float64
	for g, b := range blocks {
		z := b.Of(x)
		if norm2(z) == 0 {
			continue
		}
		// Column k of C is part k of z.
		U, _, V, err := thinSVD(z, m.K, m.h)
		if err != nil {
			return nil, fmt.Errorf("convex: block %d: %w", g, err)
		}
		c := m.choice[g%len(m.choice)]
		for _, s := range []float64{1, -1} {
			theta := mat.Col(nil, 0, V)
			scale(s, theta)
			for k := range m.K {
				theta = append(theta, s*c.sign[k]*U.At(k, 0))
			}
			start = append(start, theta)
		}
	}
	found, err := search.grow(ctx, start, s.Tol/10, maxRounds)
	if err != nil {
		return nil, err
	}
	a := make([]float64, len(found.w))
	for j, w := range found.w {
		a[j] = w[0]
	}
	net := m.fromNeurons(found.u, a)
	net.Bias = found.bias
	return net, nil
}

func (ThreeLayerReLUCNN) fileFields() []string { return []string{"patches", "filters"} }

func (a ThreeLayerReLUCNN) fromFile(raw map[string]json.RawMessage) (Arch, error) {
	if v, ok := raw["filters"]; ok {
		if err := json.Unmarshal(v, &a.Filters); err != nil || a.Filters == "" {
			return nil, errors.New(`field "filters": want untied or tied`)
		}
	}
	if _, err := a.tied(); err != nil {
		return nil, fmt.Errorf(`field "filters" %w`, err)
	}
	return a, nil
}

func (a ThreeLayerReLUCNN) toFile() map[string]any {
	if a.Filters == "" {
		return nil
	}
	return map[string]any{"filters": a.Filters}
}
