package session

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTimeit(t *testing.T) {
	var out buffer
	s, err := New(Options{Stdout: &out, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, s, "import \"time\"\nfunc nap() { time.Sleep(2 * time.Millisecond) }\nruns := 0")
	if r := mustRun(t, s, "%timeit nap()"); r.Value != nil {
		t.Errorf("shows %v", r.Value)
	}
	if text := out.take(); !regexp.MustCompile(`^[\d.]+ m?s a run`).MatchString(text) {
		t.Errorf("a sleep of 2 ms takes %q", text)
	}
	mustRun(t, s, "%timeit runs+1")
	mustRun(t, s, "%timeit\nx := runs\nx++")
	if text := out.take(); strings.Count(text, "a run") != 2 {
		t.Errorf("%q", text)
	}
	e := fails(t, s, "%timeit nosuch(1)")
	if e.Line != 1 || e.Col != 9 {
		t.Errorf("the error is at %d:%d, want 1:9: %v", e.Line, e.Col, e)
	}
	fails(t, s, "%timeit")
	if text := mustRun(t, s, "%who").Value.Text(); strings.Contains(text, "x ") {
		t.Errorf("%%timeit leaves variables: %s", text)
	}
}

func TestLoad(t *testing.T) {
	s := newSession(t)
	file := filepath.Join(t.TempDir(), "a.go")
	if err := os.WriteFile(file, []byte("package main\r\n\r\nfunc loaded() int { return 7 }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := mustRun(t, s, "%load "+file)
	if r.NextInput == nil || !r.Stateless {
		t.Fatalf("%+v", r)
	}
	mustRun(t, s, *r.NextInput) // is a cell that runs
	if v := mustRun(t, s, "loaded()").Value.Text(); v != "7" {
		t.Errorf("loaded() = %s", v)
	}
	for _, code := range []string{"%load", "%load nosuchfile.go", "%load " + filepath.Dir(file)} {
		fails(t, s, code)
	}
}

func TestQuestions(t *testing.T) {
	s := newSession(t)
	for _, code := range []string{"fmt.Println?", "?fmt.Println"} {
		r := mustRun(t, s, code)
		if r.Page == nil || r.Value != nil || !strings.Contains(r.Page.Text(), "func Println") {
			t.Errorf("%s: %+v", code, r)
		}
	}
	fails(t, s, "nosuchthing?")
	if text := mustRun(t, s, "`what?`").Value.Text(); text != `"what?"` {
		t.Errorf("a string with a question mark is %s", text)
	}
}
