package convex

import (
	"context"
	"math/rand/v2"
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
