// Package doctor finds out what of Gonvex's surroundings is there and what a user would
// run to get the rest. It only looks; it changes nothing.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gonvex/gonvex/convex/data"
	"github.com/gonvex/gonvex/kernel/gonvex/kernelspec"
	"github.com/gonvex/gonvex/lapack"
)

// State grades a finding.
type State int

const (
	Good     State = iota // works
	Optional              // absent, and only something optional needs it
	Missing               // absent, and most users want it
	Broken                // present and not working
)

// Mark is the sign before a line of the report.
func (s State) Mark() string { return [...]string{"✓", "-", "!", "✗"}[s] }

// Finding is one line of the report.
type Finding struct {
	Area  string // heading
	State State
	Text  string
	Fix   string // the command or action that mends it, "" when none is needed
}

// Examine looks at everything, for the gonvex binary at the given path.
func Examine(ctx context.Context, binary string) []Finding {
	jupyters := findJupyters(ctx, binary)
	return slices.Concat(
		backend(lapack.Info()),
		kernels(binary, jupyters),
		describeJupyters(jupyters),
		dataSets(),
		browser(),
	)
}

func backend(info lapack.Information) []Finding {
	f := Finding{Area: "Numeric backend", Text: info.String()}
	if info.Backend != "netlib" {
		f.State = Missing
		f.Fix = "sudo apt-get install libopenblas-dev liblapacke-dev pkg-config gcc   then build again: ./install.sh"
		if os.Getenv("GONVEX_BLAS") == "gonum" {
			f.State, f.Fix = Optional, "unset GONVEX_BLAS"
		}
	}
	return []Finding{f}
}

// A jupyter is one installation of Jupyter that was found.
type jupyter struct {
	command  string            // path of the jupyter command
	versions map[string]string // of the parts that matter here
	dataDirs []string          // where it looks for kernels
	problem  string            // why it does not run, "" when it does
}

// PrivateJupyter is the jupyter command of the environment that install.sh makes beside
// the binary: PREFIX/bin/gonvex and PREFIX/share/gonvex/venv/bin/jupyter.
func PrivateJupyter(binary string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(binary)), "share", "gonvex", "venv", "bin", "jupyter")
}

func findJupyters(ctx context.Context, binary string) []jupyter {
	var commands []string
	if private := PrivateJupyter(binary); isFile(private) {
		commands = append(commands, private)
	}
	if path, err := exec.LookPath("jupyter"); err == nil && !slices.Contains(commands, path) {
		commands = append(commands, path)
	}
	var found []jupyter
	for _, command := range commands {
		found = append(found, examineJupyter(ctx, command))
	}
	return found
}

// examineJupyter runs the command to learn its versions and folders.
func examineJupyter(ctx context.Context, command string) jupyter {
	j := jupyter{command: command, versions: map[string]string{}}
	out, err := output(ctx, command, "--version")
	if err != nil {
		j.problem = err.Error()
		return j
	}
	j.versions = parseVersions(out)
	out, err = output(ctx, command, "--paths", "--json")
	if err != nil {
		j.problem = err.Error()
		return j
	}
	var paths struct{ Data []string }
	if err := json.Unmarshal([]byte(out), &paths); err != nil {
		j.problem = fmt.Sprintf("%s --paths --json: %v", command, err)
		return j
	}
	j.dataDirs = paths.Data
	return j
}

// parseVersions reads the "name : version" lines of jupyter --version.
func parseVersions(out string) map[string]string {
	versions := map[string]string{}
	for line := range strings.Lines(out) {
		name, version, ok := strings.Cut(line, ":")
		name, version = strings.TrimSpace(name), strings.TrimSpace(version)
		if ok && version != "" && version != "not installed" {
			versions[name] = version
		}
	}
	return versions
}

// output runs a command for at most 30 s. Its error is the first line the command wrote.
func output(ctx context.Context, command string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("%s %s: %v %s", command, strings.Join(args, " "), err, said)
	}
	return string(out), nil
}

func describeJupyters(jupyters []jupyter) []Finding {
	const area = "Jupyter"
	if len(jupyters) == 0 {
		return []Finding{{area, Missing, "no jupyter command found (gonvex exec runs notebooks without it)",
			"./install.sh   makes a private environment with JupyterLab; or: pip install jupyterlab"}}
	}
	var found []Finding
	for _, j := range jupyters {
		switch {
		case j.problem != "":
			// Often another tool's shim for a Jupyter that is not there: no fault of ours.
			found = append(found, Finding{area, Missing, j.problem,
				"./install.sh   makes a private environment with JupyterLab"})
		case j.versions["jupyterlab"] == "" && j.versions["notebook"] == "":
			found = append(found, Finding{area, Missing,
				j.command + " has neither JupyterLab nor Notebook", "pip install jupyterlab   in that environment; or ./install.sh"})
		default:
			var parts []string
			for _, name := range []string{"jupyterlab", "notebook", "jupyter_client", "nbclient"} {
				if v := j.versions[name]; v != "" {
					parts = append(parts, name+" "+v)
				}
			}
			found = append(found, Finding{area, Good, j.command + ": " + strings.Join(parts, ", "), ""})
		}
	}
	return found
}

func kernels(binary string, jupyters []jupyter) []Finding {
	const area = "Kernel"
	dirs := kernelspec.DataDirs()
	for _, j := range jupyters {
		for _, dir := range j.dataDirs {
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	// The prefix of this binary is not always on Jupyter's path; say so rather than miss it.
	own := kernelspec.PrefixDataDir(filepath.Dir(filepath.Dir(binary)))
	if !slices.Contains(dirs, own) {
		dirs = append(dirs, own)
	}
	installed := kernelspec.Find(dirs)
	if len(installed) == 0 {
		return []Finding{{area, Missing, "not registered with Jupyter", binary + " install"}}
	}
	var found []Finding
	for _, k := range installed {
		if k.Problem != "" {
			found = append(found, Finding{area, Broken, fmt.Sprintf("%s: %s", k.Dir, k.Problem),
				fmt.Sprintf("rm -r %s   or register again: %s install", k.Dir, binary)})
			continue
		}
		text := fmt.Sprintf("%s starts %s", k.Dir, k.Spec.Argv[0])
		if k.Spec.Argv[0] != binary {
			text += " (not this binary)"
		}
		found = append(found, Finding{area, Good, text, ""})
	}
	for _, j := range jupyters {
		seen := func(k kernelspec.Installed) bool {
			return k.Problem == "" && slices.Contains(j.dataDirs, filepath.Dir(filepath.Dir(k.Dir)))
		}
		if j.problem == "" && !slices.ContainsFunc(installed, seen) {
			found = append(found, Finding{area, Missing, j.command + " does not look into any of these folders",
				fmt.Sprintf("%s install --user   or start it with JUPYTER_PATH=%s", binary, own)})
		}
	}
	return found
}

// dataSets tries to load every set that package data knows by name. Of a set in two parts it
// loads the test part, which is the smaller.
func dataSets() []Finding {
	const area = "Data sets"
	names := data.Names()
	var there []string
	var found []Finding
	for _, name := range names {
		if slices.Contains(names, name+"_test") {
			continue
		}
		if _, err := data.Load(name); err != nil {
			found = append(found, Finding{area, Optional, strings.TrimPrefix(err.Error(), "data: "), ""})
			continue
		}
		there = append(there, strings.TrimSuffix(name, "_test"))
	}
	return append([]Finding{{area, Good, strings.Join(there, ", "), ""}}, found...)
}

// browser looks for what the browser test drives. Only developers need it.
func browser() []Finding {
	const area = "Browser (for ./install.sh test)"
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return []Finding{{area, Good, path, ""}}
		}
	}
	return []Finding{{area, Optional, "no Chromium", "sudo apt-get install chromium   or: ./install.sh test"}}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
