package convextest

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

// TestArch checks an architecture on one problem of it: the decoded network's
// objective, recomputed from scratch, is the convex program's, the certificate
// closes, pruning leaves at most n·c neurons and does not raise the objective,
// predictions on the training data are those of the program, and the start
// from the answer ends at once. It returns the solution.
func TestArch(t *testing.T, p convex.Problem) *convex.Solution {
	t.Helper()
	const tol = 1e-6
	sol, err := convex.Solve(context.Background(), p, &convex.Settings{Tol: tol, NoPrune: true})
	if err != nil {
		t.Fatal(err)
	}
	if sol.Network == nil {
		t.Fatal("no network")
	}
	if sol.Program.Relaxation {
		testRelaxation(t, p, sol, tol)
		return sol
	}
	if sol.Status != convex.Optimal || sol.Gap > tol {
		t.Errorf("status %v, gap %v", sol.Status, sol.Gap)
	}
	value, err := sol.Network.Objective(p)
	if err != nil {
		t.Fatal(err)
	}
	program := sol.Certificate.Primal
	if !near(value, program, 1e-9) && math.Abs(value-program) > 1e-9*math.Abs(value) {
		t.Errorf("network objective %.15g, program %.15g", value, program)
	}
	if sol.Primal != value {
		t.Errorf("Primal %.15g is not the network's objective %.15g", sol.Primal, value)
	}
	if sol.Lower > value*(1+1e-12) {
		t.Errorf("lower bound %.15g above the objective %.15g", sol.Lower, value)
	}
	if sol.Infeasibility > 1e-10 {
		t.Errorf("infeasibility %v", sol.Infeasibility)
	}
	prog := sol.Program
	f := make([]float64, prog.Op.Rows)
	prog.Op.Apply(f, sol.Certificate.X)
	if p.X != nil {
		F, err := sol.Predict(mat.DenseCopyOf(p.X))
		if err != nil {
			t.Fatal(err)
		}
		n, c := F.Dims()
		if n != prog.Samples || c != prog.Outputs {
			t.Fatalf("predictions are %d×%d", n, c)
		}
		for i := range f {
			if got := F.At(i/c, i%c); !near(got, f[i], 1e-7) {
				t.Errorf("prediction %d is %v, the program's %v", i, got, f[i])
			}
		}
	}
	if sol.Network.Activations == nil { // its neurons are not weighed sums: nothing to prune
		return sol
	}
	pruned, err := convex.Prune(p, sol.Network)
	if err != nil {
		t.Fatal(err)
	}
	if pruned.Neurons() > prog.Op.Rows {
		t.Errorf("%d neurons after pruning, want at most %d", pruned.Neurons(), prog.Op.Rows)
	}
	if v, err := pruned.Objective(p); err != nil || v > value*(1+1e-9)+1e-15 {
		t.Errorf("pruning raised the objective from %.12g to %.12g (%v)", value, v, err)
	}
	return sol
}

// testRelaxation checks that a program which is only a lower bound says so: it
// is solved itself, the network is no better, and nothing claims optimality
// while they are apart.
func testRelaxation(t *testing.T, p convex.Problem, sol *convex.Solution, tol float64) {
	t.Helper()
	value, err := sol.Network.Objective(p)
	if err != nil {
		t.Fatal(err)
	}
	if sol.Primal != value {
		t.Errorf("Primal %.15g is not the network's objective %.15g", sol.Primal, value)
	}
	program := sol.Certificate.Primal
	if value < program*(1-1e-9) || sol.Lower > program*(1+1e-12) || sol.Lower < program*(1-tol) {
		t.Errorf("network %.15g, relaxation %.15g, bound %.15g", value, program, sol.Lower)
	}
	if want := (value - sol.Lower) / value; math.Abs(sol.Gap-want) > 1e-12 {
		t.Errorf("gap %v, want %v", sol.Gap, want)
	}
	if (sol.Status == convex.Optimal) != (sol.Gap <= tol) || sol.Gap > tol && sol.Status != convex.Bounded {
		t.Errorf("status %v with a gap of %v", sol.Status, sol.Gap)
	}
}

// TestSolver runs a solver over every problem of the depot that it says it can
// solve: certified to 1e-6, equal to the known optimum, the same twice, and
// with an honest status when it is stopped. Problems named in skip are left out.
func TestSolver(t *testing.T, s convex.Solver, skip map[string]bool) {
	solved := 0
	for _, e := range Depot() {
		prog, err := convex.Lower(context.Background(), e.Problem, nil)
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if prog.Op.Cols == 0 || s.Uses(prog) != nil {
			continue
		}
		solved++
		t.Run(e.Name, func(t *testing.T) {
			if skip[e.Name] {
				t.Skip("left out")
			}
			sol, err := convex.SolveProgram(context.Background(), prog, &convex.Settings{Use: s})
			if err != nil {
				t.Fatal(err)
			}
			if sol.Status != convex.Optimal || sol.Gap > 1e-6 {
				t.Errorf("status %v, gap %.2e, objective %v, lower bound %v", sol.Status, sol.Gap, sol.Primal, sol.Lower)
			}
			if !math.IsNaN(e.Optimum) && !near(sol.Primal, e.Optimum, 1e-6) {
				t.Errorf("objective %.12g, optimum %.12g", sol.Primal, e.Optimum)
			}
			if e.Zero && sol.Network.Neurons() != 0 {
				t.Errorf("%d neurons, the optimum has none", sol.Network.Neurons())
			}
			if sol.Elapsed > 300*time.Millisecond {
				return // once is enough of a slow one
			}
			again, err := convex.SolveProgram(context.Background(), prog, &convex.Settings{Use: s})
			if err != nil || again.Primal != sol.Primal || again.Lower != sol.Lower {
				t.Errorf("second run: %v, %v instead of %v, %v (%v)", again.Primal, again.Lower, sol.Primal, sol.Lower, err)
			}
			for i := 1; i < len(sol.Trace); i++ {
				if sol.Trace[i].Elapsed < sol.Trace[i-1].Elapsed {
					t.Errorf("the trace's clock goes back")
				}
			}
			// What a trace claims as a bound is one.
			for _, p := range sol.Trace {
				if p.Lower > sol.Primal*(1+1e-9)+1e-12 {
					t.Errorf("the trace has lower bound %v above the objective %v", p.Lower, sol.Primal)
				}
			}
			// A warm start from the answer is as good.
			warm, err := convex.SolveProgram(context.Background(), prog, &convex.Settings{Use: s, Warm: sol})
			if err != nil || warm.Status != convex.Optimal {
				t.Errorf("warm start: %v %v", warm, err)
			}
		})
	}
	if solved == 0 {
		t.Errorf("%s can solve none of the depot", s.Name())
	}
	t.Run("stopped", func(t *testing.T) { testStopped(t, s) })
}

// testStopped stops the solver in every way and wants a valid bracket around
// the optimum each time.
func testStopped(t *testing.T, s convex.Solver) {
	for _, e := range Depot() {
		prog, err := convex.Lower(context.Background(), e.Problem, nil)
		if err != nil || prog.Op.Cols == 0 || s.Uses(prog) != nil || e.Zero {
			continue
		}
		full, err := convex.SolveProgram(context.Background(), prog, &convex.Settings{Use: s})
		if err != nil {
			t.Fatal(err)
		}
		stopped, stop := context.WithCancel(context.Background())
		stop()
		late, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
		defer cancel()
		for _, c := range []struct {
			ctx    context.Context
			s      convex.Settings
			status convex.Status
		}{
			{context.Background(), convex.Settings{MaxIter: 1}, convex.IterLimit},
			{stopped, convex.Settings{}, convex.Stopped},
			{late, convex.Settings{}, convex.TimeLimit},
		} {
			c.s.Use = s
			sol, err := convex.SolveProgram(c.ctx, prog, &c.s)
			if err != nil {
				if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", e.Name, err)
				}
				t.Errorf("%s: stopping must not be an error: %v", e.Name, err)
				continue
			}
			if sol.Status != c.status && !(sol.Status == convex.Optimal && sol.Gap <= 1e-6) {
				t.Errorf("%s: status %v, want %v", e.Name, sol.Status, c.status)
			}
			if sol.Lower > full.Primal*(1+1e-9)+1e-12 || sol.Primal < full.Lower*(1-1e-9)-1e-12 {
				t.Errorf("%s: %v: [%v, %v] does not hold the optimum in [%v, %v]", e.Name, sol.Status, sol.Lower, sol.Primal, full.Lower, full.Primal)
			}
		}
		return // one problem is enough
	}
}
