// Package npy reads and writes NumPy's files: arrays of numbers (.npy) and zip
// archives of them (.npz). Nothing a file says is believed: it allocates no more
// than the file's own size warrants and returns an error for what is damaged.
package npy

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"

	"codeberg.org/sbinet/npyio/npy"
)

// Array is an array of numbers, row-major. A single number has no dimension.
type Array struct {
	Shape []int
	Data  []float64
}

// Magic is what every .npy file starts with.
const Magic = "\x93NUMPY"

// Parse reads an array of any of NumPy's integer, float and bool types.
func Parse(b []byte) (Array, error) {
	head, body, err := header(b)
	if err != nil {
		return Array{}, err
	}
	decode, width, err := decoder(head.Descr.Type)
	if err != nil {
		return Array{}, err
	}
	total := 1
	for i, s := range head.Descr.Shape {
		if s < 1 {
			return Array{}, fmt.Errorf("dimension %d of the array has size %d", i, s)
		}
		if total > len(body)/s {
			return Array{}, fmt.Errorf("an array of %s numbers does not fit: only %d bytes follow the header, so the file is damaged", shapeString(head.Descr.Shape), len(body))
		}
		total *= s
	}
	if len(body) != total*width {
		return Array{}, fmt.Errorf("the header says %s numbers of %d bytes, that is %d bytes, but %d follow: the file is damaged", shapeString(head.Descr.Shape), width, total*width, len(body))
	}
	x := make([]float64, total)
	for i := range x {
		x[i] = decode(body[i*width:])
	}
	if head.Descr.Fortran {
		x = rowMajor(x, head.Descr.Shape)
	}
	return Array{head.Descr.Shape, x}, nil
}

// header parses the header. npyio does it, but trusts the file: what a damaged
// one makes it do is turned into an error here.
func header(b []byte) (head npy.Header, body []byte, err error) {
	if !bytes.HasPrefix(b, []byte(Magic)) || len(b) < 12 {
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

// decoder returns how a number of a NumPy type such as '<f8' is decoded, and its
// width in bytes.
func decoder(descr string) (decode func([]byte) float64, width int, err error) {
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
		const most = 80
		if r := []rune(descr); len(r) > most {
			descr = string(r[:most]) + "…"
		}
		return nil, 0, fmt.Errorf("the array has the type %s: save it as a type of numbers, such as float64", descr)
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

func shapeString(shape []int) string {
	s := make([]string, len(shape))
	for i, v := range shape {
		s[i] = strconv.Itoa(v)
	}
	return strings.Join(s, "×")
}

// Format is the .npy file of an array: float64, little-endian, row-major.
func Format(a Array) []byte {
	shape := strings.ReplaceAll(shapeString(a.Shape), "×", ", ")
	if len(a.Shape) == 1 {
		shape += ","
	}
	head := fmt.Sprintf("{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }", shape)
	// The data start at a multiple of 64 bytes.
	head += strings.Repeat(" ", 63-(len(Magic)+4+len(head))%64) + "\n"
	b := append([]byte(Magic), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(head)))
	b = append(b, head...)
	for _, v := range a.Data {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// Archive is a .npz file in memory.
type Archive struct {
	zip   *zip.Reader
	Names []string // of the arrays, as they lie in the file
}

// OpenArchive reads the directory of a .npz file.
func OpenArchive(b []byte) (*Archive, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("damaged archive: %w", err)
	}
	a := &Archive{zip: z}
	for _, f := range z.File {
		if name, found := strings.CutSuffix(f.Name, ".npy"); found {
			a.Names = append(a.Names, name)
		}
	}
	return a, nil
}

// Bytes is a file of the archive, an array or another, of at most limit bytes.
func (a *Archive) Bytes(name string, limit int64) ([]byte, error) {
	r, err := a.zip.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("more than %d bytes when decompressed", limit)
	}
	return raw, err
}

// Array reads one array of the archive, of at most limit bytes.
func (a *Archive) Array(name string, limit int64) (Array, error) {
	raw, err := a.Bytes(name+".npy", limit)
	if err != nil {
		return Array{}, err
	}
	return Parse(raw)
}

// FormatArchive is the .npz file of arrays by name, and of other files. The same
// contents give the same bytes.
func FormatArchive(arrays map[string]Array, files map[string][]byte) ([]byte, error) {
	all := map[string][]byte{}
	for name, a := range arrays {
		all[name+".npy"] = Format(a)
	}
	for name, b := range files {
		all[name] = b
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, err := z.Create(name)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(all[name]); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
