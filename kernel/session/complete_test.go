package session

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

func newSession(t testing.TB) *Session {
	t.Helper()
	s, err := New(Options{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// at splits code at the bar that marks the cursor.
func at(code string) (string, int) {
	before, after, _ := strings.Cut(code, "|")
	return before + after, utf8.RuneCountInString(before)
}

func TestComplete(t *testing.T) {
	s := newSession(t)
	for _, c := range []string{
		"type Point struct { X, Y float64; label string }",
		"func (p Point) Norm() float64 { return math.Hypot(p.X, p.Y) }\nfunc (p *Point) Scale(k float64) { p.X *= k }",
		"// area is the area.\nfunc area(p Point) float64 { return p.X * p.Y }\npt := Point{X: 1, Y: 2}\nnames := map[string][]Point{}",
		"a := mat.NewDense(2, 2, nil)\nconst Answer = 42\nimport str \"strings\"",
		"type Pair[K comparable, V any] struct { Key K; Val V }\nfunc (p Pair[K, V]) Swap() Pair[K, V] { return p }\npr := Pair[string, int]{}",
		"é := Point{}",
	} {
		mustRun(t, s, c)
	}
	for _, c := range []struct{ code, want, kind, without string }{
		{"pt.|", "Norm", KindMethod, ""},
		{"pt.|", "label", KindField, ""},
		{"pt.|", "Scale", KindMethod, ""},
		{"pt.S|", "Scale", KindMethod, "Norm"},
		{"é.|", "Norm", KindMethod, ""},
		{"x := pt\nx.|", "Norm", KindMethod, ""},
		{"names[\"a\"][0].|", "X", KindField, ""},
		{"a.Ra|", "RawMatrix", KindMethod, "At"},
		{"a.T().|", "Dims", KindMethod, ""},
		{"fmt.Printl|", "Println", KindFunction, "Printf"},
		{"plot.New().Titl|", "Title", KindField, ""},
		{"mat.NewD|", "NewDense", KindFunction, ""},
		{"rand.|", "IntN", KindFunction, ""},
		{"str.ToU|", "ToUpper", KindFunction, ""},
		{"Ans|", "Answer", KindConstant, ""},
		{"are|", "area", KindFunction, ""},
		{"ctx.|", "Done", KindMethod, ""},
		{"fo|", "for", KindKeyword, ""},
		{"app|", "append", KindFunction, ""},
		{"conv|", "convex", KindPackage, ""},
		{"tabw|", "tabwriter", KindPackage, ""},
		{"func f(n int) int {\n\tvar local float64\n\tfor idx := range n {\n\t\tlo|", "local", KindVariable, ""},
		{"func f(n int) int {\n\tfor idx := range n {\n\t\tid|", "idx", KindVariable, ""},
		{"for _, q := range names[\"a\"] { q.|", "Norm", KindMethod, ""},
		{"for _, q := range names[\"a\"] {\n\tfmt.Println(q.|)\n}", "Norm", KindMethod, ""},
		{"slices.SortFunc(names[\"a\"], func(l, r Point) int { return cmp.Compare(l.|", "X", KindField, ""},
		{"p := Point{X: pt.|", "Y", KindField, ""},
		{"p := Point{X: 1, la|", "label", KindField, ""},
		{"q := Point{|}", "X", KindField, ""},
		{"opt := optimize.Settings{Con|", "Converger", KindField, ""},
		{"if pt.|", "X", KindField, ""},
		{"switch {\ncase pt.|", "X", KindField, ""},
		{"switch 1 {\ncase 1:\n\tpt.|", "X", KindField, ""},
		{"pr.|", "Swap", KindMethod, ""},
		{"pr.Swap().Ke|", "Key", KindField, ""},
		{"import \"enc|", "encoding/json", KindPath, "fmt"},
		{"import (\n\t\"fmt\"\n\t\"enc|", "encoding/json", KindPath, "fmt"},
		{"x := 1; y := func() { pt.|", "X", KindField, ""},
		{"pt.norm|", "Norm", KindMethod, ""},
		{"err := convex.|", "Solve", KindFunction, ""},
		{"sol, err := convex.Solve(ctx, convex.Problem{X: a, |}, nil)", "Beta", KindField, ""},
		{"q := []Point{{|", "X", KindField, ""},
		{"q := map[string]*Point{\n\t\"a\": {X: 1, |", "label", KindField, ""},
		{"convex.Problem{Arch: convex.CNN{|", "Pool", KindField, "Beta"},
		{"%time pt.|", "Norm", KindMethod, ""},
		{"%timeit\npt.N|", "Norm", KindMethod, "X"},
		{"%tim|", "timeit", KindMagicName, ""},
	} {
		code, cursor := at(c.code)
		got := s.Complete(code, cursor)
		i := slices.IndexFunc(got.Matches, func(m Match) bool { return m.Text == c.want })
		if i < 0 {
			var names []string
			for _, m := range got.Matches {
				names = append(names, m.Text)
			}
			t.Errorf("%q: no %s among %.200s", c.code, c.want, strings.Join(names, " "))
			continue
		}
		if got.Matches[i].Kind != c.kind {
			t.Errorf("%q: %s is a %s, want %s", c.code, c.want, got.Matches[i].Kind, c.kind)
		}
		if c.without != "" && slices.ContainsFunc(got.Matches, func(m Match) bool { return m.Text == c.without }) {
			t.Errorf("%q: offers %s", c.code, c.without)
		}
		if got.Start > got.End || got.End != cursor {
			t.Errorf("%q: replaces [%d, %d) at %d", c.code, got.Start, got.End, cursor)
		}
	}
	for _, code := range []string{"", "|", "x.|", "\"abc.|", "// pt.|", "1.|", ")|", "pt..|", "func |", "世界.|"} {
		code, cursor := at(code)
		s.Complete(code, cursor)
		s.Inspect(code, cursor, 0)
		s.Complete(code, cursor+100)
	}
}

// Names of files, where a string or a magic may name one.
func TestCompleteFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"train.csv", "two words.csv", ".hidden", "tab\tname", "folder/inner.npy"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("123"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := newSession(t)
	for _, c := range []struct{ code, want, kind string }{ // want lists all matches
		{"os.Open(\"|\")", "folder/ train.csv two words.csv", "folder file file"},
		{"é := `tr|", "train.csv", "file"},
		{"data.Open(\"folder/|\")", "folder/inner.npy", "file"},
		{"x(\"./FO|", "./folder/", "folder"},
		{"x(\".h|", ".hidden", "file"},
		{"x(\"nosuch/|", "", ""},
		{"x('t|", "", ""},
		{"%load tw|", "two words.csv", "file"},
		{"%time os.Open(\"two w|", "two words.csv", "file"},
	} {
		code, cursor := at(c.code)
		got := s.Complete(code, cursor)
		var names, kinds []string
		for _, m := range got.Matches {
			names, kinds = append(names, m.Text), append(kinds, m.Kind)
		}
		if strings.Join(names, " ") != c.want || strings.Join(kinds, " ") != c.kind {
			t.Errorf("%q: %q %q", c.code, names, kinds)
		}
		if len(names) > 0 && !strings.EqualFold(string([]rune(code)[got.Start:got.End]), names[0][:got.End-got.Start]) {
			t.Errorf("%q: replaces [%d, %d)", c.code, got.Start, got.End)
		}
	}
	dir := t.TempDir()
	if m := s.Complete("\""+dir+"/", len(dir)+2).Matches; len(m) != 0 {
		t.Errorf("an empty folder has %v", m)
	}
}

func TestInspect(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "// double doubles.\n// Twice.\nfunc double(x int) int { return 2 * x }\ntype T struct{ A int }\n// Get gets.\nfunc (t T) Get() int { return t.A }\nv := T{1}")
	for _, c := range []struct {
		code   string
		detail int
		want   []string
	}{
		{"fmt.Print|f(\"\")", 0, []string{"func Printf(format string, a ...any)", "formats according to a format"}},
		{"fmt.Printf(|", 0, []string{"func Printf"}},
		{"dou|ble(3)", 0, []string{"func double(x int) int", "double doubles.", "declared in cell 1"}},
		{"double(3|)", 0, []string{"func double"}},
		{"double|", 1, []string{"return 2 * x"}},
		{"v.G|et()", 0, []string{"Get() int", "Get gets."}},
		{"v|", 0, []string{"var v T"}},
		{"T|", 0, []string{"type T struct"}},
		{"mat|.NewDense", 0, []string{"package mat", "gonum.org/v1/gonum/mat"}},
		{"a := mat.NewDense(1, 1, nil)\na.Mu|l(a, a)", 0, []string{"Mul", "matrix product"}},
		{"var w io.Wri|ter", 0, []string{"Writer", "Write"}},
		{"len|", 0, []string{"func len", "length"}},
		{"http.Get|", 0, []string{"func Get(url string)"}},
	} {
		code, cursor := at(c.code)
		b, ok := s.Inspect(code, cursor, c.detail)
		if !ok {
			t.Errorf("%q: nothing known", c.code)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(b.Text(), w) {
				t.Errorf("%q: no %q in\n%.400s", c.code, w, b.Text())
			}
		}
	}
	mustRun(t, s, "// Point is a place.\ntype Point struct {\n\t// X goes right.\n\tX float64\n\tY float64 // up\n}\n// Norm is the length.\nfunc (p Point) Norm() float64 { return 0 }\nA := mat.NewDense(3, 4, nil)\n// The rate of\n// learning.\nrate := 0.5\n\nxs := []float64{1, 2} // two numbers\n// Most is the most.\nconst Most = 7")
	mustRun(t, s, "m := map[string]int{\"a\": 1}\nrows := [][]int{{1, 2, 3}, {4, 5, 6}}\nvar none *mat.Dense\nvar when error\npt := Point{}\nname := \"iris\"")
	mustRun(t, s, "p := convex.Problem{X: A, Y: mat.NewDense(3, 1, nil), Loss: convex.Logistic, Beta: 0.1}\nsol := &convex.Solution{Status: convex.Optimal, Primal: 2, Lower: 1}")
	for code, want := range map[string][]string{
		"A|":             {"var A *mat.Dense 3×4"},
		"rate|":          {"var rate float64 = 0.5", "The rate of learning."},
		"xs|":            {"var xs []float64 length 2", "two numbers"},
		"m|":             {"length 1"},
		"rows|":          {"var rows [][]int 2×3"},
		"none|":          {"= nil"},
		"when|":          {"var when error = nil"},
		"name|":          {"= \"iris\""},
		"p|":             {"X 3×4", "Y 3×1", "logistic", "beta 0.1"},
		"sol|":           {"optimal", "objective 2", "lower bound 1"},
		"Most|":          {"const Most = 7", "Most is the most."},
		"Point|":         {"Point is a place.", "Norm() float64"},
		"pt.X|":          {"field X float64", "X goes right."},
		"pt.Y|":          {"field Y float64", "up"},
		"Point{X|: 1}":   {"X goes right."},
		"%time pt.No|rm": {"Norm is the length."},
	} {
		code, cursor := at(code)
		b, ok := s.Inspect(code, cursor, 0)
		for _, w := range want {
			if !ok || !strings.Contains(b.Text(), w) {
				t.Errorf("%q: no %q in\n%s", code, w, b.Text())
			}
		}
	}
	if _, ok := s.Inspect("nothing", 3, 0); ok {
		t.Error("an undefined name is known")
	}
}

// Completion must answer while a cell runs.
func TestCompleteDuringExecute(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "type T struct{ Field int }\nv := T{}")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Execute(ctx, "for { time.Sleep(time.Millisecond); v.Field++ }") })
	time.Sleep(20 * time.Millisecond)
	for range 20 {
		for _, code := range []string{"v.", "mat.NewDense(1, 1, nil).", "plot."} {
			if m := s.Complete(code, len(code)).Matches; len(m) == 0 {
				t.Errorf("no completion of %s during a cell", code)
			}
		}
		if _, ok := s.Inspect("v.Field", 4, 0); !ok {
			t.Error("no inspection during a cell")
		}
	}
	cancel()
	wg.Wait()
	wg.Go(func() { // and while cells come and go
		for range 50 {
			mustRun(t, s, "type T struct{ Field int; Other string }\nw := T{}\nimport \"bufio\"")
			mustRun(t, s, "type T struct{ Field int }\nw := T{}")
		}
	})
	for range 100 {
		s.Complete("w.", 2)
		s.Complete("bufio.", 6)
	}
	wg.Wait()
}

func TestIsComplete(t *testing.T) {
	for _, c := range []struct{ code, status, indent string }{
		{"", "complete", ""},
		{"x := 1", "complete", ""},
		{"x := 1;", "complete", ""},
		{"for i := range 3 {", "incomplete", "\t"},
		{"func f() {\n\tif x {", "incomplete", "\t\t"},
		{"f(1,", "incomplete", "\t"},
		{"x +", "incomplete", ""},
		{"x = ", "incomplete", ""},
		{"func", "incomplete", ""},
		{"a.", "incomplete", ""},
		{"s := `abc", "incomplete", ""},
		{"/* note", "incomplete", ""},
		{"s := \"abc", "invalid", ""},
		{"}", "invalid", ""},
		{"x := := 1", "invalid", ""},
		{"if x {\n} else", "incomplete", ""},
		{"import \"fmt\"\nfmt.Println()", "complete", ""},
		{"i++", "complete", ""},
		{"%who", "complete", ""},
		{"func f() int {\n\treturn 1\n}", "complete", ""},
	} {
		if status, indent := IsComplete(c.code); status != c.status || indent != c.indent {
			t.Errorf("%q: %s %q, want %s %q", c.code, status, indent, c.status, c.indent)
		}
	}
}
