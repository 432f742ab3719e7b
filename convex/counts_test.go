package convex_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

// The counts of FORMULATIONS A1: general position reaches Cover's number, and
// the papers' bound is far above; patches count as nK rows.
func TestCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 0))
	for _, c := range []struct {
		n, d, rank, cells int
		paper             float64
	}{{6, 2, 2, 12, 184.7}, {8, 3, 3, 58, 1531.0}, {8, 5, 5, 198, math.NaN()}} {
		X := randomDense(rng, c.n, c.d)
		sol, err := convex.Solve(t.Context(), convex.Problem{X: X, Y: randomDense(rng, c.n, 1), Beta: 0.1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := sol.Program.Counts()
		if got.Cells != c.cells || got.Cover != float64(c.cells) || got.Rank != c.rank || got.Rows != c.n || got.Neurons != c.n+1 {
			t.Errorf("n=%d d=%d: %+v", c.n, c.d, got)
		}
		if !math.IsNaN(c.paper) && math.Abs(got.Paper-c.paper) > 0.05 {
			t.Errorf("n=%d d=%d: the papers' bound is %.1f, want %.1f", c.n, c.d, got.Paper, c.paper)
		}
		if sol.Network.Neurons() > got.Neurons {
			t.Errorf("%d neurons", sol.Network.Neurons())
		}
		for _, want := range []string{fmt.Sprintf("at most n+1 = %d", c.n+1), fmt.Sprintf("at most %d by Cover", c.cells), fmt.Sprintf("%.0f by 2r(e(n-1)/r)^r", math.Floor(got.Paper))} {
			if !strings.Contains(sol.String(), want) || !strings.Contains(sol.HTML(), want) {
				t.Errorf("no %q in\n%s", want, sol)
			}
		}
	}
	patches := []mat.Matrix{randomDense(rng, 5, 2), randomDense(rng, 5, 2), randomDense(rng, 5, 2)}
	prog, err := convex.Lower(t.Context(), convex.Problem{Patches: patches, Y: randomDense(rng, 5, 1), Arch: convex.CNN{}, Beta: 0.1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := prog.Counts(); c.Rows != 15 || c.Rank != 2 || c.Cells != 30 || c.Cover != 30 {
		t.Errorf("CNN: %+v", c)
	}
}
