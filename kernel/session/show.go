package session

import (
	"cmp"
	"fmt"
	"go/types"
	"reflect"
	"slices"

	"github.com/gonvex/gonvex/kernel/display"
)

// bundle renders the values of the last expression, nil if there are none.
func (r *rt) bundle(vals []shown) *display.Bundle {
	if len(vals) == 0 {
		return nil
	}
	var rendered []any
	for _, s := range vals {
		rendered = append(rendered, r.custom(s))
	}
	b := display.Bundle{}
	if len(rendered) == 1 {
		b = display.Render(rendered[0])
	} else {
		b = display.RenderAll(rendered...)
	}
	return &b
}

// custom is the value to render, with the text and the rich forms that only
// the session knows for its own types.
func (r *rt) custom(s shown) any {
	v, t := r.held(reflect.ValueOf(s.value))
	if !v.IsValid() {
		return nil
	}
	if !types.IsInterface(s.static) {
		t = s.static
	}
	if t == nil {
		return v.Interface()
	}
	if sg, ok := t.Underlying().(*types.Signature); ok && v.Kind() == reflect.Func && !v.IsNil() {
		return display.Custom{Text: func() string { return typeString(sg) }}
	}
	if !opaque(t) {
		return v.Interface()
	}
	p := &printer{r: r, plus: true, show: true}
	p.value(v, t)
	text := p.b.String()
	c := display.Custom{Text: func() string { return text }}
	text1 := func(name string) func() string {
		if out, ok := r.callMethod(v, t, name, true); ok && out[0].Kind() == reflect.String {
			s := out[0].String()
			return func() string { return s }
		}
		return nil
	}
	c.HTML, c.Markdown, c.Latex, c.SVG = text1("HTML"), text1("Markdown"), text1("Latex"), text1("SVG")
	bytes1 := func(name string) func() []byte {
		if out, ok := r.callMethod(v, t, name, true); ok {
			if b, ok := out[0].Interface().([]byte); ok {
				return func() []byte { return b }
			}
		}
		return nil
	}
	c.PNG, c.JPEG = bytes1("PNG"), bytes1("JPEG")
	if c.HTML == nil && c.Markdown == nil && c.Latex == nil && c.SVG == nil && c.PNG == nil && c.JPEG == nil {
		if tab, ok := r.table(v, t); ok {
			html, _ := display.Render(tab).Data[display.MIMEHTML].(string)
			c.HTML = func() string { return html }
		}
	}
	return c
}

// sortValues orders map keys as package fmt does.
func sortValues(keys []reflect.Value) { slices.SortFunc(keys, compareKeys) }

func compareKeys(a, b reflect.Value) int {
	a, _ = plain(a)
	b, _ = plain(b)
	switch {
	case !a.IsValid() || !b.IsValid(): // nil comes first
		return cmp.Compare(boolInt(a.IsValid()), boolInt(b.IsValid()))
	case a.Kind() != b.Kind():
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.CanFloat():
		return cmp.Compare(a.Float(), b.Float())
	case a.CanComplex():
		x, y := a.Complex(), b.Complex()
		return cmp.Or(cmp.Compare(real(x), real(y)), cmp.Compare(imag(x), imag(y)))
	}
	switch a.Kind() {
	case reflect.Bool:
		return cmp.Compare(boolInt(a.Bool()), boolInt(b.Bool()))
	case reflect.String:
		return cmp.Compare(a.String(), b.String())
	case reflect.Pointer, reflect.Chan, reflect.UnsafePointer:
		return cmp.Compare(a.Pointer(), b.Pointer())
	case reflect.Struct:
		for i := range min(a.NumField(), b.NumField()) {
			if c := compareKeys(a.Field(i), b.Field(i)); c != 0 {
				return c
			}
		}
	case reflect.Array:
		for i := range min(a.Len(), b.Len()) {
			if c := compareKeys(a.Index(i), b.Index(i)); c != 0 {
				return c
			}
		}
	}
	return 0
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
