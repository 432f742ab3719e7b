package convex

import (
	"math"
	"math/rand/v2"
	"sort"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// neuron is a unit of a two-layer network with its sign: s (x'v)_+.
type neuron struct {
	v    []float64
	sign float64
}

// flat returns the vectors of neurons as rows of a matrix, with their signs.
func flat(net []neuron) (v, sgn []float64) {
	for _, nr := range net {
		v, sgn = append(v, nr.v...), append(sgn, nr.sign)
	}
	return v, sgn
}

// neuronsOf is the inverse of flat but for neurons at zero, which it leaves out.
func neuronsOf(v, sgn []float64) []neuron {
	var net []neuron
	for j, s := range sgn {
		d := len(v) / len(sgn)
		if w := v[j*d:][:d:d]; norm2(w) > 0 {
			net = append(net, neuron{w, s})
		}
	}
	return net
}

// patternsOf sets bits (rows of pats) to 1[X u > 0] for every row u of us.
func (m *maskedData) patternsOf(pats [][]uint64, us []float64) { m.network(nil, pats, us, nil) }

// network is patternsOf that also sets f, unless nil, to the predictions
// Σ_p sgn_p (X u_p)_+, which come along for free.
func (m *maskedData) network(f []float64, pats [][]uint64, us, sgn []float64) {
	k := len(pats)
	clear(f)
	if k == 0 {
		return
	}
	ug := blas64.General{Rows: k, Cols: m.d, Stride: m.d, Data: us}
	parallel(m.n, gemmRows, func(from, to int) {
		buf, none := getBlock(k*gemmRows), make([]float64, gemmRows)
		defer blockPool.Put(buf)
		for lo := from; lo < to; lo += gemmRows {
			hi := min(lo+gemmRows, to)
			blas64.Gemm(blas.NoTrans, blas.Trans, 1, ug, m.rows(lo, hi), 0,
				blas64.General{Rows: k, Cols: hi - lo, Stride: gemmRows, Data: *buf})
			for p, pat := range pats {
				z, out := (*buf)[p*gemmRows:][:hi-lo], none
				size := 0.0
				if f != nil {
					out, size = f[lo:hi], sgn[p]
				}
				for w := 0; w*64 < len(z); w++ {
					var word uint64
					to := out[w*64 : min(w*64+64, len(z))]
					for i, v := range z[w*64 : w*64+len(to)] {
						on := uint64(0)
						if v > 0 {
							on = 1
						}
						word |= on << uint(i)
						to[i] += size * math.Float64frombits(math.Float64bits(v)&-on)
					}
					pat[lo>>6+w] = word
				}
			}
		}
	})
}

// shake moves neurons by noise of a size relative to theirs.
func shake(net []neuron, size float64, rng *rand.Rand) {
	for _, nr := range net {
		noise := size * norm2(nr.v) / math.Sqrt(float64(len(nr.v)))
		for i := range nr.v {
			nr.v[i] += noise * rng.NormFloat64()
		}
	}
}

// clusters are sets of neurons of one sign and of much the same direction.
type clusters struct {
	of  []int     // the cluster of each neuron, -1 if it is at zero
	sgn []float64 // of each cluster
}

// alike puts neurons whose directions have at least the given cosine with that
// of a longer one into its cluster.
func alike(v, sgn []float64, cosine float64) clusters {
	k := len(sgn)
	c := clusters{of: make([]int, k)}
	if k == 0 {
		return c
	}
	d := len(v) / k
	size, order := make([]float64, k), make([]int, k)
	for j := range order {
		order[j], size[j] = j, norm2(v[j*d:][:d])
	}
	sort.SliceStable(order, func(a, b int) bool { return size[order[a]] > size[order[b]] })
	var heads []int // the longest of each cluster
next:
	for _, j := range order {
		if size[j] == 0 {
			c.of[j] = -1
			continue
		}
		for at, i := range heads {
			if sgn[i] == sgn[j] && dot(v[i*d:][:d], v[j*d:][:d]) >= cosine*size[i]*size[j] {
				c.of[j] = at
				continue next
			}
		}
		c.of[j] = len(heads)
		heads, c.sgn = append(heads, j), append(c.sgn, sgn[j])
	}
	return c
}

// sum adds up the rows of v in each cluster.
func (c clusters) sum(v []float64) []float64 {
	d := len(v) / max(len(c.of), 1)
	out := make([]float64, len(c.sgn)*d)
	for j, at := range c.of {
		if at >= 0 {
			axpy(1, v[j*d:][:d], out[at*d:][:d])
		}
	}
	return out
}
