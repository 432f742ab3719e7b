package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/gonvex/gonvex/convex"
)

// Do runs one job of a spec and writes its result to the folder out. When the
// result is there already, it returns at once, with done set; a damaged one is
// computed anew. What was computed when ctx ended is not kept: it would not be
// the result that the same job has elsewhere.
//
// A job that cannot be run leaves the reason in a file beside the results, and
// runs again when asked again.
func Do(ctx context.Context, spec, out string, index int) (r *Result, done bool, err error) {
	start := time.Now()
	line, err := readJob(spec, index)
	if err != nil {
		return nil, false, err
	}
	r, err = readResult(out, index, line)
	switch {
	case err == nil:
		return r, true, nil
	case errors.Is(err, errOtherJob):
		return nil, false, err
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, false, fmt.Errorf("sweep: %w", err)
	}
	var j Job
	if err = decodeJob(line, &j); err == nil {
		r, err = j.fit(ctx, index, spec)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("sweep: job %d: %w", index, err)
		if ctx.Err() == nil {
			err = errors.Join(err, writeError(out, index, err))
		}
		return nil, false, err
	}
	r.Run.Host, _ = os.Hostname()
	r.Run.Started = start.UTC().Truncate(time.Millisecond)
	r.Run.Seconds = time.Since(start).Seconds()
	r.Run.Task, r.Run.Restarts = taskName()
	if other, err := readResult(out, index, line); err == nil {
		return other, true, nil // a second run of the task was faster
	}
	return r, false, r.write(out)
}

// taskName is what the scheduler calls this task.
func taskName() (name string, restarts int) {
	if id := os.Getenv("SLURM_ARRAY_JOB_ID"); id != "" {
		restarts, _ = strconv.Atoi(os.Getenv("SLURM_RESTART_COUNT"))
		return id + "_" + os.Getenv("SLURM_ARRAY_TASK_ID"), restarts
	}
	if os.Getenv("JOB_COMPLETION_INDEX") != "" {
		name, _ = os.Hostname() // of the pod
	}
	return name, 0
}

// TaskIndex is the index that the scheduler gives this task: of a Slurm job
// array, or of a Kubernetes indexed job.
func TaskIndex() (int, error) {
	for _, variable := range []string{"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"} {
		text := os.Getenv(variable)
		if text == "" {
			continue
		}
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 {
			return 0, fmt.Errorf("sweep: %s is %q: want a whole number from 0", variable, text)
		}
		return i, nil
	}
	return 0, errors.New("sweep: this is no task of a Slurm job array or Kubernetes indexed job (SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX are unset): give the index with -i")
}

// DoTask runs the jobs of one task: perTask of them, from index·perTask on, or
// those that are left of the spec. One that fails does not keep the others
// from running; each is passed to report. The error joins those of the jobs.
func DoTask(ctx context.Context, spec, out string, index, perTask int, report func(index int, r *Result, done bool, err error)) error {
	if index < 0 || perTask < 1 {
		return fmt.Errorf("sweep: task %d of %d jobs: want an index from 0 and at least one job", index, perTask)
	}
	count, err := countJobs(spec)
	if err != nil {
		return err
	}
	first := index * perTask
	if first >= count {
		return fmt.Errorf("sweep: %s has %d jobs, numbered from 0: there is no job %d", spec, count, first)
	}
	var failed []error
	for i := first; i < min(first+perTask, count); i++ {
		r, done, err := Do(ctx, spec, out, i)
		if report != nil {
			report(i, r, done, err)
		}
		if err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

func countJobs(spec string) (n int, err error) {
	err = eachLine(spec, func(int, []byte) (bool, error) { n++; return true, nil })
	return n, err
}

// lowering has the signature of convex.Arch's Lower.
type lowering = func(ctx context.Context, p *convex.Problem, s *convex.Settings) (*convex.Program, error)

// fit solves the job.
func (j Job) fit(ctx context.Context, index int, spec string) (*Result, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(j.Threads, 1)))
	t := &task{job: j, index: index, dir: filepath.Dir(spec)}
	if len(j.Cells) == 0 {
		t.run(ctx, nil)
		return t.result, t.err
	}
	if RunCells == nil {
		return nil, errors.New("the job has cells, which only the gonvex binary can run: gonvex sweep run SPEC OUT -i INDEX")
	}
	formulation := j.Formulation
	if formulation == "" {
		formulation = "nil"
	}
	running = t
	defer func() { running = nil }()
	t.err = errors.New("the cells ended before the fit")
	if err := RunCells(ctx, append(append([]string(nil), j.Cells...), "sweep.Fit(ctx, "+formulation+")")); err != nil {
		return nil, err
	}
	return t.result, t.err
}

// task is a job in the process that fits it.
type task struct {
	job    Job
	index  int
	dir    string
	result *Result
	err    error
}

// running is the task whose cells run: a process fits one at a time.
var running *task

// Fit is what a task calls in its last cell, with the function that the job's
// Formulation names; nil means the job's architecture. It is of no use
// elsewhere.
func Fit(ctx context.Context, lower func(ctx context.Context, p *convex.Problem, s *convex.Settings) (*convex.Program, error)) error {
	t := running
	if t == nil {
		return errors.New("sweep: Fit: no job of a sweep is running here; use convex.Solve")
	}
	t.run(ctx, lower)
	return t.err
}

func (t *task) run(ctx context.Context, lower lowering) {
	t.result, t.err = nil, nil
	p, test, err := t.job.load(t.dir)
	if err != nil {
		t.err = err
		return
	}
	if lower != nil {
		p.Arch = formulation{t.job.Formulation, lower}
	}
	s := t.job.Settings.convex()
	s.Progress = func(convex.Progress) {}
	sol, err := convex.Solve(ctx, p, s)
	if err != nil {
		t.err = err
		return
	}
	r := newResult(t.index, t.job, sol)
	r.Run.SolveSeconds = sol.Elapsed.Seconds()
	if sol.Network != nil {
		if t.err = t.score(r, p, test, sol.Network); t.err != nil {
			return
		}
	}
	t.result = r
}

// score fills in how well the network does on the training and test samples.
func (t *task) score(r *Result, train convex.Problem, test *convex.Problem, net *convex.Network) error {
	f, err := predict(net, train)
	if err != nil {
		return fmt.Errorf("predictions for the training samples: %w", err)
	}
	r.TrainAccuracy, r.TrainR2 = score(train.Y, f)
	if test == nil {
		return nil
	}
	r.TestRows, _ = test.Y.Dims()
	if f, err = predict(net, *test); err != nil {
		return fmt.Errorf("predictions for the test samples: %w", err)
	}
	r.TestAccuracy, r.TestR2 = score(test.Y, f)
	return nil
}

// formulation is an architecture made of a function.
type formulation struct {
	name  string
	lower lowering
}

func (f formulation) Name() string { return f.name }

func (f formulation) Lower(ctx context.Context, p *convex.Problem, s *convex.Settings) (*convex.Program, error) {
	return f.lower(ctx, p, s)
}
