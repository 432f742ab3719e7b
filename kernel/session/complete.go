package session

import (
	"go/token"
	"go/types"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gonvex/gonvex/stdlib"
)

// Kinds of a Match.
const (
	KindFunction  = "function"
	KindMethod    = "method"
	KindField     = "field"
	KindVariable  = "variable"
	KindConstant  = "constant"
	KindTypeName  = "type"
	KindPackage   = "package"
	KindKeyword   = "keyword"
	KindPath      = "path" // of an import
	KindFile      = "file"
	KindFolder    = "folder"
	KindMagicName = "magic"
)

// Match is one way to complete.
type Match struct {
	Text      string
	Kind      string // one of the kinds above
	Signature string // the type or declaration in a line, may be empty
}

// Completion replaces the code points [Start, End) of the code by a match.
type Completion struct {
	Matches    []Match
	Start, End int
}

// Complete lists what may stand at the cursor, which counts code points. It
// runs no code of the user's and does not wait for a running cell.
func (s *Session) Complete(code string, cursor int) Completion {
	off := byteOffset(code, cursor)
	c := &completer{s: s, code: code, off: off, seen: map[string]bool{}}
	c.find()
	end := utf8.RuneCountInString(code[:off])
	return Completion{Matches: c.ranked(), Start: end - utf8.RuneCountInString(c.prefix), End: end}
}

type completer struct {
	s      *Session
	code   string
	off    int
	prefix string // what is replaced
	groups [4][]Match
	seen   map[string]bool
}

// add offers a match; the groups come one after the other.
func (c *completer) add(group int, m Match) {
	if c.seen[m.Text] || m.Text == "_" || strings.Contains(m.Text, sep) || strings.Contains(m.Text, modSep) || strings.HasPrefix(m.Text, "P_") {
		return
	}
	if len(m.Text) < len(c.prefix) || !strings.EqualFold(m.Text[:len(c.prefix)], c.prefix) {
		return
	}
	c.seen[m.Text] = true
	c.groups[group] = append(c.groups[group], m)
}

// ranked orders by group, exact case before other case, then by name.
func (c *completer) ranked() []Match {
	var out []Match
	for _, g := range c.groups {
		slices.SortFunc(g, func(a, b Match) int {
			x, y := strings.HasPrefix(a.Text, c.prefix), strings.HasPrefix(b.Text, c.prefix)
			if x != y {
				if x {
					return -1
				}
				return 1
			}
			return strings.Compare(strings.ToLower(a.Text), strings.ToLower(b.Text))
		})
		out = append(out, g...)
	}
	return out
}

func (c *completer) find() {
	rest, takesCode := behind(c.code, c.off)
	if c.code = rest; !takesCode && isMagic(c.code) {
		c.magics(c.code[:c.off])
		return
	}
	text := c.code[:c.off]
	toks, comments, complaints := lex(text)
	if n := len(comments); n > 0 && comments[n-1][1] == len(text) && !strings.HasSuffix(text, "\n") {
		return
	}
	for len(toks) > 0 && toks[len(toks)-1].auto {
		toks = toks[:len(toks)-1]
	}
	n := len(toks)
	if _, open := unterminated(complaints); open && n > 0 {
		if last := toks[n-1]; last.tok == token.STRING && !c.importPath(toks, text) {
			c.files(text[last.off+1:], true)
		}
		return
	}
	if n > 0 && toks[n-1].end == c.off && (toks[n-1].tok == token.IDENT || toks[n-1].tok.IsKeyword()) {
		n--
		c.prefix = text[toks[n].off:]
	}
	if n > 0 && toks[n-1].tok == token.PERIOD {
		if first := operand(toks, n-2); first < n-1 {
			c.members(toks[first].off, text[toks[first].off:toks[n-1].off])
		}
		return
	}
	at := c.off - len(c.prefix)
	c.fields(toks[:n], text)
	c.names(at)
}

// importPath completes the path in an unfinished import; false if the string at
// the end is none.
func (c *completer) importPath(toks []lexeme, text string) bool {
	last := toks[len(toks)-1]
	for i := len(toks) - 2; i >= 0; i-- {
		switch toks[i].tok {
		case token.IMPORT:
			c.prefix = text[last.off+1:]
			for _, p := range append(stdlib.Paths(), c.s.mods.paths()...) {
				c.add(0, Match{Text: p, Kind: KindPath})
			}
			return true
		case token.LPAREN, token.STRING, token.SEMICOLON, token.IDENT, token.PERIOD:
		default:
			return false
		}
	}
	return false
}

// members completes after a dot.
func (c *completer) members(at int, expr string) {
	p := c.s.probe(c.code[:c.off], at, expr)
	if p == nil {
		return
	}
	if pn, ok := p.object().(*types.PkgName); ok {
		sc := pn.Imported().Scope()
		for _, n := range sc.Names() {
			if token.IsExported(n) {
				c.add(0, match(sc.Lookup(n)))
			}
		}
		return
	}
	t := p.info.TypeOf(p.expr)
	if t == nil || t == types.Typ[types.Invalid] {
		return
	}
	for _, o := range membersOf(t) {
		c.add(0, match(o))
	}
}

// fields completes the keys of a struct literal that is being written.
func (c *completer) fields(toks []lexeme, text string) {
	n := len(toks)
	if n == 0 || toks[n-1].tok != token.LBRACE && toks[n-1].tok != token.COMMA && !toks[n-1].auto {
		return
	}
	if _, t := c.s.literal(text, toks); t != nil {
		if st, ok := t.Underlying().(*types.Struct); ok {
			for f := range st.Fields() {
				if f.Exported() || inMain(f) {
					c.add(0, match(f))
				}
			}
		}
	}
}

// literal finds the type of the composite literal that is open where toks end,
// nil if none is.
func (s *Session) literal(code string, toks []lexeme) (*probe, types.Type) {
	brace := openBracket(toks, len(toks)-1)
	if brace < 1 || toks[brace].tok != token.LBRACE {
		return nil, nil
	}
	switch toks[brace-1].tok {
	case token.LBRACE, token.COMMA, token.COLON: // the type is left out: it is that of the elements around
		p, around := s.literal(code, toks[:brace])
		if p == nil {
			return nil, nil
		}
		l, ok := around.Underlying().(interface{ Elem() types.Type })
		if !ok {
			return nil, nil
		}
		t := l.Elem()
		if ptr, ok := t.Underlying().(*types.Pointer); ok {
			t = ptr.Elem()
		}
		return p, t
	}
	first := brace
	for before := -1; first > 0 && before != first; {
		before = first
		switch toks[first-1].tok {
		case token.IDENT, token.PERIOD, token.MUL, token.MAP:
			first--
		case token.RBRACK:
			first = max(openBracket(toks, first-2), 0)
		}
	}
	if first == brace {
		return nil, nil
	}
	p := s.probe(code[:toks[brace].off], toks[first].off, code[toks[first].off:toks[brace].off])
	if p == nil || !p.info.Types[p.expr].IsType() {
		return nil, nil
	}
	return p, p.info.Types[p.expr].Type
}

// openBracket is the innermost bracket that is open at token i, which may be
// that bracket itself; -1 if none is.
func openBracket(toks []lexeme, i int) int {
	for depth := 0; i >= 0; i-- {
		if depth -= bracket(toks[i].tok); depth < 0 {
			return i
		}
	}
	return -1
}

// names completes a name by itself.
func (c *completer) names(at int) {
	if p := c.s.probe(c.code[:c.off], at, "0"); p != nil {
		for sc := p.scope; sc != nil && sc != p.pkg.Scope() && sc != types.Universe; sc = sc.Parent() {
			for _, n := range sc.Names() {
				if o := sc.Lookup(n); o.Pos() < p.at {
					c.add(1, match(o))
				}
			}
		}
		for _, n := range p.pkg.Scope().Names() {
			c.add(1, match(p.pkg.Scope().Lookup(n)))
		}
	}
	w := c.s.world.Load()
	for k, d := range w.decls {
		if d.kind != declMethod {
			c.add(1, Match{Text: k, Kind: map[declKind]string{declFunc: KindFunction, declType: KindTypeName, declVar: KindVariable, declConst: KindConstant}[d.kind], Signature: c.s.declaration(d)})
		}
	}
	for n, p := range w.imports {
		if !strings.HasPrefix(n, ".") {
			c.add(1, Match{Text: n, Kind: KindPackage, Signature: "package " + p})
		}
	}
	for _, n := range favourites {
		if p, ok := stdlib.Named(n); ok {
			c.add(1, Match{Text: n, Kind: KindPackage, Signature: "package " + p})
		}
	}
	if c.prefix == "" {
		return
	}
	for _, n := range types.Universe.Names() {
		c.add(2, match(types.Universe.Lookup(n)))
	}
	for k := token.BREAK; k <= token.VAR; k++ {
		c.add(2, Match{Text: k.String(), Kind: KindKeyword})
	}
	for _, n := range stdlib.Names() {
		if p, ok := stdlib.Named(n); ok {
			c.add(3, Match{Text: n, Kind: KindPackage, Signature: "package " + p})
		}
	}
}

// favourites are the packages offered before a letter is typed.
var favourites = []string{"convex", "data", "display", "mat", "plot", "sgd"}

// declaration is a declaration of the world in a line.
func (s *Session) declaration(d *decl) string {
	switch d.kind {
	case declFunc, declMethod:
		c := *d.fn
		c.Body, c.Doc = nil, nil
		return plainNames(s.print(&c))
	case declType:
		line, _, more := strings.Cut(plainNames(s.print(d.spec)), "\n")
		if more {
			line += " … }"
		}
		return "type " + line
	case declConst:
		return strings.TrimSpace("const "+d.key+" "+shortType(d.typ)) + " = " + d.val
	}
	return "var " + d.key + " " + shortType(d.typ)
}

// match describes an object.
func match(o types.Object) Match {
	m := Match{Text: o.Name(), Signature: ownNames(types.ObjectString(o, qualifier))}
	switch o := o.(type) {
	case *types.PkgName:
		m.Kind = KindPackage
		m.Signature = "package " + o.Imported().Path()
	case *types.Const:
		m.Kind = KindConstant
	case *types.TypeName:
		m.Kind = KindTypeName
	case *types.Var:
		m.Kind = KindVariable
		if o.IsField() {
			m.Kind = KindField
		}
	case *types.Func:
		m.Kind = KindFunction
		if o.Signature().Recv() != nil {
			m.Kind = KindMethod
		}
	case *types.Builtin:
		m.Kind, m.Signature = KindFunction, "builtin "+o.Name()
	case *types.Nil:
		m.Kind = KindConstant
	}
	if line, _, more := strings.Cut(m.Signature, "\n"); more {
		m.Signature = line + " …"
	}
	return m
}

// qualifier names packages as code does; the session's own names are bare.
func qualifier(p *types.Package) string {
	if p.Path() == mainPath {
		return ""
	}
	return p.Name()
}

// membersOf lists fields and methods that can be selected, promoted ones too.
func membersOf(t types.Type) []types.Object {
	var out []types.Object
	have := map[string]bool{}
	add := func(o types.Object) {
		if (o.Exported() || inMain(o)) && !have[o.Name()] {
			have[o.Name()] = true
			out = append(out, o)
		}
	}
	seen := map[types.Type]bool{}
	level := []types.Type{t}
	for len(level) > 0 { // fields level by level: the shallower hides the deeper
		var next []types.Type
		for _, t := range level {
			if p, ok := t.Underlying().(*types.Pointer); ok {
				t = p.Elem()
			}
			st, ok := t.Underlying().(*types.Struct)
			if !ok || seen[t] {
				continue
			}
			seen[t] = true
			for f := range st.Fields() {
				add(f)
				if f.Embedded() {
					next = append(next, f.Type())
				}
			}
		}
		level = next
	}
	if !isPointer(t) && !types.IsInterface(t) {
		t = types.NewPointer(t)
	}
	for sel := range types.NewMethodSet(t).Methods() {
		add(sel.Obj())
	}
	return out
}
