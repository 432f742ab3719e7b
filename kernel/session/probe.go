package session

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"github.com/gonvex/gonvex/stdlib"
)

// probeBase is where positions of probed code begin, far above those of cells.
const probeBase = 1 << 40

// probe is what the checker says about an expression at a place in unfinished
// code. It reads a snapshot of the world and runs nothing, so it may be made
// while a cell runs.
type probe struct {
	w     *world
	info  *types.Info
	pkg   *types.Package
	at    token.Pos
	expr  ast.Expr
	scope *types.Scope // the innermost at the place, nil if unknown
}

// object is what the expression denotes, nil if it is no name.
func (p *probe) object() types.Object {
	switch x := ast.Unparen(p.expr).(type) {
	case *ast.Ident:
		return p.info.ObjectOf(x)
	case *ast.SelectorExpr:
		return p.info.ObjectOf(x.Sel)
	}
	return nil
}

// boundary is a place in code where a statement may begin, with the brackets
// that are open there.
type boundary struct {
	off  int
	open string // what closes them, innermost first
}

// boundaries lists the places before off, the last first.
func boundaries(toks []lexeme, off int) []boundary {
	out := []boundary{{0, ""}}
	var open []token.Token
	for _, t := range toks {
		if t.off >= off {
			break
		}
		switch bracket(t.tok) {
		case 1:
			open = append(open, t.tok)
		case -1:
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		}
		switch t.tok {
		case token.SEMICOLON, token.LBRACE, token.RBRACE, token.COLON:
			var b strings.Builder
			for i := len(open) - 1; i >= 0; i-- {
				switch open[i] {
				case token.LBRACE:
					b.WriteString("\n}")
				case token.LPAREN:
					b.WriteString(")")
				case token.LBRACK:
					b.WriteString("]")
				}
			}
			out = append(out, boundary{t.end, b.String()})
		}
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// probe checks expr as if it stood at byte off of code. What follows in the
// code is left out; what cannot be parsed is cut back to an earlier place.
func (s *Session) probe(code string, off int, expr string) *probe {
	toks, _, _ := lex(code)
	places := boundaries(toks, off)
	for i, b := range places {
		if i > 8 {
			b = places[len(places)-1]
		}
		for _, sep := range []string{"\n", "\ncase 0:\n"} { // inside a switch a statement needs a case
			fset := token.NewFileSet()
			fset.AddFile("", probeBase, 1)
			pc, err := parseCell(fset, "probe", code[:b.off]+sep+"_ = "+expr+b.open)
			if err == nil {
				if p := s.probeCell(fset, pc, expr); p != nil {
					return p
				}
			}
		}
		if i > 8 {
			break
		}
	}
	return nil
}

func (s *Session) probeCell(fset *token.FileSet, pc *parsedCell, expr string) (p *probe) {
	defer func() {
		if recover() != nil { // an error worded for a cell; here it means "nothing known"
			p = nil
		}
	}()
	t := s.newTx(-1, pc)
	for _, is := range pc.imports {
		path := strings.Trim(is.Path.Value, "\"`")
		if tp, err := s.imp.Import(path); err == nil {
			name := tp.Name()
			if is.Name != nil {
				name = is.Name.Name
			}
			if name == "." {
				name = "." + path
			}
			t.w.imports[name] = path
		}
	}
	t.collect()
	t.autoImport()
	if path, ok := stdlib.Named(expr); ok && t.w.imports[expr] == "" && t.w.decls[expr] == nil && !t.newNames[expr] {
		t.w.imports[expr] = path
	}
	for k := range t.newNames {
		delete(t.w.decls, k)
	}
	for _, d := range t.w.decls { // the checker asks for the files of receivers
		if n := d.node(); n != nil && n.Pos().IsValid() && n.Pos() < probeBase {
			if file := s.fset.File(n.Pos()); file != nil {
				fset.AddExistingFiles(file)
			}
		}
	}
	f := t.file(&ast.BlockStmt{List: t.stmts, Lbrace: pc.body.Lbrace, Rbrace: pc.body.Rbrace}, func(d *decl) bool { return d.cell != t.n }, nil)
	pkg, info, _ := s.typecheckIn(fset, f)
	p = &probe{w: t.w, info: info, pkg: pkg}
	ast.Inspect(f, func(n ast.Node) bool { // the probe is the last of its form
		if as, ok := n.(*ast.AssignStmt); ok && len(as.Lhs) == 1 && isBlank(as.Lhs[0]) && len(as.Rhs) == 1 && as.Pos() >= probeBase && as.Pos() > p.at {
			p.at, p.expr = as.Pos(), as.Rhs[0]
		}
		return true
	})
	if p.expr == nil {
		return nil
	}
	for n, sc := range info.Scopes {
		if n.Pos() >= probeBase && n.Pos() <= p.at && p.at < n.End() && (p.scope == nil || sc.Pos() >= p.scope.Pos() && sc.End() <= p.scope.End()) {
			p.scope = sc
		}
	}
	if p.scope == nil {
		if fn, ok := pkg.Scope().Lookup("cell" + sep).(*types.Func); ok {
			p.scope = fn.Scope()
		}
	}
	return p
}

// operand finds the token at which the operand ending in token i begins.
func operand(toks []lexeme, i int) int {
	for i >= 0 {
		switch toks[i].tok {
		case token.RPAREN, token.RBRACK, token.RBRACE:
			depth := 0
			for ; i >= 0; i-- {
				if depth -= bracket(toks[i].tok); depth == 0 {
					break
				}
			}
			if i <= 0 {
				return max(i, 0)
			}
			switch toks[i-1].tok {
			case token.IDENT, token.RPAREN, token.RBRACK:
				i--
				continue
			}
			return i
		case token.IDENT, token.STRING, token.INT, token.FLOAT:
			if i >= 2 && toks[i-1].tok == token.PERIOD {
				i -= 2
				continue
			}
			return i
		default:
			return i + 1
		}
	}
	return 0
}

// byteOffset turns a cursor in code points into one in bytes.
func byteOffset(code string, cursor int) int {
	if cursor < 0 {
		return 0
	}
	n := 0
	for off := range code {
		if n == cursor {
			return off
		}
		n++
	}
	return len(code)
}
