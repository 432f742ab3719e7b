package convex

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2/maybe"
)

// solutionFile is what Solution.Save writes: the point and its dual, with all
// that is needed to build the same program again from the problem file. The
// claims are for comparison only: CertifyFile believes none of them.
type solutionFile struct {
	Format       string          `json:"format"`
	Name         string          `json:"name,omitempty"`
	Architecture string          `json:"architecture"`
	Loss         string          `json:"loss"`
	Beta         float64         `json:"beta"`
	Variables    int             `json:"variables"`
	Patterns     []string        `json:"patterns,omitempty"` // base64 of the bytes of a row, bit i%8 of byte i/8 is sample i; none when the problem file determines them
	Samples      int             `json:"pattern_samples,omitempty"`
	All          bool            `json:"all_patterns,omitempty"` // over all that the data have: they are enumerated again
	Blocks       []solutionBlock `json:"blocks"`                 // those that are not zero
	Dual         []float64       `json:"dual,omitempty"`
	Claimed      claimFile       `json:"claimed"`
}

type claimFile struct {
	Objective float64  `json:"objective"`
	Lower     *float64 `json:"lower_bound"` // null: none
	Scope     string   `json:"scope"`
	Solver    string   `json:"solver"`
}

// A Claim is what a solution file says of its solution.
type Claim struct {
	Objective float64
	Lower     float64 // -Inf when there was none
	Scope     Scope
	Solver    string
}

// HoldsFor says whether sol, recomputed by CertifyFile, is at least as good as
// the claim: objective and bound to one part in 10⁹, and the scope.
func (c *Claim) HoldsFor(sol *Solution) bool {
	const slack = 1e-9 // the rounding that a recomputed value may lose
	size := slack * math.Max(math.Abs(c.Objective), math.Abs(sol.Primal))
	return sol.Primal <= c.Objective+size && sol.Lower >= c.Lower-size && (sol.Scope == Global || c.Scope != Global)
}

type solutionBlock struct {
	Block int       `json:"block"`
	X     []float64 `json:"x"`
}

const solutionFormat = "gonvex solution 1"

// maxSolutionFile is the largest solution file that CertifyFile reads, in bytes.
const maxSolutionFile = 1 << 30

// Save writes the solution's point and dual to a JSON file that CertifyFile
// checks against the problem, in another process if need be.
func (s *Solution) Save(path string) error {
	if s == nil || s.Program == nil || len(s.Certificate.X) != s.Program.Op.Cols {
		return errors.New("convex: Save: the solution has no point: solve a problem first")
	}
	p := s.Program.Problem
	if p.Arch == nil {
		return errors.New("convex: Save: the program was put together by hand: there is no problem to certify the solution against")
	}
	f := solutionFile{
		Format: solutionFormat, Name: p.Name, Architecture: p.Arch.Name(), Loss: p.Loss.orDefault().Name, Beta: p.Beta,
		Variables: s.Program.Op.Cols, Dual: s.Certificate.Dual, Blocks: []solutionBlock{},
	}
	f.Claimed.Objective, f.Claimed.Scope, f.Claimed.Solver = s.Primal, s.Scope.String(), s.Solver
	if !math.IsInf(s.Lower, 0) && !math.IsNaN(s.Lower) {
		f.Claimed.Lower = &s.Lower
	}
	if pat := s.Program.Patterns; pat != nil && pat.Complete {
		f.All = true
	} else if pat != nil {
		f.Samples = pat.Samples()
		for i := 0; i < pat.Len(); i++ {
			f.Patterns = append(f.Patterns, packRow(pat.Row(i), pat.Samples()))
		}
	}
	for b, blk := range s.Program.Blocks {
		if z := blk.Of(s.Certificate.X); norm2(z) > 0 {
			f.Blocks = append(f.Blocks, solutionBlock{b, z})
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("convex: Save: %w", err)
	}
	if err := maybe.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("convex: Save: %w", err)
	}
	return nil
}

func packRow(row []uint64, n int) string {
	bytes := make([]byte, 8*len(row))
	for i, w := range row {
		binary.LittleEndian.PutUint64(bytes[8*i:], w)
	}
	return base64.StdEncoding.EncodeToString(bytes[:(n+7)/8])
}

// CertifyFile recomputes, from the problem alone, what the solution in a file
// written by Save is worth: the program is lowered again, the point projected
// on its cones and evaluated, the network decoded and its own objective taken,
// and the dual point scaled until it is feasible. p.Beta is that of the file's
// solution when it is 0, and must else agree with it, as patterns of p must with
// those of the file; gates that the solver chose must be those of some gate
// vectors. The Solution that comes back has nothing of the file but its point and
// its dual; the file's claim is returned beside it.
func CertifyFile(ctx context.Context, p Problem, path string, s *Settings) (*Solution, *Claim, error) {
	start := time.Now()
	ctx = background(ctx)
	f, err := readSolution(path)
	if err != nil {
		return nil, nil, fmt.Errorf("convex: %s: %w", path, err)
	}
	fail := func(format string, a ...any) (*Solution, *Claim, error) {
		return nil, nil, fmt.Errorf("convex: %s: "+format, append([]any{path}, a...)...)
	}
	arch := p.Arch
	if arch == nil {
		arch = ReLU{}
	}
	if arch.Name() != f.Architecture || p.Loss.orDefault().Name != f.Loss {
		return fail("is of a %s network with %s loss, the problem has %s and %s", f.Architecture, f.Loss, arch.Name(), p.Loss.orDefault().Name)
	}
	if p.Beta == 0 {
		p.Beta = f.Beta
	}
	if p.Beta != f.Beta {
		return fail("was solved with beta %g, the problem has %g", f.Beta, p.Beta)
	}
	searched := p.Patterns == nil
	if len(f.Patterns) > 0 {
		rows := make([][]byte, len(f.Patterns))
		for i, r := range f.Patterns {
			if rows[i], err = base64.StdEncoding.DecodeString(r); err != nil {
				return fail(`field "patterns", row %d: %w`, i, err)
			}
		}
		given, err := NewPatternsBits(rows, f.Samples)
		if err != nil {
			return fail(`field "patterns": %w`, err)
		}
		if p.Patterns != nil {
			own := p.Patterns.Distinct()
			if !own.covers(given) || !given.covers(own) || own.Len() != given.Len() {
				return fail("is over %d patterns that are not the %d of the problem", given.Len(), own.Len())
			}
			given = own // with its gates
		}
		p.Patterns = given
	}
	s = s.withDefaults()
	s.record, s.own, s.all = &record{start: start}, true, f.All
	prog, err := Lower(ctx, p, s)
	if err != nil {
		return nil, nil, err
	}
	if prog.Op.Cols != f.Variables {
		return fail("has %d variables, the program of this problem has %d: it is of another problem", f.Variables, prog.Op.Cols)
	}
	pt := &Point{X: make([]float64, prog.Op.Cols), Status: Optimal, Solver: "certify"}
	for i, b := range f.Blocks {
		if b.Block < 0 || b.Block >= len(prog.Blocks) || len(b.X) != prog.Blocks[b.Block].Len() {
			return fail(`field "blocks", entry %d: block %d with %d numbers does not fit the program, which has %d blocks`, i, b.Block, len(b.X), len(prog.Blocks))
		}
		copy(prog.Blocks[b.Block].Of(pt.X), b.X)
	}
	if len(f.Dual) > 0 {
		if len(f.Dual) != prog.Op.Rows {
			return fail(`field "dual" has %d numbers, the predictions have %d`, len(f.Dual), prog.Op.Rows)
		}
		pt.Dual = f.Dual
	}
	sol, err := certified(ctx, prog, pt, s, start)
	if err != nil {
		return nil, nil, err
	}
	if net := sol.Network; searched && net != nil && net.findGates != nil && net.Neurons() > 0 {
		// Gates that the solver chose must be some; cones see to the rest.
		if _, err := net.findGates(net.gate); err != nil {
			return fail(`field "patterns": %s`, strings.TrimPrefix(err.Error(), "convex: "))
		}
	}
	claim := &Claim{Objective: f.Claimed.Objective, Lower: math.Inf(-1), Solver: f.Claimed.Solver}
	if f.Claimed.Lower != nil {
		claim.Lower = *f.Claimed.Lower
	}
	if f.Claimed.Scope == Global.String() {
		claim.Scope = Global
	}
	return sol, claim, nil
}

func readSolution(path string) (*solutionFile, error) {
	file, err := os.Open(path)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the path is in front already
		}
		return nil, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() || st.Size() > maxSolutionFile {
		return nil, errors.New("is not a solution file")
	}
	d := json.NewDecoder(io.LimitReader(file, maxSolutionFile))
	d.DisallowUnknownFields()
	var f solutionFile
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("is not a solution file: %w", err)
	}
	if f.Format != solutionFormat {
		return nil, fmt.Errorf("is not a solution file: its format is %q, want %q", f.Format, solutionFormat)
	}
	if s := f.Claimed.Scope; s != Global.String() && s != Restricted.String() {
		return nil, fmt.Errorf(`field "claimed" has scope %q: want %q or %q`, s, Restricted, Global)
	}
	if !(f.Beta > 0) {
		return nil, fmt.Errorf(`field "beta" is %g: want a positive number`, f.Beta)
	}
	return &f, nil
}
