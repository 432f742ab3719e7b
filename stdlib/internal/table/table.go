// Package table has the types that the generated symbol tables are made of.
package table

import (
	"reflect"
	"strings"
)

// Package is one package a cell can import.
type Package struct {
	// Path is the import path and Name the package's name.
	Path, Name string
	// Preferred says that Name alone means this package where several packages share it.
	Preferred bool
	// Symbols builds the package's table: exported name to function, to constant (an untyped one
	// is a constant.Value), to addressable variable, or, for a type T, to a nil *T. For an
	// interface type T that a cell may implement there is also _T, the type of its wrapper: a
	// struct of one function for each method. For instances of generic functions see InstanceName.
	Symbols func() map[string]reflect.Value
}

// Group is a set of packages that are generated together.
type Group struct {
	// Name is the group's section in packages.txt.
	Name string
	// Toolchain is the version of Go and the platform that the group was generated with, as
	// "go1.26.8 linux/amd64". The tables list nothing that depends on the platform, so they compile
	// for others; generated there they may differ, for export data reaches into unexported parts.
	Toolchain string
	// Packages in order of path.
	Packages []Package
	// Pack is a zip archive: export/PATH holds export data for go/types, doc/PATH the
	// documentation, a JSON object of symbol to [signature, text].
	Pack []byte
}

// InstanceName is the name, in a package's table, of a generic function or type instantiated with
// the type arguments args. It is name, then for each argument _c and the argument with the
// characters that no identifier has spelt out: [] is _s, [ _a, ] _e, * _p, . _d, / _f, - _m,
// _ is __ and any other character _x with its code in hexadecimal and another _. So
// slices.Sort[[]float64, float64] is Sort_c_sfloat64_cfloat64. Different lists of arguments have
// different names.
func InstanceName(name string, args []string) string {
	var b strings.Builder
	b.WriteString(name)
	for _, a := range args {
		b.WriteString("_c")
		b.WriteString(spell(a))
	}
	return b.String()
}

func spell(typ string) string {
	var b strings.Builder
	for i := 0; i < len(typ); i++ {
		switch c := typ[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			b.WriteByte(c)
		case c == '[' && strings.HasPrefix(typ[i:], "[]"):
			b.WriteString("_s")
			i++
		case c == '[':
			b.WriteString("_a")
		case c == ']':
			b.WriteString("_e")
		case c == '*':
			b.WriteString("_p")
		case c == '.':
			b.WriteString("_d")
		case c == '/':
			b.WriteString("_f")
		case c == '-':
			b.WriteString("_m")
		case c == '_':
			b.WriteString("__")
		default:
			const hex = "0123456789abcdef"
			b.WriteString("_x")
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			b.WriteByte('_')
		}
	}
	return b.String()
}
