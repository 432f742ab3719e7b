package convex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex/comm"
	"github.com/gonvex/gonvex/lapack"
)

// SolveByRows is Solve by several ranks together, each of which works on a share
// of the samples. Every rank calls it with the same problem and settings, and
// gets the same solution, whose network is trained and certified on all samples.
// It is for networks whose operator is one of masked data: gated and rectified
// linear units of any number of patches that are summed, one output where there
// are cones.
//
// The method is consensus ADMM (Boyd et al. 2011, section 7.1 and 8.2): with
// A_r, G_r the rows of rank r,
//
//	minimise Σ_r Loss_r(f_r) + Σ penalty(v_b) + [s_r ≥ 0]  s.t.  f_r = A_r u_r, s_r = G_r u_r, u_r = v.
//
// A rank solves for its own u_r, f_r and s_r; v is the prox of the penalty at
// the mean over the ranks, one sum over the ranks of as many numbers as there are
// variables. See SolveProgramByRows for how the result is certified.
func SolveByRows(ctx context.Context, ranks comm.Comm, p Problem, s *Settings) (*Solution, error) {
	start := time.Now()
	s = s.withDefaults()
	ctx, cancel := s.limit(ctx, start)
	defer cancel()
	prog, err := Lower(ctx, p, s)
	var mine *Program
	if err == nil {
		mine, err = prog.share(ranks.Rank(), ranks.Size())
	}
	if err := comm.Agree(ranks, err); err != nil {
		return nil, err
	}
	sol, err := solveByRows(ctx, ranks, mine, s, start)
	if err != nil {
		return nil, err
	}
	sol.Program = prog
	sol.Network, err = prog.Decode(sol.Point.X)
	return sol, err
}

// SolveProgramByRows is SolveByRows for data that no rank holds all of: prog has
// the samples of this rank, and the same blocks and penalty as on the others. It
// is put together from the patterns of gates that are the same on all ranks, row g
// of on being 1[x'gate_g > 0] on the rank's samples, duplicates included:
//
//	m := &convex.MaskedData{X: mine, Signed: true}
//	m.Patterns, err = convex.NewPatternsBool(on)
//	loss, err := convex.Squared.New(targets)
//	prog := &convex.Program{Samples: n, Outputs: 1, Loss: loss, Op: m.Op(), Blocks: m.Blocks(),
//		Cones: m.Cones(), Penalty: convex.GroupL1(beta)}
//
// (without Signed and Cones for a gated network). Its Decode, if it has one,
// makes the network of the solution's Point.
//
// Lower is a bound by weak duality for v_r = -∇L_r, and multipliers λ_r ≥ 0 of
// the cones, of all ranks: with M the largest |Σ_r (A_r'v_r + G_r'λ_r)_b| over
// its weight, -Σ_r L_r*(-s v_r) for 0 ≤ s ≤ 1/M. Primal is the objective of the
// network: where there are cones, neurons are evaluated as what they are, with
// their own activations, so that a cone that is violated a little costs nothing
// but what it changes in the predictions. Infeasibility is that violation.
func SolveProgramByRows(ctx context.Context, ranks comm.Comm, prog *Program, s *Settings) (*Solution, error) {
	start := time.Now()
	s = s.withDefaults()
	ctx, cancel := s.limit(ctx, start)
	defer cancel()
	return solveByRows(ctx, ranks, prog, s, start)
}

// share is the program with the samples of one of several ranks.
func (prog *Program) share(rank, ranks int) (*Program, error) {
	m := prog.Op.Masked
	if err := rowsUses(prog); err != nil {
		return nil, fmt.Errorf("convex: program %q cannot be solved by rows: %w", prog.Name, err)
	}
	if prog.Samples < ranks {
		return nil, fmt.Errorf("convex: program %q has %d samples for %d ranks: want at least one each", prog.Name, prog.Samples, ranks)
	}
	n, d, c, _ := m.Dims()
	lo, hi := rank*n/ranks, (rank+1)*n/ranks
	if prog.Loss.Labels == nil {
		return nil, fmt.Errorf("convex: loss %q does not say its Labels, so it cannot be parted by samples", prog.Loss.Name)
	}
	loss, err := prog.Problem.Loss.orDefault().New(prog.Loss.Labels[lo*c : hi*c])
	if err != nil {
		return nil, err
	}
	part := *m
	part.X = mat.NewDense((hi-lo)*m.patches(), d, nil)
	part.Patterns = newPatterns(m.Patterns.Len(), (hi-lo)*m.patches())
	row := 0
	for k := range m.patches() {
		for i := lo; i < hi; i++ {
			part.X.SetRow(row, m.X.RawRowView(k*n+i))
			for g := range m.Patterns.Len() {
				if m.Patterns.Bit(g, k*n+i) {
					part.Patterns.set(g, row)
				}
			}
			row++
		}
	}
	mine := &Program{
		Name: prog.Name, Samples: hi - lo, Outputs: c, Loss: loss, Op: part.Op(), Blocks: prog.Blocks,
		Penalty: prog.Penalty, Scope: prog.Scope, Patterns: part.Patterns, Problem: prog.Problem,
	}
	if prog.Cones != nil {
		mine.Cones = part.Cones()
	}
	return mine, nil
}

// rowsUses says what a program lacks to be solved by rows.
func rowsUses(prog *Program) error {
	m := prog.Op.Masked
	switch {
	case m == nil:
		return fmt.Errorf("its operator %q is not one of masked data", prog.Op.Name)
	case prog.Cones != nil && (prog.Cones.Masked != m || !(prog.Penalty.GroupL2 > 0)):
		return fmt.Errorf("its cones %q are not those of its operator with a group l2 penalty", prog.Cones.Name)
	case prog.Cones != nil && m.Slope != 0:
		return fmt.Errorf("its neurons leak (slope %g)", m.Slope)
	case prog.Penalty.Polar == nil:
		return fmt.Errorf("needs Polar of penalty %q", prog.Penalty.Name)
	case prog.Loss.Conj == nil:
		return fmt.Errorf("needs Conj of loss %q", prog.Loss.Name)
	case prog.Relaxation:
		return errors.New("it is a relaxation")
	}
	return ADMM{}.Uses(prog)
}

// rowsData finds numbers in a rank's samples that no solve survives. A problem's
// have been looked at; these may be put together by hand.
func rowsData(prog *Program) error {
	_, d := prog.Op.Masked.X.Dims()
	for i := range prog.Op.Masked.X.RawMatrix().Rows {
		for j, v := range prog.Op.Masked.X.RawRowView(i) {
			if v-v != 0 {
				return fmt.Errorf("convex: program %q: X[%d,%d] of this rank's %d×%d is %g: want finite numbers", prog.Name, i, j, prog.Op.Masked.X.RawMatrix().Rows, d, v)
			}
		}
	}
	for i, v := range prog.Loss.Labels {
		if v-v != 0 {
			return fmt.Errorf("convex: program %q: label %d of this rank is %g: want finite numbers", prog.Name, i, v)
		}
	}
	if v := prog.penaltyAt(onesOf(prog.Op.Cols)); !(v > 0) || math.IsInf(v, 1) {
		return fmt.Errorf("convex: program %q: the penalty %q of ones is %g: want a positive number, so a weight decay beta > 0", prog.Name, prog.Penalty.Name, v)
	}
	return nil
}

func onesOf(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// rowsAlike finds what must be the same on all ranks and is not on this one.
// Numbers of variables that differ would end in sums of vectors of different
// lengths, and tolerances in ranks that wait for one that has ended.
func rowsAlike(ranks comm.Comm, prog *Program, s *Settings) error {
	mine := []float64{float64(prog.Op.Cols), prog.penaltyAt(onesOf(prog.Op.Cols)), s.Tol}
	first := make([]float64, len(mine))
	if ranks.Rank() == 0 {
		copy(first, mine)
	}
	if err := ranks.Sum(first); err != nil {
		return err
	}
	for i, want := range []string{
		"variables: every rank needs patterns of the same gates in the same order",
		"for the penalty of ones: every rank needs the same beta, and the same penalty",
		"for Settings.Tol: every rank needs the same",
	} {
		if d := math.Abs(mine[i] - first[i]); d > 1e-12*math.Abs(first[i]) { // but for the last digits of other processors
			return fmt.Errorf("convex: program %q has %g here and %g on rank 0 %s", prog.Name, mine[i], first[i], want)
		}
	}
	return nil
}

// rowsLimit is the iteration limit: an iteration of a rank is cheaper than one
// of the whole, and there are more of them.
const rowsLimit = 10 * admmLimit

func solveByRows(ctx context.Context, ranks comm.Comm, prog *Program, s *Settings, start time.Time) (*Solution, error) {
	var sys *admmSystem
	err := prog.Validate()
	if err == nil {
		err = s.validate()
	}
	if err == nil {
		if err = rowsUses(prog); err != nil {
			err = fmt.Errorf("convex: program %q cannot be solved by rows: %w", prog.Name, err)
		}
	}
	if err == nil {
		err = rowsData(prog)
	}
	if err == nil {
		sys, err = newADMMSystem(prog)
	}
	if err := comm.Agree(ranks, err); err != nil {
		return nil, err
	}
	if err := comm.Agree(ranks, rowsAlike(ranks, prog, s)); err != nil {
		return nil, err
	}
	size := []float64{float64(prog.Samples)}
	if err := ranks.Sum(size); err != nil {
		return nil, err
	}

	s.record = &record{start: start}
	mon := NewMonitor(ctx, "admm by rows", s)
	r := &rowsRun{admm: newADMM(prog, sys, ADMM{}, ranks), samples: size[0]}
	if x := s.StartPoint(prog); x != nil {
		r.startAt(x)
	}
	best := rowsBest{primal: math.Inf(1), lower: math.Inf(-1)}
	status := Unknown
	it, mine := 0, Unknown
	for stop := false; ; it++ {
		mine, stop = mon.Stop(it, rowsLimit)
		if stop, err = r.step(it, stop); err != nil {
			return nil, err
		}
		if !stop && it%admmCheck != admmCheck-1 && it != 0 {
			continue
		}
		if err := r.look(&best); err != nil {
			return nil, err
		}
		mon.Report(Progress{Iter: it + 1, Primal: best.primal, Lower: best.lower, Active: prog.ActiveBlocks(best.x)})
		if math.Abs(relativeGap(best.primal, best.lower)) <= 0.9*s.Tol && best.infeasibility <= 1e-3*math.Sqrt(s.Tol) {
			status = Optimal
		} else if stop {
			status = Stopped // by another rank, unless this one says why
			if mine != Unknown {
				status = mine
			}
		}
		if status != Unknown {
			it++
			break
		}
	}
	if err := r.fromFirst(best.x); err != nil {
		return nil, err
	}
	gap := math.Max(0, relativeGap(best.primal, best.lower))
	sol := &Solution{
		Primal: best.primal, Lower: best.lower, GlobalLower: math.Inf(-1), Gap: gap, Infeasibility: best.infeasibility, Scope: prog.Scope,
		Status: finalStatus(status, gap, s.Tol), Solver: fmt.Sprintf("admm by rows, %d ranks", ranks.Size()),
		Iterations: it, Backend: lapack.Info().String(), NetworkObjective: best.primal, Trace: mon.Trace(), Program: prog,
		Point:       &Point{X: best.x, Dual: best.dual, Status: status, Iter: it, Trace: mon.Trace(), Solver: "admm by rows"},
		Certificate: Certificate{Primal: best.primal, Lower: best.lower, Gap: gap, Infeasibility: best.infeasibility, X: best.x, Dual: best.dual, Scope: prog.Scope},
	}
	if prog.Scope == Global {
		sol.GlobalLower = best.lower
	}
	if prog.Decode != nil {
		if sol.Network, err = prog.Decode(best.x); err != nil {
			return nil, err
		}
	}
	sol.Elapsed = time.Since(start)
	return sol, nil
}

// rowsRun is the iteration with its certificate across ranks. What decides when
// to stop comes out of sums, so that all ranks decide alike: a factorisation need
// not have the same last digit on each of them.
type rowsRun struct {
	*admm
	samples float64 // of all ranks
}

// rowsBest is the best bound, with this rank's part of its dual, and the point
// nearest to it. A network with neurons that are not all in their cones may have
// an objective below the bound, which is for those that are.
type rowsBest struct {
	primal, lower, infeasibility float64
	x, dual                      []float64
}

// fromFirst replaces x by that of rank 0.
func (r *rowsRun) fromFirst(x []float64) error {
	if r.ranks.Rank() != 0 {
		clear(x)
	}
	return r.ranks.Sum(x)
}

// look evaluates the point v and the bound of the multipliers.
func (r *rowsRun) look(best *rowsBest) error {
	prog, m := r.prog, r.prog.Op.Masked
	nf, nx, nb := prog.Op.Rows, prog.Op.Cols, len(prog.Blocks)

	// The sum: A'v + G'λ, the sizes of its parts for rounding, and the losses.
	f, v := make([]float64, nf), make([]float64, nf)
	worst := 0.0
	if prog.Cones != nil {
		worst = r.sys.rectified(f, r.w.v)
	} else {
		prog.Op.Apply(f, r.w.v)
	}
	r.slope(v)
	sum := make([]float64, nx+nb+1+r.ranks.Size())
	g, sizes := sum[:nx], sum[nx:nx+nb]
	prog.Op.Adjoint(g, v)
	for b, blk := range prog.Blocks {
		sizes[b] = norm2(blk.Of(g))
	}
	if prog.Cones != nil {
		lam := make([]float64, r.sys.coneRows)
		for i, l := range r.lam.s {
			lam[i] = math.Max(-r.rho*l, 0)
		}
		r.sys.conesAdjoint(r.tmp, lam)
		for b, blk := range prog.Blocks {
			sizes[b] += norm2(blk.Of(r.tmp))
		}
		axpy(1, r.tmp, g)
	}
	sum[nx+nb] = prog.Loss.Value(f)
	if r.ranks.Rank() == 0 {
		sum[nx+nb] += prog.penaltyAt(r.w.v)
	}
	sum[nx+nb+1+r.ranks.Rank()] = worst
	if err := r.ranks.Sum(sum); err != nil {
		return err
	}
	primal := sum[nx+nb]
	for _, w := range sum[nx+nb+1:] {
		worst = math.Max(worst, w)
	}

	M := 0.0
	eps := 1e-15 * math.Sqrt(r.samples*float64(m.patches()*m.outputs())+16)
	for b, blk := range prog.Blocks {
		p := prog.Penalty.Polar(blk.Of(g), blk.Rows, blk.Cols)
		if prog.Penalty.GroupL2 > 0 {
			p += eps * sizes[b] / prog.Penalty.GroupL2 // A'v and G'λ nearly cancel
		}
		if p /= blk.Weight; !(p <= M) && (p > 0 || math.IsNaN(p)) {
			M = p
		}
	}
	limit := []float64{math.Inf(1)}
	if M *= 1 + eps; M > 0 {
		limit[0] = 1 / M
	}
	if math.IsNaN(limit[0]) {
		limit[0] = 0
	}
	if err := r.fromFirst(limit); err != nil {
		return err
	}
	sv := make([]float64, nf)
	var failed error
	_, low := maximise(func(t float64) float64 {
		for i, e := range v {
			sv[i] = -t * e
		}
		own := -prog.Loss.Conj(sv)
		both := []float64{own, rounding(prog.Loss, v, t, own)}
		if err := r.ranks.Sum(both); err != nil {
			failed = errors.Join(failed, err)
		}
		if value := both[0] - both[1]; !math.IsNaN(value) {
			return value
		}
		return math.Inf(-1)
	}, limit[0])
	if failed != nil {
		return failed
	}
	if low > best.lower {
		best.lower, best.dual = low, append(best.dual[:0], v...)
	}
	if best.x == nil || math.Abs(primal-best.lower) <= math.Abs(best.primal-best.lower) {
		best.primal, best.infeasibility, best.x = primal, worst, append(best.x[:0], r.w.v...)
	}
	return nil
}

// rectified sets f to the predictions of the network whose neurons are the
// blocks of u, each with its own activations, and returns how far u is outside
// of its cones: the largest violation for rows of length one, relative to the
// largest block.
func (a *admmSystem) rectified(f, u []float64) (worst float64) {
	m := a.prog.Op.Masked
	n, d, _, nb := m.Dims()
	rows := a.model.n
	clear(f)
	sizes := make([]float64, rows)
	for i := range sizes {
		sizes[i] = norm2(a.model.x.Data[i*a.model.x.Stride:][:d])
	}
	largest := 0.0
	for b := range nb {
		largest = math.Max(largest, norm2(u[b*d:(b+1)*d]))
	}
	if largest == 0 {
		return 0
	}
	const chunk = 32
	t := make([]float64, rows*chunk)
	for b0 := 0; b0 < nb; b0 += chunk {
		k := min(chunk, nb-b0)
		blas64.Gemm(blas.NoTrans, blas.Trans, m.scale(), blas64.General{Rows: k, Cols: d, Stride: d, Data: u[b0*d:]}, a.model.x, 0,
			blas64.General{Rows: k, Cols: rows, Stride: rows, Data: t})
		for q := range k {
			sign, on := m.Sign(b0+q), m.Patterns.Row(m.Pattern(b0+q))
			for i, h := range t[q*rows : (q+1)*rows] {
				if h > 0 {
					f[i%n] += sign * h
				}
				if active := on[i>>6]>>(uint(i)&63)&1 != 0; active != (h > 0) && sizes[i] > 0 {
					worst = math.Max(worst, math.Abs(h)/(m.scale()*largest*sizes[i]))
				}
			}
		}
	}
	return worst
}
