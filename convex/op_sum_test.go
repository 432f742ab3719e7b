package convex_test

import (
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/convextest"
)

func TestSumOp(t *testing.T) {
	A := mat.NewDense(3, 2, []float64{1, 2, 3, 4, 5, 6})
	B := mat.NewDense(3, 1, []float64{-1, 0, 2})
	op := convex.SumOp(convex.DenseOp(A), convex.DenseOp(B))
	convextest.TestOp(t, op)
	got := make([]float64, 3)
	op.Apply(got, []float64{1, -1, 10})
	for i, want := range []float64{-11, -1, 19} {
		if got[i] != want {
			t.Errorf("entry %d is %v, want %v", i, got[i], want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("operators with other numbers of rows were added")
		}
	}()
	convex.SumOp(convex.DenseOp(A), convex.DenseOp(A.T()))
}
