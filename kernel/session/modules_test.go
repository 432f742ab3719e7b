package session

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// proxy makes a module proxy of files, and Go's caches empty.
type proxy struct{ dir string }

func newProxy(t *testing.T) proxy {
	t.Helper()
	p := proxy{t.TempDir()}
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(p.dir))
	t.Setenv("GONOSUMDB", "*")
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOFLAGS", "-modcacherw") // or the folder could not be removed
	return p
}

// add makes a version of a module, of files by name.
func (p proxy) add(t *testing.T, module, version string, files map[string]string) {
	t.Helper()
	dir := filepath.Join(p.dir, filepath.FromSlash(module), "@v")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	if files["go.mod"] == "" {
		files["go.mod"] = "module " + module + "\n\ngo 1.21\n"
	}
	write("list", version+"\n")
	write(version+".info", fmt.Sprintf("{\"Version\": %q, \"Time\": \"2026-01-02T03:04:05Z\"}", version))
	write(version+".mod", files["go.mod"])
	f, err := os.Create(filepath.Join(dir, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for name, text := range files {
		w, err := z.Create(module + "@" + version + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// shapes is a package with most of what a package can declare.
const shapes = `// Package shapes measures shapes.
package shapes

import (
	"errors"
	"fmt"
	m "math"
	"sort"

	"example.com/units"
)

// Kind is a kind of shape.
type Kind int

const (
	Round Kind = iota
	Square
	hidden
)

func (k Kind) String() string { return [...]string{"round", "square", "hidden"}[k] }

// Base is what all shapes have.
type Base struct {
	// Name is what it is called.
	Name string
	kind Kind
	made int
}

func (b *Base) Kind() Kind     { return b.kind }
func (b *Base) rename(s string) { b.Name = s }

// Circle is round.
type Circle struct {
	Base
	units.Scale
	R float64 ` + "`json:\"radius\"`" + `
}

// NewCircle makes a circle of radius r.
func NewCircle(r float64) *Circle {
	count++
	c := &Circle{Base: Base{kind: Round, made: count}, Scale: units.Metre, R: r}
	c.rename(fmt.Sprint("circle ", count))
	return c
}

// Area is its area.
func (c *Circle) Area() float64 { return m.Pi * c.R * c.R }

type shape interface {
	Area() float64
	rename(string)
}

var _ shape = (*Circle)(nil)

// Largest is the shape of the largest area.
func Largest(list ...*Circle) *Circle {
	sort.Slice(list, func(i, j int) bool { return list[i].Area() > list[j].Area() })
	return list[0]
}

// Rename shows that unexported methods are called through interfaces.
func Rename(c *Circle, s string) { shape(c).rename(s) }

// ErrFlat is for shapes without an area.
var ErrFlat = errors.New("shapes: flat")

// RadiusError tells a radius that is none.
type RadiusError struct{ R float64 }

func (e *RadiusError) Error() string { return fmt.Sprintf("shapes: radius %g", e.R) }

// Check checks a radius.
func Check(r float64) error {
	switch {
	case r == 0:
		return fmt.Errorf("checking: %w", ErrFlat)
	case r < 0:
		return &RadiusError{r}
	}
	return nil
}

// Map applies f to all elements.
func Map[S ~[]E, E, R any](s S, f func(E) R) []R {
	var out []R
	for _, e := range s {
		out = append(out, f(e))
	}
	return out
}

// Pair is generic.
type Pair[A, B any] struct {
	First  A
	Second B
}

func (p Pair[A, B]) Swap() Pair[B, A] { return Pair[B, A]{p.Second, p.First} }

var (
	Unit    = NewCircle(one)
	one     = float64(start)
	start   = begin()
	count   int
	Started bool
)

func begin() int { return 1 }

func init() { Started = Unit != nil }

// Boom panics.
func Boom(xs []int) int { return xs[len(xs)] }
`

func TestGet(t *testing.T) {
	p := newProxy(t)
	p.add(t, "example.com/bad", "v0.1.0", map[string]string{"bad.go": "package bad\n\nfunc F() string { return fmt.Sprint(1) }\n"})
	p.add(t, "example.com/tool", "v0.1.0", map[string]string{"main.go": "package main\n\nfunc main() {}\n"})
	p.add(t, "example.com/units", "v0.2.0", map[string]string{"units.go": "// Package units has scales.\npackage units\n\nimport \"fmt\"\n\n// Scale is a unit.\ntype Scale struct{ Symbol string }\n\nfunc (s Scale) Of(x float64) string { return text(x) + s.Symbol }\n\nvar Metre = Scale{\"m\"}\n\nfunc text(x float64) string { return fmt.Sprintf(\"%.1f\", x) }\n"})
	p.add(t, "example.com/shapes", "v1.0.0", map[string]string{
		"go.mod":    "module example.com/shapes\n\ngo 1.21\n\nrequire example.com/units v0.2.0\n",
		"shapes.go": shapes, "sub/sub.go": "package sub\n\nimport \"example.com/shapes\"\n\nfunc Two() float64 { return 2 * shapes.Unit.R }\n",
		"c/c.go":       "package c\n\nimport \"C\"\n\nfunc F() {}\n",
		"both/c.go":    "//go:build cgo\n\npackage both\n\n// int one() { return 1; }\nimport \"C\"\n\nfunc One() int { return int(C.one()) }\n",
		"both/go.go":   "//go:build !cgo\n\npackage both\n\nfunc One() int { return 1 }\n",
		"asm/asm.go":   "package asm\n\nfunc Add(a, b int) int\n",
		"asm/asm.s":    "TEXT ·Add(SB), 0, $0\n",
		"plain/asm.go": "//go:build !purego\n\npackage plain\n\nfunc Add(a, b int) int\n",
		"plain/asm.s":  "//go:build !purego\n\nTEXT ·Add(SB), 0, $0\n",
		"plain/go.go":  "//go:build purego\n\npackage plain\n\nfunc Add(a, b int) int { return a + b }\n",
		"mem/mem.go":   "package mem\n\nimport \"unsafe\"\n\nvar Size = unsafe.Sizeof(1)\n",
		"files/f.go":   "package files\n\nimport _ \"embed\"\n\n//go:embed f.go\nvar Text string\n",
		"sys/sys.go":   "package sys\n\nimport \"syscall\"\n\nvar E = syscall.EINVAL\n",
		"wrong/w.go":   "package wrong\n\nvar X int = \"x\"\n",
		"panics/p.go":  "package panics\n\nvar X = must()\n\nfunc must() int { panic(\"no luck\") }\n",
	})
	p.add(t, "example.com/shapes", "v1.1.0-pre", map[string]string{"shapes.go": "package shapes\n\nfunc Version() int { return 11 }\n"})
	s := newSession(t)
	if e := fails(t, s, "import \"example.com/shapes\""); !strings.Contains(e.Advice, "%get example.com/shapes") {
		t.Errorf("%+v", e)
	}
	if text := mustRun(t, s, "%get example.com/shapes").Value.Text(); !strings.Contains(text, "import \"example.com/shapes\" // v1.0.0") || !strings.Contains(text, "example.com/shapes/sub") {
		t.Error(text)
	}
	mustRun(t, s, "import (\n\t\"example.com/shapes\"\n\tf \"fmt\"\n)")
	for _, c := range []struct{ code, want string }{
		{"c := shapes.NewCircle(2)\nc.Name", `"circle 2"`},
		{"c.R", "2"},
		{"f.Sprintf(\"%.3f\", c.Area())", `"12.566"`},
		{"c.Kind()", "round"},
		{"f.Sprint(shapes.Square, \" \", c.Kind())", `"square round"`},
		{"c.Base.Name", `"circle 2"`},
		{"func name(c *shapes.Circle) string { return c.Base.Name }\nname(c)", `"circle 2"`},
		{"c.Of(3)", `"3.0m"`}, // promoted from a type of another module
		{"shapes.Circle{Base: shapes.Base{Name: \"mine\"}, R: 3}.Name", `"mine"`},
		{"shapes.Largest(c, shapes.Unit, shapes.NewCircle(5)).R", "5"},
		{"shapes.Rename(c, \"other\")\nc.Name", `"other"`},
		{"shapes.Unit.Name", `"circle 1"`},
		{"shapes.Started", "true"},
		{"errors.Is(shapes.Check(0), shapes.ErrFlat)", "true"},
		{"var re *shapes.RadiusError\nerrors.As(shapes.Check(-2), &re)", "true"},
		{"re.R", "-2"},
		{"shapes.Check(-1).Error()", `"shapes: radius -1"`},
		{"shapes.Map([]int{1, 2}, func(x int) string { return f.Sprint(x * 2) })", "[2 4]"},
		{"shapes.Pair[int, string]{1, \"a\"}.Swap()", "{First:a Second:1}"},
		{"f.Sprintf(\"%T %v\", c, shapes.Pair[int, bool]{1, true})", `"*shapes.Circle {1 true}"`},
		{"shapes := shapes.NewCircle(7)\nshapes.R", "7"}, // a variable of the package's name
		{"import sh \"example.com/shapes\"\nsh.Square", "square"},
		{"type Disc struct{ *sh.Circle }\nDisc{c}.Area() == c.Area()", "true"},
		{"func (d Disc) Area() float64 { return 1 }\nDisc{c}.Area()", "1"},
		{"type area interface{ Area() float64 }\nvar a area = c\na.Area() == c.Area()", "true"},
		{"json.Marshal(sh.Circle{R: 1.5})\nb, _ := json.Marshal(c)\nstrings.Contains(string(b), `\"radius\":2`)", "true"},
	} {
		r := mustRun(t, s, c.code)
		if r.Value == nil || r.Value.Text() != c.want {
			t.Errorf("%s: %v, want %s", c.code, r.Value, c.want)
		}
	}
	for _, c := range []struct{ code, msg string }{
		{"sh.NoSuch", "undefined: sh.NoSuch"},
		{"sh.begin()", "undefined: sh.begin"},
		{"c.made", "has no field or method made"},
		{"c.rename(\"x\")", "has no field or method rename"},
		{"var s string = sh.Square", "shapes.Kind"},
		{"sh.Boom(nil)", "index out of range"},
	} {
		e := fails(t, s, c.code)
		if msg := strings.ReplaceAll(e.Msg, "shapes.NoSuch", "sh.NoSuch"); !strings.Contains(strings.ReplaceAll(msg, "shapes.begin", "sh.begin"), c.msg) || strings.Contains(e.Msg, modSep) {
			t.Errorf("%s: %s", c.code, e.Msg)
		}
		if e.Line != 1 {
			t.Errorf("%s: at line %d", c.code, e.Line)
		}
	}
	if text := mustRun(t, s, "%who").Value.Text(); strings.Contains(text, modSep) || strings.Contains(text, "NewCircle") || !strings.Contains(text, "*shapes.Circle") {
		t.Error(text)
	}
	// Completion and help.
	for _, c := range []struct{ code, want string }{{"sh.NewC|", "NewCircle"}, {"c.Ar|", "Area"}, {"c.Na|", "Name"}, {"import \"example.com/sh|", "example.com/shapes/sub"}, {"sh.Circle{|", "R"}} {
		code, cursor := at(c.code)
		var names []string
		for _, m := range s.Complete(code, cursor).Matches {
			names = append(names, m.Text)
		}
		if text := " " + strings.Join(names, " ") + " "; !strings.Contains(text, " "+c.want+" ") || strings.Contains(text, modSep) || strings.Contains(text, " made ") {
			t.Errorf("%s: %s", c.code, text)
		}
	}
	for _, c := range []struct{ code, want string }{
		{"sh.New|Circle", "NewCircle makes a circle of radius r."}, {"c.Ar|ea", "Area is its area."}, {"sh|.NewCircle", "Package shapes measures shapes."},
		{"c.Nam|e", "Name is what it is called."}, {"sh.Kin|d", "Kind is a kind of shape."},
	} {
		code, cursor := at(c.code)
		if b, ok := s.Inspect(code, cursor, 0); !ok || !strings.Contains(b.Text(), c.want) || strings.Contains(b.Text(), modSep) {
			t.Errorf("%s: %s", c.code, b.Text())
		}
	}
	// What cannot be interpreted is said, and what is wrong.
	for _, c := range []struct{ pkg, msg string }{
		{"c", "cgo"}, {"asm", "assembly"}, {"mem", "unsafe"}, {"files", "go:embed"}, {"sys", "package syscall"}, {"wrong", "cannot use"}, {"panics", "no luck"},
	} {
		if e := fails(t, s, "import \"example.com/shapes/"+c.pkg+"\""); e.Kind != KindModule || !strings.Contains(e.Msg, c.msg) || e.Line != 1 || e.Col != 8 {
			t.Errorf("%s: %+v", c.pkg, e)
		}
	}
	for code, want := range map[string]string{
		"import \"example.com/shapes/sub\"\nsub.Two()":        "2",
		"import \"example.com/shapes/plain\"\nplain.Add(1,2)": "3", // a variant without assembly
		"import \"example.com/shapes/both\"\nboth.One()":      "1", // and one without C
	} {
		if text := mustRun(t, s, code).Value.Text(); text != want {
			t.Errorf("%s: %s", code, text)
		}
	}
	if text := mustRun(t, s, "%get example.com/shapes/both").Value.Text(); !strings.Contains(text, "c.go") {
		t.Errorf("files in C that are left out are not told: %s", text)
	}
	for code, msg := range map[string]string{
		"%get":                           "needs the path",
		"%get nosuch":                    "no such module",
		"%get example.com/nosuch":        "no such module",
		"%get example.com/shapes@v9.9.9": "no such",
		"%get example.com/shapes/mem":    "unsafe",
		"%get example.com/bad":           "undefined: fmt",
		"%get example.com/tool":          "no package",
		"%get example.com/shapes/c":      "cgo",
	} {
		if e := fails(t, s, code); !strings.Contains(e.Msg, msg) {
			t.Errorf("%s: %s", code, e.Msg)
		}
	}
	// All is forgotten but what was brought.
	mustRun(t, s, "%reset")
	fails(t, s, "c")
	if text := mustRun(t, s, "import \"example.com/shapes\"\nshapes.Unit.Name").Value.Text(); text != `"circle 1"` {
		t.Error(text)
	}
	// Another version takes the place of the first.
	if text := mustRun(t, s, "%get example.com/shapes@v1.1.0-pre").Value.Text(); !strings.Contains(text, "v1.1.0-pre") {
		t.Error(text)
	}
	if text := mustRun(t, s, "import \"example.com/shapes\"\nshapes.Version()").Value.Text(); text != "11" {
		t.Error(text)
	}
	fails(t, s, "shapes.NewCircle(1)")

	// Offline, and without Go.
	t.Setenv("GOPROXY", "off")
	if e := fails(t, s, "%get example.com/elsewhere"); !strings.Contains(e.Msg, "the proxy cannot be reached") {
		t.Error(e)
	}
	s = newSession(t)
	if text := mustRun(t, s, "%get example.com/shapes@v1.0.0\n").Value.Text(); !strings.Contains(text, "v1.0.0") {
		t.Errorf("what was downloaded cannot be had offline: %s", text)
	}
}
