package convex

import "time"

// Solution is the result of a solve, with its certificate.
type Solution struct {
	Primal        float64 // objective of the network, recomputed from scratch (of the feasible point when there is no network)
	Lower         float64 // certified lower bound on the optimum of the program
	Gap           float64 // (Primal-Lower)/|Primal|
	Infeasibility float64 // largest cone violation of the solver's point, relative to its data and norm
	Scope         Scope
	Status        Status
	Solver        string
	Iterations    int
	Elapsed       time.Duration
	Backend       string // linear algebra behind the run

	// NetworkObjective is the objective of Program.Problem at Network. It is
	// Primal unless the program was changed after Lower.
	NetworkObjective float64

	Point       *Point
	Certificate Certificate
	Network     *Network
	Trace       []Progress
	Program     *Program
}
