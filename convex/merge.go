package convex

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// merging is an order in which the neurons of a network are made fewer, each
// time by the step that changes its predictions least: a neuron is added to
// another of its sign, or is left out.
type merging struct {
	net   []neuron
	steps [][2]int // the neuron that goes, and the one it joins: itself if it is left out
}

// mergeOrder finds that order on the data of m. The sum of two neurons u and v
// predicts something else than they do only where one of them is on and the
// other off: by the smaller of |x'u| and |x'v|. So what merges first are neurons
// of cells next door, of which the solution of a convex program has many, and
// neurons that are small.
func mergeOrder(m *maskedData, net []neuron) merging {
	k, n := len(net), m.n
	mg := merging{net: net}
	if k == 0 {
		return mg
	}
	z := make([]float64, k*n) // X v of each neuron
	v, sgn := flat(net)
	parallel(n, gemmRows, func(lo, hi int) {
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, blas64.General{Rows: k, Cols: m.d, Stride: m.d, Data: v}, m.rows(lo, hi), 0,
			blas64.General{Rows: k, Cols: hi - lo, Stride: n, Data: z[lo:]})
	})
	between := func(i, j int) float64 {
		switch {
		case i == j:
			return squaredPositive(z[i*n:][:n])
		case sgn[i] != sgn[j]:
			return math.Inf(1)
		}
		return squaredSplit(z[i*n:][:n], z[j*n:][:n])
	}
	// What it costs i to join j <= i, to go alone on the diagonal, and the cheapest of each row.
	cost, near := make([][]float64, k), make([]int, k)
	nearest := func(i int) {
		near[i] = i
		for j, c := range cost[i] {
			if c < cost[i][near[i]] {
				near[i] = j
			}
		}
	}
	parallel(k, 16, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			cost[i] = make([]float64, i+1)
			for j := range cost[i] {
				cost[i][j] = between(i, j)
			}
			nearest(i)
		}
	})
	var left []int
	for i := range k {
		left = append(left, i)
	}
	for len(left) > 1 {
		at := 0
		for r, i := range left {
			if best := left[at]; cost[i][near[i]] < cost[best][near[best]] {
				at = r
			}
		}
		i := left[at]
		j := near[i]
		mg.steps = append(mg.steps, [2]int{i, j})
		left = append(left[:at], left[at+1:]...)
		if i != j {
			axpy(1, z[i*n:][:n], z[j*n:][:n])
		}
		for _, r := range left {
			if i < r {
				cost[r][i] = math.Inf(1)
			}
			if i != j {
				cost[max(r, j)][min(r, j)] = between(r, j)
			}
			// The cheapest of a row may be gone, or be dearer now, or be the sum.
			if near[r] == i || near[r] == j || r == j {
				nearest(r)
			} else if j < r && cost[r][j] < cost[r][near[r]] {
				near[r] = j
			}
		}
	}
	return mg
}

// squaredPositive is |z_+|².
func squaredPositive(z []float64) float64 {
	s := 0.0
	for _, v := range z {
		v = max(v, 0)
		s += v * v
	}
	return s
}

// squaredSplit is |(a+b)_+ - a_+ - b_+|².
func squaredSplit(a, b []float64) float64 {
	s := 0.0
	b = b[:len(a)]
	for t, v := range a {
		if w := b[t]; v*w < 0 {
			v = min(math.Abs(v), math.Abs(w))
			s += v * v
		}
	}
	return s
}

// to is the network with k of its neurons left, at least one.
func (mg merging) to(k int) []neuron {
	v, sgn := flat(mg.net)
	if len(sgn) == 0 {
		return nil
	}
	d := len(v) / len(sgn)
	for _, s := range mg.steps[:min(max(0, len(sgn)-k), len(mg.steps))] {
		from := v[s[0]*d:][:d]
		if s[0] != s[1] {
			axpy(1, from, v[s[1]*d:][:d])
		}
		clear(from)
	}
	return neuronsOf(v, sgn)
}
