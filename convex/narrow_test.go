package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"
)

// Neurons of one cell merge first, which changes no prediction, then a small one
// is left out; signs never mix.
func TestMergeOrder(t *testing.T) {
	X := mat.NewDense(4, 2, []float64{1, 0, 0, 1, -1, 0, 0, -1})
	net := []neuron{
		{[]float64{1, 2}, 1},
		{[]float64{0.01, -0.01}, 1},
		{[]float64{2, 0.5}, 1}, // in the cell of the first
		{[]float64{1, 2}, -1},  // of another sign
	}
	mg := mergeOrder(newMaskedData(X), net)
	if got := mg.to(3); len(got) != 3 || !slices.Equal(got[0].v, []float64{3, 2.5}) && !slices.Equal(got[1].v, []float64{3, 2.5}) {
		t.Errorf("with three neurons %v", got)
	}
	if got := mg.to(2); len(got) != 2 || got[0].sign == got[1].sign {
		t.Errorf("with two neurons %v", got)
	}
	for _, k := range []int{-1, 0, 1} {
		if got := mg.to(k); len(got) != 1 {
			t.Errorf("with %d neurons %v", k, got)
		}
	}
	if got := mg.to(9); len(got) != 4 || net[0].v[0] != 1 {
		t.Errorf("with all neurons %v, of %v", got, net)
	}
	if got := mergeOrder(newMaskedData(X), nil).to(1); len(got) != 0 {
		t.Errorf("no neurons become %v", got)
	}
	// What squaredSplit says of two neurons is what their sum predicts otherwise.
	rng := rand.New(rand.NewPCG(3, 3))
	a, b, want := make([]float64, 50), make([]float64, 50), 0.0
	for i := range a {
		a[i], b[i] = rng.NormFloat64(), rng.NormFloat64()
		d := math.Max(a[i]+b[i], 0) - math.Max(a[i], 0) - math.Max(b[i], 0)
		want += d * d
	}
	if got := squaredSplit(a, b); math.Abs(got-want) > 1e-12*want {
		t.Errorf("squaredSplit %g, want %g", got, want)
	}
}

// A narrow network has its own objective as Primal, is no better than the global
// optimum, and with as many neurons as the wide one no worse than that.
func TestNarrow(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	X := randomMatrix(rng, 25, 3)
	y := mat.NewDense(25, 1, nil)
	for i := range 25 {
		y.Set(i, 0, math.Copysign(1, X.At(i, 0)*X.At(i, 1)+0.3*rng.NormFloat64()))
	}
	ctx := context.Background()
	for _, l := range []Loss{Squared, Logistic, Huber(0.5), Hinge} {
		for _, bias := range []bool{false, true} {
			p := Problem{X: X, Y: y, Loss: l, Beta: 0.05, OutputBias: bias}
			wide, err := Solve(ctx, p, nil)
			if err != nil || wide.Scope != Global {
				t.Fatalf("%s, bias %v: %v %v", l.Name, bias, wide, err)
			}
			for _, most := range []int{1, 2, 4, wide.Network.Neurons(), 100} {
				sol, err := Narrow(ctx, p, wide.Network, most, &Settings{TimeLimit: 20 * time.Second})
				if err != nil {
					t.Errorf("%s, bias %v, %d neurons: %v", l.Name, bias, most, err)
					continue
				}
				own, err := sol.Network.Objective(p)
				if k := sol.Network.Neurons(); err != nil || k > most || math.Abs(own-sol.Primal) > 1e-9*own || sol.Lower > sol.Primal*(1+1e-9) {
					t.Errorf("%s, bias %v, %d neurons: %d, objective %g, Primal %g, Lower %g %v", l.Name, bias, most, k, own, sol.Primal, sol.Lower, err)
				}
				if sol.Primal < wide.Lower*(1-1e-9) || most >= wide.Network.Neurons() && sol.Primal > wide.Primal*(1+1e-5) {
					t.Errorf("%s, bias %v, %d neurons: %g where the optimum is %g with %d", l.Name, bias, most, sol.Primal, wide.Primal, wide.Network.Neurons())
				}
			}
		}
	}
}

// One neuron in the plane: no network is better than the best of all directions,
// and from the wide optimum Narrow gets there.
func TestNarrowToOne(t *testing.T) {
	X := mat.NewDense(7, 2, []float64{-3, 1, -2, 1, -1, 1, 0, 1, 1, 1, 2, 1, 3, 1})
	y := mat.NewDense(7, 1, []float64{0.2, 0, 0.1, 0, 1, 2.1, 2.9})
	p := Problem{X: X, Y: y, Beta: 0.1}
	best := math.Inf(1)
	for a := 0.0; a < 2*math.Pi; a += 1e-4 {
		h, hy, yy := 0.0, 0.0, 0.0
		for i := range 7 {
			z := math.Max(0, math.Cos(a)*X.At(i, 0)+math.Sin(a))
			h, hy, yy = h+z*z, hy+z*y.At(i, 0), yy+y.At(i, 0)*y.At(i, 0)
		}
		if s := math.Abs(hy) - p.Beta; h > 0 && s > 0 { // ½|y - s z|² + beta |s| at its best s
			best = math.Min(best, yy/2-s*s/(2*h))
		}
	}
	wide, err := Solve(context.Background(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	sol, err := Narrow(context.Background(), p, wide.Network, 1, nil)
	if err != nil || sol.Network.Neurons() != 1 || math.Abs(sol.Primal-best) > 1e-5*best {
		t.Errorf("%v %v, want the objective %g", sol, err, best)
	}
}

func TestNarrowRefuses(t *testing.T) {
	X := mat.NewDense(4, 2, []float64{1, 0, 0, 1, -1, 0, 0, -1})
	p := Problem{X: X, Y: mat.NewDense(4, 1, []float64{1, 2, 0, 1}), Beta: 0.1}
	sol, err := Solve(context.Background(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	net := sol.Network
	other := *net
	other.Arch = "gated_relu"
	nan := *net
	nan.Hidden = mat.DenseCopyOf(net.Hidden)
	nan.Hidden.Set(0, 0, math.NaN())
	gated, two := p, p
	gated.Arch = GatedReLU{}
	two.Y = mat.NewDense(4, 2, nil)
	tall := p
	tall.X = mat.NewDense(4, 3, make([]float64, 12))
	for _, c := range []struct {
		p       Problem
		net     *Network
		neurons int
		want    string
	}{
		{p, net, 0, "neurons is 0: want at least 1"},
		{p, nil, 3, "no neurons"},
		{p, &Network{}, 3, "no neurons"},
		{p, &other, 3, `"gated_relu" on 2 columns`},
		{p, &nan, 3, "neuron 0 of the network is not finite"},
		{gated, net, 3, "want ReLU{} with one"},
		{two, net, 3, "2 outputs"},
		{tall, net, 3, "want relu on the 3 of X"},
		{Problem{X: X, Y: p.Y}, net, 3, "Beta"},
	} {
		if sol, err := Narrow(context.Background(), c.p, c.net, c.neurons, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %v, want an error with %q", sol, err, c.want)
		}
	}
	// Without time there still is a network.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if sol, err := Narrow(ctx, p, net, 1, nil); err != nil || sol.Network.Neurons() > 1 || math.IsNaN(sol.Primal) {
		t.Errorf("cancelled: %v %v", sol, err)
	}
	// A weight decay that no neuron is worth.
	large := p
	large.Beta = 1e3
	if sol, err := Narrow(context.Background(), large, net, 2, nil); err != nil || sol.Network.Neurons() != 0 {
		t.Errorf("large weight decay: %v %v", sol, err)
	}
}
