package session

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// The ways in which a cell can end, on the caller's goroutine.
func TestRun(t *testing.T) {
	s, err := New(Options{Stdout: io.Discard, Stderr: io.Discard, Grace: 300 * time.Millisecond, MaxStack: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		text, err string
		well      bool
		on        string
	}
	// run returns what done got, and what Run returned and where, if it did.
	run := func(ctx context.Context, code string) (outcome, chan outcome) {
		t.Helper()
		ended, returned := make(chan outcome, 1), make(chan outcome, 1)
		go func() {
			on := goroutine()
			well := s.Run(ctx, code, func(res *Result, err error, well bool) {
				o := outcome{well: well, on: goroutine()}
				if err != nil {
					o.err = fmt.Sprint(err)
				} else if res.Value != nil {
					o.text = res.Value.Text()
				}
				ended <- o
			})
			returned <- outcome{well: well, on: on}
		}()
		select {
		case o := <-ended:
			return o, returned
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no end", code)
			return outcome{}, nil
		}
	}
	ctx := t.Context()

	for _, c := range []struct {
		code, text, err string
		well            bool
	}{
		{"x := 20", "", "", true},
		{"x + 22", "42", "", true},
		{"y + 1", "", "undefined: y", true},
		{"%who", "var x int", "", true},
		{"var a []int\nx = 1\na[3]", "", "index out of range", false},
		{"x", "1", "", true},
		{"x = 2\nruntime.Goexit()", "", "Goexit", false},
		{"x", "2", "", true},
		{"func f(n int) int { return f(n+1) + 1 }\nf(0)", "", "stack overflow", false},
		{"x + 1", "3", "", true},
	} {
		o, returned := run(ctx, c.code)
		if !strings.Contains(o.text, c.text) || !strings.Contains(o.err, c.err) || (c.err == "") != (o.err == "") || o.well != c.well {
			t.Errorf("%s: %+v", c.code, o)
		}
		if strings.Contains(c.code, "Goexit") { // Run's goroutine is no more
			continue
		}
		r := <-returned
		if r.well != c.well || (r.on == o.on) != c.well {
			t.Errorf("%s: Run returned %v on %s, done was called on %s", c.code, r.well, r.on, o.on)
		}
	}

	stop, cancel := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	if o, returned := run(stop, "for { x++ }"); !strings.Contains(o.err, "interrupted") || o.well || (<-returned).well {
		t.Errorf("interrupted: %+v", o)
	}

	// A compiled call that does not return: others go on while Run hangs.
	run(ctx, "x = 5")
	stop, cancel = context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	o, returned := run(stop, "import \"os/exec\"\nexec.Command(\"sleep\", \"3\").Run()")
	if !strings.Contains(o.err, "interrupted") || o.well {
		t.Errorf("left behind: %+v", o)
	}
	if o, _ := run(ctx, "x"); o.text != "5" {
		t.Errorf("after the one left behind: %+v", o)
	}
	if r := <-returned; r.well {
		t.Error("the goroutine left behind says that it is well")
	}
	if o, _ := run(ctx, "x + 10"); o.text != "15" {
		t.Errorf("after it returned: %+v", o)
	}
}

// A panic in a callback is the cell's to recover if it is on the cell's
// goroutine, whichever that is.
func TestRunKnowsItsGoroutine(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "func safe() (text string) {\n\tdefer func() { text = fmt.Sprint(recover()) }()\n"+
		"\tnew(sync.Once).Do(func() { panic(\"no\") })\n\treturn\n}")
	check := func(res *Result, err error, well bool) {
		t.Helper()
		if err != nil || !well || res.Value.Text() != `"no"` {
			t.Errorf("%v, %v, well %v", res.Value, err, well)
		}
	}
	onceMore := make(chan struct{})
	go func() {
		for range 3 {
			s.Run(t.Context(), "safe()", check)
			res, err := s.Execute(t.Context(), "safe()") // on a goroutine that this one starts
			check(res, err, true)
		}
		s.Run(t.Context(), "safe()", check)
		s.Run(t.Context(), "panic(1)", func(*Result, error, bool) {
			go func() { // as a worker goes on
				defer close(onceMore)
				s.Run(t.Context(), "safe()", check)
			}()
		})
	}()
	<-onceMore
}

// Waking a second processor costs more than a small cell: nothing may begin a
// goroutine for one.
func TestRunStartsNoGoroutine(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "x := 1")
	time.Sleep(300 * time.Millisecond) // for what is read ahead
	started := func() uint64 { return metric("/sched/goroutines-created:goroutines") }
	before := started()
	for range 100 {
		s.Run(t.Context(), "x + 1", func(_ *Result, err error, _ bool) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if n := started() - before; n > 50 { // the pulse and the collector start some
		t.Errorf("%d goroutines for 100 cells", n)
	}
}
