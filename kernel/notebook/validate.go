package notebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var cellID = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)

// Validate checks a notebook against the rules of nbformat 4.5 and returns
// every violation, joined, or nil. Jupyter refuses or repairs a file that
// breaks them; [Read] takes it when its shape is right.
func Validate(nb *Notebook) error {
	var v violations
	if nb.Minor <= Minor { // a later minor may define members this package does not know
		v.noExtra("notebook", nb.Extra)
	}
	v.metadata(nb.Metadata)
	seen := map[string]int{}
	for i, c := range nb.Cells {
		at := fmt.Sprintf("cell %d", i+1)
		if !cellID.MatchString(c.ID) {
			v.add("%s: id %q: want 1 to 64 letters, digits, - or _", at, c.ID)
		}
		if j, dup := seen[c.ID]; dup {
			v.add("%s: id %q is that of cell %d", at, c.ID, j+1)
		}
		seen[c.ID] = i
		v.cell(at, c, nb.Minor <= Minor)
	}
	return errors.Join(v...)
}

type violations []error

func (v *violations) add(format string, args ...any) {
	*v = append(*v, fmt.Errorf("notebook: "+format, args...))
}

func (v *violations) noExtra(at string, extra Object) {
	for k := range extra {
		v.add("%s: %q is not a field of nbformat %d.%d", at, k, Major, Minor)
	}
}

// members checks that an object of the metadata has some string members.
func (v *violations) members(meta Object, name string, required ...string) {
	text, ok := meta[name]
	if !ok {
		return
	}
	var o Object
	if json.Unmarshal(text, &o) != nil || o == nil {
		v.add("metadata: %s: want an object, got %s", name, kindOf(text))
		return
	}
	for _, key := range required {
		if kindOf(o[key]) != "a string" {
			v.add("metadata: %s: %s: want a string, got %s", name, key, kindOf(o[key]))
		}
	}
}

func (v *violations) metadata(meta Object) {
	v.members(meta, "kernelspec", "name", "display_name")
	v.members(meta, "language_info", "name")
	if text, ok := meta["title"]; ok && kindOf(text) != "a string" {
		v.add("metadata: title: want a string, got %s", kindOf(text))
	}
	if text, ok := meta["authors"]; ok && kindOf(text) != "a list" {
		v.add("metadata: authors: want a list, got %s", kindOf(text))
	}
}

func (v *violations) cell(at string, c *Cell, known bool) {
	if known {
		v.noExtra(at, c.Extra)
	}
	if text, ok := c.Metadata["name"]; ok && kindOf(text) != "a string" {
		v.add("%s: metadata: name: want a string, got %s", at, kindOf(text))
	}
	if text, ok := c.Metadata["tags"]; ok {
		var tags []string
		if json.Unmarshal(text, &tags) != nil {
			v.add("%s: metadata: tags: want a list of strings", at)
		}
		for i, tag := range tags {
			if tag == "" || strings.Contains(tag, ",") {
				v.add("%s: metadata: tag %q is empty or has a comma", at, tag)
			}
			if slices.Contains(tags[:i], tag) {
				v.add("%s: metadata: tag %q is there twice", at, tag)
			}
		}
	}
	for _, key := range []string{"collapsed", "deletable", "editable"} {
		if text, ok := c.Metadata[key]; ok && kindOf(text) != "a boolean" {
			v.add("%s: metadata: %s: want a boolean, got %s", at, key, kindOf(text))
		}
	}
	switch c.Type {
	case Code:
		if c.Attachments != nil {
			v.add("%s: a code cell has no attachments", at)
		}
		if n := c.ExecutionCount; n != nil && *n < 0 {
			v.add("%s: execution_count %d is negative", at, *n)
		}
		for i, out := range c.Outputs {
			v.output(fmt.Sprintf("%s: output %d", at, i+1), out, known)
		}
	case Markdown, Raw:
		if len(c.Outputs) > 0 || c.ExecutionCount != nil {
			v.add("%s: a %s cell has neither outputs nor execution_count", at, c.Type)
		}
	default:
		v.add("%s: cell_type %q is not one of code, markdown, raw", at, string(c.Type))
	}
}

func (v *violations) output(at string, out *Output, known bool) {
	switch out.Type {
	case Stream:
		if out.Name == "" {
			v.add("%s: a stream needs a name, stdout or stderr", at)
		}
	case DisplayData, ExecuteResult:
		for mime, content := range out.Data {
			switch c := content.(type) {
			case string:
			case json.RawMessage:
				if !json.Valid(c) {
					v.add("%s: %s: not valid JSON", at, mime)
				} else if !isJSON(mime) {
					v.add("%s: %s: want a string or a list of strings, got %s", at, mime, kindOf(c))
				}
			default:
				v.add("%s: %s: want a string or JSON, got a %T", at, mime, content)
			}
		}
		if n := out.ExecutionCount; n != nil && *n < 0 {
			v.add("%s: execution_count %d is negative", at, *n)
		}
	case Error:
	default:
		if known {
			v.add("%s: output_type %q is not one of stream, display_data, execute_result, error", at, string(out.Type))
		}
		return
	}
	if known {
		v.noExtra(at, out.Extra)
	}
}
