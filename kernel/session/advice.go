package session

import (
	"fmt"
	"go/types"
	"regexp"
	"slices"
	"strings"

	"github.com/gonvex/gonvex/stdlib"
)

// An advisor knows one kind of slip: match finds it in a message, say words
// what to do from what match captured; it may answer "".
type advisor struct {
	match *regexp.Regexp
	say   func(s *Session, w *world, e *CellError, m []string) string
}

// always says the same.
func always(text string) func(*Session, *world, *CellError, []string) string {
	return func(*Session, *world, *CellError, []string) string { return text }
}

// advisors are asked in order; the first answer is taken.
var advisors = []advisor{
	{regexp.MustCompile(`^package "(.+)" is not available`), adviseImport},
	{regexp.MustCompile(`^undefined: (\w+)\.(\w+)$`), adviseMember},
	{regexp.MustCompile(`^undefined: ([\pL_][\pL\pN_]*)$`), adviseName},
	{regexp.MustCompile(`^(\S+) undefined \(type (\S+) has no field or method (\w+)\)`), adviseSelector},
	{regexp.MustCompile(`^no new variables on left side of :=`), always("all of these names were defined earlier in this cell: assign with = instead")},
	{regexp.MustCompile(`^assignment mismatch: (\d+) variables? but (.+) returns? (\d+) values?`), adviseMismatch},
	{regexp.MustCompile(`\(untyped string constant\) as (int|float64|\w*int\w*) value`), always("quotes make a string: drop them, or convert with strconv.Atoi or strconv.ParseFloat")},
	{regexp.MustCompile(`^invalid operation: .*mismatched types (\w+) and (\w+)`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return fmt.Sprintf("Go converts no numbers by itself: write %s(…) around one of them", wider(m[1], m[2]))
	}},
	{regexp.MustCompile(`cannot use .* \((?:variable|value|constant)[^)]* of type (\w+)\) as (\w+) value`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		if numeric(m[1]) && numeric(m[2]) {
			return fmt.Sprintf("convert it: %s(…)", m[2])
		}
		if numeric(m[1]) && m[2] == "string" {
			return "fmt.Sprint(x) makes a string of a number"
		}
		if m[1] == "string" && numeric(m[2]) {
			return "strconv.Atoi or strconv.ParseFloat makes a number of a string"
		}
		return ""
	}},
	{regexp.MustCompile(`does not implement .* \(method (\w+) has pointer receiver\)`), always("pass the address: &x")},
	{regexp.MustCompile(`does not implement .* \(missing method (\w+)\)`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return "declare the method " + m[1] + ", in this or a later cell"
	}},
	{regexp.MustCompile(`^missing return`), always("every way through the function must end in a return (or panic)")},
	{regexp.MustCompile(`cannot assign to (.+) \(neither addressable`), always("only variables, fields, elements and pointers' targets can be assigned to")},
	{regexp.MustCompile(`^expected ';', found ':='|^non-name .* on left side of :=`), always(":= defines names; assign to fields and elements with =")},
	{regexp.MustCompile(`^cannot range over`), always("range goes over slices, arrays, strings, maps, channels, integers and iterator functions")},
	{regexp.MustCompile(`^missing ',' (before newline )?in (composite literal|argument list|parameter list)`), always("a list that ends on a line of its own needs a comma after its last element too")},
	{regexp.MustCompile(`^expected (operand|expression), found '='`), always("comparison is ==")},
	{regexp.MustCompile(`^cannot use \w+ := .* as value|^cannot use assignment`), always("comparison is ==, and := stands only in statements")},
	{regexp.MustCompile(`^expected 1 expression`), always("a cell shows its last expression only: put the others before it in display.Show or fmt.Println")},
	{regexp.MustCompile(`else`), func(_ *Session, _ *world, e *CellError, _ []string) string {
		if e.Kind == KindSyntax && strings.HasPrefix(strings.TrimSpace(e.Source), "else") {
			return "else stands on the line of the closing brace: } else {"
		}
		return ""
	}},
	{regexp.MustCompile(`^string literal not terminated|^rune literal not terminated|^more than one character in rune literal|^illegal rune literal`), always("strings take double quotes, or backquotes over several lines; single quotes are for one character")},
	{regexp.MustCompile(`never closed$`), always("close it, or remove it")},
	{regexp.MustCompile(`assignment to entry in nil map`), always("make the map first: m = make(map[K]V), or m := map[K]V{}")},
	{regexp.MustCompile(`nil pointer dereference`), always("a pointer, map, function or interface that was never set is used here; check for nil")},
	{regexp.MustCompile(`(index|slice bounds) out of range`), always("indices run from 0 to len-1")},
	{regexp.MustCompile(`integer divide by zero`), always("check the divisor, or divide floats: float64(a) / float64(b)")},
	{regexp.MustCompile(`^interface conversion`), always("use the two-value form: x, ok := v.(T)")},
	{regexp.MustCompile(`^stack overflow`), always("a function calls itself without end: check the case in which it stops. All variables are kept")},
	{regexp.MustCompile(`^out of memory`), always("the cell was stopped and all variables are kept: free some with x = nil, or work in parts")},
	{regexp.MustCompile(`all goroutines are asleep|deadlock`), always("something waits for a channel or lock that nobody serves")},
	{regexp.MustCompile(`cannot ask for input`), always("run the notebook in a front end with input, or set the value in the cell")},
	{regexp.MustCompile(`mat: dimension mismatch|blas: |mat: `), always("print the shapes with Dims(); for a product A·B the columns of A must equal the rows of B")},
}

// advise says what to do about an error, "" if it has nothing to add.
func (s *Session) advise(e *CellError, w *world) string {
	for _, a := range advisors {
		if m := a.match.FindStringSubmatch(e.Msg); m != nil {
			if text := a.say(s, w, e, m); text != "" {
				return text
			}
		}
	}
	switch e.Kind {
	case KindInterpreter:
		return "this is valid Go that the interpreter cannot run; try to write it in a simpler way, for instance in a function of its own with named types"
	case KindExit:
		return "a cell cannot end the kernel; use return to end the cell"
	}
	return ""
}

func adviseImport(s *Session, _ *world, _ *CellError, m []string) string {
	path := m[1]
	base := path[strings.LastIndexByte(path, '/')+1:]
	if p, ok := stdlib.Named(base); ok && p != path {
		return fmt.Sprintf("did you mean %q?", p)
	}
	if near := nearest(path, stdlib.Paths()); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "cells can import Go's library, gonum, gonum/plot and Gonvex's own packages; %help lists them"
}

func adviseMember(s *Session, w *world, _ *CellError, m []string) string {
	path := w.imports[m[1]]
	if path == "" {
		path, _ = stdlib.Named(m[1])
	}
	p, err := s.imp.Import(path)
	if err != nil {
		return ""
	}
	var names []string
	for _, n := range p.Scope().Names() {
		if p.Scope().Lookup(n).Exported() {
			names = append(names, n)
		}
	}
	if near := nearest(m[2], names); near != "" {
		return "did you mean " + m[1] + "." + near + "?"
	}
	return "see what there is: type " + m[1] + ". and press Tab"
}

// foreign words of other languages, and what Go calls them.
var foreign = map[string]string{
	"True": "true", "False": "false", "None": "nil", "null": "nil", "NULL": "nil", "nullptr": "nil", "self": "the receiver's name",
	"elif": "else if", "def": "func", "lambda": "func(x T) T { … }", "printf": "fmt.Printf", "str": "fmt.Sprint", "double": "float64", "float": "float64",
	"boolean": "bool", "char": "rune or byte", "long": "int64", "np": "mat (gonum)", "numpy": "mat (gonum)", "plt": "plot (gonum)", "range": "range in a for",
	"while": "for", "try": "if err != nil", "catch": "recover", "throw": "panic", "let": ":=", "exit": "return", "abs": "math.Abs", "sqrt": "math.Sqrt",
	"exp": "math.Exp", "pi": "math.Pi", "sum": "floats.Sum", "sorted": "slices.Sorted", "enumerate": "for i, x := range xs",
}

func adviseName(s *Session, w *world, e *CellError, m []string) string {
	name := m[1]
	if g, ok := foreign[name]; ok {
		return "in Go that is " + g
	}
	if e.Source != "" {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(e.Source), name); ok {
			if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "==") {
				return fmt.Sprintf("define it with %s := …", name)
			}
		}
	}
	var names []string
	for k, d := range w.decls {
		if d.kind != declMethod {
			names = append(names, k)
		}
	}
	for n := range w.imports {
		names = append(names, n)
	}
	names = append(append(names, types.Universe.Names()...), stdlib.Names()...)
	if p := s.packageOf(name); p != "" {
		return "did you mean " + p + "." + name + "?"
	}
	if near := nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	return "run the cell that defines it first"
}

// packageOf finds a package everyone uses that has an exported name.
func (s *Session) packageOf(name string) string {
	for _, n := range append(favourites, "fmt", "math", "strings", "slices", "time", "floats", "stat") {
		path, ok := stdlib.Named(n)
		if !ok {
			continue
		}
		p, err := s.imp.Import(path)
		if err == nil && p.Scope().Lookup(name) != nil && p.Scope().Lookup(name).Exported() {
			return n
		}
	}
	return ""
}

func adviseSelector(s *Session, w *world, e *CellError, m []string) string {
	dot := strings.LastIndexByte(m[1], '.')
	if dot < 0 {
		return ""
	}
	p := s.probe("", 0, m[1][:dot])
	if p == nil || p.info.TypeOf(p.expr) == nil {
		return ""
	}
	var names []string
	for _, o := range membersOf(p.info.TypeOf(p.expr)) {
		names = append(names, o.Name())
	}
	if near := nearest(m[3], names); near != "" {
		return "did you mean " + near + "?"
	}
	if len(names) > 0 && len(names) < 12 {
		slices.Sort(names)
		return "it has " + strings.Join(names, ", ")
	}
	return ""
}

func adviseMismatch(_ *Session, _ *world, _ *CellError, m []string) string {
	if m[1] == "1" && m[3] == "2" {
		return "take both results: v, err := … (or v, _ := … to drop the second)"
	}
	return fmt.Sprintf("name all %s results, with _ for those you do not need", m[3])
}

func numeric(t string) bool {
	return strings.HasPrefix(t, "int") || strings.HasPrefix(t, "uint") || strings.HasPrefix(t, "float") || t == "byte" || t == "rune"
}

// wider is the type to convert to when two numeric types meet.
func wider(a, b string) string {
	if strings.HasPrefix(a, "float") {
		return a
	}
	if strings.HasPrefix(b, "float") {
		return b
	}
	return a
}

// nearest is the name closest to what was written, "" if none is close.
func nearest(name string, names []string) string {
	best, bestAt := "", len(name)/3+1
	if len(name) > 1 {
		bestAt = max(bestAt, 2)
	}
	slices.Sort(names)
	for _, n := range names {
		if n == name || strings.Contains(n, sep) || n == "_" {
			continue
		}
		d := distance(strings.ToLower(name), strings.ToLower(n))
		if d < bestAt {
			best, bestAt = n, d
		}
	}
	return best
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours between two words.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) > 3 || len(y)-len(x) > 3 {
		return 99
	}
	var before, prev []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		before, prev = prev, row
		row = make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(y)]
}
