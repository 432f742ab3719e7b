package session

import (
	"fmt"
	"go/ast"
	"go/types"
	"sort"
	"strconv"
	"strings"
)

// emit writes what the cell changed and its statements, and loads it.
func (t *tx) emit(info *types.Info, body *ast.BlockStmt, last []ast.Expr) error {
	em := t.emitter(info)
	dirty := t.w.dirty()
	for _, d := range dirty { // names first: declarations mention each other
		d.emittedIn = t.n
		switch {
		case d.kind == declMethod:
			d.emitted = t.newName(d.recv + "__" + d.fn.Name.Name)
		case d.kind != declConst:
			d.emitted = t.newName(d.key)
		}
	}
	order := map[declKind]int{declType: 0, declVar: 1, declFunc: 2, declMethod: 3, declConst: 4}
	sort.SliceStable(dirty, func(i, j int) bool { return order[dirty[i].kind] < order[dirty[j].kind] })
	for _, d := range dirty {
		em.refs = map[string]bool{}
		em.declaration(d)
		d.refs = em.refs
	}
	if len(dirty) > 0 {
		em.bridges()
	}
	statements := em.entryBody(body, last)
	if err := t.writeInstances(); err != nil {
		return err
	}
	if ts := t.typeDefs.String(); ts != "" {
		if err := t.s.load("package main\n" + ts); err != nil {
			return err
		}
		if err := em.tie(); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("C_%d", t.n)
	if err := t.s.load("package main\n" + t.out.String() + "func " + name + "() {\n" + strings.Join(t.setup, "\n") + "\n" + statements + "}\n"); err != nil {
		return err
	}
	t.entry = t.s.m.function(name)
	t.s.m.forget(name)
	for k, v := range t.insts {
		t.s.insts[k] = v
	}
	for k := range t.helpers {
		t.s.helpers[k] = true
	}
	for _, k := range t.gone {
		delete(t.w.decls, k)
	}
	return nil
}

// nameType records the type behind an emitted type name.
func (t *tx) nameType(name string, n *types.Named) {
	t.newTypes = append(t.newTypes, emittedType{name, n})
	t.s.rt.nameType(name, n)
}

// declaration writes one changed declaration.
func (em *emitter) declaration(d *decl) {
	t := em.t
	switch d.kind {
	case declType:
		collectRefs(d.spec, em.info, em.refs)
		n, ok := em.info.Defs[d.spec.Name].Type().(*types.Named)
		if d.generic || !ok || d.spec.Assign.IsValid() { // instances are written on demand, aliases are spelled out
			return
		}
		t.setup = append(t.setup, fmt.Sprintf("R_.Forget(%q)", typeKey(n)))
		em.defineType(d.emitted, n)
	case declVar:
		gd := t.s.synthetic(d).(*ast.GenDecl)
		o := em.info.Defs[gd.Specs[0].(*ast.ValueSpec).Names[0]]
		ts := em.typ(o.Type())
		if strings.Contains(ts, "struct{") || strings.Contains(strings.ReplaceAll(ts, "interface{}", ""), "interface{") { // yaegi takes the fields' names for variables that it waits for
			n := em.fresh("R_type")
			t.typeDefs.WriteString("type " + n + " = " + ts + "\n")
			ts = n
		}
		fmt.Fprintf(&t.out, "var %s %s\n", d.emitted, ts)
		for r := range em.spelledRefs(o.Type()) {
			em.refs[r] = true
		}
	case declFunc, declMethod:
		collectRefs(d.fn, em.info, em.refs)
		if asserts(d.fn) {
			em.refs[allTypes] = true
		}
		if td := t.w.decls[d.recv]; d.generic || d.kind == declMethod && td != nil && td.generic {
			return
		}
		em.function(d.fn, d.emitted)
	}
}

func (em *emitter) spelledRefs(ty types.Type) map[string]bool {
	refs := map[string]bool{}
	em.t.spell(ty, refs)
	return refs
}

// bridges connects the methods of changed types, and changed methods, to
// dynamic dispatch.
func (em *emitter) bridges() {
	t := em.t
	for _, d := range t.w.sorted(func(d *decl) bool {
		td := t.w.decls[d.recv]
		return d.kind == declMethod && td != nil && !td.generic && (d.dirty || td.dirty)
	}) {
		td := t.w.decls[d.recv]
		m, ok := em.info.Defs[d.fn.Name].(*types.Func)
		if !ok {
			continue
		}
		if n := sessionNamed(m.Signature().Recv().Type()); n != nil {
			em.publish(n, m, d.emitted)
			t.s.rt.nameType(td.emitted, n) // the type with the method
		}
		star := ""
		if pointerReceiver(m) {
			star = "*"
		}
		if d.bridge != "" && d.bridgeSig == td.emitted+em.implType(star+td.emitted, m.Signature()) {
			t.setup = append(t.setup, d.bridge+" = "+d.emitted)
			continue
		}
		d = t.touch(d)
		d.bridge, d.bridgeSig = em.bridge(m, td.emitted, d.emitted)
	}
}

// entryBody writes the cell's statements.
func (em *emitter) entryBody(body *ast.BlockStmt, last []ast.Expr) string {
	em.refs = map[string]bool{}
	em.fn = &function{results: types.NewTuple()}
	em.locals(body)
	var b strings.Builder
	framed := defers(body)
	if framed {
		em.fn.frame = "D_0"
		b.WriteString("R_.Run(func(D_0 *R_.Frame) {\n")
	}
	afterVars := 0 // init functions run when the variables have their values
	for i, st := range em.t.stmts {
		if _, ok := st.(*ast.DeclStmt); ok {
			afterVars = i + 1
		}
	}
	inits := func(i int) {
		if i != afterVars {
			return
		}
		for _, in := range em.t.inits {
			if d := em.t.w.decls[in]; d != nil {
				b.WriteString(d.emitted + "()\n")
			}
		}
	}
	for i, st := range body.List {
		inits(i)
		if len(last) > 0 && i == len(body.List)-1 {
			for _, e := range last {
				b.WriteString(em.show(e))
			}
		} else if s, ok := em.dropped(st); ok {
			b.WriteString(s)
		} else {
			b.WriteString(em.stmt(st))
		}
	}
	inits(len(body.List))
	b.WriteString(em.unread(body))
	if framed {
		b.WriteString("})\n")
	}
	if em.t.main != "" {
		b.WriteString(em.t.w.decls[em.t.main].emitted + "()\n")
	}
	return b.String()
}

// writeInstances writes generic instances until they ask for no new one.
func (t *tx) writeInstances() error {
	for len(t.pending) > 0 {
		batch := t.pending
		t.pending = nil
		var fds []*ast.FuncDecl
		for _, p := range batch {
			fds = append(fds, p.fd)
		}
		_, info, errs := t.s.typecheck(t.file(nil, func(*decl) bool { return true }, fds))
		for _, e := range errs {
			// equal cases are no errors in a generic, where they come of type arguments
			if !strings.HasPrefix(e.Msg, "duplicate case") && !strings.HasPrefix(e.Msg, "impossible type") {
				return t.s.errAt(KindType, e.Pos, "in an instance of a generic: "+plainNames(e.Msg))
			}
		}
		em := t.emitter(info)
		em.inInstance = true
		for _, p := range batch {
			em.function(p.fd, p.name)
		}
	}
	return nil
}

// show writes the call that shows the last expression of the cell.
func (em *emitter) show(e ast.Expr) string {
	tv := em.info.Types[e]
	line := em.at(e.Pos(), tv.Value == nil) // a constant cannot panic
	if tv.IsVoid() || tv.Type == nil || em.prints(e) {
		return line + em.effect(e) + "\n"
	}
	if tu, ok := tv.Type.(*types.Tuple); ok {
		if tu.Len() == 0 {
			return line + em.expr(e) + "\n"
		}
		var ids, vs []string
		for i := range tu.Len() {
			ids = append(ids, strconv.Itoa(em.typeID(tu.At(i).Type())))
			vs = append(vs, em.fresh("v"))
		}
		call := ""
		for i := range vs {
			show := "R_.Show("
			if types.IsInterface(tu.At(i).Type()) {
				show = em.showAny() + "("
			}
			call += show + ids[i] + ", " + vs[i] + ")\n"
		}
		return line + strings.Join(vs, ", ") + " := " + em.expr(e) + "\n" + call
	}
	show := "R_.Show"
	if types.IsInterface(tv.Type) { // its dynamic type may have methods that only yaegi can find
		show = em.showAny()
	}
	return line + fmt.Sprintf("%s(%d, %s)\n", show, em.typeID(tv.Type), em.expr(e))
}

// showAny is a helper that shows a value of interface type as yaegi holds it.
func (em *emitter) showAny() string {
	return em.helper("H_show", "func H_show(id int, x interface{}) { R_.ShowAny(id, &x) }")
}

// prints tells a call whose results nobody wants to see: fmt.Println and its kin.
func (em *emitter) prints(e ast.Expr) bool {
	c, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	se, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	o := em.info.Uses[se.Sel]
	return o != nil && o.Pkg() != nil && o.Pkg().Path() == "fmt" && strings.Contains(o.Name(), "rint") && !strings.HasPrefix(o.Name(), "S")
}
