package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/notebook"
	"github.com/gonvex/gonvex/kernel/worker"
)

func newExec() *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:   "exec NOTEBOOK.ipynb [--site DIR NOTEBOOK.ipynb...]",
		Short: "Run a notebook, with no Jupyter and no Python",
		Long: `Exec runs the code cells of a notebook from top to bottom, in the notebook's folder, and
writes the executed notebook and a page of HTML with its pictures inside. Both files are
replaced in one step, also when a cell fails: what was computed until then is in them.

Parameters set variables of the cell tagged "parameters". A value is a Go literal, and
anything else is a string. A cell tagged "raises-exception" may fail; one tagged
"skip-execution" is left as it is.

With --site it takes any number of notebooks, and writes into a folder a page for each and an
index.html with their titles, first paragraphs and first pictures. With --no-run their
outputs are taken as they are, and nothing runs.

The exit code is 0 when every cell ran, 1 when one failed (its error is on stderr), 130
when the run was interrupted.`,
		Example: `  gonvex exec analysis.ipynb                          analysis.executed.ipynb and .html
  gonvex exec analysis.ipynb -o out/run1.ipynb        out/run1.ipynb and out/run1.html
  gonvex exec analysis.ipynb -p beta=0.01 -p name=spiral -p 'sizes=[]int{8, 15}'
  gonvex exec analysis.ipynb --print result           and print the cells tagged "result"
  gonvex exec --site pages notebooks/*.ipynb          pages/index.html and a page for each`,
		Args: args(func(cmd *cobra.Command, a []string) error {
			if o.site != "" {
				return cobra.MinimumNArgs(1)(cmd, a)
			}
			return cobra.ExactArgs(1)(cmd, a)
		}),
		RunE: func(cmd *cobra.Command, a []string) error {
			if o.site != "" {
				return o.runSite(cmd.Context(), a, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if o.noRun {
				return usageError{errors.New("--no-run is for --site: it writes pages of outputs that are there")}
			}
			return o.run(cmd.Context(), a[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.parameters, "parameter", "p", nil, "set a parameter, as `name=value`; may be repeated")
	f.StringVarP(&o.out, "output", "o", "", "the executed notebook (default: NOTEBOOK.executed.ipynb)")
	f.StringVar(&o.html, "html", "", "the page (default: the name of the executed notebook, with .html)")
	f.BoolVar(&o.noHTML, "no-html", false, "write no page")
	f.DurationVar(&o.timeout, "timeout", 0, "longest time one cell may run, such as 10m (default: no limit)")
	f.BoolVar(&o.keepGoing, "keep-going", false, "go on after a cell that fails; the exit code is still 1")
	f.BoolVar(&o.noTiming, "no-timing", false, "do not record when cells ran, for files under version control")
	f.StringVar(&o.print, "print", "", "print the text that cells with this `tag` put out")
	f.StringVar(&o.site, "site", "", "write pages of all notebooks, and an index, into this `folder`")
	f.StringVar(&o.title, "title", "Notebooks", "the heading of the index of --site")
	f.BoolVar(&o.noRun, "no-run", false, "with --site: take the outputs as they are, run nothing")
	cmd.MarkFlagsMutuallyExclusive("html", "no-html")
	for _, flag := range []string{"output", "html", "no-html"} {
		cmd.MarkFlagsMutuallyExclusive("site", flag)
	}
	return cmd
}

type execOptions struct {
	parameters                  []string
	out, html, print            string
	site, title                 string
	noHTML, keepGoing, noTiming bool
	noRun                       bool
	timeout                     time.Duration
}

// options are those of a run.
func (o *execOptions) options() (notebook.Options, error) {
	options := notebook.Options{
		Language:  strings.TrimPrefix(runtime.Version(), "go"),
		KeepGoing: o.keepGoing,
		NoTiming:  o.noTiming,
	}
	for _, text := range o.parameters {
		p, err := notebook.ParseParameter(text)
		if err != nil {
			return options, usageError{err}
		}
		options.Parameters = append(options.Parameters, p)
	}
	return options, nil
}

func (o *execOptions) run(ctx context.Context, path string, stdout, stderr io.Writer) error {
	options, err := o.options()
	if err != nil {
		return err
	}
	nb, err := notebook.ReadFile(path)
	if err != nil {
		return err
	}
	out, page := o.outputs(path)
	if err := checkWritable(out, page); err != nil {
		return err // before the cells run, not after an hour of them
	}

	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the program as usual

	start := time.Now()
	failed := o.execute(ctx, nb, path, options, newStatusLine(stderr), "")
	took := time.Since(start)
	var cell *notebook.CellError
	if failed != nil && !errors.As(failed, &cell) {
		return failed // no cell ran
	}

	if err := nb.WriteFile(out); err != nil {
		return err
	}
	wrote := out
	if page != "" {
		if err := nb.WriteHTML(page, &notebook.HTMLOptions{Dir: filepath.Dir(path)}); err != nil {
			return err
		}
		wrote += " and " + page
	}
	if o.print != "" {
		printTagged(stdout, nb, o.print)
	}
	if failed == nil {
		fmt.Fprintf(stdout, "%d cells in %.1f s: %s\n", len(nb.Cells), took.Seconds(), wrote)
		return nil
	}
	printTraceback(stderr, cell)
	fmt.Fprintf(stderr, "gonvex: %s: %v\nwhat ran until then is in %s\n", path, failed, wrote)
	if ctx.Err() != nil {
		return exitCode(130)
	}
	return exitCode(1)
}

// execute runs the cells of a notebook in a worker of its own.
func (o *execOptions) execute(ctx context.Context, nb *notebook.Notebook, path string, options notebook.Options, line *statusLine, prefix string) error {
	supervisor, err := worker.Start(&worker.Options{Dir: filepath.Dir(path), NoSpare: true})
	if err != nil {
		return err
	}
	defer supervisor.Close()
	defer line.set("")
	options.Started = func(i int, c *notebook.Cell) {
		line.set(fmt.Sprintf("%s[%d/%d] %s", prefix, i+1, len(nb.Cells), firstLine(c.Source)))
	}
	return notebook.Execute(ctx, nb, &cellRunner{supervisor: supervisor, timeout: o.timeout}, &options)
}

// runSite runs notebooks and writes their pages. One that fails is in the site
// with its error, and the exit code is 1; an interrupt ends the whole.
func (o *execOptions) runSite(ctx context.Context, paths []string, stdout, stderr io.Writer) error {
	options, err := o.options()
	if err != nil {
		return err
	}
	var pages []notebook.SitePage
	for _, path := range paths {
		nb, err := notebook.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(path), ".ipynb")
		pages = append(pages, notebook.SitePage{Name: name, Notebook: nb, Dir: filepath.Dir(path)})
	}
	if err := notebook.CheckSite(o.site, pages); err != nil {
		return err // before the cells run, not after an hour of them
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	line := newStatusLine(stderr)
	bad := 0
	for i, page := range pages {
		if o.noRun {
			break
		}
		start := time.Now()
		err := o.execute(ctx, page.Notebook, paths[i], options, line, fmt.Sprintf("%s (%d of %d) ", page.Name, i+1, len(pages)))
		var cell *notebook.CellError
		switch {
		case ctx.Err() != nil:
			return exitCode(130)
		case err == nil:
			fmt.Fprintf(stdout, "%s: %d cells in %.1f s\n", page.Name, len(page.Notebook.Cells), time.Since(start).Seconds())
			if o.print != "" {
				printTagged(stdout, page.Notebook, o.print)
			}
		case errors.As(err, &cell):
			printTraceback(stderr, cell)
			fmt.Fprintf(stderr, "gonvex: %s: %v\n", paths[i], err)
			bad++
		default:
			return fmt.Errorf("%s: %w", paths[i], err) // no cell ran
		}
	}
	if err := notebook.WriteSite(o.site, o.title, pages); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "pages of %d notebooks: %s\n", len(pages), filepath.Join(o.site, "index.html"))
	if bad > 0 {
		return exitCode(1)
	}
	return nil
}

// outputs are the files to write; page is "" for none.
func (o *execOptions) outputs(path string) (out, page string) {
	out = o.out
	if out == "" {
		out = strings.TrimSuffix(path, ".ipynb") + ".executed.ipynb"
	}
	switch {
	case o.noHTML:
	case o.html != "":
		page = o.html
	default:
		page = strings.TrimSuffix(out, ".ipynb") + ".html"
	}
	return out, page
}

// checkWritable says whether the folders of the output files are there.
func checkWritable(paths ...string) error {
	for _, path := range paths {
		if path == "" {
			continue
		}
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			return fmt.Errorf("cannot write %s: there is no folder %s", path, filepath.Dir(path))
		}
	}
	return nil
}

func firstLine(source string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(source), "\n")
	if r := []rune(line); len(r) > 60 {
		line = string(r[:59]) + "…"
	}
	return line
}

// printTagged prints what the cells with the tag put out as text.
func printTagged(w io.Writer, nb *notebook.Notebook, tag string) {
	for _, c := range nb.Cells {
		if !c.HasTag(tag) {
			continue
		}
		for _, out := range c.Outputs {
			text := out.Text
			if plain, ok := out.Data["text/plain"].(string); ok {
				text = plain
			}
			if text = strings.TrimRight(text, "\n"); text != "" {
				fmt.Fprintln(w, text)
			}
		}
	}
}

var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

func printTraceback(w io.Writer, e *notebook.CellError) {
	text := strings.TrimRight(strings.Join(e.Traceback, "\n"), "\n")
	if !isTerminal(w) {
		text = ansi.ReplaceAllString(text, "")
	}
	fmt.Fprintln(w, text)
}

// cellRunner runs the cells of a notebook in a worker.
type cellRunner struct {
	supervisor *worker.Supervisor
	timeout    time.Duration // of one cell; 0: none
	count      int
}

func (r *cellRunner) Execute(ctx context.Context, code string, sink notebook.Sink) notebook.Reply {
	r.count++
	cell := ctx
	if r.timeout > 0 {
		var cancel context.CancelFunc
		cell, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	reply := r.supervisor.Execute(cell, worker.ExecuteRequest{Code: code, Count: r.count}, cellSink{sink})
	if reply.Status != worker.OK && ctx.Err() == nil && cell.Err() != nil {
		reply.Ename = "Timeout"
		reply.Evalue = fmt.Sprintf("the cell ran longer than %v; --timeout sets the limit", r.timeout)
	}
	return notebook.Reply{
		Status: reply.Status, Value: reply.Value, Ename: reply.Ename, Evalue: reply.Evalue,
		Traceback: reply.Traceback, Warnings: reply.Warnings, Died: reply.Died,
	}
}

// cellSink gives a notebook's sink the form that the worker asks for.
type cellSink struct{ notebook.Sink }

// Comm is not called: the worker is told that there are no comms.
func (cellSink) Comm(display.CommMessage) {}

func (s cellSink) Input(_ context.Context, prompt string, password bool) (string, error) {
	return s.Sink.Input(prompt, password)
}
