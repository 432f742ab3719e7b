package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// With some of the patterns only, the bound over all networks of a pooled CNN
// stays below their optimum.
func TestPooledBoundOverSomePatterns(t *testing.T) {
	ctx := context.Background()
	for seed := uint64(0); seed < 6; seed++ {
		rng := rand.New(rand.NewPCG(seed, 7))
		const n, K, h = 5, 2, 2
		p := Problem{Y: randomMatrix(rng, n, 1), Beta: 0.2}
		for range K {
			p.Patches = append(p.Patches, randomMatrix(rng, n, h))
		}
		for _, pool := range []string{"sum", "average", "max"} {
			p.Arch = CNN{Pool: pool}
			p.Patterns = nil
			full, err := Solve(ctx, p, nil)
			if err != nil || full.Scope != Global {
				t.Fatalf("%s: %v, %v", pool, full, err)
			}
			M := mat.NewDense(n*K, h, nil)
			for k, X := range p.Patches {
				M.Slice(k*n, (k+1)*n, 0, h).(*mat.Dense).Copy(X)
			}
			if p.Patterns, err = SamplePatterns(M, 6, 1); err != nil {
				t.Fatal(err)
			}
			if pool == "max" {
				p.Patterns = full.Program.Patterns.Subset([]int{1, 4, 7, 10})
			}
			some, err := Solve(ctx, p, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !(some.GlobalLower > 0) || some.GlobalLower > full.Primal*(1+1e-12) {
				t.Errorf("%s: bound %v over all networks, their optimum is %v", pool, some.GlobalLower, full.Primal)
			}
		}
	}
}

// Max pooling over more patterns than are listed, with and without an output
// bias and at both ends of beta: a sample has one winner in every pattern, and
// the objective is the network's.
func TestMaxPoolingSearch(t *testing.T) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 2))
	const n, K, h = 8, 3, 4
	p := Problem{Y: randomMatrix(rng, n, 1), Arch: CNN{Pool: "max"}}
	for range K {
		p.Patches = append(p.Patches, randomMatrix(rng, n, h))
	}
	s := &Settings{MaxPatterns: 5000} // fewer than the winners, more than the signs
	for _, p.OutputBias = range []bool{false, true} {
		p.Beta = 1
		top, err := BetaMax(ctx, p, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, ratio := range []float64{0.05, 1.1} {
			p.Beta = ratio * top
			sol, err := Solve(ctx, p, s)
			if err != nil {
				t.Fatal(err)
			}
			pat := sol.Program.Patterns
			for g := range pat.Len() {
				if i := pat.secondWinner(g, K); i >= 0 {
					t.Fatalf("bias %v, beta %g: pattern %d of %v has two winners of sample %d", p.OutputBias, p.Beta, g, pat, i)
				}
			}
			v, err := Verify(p, sol.Network)
			if err != nil || v.Objective != sol.Primal || !(sol.GlobalLower <= v.Objective) || sol.Status != Optimal {
				t.Errorf("bias %v, beta %g: %v; the network's own objective is %v (%v)", p.OutputBias, p.Beta, sol, v, err)
			}
		}
	}
	both := mat.NewDense(1, n*K, nil)
	both.Set(0, 2, 1)
	both.Set(0, n+2, 1)
	var err error
	if p.Patterns, err = NewPatterns(both); err != nil {
		t.Fatal(err)
	}
	if _, err := Solve(ctx, p, nil); err == nil || !strings.Contains(err.Error(), "more than one winning patch of sample 2") {
		t.Errorf("two winners of a sample: %v", err)
	}
}

// Cones of many rows are solved over the few that matter, and the answer is that
// over all rows.
func TestThinCones(t *testing.T) {
	rng := rand.New(rand.NewPCG(67, 68))
	patches := make([]mat.Matrix, 6)
	for k := range patches {
		patches[k] = gauss(rng, 25, 3)
	}
	p := Problem{Patches: patches, Y: gauss(rng, 25, 1), Arch: CNN{Pool: "max"}, Beta: 0.3}
	s := &Settings{Samples: 150, MaxPatterns: 200}
	prog, err := Lower(t.Context(), p, s)
	if err != nil {
		t.Fatal(err)
	}
	if thin := (&thinCones{prog: prog}); !thin.many(0) {
		t.Fatal("the cones have few rows")
	}
	whole, err := SolveProgram(t.Context(), prog, &Settings{Use: Interior{}})
	if err != nil {
		t.Fatal(err)
	}
	thin, err := SolveProgram(t.Context(), prog, &Settings{Use: Pricing{}})
	if err != nil || thin.Status != Optimal || whole.Status != Optimal || math.Abs(thin.Primal-whole.Primal) > 2e-6*whole.Primal {
		t.Errorf("%v\n%v: %v", thin, whole, err)
	}
}
