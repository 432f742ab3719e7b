package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Local runs every job in a process of its own on this machine.
type Local struct {
	Workers int // processes at a time; 0: one for each processor
	Retries int // of a process that a signal ended, such as one out of memory; 0: 2, negative: none
}

// Name is "local".
func (Local) Name() string { return "local" }

// Launch runs the jobs without a result, in order.
func (l Local) Launch(ctx context.Context, p Plan) error {
	command, err := p.command()
	if err != nil {
		return err
	}
	missing, total, err := p.start()
	if err != nil {
		return err
	}
	workers := l.Workers
	if workers <= 0 {
		workers = runtime.NumCPU()
	}
	retries := l.Retries
	if retries == 0 {
		retries = 2
	}
	start := time.Now()
	var mu sync.Mutex
	r := Progress{Launcher: l.Name(), Total: total, Done: total - len(missing), Waiting: len(missing)}
	change := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
		r.Elapsed = time.Since(start)
		p.report(r)
	}
	change(func() {})
	queue := make(chan int)
	var wg sync.WaitGroup
	var lost []error // of jobs whose reason could not be written, as on a full disk
	for range min(workers, len(missing)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range queue {
				change(func() { r.Running++; r.Waiting-- })
				err := runTask(ctx, command, p, i)
				for try := 0; err != nil && killed(err) && try < retries && ctx.Err() == nil; try++ {
					err = runTask(ctx, command, p, i)
				}
				change(func() {
					r.Running--
					if err == nil {
						r.Done++
					} else {
						r.Failed++
					}
				})
				if err != nil && ctx.Err() == nil {
					if _, missing := os.Stat(errorFile(p.Out, i)); missing != nil && writeError(p.Out, i, err) != nil {
						change(func() { lost = append(lost, err) })
					}
				}
			}
		}()
	}
feed:
	for _, i := range missing {
		select {
		case queue <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	wg.Wait()
	if ctx.Err() != nil {
		return p.interrupted(ctx, r, "the processes were ended")
	}
	if len(lost) > 0 {
		return fmt.Errorf("sweep: %d jobs failed and could not say so in %s; make room there and run it again to go on. One said: %w", len(lost), p.Out, lost[0])
	}
	return nil
}

// runTask runs one job in a process and waits for it. Its standard error is
// the text of the error.
func runTask(ctx context.Context, command []string, p Plan, index int) error {
	args := append(append([]string(nil), command[1:]...), "sweep", "run", p.Spec, p.Out, "-i", strconv.Itoa(index))
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), insideTask+"=1")
	var text strings.Builder
	cmd.Stderr = &text
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if said := strings.TrimSpace(text.String()); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// killed says whether a signal ended the process.
func killed(err error) bool {
	var e *exec.ExitError
	if !errors.As(err, &e) {
		return false
	}
	w, ok := e.Sys().(syscall.WaitStatus)
	return ok && w.Signaled()
}
