package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
)

// listed is what the go command says about a package.
type listed struct {
	ImportPath, Name, Dir string
	Export                string // file of export data; empty when the package does not build
	GoFiles, CgoFiles     []string
	Error                 *struct{ Err string }
	DepsErrors            []struct{ Err string }
}

// why says why the package has no export data.
func (l *listed) why() string {
	msg := "it does not build"
	if l.Error != nil {
		msg = l.Error.Err
	} else if len(l.DepsErrors) > 0 {
		msg = l.DepsErrors[0].Err
	}
	return strings.Join(strings.Fields(msg), " ")
}

// loaded is a package with its types.
type loaded struct {
	listed
	types     *types.Package
	preferred bool
}

// goOutput runs the go command in dir.
func goOutput(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.Bytes())
	}
	return out, nil
}

// load has the go command compile the packages of a section and reads what they export. Where
// skip is not nil, a package that does not build is handed to it and left out.
func load(dir string, sec *section, skip func(path, why string)) ([]*loaded, error) {
	if len(sec.entries) == 0 {
		return nil, nil
	}
	args := []string{"list", "-e", "-export", "-json=ImportPath,Name,Dir,Export,GoFiles,CgoFiles,Error,DepsErrors", "--"}
	for _, e := range sec.entries {
		args = append(args, e.path)
	}
	out, err := goOutput(dir, args...)
	if err != nil {
		return nil, err
	}
	byPath := map[string]*listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		l := new(listed)
		if err := dec.Decode(l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		byPath[l.ImportPath] = l
	}
	var pkgs []*loaded
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(byPath[path].Export)
	})
	for _, e := range sec.entries {
		l := byPath[e.path]
		if l == nil || l.Export == "" {
			why := "the go command does not know it"
			if l != nil {
				why = l.why()
			}
			if skip == nil {
				return nil, fmt.Errorf("%s: %s", e.path, why)
			}
			skip(e.path, why)
			continue
		}
		p, err := imp.Import(e.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.path, err)
		}
		pkgs = append(pkgs, &loaded{*l, p, e.preferred})
	}
	return pkgs, nil
}
