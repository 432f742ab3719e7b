package convex

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"codeberg.org/sbinet/npyio/npy"
	"github.com/google/renameio/v2/maybe"
	"gonum.org/v1/gonum/mat"
)

// array is a numeric array of up to three dimensions, row-major.
type array struct {
	shape []int
	data  []float64
}

// maxNPY is the largest array file that is read, in bytes.
const maxNPY = 4 << 30

// readNPY reads an array of numbers of any NumPy integer, float or bool type.
// It allocates no more than the file's own size warrants.
func readNPY(path string) (a array, err error) {
	f, err := os.Open(path)
	if err != nil {
		return array{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return array{}, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxNPY {
		return array{}, fmt.Errorf("%s is not a regular file of at most %d bytes", path, int64(maxNPY))
	}
	a, err = decodeNPY(f, st.Size())
	if err != nil {
		return array{}, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// itemSizes are the element types that are read, by NumPy's name without byte
// order.
var itemSizes = map[string]int64{
	"f8": 8, "f4": 4, "i8": 8, "i4": 4, "i2": 2, "i1": 1, "u8": 8, "u4": 4, "u2": 2, "u1": 1, "b1": 1,
}

func decodeNPY(r io.Reader, size int64) (a array, err error) {
	// The library trusts the header: look at its length first, and turn what
	// a malformed one makes it do into an error.
	defer func() {
		if p := recover(); p != nil {
			a, err = array{}, errors.New("malformed NumPy header")
		}
	}()
	var pre [12]byte
	if _, err := io.ReadFull(r, pre[:]); err != nil || string(pre[:6]) != "\x93NUMPY" {
		return array{}, errors.New("not a NumPy array file (.npy)")
	}
	header, skip := int64(binary.LittleEndian.Uint16(pre[8:])), int64(10)
	if pre[6] >= 2 {
		header, skip = int64(binary.LittleEndian.Uint32(pre[8:])), 12
	}
	if header > 1<<16 || header+skip > size {
		return array{}, errors.New("malformed NumPy header")
	}
	rd, err := npy.NewReader(io.MultiReader(bytes.NewReader(pre[:]), r))
	if err != nil {
		return array{}, err
	}
	d := rd.Header.Descr
	name := d.Type
	for len(name) > 0 && (name[0] == '\'' || name[0] == '<' || name[0] == '>' || name[0] == '|' || name[0] == '=') {
		name = name[1:]
	}
	for len(name) > 0 && name[len(name)-1] == '\'' {
		name = name[:len(name)-1]
	}
	item, ok := itemSizes[name]
	if !ok {
		return array{}, fmt.Errorf("elements are %s: want a float, integer or bool type", d.Type)
	}
	if len(d.Shape) == 0 || len(d.Shape) > 3 {
		return array{}, fmt.Errorf("the array has %d dimensions: want one, two or three", len(d.Shape))
	}
	count := int64(1)
	for _, s := range d.Shape {
		if s <= 0 || int64(s) > size || count > size/int64(s) {
			return array{}, fmt.Errorf("shape %v does not fit a file of %d bytes", d.Shape, size)
		}
		count *= int64(s)
	}
	if count*item != size-header-skip {
		return array{}, fmt.Errorf("shape %v of %s needs %d bytes, the file has %d", d.Shape, d.Type, count*item, size-header-skip)
	}
	data, err := readItems(rd, name)
	if err != nil {
		return array{}, err
	}
	if d.Fortran {
		data = fromColumnMajor(data, d.Shape)
	}
	return array{d.Shape, data}, nil
}

func readItems(r *npy.Reader, name string) ([]float64, error) {
	switch name {
	case "f8":
		var v []float64
		return v, r.Read(&v)
	case "f4":
		return readAs[float32](r)
	case "i8":
		return readAs[int64](r)
	case "i4":
		return readAs[int32](r)
	case "i2":
		return readAs[int16](r)
	case "i1":
		return readAs[int8](r)
	case "u8":
		return readAs[uint64](r)
	case "u4":
		return readAs[uint32](r)
	case "u2":
		return readAs[uint16](r)
	case "u1":
		return readAs[uint8](r)
	}
	var b []bool
	err := r.Read(&b)
	out := make([]float64, len(b))
	for i, v := range b {
		if v {
			out[i] = 1
		}
	}
	return out, err
}

func readAs[T float32 | int64 | int32 | int16 | int8 | uint64 | uint32 | uint16 | uint8](r *npy.Reader) ([]float64, error) {
	var v []T
	err := r.Read(&v)
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out, err
}

// fromColumnMajor reorders data whose first index runs fastest.
func fromColumnMajor(data []float64, shape []int) []float64 {
	out := make([]float64, len(data))
	for at := range out { // at: row-major position
		rest, from, stride := at, 0, len(data)
		for k := len(shape) - 1; k >= 0; k-- {
			stride /= shape[k]
			from += rest % shape[k] * stride
			rest /= shape[k]
		}
		out[at] = data[from]
	}
	return out
}

// writeNPY writes a matrix atomically.
func writeNPY(path string, M *mat.Dense) error {
	var b bytes.Buffer
	if err := npy.Write(&b, M); err != nil {
		return err
	}
	return maybe.WriteFile(path, b.Bytes(), 0o644)
}
