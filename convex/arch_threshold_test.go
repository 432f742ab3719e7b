package convex

import (
	"context"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// A threshold network whose weights have samples on the threshold may have a
// pattern that no open set of weights has: then the optimum over the open ones
// is not called global.
func TestThresholdScope(t *testing.T) {
	ctx := context.Background()
	opposite := Problem{
		X: mat.NewDense(3, 2, []float64{1, 0, -1, 0, 0, 1}), Y: mat.NewDense(3, 1, []float64{0, 0, 1}),
		Arch: Threshold{}, Beta: 0.1,
	}
	sol, err := Solve(ctx, opposite, nil)
	if err != nil {
		t.Fatal(err)
	}
	net := &Network{Inputs: 2, Outputs: 1}
	if err := net.SetArch(Threshold{}); err != nil {
		t.Fatal(err)
	}
	net.Hidden, net.Output = mat.NewDense(1, 2, []float64{0, 1}), mat.NewDense(1, 1, []float64{0.9})
	net.Gates = net.Hidden // off on both of the opposite samples
	v, err := Verify(opposite, net)
	if err != nil || !(v.Objective < sol.Lower) {
		t.Fatalf("%v (%v) is no counterexample to %v", v, err, sol)
	}
	if low, err := NetworkBound(ctx, opposite, net); sol.Scope == Global || sol.GlobalLower > v.Objective || err != nil || low > v.Objective {
		t.Errorf("%v, bound %g (%v), but a network has %g", sol, low, err, v.Objective)
	}

	rng := rand.New(rand.NewPCG(51, 52))
	general := randomMatrix(rng, 9, 3)
	general.SetRow(3, make([]float64, 3))
	twice := mat.DenseCopyOf(general)
	twice.SetRow(5, general.RawRowView(6))
	bias := mat.NewDense(8, 2, nil)
	for i := range 8 {
		bias.Set(i, 0, float64(i%4-2))
		bias.Set(i, 1, 1)
	}
	plane := randomMatrix(rng, 9, 3) // three rows of rank two around zero
	for j := range 3 {
		plane.Set(2, j, -plane.At(0, j)-plane.At(1, j))
	}
	for _, c := range []struct {
		name string
		X    *mat.Dense
		want Scope
	}{{"general", general, Global}, {"twice", twice, Global}, {"bias", bias, Global}, {"plane", plane, Restricted}} {
		n, _ := c.X.Dims()
		sol, err := Solve(ctx, Problem{X: c.X, Y: randomMatrix(rng, n, 1), Arch: Threshold{}, Beta: 0.1}, nil)
		if err != nil || sol.Scope != c.want {
			t.Errorf("%s: want %v: %v %v", c.name, c.want, sol, err)
		}
	}
}
