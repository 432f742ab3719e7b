package convex

import (
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// freeSpace is the space of the directions that the cones' active rows leave
// free to the active groups of a Newton step, with q coordinates in all. The rows
// of few cones change from one step to the next, and what was computed for the
// others serves again.
type freeSpace struct {
	d      int
	groups []*ssnGroup
	rows   [][]int        // active rows of every group, sorted
	at     []int          // its first coordinate; len(groups)+1 entries
	basis  blas64.General // q×d, orthonormal within a group; empty until bases
	t      blas64.General // T', q×n: A_j applied to the basis; empty until gramOf
	gram   blas64.General // T'T, q×q, lower triangle; empty until gramOf

	before *freeSpace // what to take over, until gramOf
	old    []int      // of every group: where it is in before, -1 if it is not or has other rows
}

// newFreeSpace has the space of groups as they were last projected.
func newFreeSpace(groups []*ssnGroup, d int) *freeSpace {
	f := &freeSpace{d: d, groups: groups, rows: make([][]int, len(groups)), at: make([]int, len(groups)+1), old: make([]int, len(groups))}
	for k, g := range groups {
		f.rows[k], f.old[k] = slices.Sorted(slices.Values(g.rows)), -1
		f.at[k+1] = f.at[k] + g.free(d)
	}
	return f
}

// size is q.
func (f *freeSpace) size() int { return f.at[len(f.groups)] }

// follow has f take over from before, which may be nil, what it has of the groups
// whose active rows are the same.
func (f *freeSpace) follow(before *freeSpace) {
	if before == nil {
		return
	}
	f.before = before
	where := map[*ssnGroup]int{}
	for k, g := range before.groups {
		where[g] = k
	}
	for k, g := range f.groups {
		if o, ok := where[g]; ok && slices.Equal(f.rows[k], before.rows[o]) {
			f.old[k] = o
		}
	}
}

// fresh is how many coordinates are not those of the space before.
func (f *freeSpace) fresh() int {
	n := 0
	for k, o := range f.old {
		if o < 0 {
			n += f.at[k+1] - f.at[k]
		}
	}
	return n
}

// known says that the space before has the Gram matrix.
func (f *freeSpace) known() bool { return f.before != nil && f.before.gram.Rows > 0 }

// bases returns the orthonormal rows of all groups, q×d.
func (f *freeSpace) bases() blas64.General {
	if f.basis.Rows == f.size() {
		return f.basis
	}
	d := f.d
	f.basis = newGeneral(f.size(), d)
	tasks(len(f.groups), func(k int) {
		own := f.basis.Data[f.at[k]*d : f.at[k+1]*d]
		switch o, basis := f.old[k], f.groups[k].basis; {
		case o >= 0 && f.known(): // others span the same, but this one the Gram matrix is of
			copy(own, f.before.basis.Data[f.before.at[o]*d:])
		case len(basis) == d*d:
			copy(own, basis[d*d-len(own):])
		default:
			whole := make([]float64, d*d)
			copy(whole, basis)
			complete(whole, d-len(own)/d, d)
			copy(own, whole[d*d-len(own):])
		}
	})
	return f.basis
}

// unit has the coordinates of the unit vector of a group.
func (f *freeSpace) unit(k int) []float64 {
	u, g := make([]float64, f.at[k+1]-f.at[k]), f.groups[k]
	dots(u, f.bases().Data[f.at[k]*f.d:], f.d, g.proj)
	scale(1/g.norm, u)
	return u
}

// freeBlock is how many samples rowsOf works on at a time.
const freeBlock = 128

// rowsOf returns the rows of T', times weights of the samples, for the groups
// from one up to another.
func (s *ssn) rowsOf(f *freeSpace, from, to int, weights []float64) blas64.General {
	n, d := s.model.samples, s.model.d
	lo, q := f.at[from], f.at[to]-f.at[from]
	t := newGeneral(q, n)
	if q == 0 {
		return t
	}
	basis := blas64.General{Rows: q, Cols: d, Stride: d, Data: f.bases().Data[lo*d:]}
	tasks((n+freeBlock-1)/freeBlock, func(b int) {
		if s.halted() {
			return
		}
		first, last := b*freeBlock, min((b+1)*freeBlock, n)
		buf, factor := getBlock(q*(last-first)), make([]float64, last-first)
		defer blockPool.Put(buf)
		out := blas64.General{Rows: q, Cols: len(factor), Stride: len(factor), Data: *buf}
		for patch := 0; patch < s.model.n; patch += n {
			blas64.Gemm(blas.NoTrans, blas.Trans, 1, basis, s.model.rows(patch+first, patch+last), 0, out)
			for k, g := range f.groups[from:to] {
				s.model.factors(factor, g.bits, patch+first)
				for i, w := range weights[first:last] {
					factor[i] *= g.sign * w
				}
				for r := f.at[from+k] - lo; r < f.at[from+k+1]-lo; r++ {
					addProducts(t.Data[r*n+first:][:len(factor)], out.Data[r*out.Stride:], factor)
				}
			}
		}
	})
	return t
}

// gramOf computes T' and T'T; false when that was ended early.
func (f *freeSpace) gramOf(s *ssn) bool {
	q, n := f.size(), s.model.samples
	if f.gram.Rows == q && q > 0 {
		return true
	}
	ones := make([]float64, n)
	for i := range ones {
		ones[i] = 1
	}
	f.bases()
	gram := newGeneral(q, q)
	if !f.known() || 2*f.fresh() > q {
		f.t = s.rowsOf(f, 0, len(f.groups), ones)
		syrkLowerUntil(1, f.t, 0, gram, s.halt)
	} else {
		f.t = newGeneral(q, n)
		f.takeOver(s, gram, ones)
	}
	f.before = nil
	if s.halted() {
		return false
	}
	f.gram = gram
	return true
}

// takeOver fills T' and gram from those before and, for the groups that are not
// there, anew.
func (f *freeSpace) takeOver(s *ssn, gram blas64.General, ones []float64) {
	q, n, b := f.size(), s.model.samples, f.before
	var fresh []*ssnGroup
	var rows []int // where the coordinates of the fresh groups are
	isFresh := make([]bool, q)
	for k, o := range f.old {
		if o < 0 {
			fresh = append(fresh, f.groups[k])
			for r := f.at[k]; r < f.at[k+1]; r++ {
				rows = append(rows, r)
				isFresh[r] = true
			}
		}
	}
	tasks(len(f.groups), func(k int) {
		o := f.old[k]
		if o < 0 {
			return
		}
		copy(f.t.Data[f.at[k]*n:f.at[k+1]*n], b.t.Data[b.at[o]*n:])
		for r := range f.at[k+1] - f.at[k] {
			row := gram.Data[(f.at[k]+r)*q:]
			for j, p := range f.old[:k+1] {
				if p < 0 {
					continue
				}
				dst := row[f.at[j]:f.at[j+1]]
				if p <= o {
					copy(dst, b.gram.Data[(b.at[o]+r)*b.gram.Stride+b.at[p]:])
					continue
				}
				for c := range dst {
					dst[c] = b.gram.Data[(b.at[p]+c)*b.gram.Stride+b.at[o]+r]
				}
			}
		}
	})
	if len(rows) == 0 {
		return
	}
	part := newFreeSpace(fresh, f.d)
	t := s.rowsOf(part, 0, len(fresh), ones)
	for i, r := range rows {
		copy(f.t.Data[r*n:][:n], t.Data[i*n:])
	}
	tasks((q+syrkBlock-1)/syrkBlock, func(b int) {
		if s.halted() {
			return
		}
		lo := b * syrkBlock
		hi := min(lo+syrkBlock, q)
		out := newGeneral(hi-lo, len(rows))
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, blas64.General{Rows: hi - lo, Cols: n, Stride: n, Data: f.t.Data[lo*n:]}, t, 0, out)
		for i := lo; i < hi; i++ {
			for j, r := range rows {
				v := out.Data[(i-lo)*out.Stride+j]
				if r <= i {
					gram.Data[i*q+r] = v
				} else if !isFresh[i] { // of two fresh ones the later has it
					gram.Data[r*q+i] = v
				}
			}
		}
	})
}

// uniform says that all entries are the same.
func uniform(x []float64) bool {
	for _, v := range x {
		if v != x[0] {
			return false
		}
	}
	return true
}
