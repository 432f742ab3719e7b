package session

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// lineMul joins a cell's number and a line in one number: positions in
// emitted code are cell*lineMul + line. Go's scanner takes line numbers up to
// 1<<30, so cells are counted up to maxCells, and then from 1 again.
const (
	lineMul  = 1 << 14
	maxCells = 1<<30/lineMul - 1
	colMul   = 1 << 10 // R_line has the column too: position*colMul + column
)

func position(cell, line int) int { return cell*lineMul + min(line, lineMul-1) }

// at marks the position of a statement in emitted code, and, for a statement
// that can panic, records it at run time: yaegi's own panics name only the
// function they happened in.
func (em *emitter) at(p token.Pos, risky bool) string {
	c, l, col := em.t.s.position(p)
	if l == 0 {
		return ""
	}
	s := fmt.Sprintf("/*line _.go:%d:%d*/", position(c, l), col)
	if risky {
		s += fmt.Sprintf("R_line = %d; ", position(c, l)*colMul+min(col, colMul-1))
	}
	return s
}

func (em *emitter) mark(s ast.Stmt) string { return em.at(s.Pos(), canPanic(s)) }

// canPanic tells whether a statement, nested blocks aside, can panic.
func canPanic(s ast.Stmt) bool {
	var nodes []ast.Node
	switch x := s.(type) {
	case *ast.IfStmt:
		nodes = append(nodes, x.Cond)
		if x.Init != nil {
			nodes = append(nodes, x.Init)
		}
	case *ast.SwitchStmt:
		if x.Init != nil {
			nodes = append(nodes, x.Init)
		}
		if x.Tag != nil {
			nodes = append(nodes, x.Tag)
		}
	default:
		nodes = append(nodes, s)
	}
	found := false
	for _, n := range nodes {
		ast.Inspect(n, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.IndexExpr, *ast.SliceExpr, *ast.CallExpr, *ast.StarExpr, *ast.TypeAssertExpr, *ast.SelectorExpr, *ast.SendStmt:
				found = true
			case *ast.BinaryExpr:
				found = found || x.Op == token.QUO || x.Op == token.REM
			case *ast.AssignStmt:
				found = found || x.Tok == token.QUO_ASSIGN || x.Tok == token.REM_ASSIGN
			case *ast.FuncLit:
				return false
			}
			return !found
		})
	}
	return found
}

func (em *emitter) stmts(l []ast.Stmt) string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(em.stmt(s))
	}
	return b.String()
}

// clause writes the statements of a case, where yaegi does not find labels: a
// statement that has one to be left by stands in a block.
func (em *emitter) clause(l []ast.Stmt) string {
	var b strings.Builder
	for _, s := range l {
		text := em.stmt(s)
		if x, ok := s.(*ast.LabeledStmt); ok {
			switch x.Stmt.(type) {
			case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.SelectStmt:
				text = "{\n" + text + "}\n"
			}
		}
		b.WriteString(text)
	}
	return b.String()
}

func (em *emitter) block(b *ast.BlockStmt) string { return "{\n" + em.stmts(b.List) + "}" }

func (em *emitter) stmt(s ast.Stmt) string {
	switch x := s.(type) {
	case nil, *ast.EmptyStmt:
		return ""
	case *ast.BlockStmt:
		return em.block(x) + "\n"
	case *ast.LabeledStmt:
		switch y := x.Stmt.(type) {
		case *ast.ForStmt:
			return em.forStmt(y, x.Label.Name)
		case *ast.RangeStmt:
			return em.rangeStmt(y, x.Label.Name)
		case *ast.SwitchStmt:
			return em.switchStmt(y, x.Label.Name)
		case *ast.SelectStmt:
			return em.selectStmt(y, x.Label.Name)
		case *ast.EmptyStmt:
			return x.Label.Name + ":\n{ }\n"
		}
		return x.Label.Name + ":\n" + em.stmt(x.Stmt)
	case *ast.ForStmt:
		return em.forStmt(x, "")
	case *ast.RangeStmt:
		return em.rangeStmt(x, "")
	case *ast.IfStmt:
		return em.mark(s) + em.ifStmt(x) + "\n"
	case *ast.SwitchStmt:
		return em.switchStmt(x, "")
	case *ast.TypeSwitchStmt:
		return em.typeSwitch(x)
	case *ast.SelectStmt:
		return em.selectStmt(x, "")
	case *ast.BranchStmt:
		return em.branch(x) + "\n"
	case *ast.ReturnStmt:
		return em.returnStmt(x)
	case *ast.GoStmt:
		return em.mark(s) + em.goStmt(x)
	case *ast.DeferStmt:
		return em.mark(s) + em.deferStmt(x)
	case *ast.DeclStmt:
		return em.localDecl(x)
	case *ast.AssignStmt:
		if a, ok := em.oneByOne(x); ok {
			return em.mark(s) + a
		}
		calls, values := em.hoistCalls(x)
		return em.mark(s) + calls + em.assign(x, values) + "\n"
	}
	return em.mark(s) + em.simple(s) + "\n"
}

func (em *emitter) ifStmt(x *ast.IfStmt) string {
	if x.Init != nil && em.hoistable(x.Init) && !em.finds(x) {
		c := *x
		c.Init = nil
		return "{\n" + em.stmt(x.Init) + em.ifStmt(&c) + "\n}"
	}
	s := "if "
	if x.Init != nil {
		s += em.simple(x.Init) + "; "
	}
	s += em.header(x.Cond) + " " + em.block(x.Body)
	switch e := x.Else.(type) {
	case *ast.BlockStmt:
		s += " else " + em.block(e)
	case *ast.IfStmt:
		s += " else " + em.ifStmt(e)
	}
	return s
}

// header writes an expression of a statement header, in parentheses when it
// holds a composite or function literal.
func (em *emitter) header(e ast.Expr) string {
	s := em.expr(e)
	if strings.Contains(s, "{") {
		return "(" + s + ")"
	}
	return s
}

// isTrue tells the constant true.
func (em *emitter) isTrue(e ast.Expr) bool {
	v := em.info.Types[e].Value
	return v != nil && v.Kind() == constant.Bool && constant.BoolVal(v)
}

// switchStmt writes a switch over values or, without a tag, over conditions.
func (em *emitter) switchStmt(x *ast.SwitchStmt, label string) string {
	if x.Init != nil { // after which yaegi does not evaluate the tag
		c := *x
		c.Init = nil
		return "{\n" + em.stmt(x.Init) + em.switchStmt(&c, label) + "}\n"
	}
	before, head, after := em.mark(x), "", ""
	var cond func(e ast.Expr) string
	or := " || " // of several conditions in one case yaegi looks at the first alone
	switch {
	case em.switchesInterface(x): // yaegi converts the values to each other's types, or compares its wrappers
		v := em.fresh("t")
		before += "{\nvar " + v + " interface{} = " + em.expr(x.Tag) + "\n"
		after = "}\n"
		cond = func(e ast.Expr) string {
			if em.info.Types[e].IsNil() {
				return v + " == nil"
			}
			return "R_.Eq(" + v + ", " + em.expr(e) + ")"
		}
	case x.Tag == nil || em.isTrue(x.Tag):
		cond = func(e ast.Expr) string { return "(" + em.expr(e) + ")" }
	case em.comparesInOrder(x):
		v, tag := em.fresh("t"), em.info.TypeOf(x.Tag)
		before += "{\n" + v + " := " + em.functionValue(x.Tag, em.expr(x.Tag)) + "\n"
		after = "}\n"
		cond = func(e ast.Expr) string { return "(" + v + " == " + em.to(e, tag) + ")" }
	default:
		head, or = em.header(x.Tag), ", "
		tag := em.info.TypeOf(x.Tag)
		cond = func(e ast.Expr) string { return em.to(e, tag) }
	}
	head = "switch " + head + " {\n"
	var clauses, ordered []*ast.CaseClause
	number := map[*ast.CaseClause]int{}
	for i, c := range x.Body.List {
		cc := c.(*ast.CaseClause)
		number[cc] = i
		clauses = append(clauses, cc)
		if cc.List != nil {
			ordered = append(ordered, cc)
		}
	}
	falls := false               // from or into a default that is not the last
	for i, cc := range clauses { // yaegi lets default and the last change places, so that others come too late
		if cc.List == nil {
			ordered = append(ordered, cc)
			falls = i < len(clauses)-1 && (fallsThrough(cc) || i > 0 && fallsThrough(clauses[i-1]))
		}
	}
	cases := func(body func(cc *ast.CaseClause) string) string {
		var o strings.Builder
		for _, cc := range ordered {
			var conds []string
			for _, e := range cc.List {
				conds = append(conds, cond(e))
			}
			if cc.List == nil {
				o.WriteString("default:\n" + body(cc))
			} else {
				o.WriteString("case " + strings.Join(conds, or) + ":\n" + body(cc))
			}
		}
		return o.String() + "}\n"
	}
	em.enter(false)
	defer em.leave(false)
	if !falls {
		return before + labelLine(label) + head + cases(func(cc *ast.CaseClause) string { return em.clause(cc.Body) }) + after
	}
	k := em.fresh("k")
	before += "{\n" + k + " := 0\n" + head + cases(func(cc *ast.CaseClause) string { return fmt.Sprintf("%s = %d\n", k, number[cc]) })
	var o strings.Builder
	for i, cc := range clauses {
		fmt.Fprintf(&o, "case %d:\n%s", i, em.clause(cc.Body))
	}
	return before + labelLine(label) + "switch " + k + " {\n" + o.String() + "}\n}\n" + after
}

// comparesInOrder tells a switch with a case nil, which yaegi finds equal to
// interfaces only, or with a case of several values of which some are computed:
// yaegi computes the first alone.
func (em *emitter) comparesInOrder(x *ast.SwitchStmt) bool {
	return slices.ContainsFunc(x.Body.List, func(c ast.Stmt) bool {
		es := c.(*ast.CaseClause).List
		return slices.ContainsFunc(es, func(e ast.Expr) bool {
			tv := em.info.Types[e]
			return tv.IsNil() || len(es) > 1 && tv.Value == nil && !isIdent(e)
		})
	})
}

func fallsThrough(cc *ast.CaseClause) bool {
	if len(cc.Body) == 0 {
		return false
	}
	b, ok := cc.Body[len(cc.Body)-1].(*ast.BranchStmt)
	return ok && b.Tok == token.FALLTHROUGH
}

// switchesInterface tells a switch that compares interface values.
func (em *emitter) switchesInterface(x *ast.SwitchStmt) bool {
	if x.Tag == nil {
		return false
	}
	if types.IsInterface(em.info.TypeOf(x.Tag)) {
		return true
	}
	for _, c := range x.Body.List {
		for _, e := range c.(*ast.CaseClause).List {
			if types.IsInterface(em.info.TypeOf(e)) {
				return true
			}
		}
	}
	return false
}

// typeSwitch writes a type switch as assertions in order and a switch on the
// number of the case that held: yaegi's own misses interface cases on values
// of the session's types, and the session's types behind error.
func (em *emitter) typeSwitch(x *ast.TypeSwitchStmt) string {
	if x.Init != nil && em.hoistable(x.Init) {
		c := *x
		c.Init = nil
		return "{\n" + em.stmt(x.Init) + em.typeSwitch(&c) + "}\n"
	}
	var subject ast.Expr
	name := ""
	switch a := x.Assign.(type) {
	case *ast.AssignStmt:
		name = a.Lhs[0].(*ast.Ident).Name
		subject = ast.Unparen(a.Rhs[0]).(*ast.TypeAssertExpr).X
	case *ast.ExprStmt:
		subject = ast.Unparen(a.X).(*ast.TypeAssertExpr).X
	}
	hard := em.inInstance
	for _, c := range x.Body.List {
		for _, e := range c.(*ast.CaseClause).List {
			t := em.info.TypeOf(e)
			hard = hard || !em.info.Types[e].IsNil() && (types.IsInterface(t) || mentionsSession(t) || em.hasTwins(t))
		}
	}
	if !hard {
		s := em.at(x.Pos(), false) + "switch "
		if x.Init != nil {
			s += em.simple(x.Init) + "; "
		}
		if name != "" {
			s += name + " := "
		}
		s += em.expr(subject) + ".(type) {\n"
		em.enter(false)
		for _, c := range x.Body.List {
			cc := c.(*ast.CaseClause)
			if cc.List == nil {
				s += "default:\n"
			} else {
				var ss []string
				for _, e := range cc.List {
					ss = append(ss, em.caseType(e))
				}
				s += "case " + strings.Join(ss, ", ") + ":\n"
			}
			s += em.clause(cc.Body)
		}
		em.leave(false)
		return s + "}\n"
	}
	n := em.next()
	v, k := fmt.Sprintf("ts_%d", n), fmt.Sprintf("tk_%d", n)
	var pick, body strings.Builder
	isNil := -1 // the case nil, or none
	em.enter(false)
	for i, c := range x.Body.List {
		cc := c.(*ast.CaseClause)
		bind := ""
		if cc.List == nil {
			body.WriteString("default:\n")
			bind = v
		} else {
			for _, e := range cc.List {
				if em.info.Types[e].IsNil() {
					isNil = i + 1
					continue
				}
				fmt.Fprintf(&pick, "if %s == 0 {\nif _, ok := %s; ok { %s = %d }\n}\n", k, em.assert(v, em.info.TypeOf(subject), em.info.TypeOf(e), true), k, i+1)
			}
			fmt.Fprintf(&body, "case %d:\n", i+1)
			bind = v
			if len(cc.List) == 1 && !em.info.Types[cc.List[0]].IsNil() {
				bind = em.assert(v, em.info.TypeOf(subject), em.info.TypeOf(cc.List[0]), false)
			}
		}
		if name != "" && name != "_" {
			body.WriteString(name + " := " + bind + "\n_ = " + name + "\n")
		}
		body.WriteString(em.clause(cc.Body))
	}
	em.leave(false)
	init := ""
	if x.Init != nil {
		init = em.simple(x.Init) + "\n"
	}
	return em.at(x.Pos(), true) + "{\n" + init + v + " := " + em.expr(subject) + "\n" + k + " := 0\n" + fmt.Sprintf("if %s == nil { %s = %d }\n", v, k, isNil) + pick.String() + "switch " + k + " {\n" + body.String() + "}\n}\n"
}

func (em *emitter) caseType(e ast.Expr) string {
	if em.info.Types[e].IsNil() {
		return "nil"
	}
	return em.typ(em.info.TypeOf(e))
}

// selectStmt writes a select as a call that waits, and a switch over what came
// of it: see selects in runtime.go.
func (em *emitter) selectStmt(x *ast.SelectStmt, label string) string {
	var pre, body strings.Builder
	var kinds, operands string
	k, ok := em.fresh("k"), em.fresh("ok")
	channel := func(ch ast.Expr) types.Type {
		c := em.fresh("c")
		pre.WriteString(c + " := " + em.expr(ch) + "\n")
		operands += ", " + c
		return em.info.TypeOf(ch).Underlying().(*types.Chan).Elem()
	}
	received := func(e ast.Expr) types.Type { return channel(ast.Unparen(e).(*ast.UnaryExpr).X) }
	em.enter(false)
	for i, c := range x.Body.List {
		cc := c.(*ast.CommClause)
		set := ""
		switch comm := cc.Comm.(type) {
		case nil:
			kinds += "d"
		case *ast.SendStmt:
			kinds += "s"
			elem := channel(comm.Chan)
			v := em.fresh("v")
			pre.WriteString("var " + v + " " + em.typ(elem) + " = " + em.result(comm.Value, elem) + "\n")
			operands += ", &" + v
		case *ast.ExprStmt:
			kinds += "x"
			received(comm.X)
		case *ast.AssignStmt:
			kinds += "r"
			v := em.fresh("s")
			pre.WriteString("var " + v + " " + em.typ(received(comm.Rhs[0])) + "\n")
			operands += ", &" + v
			for j, l := range comm.Lhs {
				from := []string{v, ok}[j]
				switch {
				case isBlank(l):
				case comm.Tok == token.DEFINE:
					name := l.(*ast.Ident).Name
					set += name + " := " + from + "\n_ = " + name + "\n"
				default:
					set += em.expr(l) + " = " + from + "\n"
				}
			}
		}
		body.WriteString("case " + strconv.Itoa(i) + ":\n" + set + em.clause(cc.Body))
	}
	em.leave(false)
	return em.at(x.Pos(), true) + "{\n" + pre.String() + k + ", " + ok + " := R_.Select(" + strconv.Quote(kinds) + operands + ")\n" +
		labelLine(label) + "switch " + k + " {\n" + body.String() + "}\n}\n"
}

// effect writes an expression that stands as a statement. A print has no results
// then: for yaegi to put away those of fmt takes a tenth of a printed line's time.
func (em *emitter) effect(e ast.Expr) string {
	if !em.prints(e) {
		return em.expr(e)
	}
	c := ast.Unparen(e).(*ast.CallExpr)
	args := em.args(c)
	return em.called(c.Fun) + sep + "(" + args + ")"
}

// simple writes a statement that may stand in a header.
func (em *emitter) simple(s ast.Stmt) string {
	switch x := s.(type) {
	case *ast.ExprStmt:
		return em.effect(x.X)
	case *ast.SendStmt:
		var elem types.Type
		if ch, ok := em.info.TypeOf(x.Chan).Underlying().(*types.Chan); ok {
			elem = ch.Elem()
		}
		return em.expr(x.Chan) + " <- " + em.result(x.Value, elem)
	case *ast.IncDecStmt:
		return em.expr(x.X) + x.Tok.String()
	case *ast.AssignStmt:
		return em.assign(x, em.rhs(x))
	}
	em.fail(s.Pos(), "unsupported statement %T", s)
	return ""
}

// assign writes an assignment or definition of the values that rhs or
// hoistCalls wrote.
func (em *emitter) assign(x *ast.AssignStmt, values []string) string {
	if x.Tok == token.DEFINE && len(x.Lhs) > 1 {
		if s, ok := em.mixedDefine(x, values); ok {
			return s
		}
	}
	if x.Tok == token.ASSIGN && len(x.Rhs) == 1 && len(values) > 1 { // what hoistCalls has made of one
		return em.store(x, values)
	}
	return em.exprs(x.Lhs) + " " + x.Tok.String() + " " + strings.Join(values, ", ")
}

// hoistCalls writes the values of an assignment with the calls among several
// of them in variables of their own, which come first: in a, b = f(), p.x
// yaegi would leave b zero. Go fixes the order of calls only among themselves,
// so nothing else moves.
func (em *emitter) hoistCalls(x *ast.AssignStmt) (calls string, values []string) {
	values = em.rhs(x)
	if em.replaces(x) || len(x.Lhs) == 1 && !isIdent(x.Lhs[0]) && em.boxesLiteral(x) { // yaegi puts a literal there unboxed
		v := em.fresh("v")
		return v + " := " + values[0] + "\n", []string{v}
	}
	if len(x.Lhs) == 1 && x.Tok != token.DEFINE && em.selected(x.Lhs[0]) && em.mayRunCell(x.Rhs[0]) { // which may change what selects the place, and Go looks for that last
		v := em.fresh("v")
		if x.Tok == token.ASSIGN {
			return "var " + v + " " + em.typ(em.info.TypeOf(x.Lhs[0])) + " = " + values[0] + "\n", []string{v}
		}
		return v + " := " + values[0] + "\n", []string{v}
	}
	if em.looksUp(x) {
		calls, v, ok := em.lookup(x.Rhs[0], values[0])
		return calls, []string{v, ok}
	}
	if len(x.Rhs) == 1 && len(x.Lhs) > 1 && x.Tok == token.ASSIGN && (!allIdents(x.Lhs) || em.convertsOne(x)) || dropsReceived(x) {
		var vs []string // yaegi drops what v, ok forms give to an element or field
		for range x.Lhs {
			vs = append(vs, em.fresh("v"))
		}
		return strings.Join(vs, ", ") + " := " + values[0] + "\n", vs
	}
	if !em.hoistable(x) {
		return "", values
	}
	for i, e := range x.Rhs {
		if em.computes(e) {
			v := em.fresh("v")
			calls += v + " := " + values[i] + "\n"
			values[i] = v
		}
	}
	return calls, values
}

// selected tells a place that is found by the value of a variable.
func (em *emitter) selected(e ast.Expr) bool {
	switch x := ast.Unparen(e).(type) {
	case *ast.SelectorExpr:
		return em.variable(x) == nil && !hasCall(x)
	case *ast.IndexExpr:
		return (em.info.Types[x.Index].Value == nil || em.variable(x) == nil) && !hasCall(x)
	case *ast.StarExpr:
		return !hasCall(x)
	}
	return false
}

// mayRunCell tells an expression with a call that may run a function of a cell's.
func (em *emitter) mayRunCell(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return !found
		}
		tv := em.info.Types[c.Fun]
		se, _ := ast.Unparen(c.Fun).(*ast.SelectorExpr)
		compiled := se != nil && em.info.Selections[se] == nil && !inMain(em.info.Uses[se.Sel])
		found = found || !tv.IsType() && !tv.IsBuiltin() && !compiled
		return !found
	})
	return found
}

// oneByOne writes an assignment of several values, some of interface type or
// nil, as one of each: yaegi boxes none of several, mixes their types up, fails
// on nil among them and on calls in keys, see key, and looks for m[i] in
// i, m[i] = 1, 2 after i is set.
func (em *emitter) oneByOne(x *ast.AssignStmt) (string, bool) {
	if x.Tok != token.ASSIGN || len(x.Rhs) < 2 || !slices.ContainsFunc(x.Rhs, isNil) && !selectsByOwn(x) && !slices.ContainsFunc(x.Lhs, func(l ast.Expr) bool {
		return !isBlank(l) && types.IsInterface(em.info.TypeOf(l)) || em.keyedByInterface(l)
	}) {
		return "", false
	}
	values := em.rhs(x)
	s := ""
	for i, l := range x.Lhs {
		if isBlank(l) {
			s += "_ = " + values[i] + "\n"
			continue
		}
		v := em.fresh("v")
		s += "var " + v + " " + em.typ(em.info.TypeOf(l)) + " = " + values[i] + "\n"
		values[i] = v
	}
	return s + em.store(x, values), true
}

// keyedByInterface tells an entry of a map with keys of an interface type.
func (em *emitter) keyedByInterface(e ast.Expr) bool {
	x, ok := ast.Unparen(e).(*ast.IndexExpr)
	if !ok {
		return false
	}
	m, ok := em.info.TypeOf(x.X).Underlying().(*types.Map)
	return ok && types.IsInterface(m.Key())
}

// store writes the assignment of variables one by one. Names, and what is inside
// the variables of that name, come last, so that what selects an element is still
// as it was.
func (em *emitter) store(x *ast.AssignStmt, values []string) string {
	var places, names strings.Builder
	for i, l := range x.Lhs {
		if isBlank(l) {
			continue
		}
		to := &places
		if id := em.variable(l); id != nil && slices.ContainsFunc(x.Lhs, func(o ast.Expr) bool {
			name, ok := ast.Unparen(o).(*ast.Ident)
			return ok && name.Name == id.Name
		}) {
			to = &names
		}
		v := values[i]
		if tu, ok := em.info.TypeOf(x.Rhs[0]).(*types.Tuple); ok { // the others have been converted
			v = em.converted(v, tu.At(i).Type(), em.info.TypeOf(l))
		}
		to.WriteString(em.expr(l) + " = " + v + "\n")
	}
	return places.String() + names.String()
}

// convertsOne tells an assignment of several results one of which becomes an
// interface.
func (em *emitter) convertsOne(x *ast.AssignStmt) bool {
	tu, ok := em.info.TypeOf(x.Rhs[0]).(*types.Tuple)
	if !ok {
		return false
	}
	for i, l := range x.Lhs {
		if !isBlank(l) && types.IsInterface(em.info.TypeOf(l)) && !types.IsInterface(tu.At(i).Type()) {
			return true
		}
	}
	return false
}

// converted writes a variable for a place of another type.
func (em *emitter) converted(v string, src, dst types.Type) string {
	if types.IsInterface(dst) {
		if h, ok := em.keeper(src, dst); ok {
			return h + "(" + v + ")"
		}
		if h, ok := em.box(src, dst); ok {
			return "(" + h + "(" + v + "))"
		}
	}
	return v
}

// variable is the variable that a place is or is a part of, nil if it is found
// by a pointer, slice or map.
func (em *emitter) variable(e ast.Expr) *ast.Ident {
	switch x := ast.Unparen(e).(type) {
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		if sel := em.info.Selections[x]; sel != nil && !isPointer(sel.Recv()) && !sel.Indirect() {
			return em.variable(x.X)
		}
	case *ast.IndexExpr:
		if _, ok := em.info.TypeOf(x.X).Underlying().(*types.Array); ok {
			return em.variable(x.X)
		}
	}
	return nil
}

// selectsByOwn tells an assignment to a place that is found by a variable which
// it sets too.
func selectsByOwn(x *ast.AssignStmt) bool {
	var places []ast.Node
	for _, l := range x.Lhs {
		if !isIdent(l) {
			places = append(places, l)
		}
	}
	by := idents(places...)
	return slices.ContainsFunc(x.Lhs, func(l ast.Expr) bool { return isIdent(l) && !isBlank(l) && by[ast.Unparen(l).(*ast.Ident).Name] })
}

// hoistable tells an assignment that takes more than one statement.
func (em *emitter) hoistable(s ast.Stmt) bool {
	x, ok := s.(*ast.AssignStmt)
	return ok && (em.replaces(x) || dropsReceived(x) || em.looksUp(x) || len(x.Lhs) == len(x.Rhs) && len(x.Rhs) > 1 && !slices.ContainsFunc(x.Lhs, hasCall) &&
		(slices.ContainsFunc(x.Rhs, hasCall) || slices.ContainsFunc(x.Rhs, em.computes) || slices.ContainsFunc(x.Rhs, isNil)))
}

// replaces tells an assignment of what is received, or of a literal to a
// variable: yaegi does not set the variable but puts another in its place, which
// pointers to it do not see, nor what calls the literal around it, and which is
// not set by its fields.
func (em *emitter) replaces(x *ast.AssignStmt) bool {
	if len(x.Lhs) != 1 || len(x.Rhs) != 1 || isBlank(x.Lhs[0]) {
		return false
	}
	_, lit := ast.Unparen(x.Rhs[0]).(*ast.CompositeLit)
	return receives(x.Rhs[0]) && (x.Tok == token.ASSIGN || x.Tok == token.DEFINE) || lit && x.Tok == token.ASSIGN && isIdent(x.Lhs[0])
}

// looksUp tells v, ok = m[k] and v, ok = x.(T).
func (em *emitter) looksUp(x *ast.AssignStmt) bool {
	return len(x.Lhs) == 2 && len(x.Rhs) == 1 && !isBlank(x.Lhs[0]) && em.mayMiss(x.Rhs[0])
}

func (em *emitter) mayMiss(e ast.Expr) bool {
	switch x := ast.Unparen(e).(type) {
	case *ast.TypeAssertExpr:
		return true
	case *ast.IndexExpr: // of a map, or it had one value
		_, two := em.info.TypeOf(x).(*types.Tuple)
		return two
	}
	return false
}

// lookup writes one of these into variables of its own, which are zero before:
// where nothing is found yaegi sets ok and leaves v as it was.
func (em *emitter) lookup(e ast.Expr, value string) (s, v, ok string) {
	v, ok = em.fresh("v"), em.fresh("ok")
	t := em.info.TypeOf(e).(*types.Tuple).At(0).Type()
	return "var " + v + " " + em.typ(t) + "\nvar " + ok + " bool\n" + v + ", " + ok + " = " + value + "\n", v, ok
}

// finds tells an if that runs nothing unless its v, ok has found something.
func (em *emitter) finds(x *ast.IfStmt) bool {
	a, is := x.Init.(*ast.AssignStmt)
	if !is || !em.looksUp(a) || x.Else != nil {
		return false
	}
	cond := ast.Unparen(x.Cond)
	for {
		b, and := cond.(*ast.BinaryExpr)
		if !and || b.Op != token.LAND {
			break
		}
		cond = ast.Unparen(b.X)
	}
	id, is := cond.(*ast.Ident)
	ok, isIdent := ast.Unparen(a.Lhs[1]).(*ast.Ident)
	return is && isIdent && id.Name == ok.Name && a.Tok == token.DEFINE
}

// dropsReceived tells _, ok = <-ch: yaegi puts what it receives in the place of
// another variable, unless it defines both.
func dropsReceived(x *ast.AssignStmt) bool {
	return len(x.Lhs) == 2 && len(x.Rhs) == 1 && receives(x.Rhs[0]) && slices.ContainsFunc(x.Lhs, isBlank)
}

func isNil(e ast.Expr) bool {
	id, ok := ast.Unparen(e).(*ast.Ident)
	return ok && id.Name == "nil"
}

func receives(e ast.Expr) bool {
	u, ok := ast.Unparen(e).(*ast.UnaryExpr)
	return ok && u.Op == token.ARROW
}

// boxesLiteral tells an assignment of a composite literal to an interface.
func (em *emitter) boxesLiteral(x *ast.AssignStmt) bool {
	_, lit := ast.Unparen(x.Rhs[0]).(*ast.CompositeLit)
	t := em.info.TypeOf(x.Lhs[0])
	return lit && t != nil && types.IsInterface(t)
}

func allIdents(es []ast.Expr) bool {
	for _, e := range es {
		if !isIdent(e) {
			return false
		}
	}
	return true
}

func isIdent(e ast.Expr) bool {
	_, ok := ast.Unparen(e).(*ast.Ident)
	return ok
}

// hasCall tells an expression with a call, receive or composite literal in it,
// function literals aside.
func hasCall(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.CallExpr, *ast.CompositeLit:
			found = true
		case *ast.UnaryExpr:
			found = found || x.Op == token.ARROW
		case *ast.FuncLit:
			return false
		}
		return !found
	})
	return found
}

// computes tells an expression that is written with a call: among them are
// complex constants.
func (em *emitter) computes(e ast.Expr) bool {
	tv := em.info.Types[e]
	if tv.Value == nil {
		return hasCall(e)
	}
	b, ok := tv.Type.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsComplex != 0
}

// mixedDefine splits a definition that also assigns to existing variables:
// yaegi would define those again.
func (em *emitter) mixedDefine(x *ast.AssignStmt, values []string) (string, bool) {
	mixed := false
	own := idents(exprNodes(x.Rhs)...) // what the values mention is not what is defined here
	apart := len(values) > 1           // yaegi boxes none of several
	for i, l := range x.Lhs {
		if isBlank(l) {
			continue
		}
		id := l.(*ast.Ident)
		if d := em.info.Defs[id]; d != nil {
			apart = apart || own[id.Name]
			continue
		}
		mixed = true
		if tu, ok := em.info.TypeOf(x.Rhs[0]).(*types.Tuple); ok {
			apart = apart || !types.Identical(tu.At(i).Type(), em.info.TypeOf(l))
		}
	}
	if !mixed {
		return "", false
	}
	var before, o strings.Builder
	if apart && len(values) == 1 {
		var vs []string
		for range x.Lhs {
			vs = append(vs, em.fresh("v"))
		}
		before.WriteString(strings.Join(vs, ", ") + " := " + values[0] + "\n")
		for i, l := range x.Lhs {
			if !isBlank(l) {
				vs[i] = em.converted(vs[i], em.info.TypeOf(x.Rhs[0]).(*types.Tuple).At(i).Type(), em.info.TypeOf(l))
			}
		}
		values = vs
	} else if apart {
		for i, l := range x.Lhs {
			if !isBlank(l) {
				v := em.fresh("v")
				fmt.Fprintf(&before, "var %s %s = %s\n", v, em.typ(em.info.TypeOf(l)), values[i])
				values[i] = v
			}
		}
	}
	var ls []string
	for i, l := range x.Lhs {
		id := l.(*ast.Ident)
		name := id.Name
		if d := em.info.Defs[id]; d != nil && name != "_" {
			fmt.Fprintf(&o, "var %s %s\n", name, em.typ(d.Type()))
		} else {
			name = em.ident(id)
		}
		if ls = append(ls, name); apart && name != "_" {
			o.WriteString(name + " = " + values[i] + "\n")
		}
	}
	if apart {
		return before.String() + o.String(), true
	}
	return o.String() + strings.Join(ls, ", ") + " = " + values[0], true
}

func exprNodes(es []ast.Expr) []ast.Node {
	var ns []ast.Node
	for _, e := range es {
		ns = append(ns, e)
	}
	return ns
}

// rhs writes the values of an assignment or definition, one by one.
func (em *emitter) rhs(x *ast.AssignStmt) []string {
	if x.Tok == token.DEFINE || len(x.Lhs) != len(x.Rhs) || x.Tok == token.SHL_ASSIGN || x.Tok == token.SHR_ASSIGN {
		var ss []string
		for _, e := range x.Rhs {
			ss = append(ss, em.functionValue(e, em.expr(e)))
		}
		return ss
	}
	var ss []string
	for i, e := range x.Rhs {
		if isBlank(x.Lhs[i]) {
			ss = append(ss, em.expr(e))
			continue
		}
		s := em.to(e, em.info.TypeOf(x.Lhs[i]))
		if isNil(e) && len(x.Rhs) > 1 { // in the header of a loop, see oneByOne
			s = parenType(em.typ(em.info.TypeOf(x.Lhs[i]))) + "(nil)"
		}
		if se, ok := ast.Unparen(x.Lhs[i]).(*ast.SelectorExpr); ok { // a callback put into a compiled struct
			if f, ok := em.info.Uses[se.Sel].(*types.Var); ok && f.IsField() {
				s = em.guard(e, s, f.Pkg())
			}
		}
		ss = append(ss, s)
	}
	return ss
}

// functionValue writes a declared function as a value that defines a variable:
// from the bare name yaegi takes its own node for the function, and spoils the
// function for later uses too.
func (em *emitter) functionValue(e ast.Expr, s string) string {
	name := ast.Unparen(e)
	switch x := name.(type) {
	case *ast.IndexExpr:
		name = x.X
	case *ast.IndexListExpr:
		name = x.X
	}
	id, ok := ast.Unparen(name).(*ast.Ident)
	if !ok {
		return s
	}
	if f, ok := em.info.Uses[id].(*types.Func); !ok || !topLevel(f) {
		return s
	}
	return "(" + em.typ(em.info.TypeOf(e)) + ")(" + s + ")"
}

func (em *emitter) localDecl(x *ast.DeclStmt) string {
	gd := x.Decl.(*ast.GenDecl)
	var o strings.Builder
	for _, sp := range gd.Specs {
		switch v := sp.(type) {
		case *ast.ValueSpec:
			if gd.Tok == token.CONST { // folded where used
				continue
			}
			o.WriteString(em.mark(x))
			var ns []string
			for _, n := range v.Names {
				ns = append(ns, n.Name)
			}
			names := strings.Join(ns, ", ")
			var ty types.Type
			if v.Type != nil {
				ty = em.info.TypeOf(v.Type)
			}
			switch {
			case len(v.Values) == len(v.Names): // see hoistCalls
				var tmp []string
				for _, e := range v.Values {
					val := em.functionValue(e, em.to(e, ty))
					if (len(v.Names) > 1 || receives(e)) && em.info.Types[e].Value == nil && !em.info.Types[e].IsNil() {
						n := em.fresh("v")
						o.WriteString(n + " := " + val + "\n")
						val = n
					}
					tmp = append(tmp, val)
				}
				for i, n := range ns {
					o.WriteString("var " + n)
					if ty != nil {
						o.WriteString(" " + em.typ(ty))
					}
					o.WriteString(" = " + tmp[i] + "\n")
				}
			case len(v.Values) == 0:
				for _, n := range ns {
					o.WriteString("var " + n + " " + em.typ(ty) + "\n")
				}
			case em.mayMiss(v.Values[0]) && ns[0] != "_":
				set, found, ok := em.lookup(v.Values[0], em.exprs(v.Values))
				o.WriteString(set)
				for i, from := range []string{found, ok} {
					o.WriteString("var " + ns[i])
					if ty != nil {
						o.WriteString(" " + em.typ(ty))
					}
					o.WriteString(" = " + from + "\n")
				}
			case ty != nil && types.IsInterface(ty): // see store
				var vs []string
				for range ns {
					vs = append(vs, em.fresh("v"))
				}
				o.WriteString(strings.Join(vs, ", ") + " := " + em.exprs(v.Values) + "\n")
				for i, n := range ns {
					o.WriteString("var " + n + " " + em.typ(ty) + " = " + em.converted(vs[i], em.info.TypeOf(v.Values[0]).(*types.Tuple).At(i).Type(), ty) + "\n")
				}
			case ty != nil:
				o.WriteString("var " + names + " " + em.typ(ty) + " = " + em.exprs(v.Values) + "\n")
			default:
				o.WriteString("var " + names + " = " + em.exprs(v.Values) + "\n")
			}
		} // a type is written where it is mentioned, see local
	}
	return o.String()
}

func (em *emitter) returnStmt(x *ast.ReturnStmt) string {
	p := em.mark(x)
	f := em.fn
	if len(x.Results) == 0 {
		return p + em.giveBack(f, nil)
	}
	if f.results == nil || len(x.Results) != f.results.Len() {
		return p + em.giveBack(f, []string{em.exprs(x.Results)})
	}
	var vals []string
	for i, e := range x.Results {
		val := em.result(e, f.results.At(i).Type())
		if receives(e) || len(x.Results) > 1 && hasCall(e) && em.info.Types[e].Value == nil {
			v := em.fresh("v") // yaegi gives the value of an append to the first result, and what is received to none
			p += "var " + v + " " + em.typ(f.results.At(i).Type()) + " = " + val + "\n"
			val = v
		}
		vals = append(vals, val)
	}
	return p + em.giveBack(f, vals)
}

// result writes a value that is returned or sent: yaegi converts it to any by
// its representation alone, and only an argument keeps its type.
func (em *emitter) result(e ast.Expr, dst types.Type) string {
	s := em.to(e, dst)
	if sg, ok := em.info.TypeOf(e).(*types.Signature); ok && isIdent(e) { // yaegi would give its own node for a declared function
		if f, ok := em.info.Uses[ast.Unparen(e).(*ast.Ident)].(*types.Func); ok && topLevel(f) {
			ps, as := em.numbered(sg)
			return fmt.Sprintf("func(%s)%s { %s%s(%s) }", ps, em.results(sg.Results()), returns(sg), s, as)
		}
	}
	if dst == nil || !types.IsInterface(dst) || dst.Underlying().(*types.Interface).NumMethods() > 0 || namedOf(em.info.TypeOf(e)) == nil || types.IsInterface(em.info.TypeOf(e)) || !mentionsSession(em.info.TypeOf(e)) {
		return s
	}
	return em.anyHelper() + "(" + s + ")"
}

// callParts evaluates the operands of a go or defer statement into fresh
// variables and returns the call on them.
func (em *emitter) callParts(c *ast.CallExpr) (pre, call string) {
	var o strings.Builder
	fun := ast.Unparen(c.Fun)
	tv := em.info.Types[c.Fun]
	if tv.IsBuiltin() || tv.IsType() {
		return "", em.expr(c)
	}
	sg := tv.Type.Underlying().(*types.Signature)
	n := em.next()
	fn := ""
	var as []string
	if se, ok := fun.(*ast.SelectorExpr); ok {
		if sel := em.info.Selections[se]; sel != nil && sel.Kind() == types.MethodVal {
			if f, recv, ok := em.static(se, sel); ok {
				v := fmt.Sprintf("v%d", n)
				o.WriteString(v + " := " + recv + "\n")
				fn, as = f, append(as, v)
			}
		}
	}
	if fn == "" {
		fn = em.expr(c.Fun)
		if _, ok := fun.(*ast.FuncLit); ok {
			v := fmt.Sprintf("f%d", n)
			o.WriteString(v + " := " + fn + "\n")
			fn = v
		}
	}
	if len(c.Args) == 1 && sg.Params().Len() > 1 {
		if _, ok := em.info.TypeOf(c.Args[0]).(*types.Tuple); ok {
			return o.String(), fn + "(" + strings.Join(append(as, em.exprs(c.Args)), ", ") + ")"
		}
	}
	formats := false
	if se, ok := fun.(*ast.SelectorExpr); ok {
		if obj := em.info.Uses[se.Sel]; obj != nil && obj.Pkg() != nil && !inMain(obj) {
			formats = formatting(obj)
		}
	}
	for i, a := range c.Args {
		tv := em.info.Types[a]
		if tv.Value != nil || tv.IsNil() {
			as = append(as, em.expr(a))
			continue
		}
		v := fmt.Sprintf("a%d_%d", i, n)
		s := em.expr(a)
		if formats {
			s = em.formatted(a, s)
		} else if last := sg.Params().Len() - 1; i >= last && sg.Variadic() && !c.Ellipsis.IsValid() && isSlice(tv.Type, elementOf(sg.Params().At(last).Type())) { // see args
			s = em.anyHelper() + "(" + s + ")"
		}
		o.WriteString(v + " := " + s + "\n")
		as = append(as, v)
	}
	s := strings.Join(as, ", ")
	if c.Ellipsis.IsValid() {
		s += "..."
	}
	return o.String(), fn + "(" + s + ")"
}

// goStmt starts a goroutine whose panic is reported instead of killing the
// process; its operands are evaluated first, which yaegi gets wrong.
func (em *emitter) goStmt(x *ast.GoStmt) string {
	pre, call := em.callParts(x.Call)
	c, l, _ := em.t.s.position(x.Pos())
	return fmt.Sprintf("{\n%sR_.Go(func() {\n%s\n}, %d)\n}\n", pre, call, position(c, l))
}

// deferStmt registers a call with the function's own frame: yaegi's defer
// deadlocks on closures, evaluates operands late and loses results.
func (em *emitter) deferStmt(x *ast.DeferStmt) string {
	frame := ""
	for f := em.fn; f != nil && frame == ""; f = f.up {
		frame = f.frame
	}
	if fl, ok := ast.Unparen(x.Call.Fun).(*ast.FuncLit); ok {
		em.deferIn = frame
		if len(x.Call.Args) == 0 {
			return frame + ".Defer(" + em.funcLit(fl) + ")\n"
		}
	}
	if em.info.Types[x.Call.Fun].IsBuiltin() {
		return frame + ".Defer(func() { " + em.expr(x.Call) + " })\n"
	}
	pre, call := em.callParts(x.Call)
	em.deferIn = ""
	return "{\n" + pre + frame + ".Defer(func() { " + call + " })\n}\n"
}
