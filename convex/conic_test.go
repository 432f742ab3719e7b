package convex

import (
	"context"
	"math"
	"math/rand/v2"
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
