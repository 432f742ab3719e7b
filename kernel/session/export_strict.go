package session

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
)

// strict makes a program that the session takes one that Go's compiler takes:
// variables and labels that nothing uses are allowed in cells.
func (x *exporter) strict(src []byte) ([]byte, error) {
	for range 20 { // a mended declaration can show another
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "program", src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("export: the program does not parse: %w", err)
		}
		var errs []types.Error
		conf := types.Config{Importer: x.s.imp, Error: func(err error) {
			if e, ok := err.(types.Error); ok {
				errs = append(errs, e)
			}
		}}
		types.NewChecker(&conf, fset, types.NewPackage(mainPath, mainPath), nil).Files([]*ast.File{f})
		if len(errs) == 0 {
			return src, nil
		}
		var edits []edit
		for _, e := range errs {
			if strings.HasSuffix(e.Msg, "not used") && strings.Contains(e.Msg, "imported") {
				for _, im := range f.Imports {
					if e.Pos >= im.Pos() && e.Pos < im.End() {
						edits = append(edits, edit{off: fset.Position(im.Pos()).Offset, end: fset.Position(im.End()).Offset})
					}
				}
				continue
			}
			name, ok := unused(e.Msg)
			if !ok {
				continue
			}
			if ed, ok := use(fset, src, f, e.Pos, name, strings.HasPrefix(e.Msg, "label ")); ok {
				edits = append(edits, ed)
			}
		}
		if len(edits) == 0 {
			return nil, x.refused(fset, src, errs[0])
		}
		slices.SortStableFunc(edits, func(a, b edit) int { return a.off - b.off })
		var b bytes.Buffer
		at := 0
		for _, e := range edits {
			if e.off < at {
				continue
			}
			b.Write(src[at:e.off])
			b.WriteString(texts(e.parts))
			at = e.end
		}
		b.Write(src[at:])
		if src, err = format.Source(b.Bytes()); err != nil {
			return nil, fmt.Errorf("export: the program does not parse: %w", err)
		}
	}
	return nil, fmt.Errorf("export: the program has unused names that cannot be mended")
}

// unused is the name that an error says nothing uses.
func unused(msg string) (string, bool) {
	if name, ok := strings.CutPrefix(msg, "declared and not used: "); ok {
		return name, true
	}
	return strings.CutSuffix(strings.TrimPrefix(msg, "label "), " declared and not used")
}

// use is the edit that uses the variable declared at p, or drops the label.
func use(fset *token.FileSet, src []byte, f *ast.File, p token.Pos, name string, label bool) (edit, bool) {
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	var found edit
	ok := false
	statement := func(at token.Pos) {
		off, text := offset(at), "; _ = %s; "
		line, _, _ := strings.Cut(string(src[off:]), "\n")
		if l := strings.TrimSpace(line); l == "" || strings.HasPrefix(l, "//") {
			off, text = off+len(line), "\n_ = %s"
		}
		found, ok = edit{off: off, end: off, parts: []part{lit(text, name)}}, true
	}
	list := func(stmts []ast.Stmt) {
		for _, st := range stmts {
			if p < st.Pos() || p >= st.End() {
				continue
			}
			if l, isLabel := st.(*ast.LabeledStmt); isLabel {
				if label && l.Label.Pos() == p {
					found, ok = edit{off: offset(l.Pos()), end: offset(l.Colon) + 1}, true
				}
				st = l.Stmt
			}
			switch st.(type) {
			case *ast.AssignStmt, *ast.DeclStmt:
				if !label {
					statement(st.End())
				}
			}
		}
	}
	body := func(b *ast.BlockStmt) { // of the statement whose head declares it
		if b != nil && p < b.Pos() && !label {
			statement(b.Lbrace + 1)
		}
	}
	clauses := func(b *ast.BlockStmt) {
		if p >= b.Pos() || label {
			return
		}
		for _, c := range b.List {
			if cc, isCase := c.(*ast.CaseClause); isCase {
				statement(cc.Colon + 1)
				return
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil || p < n.Pos() || p >= n.End() {
			return false
		}
		switch n := n.(type) {
		case *ast.BlockStmt:
			list(n.List)
		case *ast.CaseClause:
			list(n.Body)
		case *ast.CommClause:
			if n.Comm != nil && p < n.Comm.End() && !label {
				statement(n.Colon + 1)
			}
			list(n.Body)
		case *ast.IfStmt:
			body(n.Body)
		case *ast.ForStmt:
			body(n.Body)
		case *ast.RangeStmt:
			body(n.Body)
		case *ast.SwitchStmt:
			clauses(n.Body)
		case *ast.TypeSwitchStmt:
			if as, isAssign := n.Assign.(*ast.AssignStmt); isAssign && as.Lhs[0].Pos() == p { // v := x.(type)
				found, ok = edit{off: offset(as.Pos()), end: offset(as.Rhs[0].Pos())}, true
				return false
			}
			clauses(n.Body)
		}
		return true
	})
	return found, ok
}

var inCell = regexp.MustCompile(`(?m)^// Cell (\d+)$`)

// refused is the error for a program that does not compile though its cells do.
func (x *exporter) refused(fset *token.FileSet, src []byte, e types.Error) error {
	at := fset.Position(e.Pos)
	cell := "the program"
	if m := inCell.FindAllSubmatch(src[:min(at.Offset, len(src))], -1); len(m) > 0 {
		cell = "cell " + string(m[len(m)-1][1])
	}
	lines := strings.Split(string(src), "\n")
	line := ""
	if at.Line > 0 && at.Line <= len(lines) {
		line = strings.TrimSpace(lines[at.Line-1])
	}
	return fmt.Errorf("%s works in the notebook but not in a compiled program: %s, in: %s", cell, e.Msg, line)
}
