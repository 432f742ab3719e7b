package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/sweep"
)

// quickFits are n jobs whose solves take some milliseconds: what is left is what a task costs.
func quickFits(b *testing.B, n int) (spec, out string) {
	b.Helper()
	betas := make([]float64, n)
	for i := range betas {
		betas[i] = 1 + float64(i)/1000
	}
	dir := b.TempDir()
	spec, out = filepath.Join(dir, "spec.jsonl"), filepath.Join(dir, "results")
	if err := sweep.Write(spec, sweep.Grid(sweep.Job{
		Data: "breast_cancer", Rows: 60, Test: 0.3, Standardize: true, Bias: true, Arch: convex.GatedReLU{},
		Loss: convex.Logistic, Settings: sweep.Settings{Samples: 30},
	}, nil, betas, nil)); err != nil {
		b.Fatal(err)
	}
	return spec, out
}

// solving is the time that the solves of a sweep took, and how many there are.
func solving(b *testing.B, spec, out string) (sum time.Duration, n int) {
	b.Helper()
	tab, err := sweep.Collect(spec, out)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range tab.Results {
		sum += time.Duration(r.Run.SolveSeconds * float64(time.Second))
	}
	return sum, len(tab.Results)
}

// BenchmarkSweepTask is one task by itself, the last of a spec of 10000: with a fit, from the start of the
// process to the result in its place, and when the result is there already.
func BenchmarkSweepTask(b *testing.B) {
	spec, out := quickFits(b, 10000)
	task := func() {
		if text, err := exec.Command(sweep.Binary, "sweep", "run", spec, out, "-i", "9999").CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, text)
		}
	}
	b.Run("fit", func(b *testing.B) {
		var solves time.Duration
		for range b.N {
			os.RemoveAll(out)
			task()
			b.StopTimer() // collecting is not part of a task
			d, _ := solving(b, spec, out)
			solves += d
			b.StartTimer()
		}
		b.ReportMetric(float64(solves.Microseconds())/1e3/float64(b.N), "solve-ms/op")
	})
	b.Run("done", func(b *testing.B) {
		task()
		for b.Loop() {
			task()
		}
	})
}

// BenchmarkSweepLocal and BenchmarkSweepSlurm are 100 such tasks by a launcher.
func BenchmarkSweepLocal(b *testing.B) { benchmarkLauncher(b, sweep.Local{}) }

func BenchmarkSweepSlurm(b *testing.B) {
	startSlurm(b)
	benchmarkLauncher(b, sweep.Slurm{Poll: 200 * time.Millisecond})
}

func benchmarkLauncher(b *testing.B, l sweep.Launcher) {
	const tasks = 100
	for range b.N {
		spec, out := quickFits(b, tasks)
		start := time.Now()
		if err := l.Launch(b.Context(), sweep.Plan{Spec: spec, Out: out}); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		solves, n := solving(b, spec, out)
		if n != tasks {
			b.Fatalf("%d of %d have a result", n, tasks)
		}
		b.ReportMetric(float64(took.Milliseconds())/tasks, "ms/task")
		b.ReportMetric(float64(solves.Milliseconds())/tasks, "solve-ms/task")
	}
}

// BenchmarkSweepSubmit is what sbatch takes for an array of 1000 tasks, which are then cancelled.
func BenchmarkSweepSubmit(b *testing.B) {
	startSlurm(b)
	spec, out := quickFits(b, 1000)
	for b.Loop() {
		start := time.Now()
		if err := (sweep.Slurm{Options: []string{"--hold"}, Detach: true}).Launch(b.Context(), sweep.Plan{Spec: spec, Out: out}); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		start = time.Now()
		queue, err := exec.Command("squeue", "--noheader", "--array").Output()
		if err != nil {
			b.Fatal(err)
		}
		look := time.Since(start)
		b.ReportMetric(float64(took.Milliseconds()), "submit-ms")
		b.ReportMetric(float64(look.Milliseconds()), "squeue-ms")
		if n := strings.Count(string(queue), "\n"); n != 1000 {
			b.Fatalf("%d tasks in the queue", n)
		}
		exec.Command("scancel", "--name=gonvex-sweep").Run()
		for !queueIsEmpty() {
			time.Sleep(100 * time.Millisecond)
		}
	}
}
