package convex

import (
	"math"
	"math/bits"
	"runtime"
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/blas/gonum"
	"gonum.org/v1/gonum/mat"
)

// maskedData is the data matrix seen through bit-packed activation patterns.
// It computes the two products every solver of masked models lives on,
//
//	forward: f = sum_p D_p X v_p      adjoint: g_p = X'(D_p r),
//
// for any list of patterns without ever holding an n×P×d (or n×P) array: work
// goes block by block over rows, blocks or patterns spread over goroutines.
// Bit i&63 of word i>>6 of a pattern is sample i.
type maskedData struct {
	n, d int
	x    blas64.General
	// lookup selects the subset-sum kernel instead of matrix products.
	lookup bool
}

func newMaskedData(x *mat.Dense) *maskedData {
	raw := x.RawMatrix()
	m := &maskedData{n: raw.Rows, d: raw.Cols, x: raw}
	m.lookup = preferLookup(m.d)
	return m
}

// preferLookup is the measured rule (BenchmarkMasked): against gonum's own Go
// BLAS sums from tables are 3 to 5 times faster than products; against OpenBLAS
// they win 1.3 to 2 times up to some tens of columns and lose beyond. Below 4
// columns a table row is too short to pay.
func preferLookup(d int) bool { return d >= 4 && (d <= 32 || nativeBLAS()) }

// nativeBLAS reports whether blas64 runs on gonum's own Go code.
func nativeBLAS() bool {
	_, ok := blas64.Implementation().(gonum.Implementation)
	return ok
}

const (
	gemmRows  = 256 // rows of X in a block of the matrix-product kernel
	tableRows = 32  // rows (or patterns) in a block of the lookup kernel
)

// blockPool recycles the blocks' scratch space.
var blockPool = sync.Pool{New: func() any { return new([]float64) }}

func getBlock(n int) *[]float64 {
	b := blockPool.Get().(*[]float64)
	if cap(*b) < n {
		*b = make([]float64, n)
	}
	*b = (*b)[:n]
	return b
}

// parallel splits 0..n into at most GOMAXPROCS ranges of at least grain
// elements, aligned to it, and runs f on each.
func parallel(n, grain int, f func(lo, hi int)) {
	workers := min(runtime.GOMAXPROCS(0), (n+grain-1)/max(grain, 1))
	if workers <= 1 {
		if n > 0 {
			f(0, n)
		}
		return
	}
	chunk := ((n+workers-1)/workers + grain - 1) / grain * grain
	var wg sync.WaitGroup
	for lo := 0; lo < n; lo += chunk {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f(lo, min(lo+chunk, n))
		}()
	}
	wg.Wait()
}

// adjoint sets row p of g (len(pats)×d) to X'(D_p r).
func (m *maskedData) adjoint(g, r []float64, pats [][]uint64) {
	g = g[:len(pats)*m.d]
	clear(g)
	if len(pats) == 0 {
		return
	}
	grain := 1 + 200_000/(2*m.n*m.d+1)
	if m.lookup {
		parallel(len(pats), grain, func(lo, hi int) { m.adjointTables(g[lo*m.d:hi*m.d], r, pats[lo:hi]) })
		return
	}
	parallel(len(pats), grain, func(lo, hi int) {
		// at most 256 patterns at once bounds the masked block to half a MiB
		for ; lo < hi; lo += 256 {
			end := min(lo+256, hi)
			m.adjointGemm(g[lo*m.d:end*m.d], r, pats[lo:end])
		}
	})
}

// forward sets f to the sum of D_p X v_p over the patterns, v_p being row p of
// v (len(pats)×d).
func (m *maskedData) forward(f, v []float64, pats [][]uint64) {
	clear(f[:m.n])
	if len(pats) == 0 {
		return
	}
	parallel(m.n, 64, func(lo, hi int) {
		if m.lookup {
			m.forwardTables(f, v, pats, lo, hi)
			return
		}
		for p := 0; p < len(pats); p += 256 {
			end := min(p+256, len(pats))
			m.forwardGemm(f, v[p*m.d:end*m.d], pats[p:end], lo, hi)
		}
	})
}

func (m *maskedData) rows(lo, hi int) blas64.General {
	return blas64.General{Rows: hi - lo, Cols: m.d, Stride: m.x.Stride, Data: m.x.Data[lo*m.x.Stride:]}
}

func (m *maskedData) adjointGemm(g, r []float64, pats [][]uint64) {
	buf := getBlock(len(pats) * gemmRows)
	defer blockPool.Put(buf)
	out := blas64.General{Rows: len(pats), Cols: m.d, Stride: m.d, Data: g}
	for lo := 0; lo < m.n; lo += gemmRows {
		hi := min(lo+gemmRows, m.n)
		for p, pat := range pats {
			maskInto((*buf)[p*gemmRows:p*gemmRows+hi-lo], r[lo:hi], pat[lo>>6:])
		}
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1,
			blas64.General{Rows: len(pats), Cols: hi - lo, Stride: gemmRows, Data: *buf}, m.rows(lo, hi), 1, out)
	}
}

func (m *maskedData) forwardGemm(f, v []float64, pats [][]uint64, from, to int) {
	buf := getBlock(len(pats) * gemmRows)
	defer blockPool.Put(buf)
	vg := blas64.General{Rows: len(pats), Cols: m.d, Stride: m.d, Data: v}
	for lo := from; lo < to; lo += gemmRows {
		hi := min(lo+gemmRows, to)
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, vg, m.rows(lo, hi), 0,
			blas64.General{Rows: len(pats), Cols: hi - lo, Stride: gemmRows, Data: *buf})
		for p, pat := range pats {
			addMasked(f[lo:hi], (*buf)[p*gemmRows:], pat[lo>>6:])
		}
	}
}

// maskInto sets dst to src where the pattern has a one and to zero elsewhere.
func maskInto(dst, src []float64, pat []uint64) {
	src = src[:len(dst)]
	for w := 0; w*64 < len(dst); w++ {
		word, d := pat[w], dst[w*64:min(w*64+64, len(dst))]
		s := src[w*64:][:len(d)]
		for i := range d {
			d[i] = math.Float64frombits(math.Float64bits(s[i]) & -(word & 1))
			word >>= 1
		}
	}
}

// addMasked adds src to dst where the pattern has a one.
func addMasked(dst, src []float64, pat []uint64) {
	src = src[:len(dst)]
	for w := 0; w*64 < len(dst); w++ {
		word, d := pat[w], dst[w*64:min(w*64+64, len(dst))]
		s := src[w*64:][:len(d)]
		for i := range d {
			d[i] += math.Float64frombits(math.Float64bits(s[i]) & -(word & 1))
			word >>= 1
		}
	}
}

// The lookup kernel ("Four Russians"): the rows of a block are cut in fours
// and the 16 subset sums of each four tabled; every pattern then adds eight
// table rows for 32 rows of X, picked by its nibbles. No multiplication, no
// mask and no n×P array are left, and the cost is a quarter of the additions.

// buildTables fills tab (8×16×d) with the subset sums of the 32 rows of y.
func buildTables(tab, y []float64, d int) {
	for j := 0; j < tableRows/4; j++ {
		t := tab[j*16*d : (j+1)*16*d]
		clear(t[:d])
		for s := 1; s < 16; s++ {
			row := y[(4*j+bits.TrailingZeros(uint(s)))*d:][:d]
			prev := t[(s&(s-1))*d:][:d]
			dst := t[s*d:][:d]
			for k, v := range row {
				dst[k] = prev[k] + v
			}
		}
	}
}

func (m *maskedData) adjointTables(g, r []float64, pats [][]uint64) {
	d := m.d
	buf := getBlock((tableRows + tableRows/4*16) * d)
	defer blockPool.Put(buf)
	y, tab := (*buf)[:tableRows*d], (*buf)[tableRows*d:]
	for lo := 0; lo < m.n; lo += tableRows {
		hi := min(lo+tableRows, m.n)
		for i := lo; i < hi; i++ {
			ri, dst := r[i], y[(i-lo)*d:][:d]
			for k, v := range m.x.Data[i*m.x.Stride:][:d] {
				dst[k] = ri * v
			}
		}
		clear(y[(hi-lo)*d:])
		buildTables(tab, y, d)
		for p, pat := range pats {
			if w := uint32(pat[lo>>6] >> (uint(lo) & 63)); w != 0 {
				addRows(g[p*d:][:d], tab, w)
			}
		}
	}
}

func (m *maskedData) forwardTables(f, v []float64, pats [][]uint64, from, to int) {
	d := m.d
	buf := getBlock((tableRows + tableRows/4*16 + 1) * d)
	defer blockPool.Put(buf)
	y, tab, sum := (*buf)[:tableRows*d], (*buf)[tableRows*d:][:tableRows/4*16*d], (*buf)[len(*buf)-d:]
	var words [64]uint64
	for lo := 0; lo < len(pats); lo += tableRows {
		hi := min(lo+tableRows, len(pats))
		copy(y, v[lo*d:hi*d])
		clear(y[(hi-lo)*d:])
		buildTables(tab, y, d)
		for i := from; i < to; i += 64 {
			clear(words[:])
			for p := lo; p < hi; p++ {
				words[p-lo] = pats[p][i>>6]
			}
			transpose64(&words)
			for k := i; k < min(i+64, to); k++ {
				if w := uint32(words[k-i]); w != 0 {
					clear(sum)
					addRows(sum, tab, w)
					f[k] += dot(m.x.Data[k*m.x.Stride:][:d], sum)
				}
			}
		}
	}
}

// addRows adds the eight table rows picked by the nibbles of w to dst.
func addRows(dst, tab []float64, w uint32) {
	d := len(dst)
	row := func(j int) []float64 { return tab[(j*16+int(w>>(4*j)&15))*d:][:d] }
	t0, t1, t2, t3 := row(0), row(1), row(2), row(3)
	t4, t5, t6, t7 := row(4), row(5), row(6), row(7)
	for k := range dst {
		dst[k] += ((t0[k] + t1[k]) + (t2[k] + t3[k])) + ((t4[k] + t5[k]) + (t6[k] + t7[k]))
	}
}

// transpose64 transposes a 64×64 bit matrix, bit j of word i being entry (i,j).
func transpose64(a *[64]uint64) {
	m := uint64(0x00000000FFFFFFFF)
	for j := uint(32); j != 0; j >>= 1 {
		for k := uint(0); k < 64; k = (k + j + 1) &^ j {
			t := (a[k]>>j ^ a[k+j]) & m
			a[k] ^= t << j
			a[k+j] ^= t
		}
		m ^= m << (j >> 1)
	}
}
