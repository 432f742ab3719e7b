package stdlib

import (
	"reflect"
	"regexp"
	"sync"

	"github.com/gonvex/gonvex/stdlib/internal/table"
)

// Instance is the name, in the table of the package at path, of its generic function or type name
// instantiated with the type arguments, and whether the table has it. The arguments are all of the
// type parameters' in order, each written as by types.TypeString with a nil qualifier ("[]float64",
// "time.Duration"): slices.Sort of a []float64 has [[]float64 float64].
//
// A generic of one element type is compiled for bool, int, int32, int64, uint8, uint64, float32,
// float64, complex128, string, any, error, []int, []float64 and []string (in Go's library also
// time.Duration); one of two (maps.Keys, slices.BinarySearchFunc) for int, float64 or string with
// int, float64, string, bool, any, []int, []float64 or []string. A parameter constrained to ~[]E or
// ~map[K]V is that slice or map itself.
func Instance(path, name string, typeArgs []string) (symbol string, ok bool) {
	plain := make([]string, len(typeArgs))
	for i, a := range typeArgs {
		plain[i] = plainType(a)
	}
	symbol = table.InstanceName(name, plain)
	if _, ok := symbols(path)[symbol]; !ok {
		return "", false
	}
	return symbol, true
}

// aliases of predeclared types, and the one spelling the tables have for each.
var aliases = regexp.MustCompile(`\b(byte|rune)\b|interface ?\{\}`)

func plainType(t string) string {
	return aliases.ReplaceAllStringFunc(t, func(alias string) string {
		switch alias {
		case "byte":
			return "uint8"
		case "rune":
			return "int32"
		}
		return "any"
	})
}

var (
	tablesMu sync.Mutex
	tables   = map[string]map[string]reflect.Value{}
)

// symbols is the table of a package, kept to look instances up in; nil when there is none.
func symbols(path string) map[string]reflect.Value {
	p, ok := Lookup(path)
	if !ok {
		return nil
	}
	tablesMu.Lock()
	defer tablesMu.Unlock()
	if tables[path] == nil {
		tables[path] = p.Symbols()
	}
	return tables[path]
}
