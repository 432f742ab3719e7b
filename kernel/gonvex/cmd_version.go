package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/lapack"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the Go toolchain and the numeric backend",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(cmd.OutOrStdout(), "gonvex %s\n%s %s/%s\n%s\n",
				version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, lapack.Info())
			return nil
		},
	}
}

// version is the module version that the Go toolchain stamped into the binary: a tag, or
// a pseudo-version made from the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
