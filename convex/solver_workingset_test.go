package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"
)

// The diabetes data of scikit-learn with 200 fixed patterns; optima certified
// by an independent solver. Beta is a fraction of the largest useful one.
var diabetesOptima = []struct {
	arch    Arch
	ratio   float64
	optimum float64
}{
	{GatedReLU{}, 0.1, 128.58433680852556},
	{GatedReLU{}, 0.01, 58.032279596394275},
	{GatedReLU{}, 0.001, 8.69068977133834},
	{ReLU{}, 0.1, 146.70523349161002},
	{ReLU{}, 0.01, 103.28455544273747},
}

func diabetes(t testing.TB, arch Arch, ratio float64) Problem {
	p, err := ReadProblem("testdata/diabetes/problem.json")
	if err != nil {
		t.Fatal(err)
	}
	p.Arch, p.Beta = arch, ratio*17.361850213523898
	return p
}

func TestWorkingSetReachesReferenceOptima(t *testing.T) {
	for _, c := range diabetesOptima {
		sol, err := Solve(context.Background(), diabetes(t, c.arch, c.ratio), &Settings{Solver: "workingset"})
		if err != nil {
			t.Fatal(err)
		}
		if sol.Status != Optimal || sol.Primal > c.optimum*(1+1e-6) || sol.Lower > c.optimum*(1+1e-8) {
			t.Errorf("%s, ratio %g: %v, %.10g ≥ %.10g, want the optimum %.10g between", c.arch.Name(), c.ratio, sol.Status, sol.Primal, sol.Lower, c.optimum)
		}
	}
}

// From far above the largest useful beta down to 1e-8 of it the answer is
// certified, or the status says that it is not.
func TestWorkingSetOverAllBeta(t *testing.T) {
	for _, ratio := range []float64{1e3, 1.0001, 0.999, 1e-5, 1e-8} {
		sol, err := Solve(context.Background(), diabetes(t, GatedReLU{}, ratio), nil)
		if err != nil {
			t.Fatal(err)
		}
		if sol.Status == Optimal && !(sol.Gap <= 1e-6) || sol.Lower > sol.Primal {
			t.Errorf("ratio %g: status %v with bracket [%g, %g]", ratio, sol.Status, sol.Lower, sol.Primal)
		}
		if sol.Status != Optimal && sol.Status != Almost {
			t.Errorf("ratio %g: status %v, gap %g", ratio, sol.Status, sol.Gap)
		}
		if zero := sol.Network.Neurons() == 0; zero != (ratio > 1) {
			t.Errorf("ratio %g: %d neurons", ratio, sol.Network.Neurons())
		}
	}
}

// Over the patterns generated, the optimum is far below that over sampled ones
// (146.7 for the 200 in the file), and no higher than the 137.7 at which long
// Adam runs of a wide network end.
func TestGeneratedPatternsBeatSampledOnes(t *testing.T) {
	p := diabetes(t, ReLU{}, 0.1)
	p.Patterns = nil
	sol, err := Solve(context.Background(), p, &Settings{TimeLimit: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if sol.Primal > 137.7 || sol.Scope != Restricted || sol.Lower > sol.Primal {
		t.Errorf("objective %g (lower %g, scope %v), want at most 137.7", sol.Primal, sol.Lower, sol.Scope)
	}
}

// The ways to solve the Newton system agree, in several parts where no row is
// active, and the factor of one matrix preconditions another: exactly at first, and
// well at another point with another step.
func TestNewtonSystems(t *testing.T) {
	for _, arch := range []Arch{ReLU{}, GatedReLU{}} {
		t.Run(arch.Name(), func(t *testing.T) { newtonSystems(t, arch) })
	}
}

// newtonProblem is a problem of many groups before its first Newton step.
func newtonProblem(t *testing.T, arch Arch) (*workingSetRun, []*ssnGroup) {
	p := diabetes(t, arch, 0.01)
	prog, err := Lower(context.Background(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newWorkingSetRun(prog.Op.Masked, prog.Loss, prog.Cones != nil, nil)
	s, n, d := r.ssn, r.model.samples, r.model.d
	var groups []*ssnGroup
	for g := range prog.Patterns.Len() {
		groups = append(groups, &ssnGroup{bits: prog.Patterns.Row(g), sign: 1 - 2*float64(g%2), beta: p.Beta, v: make([]float64, d)})
	}
	s.sigma, s.tau = 0.3, 1e7
	s.f, s.xi = make([]float64, n), slices.Clone(prog.Loss.Labels)
	return r, groups
}

// A search along a Newton step, also one that is far too long, ends lower and
// leaves the groups as they are there.
func TestLineSearch(t *testing.T) {
	r, groups := newtonProblem(t, ReLU{})
	s := r.ssn
	for _, long := range []float64{1, 64, 1e4} {
		e, err := s.eval(groups, s.xi)
		if err != nil {
			t.Fatal(err)
		}
		dir, ok := s.direction(groups, e)
		if !ok {
			t.Fatal("no direction")
		}
		scale(long, dir)
		ne, step, err := s.lineSearch(groups, e, dir, dot(e.grad, dir))
		if err != nil || ne == nil || !(ne.val < e.val) {
			t.Fatalf("direction times %g: step %g, %v", long, step, err)
		}
		var cs []float64
		for _, g := range groups {
			cs = append(cs, g.c, g.norm)
		}
		again, err := s.eval(groups, ne.xi)
		if err != nil || math.Abs(again.val-ne.val) > 1e-9*math.Abs(ne.val) {
			t.Errorf("direction times %g: value %g, evaluated again %g (%v)", long, ne.val, again.val, err)
		}
		for j, g := range groups {
			if math.Abs(g.c-cs[2*j])+math.Abs(g.norm-cs[2*j+1]) > 1e-9*(1+g.norm) {
				t.Errorf("direction times %g: group %d was left elsewhere", long, j)
			}
		}
	}
	up, err := s.eval(groups, s.xi)
	if err != nil {
		t.Fatal(err)
	}
	if ne, _, err := s.lineSearch(groups, up, up.grad, -dot(up.grad, up.grad)); ne != nil || err != nil {
		t.Errorf("a way up has a point at %v (%v)", ne, err)
	}
}

// The damping grows by what a short step missed of its promise, not by what a kink
// cut off, and goes where steps keep it; with it many cones take few Newton steps.
func TestDamping(t *testing.T) {
	r, groups := newtonProblem(t, ReLU{})
	s := r.ssn
	e, err := s.eval(groups, s.xi)
	if err != nil {
		t.Fatal(err)
	}
	dir, _ := s.direction(groups, e)
	slope := dot(e.grad, dir)
	step := func(damping, t, gain float64) float64 {
		s.damping = damping
		length2 := dot(dir, dir)
		promised := -t*slope - t*t/2*(-slope-damping*length2)
		s.damp(e, &ssnEval{val: e.val - gain*promised, grad: e.grad}, dir, slope, t)
		return s.damping
	}
	unit := -slope / dot(dir, dir)
	for _, c := range []struct{ damping, t, gain, least, most float64 }{
		{0, 1, 1, 0, 0},
		{0, 1, 0.1, 0.1, 1},
		{0.5, 1, 0.1, 1, 1.1},
		{0.5, 1, 0.5, 0.5, 0.5},
		{0.5, 1, 0.8, 0.1, 0.3},
		{0.5, 1, 1, 0.01, 0.1},
		{1e-3, 1, 1, 0, 0},
		{0, 0.125, 0, 6, 8},
		{0, 0.125, 0.5, 1, 4},
		{0.5, 0.125, 1, 0.49, 0.51},
	} {
		if got := step(c.damping*unit, c.t, c.gain) / unit; !(c.least <= got && got <= c.most) {
			t.Errorf("damping %g, step %g, gain %g: next %g, want %g to %g", c.damping, c.t, c.gain, got, c.least, c.most)
		}
	}
	// Rounding in Psi says nothing: the gradient does.
	blurred := *e
	blurred.val = 1e12 * math.Abs(slope)
	after := &ssnEval{val: blurred.val * (1 + 1e-12), grad: make([]float64, len(e.grad))}
	s.damping = unit
	for i, g := range e.grad {
		after.grad[i] = 0.5*g - 0.5*unit*dir[i]
	}
	if s.damp(&blurred, after, dir, slope, 0.5); math.Abs(s.damping-unit) > 1e-6*unit {
		t.Errorf("the gradient is as promised after half a step, and the damping goes from 1 to %g", s.damping/unit)
	}
	for i, g := range e.grad {
		after.grad[i] = -5 * g
	}
	if s.damp(&blurred, after, dir, slope, 0.5); math.Abs(s.damping-2*unit) > 1e-6*unit {
		t.Errorf("the gradient is far off after half a step, and the damping goes from 1 to %g, want 2", s.damping/unit)
	}
	s.damping = 0
	free, _ := s.direction(groups, e)
	s.damping = unit
	short, _ := s.direction(groups, e)
	if !(norm2(short) < 0.9*norm2(free)) {
		t.Errorf("damped, a step is %g long, %g if not", norm2(short), norm2(free))
	}

	rng := rand.New(rand.NewPCG(1, 2))
	p := Problem{X: gauss(rng, 200, 20), Y: gauss(rng, 200, 1), Arch: ReLU{}, Loss: L1}
	if p.Patterns, err = SamplePatterns(p.X, 100, 3); err != nil {
		t.Fatal(err)
	}
	most, err := BetaMax(context.Background(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Beta = 1e-3 * most
	sol, err := Solve(context.Background(), p, nil)
	if err != nil || sol.Status != Optimal || sol.Point.Iter > 240 { // 177; 310 undamped
		t.Errorf("%v after %d steps (%v), want optimal within 240", sol.Status, sol.Point.Iter, err)
	}
}

// An evaluation that ends early does so where the value is more than asked for,
// and nowhere else, and leaves groups to evaluate again.
func TestEvalUpTo(t *testing.T) {
	r, groups := newtonProblem(t, ReLU{})
	s := r.ssn
	early := 0
	for trial := range 40 {
		xi := slices.Clone(s.xi)
		for i := range xi {
			xi[i] *= 1 + 0.5*math.Sin(float64(i+7*trial))
		}
		fresh := make([]*ssnGroup, len(groups))
		for j, g := range groups {
			fresh[j] = &ssnGroup{bits: g.bits, sign: g.sign, beta: g.beta, v: g.v}
		}
		want, err := s.eval(fresh, xi)
		if err != nil {
			t.Fatal(err)
		}
		size := math.Abs(want.val) + 1
		for _, off := range []float64{-10 * size, -1e-3 * size, -1e-9 * size, 1e-9 * size, 1} {
			e, err := s.evalUpTo(groups, xi, want.val+off)
			if err != nil || (e == nil) != (off < 0) {
				t.Fatalf("trial %d: most %g above the value, err %v, evaluated %v", trial, off, err, e != nil)
			}
			if e == nil {
				early++
				continue
			}
			axpy(-1, want.grad, e.grad)
			if math.Abs(e.val-want.val) > 1e-10*size || norm2(e.grad) > 1e-8*want.gnorm || !slices.Equal(e.active, want.active) {
				t.Fatalf("trial %d: value %g, want %g, gradient off by %g", trial, e.val, want.val, norm2(e.grad))
			}
		}
		for j, g := range groups { // other values, too
			if g.c > 0 && trial%4 == 0 {
				for k := range g.v {
					g.v[k] = 0.3 * g.c * g.proj[k] * float64(j%3)
				}
			}
		}
	}
	if early != 120 {
		t.Errorf("%d evaluations ended early, want 120", early)
	}
}

// A Newton step that follows another is the same as one that does not.
func TestNewtonStepsFollow(t *testing.T) {
	r, groups := newtonProblem(t, ReLU{})
	s, shared := r.ssn, 0
	for range 4 {
		e, err := s.eval(groups, s.xi)
		if err != nil {
			t.Fatal(err)
		}
		before := s.space
		got, ok := s.direction(groups, e)
		if !ok || s.space == nil || s.space == before || s.space.gram.Rows == 0 {
			t.Fatalf("direction: %v, and it kept no Gram matrix", ok)
		}
		for _, o := range s.space.old {
			if o >= 0 {
				shared++
			}
		}
		kept := s.space
		s.space = nil
		want, _ := s.direction(groups, e)
		s.space = kept
		axpy(-1, want, got)
		if off := norm2(got) / norm2(want); off > 1e-8 {
			t.Errorf("off by %g", off)
		}
		for i := range s.xi {
			s.xi[i] *= 1 + 3e-4*math.Cos(float64(i))
		}
	}
	if shared < 100 {
		t.Errorf("only %d groups had what the last step knew of them", shared)
	}
}

func newtonSystems(t *testing.T, arch Arch) {
	r, groups := newtonProblem(t, arch)
	s, n, d := r.ssn, r.model.samples, r.model.d
	system := func() ([]*ssnGroup, []float64, []float64, int) {
		e, err := s.eval(groups, s.xi)
		if err != nil {
			t.Fatal(err)
		}
		var act []*ssnGroup
		rows := 0
		for _, j := range e.active {
			act = append(act, groups[j])
			rows += d - groups[j].free(d)
		}
		diag := make([]float64, n)
		for i := range diag {
			diag[i] = s.tau / (1 + s.tau) * (1 + float64(i%5))
		}
		return act, diag, e.grad, rows
	}
	act, diag, b, rows := system()
	if len(act) < 50 || r.cone != nil && rows < 50 {
		t.Fatalf("%d groups and %d rows are active: the test needs more", len(act), rows)
	}
	want := slices.Clone(b)
	if !s.solveSample(act, diag, want) {
		t.Fatal("the Newton matrix is not definite")
	}
	same := func(how string, got []float64, ok bool, tol float64) {
		t.Helper()
		diff := slices.Clone(got)
		axpy(-1, want, diff)
		if off := norm2(diff) / norm2(want); !ok || !(off <= tol) {
			t.Errorf("%s: %v, off by %g, want at most %g", how, ok, off, tol)
		}
	}
	got := slices.Clone(b)
	same("in the space of active variables", got, s.solveActive(newFreeSpace(act, s.model.d), diag, got), 1e-8)
	got = slices.Clone(b)
	same("by the Gram matrix", got, s.solveSampleGram(act, diag, got, rows), 1e-8)
	x, left := s.conjugateGradients(act, diag, b, 2, 0, func(z, r []float64) {
		copy(z, r)
		cholSolve(s.kept, z)
	})
	same("by its own factor", x, left < 1e-8*norm2(b), 1e-8)

	s.sigma *= 3
	for i := range s.xi {
		s.xi[i] *= 1 + 0.2*math.Sin(float64(i))
	}
	act, diag, b, _ = system()
	x, ok := s.solveKept(act, diag, b, 3)
	want = slices.Clone(b)
	s.solveSample(act, diag, want)
	same("by the factor of an earlier matrix", x, ok, 0.1)
	if _, ok := s.solveKept(act, diag, b, 0); ok {
		t.Error("no steps solve the system")
	}

	// What a step has computed serves in the next one, which has other groups in
	// another order, and other rows active for some.
	level := make([]float64, n)
	for i := range level {
		level[i] = 2
	}
	few := 40 // no more coordinates than samples
	before := newFreeSpace(act[3:few], d)
	got = slices.Clone(b)
	if !s.solveActive(before, level, got) {
		t.Fatal("the Newton matrix is not definite")
	}
	for i := range s.xi {
		s.xi[i] *= 1 + 1e-4*math.Cos(float64(i))
	}
	act, _, b, _ = system()
	act = act[:few]
	slices.Reverse(act[5:15])
	space := newFreeSpace(act, d)
	if space.follow(before); space.fresh() == 0 || 2*space.fresh() > space.size() {
		t.Errorf("%d coordinates of %d are fresh", space.fresh(), space.size())
	}
	got, want = slices.Clone(b), slices.Clone(b)
	s.solveSample(act, level, want)
	same("with what is known of the last step", got, s.solveActive(space, level, got), 1e-8)
	if again := newFreeSpace(act, d); space.before != nil || space.gram.Rows == 0 {
		t.Error("the space kept the one before, or no Gram matrix")
	} else if again.follow(space); again.fresh() != 0 {
		t.Errorf("%d coordinates of the same groups are fresh", again.fresh())
	}
	s.halt = func() bool { return true }
	if late := newFreeSpace(act, d); s.solveActive(late, level, got) || late.known() || late.gram.Rows > 0 {
		t.Error("a step that was ended counts as done")
	}
	s.halt = nil
	if r.cone != nil { // small enough to be solved anew
		return
	}
	// A step takes the factor there is, and keeps it.
	e, err := s.eval(groups, s.xi)
	if err != nil {
		t.Fatal(err)
	}
	kept := &s.kept.Data[0]
	if _, ok := s.direction(groups, e); !ok || s.kept.Rows != n || &s.kept.Data[0] != kept {
		t.Error("direction did not use the factor of an earlier matrix")
	}
}

func TestAscendClimbs(t *testing.T) {
	p := diabetes(t, ReLU{}, 0.1)
	X := mat.DenseCopyOf(p.X)
	m := newMaskedModel(&MaskedData{X: X})
	y := mat.Col(nil, 0, p.Y)
	const k = 16
	us, sgn := make([]float64, k*m.d), make([]float64, k)
	for i := range us {
		us[i] = math.Sin(float64(i * i))
	}
	for j := range sgn {
		sgn[j] = 1 - 2*float64(j%2)
	}
	value := func(u []float64, s float64) float64 {
		sum := 0.0
		for i := 0; i < m.n; i++ {
			sum += s * y[i] * math.Max(0, dot(X.RawRowView(i), u))
		}
		return sum / norm2(u)
	}
	before := make([]float64, k)
	for j := range before {
		before[j] = value(us[j*m.d:][:m.d], sgn[j])
	}
	phi := ascend(m, us, sgn, y, newBits(k, m.n), 30)
	for j := range phi {
		after := value(us[j*m.d:][:m.d], sgn[j])
		if math.Abs(after-phi[j]) > 1e-9*math.Abs(after)+1e-9 || after < before[j]-1e-9 {
			t.Errorf("start %d: from %g to %g, reported %g", j, before[j], after, phi[j])
		}
	}
}

func BenchmarkWorkingSet(b *testing.B) {
	for _, c := range diabetesOptima {
		b.Run(c.arch.Name()+"/"+map[float64]string{0.1: "0.1", 0.01: "0.01", 0.001: "0.001"}[c.ratio], func(b *testing.B) {
			prog, err := Lower(context.Background(), diabetes(b, c.arch, c.ratio), nil)
			if err != nil {
				b.Fatal(err)
			}
			var sol *Solution
			for b.Loop() {
				if sol, err = SolveProgram(context.Background(), prog, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(sol.Gap, "gap")
			b.ReportMetric(float64(sol.Iterations), "newton-steps")
		})
	}
}

// What one projection took away bounds those of vectors nearby, and its own exactly.
func TestPulled(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 3))
	X := randomMatrix(rng, 60, 6)
	p := newConeProjector(newConeData(X))
	below := 0
	for range 100 {
		pat := newBits(1, 60)
		z, v := make([]float64, 6), make([]float64, 6)
		for i := range z {
			z[i] = rng.NormFloat64()
		}
		newMaskedData(X).patternsOf(pat, z)
		for i := range z {
			z[i] += rng.NormFloat64()
		}
		project := func() float64 {
			if _, err := p.project(v, z, pat[0], nil, 1e-12, 0); err != nil {
				t.Fatal(err)
			}
			return norm2(v)
		}
		size := project()
		axpy(-1, z, v)
		pull := append([]float64(nil), v...)
		if got := pulled(z, pull); math.Abs(got-size) > 1e-9*norm2(z) {
			t.Errorf("at the vector itself %g, want %g", got, size)
		}
		for i := range z {
			z[i] += 0.1 * rng.NormFloat64()
		}
		got, want := pulled(z, pull), project()
		if got < want-1e-9 || got > norm2(z)*(1+1e-15) {
			t.Errorf("nearby %g, want from %g to %g", got, want, norm2(z))
		}
		if got < 0.9*norm2(z) {
			below++
		}
	}
	if below < 20 {
		t.Errorf("only %d of 100 bounds say anything", below)
	}
	if got := pulled([]float64{3, 4}, nil); got != 5 {
		t.Errorf("without a projection %g", got)
	}
}
