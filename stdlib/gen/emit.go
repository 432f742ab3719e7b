package main

import (
	"bytes"
	"fmt"
	"go/constant"
	"go/format"
	"go/types"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// emitter writes the table of one package as Go source.
type emitter struct {
	pkg     *types.Package
	els     elements
	imports map[string]string // path -> name, of the packages the source mentions
	taken   map[string]bool   // names in use for packages
	entries map[string]string // key of the table -> expression
	wraps   bytes.Buffer      // interface wrappers
}

// identifier spells an import path as a Go identifier.
func identifier(path string) string {
	return strings.NewReplacer("/", "_", ".", "_", "-", "_", "~", "_").Replace(path)
}

// emitTable is the source of the table of a package, a function named tableFunc(path).
func emitTable(dest string, p *types.Package, els elements) ([]byte, error) {
	e := &emitter{pkg: p, els: els, imports: map[string]string{}, taken: map[string]bool{}, entries: map[string]string{}}
	e.name("reflect", "reflect")
	for _, name := range p.Scope().Names() {
		if o := p.Scope().Lookup(name); o.Exported() {
			e.object(o)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\npackage %s\n\nimport (\n", header, dest)
	for _, path := range slices.Sorted(maps.Keys(e.imports)) {
		fmt.Fprintf(&b, "\t%s %q\n", e.imports[path], path)
	}
	fmt.Fprintf(&b, ")\n\nfunc %s() map[string]reflect.Value {\n\treturn map[string]reflect.Value{\n", tableFunc(p.Path()))
	for _, key := range slices.Sorted(maps.Keys(e.entries)) {
		fmt.Fprintf(&b, "\t\t%q: %s,\n", key, e.entries[key])
	}
	b.WriteString("\t}\n}\n")
	b.Write(e.wraps.Bytes())
	src, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Path(), err)
	}
	return src, nil
}

func tableFunc(path string) string { return "table_" + identifier(path) }

// tableFile ends in _table.go so that no path makes it a test or a file of one platform.
func tableFile(path string) string { return identifier(path) + "_table.go" }

// name is the name that the source calls a package by; asking for it imports the package.
func (e *emitter) name(path, name string) string {
	if n, ok := e.imports[path]; ok {
		return n
	}
	for e.taken[name] {
		name += "_"
	}
	e.taken[name] = true
	e.imports[path] = name
	return name
}

func (e *emitter) qualify(p *types.Package) string { return e.name(p.Path(), p.Name()) }

// self is the object qualified with its package.
func (e *emitter) self(o types.Object) string { return e.qualify(e.pkg) + "." + o.Name() }

func (e *emitter) value(key, expr string) { e.entries[key] = "reflect.ValueOf(" + expr + ")" }

func (e *emitter) typ(key, typ string) { e.value(key, "(*"+typ+")(nil)") }

func (e *emitter) object(o types.Object) {
	switch o := o.(type) {
	case *types.Const:
		e.value(o.Name(), e.constant(o))
	case *types.Var:
		e.entries[o.Name()] = "reflect.ValueOf(&" + e.self(o) + ").Elem()"
	case *types.Func:
		if params := o.Signature().TypeParams(); params.Len() > 0 {
			for _, in := range e.els.instances(o.Name(), o.Type(), params) {
				e.value(in.name, e.self(o)+e.typeArgs(in.args))
			}
			return
		}
		e.value(o.Name(), e.self(o))
	case *types.TypeName:
		e.typeName(o)
	}
}

// constant is an expression for a constant. An untyped one has no type to be a Go value of (and
// may fit none), so it becomes a constant.Value, as the interpreter expects.
func (e *emitter) constant(o *types.Const) string {
	if b, ok := o.Type().(*types.Basic); !ok || b.Info()&types.IsUntyped == 0 {
		return e.self(o)
	}
	var lit, tok string
	switch v := o.Val(); v.Kind() {
	case constant.String:
		lit, tok = v.ExactString(), "STRING"
	case constant.Int:
		lit, tok = v.ExactString(), "INT"
	case constant.Float:
		f, ok := constant.Val(v).(*big.Float)
		if !ok {
			f = new(big.Float).SetPrec(512).SetRat(constant.Val(v).(*big.Rat))
		}
		lit, tok = f.Text('g', int(float64(f.Prec())*0.30103)+2), "FLOAT"
	default:
		return e.self(o)
	}
	return fmt.Sprintf("%s.MakeFromLiteral(%q, %s.%s, 0)", e.name("go/constant", "constant"), lit, e.name("go/token", "token"), tok)
}

func (e *emitter) typeArgs(args []types.Type) string {
	var ss []string
	for _, a := range args {
		ss = append(ss, types.TypeString(a, e.qualify))
	}
	return "[" + strings.Join(ss, ", ") + "]"
}

func (e *emitter) typeName(o *types.TypeName) {
	iface, isInterface := o.Type().Underlying().(*types.Interface)
	if isInterface && !iface.IsMethodSet() {
		return // a constraint is no type of a value
	}
	var params *types.TypeParamList
	switch t := o.Type().(type) {
	case *types.Named:
		params = t.TypeParams()
	case *types.Alias:
		params = t.TypeParams()
	}
	if params.Len() > 0 {
		for _, in := range e.els.instances(o.Name(), o.Type(), params) {
			e.typ(in.name, e.self(o)+e.typeArgs(in.args))
		}
		return
	}
	e.typ(o.Name(), e.self(o))
	if isInterface {
		e.wrapper(o, iface)
	}
}

// wrapper writes the struct type through which the interpreter makes a value of the interface type
// out of a cell's value: IValue holds that value and WM the function that is its method M. Its shape
// is yaegi's. An interface that has a method no cell can write has none.
func (e *emitter) wrapper(o *types.TypeName, iface *types.Interface) {
	for m := range iface.Methods() {
		if !m.Exported() || !e.writable(m.Type(), map[types.Type]bool{}) {
			return
		}
	}
	typ := "_" + identifier(e.pkg.Path()) + "_" + o.Name()
	var fields, methods strings.Builder
	for m := range iface.Methods() {
		sig := m.Signature()
		var params, args, results []string
		for i := range sig.Params().Len() {
			p := types.TypeString(sig.Params().At(i).Type(), e.qualify)
			a := fmt.Sprintf("a%d", i)
			if sig.Variadic() && i == sig.Params().Len()-1 {
				params = append(params, a+" ..."+strings.TrimPrefix(p, "[]"))
				a += "..."
			} else {
				params = append(params, a+" "+p)
			}
			args = append(args, a)
		}
		for r := range sig.Results().Variables() {
			results = append(results, types.TypeString(r.Type(), e.qualify))
		}
		head := fmt.Sprintf("(%s) (%s)", strings.Join(params, ", "), strings.Join(results, ", "))
		fmt.Fprintf(&fields, "\tW%s func%s\n", m.Name(), head)
		fmt.Fprintf(&methods, "\nfunc (W %s) %s%s {\n", typ, m.Name(), head)
		if m.Name() == "String" {
			// fmt may ask a wrapper that was made without it.
			methods.WriteString("\tif W.WString == nil {\n\t\treturn \"\"\n\t}\n")
		}
		if len(results) > 0 {
			methods.WriteString("\treturn ")
		}
		fmt.Fprintf(&methods, "W.W%s(%s)\n}\n", m.Name(), strings.Join(args, ", "))
	}
	fmt.Fprintf(&e.wraps, "\n// %s wraps a cell's value as %s.\ntype %s struct {\n\tIValue any\n%s}\n%s",
		typ, e.self(o), typ, fields.String(), methods.String())
	e.typ("_"+o.Name(), typ)
}

// writable says that source outside the package can spell the type.
func (e *emitter) writable(t types.Type, seen map[types.Type]bool) bool {
	if seen[t] {
		return true
	}
	seen[t] = true
	all := func(ts ...types.Type) bool {
		return !slices.ContainsFunc(ts, func(t types.Type) bool { return !e.writable(t, seen) })
	}
	named := func(o *types.TypeName, args *types.TypeList) bool {
		if o.Pkg() != nil && (!o.Exported() || hidden(o.Pkg().Path())) {
			return false
		}
		return all(slices.Collect(args.Types())...)
	}
	switch t := t.(type) {
	case *types.Named:
		return named(t.Obj(), t.TypeArgs())
	case *types.Alias:
		return named(t.Obj(), t.TypeArgs())
	case *types.Pointer:
		return all(t.Elem())
	case *types.Slice:
		return all(t.Elem())
	case *types.Array:
		return all(t.Elem())
	case *types.Chan:
		return all(t.Elem())
	case *types.Map:
		return all(t.Key(), t.Elem())
	case *types.Tuple:
		for v := range t.Variables() {
			if !all(v.Type()) {
				return false
			}
		}
	case *types.Signature:
		return all(t.Params(), t.Results())
	case *types.Struct:
		for f := range t.Fields() {
			if !f.Exported() || !all(f.Type()) {
				return false
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			if !m.Exported() || !all(m.Type()) {
				return false
			}
		}
	}
	return true
}
