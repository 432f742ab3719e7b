package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gonvex/gonvex/kernel/notebook"
)

// TestMain makes this test binary gonvex when it is started with a command, as the supervisor
// starts a worker and a sweep its tasks. So started it must never run the tests, which would
// start it again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main()
	}
	os.Exit(m.Run())
}

// cellsByID reads an executed notebook.
func cellsByID(t *testing.T, path string) map[string]*notebook.Cell {
	t.Helper()
	nb, err := notebook.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string]*notebook.Cell{}
	for _, c := range nb.Cells {
		cells[c.ID] = c
	}
	return cells
}

func TestExec(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "run.ipynb")
	code, stdout, stderr := gonvex(t, "exec", "testdata/showcase.ipynb", "-o", out, "-p", "count=21", "-p", "name=Jupyter", "--print", "result")
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if !strings.HasPrefix(stdout, "count is 42\n") {
		t.Errorf("--print result gave %q", stdout)
	}
	cells := cellsByID(t, out)
	if got := cells["hello"].Outputs[0].Text; got != "hello, Jupyter\n" {
		t.Errorf("hello cell printed %q", got)
	}
	if _, ok := cells["show"].Outputs[0].Data["text/html"]; !ok {
		t.Error("display.Show left no HTML")
	}
	if _, ok := cells["plot"].Outputs[0].Data["image/png"]; !ok {
		t.Error("the plot left no picture")
	}
	if fails := cells["fails"].Outputs; len(fails) != 1 || fails[0].Type != notebook.Error {
		t.Errorf("the cell that may fail has outputs %v, want its error", fails)
	}
	page, err := os.ReadFile(filepath.Join(dir, "run.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<b>bold</b>", "data:image/", "count is 42"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestExecFailingCell(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run.ipynb")
	code, stdout, stderr := gonvex(t, "exec", "testdata/failing.ipynb", "-o", out, "--no-html")
	if code != 1 || stdout != "" {
		t.Errorf("exit %d, stdout %q", code, stdout)
	}
	for _, want := range []string{"undefinedName", "returnValue := undefinedName + y", "^", "cell 2", out} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, stderr)
		}
	}
	if strings.Contains(stderr, "\x1b") {
		t.Error("colours on a stderr that is no terminal")
	}
	cells := cellsByID(t, out)
	if n := len(cells["two"].Outputs); n != 1 || cells["two"].Outputs[0].Type != notebook.Error {
		t.Errorf("the failing cell's error is not in the notebook")
	}
	if cells["three"].ExecutionCount != nil || len(cells["three"].Outputs) != 0 {
		t.Error("the cell after the failing one ran")
	}
	if _, err := os.Stat(strings.TrimSuffix(out, ".ipynb") + ".html"); err == nil {
		t.Error("--no-html wrote a page")
	}
}

// oneCell writes a notebook with one code cell.
func oneCell(t *testing.T, source string) string {
	t.Helper()
	nb := notebook.New()
	nb.Add(notebook.Code, source)
	path := filepath.Join(t.TempDir(), "one.ipynb")
	if err := nb.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExecTimeout(t *testing.T) {
	code, _, stderr := gonvex(t, "exec", oneCell(t, "for {\n}"), "--timeout", "300ms")
	if code != 1 || !strings.Contains(stderr, "--timeout") {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
}

func TestExecInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(500*time.Millisecond, cancel)
	path := oneCell(t, "fmt.Println(\"begun\")\nfor {\n}")
	var stdout, stderr strings.Builder
	if code := run(ctx, []string{"exec", path}, &stdout, &stderr); code != 130 {
		t.Errorf("exit %d, stderr %q", code, stderr.String())
	}
	if _, err := os.Stat(strings.TrimSuffix(path, ".ipynb") + ".executed.ipynb"); err != nil {
		t.Error("the interrupted run left no notebook:", err)
	}
}

// The worker's death is an error of the cell, and says so.
func TestExecWorkerDies(t *testing.T) {
	code, _, stderr := gonvex(t, "exec", oneCell(t, "p, _ := os.FindProcess(os.Getpid())\np.Kill()\nselect {}"))
	if code != 1 || !strings.Contains(stderr, "DeadKernel") {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
}

func TestExecWrongArguments(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.ipynb")
	if err := os.WriteFile(broken, []byte(`{"cells": 3}`), 0o644); err != nil {
		t.Fatal(err)
	}
	expectOneLine(t, "no notebook", "nowhere.ipynb", "exec", filepath.Join(dir, "nowhere.ipynb"))
	expectOneLine(t, "no notebook either", broken, "exec", broken)
	expectOneLine(t, "no folder", "no folder", "exec", "testdata/failing.ipynb", "-o", filepath.Join(dir, "a", "b.ipynb"))
	expectOneLine(t, "unknown parameter", "nosuch", "exec", "testdata/showcase.ipynb", "-o", filepath.Join(dir, "x.ipynb"), "-p", "nosuch=1")
	if code, _, stderr := gonvex(t, "exec", "testdata/showcase.ipynb", "-p", "beta"); code != 2 {
		t.Errorf("parameter without a value: exit %d, %q", code, stderr)
	}
}

func TestExecSite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	code, stdout, stderr := gonvex(t, "exec", "--site", dir, "--title", "Our notebooks", "testdata/showcase.ipynb", "testdata/failing.ipynb")
	if code != 1 || !strings.Contains(stdout, "pages of 2") || !strings.Contains(stderr, "undefinedName") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	index, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Our notebooks", `href="showcase.html"`, `href="failing.html"`, "data:image/"} {
		if !strings.Contains(string(index), want) {
			t.Errorf("the index lacks %q", want)
		}
	}
	if len(cellsByID(t, filepath.Join(dir, "failing.ipynb"))["two"].Outputs) != 1 {
		t.Error("the failing notebook is not in the site with its error")
	}

	// Without running: what is in the notebook is on the page.
	path := oneCell(t, "not Go")
	code, stdout, _ = gonvex(t, "exec", "--site", dir, "--no-run", path)
	if code != 0 || !strings.Contains(stdout, "pages of 1") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if code, _, _ := gonvex(t, "exec", "--no-run", path); code != 2 {
		t.Errorf("--no-run without --site: exit %d", code)
	}
	if code, _, _ := gonvex(t, "exec", path, path); code != 2 {
		t.Errorf("two notebooks without --site: exit %d", code)
	}
	if code, _, _ := gonvex(t, "exec", "--site", dir, path, path); code != 1 {
		t.Errorf("two pages of one name: exit %d", code)
	}
}
