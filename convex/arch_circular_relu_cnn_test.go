package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// The spectral bound is above the dual norm of every c of its ball.
func TestSpectralBound(t *testing.T) {
	ctx := context.Background()
	for _, d := range []int{1, 2, 3, 4, 5} {
		rng := rand.New(rand.NewPCG(uint64(d), 3))
		const n = 6
		A := randomMatrix(rng, n, d)
		var parts []int
		for at := 0; at < d; at += parts[len(parts)-1] {
			parts = append(parts, min(1+len(parts)%2, d-at))
		}
		v := randomMatrix(rng, n, 1).RawMatrix().Data
		value := func(c []float64) float64 {
			m := 0.0
			for i := range n {
				m += v[i] * math.Max(0, dot(A.RawRowView(i), c))
			}
			return math.Abs(m)
		}
		bound, largest := spectralBound(ctx, A, parts, v), 0.0
		c := make([]float64, d)
		for range 20_000 {
			// Sums of few parts, the vertices among them.
			clear(c)
			for range 1 + rng.IntN(2) {
				p := rng.IntN(len(parts))
				at := sumInts(parts[:p])
				for j := range parts[p] {
					c[at+j] += rng.NormFloat64()
				}
			}
			scale(1/normOfParts(c, parts), c)
			largest = math.Max(largest, value(c))
		}
		if largest > bound {
			t.Errorf("d = %d: the dual norm is at least %v, the bound says %v", d, largest, bound)
		}
		if bound > 3*largest {
			t.Errorf("d = %d: the bound is %v, far above the largest found, %v", d, bound, largest)
		}
		for i, t := range v {
			v[i] = math.Abs(t) // convex: the bound is exact
		}
		largest = 0
		for p, at := 0, 0; p < len(parts); at, p = at+parts[p], p+1 {
			for a := range 3600 {
				clear(c)
				sin, cos := math.Sincos(float64(a) * math.Pi / 1800)
				c[at] = math.Copysign(1, cos)
				if parts[p] == 2 {
					c[at], c[at+1] = cos, sin
				}
				largest = math.Max(largest, value(c))
			}
		}
		if bound := spectralBound(ctx, A, parts, v); bound < largest || bound > largest*(1+1e-5) {
			t.Errorf("d = %d, v ≥ 0: the bound is %v, the maximum %v", d, bound, largest)
		}
	}
}

// With as many variables as images have, the program is over the neurons of a
// search: the network is the program's, between the bound and what a linear one
// reaches.
func TestCircularReLUCNNOfLongSignals(t *testing.T) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 1))
	const n, d = 52, 100
	Y := randomMatrix(rng, n, 1)
	p := Problem{X: randomMatrix(rng, n, d), Y: Y, Beta: 2, Arch: CircularReLUCNN{}}
	s := &Settings{TimeLimit: 20 * time.Second}
	zero := dot(flatten(Y), flatten(Y)) / 2 // objective of no neurons
	for _, bias := range []bool{false, true} {
		p.OutputBias = bias
		sol, err := Solve(ctx, p, s)
		if err != nil {
			t.Fatal(err)
		}
		if sol.Status != Optimal || sol.Scope != Restricted || sol.Network.Neurons() == 0 {
			t.Errorf("bias %v: %v", bias, sol)
		}
		if low := sol.GlobalLower; !(low > 0 && low < sol.Primal) || !(sol.Primal < 0.5*zero) {
			t.Errorf("bias %v: objective %v, bound %v", bias, sol.Primal, low)
		}
		if own, err := sol.Network.Objective(p); err != nil || math.Abs(own-sol.Certificate.Primal) > 1e-9*own {
			t.Errorf("bias %v: the network's objective is %v, the program's %v: %v", bias, own, sol.Certificate.Primal, err)
		}
	}
}
