package sgd

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

func random(rnd *rand.Rand, r, c int) *mat.Dense {
	m := mat.NewDense(r, c, nil)
	for i := range r {
		for j := range c {
			m.Set(i, j, rnd.NormFloat64())
		}
	}
	return m
}

func signs(y *mat.Dense) *mat.Dense {
	y.Apply(func(_, _ int, v float64) float64 { return math.Copysign(1, v) }, y)
	return y
}

// problems are one of each kind, small.
func problems(t testing.TB) map[string]convex.Problem {
	rnd := rand.New(rand.NewPCG(1, 2))
	X := random(rnd, 13, 3)
	gates, err := convex.GatePatterns(X, random(rnd, 3, 6))
	if err != nil {
		t.Fatal(err)
	}
	bits := *gates
	bits.Gates = nil
	patches := []mat.Matrix{random(rnd, 13, 3), random(rnd, 13, 3), random(rnd, 13, 3)}
	return map[string]convex.Problem{
		"relu squared":             {X: X, Y: random(rnd, 13, 1), Beta: 0.3},
		"relu squared 2 outputs":   {X: X, Y: random(rnd, 13, 2), Beta: 0.1},
		"relu logistic":            {X: X, Y: signs(random(rnd, 13, 1)), Beta: 0.2, Loss: convex.Logistic},
		"gated squared":            {X: X, Y: random(rnd, 13, 1), Beta: 0.3, Arch: convex.GatedReLU{}, Patterns: gates},
		"gated squared 2 outputs":  {X: X, Y: random(rnd, 13, 2), Beta: 0.3, Arch: convex.GatedReLU{}, Patterns: gates},
		"gated logistic from bits": {X: X, Y: signs(random(rnd, 13, 1)), Beta: 0.2, Loss: convex.Logistic, Arch: convex.GatedReLU{}, Patterns: &bits},
		"relu per output":          {X: X, Y: random(rnd, 13, 2), Beta: 0.1, Arch: convex.ReLU{Penalty: "per_output"}},
		"cnn sum":                  {Patches: patches, Y: random(rnd, 13, 1), Beta: 0.3, Arch: convex.CNN{}},
		"cnn average logistic":     {Patches: patches, Y: signs(random(rnd, 13, 1)), Beta: 0.1, Arch: convex.CNN{Pool: "average"}, Loss: convex.Logistic},
		"cnn max":                  {Patches: patches, Y: random(rnd, 13, 1), Beta: 0.3, Arch: convex.CNN{Pool: "max"}},
		"cnn flatten":              {Patches: patches, Y: random(rnd, 13, 1), Beta: 0.3, Arch: convex.CNN{Pool: "flatten"}},
		"three layers untied":      {Patches: patches, Y: random(rnd, 13, 1), Beta: 0.3, Arch: convex.ThreeLayerReLUCNN{}},
		"three layers tied":        {Patches: patches, Y: random(rnd, 13, 1), Beta: 0.3, Arch: convex.ThreeLayerReLUCNN{Filters: "tied"}},
		"circular":                 {X: X, Y: random(rnd, 13, 1), Beta: 0.3, Arch: convex.CircularReLUCNN{}},
		"circular four layers":     {X: X, Y: random(rnd, 13, 1), Beta: 0.3, Arch: convex.CircularReLUCNN{Layers: 4}},
		"gated enumerated":         {X: X, Y: random(rnd, 13, 1), Beta: 0.3, Arch: convex.GatedReLU{}},
	}
}

// The gradient agrees with finite differences of the objective.
func TestGradient(t *testing.T) {
	ctx := context.Background()
	for name, p := range problems(t) {
		var o Options
		if !strings.HasPrefix(name, "gated") {
			o.Neurons = 7
		}
		m, err := newModel(ctx, p, &o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := m.gradient(ctx, 0, m.n); err != nil {
			t.Fatal(err)
		}
		grad := slices.Clone(m.grad)
		const h = 1e-6
		for i := range m.theta {
			old := m.theta[i]
			m.theta[i] = old + h
			up, _ := m.objective()
			m.theta[i] = old - h
			down, _ := m.objective()
			m.theta[i] = old
			want := (up - down) / (2 * h) / float64(m.n)
			if math.Abs(grad[i]-want) > 1e-6*(1+math.Abs(want)) {
				t.Errorf("%s: gradient %d is %g, by differences %g", name, i, grad[i], want)
				break
			}
		}
	}
}

// The gradients of the mini-batches of an epoch average to the full gradient,
// with blocks that do not divide the data.
func TestBatchesAverage(t *testing.T) {
	ctx := context.Background()
	for name, p := range problems(t) {
		full, err := newModel(ctx, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := full.gradient(ctx, 0, full.n); err != nil {
			t.Fatal(err)
		}
		m, err := newModel(ctx, p, &Options{Batch: 4})
		if err != nil {
			t.Fatal(err)
		}
		m.shuffle()
		sum := make([]float64, len(m.grad))
		for at := 0; at < m.n; at += 4 {
			end := min(at+4, m.n)
			if err := m.gradient(ctx, at, end); err != nil {
				t.Fatal(err)
			}
			for i, g := range m.grad {
				sum[i] += g * float64(end-at) / float64(m.n)
			}
		}
		for i, g := range full.grad {
			if math.Abs(sum[i]-g) > 1e-12 {
				t.Fatalf("%s: batches average to %g, the gradient is %g", name, sum[i], g)
			}
		}
	}
}

// More samples than fit a block give what one block would.
func TestBlocks(t *testing.T) {
	ctx := context.Background()
	rnd := rand.New(rand.NewPCG(3, 4))
	n := 2*block + 77
	p := convex.Problem{X: random(rnd, n, 4), Y: signs(random(rnd, n, 1)), Beta: 1, Loss: convex.Logistic}
	m, err := newModel(ctx, p, &Options{Neurons: 5})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.gradient(ctx, 0, n); err != nil {
		t.Fatal(err)
	}
	whole := slices.Clone(m.grad)
	sum := make([]float64, len(whole))
	for i := range n {
		if err := m.gradient(ctx, i, i+1); err != nil {
			t.Fatal(err)
		}
		for j, g := range m.grad {
			sum[j] += g / float64(n)
		}
	}
	for j := range whole {
		if math.Abs(whole[j]-sum[j]) > 1e-12 {
			t.Fatalf("gradient %d is %g in blocks and %g by samples", j, whole[j], sum[j])
		}
	}
}

// A run goes down, its result is what Verify finds, and its trace is in order.
func TestTrain(t *testing.T) {
	ctx := context.Background()
	for name, p := range problems(t) {
		for _, o := range []Options{
			{}, {Method: "momentum", Step: 0.03}, {Momentum: 0.5, Nesterov: true, Step: 0.03}, {Method: "adam"},
			{Batch: 3, Step: 0.05, HalveEvery: 50}, {Method: "adam", Batch: 5, Init: "gaussian", InitScale: 0.5},
		} {
			o.Epochs, o.Seed = 200, 5
			r, err := Train(ctx, p, &o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if r.Status != convex.IterLimit || r.Epochs != 200 || r.Trace[0].Epoch != 0 || r.Trace[len(r.Trace)-1].Epoch != 200 {
				t.Errorf("%s: %v", name, r)
			}
			if first := r.Trace[0].Objective; !(r.Objective < 0.9*first) {
				t.Errorf("%s %+v: the objective goes from %g to %g only", name, o, first, r.Objective)
			}
			v, err := convex.Verify(p, r.Network)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(v.Objective-r.Objective) > 1e-12*r.Objective {
				t.Errorf("%s: the run says %.15g, Verify %.15g", name, r.Objective, v.Objective)
			}
			low := math.Inf(1)
			for i, pt := range r.Trace {
				low = min(low, pt.Objective)
				if i > 0 && (pt.Epoch <= r.Trace[i-1].Epoch || pt.Seconds < r.Trace[i-1].Seconds) {
					t.Errorf("%s: the trace is out of order at %d", name, i)
				}
			}
			if low != r.Objective {
				t.Errorf("%s: the best of the trace is %g, the result %g", name, low, r.Objective)
			}
			again, err := Train(ctx, p, &o)
			if err != nil || again.Objective != r.Objective || !mat.Equal(again.Network.Hidden, r.Network.Hidden) {
				t.Errorf("%s: the same seed gives another result", name)
			}
		}
	}
}

// The update rules, against their formulas written out for the objective
// ½(w·1·a - y)² of one weight a layer.
func TestUpdateRules(t *testing.T) {
	const beta, step, y = 0.1, 0.05, 2.0
	p := convex.Problem{X: mat.NewDense(1, 1, []float64{1}), Y: mat.NewDense(1, 1, []float64{y}), Beta: beta}
	start := &convex.Network{Arch: "relu", Inputs: 1, Outputs: 1, Hidden: mat.NewDense(1, 1, []float64{1}), Output: mat.NewDense(1, 1, []float64{1.5})}
	for _, o := range []Options{{}, {Momentum: 0.8}, {Momentum: 0.8, Nesterov: true}, {Method: "adam"}} {
		w := [2]float64{1, 1.5}
		var v, s [2]float64
		for k := 1; k <= 5; k++ {
			e := w[0]*w[1] - y
			g := [2]float64{e*w[1] + beta*w[0], e*w[0] + beta*w[1]}
			for i := range w {
				switch {
				case o.Method == "adam":
					v[i] = 0.9*v[i] + 0.1*g[i]
					s[i] = 0.999*s[i] + 0.001*g[i]*g[i]
					w[i] -= step * v[i] / (1 - math.Pow(0.9, float64(k))) / (math.Sqrt(s[i]/(1-math.Pow(0.999, float64(k)))) + 1e-8)
				case o.Nesterov:
					v[i] = 0.8*v[i] + g[i]
					w[i] -= step * (g[i] + 0.8*v[i])
				default:
					v[i] = o.Momentum*v[i] + g[i]
					w[i] -= step * v[i]
				}
			}
		}
		o.Step, o.Epochs, o.Start = step, 5, start
		r, err := Train(context.Background(), p, &o)
		if err != nil {
			t.Fatal(err)
		}
		want := (w[0]*w[1]-y)*(w[0]*w[1]-y)/2 + beta/2*(w[0]*w[0]+w[1]*w[1])
		if math.Abs(r.Final-want) > 1e-14 {
			t.Errorf("%+v ends at %.16g, want %.16g", o, r.Final, want)
		}
	}
	if start.Hidden.At(0, 0) != 1 {
		t.Error("training changed the network it started from")
	}
}

// The one-dimensional example of the ICML 2020 paper, whose global optimum is
// 0.100073830 at beta = 0.01: wide networks come near it from most seeds, and
// none goes below.
func TestToyReachesOptimum(t *testing.T) {
	const optimum = 0.100073830
	x, y := data.Toy1D()
	p := convex.Problem{X: data.WithBias(x), Y: y, Beta: 1e-2}
	runs, err := Runs(context.Background(), p, &Options{Neurons: 50, Epochs: 6000, Method: "momentum", Step: 0.05}, 4)
	if err != nil {
		t.Fatal(err)
	}
	near := 0
	for i, r := range runs {
		if r.Seed != uint64(i) {
			t.Errorf("run %d has seed %d", i, r.Seed)
		}
		if r.Objective < optimum-1e-8 {
			t.Errorf("run %d is below the global optimum: %v", i, r)
		}
		if r.Objective < 1.05*optimum {
			near++
		}
	}
	if near < 3 {
		t.Errorf("%d of 4 runs come near the optimum: %v", near, runs)
	}
}

// A gated network computes the same by its patterns and by its gates.
func TestGatedPredict(t *testing.T) {
	ps := problems(t)
	p := ps["gated squared 2 outputs"]
	r, err := Train(context.Background(), p, &Options{Epochs: 20})
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.Network.Predict(p.X)
	if err != nil {
		t.Fatal(err)
	}
	some, err := r.Network.Predict(mat.DenseCopyOf(p.X).Slice(2, 9, 0, 3))
	if err != nil || !mat.EqualApprox(some, all.Slice(2, 9, 0, 2), 1e-12) {
		t.Error("a part of the data is predicted differently", err)
	}
	bits, err := Train(context.Background(), ps["gated logistic from bits"], &Options{Epochs: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bits.Network.Predict(mat.NewDense(2, 3, nil)); err == nil || !strings.Contains(err.Error(), "GatePatterns") {
		t.Error(err)
	}
}

// The convex program over the patterns that training found is no worse than
// training, and over those of several runs no worse than the best.
func TestPatternsBoundTraining(t *testing.T) {
	ctx := context.Background()
	rnd := rand.New(rand.NewPCG(9, 9))
	for _, loss := range []convex.Loss{convex.Squared, convex.Logistic} {
		p := convex.Problem{X: random(rnd, 40, 6), Y: signs(random(rnd, 40, 1)), Beta: 0.5, Loss: loss}
		runs, err := Runs(ctx, p, &Options{Method: "adam", Neurons: 20, Epochs: 1500}, 3)
		if err != nil {
			t.Fatal(err)
		}
		one, err := runs[0].Patterns(p.X)
		if err != nil {
			t.Fatal(err)
		}
		pool, err := Pool(p.X, runs...)
		if err != nil {
			t.Fatal(err)
		}
		if one.Len() < 1 || pool.Len() < one.Len() {
			t.Errorf("%d patterns of one run, %d of all", one.Len(), pool.Len())
		}
		best := min(runs[0].Objective, runs[1].Objective, runs[2].Objective)
		for what, c := range map[string]struct {
			pat   *convex.Patterns
			limit float64
		}{"one": {one, runs[0].Objective}, "pool": {pool, best}} {
			p.Patterns = c.pat
			sol, err := convex.Solve(ctx, p, nil)
			if err != nil {
				t.Fatal(err)
			}
			if sol.Primal > c.limit*(1+2e-6) {
				t.Errorf("%s, %s: the program over the visited patterns has %.9g, training %.9g", loss.Name, what, sol.Primal, c.limit)
			}
		}
	}
	if _, err := Pool(mat.NewDense(1, 1, nil)); err == nil {
		t.Error("no runs are pooled")
	}
	if _, err := Pool(mat.NewDense(1, 1, nil), &Result{}); err == nil {
		t.Error("an empty run is pooled")
	}
}

// The best step of the grid wins, whatever diverges.
func TestTune(t *testing.T) {
	p := problems(t)["relu squared"]
	best, all, err := Tune(context.Background(), p, &Options{Neurons: 10, Epochs: 100}, []float64{1000, 0.1, 1e-6})
	if err != nil {
		t.Fatal(err)
	}
	if best != all[1] || best.Step != 0.1 || all[0].Status != convex.Numerical || all[0].Objective > all[0].Trace[0].Objective {
		t.Errorf("%v of %v", best, all)
	}
	if best, all, err = Tune(context.Background(), p, nil, nil); err != nil || len(all) != len(Steps) || best.Objective > all[4].Objective {
		t.Error(best, err)
	}
	for _, steps := range [][]float64{{}, {0.1, 0}, {math.NaN()}} {
		if _, _, err := Tune(context.Background(), p, nil, steps); err == nil {
			t.Errorf("the grid %v is accepted", steps)
		}
	}
	if _, err := Runs(context.Background(), p, nil, 0); err == nil {
		t.Error("no runs are run")
	}
}

// An ended context gives the best so far, at once.
func TestStops(t *testing.T) {
	p := problems(t)["relu logistic"]
	ctx, cancel := context.WithCancel(context.Background())
	seen := 0
	r, err := Train(ctx, p, &Options{Epochs: 1 << 40, TraceEvery: 10, Watch: func(pt Point, net *convex.Network) {
		if seen++; seen == 5 {
			cancel()
		}
	}})
	if err != nil || r.Status != convex.Stopped || len(r.Trace) != 5 || r.Network.Neurons() != 50 {
		t.Error(r, err)
	}
	r, err = Train(ctx, p, nil)
	if err != nil || r.Status != convex.Stopped || r.Epochs != 0 || math.IsInf(r.Objective, 1) {
		t.Error(r, err)
	}
	deadline, cancel2 := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel2()
	if r, err = Train(deadline, p, &Options{Epochs: 1 << 40}); err != nil || r.Status != convex.TimeLimit {
		t.Error(r, err)
	}
	if r, err = Train(context.Background(), p, &Options{Epochs: 1 << 40, TimeLimit: 10 * time.Millisecond}); err != nil || r.Status != convex.TimeLimit || r.Trace[len(r.Trace)-1].Epoch != r.Epochs {
		t.Error(r, err)
	}
}

// Progress reaches the default receiver, and Watch sees the moment's network.
func TestReports(t *testing.T) {
	p := problems(t)["relu squared"]
	old := convex.DefaultProgress
	defer func() { convex.DefaultProgress = old }()
	var last convex.Progress
	convex.DefaultProgress = func(pr convex.Progress) { last = pr }
	r, err := Train(context.Background(), p, &Options{Epochs: 30, TraceEvery: 10, Watch: func(pt Point, net *convex.Network) {
		if f, err := net.Objective(p); err != nil || math.Abs(f-pt.Objective) > 1e-12*f {
			t.Errorf("at epoch %d the network has %g, the point %g: %v", pt.Epoch, f, pt.Objective, err)
		}
	}})
	if err != nil || last.Iter != 30 || last.Primal != r.Objective || !math.IsInf(last.Lower, -1) {
		t.Errorf("%+v %v", last, err)
	}
}

func TestRefuses(t *testing.T) {
	ps := problems(t)
	relu, gated := ps["relu squared"], ps["gated squared"]
	change := func(p convex.Problem, f func(*convex.Problem)) convex.Problem { f(&p); return p }
	for _, c := range []struct {
		p    convex.Problem
		o    *Options
		want string
	}{
		{convex.Problem{}, nil, "X is nil"},
		{change(relu, func(p *convex.Problem) { p.X = (*mat.Dense)(nil) }), nil, "X is nil"},
		{change(relu, func(p *convex.Problem) { p.Beta = 0 }), nil, "Beta is 0"},
		{change(relu, func(p *convex.Problem) { p.Y = mat.NewDense(3, 1, nil) }), nil, "Y is 3×1"},
		{change(relu, func(p *convex.Problem) { p.Loss = convex.Logistic }), nil, "labels must be -1 or +1"},
		{change(relu, func(p *convex.Problem) { p.Patches = []mat.Matrix{p.X} }), nil, "Patches"},
		{change(ps["gated squared 2 outputs"], func(p *convex.Problem) { p.Arch = convex.GatedReLU{Penalty: "frobenius"} }), nil, "frobenius"},
		{relu, &Options{Method: "newton"}, "want sgd, momentum, adam or lbfgs"},
		{relu, &Options{Init: "zero"}, "want uniform or gaussian"},
		{relu, &Options{Step: -1}, "Options.Step is -1"},
		{relu, &Options{Step: math.NaN()}, "Options.Step is NaN"},
		{relu, &Options{Momentum: 1}, "Momentum is 1"},
		{relu, &Options{Nesterov: true}, "Momentum is 0"},
		{relu, &Options{Method: "adam", Momentum: 0.9}, "for the methods sgd and momentum"},
		{relu, &Options{Epochs: -1}, "Options.Epochs is -1"},
		{relu, &Options{InitScale: 1e200}, "choose a smaller InitScale"},
		{relu, &Options{Neurons: 3, Start: &convex.Network{Inputs: 3, Outputs: 1}}, "Options.Start has 0 neurons"},
		{gated, &Options{Neurons: 5}, "leave it 0"},
	} {
		_, err := Train(context.Background(), c.p, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "sgd: ") {
			t.Errorf("%+v: got %v, want %q", c.o, err, c.want)
		}
	}
	var none context.Context
	if _, err := Train(none, relu, nil); err == nil {
		t.Error("a nil context is accepted")
	}
}

func ExampleTrain() {
	x, y := data.Toy1D()
	p := convex.Problem{X: data.WithBias(x), Y: y, Beta: 1e-2}
	r, err := Train(context.Background(), p, &Options{Neurons: 50, Epochs: 4000, Method: "momentum", Step: 0.05, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.2f after %d epochs\n", r.Objective, r.Epochs)
	// Output: 0.10 after 4000 epochs
}

func BenchmarkEpoch(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 1))
	p := convex.Problem{X: random(rnd, 5000, 784), Y: signs(random(rnd, 5000, 1)), Beta: 1e-3, Loss: convex.Logistic}
	for _, batch := range []int{0, 500, 50} {
		b.Run(fmt.Sprint("batch", batch), func(b *testing.B) {
			ctx := context.Background()
			m, err := newModel(ctx, p, &Options{Neurons: 200, Batch: batch})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for at := 0; at < m.n; at += m.opts.Batch {
					if err := m.gradient(ctx, at, min(at+m.opts.Batch, m.n)); err != nil {
						b.Fatal(err)
					}
					m.update(1e-3)
				}
			}
			b.ReportMetric(6*5000*784*200*float64(b.N)/b.Elapsed().Seconds()/1e9, "GF/s")
		})
	}
}
