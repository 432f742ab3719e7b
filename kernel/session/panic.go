package session

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"

	"github.com/gonvex/gonvex/convex"
)

// A panic of interpreted code names a statement. Where in it, and which values
// were involved, is found afterwards in the cell's source.

// maxValues is how many variables are told of.
const maxValues = 6

// explain points a panic at the part of its statement that can be meant, and
// says what the variables of the statement hold.
func (s *Session) explain(e *CellError, w *world) {
	src, _ := behind(s.source(e.Cell), len(s.source(e.Cell)))
	fset := token.NewFileSet()
	pc, err := parseCell(fset, "cell", src)
	if err != nil {
		return
	}
	at := func(p token.Pos) bool {
		q := fset.Position(p)
		return q.Line == e.Line && q.Column == e.Col
	}
	var top, found ast.Stmt // the statement of the cell, nil in a function; and the one in question
	look := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			st, ok := n.(ast.Stmt)
			if _, block := n.(*ast.BlockStmt); ok && !block && found == nil && at(st.Pos()) {
				found = st
			}
			return found == nil
		})
	}
	for _, st := range pc.body.List {
		if look(st); found != nil {
			top = st
			break
		}
	}
	for _, fd := range pc.funcs {
		if found == nil {
			look(fd.Body)
		}
	}
	if found == nil {
		return
	}
	if p := suspects(found, e.Msg, w); len(p) == 1 {
		q := fset.Position(p[0])
		e.Line, e.Col = q.Line, q.Column
	}
	if top == nil {
		return // the names are those of the function's own variables
	}
	local := boundBelow(top)
	globals := s.m.Globals()
	var values []string
	own(found, func(n ast.Node) {
		id, ok := n.(*ast.Ident)
		if !ok || local[id.Name] || len(values) == maxValues {
			return
		}
		d := w.decls[id.Name]
		if d == nil || d.kind != declVar || d.predeclared {
			return
		}
		if text := described(globals[d.emitted]); text != "" && !slices.Contains(values, id.Name+" "+text) {
			values = append(values, id.Name+" "+text)
		}
	})
	e.Values = strings.Join(values, ", ")
}

// keep says which variables of an interrupted cell hold what a solve had found
// by then.
func (s *Session) keep(e *CellError, w *world) {
	src, _ := behind(s.source(e.Cell), len(s.source(e.Cell)))
	pc, err := parseCell(token.NewFileSet(), "cell", src)
	if err != nil {
		return
	}
	globals := s.m.Globals()
	var values []string
	for _, st := range pc.body.List {
		a, ok := st.(*ast.AssignStmt)
		if !ok {
			continue
		}
		for _, l := range a.Lhs {
			id, ok := l.(*ast.Ident)
			if !ok || w.decls[id.Name] == nil || w.decls[id.Name].kind != declVar {
				continue
			}
			v, _ := plain(globals[w.decls[id.Name].emitted])
			if !v.IsValid() || !v.CanInterface() {
				continue
			}
			if sol, ok := v.Interface().(*convex.Solution); ok && sol != nil && sol.Status == convex.Stopped {
				values = append(values, id.Name+" "+described(v))
			}
		}
	}
	if e.Values = strings.Join(values, ", "); e.Values != "" {
		e.Advice = "that is the best found by then, with its certificate: look at it in the next cell, or go on from it with Settings.Warm"
	}
}

// own calls f for the syntax of a statement, nested blocks and functions aside,
// and not for names behind a dot or of fields.
func own(st ast.Stmt, f func(ast.Node)) {
	ast.Inspect(st, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BlockStmt:
			return n == st
		case *ast.FuncLit:
			return false
		case *ast.AssignStmt: // not the names that were about to get a value
			if n.Tok != token.ASSIGN && n.Tok != token.DEFINE {
				break
			}
			for _, l := range n.Lhs {
				if _, bare := l.(*ast.Ident); !bare {
					own(&ast.ExprStmt{X: l}, f)
				}
			}
			for _, r := range n.Rhs {
				own(&ast.ExprStmt{X: r}, f)
			}
			return false
		case *ast.SelectorExpr:
			f(n)
			own(&ast.ExprStmt{X: n.X}, f)
			return false
		case *ast.KeyValueExpr:
			if _, ok := n.Key.(*ast.Ident); ok {
				own(&ast.ExprStmt{X: n.Value}, f)
				return false
			}
		}
		if n != nil {
			f(n)
		}
		return true
	})
}

// suspects lists the places in a statement that a panic can have come from.
func suspects(st ast.Stmt, msg string, w *world) []token.Pos {
	var out []token.Pos
	own(st, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.IndexExpr:
			if strings.Contains(msg, "index out of range") || strings.Contains(msg, "nil map") {
				out = append(out, n.Index.Pos())
			}
		case *ast.SliceExpr:
			if strings.Contains(msg, "slice bounds") {
				out = append(out, n.Lbrack+1)
			}
		case *ast.BinaryExpr:
			if strings.Contains(msg, "divide by zero") && (n.Op == token.QUO || n.Op == token.REM) {
				out = append(out, n.Y.Pos())
			}
		case *ast.StarExpr:
			if strings.Contains(msg, "nil pointer") {
				out = append(out, n.X.Pos())
			}
		case *ast.SelectorExpr:
			id, ok := n.X.(*ast.Ident)
			if pkg := ok && w.decls[id.Name] == nil && w.imports[id.Name] != ""; !pkg && strings.Contains(msg, "nil pointer") {
				out = append(out, n.X.Pos())
			}
		case *ast.TypeAssertExpr:
			if strings.Contains(msg, "interface conversion") {
				out = append(out, n.X.Pos())
			}
		case *ast.CallExpr:
			if strings.HasPrefix(msg, "mat: ") || strings.HasPrefix(msg, "blas: ") {
				out = append(out, n.Lparen+1)
			}
		}
	})
	return out
}

// boundBelow lists the names that a statement defines inside itself, which hide
// the cell's variables there.
func boundBelow(top ast.Stmt) map[string]bool {
	names := map[string]bool{}
	add := func(es ...ast.Expr) {
		for _, e := range es {
			if id, ok := e.(*ast.Ident); ok {
				names[id.Name] = true
			}
		}
	}
	ast.Inspect(top, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE && n != top {
				add(n.Lhs...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key, n.Value)
			}
		case *ast.Field:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.ValueSpec:
			if ds, ok := top.(*ast.DeclStmt); !ok || !slices.Contains(ds.Decl.(*ast.GenDecl).Specs, ast.Spec(n)) {
				for _, id := range n.Names {
					add(id)
				}
			}
		}
		return true
	})
	return names
}
