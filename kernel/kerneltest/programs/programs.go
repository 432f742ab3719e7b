// Package programs compiles many small Go programs at the price of one: each becomes a
// package of one binary, which runs the program whose number it is given. It is for tests
// of programs that are written by a program.
package programs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const module = "github.com/gonvex/gonvex"

// A Set collects programs of package main that use this module.
type Set struct {
	dir     string // where the files are
	root    string // where the compiler sees them: a folder of the module that is not there
	path    string
	overlay map[string]string
	n       int
	binary  string
}

// New returns an empty set, for the test of a package of this module.
func New(t testing.TB) *Set {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	s := &Set{dir: t.TempDir(), root: filepath.Join(here, "testdata", "programs"), overlay: map[string]string{}}
	top := here
	for ; ; top = filepath.Dir(top) {
		if _, err := os.Stat(filepath.Join(top, "go.mod")); err == nil {
			break
		}
		if top == filepath.Dir(top) {
			t.Fatal("programs: the test runs in no module")
		}
	}
	rel, err := filepath.Rel(top, s.root)
	if err != nil {
		t.Fatal(err)
	}
	s.path = path.Join(module, filepath.ToSlash(rel))
	return s
}

func (s *Set) file(t testing.TB, name, text string) {
	t.Helper()
	file := filepath.Join(s.dir, strings.ReplaceAll(name, "/", "_"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.overlay[filepath.Join(s.root, filepath.FromSlash(name))] = file
}

// Add takes a program of one file and returns its number.
func (s *Set) Add(t testing.TB, source []byte) int {
	t.Helper()
	s.n++
	text := strings.Replace("\n"+string(source), "\npackage main", fmt.Sprintf("\npackage p%d", s.n), 1)
	text = strings.Replace(text, "\nfunc main() {", "\nfunc Main() {", 1)
	s.file(t, fmt.Sprintf("p%d/p.go", s.n), text)
	return s.n
}

// Build compiles the programs. It ends the test when one does not compile.
func (s *Set) Build(t testing.TB) {
	t.Helper()
	var imports, cases strings.Builder
	for i := 1; i <= s.n; i++ {
		fmt.Fprintf(&imports, "\t%q\n", fmt.Sprintf("%s/p%d", s.path, i))
		fmt.Fprintf(&cases, "\tcase \"%d\":\n\t\tp%d.Main()\n", i, i)
	}
	s.file(t, "main.go", "package main\n\nimport (\n\t\"os\"\n"+imports.String()+")\n\nfunc main() {\n\tswitch os.Args[1] {\n"+cases.String()+"\t}\n}\n")
	overlay, err := json.Marshal(map[string]any{"Replace": s.overlay})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(s.dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	s.binary = filepath.Join(s.dir, "programs")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, "-o", s.binary, s.path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// Run runs program n for at most limit, in the folder dir, and returns what it prints on
// stdout. Types print as those of package main.
func (s *Set) Run(t testing.TB, n int, dir string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, strconv.Itoa(n))
	var out, errw bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errw
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w: %.2000s", err, errw.String())
	}
	return strings.ReplaceAll(out.String(), fmt.Sprintf("p%d.", n), "main."), err
}
