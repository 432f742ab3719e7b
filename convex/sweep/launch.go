package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gonvex/gonvex/convex"
)

// Plan is a sweep to run: a spec file and the folder of its results.
type Plan struct {
	Spec, Out string
	// Command starts gonvex on a worker, as a program and its first arguments;
	// nil means Binary.
	Command []string
	// Progress is called as tasks end; nil means DefaultProgress.
	Progress func(Progress)
}

// Launcher runs the jobs of a plan that have no result yet.
type Launcher interface {
	// Name is the name of its command, such as "slurm".
	Name() string
	// Launch returns when every job has a result or has failed; see Collect
	// for which. An error means that tasks could not be started or watched.
	// When ctx ends it takes back what has not ended, and returns an error
	// that says how to go on.
	Launch(ctx context.Context, p Plan) error
}

// Launchers lists the launchers that run a plan from here, with their default
// options.
func Launchers() []Launcher { return []Launcher{Local{}, Slurm{}} }

// Progress is one report of a running sweep.
type Progress struct {
	Launcher string
	Total    int // jobs of the plan
	Done     int // with a result
	Failed   int // that could not be run
	Running  int // tasks running
	Waiting  int // tasks in the queue
	Text     string
	Elapsed  time.Duration
}

// DefaultProgress receives the reports of plans without a Progress. A front
// end sets it, once and before launching.
var DefaultProgress func(Progress)

// Run writes the jobs into the folder dir (spec.jsonl), runs those that have
// no result there yet, and collects the results. Called again with the same
// jobs it goes on where it was interrupted. A nil launcher means Local{}. With
// an error there is still a table, of what there is.
func Run(ctx context.Context, jobs []Job, dir string, l Launcher) (*Table, error) {
	p := Plan{Spec: filepath.Join(dir, "spec.jsonl"), Out: filepath.Join(dir, "results")}
	if err := Write(p.Spec, jobs); err != nil {
		return nil, err
	}
	if l == nil {
		l = Local{}
	}
	failed := l.Launch(ctx, p)
	t, err := Collect(p.Spec, p.Out)
	if failed != nil {
		err = failed
	}
	return t, err
}

// Grid returns base for every architecture, weight decay and seed, in that
// order; nil leaves base's own.
func Grid(base Job, archs []convex.Arch, betas []float64, seeds []uint64) []Job {
	if archs == nil {
		archs = []convex.Arch{base.Arch}
	}
	if betas == nil {
		betas = []float64{base.Beta}
	}
	if seeds == nil {
		seeds = []uint64{base.Seed}
	}
	var jobs []Job
	for _, a := range archs {
		for _, b := range betas {
			for _, s := range seeds {
				j := base
				j.Arch, j.Beta, j.Seed = a, b, s
				jobs = append(jobs, j)
			}
		}
	}
	return jobs
}

// jobLines are the lines of the spec.
func (p Plan) jobLines() ([][]byte, error) {
	var lines [][]byte
	err := eachLine(p.Spec, func(_ int, line []byte) (bool, error) {
		lines = append(lines, slices.Clone(line))
		return true, nil
	})
	if err == nil && len(lines) == 0 {
		err = fmt.Errorf("sweep: %s is empty: want one JSON object a line", p.Spec)
	}
	return lines, err
}

// start checks the plan before anything is launched. Reasons of an earlier
// run's failures are taken away: those jobs are tried anew.
func (p Plan) start() (missing []int, total int, err error) {
	if os.Getenv(insideTask) != "" {
		return nil, 0, errors.New("sweep: this process is itself a task of a sweep, and a task launches no other: Plan.Command, or this binary, does not understand `sweep run`")
	}
	lines, err := p.jobLines()
	if err != nil {
		return nil, 0, err
	}
	for i, line := range lines {
		var j Job
		if err := decodeJob(line, &j); err != nil {
			return nil, 0, fmt.Errorf("sweep: %s: line %d: %w", p.Spec, i+1, err)
		}
		_, err := readResult(p.Out, i, line)
		switch {
		case errors.Is(err, errOtherJob):
			return nil, 0, err
		case err != nil:
			missing = append(missing, i)
			os.Remove(errorFile(p.Out, i))
		}
	}
	return missing, len(lines), p.writable()
}

// writable makes the folder of the results, and sees that results can be put
// there before any is computed.
func (p Plan) writable() error {
	err := os.MkdirAll(p.Out, 0o777)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(p.Out, ".writable"); err == nil {
			_, err = f.WriteString("results will be here\n")
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("sweep: results cannot be written to %s: %w: make room or give it to this user, or name another folder", p.Out, err)
	}
	return nil
}

// insideTask marks the environment of every task. A binary that is started as
// a task and runs something else, such as the program that launched it, must
// not launch again: the processes would have no end.
const insideTask = "GONVEX_SWEEP_TASK"

// look counts results and failures among the jobs, by the names of files: one
// listing of the folder, since it may be far away and is looked at often.
func (p Plan) look(jobs []int) (missing, failed []int) {
	there := map[string]bool{}
	entries, _ := os.ReadDir(p.Out)
	for _, e := range entries {
		there[e.Name()] = true
	}
	for _, i := range jobs {
		if there[filepath.Base(resultFile(p.Out, i))] {
			continue
		}
		missing = append(missing, i)
		if there[filepath.Base(errorFile(p.Out, i))] {
			failed = append(failed, i)
		}
	}
	return missing, failed
}

func (p Plan) report(r Progress) {
	f := p.Progress
	if f == nil {
		f = DefaultProgress
	}
	if f != nil {
		f(r)
	}
}

// command is the start of the command line of a task.
func (p Plan) command() ([]string, error) {
	if len(p.Command) > 0 {
		return p.Command, nil
	}
	if Binary != "" {
		return []string{Binary}, nil
	}
	binary, err := exec.LookPath("gonvex")
	if err == nil {
		binary, err = filepath.Abs(binary)
	}
	if err != nil {
		return nil, errors.New("sweep: tasks are run by gonvex, which is not on PATH, and this program is another: install it (./install.sh, or go install ./kernel/gonvex), or name it in Plan.Command")
	}
	return []string{binary}, nil
}

// Binary is the path of gonvex, which runs the tasks of plans without a
// Command. Gonvex itself fills it in, so that tasks are of the same version; in
// other programs, such as an exported notebook, it is empty, which means the
// gonvex on PATH.
var Binary string

// interrupted reports the end of a launch whose context ended, where r has got
// to, and returns the error that says so. An interrupted cell shows no error of
// its own: the last report is all that its user sees.
func (p Plan) interrupted(ctx context.Context, r Progress, took string) error {
	r.Running, r.Waiting, r.Text = 0, 0, took
	p.report(r)
	return fmt.Errorf("sweep: %w: %s; %d of %d results are in %s: run it again to go on", context.Cause(ctx), took, r.Done, r.Total, p.Out)
}

// ranges spells sorted numbers as 0-3,7.
func ranges(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		k := i
		for k+1 < len(numbers) && numbers[k+1] == numbers[k]+1 {
			k++
		}
		if k > i {
			parts = append(parts, fmt.Sprintf("%d-%d", numbers[i], numbers[k]))
		} else {
			parts = append(parts, fmt.Sprint(numbers[i]))
		}
		i = k + 1
	}
	return strings.Join(parts, ",")
}
