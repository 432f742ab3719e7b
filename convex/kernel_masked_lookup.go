package convex

import "math/bits"

// The lookup kernel ("Four Russians"): 32 rows are cut in fours and the 16
// subset sums of each four tabled; a 32-bit word of a pattern then picks one
// row of each of the eight tables by its nibbles. No multiplication, no mask
// and no n×P array are left, and the additions are a quarter. Columns come in
// chunks of up to 32, whose tables fit in the first cache.

// lookupKernel is one implementation. units is the width of a chunk in eights
// of columns, 1 to 4; strides are in numbers.
type lookupKernel struct {
	name string
	// build fills the eight tables of 32 rows of x times the entries of r.
	build func(tab, x []float64, stride int, r []float64, units int)
	// adjoint adds to row p of g the eight rows that word p picks.
	adjoint func(g []float64, stride int, tab []float64, units int, words []uint32)
	// forward adds to f_i the product of row i of x with the sum of the eight
	// rows that word i picks.
	forward func(f, x []float64, stride int, tab []float64, units int, words []uint32)
}

// lookups are the kernels that this processor runs, the fastest last.
var lookups = []lookupKernel{{name: "go", build: buildTables, adjoint: adjointTables, forward: forwardTables}}

func fastestLookup() lookupKernel { return lookups[len(lookups)-1] }

// tableStride is the distance of two rows of a table: a power of two.
func tableStride(units int) int {
	if units == 3 {
		return 32
	}
	return 8 * units
}

func buildTables(tab, x []float64, stride int, r []float64, units int) {
	w, row := 8*units, tableStride(units)
	var y [4][32]float64
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
func pick(dst, tab []float64, row int, w uint32) {
	at := func(j int) []float64 { return tab[(j*16+int(w>>(4*j)&15))*row:][:len(dst)] }
	t0, t1, t2, t3 := at(0), at(1), at(2), at(3)
	t4, t5, t6, t7 := at(4), at(5), at(6), at(7)
	for k, v := range dst {
		dst[k] = v + t0[k] + t1[k] + t2[k] + t3[k] + t4[k] + t5[k] + t6[k] + t7[k]
	}
}

func adjointTables(g []float64, stride int, tab []float64, units int, words []uint32) {
	for p, w := range words {
		if w != 0 {
			pick(g[p*stride:][:8*units], tab, tableStride(units), w)
		}
	}
}

func forwardTables(f, x []float64, stride int, tab []float64, units int, words []uint32) {
	var sum [32]float64
	for i, w := range words {
		if w == 0 {
			continue
		}
		s := sum[:8*units]
		clear(s)
		pick(s, tab, tableStride(units), w)
		xi := x[i*stride:][:8*units]
		for k, v := range xi {
			s[k] *= v
		}
		// by lanes of eight, then halves, as vector registers do
		for k := 8; k < len(s); k++ {
			s[k&7] += s[k]
		}
		a, b := s[0]+s[4]+(s[2]+s[6]), s[1]+s[5]+(s[3]+s[7])
		f[i] += a + b
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
