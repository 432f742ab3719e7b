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
