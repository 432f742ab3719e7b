package notebook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Read reads a notebook file of nbformat 4, any minor. Errors name the line
// and column of bad JSON, or the cell and field that is not as it should be.
// [Validate] checks more.
func Read(text []byte) (*Notebook, error) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("notebook: the file is empty")
	}
	var top Object
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, jsonError(text, err)
	}
	r := &reader{}
	nb := r.notebook(top)
	if r.err != nil {
		return nil, fmt.Errorf("notebook: %w", r.err)
	}
	return nb, nil
}

// jsonError adds the line and column to what encoding/json found wrong.
func jsonError(text []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at := min(int(syntax.Offset), len(text))
		before := text[:max(at-1, 0)]
		line := bytes.Count(before, []byte("\n")) + 1
		col := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
		hint := ""
		if strings.Contains(err.Error(), "unexpected end") {
			hint = " (the file seems to be cut off)"
		}
		return fmt.Errorf("notebook: not valid JSON at line %d, column %d: %v%s", line, col, err, hint)
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("notebook: the file holds a JSON %s; a notebook is an object with \"cells\", \"metadata\" and \"nbformat\"", kind.Value)
	}
	return fmt.Errorf("notebook: %w", err)
}

// reader takes objects apart; the first error sticks.
type reader struct {
	where []string // path to what is being read
	err   error
}

func (r *reader) fail(field, format string, args ...any) {
	if r.err != nil {
		return
	}
	path := strings.Join(append(append([]string{}, r.where...), field), ": ")
	r.err = fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
}

func (r *reader) enter(format string, args ...any) func() {
	r.where = append(r.where, fmt.Sprintf(format, args...))
	return func() { r.where = r.where[:len(r.where)-1] }
}

// take removes a member from o and decodes it. It reports whether the member
// was there; want says what it should have been.
func (r *reader) take(o Object, field string, into any, want string) bool {
	text, ok := o[field]
	delete(o, field)
	if !ok {
		return false
	}
	if err := json.Unmarshal(text, into); err != nil {
		r.fail(field, "want %s, got %s", want, kindOf(text))
	}
	return true
}

// kindOf names the kind of a JSON value.
func kindOf(text json.RawMessage) string {
	switch text = bytes.TrimSpace(text); {
	case len(text) == 0:
		return "nothing"
	case text[0] == '{':
		return "an object"
	case text[0] == '[':
		return "a list"
	case text[0] == '"':
		return "a string"
	case text[0] == 'n':
		return "null"
	case text[0] == 't', text[0] == 'f':
		return "a boolean"
	}
	return "the number " + string(text)
}

func (r *reader) object(o Object, field string) Object {
	var out Object
	r.take(o, field, &out, "an object")
	if out == nil {
		out = Object{}
	}
	return out
}

// multiline reads a string, or a list of strings that are its lines.
func (r *reader) multiline(o Object, field string) string {
	text, ok := o[field]
	delete(o, field)
	if !ok {
		return ""
	}
	s, ok := joined(text)
	if !ok {
		r.fail(field, "want a string or a list of strings, got %s", kindOf(text))
	}
	return s
}

func joined(text json.RawMessage) (string, bool) {
	var s string
	if kind := kindOf(text); kind == "a string" {
		return s, json.Unmarshal(text, &s) == nil
	} else if kind != "a list" {
		return "", false
	}
	// Pointers tell a null from an empty string.
	var parts []*string
	if json.Unmarshal(text, &parts) != nil {
		return "", false
	}
	var b strings.Builder
	for _, p := range parts {
		if p == nil {
			return "", false
		}
		b.WriteString(*p)
	}
	return b.String(), true
}

func (r *reader) count(o Object) *int {
	var n *int
	r.take(o, "execution_count", &n, "a whole number or null")
	return n
}

func (r *reader) notebook(o Object) *Notebook {
	if o == nil {
		r.err = errors.New(`the file holds null; a notebook is an object with "cells", "metadata" and "nbformat"`)
		return nil
	}
	major := 0
	if !r.take(o, "nbformat", &major, "a whole number") {
		r.fail("nbformat", "missing: this is JSON, but not a notebook")
		return nil
	}
	nb := &Notebook{}
	r.take(o, "nbformat_minor", &nb.Minor, "a whole number")
	if r.err == nil && major != Major {
		r.fail("nbformat", "version %d is not supported, only %d; `jupyter nbconvert --to notebook --nbformat 4 FILE` converts", major, Major)
		return nil
	}
	nb.Minor = max(nb.Minor, Minor)
	nb.Metadata = r.object(o, "metadata")
	var cells []json.RawMessage
	if !r.take(o, "cells", &cells, "a list") {
		r.fail("cells", "missing")
	}
	for i, text := range cells {
		leave := r.enter("cell %d", i+1)
		nb.Cells = append(nb.Cells, r.cell(text))
		leave()
		if r.err != nil {
			return nil
		}
	}
	nb.Extra = o
	nb.setIDs()
	return nb
}

func (r *reader) cell(text json.RawMessage) *Cell {
	var o Object
	if json.Unmarshal(text, &o) != nil || o == nil {
		r.fail("cell", "want an object, got %s", kindOf(text))
		return nil
	}
	c := &Cell{}
	r.take(o, "cell_type", &c.Type, "a string")
	switch c.Type {
	case Code, Markdown, Raw:
	case "":
		r.fail("cell_type", "missing; it is code, markdown or raw")
	default:
		r.fail("cell_type", "%q is not one of code, markdown, raw", string(c.Type))
	}
	r.take(o, "id", &c.ID, "a string")
	c.Source = r.multiline(o, "source")
	c.Metadata = r.object(o, "metadata")
	r.take(o, "attachments", &c.Attachments, "an object of objects")
	if c.Type == Code {
		c.ExecutionCount = r.count(o)
		var outputs []json.RawMessage
		r.take(o, "outputs", &outputs, "a list")
		for i, text := range outputs {
			leave := r.enter("output %d", i+1)
			c.Outputs = append(c.Outputs, r.output(text))
			leave()
		}
	}
	c.Extra = o
	return c
}

func (r *reader) output(text json.RawMessage) *Output {
	var o Object
	if json.Unmarshal(text, &o) != nil || o == nil {
		r.fail("output", "want an object, got %s", kindOf(text))
		return nil
	}
	out := &Output{}
	r.take(o, "output_type", &out.Type, "a string")
	switch out.Type {
	case "":
		r.fail("output_type", "missing")
	case Stream:
		r.take(o, "name", &out.Name, "a string")
		out.Text = r.multiline(o, "text")
	case Error:
		r.take(o, "ename", &out.Ename, "a string")
		r.take(o, "evalue", &out.Evalue, "a string")
		r.take(o, "traceback", &out.Traceback, "a list of strings")
	case DisplayData, ExecuteResult:
		var data Object
		r.take(o, "data", &data, "an object")
		out.Data = make(map[string]any, len(data))
		for mime, text := range data {
			out.Data[mime] = text
			if s, ok := joined(text); ok && !isJSON(mime) {
				out.Data[mime] = s
			}
		}
		out.Metadata = r.object(o, "metadata")
		if out.Type == ExecuteResult {
			out.ExecutionCount = r.count(o)
		}
	}
	out.Extra = o
	return out
}
