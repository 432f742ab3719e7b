package display

import (
	"fmt"
	"html"
	"html/template"
	"reflect"
	"strings"
)

// renderMethods asks a value's own methods. Each may return an error beside
// its content, or the content alone:
//
//	HTML() string      Markdown() string   Latex() string   SVG() string
//	PNG() []byte       JPEG() []byte
//
// A method that fails costs only its own form.
func renderMethods(v any) (Bundle, bool) {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return Bundle{}, false // its methods would follow the nil
	}
	var b Bundle
	var failed []string
	form := func(mime string, content any, err error) {
		if err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", mime, err))
			return
		}
		if content != nil {
			b.set(mime, content)
		}
	}
	found := false
	for _, m := range methods {
		content, err, has := m.call(v)
		if has {
			found = true
			form(m.mime, content, err)
		}
	}
	if !found {
		return Bundle{}, false
	}
	if len(failed) > 0 {
		note := strings.Join(failed, "; ")
		b.set(MIMEText, Text(v)+"\n(not shown: "+note+")")
		if len(b.Data) == 1 {
			b.set(MIMEHTML, "<pre>"+html.EscapeString(b.Text())+"</pre>")
		}
	}
	return b, true
}

var methods = []struct {
	mime string
	call func(v any) (content any, err error, has bool)
}{
	{MIMEHTML, func(v any) (any, error, bool) {
		switch x := v.(type) {
		case interface{ HTML() string }:
			return guard(x.HTML)
		case interface{ HTML() template.HTML }:
			return guard(func() string { return string(x.HTML()) })
		case interface{ HTML() (string, error) }:
			return guard2(x.HTML)
		}
		return nil, nil, false
	}},
	{MIMEMarkdown, func(v any) (any, error, bool) {
		switch x := v.(type) {
		case interface{ Markdown() string }:
			return guard(x.Markdown)
		case interface{ Markdown() (string, error) }:
			return guard2(x.Markdown)
		}
		return nil, nil, false
	}},
	{MIMELatex, func(v any) (any, error, bool) {
		switch x := v.(type) {
		case interface{ Latex() string }:
			return guard(x.Latex)
		case interface{ Latex() (string, error) }:
			return guard2(x.Latex)
		}
		return nil, nil, false
	}},
	{MIMESVG, func(v any) (any, error, bool) {
		switch x := v.(type) {
		case interface{ SVG() string }:
			return guard(x.SVG)
		case interface{ SVG() (string, error) }:
			return guard2(x.SVG)
		}
		return nil, nil, false
	}},
	{MIMEPNG, func(v any) (any, error, bool) {
		switch x := v.(type) {
		case interface{ PNG() []byte }:
			return guard(x.PNG)
		case interface{ PNG() ([]byte, error) }:
			return guard2(x.PNG)
		}
		return nil, nil, false
	}},
	{MIMEJPEG, func(v any) (any, error, bool) {
		switch x := v.(type) {
		case interface{ JPEG() []byte }:
			return guard(x.JPEG)
		case interface{ JPEG() ([]byte, error) }:
			return guard2(x.JPEG)
		}
		return nil, nil, false
	}},
}

// guard calls a method of the user's and makes an error of its panic.
func guard[T string | []byte](f func() T) (any, error, bool) {
	return guard2(func() (T, error) { return f(), nil })
}

func guard2[T string | []byte](f func() (T, error)) (content any, err error, has bool) {
	defer func() {
		if r := recover(); r != nil {
			content, err, has = nil, panicError{r}, true
		}
	}()
	c, err := f()
	if err != nil {
		return nil, err, true
	}
	if len(c) == 0 {
		return nil, nil, true
	}
	return c, nil, true
}
