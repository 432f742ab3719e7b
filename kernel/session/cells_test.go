package session

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// buffer collects output from several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	b.b.Reset()
	return s
}

// cell is one cell of a table file with what is expected of it.
type cell struct {
	code      string
	want      map[string]string // "=>", "out", "err", "warn", "none"
	interrupt time.Duration
}

// table is the format of the files in testdata: "### name" starts a session,
// "---" separates cells, and in a cell
//
//	//=> text      is what is shown           //none         nothing is shown
//	//out: text    is on stdout (\n escaped)  //err: text    is part of the error
//	//warn: text   is part of a warning       //interrupt d  ends the context after d
type section struct {
	name  string
	cells []cell
}

func readTable(t *testing.T, file string) []section {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []section
	for _, sec := range strings.Split("\n"+string(b), "\n### ")[1:] {
		name, body, _ := strings.Cut(sec, "\n")
		s := section{name: strings.TrimSpace(name)}
		for _, text := range strings.Split(body, "\n---\n") {
			c := cell{want: map[string]string{}}
			var code []string
			for _, l := range strings.Split(text, "\n") {
				trimmed := strings.TrimSpace(l)
				mark, arg, _ := strings.Cut(trimmed, " ")
				switch mark {
				case "//=>":
					c.want["=>"] = arg
				case "//none":
					c.want["none"] = ""
				case "//out:":
					c.want["out"] = strings.ReplaceAll(arg, `\n`, "\n")
				case "//err:":
					c.want["err"] = arg
				case "//warn:":
					c.want["warn"] = arg
				case "//interrupt":
					c.interrupt, err = time.ParseDuration(arg)
					if err != nil {
						t.Fatal(err)
					}
				default:
					code = append(code, l)
				}
			}
			c.code = strings.Join(code, "\n")
			s.cells = append(s.cells, c)
		}
		out = append(out, s)
	}
	return out
}

// knownFailures are cells that the session cannot run right yet, by section
// and number, with the reason.
var knownFailures = map[string]string{}

func TestCells(t *testing.T) {
	for _, file := range []string{"testdata/cells.txt", "testdata/cells-issues.txt", "testdata/cells-export.txt"} {
		for _, sec := range readTable(t, file) {
			t.Run(sec.name, func(t *testing.T) { runSection(t, sec) })
		}
	}
}

func runSection(t *testing.T, sec section) {
	var out, errw buffer
	s, err := New(Options{Stdout: &out, Stderr: &errw})
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("SESSION_DEBUG") != "" {
		s.debug = os.Stderr
	}
	for i, c := range sec.cells {
		limit := time.Minute
		if c.interrupt > 0 {
			limit = c.interrupt
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		start := time.Now()
		res, err := s.Execute(ctx, c.code)
		took := time.Since(start)
		cancel()
		problems := c.problems(res, err, out.take())
		id := sec.name + "/" + itoa(i+1)
		reason, known := knownFailures[id]
		switch {
		case len(problems) > 0 && known:
			t.Logf("known failure %s: %s", id, reason)
		case len(problems) > 0:
			t.Errorf("%s: %s\n\t%s", id, strings.ReplaceAll(c.code, "\n", " ⏎ "), strings.Join(problems, "\n\t"))
		case known:
			t.Errorf("%s passes now: take it off the list", id)
		}
		if c.interrupt > 0 && took > c.interrupt+5*time.Second {
			t.Errorf("%s: took %v to stop", id, took)
		}
	}
}

func (c cell) problems(res *Result, err error, out string) []string {
	var ps []string
	bad := func(what, want, got string) { ps = append(ps, what+": want "+want+", got "+got) }
	var ce *CellError
	msg := ""
	if err != nil {
		if !errors.As(err, &ce) {
			ps = append(ps, "the error is no *CellError")
		}
		msg = err.Error()
	}
	if want, ok := c.want["err"]; ok {
		if err == nil || !strings.Contains(msg, want) {
			bad("error", want, msg)
		}
	} else if err != nil {
		bad("error", "none", msg)
	}
	shown, text := res.Value != nil, ""
	if shown {
		text = res.Value.Text()
	}
	if want, ok := c.want["=>"]; ok && text != want {
		bad("shown", want, text)
	}
	if _, ok := c.want["none"]; ok && shown {
		bad("shown", "nothing", text)
	}
	if want, ok := c.want["out"]; ok && strings.TrimRight(out, "\n ") != strings.TrimRight(want, "\n ") {
		bad("output", want, out)
	}
	if want, ok := c.want["warn"]; ok && !strings.Contains(strings.Join(res.Warnings, "\n"), want) {
		bad("warning", want, strings.Join(res.Warnings, "; "))
	}
	return ps
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}
