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
	var connection, host, there string
	var memory byteSize
	cmd := &cobra.Command{
		Use:   "kernel -f CONNECTION_FILE",
		Short: "Run the Jupyter kernel; Jupyter starts this",
		Long: `Kernel serves one notebook over the sockets that the connection file names, until it is
told to shut down or the Jupyter that started it ends. Jupyter runs this command by itself
once the kernel is registered; see gonvex install. To give it flags, add them to "argv" in
the registered kernel.json.

With --ssh the kernel runs on another machine, where gonvex is installed too, and the
notebook stays here. ssh must come in without a password; it forwards the ports and carries
the connection file, so neither a common folder nor an open port is needed.`,
		Example: `  gonvex kernel -f kernel-1234.json
  gonvex kernel -f kernel-1234.json --memory 4GB
  gonvex kernel -f kernel-1234.json --ssh big.example.org
  jupyter console --kernel gonvex       a terminal client that starts it`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// This process only passes messages on. One processor does that, and handing
			// work to a second costs a small cell more time than it saves.
			runtime.GOMAXPROCS(1)
			// Jupyter shows a kernel's stderr in its own log.
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			if host != "" {
				command := []string{there, "kernel"}
				if memory > 0 {
					command = append(command, "--memory", memory.String())
				}
				return server.RunOverSSH(cmd.Context(), connection, strings.Fields(host), command, log)
			}
			return server.Run(cmd.Context(), connection, &server.Options{
				Banner:  banner(),
				Version: version(),
				Worker:  &worker.Options{MemoryLimit: uint64(memory)},
				Log:     log,
			})
		},
	}
	cmd.Flags().StringVarP(&connection, "file", "f", "", "the connection `FILE` that Jupyter wrote; - is standard input, whose end is then the kernel's")
	cmd.Flags().StringVar(&host, "ssh", "", "run on `HOST`, or on what ssh understands, such as \"-p 2222 me@host\"")
	cmd.Flags().StringVar(&there, "remote-gonvex", "gonvex", "`PATH` of gonvex on the machine of --ssh")
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
