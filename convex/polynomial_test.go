package convex_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/convextest"
)

// The penalty's prox and polar against their definitions on random points and
// atoms [u; 1][u; 1]', |u| = 1.
func TestMoments(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 0))
	const beta = 0.7
	pen := convex.Moments(beta)
	for _, d := range []int{1, 2, 5} {
		q := d + 1
		k := q*(q+1)/2 - 1
		atom := func() []float64 {
			u := randomVector(rng, d)
			n := mat.Norm(mat.NewVecDense(d, u), 2)
			for i := range u {
				u[i] /= n
			}
			u = append(u, 1)
			// Coordinates are isometric, so inner products with the images of
			// unit vectors give them.
			z, e := make([]float64, k), make([]float64, k)
			for j := range e {
				e[j] = 1
				M := convex.MomentMatrix(e)
				e[j] = 0
				z[j] = mat.Inner(mat.NewVecDense(q, u), M, mat.NewVecDense(q, u))
			}
			return z
		}
		inner := func(x, y []float64) float64 { return mat.Dot(mat.NewVecDense(k, x), mat.NewVecDense(k, y)) }
		for trial := range 30 {
			a := atom()
			if v := pen.Value(a, k, 1); math.Abs(v-beta) > 1e-12 {
				t.Fatalf("d=%d: an atom costs %v, want beta", d, v)
			}
			Z := convex.MomentMatrix(a)
			if e := mat.Trace(Z) - 2*Z.At(d, d); math.Abs(e) > 1e-12 {
				t.Fatalf("d=%d: the trace is off by %g", d, e)
			}
			v := randomVector(rng, k)
			if trial%3 == 0 {
				for i := range v {
					v[i] *= 1e-3
				}
			}
			step := math.Exp(rng.NormFloat64())
			z := make([]float64, k)
			pen.Prox(z, v, k, 1, step)
			cost := pen.Value(z, k, 1)
			if math.IsInf(cost, 0) {
				t.Fatalf("d=%d: the prox is outside the domain", d)
			}
			// z = prox(v) iff (v-z)/step is a subgradient: ⟨v-z, z⟩ = step·Value(z)
			// and polar(v-z) ≤ step.
			r := make([]float64, k)
			for i := range r {
				r[i] = v[i] - z[i]
			}
			if e := inner(r, z) - step*cost; math.Abs(e) > 1e-9*(1+inner(v, v)) {
				t.Errorf("d=%d: prox: complementarity is off by %g", d, e)
			}
			if p := pen.Polar(r, k, 1); p > step*(1+1e-9)+1e-12 {
				t.Errorf("d=%d: prox: polar %g above %g", d, p, step)
			}
			// The polar bounds all atoms, and the best of many comes near it.
			p, best := pen.Polar(v, k, 1), 0.0
			for range 3000 {
				best = math.Max(best, inner(v, atom())/beta)
			}
			if best > p*(1+1e-12)+1e-12 {
				t.Errorf("d=%d: an atom has %g, polar %g", d, best, p)
			}
			if d <= 2 && best < p-0.05*(1+p) {
				t.Errorf("d=%d: the best atom has %g, polar %g", d, best, p)
			}
		}
	}
	if v := pen.Value([]float64{0, -1}, 2, 1); !math.IsInf(v, 1) {
		t.Errorf("a matrix that is not positive semidefinite costs %v", v)
	}
	if convex.MomentMatrix(make([]float64, 3)) != nil {
		t.Error("three numbers are no moment matrix")
	}
}

// Polynomial networks of every kind of coefficients and loss: certified, of the
// same objective, unit hidden weights, and the same from all solvers.
func TestPolynomial(t *testing.T) {
	rng := rand.New(rand.NewPCG(22, 0))
	X := randomDense(rng, 14, 3)
	real := randomDense(rng, 14, 1)
	labels := mat.NewDense(14, 1, nil)
	labels.Apply(func(i, j int, v float64) float64 { return math.Copysign(1, v) }, real)
	for _, coef := range [][3]float64{{}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0.5, -1, 0.2}, {-1, 0.3, 2}} {
		for _, loss := range []convex.Loss{convex.Squared, convex.Logistic, convex.Hinge, convex.L1} {
			p := convex.Problem{X: X, Y: real, Arch: convex.Polynomial{Coefficients: coef}, Loss: loss, Beta: 0.3}
			if loss.Name == "logistic" || loss.Name == "hinge" {
				p.Y = labels
			}
			t.Run(fmt.Sprint(coef, loss.Name), func(t *testing.T) {
				sol := convextest.TestArch(t, p)
				if sol.Scope != convex.Global {
					t.Error("scope", sol.Scope)
				}
				for j := range sol.Network.Neurons() {
					if n := mat.Norm(sol.Network.Hidden.RowView(j), 2); math.Abs(n-1) > 1e-9 {
						t.Errorf("neuron %d has norm %v", j, n)
					}
				}
				in, err := convex.Solve(t.Context(), p, &convex.Settings{Solver: "interior", Tol: 1e-8})
				if err != nil || math.Abs(in.Primal-sol.Primal) > 1e-5*sol.Primal {
					t.Errorf("interior %v, %s %v (%v)", in.Primal, sol.Solver, sol.Primal, err)
				}
			})
		}
	}
	if _, err := convex.Solve(t.Context(), convex.Problem{X: X, Y: real, Arch: convex.Polynomial{Coefficients: [3]float64{0, math.NaN(), 1}}, Beta: 1}, nil); err == nil {
		t.Error("NaN coefficient accepted")
	}
}

func BenchmarkPolynomial(b *testing.B) {
	for _, size := range [][2]int{{200, 20}, {500, 50}, {1000, 100}, {1000, 300}} {
		n, d := size[0], size[1]
		rng := rand.New(rand.NewPCG(23, 0))
		X := randomDense(rng, n, d)
		X.Scale(1/math.Sqrt(float64(d)), X)
		y := mat.NewDense(n, 1, nil)
		for i := range n {
			y.Set(i, 0, math.Tanh(3*X.At(i, 0)*X.At(i, 1)*float64(d))+0.1*rng.NormFloat64())
		}
		b.Run(fmt.Sprintf("n=%d_d=%d", n, d), func(b *testing.B) {
			for b.Loop() {
				sol, err := convex.Solve(b.Context(), convex.Problem{X: X, Y: y, Arch: convex.Polynomial{}, Beta: 1}, &convex.Settings{TimeLimit: 2 * time.Minute})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(sol.Gap, "gap")
				b.ReportMetric(float64(sol.Network.Neurons()), "neurons")
			}
		})
	}
}
