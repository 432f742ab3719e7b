// Package stdlib is what a cell can import: Go's library, gonum, gonum/plot and our own packages,
// compiled into the kernel. For each package it has
//
//   - the symbol table the interpreter runs with ([Lookup]), built when a cell first imports it;
//   - the types go/types checks cells against ([Importer]), decoded when first imported;
//   - names for packages a cell uses without importing them ([Named]);
//   - the documentation for completion and inspection ([DocOf]).
//
// All of it is generated from packages installed where the kernel is built.
//
// # Adding a package
//
// Add its import path to gen/packages.txt, one line, and run
//
//	go generate ./stdlib
//
// A package from a new module needs go get first. After a change to one of our own packages,
//
//	go run ./stdlib/gen -only own
//
// takes seconds and leaves the rest alone. A new release of Go asks for a full go generate; a test
// says so when what is committed is stale.
//
// # Generics
//
// The interpreter cannot instantiate a compiled generic function, so the tables have instances
// compiled for common element types: see [Instance].
package stdlib

import (
	"slices"
	"sync"

	"github.com/gonvex/gonvex/stdlib/internal/gonum"
	"github.com/gonvex/gonvex/stdlib/internal/own"
	"github.com/gonvex/gonvex/stdlib/internal/std"
	"github.com/gonvex/gonvex/stdlib/internal/table"
)

//go:generate go run ./gen

// Package is one importable package: its Path, its Name, and Symbols, which builds its table:
//
//   - a function or typed constant by its name;
//   - an untyped constant as a go/constant Value (a bool as a bool);
//   - a variable, addressable;
//   - a type T as a nil *T;
//   - for an interface type T the type of its wrapper as _T: the struct through which the
//     interpreter makes a T of a cell's value. An interface with unexported methods has none;
//   - instances of generics under the names that [Instance] tells.
//
// The keys are those of yaegi's symbol tables, whose key for the table itself is Path/Name. Each
// call of Symbols builds a new map, the caller's own: a session replaces in it what cells must not
// have as it is (os.Exit, log.Fatal).
type Package = table.Package

// groups in the order in which they are preferred.
var groups = []*table.Group{&own.Group, &std.Group, &gonum.Group}

// member is a package and the group it is in.
type member struct {
	*Package
	group *table.Group
}

var index = sync.OnceValue(func() map[string]member {
	m := map[string]member{}
	for _, g := range groups {
		for i := range g.Packages {
			m[g.Packages[i].Path] = member{&g.Packages[i], g}
		}
	}
	return m
})

// Lookup finds a package by its import path.
func Lookup(path string) (Package, bool) {
	m, ok := index()[path]
	if !ok {
		return Package{}, false
	}
	return *m.Package, true
}

// Paths lists the import paths in order.
func Paths() []string {
	paths := make([]string, 0, len(index()))
	for p := range index() {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths
}
