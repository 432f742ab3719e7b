package session

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// function is the function, literal, or loop body being emitted.
type function struct {
	up      *function
	results *types.Tuple
	names   []string // where results are kept while deferred calls or loop closures run
	frame   string   // the defer frame's variable, if the function defers
	deferIn string   // the frame in which this literal is deferred: its recover looks there
	loop    *loopBody
}

func (em *emitter) funcLit(e *ast.FuncLit) string {
	sg := em.info.TypeOf(e).(*types.Signature)
	outer := em.conditions
	em.conditions = 0
	defer func() { em.conditions = outer }()
	return "func" + em.namedSignature(e.Type, sg) + em.funcBody(e.Body, sg)
}

// namedSignature writes parameters with their names, and results.
func (em *emitter) namedSignature(ft *ast.FuncType, sg *types.Signature) string {
	list := func(fl *ast.FieldList, tu *types.Tuple) string {
		var ss []string
		if fl == nil {
			return ""
		}
		for _, f := range fl.List {
			names := []string{""}
			if len(f.Names) > 0 {
				names = nil
				for _, n := range f.Names {
					names = append(names, n.Name)
				}
			}
			for _, n := range names {
				i := len(ss)
				ts := em.typ(tu.At(i).Type())
				if tu == sg.Params() {
					ts = em.paramType(sg, i)
					if n == "_" || n == "" { // yaegi takes blank parameters for one variable
						n = em.fresh("u")
					}
				} else { // see funcBody
					n = ""
				}
				ss = append(ss, strings.TrimSpace(n+" "+ts))
			}
		}
		return strings.Join(ss, ", ")
	}
	s := "(" + list(ft.Params, sg.Params()) + ")"
	if sg.Results().Len() > 0 {
		s += " (" + list(ft.Results, sg.Results()) + ")"
	}
	return s
}

// resultName gives a named result a name that no inner scope can shadow.
func (em *emitter) resultName(v *types.Var) string {
	if n, ok := em.renamed[v]; ok {
		return n
	}
	n := em.fresh("q")
	em.renamed[v] = n
	return n
}

// defers tells whether a body defers, literals inside it excluded.
func defers(b ast.Node) bool {
	found := false
	ast.Inspect(b, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.DeferStmt:
			found = true
		}
		return !found
	})
	return found
}

func (em *emitter) funcBody(b *ast.BlockStmt, sg *types.Signature) string {
	saved := em.fn
	em.fn = &function{up: saved, results: sg.Results(), deferIn: em.deferIn}
	em.deferIn = ""
	defer func() { em.fn = saved }()
	named := sg.Results().Len() > 0 && sg.Results().At(0).Name() != ""
	pre, ret := "", ""
	if named {
		// Named results become variables: yaegi puts the caller's variable in their
		// place, so that in x = f() they would begin with the old x.
		for v := range sg.Results().Variables() {
			n := em.resultName(v)
			em.fn.names = append(em.fn.names, n)
			pre += "var " + n + " " + em.typ(v.Type()) + "\n"
		}
	}
	if !defers(b) {
		return " {\n" + pre + em.stmts(b.List) + "}"
	}
	id := em.next()
	em.fn.frame = fmt.Sprintf("D_%d", id)
	if !named {
		for i := range sg.Results().Len() {
			n := fmt.Sprintf("q%d_%d", i, id)
			em.fn.names = append(em.fn.names, n)
			pre += "var " + n + " " + em.typ(sg.Results().At(i).Type()) + "\n"
		}
	}
	body := em.stmts(b.List)
	if sg.Results().Len() > 0 {
		ret = "return " + strings.Join(em.fn.names, ", ") + "\n"
	}
	return " {\n" + pre + "R_.Run(func(" + em.fn.frame + " *R_.Frame) {\n" + body + "})\n" + ret + "}"
}

// setResults assigns the results of a return: one by one if nil is among them,
// see oneByOne.
func (em *emitter) setResults(f *function, names, vals []string) string {
	if len(vals) == 1 || !slices.Contains(vals, "nil") {
		return strings.Join(names, ", ") + " = " + strings.Join(vals, ", ") + "\n"
	}
	var values, set strings.Builder
	for i, v := range vals {
		if v != "nil" {
			t := em.fresh("v")
			fmt.Fprintf(&values, "var %s %s = %s\n", t, em.typ(f.results.At(i).Type()), v)
			v = t
		}
		set.WriteString(names[i] + " = " + v + "\n")
	}
	return values.String() + set.String()
}

// giveBack writes the return of values that are expressions already.
func (em *emitter) giveBack(f *function, vals []string) string {
	all := strings.Join(vals, ", ")
	switch {
	case f.loop != nil: // leave the loop's closure first
		f.loop.ret = true
		set := ""
		if len(vals) > 0 {
			var dst []string
			for i := range f.results.Len() {
				if len(f.names) > 0 {
					dst = append(dst, f.names[i])
				} else {
					dst = append(dst, fmt.Sprintf("r%d_%d", i, f.loop.id))
				}
			}
			if d := strings.Join(dst, ", "); d != all {
				set = em.setResults(f, dst, vals)
			}
		}
		return set + fmt.Sprintf("c_%d = -1\nreturn false\n", f.loop.id)
	case f.frame != "": // the results are variables outside the frame
		set := ""
		if names := strings.Join(f.names, ", "); len(vals) > 0 && names != all {
			set = em.setResults(f, f.names, vals)
		}
		return set + "return\n"
	}
	if all == "" {
		all = strings.Join(f.names, ", ")
	}
	return "return " + all + "\n"
}

// function writes a function or method as a plain function.
func (em *emitter) function(fd *ast.FuncDecl, name string) {
	f, ok := em.info.Defs[fd.Name].(*types.Func)
	if !ok {
		panic("no object for " + fd.Name.Name)
	}
	sg := f.Signature()
	em.fn = nil
	em.locals(fd.Body)
	ps := em.namedSignature(fd.Type, sg)
	if sg.Recv() != nil {
		recv := em.fresh("u")
		if ns := fd.Recv.List[0].Names; len(ns) > 0 && ns[0].Name != "_" {
			recv = ns[0].Name
		}
		rest := ps[1:]
		if rest[0] != ')' {
			rest = ", " + rest
		}
		ps = "(" + recv + " " + em.typ(sg.Recv().Type()) + rest
	}
	em.t.out.WriteString("func " + name + ps + em.funcBody(fd.Body, sg) + "\n")
}
