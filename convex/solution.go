package convex

import "time"

// Solution is the result of a solve, with its certificate.
type Solution struct {
	Primal        float64 // objective of a feasible point, recomputed from scratch
	Lower         float64 // certified lower bound on the optimum of the program
	Gap           float64 // (Primal-Lower)/|Primal|
	Infeasibility float64 // largest cone violation of the solver's point, relative to its data and norm
	Scope         Scope
	Status        Status
	Solver        string
	Iterations    int
	Elapsed       time.Duration
	Backend       string // linear algebra behind the run

	Point       *Point
	Certificate Certificate
	Network     *Network
	Trace       []Progress
	Program     *Program
}
