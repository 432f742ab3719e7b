package notebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gonvex/gonvex/kernel/display"
)

// script is a Runner that obeys one command a line.
type script struct {
	ran  []string
	wait sync.WaitGroup
}

func (s *script) Execute(ctx context.Context, code string, sink Sink) Reply {
	s.ran = append(s.ran, code)
	reply := Reply{Status: "ok"}
	for line := range strings.SplitSeq(code, "\n") {
		verb, arg, _ := strings.Cut(line, " ")
		id, value, _ := strings.Cut(arg, " ")
		switch verb {
		case "out":
			sink.Stream("stdout", arg+"\n")
		case "err":
			sink.Stream("stderr", arg+"\n")
		case "value":
			b := display.Render(display.HTML(arg))
			reply.Value = &b
		case "show":
			sink.Display(display.Render(display.Markdown(value)), id, false)
		case "update":
			sink.Display(display.Render(display.Markdown(value)), id, true)
		case "png":
			sink.Display(display.Render(display.PNG("\x89PNG")), "", false)
		case "clear":
			sink.Clear(arg == "wait")
		case "input":
			got, err := sink.Input(arg, false)
			sink.Stream("stdout", fmt.Sprintln(got, err))
		case "warn":
			reply.Warnings = append(reply.Warnings, arg)
		case "fail":
			return Reply{Status: "error", Ename: "panic", Evalue: arg, Traceback: []string{"\x1b[31mpanic\x1b[0m: " + arg, "line 1"}}
		case "die":
			return Reply{Status: "error", Died: true}
		case "block":
			<-ctx.Done()
			return Reply{Status: "error", Ename: "interrupted", Evalue: "stopped"}
		case "later":
			s.wait.Go(func() {
				for range 200 {
					sink.Stream("stdout", "late\n")
				}
			})
		case "flood":
			for range 40 {
				sink.Stream("stdout", strings.Repeat("x", 1<<20))
			}
		}
	}
	return reply
}

// build makes a notebook of code cells; "tag1,tag2| code" tags one.
func build(cells ...string) *Notebook {
	nb := New()
	for _, source := range cells {
		tags, code, ok := strings.Cut(source, "| ")
		if !ok {
			tags, code = "", source
		}
		c := nb.Add(Code, code)
		if tags != "" {
			c.Metadata.Set("tags", strings.Split(tags, ","))
		}
	}
	return nb
}

// digest writes the outputs of a cell on one line.
func digest(c *Cell) string {
	var out []string
	for _, o := range c.Outputs {
		switch o.Type {
		case Stream:
			out = append(out, o.Name+":"+o.Text)
		case Error:
			out = append(out, "error:"+o.Ename+":"+o.Evalue)
		case ExecuteResult:
			out = append(out, fmt.Sprintf("result %d:%v", *o.ExecutionCount, o.Data["text/html"]))
		case DisplayData:
			out = append(out, fmt.Sprintf("display:%v", o.Data["text/markdown"]))
		}
	}
	return strings.ReplaceAll(strings.Join(out, " "), "\n", "/")
}

func TestExecute(t *testing.T) {
	for _, c := range []struct {
		name  string
		cells []string
		want  []string
		err   string
	}{
		{"streams merge", []string{"out a\nout b\nerr c\nout d"}, []string{"stdout:a/b/ stderr:c/ stdout:d/"}, ""},
		{"results count", []string{"value x", "", "value y"}, []string{"result 1:x", "", "result 2:y"}, ""},
		{"update in place", []string{"show i one\nout a", "update i two\nupdate none three"}, []string{"display:two stdout:a/", ""}, ""},
		{"shown twice", []string{"show i one", "show i two", "update i three"}, []string{"display:three", "display:three", ""}, ""},
		{"clear", []string{"out a\nclear\nout b"}, []string{"stdout:b/"}, ""},
		{"clear at once", []string{"out a\nclear"}, []string{""}, ""},
		{"clear waits", []string{"out a\nclear wait\nout b\nout c"}, []string{"stdout:b/c/"}, ""},
		{"clear waits for what never comes", []string{"out a\nclear wait"}, []string{"stdout:a/"}, ""},
		{"warnings", []string{"warn w\nvalue x"}, []string{"stderr:warning: w/ result 1:x"}, ""},
		{"no input", []string{"input name?"}, []string{"stdout: the cell asks for input (\"name?\"), which a run without a front end cannot give/"}, ""},
		{"stop at failure", []string{"out a", "out b\nfail no", "out c"}, []string{"stdout:a/", "stdout:b/ error:panic:no", ""}, "cell 2 (In [2]): panic: no"},
		{"may fail", []string{"raises-exception| fail no", "out c"}, []string{"error:panic:no", "stdout:c/"}, ""},
		{"skip", []string{"skip-execution| out a", "out b"}, []string{"", "stdout:b/"}, ""},
		{"death", []string{"raises-exception| die", "out b"}, []string{"error:DeadKernel:the process that ran the cell ended", ""}, "cell 1 (In [1]): DeadKernel"},
	} {
		nb := build(c.cells...)
		err := Execute(context.Background(), nb, &script{}, nil)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
		for i, want := range c.want {
			if got := digest(nb.Cells[i]); got != want {
				t.Errorf("%s: cell %d has %q, want %q", c.name, i+1, got, want)
			}
		}
		if err := Validate(nb); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestExecuteAgain(t *testing.T) {
	nb := build("out a", "skip-execution| kept", "fail x", "out never")
	nb.Cells[1].Outputs = []*Output{{Type: Stream, Name: "stdout", Text: "old"}}
	nb.Cells[3].Outputs = []*Output{{Type: Stream, Name: "stdout", Text: "old"}}
	nb.Metadata = nil
	opts := &Options{Language: "go1.26.8"}
	err := Execute(context.Background(), nb, &script{}, opts)
	var cell *CellError
	if !errors.As(err, &cell) || cell.Index != 2 || cell.Source != "fail x" {
		t.Fatalf("error %#v", err)
	}
	if digest(nb.Cells[1]) != "stdout:old" || digest(nb.Cells[3]) != "" || nb.Cells[3].ExecutionCount != nil {
		t.Error("a skipped cell keeps its outputs, one that was not reached has none")
	}
	if nb.Language() != "go" || !strings.Contains(string(nb.Metadata["language_info"]), "go1.26.8") {
		t.Errorf("metadata %s", nb.Metadata)
	}
	var times map[string]string
	if err := json.Unmarshal(nb.Cells[0].Metadata["execution"], &times); err != nil || len(times) != 4 {
		t.Errorf("times %v: %v", times, err)
	}
	opts.NoTiming, opts.KeepGoing = true, true
	if err := Execute(context.Background(), nb, &script{}, opts); !errors.As(err, &cell) || digest(nb.Cells[3]) != "" && digest(nb.Cells[3]) != "stdout:never/" {
		t.Errorf("keep going: %v, %s", err, digest(nb.Cells[3]))
	}
	if digest(nb.Cells[3]) != "stdout:never/" || nb.Cells[0].Metadata["execution"] != nil {
		t.Error("keep going without times")
	}
	nb.Metadata.Set("kernelspec", map[string]string{"name": "python3", "display_name": "Python 3", "language": "python"})
	if err := Execute(context.Background(), nb, &script{}, nil); err == nil || !strings.Contains(err.Error(), "python") {
		t.Errorf("a Python notebook: %v", err)
	}
}

func TestExecuteStops(t *testing.T) {
	nb := build("out a", "raises-exception| block", "out b")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := Execute(ctx, nb, &script{}, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if digest(nb.Cells[1]) != "error:interrupted:stopped" || digest(nb.Cells[2]) != "" {
		t.Errorf("%s, %s", digest(nb.Cells[1]), digest(nb.Cells[2]))
	}
}

func TestExecuteLateOutput(t *testing.T) {
	nb := build("later", "out b")
	s := &script{}
	if err := Execute(context.Background(), nb, s, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := nb.Bytes(); err != nil { // while the goroutine prints: the race detector looks
		t.Fatal(err)
	}
	s.wait.Wait()
}

func TestExecuteFlood(t *testing.T) {
	nb := build("flood")
	if err := Execute(context.Background(), nb, &script{}, nil); err != nil {
		t.Fatal(err)
	}
	text := nb.Cells[0].Outputs[0].Text
	if len(text) > maxStream+1<<10 || !strings.HasSuffix(text, "is left out)\n") {
		t.Errorf("%d bytes, ending %q", len(text), text[max(len(text)-80, 0):])
	}
}

func TestExecuteFile(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.ipynb"), filepath.Join(dir, "out.ipynb")
	if err := build("out a", "fail x").WriteFile(in); err != nil {
		t.Fatal(err)
	}
	var events []string
	opts := &Options{
		Started: func(i int, c *Cell) { events = append(events, fmt.Sprint("start ", i)) },
		Done: func(i int, c *Cell, took time.Duration) {
			events = append(events, fmt.Sprint("done ", i, " ", digest(c)))
		},
	}
	_, err := ExecuteFile(context.Background(), in, out, &script{}, opts)
	if err == nil {
		t.Error("no error")
	}
	if got := strings.Join(events, ", "); got != "start 0, done 0 stdout:a/, start 1, done 1 error:panic:x" {
		t.Error(got)
	}
	nb, err := ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if digest(nb.Cells[0]) != "stdout:a/" || digest(nb.Cells[1]) != "error:panic:x" {
		t.Error("the file lacks what was computed before the failure")
	}
	if _, err := ExecuteFile(context.Background(), in, filepath.Join(out, "x"), &script{}, nil); err == nil {
		t.Error("no error for a path below a file")
	}
}

func TestParseParameter(t *testing.T) {
	for _, c := range []struct{ in, name, code, err string }{
		{"n=5", "n", "5", ""}, {"beta=-1e-3", "beta", "-1e-3", ""}, {"b=true", "b", "true", ""}, {`s="a b"`, "s", `"a b"`, ""},
		{"s=`raw`", "s", "`raw`", ""}, {"s=hello world", "s", `"hello world"`, ""}, {"s=", "s", `""`, ""}, {"s=a=b", "s", `"a=b"`, ""},
		{"v=[]float64{1, -2}", "v", "[]float64{1, -2}", ""}, {"x=os.Exit(1)", "x", `"os.Exit(1)"`, ""}, {"x=1; panic(1)", "x", `"1; panic(1)"`, ""},
		{"x=f(1)", "x", `"f(1)"`, ""}, {"d=2024-01-02", "d", `"2024-01-02"`, ""}, {"c='x'", "c", "'x'", ""},
		{"n", "", "", "want name=value"}, {"1n=3", "", "", "not a Go variable name"}, {"=3", "", "", "not a Go variable name"}, {"func=3", "", "", "not a Go variable name"},
	} {
		p, err := ParseParameter(c.in)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.in, err)
			}
			continue
		}
		if err != nil || p.Name != c.name || p.Code != c.code {
			t.Errorf("%s: %+v, %v", c.in, p, err)
		}
	}
}

func TestInject(t *testing.T) {
	parameters := func(args ...string) []Parameter {
		var out []Parameter
		for _, a := range args {
			p, err := ParseParameter(a)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, p)
		}
		return out
	}
	nb := build("out first", "parameters| n := 10\nvar name, tag string = \"a\", \"b\"\nconst k = 2 // k\nbeta := 1e-3", "out last")
	opts := &Options{Parameters: parameters("n=20", "tag=2024", "k=3", "name=x y")}
	s := &script{}
	if err := Execute(context.Background(), nb, s, opts); err != nil {
		t.Fatal(err)
	}
	want := "// Parameters\nn = 20\ntag = \"2024\"\nconst k = 3\nname = \"x y\""
	if len(nb.Cells) != 4 || nb.Cells[2].Source != want || !nb.Cells[2].HasTag("injected-parameters") || s.ran[2] != want {
		t.Errorf("cells %q", s.ran)
	}
	opts.Parameters = parameters("n=30")
	if err := Execute(context.Background(), nb, s, opts); err != nil || len(nb.Cells) != 4 || nb.Cells[2].Source != "// Parameters\nn = 30" {
		t.Errorf("a second run: %v, %q", err, nb.Cells[2].Source)
	}
	if err := Inject(nb, parameters("m=1")); err == nil || !strings.Contains(err.Error(), "beta, k, n, name, tag") {
		t.Errorf("an unknown parameter: %v", err)
	}
	if err := Inject(build("x := 1"), parameters("x=1")); err == nil || !strings.Contains(err.Error(), "tagged") {
		t.Errorf("no parameters cell: %v", err)
	}
	if err := Inject(build("parameters| x := := 1"), parameters("y=1")); err != nil {
		t.Errorf("a parameters cell that does not parse is the kernel's business: %v", err)
	}
}

// executed is a notebook with every kind of output.
func executed(t *testing.T) *Notebook {
	nb := build("out a\nerr b\nshow i *one*\npng\nvalue <b>x</b>", "raises-exception| fail no")
	nb.Add(Markdown, "# Title\n\n$x^2$")
	nb.Add(Raw, "raw")
	if err := Execute(context.Background(), nb, &script{}, nil); err != nil {
		t.Fatal(err)
	}
	return nb
}
