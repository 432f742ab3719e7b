package convex_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/gonvex/gonvex/convex"
)

// The semidefinite programs of the architectures that have one, solved as such
// and as programs by a first-order method: the same optimum, and the first
// variables of the conic solution are a point of the program.
func TestArchitecturesAsSDP(t *testing.T) {
	for _, name := range []string{"linear_cnn_t0", "linear_cnn_t1", "deep_linear_t3", "linear_vector_t1", "deep_linear_a",
		"polynomial_t3", "polynomial_t4", "polynomial_a", "14_gated_vector_nuclear", "11_linear_cnn_nuclear"} {
		p, err := convex.ReadProblem("testdata/problems/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		for _, bias := range []bool{false, true} {
			p.OutputBias = bias
			t.Run(fmt.Sprint(name, bias), func(t *testing.T) {
				prog, err := convex.Lower(t.Context(), p, nil)
				if err != nil {
					t.Fatal(err)
				}
				q, err := prog.SDP()
				if err != nil {
					t.Fatal(err)
				}
				if len(q.Semidefinite) == 0 || len(q.SecondOrder) != 0 {
					t.Fatalf("cones %v and %v", q.SecondOrder, q.Semidefinite)
				}
				sdp, err := convex.SolveConic(t.Context(), q, nil)
				if err != nil || sdp.Status != convex.Optimal {
					t.Fatal(sdp, err)
				}
				sol, err := convex.SolveProgram(t.Context(), prog, &convex.Settings{Solver: "fista", Tol: 1e-9})
				if err != nil || sol.Status != convex.Optimal {
					t.Fatal(sol, err)
				}
				if e := math.Abs(sdp.Primal-sol.Primal) / sol.Primal; e > 1e-8 {
					t.Errorf("semidefinite program %.12g, program %.12g (%.1e)", sdp.Primal, sol.Primal, e)
				}
				net, err := prog.Decode(sdp.X[:prog.Op.Cols])
				if err != nil {
					t.Fatal(err)
				}
				if v, err := net.Objective(p); err != nil || math.Abs(v-sol.Primal) > 1e-6*sol.Primal {
					t.Errorf("the semidefinite program's network has objective %.12g, want %.12g (%v)", v, sol.Primal, err)
				}
			})
		}
	}
}
