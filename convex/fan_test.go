package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func gauss(rng *rand.Rand, r, c int) *mat.Dense {
	x := make([]float64, r*c)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return mat.NewDense(r, c, x)
}

// The exact maximum over the circle is that of a fine grid, from above, and
// grids never find more.
func TestFan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, rows := range [][2]int{{1, 1}, {2, 1}, {7, 1}, {7, 3}, {200, 2}} {
		n, width := rows[0], rows[1]
		X, C := gauss(rng, n, 2), gauss(rng, n, width)
		X.SetRow(0, []float64{1, 0})
		if n > 4 {
			X.SetRow(1, []float64{-3, 0}) // parallel to row 0
			X.SetRow(2, []float64{0, 0})
			X.SetRow(3, []float64{1, 1e-13})
		}
		plane, basis, ok := planeOf(X)
		if !ok {
			t.Fatal("rank above 2")
		}
		ps, bound := newFan(plane).peaks(C.RawMatrix().Data, width)
		f := vectorFamily(&Problem{}, &checked{X: X, n: n, c: width})
		value := func(angle float64) float64 {
			u := inPlane(basis, angle)
			s := make([]float64, width)
			F := f.column(u)
			for p, v := range C.RawMatrix().Data {
				axpy(v, F[p*width:(p+1)*width], s)
			}
			return norm2(s)
		}
		top := 0.0
		for k := range 100_000 {
			top = math.Max(top, value(2*math.Pi*float64(k)/100_000))
		}
		if top > bound || top < bound*(1-1e-6) {
			t.Errorf("%d rows: grid %.15g, bound %.15g", n, top, bound)
		}
		for _, p := range ps {
			if v := value(p.angle); math.Abs(v-p.value) > 1e-12*bound {
				t.Errorf("%d rows: peak %v has %v", n, p, v)
			}
		}
	}
	if ps, bound := newFan(make([][2]float64, 3)).peaks(make([]float64, 3), 1); len(ps) != 0 || bound != 0 {
		t.Error(ps, bound)
	}
}

// So is the maximum over filters and middle weights of tied networks.
func TestTiedPlane(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 3, 5, 12} {
		for _, kind := range []string{"general", "same patches", "integers", "overlapping", "one pixel"} {
			A, B := gauss(rng, n, 2), gauss(rng, n, 2)
			switch kind {
			case "same patches":
				B.Copy(A)
			case "integers": // many parallel rows and zeros
				for _, M := range []*mat.Dense{A, B} {
					M.Apply(func(_, _ int, v float64) float64 { return math.Round(v) }, M)
				}
			case "overlapping":
				for i := range n {
					B.Set(i, 0, A.At(i, 1))
				}
			case "one pixel":
				A, B = mat.DenseCopyOf(A.Slice(0, n, 0, 1)), mat.DenseCopyOf(B.Slice(0, n, 0, 1))
			}
			_, h := A.Dims()
			m := &twoLevel{X: []mat.Matrix{A, B}, K: 2, n: n, h: h}
			v := flatten(gauss(rng, n, 1))
			plane := m.plane()
			bound := plane.bound(context.Background(), v, 0, 1e-9)
			const grid = 250
			top := 0.0
			for i := range grid {
				u := inPlane(plane.basis, 2*math.Pi*float64(i)/grid)
				for j := range grid {
					s, c := math.Sincos(2 * math.Pi * float64(j) / grid)
					top = math.Max(top, m.neuronValue(v, append(append([]float64(nil), u...), c, s), nil))
				}
			}
			if top > bound*(1+1e-12) || top < bound*(1-0.05) {
				t.Errorf("%d samples, %s: grid %.12g, bound %.12g", n, kind, top, bound)
			}
			best := 0.0
			for _, theta := range plane.price(v) {
				best = math.Max(best, m.neuronValue(v, theta, nil))
			}
			if best > bound*(1+1e-12) || best < bound*(1-1e-7) {
				t.Errorf("%d samples, %s: best neuron %.12g, bound %.12g", n, kind, best, bound)
			}
			if w := m.spectral(context.Background(), v, true); w < bound*(1-1e-9) {
				t.Errorf("%d samples, %s: spectral bound %v below the maximum %v", n, kind, w, bound)
			}
		}
	}
}

// The relaxations without cones have the values of an independent solver, and
// bounds over all neurons are bounds.
func TestRelaxation(t *testing.T) {
	for name, want := range map[string]float64{
		"cnn_flatten_b": 0.1736590191, "cnn_flatten_c": 0.3023187020,
		"relu_vector_a": 1.4498594499, "relu_vector_b": 3.2154191077,
	} {
		p, err := ReadProblem("testdata/problems/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		p.Loss = p.Loss.orDefault()
		c, err := p.check()
		if err != nil {
			t.Fatal(err)
		}
		f := vectorFamily(&p, c)
		if c.X == nil {
			f = flattenedFamily(&p, c)
		}
		s := (&Settings{Tol: 1e-9}).withDefaults()
		all, err := EnumeratePatterns(context.Background(), f.X, 0)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := f.relaxation(context.Background(), all.Distinct(), s)
		if err != nil {
			t.Fatal(err)
		}
		prog.Problem = p
		sol, err := SolveProgram(context.Background(), prog, s)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(sol.Lower-want) > 1e-8*want || sol.Status != Bounded {
			t.Errorf("%s: lower bound %.12g (%v), want %.12g", name, sol.Lower, sol.Status, want)
		}
		exact, err := Solve(context.Background(), p, nil)
		if err != nil || math.Abs(sol.Primal-exact.Primal) > 1e-5*exact.Primal {
			t.Errorf("%s: the search found %.12g, the optimum is %.12g (%v)", name, sol.Primal, exact.Primal, err)
		}
		rows, basis, _ := planeOf(f.X)
		fan := newFan(rows)
		v := sol.Certificate.Dual
		ps, M := fan.peaks(f.coefficients(v), f.width)
		if w := f.bound(context.Background(), v); w < M*(1-1e-12) || f.spectral(f.coefficients(v)) < M {
			t.Errorf("%s: bounds %v and %v below the maximum %v", name, w, f.spectral(f.coefficients(v)), M)
		}
		// Local search finds the maximum too.
		best := 0.0
		hill := &rectifiedHill{f: f, v: v, z: make([]float64, len(rows)), theta: make([]float64, len(rows)), w: make([]float64, f.width)}
		for _, u := range f.climb(context.Background(), f.search(context.Background(), s), v, [][]float64{inPlane(basis, ps[0].angle)}, rand.New(rand.NewPCG(1, 1))) {
			best = math.Max(best, hill.value(u, nil))
		}
		if math.Abs(best-M) > 1e-9*M {
			t.Errorf("%s: local search %.12g, maximum %.12g", name, best, M)
		}
	}
}

// At a small beta too the relaxation is solved to the tolerance, in few steps:
// first-order methods end at their iteration limit.
func TestRelaxationSmallBeta(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 64))
	A, B, y := gauss(rng, 6, 3), gauss(rng, 6, 3), gauss(rng, 6, 1)
	for _, p := range []Problem{
		{Patches: []mat.Matrix{A, B}, Y: y, Arch: CNN{Pool: "flatten"}},
		{Patches: []mat.Matrix{A, B}, Y: y, Arch: CNN{Pool: "flatten"}, OutputBias: true},
		{X: A, Y: B, Arch: ReLU{}},
	} {
		for _, p.Beta = range []float64{1e-2, 1e-5} {
			sol, err := Solve(t.Context(), p, nil)
			if err != nil || !(sol.Certificate.Gap <= 1e-6) || sol.Status != Bounded && sol.Status != Optimal || sol.Iterations > 200 {
				t.Errorf("%s, beta %g: %v: %v", p.Arch.Name(), p.Beta, sol, err)
			}
		}
	}
}

// However many neurons a search tried, it leaves no more than an optimum needs.
func TestSearchPrunes(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	p := &Problem{X: gauss(rng, 6, 4), Y: gauss(rng, 6, 2), Loss: L1, Beta: 1e-3}
	of, err := p.check()
	if err != nil {
		t.Fatal(err)
	}
	f, s := vectorFamily(p, of), (*Settings)(nil).withDefaults()
	found, err := f.search(context.Background(), s).grow(context.Background(), f.directions(maxPruned), 1e-6, 1)
	if err != nil || len(found.u) > 12 {
		t.Errorf("%d neurons for 12 predictions (%v)", len(found.u), err)
	}
}
