package convex

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
)

// Solver finds a point of a program.
type Solver interface {
	// Name is what Settings.Solver calls it.
	Name() string
	// Uses says, before any work, whether the solver can solve prog: nil if
	// so, else an error that says what is missing, such as "needs Prox of
	// penalty 'mine'".
	Uses(prog *Program) error
	// Solve returns the best point found. A cancelled context, a deadline and
	// an iteration limit are not errors: they are the Status of the point. An
	// error means that there is no point at all. s is never nil and has its
	// defaults filled in.
	Solve(ctx context.Context, prog *Program, s *Settings) (*Point, error)
}

var registry struct {
	sync.Mutex
	solvers map[string]registered
}

type registered struct {
	Solver
	preference int
}

// RegisterSolver makes a solver known under its name, replacing one of the
// same name. The automatic choice takes the solver with the lowest preference
// whose Uses is nil; ties go by name. Registering a solver from a cell with
// preference 0 puts it first.
func RegisterSolver(s Solver, preference int) {
	registry.Lock()
	defer registry.Unlock()
	if registry.solvers == nil {
		registry.solvers = map[string]registered{}
	}
	registry.solvers[s.Name()] = registered{s, preference}
}

// Solvers names the registered solvers, in order of preference.
func Solvers() []string {
	rs := solversInOrder()
	names := make([]string, len(rs))
	for i, r := range rs {
		names[i] = r.Name()
	}
	return names
}

func solversInOrder() []registered {
	registry.Lock()
	defer registry.Unlock()
	rs := make([]registered, 0, len(registry.solvers))
	for _, r := range registry.solvers {
		rs = append(rs, r)
	}
	sort.Slice(rs, func(i, j int) bool {
		if rs[i].preference != rs[j].preference {
			return rs[i].preference < rs[j].preference
		}
		return rs[i].Name() < rs[j].Name()
	})
	return rs
}

// LookupSolver returns the solver of a name.
func LookupSolver(name string) (Solver, error) {
	for _, r := range solversInOrder() {
		if r.Name() == name {
			return r.Solver, nil
		}
	}
	return nil, fmt.Errorf("convex: no solver %q; there are %s", name, strings.Join(Solvers(), ", "))
}

// chooseSolver is the solver the settings name, or the one the program prefers,
// or the first that can solve prog.
func chooseSolver(prog *Program, s *Settings) (Solver, error) {
	if s.Use != nil || s.Solver != "" {
		sv := s.Use
		if sv == nil {
			var err error
			if sv, err = LookupSolver(s.Solver); err != nil {
				return nil, err
			}
		}
		if err := sv.Uses(prog); err != nil {
			var can []string
			for _, r := range solversInOrder() {
				if r.Uses(prog) == nil {
					can = append(can, r.Name())
				}
			}
			if len(can) == 0 {
				can = []string{"none of the registered ones"}
			}
			return nil, fmt.Errorf("convex: solver %s cannot solve program %q: %w; what can: %s", sv.Name(), prog.Name, err, strings.Join(can, ", "))
		}
		return sv, nil
	}
	if prog.Prefer != "" {
		if sv, err := LookupSolver(prog.Prefer); err == nil && sv.Uses(prog) == nil {
			return sv, nil
		}
	}
	var why []string
	for _, r := range solversInOrder() {
		err := r.Uses(prog)
		if err == nil {
			return r.Solver, nil
		}
		why = append(why, r.Name()+": "+err.Error())
	}
	if len(why) == 0 {
		return nil, errors.New("convex: no solver is registered")
	}
	return nil, fmt.Errorf("convex: no solver can solve program %q:\n  %s", prog.Name, strings.Join(why, "\n  "))
}

// Monitor keeps the trace of a solve, reports progress, and says when to stop.
// A solver calls Stop every iteration and Report whenever it has a bound.
type Monitor struct {
	ctx      context.Context
	solver   string
	settings *Settings
	start    time.Time
	last     time.Time
	trace    []Progress
}

// NewMonitor starts the clock, or joins that of the run s belongs to.
func NewMonitor(ctx context.Context, solver string, s *Settings) *Monitor {
	m := &Monitor{ctx: ctx, solver: solver, settings: s, start: time.Now()}
	if s.record != nil {
		m.start = s.record.start
	}
	return m
}

// Stop says whether to end before iteration iter (counted from 0), and with
// which status; limit is the solver's own iteration limit, used when the
// settings have none.
func (m *Monitor) Stop(iter, limit int) (Status, bool) {
	if err := m.ctx.Err(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return TimeLimit, true
		}
		return Stopped, true
	}
	if m.settings.MaxIter > 0 {
		limit = m.settings.MaxIter
	}
	if limit > 0 && iter >= limit {
		return IterLimit, true
	}
	return Unknown, false
}

// Report appends to the trace and, at most ten times a second, calls the
// progress function. Solver, Gap and Elapsed are filled in.
func (m *Monitor) Report(p Progress) {
	now := time.Now()
	p.Solver = m.solver
	p.Elapsed = now.Sub(m.start)
	p.Gap = relativeGap(p.Primal, p.Lower)
	m.trace = append(m.trace, p)
	if r := m.settings.record; r != nil {
		r.trace = append(r.trace, p)
	}
	if m.last.IsZero() || now.Sub(m.last) >= 100*time.Millisecond {
		m.last = now
		m.settings.report(p)
	}
}

// reportDone makes the certified outcome, if there is one, the last report.
func (s *Settings) reportDone(sol *Solution) {
	if sol == nil {
		return
	}
	s.report(Progress{
		Solver: sol.Solver, Iter: sol.Iterations, Primal: sol.Primal, Lower: sol.Lower, Gap: sol.Gap,
		Active: sol.Program.ActiveBlocks(sol.Certificate.X), Elapsed: sol.Elapsed, Done: true,
	})
}

// report calls the progress function, if there is one.
func (s *Settings) report(p Progress) {
	f := s.Progress
	if f == nil {
		f = DefaultProgress
	}
	if f != nil {
		if s.path != nil {
			p.Of = s.path.at
		}
		f(p)
	}
}

// Trace is what was reported so far.
func (m *Monitor) Trace() []Progress { return m.trace }
