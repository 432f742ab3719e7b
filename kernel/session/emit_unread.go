package session

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// Go's compiler refuses a variable that nothing reads; a cell is allowed one,
// for the next cell may read it. An error that nobody looks at is another
// matter: where one is left that is not nil, the cell says so in a line.

var errorType = types.Universe.Lookup("error").Type()

func isError(t types.Type) bool { return t != nil && types.Identical(t, errorType) }

// unread writes what the cell checks at its end: the variables of type error
// that its statements assign and do not read afterwards.
func (em *emitter) unread(body *ast.BlockStmt) string {
	last := map[*types.Var]*ast.Ident{} // where it was assigned last
	since := map[*types.Var]token.Pos{} // from where on a use reads that
	read := map[*types.Var]token.Pos{}  // where it was read last
	written := map[*ast.Ident]bool{}    // on the left of an assignment
	topVar := func(e ast.Expr) (*ast.Ident, *types.Var) {
		id, ok := ast.Unparen(e).(*ast.Ident)
		if !ok {
			return nil, nil
		}
		v, _ := em.info.ObjectOf(id).(*types.Var)
		if v == nil || !topLevel(v) || !isError(v.Type()) {
			return nil, nil
		}
		return id, v
	}
	var loop ast.Node // the outermost around the node, if any
	var walk func(n ast.Node, literal bool)
	walk = func(n ast.Node, literal bool) {
		ast.Inspect(n, func(m ast.Node) bool {
			switch m := m.(type) {
			case *ast.FuncLit:
				if !literal {
					walk(m.Body, true)
					return false
				}
			case *ast.ForStmt, *ast.RangeStmt:
				if loop == nil {
					loop = m
					walk(m, literal)
					loop = nil
					return false
				}
			case *ast.AssignStmt:
				for _, l := range m.Lhs {
					id, v := topVar(l)
					if v == nil {
						continue
					}
					written[id] = true
					if literal || !em.mayFail(m.Rhs) { // a literal runs at a time of its own
						continue
					}
					last[v], since[v] = id, m.End()
					if loop != nil { // the next round may read it above
						since[v] = loop.Pos()
					}
				}
			case *ast.Ident:
				if _, v := topVar(m); v != nil && !written[m] {
					if literal {
						read[v] = body.End()
					} else {
						read[v] = max(read[v], m.Pos())
					}
				}
			}
			return true
		})
	}
	for _, st := range body.List {
		walk(st, false)
	}
	var b strings.Builder
	for _, v := range slices.SortedFunc(maps.Keys(last), func(v, w *types.Var) int { return strings.Compare(v.Name(), w.Name()) }) {
		d := em.t.w.decls[v.Name()]
		if d == nil || d.kind != declVar || read[v] >= since[v] || em.readElsewhere(d.key) {
			continue
		}
		if _, line, _ := em.t.s.position(last[v].Pos()); line > 0 { // not of a third-party package
			fmt.Fprintf(&b, "R_.Unread(%q, %d, %s)\n", d.key, line, d.emitted)
		}
	}
	return b.String()
}

// mayFail tells whether the right side of an assignment is a call that answers
// with an error, and none that makes an error to be used later.
func (em *emitter) mayFail(rhs []ast.Expr) bool {
	call, ok := ast.Unparen(rhs[len(rhs)-1]).(*ast.CallExpr)
	if !ok || em.info.Types[call.Fun].IsType() {
		return false
	}
	if se, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		if o := em.info.Uses[se.Sel]; o != nil && o.Pkg() != nil {
			return o.Pkg().Path() != "errors" && o.Name() != "Errorf"
		}
	}
	return true
}

// readElsewhere tells whether a function of the session uses a variable.
func (em *emitter) readElsewhere(key string) bool {
	for _, d := range em.t.w.decls {
		if d.fn != nil && d.refs[key] {
			return true
		}
	}
	return false
}

// dropped writes a call that stands as a statement and whose last result is an
// error; false for other statements. Printing fails where nobody reads it.
func (em *emitter) dropped(st ast.Stmt) (string, bool) {
	es, ok := st.(*ast.ExprStmt)
	if !ok || em.prints(es.X) {
		return "", false
	}
	_, line, _ := em.t.s.position(es.Pos())
	if line == 0 {
		return "", false
	}
	call, ok := ast.Unparen(es.X).(*ast.CallExpr)
	if !ok || em.info.Types[call.Fun].IsType() || em.info.Types[call.Fun].IsBuiltin() {
		return "", false
	}
	results := 1
	t := em.info.TypeOf(call)
	if tu, ok := t.(*types.Tuple); ok {
		if results = tu.Len(); results == 0 {
			return "", false
		}
		t = tu.At(results - 1).Type()
	}
	if !isError(t) {
		return "", false
	}
	v := em.fresh("e")
	return em.mark(st) + strings.Repeat("_, ", results-1) + v + " := " + em.expr(call) + "\n" +
		fmt.Sprintf("R_.Unread(%q, %d, %s)\n", "the error of "+em.callee(call), line, v), true
}

// callee is the function of a call as it was written.
func (em *emitter) callee(call *ast.CallExpr) string {
	text := plainNames(em.t.s.print(call.Fun))
	if strings.ContainsAny(text, "\n(") || len(text) > maxSummary {
		return "a call"
	}
	return text
}
