package convex

import (
	"context"
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// PathOptions are the options of SolvePath. A nil pointer and the zero value
// mean the defaults.
type PathOptions struct {
	Betas    []float64 // weight decays, decreasing; nil: Count of them, evenly spaced in the logarithm
	Count    int       // default 20
	Ratio    float64   // smallest beta over BetaMax; default 1e-3
	Settings *Settings // of each solve

	of string // what the path is part of, for reports
}

// Path is a regularisation path: one problem at several weight decays, largest
// first.
type Path struct {
	BetaMax   float64 // smallest beta at which the zero network is optimal
	Solutions []*Solution
}

// BetaMax returns the smallest weight decay at which the network without
// neurons is optimal for p, over the patterns of p; p.Beta is not used. It is
// the largest dual norm of v = -∇L(0) over all blocks and their cones
// (max_i ‖Proj_{K_i}(±X'D_i v)‖ for the ReLU network); with an output bias, of
// v = -∇L at the best constant prediction. Where patterns are searched for, it
// is over those of a search just below it.
func BetaMax(ctx context.Context, p Problem, s *Settings) (float64, error) {
	b, _, err := p.zeroFrom(background(ctx), s)
	return b, err
}

// zeroFrom is BetaMax, and the patterns that serve at every beta: nil where
// they are searched for, since those that matter hang on beta, or where there
// are none.
func (p Problem) zeroFrom(ctx context.Context, s *Settings) (float64, *Patterns, error) {
	most := 0.0
	at := func(beta float64, s *Settings) (pat *Patterns, grown bool, err error) {
		p.Beta = beta
		prog, err := Lower(ctx, p, s)
		if err != nil {
			return nil, false, err
		}
		b, err := prog.betaMax(ctx)
		if err != nil {
			return nil, false, err
		}
		if pat = prog.Patterns; pat.searched() {
			pat = nil
		}
		grown = beta*b > most*(1+1e-6)
		most = math.Max(most, beta*b)
		return pat, grown, nil
	}
	if p.Patterns == nil { // a few random ones say where to search
		few := *s.withDefaults()
		if few.Samples == 0 {
			few.Samples, few.MaxPatterns = 50, min(few.MaxPatterns, searchAbove)
		}
		if _, _, err := at(1, &few); err != nil {
			return 0, nil, err
		}
	}
	for range 5 {
		beta := 1.0
		if most > 0 {
			beta = 0.9 * most
		}
		pat, grown, err := at(beta, s)
		if err != nil || pat != nil || !grown || ctx.Err() != nil {
			return most, pat, err
		}
	}
	return most, nil, nil
}

// searched says that the patterns are those that matter at one beta.
func (p *Patterns) searched() bool { return p != nil && p.Source == "generated" }

// betaMax is that of a program, in units of the beta it was lowered with.
func (prog *Program) betaMax(ctx context.Context) (float64, error) {
	slope := prog.Loss.anyGrad()
	if slope == nil || prog.Penalty.Polar == nil {
		return 0, fmt.Errorf("convex: BetaMax needs Grad or Subgrad of loss %q and Polar of penalty %q", prog.Loss.Name, prog.Penalty.Name)
	}
	v, _, err := prog.freeFit(ctx)
	if err != nil {
		return 0, fmt.Errorf("convex: BetaMax: the fit without neurons: %w", err)
	}
	g := make([]float64, prog.Op.Cols)
	prog.Op.Adjoint(g, v)
	plain := 0.0
	for _, b := range prog.Blocks {
		if b.Weight == 0 {
			clear(b.Of(g)) // zero, but for rounding
			continue
		}
		plain = math.Max(plain, prog.Penalty.Polar(b.Of(g), b.Rows, b.Cols))
	}
	if plain == 0 {
		return 0, nil
	}
	// maxPolar is exact above 1: make everything that could matter large.
	const big = 1e9
	scale(big/plain, g)
	return prog.maxPolar(ctx, g, nil) * (plain / big), nil
}

// SolvePath solves p at several weight decays, from the largest down, each to
// what Solve finds there. Where all patterns, or a sample, are taken, one set
// serves the whole path and each solve starts from the one before; where those
// that matter are searched for, each beta has a search of its own. When ctx
// ends, or the time limit is up, it returns what is solved so far; the last
// solution's Status says so.
func SolvePath(ctx context.Context, p Problem, o *PathOptions) (*Path, error) {
	ctx = background(ctx)
	var opt PathOptions
	if o != nil {
		opt = *o
	}
	if opt.Count == 0 {
		opt.Count = 20
	}
	if opt.Ratio == 0 {
		opt.Ratio = 1e-3
	}
	if opt.Count < 1 || !(opt.Ratio > 0 && opt.Ratio < 1) {
		return nil, fmt.Errorf("convex: SolvePath: Count is %d and Ratio %g: want a positive count and a ratio between 0 and 1", opt.Count, opt.Ratio)
	}
	for i, b := range opt.Betas {
		if !(b > 0) || math.IsInf(b, 1) || (i > 0 && b >= opt.Betas[i-1]) {
			return nil, fmt.Errorf("convex: SolvePath: Betas[%d] is %g: want positive, decreasing numbers", i, b)
		}
	}
	var settings Settings
	if opt.Settings != nil {
		settings = *opt.Settings
	}
	path := &Path{}
	settings.path = &onPath{}
	var err error
	var fixed *Patterns
	if path.BetaMax, fixed, err = p.zeroFrom(ctx, &settings); err != nil {
		return nil, err
	}
	if fixed != nil {
		p.Patterns = fixed
	}
	betas := opt.Betas
	if betas == nil {
		if path.BetaMax == 0 {
			return nil, fmt.Errorf("convex: SolvePath: the zero network is optimal at every beta (the gradient of the loss at zero does not reach any neuron): there is no path")
		}
		for i := 0; i < opt.Count; i++ {
			t := 0.0
			if opt.Count > 1 {
				t = float64(i) / float64(opt.Count-1)
			}
			betas = append(betas, path.BetaMax*math.Pow(opt.Ratio, t))
		}
	}
	for i, b := range betas {
		p.Beta = b
		settings.path.at = fmt.Sprintf("%sbeta %d of %d", opt.of, i+1, len(betas))
		sol, err := Solve(ctx, p, &settings)
		if err != nil {
			return nil, fmt.Errorf("convex: SolvePath at beta %g: %w", b, err)
		}
		path.Solutions = append(path.Solutions, sol)
		if ctx.Err() != nil {
			break
		}
		if !sol.Program.Patterns.searched() {
			settings.Warm = sol
		}
	}
	return path, nil
}

// onPath is what the solves of a path share: the list of all patterns, or that
// there are too many, since the data are the same.
type onPath struct {
	at     string // which solve is under way, for reports
	listed bool
	all    *Patterns
	err    error
}

// every lists the distinct patterns of X; a nil o keeps nothing.
func (o *onPath) every(ctx context.Context, X *mat.Dense, limit int) (*Patterns, error) {
	if o == nil {
		o = &onPath{}
	}
	if !o.listed {
		o.all, o.err = EnumeratePatterns(ctx, X, limit)
		if o.err == nil {
			o.all = o.all.Distinct()
		}
		o.listed = ctx.Err() == nil
	}
	if o.err != nil {
		return nil, o.err
	}
	own := *o.all // the caller adds a network to it
	return &own, nil
}

// Betas are the weight decays of the path.
func (p *Path) Betas() []float64 {
	return p.column(func(s *Solution) float64 { return s.Program.Problem.Beta })
}

// Objectives are the optimal values of the path.
func (p *Path) Objectives() []float64 {
	return p.column(func(s *Solution) float64 { return s.Primal })
}

// Gaps are the certified relative gaps of the path.
func (p *Path) Gaps() []float64 {
	return p.column(func(s *Solution) float64 { return s.Gap })
}

// Neurons are the numbers of neurons along the path.
func (p *Path) Neurons() []int {
	out := make([]int, len(p.Solutions))
	for i, s := range p.Solutions {
		out[i] = s.Network.Neurons()
	}
	return out
}

func (p *Path) column(f func(*Solution) float64) []float64 {
	out := make([]float64, len(p.Solutions))
	for i, s := range p.Solutions {
		out[i] = f(s)
	}
	return out
}

// String is a table of the path.
func (p *Path) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "regularisation path, zero network at beta ≥ %.6g\n%12s %16s %8s %8s  %s", p.BetaMax, "beta", "objective", "gap", "neurons", "status")
	for _, s := range p.Solutions {
		fmt.Fprintf(&b, "\n%12.5g %16.9g %8.1e %8d  %s, %s", s.Program.Problem.Beta, s.Primal, s.Gap, s.Network.Neurons(), s.Status, s.Scope)
	}
	return b.String()
}
