package convex_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/comm"
	"github.com/gonvex/gonvex/convex/data"
)

// byRows solves p with a number of ranks in this process.
func byRows(t *testing.T, p convex.Problem, s *convex.Settings, ranks int) []*convex.Solution {
	t.Helper()
	out, errs := make([]*convex.Solution, ranks), make([]error, ranks)
	var wg sync.WaitGroup
	for _, c := range comm.Goroutines(ranks) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			own := *s
			out[c.Rank()], errs[c.Rank()] = convex.SolveByRows(t.Context(), c, p, &own)
		}()
	}
	wg.Wait()
	for r, err := range errs {
		if err != nil {
			t.Fatalf("rank %d of %d: %v", r, ranks, err)
		}
	}
	return out
}

// One, two and four ranks agree, with each other and with Solve, in objective
// and bound to 1e-8; the network's own objective is what they say.
func TestByRows(t *testing.T) {
	X, y := data.Spiral(30, 0.1, 1)
	X = data.WithBias(X)
	n, _ := X.Dims()
	targets := mat.NewDense(n, 2, nil)
	for i := range n {
		targets.Set(i, 0, X.At(i, 0)*X.At(i, 1))
		targets.Set(i, 1, math.Abs(X.At(i, 0)))
	}
	shifted := mat.DenseCopyOf(X)
	shifted.Apply(func(i, j int, v float64) float64 { return v*0.5 + 0.1*float64(j) }, shifted)
	for _, c := range []struct {
		name string
		p    convex.Problem
	}{
		{"gated squared", convex.Problem{X: X, Y: y, Arch: convex.GatedReLU{}, Beta: 0.1}},
		{"gated logistic", convex.Problem{X: X, Y: y, Arch: convex.GatedReLU{}, Loss: convex.Logistic, Beta: 0.1}},
		{"gated, two outputs", convex.Problem{X: X, Y: targets, Arch: convex.GatedReLU{}, Beta: 0.1}},
		{"relu squared", convex.Problem{X: X, Y: y, Beta: 0.1}},
		{"gated hinge", convex.Problem{X: X, Y: y, Arch: convex.GatedReLU{}, Loss: convex.Hinge, Beta: 0.5}},
		{"relu logistic", convex.Problem{X: X, Y: y, Loss: convex.Logistic, Beta: 0.5}},
		{"cnn", convex.Problem{Patches: []mat.Matrix{X, shifted}, Y: y, Arch: convex.CNN{}, Loss: convex.Logistic, Beta: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &convex.Settings{Tol: 3e-9, NoPrune: true, Progress: func(convex.Progress) {}}
			of := X
			if len(c.p.Patches) > 0 {
				of = new(mat.Dense)
				of.Stack(X, shifted)
			}
			pat, err := convex.SamplePatterns(of, min(20, 600/of.RawMatrix().Rows), 1) // fewer than there are
			if err != nil {
				t.Fatal(err)
			}
			c.p.Patterns = pat
			ref, err := convex.Solve(t.Context(), c.p, s)
			if err != nil {
				t.Fatal(err)
			}
			for _, ranks := range []int{1, 2, 4} {
				all := byRows(t, c.p, s, ranks)
				got := all[0]
				t.Logf("%d ranks: %d iterations, %.10g ≥ %.10g, infeasibility %.1g (%s: %.10g ≥ %.10g)", ranks, got.Iterations, got.Primal, got.Lower, got.Infeasibility, ref.Solver, ref.Primal, ref.Lower)
				if got.Status != convex.Optimal || got.Infeasibility > 1e-6 {
					t.Errorf("%d ranks: %v, gap %.2g", ranks, got.Status, got.Gap)
				}
				for _, pair := range [][2]float64{{got.Primal, ref.Primal}, {got.Lower, ref.Lower}} {
					if d := math.Abs(pair[0]-pair[1]) / math.Abs(ref.Primal); d > 1e-8 {
						t.Errorf("%d ranks: %.12g, one %.12g: apart by %.2g", ranks, pair[0], pair[1], d)
					}
				}
				own, err := got.Network.Objective(c.p)
				if err != nil || math.Abs(own-got.Primal) > 1e-12*math.Abs(own) {
					t.Errorf("%d ranks: the network's own objective is %.15g, they say %.15g (%v)", ranks, own, got.Primal, err)
				}
				for r, other := range all[1:] {
					if other.Primal != got.Primal || other.Lower != got.Lower || other.Iterations != got.Iterations {
						t.Errorf("rank %d of %d has another solution than rank 0", r+1, ranks)
					}
				}
			}
		})
	}
}

// Every rank has only its own samples, and the gates in common.
func TestOwnRows(t *testing.T) {
	X, y := data.Spiral(40, 0.1, 1)
	n, d := X.Dims()
	gates := mat.NewDense(d, 12, nil)
	for j := range 12 {
		gates.Set(0, j, math.Cos(float64(j)))
		gates.Set(1, j, math.Sin(float64(j)))
	}
	on := func(X *mat.Dense) (*convex.Patterns, error) {
		var S mat.Dense
		S.Mul(X, gates)
		rows := make([][]bool, 12)
		for g := range rows {
			for _, v := range mat.Col(nil, g, &S) {
				rows[g] = append(rows[g], v > 0)
			}
		}
		return convex.NewPatternsBool(rows)
	}
	whole, err := on(X)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := convex.Solve(t.Context(), convex.Problem{X: X, Y: y, Patterns: whole, Beta: 0.5}, &convex.Settings{Tol: 3e-9})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, c := range comm.Goroutines(3) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			lo, hi := c.Rank()*n/3, (c.Rank()+1)*n/3
			m := &convex.MaskedData{X: mat.DenseCopyOf(X.Slice(lo, hi, 0, d)), Signed: true}
			var err error
			if m.Patterns, err = on(m.X); err != nil {
				t.Error(err)
			}
			loss, err := convex.Squared.New(y.RawVector().Data[lo:hi])
			if err != nil {
				t.Error(err)
			}
			prog := &convex.Program{
				Samples: hi - lo, Outputs: 1, Loss: loss, Op: m.Op(), Blocks: m.Blocks(), Cones: m.Cones(), Penalty: convex.GroupL1(0.5),
			}
			sol, err := convex.SolveProgramByRows(t.Context(), c, prog, &convex.Settings{Tol: 3e-9})
			if err != nil || math.Abs(sol.Primal-ref.Primal) > 1e-8*ref.Primal || math.Abs(sol.Lower-ref.Lower) > 1e-8*ref.Primal {
				t.Errorf("rank %d: %v, %v; alone %v", c.Rank(), sol, err, ref.Primal)
			}
		}()
	}
	wg.Wait()
}

func TestByRowsErrors(t *testing.T) {
	X, y := data.Spiral(3, 0.1, 1)
	n, _ := X.Dims()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for says, p := range map[string]convex.Problem{
		"want at least one each": {X: mat.DenseCopyOf(X.Slice(0, 2, 0, 2)), Y: mat.NewVecDense(2, []float64{1, -1}), Arch: convex.GatedReLU{}, Beta: 1},
		"cannot be solved by":    {X: X, Y: y, Arch: convex.DeepLinear{Layers: 2}, Beta: 1},
		"Beta":                   {X: X, Y: y},
		"":                       {X: X, Y: y, Arch: convex.GatedReLU{}, Beta: 1},
	} {
		var wg sync.WaitGroup
		for _, c := range comm.Goroutines(3) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				s := &convex.Settings{Tol: 1e-12}
				sol, err := convex.SolveByRows(ctx, c, p, s)
				switch {
				case says == "" && (err != nil || sol.Status != convex.Stopped && sol.Status != convex.Optimal || sol.Network == nil):
					t.Errorf("interrupted with %d samples: %v, %v", n, sol, err)
				case says != "" && (err == nil || !strings.Contains(fmt.Sprint(err), says)):
					t.Errorf("want an error with %q, have %v", says, err)
				}
			}()
		}
		wg.Wait()
	}
}
