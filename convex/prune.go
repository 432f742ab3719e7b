package convex

import (
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/mat"
)

// Prune removes neurons that an optimum does not need: it returns a network
// with the same predictions on the data of p, no larger weight decay, and at
// most as many neurons as the rank of their contributions, so at most n·c
// (Carathéodory; the optimal pruning of Mishkin & Pilanci 2023).
//
// With contributions φ_j ∈ R^{n·c} and costs c_j = |u_j||a_j|, any null vector t
// of [φ_1 … φ_m] keeps Σ (1-τt_j) φ_j for every τ; the sign of t is chosen so
// that the cost does not rise, and τ so that a neuron reaches zero.
func Prune(p Problem, net *Network) (*Network, error) {
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	if net == nil || net.Activations == nil {
		return nil, fmt.Errorf("convex: Prune: the network has no Activations to tell what each neuron contributes")
	}
	m := net.Neurons()
	if m == 0 {
		return net, nil
	}
	A, err := net.Activations(net, t.inputs)
	if err != nil {
		return nil, err
	}
	n, am := A.Dims()
	_, c := net.Output.Dims()
	if am != m || n != t.n || c != t.c {
		return nil, fmt.Errorf("convex: Prune: activations are %d×%d and outputs %d, want %d×%d and %d", n, am, c, t.n, m, t.c)
	}
	// Columns of unit length, so that "zero" does not depend on their scale.
	F := mat.NewDense(n*c, m, nil)
	cost, size := make([]float64, m), make([]float64, m)
	for j := 0; j < m; j++ {
		a := net.Output.RawRowView(j)
		cost[j] = norm2(net.Hidden.RawRowView(j)) * norm2(a)
		col := make([]float64, n*c)
		for i := 0; i < n; i++ {
			for o, v := range a {
				col[i*c+o] = A.At(i, j) * v
			}
		}
		size[j] = norm2(col)
		if size[j] > 0 {
			scale(1/size[j], col)
		}
		F.SetCol(j, col)
	}
	weight := pruneWeights(F, cost, size)
	var keep []int
	var scales []float64
	for j, w := range weight {
		if w > 0 {
			keep, scales = append(keep, j), append(scales, w)
		}
	}
	return net.subset(keep, scales), nil
}

// pruneBlocks is Prune for the blocks of a point of a program whose penalty is a
// norm: in place, the same predictions, no larger penalty, and at most as many
// penalised blocks as the rank of their contributions. Cones stay satisfied,
// since blocks are only scaled by non-negative numbers.
func (prog *Program) pruneBlocks(x []float64) {
	var active []int
	for g, b := range prog.Blocks {
		if b.Weight != 0 && norm2(b.Of(x)) > 0 {
			active = append(active, g)
		}
	}
	if prog.Penalty.Polar == nil || len(active) == 0 {
		return
	}
	F := mat.NewDense(prog.Op.Rows, len(active), nil)
	cost, size := make([]float64, len(active)), make([]float64, len(active))
	e, f := make([]float64, prog.Op.Cols), make([]float64, prog.Op.Rows)
	for j, g := range active {
		b := prog.Blocks[g]
		copy(b.Of(e), b.Of(x))
		prog.Op.Apply(f, e)
		clear(b.Of(e))
		cost[j] = b.Weight * prog.Penalty.Value(b.Of(x), b.Rows, b.Cols)
		if size[j] = norm2(f); size[j] > 0 {
			scale(1/size[j], f)
		}
		F.SetCol(j, f)
	}
	for j, w := range pruneWeights(F, cost, size) {
		scale(w, prog.Blocks[active[j]].Of(x))
	}
}

// pruneWeights returns multipliers w ≥ 0 of the contributions with the same sum,
// no larger cost Σ w_j cost_j, and at most rank F of them positive.
func pruneWeights(F *mat.Dense, cost, size []float64) []float64 {
	_, m := F.Dims()
	w := make([]float64, m) // in units of the columns of F: 1 is size[j]
	var active []int
	for j := range w {
		if size[j] > 0 { // a neuron without contribution only costs
			w[j] = size[j]
			active = append(active, j)
		}
	}
	// A null space grows with the square of the neurons: take so many at a
	// time that half of them go.
	rows, _ := F.Dims()
	chunk := 2*rows + 1
	var left []int
	for len(active) > 0 {
		take := min(max(chunk-len(left), rows), len(active))
		left = append(left, active[:take]...)
		active = active[take:]
		if !pruneDependent(F, left, w, cost, size) {
			return onesWhere(size)
		}
		n := 0
		for _, j := range left {
			if w[j] > 0 {
				left[n] = j
				n++
			}
		}
		left = left[:n]
	}
	for j := range w {
		if size[j] > 0 {
			w[j] /= size[j]
		}
	}
	return w
}

// pruneDependent moves the weights of the active columns along their linear
// dependences until those left are independent; false when these cannot be
// computed.
func pruneDependent(F *mat.Dense, active []int, w, cost, size []float64) bool {
	N, err := nullSpace(F, active)
	if err != nil {
		return false
	}
	for len(N) > 0 {
		t := append([]float64(nil), N[len(N)-1]...)
		// Cost per unit of t; flip so that moving along -t does not raise it.
		rise := 0.0
		for i, j := range active {
			rise += t[i] * cost[j] / size[j]
		}
		if rise < 0 {
			scale(-1, t)
		}
		step, at := math.Inf(1), -1
		largest := 0.0
		for _, v := range t {
			largest = math.Max(largest, math.Abs(v))
		}
		for i, j := range active {
			if t[i] > 1e-12*largest {
				if s := w[j] / t[i]; s < step {
					step, at = s, i
				}
			}
		}
		if at < 0 {
			// All of t is ≤ 0, so the other direction lowers nothing to zero
			// only when t is zero: nothing to gain from it.
			N = N[:len(N)-1]
			continue
		}
		for i, j := range active {
			w[j] = math.Max(0, w[j]-step*t[i])
		}
		w[active[at]] = 0
		N = vanishingAt(N, at)
	}
	return true
}

func onesWhere(size []float64) []float64 {
	w := make([]float64, len(size))
	for j, s := range size {
		if s > 0 {
			w[j] = 1
		}
	}
	return w
}

// nullSpace is an orthonormal basis of {t : Σ_i t_i F[:,active_i] = 0}.
func nullSpace(F *mat.Dense, active []int) ([][]float64, error) {
	r, _ := F.Dims()
	k := len(active)
	if k == 0 {
		return nil, nil
	}
	A := mat.NewDense(r, k, nil)
	for i, j := range active {
		for q := 0; q < r; q++ {
			A.Set(q, i, F.At(q, j))
		}
	}
	var svd mat.SVD
	if !svd.Factorize(A, mat.SVDFullV) {
		return nil, errSVD
	}
	var V mat.Dense
	svd.VTo(&V)
	s := svd.Values(nil)
	rank := sort.Search(len(s), func(i int) bool { return s[i] <= 1e-11*s[0] })
	var N [][]float64
	for c := rank; c < k; c++ {
		N = append(N, mat.Col(nil, c, &V))
	}
	return N, nil
}

// vanishingAt turns orthonormal vectors, in place, into a basis of those in
// their span whose entry at is zero: a reflection gathers the entries in the
// last vector, which is left out.
func vanishingAt(N [][]float64, at int) [][]float64 {
	last := len(N) - 1
	h := make([]float64, len(N))
	for i, u := range N {
		h[i] = u[at]
	}
	h[last] += math.Copysign(norm2(h), h[last])
	if size := norm2(h); size > 0 {
		scale(1/size, h)
		mean := make([]float64, len(N[0]))
		for i, u := range N {
			axpy(h[i], u, mean)
		}
		for i, u := range N {
			axpy(-2*h[i], mean, u)
			u[at] = 0
		}
	}
	return N[:last]
}
