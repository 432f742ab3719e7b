package session

import (
	"go/ast"
	"go/types"
	"maps"
	"slices"
	"strings"
	"sync"
)

// sep is a letter for Go's scanner that users do not type: it marks versions
// of a redefined name (f, fꞏ2, fꞏ3) and hidden names.
const sep = "ꞏ"

type declKind int

const (
	declFunc declKind = iota
	declMethod
	declType
	declVar
	declConst
)

func (k declKind) String() string {
	return [...]string{"func", "method", "type", "variable", "const"}[k]
}

// decl is one live top-level declaration. Committed decls are shared by the
// snapshots of the world and never written; a transaction copies what it
// changes (see tx.touch).
type decl struct {
	kind      declKind
	key       string // its name; "T.M" for a method
	recv      string // the type of a method
	fn        *ast.FuncDecl
	spec      *ast.TypeSpec
	src       string          // as written, to recognise an unchanged re-declaration
	typ       string          // var, typed const: the type, spelled for the checker
	val       string          // const: the value
	emitted   string          // its name in the interpreter
	refs      map[string]bool // keys of the declarations it mentions
	generic   bool
	cell      int
	emittedIn int    // the cell that emitted it last
	line      int    // var: the line of the cell that defines it
	hides     string // var: the package that its name stood for before
	doc       string // type, const: its comment

	// A method is a plain function; dynamic dispatch reaches it through the
	// variable bridge, so that it can be replaced while values live.
	bridge    string
	bridgeSig string

	predeclared bool // made by the session, not by a cell
	dirty       bool // to be emitted by the running transaction
}

// node is the syntax of a function or type, nil for the rest.
func (d *decl) node() ast.Node {
	switch {
	case d.fn != nil:
		return d.fn
	case d.spec != nil:
		return d.spec
	}
	return nil
}

// world is all that is declared at one moment.
type world struct {
	decls   map[string]*decl
	imports map[string]string // name -> path; ".path" for a dot import
	touched []string          // keys of what the transaction has put in, some of it perhaps gone again
}

func (w *world) clone() *world {
	return &world{decls: maps.Clone(w.decls), imports: maps.Clone(w.imports)}
}

// put takes a declaration in, in the place of the one of its key.
func (w *world) put(d *decl) {
	w.decls[d.key] = d
	w.touched = append(w.touched, d.key)
}

// dirty lists the dirty declarations in the order of their keys. Like all that
// every cell needs it looks at what the cell did, and not at the whole notebook.
func (w *world) dirty() []*decl {
	slices.Sort(w.touched)
	w.touched = slices.Compact(w.touched)
	var ds []*decl
	for _, k := range w.touched {
		if d := w.decls[k]; d != nil && d.dirty {
			ds = append(ds, d)
		}
	}
	return ds
}

// sorted lists the declarations that want holds for, in the order of their keys.
func (w *world) sorted(want func(*decl) bool) []*decl {
	var ds []*decl
	for _, d := range w.decls {
		if want(d) {
			ds = append(ds, d)
		}
	}
	slices.SortFunc(ds, func(a, b *decl) int { return strings.Compare(a.key, b.key) })
	return ds
}

// reach returns the sorted keys of the declarations that names mention,
// directly or through others, with the methods of every type among them.
// The check of a cell sees these alone, so its cost follows the cell and not
// the length of the notebook.
func (w *world) reach(names map[string]bool) []string {
	methods := sync.OnceValue(func() map[string][]string { // of each type
		m := map[string][]string{}
		for k, d := range w.decls {
			if d.kind == declMethod {
				m[d.recv] = append(m[d.recv], k)
			}
		}
		return m
	})
	seen := map[string]bool{}
	var add func(k string)
	add = func(k string) {
		d := w.decls[k]
		if d == nil || seen[k] {
			return
		}
		seen[k] = true
		for r := range d.refs {
			add(r)
		}
		if d.kind == declMethod {
			add(d.recv)
		}
		if d.dirty { // its references are not known yet
			if n := d.node(); n != nil {
				for id := range idents(n) {
					add(id)
				}
			}
		}
		if d.kind == declType {
			for _, m := range methods()[k] {
				add(m)
			}
		}
	}
	for n := range names {
		add(n)
	}
	return slices.Sorted(maps.Keys(seen))
}

// allTypes is what a function that asserts interfaces refers to besides its
// names: which types implement them is written into it, so that a new type or
// method concerns it.
const allTypes = "types" + sep

// asserts tells syntax with a type assertion or type switch in it.
func asserts(n ast.Node) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		_, ok := n.(*ast.TypeAssertExpr)
		found = found || ok
		return !found
	})
	return found
}

// idents collects every identifier below the nodes.
func idents(nodes ...ast.Node) map[string]bool {
	m := map[string]bool{}
	for _, n := range nodes {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				m[id.Name] = true
			}
			return true
		})
	}
	return m
}

// receiver is the name of the type a method is declared on.
func receiver(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

const mainPath = "main"

// inMain tells whether an object belongs to the session.
func inMain(o types.Object) bool { return o != nil && o.Pkg() != nil && o.Pkg().Path() == mainPath }

// topLevel tells whether an object is a top-level declaration of the session.
func topLevel(o types.Object) bool { return inMain(o) && o.Parent() == o.Pkg().Scope() }

// namedOf is the named type of t or of what t points to, nil if there is none.
func namedOf(t types.Type) *types.Named {
	if t == nil {
		return nil
	}
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	n, _ := t.(*types.Named)
	return n
}

// sessionNamed is namedOf for types of the session, interfaces excluded.
func sessionNamed(t types.Type) *types.Named {
	if n := namedOf(t); n != nil && inMain(n.Obj()) && !types.IsInterface(n) {
		return n
	}
	return nil
}

func isBlank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "_"
}

func isPointer(t types.Type) bool {
	_, ok := t.Underlying().(*types.Pointer)
	return ok
}

func ident(n string) *ast.Ident { return &ast.Ident{Name: n} }

// alias is the name under which emitted code and spelled types know a package.
func alias(path string) string {
	return "P_" + strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(path)
}

// collectRefs adds the keys of the session's declarations that n uses.
func collectRefs(n ast.Node, info *types.Info, refs map[string]bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		o := info.Uses[id]
		if topLevel(o) {
			refs[id.Name] = true
		} else if f, ok := o.(*types.Func); ok && inMain(f) {
			if r := f.Signature().Recv(); r != nil {
				if n := namedOf(r.Type()); n != nil {
					refs[n.Obj().Name()+"."+f.Name()] = true
				}
			}
		}
		return true
	})
}
