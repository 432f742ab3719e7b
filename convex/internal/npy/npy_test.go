package npy

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"codeberg.org/sbinet/npyio/npy"
)

func TestRoundTrip(t *testing.T) {
	arrays := map[string]Array{
		"number": {nil, []float64{math.Pi}},
		"vector": {[]int{3}, []float64{1, -0.1, 1e-308}},
		"matrix": {[]int{2, 3}, []float64{1, 2, 3, 4, 5, 6}},
		"cube":   {[]int{1, 2, 2}, []float64{1, 2, 3, 4}},
	}
	for name, a := range arrays {
		b := Format(a)
		got, err := Parse(b)
		if err != nil || !slices.Equal(got.Shape, a.Shape) || !slices.Equal(got.Data, a.Data) {
			t.Errorf("%s: %v %v", name, got, err)
		}
		if i := bytes.IndexByte(b, '\n'); (i+1)%64 != 0 {
			t.Errorf("%s: the data start at byte %d", name, i+1)
		}
		// npyio, which is not ours, reads the same.
		if len(a.Shape) == 0 {
			continue
		}
		var x []float64
		if err := npy.Read(bytes.NewReader(b), &x); err != nil || !slices.Equal(x, a.Data) {
			t.Errorf("%s: npyio reads %v (%v)", name, x, err)
		}
	}
	b, err := FormatArchive(arrays, map[string][]byte{"note.txt": []byte("hello")})
	if err != nil {
		t.Fatal(err)
	}
	z, err := OpenArchive(b)
	if err != nil || len(z.Names) != len(arrays) {
		t.Fatal(z, err)
	}
	for name, a := range arrays {
		if got, err := z.Array(name, 1<<20); err != nil || !slices.Equal(got.Data, a.Data) {
			t.Errorf("%s: %v %v", name, got, err)
		}
		if _, err := z.Array(name, 10); err == nil || !strings.Contains(err.Error(), "more than 10 bytes") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if note, err := z.Bytes("note.txt", 10); err != nil || string(note) != "hello" {
		t.Error(note, err)
	}
	again, err := FormatArchive(arrays, map[string][]byte{"note.txt": []byte("hello")})
	if err != nil || !bytes.Equal(b, again) {
		t.Error("the same contents give other bytes", err)
	}
	if _, err := OpenArchive([]byte("PK\x03\x04 nothing")); err == nil {
		t.Error("nothing is an archive")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Format(Array{[]int{2, 2}, []float64{1, 2, 3, 4}}))
	f.Add(Format(Array{[]int{3}, []float64{1, 2, 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Parse(b)
		if err != nil {
			return
		}
		n := 1
		for _, s := range a.Shape {
			n *= s
		}
		if n != len(a.Data) {
			t.Errorf("shape %v with %d numbers", a.Shape, len(a.Data))
		}
	})
}
