package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func toyProblem(beta float64) Problem {
	return Problem{
		X:    mat.NewDense(5, 2, []float64{-2, 1, -1, 1, 0, 1, 1, 1, 2, 1}),
		Y:    mat.NewVecDense(5, []float64{1, -1, 1, 1, -1}),
		Beta: beta,
	}
}

// Whatever a solver hands over, the certificate brackets the optimum.
func TestCertifyTrustsNobody(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	X := randomMatrix(rng, 10, 3)
	signs := mat.NewVecDense(10, nil)
	for i := 0; i < 10; i++ {
		signs.SetVec(i, float64(2*rng.IntN(2)-1))
	}
	ctx := context.Background()
	for _, a := range []Arch{ReLU{}, GatedReLU{}} {
		for _, l := range losses() {
			p := Problem{X: X, Y: signs, Arch: a, Loss: l, Beta: 0.3}
			prog, err := Lower(ctx, p, nil)
			if err != nil {
				t.Fatal(err)
			}
			sol, err := SolveProgram(ctx, prog, &Settings{Tol: 1e-8})
			if err != nil {
				t.Fatal(err)
			}
			for trial := 0; trial < 30; trial++ {
				pt := &Point{X: make([]float64, prog.Op.Cols), Dual: make([]float64, prog.Op.Rows)}
				size := math.Pow(10, float64(trial%5-3))
				for i := range pt.X {
					pt.X[i] = size * rng.NormFloat64()
				}
				for i := range pt.Dual {
					pt.Dual[i] = 3 * size * rng.NormFloat64()
				}
				switch trial % 4 {
				case 1: // near the optimum, but off it
					for i, v := range sol.Point.X {
						pt.X[i] = v + 1e-3*pt.X[i]
					}
				case 2:
					pt.Dual = nil
				case 3:
					pt.Dual[3] = math.NaN()
				}
				c, err := Certify(ctx, prog, pt)
				if err != nil {
					t.Fatal(err)
				}
				if c.Lower > sol.Primal*(1+1e-12) {
					t.Errorf("%s %s: lower bound %v above the optimum %v", a.Name(), l.Name, c.Lower, sol.Primal)
				}
				if c.Primal < sol.Lower*(1-1e-12) {
					t.Errorf("%s %s: primal %v below the optimum %v", a.Name(), l.Name, c.Primal, sol.Lower)
				}
				if c.Infeasibility > 1e-10 {
					t.Errorf("%s %s: infeasibility %v after repair", a.Name(), l.Name, c.Infeasibility)
				}
				net, err := prog.Decode(c.X)
				if err != nil {
					t.Fatal(err)
				}
				if v, err := net.Objective(p); err != nil || math.Abs(v-c.Primal) > 1e-9*c.Primal {
					t.Errorf("%s %s: network %v, program %v (%v)", a.Name(), l.Name, v, c.Primal, err)
				}
			}
		}
	}
}

func TestCertifyRefuses(t *testing.T) {
	ctx := context.Background()
	prog, err := Lower(ctx, toyProblem(0.1), nil)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, prog.Op.Cols)
	for _, pt := range []*Point{nil, {}, {X: x[:3]}, {X: append(x[1:], math.NaN())}} {
		if _, err := Certify(ctx, prog, pt); err == nil {
			t.Errorf("%v accepted", pt)
		}
	}
	if _, _, err := DualBound(ctx, prog, []float64{1}); err == nil {
		t.Error("dual of the wrong length accepted")
	}
	// Without a conjugate there is no bound, and that is not hidden.
	noConj := *prog
	noConj.Loss.Conj = nil
	c, err := Certify(ctx, &noConj, &Point{X: x})
	if err != nil || !math.IsInf(c.Lower, -1) || !math.IsInf(c.Gap, 1) {
		t.Errorf("no conjugate: %+v %v", c, err)
	}
	if _, _, err := DualBound(ctx, &noConj, make([]float64, prog.Op.Rows)); err == nil || !strings.Contains(err.Error(), "Conj of loss") {
		t.Errorf("no conjugate: %v", err)
	}
}

// The bound from a program's parts only, for a penalty that is no norm.
func TestDualBoundRidge(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	A := randomMatrix(rng, 8, 4)
	y := []float64{1, 2, 3, 4, 5, 6, 7, 8}
	loss, _ := Squared.New(y)
	const beta = 0.7
	prog := &Program{Name: "ridge", Samples: 8, Outputs: 1, Loss: loss, Op: DenseOp(A),
		Blocks: []Block{{0, 4, 1, 1}}, Penalty: Ridge(beta)}
	// The optimum in closed form.
	var G mat.Dense
	G.Mul(A.T(), A)
	for i := 0; i < 4; i++ {
		G.Set(i, i, G.At(i, i)+beta)
	}
	var b, x mat.VecDense
	b.MulVec(A.T(), mat.NewVecDense(8, y))
	if err := x.SolveVec(&G, &b); err != nil {
		t.Fatal(err)
	}
	c, err := Certify(context.Background(), prog, &Point{X: x.RawVector().Data})
	if err != nil || c.Gap > 1e-12 || c.Gap < -1e-12 {
		t.Errorf("ridge: %+v %v", c, err)
	}
}

// Cones given as matrices certify as those given by patterns do.
func TestGenericCones(t *testing.T) {
	ctx := context.Background()
	sol, err := Solve(ctx, toyProblem(0.05), &Settings{Tol: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	prog := *sol.Program
	prog.Cones = &Cones{Name: "by matrix", Block: sol.Program.Cones.Block}
	for _, noise := range []float64{0, 1e-3} {
		pt := &Point{X: append([]float64(nil), sol.Point.X...), Dual: sol.Point.Dual}
		for i := range pt.X {
			pt.X[i] += noise * math.Sin(float64(i))
		}
		a, err := Certify(ctx, sol.Program, pt)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Certify(ctx, &prog, pt)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(a.Primal-b.Primal) > 1e-12 || math.Abs(a.Lower-b.Lower) > 1e-9 {
			t.Errorf("noise %v: %v %v instead of %v %v", noise, b.Primal, b.Lower, a.Primal, a.Lower)
		}
	}
}

// A restricted optimum is not called global, and its bound may lie above the
// global optimum.
func TestRestrictedIsNotGlobal(t *testing.T) {
	ctx := context.Background()
	p := toyProblem(1e-2)
	full, err := Solve(ctx, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if full.Scope != Global {
		t.Errorf("scope %v with all patterns", full.Scope)
	}
	all := full.Program.Patterns
	p.Patterns = all.Subset([]int{0, 1, 2})
	some, err := Solve(ctx, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if some.Scope != Restricted || some.Status != Optimal || some.Lower <= full.Primal {
		t.Errorf("three patterns: %v", some)
	}
	// Given patterns that happen to be all of them are found to be.
	bits := all.Dense()
	if p.Patterns, err = NewPatterns(bits); err != nil {
		t.Fatal(err)
	}
	if again, err := Solve(ctx, p, nil); err != nil || again.Scope != Global {
		t.Errorf("all patterns, given: %v %v", again, err)
	}
	// Patterns complete for one matrix are not for another.
	rng := rand.New(rand.NewPCG(37, 38))
	p.X = randomMatrix(rng, 5, 3)
	for _, claim := range []*Patterns{all, {Complete: true, n: all.n, words: all.words, bits: all.bits}} {
		p.Patterns = claim
		prog, err := Lower(ctx, p, nil)
		if err != nil || prog.Scope != Restricted || prog.Patterns.Complete {
			t.Errorf("patterns of other data: %+v %v", prog, err)
		}
	}
}

// The bound over all patterns, enumerated and spectral, is one; and the bound
// from any network's predictions.
func TestGlobalBounds(t *testing.T) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(35, 36))
	for trial := 0; trial < 4; trial++ {
		n, d := 12, 2+trial%2
		X := randomMatrix(rng, n, d)
		y := mat.NewVecDense(n, nil)
		for i := 0; i < n; i++ {
			y.SetVec(i, float64(2*rng.IntN(2)-1))
		}
		for _, l := range losses() {
			p := Problem{X: X, Y: y, Loss: l, Beta: 0.3}
			full, err := Solve(ctx, p, nil)
			if err != nil {
				t.Fatal(err)
			}
			v := make([]float64, n)
			for i := range v {
				v[i] = rng.NormFloat64()
			}
			exact, spectral := (&reluBound{X: X}).polar(ctx, v, 0.3), (&reluBound{X: X}).spectral(v)/0.3
			for k := 0; k < 2000; k++ {
				u := randomMatrix(rng, d, 1).RawMatrix().Data
				normalise(u)
				m := 0.0
				for i := 0; i < n; i++ {
					m += v[i] * math.Max(0, dot(X.RawRowView(i), u))
				}
				if math.Abs(m)/0.3 > exact*(1+1e-12) {
					t.Fatalf("M is at least %v, enumeration says %v", math.Abs(m)/0.3, exact)
				}
			}
			if exact > spectral {
				t.Errorf("exact %v above spectral %v", exact, spectral)
			}
			some := p
			some.Patterns, _ = SamplePatterns(X, 6, 1)
			sol, err := Solve(ctx, some, nil)
			if err != nil {
				t.Fatal(err)
			}
			if sol.GlobalLower > full.Primal*(1+1e-12) || sol.Lower < full.Lower*(1-1e-9) {
				t.Errorf("%s: global bound %v, optimum %v, restricted bound %v", l.Name, sol.GlobalLower, full.Primal, sol.Lower)
			}
			if sol.Scope == Global && sol.Primal > full.Primal*(1+2e-6) {
				t.Errorf("%s: %v called global, the optimum is %v", l.Name, sol.Primal, full.Primal)
			}
			low, err := NetworkBound(ctx, p, sol.Network)
			if err != nil || low > full.Primal*(1+1e-12) {
				t.Errorf("%s: network bound %v, optimum %v (%v)", l.Name, low, full.Primal, err)
			}
			best, err := NetworkBound(ctx, p, full.Network)
			smooth := full.Program.Loss.Grad != nil
			if err != nil || (smooth && best < full.Primal*(1-1e-2)) {
				t.Errorf("%s: bound of the optimal network %v, optimum %v (%v)", l.Name, best, full.Primal, err)
			}
		}
	}
	// Patterns that matter suffice: the optimum over them is proved global.
	p := toyProblem(1e-2)
	full, err := Solve(ctx, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var used []int
	for g, b := range full.Program.Blocks {
		if norm2(b.Of(full.Certificate.X)) > 0 {
			used = append(used, g%full.Program.Patterns.Len())
		}
	}
	p.Patterns, _ = NewPatterns(full.Program.Patterns.Subset(used).Dense())
	sol, err := Solve(ctx, p, nil)
	if err != nil || sol.Program.Scope != Restricted || sol.Scope != Global || sol.Status != Optimal {
		t.Errorf("patterns in use: %v %v", sol, err)
	}
}
