package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gonvex/gonvex/kernel/display"
)

// Options configures a [Supervisor]; nil means the defaults.
type Options struct {
	// Command is the worker's argument list: this executable with the argument
	// "worker" when empty.
	Command []string
	Env     []string // of the worker; nil: this process's
	Dir     string   // where the worker starts; empty: here
	// MemoryLimit is how many bytes a worker may use before its cell is stopped;
	// 0 stands for four fifths of what the machine (or container) has.
	MemoryLimit uint64
	// Comms says that sinks pass comms on; without it widgets are static.
	Comms bool
	// NoSpare turns off the second worker that is started ahead so that one that
	// dies is replaced at once.
	NoSpare bool
	// Grace is how long an interrupted cell may take to end before it is told
	// again, by a signal (15 s: the session has given up by then). From then on a
	// second interrupt kills the worker.
	Grace time.Duration
	// KillAfter is how long after an interrupt a cell that has not ended is
	// killed with its worker (45 s).
	KillAfter time.Duration
	Log       *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var v Options
	if o != nil {
		v = *o
	}
	if len(v.Command) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return v, fmt.Errorf("worker: cannot tell which program this is: %w", err)
		}
		v.Command = []string{exe, "worker"}
	}
	if v.MemoryLimit == 0 {
		v.MemoryLimit = machineMemory() / 5 * 4
	}
	if v.Grace <= 0 {
		v.Grace = 15 * time.Second
	}
	if v.KillAfter <= 0 {
		v.KillAfter = 45 * time.Second
	}
	if v.Log == nil {
		v.Log = slog.New(slog.DiscardHandler)
	}
	return v, nil
}

// Supervisor keeps a worker process running and gives it cells. Its methods may
// be called from any goroutine; cells run one after the other.
type Supervisor struct {
	opts Options
	turn chan struct{} // one token: the right to run a cell

	mu      sync.Mutex
	current *process
	spare   *process
	running *execution
	last    Sink   // of the latest cell, for what its goroutines put out later
	notice  string // for the next cell: the worker died with no cell running
	closed  bool
	cells   uint32

	past        []pastCell         // see restore.go
	stopRestore context.CancelFunc // of a restore that is under way
}

// execution is a cell on its way.
type execution struct {
	id      uint32
	sink    Sink
	ctx     context.Context // ends with the cell, and on interrupt
	cancel  context.CancelFunc
	since   time.Time // of the first interrupt, zero before
	killed  string    // why we killed its worker, empty otherwise
	process *process
}

// Start starts a worker and returns at once: a kernel answers before it can run
// cells. That the worker cannot be started is told by the first cell.
func Start(o *Options) (*Supervisor, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{opts: opts, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	s.mu.Lock()
	go func() {
		defer s.mu.Unlock()
		if err := s.renew(); err != nil {
			s.opts.Log.Error("cannot start a worker", "error", err)
		}
	}()
	return s, nil
}

// ErrClosed is the error of a closed supervisor.
var ErrClosed = errors.New("worker: the interpreter has been shut down")

// renew makes current a living process: the spare, or a new one. The caller
// holds s.mu.
func (s *Supervisor) renew() error {
	if s.closed {
		return ErrClosed
	}
	if s.current != nil && s.current.alive() {
		return nil
	}
	if s.spare != nil && s.spare.alive() {
		s.current, s.spare = s.spare, nil
	} else {
		p, err := s.launch()
		if err != nil {
			return err
		}
		s.current = p
	}
	if !s.opts.NoSpare {
		go s.stock(s.current)
	}
	return nil
}

// stock starts a spare once p has been ready for a while, so that it does not
// compete with the first cells.
func (s *Supervisor) stock(p *process) {
	if p.wait(context.Background()) != nil {
		return
	}
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.current != p || s.spare != nil && s.spare.alive() {
		return
	}
	q, err := s.launch()
	if err != nil {
		s.opts.Log.Warn("cannot start a spare worker", "error", err)
		return
	}
	s.spare = q
}

func (s *Supervisor) launch() (*process, error) {
	return launch(s.opts, s.output, s.ended)
}

// ended is called when a process has ended.
func (s *Supervisor) ended(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare == p {
		s.spare = nil
	}
	// One that never got ready lost nothing, and its successor would fare no
	// better: the next cell tries again and tells why it cannot run.
	if s.current == p && !s.closed && s.running == nil && p.started() {
		s.lost(p)
	}
}

// lost replaces a worker that died with no cell running; the next cell tells
// of it. The caller holds s.mu.
func (s *Supervisor) lost(p *process) {
	s.notice = p.obituary() + ". " + s.offer() + "\n"
	if err := s.renew(); err != nil {
		s.opts.Log.Error("cannot start a worker", "error", err)
	}
}

// Warm waits until a worker is ready.
func (s *Supervisor) Warm(ctx context.Context) error {
	s.mu.Lock()
	err := s.renew()
	p := s.current
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return p.wait(ctx)
}

// output passes on what a worker puts out.
func (s *Supervisor) output(p *process, f frame) error {
	s.mu.Lock()
	sink, run := s.last, s.running
	if p != s.current && f.kind != kindComm { // a comm that ends is news all the same
		sink = nil
	}
	s.mu.Unlock()
	t := taker{b: f.body}
	switch f.kind {
	case kindStream:
		name := streams[min(t.byte(), 1)]
		if sink != nil && t.err == nil {
			sink.Stream(name, string(t.b))
		}
	case kindDisplay:
		id, update, b := t.string(), t.bool(), t.bundle()
		if sink != nil && t.err == nil {
			sink.Display(b, id, update)
		}
	case kindClear:
		if wait := t.bool(); sink != nil && t.err == nil {
			sink.Clear(wait)
		}
	case kindComm:
		if m := t.comm(); sink != nil && t.err == nil {
			sink.Comm(m)
		}
	case kindInput:
		prompt, password := t.string(), t.bool()
		go func() {
			value, err := "", errors.New("input: no cell is running to ask for it")
			if run != nil {
				value, err = run.sink.Input(run.ctx, prompt, password)
			}
			reason := ""
			if err != nil {
				reason = err.Error()
			}
			p.send(kindInputReply, f.id, func(b []byte) []byte { return putString(putString(b, value), reason) })
		}()
	}
	return t.err
}

// Execute runs a cell. Output goes to sink while it runs; a nil sink drops it.
// The end of ctx interrupts the cell, whose reply then says so. Execute's reply
// is complete in itself: there is no case in which the next cell cannot be
// tried.
func (s *Supervisor) Execute(ctx context.Context, req ExecuteRequest, sink Sink) Reply {
	if sink == nil {
		sink = Discard
	}
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return interrupted()
	}
	if isRestore(req.Code) {
		req.begun()
		return s.restore(ctx, sink)
	}
	r, p := s.cell(ctx, req, sink)
	if r.Status == OK {
		s.record(req, p, r.Effect)
	}
	return r
}

// cell runs a cell in the present interpreter, which it returns too. The caller
// has the turn.
func (s *Supervisor) cell(ctx context.Context, req ExecuteRequest, sink Sink) (Reply, *process) {
	s.mu.Lock()
	err := s.renew() // may have news of its own
	notice := s.notice
	s.notice = ""
	ready := err == nil && s.current.started()
	s.mu.Unlock()
	if !ready {
		req.begun()
	}
	if err != nil {
		return unable(err), nil
	}
	if notice != "" {
		sink.Stream("stderr", notice)
	}
	keys := make([]string, 0, len(req.Expressions))
	exprs := make([]string, 0, len(req.Expressions))
	for k, e := range req.Expressions {
		keys, exprs = append(keys, k), append(exprs, e)
	}
	return s.task(ctx, sink, func(p *process, id uint32) {
		p.send(kindExecute, id, func(b []byte) []byte {
			b = putInt(putInt(putString(b, req.Code), int64(req.Count)), int64(len(keys)))
			return putStrings(putStrings(b, keys), exprs)
		})
		req.begun()
	})
}

// Comm hands a message of the front end to the interpreter, after the cells
// before it, and returns when what it set off has ended.
func (s *Supervisor) Comm(ctx context.Context, m display.CommMessage, sink Sink) Reply {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return interrupted()
	}
	s.mu.Lock()
	p, last := s.current, s.last
	s.mu.Unlock()
	if m.Action != display.CommOpen && (p == nil || !p.hasComm(m.ID)) {
		return Reply{Status: Failed, Ename: NoComm, Evalue: "there is no such comm"}
	}
	r, p := s.task(ctx, sink, func(p *process, id uint32) {
		p.send(kindComm, id, func(b []byte) []byte { return putComm(b, m) })
	})
	if p != nil && r.Ename != NoComm {
		p.track(m)
	}
	s.mu.Lock()
	s.last = last // goroutines of cells go on where they were
	s.mu.Unlock()
	return r
}

// task has the present interpreter do something that replies. The caller has
// the turn.
func (s *Supervisor) task(ctx context.Context, sink Sink, send func(p *process, id uint32)) (Reply, *process) {
	run := &execution{sink: sink}
	run.ctx, run.cancel = context.WithCancel(ctx)
	defer run.cancel()

	s.mu.Lock()
	err := s.renew()
	if err != nil {
		s.mu.Unlock()
		return unable(err), nil
	}
	p := s.current
	s.cells++
	run.id, run.process = s.cells, p
	s.running, s.last = run, sink
	s.mu.Unlock()
	told := false // the reply says that the worker died
	defer func() {
		s.mu.Lock()
		s.running = nil
		if !told && s.current == p && !p.alive() {
			s.lost(p)
		}
		s.mu.Unlock()
	}()
	if err := p.wait(run.ctx); err != nil {
		if run.ctx.Err() != nil {
			return interrupted(), p
		}
		p.kill()
		<-p.dead
		told = true
		return unable(err), nil
	}
	reply := p.expectReply(run.id)
	send(p, run.id)
	stopped := run.ctx.Done()
	for {
		select {
		case r := <-reply:
			return r, p
		case <-stopped:
			stopped = nil
			go s.press(run)
		case <-p.dead:
			select {
			case r := <-reply: // it finished and died after
				return r, p
			default:
			}
			told = true
			return s.mourn(run), p
		}
	}
}

// press interrupts a cell by steps: a message, a signal, the end of the worker.
func (s *Supervisor) press(run *execution) {
	s.mu.Lock()
	if !run.since.IsZero() || s.running != run {
		s.mu.Unlock()
		return
	}
	run.since = time.Now()
	s.mu.Unlock()
	p := run.process
	p.send(kindInterrupt, run.id, nil)
	if !s.stillRunning(run, s.opts.Grace) {
		return
	}
	p.signal(os.Interrupt)
	run.sink.Stream("stderr", fmt.Sprintf("still running %.3g s after the interrupt, probably inside compiled code that does not look at ctx. "+
		"Interrupt again to end the interpreter (its definitions are lost), or wait.\n", s.opts.Grace.Seconds()))
	if !s.stillRunning(run, s.opts.KillAfter-s.opts.Grace) {
		return
	}
	s.kill(run, fmt.Sprintf("it did not end within %.3g s of the interrupt", s.opts.KillAfter.Seconds()))
}

func (s *Supervisor) kill(run *execution, why string) {
	s.mu.Lock()
	if s.running == run && run.killed == "" {
		run.killed = why
	}
	s.mu.Unlock()
	run.process.kill()
}

// stillRunning waits for d and reports whether the cell still runs then.
func (s *Supervisor) stillRunning(run *execution, d time.Duration) bool {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(max(d/100, time.Millisecond))
	defer tick.Stop()
	for {
		s.mu.Lock()
		gone := s.running != run
		s.mu.Unlock()
		if gone {
			return false
		}
		select {
		case <-end.C:
			return true
		case <-tick.C:
		case <-run.process.dead:
			return false
		}
	}
}

// Interrupt stops the running cell, if there is one. A second call, when the
// cell has had its grace, ends the worker.
func (s *Supervisor) Interrupt() {
	s.mu.Lock()
	run := s.running
	if s.stopRestore != nil {
		s.stopRestore() // also between two of its cells
	}
	again := run != nil && !run.since.IsZero() && time.Since(run.since) >= s.opts.Grace
	s.mu.Unlock()
	switch {
	case run == nil:
	case again:
		s.kill(run, "interrupted a second time")
	default:
		run.cancel()
	}
}

// mourn makes the reply of a cell whose worker died, and brings in the next.
func (s *Supervisor) mourn(run *execution) Reply {
	p := run.process
	s.mu.Lock()
	why, closed := run.killed, s.closed
	err := s.renew()
	s.mu.Unlock()
	if closed {
		return Reply{Status: Aborted, Ename: "Shutdown", Evalue: "the kernel is shutting down", Traceback: []string{}, Died: true}
	}
	r := Reply{Status: Failed, Ename: "InterpreterDied", Died: true}
	if why != "" {
		r.Evalue = "the interpreter process was ended: " + why
		if run.since != (time.Time{}) {
			r.Ename = "Interrupted"
		}
	} else {
		r.Evalue = p.obituary()
	}
	r.Traceback = []string{"\x1b[31;1m" + r.Ename + "\x1b[0m: " + r.Evalue}
	if words := p.lastWords(); why == "" && words != "" {
		r.Traceback = append(r.Traceback, strings.Split(words, "\n")...)
	}
	s.mu.Lock()
	help := s.offer() + " The kernel itself is well."
	s.mu.Unlock()
	if err != nil {
		help = "A new interpreter could not be started: " + err.Error()
	}
	r.Traceback = append(r.Traceback, "\x1b[1mhelp\x1b[0m: "+help)
	return r
}

func interrupted() Reply {
	return Reply{Status: Failed, Ename: "Interrupted", Evalue: "interrupted before it ran", Traceback: []string{"Interrupted: the cell was stopped before it ran"}}
}

func unable(err error) Reply {
	return Reply{Status: Failed, Ename: "NoInterpreter", Evalue: err.Error(), Traceback: []string{
		"\x1b[31;1mNoInterpreter\x1b[0m: " + err.Error(),
		"\x1b[1mhelp\x1b[0m: run the cell again; if that does not help, `gonvex doctor` looks for the reason.",
	}}
}

// ask sends a question about code and waits for the answer.
func (s *Supervisor) ask(ctx context.Context, k kind, body func([]byte) []byte) (taker, error) {
	s.mu.Lock()
	err := s.renew()
	p := s.current
	s.mu.Unlock()
	if err != nil {
		return taker{}, err
	}
	b, err := p.ask(ctx, k, body)
	return taker{b: b}, err
}

// Complete lists completions at a cursor, counted in code points. It does not
// wait for a running cell.
func (s *Supervisor) Complete(ctx context.Context, code string, cursor int) (Completion, error) {
	t, err := s.ask(ctx, kindComplete, func(b []byte) []byte { return putInt(putString(b, code), int64(cursor)) })
	if err != nil || len(t.b) == 0 {
		return Completion{Start: cursor, End: cursor}, err
	}
	c := t.completion()
	return c, t.err
}

// Inspect describes what stands at a cursor.
func (s *Supervisor) Inspect(ctx context.Context, code string, cursor, detail int) (Inspection, error) {
	t, err := s.ask(ctx, kindInspect, func(b []byte) []byte {
		return putInt(putInt(putString(b, code), int64(cursor)), int64(detail))
	})
	if err != nil || len(t.b) == 0 {
		return Inspection{}, err
	}
	v := Inspection{Found: t.bool(), Bundle: t.bundle()}
	return v, t.err
}

// IsComplete says whether code is ready to run: complete, incomplete (with the
// next line's indent), invalid or unknown.
func (s *Supervisor) IsComplete(ctx context.Context, code string) (status, indent string, err error) {
	t, err := s.ask(ctx, kindIsComplete, func(b []byte) []byte { return putString(b, code) })
	if err != nil || len(t.b) == 0 {
		return "unknown", "", err
	}
	status, indent = t.string(), t.string()
	return status, indent, t.err
}

// replace ends a worker that runs no cell and takes a new one.
func (s *Supervisor) replace(p *process) error {
	s.mu.Lock()
	s.current = nil // so that its end is not news
	s.mu.Unlock()
	p.kill()
	<-p.dead
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renew()
}

// Restart ends the worker, with the cell it runs, and takes a new one.
func (s *Supervisor) Restart() error {
	s.mu.Lock()
	p, run := s.current, s.running
	if run != nil && run.killed == "" {
		run.killed = "restarted"
	}
	if run == nil {
		s.current = nil // so that its end is not news
	}
	s.mu.Unlock()
	if p != nil {
		p.kill()
		<-p.dead
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renew()
}

// Close ends the workers, with all processes their cells have started.
func (s *Supervisor) Close() error {
	s.mu.Lock()
	s.closed = true
	ps := []*process{s.current, s.spare}
	s.mu.Unlock()
	for _, p := range ps {
		if p != nil {
			p.kill()
		}
	}
	for _, p := range ps {
		if p != nil {
			<-p.dead
		}
	}
	return nil
}

// Discard is a sink that drops everything.
var Discard Sink = discard{}

type discard struct{}

func (discard) Stream(name, text string)                         {}
func (discard) Display(b display.Bundle, id string, update bool) {}
func (discard) Clear(wait bool)                                  {}
func (discard) Comm(display.CommMessage)                         {}
func (discard) Input(context.Context, string, bool) (string, error) {
	return "", errors.New("input: nobody is there to ask")
}
