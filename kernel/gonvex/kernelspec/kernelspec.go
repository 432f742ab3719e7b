// Package kernelspec writes, finds and removes the files that tell Jupyter about the
// Gonvex kernel: a folder holding kernel.json and the logos, under "kernels" in one of
// Jupyter's data directories. It needs no Python: the places are the documented ones
// (https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs).
package kernelspec

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"

	"github.com/google/renameio/v2"
)

//go:embed files
var files embed.FS

// DefaultName is the folder's name, and the name notebooks record as their kernel.
const DefaultName = "gonvex"

// Spec is the content of kernel.json that matters here.
type Spec struct {
	Argv          []string          `json:"argv"`
	DisplayName   string            `json:"display_name"`
	Language      string            `json:"language"`
	InterruptMode string            `json:"interrupt_mode,omitempty"`
	Env           map[string]string `json:"env,omitempty"`
	Metadata      map[string]any    `json:"metadata,omitempty"`
}

// validName is what Jupyter accepts; a folder with any other name is silently skipped by it.
var validName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// CheckName reports why Jupyter would not see a kernel of that name.
func CheckName(name string) error {
	if !validName.MatchString(name) || name == "." || name == ".." {
		return fmt.Errorf("kernel name %q: Jupyter accepts only letters, digits, '.', '_' and '-'", name)
	}
	return nil
}

// UserDataDir is the data directory of Jupyter for the current user. JUPYTER_DATA_DIR
// overrides the platform's own place, as it does for Jupyter.
func UserDataDir() (string, error) {
	if dir := os.Getenv("JUPYTER_DATA_DIR"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("cannot tell your home folder (%w); give --prefix", err)
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Jupyter"), nil
	case "windows":
		if dir := os.Getenv("APPDATA"); dir != "" {
			return filepath.Join(dir, "jupyter"), nil
		}
		return filepath.Join(home, ".jupyter", "data"), nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "jupyter"), nil
	}
	return filepath.Join(home, ".local", "share", "jupyter"), nil
}

// PrefixDataDir is the data directory of an installation or environment rooted at prefix.
func PrefixDataDir(prefix string) string { return filepath.Join(prefix, "share", "jupyter") }

// SystemDataDir is the data directory that every Jupyter on the machine looks into.
func SystemDataDir() string { return PrefixDataDir("/usr/local") }

// DataDirs lists the data directories a Jupyter started from this environment searches,
// most important first and without repeats: JUPYTER_PATH, the user's, the active virtual
// or conda environment, and the system's.
func DataDirs() []string {
	var dirs []string
	add := func(dir string) {
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range filepath.SplitList(os.Getenv("JUPYTER_PATH")) {
		add(dir)
	}
	if dir, err := UserDataDir(); err == nil {
		add(dir)
	}
	for _, variable := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if prefix := os.Getenv(variable); prefix != "" {
			add(PrefixDataDir(prefix))
		}
	}
	add(SystemDataDir())
	add(PrefixDataDir("/usr"))
	return dirs
}

// Dir is the folder of the named kernel below a data directory.
func Dir(dataDir, name string) string { return filepath.Join(dataDir, "kernels", name) }

// Install registers binary, an absolute path, as the kernel name below dataDir and returns
// the folder. An older registration is replaced file by file, so a Jupyter that is running
// never reads half a file.
func Install(dataDir, name, binary string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	if !filepath.IsAbs(binary) {
		return "", fmt.Errorf("kernelspec: binary %q is not an absolute path", binary)
	}
	template, err := files.ReadFile("files/kernel.json")
	if err != nil {
		return "", err
	}
	var spec Spec
	if err := json.Unmarshal(template, &spec); err != nil {
		return "", fmt.Errorf("kernelspec: embedded kernel.json: %w", err)
	}
	spec.Argv[0] = binary
	if name != DefaultName { // two kernels under one label cannot be told apart in the launcher
		spec.DisplayName = fmt.Sprintf("Go (Gonvex: %s)", name)
	}
	text, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return "", err
	}

	dir := Dir(dataDir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	entries, err := files.ReadDir("files")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		content := append(text, '\n')
		if e.Name() != "kernel.json" {
			if content, err = files.ReadFile("files/" + e.Name()); err != nil {
				return "", err
			}
		}
		// 0644 whatever the umask: a kernel installed by root must be readable by all.
		if err := renameio.WriteFile(filepath.Join(dir, e.Name()), content, 0o644, renameio.IgnoreUmask()); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// Remove takes the named kernel out of dataDir. It refuses a folder whose kernel.json is
// not a Gonvex kernel's. Nothing there is not an error: found says whether there was.
func Remove(dataDir, name string) (dir string, found bool, err error) {
	if err := CheckName(name); err != nil {
		return "", false, err
	}
	dir = Dir(dataDir, name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return dir, false, nil
	}
	spec, err := Read(dir)
	if err != nil {
		return dir, true, err
	}
	if !spec.IsGonvex() {
		return dir, true, fmt.Errorf("%s starts %v, which is not Gonvex; not removed", dir, spec.Argv)
	}
	return dir, true, os.RemoveAll(dir)
}

// IsGonvex tells a kernel that this program registered from another's.
func (s Spec) IsGonvex() bool {
	return len(s.Argv) >= 2 && s.Language == "go" && s.Argv[1] == "kernel"
}

// Read reads the kernel.json of a kernel's folder.
func Read(dir string) (Spec, error) {
	path := filepath.Join(dir, "kernel.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, err
	}
	var spec Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	return spec, nil
}

// Installed is one Gonvex kernel that Jupyter can see.
type Installed struct {
	Name, Dir string
	Spec      Spec
	// Problem says why Jupyter could not start it, "" when it could.
	Problem string
}

// Find lists the Gonvex kernels below the given data directories, in their order. A
// kernel.json that cannot be read is listed with its problem if its folder is named like ours.
func Find(dataDirs []string) []Installed {
	var found []Installed
	for _, dataDir := range dataDirs {
		entries, err := os.ReadDir(filepath.Join(dataDir, "kernels"))
		if err != nil {
			continue
		}
		for _, e := range entries {
			k := Installed{Name: e.Name(), Dir: Dir(dataDir, e.Name())}
			if k.Spec, err = Read(k.Dir); err != nil {
				if e.Name() != DefaultName {
					continue
				}
				k.Problem = err.Error()
			} else if !k.Spec.IsGonvex() {
				continue
			} else {
				k.Problem = k.Spec.startProblem()
			}
			found = append(found, k)
		}
	}
	return found
}

// startProblem says why argv[0] cannot be started.
func (s Spec) startProblem() string {
	binary := s.Argv[0]
	info, err := os.Stat(binary)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return binary + " does not exist"
	case err != nil:
		return err.Error()
	case info.IsDir() || (runtime.GOOS != "windows" && info.Mode()&0o111 == 0):
		return binary + " is not an executable file"
	}
	return ""
}
