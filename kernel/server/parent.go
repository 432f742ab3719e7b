package server

import (
	"context"
	"os"
	"strconv"
	"syscall"
	"time"
)

// watchParent calls gone when the process that Jupyter says started this kernel
// (JPY_PARENT_PID) has ended, or, failing that, when the parent of this process
// changes. A kernel started by hand, without the variable, has no such parent.
func watchParent(ctx context.Context, gone func()) {
	pid, err := strconv.Atoi(os.Getenv("JPY_PARENT_PID"))
	if err != nil || pid <= 1 {
		return
	}
	first := os.Getppid()
	// The number means nothing here when the kernel runs in another PID
	// namespace; then only a change of parent tells.
	visible := syscall.Kill(pid, 0) != syscall.ESRCH
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if visible && syscall.Kill(pid, 0) == syscall.ESRCH || first == pid && os.Getppid() != first {
			gone()
			return
		}
	}
}
