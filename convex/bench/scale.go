package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// scaled is one row of the measurements on Fashion-MNIST.
type scaled struct {
	N         int     `json:"n"`
	D         int     `json:"d"`
	P         int     `json:"patterns"`
	Outputs   int     `json:"outputs"`
	Penalty   string  `json:"penalty"`
	Ratio     float64 `json:"ratio"`
	Wall      float64 `json:"wall_seconds"`
	CPU       float64 `json:"cpu_seconds"`
	Gap       float64 `json:"gap"`
	Objective float64 `json:"objective"`
	Status    string  `json:"status"`
	Active    int     `json:"active"`
	Steps     int     `json:"steps"`
	Method    string  `json:"method"`
	MaxRSS    float64 `json:"max_rss_mib"` // of the process so far
}

// fashion is the first n training images at every step-th pixel, with classes
// 0 to 4 against 5 to 9, or one output a class.
func fashion(n, step, outputs int) (convex.Problem, error) {
	train, _, err := data.FashionMNIST()
	if err != nil {
		return convex.Problem{}, err
	}
	all, full := train.X.Dims()
	n = min(n, all)
	X := train.X
	if step > 1 || n < all {
		X = mat.NewDense(n, (full+step-1)/step, nil)
		for i := range n {
			for j := 0; j < full; j += step {
				X.Set(i, j/step, train.X.At(i, j))
			}
		}
	}
	Y := mat.NewDense(n, outputs, nil)
	for i := range n {
		class := int(train.Y.AtVec(i))
		switch {
		case outputs > 1:
			Y.Set(i, class, 1)
		case class < 5:
			Y.Set(i, 0, 1)
		default:
			Y.Set(i, 0, -1)
		}
	}
	return convex.Problem{X: X, Y: Y}, nil
}

func scaleOne(n, step, P, outputs int, penalty string, ratio float64, limit time.Duration) (scaled, error) {
	r := scaled{N: n, P: P, Outputs: outputs, Penalty: penalty, Ratio: ratio}
	p, err := fashion(n, step, outputs)
	if err != nil {
		return r, err
	}
	_, r.D = p.X.Dims()
	p.Arch = convex.GatedReLU{Penalty: penalty}
	if p.Patterns, err = convex.SamplePatterns(p.X, P, 1); err != nil {
		return r, err
	}
	ctx := context.Background()
	top, err := convex.BetaMax(ctx, p, nil)
	if err != nil {
		return r, err
	}
	p.Beta = ratio * top
	runtime.GC()
	wall, cpu := time.Now(), cpuSeconds()
	sol, err := convex.Solve(ctx, p, &convex.Settings{Tol: 1e-3, TimeLimit: limit, NoPrune: true, Progress: func(convex.Progress) {}})
	if err != nil {
		return r, err
	}
	r.Wall, r.CPU = time.Since(wall).Seconds(), cpuSeconds()-cpu
	r.Gap, r.Objective, r.Status, r.Steps, r.Method = sol.Gap, sol.Primal, sol.Status.String(), sol.Iterations, sol.Solver
	r.Active, r.MaxRSS = sol.Program.ActiveBlocks(sol.Certificate.X), maxRSS()
	return r, nil
}

// scale measures gated networks on Fashion-MNIST: how the cost grows with the
// samples, the pixels and the patterns around (10,000, 196, 100), each with the
// exponent of a power law fitted to the processor time and to that of one step,
// and then all 60,000 images.
func scale(P int, ratio float64, limit time.Duration, growth bool, classes int) {
	out := json.NewEncoder(os.Stdout)
	one := func(n, step, P, outputs int, penalty string) scaled {
		r, err := scaleOne(n, step, P, outputs, penalty, ratio, limit)
		fail(err)
		fail(out.Encode(r))
		return r
	}
	fit := func(name string, rows []scaled, size func(scaled) int) {
		exponent := func(cost func(scaled) float64) float64 {
			var sx, sy, sxx, sxy float64
			for _, r := range rows {
				x, y := math.Log(float64(size(r))), math.Log(cost(r))
				sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
			}
			k := float64(len(rows))
			return (k*sxy - sx*sy) / (k*sxx - sx*sx)
		}
		fmt.Fprintf(os.Stderr, "processor time to a gap of 1e-3 grows as %s^%.2f, that of a step as %s^%.2f\n",
			name, exponent(func(r scaled) float64 { return r.CPU }), name, exponent(func(r scaled) float64 { return r.CPU / float64(max(r.Steps, 1)) }))
	}
	if growth {
		var rows []scaled
		for _, n := range []int{2500, 5000, 10_000, 20_000} {
			rows = append(rows, one(n, 4, 100, 1, ""))
		}
		fit("n", rows, func(r scaled) int { return r.N })
		rows = rows[:0]
		for _, step := range []int{8, 4, 2, 1} {
			rows = append(rows, one(10_000, step, 100, 1, ""))
		}
		fit("d", rows, func(r scaled) int { return r.D })
		rows = rows[:0]
		for _, P := range []int{50, 100, 200, 400} {
			rows = append(rows, one(10_000, 4, P, 1, ""))
		}
		fit("P", rows, func(r scaled) int { return r.P })
	}
	one(60_000, 1, P, 1, "")
	if classes > 1 {
		one(60_000, 1, P, classes, "frobenius")
		one(60_000, 1, P, classes, "nuclear")
	}
}
