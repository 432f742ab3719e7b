package convex

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// Whatever is taken out of it, FISTA ends at the same optimum; and ADMM does
// with its penalty fixed.
func TestFirstOrderVariants(t *testing.T) {
	prog := matrixProgram(rand.New(rand.NewPCG(5, 6)), 30, 5, 2, Squared, GroupL1(0.4))
	want, err := SolveProgram(t.Context(), prog, &Settings{Use: Interior{}, Tol: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	for _, use := range []Solver{
		FISTA{}, FISTA{Momentum: "always"}, FISTA{Momentum: "none"}, FISTA{Momentum: "none", Step: 1e-3}, FISTA{Grow: 1},
		FISTA{Grow: 1.25, Room: 1}, FISTA{Grow: 1.25, Room: 5}, ADMM{Rho: 3, Fixed: true},
	} {
		sol, err := SolveProgram(t.Context(), prog, &Settings{Use: use})
		if err != nil || sol.Status != Optimal || math.Abs(sol.Primal/want.Primal-1) > 2e-6 {
			t.Errorf("%#v: %v %v, want the optimum %v", use, err, sol, want.Primal)
		}
	}
	sol, err := SolveProgram(t.Context(), prog, &Settings{Use: FISTA{Step: 1e3}})
	if err != nil || sol.Status != Numerical || math.IsNaN(sol.Primal) {
		t.Errorf("a step that is far too long: %v %v", err, sol)
	}
	for _, c := range []struct {
		use  FISTA
		want string
	}{
		{FISTA{Momentum: "heavy"}, "Momentum"}, {FISTA{Step: -1}, "Step"}, {FISTA{Grow: 0.5}, "Grow"}, {FISTA{Room: math.NaN()}, "Room"},
	} {
		if _, err := SolveProgram(t.Context(), prog, &Settings{Use: c.use}); err == nil || !strings.Contains(err.Error(), "FISTA."+c.want) {
			t.Errorf("%+v: error %v", c.use, err)
		}
	}
}
