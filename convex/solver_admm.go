package convex

import (
	"context"
	"fmt"
	"math"
	"math/bits"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"github.com/gonvex/gonvex/convex/comm"
)

// ADMM is the alternating direction method of multipliers: the simple
// reference for every program whose parts have a Prox, with any cones. The
// variables u are split three ways,
//
//	minimise Loss(f) + Σ penalty(v_b) + [s ≥ 0]  s.t.  f = A u, v = u, s = G u,
//
// and the only linear system, (I + A'A + G'G) u = b, is the same in every
// iteration. For masked data it is solved through one n×n Cholesky factor
// whatever the number of patterns: with B = I + X'X in every block (I without
// cones), K = X B⁻¹ X' and D the n×P matrix of patterns,
//
//	(I + A'A + G'G)⁻¹ = B⁻¹ - B⁻¹A' (I + K o (D D'))⁻¹ A B⁻¹
//
// (K counted twice for blocks of both signs). With more rows than variables of one
// sign the factor is of the size of those, B + A'A, which costs rows × variables²
// once, however many rows there are. Other programs use a dense
// factor when they are small, and conjugate gradients when not: preconditioned by
// B for masked data, where the condition number is then at most one more than
// twice the number of patterns.
type ADMM struct {
	Rho   float64 // first penalty parameter; 0 means 1. It adapts to the residuals.
	Fixed bool    // keeps Rho as it is
}

func init() { RegisterSolver(ADMM{}, 30) }

// Name is "admm".
func (ADMM) Name() string { return "admm" }

// Uses wants Prox of the loss and of the penalty.
func (ADMM) Uses(prog *Program) error {
	switch {
	case prog.Loss.Prox == nil:
		return fmt.Errorf("needs Prox of loss %q", prog.Loss.Name)
	case prog.Penalty.Prox == nil:
		return fmt.Errorf("needs Prox of penalty %q", prog.Penalty.Name)
	}
	return nil
}

const (
	admmLimit = 20_000
	admmCheck = 25
	admmRelax = 1.6 // over-relaxation
	admmDense = 1500
)

// Solve runs until the certified gap of the point, projected on the cones, is
// below the tolerance.
func (a ADMM) Solve(ctx context.Context, prog *Program, s *Settings) (*Point, error) {
	mon := NewMonitor(ctx, "admm", s)
	sys, err := newADMMSystem(prog)
	if err != nil {
		return nil, err
	}
	run := newADMM(prog, sys, a, comm.Self())
	best := bestPoint{primal: math.Inf(1), lower: math.Inf(-1)}
	feas, ff := make([]float64, prog.Op.Cols), make([]float64, prog.Op.Rows)
	look := func(it int) error {
		copy(feas, run.w.v)
		prog.repair(feas)
		prog.Op.Apply(ff, feas)
		if _, err := best.look(ctx, prog, feas, ff); err != nil {
			return err
		}
		run.slope(ff)
		_, err := best.bound(ctx, prog, ff)
		mon.Report(best.progress(it, prog))
		return err
	}
	if x := s.StartPoint(prog); x != nil {
		run.startAt(x)
		if err := look(0); err != nil { // what is returned is no worse than the start
			return nil, err
		}
		if v := s.startDual(prog, x); v != nil {
			if _, err := best.bound(ctx, prog, v); err != nil {
				return nil, err
			}
		}
	}
	status := Unknown
	it := 0
	for ; ; it++ {
		var stop bool
		if status, stop = mon.Stop(it, admmLimit); stop {
			break
		}
		if _, err := run.step(it, false); err != nil {
			return nil, err
		}
		if it%admmCheck == admmCheck-1 || it == 0 {
			if err := look(it + 1); err != nil {
				return nil, err
			}
			if relativeGap(best.primal, best.lower) <= 0.9*s.Tol {
				status = Optimal
				break
			}
		}
	}
	if best.x == nil {
		ctx = context.WithoutCancel(ctx)
		if err := look(it); err != nil {
			return nil, err
		}
	}
	return &Point{X: best.x, Dual: best.dual, Status: status, Iter: it, Trace: mon.Trace(), Solver: "admm"}, nil
}

// admm is the state of one rank. Alone it has all rows. With several, each has
// rows of its own, and variables u and the copies f and s that go with its rows;
// v is the same on all of them, and costs one sum over the ranks an iteration.
type admm struct {
	prog   *Program
	sys    *admmSystem
	ranks  comm.Comm
	rho    float64
	fixed  bool
	w, lam split // w = (f, v, s), and the scaled multipliers
	old, h split

	u, rhs, tmp  []float64
	sum          []float64 // what goes over the ranks: h.v + lam.v, the residuals, and whether to stop
	primal, dual float64   // squared residuals of this rank in the iteration before
}

func newADMM(prog *Program, sys *admmSystem, o ADMM, ranks comm.Comm) *admm {
	rho := o.Rho
	nx, nf, ns := prog.Op.Cols, prog.Op.Rows, sys.coneRows
	if rho <= 0 {
		rho = 1
	}
	a := &admm{prog: prog, sys: sys, ranks: ranks, rho: rho, fixed: o.Fixed, u: make([]float64, nx), rhs: make([]float64, nx), tmp: make([]float64, nx), sum: make([]float64, nx+3)}
	for _, s := range []*split{&a.w, &a.lam, &a.old, &a.h} {
		*s = newSplit(nf, nx, ns)
	}
	return a
}

func (a *admm) startAt(x []float64) {
	copy(a.u, x)
	copy(a.w.v, x)
	a.prog.Op.Apply(a.w.f, x)
	a.sys.cones(a.w.s, x)
}

// slope sets v to minus a subgradient of the loss at the predictions f, a dual
// candidate. What is no more than rounding is 0: with the wrong sign it would be
// outside of the domain of many a conjugate.
func (a *admm) slope(v []float64) {
	for i, l := range a.lam.f {
		v[i] = -a.rho * l
		if math.Abs(l) <= 1e-15*math.Abs(a.w.f[i]) {
			v[i] = 0
		}
	}
}

// step is one iteration. It says whether any rank wants to stop.
func (a *admm) step(it int, stop bool) (bool, error) {
	prog, w, lam, h, old := a.prog, a.w, a.lam, a.h, a.old
	// u: least squares towards w - lam.
	for i := range h.f {
		h.f[i] = w.f[i] - lam.f[i]
	}
	for i := range h.s {
		h.s[i] = w.s[i] - lam.s[i]
	}
	prog.Op.Adjoint(a.rhs, h.f)
	a.sys.conesAdjoint(a.tmp, h.s)
	for i := range a.rhs {
		a.rhs[i] += a.tmp[i] + w.v[i] - lam.v[i]
	}
	a.sys.solve(a.u, a.rhs)
	// w: proxes at M u + lam, over-relaxed.
	copy(old.f, w.f)
	copy(old.v, w.v)
	copy(old.s, w.s)
	prog.Op.Apply(h.f, a.u)
	copy(h.v, a.u)
	a.sys.cones(h.s, a.u)
	parts := [][4][]float64{{h.f, w.f, lam.f, old.f}, {h.v, w.v, lam.v, old.v}, {h.s, w.s, lam.s, old.s}}
	for _, p := range parts {
		for i, t := range p[0] {
			p[0][i] = admmRelax*t + (1-admmRelax)*p[1][i]
			p[1][i] = p[0][i] + p[2][i]
		}
	}
	prog.Loss.Prox(w.f, w.f, 1/a.rho)
	for i, t := range w.s {
		w.s[i] = math.Max(t, 0)
	}
	// v: the prox at the mean over the ranks, each of which pulls with rho.
	nx := len(w.v)
	copy(a.sum, w.v)
	a.sum[nx], a.sum[nx+1], a.sum[nx+2] = a.primal, a.dual, 0
	if stop {
		a.sum[nx+2] = 1
	}
	if err := a.ranks.Sum(a.sum); err != nil {
		return true, err
	}
	ranks := float64(a.ranks.Size())
	for i, t := range a.sum[:nx] {
		w.v[i] = t / ranks
	}
	for _, b := range prog.Blocks {
		if b.Weight > 0 {
			prog.Penalty.Prox(b.Of(w.v), b.Of(w.v), b.Rows, b.Cols, b.Weight/(a.rho*ranks))
		}
	}
	a.primal, a.dual = 0, 0
	for _, p := range parts {
		for i, t := range p[0] {
			r := t - p[1][i]
			p[2][i] += r
			a.primal += r * r
			d := p[1][i] - p[3][i]
			a.dual += d * d
		}
	}
	// Balance the residuals |Mu-w| and rho|w-w_old|, ever more rarely so that
	// convergence is not disturbed for ever. Those of all ranks are one iteration
	// old: they came with the sum.
	primal, dual := a.sum[nx], a.sum[nx+1]
	if period := 10 << min(it/200, 20); it%period == period-1 && primal > 0 && dual > 0 && !a.fixed {
		ratio := math.Sqrt(primal / dual)
		if ratio > 5 || ratio < 0.2 {
			f := math.Min(math.Max(math.Sqrt(ratio), 0.2), 5)
			a.rho *= f
			scale(1/f, lam.f)
			scale(1/f, lam.v)
			scale(1/f, lam.s)
		}
	}
	return a.sum[nx+2] > 0, nil
}

type split struct{ f, v, s []float64 }

func newSplit(nf, nx, ns int) split {
	return split{make([]float64, nf), make([]float64, nx), make([]float64, ns)}
}

// admmSystem applies G and solves (I + A'A + G'G) u = b.
type admmSystem struct {
	prog     *Program
	coneRows int
	G        []blas64.General // one a block; Rows 0 for a free block
	offset   []int            // of each block's rows

	model *maskedModel   // masked data: the capacitance way
	inner blas64.General // factor of I + X'X, when there are cones
	cap   blas64.General // factor of I + K o DD'; Rows 0 where there are too many rows for it
	gram  blas64.General // then: factor of B + A'A over the blocks of one sign, A'A counted twice for two; Rows 0 where it is too large too

	dense blas64.General // small programs: factor of the matrix itself
}

func newADMMSystem(prog *Program) (*admmSystem, error) {
	a := &admmSystem{prog: prog}
	m := prog.Op.Masked
	if m != nil && (m.outputs() == 1 || prog.Cones == nil) && m.Slope == 0 && (prog.Cones == nil || prog.Cones.Masked == m) {
		return a, a.factorMasked(m)
	}
	if prog.Cones != nil {
		a.G, a.offset = make([]blas64.General, len(prog.Blocks)), make([]int, len(prog.Blocks))
		for b, blk := range prog.Blocks {
			a.offset[b] = a.coneRows
			if G := prog.Cones.Block(b); G != nil && !G.IsEmpty() {
				r, c := G.Dims()
				if c != blk.Len() {
					return nil, fmt.Errorf("convex: cones %q: block %d has %d variables, its cone %d columns", prog.Cones.Name, b, blk.Len(), c)
				}
				a.G[b] = G.RawMatrix()
				a.coneRows += r
			}
		}
	}
	if prog.Op.Cols > admmDense {
		return a, nil
	}
	// Column j of I + A'A + G'G is the product with a unit vector.
	n := prog.Op.Cols
	a.dense = newGeneral(n, n)
	e := make([]float64, n)
	for j := 0; j < n; j++ {
		e[j] = 1
		a.product(a.dense.Data[j*n:(j+1)*n], e)
		e[j] = 0
	}
	if !cholLower(a.dense) {
		return nil, fmt.Errorf("convex: admm: I + A'A of operator %q is not positive definite: Adjoint is not the transpose of Apply", prog.Op.Name)
	}
	return a, nil
}

func (a *admmSystem) factorMasked(m *MaskedData) error {
	a.model = newMaskedModel(m)
	n, d := a.model.n, a.model.d
	x := a.model.x
	signs := 1.0
	if m.Signed {
		signs = 2
	}
	// K = X B⁻¹ X' = Y Y' for B = L L' and Y = X L'⁻¹.
	y := newGeneral(n, d)
	for i := 0; i < n; i++ {
		copy(y.Data[i*d:(i+1)*d], x.Data[i*x.Stride:])
	}
	if a.prog.Cones != nil {
		_, _, _, nb := m.Dims()
		a.coneRows = nb * n
		a.inner = newGeneral(d, d)
		blas64.Syrk(blas.Trans, 1, x, 0, blas64.Symmetric{Uplo: blas.Lower, N: d, Stride: d, Data: a.inner.Data})
		for i := 0; i < d; i++ {
			a.inner.Data[i*d+i]++
		}
		if !cholLower(a.inner) {
			return fmt.Errorf("convex: admm: I + X'X is not positive definite: the columns of X differ too much in size, so scale them alike (data.FitStandardizer)")
		}
		blas64.Trsm(blas.Right, blas.Trans, 1, blas64.Triangular{Uplo: blas.Lower, Diag: blas.NonUnit, N: d, Stride: d, Data: a.inner.Data}, y)
	}
	if n > denseLimit || m.Patterns.Len()*d < n {
		return a.factorGram(m, signs)
	}
	full := newGeneral(n, n)
	syrkLower(1, y, 0, full)
	// (DD')_ij counts the patterns active on both rows: bits of row i over
	// patterns, and a population count.
	P := m.Patterns.Len()
	over := newBits(n, P)
	for p := 0; p < P; p++ {
		for i := 0; i < n; i++ {
			if m.Patterns.Bit(p, i) {
				over[i][p>>6] |= 1 << (uint(p) & 63)
			}
		}
	}
	tasks(n, func(i int) {
		row := full.Data[i*n : i*n+i+1]
		for j := range row {
			c := 0
			for k, w := range over[i] {
				c += bits.OnesCount64(w & over[j][k])
			}
			row[j] *= signs * float64(c) * a.model.scale * a.model.scale
		}
	})
	// Patches of a sample add up.
	ns := a.model.samples
	a.cap = newGeneral(ns, ns)
	for i := 0; i < n; i++ {
		for j := 0; j <= i; j++ {
			v := full.Data[i*n+j]
			r, c := i%ns, j%ns
			if r < c {
				r, c = c, r
			}
			a.cap.Data[r*ns+c] += v
			if i != j && i%ns == j%ns {
				a.cap.Data[r*ns+c] += v
			}
		}
	}
	for i := 0; i < ns; i++ {
		a.cap.Data[i*ns+i]++
	}
	if !cholLower(a.cap) {
		return fmt.Errorf("convex: admm: the capacitance matrix is not positive definite: the data are too badly scaled")
	}
	return nil
}

// factorGram factors B + A'A, signs times the latter. The rows D_i X of all
// patterns are put together a part at a time.
func (a *admmSystem) factorGram(m *MaskedData, signs float64) error {
	d, x, samples := a.model.d, a.model.x, a.model.samples
	P := m.Patterns.Len()
	if P*d > denseLimit {
		return nil
	}
	K := newGeneral(P*d, P*d)
	sym := blas64.Symmetric{Uplo: blas.Lower, N: K.Rows, Stride: K.Stride, Data: K.Data}
	part := newGeneral(min(samples, 512), P*d)
	for lo := 0; lo < samples; lo += part.Rows {
		rows := part
		rows.Rows = min(part.Rows, samples-lo)
		parallel(rows.Rows, 64, func(from, to int) {
			clear(rows.Data[from*rows.Stride : to*rows.Stride])
			for i := from; i < to; i++ {
				for row := lo + i; row < a.model.n; row += samples { // the sample's patches
					for g := range P {
						if m.Patterns.Bit(g, row) {
							axpy(a.model.scale, x.Data[row*x.Stride:][:d], rows.Data[i*rows.Stride+g*d:][:d])
						}
					}
				}
			}
		})
		blas64.Syrk(blas.Trans, signs, rows, 1, sym)
	}
	B := newGeneral(d, d)
	if a.inner.Rows > 0 {
		blas64.Syrk(blas.Trans, 1, x, 0, blas64.Symmetric{Uplo: blas.Lower, N: d, Stride: d, Data: B.Data})
	}
	for i := range d {
		B.Data[i*d+i]++
	}
	for g := range P {
		for i := range d {
			axpy(1, B.Data[i*d:i*d+i+1], K.Data[(g*d+i)*K.Stride+g*d:][:i+1])
		}
	}
	if !cholLower(K) {
		return fmt.Errorf("convex: admm: B + A'A is not positive definite: the columns of X differ too much in size, so scale them alike (data.FitStandardizer)")
	}
	a.gram = K
	return nil
}

// gramSolve solves with gram. Blocks v of one sign and w of the other have
// (B + 2A'A)(v - w) and B (v + w) on the left.
func (a *admmSystem) gramSolve(u, b []float64) {
	c, half := a.prog.Op.Masked.outputs(), len(u)
	t := blas64.Triangular{Uplo: blas.Lower, Diag: blas.NonUnit, N: a.gram.Rows, Stride: a.gram.Stride, Data: a.gram.Data}
	solve := func(x []float64) {
		X := blas64.General{Rows: a.gram.Rows, Cols: c, Stride: c, Data: x}
		blas64.Trsm(blas.Left, blas.NoTrans, 1, t, X)
		blas64.Trsm(blas.Left, blas.Trans, 1, t, X)
	}
	if !a.prog.Op.Masked.Signed {
		copy(u, b)
		solve(u)
		return
	}
	half /= 2
	sum, diff := append([]float64(nil), b[:half]...), append([]float64(nil), b[:half]...)
	axpy(1, b[half:], sum)
	axpy(-1, b[half:], diff)
	a.innerSolve(sum)
	solve(diff)
	for i, s := range sum {
		u[i], u[half+i] = (s+diff[i])/2, (s-diff[i])/2
	}
}

// cones sets s = G u.
func (a *admmSystem) cones(s, u []float64) {
	if a.coneRows == 0 {
		return
	}
	if a.model != nil {
		n, d := a.model.n, a.model.d
		nb := len(a.prog.Blocks)
		out := blas64.General{Rows: nb, Cols: n, Stride: n, Data: s}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, blas64.General{Rows: nb, Cols: d, Stride: d, Data: u}, a.model.x, 0, out)
		a.flip(s)
		return
	}
	for b, G := range a.G {
		if G.Rows > 0 {
			blas64.Gemv(blas.NoTrans, 1, G, blas64.Vector{N: G.Cols, Inc: 1, Data: a.prog.Blocks[b].Of(u)}, 0,
				blas64.Vector{N: G.Rows, Inc: 1, Data: s[a.offset[b]:]})
		}
	}
}

// flip multiplies the rows of every block by 2D-I.
func (a *admmSystem) flip(s []float64) {
	m, n := a.prog.Op.Masked, a.model.n
	for b := range a.prog.Blocks {
		pat, row := m.Patterns.Row(m.Pattern(b)), s[b*n:(b+1)*n]
		for i := range row {
			if pat[i>>6]>>(uint(i)&63)&1 == 0 {
				row[i] = -row[i]
			}
		}
	}
}

// conesAdjoint sets u = G's.
func (a *admmSystem) conesAdjoint(u, s []float64) {
	if a.coneRows == 0 {
		clear(u)
		return
	}
	if a.model != nil {
		n, d := a.model.n, a.model.d
		nb := len(a.prog.Blocks)
		t := append([]float64(nil), s...)
		a.flip(t)
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, blas64.General{Rows: nb, Cols: n, Stride: n, Data: t}, a.model.x, 0,
			blas64.General{Rows: nb, Cols: d, Stride: d, Data: u})
		return
	}
	clear(u)
	for b, G := range a.G {
		if G.Rows > 0 {
			blas64.Gemv(blas.Trans, 1, G, blas64.Vector{N: G.Rows, Inc: 1, Data: s[a.offset[b]:]}, 0,
				blas64.Vector{N: G.Cols, Inc: 1, Data: a.prog.Blocks[b].Of(u)})
		}
	}
}

// product sets dst = (I + A'A + G'G) u.
func (a *admmSystem) product(dst, u []float64) {
	f, t := make([]float64, a.prog.Op.Rows), make([]float64, len(u))
	a.prog.Op.Apply(f, u)
	a.prog.Op.Adjoint(dst, f)
	s := make([]float64, a.coneRows)
	a.cones(s, u)
	a.conesAdjoint(t, s)
	for i, v := range u {
		dst[i] += v + t[i]
	}
}

// solve sets u to the solution for b; u holds a guess.
func (a *admmSystem) solve(u, b []float64) {
	switch {
	case a.cap.Rows > 0:
		f := make([]float64, a.prog.Op.Rows)
		copy(u, b)
		a.innerSolve(u)
		a.prog.Op.Apply(f, u)
		a.capSolve(f)
		t := make([]float64, len(u))
		a.prog.Op.Adjoint(t, f)
		a.innerSolve(t)
		axpy(-1, t, u)
	case a.gram.Rows > 0:
		a.gramSolve(u, b)
	case a.dense.Rows > 0:
		copy(u, b)
		cholSolve(a.dense, u)
	default:
		a.conjugateGradients(u, b)
	}
}

// capSolve applies the inverse of the capacitance matrix, to every output.
func (a *admmSystem) capSolve(f []float64) {
	c := a.prog.Op.Masked.outputs()
	if c == 1 {
		cholSolve(a.cap, f)
		return
	}
	col := make([]float64, a.cap.Rows)
	for o := range c {
		for i := range col {
			col[i] = f[i*c+o]
		}
		cholSolve(a.cap, col)
		for i, v := range col {
			f[i*c+o] = v
		}
	}
}

// innerSolve applies B⁻¹ to every block.
func (a *admmSystem) innerSolve(u []float64) {
	if a.inner.Rows == 0 {
		return
	}
	d := a.model.d
	blocks := blas64.General{Rows: len(u) / d, Cols: d, Stride: d, Data: u}
	t := blas64.Triangular{Uplo: blas.Lower, Diag: blas.NonUnit, N: d, Stride: d, Data: a.inner.Data}
	blas64.Trsm(blas.Right, blas.Trans, 1, t, blocks)
	blas64.Trsm(blas.Right, blas.NoTrans, 1, t, blocks)
}

func (a *admmSystem) conjugateGradients(u, b []float64) {
	r, q := append([]float64(nil), b...), make([]float64, len(b))
	a.product(q, u)
	axpy(-1, q, r)
	z := append([]float64(nil), r...)
	a.innerSolve(z)
	p := append([]float64(nil), z...)
	rz, tol := dot(r, z), 1e-12*norm2(b)
	for it := 0; it < 500 && norm2(r) > tol; it++ {
		a.product(q, p)
		t := rz / dot(p, q)
		axpy(t, p, u)
		axpy(-t, q, r)
		copy(z, r)
		a.innerSolve(z)
		next := dot(r, z)
		for i, v := range z {
			p[i] = v + next/rz*p[i]
		}
		rz = next
	}
}
