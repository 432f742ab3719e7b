// Package sgd trains ReLU, gated ReLU and convolutional networks by stochastic
// gradient descent, with momentum or Adam, on the same non-convex objective
// whose global optimum package convex finds. It is the baseline of the papers'
// figures, meant to be a strong one: Tune looks for the best step size, Runs
// starts from many seeds, and a Result is the best network a run went through.
//
// A run computes on one thread with BLAS's matrix products; Tune and Runs train
// on all processors side by side.
package sgd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

// Options are the settings of a run. A nil pointer and the zero value mean the
// defaults.
type Options struct {
	// Method is "sgd" (the default; "momentum" is the same with Momentum at
	// 0.9 unless set), "adam", or "lbfgs", which takes the whole objective at
	// once and finds a local optimum of a small problem to many digits, for
	// every architecture of package convex (thresholds, which have no gradient,
	// get random hidden layers with the best output layer).
	Method string
	// Momentum is the factor of the velocity v ← Momentum·v + gradient, in
	// [0, 1); Nesterov steps along gradient + Momentum·v in place of v.
	Momentum float64
	Nesterov bool
	// Step is the step size for the objective divided by n, the number of
	// samples: the gradient of a batch is the mean over its samples plus
	// Beta/n times the weights. That is the step of the usual mean loss, and it
	// does not change with n. Default: 0.1, or 0.01 for adam; see Tune.
	Step float64
	// HalveEvery halves the step after so many epochs; 0 keeps it.
	HalveEvery int
	// Neurons is the width m of a ReLU network; default 50. A gated network has
	// as many as its patterns make (min(d, c) a pattern): leave it 0.
	Neurons int
	// Epochs are passes over the data; default 1000.
	Epochs int
	// Batch is the size of a mini-batch, drawn without replacement in an epoch;
	// 0 or n or more takes all samples at once, which is gradient descent.
	Batch int
	// Seed decides the initial weights and the batches.
	Seed uint64
	// Init is how the initial weights are drawn. "uniform" (the default, what
	// PyTorch's nn.Linear does and the papers' code uses): uniform on ±1/√d in
	// the first layer and ±1/√m in the second. "gaussian": normal of variance
	// 2/d and 1/m.
	Init string
	// InitScale multiplies the initial weights; default 1.
	InitScale float64
	// Start is a network to start from, in place of random weights.
	Start *convex.Network
	// TraceEvery is after how many epochs the objective is taken for the trace;
	// default: about 200 times in all.
	TraceEvery int
	// TimeLimit ends the run after so much training time; 0: none.
	TimeLimit time.Duration
	// Watch is called at every point of the trace with a copy of the network at
	// that moment, such as to take its test accuracy. Its time does not count.
	Watch func(Point, *convex.Network)
	// Progress is called at most ten times a second; nil:
	// convex.DefaultProgress.
	Progress func(convex.Progress)
}

// Point is one entry of a trace.
type Point struct {
	Epoch     int
	Seconds   float64 // training time: evaluations of the trace do not count
	Objective float64 // at the weights of this moment, over all samples; +Inf when it overflowed
}

// Result is what a run ends with.
type Result struct {
	// Network is the best the run went through, at the points of its trace.
	// convex.Verify gives its objective again from scratch.
	Network   *convex.Network
	Objective float64 // of Network
	Final     float64 // objective at the last weights
	// Status is IterLimit when all epochs were done, TimeLimit, Stopped, or
	// Numerical when the run diverged: try a smaller Step.
	Status convex.Status
	Epochs int // done
	Method string
	Step   float64
	Seed   uint64
	Trace  []Point
}

// String is the outcome in one line.
func (r *Result) String() string {
	if r == nil {
		return "<nil>"
	}
	seconds := 0.0
	if k := len(r.Trace); k > 0 {
		seconds = r.Trace[k-1].Seconds
	}
	return fmt.Sprintf("%s, step %.4g: objective %.9g after %d epochs in %.3g s (%s), %d neurons, seed %d",
		r.Method, r.Step, r.Objective, r.Epochs, seconds, r.Status, r.Network.Neurons(), r.Seed)
}

// TraceEpochs, TraceSeconds and TraceObjective are the columns of Trace, to plot.
func (r *Result) TraceEpochs() []float64 {
	return r.column(func(p Point) float64 { return float64(p.Epoch) })
}

// TraceSeconds is the training time of every point of the trace.
func (r *Result) TraceSeconds() []float64 {
	return r.column(func(p Point) float64 { return p.Seconds })
}

// TraceObjective is the objective at every point of the trace.
func (r *Result) TraceObjective() []float64 {
	return r.column(func(p Point) float64 { return p.Objective })
}

func (r *Result) column(f func(Point) float64) []float64 {
	if r == nil {
		return nil
	}
	out := make([]float64, len(r.Trace))
	for i, p := range r.Trace {
		out[i] = f(p)
	}
	return out
}

// Patterns returns the activation patterns 1[Xu > 0] of the network's neurons on
// X (n×d), to solve the convex program over them: as a problem's Patterns they
// make its optimum no worse than this run, where sampled patterns may miss those
// that training found. Mishkin, Sahiner and Pilanci (ICML 2022) call them the
// active set. Patterns of several runs can be pooled with Pool.
func (r *Result) Patterns(X mat.Matrix) (*convex.Patterns, error) { return Pool(X, r) }

// Pool returns the activation patterns on X (n×d) of the networks of several
// runs, without duplicates.
func Pool(X mat.Matrix, runs ...*Result) (*convex.Patterns, error) {
	var gates []float64
	d := 0
	for i, r := range runs {
		if r == nil || r.Network.Neurons() == 0 {
			return nil, fmt.Errorf("sgd: Pool: run %d has no network: pass what Train, Tune or Runs returned", i)
		}
		W := r.Network.Hidden
		if r.Network.Arch != (convex.ReLU{}).Name() {
			if W = r.Network.Gates; W == nil {
				return nil, fmt.Errorf("sgd: Pool: run %d is a gated network without gate vectors: its patterns are those of its problem", i)
			}
		}
		if d != 0 && r.Network.Inputs != d {
			return nil, fmt.Errorf("sgd: Pool: run %d has %d inputs, the one before %d: want runs of the same data", i, r.Network.Inputs, d)
		}
		d = r.Network.Inputs
		gates = append(gates, W.RawMatrix().Data...)
	}
	if len(runs) == 0 {
		return nil, errors.New("sgd: Pool: there are no runs")
	}
	pat, err := convex.GatePatterns(X, mat.NewDense(len(gates)/d, d, gates).T())
	if err != nil {
		return nil, fmt.Errorf("sgd: %w", err)
	}
	return pat, nil
}

const (
	defaultNeurons = 50
	defaultEpochs  = 1000
	tracePoints    = 200
)

// resolve returns the options with defaults filled in, for a problem of n
// samples.
func (o *Options) resolve(n int) (Options, error) {
	var t Options
	if o != nil {
		t = *o
	}
	switch t.Method {
	case "", "sgd":
		t.Method = "sgd"
	case "momentum":
		if t.Momentum == 0 {
			t.Momentum = 0.9
		}
	case "adam":
		if t.Momentum != 0 || t.Nesterov {
			return t, errors.New("sgd: Options.Momentum and Nesterov are for the methods sgd and momentum; adam has its own averages")
		}
	case "lbfgs":
		if t.Momentum != 0 || t.Nesterov || t.Step != 0 || t.Batch != 0 || t.HalveEvery != 0 {
			return t, errors.New("sgd: Options.Momentum, Nesterov, Step, Batch and HalveEvery are for the other methods: lbfgs takes all samples and finds its steps itself")
		}
	default:
		return t, fmt.Errorf("sgd: Options.Method is %q: want sgd, momentum, adam or lbfgs", t.Method)
	}
	switch t.Init {
	case "":
		t.Init = "uniform"
	case "uniform", "gaussian":
	default:
		return t, fmt.Errorf("sgd: Options.Init is %q: want uniform or gaussian", t.Init)
	}
	for _, c := range []struct {
		name  string
		value float64
	}{{"Step", t.Step}, {"InitScale", t.InitScale}, {"Neurons", float64(t.Neurons)}, {"Epochs", float64(t.Epochs)}, {"Batch", float64(t.Batch)},
		{"HalveEvery", float64(t.HalveEvery)}, {"TraceEvery", float64(t.TraceEvery)}, {"TimeLimit", float64(t.TimeLimit)}} {
		if !(c.value >= 0) || math.IsInf(c.value, 1) {
			return t, fmt.Errorf("sgd: Options.%s is %g: want a positive number, or 0 for the default", c.name, c.value)
		}
	}
	if !(t.Momentum >= 0 && t.Momentum < 1) {
		return t, fmt.Errorf("sgd: Options.Momentum is %g: want a number in [0, 1), such as 0.9", t.Momentum)
	}
	if t.Nesterov && t.Momentum == 0 {
		return t, errors.New("sgd: Options.Nesterov is set but Momentum is 0: set it, such as to 0.9")
	}
	if t.Step == 0 {
		t.Step = 0.1
		if t.Method == "adam" {
			t.Step = 0.01
		}
	}
	if t.InitScale == 0 {
		t.InitScale = 1
	}
	if t.Epochs == 0 {
		t.Epochs = defaultEpochs
	}
	if t.Batch == 0 || t.Batch > n {
		t.Batch = n
	}
	if t.TraceEvery == 0 {
		t.TraceEvery = max(1, t.Epochs/tracePoints)
	}
	if t.Progress == nil {
		t.Progress = convex.DefaultProgress
	}
	return t, nil
}

// Train minimises the objective of p,
//
//	Σ_i loss(f(x_i), y_i) + Beta/2 Σ_j (|u_j|² + |a_j|²),
//
// by gradient steps on its weights. p is what convex.Solve takes, with the
// architecture ReLU (any number of outputs), GatedReLU, CNN, ThreeLayerReLUCNN,
// ParallelReLU or CircularReLUCNN (the method lbfgs takes every other one too),
// with the decay of each; a gated network's gates are p.Patterns, or if nil those
// that convex.Lower chooses.
//
// An error means that the run could not start. When ctx ends, or the run
// diverges, the Result holds the best network so far and says so in Status.
func Train(ctx context.Context, p convex.Problem, opts *Options) (*Result, error) {
	if ctx == nil {
		return nil, errors.New("sgd: Train: ctx is nil: want a context, such as context.Background()")
	}
	if opts != nil && opts.Method == "lbfgs" {
		return trainLBFGS(ctx, p, opts)
	}
	m, err := newModel(ctx, p, opts)
	if err != nil {
		return nil, err
	}
	return m.run(ctx)
}

// run is the loop over epochs.
func (m *model) run(ctx context.Context) (*Result, error) {
	o := &m.opts
	r := &Result{Status: convex.IterLimit, Method: o.Method, Step: o.Step, Seed: o.Seed, Objective: math.Inf(1)}
	var best []float64
	var busy time.Duration // training time up to the last pause
	started := time.Now()
	var reported time.Time

	// record takes the objective, and stops the clock meanwhile.
	record := func(epoch int) error {
		busy += time.Since(started)
		point := Point{Epoch: epoch, Seconds: busy.Seconds(), Objective: math.Inf(1)}
		if f, err := m.objective(); err != nil {
			return err
		} else if f-f == 0 {
			point.Objective = f
		}
		r.Trace = append(r.Trace, point)
		r.Final = point.Objective
		if point.Objective < r.Objective {
			r.Objective = point.Objective
			best = append(best[:0], m.theta...)
		}
		if o.Watch != nil {
			o.Watch(point, m.network(m.theta))
		}
		if o.Progress != nil && (time.Since(reported) >= 100*time.Millisecond || epoch == o.Epochs) {
			reported = time.Now()
			eta := time.Duration(0)
			if epoch > 0 {
				eta = time.Duration(float64(busy) / float64(epoch) * float64(o.Epochs-epoch))
			}
			o.Progress(convex.Progress{Solver: o.Method, Iter: epoch, Primal: r.Objective, Lower: math.Inf(-1), Gap: math.Inf(1), Active: m.neurons, Elapsed: busy, ETA: eta, Done: epoch == o.Epochs})
		}
		started = time.Now()
		return nil
	}

	if err := record(0); err != nil {
		return nil, err
	}
	if best == nil {
		return nil, errors.New("sgd: the objective at the initial weights is not finite: choose a smaller InitScale, or scale the data")
	}
	step := o.Step
epochs:
	for epoch := 1; epoch <= o.Epochs; epoch++ {
		m.shuffle()
		for at := 0; at < m.n; at += o.Batch {
			err := m.gradient(ctx, at, min(at+o.Batch, m.n))
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				r.Status = convex.TimeLimit
				break epochs
			case errors.Is(err, context.Canceled):
				r.Status = convex.Stopped
				break epochs
			case err != nil:
				return nil, err
			}
			m.update(step)
		}
		r.Epochs = epoch
		if o.HalveEvery > 0 && epoch%o.HalveEvery == 0 {
			step /= 2
		}
		if epoch%o.TraceEvery == 0 || epoch == o.Epochs {
			if err := record(epoch); err != nil {
				return nil, err
			}
			if math.IsInf(r.Final, 1) {
				r.Status = convex.Numerical
				break
			}
		}
		if o.TimeLimit > 0 && busy+time.Since(started) >= o.TimeLimit {
			r.Status = convex.TimeLimit
			break
		}
	}
	if last := r.Trace[len(r.Trace)-1]; last.Epoch != r.Epochs {
		if err := record(r.Epochs); err != nil {
			return nil, err
		}
	}
	r.Network = m.network(best)
	return r, nil
}

// network returns a network with the given weights.
func (m *model) network(theta []float64) *convex.Network {
	of := *m
	theta = append([]float64(nil), theta...)
	of.hidden, of.output, of.middle = m.layers(theta)
	if m.layout != nil {
		return m.layout.network(&of)
	}
	net := &convex.Network{
		Arch:        m.arch,
		Hidden:      mat.NewDense(m.neurons, m.d, of.hidden.Data),
		Output:      mat.NewDense(m.neurons, m.c, of.output.Data),
		Gates:       m.gates,
		Inputs:      m.d,
		Outputs:     m.c,
		Activations: m.activations(),
	}
	if m.perOutput {
		net.Decay = func(net *convex.Network) float64 {
			h, o := net.Hidden.RawMatrix(), net.Output.RawMatrix()
			s := perOutputDecay(o, nil, 0)
			for j := range h.Rows {
				for _, v := range h.Data[j*h.Stride : j*h.Stride+h.Cols] {
					s += v * v
				}
			}
			return s / 2
		}
	}
	return net
}
