package convex

import (
	"fmt"
	"os"

	"github.com/google/renameio/v2/maybe"
	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex/internal/npy"
)

// array is a numeric array, row-major.
type array struct {
	shape []int
	data  []float64
}

// maxNPY is the largest array file that is read, in bytes.
const maxNPY = 4 << 30

// readNPY reads an array of numbers of any NumPy integer, float or bool type.
func readNPY(path string) (array, error) {
	b, err := readRegular(path)
	if err != nil {
		return array{}, err
	}
	a, err := npy.Parse(b)
	if err == nil && len(a.Shape) == 0 {
		err = fmt.Errorf("the array is a single number: want one, two or three dimensions")
	}
	if err != nil {
		return array{}, fmt.Errorf("%s: %w", path, err)
	}
	return array{a.Shape, a.Data}, nil
}

// readRegular reads a file that is one and not too large.
func readRegular(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxNPY {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, int64(maxNPY))
	}
	return os.ReadFile(path)
}

// writeNPY writes a matrix atomically.
func writeNPY(path string, M *mat.Dense) error {
	return maybe.WriteFile(path, npy.Format(arrayOf(M)), 0o644)
}

func arrayOf(M *mat.Dense) npy.Array {
	r, c := M.Dims()
	return npy.Array{Shape: []int{r, c}, Data: flatten(M)}
}
