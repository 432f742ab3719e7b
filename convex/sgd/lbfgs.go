package sgd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"

	"github.com/gonvex/gonvex/convex"
)

// descent is a training problem for a method that wants the whole objective and
// its gradient at once: the predictions of an architecture, how their gradient
// goes back to the weights, and what the weights cost.
type descent struct {
	size     int                                               // number of weights
	spread   float64                                           // of the initial normal weights; 0 means 1
	forward  func(theta []float64) []float64                   // n·c predictions, kept for backward
	backward func(theta, r, grad []float64)                    // adds to grad, from the gradient r by the predictions
	decay    func(theta, grad []float64, beta float64) float64 // the penalty over beta; adds beta times its gradient
	network  func(theta []float64) (*convex.Network, error)
}

// lbfgsEpochs is the default limit of iterations.
const lbfgsEpochs = 3000

// trainLBFGS is Train by the method lbfgs.
func trainLBFGS(ctx context.Context, p convex.Problem, opts *Options) (*Result, error) {
	n, _ := dims(p.Y)
	o, err := opts.resolve(max(n, 1))
	if err != nil {
		return nil, err
	}
	if o.Start != nil {
		return nil, errors.New("sgd: Options.Start is for sgd, momentum and adam: lbfgs starts from random weights")
	}
	if opts.Epochs == 0 {
		o.Epochs = lbfgsEpochs
	}
	if _, ok := p.Arch.(convex.Threshold); ok {
		return randomThresholds(ctx, p, o)
	}
	value, size, spread, network, err := objectiveOf(ctx, p, opts, o)
	if err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(o.Seed, 0x6c62666773)) // "lbfgs"
	start := make([]float64, size)
	for i := range start {
		start[i] = o.InitScale * spread * rnd.NormFloat64()
	}
	began := time.Now()
	r := &Result{Status: convex.IterLimit, Method: "lbfgs", Seed: o.Seed, Objective: math.Inf(1)}
	best := append([]float64(nil), start...)
	grad := make([]float64, size)
	var failed error
	at := func(x []float64) float64 {
		v, err := value(x, grad)
		if err != nil {
			failed = err
			return math.NaN()
		}
		if v < r.Objective {
			r.Objective = v
			copy(best, x)
		}
		r.Final = v
		return v
	}
	last := make([]float64, size)
	known := false
	settings := &optimize.Settings{
		MajorIterations:   o.Epochs,
		GradientThreshold: 1e-13,
		Runtime:           o.TimeLimit,
		Converger:         &optimize.FunctionConverge{Absolute: 1e-300, Relative: 1e-15, Iterations: 40},
	}
	problem := optimize.Problem{
		Func: func(x []float64) float64 {
			copy(last, x)
			known = true
			return at(x)
		},
		Grad: func(dst, x []float64) {
			if !known || !equal(last, x) {
				copy(last, x)
				at(x)
			}
			copy(dst, grad)
		},
		Status: func() (optimize.Status, error) {
			if failed != nil {
				return optimize.Failure, failed
			}
			if ctx.Err() != nil {
				return optimize.RuntimeLimit, nil
			}
			return optimize.NotTerminated, nil
		},
	}
	// A line search that ends at a kink is how descent ends on such a function:
	// the memory is dropped and the method starts again from there.
	x, before := start, math.Inf(1)
	for range 5 {
		res, _ := optimize.Minimize(problem, x, settings, &optimize.LBFGS{Store: 20})
		if failed != nil {
			return nil, failed
		}
		if res == nil || ctx.Err() != nil {
			break
		}
		r.Epochs += res.MajorIterations
		if r.Epochs >= o.Epochs || r.Objective >= before-1e-14*math.Abs(before) {
			break
		}
		before = r.Objective
		r.Trace = append(r.Trace, Point{Epoch: r.Epochs, Seconds: time.Since(began).Seconds(), Objective: r.Objective})
		x = append([]float64(nil), best...)
	}
	finish(ctx, best, at, grad)
	if failed != nil {
		return nil, failed
	}
	if err := ctx.Err(); err != nil {
		r.Status = convex.Stopped
		if errors.Is(err, context.DeadlineExceeded) {
			r.Status = convex.TimeLimit
		}
	}
	r.Trace = append(r.Trace, Point{Epoch: r.Epochs, Seconds: time.Since(began).Seconds(), Objective: r.Objective})
	if math.IsInf(r.Objective, 1) {
		return nil, errors.New("sgd: the objective at the initial weights is not finite: choose a smaller InitScale, or scale the data")
	}
	if r.Network, err = network(best); err != nil {
		return nil, err
	}
	return r, nil
}

// finish goes on by Adam with steps that shrink, from 1e-2 to 1e-6, where a kink
// stopped the line searches: at an optimum that is no kink it does nothing. at
// evaluates, and keeps the best point in best.
func finish(ctx context.Context, best []float64, at func([]float64) float64, grad []float64) {
	x := clone(best)
	value := at(x)
	if g := norm(grad); g <= 1e-7*(1+math.Abs(value)) {
		return
	}
	const steps = 4000
	mean, square := make([]float64, len(x)), make([]float64, len(x))
	for k := 1; k <= steps && ctx.Err() == nil; k++ {
		step := math.Pow(10, -2-4*float64(k)/steps)
		biasMean, biasSquare := 1-math.Pow(adamMean, float64(k)), 1-math.Pow(adamSquare, float64(k))
		for i, g := range grad {
			mean[i] = adamMean*mean[i] + (1-adamMean)*g
			square[i] = adamSquare*square[i] + (1-adamSquare)*g*g
			x[i] -= step * (mean[i] / biasMean) / (math.Sqrt(square[i]/biasSquare) + adamEpsilon)
		}
		if v := at(x); math.IsNaN(v) {
			return
		}
	}
}

func equal(a, b []float64) bool {
	for i, v := range a {
		if v != b[i] {
			return false
		}
	}
	return true
}

// objectiveOf is the objective of p as a function of weights that start normal
// with the given spread.
func objectiveOf(ctx context.Context, p convex.Problem, opts *Options, o Options) (value func(theta, grad []float64) (float64, error), size int, spread float64, network func([]float64) (*convex.Network, error), err error) {
	d, err := newDescent(ctx, p, o)
	if err != nil {
		return nil, 0, 0, nil, fmt.Errorf("sgd: %w", err)
	}
	if d == nil { // one of those that the other methods train
		if p.OutputBias {
			return nil, 0, 0, nil, errors.New("sgd: networks of this architecture are not trained with an output bias here")
		}
		first := *opts
		first.Method = "sgd"
		m, err := newModel(ctx, p, &first)
		if err != nil {
			return nil, 0, 0, nil, err
		}
		value = func(theta, grad []float64) (float64, error) {
			copy(m.theta, theta)
			if err := m.gradient(context.Background(), 0, m.n); err != nil {
				return 0, err
			}
			for i, g := range m.grad {
				grad[i] = float64(m.n) * g
			}
			return m.objective()
		}
		network = func(theta []float64) (*convex.Network, error) {
			copy(m.theta, theta)
			return m.network(theta), nil
		}
		return value, len(m.theta), 0.7, network, nil
	}
	loss := p.Loss
	if loss.New == nil {
		loss = convex.Squared
	}
	n, c := dims(p.Y)
	y := mat.DenseCopyOf(p.Y).RawMatrix().Data
	fn, err := loss.New(y)
	if err != nil {
		return nil, 0, 0, nil, fmt.Errorf("sgd: %w", err)
	}
	slope := fn.Grad
	if slope == nil {
		slope = fn.Subgrad
	}
	if slope == nil {
		return nil, 0, 0, nil, fmt.Errorf("sgd: loss %q has neither Grad nor Subgrad: give it one", loss.Name)
	}
	weights := d.size
	size = weights
	if p.OutputBias {
		size += c
	}
	r := make([]float64, n*c)
	value = func(theta, grad []float64) (float64, error) {
		clear(grad)
		f := d.forward(theta[:weights])
		for i := range f {
			if size > weights {
				f[i] += theta[weights+i%c]
			}
		}
		slope(r, f)
		v := fn.Value(f) + p.Beta*d.decay(theta[:weights], grad, p.Beta)
		d.backward(theta[:weights], r, grad[:weights])
		if size > weights {
			for i, t := range r {
				grad[weights+i%c] += t
			}
		}
		return v, nil
	}
	network = func(theta []float64) (*convex.Network, error) {
		net, err := d.network(theta[:weights])
		if err == nil && size > weights {
			net.Bias = append([]float64(nil), theta[weights:]...)
		}
		return net, err
	}
	spread = d.spread
	if spread == 0 {
		spread = 1
	}
	return value, size, spread, network, nil
}

// randomThresholds is the baseline for thresholds, which have no gradient: a
// random hidden layer, and the best output layer on it.
func randomThresholds(ctx context.Context, p convex.Problem, o Options) (*Result, error) {
	_, d := dims(p.X)
	m := o.Neurons
	if m == 0 {
		m = defaultNeurons
	}
	rnd := rand.New(rand.NewPCG(o.Seed, 0x6c62666773))
	G := mat.NewDense(d, m, nil)
	G.Apply(func(i, j int, v float64) float64 { return rnd.NormFloat64() }, G)
	pat, err := convex.GatePatterns(p.X, G)
	if err != nil {
		return nil, fmt.Errorf("sgd: %w", err)
	}
	p.Patterns = pat
	sol, err := convex.Solve(ctx, p, &convex.Settings{Progress: func(convex.Progress) {}})
	if err != nil {
		return nil, fmt.Errorf("sgd: %w", err)
	}
	return &Result{Network: sol.Network, Objective: sol.Primal, Final: sol.Primal, Status: convex.IterLimit, Epochs: 1, Method: "random hidden layer", Seed: o.Seed,
		Trace: []Point{{Epoch: 1, Seconds: sol.Elapsed.Seconds(), Objective: sol.Primal}}}, nil
}
