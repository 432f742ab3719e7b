package session

import (
	"fmt"
	"go/types"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unsafe"

	"github.com/gonvex/gonvex/stdlib"
)

// Recursive types. Package reflect cannot make a type that contains itself,
// and yaegi's way around that fails on types that contain each other, and
// overflows the stack on recursion without a struct. So the session makes the
// reflect types of recursive types and hands them to the interpreter before it
// looks: each is made with placeholders of the same layout where a recursive
// type occurs, and the placeholders are then replaced in place.

// emittedType is a type of the session under the name yaegi knows it by.
type emittedType struct {
	name string
	typ  *types.Named
}

// components calls visit for the session's named types that a value of type t
// is made of, those behind interfaces aside: yaegi boxes these.
func components(t types.Type, visit func(*types.Named)) {
	switch x := types.Unalias(t).(type) {
	case *types.Named:
		if inMain(x.Obj()) {
			visit(x)
		}
	case *types.Pointer:
		components(x.Elem(), visit)
	case *types.Slice:
		components(x.Elem(), visit)
	case *types.Array:
		components(x.Elem(), visit)
	case *types.Chan:
		components(x.Elem(), visit)
	case *types.Map:
		components(x.Key(), visit)
		components(x.Elem(), visit)
	case *types.Signature:
		components(x.Params(), visit)
		components(x.Results(), visit)
	case *types.Tuple:
		for v := range x.Variables() {
			components(v.Type(), visit)
		}
	case *types.Struct:
		for f := range x.Fields() {
			components(f.Type(), visit)
		}
	}
}

// recursive picks the types among those just emitted that contain themselves.
func recursive(ts []emittedType, name func(types.Type) string) map[string]*types.Named {
	of := map[string][]string{}
	for _, t := range ts {
		components(t.typ.Underlying(), func(n *types.Named) {
			of[t.name] = append(of[t.name], name(n))
		})
	}
	out := map[string]*types.Named{}
	for _, t := range ts {
		seen := map[string]bool{}
		var walk func(string)
		walk = func(n string) {
			for _, m := range of[n] {
				if !seen[m] {
					seen[m] = true
					walk(m)
				}
			}
		}
		if walk(t.name); seen[t.name] {
			out[t.name] = t.typ
		}
	}
	return out
}

// knot makes the reflect types of a set of recursive types.
type knot struct {
	em    *emitter
	types map[string]*types.Named // by emitted name
	made  map[string]reflect.Type // what is made so far, kept by the session
	marks *int
}

// tie makes the reflect types of the recursive types among those that have
// just been loaded, and gives them to the interpreter.
func (em *emitter) tie() (err error) {
	s := em.t.s
	rec := recursive(em.t.newTypes, em.typ)
	if len(rec) == 0 {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = &CellError{Kind: KindInterpreter, Msg: fmt.Sprintf("the interpreter cannot run the recursive types of this cell: %v", r)}
		}
	}()
	k := &knot{em: em, types: rec, made: s.m.recursive, marks: &s.m.marks}
	for _, t := range em.t.newTypes {
		if rec[t.name] != nil {
			k.shell(t.name)
		}
	}
	for _, t := range em.t.newTypes {
		if rec[t.name] != nil {
			k.fill(t.name)
		}
	}
	for _, t := range em.t.newTypes {
		if rec[t.name] != nil {
			s.m.setType(t.name, k.made, k.endless)
		}
	}
	return nil
}

// loops tells whether t has a type in it that is being made.
func (k *knot) loops(t types.Type) bool {
	found := false
	seen := map[*types.Named]bool{}
	var visit func(n *types.Named)
	visit = func(n *types.Named) {
		if found || seen[n] {
			return
		}
		seen[n] = true
		if k.types[k.em.typ(n)] != nil {
			found = true
			return
		}
		components(n.Underlying(), visit)
	}
	components(t, visit)
	return found
}

// endless tells a type that goes back to itself through slices, maps, arrays
// and pointers alone: yaegi would follow it for ever.
func (k *knot) endless(name string) bool {
	seen := map[types.Type]bool{}
	var walk func(t types.Type) bool
	walk = func(t types.Type) bool {
		if n, ok := types.Unalias(t).(*types.Named); ok {
			if seen[n] {
				return true
			}
			seen[n] = true
			defer delete(seen, n)
		}
		switch u := t.Underlying().(type) {
		case *types.Pointer:
			return walk(u.Elem())
		case *types.Slice:
			return walk(u.Elem())
		case *types.Array:
			return walk(u.Elem())
		case *types.Map:
			return walk(u.Key()) || walk(u.Elem())
		}
		return false
	}
	n := k.types[name]
	return n != nil && walk(n)
}

// mark is a type like no other: placeholders must not be taken for each other.
func (k *knot) mark() reflect.Type {
	*k.marks++
	return reflect.ArrayOf(1<<20+*k.marks, reflect.TypeFor[struct{}]())
}

// shell makes a recursive type with placeholders in it.
func (k *knot) shell(name string) reflect.Type {
	if r := k.made[name]; r != nil {
		return r
	}
	var r reflect.Type
	switch u := k.types[name].Underlying().(type) {
	case *types.Struct:
		r = k.structOf(u, name, k.shape)
	case *types.Array:
		r = reflect.ArrayOf(int(u.Len()), k.shape(u.Elem()))
	case *types.Map: // its buckets have the size of what is in them
		r = reflect.MapOf(k.shape(u.Key()), k.shape(u.Elem()))
	default:
		r = k.shape(u)
	}
	k.made[name] = r
	return r
}

// shape is a placeholder for t: of its size and with its pointers.
func (k *knot) shape(t types.Type) reflect.Type {
	if !k.loops(t) {
		return k.real(t)
	}
	if n, ok := types.Unalias(t).(*types.Named); ok && k.types[k.em.typ(n)] != nil {
		switch n.Underlying().(type) {
		case *types.Struct, *types.Array:
			return k.shell(k.em.typ(n))
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return reflect.PointerTo(k.mark())
	case *types.Slice:
		return reflect.SliceOf(k.mark())
	case *types.Chan:
		return reflect.ChanOf(direction(u), k.mark())
	case *types.Signature:
		in := make([]reflect.Type, u.Params().Len())
		for i := range in {
			in[i] = reflect.PointerTo(k.mark())
		}
		if u.Variadic() {
			in[len(in)-1] = reflect.SliceOf(k.mark())
		}
		out := make([]reflect.Type, u.Results().Len())
		for i := range out {
			out[i] = reflect.PointerTo(k.mark())
		}
		return reflect.FuncOf(in, out, u.Variadic())
	case *types.Map:
		return reflect.MapOf(reflect.TypeFor[bool](), k.mark())
	case *types.Array:
		return reflect.ArrayOf(int(u.Len()), k.shape(u.Elem()))
	case *types.Struct:
		return k.structOf(u, k.nameOf(t), k.shape)
	}
	panic(fmt.Sprint("no placeholder for ", t))
}

func direction(c *types.Chan) reflect.ChanDir {
	switch c.Dir() {
	case types.SendOnly:
		return reflect.SendDir
	case types.RecvOnly:
		return reflect.RecvDir
	}
	return reflect.BothDir
}

// nameOf is the emitted name of a type of the session, "" for others.
func (k *knot) nameOf(t types.Type) string {
	if n, ok := types.Unalias(t).(*types.Named); ok && inMain(n.Obj()) {
		return k.em.typ(n)
	}
	return ""
}

// structOf makes the struct of that name as yaegi would.
func (k *knot) structOf(u *types.Struct, named string, typ func(types.Type) reflect.Type) reflect.Type {
	var fs []reflect.StructField
	if named != "" && u.NumFields() == 0 {
		fs = append(fs, reflect.StructField{Name: onlyField, Type: reflect.TypeFor[struct{}](), Tag: reflect.StructTag(nameTag(hidden, named))})
	}
	for i := range u.NumFields() {
		f := u.Field(i)
		name := k.em.fieldName(f)
		if !unicode.IsUpper([]rune(name)[0]) {
			name = "X" + name
		}
		fs = append(fs, reflect.StructField{Name: name, Type: typ(f.Type()), Tag: reflect.StructTag(fieldTag(u, i, named)), Anonymous: f.Embedded() && u.NumFields() == 1})
	}
	return reflect.StructOf(fs)
}

// real is the reflect type of t, which may be one that is still being made.
func (k *knot) real(t types.Type) reflect.Type {
	switch x := types.Unalias(t).(type) {
	case *types.Named:
		o := x.Obj()
		switch {
		case o.Pkg() == nil && o.Name() == "error":
			return reflect.TypeFor[error]()
		case inMain(o):
			if r := k.made[k.em.typ(x)]; r != nil {
				return r
			}
		case x.TypeArgs().Len() == 0:
			p, ok := stdlib.Lookup(o.Pkg().Path())
			if !ok {
				panic("package " + o.Pkg().Path() + " is not available")
			}
			v, ok := p.Symbols()[o.Name()]
			if !ok {
				panic("type " + x.String() + " is not available")
			}
			return v.Type().Elem()
		}
	case *types.Basic:
		if r := basicTypes[x.Kind()]; r != nil {
			return r
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return basicTypes[u.Kind()]
	case *types.Interface:
		if u.NumMethods() == 0 {
			return reflect.TypeFor[any]()
		}
		return k.em.t.s.m.boxed
	case *types.Pointer:
		return reflect.PointerTo(k.real(u.Elem()))
	case *types.Slice:
		return reflect.SliceOf(k.real(u.Elem()))
	case *types.Array:
		return reflect.ArrayOf(int(u.Len()), k.real(u.Elem()))
	case *types.Chan:
		return reflect.ChanOf(direction(u), k.real(u.Elem()))
	case *types.Map:
		return reflect.MapOf(k.real(u.Key()), k.real(u.Elem()))
	case *types.Signature:
		in, out := k.tuple(u.Params()), k.tuple(u.Results())
		return reflect.FuncOf(in, out, u.Variadic())
	case *types.Struct:
		return k.structOf(u, k.nameOf(t), k.real)
	}
	panic(fmt.Sprint("no reflect type for ", t))
}

func (k *knot) tuple(tu *types.Tuple) []reflect.Type {
	var rs []reflect.Type
	for v := range tu.Variables() {
		rs = append(rs, k.real(v.Type()))
	}
	return rs
}

var basicTypes = map[types.BasicKind]reflect.Type{
	types.Bool: reflect.TypeFor[bool](), types.String: reflect.TypeFor[string](), types.UnsafePointer: reflect.TypeFor[unsafe.Pointer](),
	types.Int: reflect.TypeFor[int](), types.Int8: reflect.TypeFor[int8](), types.Int16: reflect.TypeFor[int16](), types.Int32: reflect.TypeFor[int32](), types.Int64: reflect.TypeFor[int64](),
	types.Uint: reflect.TypeFor[uint](), types.Uint8: reflect.TypeFor[uint8](), types.Uint16: reflect.TypeFor[uint16](), types.Uint32: reflect.TypeFor[uint32](), types.Uint64: reflect.TypeFor[uint64](),
	types.Uintptr: reflect.TypeFor[uintptr](), types.Float32: reflect.TypeFor[float32](), types.Float64: reflect.TypeFor[float64](),
	types.Complex64: reflect.TypeFor[complex64](), types.Complex128: reflect.TypeFor[complex128](),
}

// fill replaces the placeholders of a type by what they stand for.
func (k *knot) fill(name string) {
	r := k.made[name]
	switch u := k.types[name].Underlying().(type) {
	case *types.Struct:
		t := (*abiStruct)(typePointer(r))
		for i := range u.NumFields() {
			if k.loops(u.Field(i).Type()) {
				t.fields[i].typ = typePointer(k.real(u.Field(i).Type()))
			}
		}
	case *types.Pointer:
		(*abiElem)(typePointer(r)).elem = typePointer(k.real(u.Elem()))
	case *types.Slice:
		(*abiElem)(typePointer(r)).elem = typePointer(k.real(u.Elem()))
	case *types.Chan:
		(*abiElem)(typePointer(r)).elem = typePointer(k.real(u.Elem()))
	case *types.Array:
		t := (*abiArray)(typePointer(r))
		t.elem, t.slice = typePointer(k.real(u.Elem())), typePointer(reflect.SliceOf(k.real(u.Elem())))
	case *types.Map:
		t := (*abiMap)(typePointer(r))
		t.key, t.elem = typePointer(k.real(u.Key())), typePointer(k.real(u.Elem()))
	case *types.Signature:
		t := (*abiFunc)(typePointer(r))
		all := append(k.tuple(u.Params()), k.tuple(u.Results())...)
		params := unsafe.Slice((*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(t), unsafe.Sizeof(*t))), len(all))
		for i, p := range all {
			params[i] = typePointer(p)
		}
	}
}

// The layout of package internal/abi's types, as far as it is used here;
// checkLayout tells whether it still holds.
type (
	abiType struct {
		_ [2]uintptr
		_ [8]byte
		_ [2]unsafe.Pointer
		_ [2]int32
	}
	abiElem struct {
		abiType
		elem unsafe.Pointer
	}
	abiArray struct {
		abiType
		elem, slice unsafe.Pointer
	}
	abiMap struct {
		abiType
		key, elem unsafe.Pointer
	}
	abiFunc struct {
		abiType
		in, out uint16
	}
	abiStruct struct {
		abiType
		pkgPath unsafe.Pointer
		fields  []abiField
	}
	abiField struct {
		_, typ unsafe.Pointer
		offset uintptr
	}
)

func typePointer(t reflect.Type) unsafe.Pointer {
	return (*[2]unsafe.Pointer)(unsafe.Pointer(&t))[1]
}

// checkLayout compares what is found by the layout above with what package
// reflect says.
func checkLayout() bool {
	p := typePointer
	st := reflect.TypeFor[struct {
		a int
		b string
	}]()
	s := (*abiStruct)(p(st))
	if len(s.fields) != 2 || s.fields[1].typ != p(st.Field(1).Type) || s.fields[1].offset != st.Field(1).Offset {
		return false
	}
	m := (*abiMap)(p(reflect.TypeFor[map[string]bool]()))
	a := (*abiArray)(p(reflect.TypeFor[[3]string]()))
	f := reflect.FuncOf([]reflect.Type{reflect.TypeFor[string]()}, []reflect.Type{reflect.TypeFor[bool]()}, false)
	fp := (*abiFunc)(p(f))
	params := unsafe.Slice((*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(fp), unsafe.Sizeof(*fp))), 2)
	return m.key == p(reflect.TypeFor[string]()) && m.elem == p(reflect.TypeFor[bool]()) &&
		a.elem == p(reflect.TypeFor[string]()) && a.slice == p(reflect.TypeFor[[]string]()) &&
		fp.in == 1 && fp.out == 1 && params[0] == p(f.In(0)) && params[1] == p(f.Out(0)) &&
		(*abiElem)(p(reflect.TypeFor[*string]())).elem == p(reflect.TypeFor[string]()) &&
		(*abiElem)(p(reflect.TypeFor[[]string]())).elem == p(reflect.TypeFor[string]()) &&
		(*abiElem)(p(reflect.TypeFor[chan string]())).elem == p(reflect.TypeFor[string]())
}

// typeNode finds yaegi's own description of a type or variable of the session.
func (m *machine) typeNode(name string) reflect.Value {
	return m.scope().FieldByName("sym").MapIndex(reflect.ValueOf(name)).Elem().FieldByName("typ")
}

// setType gives yaegi the reflect types of recursive types: every description
// of them that can be reached from that of name.
func (m *machine) setType(name string, made map[string]reflect.Type, endless func(string) bool) {
	seen := map[unsafe.Pointer]bool{}
	var walk func(t reflect.Value)
	walk = func(t reflect.Value) {
		if t.IsNil() || seen[t.UnsafePointer()] {
			return
		}
		seen[t.UnsafePointer()] = true
		n := t.Elem()
		if r := made[n.FieldByName("name").String()]; r != nil && n.FieldByName("path").String() == mainPath {
			*(*reflect.Type)(unsafe.Pointer(n.FieldByName("rtype").UnsafeAddr())) = r
			if endless(n.FieldByName("name").String()) {
				*(*uint)(unsafe.Pointer(n.FieldByName("cat").UnsafeAddr())) = m.compiledCat
			}
		}
		fields := n.FieldByName("field")
		for i := range fields.Len() {
			walk(fields.Index(i).FieldByName("typ"))
		}
		for _, l := range []string{"arg", "ret"} {
			for i := range n.FieldByName(l).Len() {
				walk(n.FieldByName(l).Index(i))
			}
		}
		for _, f := range []string{"key", "val", "ptr"} {
			walk(n.FieldByName(f))
		}
	}
	walk(m.typeNode(name))
}

// fieldTag is the tag of a field in emitted code: yaegi makes every field
// visible to reflect, so encoders are kept off the unexported ones, and what is
// embedded is named by its emitted type. The first field of a named struct has
// the name too.
func fieldTag(u *types.Struct, i int, name string) string {
	f, tag := u.Field(i), u.Tag(i)
	if !f.Exported() && !f.Embedded() && !strings.Contains(tag, "json:") {
		tag = strings.TrimSpace(tag + " " + hidden)
	}
	if n := namedOf(f.Type()); f.Embedded() && n != nil && inMain(n.Obj()) && !strings.Contains(tag, "xml:") { // not the emitted name
		tag = strings.TrimSpace(tag + " xml:" + strconv.Quote(f.Name()))
	}
	if i == 0 && name != "" {
		tag = nameTag(tag, name)
	}
	return tag
}

// Structs of the same fields must be different types to package reflect, or
// yaegi takes one for the other in an interface. So the emitted name of a
// struct stands in the tag of its first field, and onlyField is that of a
// struct without fields.
const (
	nameKey   = "gonvex"
	onlyField = "R_only"
	hidden    = `json:"-" xml:"-"` // from encoders
)

func nameTag(tag, name string) string {
	return strings.TrimSpace(tag + " " + nameKey + ":" + strconv.Quote(name))
}

// structName is the emitted name of a struct of the session, "" for others.
func structName(t reflect.Type) string {
	if t.Kind() != reflect.Struct || t.NumField() == 0 || t.PkgPath() != "" {
		return ""
	}
	return t.Field(0).Tag.Get(nameKey)
}
