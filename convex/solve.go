package convex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gonvex/gonvex/lapack"
)

// Solve trains the network of a problem to the optimum of its convex program
// and certifies the result. A nil s means the defaults.
//
// An error means that the problem could not be run. A cancelled context, a
// deadline, or a limit of s is not an error: the Solution then holds the best
// network found, with its certificate and an honest Status.
func Solve(ctx context.Context, p Problem, s *Settings) (sol *Solution, err error) {
	start := time.Now()
	s = s.withDefaults()
	defer func() { s.reportDone(sol) }()
	s.record, s.own = &record{start: start}, true
	ctx, cancel := s.limit(ctx, start)
	defer cancel()
	prog, err := Lower(ctx, p, s)
	if err != nil {
		return nil, err
	}
	if s.Use == nil && s.Solver == "" {
		s.Use = prog.solver
	}
	sol, err = solve(ctx, prog, s, start)
	if err != nil || sol.Scope == Global || p.Patterns != nil {
		return sol, err
	}
	return sol.overAll(ctx, p, s, start)
}

// overAll goes on from a solution over some of the patterns, which its bound
// over all of them does not prove global, to the program over all, when they
// can be enumerated and there is time.
func (sol *Solution) overAll(ctx context.Context, p Problem, s *Settings, start time.Time) (*Solution, error) {
	m := sol.Program.Op.Masked
	if m == nil || m.winners || sol.Program.AllPatterns == nil || s.Samples != 0 || ctx.Err() != nil {
		return sol, nil
	}
	n, d := m.X.Dims()
	if CoverCount(n, min(n, d)) > 100*float64(s.MaxPatterns) {
		return sol, nil // even data with many coincidences have too many
	}
	all, err := s.path.every(ctx, m.X, s.MaxPatterns)
	if err != nil {
		return sol, nil
	}
	index := make(map[string]int, all.Len())
	for i := 0; i < all.Len(); i++ {
		index[rowKey(all.Row(i))] = i
	}
	for g, b := range sol.Program.Blocks {
		if z := b.Of(sol.Certificate.X); norm2(z) > 0 {
			if i, ok := index[rowKey(m.Patterns.Row(m.Pattern(g)))]; ok {
				all.net = append(all.net, seed{i, m.Sign(g), append([]float64(nil), z...)})
			}
		}
	}
	p.Patterns = all
	prog, err := Lower(ctx, p, s)
	if err != nil {
		return sol, nil
	}
	wide, err := solve(ctx, prog, s, start)
	if err != nil {
		return sol, nil
	}
	if wide.Status != Optimal && wide.Primal > sol.Primal {
		sol.GlobalLower = math.Max(sol.GlobalLower, wide.Lower)
		sol.Elapsed = wide.Elapsed
		return sol, nil
	}
	wide.Iterations += sol.Iterations
	return wide, nil
}

// SolveProgram solves a program, such as one that Lower returned and the caller
// changed, and certifies the result. See Solve.
func SolveProgram(ctx context.Context, prog *Program, s *Settings) (sol *Solution, err error) {
	start := time.Now()
	s = s.withDefaults()
	defer func() { s.reportDone(sol) }()
	s.record = &record{start: start}
	ctx, cancel := s.limit(ctx, start)
	defer cancel()
	return solve(ctx, prog, s, start)
}

// limit applies the time limit; a nil context is the background.
func (s *Settings) limit(ctx context.Context, start time.Time) (context.Context, context.CancelFunc) {
	ctx = background(ctx)
	if s.TimeLimit > 0 {
		return context.WithDeadline(ctx, start.Add(s.TimeLimit))
	}
	return ctx, func() {}
}

func solve(ctx context.Context, prog *Program, s *Settings, start time.Time) (*Solution, error) {
	if err := prog.Validate(); err != nil {
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	if err := prog.checkMemory(s); err != nil {
		return nil, err
	}
	pt := &Point{X: []float64{}, Status: Optimal}
	if prog.Op.Cols > 0 {
		solver, err := chooseSolver(prog, s)
		if err != nil {
			return nil, err
		}
		pt, err = solver.Solve(ctx, prog, s)
		if err != nil {
			return nil, fmt.Errorf("convex: solver %s on program %q: %w", solver.Name(), prog.Name, err)
		}
		if pt == nil || len(pt.X) != prog.Op.Cols {
			return nil, fmt.Errorf("convex: solver %s returned no point for program %q", solver.Name(), prog.Name)
		}
		if pt.Solver == "" {
			pt.Solver = solver.Name()
		}
	}
	sol, err := certified(ctx, prog, pt, s, start)
	if err != nil || ctx.Err() != nil {
		return sol, err
	}
	if lost := sol.Status == Numerical || sol.Status == IterLimit; lost || sol.Gap == 0 && sol.Primal > sol.Lower {
		if plain := prog.withoutNeurons(ctx, s, start); plain != nil {
			return plain, nil
		}
	}
	return sol, nil
}

// withoutNeurons is the solution with nothing but the blocks without penalty,
// such as the output bias, when that is optimal; else nil. Where they fit the
// labels exactly the optimum is 0 and few solvers end well.
func (prog *Program) withoutNeurons(ctx context.Context, s *Settings, start time.Time) *Solution {
	v, free, err := prog.freeFit(ctx)
	if err != nil || free == nil {
		return nil
	}
	pt := &Point{X: make([]float64, prog.Op.Cols), Dual: v, Status: Optimal, Solver: "interior"}
	for i, b := range prog.Blocks {
		if prog.isFree(i) {
			free = free[copy(b.Of(pt.X), free):]
		}
	}
	sol, err := certified(ctx, prog, pt, s, start)
	if err != nil || sol.Status != Optimal {
		return nil
	}
	return sol
}

// isFree says whether neither penalty nor cone holds block i.
func (prog *Program) isFree(i int) bool {
	return prog.Blocks[i].Weight == 0 && (prog.Cones == nil || prog.Cones.block()(i) == nil)
}

// certified makes a Solution of a point: its certificate, the decoded network
// and the status that the certificate proves.
func certified(ctx context.Context, prog *Program, pt *Point, s *Settings, start time.Time) (*Solution, error) {
	cert, err := Certify(ctx, prog, pt)
	if err != nil {
		return nil, err
	}
	sol := &Solution{
		Primal: cert.Primal, Lower: cert.Lower,
		Infeasibility: cert.Infeasibility, Scope: prog.Scope,
		Solver: pt.Solver, Iterations: pt.Iter, Backend: lapack.Info().String(),
		Point: pt, Certificate: *cert, Trace: s.record.trace, Program: prog,
	}
	if prog.Decode != nil {
		if err := sol.decode(ctx, s); err != nil {
			return nil, err
		}
	}
	sol.boundGlobally(ctx, s.Tol)
	sol.Gap = relativeGap(sol.Primal, sol.Lower)
	if f := make([]float64, prog.Op.Rows); sol.Gap > s.Tol {
		prog.Op.Apply(f, cert.X)
		if sol.Primal-sol.Lower <= lossRounding(prog.Loss, f) {
			sol.Gap = 0
		}
	}
	sol.Status = finalStatus(pt.Status, sol.Gap, s.Tol)
	if prog.Relaxation && sol.Gap > s.Tol && cert.Gap <= s.Tol {
		sol.Status = Bounded
	}
	sol.Elapsed = time.Since(start)
	return sol, nil
}

// finalStatus lets the certificate, not the solver, say what is optimal.
func finalStatus(solver Status, gap, tol float64) Status {
	switch {
	case gap <= tol:
		return Optimal
	case solver == Optimal || solver == Unknown || solver == Numerical || solver == Almost:
		if gap <= 100*tol {
			return Almost
		}
		return Numerical
	}
	return solver
}

// boundGlobally fills in GlobalLower, and makes the scope global when the bound
// over all patterns closes the gap. The network is then optimal whatever
// patterns it was trained on.
func (sol *Solution) boundGlobally(ctx context.Context, tol float64) {
	prog := sol.Program
	sol.GlobalLower = sol.Lower
	if sol.Scope == Global {
		return
	}
	var slope []float64
	if g := prog.Loss.anyGrad(); g != nil {
		f := make([]float64, prog.Op.Rows)
		prog.Op.Apply(f, sol.Certificate.X)
		g(f, f)
		scale(-1, f)
		slope = f
	}
	sol.GlobalLower = prog.globalLower(ctx, append([][]float64{slope, sol.Certificate.Dual}, prog.Duals...)...)
	// A program whose parts were exchanged is not the one that AllPatterns
	// knows.
	if sol.Network == nil || sol.NetworkObjective != sol.Primal {
		sol.GlobalLower = math.Inf(-1)
	}
	if relativeGap(sol.Primal, sol.GlobalLower) <= tol {
		sol.Scope, sol.Certificate.Scope, sol.Lower = Global, Global, sol.GlobalLower
	}
}

// maxPruned is the number of predictions up to which pruning, whose cost grows
// with its cube, is done unasked. Larger problems seldom have more neurons.
const maxPruned = 1500

// decode makes the network of the certified point, prunes it where its patterns
// were searched for or it has more neurons than an optimum needs, and takes the
// network's own objective, from scratch, as the primal value when the problem is
// the program's own.
func (sol *Solution) decode(ctx context.Context, s *Settings) error {
	decode := sol.Program.Decode
	if round := sol.Program.round; round != nil {
		decode = func(x []float64) (*Network, error) { return round(ctx, x) }
	}
	net, err := decode(sol.Certificate.X)
	if err != nil {
		return err
	}
	sol.Network = net
	p := sol.Program.Problem
	if p.X == nil && len(p.Patches) == 0 {
		return nil
	}
	value, err := net.Objective(p)
	if err != nil {
		return err
	}
	if math.IsNaN(value) {
		return errors.New("convex: the decoded network's objective is NaN")
	}
	sol.NetworkObjective = value
	if sol.Program.Relaxation {
		sol.Primal = value
		return nil
	}
	if math.Abs(value-sol.Primal) > 1e-6*(math.Abs(value)+math.Abs(sol.Primal)) {
		// The caller changed a part of the program, which is now another
		// problem than the network's; the program's value stands. Of a program
		// nobody changed only the network's own objective can be believed.
		if s.own {
			sol.Primal = value
		}
		return nil
	}
	// A loss with a kink makes much of the rounding of a fit that is exact: a
	// network may be worse by that as long as it is optimal to the tolerance.
	asGood := func(v float64) bool {
		return v <= value*(1+math.Max(1e-12, 1e-2*s.Tol)) ||
			v <= value*(1+0.1*s.Tol) && relativeGap(v, sol.Certificate.Lower) <= s.Tol
	}
	// The neurons of a search lie in cells next door, where fewer do as well.
	near := sol.Program.Patterns.searched()
	if rows := sol.Program.Op.Rows; !s.NoPrune && net.Activations != nil && (near || net.Neurons() > rows) && rows <= maxPruned {
		if pruned, err := Prune(p, net); err == nil {
			if v, err := pruned.Objective(p); err == nil && asGood(v) {
				sol.Network, sol.NetworkObjective, value = pruned, v, v
			}
		}
	}
	if rows := sol.Program.Op.Rows; !s.NoPrune && net.Activations == nil && rows <= maxPruned && sol.Program.ActiveBlocks(sol.Certificate.X) > rows {
		x := append([]float64(nil), sol.Certificate.X...)
		sol.Program.pruneBlocks(x)
		if pruned, err := sol.Program.Decode(x); err == nil && pruned.Neurons() < net.Neurons() {
			if v, err := pruned.Objective(p); err == nil && asGood(v) {
				sol.Network, sol.NetworkObjective, value = pruned, v, v
			}
		}
	}
	sol.Primal = value
	return nil
}
