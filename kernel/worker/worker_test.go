package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gonvex/gonvex/kernel/display"
)

// The test binary is its own worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		os.Exit(Serve(context.Background(), func(h Host) (Interpreter, error) {
			if os.Getenv("FAKE_UNABLE") != "" {
				return nil, errors.New("no tables")
			}
			return &fake{h: h, vars: map[string]string{}}, nil
		}))
	}
	os.Exit(m.Run())
}

// fake understands lines of the form "command argument".
type fake struct {
	h    Host
	vars map[string]string
}

func (f *fake) Run(ctx context.Context, code string, count int, done func(Reply, bool)) bool {
	done(f.Execute(ctx, code, count), true)
	return true
}

func (f *fake) Execute(ctx context.Context, code string, count int) (r Reply) {
	r.Status = OK
	for line := range strings.SplitSeq(code, "\n") {
		cmd, arg, _ := strings.Cut(line, " ")
		n, _ := strconv.Atoi(arg)
		switch cmd {
		case "":
		case "out":
			fmt.Fprint(f.h.Stdout, arg)
		case "err":
			fmt.Fprint(f.h.Stderr, arg)
		case "rawout":
			os.Stdout.WriteString(arg)
		case "rawerr":
			os.Stderr.WriteString(arg)
		case "bytes":
			for _, b := range []byte(arg) {
				f.h.Stdout.Write([]byte{b})
				time.Sleep(12 * time.Millisecond)
			}
		case "lines":
			for i := range n {
				fmt.Fprintln(f.h.Stdout, "line", i)
			}
		case "rawlines":
			w := bufio.NewWriter(os.Stdout)
			for i := range n {
				fmt.Fprintln(w, "line", i)
			}
			w.Flush()
		case "show":
			display.Show(display.HTML(arg))
		case "clear":
			display.Clear(true)
		case "set":
			f.vars["x"] = arg
		case "add":
			f.vars["x"] += arg
		case "killif": // a file of this name is there
			if _, err := os.Stat(arg); err == nil {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				time.Sleep(time.Minute)
			}
		case "spinif":
			if _, err := os.Stat(arg); err == nil {
				<-ctx.Done()
				return Reply{Status: Failed, Ename: "Interrupted", Evalue: "interrupted"}
			}
		case "pure":
			r.Effect = Nothing
		case "forget":
			r.Effect = Forgets
			clear(f.vars)
		case "get":
			r.Value = &display.Bundle{Data: map[string]any{"text/plain": f.vars["x"]}}
		case "count":
			r.Value = &display.Bundle{Data: map[string]any{"text/plain": strconv.Itoa(count)}}
		case "fail":
			return Reply{Status: Failed, Ename: "E", Evalue: arg, Traceback: []string{"at", arg}}
		case "spin":
			for ctx.Err() == nil {
			}
			return Reply{Status: Failed, Ename: "Interrupted", Evalue: "interrupted"}
		case "deaf":
			time.Sleep(time.Hour)
		case "input":
			v, err := f.h.Input("name? ", false)
			if err != nil {
				return Reply{Status: Failed, Ename: "Input", Evalue: err.Error()}
			}
			fmt.Fprint(f.h.Stdout, "hello ", v)
		case "later":
			go func() {
				time.Sleep(50 * time.Millisecond)
				fmt.Fprint(f.h.Stdout, arg)
			}()
		case "panic":
			panic(arg)
		case "gopanic":
			go panic(arg)
			time.Sleep(time.Minute)
		case "overflow":
			debug.SetMaxStack(16 << 20)
			var rec func(n int) int
			rec = func(n int) int { return rec(n+1) + 1 }
			rec(0)
		case "huge":
			x := make([]byte, n<<30)
			for i := range x {
				x[i] = 1
			}
			_ = x
		case "kill":
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Minute)
		case "exit":
			os.Exit(n)
		case "segv":
			syscall.Kill(os.Getpid(), syscall.SIGSEGV)
			time.Sleep(time.Minute)
		case "noise":
			syscall.Write(fdFrames, bytes.Repeat([]byte{0xff}, 100))
			time.Sleep(time.Minute)
		case "close":
			os.Stdout.Close()
		case "child":
			exec.Command("sleep", arg).Start()
		case "pid":
			fmt.Fprint(f.h.Stdout, os.Getpid())
		default:
			return Reply{Status: Failed, Ename: "Syntax", Evalue: line}
		}
	}
	return r
}

func (f *fake) Comm(ctx context.Context, m display.CommMessage) Reply {
	if err := display.Deliver(m); err != nil {
		return Reply{Status: Failed, Ename: NoComm, Evalue: err.Error()}
	}
	return Reply{Status: OK}
}

func (f *fake) Complete(code string, cursor int) Completion {
	if code == "panic" {
		panic("in complete")
	}
	return Completion{Matches: []Match{{code + "ln", "function", "func()"}}, Start: 0, End: cursor}
}

func (f *fake) Inspect(code string, cursor, detail int) (display.Bundle, bool) {
	return display.Bundle{Data: map[string]any{"text/plain": code}}, code != ""
}

func (f *fake) IsComplete(code string) (string, string) {
	if code == "{" {
		return "incomplete", "\t"
	}
	return "complete", ""
}

// record is a sink that writes down what it gets.
type record struct {
	mu    sync.Mutex
	b     strings.Builder
	input func(ctx context.Context) (string, error)
}

func (r *record) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b.WriteString(s)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func (r *record) Stream(name, text string) {
	if name == "stderr" {
		text = "!" + text + "!"
	}
	r.add(text)
}
func (r *record) Display(b display.Bundle, id string, update bool) {
	r.add(fmt.Sprintf("<%v>", b.Data["text/html"]))
}
func (r *record) Comm(m display.CommMessage) {
	r.add(fmt.Sprintf("<comm %d %s %s>", m.Action, m.Target, m.Data))
}
func (r *record) Clear(wait bool) { r.add(fmt.Sprintf("<clear %v>", wait)) }
func (r *record) Input(ctx context.Context, prompt string, password bool) (string, error) {
	if r.input == nil {
		return "", errors.New("not allowed")
	}
	return r.input(ctx)
}

func start(t testing.TB, o Options) *Supervisor {
	t.Helper()
	o.Command = []string{os.Args[0], "worker"}
	if o.Grace == 0 {
		o.Grace = 100 * time.Millisecond
	}
	s, err := Start(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func run(t testing.TB, s *Supervisor, code string) (Reply, string) {
	t.Helper()
	rec := &record{}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := s.Execute(ctx, ExecuteRequest{Code: code, Count: 7}, rec)
	return r, rec.String()
}

func text(r Reply) string {
	if r.Value == nil {
		return ""
	}
	return r.Value.Text()
}

func TestCells(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	for _, c := range []struct{ code, status, out, value string }{
		{"set 42", OK, "", ""},
		{"get", OK, "", "42"},
		{"count", OK, "", "7"},
		{"out A\nerr B\nout C\nshow D\nout E", OK, "A!B!C<D>E", ""},
		{"out A\nrawerr B\nout C\nrawout D\nshow E\nrawerr F\nclear\nrawout G", OK, "A!B!CD<E>!F!<clear true>G", ""},
		{"bytes héé日", OK, "héé日", ""},
		{"out \xff\xe6\x97", OK, "\xff\xe6\x97", ""},
		{"fail why", Failed, "", ""},
		{"panic inside", Failed, "", ""},
		{"get", OK, "", "42"},
	} {
		r, out := run(t, s, c.code)
		if r.Status != c.status || out != c.out || text(r) != c.value {
			t.Errorf("%q: %s %q %q; want %s %q %q (%s)", c.code, r.Status, out, text(r), c.status, c.out, c.value, r.Evalue)
		}
	}
}

func TestNoLineIsLost(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	var want strings.Builder
	for i := range 100000 {
		fmt.Fprintln(&want, "line", i)
	}
	for _, code := range []string{"lines 100000", "rawlines 100000"} {
		if r, out := run(t, s, code); r.Status != OK || out != want.String() {
			t.Errorf("%s: %s, %d bytes, want %d", code, r.Status, len(out), want.Len())
		}
	}
}

func TestExpressions(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	r := s.Execute(context.Background(), ExecuteRequest{Code: "set v", Expressions: map[string]string{"a": "get", "b": "fail x", "c": "set v"}}, nil)
	if r.Status != OK || text(r.Expressions["a"]) != "v" || r.Expressions["b"].Evalue != "x" || r.Expressions["c"].Status != Failed {
		t.Errorf("%+v", r)
	}
}

func TestQuestionsAreAnsweredWhileACellRuns(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	done := make(chan Reply)
	go func() {
		r, _ := run(t, s, "spin")
		done <- r
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := s.Complete(ctx, "Print", 5)
	if err != nil || len(c.Matches) != 1 || c.Matches[0] != (Match{"Println", "function", "func()"}) || c.End != 5 {
		t.Errorf("complete: %+v, %v", c, err)
	}
	if c, err := s.Complete(ctx, "panic", 5); err != nil || len(c.Matches) != 0 {
		t.Errorf("complete with a panic: %+v, %v", c, err)
	}
	if i, err := s.Inspect(ctx, "x", 1, 0); err != nil || !i.Found || i.Bundle.Text() != "x" {
		t.Errorf("inspect: %+v, %v", i, err)
	}
	if st, in, err := s.IsComplete(ctx, "{"); err != nil || st != "incomplete" || in != "\t" {
		t.Errorf("is complete: %q %q %v", st, in, err)
	}
	for s.isRunning() == false {
		time.Sleep(time.Millisecond)
	}
	s.Interrupt()
	if r := <-done; r.Ename != "Interrupted" {
		t.Errorf("interrupted: %+v", r)
	}
}

func (s *Supervisor) isRunning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running != nil
}

func TestInterruptKeepsState(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	run(t, s, "set kept")
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Millisecond, cancel)
		if r := s.Execute(ctx, ExecuteRequest{Code: "spin"}, nil); r.Status != Failed || r.Died {
			t.Fatalf("%+v", r)
		}
	}
	s.Interrupt() // idle: nothing happens
	if r, _ := run(t, s, "get"); text(r) != "kept" {
		t.Errorf("after interrupts: %+v", r)
	}
}

func TestDeafCellIsKilledByTheSecondInterrupt(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	s.Warm(context.Background())
	rec := &record{}
	done := make(chan Reply)
	go func() { done <- s.Execute(context.Background(), ExecuteRequest{Code: "deaf"}, rec) }()
	for !s.isRunning() {
		time.Sleep(time.Millisecond)
	}
	s.Interrupt()
	for !strings.Contains(rec.String(), "still running") {
		time.Sleep(time.Millisecond)
	}
	s.Interrupt()
	r := <-done
	if !r.Died || !strings.Contains(r.Evalue, "second time") {
		t.Errorf("%+v", r)
	}
	if r, _ := run(t, s, "out well"); r.Status != OK {
		t.Errorf("next cell: %+v", r)
	}
}

func TestDeafCellIsKilledAfterALongGrace(t *testing.T) {
	s := start(t, Options{NoSpare: true, Grace: 10 * time.Millisecond, KillAfter: 50 * time.Millisecond})
	s.Warm(context.Background())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if r := s.Execute(ctx, ExecuteRequest{Code: "deaf"}, nil); !r.Died || !strings.Contains(r.Evalue, "did not end") {
		t.Errorf("%+v", r)
	}
}

func TestDeathIsToldAndSurvived(t *testing.T) {
	s := start(t, Options{})
	for _, c := range []struct{ code, want string }{
		{"kill", "signal 9"},
		{"exit 3", "exit code 3"},
		{"gopanic boom", "panic: boom"},
		{"overflow", "stack"},
		{"segv", "SIG"},
		{"noise", "signal 9"},
	} {
		r, _ := run(t, s, "set gone\nout before\n"+c.code)
		all := r.Evalue + strings.Join(r.Traceback, "\n")
		if !r.Died || r.Status != Failed || !strings.Contains(r.Evalue, c.want) || !strings.Contains(all, "definitions are lost") {
			t.Errorf("%s: %+v", c.code, r)
		}
		if r, out := run(t, s, "out on\nget"); r.Status != OK || out != "on" || text(r) != "" {
			t.Errorf("after %s: %s %q %q", c.code, r.Status, out, text(r))
		}
	}
}

func TestGoTraceIsShown(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	r, _ := run(t, s, "gopanic boom")
	if all := strings.Join(r.Traceback, "\n"); !strings.Contains(all, "goroutine ") {
		t.Errorf("no Go trace in\n%s", all)
	}
}

// The race detector's run time needs more address space than the limit leaves.
var raceEnabled bool

func TestMemoryLimit(t *testing.T) {
	if raceEnabled {
		t.Skip("not under the race detector")
	}
	s := start(t, Options{NoSpare: true, MemoryLimit: 1 << 30})
	r, _ := run(t, s, "huge 8")
	if !r.Died || !strings.Contains(r.Evalue, "memory") {
		t.Errorf("%+v", r)
	}
}

func TestDeathWhileIdleIsToldInTheNextCell(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	_, pid := run(t, s, "pid")
	n, _ := strconv.Atoi(pid)
	syscall.Kill(n, syscall.SIGKILL)
	for {
		s.mu.Lock()
		told := s.notice != ""
		s.mu.Unlock()
		if told {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if r, out := run(t, s, "out on"); r.Status != OK || !strings.Contains(out, "definitions are lost") || !strings.HasSuffix(out, "on") {
		t.Errorf("%s %q", r.Status, out)
	}
}

func TestProcessesOfCellsEndWithTheWorker(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	mark := fmt.Sprint(70000 + os.Getpid())
	run(t, s, "child "+mark)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("pgrep", "-f", "^sleep "+mark).Output(); err == nil {
		t.Errorf("still running: %s", out)
	}
}

func TestClosedStdoutIsNotTheEnd(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	run(t, s, "close")
	if r, out := run(t, s, "out still here\nshow x"); r.Status != OK || out != "still here<x>" {
		t.Errorf("%+v %q", r, out)
	}
}

func TestInput(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	rec := &record{input: func(context.Context) (string, error) { return "gopher", nil }}
	if r := s.Execute(context.Background(), ExecuteRequest{Code: "input"}, rec); r.Status != OK || rec.String() != "hello gopher" {
		t.Errorf("%+v %q", r, rec)
	}
	if r, _ := run(t, s, "input"); r.Evalue != "not allowed" {
		t.Errorf("%+v", r)
	}
	asked := make(chan bool)
	rec = &record{input: func(ctx context.Context) (string, error) {
		close(asked)
		<-ctx.Done()
		return "", ctx.Err()
	}}
	go func() {
		<-asked
		s.Interrupt()
	}()
	if r := s.Execute(context.Background(), ExecuteRequest{Code: "input"}, rec); r.Status != Failed {
		t.Errorf("interrupted input: %+v", r)
	}
}

func TestOutputAfterTheCellGoesToItsSink(t *testing.T) {
	s := start(t, Options{NoSpare: true})
	rec := &record{}
	s.Execute(context.Background(), ExecuteRequest{Code: "later tick"}, rec)
	for end := time.Now().Add(10 * time.Second); rec.String() != "tick"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %q", rec)
		}
	}
}

func TestRestart(t *testing.T) {
	s := start(t, Options{})
	run(t, s, "set x")
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if r, out := run(t, s, "get"); text(r) != "" || out != "" {
		t.Errorf("%q %q", text(r), out)
	}
	s.Close()
	if r, _ := run(t, s, "get"); r.Status != Failed || !strings.Contains(r.Evalue, "shut down") {
		t.Errorf("after Close: %+v", r)
	}
}

func TestInterpreterThatCannotStart(t *testing.T) {
	s := start(t, Options{NoSpare: true, Env: append(os.Environ(), "FAKE_UNABLE=1")})
	for range 2 {
		if r, _ := run(t, s, "get"); r.Status != Failed || !strings.Contains(r.Evalue, "no tables") {
			t.Errorf("%+v", r)
		}
	}
	s, err := Start(&Options{Command: []string{"/nonexistent/program"}})
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := run(t, s, "get"); r.Ename != "NoInterpreter" || !strings.Contains(r.Evalue, "/nonexistent") {
		t.Errorf("%+v", r)
	}
}

func TestWorkerThatEndsAtOnceIsNotStartedInALoop(t *testing.T) {
	log := filepath.Join(t.TempDir(), "starts")
	s, err := Start(&Options{Command: []string{"sh", "-c", "echo start >> " + log + "; echo no such library >&2; exit 127"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		if r, _ := run(t, s, "get"); r.Status != Failed || !strings.Contains(r.Evalue, "exit code 127") || !strings.Contains(r.Evalue, "no such library") {
			t.Errorf("%+v", r)
		}
	}
	time.Sleep(50 * time.Millisecond)
	b, _ := os.ReadFile(log)
	if n := strings.Count(string(b), "start"); n > 3 {
		t.Errorf("started %d times for 2 cells", n)
	}
}

func TestBundlesAndRepliesTravel(t *testing.T) {
	b := display.Bundle{
		Data:     map[string]any{"text/plain": "é", "image/png": []byte{1, 2, 3}, "application/json": json.RawMessage(`{"a":1}`)},
		Metadata: map[string]any{"image/png": map[string]any{"width": 3.0}},
	}
	want := Reply{
		Status: Failed, Value: &b, Ename: "n", Evalue: "v", Traceback: []string{"a", "b"}, Warnings: []string{"w"}, Expressions: map[string]Reply{"k": {Status: OK}},
	}
	tk := taker{b: putReply(nil, want)}
	if got := tk.reply(0); tk.err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, tk.err, want)
	}
	tk = taker{b: putBundle(nil, display.Bundle{Data: map[string]any{"application/json": math.NaN()}})}
	if got := tk.bundle(); got.Data["application/json"] != "NaN" {
		t.Errorf("%+v", got)
	}
}

func FuzzTaker(f *testing.F) {
	f.Add(putReply(nil, Reply{Status: OK, Value: &display.Bundle{Data: map[string]any{"a": "b"}}, Expressions: map[string]Reply{"k": {}}}))
	f.Add(putCompletion(nil, Completion{Matches: []Match{{"a", "b", "c"}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, read := range []func(*taker){
			func(t *taker) { t.reply(0) }, func(t *taker) { t.completion() }, func(t *taker) { t.bundle() }, func(t *taker) { t.strings() },
		} {
			read(&taker{b: b})
		}
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			if _, err := readFrame(r); err != nil {
				break
			}
		}
	})
}

func BenchmarkCell(b *testing.B) {
	s := start(b, Options{NoSpare: true})
	run(b, s, "get")
	for b.Loop() {
		s.Execute(context.Background(), ExecuteRequest{Code: "get"}, nil)
	}
}
