// Package archtest holds the shape of the house: who may import whom, and what the
// packages that cells see must not export.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gonvex/gonvex"

// mayImport says which rooms of this module each room may import besides itself. A room is
// a folder and all below it; the longest match counts. Arrows point down only:
//
//	kernel/gonvex → server → worker → session → (stdlib, display) → convex → lapack
var mayImport = map[string][]string{
	"lapack":            {},
	"convex":            {"lapack"},
	"stdlib":            {"kernel/display", "convex", "lapack"}, // whose symbols it tabulates
	"kernel/display":    {"convex", "lapack"},
	"kernel/session":    {"stdlib", "kernel/display", "convex", "lapack"},
	"kernel/worker":     {"kernel/rawio", "kernel/session", "stdlib", "kernel/display", "convex", "lapack"},
	"kernel/wire":       {},
	"kernel/rawio":      {},
	"kernel/transport":  {"kernel/rawio"},
	"kernel/notebook":   {"kernel/display"},
	"kernel/server":     {"kernel/worker", "kernel/wire", "kernel/transport", "kernel/session", "kernel/display", "stdlib", "convex", "lapack"},
	"kernel/kerneltest": {"kernel/server", "kernel/worker", "kernel/wire", "kernel/transport", "kernel/display"},
	"kernel/archtest":   {},
	"notebooks":         {"kernel", "stdlib", "convex", "lapack"},
	"kernel/gonvex":     {"kernel", "stdlib", "convex", "lapack"},
}

// onlyIn says where alone a package from elsewhere may be imported, and why.
var onlyIn = []struct {
	path  string // prefix of import paths
	rooms []string
	why   string
}{
	{"github.com/traefik/yaegi", []string{"kernel/session", "stdlib"}, "the interpreter is replaceable"},
	{"github.com/spf13/", []string{"kernel/gonvex"}, "the command line is thin and at the top"},
	{"gonum.org/v1/netlib", []string{"lapack"}, "lapack chooses the backend"},
	{"golang.org/x/tools", []string{"kernel/session", "stdlib"}, "types are the session's business"},
}

// file is a parsed Go file of this module.
type file struct {
	path string // relative to the module's root
	room string
	test bool
	ast  *ast.File
}

func parseAll(t *testing.T) []file {
	t.Helper()
	root := "../.."
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if d.IsDir() {
			name := d.Name()
			if path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || rel == "build") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file{path: rel, room: roomOf(rel), test: strings.HasSuffix(path, "_test.go"), ast: parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}

// roomOf is the longest room of the table that holds the path, "" for none.
func roomOf(path string) string {
	room := ""
	for r := range mayImport {
		if within(path, r) && len(r) > len(room) {
			room = r
		}
	}
	return room
}

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

func TestImportsPointDown(t *testing.T) {
	for _, f := range parseAll(t) {
		if f.room == "" {
			t.Errorf("%s lies in no room of the table in this test: give its folder a line", f.path)
			continue
		}
		for _, spec := range f.ast.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkImport(f, path); err != nil {
				t.Error(err)
			}
		}
	}
}

func checkImport(f file, path string) error {
	if inner, ok := strings.CutPrefix(path, module+"/"); ok {
		allowed := slices.ContainsFunc(mayImport[f.room], func(r string) bool { return within(inner, r) })
		// Tests may use the public test kit from anywhere.
		if !within(inner, f.room) && !allowed && !(f.test && within(inner, "kernel/kerneltest")) {
			return fmt.Errorf("%s imports %s; %s may import only %v", f.path, inner, f.room, mayImport[f.room])
		}
		return nil
	}
	for _, rule := range onlyIn {
		if strings.HasPrefix(path, rule.path) && !f.test && !slices.Contains(rule.rooms, f.room) {
			return fmt.Errorf("%s imports %s, which only %v may: %s", f.path, path, rule.rooms, rule.why)
		}
	}
	return nil
}

// The table itself must not allow a cycle of rooms.
func TestTableHasNoCycle(t *testing.T) {
	state := map[string]int{} // 1: on the path, 2: done
	var visit func(room string, path []string)
	visit = func(room string, path []string) {
		switch state[room] {
		case 1:
			t.Fatalf("the table allows a cycle: %v", append(path, room))
		case 2:
			return
		}
		state[room] = 1
		for r := range mayImport {
			if r != room && slices.ContainsFunc(mayImport[room], func(allowed string) bool { return within(r, allowed) }) {
				visit(r, append(path, room))
			}
		}
		state[room] = 2
	}
	for room := range mayImport {
		// These stand on top and name all rooms under kernel at once.
		if room != "kernel/gonvex" && room != "notebooks" {
			visit(room, nil)
		}
	}
}

// What cells see must hold nothing generic and no iterator: the interpreter's symbol tables
// leave both out, so a cell would find the name undefined.
func TestCellsSeeNothingGeneric(t *testing.T) {
	seen := []string{"convex", "convex/data", "convex/sgd", "convex/sweep", "convex/comm", "kernel/display", "kernel/display/figure"}
	found := map[string]bool{}
	for _, f := range parseAll(t) {
		dir := filepath.ToSlash(filepath.Dir(f.path))
		if f.test || !slices.Contains(seen, dir) {
			continue
		}
		found[dir] = true
		for _, why := range unseen(f.ast) {
			t.Errorf("%s: %s", f.path, why)
		}
	}
	for _, dir := range seen {
		if _, err := os.Stat(filepath.Join("../..", dir)); err == nil && !found[dir] {
			t.Errorf("no files of %s were looked at", dir)
		}
	}
}

// unseen lists the exported declarations of a file that the symbol tables cannot hold.
func unseen(f *ast.File) []string {
	var found []string
	report := func(name, what string) { found = append(found, name+" "+what) }
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if !d.Name.IsExported() || d.Recv != nil && !ast.IsExported(receiver(d)) {
				continue
			}
			if d.Type.TypeParams != nil {
				report(d.Name.Name, "is generic")
			}
			checkType(d.Name.Name, d.Type, report)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if !s.Name.IsExported() {
						continue
					}
					if s.TypeParams != nil {
						report(s.Name.Name, "is generic")
					}
					checkType(s.Name.Name, s.Type, report)
				case *ast.ValueSpec:
					if s.Type != nil && slices.ContainsFunc(s.Names, (*ast.Ident).IsExported) {
						checkType(s.Names[0].Name, s.Type, report)
					}
				}
			}
		}
	}
	return found
}

// receiver is the name of the type a method belongs to.
func receiver(d *ast.FuncDecl) string {
	name := ""
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return name
}

// checkType looks for instantiated generic types and iterators in a type that users see.
func checkType(name string, typ ast.Expr, report func(name, what string)) {
	ast.Inspect(typ, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.Field:
			// An unexported field or method is nobody's business.
			if len(x.Names) == 1 && !x.Names[0].IsExported() {
				if _, isStruct := typ.(*ast.StructType); isStruct {
					return false
				}
			}
		case *ast.IndexExpr:
			report(name, "uses an instantiated generic type")
		case *ast.IndexListExpr:
			report(name, "uses an instantiated generic type")
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok && id.Name == "iter" {
				report(name, "uses an iterator")
			}
		}
		return true
	})
}

// The checks above must see what they are for.
func TestUnseen(t *testing.T) {
	const source = `package p
import "iter"
func Map[T any](x []T) {}
type List[T any] struct{}
func All() iter.Seq[int] { return nil }
type S struct { Items List[int]; hidden List[int] }
func (s S) Each(f func(int)) {}
func private[T any]() {}
func Plain(x []float64, m map[string]int) error { return nil }
`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(unseen(f), "; ")
	for _, want := range []string{"Map is generic", "List is generic", "All uses an iterator", "S uses an instantiated"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	for _, not := range []string{"Plain", "private", "Each"} {
		if strings.Contains(got, not) {
			t.Errorf("%q has %q", got, not)
		}
	}
	if err := checkImport(file{path: "convex/x.go", room: "convex"}, module+"/kernel/display"); err == nil {
		t.Error("convex may import the kernel")
	}
	if err := checkImport(file{path: "convex/x.go", room: "convex"}, "github.com/traefik/yaegi/interp"); err == nil {
		t.Error("convex may import yaegi")
	}
}
