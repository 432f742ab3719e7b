package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex/internal/npy"
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

func parseNPY(b []byte) (X *mat.Dense, shape []int, err error) {
	a, err := npy.Parse(b)
	if err != nil {
		return nil, nil, err
	}
	if len(a.Shape) == 0 {
		return nil, nil, errors.New("the array is a single number: want at least one dimension")
	}
	if len(a.Data) > maxValues {
		return nil, nil, fmt.Errorf("%d numbers are more than the %d that fit", len(a.Data), maxValues)
	}
	for i, v := range a.Data {
		if v-v != 0 {
			return nil, nil, fmt.Errorf("number %d of the array is %v", i, v)
		}
	}
	return mat.NewDense(a.Shape[0], len(a.Data)/a.Shape[0], a.Data), a.Shape, nil
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
	z, err := npy.OpenArchive(b)
	if err != nil {
		return nil, err
	}
	names := z.Names
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
		raw, err := z.Bytes(name+".npy", int64(8*maxValues)+1<<16)
		if err != nil {
			return fail(err)
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
