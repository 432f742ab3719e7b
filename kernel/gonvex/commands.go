package main

import "github.com/spf13/cobra"

// commands is the table of subcommands. Cobra sorts them by name in the help text.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newKernel(),
		newWorker(),
		newInstall(),
		newExec(),
		newExport(),
		newSolve(),
		newSweep(),
		newTable(),
		newCertify(),
		newDoctor(),
		newVersion(),
	}
}
