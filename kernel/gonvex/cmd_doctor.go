package main

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/kernel/gonvex/doctor"
)

func newDoctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what is installed, what is missing and how to get it",
		Long: `Doctor looks at the numeric backend, the registered kernels, Jupyter, the data sets and
the browser that the tests use. A line that starts with ! says what is missing and, below
it, the command that gets it; nothing marked with - is needed. The exit code is 1 if
something registered or installed is broken.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "gonvex %s, %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			binary, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot tell where this program lies: %w", err)
			}
			broken := false
			area := ""
			for _, f := range doctor.Examine(cmd.Context(), binary) {
				if f.Area != area {
					area = f.Area
					fmt.Fprintf(out, "\n%s\n", area)
				}
				printFinding(out, f)
				broken = broken || f.State == doctor.Broken
			}
			if broken {
				return exitCode(1)
			}
			return nil
		},
	}
}

func printFinding(out io.Writer, f doctor.Finding) {
	fmt.Fprintf(out, "  %s %s\n", f.State.Mark(), f.Text)
	if f.Fix != "" {
		fmt.Fprintf(out, "      %s\n", f.Fix)
	}
}
