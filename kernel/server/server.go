// Package server is the Jupyter side of the kernel: it listens on the five
// sockets of a connection file and answers messages. Each type of message is a
// file msg_NAME.go that puts its handler into one table; what holds for every
// message (busy and idle around it, a reply whatever happens, a panic turned
// into an error) is in one place, [Server.serve]. Cells run in the worker, see
// package worker.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/transport"
	"github.com/gonvex/gonvex/kernel/wire"
	"github.com/gonvex/gonvex/kernel/worker"
)

// Interpreter runs cells and answers questions about code; a
// *worker.Supervisor is one.
type Interpreter interface {
	Execute(context.Context, worker.ExecuteRequest, worker.Sink) worker.Reply
	Complete(ctx context.Context, code string, cursor int) (worker.Completion, error)
	Inspect(ctx context.Context, code string, cursor, detail int) (worker.Inspection, error)
	IsComplete(ctx context.Context, code string) (status, indent string, err error)
	Comm(context.Context, display.CommMessage, worker.Sink) worker.Reply
	Interrupt()
	Close() error
}

// Options configures a server; nil means the defaults.
type Options struct {
	// Banner greets the user of a console; it should say which BLAS is live.
	Banner string
	// Version of the kernel, for kernel_info.
	Version string
	// Worker configures the process that runs cells.
	Worker *worker.Options
	// Interpreter takes the place of a worker process; tests give one.
	Interpreter Interpreter
	// History is the file of past cells; empty for the user's own, "none" to
	// keep no file.
	History string
	// Log receives warnings; nil drops them. The key is never logged.
	Log *slog.Logger
}

// Sockets are the five a kernel listens on.
type Sockets struct {
	Shell, Control, Stdin, IOPub, HB *transport.Socket
}

func (k *Sockets) all() []*transport.Socket {
	return []*transport.Socket{k.HB, k.Stdin, k.Shell, k.Control, k.IOPub}
}

// Close ends the sockets, giving queued messages up to linger to leave.
func (k *Sockets) Close(linger time.Duration) {
	var wg sync.WaitGroup
	for _, s := range k.all() {
		if s != nil {
			wg.Go(func() { s.Close(linger) })
		}
	}
	wg.Wait()
}

// Server answers the messages of one kernel.
type Server struct {
	opts    Options
	log     *slog.Logger
	conn    Connection
	codec   *wire.Codec
	topic   string
	sockets Sockets
	interp  Interpreter
	history *history
	comms   comms
	stdin   stdin
	stop    context.CancelFunc

	cells  chan *request // waiting to run, in order
	beside chan *request // questions, answered while a cell runs

	mu      sync.Mutex
	last    chan struct{} // closed when the latest cell queued has ended
	count   int           // execution count
	aborted time.Time     // cells that had arrived by then do not run

	subscribed chan struct{} // closed when iopub has its first subscriber
	subscribe  sync.Once

	statusMu sync.Mutex
	running  *request // the cell that runs, nil when idle
}

// Run serves the kernel of a connection file until it is shut down, its parent
// dies, or ctx ends. It catches SIGINT, which interrupts the running cell, and
// SIGTERM and SIGHUP, which end the kernel.
func Run(ctx context.Context, connectionFile string, o *Options) error {
	conn, warning, err := ReadConnection(connectionFile)
	if err != nil {
		return err
	}
	// Before anything else, so that a signal that comes early is not the end.
	interrupts, ends := make(chan os.Signal, 4), make(chan os.Signal, 4)
	signal.Notify(interrupts, os.Interrupt)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGHUP)
	// A log that nobody reads any more is a failed write, and not the end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	defer signal.Stop(interrupts)
	defer signal.Stop(ends)

	s, err := New(conn, o)
	if err != nil {
		return err
	}
	if warning != "" {
		s.log.Warn(warning)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.Listen(); err != nil {
		s.Close()
		return err
	}
	orphaned := func() {
		s.log.Warn("the process that started this kernel has ended; so does the kernel")
		cancel()
		// Nothing that a socket or a cell does may keep an orphan alive.
		time.AfterFunc(3*time.Second, func() { os.Exit(1) })
	}
	if connectionFile == fromInput {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			orphaned()
		}()
	} else {
		go watchParent(ctx, orphaned)
	}
	go func() {
		for {
			select {
			case <-interrupts:
				s.interp.Interrupt()
			case <-ends:
				cancel()
			case <-ctx.Done():
				return
			}
		}
	}()
	return s.Serve(ctx)
}

// New makes a server and starts its interpreter, which gets ready while the
// sockets are being bound.
func New(conn Connection, o *Options) (*Server, error) {
	s := &Server{
		conn: conn, cells: make(chan *request, 1<<12), beside: make(chan *request, 1<<12), subscribed: make(chan struct{}),
	}
	if o != nil {
		s.opts = *o
	}
	s.log = s.opts.Log
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	name := os.Getenv("USER") // the user database may be slow to ask
	if name == "" {
		name = "kernel"
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	var err error
	if s.codec, err = wire.NewCodec(conn.Key, conn.SignatureScheme, wire.NewID(), name); err != nil {
		return nil, err
	}
	s.topic = "kernel." + s.codec.Session + "."
	s.interp = s.opts.Interpreter
	if s.interp == nil {
		var o worker.Options
		if s.opts.Worker != nil {
			o = *s.opts.Worker
		}
		o.Comms = true
		if s.interp, err = worker.Start(&o); err != nil {
			return nil, err
		}
	}
	s.history = newHistory(s.opts.History, s.log)
	return s, nil
}

// SocketOptions are the options of the socket named shell, control, stdin,
// iopub or hb, for who makes the sockets and not calls Listen.
func (s *Server) SocketOptions(name string) *transport.Options {
	o := &transport.Options{}
	if name == "iopub" {
		o.Welcome = s.welcome
	}
	return o
}

// Listen binds the sockets of the connection.
func (s *Server) Listen() (err error) {
	for _, k := range []struct {
		name string
		at   **transport.Socket
		kind transport.Kind
		port int
	}{
		{"iopub", &s.sockets.IOPub, transport.XPub, s.conn.IOPubPort}, // first: nobody is answered before he can listen
		{"shell", &s.sockets.Shell, transport.Router, s.conn.ShellPort},
		{"control", &s.sockets.Control, transport.Router, s.conn.ControlPort},
		{"stdin", &s.sockets.Stdin, transport.Router, s.conn.StdinPort},
		{"hb", &s.sockets.HB, transport.Rep, s.conn.HBPort},
	} {
		if *k.at, err = transport.Listen(k.kind, s.conn.endpoint(k.port), s.SocketOptions(k.name)); err != nil {
			return fmt.Errorf("server: %s: %w", k.name, err)
		}
	}
	return nil
}

// Use takes sockets that stand already in place of Listen.
func (s *Server) Use(k Sockets) { s.sockets = k }

// Close ends the interpreter and the sockets of a server that is not serving.
func (s *Server) Close() {
	s.interp.Close()
	s.history.close()
	s.sockets.Close(0)
}

// Serve answers messages until the kernel is shut down or ctx ends; both are
// good ends. Then the interpreter is closed, and what is queued is sent.
func (s *Server) Serve(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	s.publish("status", wire.KernelStatus{ExecutionState: "starting"}, nil, 0)
	var wg sync.WaitGroup
	wg.Go(func() { s.receive(ctx, shell) })
	wg.Go(func() { s.receive(ctx, control) })
	wg.Go(func() { s.stdin.receive(ctx, s) })
	wg.Go(func() { s.runCells(ctx) })
	wg.Go(func() { s.answerBeside(ctx) })
	<-ctx.Done()
	s.interp.Close() // ends a running cell
	wg.Wait()
	s.history.close()
	s.sockets.Close(time.Second)
	return nil
}

// channel is where a request came in and its reply goes out.
type channel int

const (
	shell channel = iota
	control
)

func (c channel) String() string { return [...]string{"shell", "control"}[c] }

func (s *Server) socket(c channel) *transport.Socket {
	if c == control {
		return s.sockets.Control
	}
	return s.sockets.Shell
}

// request is a message on shell or control.
type request struct {
	*wire.Message
	channel channel
	peer    string
	at      time.Time
	after   <-chan struct{} // closed when the cells queued before it have ended
	done    chan struct{}   // of a cell: closed when it has ended
	busy    bool            // has been published
}

// receive reads a channel and hands each request to whom it is for: cells to
// the queue, questions about code beside it, the rest is answered here.
func (s *Server) receive(ctx context.Context, c channel) {
	first := c == shell
	for {
		in, err := s.socket(c).Recv(ctx)
		if err != nil {
			return
		}
		m, err := s.codec.Decode(in.Frames)
		if err != nil {
			s.log.Warn("message dropped", "channel", c.String(), "reason", err)
			continue
		}
		if first {
			first = false
			s.awaitSubscriber(ctx)
		}
		r := &request{Message: m, channel: c, peer: in.Peer, at: in.At}
		h := lookup(m.Header.MsgType)
		s.mu.Lock()
		r.after = s.last
		if h.order == inTurn {
			r.done = make(chan struct{})
			s.last = r.done
		}
		s.mu.Unlock()
		queue := s.beside
		switch {
		case h.order == inTurn:
			queue = s.cells
		case h.order == atOnce || c == control:
			s.serve(ctx, r, h)
			continue
		}
		select {
		case queue <- r:
		case <-ctx.Done():
			return
		}
	}
}

// awaitSubscriber waits a moment for iopub's first subscriber. Clients open the
// sockets side by side, and the first request often comes before the
// subscription does: its idle would be published to nobody, and the client
// would wait for it.
func (s *Server) awaitSubscriber(ctx context.Context) {
	t := time.NewTimer(200 * time.Millisecond)
	defer t.Stop()
	select {
	case <-s.subscribed:
	case <-t.C:
	case <-ctx.Done():
	}
}

func (s *Server) runCells(ctx context.Context) {
	for {
		select {
		case r := <-s.cells:
			s.serve(ctx, r, lookup(r.Header.MsgType))
			close(r.done)
		case <-ctx.Done():
			return
		}
	}
}

// patience is how long a question waits for the cells that were sent before it,
// so that it sees what they define; a longer cell it does not wait for.
const patience = 30 * time.Millisecond

func (s *Server) answerBeside(ctx context.Context) {
	for {
		select {
		case r := <-s.beside:
			if wait := patience - time.Since(r.at); r.after != nil && wait > 0 {
				t := time.NewTimer(wait)
				select {
				case <-r.after:
				case <-t.C:
				}
				t.Stop()
			}
			s.serve(ctx, r, lookup(r.Header.MsgType))
		case <-ctx.Done():
			return
		}
	}
}

// order says when a request is answered.
type order int

const (
	beside order = iota // in the order of its kind, not waiting for a long cell
	inTurn              // after the cells before it
	atOnce              // as it is read
)

// handler answers one type of request. Its content is the reply's; an error
// becomes a reply with status error. then, if not nil, is called after idle.
type handler struct {
	reply string // type of the reply, "" for messages without one
	order order
	opens bool // do calls begin, if it gets so far
	do    func(context.Context, *Server, *request) (content any, err error)
	then  func(*Server)
}

// handlers is the table of message types. Each msg_ file adds its own.
var handlers = map[string]handler{}

func handle(msgType string, h handler) {
	if _, twice := handlers[msgType]; twice {
		panic("server: two handlers of " + msgType)
	}
	handlers[msgType] = h
}

// fault is an error with a name of its own for the reply.
type fault struct{ name, value string }

func (f *fault) Error() string { return f.name + ": " + f.value }

func lookup(msgType string) handler {
	if h, ok := handlers[msgType]; ok {
		return h
	}
	h := handler{order: atOnce, do: func(_ context.Context, _ *Server, r *request) (any, error) {
		return nil, &fault{"NotSupported", fmt.Sprintf("this kernel does not know %.80q", r.Header.MsgType)}
	}}
	if base, ok := strings.CutSuffix(msgType, "_request"); ok && base != "" {
		h.reply = base + "_reply"
	}
	return h
}

// serve answers one request: busy, the handler, the reply, idle.
func (s *Server) serve(ctx context.Context, r *request, h handler) {
	if !h.opens {
		s.begin(r, 0)
	}
	content, err := s.call(ctx, r, h)
	if err != nil {
		f := wire.FaultReply{Status: wire.Failed, Fault: wire.Fault{EName: "BadRequest", EValue: err.Error()}}
		var named *fault
		if errors.As(err, &named) {
			f.EName, f.EValue = named.name, named.value
		}
		f.Traceback = wire.Strings{f.EName + ": " + f.EValue}
		content = f
		if h.reply == "execute_reply" { // has fields of its own even then
			content = wire.ExecuteReply{Status: wire.Failed, ExecutionCount: s.executionCount(), Fault: &f.Fault}
		}
	}
	if !r.busy {
		s.begin(r, transport.WithNext)
	}
	if h.reply != "" && content != nil {
		s.send(s.socket(r.channel), r.peer, h.reply, content, r.Message)
	}
	s.end(r)
	if h.then != nil {
		h.then(s)
	}
}

// begin publishes busy.
func (s *Server) begin(r *request, how transport.How) {
	s.statusMu.Lock()
	defer s.statusMu.Unlock()
	if r.done != nil {
		s.running = r
	}
	r.busy = true
	s.publish("status", wire.KernelStatus{ExecutionState: "busy"}, r.Message, how)
}

// end publishes idle. Front ends show the latest status, whomever it is about:
// when a cell runs on while a question beside it has been answered, busy is
// said again.
func (s *Server) end(r *request) {
	s.statusMu.Lock()
	defer s.statusMu.Unlock()
	if r.done != nil {
		s.running = nil
	}
	s.publish("status", wire.KernelStatus{ExecutionState: "idle"}, r.Message, 0)
	if s.running != nil {
		s.publish("status", wire.KernelStatus{ExecutionState: "busy"}, s.running.Message, 0)
	}
}

// call runs the handler; a panic of ours is an error for the client and a
// trace for the log.
func (s *Server) call(ctx context.Context, r *request, h handler) (content any, err error) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic", "message", r.Header.MsgType, "value", v, "stack", string(debug.Stack()))
			content, err = nil, &fault{"InternalError", fmt.Sprint("the kernel failed while it answered: ", v)}
		}
	}()
	return h.do(ctx, s, r)
}

// send sends a message to a peer of a ROUTER socket.
func (s *Server) send(k *transport.Socket, peer, msgType string, content any, parent *wire.Message) {
	m, err := s.codec.New(msgType, content, parent)
	if err == nil {
		var frames transport.Message
		if frames, err = s.codec.Encode(m); err == nil {
			k.Send(peer, frames)
			return
		}
	}
	s.log.Error("message not sent", "type", msgType, "error", err)
}

// publish sends a message to all subscribers. With transport.Wait it is held
// back by subscribers that lag, which in turn holds back the cell that prints.
func (s *Server) publish(msgType string, content any, parent *wire.Message, how transport.How) {
	m, err := s.codec.New(msgType, content, parent)
	if err != nil {
		s.log.Error("message not published", "type", msgType, "error", err)
		return
	}
	s.publishMessage(m, how)
}

// publishMessage is publish for a message that is made already.
func (s *Server) publishMessage(m *wire.Message, how transport.How) {
	m.Identities = [][]byte{[]byte(s.topic + m.Header.MsgType)}
	frames, err := s.codec.Encode(m)
	if err != nil {
		s.log.Error("message not published", "type", m.Header.MsgType, "error", err)
		return
	}
	s.sockets.IOPub.Publish(frames, how)
}

// welcome is the first message of a subscription (JEP 65): the topic of the
// subscription in front, no parent.
func (s *Server) welcome(topic []byte) transport.Message {
	defer s.subscribe.Do(func() { close(s.subscribed) })
	m, err := s.codec.New("iopub_welcome", wire.IOPubWelcome{Subscription: string(topic)}, nil)
	if err != nil {
		return nil
	}
	m.Identities = [][]byte{topic}
	frames, err := s.codec.Encode(m)
	if err != nil {
		return nil
	}
	return frames
}

func (s *Server) executionCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}
