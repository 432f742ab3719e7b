package session

import (
	"fmt"
	"go/types"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unsafe"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/traefik/yaegi/interp"
)

// Reflection sees the session's types as anonymous structs without methods
// whose unexported fields are called Xname. What the checker knows of them
// guides the printing here: field names, %T, String and Error at any depth.

// mentionsSession tells whether reflection alone would print values of t
// wrongly: t has a session type or a struct with unexported fields in it.
func mentionsSession(t types.Type) bool {
	seen := map[types.Type]bool{}
	var walk func(t types.Type) bool
	walk = func(t types.Type) bool {
		if t == nil || seen[t] {
			return false
		}
		seen[t] = true
		switch x := types.Unalias(t).(type) {
		case *types.Named:
			if inMain(x.Obj()) {
				return true
			}
			for a := range x.TypeArgs().Types() {
				if walk(a) {
					return true
				}
			}
		case *types.Pointer:
			return walk(x.Elem())
		case *types.Slice:
			return walk(x.Elem())
		case *types.Array:
			return walk(x.Elem())
		case *types.Chan:
			return walk(x.Elem())
		case *types.Map:
			return walk(x.Key()) || walk(x.Elem())
		case *types.Signature:
			return walk(x.Params()) || walk(x.Results())
		case *types.Tuple:
			for v := range x.Variables() {
				if walk(v.Type()) {
					return true
				}
			}
		case *types.Struct:
			for f := range x.Fields() {
				if !f.Exported() || walk(f.Type()) {
					return true
				}
			}
		}
		return false
	}
	return walk(t)
}

// opaque is mentionsSession for values in which interfaces hold others.
func opaque(t types.Type) bool { return mentionsSession(t) || holdsInterface(t, true) }

// held is what an interface holds, and its type if that is one of the session's.
func (r *rt) held(v reflect.Value) (reflect.Value, types.Type) {
	v, name := plain(v)
	if t := r.dynamic(name); t != nil || !v.IsValid() {
		return v, t
	}
	if t := r.typeBehind(v.Type()); t != nil || !v.CanInterface() {
		return v, t
	}
	if in := reflect.ValueOf(unwrap(v.Interface())); in.IsValid() {
		if t := r.typeBehind(in.Type()); t != nil {
			return in, t
		}
	}
	return v, nil
}

// plain takes a value out of yaegi's representation of an interface value and
// returns the emitted name of its session type, if it has one.
func plain(v reflect.Value) (inner reflect.Value, typ string) {
	for range 8 {
		for v.IsValid() && v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Struct && v.Elem().NumField() > 1 && v.Elem().Type().Field(0).Tag == adapterTag {
			v, typ = v.Elem().Field(0), ""
			continue
		}
		if !v.IsValid() || v.Kind() != reflect.Struct || v.Type().String() != "interp.valueInterface" {
			break
		}
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		typ = dynamicType(c.FieldByName("node"))
		v = *(*reflect.Value)(unsafe.Pointer(c.FieldByName("value").UnsafeAddr()))
	}
	return v, typ
}

// dynamicType reads the name of the type of a yaegi node.
func dynamicType(node reflect.Value) string {
	if !node.IsValid() || node.IsNil() {
		return ""
	}
	typ := node.Elem().FieldByName("typ")
	if !typ.IsValid() || typ.Kind() != reflect.Pointer || typ.IsNil() {
		return ""
	}
	if name := typ.Elem().FieldByName("name"); name.IsValid() && name.String() != "" {
		return name.String()
	}
	if val := typ.Elem().FieldByName("val"); val.IsValid() && val.Kind() == reflect.Pointer && !val.IsNil() {
		if name := val.Elem().FieldByName("name"); name.IsValid() && name.String() != "" {
			return "*" + name.String()
		}
	}
	return ""
}

// printer writes a value as fmt's %v, %+v or %#v would, by its static type.
type printer struct {
	r           *rt
	plus, sharp bool
	show        bool // for a notebook: pointer receivers count, pointers are followed
	raw         bool // inside an unexported field, where package fmt calls no methods; a notebook does
	b           strings.Builder
	depth       int
}

const maxShown = 1 << 16 // bytes of text

func (p *printer) value(v reflect.Value, t types.Type) {
	if p.b.Len() > maxShown {
		return
	}
	if p.depth++; p.depth > 12 {
		p.b.WriteString("…")
		p.depth--
		return
	}
	defer func() { p.depth-- }()
	if static := t; t == nil || types.IsInterface(t) {
		v, t = p.r.held(v)
		if !v.IsValid() {
			switch {
			case !p.sharp || p.depth == 1:
				p.b.WriteString("<nil>")
			case static == nil:
				p.b.WriteString("interface {}(nil)")
			default:
				p.b.WriteString(typeString(unnamed(static)) + "(nil)")
			}
			return
		}
	}
	if !p.raw {
		if s, ok := p.r.ownText(v, t, p.show, p.sharp); ok {
			p.b.WriteString(s)
			return
		}
	}
	if t == nil || !opaque(t) {
		if holdsAny(v) {
			p.anys(v)
		} else {
			p.compiled(v)
		}
		return
	}
	name := ""
	if p.sharp {
		name = typeString(unnamed(t))
	}
	switch u := t.Underlying().(type) {
	case *types.Struct:
		if v.Kind() != reflect.Struct || v.NumField() < u.NumFields() { // see onlyField
			p.compiled(v)
			return
		}
		p.b.WriteString(name + "{")
		for i := range u.NumFields() {
			if i > 0 {
				p.b.WriteString(p.space(", "))
			}
			if p.plus || p.sharp {
				p.b.WriteString(bareName(u.Field(i).Name()) + ":")
			}
			outer := p.raw
			p.raw = outer || !p.show && !u.Field(i).Exported()
			p.value(v.Field(i), u.Field(i).Type())
			p.raw = outer
		}
		p.b.WriteByte('}')
	case *types.Pointer:
		switch {
		case v.Kind() != reflect.Pointer:
			p.compiled(v)
		case v.IsNil() && p.sharp:
			p.b.WriteString("(" + name + ")(nil)")
		case v.IsNil():
			p.b.WriteString("<nil>")
		case composite(v.Elem()) && (p.depth == 1 || p.show && p.depth < 6):
			p.b.WriteByte('&')
			p.value(v.Elem(), u.Elem())
		default:
			fmt.Fprintf(&p.b, "0x%x", v.Pointer())
		}
	case *types.Slice, *types.Array:
		elem := u.(interface{ Elem() types.Type }).Elem()
		if p.sharp && v.Kind() == reflect.Slice && v.IsNil() {
			p.b.WriteString(name + "(nil)")
			return
		}
		open, end := "[", "]"
		if p.sharp {
			open, end = name+"{", "}"
		}
		p.b.WriteString(open)
		for i := range v.Len() {
			if i > 0 {
				p.b.WriteString(p.space(", "))
			}
			if p.b.Len() > maxShown || p.show && i == 200 {
				fmt.Fprintf(&p.b, "… %d in all", v.Len())
				break
			}
			p.value(v.Index(i), elem)
		}
		p.b.WriteString(end)
	case *types.Map:
		p.mapValue(v, u, name)
	case *types.Signature:
		if v.Kind() == reflect.Func && v.IsNil() {
			if p.sharp {
				name = "(" + name + ")(nil)"
			} else {
				name = "<nil>"
			}
			p.b.WriteString(name)
		} else {
			p.b.WriteString(typeString(t))
		}
	default:
		p.compiled(v)
	}
}

func (p *printer) space(sharp string) string {
	if p.sharp {
		return sharp
	}
	return " "
}

func composite(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		return true
	}
	return false
}

func (p *printer) mapValue(v reflect.Value, t *types.Map, name string) {
	if v.Kind() != reflect.Map {
		p.compiled(v)
		return
	}
	open, end := "map[", "]"
	if p.sharp {
		if v.IsNil() {
			p.b.WriteString(name + "(nil)")
			return
		}
		open, end = name+"{", "}"
	}
	p.b.WriteString(open)
	for i, k := range sortedKeys(v) {
		if i > 0 {
			p.b.WriteString(p.space(", "))
		}
		if p.b.Len() > maxShown {
			p.b.WriteString("…")
			break
		}
		p.value(k, t.Key())
		p.b.WriteByte(':')
		p.value(v.MapIndex(k), t.Elem())
	}
	p.b.WriteString(end)
}

// holdsAny tells a slice, array or map of values of any type, which may be of
// the session's.
func holdsAny(v reflect.Value) bool {
	if !v.IsValid() || v.Kind() != reflect.Array && v.Kind() != reflect.Slice && v.Kind() != reflect.Map || v.Kind() != reflect.Array && v.IsNil() {
		return false
	}
	return madeOfAny(v.Type(), 8)
}

// madeOfAny is holdsAny for a type, to a depth: a type may contain itself.
func madeOfAny(t reflect.Type, depth int) bool {
	if t.Kind() == reflect.Interface || t.Kind() == reflect.Struct && t.String() == "interp.valueInterface" {
		return true
	}
	if depth == 0 || t.PkgPath() != "" {
		return false
	}
	switch t.Kind() {
	case reflect.Map:
		return madeOfAny(t.Key(), depth-1) || madeOfAny(t.Elem(), depth-1)
	case reflect.Slice, reflect.Array:
		return madeOfAny(t.Elem(), depth-1)
	}
	return false
}

// anys prints what holdsAny holds for.
func (p *printer) anys(v reflect.Value) {
	open, end := "[", "]"
	switch {
	case p.sharp:
		open, end = strings.ReplaceAll(v.Type().String(), "interp.valueInterface", "interface{…}")+"{", "}"
	case v.Kind() == reflect.Map:
		open = "map["
	}
	p.b.WriteString(open)
	defer func() { p.b.WriteString(end) }()
	each := func(i int, elem func()) bool {
		if i > 0 {
			p.b.WriteString(p.space(", "))
		}
		if p.b.Len() > maxShown || p.show && i == 200 {
			fmt.Fprintf(&p.b, "… %d in all", v.Len())
			return false
		}
		elem()
		return true
	}
	value := func(e reflect.Value) {
		if p.sharp && e.Kind() == reflect.Interface && e.IsNil() {
			p.b.WriteString(p.r.typeText(e.Type()) + "(nil)")
			return
		}
		p.value(e, nil)
	}
	if v.Kind() == reflect.Map {
		for i, k := range sortedKeys(v) {
			if !each(i, func() { value(k); p.b.WriteByte(':'); value(v.MapIndex(k)) }) {
				return
			}
		}
		return
	}
	for i := range v.Len() {
		if !each(i, func() { value(v.Index(i)) }) {
			return
		}
	}
}

// compiled prints a value that reflection knows all about.
func (p *printer) compiled(v reflect.Value) {
	if !v.IsValid() {
		p.b.WriteString("<nil>")
		return
	}
	switch {
	case !v.CanInterface():
		fmt.Fprint(&p.b, v)
	case p.raw: // as a field of that kind, so that fmt sees it as such
		in := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "f", PkgPath: mainPath, Type: v.Type()}})).Elem()
		reflect.NewAt(v.Type(), in.Field(0).Addr().UnsafePointer()).Elem().Set(v)
		verb, before := "%v", "{"
		if p.plus {
			verb, before = "%+v", "{f:"
		} else if p.sharp {
			verb, before = "%#v", in.Type().String()+"{f:"
		}
		s := fmt.Sprintf(verb, in.Interface())
		p.b.WriteString(strings.TrimSuffix(strings.TrimPrefix(s, before), "}"))
	case p.sharp:
		fmt.Fprintf(&p.b, "%#v", v.Interface())
	case p.show && v.Kind() != reflect.String && p.depth == 1:
		p.b.WriteString(display.Text(v.Interface()))
	case p.show && v.Kind() != reflect.String: // in the short form of something inside a value
		p.b.WriteString(strings.TrimSuffix(strings.TrimPrefix(display.Text([1]any{v.Interface()}), "["), "]"))
	case p.plus:
		fmt.Fprintf(&p.b, "%+v", v.Interface())
	default:
		fmt.Fprintf(&p.b, "%v", v.Interface())
	}
}

// dynamic is the session type of an emitted type name.
func (r *rt) dynamic(name string) types.Type {
	if name == "" {
		return nil
	}
	bare, ptr := strings.CutPrefix(name, "*")
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.named[bare]
	if t != nil && ptr {
		return types.NewPointer(t)
	}
	return t
}

// typeBehind is the session's type behind a type of package reflect, as far as
// structs tell it: nil if there is no struct of the session in it.
func (r *rt) typeBehind(t reflect.Type) types.Type { return r.typeWithin(t, 8) }

// typeWithin is typeBehind to a depth: a type may contain itself.
func (r *rt) typeWithin(t reflect.Type, depth int) types.Type {
	if t.PkgPath() != "" || depth == 0 {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return r.dynamic(structName(t))
	case reflect.Pointer, reflect.Slice, reflect.Array:
		e := r.typeWithin(t.Elem(), depth-1)
		switch {
		case e == nil:
			return nil
		case t.Kind() == reflect.Pointer:
			return types.NewPointer(e)
		case t.Kind() == reflect.Slice:
			return types.NewSlice(e)
		}
		return types.NewArray(e, int64(t.Len()))
	}
	return nil
}

// nameType records the session type behind an emitted type name.
func (r *rt) nameType(emitted string, t types.Type) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.named[emitted] = t
}

// ownText is what the value's Error or String method says, or its GoString.
func (r *rt) ownText(v reflect.Value, t types.Type, show, sharp bool) (string, bool) {
	if t == nil {
		return "", false
	}
	names := []string{"Error", "String"}
	if sharp {
		names = []string{"GoString"}
	}
	for _, name := range names {
		if out, ok := r.callMethod(v, t, name, show); ok && len(out) == 1 && out[0].Kind() == reflect.String {
			return out[0].String(), true
		}
	}
	return "", false
}

// callMethod calls a published method on a value of a session type, promoted
// methods included. A panic of the method becomes its text.
func (r *rt) callMethod(v reflect.Value, t types.Type, name string, addressable bool, args ...reflect.Value) (out []reflect.Value, ok bool) {
	n := sessionNamed(t)
	if n == nil || !v.IsValid() {
		return nil, false
	}
	o, index, _ := types.LookupFieldOrMethod(t, addressable, n.Obj().Pkg(), name)
	m, isFunc := o.(*types.Func)
	if !isFunc || m.Signature().Params().Len() != len(args) || m.Signature().Results().Len() == 0 {
		return nil, false
	}
	defer func() {
		if p := recover(); p != nil {
			out, ok = []reflect.Value{reflect.ValueOf("%!v(PANIC=" + name + " method: " + panicText(p) + ")")}, true
		}
	}()
	for _, i := range index[:len(index)-1] { // to the embedded field the method is promoted from
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return nil, false
			}
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct || i >= v.NumField() {
			return nil, false
		}
		t = fieldAt(t, i).Type()
		v = v.Field(i)
	}
	recv := sessionNamed(t)
	if recv == nil { // an embedded compiled type
		if pointerReceiver(m) && v.Kind() != reflect.Pointer {
			c := reflect.New(v.Type())
			c.Elem().Set(v)
			v = c
		}
		if f := v.MethodByName(name); f.IsValid() {
			return f.Call(args), true
		}
		return nil, false
	}
	impl, ok := r.lookup(typeKey(recv), name)
	if !ok {
		return nil, false
	}
	in := impl.fn.Type().In(0)
	switch {
	case impl.pointer && v.Kind() != reflect.Pointer:
		c := reflect.New(v.Type())
		c.Elem().Set(v)
		v = c
	case !impl.pointer && isPointer(t):
		if v.IsNil() {
			return []reflect.Value{reflect.ValueOf("<nil>")}, true
		}
		v = v.Elem()
	}
	if !v.Type().AssignableTo(in) {
		if !v.Type().ConvertibleTo(in) {
			return nil, false
		}
		v = v.Convert(in)
	}
	return impl.fn.Call(append([]reflect.Value{v}, args...)), true
}

// typeString is a type as Go prints it.
func typeString(t types.Type) string {
	s := tight(ownTypes(types.TypeString(t, (*types.Package).Name)))
	if strings.Contains(s, sep) {
		s = localMark.ReplaceAllString(s, "")
	}
	if !strings.Contains(s, "{") {
		return s
	}
	return braces.ReplaceAllStringFunc(s, func(b string) string { // as package reflect has them
		switch {
		case strings.HasSuffix(b, "{}"):
			return strings.TrimSuffix(b, "{}") + " {}"
		case b == "}":
			return " }"
		}
		return strings.TrimSuffix(b, "{") + " { "
	})
}

// tight takes the spaces out of lists of type arguments, as package reflect has
// them.
func tight(s string) string {
	var b strings.Builder
	var open []rune
	list := false // the last was a comma of such a list
	for _, c := range s {
		switch c {
		case '[', '(', '{':
			open = append(open, c)
		case ']', ')', '}':
			open = open[:max(0, len(open)-1)]
		}
		if !list || c != ' ' {
			b.WriteRune(c)
		}
		list = c == ',' && len(open) > 0 && open[len(open)-1] == '['
	}
	return b.String()
}

var localMark = regexp.MustCompile(sep + `t\d+`) // see emitter.local

var braces = regexp.MustCompile(`(struct|interface)\{\}?|\}`)

// formatted hands a value of a session type to package fmt.
type formatted struct {
	r *rt
	t types.Type
	v any
}

// open makes package fmt print the session's values that come as any, or in
// slices and maps of any.
func (r *rt) open(a []any) []any {
	copied := false
	for i, x := range a {
		v, name := plain(reflect.ValueOf(x))
		if !v.IsValid() || !v.CanInterface() {
			continue
		}
		t := r.dynamic(name)
		if t == nil {
			t = r.typeBehind(v.Type())
		}
		if t == nil && !holdsAny(v) {
			continue
		}
		if !copied {
			a, copied = slices.Clone(a), true
		}
		a[i] = r.asType(t, v.Interface())
	}
	return a
}

// formattedError is a formatted whose type implements error, for %w.
type formattedError struct{ formatted }

func (f *formattedError) Error() string {
	s, _ := f.r.ownText(reflect.ValueOf(f.v), f.t, false, false)
	return s
}

// format is called by emitted code around arguments of package fmt.
func (r *rt) format(id int, v any) any { return r.asType(r.typeOf(id), v) }

// formatAny is format for a value of interface type: only the interpreter's
// own form of it tells its type.
func (r *rt) formatAny(x *any) any {
	v, name := plain(reflect.ValueOf(*x))
	if !v.IsValid() {
		return nil
	}
	t := r.dynamic(name)
	if t == nil {
		t = r.typeBehind(v.Type())
	}
	switch {
	case !v.CanInterface():
		return *x
	case t == nil:
		return v.Interface()
	}
	return r.asType(t, v.Interface())
}

// asType is a value that package fmt prints as one of type t.
func (r *rt) asType(t types.Type, v any) any {
	f := formatted{r, t, v}
	if n := sessionNamed(f.t); n != nil {
		if o, _, _ := types.LookupFieldOrMethod(f.t, false, n.Obj().Pkg(), "Error"); o != nil {
			if _, ok := o.(*types.Func); ok {
				return &formattedError{f}
			}
		}
	}
	return &f
}

func (f *formatted) Format(st fmt.State, verb rune) {
	format := fmt.FormatString(st, verb)
	v := reflect.ValueOf(f.v)
	if strings.ContainsRune("vsxXq", verb) && !st.Flag('#') {
		if s, ok := f.r.ownText(v, f.t, false, false); ok {
			fmt.Fprintf(st, strings.Replace(format, "+", "", 1), s)
			return
		}
	}
	if verb == 's' && f.t == nil { // of values of any type, as %v does
		verb = 'v'
	}
	_, wide := st.Width()
	basic := false
	if f.t != nil {
		_, basic = f.t.Underlying().(*types.Basic)
	}
	if verb == 'v' && !wide && !basic || verb == 'v' && st.Flag('#') {
		if basic {
			fmt.Fprintf(st, "%#v", f.v)
			return
		}
		p := &printer{r: f.r, plus: st.Flag('+'), sharp: st.Flag('#')}
		p.value(v, f.t)
		io.WriteString(st, p.b.String())
		return
	}
	fmt.Fprintf(st, format, f.v)
}

// typeName is what %T prints for a formatted value.
func (r *rt) typeName(v any) (string, bool) {
	switch f := v.(type) {
	case *formatted:
		if f.t == nil {
			return fmt.Sprintf("%T", f.v), true
		}
		return typeString(unnamed(f.t)), true
	case *formattedError:
		return typeString(f.t), true
	case nil:
		return "", false
	}
	if _, t := r.behind(v); t != nil {
		return typeString(t), true
	}
	t := reflect.TypeOf(v)
	return r.typeText(t), strings.Contains(t.String(), nameKey+":")
}

// unnamed is a type without the names of its functions' parameters, and without
// any, as package reflect has it.
func unnamed(t types.Type) types.Type {
	t = types.Unalias(t)
	if it, ok := t.(*types.Interface); ok && it.Empty() {
		return types.NewInterfaceType(nil, nil) // package types calls its own any
	}
	return rebuilt(t, unnamed)
}

// typeText is the name of a type of package reflect in which types of the
// session may be.
func (r *rt) typeText(t reflect.Type) string {
	if own := r.typeBehind(t); own != nil {
		return typeString(own)
	}
	if t == reflect.TypeFor[any]() || t.String() == "interp.valueInterface" {
		return "interface {}"
	}
	if t.Name() != "" || !strings.Contains(t.String(), nameKey+":") && !strings.Contains(t.String(), "interp.valueInterface") {
		return t.String()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + r.typeText(t.Elem())
	case reflect.Slice:
		return "[]" + r.typeText(t.Elem())
	case reflect.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), r.typeText(t.Elem()))
	case reflect.Map:
		return "map[" + r.typeText(t.Key()) + "]" + r.typeText(t.Elem())
	case reflect.Chan:
		return t.ChanDir().String() + " " + r.typeText(t.Elem())
	case reflect.Func:
		var in, out []string
		for i := range t.NumIn() {
			in = append(in, r.typeText(t.In(i)))
		}
		if t.IsVariadic() {
			in[len(in)-1] = "..." + strings.TrimPrefix(in[len(in)-1], "[]")
		}
		for i := range t.NumOut() {
			out = append(out, r.typeText(t.Out(i)))
		}
		text := "func(" + strings.Join(in, ", ") + ")"
		switch len(out) {
		case 0:
			return text
		case 1:
			return text + " " + out[0]
		}
		return text + " (" + strings.Join(out, ", ") + ")"
	case reflect.Struct:
		var fs []string
		for f := range t.Fields() {
			fs = append(fs, f.Name+" "+r.typeText(f.Type))
		}
		return "struct { " + strings.Join(fs, "; ") + " }"
	}
	return t.String()
}

// panicValue takes a panic value out of yaegi's representations of it.
func panicValue(v any) any {
	if p, ok := v.(interp.Panic); ok {
		v = p.Value
	}
	rv, ok := v.(reflect.Value)
	if !ok {
		rv = reflect.ValueOf(v)
	}
	if rv, _ = plain(rv); rv.IsValid() && rv.CanInterface() {
		return rv.Interface()
	}
	return v
}

// panicText is panicText with the session's own Error and String methods.
func (r *rt) panicText(v any) string {
	if p, ok := v.(interp.Panic); ok {
		v = p.Value
	}
	rv, ok := v.(reflect.Value)
	if !ok {
		rv = reflect.ValueOf(v)
	}
	if inner, name := plain(rv); name != "" {
		if t := r.dynamic(name); t != nil {
			p := &printer{r: r, plus: true}
			p.value(inner, t)
			return p.b.String()
		}
	}
	return panicText(v)
}

// panicText words a panic value as compiled Go would: yaegi's own checks
// are package reflect's.
func panicText(v any) string {
	m := ""
	switch x := panicValue(v).(type) {
	case error:
		m = x.Error()
	case fmt.Stringer:
		m = x.String()
	case string:
		m = x
	default:
		m = fmt.Sprint(x)
	}
	m = positionPrefix.ReplaceAllString(m, "")
	switch {
	case strings.Contains(m, "on zero Value"), strings.Contains(m, "reflect: call of") && strings.Contains(m, "on zero"), strings.Contains(m, "reflect: Method on nil"):
		return "runtime error: invalid memory address or nil pointer dereference"
	case strings.Contains(m, "reflect: slice index out of range"), strings.Contains(m, "reflect: array index out of range"), strings.Contains(m, "reflect: string index out of range"):
		return "runtime error: index out of range"
	case strings.Contains(m, "reflect.Value.Slice") && strings.Contains(m, "out of"):
		return "runtime error: slice bounds out of range"
	case m == "reflect.MakeSlice: negative len":
		return "runtime error: makeslice: len out of range"
	case m == "reflect.MakeSlice: negative cap", m == "reflect.MakeSlice: len > cap":
		return "runtime error: makeslice: cap out of range"
	case m == "reflect.MakeChan: negative buffer size":
		return "makechan: size out of range"
	}
	return m
}

// recovered is what recover returns for a panic value.
func recovered(v any) any {
	if p, ok := v.(interp.Panic); ok {
		v = p.Value
	}
	if rv, ok := v.(reflect.Value); ok && rv.IsValid() && rv.CanInterface() {
		v = rv.Interface()
	}
	if _, name := plain(reflect.ValueOf(v)); name != "" { // which only the interpreter's form has
		return v
	}
	v = panicValue(v)
	switch x := v.(type) {
	case string:
		if t := panicText(x); t != x || strings.HasPrefix(x, "reflect") {
			return runtimeError(t)
		}
	case *reflect.ValueError:
		return runtimeError(panicText(x))
	case error:
		if reflect.TypeOf(x).String() == "*interp.cfgError" { // a failed assertion
			return runtimeError(panicText(x))
		}
	}
	return v
}

// runtimeError stands for the runtime.Error compiled code would panic with.
type runtimeError string

func (e runtimeError) Error() string { return string(e) }
func (runtimeError) RuntimeError()   {}

// sortedKeys returns a map's keys in the order fmt prints them.
func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	sortValues(keys)
	return keys
}
