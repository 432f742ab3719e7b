package server_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gonvex/gonvex/kernel/kerneltest"
	"github.com/gonvex/gonvex/kernel/server"
	"github.com/gonvex/gonvex/kernel/wire"
	"github.com/gonvex/gonvex/kernel/worker"
)

// The test binary is its own worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		os.Exit(worker.Main(context.Background()))
	}
	os.Exit(m.Run())
}

// The whole kernel: server, supervisor, worker process, session.
func TestWithTheRealInterpreter(t *testing.T) {
	c := kerneltest.Start(t, &server.Options{Worker: &worker.Options{Command: []string{os.Args[0], "worker"}, NoSpare: true}})
	for _, x := range []struct{ code, status, log string }{
		{"x := 6\nx * 7", "ok", "[42]"},
		{`fmt.Println("A"); fmt.Fprintln(os.Stderr, "B"); fmt.Println("C"); display.Clear(false); fmt.Fprintln(os.Stdout, "D")`, "ok", "A\nB\nC\nD\n"},
		{"x +", "error", "{SyntaxError}"},
		{`panic("boom")`, "error", "{Panic}"},
		{"x", "ok", "[6]"},
	} {
		if r := c.Execute(x.code); r.Status != x.status || r.Log != x.log {
			t.Errorf("%q: %s %q %s, want %s %q", x.code, r.Status, r.Log, r.Evalue, x.status, x.log)
		}
	}
	m, _ := c.Request("shell", "complete_request", wire.CompleteRequest{Code: "fmt.Printl"})
	if !strings.Contains(string(m.Content), `"Println"`) {
		t.Errorf("completion: %s", m.Content)
	}

	// A cell that is interrupted keeps what was there.
	id := c.Send("shell", "execute_request", wire.ExecuteRequest{Code: "fmt.Println(os.Getpid())\nfor {}"})
	pid := 0
	for pid == 0 {
		if m := c.Next("iopub"); m.Header.MsgType == "stream" {
			var s wire.Stream
			m.Unmarshal(&s)
			pid, _ = strconv.Atoi(strings.TrimSpace(s.Text))
		}
	}
	c.Send("control", "interrupt_request", wire.Empty{})
	for kerneltest.ParentOf(c.Next("shell")) != id {
	}
	if r := c.Execute("x"); r.Log != "[6]" {
		t.Errorf("after the interrupt: %+v", r)
	}

	// kill -9 of the worker during a cell.
	id = c.Send("shell", "execute_request", wire.ExecuteRequest{Code: "fmt.Print(`on`)\nfor {}"})
	for m := c.Next("iopub"); m.Header.MsgType != "stream"; m = c.Next("iopub") {
	}
	syscall.Kill(pid, syscall.SIGKILL)
	for {
		if m := c.Next("shell"); kerneltest.ParentOf(m) == id {
			if s := string(m.Content); !strings.Contains(s, "signal 9") || !strings.Contains(s, "definitions are lost") {
				t.Errorf("the death is told as %s", s)
			}
			break
		}
	}
	if r := c.Execute("y := 1\ny"); r.Log != "[1]" {
		t.Errorf("after the worker's death: %+v", r)
	}
}
