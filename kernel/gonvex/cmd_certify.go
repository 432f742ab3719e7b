package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/convex"
)

func newCertify() *cobra.Command {
	var asJSON bool
	var beta float64
	cmd := &cobra.Command{
		Use:   "certify PROBLEM.json SOLUTION.json",
		Short: "Check a written solution against its problem",
		Long: `Certify reads a problem file and a solution that "gonvex solve --save-solution" wrote, builds the
convex program again and recomputes from scratch what the solution proves: the objective
of its network, the lower bound of its dual point, and the gap between them. It believes
nothing that the solution file claims.

The exit code is 0 when the recomputed objective and bound are at least as good as the
claimed ones, up to rounding, with the scope that is claimed, and 1 otherwise. A solution
of another weight decay than the problem's is certified for it with --beta.`,
		Example: `  gonvex solve problem.json --save-solution solution.json
  gonvex certify problem.json solution.json`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if cmd.Flags().Changed("beta") && (!(beta > 0) || math.IsInf(beta, 1)) {
				return fmt.Errorf("--beta is %g: weight decay must be a positive number, such as 1e-3", beta)
			}
			return certify(cmd.Context(), a[0], a[1], beta, asJSON, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().Float64Var(&beta, "beta", 0, "weight decay, in place of the problem file's")
	return cmd
}

// certifyResult is what certify prints.
type certifyResult struct {
	Beta          float64  `json:"beta"`
	Objective     *float64 `json:"objective"`
	LowerBound    *float64 `json:"lower_bound"`
	Gap           *float64 `json:"gap"`
	Infeasibility *float64 `json:"infeasibility"`
	Scope         string   `json:"scope"`
	Neurons       int      `json:"neurons"`
	Claimed       struct {
		Objective  *float64 `json:"objective"`
		LowerBound *float64 `json:"lower_bound"`
		Scope      string   `json:"scope"`
	} `json:"claimed"`
	Holds bool `json:"claims_hold"`
}

func certify(ctx context.Context, problemFile, solutionFile string, beta float64, asJSON bool, stdout io.Writer) error {
	problem, err := convex.ReadProblem(problemFile)
	if err != nil {
		return err
	}
	if beta > 0 {
		problem.Beta = beta
	}
	s, claim, err := convex.CertifyFile(ctx, problem, solutionFile, nil)
	if err != nil {
		return err
	}
	r := certifyResult{
		Beta:      s.Program.Problem.Beta,
		Objective: finite(s.Primal), LowerBound: finite(s.Lower), Gap: finite(s.Gap), Infeasibility: finite(s.Infeasibility),
		Scope: s.Scope.String(), Neurons: s.Network.Neurons(),
	}
	r.Claimed.Objective, r.Claimed.LowerBound, r.Claimed.Scope = finite(claim.Objective), finite(claim.Lower), claim.Scope.String()
	r.Holds = claim.HoldsFor(s)
	if asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.writeText(stdout)
	}
	if err != nil {
		return err
	}
	if !r.Holds {
		return exitCode(1)
	}
	return nil
}

func (r certifyResult) writeText(w io.Writer) error {
	number := func(v *float64) string {
		if v == nil {
			return "none"
		}
		return fmt.Sprintf("%.12g", *v)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\trecomputed\tclaimed\n")
	fmt.Fprintf(t, "objective\t%s\t%s\n", number(r.Objective), number(r.Claimed.Objective))
	fmt.Fprintf(t, "lower bound\t%s\t%s\n", number(r.LowerBound), number(r.Claimed.LowerBound))
	if r.Gap != nil {
		fmt.Fprintf(t, "gap\t%.2e\t\n", *r.Gap)
	}
	fmt.Fprintf(t, "scope\t%s\t%s\n", r.Scope, r.Claimed.Scope)
	fmt.Fprintf(t, "beta\t%g\t\n", r.Beta)
	fmt.Fprintf(t, "neurons\t%d\t\n", r.Neurons)
	verdict := "hold"
	if !r.Holds {
		verdict = "do not hold"
	}
	fmt.Fprintf(t, "the claims\t%s\t\n", verdict)
	return t.Flush()
}
