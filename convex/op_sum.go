package convex

import (
	"fmt"
	"strings"
)

// SumOp is the operator (x_1, …, x_k) ↦ A_1 x_1 + … + A_k x_k: the variables of
// the operators one after the other, their predictions added. It is how an
// architecture with several parts is put together, such as a ReLU network with
// a linear skip connection:
//
//	relu, _ := convex.Lower(ctx, problem, nil)
//	op := convex.SumOp(relu.Op, convex.DenseOp(X))
//
// It panics when the operators do not have the same number of rows.
func SumOp(ops ...Op) Op {
	if len(ops) == 0 {
		panic("convex: SumOp needs at least one operator")
	}
	var names []string
	sum := Op{Rows: ops[0].Rows, parts: append([]Op(nil), ops...)}
	for i, op := range ops {
		if op.Rows != sum.Rows {
			panic(fmt.Sprintf("convex: SumOp: operator %d (%s) has %d rows, operator 0 (%s) has %d: all must predict the same", i, op.Name, op.Rows, ops[0].Name, sum.Rows))
		}
		names = append(names, op.Name)
		sum.Cols += op.Cols
	}
	sum.Name = strings.Join(names, " + ")
	sum.Apply = func(dst, x []float64) {
		part := make([]float64, sum.Rows)
		at := 0
		for i, op := range ops {
			if i == 0 {
				op.Apply(dst, x[:op.Cols])
			} else {
				op.Apply(part, x[at:at+op.Cols])
				axpy(1, part, dst)
			}
			at += op.Cols
		}
	}
	sum.Adjoint = func(dst, y []float64) {
		at := 0
		for _, op := range ops {
			op.Adjoint(dst[at:at+op.Cols], y)
			at += op.Cols
		}
	}
	return sum
}
