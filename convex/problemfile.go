package convex

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/google/renameio/v2/maybe"
	"gonum.org/v1/gonum/mat"
)

// maxProblemFile is the largest JSON problem file, in bytes. Larger data go
// into .npy files beside it.
const maxProblemFile = 256 << 20

// commonFields are the fields every architecture takes.
var commonFields = []string{"name", "architecture", "loss", "delta", "beta", "X", "Y", "patterns", "patterns_bits", "seed", "output_bias"}

// archFields are the fields that only some architectures take; each says which
// by fileOptions.
var archFields = []string{
	"patches", "shape", "filter", "stride", "padding", "pool", "penalty", "slope",
	"coefficients", "layers", "filter_norm", "filters", "units",
}

// fileOptions is what an architecture with options has, to be read from and
// written to problem files.
type fileOptions interface {
	// fileFields are the fields of archFields that the architecture takes.
	fileFields() []string
	// fromFile returns the architecture with the options present.
	fromFile(raw map[string]json.RawMessage) (Arch, error)
	// toFile returns the options that are not at their defaults.
	toFile() map[string]any
}

func (GatedReLU) fileFields() []string { return []string{"penalty"} }

func (a GatedReLU) fromFile(raw map[string]json.RawMessage) (Arch, error) {
	if v, ok := raw["penalty"]; ok {
		if err := json.Unmarshal(v, &a.Penalty); err != nil {
			return nil, errors.New(`field "penalty": want a string: nuclear, frobenius or per_output`)
		}
		switch a.Penalty {
		case "nuclear", "frobenius", "per_output":
		default:
			return nil, fmt.Errorf(`field "penalty" is %q: want nuclear, frobenius or per_output`, a.Penalty)
		}
	}
	return a, nil
}

func (a GatedReLU) toFile() map[string]any {
	if a.Penalty == "" {
		return nil
	}
	return map[string]any{"penalty": a.Penalty}
}

func (ReLU) fileFields() []string { return []string{"penalty"} }

func (a ReLU) fromFile(raw map[string]json.RawMessage) (Arch, error) {
	if v, ok := raw["penalty"]; ok {
		if err := json.Unmarshal(v, &a.Penalty); err != nil || a.Penalty != "per_output" {
			return nil, fmt.Errorf(`field "penalty" is %s: architecture relu takes per_output only; leave it out for weight decay`, excerpt(v))
		}
	}
	return a, nil
}

func (a ReLU) toFile() map[string]any {
	if a.Penalty == "" {
		return nil
	}
	return map[string]any{"penalty": a.Penalty}
}

// ReadProblem reads a problem file: one JSON object with the fields
// architecture, loss, beta, X, Y and optionally name, patterns or
// patterns_bits, seed, delta (of the huber loss) and those of the architecture.
// X, Y and patterns may be the name of a .npy file beside it. Errors name the
// file and the field.
func ReadProblem(path string) (Problem, error) {
	p, err := readProblem(path)
	if err != nil {
		return Problem{}, fmt.Errorf("convex: %s: %w", path, err)
	}
	return p, nil
}

// ParseProblem reads a problem from r, as ReadProblem from a file; .npy files
// that it names are looked for in the current directory.
func ParseProblem(r io.Reader) (Problem, error) {
	p, err := decodeProblem(r, ".")
	if err != nil {
		return Problem{}, fmt.Errorf("convex: %w", err)
	}
	return p, nil
}

func readProblem(path string) (Problem, error) {
	f, err := os.Open(path)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the path is in front already
		}
		return Problem{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Problem{}, err
	}
	if st.IsDir() {
		return Problem{}, errors.New("is a directory, not a problem file")
	}
	if st.Size() > maxProblemFile {
		return Problem{}, fmt.Errorf("is %d MB, a problem file may have %d: put X, Y and patterns into .npy files beside it and give their names", st.Size()>>20, maxProblemFile>>20)
	}
	return decodeProblem(f, filepath.Dir(path))
}

// decodeProblem reads a problem whose .npy files are in dir.
func decodeProblem(r io.Reader, dir string) (Problem, error) {
	raw, err := readFields(r)
	if err != nil {
		return Problem{}, err
	}
	for _, k := range []string{"architecture", "beta", "Y"} {
		if raw[k] == nil {
			return Problem{}, fmt.Errorf("field %q is missing", k)
		}
	}
	p, err := Problem{}.withFields(raw)
	if err != nil {
		return Problem{}, err
	}
	if err := readData(&p, raw, dir); err != nil {
		return Problem{}, err
	}
	return p, nil
}

// WithFields returns p changed by fields of a problem file: name, architecture
// with its options, loss, delta, beta, seed, output_bias, and how images are cut
// (shape, filter, stride, padding). What has no field stays. The data fields
// are not taken.
func (p Problem) WithFields(fields map[string]json.RawMessage) (Problem, error) {
	takes := append(append([]string(nil), describing...), archFields...)
	for k, v := range fields {
		if k == "patches" || !contains(takes, k) {
			return Problem{}, fmt.Errorf("convex: unknown field %s%s; the fields here are %s, and those of the architecture", excerpt([]byte(strconv.Quote(k))), nearest(k), strings.Join(describing, ", "))
		}
		if len(v) == 0 {
			return Problem{}, fmt.Errorf("convex: field %q is empty", k)
		}
	}
	q, err := p.withFields(fields)
	if err != nil {
		return Problem{}, fmt.Errorf("convex: %w", err)
	}
	return q, nil
}

// describing are the fields of a problem file that are not data.
var describing = []string{"name", "architecture", "loss", "delta", "beta", "seed", "output_bias"}

func (p Problem) withFields(raw map[string]json.RawMessage) (Problem, error) {
	var err error
	str := func(field string, dst *string) {
		if v := raw[field]; v != nil && err == nil && json.Unmarshal(v, dst) != nil {
			err = fmt.Errorf("field %q: want a string, have %s", field, excerpt(v))
		}
	}
	num := func(field string, dst *float64) {
		if v := raw[field]; v != nil && err == nil && (v[0] == 'n' || json.Unmarshal(v, dst) != nil) {
			err = fmt.Errorf("field %q: want a number, have %s", field, excerpt(v))
		}
	}
	var arch, loss string
	var delta float64
	str("name", &p.Name)
	str("architecture", &arch)
	str("loss", &loss)
	num("beta", &p.Beta)
	num("delta", &delta)
	if v := raw["output_bias"]; v != nil && err == nil && json.Unmarshal(v, &p.OutputBias) != nil {
		err = fmt.Errorf(`field "output_bias": want true or false, have %s`, excerpt(v))
	}
	if v := raw["seed"]; v != nil && err == nil && json.Unmarshal(v, &p.Seed) != nil {
		err = fmt.Errorf(`field "seed": want a whole number from 0 to %d, have %s`, uint64(math.MaxUint64), excerpt(v))
	}
	if err != nil {
		return Problem{}, err
	}
	if raw["beta"] != nil && !(p.Beta > 0) {
		return Problem{}, fmt.Errorf(`field "beta" is %g: weight decay must be a positive number, such as 1e-3`, p.Beta)
	}
	if raw["architecture"] != nil || p.Arch == nil {
		if arch == "" && raw["architecture"] == nil {
			arch = ReLU{}.Name()
		}
		if p.Arch, err = archFromFile(arch, raw); err != nil {
			return Problem{}, err
		}
	} else if p.Arch, err = withOptions(p.Arch, raw); err != nil {
		return Problem{}, err
	}
	if g, err := patchingFromFile(raw); err != nil {
		return Problem{}, err
	} else if g.given() {
		p.Patching = g
	}
	if raw["loss"] != nil {
		if p.Loss, err = LookupLoss(loss); err != nil {
			return Problem{}, fmt.Errorf(`field "loss" is %q: want one of %s`, loss, strings.Join(Losses(), ", "))
		}
	}
	p.Loss = p.Loss.orDefault()
	if raw["delta"] != nil {
		if p.Loss, err = p.Loss.withDelta(delta); err != nil {
			return Problem{}, fmt.Errorf(`field "delta": %w`, err)
		}
	}
	return p, nil
}

// Fields are those that describe p in a problem file beside its data, as
// WithFields reads them: a part of p that is at its zero value has none. An
// error says that the file would not be read back.
func (p Problem) Fields() (map[string]any, error) {
	fields := map[string]any{}
	if p.Arch != nil {
		if _, err := LookupArch(p.Arch.Name()); err != nil {
			return nil, fmt.Errorf("convex: architecture %q is not one of %v, so it could not be read back", p.Arch.Name(), Archs())
		}
		fields["architecture"] = p.Arch.Name()
		if o, ok := p.Arch.(fileOptions); ok {
			for k, v := range o.toFile() {
				fields[k] = v
			}
		}
	}
	if p.Loss.Name != "" || p.Loss.New != nil {
		if _, err := LookupLoss(p.Loss.Name); err != nil {
			return nil, fmt.Errorf("convex: loss %q is not one of %v, so it could not be read back", p.Loss.Name, Losses())
		}
		fields["loss"] = p.Loss.Name
		if p.Loss.Delta != 0 {
			fields["delta"] = p.Loss.Delta
		}
	}
	if p.Beta != 0 {
		fields["beta"] = p.Beta
	}
	if p.Name != "" {
		fields["name"] = p.Name
	}
	if p.Seed != 0 {
		fields["seed"] = p.Seed
	}
	if p.OutputBias {
		fields["output_bias"] = true
	}
	if p.Patching.given() {
		if _, err := p.Patching.withDefaults(); err != nil {
			return nil, fmt.Errorf("convex: %w", err)
		}
		for k, v := range p.Patching.toFile() {
			fields[k] = v
		}
	}
	return fields, nil
}

// readFields reads one JSON object and nothing after it, and checks the names
// of its fields. The values are valid JSON.
func readFields(r io.Reader) (map[string]json.RawMessage, error) {
	limited := &io.LimitedReader{R: r, N: maxProblemFile + 1}
	br := bufio.NewReaderSize(limited, 1<<16)
	// A file that is not JSON at all is told from its first bytes.
	head, _ := br.Peek(4096)
	start := bytes.TrimLeft(head, " \t\r\n\ufeff")
	if len(start) == 0 || start[0] != '{' {
		if len(head) == 0 {
			return nil, errors.New("the file is empty: want one JSON object")
		}
		return nil, fmt.Errorf("not a problem file: it begins with %s, want one JSON object in {}", excerpt(head))
	}
	br.Discard(len(head) - len(start))
	dec := json.NewDecoder(br)
	tooLong := func(err error) error {
		if limited.N <= 0 {
			return fmt.Errorf("over %d MB: put X, Y and patterns into .npy files beside it and give their names", maxProblemFile>>20)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the file ends before its JSON object does")
		}
		return err
	}
	if _, err := dec.Token(); err != nil {
		return nil, tooLong(err)
	}
	raw := map[string]json.RawMessage{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, tooLong(err)
		}
		key, ok := tok.(string)
		if !ok {
			return nil, fmt.Errorf("want a field name, have %v", tok)
		}
		if !contains(commonFields, key) && !contains(archFields, key) {
			return nil, fmt.Errorf("unknown field %s%s; the fields are %s, and those of the architecture (%s)", excerpt([]byte(strconv.Quote(key))), nearest(key),
				strings.Join(commonFields, ", "), strings.Join(archFields, ", "))
		}
		if raw[key] != nil {
			return nil, fmt.Errorf("field %q is there twice", key)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				return nil, fmt.Errorf("field %q: %v (JSON has no NaN and no Inf; every number must be finite)", key, err)
			}
			return nil, fmt.Errorf("field %q: %w", key, tooLong(err))
		}
		raw[key] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, tooLong(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("there is more after the JSON object: want one object and nothing else")
	}
	return raw, nil
}

// archFromFile makes the architecture of a name with the options that are there.
func archFromFile(name string, raw map[string]json.RawMessage) (Arch, error) {
	a, err := LookupArch(name)
	if err != nil {
		return nil, fmt.Errorf(`field "architecture" is %q: want one of %s`, name, strings.Join(Archs(), ", "))
	}
	return withOptions(a, raw)
}

// withOptions gives an architecture the options that are there, and refuses
// those it does not take.
func withOptions(a Arch, raw map[string]json.RawMessage) (Arch, error) {
	opt, _ := a.(fileOptions)
	var takes []string
	if opt != nil {
		takes = opt.fileFields()
	}
	if contains(takes, "patches") {
		takes = append(append([]string(nil), takes...), patchingFields...)
	}
	for _, k := range archFields {
		if raw[k] != nil && !contains(takes, k) {
			return nil, fmt.Errorf("field %q is not for architecture %s", k, a.Name())
		}
	}
	if opt == nil {
		return a, nil
	}
	return opt.fromFile(raw)
}

// readData fills in X or Patches, Y and Patterns, and checks them together.
func readData(p *Problem, raw map[string]json.RawMessage, dir string) error {
	rows, perSample := 0, 1 // of the data, for patterns
	switch {
	case raw["X"] != nil && raw["patches"] != nil:
		return errors.New(`fields "X" and "patches" are both there: give one`)
	case raw["patches"] != nil:
		a, err := readArray("patches", raw, dir, 3)
		if err != nil {
			return err
		}
		if len(a.shape) != 3 {
			return fmt.Errorf(`field "patches" has %d dimensions: want K matrices of n×h`, len(a.shape))
		}
		n, h := a.shape[1], a.shape[2]
		for k := 0; k < a.shape[0]; k++ {
			p.Patches = append(p.Patches, mat.NewDense(n, h, a.data[k*n*h:(k+1)*n*h]))
		}
		rows = n
	case raw["X"] != nil:
		a, err := readArray("X", raw, dir, 2)
		if err != nil {
			return err
		}
		if len(a.shape) != 2 {
			return errors.New(`field "X" is a plain list: want n rows of d numbers`)
		}
		p.X = mat.NewDense(a.shape[0], a.shape[1], a.data)
		rows = a.shape[0]
		if p.Patching.given() {
			patches, err := p.patches()
			if err != nil {
				return fmt.Errorf(`fields "X" and "shape": %s`, strings.TrimPrefix(err.Error(), "convex: "))
			}
			p.keepCut(patches)
			perSample = len(patches)
		}
	default:
		return errors.New(`field "X" is missing`)
	}
	y, err := readArray("Y", raw, dir, 2)
	if err != nil {
		return err
	}
	if y.shape[0] != rows {
		return fmt.Errorf(`field "Y" has %d rows but the data have %d: want one row a sample`, y.shape[0], rows)
	}
	c := 1
	if len(y.shape) == 2 {
		c = y.shape[1]
	}
	p.Y = mat.NewDense(rows, c, y.data)
	if _, err := p.Loss.orDefault().New(y.data); err != nil {
		return fmt.Errorf(`field "Y": %s`, strings.TrimPrefix(err.Error(), "convex: "))
	}
	n := rows * max(perSample, len(p.Patches))
	switch {
	case raw["patterns"] != nil && raw["patterns_bits"] != nil:
		return errors.New(`fields "patterns" and "patterns_bits" are both there: give one`)
	case raw["patterns"] != nil:
		a, err := readArray("patterns", raw, dir, 2)
		if err != nil {
			return err
		}
		if len(a.shape) != 2 || a.shape[1] != n {
			return fmt.Errorf(`field "patterns" is %s but the data have %d rows: want P rows of %d zeros and ones`, shapeString(a.shape), n, n)
		}
		p.Patterns, err = NewPatterns(mat.NewDense(a.shape[0], n, a.data))
		if err != nil {
			return fmt.Errorf(`field "patterns": %s`, strings.TrimPrefix(err.Error(), "convex: "))
		}
	case raw["patterns_bits"] != nil:
		a, err := readArray("patterns_bits", raw, dir, 2)
		if err != nil {
			return err
		}
		if len(a.shape) != 2 || a.shape[1] != (n+7)/8 {
			return fmt.Errorf(`field "patterns_bits" is %s but the data have %d rows: want P rows of %d bytes`, shapeString(a.shape), n, (n+7)/8)
		}
		bits := make([][]byte, a.shape[0])
		for i := range bits {
			bits[i] = make([]byte, a.shape[1])
			for j := range bits[i] {
				v := a.data[i*a.shape[1]+j]
				if v < 0 || v > 255 || v != math.Trunc(v) {
					return fmt.Errorf(`field "patterns_bits": entry (%d,%d) is %g: want bytes`, i, j, v)
				}
				bits[i][j] = byte(v)
			}
		}
		if p.Patterns, err = NewPatternsBits(bits, n); err != nil {
			return fmt.Errorf(`field "patterns_bits": %s`, strings.TrimPrefix(err.Error(), "convex: "))
		}
	}
	return nil
}

// readArray reads an array given in place or as the name of a .npy file.
func readArray(field string, raw map[string]json.RawMessage, dir string, depth int) (array, error) {
	var a array
	v := raw[field]
	var err error
	switch v[0] {
	case '"':
		var name string
		if err := json.Unmarshal(v, &name); err != nil {
			return a, fmt.Errorf("field %q: %v", field, err)
		}
		if !strings.HasSuffix(name, ".npy") || !filepath.IsLocal(name) {
			return a, fmt.Errorf("field %q is %s: want numbers, or the name of a .npy file beside the problem file", field, excerpt(v))
		}
		a, err = readNPY(filepath.Join(dir, name))
		if err == nil && len(a.shape) > depth {
			err = fmt.Errorf("%s is %s: want at most %d dimensions", name, shapeString(a.shape), depth)
		}
	case '[':
		p := arrayParser{src: v, max: depth}
		err = p.parse(0)
		a = array{p.shape, p.data}
	default:
		err = fmt.Errorf("want an array of numbers, have %s", excerpt(v))
	}
	if err != nil {
		return a, fmt.Errorf("field %q: %w", field, err)
	}
	for i, t := range a.data {
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return a, fmt.Errorf("field %q: entry %s is %g: every number must be finite", field, indexString(i, a.shape), t)
		}
	}
	return a, nil
}

// arrayParser parses nested arrays of numbers, which are known to be valid
// JSON, without making a value for each.
type arrayParser struct {
	src   []byte
	at    int
	max   int
	shape []int // length at each depth, 0 until the first array there has ended
	index []int
	data  []float64
}

func (p *arrayParser) space() {
	for p.at < len(p.src) && (p.src[p.at] == ' ' || p.src[p.at] == '\n' || p.src[p.at] == '\t' || p.src[p.at] == '\r') {
		p.at++
	}
}

// parse reads one array at a depth; p.src[p.at] is its bracket.
func (p *arrayParser) parse(depth int) error {
	if depth >= p.max {
		return fmt.Errorf("entry %v is an array: want at most %d dimensions", p.index, p.max)
	}
	if len(p.shape) == depth {
		p.shape = append(p.shape, 0)
		p.index = append(p.index, 0)
	}
	p.at++
	count := 0
	leaf := false
	for p.space(); p.src[p.at] != ']'; p.space() {
		p.index[depth] = count
		p.index = p.index[:depth+1]
		if p.src[p.at] == '[' {
			if leaf || (count == 0 && len(p.shape) == depth+1 && len(p.data) > 0) {
				return fmt.Errorf("entry %v is an array, others are numbers", p.index)
			}
			if len(p.index) == depth+1 && len(p.shape) > depth+1 {
				p.index = append(p.index, 0)
			}
			if err := p.parse(depth + 1); err != nil {
				return err
			}
		} else {
			if len(p.shape) > depth+1 {
				return fmt.Errorf("entry %v is %s, others are arrays", p.index, excerpt(p.token()))
			}
			tok := p.token()
			v, err := strconv.ParseFloat(string(tok), 64)
			if err != nil || tok[0] == '"' {
				if errors.Is(err, strconv.ErrRange) {
					return fmt.Errorf("entry %v is %s: too large for a float64", p.index, excerpt(tok))
				}
				return fmt.Errorf("entry %v is %s: want a number", p.index, excerpt(tok))
			}
			leaf = true
			p.data = append(p.data, v)
		}
		count++
		p.space()
		if p.src[p.at] == ',' {
			p.at++
		}
	}
	p.at++
	p.index = p.index[:depth+1]
	if count == 0 {
		return fmt.Errorf("an array at depth %d is empty", depth+1)
	}
	if p.shape[depth] == 0 {
		p.shape[depth] = count
	} else if p.shape[depth] != count {
		return fmt.Errorf("row %v has %d entries but the first has %d", p.index[:depth], count, p.shape[depth])
	}
	return nil
}

// token is the scalar at p.at, which it moves past.
func (p *arrayParser) token() []byte {
	from := p.at
	if p.src[p.at] == '"' || p.src[p.at] == '{' {
		// Not a number; how far it goes does not matter.
		return p.src[from:min(from+40, len(p.src))]
	}
	for p.at < len(p.src) && !bytes.ContainsRune([]byte(",] \n\t\r"), rune(p.src[p.at])) {
		p.at++
	}
	return p.src[from:p.at]
}

// Save writes p as a problem file that ReadProblem reads back to the same
// problem. Large arrays go into .npy files beside it, named after it. Writes
// are atomic.
func (p Problem) Save(path string) error {
	t, err := p.check()
	if err != nil {
		return err
	}
	p.Arch, p.Loss = t.arch, p.Loss.orDefault()
	fields, err := p.Fields()
	if err != nil {
		return fmt.Errorf("convex: Save: %s", strings.TrimPrefix(err.Error(), "convex: "))
	}
	base := strings.TrimSuffix(path, filepath.Ext(path))
	put := func(field string, M *mat.Dense, column bool) error {
		r, c := M.Dims()
		if r*c > 1<<16 {
			file := base + "." + field + ".npy"
			fields[field] = filepath.Base(file)
			return writeNPY(file, M)
		}
		if column && c == 1 {
			fields[field] = mat.Col(nil, 0, M)
			return nil
		}
		fields[field] = rowsOf(M)
		return nil
	}
	switch {
	case t.X != nil:
		err = put("X", t.X, false)
	case p.Patching.given():
		err = put("X", mat.DenseCopyOf(p.X), false)
	default:
		var all [][][]float64
		for _, P := range t.inputs {
			all = append(all, rowsOf(P.(*mat.Dense)))
		}
		fields["patches"] = all
	}
	if err == nil {
		err = put("Y", mat.NewDense(t.n, t.c, t.y), true)
	}
	if err == nil && p.Patterns != nil {
		err = put("patterns", p.Patterns.Dense(), false)
	}
	if err != nil {
		return fmt.Errorf("convex: Save: %w", err)
	}
	keys := make([]string, 0, len(fields))
	for k := range fields {
		keys = append(keys, k)
	}
	rank := func(k string) int {
		for i, n := range append(append([]string(nil), commonFields[:5]...), archFields...) {
			if n == k {
				return i
			}
		}
		return 100 // data last, where a reader expects them
	}
	sort.Slice(keys, func(i, j int) bool {
		if a, b := rank(keys[i]), rank(keys[j]); a != b {
			return a < b
		}
		return keys[i] < keys[j]
	})
	var b bytes.Buffer
	b.WriteString("{")
	for i, k := range keys {
		v, err := json.Marshal(fields[k])
		if err != nil {
			return fmt.Errorf("convex: Save: field %q: %w", k, err)
		}
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n  %q: %s", k, v)
	}
	b.WriteString("\n}\n")
	if b.Len() > maxProblemFile {
		return fmt.Errorf("convex: Save: the file would have %d MB, over the limit of %d", b.Len()>>20, maxProblemFile>>20)
	}
	if err := maybe.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("convex: Save: %w", err)
	}
	return nil
}

func rowsOf(M *mat.Dense) [][]float64 {
	r, _ := M.Dims()
	out := make([][]float64, r)
	for i := range out {
		out[i] = M.RawRowView(i)
	}
	return out
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// nearest suggests a field that differs in case only.
func nearest(key string) string {
	for _, f := range append(append([]string(nil), commonFields...), archFields...) {
		if strings.EqualFold(f, key) {
			return fmt.Sprintf(" (did you mean %q?)", f)
		}
	}
	return ""
}

// excerpt is the start of some bytes, fit for an error message.
func excerpt(b []byte) string {
	const most = 40
	cut := len(b) > most
	if cut {
		b = b[:most]
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xfffd || r == 0x7f {
			return '·'
		}
		return r
	}, string(b))
	if cut {
		clean += "…"
	}
	return clean
}

func shapeString(shape []int) string {
	s := make([]string, len(shape))
	for i, v := range shape {
		s[i] = strconv.Itoa(v)
	}
	return strings.Join(s, "×")
}

// indexString is the position of flat entry i, such as (3,1).
func indexString(i int, shape []int) string {
	s := make([]string, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		s[k] = strconv.Itoa(i % shape[k])
		i /= shape[k]
	}
	return "(" + strings.Join(s, ",") + ")"
}
