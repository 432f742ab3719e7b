package convex

import (
	"context"
	"math"
	"sync"

	"gonum.org/v1/gonum/mat"
)

// maxCertified is how many patterns are enumerated to certify a network that
// was trained on fewer. It is far above the number a program is solved over:
// one pass over the patterns, and no variables.
const maxCertified = 200_000

// reluBound bounds M(v) = max { |v'(Xu)_+| : |u|₂ ≤ 1 }, the dual constraint of
// a ReLU network over all patterns, from above.
type reluBound struct {
	X    *mat.Dense
	once sync.Once
	all  *Patterns // every pattern; nil when there are too many
}

// polar is an upper bound on M(v)/beta: exact (to the accuracy of the cone
// projections) when all patterns can be enumerated, else by the spectral bound.
func (r *reluBound) polar(ctx context.Context, v []float64, beta float64) float64 {
	M := r.spectral(v) / beta
	if ctx.Err() != nil {
		return M
	}
	r.once.Do(func() {
		n, d := r.X.Dims()
		if CoverCount(n, min(n, d)) > maxCertified {
			return // general data of this shape have too many: do not try
		}
		if p, err := EnumeratePatterns(ctx, r.X, maxCertified); err == nil {
			r.all = p.Distinct()
		}
	})
	if r.all == nil {
		return M
	}
	m := &MaskedData{X: r.X, Patterns: r.all, Signed: true}
	prog := &Program{Op: m.Op(), Blocks: m.Blocks(), Penalty: GroupL1(beta), Cones: m.Cones()}
	g := make([]float64, prog.Op.Cols)
	prog.Op.Adjoint(g, v)
	return math.Min(M, prog.maxPolar(ctx, g, nil))
}

// spectral bounds M(v) without patterns: with (t)_+ = (t+|t|)/2 and w = (sv)_+,
//
//	s v'(Xu)_+ ≤ ½ s v'Xu + ½ Σ w_i |x_i'u| ≤ ½|X'v| + ½ √(1'w · λmax(X' diag(w) X)).
func (r *reluBound) spectral(v []float64) float64 {
	var g mat.VecDense
	g.MulVec(r.X.T(), mat.NewVecDense(len(v), v))
	M := 0.0
	for _, s := range []float64{1, -1} {
		M = math.Max(M, (norm2(g.RawVector().Data)+weightedTop(r.X, v, s))/2)
	}
	return M * (1 + 1e-12)
}

// weightedTop is √(1'w · λmax(Σ_r w_i x_r x_r')) with w = (sv)_+, where row r of X
// is a patch of sample i = r mod n, n numbers in v.
func weightedTop(X *mat.Dense, v []float64, s float64) float64 {
	rows, d := X.Dims()
	W := mat.NewDense(rows, d, nil)
	sum := 0.0
	for i, t := range v {
		if t *= s; t > 0 {
			sum += t
			for r := i; r < rows; r += len(v) {
				copy(W.RawRowView(r), X.RawRowView(r))
				scale(math.Sqrt(t), W.RawRowView(r))
			}
		}
	}
	return math.Sqrt(sum) * largestSingular(W)
}

// largestSingular is the largest singular value of W, from the smaller of its
// two Gram matrices; if that fails, the Frobenius norm, which is no smaller.
func largestSingular(W *mat.Dense) float64 {
	n, d := W.Dims()
	var G mat.SymDense
	if d <= n {
		G.SymOuterK(1, W.T())
	} else {
		G.SymOuterK(1, W)
	}
	var e mat.EigenSym
	if !e.Factorize(&G, false) {
		return mat.Norm(W, 2)
	}
	values := e.Values(nil)
	return math.Sqrt(math.Max(0, values[len(values)-1]))
}

// globalLower is a lower bound on the optimum over all patterns from the dual
// candidates of a point.
func (prog *Program) globalLower(ctx context.Context, candidates ...[]float64) float64 {
	best := math.Inf(-1)
	if prog.AllPatterns == nil || prog.Loss.Conj == nil {
		return best
	}
	for _, v := range candidates {
		if len(v) != prog.Op.Rows {
			continue
		}
		v, _ = prog.orthogonalToFree(v)
		limit := math.Inf(1)
		if M := prog.AllPatterns(ctx, v); M > 0 {
			limit = 1 / M
		}
		best = math.Max(best, rayBound(prog.Loss, v, limit))
	}
	return best
}

// NetworkBound returns a lower bound on the optimum of p over all networks of
// its architecture, from the predictions of any network, wherever it was
// trained: with v = -∇L at its predictions, it is the dual value of the
// largest feasible multiple of v. The better the network, the tighter the
// bound; (objective-bound)/objective is a certified optimality gap. It is -Inf
// when the architecture or the loss offers no bound.
func NetworkBound(ctx context.Context, p Problem, net *Network) (float64, error) {
	ctx = background(ctx)
	t, err := p.check()
	if err != nil {
		return 0, err
	}
	if _, err := Verify(p, net); err != nil {
		return 0, err
	}
	F, err := net.forward(t.inputs)
	if err != nil {
		return 0, err
	}
	slope := t.loss.anyGrad()
	if slope == nil {
		return math.Inf(-1), nil
	}
	v := make([]float64, len(t.y))
	slope(v, flatten(F))
	scale(-1, v)
	// The fewest patterns do: the bound is over all of them anyway, except
	// where the program itself is global.
	prog, err := Lower(ctx, p, &Settings{Samples: 1})
	if err != nil {
		return 0, err
	}
	if prog.Scope == Global {
		low, _, err := DualBound(ctx, prog, v)
		return low, err
	}
	return prog.globalLower(ctx, v), nil
}
