package session

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/constant"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// file builds the file that go/types checks: what the cell can reach of the
// world, the cell's declarations, extra functions, and the statements as the
// body of one function. Functions for which bare holds lose their bodies.
func (t *tx) file(body *ast.BlockStmt, bare func(*decl) bool, extra []*ast.FuncDecl) *ast.File {
	var nodes []ast.Node
	if body != nil {
		nodes = append(nodes, body)
	}
	for _, gd := range t.consts {
		nodes = append(nodes, gd)
	}
	for _, d := range t.newDecls {
		nodes = append(nodes, d.node())
	}
	for _, fd := range extra {
		nodes = append(nodes, fd)
	}
	names := idents(nodes...)
	dirty := t.w.dirty()
	for _, d := range dirty {
		names[d.key] = true
	}
	for _, d := range t.newDecls { // methods of a type that is already there
		if d.kind == declMethod {
			names[d.recv] = true
		}
	}

	if slices.ContainsFunc(nodes, asserts) || slices.ContainsFunc(dirty, func(d *decl) bool { return d.fn != nil && asserts(d.fn) }) {
		names[allTypes] = true
		for k, d := range t.w.decls {
			if d.kind == declType {
				names[k] = true
			}
		}
	}

	f := &ast.File{Name: ident(mainPath)}
	fun := func(d *decl) {
		fd := d.fn
		if bare(d) && fd.Body != nil {
			c := *fd
			c.Body = nil
			fd = &c
		}
		f.Decls = append(f.Decls, fd)
	}
	add := func(d *decl) {
		switch d.kind {
		case declFunc, declMethod:
			fun(d)
		case declType:
			f.Decls = append(f.Decls, &ast.GenDecl{Tok: token.TYPE, TokPos: d.spec.Pos(), Specs: []ast.Spec{d.spec}})
		case declVar, declConst:
			f.Decls = append(f.Decls, t.s.synthetic(d))
		}
	}
	for _, k := range t.w.reach(names) {
		add(t.w.decls[k])
	}
	for _, d := range t.newDecls {
		add(d)
	}
	for _, gd := range t.consts {
		f.Decls = append(f.Decls, gd)
	}
	for n := range names {
		if fd := prelude()[n]; fd != nil {
			c := *fd
			c.Body = nil
			f.Decls = append(f.Decls, &c)
		}
	}
	for _, fd := range extra {
		f.Decls = append(f.Decls, fd)
	}
	if body != nil {
		f.Decls = append(f.Decls, &ast.FuncDecl{Name: ident("cell" + sep), Type: &ast.FuncType{Params: &ast.FieldList{}}, Body: body})
	}

	imports := map[string]string{}
	for n, p := range t.w.imports {
		if strings.HasPrefix(n, ".") {
			imports["."+p] = p
		} else {
			imports[n] = p
		}
	}
	used := idents(f)
	var decls []ast.Decl
	for n, p := range imports {
		if strings.HasPrefix(n, ".") {
			decls = append(decls, importDecl(".", p))
		} else if used[n] {
			decls = append(decls, importDecl(n, p))
		}
	}
	for n := range used { // packages that spelled types mention
		if strings.HasPrefix(n, "P_") || strings.HasSuffix(n, sep) {
			if p, ok := t.s.aliases.Load(n); ok {
				decls = append(decls, importDecl(n, p.(string)))
			}
		}
	}
	f.Decls = append(decls, f.Decls...)
	return f
}

func importDecl(name, path string) ast.Decl {
	return &ast.GenDecl{Tok: token.IMPORT, Specs: []ast.Spec{&ast.ImportSpec{Name: ident(name), Path: &ast.BasicLit{Kind: token.STRING, Value: strconv.Quote(path)}}}}
}

// synthetic is the declaration of a variable or constant for the checker.
func (s *Session) synthetic(d *decl) ast.Decl {
	src := "var " + d.key + " " + d.typ
	if d.kind == declConst {
		src = "const " + d.key + " " + d.typ + " = " + d.val
	}
	if x, ok := s.synth.Load(src); ok {
		return x.(ast.Decl)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "", "package main\n"+src, parser.SkipObjectResolution)
	if err != nil {
		panic(fmt.Sprint(src, ": ", err))
	}
	clearPos(f.Decls[0])
	x, _ := s.synth.LoadOrStore(src, f.Decls[0])
	return x.(ast.Decl)
}

// clearPos takes a foreign file set's positions off the names of a declaration.
func clearPos(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.Ident:
			x.NamePos = token.NoPos
		case *ast.GenDecl:
			x.TokPos = token.NoPos
		case *ast.BasicLit:
			x.ValuePos = token.NoPos
		}
		return true
	})
}

func newInfo() *types.Info {
	return &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{}, Instances: map[*ast.Ident]types.Instance{},
		Implicits: map[ast.Node]types.Object{}, Scopes: map[ast.Node]*types.Scope{},
	}
}

// typecheck runs go/types; unused names and missing bodies are no errors.
func (s *Session) typecheck(f *ast.File) (*types.Package, *types.Info, []types.Error) {
	return s.typecheckIn(s.fset, f)
}

func (s *Session) typecheckIn(fset *token.FileSet, f *ast.File) (*types.Package, *types.Info, []types.Error) {
	var errs []types.Error
	info := newInfo()
	conf := types.Config{
		Importer:                 s.imp,
		DisableUnusedImportCheck: true,
		Error: func(err error) {
			e, ok := err.(types.Error)
			if !ok {
				return
			}
			switch {
			case strings.HasPrefix(e.Msg, "declared and not used"), strings.HasSuffix(e.Msg, "declared and not used"),
				strings.HasSuffix(e.Msg, "imported and not used"), strings.Contains(e.Msg, "missing function body"):
				return
			case strings.HasPrefix(e.Msg, "\t") && len(errs) > 0: // a further line of the error before
				return
			}
			errs = append(errs, e)
		},
	}
	pkg := types.NewPackage(mainPath, mainPath)
	types.NewChecker(&conf, fset, pkg, info).Files([]*ast.File{f})
	return pkg, info, errs
}

// check checks the file that build makes. Declarations of earlier cells that
// no longer compile are dropped with a warning and the check is done again;
// an error in the cell itself ends it.
func (t *tx) check(build func() *ast.File) (*types.Package, *types.Info, *CellError) {
	for {
		pkg, info, errs := t.s.typecheck(build())
		if len(errs) == 0 {
			return pkg, info, nil
		}
		dropped, retry := map[string]bool{}, false
		for i := range errs {
			e := &errs[i]
			if c, _, _ := t.s.position(e.Pos); c == t.n {
				if retry = t.embedded(*e); retry {
					break
				}
				t.lastPos = e.Pos
				return nil, nil, t.s.errAt(KindType, e.Pos, plainNames(e.Msg))
			}
			if d := t.declAt(e.Pos); d != nil {
				delete(t.w.decls, d.key)
				dropped[d.key] = true
				t.warnf("%s %s (cell %d) was dropped, it no longer compiles: %s", d.kind, strings.TrimSuffix(d.key, sep), t.s.number(d.cell), plainNames(e.Msg))
			}
		}
		if retry {
			continue
		}
		if len(dropped) == 0 {
			t.lastPos = errs[0].Pos
			return nil, nil, t.s.errAt(KindType, errs[0].Pos, plainNames(errs[0].Msg))
		}
		t.markDirty(dropped)
	}
}

// declAt finds the declaration of an earlier cell that holds a position.
func (t *tx) declAt(p token.Pos) *decl {
	for _, d := range t.w.decls {
		if n := d.node(); n != nil && d.cell != t.n && p.IsValid() && p >= n.Pos() && p < n.End() {
			return d
		}
	}
	return nil
}

var markedPackage = regexp.MustCompile(sep + "pkg" + sep + "[^" + sep + "]*" + sep) // see packageName

// plainNames takes the session's own marks out of a message.
func plainNames(m string) string {
	m = markedPackage.ReplaceAllString(strings.ReplaceAll(m, sep+"old", ""), "")
	return ownNames(strings.ReplaceAll(m, sep, ""))
}

// position is the place of p in a cell, zeros if it is in none.
func (s *Session) position(p token.Pos) (cell, line, col int) {
	if !p.IsValid() {
		return 0, 0, 0
	}
	q := s.fset.Position(p)
	if n, ok := strings.CutPrefix(q.Filename, "cell"); ok {
		cell, _ = strconv.Atoi(n)
		return cell, q.Line, q.Column
	}
	return 0, 0, 0
}

// print is the text of a node, formatted.
func (s *Session) print(n any) string {
	var b bytes.Buffer
	format.Node(&b, s.fset, n)
	return b.String()
}

// spell writes a type as source for the checker; refs collects the session's
// types it mentions.
func (t *tx) spell(ty types.Type, refs map[string]bool) string {
	seen := map[types.Type]bool{}
	var walk func(types.Type)
	walk = func(ty types.Type) {
		if ty == nil || seen[ty] {
			return
		}
		seen[ty] = true
		switch x := ty.(type) {
		case *types.Named:
			o := x.Obj()
			switch {
			case t.locals[o] != nil:
				refs[t.locals[o].Obj().Name()] = true
			case inMain(o) && !topLevel(o):
				panic(&CellError{Kind: KindType, Cell: t.n, Msg: "a top-level variable cannot have the function-local type " + o.Name()})
			case inMain(o):
				refs[o.Name()] = true
			case o.Pkg() != nil && !o.Exported():
				panic(&CellError{Kind: KindType, Cell: t.n, Msg: "a top-level variable cannot have the unexported type " + x.String()})
			}
			for a := range x.TypeArgs().Types() {
				walk(a)
			}
		case *types.Alias: // which stands under its own name
			if topLevel(x.Obj()) {
				refs[x.Obj().Name()] = true
			}
			walk(types.Unalias(x))
		case *types.Pointer:
			walk(x.Elem())
		case *types.Slice:
			walk(x.Elem())
		case *types.Array:
			walk(x.Elem())
		case *types.Chan:
			walk(x.Elem())
		case *types.Map:
			walk(x.Key())
			walk(x.Elem())
		case *types.Signature:
			walk(x.Params())
			walk(x.Results())
		case *types.Tuple:
			for v := range x.Variables() {
				walk(v.Type())
			}
		case *types.Struct:
			for f := range x.Fields() {
				walk(f.Type())
			}
		case *types.Interface:
			for m := range x.Methods() {
				walk(m.Type())
			}
		}
	}
	walk(ty)
	return types.TypeString(t.lifted(ty), func(p *types.Package) string {
		if p.Path() == mainPath {
			return ""
		}
		a := alias(p.Path())
		t.s.aliases.Store(a, p.Path())
		return a
	})
}

// lifted is a type with those at the top for the types of functions in it.
func (t *tx) lifted(ty types.Type) types.Type {
	if n, ok := types.Unalias(ty).(*types.Named); ok && t.locals[n.Obj()] != nil {
		return t.locals[n.Obj()]
	}
	if len(t.locals) == 0 {
		return ty
	}
	return rebuilt(ty, t.lifted)
}

// rebuilt is a type with others for its parts.
func rebuilt(t types.Type, part func(types.Type) types.Type) types.Type {
	switch x := t.(type) {
	case *types.Pointer:
		return types.NewPointer(part(x.Elem()))
	case *types.Slice:
		return types.NewSlice(part(x.Elem()))
	case *types.Array:
		return types.NewArray(part(x.Elem()), x.Len())
	case *types.Map:
		return types.NewMap(part(x.Key()), part(x.Elem()))
	case *types.Chan:
		return types.NewChan(x.Dir(), part(x.Elem()))
	case *types.Signature:
		return types.NewSignatureType(nil, nil, nil, part(x.Params()).(*types.Tuple), part(x.Results()).(*types.Tuple), x.Variadic())
	case *types.Tuple: // without the names of parameters
		vs := make([]*types.Var, x.Len())
		for i := range vs {
			vs[i] = types.NewVar(token.NoPos, nil, "", part(x.At(i).Type()))
		}
		return types.NewTuple(vs...)
	case *types.Struct:
		vs := make([]*types.Var, x.NumFields())
		tags := make([]string, len(vs))
		for i := range vs {
			f := x.Field(i)
			vs[i], tags[i] = types.NewField(f.Pos(), f.Pkg(), f.Name(), part(f.Type()), f.Embedded()), x.Tag(i)
		}
		return types.NewStruct(vs, tags)
	case *types.Named:
		if x.TypeArgs().Len() == 0 {
			return x
		}
		var args []types.Type
		for a := range x.TypeArgs().Types() {
			args = append(args, part(a))
		}
		n, err := types.Instantiate(nil, x.Origin(), args, false)
		if err != nil {
			panic(err)
		}
		return n
	}
	return t
}

// shortType makes a spelled type readable again.
func shortType(spelled string) string {
	var b strings.Builder
	for i, part := range strings.Split(spelled, "P_") {
		if name, rest, ok := strings.Cut(part, "."); i > 0 && ok && !strings.ContainsAny(name, " []*(){}") {
			part = name[strings.LastIndexByte(name, '_')+1:] + "." + rest
		}
		b.WriteString(part)
	}
	return ownNames(b.String())
}

// constSource writes a constant as an expression of exactly its value.
func constSource(v constant.Value) string {
	switch v.Kind() {
	case constant.Float:
		s := v.ExactString()
		if a, b, ok := strings.Cut(s, "/"); ok {
			return "(" + a + ".0/" + b + ".0)"
		}
		if !strings.ContainsAny(s, ".ep") {
			s += ".0"
		}
		return s
	case constant.Complex:
		return "(" + constSource(constant.ToFloat(constant.Real(v))) + "+" + constSource(constant.ToFloat(constant.Imag(v))) + "*1i)"
	}
	return v.ExactString()
}
