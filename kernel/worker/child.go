package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/rawio"
)

// Descriptors the supervisor gives the worker, besides 0 (/dev/null) and 1 and
// 2 (the write ends of pipes).
const (
	fdRequests = 3 // frames that are handled as they come: interrupts, questions
	fdStdout   = 4 // read end of 1
	fdStderr   = 5 // read end of 2
	fdCrash    = 6 // write end of the pipe that gets the runtime's last words
	fdCells    = 7 // frames to be handled one after the other: cells
	fdFrames   = 8 // write end of the pipe for the worker's own frames
)

// child is the worker process.
type child struct {
	out   *output
	in    Interpreter
	ready chan struct{} // closed when in is set
	cells *bufio.Reader // of fdCells

	mu     sync.Mutex
	cancel context.CancelFunc // of the running cell
	stop   uint32             // the latest cell that was interrupted
	inputs map[uint32]chan inputReply
	nextIn uint32
}

type inputReply struct {
	value, err string
}

// Serve is the main function of a worker process that runs the interpreter
// which open returns. It ends when the supervisor's end of the pipes closes,
// taking the processes that cells have started with it, and returns the exit
// code.
func Serve(ctx context.Context, open func(Host) (Interpreter, error)) int {
	for fd := fdRequests; fd <= fdFrames; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			fmt.Fprintln(os.Stderr, "gonvex worker: this command is started by the kernel, not by hand")
			return 2
		}
		syscall.CloseOnExec(fd) // not for the processes of cells
		if fd != fdCrash {
			syscall.SetNonblock(fd, true)
		}
	}
	crash := os.NewFile(fdCrash, "crash")
	debug.SetCrashOutput(crash, debug.CrashOptions{})
	crash.Close() // the runtime has its own copy

	c := &child{
		out: newOutput(rawio.New(os.NewFile(fdFrames, "frames"))), ready: make(chan struct{}), inputs: map[uint32]chan inputReply{},
		cells: bufio.NewReader(rawio.New(os.NewFile(fdCells, "cells"))),
	}
	r := bufio.NewReader(rawio.New(os.NewFile(fdRequests, "requests")))
	first, err := readFrame(r)
	if err != nil || first.kind != kindInit {
		return 2
	}
	t := taker{b: first.body}
	limit := uint64(t.int())
	c.out.comms = t.bool()
	if limit > 0 {
		// The collector works harder near the limit, the interpreter stops the
		// cell at it, and the system refuses memory well above it: C code and
		// one huge allocation die here, and not the rest of the machine.
		debug.SetMemoryLimit(int64(limit - limit/10))
		hard := limit + limit/4 + 1<<30
		unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: hard, Max: hard})
	}
	// The interpreter stops deep recursion long before; this is for compiled code.
	debug.SetMaxStack(512 << 20)
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	if err := c.out.watch(fdStdout, fdStderr); err != nil {
		fmt.Fprintln(os.Stderr, "gonvex worker:", err)
		return 2
	}
	display.SetPublisher(c.out)

	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		for range interrupts {
			c.interrupt()
		}
	}()
	// Losing the supervisor ends the process whatever a cell is doing.
	if syscall.Getpgrp() == os.Getpid() {
		defer syscall.Kill(0, syscall.SIGKILL)
	}

	go c.open(ctx, Host{
		Stdout: writer{c.out, 0}, Stderr: writer{c.out, 1}, Publisher: c.out, Input: c.input, MaxHeap: limit,
	}, open)
	for {
		f, err := readFrame(r)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return 1
			}
			return 0
		}
		switch f.kind {
		case kindInterrupt:
			c.mu.Lock()
			c.stop = f.id
			c.mu.Unlock()
			c.interrupt()
		case kindInputReply:
			t := taker{b: f.body}
			c.mu.Lock()
			if ch := c.inputs[f.id]; ch != nil {
				delete(c.inputs, f.id)
				ch <- inputReply{t.string(), t.string()}
			}
			c.mu.Unlock()
		case kindComplete, kindInspect, kindIsComplete:
			go c.answer(f)
		}
	}
}

// open opens the interpreter, then runs cells.
func (c *child) open(ctx context.Context, h Host, open func(Host) (Interpreter, error)) {
	in, err := open(h)
	if err != nil {
		c.out.send(kindUnable, 0, func(b []byte) []byte { return putString(b, err.Error()) })
		return
	}
	c.in = in
	close(c.ready)
	c.out.send(kindReady, 0, nil)
	c.serve(ctx)
}

// serve runs one cell after the other, until one leaves the goroutine in no
// state to run more: then the cell's end has seen to it that another goes on.
// Cells come by a pipe of their own, so that who has read one can run it.
func (c *child) serve(ctx context.Context) {
	for {
		f, err := readFrame(c.cells)
		if err != nil {
			return
		}
		rawio.Work()
		if !c.task(ctx, f) {
			return
		}
	}
}

// task runs what must not run while a cell does: a cell, or what a cell has
// left to be done when the front end says something. It returns whether the
// goroutine can run more.
func (c *child) task(ctx context.Context, f frame) (well bool) {
	cell, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	c.cancel = cancel
	if c.stop == f.id { // the interrupt was faster
		cancel()
	}
	c.mu.Unlock()
	done := func(r Reply) {
		c.mu.Lock()
		c.cancel = nil
		c.mu.Unlock()
		cancel()
		display.Flush()
		c.out.send(kindReply, f.id, func(b []byte) []byte { return putReply(b, r) })
	}
	t := taker{b: f.body}
	if f.kind == kindComm {
		r := malformed
		if m := t.comm(); t.err == nil {
			r = c.protect(func() Reply { return c.in.Comm(cell, m) })
		}
		done(r)
		return true
	}
	code, count, n := t.string(), int(t.int()), int(t.int())
	keys, exprs := t.strings(), t.strings()
	if f.kind != kindExecute || t.err != nil || n != len(keys) || n != len(exprs) {
		done(malformed)
		return true
	}
	c.out.setCell(f.id)
	failed := c.protect(func() Reply {
		well = c.in.Run(cell, code, count, func(r Reply, well bool) {
			if r.Status == OK && n > 0 {
				r.Expressions = c.expressions(cell, keys, exprs, count)
			}
			done(r)
			if !well {
				go c.serve(ctx)
			}
		})
		return Reply{}
	})
	if failed.Status != "" {
		done(failed)
		return true
	}
	return well
}

var malformed = Reply{Status: Failed, Ename: "Internal", Evalue: "malformed frame"}

// expressions evaluates what the front end wants to know after a cell.
func (c *child) expressions(ctx context.Context, keys, exprs []string, count int) map[string]Reply {
	out := map[string]Reply{}
	for i, k := range keys {
		r := c.protect(func() Reply { return c.in.Execute(ctx, exprs[i], count) })
		r.Expressions = nil
		if r.Status == OK && r.Value == nil {
			r = Reply{Status: Failed, Ename: "NoValue", Evalue: fmt.Sprintf("%q is not an expression with a value", exprs[i])}
		}
		out[k] = r
	}
	return out
}

// protect turns a panic of the interpreter itself into an error of the cell.
func (c *child) protect(f func() Reply) (r Reply) {
	defer func() {
		if v := recover(); v != nil {
			buf := make([]byte, 8<<10)
			r = Reply{
				Status: Failed, Ename: "InternalError",
				Evalue:    fmt.Sprintf("the interpreter itself failed: %v", v),
				Traceback: []string{fmt.Sprintf("the interpreter itself failed: %v (please report this cell)", v), string(buf[:runtime.Stack(buf, false)])},
			}
		}
	}()
	return f()
}

// interrupt cancels the running cell and whatever input it waits for.
func (c *child) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel == nil {
		return
	}
	c.cancel()
	for id, ch := range c.inputs {
		delete(c.inputs, id)
		ch <- inputReply{err: "interrupted"}
	}
}

func (c *child) input(prompt string, password bool) (string, error) {
	ch := make(chan inputReply, 1)
	c.mu.Lock()
	if c.cancel == nil {
		c.mu.Unlock()
		return "", errors.New("input: no cell is running to ask for it")
	}
	c.nextIn++
	id := c.nextIn
	c.inputs[id] = ch
	c.mu.Unlock()
	c.out.send(kindInput, id, func(b []byte) []byte { return putBool(putString(b, prompt), password) })
	r := <-ch
	if r.err != "" {
		return "", errors.New(r.err)
	}
	return r.value, nil
}

// answer serves a question about code. It runs beside cells and never waits for
// one; before the interpreter is there it waits for that.
func (c *child) answer(f frame) {
	<-c.ready
	t := taker{b: f.body}
	var body []byte
	defer func() {
		if recover() != nil {
			body = nil // an empty answer: nothing found
		}
		c.out.send(kindAnswer, f.id, func(b []byte) []byte { return append(b, body...) })
	}()
	switch f.kind {
	case kindComplete:
		body = putCompletion(nil, c.in.Complete(t.string(), int(t.int())))
	case kindInspect:
		code, cursor, detail := t.string(), int(t.int()), int(t.int())
		bundle, found := c.in.Inspect(code, cursor, detail)
		body = putBundle(putBool(nil, found), bundle)
	case kindIsComplete:
		status, indent := c.in.IsComplete(t.string())
		body = putString(putString(nil, status), indent)
	}
}
