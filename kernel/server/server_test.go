package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/kerneltest"
	"github.com/gonvex/gonvex/kernel/server"
	"github.com/gonvex/gonvex/kernel/wire"
	"github.com/gonvex/gonvex/kernel/worker"
)

// fake is an interpreter of lines "command argument".
type fake struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	closed chan struct{}
}

func newFake() *fake { return &fake{closed: make(chan struct{})} }

func plain(s string) *display.Bundle {
	return &display.Bundle{Data: map[string]any{"text/plain": s}}
}

func (f *fake) Execute(ctx context.Context, q worker.ExecuteRequest, out worker.Sink) (r worker.Reply) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	f.cancel = cancel
	f.mu.Unlock()
	r.Status = worker.OK
	for line := range strings.SplitSeq(q.Code, "\n") {
		cmd, arg, _ := strings.Cut(line, " ")
		switch cmd {
		case "":
		case "out":
			out.Stream("stdout", arg)
		case "err":
			out.Stream("stderr", arg)
		case "show":
			out.Display(display.Bundle{Data: map[string]any{
				"text/plain": arg, "image/png": []byte{1, 2}, "application/json": json.RawMessage(`{"a":[1]}`), "image/svg+xml": []byte("<svg/>"),
			}}, "id1", false)
		case "update":
			out.Display(*plain(arg), "id1", true)
		case "clear":
			out.Clear(true)
		case "value":
			r.Value = plain(arg)
		case "warn":
			r.Warnings = append(r.Warnings, arg)
		case "fail":
			return worker.Reply{Status: worker.Failed, Ename: "E", Evalue: arg, Traceback: []string{arg}}
		case "wait":
			select {
			case <-ctx.Done():
			case <-f.closed:
			}
			return worker.Reply{Status: worker.Failed, Ename: "Interrupted", Evalue: "interrupted"}
		case "sleep":
			d, _ := time.ParseDuration(arg)
			time.Sleep(d)
		case "ask":
			v, err := out.Input(ctx, arg, true)
			if err != nil {
				return worker.Reply{Status: worker.Failed, Ename: "Input", Evalue: err.Error()}
			}
			out.Stream("stdout", "got "+v)
		case "panic":
			panic(arg)
		case "lines":
			for i := range 20000 {
				out.Stream("stdout", fmt.Sprintln("line", i))
			}
		case "big":
			out.Stream("stdout", strings.Repeat("é", 1<<20))
		}
	}
	for k, e := range q.Expressions {
		if r.Expressions == nil {
			r.Expressions = map[string]worker.Reply{}
		}
		if e == "bad" {
			r.Expressions[k] = worker.Reply{Status: worker.Failed, Ename: "E", Evalue: "bad"}
		} else {
			r.Expressions[k] = worker.Reply{Status: worker.OK, Value: plain(e)}
		}
	}
	return r
}

// Comm knows one comm, "known", of the target "t".
func (f *fake) Comm(_ context.Context, m display.CommMessage, out worker.Sink) worker.Reply {
	if m.Action == display.CommOpen && m.Target != "t" || m.Action != display.CommOpen && m.ID != "known" {
		return worker.Reply{Status: worker.Failed, Ename: worker.NoComm}
	}
	if m.Action == display.CommSend {
		m.Metadata, m.Buffers = []byte(`{"version":"2.1.0"}`), append(m.Buffers, []byte{7})
		out.Comm(m)
	}
	return worker.Reply{Status: worker.OK}
}

func (f *fake) Complete(_ context.Context, code string, cursor int) (worker.Completion, error) {
	if code == "none" {
		return worker.Completion{}, errors.New("no")
	}
	return worker.Completion{Matches: []worker.Match{{Text: "Println", Kind: "function", Signature: "func()"}}, Start: 0, End: cursor}, nil
}

func (f *fake) Inspect(_ context.Context, code string, cursor, detail int) (worker.Inspection, error) {
	return worker.Inspection{Found: code == "x", Bundle: *plain("x int")}, nil
}

func (f *fake) IsComplete(_ context.Context, code string) (string, string, error) {
	if code == "{" {
		return "incomplete", "\t", nil
	}
	return "complete", "", nil
}

func (f *fake) Interrupt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancel != nil {
		f.cancel()
	}
}

func (f *fake) Close() error {
	close(f.closed)
	return nil
}

func start(t *testing.T) *kerneltest.Client {
	return kerneltest.Start(t, &server.Options{Interpreter: newFake(), Banner: "hello", Version: "0.1"})
}

func field(t *testing.T, m *wire.Message, name string) any {
	t.Helper()
	var c map[string]any
	if err := m.Unmarshal(&c); err != nil {
		t.Fatal(err)
	}
	return c[name]
}

func TestKernelInfo(t *testing.T) {
	c := start(t)
	for _, channel := range []string{"shell", "control"} {
		m, _ := c.Request(channel, "kernel_info_request", wire.Empty{})
		if field(t, m, "banner") != "hello" || field(t, m, "protocol_version") != "5.5" {
			t.Errorf("%s: %s", channel, m.Content)
		}
	}
	c.Request("control", "connect_request", wire.Empty{})
	if !c.Heartbeat() {
		t.Error("no heartbeat")
	}
}

func TestExecute(t *testing.T) {
	c := start(t)
	no := false
	for _, x := range []struct {
		q      wire.ExecuteRequest
		status string
		count  int
		log    string
		types  string
	}{
		{wire.ExecuteRequest{Code: "value 42"}, "ok", 1, "[42]", "execute_input execute_result"},
		{wire.ExecuteRequest{Code: "out A\nerr B\nupdate x\nclear\nout C"}, "ok", 2, "AB<text/plain>C", "execute_input stream stream update_display_data clear_output stream"},
		{wire.ExecuteRequest{Code: "fail why"}, "error", 3, "{E}", "execute_input error"},
		{wire.ExecuteRequest{Code: "out a\nvalue 1", Silent: true}, "ok", 3, "", ""},
		{wire.ExecuteRequest{Code: "fail x", Silent: true}, "error", 3, "", ""},
		{wire.ExecuteRequest{Code: "value 1", StoreHistory: &no}, "ok", 3, "[1]", "execute_input execute_result"},
		{wire.ExecuteRequest{Code: "warn mind\nvalue 1"}, "ok", 4, "warning: mind\n[1]", "execute_input stream execute_result"},
		{wire.ExecuteRequest{Code: ""}, "ok", 5, "", "execute_input"},
	} {
		r := c.ExecuteWith(x.q)
		if r.Status != x.status || r.Count != x.count || r.Log != x.log || strings.Join(r.Types, " ") != x.types {
			t.Errorf("%+v:\n got %s %d %q %v\nwant %s %d %q %s", x.q, r.Status, r.Count, r.Log, r.Types, x.status, x.count, x.log, x.types)
		}
	}
}

func TestBundles(t *testing.T) {
	c := start(t)
	_, published := c.Request("shell", "execute_request", wire.ExecuteRequest{Code: "show hi"})
	i := slices.IndexFunc(published, func(m *wire.Message) bool { return m.Header.MsgType == "display_data" })
	data := field(t, published[i], "data").(map[string]any)
	want := map[string]any{"text/plain": "hi", "image/png": "AQI=", "image/svg+xml": "<svg/>"}
	for k, v := range want {
		if data[k] != v {
			t.Errorf("%s: %v, want %v", k, data[k], v)
		}
	}
	if _, ok := data["application/json"].(map[string]any); !ok {
		t.Errorf("application/json is a %T, want an object", data["application/json"])
	}
	if tr := field(t, published[i], "transient").(map[string]any); tr["display_id"] != "id1" {
		t.Errorf("transient %v", tr)
	}
}

func TestUserExpressions(t *testing.T) {
	c := start(t)
	r := c.ExecuteWith(wire.ExecuteRequest{Code: "", UserExpressions: map[string]string{"a": "1", "b": "bad"}})
	u := field(t, r.Reply, "user_expressions").(map[string]any)
	if u["a"].(map[string]any)["status"] != "ok" || u["b"].(map[string]any)["status"] != "error" {
		t.Errorf("%v", u)
	}
}

func TestStopOnError(t *testing.T) {
	c := start(t)
	send := func(code string, stop *bool) string {
		return c.Send("shell", "execute_request", wire.ExecuteRequest{Code: code, StopOnError: stop})
	}
	no := false
	ids := []string{send("sleep 200ms\nfail x", nil), send("value 1", nil), send("value 2", nil)}
	for i, want := range []string{"error", "aborted", "aborted"} {
		if r := c.Outcome(ids[i]); r.Status != want {
			t.Errorf("cell %d: %s, want %s", i, r.Status, want)
		}
	}
	if r := c.Execute("value 3"); r.Status != "ok" || r.Count != 2 {
		t.Errorf("after the abort: %s, count %d", r.Status, r.Count)
	}
	ids = []string{send("sleep 100ms\nfail x", &no), send("value 1", nil)}
	c.Outcome(ids[0])
	if r := c.Outcome(ids[1]); r.Status != "ok" {
		t.Errorf("stop_on_error false: %s", r.Status)
	}
}

func TestQuestions(t *testing.T) {
	c := start(t)
	at := 5
	m, _ := c.Request("shell", "complete_request", wire.CompleteRequest{Code: "Print", CursorPos: &at})
	if fmt.Sprint(field(t, m, "matches")) != "[Println]" {
		t.Errorf("%s", m.Content)
	}
	far := 1 << 40
	m, _ = c.Request("shell", "complete_request", wire.CompleteRequest{Code: "none", CursorPos: &far})
	if field(t, m, "status") != "ok" || field(t, m, "cursor_start") != 4.0 {
		t.Errorf("%s", m.Content)
	}
	m, _ = c.Request("shell", "inspect_request", wire.InspectRequest{Code: "x"})
	if field(t, m, "found") != true {
		t.Errorf("%s", m.Content)
	}
	c.Request("shell", "inspect_request", wire.InspectRequest{Code: "y"})
	m, _ = c.Request("shell", "is_complete_request", wire.IsCompleteRequest{Code: "{"})
	if field(t, m, "indent") != "\t" {
		t.Errorf("%s", m.Content)
	}
	c.Request("shell", "comm_info_request", wire.CommInfoRequest{})
	c.Request("control", "debug_request", wire.DebugRequest{Seq: 1, Type: "request", Command: "initialize"})
}

// While a cell runs, everything but another cell is answered, and the kernel
// can be interrupted.
func TestBesideACell(t *testing.T) {
	c := start(t)
	cell := c.Send("shell", "execute_request", wire.ExecuteRequest{Code: "out on\nwait"})
	for m := c.Next("iopub"); m.Header.MsgType != "stream"; m = c.Next("iopub") {
	}
	for _, q := range []struct {
		channel, msgType string
		content          any
	}{
		{"shell", "complete_request", wire.CompleteRequest{Code: "P"}},
		{"shell", "inspect_request", wire.InspectRequest{Code: "x"}},
		{"shell", "is_complete_request", wire.IsCompleteRequest{Code: "x"}},
		{"shell", "history_request", wire.HistoryRequest{AccessType: "tail"}},
		{"shell", "comm_info_request", wire.CommInfoRequest{}},
		{"control", "kernel_info_request", wire.Empty{}},
	} {
		c.Request(q.channel, q.msgType, q.content)
	}
	c.Send("control", "interrupt_request", wire.Empty{})
	m, published := c.Wait("shell", cell)
	if field(t, m, "ename") != "Interrupted" {
		t.Errorf("%s", m.Content)
	}
	busy := 0
	for _, m := range published {
		if kerneltest.StateOf(m) == "busy" {
			busy++
		}
	}
	if busy < 6 {
		t.Errorf("busy was said again %d times for the cell, want once after each of 6 questions", busy)
	}
	if r := c.Execute("value 1"); r.Status != "ok" {
		t.Errorf("after the interrupt: %+v", r)
	}
}

func TestStdin(t *testing.T) {
	c := start(t)
	c.OnInput = func(q wire.InputRequest) string { return q.Prompt + "!" }
	if r := c.Execute("ask name"); r.Stdout != "got name!" {
		t.Errorf("%+v", r)
	}
	no := false
	if r := c.ExecuteWith(wire.ExecuteRequest{Code: "ask name", AllowStdin: &no}); r.Status != "error" || !strings.Contains(r.Evalue, "input") {
		t.Errorf("%+v", r)
	}
	id := c.Send("shell", "execute_request", wire.ExecuteRequest{Code: "ask name"})
	c.Next("stdin")
	c.Send("control", "interrupt_request", wire.Empty{})
	if r := c.Outcome(id); r.Status != "error" || !strings.Contains(r.Evalue, "interrupted") {
		t.Errorf("%+v", r)
	}
}

func TestOutputIsCompleteAndInPieces(t *testing.T) {
	c := start(t)
	var want strings.Builder
	for i := range 20000 {
		fmt.Fprintln(&want, "line", i)
	}
	if r := c.Execute("lines"); r.Stdout != want.String() {
		t.Errorf("%d bytes, want %d", len(r.Stdout), want.Len())
	}
	r := c.Execute("big")
	if r.Stdout != strings.Repeat("é", 1<<20) || len(r.Types) < 10 {
		t.Errorf("%d bytes in %d messages", len(r.Stdout), len(r.Types))
	}
}

func TestBadRequestsAreAnswered(t *testing.T) {
	c := start(t)
	type m = map[string]any
	for _, q := range []struct {
		msgType string
		content any
	}{
		{"execute_request", m{"code": 3}}, {"complete_request", m{"cursor_pos": "x"}}, {"inspect_request", m{"code": false}},
		{"is_complete_request", m{"code": m{}}}, {"history_request", m{}}, {"history_request", m{"hist_access_type": "all"}},
		{"no_such_request", m{}}, {"create_subshell_request", m{}}, {"execute_request", m{"code": "panic now"}},
	} {
		r, _ := c.Request("shell", q.msgType, q.content)
		if field(t, r, "status") != "error" {
			t.Errorf("%s %v: %s", q.msgType, q.content, r.Content)
		}
	}
	for _, q := range []string{"comm_open", "comm_msg", "comm_close", "execute_reply", "x", "_request"} {
		c.Send("shell", q, m{"comm_id": 7})
	}
	if r := c.Execute("value 1"); r.Status != "ok" {
		t.Errorf("%+v", r)
	}
}

func TestForgedAndReplayedMessagesAreDropped(t *testing.T) {
	c := start(t)
	m, err := c.Codec().New("execute_request", wire.ExecuteRequest{Code: "value 1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	frames, _ := c.Codec().Encode(m)
	c.SendFrames("shell", frames)
	c.Outcome(m.Header.MsgID)
	c.SendFrames("shell", frames) // again
	forged := slices.Clone(frames)
	forged[1] = []byte(strings.Repeat("0", 64))
	c.SendFrames("shell", forged)
	c.SendFrames("control", forged)
	c.SendFrames("shell", [][]byte{[]byte("nonsense")})
	if r := c.Execute("value 2"); r.Count != 2 {
		t.Errorf("count %d, want 2: a message was obeyed twice", r.Count)
	}
}

func TestUnknownCommIsClosed(t *testing.T) {
	c := start(t)
	id := c.Send("shell", "comm_open", wire.CommOpen{CommID: "c1", TargetName: "nobody", Data: []byte("{}")})
	for {
		m := c.Next("iopub")
		if m.Header.MsgType == "comm_close" && kerneltest.ParentOf(m) == id {
			break
		}
	}
}

func TestTwoClients(t *testing.T) {
	a := start(t)
	b := a.Another()
	ra := a.Send("shell", "execute_request", wire.ExecuteRequest{Code: "value a"})
	rb := b.Send("shell", "execute_request", wire.ExecuteRequest{Code: "value b"})
	if r := a.Outcome(ra); r.Log != "[a]" {
		t.Errorf("%+v", r)
	}
	if r := b.Outcome(rb); r.Log != "[b]" {
		t.Errorf("%+v", r)
	}
}

func TestShutdownWhileBusy(t *testing.T) {
	c := start(t)
	c.Send("shell", "execute_request", wire.ExecuteRequest{Code: "wait"})
	c.Shutdown()
}

func TestHistory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "history.jsonl")
	run := func(cells ...string) *kerneltest.Client {
		c := kerneltest.Start(t, &server.Options{Interpreter: newFake(), History: file})
		for _, code := range cells {
			c.Execute(code)
		}
		return c
	}
	list := func(c *kerneltest.Client, q wire.HistoryRequest) string {
		t.Helper()
		m, _ := c.Request("shell", "history_request", q)
		return fmt.Sprint(field(t, m, "history"))
	}
	run().Shutdown()
	if _, err := os.Stat(file); err == nil {
		t.Error("a kernel that ran nothing has left a history")
	}
	first := run("value 1", "value 2", "out x")
	first.Shutdown()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("history file: %v, %v", info, err)
	}
	f, _ := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	f.WriteString("not json\n{\"session\":-3}\n")
	f.Close()
	c := run("value 2", "value 3")
	two, one, four := 2, 1, 4
	for _, x := range []struct {
		q    wire.HistoryRequest
		want string
	}{
		{wire.HistoryRequest{AccessType: "tail", N: &two}, "[[2 1 value 2] [2 2 value 3]]"},
		{wire.HistoryRequest{AccessType: "tail", N: &four, Output: true}, "[[1 2 [value 2 2]] [1 3 [out x <nil>]] [2 1 [value 2 2]] [2 2 [value 3 3]]]"},
		{wire.HistoryRequest{AccessType: "range", Session: 0, Start: 1, Stop: &two}, "[[2 1 value 2]]"},
		{wire.HistoryRequest{AccessType: "range", Session: -1, Start: 2}, "[[1 2 value 2] [1 3 out x]]"},
		{wire.HistoryRequest{AccessType: "range", Session: 1, Start: 1, Stop: &two}, "[[1 1 value 1]]"},
		{wire.HistoryRequest{AccessType: "range", Session: 99}, "[]"},
		{wire.HistoryRequest{AccessType: "search", Pattern: "value [23]"}, "[[1 2 value 2] [2 1 value 2] [2 2 value 3]]"},
		{wire.HistoryRequest{AccessType: "search", Pattern: "v*2", Unique: true}, "[[2 1 value 2]]"},
		{wire.HistoryRequest{AccessType: "search", Pattern: "*", N: &one}, "[[2 2 value 3]]"},
		{wire.HistoryRequest{AccessType: "search", Pattern: "value"}, "[]"},
	} {
		if got := list(c, x.q); got != x.want {
			t.Errorf("%+v: %s, want %s", x.q, got, x.want)
		}
	}
	c.Shutdown()
	// A session number within a long cell is none.
	run("value " + strings.Repeat("x", 5000) + `{"session":77,` + strings.Repeat("x", 5000)).Shutdown()
	if got := list(run("value 4"), wire.HistoryRequest{AccessType: "tail", N: &one}); got != "[[4 1 value 4]]" {
		t.Errorf("after a long cell: %s", got)
	}
}

func TestHistoryOnABrokenDiskStopsNothing(t *testing.T) {
	c := kerneltest.Start(t, &server.Options{Interpreter: newFake(), History: "/dev/full"})
	if r := c.Execute("value 1"); r.Status != "ok" {
		t.Errorf("%+v", r)
	}
}

func TestConnectionFile(t *testing.T) {
	dir := t.TempDir()
	for name, x := range map[string]struct{ content, want string }{
		"missing":   {"", "cannot read"},
		"nonsense":  {"hello", "not a connection file"},
		"transport": {`{"transport":"inproc"}`, "inproc"},
		"port":      {`{"shell_port":70000}`, "shell_port"},
		"ipc":       {`{"transport":"ipc"}`, "ip"},
	} {
		path := filepath.Join(dir, name)
		if x.content != "" {
			os.WriteFile(path, []byte(x.content), 0o600)
		}
		if err := server.Run(context.Background(), path, nil); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, x.want)
		}
	}
	path := filepath.Join(dir, "open")
	os.WriteFile(path, []byte(`{"key":"secret","ip":""}`), 0o644)
	c, warning, err := server.ReadConnection(path)
	if err != nil || warning == "" || strings.Contains(warning, "secret") || c.IP != "127.0.0.1" || c.Transport != "tcp" {
		t.Errorf("%+v %q %v", c, warning, err)
	}
	for content, want := range map[string]string{
		`{"key":"k","ip":"127.0.0.1"}`: "", `{"key":"k","ip":"::1"}`: "", `{"key":"k","transport":"ipc","ip":"/x"}`: "",
		`{"key":"k","ip":"0.0.0.0"}`: "not encrypted", `{"key":"k","ip":"192.0.2.1"}`: "192.0.2.1", `{"key":"","ip":"127.0.0.1"}`: "no key",
	} {
		path := filepath.Join(dir, "warn")
		os.WriteFile(path, []byte(content), 0o600)
		if _, warning, err := server.ReadConnection(path); err != nil || !strings.Contains(warning, want) || want == "" && warning != "" {
			t.Errorf("%s: warning %q, want %q", content, warning, want)
		}
	}
	if _, err := server.New(server.Connection{SignatureScheme: "rot13"}, &server.Options{Interpreter: newFake()}); err == nil {
		t.Error("signature scheme rot13 accepted")
	}
}

// A kernel on real sockets, of both transports.
func TestRun(t *testing.T) {
	for _, conn := range []server.Connection{
		{Transport: "ipc", IP: filepath.Join(t.TempDir(), "k"), ShellPort: 1, IOPubPort: 2, StdinPort: 3, ControlPort: 4, HBPort: 5, Key: "k"},
	} {
		path := filepath.Join(t.TempDir(), "connection.json")
		b, _ := json.Marshal(conn)
		os.WriteFile(path, b, 0o600)
		ended := make(chan error, 1)
		go func() {
			ended <- server.Run(context.Background(), path, &server.Options{Interpreter: newFake(), History: "none"})
		}()
		c := kerneltest.Dial(t, conn)
		if r := c.Execute("value 1"); r.Log != "[1]" {
			t.Errorf("%+v", r)
		}
		c.Shutdown()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
