package display

import (
	"fmt"
	"reflect"
)

// A rule renders one kind of value. It reports false for values that are none
// of its business. Its bundle needs no text/plain: [Render] adds it.
type rule struct {
	name   string
	render func(v any) (Bundle, bool)
}

// rules are tried in this order; the first that knows a value renders it.
// Adding one is a function in a file of its own and a line here.
var rules = []rule{
	{"bundle", renderBundle},        // Bundle and the types of this package
	{"methods", renderMethods},      // HTML(), Markdown(), SVG(), PNG(), Latex(), ...
	{"plot", renderPlot},            // *plot.Plot
	{"image", renderImage},          // image.Image
	{"matrix", renderMatrix},        // mat.Matrix
	{"error", renderError},          // error
	{"own text", renderOwnText},     // fmt.Stringer, fmt.Formatter: their text is all
	{"collection", renderStructure}, // slices, maps, structs
}

// Render returns v in all the forms it has; text/plain is always one of them.
// It never panics, whatever the methods of v do, and what it returns is
// bounded in size.
func Render(v any) Bundle {
	var b Bundle
	for _, r := range rules {
		if out, ok := try(r, v); ok {
			b = out
			break
		}
	}
	if _, ok := b.Data[MIMEText]; !ok {
		b.set(MIMEText, Text(v))
	}
	return bounded(b)
}

// RenderAll renders the values of one expression, such as the results of a
// call: the text joined by commas, the rich forms one below the other. A
// trailing nil error is not worth a line among rich forms.
func RenderAll(values ...any) Bundle {
	return renderAll(values)
}

// try applies a rule and turns its panic (a user's method may do anything)
// into a text that says so.
func try(r rule, v any) (b Bundle, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			b, ok = Bundle{}, true
			b.set(MIMEText, fmt.Sprintf("(a %T that cannot be shown: panic: %v)", v, p))
		}
	}()
	if v == nil {
		return Bundle{}, false
	}
	return r.render(v)
}

type panicError struct{ value any }

func (e panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func renderOwnText(v any) (Bundle, bool) { return Bundle{}, hasText(reflect.ValueOf(v)) }

// maxForm bounds one form of an output, in bytes.
const maxForm = 16 << 20

// bounded drops the forms of an output that are too large to be sent, except
// the text, which is cut.
func bounded(b Bundle) Bundle {
	for mime, c := range b.Data {
		var n int
		switch c := c.(type) {
		case string:
			n = len(c)
		case []byte:
			n = len(c)
		}
		if n <= maxForm {
			continue
		}
		if mime == MIMEText {
			b.Data[mime] = clip(c.(string), maxText)
			continue
		}
		delete(b.Data, mime)
		b.Data[MIMEText] = fmt.Sprintf("%s\n(the %s form has %d MB and is left out; at most %d MB are shown)", b.Text(), mime, n>>20, maxForm>>20)
	}
	return b
}
