package convex

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// FISTA is the accelerated proximal gradient method of Beck & Teboulle (2009)
// with backtracking and the adaptive restart of O'Donoghue & Candès (2015): the
// simple first-order reference for programs without cones, including those put
// together by hand. An iteration is one Apply and one Adjoint; the line search
// needs only another Apply. The zero value is the method to use; its fields take
// it apart, to see what each part is worth (as in Mishkin, Sahiner & Pilanci 2022).
type FISTA struct {
	// Momentum is "restart" (the default), "always", which is Beck & Teboulle's
	// method, or "none", which is the proximal gradient method.
	Momentum string
	// Step is a fixed step size in place of the line search; 0: none.
	Step float64
	// A step that was accepted is lengthened by the factor Grow, 1 or more, for
	// the next iteration, where the quadratic bound that accepted it was loose by
	// the factor Room or more. 0 means 1.03 and 1.25. Grow 1 keeps the step.
	Grow, Room float64
}

func init() { RegisterSolver(FISTA{}, 20) }

// Name is "fista".
func (FISTA) Name() string { return "fista" }

// Uses wants Grad of the loss and Prox of the penalty, and cones only where
// their projection composes with the prox: activation cones with a group l2
// penalty.
func (f FISTA) Uses(prog *Program) error {
	switch {
	case f.Momentum != "" && f.Momentum != "restart" && f.Momentum != "always" && f.Momentum != "none":
		return fmt.Errorf("FISTA.Momentum is %q: want restart, always or none", f.Momentum)
	case !(f.Step >= 0) || math.IsInf(f.Step, 1):
		return fmt.Errorf("FISTA.Step is %g: want a positive number, or 0 for a line search", f.Step)
	case f.Grow != 0 && !(f.Grow >= 1) || math.IsInf(f.Grow, 1):
		return fmt.Errorf("FISTA.Grow is %g: want a factor of 1 or more, or 0 for 1.03", f.Grow)
	case !(f.Room >= 0):
		return fmt.Errorf("FISTA.Room is %g: want a factor of 1 or more, or 0 for 1.25", f.Room)
	case prog.Loss.Grad == nil:
		return fmt.Errorf("needs Grad of loss %q", prog.Loss.Name)
	case prog.Penalty.Prox == nil:
		return fmt.Errorf("needs Prox of penalty %q", prog.Penalty.Name)
	case prog.Cones != nil && (prog.Cones.Masked == nil || !(prog.Penalty.GroupL2 > 0)):
		return fmt.Errorf("cannot project on cones %q together with penalty %q", prog.Cones.Name, prog.Penalty.Name)
	}
	return nil
}

const (
	fistaLimit = 50_000
	// fistaCheck is the number of iterations between looks at the duality
	// gap, which costs about as much as an iteration.
	fistaCheck = 20
)

// Solve runs until the gap is below the tolerance.
func (f FISTA) Solve(ctx context.Context, prog *Program, s *Settings) (*Point, error) {
	if f.Grow == 0 {
		f.Grow = 1.03
	}
	if f.Room == 0 {
		f.Room = 1.25
	}
	mon := NewMonitor(ctx, "fista", s)
	nx, nf := prog.Op.Cols, prog.Op.Rows
	x := s.StartPoint(prog)
	if x == nil {
		x = make([]float64, nx)
	}
	y, next := append([]float64(nil), x...), make([]float64, nx)
	fx, fy, fn := make([]float64, nf), make([]float64, nf), make([]float64, nf)
	gf, gy := make([]float64, nf), make([]float64, nx)
	prog.Op.Apply(fx, x)
	copy(fy, fx)

	prox := newBlockProx(prog)
	best := bestPoint{primal: math.Inf(1), lower: math.Inf(-1)}
	status := Unknown
	L := prog.firstLipschitz()
	if f.Step > 0 {
		L = 1 / f.Step
	}
	theta, quiet := 1.0, 0
	it := 0
	for ; ; it++ {
		var stop bool
		if status, stop = mon.Stop(it, fistaLimit); stop {
			break
		}
		valY := prog.Loss.Value(fy)
		prog.Loss.Grad(gf, fy)
		prog.Op.Adjoint(gy, gf)
		ok := false
		for range 100 {
			for i, g := range gy {
				next[i] = y[i] - g/L
			}
			if err := prox.apply(next, 1/L); err != nil {
				return nil, err
			}
			prog.Op.Apply(fn, next)
			if f.Step > 0 {
				ok = true
				break
			}
			quad, lin := 0.0, 0.0
			for i, v := range next {
				d := v - y[i]
				quad += d * d
				lin += gy[i] * d
			}
			// f(next) <= f(y) + <g,d> + L/2 |d|², up to rounding.
			excess := prog.Loss.Value(fn) - valY - lin
			if excess <= L/2*quad+1e-14*(math.Abs(valY)+1e-300) {
				ok = true
				if excess*f.Room <= L/2*quad {
					L /= f.Grow // there was room: try a longer step next time
				}
				break
			}
			L *= math.Min(4, math.Max(1.2, 1.05*2*excess/(L*quad)))
			if math.IsInf(L, 0) || math.IsNaN(L) {
				break
			}
		}
		if !ok {
			status = Numerical
			break
		}
		if v := prog.Loss.Value(fn); v-v != 0 { // a fixed step that is too long
			status = Numerical
			break
		}
		turn := 0.0
		for i, v := range next {
			turn += (y[i] - v) * (v - x[i])
		}
		if turn > 0 && f.Momentum != "always" || f.Momentum == "none" {
			theta = 1
		}
		t := (1 + math.Sqrt(1+4*theta*theta)) / 2
		mom := (theta - 1) / t
		theta = t
		// Predictions are linear in the point: no product for y.
		for i, v := range next {
			y[i] = v + mom*(v-x[i])
		}
		for i, v := range fn {
			fy[i] = v + mom*(v-fx[i])
		}
		copy(x, next)
		copy(fx, fn)
		if it%500 == 499 { // sums of predictions drift
			prog.Op.Apply(fy, y)
		}
		if it%fistaCheck != fistaCheck-1 && it > 0 {
			continue
		}
		better, err := best.look(ctx, prog, x, fx)
		if err != nil {
			return nil, err
		}
		mon.Report(best.progress(it+1, prog))
		if relativeGap(best.primal, best.lower) <= 0.9*s.Tol {
			status = Optimal
			break
		}
		if quiet++; better {
			quiet = 0
		}
		if quiet > 500 { // 10,000 iterations that moved neither bound
			status = Numerical
			break
		}
	}
	if best.x == nil {
		if _, err := best.look(context.WithoutCancel(ctx), prog, x, fx); err != nil {
			return nil, err
		}
		mon.Report(best.progress(it, prog))
	}
	return &Point{X: best.x, Dual: best.dual, Status: status, Iter: it, Trace: mon.Trace(), Solver: "fista"}, nil
}

// firstLipschitz is a cheap first guess of the Lipschitz constant of the
// gradient, from the operator's gain on the gradient at zero.
func (prog *Program) firstLipschitz() float64 {
	f, g, a := make([]float64, prog.Op.Rows), make([]float64, prog.Op.Cols), make([]float64, prog.Op.Rows)
	prog.Loss.Grad(f, f)
	prog.Op.Adjoint(g, f)
	gg := dot(g, g)
	if gg == 0 {
		return 1
	}
	prog.Op.Apply(a, g)
	L := dot(a, a) / gg
	if prog.Loss.Lipschitz > 0 {
		L *= prog.Loss.Lipschitz
	}
	if !(L > 0) {
		return 1
	}
	return L
}

// bestPoint remembers the best primal point and the best bound of a run.
type bestPoint struct {
	primal, lower float64
	x, dual       []float64
}

// look evaluates a feasible point and the bound from its gradient; it says
// whether either improved.
func (b *bestPoint) look(ctx context.Context, prog *Program, x, f []float64) (better bool, err error) {
	if v := prog.Loss.Value(f) + prog.penaltyAt(x); v < b.primal {
		better = v < b.primal-1e-12*math.Abs(v)
		b.primal, b.x = v, append(b.x[:0], x...)
	}
	g := prog.Loss.anyGrad()
	if g == nil {
		return better, nil
	}
	v := make([]float64, len(f))
	g(v, f)
	scale(-1, v)
	more, err := b.bound(ctx, prog, v)
	return better || more, err
}

// bound tries a dual candidate.
func (b *bestPoint) bound(ctx context.Context, prog *Program, v []float64) (better bool, err error) {
	low, _, err := DualBound(ctx, prog, v)
	if errors.Is(err, errNoBound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if low > b.lower {
		better = math.IsInf(b.lower, -1) || low > b.lower+1e-12*math.Abs(low)
		b.lower, b.dual = low, append(b.dual[:0], v...)
	}
	return better, nil
}

func (b *bestPoint) progress(it int, prog *Program) Progress {
	return Progress{Iter: it, Primal: b.primal, Lower: b.lower, Active: prog.ActiveBlocks(b.x)}
}

// blockProx applies the prox of the penalty, and the projection on the cones
// before it, to all blocks: for cones and norms the two compose.
type blockProx struct {
	prog *Program
	ssn  ssn         // for its projectors
	act  []activeSet // of each cone, last time
}

func newBlockProx(prog *Program) *blockProx {
	p := &blockProx{prog: prog}
	if prog.Cones != nil {
		p.ssn.cone = newConeData(prog.Cones.Masked.X)
		p.act = make([]activeSet, len(prog.Blocks))
	}
	return p
}

func (p *blockProx) apply(x []float64, t float64) error {
	pen, blocks := p.prog.Penalty, p.prog.Blocks
	if p.ssn.cone == nil {
		parallel(len(blocks), 64, func(lo, hi int) {
			for _, b := range blocks[lo:hi] {
				if b.Weight > 0 {
					pen.Prox(b.Of(x), b.Of(x), b.Rows, b.Cols, t*b.Weight)
				}
			}
		})
		return nil
	}
	m := p.prog.Cones.Masked
	errs := make([]error, len(blocks))
	p.ssn.eachProjector(len(blocks), func(i int, cp *coneProjector) {
		b := blocks[i]
		z := b.Of(x)
		thr := t * b.Weight * pen.GroupL2
		if norm2(z) <= thr {
			clear(z)
			return
		}
		v := make([]float64, len(z))
		_, errs[i] = cp.project(v, z, m.Patterns.Row(m.Pattern(i)), &p.act[i], coneTol, thr)
		p.act[i].set(cp, false)
		nv := norm2(v)
		if nv <= thr {
			clear(z)
			return
		}
		copy(z, v)
		scale(1-thr/nv, z)
	})
	return errors.Join(errs...)
}
