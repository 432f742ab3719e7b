package worker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cellsOf runs cells, numbered from 1, and returns the last reply and output.
func cellsOf(t *testing.T, s *Supervisor, first int, codes ...string) (r Reply, out string) {
	t.Helper()
	for i, code := range codes {
		rec := &record{}
		r = s.Execute(t.Context(), ExecuteRequest{Code: code, Count: first + i}, rec)
		out = rec.String()
	}
	return r, out
}

func TestRestore(t *testing.T) {
	s := start(t, Options{})
	if r, out := cellsOf(t, s, 1, "add a\nout hello\nshow x", "fail this", "pure", "add b", "%restore"); r.Status != OK || !strings.Contains(out, "nothing is lost") {
		t.Errorf("with nothing lost: %+v %q", r, out)
	}
	r, _ := cellsOf(t, s, 6, "kill")
	if all := strings.Join(r.Traceback, "\n"); !r.Died || !strings.Contains(all, "%restore runs the 2 cells") {
		t.Errorf("the death does not offer it: %s", all)
	}
	r, out := cellsOf(t, s, 7, "%restore")
	for _, want := range []string{"[1] add a …", "    hello (1 output)\n", "[4] add b", "restored: 2 cells"} {
		if !strings.Contains(out, want) {
			t.Errorf("restore says %q, want %q in it", out, want)
		}
	}
	if strings.Contains(out, "<x>") || strings.Contains(out, "fail") || r.Status != OK {
		t.Errorf("%+v %q", r, out)
	}
	if r, _ := cellsOf(t, s, 8, "get"); text(r) != "ab" {
		t.Errorf("restored x is %q, want ab", text(r))
	}
	// Later cells, further deaths, and cells run between death and restore: the
	// order is that in which they succeeded first.
	cellsOf(t, s, 9, "add c", "kill", "add d", "add e", "kill", "add f", "%restore")
	if r, _ := cellsOf(t, s, 16, "get"); text(r) != "abcdef" {
		t.Errorf("after several deaths x is %q, want abcdef", text(r))
	}
	cellsOf(t, s, 17, "forget", "add g", "kill", "%restore")
	if r, _ := cellsOf(t, s, 21, "get"); text(r) != "g" {
		t.Errorf("after %%reset x is %q, want g", text(r))
	}
}

func TestRestoreStopsAtTheCellThatFails(t *testing.T) {
	s := start(t, Options{})
	bomb := filepath.Join(t.TempDir(), "bomb")
	cellsOf(t, s, 1, "add a", "killif "+bomb+"\nadd b", "add c", "kill")
	if err := os.WriteFile(bomb, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, out := cellsOf(t, s, 5, "%restore")
	if all := strings.Join(r.Traceback, "\n"); !r.Died || !strings.Contains(all, "stopped at [2]") || !strings.Contains(all, "%restore runs the 2 cells") || !strings.Contains(out, "[1]") || strings.Contains(out, "[3]") {
		t.Errorf("%s\n%s", all, out)
	}
	cellsOf(t, s, 6, "%restore")
	if r, _ := cellsOf(t, s, 7, "get"); text(r) != "ac" {
		t.Errorf("x is %q, want ac", text(r))
	}
}

func TestRestoreIsInterruptible(t *testing.T) {
	s := start(t, Options{})
	flag := filepath.Join(t.TempDir(), "flag")
	cellsOf(t, s, 1, "add a", "spinif "+flag, "add b", "kill")
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rec := &record{}
	go func() {
		for !strings.Contains(rec.String(), "[1]") {
			time.Sleep(time.Millisecond)
		}
		s.Interrupt()
	}()
	r := s.Execute(ctx, ExecuteRequest{Code: "%restore", Count: 5}, rec)
	if r.Ename != "Interrupted" || r.Died {
		t.Errorf("%+v", r)
	}
	os.Remove(flag)
	cellsOf(t, s, 6, "%restore")
	if r, _ := cellsOf(t, s, 7, "get"); text(r) != "ab" {
		t.Errorf("x is %q, want ab", text(r))
	}
}
