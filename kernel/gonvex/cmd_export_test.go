package main

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gonvex/gonvex/kernel/kerneltest/programs"
	"github.com/gonvex/gonvex/kernel/notebook"
)

// printed is what a notebook's cells printed and showed, as text.
func printed(nb *notebook.Notebook) string {
	var b strings.Builder
	for _, c := range nb.Cells {
		for _, out := range c.Outputs {
			if out.Type == notebook.Stream && out.Name == "stdout" {
				b.WriteString(out.Text)
			} else if plain, ok := out.Data["text/plain"].(string); ok {
				b.WriteString(plain + "\n")
			}
		}
	}
	return b.String()
}

var (
	duration = regexp.MustCompile(`\b\d+(\.\d+)?( ?(ns|µs|ms|s)|m\d+(\.\d+)?s| min \d+ s)\b`)
	// A solver's progress line in a notebook; a program prints none.
	progress = regexp.MustCompile(`(?m)^.* · <time>\n`)
	spaces   = regexp.MustCompile(` +`)
)

// timeless takes out of a text what differs from run to run: durations, the columns that
// are aligned around them, and lines of progress.
func timeless(s string) string {
	s = duration.ReplaceAllString(s, "<time>")
	return spaces.ReplaceAllString(progress.ReplaceAllString(s, ""), " ")
}

// scaleOf makes a notebook that takes a scale small, so that the tests of all take minutes, not
// hours; NOTEBOOK_SCALE=1 runs them at full size.
func scaleOf(t *testing.T, path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(`"scale := 1.0`)) {
		return nil
	}
	return []string{"-p", "scale=" + cmp.Or(os.Getenv("NOTEBOOK_SCALE"), "0.1")}
}

// Every notebook prints as a compiled program what it prints in the kernel.
func TestExportNotebooks(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every notebook")
	}
	paths, err := filepath.Glob("../../notebooks/*.ipynb")
	if err != nil || len(paths) == 0 {
		t.Fatal("no notebooks", err)
	}
	paths = append(paths, "testdata/showcase.ipynb")
	set := programs.New(t)
	numbers := map[string]int{}
	for _, path := range paths {
		code, stdout, stderr := gonvex(t, append([]string{"export", path, "-o", "-"}, scaleOf(t, path)...)...)
		if code != 0 {
			t.Fatal(stderr)
		}
		numbers[path] = set.Add(t, []byte(stdout))
	}
	set.Build(t)
	// A program's sweep looks for gonvex on PATH.
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "gonvex")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run.ipynb")
			if code, _, stderr := gonvex(t, append([]string{"exec", path, "-o", out, "--no-html"}, scaleOf(t, path)...)...); code != 0 {
				t.Fatal(stderr)
			}
			nb, err := notebook.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			text, err := set.Run(t, numbers[path], filepath.Dir(path), 10*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			got, want := strings.Split(timeless(text), "\n"), strings.Split(timeless(printed(nb)), "\n")
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					t.Fatalf("from line %d on the program prints\n%s\nthe notebook\n%s", i+1, strings.Join(got[min(i, len(got)):], "\n"), strings.Join(want[min(i, len(want)):], "\n"))
				}
			}
		})
	}
}

// A folder outside of any module becomes one that builds.
func TestExportFolder(t *testing.T) {
	path := oneCell(t, "x := mat.NewDense(1, 2, []float64{1, 2})\nx")
	dir := filepath.Join(t.TempDir(), "prog")
	expectOneLine(t, "no such parameter", "nosuch", "export", path, "-o", dir+"/", "-p", "nosuch=1")
	code, stdout, stderr := gonvex(t, "export", path, "-o", dir+"/")
	if code != 0 || !strings.Contains(stdout, "go build") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", "prog", ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "prog")).Output()
	if err != nil || string(out) != "1×2 Dense\n1  2\n" {
		t.Errorf("the program prints %q, %v", out, err)
	}
	// The interpreter stays behind.
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	list.Dir = dir
	if deps, err := list.Output(); err != nil || strings.Contains(string(deps), "yaegi") {
		t.Errorf("the program needs yaegi: %v", err)
	}
}

func TestExportNames(t *testing.T) {
	path := oneCell(t, "1 + 1")
	dir := filepath.Dir(path)
	code, stdout, stderr := gonvex(t, "export", path)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "-o "+filepath.Join(dir, "one")+"/") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	expectOneLine(t, "already there", "--force", "export", path)
	if code, _, stderr := gonvex(t, "export", path, "--force"); code != 0 {
		t.Error(stderr)
	}
	for _, name := range []string{"a_test", "b_windows"} { // names with a meaning to Go
		from, to := path, filepath.Join(dir, name+".ipynb")
		if text, err := os.ReadFile(from); err != nil || os.WriteFile(to, text, 0o644) != nil {
			t.Fatal("cannot copy the notebook", err)
		}
		if code, stdout, _ := gonvex(t, "export", to); code != 0 || !strings.Contains(stdout, name+"_program.go") {
			t.Errorf("%s: %s", name, stdout)
		}
	}
}

func TestExportWrong(t *testing.T) {
	dir := t.TempDir()
	broken, python := filepath.Join(dir, "broken.ipynb"), filepath.Join(dir, "python.ipynb")
	if err := os.WriteFile(broken, []byte("not a notebook"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(python, []byte(`{"cells": [], "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}`), 0o644); err != nil {
		t.Fatal(err)
	}
	expectOneLine(t, "no file", "nowhere.ipynb", "export", filepath.Join(dir, "nowhere.ipynb"))
	expectOneLine(t, "no notebook", broken, "export", broken)
	expectOneLine(t, "Python", "python, not Go", "export", python)
	expectOneLine(t, "no folder", "no folder", "export", oneCell(t, "1"), "-o", filepath.Join(dir, "a", "b.go"))
	expectOneLine(t, "a cell that does not compile", "tag the cell raises-exception", "export", oneCell(t, "x := 1\n\ny + x"), "-o", "-")
	code, _, stderr := gonvex(t, "export", "testdata/failing.ipynb", "-o", "-")
	if code != 1 || !strings.Contains(stderr, "cell 2 (In [2]), line") || !strings.Contains(stderr, "undefinedName") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, stdout, stderr := gonvex(t, "export", oneCell(t, "%get example.org/m"), "-o", "-"); code != 0 || !strings.Contains(stderr, "%get is left out") || !strings.Contains(stdout, "// %get example.org/m") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	empty := filepath.Join(dir, "empty.ipynb")
	if err := notebook.New().WriteFile(empty); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := gonvex(t, "export", empty, "-o", "-"); code != 0 || !strings.Contains(stdout, "func main() {\n}") {
		t.Errorf("an empty notebook: exit %d: %s", code, stdout)
	}
}
