package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// The proximal operator in the metric of the shared curvature meets its
// optimality conditions, on white and on correlated data, with more blocks than
// columns and fewer, for one output and several.
func TestSharedCurvatureProx(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, in := range []struct {
		spread float64
		c      int
		inPlay []int
	}{
		{1, 1, []int{0, 2, 3, 5, 8, 9, 12}},
		{30, 1, []int{0, 2, 3, 5, 8, 9, 12}},
		{30, 1, []int{0, 2, 3}},
		{1, 3, []int{0, 2, 3, 5, 8, 9, 12}},
		{30, 3, []int{0, 2, 3, 5, 8, 9, 12}},
	} {
		const n, d = 80, 6
		c := in.c
		X, y := mat.NewDense(n, d, nil), mat.NewDense(n, c, nil)
		for i := range n {
			for j := range d {
				X.Set(i, j, (0.5+rng.NormFloat64())*math.Pow(in.spread, float64(j)/d))
			}
			for o := range c {
				y.Set(i, o, rng.NormFloat64())
			}
		}
		prog, err := Lower(context.Background(), Problem{X: X, Y: y, Arch: GatedReLU{Penalty: "frobenius"}, Beta: 0.7}, &Settings{Samples: 20})
		if err != nil {
			t.Fatal(err)
		}
		r := newScreened(prog, nil)
		s := r.shared
		if s == nil || (r.metric == nil) != (in.spread == 1) {
			t.Fatalf("%+v: shared curvature %v, metric %v", in, s != nil, r.metric)
		}
		r.inPlay = in.inPlay
		r.use(r.inPlay)
		k, bs := len(r.inPlay), d*c
		r.norm = make([]float64, k)
		r.step = 3
		z, g, next := make([]float64, k*bs), make([]float64, k*bs), make([]float64, k*bs)
		for i := range z {
			z[i], g[i] = rng.NormFloat64(), 5*rng.NormFloat64()
		}
		s.product(s.y, z)
		if !s.prox(r, next, z, g) {
			t.Fatal("no proximal point")
		}
		w := make([]float64, (d+1)*c)
		s.product(w, next)
		for i := range w {
			w[i] -= s.y[i]
		}
		active := 0
		for p := range k {
			u := next[p*bs:][:bs]
			rest := make([]float64, bs) // minus the gradient of the smooth part
			for j := range rest {
				i, o, at := j/c, j%c, p*bs+j
				h := r.step
				if r.metric != nil {
					h *= r.metric[i]
				}
				rest[j] = -g[at] - h*(u[j]-z[at]) - s.alpha[p]*s.root[i]*w[j] - s.h[p*d+i]*w[d*c+o]
			}
			if nu := norm2(u); nu > 0 {
				active++
				axpy(-0.7/nu, u, rest)
				if norm2(rest) > 1e-4 {
					t.Errorf("%+v: block %d is off by %g", in, p, norm2(rest))
				}
			} else if norm2(rest) > 0.7*(1+1e-6) {
				t.Errorf("%+v: block %d should not be zero", in, p)
			}
		}
		if active == 0 {
			t.Errorf("%+v: no block is active", in)
		}
	}
}

// Descent returns the objective of the network it leaves, below that of the one
// it was given, for smooth losses and those with kinks, for white data and data
// whose columns differ.
func TestDescent(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const n, d, k, beta = 60, 5, 30, 0.05
	for _, spread := range []float64{1, 100, 1e7} {
		X, y := mat.NewDense(n, d, nil), make([]float64, n)
		for i := range y {
			for j := 0; j < d; j++ {
				X.Set(i, j, rng.NormFloat64()*math.Pow(spread, float64(j)/(d-1)))
			}
			y[i] = 1 - 2*float64(i%2)
		}
		for _, l := range []Loss{Squared, Logistic, Hinge} {
			loss, err := l.New(y)
			if err != nil {
				t.Fatal(err)
			}
			value := func(net []neuron) float64 {
				f, cost := make([]float64, n), 0.0
				for _, nr := range net {
					cost += beta * norm2(nr.v)
					for i := range f {
						f[i] += nr.sign * math.Max(0, dot(X.RawRowView(i), nr.v))
					}
				}
				return loss.Value(f) + cost
			}
			net := make([]neuron, k)
			for j := range net {
				net[j] = neuron{make([]float64, d), 1 - 2*float64(j%2)}
				for i := range net[j].v {
					net[j].v[i] = 0.1 * rng.NormFloat64() / math.Pow(spread, float64(i)/(d-1))
				}
			}
			before := value(net)
			for _, how := range []pace{{steps: 300}, {steps: 300, gentle: true}, {steps: 300, join: true}} {
				end, got := newDescent(X, loss, beta).run(net, how, generationSpan(context.Background()))
				if after := value(end); math.Abs(got-after) > 1e-9*after || !(after < 0.9*before) {
					t.Errorf("%s, spread %g, %+v: from %g to %g with %d neurons, reported %g", l.Name, spread, how, before, after, len(end), got)
				}
				if again := value(net); again != before {
					t.Errorf("%s, spread %g, %+v: changes the network it was given", l.Name, spread, how)
				}
				if how.join && len(end) >= k {
					t.Errorf("%s, spread %g: joins none of %d neurons", l.Name, spread, k)
				}
			}
			// Weight decay that leaves no neuron: the network that is best is empty.
			end, got := newDescent(X, loss, 1e9*spread).run(net, pace{steps: 300, join: true}, generationSpan(context.Background()))
			if zero := value(nil); len(end) > 0 || got != zero {
				t.Errorf("%s, spread %g: %d neurons at %g where all weights should be zero at %g", l.Name, spread, len(end), got, zero)
			}
		}
	}
}

// Neurons of one sign that point the same way add up to one; those at zero are
// left out.
func TestAlike(t *testing.T) {
	v, sgn := []float64{
		1, 0,
		0, 0,
		3, 0.1,
		0, 2,
		2, 0,
	}, []float64{1, 1, 1, 1, -1}
	c := alike(v, sgn, 0.99)
	if !slices.Equal(c.of, []int{0, -1, 0, 1, 2}) || !slices.Equal(c.sgn, []float64{1, 1, -1}) {
		t.Errorf("clusters %v of signs %v", c.of, c.sgn)
	}
	if got := c.sum(v); !slices.Equal(got, []float64{4, 0.1, 0, 2, 2, 0}) {
		t.Errorf("sums %v", got)
	}
	if c := alike(make([]float64, 4), []float64{1, 1}, 0.99); len(c.sgn) != 0 || len(c.sum(make([]float64, 4))) != 0 {
		t.Errorf("neurons at zero make clusters %v", c)
	}
}

// A step may take residuals from one end of Huber's loss to the other, where the
// second derivative is zero at both: the loss still curves between.
func TestScreenedHuber(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	for _, c := range []int{1, 2} {
		Y := mat.NewDense(15, c, nil)
		for i := range 15 {
			for o := range c {
				Y.Set(i, o, float64(1-2*(i%2)))
			}
		}
		p := Problem{X: randomMatrix(rng, 15, 5), Y: Y, Arch: GatedReLU{}, Loss: Huber(0.5), Beta: 0.1}
		sol, err := Solve(context.Background(), p, &Settings{Solver: "screened-fista", MaxPatterns: 500, MaxIter: 20_000})
		if err != nil || sol.Status != Optimal {
			t.Errorf("%d outputs: %v %v", c, sol, err)
		}
	}
}

// First steps in float32 change neither the optimum nor its certificate.
func TestFirstStepsInSinglePrecision(t *testing.T) {
	defer func(n int) { singleFrom = n }(singleFrom)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, in := range []struct {
		loss    Loss
		c       int
		penalty string
		shift   float64
	}{
		{Squared, 1, "", 0}, {Squared, 3, "frobenius", 2}, {Squared, 2, "nuclear", 0}, {Logistic, 1, "", 2}, {Huber(1), 2, "per_output", 0},
	} {
		const n, d = 150, 6
		X, Y := mat.NewDense(n, d, nil), mat.NewDense(n, in.c, nil)
		for i := range n {
			for j := range d {
				X.Set(i, j, in.shift+rng.NormFloat64())
			}
			for o := range in.c {
				Y.Set(i, o, math.Copysign(1, X.At(i, o)*X.At(i, 5)+0.3*rng.NormFloat64()))
			}
		}
		p := Problem{X: X, Y: Y, Arch: GatedReLU{Penalty: in.penalty}, Loss: in.loss, Beta: 2}
		var objective []float64
		for _, from := range []int{1, math.MaxInt} {
			singleFrom = from
			sol, err := Solve(context.Background(), p, &Settings{Solver: "screened-fista", Samples: 30, Tol: 1e-7, NoPrune: true})
			if err != nil || sol.Status != Optimal || sol.Gap > 1e-7 {
				t.Fatalf("%s, %d outputs, %s, float32 from %d: %v %v", in.loss.Name, in.c, in.penalty, from, sol, err)
			}
			objective = append(objective, sol.Primal)
		}
		if e := math.Abs(objective[0]/objective[1] - 1); e > 2e-7 {
			t.Errorf("%s, %d outputs, %s: %.12g in float32 first, %.12g without", in.loss.Name, in.c, in.penalty, objective[0], objective[1])
		}
	}
}

// Data that float32 cannot hold are left in float64. With X and beta scaled
// alike the optimum is the same.
func TestSinglePrecisionOnlyWhereItHolds(t *testing.T) {
	defer func(n int) { singleFrom = n }(singleFrom)
	singleFrom = 1
	rng := rand.New(rand.NewPCG(7, 8))
	X, y := randomMatrix(rng, 120, 5), randomMatrix(rng, 120, 1)
	var objective []float64
	for _, s := range []float64{1, 1e-42, 1e30} {
		var sX mat.Dense
		sX.Scale(s, X)
		p := Problem{X: &sX, Y: y, Arch: GatedReLU{}, Beta: 2 * s}
		sol, err := Solve(context.Background(), p, &Settings{Solver: "screened-fista", Samples: 30, Tol: 1e-7, NoPrune: true})
		if err != nil || sol.Status != Optimal {
			t.Fatalf("X times %g: %v %v", s, sol, err)
		}
		objective = append(objective, sol.Primal)
		if e := math.Abs(sol.Primal/objective[0] - 1); e > 2e-7 {
			t.Errorf("X times %g: %.12g, want %.12g", s, sol.Primal, objective[0])
		}
	}
}
