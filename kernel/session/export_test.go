package session

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// builder compiles many programs into one binary: each becomes a package, and
// the binary runs the one whose number it is given.
type builder struct {
	dir     string
	overlay map[string]string
	n       int
}

const builtIn = "testdata/exported" // there only for the compiler, by -overlay

func newBuilder(t *testing.T) *builder {
	return &builder{dir: t.TempDir(), overlay: map[string]string{}}
}

func (b *builder) file(t *testing.T, name, text string) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	real := filepath.Join(b.dir, strings.ReplaceAll(name, "/", "_"))
	if err := os.WriteFile(real, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b.overlay[filepath.Join(here, builtIn, name)] = real
}

// add takes a program and returns its number.
func (b *builder) add(t *testing.T, program []byte) int {
	t.Helper()
	b.n++
	text := strings.Replace(string(program), "package main", fmt.Sprintf("package p%d", b.n), 1)
	text = strings.Replace(text, "\nfunc main() {", "\nfunc Main() {", 1)
	b.file(t, fmt.Sprintf("p%d/p.go", b.n), text)
	return b.n
}

// build returns a function that runs a program and returns what it prints.
func (b *builder) build(t *testing.T) func(n int) (string, error) {
	t.Helper()
	var imports, cases strings.Builder
	for i := 1; i <= b.n; i++ {
		fmt.Fprintf(&imports, "import %q\n", fmt.Sprintf("github.com/gonvex/gonvex/kernel/session/%s/p%d", builtIn, i))
		fmt.Fprintf(&cases, "case \"%d\": p%d.Main()\n", i, i)
	}
	b.file(t, "main.go", "package main\n"+imports.String()+"import \"os\"\nfunc main() {\nswitch os.Args[1] {\n"+cases.String()+"}\n}\n")
	overlay, err := json.Marshal(map[string]any{"Replace": b.overlay})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(b.dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(b.dir, "programs")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, "-o", bin, "./"+builtIn)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return func(n int) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, bin, itoa(n))
		var out, errw bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errw
		err := cmd.Run()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, errw.String())
		}
		return strings.ReplaceAll(out.String(), fmt.Sprintf("p%d.", n), "main."), err
	}
}

// notebookText is what the cells print and show in a session.
func notebookText(t *testing.T, cells []ExportCell) string {
	t.Helper()
	var out buffer
	s, err := New(Options{Stdout: &out, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range cells {
		if c.Comment {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		res, err := s.Execute(ctx, c.Source)
		cancel()
		b.WriteString(out.take())
		if err != nil && !c.MayFail {
			t.Fatalf("%s: %v", c.Source, err)
		}
		if res.Value != nil {
			b.WriteString(res.Value.Text() + "\n")
		}
	}
	return b.String()
}

// notExported are cells of the tables, by section and number, that the
// programs leave out, with the reason.
var notExported = map[string]string{
	// These end a program, and only a cell in the kernel.
	"goroutines/7":  "a panic in a goroutine",
	"errors/25":     "os.Exit",
	"errors/26":     "log.Fatal",
	"errors/27":     "runtime.Goexit on the main goroutine",
	"interrupt/10":  "infinite recursion",
	"gonum/19":      "a panic in a goroutine of a library",
	"after reset/2": "the answer of %reset",
	// Here the program is right and the interpreter prints something else.
	"iface/44":               "the test's session does not see what a library writes to os.Stdout",
	"value errors/9":         "%#v of an anonymous struct lacks spaces in a cell",
	"methods for display/10": "a cell shows the names of a function's parameters",
	"booleans in any, operands of defer and go, v ok into elements/6": "the panic of the interpreter does not say which index",
	"types that contain each other/6":                                 "a cell shows an interface's value of a recursive type by its insides",
}

// The cells of the tables print as a program what they print as cells.
func TestExportTables(t *testing.T) {
	b := newBuilder(t)
	type program struct {
		name, source, want string
		n                  int
	}
	var programs []program
	for _, file := range []string{"testdata/cells.txt", "testdata/cells-issues.txt", "testdata/cells-export.txt"} {
		for _, sec := range readTable(t, file) {
			var cells []ExportCell
			for i, c := range sec.cells {
				e := ExportCell{Source: c.code, Number: i + 1}
				_, e.MayFail = c.want["err"]
				if why := notExported[fmt.Sprintf("%s/%d", sec.name, i+1)]; why != "" {
					e.Comment, e.Note = true, why
				}
				if c.interrupt > 0 {
					e.Comment = true
				}
				cells = append(cells, e)
			}
			p, err := Export(cells)
			if err != nil {
				t.Errorf("%s: %v", sec.name, err)
				continue
			}
			programs = append(programs, program{sec.name, string(p.Source), notebookText(t, cells), b.add(t, p.Source)})
		}
	}
	run := b.build(t)
	for _, p := range programs {
		got, err := run(p.n)
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if got != p.want {
			t.Errorf("%s: the program prints\n%s\nthe cells\n%s", p.name, firstDifference(got, p.want), firstDifference(p.want, got))
		}
		if dir := os.Getenv("EXPORT_KEEP"); dir != "" {
			os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%d.go", p.n)), []byte("// "+p.name+"\n"+p.source), 0o644)
		}
	}
}

// firstDifference is the line at which a text first differs from another.
func firstDifference(a, b string) string {
	al, bl := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range al {
		if i >= len(bl) || al[i] != bl[i] {
			return fmt.Sprintf("\tline %d: %s", i+1, strings.Join(al[i:min(i+3, len(al))], "\n\t"))
		}
	}
	return "\t(the end)"
}
