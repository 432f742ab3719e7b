// Package convex trains neural networks to their global optimum by convex
// programming, and proves it.
//
// A [Problem] (data, architecture, loss, weight decay) is lowered to a
// [Program] (a convex data term, a linear operator, a penalty over blocks of
// variables and cones on those blocks). A [Solver] finds a [Point] of the
// program; [Certify] computes a lower bound on the optimum from that point by
// duality, without trusting the solver; and the point is mapped back to a
// [Network] whose own non-convex objective is recomputed from scratch.
//
//	sol, err := convex.Solve(ctx, convex.Problem{X: X, Y: y, Arch: convex.ReLU{}, Beta: 1e-3}, nil)
//
// Conventions that hold everywhere:
//
//   - A loss is a sum over samples, never a mean.
//   - Weight decay is beta/2 (|u|² + |a|²) per neuron, which makes beta the
//     weight of a group norm in the convex program.
//   - Data and penalty are never rescaled silently.
//   - A bias is a column of ones the user appends to X; its weight decays like
//     the rest.
//   - A c-output prediction is n×c; flat vectors of predictions and of d×c
//     blocks are row-major.
//
// The formulations are those of Pilanci & Ergen (ICML 2020, arXiv 2002.10553)
// for ReLU networks and of Mishkin, Sahiner & Pilanci (ICML 2022, arXiv
// 2202.01331) for gated ReLU networks.
package convex
