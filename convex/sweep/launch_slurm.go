package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Slurm runs the jobs as one job array, and waits for it. Spec, results and
// binary must be where every node sees them at the same paths.
//
// A task that is killed runs again: Slurm puts it back when a node fails or a
// task is preempted (--requeue), the task itself when its process dies of a
// signal such as that of the memory killer, and this launcher submits anew
// what then has neither a result nor a reason. A task that someone cancels, or
// that one job takes past its time limit, is not run again.
type Slurm struct {
	Options    []string      // further options of sbatch, such as "--partition=cpu", "--time=10", "--mem=2G"
	PerTask    int           // jobs that run one after the other in each task; 0: as few as the largest array allows
	MaxRunning int           // tasks at a time; 0: what Slurm gives
	Retries    int           // arrays submitted for tasks that were lost; 0: 2, negative: none
	Poll       time.Duration // between two looks at the queue; 0: 2 s
	Detach     bool          // submit and return; Collect says what is there, and the same plan goes on later
}

// Name is "slurm".
func (Slurm) Name() string { return "slurm" }

// Launch submits the array and follows it. When ctx ends, it cancels it.
func (s Slurm) Launch(ctx context.Context, p Plan) error {
	var err error
	if p.Spec, err = filepath.Abs(p.Spec); err == nil {
		p.Out, err = filepath.Abs(p.Out)
	}
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	missing, total, err := p.start()
	if err != nil || len(missing) == 0 {
		return err
	}
	if s.Poll <= 0 {
		s.Poll = 2 * time.Second
	}
	if s.Retries == 0 {
		s.Retries = 2
	}
	if s.PerTask <= 0 {
		largest, err := maxArraySize(ctx)
		if err != nil {
			return err
		}
		s.PerTask = (total + largest - 1) / largest
	}
	watch := &slurmWatch{Slurm: s, plan: p, total: total, start: time.Now(), final: map[int]bool{}}
	todo := missing
	for try := 0; ; try++ {
		id, err := s.submit(ctx, p, s.tasksOf(todo))
		if err != nil {
			return err
		}
		if s.Detach {
			return nil
		}
		if err := watch.follow(ctx, id, missing); err != nil {
			return err
		}
		left, failed := p.look(missing)
		gaveUp := map[int]bool{}
		for _, i := range failed {
			gaveUp[i] = true
		}
		todo = nil
		for _, i := range left {
			if !gaveUp[i] && !watch.final[i/s.PerTask] {
				todo = append(todo, i)
			}
		}
		if len(todo) == 0 || try >= s.Retries {
			var lost error
			for _, i := range left {
				if !gaveUp[i] {
					lost = cmp.Or(lost, writeError(p.Out, i, fmt.Errorf("job %d: task %s_%d ended without a result: %s; its output is in %s", i, id, i/s.PerTask, watch.stateOf(i/s.PerTask), logFile(p.Out, id, i/s.PerTask))))
				}
			}
			return lost
		}
	}
}

// tasksOf are the tasks that run the jobs.
func (s Slurm) tasksOf(jobs []int) []int {
	var tasks []int
	for _, i := range jobs {
		if t := i / s.PerTask; len(tasks) == 0 || tasks[len(tasks)-1] != t {
			tasks = append(tasks, t)
		}
	}
	return tasks
}

func logFile(out, id string, task int) string {
	return filepath.Join(out, "log", fmt.Sprintf("%s_%05d.log", id, task))
}

// script is what every task of the array runs.
func (s Slurm) script(p Plan) (string, error) {
	command, err := p.command()
	if err != nil {
		return "", err
	}
	var words []string
	for _, w := range append(append([]string(nil), command...), "sweep", "run", p.Spec, p.Out, "--per-task", strconv.Itoa(s.PerTask)) {
		words = append(words, shellQuote(w))
	}
	return `#!/bin/sh
# One task of a sweep, written by gonvex. Its index is in SLURM_ARRAY_TASK_ID.
export ` + insideTask + `=1
` + strings.Join(words, " ") + `
code=$?
# The process died of a signal (128 + its number), and neither SIGINT nor SIGTERM asked it to:
# back into the queue, but not for ever.
if [ $code -gt 128 ] && [ $code -ne 130 ] && [ $code -ne 143 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 5 ]; then
  scontrol requeue "$SLURM_JOB_ID" && sleep 60 # until Slurm ends this run
fi
exit $code
`, nil
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// submit queues an array of the tasks, and returns its id.
func (s Slurm) submit(ctx context.Context, p Plan, tasks []int) (string, error) {
	script, err := s.script(p)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(p.Out, "log"), 0o777); err != nil {
		return "", fmt.Errorf("sweep: %w", err)
	}
	array := ranges(tasks)
	if s.MaxRunning > 0 {
		array += "%" + strconv.Itoa(s.MaxRunning)
	}
	args := []string{
		"--parsable", "--requeue", "--open-mode=append", "--job-name=gonvex-sweep",
		"--output=" + filepath.Join(p.Out, "log", "%A_%5a.log"), "--chdir=" + filepath.Dir(p.Spec),
	}
	args = append(append(args, s.Options...), "--array="+array)
	out, err := slurm(ctx, script, "sbatch", args...)
	if err != nil {
		return "", err
	}
	id, _, _ := strings.Cut(strings.TrimSpace(out), ";") // a cluster's name may follow
	if !number.MatchString(id) {
		return "", fmt.Errorf("sweep: sbatch answered %q: want a job id", out)
	}
	return id, nil
}

var number = regexp.MustCompile(`^\d+$`)

// slurmWatch follows the arrays of one launch.
type slurmWatch struct {
	Slurm
	plan   Plan
	total  int
	start  time.Time
	states map[int]string // last known state of each task of the present array
	final  map[int]bool   // tasks not to submit again: cancelled, or too long for their time limit
}

// follow returns when no task of the array is in the queue. When ctx ends it
// cancels the array.
func (w *slurmWatch) follow(ctx context.Context, id string, jobs []int) error {
	w.states = map[int]string{}
	misses := 0
	tick := time.NewTicker(w.Poll)
	defer tick.Stop()
	for {
		running, waiting, err := w.look(ctx, id)
		if ctx.Err() != nil {
			return w.cancel(ctx, id, jobs)
		}
		if err != nil {
			// A controller that is busy or restarts is not the end of the sweep.
			if misses++; misses > 30 {
				return fmt.Errorf("%w; the array %s goes on: launch again to follow it", err, id)
			}
		} else {
			misses = 0
		}
		r := w.progress(jobs)
		r.Running, r.Waiting, r.Text = running, waiting, "array "+id
		w.plan.report(r)
		if err == nil && running+waiting == 0 {
			w.account(ctx, id)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return w.cancel(ctx, id, jobs)
		}
	}
}

// cancel takes the array back.
func (w *slurmWatch) cancel(ctx context.Context, id string, jobs []int) error {
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	if _, err := slurm(last, "", "scancel", id); err != nil {
		return errors.Join(w.plan.interrupted(ctx, w.progress(jobs), "array "+id+" could not be cancelled"), err)
	}
	return w.plan.interrupted(ctx, w.progress(jobs), "array "+id+" was cancelled")
}

// progress is how far the results are.
func (w *slurmWatch) progress(jobs []int) Progress {
	left, failed := w.plan.look(jobs)
	return Progress{Launcher: w.Name(), Total: w.total, Done: w.total - len(left), Failed: len(failed), Elapsed: time.Since(w.start)}
}

// look asks squeue for the states of the tasks.
func (w *slurmWatch) look(ctx context.Context, id string) (running, waiting int, err error) {
	out, err := slurm(ctx, "", "squeue", "--noheader", "--array", "--states=all", "--jobs="+id, "--format=%K %T")
	if err != nil {
		if strings.Contains(err.Error(), "Invalid job id") {
			return 0, 0, nil // Slurm has forgotten it: it ended some minutes ago
		}
		return 0, 0, err
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		task, err := strconv.Atoi(f[0])
		if err != nil {
			continue
		}
		w.states[task] = f[1]
		switch f[1] {
		case "PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "SUSPENDED", "STOPPED", "RESV_DEL_HOLD":
			waiting++
		case "RUNNING", "CONFIGURING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT":
			running++
		default:
			w.settle(task, f[1])
		}
	}
	return running, waiting, nil
}

// settle notes a state after which a task would not fare better. One of
// several jobs has some of them behind it when its time is up.
func (w *slurmWatch) settle(task int, state string) {
	if strings.HasPrefix(state, "CANCELLED") || strings.HasPrefix(state, "TIMEOUT") && w.PerTask == 1 {
		w.final[task] = true
	}
}

// account asks the accounting database how the tasks ended, where there is
// one: squeue forgets them after some minutes.
func (w *slurmWatch) account(ctx context.Context, id string) {
	out, err := slurm(ctx, "", "sacct", "--noheader", "--parsable2", "--allocations", "--array", "--jobs="+id, "--format=JobID,State,ExitCode")
	if err != nil {
		return
	}
	for line := range strings.Lines(out) {
		task, state, ok := parseAccount(strings.TrimSpace(line))
		if !ok {
			continue
		}
		w.states[task] = state
		w.settle(task, state)
	}
}

// parseAccount reads a line such as "123_17|OUT_OF_MEMORY|0:125".
func parseAccount(line string) (task int, state string, ok bool) {
	f := strings.Split(line, "|")
	if len(f) != 3 {
		return 0, "", false
	}
	_, index, found := strings.Cut(f[0], "_")
	task, err := strconv.Atoi(index)
	if !found || err != nil {
		return 0, "", false
	}
	state = f[1]
	if f[2] != "0:0" {
		state += ", exit code " + f[2]
	}
	return task, state, true
}

func (w *slurmWatch) stateOf(task int) string {
	if s := w.states[task]; s != "" {
		return s
	}
	return "state unknown"
}

// maxArraySize is the number of tasks that an array may have.
func maxArraySize(ctx context.Context) (int, error) {
	out, err := slurm(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == "MaxArraySize" {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n > 0 {
				return n, nil
			}
		}
	}
	return 1001, nil // Slurm's default
}

// slurm runs one of Slurm's commands. Its complaint is the text of the error.
func slurm(ctx context.Context, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("sweep: there is no %s here: run this on a machine that submits to Slurm (Debian: apt-get install slurm-client), or use another launcher", name)
	case err != nil && complaint.Len() > 0:
		if strings.Contains(complaint.String(), "configuration source") {
			complaint.WriteString("this machine knows no Slurm cluster: run this where sinfo lists the nodes, or set SLURM_CONF")
		}
		return "", fmt.Errorf("sweep: %s: %s", name, strings.TrimSpace(complaint.String()))
	case err != nil:
		return "", fmt.Errorf("sweep: %s: %w", name, err)
	}
	return out.String(), nil
}
