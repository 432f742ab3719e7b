package session

import (
	"fmt"
	"go/ast"
	"go/types"
	"strings"
)

// Methods of session types are emitted as plain functions T__m(recv, args):
// calls whose receiver type is known go there directly, which is fast and
// lets a later cell replace the method. For interfaces each type also gets a
// bridge method that calls through a variable.

func pointerReceiver(m *types.Func) bool {
	_, ok := m.Signature().Recv().Type().(*types.Pointer)
	return ok
}

// methodDecl is the session's declaration of a concrete method, or nil.
func (em *emitter) methodDecl(m *types.Func) *decl {
	m = m.Origin()
	if !inMain(m) {
		return nil
	}
	n := sessionNamed(m.Signature().Recv().Type())
	if n == nil {
		return nil
	}
	return em.t.w.decls[n.Obj().Name()+"."+m.Name()]
}

// methodFunc is the function behind a method for a receiver type.
func (em *emitter) methodFunc(d *decl, recv types.Type) string {
	em.refs[d.key] = true
	if n := namedOf(recv); n != nil && n.TypeArgs().Len() > 0 {
		return em.instance(d, n.TypeArgs())
	}
	return d.emitted
}

// static resolves a method selection on a session type to its function and
// the receiver to pass.
func (em *emitter) static(e *ast.SelectorExpr, sel *types.Selection) (fn, recv string, ok bool) {
	m := sel.Obj().(*types.Func)
	d := em.methodDecl(m)
	if d == nil {
		return "", "", false
	}
	idx := sel.Index()[:len(sel.Index())-1]
	ty := pathEnd(sel.Recv(), idx)
	recv = em.path(e.X, sel.Recv(), idx)
	switch {
	case pointerReceiver(m) && !isPointer(ty):
		recv = addressOf(recv)
	case !pointerReceiver(m) && isPointer(ty):
		recv = "*" + recv
	}
	return em.methodFunc(d, ty), recv, true
}

func (em *emitter) receiverType(m *types.Func, sel *types.Selection) string {
	ts := em.typ(namedOf(pathEnd(sel.Recv(), sel.Index()[:len(sel.Index())-1])))
	if pointerReceiver(m) {
		ts = "*" + ts
	}
	return ts
}

// bridge writes the method that dynamic dispatch uses.
func (em *emitter) bridge(m *types.Func, typeName, impl string) (variable, sig string) {
	sg := m.Signature()
	star := ""
	if pointerReceiver(m) {
		star = "*"
	}
	ps, as := em.numbered(sg)
	v := fmt.Sprintf("I%d_%s", em.next(), m.Name())
	sig = em.implType(star+typeName, sg)
	fmt.Fprintf(&em.t.out, "var %s %s\n", v, sig)
	fmt.Fprintf(&em.t.out, "func (r %s%s) %s(%s)%s { %s%s(%s) }\n", star, typeName, m.Name(), ps, em.results(sg.Results()), returns(sg), v, join("r", as))
	em.t.setup = append(em.t.setup, v+" = "+impl)
	return v, typeName + sig
}

// implType is the type of the function behind a method, without parameter
// names: yaegi takes those of a func-typed variable for variables.
func (em *emitter) implType(recv string, sg *types.Signature) string {
	ts := em.signature(types.NewSignatureType(nil, nil, nil, sg.Params(), nil, sg.Variadic()))
	return "func(" + join(recv, ts[1:len(ts)-1]) + ")" + em.results(sg.Results())
}

// promoted writes the methods a struct has from embedded compiled types:
// yaegi does not find them when it wraps the struct in an interface.
func (em *emitter) promoted(n *types.Named, name string) {
	if _, ok := n.Underlying().(*types.Struct); !ok {
		return
	}
	values := types.NewMethodSet(n)
	for sel := range types.NewMethodSet(types.NewPointer(n)).Methods() {
		m := sel.Obj().(*types.Func)
		if len(sel.Index()) < 2 || !m.Exported() || inMain(m) {
			continue
		}
		star := "*"
		if values.Lookup(m.Pkg(), m.Name()) != nil {
			star = ""
		}
		if src, ok := em.tryPromoted(n, sel, m, star+name); ok {
			em.t.out.WriteString(src)
		}
	}
}

// tryPromoted gives up on a method whose signature cells cannot spell.
func (em *emitter) tryPromoted(n *types.Named, sel *types.Selection, m *types.Func, recv string) (src string, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	sg := m.Signature()
	ps, as := em.numbered(sg)
	path := em.fieldPath(n, sel.Index()[:len(sel.Index())-1])
	return fmt.Sprintf("func (r %s) %s(%s)%s { %sr%s.%s(%s) }\n", recv, m.Name(), ps, em.results(sg.Results()), returns(sg), path, m.Name(), as), true
}

// published are the methods by which a value tells how it is shown, which errors
// it is and what it is in JSON, with the number of their parameters. The session
// calls them itself, since reflection finds no methods on yaegi's values.
var published = map[string]int{
	"String": 0, "Error": 0, "GoString": 0, "HTML": 0, "Markdown": 0, "Latex": 0, "SVG": 0, "PNG": 0, "JPEG": 0,
	"Unwrap": 0, "Is": 1, "As": 1,
	"MarshalJSON": 0, "MarshalText": 0, "UnmarshalJSON": 1, "UnmarshalText": 1,
}

// publish makes a method known to the session itself.
func (em *emitter) publish(n *types.Named, m *types.Func, impl string) {
	sg := m.Signature()
	if params, ok := published[m.Name()]; !ok || sg.Params().Len() != params || sg.Results().Len() == 0 {
		return
	}
	em.t.setup = append(em.t.setup, fmt.Sprintf("R_.Method(%q, %q, %t, %s)", typeKey(n), m.Name(), pointerReceiver(m), impl))
}

// typeKey names a session type in the table of published methods.
func typeKey(n *types.Named) string {
	s := types.TypeString(n, func(p *types.Package) string {
		if p.Path() == mainPath {
			return ""
		}
		return p.Path()
	})
	return strings.TrimPrefix(s, "*")
}
