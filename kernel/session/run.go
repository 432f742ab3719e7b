package session

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
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
	if ce := s.run(ctx, f); ce != nil {
		return s.finish(ce, s.world.Load())
	}
	return nil
}

// run runs f on a goroutine that is left behind if f ignores an interrupt.
func (s *Session) run(ctx context.Context, f func()) *CellError {
	defer s.m.forget()
	end := make(chan *CellError, 1)
	s.gid = "" // neither the new goroutine's nor, afterwards, the old one's
	defer func() { s.gid = "" }()
	go s.watch(ctx, f, func(ce *CellError, _ bool) { end <- ce })
	return <-end
}

// cellRun is a running cell.
type cellRun struct {
	s       *Session
	ctx     *heeded
	stopped chan struct{} // closed when the interpreter has been told to stop
	gid     string        // the goroutine of the cell
	then    func(ce *CellError, well bool)

	mu    sync.Mutex
	cause *CellError // why the cell has been told to stop
	grace *time.Timer
	more  int  // how many times the grace it still gets if its ctx is heeded
	over  bool // somebody calls then
}

// watch runs f on the calling goroutine and watches it: the context, the stack,
// the heap, panics on foreign goroutines. then is called once, with the error
// and whether the goroutine is as it was, which watch returns, too. If not, then
// is called on another goroutine, and this one should end: its stack may be
// large, and it may be that f, told to stop, does not return.
//
// Nothing here wakes another goroutine unless something happens: with each one
// that is woken a second processor is, which costs as much as a small cell.
func (s *Session) watch(ctx context.Context, f func(), then func(ce *CellError, well bool)) (well bool) {
	if ctx.Err() != nil { // compiling it took so long
		then(interrupted(ctx), true)
		return true
	}
	if metric(metricStacks) > s.opt.MaxStack/2 {
		runtime.GC() // stacks of a cell before this one that are not in use any more
	}
	s.rt.take()
	s.m.trace.take()
	m := s.mark
	s.mark = nil // until the cell has ended well
	if m == nil {
		m, s.gid = newMarker(), ""
	}
	if s.gid == "" || getLabel() != unsafe.Pointer(m) { // else it is the goroutine of the cell before
		m.use()
		s.gid = goroutine() // this takes a tenth of a small cell's time
	}
	m.line.Store(0)
	c := &cellRun{s: s, ctx: &heeded{Context: ctx}, stopped: make(chan struct{}), gid: s.gid, then: then, more: heededGrace - 1}
	s.ctxVar.Set(reflect.ValueOf(c.ctx))
	s.rt.running.Store(c)
	s.rt.pulse.start(s.rt)
	unwatched := context.AfterFunc(ctx, func() { c.stop(interrupted(ctx)) })

	o := outcome{panicked: true}
	defer func() { // also when the cell ends its goroutine
		if o.panicked {
			o.at = m.line.Load()
			if o.value = recover(); o.value == nil {
				o.value = "runtime.Goexit called in the cell"
			}
		}
		unwatched()
		mine, cause := c.end()
		if well = mine && cause == nil && !o.panicked; well {
			s.mark = m
			s.rt.running.Store(nil)
			ce := s.ended(o, nil)
			if ce == nil && ctx.Err() != nil { // what heeds it was faster
				ce = interrupted(ctx)
			}
			then(ce, true)
			return
		}
		m.release()
		if mine {
			go c.wound(o, cause)
		}
	}()
	f()
	o.panicked = false
	return
}

// stop tells the cell to stop.
func (c *cellRun) stop(cause *CellError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.cause != nil {
		return
	}
	c.cause = cause
	c.s.m.stop()
	close(c.stopped)
	c.grace = time.AfterFunc(c.s.opt.Grace, c.leave)
}

// end tells the cell's goroutine whether it is still the one to say how the
// cell has ended, and why it had to stop, if it had.
func (c *cellRun) end() (mine bool, cause *CellError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine, c.over = !c.over, true
	if c.grace != nil {
		c.grace.Stop()
	}
	return mine, c.cause
}

// wound ends a cell whose goroutine has ended, but not well.
func (c *cellRun) wound(o outcome, cause *CellError) {
	s := c.s
	if cause != nil {
		s.rt.settle()
		s.m.resume() // all frames of the cell are gone
		if cause.Kind == KindLimit {
			debug.FreeOSMemory()
		}
	}
	s.rt.running.Store(nil)
	c.then(s.ended(o, cause), false)
}

// leave goes on without a cell that does not stop: a compiled call in it does
// not return.
func (c *cellRun) leave() {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return
	}
	if c.more > 0 && c.ctx.yes.Load() {
		c.grace.Reset(time.Duration(c.more) * c.s.opt.Grace)
		c.more = 0
		c.mu.Unlock()
		return
	}
	c.over = true
	c.mu.Unlock()
	// The run id goes back all the same, or every closure made so far would be
	// dead; the goroutine is left behind.
	c.s.m.resume()
	c.s.rt.running.Store(nil)
	c.cause.Advice = "a compiled call is still running in the background and may change variables when it returns; restart the kernel to be rid of it"
	c.then(c.cause, false)
}

// look sees whether the cell takes too much. A stack that only grows is one
// interpreted call chain.
func (c *cellRun) look() {
	o := &c.s.opt
	if metric(metricStacks) > o.MaxStack {
		runtime.GC() // a dead goroutine's stack is no recursion
	}
	if b := metric(metricStacks); b > o.MaxStack {
		c.stop(&CellError{Kind: KindLimit, Msg: fmt.Sprintf("stack overflow: the goroutine stacks reached %d MB (infinite recursion?)", b>>20)})
	}
	if o.MaxHeap > 0 && metric(metricHeap) > o.MaxHeap {
		runtime.GC()
		if b := metric(metricHeap); b > o.MaxHeap {
			c.stop(&CellError{Kind: KindLimit, Msg: fmt.Sprintf("out of memory: the heap reached %d MB", b>>20)})
		}
	}
}

// pulse looks at the running cell every so often, so that Go's own, fatal limits
// are far away. It goes on until it finds no cell: starting it for each of many
// short ones would cost more than they do.
type pulse struct{ beats atomic.Bool }

const pulseEvery = 25 * time.Millisecond

func (p *pulse) start(r *rt) {
	if p.beats.CompareAndSwap(false, true) {
		go p.beat(r)
	}
}

func (p *pulse) beat(r *rt) {
	for {
		time.Sleep(pulseEvery)
		c := r.running.Load()
		if c == nil {
			p.beats.Store(false)
			// A cell that has begun in between has found it beating.
			if r.running.Load() == nil || !p.beats.CompareAndSwap(false, true) {
				return
			}
			continue
		}
		c.look()
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
