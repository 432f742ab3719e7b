package convex_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/convextest"
)

// An output bias costs nothing: it is certified with every loss and
// architecture, no worse than without, and a shift of the targets moves it and
// nothing else.
func TestOutputBias(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 0))
	X, y := randomDense(rng, 12, 2), randomDense(rng, 12, 1)
	labels := mat.NewDense(12, 1, nil)
	labels.Apply(func(i, j int, v float64) float64 { return math.Copysign(1, v+0.4) }, y)
	patches := []mat.Matrix{X, randomDense(rng, 12, 2)}
	for _, loss := range []convex.Loss{convex.Squared, convex.Logistic, convex.Hinge, convex.L1, convex.Huber(0.3)} {
		for _, arch := range []convex.Arch{convex.ReLU{}, convex.GatedReLU{}, convex.LeakyReLU{Slope: 0.1}, convex.Threshold{}, convex.BatchNormReLU{},
			convex.Polynomial{}, convex.CircularLinearCNN{}, convex.CNN{Pool: "average"}, convex.CNN{Pool: "max"}, convex.LinearCNN{}, convex.DeepLinear{}} {
			p := convex.Problem{X: X, Y: y, Arch: arch, Loss: loss, Beta: 0.3, OutputBias: true}
			if loss.Name == "logistic" || loss.Name == "hinge" {
				p.Y = labels
			}
			switch arch.(type) {
			case convex.CNN, convex.LinearCNN:
				p.X, p.Patches = nil, patches
			}
			name := arch.Name() + " " + loss.Name
			t.Run(name, func(t *testing.T) {
				sol := convextest.TestArch(t, p)
				if len(sol.Network.Bias) != 1 {
					t.Fatal("bias", sol.Network.Bias)
				}
				plain := p
				plain.OutputBias = false
				without, err := convex.Solve(t.Context(), plain, nil)
				if err != nil || sol.Lower > without.Primal {
					t.Errorf("%v with a bias, %v without (%v)", sol.Primal, without.Primal, err)
				}
				if p.Y != labels {
					var moved mat.Dense
					moved.Apply(func(i, j int, v float64) float64 { return v + 7 }, y)
					p.Y = &moved
					other, err := convex.Solve(t.Context(), p, nil)
					if err != nil || math.Abs(other.Primal-sol.Primal) > 3e-6*sol.Primal {
						t.Errorf("objective %v after a shift of the targets, %v before (%v)", other.Primal, sol.Primal, err)
					}
				}
			})
		}
	}
}

// With more patterns than are tried at once the search takes the bias along, and
// the result is certified over all patterns.
func TestOutputBiasSearch(t *testing.T) {
	X, y := spiral(60), mat.NewDense(60, 1, nil)
	for i := range 60 {
		y.Set(i, 0, 5+X.At(i, 0)*X.At(i, 1))
	}
	p := convex.Problem{X: X, Y: y, Beta: 0.05, OutputBias: true}
	sol, err := convex.Solve(t.Context(), p, nil)
	if err != nil || sol.Status != convex.Optimal {
		t.Fatal(sol, err)
	}
	if sol.Scope != convex.Global {
		t.Errorf("scope %v, global bound %v", sol.Scope, sol.GlobalLower)
	}
	all, err := convex.Solve(t.Context(), p, &convex.Settings{Samples: 3000})
	if err != nil || math.Abs(all.Primal-sol.Primal) > 1e-4*sol.Primal {
		t.Errorf("%v over sampled patterns, %v over found ones (%v)", all.Primal, sol.Primal, err)
	}
}

// BetaMax with a bias: the network has no neuron above it and one below.
func TestOutputBiasBetaMax(t *testing.T) {
	rng := rand.New(rand.NewPCG(42, 0))
	p := convex.Problem{X: randomDense(rng, 10, 2), Y: randomDense(rng, 10, 1), OutputBias: true}
	for _, loss := range []convex.Loss{convex.Squared, convex.L1} {
		p.Loss = loss
		max, err := convex.BetaMax(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.Beta = 1.001 * max
		if sol, err := convex.Solve(t.Context(), p, nil); err != nil || sol.Network.Neurons() != 0 {
			t.Errorf("%s: neurons above BetaMax: %v (%v)", loss.Name, sol, err)
		}
		p.Beta = 0.98 * max
		if sol, err := convex.Solve(t.Context(), p, nil); err != nil || sol.Network.Neurons() == 0 {
			t.Errorf("%s: no neurons below BetaMax: %v (%v)", loss.Name, sol, err)
		}
	}
}

// spiral is n points in the plane with a column of ones.
func spiral(n int) *mat.Dense {
	X := mat.NewDense(n, 3, nil)
	for i := range n {
		a := float64(i) / float64(n) * 7
		X.SetRow(i, []float64{a / 7 * math.Cos(a), a / 7 * math.Sin(a), 1})
	}
	return X
}

// Where the bias alone fits the labels, BetaMax is 0 and not rounding, and the
// network without neurons optimal.
func TestOutputBiasFits(t *testing.T) {
	rng := rand.New(rand.NewPCG(65, 66))
	X := randomDense(rng, 12, 2)
	for _, value := range []float64{1, 1.1e4 / 3, -1e-7 / 3} {
		for _, arch := range []convex.Arch{convex.ReLU{}, convex.GatedReLU{}, convex.DeepLinear{}, convex.Polynomial{Coefficients: [3]float64{1, 1, 1}}, convex.CircularReLUCNN{}} {
			for _, loss := range []convex.Loss{convex.Squared, convex.L1, convex.Huber(1), convex.Hinge} {
				if loss.Name == "hinge" && value != 1 {
					continue
				}
				y := mat.NewDense(12, 1, nil)
				for i := range 12 {
					y.Set(i, 0, value)
				}
				p := convex.Problem{X: X, Y: y, Arch: arch, Loss: loss, Beta: 0.01, OutputBias: true}
				s := &convex.Settings{MaxPatterns: 100}
				top, err := convex.BetaMax(t.Context(), p, s)
				if err != nil || top != 0 {
					t.Errorf("%s, %s, %g: BetaMax is %g: %v", arch.Name(), loss.Name, value, top, err)
				}
				sol, err := convex.Solve(t.Context(), p, s)
				if err != nil || sol.Status != convex.Optimal || sol.Network.Neurons() != 0 || sol.Lower > sol.Primal || math.Abs(sol.Network.Bias[0]-value) > 1e-9*math.Abs(value) && loss.Name != "hinge" {
					t.Errorf("%s, %s, %g: %v: %v", arch.Name(), loss.Name, value, sol, err)
				}
			}
		}
	}
}

// Labels of one class: the loss has no least value over the bias where it only
// tends to 0, and has one where it reaches it.
func TestOutputBiasOfOneClass(t *testing.T) {
	X := mat.NewDense(3, 2, []float64{1, 0.2, 0, 1, -1, 0.5})
	p := convex.Problem{X: X, Y: mat.NewDense(3, 1, []float64{-1, -1, -1}), Beta: 0.1, OutputBias: true}
	for _, loss := range []convex.Loss{convex.Squared, convex.Hinge, convex.L1, convex.Huber(1)} {
		p.Loss = loss
		sol, err := convex.Solve(t.Context(), p, nil)
		if err != nil || sol.Status != convex.Optimal || sol.Primal > 1e-12 || sol.Network.Neurons() != 0 {
			t.Errorf("%s: %v\n%v", loss.Name, err, sol)
		}
	}
	p.Loss = convex.Logistic
	if _, err := convex.Solve(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), "labels of output 0 are all of one class") {
		t.Errorf("logistic: %v", err)
	}
	p.OutputBias = false
	if sol, err := convex.Solve(t.Context(), p, nil); err != nil || sol.Status != convex.Optimal {
		t.Errorf("logistic without a bias: %v\n%v", err, sol)
	}
}
