package main

import (
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/kernel/server"
	"github.com/gonvex/gonvex/kernel/worker"
	"github.com/gonvex/gonvex/lapack"
)

func newKernel() *cobra.Command {
	var connection string
	var memory byteSize
	cmd := &cobra.Command{
		Use:   "kernel -f CONNECTION_FILE",
		Short: "Run the Jupyter kernel; Jupyter starts this",
		Long: `Kernel serves one notebook over the sockets that the connection file names, until it is
told to shut down or the Jupyter that started it ends. Jupyter runs this command by itself
once the kernel is registered; see gonvex install. To give it flags, add them to "argv" in
the registered kernel.json.`,
		Example: `  gonvex kernel -f kernel-1234.json
  gonvex kernel -f kernel-1234.json --memory 4GB
  jupyter console --kernel gonvex       a terminal client that starts it`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return server.Run(cmd.Context(), connection, &server.Options{
				Banner:  banner(),
				Version: version(),
				Worker:  &worker.Options{MemoryLimit: uint64(memory)},
				// Jupyter shows a kernel's stderr in its own log.
				Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)),
			})
		},
	}
	cmd.Flags().StringVarP(&connection, "file", "f", "", "the connection `FILE` that Jupyter wrote")
	cmd.Flags().Var(&memory, "memory", "memory that cells may use, such as 4GB; a cell that asks for more is stopped (default: four fifths of the machine's)")
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

// byteSize is a flag: a number of bytes, with a unit or without.
type byteSize uint64

func (b *byteSize) Type() string { return "SIZE" }

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(*b), 10)
}

func (b *byteSize) Set(s string) error {
	text, unit := strings.ToUpper(strings.TrimSpace(s)), 1.0
	for _, u := range []struct {
		name string
		size float64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			text, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	const least = 256 << 20 // the interpreter with its tables
	if err != nil || !(v*unit >= least && v*unit < 1e18) {
		return fmt.Errorf("%q is not a size of at least 256MB, such as 512MB or 4GB", s)
	}
	*b = byteSize(v * unit)
	return nil
}
