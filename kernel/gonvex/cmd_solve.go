package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/comm"
)

func newSolve() *cobra.Command {
	var o solveOptions
	cmd := &cobra.Command{
		Use:   "solve PROBLEM.json",
		Short: "Solve one problem file to a certified optimum",
		Long: `Solve reads a problem file, trains its network and prints the objective, the lower bound
that proves how good it is, the relative gap between them, and the status.

The scope is "global" when every activation pattern the data allow was in the program,
so that no network of this architecture is better than the bound; "restricted" when the
patterns were sampled or given.

Interrupt (Ctrl-C) or --time-limit ends the run with the best network so far and its true
gap. The exit code is 0 when there is a result, 130 when it was interrupted, and 1 when
the problem could not be run.

With --mpi the processes that mpirun or srun started solve it together, each for a share of
the samples, by consensus ADMM; the first prints. It needs a build with the tag mpi.`,
		Example: `  gonvex solve problem.json
  gonvex solve problem.json --beta 0.01 --json
  gonvex solve problem.json --time-limit 30s -o network.json
  gonvex solve problem.json --save-network network.npz
  gonvex solve problem.json --save-solution solution.json
  mpirun -n 4 gonvex solve --mpi problem.json`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if cmd.Flags().Changed("beta") && (!(o.beta > 0) || math.IsInf(o.beta, 1)) {
				return fmt.Errorf("--beta is %g: weight decay must be a positive number, such as 1e-3", o.beta)
			}
			if !o.mpi {
				return o.run(cmd.Context(), comm.Self(), a[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if cmd.Flags().Changed("solver") {
				return usageError{errors.New("--mpi has a solver of its own: leave out --solver")}
			}
			ranks, err := comm.MPI()
			if err != nil {
				return fmt.Errorf("--mpi: %w", err)
			}
			err = o.run(cmd.Context(), ranks, a[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
			var all *comm.Failure
			var code exitCode
			switch {
			case errors.As(err, &all):
				// The first says it for all, before mpirun ends what is left of a job that failed.
				if ranks.Rank() == 0 {
					fmt.Fprintln(cmd.ErrOrStderr(), "gonvex:", err)
				}
				err = exitCode(1)
			case err != nil && !errors.As(err, &code):
				return err // the others may be waiting for this one: MPI ends them when it ends without Close
			}
			return errors.Join(err, ranks.Close())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	f.Float64Var(&o.beta, "beta", 0, "weight decay, in place of the file's")
	f.Float64Var(&o.settings.Tol, "tol", 1e-6, "relative gap to stop at")
	f.DurationVar(&o.settings.TimeLimit, "time-limit", 0, "stop after this long, such as 30s or 5m")
	f.StringVar(&o.settings.Solver, "solver", "", "one of "+strings.Join(convex.Solvers(), ", ")+" (default: the best that fits)")
	f.StringVar(&o.saveNetwork, "save-network", "", "write the network to `FILE`.npz, for convex.LoadNetwork and numpy.load")
	f.StringVar(&o.saveSolution, "save-solution", "", "write the solution to `FILE`, for gonvex certify")
	f.BoolVar(&o.mpi, "mpi", false, "solve by rows with the other processes of this MPI job")
	f.StringVarP(&o.network, "output", "o", "", "write the network's weights to `FILE` as JSON")
	return cmd
}

type solveOptions struct {
	json, mpi    bool
	beta         float64
	network      string
	saveNetwork  string
	saveSolution string
	settings     convex.Settings
	counter      *comm.Counter // with --mpi
}

func (o *solveOptions) run(ctx context.Context, ranks comm.Comm, path string, stdout, stderr io.Writer) error {
	problem, err := convex.ReadProblem(path)
	if err := comm.Agree(ranks, err); err != nil {
		return err
	}
	if o.beta > 0 {
		problem.Beta = o.beta
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the program as usual

	first := ranks.Rank() == 0
	if !first {
		stderr = io.Discard
	}
	line := newStatusLine(stderr)
	o.settings.Progress = func(p convex.Progress) {
		line.set(fmt.Sprintf("iteration %d  objective %.8g  gap %.1e  neurons %d  %s",
			p.Iter, p.Primal, p.Gap, p.Active, p.Elapsed.Round(100*time.Millisecond)))
	}
	var solution *convex.Solution
	if o.mpi {
		o.counter = &comm.Counter{Comm: ranks}
		solution, err = convex.SolveByRows(ctx, o.counter, problem, &o.settings)
	} else {
		solution, err = convex.Solve(ctx, problem, &o.settings)
	}
	line.set("")
	if err != nil {
		return err
	}
	if first {
		err = o.report(problem, solution, stdout)
	}
	if err := comm.Agree(ranks, err); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return exitCode(130)
	}
	return nil
}

// report prints the result and writes the files that were asked for.
func (o *solveOptions) report(problem convex.Problem, solution *convex.Solution, stdout io.Writer) (err error) {
	result := newSolveResult(problem, solution)
	if c := o.counter; c != nil {
		result.Ranks, result.Sums, result.SumBytes, result.SumSeconds = c.Size(), c.Sums, 8*c.Numbers, c.Elapsed.Seconds()
	}
	if o.json {
		err = result.writeJSON(stdout)
	} else {
		err = result.writeText(stdout)
	}
	if err != nil {
		return err
	}
	if o.saveNetwork != "" {
		if err := solution.Network.Save(o.saveNetwork); err != nil {
			return fmt.Errorf("--save-network %s: %w", o.saveNetwork, err)
		}
	}
	if o.network != "" {
		if err := writeNetwork(o.network, solution.Network); err != nil {
			return err
		}
	}
	if o.saveSolution != "" {
		return solution.Save(o.saveSolution)
	}
	return nil
}

// solveResult is what solve prints: the fields of the problem file format's description,
// then what ran.
type solveResult struct {
	Objective     *float64 `json:"objective"`
	LowerBound    *float64 `json:"lower_bound"`
	Gap           *float64 `json:"gap"`
	Infeasibility *float64 `json:"infeasibility"`
	Status        string   `json:"status"`
	Scope         string   `json:"scope"`
	Neurons       int      `json:"neurons"`
	Seconds       float64  `json:"seconds"`
	Name          string   `json:"name,omitempty"`
	Architecture  string   `json:"architecture"`
	Loss          string   `json:"loss"`
	Beta          float64  `json:"beta"`
	NeuronBound   int      `json:"neuron_bound"` // n+1, the papers' bound on m*
	Patterns      int      `json:"patterns,omitempty"`
	Cells         int      `json:"cells,omitempty"`         // of the arrangement, when they were enumerated
	CoverBound    *float64 `json:"cover_bound,omitempty"`   // on the cells: 2 sum_{k<r} C(n-1, k)
	PaperBound    *float64 `json:"pattern_bound,omitempty"` // on the cells: 2r(e(n-1)/r)^r
	Rank          int      `json:"rank,omitempty"`          // r
	Iterations    int      `json:"iterations"`
	Solver        string   `json:"solver"`
	Backend       string   `json:"backend"`
	Memory        int64    `json:"memory_bytes,omitempty"` // estimated for the solve, beyond the data
	Ranks         int      `json:"ranks,omitempty"`        // with --mpi, and what the first rank added up with the others
	Sums          int      `json:"sums,omitempty"`
	SumBytes      int64    `json:"sum_bytes,omitempty"`
	SumSeconds    float64  `json:"sum_seconds,omitempty"`
}

func newSolveResult(p convex.Problem, s *convex.Solution) solveResult {
	r := solveResult{
		Objective: finite(s.Primal), LowerBound: finite(s.Lower), Gap: finite(s.Gap), Infeasibility: finite(s.Infeasibility),
		Status: s.Status.String(), Scope: s.Scope.String(), Neurons: s.Network.Neurons(), Seconds: s.Elapsed.Seconds(),
		Name: p.Name, Architecture: convex.ReLU{}.Name(), Loss: convex.Squared.Name, Beta: p.Beta,
		Iterations: s.Iterations, Solver: s.Solver, Backend: s.Backend, Memory: s.Program.Memory(nil),
	}
	c := s.Program.Counts()
	r.NeuronBound, r.Patterns, r.Cells, r.Rank = c.Neurons, c.Patterns, c.Cells, c.Rank
	if c.Rank > 0 {
		r.CoverBound, r.PaperBound = finite(c.Cover), finite(c.Paper)
	}
	if p.Arch != nil {
		r.Architecture = p.Arch.Name()
	}
	if p.Loss.Name != "" {
		r.Loss = p.Loss.Name
	}
	return r
}

// finite is nil for the numbers that JSON does not have: a bound that was never found is
// minus infinity.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func (r solveResult) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r solveResult) writeText(w io.Writer) error {
	number := func(v *float64, format string) string {
		if v == nil {
			return "none"
		}
		return fmt.Sprintf(format, *v)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if r.Name != "" {
		fmt.Fprintf(t, "problem\t%s\n", r.Name)
	}
	fmt.Fprintf(t, "network\t%s, %s loss, beta %g, %d neurons (an optimum needs at most %d)\n", r.Architecture, r.Loss, r.Beta, r.Neurons, r.NeuronBound)
	if r.Patterns > 0 {
		fmt.Fprintf(t, "patterns\t%d", r.Patterns)
		if r.Rank > 0 {
			fmt.Fprintf(t, " (at most %s by Cover, %s by 2r(e(n-1)/r)^r, r = %d)", number(r.CoverBound, "%.6g"), number(r.PaperBound, "%.6g"), r.Rank)
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintf(t, "objective\t%s\n", number(r.Objective, "%.10g"))
	fmt.Fprintf(t, "lower bound\t%s\n", number(r.LowerBound, "%.10g"))
	fmt.Fprintf(t, "gap\t%s\n", number(r.Gap, "%.2e"))
	fmt.Fprintf(t, "infeasibility\t%s\n", number(r.Infeasibility, "%.1e"))
	fmt.Fprintf(t, "status\t%s\n", r.Status)
	fmt.Fprintf(t, "scope\t%s\n", r.Scope)
	if r.Memory > 0 {
		fmt.Fprintf(t, "memory\tabout %.3g MiB\n", float64(r.Memory)/(1<<20))
	}
	fmt.Fprintf(t, "time\t%.3g s, %d iterations of %s\n", r.Seconds, r.Iterations, r.Solver)
	if r.Ranks > 0 {
		fmt.Fprintf(t, "ranks\t%d, %d sums of %d bytes in all, %.3g s\n", r.Ranks, r.Sums, r.SumBytes, r.SumSeconds)
	}
	return t.Flush()
}

// writeNetwork writes the weights, one row a neuron. JSON keeps every digit of a float64.
func writeNetwork(path string, net *convex.Network) error {
	if net == nil {
		return fmt.Errorf("-o %s: this program has no network behind it", path)
	}
	weights := map[string][][]float64{"hidden": rows(net.Hidden), "output": rows(net.Output)}
	if net.Bias != nil {
		weights["bias"] = [][]float64{net.Bias}
	}
	if net.Gates != nil {
		weights["gates"] = rows(net.Gates)
	}
	for name, m := range net.Extra {
		weights[name] = rows(m)
	}
	text, err := json.MarshalIndent(map[string]any{
		"architecture": net.Arch, "inputs": net.Inputs, "outputs": net.Outputs, "weights": weights,
	}, "", " ")
	if err != nil {
		return fmt.Errorf("-o %s: %w", path, err)
	}
	return renameio.WriteFile(path, append(text, '\n'), 0o644)
}

func rows(m *mat.Dense) [][]float64 {
	if m == nil || m.IsEmpty() {
		return [][]float64{}
	}
	n, _ := m.Dims()
	out := make([][]float64, n)
	for i := range out {
		out[i] = mat.Row(nil, i, m)
	}
	return out
}
