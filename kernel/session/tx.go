package session

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// tx is the transaction of one cell: it works on its own copy of the world,
// which replaces the session's when all of it has been loaded.
type tx struct {
	s        *Session
	w        *world
	n        int // the cell's number
	pc       *parsedCell
	warnings []string

	newDecls []*decl         // functions, methods and types of the cell
	newNames map[string]bool // keys the cell declares, constants included
	consts   []*ast.GenDecl
	stmts    []ast.Stmt
	values   map[ast.Stmt]bool // calls that must not stand as statements, like len(x)
	inits    []string
	main     string // the cell's main function, called once at its end
	lastPos  token.Pos

	extend   func(changed map[string]bool) // may change more, if not nil
	first    *types.Info                   // of the first pass, in which the cell's variables are local
	replaced map[string]*decl              // the variables of before that the cell defines with another type

	emission
}

func (s *Session) newTx(n int, pc *parsedCell) *tx {
	return &tx{s: s, w: s.world.Load().clone(), n: n, pc: pc, newNames: map[string]bool{}, values: map[ast.Stmt]bool{}, emission: newEmission()}
}

// touch returns a copy of a declaration that the transaction may write.
func (t *tx) touch(d *decl) *decl {
	if d.dirty {
		return d
	}
	c := *d
	c.dirty = true
	t.w.put(&c)
	return &c
}

func (t *tx) warnf(format string, a ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, a...))
}

// compile checks the cell and loads what it declares and its entry function.
func (t *tx) compile() error {
	return t.guarded(func() error {
		c, err := t.analyse()
		if err != nil {
			return err
		}
		return t.emit(c.info, c.body, c.last)
	})
}

// guarded runs a step of the transaction. What it panics with is an error.
func (t *tx) guarded(step func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			ce, ok := r.(*CellError)
			if !ok {
				ce = &CellError{Kind: KindInterpreter, Cell: t.n, Msg: fmt.Sprint("internal error of the session: ", r)}
				if t.s.debug != nil {
					fmt.Fprintf(t.s.debug, "%v\n%s\n", r, debug.Stack())
				}
			}
			err = ce
		}
	}()
	return step()
}

// analyse checks the cell and puts what it declares into the transaction's world.
func (t *tx) analyse() (*checked, error) {
	if err := t.addImports(); err != nil {
		return nil, err
	}
	t.collect()
	t.autoImport()
	if err := t.qualify(); err != nil {
		return nil, err
	}
	changed := t.replace()
	if t.extend != nil {
		t.extend(changed)
	}
	return t.checkStatements(changed)
}

// addImports takes the cell's imports into the world; the latest of a name wins.
func (t *tx) addImports() error {
	for _, is := range t.pc.imports {
		path, _ := strconv.Unquote(is.Path.Value)
		p, err := t.s.imp.Import(path)
		if err != nil {
			return t.s.errAt(KindType, is.Pos(), fmt.Sprintf("package %q is not available in this kernel", path))
		}
		name := p.Name()
		if is.Name != nil {
			name = is.Name.Name
		}
		switch name {
		case "_":
		case ".":
			t.w.imports["."+path] = path
		default:
			t.w.imports[name] = path
			delete(t.w.decls, name)
		}
	}
	return nil
}

func (t *tx) addDecl(d *decl) {
	d.cell, d.dirty = t.n, true
	t.newDecls = append(t.newDecls, d)
	t.newNames[d.key] = true
}

// collect sorts the cell into declarations, constants and statements.
func (t *tx) collect() {
	for _, fd := range t.pc.funcs {
		d := &decl{fn: fd, src: t.s.print(fd)}
		switch {
		case fd.Recv != nil && len(fd.Recv.List) == 1:
			d.kind, d.recv = declMethod, receiver(fd.Recv.List[0].Type)
			d.key = d.recv + "." + fd.Name.Name
		case fd.Name.Name == "_":
			continue
		case fd.Name.Name == "init": // every init of every cell runs once
			fd.Name.Name = fmt.Sprintf("init%s%d_%d", sep, t.n, len(t.inits))
			t.inits = append(t.inits, fd.Name.Name)
			d.key = fd.Name.Name
		case fd.Name.Name == "main": // runs in its own cell only
			fd.Name.Name = "main" + sep
			t.main = fd.Name.Name
			d.key, d.src = t.main, fmt.Sprint(d.src, "// ", t.n)
		default:
			d.key, d.generic = fd.Name.Name, fd.Type.TypeParams != nil
		}
		t.addDecl(d)
	}
	for _, st := range t.pc.body.List {
		if ds, ok := st.(*ast.DeclStmt); ok {
			gd := ds.Decl.(*ast.GenDecl)
			switch gd.Tok {
			case token.TYPE:
				for _, sp := range gd.Specs {
					ts := sp.(*ast.TypeSpec)
					t.addDecl(&decl{kind: declType, key: ts.Name.Name, spec: ts, src: t.s.print(ts), generic: ts.TypeParams != nil, doc: docOf(gd, ts.Doc, ts.Comment)})
				}
				continue
			case token.CONST:
				t.consts = append(t.consts, gd)
				for _, sp := range gd.Specs {
					for _, id := range sp.(*ast.ValueSpec).Names {
						t.newNames[id.Name] = true
					}
				}
				continue
			}
			if len(gd.Specs) > 1 { // one by one, so that they can be put in the order they need
				for _, sp := range gd.Specs {
					t.stmts = append(t.stmts, &ast.DeclStmt{Decl: &ast.GenDecl{Tok: token.VAR, TokPos: sp.Pos(), Specs: []ast.Spec{sp}}})
				}
				continue
			}
		}
		t.stmts = append(t.stmts, st)
	}
	for k := range t.newNames {
		delete(t.w.imports, k)
	}
}

// docOf is the comment of a type or constant: its own, or that of a declaration
// of nothing else, or the one behind it.
func docOf(gd *ast.GenDecl, doc, behind *ast.CommentGroup) string {
	if doc == nil && len(gd.Specs) == 1 {
		doc = gd.Doc
	}
	if doc == nil {
		doc = behind
	}
	return doc.Text()
}

// cellNodes is all syntax of the cell.
func (t *tx) cellNodes() []ast.Node {
	var ns []ast.Node
	for _, st := range t.stmts {
		ns = append(ns, st)
	}
	for _, gd := range t.consts {
		ns = append(ns, gd)
	}
	for _, d := range t.newDecls {
		ns = append(ns, d.node())
	}
	return ns
}

// autoImport imports packages that the cell names without importing, as
// goimports would. A name the cell itself binds somewhere is left alone.
func (t *tx) autoImport() {
	bound := map[string]bool{}
	bind := func(es ...ast.Expr) {
		for _, e := range es {
			if id, ok := e.(*ast.Ident); ok {
				bound[id.Name] = true
			}
		}
	}
	nodes := t.cellNodes()
	for _, n := range nodes {
		ast.Inspect(n, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.AssignStmt:
				if x.Tok == token.DEFINE {
					bind(x.Lhs...)
				}
			case *ast.RangeStmt:
				if x.Tok == token.DEFINE {
					bind(x.Key, x.Value)
				}
			case *ast.Field:
				for _, id := range x.Names {
					bind(id)
				}
			case *ast.ValueSpec:
				for _, id := range x.Names {
					bind(id)
				}
			}
			return true
		})
	}
	selected := map[string][]string{} // what the cell selects from names that mean nothing yet
	for _, n := range nodes {
		ast.Inspect(n, func(n ast.Node) bool {
			if se, ok := n.(*ast.SelectorExpr); ok {
				id, ok := se.X.(*ast.Ident)
				if ok && t.w.decls[id.Name] == nil && !t.newNames[id.Name] && t.w.imports[id.Name] == "" {
					selected[id.Name] = append(selected[id.Name], se.Sel.Name)
				}
			}
			return true
		})
	}
	for name, sel := range selected {
		if bound[name] { // plot := plot.New() means the package first, and then the variable
			sel = slices.DeleteFunc(sel, func(member string) bool { return !t.s.hasMember(name, member) })
			if len(sel) == 0 {
				continue
			}
		}
		if path, ok := t.s.namedPackage(name, sel); ok {
			t.w.imports[name] = path
		}
	}
	t.seeHidden()
}

// seeHidden names the package where a cell defines a variable of its name: in
// plot := plot.New() when the cell runs again, and in the cell's functions.
func (t *tx) seeHidden() {
	for _, st := range t.stmts {
		eachDefined([]ast.Stmt{st}, func(id *ast.Ident) {
			path := t.w.imports[id.Name]
			if d := t.w.decls[id.Name]; d != nil {
				path = d.hides
			}
			if path == "" {
				return
			}
			p, err := t.s.imp.Import(path)
			if err != nil {
				return
			}
			nodes := []ast.Node{st}
			for _, d := range t.newDecls {
				nodes = append(nodes, d.node())
			}
			for _, n := range nodes {
				ast.Inspect(n, func(n ast.Node) bool {
					if se, ok := n.(*ast.SelectorExpr); ok {
						if x, ok := se.X.(*ast.Ident); ok && x.Name == id.Name && p.Scope().Lookup(se.Sel.Name) != nil {
							x.Name = t.s.packageName(id.Name, path)
						}
					}
					return true
				})
			}
		})
	}
}

// packageName is a name of a package that no cell can give to anything else.
func (s *Session) packageName(name, path string) string {
	name, _, _ = strings.Cut(name, sep)
	name += sep + "pkg" + sep + strings.TrimPrefix(alias(path), "P_") + sep
	s.aliases.Store(name, path)
	return name
}

// namePackages gives the packages that syntax of the cell mentions, as far as
// want holds for their names, the names that stay theirs.
func (t *tx) namePackages(nodes []ast.Node, info *types.Info, want func(name string) bool) {
	for _, n := range nodes {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				if p, ok := info.Uses[id].(*types.PkgName); ok && !strings.Contains(id.Name, sep) && !strings.HasPrefix(id.Name, "P_") && want(id.Name) {
					id.Name = t.s.packageName(id.Name, p.Imported().Path())
				}
			}
			return true
		})
	}
}

// replace puts the cell's declarations in the place of those of the same
// name and marks what depends on them. A re-declaration with the same text is
// no change: running a cell again must not make new types. It returns the
// keys that changed.
func (t *tx) replace() map[string]bool {
	changed := map[string]bool{}
	count := map[string]int{}
	for _, d := range t.newDecls {
		count[d.key]++
	}
	var fresh []*decl
	for _, d := range t.newDecls {
		if o := t.w.decls[d.key]; o != nil && o.kind == d.kind && o.src == d.src && count[d.key] == 1 {
			delete(t.newNames, d.key)
			continue
		}
		if o := t.w.decls[d.key]; o != nil { // values that live find the new method where they found the old
			d.bridge, d.bridgeSig = o.bridge, o.bridgeSig
		}
		fresh = append(fresh, d)
		changed[d.key] = true
		if d.kind == declType || d.kind == declMethod {
			changed[allTypes] = true
		}
	}
	t.newDecls = fresh
	for k := range t.newNames {
		o := t.w.decls[k]
		if o == nil {
			continue
		}
		if o.kind == declType && !t.declares(k, declType) { // methods go with their type
			for mk, m := range t.w.decls {
				if m.kind == declMethod && m.recv == k {
					delete(t.w.decls, mk)
				}
			}
		}
		delete(t.w.decls, k)
		changed[k] = true
	}
	t.markDirty(changed)
	return changed
}

func (t *tx) declares(key string, kind declKind) bool {
	for _, d := range t.newDecls {
		if d.key == key && d.kind == kind {
			return true
		}
	}
	return false
}

// markDirty marks every declaration that depends on a changed one, to be
// checked and emitted again. Variables of a changed type go away.
func (t *tx) markDirty(changed map[string]bool) {
	if len(changed) == 0 {
		return
	}
	affected := func(d *decl) bool {
		if d.dirty || d.predeclared || changed[d.key] && (d.kind == declVar || d.kind == declConst) {
			return false
		}
		for r := range d.refs {
			if changed[r] {
				return true
			}
		}
		return false
	}
	for again := true; again; {
		again = false
		for _, d := range t.w.sorted(affected) {
			again = true
			changed[d.key] = true
			switch {
			case d.kind == declVar && !t.newNames[d.key]:
				delete(t.w.decls, d.key)
				t.warnf("variable %s was dropped: its type %s was redefined", d.key, shortType(d.typ))
			case d.kind != declVar && d.kind != declConst:
				t.touch(d)
			}
		}
	}
}

// checked is what the emitter needs of a checked cell.
type checked struct {
	info *types.Info
	body *ast.BlockStmt
	last []ast.Expr // the expressions to show
}

// checkStatements checks the cell in two passes. The first sees the
// statements as the body of one function, so that Go's rules of order and
// scope hold and x := x + 1 means the x of before; it gives the types of the
// variables the cell defines. In the second those are package variables and
// all changed functions are checked with their bodies.
func (t *tx) checkStatements(changed map[string]bool) (*checked, error) {
	pkg, info, err := t.checkAsBody()
	if err != nil {
		return nil, err
	}
	t.defineConsts(info, changed)
	old, defined := t.defineVars(info, changed)
	t.first, t.replaced = info, old
	var stmts, decls []ast.Node
	for _, st := range t.stmts {
		stmts = append(stmts, st)
	}
	t.namePackages(stmts, info, func(name string) bool { return t.w.decls[name] != nil })
	for id, o := range info.Uses { // what a redefinition reads is the variable of before
		if v, ok := o.(*types.Var); ok && v.Parent() == pkg.Scope() && old[v.Name()] != nil && t.inStatements(id) {
			id.Name += sep + "old"
		}
	}
	for n, o := range old {
		c := *o
		c.key = n + sep + "old"
		t.w.put(&c)
	}
	for _, d := range t.newDecls {
		t.w.put(d)
		decls = append(decls, d.node())
	}
	t.markDirty(changed)
	again := len(t.newDecls) > 0 || len(changed) > 0 || defined || len(t.w.dirty()) > 0
	t.newDecls = nil

	c := &checked{info: info, body: &ast.BlockStmt{Lbrace: t.pc.body.Lbrace, Rbrace: t.pc.body.Rbrace}}
	for i, st := range t.stmts {
		if x, ok := st.(*ast.ExprStmt); ok {
			if i == len(t.stmts)-1 && !t.pc.quiet {
				c.last = []ast.Expr{x.X}
			}
			if !isCallOrReceive(x.X) || t.values[x] {
				st = discard(x.X)
			}
		} else if t.pc.list != nil && st == ast.Stmt(t.pc.list) {
			if !t.pc.quiet {
				c.last = t.pc.list.Rhs
			}
		} else {
			st = hoist(st)
		}
		c.body.List = append(c.body.List, st)
	}
	if !again { // an ordinary cell: the first pass has said it all
		return c, nil
	}
	var ce *CellError
	if _, c.info, ce = t.check(func() *ast.File { return t.file(c.body, func(d *decl) bool { return !d.dirty }, nil) }); ce != nil {
		return nil, ce
	}
	t.namePackages(decls, c.info, func(string) bool { return true }) // a later variable may take the name
	for n := range old {
		t.gone = append(t.gone, n+sep+"old")
	}
	return c, nil
}

// checkAsBody is the first pass. It turns calls whose value may not be
// dropped into assignments and moves var declarations behind those they use.
func (t *tx) checkAsBody() (*types.Package, *types.Info, error) {
	body := &ast.BlockStmt{Lbrace: t.pc.body.Lbrace, Rbrace: t.pc.body.Rbrace}
	for _, st := range t.stmts {
		if es, ok := st.(*ast.ExprStmt); ok && !isCallOrReceive(es.X) {
			st = discard(es.X)
		}
		body.List = append(body.List, st)
	}
	for tries := 0; ; tries++ {
		pkg, info, err := t.check(func() *ast.File { return t.file(body, func(*decl) bool { return true }, nil) })
		if err == nil {
			return pkg, info, nil
		}
		retry := false
		if strings.HasSuffix(err.Msg, "is not used") {
			for i, st := range body.List {
				if es, ok := st.(*ast.ExprStmt); ok && t.lastPos >= es.Pos() && t.lastPos < es.End() {
					t.values[es] = true
					body.List[i] = discard(es.X)
					retry = true
				}
			}
		} else if name, ok := strings.CutPrefix(err.Msg, "undefined: "); ok {
			retry = t.moveAfter(body, name)
		}
		if !retry || tries > 100 {
			return nil, nil, err
		}
	}
}

// discard is _ = e, at e's place.
func discard(e ast.Expr) ast.Stmt {
	return assignBlanks([]ast.Expr{e})
}

// moveAfter moves the var declaration at the last error behind the one that
// declares name: package variables may be written in any order.
func (t *tx) moveAfter(body *ast.BlockStmt, name string) bool {
	for i, st := range body.List {
		if _, ok := st.(*ast.DeclStmt); !ok || t.lastPos < st.Pos() || t.lastPos >= st.End() {
			continue
		}
		for j := i + 1; j < len(body.List); j++ {
			ds, ok := body.List[j].(*ast.DeclStmt)
			if !ok {
				continue
			}
			for _, sp := range ds.Decl.(*ast.GenDecl).Specs {
				for _, id := range sp.(*ast.ValueSpec).Names {
					if id.Name == name {
						body.List, t.stmts = moved(body.List, i, j), moved(t.stmts, i, j)
						return true
					}
				}
			}
		}
	}
	return false
}

// moved puts element i behind element j.
func moved(l []ast.Stmt, i, j int) []ast.Stmt {
	m := append([]ast.Stmt{}, l[:i]...)
	m = append(append(m, l[i+1:j+1]...), l[i])
	return append(m, l[j+1:]...)
}

func (t *tx) inStatements(id *ast.Ident) bool {
	for _, st := range t.stmts {
		if id.Pos() >= st.Pos() && id.Pos() < st.End() {
			return true
		}
	}
	return false
}

// defineConsts keeps the cell's constants by value.
func (t *tx) defineConsts(info *types.Info, changed map[string]bool) {
	for _, gd := range t.consts {
		for _, sp := range gd.Specs {
			vs := sp.(*ast.ValueSpec)
			for _, id := range vs.Names {
				c, ok := info.Defs[id].(*types.Const)
				if !ok || id.Name == "_" {
					continue
				}
				t.hidesType(id)
				d := &decl{kind: declConst, key: id.Name, val: constSource(c.Val()), cell: t.n, refs: map[string]bool{}, doc: docOf(gd, vs.Doc, vs.Comment)}
				if b, ok := c.Type().(*types.Basic); !ok || b.Info()&types.IsUntyped == 0 {
					d.typ = t.spell(c.Type(), d.refs)
				} else if b.Kind() == types.UntypedRune {
					if n, ok := constant.Int64Val(c.Val()); ok {
						d.val = strconv.QuoteRune(rune(n))
					}
				}
				t.w.put(d)
				changed[id.Name] = true
			}
		}
	}
	t.consts = nil
}

// hidesType refuses names of predeclared types for what is no type: the names
// of all other cells' types would mean it.
func (t *tx) hidesType(id *ast.Ident) {
	if _, ok := types.Universe.Lookup(id.Name).(*types.TypeName); ok {
		panic(t.s.errAt(KindType, id.Pos(), fmt.Sprintf("%s is the name of a type, and all cells need it: choose another name, or use this one inside a function", id.Name)))
	}
}

// defineVars takes the variables the cell defines into the world. A variable
// defined again with the same type stays the same variable, which functions
// of earlier cells go on using. It returns the variables it replaces.
func (t *tx) defineVars(info *types.Info, changed map[string]bool) (old map[string]*decl, defined bool) {
	old = map[string]*decl{}
	add := func(id *ast.Ident) {
		v, ok := info.Defs[id].(*types.Var)
		if !ok || id.Name == "_" {
			return
		}
		t.hidesType(id)
		defined = true
		refs := map[string]bool{}
		_, line, _ := t.s.position(id.Pos())
		d := &decl{kind: declVar, key: id.Name, typ: t.spell(v.Type(), refs), refs: refs, cell: t.n, line: line, dirty: true, hides: t.w.imports[id.Name]}
		delete(t.w.imports, id.Name)
		if o := t.w.decls[id.Name]; o != nil {
			if d.hides == "" {
				d.hides = o.hides
			}
			stale := false
			for r := range refs {
				rd := t.w.decls[r]
				stale = stale || rd != nil && rd.dirty || t.newNames[r]
			}
			if o.kind == declVar && o.typ == d.typ && !stale && !o.dirty && !o.predeclared {
				same := *o
				same.cell, same.line, same.hides = t.n, line, d.hides
				t.w.put(&same)
				return
			}
			if o.kind == declVar {
				old[id.Name] = o
			}
			changed[id.Name] = true
		}
		t.w.put(d)
	}
	eachDefined(t.stmts, add)
	return old, defined
}

// eachDefined calls define for the names that statements define at the top of a cell.
func eachDefined(stmts []ast.Stmt, define func(*ast.Ident)) {
	for _, st := range stmts {
		if l, ok := st.(*ast.LabeledStmt); ok {
			st = l.Stmt
		}
		switch st := st.(type) {
		case *ast.AssignStmt:
			if st.Tok == token.DEFINE {
				for _, l := range st.Lhs {
					define(l.(*ast.Ident))
				}
			}
		case *ast.DeclStmt:
			for _, sp := range st.Decl.(*ast.GenDecl).Specs {
				if vs, ok := sp.(*ast.ValueSpec); ok {
					for _, id := range vs.Names {
						define(id)
					}
				}
			}
		}
	}
}

func isCallOrReceive(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.CallExpr:
		return true
	case *ast.UnaryExpr:
		return e.Op == token.ARROW
	}
	return false
}

// hoist turns a top-level definition into an assignment: the variables are
// package variables by then, and temporaries of the cell die with it.
func hoist(st ast.Stmt) ast.Stmt {
	switch x := st.(type) {
	case *ast.AssignStmt:
		if x.Tok == token.DEFINE {
			c := *x
			c.Tok = token.ASSIGN
			return &c
		}
	case *ast.LabeledStmt:
		c := *x
		c.Stmt = hoist(x.Stmt)
		return &c
	case *ast.DeclStmt:
		block := &ast.BlockStmt{Lbrace: x.Pos(), Rbrace: x.End()}
		for _, sp := range x.Decl.(*ast.GenDecl).Specs {
			vs := sp.(*ast.ValueSpec)
			var lhs []ast.Expr
			for _, id := range vs.Names {
				lhs = append(lhs, &ast.Ident{NamePos: id.NamePos, Name: id.Name})
			}
			if len(vs.Values) > 0 {
				block.List = append(block.List, &ast.AssignStmt{Lhs: lhs, TokPos: vs.Pos(), Tok: token.ASSIGN, Rhs: vs.Values})
				continue
			}
			for _, l := range lhs {
				if !isBlank(l) { // var x T makes x zero again
					zero := &ast.StarExpr{Star: vs.Pos(), X: &ast.CallExpr{Fun: &ast.Ident{Name: "new", NamePos: vs.Pos()}, Args: []ast.Expr{vs.Type}}}
					block.List = append(block.List, &ast.AssignStmt{Lhs: []ast.Expr{l}, TokPos: vs.Pos(), Tok: token.ASSIGN, Rhs: []ast.Expr{zero}})
				}
			}
		}
		if len(block.List) == 1 {
			return block.List[0]
		}
		return block
	}
	return st
}
