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
