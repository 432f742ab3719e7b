package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// The stacks of an endless recursion are still there when its cell has ended.
// The cells after it must not pay for them.
func TestNextCellAfterAStackOverflow(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "func deep(n int) int { return deep(n+1) + 1 }")
	for range 5 {
		if e := fails(t, s, "deep(0)"); !strings.Contains(e.Msg, "stack overflow") {
			t.Fatal(e)
		}
		mustRun(t, s, "for i := range 4 { time.Sleep(30*time.Millisecond); _ = i }")
	}
}

// Positions are numbers that Go's scanner must take, however many cells ran.
func TestCellsBeyondAnyCount(t *testing.T) {
	s := newSession(t)
	for _, n := range []int{10_736, maxCells - 4, maxCells - 3, maxCells - 1} {
		s.count = n
		for range 3 {
			mustRun(t, s, "x := 1\nx + 1")
		}
		if e := fails(t, s, "\npanic(\"here\")"); e.Line != 2 || e.Cell != s.count {
			t.Errorf("after %d cells the panic is at line %d, want 2", n, e.Line)
		}
	}
}

// A goroutine that waits when a cell is interrupted ends there: it does not go on
// as if what it waited for had come.
func TestInterruptEndsWhatWaits(t *testing.T) {
	for _, wait := range []string{
		"select { case <-never: case <-other.Done(): }",
		"time.Sleep(time.Hour)",
		"wg.Wait()",
		"mu.Lock()",
		"<-never",
		"never <- 1",
		"for range never {}",
	} {
		s := newSession(t)
		mustRun(t, s, "never := make(chan int)\nother := context.Background()\nvar wg sync.WaitGroup\nvar mu sync.Mutex\nvar on atomic.Int64\nwg.Add(1)\nmu.Lock()")
		mustRun(t, s, "func wait() { "+wait+" }\nfunc loop() { for { wait(); on.Add(1) } }")
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			_, err := s.Execute(ctx, "for range 10 { go loop() }\nfor { time.Sleep(time.Microsecond) }")
			cancel()
			if err == nil {
				t.Fatal("the cell was not interrupted")
			}
		}
		if v := mustRun(t, s, "time.Sleep(5*time.Millisecond)\non.Load()").Value.Text(); v != "0" {
			t.Errorf("%s: %s times a goroutine went on after an interrupt", wait, v)
		}
	}
}

// The instances of a generic function go with it when it is defined again.
func TestInstancesAreForgotten(t *testing.T) {
	s := newSession(t)
	var before uint64
	for i := range 500 {
		if i == 100 {
			before = heap()
		}
		mustRun(t, s, fmt.Sprintf("func g[E any](x E) E { return x }\ng(%d)", i))
	}
	if grown := int64(heap()) - int64(before); grown > 400*4<<10 {
		t.Errorf("the heap grew by %d kB in 400 cells", grown>>10)
	}
}

// A compiled call that has the cell's ctx gets the time to return, one that has
// not is left behind.
func TestGraceIsForWhatHeedsCtx(t *testing.T) {
	s, err := New(Options{Stdout: io.Discard, Stderr: io.Discard, Grace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ctx  string
		left bool
	}{{"ctx", false}, {"context.WithValue(ctx, 1, 2)", false}, {"context.Background()", true}} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err = s.Execute(ctx, "import \"os/exec\"\ncmd := exec.CommandContext("+c.ctx+", \"sleep\", \"1.5\")\ncmd.Cancel = func() error { return nil }\ncmd.Run()")
		var ce *CellError
		if !errors.As(err, &ce) || ce.Kind != KindInterrupted || strings.Contains(ce.Advice, "background") != c.left {
			t.Errorf("%s: %v, %+v", c.ctx, err, ce)
		}
	}
	if v := mustRun(t, s, "ctx").Value.Text(); !strings.Contains(v, "context.Background") {
		t.Error("ctx is shown as " + v)
	}
}

// An interrupted cell says what its solve had found, and which variable has it.
func TestInterruptNamesWhatWasFound(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "X, y := data.Spiral(60, 0.1, 1)\np := convex.Problem{X: data.WithBias(X), Y: y, Loss: convex.Logistic, Beta: 1e-3}")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	_, err := s.Execute(ctx, "best, err := convex.Solve(ctx, p, &convex.Settings{Solver: \"admm\", Tol: 1e-14, MaxIter: 1e9})")
	var ce *CellError
	if !errors.As(err, &ce) || ce.Kind != KindInterrupted {
		t.Fatal(err)
	}
	text := strings.Join(ce.Traceback(), "\n")
	if !strings.Contains(text, "with best (stopped, objective") || !strings.Contains(text, "Settings.Warm") {
		t.Error(text)
	}
}

// A panic is shown at the line of the goroutine that panicked, whatever other
// goroutines and deferred calls run meanwhile.
func TestPanicPosition(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "var none map[string]int\nfunc busy(until <-chan int) {\n\tx := []int{1}\n\tfor len(until) == 0 {\n\t\tx[0]++\n\t}\n}")
	for _, c := range []struct {
		code string
		line int
	}{
		{"until := make(chan int, 1)\nfor range 4 { go busy(until) }\ntime.Sleep(5*time.Millisecond)\nnone[\"a\"] = 1\n_ = 1\n", 4},
		{"func() {\n\tdefer func() {\n\t\tfmt.Sprint(1)\n\t}()\n\tnone[\"a\"] = 1\n}()", 5},
		{"func() {\n\tdefer func() {\n\t\tdefer func() { recover() }()\n\t\tnone[\"b\"] = 1\n\t}()\n\tnone[\"a\"] = 1\n}()", 6},
		{"done := make(chan int)\ngo func() {\n\tdefer close(done)\n\tnone[\"a\"] = 1\n}()\n<-done\ntime.Sleep(5*time.Millisecond)", 4},
	} {
		_, err := s.Execute(t.Context(), c.code)
		var ce *CellError
		if !errors.As(err, &ce) || ce.Line != c.line {
			t.Errorf("%s\nis told to panic at line %d: %v", c.code, ce.Line, err)
		}
	}
}
