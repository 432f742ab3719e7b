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
	x          blas64.General // n×d
	y          []float64      // n·c
	n, d, c    int
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
	h, a       []float64 // block×m: before and after the activation
	f, r       []float64 // block×c: predictions and gradient of the loss
	hidden     blas64.General
	output     blas64.General
	gradHidden blas64.General
	gradOutput blas64.General

	layout     layout         // of networks that are not two plain layers, else nil
	middle     blas64.General // weights between the hidden and the output layer, if there are any
	gradMiddle blas64.General
	decayed    int  // the first weight with decay: filters of three-layer networks have none
	perOutput  bool // decay of the output weights is by their sum
}

// layout is what a network that is not two plain layers adds to a model.
type layout interface {
	// widths are the numbers of weights of a neuron in the hidden, the output
	// and the middle layer. When there is a middle layer the hidden one is of
	// filters, taken at a fixed length and without decay.
	widths() (hidden, output, middle int)
	// fans are the numbers of inputs of a hidden and a middle weight's unit.
	fans() (hidden, middle int)
	// parts are the hidden and middle weights in a network of this layout.
	parts(*convex.Network) (hidden, middle *mat.Dense)
	// grow makes the buffers for so many rows and neurons.
	grow(rows, m int)
	// forward sets f to the predictions for x; backward adds weight times the
	// gradient to the model's, from the gradient r by those predictions.
	forward(m *model, x, f blas64.General)
	backward(m *model, x blas64.General, r []float64, weight float64)
	// network is the one of the model's weights.
	network(m *model) *convex.Network
}

func newModel(ctx context.Context, p convex.Problem, opts *Options) (*model, error) {
	cv, X, err := newConv(ctx, p)
	if err != nil {
		return nil, err
	}
	if cv != nil {
		p.X, p.Patches, p.Patching = X, nil, convex.Patching{}
	}
	if len(p.Patches) > 0 {
		return nil, fmt.Errorf("sgd: the problem has Patches, which architecture %s is not trained on here: want CNN or ThreeLayerReLUCNN", archName(p))
	}
	// A network without neurons lets Verify check every part of the problem.
	n, d := dims(p.X)
	_, c := dims(p.Y)
	if _, err := convex.Verify(p, &convex.Network{Inputs: d, Outputs: c}); err != nil {
		return nil, fmt.Errorf("sgd: %w", err)
	}
	o, err := opts.resolve(n)
	if err != nil {
		return nil, err
	}
	m := &model{opts: o, n: n, d: d, c: c, beta: p.Beta, loss: p.Loss}
	if m.loss.New == nil {
		m.loss = convex.Squared
	}
	if X == nil {
		X = mat.DenseCopyOf(p.X)
	}
	m.x = X.RawMatrix()
	m.y = mat.DenseCopyOf(p.Y).RawMatrix().Data
	m.rnd = rand.New(rand.NewPCG(o.Seed, 0x736764)) // "sgd"

	width := func() {
		m.neurons = o.Neurons
		if m.neurons == 0 {
			m.neurons = defaultNeurons
			if o.Start.Neurons() > 0 {
				m.neurons = o.Start.Neurons()
			}
		}
	}
	switch arch := p.Arch.(type) {
	case nil:
		m.arch = convex.ReLU{}.Name()
		width()
	case convex.ReLU:
		m.arch = arch.Name()
		m.perOutput = arch.Penalty == "per_output" && c > 1
		width()
	case convex.CNN, convex.ThreeLayerReLUCNN, convex.ParallelReLU:
		m.arch = arch.Name()
		m.layout = cv
		width()
	case convex.CircularReLUCNN:
		if _, err := convex.Lower(ctx, p, &convex.Settings{MaxPatterns: 1, Samples: 1}); err != nil {
			return nil, fmt.Errorf("sgd: %w", err) // which says what is wrong with the architecture
		}
		m.arch = arch.Name()
		m.layout = newCircular(arch, d)
		width()
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
		return nil, fmt.Errorf("sgd: architecture %s is not trained here: want ReLU, GatedReLU, CNN, ThreeLayerReLUCNN, ParallelReLU or CircularReLUCNN, or the method lbfgs, which takes all", arch.Name())
	}

	k := m.neurons
	hidden, output, middle := m.widths()
	m.theta, m.grad = make([]float64, k*(hidden+output+middle)), make([]float64, k*(hidden+output+middle))
	m.hidden, m.output, m.middle = m.layers(m.theta)
	m.gradHidden, m.gradOutput, m.gradMiddle = m.layers(m.grad)
	if middle > 0 {
		m.decayed = k * hidden
	}
	if o.Momentum > 0 || o.Method == "adam" {
		m.velocity = make([]float64, len(m.theta))
	}
	if o.Method == "adam" {
		m.square = make([]float64, len(m.theta))
	}
	rows := min(block, n)
	if m.layout != nil {
		m.layout.grow(rows, k)
	} else {
		m.h, m.a = make([]float64, rows*k), make([]float64, rows*k)
	}
	m.f, m.r = make([]float64, rows*c), make([]float64, rows*c)
	if o.Batch < n {
		m.xb, m.yb = make([]float64, rows*d), make([]float64, rows*c)
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

// archName is the name of the architecture of p.
func archName(p convex.Problem) string {
	if p.Arch == nil {
		return convex.ReLU{}.Name()
	}
	return p.Arch.Name()
}

// widths are the numbers of weights of a neuron in the hidden, the output and
// the middle layer.
func (m *model) widths() (hidden, output, middle int) {
	if m.layout != nil {
		return m.layout.widths()
	}
	return m.d, m.c, 0
}

// layers views the weights of all layers in one vector.
func (m *model) layers(theta []float64) (hidden, output, middle blas64.General) {
	k := m.neurons
	h, o, w := m.widths()
	view := func(width int) blas64.General {
		part := theta[: k*width : k*width]
		theta = theta[k*width:]
		return blas64.General{Rows: k, Cols: width, Stride: width, Data: part}
	}
	hidden, output = view(h), view(o)
	if w > 0 {
		middle = view(w)
	}
	return hidden, output, middle
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
		inputs, hidden, middle := m.d, start.Hidden, (*mat.Dense)(nil)
		if m.layout != nil {
			inputs, _ = m.layout.fans()
			hidden, middle = m.layout.parts(start)
		}
		if k != m.neurons || start.Inputs != inputs || start.Outputs != m.c {
			return fmt.Errorf("sgd: Options.Start has %d neurons, %d inputs and %d outputs: this problem wants %d, %d and %d", k, start.Inputs, start.Outputs, m.neurons, inputs, m.c)
		}
		if start.Arch != m.arch {
			return fmt.Errorf("sgd: Options.Start is a %s network: this problem wants %s", start.Arch, m.arch)
		}
		for _, l := range []struct {
			what string
			to   blas64.General
			from *mat.Dense
		}{{"Hidden", m.hidden, hidden}, {"Output", m.output, start.Output}, {"Extra", m.middle, middle}} {
			if l.to.Cols == 0 {
				continue
			}
			if r, c := dims(l.from); r != k || c != l.to.Cols {
				return fmt.Errorf("sgd: Options.Start.%s is %d×%d: this problem wants %d×%d", l.what, r, c, k, l.to.Cols)
			}
			mat.NewDense(k, l.to.Cols, l.to.Data).Copy(l.from)
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
	fan := m.d
	if m.layout != nil {
		var middle int
		fan, middle = m.layout.fans()
		draw(m.middle.Data, middle, 1)
	}
	draw(m.hidden.Data, fan, math.Sqrt2)
	draw(m.output.Data, m.neurons, 1)
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
	rows := to - from
	x = blas64.General{Rows: rows, Cols: m.d, Stride: m.d}
	if m.order == nil {
		x.Data = m.x.Data[from*m.d : to*m.d]
		return x, m.y[from*m.c : to*m.c]
	}
	for i := range rows {
		k := m.order[from+i]
		copy(m.xb[i*m.d:(i+1)*m.d], m.x.Data[k*m.d:(k+1)*m.d])
		copy(m.yb[i*m.c:(i+1)*m.c], m.y[k*m.c:(k+1)*m.c])
	}
	x.Data = m.xb[:rows*m.d]
	return x, m.yb[:rows*m.c]
}

// forward computes the hidden layer and the predictions of the samples in
// places from to to into m.h, m.a and m.f.
func (m *model) forward(x blas64.General, from int) (a, f blas64.General) {
	if m.layout != nil {
		f = blas64.General{Rows: x.Rows, Cols: 1, Stride: 1, Data: m.f[:x.Rows]}
		m.layout.forward(m, x, f)
		return a, f
	}
	k := m.neurons
	h := blas64.General{Rows: x.Rows, Cols: k, Stride: k, Data: m.h[:x.Rows*k]}
	a = blas64.General{Rows: x.Rows, Cols: k, Stride: k, Data: m.a[:x.Rows*k]}
	f = blas64.General{Rows: x.Rows, Cols: m.c, Stride: m.c, Data: m.f[:x.Rows*m.c]}
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, x, m.hidden, 0, h)
	if m.mask == nil {
		for i, v := range h.Data {
			a.Data[i] = max(v, 0)
		}
	} else {
		for i := range x.Rows {
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
		if m.layout != nil {
			m.layout.backward(m, x, r.Data, weight)
			continue
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, weight, a, r, 1, m.gradOutput)

		// Back through the activation, in the memory of a.
		k := m.neurons
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, r, m.output, 0, a)
		if m.mask == nil {
			for i, v := range m.h[:len(a.Data)] {
				if !(v > 0) {
					a.Data[i] = 0
				}
			}
		} else {
			for i := range x.Rows {
				on := m.mask[m.sample(at+i)*k:][:k]
				row := a.Data[i*k : (i+1)*k]
				for j := range row {
					if !on[j] {
						row[j] = 0
					}
				}
			}
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, weight, a, x, 1, m.gradHidden)
	}
	decay := m.beta / float64(m.n)
	theta := m.theta[m.decayed:]
	if m.perOutput {
		perOutputDecay(m.output, m.gradOutput.Data, decay)
		theta = m.hidden.Data
	}
	for i, v := range theta {
		m.grad[m.decayed+i] += decay * v
	}
	return nil
}

// objective is the objective of the problem at the weights, over all samples.
func (m *model) objective() (float64, error) {
	order := m.order
	m.order = nil // samples as they lie, without gathering
	defer func() { m.order = order }()
	sum := 0.0
	theta := m.theta[m.decayed:]
	if m.perOutput {
		sum, theta = perOutputDecay(m.output, nil, 0), m.hidden.Data
	}
	for _, v := range theta {
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
