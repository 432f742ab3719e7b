package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/equality"
)

func newTable() *cobra.Command {
	var o equality.Options
	var asJSON bool
	var tol float64
	cmd := &cobra.Command{
		Use:   "table [PROBLEM.json | ROW | NAME]...",
		Short: "Compare convex optima with networks, descents and an independent solver",
		Long: `Table solves tiny instances of every architecture and prints for each the optimum of its
convex program, the objective of the network decoded from it, the best of many descents
(L-BFGS) from random weights, the lower bound from the dual, the optimum that an independent
solver found on the same data, and the number of digits each shares with the first.

Without arguments it makes all rows that come with gonvex. An argument is a problem file, or
the number of a row, part of an instance's name, or part of a system's. The exit code is 1
when a network, a bound or a reference is not the optimum, or a descent is below the bound.`,
		Example: `  gonvex table
  gonvex table 6 polynomial --starts 200
  gonvex table problem.json --starts 0`,
		RunE: func(cmd *cobra.Command, a []string) error {
			if !(tol > 0) || tol >= 1 {
				return fmt.Errorf("--tol is %g: want a relative difference between 0 and 1, such as 1e-6", tol)
			}
			if o.Starts <= 0 {
				o.Starts = -1
			}
			instances, err := chooseInstances(a)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second interrupt ends the program as usual
			line := newStatusLine(cmd.ErrOrStderr())
			var rows []equality.Row
			var wrong []string
			for k, i := range instances {
				line.set(fmt.Sprintf("%d of %d: %s", k+1, len(instances), i.Problem.Name))
				r, err := equality.Run(ctx, i, o)
				if ctx.Err() != nil {
					break // print what there is
				}
				if err != nil {
					line.set("")
					return err
				}
				if err := r.Err(tol); err != nil {
					wrong = append(wrong, err.Error())
				}
				rows = append(rows, r)
			}
			line.set("")
			if asJSON {
				err = writeRows(cmd, rows)
			} else {
				err = equality.Write(cmd.OutOrStdout(), rows)
			}
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return exitCode(130)
			case len(wrong) > 0:
				return fmt.Errorf("no equality to %g:\n  %s", tol, strings.Join(wrong, "\n  "))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Starts, "starts", 60, "descents from random weights; 0 for none")
	f.Uint64Var(&o.Seed, "seed", 0, "of the first descent")
	f.Float64Var(&tol, "tol", 1e-6, "relative difference up to which values are equal")
	f.BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// chooseInstances returns the problem files among the arguments, and the
// instances of the package that the others name.
func chooseInstances(args []string) ([]equality.Instance, error) {
	all, err := equality.Instances()
	if err != nil || len(args) == 0 {
		return all, err
	}
	var out []equality.Instance
	for _, a := range args {
		if strings.HasSuffix(a, ".json") {
			p, err := convex.ReadProblem(a)
			if err != nil {
				return nil, err
			}
			if p.Name == "" {
				p.Name = a
			}
			out = append(out, equality.Instance{System: p.Arch.Name(), Problem: p, Reference: math.NaN()})
			continue
		}
		found := false
		for _, i := range all {
			if i.Row == a || len(a) > 2 && (strings.Contains(i.Problem.Name, a) || strings.Contains(i.System, a)) {
				out, found = append(out, i), true
			}
		}
		if !found {
			return nil, usageError{fmt.Errorf("no row, instance or system %q, and no .json file: gonvex table --starts 0 lists all", a)}
		}
	}
	return out, nil
}

// writeRows prints rows as JSON, with the digits they share; numbers that there
// are not, such as the descent without starts, are null.
func writeRows(cmd *cobra.Command, rows []equality.Row) error {
	type digits struct {
		Network   int  `json:"network"`
		Descent   *int `json:"descent"`
		Lower     int  `json:"lower_bound"`
		Reference *int `json:"reference"`
	}
	type row struct {
		equality.Row
		Descent   *float64 `json:"descent"`
		Reference *float64 `json:"reference"`
		Digits    digits   `json:"digits"`
	}
	out := []row{}
	for _, r := range rows {
		network, descent, lower, reference := r.Shared()
		with := row{Row: r, Descent: finite(r.Descent), Reference: finite(r.Reference), Digits: digits{Network: network, Lower: lower}}
		if with.Descent != nil {
			with.Digits.Descent = &descent
		}
		if with.Reference != nil {
			with.Digits.Reference = &reference
		}
		out = append(out, with)
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(out)
}
