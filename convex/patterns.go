package convex

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sort"

	"gonum.org/v1/gonum/mat"
)

// Patterns are P activation patterns over n samples, bit-packed. Bit i of
// pattern p says whether a neuron with that pattern is active on sample i.
type Patterns struct {
	// Complete says that these are all the patterns 1[Xu > 0] that occur on an
	// open set of u (the all-off one may be left out, it adds nothing to a
	// network): the optimum over them is global. A problem believes it of the
	// data the patterns were enumerated for, and looks itself for other data.
	Complete bool
	// Gates, when not nil, is d×P: the patterns are those of 1[X·Gates > 0].
	// It lets a gated network predict on new data.
	Gates *mat.Dense
	// Source is "enumerated", "sampled" or "given".
	Source string

	data  *mat.Dense // the rows they are of, for Counts; nil: unknown
	cells int        // all there are, the all-off one included, when they were enumerated

	of       uint64 // fingerprint of the data they are complete for
	n, words int
	bits     []uint64 // P rows of words
	net      []seed   // a network over these patterns to start a solve from; may be nil
}

// newPatterns returns p patterns of n bits, all off.
func newPatterns(p, n int) *Patterns {
	w := (n + 63) / 64
	return &Patterns{n: n, words: w, bits: make([]uint64, p*w)}
}

// NewPatterns returns the patterns of a P×n matrix of zeros and ones, one
// pattern a row.
func NewPatterns(D mat.Matrix) (*Patterns, error) {
	if D == nil {
		return nil, fmt.Errorf("convex: NewPatterns: the matrix is nil: want P×n zeros and ones, one pattern a row")
	}
	P, n := D.Dims()
	if P == 0 || n == 0 {
		return nil, fmt.Errorf("convex: NewPatterns: the matrix is %d×%d: want P×n zeros and ones, one pattern a row", P, n)
	}
	p := newPatterns(P, n)
	p.Source = "given"
	for i := 0; i < P; i++ {
		for j := 0; j < n; j++ {
			switch v := D.At(i, j); v {
			case 0:
			case 1:
				p.set(i, j)
			default:
				return nil, fmt.Errorf("convex: NewPatterns: entry (%d,%d) is %g: a pattern is zeros and ones", i, j, v)
			}
		}
	}
	return p, nil
}

// NewPatternsBool is NewPatterns for rows of booleans.
func NewPatternsBool(rows [][]bool) (*Patterns, error) {
	if len(rows) == 0 || len(rows[0]) == 0 {
		return nil, fmt.Errorf("convex: NewPatternsBool: no patterns: want P rows of n booleans")
	}
	p := newPatterns(len(rows), len(rows[0]))
	p.Source = "given"
	for i, r := range rows {
		if len(r) != p.n {
			return nil, fmt.Errorf("convex: NewPatternsBool: row %d has %d entries but row 0 has %d", i, len(r), p.n)
		}
		for j, on := range r {
			if on {
				p.set(i, j)
			}
		}
	}
	return p, nil
}

// NewPatternsBits is NewPatterns for bit-packed rows: bit i%8 of byte i/8 of a
// row is sample i; n is the number of samples.
func NewPatternsBits(rows [][]byte, n int) (*Patterns, error) {
	if len(rows) == 0 || n <= 0 {
		return nil, fmt.Errorf("convex: NewPatternsBits: %d rows of %d bits: want at least one of each", len(rows), n)
	}
	for i, r := range rows { // before anything of n's size is made
		if want := (n-1)/8 + 1; len(r) != want {
			return nil, fmt.Errorf("convex: NewPatternsBits: row %d has %d bytes: %d samples take %d", i, len(r), n, want)
		}
	}
	p := newPatterns(len(rows), n)
	p.Source = "given"
	for i, r := range rows {
		for j := 0; j < n; j++ {
			if r[j>>3]>>(j&7)&1 != 0 {
				p.set(i, j)
			}
		}
	}
	return p, nil
}

// GatePatterns returns the patterns 1[X·G > 0] of P gate vectors, the columns
// of G (d×P), without duplicates and without the all-off pattern.
func GatePatterns(X, G mat.Matrix) (*Patterns, error) {
	M, err := finiteMatrix("X", X)
	if err != nil {
		return nil, err
	}
	Gm, err := finiteMatrix("gates", G)
	if err != nil {
		return nil, err
	}
	n, d := M.Dims()
	gd, P := Gm.Dims()
	if gd != d {
		return nil, fmt.Errorf("convex: gates are %d×%d but X is %d×%d: rows of gates must equal columns of X", gd, P, n, d)
	}
	S := mat.NewDense(n, P, nil)
	S.Mul(M, Gm)
	p := newPatterns(P, n)
	p.Source, p.Gates = "given", Gm
	for i := 0; i < n; i++ {
		for k, v := range S.RawRowView(i) {
			if v > 0 {
				p.set(k, i)
			}
		}
	}
	p = p.Distinct()
	if p.Len() == 0 {
		return nil, fmt.Errorf("convex: gates: none of the %d gates is active on any sample", P)
	}
	return p, nil
}

// Len is the number of patterns P.
func (p *Patterns) Len() int {
	if p == nil || p.words == 0 {
		return 0
	}
	return len(p.bits) / p.words
}

// Samples is the number of samples n a pattern covers.
func (p *Patterns) Samples() int {
	if p == nil {
		return 0
	}
	return p.n
}

// Words is the number of 64-bit words of a row, ⌈n/64⌉.
func (p *Patterns) Words() int { return p.words }

// Row is the bits of pattern i: bit j%64 of word j/64 is sample j. The bits
// past n are zero. It shares memory and must not be changed.
func (p *Patterns) Row(i int) []uint64 { return p.bits[i*p.words : (i+1)*p.words] }

// Bit says whether pattern i is active on sample j.
func (p *Patterns) Bit(i, j int) bool { return p.bits[i*p.words+j>>6]>>(uint(j)&63)&1 != 0 }

// Count is the number of samples on which pattern i is active.
func (p *Patterns) Count(i int) int {
	c := 0
	for _, w := range p.Row(i) {
		c += bits.OnesCount64(w)
	}
	return c
}

func (p *Patterns) set(i, j int) { p.bits[i*p.words+j>>6] |= 1 << (uint(j) & 63) }

// Dense is the patterns as a P×n matrix of zeros and ones.
func (p *Patterns) Dense() *mat.Dense {
	if p.Len() == 0 {
		return &mat.Dense{}
	}
	D := mat.NewDense(p.Len(), p.n, nil)
	for i := 0; i < p.Len(); i++ {
		for j := 0; j < p.n; j++ {
			if p.Bit(i, j) {
				D.Set(i, j, 1)
			}
		}
	}
	return D
}

// Distinct returns the patterns without duplicates and without the all-off
// pattern, in their order.
func (p *Patterns) Distinct() *Patterns {
	seen := map[string]bool{}
	var keep []int
	for i := 0; i < p.Len(); i++ {
		k := rowKey(p.Row(i))
		if p.Count(i) == 0 || seen[k] {
			continue
		}
		seen[k] = true
		keep = append(keep, i)
	}
	if len(keep) == p.Len() {
		return p
	}
	return p.Subset(keep)
}

// Subset returns the patterns of the given indices, in that order. It is not
// complete unless it only leaves out the all-off pattern or duplicates.
func (p *Patterns) Subset(idx []int) *Patterns {
	q := newPatterns(0, p.n)
	q.Source = p.Source
	for _, i := range idx {
		q.bits = append(q.bits, p.Row(i)...)
	}
	if p.Gates != nil && len(idx) > 0 {
		d, _ := p.Gates.Dims()
		q.Gates = mat.NewDense(d, len(idx), nil)
		for k, i := range idx {
			for j := 0; j < d; j++ {
				q.Gates.Set(j, k, p.Gates.At(j, i))
			}
		}
	}
	q.of = p.of
	q.Complete = p.Complete && q.covers(p)
	return q
}

// covers says whether every pattern of o but the all-off one is in p.
func (p *Patterns) covers(o *Patterns) bool {
	if p.n != o.n {
		return false
	}
	have := make(map[string]bool, p.Len())
	for i := 0; i < p.Len(); i++ {
		have[rowKey(p.Row(i))] = true
	}
	for i := 0; i < o.Len(); i++ {
		if o.Count(i) > 0 && !have[rowKey(o.Row(i))] {
			return false
		}
	}
	return true
}

// sort orders the patterns by their bits, so that the order does not depend on
// how they were found.
func (p *Patterns) sort() {
	idx := make([]int, p.Len())
	keys := make([]string, p.Len())
	for i := range idx {
		idx[i], keys[i] = i, rowKey(p.Row(i))
	}
	sort.Slice(idx, func(a, b int) bool { return keys[idx[a]] < keys[idx[b]] })
	q := p.Subset(idx)
	p.bits, p.Gates = q.bits, q.Gates
}

// rowKey is the bits of a row as a map key that sorts sample by sample.
func rowKey(row []uint64) string {
	var b bytes.Buffer
	b.Grow(8 * len(row))
	var w [8]byte
	for _, v := range row {
		binary.BigEndian.PutUint64(w[:], bits.Reverse64(v))
		b.Write(w[:])
	}
	return b.String()
}

// String is a one-line summary.
func (p *Patterns) String() string {
	if p == nil {
		return "no patterns"
	}
	how := p.Source
	if p.Complete {
		how += ", complete"
	}
	return fmt.Sprintf("%d patterns over %d samples (%s)", p.Len(), p.n, how)
}

// newBits has room for k patterns over n samples, all off.
func newBits(k, n int) [][]uint64 {
	w := (n + 63) / 64
	all := make([]uint64, k*w)
	out := make([][]uint64, k)
	for i := range out {
		out[i] = all[i*w : (i+1)*w : (i+1)*w]
	}
	return out
}

// seed is the value of one group: a pattern with a sign, and its vector.
type seed struct {
	pattern int
	sign    float64
	v       []float64
}

// startingFrom is p with a network to start a solve from, whose neurons have the
// patterns at. It leaves out the all-off pattern, which adds nothing and which is
// left out of patterns that are given: those of a saved problem or solution.
func (p *Patterns) startingFrom(net []neuron, at []int) *Patterns {
	q := p.Distinct()
	index := make(map[string]int, q.Len())
	for i := range q.Len() {
		index[rowKey(q.Row(i))] = i
	}
	for j, nr := range net {
		if i, ok := index[rowKey(p.Row(at[j]))]; ok {
			q.net = append(q.net, seed{i, nr.sign, nr.v})
		}
	}
	return q
}
