package stdlib

import (
	"go/constant"
	"go/token"
	"go/types"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// sample holds packages of different kinds and sizes.
var sample = []string{
	"fmt", "errors", "io", "math", "math/big", "math/rand/v2", "net/http", "os", "os/exec", "os/user",
	"slices", "sort", "strings", "sync/atomic", "time", "unique",
	"gonum.org/v1/gonum/mat", "gonum.org/v1/gonum/optimize", "gonum.org/v1/gonum/stat/distuv",
	"gonum.org/v1/plot", "gonum.org/v1/plot/plotter", "gonum.org/v1/plot/vg",
}

// symbolsOf is the symbol table of a package that must be there.
func symbolsOf(t testing.TB, path string) map[string]reflect.Value {
	t.Helper()
	p, ok := Lookup(path)
	if !ok {
		t.Fatalf("no package %s", path)
	}
	return p.Symbols()
}

func TestEveryTableBuilds(t *testing.T) {
	paths := Paths()
	if !slices.IsSorted(paths) || len(paths) < 200 {
		t.Fatalf("%d paths, sorted %v", len(paths), slices.IsSorted(paths))
	}
	for _, path := range paths {
		for key, v := range symbolsOf(t, path) {
			if !v.IsValid() || !token.IsIdentifier(key) {
				t.Errorf("%s: symbol %q has the value %v", path, key, v)
			}
		}
	}
}

// The table and the types the checker sees are two views of one package.
func TestTablesAgreeWithTypes(t *testing.T) {
	imp := Importer(token.NewFileSet())
	for _, path := range Paths() {
		syms := symbolsOf(t, path)
		p, err := imp.Import(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if pk, _ := Lookup(path); pk.Name != p.Name() || p.Path() != path {
			t.Errorf("%s: types are of package %s %s", path, p.Name(), p.Path())
		}
		for _, name := range p.Scope().Names() {
			o := p.Scope().Lookup(name)
			if !o.Exported() {
				continue
			}
			v, ok := syms[name]
			switch o := o.(type) {
			case *types.Func:
				if o.Signature().TypeParams().Len() > 0 {
					continue
				}
				if !ok || v.Kind() != reflect.Func || v.Type().NumIn() != o.Signature().Params().Len() ||
					v.Type().NumOut() != o.Signature().Results().Len() || v.Type().IsVariadic() != o.Signature().Variadic() {
					t.Errorf("%s: %v is %v in the table", path, o, v)
				}
			case *types.Var:
				if !ok || !v.CanAddr() {
					t.Errorf("%s: %v is not an addressable variable in the table", path, o)
				} else if b, isBasic := o.Type().(*types.Basic); isBasic && b.Name() != v.Type().String() {
					t.Errorf("%s: %v is a %v in the table", path, o, v.Type())
				}
			case *types.Const:
				if !ok {
					t.Errorf("%s: %v is not in the table", path, o)
				} else if c, isConst := v.Interface().(constant.Value); isConst && c.Kind() != constant.Float && !constant.Compare(c, token.EQL, o.Val()) {
					t.Errorf("%s: %v is %v in the table", path, o, c)
				}
			case *types.TypeName:
				iface, isInterface := o.Type().Underlying().(*types.Interface)
				if generic(o) || isInterface && !iface.IsMethodSet() {
					continue
				}
				if !ok || v.Kind() != reflect.Pointer || !v.IsNil() {
					t.Errorf("%s: type %s is %v in the table", path, name, v)
					continue
				}
				if got, want := v.Type().Elem().Kind() == reflect.Interface, isInterface; got != want {
					t.Errorf("%s: type %s: interface %v in the table, %v to the checker", path, name, got, want)
				}
				if n, isNamed := types.Unalias(o.Type()).(*types.Named); isNamed && n.Obj().Name() != v.Type().Elem().Name() && n.TypeArgs().Len() == 0 {
					t.Errorf("%s: type %s is %v in the table", path, name, v.Type().Elem())
				}
			}
		}
	}
}

func generic(o *types.TypeName) bool {
	switch t := o.Type().(type) {
	case *types.Named:
		return t.TypeParams().Len() > 0
	case *types.Alias:
		return t.TypeParams().Len() > 0
	}
	return false
}

// A wrapper has yaegi's shape, and where it is there it implements its interface.
func TestWrappers(t *testing.T) {
	n := 0
	for _, path := range Paths() {
		syms := symbolsOf(t, path)
		for key, v := range syms {
			if key[0] != '_' {
				continue
			}
			n++
			w, iface := v.Type().Elem(), syms[key[1:]].Type().Elem()
			if w.Field(0).Name != "IValue" || w.NumField() != iface.NumMethod()+1 {
				t.Errorf("%s: %v has not the fields of a wrapper of %v", path, w, iface)
			}
			if !w.Implements(iface) {
				t.Errorf("%s: %v does not implement %v", path, w, iface)
			}
			for i := 1; i < w.NumField(); i++ {
				m, ok := iface.MethodByName(strings.TrimPrefix(w.Field(i).Name, "W"))
				if !ok || m.Type != w.Field(i).Type {
					t.Errorf("%s: %v: field %s does not fit a method of %v", path, w, w.Field(i).Name, iface)
				}
			}
		}
	}
	for path, name := range map[string]string{"io": "_Writer", "error": "", "sort": "_Interface", "gonum.org/v1/gonum/mat": "_Matrix", "gonum.org/v1/plot": "_Plotter", "gonum.org/v1/plot/plotter": "_XYer", "fmt": "_Stringer", "encoding/json": "_Marshaler"} {
		if name != "" && !symbolsOf(t, path)[name].IsValid() {
			t.Errorf("%s has no %s", path, name)
		}
	}
	t.Logf("%d wrappers", n)
}

func TestTablesHaveTheRealThing(t *testing.T) {
	if f := symbolsOf(t, "strings")["ToUpper"].Interface().(func(string) string); f("ab") != "AB" {
		t.Error("strings.ToUpper is another function")
	}
	if got := symbolsOf(t, "gonum.org/v1/gonum/mat")["Dense"].Type(); got != reflect.TypeFor[*mat.Dense]() {
		t.Errorf("mat.Dense is %v", got)
	}
	if got := symbolsOf(t, "math/rand/v2")["IntN"].Type(); got != reflect.TypeOf(rand.IntN) {
		t.Errorf("rand.IntN is %v", got)
	}
	big := symbolsOf(t, "math")["MaxUint64"].Interface().(constant.Value)
	if big.ExactString() != "18446744073709551615" {
		t.Errorf("math.MaxUint64 is %v", big)
	}
	pi, _ := constant.Float64Val(symbolsOf(t, "math")["Pi"].Interface().(constant.Value))
	if pi != 3.141592653589793 {
		t.Errorf("math.Pi is %v", pi)
	}
	if _, ok := Lookup("unsafe"); ok {
		t.Error("unsafe is importable")
	}
}

func TestInstances(t *testing.T) {
	for _, c := range []struct {
		path, name string
		args       []string
		want       reflect.Type // nil: there is none
	}{
		{"slices", "Sort", []string{"[]float64", "float64"}, reflect.TypeOf(slices.Sort[[]float64])},
		{"slices", "Sort", []string{"[]byte", "byte"}, reflect.TypeOf(slices.Sort[[]byte])},
		{"slices", "Sort", []string{"[]bool", "bool"}, nil},
		{"slices", "Contains", []string{"[]interface{}", "interface{}"}, reflect.TypeOf(slices.Contains[[]any])},
		{"slices", "SortFunc", []string{"[][]float64", "[]float64"}, reflect.TypeOf(slices.SortFunc[[][]float64])},
		{"maps", "Keys", []string{"map[string]float64", "string", "float64"}, nil /* set below */},
		{"math/rand/v2", "N", []string{"time.Duration"}, nil},
		{"sync/atomic", "Pointer", []string{"float64"}, nil},
		{"slices", "NoSuch", []string{"int"}, nil},
		{"no/such", "F", nil, nil},
	} {
		sym, ok := Instance(c.path, c.name, c.args)
		switch {
		case c.path == "maps" || c.path == "math/rand/v2" || c.path == "sync/atomic":
			if !ok || !symbolsOf(t, c.path)[sym].IsValid() {
				t.Errorf("%s.%s%v: %q, %v", c.path, c.name, c.args, sym, ok)
			}
		case ok != (c.want != nil):
			t.Errorf("%s.%s%v: %q, %v", c.path, c.name, c.args, sym, ok)
		case ok && symbolsOf(t, c.path)[sym].Type() != c.want:
			t.Errorf("%s.%s%v is %v, want %v", c.path, c.name, c.args, symbolsOf(t, c.path)[sym].Type(), c.want)
		}
	}
	sym, _ := Instance("slices", "Sort", []string{"[]float64", "float64"})
	x := []float64{3, 1, 2}
	symbolsOf(t, "slices")[sym].Interface().(func([]float64))(x)
	if !sort.Float64sAreSorted(x) {
		t.Errorf("%s sorted to %v", sym, x)
	}
}

func TestImporter(t *testing.T) {
	imp := Importer(token.NewFileSet())
	m, err := imp.Import("gonum.org/v1/gonum/mat")
	if err != nil {
		t.Fatal(err)
	}
	d := m.Scope().Lookup("Dense").Type()
	mul, _, _ := types.LookupFieldOrMethod(types.NewPointer(d), true, m, "Mul")
	if got := types.ObjectString(mul, types.RelativeTo(m)); got != "func (*Dense).Mul(a Matrix, b Matrix)" {
		t.Errorf("Dense.Mul is %s", got)
	}
	// A type of one package seen through another is the same type.
	f, err := imp.Import("fmt")
	if err != nil {
		t.Fatal(err)
	}
	iow, err := imp.Import("io")
	if err != nil {
		t.Fatal(err)
	}
	w := f.Scope().Lookup("Fprint").(*types.Func).Signature().Params().At(0).Type()
	if !types.Identical(w, iow.Scope().Lookup("Writer").Type()) {
		t.Error("fmt.Fprint does not take an io.Writer")
	}
	again, err := imp.Import("gonum.org/v1/gonum/mat")
	if err != nil || again != m {
		t.Errorf("second import: %v, %v", again, err)
	}
	for path, want := range map[string]string{
		"unsafe":                 "safely",
		"gonum/mat":              `did you mean "gonum.org/v1/gonum/mat"?`,
		"example.com/nowhere/zz": `package "example.com/nowhere/zz" is not part of this kernel`,
	} {
		if _, err := imp.Import(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("import %q: %v", path, err)
		}
	}
}

func TestImporterConcurrent(t *testing.T) {
	imp := Importer(token.NewFileSet())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range sample {
				if _, err := imp.Import(sample[(i*5+j)%len(sample)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestNamed(t *testing.T) {
	for name, want := range map[string]string{
		"fmt": "fmt", "rand": "math/rand/v2", "template": "text/template", "mat": "gonum.org/v1/gonum/mat",
		"plot": "gonum.org/v1/plot", "draw": "gonum.org/v1/plot/vg/draw", "pprof": "runtime/pprof", "exec": "os/exec",
	} {
		if got, ok := Named(name); !ok || got != want {
			t.Errorf("%s means %q, want %q", name, got, want)
		}
	}
	for _, name := range Names() {
		paths := Candidates(name)
		chosen := 0
		for _, path := range paths {
			p, ok := Lookup(path)
			if !ok || p.Name != name {
				t.Errorf("%s means %s, which is %q, %v", name, path, p.Name, ok)
			}
			if p.Preferred {
				chosen++
			}
		}
		if len(paths) > 1 && chosen != 1 {
			t.Errorf("%s may be %v: packages.txt should prefer one, it prefers %d", name, paths, chosen)
		}
	}
	if _, ok := Named("nosuchpackage"); ok {
		t.Error("nosuchpackage is a package")
	}
}

func TestDocs(t *testing.T) {
	for _, c := range []struct{ path, symbol, sig, text string }{
		{"fmt", "", "package fmt", "implements formatted I/O"},
		{"fmt", "Printf", "func Printf(format string, a ...any) (n int, err error)", "Printf formats according to"},
		{"gonum.org/v1/gonum/mat", "Dense.Mul", "func (m *Dense) Mul(a, b Matrix)", "Mul takes the matrix product"},
		{"gonum.org/v1/gonum/mat", "Matrix.Dims", "func (Matrix) Dims() (r, c int)", "Dims returns the dimensions"},
		{"math", "Pi", "const Pi = 3.14159", "Mathematical constants"},
		{"io", "EOF", "var EOF error", "EOF is the error returned"},
		{"time", "Second", "const Second Duration = 1000000000", "Common durations"},
		{"net/http", "Server.Addr", "field Addr string", "Addr optionally specifies"},
		{"slices", "Sort", "func Sort[S ~[]E, E cmp.Ordered](x S)", "Sort sorts a slice"},
		{"builtin", "append", "func append(slice []Type, elems ...Type) []Type", "appends elements to the end"},
		{"builtin", "float64", "type float64 float64", "IEEE 754 64-bit"},
		{"builtin", "true", "const true = true", "two untyped boolean values"},
		{"os/user", "Current", "func Current() (*User, error)", "Current returns the current user"},
	} {
		d, ok := DocOf(c.path, c.symbol)
		if !ok || !strings.HasPrefix(d.Signature, c.sig) || !strings.Contains(d.Text, c.text) {
			t.Errorf("%s %s: %v %q %.200q", c.path, c.symbol, ok, d.Signature, d.Text)
		}
	}
	for _, c := range [][2]string{{"fmt", "NoSuch"}, {"no/such", ""}} {
		if _, ok := DocOf(c[0], c[1]); ok {
			t.Errorf("%v has documentation", c)
		}
	}
}

// Every exported symbol and every method it can be asked for has documentation, under the type that
// declares it or the one that embeds that.
func TestDocsAreWhole(t *testing.T) {
	imp := Importer(token.NewFileSet())
	for _, path := range Paths() {
		p, err := imp.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := DocOf(path, ""); !ok {
			t.Errorf("%s has no documentation", path)
		}
		for _, name := range p.Scope().Names() {
			o := p.Scope().Lookup(name)
			if !o.Exported() {
				continue
			}
			if d, ok := DocOf(path, name); !ok || d.Signature == "" {
				t.Errorf("%s.%s has no documentation", path, name)
			}
			if _, isType := o.(*types.TypeName); !isType {
				continue
			}
			for m := range types.NewMethodSet(types.NewPointer(o.Type())).Methods() {
				if f := m.Obj(); f.Exported() && f.Pkg() != nil && !hasDoc(path, name, f.(*types.Func)) {
					t.Errorf("%s.%s.%s has no documentation", path, name, f.Name())
				}
			}
		}
	}
}

func hasDoc(path, typ string, f *types.Func) bool {
	if _, ok := DocOf(path, typ+"."+f.Name()); ok {
		return true
	}
	recv := f.Signature().Recv().Type()
	if p, ok := recv.(*types.Pointer); ok {
		recv = p.Elem()
	}
	n, ok := recv.(*types.Named)
	if !ok {
		return false
	}
	_, ok = DocOf(f.Pkg().Path(), n.Obj().Name()+"."+f.Name())
	return ok
}

// The packs and the interpreter's tables are a small part of the binary, which is to stay under 60 MB.
func TestPackSize(t *testing.T) {
	total := 0
	for _, g := range groups {
		total += len(g.Pack)
	}
	if total > 4<<20 {
		t.Errorf("the packs have %d bytes; more than 4 MB: does a listed package bring in too much?", total)
	}
}

func BenchmarkImport(b *testing.B) {
	for _, path := range []string{"fmt", "github.com/gonvex/gonvex/convex", "gonum.org/v1/gonum/mat", "gonum.org/v1/plot", "net/http"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				if _, err := Importer(token.NewFileSet()).Import(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			imp := Importer(token.NewFileSet())
			for _, path := range Paths() {
				if _, err := imp.Import(path); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkSymbols(b *testing.B) {
	for _, path := range []string{"fmt", "slices", "gonum.org/v1/gonum/mat", "net/http"} {
		p, _ := Lookup(path)
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				p.Symbols()
			}
		})
	}
}

// A cell can use all that our own packages export, and is told what it is for: nothing in them is
// generic, needs iterators, or is without a doc comment.
func TestOwnPackagesSuitCells(t *testing.T) {
	imp := Importer(token.NewFileSet())
	for _, path := range Paths() {
		if index()[path].group.Name != "own" {
			continue
		}
		p, err := imp.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		check := func(o types.Object, where string) {
			if !o.Exported() {
				return
			}
			if d, ok := DocOf(path, where+o.Name()); ok && d.Text == "" {
				t.Errorf("%s.%s%s has no doc comment", path, where, o.Name())
			}
			f, isFunc := o.(*types.Func)
			if !isFunc {
				return
			}
			if f.Signature().TypeParams().Len() > 0 {
				t.Errorf("%s.%s%s is generic", path, where, o.Name())
			}
			if strings.Contains(f.Signature().String(), "iter.Seq") {
				t.Errorf("%s.%s%s has an iterator", path, where, o.Name())
			}
		}
		for _, name := range p.Scope().Names() {
			o := p.Scope().Lookup(name)
			check(o, "")
			tn, isType := o.(*types.TypeName)
			if !isType || !o.Exported() {
				continue
			}
			if generic(tn) {
				t.Errorf("%s.%s is generic", path, name)
			}
			for m := range types.NewMethodSet(types.NewPointer(o.Type())).Methods() {
				check(m.Obj(), name+".")
			}
		}
	}
}
