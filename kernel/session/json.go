package session

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"go/types"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Package encoding/json sees the session's types as package reflect does: with
// no methods, and with embedded structs as fields. So what goes to it from
// cells is written and read here, by the types that the checker knows; what
// has neither methods nor embedded structs in it is left to json.

// jsonArgument is the function of package R_ around argument i of a call of
// package json, "" if there is none.
func jsonArgument(f types.Object, i int) string {
	if f.Pkg().Path() != "encoding/json" {
		return ""
	}
	switch {
	case (f.Name() == "Marshal" || f.Name() == "MarshalIndent" || f.Name() == "Encode") && i == 0:
		return "JSON"
	case f.Name() == "Unmarshal" && i == 1, f.Name() == "Decode" && i == 0:
		return "FromJSON"
	}
	return ""
}

// jsonValue is a value to be written as one of type t; as a target, a pointer
// to what is to be read.
type jsonValue struct {
	r *rt
	v reflect.Value
	t types.Type
}

// json is called by emitted code around what is written, and around pointers
// to what is read.
func (r *rt) json(id int, x any) any {
	if x == nil {
		return nil
	}
	return jsonValue{r, reflect.ValueOf(x), r.typeOf(id)}
}

// json returns what package json is to be given.
func (j jsonValue) json() any {
	if special(j.t) {
		return j
	}
	return j.v.Interface()
}

// jsonAny is json for a value of interface type, in the interpreter's form.
func (r *rt) jsonAny(x *any) any {
	v, name := plain(reflect.ValueOf(*x))
	t := r.dynamic(name)
	if t == nil && v.IsValid() {
		t = r.typeBehind(v.Type())
	}
	switch {
	case !v.IsValid():
		return nil
	case !v.CanInterface():
		return *x
	case t == nil && !holdsAny(v):
		return v.Interface()
	}
	return jsonValue{r, v, t}
}

func (r *rt) fromJSON(id int, x any) any {
	if j, ok := r.json(id, x).(jsonValue); ok {
		return &j
	}
	return nil
}

// fromJSONAny is fromJSON for a pointer in an interface.
func (r *rt) fromJSONAny(x *any) any {
	if j, ok := r.jsonAny(x).(jsonValue); ok && j.t != nil {
		return &j
	} else if ok {
		return j.v.Interface()
	}
	return unwrap(*x)
}

// target is what package json is to be given to read into, and its type if that
// is the session's.
func target(x any) (any, types.Type) {
	j, ok := x.(*jsonValue)
	switch {
	case !ok:
		return x, nil
	case special(j.t) && j.v.Kind() == reflect.Pointer && !j.v.IsNil():
		return j, j.t
	}
	return j.v.Interface(), j.t
}

func (r *rt) marshal(v any) ([]byte, error) {
	v, t := source(v)
	b, err := json.Marshal(v)
	return b, r.jsonError(err, t)
}

func (r *rt) marshalIndent(v any, prefix, indent string) ([]byte, error) {
	v, t := source(v)
	b, err := json.MarshalIndent(v, prefix, indent)
	return b, r.jsonError(err, t)
}

// encode and decode are the methods of package json's encoders and decoders.
func (r *rt) encode(e *json.Encoder, v any) error {
	v, t := source(v)
	return r.jsonError(e.Encode(v), t)
}

func (r *rt) decode(d *json.Decoder, v any) error {
	v, t := target(v)
	return r.jsonError(d.Decode(v), t)
}

func (r *rt) unmarshal(data []byte, v any) error {
	v, t := target(v)
	return r.jsonError(json.Unmarshal(data, v), t)
}

func source(x any) (any, types.Type) {
	if j, ok := x.(jsonValue); ok {
		return j.json(), j.t
	}
	return x, nil
}

var codecs = []string{"MarshalJSON", "MarshalText", "UnmarshalJSON", "UnmarshalText"}

// special tells a type in which json would miss something.
func special(t types.Type) bool {
	seen := map[types.Type]bool{}
	var walk func(types.Type) bool
	walk = func(t types.Type) bool {
		t = types.Unalias(t)
		if seen[t] {
			return false
		}
		seen[t] = true
		if n, ok := t.(*types.Named); ok {
			if !inMain(n.Obj()) {
				return false
			}
			if slices.ContainsFunc(codecs, func(name string) bool { return hasMethod(n, name) }) {
				return true
			}
		}
		switch u := t.Underlying().(type) {
		case *types.Interface:
			return true
		case *types.Pointer:
			return walk(u.Elem())
		case *types.Slice:
			return walk(u.Elem())
		case *types.Array:
			return walk(u.Elem())
		case *types.Map:
			return walk(u.Key()) || walk(u.Elem())
		case *types.Struct:
			for f := range u.Fields() {
				if f.Embedded() || f.Exported() && walk(f.Type()) {
					return true
				}
			}
		}
		return false
	}
	return walk(t)
}

// hasMethod tells whether a type or a pointer to it has a method.
func hasMethod(n *types.Named, name string) bool {
	o, _, _ := types.LookupFieldOrMethod(types.NewPointer(n), true, n.Obj().Pkg(), name)
	_, ok := o.(*types.Func)
	return ok
}

// MarshalJSON makes json write what is written here.
func (j jsonValue) MarshalJSON() ([]byte, error) { return j.r.toJSON(j.v, j.t) }

// method calls one of the codecs; results are bytes, if there are any, and an error.
func (r *rt) codec(v reflect.Value, t types.Type, name string, args ...reflect.Value) ([]byte, error, bool) {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, nil, false
	}
	out, ok := r.callMethod(v, t, name, v.CanAddr(), args...)
	if !ok {
		return nil, nil, false
	}
	b, _ := out[0].Interface().([]byte)
	if err, ok := out[len(out)-1].Interface().(error); ok {
		if strings.HasPrefix(name, "Unmarshal") {
			return nil, err, true
		}
		return nil, fmt.Errorf("json: error calling %s for type %s: %w", name, typeString(t), err), true
	}
	if s, ok := out[0].Interface().(string); ok && len(out) == 1 { // the text of a panic
		return nil, errors.New(s), true
	}
	return b, nil, true
}

func (r *rt) toJSON(v reflect.Value, t types.Type) ([]byte, error) {
	if t == nil || types.IsInterface(t) {
		var name string
		v, name = plain(v)
		if !v.IsValid() {
			return []byte("null"), nil
		}
		if t = r.dynamic(name); t == nil {
			t = r.typeBehind(v.Type())
		}
	}
	if t == nil && holdsAny(v) {
		return r.elementsToJSON(v, nil, nil)
	}
	if t == nil || !special(t) {
		return json.Marshal(v.Interface())
	}
	if b, err, ok := r.codec(v, t, "MarshalJSON"); ok {
		return b, err
	}
	if b, err, ok := r.codec(v, t, "MarshalText"); ok {
		if err != nil {
			return nil, err
		}
		return json.Marshal(string(b))
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		if v.IsNil() {
			return []byte("null"), nil
		}
		return r.toJSON(v.Elem(), u.Elem())
	case *types.Slice:
		return r.elementsToJSON(v, nil, u.Elem())
	case *types.Array:
		return r.elementsToJSON(v, nil, u.Elem())
	case *types.Map:
		return r.elementsToJSON(v, u.Key(), u.Elem())
	case *types.Struct:
		var members []string
		for _, f := range jsonFields(v, u, false) {
			if f.omits() {
				continue
			}
			b, err := r.toJSON(f.v, f.t)
			if err != nil {
				return nil, err
			}
			if f.has("string") && f.v.Kind() <= reflect.Float64 {
				b = []byte(strconv.Quote(string(b)))
			}
			members = append(members, member(f.name, b))
		}
		return []byte("{" + strings.Join(members, ",") + "}"), nil
	}
	return json.Marshal(v.Interface())
}

func member(name string, value []byte) string {
	key, _ := json.Marshal(name)
	return string(key) + ":" + string(value)
}

// elementsToJSON writes a slice, array or map; types are nil for any.
func (r *rt) elementsToJSON(v reflect.Value, key, elem types.Type) ([]byte, error) {
	if v.Kind() != reflect.Array && v.IsNil() {
		return []byte("null"), nil
	}
	var parts []string
	if v.Kind() != reflect.Map {
		for i := range v.Len() {
			b, err := r.toJSON(v.Index(i), elem)
			if err != nil {
				return nil, err
			}
			parts = append(parts, string(b))
		}
		return []byte("[" + strings.Join(parts, ",") + "]"), nil
	}
	if r.typeText(v.Type().Key()) == "interface {}" {
		return nil, &json.UnsupportedTypeError{Type: v.Type()}
	}
	names := map[string]reflect.Value{}
	for _, k := range v.MapKeys() {
		name, err := r.keyToJSON(k, key)
		if err != nil {
			return nil, err
		}
		names[name] = k
	}
	for name := range names {
		parts = append(parts, name)
	}
	slices.Sort(parts)
	for i, name := range parts {
		b, err := r.toJSON(v.MapIndex(names[name]), elem)
		if err != nil {
			return nil, err
		}
		parts[i] = member(name, b)
	}
	return []byte("{" + strings.Join(parts, ",") + "}"), nil
}

func (r *rt) keyToJSON(k reflect.Value, t types.Type) (string, error) {
	k, name := plain(k)
	if d := r.dynamic(name); d != nil {
		t = d
	}
	if t != nil && k.Kind() != reflect.String {
		if b, err, ok := r.codec(k, t, "MarshalText"); ok {
			return string(b), err
		}
	}
	switch {
	case k.Kind() == reflect.String:
		return k.String(), nil
	case k.CanInt() || k.CanUint():
		return fmt.Sprint(k.Interface()), nil
	}
	if m, ok := k.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		return string(b), err
	}
	return "", fmt.Errorf("json: unsupported type: a map with keys of type %s", k.Type())
}

// jsonField is a field as json knows it.
type jsonField struct {
	name    string
	options []string
	v       reflect.Value
	t       types.Type
	depth   int
	tagged  bool
	path    string // of the structs it is embedded in, as "A.B."
}

func (f jsonField) has(option string) bool { return slices.Contains(f.options, option) }

// omits tells a field that its tag leaves out.
func (f jsonField) omits() bool {
	switch f.v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return f.has("omitempty") && f.v.Len() == 0 || f.has("omitzero") && f.v.IsZero()
	case reflect.Struct:
		if inner, _ := plain(f.v); !inner.IsValid() {
			return f.has("omitempty") || f.has("omitzero")
		}
		return f.has("omitzero") && f.v.IsZero()
	}
	return (f.has("omitempty") || f.has("omitzero")) && f.v.IsZero()
}

// jsonFields lists the fields of a struct with those of the structs embedded
// in it. Of one name the least deep counts, and of those the one with a tag.
// To be read into, embedded pointers are made to point at something.
func jsonFields(v reflect.Value, u *types.Struct, read bool) []jsonField {
	var all []jsonField
	var collect func(v reflect.Value, u *types.Struct, path string, depth int)
	collect = func(v reflect.Value, u *types.Struct, path string, depth int) {
		for i := range u.NumFields() {
			f := u.Field(i)
			tag := reflect.StructTag(u.Tag(i)).Get("json")
			if tag == "-" {
				continue
			}
			name, options, _ := strings.Cut(tag, ",")
			fv, t := v.Field(i), f.Type()
			if f.Embedded() && name == "" {
				if p, ok := t.Underlying().(*types.Pointer); ok {
					t = p.Elem()
					if fv.IsNil() && read {
						fv.Set(reflect.New(fv.Type().Elem()))
					}
					if fv = fv.Elem(); !fv.IsValid() {
						continue
					}
				}
				if st, ok := t.Underlying().(*types.Struct); ok {
					collect(fv, st, path+f.Name()+".", depth+1)
					continue
				}
			}
			if !f.Exported() {
				continue
			}
			jf := jsonField{f.Name(), strings.Split(options, ","), fv, t, depth, name != "", path}
			if name != "" {
				jf.name = name
			}
			all = append(all, jf)
		}
	}
	collect(v, u, "", 0)
	return slices.DeleteFunc(slices.Clone(all), func(f jsonField) bool {
		return slices.ContainsFunc(all, func(g jsonField) bool {
			return g.name == f.name && g.v != f.v && (g.depth < f.depth || g.depth == f.depth && (g.tagged || !f.tagged))
		})
	})
}

// UnmarshalJSON reads into what the pointer j.v points to.
func (j *jsonValue) UnmarshalJSON(data []byte) error { return j.r.readJSON(data, j.v, j.t) }

// readJSON reads into the value v; a pointer at the top is followed.
func (r *rt) readJSON(data []byte, v reflect.Value, t types.Type) error {
	data = bytes.TrimSpace(data)
	null := string(data) == "null"
	if p, ok := t.Underlying().(*types.Pointer); ok {
		switch {
		case null && v.CanSet():
			v.SetZero()
			return nil
		case null:
			return nil
		case v.IsNil():
			v.Set(reflect.New(v.Type().Elem()))
		}
		return r.readJSON(data, v.Elem(), p.Elem())
	}
	at, pt := v.Addr(), types.NewPointer(t)
	if types.IsInterface(t) || !special(t) {
		return json.Unmarshal(data, at.Interface())
	}
	if _, err, ok := r.codec(at, pt, "UnmarshalJSON", reflect.ValueOf(data)); ok {
		return err
	}
	if n := sessionNamed(t); n != nil && !null && hasMethod(n, "UnmarshalText") {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return intoType(err, v.Type())
		}
		if _, err, ok := r.codec(at, pt, "UnmarshalText", reflect.ValueOf([]byte(text))); ok {
			return err
		}
	}
	if null {
		switch v.Kind() {
		case reflect.Slice, reflect.Map:
			v.SetZero()
		}
		return nil
	}
	var items []json.RawMessage
	var members map[string]json.RawMessage
	switch u := t.Underlying().(type) {
	case *types.Slice:
		if err := json.Unmarshal(data, &items); err != nil {
			return intoType(err, v.Type())
		}
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
		for i, item := range items {
			if err := r.readJSON(item, v.Index(i), u.Elem()); err != nil {
				return err
			}
		}
		return nil
	case *types.Array:
		if err := json.Unmarshal(data, &items); err != nil {
			return intoType(err, v.Type())
		}
		for i := range v.Len() {
			if v.Index(i).SetZero(); i >= len(items) {
				continue
			}
			if err := r.readJSON(items[i], v.Index(i), u.Elem()); err != nil {
				return err
			}
		}
		return nil
	case *types.Map:
		if err := json.Unmarshal(data, &members); err != nil {
			return intoType(err, v.Type())
		}
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		for name, item := range members {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			if err := r.readKey(name, key, u.Key()); err != nil {
				return err
			}
			if err := r.readJSON(item, elem, u.Elem()); err != nil {
				return err
			}
			v.SetMapIndex(key, elem)
		}
		return nil
	case *types.Struct:
		if err := json.Unmarshal(data, &members); err != nil {
			return intoType(err, v.Type())
		}
		var first error // of the wrong type, which does not keep the others from being read
		for _, f := range jsonFields(v, u, true) {
			item, ok := members[f.name]
			for name := range members {
				if !ok && strings.EqualFold(name, f.name) {
					item, ok = members[name], true
				}
			}
			if !ok {
				continue
			}
			var te *json.UnmarshalTypeError
			if err := r.readJSON(item, f.v, f.t); errors.As(err, &te) {
				te.Field = strings.TrimSuffix(f.path+f.name+"."+te.Field, ".")
				first = cmp.Or(first, err)
			} else if err != nil {
				return err
			}
		}
		return first
	}
	return json.Unmarshal(data, at.Interface())
}

func (r *rt) readKey(name string, key reflect.Value, t types.Type) error {
	if _, err, ok := r.codec(key.Addr(), types.NewPointer(t), "UnmarshalText", reflect.ValueOf([]byte(name))); ok {
		return err
	}
	if key.Kind() == reflect.String {
		key.SetString(name)
		return nil
	}
	return json.Unmarshal([]byte(name), key.Addr().Interface())
}

// intoType is an error of reading a value into one of type t by way of another type.
func intoType(err error, t reflect.Type) error {
	if te, ok := err.(*json.UnmarshalTypeError); ok {
		te.Type = t
	}
	return err
}

// typedError is an error of package json whose text has the session's types in it.
type typedError struct {
	error
	text string
}

func (e typedError) Error() string { return e.text }
func (e typedError) Unwrap() error { return e.error }

// jsonError takes this file's own type out of an error of package json about a
// value of type t, and names the session's types as the user does.
func (r *rt) jsonError(err error, t types.Type) error {
	switch e := err.(type) {
	case *json.MarshalerError:
		if e.Type == reflect.TypeFor[jsonValue]() {
			return r.jsonError(e.Unwrap(), t)
		}
	case *json.UnmarshalTypeError:
		if t == nil {
			break
		}
		name := r.typeText(e.Type)
		if e.Field != "" {
			e.Struct, t = jsonPlace(t, strings.Split(e.Field, "."))
		}
		for t != nil { // the error may be of an element
			_, st := t.Underlying().(*types.Struct)
			if st && e.Type.Kind() == reflect.Struct || t.Underlying().String() == e.Type.String() {
				name = typeString(t)
				break
			}
			t = elementOf(t)
		}
		if name != e.Type.String() {
			return typedError{err, strings.TrimSuffix(err.Error(), e.Type.String()) + name}
		}
	case *json.InvalidUnmarshalError:
		if t == nil {
			break
		}
		if e.Type.Kind() == reflect.Pointer {
			return typedError{err, "json: Unmarshal(nil " + typeString(t) + ")"}
		}
		return typedError{err, "json: Unmarshal(non-pointer " + typeString(t) + ")"}
	case *json.UnsupportedTypeError:
		return typedError{err, "json: unsupported type: " + r.typeText(e.Type)}
	case *json.UnsupportedValueError:
		if text, of := strings.CutSuffix(e.Str, "via "+e.Value.Type().String()); of {
			return typedError{err, "json: unsupported value: " + text + "via " + r.typeText(e.Value.Type())}
		}
	}
	return err
}

// elementOf is the type of what a value of type t holds, nil if it holds nothing.
func elementOf(t types.Type) types.Type {
	if e, ok := t.Underlying().(interface{ Elem() types.Type }); ok {
		return e.Elem()
	}
	return nil
}

// jsonPlace is the type of the field that a path of names leads to, and the name
// of the struct that has it; nil if there is none.
func jsonPlace(t types.Type, path []string) (string, types.Type) {
	name, inEmbedded := "", false
	for _, p := range path {
		_, st := t.Underlying().(*types.Struct)
		for ; t != nil && !st; _, st = t.Underlying().(*types.Struct) {
			if t = elementOf(t); t == nil {
				return "", nil
			}
		}
		u := t.Underlying().(*types.Struct)
		if !inEmbedded {
			name = ""
			if n, ok := types.Unalias(t).(*types.Named); ok {
				name = ownTypes(n.Obj().Name())
			}
		}
		t = nil
		for k := range u.NumFields() {
			tag, _, _ := strings.Cut(reflect.StructTag(u.Tag(k)).Get("json"), ",")
			if cmp.Or(tag, u.Field(k).Name()) == p {
				t, inEmbedded = u.Field(k).Type(), u.Field(k).Embedded() && tag == ""
			}
		}
		if t == nil {
			return name, nil
		}
	}
	return name, t
}
