package notebook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gonvex/gonvex/kernel/display"
)

// A Runner runs code cells one after the other in one session.
type Runner interface {
	// Execute runs a cell to its end or until ctx ends, sends what the cell
	// puts out to the sink, and returns how it ended.
	Execute(ctx context.Context, code string, sink Sink) Reply
}

// A Sink receives the outputs of a cell as they come, possibly from several
// goroutines.
type Sink interface {
	Stream(name, text string)
	Display(b display.Bundle, id string, update bool)
	Clear(wait bool)
	Input(prompt string, password bool) (string, error)
}

// A Reply says how a cell ended.
type Reply struct {
	Status    string          // "ok", "error" or "aborted"
	Value     *display.Bundle // of the last expression; nil when there is none
	Ename     string          // kind of the error
	Evalue    string          // its message
	Traceback []string        // lines as Jupyter shows them, colours in ANSI escapes
	Warnings  []string
	Died      bool // the session is gone
}

// Options of an execution. The zero value runs every cell as it is.
type Options struct {
	Parameters []Parameter // see [ParseParameter]
	Language   string      // version of the language, for language_info
	NoTiming   bool        // do not record when each cell ran, for files under version control
	KeepGoing  bool        // go on after a failing cell; the first error is returned
	// Input answers a cell that asks for a line. nil: asking is an error.
	Input func(prompt string, password bool) (string, error)
	// Started and Done follow the run: index counts all cells from 0.
	Started func(index int, c *Cell)
	Done    func(index int, c *Cell, took time.Duration)
}

// A CellError is the error of a cell that ended a run.
type CellError struct {
	Index         int // of the cell, from 0
	Count         int // n of In [n]
	Ename, Evalue string
	Traceback     []string
	Source        string
	cause         error
}

func (e *CellError) Error() string {
	msg := strings.TrimSpace(e.Evalue)
	if !strings.HasPrefix(msg, e.Ename) {
		msg = e.Ename + ": " + msg
	}
	return fmt.Sprintf("cell %d (In [%d]): %s", e.Index+1, e.Count, msg)
}

// Unwrap returns the error of the context when its end stopped the cell.
func (e *CellError) Unwrap() error { return e.cause }

// The tags that have a meaning here, as Jupyter's own tools read them.
const (
	TagRaises     = "raises-exception" // the cell may fail; the run goes on
	TagSkip       = "skip-execution"   // the cell is left as it is
	tagParameters = "parameters"       // the cell holds the defaults of the parameters
	tagInjected   = "injected-parameters"
)

// maxStream bounds what a cell may print into the file.
const maxStream = 16 << 20

// Execute runs the code cells of nb in order, replacing their outputs. It
// stops at the first cell that fails, whose error is recorded in the notebook
// and returned as a *[CellError]; a cell tagged raises-exception may fail. The
// cells after it are left without outputs.
func Execute(ctx context.Context, nb *Notebook, r Runner, opts *Options) error {
	if opts == nil {
		opts = &Options{}
	}
	if err := nb.CheckGo(); err != nil {
		return err
	}
	if err := Inject(nb, opts.Parameters); err != nil {
		return err
	}
	nb.setIDs()
	nb.Metadata = orEmpty(nb.Metadata)
	if _, ok := nb.Metadata["kernelspec"]; !ok {
		nb.Metadata.Set("kernelspec", kernelSpec)
	}
	nb.Metadata.Set("language_info", languageInfo(opts.Language))
	for _, c := range nb.Cells {
		if c.Type == Code && !c.HasTag(TagSkip) {
			c.Outputs, c.ExecutionCount = nil, nil
			delete(c.Metadata, "execution")
		}
	}
	x := &execution{shown: map[string][]*Output{}, input: opts.Input}
	defer x.close()
	count := 0
	var first error
	for i, c := range nb.Cells {
		if c.Type != Code || c.HasTag(TagSkip) || strings.TrimSpace(c.Source) == "" {
			continue
		}
		count++
		if opts.Started != nil {
			opts.Started(i, c)
		}
		start := time.Now()
		err := x.cell(ctx, r, i, c, count, !opts.NoTiming)
		if opts.Done != nil {
			opts.Done(i, c, time.Since(start))
		}
		if err == nil || c.HasTag(TagRaises) && !err.fatal() {
			continue
		}
		if first == nil {
			first = err
		}
		if !opts.KeepGoing || err.fatal() {
			break
		}
	}
	return first
}

// fatal tells the errors after which no further cell can run.
func (e *CellError) fatal() bool { return e.cause != nil || e.Ename == deadKernel }

const deadKernel = "DeadKernel"

// ExecuteFile runs the notebook at path in and writes the result to path out,
// also when a cell failed or ctx ended: what was computed until then is kept.
func ExecuteFile(ctx context.Context, in, out string, r Runner, opts *Options) (*Notebook, error) {
	nb, err := ReadFile(in)
	if err != nil {
		return nil, err
	}
	err = Execute(ctx, nb, r, opts)
	if werr := nb.WriteFile(out); werr != nil && err == nil {
		err = werr
	}
	return nb, err
}

// execution is the state of one run: outputs that can still change.
type execution struct {
	mu     sync.Mutex
	shown  map[string][]*Output // display id -> outputs shown under it
	input  func(prompt string, password bool) (string, error)
	closed bool // nothing may touch the notebook any more
}

func (x *execution) close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
}

func (x *execution) cell(ctx context.Context, r Runner, index int, c *Cell, count int, timing bool) *CellError {
	x.mu.Lock()
	c.Metadata = orEmpty(c.Metadata)
	c.ExecutionCount = &count
	x.mu.Unlock()
	s := &cellSink{x: x, c: c}
	start := time.Now()
	var reply Reply
	if ctx.Err() == nil {
		reply = r.Execute(ctx, c.Source, s)
	} else {
		reply = Reply{Status: "aborted", Ename: "Aborted", Evalue: "the run was stopped before this cell"}
	}
	end := time.Now()

	x.mu.Lock()
	defer x.mu.Unlock()
	if timing {
		c.Metadata.Set("execution", map[string]string{
			"iopub.execute_input": stamp(start), "iopub.status.busy": stamp(start),
			"iopub.status.idle": stamp(end), "shell.execute_reply": stamp(end),
		})
	}
	for _, w := range reply.Warnings {
		s.stream("stderr", "warning: "+strings.TrimSuffix(w, "\n")+"\n")
	}
	if reply.Status == "ok" && !reply.Died {
		if reply.Value != nil && len(reply.Value.Data) > 0 {
			out := bundleOutput(ExecuteResult, *reply.Value)
			out.ExecutionCount = &count
			s.add(out)
		}
		return nil
	}
	e := &CellError{Index: index, Count: count, Ename: reply.Ename, Evalue: reply.Evalue, Traceback: reply.Traceback, Source: c.Source, cause: ctx.Err()}
	if reply.Died {
		e.Ename = deadKernel
		if e.Evalue == "" {
			e.Evalue = "the process that ran the cell ended"
		}
	}
	if e.Ename == "" {
		e.Ename = "Error"
	}
	if len(e.Traceback) == 0 {
		e.Traceback = []string{e.Ename + ": " + e.Evalue}
	}
	s.add(&Output{Type: Error, Ename: e.Ename, Evalue: e.Evalue, Traceback: e.Traceback})
	return e
}

// stamp writes a time as Jupyter's metadata has it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// cellSink collects the outputs of one cell. It stays open after the cell has
// ended, for goroutines that print later.
type cellSink struct {
	x       *execution
	c       *Cell
	clear   bool // the next output replaces all others
	printed int  // bytes of streams
}

func (s *cellSink) Stream(name, text string) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.stream(name, text)
}

// stream appends to the last output when that is the same stream.
func (s *cellSink) stream(name, text string) {
	if text == "" || s.x.closed || s.printed > maxStream {
		return
	}
	if s.printed += len(text); s.printed > maxStream {
		text = fmt.Sprintf("\n(the cell printed more than %d MB; the rest is left out)\n", maxStream>>20)
	}
	s.flushClear()
	if n := len(s.c.Outputs); n > 0 {
		if last := s.c.Outputs[n-1]; last.Type == Stream && last.Name == name {
			last.Text += text
			return
		}
	}
	s.c.Outputs = append(s.c.Outputs, &Output{Type: Stream, Name: name, Text: text})
}

func (s *cellSink) flushClear() {
	if s.clear {
		s.clear = false
		s.c.Outputs = nil
	}
}

func (s *cellSink) add(out *Output) {
	if s.x.closed {
		return
	}
	s.flushClear()
	s.c.Outputs = append(s.c.Outputs, out)
}

func (s *cellSink) Display(b display.Bundle, id string, update bool) {
	out := bundleOutput(DisplayData, b)
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if s.x.closed {
		return
	}
	if update {
		for _, old := range s.x.shown[id] {
			old.Data, old.Metadata = out.Data, out.Metadata
		}
		return
	}
	s.add(out)
	if id != "" {
		s.x.shown[id] = append(s.x.shown[id], out)
	}
}

func (s *cellSink) Clear(wait bool) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if s.x.closed {
		return
	}
	s.clear = true
	if !wait {
		s.flushClear()
	}
}

func (s *cellSink) Input(prompt string, password bool) (string, error) {
	if s.x.input == nil {
		return "", fmt.Errorf("the cell asks for input (%q), which a run without a front end cannot give", prompt)
	}
	return s.x.input(prompt, password)
}

// bundleOutput turns what a cell shows into what a file holds.
func bundleOutput(t OutputType, b display.Bundle) *Output {
	out := &Output{Type: t, Data: make(map[string]any, len(b.Data)), Metadata: Object{}}
	for mime, content := range b.Data {
		switch c := content.(type) {
		case string:
			out.Data[mime] = strings.ToValidUTF8(c, "\uFFFD")
		case []byte:
			out.Data[mime] = base64.StdEncoding.EncodeToString(c)
		case json.RawMessage:
			out.Data[mime] = c
		default:
			out.Data[mime] = json.RawMessage(display.JSONOf(c))
		}
	}
	for k, v := range b.Metadata {
		out.Metadata[k] = json.RawMessage(display.JSONOf(v))
	}
	return out
}
