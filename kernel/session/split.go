package session

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"slices"
	"sort"
	"strings"
)

// Go's parser takes neither a file with statements nor a block with imports
// and functions, so a cell is cut into chunks by its tokens first and each
// kind of chunk is parsed in the frame it needs, at its own position.

type chunkKind int

const (
	chunkStmt chunkKind = iota
	chunkImport
	chunkFunc
	chunkPackage
)

// chunk is the byte range [off, end) of one import, function or statement.
type chunk struct {
	kind     chunkKind
	off, end int
}

// lexeme is one token of a cell; an automatic semicolon has no length.
type lexeme struct {
	off, end int
	tok      token.Token
	auto     bool // a semicolon the scanner inserted
}

// complaint is what the scanner says against a token or a comment.
type complaint struct {
	off int
	msg string
}

// lex returns the tokens of src without comments, the comment groups'
// ranges, and the scanner's complaints.
func lex(src string) (toks []lexeme, comments [][2]int, complaints []complaint) {
	f := token.NewFileSet().AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(f, []byte(src), func(p token.Position, m string) { complaints = append(complaints, complaint{p.Offset, m}) }, scanner.ScanComments)
	for {
		p, t, lit := s.Scan()
		off := f.Offset(p)
		switch {
		case t == token.EOF:
			return toks, comments, complaints
		case t == token.COMMENT:
			comments = append(comments, [2]int{off, min(off+len(lit), len(src))})
		case t == token.SEMICOLON && lit != ";":
			toks = append(toks, lexeme{off, off, t, true})
		default:
			n := len(lit)
			if n == 0 || t.IsOperator() {
				n = len(t.String())
			}
			toks = append(toks, lexeme{off, min(off+n, len(src)), t, false})
		}
	}
}

// unterminated tells the string, rune or comment that is open at the end.
func unterminated(complaints []complaint) (what string, open bool) {
	if len(complaints) == 0 {
		return "", false
	}
	return strings.CutSuffix(complaints[len(complaints)-1].msg, " not terminated")
}

// bracket is +1 for an opening bracket, -1 for a closing one.
func bracket(t token.Token) int {
	switch t {
	case token.LPAREN, token.LBRACK, token.LBRACE:
		return 1
	case token.RPAREN, token.RBRACK, token.RBRACE:
		return -1
	}
	return 0
}

// split finds the import and function declarations of a cell at depth 0; all
// else is statements. quiet tells that the cell ends in a written semicolon.
func split(src string) (chunks []chunk, quiet bool) {
	toks, comments, _ := lex(src)
	return splitTokens(src, toks, comments)
}

func splitTokens(src string, toks []lexeme, comments [][2]int) (chunks []chunk, quiet bool) {
	depth, start, kind := 0, -1, chunkStmt
	for i, t := range toks {
		if start < 0 {
			if t.tok == token.SEMICOLON {
				quiet = quiet || !t.auto
				continue
			}
			start, kind = t.off, kindOf(toks[i:])
			if kind == chunkFunc {
				start = docStart(src, comments, start, chunks)
			}
		}
		depth += bracket(t.tok)
		if t.tok == token.SEMICOLON && depth <= 0 {
			chunks = append(chunks, chunk{kind, start, t.off})
			start, quiet = -1, !t.auto
		}
	}
	if start >= 0 {
		chunks = append(chunks, chunk{kind, start, len(src)})
		quiet = false
	}
	return chunks, quiet
}

// kindOf tells what the chunk that begins with these tokens is.
func kindOf(toks []lexeme) chunkKind {
	switch toks[0].tok {
	case token.IMPORT:
		return chunkImport
	case token.PACKAGE:
		return chunkPackage
	case token.FUNC:
		if len(toks) > 1 && toks[1].tok == token.IDENT {
			return chunkFunc
		}
		if len(toks) < 2 || toks[1].tok != token.LPAREN {
			return chunkStmt
		}
		// A receiver is followed by a name and its parameters; a literal's parameters are not.
		depth := 0
		for j := 1; j < len(toks); j++ {
			if depth += bracket(toks[j].tok); depth == 0 {
				if j+2 < len(toks) && toks[j+1].tok == token.IDENT && toks[j+2].tok == token.LPAREN {
					return chunkFunc
				}
				break
			}
		}
	}
	return chunkStmt
}

// docStart moves the start of a function back over the comment right above it.
func docStart(src string, comments [][2]int, start int, chunks []chunk) int {
	for i := len(comments) - 1; i >= 0; i-- {
		c := comments[i]
		if c[1] > start {
			continue
		}
		gap := src[c[1]:start]
		if strings.TrimSpace(gap) != "" || strings.Count(gap, "\n") > 1 {
			break
		}
		if len(chunks) > 0 && c[0] < chunks[len(chunks)-1].end {
			break
		}
		if line := strings.LastIndexByte(src[:c[0]], '\n'); strings.TrimSpace(src[line+1:c[0]]) != "" {
			break // it trails a statement
		}
		start = c[0]
	}
	return start
}

// parsedCell is a cell in parts; positions of all nodes are name:line:col of
// the cell's text.
type parsedCell struct {
	imports []*ast.ImportSpec
	funcs   []*ast.FuncDecl
	body    *ast.BlockStmt // the statements
	// The values of a last line x, y, as the statement _, _ = x, y.
	list    *ast.AssignStmt
	listEnd int  // behind them in the text, and behind a last comma
	quiet   bool // ends in ';': show nothing
}

// keep returns src with all bytes outside the chosen chunks blanked, so that
// what stays keeps its line and column.
func keep(src string, chunks []chunk, want func(chunk) bool) string {
	b := []byte(src)
	in := make([]bool, len(b)+1)
	for _, c := range chunks {
		if want(c) {
			for i := c.off; i < c.end; i++ {
				in[i] = true
			}
			if c.end < len(b) && b[c.end] == ';' {
				in[c.end] = true // chunks on one line stay apart
			}
		}
	}
	for i := range b {
		if !in[i] && b[i] != '\n' {
			b[i] = ' '
		}
	}
	return string(b)
}

// drop returns src with the chosen chunks blanked.
func drop(src string, chunks []chunk, unwanted func(chunk) bool) string {
	b := []byte(src)
	for _, c := range chunks {
		if !unwanted(c) {
			continue
		}
		for i := c.off; i <= c.end && i < len(b); i++ {
			if b[i] != '\n' && (i < c.end || b[i] == ';') {
				b[i] = ' '
			}
		}
	}
	return string(b)
}

// parseCell parses a cell whose positions carry the given file name.
func parseCell(fset *token.FileSet, name, src string) (*parsedCell, error) {
	toks, comments, complaints := lex(src)
	p, msg := unbalanced(src, toks)
	if len(complaints) > 0 { // the parser does not see those of a comment behind the last statement
		p, msg = complaints[0].off, complaints[0].msg
	}
	if msg != "" {
		line := 1 + strings.Count(src[:p], "\n")
		col := p - strings.LastIndexByte(src[:p], '\n')
		return nil, scanner.ErrorList{{Pos: token.Position{Filename: name, Line: line, Column: col}, Msg: msg}}
	}
	chunks, quiet := splitTokens(src, toks, comments)
	pc := &parsedCell{quiet: quiet}
	var errs scanner.ErrorList
	parse := func(head, text, tail string) *ast.File {
		f, err := parser.ParseFile(fset, name, head+"\n//line "+name+":1:1\n"+text+tail, parser.ParseComments|parser.SkipObjectResolution)
		if el, ok := err.(scanner.ErrorList); ok {
			errs = append(errs, el...)
		} else if err != nil {
			errs.Add(token.Position{Filename: name}, err.Error())
		}
		return f
	}
	haveImports, haveFuncs, haveStmts := false, false, false
	values := chunk{kind: chunkStmt} // the last line, if it is a list of values
	if n := len(chunks) - 1; n >= 0 && chunks[n].kind == chunkStmt {
		if end, ok := isList(toks, chunks[n]); ok {
			values, chunks = chunks[n], chunks[:n]
			values.end = end
		}
	}
	for _, c := range chunks {
		switch c.kind {
		case chunkImport:
			haveImports = true
		case chunkFunc:
			haveFuncs = true
		case chunkStmt:
			haveStmts = true
		}
	}
	if haveImports { // by themselves: the parser wants imports before all else
		if f := parse("package main", keep(src, chunks, func(c chunk) bool { return c.kind == chunkImport }), ""); f != nil {
			pc.imports = f.Imports
		}
	}
	if haveFuncs {
		if f := parse("package main", keep(src, chunks, func(c chunk) bool { return c.kind == chunkFunc }), ""); f != nil {
			for _, d := range f.Decls {
				if fd, ok := d.(*ast.FuncDecl); ok {
					pc.funcs = append(pc.funcs, fd)
				}
			}
		}
	}
	stmts := ""
	if haveStmts { // all but the declarations: a for header is cut in chunks too
		stmts = drop(src, append(chunks[:len(chunks):len(chunks)], values), func(c chunk) bool { return c.kind != chunkStmt || c == values })
	}
	f := parse("package main; func _() {", stmts, "\n}")
	if values.end > 0 {
		text := keep(src, []chunk{values}, func(chunk) bool { return true })
		if f := parse("package main; var _ = list(", strings.TrimRight(text, " \n;"), ")"); len(errs) == 0 {
			pc.list = assignBlanks(f.Decls[0].(*ast.GenDecl).Specs[0].(*ast.ValueSpec).Values[0].(*ast.CallExpr).Args)
			pc.listEnd = values.end
		}
	}
	if len(errs) > 0 {
		sort.SliceStable(errs, func(i, j int) bool {
			a, b := errs[i].Pos, errs[j].Pos
			return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
		})
		for _, e := range errs {
			e.Msg = endOfCell(e.Msg, e.Pos.Line > 1+strings.Count(src, "\n"))
		}
		return nil, errs
	}
	if len(f.Decls) != 1 {
		return nil, fmt.Errorf("a declaration where a statement is expected: are the braces balanced?")
	}
	pc.body = f.Decls[0].(*ast.FuncDecl).Body
	if pc.list != nil {
		pc.body.List = append(pc.body.List, pc.list)
	}
	markReserved(pc.body)
	for _, fd := range pc.funcs {
		markReserved(fd)
	}
	return pc, nil
}

// markReserved gives what is called main or init another name inside, for the
// checker wants these to be functions. Fields, methods and labels keep theirs.
func markReserved(n ast.Node) {
	keep := map[*ast.Ident]bool{}
	keepAll := func(fields *ast.FieldList) {
		for _, f := range fields.List {
			for _, id := range f.Names {
				keep[id] = true
			}
		}
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncDecl:
			keep[x.Name] = true
		case *ast.SelectorExpr:
			keep[x.Sel] = true
		case *ast.StructType:
			keepAll(x.Fields)
		case *ast.InterfaceType:
			keepAll(x.Methods)
		case *ast.KeyValueExpr:
			if id, ok := x.Key.(*ast.Ident); ok {
				keep[id] = true
			}
		case *ast.LabeledStmt:
			keep[x.Label] = true
		case *ast.BranchStmt:
			keep[x.Label] = true
		case *ast.Ident:
			if !keep[x] && (x.Name == "main" || x.Name == "init") {
				x.Name += sep
			}
		}
		return true
	})
}

// isList tells a chunk of values with commas between them, which are no
// statement of Go, and where the last of them ends.
func isList(toks []lexeme, c chunk) (end int, list bool) {
	depth := 0
	for _, t := range toks {
		if t.off < c.off || t.off >= c.end {
			continue
		}
		switch {
		case depth == 0 && (t.tok == token.ASSIGN || t.tok == token.DEFINE || t.tok == token.COLON || token.ADD_ASSIGN <= t.tok && t.tok <= token.AND_NOT_ASSIGN):
			return 0, false
		case t.off == c.off && t.tok.IsKeyword() && !slices.Contains([]token.Token{token.FUNC, token.STRUCT, token.MAP, token.CHAN, token.INTERFACE}, t.tok):
			return 0, false
		case depth == 0 && t.tok == token.COMMA:
			list = true
		}
		depth += bracket(t.tok)
		if t.tok != token.SEMICOLON {
			end = t.end
		}
	}
	return end, list
}

// assignBlanks is _, _ = x, y, at their place.
func assignBlanks(values []ast.Expr) *ast.AssignStmt {
	as := &ast.AssignStmt{TokPos: values[0].Pos(), Tok: token.ASSIGN, Rhs: values}
	for range values {
		as.Lhs = append(as.Lhs, &ast.Ident{Name: "_", NamePos: values[0].Pos()})
	}
	return as
}

// endOfCell words a parse error that fell on the frame around the cell.
func endOfCell(msg string, past bool) string {
	if !past {
		return msg
	}
	for _, found := range []string{"'}'", "'EOF'", "newline"} {
		msg = strings.TrimSuffix(msg, ", found "+found) // what was found is not the user's
	}
	return strings.TrimSuffix(msg, " (possibly missing semicolon or newline or })") + ", found the end of the cell"
}

// unbalanced finds a bracket that closes nothing, closes the wrong one, or is
// never closed, and returns where to point and what to say.
func unbalanced(src string, toks []lexeme) (int, string) {
	var open []lexeme
	closes := map[token.Token]token.Token{token.LPAREN: token.RPAREN, token.LBRACK: token.RBRACK, token.LBRACE: token.RBRACE}
	for _, t := range toks {
		switch bracket(t.tok) {
		case 1:
			open = append(open, t)
		case -1:
			if len(open) == 0 {
				return t.off, fmt.Sprintf("unexpected '%s': nothing is open here", t.tok)
			}
			o := open[len(open)-1]
			if closes[o.tok] != t.tok {
				return t.off, fmt.Sprintf("expected '%s' to close the '%s' of line %d, found '%s'", closes[o.tok], o.tok, 1+strings.Count(src[:o.off], "\n"), t.tok)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		o := open[len(open)-1]
		return o.off, fmt.Sprintf("expected '%s': this '%s' is never closed", closes[o.tok], o.tok)
	}
	return 0, ""
}

// IsComplete tells a front end whether code can run as it stands: "complete",
// "incomplete" (with the indentation of the next line) or "invalid".
func IsComplete(code string) (status, indent string) {
	code = normalise(code)
	if strings.TrimSpace(code) == "" || isMagic(code) {
		return "complete", ""
	}
	toks, _, complaints := lex(code)
	if what, open := unterminated(complaints); open {
		if what == "raw string literal" || what == "comment" {
			return "incomplete", ""
		}
		return "invalid", ""
	}
	depth, last := 0, token.SEMICOLON
	for _, t := range toks {
		if depth += bracket(t.tok); depth < 0 {
			return "invalid", ""
		}
		if !t.auto {
			last = t.tok
		}
	}
	if depth > 0 {
		return "incomplete", strings.Repeat("\t", depth)
	}
	switch last {
	case token.RPAREN, token.RBRACK, token.RBRACE, token.INC, token.DEC, token.SEMICOLON:
	case token.FUNC, token.VAR, token.TYPE, token.CONST, token.IMPORT, token.ELSE, token.RANGE, token.GO, token.DEFER,
		token.FOR, token.IF, token.SWITCH, token.SELECT, token.CASE, token.STRUCT, token.INTERFACE, token.MAP, token.CHAN:
		return "incomplete", ""
	default:
		if last.IsOperator() {
			return "incomplete", ""
		}
	}
	if _, err := parseCell(token.NewFileSet(), "cell", code); err != nil {
		return "invalid", ""
	}
	return "complete", ""
}

// normalise makes line ends one byte, so that offsets and columns agree with
// what the scanner sees.
func normalise(code string) string {
	code = strings.TrimPrefix(code, "\ufeff")
	return strings.ReplaceAll(code, "\r\n", "\n")
}
