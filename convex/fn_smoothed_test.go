package convex

import (
	"math"
	"math/rand/v2"
	"testing"
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
		copy(v, x)
		c.got(v, v)
		for i := range v {
			near(c.what+" in place", v[i], got[i])
		}
	}
}
