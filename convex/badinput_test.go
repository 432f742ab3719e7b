package convex

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"
)

// Awkward data get a right answer, or a status that says why there is none:
// the bounds enclose the optimum, the network has the objective claimed, and
// with Optimal the gap is closed.
func TestAwkwardData(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	dense := func(n, d int) *mat.Dense { return randomMatrix(rng, n, d) }
	low := mat.NewDense(40, 6, nil)
	low.Mul(dense(40, 2), dense(2, 6))
	twice := dense(40, 3)
	for i := 20; i < 40; i++ {
		twice.SetRow(i, twice.RawRowView(i-20))
	}
	zeros := dense(40, 3)
	for i := 0; i < 40; i += 3 {
		zeros.SetRow(i, make([]float64, 3))
	}
	scaled := dense(40, 4)
	for i := 0; i < 40; i++ {
		for j, s := range []float64{1e-5, 1e-2, 1, 1e5} {
			scaled.Set(i, j, s*scaled.At(i, j))
		}
	}
	blank := dense(40, 3)
	for i := 0; i < 40; i++ {
		blank.Set(i, 1, 0)
	}
	one := mat.NewDense(40, 1, nil)
	for i := range 40 {
		one.Set(i, 0, 1)
	}
	same := mat.NewDense(40, 1, nil) // no variation at all
	for i := range 40 {
		same.Set(i, 0, 2)
	}
	for _, c := range []struct {
		name string
		X    *mat.Dense
	}{
		{"rank 2 of 6", low}, {"duplicate rows", twice}, {"zero rows", zeros}, {"fewer rows than columns", dense(8, 20)},
		{"columns over ten orders", scaled}, {"a zero column", blank}, {"one column", dense(40, 1)}, {"all rows equal", same}, {"one row", dense(1, 5)},
	} {
		n, _ := c.X.Dims()
		targets := dense(n, 1)
		labels := mat.NewDense(n, 1, nil)
		for i := range n {
			labels.Set(i, 0, math.Copysign(1, targets.At(i, 0)))
		}
		for _, y := range []struct {
			name string
			Y    *mat.Dense
			loss Loss
		}{
			{"squared", targets, Squared}, {"logistic", labels, Logistic}, {"one class", mat.DenseCopyOf(one.Slice(0, n, 0, 1)), Logistic},
		} {
			for _, a := range []Arch{ReLU{}, GatedReLU{}} {
				for _, ratio := range []float64{0.1, 1e-3} {
					t.Run(fmt.Sprintf("%s/%s/%s/%g", c.name, y.name, a.Name(), ratio), func(t *testing.T) {
						p := Problem{X: c.X, Y: y.Y, Arch: a, Loss: y.loss}
						s := &Settings{Samples: 30, MaxPatterns: 300}
						top, err := BetaMax(context.Background(), p, s)
						if err != nil {
							t.Fatal(err)
						}
						p.Beta = ratio * top
						sol, err := Solve(context.Background(), p, s)
						if err != nil {
							t.Fatal(err)
						}
						checkAwkward(t, p, sol)
					})
				}
			}
		}
	}
}

// checkAwkward wants bounds in order, an honest status, and the network's own
// objective.
func checkAwkward(t *testing.T, p Problem, sol *Solution) {
	t.Helper()
	if !(sol.Lower <= sol.Primal*(1+1e-12)) || sol.Infeasibility > 1e-9 {
		t.Errorf("%g ≥ %g, infeasible by %g", sol.Primal, sol.Lower, sol.Infeasibility)
	}
	if sol.Status == Optimal && !(sol.Gap <= 1e-6) {
		t.Errorf("%v with gap %g", sol.Status, sol.Gap)
	}
	if sol.Status != Optimal && sol.Status != Almost {
		t.Errorf("status %v: objective %g, gap %g", sol.Status, sol.Primal, sol.Gap)
	}
	v, err := Verify(p, sol.Network)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(v.Objective-sol.Primal) > 1e-9*math.Abs(sol.Primal)+1e-300 {
		t.Errorf("objective %g, of the network %g", sol.Primal, v.Objective)
	}
}

// From far above the largest useful beta to 1e-8 of it, for both networks.
func TestAllBeta(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 44))
	X, y := randomMatrix(rng, 60, 5), randomMatrix(rng, 60, 1)
	for _, a := range []Arch{ReLU{}, GatedReLU{}} {
		p := Problem{X: X, Y: y, Arch: a}
		pat, err := SamplePatterns(X, 60, 1)
		if err != nil {
			t.Fatal(err)
		}
		p.Patterns = pat
		top, err := BetaMax(context.Background(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		last := math.Inf(1)
		for _, ratio := range []float64{1e8, 10, 1, 0.9, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8} {
			p.Beta = ratio * top
			sol, err := Solve(context.Background(), p, &Settings{TimeLimit: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if !(sol.Lower <= sol.Primal) || sol.Primal > last*(1+1e-5) || (sol.Network.Neurons() == 0) != (ratio >= 1) {
				t.Errorf("%s at %g: %g ≥ %g after %g, %d neurons", a.Name(), ratio, sol.Primal, sol.Lower, last, sol.Network.Neurons())
			}
			if sol.Status != Optimal && sol.Status != Almost {
				t.Errorf("%s at %g: status %v, gap %g", a.Name(), ratio, sol.Status, sol.Gap)
			}
			last = sol.Primal
		}
	}
}

// What does not fit is an error that says so, not a panic and not a wrong
// answer.
func TestArgumentsThatDoNotFit(t *testing.T) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(45, 46))
	X, Y := randomMatrix(rng, 6, 3), randomMatrix(rng, 6, 1)
	p := Problem{X: X, Y: Y, Beta: 0.1}
	loss, err := Squared.New(Y.RawMatrix().Data)
	if err != nil {
		t.Fatal(err)
	}
	generate := func(X *mat.Dense, beta float64, s *Settings) func() error {
		return func() error {
			_, err := GeneratePatterns(ctx, X, loss, beta, 1, s)
			return err
		}
	}
	verify := func(hidden, output *mat.Dense, arch Arch) func() error {
		net := &Network{Inputs: 3, Outputs: 1}
		if arch != nil {
			if err := net.SetArch(arch); err != nil {
				t.Fatal(err)
			}
		}
		net.Hidden, net.Output = hidden, output
		return func() error {
			_, err := Verify(p, net)
			return err
		}
	}
	nan := mat.DenseCopyOf(X)
	nan.Set(4, 1, math.NaN())
	for _, c := range []struct {
		run  func() error
		want string
	}{
		{generate(nil, 0.1, nil), "X is nil"},
		{generate(nan, 0.1, nil), "X has NaN in row 4, column 1"},
		{generate(randomMatrix(rng, 4, 3), 0.1, nil), "6 labels but X is 4×3"},
		{generate(X, math.Inf(1), nil), "positive beta"},
		{generate(X, 0.1, &Settings{Tol: -1}), "Settings.Tol"},
		{verify(X, Y, nil), "neither Activations nor Forward"},
		{verify(X, nil, ReLU{}), "no Output"},
		{verify(X, randomMatrix(rng, 5, 1), ReLU{}), "Output is 5×1: want 6×1"},
		{verify(X, randomMatrix(rng, 6, 2), ReLU{}), "Output is 6×2: want 6×1"},
		{verify(randomMatrix(rng, 6, 4), Y, ReLU{}), "Hidden is 6×4 but the data are 6×3"},
	} {
		done := make(chan error, 1)
		go func() { done <- c.run() }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no answer, want %q", c.want)
		}
	}
}

// Data of zeros have no patterns: the network without neurons is optimal, and
// with a bias the best constant.
func TestZeroData(t *testing.T) {
	ctx := context.Background()
	zero := mat.NewDense(3, 4, nil)
	for _, name := range Archs() {
		a, err := LookupArch(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, bias := range []bool{false, true} {
			p := Problem{X: zero, Y: mat.NewDense(3, 1, []float64{1, 2, 3}), Arch: a, Beta: 0.1, OutputBias: bias}
			want := 7.0
			if bias {
				want = 1
			}
			sol, err := Solve(ctx, p, nil)
			if err != nil && strings.Contains(err.Error(), "Patches") {
				p.X, p.Patches = nil, []mat.Matrix{zero, zero}
				sol, err = Solve(ctx, p, nil)
			}
			switch a.(type) {
			case BatchNormReLU: // has no variance to divide by
				if err == nil || !strings.Contains(err.Error(), "variance") {
					t.Errorf("%s: %v", name, err)
				}
				continue
			case Polynomial: // its constant is one
				want = min(want, 1.5)
			}
			if err != nil || sol.Status != Optimal || !(sol.Primal <= want*(1+1e-6)) || sol.Lower > sol.Primal {
				t.Errorf("%s, bias %v: %v %v", name, bias, sol, err)
				continue
			}
			if _, ok := a.(Polynomial); !ok && (sol.Network.Neurons() != 0 || sol.Lower < want*(1-1e-6)) {
				t.Errorf("%s, bias %v: %v", name, bias, sol)
			}
		}
	}
}

// Every architecture refuses a problem with both X and Patches, of which it
// would have to leave one out silently.
func TestBothDataAndPatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(47, 48))
	X, y := randomMatrix(rng, 4, 4), randomMatrix(rng, 4, 1)
	for _, name := range Archs() {
		a, err := LookupArch(name)
		if err != nil {
			t.Fatal(err)
		}
		p := Problem{X: X, Patches: []mat.Matrix{X, X}, Y: y, Arch: a, Beta: 0.1}
		_, err = Solve(t.Context(), p, nil)
		if err == nil || !strings.Contains(err.Error(), "both X and Patches") || !strings.Contains(err.Error(), "leave X out") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Networks too large for memory or for any patience are refused, with advice,
// and not begun: they would end at the deadline without an error.
func TestTooLarge(t *testing.T) {
	rng := rand.New(rand.NewPCG(49, 50))
	X, y := randomMatrix(rng, 10, 3), randomMatrix(rng, 10, 1)
	many := make([]mat.Matrix, 100_000)
	for k := range many {
		many[k] = X
	}
	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	for _, c := range []struct {
		p    Problem
		want string
	}{
		{Problem{X: X, Arch: ParallelReLU{Units: 1_000_000}}, "take fewer units"},
		{Problem{X: X, Arch: ParallelReLU{Units: math.MaxInt}}, "take fewer units"},
		{Problem{Patches: many, Arch: ThreeLayerReLUCNN{}}, "take fewer patches"},
		{Problem{X: X, Arch: DeepLinear{Layers: math.MaxInt}}, "at most 1000"},
		{Problem{X: X, Arch: CircularReLUCNN{Layers: math.MaxInt, FilterNorm: "product_frobenius"}}, "at most 1000"},
	} {
		c.p.Y, c.p.Beta = y, 0.1
		_, err := Solve(within(time.Minute), c.p, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.p.Arch.Name(), err, c.want)
		}
	}
	// What is allowed but takes minutes stops when told to.
	sol, err := Solve(within(300*time.Millisecond), Problem{X: X, Y: y, Arch: ParallelReLU{Units: 20_000}, Beta: 0.1}, nil)
	if err != nil || sol.Status != TimeLimit || !(sol.Lower <= sol.Primal) {
		t.Errorf("not stopped: %v %v", sol, err)
	}
}

// Every architecture names the argument that does not fit, for data and for
// patches, and a context that is cancelled gets an answer that says so.
func TestBadInputOfEveryArchitecture(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 52))
	with := func(M *mat.Dense, v float64) *mat.Dense {
		M = mat.DenseCopyOf(M)
		M.Set(1, 0, v)
		return M
	}
	X, y := randomMatrix(rng, 6, 4), randomMatrix(rng, 6, 1)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range Archs() {
		a, err := LookupArch(name)
		if err != nil {
			t.Fatal(err)
		}
		good := Problem{X: X, Y: y, Arch: a, Beta: 0.1}
		data := func(p *Problem, M mat.Matrix) { p.X = M }
		named := "X"
		if _, err := Lower(t.Context(), good, nil); err != nil && strings.Contains(err.Error(), "takes Patches") {
			data = func(p *Problem, M mat.Matrix) { p.X, p.Patches = nil, []mat.Matrix{X, M} }
			named = "Patches[1]"
			data(&good, X)
		} else if err != nil {
			t.Fatal(name, err)
		}
		for _, c := range []struct {
			want   string
			change func(p *Problem)
		}{
			{"Beta is 0", func(p *Problem) { p.Beta = 0 }},
			{"Beta is -1", func(p *Problem) { p.Beta = -1 }},
			{"Beta is NaN", func(p *Problem) { p.Beta = math.NaN() }},
			{"Beta is +Inf", func(p *Problem) { p.Beta = math.Inf(1) }},
			{named + " has NaN in row 1, column 0", func(p *Problem) { data(p, with(X, math.NaN())) }},
			{named + " has -Inf in row 1, column 0", func(p *Problem) { data(p, with(X, math.Inf(-1))) }},
			{"Y has NaN in row 1, column 0", func(p *Problem) { p.Y = with(y, math.NaN()) }},
			{named + " is nil", func(p *Problem) { data(p, nil) }},
			{named + " is nil", func(p *Problem) { data(p, (*mat.Dense)(nil)) }},
			{"X is nil", func(p *Problem) { p.X, p.Patches = nil, nil }},
			{named + " is 0×0", func(p *Problem) { data(p, new(mat.Dense)) }},
			{"Y is nil", func(p *Problem) { p.Y = nil }},
			{"Y is 0×0", func(p *Problem) { p.Y = new(mat.Dense) }},
			{"Y is 5×1", func(p *Problem) { p.Y = y.Slice(0, 5, 0, 1) }},
			{"Y is 1×6", func(p *Problem) { p.Y = y.T() }},
			{"has no New", func(p *Problem) { p.Loss = Loss{Name: "mine"} }},
			{"label", func(p *Problem) { p.Loss = Logistic }}, // of numbers
			{"both X and Patches", func(p *Problem) { p.X, p.Patches = X, []mat.Matrix{X} }},
		} {
			p := good
			c.change(&p)
			func() {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("%s: want %q, have a panic: %v", name, c.want, r)
					}
				}()
				sol, err := Solve(t.Context(), p, nil)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "convex: ") {
					t.Errorf("%s: want %q, have %v %v", name, c.want, sol, err)
				}
			}()
		}
		sol, err := Solve(stopped, good, nil)
		switch {
		case err != nil:
			t.Errorf("%s: cancelled: %v", name, err)
		case !(sol.Lower <= sol.Primal) || sol.Network == nil || sol.Status != Stopped:
			t.Errorf("%s: cancelled: %v", name, sol)
		default:
			if v, err := Verify(good, sol.Network); err != nil || math.Abs(v.Objective-sol.Primal) > 1e-9*math.Abs(sol.Primal) {
				t.Errorf("%s: cancelled: objective %v, of the network %v (%v)", name, sol.Primal, v, err)
			}
		}
	}
}
