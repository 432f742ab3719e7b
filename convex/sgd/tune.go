package sgd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/gonvex/gonvex/convex"
)

// Steps is the grid of step sizes that Mishkin, Sahiner and Pilanci (ICML 2022)
// give stochastic gradient descent, with 0.05 and 0.005 between. Tune uses it
// when it is given none.
var Steps = []float64{10, 5, 1, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001}

// Tune trains with every step size of a grid (nil: Steps) from the same seed
// and returns the run that ends with the lowest objective, and all runs in the
// order of the grid. It trains as many at a time as there are processors, so
// the times in their traces are those of a busy machine: train once more with
// the best step for a fair time.
//
// When ctx ends, each run ends with the best it has.
func Tune(ctx context.Context, p convex.Problem, opts *Options, steps []float64) (best *Result, all []*Result, err error) {
	if steps == nil {
		steps = Steps
	}
	if len(steps) == 0 {
		return nil, nil, errors.New("sgd: Tune: the grid of steps is empty: give some, or nil for sgd.Steps")
	}
	for i, s := range steps {
		if !(s > 0) || math.IsInf(s, 1) {
			return nil, nil, fmt.Errorf("sgd: Tune: steps[%d] is %g: want a positive number", i, s)
		}
	}
	all, err = each(ctx, p, opts, len(steps), func(o *Options, i int) { o.Step = steps[i] })
	if err != nil {
		return nil, nil, err
	}
	best = slices.MinFunc(all, func(a, b *Result) int {
		switch {
		case a.Objective < b.Objective:
			return -1
		case a.Objective > b.Objective:
			return 1
		}
		return 0
	})
	return best, all, nil
}

// Runs trains k times, from the seeds opts.Seed, opts.Seed+1, … It trains as
// many at a time as there are processors; see Tune about times.
func Runs(ctx context.Context, p convex.Problem, opts *Options, k int) ([]*Result, error) {
	if k < 1 {
		return nil, fmt.Errorf("sgd: Runs: k is %d: want at least one run", k)
	}
	return each(ctx, p, opts, k, func(o *Options, i int) { o.Seed += uint64(i) })
}

// each trains k times at once, with the options changed for run i by set.
// Progress and Watch are called by one run at a time.
func each(ctx context.Context, p convex.Problem, opts *Options, k int, set func(o *Options, i int)) ([]*Result, error) {
	if ctx == nil {
		return nil, errors.New("sgd: ctx is nil: want a context, such as context.Background()")
	}
	var base Options
	if opts != nil {
		base = *opts
	}
	var calls sync.Mutex
	if watch := base.Watch; watch != nil {
		base.Watch = func(point Point, net *convex.Network) {
			calls.Lock()
			defer calls.Unlock()
			watch(point, net)
		}
	}
	// One run's progress is not that of all: report the runs done.
	report := base.Progress
	if report == nil {
		report = convex.DefaultProgress
	}
	base.Progress = func(convex.Progress) {}

	results, errs := make([]*Result, k), make([]error, k)
	next := make(chan int)
	var group sync.WaitGroup
	done, lowest := 0, math.Inf(1)
	for range min(k, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for i := range next {
				o := base
				set(&o, i)
				results[i], errs[i] = Train(ctx, p, &o)
				if errs[i] != nil || report == nil {
					continue
				}
				calls.Lock()
				done++
				lowest = min(lowest, results[i].Objective)
				report(convex.Progress{Solver: fmt.Sprintf("%s run %d of %d", results[i].Method, done, k), Iter: done, Primal: lowest, Lower: math.Inf(-1), Gap: math.Inf(1)})
				calls.Unlock()
			}
		})
	}
	for i := range k {
		next <- i
	}
	close(next)
	group.Wait()
	return results, errors.Join(errs...)
}
