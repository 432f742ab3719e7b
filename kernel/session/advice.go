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
	{regexp.MustCompile(`^undefined: (\w+)\.(\w+)(?: \(but have \w+\))?$|^name (\w+) not exported by package (\w+)$`), adviseMember},
	{regexp.MustCompile(`^undefined: ([\pL_][\pL\pN_]*)$`), adviseName},
	{regexp.MustCompile(`^(.+) undefined \(type (\S+) (?:has no field or method|is pointer to interface, not interface|has no method) ?(\w*)`), adviseSelector},
	{regexp.MustCompile(`^unknown field (\w+) in struct literal of type ([^\s,]+)(?:, but does have (?:field )?(\w+))?$`), adviseField},

	// matrices and slices
	{regexp.MustCompile(`\[\]\[\]float64\) as \*?mat\.\w+ value|type \[\]\[\]float64\) as \*?mat\.`), always("a matrix is not a slice of rows: mat.NewDense(len(rows), len(rows[0]), slices.Concat(rows...)) makes one of them")},
	{regexp.MustCompile(`\[\]float64\) as mat\.(?:Vector|\*mat\.VecDense) value`), always("make a vector of it: mat.NewVecDense(len(x), x)")},
	{regexp.MustCompile(`cannot use (.+) \(\w+ of type \[\]float64\) as \*?mat\.\w+ value`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return fmt.Sprintf("make a column of it: mat.NewDense(len(%[1]s), 1, %[1]s); mat.NewDense(r, c, %[1]s) takes it row by row", shortName(m[1]))
	}},
	{regexp.MustCompile(`type \[\]\[\]float64\) as \[\]float64 value`), always("the numbers go row by row in one slice: slices.Concat(rows...)")},
	{regexp.MustCompile(`operator [-+*/] not defined on .*\*?mat\.\w+\)|operation: .*[-+*/].*mismatched types (?:\*?mat\.\w+ and|.+ and \*?mat\.)`), always("matrices have methods in place of operators: var c mat.Dense, then c.Mul(a, b), c.Add(a, b), c.MulElem(a, b) or c.Scale(2, a)")},
	{regexp.MustCompile(`^(?:invalid operation: )?cannot index (.+) \(.*\*?mat\.\w+\)`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return fmt.Sprintf("elements are read with %[1]s.At(i, j) and set with %[1]s.Set(i, j, v)", m[1])
	}},
	{regexp.MustCompile(`invalid argument: (.+) \(.*\*?mat\.\w+\) for built-in len`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return fmt.Sprintf("r, c := %s.Dims() tells rows and columns", m[1])
	}},
	{regexp.MustCompile(`operation: .*(?:mismatched types .*\[\]|operator [-+*/%] not defined on .*\[\])`), always("there is no arithmetic on slices: loop over them, or use package floats: floats.Add, floats.Scale, floats.AddConst")},
	{regexp.MustCompile(`\((slice|map|func) can only be compared to nil\)`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return map[string]string{"slice": "compare the elements: slices.Equal(a, b)", "map": "compare the entries: maps.Equal(a, b)"}[m[1]]
	}},
	{regexp.MustCompile(`^invalid append: argument must be a slice`), always("append takes a slice and returns the longer one: xs = append(xs, v)")},

	// numbers and text
	{regexp.MustCompile(`cannot use "(\w+)" \((?:untyped string constant|constant of type string)\) as (\w+)\.\w+ value`), adviseQuoted},
	{regexp.MustCompile(`\(untyped string constant.*\) as (int|float64|\w*int\w*) value`), always("quotes make a string: drop them, or convert with strconv.Atoi or strconv.ParseFloat")},
	{regexp.MustCompile(`^invalid operation: .*mismatched types (?:time\.Duration and \w+|\w+ and time\.Duration)`), always("make a duration of the number: time.Duration(n) * time.Second")},
	{regexp.MustCompile(`^invalid operation: .*mismatched types (.*)string and |^invalid operation: .*mismatched types .* and (untyped )?string`), always("text and numbers do not add: fmt.Sprint(a, b), or fmt.Sprintf(\"%v: %v\", a, b)")},
	{regexp.MustCompile(`^invalid operation: .*mismatched types (\w+) and (\w+)`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return fmt.Sprintf("Go converts no numbers by itself: write %s(…) around one of them", wider(m[1], m[2]))
	}},
	{regexp.MustCompile(`cannot use (.+) \((?:variable|value|constant)[^)]* of type (\w+)\) as (\w+) value`), adviseConversion},
	{regexp.MustCompile(`(\S+) \((?:untyped float )?constant.*\) truncated to \w*int|\(untyped float constant\) truncated to \w*int`), always("an int holds whole numbers only: compute with float64(n), or round: int(math.Round(x))")},
	{regexp.MustCompile(`index (.+) \(.* of type (?:float\d\d)\) must be integer`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return "an index is an int: int(" + m[1] + ")"
	}},
	{regexp.MustCompile(`operator \^ not defined on (.+?) \(|operator \*\* |cannot indirect|invalid operation: cannot indirect`), always("a power is math.Pow(x, y); ^ is bitwise and there is no **")},
	{regexp.MustCompile(`operator % not defined on .*float`), always("the remainder of floats is math.Mod(x, y)")},
	{regexp.MustCompile(`operator ! not defined on (.+) \(.* of type (\w+)\)`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		if numeric(m[2]) {
			return fmt.Sprintf("! is for bools: %s == 0", m[1])
		}
		return fmt.Sprintf("! is for bools: %s == nil, or len(%s) == 0", m[1], m[1])
	}},
	{regexp.MustCompile(`^non-boolean condition in (?:if|for)`), always("a condition is a bool: compare, as in x != 0, x != nil or len(x) > 0")},
	{regexp.MustCompile(`^(.+) \(value of type .*\) is not constant`), always("a constant is known before the cell runs: use := for a variable")},
	{regexp.MustCompile(`overflows|cannot use .* \(overflows\)`), always("the number does not fit its type: use a wider one, as int64 or float64")},

	// values, pointers, calls
	{regexp.MustCompile(`^no new variables on left side of :=`), always("all of these names were defined earlier in this cell: assign with = instead")},
	{regexp.MustCompile(`^assignment mismatch: (\d+) variables? but (.+) returns? (\d+) values?`), adviseMismatch},
	{regexp.MustCompile(`^multiple-value (.+) \(value of type \((.+)\)\) in single-value context`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		names := strings.Repeat("_, ", strings.Count(m[2], ","))
		if strings.HasSuffix(m[2], "error") {
			return fmt.Sprintf("take the results first: v, %serr := %s", names[min(3, len(names)):], m[1])
		}
		return fmt.Sprintf("take the results first: v, %s := %s", strings.TrimSuffix(names, ", "), m[1])
	}},
	{regexp.MustCompile(`^use of untyped nil`), always("nil alone has no type: var x *T, or var err error")},
	{regexp.MustCompile(`cannot use (.+) \((?:variable|value) of (?:\w+ )?type (\S+)\) as (\S+) value`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		switch {
		case "*"+m[2] == m[3]:
			return "pass its address: &" + shortName(m[1])
		case m[2] == "*"+m[3]:
			return "pass what it points to: *" + shortName(m[1])
		case m[3] == "[]"+m[2]:
			return fmt.Sprintf("make a slice of it: %s{%s}", m[3], shortName(m[1]))
		case m[2] == "[]"+m[3]:
			return "spread it with " + shortName(m[1]) + "..., or take one element"
		}
		return ""
	}},
	{regexp.MustCompile(`cannot use (\S+) \(value of type func\(\).*\) as`), func(_ *Session, _ *world, _ *CellError, m []string) string { return "call it: " + m[1] + "()" }},
	{regexp.MustCompile(`^(?:not enough|too many) arguments in call to ([\w.]+)`), adviseArguments},
	{regexp.MustCompile(`^too many return values`), func(_ *Session, _ *world, e *CellError, _ []string) string {
		if strings.HasSuffix(e.Msg, "want ()") {
			return "a cell returns nothing, it shows its last expression; a function says its results after its parameters: func f() int"
		}
		return ""
	}},
	{regexp.MustCompile(`does not implement .* \(method (\w+) has pointer receiver\)`), always("pass the address: &x")},
	{regexp.MustCompile(`does not implement plotter\.XYer`), always("figure.Dots(p, 0, label, x, y) and figure.Curve draw two slices; package plotter takes plotter.XYs{{X: 1, Y: 2}, …}")},
	{regexp.MustCompile(`: \*?\w+ does not implement .* \(missing method (\w+)\)`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return "declare the method " + m[1] + ", in this or a later cell"
	}},
	{regexp.MustCompile(`^missing return`), always("every way through the function must end in a return (or panic)")},
	{regexp.MustCompile(`\) is not used$`), always("a value by itself does nothing here: return it, assign it, or print it; only a cell's last line is shown")},
	{regexp.MustCompile(`cannot assign to (.+) \(neither addressable`), always("only variables, fields, elements and pointers' targets can be assigned to")},
	{regexp.MustCompile(`^cannot infer \w+`), always("say the types in brackets: f[int, string](…)")},
	{regexp.MustCompile(`^cannot range over`), always("range goes over slices, arrays, strings, maps, channels, integers and iterator functions")},
	{regexp.MustCompile(`^invalid operation: .* \(type .+\) cannot be called|^invalid operation: cannot call non-function`), always("() calls functions: elements are x[i], fields x.F")},

	// syntax
	{regexp.MustCompile(`^expected '\{', found in$|^expected ';', found in$`), always("a loop over values is for i, x := range xs {")},
	{regexp.MustCompile(`found (and|or|not|is|then|do)$`), func(_ *Session, _ *world, _ *CellError, m []string) string {
		return "in Go that is " + map[string]string{"and": "&&", "or": "||", "not": "!", "is": "==", "then": "{", "do": "{"}[m[1]]
	}},
	{regexp.MustCompile(`illegal character U\+003F`), always("there is no ?: in Go: if c { x = a } else { x = b }")},
	{regexp.MustCompile(`illegal character U\+0023`), always("a comment begins with //")},
	{regexp.MustCompile(`unexpected comma; expecting \]|^expected operand, found ']'|^expected 1 expression.*\[`), always("a list of values says its type: []float64{1, 2, 3}")},
	{regexp.MustCompile(`found '(\+\+|--)'|^expected ';', found '[-+*/]'$`), always("x++ and x-- are statements by themselves: use x+1 in an expression")},
	{regexp.MustCompile(`^expected ';', found ':='|^non-name .* on left side of :=`), always(":= defines names; assign to fields and elements with =")},
	{regexp.MustCompile(`^unexpected newline, expecting \{`), always("the { stands on the line that it belongs to: if x < y {")},
	{regexp.MustCompile(`^missing ',' (before newline )?in (composite literal|argument list|parameter list)`), always("a list that ends on a line of its own needs a comma after its last element too")},
	{regexp.MustCompile(`^expected (operand|expression), found '='`), always("comparison is ==")},
	{regexp.MustCompile(`^cannot use \w+ := .* as value|^cannot use assignment`), always("comparison is ==, and := stands only in statements")},
	{regexp.MustCompile(`^expected 1 expression`), always("a cell shows values only as its last line: put others in display.Show or fmt.Println")},
	{regexp.MustCompile(`else`), func(_ *Session, _ *world, e *CellError, _ []string) string {
		if e.Kind == KindSyntax && strings.HasPrefix(strings.TrimSpace(e.Source), "else") {
			return "else stands on the line of the closing brace: } else {"
		}
		return ""
	}},
	{regexp.MustCompile(`^string literal not terminated|^rune literal not terminated|^more than one character in rune literal|^illegal rune literal`), always("strings take double quotes, or backquotes over several lines; single quotes are for one character")},
	{regexp.MustCompile(`^comment not terminated`), always("close it with */")},
	{regexp.MustCompile(`never closed$`), always("close it, or remove it")},
	{regexp.MustCompile(`^expected|^import path must be a string`), adviseForeign},

	// while it runs
	{regexp.MustCompile(`assignment to entry in nil map`), always("make the map first: m = make(map[K]V), or m := map[K]V{}")},
	{regexp.MustCompile(`nil pointer dereference|call of nil function`), always("a pointer, map, function or interface that was never set is used here; check for nil")},
	{regexp.MustCompile(`^mat: (row|column) index out of range`), always("rows run from 0 to r-1 and columns from 0 to c-1, with r, c := a.Dims()")},
	{regexp.MustCompile(`(index|slice bounds) out of range`), always("indices run from 0 to len-1")},
	{regexp.MustCompile(`integer divide by zero`), always("check the divisor, or divide floats: float64(a) / float64(b)")},
	{regexp.MustCompile(`^interface conversion`), always("use the two-value form: x, ok := v.(T)")},
	{regexp.MustCompile(`^stack overflow`), always("a function calls itself without end: check the case in which it stops. All variables are kept")},
	{regexp.MustCompile(`^out of memory`), always("the cell was stopped and all variables are kept: free some with x = nil, or work in parts")},
	{regexp.MustCompile(`all goroutines are asleep|deadlock`), always("something waits for a channel or lock that nobody serves")},
	{regexp.MustCompile(`(send on|close of) closed channel`), always("only the sender closes a channel, once, after its last send")},
	{regexp.MustCompile(`cannot ask for input`), always("run the notebook in a front end with input, or set the value in the cell")},
	{regexp.MustCompile(`mat: dimension mismatch|blas: |mat: `), always("print the shapes with Dims(): mat.NewDense(r, c, data) takes r·c numbers, and for a product A·B the columns of A must equal the rows of B")},

	// what the interpreter lacks
	{regexp.MustCompile(`the generic type (\S+) of a compiled package is not available`), always("cells cannot make new instances of compiled generic types: use one that exists, or declare the type in a cell")},
	{regexp.MustCompile(`is not available in cells|no instance of`), always("generic library functions are compiled for common element types only: write the loop in the cell, or convert the elements first")},
}

// advise says what to do about an error, "" if it has nothing to add.
func (s *Session) advise(e *CellError, w *world) string {
	advisors := advisors
	if e.Kind == KindModule { // its words are the go command's
		advisors = nil
	}
	for _, a := range advisors {
		if m := a.match.FindStringSubmatch(e.Msg); m != nil {
			if text := a.say(s, w, e, m); text != "" {
				return text
			}
		}
	}
	switch e.Kind {
	case KindModule:
		if strings.Contains(e.Msg, "cannot be interpreted") {
			return "use it from a program of its own that a cell starts with os/exec, or look for a package that is plain Go"
		}
		return ""
	case KindInterpreter:
		return "this is valid Go that the interpreter cannot run; try to write it in a simpler way, for instance in a function of its own with named types"
	case KindExit:
		return "a cell cannot end the kernel; use return to end the cell"
	}
	return ""
}

func adviseImport(s *Session, _ *world, _ *CellError, m []string) string {
	path := m[1]
	switch path {
	case "C", "unsafe", "syscall", "plugin":
		return "cells cannot use it safely: build such code as a program of its own and run it with os/exec"
	}
	base := path[strings.LastIndexByte(path, '/')+1:]
	if first, rest, _ := strings.Cut(path, "/"); rest != "" && strings.Contains(first, ".") && !strings.HasPrefix(path, "gonum.org/") {
		return "bring its module first, in a cell of its own: %get " + path
	}
	if p, ok := stdlib.Named(base); ok && p != path {
		return fmt.Sprintf("did you mean %q?", p)
	}
	if near := nearest(path, stdlib.Paths()); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "cells can import Go's library, gonum, gonum/plot, Gonvex's own packages and what %get brings"
}

func adviseMember(s *Session, w *world, _ *CellError, m []string) string {
	pkg, name := m[1], m[2]
	if pkg == "" {
		pkg, name = m[4], m[3]
	}
	p, err := s.imp.Import(w.pathOf(pkg))
	if err != nil {
		return ""
	}
	var names []string
	for _, n := range p.Scope().Names() {
		if p.Scope().Lookup(n).Exported() {
			names = append(names, n)
		}
	}
	if near := nearest(name, names); near != "" {
		return "did you mean " + pkg + "." + near + "?"
	}
	return "see what there is: type " + pkg + ". and press Tab"
}

// adviseQuoted finds what a package has under a name that was written as text:
// "gated_relu" for GatedReLU{}.
func adviseQuoted(s *Session, w *world, _ *CellError, m []string) string {
	p, err := s.imp.Import(w.pathOf(m[2]))
	if err != nil {
		return ""
	}
	for _, n := range p.Scope().Names() {
		obj := p.Scope().Lookup(n)
		if !obj.Exported() || !strings.EqualFold(n, strings.ReplaceAll(m[1], "_", "")) {
			continue
		}
		switch obj.(type) {
		case *types.TypeName:
			n += "{}"
		case *types.Func:
			n += "(…)"
		}
		return "it is a value of the package, without quotes: " + m[2] + "." + n
	}
	return ""
}

// pathOf is the import path that a package's name stands for.
func (w *world) pathOf(name string) string {
	if path := w.imports[name]; path != "" {
		return path
	}
	path, _ := stdlib.Named(name)
	return path
}

// adviseArguments shows what a function takes.
func adviseArguments(s *Session, _ *world, _ *CellError, m []string) string {
	if p := s.probe("", 0, m[1]); p != nil {
		if sig, ok := p.info.TypeOf(p.expr).(*types.Signature); ok {
			text := types.TypeString(sig, func(p *types.Package) string { return p.Name() })
			return m[1] + strings.TrimPrefix(text, "func")
		}
	}
	return "Shift-Tab inside the parentheses shows what it takes"
}

// foreign words of other languages, and what Go calls them.
var foreign = map[string]string{
	"True": "true", "False": "false", "None": "nil", "null": "nil", "NULL": "nil", "nullptr": "nil", "self": "the receiver's name",
	"elif": "else if", "def": "func", "lambda": "func(x T) T { … }", "printf": "fmt.Printf", "str": "fmt.Sprint", "double": "float64", "float": "float64",
	"boolean": "bool", "char": "rune or byte", "long": "int64", "np": "mat (gonum)", "numpy": "mat (gonum)", "plt": "plot (gonum)", "range": "range in a for",
	"while": "for", "try": "if err != nil", "catch": "recover", "throw": "panic", "let": ":=", "exit": "return", "abs": "math.Abs", "sqrt": "math.Sqrt",
	"class": "type T struct, with methods", "exp": "math.Exp", "pi": "math.Pi", "sum": "floats.Sum", "sorted": "slices.Sorted", "enumerate": "for i, x := range xs",
}

func adviseName(s *Session, w *world, e *CellError, m []string) string {
	name := m[1]
	if strings.HasPrefix(strings.TrimSpace(e.Source), "!") {
		return fmt.Sprintf("cells have no shell: out, err := exec.Command(%q).CombinedOutput() and string(out) run a program", name)
	}
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

// foreignMembers are members of other languages' values, and what Go writes.
var foreignMembers = map[string]string{
	"append": "xs = append(xs, v)", "push": "xs = append(xs, v)", "add": "xs = append(xs, v), or m[key] = true", "len": "len(x)", "length": "len(x)", "size": "len(x)",
	"shape": "r, c := a.Dims()", "Shape": "r, c := a.Dims()", "Rows": "r, c := a.Dims()", "Cols": "r, c := a.Dims()", "dot": "c.Mul(a, b)", "Dot": "c.Mul(a, b), or mat.Dot(x, y) of vectors",
	"transpose": "a.T()", "Transpose": "a.T()", "keys": "maps.Keys(m)", "items": "for key, value := range m", "sum": "floats.Sum(xs)", "mean": "stat.Mean(xs, nil)", "sort": "slices.Sort(xs)",
	"format": "fmt.Sprintf", "split": "strings.Split(s, sep)", "join": "strings.Join(list, sep)", "toString": "fmt.Sprint(x)", "contains": "slices.Contains, or strings.Contains",
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
	name := m[1][dot+1:]
	if d := w.decls[m[1][:dot]]; d != nil && s.hasMember(d.key, name) {
		path, _ := s.namedPackage(d.key, []string{name})
		return fmt.Sprintf("%s is a %s of cell %d, which hides the package: import %q brings the package back", d.key, d.kind, s.number(d.cell), path)
	}
	if near := adviseNames(name, membersOf(p.info.TypeOf(p.expr))); near != "" && strings.HasPrefix(near, "did") {
		return near
	} else if g, ok := foreignMembers[name]; ok {
		return "in Go that is " + g
	} else if near != "" {
		return near
	}
	return "see what there is: type " + m[1][:dot] + ". and press Tab"
}

// adviseNames is the nearest of some objects, or all of them when they are few.
func adviseNames(name string, objects []types.Object) string {
	var names []string
	for _, o := range objects {
		names = append(names, o.Name())
	}
	if near := nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	if len(names) > 0 && len(names) < 12 {
		slices.Sort(names)
		return "it has " + strings.Join(names, ", ")
	}
	return ""
}

func adviseField(s *Session, _ *world, _ *CellError, m []string) string {
	if m[3] != "" {
		return "did you mean " + m[3] + "?"
	}
	p := s.probe("", 0, m[2])
	if p == nil || !p.info.Types[p.expr].IsType() {
		return ""
	}
	st, ok := p.info.Types[p.expr].Type.Underlying().(*types.Struct)
	if !ok {
		return ""
	}
	var fields []types.Object
	for f := range st.Fields() {
		if f.Exported() || inMain(f) {
			fields = append(fields, f)
		}
	}
	return adviseNames(m[1], fields)
}

// adviseConversion is for a variable of one basic type where another is wanted.
func adviseConversion(_ *Session, _ *world, _ *CellError, m []string) string {
	switch x := shortName(m[1]); {
	case numeric(m[2]) && numeric(m[3]):
		return fmt.Sprintf("convert it: %s(%s)", m[3], x)
	case numeric(m[2]) && m[3] == "string":
		return fmt.Sprintf("fmt.Sprint(%s) makes a string of a number", x)
	case m[2] == "string" && numeric(m[3]):
		return "strconv.Atoi or strconv.ParseFloat makes a number of a string"
	}
	return ""
}

// shortName is an expression as it stands in an advice.
func shortName(x string) string {
	if strings.ContainsAny(x, " {\n…") {
		return "x"
	}
	return x
}

// adviseForeign is for a line that begins as one of another language.
func adviseForeign(_ *Session, _ *world, e *CellError, _ []string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(e.Source), " ")
	switch g, ok := foreign[strings.TrimRight(word, ":(")]; {
	case e.Kind != KindSyntax:
	case word == "import" && strings.Contains(e.Source, " as "):
		return "in Go that is import name \"path\""
	case word == "from":
		return "in Go that is import \"path\""
	case ok:
		return "in Go that is " + g
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
