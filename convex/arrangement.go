package convex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"sort"

	"gonum.org/v1/gonum/mat"
)

// CoverCount is the number of activation patterns of n samples of rank r in
// general position, 2 Σ_{k<r} C(n-1,k) (Cover 1965), and an upper bound for any
// other data. It is a float64 because it overflows integers soon.
func CoverCount(n, rank int) float64 {
	if n <= 0 || rank <= 0 {
		return 1
	}
	sum := new(big.Int)
	for k := 0; k < rank && k <= n-1; k++ {
		sum.Add(sum, new(big.Int).Binomial(int64(n-1), int64(k)))
	}
	f, _ := new(big.Float).SetInt(sum.Lsh(sum, 1)).Float64()
	return f
}

// PaperCount is the bound 2r(e(n-1)/r)^r on the number of patterns that the
// papers quote (Pilanci & Ergen 2020), valid for rank r ≤ n. It is far above
// CoverCount.
func PaperCount(n, rank int) float64 {
	r := float64(rank)
	return 2 * r * math.Pow(math.E*float64(n-1)/r, r)
}

// ErrTooManyPatterns is in the error of EnumeratePatterns when the data have
// more patterns than the limit.
var ErrTooManyPatterns = errors.New("too many activation patterns")

// EnumeratePatterns returns every pattern 1[Xu > 0] that occurs on an open set
// of u, the cells of the arrangement of hyperplanes x_i'u = 0, including the
// all-off pattern where the data have it; Complete is true. It is exact for any
// X of finite numbers: rank-deficient, with duplicate, parallel and zero rows.
// Hyperplanes closer than about 1e-10 radians count as one. limit is the largest number of patterns to accept (0: no limit);
// beyond it the error wraps ErrTooManyPatterns.
//
// The method is deletion and restriction: the cells that hyperplane k cuts are,
// one to one, the cells of the arrangement that hyperplanes 1…k-1 make inside
// it, one dimension lower. The work is proportional to the number of patterns
// times n·rank; no linear program is solved.
func EnumeratePatterns(ctx context.Context, X mat.Matrix, limit int) (*Patterns, error) {
	ctx = background(ctx)
	M, err := finiteMatrix("X", X)
	if err != nil {
		return nil, err
	}
	n, d := M.Dims()
	a, err := newArrangement(M, limit)
	if err != nil {
		return nil, err
	}
	cells, err := enumerateCells(ctx, a.lines, a.rank, limit)
	if err != nil {
		if errors.Is(err, ErrTooManyPatterns) {
			return nil, fmt.Errorf("convex: %w: %d samples of rank %d have over %d (up to %.4g): raise the limit or sample patterns instead", ErrTooManyPatterns, n, a.rank, limit, CoverCount(len(a.lines), a.rank))
		}
		return nil, err
	}
	p := newPatterns(len(cells), n)
	p.Complete, p.Source, p.of = true, "enumerated", fingerprint(M)
	p.Gates = mat.NewDense(d, max(len(cells), 1), nil)
	for c, cell := range cells {
		for i, l := range a.lineOf {
			// A row takes its bit from the hyperplane it stands for, so rows
			// that count as parallel agree.
			if l >= 0 && (dot(a.lines[l].z, cell.w) > 0) == a.same[i] {
				p.set(c, i)
			}
		}
		for j := 0; j < d; j++ {
			s := 0.0
			for k, w := range cell.w {
				s += a.basis.At(j, k) * w
			}
			p.Gates.Set(j, c, s)
		}
	}
	p.sort()
	return p, nil
}

// arrangement is the distinct hyperplanes of a data matrix, in coordinates of
// its row space.
type arrangement struct {
	rank   int
	basis  *mat.Dense // d×rank, orthonormal
	lines  []line
	lineOf []int  // row of X → line, -1 for a zero row
	same   []bool // row points the way its line does
}

// line is one hyperplane by its unit normal; err is how far the normal may be
// off.
type line struct {
	z   []float64
	err float64
}

// mergeAngle is the angle below which two hyperplanes count as one.
const mergeAngle = 1e-10

func newArrangement(X *mat.Dense, limit int) (*arrangement, error) {
	n, d := X.Dims()
	tooMany := func(rank int) error {
		return fmt.Errorf("convex: %w: %d samples of rank %d or more have at least 2^%d patterns, over the limit %d: sample patterns instead", ErrTooManyPatterns, n, rank, rank, limit)
	}
	most := 62 // with as many independent rows there are too many patterns
	if limit > 0 {
		most = min(most, bits.Len(uint(limit)))
		if r := rankOfSome(X, most); r >= most {
			return nil, tooMany(r)
		}
	}
	U := mat.NewDense(n, d, nil) // rows of unit length
	a := &arrangement{lineOf: make([]int, n), same: make([]bool, n)}
	zero := make([]bool, n)
	for i := 0; i < n; i++ {
		row := U.RawRowView(i)
		copy(row, X.RawRowView(i))
		zero[i] = !normalise(row)
	}
	a.basis, a.rank = rowSpace(U)
	if a.rank == 0 {
		for i := range a.lineOf {
			a.lineOf[i] = -1
		}
		return a, nil
	}
	if limit > 0 && a.rank >= most {
		return nil, tooMany(a.rank)
	}
	Z := mat.NewDense(n, a.rank, nil)
	Z.Mul(U, a.basis)
	var rows []line
	var idx []int
	for i := 0; i < n; i++ {
		a.lineOf[i] = -1
		if zero[i] {
			continue
		}
		z := append([]float64(nil), Z.RawRowView(i)...)
		normalise(z)
		rows = append(rows, line{z, 1e-14 * math.Sqrt(float64(d))})
		idx = append(idx, i)
	}
	lines, of, same := mergeLines(rows)
	a.lines = lines
	for k, i := range idx {
		a.lineOf[i], a.same[i] = of[k], same[k]
	}
	return a, nil
}

// normalise scales z to unit length, without over- or underflow; false if z is
// zero.
func normalise(z []float64) bool {
	m := 0.0
	for _, v := range z {
		m = math.Max(m, math.Abs(v))
	}
	if m == 0 {
		return false
	}
	for j := range z {
		z[j] /= m
	}
	s := norm2(z)
	for j := range z {
		z[j] /= s
	}
	return true
}

// rankOfSome is a lower bound on the rank of X, up to k: that of some of its
// rows, clear of rounding. A large X is seen to have too many patterns by a
// hundred of its rows, where a decomposition of all takes longer than a solve.
func rankOfSome(X *mat.Dense, k int) int {
	n, d := X.Dims()
	m := min(n, 2*k)
	if k > min(n, d) {
		return 0
	}
	some := mat.NewDense(m, d, nil)
	for i := range m {
		row := some.RawRowView(i)
		copy(row, X.RawRowView(i*n/m))
		normalise(row)
	}
	var svd mat.SVD
	if !svd.Factorize(some, mat.SVDNone) {
		return 0
	}
	s := svd.Values(nil)
	rank := 0
	for rank < k && s[rank] > 1e-8*s[0] {
		rank++
	}
	return rank
}

// rowSpace returns an orthonormal basis (d×rank) of the rows of U.
func rowSpace(U *mat.Dense) (*mat.Dense, int) {
	n, d := U.Dims()
	var svd mat.SVD
	if !svd.Factorize(U, mat.SVDThinV) {
		// A basis of everything is always right: it only costs time.
		I := mat.NewDense(d, d, nil)
		for j := 0; j < d; j++ {
			I.Set(j, j, 1)
		}
		return I, d
	}
	s := svd.Values(nil)
	tol := 1e-12 * float64(max(n, d)) * s[0]
	rank := 0
	for rank < len(s) && s[rank] > tol {
		rank++
	}
	if rank == 0 {
		return nil, 0
	}
	var V mat.Dense
	svd.VTo(&V)
	return mat.DenseCopyOf(V.Slice(0, d, 0, rank)), rank
}

// mergeLines drops normals that are parallel to an earlier one. of[i] is the
// line of row i and same[i] whether it points the same way.
func mergeLines(rows []line) (lines []line, of []int, same []bool) {
	n := len(rows)
	of, same = make([]int, n), make([]bool, n)
	if n == 0 {
		return nil, of, same
	}
	// Parallel rows have the same length along any direction: sort by one and
	// compare neighbours only.
	q := make([]float64, len(rows[0].z))
	for j := range q {
		q[j] = math.Cos(1 + 2.7*float64(j))
	}
	reach, key, order := 0.0, make([]float64, n), make([]int, n)
	for i, r := range rows {
		key[i], order[i] = math.Abs(dot(q, r.z)), i
		reach = math.Max(reach, r.err)
	}
	sort.Slice(order, func(a, b int) bool {
		if key[order[a]] != key[order[b]] {
			return key[order[a]] < key[order[b]]
		}
		return order[a] < order[b]
	})
	reach = norm2(q) * math.Max(mergeAngle, 8*reach)
	twin := make([]int, n) // an equal row before it in the order, or itself
	for a, i := range order {
		twin[i] = i
		for b := a - 1; b >= 0 && key[i]-key[order[b]] <= reach; b-- {
			if j := order[b]; sameHyperplane(rows[i], rows[j]) {
				twin[i] = twin[j]
				break
			}
		}
	}
	first := make([]int, n) // line of a group, by its twin; -1 not yet
	for i := range first {
		first[i] = -1
	}
	for i, r := range rows {
		l := &first[twin[i]]
		if *l < 0 {
			*l = len(lines)
			lines = append(lines, r)
		}
		of[i], same[i] = *l, dot(r.z, lines[*l].z) > 0
	}
	return lines, of, same
}

func sameHyperplane(a, b line) bool {
	sgn := 1.0
	if dot(a.z, b.z) < 0 {
		sgn = -1
	}
	dist := 0.0
	for j, v := range a.z {
		e := v - sgn*b.z[j]
		dist += e * e
	}
	tol := math.Max(mergeAngle, 4*(a.err+b.err))
	return dist <= tol*tol
}

// cell is a full-dimensional cell of an arrangement: a point inside and, during
// the enumeration, the sides of the hyperplanes added so far.
type cell struct {
	w    []float64 // unit length
	side []byte    // bit-packed
}

// enumerateCells returns one cell for every sign vector of distinct lines in
// R^r.
func enumerateCells(ctx context.Context, lines []line, r, limit int) ([]cell, error) {
	switch {
	case r == 0:
		return []cell{{w: nil}}, nil
	case len(lines) == 0:
		w := make([]float64, r)
		w[0] = 1
		return []cell{{w: w}}, nil
	case r == 1:
		return []cell{{w: []float64{1}}, {w: []float64{-1}}}, nil
	case r == 2:
		return planeCells(lines, limit)
	}
	m := len(lines)
	bytes := (m + 7) / 8
	first := append([]float64(nil), lines[0].z...)
	second := append([]float64(nil), lines[0].z...)
	scale(-1, second)
	cells := []cell{{first, make([]byte, bytes)}, {second, make([]byte, bytes)}}
	cells[0].side[0] |= 1
	index := map[string]int{}
	for k := 1; k < m; k++ {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("convex: enumeration of patterns stopped after %d of %d hyperplanes: %w", k, m, err)
		}
		nb := (k + 7) / 8
		clear(index)
		for c := range cells {
			index[string(cells[c].side[:nb])] = c
		}
		// In coordinates where normal k is the last axis, the hyperplane is
		// the span of the others.
		h := newReflection(lines[k].z)
		flat := make([]line, k)
		for i := range flat {
			y := h.apply(append([]float64(nil), lines[i].z...))[:r-1]
			ny := norm2(y)
			scale(1/ny, y)
			flat[i] = line{y, (lines[i].err + lines[k].err) / ny}
		}
		distinct, of, same := mergeLines(flat)
		inside, err := enumerateCells(ctx, distinct, r-1, 0)
		if err != nil {
			return nil, err
		}
		cut := make([]bool, len(cells), len(cells)+len(inside))
		for _, in := range inside {
			w := h.apply(append(append(make([]float64, 0, r), in.w...), 0))
			side := make([]byte, bytes)
			room := 1.0 // how far to step off the hyperplane and stay in the cell
			for i := 0; i < k; i++ {
				t := dot(distinct[of[i]].z, in.w)
				if !same[i] {
					t = -t
				}
				if t > 0 {
					side[i>>3] |= 1 << (i & 7)
				}
				along := dot(lines[i].z, lines[k].z)
				off := math.Abs(t) * math.Sqrt(math.Max(0, 1-along*along))
				if along = math.Abs(along); along*room > off {
					room = off / along
				}
			}
			room /= 2
			up, down := make([]float64, r), make([]float64, r)
			for j := range up {
				up[j] = w[j] + room*lines[k].z[j]
				down[j] = w[j] - room*lines[k].z[j]
			}
			normalise(up)
			normalise(down)
			c, found := index[string(side[:nb])]
			if found {
				cells[c].w = down
				cut[c] = true
			} else {
				cells = append(cells, cell{down, append([]byte(nil), side...)})
				cut = append(cut, true)
			}
			side[k>>3] |= 1 << (k & 7)
			cells = append(cells, cell{up, side})
			cut = append(cut, true)
			if limit > 0 && len(cells) > limit {
				return nil, ErrTooManyPatterns
			}
		}
		for c := range cells {
			if !cut[c] && dot(lines[k].z, cells[c].w) > 0 {
				cells[c].side[k>>3] |= 1 << (k & 7)
			}
		}
	}
	return cells, nil
}

// planeCells are the sectors between lines through the origin of the plane.
func planeCells(lines []line, limit int) ([]cell, error) {
	angle := make([]float64, len(lines)) // of the line itself, in [0, π)
	for i, l := range lines {
		t := math.Atan2(l.z[0], -l.z[1]) // normal turned by a right angle
		if t < 0 {
			t += math.Pi
		}
		if t >= math.Pi {
			t -= math.Pi
		}
		angle[i] = t
	}
	sort.Float64s(angle)
	if limit > 0 && 2*len(angle) > limit {
		return nil, ErrTooManyPatterns
	}
	cells := make([]cell, 0, 2*len(angle))
	for i, t := range angle {
		next := angle[0] + math.Pi
		if i+1 < len(angle) {
			next = angle[i+1]
		}
		s, c := math.Sincos((t + next) / 2)
		cells = append(cells, cell{w: []float64{c, s}}, cell{w: []float64{-c, -s}})
	}
	return cells, nil
}

// reflection is the Householder matrix I - 2vv'/v'v that swaps the unit vector
// z with ± the last axis.
type reflection struct {
	v []float64
	s float64 // 2/v'v
}

func newReflection(z []float64) reflection {
	v := append([]float64(nil), z...)
	v[len(v)-1] += math.Copysign(1, z[len(z)-1])
	return reflection{v, 2 / dot(v, v)}
}

func (h reflection) apply(x []float64) []float64 {
	axpy(-h.s*dot(h.v, x), h.v, x)
	return x
}

// SamplePatterns returns up to count distinct patterns 1[Xu > 0] of normal
// random u, without the all-off pattern, which adds nothing to a network. The
// same seed gives the same patterns. There are fewer when the data have fewer:
// it gives up after 20·count + 100 draws. Complete is false.
func SamplePatterns(X mat.Matrix, count int, seed uint64) (*Patterns, error) {
	M, err := finiteMatrix("X", X)
	if err != nil {
		return nil, err
	}
	if count <= 0 {
		return nil, fmt.Errorf("convex: SamplePatterns: count is %d: want a positive number", count)
	}
	n, d := M.Dims()
	rng := rand.New(rand.NewPCG(seed, 0x636f6e766578))
	p := newPatterns(0, n)
	p.Source = "sampled"
	seen := map[string]bool{}
	var gates []float64
	const batch = 64
	U := mat.NewDense(d, batch, nil)
	S := mat.NewDense(n, batch, nil)
	row := make([]uint64, p.words)
	for tries := 0; tries < 20*count+100 && p.Len() < count; tries += batch {
		for b := 0; b < batch; b++ {
			for j := 0; j < d; j++ {
				U.Set(j, b, rng.NormFloat64())
			}
		}
		S.Mul(M, U)
		for b := 0; b < batch && p.Len() < count; b++ {
			clear(row)
			on := false
			for i := 0; i < n; i++ {
				if S.At(i, b) > 0 {
					row[i>>6] |= 1 << (uint(i) & 63)
					on = true
				}
			}
			if !on || seen[rowKey(row)] {
				continue
			}
			seen[rowKey(row)] = true
			p.bits = append(p.bits, row...)
			for j := 0; j < d; j++ {
				gates = append(gates, U.At(j, b))
			}
		}
	}
	if p.Len() == 0 {
		return nil, fmt.Errorf("convex: SamplePatterns: no direction activates any of the %d samples: every row of X is zero", n)
	}
	p.Gates = mat.DenseCopyOf(mat.NewDense(p.Len(), d, gates).T())
	return p, nil
}
