package convex

import (
	"context"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/mat"
)

// Problem is a training problem: data, architecture, loss and weight decay.
//
// It is a value: change a field and solve again. The objective is
//
//	Σ_i loss(f(x_i), y_i) + Beta/2 Σ_j (|u_j|² + |a_j|²)
//
// where u_j and a_j are the weights of neuron j; nothing is averaged or
// rescaled.
type Problem struct {
	X        mat.Matrix   // n×d samples, one a row. A bias is a column of ones.
	Y        mat.Matrix   // n×c targets (a *mat.VecDense is n×1). Logistic and hinge labels are -1 or +1.
	Patches  []mat.Matrix // for convolutional architectures, in place of X: K matrices n×h, patch k of every sample; see Patching for images.
	Patching Patching     // for convolutional architectures: how the images in X are cut into patches. The zero value: X is not images.
	Arch     Arch         // the network; nil means ReLU{}.

	// OutputBias gives every output of the network a number of its own, which
	// weight decay leaves alone (a column of ones in X is a bias of the hidden
	// neurons, and is penalised).
	OutputBias bool

	Loss     Loss      // the zero value means Squared.
	Beta     float64   // weight decay, > 0: beta/2 (|u|²+|a|²), the weight of a group in the convex program.
	Patterns *Patterns // activation patterns (gates); nil: all of them when they can be enumerated, else sampled.
	Seed     uint64    // for sampled patterns; the same seed gives the same patterns.
	Name     string    // for messages and files.

	cut *cutImages // the patches of X, once they were cut
}

// Arch is a network architecture: it lowers a Problem to a convex Program
// whose Decode maps a point back to a Network.
type Arch interface {
	// Name is the name in problem files, such as "relu".
	Name() string
	// Lower builds the convex program. It must not keep or change p; s is
	// never nil.
	Lower(ctx context.Context, p *Problem, s *Settings) (*Program, error)
}

// Program is a convex program
//
//	minimise  Loss(Op x) + Σ_b Blocks[b].Weight · Penalty(x_b)
//	subject to  Cones.Block(b) x_b ≥ 0 for every block b,
//
// where x_b is a block (a Rows×Cols matrix, row-major) of the flat vector x.
// It is a value made of parts: change one in the next cell, such as
// prog.Penalty = convex.GroupL1(beta), and call SolveProgram again.
//
// Structure that a fast solver can use travels with the part that has it:
// Op.Masked, Cones.Masked, Penalty.GroupL2. Replace a part and its structure
// goes with it, so a solver never works on a stale one.
type Program struct {
	Name    string
	Samples int     // n: rows of the predictions
	Outputs int     // c: columns of the predictions; Op.Rows == n·c
	Loss    Fn      // data term, a function of the n·c predictions (row-major)
	Op      Op      // variables → predictions
	Blocks  []Block // a partition of the variables
	Penalty Penalty // on each block
	Cones   *Cones  // nil: no constraints

	Scope    Scope   // Global when the optimum of this program is that of the network problem
	Problem  Problem // what it came from, with Patterns filled in; zero for a program built by hand
	Patterns *Patterns

	// AllPatterns, for a program over some of the patterns, is an upper bound
	// on the dual constraint of v over all of them: v times its reciprocal is
	// dual feasible for the problem with every pattern. nil when there is none.
	AllPatterns func(ctx context.Context, v []float64) float64
	// Duals are vectors v to try with AllPatterns, beside those of the point;
	// nothing is believed of them.
	Duals [][]float64

	// Relaxation says that the optimum of the program is only a lower bound on
	// that of the network problem: Decode rounds, and its network's objective is
	// an upper bound. Scope is then that of the lower bound.
	Relaxation bool

	// Prefer names the solver to take when the settings name none and it can
	// solve the program; "" leaves the usual order.
	Prefer string

	// Decode maps a point to a network of the same objective (no smaller, for a
	// relaxation); nil when there is no network behind the program.
	Decode func(x []float64) (*Network, error)

	// solver is what Solve takes when the settings name none; it may know more
	// than the parts say, since nobody can have changed them.
	solver Solver

	// round is Decode with a context, for programs whose Decode searches.
	round func(ctx context.Context, x []float64) (*Network, error)
}

// Block is one block of a program's variables: the Rows×Cols row-major matrix
// x[Offset : Offset+Rows·Cols]. Weight multiplies the penalty of the block;
// 0 leaves it unpenalised.
type Block struct {
	Offset, Rows, Cols int
	Weight             float64
}

// Len is the number of variables in the block.
func (b Block) Len() int { return b.Rows * b.Cols }

// Of returns the block's part of x, sharing memory.
func (b Block) Of(x []float64) []float64 { return x[b.Offset : b.Offset+b.Rows*b.Cols] }

// Settings are the options of Solve. A nil pointer and the zero value mean the
// defaults.
type Settings struct {
	Solver      string         // name of a registered solver; "" chooses one
	Use         Solver         // a solver value, before Solver
	Tol         float64        // relative duality gap to stop at; default 1e-6
	MaxIter     int            // iterations; 0: the solver's own limit
	TimeLimit   time.Duration  // 0: none
	Warm        *Solution      // start from this solution of a program with the same variables
	Progress    func(Progress) // called at most about ten times a second, and with the certified outcome; nil: DefaultProgress
	MaxPatterns int            // solve over all activation patterns when there are at most this many; default 50000
	Samples     int            // when there are more: sample this many; 0: 500 for gated networks, a search for those that matter for ReLU networks
	MaxMemory   int64          // bytes a solve may take (Program.Memory); 0: what the machine has free
	NoPrune     bool           // keep all neurons, even more than a pruned network needs

	record *record // of the whole run, over its stages
	own    bool    // the program is as Lower made it, with the network's objective
	all    bool    // enumerate all patterns where there would be a search
	path   *onPath // that the solve is on; may be nil
}

// record is the trace of a run that may have several stages, on one clock.
type record struct {
	start time.Time
	trace []Progress
}

const (
	defaultTol         = 1e-6
	defaultMaxPatterns = 50000
	defaultSamples     = 500
)

// withDefaults returns a copy with every unset field at its default.
func (s *Settings) withDefaults() *Settings {
	var t Settings
	if s != nil {
		t = *s
	}
	if t.Tol == 0 {
		t.Tol = defaultTol
	}
	if t.MaxPatterns == 0 {
		t.MaxPatterns = defaultMaxPatterns
	}
	return &t
}

func (s *Settings) validate() error {
	switch {
	case !(s.Tol > 0) || s.Tol >= 1:
		return fmt.Errorf("convex: Settings.Tol is %g: want a relative gap between 0 and 1, such as 1e-6", s.Tol)
	case s.MaxIter < 0:
		return fmt.Errorf("convex: Settings.MaxIter is %d: want a positive number, or 0 for the solver's own limit", s.MaxIter)
	case s.TimeLimit < 0:
		return fmt.Errorf("convex: Settings.TimeLimit is %v: want a positive duration, or 0 for none", s.TimeLimit)
	case s.MaxPatterns < 0:
		return fmt.Errorf("convex: Settings.MaxPatterns is %d: want a positive number, or 0 for %d", s.MaxPatterns, defaultMaxPatterns)
	case s.MaxMemory < 0:
		return fmt.Errorf("convex: Settings.MaxMemory is %d: want bytes, or 0 for what the machine has free", s.MaxMemory)
	case s.Samples < 0:
		return fmt.Errorf("convex: Settings.Samples is %d: want a positive number, or 0 for the default", s.Samples)
	}
	return nil
}

// StartPoint returns a copy of the warm start's variables if there is one that
// fits prog (the same number of variables), else those of the network that the
// search for its patterns ended at, else nil.
func (s *Settings) StartPoint(prog *Program) []float64 {
	if prog == nil {
		return nil
	}
	if s != nil && s.Warm != nil && s.Warm.Point != nil && len(s.Warm.Point.X) == prog.Op.Cols {
		return append([]float64(nil), s.Warm.Point.X...)
	}
	m := prog.Op.Masked
	if m == nil || !m.Signed || prog.Cones == nil || len(m.Patterns.net) == 0 || len(prog.Blocks) < 2*m.Patterns.Len() {
		return nil
	}
	x := make([]float64, prog.Op.Cols)
	for _, sd := range m.Patterns.net {
		g := sd.pattern
		if sd.sign < 0 {
			g += m.Patterns.Len()
		}
		axpy(1, sd.v, prog.Blocks[g].Of(x))
	}
	return x
}

// startDual is the dual point that goes with the start point x: the warm
// start's, or minus the slope of the loss at x; nil when there is neither.
func (s *Settings) startDual(prog *Program, x []float64) []float64 {
	if s.Warm != nil && len(s.Warm.Certificate.Dual) == prog.Op.Rows {
		return s.Warm.Certificate.Dual
	}
	slope := prog.Loss.anyGrad()
	if slope == nil {
		return nil
	}
	v := make([]float64, prog.Op.Rows)
	prog.Op.Apply(v, x)
	slope(v, v)
	scale(-1, v)
	return v
}

// Progress is one report of a running solver, and one entry of a trace.
type Progress struct {
	Solver  string
	Iter    int
	Primal  float64       // objective of the best feasible point so far
	Lower   float64       // best lower bound so far; -Inf when there is none yet
	Gap     float64       // relative gap; +Inf when there is no bound yet
	Active  int           // blocks that are not zero
	Elapsed time.Duration // since the solve began
	ETA     time.Duration // estimate of the time left; 0 when unknown
	Done    bool          // the solve is over: the certified outcome
	Of      string        // which solve of a path or cross-validation this is, like "fold 2 of 5, beta 7 of 20"
}

// DefaultProgress receives the reports of solves whose Settings.Progress is
// nil. A front end sets it, once and before solving; nil drops the reports.
var DefaultProgress func(Progress)

// Scope says over what an optimum is optimal.
type Scope int

const (
	// Restricted: optimal over the activation patterns of the program, and
	// nothing is said about others.
	Restricted Scope = iota
	// Global: optimal over all networks of the architecture, because the
	// program has every activation pattern the data allow.
	Global
)

// String is "restricted" or "global".
func (s Scope) String() string {
	if s == Global {
		return "global"
	}
	return "restricted"
}

// Status says how a solve ended.
type Status int

const (
	Unknown   Status = iota // no solve yet
	Optimal                 // the certified relative gap is within the tolerance
	Almost                  // the solver did not reach the tolerance, but the certified gap is within 100 tolerances
	IterLimit               // iteration limit; the best point so far
	TimeLimit               // time limit or context deadline; the best point so far
	Stopped                 // the context was cancelled; the best point so far
	Numerical               // the solver made no more progress
	Bounded                 // a relaxation was solved to the tolerance: the optimum is between its bound and the network's objective, which are further apart
)

var statusNames = [...]string{"unknown", "optimal", "almost", "iteration_limit", "time_limit", "stopped", "numerical", "bounded"}

// String is the name in results, such as "optimal" or "iteration_limit".
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("status(%d)", int(s))
	}
	return statusNames[s]
}

// Point is what a solver returns: a point of a program, and what it believes
// about it. Certify uses the belief only as a candidate.
type Point struct {
	X      []float64  // the variables, Op.Cols of them; should satisfy the cones, or nearly
	Dual   []float64  // candidate dual v (n·c), near -gradient of the loss; nil: taken from X
	Status Status     // why the solver ended: Optimal when it met its own test
	Iter   int        // iterations done
	Trace  []Progress // reports, oldest first
	Solver string

	sets map[int]activeSet // by block, of the projection on its cone near Dual; a hint
}

// relativeGap is (primal-lower)/max(|primal|, tiny), the gap of every report.
func relativeGap(primal, lower float64) float64 {
	if math.IsInf(lower, -1) || math.IsNaN(lower) || math.IsNaN(primal) || math.IsInf(primal, 1) {
		return math.Inf(1)
	}
	return (primal - lower) / math.Max(math.Abs(primal), 1e-300)
}
