package convex

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// checked is a problem whose parts were found to fit together.
type checked struct {
	X       *mat.Dense   // nil when the problem has patches
	inputs  []mat.Matrix // X, or the patches
	y       []float64    // n·c targets, row-major
	n, d, c int
	loss    Fn
	arch    Arch
}

// check validates everything about a problem that does not depend on its
// architecture.
func (p *Problem) check() (*checked, error) {
	t := &checked{arch: p.Arch}
	if t.arch == nil {
		t.arch = ReLU{}
	}
	patches, err := p.patches()
	if err != nil {
		return nil, err
	}
	if len(patches) > 0 {
		for k, P := range patches {
			M, err := finiteMatrix(fmt.Sprintf("Patches[%d]", k), P)
			if err != nil {
				return nil, err
			}
			n, h := M.Dims()
			if k == 0 {
				t.n, t.d = n, h
			} else if n != t.n || h != t.d {
				return nil, fmt.Errorf("convex: Patches[%d] is %d×%d but Patches[0] is %d×%d: all patches must have the same shape", k, n, h, t.n, t.d)
			}
			t.inputs = append(t.inputs, M)
		}
	} else {
		M, err := finiteMatrix("X", p.X)
		if err != nil {
			return nil, err
		}
		t.X, t.inputs = M, []mat.Matrix{M}
		t.n, t.d = M.Dims()
	}
	Y, err := finiteMatrix("Y", p.Y)
	if err != nil {
		return nil, err
	}
	yn, yc := Y.Dims()
	if yn != t.n {
		what := "X"
		switch {
		case len(p.Patches) > 0:
			what = "Patches[0]"
		case t.X == nil:
			_, t.d = p.X.Dims()
		}
		hint := ""
		if yn == 1 && yc == t.n {
			hint = "; Y.T() would fit"
		}
		return nil, fmt.Errorf("convex: Y is %d×%d but %s is %d×%d: they need the same number of rows%s", yn, yc, what, t.n, t.d, hint)
	}
	t.c, t.y = yc, flatten(Y)
	if !(p.Beta > 0) || math.IsInf(p.Beta, 1) {
		return nil, fmt.Errorf("convex: Beta is %g: weight decay must be a positive number, such as 1e-3", p.Beta)
	}
	l := p.Loss.orDefault()
	if l.New == nil {
		return nil, fmt.Errorf("convex: loss %q has no New function; there are %v", l.Name, Losses())
	}
	if t.loss, err = l.New(t.y); err != nil {
		return nil, err
	}
	if t.loss.Value == nil {
		return nil, fmt.Errorf("convex: loss %q needs Value", l.Name)
	}
	if v := t.loss.Value(make([]float64, len(t.y))); math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, fmt.Errorf("convex: the %s loss at a zero prediction is %g: the labels are too large for float64; scale Y", l.Name, v)
	}
	if p.Patterns != nil {
		rows := t.n
		if t.X == nil {
			rows *= len(t.inputs)
		}
		none := p.Patterns.Len() == 0 && !p.Patterns.Complete // data of zeros have no pattern at all
		if none || p.Patterns.Samples() != rows {
			return nil, fmt.Errorf("convex: patterns are %d×%d but the data have %d rows: want P×%d, one pattern a row", p.Patterns.Len(), p.Patterns.Samples(), rows, rows)
		}
	}
	return t, nil
}

// searchAbove is the number of patterns above which those that matter are
// searched for before all are tried.
const searchAbove = 1000

// patternsFor returns the patterns of rows X a problem is to use, without the
// all-off one: those given; or all, when there are at most s.MaxPatterns; or,
// when there are more, s.Samples sampled ones. With a search (not nil), the
// patterns it finds take the place of the default sample, and also of all when
// there are over searchAbove: they give the optimum sooner, and Solve goes on
// to all of them if they do not. Given patterns are complete when they cover all that there are,
// which is looked into while that is cheap.
func (p *Problem) patternsFor(ctx context.Context, X *mat.Dense, s *Settings, search func() (*Patterns, error)) (*Patterns, error) {
	pat, cells, err := p.choosePatterns(ctx, X, s, search)
	if err != nil {
		return nil, err
	}
	return pat.ofData(X, cells), nil
}

// choosePatterns also counts the cells, where they were enumerated.
func (p *Problem) choosePatterns(ctx context.Context, X *mat.Dense, s *Settings, search func() (*Patterns, error)) (pat *Patterns, cells int, err error) {
	if p.Patterns != nil {
		given := p.Patterns.Distinct()
		if given.Complete && given.of != fingerprint(X) {
			cp := *given
			cp.Complete = false // of other data, or claimed by hand
			given = &cp
		}
		if given.Len() == 0 && !given.Complete {
			return nil, 0, errors.New("convex: patterns: none of the patterns is active on any sample")
		}
		if !given.Complete {
			all, err := EnumeratePatterns(ctx, X, min(s.MaxPatterns, given.Len()+1))
			if err == nil && given.covers(all) {
				cp := *given
				cp.Complete = true
				given = &cp
				cells = all.Len()
			}
		}
		return given, cells, nil
	}
	limit := s.MaxPatterns
	if search != nil && s.Samples == 0 && !s.all {
		limit = min(limit, searchAbove)
	}
	all, err := EnumeratePatterns(ctx, X, limit)
	switch {
	case err == nil:
		return all.Distinct(), all.Len(), nil
	case ctx.Err() != nil:
		// Stopped before there was anything to solve: a few patterns, so that
		// the caller gets a solution that says so.
		pat, err = SamplePatterns(X, 50, p.Seed)
	case !errors.Is(err, ErrTooManyPatterns):
		return nil, 0, err
	case search != nil && s.Samples == 0:
		pat, err = search()
	case s.Samples == 0:
		pat, err = SamplePatterns(X, defaultSamples, p.Seed)
	default:
		pat, err = SamplePatterns(X, s.Samples, p.Seed)
	}
	return pat, 0, err
}

// Lower checks a problem and lowers it to its convex program. A nil s means the
// defaults; only MaxPatterns and Samples matter here.
func Lower(ctx context.Context, p Problem, s *Settings) (*Program, error) {
	ctx = background(ctx)
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	p.Arch, p.Loss = t.arch, p.Loss.orDefault()
	p.keepCut(t.inputs)
	prog, err := t.arch.Lower(ctx, &p, s)
	if err != nil {
		return nil, err
	}
	if p.OutputBias {
		if err := t.loss.attained(prog.Outputs); err != nil {
			return nil, err
		}
		prog = prog.withOutputBias()
	}
	finish := func(net *Network, err error) (*Network, error) {
		if net == nil {
			return net, err
		}
		if t.X == nil {
			net.Patching, net.patches = p.Patching, len(t.inputs)
		}
		if net.arch != nil && net.Arch == p.Arch.Name() {
			net.arch = p.Arch // with its options
		}
		return net, err
	}
	if decode := prog.Decode; decode != nil {
		prog.Decode = func(x []float64) (*Network, error) { return finish(decode(x)) }
	}
	if round := prog.round; round != nil {
		prog.round = func(ctx context.Context, x []float64) (*Network, error) { return finish(round(ctx, x)) }
	}
	if prog.Name == "" {
		prog.Name = p.Name
	}
	if prog.Name == "" {
		prog.Name = t.arch.Name()
	}
	prog.Problem = p
	prog.Problem.Patterns = prog.Patterns
	return prog, prog.Validate()
}
