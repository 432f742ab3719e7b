package data

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Standardizer maps each column x to (x-Mean)/Scale. It is a value: fit it on
// the training samples and apply the same one to new data.
//
// Weight decay is not invariant to the scale of the features, so a problem
// with standardised X is another problem than the one before.
type Standardizer struct {
	Mean, Scale []float64 // d each; Scale has no zeros
}

// FitStandardizer returns the standardizer that gives the columns of X (n×d)
// mean 0 and variance 1, where the variance is the mean of squares. A constant
// column is only centred.
func FitStandardizer(X mat.Matrix) (Standardizer, error) {
	n, d, err := finiteDims("FitStandardizer", X)
	if err != nil {
		return Standardizer{}, err
	}
	z := Standardizer{Mean: make([]float64, d), Scale: make([]float64, d)}
	for j := range d {
		sum := 0.0
		for i := range n {
			sum += X.At(i, j) / float64(n)
		}
		ss := 0.0
		for i := range n {
			v := X.At(i, j) - sum
			ss += v * v
		}
		z.Mean[j], z.Scale[j] = sum, math.Sqrt(ss/float64(n))
		if z.Scale[j] <= 1e-14*math.Abs(sum) { // rounding of a constant column
			z.Scale[j] = 1
		}
	}
	return z, nil
}

// FitUnitColumns returns the standardizer that divides the columns of X (n×d)
// by their Euclidean norms and does not centre them. A column of zeros stays.
func FitUnitColumns(X mat.Matrix) (Standardizer, error) {
	n, d, err := finiteDims("FitUnitColumns", X)
	if err != nil {
		return Standardizer{}, err
	}
	z := Standardizer{Mean: make([]float64, d), Scale: make([]float64, d)}
	for j := range d {
		norm := 0.0
		for i := range n {
			norm = math.Hypot(norm, X.At(i, j))
		}
		if norm == 0 {
			norm = 1
		}
		z.Scale[j] = norm
	}
	return z, nil
}

// Apply returns the standardised copy of X (n×d, with the d of the fit).
func (z Standardizer) Apply(X mat.Matrix) (*mat.Dense, error) {
	if len(z.Scale) == 0 || len(z.Mean) != len(z.Scale) {
		return nil, errors.New("data: Standardizer.Apply: nothing is fitted: make it with FitStandardizer(X)")
	}
	n, d, err := finiteDims("Standardizer.Apply", X)
	if err != nil {
		return nil, err
	}
	if d != len(z.Scale) {
		return nil, fmt.Errorf("data: Standardizer.Apply: X has %d columns but the fit had %d", d, len(z.Scale))
	}
	out := mat.NewDense(n, d, nil)
	for i := range n {
		row := out.RawRowView(i)
		for j := range row {
			row[j] = (X.At(i, j) - z.Mean[j]) / z.Scale[j]
		}
	}
	return out, nil
}

// WithBias returns X (n×d) with a column of ones appended. The weight of that
// column is the bias of a neuron, and is penalised like the others. It returns
// nil when X is nil or empty.
func WithBias(X mat.Matrix) *mat.Dense {
	if X == nil {
		return nil
	}
	n, d := X.Dims()
	if n == 0 || d == 0 {
		return nil
	}
	out := mat.NewDense(n, d+1, nil)
	out.Slice(0, n, 0, d).(*mat.Dense).Copy(X)
	for i := range n {
		out.Set(i, d, 1)
	}
	return out
}

// finiteDims returns the size of X, or an error if it is nil, empty, or holds
// NaN or infinity.
func finiteDims(who string, X mat.Matrix) (n, d int, err error) {
	if X == nil {
		return 0, 0, fmt.Errorf("data: %s: X is nil: want a matrix with one sample a row", who)
	}
	n, d = X.Dims()
	if n == 0 || d == 0 {
		return 0, 0, fmt.Errorf("data: %s: X is %d×%d: want at least one row and one column", who, n, d)
	}
	for i := range n {
		for j := range d {
			if v := X.At(i, j); v-v != 0 {
				return 0, 0, fmt.Errorf("data: %s: X[%d,%d] is %v: remove or replace what is not finite", who, i, j, v)
			}
		}
	}
	return n, d, nil
}
