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

// local compares the ReLU network that we find, patterns and all, with the best
// of Adam and of SGD with momentum over grids of step sizes, each method given
// more times as many CPU seconds as we took, whatever else the machine does.
// Methods without the given text in their names are left out. Where the best of
// them has fewer neurons than ours, a network as narrow is found from ours, for
// which we take up to a quarter more time: the methods have got theirs for that.
func local(paths []string, ratios []float64, limit time.Duration, more float64, width int, only string) {
	out := json.NewEncoder(os.Stdout)
	ctx := context.Background()
	for _, path := range paths {
		p, err := convex.ReadProblem(path)
		fail(err)
		p.Arch = convex.GatedReLU{}
		top, err := convex.BetaMax(ctx, p, nil)
		fail(err)
		p.Arch, p.Patterns = convex.ReLU{}, nil
		for _, ratio := range ratios {
			p.Beta = ratio * top
			row := rival{Instance: filepath.Base(filepath.Dir(path)), Ratio: ratio, Method: "gonvex", Runs: 1}
			wall, cpu := time.Now(), cpuSeconds()
			sol, err := convex.Solve(ctx, p, &convex.Settings{TimeLimit: limit, Progress: func(convex.Progress) {}})
			fail(err)
			row.Wall, row.CPU = time.Since(wall).Seconds(), cpuSeconds()-cpu
			row.Objective, row.Neurons = sol.Primal, sol.Network.Neurons()
			ours, took, extra := row.Objective, 1.25*row.CPU, row.Wall/4
			rivals := []rival{row}
			fail(out.Encode(row))
			for _, m := range []struct {
				name  string
				opts  sgd.Options
				steps []float64
			}{
				{"adam, all samples", sgd.Options{Method: "adam"}, []float64{0.1, 0.03, 0.01, 0.003}},
				{"adam, batches of 100", sgd.Options{Method: "adam", Batch: 100}, []float64{0.03, 0.01, 0.003, 0.001}},
				{"sgd with momentum, all samples", sgd.Options{Method: "momentum"}, []float64{3, 1, 0.3, 0.1}},
				{"sgd with momentum, batches of 100", sgd.Options{Method: "momentum", Batch: 100}, []float64{0.3, 0.1, 0.03, 0.01}},
			} {
				if !strings.Contains(m.name, only) {
					continue
				}
				row := rival{Instance: row.Instance, Ratio: ratio, Method: m.name, Runs: len(m.steps)}
				o := m.opts
				o.Neurons, o.Seed = width, 1
				o.Progress = func(convex.Progress) {}
				o.Epochs = epochsIn(ctx, p, o, m.steps[len(m.steps)-1], more*took/float64(len(m.steps)))
				o.HalveEvery = max(1, o.Epochs/10) // to a thousandth in the end
				wall, cpu := time.Now(), cpuSeconds()
				best, _, err := sgd.Tune(ctx, p, &o, m.steps)
				fail(err)
				row.Wall, row.CPU = time.Since(wall).Seconds(), cpuSeconds()-cpu
				row.Step, row.Objective, row.Excess = best.Step, best.Objective, best.Objective/ours-1
				for j := range best.Network.Neurons() {
					if alive(best.Network, j) {
						row.Neurons++
					}
				}
				fail(out.Encode(row))
				rivals = append(rivals, row)
			}
			best := slices.MinFunc(rivals[1:], func(a, b rival) int { return cmp.Compare(a.Objective, b.Objective) })
			if best.Neurons == 0 || best.Neurons >= rivals[0].Neurons {
				continue
			}
			row = rival{Instance: row.Instance, Ratio: ratio, Method: "gonvex, as narrow as the best of them", Runs: 1}
			wall, cpu = time.Now(), cpuSeconds()
			sol, err = convex.Narrow(ctx, p, sol.Network, best.Neurons, &convex.Settings{TimeLimit: time.Duration(extra * float64(time.Second)), Progress: func(convex.Progress) {}})
			fail(err)
			row.Wall, row.CPU = time.Since(wall).Seconds(), cpuSeconds()-cpu
			row.Objective, row.Neurons, row.Excess = sol.Primal, sol.Network.Neurons(), sol.Primal/ours-1
			fail(out.Encode(row))
		}
	}
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
