package session

import (
	"reflect"
	"sync"
	"unsafe"
)

// yaegi holds a value of an interface of the session as a pair of a node of its
// own, which is another at each place of the program, and a reflect.Value, which
// points to the value. Two such pairs are equal only by chance, and so are the
// structs and arrays that hold them: as keys of maps they are put into one form,
// and they are compared by what they hold.

// pair is yaegi's valueInterface.
type pair struct {
	node  unsafe.Pointer
	value reflect.Value
}

// forms are the forms of values that have been keys.
type forms struct {
	mu     sync.Mutex
	nodes  map[nodeOf]unsafe.Pointer
	values map[valueOf]pair // those that a reflect.Value points to
}

type nodeOf struct {
	name string // of a session type
	t    reflect.Type
}

type valueOf struct {
	name string
	v    any
}

// same puts the key that p points to into the form of those that equal it.
func (r *rt) same(p any) {
	r.forms.mu.Lock()
	defer r.forms.mu.Unlock()
	r.putForm(reflect.ValueOf(p).Elem())
}

func (r *rt) putForm(v reflect.Value) {
	f := &r.forms
	switch {
	case v.Kind() == reflect.Interface && v.NumMethod() == 0 && !v.IsNil(): // of any: the value itself, where package reflect has its type
		in, name := plain(v)
		if !in.IsValid() {
			v.SetZero()
			return
		}
		c := reflect.New(in.Type()).Elem()
		c.Set(in)
		if r.dynamic(name) != nil && r.typeBehind(in.Type()) == nil && isPair(v.Elem()) {
			c = reflect.New(v.Elem().Type()).Elem()
			c.Set(v.Elem())
		}
		r.putForm(c)
		v.Set(c)
	case isPair(v):
		p := (*pair)(v.Addr().UnsafePointer())
		in, name := plain(v)
		if !in.IsValid() {
			*p = pair{}
			return
		}
		c := reflect.New(in.Type()).Elem()
		c.Set(in)
		r.putForm(c)
		key := nodeOf{name, c.Type()}
		node, ok := f.nodes[key]
		if !ok {
			if f.nodes == nil {
				f.nodes, f.values = map[nodeOf]unsafe.Pointer{}, map[valueOf]pair{}
			}
			node = p.node
			f.nodes[key] = node
		}
		x := c.Interface()
		if c.Kind() == reflect.Pointer || c.Kind() == reflect.Chan { // which a reflect.Value holds itself
			*p = pair{node, reflect.ValueOf(x)}
			return
		}
		one, ok := f.values[valueOf{name, x}]
		if !ok {
			one = pair{node, reflect.ValueOf(x)}
			f.values[valueOf{name, x}] = one
		}
		*p = one
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			r.putForm(field(v, i))
		}
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			r.putForm(v.Index(i))
		}
	}
}

// errorKey is a key of type error: of a cell's type yaegi makes a struct of
// functions, which cannot be one. The text tells types apart that package reflect
// does not.
type errorKey struct {
	value any
	text  string
}

func (k errorKey) Error() string { return k.text }

// keyOf is the form of an error as a key.
func keyOf(err error) error {
	v, _ := plain(reflect.ValueOf(unwrap(err)))
	if _, compiled := unwrap(err).(error); compiled || !v.IsValid() || !v.CanInterface() {
		return err
	}
	return errorKey{v.Interface(), err.Error()}
}

func isPair(v reflect.Value) bool {
	return v.Kind() == reflect.Struct && v.Type().String() == "interp.valueInterface"
}

// field is a field of an addressable struct that can be read and set.
func field(v reflect.Value, i int) reflect.Value {
	f := v.Field(i)
	return reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()
}

// equalParts compares two structs or arrays of one type that hold interfaces.
func (r *rt) equalParts(a, b any) bool {
	place := func(x any) reflect.Value {
		c := reflect.New(reflect.TypeOf(x)).Elem()
		c.Set(reflect.ValueOf(x))
		return c
	}
	return r.equalPlaces(place(a), place(b))
}

func (r *rt) equalPlaces(x, y reflect.Value) bool {
	if isPair(x) || x.Kind() == reflect.Interface {
		a, b := x.Interface(), y.Interface()
		return r.equalAny(&a, &b)
	}
	switch x.Kind() {
	case reflect.Struct:
		for i := range x.NumField() {
			if !r.equalPlaces(field(x, i), field(y, i)) {
				return false
			}
		}
		return true
	case reflect.Array:
		for i := range x.Len() {
			if !r.equalPlaces(x.Index(i), y.Index(i)) {
				return false
			}
		}
		return true
	}
	return x.Equal(y)
}
