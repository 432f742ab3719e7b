package convex

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// descend trains a network of the problem by Adam from one random start, with
// the gates given (nil: ReLU), and returns the lowest objective seen. It shares
// nothing with the package but the loss.
func descend(rng *rand.Rand, X *mat.Dense, loss Fn, beta float64, m int, gates *Patterns, steps int) float64 {
	n, d := X.Dims()
	w := make([]float64, m*(d+1)) // u_j, then a_j
	for i := range w {
		w[i] = 0.7 * rng.NormFloat64()
	}
	g, m1, m2 := make([]float64, len(w)), make([]float64, len(w)), make([]float64, len(w))
	f, r, act := make([]float64, n), make([]float64, n), make([]float64, n*m)
	best := math.Inf(1)
	for s := 0; s < steps; s++ {
		clear(f)
		decay := 0.0
		for j := 0; j < m; j++ {
			u, a := w[j*(d+1):j*(d+1)+d], w[j*(d+1)+d]
			decay += dot(u, u) + a*a
			for i := 0; i < n; i++ {
				z := dot(X.RawRowView(i), u)
				on := z > 0
				if gates != nil {
					on = gates.Bit(j%gates.Len(), i)
				}
				act[i*m+j] = math.NaN()
				if on {
					act[i*m+j] = z
					f[i] += z * a
				}
			}
		}
		best = math.Min(best, loss.Value(f)+beta/2*decay)
		loss.anyGrad()(r, f)
		for i, v := range w {
			g[i] = beta * v
		}
		for j := 0; j < m; j++ {
			a := w[j*(d+1)+d]
			for i := 0; i < n; i++ {
				if z := act[i*m+j]; !math.IsNaN(z) {
					axpy(r[i]*a, X.RawRowView(i), g[j*(d+1):j*(d+1)+d])
					g[j*(d+1)+d] += r[i] * z
				}
			}
		}
		rate := 0.05 * math.Pow(1e-3, float64(s)/float64(steps))
		for i, v := range g {
			m1[i] = 0.9*m1[i] + 0.1*v
			m2[i] = 0.99*m2[i] + 0.01*v*v
			w[i] -= rate * m1[i] / (math.Sqrt(m2[i]) + 1e-12)
		}
	}
	return best
}

// The convex optimum is the best that gradient descent finds on the network
// itself, from many starts, and never above it.
func TestConvexOptimumIsBestOfDescent(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		rng := rand.New(rand.NewPCG(seed, 77))
		X := randomMatrix(rng, 5, 2)
		y := mat.NewVecDense(5, nil)
		for i := 0; i < 5; i++ {
			y.SetVec(i, float64(2*rng.IntN(2)-1))
		}
		for _, a := range []Arch{ReLU{}, GatedReLU{}} {
			for _, l := range []Loss{Squared, Logistic, Huber(0.4)} {
				p := Problem{X: X, Y: y, Arch: a, Loss: l, Beta: 0.2}
				sol, err := Solve(context.Background(), p, &Settings{Tol: 1e-9})
				if err != nil {
					t.Fatal(err)
				}
				var gates *Patterns
				m := 12
				if a.Name() == "gated_relu" {
					gates = sol.Program.Patterns
					m = gates.Len()
				}
				best := math.Inf(1)
				for start := 0; start < 6; start++ {
					best = math.Min(best, descend(rng, X, sol.Program.Loss, p.Beta, m, gates, 1500))
				}
				if best < sol.Lower*(1-1e-12) {
					t.Errorf("%s %s: descent found %v below the certified bound %v", a.Name(), l.Name, best, sol.Lower)
				}
				if best > sol.Primal*(1+2e-3) {
					t.Errorf("%s %s: descent only found %v, the convex optimum is %v", a.Name(), l.Name, best, sol.Primal)
				}
			}
		}
	}
}

// A network has at most n neurons after pruning, however many it is given.
func TestPruneManyNeurons(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	for trial := 0; trial < 10; trial++ {
		n, d, m := 3+rng.IntN(6), 1+rng.IntN(3), 40
		p := Problem{X: randomMatrix(rng, n, d), Y: randomMatrix(rng, n, 1), Beta: 0.5}
		net := &Network{Arch: "relu", Inputs: d, Outputs: 1, Activations: reluActivations,
			Hidden: randomMatrix(rng, m, d), Output: randomMatrix(rng, m, 1)}
		// Balance the layers, as an optimum does.
		for j := 0; j < m; j++ {
			u, a := net.Hidden.RawRowView(j), net.Output.RawRowView(j)
			s := math.Sqrt(norm2(u) / norm2(a))
			scale(1/s, u)
			scale(s, a)
		}
		before, err := net.Objective(p)
		if err != nil {
			t.Fatal(err)
		}
		small, err := Prune(p, net)
		if err != nil {
			t.Fatal(err)
		}
		after, err := small.Objective(p)
		if err != nil || after > before*(1+1e-9) || small.Neurons() > n {
			t.Errorf("n=%d: %d neurons, objective %v from %v (%v)", n, small.Neurons(), after, before, err)
		}
		f, _ := net.Predict(p.X)
		g, _ := small.Predict(p.X)
		f.Sub(f, g)
		if e := mat.Norm(f, 2); e > 1e-8 {
			t.Errorf("n=%d: predictions moved by %g", n, e)
		}
	}
}

// Gates found for patterns given as bits predict as the patterns do.
func TestGatedPredictsElsewhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 44))
	X := randomMatrix(rng, 20, 3)
	sampled, err := SamplePatterns(X, 12, 1)
	if err != nil {
		t.Fatal(err)
	}
	bits, _ := NewPatterns(sampled.Dense())
	p := Problem{X: X, Y: randomMatrix(rng, 20, 1), Arch: GatedReLU{}, Beta: 0.05, Patterns: bits}
	sol, err := Solve(context.Background(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := sol.Predict(X)
	if err != nil {
		t.Fatal(err)
	}
	half, err := sol.Predict(X.Slice(3, 9, 0, 3))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 6; i++ {
		if math.Abs(half.At(i, 0)-all.At(i+3, 0)) > 1e-10 {
			t.Errorf("row %d: %v instead of %v", i, half.At(i, 0), all.At(i+3, 0))
		}
	}
	// A pattern of no gate vector works on the training data, and says why it
	// does not elsewhere.
	p.X = mat.NewDense(2, 1, []float64{1, 2})
	p.Y = mat.NewDense(2, 1, []float64{1, -3})
	p.Patterns, _ = NewPatternsBool([][]bool{{true, false}, {false, true}})
	if sol, err = Solve(context.Background(), p, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sol.Network.Objective(p); err != nil {
		t.Error(err)
	}
	if _, err := sol.Predict(mat.NewDense(1, 1, []float64{1})); err == nil || !strings.Contains(err.Error(), "GatePatterns") {
		t.Errorf("prediction without gates: %v", err)
	}
}

func TestProblemErrors(t *testing.T) {
	X := mat.NewDense(4, 2, []float64{1, 2, 3, 4, 5, 6, 7, 8})
	y := mat.NewVecDense(4, []float64{1, -1, 1, -1})
	good := Problem{X: X, Y: y, Beta: 1}
	nan := mat.DenseCopyOf(X)
	nan.Set(2, 1, math.Inf(-1))
	three, _ := SamplePatterns(mat.NewDense(3, 2, []float64{1, 2, 3, 4, 5, 6}), 2, 1)
	four, _ := SamplePatterns(X, 2, 1)
	var typedNil *mat.Dense
	for _, c := range []struct {
		want   string
		change func(p *Problem)
	}{
		{"X is nil", func(p *Problem) { p.X = nil }},
		{"X is nil", func(p *Problem) { p.X = typedNil }},
		{"X is 0×0", func(p *Problem) { p.X = &mat.Dense{} }},
		{"X has -Inf in row 2, column 1", func(p *Problem) { p.X = nan }},
		{"Y is nil", func(p *Problem) { p.Y = nil }},
		{"Y is 1×4 but X is 4×2", func(p *Problem) { p.Y = y.T() }},
		{"Y has NaN in row 1", func(p *Problem) { p.Y = mat.NewVecDense(4, []float64{1, math.NaN(), 1, 1}) }},
		{"Beta is 0", func(p *Problem) { p.Beta = 0 }},
		{"Beta is NaN", func(p *Problem) { p.Beta = math.NaN() }},
		{"Beta is +Inf", func(p *Problem) { p.Beta = math.Inf(1) }},
		{"label 0 is 1e+200", func(p *Problem) {
			p.Loss, p.Y = Logistic, mat.NewVecDense(4, []float64{1e200, 1, 1, 1})
		}},
		{"too large", func(p *Problem) { p.Y = mat.NewVecDense(4, []float64{1e200, 1, 1, 1}) }},
		{"has no New", func(p *Problem) { p.Loss = Loss{Name: "mine"} }},
		{"patterns are", func(p *Problem) { p.Patterns = three }},
		{"Y is 4×2", func(p *Problem) { p.Y, p.Arch = X, LeakyReLU{} }},
		{"takes no Patterns", func(p *Problem) { p.Y, p.Patterns = X, four }},
		{"ReLU.Penalty is \"nuclear\"", func(p *Problem) { p.Arch = ReLU{Penalty: "nuclear"} }},
		{"not Patches", func(p *Problem) { p.Patches = []mat.Matrix{X} }},
		{"GatedReLU.Penalty", func(p *Problem) { p.Arch = GatedReLU{Penalty: "x"} }},
	} {
		p := good
		c.change(&p)
		_, err := Solve(context.Background(), p, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "convex: ") {
			t.Errorf("want %q, have %v", c.want, err)
		}
	}
	for _, s := range []Settings{{Tol: -1}, {Tol: 2}, {Tol: math.NaN()}, {MaxIter: -1}, {TimeLimit: -1}, {Samples: -1}, {MaxPatterns: -1}, {Solver: "magic"}} {
		if _, err := Solve(context.Background(), good, &s); err == nil || !strings.HasPrefix(err.Error(), "convex: ") {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if _, err := GatePatterns(X, mat.NewDense(3, 5, nil)); err == nil || !strings.Contains(err.Error(), "rows of gates must equal columns of X") {
		t.Errorf("gates: %v", err)
	}
	sol, err := Solve(context.Background(), good, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sol.Predict(mat.NewDense(2, 3, nil)); err == nil || !strings.Contains(err.Error(), "X is 2×3") {
		t.Errorf("predict: %v", err)
	}
	//lint:ignore SA1012 a cell may well pass nil
	if _, err := Solve(nil, good, nil); err != nil {
		t.Errorf("nil context: %v", err)
	}
	var none *Solution
	if _, err := none.Predict(X); err == nil || !strings.Contains(err.Error(), "is nil") {
		t.Error("predicted without a solution:", err)
	}
}

func TestCard(t *testing.T) {
	sol, err := Solve(context.Background(), toyProblem(1e-2), nil)
	if err != nil {
		t.Fatal(err)
	}
	sol.Program.Name = "<script>"
	text, page := sol.String(), sol.HTML()
	for _, want := range []string{"optimal", "0.1000738", "global", "neurons", "lower bound"} {
		if !strings.Contains(text, want) || !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s\n%s", want, text, page)
		}
	}
	if strings.Contains(page, "<script>") {
		t.Error("the name is not escaped")
	}
	if !strings.Contains(page, "<polyline") {
		t.Error("no trace picture")
	}
	if len(sol.TraceSeconds()) != len(sol.Trace) || len(sol.TraceGap()) != len(sol.Trace) {
		t.Error("trace columns")
	}
	var none *Solution
	if none.String() == "" || none.HTML() == "" {
		t.Error("nil solution")
	}
	for _, s := range []*Solution{{}, {Trace: []Progress{{Gap: 1}, {Gap: 1}}}} {
		if s.HTML() == "" || strings.Contains(s.HTML(), "NaN") {
			t.Errorf("card of %+v: %s", s, s.HTML())
		}
	}
}

// A part of a program can be exchanged and the program solved again.
func TestChangedProgram(t *testing.T) {
	ctx := context.Background()
	prog, err := Lower(ctx, toyProblem(1e-2), nil)
	if err != nil {
		t.Fatal(err)
	}
	prog.Penalty = GroupL1(0.5)
	sol, err := SolveProgram(ctx, prog, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Solve(ctx, toyProblem(0.5), nil)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(sol.Primal-want.Primal) > 2e-6*want.Primal || sol.Status != Optimal {
		t.Errorf("changed program: %v, want %v", sol, want)
	}
	if v, _ := sol.Network.Objective(prog.Problem); v != sol.NetworkObjective {
		t.Errorf("network objective %v, reported %v", v, sol.NetworkObjective)
	}
	// The card does not call the program's value the network's.
	if text := sol.String(); strings.Contains(text, "recomputed") || !strings.Contains(text, "(of the program, changed") || !strings.Contains(text, "network       "+number(sol.NetworkObjective)) {
		t.Errorf("card of a changed program: %s", text)
	}
}

// A solver that cannot solve a program names those that can.
func TestWrongSolver(t *testing.T) {
	_, err := Solve(context.Background(), toyProblem(1e-2), &Settings{Solver: "screened-fista"})
	if err == nil || !strings.Contains(err.Error(), "; what can: workingset") || !strings.Contains(err.Error(), "interior") {
		t.Error(err)
	}
}

// What a cell shows of a program, a network and a verification.
func TestStrings(t *testing.T) {
	p := toyProblem(1e-2)
	sol, err := Solve(context.Background(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Verify(p, sol.Network)
	if err != nil {
		t.Fatal(err)
	}
	var none *Network
	for _, c := range []struct {
		v    fmt.Stringer
		want []string
	}{
		{sol.Program, []string{"program relu", "loss         squared", "penalty      group l2", "cones        activation", "scope        global", "of 2×1"}},
		{sol.Network, []string{"relu network", "Hidden", "Output", "inputs   2"}},
		{none, []string{"no network"}},
		{v, []string{"objective 0.100073", "decay", "neurons"}},
	} {
		for _, want := range c.want {
			if !strings.Contains(c.v.String(), want) {
				t.Errorf("no %q in\n%s", want, c.v)
			}
		}
	}
}

// A network has no more neurons than an optimum needs, also where the loss has
// kinks and rounding shows in the objective.
func TestSolvePrunes(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 3))
		const n, h, K = 4, 3, 3
		p := Problem{Arch: CNN{Pool: "average"}, Loss: L1, Beta: 1e-3, Y: randomMatrix(rng, n, 1)}
		for range K {
			p.Patches = append(p.Patches, randomMatrix(rng, n, h))
		}
		sol, err := Solve(context.Background(), p, nil)
		if err != nil || sol.Network.Neurons() > n || sol.Status != Optimal {
			t.Errorf("%d: %v %v", seed, sol, err)
		}
	}
}

// A search splits neurons over cells next door, and fewer do as well, also where
// there are fewer of them than samples.
func TestSearchedNetworksArePruned(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 4)) // 36 to 40 neurons, 16 when pruned
	p := Problem{X: randomMatrix(rng, 100, 3), Y: randomMatrix(rng, 100, 1), Arch: ReLU{}, Beta: 1}
	var neurons []int
	var objective []float64
	for _, keep := range []bool{true, false} {
		sol, err := Solve(context.Background(), p, &Settings{MaxPatterns: 10, Tol: 1e-5, NoPrune: keep})
		if err != nil || sol.Status != Optimal || !sol.Program.Patterns.searched() {
			t.Fatalf("%v %v", sol, err)
		}
		neurons, objective = append(neurons, sol.Network.Neurons()), append(objective, sol.Primal)
	}
	if neurons[0] >= 100 || 4*neurons[1] > 3*neurons[0] {
		t.Errorf("%d neurons, pruned %d", neurons[0], neurons[1])
	}
	if objective[1] > objective[0]*(1+1e-7) {
		t.Errorf("objective %.12g, pruned %.12g", objective[0], objective[1])
	}
}
