package session

import (
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"regexp"
	"strconv"
	"strings"
)

// emission is what a transaction has written so far.
type emission struct {
	out      strings.Builder // declarations of the cell
	typeDefs strings.Builder // type declarations, loaded before the rest: yaegi resolves them in order
	setup    []string        // statements before the cell's own: bridges, init functions
	entry    func()          // runs the cell
	insts    map[string]string
	helpers  map[string]bool
	pending  []instance // generic instances still to be written
	gone     []string   // declarations that end with the transaction
	newTypes []emittedType
	locals   map[*types.TypeName]*types.Named // see local
}

func newEmission() emission {
	return emission{insts: map[string]string{}, helpers: map[string]bool{}, locals: map[*types.TypeName]*types.Named{}}
}

// emitter writes checked Go in the subset that yaegi runs right.
type emitter struct {
	t       *tx
	info    *types.Info
	refs    map[string]bool // declarations mentioned since it was last cleared
	fn      *function
	renamed map[types.Object]string // objects that go by another name here
	// deferIn is the frame in which a literal about to be emitted is deferred.
	deferIn string
	// conditions is how many && and || the expression is part of.
	conditions int
	// inInstance: type arguments make cases of type switches equal.
	inInstance bool
}

func (t *tx) emitter(info *types.Info) *emitter {
	return &emitter{t: t, info: info, refs: map[string]bool{}, renamed: map[types.Object]string{}}
}

func (em *emitter) fail(p token.Pos, format string, a ...any) {
	panic(em.t.s.errAt(KindInterpreter, p, fmt.Sprintf(format, a...)))
}

// next is a number for a fresh name.
func (em *emitter) next() int {
	em.t.s.uniq++
	return em.t.s.uniq
}

func (em *emitter) fresh(prefix string) string { return fmt.Sprintf("%s_%d", prefix, em.next()) }

// ownName matches what emitted code calls its own things.
var ownName = regexp.MustCompile(`^(?:[A-Z]|ts|tk|[a-z]\d*|I\d+)_`)

// newName is the emitted name of a new version of a declaration. Versions
// make redefinition possible: yaegi refuses or corrupts a second one.
func (t *tx) newName(base string) string {
	base, _, _ = strings.Cut(base, sep)
	s := t.s
	s.versions[base]++
	n := s.versions[base]
	if n == 1 && types.Universe.Lookup(base) == nil && base != "main" && base != "init" && !ownName.MatchString(base) {
		return base
	}
	return fmt.Sprintf("%s%s%d", base, sep, n)
}

func (em *emitter) pkg(path string) string {
	if err := em.t.s.use(path); err != nil {
		panic(&CellError{Kind: KindInterpreter, Msg: err.Error()})
	}
	return alias(path)
}

// ---- types

func (em *emitter) typ(ty types.Type) string {
	switch x := ty.(type) {
	case *types.Alias:
		return em.typ(types.Unalias(x))
	case *types.Basic:
		if x.Info()&types.IsUntyped != 0 {
			return em.typ(types.Default(x))
		}
		if x.Kind() == types.UnsafePointer {
			return em.pkg("unsafe") + ".Pointer"
		}
		return x.Name()
	case *types.Named:
		return em.named(x)
	case *types.Pointer:
		return "*" + em.typ(x.Elem())
	case *types.Slice:
		return "[]" + em.typ(x.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", x.Len(), em.typ(x.Elem()))
	case *types.Map:
		return "map[" + em.typ(x.Key()) + "]" + em.typ(x.Elem())
	case *types.Chan:
		switch x.Dir() {
		case types.SendOnly:
			return "chan<- " + em.typ(x.Elem())
		case types.RecvOnly:
			return "<-chan " + em.typ(x.Elem())
		}
		return "chan (" + em.typ(x.Elem()) + ")"
	case *types.Signature:
		return "func" + em.signature(x)
	case *types.Struct:
		return em.structType(x, "")
	case *types.Interface:
		if x.NumMethods() == 0 {
			return "interface{}"
		}
		var ms []string
		for m := range x.Methods() {
			ms = append(ms, m.Name()+em.signature(m.Signature()))
		}
		return "interface{" + strings.Join(ms, "; ") + "}"
	}
	panic(fmt.Sprintf("cannot emit the type %v (%T)", ty, ty))
}

func (em *emitter) named(x *types.Named) string {
	o := x.Obj()
	switch {
	case o.Pkg() == nil:
		return o.Name() // error, comparable
	case topLevel(o):
		d := em.t.w.decls[o.Name()]
		if d == nil {
			panic("no declaration of type " + o.Name())
		}
		em.refs[o.Name()] = true
		if x.TypeArgs().Len() > 0 {
			return em.typeInstance(d, x)
		}
		return d.emitted
	case inMain(o):
		return em.local(x)
	case x.TypeArgs().Len() > 0:
		if _, ok := x.Underlying().(*types.Struct); ok {
			panic(&CellError{Kind: KindInterpreter, Cell: em.t.n, Msg: "the generic type " + types.TypeString(x, (*types.Package).Name) + " of a compiled package is not available in cells"})
		}
		return em.typ(x.Underlying()) // iter.Seq[T] and the like
	}
	return em.pkg(o.Pkg().Path()) + "." + o.Name()
}

// local is the emitted name of a type that a function declares. It stands at the
// top like the others: yaegi takes two of one name in two functions for one, and
// helpers and generic instances, which stand there too, mention it.
func (em *emitter) local(n *types.Named) string {
	t, o := em.t, n.Obj()
	if top := t.locals[o]; top != nil {
		return top.Obj().Name()
	}
	t.s.versions[o.Name()]++
	name := fmt.Sprintf("%s%st%d", o.Name(), sep, t.s.versions[o.Name()])
	t.locals[o] = types.NewNamed(types.NewTypeName(token.NoPos, o.Pkg(), name, nil), n.Underlying(), nil)
	em.defineType(name, n)
	t.s.twins[types.TypeString(n.Underlying(), nil)] = true
	// the checker finds it while the cell is emitted, see instance
	refs := map[string]bool{}
	x, err := parser.ParseExpr(t.spell(n.Underlying(), refs))
	if err != nil {
		panic(err)
	}
	clearPos(x)
	t.w.decls[name] = &decl{kind: declType, key: name, spec: &ast.TypeSpec{Name: ident(name), Type: x}, emitted: name, refs: refs}
	t.gone = append(t.gone, name)
	return name
}

// locals writes the types that a body declares: its assertions must know of all.
func (em *emitter) locals(body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		if ts, ok := n.(*ast.TypeSpec); ok && !ts.Assign.IsValid() {
			if n, ok := em.info.TypeOf(ts.Name).(*types.Named); ok {
				em.local(n)
			}
		}
		return true
	})
}

// typeID names a static type in emitted code, see rt.typeID.
func (em *emitter) typeID(ty types.Type) int {
	components(ty, func(n *types.Named) {
		if !topLevel(n.Obj()) {
			em.local(n)
		}
	})
	return em.t.s.rt.typeID(em.t.lifted(ty))
}

// defineType writes the declaration of a type, without its own methods.
func (em *emitter) defineType(name string, n *types.Named) {
	t := em.t
	u := em.underlying(name, n)
	t.typeDefs.WriteString("type " + name + " " + u + "\n")
	t.nameType(name, n)
	em.promoted(n, name)
	switch n.Underlying().(type) {
	case *types.Struct, *types.Interface, *types.Pointer:
	default: // of a type without methods yaegi keeps no name in an interface
		fmt.Fprintf(&t.out, "func (%s) R_named() {}\n", name)
	}
}

// underlying writes what stands behind the name of a declared type.
func (em *emitter) underlying(name string, n *types.Named) string {
	if st, ok := n.Underlying().(*types.Struct); ok {
		return em.structType(st, name)
	}
	return em.typ(n.Underlying())
}

// structType writes a struct type, or what stands behind one's name.
func (em *emitter) structType(x *types.Struct, name string) string {
	if name != "" && x.NumFields() == 0 {
		return "struct{" + onlyField + " struct{} " + strconv.Quote(nameTag(hidden, name)) + "}"
	}
	var fs []string
	for i := range x.NumFields() {
		f := x.Field(i)
		s := em.fieldName(f) + " " + em.typ(f.Type())
		if f.Embedded() {
			s = em.typ(f.Type())
		}
		if tag := fieldTag(x, i, name); tag != "" {
			s += " " + strconv.Quote(tag)
		}
		fs = append(fs, s)
	}
	return "struct{" + strings.Join(fs, "; ") + "}"
}

func (em *emitter) signature(x *types.Signature) string {
	var ps []string
	for i := range x.Params().Len() {
		ps = append(ps, em.paramType(x, i))
	}
	return "(" + strings.Join(ps, ", ") + ")" + em.results(x.Results())
}

func (em *emitter) paramType(x *types.Signature, i int) string {
	ty := x.Params().At(i).Type()
	if x.Variadic() && i == x.Params().Len()-1 {
		if sl, ok := ty.Underlying().(*types.Slice); ok {
			return "..." + em.typ(sl.Elem())
		}
		return "...byte" // append([]byte, string...)
	}
	return em.typ(ty)
}

func (em *emitter) results(r *types.Tuple) string {
	var rs []string
	for v := range r.Variables() {
		rs = append(rs, em.typ(v.Type()))
	}
	switch len(rs) {
	case 0:
		return ""
	case 1:
		return " " + rs[0]
	}
	return " (" + strings.Join(rs, ", ") + ")"
}

// fieldName is a field's name in emitted code; an embedded field follows the
// emitted name of its type.
func (em *emitter) fieldName(v *types.Var) string {
	if v.Name() == "_" { // reflect has no two fields of one name
		return fmt.Sprintf("R_%d", v.Pos())
	}
	if !v.Embedded() {
		return v.Name()
	}
	s := strings.TrimPrefix(em.typ(v.Type()), "*")
	return s[strings.LastIndexByte(s, '.')+1:]
}

// parenType makes a type safe to stand before "(".
func parenType(ts string) string {
	for _, p := range []string{"*", "func", "<-", "chan", "interface"} {
		if strings.HasPrefix(ts, p) {
			return "(" + ts + ")"
		}
	}
	return ts
}

// ---- constants

// constant writes a constant of type ty; bare leaves out the conversion where
// the destination gives the type. Constants are folded because yaegi's own
// constant arithmetic is wrong in places.
func (em *emitter) constant(v constant.Value, ty types.Type, bare bool) string {
	b, ok := ty.Underlying().(*types.Basic)
	if !ok { // an interface
		ty = types.Default(ty)
		if b, ok = ty.Underlying().(*types.Basic); !ok {
			return v.ExactString()
		}
	}
	if b.Info()&types.IsUntyped != 0 {
		ty = types.Default(b)
		b, ok = ty.(*types.Basic)
		if !ok {
			b = types.Typ[types.Int32]
		}
	}
	lit, natural := "", types.Invalid // natural: the kind the literal has by itself
	switch {
	case b.Info()&types.IsBoolean != 0:
		lit, natural = v.ExactString(), types.Bool
	case b.Info()&types.IsString != 0:
		lit, natural = strconv.Quote(constant.StringVal(v)), types.String
	case b.Info()&types.IsInteger != 0:
		lit, natural = constant.ToInt(v).ExactString(), types.Int
	case b.Info()&types.IsFloat != 0:
		f, _ := constant.Float64Val(constant.ToFloat(v))
		lit, natural = strconv.FormatFloat(f, 'g', -1, 64), types.Float64
		if !strings.ContainsAny(lit, ".eE") {
			lit += ".0"
		}
	case b.Info()&types.IsComplex != 0:
		v = constant.ToComplex(v)
		re, _ := constant.Float64Val(constant.Real(v))
		im, _ := constant.Float64Val(constant.Imag(v))
		// not complex(): yaegi panics when it folds that into a larger constant
		lit = fmt.Sprintf("R_.Complex(%s, %s)", em.constant(constant.MakeFloat64(re), types.Typ[types.Float64], false), em.constant(constant.MakeFloat64(im), types.Typ[types.Float64], false))
		natural = types.Complex128
	}
	if strings.HasPrefix(lit, "-") {
		lit = "(" + lit + ")"
	}
	if bare || b.Kind() == natural && types.Identical(types.Unalias(ty), b) {
		return lit
	}
	if em.conditions > 0 { // where yaegi takes a converted constant for a condition
		ts := em.typ(ty)
		name := "K_" + mangle(ts) + "_" + hex.EncodeToString([]byte(lit))
		return em.helper(name, "var "+name+" "+ts+" = "+lit)
	}
	return "(" + em.typ(ty) + ")(" + lit + ")"
}

// to writes an expression for a destination of type dst: a constant needs no
// conversion there (conversions confuse yaegi's && and cost time).
func (em *emitter) to(e ast.Expr, dst types.Type) string {
	tv := em.info.Types[e]
	if dst != nil && types.IsInterface(dst) {
		return em.boxed(e, dst)
	}
	if dst != nil && otherStruct(tv.Type, dst) {
		return parenType(em.typ(dst)) + "(" + em.expr(e) + ")"
	}
	if tv.Value == nil || dst == nil {
		return em.expr(e)
	}
	b, ok := dst.Underlying().(*types.Basic)
	if !ok || b.Info()&types.IsConstType == 0 || b.Info()&(types.IsComplex|types.IsUntyped) != 0 {
		return em.expr(e)
	}
	return em.constant(tv.Value, types.Typ[b.Kind()], true)
}

// otherStruct tells two struct types one of which has no name: Go assigns one
// to the other, package reflect does not (see nameTag).
func otherStruct(src, dst types.Type) bool {
	if src == nil || types.Identical(src, dst) {
		return false
	}
	_, a := src.Underlying().(*types.Struct)
	_, b := dst.Underlying().(*types.Struct)
	return a && b
}

// mangle makes type names into part of an identifier.
func mangle(ss ...string) string {
	return strings.NewReplacer("[]", "s_", "map[", "m_", "]", "_", "*", "p_", ".", "_", "/", "_", " ", "", ",", "_",
		"{", "_", "}", "_", "(", "_", ")", "_", "[", "a_", sep, "_", ";", "_", "-", "_", "<", "_", "\"", "_", ":", "_", "\\", "_").Replace(strings.Join(ss, "__"))
}

// helper adds a small function to the session once and returns its name.
func (em *emitter) helper(name, src string) string {
	if !em.t.s.helpers[name] && !em.t.helpers[name] {
		em.t.helpers[name] = true
		em.t.out.WriteString(src + "\n")
	}
	return name
}
