// Command bench times our solver on problem files: seconds to a certified
// relative gap, one JSON object a line. peers.py, beside it, runs it together
// with scnn, adelie and CVXPY.
//
//	go run ./convex/bench [-arch gated_relu,relu] [-ratio 0.1,0.01,0.001] [-tol 1e-3,1e-6] PROBLEM.json...
//	go run ./convex/bench -local 10 [-ratio 0.1] [-limit 30s] PROBLEM.json...
//	go run ./convex/bench -fresh FOLDER
//	go run ./convex/bench -scale [-ratio 0.1] [-patterns 200] [-limit 10m]
//
// Weight decay is the ratio times the largest useful one of the gated network
// over the file's patterns, max_i ‖X'D_i ∇L(0)‖, for both architectures.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/lapack"
)

type result struct {
	Solver   string   `json:"solver"`
	Instance string   `json:"instance"`
	Arch     string   `json:"architecture"`
	Ratio    float64  `json:"ratio"`
	Beta     float64  `json:"beta"`
	Tol      float64  `json:"tol"`
	Wall     float64  `json:"wall_seconds"`
	CPU      float64  `json:"cpu_seconds"`
	Primal   float64  `json:"objective"`
	Lower    *float64 `json:"lower_bound"`
	Gap      *float64 `json:"gap"`
	Status   string   `json:"status"`
	Scope    string   `json:"scope"`
	Neurons  int      `json:"neurons"`
	Steps    int      `json:"steps"`
	Method   string   `json:"method"`
	Backend  string   `json:"backend"`
	MaxRSS   float64  `json:"max_rss_mib"` // of the process so far
}

func main() {
	arch := flag.String("arch", "gated_relu,relu", "architectures")
	ratios := flag.String("ratio", "0.1,0.01,0.001", "weight decays, over the largest useful one")
	tols := flag.String("tol", "1e-3,1e-6", "relative gaps to reach")
	limit := flag.Duration("limit", time.Minute, "time limit of one solve")
	solver := flag.String("solver", "", "solver, for all; \"\" is the automatic choice")
	free := flag.Bool("free", false, "drop the file's patterns: the solver looks for its own")
	threads := flag.Int("threads", runtime.NumCPU(), "processors to use")
	repeat := flag.Int("repeat", 1, "runs of each")
	scales := flag.Bool("scale", false, "measure on Fashion-MNIST (60,000 images) at the first -ratio in place of problem files")
	growth := flag.Bool("growth", true, "with -scale: measure how the cost grows, too")
	classes := flag.Int("classes", 10, "with -scale: outputs of the second network for all images, 1 for none")
	patterns := flag.Int("patterns", 200, "with -scale: patterns for all images")
	rivals := flag.Float64("local", 0, "compare our ReLU network with Adam and SGD given this many times our CPU time each")
	methods := flag.String("methods", "", "with -local: only methods with this in their names, such as adam")
	unseen := flag.String("fresh", "", "write problem files of data on which nothing was tuned into this folder")
	width := flag.Int("width", 400, "with -local: neurons of the networks trained")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)
	if *scales {
		scale(*patterns, numbers(*ratios)[0], *limit, *growth, *classes)
		return
	}
	if *unseen != "" {
		fresh(*unseen)
		return
	}
	if flag.NArg() == 0 {
		fail(fmt.Errorf("want problem files"))
	}
	if *rivals > 0 {
		local(flag.Args(), numbers(*ratios), *limit, *rivals, *width, *methods)
		return
	}
	out := json.NewEncoder(os.Stdout)
	for _, path := range flag.Args() {
		p, err := convex.ReadProblem(path)
		fail(err)
		p.Arch = convex.GatedReLU{}
		top, err := convex.BetaMax(context.Background(), p, nil)
		fail(err)
		for _, name := range strings.Split(*arch, ",") {
			p.Arch, err = convex.LookupArch(name)
			fail(err)
			for _, ratio := range numbers(*ratios) {
				for _, tol := range numbers(*tols) {
					for range *repeat {
						q := p
						if *free {
							q.Patterns = nil
						}
						q.Beta = ratio * top
						s := convex.Settings{Tol: tol, TimeLimit: *limit, Solver: *solver, NoPrune: true, Progress: func(convex.Progress) {}}
						runtime.GC()
						wall, cpu := time.Now(), cpuSeconds()
						sol, err := convex.Solve(context.Background(), q, &s)
						fail(err)
						r := result{
							Solver: "gonvex", Instance: filepath.Base(filepath.Dir(path)), Arch: name, Ratio: ratio, Beta: q.Beta, Tol: tol,
							Wall: time.Since(wall).Seconds(), CPU: cpuSeconds() - cpu,
							Primal: sol.Primal, Lower: finite(sol.Lower), Gap: finite(sol.Gap),
							Status: sol.Status.String(), Scope: sol.Scope.String(), Neurons: sol.Network.Neurons(),
							Steps: sol.Iterations, Method: sol.Solver, Backend: lapack.Info().String(), MaxRSS: maxRSS(),
						}
						fail(out.Encode(r))
					}
				}
			}
		}
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func numbers(list string) (out []float64) {
	for _, t := range strings.Split(list, ",") {
		v, err := strconv.ParseFloat(t, 64)
		fail(err)
		out = append(out, v)
	}
	return out
}

func finite(v float64) *float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return &v
}

func usage() (u syscall.Rusage) {
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u
}

func cpuSeconds() float64 {
	u := usage()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func maxRSS() float64 { u := usage(); return float64(u.Maxrss) / 1024 }
