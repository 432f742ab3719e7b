package data

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"codeberg.org/sbinet/npyio/npy"
	"gonum.org/v1/gonum/mat"
)

// ReadNPY reads an array of numbers in NumPy's format (.npy). It returns the
// array with the first dimension as rows and the others flattened (n×1 for a
// vector), and its full shape.
func ReadNPY(path string) (X *mat.Dense, shape []int, err error) {
	f, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	X, shape, err = parseNPY(f.bytes)
	return X, shape, f.in(err)
}

const npyMagic = "\x93NUMPY"

func parseNPY(b []byte) (X *mat.Dense, shape []int, err error) {
	head, body, err := npyHeader(b)
	if err != nil {
		return nil, nil, err
	}
	shape = head.Descr.Shape
	if len(shape) == 0 {
		return nil, nil, errors.New("the array is a single number: want at least one dimension")
	}
	total := 1
	for i, s := range shape {
		if s < 1 {
			return nil, nil, fmt.Errorf("dimension %d of the array has size %d", i, s)
		}
		if total, err = size(total, s); err != nil {
			return nil, nil, err
		}
	}
	decode, width, err := npyType(head.Descr.Type)
	if err != nil {
		return nil, nil, err
	}
	if len(body) != total*width {
		return nil, nil, fmt.Errorf("the header says %s numbers of %d bytes, that is %d bytes, but %d follow: the file is damaged", shapeString(shape), width, total*width, len(body))
	}
	x := make([]float64, total)
	for i := range x {
		x[i] = decode(body[i*width:])
		if x[i]-x[i] != 0 {
			return nil, nil, fmt.Errorf("number %d of the array is %v", i, x[i])
		}
	}
	if head.Descr.Fortran {
		x = rowMajor(x, shape)
	}
	return mat.NewDense(shape[0], total/shape[0], x), shape, nil
}

// npyHeader parses the header. npyio does it, but trusts the file: what a
// damaged one makes it do is turned into an error here.
func npyHeader(b []byte) (head npy.Header, body []byte, err error) {
	if !bytes.HasPrefix(b, []byte(npyMagic)) || len(b) < 12 {
		return head, nil, fmt.Errorf("not a NumPy array: it starts with %q", b[:min(6, len(b))])
	}
	start := 10 + int(binary.LittleEndian.Uint16(b[8:]))
	if b[6] >= 2 {
		start = 12 + int(binary.LittleEndian.Uint32(b[8:]))
	}
	damaged := errors.New("the NumPy header is damaged")
	if start > len(b) {
		return head, nil, damaged
	}
	defer func() {
		if recover() != nil {
			head, body, err = npy.Header{}, nil, damaged
		}
	}()
	r, err := npy.NewReader(bytes.NewReader(b[:start]))
	if err != nil {
		return head, nil, fmt.Errorf("%w: %w", damaged, err)
	}
	return r.Header, b[start:], nil
}

// npyType returns how a number of a NumPy type such as '<f8' is decoded, and
// its width in bytes.
func npyType(descr string) (decode func([]byte) float64, width int, err error) {
	name := strings.Trim(descr, `'"`)
	var order binary.ByteOrder = binary.LittleEndian
	if strings.HasPrefix(name, ">") {
		order = binary.BigEndian
	}
	name = strings.TrimLeft(name, "<>|=")
	if len(name) == 2 {
		width, _ = strconv.Atoi(name[1:])
	}
	switch name {
	case "f8":
		decode = func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) }
	case "f4":
		decode = func(b []byte) float64 { return float64(math.Float32frombits(order.Uint32(b))) }
	case "i8":
		decode = func(b []byte) float64 { return float64(int64(order.Uint64(b))) }
	case "i4":
		decode = func(b []byte) float64 { return float64(int32(order.Uint32(b))) }
	case "i2":
		decode = func(b []byte) float64 { return float64(int16(order.Uint16(b))) }
	case "i1":
		decode = func(b []byte) float64 { return float64(int8(b[0])) }
	case "u8":
		decode = func(b []byte) float64 { return float64(order.Uint64(b)) }
	case "u4":
		decode = func(b []byte) float64 { return float64(order.Uint32(b)) }
	case "u2":
		decode = func(b []byte) float64 { return float64(order.Uint16(b)) }
	case "u1", "b1":
		decode = func(b []byte) float64 { return float64(b[0]) }
	default:
		return nil, 0, fmt.Errorf("the array has the type %s: save it as a type of numbers, such as float64", abridge(descr))
	}
	return decode, width, nil
}

// rowMajor reorders an array whose first index runs fastest.
func rowMajor(x []float64, shape []int) []float64 {
	out := make([]float64, len(x))
	index := make([]int, len(shape))
	for at := range out {
		from := 0
		for k := len(shape) - 1; k >= 0; k-- {
			from = from*shape[k] + index[k]
		}
		out[at] = x[from]
		for k := len(shape) - 1; k >= 0; k-- {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
	return out
}

// The names under which archives keep samples and targets, the likelier first.
var npzPairs = [][2]string{{"X", "y"}, {"X", "Y"}, {"x", "y"}, {"data", "target"}, {"images", "labels"}, {"X_train", "y_train"}, {"x_train", "y_train"}, {"train_images", "train_labels"}}

// ReadNPZ reads a set from two arrays of a NumPy archive (.npz): samples, the
// first dimension being rows, and a target each, taken as ReadCSV takes
// numbers. Empty names find arrays of usual names, such as X and y.
func ReadNPZ(path, samples, targets string) (*Set, error) {
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return setFromNPZ(f, samples, targets)
}

func setFromNPZ(f file, samples, targets string) (*Set, error) {
	s, err := parseNPZ(f.bytes, samples, targets)
	if err != nil {
		return nil, f.in(err)
	}
	s.Name, s.Source, s.SHA256 = f.path, f.path, f.sha256
	return s, nil
}

func parseNPZ(b []byte, samples, targets string) (*Set, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("damaged archive: %w", err)
	}
	var names []string
	for _, f := range z.File {
		if name, found := strings.CutSuffix(f.Name, ".npy"); found {
			names = append(names, name)
		}
	}
	if samples == "" && targets == "" {
		for _, pair := range npzPairs {
			if slices.Contains(names, pair[0]) && slices.Contains(names, pair[1]) {
				samples, targets = pair[0], pair[1]
				break
			}
		}
	}
	for _, name := range []string{samples, targets} {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("there is no array %q for samples and targets: ReadNPZ takes two names of %s", name, abridge(strings.Join(names, ", ")))
		}
	}
	read := func(name string) (*mat.Dense, []int, error) {
		fail := func(err error) (*mat.Dense, []int, error) {
			return nil, nil, fmt.Errorf("array %s: %w", name, err)
		}
		r, err := z.Open(name + ".npy")
		if err != nil {
			return fail(err)
		}
		defer r.Close()
		limit := int64(8*maxValues) + 1<<16
		raw, err := io.ReadAll(io.LimitReader(r, limit+1))
		if err != nil {
			return fail(err)
		}
		if int64(len(raw)) > limit {
			return fail(fmt.Errorf("more than %d bytes when decompressed", limit))
		}
		A, shape, err := parseNPY(raw)
		if err != nil {
			return fail(err)
		}
		return A, shape, nil
	}
	X, shape, err := read(samples)
	if err != nil {
		return nil, err
	}
	Y, _, err := read(targets)
	if err != nil {
		return nil, err
	}
	n, _ := X.Dims()
	if m, c := Y.Dims(); m != n || c != 1 {
		return nil, fmt.Errorf("array %s is %d×%d: want one target for each of the %d rows of %s", targets, m, c, n, samples)
	}
	s := &Set{X: X}
	if len(shape) == 3 {
		s.Shape = shape[1:]
	}
	s.Y, s.ClassNames = numberClasses(mat.NewVecDense(n, Y.RawMatrix().Data), false)
	return s, nil
}
