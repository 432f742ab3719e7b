package convex

import (
	"context"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// Conic is a quadratic program over a product of cones, with its dual,
//
//	minimise   ½ x'P x + C'x + Constant   maximise  -½ x'P x - B'y - H'z + Constant
//	subject to G x + s = H,  A x = B      subject to  P x + C + G'z + A'y = 0
//	           s in K                                 z in K,
//
// the form of linear, second-order cone and semidefinite programs. The rows of
// G are first those of the non-negative orthant, then those of the second-order
// cones {(t, v): |v| ≤ t}, one after the other, then those of the semidefinite
// matrices: an order k takes k(k+1)/2 rows, the lower triangle row by row with
// entries off the diagonal times √2 (see PackSymmetric).
type Conic struct {
	Name string

	P mat.Matrix // n×n, symmetric positive semidefinite; nil: none
	C []float64  // n

	Constant float64 // added to both objectives

	G mat.Matrix // m×n; nil: no cones
	H []float64  // m
	A mat.Matrix // k×n; nil: no equations
	B []float64  // k

	NonNegative  int   // rows of G in the orthant
	SecondOrder  []int // dimension, at least 2, of each second-order cone
	Semidefinite []int // order of each matrix
}

// ConicSolution is the answer of SolveConic. When Infeasible, (Y, Z) is the
// proof: G'z + A'y = 0, z in K and H'z + B'y = -1. When Unbounded, X is: P x =
// 0, A x = 0, -G x in K, C'x = -1. Status is Optimal for an optimum and for a
// proof, both to the tolerance asked for.
type ConicSolution struct {
	X, S, Z, Y   []float64
	Primal, Dual float64 // objectives at this point; either may be on the wrong side by its residuals
	Gap          float64 // |Primal-Dual| / max(|Primal|, 1e-300)
	// PrimalResidual is the larger of |Gx+s-H| and |Ax-B| over max(1, |H|, |B|);
	// DualResidual is |Px+C+G'z+A'y| over max(1, |C|).
	PrimalResidual, DualResidual float64
	Status                       Status
	Infeasible, Unbounded        bool
	Iterations                   int
	Elapsed                      time.Duration
}

// String is one line: status, objective, gap and residuals.
func (s *ConicSolution) String() string {
	switch {
	case s == nil:
		return "no solution"
	case s.Infeasible:
		return fmt.Sprintf("infeasible (proved in %d iterations)", s.Iterations)
	case s.Unbounded:
		return fmt.Sprintf("unbounded (proved in %d iterations)", s.Iterations)
	}
	return fmt.Sprintf("%v: objective %.12g, gap %.1e, residuals %.1e and %.1e, %d iterations",
		s.Status, s.Primal, s.Gap, s.PrimalResidual, s.DualResidual, s.Iterations)
}

// PackSymmetric returns the vector that stands for a symmetric matrix in a
// semidefinite cone: the lower triangle row by row, off the diagonal times √2,
// so that inner products are kept.
func PackSymmetric(S mat.Symmetric) []float64 {
	n := S.SymmetricDim()
	x := make([]float64, n*(n+1)/2)
	pack(x, mat.DenseCopyOf(S))
	return x
}

// UnpackSymmetric is the inverse of PackSymmetric.
func UnpackSymmetric(x []float64) (*mat.SymDense, error) {
	n := int((math.Sqrt(8*float64(len(x))+1) - 1) / 2)
	if n < 1 || n*(n+1)/2 != len(x) {
		return nil, fmt.Errorf("convex: UnpackSymmetric: %d numbers are no triangle: want 1, 3, 6, 10 or so on", len(x))
	}
	A := mat.NewDense(n, n, nil)
	unpack(A, x)
	return mat.NewSymDense(n, A.RawMatrix().Data), nil
}

// conicMemory is the largest working memory, in bytes, the dense
// interior-point method asks for.
const conicMemory = 3 << 30

func mebibytes(b float64) float64 { return math.Ceil(b / (1 << 20)) }

// Validate checks the shapes and that every number is finite.
func (q *Conic) Validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("convex: conic program %q: "+format, append([]any{q.Name}, a...)...)
	}
	n := len(q.C)
	if n == 0 {
		return bad("C is empty: want one coefficient a variable")
	}
	vector := func(name string, x []float64, want int, of string) error {
		if len(x) != want {
			return bad("%s has %d entries, %s %d rows", name, len(x), of, want)
		}
		for i, v := range x {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return bad("%s[%d] is %g: every entry must be a finite number", name, i, v)
			}
		}
		return nil
	}
	matrix := func(name string, M mat.Matrix) (rows int, err error) {
		if isNil(M) {
			return 0, nil
		}
		r, c := M.Dims()
		if c != n {
			return 0, bad("%s is %d×%d, want %d columns, one a variable", name, r, c, n)
		}
		for i := 0; i < r; i++ {
			for j := 0; j < c; j++ {
				if v := M.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
					return 0, bad("%s has %g in row %d, column %d: every entry must be a finite number", name, v, i, j)
				}
			}
		}
		return r, nil
	}
	if math.IsNaN(q.Constant) || math.IsInf(q.Constant, 0) {
		return bad("Constant is %g: want a finite number", q.Constant)
	}
	if err := vector("C", q.C, n, "P and G have"); err != nil {
		return err
	}
	r, err := matrix("P", q.P)
	if err != nil {
		return err
	}
	if r != 0 {
		if r != n {
			return bad("P is %d×%d, want %d×%d", r, n, n, n)
		}
		S := mat.NewSymDense(n, nil)
		size := 0.0
		for i := 0; i < n; i++ {
			for j := 0; j <= i; j++ {
				S.SetSym(i, j, q.P.At(i, j))
				size = math.Max(size, math.Abs(q.P.At(i, j)))
				if d := math.Abs(q.P.At(i, j) - q.P.At(j, i)); d > 1e-12*size {
					return bad("P is not symmetric: entries (%d,%d) and (%d,%d) differ by %g", i, j, j, i, d)
				}
			}
		}
		if e := smallestEigenvalue(S); !(e >= -1e-10*size*float64(n)) {
			return bad("P has the eigenvalue %g: it must be positive semidefinite for the program to be convex", e)
		}
	}
	m, err := matrix("G", q.G)
	if err != nil {
		return err
	}
	if err := vector("H", q.H, m, "G has"); err != nil {
		return err
	}
	k, err := matrix("A", q.A)
	if err != nil {
		return err
	}
	if err := vector("B", q.B, k, "A has"); err != nil {
		return err
	}
	if q.NonNegative < 0 {
		return bad("NonNegative is %d", q.NonNegative)
	}
	rows := q.NonNegative
	for i, d := range q.SecondOrder {
		if d < 2 {
			return bad("SecondOrder[%d] is %d: want a dimension of at least 2 (one of 1 is a row of the orthant)", i, d)
		}
		rows += d
	}
	for i, d := range q.Semidefinite {
		if d < 1 {
			return bad("Semidefinite[%d] is %d: want an order of at least 1", i, d)
		}
		rows += d * (d + 1) / 2
	}
	if rows != m {
		return bad("the cones have %d rows, G has %d", rows, m)
	}
	if need := 8 * (3*float64(m)*float64(n) + 4*float64(n)*float64(n) + 3*float64(k)*float64(n) + 2*float64(k)*float64(k)); need > conicMemory {
		return bad("%d variables and %d rows need about %.0f MiB in this dense method, which takes up to %.0f MiB", n, m+k, mebibytes(need), mebibytes(conicMemory))
	}
	return nil
}

// conicLimit is the default limit of interior-point iterations.
const conicLimit = 200

// SolveConic solves q by a dense primal-dual interior-point method in the
// homogeneous self-dual embedding, which ends in an optimum or in a proof that
// there is none. Of s it takes Tol (default 1e-9 here), MaxIter, TimeLimit and
// Progress. An error means that q could not be run; a limit or a cancelled
// context is the Status of the best point so far.
func SolveConic(ctx context.Context, q Conic, s *Settings) (*ConicSolution, error) {
	start := time.Now()
	if err := q.Validate(); err != nil {
		return nil, err
	}
	tol := 1e-9
	if s != nil && s.Tol != 0 {
		tol = s.Tol
	}
	s = s.withDefaults()
	s.Tol = tol
	if err := s.validate(); err != nil {
		return nil, err
	}
	ctx, cancel := s.limit(ctx, start)
	defer cancel()
	e := q.equilibrate()
	m, err := newConicIPM(e.problem)
	if err != nil {
		return nil, fmt.Errorf("convex: conic program %q: %w", q.Name, err)
	}
	m.residuals()
	mon := NewMonitor(ctx, "interior", s)
	best, it := (*ConicSolution)(nil), 0
	var status Status
	quiet := 0
	for ; ; it++ {
		sol := e.solution(m, tol)
		if best == nil || sol.error() < best.error() || sol.Infeasible || sol.Unbounded {
			if best == nil || sol.error() < 0.9*best.error() {
				quiet = 0
			}
			best = sol
		}
		mon.Report(Progress{Iter: it, Primal: sol.Primal, Lower: sol.Dual})
		if best.Infeasible || best.Unbounded || best.error() <= tol {
			status = Optimal
			break
		}
		if quiet++; quiet > 15 {
			status = Numerical
			break
		}
		var stop bool
		if status, stop = mon.Stop(it, conicLimit); stop {
			break
		}
		if err := m.iterate(); err != nil {
			status = Numerical
			break
		}
	}
	if status == Numerical && best.error() <= 1000*tol {
		status = Almost
	}
	best.Status, best.Iterations, best.Elapsed = status, it, time.Since(start)
	return best, nil
}

// error is what the solver drives to zero.
func (s *ConicSolution) error() float64 {
	e := math.Max(s.Gap, math.Max(s.PrimalResidual, s.DualResidual))
	if math.IsNaN(e) {
		return math.Inf(1)
	}
	return e
}

// equilibrated is a conic program with rows and columns scaled to be about of
// one size, which no answer depends on but every rounding does.
type equilibrated struct {
	q       *Conic
	problem *conicProblem
	n, m, k int
	P, G, A *mat.Dense
	col     []float64 // x = col·x̂
	rowG    []float64 // ŝ = rowG·s
	rowA    []float64
	rows    []int   // equations kept
	cost    float64 // objective hat = cost·objective
}

func (q *Conic) equilibrate() *equilibrated {
	e := &equilibrated{q: q, n: len(q.C), m: len(q.H), k: len(q.B), cost: 1}
	ones := func(n int) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = 1
		}
		return x
	}
	e.col, e.rowG, e.rowA = ones(e.n), ones(e.m), ones(e.k)
	clone := func(M mat.Matrix) *mat.Dense {
		if isNil(M) {
			return nil
		}
		if r, _ := M.Dims(); r == 0 {
			return nil
		}
		return mat.DenseCopyOf(M)
	}
	e.P, e.G, e.A = clone(q.P), clone(q.G), clone(q.A)
	// Rows of one cone share their factor.
	type span struct{ lo, hi int }
	var groups []span
	for i := 0; i < q.NonNegative; i++ {
		groups = append(groups, span{i, i + 1})
	}
	at := q.NonNegative
	for _, d := range q.SecondOrder {
		groups = append(groups, span{at, at + d})
		at += d
	}
	for _, d := range q.Semidefinite {
		groups = append(groups, span{at, at + d*(d+1)/2})
		at += d * (d + 1) / 2
	}
	factor := func(t float64) float64 {
		if t < 1e-12 {
			return 1
		}
		return 1 / math.Sqrt(t)
	}
	for range 10 { // Ruiz
		colMax, gMax, aMax := make([]float64, e.n), make([]float64, e.m), make([]float64, e.k)
		sweep := func(M *mat.Dense, rows []float64) {
			if M == nil {
				return
			}
			r, _ := M.Dims()
			for i := 0; i < r; i++ {
				for j, v := range M.RawRowView(i) {
					v = math.Abs(v)
					colMax[j] = math.Max(colMax[j], v)
					if rows != nil {
						rows[i] = math.Max(rows[i], v)
					}
				}
			}
		}
		sweep(e.P, nil)
		sweep(e.G, gMax)
		sweep(e.A, aMax)
		for _, g := range groups {
			t := 0.0
			for i := g.lo; i < g.hi; i++ {
				t = math.Max(t, gMax[i])
			}
			for i := g.lo; i < g.hi; i++ {
				gMax[i] = t
			}
		}
		for _, x := range [][]float64{colMax, gMax, aMax} {
			for i, t := range x {
				x[i] = factor(t)
			}
		}
		apply := func(M *mat.Dense, rows []float64) {
			if M == nil {
				return
			}
			r, _ := M.Dims()
			for i := 0; i < r; i++ {
				for j := range M.RawRowView(i) {
					M.RawRowView(i)[j] *= rows[i] * colMax[j]
				}
			}
		}
		apply(e.P, colMax)
		apply(e.G, gMax)
		apply(e.A, aMax)
		for i, t := range colMax {
			e.col[i] *= t
		}
		for i, t := range gMax {
			e.rowG[i] *= t
		}
		for i, t := range aMax {
			e.rowA[i] *= t
		}
	}
	c, h, b := make([]float64, e.n), make([]float64, e.m), make([]float64, e.k)
	size := 0.0
	for i, v := range q.C {
		c[i] = v * e.col[i]
		size = math.Max(size, math.Abs(c[i]))
	}
	if e.P != nil {
		size = math.Max(size, mat.Max(e.P))
	}
	if size > 0 {
		e.cost = 1 / size
	}
	scale(e.cost, c)
	for i, v := range q.H {
		h[i] = v * e.rowG[i]
	}
	for i, v := range q.B {
		b[i] = v * e.rowA[i]
	}
	block := conicBlock{n: e.n, h: h}
	if e.P != nil {
		e.P.Scale(e.cost, e.P)
		block.P = e.P.RawMatrix()
	}
	block.G = blas64.General{Cols: e.n, Stride: e.n}
	if e.G != nil {
		block.G = e.G.RawMatrix()
	}
	if q.NonNegative > 0 {
		block.cones = append(block.cones, newOrthant(q.NonNegative))
	}
	for _, d := range q.SecondOrder {
		block.cones = append(block.cones, newSecondOrder(d))
	}
	for _, d := range q.Semidefinite {
		block.cones = append(block.cones, newSemidefinite(d))
	}
	e.problem = &conicProblem{blocks: []conicBlock{block}, c: c, embed: true,
		link: blas64.General{Cols: e.n, Stride: e.n}}
	if e.A != nil {
		e.rows = independentRows(e.A, b)
		e.problem.link = newGeneral(len(e.rows), e.n)
		for i, r := range e.rows {
			copy(rowOf(e.problem.link, i), e.A.RawRowView(r))
			e.problem.y = append(e.problem.y, b[r])
		}
	}
	return e
}

// independentRows leaves out the equations a'x = b that follow from others. One
// that contradicts them stays, for the solver to prove it.
func independentRows(A *mat.Dense, b []float64) []int {
	r, n := A.Dims()
	var keep []int
	var basis [][]float64 // orthonormal, of rows with their right hand sides
	row := make([]float64, n+1)
	for i := 0; i < r; i++ {
		copy(row, A.RawRowView(i))
		row[n] = b[i]
		size := norm2(row)
		for range 2 {
			for _, q := range basis {
				axpy(-dot(q, row), q, row)
			}
		}
		if norm2(row) > 1e-12*size {
			q := append([]float64(nil), row...)
			scale(1/norm2(q), q)
			basis, keep = append(basis, q), append(keep, i)
		}
	}
	return keep
}

// solution is the iterate in the program's own units, judged there.
func (e *equilibrated) solution(m *conicIPM, tol float64) *ConicSolution {
	q := e.q
	sol := &ConicSolution{
		X: append([]float64(nil), m.x...), S: append([]float64(nil), m.s...),
		Z: append([]float64(nil), m.z...), Y: make([]float64, e.k),
	}
	for i, r := range e.rows {
		sol.Y[r] = m.v[i]
	}
	for i, f := range e.col {
		sol.X[i] *= f
	}
	for i, f := range e.rowG {
		sol.S[i] /= f
		sol.Z[i] *= f / e.cost
	}
	for i, f := range e.rowA {
		sol.Y[i] *= f / e.cost
	}
	mul := func(M mat.Matrix, x []float64, rows int) []float64 {
		y := make([]float64, rows)
		if !isNil(M) && rows > 0 {
			mat.NewVecDense(rows, y).MulVec(M, mat.NewVecDense(len(x), x))
		}
		return y
	}
	mulT := func(M mat.Matrix, x []float64) []float64 {
		if len(x) == 0 {
			return make([]float64, e.n)
		}
		return mul(M.T(), x, e.n)
	}
	// On the rays first: proofs are about (x, s, z, y) as they are, not over τ.
	px, gx, ax := mul(q.P, sol.X, e.n), mul(q.G, sol.X, e.m), mul(q.A, sol.X, e.k)
	dual := mulT(q.A, sol.Y)
	axpy(1, mulT(q.G, sol.Z), dual)
	if t := dot(q.H, sol.Z) + dot(q.B, sol.Y); t < 0 && norm2(dual) <= tol*-t*e.dualSize() {
		sol.Infeasible = true
		scale(-1/t, sol.Z)
		scale(-1/t, sol.Y)
		sol.Gap, sol.Primal, sol.Dual = 0, math.Inf(1), math.Inf(1)
		sol.DualResidual = norm2(dual) / -t
		return sol
	}
	ray := append([]float64(nil), gx...)
	axpy(1, sol.S, ray)
	if t := dot(q.C, sol.X); t < 0 && math.Max(norm2(px), math.Hypot(norm2(ray), norm2(ax))) <= tol*-t*e.primalSize() {
		sol.Unbounded = true
		scale(-1/t, sol.X)
		scale(-1/t, sol.S)
		sol.Gap, sol.Primal, sol.Dual = 0, math.Inf(-1), math.Inf(-1)
		sol.PrimalResidual = math.Hypot(norm2(ray), norm2(ax)) / -t
		return sol
	}
	for _, x := range [][]float64{sol.X, sol.S, sol.Z, sol.Y, px, gx, ax, dual} {
		scale(1/m.tau, x)
	}
	xpx := dot(sol.X, px)
	sol.Primal = q.Constant + xpx/2 + dot(q.C, sol.X)
	sol.Dual = q.Constant - xpx/2 - dot(q.B, sol.Y) - dot(q.H, sol.Z)
	// A program whose optimum is zero has no relative gap: measure against the
	// terms that cancel.
	size := math.Max(math.Abs(sol.Primal), 1e-3*(xpx/2+sumAbs(q.C, sol.X)))
	sol.Gap = math.Max(math.Abs(sol.Primal-sol.Dual), m.gap/e.cost) / math.Max(size, 1e-300)
	if size < 1e-10 {
		sol.Gap = math.Max(math.Abs(sol.Primal-sol.Dual), m.gap/e.cost)
	}
	axpy(1, sol.S, gx)
	axpy(-1, q.H, gx)
	axpy(-1, q.B, ax)
	sol.PrimalResidual = math.Max(norm2(gx), norm2(ax)) / math.Max(1, math.Max(norm2(q.H), norm2(q.B)))
	axpy(1, px, dual)
	axpy(1, q.C, dual)
	sol.DualResidual = norm2(dual) / math.Max(1, norm2(q.C))
	return sol
}

func sumAbs(a, b []float64) float64 {
	t := 0.0
	for i, v := range a {
		t += math.Abs(v * b[i])
	}
	return t
}

// dualSize and primalSize are the sizes rays are judged against: a residual
// that is small for them moves the program's own numbers by as little.
func (e *equilibrated) dualSize() float64 {
	return 1 / math.Max(1, norm2(e.q.H)+norm2(e.q.B))
}

func (e *equilibrated) primalSize() float64 {
	return 1 / math.Max(1, norm2(e.q.C))
}
