package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// The zero network is optimal just above BetaMax and not just below.
func TestBetaMax(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	X := randomMatrix(rng, 9, 3)
	signs := mat.NewVecDense(9, []float64{1, -1, 1, 1, -1, 1, 1, 1, -1})
	for _, a := range []Arch{ReLU{}, GatedReLU{}} {
		for _, l := range []Loss{Squared, Logistic} {
			p := Problem{X: X, Y: signs, Arch: a, Loss: l}
			b, err := BetaMax(context.Background(), p, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				at   float64
				zero bool
			}{{1 + 1e-6, true}, {1 - 1e-3, false}} {
				p.Beta = b * c.at
				sol, err := Solve(context.Background(), p, &Settings{Tol: 1e-9})
				if err != nil {
					t.Fatal(err)
				}
				if (sol.Network.Neurons() == 0) != c.zero {
					t.Errorf("%s %s at %v·BetaMax: %d neurons", a.Name(), l.Name, c.at, sol.Network.Neurons())
				}
			}
		}
	}
	if b, err := BetaMax(context.Background(), Problem{X: X, Y: mat.NewVecDense(9, nil)}, nil); b != 0 || err != nil {
		t.Errorf("zero labels: %v %v", b, err)
	}
}

func TestSolvePath(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	p := Problem{X: randomMatrix(rng, 15, 3), Y: randomMatrix(rng, 15, 1)}
	path, err := SolvePath(context.Background(), p, &PathOptions{Count: 6})
	if err != nil {
		t.Fatal(err)
	}
	betas, values := path.Betas(), path.Objectives()
	if len(betas) != 6 || path.Neurons()[0] != 0 || math.Abs(betas[5]/path.BetaMax-1e-3) > 1e-12 {
		t.Errorf("%v", path)
	}
	for i := range betas {
		p.Beta = betas[i]
		cold, err := Solve(context.Background(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(cold.Primal-values[i]) > 2e-6*cold.Primal || path.Gaps()[i] > 1e-6 {
			t.Errorf("beta %g: path %v, alone %v, gap %g", betas[i], values[i], cold.Primal, path.Gaps()[i])
		}
		// The optimal value is concave and increasing in beta.
		if i > 0 && values[i] > values[i-1] {
			t.Errorf("objective rises as beta falls: %v", values)
		}
	}
	if !strings.Contains(path.String(), "optimal") {
		t.Error(path)
	}
	for _, o := range []PathOptions{{Betas: []float64{1, 2}}, {Betas: []float64{-1}}, {Count: -1}, {Ratio: 2}} {
		if _, err := SolvePath(context.Background(), p, &o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	stopped, err := SolvePath(ctx, p, nil)
	if err != nil || len(stopped.Solutions) != 1 || stopped.Solutions[0].Status == Unknown {
		t.Errorf("cancelled: %v %v", stopped, err)
	}
}

// Where patterns are searched for, those that matter at a small beta are not
// those that matter at a large one: every solution is that of Solve there.
func TestSolvePathSearched(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	n := 40
	X, y := mat.NewDense(n, 3, nil), mat.NewVecDense(n, nil)
	for i := range n { // alternating labels along an arm: many neurons are needed, but only at small beta
		a := 4 * float64(i) / float64(n)
		X.SetRow(i, []float64{a*math.Cos(a) + 0.05*rng.NormFloat64(), a*math.Sin(a) + 0.05*rng.NormFloat64(), 1})
		y.SetVec(i, math.Copysign(1, float64(i/5%2)-0.5))
	}
	p := Problem{X: X, Y: y, Loss: Logistic}
	path, err := SolvePath(context.Background(), p, &PathOptions{Count: 4, Ratio: 1e-3, Settings: &Settings{Tol: 1e-5}})
	if err != nil {
		t.Fatal(err)
	}
	if path.Neurons()[0] != 0 || path.Neurons()[3] < 5 {
		t.Errorf("%v", path)
	}
	for i, sol := range path.Solutions {
		if sol.Scope != Global || sol.Gap > 1e-5 {
			t.Errorf("beta %g: %s, gap %g, over %v", path.Betas()[i], sol.Scope, sol.Gap, sol.Program.Patterns)
		}
	}
	// The first beta is where the zero network stops being optimal, whatever
	// the scale of the labels: above and below 1.
	for _, c := range []float64{1e-2, 1, 1e3} {
		var q mat.VecDense
		q.ScaleVec(c, y)
		b, err := BetaMax(context.Background(), Problem{X: X, Y: &q}, nil)
		all, err2 := EnumeratePatterns(context.Background(), X, 10000)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		exact, err := BetaMax(context.Background(), Problem{X: X, Y: &q, Patterns: all}, nil)
		if err != nil || math.Abs(b/exact-1) > 1e-6 {
			t.Errorf("labels ±%g: BetaMax %g, over all patterns %g (%v)", c, b, exact, err)
		}
	}
}
