package convex_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

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

// gatesOn are the patterns of gates on samples, duplicates included.
func gatesOn(t *testing.T, X, gates *mat.Dense) *convex.Patterns {
	t.Helper()
	var S mat.Dense
	S.Mul(X, gates)
	_, count := gates.Dims()
	rows := make([][]bool, count)
	for g := range rows {
		for _, v := range mat.Col(nil, g, &S) {
			rows[g] = append(rows[g], v > 0)
		}
	}
	p, err := convex.NewPatternsBool(rows)
	if err != nil {
		t.Error(err)
	}
	return p
}

// twelveGates are gates in the plane.
func twelveGates() *mat.Dense {
	gates := mat.NewDense(2, 12, nil)
	for j := range 12 {
		gates.Set(0, j, math.Cos(float64(j)))
		gates.Set(1, j, math.Sin(float64(j)))
	}
	return gates
}

// ownRows is the program of a rank that has the samples from lo to hi.
func ownRows(t *testing.T, X *mat.Dense, y []float64, gates *mat.Dense, l convex.Loss, relu bool, lo, hi int) *convex.Program {
	t.Helper()
	_, d := X.Dims()
	m := &convex.MaskedData{X: mat.DenseCopyOf(X.Slice(lo, hi, 0, d)), Signed: relu}
	m.Patterns = gatesOn(t, m.X, gates)
	loss, err := l.New(y[lo:hi])
	if err != nil {
		t.Error(err)
	}
	prog := &convex.Program{Samples: hi - lo, Outputs: 1, Loss: loss, Op: m.Op(), Blocks: m.Blocks(), Penalty: convex.GroupL1(0.5)}
	if relu {
		prog.Cones = m.Cones()
	}
	return prog
}

// Every rank has only its own samples, as many or as few as it may be, and the
// gates in common.
func TestOwnRows(t *testing.T) {
	X, labels := data.Spiral(40, 0.1, 1)
	n, _ := X.Dims()
	y, gates := labels.RawVector().Data, twelveGates()
	far, zeros := mat.DenseCopyOf(X), mat.DenseCopyOf(X)
	for i := range n / 4 {
		for j := range 2 {
			far.Set(i, j, 100*X.At(i, j))
			zeros.Set(i, j, 0)
		}
	}
	for _, c := range []struct {
		name string
		X    *mat.Dense
		loss convex.Loss
		relu bool
	}{
		{"gated squared", X, convex.Squared, false},
		{"relu squared", X, convex.Squared, true},
		{"gated logistic", X, convex.Logistic, false},
		{"relu logistic", X, convex.Logistic, true},
		{"gated huber", X, convex.Huber(0.5), false},
		{"gated l1", X, convex.L1, false},
		{"one rank's samples far away", far, convex.Squared, false},
		{"one rank's samples zero", zeros, convex.Squared, true},
	} {
		ref, err := convex.SolveProgram(t.Context(), ownRows(t, c.X, y, gates, c.loss, c.relu, 0, n), &convex.Settings{Tol: 3e-9, NoPrune: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, cuts := range [][]int{{0, n / 4, n / 2, 3 * n / 4, n}, {0, 1, 2, n}, {0, n - 1, n}} {
			var wg sync.WaitGroup
			for _, end := range comm.Goroutines(len(cuts) - 1) {
				wg.Add(1)
				go func() {
					defer wg.Done()
					r := end.Rank()
					sol, err := convex.SolveProgramByRows(t.Context(), end, ownRows(t, c.X, y, gates, c.loss, c.relu, cuts[r], cuts[r+1]), &convex.Settings{Tol: 3e-9})
					if err != nil || math.Abs(sol.Primal-ref.Primal) > 1e-8*ref.Primal || math.Abs(sol.Lower-ref.Lower) > 1e-8*ref.Primal {
						t.Errorf("%s, rows cut at %v, rank %d: %v, %v; alone %v", c.name, cuts, r, sol, err, ref)
					}
				}()
			}
			wg.Wait()
		}
	}
}

// What is wrong on one rank is the same error on all, and no rank waits.
func TestOwnRowsErrors(t *testing.T) {
	X, labels := data.Spiral(40, 0.1, 1)
	n, _ := X.Dims()
	y, gates := labels.RawVector().Data, twelveGates()
	for says, spoil := range map[string]func(p *convex.Program, s *convex.Settings){
		"X[3,1] of this rank's 13×2 is NaN":  func(p *convex.Program, _ *convex.Settings) { p.Op.Masked.X.Set(3, 1, math.NaN()) },
		"X[3,1] of this rank's 13×2 is +Inf": func(p *convex.Program, _ *convex.Settings) { p.Op.Masked.X.Set(3, 1, math.Inf(1)) },
		"label 2 of this rank is NaN": func(p *convex.Program, _ *convex.Settings) {
			p.Loss.Labels = append([]float64{0, 0, math.NaN()}, make([]float64, 10)...)
		},
		"want a positive number":             func(p *convex.Program, _ *convex.Settings) { p.Penalty = convex.GroupL1(0) },
		"every rank needs the same beta":     func(p *convex.Program, _ *convex.Settings) { p.Penalty = convex.GroupL1(0.6) },
		"for Settings.Tol: every rank needs": func(_ *convex.Program, s *convex.Settings) { s.Tol = 1e-3 },
		"needs patterns of the same gates": func(p *convex.Program, _ *convex.Settings) {
			*p = *ownRows(t, X, y, mat.DenseCopyOf(gates.Slice(0, 2, 0, 11)), convex.Squared, false, 13, 26)
		},
		"the operator is 0×0: want":             func(p *convex.Program, _ *convex.Settings) { p.Op.Rows, p.Op.Cols, p.Samples = 0, 0, 0 },
		"program \"\" cannot be solved by rows": func(p *convex.Program, _ *convex.Settings) { p.Loss.Conj = nil },
	} {
		var wg sync.WaitGroup
		errs := make([]error, 3)
		for _, end := range comm.Goroutines(3) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				r := end.Rank()
				p, s := ownRows(t, X, y, gates, convex.Squared, false, r*n/3, (r+1)*n/3), &convex.Settings{}
				if r == 1 {
					spoil(p, s)
				}
				_, errs[r] = convex.SolveProgramByRows(t.Context(), end, p, s)
			}()
		}
		wg.Wait()
		for r, err := range errs {
			if err == nil || !strings.HasPrefix(err.Error(), "rank 1 of 3: ") || !strings.Contains(err.Error(), says) {
				t.Errorf("rank %d: %v, want %q of rank 1", r, err, says)
			}
		}
	}
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

// BenchmarkByRows is what a rank pays for its rows in an iteration: time, and memory at the end.
func BenchmarkByRows(b *testing.B) {
	const d, gates, iterations = 50, 20, 100
	for _, relu := range []bool{false, true} {
		for _, n := range []int{4000, 16_000, 64_000} {
			b.Run(fmt.Sprintf("relu=%v/rows=%d", relu, n), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				X, G, y := mat.NewDense(n, d, nil), mat.NewDense(d, gates, nil), make([]float64, n)
				for _, M := range []*mat.Dense{X, G} {
					for i := range M.RawMatrix().Data {
						M.RawMatrix().Data[i] = rng.NormFloat64()
					}
				}
				for i := range y {
					y[i] = math.Abs(X.At(i, 0)) - math.Abs(X.At(i, 1)) + 0.1*rng.NormFloat64()
				}
				patterns, err := convex.GatePatterns(X, G)
				if err != nil {
					b.Fatal(err)
				}
				m := &convex.MaskedData{X: X, Patterns: patterns, Signed: relu}
				loss, err := convex.Squared.New(y)
				if err != nil {
					b.Fatal(err)
				}
				prog := &convex.Program{Samples: n, Outputs: 1, Loss: loss, Op: m.Op(), Blocks: m.Blocks(), Penalty: convex.GroupL1(0.01 * float64(n))}
				if relu {
					prog.Cones = m.Cones()
				}
				for b.Loop() {
					// The set-up, which is paid once, is the difference from one iteration.
					var took [2]time.Duration
					for k, most := range []int{1, 1 + iterations} {
						sol, err := convex.SolveProgramByRows(b.Context(), comm.Self(), prog, &convex.Settings{Tol: 1e-15, MaxIter: most, Progress: func(convex.Progress) {}})
						if err != nil {
							b.Fatal(err)
						}
						took[k] = sol.Elapsed
					}
					b.ReportMetric(float64((took[1]-took[0]).Nanoseconds())/iterations/float64(n), "ns/row/iteration")
					b.ReportMetric(float64(took[0].Nanoseconds())/float64(n), "ns/row/first")
				}
				b.ReportAllocs()
			})
		}
	}
}

// BenchmarkRanks is how many iterations a gap of 1e-4 takes with the same samples on more and more ranks.
func BenchmarkRanks(b *testing.B) {
	const n, d = 3200, 10
	rng := rand.New(rand.NewPCG(1, 2))
	X, y := mat.NewDense(n, d, nil), mat.NewVecDense(n, nil)
	for i := range X.RawMatrix().Data {
		X.RawMatrix().Data[i] = rng.NormFloat64()
	}
	for i := range n {
		y.SetVec(i, math.Abs(X.At(i, 0))-math.Abs(X.At(i, 1)))
	}
	patterns, err := convex.SamplePatterns(X, 10, 1)
	if err != nil {
		b.Fatal(err)
	}
	p := convex.Problem{X: X, Y: y, Patterns: patterns, Arch: convex.GatedReLU{}, Beta: 30}
	for _, ranks := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprint(ranks), func(b *testing.B) {
			for b.Loop() {
				var wg sync.WaitGroup
				for _, c := range comm.Goroutines(ranks) {
					wg.Add(1)
					go func() {
						defer wg.Done()
						sol, err := convex.SolveByRows(b.Context(), c, p, &convex.Settings{Tol: 1e-4, NoPrune: true, Progress: func(convex.Progress) {}})
						if err != nil {
							b.Error(err)
						} else if c.Rank() == 0 {
							b.ReportMetric(float64(sol.Iterations), "iterations")
							b.ReportMetric(sol.Gap, "gap")
						}
					}()
				}
				wg.Wait()
			}
		})
	}
}
