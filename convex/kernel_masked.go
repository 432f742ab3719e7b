package convex

import (
	"math"
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
	kernel lookupKernel[float64]
	// single has the lookup kernel compute in float32, at half the memory
	// traffic and twice the numbers a register, for who checks in float64 what
	// comes of it. Matrix products stay in float64.
	single   bool
	kernel32 lookupKernel[float32]

	// x with rows of a multiple of 64 bytes, for the lookup kernel: x itself where
	// it has such rows already, else a copy made when first needed.
	padOnce, padOnce32 sync.Once
	padded             []float64
	padded32           []float32
}

func newMaskedData(x *mat.Dense) *maskedData {
	raw := x.RawMatrix()
	m := &maskedData{n: raw.Rows, d: raw.Cols, x: raw, kernel: lookups[len(lookups)-1], kernel32: lookups32[len(lookups32)-1]}
	m.lookup = preferLookup(m.d)
	return m
}

// preferLookup is the measured rule (BenchmarkMasked). In vector assembly sums
// from tables are 1.5 to 4 times faster than products by OpenBLAS, at any
// width. The portable tables are 3 to 5 times faster than gonum's own Go BLAS;
// against OpenBLAS they win 1.3 to 2 times up to some tens of columns and lose
// beyond. Below 4 columns a table row is too short to pay.
func preferLookup(d int) bool {
	return d >= 4 && (d <= 32 || len(lookups) > 1 || nativeBLAS())
}

// nativeBLAS reports whether blas64 runs on gonum's own Go code.
func nativeBLAS() bool {
	_, ok := blas64.Implementation().(gonum.Implementation)
	return ok
}

// pad returns x with rows of dp numbers.
func (m *maskedData) pad() (x []float64, dp int) {
	dp = roundUp(m.d, lanes[float64]())
	m.padOnce.Do(func() {
		if m.x.Stride == dp {
			m.padded = m.x.Data
			return
		}
		m.padded = paddedRows[float64](m.x, dp)
	})
	return m.padded, dp
}

// pad32 is pad in float32.
func (m *maskedData) pad32() (x []float32, dp int) {
	dp = roundUp(m.d, lanes[float32]())
	m.padOnce32.Do(func() { m.padded32 = paddedRows[float32](m.x, dp) })
	return m.padded32, dp
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

func paddedRows[T precision](x blas64.General, dp int) []T {
	out := make([]T, x.Rows*dp)
	parallel(x.Rows, 64, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			convert(out[i*dp:], x.Data[i*x.Stride:][:x.Cols])
		}
	})
	return out
}

// convert copies src to dst in dst's precision.
func convert[T, S precision](dst []T, src []S) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = T(v)
	}
}

const (
	gemmRows   = 256 // rows of X in a block of the matrix-product kernel
	tableRows  = 32  // rows (or patterns) in a block of the lookup kernel
	lookupRows = 512 // rows of X that the forward lookup goes through at once
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

// patternSet is a list of patterns that several products share: what the
// lookup kernel needs of them is computed once.
type patternSet struct {
	bits       [][]uint64
	rows, cols []uint32
}

func (p *patternSet) rowWords(n int) []uint32 {
	if p.rows == nil {
		p.rows = rowWords(p.bits, n)
	}
	return p.rows
}

func (p *patternSet) columnWords(n int) []uint32 {
	if p.cols == nil {
		p.cols = columnWords(p.bits, n)
	}
	return p.cols
}

// adjoint sets row p of g (len(pats)×d) to X'(D_p r).
func (m *maskedData) adjoint(g, r []float64, pats [][]uint64) {
	m.adjointSet(g, r, &patternSet{bits: pats})
}

// forward sets f to the sum of D_p X v_p over the patterns, v_p being row p of
// v (len(pats)×d).
func (m *maskedData) forward(f, v []float64, pats [][]uint64) {
	m.forwardSet(f, v, &patternSet{bits: pats})
}

func (m *maskedData) adjointSet(g, r []float64, set *patternSet) { m.adjointOutputs(g, r, set, 1) }

// adjointOutputs is adjointSet for c vectors r, one after the other, and as
// many results.
func (m *maskedData) adjointOutputs(g, r []float64, set *patternSet, c int) {
	pats := set.bits
	if m.lookup && len(pats) > 0 {
		words := set.rowWords(m.n)
		if !m.single {
			x, dp := m.pad()
			wordProducts[float64]{m.n, m.d, dp, x, m.kernel, ones[:]}.adjoint(g, r, words, len(pats), c)
			return
		}
		x, dp := m.pad32()
		in, out := single(r[:c*m.n]), single(g[:c*len(pats)*m.d])
		defer blockPool.Put(in.block)
		defer blockPool.Put(out.block)
		wordProducts[float32]{m.n, m.d, dp, x, m.kernel32, ones32[:]}.adjoint(out.v, in.v, words, len(pats), c)
		convert(g, out.v)
		return
	}
	if c > 1 {
		for o := range c {
			m.adjointOutputs(g[o*len(pats)*m.d:], r[o*m.n:][:m.n], set, 1)
		}
		return
	}
	g = g[:len(pats)*m.d]
	clear(g)
	grain := 1 + 200_000/(2*m.n*m.d+1)
	parallel(len(pats), grain, func(lo, hi int) {
		// at most 256 patterns at once bounds the masked block to half a MiB
		for ; lo < hi; lo += 256 {
			end := min(lo+256, hi)
			m.adjointGemm(g[lo*m.d:end*m.d], r, pats[lo:end])
		}
	})
}

func (m *maskedData) forwardSet(f, v []float64, set *patternSet) { m.forwardOutputs(f, v, set, 1) }

// forwardOutputs is forwardSet for c lists of vectors v, one after the other,
// and as many results.
func (m *maskedData) forwardOutputs(f, v []float64, set *patternSet, c int) {
	pats := set.bits
	if m.lookup && len(pats) > 0 {
		words := set.columnWords(m.n)
		if !m.single {
			x, dp := m.pad()
			wordProducts[float64]{m.n, m.d, dp, x, m.kernel, ones[:]}.forward(f, v, words, len(pats), c)
			return
		}
		x, dp := m.pad32()
		in, out := single(v[:c*len(pats)*m.d]), single(f[:c*m.n])
		defer blockPool.Put(in.block)
		defer blockPool.Put(out.block)
		wordProducts[float32]{m.n, m.d, dp, x, m.kernel32, ones32[:]}.forward(out.v, in.v, words, len(pats), c)
		convert(f, out.v)
		return
	}
	if c > 1 {
		for o := range c {
			m.forwardOutputs(f[o*m.n:][:m.n], v[o*len(pats)*m.d:], set, 1)
		}
		return
	}
	clear(f[:m.n])
	if len(pats) == 0 {
		return
	}
	parallel(m.n, 64, func(lo, hi int) {
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
