package convex

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	mathbits "math/bits"
	"slices"
	"sync"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// coneData holds what the cones of all activation patterns of one data matrix
// share. The cone of pattern D is K = {v : S v >= 0} with S = (2D-I)X after
// every row was scaled to length one; a zero row of X constrains nothing.
type coneData struct {
	n, d  int
	x     blas64.General   // n×d
	inv   []float64        // n reciprocal row norms, 0 for a zero row
	short func() []float32 // shorten, once it is needed
	halt  func() bool      // ends projections with errHalted; may be nil
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
	c.short = sync.OnceValue(c.shorten)
	return c
}

// shorten returns the rows, scaled to length one, in float32: n×d.
func (c *coneData) shorten() []float32 {
	short := make([]float32, c.n*c.d)
	for i, inv := range c.inv {
		for j, v := range c.row(i) {
			short[i*c.d+j] = float32(v * inv)
		}
	}
	return short
}

// shortError bounds what a product of a row of length one and a vector of length
// one is off in float32, whatever the order of summation.
func (c *coneData) shortError() float64 { return float64(c.d+4) * 0x1p-24 }

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
// Where the active rows leave few directions free, it keeps a basis of those, too.
// Its workspace is of size d² + n, so every goroutine owns one.
type coneProjector struct {
	c     *coneData
	q     []float64 // k orthonormal rows of length d spanning the active rows of S
	whole bool      // q is orthogonal: the rows behind the first k span the free directions
	r     []float64 // upper triangle, row i at r[i*d:]; column j holds the coordinates of active row j
	idx   []int     // active rows
	a     []float64 // their multipliers, >= 0
	in    []bool    // n, whether a row is active
	qz    []float64 // coordinates of z in the basis of the active rows
	// products xv of all rows of length one with v0/|v0|, where there was a full
	// pass, in float32
	seen bool
	v0   []float64
	xv   []float32
	// scratch
	ls, w, c0 []float64
	short     []float32
	mask      []uint64
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
	basis []float64 // orthonormal rows of length d: as many as there are active ones, which they span, or d
	tri   []float64 // their triangle
}

// active is the basis of the active rows.
func (s *activeSet) active(d int) []float64 { return s.basis[:len(s.rows)*d] }

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
		s.tri = append(s.tri, p.r[:k]...)
		if p.whole && 2*len(p.idx) >= p.c.d {
			k = len(p.q)
		}
		s.basis = append(s.basis, p.q[:k]...)
	}
}

func newConeProjector(c *coneData) *coneProjector {
	d := c.d
	return &coneProjector{
		c: c, q: make([]float64, d*d), r: make([]float64, d*d),
		idx: make([]int, 0, d), a: make([]float64, 0, d), in: make([]bool, c.n),
		qz: make([]float64, d), v0: make([]float64, d), xv: make([]float32, c.n),
		ls: make([]float64, d), w: make([]float64, d), c0: make([]float64, d), short: make([]float32, d), mask: make([]uint64, (c.n+63)/64),
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
	p.whole = false
}

// start takes up an active set, which may be nil, and moves its multipliers to
// the least-squares ones for z.
func (p *coneProjector) start(from *activeSet, z []float64, bits []uint64) {
	p.reset()
	if from == nil {
		return
	}
	d := p.c.d
	based := len(from.basis) > 0
	if based {
		copy(p.q, from.basis)
		copy(p.r, from.tri)
		p.whole = len(from.basis) == d*d
	}
	known := len(from.a) == len(from.rows)
	for j, i := range from.rows {
		switch {
		case i < 0 || i >= p.c.n || p.in[i]:
			continue
		case based:
			p.in[i] = true
			p.idx, p.a = append(p.idx, i), append(p.a, 0)
		case !p.push(bits, i):
			continue
		}
		if known {
			p.a[len(p.a)-1] = from.a[j]
		}
	}
	dots(p.qz[:len(p.idx)], p.q, d, z)
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
	w := p.w
	for j, v := range p.c.row(i) {
		w[j] = s * v
	}
	if !p.whole && 4*k >= 3*d {
		complete(p.q, k, d)
		p.whole = true
	}
	rest := 0.0
	if p.whole {
		dots(p.c0[:k], p.q, d, w)
		for j, g := range p.c0[:k] {
			p.r[j*d+k] = g
		}
		rest = p.turn(w)
	} else {
		rest = p.orthogonalise(w)
	}
	if rest < dependent {
		return false
	}
	p.r[k*d+k] = rest
	p.idx, p.a = append(p.idx, i), append(p.a, 0)
	p.in[i] = true
	return true
}

// orthogonalise makes w the next row of the basis, its coordinates in those before
// it the next column of the triangle, and returns how long the rest of it is.
func (p *coneProjector) orthogonalise(w []float64) float64 {
	d, k := p.c.d, len(p.idx)
	for j := range k {
		p.r[j*d+k] = 0
	}
	// Gram-Schmidt; where much of the row goes, a second time, which keeps the
	// basis orthonormal to rounding.
	size, rest, g := 1.0, 0.0, p.c0[:k]
	for {
		dots(g, p.q, d, w)
		for j, t := range g {
			p.r[j*d+k] += t
			g[j] = -t
		}
		addRows(w, p.q, g)
		if rest = norm2(w); rest > 0.5*size || rest < dependent || k == 0 {
			break
		}
		size = rest
	}
	for j, v := range w {
		p.q[k*d+j] = v / rest
	}
	return rest
}

// turn reflects the basis of the free directions so that its first row is that
// of w's part in them, and returns how long that is.
func (p *coneProjector) turn(w []float64) float64 {
	d, k := p.c.d, len(p.idx)
	free, u := p.q[k*d:], p.c0[:d-k]
	dots(u, free, d, w)
	rest := norm2(u)
	if rest < dependent {
		return rest
	}
	// The reflection that takes u to (rest, 0, ..., 0) is along u less that.
	tail := dot(u[1:], u[1:])
	switch {
	case u[0] <= 0:
		u[0] -= rest
	case tail <= 1e-34*rest*rest: // it is there but for rounding, and the difference may underflow
		return rest
	default:
		u[0] = -tail / (u[0] + rest)
	}
	length2 := u[0]*u[0] + tail
	clear(w)
	addRows(w, free, u)
	for j, t := range u {
		axpy(-2*t/length2, w, free[j*d:j*d+d])
	}
	return rest
}

// complete sets the rows of q, d×d, from the k-th on so that all are orthonormal,
// as the first k are.
func complete(q []float64, k, d int) {
	if k == 0 {
		clear(q)
		for i := range d {
			q[i*d+i] = 1
		}
		return
	}
	// With the unit vectors least in the span, by pivoted Gram-Schmidt on the
	// projector on the complement.
	rest := make([]float64, d) // squared length of the remainder of every unit vector
	for i := range rest {
		rest[i] = 1
	}
	for i, v := range q[:k*d] {
		rest[i%d] -= v * v
	}
	c := make([]float64, d)
	for r := k; r < d; r++ {
		best := 0
		for i, v := range rest {
			if v > rest[best] {
				best = i
			}
		}
		v := q[r*d:][:d]
		clear(v)
		v[best] = 1
		for range 2 {
			dots(c[:r], q, d, v)
			scale(-1, c[:r])
			addRows(v, q, c[:r])
		}
		scale(1/norm2(v), v)
		for i := range rest {
			rest[i] -= v[i] * v[i]
		}
		rest[best] = 0
	}
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
		h := math.Sqrt(row[0]*row[0] + next[0]*next[0])
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
	for to := k; to > 0; {
		// Four rows at a time: what they have to do with the multipliers behind
		// them first.
		from := max(0, to-4)
		clear(ls[from:to])
		if to < k {
			dots(ls[from:to], p.r[from*d+to:], d, ls[to:])
		}
		var inv [4]float64 // together, for one waits for the other below
		for j := from; j < to; j++ {
			inv[j-from] = 1 / p.r[j*d+j]
		}
		for j := to - 1; j >= from; j-- {
			row, t := p.r[j*d:], p.qz[j]+ls[j]
			for m := j + 1; m < to; m++ {
				t += row[m] * ls[m]
			}
			ls[j] = -t * inv[j-from]
		}
		to = from
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
	if p.whole {
		clear(v)
		free, c := p.q[len(p.idx)*d:], p.c0[len(p.idx):]
		dots(c, free, d, z)
		addRows(v, free, c)
		return norm2(v)
	}
	size := norm2(z)
	for pass := 0; ; pass++ {
		c := p.c0[:len(p.idx)]
		dots(c, p.q, d, v)
		scale(-1, c)
		addRows(v, p.q, c)
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
// third of it. Products are of float32 first, and again of float64 where that does
// not tell on which side of eps they are.
func (p *coneProjector) price(v []float64, bits []uint64, eps float64) float64 {
	c, d := p.c, p.c.d
	short, off := c.short(), c.shortError()
	size := norm2(v)
	for j, t := range v {
		p.short[j] = float32(t / size)
	}
	maybe, surely := float32(eps/size-off), float32(eps/size+off)
	worst := eps
	p.found = p.found[:0]
	look := func(i int, t float32) {
		if !(t > maybe) || p.in[i] {
			return
		}
		w := float64(t) * size
		if t <= surely {
			if w = -c.rowSign(bits, i) * dot(c.row(i), v); !(w > eps) {
				return
			}
		}
		p.found = append(p.found, violation{i, w})
		worst = max(worst, w)
	}
	near := c.n
	if p.seen {
		// Rows have length one: none can be violated by more than it was at
		// v0 and the way from there.
		for j, t := range v {
			p.w[j] = t - p.v0[j]
		}
		wrongSide(p.mask, bits, p.xv, float32((eps-norm2(p.w))/norm2(p.v0)-off))
		near = 0
		for _, word := range p.mask {
			near += mathbits.OnesCount64(word)
		}
	}
	if p.seen = 3*near < c.n; !p.seen {
		dots32(p.xv, short, p.short)
		wrongSide(p.mask, bits, p.xv, maybe)
		copy(p.v0, v)
	}
	for k, word := range p.mask {
		for ; word != 0; word &= word - 1 {
			i := k<<6 + mathbits.TrailingZeros64(word)
			t := p.xv[i]
			if p.seen {
				t = dot32(short[i*d:i*d+d], p.short)
			}
			if bits[k]>>(uint(i)&63)&1 != 0 { // on the pattern's side, to which S v >= 0 holds it
				t = -t
			}
			look(i, t)
		}
	}
	p.seen = true
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
