package convex

import (
	"context"
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// Interior is the dense primal-dual interior-point method on the conic form of
// a program: quadratic and smooth losses by their Hessians, losses with kinks by
// slack variables, penalties by second-order and semidefinite cones, and any
// linear cones. It needs the fewest iterations of all solvers and reaches the
// highest accuracy, for programs whose matrices fit into memory; blocks of
// variables meet only in the predictions, so that thousands of small blocks are
// no obstacle. It is the reference that other solvers are held to.
type Interior struct{}

func init() { RegisterSolver(Interior{}, 40) }

// Name is "interior".
func (Interior) Name() string { return "interior" }

// Uses wants Kinks, or Grad and Hess, of the loss, a penalty whose Norm is
// known, and a program that is small enough.
func (Interior) Uses(prog *Program) error {
	l, p := prog.Loss, prog.Penalty
	if l.Kinks != nil {
		if n := prog.Op.Rows; len(l.Labels) != n || len(l.Kinks.Above) != n || len(l.Kinks.Below) != n {
			return fmt.Errorf("needs Labels and Kinks of loss %q for each of the %d predictions", l.Name, n)
		}
	} else if l.Grad == nil || l.Hess == nil {
		return fmt.Errorf("needs Kinks, or Grad and Hess, of loss %q", l.Name)
	}
	penalised := false
	for _, b := range prog.Blocks {
		penalised = penalised || b.Weight != 0
	}
	if penalised {
		switch p.norm() {
		case "l2", "l1", "columns", "nuclear", "squares":
		case "moments":
			for i, b := range prog.Blocks {
				if b.Weight != 0 && momentOrder(b.Len()) == 0 {
					return fmt.Errorf("block %d has %d variables, which are no moment matrix: want (d+1)(d+2)/2 - 1", i, b.Len())
				}
			}
		case "parts":
			for i, b := range prog.Blocks {
				if b.Weight != 0 && sumInts(p.Parts) != b.Len() {
					return fmt.Errorf("needs Parts of penalty %q that add up to the %d variables of block %d; they are %v", p.Name, b.Len(), i, p.Parts)
				}
			}
		case "":
			return fmt.Errorf("needs Norm of penalty %q", p.Name)
		default:
			return fmt.Errorf("does not know Norm %q of penalty %q", p.Norm, p.Name)
		}
	}
	if need := interiorMemory(prog); need > conicMemory {
		return fmt.Errorf("the program has %d variables in %d blocks and %d predictions: the dense method would need about %.0f MiB and takes up to %.0f MiB; use fewer patterns or another solver",
			prog.Op.Cols, len(prog.Blocks), prog.Op.Rows, mebibytes(need), mebibytes(conicMemory))
	}
	return nil
}

func (p Penalty) norm() string {
	if p.Norm == "" && p.GroupL2 > 0 {
		return "l2"
	}
	return p.Norm
}

// interiorMemory estimates the working memory in bytes, without building
// anything.
func interiorMemory(prog *Program) float64 {
	rows := func(b int) float64 {
		if prog.Cones == nil {
			return 0
		}
		if m := prog.Cones.Masked; m != nil {
			r, _ := m.X.Dims()
			return float64(r)
		}
		if G := prog.Cones.Block(min(b, 64)); G != nil { // the first ones stand for the rest
			r, _ := G.Dims()
			return float64(r)
		}
		return 0
	}
	nf, nv, local := float64(prog.Op.Rows), 0.0, 0.0
	last, lastRows := -1, 0.0
	for i, b := range prog.Blocks {
		if j := min(i, 64); j != last {
			last, lastRows = j, rows(j)
		}
		n, m := conicSize(prog.Penalty, prog.Penalty.norm(), b)
		nv += n
		local += n*n + 2*n*(m+lastRows)
	}
	if nf > nv {
		return 8 * (2*nf*nv + 2*nv*nv + local)
	}
	return 8 * (2*nf*nv + 2*nf*nf + local)
}

// conicSize is the number of variables and of rows of a block's conic form,
// without its linear cones.
func conicSize(pen Penalty, norm string, b Block) (vars, rows float64) {
	k := float64(b.Len())
	if b.Weight == 0 {
		return k, 0
	}
	switch norm {
	case "l1":
		return 2 * k, 2 * k
	case "columns":
		return k + float64(b.Cols), k + float64(b.Cols)
	case "parts":
		return k + float64(len(pen.Parts)), k + float64(len(pen.Parts))
	case "nuclear":
		n := float64(b.Rows + b.Cols)
		return n * (n + 1) / 2, n * (n + 1) / 2
	case "squares":
		return k, 0
	case "moments":
		return k, k + 1
	}
	return k + 1, k + 1
}

// Solve runs until the certified gap is below the tolerance.
func (Interior) Solve(ctx context.Context, prog *Program, s *Settings) (*Point, error) {
	mon := NewMonitor(ctx, "interior", s)
	best := bestPoint{primal: math.Inf(1), lower: math.Inf(-1)}
	f := make([]float64, prog.Op.Rows)
	look := func(x []float64) error {
		prog.Op.Apply(f, x)
		_, err := best.look(ctx, prog, x, f)
		return err
	}
	// An order of magnitude to spare costs an iteration or two, and tells the
	// zero blocks from the others.
	done := func() bool { return relativeGap(best.primal, best.lower) <= 0.1*s.Tol }
	var p *conicProblem
	var m *conicIPM
	end := func(status Status, it int) (*Point, error) {
		if m != nil && status == Optimal {
			prog.thin(ctx, p, m, &best, s)
		}
		mon.Report(best.progress(it, prog))
		return &Point{X: best.x, Dual: best.dual, Status: status, Iter: it, Trace: mon.Trace(), Solver: "interior"}, nil
	}
	if err := look(make([]float64, prog.Op.Cols)); err != nil {
		return nil, err
	}
	if x := s.StartPoint(prog); x != nil {
		prog.repair(x)
		if err := look(x); err != nil {
			return nil, err
		}
		if v := s.startDual(prog, x); v != nil {
			if _, err := best.bound(ctx, prog, v); err != nil {
				return nil, err
			}
		}
	}
	if done() {
		return end(Optimal, 0)
	}
	if status, stop := mon.Stop(0, conicLimit); stop {
		return end(status, 0)
	}
	var err error
	if p, err = prog.conicForm(false); err != nil {
		return nil, err
	}
	if m, err = newConicIPM(p); err != nil {
		return nil, err
	}
	m.residuals()
	lastGap, quiet := math.Inf(1), 0
	for it := 0; ; it++ {
		rel := m.gap / math.Max(math.Abs(m.primal), 1e-300)
		status, stop := mon.Stop(it, conicLimit)
		var failed error
		if !stop {
			failed = m.iterate()
			rel = m.gap / math.Max(math.Abs(m.primal), 1e-300)
		}
		if stop || failed != nil || it%5 == 4 || rel < math.Max(1e-3, 100*s.Tol) {
			if x := prog.conicPoint(p, m, s.Tol); x != nil {
				if err := look(x); err != nil {
					return nil, err
				}
			}
			if _, err := best.bound(ctx, prog, prog.conicDual(m)); err != nil {
				return nil, err
			}
			mon.Report(best.progress(it+1, prog))
			if done() {
				return end(Optimal, it+1)
			}
			gap := relativeGap(best.primal, best.lower)
			if quiet++; gap < 0.8*lastGap {
				lastGap, quiet = gap, 0
			}
		}
		switch {
		case stop:
			return end(status, it)
		case failed != nil, quiet > 15:
			status := Numerical
			if relativeGap(best.primal, best.lower) <= s.Tol {
				status = Optimal
			}
			return end(status, it+1)
		}
	}
}

// conicForm lowers the program. The nuclear norm of a block with one row or
// column is the Euclidean one, and written as that unless matrices is set.
func (prog *Program) conicForm(matrices bool) (*conicProblem, error) {
	nf := prog.Op.Rows
	norm := prog.Penalty.norm()
	if norm == "nuclear" && !matrices {
		norm = "nuclear or l2"
	}
	p := &conicProblem{y: make([]float64, nf)}
	switch l := prog.Loss; {
	case l.Kinks != nil:
		p.y = l.Labels
		p.above, p.below = l.Kinks.Above, l.Kinks.Below
		if l.Kinks.Rounded {
			p.smooth = &smoothTerm{
				value: func(u []float64) float64 { return dot(u, u) / 2 },
				grad:  func(dst, u []float64) { copy(dst, u) },
				hess: func(dst, u []float64) {
					for i := range dst {
						dst[i] = 1
					}
				},
			}
		}
	default:
		p.smooth = &smoothTerm{l.Value, l.Grad, l.Hess}
	}
	for i, blk := range prog.Blocks {
		var G blas64.General
		if prog.Cones != nil {
			if M := prog.Cones.Block(i); M != nil && !M.IsEmpty() {
				if _, c := M.Dims(); c != blk.Len() {
					return nil, fmt.Errorf("cones %q: block %d has %d variables, its cone %d columns", prog.Cones.Name, i, blk.Len(), c)
				}
				G = M.RawMatrix()
			}
		}
		b, c := conicBlockOf(norm, blk, prog.Penalty, G)
		b.off = len(p.c)
		p.c = append(p.c, c...)
		p.blocks = append(p.blocks, b)
	}
	nv := len(p.c)
	p.link = newGeneral(nf, nv)
	// The operator by rows or by columns, whichever are fewer.
	if nf <= prog.Op.Cols {
		e, g := make([]float64, nf), make([]float64, prog.Op.Cols)
		for r := range e {
			e[r] = 1
			prog.Op.Adjoint(g, e)
			e[r] = 0
			for i, blk := range prog.Blocks {
				copy(rowOf(p.link, r)[p.blocks[i].off:], blk.Of(g))
			}
		}
	} else {
		e, g := make([]float64, prog.Op.Cols), make([]float64, nf)
		for i, blk := range prog.Blocks {
			for j := 0; j < blk.Len(); j++ {
				e[blk.Offset+j] = 1
				prog.Op.Apply(g, e)
				e[blk.Offset+j] = 0
				for r, v := range g {
					p.link.Data[r*nv+p.blocks[i].off+j] = v
				}
			}
		}
	}
	if !finite(p.link.Data) {
		return nil, fmt.Errorf("operator %q has entries that are not finite", prog.Op.Name)
	}
	return p, nil
}

// conicBlockOf is the conic form of one block, whose own variables come first,
// and its costs. G z ≥ 0 are its linear cones.
func conicBlockOf(norm string, blk Block, pen Penalty, G blas64.General) (conicBlock, []float64) {
	k := blk.Len()
	if norm == "nuclear or l2" {
		norm = "nuclear"
		if blk.Rows == 1 || blk.Cols == 1 {
			norm = "l2"
		}
	}
	vars, conic := conicSize(pen, norm, blk)
	n := int(vars)
	b := conicBlock{n: n}
	c := make([]float64, n)
	// Rows of length one; those that are zero say nothing.
	var linear [][]float64
	for i := 0; i < G.Rows; i++ {
		row := append([]float64(nil), rowOf(G, i)...)
		if normalise(row) {
			linear = append(linear, row)
		}
	}
	rows := len(linear) + int(conic)
	b.G = newGeneral(rows, n)
	b.h = make([]float64, rows)
	for i, row := range linear {
		for j, v := range row {
			b.G.Data[i*n+j] = -v
		}
	}
	at := len(linear)
	set := func(row, col int, v float64) { b.G.Data[(at+row)*n+col] = -v }
	w := unitPenalty(pen, blk)
	orthantRows := len(linear)
	switch {
	case blk.Weight == 0:
	case norm == "squares":
		b.P = newGeneral(n, n)
		for j := 0; j < n; j++ {
			b.P.Data[j*n+j] = 2 * w
		}
	case norm == "l1":
		for j := 0; j < k; j++ { // |z_j| ≤ t_j
			set(2*j, k+j, 1)
			set(2*j, j, 1)
			set(2*j+1, k+j, 1)
			set(2*j+1, j, -1)
			c[k+j] = w
		}
		orthantRows += 2 * k
	}
	if orthantRows > 0 {
		b.cones = append(b.cones, newOrthant(orthantRows))
	}
	switch {
	case blk.Weight == 0:
	case norm == "l2":
		set(0, k, 1)
		for j := 0; j < k; j++ {
			set(1+j, j, 1)
		}
		c[k] = w
		b.cones = append(b.cones, newSecondOrder(k+1))
	case norm == "columns":
		for o := 0; o < blk.Cols; o++ {
			set(o*(blk.Rows+1), k+o, 1)
			for j := 0; j < blk.Rows; j++ {
				set(o*(blk.Rows+1)+1+j, j*blk.Cols+o, 1)
			}
			c[k+o] = w
			b.cones = append(b.cones, newSecondOrder(blk.Rows+1))
		}
	case norm == "parts":
		row, j := 0, 0
		for o, size := range pen.Parts {
			set(row, k+o, 1)
			c[k+o] = w
			for range size {
				row++
				set(row, j, 1)
				j++
			}
			row++
			b.cones = append(b.cones, newSecondOrder(size+1))
		}
	case norm == "nuclear":
		// [W1 Z; Z' W2] ⪰ 0 at cost w/2 (tr W1 + tr W2).
		nuclearRows(blk.Rows, blk.Cols, func(row, col int, v, cost float64) {
			set(row, col, v)
			c[col] = cost * w
		})
		b.cones = append(b.cones, newSemidefinite(blk.Rows+blk.Cols))
	case norm == "moments":
		// The matrix itself, one column a coordinate, at w times its mass.
		q := momentOrder(k)
		e, S := make([]float64, k), make([]float64, k+1)
		for j := range e {
			e[j] = 1
			Z := momentMatrix(e)
			pack(S, mat.DenseCopyOf(Z))
			for row, v := range S {
				if v != 0 {
					set(row, j, v)
				}
			}
			c[j] = w * momentMass(e)
			e[j] = 0
		}
		b.cones = append(b.cones, newSemidefinite(q))
	}
	return b, c
}

// nuclearRows calls f with the rows of the semidefinite matrix [W1 Z; Z' W2] of
// an r×c block Z, with the variable each row shows, after those of Z itself
// (row-major) those of W1 and W2 in the order of the rows, its coefficient, and
// the variable's cost for the nuclear norm.
func nuclearRows(r, c int, f func(row, col int, v, cost float64)) {
	next := r * c
	row := 0
	for i := 0; i < r+c; i++ {
		for j := 0; j <= i; j++ {
			switch {
			case i >= r && j < r:
				f(row, j*c+i-r, math.Sqrt2, 0)
			case i == j:
				f(row, next, 1, 0.5)
				next++
			default:
				f(row, next, 1, 0)
				next++
			}
			row++
		}
	}
}

// conicDual is the candidate for the certificate: minus the multiplier of the
// link, in the domain that the loss has.
func (prog *Program) conicDual(m *conicIPM) []float64 {
	v := make([]float64, len(m.v))
	for i, t := range m.v {
		if m.p1 != nil {
			t = math.Max(-m.p.below[i], math.Min(m.p.above[i], t))
		}
		v[i] = -t
	}
	return v
}

// conicPoint is the iterate as a point of the program: the variables
// themselves, which are never zero, or, when that is as good, what is left of
// them without the atoms on their way to zero. nil if there is none.
func (prog *Program) conicPoint(p *conicProblem, m *conicIPM, tol float64) []float64 {
	x := make([]float64, prog.Op.Cols)
	for i, blk := range prog.Blocks {
		copy(blk.Of(x), m.x[p.blocks[i].off:])
	}
	if !finite(x) {
		return nil
	}
	theta := prog.threshold(m, x)
	sparse := append([]float64(nil), x...)
	for i, blk := range prog.Blocks {
		if blk.Weight != 0 {
			dropAtoms(prog.Penalty, blk.Of(sparse), blk, theta/prog.unitPenalty(i))
		}
	}
	prog.repair(x)
	prog.repair(sparse)
	a, _ := prog.Objective(sparse)
	b, _ := prog.Objective(x)
	if a <= b+0.05*tol*math.Abs(b) {
		return sparse
	}
	return x
}

// unitPenalty is the penalty of a unit vector of block b, weight and all.
func (prog *Program) unitPenalty(b int) float64 {
	return unitPenalty(prog.Penalty, prog.Blocks[b])
}

// unitPenalty is what the penalty of a block is a multiple of its norm by: every
// norm is 1 at a unit vector, and the mass of moments at the identity's.
func unitPenalty(pen Penalty, blk Block) float64 {
	if blk.Weight == 0 {
		return 0
	}
	e := make([]float64, blk.Len())
	if q := momentOrder(len(e)); pen.norm() == "moments" {
		for j := len(e) - q + 1; j < len(e); j++ {
			e[j] = 1
		}
		return blk.Weight * pen.Value(e, blk.Rows, blk.Cols) / momentMass(e)
	}
	e[0] = 1
	return blk.Weight * pen.Value(e, blk.Rows, blk.Cols)
}

// threshold is the penalty below which an atom is on its way to zero: size
// times slack is near μ, so that the geometric mean of μ and the largest tells
// the two kinds apart.
func (prog *Program) threshold(m *conicIPM, x []float64) float64 {
	largest := 1e-3 * math.Abs(m.primal)
	for i, blk := range prog.Blocks {
		if blk.Weight != 0 {
			largest = math.Max(largest, prog.unitPenalty(i)*norm2(blk.Of(x)))
		}
	}
	return math.Sqrt(math.Max(m.mu(), 0) * largest)
}

// thin replaces a best point that has more blocks than an optimum needs by that
// of the program over the larger blocks alone, where that is as good: the ends
// of interior paths are in the middle of the set of optima, which has sparser
// points on its rim.
func (prog *Program) thin(ctx context.Context, p *conicProblem, m *conicIPM, best *bestPoint, s *Settings) {
	if prog.ActiveBlocks(best.x) <= prog.Op.Rows {
		return
	}
	sizes := make([]float64, len(prog.Blocks))
	var penalised []int
	for i, blk := range prog.Blocks {
		if blk.Weight != 0 {
			sizes[i] = prog.unitPenalty(i) * norm2(m.x[p.blocks[i].off:p.blocks[i].off+blk.Len()])
			penalised = append(penalised, i)
		}
	}
	sort.SliceStable(penalised, func(a, b int) bool { return sizes[penalised[a]] > sizes[penalised[b]] })
	for keep := 2 * prog.Op.Rows; keep < len(penalised) && ctx.Err() == nil; keep *= 3 {
		in := make([]bool, len(prog.Blocks))
		for i, blk := range prog.Blocks {
			in[i] = blk.Weight == 0
		}
		for _, i := range penalised[:keep] {
			in[i] = true
		}
		if x := prog.restricted(ctx, p.restrict(in), in, s); x != nil {
			v, err := prog.Objective(x)
			if err == nil && relativeGap(v, best.lower) <= 0.9*s.Tol {
				best.primal, best.x = v, x
				return
			}
		}
	}
}

// restricted solves the conic form over some blocks, the others zero.
func (prog *Program) restricted(ctx context.Context, sub *conicProblem, in []bool, s *Settings) []float64 {
	m, err := newConicIPM(sub)
	if err != nil {
		return nil
	}
	m.residuals()
	for it := 0; it < conicLimit && ctx.Err() == nil && m.gap > 1e-3*s.Tol*math.Abs(m.primal); it++ {
		if m.iterate() != nil {
			break
		}
	}
	x := make([]float64, prog.Op.Cols)
	k := 0
	for i, blk := range prog.Blocks {
		if in[i] {
			copy(blk.Of(x), m.x[sub.blocks[k].off:])
			k++
		}
	}
	if !finite(x) {
		return nil
	}
	theta := prog.threshold(m, x)
	for i, blk := range prog.Blocks {
		if in[i] && blk.Weight != 0 {
			dropAtoms(prog.Penalty, blk.Of(x), blk, theta/prog.unitPenalty(i))
		}
	}
	prog.repair(x)
	return x
}

// restrict is the problem over some of its blocks.
func (p *conicProblem) restrict(in []bool) *conicProblem {
	q := *p
	q.blocks, q.c = nil, nil
	for i, b := range p.blocks {
		if in[i] {
			c := p.c[b.off : b.off+b.n]
			b.off = len(q.c)
			q.blocks = append(q.blocks, b)
			q.c = append(q.c, c...)
		}
	}
	q.link = newGeneral(p.link.Rows, len(q.c))
	for r := 0; r < p.link.Rows; r++ {
		row, k := rowOf(q.link, r), 0
		for i, b := range p.blocks {
			if in[i] {
				copy(row[q.blocks[k].off:], rowOf(p.link, r)[b.off:b.off+b.n])
				k++
			}
		}
	}
	return &q
}

// dropAtoms sets to zero what of z is smaller than t, by the atoms of the norm.
func dropAtoms(pen Penalty, z []float64, blk Block, t float64) {
	switch pen.norm() {
	case "squares", "moments":
	case "l1":
		for j, v := range z {
			if math.Abs(v) < t {
				z[j] = 0
			}
		}
	case "columns":
		for o := 0; o < blk.Cols; o++ {
			s := 0.0
			for j := o; j < len(z); j += blk.Cols {
				s = math.Hypot(s, z[j])
			}
			if s < t {
				for j := o; j < len(z); j += blk.Cols {
					z[j] = 0
				}
			}
		}
	case "parts":
		for _, size := range pen.Parts {
			if norm2(z[:size]) < t {
				clear(z[:size])
			}
			z = z[size:]
		}
	case "nuclear":
		if blk.Rows > 1 && blk.Cols > 1 {
			U, s, V, err := thinSVD(z, blk.Rows, blk.Cols)
			if err != nil || s[len(s)-1] >= t {
				return
			}
			clear(z)
			for k, sv := range s {
				if sv < t {
					break
				}
				for i := 0; i < blk.Rows; i++ {
					for j := 0; j < blk.Cols; j++ {
						z[i*blk.Cols+j] += sv * U.At(i, k) * V.At(j, k)
					}
				}
			}
			return
		}
		fallthrough
	default:
		if norm2(z) < t {
			clear(z)
		}
	}
}

// conicPolar returns λ ≥ 0, one a row of G, for which the polar of z + G'λ is
// near its minimum: the multipliers of max z'w s.t. penalty(w) ≤ 1, G w ≥ 0.
// nil when there is no answer; any λ ≥ 0 gives an upper bound on the polar of z
// within the cone.
func conicPolar(pen Penalty, blk Block, G blas64.General, z []float64) []float64 {
	norm := pen.norm()
	if norm == "" || norm == "squares" || norm == "moments" || !finite(z) || norm2(z) == 0 {
		return nil
	}
	blk.Offset, blk.Weight = 0, 1
	b, c := conicBlockOf(norm, blk, pen, G)
	// One more row, for the orthant: 1 - c'x ≥ 0.
	rows := newGeneral(b.G.Rows+1, b.n)
	copy(rows.Data, c)
	copy(rows.Data[b.n:], b.G.Data)
	h := make([]float64, rows.Rows)
	h[0] = 1
	b.G, b.h = rows, h
	b.cones = append([]cone{newOrthant(1)}, b.cones...)
	size := norm2(z)
	p := &conicProblem{blocks: []conicBlock{b}, c: make([]float64, b.n)}
	for i, v := range z {
		p.c[i] = -v / size
	}
	m, err := newConicIPM(p)
	if err != nil {
		return nil
	}
	m.residuals()
	for it := 0; it < 100 && m.gap > 1e-13*math.Abs(m.primal); it++ {
		if m.iterate() != nil {
			break
		}
	}
	lambda := make([]float64, G.Rows)
	row, at := make([]float64, G.Cols), 1
	for i := range lambda {
		copy(row, rowOf(G, i))
		n := norm2(row)
		if n == 0 {
			continue
		}
		lambda[i] = math.Max(m.z[at], 0) * size / n // rows were of length one
		at++
	}
	if !finite(lambda) {
		return nil
	}
	return lambda
}
