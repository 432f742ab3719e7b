package sgd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

// block is the most samples that pass through the network at once. It bounds
// the memory for activations and is large enough for fast matrix products.
const block = 1024

// model is a network in training: the data, the weights and the buffers.
type model struct {
	opts       Options
	arch       string
	x          blas64.General // (n·patches)×d; patch k of sample i is row i·patches+k
	y          []float64      // n·c
	n, d, c    int
	patches    int             // 1 for networks on X
	pool       string          // over the patches: sum, average or max
	empty      *convex.Network // of the architecture, without neurons; nil: its functions are those here
	circular   *circular       // the layer of circular filters, if there is one
	neurons    int
	beta       float64
	loss       convex.Loss
	patterns   *convex.Patterns // gated networks: neuron j has pattern patternOf[j]
	patternOf  []int
	gates      *mat.Dense // m×d, nil when the patterns came without
	mask       []bool     // gated networks: n×m, whether neuron j is on for sample i
	rnd        *rand.Rand
	order      []int // samples in the order of this epoch; nil: as they are
	theta      []float64
	grad       []float64
	velocity   []float64 // momentum; Adam's first moment
	square     []float64 // Adam's second moment
	updates    int
	xb, yb     []float64 // a gathered block
	h, a       []float64 // (block·patches)×m before the activation, block×m after it and the pooling
	back       []float64 // (block·patches)×m, gradient of h; the memory of a without patches
	won        []int     // block×m, max pooling: the row of h that won, or -1
	f, r       []float64 // block×c: predictions and gradient of the loss
	hidden     blas64.General
	output     blas64.General
	gradHidden blas64.General
	gradOutput blas64.General
}

func newModel(ctx context.Context, p convex.Problem, opts *Options) (*model, error) {
	// A network without neurons lets Verify check every part of the problem.
	n, d := dims(p.X)
	if len(p.Patches) > 0 {
		n, d = dims(p.Patches[0])
	}
	_, c := dims(p.Y)
	if _, err := convex.Verify(p, &convex.Network{Inputs: d, Outputs: c}); err != nil {
		return nil, fmt.Errorf("sgd: %w", err)
	}
	o, err := opts.resolve(n)
	if err != nil {
		return nil, err
	}
	m := &model{opts: o, n: n, d: d, c: c, patches: 1, beta: p.Beta, loss: p.Loss}
	if m.loss.New == nil {
		m.loss = convex.Squared
	}
	X := m.samples(p)
	m.x = X.RawMatrix()
	m.y = mat.DenseCopyOf(p.Y).RawMatrix().Data
	m.rnd = rand.New(rand.NewPCG(o.Seed, 0x736764)) // "sgd"

	switch arch := p.Arch.(type) {
	case nil, convex.ReLU:
		m.arch = convex.ReLU{}.Name()
		m.width()
	case convex.CNN:
		m.arch, m.pool = arch.Name(), arch.Pool
		m.width()
		if m.empty, err = emptyNetwork(ctx, p); err != nil {
			return nil, err
		}
	case convex.CircularReLUCNN:
		m.arch = arch.Name()
		m.width()
		if m.circular, err = newCircular(arch, d); err != nil {
			return nil, err
		}
		if m.empty, err = emptyNetwork(ctx, p); err != nil {
			return nil, err
		}
	case convex.GatedReLU:
		m.arch = arch.Name()
		if arch.Penalty != "" && arch.Penalty != "nuclear" && c > 1 {
			return nil, fmt.Errorf("sgd: GatedReLU.Penalty is %q, which is not the weight decay of the network: want nuclear", arch.Penalty)
		}
		if o.Neurons != 0 {
			return nil, fmt.Errorf("sgd: Options.Neurons is %d but a gated network's neurons are set by Problem.Patterns: leave it 0", o.Neurons)
		}
		if err := m.setGates(ctx, p, X); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("sgd: architecture %s is not trained here: want ReLU, GatedReLU, CNN or CircularReLUCNN", arch.Name())
	}
	if _, isCNN := p.Arch.(convex.CNN); len(p.Patches) > 0 && !isCNN {
		return nil, fmt.Errorf("sgd: the problem has Patches, which a %s network does not take", m.arch)
	}

	k := m.neurons
	size := k * (d + c)
	if m.circular != nil {
		size += k * d
	}
	m.theta, m.grad = make([]float64, size), make([]float64, size)
	m.hidden, m.output = m.layers(m.theta)
	m.gradHidden, m.gradOutput = m.layers(m.grad)
	if m.circular != nil {
		m.circular.attach(m)
	}
	if o.Momentum > 0 || o.Method == "adam" {
		m.velocity = make([]float64, len(m.theta))
	}
	if o.Method == "adam" {
		m.square = make([]float64, len(m.theta))
	}
	rows := min(block, n)
	m.h, m.a = make([]float64, rows*m.patches*k), make([]float64, rows*k)
	m.back = m.a
	if m.patches > 1 {
		m.back = make([]float64, len(m.h))
	}
	if m.pool == "max" {
		m.won = make([]int, rows*k)
	}
	m.f, m.r = make([]float64, rows*c), make([]float64, rows*c)
	if o.Batch < n {
		m.xb, m.yb = make([]float64, rows*m.patches*d), make([]float64, rows*c)
		m.order = make([]int, n)
		for i := range m.order {
			m.order[i] = i
		}
	}
	fn, err := m.loss.New(m.y)
	if err != nil {
		return nil, fmt.Errorf("sgd: %w", err)
	}
	if fn.Grad == nil && fn.Subgrad == nil {
		return nil, fmt.Errorf("sgd: loss %q has neither Grad nor Subgrad: give it one", m.loss.Name)
	}
	return m, m.initialise()
}

// width sets the number of neurons of a network that may have any.
func (m *model) width() {
	m.neurons = m.opts.Neurons
	if m.neurons == 0 {
		m.neurons = defaultNeurons
		if m.opts.Start.Neurons() > 0 {
			m.neurons = m.opts.Start.Neurons()
		}
	}
}

// samples is X, or the patches of a sample under one another.
func (m *model) samples(p convex.Problem) *mat.Dense {
	if len(p.Patches) == 0 {
		return mat.DenseCopyOf(p.X)
	}
	m.patches = len(p.Patches)
	X := mat.NewDense(m.n*m.patches, m.d, nil)
	for k, P := range p.Patches {
		for i := range m.n {
			mat.Row(X.RawRowView(i*m.patches+k), i, P)
		}
	}
	return X
}

// emptyNetwork is the network without neurons of the problem's architecture,
// with the functions that the convex program's own networks have.
func emptyNetwork(ctx context.Context, p convex.Problem) (*convex.Network, error) {
	p.Patterns = nil // any will do, for none is used
	prog, err := convex.Lower(ctx, p, &convex.Settings{MaxPatterns: 1, Samples: 1})
	if err != nil {
		return nil, fmt.Errorf("sgd: %w", err)
	}
	net, err := prog.Decode(make([]float64, prog.Op.Cols))
	if err != nil {
		return nil, fmt.Errorf("sgd: %w", err)
	}
	return net, nil
}

// dims is the size of A; 0×0 for a nil matrix, even inside an interface, and for
// one that cannot tell. Verify reports those.
func dims(A mat.Matrix) (r, c int) {
	defer func() {
		if recover() != nil {
			r, c = 0, 0
		}
	}()
	return A.Dims()
}

// layers views the weights of both layers in one vector.
func (m *model) layers(theta []float64) (hidden, output blas64.General) {
	k := m.neurons
	return blas64.General{Rows: k, Cols: m.d, Stride: m.d, Data: theta[:k*m.d]},
		blas64.General{Rows: k, Cols: m.c, Stride: m.c, Data: theta[k*m.d : k*(m.d+m.c)]}
}

// setGates makes min(d, c) neurons of every pattern: no more have a use, since
// the d×c matrix of a gate has at most that rank.
func (m *model) setGates(ctx context.Context, p convex.Problem, X *mat.Dense) error {
	pat := p.Patterns
	if pat == nil {
		prog, err := convex.Lower(ctx, p, nil)
		if err != nil {
			return fmt.Errorf("sgd: %w", err)
		}
		pat = prog.Patterns
	}
	m.patterns = pat
	each := min(m.d, m.c)
	m.neurons = pat.Len() * each
	m.patternOf = make([]int, m.neurons)
	for j := range m.patternOf {
		m.patternOf[j] = j / each
	}
	if pat.Gates != nil {
		m.gates = mat.NewDense(m.neurons, m.d, nil)
		for j, k := range m.patternOf {
			mat.Col(m.gates.RawRowView(j), k, pat.Gates)
		}
	}
	m.mask = make([]bool, m.n*m.neurons)
	for i := range m.n {
		for j, k := range m.patternOf {
			m.mask[i*m.neurons+j] = pat.Bit(k, i)
		}
	}
	return nil
}

// initialise draws the weights, or copies those of Start.
func (m *model) initialise() error {
	if start := m.opts.Start; start != nil {
		k := start.Neurons()
		if k != m.neurons || start.Inputs != m.d || start.Outputs != m.c {
			return fmt.Errorf("sgd: Options.Start has %d neurons, %d inputs and %d outputs: this problem wants %d, %d and %d", k, start.Inputs, start.Outputs, m.neurons, m.d, m.c)
		}
		if start.Arch != m.arch {
			return fmt.Errorf("sgd: Options.Start is a %s network: this problem wants %s", start.Arch, m.arch)
		}
		mat.NewDense(k, m.d, m.hidden.Data).Copy(start.Hidden)
		mat.NewDense(k, m.c, m.output.Data).Copy(start.Output)
		if m.circular != nil {
			return m.circular.start(start)
		}
		return nil
	}
	draw := func(w []float64, fan int, gain float64) {
		scale := m.opts.InitScale / math.Sqrt(float64(fan))
		for i := range w {
			if m.opts.Init == "gaussian" {
				w[i] = scale * gain * m.rnd.NormFloat64()
			} else {
				w[i] = scale * (2*m.rnd.Float64() - 1)
			}
		}
	}
	draw(m.hidden.Data, m.d, math.Sqrt2)
	draw(m.output.Data, m.neurons, 1)
	if m.circular != nil {
		draw(m.circular.filters.Data, m.d, math.Sqrt2)
		m.circular.project()
	}
	return nil
}

// shuffle draws the order of an epoch.
func (m *model) shuffle() {
	m.rnd.Shuffle(len(m.order), func(i, j int) { m.order[i], m.order[j] = m.order[j], m.order[i] })
}

// sample is the sample in place i of the epoch's order.
func (m *model) sample(i int) int {
	if m.order == nil {
		return i
	}
	return m.order[i]
}

// gather returns the samples in places from to to, and their targets.
func (m *model) gather(from, to int) (x blas64.General, y []float64) {
	rows, each := to-from, m.patches*m.d
	x = blas64.General{Rows: rows * m.patches, Cols: m.d, Stride: m.d}
	if m.order == nil {
		x.Data = m.x.Data[from*each : to*each]
		return x, m.y[from*m.c : to*m.c]
	}
	for i := range rows {
		k := m.order[from+i]
		copy(m.xb[i*each:(i+1)*each], m.x.Data[k*each:(k+1)*each])
		copy(m.yb[i*m.c:(i+1)*m.c], m.y[k*m.c:(k+1)*m.c])
	}
	x.Data = m.xb[:rows*each]
	return x, m.yb[:rows*m.c]
}

// forward computes the hidden layer and the predictions of the samples in
// places from and on into m.h, m.a and m.f.
func (m *model) forward(x blas64.General, from int) (a, f blas64.General) {
	k, rows := m.neurons, x.Rows/m.patches
	h := blas64.General{Rows: x.Rows, Cols: k, Stride: k, Data: m.h[:x.Rows*k]}
	a = blas64.General{Rows: rows, Cols: k, Stride: k, Data: m.a[:rows*k]}
	f = blas64.General{Rows: rows, Cols: m.c, Stride: m.c, Data: m.f[:rows*m.c]}
	hidden := m.hidden
	if m.circular != nil {
		hidden = m.circular.convolved()
	}
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, x, hidden, 0, h)
	switch {
	case m.patches > 1:
		m.poolPatches(a)
	case m.mask == nil:
		for i, v := range h.Data {
			a.Data[i] = max(v, 0)
		}
	default:
		for i := range rows {
			on := m.mask[m.sample(from+i)*k:][:k]
			for j, v := range h.Data[i*k : (i+1)*k] {
				if !on[j] {
					v = 0
				}
				a.Data[i*k+j] = v
			}
		}
	}
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, a, m.output, 0, f)
	return a, f
}

// poolPatches pools the activations of the patches of each sample.
func (m *model) poolPatches(a blas64.General) {
	k := m.neurons
	clear(a.Data)
	for i := range a.Rows {
		out := a.Data[i*k : (i+1)*k]
		if m.pool == "max" {
			won := m.won[i*k : (i+1)*k]
			for j := range won {
				won[j] = -1
			}
			for p := range m.patches {
				row := i*m.patches + p
				for j, v := range m.h[row*k : (row+1)*k] {
					if v > out[j] {
						out[j], won[j] = v, row
					}
				}
			}
			continue
		}
		for p := range m.patches {
			row := i*m.patches + p
			for j, v := range m.h[row*k : (row+1)*k] {
				out[j] += max(v, 0)
			}
		}
	}
	if m.pool == "average" {
		blas64.Scal(1/float64(m.patches), blas64.Vector{N: len(a.Data), Inc: 1, Data: a.Data})
	}
}

// backward turns the gradient of the pooled activations, in the memory of a,
// into that of m.h, which it returns.
func (m *model) backward(a blas64.General, at int) blas64.General {
	k := m.neurons
	b := blas64.General{Rows: a.Rows * m.patches, Cols: k, Stride: k, Data: m.back[:a.Rows*m.patches*k]}
	switch {
	case m.patches > 1:
		share := 1.0
		if m.pool == "average" {
			share /= float64(m.patches)
		}
		for row := range b.Rows {
			i := row / m.patches
			for j, v := range m.h[row*k : (row+1)*k] {
				on := v > 0
				if m.pool == "max" {
					on = m.won[i*k+j] == row
				}
				b.Data[row*k+j] = 0
				if on {
					b.Data[row*k+j] = share * a.Data[i*k+j]
				}
			}
		}
	case m.mask == nil:
		for i, v := range m.h[:len(b.Data)] {
			if !(v > 0) {
				b.Data[i] = 0
			}
		}
	default:
		for i := range b.Rows {
			on := m.mask[m.sample(at+i)*k:][:k]
			row := b.Data[i*k : (i+1)*k]
			for j := range row {
				if !on[j] {
					row[j] = 0
				}
			}
		}
	}
	return b
}

// gradient sets m.grad to the gradient of the objective over n, estimated on
// the samples in places from to to. It ends with the error of ctx when that
// ends.
func (m *model) gradient(ctx context.Context, from, to int) error {
	clear(m.grad)
	weight := 1 / float64(to-from)
	for at := from; at < to; at += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(at+block, to)
		x, y := m.gather(at, end)
		a, f := m.forward(x, at)
		fn, err := m.loss.New(y)
		if err != nil {
			return fmt.Errorf("sgd: %w", err)
		}
		r := blas64.General{Rows: f.Rows, Cols: m.c, Stride: m.c, Data: m.r[:f.Rows*m.c]}
		if fn.Grad != nil {
			fn.Grad(r.Data, f.Data)
		} else {
			fn.Subgrad(r.Data, f.Data)
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, weight, a, r, 1, m.gradOutput)

		blas64.Gemm(blas.NoTrans, blas.Trans, 1, r, m.output, 0, a)
		into := m.gradHidden
		if m.circular != nil {
			into = m.circular.gradConvolved
		}
		beta := 1.0
		if at == from {
			beta = 0
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, weight, m.backward(a, at), x, beta, into)
	}
	if m.circular != nil {
		m.circular.pull()
	}
	decay := m.beta / float64(m.n)
	for i, v := range m.decayed() {
		m.grad[i] += decay * v
	}
	return nil
}

// decayed are the weights that weight decay is on: all but normalised filters.
func (m *model) decayed() []float64 { return m.theta[:m.neurons*(m.d+m.c)] }

// objective is the objective of the problem at the weights, over all samples.
func (m *model) objective() (float64, error) {
	order := m.order
	m.order = nil // samples as they lie, without gathering
	defer func() { m.order = order }()
	sum := 0.0
	for _, v := range m.decayed() {
		sum += v * v
	}
	sum *= m.beta / 2
	for at := 0; at < m.n; at += block {
		x, y := m.gather(at, min(at+block, m.n))
		_, f := m.forward(x, at)
		fn, err := m.loss.New(y)
		if err != nil {
			return 0, fmt.Errorf("sgd: %w", err)
		}
		sum += fn.Value(f.Data)
	}
	return sum, nil
}

// Adam's constants (Kingma & Ba 2015).
const (
	adamMean    = 0.9
	adamSquare  = 0.999
	adamEpsilon = 1e-8
)

// update takes one step along the gradient.
func (m *model) update(step float64) {
	m.updates++
	momentum := m.opts.Momentum
	switch {
	case m.square != nil:
		biasMean := 1 - math.Pow(adamMean, float64(m.updates))
		biasSquare := 1 - math.Pow(adamSquare, float64(m.updates))
		for i, g := range m.grad {
			m.velocity[i] = adamMean*m.velocity[i] + (1-adamMean)*g
			m.square[i] = adamSquare*m.square[i] + (1-adamSquare)*g*g
			m.theta[i] -= step * (m.velocity[i] / biasMean) / (math.Sqrt(m.square[i]/biasSquare) + adamEpsilon)
		}
	case momentum == 0:
		for i, g := range m.grad {
			m.theta[i] -= step * g
		}
	case m.opts.Nesterov:
		for i, g := range m.grad {
			m.velocity[i] = momentum*m.velocity[i] + g
			m.theta[i] -= step * (g + momentum*m.velocity[i])
		}
	default:
		for i, g := range m.grad {
			m.velocity[i] = momentum*m.velocity[i] + g
			m.theta[i] -= step * m.velocity[i]
		}
	}
	if m.circular != nil {
		m.circular.project()
	}
}

// activations returns the function of a trained network that computes its
// hidden layer. A gated network knows its training samples by their patterns,
// and others by its gate vectors.
func (m *model) activations() func(*convex.Network, []mat.Matrix) (*mat.Dense, error) {
	if m.mask == nil {
		return func(net *convex.Network, inputs []mat.Matrix) (*mat.Dense, error) {
			var a mat.Dense
			a.Mul(inputs[0], net.Hidden.T())
			a.Apply(func(_, _ int, v float64) float64 { return max(v, 0) }, &a)
			return &a, nil
		}
	}
	X := mat.NewDense(m.n, m.d, m.x.Data)
	mask, k := m.mask, m.neurons
	return func(net *convex.Network, inputs []mat.Matrix) (*mat.Dense, error) {
		var a, s mat.Dense
		a.Mul(inputs[0], net.Hidden.T())
		on := func(i, j int) bool { return s.At(i, j) > 0 }
		switch {
		case net.Neurons() == k && mat.Equal(X, inputs[0]):
			on = func(i, j int) bool { return mask[i*k+j] }
		case net.Gates == nil:
			return nil, errors.New("sgd: the patterns came without gate vectors, so the network is known on its training data only: make them with convex.GatePatterns to predict elsewhere")
		default:
			s.Mul(inputs[0], net.Gates.T())
		}
		a.Apply(func(i, j int, v float64) float64 {
			if !on(i, j) {
				return 0
			}
			return v
		}, &a)
		return &a, nil
	}
}
