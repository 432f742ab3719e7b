package convex

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"gonum.org/v1/gonum/mat"
)

// finiteMatrix returns A as a *mat.Dense with contiguous rows, and an error
// that names it when it is nil, empty, or has a NaN or an infinity.
func finiteMatrix(name string, A mat.Matrix) (*mat.Dense, error) {
	if isNil(A) {
		return nil, fmt.Errorf("convex: %s is nil: want a matrix with one sample a row", name)
	}
	r, c := A.Dims()
	if r == 0 || c == 0 {
		return nil, fmt.Errorf("convex: %s is %d×%d: it must not be empty", name, r, c)
	}
	M, ok := A.(*mat.Dense)
	if !ok || M.RawMatrix().Stride != c {
		M = mat.DenseCopyOf(A)
	}
	for i, v := range M.RawMatrix().Data {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("convex: %s has %g in row %d, column %d: every entry must be a finite number", name, v, i/c, i%c)
		}
	}
	return M, nil
}

// isNil also sees a nil pointer inside a non-nil interface, which the matrix
// methods would panic on.
func isNil(A mat.Matrix) bool {
	switch m := A.(type) {
	case nil:
		return true
	case *mat.Dense:
		return m == nil
	case *mat.VecDense:
		return m == nil
	case *mat.SymDense:
		return m == nil
	}
	return false
}

// background is ctx, or the background when a caller passes nil.
func background(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// fingerprint tells matrices apart.
func fingerprint(X *mat.Dense) uint64 {
	h := fnv.New64a()
	r, c := X.Dims()
	b := make([]byte, 0, 8*(c+2))
	b = binary.LittleEndian.AppendUint64(b, uint64(r))
	b = binary.LittleEndian.AppendUint64(b, uint64(c))
	for i := 0; i < r; i++ {
		for _, v := range X.RawRowView(i) {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		h.Write(b)
		b = b[:0]
	}
	return h.Sum64()
}
