package session

import (
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/token"
	"go/types"
	"slices"
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
	code, _ = behind(code, off)
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
	if i+1 < len(toks) && toks[i+1].tok == token.COLON && first == i { // perhaps the key of a struct literal
		if p, t := s.literal(code, toks[:i]); t != nil {
			if st, ok := t.Underlying().(*types.Struct); ok {
				for f := range st.Fields() {
					if f.Name() == expr {
						return s.describe(p, f, detail), true
					}
				}
			}
		}
	}
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
		if doc := s.mods.doc(pn.Imported().Path()); doc != "" {
			d.Text = doc
		}
		return docBundle(fmt.Sprintf("package %s // import %q", pn.Imported().Name(), pn.Imported().Path()), d.Text)
	}
	sig := ownNames(types.ObjectString(o, qualifier))
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
	if mp := s.mods.get(o.Pkg().Path()); mp != nil { // seen from outside; inside it is a declaration like the cells'
		key = mp.prefix + key
	} else if !inMain(o) {
		if d, ok := stdlib.DocOf(o.Pkg().Path(), key); ok {
			if d.Signature != "" {
				sig = d.Signature
			}
			return docBundle(sig, strings.TrimSpace(d.Text+fmt.Sprintf("\n\nimport %q", o.Pkg().Path())))
		}
		return docBundle(sig, fmt.Sprintf("import %q", o.Pkg().Path()))
	}
	d := p.w.decls[key]
	switch {
	case d == nil:
		owner, _, _ := strings.Cut(key, ".")
		if d = p.w.decls[owner]; d == nil || d.spec == nil || owner == key {
			return docBundle(sig, "")
		}
		return docBundle(sig, declared(fieldDoc(d.spec, o.Name()), s, d))
	case inMain(o) && !topLevel(o) && d.kind != declMethod:
		return docBundle(sig, "")
	}
	text := d.doc
	switch {
	case d.kind == declVar && s.mods.owner(d.key) != "":
	case d.kind == declVar:
		text = commentAt(s.source(d.cell), d.line)
		if sum := s.summary(d); sum != "" {
			sig += " " + sum
		}
	case d.kind == declConst:
		sig = s.declaration(d)
	case d.kind == declType, detail > 0 && d.node() != nil:
		sig = plainNames(s.print(d.node()))
		if d.kind == declType {
			sig = "type " + sig
			sig += s.methodList(p.w, d)
		}
	case d.fn != nil:
		text, sig = d.fn.Doc.Text(), s.declaration(d)
	}
	if d.predeclared {
		return docBundle(sig, text)
	}
	return docBundle(sig, declared(text, s, d))
}

// declared is a doc comment and where what it is about was declared.
func declared(text string, s *Session, d *decl) string {
	place := fmt.Sprintf("declared in cell %d", s.number(d.cell))
	if path := s.mods.owner(d.key); path != "" {
		place = fmt.Sprintf("import %q", path)
	}
	return strings.TrimSpace(text + "\n\n" + place)
}

// methodList is the declarations of a type's methods.
func (s *Session) methodList(w *world, d *decl) string {
	text := ""
	for _, m := range w.sorted(func(m *decl) bool { return m.kind == declMethod && m.recv == d.key }) {
		text += "\n" + s.declaration(m)
	}
	return text
}

// fieldDoc is the comment above or behind a field of a struct type.
func fieldDoc(spec *ast.TypeSpec, name string) string {
	text := ""
	ast.Inspect(spec.Type, func(n ast.Node) bool {
		f, ok := n.(*ast.Field)
		if ok && text == "" && slices.ContainsFunc(f.Names, func(id *ast.Ident) bool { return id.Name == name }) {
			text = strings.TrimSpace(f.Doc.Text() + f.Comment.Text())
		}
		return text == ""
	})
	return text
}

// commentAt is the comment that ends on the line above the given one, or else
// stands behind the code on it.
func commentAt(src string, line int) string {
	if line < 1 {
		return ""
	}
	_, comments, _ := lex(src)
	var above []string
	next := line // where the block of comments above must go on
	for _, c := range slices.Backward(comments) {
		first, last := 1+strings.Count(src[:c[0]], "\n"), 1+strings.Count(src[:c[1]], "\n")
		start := strings.LastIndexByte(src[:c[0]], '\n') + 1
		alone := strings.TrimSpace(src[start:c[0]]) == ""
		switch {
		case last == next-1 && alone:
			above = append([]string{src[c[0]:c[1]]}, above...)
			next = first
		case first == line && !alone && next == line && len(above) == 0:
			above, next = []string{src[c[0]:c[1]]}, -1
		}
	}
	var group ast.CommentGroup
	for _, text := range above {
		group.List = append(group.List, &ast.Comment{Text: text})
	}
	return group.Text()
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
