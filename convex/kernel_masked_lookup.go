package convex

import (
	"math/bits"
	"runtime"
	"unsafe"
)

// The lookup kernel ("Four Russians"): 32 rows are cut in fours and the 16
// subset sums of each four tabled; a 32-bit word of a pattern then picks one
// row of each of the eight tables by its nibbles. No multiplication, no mask
// and no n×P array are left, and the additions are a quarter. Columns come in
// units of 64 bytes and chunks of up to four units, whose tables fit in the
// first cache.

// precision is what the kernel computes in.
type precision interface{ float32 | float64 }

// lanes is the number of columns in a unit.
func lanes[T precision]() int {
	var v T
	return 64 / int(unsafe.Sizeof(v))
}

// tableWidth is the number of columns in the widest chunk.
func tableWidth[T precision]() int { return 4 * lanes[T]() }

// as is a block as numbers of another size.
func as[T precision](block []float64) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(block))), len(block)*lanes[T]()/lanes[float64]())
}

// inSingle is a vector in float32 and the block that it lies in.
type inSingle struct {
	v     []float32
	block *[]float64
}

func single(v []float64) inSingle {
	b := getBlock((len(v) + 1) / 2)
	s := inSingle{as[float32](*b)[:len(v)], b}
	convert(s.v, v)
	return s
}

// lookupKernel is one implementation. units is the width of a chunk, 1 to 4;
// strides are in numbers.
type lookupKernel[T precision] struct {
	name string
	// build fills the eight tables of 32 rows of x times the entries of r.
	build func(tab, x []T, stride int, r []T, units int)
	// adjoint adds to row p of g the eight rows that word p picks.
	adjoint func(g []T, stride int, tab []T, units int, words []uint32)
	// forward adds to f_i the product of row i of x with the sum of the eight
	// rows that word i picks.
	forward func(f, x []T, stride int, tab []T, units int, words []uint32)
}

func portableLookup[T precision]() lookupKernel[T] {
	return lookupKernel[T]{name: "go", build: buildTables[T], adjoint: adjointTables[T], forward: forwardTables[T]}
}

// The kernels that this processor runs, the fastest last.
var (
	lookups   = []lookupKernel[float64]{portableLookup[float64]()}
	lookups32 = []lookupKernel[float32]{portableLookup[float32]()}
)

var ones, ones32 = allOnes[float64](), allOnes[float32]()

func allOnes[T precision]() (r [tableRows]T) {
	for i := range r {
		r[i] = 1
	}
	return r
}

// tableStride is the distance of two rows of a table: a power of two.
func tableStride[T precision](units int) int {
	if units == 3 {
		units = 4
	}
	return lanes[T]() * units
}

func buildTables[T precision](tab, x []T, stride int, r []T, units int) {
	w, row := lanes[T]()*units, tableStride[T](units)
	var y [4][64]T
	for j := 0; j < 8; j++ {
		for i := range y {
			ri, src := r[4*j+i], x[(4*j+i)*stride:][:w]
			for k, v := range src {
				y[i][k] = ri * v
			}
		}
		t := tab[j*16*row:][:16*row]
		clear(t[:w])
		for s := 1; s < 16; s++ {
			add, prev, dst := y[bits.TrailingZeros(uint(s))][:w], t[(s&(s-1))*row:][:w], t[s*row:][:w]
			for k, v := range add {
				dst[k] = prev[k] + v
			}
		}
	}
}

// pick adds to dst the eight rows that w picks, one after the other.
func pick[T precision](dst, tab []T, row int, w uint32) {
	at := func(j int) []T { return tab[(j*16+int(w>>(4*j)&15))*row:][:len(dst)] }
	t0, t1, t2, t3 := at(0), at(1), at(2), at(3)
	t4, t5, t6, t7 := at(4), at(5), at(6), at(7)
	for k, v := range dst {
		dst[k] = v + t0[k] + t1[k] + t2[k] + t3[k] + t4[k] + t5[k] + t6[k] + t7[k]
	}
}

func adjointTables[T precision](g []T, stride int, tab []T, units int, words []uint32) {
	for p, w := range words {
		if w != 0 {
			pick(g[p*stride:][:lanes[T]()*units], tab, tableStride[T](units), w)
		}
	}
}

func forwardTables[T precision](f, x []T, stride int, tab []T, units int, words []uint32) {
	var sum [64]T
	lane := lanes[T]()
	for i, w := range words {
		if w == 0 {
			continue
		}
		s := sum[:lane*units]
		clear(s)
		pick(s, tab, tableStride[T](units), w)
		xi := x[i*stride:][:lane*units]
		for k, v := range xi {
			s[k] *= v
		}
		// by lanes, then halves, then neighbours, as vector registers do
		for k := lane; k < len(s); k++ {
			s[k%lane] += s[k]
		}
		for half := lane / 2; half >= lane/4; half /= 2 {
			for k := range half {
				s[k] += s[half+k]
			}
		}
		v := s[0] + s[1]
		if lane == 16 {
			v += s[2] + s[3]
		}
		f[i] += v
	}
}

// wordProducts are the products of maskedData by the lookup kernel, in one
// precision.
type wordProducts[T precision] struct {
	n, d, dp int // dp is d rounded up to whole units
	x        []T // n×dp
	kernel   lookupKernel[T]
	ones     []T
}

// columnChunk is a range of columns, in units.
type columnChunk struct{ at, units int }

// columnChunks cuts the columns in equal chunks of at most four units, at
// least as many as asked for where there are columns enough.
func (m wordProducts[T]) columnChunks(want int) []columnChunk {
	unit := lanes[T]()
	units := m.dp / unit
	count := max((units+3)/4, min(want, units))
	if want > 1 {
		count = min((count+want-1)/want*want, units) // whole rounds for the workers
	}
	out := make([]columnChunk, count)
	for i := range out {
		lo, hi := i*units/count, (i+1)*units/count
		out[i] = columnChunk{unit * lo, hi - lo}
	}
	return out
}

// resultRoom is how many numbers of the result are worked on at a time.
const resultRoom = 32 << 10

// small is the number of table additions below which a product is not worth
// a second goroutine.
const small = 20_000

func (m wordProducts[T]) workers(k int) int {
	if m.n*k*(m.dp/lanes[T]())/4 < small {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// adjoint is adjointOutputs for k patterns cut by rowWords. A block of X is read
// once for all outputs.
func (m wordProducts[T]) adjoint(g, r []T, words []uint32, k, c int) {
	x, dp := m.x, m.dp
	width := tableWidth[T]()
	out := g
	if m.d != dp {
		buf := getBlock(c * k * dp)
		defer blockPool.Put(buf)
		out = as[T](*buf)
	}
	out = out[:c*k*dp]
	clear(out)
	workers := m.workers(c * k)
	chunks := m.columnChunks(workers)
	// Where there are too few columns to go round, patterns are split too, at
	// the price of tables built twice.
	parts := 1
	if len(chunks) < workers {
		parts = min((workers+len(chunks)-1)/len(chunks), (k+31)/32)
	}
	// Chunks that stand side by side go through the rows together, which reads
	// whole rows, as far as their results fit in the second cache.
	groups := max(min(workers, len(chunks)), roundUp(len(chunks)*c*k*width, resultRoom)/resultRoom)
	groups = min(groups, len(chunks))
	run := func(i int) {
		group := chunks[i/parts*len(chunks)/groups : (i/parts+1)*len(chunks)/groups]
		lo, hi := i%parts*k/parts, (i%parts+1)*k/parts
		if lo == hi {
			return
		}
		buf := getBlock(8*16*width + tableRows*(width+1))
		defer blockPool.Put(buf)
		all := as[T](*buf)
		tab, rows, scale := all[:8*16*width], all[8*16*width:][:tableRows*width], all[(8*16+tableRows)*width:][:tableRows]
		for b := 0; b*tableRows < m.n; b++ {
			at := b * tableRows
			for _, cols := range group {
				if at+tableRows > m.n { // the last rows, filled up with zeros
					clear(rows)
					clear(scale)
					for i := at; i < m.n; i++ {
						copy(rows[(i-at)*width:], x[i*dp+cols.at:][:lanes[T]()*cols.units])
					}
				}
				for o := range c {
					ro := r[o*m.n:][:m.n]
					if at+tableRows <= m.n {
						m.kernel.build(tab, x[at*dp+cols.at:], dp, ro[at:at+tableRows], cols.units)
					} else {
						copy(scale, ro[at:])
						m.kernel.build(tab, rows, width, scale, cols.units)
					}
					m.kernel.adjoint(out[(o*k+lo)*dp+cols.at:], dp, tab, cols.units, words[b*k+lo:b*k+hi])
				}
			}
		}
	}
	if workers == 1 {
		for i := range groups {
			run(i)
		}
	} else {
		tasks(groups*parts, run)
	}
	if m.d != dp {
		for p := range c * k {
			copy(g[p*m.d:][:m.d], out[p*dp:])
		}
	}
}

// forward is forwardOutputs for k patterns cut by columnWords. A block of X is
// read once for all outputs.
func (m wordProducts[T]) forward(f, v []T, words []uint32, k, c int) {
	x, dp := m.x, m.dp
	blocks := (k + tableRows - 1) / tableRows
	each := blocks * tableRows * dp // numbers an output
	vb := getBlock(c * each)
	defer blockPool.Put(vb)
	rows := as[T](*vb)
	for o := range c {
		ro, vo := rows[o*each:][:each], v[o*k*m.d:][:k*m.d]
		if m.d == dp {
			copy(ro, vo)
		} else {
			for p := range k {
				dst := ro[p*dp:][:dp]
				copy(dst, vo[p*m.d:][:m.d])
				clear(dst[m.d:])
			}
		}
		clear(ro[k*dp:])
	}
	clear(f[:c*m.n])
	chunks := m.columnChunks(1)
	workers := m.workers(c * k)
	tile := min(lookupRows, (m.n+workers-1)/workers)
	run := func(i int) {
		lo := i * tile
		hi := min(lo+tile, m.n)
		buf := getBlock(8 * 16 * tableWidth[T]())
		defer blockPool.Put(buf)
		tab := as[T](*buf)
		for _, cols := range chunks {
			for b := range blocks {
				for o := range c {
					m.kernel.build(tab, rows[o*each+b*tableRows*dp+cols.at:], dp, m.ones, cols.units)
					m.kernel.forward(f[o*m.n+lo:o*m.n+hi], x[lo*dp+cols.at:], dp, tab, cols.units, words[b*m.n+lo:b*m.n+hi])
				}
			}
		}
	}
	n := (m.n + tile - 1) / tile
	if workers == 1 {
		for i := range n {
			run(i)
		}
	} else {
		tasks(n, run)
	}
}

// rowWords cuts patterns over n samples in words of 32 samples: word b·k+p
// belongs to block b of samples and pattern p.
func rowWords(pats [][]uint64, n int) []uint32 {
	k, blocks := len(pats), (n+31)/32
	words := make([]uint32, blocks*k)
	for p, pat := range pats {
		for b := 0; b < blocks; b++ {
			words[b*k+p] = uint32(pat[b>>1] >> (32 * uint(b&1)))
		}
	}
	return words
}

// columnWords is the transpose: word b·n+i holds block b of 32 patterns on
// sample i.
func columnWords(pats [][]uint64, n int) []uint32 {
	blocks := (len(pats) + 31) / 32
	words := make([]uint32, blocks*n)
	parallel(n, 512, func(from, to int) {
		var tile [64]uint64
		for p := 0; p < len(pats); p += 64 {
			for i := from; i < to; i += 64 {
				clear(tile[:])
				for q := p; q < min(p+64, len(pats)); q++ {
					tile[q-p] = pats[q][i>>6]
				}
				transpose64(&tile)
				low := words[p/32*n:][i:min(i+64, to)]
				for j := range low {
					low[j] = uint32(tile[j])
				}
				if p+32 < len(pats) {
					high := words[(p/32+1)*n:][i:min(i+64, to)]
					for j := range high {
						high[j] = uint32(tile[j] >> 32)
					}
				}
			}
		}
	})
	return words
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
