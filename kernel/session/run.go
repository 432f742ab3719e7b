package session

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// heeded is the cells' ctx, which notes that somebody looks whether it is done.
type heeded struct {
	context.Context
	yes atomic.Bool
}

func (c *heeded) Done() <-chan struct{} { c.yes.Store(true); return c.Context.Done() }
func (c *heeded) Err() error            { c.yes.Store(true); return c.Context.Err() }
func (c *heeded) String() string        { return fmt.Sprint(c.Context) }

// heededGrace is how many times the grace a cell has whose ctx is heeded: a long
// solve that has been told puts together the best it has, which is what the user
// waits for. What nobody tells will not end.
const heededGrace = 4

const (
	metricStacks = "/memory/classes/heap/stacks:bytes"
	metricHeap   = "/memory/classes/heap/objects:bytes"
)

func metric(name string) uint64 {
	m := []metrics.Sample{{Name: name}}
	metrics.Read(m)
	return m[0].Value.Uint64()
}

// outcome is how a cell's goroutine ended.
type outcome struct {
	value    any // of the panic
	at       int64
	panicked bool
}

// Call runs a compiled function that may call back into cells, as the cells'
// own code is run: with their ctx, and watched.
func (s *Session) Call(ctx context.Context, f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ce := s.watch(ctx, f); ce != nil {
		return s.finish(ce, s.world.Load())
	}
	return nil
}

// run runs a cell that has been compiled.
func (s *Session) run(ctx context.Context, entry func()) *CellError {
	defer s.m.forget()
	return s.watch(ctx, entry)
}

// runner is the goroutine that cells run on. It is kept from cell to cell, with
// the stack that it has grown, as long as they end well.
type runner struct {
	work chan func() (well bool)
	id   string
	mark *marker
}

func newRunner() *runner {
	r := &runner{work: make(chan func() bool), mark: newMarker()}
	id := make(chan string)
	go func(work <-chan func() bool, m *marker) {
		defer m.release()
		id <- goroutine()
		for f := range work {
			m.use()
			m.line.Store(0)
			if !f() {
				return
			}
		}
	}(r.work, r.mark)
	r.id = <-id
	runtime.AddCleanup(r, func(work chan func() bool) { close(work) }, r.work)
	return r
}

// watch runs f and watches it: the context, the stack, the heap, panics on
// foreign goroutines.
func (s *Session) watch(ctx context.Context, f func()) *CellError {
	if metric(metricStacks) > s.opt.MaxStack/2 {
		runtime.GC() // stacks of a cell before this one that are not in use any more
	}
	s.rt.take()
	s.m.trace.take()
	cells := &heeded{Context: ctx}
	s.ctxVar.Set(reflect.ValueOf(cells))
	if s.runner == nil {
		s.runner = newRunner()
	}
	r := s.runner
	s.runner = nil // until the cell has ended well
	c := &cellRun{ctx: ctx, stopped: make(chan struct{}), gid: r.id, foreign: make(chan stray, 1)}
	s.rt.running.Store(c)
	fin := make(chan outcome, 1)
	r.work <- func() bool {
		o := outcome{panicked: true}
		defer func() {
			if o.panicked {
				o.at = r.mark.line.Load()
				if o.value = recover(); o.value == nil {
					o.value = "runtime.Goexit called in the cell"
				}
			}
			fin <- o
		}()
		f()
		o.panicked = false
		select {
		case <-c.stopped: // perhaps for its stack
			return false
		default:
			return true
		}
	}

	// A stack that only grows is one interpreted call chain: look at it often
	// enough that Go's own, fatal limit is far away.
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	done := ctx.Done()
	var cause *CellError
	var late <-chan time.Time
	stop := func(e *CellError) {
		if cause == nil {
			cause = e
			s.m.stop()
			close(c.stopped)
			late = time.After(s.opt.Grace)
		}
	}
	patient := true
	for {
		select {
		case o := <-fin:
			if cause == nil && !o.panicked {
				s.runner = r
			}
			if cause != nil {
				s.rt.settle()
				s.m.resume() // all frames of the cell are gone
				if cause.Kind == KindLimit {
					debug.FreeOSMemory()
				}
			}
			s.rt.running.Store(nil)
			return s.ended(o, cause)
		case p := <-c.foreign:
			stop(s.panicError(p.value, p.at, nil))
		case <-done:
			done = nil
			stop(interrupted(ctx))
		case <-tick.C:
			if metric(metricStacks) > s.opt.MaxStack {
				runtime.GC() // a dead goroutine's stack is no recursion
			}
			if b := metric(metricStacks); b > s.opt.MaxStack {
				stop(&CellError{Kind: KindLimit, Msg: fmt.Sprintf("stack overflow: the goroutine stacks reached %d MB (infinite recursion?)", b>>20)})
			}
			if s.opt.MaxHeap > 0 && metric(metricHeap) > s.opt.MaxHeap {
				runtime.GC()
				if b := metric(metricHeap); b > s.opt.MaxHeap {
					stop(&CellError{Kind: KindLimit, Msg: fmt.Sprintf("out of memory: the heap reached %d MB", b>>20)})
				}
			}
		case <-late:
			if patient && cells.yes.Load() {
				patient = false
				late = time.After((heededGrace - 1) * s.opt.Grace)
				continue
			}
			// A compiled call does not return. The run id goes back all the same, or
			// every closure made so far would be dead; the goroutine is left behind.
			s.m.resume()
			s.rt.running.Store(nil)
			cause.Advice = "a compiled call is still running in the background and may change variables when it returns; restart the kernel to be rid of it"
			return cause
		}
	}
}

func interrupted(ctx context.Context) *CellError {
	msg := "the cell was interrupted"
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		msg += ": " + err.Error()
	}
	return &CellError{Kind: KindInterrupted, Msg: msg}
}

// ended says how the cell ended: cause is why it was stopped, if it was.
func (s *Session) ended(o outcome, cause *CellError) *CellError {
	calls := s.m.calls(s.number)
	if cause != nil {
		return cause
	}
	if o.panicked {
		if e, ok := panicValue(o.value).(exit); ok && e.code == 0 {
			return nil
		}
		return s.panicError(o.value, o.at, calls)
	}
	p, ok := s.rt.stray()
	if !ok {
		return nil
	}
	ce := s.panicError(p.value, p.at, nil)
	ce.Msg = "panic in a goroutine: " + ce.Msg
	return ce
}

// panicError words a panic at a position that emitted code recorded.
func (s *Session) panicError(v any, at int64, calls []string) *CellError {
	ce := &CellError{Kind: KindPanic, Trace: calls}
	if _, ok := panicValue(v).(exit); ok {
		ce.Kind = KindExit
	}
	ce.Msg = s.rt.panicText(v)
	if l := int(at); l > 0 {
		ce.Cell, ce.Line, ce.Col = l/colMul/lineMul, l/colMul%lineMul, l%colMul
	}
	return ce
}
