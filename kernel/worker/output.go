package worker

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/rawio"
)

// Text is gathered for this long, or to this many bytes, before it is sent: a
// slow printer's line shows at once to the eye, and a fast one does not flood
// Jupyter's servers, which drop messages above a rate.
const (
	gatherTime  = 10 * time.Millisecond
	gatherBytes = 64 << 10
)

var streams = [2]string{"stdout", "stderr"}

// output is the worker's way out: one ordered sequence of frames in which text,
// displays and replies stand as they happened.
//
// Text comes by two ways. The interpreter's own writers put it here directly.
// Compiled and C code, and os.Stdout, write to descriptors 1 and 2, which are
// pipes that this process reads itself. Whatever lies in the pipes was written
// before the event at hand, so it is taken first, and the order of the two ways
// is kept. When the process crashes, the supervisor, which holds the same
// pipes, reads what is left.
type output struct {
	w io.Writer

	mu     sync.Mutex
	buf    []byte // whole frames, but for the text frame at open
	open   int    // where a text frame that can still grow starts; -1 for none
	stream int    // its stream
	cell   uint32 // the cell that output belongs to
	part   [2][]byte
	pipes  [2]int     // read ends of descriptors 1 and 2, -1 for none
	ready  *rawio.Set // of pipes
	armed  bool
	timer  *time.Timer
	err    error

	comms  bool              // the front end takes comms
	divert display.Diversion // where the output of a callback goes
}

func newOutput(w io.Writer) *output {
	o := &output{w: w, open: -1, pipes: [2]int{-1, -1}}
	o.timer = time.AfterFunc(time.Hour, o.tick)
	o.timer.Stop()
	return o
}

// watch reads the pipes for the rest of the process's life. They must be
// non-blocking.
func (o *output) watch(stdout, stderr int) error {
	set, err := rawio.NewSet(stdout, stderr)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.pipes, o.ready = [2]int{stdout, stderr}, set
	o.mu.Unlock()
	for i, fd := range o.pipes {
		raw, err := os.NewFile(uintptr(fd), streams[i]).SyscallConn()
		if err != nil {
			return err
		}
		go o.readPipe(i, raw)
	}
	return nil
}

func (o *output) readPipe(i int, raw syscall.RawConn) {
	raw.Read(func(uintptr) bool {
		for {
			if i == 1 {
				// The runtime's last words begin a moment before it stops all
				// goroutines. Left in the pipe they reach the supervisor whole.
				time.Sleep(2 * time.Millisecond)
			}
			o.mu.Lock()
			more, open := o.takePipe(i)
			o.mu.Unlock()
			if !open {
				return true
			}
			if !more {
				return false // wait until it is readable again
			}
		}
	})
}

// takePipe moves what a pipe holds into the output, up to a bound. It reports
// whether there may be more, and whether the pipe is still open.
func (o *output) takePipe(i int) (more, open bool) {
	var b [16 << 10]byte
	for range 64 {
		if o.pipes[i] < 0 {
			return false, false
		}
		n, err := syscall.Read(o.pipes[i], b[:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return false, true
		case err != nil || n == 0:
			o.pipes[i] = -1
			return false, false
		default:
			o.text(i, b[:n])
		}
	}
	return true, true
}

// settle takes what the pipes hold before something else is put out.
func (o *output) settle() {
	if !o.ready.Readable() {
		return
	}
	// Standard error last: what explains a failure stands next to it.
	for i := range o.pipes {
		for more := true; more; {
			more, _ = o.takePipe(i)
		}
	}
}

// text appends to the output; a rune cut in two waits for its rest.
func (o *output) text(i int, p []byte) {
	if o.divert != nil {
		o.divert.Text(streams[i], p)
		return
	}
	for len(p) > 0 {
		if o.open < 0 || o.stream != i {
			o.closeText()
			o.buf, o.open = begin(o.buf, kindStream, o.cell)
			o.buf = append(o.buf, byte(i))
			o.stream = i
			o.buf = append(o.buf, o.part[i]...)
			o.part[i] = o.part[i][:0]
		}
		n := min(len(p), max(1, gatherBytes-(len(o.buf)-o.open)))
		o.buf = append(o.buf, p[:n]...)
		p = p[n:]
		if len(o.buf) >= gatherBytes {
			o.flush()
		}
	}
	if o.open >= 0 && !o.armed {
		o.armed = true
		o.timer.Reset(gatherTime)
	}
}

// closeText ends the text frame that is open.
func (o *output) closeText() {
	if o.open < 0 {
		return
	}
	head := o.open + frameHead + 1
	if cut := partialRune(o.buf[head:]); cut > 0 {
		o.part[o.stream] = append(o.part[o.stream][:0], o.buf[len(o.buf)-cut:]...)
		o.buf = o.buf[:len(o.buf)-cut]
	}
	if len(o.buf) == head {
		o.buf = o.buf[:o.open]
	} else {
		o.buf = end(o.buf, o.open)
	}
	o.open = -1
}

// partialRune is how many bytes at the end of b begin a rune without ending it.
func partialRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// endText also gives out the beginnings of runes whose rest never came.
func (o *output) endText() {
	o.closeText()
	for i := range o.part {
		if len(o.part[i]) > 0 {
			var at int
			o.buf, at = begin(o.buf, kindStream, o.cell)
			o.buf = append(append(o.buf, byte(i)), o.part[i]...)
			o.buf = end(o.buf, at)
			o.part[i] = o.part[i][:0]
		}
	}
}

func (o *output) flush() {
	o.closeText()
	if len(o.buf) > 0 && o.err == nil {
		_, o.err = o.w.Write(o.buf)
	}
	if cap(o.buf) > 1<<20 {
		o.buf = nil
	}
	o.buf = o.buf[:0]
}

func (o *output) tick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.armed = false
	o.flush()
}

// send puts out one frame, after all text so far, at once.
func (o *output) send(k kind, id uint32, body func(b []byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settle()
	if k == kindReply {
		o.endText()
	} else {
		o.closeText()
	}
	var at int
	o.buf, at = begin(o.buf, k, id)
	if body != nil {
		o.buf = body(o.buf)
	}
	o.buf = end(o.buf, at)
	o.flush()
}

// setCell says whose output comes from now on; what lies in the pipes is still
// that of the cell before.
func (o *output) setCell(id uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.divert = nil // a callback that never ended may have left one
	o.settle()
	o.endText()
	o.cell = id
}

// writer is an io.Writer of one stream.
type writer struct {
	o *output
	i int
}

func (w writer) Write(p []byte) (int, error) {
	w.o.mu.Lock()
	defer w.o.mu.Unlock()
	w.o.settle()
	w.o.text(w.i, p)
	if w.o.err != nil {
		return 0, w.o.err
	}
	return len(p), nil
}

// The methods from here on make an output a display.Publisher.

func (o *output) Display(b display.Bundle, id string, update bool) {
	if d := o.diversion(); d != nil && d.Show(b, id, update) {
		return
	}
	body := putBundle(putBool(putString(nil, id), update), b)
	o.send(kindDisplay, o.current(), func(buf []byte) []byte { return append(buf, body...) })
}

func (o *output) ClearOutput(wait bool) {
	if d := o.diversion(); d != nil {
		d.Clear(wait)
		return
	}
	o.send(kindClear, o.current(), func(b []byte) []byte { return putBool(b, wait) })
}

func (o *output) Comms() bool { return o.comms }

func (o *output) Comm(m display.CommMessage) {
	o.send(kindComm, o.current(), func(b []byte) []byte { return putComm(b, m) })
}

// Divert sends what is put out to d until undo is called.
func (o *output) Divert(d display.Diversion) (undo func()) {
	set := func(d display.Diversion) display.Diversion {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.settle() // what lies in the pipes belongs to the one before
		if d != nil {
			o.closeText()
		}
		old := o.divert
		o.divert = d
		return old
	}
	old := set(d)
	return func() { set(old) }
}

// diversion is the present one; what the pipes hold comes first.
func (o *output) diversion() display.Diversion {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.divert != nil {
		o.settle()
	}
	return o.divert
}

func (o *output) current() uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cell
}
