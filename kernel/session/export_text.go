package session

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// edit replaces a range of a cell's text.
type edit struct {
	off, end int
	parts    []part
}

// render is the text of a range with its names and edits, which lie within it
// and apart from each other.
func (s *snippet) render(edits ...edit) []part {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.off, b.off), cmp.Compare(a.end, b.end)) })
	ps := []part{{text: s.head}}
	at := s.off
	plain := func(to int) {
		for _, h := range s.holes {
			if h.off < at || h.end > to {
				continue
			}
			if h.sym == nil || h.own && !h.sym.shared {
				continue
			}
			ps = append(ps, part{text: s.x.src[at:h.off]})
			if ps = append(ps, part{sym: h.sym}); h.selector {
				ps = append(ps, part{text: "." + s.x.src[h.off:h.end]})
			}
			at = h.end
		}
		if at < to {
			ps = append(ps, part{text: s.x.src[at:to]})
		}
		at = to
	}
	for _, e := range edits {
		if e.off < at {
			continue
		}
		plain(e.off)
		ps = append(ps, e.parts...)
		at = e.end
	}
	plain(s.end)
	return ps
}

func lit(format string, a ...any) part { return part{text: fmt.Sprintf(format, a...)} }

// body is a cell's statements as those of a function.
func (x *exporter) body(e *exported) []part {
	all := &snippet{x: e, end: len(e.src), holes: e.holes}
	cut := func(from, to int) *snippet { return &snippet{x: e, off: from, end: to, holes: e.holes} }
	span := func(n ast.Node) (int, int) { return x.offset(e, n.Pos()), x.offset(e, n.End()) }
	edits := x.removed(e)
	tail := []part{}
	for _, y := range e.inits {
		tail = append(tail, part{sym: y}, lit("()\n"))
	}
	afterVars := -1
	for i, st := range e.order {
		if _, ok := st.(*ast.DeclStmt); ok {
			afterVars = i
		}
	}

	text := map[ast.Stmt][]part{} // of the statements that change
	for i, st := range e.order {
		inner := st
		if l, ok := st.(*ast.LabeledStmt); ok {
			inner = l.Stmt
		}
		off, end := span(inner)
		switch s := inner.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				if before, ok := x.locals(e, s.Lhs); ok {
					eq := x.offset(e, s.TokPos)
					changes := []edit{{eq, eq + 2, []part{lit("=")}}}
					for _, l := range s.Lhs {
						if id := l.(*ast.Ident); x.idle(e, id) {
							at := x.offset(e, id.Pos())
							changes = append(changes, edit{at, e.word(at), []part{lit("_")}})
						}
					}
					text[st] = append(before, cut(off, end).render(changes...)...)
				}
			}
			if s == e.parsed.list {
				if e.parsed.quiet {
					text[st] = append([]part{lit("%s = ", strings.TrimSuffix(strings.Repeat("_, ", len(s.Rhs)), ", "))}, cut(off, end).render()...)
				} else {
					text[st] = x.show(e, nil, cut(off, end).render())
				}
			}
		case *ast.DeclStmt:
			gd := s.Decl.(*ast.GenDecl)
			vs, ok := gd.Specs[0].(*ast.ValueSpec)
			if !ok {
				continue
			}
			var names []ast.Expr
			for _, id := range vs.Names {
				names = append(names, id)
			}
			if before, ok := x.locals(e, names); ok {
				first := i == 0 || len(e.parsed.funcs) == 0
				text[st] = append(before, x.assigned(e, vs, first)...)
			}
		case *ast.ExprStmt:
			last := i == len(e.order)-1 && !e.parsed.quiet
			switch {
			case last && x.shows(e, s.X):
				text[st] = x.show(e, s.X, cut(off, end).render())
			case !isCallOrReceive(s.X) || e.values[s]:
				text[st] = append([]part{lit("_ = ")}, cut(off, end).render()...)
			}
		}
	}

	inOrder := slices.IsSortedFunc(e.order, func(a, b ast.Stmt) int { return cmp.Compare(a.Pos(), b.Pos()) })
	if !inOrder { // variables that need each other: one statement after the other
		var ps []part
		for i, st := range e.order {
			off, end := span(st)
			switch ds, isDecl := st.(*ast.DeclStmt); {
			case text[st] != nil:
				ps = append(ps, text[st]...)
			case isDecl:
				off, end = span(ds.Decl.(*ast.GenDecl).Specs[0])
				ps = append(append(ps, lit("var ")), cut(off, end).render()...)
			default:
				ps = append(ps, cut(off, end).render()...)
			}
			ps = append(ps, lit("\n"))
			if i == afterVars {
				ps = append(ps, tail...)
			}
		}
		return ps
	}
	for _, st := range e.parsed.body.List {
		if ds, ok := st.(*ast.DeclStmt); ok {
			gd := ds.Decl.(*ast.GenDecl)
			if gd.Tok != token.VAR || len(gd.Specs) == 1 {
				continue
			}
			// A group stays one, or becomes assignments.
			var ps []part
			changed := false
			off, end := span(gd)
			for _, st := range e.order {
				if at := x.offset(e, st.Pos()); at < off || at >= end {
					continue
				}
				if text[st] != nil {
					changed = true
					ps = append(ps, text[st]...)
				} else {
					from, to := span(st.(*ast.DeclStmt).Decl.(*ast.GenDecl).Specs[0])
					ps = append(append(ps, lit("var ")), cut(from, to).render()...)
				}
				ps = append(ps, lit("\n"))
				delete(text, st)
			}
			if changed {
				edits = append(edits, edit{off, end, ps})
			}
		}
	}
	for st, ps := range text {
		inner := st
		if l, ok := st.(*ast.LabeledStmt); ok {
			inner = l.Stmt
		}
		off, end := span(inner)
		if inner == e.parsed.list {
			end = e.parsed.listEnd
		}
		edits = append(edits, edit{off, end, ps})
	}
	if len(tail) > 0 {
		at := 0
		if afterVars >= 0 {
			_, at = span(e.order[afterVars])
			for _, st := range e.parsed.body.List { // not inside of a group
				if off, end := span(st); at > off && at < end {
					at = end
				}
			}
			edits = append(edits, edit{at, at, append([]part{lit("\n")}, tail...)})
		} else {
			edits = append(edits, edit{0, 0, tail})
		}
	}
	return all.render(edits...)
}

// removed are the edits that take out of a cell what is not a statement.
func (x *exporter) removed(e *exported) []edit {
	var edits []edit
	chunks, _ := split(e.src)
	for _, c := range chunks {
		if c.kind != chunkStmt {
			end := c.end
			for end < len(e.src) && strings.ContainsRune(" \t;", rune(e.src[end])) {
				end++
			}
			edits = append(edits, edit{off: c.off, end: end})
		}
	}
	for _, f := range e.parsed.funcs {
		off, end := x.extent(e, f)
		edits = append(edits, edit{off: off, end: end})
	}
	for _, st := range e.parsed.body.List {
		if ds, ok := st.(*ast.DeclStmt); ok {
			if gd := ds.Decl.(*ast.GenDecl); gd.Tok != token.VAR {
				off, end := x.extent(e, gd)
				edits = append(edits, edit{off: off, end: end})
			}
		}
	}
	// ranges of one thing found twice become one
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.off, b.off) })
	var merged []edit
	for _, d := range edits {
		if n := len(merged); n > 0 && d.off <= merged[n-1].end {
			merged[n-1].end = max(merged[n-1].end, d.end)
			continue
		}
		merged = append(merged, d)
	}
	return merged
}

// locals declares those of the names that stay variables of the cell where
// others have become the program's; it reports false when nothing has.
func (x *exporter) locals(e *exported, names []ast.Expr) ([]part, bool) {
	var ps []part
	shared := false
	for _, n := range names {
		y := e.defines[n.(*ast.Ident)]
		switch {
		case y == nil || x.idle(e, n.(*ast.Ident)):
		case y.shared:
			shared = true
		default:
			ps = append(append(append(ps, lit("var %s ", y.base)), y.typ...), lit("\n"))
		}
	}
	return ps, shared
}

// idle tells a variable of the cell's own that is defined and never used.
func (x *exporter) idle(e *exported, id *ast.Ident) bool {
	y := e.defines[id]
	if y == nil || y.shared {
		return false
	}
	n := 0
	for _, h := range e.holes {
		if h.sym == y && h.own {
			n++
		}
	}
	return n == 1
}

// assigned is a var declaration as assignments.
func (x *exporter) assigned(e *exported, vs *ast.ValueSpec, first bool) []part {
	name := func(id *ast.Ident) part {
		switch y := e.defines[id]; {
		case y != nil && y.shared:
			return part{sym: y}
		case x.idle(e, id):
			return lit("_")
		}
		return lit("%s", id.Name)
	}
	var ps []part
	if len(vs.Values) > 0 {
		for i, id := range vs.Names {
			if i > 0 {
				ps = append(ps, lit(", "))
			}
			ps = append(ps, name(id))
		}
		from, to := x.offset(e, vs.Values[0].Pos()), x.offset(e, vs.Values[len(vs.Values)-1].End())
		return append(append(ps, lit(" = ")), (&snippet{x: e, off: from, end: to, holes: e.holes}).render()...)
	}
	for _, id := range vs.Names {
		y := e.defines[id]
		if y == nil || !y.shared || first && y.cell == e && len(y.cells) == 1 {
			continue // it is zero already
		}
		v, ok := e.info.Defs[id].(*types.Var)
		if !ok {
			continue
		}
		if len(ps) > 0 {
			ps = append(ps, lit("\n"))
		}
		ps = append(append(ps, name(id), lit(" = ")), zero(v.Type(), y.typ)...)
	}
	return ps
}

// zero is the zero value of a type.
func zero(t types.Type, spelled []part) []part {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch {
		case u.Info()&types.IsString != 0:
			return []part{lit(`""`)}
		case u.Info()&types.IsBoolean != 0:
			return []part{lit("false")}
		case u.Info()&types.IsNumeric != 0:
			return []part{lit("0")}
		}
	case *types.Struct, *types.Array:
		return append(slices.Clone(spelled), lit("{}"))
	}
	return []part{lit("nil")}
}

// shows tells whether the kernel shows the last expression of a cell.
func (x *exporter) shows(e *exported, expr ast.Expr) bool {
	tv := e.info.Types[expr]
	if tv.IsVoid() || tv.Type == nil || (&emitter{info: e.info}).prints(expr) {
		return false
	}
	tu, ok := tv.Type.(*types.Tuple)
	return !ok || tu.Len() > 0
}

// show is the statement that shows the last expression of a cell, or its list
// of values (expr is nil), as the kernel does. That is after what the cell
// has deferred: a cell that defers only keeps the values.
func (x *exporter) show(e *exported, expr ast.Expr, text []part) []part {
	d := x.need("github.com/gonvex/gonvex/kernel/display")
	tv := e.info.Types[expr]
	_, tuple := tv.Type.(*types.Tuple)
	later := defers(e.parsed.body)
	if expr != nil && !tuple {
		_, literal := ast.Unparen(expr).(*ast.CompositeLit)
		if n := sessionNamed(tv.Type); n != nil && !isPointer(tv.Type) && (literal || tv.Addressable()) && speaksAsPointer(n) {
			text = slices.Concat([]part{lit("&")}, text)
			if later { // as it is now
				text = slices.Concat([]part{{sym: d}, lit(".Render(")}, text, []part{lit(")")})
			}
		}
	}
	if !later {
		if expr == nil || tuple {
			text = slices.Concat([]part{{sym: d}, lit(".RenderAll(")}, text, []part{lit(")")})
		}
		return slices.Concat([]part{{sym: d}, lit(".Show(")}, text, []part{lit(")")})
	}
	e.kept, e.several = x.fresh("shown"), expr == nil || tuple
	if tuple {
		return slices.Concat([]part{lit("%s = func(values ...interface{}) []interface{} { return values }(", e.kept)}, text, []part{lit(")")})
	}
	return slices.Concat([]part{lit("%s = []interface{}{", e.kept)}, text, []part{lit("}")})
}

// speaksAsPointer tells a type whose text is that of its pointers.
func speaksAsPointer(n *types.Named) bool {
	value, pointer := types.NewMethodSet(n), types.NewMethodSet(types.NewPointer(n))
	for _, name := range []string{"String", "Error"} {
		if value.Lookup(nil, name) == nil && pointer.Lookup(nil, name) != nil {
			return true
		}
	}
	return false
}

// texts is the literal text of parts.
func texts(ps []part) string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.text)
		if p.sym != nil {
			b.WriteString(cmp.Or(p.sym.name, p.sym.base))
		}
	}
	return b.String()
}

// program puts the cells together.
func (x *exporter) program() (*Program, error) {
	for _, y := range x.symbols {
		if len(y.cells) > 1 && y.captured {
			y.shared = true // a closure or pointer of one cell sees what another assigns
		}
	}
	bodies := map[*exported][]part{}
	for _, e := range x.cells {
		if e.parsed != nil {
			bodies[e] = x.body(e)
		}
	}
	x.methods()
	x.mark(bodies)
	head := x.prelude()
	x.name()

	var b strings.Builder
	var calls strings.Builder
	for _, e := range x.cells {
		if !e.Comment {
			fmt.Fprintf(&b, "\n// Cell %d\n\n", e.Number)
		}
		switch {
		case e.Comment:
			b.WriteString("\n" + commented(e.Note, e.src) + "\n")
		case e.comment != "":
			b.WriteString(commented(e.comment+":", e.src) + "\n")
		default:
			x.write(&b, &calls, e, bodies[e])
		}
	}

	var imports []string
	for _, y := range x.symbols {
		if y.path == "" || !y.live {
			continue
		}
		line := strconv.Quote(y.path)
		if p, err := x.s.imp.Import(y.path); err != nil || p.Name() != y.name {
			line = y.name + " " + line
		}
		imports = append(imports, line)
	}
	for p := range x.blank {
		imports = append(imports, "_ "+strconv.Quote(p))
	}
	src := "package main\n\n" + importBlock(imports) + "\n" + texts(head) + b.String() + "\nfunc main() {\n" + x.mainHead() + calls.String() + "}\n"
	out, err := x.finish(src)
	if err != nil {
		return nil, err
	}
	return &Program{Source: out, Notes: x.notes}, nil
}

// importBlock writes imports as gofmt groups them: Go's own first.
func importBlock(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	path := func(l string) string { return l[strings.IndexByte(l, '"'):] }
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(path(a), path(b)) })
	var own, others []string
	for _, l := range slices.Compact(lines) {
		if first, _, _ := strings.Cut(path(l), "/"); strings.Contains(first, ".") {
			others = append(others, l)
		} else {
			own = append(own, l)
		}
	}
	return "import (\n" + strings.Join(own, "\n") + "\n\n" + strings.Join(others, "\n") + "\n)\n"
}

// commented is text as a comment that belongs to no declaration.
func commented(note, text string) string {
	var b strings.Builder
	for _, l := range strings.Split(strings.Trim(note+"\n"+text, "\n"), "\n") {
		if len(l) > 2000 {
			l = strings.ToValidUTF8(l[:200], "") + " … (a line of " + strconv.Itoa(len(l)) + " bytes)"
		}
		l = strings.Map(func(r rune) rune {
			if r != '\t' && unicode.IsControl(r) || r == '\ufeff' { // Go takes none of these
				return ' '
			}
			return r
		}, strings.ToValidUTF8(l, "\uFFFD"))
		b.WriteString(strings.TrimRight("// "+l, " ") + "\n")
	}
	return b.String()
}

// write writes a cell: its declarations, then its statements as a function.
func (x *exporter) write(b, calls *strings.Builder, e *exported, body []part) {
	text := strings.Trim(texts(body), "\n ")
	toks, _, _ := lex(text)
	code := slices.ContainsFunc(toks, func(t lexeme) bool { return t.tok != token.SEMICOLON })
	if !code && text != "" {
		text = strings.Trim(strings.ReplaceAll(text, ";", ""), "\n ")
		b.WriteString(text + "\n\n")
	}
	done := map[*snippet]bool{}
	again := false
	for _, y := range e.decls {
		if !y.live || done[y.text] {
			continue
		}
		if y.text == nil || y.text.x != e {
			if !again {
				b.WriteString("// Of earlier cells, again with what this cell declares anew:\n\n")
			}
			again = true
		}
		if y.text == nil { // a constant by its value
			b.WriteString("const " + y.name + texts(y.typ) + "\n\n")
			continue
		}
		done[y.text] = true
		b.WriteString(texts(y.text.render()) + "\n\n")
		if y.kind == declMethod {
			x.dispatcher(b, y)
		}
	}
	slices.SortStableFunc(e.vars, func(a, b *symbol) int { return cmp.Compare(a.at, b.at) })
	var vars []string
	for _, y := range e.vars {
		if y.shared {
			vars = append(vars, y.name+" "+texts(y.typ))
		}
	}
	switch len(vars) {
	case 0:
	case 1:
		b.WriteString("var " + vars[0] + "\n\n")
	default:
		b.WriteString("var (\n" + strings.Join(vars, "\n") + "\n)\n\n")
	}
	if x.turns[e] {
		fmt.Fprintf(calls, "%s = %d\n", x.cellVar, e.Number)
	}
	if !code {
		for _, y := range e.inits {
			calls.WriteString(y.name + "()\n")
		}
		if e.main != nil {
			calls.WriteString(e.main.name + "()\n")
		}
		return
	}
	name := x.fresh("cell" + strconv.Itoa(e.Number))
	calls.WriteString(name + "()\n")
	b.WriteString("func " + name + "() {\n")
	if e.MayFail {
		fmt.Fprintf(b, "defer func() { // the cell may fail\nif err := recover(); err != nil {\n%s.Fprintln(%s.Stderr, \"cell %d:\", err)\n}\n}()\n",
			x.need("fmt").name, x.need("os").name, e.Number)
	}
	if e.timed {
		t, f := x.need("time").name, x.need("fmt").name
		fmt.Fprintf(b, "// %%time\ndefer func(start %s.Time) { %s.Println(%s.Since(start).Round(%s.Microsecond)) }(%s.Now())\n", t, f, t, t, t)
	}
	// What the cell defers runs before its main function and before its value is shown.
	if e.kept != "" {
		b.WriteString("var " + e.kept + " []interface{}\n") // a cell may have another any
	}
	if e.kept != "" || e.main != nil && defers(e.parsed.body) {
		text = "func() {\n" + text + "\n}()"
	}
	b.WriteString(text + "\n")
	if e.main != nil {
		b.WriteString(e.main.name + "()\n")
	}
	if e.kept != "" {
		d := x.need("github.com/gonvex/gonvex/kernel/display").name
		if e.several {
			fmt.Fprintf(b, "if %s != nil {\n%s.Show(%[2]s.RenderAll(%[1]s...))\n}\n", e.kept, d)
		} else {
			fmt.Fprintf(b, "%s.Show(%s...)\n", d, e.kept)
		}
	}
	b.WriteString("}\n")
}

// methods sorts out the versions of methods. Those of one signature are one
// method, which looks where the program is and calls the version of then; a
// version of another signature goes by another name.
func (x *exporter) methods() {
	type key struct {
		recv *symbol
		name string
	}
	groups := map[key][][]*symbol{}
	var keys []key
	for _, y := range x.symbols {
		if y.kind != declMethod || y.recv == nil || y.path != "" || y.sig == nil {
			continue
		}
		k := key{y.recv, y.base}
		if groups[k] == nil {
			keys = append(keys, k)
		}
		gs := groups[k]
		if n := len(gs); n > 0 && x.sameSignature(gs[n-1][0], y) {
			gs[n-1] = append(gs[n-1], y)
		} else {
			groups[k] = append(gs, []*symbol{y})
		}
	}
	x.turns = map[*exported]bool{}
	names := map[*symbol]map[string]bool{} // of the methods of each type
	fresh := func(k key, n int) string {
		if names[k.recv] == nil {
			names[k.recv] = map[string]bool{}
		}
		for ; ; n++ {
			if name := fmt.Sprintf("%s_%d", k.name, n); !x.idents[name] && !names[k.recv][name] {
				names[k.recv][name] = true
				return name
			}
		}
	}
	for _, k := range keys {
		gs := groups[k]
		for i, g := range gs {
			name := k.name
			if i < len(gs)-1 {
				name = fresh(k, 1)
			}
			if len(g) == 1 {
				g[0].name = name
				continue
			}
			if x.cellVar == "" {
				x.cellVar = x.fresh("cell")
			}
			versions := make([]*symbol, len(g))
			for j, y := range g {
				inner := *y // the name that its text defines; all others use the method's
				inner.name = fresh(k, 1)
				versions[j] = &inner
				x.redefine(y, &inner)
				y.name = name
				if j > 0 {
					x.turns[y.cell] = true
				}
			}
			g[len(g)-1].again = versions
		}
	}
}

// redefine gives the text of a method the name of one of its versions.
func (x *exporter) redefine(y, inner *symbol) {
	t := *y.text
	t.holes = slices.Clone(t.holes)
	for i := range t.holes {
		if t.holes[i].sym == y { // the first is the declaration, for the receiver comes before the body
			t.holes[i].sym = inner
			break
		}
	}
	y.text = &t
}

func (x *exporter) sameSignature(a, b *symbol) bool {
	spell := func(y *symbol) string {
		w := x.final
		if y.cell != nil && y.cell.world != nil {
			w = y.cell.world
		}
		s := ""
		for _, p := range x.typeParts(y.sig, w) {
			s += p.text
			if p.sym != nil {
				s += fmt.Sprintf("%p", p.sym)
			}
		}
		return s + fmt.Sprint(isPointer(y.sig.Recv().Type()))
	}
	return spell(a) == spell(b)
}

// dispatcher writes the method that stands for several versions.
func (x *exporter) dispatcher(b *strings.Builder, y *symbol) {
	if len(y.again) == 0 {
		return
	}
	w := x.final
	if y.cell != nil {
		w = y.cell.world
	}
	spell := func(t types.Type) string { return texts(x.typeParts(t, w)) }
	var params, args []string
	for i := range y.sig.Params().Len() {
		p := fmt.Sprintf("p%d", i)
		if y.sig.Variadic() && i == y.sig.Params().Len()-1 {
			params = append(params, p+" ..."+spell(y.sig.Params().At(i).Type().Underlying().(*types.Slice).Elem()))
			args = append(args, p+"...")
			continue
		}
		params, args = append(params, p+" "+spell(y.sig.Params().At(i).Type())), append(args, p)
	}
	var results []string
	for v := range y.sig.Results().Variables() {
		results = append(results, spell(v.Type()))
	}
	call := func(v *symbol) string {
		c := "r." + v.name + "(" + strings.Join(args, ", ") + ")\n"
		if len(results) > 0 {
			return "return " + c
		}
		return c
	}
	fmt.Fprintf(b, "// The version of %s that the cells have defined so far.\nfunc (r %s) %s(%s) (%s) {\nswitch {\n", y.base, spell(y.sig.Recv().Type()), y.name, strings.Join(params, ", "), strings.Join(results, ", "))
	for i := len(y.again) - 1; i >= 0; i-- {
		if i == 0 {
			b.WriteString("default:\n")
		} else {
			fmt.Fprintf(b, "case %s >= %d:\n", x.cellVar, y.again[i].cell.Number)
		}
		b.WriteString(call(y.again[i]))
	}
	b.WriteString("}\n}\n\n")
}

// mark finds what the program needs: all that the cells use, and the last
// version of everything.
func (x *exporter) mark(bodies map[*exported][]part) {
	var live func(y *symbol)
	parts := func(ps []part) {
		for _, p := range ps {
			if p.sym != nil {
				live(p.sym)
			}
		}
	}
	live = func(y *symbol) {
		if y.live {
			return
		}
		y.live = true
		if y.text != nil {
			parts(y.text.render())
			for _, e := range x.cells { // of a group of constants all live
				for _, o := range e.decls {
					if o != y && o.text == y.text && o.kind == declConst {
						live(o)
					}
				}
			}
		}
		parts(y.typ)
		if y.kind == declType {
			for _, m := range x.symbols {
				if m.kind == declMethod && m.recv == y && m.path == "" && m.text != nil {
					live(m)
				}
			}
		}
	}
	for _, e := range x.cells {
		parts(bodies[e])
		for _, y := range append(slices.Clone(e.inits), e.vars...) {
			if y.kind != declVar || y.shared {
				live(y)
			}
		}
		if e.main != nil {
			live(e.main)
		}
	}
	for _, d := range x.final.decls {
		if y := x.byID[d.emitted]; y != nil && !d.predeclared && (y.kind != declVar || y.shared) {
			live(y)
		}
	}
}

// fresh is name, or name with a number, so that the cells know no such name.
func (x *exporter) fresh(name string) string {
	n := name
	for i := 2; x.idents[n] || types.Universe.Lookup(n) != nil || token.IsKeyword(n); i++ {
		n = fmt.Sprintf("%s_%d", name, i)
	}
	x.idents[n] = true
	return n
}

// name gives every symbol at the program's top a name of its own: the last
// version keeps the cells' own, unless a package has it.
func (x *exporter) name() {
	byBase := map[string][]*symbol{}
	for _, y := range x.symbols {
		if y.live && y.name == "" && (y.kind != declVar || y.path != "" || y.shared || y.cell == nil) {
			byBase[y.base] = append(byBase[y.base], y)
		}
	}
	for _, base := range slices.Sorted(maps.Keys(byBase)) {
		ys := byBase[base]
		keeps := len(ys) - 1
		for i, y := range ys {
			if y.path != "" {
				keeps = i
			}
		}
		for i, y := range ys {
			switch hidden := y.inserted && x.defined[base]; {
			case base == "main" || base == "init":
				y.name = x.fresh(base + strconv.Itoa(y.cell.Number))
			case i == keeps && !x.universe[base] && !hidden:
				y.name = base
				x.idents[base] = true
			default:
				y.name = x.fresh(fmt.Sprintf("%s_%d", base, i+1))
				if y.kind == declType && y.path == "" {
					x.notef(y.cell, "its type %s is %s in the program, and is printed so by %%T and as the name of an embedded field", base, y.name)
				}
			}
		}
	}
}

// prelude declares what every cell has without declaring it, as far as it is used.
func (x *exporter) prelude() []part {
	var ps []part
	pre := func(emitted string) *symbol {
		if y := x.byID[emitted]; y != nil && y.live {
			return y
		}
		return nil
	}
	if y := pre("R_ctx"); y != nil {
		c := x.need("context")
		x.need("os")
		x.need("os/signal")
		ps = []part{lit("// "), {sym: y}, lit(" ends at Ctrl-C: what is running then returns the best that it has.\nvar "), {sym: y}, lit(" "), {sym: c}, lit(".Context\n\n")}
	}
	in, pw := pre("R_.Input"), pre("R_.Password")
	if pw != nil && in == nil {
		in = x.byID["R_.Input"]
		in.live = true
	}
	if in != nil {
		f, r, o, s := x.need("fmt"), x.need("bufio"), x.need("os"), x.need("strings")
		stdin := x.fresh("stdin")
		ps = append(ps, lit("var %s = ", stdin), part{sym: r}, lit(".NewReader("), part{sym: o}, lit(".Stdin)\n\n// "),
			part{sym: in}, lit(" asks for a line of text.\nfunc "), part{sym: in}, lit("(prompt string) string {\n"),
			part{sym: f}, lit(".Fprint("), part{sym: o}, lit(".Stderr, prompt)\nline, err := %s.ReadString('\\n')\nif err != nil && line == \"\" {\npanic(\"input: \" + err.Error())\n}\nreturn ", stdin),
			part{sym: s}, lit(".TrimRight(line, \"\\r\\n\")\n}\n\n"))
	}
	if pw != nil {
		ps = append(ps, lit("// "), part{sym: pw}, lit(" asks for a line of text, which is seen as it is typed.\nfunc "), part{sym: pw}, lit("(prompt string) string { return "), part{sym: in}, lit("(prompt) }\n\n"))
	}
	for _, e := range x.cells {
		if e.parsed == nil {
			continue
		}
		if e.MayFail {
			x.need("fmt")
			x.need("os")
		}
		if e.timed {
			x.need("fmt")
			x.need("time")
		}
		if e.kept != "" {
			x.need("github.com/gonvex/gonvex/kernel/display")
		}
	}
	if x.cellVar != "" {
		ps = append(ps, lit("// %s is the last cell that has defined a method anew.\nvar %s int\n\n", x.cellVar, x.cellVar))
	}
	return ps
}

// mainHead is the beginning of main.
func (x *exporter) mainHead() string {
	y := x.byID["R_ctx"]
	if !y.live {
		return ""
	}
	c, o, s := x.need("context").name, x.need("os").name, x.need("os/signal").name
	return fmt.Sprintf("var stop %s.CancelFunc\n%s, stop = %s.NotifyContext(%s.Background(), %s.Interrupt)\n%s.AfterFunc(%s, stop) // a second Ctrl-C ends the program\n\n", c, y.name, s, c, o, c, y.name)
}

// finish formats the program and makes Go's compiler take it.
func (x *exporter) finish(src string) ([]byte, error) {
	out, err := format.Source([]byte(src))
	if err != nil {
		return nil, fmt.Errorf("export: the program does not parse: %w", err)
	}
	return x.strict(out)
}
