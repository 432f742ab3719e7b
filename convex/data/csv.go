package data

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// CSVOptions say how ReadCSV takes a file. A nil pointer means the defaults.
type CSVOptions struct {
	// Label is the column with the targets: its name in the header, or its
	// number counted from 0, or from the end if negative. "" is the last one
	// that is not dropped.
	Label string
	// Drop are columns to leave out, such as an id, given as Label is.
	Drop []string
	// NoLabel says that all columns are features; Y of the Set is nil.
	NoLabel bool
	// Regression says that the targets are numbers to predict, even if there
	// are few different ones.
	Regression bool
	// SkipMissing leaves out rows with a missing value (empty, ?, NA, NaN or
	// null), which are errors otherwise.
	SkipMissing bool
	// Comma is the separator; 0 finds out which of , ; and tab it is.
	Comma rune
}

// maxClasses is how many different whole numbers in the target column are
// still taken for classes, not for values to predict.
const maxClasses = 20

// ReadCSV reads a table of numbers with one sample a row, and if need be
// decompresses it. A first row of names is recognised. Targets that are words,
// or at most 20 different whole numbers, are classes: their ids are the places
// of their names in order, alphabetical or numerical; -1 and +1 stay as they
// are. Errors tell line and column.
func ReadCSV(path string, opts *CSVOptions) (*Set, error) {
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return setFromCSV(f, opts)
}

func setFromCSV(f file, opts *CSVOptions) (*Set, error) {
	s, err := parseCSV(f.bytes, opts)
	if err != nil {
		return nil, f.in(err)
	}
	s.Name, s.Source, s.SHA256 = f.path, f.path, f.sha256
	return s, nil
}

func parseCSV(text []byte, opts *CSVOptions) (*Set, error) {
	var o CSVOptions
	if opts != nil {
		o = *opts
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma = o.Comma
	if r.Comma == 0 {
		r.Comma = separator(text)
	}
	r.TrimLeadingSpace = r.Comma != '\t'
	r.ReuseRecord = true
	r.FieldsPerRecord = -1 // the message below is clearer

	first, err := r.Read()
	if err == io.EOF {
		return nil, errors.New("the file is empty")
	}
	if err != nil {
		return nil, csvError(err)
	}
	first = slices.Clone(first)
	second, err := r.Read()
	if err != nil && err != io.EOF {
		return nil, csvError(err)
	}
	header := isHeader(first, second, &o)
	var names []string
	if header {
		names = make([]string, len(first))
		for i, name := range first {
			names[i] = strings.TrimSpace(name)
		}
	}
	drop, err := o.dropped(names, len(first))
	if err != nil {
		return nil, err
	}
	label, err := o.labelColumn(names, drop)
	if err != nil {
		return nil, err
	}
	cols, d := len(first), 0
	for i, out := range drop {
		if !out && i != label {
			d++
		}
	}
	if d == 0 {
		return nil, fmt.Errorf("there is one column only, the target: want at least one feature beside it (NoLabel takes it as a feature; the separator was taken to be %q)", r.Comma)
	}

	var x []float64
	var labels []string
	var lines []int
	row := func(record []string) error {
		line, _ := r.FieldPos(0)
		if len(record) != cols {
			return fmt.Errorf("line %d has %d columns but the first has %d", line, len(record), cols)
		}
		for i, field := range record {
			if o.SkipMissing && !drop[i] && missing(field) {
				return nil
			}
		}
		if _, err := size(len(lines)+1, d); err != nil {
			return err
		}
		for i, field := range record {
			if drop[i] {
				continue
			}
			field = strings.TrimSpace(field)
			if i == label {
				if missing(field) {
					return fieldError(r, i, names, "the target is missing: fill it in or set SkipMissing")
				}
				labels = append(labels, field)
				continue
			}
			v, err := strconv.ParseFloat(field, 64)
			switch {
			case missing(field):
				return fieldError(r, i, names, "a value is missing: fill it in or set SkipMissing")
			case err != nil && !errors.Is(err, strconv.ErrRange):
				return fieldError(r, i, names, fmt.Sprintf("%q is not a number: encode words as numbers, or name this column in Drop or as Label", abridge(field)))
			case v-v != 0:
				return fieldError(r, i, names, fmt.Sprintf("%q is not finite", abridge(field)))
			}
			x = append(x, v)
		}
		lines = append(lines, line)
		return nil
	}

	// The first two records are read again in the loop: FieldPos knows the
	// last one only.
	again := csv.NewReader(bytes.NewReader(text))
	again.Comma, again.TrimLeadingSpace, again.ReuseRecord, again.FieldsPerRecord = r.Comma, r.TrimLeadingSpace, true, -1
	r = again
	if header {
		if _, err := r.Read(); err != nil {
			return nil, csvError(err)
		}
	}
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, csvError(err)
		}
		if err := row(record); err != nil {
			return nil, err
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("there is no row of data")
	}

	s := &Set{X: mat.NewDense(len(lines), d, x)}
	for i, name := range names {
		if i != label && !drop[i] {
			s.FeatureNames = append(s.FeatureNames, name)
		}
	}
	if label >= 0 {
		if s.Y, s.ClassNames, err = targets(labels, lines, o.Regression); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// separator is the most frequent of comma, semicolon and tab in the first line.
func separator(text []byte) rune {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	best := ','
	for _, c := range []rune{';', '\t'} {
		if bytes.Count(line, []byte(string(c))) > bytes.Count(line, []byte(string(best))) {
			best = c
		}
	}
	return best
}

// isHeader reports whether the first record holds names: a feature in it is
// not a number, or the target is not one while it is in the second record.
func isHeader(first, second []string, o *CSVOptions) bool {
	named := false
	at := func(name string) int {
		i, err := column("", name, nil, len(first)) // a number here, if it can be one
		if err != nil {
			i = slices.IndexFunc(first, func(s string) bool { return strings.TrimSpace(s) == name })
			named = named || i >= 0
		}
		return i
	}
	drop := make([]bool, len(first))
	for _, name := range o.Drop {
		if i := at(name); i >= 0 {
			drop[i] = true
		}
	}
	label := -1
	switch {
	case o.NoLabel:
	case o.Label == "":
		for i := range drop {
			if !drop[i] {
				label = i
			}
		}
	default:
		label = at(o.Label)
	}
	if named {
		return true
	}
	for i, field := range first {
		if i != label && !drop[i] && !isNumber(field) && !missing(field) {
			return true
		}
	}
	return label >= 0 && label < len(second) && !isNumber(first[label]) && isNumber(second[label])
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

func missing(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", "?", "na", "n/a", "nan", "null":
		return true
	}
	return false
}

// dropped says of every column whether it is left out.
func (o *CSVOptions) dropped(names []string, cols int) ([]bool, error) {
	out := make([]bool, cols)
	for _, name := range o.Drop {
		i, err := column("drop", name, names, cols)
		if err != nil {
			return nil, err
		}
		out[i] = true
	}
	return out, nil
}

// labelColumn is the index of the target column, or -1 for none.
func (o *CSVOptions) labelColumn(names []string, drop []bool) (int, error) {
	if o.NoLabel {
		return -1, nil
	}
	if o.Label == "" {
		for i := len(drop) - 1; i >= 0; i-- {
			if !drop[i] {
				return i, nil
			}
		}
		return 0, errors.New("all columns are dropped")
	}
	i, err := column("label", o.Label, names, len(drop))
	if err == nil && drop[i] {
		err = fmt.Errorf("label is %q, which is also dropped", o.Label)
	}
	return i, err
}

// column is the index of the column that an option names or numbers.
func column(option, name string, names []string, cols int) (int, error) {
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	i, err := strconv.Atoi(name)
	if err != nil {
		if names == nil {
			return 0, fmt.Errorf("%s is %q but the file has no header: give the column's number, 0 to %d", option, name, cols-1)
		}
		return 0, fmt.Errorf("%s is %q: the columns are %s", option, name, abridge(strings.Join(names, ", ")))
	}
	at := i
	if at < 0 {
		at += cols
	}
	if at < 0 || at >= cols {
		return 0, fmt.Errorf("%s is %d but there are %d columns: want 0 to %d, or -1 to -%d from the end", option, i, cols, cols-1, cols)
	}
	return at, nil
}

// targets turns the target column into Y and, for classes, their names.
// lines[i] is where label i stands.
func targets(labels []string, lines []int, regression bool) (*mat.VecDense, []string, error) {
	y := mat.NewVecDense(len(labels), nil)
	numeric := true
	for i, label := range labels {
		v, err := strconv.ParseFloat(label, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			if regression {
				return nil, nil, fmt.Errorf("line %d: the target %q is not a number, as a regression wants", lines[i], abridge(label))
			}
			numeric = false
			break
		}
		if v-v != 0 {
			return nil, nil, fmt.Errorf("line %d: the target %q is not finite", lines[i], abridge(label))
		}
		y.SetVec(i, v)
	}
	if numeric {
		y, names := numberClasses(y, regression)
		return y, names, nil
	}
	names := slices.Clone(labels)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == len(labels) && len(names) > maxClasses {
		return nil, nil, fmt.Errorf("line %d: every target is a different word, such as %q: name the right column as Label", lines[0], abridge(labels[0]))
	}
	for i, label := range labels {
		at, _ := slices.BinarySearch(names, label)
		y.SetVec(i, float64(at))
	}
	return y, names, nil
}

// numberClasses takes y for classes if it has at most maxClasses different
// values, all whole: their ids replace them, but -1 and +1 stay.
func numberClasses(y *mat.VecDense, regression bool) (*mat.VecDense, []string) {
	if regression {
		return y, nil
	}
	var values []float64
	for i := range y.Len() {
		v := y.AtVec(i)
		if v != math.Trunc(v) {
			return y, nil
		}
		if at, found := slices.BinarySearch(values, v); !found {
			if len(values) == maxClasses {
				return y, nil
			}
			values = slices.Insert(values, at, v)
		}
	}
	if len(values) == 2 && values[0] == -1 && values[1] == 1 {
		return y, []string{"-1", "+1"}
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = strconv.FormatFloat(v, 'f', -1, 64)
	}
	for i := range y.Len() {
		at, _ := slices.BinarySearch(values, y.AtVec(i))
		y.SetVec(i, float64(at))
	}
	return y, names
}

func fieldError(r *csv.Reader, i int, names []string, what string) error {
	line, col := r.FieldPos(i)
	name := fmt.Sprintf("field %d", i)
	if i < len(names) && names[i] != "" {
		name += ", " + abridge(names[i])
	}
	return fmt.Errorf("line %d, column %d (%s): %s", line, col, name, what)
}

func csvError(err error) error {
	var p *csv.ParseError
	if errors.As(err, &p) {
		return fmt.Errorf("line %d, column %d: %w", p.Line, p.Column, p.Err)
	}
	return err
}

// abridge shortens text from a file for a message.
func abridge(s string) string {
	const most = 80
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "…"
}
