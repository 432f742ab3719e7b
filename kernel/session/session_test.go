package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/token"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gonvex/gonvex/kernel/display"
)

// fails runs a cell that must fail and returns its error.
func fails(t *testing.T, s *Session, code string) *CellError {
	t.Helper()
	_, err := s.Execute(t.Context(), code)
	var ce *CellError
	if !errors.As(err, &ce) {
		t.Fatalf("%s: no *CellError but %v", code, err)
	}
	return ce
}

func TestErrors(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "values := []float64{1, 2}\ntype Point struct{ Left, Right int }\npt := Point{}\nn := 3\nf := func() (int, error) { return 1, nil }")
	for _, c := range []struct {
		code, kind, msg, advice string
		line, col               int
	}{
		{"x := valeus[0]", KindType, "undefined: valeus", "did you mean values?", 1, 6},
		{"y = 3", KindType, "undefined: y", "define it with y := …", 1, 1},
		{"x := Sqrt(2)", KindType, "undefined: Sqrt", "math.Sqrt", 1, 6},
		{"math.Sqroot(2)", KindType, "undefined: math.Sqroot", "math.Sqrt", 1, 6},
		{"import \"numpy\"", KindType, "not available", "", 1, 8},
		{"import \"gonum/mat\"", KindType, "not available", "gonum.org/v1/gonum/mat", 1, 8},
		{"pt.left", KindType, "pt.left undefined", "", 1, 4},
		{"pt.Lefft", KindType, "pt.Lefft undefined", "did you mean Left?", 1, 4},
		{"n + 0.5*values[0]", KindType, "mismatched types int and float64", "float64(…)", 1, 1},
		{"v := f()", KindType, "assignment mismatch", "v, err :=", 1, 6},
		{"b := True", KindType, "undefined: True", "in Go that is true", 1, 6},
		{"if n == 3 {\n}\nelse {\n}", KindSyntax, "", "} else {", 3, 1},
		{"for {", KindSyntax, "expected '}'", "close it", 1, 5},
		{"/*", KindSyntax, "comment not terminated", "close it with */", 1, 1},
		{"n // \x00", KindSyntax, "illegal character NUL", "", 1, 6},
		{"m := 1\n /* c", KindSyntax, "comment not terminated", "", 2, 2},
		{"func g() {}\n/* c */ /* d", KindSyntax, "comment not terminated", "", 2, 9},
		{"x := 'abc'", KindSyntax, "", "double quotes", 1, 6},
		{"// é\nvalues[n]", KindPanic, "index out of range", "0 to len-1", 2, 8},
		{"var m map[string]int\nm[\"a\"] = 1", KindPanic, "nil map", "make the map", 2, 3},
		{"os.Exit(2)", KindExit, "os.Exit(2)", "return", 1, 1},
		{"%nosuch", KindSyntax, "no magic", "%help", 1, 1},
	} {
		e := fails(t, s, c.code)
		if e.Kind != c.kind || !strings.Contains(e.Msg, c.msg) || !strings.Contains(e.Advice, c.advice) || e.Line != c.line || e.Col != c.col {
			t.Errorf("%q: %+v", c.code, e)
		}
		if e.Name == "" || e.Line > 0 && e.Source == "" {
			t.Errorf("%q: no name or source: %+v", c.code, e)
		}
		if tb := strings.Join(e.Traceback(), "\n"); !strings.Contains(tb, e.Msg) || !strings.Contains(tb, e.Source) {
			t.Errorf("%q: traceback\n%s", c.code, tb)
		}
	}
	tb := fails(t, s, "\ty := \"é\" + nope").Traceback()
	if tb[1] != "     y := \"é\" + nope" || strings.Index(strings.ReplaceAll(tb[2], ansiRed, ""), "^") != strings.Index(strings.ReplaceAll(tb[1], "é", "e"), "nope") {
		t.Errorf("the caret is not under the name:\n%s", strings.Join(tb, "\n"))
	}
}

// A panic points at what can be meant in its statement and says what the cell's
// variables in it hold.
func TestPanicPlaces(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "xs := []float64{1, 2}\nn := 5\nzero := 0\nA := mat.NewDense(3, 4, nil)\nB := mat.NewDense(2, 2, nil)\nvar p *struct{ X int }\nvar m map[string]int\nvar v any = 3\nfunc at(xs []float64, n int) float64 {\n\treturn 1 +\n\t\txs[n]\n}")
	for _, c := range []struct {
		code, values string
		line, col    int
	}{
		{"xs[n]", "xs length 2, n = 5", 1, 4},
		{"1 + 1\ny := 2*xs[n] + 1", "xs length 2, n = 5", 2, 11},
		{"if n > 2 {\n\txs[n]++\n}", "xs length 2, n = 5", 2, 5},
		{"for n := range 5 {\n\txs[n]++\n}", "xs length 2", 2, 5}, // n is the loop's own
		{"var C mat.Dense\nC.Mul(A, B)", "A 3×4, B 2×2", 2, 7},
		{"A.At(n, 0)", "A 3×4, n = 5", 1, 6},
		{"p.X", "p = nil", 1, 1},
		{"fmt.Println(p.X)", "p = nil", 1, 13},
		{"m[\"a\"] = n", "m = nil, n = 5", 1, 3},
		{"v.(string)", "v = 3", 1, 1},
		{"xs[1:n]", "xs length 2, n = 5", 1, 4},
		{"n / zero", "n = 5, zero = 0", 1, 5},
		{"%time xs[n]", "xs length 2, n = 5", 1, 10},
		{"panic(n)", "n = 5", 1, 1},
		{"fmt.Print(1); panic(2)", "", 1, 15},
	} {
		e := fails(t, s, c.code)
		if e.Kind != KindPanic || e.Line != c.line || e.Col != c.col || !strings.HasPrefix(e.Values, c.values) || c.values == "" && e.Values != "" {
			t.Errorf("%q: %d:%d with %q, want %d:%d with %q", c.code, e.Line, e.Col, e.Values, c.line, c.col, c.values)
		}
		if c.values != "" && !strings.Contains(strings.Join(e.Traceback(), "\n"), "with "+c.values) {
			t.Errorf("%q: the values are not shown", c.code)
		}
	}
	if e := fails(t, s, "at(xs, n)"); e.Cell != 1 || e.Line != 11 || e.Col != 6 || e.Values != "" {
		t.Errorf("in a function of an earlier cell: %+v", e)
	}
}

// The calls open at a panic are named, with the cell and line of each.
func TestTrace(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "func inner(xs []int) int {\n\n\treturn xs[3]\n}\nfunc outer() int { return inner(nil) }")
	e := fails(t, s, "1 + 1\nouter()")
	if e.Cell != 1 || e.Line != 3 || !strings.Contains(strings.Join(e.Trace, "\n"), "outer (cell[1]:") {
		t.Errorf("%+v", e)
	}
}

func TestMagics(t *testing.T) {
	var out buffer
	s, err := New(Options{Stdout: &out, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, s, "x := 41\nfunc twice(n int) int { return 2 * n }")
	if text := mustRun(t, s, "%who").Value.Text(); !strings.Contains(text, "func twice(n int) int") || !strings.Contains(text, "var x int") {
		t.Error(text)
	}
	if text := mustRun(t, s, "%help").Value.Text(); !strings.Contains(text, "%who") {
		t.Error(text)
	}
	if text := mustRun(t, s, "%help mat.Dense").Value.Text(); !strings.Contains(text, "Dense") {
		t.Error(text)
	}
	if text := mustRun(t, s, "%time x + 1").Value.Text(); text != "42" || !strings.Contains(out.take(), "allocated") {
		t.Error(text)
	}
	if text := mustRun(t, s, "%time\nx++\ntwice(x)").Value.Text(); text != "84" {
		t.Error(text)
	}
	mustRun(t, s, "%reset")
	if e := fails(t, s, "x"); e.Msg != "undefined: x" {
		t.Error(e)
	}
	if text := mustRun(t, s, "x := 1\nx").Value.Text(); text != "1" {
		t.Error(text)
	}
	if m := s.Complete("%wh", 3); len(m.Matches) != 1 || m.Matches[0].Text != "who" || m.Start != 1 {
		t.Errorf("%+v", m)
	}
}

func TestInput(t *testing.T) {
	s, err := New(Options{Stdout: io.Discard, Stderr: io.Discard, Input: func(prompt string, password bool) (string, error) {
		if password {
			return "", errors.New("no secrets")
		}
		return "you said " + prompt, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if text := mustRun(t, s, `input("hi")`).Value.Text(); text != `"you said hi"` {
		t.Error(text)
	}
	if e := fails(t, s, `password("pw")`); !strings.Contains(e.Msg, "no secrets") {
		t.Error(e)
	}
}

// Values of cells are rendered by their own methods and by package display.
func TestRich(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "type H struct{ n int }\nfunc (h H) HTML() string { return fmt.Sprint(\"<b>\", h.n, \"</b>\") }\nfunc (h *H) Latex() string { return \"x^2\" }")
	b := mustRun(t, s, "H{3}").Value
	if b.Data[display.MIMEHTML] != "<b>3</b>" || b.Text() != "{n:3}" {
		t.Errorf("%+v", b.Data)
	}
	if b := mustRun(t, s, "&H{4}").Value; b.Data[display.MIMEHTML] != "<b>4</b>" || b.Data[display.MIMELatex] != "x^2" {
		t.Errorf("%+v", b.Data)
	}
	if b := mustRun(t, s, "mat.NewDense(2, 2, nil)").Value; b.Data[display.MIMEHTML] == nil {
		t.Errorf("%+v", b.Data)
	}
	if b := mustRun(t, s, "plot.New()").Value; b.Data[display.MIMEPNG] == nil {
		t.Error("a plot is no picture")
	}
	if b := mustRun(t, s, "display.HTML(\"<i>x</i>\")").Value; b.Data[display.MIMEHTML] != "<i>x</i>" {
		t.Errorf("%+v", b.Data)
	}
	if b := mustRun(t, s, "type Row struct{ Name string; Age int }\n[]Row{{\"a\", 1}}").Value; b.Data[display.MIMEHTML] == nil || b.Text() != "[{Name:a Age:1}]" {
		t.Errorf("%+v", b.Data)
	}
}

// A print as a statement has no results for the interpreter, as one that is an
// operand has; both print the same.
func TestPrintsWithoutResults(t *testing.T) {
	for _, call := range []string{
		`fmt.Print("a", v, 1)`, `fmt.Println(v, &v, []V{v})`, `fmt.Printf("%v %T %d|", v, v, 2)`, `fmt.Println(xs...)`, `fmt.Printf("%d %d|", xs...)`,
		`fmt.Fprint(w, "a", v)`, `fmt.Fprintln(w, v, errors.New("e"))`, `fmt.Fprintf(w, "%v %s|", v, v)`, `fmt.Fprintln(os.Stdout, v)`,
	} {
		printed := func(format string) string {
			var out bytes.Buffer
			s, err := New(Options{Stdout: &out, Stderr: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			mustRun(t, s, "type V struct{ n int }\nfunc (v V) String() string { return fmt.Sprint(\"V\", v.n) }\n"+
				"v, w := V{7}, new(bytes.Buffer)\nxs := []any{1, 2}")
			if res := mustRun(t, s, fmt.Sprintf(format, call)); res.Value != nil || len(res.Warnings) > 0 {
				t.Errorf("%s gives %v, warnings %q", call, res.Value, res.Warnings)
			}
			mustRun(t, s, "fmt.Print(w.String())")
			return out.String()
		}
		want := printed("n, err := %s\n_, _ = n, err")
		for _, format := range []string{"%s", "%s;", "if %s; true {}", "func() { %s }()", "for range 1 { %s }"} {
			if got := printed(format); got != want || got == "" {
				t.Errorf(format+" prints %q, want %q", call, got, want)
			}
		}
	}
}

func TestStreams(t *testing.T) {
	// Under `go test -json` package testing makes os.Stderr the same file as os.Stdout.
	defer func(stderr *os.File) { os.Stderr = stderr }(os.Stderr)
	os.Stderr = new(os.File) // never written to: the session's own stream takes its place
	var out, errw buffer
	s, err := New(Options{Stdout: &out, Stderr: &errw})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, s, `fmt.Print("a"); fmt.Fprint(os.Stdout, "b"); p := fmt.Println; p("c"); print("d", 1); println("e"); fmt.Fprintln(os.Stderr, "f")
log.SetFlags(0); log.Print("g"); log.New(os.Stderr, "h ", 0).Println("i"); log.Default().Print("j")`)
	if got := out.take(); got != "abc\n" {
		t.Errorf("stdout %q", got)
	}
	if got := errw.take(); got != "d1e\nf\ng\nh i\nj\n" {
		t.Errorf("stderr %q", got)
	}
}

// A goroutine that panics between cells is reported and does no harm.
func TestStrayPanic(t *testing.T) {
	var errw buffer
	s, err := New(Options{Stdout: io.Discard, Stderr: &errw})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, s, "go func() { time.Sleep(30 * time.Millisecond); panic(\"late\") }()")
	for range 200 {
		if got := errw.take(); got != "" {
			if !strings.Contains(got, "late") || !strings.Contains(got, "cell[1]:1") {
				t.Error(got)
			}
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the panic was not reported")
}

// A cell stuck in a compiled call gives the prompt back, and what was there
// before works on.
// TestOutlives: the context of a cell ends with it, and what its goroutines wait
// for does not.
func TestOutlives(t *testing.T) {
	s := newSession(t)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.Execute(ctx, "woke, go_, chosen := make(chan bool, 1), make(chan int), make(chan int, 1)\ngo func() { time.Sleep(50*time.Millisecond); woke <- true }()\ngo func() { select { case v := <-go_: chosen <- v } }()\ntime.Sleep(10*time.Millisecond)"); err != nil {
		t.Fatal(err)
	}
	cancel()
	mustRun(t, s, "go_ <- 3")
	mustRun(t, s, "fmt.Println(<-woke, <-chosen)")
}

func TestStuck(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "n := 0\ninc := func() int { n++; return n }\ninc()\nvar c = sync.NewCond(&sync.Mutex{})")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Execute(ctx, "c.L.Lock(); c.Wait()")
	var ce *CellError
	if !errors.As(err, &ce) || ce.Kind != KindInterrupted || !strings.Contains(ce.Advice, "background") {
		t.Errorf("%+v", err)
	}
	if text := mustRun(t, s, "inc()").Value.Text(); text != "2" {
		t.Errorf("a closure of before returns %s", text)
	}
}

// Temporaries of cells are freed, and a session keeps of a cell no more than
// what it has left behind, its text, and a little of every type there was.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("runs 3,000 cells")
	}
	s := newSession(t)
	mustRun(t, s, "x := 0")
	var before uint64
	for i := range 3000 {
		if i == 1000 {
			before = heap()
		}
		mustRun(t, s, mixed(i))
		if i%10 == 0 {
			mustRun(t, s, "x += len(make([]byte, 1<<18))")
		}
	}
	if grown := (float64(heap()) - float64(before)) / 2000; grown > 1500 {
		t.Errorf("the heap grew by %.0f bytes a cell", grown)
	}
}

// Two sessions in one process do not meet.
func TestTwoSessions(t *testing.T) {
	var out1, out2 buffer
	s1, err1 := New(Options{Stdout: &out1})
	s2, err2 := New(Options{Stdout: &out2})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	mustRun(t, s1, "x := 1")
	mustRun(t, s2, "x := 2")
	mustRun(t, s1, "fmt.Print(x)")
	mustRun(t, s2, "fmt.Print(x)")
	if a, b := out1.take(), out2.take(); a != "1" || b != "2" {
		t.Error(a, b)
	}
}

// Whatever the text, the parts that it is split into follow each other. To let it
// run: go test ./kernel/session -run XXX -fuzz FuzzSplit -fuzztime 10m -fuzzminimizetime 10x
// (left to itself the fuzzer stands still for a minute at each new text, which it
// then shortens).
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"", "x := 1", "import \"fmt\"\nfunc f() {}\nf()", "func (t T) m() {}", "func() {}()", "a; b;", "for i := 0; i < 3; i++ { }",
		"`raw", "/* c", "}", "x :=", "// c\nfunc f() {}", "é := \"世\"", "\x00", "func f(", "import (\n\"a\"\n)\ntype T struct {\n}\n", "package main\nfunc main() {}", "'", "L: for {}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		src = normalise(src)
		chunks, _ := split(src)
		end := 0
		for _, c := range chunks {
			if c.off < end || c.end < c.off || c.end > len(src) {
				t.Fatalf("chunk %+v after %d in %q", c, end, src)
			}
			end = c.end
		}
		status, _ := IsComplete(src)
		_, err := parseCell(token.NewFileSet(), "cell1", src)
		if status == "complete" && err != nil && !isMagic(src) && strings.TrimSpace(src) != "" {
			t.Fatalf("complete, but %v: %q", err, src)
		}
	})
}

// Ten times the text takes about ten times the work, by the memory it goes
// through: a front end asks for each key whether a cell is complete.
func TestSplitIsLinear(t *testing.T) {
	work := func(src string) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		IsComplete(src)
		parseCell(token.NewFileSet(), "cell1", src)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	for _, piece := range []string{"import;", "import \"a\"\n", "// c\nfunc f() {}\n", "x\n", "L:", "[]", "@\n", "'", "x,"} {
		one, ten := work(strings.Repeat(piece, 3000/len(piece))), work(strings.Repeat(piece, 30000/len(piece)))
		if ten > 30*one {
			t.Errorf("%q: %d bytes, and ten times as long %d", piece, one, ten)
		}
	}
}

// Whatever is completed or inspected, nothing panics.
func TestCompleteAnything(t *testing.T) {
	s := newSession(t)
	pieces := []string{"x", ".", "(", ")", "{", "}", "[", "]", "mat", "fmt.", "func ", "for ", "range ", "\"", "`", "//", "\n", ";", ":=", "1", "é", "type T struct", "switch ", "case ", "%"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		code := b.String()
		cursor := r.IntN(len([]rune(code)) + 1)
		s.Complete(code, cursor)
		s.Inspect(code, cursor, 1)
		IsComplete(code)
	}
}

// Messages name cells by the notebook's numbers, which may repeat.
func TestSetCount(t *testing.T) {
	s := newSession(t)
	s.SetCount(7)
	mustRun(t, s, "func f(xs []int) int { return xs[1] }")
	s.SetCount(12)
	if e := fails(t, s, "1\nf(nil)"); e.Cell != 7 || e.Line != 1 || !strings.Contains(strings.Join(e.Trace, " "), "cell[12]:") {
		t.Errorf("%+v", e)
	}
	s.SetCount(12)
	if e := fails(t, s, "\nnope"); e.Error() != "cell[12]:2:1: undefined: nope" {
		t.Error(e)
	}
	s.SetCount(13)
	if text := mustRun(t, s, "f([]int{1, 2})").Value.Text(); text != "2" {
		t.Error(text)
	}
}

// A heap that grows without end stops the cell and not the process.
func TestHeapLimit(t *testing.T) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s, err := New(Options{Stdout: io.Discard, Stderr: io.Discard, MaxHeap: m.HeapAlloc + 100<<20})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, s, "x := 1")
	e := fails(t, s, "var xs [][]byte\nfor { xs = append(xs, make([]byte, 1<<18)); time.Sleep(time.Millisecond / 4) }")
	if e.Kind != KindLimit || !strings.Contains(e.Advice, "kept") {
		t.Errorf("%+v", e)
	}
	mustRun(t, s, "xs = nil")
	if text := mustRun(t, s, "x").Value.Text(); text != "1" {
		t.Error(text)
	}
}
