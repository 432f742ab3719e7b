package session

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"
)

func init() {
	magics["time"] = magic{"%time [CODE]", "runs the rest of the cell and prints how long it took and what it allocated", func(s *Session, ctx context.Context, args, body string, res *Result) *CellError {
		// the code keeps its place in the cell, so that errors point at it
		code := strings.Repeat(" ", len("%time ")) + args + "\n" + body
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := s.execute(ctx, code, res)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.rt.out, "%v, %.1f MB allocated\n", took.Round(time.Microsecond), float64(after.TotalAlloc-before.TotalAlloc)/(1<<20))
		return nil
	}, false}
}
