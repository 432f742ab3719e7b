package session

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/gonvex/gonvex/stdlib"
	"golang.org/x/tools/go/ast/astutil"
)

// A package that %get brought is checked as a package of its own. To run, all
// it declares becomes declarations of the session under names that no cell can
// spell: New of package uuid is uuidˑNew, and so are unexported fields and
// methods, which cells must not reach. What a cell selects from the package is
// turned into these names before the cell is checked. From there on nothing
// differs from what a cell has declared: generics, methods, printing and panics
// go the same way.

// importModules loads the third-party packages that a cell imports.
func (s *Session) importModules(ctx context.Context, code string) *CellError {
	if s.mods.paths() == nil {
		return nil
	}
	pc, err := parseCell(s.fset, fmt.Sprintf("cell%d", s.count), code)
	if err != nil {
		return nil // the cell's own compilation tells
	}
	for _, is := range pc.imports {
		path, _ := strconv.Unquote(is.Path.Value)
		if !s.mods.knows(path) {
			continue
		}
		if err := s.loadModule(ctx, path); err != nil {
			if ctx.Err() != nil {
				return interrupted(ctx)
			}
			return s.errAt(KindModule, is.Pos(), err.Error())
		}
	}
	return nil
}

// loadModule makes a package known to the checker and the interpreter, after
// those it imports.
func (s *Session) loadModule(ctx context.Context, path string) error {
	p := s.mods.get(path)
	if p.loaded {
		return nil
	}
	if err := s.mods.resolve(ctx, path); err != nil {
		return err
	}
	p = s.mods.get(path)
	fail := func(format string, a ...any) error {
		return fmt.Errorf("package %s cannot be interpreted: %s", path, fmt.Sprintf(format, a...))
	}
	if why := p.problem(); why != "" {
		return fail("%s", why)
	}
	for _, imp := range p.Imports {
		if _, ok := stdlib.Lookup(imp); ok {
			continue
		}
		if s.mods.get(imp) == nil {
			return fail("it uses package %s, which cells do not have", imp)
		}
		if err := s.loadModule(ctx, imp); err != nil {
			return fmt.Errorf("package %s needs another: %w", path, err)
		}
	}
	var files []*ast.File
	for _, name := range p.GoFiles {
		// A name of its own: positions in it are no positions in a cell.
		f, err := parser.ParseFile(s.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fail("%v", err)
		}
		for _, d := range f.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && fd.Body == nil {
				return fail("function %s is written in assembly (%s)", fd.Name.Name, strings.Join(p.SFiles, ", "))
			}
		}
		files = append(files, f)
	}
	info := newInfo()
	conf := types.Config{Importer: s.imp}
	tp, err := conf.Check(path, s.fset, files, info)
	if err != nil {
		return fail("%v", err)
	}
	doc := ""
	for _, f := range files {
		doc += f.Doc.Text()
	}
	s.mods.mu.Lock()
	p.types, p.doc = tp, doc
	s.mods.mu.Unlock()
	pc, err := s.asCell(p, files, info)
	if err != nil {
		return fail("%v", err)
	}
	t := s.newTx(s.count, pc)
	if err := t.compile(); err != nil {
		return fail("%v", where(s, t, err))
	}
	s.commit(t)
	p.loaded = true
	if ce := s.run(ctx, t.entry); ce != nil {
		return fail("its own initialisation fails: %s", ce.Msg)
	}
	return nil
}

// where adds the place in the package's source to an error of its compilation.
func where(s *Session, t *tx, err error) error {
	var ce *CellError
	if errors.As(err, &ce) && t.lastPos.IsValid() && ce.Line == 0 {
		q := s.fset.Position(t.lastPos)
		return fmt.Errorf("%s:%d: %s", filepath.Base(q.Filename), q.Line, ce.Msg)
	}
	if ce != nil {
		return errors.New(ce.Msg)
	}
	return err
}

// newName is the session's name of an object, "" for one that keeps its own.
func (m *modules) newName(o types.Object) string {
	if o == nil || o.Pkg() == nil {
		return ""
	}
	p := m.get(o.Pkg().Path())
	if p == nil {
		return ""
	}
	switch o := o.(type) {
	case *types.PkgName, *types.Label:
		return ""
	case *types.Var:
		if o.IsField() {
			if o.Embedded() { // its name is that of its type
				t := o.Type()
				if ptr, ok := t.(*types.Pointer); ok {
					t = ptr.Elem()
				}
				switch t := t.(type) {
				case *types.Named:
					return m.newName(t.Obj())
				case *types.Alias:
					return m.newName(t.Obj())
				}
				return ""
			}
			if !o.Exported() && o.Name() != "_" {
				return p.prefix + o.Name()
			}
			return ""
		}
	case *types.Func:
		if o.Signature().Recv() != nil {
			if !o.Exported() {
				return p.prefix + o.Name()
			}
			return ""
		}
	}
	if o.Parent() == o.Pkg().Scope() && o.Name() != "_" && o.Name() != "init" {
		return p.prefix + o.Name()
	}
	return ""
}

// asCell turns a checked package into the parts of a cell.
func (s *Session) asCell(p *modPackage, files []*ast.File, info *types.Info) (*parsedCell, error) {
	pc := &parsedCell{body: &ast.BlockStmt{}, quiet: true}
	var failed error
	type declared struct {
		id   *ast.Ident
		spec *ast.ValueSpec
	}
	vars := map[*types.Var]declared{}
	var blanks []ast.Stmt
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				pc.funcs = append(pc.funcs, d)
			case *ast.GenDecl:
				switch d.Tok {
				case token.TYPE, token.CONST:
					pc.body.List = append(pc.body.List, &ast.DeclStmt{Decl: d})
				case token.VAR:
					for _, sp := range d.Specs {
						vs := sp.(*ast.ValueSpec)
						for _, id := range vs.Names {
							if v, ok := info.Defs[id].(*types.Var); ok && id.Name != "_" {
								vars[v] = declared{id, vs}
								if len(vs.Values) == 0 {
									pc.body.List = append(pc.body.List, varDecl(vs.Type, nil, id))
								}
							}
						}
						if len(vs.Values) == 1 && vs.Names[0].Name == "_" && len(vs.Names) == 1 && calls(vs.Values[0], info) {
							blanks = append(blanks, discard(vs.Values[0]))
						}
					}
				}
			}
		}
	}
	for _, in := range info.InitOrder { // the order in which Go would give them their values
		var typ ast.Expr
		var names []*ast.Ident
		for _, v := range in.Lhs {
			if d, ok := vars[v]; ok {
				typ, names = d.spec.Type, append(names, d.id)
			} else if len(in.Lhs) > 1 {
				names = append(names, ident("_"))
			}
		}
		if len(names) > 0 {
			pc.body.List = append(pc.body.List, varDecl(typ, in.Rhs, names...))
		}
	}
	pc.body.List = append(pc.body.List, blanks...)

	for i, st := range pc.body.List {
		pc.body.List[i] = s.rename(st, p, info, &failed).(ast.Stmt)
	}
	for _, fd := range pc.funcs {
		s.rename(fd, p, info, &failed)
	}
	return pc, failed
}

// varDecl is var names typ = value, where typ or value may be nil.
func varDecl(typ, value ast.Expr, names ...*ast.Ident) ast.Stmt {
	vs := &ast.ValueSpec{Type: typ, Names: names}
	if value != nil {
		vs.Values = []ast.Expr{value}
	}
	return &ast.DeclStmt{Decl: &ast.GenDecl{Tok: token.VAR, TokPos: names[0].Pos(), Specs: []ast.Spec{vs}}}
}

// calls tells whether an expression calls a function.
func calls(e ast.Expr, info *types.Info) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		found = found || ok && !info.Types[c.Fun].IsType()
		return !found
	})
	return found
}

// rename gives what a package declares its names in the session, and what it
// imports the names under which the session has it.
func (s *Session) rename(n ast.Node, p *modPackage, info *types.Info, failed *error) ast.Node {
	return astutil.Apply(n, func(c *astutil.Cursor) bool {
		switch n := c.Node().(type) {
		case *ast.SelectorExpr:
			if pn, ok := packageOfSelector(n, info); ok {
				if s.mods.get(pn.Path()) != nil {
					c.Replace(&ast.Ident{NamePos: n.Pos(), Name: s.mods.newName(pn.Scope().Lookup(n.Sel.Name))})
					return false
				}
				a := alias(pn.Path())
				s.aliases.Store(a, pn.Path())
				c.Replace(&ast.SelectorExpr{X: &ast.Ident{NamePos: n.X.Pos(), Name: a}, Sel: n.Sel})
				return false
			}
		case *ast.Ident:
			o := info.Defs[n]
			if o == nil {
				o = info.Uses[n]
			}
			switch x := o.(type) {
			case nil:
				return true
			case *types.Var:
				o = x.Origin()
			case *types.Func:
				o = x.Origin()
			}
			if name := s.mods.newName(o); name != "" {
				n.Name = name
			} else if o.Pkg() != nil && o.Pkg().Path() != p.ImportPath && o.Parent() == o.Pkg().Scope() && s.mods.get(o.Pkg().Path()) == nil {
				*failed = fmt.Errorf("it imports package %s into its own names (import .)", o.Pkg().Path())
			}
		}
		return true
	}, nil)
}

// packageOfSelector is the package that x names in x.Sel.
func packageOfSelector(se *ast.SelectorExpr, info *types.Info) (*types.Package, bool) {
	id, ok := se.X.(*ast.Ident)
	if !ok {
		return nil, false
	}
	pn, ok := info.Uses[id].(*types.PkgName)
	if !ok {
		return nil, false
	}
	return pn.Imported(), true
}

// qualify turns what the cell selects from third-party packages into the names
// that the session has for it.
func (t *tx) qualify() error {
	nodes := t.cellNodes()
	used := idents(nodes...)
	ours := map[string]*types.Package{}
	for name, path := range t.w.imports {
		if n, dot := strings.CutPrefix(name, "."); used[n] || dot {
			if tp := t.s.mods.types(path); tp != nil {
				ours[name] = tp
			}
		}
	}
	if len(ours) == 0 {
		return nil
	}
	// The checker knows which names are the package's and which a variable's.
	body := &ast.BlockStmt{List: t.stmts, Lbrace: t.pc.body.Lbrace, Rbrace: t.pc.body.Rbrace}
	_, info, _ := t.s.typecheck(t.file(body, func(d *decl) bool { return d.cell != t.n }, nil))
	var failed error
	for _, n := range nodes {
		astutil.Apply(n, func(c *astutil.Cursor) bool {
			switch n := c.Node().(type) {
			case *ast.SelectorExpr:
				pn, ok := packageOfSelector(n, info)
				if id, named := n.X.(*ast.Ident); !ok && named && info.Uses[id] == nil && ours[id.Name] != nil { // behind another error
					pn, ok = ours[id.Name], true
				}
				if !ok || t.s.mods.get(pn.Path()) == nil {
					return true
				}
				o := pn.Scope().Lookup(n.Sel.Name)
				if o == nil || !o.Exported() {
					if failed == nil {
						failed = t.s.errAt(KindType, n.Sel.Pos(), fmt.Sprintf("undefined: %s.%s", pn.Name(), n.Sel.Name))
					}
					return false
				}
				c.Replace(&ast.Ident{NamePos: n.Pos(), Name: t.s.mods.newName(o)})
				return false
			case *ast.Ident: // of a dot import
				if o := info.Uses[n]; o != nil && o.Pkg() != nil && o.Parent() == o.Pkg().Scope() && !inMain(o) {
					if name := t.s.mods.newName(o); name != "" {
						n.Name = name
					}
				}
			}
			return true
		}, nil)
	}
	return failed
}

var missingField = regexp.MustCompile(`has no field or method (\w+)\)$|^unknown field (\w+) in struct literal`)

// embedded tries the session's name for an embedded field of a third-party
// type: x.Base is x.pkgˑBase. It tells whether there is something to try.
func (t *tx) embedded(e types.Error) bool {
	m := missingField.FindStringSubmatch(e.Msg)
	if m == nil {
		return false
	}
	name := m[1] + m[2]
	var keys []string
	for _, d := range t.w.sorted(func(d *decl) bool { return d.kind == declType && strings.HasSuffix(d.key, modSep+name) }) {
		keys = append(keys, d.key)
	}
	nodes := []ast.Node{&ast.BlockStmt{List: t.stmts}}
	for _, fd := range t.pc.funcs {
		nodes = append(nodes, fd)
	}
	done := false
	for _, n := range nodes {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Pos() == e.Pos && !done {
				i := 0 // the first to try, or the one behind the last tried
				for k, key := range keys {
					if key == id.Name {
						i = k + 1
					}
				}
				if i < len(keys) {
					id.Name, done = keys[i], true
				}
			}
			return !done
		})
	}
	return done
}

// ownNames takes the marks of third-party packages out of a text: uuidˑNew is
// uuid.New again.
func ownNames(text string) string {
	if !strings.Contains(text, modSep) {
		return text
	}
	return markedName.ReplaceAllString(text, "$1.")
}

// ownTypes is ownNames for types of which package main is named too.
func ownTypes(text string) string {
	if !strings.Contains(text, modSep) {
		return text
	}
	return ownNames(mainMarked.ReplaceAllString(text, "$1"))
}

var mainMarked = regexp.MustCompile(`\bmain\.([\pL_][\pL\pN_]*` + modSep + `)`)

var markedName = regexp.MustCompile(`([\pL_][\pL\pN_]*?)` + modSep + `(?:\d+` + modSep + `)?`)

// bareName is a field's name as its package wrote it.
func bareName(name string) string {
	if i := strings.LastIndex(name, modSep); i >= 0 {
		return name[i+len(modSep):]
	}
	return name
}
