package convex

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// coneData holds what the cones of all activation patterns of one data matrix
// share. The cone of pattern D is K = {v : S v >= 0} with S = (2D-I)X after
// every row was scaled to length one; a zero row of X constrains nothing.
type coneData struct {
	n, d int
	x    blas64.General // n×d
	inv  []float64      // n reciprocal row norms, 0 for a zero row
	halt func() bool    // ends projections with errHalted; may be nil
}

var errHalted = errors.New("convex: cone projection: ended before it was done")

func newConeData(x *mat.Dense) *coneData {
	raw := x.RawMatrix()
	c := &coneData{n: raw.Rows, d: raw.Cols, x: raw, inv: make([]float64, raw.Rows)}
	for i := range c.inv {
		if s := norm2(raw.Data[i*raw.Stride : i*raw.Stride+raw.Cols]); s > 0 {
			c.inv[i] = 1 / s
		}
	}
	return c
}

func (c *coneData) row(i int) []float64 { return c.x.Data[i*c.x.Stride : i*c.x.Stride+c.d] }

// rowSign returns the factor that turns row i of X into row i of S.
func (c *coneData) rowSign(bits []uint64, i int) float64 {
	if bits[i>>6]>>(uint(i)&63)&1 != 0 {
		return c.inv[i]
	}
	return -c.inv[i]
}

// coneProjector projects vectors onto the cones of a coneData by the
// active-set method of Lawson and Hanson on the dual
//
//	min_{a>=0} 1/2 ||z + S'a||²,  Proj_K(z) = z + S'a,
//
// keeping an orthonormal basis of the active rows and what it says of z, so
// that a row that comes or goes costs no pass over the others but its own.
// Its workspace is of size d² + n, so every goroutine owns one.
type coneProjector struct {
	c   *coneData
	q   []float64 // k orthonormal rows of length d spanning the active rows of S
	r   []float64 // upper triangle, row i at r[i*d:]; column j holds the coordinates of active row j
	idx []int     // active rows
	a   []float64 // their multipliers, >= 0
	in  []bool    // n, whether a row is active
	qz  []float64 // coordinates of z in the basis
	// violations xv of all rows at v0, where there was a full pass
	seen   bool
	v0, xv []float64
	// scratch
	ls        []float64
	near      []int
	cand      []int
	found     []violation
	blocked   []int
	isBlocked []bool
}

// activeSet is where a projection on a cone ended, for the next on the same
// cone to start from. Multipliers, basis and triangle may be missing: rows
// without multipliers are a guess, and without a basis they are orthogonalised
// again.
type activeSet struct {
	rows  []int
	a     []float64 // multipliers of the rows, >= 0
	basis []float64 // orthonormal rows of length d spanning the active ones
	tri   []float64 // their triangle
}

// guess copies rows and multipliers.
func (s activeSet) guess() activeSet {
	return activeSet{rows: slices.Clone(s.rows), a: slices.Clone(s.a)}
}

// set makes s the active set of p; with basis and triangle if it is to be whole.
func (s *activeSet) set(p *coneProjector, whole bool) {
	s.rows, s.a = append(s.rows[:0], p.idx...), append(s.a[:0], p.a...)
	s.basis, s.tri = s.basis[:0], s.tri[:0]
	if whole {
		k := len(p.idx) * p.c.d
		s.basis, s.tri = append(s.basis, p.q[:k]...), append(s.tri, p.r[:k]...)
	}
}

func newConeProjector(c *coneData) *coneProjector {
	d := c.d
	return &coneProjector{
		c: c, q: make([]float64, d*d), r: make([]float64, d*d),
		idx: make([]int, 0, d), a: make([]float64, 0, d), in: make([]bool, c.n),
		ls: make([]float64, d), qz: make([]float64, d), xv: make([]float64, c.n), v0: make([]float64, d),
		isBlocked: make([]bool, c.n),
	}
}

// fewCandidates is how many violated rows are compared before one joins.
const fewCandidates = 24

// dependent is the relative length below which a row counts as lying in the
// span of the active ones.
const dependent = 1e-11

func (p *coneProjector) reset() {
	for _, i := range p.idx {
		p.in[i] = false
	}
	p.idx, p.a = p.idx[:0], p.a[:0]
}

// start takes up an active set, which may be nil, and moves its multipliers to
// the least-squares ones for z.
func (p *coneProjector) start(from *activeSet, z []float64, bits []uint64) {
	p.reset()
	if from == nil {
		return
	}
	d := p.c.d
	known := len(from.a) == len(from.rows)
	whole := len(from.basis) == len(from.rows)*d && len(from.tri) == len(from.basis)
	if whole {
		copy(p.q, from.basis)
		copy(p.r, from.tri)
	}
	for j, i := range from.rows {
		switch {
		case i < 0 || i >= p.c.n || p.in[i]:
			continue
		case whole:
			p.in[i] = true
			p.idx, p.a = append(p.idx, i), append(p.a, 0)
		case !p.push(bits, i):
			continue
		}
		if known {
			p.a[len(p.a)-1] = from.a[j]
		}
	}
	for j := range p.idx {
		p.qz[j] = dot(p.q[j*d:j*d+d], z)
	}
	if known {
		p.descend(nil)
		return
	}
	// A guess is trusted only as far as its multipliers are positive.
	for len(p.idx) > 0 {
		ls, trusted := p.leastSquares(), true
		for j := len(ls) - 1; j >= 0; j-- {
			if ls[j] <= 0 {
				p.drop(j)
				trusted = false
			}
		}
		if trusted {
			copy(p.a, ls)
			break
		}
	}
}

// push adds row i of S to the active rows; false if it depends on them.
func (p *coneProjector) push(bits []uint64, i int) bool {
	d, k := p.c.d, len(p.idx)
	if k == d {
		return false
	}
	s := p.c.rowSign(bits, i)
	if s == 0 {
		return false
	}
	w := p.q[k*d : k*d+d]
	for j, v := range p.c.row(i) {
		w[j] = s * v
	}
	for j := range k {
		p.r[j*d+k] = 0
	}
	// Gram-Schmidt; where most of the row goes, a second time, which keeps the
	// basis orthonormal to rounding.
	size, len2 := 1.0, 0.0
	for {
		for j := range k {
			qj := p.q[j*d : j*d+d]
			g := dot(qj, w)
			p.r[j*d+k] += g
			axpy(-g, qj, w)
		}
		if len2 = norm2(w); len2 > 0.5*size || len2 < dependent || k == 0 {
			break
		}
		size = len2
	}
	if len2 < dependent {
		return false
	}
	scale(1/len2, w)
	p.r[k*d+k] = len2
	p.idx, p.a = append(p.idx, i), append(p.a, 0)
	p.in[i] = true
	return true
}

// drop removes active row number j, restoring the triangle by rotations. The
// direction that leaves the basis and its coordinate stay behind its end.
func (p *coneProjector) drop(j int) {
	d, k := p.c.d, len(p.idx)
	p.in[p.idx[j]] = false
	copy(p.idx[j:], p.idx[j+1:])
	copy(p.a[j:], p.a[j+1:])
	p.idx, p.a = p.idx[:k-1], p.a[:k-1]
	for m := range k {
		copy(p.r[m*d+j:m*d+k-1], p.r[m*d+j+1:m*d+k])
	}
	for m := j; m < k-1; m++ {
		row, next := p.r[m*d+m:m*d+k-1], p.r[(m+1)*d+m:(m+1)*d+k-1]
		h := math.Hypot(row[0], next[0])
		if h == 0 {
			continue
		}
		c, s := row[0]/h, next[0]/h
		rotate(c, s, row, next)
		next[0] = 0
		rotate(c, s, p.q[m*d:m*d+d], p.q[(m+1)*d:(m+1)*d+d])
		p.qz[m], p.qz[m+1] = c*p.qz[m]+s*p.qz[m+1], c*p.qz[m+1]-s*p.qz[m]
	}
}

// leastSquares sets p.ls to the unconstrained multipliers of the active rows.
func (p *coneProjector) leastSquares() []float64 {
	d, k := p.c.d, len(p.idx)
	ls := p.ls[:k]
	for j := k - 1; j >= 0; j-- {
		row := p.r[j*d : j*d+k]
		ls[j] = -(p.qz[j] + dot(row[j+1:], ls[j+1:])) / row[j]
	}
	return ls
}

// residual sets v to z minus its part in the span of the active rows, which
// is z + S'a for the least-squares multipliers but without their cancellation,
// and returns its length.
func (p *coneProjector) residual(v, z []float64) float64 {
	d := p.c.d
	copy(v, z)
	if len(p.idx) == d {
		clear(v)
		return 0
	}
	size := norm2(z)
	for pass := 0; ; pass++ {
		for j := range p.idx {
			q := p.q[j*d : j*d+d]
			axpy(-dot(q, v), q, v)
		}
		if vn := norm2(v); pass == 1 || vn > 0.1*size {
			return vn
		}
	}
}

// project sets v to Proj_K(z) for the cone of the pattern and returns the
// worst violation of S v >= 0 left, relative to ||z||. It starts from the active
// set of an earlier projection, or from none if that is nil; the active rows and
// multipliers stay in p.idx and p.a. If stop > 0 the method ends as soon as
// ||v|| <= stop: v = z + S'a with a >= 0 then still proves ||Proj_K(z)|| <= ||v||.
func (p *coneProjector) project(v, z []float64, bits []uint64, from *activeSet, tol, stop float64) (viol float64, err error) {
	c, d := p.c, p.c.d
	p.seen = false
	zn := norm2(z)
	if zn == 0 || math.IsNaN(zn) || math.IsInf(zn, 0) {
		copy(v, z)
		p.reset()
		if zn == 0 {
			return 0, nil
		}
		return math.Inf(1), fmt.Errorf("convex: cone projection of a vector with NaN or Inf entries")
	}
	p.start(from, z, bits)
	eps := tol * zn
	unblock := func() {
		for _, i := range p.blocked {
			p.isBlocked[i] = false
		}
		p.blocked = p.blocked[:0]
	}
	defer unblock()
	limit := 3*c.n + 10*c.d + 50
	for iter := 0; ; {
		vn := p.residual(v, z)
		if vn <= stop || vn <= 1e-14*zn {
			if vn <= 1e-14*zn {
				clear(v)
			}
			return 0, nil
		}
		if c.halt != nil && c.halt() {
			return math.Inf(1), errHalted
		}
		worst := p.price(v, bits, eps)
		if worst <= eps {
			return math.Max(worst, 0) / zn, nil
		}
		// The worst rows of a full pass serve several steps: one pass costs
		// n·d, a look at the short list only a few rows.
		progress := false
		for {
			// Of the first few that still are violated; those that are not wait
			// for the next pass.
			best, bw, kept, few := -1, eps, 0, 0
			for j, i := range p.cand {
				if few == fewCandidates {
					kept += copy(p.cand[kept:], p.cand[j:])
					break
				}
				if p.in[i] {
					continue
				}
				if p.isBlocked[i] {
					p.cand[kept] = i
					kept++
					continue
				}
				w := -c.rowSign(bits, i) * dot(c.row(i), v)
				if w <= eps {
					continue
				}
				p.cand[kept] = i
				kept++
				few++
				if w > bw {
					best, bw = i, w
				}
			}
			p.cand = p.cand[:kept]
			if best < 0 {
				break
			}
			if iter++; iter > limit {
				return worst / zn, fmt.Errorf("convex: cone projection: no convergence in %d active-set steps, violation %.1e", limit, worst/zn)
			}
			if !p.push(bits, best) {
				p.block(best)
				continue
			}
			k := len(p.idx) - 1
			if p.qz[k] = dot(p.q[k*d:k*d+d], v); p.qz[k] >= 0 { // its multiplier would not be positive
				p.drop(k)
				p.block(best)
				continue
			}
			p.step(v)
			progress = true
			unblock()
			if norm2(v) <= math.Max(stop, 1e-14*zn) {
				break
			}
		}
		if !progress {
			return worst / zn, nil // only numerically dependent rows are violated
		}
	}
}

func (p *coneProjector) block(i int) {
	p.isBlocked[i] = true
	p.blocked = append(p.blocked, i)
}

// step moves v to the residual after a push, and the multipliers along.
func (p *coneProjector) step(v []float64) {
	d := p.c.d
	k := len(p.idx) - 1
	axpy(-p.qz[k], p.q[k*d:k*d+d], v)
	p.descend(v)
}

// descend moves the multipliers to the least-squares ones of the active rows,
// dropping those that would turn negative on the way. v, which may be nil, is
// the residual and stays it.
func (p *coneProjector) descend(v []float64) {
	d := p.c.d
	for len(p.idx) > 0 {
		ls := p.leastSquares()
		alpha, at := 1.0, -1
		for j, t := range ls {
			if t <= 0 {
				if s := p.a[j] / (p.a[j] - t); s < alpha || at < 0 {
					alpha, at = s, j
				}
			}
		}
		if at < 0 {
			copy(p.a, ls)
			return
		}
		for j, t := range ls {
			p.a[j] += alpha * (t - p.a[j])
		}
		for j := len(p.a) - 1; j >= 0; j-- {
			if j == at || p.a[j] <= 0 {
				p.drop(j)
				if v != nil {
					k := len(p.idx)
					axpy(p.qz[k], p.q[k*d:k*d+d], v)
				}
			}
		}
	}
}

// price returns the worst violation of S v >= 0, or eps if there is none above
// it, and fills the list of candidates with the rows violated by at least a
// third of it.
func (p *coneProjector) price(v []float64, bits []uint64, eps float64) float64 {
	c := p.c
	if p.seen {
		// Rows have length one: none can be violated by more than it was at
		// v0 and the way from there.
		move := 0.0
		for j, t := range v {
			move += (t - p.v0[j]) * (t - p.v0[j])
		}
		move = math.Sqrt(move)
		p.near = p.near[:0]
		least := eps - move
		for i, t := range p.xv {
			if t > least && !p.in[i] {
				p.near = append(p.near, i)
			}
		}
		p.seen = 3*len(p.near) < c.n
	}
	p.found = p.found[:0]
	if p.seen {
		for _, i := range p.near {
			if t := -c.rowSign(bits, i) * dot(c.row(i), v); t > eps {
				p.found = append(p.found, violation{i, t})
			}
		}
	} else {
		blas64.Gemv(blas.NoTrans, 1, c.x, blas64.Vector{N: c.d, Inc: 1, Data: v}, 0, blas64.Vector{N: c.n, Inc: 1, Data: p.xv})
		for lo := 0; lo < c.n; lo += 64 {
			word := bits[lo>>6]
			inv := c.inv[lo:min(lo+64, c.n)]
			for i, t := range p.xv[lo:][:len(inv)] {
				// -1 where the row is on the pattern's side, to which S v >= 0 holds it.
				t *= inv[i] * (1 - 2*float64(word&1))
				word >>= 1
				p.xv[lo+i] = t
				if t > eps && !p.in[lo+i] {
					p.found = append(p.found, violation{lo + i, t})
				}
			}
		}
		copy(p.v0, v)
		p.seen = true
	}
	worst := eps
	for _, f := range p.found {
		worst = max(worst, f.size)
	}
	p.found = slices.DeleteFunc(p.found, func(f violation) bool { return f.size < worst/3 })
	slices.SortFunc(p.found, func(a, b violation) int { return cmp.Compare(b.size, a.size) })
	p.cand = p.cand[:0]
	for _, f := range p.found {
		p.cand = append(p.cand, f.row)
	}
	return worst
}

// violation is how far a row is from S v >= 0.
type violation struct {
	row  int
	size float64
}

// coneProject sets dst to z + S'a, the projection of z onto the cone
// {v : S v >= 0} of a pattern, S being (2D-I)X with rows scaled to length one.
// warm holds n multipliers: its positive entries start the active set and on
// return it is the a of the answer, so that whatever the tolerance
// ||dst|| >= ||Proj_K(z)|| up to rounding. resid is the larger of the worst
// constraint violation and the complementarity error, relative to ||z||.
func coneProject(dst, z []float64, X *mat.Dense, pattern []uint64, warm []float64, tol float64) (resid float64, err error) {
	n, d := X.Dims()
	if len(z) != d || len(dst) != d || len(warm) != n || len(pattern) < (n+63)/64 {
		return 0, fmt.Errorf("convex: coneProject: X is %d×%d, so z and dst must have %d entries (have %d, %d), warm %d (has %d) and the pattern %d words (has %d)",
			n, d, d, len(z), len(dst), n, len(warm), (n+63)/64, len(pattern))
	}
	return newConeProjector(newConeData(X)).projectDense(dst, z, pattern, warm, tol)
}

// projectDense is project with the multipliers as a vector of length n.
func (p *coneProjector) projectDense(dst, z []float64, pattern []uint64, warm []float64, tol float64) (resid float64, err error) {
	var start activeSet
	for i, a := range warm {
		if a > 0 {
			start.rows, start.a = append(start.rows, i), append(start.a, a)
		}
	}
	resid, err = p.project(dst, z, pattern, &start, tol, 0)
	clear(warm)
	for j, i := range p.idx {
		warm[i] = p.a[j]
	}
	// Evaluate z + S'a as it stands: a bound must not rest on the basis.
	copy(dst, z)
	for j, i := range p.idx {
		axpy(p.a[j]*p.c.rowSign(pattern, i), p.c.row(i), dst)
	}
	zn := norm2(z)
	for j, i := range p.idx {
		if e := math.Abs(p.a[j]*p.c.rowSign(pattern, i)*dot(p.c.row(i), dst)) / (zn*zn + math.SmallestNonzeroFloat64); e > resid {
			resid = e
		}
	}
	return resid, err
}

// coneDualNorm bounds ||Proj_K(z)|| = max{z'u : u in K, ||u|| <= 1} from both
// sides. The upper bound is ||z + S'a|| for the multipliers a >= 0 found, plus
// the rounding of its evaluation, and holds whatever the method did. The lower
// one is z'u for a unit vector u that violates S u >= 0 by no more than tol.
func coneDualNorm(z []float64, X *mat.Dense, pattern []uint64, warm []float64, tol float64) (upper, lower float64, err error) {
	_, d := X.Dims()
	v := make([]float64, d)
	if _, err = coneProject(v, z, X, pattern, warm, tol); err != nil && len(warm) == 0 {
		return math.Inf(1), 0, err
	}
	upper, lower = coneBounds(z, v, warm)
	return upper, lower, err
}

// coneBounds turns v = z + S'a into bounds on ||Proj_K(z)||.
func coneBounds(z, v, a []float64) (upper, lower float64) {
	vn, zn := norm2(v), norm2(z)
	sum := zn
	for _, t := range a {
		sum += t
	}
	upper = vn + 4e-16*float64(len(z)+2)*sum
	if vn > 0 {
		lower = math.Max(0, dot(z, v)/vn)
	}
	return math.Min(upper, zn*(1+1e-15)), math.Min(lower, upper)
}
