package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/convex/sweep"
	"github.com/gonvex/gonvex/kernel/session"
)

func init() { sweep.Binary, _ = os.Executable() }

func newSweep() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Run many fits: on this machine, on Slurm, on Kubernetes",
		Long: `A sweep is a file with one JSON line a job, and a folder with one result a job. A job
that has its result is never run again, so every command here can be stopped and repeated.

"run" is one task: what a scheduler starts on a node. The others start tasks, or say what
there is. A job's line has the fields of a problem file other than its data, and

  problem | data        a problem file; or a data set's name, or its file
  sha256                of the file, which a task checks
  classes, rows, test, test_data, split_seed, standardize, bias
                        what is made of a data set
  settings              solver, tol, max_iter, time_limit, max_patterns, samples
  cells, formulation    cells of a notebook, and the function in them that makes the program
  threads               of the task; 1 by default, so that results do not depend on the node`,
		Example: `  gonvex sweep local spec.jsonl results -j 4
  gonvex sweep slurm spec.jsonl results --sbatch=--partition=cpu --sbatch=--time=30
  gonvex sweep kubernetes spec.jsonl results --image IMAGE --claim CLAIM | kubectl apply -f -
  gonvex sweep run spec.jsonl results -i 17
  gonvex sweep collect spec.jsonl results`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSweepRun(), newSweepLocal(), newSweepSlurm(), newSweepKubernetes(), newSweepCollect())
	return cmd
}

func newSweepRun() *cobra.Command {
	index, perTask := -1, 1
	cmd := &cobra.Command{
		Use:   "run SPEC.jsonl OUT",
		Short: "Run one task: the job of an index, or several that follow one another",
		Long: `Run fits one job of the spec and writes OUT/00017.json, whole or not at all. The index is
that of the Slurm job array task or of the Kubernetes indexed Job that this is, or -i.
When the result is there, it exits at once.

The exit code is 0 when there is a result, 1 when the job could not be run (the reason is in
OUT/00017.err too), 130 or 143 when it was interrupted.`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if !cmd.Flags().Changed("index") {
				var err error
				if index, err = sweep.TaskIndex(); err != nil {
					return usageError{err}
				}
			}
			if index < 0 || perTask < 1 {
				return usageError{fmt.Errorf("-i %d, --per-task %d: want an index from 0 and at least one job", index, perTask)}
			}
			return sweepTask(cmd.Context(), a[0], a[1], index, perTask, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().IntVarP(&index, "index", "i", -1, "index of the task, from 0 (default: the scheduler's)")
	cmd.Flags().IntVar(&perTask, "per-task", 1, "jobs of a task: task i runs those from i·N on")
	return cmd
}

func sweepTask(ctx context.Context, spec, out string, index, perTask int, stdout, stderr io.Writer) error {
	ctx, ended := untilSignal(ctx)
	defer ended()
	sweep.RunCells = func(ctx context.Context, cells []string) error { return runCells(ctx, cells, stderr) }
	reported := false
	report := func(i int, r *sweep.Result, done bool, err error) {
		reported = true
		switch {
		case err != nil:
			fmt.Fprintln(stderr, "gonvex:", strings.TrimPrefix(err.Error(), "gonvex: "))
		case done:
			fmt.Fprintf(stdout, "job %d has its result\n", i)
		default:
			fmt.Fprintf(stdout, "job %d: %s, %s in %.2g s\n", i, r.Architecture, r.Status, r.Run.Seconds)
		}
	}
	err := sweep.DoTask(ctx, spec, out, index, perTask, report)
	var by signalled
	switch {
	case err == nil:
		return nil
	case errors.As(context.Cause(ctx), &by):
		return exitCode(128 + int(by.signal))
	case ctx.Err() != nil:
		return exitCode(130)
	}
	if !reported {
		return err
	}
	return exitCode(1)
}

// signalled is the cause of a context that a signal ended.
type signalled struct{ signal syscall.Signal }

func (s signalled) Error() string { return s.signal.String() }

// untilSignal ends the context with SIGINT or SIGTERM; a second one ends the program.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(signalled{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

// runCells runs a job's cells as the kernel does. What they print goes to the task's log.
func runCells(ctx context.Context, cells []string, log io.Writer) error {
	s, err := session.New(session.Options{Stdout: log, Stderr: log})
	if err != nil {
		return err
	}
	for i, cell := range cells {
		_, err := s.Execute(ctx, cell)
		var failed *session.CellError
		if errors.As(err, &failed) {
			what := fmt.Sprintf("cell %d of the job's %d", i+1, len(cells)-1)
			if i == len(cells)-1 {
				what = "the formulation"
			}
			return fmt.Errorf("%s: %s", what, ansi.ReplaceAllString(strings.Join(failed.Traceback(), "\n"), ""))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// launch runs a plan to its end, with a line of progress on a terminal, and prints what there is.
func launch(cmd *cobra.Command, l sweep.Launcher, spec, out string) error {
	ctx, ended := untilSignal(cmd.Context())
	defer ended()
	line := newStatusLine(cmd.ErrOrStderr())
	p := sweep.Plan{Spec: spec, Out: out, Progress: func(r sweep.Progress) {
		line.set(fmt.Sprintf("%s  %d of %d done, %d failed, %d running, %d waiting  %s  %s", r.Launcher, r.Done, r.Total, r.Failed,
			r.Running, r.Waiting, r.Elapsed.Round(time.Second), r.Text))
	}}
	err := l.Launch(ctx, p)
	line.set("")
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "gonvex:", err)
		if ctx.Err() != nil {
			return exitCode(130)
		}
		return exitCode(1)
	}
	return collect(cmd.OutOrStdout(), spec, out, false)
}

func newSweepLocal() *cobra.Command {
	var l sweep.Local
	cmd := &cobra.Command{
		Use:   "local SPEC.jsonl OUT",
		Short: "Run the jobs without a result on this machine, each in a process",
		Args:  args(cobra.ExactArgs(2)),
		RunE:  func(cmd *cobra.Command, a []string) error { return launch(cmd, l, a[0], a[1]) },
	}
	cmd.Flags().IntVarP(&l.Workers, "jobs", "j", 0, "processes at a time (default: one for each processor)")
	return cmd
}

func newSweepSlurm() *cobra.Command {
	var s sweep.Slurm
	cmd := &cobra.Command{
		Use:   "slurm SPEC.jsonl OUT",
		Short: "Run the jobs without a result as a Slurm job array, and follow it",
		Long: `Slurm submits a job array with sbatch and follows it until no task is left; an interrupt
cancels the array. SPEC, OUT and this binary must have the same paths on the nodes. Tasks
that are killed run again. Repeated, the command submits what has no result yet.`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error { return launch(cmd, s, a[0], a[1]) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&s.Options, "sbatch", nil, "a further `OPTION` of sbatch, such as --sbatch=--time=30; may be repeated")
	f.IntVar(&s.PerTask, "per-task", 0, "jobs of a task (default: as few as the largest array allows)")
	f.IntVar(&s.MaxRunning, "max-running", 0, "tasks at a time (default: what Slurm gives)")
	f.DurationVar(&s.Poll, "poll", 2*time.Second, "time between two looks at the queue")
	f.BoolVar(&s.Detach, "detach", false, "submit and return")
	return cmd
}

func newSweepKubernetes() *cobra.Command {
	var k sweep.Kubernetes
	cmd := &cobra.Command{
		Use:   "kubernetes SPEC.jsonl OUT",
		Short: "Print the manifest of an indexed Job for the sweep",
		Long: `Kubernetes prints the manifest of an indexed Job with one pod a task. SPEC is read here for
its number of jobs; in the pods SPEC and OUT lie on the volume of the claim, relative names
below its mount. The Job's tasks that have a result exit at once, so the same Job can be
created again to go on.`,
		Example: `  gonvex sweep kubernetes spec.jsonl results --image registry.example/gonvex:1 --claim sweeps | kubectl apply -f -`,
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			jobs, err := sweep.Read(a[0])
			if err != nil {
				return err
			}
			text, err := k.Manifest(a[0], a[1], len(jobs))
			if err != nil {
				return usageError{err}
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&k.Image, "image", "", "`IMAGE` with gonvex in it")
	f.StringVar(&k.Claim, "claim", "", "persistent volume `CLAIM` with the spec, for the results")
	f.StringVar(&k.Mount, "mount", "/sweep", "where the pods see the volume")
	f.StringVar(&k.Command, "command", "gonvex", "gonvex in the image")
	f.StringVar(&k.Job, "name", "gonvex-sweep", "name of the Job")
	f.StringVar(&k.Namespace, "namespace", "", "namespace of the Job")
	f.IntVar(&k.PerTask, "per-task", 1, "jobs of a pod")
	f.IntVar(&k.Parallel, "parallel", 100, "pods at a time")
	f.IntVar(&k.Retries, "retries", 3, "of each index")
	f.StringVar(&k.CPU, "cpu", "1", "request of a pod")
	f.StringVar(&k.Memory, "memory", "2Gi", "request and limit of a pod")
	f.IntVar(&k.Deadline, "deadline", 0, "seconds after which the Job is ended (default: none)")
	return cmd
}

func newSweepCollect() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "collect SPEC.jsonl OUT",
		Short: "Print the results there are, and name the jobs without one",
		Long: `Collect prints a table of the results and names the jobs that have none, with the reason
where there is one. The exit code is 1 when a result is missing.`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error { return collect(cmd.OutOrStdout(), a[0], a[1], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line a result")
	return cmd
}

func collect(stdout io.Writer, spec, out string, asJSON bool) error {
	t, err := sweep.Collect(spec, out)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(stdout)
		for _, r := range t.Results {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
	} else {
		fmt.Fprintln(stdout, t)
	}
	if !t.Complete() {
		return exitCode(1)
	}
	return nil
}
