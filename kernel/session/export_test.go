package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gonvex/gonvex/kernel/kerneltest/programs"
)

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
	"methods for display/10": "a cell shows the names of a function's parameters",
	"booleans in any, operands of defer and go, v ok into elements/6": "the panic of the interpreter does not say which index",
	"types that contain each other/6":                                 "a cell shows an interface's value of a recursive type by its insides",
}

// The cells of the tables print as a program what they print as cells.
func TestExportTables(t *testing.T) {
	set := programs.New(t)
	type program struct {
		name, want string
		n          int
	}
	var all []program
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
			all = append(all, program{sec.name, notebookText(t, cells), set.Add(t, p.Source)})
		}
	}
	set.Build(t)
	for _, p := range all {
		got, err := set.Run(t, p.n, "", time.Minute)
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if got != p.want {
			t.Errorf("%s: the program prints\n%s\nthe cells\n%s", p.name, firstDifference(got, p.want), firstDifference(p.want, got))
		}
	}
}

// Cells of several tables, mixed, repeated and out of place: most redeclare what others
// have declared, and many fail. EXPORT_SEED gives other mixtures.
func TestExportMixed(t *testing.T) {
	seed, _ := strconv.ParseUint(os.Getenv("EXPORT_SEED"), 10, 64)
	random := rand.New(rand.NewPCG(seed, 1))
	// What waits, asks, prints addresses or ends the program has no place here.
	alone := regexp.MustCompile(`^%|input\(|time\.|<-|select|wg\.|Lock\(|&|Goexit|deep\(`)
	var sections [][]string
	for _, file := range []string{"testdata/cells.txt", "testdata/cells-issues.txt", "testdata/cells-export.txt"} {
		for _, sec := range readTable(t, file) {
			var cells []string
			for i, c := range sec.cells {
				if notExported[fmt.Sprintf("%s/%d", sec.name, i+1)] == "" && c.interrupt == 0 && !alone.MatchString(c.code) {
					cells = append(cells, c.code)
				}
			}
			if len(cells) > 0 && sec.name != "interrupt" {
				sections = append(sections, cells)
			}
		}
	}
	set := programs.New(t)
	version := regexp.MustCompile(`([A-Za-z])_\d+\b`) // of a type, where its name is printed
	type program struct {
		cells []ExportCell
		want  string
		n     int
	}
	var all []program
	for range 15 {
		var cells []ExportCell
		some := [][]string{sections[random.IntN(len(sections))], sections[random.IntN(len(sections))], sections[random.IntN(len(sections))]}
		for len(cells) < 40 {
			k := random.IntN(len(some))
			if len(some[k]) == 0 {
				break
			}
			code := some[k][0]
			if random.IntN(8) > 0 { // else it comes again
				some[k] = some[k][1:]
			}
			if random.IntN(10) == 0 {
				other := sections[random.IntN(len(sections))]
				code = other[random.IntN(len(other))]
			}
			cells = append(cells, ExportCell{Source: code, Number: len(cells) + 1, MayFail: true})
		}
		p, err := Export(cells)
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(strings.Join(p.Notes, "\n"), "from the start") {
			all = append(all, program{cells, notebookText(t, cells), set.Add(t, p.Source)})
		}
	}
	set.Build(t)
	for _, p := range all {
		got, err := set.Run(t, p.n, "", time.Minute)
		got, want := version.ReplaceAllString(got, "$1"), version.ReplaceAllString(p.want, "$1")
		if err != nil || got != want {
			t.Errorf("%v\nthe program prints\n%s\nthe cells\n%s", err, firstDifference(got, want), firstDifference(want, got))
			for _, c := range p.cells {
				t.Logf("[%d] %s", c.Number, c.Source)
			}
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

// What a person reads and edits is the cells' own text.
func TestExportText(t *testing.T) {
	cells := []ExportCell{
		{Source: "# Title\n\nSome *text*.", Comment: true},
		{Source: "%time\n// twice is two times x.\nfunc twice(x float64) float64 { return 2 * x } // quickly\n\nn := 3 // three\nvalues := []float64{1, 2} // of the notebook\nlen(values)"},
		{Source: "sum, err := floats.Sum(values), error(nil)\nif sum > 1 {\n\tpanic(input(\"why? \"))\n}\nsum", MayFail: true},
		{Source: "import \"nosuch\"", MayFail: true},
		{Source: "%who"},
		{Source: "values?"},
		{Source: "%timeit twice(3)"},
		{Source: "rm -rf everything", Comment: true, Note: "Tagged skip-execution:"},
		{Source: "type Text string\nvar greeting Text"},
		{Source: "func hello() { fmt.Println(greeting) }\ngreeting = \"hello\"\nsol, err := convex.Solve(ctx, convex.Problem{}, nil)"},
		{Source: "func (t Text) String() string { return \"<\" + string(t) + \">\" }\nhello()\nsol"},
	}
	for i := range cells {
		cells[i].Number = i + 1
	}
	p, err := Export(cells)
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/export.txt"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, p.Source, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(p.Source) {
		t.Errorf("the program is not that of %s (UPDATE_GOLDEN=1 writes it):\n%s\nwant\n%s", golden, firstDifference(string(p.Source), string(want)), firstDifference(string(want), string(p.Source)))
	}
	notes := strings.Join(p.Notes, "\n")
	for _, want := range []string{"cell 7: %timeit is left out", "cell 11: Text has the method String from the start"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note %q among\n%s", want, notes)
		}
	}
}

// An error names the cell, and the position in it.
func TestExportErrors(t *testing.T) {
	for _, c := range []struct{ code, msg string }{
		{"x := \n", "cell[3]:2:1: expected operand"},
		{"\n\tundefinedName + 1", "cell[3]:2:2: undefined: undefinedName"},
		{"func f( {", "cell[3]:1:9: "},
		{"x\n//line other.go:7\nx", "a position outside of the cell"},
		{"%time for {", "cell[3]:1:11: expected '}'"},
		{"%nosuch", ""},
	} {
		_, err := Export([]ExportCell{{Source: "prose", Comment: true}, {Source: "x := 1", Number: 2}, {Source: c.code, Number: 3}})
		if c.msg == "" {
			if err != nil {
				t.Errorf("%q: %v", c.code, err)
			}
			continue
		}
		var ce *CellError
		if !errors.As(err, &ce) || ce.Cell != 3 {
			t.Errorf("%q: no error of cell 3 but %v", c.code, err)
		} else if !strings.HasPrefix(ce.Error(), c.msg) {
			t.Errorf("%q: %v", c.code, err)
		}
	}
}

// Whatever the cells are, export ends with a program that compiles or an error.
func FuzzExport(f *testing.F) {
	for _, file := range []string{"testdata/cells.txt", "testdata/cells-issues.txt", "testdata/cells-export.txt"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, sec := range strings.Split("\n"+string(text), "\n### ")[1:] {
			_, body, _ := strings.Cut(sec, "\n")
			f.Add(body)
		}
	}
	f.Add("/*")
	f.Fuzz(func(t *testing.T, text string) {
		var cells []ExportCell
		for i, c := range strings.Split(text, "\n---\n") {
			cells = append(cells, ExportCell{Source: c, Number: i + 1, MayFail: true})
		}
		if p, err := Export(cells); err != nil && !strings.Contains(err.Error(), "but not in a compiled program") {
			t.Fatal(err)
		} else if err == nil && len(p.Source) == 0 {
			t.Fatal("no program")
		}
	})
}
