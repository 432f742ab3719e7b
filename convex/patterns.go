package convex

import (
	"fmt"
	"math/bits"

	"gonum.org/v1/gonum/mat"
)

// Patterns are P activation patterns over n samples, bit-packed. Bit i of
// pattern p says whether a neuron with that pattern is active on sample i.
type Patterns struct {
	// Complete says that these are all the patterns 1[Xu > 0] that occur on an
	// open set of u: the optimum over them is global.
	Complete bool
	// Gates, when not nil, is P×d: row p is a vector u with pattern p. It lets
	// a gated network predict on new data.
	Gates *mat.Dense
	// Source is "enumerated", "sampled" or "given".
	Source string

	n, words int
	bits     []uint64 // P rows of words
}

// newPatterns returns p patterns of n bits, all off.
func newPatterns(p, n int) *Patterns {
	w := (n + 63) / 64
	return &Patterns{n: n, words: w, bits: make([]uint64, p*w)}
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
