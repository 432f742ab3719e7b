package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// ReadLIBSVM reads a text file in the format of LIBSVM, and if need be
// decompresses it: a line a sample, with its target and then index:value pairs,
// indices counted from 1 and rising, features left out being 0. A # starts a
// comment. Targets are taken as ReadCSV takes numbers: few different whole ones
// are classes, -1 and +1 stay.
func ReadLIBSVM(path string) (*Set, error) {
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return setFromLIBSVM(f)
}

func setFromLIBSVM(f file) (*Set, error) {
	s, err := parseLIBSVM(f.bytes)
	if err != nil {
		return nil, f.in(err)
	}
	s.Name, s.Source, s.SHA256 = f.path, f.path, f.sha256
	return s, nil
}

// isLIBSVM reports whether the first line with content looks like LIBSVM.
func isLIBSVM(text []byte) bool {
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line[:min(len(line), 1<<12)]))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 2 || !isNumber(fields[0]) {
			return false
		}
		index, _, found := strings.Cut(fields[1], ":")
		_, err := strconv.ParseUint(index, 10, 31)
		return found && err == nil
	}
	return false
}

func parseLIBSVM(text []byte) (*Set, error) {
	type entry struct {
		row, col int
		value    float64
	}
	var entries []entry
	var y []float64
	d := 0
	in := bufio.NewScanner(bytes.NewReader(text))
	in.Buffer(nil, 1<<30)
	for line := 1; in.Scan(); line++ {
		content, _, _ := strings.Cut(in.Text(), "#")
		rest := content
		last := 0
		for first := true; ; first = false {
			trimmed := strings.TrimLeft(rest, " \t\r")
			if trimmed == "" {
				break
			}
			col := len(content) - len(trimmed) + 1
			field := trimmed
			if end := strings.IndexAny(trimmed, " \t\r"); end >= 0 {
				field = trimmed[:end]
			}
			rest = trimmed[len(field):]
			fail := func(format string, args ...any) error {
				return fmt.Errorf("line %d, column %d: %s", line, col, fmt.Sprintf(format, args...))
			}
			if first {
				v, err := strconv.ParseFloat(field, 64)
				if err != nil || v-v != 0 {
					return nil, fail("the target %q is not a finite number", abridge(field))
				}
				y = append(y, v)
				continue
			}
			index, value, found := strings.Cut(field, ":")
			if !found {
				return nil, fail("%q is not index:value", abridge(field))
			}
			k, err := strconv.ParseUint(index, 10, 31)
			if err != nil || k == 0 {
				return nil, fail("the index %q is not a whole number of at least 1", abridge(index))
			}
			if int(k) <= last {
				return nil, fail("the index %d follows %d: indices must rise", k, last)
			}
			last = int(k)
			v, err := strconv.ParseFloat(value, 64)
			if err != nil || v-v != 0 {
				return nil, fail("the value %q is not a finite number", abridge(value))
			}
			entries = append(entries, entry{len(y) - 1, last - 1, v})
			d = max(d, last)
		}
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(y) == 0 {
		return nil, errors.New("there is no sample")
	}
	if d == 0 {
		return nil, errors.New("no sample has a feature: want index:value pairs after the target")
	}
	if _, err := size(len(y), d); err != nil {
		return nil, fmt.Errorf("%w: the set is read as a dense matrix", err)
	}
	s := &Set{X: mat.NewDense(len(y), d, nil)}
	for _, e := range entries {
		s.X.Set(e.row, e.col, e.value)
	}
	s.Y, s.ClassNames = numberClasses(mat.NewVecDense(len(y), y), false)
	return s, nil
}
