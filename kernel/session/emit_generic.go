package session

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"reflect"
	"strings"
	"sync"

	"github.com/gonvex/gonvex/stdlib"
)

// Generics are monomorphised: yaegi's own inference and instantiation fail on
// much that is ordinary. An instance is a clone of the declaration's syntax
// with the type parameters replaced, checked and emitted like any function.

// instance is a generic function instance that is still to be written.
type instance struct {
	fd   *ast.FuncDecl
	name string
}

// preludeSource has generic functions of Go's library in plain Go, for element
// types of the session, for which the library has no compiled instance.
//
//go:embed prelude.go.txt
var preludeSource string

// prelude maps "slicesꞏIndex" to its declaration.
var prelude = sync.OnceValue(func() map[string]*ast.FuncDecl {
	f, err := parser.ParseFile(token.NewFileSet(), "prelude", strings.ReplaceAll(preludeSource, "__", sep), parser.SkipObjectResolution)
	if err != nil {
		panic(err)
	}
	m := map[string]*ast.FuncDecl{}
	for _, d := range f.Decls {
		if fd, ok := d.(*ast.FuncDecl); ok {
			m[fd.Name.Name] = clone(reflect.ValueOf(fd), nil).Interface().(*ast.FuncDecl)
		}
	}
	return m
})

func (em *emitter) funcInstance(e *ast.Ident) string {
	in := em.info.Instances[e]
	if in.TypeArgs == nil {
		em.fail(e.Pos(), "the generic function %s needs type arguments here", e.Name)
	}
	if fd := prelude()[e.Name]; fd != nil {
		return em.instance(&decl{kind: declFunc, key: e.Name, fn: fd, emitted: e.Name}, in.TypeArgs)
	}
	return em.instance(em.t.w.decls[e.Name], in.TypeArgs)
}

// libraryInstance is a generic function of a compiled package: a compiled
// instance where the library has one, else the prelude's version.
func (em *emitter) libraryInstance(sel *ast.Ident, f *types.Func) string {
	path := f.Pkg().Path()
	var args []string
	for a := range em.info.Instances[sel].TypeArgs.Types() {
		args = append(args, types.TypeString(erase(a), nil))
	}
	if name, ok := stdlib.Instance(path, f.Name(), args); ok {
		return em.pkg(path) + "." + name
	}
	name := f.Pkg().Name() + sep + f.Name()
	if fd := prelude()[name]; fd != nil && em.info.Instances[sel].TypeArgs != nil {
		return em.instance(&decl{kind: declFunc, key: name, fn: fd, emitted: name}, em.info.Instances[sel].TypeArgs)
	}
	em.fail(sel.Pos(), "the generic function %s.%s is not available for %s", f.Pkg().Name(), f.Name(), strings.Join(args, ", "))
	return ""
}

func (em *emitter) isLibraryInstance(fun ast.Expr) bool {
	switch x := fun.(type) {
	case *ast.IndexExpr:
		return em.isLibraryInstance(x.X)
	case *ast.IndexListExpr:
		return em.isLibraryInstance(x.X)
	case *ast.SelectorExpr:
		o := em.info.Uses[x.Sel]
		_, ok := em.info.Instances[x.Sel]
		return ok && o != nil && !inMain(o)
	}
	return false
}

// erase is the type that compiled code sees of a session type.
func erase(ty types.Type) types.Type {
	if n, ok := types.Unalias(ty).(*types.Named); ok && inMain(n.Obj()) {
		return n.Underlying()
	}
	return types.Unalias(ty)
}

// instance returns the emitted name of a function or method for type
// arguments, and schedules it to be written if it is new.
func (em *emitter) instance(d *decl, targs *types.TypeList) string {
	var ts []string
	for a := range targs.Types() {
		ts = append(ts, em.typ(a))
	}
	key := d.emitted + "[" + strings.Join(ts, ",") + "]"
	if n := em.t.known(key); n != "" {
		return n
	}
	name := em.fresh("G") + "_" + strings.NewReplacer(".", "_", sep, "_").Replace(d.key)
	em.t.insts[key] = name
	var params []string
	if d.kind == declMethod {
		recv := d.fn.Recv.List[0].Type
		for {
			if s, ok := recv.(*ast.StarExpr); ok {
				recv = s.X
			} else if p, ok := recv.(*ast.ParenExpr); ok {
				recv = p.X
			} else {
				break
			}
		}
		switch x := recv.(type) {
		case *ast.IndexExpr:
			params = []string{x.Index.(*ast.Ident).Name}
		case *ast.IndexListExpr:
			for _, i := range x.Indices {
				params = append(params, i.(*ast.Ident).Name)
			}
		}
	} else {
		for _, f := range d.fn.Type.TypeParams.List {
			for _, n := range f.Names {
				params = append(params, n.Name)
			}
		}
	}
	sub := map[string]ast.Expr{}
	for i, p := range params {
		x, err := parser.ParseExpr(em.t.spell(targs.At(i), map[string]bool{}))
		if err != nil {
			panic(err)
		}
		clearPos(x)
		if p != "_" {
			sub[p] = x
		}
	}
	fd := clone(reflect.ValueOf(d.fn), sub).Interface().(*ast.FuncDecl)
	fd.Name = &ast.Ident{Name: name, NamePos: d.fn.Name.NamePos}
	fd.Type.TypeParams = nil
	if d.kind == declMethod { // the receiver becomes the first parameter
		if len(params) > 0 {
			fd.Recv.List[0].Type = em.receiverExpr(d, targs)
		}
		fd.Type.Params = &ast.FieldList{List: append(append([]*ast.Field{}, fd.Recv.List...), fd.Type.Params.List...)}
		fd.Recv = nil
		for _, f := range fd.Type.Params.List {
			if len(f.Names) == 0 {
				f.Names = []*ast.Ident{ident("_")}
			}
		}
	}
	em.t.pending = append(em.t.pending, instance{fd, name})
	return name
}

// receiverExpr spells the receiver's type for type arguments; its own type
// parameters may be blank.
func (em *emitter) receiverExpr(d *decl, targs *types.TypeList) ast.Expr {
	var args []string
	for a := range targs.Types() {
		args = append(args, em.t.spell(a, map[string]bool{}))
	}
	src := d.recv + "[" + strings.Join(args, ", ") + "]"
	if _, ok := ast.Unparen(d.fn.Recv.List[0].Type).(*ast.StarExpr); ok {
		src = "*" + src
	}
	x, err := parser.ParseExpr(src)
	if err != nil {
		panic(err)
	}
	clearPos(x)
	return x
}

// known is the emitted name of an instance made before, "" if there is none.
func (t *tx) known(key string) string {
	if n := t.s.insts[key]; n != "" {
		return n
	}
	return t.insts[key]
}

// typeInstance returns the emitted name of a generic type for its arguments
// and writes the type and its bridges if it is new.
func (em *emitter) typeInstance(d *decl, n *types.Named) string {
	var ts []string
	for a := range n.TypeArgs().Types() {
		ts = append(ts, em.typ(a))
	}
	key := d.emitted + "[" + strings.Join(ts, ",") + "]"
	if nm := em.t.known(key); nm != "" {
		return nm
	}
	name := em.t.newName(d.key + "_" + mangle(ts...))
	em.t.insts[key] = name
	u := em.underlying(name, n)
	em.t.typeDefs.WriteString("type " + name + " " + u + "\n")
	em.t.nameType(name, n)
	for m := range n.Methods() {
		if md := em.methodDecl(m); md != nil {
			impl := em.instance(md, n.TypeArgs())
			em.bridge(m, name, impl)
			em.publish(n, m, impl)
		}
	}
	em.promoted(n, name)
	return name
}

// clone copies a syntax tree and puts expressions in the place of the type
// parameters' names. Positions stay; comments and resolved objects go.
func clone(v reflect.Value, sub map[string]ast.Expr) reflect.Value {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		if id, ok := v.Interface().(*ast.Ident); ok && sub[id.Name] != nil {
			return reflect.ValueOf(&ast.ParenExpr{X: sub[id.Name]})
		}
		r := reflect.New(v.Type()).Elem()
		r.Set(clone(v.Elem(), sub))
		return r
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		switch v.Type().String() {
		case "*ast.Object", "*ast.Scope", "*ast.CommentGroup":
			return reflect.Zero(v.Type())
		}
		r := reflect.New(v.Type().Elem())
		r.Elem().Set(clone(v.Elem(), sub))
		return r
	case reflect.Struct:
		r := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			r.Field(i).Set(clone(v.Field(i), sub))
		}
		return r
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		r := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			r.Index(i).Set(clone(v.Index(i), sub))
		}
		return r
	}
	return v
}
