package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/build"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/kernel/notebook"
	"github.com/gonvex/gonvex/kernel/session"
)

func newExport() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export NOTEBOOK.ipynb",
		Short: "Write a notebook as a Go program that prints the same text",
		Long: `Export writes the code cells of a notebook as one Go program, to be compiled and run at
full speed, and to be edited further. The statements of each cell are a function, and what
it declares stands before that function; Markdown is comments. Imports are resolved, what
cells redeclare has a name for each version, and the value of a cell's last expression is
printed as the notebook shows it. A plot prints the line of text that the notebook has
beside its picture.

A cell tagged "raises-exception" may fail, one tagged "skip-execution" becomes a comment.
So do the magics, except %time, which prints the time that the cell took, and %reset.

The program needs this module but not its interpreter. Given a folder, export writes main.go
and, where the folder is in no Go module, a go.mod with which "go build" works.`,
		Example: `  gonvex export analysis.ipynb              analysis.go, for a folder in a Go module
  gonvex export analysis.ipynb -o prog/     prog/main.go and prog/go.mod
  gonvex export analysis.ipynb -o -         on stdout
  gonvex export analysis.ipynb -p beta=0.01 -o prog/ && cd prog && go build`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return o.run(a[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.out, "output", "o", "", "the program: a `path` ending in .go, a folder, or - for stdout (default: NOTEBOOK.go)")
	f.StringArrayVarP(&o.parameters, "parameter", "p", nil, "set a parameter, as `name=value`; may be repeated")
	f.BoolVar(&o.force, "force", false, "replace a program that is there already")
	return cmd
}

type exportOptions struct {
	parameters []string
	out        string
	force      bool
}

func (o *exportOptions) run(path string, stdout, stderr io.Writer) error {
	var parameters []notebook.Parameter
	for _, text := range o.parameters {
		p, err := notebook.ParseParameter(text)
		if err != nil {
			return usageError{err}
		}
		parameters = append(parameters, p)
	}
	nb, err := notebook.ReadFile(path)
	if err != nil {
		return err
	}
	if err := nb.CheckGo(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := notebook.Inject(nb, parameters); err != nil {
		return err
	}
	cells, places := exportCells(nb)
	program, err := session.Export(cells)
	if err != nil {
		return cellProblem(path, places, err)
	}
	source := append([]byte("// "+filepath.Base(path)+" as a Go program, by gonvex export.\n\n"), program.Source...)
	if o.out == "-" {
		_, err := stdout.Write(source)
		notes(stderr, path, program)
		return err
	}

	out, folder := o.output(path, source)
	if folder {
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return err
		}
	}
	if err := checkWritable(out); err != nil {
		return err
	}
	if _, err := os.Stat(out); err == nil && !o.force {
		return fmt.Errorf("%s is there already: --force replaces it, -o names another place", out)
	}
	if err := renameio.WriteFile(out, source, 0o644); err != nil {
		return err
	}
	next := "go run " + out
	if module := moduleOf(filepath.Dir(out)); folder && module == "" {
		if next, err = writeModule(filepath.Dir(out), path); err != nil {
			return err
		}
	} else if module == "" {
		next = "to build it outside of a Go module, export to a folder: -o " + strings.TrimSuffix(out, ".go") + "/"
	}
	fmt.Fprintf(stdout, "%s (%s)\n", out, next)
	notes(stderr, path, program)
	return nil
}

func notes(w io.Writer, path string, p *session.Program) {
	for _, n := range p.Notes {
		fmt.Fprintf(w, "gonvex: %s: %s\n", path, n)
	}
}

// exportCells are the cells as the session takes them; places are those of the
// numbered ones among all cells, from 1.
func exportCells(nb *notebook.Notebook) (cells []session.ExportCell, places map[int]int) {
	places = map[int]int{}
	count := 0
	for i, c := range nb.Cells {
		switch {
		case strings.TrimSpace(c.Source) == "" || c.Type == notebook.Raw:
		case c.Type == notebook.Markdown:
			cells = append(cells, session.ExportCell{Source: c.Source, Comment: true})
		case c.HasTag(notebook.TagSkip):
			cells = append(cells, session.ExportCell{Source: c.Source, Comment: true, Note: "Tagged " + notebook.TagSkip + ":"})
		default:
			count++ // as In [n] counts them
			places[count] = i + 1
			cells = append(cells, session.ExportCell{Source: c.Source, Number: count, MayFail: c.HasTag(notebook.TagRaises)})
		}
	}
	return cells, places
}

// cellProblem words the error of a cell in a line that says what to do.
func cellProblem(path string, places map[int]int, err error) error {
	var ce *session.CellError
	if !errors.As(err, &ce) {
		return fmt.Errorf("%s: %w", path, err)
	}
	at := fmt.Sprintf("cell %d (In [%d])", places[ce.Cell], ce.Cell)
	if ce.Line > 0 {
		at += fmt.Sprintf(", line %d", ce.Line)
	}
	msg, _, _ := strings.Cut(ce.Msg, "\n")
	if ce.Advice != "" {
		msg += " (" + strings.ReplaceAll(ce.Advice, "\n", " ") + ")"
	}
	return fmt.Errorf("%s: %s does not compile: %s; mend it, or tag the cell %s to leave it out", path, at, msg, notebook.TagRaises)
}

// output is the file to write, and whether it goes by the name of its folder.
func (o *exportOptions) output(path string, source []byte) (out string, folder bool) {
	if o.out != "" {
		if info, err := os.Stat(o.out); strings.HasSuffix(o.out, "/") || err == nil && info.IsDir() || !strings.HasSuffix(o.out, ".go") {
			return filepath.Join(o.out, "main.go"), true
		}
		return o.out, false
	}
	out = strings.TrimSuffix(path, ".ipynb")
	// A name such as model_test.go or solve_windows.go has a meaning to Go.
	system := build.Default
	system.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(source)), nil }
	if ok, err := system.MatchFile(filepath.Dir(out), filepath.Base(out)+".go"); err != nil || !ok || strings.HasSuffix(out, "_test") {
		out += "_program"
	}
	return out + ".go", false
}

const modulePath = "github.com/gonvex/gonvex"

// moduleOf is the go.mod that holds for a folder, "" if there is none.
func moduleOf(dir string) string {
	dir, err := filepath.Abs(dir)
	for err == nil {
		if info, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && info.Mode().IsRegular() {
			return filepath.Join(dir, "go.mod")
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return ""
}

var notInName = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)

// writeModule makes a folder a module that needs this one: the version of this
// binary, or the checkout from which it was built. It returns what to do next.
func writeModule(dir, path string) (next string, err error) {
	name := strings.Trim(notInName.ReplaceAllString(strings.TrimSuffix(filepath.Base(path), ".ipynb"), "_"), "._-")
	if name == "" {
		name = "program"
	}
	var mod strings.Builder
	fmt.Fprintf(&mod, "module %s\n\ngo %s\n\n", name, strings.TrimPrefix(runtime.Version(), "go"))
	next = "cd " + dir + " && go build"
	if root, text := checkout(); root != "" {
		fmt.Fprintf(&mod, "require %s v0.0.0\n\nreplace %s => %s\n", modulePath, modulePath, root)
		if _, requires, ok := strings.Cut(text, "\nrequire"); ok { // the same versions of all that it needs
			mod.WriteString("\nrequire" + requires)
		}
		sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
		if err != nil {
			return "", err
		}
		if err := renameio.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o644); err != nil {
			return "", err
		}
	} else {
		fmt.Fprintf(&mod, "require %s %s\n", modulePath, version())
		next = "cd " + dir + " && go mod tidy && go build"
	}
	return next, renameio.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod.String()), 0o644)
}

// checkout is the folder of the module from which this binary was built, if
// that is still there, and its go.mod.
func checkout() (root, mod string) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", "" // built with -trimpath
	}
	root = filepath.Dir(filepath.Dir(filepath.Dir(file)))
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !strings.HasPrefix(string(text), "module "+modulePath+"\n") {
		return "", ""
	}
	return root, string(text)
}
