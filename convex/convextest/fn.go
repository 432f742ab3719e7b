// Package convextest has public test suites for the parts of package convex:
// a new loss, penalty, operator, architecture or solver runs the suite of its
// kind and is held to what the rest of the package relies on. Depot is a set
// of small named problems, degenerate ones among them.
package convextest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gonvex/gonvex/convex"
)

const seed = 20200707

func normal(rng *rand.Rand, n int, size float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = size * rng.NormFloat64()
	}
	return x
}

func inner(x, y []float64) float64 {
	s := 0.0
	for i, v := range x {
		s += v * y[i]
	}
	return s
}

func distance(x, y []float64) float64 {
	s := 0.0
	for i, v := range x {
		s += (v - y[i]) * (v - y[i])
	}
	return math.Sqrt(s)
}

func near(a, b, tol float64) bool {
	return math.Abs(a-b) <= tol*math.Max(1, math.Max(math.Abs(a), math.Abs(b)))
}

// TestFn checks f, a convex function of n variables, against naive, a slow and
// obviously right implementation of its value (nil: not checked), and its
// capabilities against one another: gradient and Hessian against differences,
// the Lipschitz constant, the prox by its optimality, the conjugate by
// Fenchel's inequality and its equality at gradients.
func TestFn(t *testing.T, f convex.Fn, n int, naive func(x []float64) float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	slope := f.Grad
	if slope == nil {
		slope = f.Subgrad
	}
	for trial := 0; trial < 20; trial++ {
		x := normal(rng, n, math.Pow(4, float64(trial%5-2)))
		value := f.Value(x)
		if naive != nil {
			if want := naive(x); !near(value, want, 1e-12) {
				t.Fatalf("%s: Value(%v) = %v, naive %v", f.Name, x, value, want)
			}
		}
		y := normal(rng, n, 1)
		mid := make([]float64, n)
		for i := range mid {
			mid[i] = (x[i] + y[i]) / 2
		}
		if m := f.Value(mid); m > (value+f.Value(y))/2+1e-12*(1+math.Abs(value)) {
			t.Fatalf("%s: not convex between %v and %v", f.Name, x, y)
		}
		if slope != nil {
			g := make([]float64, n)
			slope(g, x)
			if v := f.Value(y); v < value+inner(g, y)-inner(g, x)-1e-10*(1+math.Abs(value)) {
				t.Fatalf("%s: the gradient at %v is no subgradient", f.Name, x)
			}
			if f.Conj != nil {
				if c := f.Conj(g); !near(value+c, inner(g, x), 1e-9) {
					t.Fatalf("%s: f(x)+f*(∇f(x)) = %v, x'∇f(x) = %v", f.Name, value+c, inner(g, x))
				}
			}
		}
		if f.Grad != nil {
			testGradient(t, f, x)
			gx, gy := make([]float64, n), make([]float64, n)
			f.Grad(gx, x)
			f.Grad(gy, y)
			if f.Lipschitz > 0 && distance(gx, gy) > f.Lipschitz*distance(x, y)*(1+1e-9) {
				t.Fatalf("%s: Lipschitz constant %v is too small", f.Name, f.Lipschitz)
			}
			inPlace := append([]float64(nil), x...)
			f.Grad(inPlace, inPlace)
			if distance(inPlace, gx) != 0 {
				t.Fatalf("%s: Grad in place differs", f.Name)
			}
			if f.ConjGrad != nil {
				back := make([]float64, n)
				f.ConjGrad(back, gx)
				for i, h := range hess(f, x) {
					// Where the gradient is flat its inverse is not unique.
					if h > 1e-6 && !near(back[i], x[i], 1e-7/h) {
						t.Fatalf("%s: ConjGrad(Grad(%v)) = %v", f.Name, x, back)
					}
				}
			}
			if f.ConjHess != nil && f.Hess != nil {
				ch := make([]float64, n)
				f.ConjHess(ch, gx)
				for i, h := range hess(f, x) {
					if h > 1e-6 && !near(ch[i]*h, 1, 1e-6) {
						t.Fatalf("%s: Hess·ConjHess = %v at %v", f.Name, ch[i]*h, x[i])
					}
				}
			}
		}
		if f.Conj != nil {
			v := normal(rng, n, 0.5)
			if c := f.Conj(v); value+c < inner(v, x)-1e-10*(1+math.Abs(value)) {
				t.Fatalf("%s: Fenchel's inequality fails at %v, %v: %v + %v < %v", f.Name, x, v, value, c, inner(v, x))
			}
		}
		if f.Prox != nil {
			for _, s := range []float64{1e-3, 0.7, 50} {
				p := make([]float64, n)
				f.Prox(p, x, s)
				checkMinimiser(t, rng, f.Name+": Prox", p, func(z []float64) float64 {
					d := distance(z, x)
					return f.Value(z) + d*d/(2*s)
				})
				inPlace := append([]float64(nil), x...)
				f.Prox(inPlace, inPlace, s)
				if distance(inPlace, p) != 0 {
					t.Fatalf("%s: Prox in place differs", f.Name)
				}
			}
		}
	}
}

func hess(f convex.Fn, x []float64) []float64 {
	h := make([]float64, len(x))
	if f.Hess != nil {
		f.Hess(h, x)
	} else {
		for i := range h {
			h[i] = 1
		}
	}
	return h
}

func testGradient(t *testing.T, f convex.Fn, x []float64) {
	t.Helper()
	n := len(x)
	g, gp, gm := make([]float64, n), make([]float64, n), make([]float64, n)
	f.Grad(g, x)
	y := append([]float64(nil), x...)
	for i := range x {
		const h = 1e-5
		y[i] = x[i] + h
		up := f.Value(y)
		f.Grad(gp, y)
		y[i] = x[i] - h
		down := f.Value(y)
		f.Grad(gm, y)
		y[i] = x[i]
		if d := (up - down) / (2 * h); !near(d, g[i], 1e-5*(1+math.Abs(up))) {
			t.Fatalf("%s: Grad(%v)[%d] = %v, difference quotient %v", f.Name, x, i, g[i], d)
		}
		if f.Hess != nil {
			if d := (gp[i] - gm[i]) / (2 * h); !near(d, hess(f, x)[i], 1e-4) && math.Abs(gp[i]-2*g[i]+gm[i]) < 1e-8 {
				t.Fatalf("%s: Hess(%v)[%d] = %v, difference quotient %v", f.Name, x, i, hess(f, x)[i], d)
			}
		}
	}
}

// checkMinimiser fails if a step from p lowers the convex function f by more
// than rounding.
func checkMinimiser(t *testing.T, rng *rand.Rand, what string, p []float64, f func([]float64) float64) {
	t.Helper()
	at := f(p)
	if math.IsNaN(at) {
		t.Fatalf("%s: NaN", what)
	}
	q := make([]float64, len(p))
	for k := 0; k < 30; k++ {
		d := normal(rng, len(p), math.Pow(10, -float64(k%6)))
		if k%3 == 0 { // one coordinate at a time finds kinks
			keep := rng.IntN(len(p))
			for i := range d {
				if i != keep {
					d[i] = 0
				}
			}
		}
		for i := range q {
			q[i] = p[i] + d[i]
		}
		if v := f(q); v < at-1e-10*(1+math.Abs(at)) {
			t.Fatalf("%s: not a minimiser: %v at %v, %v at %v", what, at, p, v, q)
		}
	}
}

// TestPenalty checks a penalty on blocks of rows×cols: value against naive
// (nil: not checked), convexity, prox by its optimality conditions, and the
// polar by the generalised Cauchy-Schwarz inequality and its equality.
func TestPenalty(t *testing.T, p convex.Penalty, rows, cols int, naive func(z []float64) float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
	n := rows * cols
	val := func(z []float64) float64 { return p.Value(z, rows, cols) }
	if v := val(make([]float64, n)); v != 0 {
		t.Fatalf("%s: Value(0) = %v", p.Name, v)
	}
	for trial := 0; trial < 30; trial++ {
		x, y := normal(rng, n, math.Pow(4, float64(trial%5-2))), normal(rng, n, 1)
		vx := val(x)
		if naive != nil && !near(vx, naive(x), 1e-11) {
			t.Fatalf("%s: Value(%v) = %v, naive %v", p.Name, x, vx, naive(x))
		}
		if vx < 0 {
			t.Fatalf("%s: negative at %v", p.Name, x)
		}
		mid := make([]float64, n)
		for i := range mid {
			mid[i] = (x[i] + y[i]) / 2
		}
		if val(mid) > (vx+val(y))/2+1e-12*(1+vx) {
			t.Fatalf("%s: not convex between %v and %v", p.Name, x, y)
		}
		if p.GroupL2 > 0 && !near(vx, p.GroupL2*math.Sqrt(inner(x, x)), 1e-13) {
			t.Fatalf("%s: GroupL2 is %v but the value %v is not that of the norm", p.Name, p.GroupL2, vx)
		}
		if p.Polar != nil {
			for i := range mid {
				mid[i] = 3 * x[i]
			}
			if !near(val(mid), 3*vx, 1e-12) {
				t.Fatalf("%s: has Polar but is not homogeneous", p.Name)
			}
			if pol := p.Polar(y, rows, cols); inner(x, y) > pol*vx*(1+1e-12) {
				t.Fatalf("%s: x'y = %v > Polar(y)·Value(x) = %v", p.Name, inner(x, y), pol*vx)
			}
		}
		if p.Conj != nil {
			if c := p.Conj(y, rows, cols); vx+c < inner(x, y)-1e-10*(1+vx) {
				t.Fatalf("%s: Fenchel's inequality fails", p.Name)
			}
		}
		if p.Prox == nil {
			continue
		}
		for _, s := range []float64{1e-3, 0.4, 30} {
			w := make([]float64, n)
			p.Prox(w, x, rows, cols, s)
			checkMinimiser(t, rng, p.Name+": Prox", w, func(z []float64) float64 {
				d := distance(z, x)
				return s*val(z) + d*d/2
			})
			inPlace := append([]float64(nil), x...)
			p.Prox(inPlace, inPlace, rows, cols, s)
			if distance(inPlace, w) != 0 {
				t.Fatalf("%s: Prox in place differs", p.Name)
			}
			if p.Polar == nil {
				continue
			}
			// (x-w)/s is a subgradient at w: in the dual ball, and aligned.
			r := make([]float64, n)
			for i := range r {
				r[i] = (x[i] - w[i]) / s
			}
			if pol := p.Polar(r, rows, cols); pol > 1+1e-10 {
				t.Fatalf("%s: prox residual has polar %v", p.Name, pol)
			}
			if !near(inner(r, w), val(w), 1e-9) {
				t.Fatalf("%s: prox residual is not aligned: %v, %v", p.Name, inner(r, w), val(w))
			}
		}
	}
}

// TestOp checks that op is linear and that Adjoint is its adjoint.
func TestOp(t *testing.T, op convex.Op) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	for trial := 0; trial < 5; trial++ {
		x, z, y := normal(rng, op.Cols, 1), normal(rng, op.Cols, 1), normal(rng, op.Rows, 1)
		ax, az, aw, aty := normal(rng, op.Rows, 1), make([]float64, op.Rows), make([]float64, op.Rows), normal(rng, op.Cols, 1)
		op.Apply(ax, x)
		op.Apply(az, z)
		w := make([]float64, op.Cols)
		for i := range w {
			w[i] = x[i] - 2*z[i]
		}
		op.Apply(aw, w)
		for i := range aw {
			if !near(aw[i], ax[i]-2*az[i], 1e-11*math.Sqrt(float64(op.Cols))) {
				t.Fatalf("%s: not linear", op.Name)
			}
		}
		op.Adjoint(aty, y)
		if a, b := inner(ax, y), inner(x, aty); math.Abs(a-b) > 1e-12*math.Sqrt(inner(ax, ax)*inner(y, y))*math.Sqrt(float64(op.Cols+op.Rows)) {
			t.Fatalf("%s: (Ax)'y = %v but x'(A'y) = %v", op.Name, a, b)
		}
	}
}
