package convex_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/convextest"
)

func randomVector(rng *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x
}

func randomDense(rng *rand.Rand, n, d int) *mat.Dense {
	return mat.NewDense(n, d, randomVector(rng, n*d))
}

func TestLosses(t *testing.T) {
	y := []float64{1, -1, -1, 1, 1}
	real := []float64{0.3, -2, 0, 5, 1e-3}
	sum := func(y []float64, f func(x, y float64) float64) func(x []float64) float64 {
		return func(x []float64) float64 {
			s := 0.0
			for i := range x {
				s += f(x[i], y[i])
			}
			return s
		}
	}
	for _, c := range []struct {
		loss  convex.Loss
		y     []float64
		naive func(x, y float64) float64
	}{
		{convex.Squared, real, func(x, y float64) float64 { return (x - y) * (x - y) / 2 }},
		{convex.Logistic, y, func(x, y float64) float64 { return math.Log(1 + math.Exp(-y*x)) }},
		{convex.Hinge, y, func(x, y float64) float64 { return math.Max(0, 1-y*x) }},
		{convex.L1, real, func(x, y float64) float64 { return math.Abs(x - y) }},
		{convex.Huber(0.7), real, func(x, y float64) float64 {
			// The infimal convolution of delta|.| and the square, by search.
			e, best := x-y, math.Inf(1)
			for _, z := range []float64{0, e - 0.7, e + 0.7} {
				best = math.Min(best, (e-z)*(e-z)/2+0.7*math.Abs(z))
			}
			return best
		}},
	} {
		f, err := c.loss.New(c.y)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name != c.loss.Name {
			t.Errorf("loss %s makes a function %s", c.loss.Name, f.Name)
		}
		t.Run(f.Name, func(t *testing.T) { convextest.TestFn(t, f, len(c.y), sum(c.y, c.naive)) })
		for _, bad := range []float64{math.NaN(), math.Inf(1)} {
			if _, err := c.loss.New([]float64{1, bad}); err == nil {
				t.Errorf("%s: label %v accepted", f.Name, bad)
			}
		}
	}
	for _, l := range []convex.Loss{convex.Logistic, convex.Hinge} {
		if _, err := l.New([]float64{1, 0}); err == nil {
			t.Errorf("%s: label 0 accepted", l.Name)
		}
	}
	for _, d := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := convex.Huber(d).New([]float64{1}); err == nil {
			t.Errorf("huber: delta %v accepted", d)
		}
	}
	// No overflow far out, and no loss of the tail.
	f, _ := convex.Logistic.New([]float64{1, 1})
	if v := f.Value([]float64{-1e3, 1e3}); v != 1000 {
		t.Errorf("logistic far out: %v", v)
	}
	g := make([]float64, 2)
	f.Grad(g, []float64{-800, 40})
	if g[0] != -1 || !(g[1] < 0) {
		t.Errorf("logistic gradient far out: %v", g)
	}
}

func TestPenalties(t *testing.T) {
	beta := 0.6
	columns := func(z []float64, rows, cols int) float64 {
		s := 0.0
		for o := 0; o < cols; o++ {
			q := 0.0
			for j := 0; j < rows; j++ {
				q += z[j*cols+o] * z[j*cols+o]
			}
			s += math.Sqrt(q)
		}
		return beta * s
	}
	for _, shape := range [][2]int{{1, 1}, {4, 1}, {1, 3}, {3, 2}, {2, 5}} {
		r, c := shape[0], shape[1]
		convextest.TestPenalty(t, convex.GroupL1(beta), r, c, func(z []float64) float64 { return columns(z, len(z), 1) })
		if r*c > 2 {
			// Two parts: the first entry, and the rest.
			convextest.TestPenalty(t, convex.PartsL2(beta, []int{1, r*c - 1}), r, c, func(z []float64) float64 {
				return columns(z[:1], 1, 1) + columns(z[1:], r*c-1, 1)
			})
		}
		convextest.TestPenalty(t, convex.PerOutput(beta), r, c, func(z []float64) float64 { return columns(z, r, c) })
		convextest.TestPenalty(t, convex.Nuclear(beta), r, c, func(z []float64) float64 {
			// The eigenvalues of Z'Z are the squared singular values.
			Z := mat.NewDense(r, c, append([]float64(nil), z...))
			var G mat.SymDense
			G.SymOuterK(1, Z)
			var e mat.EigenSym
			e.Factorize(&G, false)
			s := 0.0
			for _, v := range e.Values(nil) {
				if v > 1e-13*e.Values(nil)[len(e.Values(nil))-1] {
					s += math.Sqrt(v)
				}
			}
			return beta * s
		})
		convextest.TestPenalty(t, convex.Lasso(beta), r, c, func(z []float64) float64 {
			s := 0.0
			for _, v := range z {
				s += math.Abs(v)
			}
			return beta * s
		})
		convextest.TestPenalty(t, convex.Ridge(beta), r, c, func(z []float64) float64 {
			s := 0.0
			for _, v := range z {
				s += v * v
			}
			return beta / 2 * s
		})
	}
}

// The masked operator is the sum it is defined as.
func TestMaskedData(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []convex.MaskedData{
		{},
		{Signed: true},
		{Signed: true, Outputs: 3, Slope: 0.2, Scale: 0.5},
		{Patches: 3, Scale: 1.0 / 3, Signed: true},
		{Patches: 2, Outputs: 2, Slope: -1},
	} {
		n, d, K, outs := 11, 4, max(1, c.Patches), max(1, c.Outputs)
		X := randomDense(rng, n*K, d)
		pat, err := convex.SamplePatterns(X, 130, 1)
		if err != nil {
			t.Fatal(err)
		}
		m := c
		m.X, m.Patterns = X, pat
		op := m.Op()
		convextest.TestOp(t, op)
		x := randomVector(rng, op.Cols)
		got := make([]float64, op.Rows)
		op.Apply(got, x)
		sc := m.Scale
		if sc == 0 {
			sc = 1
		}
		for i := 0; i < n; i++ {
			for o := 0; o < outs; o++ {
				want := 0.0
				for g, b := range m.Blocks() {
					s, p := 1.0, g
					if g >= pat.Len() {
						s, p = -1, g-pat.Len()
					}
					for k := 0; k < K; k++ {
						h := m.Slope
						if pat.Bit(p, k*n+i) {
							h = 1
						}
						for j := 0; j < d; j++ {
							want += sc * s * h * X.At(k*n+i, j) * b.Of(x)[j*outs+o]
						}
					}
				}
				if math.Abs(want-got[i*outs+o]) > 1e-10 {
					t.Fatalf("%+v: prediction (%d,%d) is %v, want %v", c, i, o, got[i*outs+o], want)
				}
			}
		}
	}
	convextest.TestOp(t, convex.DenseOp(randomDense(rng, 5, 7)))
}

// slow are problems on which a first-order reference takes too long for a test.
var slow = map[string]map[string]bool{
	"fista": {
		"toy 1e-3": true, "relu small beta": true, "gated_relu small beta": true,
		"relu badly scaled columns": true, "gated_relu badly scaled columns": true,
	},
	"admm": {
		"relu squared": true, "relu logistic": true, "relu hinge": true, "relu huber": true,
		"relu small beta": true, "gated_relu one class": true, "relu l1": true, "gated_relu hinge": true,
		"relu badly scaled columns": true, "gated_relu badly scaled columns": true,
	},
}

func TestArchitectures(t *testing.T) {
	for _, e := range convextest.Depot() {
		t.Run(e.Name, func(t *testing.T) {
			sol := convextest.TestArch(t, e.Problem)
			if !math.IsNaN(e.Optimum) && math.Abs(sol.Primal-e.Optimum) > 1e-6*e.Optimum {
				t.Errorf("objective %.12g, optimum %.12g", sol.Primal, e.Optimum)
			}
			if e.Zero && sol.Network.Neurons() != 0 {
				t.Errorf("%d neurons, the optimum has none", sol.Network.Neurons())
			}
			given := e.Problem.Patterns != nil
			if want := map[bool]convex.Scope{true: convex.Restricted, false: convex.Global}[given]; sol.Scope != want {
				t.Errorf("scope %v, want %v", sol.Scope, want)
			}
		})
	}
}

func TestSolvers(t *testing.T) {
	for _, name := range convex.Solvers() {
		s, err := convex.LookupSolver(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { convextest.TestSolver(t, s, slow[name]) })
	}
}

// Stopped before the patterns are there, Solve still answers, and says so.
func TestSolveStopped(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	p := convex.Problem{X: randomDense(rng, 60, 3), Y: randomDense(rng, 60, 1), Beta: 1e-3}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sol, err := convex.Solve(ctx, p, nil)
	if err != nil || sol.Status != convex.Stopped || sol.Scope != convex.Restricted || !(sol.Lower <= sol.Primal) {
		t.Errorf("cancelled: %v %v", sol, err)
	}
	sol, err = convex.Solve(context.Background(), p, &convex.Settings{TimeLimit: 1})
	if err != nil || sol.Status != convex.TimeLimit || !(sol.Lower <= sol.Primal) {
		t.Errorf("time limit: %v %v", sol, err)
	}
}

// Whatever a solver reports on its way, the last report, and no other, is the
// certified outcome; of a solve that has several stages too.
func TestTheLastReportIsTheOutcome(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	for _, d := range []int{2, 12} { // all patterns; patterns searched
		var got []convex.Progress
		p := convex.Problem{X: randomDense(rng, 30, d), Y: randomDense(rng, 30, 1), Beta: 1}
		sol, err := convex.Solve(t.Context(), p, &convex.Settings{Progress: func(p convex.Progress) { got = append(got, p) }})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range got {
			if r.Done != (i == len(got)-1) {
				t.Errorf("d = %d: report %d of %d has Done %v", d, i+1, len(got), r.Done)
			}
		}
		if last := got[len(got)-1]; last.Primal != sol.Primal || last.Gap != sol.Gap || last.Lower != sol.Lower || last.Solver != sol.Solver {
			t.Errorf("d = %d: the last report is %+v, the solution has %v, %v, %v", d, last, sol.Primal, sol.Lower, sol.Gap)
		}
	}
}
