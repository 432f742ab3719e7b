package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func TestCrossValidate(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 52))
	n := 60
	X := randomMatrix(rng, n, 3)
	y, sign := mat.NewDense(n, 1, nil), mat.NewDense(n, 1, nil)
	for i := range n { // a planted neuron and noise: neither no weight decay nor all of it is best
		v := math.Max(0, X.At(i, 0)-X.At(i, 1)) + 0.3*rng.NormFloat64()
		y.Set(i, 0, v)
		sign.Set(i, 0, math.Copysign(1, v-0.4))
	}
	gates, err := GatePatterns(X, randomMatrix(rng, 3, 20))
	if err != nil {
		t.Fatal(err)
	}
	bare := gates.Subset([]int{0, 1, 2, 3, 4, 5})
	bare.Gates = nil
	for _, c := range []struct {
		name string
		p    Problem
	}{
		{"relu", Problem{X: X, Y: y}},
		{"gates", Problem{X: X, Y: y, Arch: GatedReLU{}, Patterns: gates}},
		{"patterns without gates", Problem{X: X, Y: sign, Arch: GatedReLU{}, Patterns: bare, Loss: Logistic}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told []string
			report := func(p Progress) {
				if p.Done {
					told = append(told, p.Of)
				}
			}
			o := &FoldOptions{Folds: 4, Seed: 7, Path: &PathOptions{Count: 5, Ratio: 1e-3, Settings: &Settings{Tol: 1e-4, MaxPatterns: 200, Samples: 60, Progress: report}}}
			cv, err := CrossValidate(context.Background(), c.p, o)
			if err != nil {
				t.Fatal(err)
			}
			if cv.Folds != 4 || len(cv.Betas) != 5 || cv.Sparsest > cv.Best || cv.Neurons[0] > 0 || !strings.Contains(cv.String(), "least loss") {
				t.Errorf("%v", cv)
			}
			if math.IsNaN(cv.Accuracy[0]) != (c.p.Loss.Name != Logistic.Name) {
				t.Errorf("accuracy %v", cv.Accuracy)
			}
			if cv.Best == 0 {
				t.Errorf("nothing learned: %v", cv)
			}
			if len(told) != 25 || told[1] != "all data, beta 2 of 5" || told[24] != "fold 4 of 4, beta 5 of 5" {
				t.Errorf("reports of %q", told)
			}
			// One fold by hand.
			order := rand.New(rand.NewPCG(7, 0x666f6c64)).Perm(n)
			fold, err := c.p.Rows(order[15:])
			if err != nil {
				t.Fatal(err)
			}
			if r, _ := fold.X.Dims(); r != 45 || fold.X.At(3, 1) != X.At(order[18], 1) {
				t.Errorf("rows %d", r)
			}
		})
	}
	for _, o := range []FoldOptions{{Folds: 1}, {Folds: n + 1}} {
		if _, err := CrossValidate(context.Background(), Problem{X: X, Y: y}, &o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := CrossValidate(ctx, Problem{X: X, Y: y}, nil); err == nil {
		t.Error("cancelled before any fold: want an error that says so")
	}
}

// Held-out samples need not be active under any of the patterns given.
func TestCrossValidateInactiveSamples(t *testing.T) {
	X, y := mat.NewDense(4, 2, []float64{1, 2, 2, 1, 3, 1, -1, -1}), mat.NewDense(4, 1, []float64{1, 2, 3, 1})
	pat, err := GatePatterns(X, mat.NewDense(2, 2, []float64{1, 0, 0, 1}))
	if err != nil {
		t.Fatal(err)
	}
	bits, err := NewPatterns(pat.Dense())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Problem{
		{X: X, Y: y, Arch: GatedReLU{}, Patterns: pat},
		{X: X, Y: y, Patterns: bits},
	} {
		cv, err := CrossValidate(context.Background(), p, &FoldOptions{Folds: 4})
		if err != nil || cv.Folds != 4 {
			t.Errorf("%v %v", cv, err)
		}
	}
}
