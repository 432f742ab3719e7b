package session

import (
	"fmt"
	"go/doc/comment"
	"go/token"
	"go/types"
	"strings"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/stdlib"
)

// Inspect tells about the name at the cursor (in code points), or about the
// function whose arguments the cursor is among. detail 0 is the declaration
// and the documentation; 1 adds the source of a cell's own functions and
// types. It runs nothing and does not wait for a running cell.
func (s *Session) Inspect(code string, cursor, detail int) (display.Bundle, bool) {
	code = strings.ReplaceAll(code, "\r\n", "\n ") // keeps the code points in place
	off := byteOffset(code, cursor)
	toks, _, _ := lex(code)
	i := nameAt(toks, off)
	if i < 0 {
		i = calleeAt(toks, off)
	}
	if i < 0 {
		return display.Bundle{}, false
	}
	first := operand(toks, i)
	if first > i {
		return display.Bundle{}, false
	}
	expr := code[toks[first].off:toks[i].end]
	p := s.probe(code, toks[first].off, expr)
	if p == nil {
		return display.Bundle{}, false
	}
	o := p.object()
	if o == nil { // the name may be one the statement itself declares
		if p2 := s.probe(code+"\n", len(code), expr); p2 != nil && p2.object() != nil {
			p, o = p2, p2.object()
		}
	}
	if o == nil {
		t := p.info.TypeOf(p.expr)
		if t == nil || t == types.Typ[types.Invalid] {
			return display.Bundle{}, false
		}
		return docBundle(types.TypeString(t, qualifier), ""), true
	}
	return s.describe(p, o, detail), true
}

func nameAt(toks []lexeme, off int) int {
	for i, t := range toks {
		if t.tok == token.IDENT && t.off <= off && off <= t.end {
			return i
		}
	}
	return -1
}

// calleeAt finds the name before the innermost open parenthesis.
func calleeAt(toks []lexeme, off int) int {
	var open []int
	for i, t := range toks {
		if t.off >= off {
			break
		}
		switch bracket(t.tok) {
		case 1:
			open = append(open, i)
		case -1:
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		}
	}
	for k := len(open) - 1; k >= 0; k-- {
		if i := open[k]; toks[i].tok == token.LPAREN && i > 0 && toks[i-1].tok == token.IDENT {
			return i - 1
		}
	}
	return -1
}

// describe is the declaration and documentation of an object.
func (s *Session) describe(p *probe, o types.Object, detail int) display.Bundle {
	if pn, ok := o.(*types.PkgName); ok {
		d, _ := stdlib.DocOf(pn.Imported().Path(), "")
		return docBundle(fmt.Sprintf("package %s // import %q", pn.Imported().Name(), pn.Imported().Path()), d.Text)
	}
	sig := types.ObjectString(o, qualifier)
	if o.Pkg() == nil {
		d, ok := stdlib.DocOf("builtin", o.Name())
		if !ok {
			return docBundle(sig, "")
		}
		return docBundle(d.Signature, d.Text)
	}
	key := o.Name()
	if owner := ownerOf(p, o); owner != "" {
		key = owner + "." + key
	}
	if !inMain(o) {
		if d, ok := stdlib.DocOf(o.Pkg().Path(), key); ok {
			if d.Signature != "" {
				sig = d.Signature
			}
			return docBundle(sig, strings.TrimSpace(d.Text+fmt.Sprintf("\n\nimport %q", o.Pkg().Path())))
		}
		return docBundle(sig, fmt.Sprintf("import %q", o.Pkg().Path()))
	}
	d := p.w.decls[key]
	if d == nil || !topLevel(o) && d.kind != declMethod {
		return docBundle(sig, "")
	}
	text := ""
	if d.fn != nil && d.fn.Doc != nil {
		text = d.fn.Doc.Text()
	}
	switch {
	case d.kind == declType, detail > 0 && d.node() != nil:
		sig = s.print(d.node())
		if d.kind == declType {
			sig = "type " + sig
		}
	case d.fn != nil:
		sig = s.declaration(d)
	}
	if d.predeclared {
		return docBundle(sig, text)
	}
	return docBundle(sig, strings.TrimSpace(fmt.Sprintf("%s\n\ndeclared in cell %d", text, s.number(d.cell))))
}

// ownerOf is the type a method or selected field belongs to.
func ownerOf(p *probe, o types.Object) string {
	if f, ok := o.(*types.Func); ok {
		if r := f.Signature().Recv(); r != nil {
			if n := namedOf(r.Type()); n != nil {
				return n.Obj().Name()
			}
			for _, n := range o.Pkg().Scope().Names() { // a method of an interface: find the interface
				if tn, ok := o.Pkg().Scope().Lookup(n).(*types.TypeName); ok && types.Identical(tn.Type().Underlying(), r.Type().Underlying()) {
					return n
				}
			}
		}
		return ""
	}
	if v, ok := o.(*types.Var); ok && v.IsField() {
		for _, n := range o.Pkg().Scope().Names() {
			tn, ok := o.Pkg().Scope().Lookup(n).(*types.TypeName)
			if !ok {
				continue
			}
			if st, ok := tn.Type().Underlying().(*types.Struct); ok {
				for f := range st.Fields() {
					if f == v {
						return n
					}
				}
			}
		}
	}
	return ""
}

// docBundle is a declaration and its doc comment as text and as Markdown.
func docBundle(sig, text string) display.Bundle {
	var parser comment.Parser
	var pr comment.Printer
	doc := parser.Parse(text)
	plain := strings.TrimSpace(sig + "\n\n" + string(pr.Text(doc)))
	md := strings.TrimSpace("```go\n" + sig + "\n```\n\n" + string(pr.Markdown(doc)))
	return display.Bundle{Data: map[string]any{display.MIMEText: plain, display.MIMEMarkdown: md}}
}
