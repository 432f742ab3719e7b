package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/kernel/gonvex/kernelspec"
)

func newInstall() *cobra.Command {
	var o installOptions
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Register the kernel with Jupyter",
		Long: `Install writes the kernelspec, the small folder that tells Jupyter how to start this
binary, and its logos. It needs neither Python nor Jupyter: a Jupyter that is installed
later finds the kernel.

Without a flag it registers for you alone; as root, for everyone on the machine.`,
		Example: `  gonvex install                    for you (as root: for all, below /usr/local)
  gonvex install --sys-prefix       in the active virtual or conda environment
  gonvex install --prefix /opt/jupyter
  gonvex install --name gonvex-dev  a second kernel beside the first
  gonvex install --remove           take it out again`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dataDir, err := o.dataDir()
			if err != nil {
				return err
			}
			if o.remove {
				dir, found, err := kernelspec.Remove(dataDir, o.name)
				if err != nil {
					return withPermissionAdvice(err)
				}
				if !found {
					return fmt.Errorf("no kernel at %s; `gonvex doctor` lists those there are", dir)
				}
				fmt.Fprintln(cmd.OutOrStdout(), "Removed", dir)
				return nil
			}
			binary, err := ownBinary()
			if err != nil {
				return err
			}
			dir, err := kernelspec.Install(dataDir, o.name, binary)
			if err != nil {
				return withPermissionAdvice(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "Registered", binary, "as", dir)
			return nil
		},
	}
	cmd.Flags().BoolVar(&o.user, "user", false, "register in your own Jupyter data folder")
	cmd.Flags().BoolVar(&o.sysPrefix, "sys-prefix", false, "register in the active virtual or conda environment")
	cmd.Flags().StringVar(&o.prefix, "prefix", "", "register in `DIR`/share/jupyter/kernels")
	cmd.Flags().StringVar(&o.name, "name", kernelspec.DefaultName, "name of the kernel's folder")
	cmd.Flags().BoolVar(&o.remove, "remove", false, "remove the registration instead")
	cmd.MarkFlagsMutuallyExclusive("user", "sys-prefix", "prefix")
	return cmd
}

type installOptions struct {
	user, sysPrefix, remove bool
	prefix, name            string
}

// dataDir is the Jupyter data directory that the flags choose.
func (o installOptions) dataDir() (string, error) {
	switch {
	case o.prefix != "":
		prefix, err := filepath.Abs(o.prefix)
		if err != nil {
			return "", err
		}
		return kernelspec.PrefixDataDir(prefix), nil
	case o.sysPrefix:
		for _, variable := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
			if prefix := os.Getenv(variable); prefix != "" {
				return kernelspec.PrefixDataDir(prefix), nil
			}
		}
		return "", errors.New("--sys-prefix: no virtual or conda environment is active " +
			"(VIRTUAL_ENV and CONDA_PREFIX are unset); activate one, or name it with --prefix")
	case !o.user && os.Geteuid() == 0:
		return kernelspec.SystemDataDir(), nil
	}
	return kernelspec.UserDataDir()
}

// ownBinary is the absolute path of this program, as Jupyter will start it later.
func ownBinary() (string, error) {
	binary, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot tell where this program lies: %w", err)
	}
	if strings.Contains(binary, string(filepath.Separator)+"go-build") {
		return "", errors.New("this binary is a temporary file of `go run` or `go test`, gone when it ends; " +
			"build it first: go build -o ~/.local/bin/gonvex ./kernel/gonvex")
	}
	return binary, nil
}

func withPermissionAdvice(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; use --user, or run as the owner of that folder (sudo)", err)
	}
	return err
}
