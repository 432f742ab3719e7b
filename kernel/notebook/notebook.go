// Package notebook reads, checks, runs, writes and renders Jupyter notebooks
// (nbformat 4) without Jupyter or Python.
//
// What the package does not know of a file it keeps: unknown fields, metadata
// and the exact text of numbers survive a round trip, and files are laid out
// as Jupyter lays them out, so that a change to one cell is a small diff.
package notebook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
)

// The nbformat version this package writes. Files of 4.0 to 4.4 are upgraded
// as they are read; a later minor is kept.
const (
	Major = 4
	Minor = 5
)

// Object is a JSON object whose members are kept as they were written.
type Object map[string]json.RawMessage

// String returns a member that is a JSON string, or "".
func (o Object) String(key string) string {
	var s string
	_ = json.Unmarshal(o[key], &s) // anything else than a string leaves s empty
	return s
}

// Set stores v, which must have a JSON form, as a member.
func (o Object) Set(key string, v any) {
	o[key] = raw(v)
}

// A Notebook is a document of cells.
type Notebook struct {
	Cells    []*Cell
	Metadata Object
	Minor    int    // of nbformat 4; at least 5 after Read
	Extra    Object // members of the file nbformat does not define
}

// CellType says how a cell is read.
type CellType string

// The types of cells.
const (
	Code     CellType = "code"
	Markdown CellType = "markdown"
	Raw      CellType = "raw"
)

// A Cell is one block of a notebook.
type Cell struct {
	ID             string
	Type           CellType
	Source         string
	Metadata       Object
	ExecutionCount *int              // code cells: the n of In [n]; nil before the cell has run
	Outputs        []*Output         // code cells
	Attachments    map[string]Object // Markdown and raw cells: file name -> MIME type -> content
	Extra          Object
}

// OutputType says what an output is.
type OutputType string

// The types of outputs.
const (
	Stream        OutputType = "stream"
	DisplayData   OutputType = "display_data"
	ExecuteResult OutputType = "execute_result"
	Error         OutputType = "error"
)

// An Output is one thing a code cell printed, showed, returned or failed with.
type Output struct {
	Type OutputType

	Name, Text string // stream: "stdout" or "stderr", and what was printed

	// display_data and execute_result: MIME type -> string (base64 for
	// pictures other than SVG) or json.RawMessage (JSON types).
	Data           map[string]any
	Metadata       Object
	ExecutionCount *int // execute_result

	Ename, Evalue string // error
	Traceback     []string

	Extra Object
}

// Tags returns the tags of a cell.
func (c *Cell) Tags() []string {
	var tags []string
	_ = json.Unmarshal(c.Metadata["tags"], &tags) // malformed tags are no tags; Validate tells
	return tags
}

// HasTag reports whether the cell carries a tag.
func (c *Cell) HasTag(tag string) bool { return slices.Contains(c.Tags(), tag) }

// New returns an empty notebook for the Gonvex kernel.
func New() *Notebook {
	nb := &Notebook{Metadata: Object{}, Minor: Minor}
	nb.Metadata.Set("kernelspec", kernelSpec)
	nb.Metadata.Set("language_info", languageInfo(""))
	return nb
}

// Add appends a cell and returns it.
func (nb *Notebook) Add(t CellType, source string) *Cell {
	c := &Cell{Type: t, Source: source, Metadata: Object{}}
	nb.Cells = append(nb.Cells, c)
	nb.setIDs()
	return c
}

// Language returns the language of the code cells ("go"), or "" when the
// notebook does not say.
func (nb *Notebook) Language() string {
	for _, at := range [][2]string{{"kernelspec", "language"}, {"language_info", "name"}} {
		var o Object
		if json.Unmarshal(nb.Metadata[at[0]], &o) == nil && o.String(at[1]) != "" {
			return strings.ToLower(o.String(at[1]))
		}
	}
	return ""
}

// CheckGo is an error for a notebook that says its code is not Go.
func (nb *Notebook) CheckGo() error {
	if lang := nb.Language(); lang != "" && lang != "go" && lang != "golang" {
		return fmt.Errorf("notebook: its kernel's language is %s, not Go", lang)
	}
	return nil
}

var kernelSpec = map[string]string{"display_name": "Go (Gonvex)", "language": "go", "name": "gonvex"}

func languageInfo(version string) map[string]string {
	info := map[string]string{
		"name": "go", "mimetype": "text/x-go", "file_extension": ".go",
		"pygments_lexer": "go", "codemirror_mode": "go", "nbconvert_exporter": "script",
	}
	if version != "" {
		info["version"] = version
	}
	return info
}

// ReadFile reads the notebook at path.
func ReadFile(path string) (*Notebook, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("notebook: %w", err)
	}
	nb, err := Read(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return nb, nil
}

// WriteFile writes the notebook to path in one step: a reader sees the old
// file or the new one, never a part.
func (nb *Notebook) WriteFile(path string) error {
	text, err := nb.Bytes()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writeFile(path, text)
}

func writeFile(path string, text []byte) error {
	if err := renameio.WriteFile(path, text, 0o644, renameio.WithExistingPermissions()); err != nil {
		return fmt.Errorf("notebook: writing %s: %w", path, err)
	}
	return nil
}

// Bytes returns the notebook as a file: sorted members, one space of
// indentation, texts as lists of lines, as Jupyter writes them.
func (nb *Notebook) Bytes() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(nb); err != nil {
		return nil, fmt.Errorf("notebook: %w", err)
	}
	return b.Bytes(), nil
}

// MarshalJSON writes the notebook without indentation; [Notebook.Bytes] is
// the form for files.
func (nb *Notebook) MarshalJSON() ([]byte, error) {
	nb.setIDs()
	o := with(nb.Extra)
	o["metadata"] = orEmpty(nb.Metadata)
	o["nbformat"] = Major
	o["nbformat_minor"] = max(nb.Minor, Minor)
	cells := []any{}
	for _, c := range nb.Cells {
		cells = append(cells, c.object())
	}
	o["cells"] = cells
	return encode(o)
}

func (c *Cell) object() map[string]any {
	o := with(c.Extra)
	o["id"] = c.ID
	o["cell_type"] = string(c.Type)
	o["source"] = lines(c.Source)
	o["metadata"] = orEmpty(c.Metadata)
	if c.Attachments != nil {
		o["attachments"] = c.Attachments
	}
	if c.Type == Code {
		o["execution_count"] = c.ExecutionCount
		outputs := []any{}
		for _, out := range c.Outputs {
			outputs = append(outputs, out.object())
		}
		o["outputs"] = outputs
	}
	return o
}

func (out *Output) object() map[string]any {
	o := with(out.Extra)
	o["output_type"] = string(out.Type)
	switch out.Type {
	case Stream:
		o["name"] = out.Name
		o["text"] = lines(out.Text)
	case Error:
		o["ename"], o["evalue"] = out.Ename, out.Evalue
		o["traceback"] = append([]string{}, out.Traceback...)
	case DisplayData, ExecuteResult:
		data := make(map[string]any, len(out.Data))
		for mime, content := range out.Data {
			if s, ok := content.(string); ok && isLines(mime) {
				content = lines(s)
			}
			data[mime] = content
		}
		o["data"] = data
		o["metadata"] = orEmpty(out.Metadata)
		if out.Type == ExecuteResult {
			o["execution_count"] = out.ExecutionCount
		}
	}
	return o
}

// with starts an object from the members its type does not define.
func with(extra Object) map[string]any {
	o := make(map[string]any, len(extra)+6)
	for k, v := range extra {
		o[k] = v
	}
	return o
}

func orEmpty(o Object) Object {
	if o == nil {
		return Object{}
	}
	return o
}

// lines splits a text after its newlines, as notebook files hold texts.
func lines(s string) []string {
	if s == "" {
		return []string{}
	}
	out := strings.SplitAfter(s, "\n")
	if out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// isLines tells the types that files hold as lists of lines.
func isLines(mime string) bool {
	return strings.HasPrefix(mime, "text/") || mime == "image/svg+xml" || mime == "application/javascript"
}

// isJSON tells the types whose content is JSON itself.
func isJSON(mime string) bool {
	return mime == "application/json" || strings.HasPrefix(mime, "application/") && strings.HasSuffix(mime, "+json")
}

// setIDs gives an id to each cell that has none, or that of another cell. Ids
// come from the cell's place and text, so that running a file without ids
// twice gives the same file twice.
func (nb *Notebook) setIDs() {
	seen := make(map[string]bool, len(nb.Cells))
	for i, c := range nb.Cells {
		for salt := 0; c.ID == "" || seen[c.ID]; salt++ {
			sum := sha256.Sum256([]byte(strconv.Itoa(i) + "." + strconv.Itoa(salt) + "\n" + c.Source))
			c.ID = hex.EncodeToString(sum[:4])
		}
		seen[c.ID] = true
	}
}

// encode is json.Marshal that keeps <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func raw(v any) json.RawMessage {
	text, err := encode(v)
	if err != nil { // only values of our own making come here
		return json.RawMessage("null")
	}
	return text
}
