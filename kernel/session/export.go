package session

import (
	"errors"
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"go/types"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"github.com/gonvex/gonvex/stdlib"
)

// A notebook becomes a Go program by the same analysis that runs it: each cell
// is checked in the world that the cells before it left. Its statements become
// a function, its declarations stand before that function, and what a later
// cell declares anew is another symbol with a name of its own. The text is the
// cells' own, with names replaced where they must differ.

// ExportCell is a cell of a notebook that is to become a program.
type ExportCell struct {
	Source  string
	Number  int    // by which messages and the program name a code cell
	Comment bool   // the source is not to run: it becomes a comment
	Note    string // a line above that comment
	// MayFail says that the program goes on when the cell panics, and that the
	// cell may be code that does not compile.
	MayFail bool
}

// Program is a notebook as a Go program.
type Program struct {
	Source []byte   // of package main, formatted
	Notes  []string // what the program does not do as the notebook does
}

// symbol is one version of a name at the top of the program.
type symbol struct {
	base string // the name in the cells
	name string // the name in the program
	kind declKind
	path string // of a package; a package has no kind
	cell *exported

	text *snippet // its declaration; nil for variables and packages
	typ  []part   // of a variable
	at   int      // of a variable in its cell

	// A variable that only the statements of one cell know stays theirs.
	shared   bool
	captured bool
	cells    map[*exported]bool // that define it

	inserted bool // the program names this package where no cell does
	recv     *symbol
	sig      *types.Signature
	again    []*symbol // methods: the versions that this one dispatches to
	live     bool
}

// hole is a name in a text that may have to be another one in the program.
type hole struct {
	off, end int
	sym      *symbol
	own      bool // a variable of the cell's own statements: renamed only if shared
	selector bool // of a dot import: the package goes before the name
}

// snippet is a piece of a cell.
type snippet struct {
	x        *exported
	off, end int
	head     string // written before it
	holes    []hole
}

// part is literal text or the name of a symbol.
type part struct {
	text string
	sym  *symbol
}

// exported is what the program needs to know of a cell.
type exported struct {
	ExportCell
	id      int // among the cells of the export, from 1: the cell of positions
	src     string
	lines   []int // offsets
	parsed  *parsedCell
	order   []ast.Stmt // as they must run
	values  map[ast.Stmt]bool
	info    *types.Info
	timed   bool   // %time
	kept    string // the variable that keeps the value to show until the deferred calls have run
	several bool   // it is several values of one line

	holes   []hole // of the statements
	defines map[*ast.Ident]*symbol
	decls   []*symbol // functions, methods, types and constants that begin to exist here
	vars    []*symbol // variables that begin to exist here
	inits   []*symbol
	main    *symbol
	world   *world // after it
	comment string // what stands in the place of a cell that cannot be code
}

type exporter struct {
	s        *Session
	cells    []*exported
	symbols  []*symbol
	byID     map[string]*symbol // decl.emitted -> symbol
	packages map[string]*symbol // name and path
	blank    map[string]bool    // packages imported for what they do
	idents   map[string]bool    // all that occur in the cells
	defined  map[string]bool    // those that name something the cells define
	universe map[string]bool    // predeclared names that the cells use as such
	asked    map[string]bool    // names of methods that values are asked for
	notes    []string
	cellVar  string             // of the program: the last cell that has defined a method anew
	turns    map[*exported]bool // the cells that do
	final    *world
}

// Export writes cells as one program. An error of a cell is a *CellError.
func Export(cells []ExportCell) (*Program, error) {
	s := &Session{}
	s.fset = token.NewFileSet()
	s.imp = stdlib.Importer(s.fset)
	w, err := s.emptyWorld()
	if err != nil {
		return nil, err
	}
	s.world.Store(w)
	x := &exporter{s: s, byID: map[string]*symbol{}, packages: map[string]*symbol{}, blank: map[string]bool{},
		idents: map[string]bool{}, defined: map[string]bool{}, universe: map[string]bool{}, asked: map[string]bool{}}
	for key, d := range w.decls {
		x.byID[d.emitted] = x.add(&symbol{base: key, kind: d.kind})
	}
	for _, name := range observed {
		x.asked[name] = true
	}
	for _, c := range cells {
		if !c.Comment {
			x.ask(normalise(c.Source))
		}
	}
	for i, c := range cells {
		e := &exported{ExportCell: c, id: i + 1, src: normalise(c.Source), defines: map[*ast.Ident]*symbol{}}
		x.cells = append(x.cells, e)
		if e.Comment {
			continue
		}
		if err := x.cell(e); err != nil {
			x.named(e)
			ce := s.finish(err, s.world.Load())
			if !c.MayFail {
				return nil, ce
			}
			e.comment = "It may fail, and fails before it runs: " + ce.Error()
		}
	}
	x.final = s.world.Load()
	return x.program()
}

// named makes errors name the cell as the caller does.
func (x *exporter) named(e *exported) { x.s.numbers.Store(e.id, e.Number) }

func (x *exporter) add(y *symbol) *symbol {
	x.symbols = append(x.symbols, y)
	return y
}

func (x *exporter) notef(e *exported, format string, a ...any) {
	x.notes = append(x.notes, fmt.Sprintf("cell %d: ", e.Number)+fmt.Sprintf(format, a...))
}

// pkg is the symbol of an imported package.
func (x *exporter) pkg(name, path string) *symbol {
	key := name + " " + path
	if x.packages[key] == nil {
		x.packages[key] = x.add(&symbol{base: name, path: path})
	}
	return x.packages[key]
}

// need is a package that the program names of itself.
func (x *exporter) need(path string) *symbol {
	name := path[strings.LastIndexByte(path, '/')+1:]
	y := x.pkg(name, path)
	y.inserted, y.live = true, true
	return y
}

// cell analyses one code cell.
func (x *exporter) cell(e *exported) *CellError {
	x.s.count = e.id
	x.named(e)
	if isMagic(e.src) {
		if done := x.magic(e); done {
			return nil
		}
	}
	x.s.sources.Store(e.id, e.src)
	for i := range e.src {
		if i == 0 || e.src[i-1] == '\n' {
			e.lines = append(e.lines, i)
		}
	}
	toks, _, _ := lex(e.src)
	for _, t := range toks {
		if t.tok == token.IDENT {
			x.idents[e.src[t.off:t.end]] = true
		}
	}
	pc, err := parseCell(x.s.fset, fmt.Sprintf("cell%d", e.id), e.src)
	if err != nil {
		ce := &CellError{Kind: KindSyntax, Msg: err.Error(), Cell: e.id}
		var el scanner.ErrorList
		if errors.As(err, &el) {
			ce.Msg, ce.Line, ce.Col = el[0].Msg, el[0].Pos.Line, el[0].Pos.Column
		}
		return ce
	}
	t := x.s.newTx(e.id, pc)
	t.extend = func(changed map[string]bool) { x.extend(e, t, changed) }
	err = t.guarded(func() error {
		c, err := t.analyse()
		if err != nil {
			return err
		}
		x.record(e, t, c)
		return nil
	})
	if err != nil {
		var ce *CellError
		if !errors.As(err, &ce) {
			ce = &CellError{Kind: KindInterpreter, Msg: err.Error()}
		}
		return ce
	}
	return nil
}

// observed are the methods that printing and showing look for.
var observed = []string{"String", "Error", "Format", "GoString", "MarshalJSON", "MarshalText",
	"HTML", "Markdown", "Latex", "SVG", "PNG", "JPEG"}

// extend makes a type that gets a method which values are asked for a new
// type, so that the cells above see it without the method. Where variables
// hold its values it cannot: then the type has the method from the start.
func (x *exporter) extend(e *exported, t *tx, changed map[string]bool) {
	for _, d := range slices.Clone(t.newDecls) {
		if d.kind != declMethod || t.w.decls[d.key] != nil || t.newNames[d.recv] || !x.asked[d.fn.Name.Name] {
			continue
		}
		td := t.w.decls[d.recv]
		if td == nil || td.dirty {
			continue
		}
		if v := holder(t.w, d.recv); v != "" {
			x.notef(e, "%s has the method %s from the start of the program, for the variable %s is of that type already", d.recv, d.fn.Name.Name, v)
			continue
		}
		t.touch(td)
		changed[d.recv] = true
		t.markDirty(changed)
	}
}

// holder is a variable whose type mentions the type of that name, "" if there is none.
func holder(w *world, name string) string {
	types := map[string]bool{name: true}
	for again := true; again; {
		again = false
		for k, d := range w.decls {
			for r := range d.refs {
				if d.kind == declType && types[r] && !types[k] {
					types[k], again = true, true
				}
			}
		}
	}
	for _, d := range w.sorted(func(d *decl) bool { return d.kind == declVar }) {
		for r := range d.refs {
			if types[r] {
				return d.key
			}
		}
	}
	return ""
}

// ask notes the methods that interfaces of a cell have.
func (x *exporter) ask(src string) {
	toks, _, _ := lex(src)
	inside := 0 // depth of brackets in an interface
	for i, t := range toks {
		switch {
		case inside > 0:
			inside += bracket(t.tok)
			if inside == 1 && t.tok == token.IDENT && i+1 < len(toks) && toks[i+1].tok == token.LPAREN {
				x.asked[src[t.off:t.end]] = true
			}
		case t.tok == token.LBRACE && i > 0 && toks[i-1].tok == token.INTERFACE:
			inside = 1
		}
	}
}

// magic takes a cell that is a command to the session. It reports false when
// the rest of the cell is code.
func (x *exporter) magic(e *exported) (done bool) {
	text := strings.TrimSpace(e.src)
	line, _, _ := strings.Cut(text, "\n")
	name, _, _ := strings.Cut(strings.TrimSpace(strings.TrimLeft(line, "%")), " ")
	switch {
	case question(e.src) != "":
		e.comment = "A question to the kernel"
	case name == "time":
		at := strings.Index(e.src, "%")
		end := at + strings.Index(e.src[at:], "time") + len("time")
		e.src = strings.Repeat(" ", end) + e.src[end:]
		e.timed = true
		return false
	case name == "reset":
		e.comment = "From here on the cells know nothing of those above"
		w, err := x.s.emptyWorld()
		if err == nil {
			x.s.world.Store(w)
		}
	default:
		e.comment = "A command to the kernel, left out"
		if m, ok := magics[name]; !ok || !m.pure {
			x.notef(e, "%%%s is left out", name)
		}
	}
	return true
}

// offset is the place of p in the cell's text.
func (x *exporter) offset(e *exported, p token.Pos) int {
	cell, line, col := x.s.position(p)
	switch {
	case cell != e.id || line < 1:
		panic(&CellError{Kind: KindSyntax, Cell: e.id, Msg: "a position outside of the cell: //line comments cannot be exported"})
	case line > len(e.lines): // the end of the frame around the cell
		return len(e.src)
	}
	return min(e.lines[line-1]+col-1, len(e.src))
}

// word is the end of the identifier at off: the syntax may have another name by now.
func (e *exported) word(off int) int {
	end := off
	for i, r := range e.src[off:] {
		if r != '_' && !unicode.IsLetter(r) && !(i > 0 && unicode.IsDigit(r)) {
			break
		}
		end = off + i + len(string(r))
	}
	return end
}

// record takes what an analysed cell declares and does.
func (x *exporter) record(e *exported, t *tx, c *checked) {
	e.parsed, e.values, e.info, e.order = t.pc, t.values, t.first, t.stmts

	// Names first: declarations mention each other.
	changed := t.w.dirty()
	for key, d := range t.w.decls {
		if d.kind == declConst && d.emitted == "" || d.kind == declConst && x.retyped(d, t) {
			n := *d
			n.emitted = ""
			t.w.decls[key] = &n
			changed = append(changed, &n)
		}
	}
	sort.SliceStable(changed, func(i, j int) bool { return x.place(e, changed[i]) < x.place(e, changed[j]) })
	for _, d := range changed {
		base := d.key
		if d.fn != nil {
			base = d.fn.Name.Name
		}
		y := x.add(&symbol{base: strings.TrimSuffix(base, sep), kind: d.kind, cell: e})
		if strings.HasPrefix(d.key, "init"+sep) {
			y.base = "init"
		}
		d.emitted = "#" + strconv.Itoa(len(x.symbols))
		x.byID[d.emitted] = y
	}
	for _, d := range changed {
		x.declaration(e, t, c, d)
	}
	for _, in := range t.inits {
		if d := t.w.decls[in]; d != nil {
			e.inits = append(e.inits, x.byID[d.emitted])
		}
	}
	if t.main != "" {
		e.main = x.byID[t.w.decls[t.main].emitted]
	}

	// The variables of the cell by their objects of the first pass, in which
	// they are local.
	own := map[types.Object]*symbol{}
	define := func(id *ast.Ident) {
		v, ok := t.first.Defs[id].(*types.Var)
		d := t.w.decls[id.Name]
		if !ok || id.Name == "_" || d == nil {
			return
		}
		y := x.byID[d.emitted]
		if y.cells == nil {
			y.cells = map[*exported]bool{}
			y.typ = x.typeParts(v.Type(), t.w)
			y.at = x.offset(e, id.Pos())
		}
		y.cells[e] = true
		own[v], e.defines[id] = y, y
	}
	eachDefined(t.stmts, define)
	for _, st := range t.pc.body.List {
		ast.Inspect(st, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok { // the marks make names longer than they are in the text
				id.Name, _, _ = strings.Cut(id.Name, sep)
			}
			return true
		})
	}
	for _, st := range t.stmts {
		e.holes = append(e.holes, x.holes(e, st, t.first, t.w, own, func(key string) *decl {
			if old := t.replaced[key]; old != nil {
				return old
			}
			return t.w.decls[key]
		})...)
	}
	for _, im := range t.pc.imports {
		if im.Name != nil && im.Name.Name == "_" {
			path, _ := strconv.Unquote(im.Path.Value)
			x.blank[path] = true
		}
	}
	e.world = t.w
	x.commit(t)
}

// retyped tells a constant whose type another cell has declared anew.
func (x *exporter) retyped(d *decl, t *tx) bool {
	if d.cell == t.n || d.emitted == "" {
		return false
	}
	for r := range d.refs {
		if rd := t.w.decls[r]; rd != nil && rd.dirty {
			return true
		}
	}
	return false
}

// place orders the declarations of a cell as its text does.
func (x *exporter) place(e *exported, d *decl) int {
	if n := d.node(); n != nil && d.cell == e.id {
		return x.offset(e, n.Pos())
	}
	return len(e.src) + 1
}

// declaration takes the text of one changed declaration.
func (x *exporter) declaration(e *exported, t *tx, c *checked, d *decl) {
	y := x.byID[d.emitted]
	look := func(key string) *decl { return t.w.decls[key] }
	from := x.cells[d.cell-1]
	switch d.kind {
	case declVar:
		e.vars = append(e.vars, y)
		return
	case declConst:
		x.constant(e, t, d, y)
		return
	case declType:
		d.refs = map[string]bool{}
		collectRefs(d.spec, c.info, d.refs)
		y.text = &snippet{x: from, head: "type ", off: x.offset(from, d.spec.Pos()), end: x.offset(from, d.spec.End()), holes: x.holes(from, d.spec, c.info, t.w, nil, look)}
		if gd := x.genDecl(from, d.spec); gd != nil && len(gd.Specs) == 1 {
			y.text.head = ""
			y.text.off, y.text.end = x.extent(from, gd)
		} else if off, _ := x.extent(from, d.spec); off < y.text.off {
			y.text.head = from.src[off:y.text.off] + "type "
		}
	case declFunc, declMethod:
		d.refs = map[string]bool{}
		collectRefs(d.fn, c.info, d.refs)
		y.text = &snippet{x: from, holes: x.holes(from, d.fn, c.info, t.w, nil, look)}
		y.text.off, y.text.end = x.extent(from, d.fn)
		if d.kind == declMethod {
			if rd := t.w.decls[d.recv]; rd != nil {
				y.recv = x.byID[rd.emitted]
			}
			if o, ok := c.info.Defs[d.fn.Name].(*types.Func); ok {
				y.sig = o.Signature()
			}
		}
	}
	e.decls = append(e.decls, y)
}

// genDecl is the declaration that a type of a cell was written in.
func (x *exporter) genDecl(e *exported, spec ast.Spec) *ast.GenDecl {
	for _, st := range e.parsed.body.List {
		if ds, ok := st.(*ast.DeclStmt); ok {
			if gd := ds.Decl.(*ast.GenDecl); slices.Contains(gd.Specs, spec) {
				return gd
			}
		}
	}
	return nil
}

// extent is the range of a declaration with its comments.
func (x *exporter) extent(e *exported, n ast.Node) (off, end int) {
	off, end = x.offset(e, n.Pos()), x.offset(e, n.End())
	_, comments, _ := lex(e.src)
	off = docStart(e.src, comments, off, nil)
	rest := strings.TrimLeft(e.src[end:], " \t;")
	if strings.HasPrefix(rest, "//") { // what trails on its last line is about it
		line, _, _ := strings.Cut(rest, "\n")
		end = len(e.src) - len(rest) + len(line)
	}
	return off, end
}

// constant takes the text of a constant: with its group where the cell wrote
// it, else by its value.
func (x *exporter) constant(e *exported, t *tx, d *decl, y *symbol) {
	var typ []part
	if d.typ != "" {
		if sp := x.spelled(d.typ, t.w); len(sp) > 0 {
			typ = append([]part{{text: " "}}, sp...)
		}
	}
	if d.cell == e.id {
		for _, st := range t.pc.body.List {
			ds, ok := st.(*ast.DeclStmt)
			if !ok {
				continue
			}
			gd := ds.Decl.(*ast.GenDecl)
			if gd.Tok != token.CONST {
				continue
			}
			for _, sp := range gd.Specs {
				for _, id := range sp.(*ast.ValueSpec).Names {
					if id.Name != d.key || t.first.Defs[id] == nil {
						continue
					}
					for _, other := range e.decls { // one text for the whole group
						if other.kind == declConst && other.text != nil && other.text.off <= x.offset(e, id.Pos()) && x.offset(e, id.Pos()) < other.text.end {
							y.text = other.text
						}
					}
					if y.text == nil {
						y.text = &snippet{x: e, holes: x.holes(e, gd, t.first, t.w, nil, func(key string) *decl { return t.w.decls[key] })}
						y.text.off, y.text.end = x.extent(e, gd)
					}
					e.decls = append(e.decls, y)
					return
				}
			}
		}
	}
	y.typ = append(typ, part{text: " = " + d.val})
	e.decls = append(e.decls, y)
}

// commit makes the transaction's world the session's.
func (x *exporter) commit(t *tx) {
	for _, d := range t.w.dirty() {
		d.dirty = false
	}
	for n := range t.replaced {
		delete(t.w.decls, n+sep+"old")
	}
	x.s.world.Store(t.w)
}

// holes finds the names below n that mean something of the program's top.
func (x *exporter) holes(e *exported, n ast.Node, info *types.Info, w *world, own map[types.Object]*symbol, look func(string) *decl) []hole {
	var hs []hole
	selected := map[*ast.Ident]bool{} // of a package
	taken := map[*ast.Ident]bool{}    // in closures, or their address is
	take := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				taken[id] = true
			}
			return true
		})
	}
	symbolOf := func(key string) *symbol {
		if d := look(key); d != nil {
			return x.byID[d.emitted]
		}
		return nil
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			take(n)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				take(n)
			}
		case *ast.SliceExpr:
			if tv := info.Types[n.X]; tv.Type != nil {
				if _, ok := tv.Type.Underlying().(*types.Array); ok {
					take(n.X)
				}
			}
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok {
				if _, ok := info.Uses[id].(*types.PkgName); ok {
					selected[n.Sel] = true
				}
			}
			if s := info.Selections[n]; s != nil && s.Kind() == types.MethodVal && !isPointer(s.Recv()) {
				if f, ok := s.Obj().(*types.Func); ok && pointerReceiver(f) {
					take(n.X)
				}
			}
		case *ast.Ident:
			off := x.offset(e, n.Pos())
			h := hole{off: off, end: e.word(off)}
			o := info.Uses[n]
			if o == nil {
				o = info.Defs[n]
				if o != nil {
					x.defined[e.src[h.off:h.end]] = true
				}
			}
			if o == nil {
				return true
			}
			pkg, isPkg := o.(*types.PkgName)
			v, isVar := o.(*types.Var)
			f, isFunc := o.(*types.Func)
			switch {
			case isPkg:
				h.sym = x.pkg(markedPackage.ReplaceAllString(pkg.Name(), ""), pkg.Imported().Path())
			case own[o] != nil:
				h.sym, h.own = own[o], true
				if taken[n] {
					h.sym.captured = true
				}
			case o.Parent() == types.Universe:
				x.universe[o.Name()] = true
			case isFunc && inMain(o) && f.Signature().Recv() != nil:
				if r := namedOf(f.Signature().Recv().Type()); r != nil && (topLevel(r.Obj()) || r.TypeArgs().Len() > 0) {
					h.sym = symbolOf(r.Obj().Name() + "." + f.Name())
				}
			case isVar && v.IsField():
				if r := namedOf(v.Type()); v.Embedded() && r != nil && topLevel(r.Obj()) {
					h.sym = symbolOf(r.Obj().Name())
				}
			case topLevel(o):
				if h.sym = symbolOf(o.Name()); h.sym != nil && isVar {
					h.sym.shared = true
				}
			case o.Pkg() != nil && !inMain(o) && o.Parent() == o.Pkg().Scope() && !selected[n]:
				h.sym, h.selector = x.pkg(o.Pkg().Name(), o.Pkg().Path()), true
			}
			if h.sym != nil {
				hs = append(hs, h)
			}
		}
		return true
	})
	sort.Slice(hs, func(i, j int) bool { return hs[i].off < hs[j].off })
	return slices.CompactFunc(hs, func(a, b hole) bool { return a.off == b.off })
}

// typeParts writes a type.
func (x *exporter) typeParts(t types.Type, w *world) []part {
	return x.marked(types.TypeString(t, func(p *types.Package) string {
		if p.Path() == mainPath {
			return "\x01"
		}
		return "\x02" + p.Name() + "\x03" + p.Path() + "\x04"
	}), w)
}

// spelled reads a type that tx.spell has written: a name is one of the
// session, or one of a package under its alias.
func (x *exporter) spelled(s string, w *world) []part {
	if a, name, ok := strings.Cut(s, "."); ok {
		path, ok := x.s.aliases.Load(a)
		if !ok {
			return nil
		}
		p, err := x.s.imp.Import(path.(string))
		if err != nil {
			return nil
		}
		return []part{{sym: x.pkg(p.Name(), p.Path())}, {text: "." + name}}
	}
	if d := w.decls[s]; d != nil && d.kind == declType {
		return []part{{sym: x.byID[d.emitted]}}
	}
	return []part{{text: s}}
}

// marked turns the marks of typeParts into symbols.
func (x *exporter) marked(s string, w *world) []part {
	var ps []part
	for {
		i := strings.IndexAny(s, "\x01\x02")
		if i < 0 {
			return append(ps, part{text: s})
		}
		ps = append(ps, part{text: s[:i]})
		mark := s[i]
		s = s[i+1:]
		if mark == '\x02' {
			name, rest, _ := strings.Cut(s, "\x03")
			path, rest, _ := strings.Cut(rest, "\x04")
			ps = append(ps, part{sym: x.pkg(name, path)})
			s = rest
			continue
		}
		s = strings.TrimPrefix(s, ".")
		n := (&exported{src: s}).word(0)
		if d := w.decls[s[:n]]; d != nil {
			ps = append(ps, part{sym: x.byID[d.emitted]})
		} else {
			ps = append(ps, part{text: s[:n]})
		}
		s = s[n:]
	}
}
