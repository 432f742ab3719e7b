package convex

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// The envelope of the L1 loss is a Huber loss over its width, in every function.
func TestSmoothedL1(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	const n, mu = 40, 0.3
	y, x, v := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range y {
		y[i], x[i], v[i] = rng.NormFloat64(), rng.NormFloat64(), 1.9*rng.Float64()-0.95
	}
	l1, err := L1.New(y)
	if err != nil {
		t.Fatal(err)
	}
	huber, err := newHuber(y, mu)
	if err != nil {
		t.Fatal(err)
	}
	f := smoothed(l1, mu)
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-7*(1+math.Abs(want)) {
			t.Errorf("%s %g, want %g", what, got, want)
		}
	}
	near("value", f.Value(x), huber.Value(x)/mu)
	near("Lipschitz", f.Lipschitz, huber.Lipschitz/mu)
	scaled := make([]float64, n)
	axpy(mu, v, scaled)
	near("conjugate", f.Conj(v), huber.Conj(scaled)/mu)
	v[3] = 1 + 1e-15
	if c := f.Conj(v); math.IsInf(c, 0) {
		t.Error("the conjugate has no room for rounding")
	}
	got, want := make([]float64, n), make([]float64, n)
	for _, c := range []struct {
		what      string
		got, want func(dst, x []float64)
		times     float64
	}{
		{"gradient", f.Grad, huber.Grad, 1 / mu},
		{"second derivative", f.Hess, huber.Hess, 1 / mu},
		{"prox", func(dst, x []float64) { f.Prox(dst, x, 0.7) }, func(dst, x []float64) { huber.Prox(dst, x, 0.7/mu) }, 1},
	} {
		c.got(got, x)
		c.want(want, x)
		for i := range got {
			near(c.what, got[i], c.times*want[i])
		}
		c.got(v[:n:n], x) // in place
		copy(v, x)
		c.got(v, v)
		for i := range v {
			near(c.what+" in place", v[i], got[i])
		}
	}
}

// Losses with kinks are solved to the end, gated and with cones, from zero and on
// a path, at every weight decay.
func TestWorkingSetKinks(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 2))
	const n, d = 150, 8
	X, y := randomMatrix(rng, n, d), mat.NewDense(n, 1, nil)
	for i := range n {
		s := X.At(i, 0) * X.At(i, 1)
		if i%10 == 0 { // no network is right about all
			s = -s
		}
		y.Set(i, 0, math.Copysign(1, s))
	}
	for _, arch := range []Arch{GatedReLU{}, ReLU{}} {
		for _, loss := range []Loss{Hinge, L1} {
			p := Problem{X: X, Y: y, Loss: loss, Arch: arch, Beta: 1}
			var err error
			if p.Patterns, err = SamplePatterns(X, 60, 1); err != nil {
				t.Fatal(err)
			}
			top, err := BetaMax(t.Context(), p, nil)
			if err != nil {
				t.Fatal(err)
			}
			var warm *Solution
			for _, ratio := range []float64{0.3, 0.1, 0.01, 0.001} {
				p.Beta = ratio * top
				var primal []float64
				for _, s := range []*Settings{{}, {Warm: warm}} {
					s.Solver, s.Tol = "workingset", 1e-6
					sol, err := Solve(t.Context(), p, s)
					if err != nil || sol.Status != Optimal {
						t.Fatalf("%s, %s, %g of the largest weight decay: %v %v", arch.Name(), loss.Name, ratio, sol, err)
					}
					primal = append(primal, sol.Primal)
					warm = sol
				}
				if math.Abs(primal[0]-primal[1]) > 1e-5*primal[0] {
					t.Errorf("%s, %s, %g of the largest weight decay: from zero %g, on a path %g", arch.Name(), loss.Name, ratio, primal[0], primal[1])
				}
				if ratio == 0.1 {
					sol, err := Solve(t.Context(), p, &Settings{Solver: "interior", Tol: 1e-6})
					if err != nil || math.Abs(sol.Primal-primal[0]) > 1e-5*primal[0] {
						t.Errorf("%s, %s: %g, by the interior-point method %v %v", arch.Name(), loss.Name, primal[0], sol, err)
					}
				}
			}
		}
	}
}
