package main

import "github.com/spf13/cobra"

// commands is the table of subcommands, in the order of the help text's source files.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newInstall(),
		newSolve(),
		newDoctor(),
		newVersion(),
	}
}
