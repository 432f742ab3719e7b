package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// ReadIDX reads an array in the IDX format of MNIST, and if need be
// decompresses it: a magic number (two zero bytes, the type, the number of
// dimensions), the big-endian sizes, then the numbers. It returns the array
// with the first dimension as rows and the others flattened (n×1 for a
// vector), and its full shape. The numbers are as in the file.
func ReadIDX(path string) (X *mat.Dense, shape []int, err error) {
	f, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	X, shape, err = parseIDX(f.bytes, 1)
	return X, shape, f.in(err)
}

func isIDX(b []byte) bool {
	return len(b) >= 4 && b[0] == 0 && b[1] == 0 && idxWidth(b[2]) != 0 && b[3] >= 1
}

// idxWidth is the bytes of a number of an IDX type, 0 for an unknown type.
func idxWidth(kind byte) int {
	switch kind {
	case 0x08, 0x09:
		return 1
	case 0x0b:
		return 2
	case 0x0c, 0x0d:
		return 4
	case 0x0e:
		return 8
	}
	return 0
}

// parseIDX decodes an IDX array and multiplies it by scale.
func parseIDX(b []byte, scale float64) (*mat.Dense, []int, error) {
	if !isIDX(b) {
		return nil, nil, fmt.Errorf("not an IDX file: it starts with % x, want 00 00, a type from 08 to 0e and the number of dimensions", b[:min(4, len(b))])
	}
	kind, dims := b[2], int(b[3])
	width := idxWidth(kind)
	if len(b) < 4+4*dims {
		return nil, nil, fmt.Errorf("the IDX header is cut short: %d dimensions want %d bytes, the file has %d", dims, 4+4*dims, len(b))
	}
	shape := make([]int, dims)
	total := 1
	for i := range shape {
		shape[i] = int(binary.BigEndian.Uint32(b[4+4*i:]))
		if shape[i] == 0 {
			return nil, nil, fmt.Errorf("dimension %d of the IDX array has size 0", i)
		}
		var err error
		if total, err = size(total, shape[i]); err != nil {
			return nil, nil, err
		}
	}
	body := b[4+4*dims:]
	if len(body) != total*width {
		return nil, nil, fmt.Errorf("the IDX header says %s numbers of %d bytes, that is %d bytes, but %d follow: the file is damaged", shapeString(shape), width, total*width, len(body))
	}
	x := make([]float64, total)
	if kind == 0x08 { // images: worth a loop of its own
		for i, v := range body {
			x[i] = float64(v) * scale
		}
		return mat.NewDense(shape[0], total/shape[0], x), shape, nil
	}
	for i := range x {
		at := body[i*width:]
		switch kind {
		case 0x09:
			x[i] = float64(int8(at[0]))
		case 0x0b:
			x[i] = float64(int16(binary.BigEndian.Uint16(at)))
		case 0x0c:
			x[i] = float64(int32(binary.BigEndian.Uint32(at)))
		case 0x0d:
			x[i] = float64(math.Float32frombits(binary.BigEndian.Uint32(at)))
		case 0x0e:
			x[i] = math.Float64frombits(binary.BigEndian.Uint64(at))
		}
		if x[i]-x[i] != 0 {
			return nil, nil, fmt.Errorf("number %d of the IDX array is %v", i, x[i])
		}
		x[i] *= scale
	}
	return mat.NewDense(shape[0], total/shape[0], x), shape, nil
}

// idxSet makes a set of an IDX file of samples and one of class ids. Bytes are
// scaled to [0, 1].
func idxSet(samples, labels file, names []string) (*Set, error) {
	scale := 1.0
	if len(samples.bytes) > 2 && samples.bytes[2] == 0x08 {
		scale = 1.0 / 255
	}
	X, shape, err := parseIDX(samples.bytes, scale)
	if err != nil {
		return nil, samples.in(err)
	}
	Y, _, err := parseIDX(labels.bytes, 1)
	if err != nil {
		return nil, labels.in(err)
	}
	n, _ := X.Dims()
	if m, c := Y.Dims(); c != 1 {
		return nil, labels.in(fmt.Errorf("it is an array of %d×%d: want one class id a sample", m, c))
	} else if m != n {
		return nil, labels.in(fmt.Errorf("it has %d labels but %s has %d samples", m, samples.path, n))
	}
	s := &Set{X: X, Source: samples.path, SHA256: hashOf(samples.sha256, labels.sha256)}
	if len(shape) == 3 {
		s.Shape = shape[1:]
	}
	y := mat.NewVecDense(n, Y.RawMatrix().Data)
	if names == nil {
		s.Y, s.ClassNames = numberClasses(y, false)
		return s, nil
	}
	s.Y, s.ClassNames = y, names
	if _, err := s.ids(); err != nil {
		return nil, labels.in(err)
	}
	return s, nil
}

// openIDX makes a set of an IDX file and the file of its labels beside it.
func openIDX(f file) (*Set, error) {
	name := filepath.Base(f.path)
	if strings.Contains(name, "-images") && strings.Contains(name, "-idx3") {
		name = strings.Replace(strings.Replace(name, "-images", "-labels", 1), "-idx3", "-idx1", 1)
		if labels, err := readEither(filepath.Join(filepath.Dir(f.path), name)); err == nil {
			s, err := idxSet(f, labels, nil)
			if err != nil {
				return nil, err
			}
			s.Name = f.path
			return s, nil
		}
	}
	X, shape, err := parseIDX(f.bytes, 1)
	if err != nil {
		return nil, f.in(err)
	}
	s := &Set{Name: f.path, X: X, Source: f.path, SHA256: f.sha256}
	if len(shape) == 3 {
		s.Shape = shape[1:]
	}
	return s, nil
}

// readEither reads a file as named, or compressed with .gz after the name.
func readEither(path string) (file, error) {
	path = strings.TrimSuffix(path, ".gz")
	f, err := readFile(path + ".gz")
	if err == nil {
		return f, nil
	}
	f, plain := readFile(path)
	if plain != nil {
		return f, errors.Join(plain, err)
	}
	return f, nil
}
