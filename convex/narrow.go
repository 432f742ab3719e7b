package convex

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/mat"
)

// Narrow finds a ReLU network with one output and at most so many neurons, from
// a wider one, such as Solution.Network or a network trained by gradient
// descent. Neurons whose sum predicts nearly what they do become one, all at once
// or a few at a time, and descents in the network objective make up for what that
// costs. The convex program over the patterns that the neurons end in, which are
// the Patterns of the problem of the result, then goes to its optimum.
//
// The solution is that of this program where its network is as narrow as asked
// for, with Status Optimal and Scope Restricted as a rule. Where the program
// would have more neurons than that, Primal is the objective of the network that
// the descents found, Lower the program's bound, and Status Bounded. A network
// that is narrow enough already only goes downhill. The best of several ways
// there counts, as far as time allows; how good the best network of a given width
// is nobody proves here, for the problem is not convex.
func Narrow(ctx context.Context, p Problem, net *Network, neurons int, s *Settings) (*Solution, error) {
	start := time.Now()
	t, err := p.check()
	if err != nil {
		return nil, err
	}
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	wide, err := reluNeurons(&p, t, net)
	switch {
	case err != nil:
		return nil, err
	case neurons < 1:
		return nil, fmt.Errorf("convex: Narrow: neurons is %d: want at least 1", neurons)
	case t.loss.anyGrad() == nil:
		return nil, fmt.Errorf("convex: Narrow: loss %q has no gradient to descend along: set Grad or Subgrad", t.loss.Name)
	}
	if s.TimeLimit == 0 {
		s.TimeLimit = generationTime
	}
	ctx, cancel := s.limit(ctx, start)
	defer cancel()
	loss := t.loss
	if net.Bias != nil {
		loss = shifted(loss, net.Bias)
	}
	data := newMaskedData(t.X)
	down := newDescent(t.X, loss, p.Beta)
	left := generationSpan(ctx)
	rng := rand.New(rand.NewPCG(p.Seed, 0))
	var best *Solution
	for try := range narrowTries {
		// As long as another one fits into the time.
		if try > 0 && left.past()*float64(try+1) > float64(try) {
			break
		}
		if try == 1 && len(wide)*9/10 <= neurons { // slowly is at once here
			continue
		}
		from := wide
		if try > 1 {
			from = neuronsOf(flat(wide))
			shake(from, 0.3, rng)
		}
		for most := neurons; most > 0; {
			few := narrowed(data, down, from, most, try > 0, left)
			p.Patterns = patternsOfNeurons(data, few)
			sol, err := Solve(ctx, p, &Settings{Solver: s.Solver, Use: s.Use, Tol: s.Tol, MaxIter: s.MaxIter, Progress: s.Progress, MaxMemory: s.MaxMemory, NoPrune: s.NoPrune})
			if err != nil {
				return nil, err
			}
			over := sol.Network.Neurons() - neurons
			if over > 0 {
				// The network of the descents is as narrow as asked for, if not
				// at the optimum of the program.
				if sol, err = unsolved(ctx, sol, net.Bias, s, start); err != nil {
					return nil, err
				}
			}
			if best == nil || sol.Primal < best.Primal {
				best = sol
			}
			if over <= 0 {
				break
			}
			most = min(most, len(few)) - over
		}
	}
	best.Elapsed = time.Since(start)
	return best, nil
}

// narrowTries is how many ways to a narrow network are gone. The first one merges
// all at once, which leaves a descent all of the time when that is short. Of the
// others, which neurons merge early decides what the later ones can do, and the
// fewer are left the more.
const narrowTries = 9

// reluNeurons are the neurons of a two-layer ReLU network that fits the problem.
func reluNeurons(p *Problem, t *checked, net *Network) ([]neuron, error) {
	if a, ok := t.arch.(ReLU); !ok || a.Penalty != "" || t.c != 1 || t.X == nil {
		return nil, fmt.Errorf("convex: Narrow: the problem has architecture %q and %d outputs: want ReLU{} with one", t.arch.Name(), t.c)
	}
	if net.Neurons() == 0 {
		return nil, fmt.Errorf("convex: Narrow: the network has no neurons: nothing to make narrower")
	}
	k, d := net.Hidden.Dims()
	if net.Arch != (ReLU{}).Name() || d != t.d {
		return nil, fmt.Errorf("convex: Narrow: the network is of architecture %q on %d columns: want relu on the %d of X", net.Arch, d, t.d)
	}
	if r, c := net.Output.Dims(); r != k || c != 1 {
		return nil, fmt.Errorf("convex: Narrow: the network's Output is %d×%d: want %d×1, as many rows as Hidden", r, c, k)
	}
	v, sgn := make([]float64, k*d), make([]float64, k)
	for j := range k {
		a, row := net.Output.At(j, 0), v[j*d:][:d]
		copy(row, net.Hidden.RawRowView(j))
		scale(math.Abs(a), row)
		sgn[j] = math.Copysign(1, a)
		if !finite(row) {
			return nil, fmt.Errorf("convex: Narrow: neuron %d of the network is not finite", j)
		}
	}
	return neuronsOf(v, sgn), nil
}

// narrowed makes the network at most so many neurons wide by merging, all at once
// or slowly, a tenth of them at a time with a descent after each.
func narrowed(data *maskedData, down *descent, net []neuron, most int, slowly bool, t span) []neuron {
	for len(net) > most {
		least := most
		if slowly {
			least = max(most, len(net)*9/10)
		}
		net = mergeOrder(data, net).to(least)
		if len(net) > most {
			net, _ = down.run(net, pace{steps: 200, gentle: true}, t.share(0.3))
		}
	}
	before := t.past()
	last, low := down.run(net, pace{steps: 500, gentle: true}, t.share(0.9))
	// Long steps mostly end lower, but where weight decay is large they may not. A
	// descent for which there is less time than the first one took would not.
	if after := t.past(); 1-after >= after-before {
		if long, value := down.run(net, pace{steps: 500}, t.share(0.9)); value < low {
			last = long
		}
	}
	if len(last) == 0 { // none is worth its weight decay, which the program will say
		return net
	}
	return last
}

// patternsOfNeurons are the patterns that neurons have on the data of m, with the
// neurons as a network to start from.
func patternsOfNeurons(m *maskedData, net []neuron) *Patterns {
	p := newPatterns(len(net), m.n)
	p.Source = "generated"
	p.Gates = mat.NewDense(m.d, len(net), nil)
	rows, at := make([][]uint64, len(net)), make([]int, len(net))
	for j, nr := range net {
		p.Gates.SetCol(j, nr.v)
		rows[j], at[j] = p.Row(j), j
	}
	v, _ := flat(net)
	m.patternsOf(rows, v)
	return p.startingFrom(net, at)
}

// unsolved is the solution with the network that the solve of sol started from,
// with the given bias, and the bound of sol.
func unsolved(ctx context.Context, sol *Solution, bias []float64, s *Settings, start time.Time) (*Solution, error) {
	x := s.StartPoint(sol.Program)
	if x == nil {
		x = make([]float64, sol.Program.Op.Cols)
	}
	if sol.Program.Problem.OutputBias && bias != nil {
		x[len(x)-1] = bias[0]
	}
	u := *s
	u.record, u.own, u.NoPrune = &record{start: start}, true, true
	return certified(ctx, sol.Program, &Point{X: x, Dual: sol.Certificate.Dual, Status: Bounded, Solver: "descent", Iter: sol.Iterations}, &u, start)
}
