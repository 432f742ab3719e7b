package convex

import (
	"errors"
	"time"

	"gonum.org/v1/gonum/mat"
)

// Solution is the result of a solve, with its certificate.
type Solution struct {
	Primal        float64 // objective of the network, recomputed from scratch (of the feasible point when there is no network)
	Lower         float64 // certified lower bound on the optimum of the program
	Gap           float64 // (Primal-Lower)/|Primal|; 0 where rounding of the predictions makes more of a difference
	Infeasibility float64 // largest cone violation of the solver's point, relative to its data and norm
	Scope         Scope
	// GlobalLower is a lower bound on the optimum over all networks of the
	// architecture. With Scope Global it is Lower; with Scope Restricted it is
	// usually far weaker; -Inf when there is none.
	GlobalLower float64
	Status      Status
	Solver      string
	Iterations  int
	Elapsed     time.Duration
	Backend     string // linear algebra behind the run

	// NetworkObjective is the objective of Program.Problem at Network. It is
	// Primal unless the program was changed after Lower.
	NetworkObjective float64

	Point       *Point
	Certificate Certificate
	Network     *Network
	Trace       []Progress
	Program     *Program
}

// Predict returns the network's n×c predictions for the rows of X.
func (s *Solution) Predict(X mat.Matrix) (*mat.Dense, error) {
	if s == nil {
		return nil, errors.New("convex: Predict: the solution is nil: look at the error that came with it")
	}
	if s.Network == nil {
		return nil, errors.New("convex: Predict: the solution has no network: its program was built without Decode")
	}
	return s.Network.Predict(X)
}

// TraceSeconds, TraceGap, TracePrimal and TraceLower are the columns of Trace,
// to plot.
func (s *Solution) TraceSeconds() []float64 {
	return s.column(func(p Progress) float64 { return p.Elapsed.Seconds() })
}

// TraceGap is the relative gap of every report.
func (s *Solution) TraceGap() []float64 {
	return s.column(func(p Progress) float64 { return p.Gap })
}

// TracePrimal is the objective of every report.
func (s *Solution) TracePrimal() []float64 {
	return s.column(func(p Progress) float64 { return p.Primal })
}

// TraceLower is the lower bound of every report.
func (s *Solution) TraceLower() []float64 {
	return s.column(func(p Progress) float64 { return p.Lower })
}

func (s *Solution) column(f func(Progress) float64) []float64 {
	out := make([]float64, len(s.Trace))
	for i, p := range s.Trace {
		out[i] = f(p)
	}
	return out
}
