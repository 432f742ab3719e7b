package display

import (
	"cmp"
	"fmt"
	"image"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/plot"
)

// Bounds on what is shown of a value. They keep a careless last line (a
// million rows, a cyclic list) from filling the notebook file.
const (
	maxDepth = 8       // levels of nesting
	maxText  = 1 << 16 // bytes of text/plain
	maxItems = 200     // elements of a slice or map in text/plain …
	headTail = 20      // … of which, beyond that, the first 20 and the last 20
)

// Text returns the plain form of v: what fmt prints for %+v, with three
// differences. A string is quoted; a pointer inside a value shows what it
// points to rather than an address; long, deep and cyclic values are elided.
func Text(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(clip(s, maxText))
	}
	p := writer{limit: maxText}
	p.value(reflect.ValueOf(v), 0)
	return p.String()
}

// brief returns the text of a value for one cell of a table: one line, short.
func brief(v reflect.Value, limit int) string {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.IsValid() && v.Kind() == reflect.String && !hasText(v) {
		return oneLine(v.String(), limit)
	}
	p := writer{limit: 4 * limit, nested: true}
	p.value(v, 0)
	return oneLine(p.String(), limit)
}

// oneLine folds s to one line of at most limit runes.
func oneLine(s string, limit int) string {
	s = clip(s, 8*limit)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit-1]) + "…"
	}
	return s
}

// clip cuts s to at most limit bytes, at a rune boundary.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// writer writes one value within bounds.
type writer struct {
	strings.Builder
	limit  int
	nested bool      // the value is part of a table: matrices by shape only
	flat   bool      // pointers are not followed
	path   []uintptr // pointers being followed, to see cycles
}

func (p *writer) full() bool { return p.Len() > p.limit }

func (p *writer) value(v reflect.Value, depth int) {
	if p.full() {
		return
	}
	if !v.IsValid() {
		p.WriteString("<nil>")
		return
	}
	if depth > maxDepth {
		p.WriteString("…")
		return
	}
	if s, ok := p.ownText(v, depth); ok {
		p.WriteString(clip(s, max(p.limit-p.Len(), 0)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		p.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Float32:
		fmt.Fprint(p, float32(v.Float()))
	case reflect.Float64:
		fmt.Fprint(p, v.Float())
	case reflect.Complex64:
		fmt.Fprint(p, complex64(v.Complex()))
	case reflect.Complex128:
		fmt.Fprint(p, v.Complex())
	case reflect.String:
		p.WriteString(clip(v.String(), max(p.limit-p.Len(), 0)))
	case reflect.Interface:
		p.value(v.Elem(), depth)
	case reflect.Pointer:
		p.pointer(v, depth)
	case reflect.Struct:
		p.WriteByte('{')
		for i := range v.NumField() {
			if i > 0 {
				p.WriteByte(' ')
			}
			p.WriteString(v.Type().Field(i).Name)
			p.WriteByte(':')
			p.value(v.Field(i), depth+1)
		}
		p.WriteByte('}')
	case reflect.Slice, reflect.Array:
		p.WriteByte('[')
		p.list(v.Len(), func(i int) { p.value(v.Index(i), depth+1) })
		p.WriteByte(']')
	case reflect.Map:
		p.WriteString("map[")
		if p.enter(v) {
			keys := sortedKeys(v)
			p.list(len(keys), func(i int) {
				p.value(keys[i], depth+1)
				p.WriteByte(':')
				p.value(v.MapIndex(keys[i]), depth+1)
			})
			p.leave()
		} else {
			p.WriteString("…")
		}
		p.WriteByte(']')
	case reflect.Func:
		if v.IsNil() {
			p.WriteString("<nil>")
			return
		}
		p.WriteString(v.Type().String())
	case reflect.Chan:
		if v.IsNil() {
			p.WriteString("<nil>")
			return
		}
		fmt.Fprintf(p, "%s (%d of %d)", v.Type(), v.Len(), v.Cap())
	case reflect.UnsafePointer:
		p.WriteString("unsafe.Pointer")
	default:
		switch {
		case v.CanInt():
			p.WriteString(strconv.FormatInt(v.Int(), 10))
		case v.CanUint():
			p.WriteString(strconv.FormatUint(v.Uint(), 10))
		default:
			p.WriteString(v.Type().String())
		}
	}
}

// list writes n elements, eliding the middle of a long list.
func (p *writer) list(n int, write func(i int)) {
	for i := 0; i < n; i++ {
		if i > 0 {
			p.WriteByte(' ')
		}
		if p.full() {
			fmt.Fprintf(p, "… %d in all", n)
			return
		}
		if n > maxItems && i == headTail {
			fmt.Fprintf(p, "…%d more… ", n-2*headTail)
			i = n - headTail
		}
		write(i)
	}
}

func (p *writer) pointer(v reflect.Value, depth int) {
	if v.IsNil() {
		p.WriteString("<nil>")
		return
	}
	if p.flat || !p.enter(v) {
		p.WriteString("…")
		return
	}
	defer p.leave()
	switch v.Elem().Kind() {
	case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		p.WriteByte('&')
	}
	p.value(v.Elem(), depth+1)
}

// enter notes that what v points to is being written; it reports false when it
// already was, which is a cycle.
func (p *writer) enter(v reflect.Value) bool {
	at := v.Pointer()
	if at != 0 && slices.Contains(p.path, at) {
		return false
	}
	p.path = append(p.path, at)
	return true
}

func (p *writer) leave() { p.path = p.path[:len(p.path)-1] }

// ownText returns what the value itself has to say: an error's message, a
// String or Format method, the entries of a matrix.
func (p *writer) ownText(v reflect.Value, depth int) (s string, ok bool) {
	if !v.CanInterface() || v.Kind() == reflect.Interface {
		return "", false
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return "<nil>", true
	}
	defer func() {
		if r := recover(); r != nil {
			s, ok = fmt.Sprintf("(the text of this %s cannot be had: panic: %v)", v.Type(), r), true
		}
	}()
	switch x := v.Interface().(type) {
	case reflect.Value:
		return "reflect.Value of " + typeName(x), true
	case error:
		return x.Error(), true
	case fmt.Stringer:
		return x.String(), true
	case fmt.Formatter:
		return fmt.Sprintf("%v", x), true
	case *plot.Plot:
		return Figure{Plots: [][]*plot.Plot{{x}}}.String(), true
	case image.Image:
		return imageText(x), true
	case mat.Matrix:
		if depth > 0 || p.nested {
			return shapeOf(x), true
		}
		return matrixText(x), true
	}
	return "", false
}

// hasText reports whether a value speaks for itself.
func hasText(v reflect.Value) bool {
	if !v.IsValid() || !v.CanInterface() {
		return false
	}
	switch v.Interface().(type) {
	case error, fmt.Stringer, fmt.Formatter:
		return true
	}
	return false
}

func typeName(v reflect.Value) string {
	if !v.IsValid() {
		return "nothing"
	}
	return v.Type().String()
}

// sortedKeys returns a map's keys in their natural order where they have one,
// else in the order of their texts.
func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	var less func(a, b reflect.Value) int
	switch k := m.Type().Key().Kind(); {
	case k == reflect.String:
		less = func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }
	case k == reflect.Float32 || k == reflect.Float64:
		less = func(a, b reflect.Value) int { return cmp.Compare(a.Float(), b.Float()) }
	case k >= reflect.Int && k <= reflect.Int64:
		less = func(a, b reflect.Value) int { return cmp.Compare(a.Int(), b.Int()) }
	case k >= reflect.Uint && k <= reflect.Uintptr:
		less = func(a, b reflect.Value) int { return cmp.Compare(a.Uint(), b.Uint()) }
	default:
		type named struct {
			text string
			key  reflect.Value
		}
		all := make([]named, len(keys))
		for i, k := range keys {
			// Flat: a key may point to the very map, whose keys would then be
			// sorted to sort its keys, without end.
			w := writer{limit: 200, nested: true, flat: true}
			w.value(k, 0)
			all[i] = named{w.String(), k}
		}
		slices.SortFunc(all, func(a, b named) int { return strings.Compare(a.text, b.text) })
		for i := range all {
			keys[i] = all[i].key
		}
		return keys
	}
	slices.SortFunc(keys, less)
	return keys
}
