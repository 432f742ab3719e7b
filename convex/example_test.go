package convex_test

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

func ExampleSolve() {
	X := mat.NewDense(5, 2, []float64{-2, 1, -1, 1, 0, 1, 1, 1, 2, 1}) // the last column is the bias
	y := mat.NewVecDense(5, []float64{1, -1, 1, 1, -1})
	sol, err := convex.Solve(context.Background(), convex.Problem{X: X, Y: y, Beta: 1e-2}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f %v %v\n", sol.Primal, sol.Scope, sol.Status)
	// Output: 0.100074 global optimal
}

// A network that is narrower than the optimum, and what that costs.
func ExampleNarrow() {
	X := mat.NewDense(5, 2, []float64{-2, 1, -1, 1, 0, 1, 1, 1, 2, 1})
	p := convex.Problem{X: X, Y: mat.NewVecDense(5, []float64{1, -1, 1, 1, -1}), Beta: 1e-2}
	ctx := context.Background()
	wide, err := convex.Solve(ctx, p, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	narrow, err := convex.Narrow(ctx, p, wide.Network, 2, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d neurons %.2f, %d neurons %.2f\n", wide.Network.Neurons(), wide.Primal, narrow.Network.Neurons(), narrow.Primal)
	// Output: 4 neurons 0.10, 2 neurons 1.05
}

// A part of a program can be exchanged before it is solved.
func ExampleSolveProgram() {
	X := mat.NewDense(4, 2, []float64{1, 0, 0, 1, -1, 0, 0, -1})
	y := mat.NewVecDense(4, []float64{1, 2, 0, 1})
	ctx := context.Background()
	prog, err := convex.Lower(ctx, convex.Problem{X: X, Y: y, Arch: convex.GatedReLU{}, Beta: 0.1}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	prog.Penalty = convex.GroupL1(0.2)
	sol, err := convex.SolveProgram(ctx, prog, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f %v\n", sol.Primal, sol.Status)
	// Output: 0.5946 optimal
}

// A loss of one's own is a function with what a solver needs of it.
func ExampleLoss() {
	double := convex.Loss{Name: "twice squared", New: func(y []float64) (convex.Fn, error) {
		return convex.Fn{
			Name: "twice squared", Labels: y,
			Value: func(x []float64) float64 {
				s := 0.0
				for i := range x {
					s += (x[i] - y[i]) * (x[i] - y[i])
				}
				return s
			},
			Grad: func(dst, x []float64) {
				for i := range x {
					dst[i] = 2 * (x[i] - y[i])
				}
			},
			Prox: func(dst, x []float64, t float64) {
				for i := range x {
					dst[i] = (x[i] + 2*t*y[i]) / (1 + 2*t)
				}
			},
			Conj: func(v []float64) float64 {
				s := 0.0
				for i := range v {
					s += v[i] * (v[i]/4 + y[i])
				}
				return s
			},
			Lipschitz: 2,
		}, nil
	}}
	p := convex.Problem{X: mat.NewDense(2, 1, []float64{1, -1}), Y: mat.NewVecDense(2, []float64{1, 1}), Loss: double, Beta: 0.1}
	sol, err := convex.Solve(context.Background(), p, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f %v\n", sol.Primal, sol.Status)
	// Output: 0.1950 optimal
}
