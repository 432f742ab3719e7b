package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gonvex/gonvex/kernel/gonvex/kernelspec"
	"github.com/gonvex/gonvex/lapack"
)

// tool writes an executable shell script and returns its path.
func tool(t *testing.T, dir, name, body string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// isolate points every variable that Jupyter reads at an empty home.
func isolate(t *testing.T) (home string) {
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("PATH", filepath.Join(home, "bin"))
	for _, v := range []string{"JUPYTER_PATH", "JUPYTER_DATA_DIR", "XDG_DATA_HOME", "VIRTUAL_ENV", "CONDA_PREFIX"} {
		t.Setenv(v, "")
	}
	return home
}

func find(found []Finding, area string) []Finding {
	var in []Finding
	for _, f := range found {
		if f.Area == area {
			in = append(in, f)
		}
	}
	return in
}

const fakeJupyter = `case "$1" in
--version) printf 'Selected Jupyter core packages...\nipython : not installed\njupyterlab       : 4.6.6\nnbclient : 0.11.0\n' ;;
--paths) printf '{"data": ["%s/.local/share/jupyter"]}' "$HOME" ;;
esac
`

func TestExamine(t *testing.T) {
	home := isolate(t)
	binary := tool(t, filepath.Join(home, "opt", "bin"), "gonvex", "")

	bare := Examine(t.Context(), binary)
	if f := find(bare, "Jupyter"); len(f) != 1 || f[0].State != Missing || !strings.Contains(f[0].Fix, "install.sh") {
		t.Errorf("no Jupyter: %+v", f)
	}

	command := tool(t, filepath.Join(home, "bin"), "jupyter", fakeJupyter)
	data, err := kernelspec.UserDataDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kernelspec.Install(data, "gonvex", binary); err != nil {
		t.Fatal(err)
	}
	found := Examine(t.Context(), binary)
	if f := find(found, "Jupyter"); len(f) != 1 || f[0].State != Good ||
		f[0].Text != command+": jupyterlab 4.6.6, nbclient 0.11.0" {
		t.Errorf("Jupyter: %+v", f)
	}
	kernel := find(found, "Kernel")
	if len(kernel) == 0 || kernel[0].State != Good || !strings.Contains(kernel[0].Text, "starts "+binary) {
		t.Errorf("kernel: %+v", kernel)
	}

	if err := os.Remove(binary); err != nil {
		t.Fatal(err)
	}
	kernel = find(Examine(t.Context(), binary), "Kernel")
	if kernel[0].State != Broken || !strings.Contains(kernel[0].Text, "does not exist") {
		t.Errorf("kernel whose binary is gone: %+v", kernel)
	}
}

func TestKernelOutsideJupytersPath(t *testing.T) {
	home := isolate(t)
	prefix := filepath.Join(home, "opt")
	binary := tool(t, filepath.Join(prefix, "bin"), "gonvex", "")
	tool(t, filepath.Join(home, "bin"), "jupyter", fakeJupyter)
	if _, err := kernelspec.Install(kernelspec.PrefixDataDir(prefix), "gonvex", binary); err != nil {
		t.Fatal(err)
	}
	found := find(Examine(t.Context(), binary), "Kernel")
	last := found[len(found)-1]
	if last.State != Missing || !strings.Contains(last.Fix, "install --user") {
		t.Errorf("kernel that no Jupyter looks at: %+v", found)
	}
}

// A pyenv shim for a Jupyter that is not installed exists and fails.
func TestJupyterThatDoesNotRun(t *testing.T) {
	home := isolate(t)
	tool(t, filepath.Join(home, "bin"), "jupyter", "echo 'pyenv: jupyter: command not found' >&2\nexit 127\n")
	found := find(Examine(t.Context(), filepath.Join(home, "gonvex")), "Jupyter")
	if len(found) != 1 || found[0].State != Missing || !strings.Contains(found[0].Text, "command not found") {
		t.Errorf("%+v", found)
	}
}

func TestDataSets(t *testing.T) {
	found := dataSets()
	if found[0].State != Good || !strings.Contains(found[0].Text, "digits") {
		t.Errorf("the embedded sets: %+v", found[0])
	}
	for _, f := range found[1:] {
		if f.State != Optional || f.Text == "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestBackend(t *testing.T) {
	f := backend(lapack.Information{Backend: "gonum", Library: "gonum", Why: "built without cgo"})
	if f[0].State == Good || f[0].Fix == "" {
		t.Errorf("pure Go backend: %+v", f)
	}
	f = backend(lapack.Information{Backend: "netlib", Library: "OpenBLAS", Version: "0.3.21", Core: "Zen", Threads: 1})
	if f[0].State != Good || f[0].Fix != "" {
		t.Errorf("netlib backend: %+v", f)
	}
}
