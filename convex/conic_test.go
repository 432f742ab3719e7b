package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// complementary fills s and z with a random pair in the cones of q with s∘z =
// 0, of which both parts are not zero.
func complementary(rng *rand.Rand, q *Conic) (s, z []float64) {
	for i := 0; i < q.NonNegative; i++ {
		v := math.Abs(rng.NormFloat64()) + 0.1
		if i%2 == 0 {
			s, z = append(s, v), append(z, 0)
		} else {
			s, z = append(s, 0), append(z, v)
		}
	}
	for i, d := range q.SecondOrder {
		a, b := make([]float64, d), make([]float64, d)
		for j := 1; j < d; j++ {
			a[j] = rng.NormFloat64()
		}
		a[0] = norm2(a)
		switch i % 3 {
		case 0: // both on the boundary, opposite
			f := math.Abs(rng.NormFloat64()) + 0.1
			for j := range b {
				b[j] = -f * a[j]
			}
			b[0] = f * a[0]
		case 1: // s inside
			a[0] *= 1.5
		case 2: // z inside
			copy(b, a)
			b[0] *= 1.3
			clear(a)
		}
		s, z = append(s, a...), append(z, b...)
	}
	for _, n := range q.Semidefinite {
		Q := orthogonal(rng, n)
		S, Z := mat.NewDense(n, n, nil), mat.NewDense(n, n, nil)
		for k := 0; k < n; k++ {
			T := S
			if 2*k >= n {
				T = Z
			}
			T.RankOne(T, 0.5+rng.Float64(), Q.ColView(k), Q.ColView(k))
		}
		a, b := make([]float64, n*(n+1)/2), make([]float64, n*(n+1)/2)
		pack(a, S)
		pack(b, Z)
		s, z = append(s, a...), append(z, b...)
	}
	return s, z
}

func orthogonal(rng *rand.Rand, n int) *mat.Dense {
	var qr mat.QR
	qr.Factorize(randomMatrix(rng, n, n))
	var Q mat.Dense
	qr.QTo(&Q)
	return &Q
}

// knownConic is a random program with n variables and k equations whose optimum
// is known by construction; rank is that of P.
func knownConic(rng *rand.Rand, q Conic, n, k, rank int) (Conic, float64) {
	s, z := complementary(rng, &q)
	m := len(s)
	G := randomMatrix(rng, m, n)
	x, y := randomMatrix(rng, n, 1).RawMatrix().Data, randomMatrix(rng, max(k, 1), 1).RawMatrix().Data[:k]
	q.G = G
	q.H = append([]float64(nil), s...)
	for i := range q.H {
		q.H[i] += dot(G.RawRowView(i), x)
	}
	q.C = make([]float64, n)
	for i, t := range z {
		axpy(-t, G.RawRowView(i), q.C)
	}
	if k > 0 {
		A := randomMatrix(rng, k, n)
		q.A, q.B = A, make([]float64, k)
		for i := range q.B {
			q.B[i] = dot(A.RawRowView(i), x)
			axpy(-y[i], A.RawRowView(i), q.C)
		}
	}
	value := 0.0
	if rank > 0 {
		F := randomMatrix(rng, rank, n)
		P := mat.NewDense(n, n, nil)
		P.Mul(F.T(), F)
		q.P = P
		for i := range q.C {
			t := dot(P.RawRowView(i), x)
			q.C[i] -= t
			value += x[i] * t / 2
		}
	}
	return q, value + dot(q.C, x)
}

// Programs built around a pair of solutions are solved to it.
func TestConicKnownOptimum(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 52))
	for _, c := range []struct {
		name       string
		q          Conic
		n, k, rank int
	}{
		{"linear", Conic{NonNegative: 30}, 12, 0, 0},
		{"linear with equations", Conic{NonNegative: 30}, 20, 6, 0},
		{"quadratic", Conic{NonNegative: 20}, 12, 3, 5},
		{"quadratic, more variables than cones", Conic{NonNegative: 5}, 12, 0, 12},
		{"second order", Conic{SecondOrder: []int{4, 5, 3, 2, 7, 6}}, 12, 0, 0},
		{"second order with equations", Conic{SecondOrder: []int{9, 9, 9}}, 17, 5, 0},
		{"semidefinite", Conic{Semidefinite: []int{6}}, 10, 0, 0},
		{"semidefinite with equations", Conic{Semidefinite: []int{5, 1, 4}}, 20, 5, 0},
		{"all", Conic{NonNegative: 7, SecondOrder: []int{5, 4, 3}, Semidefinite: []int{4, 3}}, 18, 4, 3},
		{"all, larger", Conic{NonNegative: 60, SecondOrder: []int{15, 14, 13}, Semidefinite: []int{10}}, 80, 14, 3},
	} {
		for trial := 0; trial < 4; trial++ {
			q, want := knownConic(rng, c.q, c.n, c.k, c.rank)
			q.Name = c.name
			sol, err := SolveConic(context.Background(), q, nil)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if sol.Status != Optimal || math.Abs(sol.Primal-want) > 1e-7*math.Max(1, math.Abs(want)) {
				t.Errorf("%s: %v, optimum %.12g", c.name, sol, want)
			}
		}
	}
}

// Random shapes, more rows than variables or fewer, all to 1e-9.
func TestConicRandom(t *testing.T) {
	for seed := uint64(0); seed < 120; seed++ {
		rng := rand.New(rand.NewPCG(seed, 1))
		q := Conic{NonNegative: 3 + rng.IntN(30)}
		m := q.NonNegative
		for i := rng.IntN(4); i > 0; i-- {
			d := 2 + rng.IntN(8)
			q.SecondOrder = append(q.SecondOrder, d)
			m += d
		}
		for i := rng.IntN(3); i > 0; i-- {
			d := 1 + rng.IntN(7)
			q.Semidefinite = append(q.Semidefinite, d)
			m += d * (d + 1) / 2
		}
		k := rng.IntN(5)
		q, want := knownConic(rng, q, k+1+rng.IntN(m), k, rng.IntN(2)*rng.IntN(5))
		sol, err := SolveConic(context.Background(), q, nil)
		if err != nil || sol.Status != Optimal || math.Abs(sol.Primal-want) > 1e-7*math.Max(1, math.Abs(want)) {
			t.Errorf("seed %d: %v %v, optimum %.12g", seed, sol, err, want)
		}
	}
}

// Infeasible and unbounded programs are told from one another, with a proof.
func TestConicWithoutOptimum(t *testing.T) {
	rng := rand.New(rand.NewPCG(53, 54))
	ctx := context.Background()
	one := func(v ...float64) mat.Matrix { return mat.NewDense(len(v), 1, v) }
	for name, q := range map[string]Conic{
		"x ≥ 1 and x ≤ 0":       {C: []float64{1}, G: one(-1, 1), H: []float64{-1, 0}, NonNegative: 2},
		"|(1,x)| ≤ 1/2":         {C: []float64{1}, G: one(0, 0, -1), H: []float64{0.5, 1, 0}, SecondOrder: []int{3}},
		"[x 1; 1 0] ⪰ 0":        {C: []float64{1}, G: one(-1, 0, 0), H: []float64{0, math.Sqrt2, -1}, Semidefinite: []int{2}},
		"x = 1 and x = 2":       {C: []float64{0}, G: one(-1), H: []float64{0}, NonNegative: 1, A: one(1, 1), B: []float64{1, 2}},
		"quadratic, x ≥ 1, ≤ 0": {P: one(1), C: []float64{1}, G: one(-1, 1), H: []float64{-1, 0}, NonNegative: 2},
	} {
		sol, err := SolveConic(ctx, q, nil)
		if err != nil || !sol.Infeasible || sol.Status != Optimal {
			t.Errorf("%s: %v %v", name, sol, err)
			continue
		}
		if v := dot(q.H, sol.Z) + dot(q.B, sol.Y); math.Abs(v+1) > 1e-9 {
			t.Errorf("%s: the proof has h'z+b'y = %v", name, v)
		}
	}
	for name, q := range map[string]Conic{
		"max x, x ≥ 0":   {C: []float64{-1}, G: one(-1), H: []float64{0}, NonNegative: 1},
		"max t, |x| ≤ t": {C: []float64{-1}, G: one(-1, 0), H: []float64{0, 1}, SecondOrder: []int{2}},
		"max x, xI ⪰ -I": {C: []float64{-1}, G: one(-1, 0, -1), H: []float64{1, 0, 1}, Semidefinite: []int{2}},
	} {
		sol, err := SolveConic(ctx, q, nil)
		if err != nil || !sol.Unbounded || sol.Status != Optimal {
			t.Errorf("%s: %v %v", name, sol, err)
		}
	}
	// Random ones: rows that add up to 0 ≤ -1, and a descent direction.
	for trial := 0; trial < 5; trial++ {
		q, _ := knownConic(rng, Conic{NonNegative: 8, SecondOrder: []int{4}, Semidefinite: []int{3}}, 6, 0, 0)
		G := q.G.(*mat.Dense)
		for j := 0; j < 6; j++ {
			s := 0.0
			for i := 1; i < 8; i++ {
				s += G.At(i, j)
			}
			G.Set(0, j, -s)
		}
		s := 0.0
		for i := 1; i < 8; i++ {
			s += q.H[i]
		}
		q.H[0] = -s - 1
		sol, err := SolveConic(ctx, q, nil)
		if err != nil || !sol.Infeasible {
			t.Errorf("random infeasible: %v %v", sol, err)
		}
	}
}

// Equations and rows given twice, rows of zeros, columns that nothing holds.
func TestConicDegenerate(t *testing.T) {
	rng := rand.New(rand.NewPCG(55, 56))
	ctx := context.Background()
	for trial := 0; trial < 5; trial++ {
		q, want := knownConic(rng, Conic{NonNegative: 12, SecondOrder: []int{4, 3}}, 10, 3, 0)
		A, B := mat.NewDense(6, 11, nil), make([]float64, 6)
		G, H := mat.NewDense(2+19, 11, nil), make([]float64, 2+19)
		for i := 0; i < 6; i++ { // every equation twice, the second time times 3
			f := float64(1 + 2*(i/3))
			for j := 0; j < 10; j++ {
				A.Set(i, j, f*q.A.At(i%3, j))
			}
			B[i] = f * q.B[i%3]
		}
		H[0] = 1 // 0 ≤ 1
		for i := -1; i < 19; i++ {
			for j := 0; j < 10; j++ {
				G.Set(i+2, j, q.G.At(max(i, 0), j))
			}
			H[i+2] = q.H[max(i, 0)]
		}
		d := Conic{C: append(append([]float64(nil), q.C...), 0), G: G, H: H, A: A, B: B, NonNegative: 14, SecondOrder: q.SecondOrder}
		sol, err := SolveConic(ctx, d, &Settings{Tol: 1e-7})
		if err != nil || sol.Status != Optimal || math.Abs(sol.Primal-want) > 1e-5*math.Max(1, math.Abs(want)) {
			t.Errorf("degenerate: %v %v, optimum %v", sol, err, want)
		}
		// Columns and rows of very different size.
		for j := 0; j < 10; j++ {
			f := math.Pow(10, float64(j%5)-2)
			q.C[j] *= f
			for i := 0; i < 19; i++ {
				q.G.(*mat.Dense).Set(i, j, f*q.G.At(i, j))
			}
			for i := 0; i < 3; i++ {
				q.A.(*mat.Dense).Set(i, j, f*q.A.At(i, j))
			}
		}
		sol, err = SolveConic(ctx, q, &Settings{Tol: 1e-8})
		if err != nil || sol.Status != Optimal || math.Abs(sol.Primal-want) > 1e-6*math.Max(1, math.Abs(want)) {
			t.Errorf("badly scaled: %v %v, optimum %v", sol, err, want)
		}
	}
}

func TestConicRefuses(t *testing.T) {
	nan := math.NaN()
	row := func(v ...float64) mat.Matrix { return mat.NewDense(1, len(v), v) }
	for want, q := range map[string]Conic{
		"C is empty":            {},
		"C[1] is NaN":           {C: []float64{1, nan}},
		"H[0] is +Inf":          {C: []float64{1}, G: row(1), H: []float64{math.Inf(1)}, NonNegative: 1},
		"G has NaN":             {C: []float64{1}, G: row(nan), H: []float64{0}, NonNegative: 1},
		"want 1 columns":        {C: []float64{1}, G: row(1, 2), H: []float64{0}, NonNegative: 1},
		"the cones have 0 rows": {C: []float64{1}, G: row(1), H: []float64{0}},
		"B has 2 entries":       {C: []float64{1}, A: row(1), B: []float64{0, 0}},
		"eigenvalue -1":         {C: []float64{1}, P: row(-1)},
		"dimension of at least": {C: []float64{1}, G: row(1), H: []float64{0}, SecondOrder: []int{1}},
		"not symmetric":         {C: []float64{1, 1}, P: mat.NewDense(2, 2, []float64{1, 2, 0, 1})},
	} {
		if _, err := SolveConic(context.Background(), q, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	if _, err := UnpackSymmetric(make([]float64, 4)); err == nil {
		t.Error("4 numbers are a triangle")
	}
	S := mat.NewSymDense(2, []float64{1, 2, 2, 5})
	if T, err := UnpackSymmetric(PackSymmetric(S)); err != nil || !mat.EqualApprox(S, T, 1e-15) {
		t.Errorf("%v %v", T, err)
	}
}

// No cones at all, and no freedom at all.
func TestConicTrivial(t *testing.T) {
	ctx := context.Background()
	sol, err := SolveConic(ctx, Conic{P: mat.NewDiagDense(2, []float64{1, 4}), C: []float64{-1, -4}, Constant: 10}, nil)
	if err != nil || sol.Status != Optimal || math.Abs(sol.Primal-7.5) > 1e-8 {
		t.Errorf("unconstrained: %v %v", sol, err)
	}
	sol, err = SolveConic(ctx, Conic{C: []float64{3}, A: mat.NewDense(1, 1, []float64{2}), B: []float64{4}}, nil)
	if err != nil || sol.Status != Optimal || math.Abs(sol.Primal-6) > 1e-8 {
		t.Errorf("one point: %v %v", sol, err)
	}
	sol, err = SolveConic(ctx, Conic{C: []float64{1}}, nil)
	if err != nil || !sol.Unbounded {
		t.Errorf("linear and free: %v %v", sol, err)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	q, _ := knownConic(rand.New(rand.NewPCG(57, 58)), Conic{NonNegative: 30}, 12, 0, 0)
	if sol, err = SolveConic(stopped, q, nil); err != nil || sol.Status != Stopped {
		t.Errorf("cancelled: %v %v", sol, err)
	}
	if sol, err = SolveConic(ctx, q, &Settings{MaxIter: 2}); err != nil || sol.Status != IterLimit || sol.Iterations != 2 {
		t.Errorf("limited: %v %v", sol, err)
	}
}
