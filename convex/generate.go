package convex

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"gonum.org/v1/gonum/mat"
)

// GeneratePatterns finds the activation patterns that matter for a ReLU
// network when there are too many to enumerate: it solves the convex program
// over a small set, prices neurons of any pattern against its dual point by
// local ascent from many starts, adds the patterns of those that violate the
// dual constraint, moves the neurons of the current network downhill in the
// network objective itself to find the cells they head for, and repeats until
// no start finds a violator. What comes back is those patterns, with a vector
// of each as Gates, and a network over them that the final solve starts from.
//
// The optimum over them is not certified to be global: pricing is a search.
func GeneratePatterns(ctx context.Context, X *mat.Dense, loss Fn, beta float64, seed uint64, s *Settings) (*Patterns, error) {
	X, err := finiteMatrix("X", X)
	if err != nil {
		return nil, err
	}
	if n, d := X.Dims(); loss.Labels != nil && len(loss.Labels) != n {
		return nil, fmt.Errorf("convex: GeneratePatterns: the loss has %d labels but X is %d×%d: want one label a row", len(loss.Labels), n, d)
	}
	if !(beta > 0) || math.IsInf(beta, 1) || loss.Value == nil || loss.Prox == nil || loss.Conj == nil || loss.anyGrad() == nil {
		return nil, fmt.Errorf("convex: GeneratePatterns: want a positive beta (have %g) and a loss with Value, Grad or Subgrad, Prox and Conj (have %q)", beta, loss.Name)
	}
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	return generatePatterns(background(ctx), &MaskedData{X: X, Signed: true}, loss, GroupL1(beta), seed, s)
}

// generatePatterns is GeneratePatterns for networks whose neurons act on data
// with several patches of a sample, and a scale, or whose penalty is by parts.
func generatePatterns(ctx context.Context, data *MaskedData, loss Fn, pen Penalty, seed uint64, s *Settings) (*Patterns, error) {
	s = s.withDefaults()
	_, d := data.X.Dims()
	beta := unitPenalty(pen, Block{Rows: d, Cols: 1, Weight: 1})
	g := &generator{
		m: newMaskedModel(data), loss: loss, beta: beta, parts: pen.Parts, rng: rand.New(rand.NewPCG(seed, 0x6761746573)),
		mon: NewMonitor(ctx, "patterns", s), data: data, seen: map[string]int{},
	}
	if g.m.patches == 1 && g.parts == nil {
		g.down = newDescent(data.X, loss, beta).run
	} else {
		parts := g.parts
		if parts == nil {
			parts = []int{d}
		}
		metric := partCurvature(g.m.x, parts)
		g.down = func(net []neuron, how pace, t span) ([]neuron, float64) {
			v, sgn := flat(net)
			value := plainDescent(g.m, loss, beta, parts, metric, v, sgn, how.steps, t.stop)
			return neuronsOf(v, sgn), value
		}
	}
	if err := g.run(ctx, s); err != nil {
		return nil, err
	}
	if len(g.bits) == 0 && len(g.net) == 0 { // the optimum is zero: keep some patterns to certify it on
		return data.samplePatterns(50, seed)
	}
	return g.patterns(), nil
}

// generationTime bounds the search when the context has no deadline; with one,
// the search takes at most two thirds of the time left: the solve after it
// starts from the network found, and what it needs is for the bound.
const generationTime = time.Minute

// generationSpan is the time for a search that begins now.
func generationSpan(ctx context.Context) span {
	t := span{ctx, time.Now(), time.Now().Add(generationTime)}
	if deadline, ok := ctx.Deadline(); ok {
		t.to = deadline
		return t.share(2. / 3)
	}
	return t
}

type generator struct {
	m     *maskedModel
	data  *MaskedData // without patterns
	loss  Fn
	beta  float64
	parts []int // of a penalty by parts
	rng   *rand.Rand
	mon   *Monitor
	down  func(net []neuron, how pace, t span) ([]neuron, float64)

	bits [][]uint64     // patterns kept
	gate [][]float64    // a vector of each
	idle []int          // rounds since each was of use
	seen map[string]int // index of a pattern

	net   []neuron
	f     []float64
	theta []float64
	value float64
	gram  []float64
	cone  *coneData
}

// add keeps a pattern (copied) and returns its index.
func (g *generator) add(bits []uint64, u []float64) int {
	k := rowKey(bits)
	if i, ok := g.seen[k]; ok {
		g.idle[i] = 0
		return i
	}
	g.seen[k] = len(g.bits)
	g.bits = append(g.bits, append([]uint64(nil), bits...))
	g.gate = append(g.gate, append([]float64(nil), u...))
	g.idle = append(g.idle, 0)
	return len(g.bits) - 1
}

func (g *generator) run(ctx context.Context, s *Settings) error {
	n := g.m.samples
	g.cone = newConeData(g.data.X)
	g.f, g.theta = make([]float64, n), make([]float64, n)
	g.loss.anyGrad()(g.theta, g.f)
	scale(-1, g.theta)
	g.value = g.loss.Value(g.f)
	t := generationSpan(ctx)
	if g.data.winners || g.parts != nil {
		return g.descents(ctx, t)
	}
	quiet := 0
	var history []float64
	tol := s.Tol
	roundTol := 1e-2
	// Many starts find the low valleys. Those that meet in one become one neuron,
	// which makes the steps that follow cheap. On many samples, where a round below
	// takes long, more steps pay, of fewer neurons.
	width, steps := 450, 500
	if n > manySamples {
		width, steps = 350, 1300
	}
	g.descend(g.random(width), pace{steps: steps, join: true}, t.share(0.8))
	g.descend(g.shaken(0.98), pace{steps: 500}, t.share(0.4))
	for round := 1; round < 200 && !t.stop(); round++ {
		if err := g.convex(roundTol, t.stop); err != nil {
			return err
		}
		// One descent goes on from the network; another, mostly worse, has
		// patterns that the next program does better with.
		g.descend(g.shaken(0.99), pace{steps: 300, gentle: true}, t.share(0.4))
		g.descend(g.shaken(0.98), pace{steps: 200}, t.share(0.4))
		g.mon.Report(Progress{Iter: round, Primal: g.value, Lower: math.Inf(-1), Active: len(g.net)})
		worst, added := g.price(round, t.stop)
		est := math.Max(worst-1, 0)
		history = append(history, g.value)
		// A long tail of cells next door is not worth the while, but where there
		// are few cells it soon ends, and then the bound closes.
		few := len(g.bits) < 100 && round < 6
		if k := len(history); k > 1 && history[k-2]-g.value < math.Max(1e-5, 0.1*tol)*math.Abs(g.value) && roundTol <= 1e-3 && !few {
			break
		}
		if added == 0 || est < 0.5*tol {
			if quiet++; quiet >= 2 && roundTol <= tol {
				return nil // no violators
			}
			roundTol = math.Max(tol, roundTol*0.03)
		} else {
			quiet = 0
			roundTol = math.Max(tol, math.Min(1e-2, 0.1*est))
		}
	}
	g.keepNetwork()
	return nil
}

// descents searches by descents alone, where the cones are not those of the
// signs of the rows: after each, neurons that violate the dual constraint
// join, as small ones, for the next, and the weights are set to the optimum over
// the directions reached. The patterns of the last round are kept.
// With a penalty by parts those that join have one part, as the vertices of its
// unit ball.
func (g *generator) descents(ctx context.Context, t span) error {
	const starts = 64
	d, climbs := g.m.d, 40
	rounds, steps := 20, 100
	if g.parts != nil {
		climbs, rounds, steps = 0, 200, 400
	}
	g.descend(g.random(200), pace{steps: 150}, t)
	for round := 1; round < rounds && !t.stop(); round++ {
		before, net := g.value, g.net
		us, sgn := make([]float64, starts*d), make([]float64, starts)
		for j := range sgn {
			at, size := 0, d
			if g.parts != nil {
				p := g.rng.IntN(len(g.parts))
				at, size = sumInts(g.parts[:p]), g.parts[p]
			}
			for i := range size {
				us[j*d+at+i] = g.rng.NormFloat64()
			}
			sgn[j] = 1 - 2*float64(j%2)
		}
		pats := newBits(starts, g.m.n)
		phi := ascend(g.m, us, sgn, g.theta, pats, climbs)
		g.bits, g.gate, g.idle, g.seen = nil, nil, nil, map[string]int{}
		size := 1.0
		for _, nr := range net {
			size = math.Min(size, norm2(nr.v))
		}
		g.net = slices.Clip(net)
		for j, p := range phi {
			if p > g.beta {
				u := append([]float64(nil), us[j*d:][:d]...)
				g.add(pats[j], u)
				scale(0.1*size, u)
				g.net = append(g.net, neuron{u, sgn[j]})
			}
		}
		g.descend(g.shaken(0.98), pace{steps: steps}, t)
		if err := g.reweigh(ctx); err != nil {
			return err
		}
		if g.value == before {
			g.net = net
		}
		if before-g.value < 1e-4*math.Abs(g.value) {
			return nil
		}
	}
	return nil
}

// reweigh sets the sizes and signs of the neurons of the network to those of the
// optimum over their directions.
func (g *generator) reweigh(ctx context.Context) error {
	d := g.m.d
	pats := newBits(len(g.net), g.m.n)
	all, _ := flat(g.net)
	g.m.patternsOf(pats, all)
	norm := func(v []float64) float64 {
		if g.parts != nil {
			return normOfParts(v, g.parts)
		}
		return norm2(v)
	}
	us := make([][]float64, len(g.net))
	for j, nr := range g.net {
		us[j] = all[j*d:][:d]
		scale(1/norm(nr.v), us[j])
	}
	at := 0
	c := &columnSearch{loss: g.loss, beta: g.beta, samples: g.m.samples, outputs: 1, width: 1, column: func(u []float64) []float64 {
		f := make([]float64, g.m.samples)
		g.m.forward(f, u, pats[at:at+1])
		at++
		return f
	}}
	prog := c.plain(us)
	sol, err := SolveProgram(ctx, prog, &Settings{Tol: 1e-5, MaxIter: 20_000, Progress: func(Progress) {}})
	if err != nil || !(sol.Certificate.Primal < g.value) {
		return err
	}
	g.net = nil
	for j, w := range sol.Certificate.X {
		if w != 0 {
			scale(math.Abs(w), us[j])
			g.net = append(g.net, neuron{us[j], math.Copysign(1, w)})
		}
	}
	g.value = sol.Certificate.Primal
	prog.Op.Apply(g.f, sol.Certificate.X)
	g.loss.anyGrad()(g.theta, g.f)
	scale(-1, g.theta)
	return nil
}

// price searches for neurons that violate the dual constraint at theta and
// adds the patterns of the worst; worst is the largest dual norm found, over
// beta.
func (g *generator) price(round int, stop func() bool) (worst float64, added int) {
	d := g.m.d
	starts := 128
	var us, sgn []float64
	push := func(u []float64, s float64) {
		us = append(us, u...)
		sgn = append(sgn, s)
	}
	u := make([]float64, d)
	for j := 0; j < starts; j++ {
		if j%4 == 3 { // a sample's own direction, which finds narrow cells
			copy(u, g.data.X.RawRowView(g.rng.IntN(g.m.n)))
			if g.rng.IntN(2) == 0 {
				scale(-1, u)
			}
		} else {
			for i := range u {
				u[i] = g.rng.NormFloat64()
			}
		}
		push(u, 1-2*float64(j%2))
	}
	// Around the neurons of the network, where cells next door may be better.
	for _, nr := range g.net {
		nv := norm2(nr.v)
		for rep := 0; rep < 2; rep++ {
			for i := range u {
				u[i] = nr.v[i]/nv + 0.1*math.Pow(0.3, float64(rep+round%3))*g.rng.NormFloat64()/math.Sqrt(float64(d))
			}
			push(u, nr.sign)
		}
	}
	pats := newBits(len(sgn), g.m.n)
	phi := ascend(g.m, us, sgn, g.theta, pats, 40)
	// From the best cells reached, and from those of the network, climb on
	// exactly.
	var cands []climber
	seen := map[string]bool{}
	start := func(bits []uint64, sign, value float64) {
		k := rowKey(bits)
		if sign < 0 {
			k += "-"
		}
		if !seen[k] {
			seen[k] = true
			cands = append(cands, climber{bits: append([]uint64(nil), bits...), sign: sign, norm: value})
		}
	}
	for j, p := range phi {
		if p > 0.7*g.beta {
			start(pats[j], sgn[j], p)
		}
	}
	sort.Slice(cands, func(a, b int) bool { return cands[a].norm > cands[b].norm })
	if len(cands) > 96 {
		cands = cands[:96]
	}
	own := newBits(len(g.net), g.m.n)
	all, _ := flat(g.net)
	g.m.patternsOf(own, all)
	for j, nr := range g.net {
		start(own[j], nr.sign, 0)
	}
	cone := *g.cone
	cone.halt = stop // a climb over thousands of samples takes long
	run := ssn{cone: &cone}
	theta := g.m.spread(g.theta)
	run.eachProjector(len(cands), func(i int, p *coneProjector) { cands[i].climb(g.m.maskedData, p, theta, g.beta) })
	sort.Slice(cands, func(a, b int) bool { return cands[a].norm > cands[b].norm })
	for _, c := range cands {
		if c.u == nil { // no projection was found in time
			continue
		}
		worst = math.Max(worst, c.norm/g.beta)
		if c.norm <= g.beta*(1+1e-9) || added >= 100 {
			break
		}
		before := len(g.bits)
		g.add(c.bits, c.u)
		if len(g.bits) > before {
			added++
		}
	}
	return worst, added
}

// convex solves the program over the kept patterns from the current network.
func (g *generator) convex(tol float64, stop func() bool) error {
	r := newWorkingSetRun(g.data, g.loss, true, nil)
	r.cone, r.ssn.cone, r.ssn.halt = g.cone, g.cone, stop
	r.ssn.gram = g.gram
	r.signed = true
	r.beta = func(int) float64 { return g.beta }
	at := make([]int, len(g.net))
	pats := newBits(len(g.net), g.m.n)
	all, _ := flat(g.net)
	g.m.patternsOf(pats, all)
	for j, nr := range g.net {
		at[j] = g.add(pats[j], nr.v)
	}
	r.bits = g.bits
	for j, nr := range g.net {
		id := 2 * at[j]
		if nr.sign < 0 {
			id++
		}
		axpy(1, nr.v, r.group(id).v) // neurons of one cell and sign add up
	}
	if _, err := r.solve(tol, func() (Status, bool) { return Stopped, stop() }); err != nil {
		return err
	}
	g.gram = r.ssn.gram
	if r.best.primal <= g.value {
		g.net = g.net[:0]
		for _, gr := range r.best.groups {
			g.net = append(g.net, neuron{append([]float64(nil), gr.v...), gr.sign})
			g.idle[gr.id/2] = 0
		}
		g.value = r.best.primal
	}
	copy(g.theta, r.best.theta)
	g.forget(r)
	return nil
}

// keepNetwork drops all patterns but those of the network, when the search ends
// before it has run out of violators, also for want of time: the cells next door
// would split neurons without end, for little.
func (g *generator) keepNetwork() {
	g.bits, g.gate, g.idle, g.seen = nil, nil, nil, map[string]int{}
}

// forget drops patterns that were of no use for several rounds.
func (g *generator) forget(r *workingSetRun) {
	used := map[int]bool{}
	for _, w := range r.work {
		used[w.id/2] = true
	}
	bits, gate, idle := g.bits, g.gate, g.idle
	g.bits, g.gate, g.idle = nil, nil, nil
	g.seen = map[string]int{}
	for i := range bits {
		if !used[i] {
			idle[i]++
		}
		if idle[i] < 2 {
			j := g.add(bits[i], gate[i])
			g.idle[j] = idle[i]
		}
	}
}

// descend moves a network downhill and keeps the patterns it ends in.
func (g *generator) descend(net []neuron, how pace, t span) {
	if len(net) == 0 {
		return
	}
	net, value := g.down(net, how, t)
	v, sgn := flat(net)
	pats := newBits(len(net), g.m.n)
	g.m.patternsOf(pats, v)
	for j, nr := range net {
		g.add(pats[j], nr.v)
	}
	if !(value < g.value) {
		return
	}
	g.value, g.net = value, net
	for j, s := range sgn {
		scale(s, v[j*g.m.d:][:g.m.d])
	}
	g.m.forward(g.f, v, pats)
	g.loss.anyGrad()(g.theta, g.f)
	scale(-1, g.theta)
}

// random is a network of small neurons of any direction.
func (g *generator) random(width int) []neuron {
	net := make([]neuron, width)
	for j := range net {
		net[j] = neuron{make([]float64, g.m.d), 1 - 2*float64(j%2)}
		for i := range net[j].v {
			net[j].v[i] = 0.1 * g.rng.NormFloat64() / math.Sqrt(float64(g.m.d))
		}
	}
	return net
}

// shaken is the network with neurons of nearly the same direction merged, and
// all moved a little. The solution of a convex program sits on the walls of its
// cells, from where no gradient leads away, and has split its neurons over cells
// next door.
func (g *generator) shaken(cosine float64) []neuron {
	v, sgn := flat(g.net)
	c := alike(v, sgn, cosine)
	net := neuronsOf(c.sum(v), c.sgn)
	shake(net, 0.02, g.rng)
	return net
}

// patterns returns what the search kept, with the network it ended at.
func (g *generator) patterns() *Patterns {
	pats := newBits(len(g.net), g.m.n)
	all, _ := flat(g.net)
	g.m.patternsOf(pats, all)
	at := make([]int, len(g.net))
	for j, nr := range g.net {
		at[j] = g.add(pats[j], nr.v)
	}
	p := newPatterns(len(g.bits), g.m.n)
	p.Source = "generated"
	p.Gates = mat.NewDense(g.m.d, max(len(g.bits), 1), nil)
	for i, b := range g.bits {
		copy(p.bits[i*p.words:], b)
		p.Gates.SetCol(i, g.gate[i])
	}
	return p.startingFrom(g.net, at)
}
