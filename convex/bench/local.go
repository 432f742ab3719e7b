package main

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/sgd"
)

// rival is one row: our ReLU network against the best of a local search.
type rival struct {
	Instance  string  `json:"instance"`
	Ratio     float64 `json:"ratio"`
	Method    string  `json:"method"`
	Step      float64 `json:"best_step,omitempty"`
	Runs      int     `json:"runs"`
	CPU       float64 `json:"cpu_seconds"` // of all runs
	Wall      float64 `json:"wall_seconds"`
	Objective float64 `json:"objective"`
	Neurons   int     `json:"neurons"`
	Excess    float64 `json:"excess"` // of the objective over ours
}

// comparison is our ReLU network beside the best of local searches.
type comparison struct {
	limit time.Duration // of our search
	more  float64       // CPU seconds of each method, times ours
	width int           // neurons at the start of each method
	only  string        // text in the names of the methods to run
	out   *json.Encoder
}

// methods are the local searches, each with the step sizes it is tuned over.
var methods = []struct {
	name  string
	opts  sgd.Options
	steps []float64
}{
	{"adam, all samples", sgd.Options{Method: "adam"}, []float64{0.1, 0.03, 0.01, 0.003}},
	{"adam, batches of 100", sgd.Options{Method: "adam", Batch: 100}, []float64{0.03, 0.01, 0.003, 0.001}},
	{"sgd with momentum, all samples", sgd.Options{Method: "momentum"}, []float64{3, 1, 0.3, 0.1}},
	{"sgd with momentum, batches of 100", sgd.Options{Method: "momentum", Batch: 100}, []float64{0.3, 0.1, 0.03, 0.01}},
}

// local compares the ReLU network that we find, patterns and all, with the best
// of Adam and of SGD with momentum over grids of step sizes, each method given
// more times as many CPU seconds as we took, whatever else the machine does.
// Methods without the given text in their names are left out. Where the best of
// them has fewer neurons than ours, a network as narrow is found from ours, for
// which we take up to a quarter more time: the methods have got theirs for that.
func local(paths []string, ratios []float64, limit time.Duration, more float64, width int, only string) {
	ctx := context.Background()
	c := comparison{limit: limit, more: more, width: width, only: only, out: json.NewEncoder(os.Stdout)}
	for _, path := range paths {
		p, err := convex.ReadProblem(path)
		fail(err)
		p.Arch = convex.GatedReLU{}
		top, err := convex.BetaMax(ctx, p, nil)
		fail(err)
		p.Arch, p.Patterns = convex.ReLU{}, nil
		for _, ratio := range ratios {
			p.Beta = ratio * top
			c.run(ctx, p, rival{Instance: filepath.Base(filepath.Dir(path)), Ratio: ratio})
		}
	}
}

// run compares on one problem; rows begin as the given one.
func (c *comparison) run(ctx context.Context, p convex.Problem, row rival) {
	ours := row
	ours.Method, ours.Runs = "gonvex", 1
	var sol *convex.Solution
	var err error
	ours.time(func() {
		sol, err = convex.Solve(ctx, p, &convex.Settings{TimeLimit: c.limit, Progress: func(convex.Progress) {}})
		fail(err)
	})
	ours.Objective, ours.Neurons = sol.Primal, sol.Network.Neurons()
	fail(c.out.Encode(ours))

	var rivals []rival
	for _, m := range methods {
		if !strings.Contains(m.name, c.only) {
			continue
		}
		r := row
		r.Method, r.Runs = m.name, len(m.steps)
		o := m.opts
		o.Neurons, o.Seed = c.width, 1
		o.Progress = func(convex.Progress) {}
		o.Epochs = epochsIn(ctx, p, o, m.steps[len(m.steps)-1], c.more*1.25*ours.CPU/float64(len(m.steps)))
		o.HalveEvery = max(1, o.Epochs/10) // to a thousandth in the end
		r.time(func() {
			best, _, err := sgd.Tune(ctx, p, &o, m.steps)
			fail(err)
			r.Step, r.Objective, r.Excess = best.Step, best.Objective, best.Objective/ours.Objective-1
			for j := range best.Network.Neurons() {
				if alive(best.Network, j) {
					r.Neurons++
				}
			}
		})
		fail(c.out.Encode(r))
		rivals = append(rivals, r)
	}
	if len(rivals) == 0 {
		return
	}
	best := slices.MinFunc(rivals, func(a, b rival) int { return cmp.Compare(a.Objective, b.Objective) })
	if best.Neurons == 0 || best.Neurons >= ours.Neurons {
		return
	}
	narrow := row
	narrow.Method, narrow.Runs = "gonvex, as narrow as the best of them", 1
	narrow.time(func() {
		quarter := time.Duration(ours.Wall / 4 * float64(time.Second))
		sol, err = convex.Narrow(ctx, p, sol.Network, best.Neurons, &convex.Settings{TimeLimit: quarter, Progress: func(convex.Progress) {}})
		fail(err)
	})
	narrow.Objective, narrow.Neurons, narrow.Excess = sol.Primal, sol.Network.Neurons(), sol.Primal/ours.Objective-1
	fail(c.out.Encode(narrow))
}

// time notes what f takes.
func (r *rival) time(f func()) {
	wall, cpu := time.Now(), cpuSeconds()
	f()
	r.Wall, r.CPU = time.Since(wall).Seconds(), cpuSeconds()-cpu
}

// epochsIn is the number of epochs that take about so many CPU seconds, from a
// short run, which is not counted.
func epochsIn(ctx context.Context, p convex.Problem, o sgd.Options, step, seconds float64) int {
	o.Step, o.Epochs = step, 1<<30
	o.TimeLimit = time.Duration(seconds / 20 * float64(time.Second))
	cpu := cpuSeconds()
	r, err := sgd.Train(ctx, p, &o)
	fail(err)
	return max(1, int(seconds*float64(r.Epochs)/(cpuSeconds()-cpu)))
}

// alive says whether neuron j adds to the objective by more than a millionth
// of the largest.
func alive(net *convex.Network, j int) bool {
	size := func(j int) float64 {
		s := 0.0
		for _, v := range net.Hidden.RawRowView(j) {
			s += v * v
		}
		return math.Sqrt(s)
	}
	most := 0.0
	for i := range net.Neurons() {
		most = math.Max(most, size(i))
	}
	return size(j) > 1e-3*most
}
