package session

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// loopBody is a loop body that is emitted as a closure "func(vars) bool": the
// body of a range over a function, and any body in which a closure, go or
// defer uses a variable of the loop, because yaegi shares such variables
// between the iterations. What leaves the body (break, continue, return, jumps
// to outer loops) becomes a result or a code that the loop acts on.
type loopBody struct {
	id    int
	label string
	back  string // copies changed loop variables back at the end of an iteration
	depth int    // breakable statements opened inside the body
	loops int    // loops opened inside the body
	codes map[string]int
	inner map[string]bool // labels inside the body
	ret   bool            // the body returns from the function
}

func (em *emitter) enter(loop bool) {
	if em.fn != nil && em.fn.loop != nil {
		em.fn.loop.depth++
		if loop {
			em.fn.loop.loops++
		}
	}
}

func (em *emitter) leave(loop bool) {
	if em.fn != nil && em.fn.loop != nil {
		em.fn.loop.depth--
		if loop {
			em.fn.loop.loops--
		}
	}
}

// plainBody writes the statements of a loop body in place.
func (em *emitter) plainBody(body *ast.BlockStmt, label string) string {
	em.enter(true)
	if label != "" && em.fn != nil && em.fn.loop != nil {
		em.fn.loop.inner[label] = true
	}
	b := em.stmts(body.List)
	em.leave(true)
	return b
}

// closureBody writes a loop body as a function literal, the declarations it
// needs before the loop, and the code that acts on how it ended.
func (em *emitter) closureBody(body *ast.BlockStmt, label, params, pre, back string) (lit, decls, after string) {
	lb := &loopBody{id: em.next(), label: label, back: back, codes: map[string]int{}, inner: map[string]bool{}}
	outer := em.fn
	em.fn = &function{up: outer, loop: lb, results: outer.results, names: outer.names, frame: outer.frame, deferIn: outer.deferIn}
	b := em.stmts(body.List)
	em.fn = outer
	code := fmt.Sprintf("c_%d", lb.id)
	var d, o strings.Builder
	d.WriteString("var " + code + " int\n_ = " + code + "\n")
	if lb.ret {
		var vals []string
		if outer.results != nil {
			for i := range outer.results.Len() {
				if len(outer.names) > 0 {
					vals = append(vals, outer.names[i])
					continue
				}
				r := fmt.Sprintf("r%d_%d", i, lb.id)
				vals = append(vals, r)
				d.WriteString("var " + r + " " + em.typ(outer.results.At(i).Type()) + "\n")
			}
		}
		o.WriteString("if " + code + " == -1 {\n" + em.giveBack(outer, vals) + "}\n")
	}
	for jump, c := range lb.codes {
		kw, target, _ := strings.Cut(jump, " ")
		tok := token.BREAK
		if kw == "continue" {
			tok = token.CONTINUE
		}
		fmt.Fprintf(&o, "if %s == %d { %s }\n", code, c, em.branch(&ast.BranchStmt{Tok: tok, Label: ident(target)}))
	}
	return "func(" + params + ") bool {\n" + pre + b + back + "return true\n}", d.String(), o.String()
}

// callBody calls a body closure in a loop and leaves the loop when it says so.
func (em *emitter) callBody(lit, decls, args, after string) string {
	f := em.fresh("b")
	return decls + f + " := " + lit + "\nif !" + f + "(" + args + ") {\n" + after + "break\n}\n"
}

// needsClosure tells whether a literal, go or defer in the loop uses a
// variable that the loop declares.
func (em *emitter) needsClosure(loop ast.Node, body *ast.BlockStmt) bool {
	found := false
	ast.Inspect(body, func(inner ast.Node) bool {
		switch x := inner.(type) {
		case *ast.GoStmt:
			found = found || hasOperands(x.Call)
		case *ast.DeferStmt:
			found = found || hasOperands(x.Call)
		}
		switch inner.(type) {
		case *ast.FuncLit, *ast.GoStmt, *ast.DeferStmt:
			ast.Inspect(inner, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				if !ok {
					return !found
				}
				v, ok := em.info.Uses[id].(*types.Var)
				if ok && inMain(v) && !v.IsField() && v.Pos() >= loop.Pos() && v.Pos() < loop.End() && !(v.Pos() >= inner.Pos() && v.Pos() < inner.End()) {
					found = true
				}
				return !found
			})
		}
		return !found
	})
	return found
}

// hasOperands tells a go or defer call that is evaluated into variables first,
// which every iteration must have for itself.
func hasOperands(c *ast.CallExpr) bool {
	_, lit := ast.Unparen(c.Fun).(*ast.FuncLit)
	return !lit || len(c.Args) > 0
}

// uses tells whether loop variables may outlive an iteration (their address
// is taken) and whether the body assigns to them.
func (em *emitter) uses(body ast.Node, vars map[types.Object]bool) (captured, assigned bool) {
	var walk func(n ast.Node, in bool)
	walk = func(n ast.Node, in bool) {
		ast.Inspect(n, func(m ast.Node) bool {
			switch x := m.(type) {
			case *ast.FuncLit:
				if m != n {
					walk(x.Body, true)
					return false
				}
			case *ast.GoStmt, *ast.DeferStmt:
				if m != n {
					walk(m, true)
					return false
				}
			case *ast.UnaryExpr:
				if x.Op == token.AND {
					walk(x.X, true)
				}
			case *ast.SelectorExpr:
				if sel := em.info.Selections[x]; sel != nil && sel.Kind() == types.MethodVal {
					m := sel.Obj().(*types.Func)
					walk(x.X, in || pointerReceiver(m) && !isPointer(sel.Recv()))
				}
			case *ast.SliceExpr:
				if t := em.info.TypeOf(x.X); t != nil {
					if _, ok := t.Underlying().(*types.Array); ok {
						walk(x.X, true)
					}
				}
			case *ast.AssignStmt:
				for _, l := range x.Lhs {
					if id, ok := l.(*ast.Ident); ok && vars[em.info.Uses[id]] {
						assigned = true
					}
				}
			case *ast.IncDecStmt:
				if id, ok := x.X.(*ast.Ident); ok && vars[em.info.Uses[id]] {
					assigned = true
				}
			case *ast.Ident:
				captured = captured || in && vars[em.info.Uses[x]]
			}
			return true
		})
	}
	walk(body, false)
	return captured, assigned
}

// rename gives a loop's variable a name of its own in the loop's body: in i := i
// yaegi would find no new variable, since body and variable are in one scope there.
func (em *emitter) rename(o types.Object) string {
	n := em.fresh(o.Name())
	em.renamed[o] = n
	return n
}

func labelLine(l string) string {
	if l == "" {
		return ""
	}
	return l + ":\n"
}

// first writes what comes before a loop.
func (em *emitter) first(init ast.Stmt) string {
	if as, ok := init.(*ast.AssignStmt); ok && em.hoistable(as) {
		calls, values := em.hoistCalls(as)
		return calls + em.assign(as, values)
	}
	return em.simple(init)
}

// post writes what comes after an iteration.
func (em *emitter) post(s ast.Stmt) string {
	x, ok := s.(*ast.AssignStmt)
	if !ok {
		return em.simple(s)
	}
	if !em.replaces(x) {
		if a, ok := em.oneByOne(x); ok {
			return "func() {\n" + a + "}()"
		}
		calls, values := em.hoistCalls(x)
		if a := em.assign(x, values); calls != "" {
			return "func() {\n" + calls + a + "\n}()"
		} else {
			return a
		}
	}
	return em.expr(x.Lhs[0]) + " = " + em.passed(em.info.TypeOf(x.Lhs[0]), em.rhs(x)[0])
}

func (em *emitter) forStmt(x *ast.ForStmt, label string) string {
	vars := map[types.Object]bool{}
	var order []types.Object
	if as, ok := x.Init.(*ast.AssignStmt); ok && as.Tok == token.DEFINE {
		for _, l := range as.Lhs {
			if o := em.info.Defs[l.(*ast.Ident)]; o != nil {
				vars[o] = true
				order = append(order, o)
			}
		}
	}
	closure := em.needsClosure(x, x.Body)
	captured, assigned := false, false
	hidden := map[types.Object]string{}
	if len(vars) > 0 {
		if captured, assigned = em.uses(x.Body, vars); closure || captured && !assigned {
			// Go 1.22: the loop runs on hidden variables, each iteration has its own copies
			for _, o := range order {
				hidden[o] = em.fresh(o.Name())
			}
		}
	}
	for o, n := range hidden {
		em.renamed[o] = n
	}
	head, before, after := "for ", "", ""
	cond := ""
	if x.Cond != nil {
		cond = em.header(x.Cond)
	}
	switch {
	case x.Init != nil && x.Post == nil: // yaegi resets the variables of such a loop in every iteration
		before, after = "{\n"+em.first(x.Init)+"\n", "}\n"
		head += cond
	case x.Init != nil || x.Post != nil:
		if x.Init != nil {
			init := em.first(x.Init)
			if strings.Contains(init, "\n") { // does not fit in a header
				before, after = "{\n"+init+"\n", "}\n"
			} else {
				head += init
			}
		}
		head += "; " + cond + "; "
		if x.Post != nil {
			head += em.post(x.Post)
		}
	default:
		head += cond
	}
	for o := range hidden {
		delete(em.renamed, o)
	}
	line := em.at(x.For, false)
	if closure {
		var ps, as []string
		back := ""
		for _, o := range order {
			n := em.rename(o)
			defer delete(em.renamed, o)
			ps = append(ps, n+" "+em.typ(o.Type()))
			as = append(as, hidden[o])
			if assigned {
				back += hidden[o] + " = " + n + "; "
			}
		}
		lit, decls, tail := em.closureBody(x.Body, label, strings.Join(ps, ", "), "", back)
		return line + before + head + " {\n" + em.callBody(lit, decls, strings.Join(as, ", "), tail) + "}\n" + after
	}
	pre := ""
	for _, o := range order {
		if n := hidden[o]; n != "" {
			pre += em.rename(o) + " := " + n + "\n"
			defer delete(em.renamed, o)
		}
	}
	return line + before + labelLine(label) + head + " {\n" + pre + em.plainBody(x.Body, label) + "}\n" + after
}

func (em *emitter) rangeStmt(x *ast.RangeStmt, label string) string {
	ty := em.info.TypeOf(x.X)
	switch u := ty.Underlying().(type) {
	case *types.Signature:
		return em.rangeFunc(x, label, u)
	case *types.Basic:
		if u.Info()&types.IsInteger != 0 {
			return em.rangeInt(x, label, ty)
		}
	}
	line := em.at(x.For, true)
	subject := em.header(x.X)
	if p, ok := ty.Underlying().(*types.Pointer); ok { // to an array, which yaegi mistakes for its elements
		subject = "(" + subject + ")[:]"
		if x.Value == nil || isBlank(x.Value) {
			subject = fmt.Sprintf("make([]struct{}, %d)", p.Elem().Underlying().(*types.Array).Len())
		}
	}
	runes, starts, open, end := "", "", "", ""
	if isString(ty) { // in which yaegi takes a byte that is no rune for three
		runes, starts = em.fresh("r"), em.fresh("i")
		if !types.Identical(ty, types.Typ[types.String]) {
			subject = "string(" + subject + ")"
		}
		open, end = "{\n"+starts+", "+runes+" := R_.Runes("+subject+")\n", "}\n"
	}
	closure := em.needsClosure(x, x.Body)
	vars := map[types.Object]bool{}
	for _, e := range []ast.Expr{x.Key, x.Value} {
		if id, ok := e.(*ast.Ident); ok && x.Tok == token.DEFINE {
			if o := em.info.Defs[id]; o != nil {
				vars[o] = true
			}
		}
	}
	captured, _ := em.uses(x.Body, vars)
	if id, ok := x.Key.(*ast.Ident); ok && x.Tok == token.DEFINE && !captured { // with which yaegi counts
		_, captured = em.uses(x.Body, map[types.Object]bool{em.info.Defs[id]: true})
	}

	var names [2]string // key and value of the emitted header
	pre := ""
	var ps, as []string
	for i, e := range []ast.Expr{x.Key, x.Value} {
		if e == nil || isBlank(e) {
			continue
		}
		if x.Tok != token.DEFINE {
			names[i] = em.fresh("k")
			pre = em.expr(e) + " = " + names[i] + "\n" + pre // the key last, for a[k] in k, a[k] is the one of before
			continue
		}
		id := e.(*ast.Ident)
		names[i] = id.Name
		if closure || captured {
			names[i] = em.fresh(id.Name)
			o := em.info.Defs[id]
			n := em.rename(o)
			defer delete(em.renamed, o)
			if closure {
				ps = append(ps, n+" "+em.typ(o.Type()))
				as = append(as, names[i])
			} else {
				pre += n + " := " + names[i] + "\n"
			}
		}
	}
	if runes != "" {
		switch subject = runes; {
		case names[1] == "":
			names[0], names[1], subject = "", names[0], starts
		case names[0] != "":
			k := em.fresh("k")
			pre = names[0] + " := " + starts + "[" + k + "]\n" + pre
			names[0] = k
		}
	}
	if names[1] != "" && em.copiesElements(ty) {
		xs, k := em.fresh("s"), names[0]
		if k == "" {
			k = em.fresh("k")
		}
		open, end = "{\n"+xs+" := "+subject+"\n", "}\n"
		pre = names[1] + " := " + xs + "[" + k + "]\n" + pre
		names[0], names[1], subject = k, "", xs
	}
	switch {
	case names[0] == "" && names[1] == "":
		names[0] = em.fresh("k")
	case names[0] == "":
		names[0] = "_"
	}
	head := "for " + join(names[0], names[1]) + " := range " + subject
	if closure {
		lit, decls, tail := em.closureBody(x.Body, label, strings.Join(ps, ", "), "", "")
		return line + open + head + " {\n" + pre + em.callBody(lit, decls, strings.Join(as, ", "), tail) + "}\n" + end
	}
	return line + open + labelLine(label) + head + " {\n" + pre + em.plainBody(x.Body, label) + "}\n" + end
}

// copiesElements tells a slice, or pointer to an array, of an interface of the
// session: yaegi ranges over a copy of its elements.
func (em *emitter) copiesElements(t types.Type) bool {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = types.NewSlice(p.Elem().Underlying().(*types.Array).Elem())
	}
	s, ok := t.Underlying().(*types.Slice)
	return ok && types.IsInterface(s.Elem()) && holdsInterface(s.Elem(), false)
}

func isString(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}

// rangeInt writes a range over an integer as a counting loop; yaegi has none.
func (em *emitter) rangeInt(x *ast.RangeStmt, label string, ty types.Type) string {
	n := em.next()
	i, limit := fmt.Sprintf("i_%d", n), fmt.Sprintf("n_%d", n)
	closure := em.needsClosure(x, x.Body)
	pre := ""
	var ps, as []string
	if x.Key != nil && !isBlank(x.Key) {
		if x.Tok == token.DEFINE {
			o := em.info.Defs[x.Key.(*ast.Ident)]
			ty = o.Type()
			captured, assigned := em.uses(x.Body, map[types.Object]bool{o: true})
			if closure || captured || assigned {
				name := em.rename(o)
				defer delete(em.renamed, o)
				if closure {
					ps, as = []string{name + " " + em.typ(ty)}, []string{i}
				} else {
					pre = name + " := " + i + "\n"
				}
			} else {
				i = o.Name()
			}
		} else {
			ty = em.info.TypeOf(x.Key)
			pre = em.expr(x.Key) + " = " + i + "\n"
		}
	}
	ts := em.typ(ty)
	end := em.to(x.X, ty)
	zero := "0"
	if ts != "int" {
		zero = ts + "(0)"
		end = ts + "(" + end + ")"
	}
	head := fmt.Sprintf("for %s, %s := %s, %s; %s < %s; %s++ {\n", i, limit, zero, end, i, limit, i)
	line := em.at(x.For, canPanic(&ast.ExprStmt{X: x.X}))
	if closure {
		lit, decls, tail := em.closureBody(x.Body, label, strings.Join(ps, ", "), "", "")
		return line + head + pre + em.callBody(lit, decls, strings.Join(as, ", "), tail) + "}\n"
	}
	return line + labelLine(label) + head + pre + em.plainBody(x.Body, label) + "}\n"
}

// rangeFunc calls an iterator with the loop body as a function literal.
func (em *emitter) rangeFunc(x *ast.RangeStmt, label string, sg *types.Signature) string {
	yield := sg.Params().At(0).Type().Underlying().(*types.Signature)
	var ps []string
	pre := ""
	for i := range yield.Params().Len() {
		e := x.Key
		if i == 1 {
			e = x.Value
		}
		n := em.fresh("y")
		if e != nil && !isBlank(e) {
			if x.Tok == token.DEFINE {
				o := em.info.Defs[e.(*ast.Ident)]
				n = em.rename(o)
				defer delete(em.renamed, o)
			} else {
				pre = em.expr(e) + " = " + n + "\n" + pre
			}
		}
		ps = append(ps, n+" "+em.typ(yield.Params().At(i).Type()))
	}
	subject := em.expr(x.X)
	lit, decls, tail := em.closureBody(x.Body, label, strings.Join(ps, ", "), pre, "")
	return em.at(x.For, true) + "{\n" + decls + subject + "(" + lit + ")\n" + tail + "}\n"
}

func (em *emitter) branch(x *ast.BranchStmt) string {
	plain := x.Tok.String()
	if x.Label != nil {
		plain += " " + x.Label.Name
	}
	lb := em.fn.loop
	if lb == nil || x.Tok == token.FALLTHROUGH {
		return plain
	}
	ends := func(more bool) string { return fmt.Sprintf("{ %sreturn %t }", lb.back, more) }
	switch {
	case x.Label == nil && x.Tok == token.BREAK && lb.depth == 0:
		return ends(false)
	case x.Label == nil && x.Tok == token.CONTINUE && lb.loops == 0:
		return ends(true)
	case x.Label == nil, x.Tok == token.GOTO, lb.inner[x.Label.Name]:
		return plain
	case x.Label.Name == lb.label:
		return ends(x.Tok == token.CONTINUE)
	}
	if lb.codes[plain] == 0 {
		lb.codes[plain] = len(lb.codes) + 1
	}
	return fmt.Sprintf("{ c_%d = %d; return false }", lb.id, lb.codes[plain])
}
