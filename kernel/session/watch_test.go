package session

import (
	"strings"
	"testing"
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
