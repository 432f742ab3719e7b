package data

import (
	"fmt"
	"path/filepath"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// A record of CIFAR-10's binary version: the class, then the red, green and
// blue planes of 32×32 bytes.
const (
	cifarPixels = 3 * 32 * 32
	cifarRecord = 1 + cifarPixels
)

var cifarNames = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

const (
	cifarFolder = "cifar-10-batches-bin"
	cifarAdvice = "unpack cifar-10-binary.tar.gz and name the directory with data_batch_1.bin in GONVEX_DATA or as the argument"
)

// CIFAR10 reads the 50000 training and 10000 test images of the binary version
// of CIFAR-10: 32×32 pixels in colour scaled to [0, 1], ten classes. The six
// files, data_batch_1.bin to data_batch_5.bin and test_batch.bin, are looked
// for in dir, or if it is not given in $GONVEX_DATA/cifar-10-batches-bin and
// $GONVEX_DATA. The training set takes 1.2 GB.
func CIFAR10(dir ...string) (train, test *Set, err error) {
	if train, err = cifarPart(dir, "train"); err != nil {
		return nil, nil, err
	}
	if test, err = cifarPart(dir, "test"); err != nil {
		return nil, nil, err
	}
	return train, test, nil
}

func cifarPart(arg []string, part string) (*Set, error) {
	names := []string{"test_batch.bin"}
	if part == "train" {
		names = nil
		for i := range 5 {
			names = append(names, fmt.Sprintf("data_batch_%d.bin", i+1))
		}
	}
	dirs := directories(arg, cifarFolder)
	dir, ok := find(dirs, names[0])
	if !ok {
		return nil, fmt.Errorf("data: cifar10: there is no %s in %s: %s", names[0], strings.Join(dirs, " or "), cifarAdvice)
	}
	var all []byte
	var sums []string
	for _, name := range names {
		f, err := readEither(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, cifarAdvice)
		}
		if !isCIFAR(f.bytes) {
			return nil, f.in(fmt.Errorf("it is not a file of CIFAR-10's binary version: want records of %d bytes that start with a class from 0 to 9", cifarRecord))
		}
		all = append(all, f.bytes...)
		sums = append(sums, f.sha256)
	}
	s, err := parseCIFAR(all)
	if err != nil {
		return nil, err
	}
	s.Name = "cifar10"
	if part != "train" {
		s.Name += " (test)"
	}
	s.Source = "A. Krizhevsky (2009), Learning multiple layers of features from tiny images; read from " + dir
	s.SHA256 = hashOf(sums...)
	return s, nil
}

// isCIFAR reports whether b is records whose first byte is a class.
func isCIFAR(b []byte) bool {
	if len(b) == 0 || len(b)%cifarRecord != 0 {
		return false
	}
	for at := 0; at < len(b); at += cifarRecord {
		if int(b[at]) >= len(cifarNames) {
			return false
		}
	}
	return true
}

// parseCIFAR decodes what isCIFAR accepts.
func parseCIFAR(b []byte) (*Set, error) {
	n := len(b) / cifarRecord
	if _, err := size(n, cifarPixels); err != nil {
		return nil, err
	}
	s := &Set{X: mat.NewDense(n, cifarPixels, nil), Y: mat.NewVecDense(n, nil), ClassNames: cifarNames, Shape: []int{32, 32, 3}}
	for i := range n {
		record := b[i*cifarRecord:][:cifarRecord]
		s.Y.SetVec(i, float64(record[0]))
		row := s.X.RawRowView(i)
		for j, v := range record[1:] {
			row[j] = float64(v) / 255
		}
	}
	return s, nil
}

// openCIFAR makes a set of one file of records.
func openCIFAR(f file) (*Set, error) {
	s, err := parseCIFAR(f.bytes)
	if err != nil {
		return nil, f.in(err)
	}
	s.Name, s.Source, s.SHA256 = f.path, f.path, f.sha256
	return s, nil
}
