package main

import (
	"fmt"
	"log/slog"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/kernel/server"
	"github.com/gonvex/gonvex/lapack"
)

func newKernel() *cobra.Command {
	var connection string
	cmd := &cobra.Command{
		Use:   "kernel -f CONNECTION_FILE",
		Short: "Run the Jupyter kernel; Jupyter starts this",
		Long: `Kernel serves one notebook over the sockets that the connection file names, until it is
told to shut down or the Jupyter that started it ends. Jupyter runs this command by itself
once the kernel is registered; see gonvex install.`,
		Example: `  gonvex kernel -f kernel-1234.json
  jupyter console --kernel gonvex       a terminal client that starts it`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return server.Run(cmd.Context(), connection, &server.Options{
				Banner:  banner(),
				Version: version(),
				// Jupyter shows a kernel's stderr in its own log.
				Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)),
			})
		},
	}
	cmd.Flags().StringVarP(&connection, "file", "f", "", "the connection `FILE` that Jupyter wrote")
	if err := cmd.MarkFlagRequired("file"); err != nil {
		panic(err) // the flag is defined on the line above
	}
	return cmd
}

// banner greets the user of a console.
func banner() string {
	return fmt.Sprintf("Gonvex %s: %s with convex training of neural networks\nLinear algebra: %s\n%%help lists what a cell can do",
		version(), runtime.Version(), lapack.Info())
}
