package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/gonvex/gonvex/stdlib"
)

// Third-party packages come as source. %get has the go command find the module
// and what it requires, in Go's own module cache; a cell's import then has the
// package checked and run as if a cell had declared all of it (see
// modules_load.go).

// modSep marks the names of packages that %get brought: uuidˑNew. As with sep,
// no user types it.
const modSep = "ˑ"

// modules are the packages that %get has brought.
type modules struct {
	mu     sync.Mutex // held briefly; packages in the map do not change once they have types
	gomod  []byte     // what is required so far, and its sums
	gosum  []byte
	pkgs   map[string]*modPackage // by import path
	prefix map[string]string      // of names -> import path
}

// modPackage is one package. Dir is empty until its source has been looked for.
type modPackage struct {
	ImportPath, Name, Dir                 string
	GoFiles, CgoFiles, SFiles, EmbedFiles []string
	IgnoredGoFiles, Imports               []string
	Standard                              bool
	Error                                 *struct{ Err string }
	Module                                *struct{ Path, Version string }

	prefix string         // of the names it declares
	types  *types.Package // nil until it has been checked
	doc    string
	loaded bool // the interpreter has it
}

// withModules makes modules part of what cells import.
type withModules struct {
	types.ImporterFrom
	m *modules
}

func (w withModules) Import(path string) (*types.Package, error) {
	if p := w.m.types(path); p != nil {
		return p, nil
	}
	return w.ImporterFrom.Import(path)
}

func (w withModules) ImportFrom(path, _ string, _ types.ImportMode) (*types.Package, error) {
	return w.Import(path)
}

func (m *modules) get(path string) *modPackage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pkgs[path]
}

// types is a package as the checker knows it, nil if it has not been imported.
func (m *modules) types(path string) *types.Package {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.pkgs[path]; p != nil {
		return p.types
	}
	return nil
}

// doc is the comment of a package.
func (m *modules) doc(path string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.pkgs[path]; p != nil {
		return p.doc
	}
	return ""
}

// unload forgets which packages the interpreter has: it is a new one.
func (m *modules) unload() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pkgs {
		p.loaded, p.types = false, nil
	}
}

// knows tells whether a package is one of those brought, or in one of their
// modules: go list does not list packages without a file that can be used here.
func (m *modules) knows(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pkgs[path] != nil {
		return true
	}
	for _, p := range m.pkgs {
		if p.Module != nil && strings.HasPrefix(path, p.Module.Path+"/") {
			m.pkgs[path] = &modPackage{ImportPath: path, Module: p.Module}
			return true
		}
	}
	return false
}

// paths lists what can be imported.
func (m *modules) paths() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var paths []string
	for path, p := range m.pkgs {
		if p.Name != "" && !strings.Contains("/"+path+"/", "/internal/") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// add takes a package that the go command told of into the map.
func (m *modules) add(p *modPackage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pkgs == nil {
		m.pkgs, m.prefix = map[string]*modPackage{}, map[string]string{}
	}
	if old := m.pkgs[p.ImportPath]; old != nil {
		same := old.Module == nil || p.Module == nil || old.Module.Version == p.Module.Version
		if same && (old.types != nil || old.Dir != "" && p.Dir == "") {
			return
		}
		p.prefix = old.prefix
	}
	if p.prefix == "" && p.Name != "" {
		p.prefix = p.Name + modSep
		for n := 2; m.prefix[p.prefix] != ""; n++ {
			p.prefix = fmt.Sprint(p.Name, modSep, n, modSep)
		}
		m.prefix[p.prefix] = p.ImportPath
	}
	m.pkgs[p.ImportPath] = p
}

// owner is the import path of the package that declares a name, "" for a name
// of the cells.
func (m *modules) owner(name string) string {
	i := strings.LastIndex(name, modSep)
	if i < 0 {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.prefix[name[:i+len(modSep)]]
}

// fetch brings a module, named with or without a version, or the module of a
// package, and returns the import paths that the name stands for.
func (m *modules) fetch(ctx context.Context, name string) ([]string, error) {
	path, _, _ := strings.Cut(name, "@")
	var paths []string
	err := m.inModule(ctx, func(goCommand func(args ...string) ([]byte, error)) error {
		if _, err := goCommand("get", name); err != nil {
			return err
		}
		// Only the names: what a package needs is looked for when it is imported.
		out, err := goCommand("list", "-e", "-find", "-tags="+plainTags, "-json=ImportPath,Name,Module,IgnoredGoFiles", path, path+"/...")
		if err != nil {
			return err
		}
		return packages(out, func(p *modPackage) {
			if p.Name == "main" || strings.Contains("/"+p.ImportPath+"/", "/internal/") || p.Name == "" && len(p.IgnoredGoFiles) == 0 {
				return
			}
			m.add(p)
			if p.Name != "" && !slices.Contains(paths, p.ImportPath) { // there are files that can be used here
				paths = append(paths, p.ImportPath)
			}
		})
	})
	return paths, err
}

// plainTags ask for the variants of a package that need neither assembly nor
// package unsafe, where it has them.
const plainTags = "purego,noasm,safe,appengine"

// resolve finds the source of a package and of all it imports.
func (m *modules) resolve(ctx context.Context, path string) error {
	if p := m.get(path); p == nil || p.Dir != "" {
		return nil
	}
	return m.inModule(ctx, func(goCommand func(args ...string) ([]byte, error)) error {
		out, err := goCommand("list", "-e", "-deps", "-tags="+plainTags,
			"-json=ImportPath,Name,Dir,GoFiles,CgoFiles,SFiles,EmbedFiles,IgnoredGoFiles,Imports,Standard,Error,Module", path)
		if err != nil {
			return err
		}
		return packages(out, func(p *modPackage) {
			if _, ours := stdlib.Lookup(p.ImportPath); !p.Standard && !ours {
				m.add(p)
			}
		})
	})
}

// packages reads what go list -json printed.
func packages(out []byte, each func(*modPackage)) error {
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &modPackage{}
		err := dec.Decode(p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the go command answered what cannot be read: %w", err)
		}
		each(p)
	}
}

// inModule lets f run the go command in a module that requires all that the
// session has brought; what f adds to it is kept.
func (m *modules) inModule(ctx context.Context, f func(goCommand func(args ...string) ([]byte, error)) error) error {
	bin, err := findGo()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gonvex-get")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	goCommand := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, bin, args...)
		var out, errs bytes.Buffer
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
		// No cgo: of packages with a variant in Go alone that is taken.
		cmd.Env = append(os.Environ(), "GO111MODULE=on", "GOWORK=off", "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=mod", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "PWD="+dir)
		if err := cmd.Run(); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, goError(errs.String(), err)
		}
		return out.Bytes(), nil
	}
	modFile, sumFile := filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")
	if m.gomod == nil {
		if _, err := goCommand("mod", "init", "cells"); err != nil {
			return err
		}
	} else if err := errors.Join(os.WriteFile(modFile, m.gomod, 0o600), os.WriteFile(sumFile, m.gosum, 0o600)); err != nil {
		return err
	}
	if err := f(goCommand); err != nil {
		return err
	}
	if m.gomod, err = os.ReadFile(modFile); err != nil {
		return err
	}
	if m.gosum, err = os.ReadFile(sumFile); errors.Is(err, os.ErrNotExist) {
		err = nil // a module without requirements has none
	}
	return err
}

// findGo finds the go command, also where Go's own installation puts it.
func findGo() (string, error) {
	bin, err := exec.LookPath("go")
	if err == nil {
		return bin, nil
	}
	for _, dir := range []string{os.Getenv("GOROOT"), "/usr/local/go", "/usr/lib/go"} {
		if bin := filepath.Join(dir, "bin", "go"); dir != "" {
			if info, err := os.Stat(bin); err == nil && !info.IsDir() {
				return bin, nil
			}
		}
	}
	return "", errors.New("the go command is not on the PATH, and modules are found and checked by it: install Go (https://go.dev/dl, or apt-get install golang-go) and restart the kernel")
}

// goErrors are the answers of the go command that need other words here.
var goErrors = []struct {
	match *regexp.Regexp
	say   string
}{
	{regexp.MustCompile(`dial tcp|no such host|i/o timeout|connection refused|network is unreachable|TLS handshake|disabled by GOPROXY=off|no route to host`), "the module is not in the module cache and the proxy cannot be reached. Offline, a module that was downloaded before can be had by its full version, MODULE@v1.2.3"},
	{regexp.MustCompile(`requires go >= (\S+)`), "it needs a newer Go than the one on this machine: $1"},
	{regexp.MustCompile(`no matching versions|unknown revision|invalid version`), "there is no such version"},
	{regexp.MustCompile(`40[34] (?:Not Found|Forbidden)|410 Gone|cannot find module|no such file or directory|repository .* not found|does not contain package|malformed module path|unrecognized import path`), "there is no such module; a module is named by its full path, as github.com/google/uuid"},
	{regexp.MustCompile(`checksum mismatch|SECURITY ERROR`), "what was downloaded is not what the checksum database knows: it is not used"},
}

// goError words a failure of the go command, with what it said itself.
func goError(said string, err error) error {
	var lines []string
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "go: downloading") && !strings.HasPrefix(line, "go: added") {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, "\n")
	if text == "" {
		text = err.Error()
	}
	for _, g := range goErrors {
		if at := g.match.FindStringSubmatchIndex(text); at != nil {
			return fmt.Errorf("%s\n%s", g.match.ExpandString(nil, g.say, text, at), text)
		}
	}
	return errors.New(text)
}

// problem says why a package cannot be interpreted, as far as that can be told
// without reading it; "" if it may be.
func (p *modPackage) problem() string {
	switch {
	case len(p.CgoFiles) > 0:
		return "it is written in C in part (cgo: " + strings.Join(p.CgoFiles, ", ") + "), which needs a compiler"
	case len(p.GoFiles) == 0 && len(p.IgnoredGoFiles) > 0:
		return "it has no file that can be used here without cgo (" + strings.Join(p.IgnoredGoFiles, ", ") + ")"
	case p.Error != nil:
		return strings.TrimSpace(p.Error.Err)
	case len(p.GoFiles) == 0:
		return "it has no Go files"
	case len(p.EmbedFiles) > 0:
		return "it embeds files (go:embed), which needs a compiler"
	case slices.Contains(p.Imports, "unsafe"):
		return "it uses package unsafe, which works on memory as the compiler lays it out and not as the interpreter does"
	}
	return ""
}

// leftOut lists the files of a package that are written in C in part.
func (p *modPackage) leftOut() []string {
	var files []string
	for _, name := range p.IgnoredGoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
		if err == nil && slices.ContainsFunc(f.Imports, func(is *ast.ImportSpec) bool { return is.Path.Value == `"C"` }) {
			files = append(files, name)
		}
	}
	return files
}
