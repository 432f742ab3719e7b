package main

import (
	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/kernel/worker"
)

// newWorker is the process that runs cells. The kernel and exec start it; users do not.
func newWorker() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Run cells for the kernel that started this process",
		Hidden: true,
		Args:   args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if code := worker.Main(cmd.Context()); code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
}
