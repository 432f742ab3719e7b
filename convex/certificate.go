package convex

// Certificate is what Certify proves about a point.
type Certificate struct {
	Primal        float64   // objective of the feasible point X
	Lower         float64   // lower bound on the optimum of the program
	Gap           float64   // relative
	Infeasibility float64   // largest cone violation of the point given, relative
	X             []float64 // a feasible point: the one given, projected on the cones where needed
	Dual          []float64 // dual feasible v behind Lower
	Scope         Scope
}
