// Gonvex is a Jupyter kernel for Go with convex training of neural networks, and the
// command line around it. Each command is one file, cmd_NAME.go; what they do lives in the
// packages they call.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// run executes the command line and returns the exit code: 0, 1 when the work failed, 2
// when the command line is wrong, 130 when the user interrupted.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code) // the command has said what there is to say
	}
	fmt.Fprintln(stderr, "gonvex:", strings.TrimPrefix(err.Error(), "gonvex: "))
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// exitCode ends the program with that code and no further message.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "gonvex",
		Short: "Go notebooks in Jupyter, and neural networks trained to a certified optimum",
		Long: `Gonvex is a Jupyter kernel for Go. Package convex is loaded in every cell: it trains
two-layer ReLU and gated ReLU networks to their global optimum and proves it with a lower
bound. The same binary runs notebooks and problem files with no Jupyter at all.`,
		Example: `  gonvex install --user                 register the kernel with Jupyter
  gonvex exec notebooks/01_quickstart.ipynb
  gonvex solve problem.json
  gonvex doctor                         what is there, what is missing, how to get it`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see: %s --help)", err, cmd.CommandPath())}
	})
	root.AddCommand(commands()...)
	return root
}

// args wraps a cobra check of the number of arguments so that a mistake is a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, a []string) error {
		if err := check(cmd, a); err != nil {
			return usageError{fmt.Errorf("%w (usage: %s)", err, cmd.UseLine())}
		}
		return nil
	}
}
