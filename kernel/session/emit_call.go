package session

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

func (em *emitter) call(e *ast.CallExpr) string {
	ftv := em.info.Types[e.Fun]
	if ftv.IsType() {
		return em.conversion(ftv.Type, e.Args[0])
	}
	if ftv.IsBuiltin() {
		return em.builtin(e)
	}
	fun := ast.Unparen(e.Fun)
	args := em.args(e)
	if se, ok := fun.(*ast.SelectorExpr); ok {
		if sel := em.info.Selections[se]; sel != nil && sel.Kind() == types.MethodVal {
			if fn, recv, ok := em.replaced(se, sel); ok {
				return fn + "(" + join(recv, args) + ")"
			}
			if fn, recv, ok := em.static(se, sel); ok {
				return fn + "(" + join(recv, args) + ")"
			}
		}
	}
	s := em.called(fun) + "(" + args + ")"
	if em.isLibraryInstance(fun) { // compiled instances know nothing of the session's type names
		if n := namedOf(em.info.TypeOf(e)); n != nil && inMain(n.Obj()) {
			s = parenType(em.typ(em.info.TypeOf(e))) + "(" + s + ")"
		}
	}
	if se, ok := fun.(*ast.SelectorExpr); ok { // yaegi puts a form around what comes of a call in a loop, if it found one there before
		o, it := em.info.Uses[se.Sel], em.info.TypeOf(e)
		if o != nil && o.Pkg() != nil && holds(o.Pkg().Path()) && it != nil && types.IsInterface(it) && it.Underlying().(*types.Interface).NumMethods() == 0 {
			return "(" + em.helper("H_form", "func H_form(x interface{}) interface{} { y := R_.Form(&x); return y }") + "(" + s + "))"
		}
	}
	return s
}

// conversion to an interface with methods goes through a parameter: yaegi
// builds its wrapper there and not in a conversion.
func (em *emitter) conversion(ty types.Type, arg ast.Expr) string {
	if s, ok := em.keep(arg, ty); ok {
		return s
	}
	if it, ok := ty.Underlying().(*types.Interface); ok && !types.IsInterface(em.info.TypeOf(arg)) && !em.info.Types[arg].IsNil() {
		if _, boxes := em.box(em.info.TypeOf(arg), ty); boxes || it.NumMethods() > 0 {
			return em.to(arg, ty)
		}
	}
	if it, ok := types.Unalias(ty).(*types.Interface); ok && it.NumMethods() == 0 { // a conversion yaegi takes for a condition where one follows
		switch from := em.info.TypeOf(arg); {
		case em.info.Types[arg].IsNil():
			return em.zero(ty)
		case types.Identical(from, ty):
			return "(" + em.expr(arg) + ")"
		case types.IsInterface(from):
			return em.anyOf(from, em.expr(arg))
		}
		return "(" + em.anyHelper() + "(" + em.bool(arg, em.expr(arg)) + "))"
	}
	return parenType(em.typ(ty)) + "(" + em.expr(arg) + ")"
}

// read takes the value of an element, a field or a pointer's target at once,
// where yaegi would look at the place later.
func (em *emitter) read(a ast.Expr, to types.Type, s string) string {
	tv := em.info.Types[a]
	switch ast.Unparen(a).(type) {
	case *ast.IndexExpr, *ast.SelectorExpr, *ast.StarExpr:
		if tv.Value != nil || tv.IsNil() {
			return s
		}
		if to == nil || !types.IsInterface(to) {
			to = tv.Type
		}
		return "(" + em.passed(to, s) + ")"
	}
	return s
}

// passed takes a value through a function, which gives it a place of its own.
func (em *emitter) passed(t types.Type, s string) string {
	ts := em.typ(t)
	h := "H_read_" + mangle(ts)
	return em.helper(h, fmt.Sprintf("func %s(x %s) %s { return x }", h, ts, ts)) + "(" + s + ")"
}

// asInterface is a helper function that converts its argument to an interface.
func (em *emitter) asInterface(ty types.Type) string {
	ts := em.typ(ty)
	h := "H_to_" + mangle(ts)
	return em.helper(h, fmt.Sprintf("func %s(x %s) %s { return x }", h, ts, ts))
}

// boxed writes an expression for a destination of interface type.
func (em *emitter) boxed(e ast.Expr, dst types.Type) string {
	if s, ok := em.keep(e, dst); ok {
		return s
	}
	if tv := em.info.Types[e]; !tv.IsNil() {
		if h, ok := em.box(tv.Type, dst); ok {
			return "(" + h + "(" + em.to(e, tv.Type) + "))"
		}
	}
	return em.bool(e, em.expr(e))
}

// box is a helper that converts a value to an interface through a parameter of
// its own: what yaegi puts in an interface is the place of the value, so that
// later changes of a variable, or of the place of a result, would show there.
// Calls of it stand in parentheses: for a bare call as an argument yaegi takes
// the place of the result.
func (em *emitter) box(src, dst types.Type) (string, bool) {
	if src == nil || types.IsInterface(src) {
		return "", false
	}
	if _, ok := src.(*types.Tuple); ok {
		return "", false
	}
	it := dst.Underlying().(*types.Interface)
	own := sessionNamed(src)
	conv := ""
	switch n := namedOf(dst); {
	case it.NumMethods() == 0: // without methods the value itself is what yaegi stores
		_, isStruct := src.Underlying().(*types.Struct)
		if own == nil || isPointer(src) || isStruct && types.NewMethodSet(types.NewPointer(own)).Len() == 0 { // see hasTwins
			return "", false
		}
		conv = em.anyHelper()
	case n != nil && !inMain(n.Obj()):
		if own == nil {
			return "", false
		}
		conv = em.asInterface(dst)
	}
	ts, ss := em.typ(dst), em.typ(src)
	h := "H_box_" + mangle(ts, ss)
	return em.helper(h, fmt.Sprintf("func %s(x %s) %s { return %s(x) }", h, ss, ts, conv)), true
}

// anyHelper is a function that gives a value of any the type of its argument.
func (em *emitter) anyHelper() string {
	return em.helper("H_any", "func H_any(x interface{}) interface{} { return x }")
}

// bool writes a boolean for a place of interface type.
func (em *emitter) bool(e ast.Expr, s string) string {
	if tv := em.info.Types[e]; tv.Value == nil {
		switch x := ast.Unparen(e).(type) {
		case *ast.BinaryExpr, *ast.UnaryExpr: // yaegi stores a comparison's result as if the place were a bool
			if b, ok := tv.Type.Underlying().(*types.Basic); ok && b.Info()&types.IsBoolean != 0 {
				return em.helper("H_bool", "func H_bool(x bool) bool { return x }") + "(" + s + ")"
			}
			u, _ := x.(*ast.UnaryExpr)
			b, _ := x.(*ast.BinaryExpr)
			if u != nil && (u.Op == token.SUB || u.Op == token.XOR) || b != nil && (b.Op == token.SHL || b.Op == token.SHR) { // it does not negate or shift into such a place but ends the function
				return em.passed(tv.Type, s)
			}
		}
	}
	return s
}

// keep converts a struct of the session to an interface of a compiled package.
func (em *emitter) keep(e ast.Expr, dst types.Type) (string, bool) {
	h, ok := em.keeper(em.info.TypeOf(e), dst)
	if !ok {
		return "", false
	}
	return h + "(" + em.expr(e) + ")", true
}

// keeper is a helper that makes the conversion and puts the struct itself in
// yaegi's wrapper, which holds its last field only: assertions back to the
// struct, errors.As and == depend on it.
func (em *emitter) keeper(src, dst types.Type) (string, bool) {
	n := namedOf(dst)
	it, ok := dst.Underlying().(*types.Interface)
	if !ok || it.NumMethods() == 0 || n == nil || inMain(n.Obj()) || src == nil || isPointer(src) || sessionNamed(src) == nil {
		return "", false
	}
	if _, ok := src.Underlying().(*types.Struct); !ok {
		return "", false
	}
	ts, ss := em.typ(dst), em.typ(src)
	h := "H_keep_" + mangle(ts, ss)
	return em.helper(h, fmt.Sprintf("func %s(x %s) %s { return R_.Keep(%s(x), x).(%s) }", h, ss, ts, em.asInterface(dst), ts)), true
}

// replacements are functions of package R_ for methods of compiled types: those
// that block without looking at the cell's context, so that an interrupt reaches
// a cell that waits for a lock or a group, and those of package json, see json.go.
var replacements = map[string]string{
	"sync.WaitGroup.Wait":          "R_.WaitGroup",
	"sync.Mutex.Lock":              "R_.Lock",
	"encoding/json.Encoder.Encode": "R_.Encode",
	"encoding/json.Decoder.Decode": "R_.Decode",
}

// replaced is the function in the place of a method, and its first argument.
func (em *emitter) replaced(se *ast.SelectorExpr, sel *types.Selection) (fn, arg string, ok bool) {
	m := sel.Obj().(*types.Func)
	recv := namedOf(m.Signature().Recv().Type())
	if m.Pkg() == nil || recv == nil {
		return "", "", false
	}
	call := replacements[m.Pkg().Path()+"."+recv.Obj().Name()+"."+m.Name()]
	if call == "" {
		return "", "", false
	}
	idx := sel.Index()[:len(sel.Index())-1]
	x := em.path(se.X, sel.Recv(), idx)
	if !isPointer(pathEnd(sel.Recv(), idx)) {
		x = addressOf(x)
	}
	return call, x, true
}

// addressOf is &x, without going through a dereference.
func addressOf(x string) string {
	if rest, ok := strings.CutPrefix(x, "*"); ok {
		return rest
	}
	if strings.HasPrefix(x, "(*") && strings.HasSuffix(x, ")") && !strings.Contains(x[2:len(x)-1], ")") {
		return x[2 : len(x)-1]
	}
	return "&" + x
}

func (em *emitter) args(e *ast.CallExpr) string {
	var pkg *types.Package
	var callee types.Object // of that package
	formats, writes := false, false
	if se, ok := ast.Unparen(e.Fun).(*ast.SelectorExpr); ok {
		if o := em.info.Uses[se.Sel]; o != nil && o.Pkg() != nil && !inMain(o) {
			pkg, callee = o.Pkg(), o
			formats = formatting(o)
			writes = formats && strings.HasPrefix(o.Name(), "Fprint")
		}
	}
	sg, _ := em.info.TypeOf(e.Fun).Underlying().(*types.Signature)
	var ss []string
	for i, a := range e.Args {
		var to types.Type
		switch {
		case sg != nil && i < sg.Params().Len()-1, sg != nil && i < sg.Params().Len() && !sg.Variadic():
			to = sg.Params().At(i).Type()
		case sg != nil && sg.Variadic() && !e.Ellipsis.IsValid() && sg.Params().Len() > 0:
			if sl, ok := sg.Params().At(sg.Params().Len() - 1).Type().Underlying().(*types.Slice); ok {
				to = sl.Elem()
			}
		}
		s := ""
		switch {
		case to == nil:
			s = em.expr(a)
		case !types.IsInterface(to):
			s = em.to(a, to)
		case pkg != nil && to.Underlying().(*types.Interface).NumMethods() == 0 && i < sg.Params().Len() && sg.Params().At(i).Name() == "key": // which is compared
			s = em.key(a, to)
		case pkg != nil && (namedOf(to) == nil || to.Underlying().(*types.Interface).NumMethods() == 0) && !holds(pkg.Path()): // compiled code takes the value itself
			s = em.bool(a, em.expr(a))
		default:
			if s = em.to(a, to); pkg == nil && isCall(a) && em.info.Types[a].Value == nil { // see box
				s = "(" + s + ")"
			}
			if (isSlice(em.info.TypeOf(a), to) || em.converts(a)) && i >= sg.Params().Len()-1 && sg.Variadic() && !e.Ellipsis.IsValid() { // which yaegi would take for the whole list
				if to.Underlying().(*types.Interface).NumMethods() == 0 {
					s = "(" + em.anyHelper() + "(" + s + "))"
				} else {
					s = "(" + em.passed(to, s) + ")"
				}
			}
		}
		switch {
		case i == 0 && writes:
			s = em.toWriter(a, s)
		case formats && !e.Ellipsis.IsValid():
			s = em.formatted(a, s)
		case pkg != nil && pkg.Path() == "encoding/json":
			s = em.coded(callee, i, a, s)
		case i > 0 && em.info.Types[e.Fun].IsBuiltin() && em.info.Types[a].IsNil() && to != nil && !types.IsInterface(to): // package reflect has no nil of all types
			s = parenType(em.typ(to)) + "(nil)"
		case i > 1 && em.info.Types[e.Fun].IsBuiltin(): // append, which may write where a is read
			s = em.read(a, to, s)
		}
		ss = append(ss, em.guard(a, s, pkg))
	}
	s := strings.Join(ss, ", ")
	if e.Ellipsis.IsValid() {
		s += "..."
	}
	return s
}

// converts tells a conversion.
func (em *emitter) converts(e ast.Expr) bool {
	c, ok := ast.Unparen(e).(*ast.CallExpr)
	return ok && em.info.Types[c.Fun].IsType()
}

// isSlice tells a slice with elements of that type.
func isSlice(t, elem types.Type) bool {
	s, ok := t.Underlying().(*types.Slice)
	return ok && types.Identical(s.Elem(), elem)
}

func isCall(e ast.Expr) bool {
	_, ok := ast.Unparen(e).(*ast.CallExpr)
	return ok
}

// formatting tells whether a compiled function prints its arguments.
func formatting(o types.Object) bool {
	switch o.Pkg().Path() {
	case "fmt":
		return strings.Contains(o.Name(), "rint") || o.Name() == "Errorf" || strings.HasPrefix(o.Name(), "Append")
	case "log":
		return strings.Contains(o.Name(), "rint") || strings.HasPrefix(o.Name(), "Fatal") || strings.HasPrefix(o.Name(), "Panic")
	}
	return false
}

// formatted hands a value whose type mentions the session's types to package
// fmt together with its static type: fmt alone would see an anonymous struct
// without methods.
func (em *emitter) formatted(a ast.Expr, s string) string {
	tv := em.info.Types[a]
	if tv.IsNil() || tv.Type == nil {
		return s
	}
	if it, ok := tv.Type.Underlying().(*types.Interface); ok {
		if n := namedOf(tv.Type); n != nil && !inMain(n.Obj()) && it.NumMethods() > 0 {
			return s
		}
		return em.helper("H_fmt", "func H_fmt(x interface{}) interface{} { return R_.FmtAny(&x) }") + "(" + s + ")"
	}
	if !opaque(tv.Type) {
		return s
	}
	if _, ok := tv.Type.(*types.Tuple); ok {
		return s
	}
	return fmt.Sprintf("R_.Fmt(%d, %s)", em.typeID(tv.Type), s)
}

// coded hands an argument to package json with its static type: see json.go.
func (em *emitter) coded(callee types.Object, i int, a ast.Expr, s string) string {
	f, t := jsonArgument(callee, i), em.info.TypeOf(a)
	switch {
	case f == "" || t == nil || em.info.Types[a].IsNil():
		return s
	case types.IsInterface(t):
		h := "H_" + f
		return em.helper(h, "func "+h+"(x interface{}) interface{} { return R_."+f+"Any(&x) }") + "(" + s + ")"
	case !mentionsSession(t) && !special(t):
		return s
	}
	return fmt.Sprintf("R_.%s(%d, %s)", f, em.typeID(t), s)
}

// toWriter converts a session value to io.Writer before package fmt sees it.
func (em *emitter) toWriter(a ast.Expr, s string) string {
	if sessionNamed(em.info.TypeOf(a)) == nil {
		return s
	}
	p, err := em.t.s.imp.Import("io")
	if err != nil {
		return s
	}
	return em.asInterface(p.Scope().Lookup("Writer").Type()) + "(" + s + ")"
}

// spawns tells whether a compiled package may call functions it is given on
// goroutines of its own.
func spawns(path string) bool {
	switch path {
	case "time", "sync", "context", "net/http", "golang.org/x/sync/errgroup",
		"gonum.org/v1/gonum/optimize", "gonum.org/v1/gonum/diff/fd", "gonum.org/v1/gonum/integrate/quad":
		return true
	}
	return strings.HasPrefix(path, "github.com/gonvex/gonvex/")
}

// holds tells a compiled package that gives back what it is given as any: it
// takes the interpreter's form, which has the name of the type.
func holds(path string) bool {
	switch path {
	case "container/heap", "container/list", "container/ring", "context", "sync", "sync/atomic":
		return true
	}
	return false
}

// guard wraps a function value handed to such a package: a panic on a foreign
// goroutine must be reported and not kill the process.
func (em *emitter) guard(e ast.Expr, s string, pkg *types.Package) string {
	if pkg == nil || !spawns(pkg.Path()) || em.info.Types[e].IsNil() {
		return s
	}
	t := em.info.TypeOf(e)
	if t == nil {
		return s
	}
	sg, ok := t.Underlying().(*types.Signature)
	if !ok {
		return s
	}
	return "R_.Guard(" + s + ").(" + em.typ(types.NewSignatureType(nil, nil, nil, sg.Params(), sg.Results(), sg.Variadic())) + ")"
}

// builtin writes a call of a predeclared function; yaegi lacks some.
func (em *emitter) builtin(e *ast.CallExpr) string {
	name := ""
	switch f := ast.Unparen(e.Fun).(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	switch name {
	case "min", "max":
		ty := em.info.TypeOf(e)
		ts := em.typ(ty)
		op, nan := "<", ""
		if name == "max" {
			op = ">"
		}
		if b, ok := ty.Underlying().(*types.Basic); ok && b.Info()&types.IsFloat != 0 {
			nan = "if a != a { return a }; if b != b { return b }; "
		}
		h := em.helper("H_"+name+"_"+mangle(ts), fmt.Sprintf("func H_%s_%s(a, b %s) %s { %sif a %s b { return a }; return b }", name, mangle(ts), ts, ts, nan, op))
		s := em.to(e.Args[0], ty)
		for _, a := range e.Args[1:] {
			s = h + "(" + s + ", " + em.to(a, ty) + ")"
		}
		return s
	case "recover":
		for f := em.fn; f != nil; f = f.up {
			if f.loop != nil { // a loop body emitted as a closure belongs to the function around it
				continue
			}
			if f.deferIn != "" {
				return f.deferIn + ".Recover()"
			}
			break
		}
		return "R_.Recover()"
	case "panic": // an error of the session must still be one when it is recovered
		errType := types.Universe.Lookup("error").Type()
		if t := em.info.TypeOf(e.Args[0]); mentionsSession(t) && types.Implements(t, errType.Underlying().(*types.Interface)) {
			if s, ok := em.keep(e.Args[0], errType); ok {
				return "panic(" + s + ")"
			}
			return "panic(" + em.asInterface(errType) + "(" + em.expr(e.Args[0]) + "))"
		}
	case "print", "println": // yaegi's go to its own error stream
		return "R_.P" + name[1:] + "(" + em.exprs(e.Args) + ")"
	case "new":
		if !em.info.Types[e.Args[0]].IsType() { // Go 1.26: new(expr)
			ts := em.typ(em.info.TypeOf(e).(*types.Pointer).Elem())
			return fmt.Sprintf("func() *%s { var v %s = %s; return &v }()", ts, ts, em.expr(e.Args[0]))
		}
		if t := em.info.TypeOf(e.Args[0]); types.IsInterface(t) { // yaegi's is not equal to nil
			ts := em.typ(t)
			h := "H_new_" + mangle(ts)
			return em.helper(h, fmt.Sprintf("func %s() *%s { var v %s; return &v }", h, ts, ts)) + "()"
		}
	case "append": // one slice of the same elements is appended as a whole, with ... or without
		if sl, ok := em.info.TypeOf(e).Underlying().(*types.Slice); ok && len(e.Args) == 2 && !e.Ellipsis.IsValid() {
			if elem := elementOf(em.info.TypeOf(e.Args[1])); elem != nil && types.Identical(elem, sl.Elem()) {
				ts, es := em.typ(em.info.TypeOf(e)), em.typ(sl.Elem())
				h := "H_append_" + mangle(ts)
				return em.helper(h, fmt.Sprintf("func %s(s %s, x %s) %s { return append(s, %s{x}...) }", h, ts, es, ts, ts)) + "(" + em.expr(e.Args[0]) + ", " + em.to(e.Args[1], sl.Elem()) + ")"
			}
		}
	case "make": // package reflect makes no channel of one direction
		if c, ok := em.info.TypeOf(e).Underlying().(*types.Chan); ok && c.Dir() != types.SendRecv {
			size := ""
			if len(e.Args) > 1 {
				size = ", " + em.expr(e.Args[1])
			}
			return parenType(em.typ(em.info.TypeOf(e))) + "(make(" + em.typ(types.NewChan(types.SendRecv, c.Elem())) + size + "))"
		}
	case "delete":
		m, ok := em.info.TypeOf(e.Args[0]).Underlying().(*types.Map)
		if ok {
			return "delete(" + em.expr(e.Args[0]) + ", " + em.key(e.Args[1], m.Key()) + ")"
		}
	case "clear":
		return "R_.Clear(" + em.expr(e.Args[0]) + ")"
	}
	return name + "(" + em.args(e) + ")"
}
