package display

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
)

// HTML is shown as HTML.
type HTML string

// Markdown is shown as Markdown, formulas between dollars included.
type Markdown string

// Latex is a formula, with or without its dollars.
type Latex string

// SVG is the text of an SVG picture.
type SVG string

// PNG holds a picture in the PNG format.
type PNG []byte

// JPEG holds a picture in the JPEG format.
type JPEG []byte

// JSON is JSON text, shown as a tree that folds. [JSONOf] makes it of any value.
type JSON string

// A Custom shows what its functions return, in as many forms as are set. It
// gives a rich form to a value without declaring methods, and it is how the
// kernel passes on the methods of a cell's own types, which reflection does
// not see.
type Custom struct {
	Value                            any // rendered by the usual rules where no function says more
	Text, HTML, Markdown, Latex, SVG func() string
	PNG, JPEG                        func() []byte
}

// String returns the plain form.
func (c Custom) String() string {
	if c.Text != nil {
		return c.Text()
	}
	return Text(c.Value)
}

// JSONOf returns v as JSON. NaN and infinities, which JSON cannot hold,
// become null; what has no JSON form at all becomes a string of its text.
func JSONOf(v any) JSON {
	if text, err := marshal(v); err == nil {
		return JSON(text)
	}
	if text, err := marshal(finite(reflect.ValueOf(v), nil)); err == nil {
		return JSON(text)
	}
	text, _ := marshal(Text(v))
	return JSON(text)
}

// marshal is json.Marshal that keeps <, > and & legible and survives a panic
// of a value's own MarshalJSON.
func marshal(v any) (text []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicError{r}
		}
	}()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// finite copies v into plain maps and slices that encoding/json accepts. path
// holds what is being copied, to see cycles.
func finite(v reflect.Value, path []uintptr) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if v.IsNil() {
			return nil
		}
		if slices.Contains(path, v.Pointer()) {
			return "…"
		}
		path = append(path, v.Pointer())
	}
	switch v.Kind() {
	case reflect.Invalid, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return nil
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil
		}
		return v.Float()
	case reflect.Complex64, reflect.Complex128:
		c := v.Complex()
		return []any{finite(reflect.ValueOf(real(c)), path), finite(reflect.ValueOf(imag(c)), path)}
	case reflect.Pointer, reflect.Interface:
		return finite(v.Elem(), path)
	case reflect.Slice, reflect.Array:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = finite(v.Index(i), path)
		}
		return out
	case reflect.Map:
		out := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			out[brief(it.Key(), wordLimit)] = finite(it.Value(), path)
		}
		return out
	case reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				out[f.Name] = finite(v.Field(i), path)
			}
		}
		return out
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	}
	if v.CanInt() {
		return v.Int()
	}
	if v.CanUint() {
		return v.Uint()
	}
	return nil
}
