package session

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

func (em *emitter) exprs(es []ast.Expr) string {
	var ss []string
	for _, e := range es {
		ss = append(ss, em.expr(e))
	}
	return strings.Join(ss, ", ")
}

func (em *emitter) expr(e ast.Expr) string {
	tv, ok := em.info.Types[e]
	if ok && tv.Value != nil && tv.Value.Kind() != constant.Unknown {
		if n := namedOf(tv.Type); n != nil && !inMain(n.Obj()) && n.Obj().Pkg() != nil && !n.Obj().Exported() { // a type that nobody can write
			if se, ok := ast.Unparen(e).(*ast.SelectorExpr); ok {
				return em.member(se.Sel, em.info.Uses[se.Sel])
			}
		}
		return em.constant(tv.Value, tv.Type, false)
	}
	if ok && tv.IsType() {
		return em.typ(tv.Type)
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		if isIdent(e.X) { // which yaegi takes for a condition where one follows
			return em.expr(e.X)
		}
		return "(" + em.expr(e.X) + ")"
	case *ast.Ident:
		return em.ident(e)
	case *ast.BasicLit:
		return e.Value
	case *ast.FuncLit:
		return em.funcLit(e)
	case *ast.CompositeLit:
		return em.composite(e)
	case *ast.SelectorExpr:
		return em.selector(e)
	case *ast.IndexExpr:
		if n := em.instantiated(e.X); n != "" {
			return n
		}
		if m, ok := em.info.TypeOf(e.X).Underlying().(*types.Map); ok {
			return em.operand(e.X) + "[" + em.key(e.Index, m.Key()) + "]"
		}
		return em.operand(e.X) + "[" + em.expr(e.Index) + "]"
	case *ast.IndexListExpr:
		if n := em.instantiated(e.X); n != "" {
			return n
		}
	case *ast.SliceExpr:
		s := em.expr(e.X) + "["
		if e.Low != nil {
			s += em.expr(e.Low)
		}
		s += ":"
		if e.High != nil {
			s += em.expr(e.High)
		}
		if e.Slice3 {
			s += ":" + em.expr(e.Max)
		}
		return s + "]"
	case *ast.TypeAssertExpr:
		return em.assertion(e)
	case *ast.CallExpr:
		return em.call(e)
	case *ast.StarExpr:
		if z, ok := em.zeroInterface(e); ok {
			return z
		}
		return "*" + em.expr(e.X)
	case *ast.UnaryExpr:
		if ix, ok := ast.Unparen(e.X).(*ast.IndexExpr); ok && e.Op == token.AND {
			if s, ok := em.elementAddress(ix); ok {
				return s
			}
		}
		return e.Op.String() + em.expr(e.X)
	case *ast.BinaryExpr:
		return em.binary(e)
	case *ast.KeyValueExpr:
		return em.expr(e.Key) + ": " + em.expr(e.Value)
	}
	em.fail(e.Pos(), "unsupported expression %T", e)
	return ""
}

// operand writes what is indexed or called: yaegi fails on what is received.
func (em *emitter) operand(x ast.Expr) string {
	if receives(x) {
		return em.passed(em.info.TypeOf(x), em.expr(x))
	}
	return em.expr(x)
}

// zeroInterface writes *new(T) for an interface T: what yaegi reads through a
// pointer is not nil.
func (em *emitter) zeroInterface(e *ast.StarExpr) (string, bool) {
	t := em.info.TypeOf(e)
	c, ok := e.X.(*ast.CallExpr)
	if !ok || t == nil || !types.IsInterface(t) || !em.info.Types[c.Fun].IsBuiltin() || !em.info.Types[c.Args[0]].IsType() {
		return "", false
	}
	return em.zero(t), true
}

// zero writes the zero value of a type by a function.
func (em *emitter) zero(t types.Type) string {
	ts := em.typ(t)
	h := "H_zero_" + mangle(ts)
	return em.helper(h, fmt.Sprintf("func %s() %s { var z %s; return z }", h, ts, ts)) + "()"
}

// key writes a map's key or, for an array or slice, an index. Of an interface it
// is in one form, see keys.go.
func (em *emitter) key(e ast.Expr, t types.Type) string {
	if t == nil {
		return em.to(e, t)
	}
	if em.info.Types[e].IsNil() && !types.IsInterface(t) { // package reflect has no nil of all types
		return parenType(em.typ(t)) + "(nil)"
	}
	src, key := em.info.TypeOf(e), em.to(e, t)
	it, ok := t.Underlying().(*types.Interface)
	switch {
	case ok && it.NumMethods() > 0 && em.info.Types[e].IsNil() && !holdsInterface(t, false):
		return em.zero(t)
	case isError(t):
		return "R_.ErrorKey(" + key + ")"
	case ok && it.NumMethods() == 0: // yaegi has forms of its own for some values
		if em.info.Types[e].IsNil() || !types.IsInterface(src) && sessionNamed(src) == nil {
			return key
		}
	case !holdsInterface(t, !ok):
		return key
	}
	ts := em.typ(t)
	h := "H_key_" + mangle(ts)
	return "(" + em.helper(h, fmt.Sprintf("func %s(x %s) %s { R_.Same(&x); return x }", h, ts, ts)) + "(" + key + "))"
}

// holdsInterface tells an interface with methods that is no compiled package's,
// and the structs and arrays that hold one, or, with all, any interface.
func holdsInterface(t types.Type, all bool) bool {
	n := namedOf(t)
	compiled := n != nil && !inMain(n.Obj()) && !isPointer(t)
	switch u := t.Underlying().(type) {
	case *types.Interface:
		return all || u.NumMethods() > 0 && !compiled
	case *types.Array:
		return holdsInterface(u.Elem(), all)
	case *types.Struct:
		for f := range u.Fields() {
			if !compiled && holdsInterface(f.Type(), all) {
				return true
			}
		}
	}
	return false
}

// elementAddress writes &x[i] by a helper where x is more than a name: yaegi
// addresses only elements of variables.
func (em *emitter) elementAddress(ix *ast.IndexExpr) (string, bool) {
	base := ast.Unparen(ix.X)
	ty := em.info.TypeOf(base)
	switch u := ty.Underlying().(type) {
	case *types.Slice:
		if isIdent(base) {
			return "", false
		}
		ts := em.typ(ty)
		h := em.helper("H_addr_"+mangle(ts), fmt.Sprintf("func H_addr_%s(s %s, i int) *%s { return &s[i] }", mangle(ts), ts, em.typ(u.Elem())))
		return h + "(" + em.expr(base) + ", int(" + em.expr(ix.Index) + "))", true
	case *types.Pointer:
		a, ok := u.Elem().Underlying().(*types.Array)
		if !ok {
			return "", false
		}
		return em.arrayElement(em.expr(base), ty, a, ix), true
	case *types.Array:
		if st, ok := base.(*ast.StarExpr); ok {
			return em.arrayElement(em.expr(st.X), em.info.TypeOf(st.X), u, ix), true
		}
	}
	return "", false
}

func (em *emitter) arrayElement(p string, ty types.Type, a *types.Array, ix *ast.IndexExpr) string {
	ts := em.typ(ty)
	h := em.helper("H_addr_"+mangle(ts), fmt.Sprintf("func H_addr_%s(p %s, i int) *%s { s := p[:]; return &s[i] }", mangle(ts), ts, em.typ(a.Elem())))
	return h + "(" + p + ", int(" + em.expr(ix.Index) + "))"
}

// assertion looks through the wrapper that carries a session value inside an
// interface of a compiled package.
func (em *emitter) assertion(e *ast.TypeAssertExpr) string {
	_, pair := em.info.TypeOf(e).(*types.Tuple)
	return em.assert(em.expr(e.X), em.info.TypeOf(e.X), em.info.TypeOf(e.Type), pair)
}

// assert writes x.(to), for its value alone or, as a pair, with ok.
func (em *emitter) assert(x string, from, to types.Type, pair bool) string {
	f, t := namedOf(from), namedOf(to)
	compiled := f != nil && !inMain(f.Obj())
	it, ok := to.Underlying().(*types.Interface)
	if ok && it.NumMethods() == 0 { // which holds nothing for yaegi
		if from.Underlying().(*types.Interface).NumMethods() > 0 {
			x = em.anyOf(from, x)
		}
		ts := em.typ(to)
		if pair {
			h := "H_some_" + mangle(ts)
			return em.helper(h, fmt.Sprintf("func %s(x interface{}) (%s, bool) { return x, x != nil }", h, ts)) + "(" + x + ")"
		}
		h := "H_must_" + mangle(ts)
		return em.helper(h, fmt.Sprintf("func %s(x interface{}) %s {\nif x == nil { R_.NoMethod(&x, %d) }\nreturn x\n}", h, ts, em.typeID(to))) + "(" + x + ")"
	}
	if ok && it.NumMethods() > 0 && (from.Underlying().(*types.Interface).NumMethods() == 0 || !compiled || t == nil || inMain(t.Obj())) {
		ts := em.typ(to)
		if compiled {
			x = "R_.Unwrap(" + x + ")"
		} else if from.Underlying().(*types.Interface).NumMethods() > 0 { // whose nil is none of any
			x = em.anyOf(from, x)
		}
		if n := namedOf(to); n != nil && !inMain(n.Obj()) {
			w := em.wrapped(to, it)
			if w == "" {
				return "(" + x + ").(" + ts + ")"
			}
			// yaegi's assertion of nil panics
			h, none := "H_some"+strings.TrimPrefix(w, "H_wrap"), "return R_.None()"
			if !pair {
				h, none = "H_must"+strings.TrimPrefix(w, "H_wrap"), fmt.Sprintf("R_.NoMethod(&x, %d)", em.typeID(to))
			}
			return em.helper(h, fmt.Sprintf("func %s(x interface{}) interface{} {\ny := %s(x)\nif y == nil { %s }\nreturn y\n}", h, w, none)) + "(" + x + ").(" + ts + ")"
		}
		as := em.asInterfaceOf(to, it)
		if pair {
			return as + "(" + x + ")"
		}
		h := "H_must" + strings.TrimPrefix(as, "H_as")
		em.helper(h, fmt.Sprintf("func %s(x interface{}) %s {\nif y, ok := %s(x); ok { return y }\nR_.NoMethod(&x, %d)\nvar z %s\nreturn z\n}", h, ts, as, em.typeID(to), ts))
		return h + "(" + x + ")"
	}
	if !ok && from.Underlying().(*types.Interface).NumMethods() == 0 && em.hasTwins(to) {
		return em.exact(to, pair) + "(" + x + ")"
	}
	if compiled && t != nil && inMain(t.Obj()) {
		x = "R_.Unwrap(" + x + ")"
	}
	if !compiled && from.Underlying().(*types.Interface).NumMethods() > 0 && promotesByPointer(to) {
		x = em.anyOf(from, x)
	}
	return x + ".(" + em.typ(to) + ")"
}

// promotesByPointer tells a struct with a method of an embedded pointer, which
// for yaegi it does not have, so that no interface can hold it.
func promotesByPointer(t types.Type) bool {
	if _, ok := t.Underlying().(*types.Struct); !ok {
		return false
	}
	for sel := range types.NewMethodSet(t).Methods() {
		if sel.Indirect() {
			return true
		}
	}
	return false
}

// anyOf writes a value of an interface with methods as one of any.
func (em *emitter) anyOf(from types.Type, x string) string {
	fs := em.typ(from)
	h := "H_any_" + mangle(fs)
	return "(" + em.helper(h, fmt.Sprintf("func %s(x %s) interface{} { if x == nil { return nil }; return x }", h, fs)) + "((" + x + ")))" // see box
}

// hasTwins tells a type that package reflect takes for another: a named type of
// the session that is no struct (see nameTag), or what stands behind one.
func (em *emitter) hasTwins(t types.Type) bool {
	if _, ok := t.Underlying().(*types.Struct); ok {
		return false
	}
	if n, ok := types.Unalias(t).(*types.Named); ok {
		return inMain(n.Obj()) && !types.IsInterface(t)
	}
	return em.t.s.twins[types.TypeString(t, nil)] || slices.ContainsFunc(em.sessionTypes(), func(n *types.Named) bool {
		return !types.IsInterface(n) && types.Identical(n.Underlying(), t)
	})
}

// exact is a helper that asserts an empty interface to a type with twins: the
// interpreter's own form of the value tells which it is.
func (em *emitter) exact(to types.Type, pair bool) string {
	ts, name := em.typ(to), ""
	if _, ok := types.Unalias(to).(*types.Named); ok {
		name = ts
	}
	h := "H_is_" + mangle(ts)
	em.helper(h, fmt.Sprintf("func %s(x interface{}) (%s, bool) {\nr, ok := R_.As(&x, %q).(%s)\nreturn r, ok\n}", h, ts, name, ts))
	if pair {
		return h
	}
	must := "H_must" + strings.TrimPrefix(h, "H")
	return em.helper(must, fmt.Sprintf("func %s(x interface{}) %s {\ny, ok := %s(x)\nif !ok { R_.NoConversion(&x, %q) }\nreturn y\n}", must, ts, h, typeString(to)))
}

// asInterfaceOf is a helper that asserts an empty interface to one of the
// session: yaegi cannot store the result of its own assertion there, finds no
// methods of T on a *T, and none at all on what comes from a compiled interface.
func (em *emitter) asInterfaceOf(to types.Type, it *types.Interface) string {
	ts := em.typ(to)
	var b strings.Builder
	name := "H_as_" + mangle(ts)
	for _, nt := range em.implementers(it, true) {
		t := em.typ(nt)
		b.WriteString("if p, ok := x.(*" + t + "); ok { return p, true }\n")
		_, st := nt.Underlying().(*types.Struct)
		switch is := types.Implements(nt, it); {
		case is && st:
			b.WriteString("if v, ok := x.(" + t + "); ok { return v, true }\n")
		case st: // for yaegi a value has the methods of its pointer too
			b.WriteString("if _, ok := x.(" + t + "); ok { var z " + ts + "; return z, false }\n")
		case !is:
			b.WriteString("if _, ok := " + em.exact(nt, true) + "(x); ok { var z " + ts + "; return z, false }\n")
		}
		name += "_" + mangle(t)
	}
	b.WriteString(em.adapted(ts, it))
	return em.helper(name, "func "+name+"(x interface{}) ("+ts+", bool) {\n"+b.String()+"r, ok := R_.Raw(&x).("+ts+")\nreturn r, ok\n}")
}

// adapterTag marks the structs that adapted makes: what counts is their first field.
const adapterTag = `adapts:"1"`

// adapted writes the way by which a value of a compiled type becomes an
// interface of the session: yaegi does not look for methods on it, so a struct
// of the methods stands for it.
func (em *emitter) adapted(ts string, it *types.Interface) string {
	name := "H_adapt_" + mangle(ts)
	var fields, methods, names, oks, inits strings.Builder
	for i := range it.NumMethods() {
		m := it.Method(i)
		if !m.Exported() {
			return ""
		}
		sg := m.Signature()
		ps, as := em.numbered(sg)
		f := "func" + em.signature(sg)
		fmt.Fprintf(&fields, "; F%d %s", i, f)
		fmt.Fprintf(&methods, "func (a *%s) %s(%s)%s { %sa.F%d(%s) }\n", name, m.Name(), ps, em.results(sg.Results()), returns(sg), i, as)
		fmt.Fprintf(&names, ", %q", m.Name())
		fmt.Fprintf(&oks, "f%d, ok := fs[%d].(%s)\nif !ok { var z %s; return z, false }\n", i, i, f, ts)
		fmt.Fprintf(&inits, ", f%d", i)
	}
	if !em.t.s.helpers[name] && !em.t.helpers[name] {
		fmt.Fprintf(&em.t.typeDefs, "type %s struct{ V interface{} %q%s }\n", name, adapterTag, fields.String())
	}
	em.helper(name, methods.String())
	return fmt.Sprintf("if fs := R_.Methods(x%s); fs != nil {\n%sreturn &%s{x%s}, true\n}\n", names.String(), oks.String(), name, inits.String())
}

// wrapped is a helper that makes the session's values in an empty interface an
// interface of a compiled package: yaegi's own assertion finds no methods of T
// on a *T and gives the methods of a struct a wrong receiver.
func (em *emitter) wrapped(to types.Type, it *types.Interface) string {
	ts := em.typ(to)
	var b strings.Builder
	name := "H_wrap_" + mangle(ts)
	for _, nt := range em.implementers(it, true) {
		t := em.typ(nt)
		b.WriteString("if p, ok := x.(*" + t + "); ok {\nvar i " + ts + " = p\nreturn i\n}\n")
		if _, st := nt.Underlying().(*types.Struct); !types.Implements(nt, it) { // see asInterfaceOf
			if st {
				b.WriteString("if _, ok := x.(" + t + "); ok { return nil }\n")
			} else {
				b.WriteString("if _, ok := " + em.exact(nt, true) + "(x); ok { return nil }\n")
			}
		} else if k, ok := em.keeper(nt, to); ok {
			b.WriteString("if v, ok := x.(" + t + "); ok { return " + k + "(v) }\n")
		}
		name += "_" + mangle(t)
	}
	if b.Len() == 0 {
		return ""
	}
	return em.helper(name, "func "+name+"(x interface{}) interface{} {\n"+b.String()+"return x\n}")
}

// implementers lists the session's types whose values, or pointers, have the
// methods of an interface, as far as the cell can reach them.
func (em *emitter) implementers(it *types.Interface, pointers bool) []*types.Named {
	return slices.DeleteFunc(em.sessionTypes(), func(n *types.Named) bool {
		return types.IsInterface(n) || !types.Implements(n, it) && !(pointers && types.Implements(types.NewPointer(n), it))
	})
}

// sessionTypes lists the session's types, as far as the cell can reach them:
// of those of functions the ones that it has emitted.
func (em *emitter) sessionTypes() []*types.Named {
	var pkg *types.Package
	for _, o := range em.info.Defs {
		if topLevel(o) {
			pkg = o.Pkg()
			break
		}
	}
	if pkg == nil {
		return nil
	}
	var out []*types.Named
	for _, n := range pkg.Scope().Names() {
		tn, ok := pkg.Scope().Lookup(n).(*types.TypeName)
		if !ok || tn.IsAlias() {
			continue
		}
		if nt, ok := tn.Type().(*types.Named); ok && nt.TypeParams().Len() == 0 {
			out = append(out, nt)
		}
	}
	for _, t := range em.t.newTypes {
		if !topLevel(t.typ.Obj()) {
			out = append(out, t.typ)
		}
	}
	return out
}

func (em *emitter) binary(e *ast.BinaryExpr) string {
	x, y := em.info.TypeOf(e.X), em.info.TypeOf(e.Y)
	switch e.Op {
	case token.EQL, token.NEQ:
		// yaegi compares its wrappers, not what they hold
		if !em.info.Types[e.X].IsNil() && !em.info.Types[e.Y].IsNil() && (types.IsInterface(x) || types.IsInterface(y)) {
			s := em.equal(e.X, e.Y, x, y)
			if e.Op == token.NEQ {
				s = "!" + s
			}
			return s
		}
		if x != nil && !types.IsInterface(x) && holdsInterface(x, true) {
			s := "R_.EqParts(" + em.expr(e.X) + ", " + em.to(e.Y, x) + ")"
			if e.Op == token.NEQ {
				s = "!" + s
			}
			return s
		}
	case token.LAND, token.LOR:
		em.conditions++
		defer func() { em.conditions-- }()
	case token.SHL, token.SHR:
		return em.expr(e.X) + " " + e.Op.String() + " " + em.expr(e.Y)
	}
	if otherStruct(x, y) {
		return em.to(e.X, y) + " " + e.Op.String() + " " + em.expr(e.Y)
	}
	return em.to(e.X, y) + " " + e.Op.String() + " " + em.to(e.Y, x)
}

// equal compares two values, one at least of interface type.
func (em *emitter) equal(a, b ast.Expr, x, y types.Type) string {
	empty := func(t types.Type) bool {
		it, ok := t.Underlying().(*types.Interface)
		return ok && it.NumMethods() == 0
	}
	switch { // the names of types stay with values that become any by an argument
	case empty(x):
		other := em.to(b, x)
		if em.info.Types[b].Value == nil {
			other = "(" + other + ")"
		}
		return em.helper("H_eq", "func H_eq(x, y interface{}) bool { return R_.EqAny(&x, &y) }") + "(" + em.expr(a) + ", " + other + ")"
	case empty(y):
		return em.equal(b, a, y, x)
	}
	return "R_.Eq(" + em.expr(a) + ", " + em.expr(b) + ")"
}

func (em *emitter) ident(e *ast.Ident) string {
	o := em.info.ObjectOf(e)
	if o == nil || e.Name == "_" {
		return e.Name
	}
	if n, ok := em.renamed[o]; ok {
		return n
	}
	switch {
	case o.Pkg() == nil:
		return o.Name()
	case topLevel(o):
		em.refs[e.Name] = true
		if f, ok := o.(*types.Func); ok && f.Signature().TypeParams().Len() > 0 {
			return em.funcInstance(e)
		}
		d := em.t.w.decls[e.Name]
		if d == nil {
			panic("no declaration of " + e.Name)
		}
		return d.emitted
	case !inMain(o) && o.Parent() == o.Pkg().Scope(): // a dot import
		return em.member(e, o)
	}
	return e.Name
}

// instantiated is the instance a generic function with explicit type
// arguments stands for, "" if x is none.
func (em *emitter) instantiated(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		if _, ok := em.info.Instances[x]; ok {
			return em.ident(x)
		}
	case *ast.SelectorExpr:
		if _, ok := em.info.Instances[x.Sel]; ok {
			return em.selector(x)
		}
	}
	return ""
}

// member is a name of a compiled package.
func (em *emitter) member(sel *ast.Ident, o types.Object) string {
	path := o.Pkg().Path()
	if f, ok := o.(*types.Func); ok && f.Signature().TypeParams().Len() > 0 {
		return em.libraryInstance(sel, f)
	}
	return em.pkg(path) + "." + o.Name()
}

func (em *emitter) selector(e *ast.SelectorExpr) string {
	sel := em.info.Selections[e]
	if sel == nil {
		return em.member(e.Sel, em.info.Uses[e.Sel])
	}
	m, _ := sel.Obj().(*types.Func)
	switch sel.Kind() {
	case types.FieldVal:
		return em.path(e.X, sel.Recv(), sel.Index())
	case types.MethodVal: // a bound method: yaegi binds late and loses receivers, so bind in a literal
		fn, recv, ok := em.static(e, sel)
		if !ok {
			return em.compiledMethod(e, sel)
		}
		sg := sel.Type().(*types.Signature)
		ps, as := em.numbered(sg)
		v := em.fresh("r")
		return fmt.Sprintf("func(%s %s) func%s { return func(%s)%s { %s%s(%s) } }(%s)", v, em.receiverType(m, sel), em.signature(sg), ps, em.results(sg.Results()), returns(sg), fn, join(v, as), recv)
	}
	sg := sel.Type().(*types.Signature) // a method expression T.m
	ps, as := em.numbered(sg)
	recv, rest, _ := strings.Cut(as, ", ")
	call := recv + "." + e.Sel.Name + "(" + rest + ")"
	if d := em.methodDecl(m); d != nil && len(sel.Index()) == 1 {
		if isPointer(sg.Params().At(0).Type()) && !pointerReceiver(m) {
			recv = "*" + recv
		}
		call = em.methodFunc(d, sel.Recv()) + "(" + join(recv, rest) + ")"
	}
	return fmt.Sprintf("func(%s)%s { %s%s }", ps, em.results(sg.Results()), returns(sg), call)
}

// called writes what is called.
func (em *emitter) called(e ast.Expr) string {
	if se, ok := ast.Unparen(e).(*ast.SelectorExpr); ok {
		if sel := em.info.Selections[se]; sel != nil && sel.Kind() == types.MethodVal {
			if _, _, own := em.static(se, sel); !own {
				return em.path(se.X, sel.Recv(), sel.Index()[:len(sel.Index())-1]) + "." + se.Sel.Name
			}
		}
	}
	if _, ok := e.(*ast.StarExpr); ok {
		return "(" + em.expr(e) + ")"
	}
	return em.operand(e)
}

// compiledMethod writes a bound method of a compiled type, which package reflect
// binds: yaegi does it late, and takes it for a function of the receiver too.
func (em *emitter) compiledMethod(e *ast.SelectorExpr, sel *types.Selection) string {
	idx := sel.Index()[:len(sel.Index())-1]
	ty := pathEnd(sel.Recv(), idx)
	recv := em.path(e.X, sel.Recv(), idx)
	if types.IsInterface(ty) {
		return recv + "." + e.Sel.Name
	}
	m := sel.Obj().(*types.Func)
	if pointerReceiver(m) && !isPointer(ty) {
		recv = addressOf(recv)
	}
	return fmt.Sprintf("R_.Methods(%s, %q)[0].(%s)", recv, m.Name(), em.typ(sel.Type()))
}

func returns(s *types.Signature) string {
	if s.Results().Len() > 0 {
		return "return "
	}
	return ""
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// numbered writes parameters with names a0, a1, … and the same as arguments.
func (em *emitter) numbered(sg *types.Signature) (params, args string) {
	var ps, as []string
	for i := range sg.Params().Len() {
		n := fmt.Sprintf("a%d", i)
		ps = append(ps, n+" "+em.paramType(sg, i))
		if sg.Variadic() && i == sg.Params().Len()-1 {
			n += "..."
		}
		as = append(as, n)
	}
	return strings.Join(ps, ", "), strings.Join(as, ", ")
}

// path writes x followed by explicit field selections, promoted ones spelled out.
func (em *emitter) path(x ast.Expr, recv types.Type, index []int) string {
	if st, ok := ast.Unparen(x).(*ast.StarExpr); ok && len(index) > 0 && isIdent(st.X) && !isPointer(recv) { // (*p).f is p.f, which yaegi takes as an element too
		x = st.X
	}
	s := em.expr(x)
	if _, ok := ast.Unparen(x).(*ast.StarExpr); ok && len(index) > 0 {
		s = "(" + s + ")"
	}
	return s + em.fieldPath(recv, index)
}

func (em *emitter) fieldPath(ty types.Type, index []int) string {
	s := ""
	for _, i := range index {
		f := fieldAt(ty, i)
		s += "." + em.fieldName(f)
		ty = f.Type()
	}
	return s
}

func fieldAt(ty types.Type, i int) *types.Var {
	if p, ok := ty.Underlying().(*types.Pointer); ok {
		ty = p.Elem()
	}
	return ty.Underlying().(*types.Struct).Field(i)
}

func pathEnd(ty types.Type, index []int) types.Type {
	for _, i := range index {
		ty = fieldAt(ty, i).Type()
	}
	return ty
}

func (em *emitter) composite(e *ast.CompositeLit) string {
	ty := em.info.TypeOf(e)
	pre := ""
	if e.Type == nil { // elided: yaegi wants every type written
		if p, ok := ty.Underlying().(*types.Pointer); ok {
			ty, pre = p.Elem(), "&"
		}
	}
	ts := em.typ(ty)
	st, _ := ty.Underlying().(*types.Struct)
	var elem, key types.Type
	switch u := ty.Underlying().(type) {
	case *types.Slice:
		elem = u.Elem()
	case *types.Array:
		elem = u.Elem()
	case *types.Map:
		key, elem = u.Key(), u.Elem()
	}
	var el []string
	for i, x := range e.Elts {
		kv, keyed := x.(*ast.KeyValueExpr)
		value := x
		if keyed {
			value = kv.Value
		}
		value = ast.Unparen(value) // yaegi takes (*p - 1) for a type there
		switch {
		case keyed && st != nil:
			f := em.info.Uses[kv.Key.(*ast.Ident)].(*types.Var)
			el = append(el, em.fieldName(f)+": "+em.guard(value, em.to(value, f.Type()), f.Pkg()))
		case keyed:
			el = append(el, em.key(kv.Key, key)+": "+em.to(value, elem))
		case st != nil:
			el = append(el, em.guard(value, em.to(value, st.Field(i).Type()), st.Field(i).Pkg()))
		default:
			el = append(el, em.to(value, elem))
		}
	}
	return pre + ts + "{" + strings.Join(el, ", ") + "}"
}
