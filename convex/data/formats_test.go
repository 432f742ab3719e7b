package data

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"codeberg.org/sbinet/npyio/npy"
	"gonum.org/v1/gonum/mat"
)

func TestReadLIBSVM(t *testing.T) {
	path := write(t, "a.txt", []byte("# a comment\n+1 1:0.5 3:-2 # and another\n\n-1 2:1e-3\r\n+1\n"))
	s, err := ReadLIBSVM(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := mat.NewDense(3, 3, []float64{0.5, 0, -2, 0, 1e-3, 0, 0, 0, 0}); !mat.Equal(s.X, want) {
		t.Error(mat.Formatted(s.X))
	}
	if !slices.Equal(s.Y.RawVector().Data, []float64{1, -1, 1}) || !slices.Equal(s.ClassNames, []string{"-1", "+1"}) {
		t.Error(s.Y, s.ClassNames)
	}
	if o, err := Open(path); err != nil || !mat.Equal(o.X, s.X) {
		t.Error(err)
	}
	for text, want := range map[string]string{
		"":                 "no sample",
		"1\n2\n":           "no sample has a feature",
		"x 1:2\n":          `line 1, column 1: the target "x"`,
		"1 1:2\n1 1:2 3":   `line 2, column 7: "3" is not index:value`,
		"1 0:2":            `line 1, column 3: the index "0"`,
		"1 2:2 2:3":        "line 1, column 7: the index 2 follows 2",
		"1 1:nan":          `the value "nan"`,
		"inf 1:1":          `the target "inf"`,
		"1 2147483647:1\n": "more than",
	} {
		old := maxValues
		maxValues = 1 << 20
		if _, err := ReadLIBSVM(write(t, "a", []byte(text))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
		maxValues = old
	}
}

func encodeNPY(t testing.TB, v any) []byte {
	var b bytes.Buffer
	if err := npy.Write(&b, v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// header makes a NumPy file by hand, for what npyio does not write.
func header(dict string, body ...byte) []byte {
	dict += strings.Repeat(" ", 63-(len(dict)+10)%64) + "\n"
	b := append([]byte("\x93NUMPY"), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(dict)))
	return append(append(b, dict...), body...)
}

func TestReadNPY(t *testing.T) {
	want := mat.NewDense(2, 3, []float64{1, 2, 3, 4, 5, 6})
	X, shape, err := ReadNPY(write(t, "x.npy", encodeNPY(t, want)))
	if err != nil || !mat.Equal(X, want) || !slices.Equal(shape, []int{2, 3}) {
		t.Error(X, shape, err)
	}
	for _, v := range []any{
		[]float64{1, 2}, []float32{1, 2}, []int64{1, 2}, []int32{1, 2}, []int16{1, 2}, []int8{1, 2},
		[]uint64{1, 2}, []uint32{1, 2}, []uint16{1, 2}, []uint8{1, 2},
	} {
		X, shape, err := parseNPY(encodeNPY(t, v))
		if err != nil || X.At(0, 0) != 1 || X.At(1, 0) != 2 || !slices.Equal(shape, []int{2}) {
			t.Errorf("%T: %v %v %v", v, X, shape, err)
		}
	}
	for name, b := range map[string][]byte{
		"bool":       header("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", 1, 0),
		"big endian": header("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", 0, 1, 0, 0),
	} {
		if X, _, err := parseNPY(b); err != nil || X.At(0, 0) != 1 || X.At(1, 0) != 0 {
			t.Errorf("%s: %v %v", name, X, err)
		}
	}
	// Column-major 2×2×3: entry (i, j, k) is at i + 2j + 4k and holds that.
	X, _, err = parseNPY(header("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 3), }", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))
	if err != nil || !slices.Equal(X.RawMatrix().Data, []float64{0, 4, 8, 2, 6, 10, 1, 5, 9, 3, 7, 11}) {
		t.Error(X, err)
	}
	for want, b := range map[string][]byte{
		"not a NumPy array":    []byte("hello, world"),
		"header is damaged":    header("{'descr': '<f8', }"),
		"does not fit":         header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 99999999), }"),
		"is damaged":           header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", 1),
		"single number":        header("{'descr': '|u1', 'fortran_order': False, 'shape': (), }", 1),
		"has the type":         header("{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }", make([]byte, 16)...),
		"dimension 0 of the a": header("{'descr': '|u1', 'fortran_order': False, 'shape': (0,), }"),
		"number 0 of the arra": encodeNPY(t, []float64{math.NaN()}),
	} {
		if _, _, err := ReadNPY(write(t, "x.npy", b)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func archiveOf(t testing.TB, arrays map[string]any) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, v := range arrays {
		w, err := z.Create(name + ".npy")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(encodeNPY(t, v)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadNPZ(t *testing.T) {
	X := mat.NewDense(3, 2, []float64{1, 2, 3, 4, 5, 6})
	path := write(t, "a.npz", archiveOf(t, map[string]any{"X": X, "y": []int64{7, 9, 7}, "other": []float64{1}}))
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !mat.Equal(s.X, X) || !slices.Equal(s.Y.RawVector().Data, []float64{0, 1, 0}) || !slices.Equal(s.ClassNames, []string{"7", "9"}) {
		t.Error(s)
	}
	if s, err := ReadNPZ(path, "y", "y"); err != nil || s.Features() != 1 {
		t.Error(s, err)
	}
	for _, c := range []struct{ x, y, want string }{
		{"Z", "y", `no array "Z"`}, {"X", "other", "array other is 1×1: want one target for each of the 3 rows"}, {"X", "X", "array X is 3×2"},
	} {
		if _, err := ReadNPZ(path, c.x, c.y); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if _, err := Open(write(t, "a.npz", archiveOf(t, map[string]any{"a": X}))); err == nil || !strings.Contains(err.Error(), "takes two names of a") {
		t.Error(err)
	}
	if _, err := Open(write(t, "a.npz", []byte("PK\x03\x04 nothing"))); err == nil || !strings.Contains(err.Error(), "damaged archive") {
		t.Error(err)
	}
	if s, err := Open(write(t, "a.npy", encodeNPY(t, X))); err != nil || s.Y != nil || s.Len() != 3 {
		t.Error(s, err)
	}
}

// cifarFile makes n records; sample i has class i%10 and value i everywhere.
func cifarFile(n int) []byte {
	var b []byte
	for i := range n {
		b = append(b, byte(i%10))
		b = append(b, bytes.Repeat([]byte{byte(i)}, cifarPixels)...)
	}
	return b
}

func TestCIFAR10(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		put(fmt.Sprintf("data_batch_%d.bin", i+1), cifarFile(4))
	}
	put("test_batch.bin", cifarFile(10))
	train, test, err := CIFAR10(dir)
	if err != nil {
		t.Fatal(err)
	}
	if train.Len() != 20 || test.Len() != 10 || train.Y.AtVec(7) != 3 || math.Abs(train.X.At(7, 100)-3.0/255) > 1e-15 || test.ClassNames[9] != "truck" {
		t.Error(train, test)
	}
	if _, err := train.Images(20); err != nil {
		t.Error(err)
	}
	if s, err := Open(filepath.Join(dir, "test_batch.bin")); err != nil || s.Len() != 10 {
		t.Error(s, err)
	}
	put("test_batch.bin", cifarFile(10)[1:])
	if _, _, err := CIFAR10(dir); err == nil || !strings.Contains(err.Error(), "records of 3073 bytes") {
		t.Error(err)
	}
	if _, _, err := CIFAR10(t.TempDir()); err == nil || !strings.Contains(err.Error(), "GONVEX_DATA") {
		t.Error(err)
	}
}

// What is taken for CIFAR-10 has whole records of its classes.
func FuzzCIFAR(f *testing.F) {
	smallFiles(f)
	f.Add(cifarFile(2))
	f.Add(cifarFile(1)[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if !isCIFAR(b) {
			return
		}
		s, err := parseCIFAR(b)
		if err != nil {
			return // more than may be read
		}
		sound(t, s)
		if s.Len() != len(b)/cifarRecord || s.Features() != cifarPixels {
			t.Fatal(s)
		}
	})
}

func FuzzLIBSVM(f *testing.F) {
	smallFiles(f)
	f.Add([]byte("+1 1:0.5 3:-2\n-1 2:1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseLIBSVM(b); err == nil {
			sound(t, s)
		}
	})
}

func FuzzNPY(f *testing.F) {
	smallFiles(f)
	f.Add(encodeNPY(f, mat.NewDense(2, 2, nil)))
	f.Add(header("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 3), }", make([]byte, 12)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if X, _, err := parseNPY(b); err == nil {
			sound(t, &Set{X: X})
		}
	})
}

func FuzzNPZ(f *testing.F) {
	smallFiles(f)
	f.Add(archiveOf(f, map[string]any{"X": []float64{1, 2}, "y": []float64{1, 2}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseNPZ(b, "", ""); err == nil {
			sound(t, s)
		}
	})
}

// Open never panics, whatever the file.
func FuzzOpen(f *testing.F) {
	smallFiles(f)
	f.Add([]byte("a,y\n1,2\n"))
	f.Add(zipped(idx([]int{2, 2, 2}, make([]byte, 8))))
	f.Add(cifarFile(1))
	path := filepath.Join(f.TempDir(), "file")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(path); err == nil {
			sound(t, s)
		}
	})
}
