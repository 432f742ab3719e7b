package kerneltest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gonvex/gonvex/kernel/server"
	"github.com/gonvex/gonvex/kernel/transport"
	"github.com/gonvex/gonvex/kernel/wire"
)

// Timeout is how long a client waits for anything.
var Timeout = 60 * time.Second

const key = "a key for tests"

// Client is a Jupyter client of one kernel. Every message it receives is
// checked; a wrong one fails the test. It is for one goroutine.
type Client struct {
	tb    testing.TB
	codec *wire.Codec
	socks map[string]*transport.Client
	in    map[string]chan *wire.Message // shell, control, stdin, iopub
	done  chan struct{}
	// OnInput answers input requests; nil fails the test when one comes.
	OnInput func(wire.InputRequest) string
	kernel  *kernel
	// What came while another request was waited for, by parent.
	replies   map[string]*wire.Message
	published map[string][]*wire.Message
	idle      map[string]bool
}

// kernel is a server in this process.
type kernel struct {
	*server.Server
	listeners map[string]*listener
	cancel    context.CancelFunc
	ended     chan error
}

// Start runs a server with these options in this process, over connections
// that have no address, and returns a client of it. No history is kept unless
// the options name a file. Server and client end with the test.
func Start(tb testing.TB, o *server.Options) *Client {
	tb.Helper()
	opts := server.Options{}
	if o != nil {
		opts = *o
	}
	if opts.History == "" {
		opts.History = "none"
	}
	s, err := server.New(server.Connection{Transport: "tcp", IP: "127.0.0.1", Key: key}, &opts)
	if err != nil {
		tb.Fatal(err)
	}
	k := &kernel{Server: s, listeners: map[string]*listener{}, ended: make(chan error, 1)}
	sockets := map[string]*transport.Socket{}
	for name, kind := range kinds {
		k.listeners[name] = newListener()
		sockets[name] = transport.Serve(kind[0], k.listeners[name], s.SocketOptions(name))
	}
	s.Use(server.Sockets{
		Shell: sockets["shell"], Control: sockets["control"], Stdin: sockets["stdin"], IOPub: sockets["iopub"], HB: sockets["hb"],
	})
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	go func() { k.ended <- s.Serve(ctx) }()
	tb.Cleanup(func() {
		cancel()
		<-k.ended
	})
	return connect(tb, k, key)
}

// Another returns a second client of the same in-process kernel.
func (c *Client) Another() *Client { return connect(c.tb, c.kernel, key) }

func connect(tb testing.TB, k *kernel, key string) *Client {
	tb.Helper()
	return newClient(tb, k, key, func(name string) (net.Conn, error) { return k.listeners[name].dial() })
}

// Dial connects to a kernel over the sockets of its connection file.
func Dial(tb testing.TB, conn server.Connection) *Client {
	tb.Helper()
	ports := map[string]int{"shell": conn.ShellPort, "control": conn.ControlPort, "stdin": conn.StdinPort, "iopub": conn.IOPubPort, "hb": conn.HBPort}
	return newClient(tb, nil, conn.Key, func(name string) (net.Conn, error) {
		var c net.Conn
		var err error
		for end := time.Now().Add(Timeout); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if conn.Transport == "ipc" {
				c, err = net.Dial("unix", fmt.Sprintf("%s-%d", conn.IP, ports[name]))
			} else {
				c, err = net.Dial("tcp", net.JoinHostPort(conn.IP, strconv.Itoa(ports[name])))
			}
			if err == nil {
				break
			}
		}
		return c, err
	})
}

// kinds are the socket types of the kernel and of its client.
var kinds = map[string][2]transport.Kind{
	"shell": {transport.Router, transport.Dealer}, "control": {transport.Router, transport.Dealer}, "stdin": {transport.Router, transport.Dealer},
	"iopub": {transport.XPub, transport.Sub}, "hb": {transport.Rep, transport.Req},
}

func newClient(tb testing.TB, k *kernel, key string, dial func(string) (net.Conn, error)) *Client {
	tb.Helper()
	codec, err := wire.NewCodec(key, "", wire.NewID(), "tester")
	if err != nil {
		tb.Fatal(err)
	}
	c := &Client{tb: tb, codec: codec, kernel: k, socks: map[string]*transport.Client{}, in: map[string]chan *wire.Message{}, done: make(chan struct{}),
		replies: map[string]*wire.Message{}, published: map[string][]*wire.Message{}, idle: map[string]bool{}}
	for name, kind := range kinds {
		conn, err := dial(name)
		if err != nil {
			tb.Fatalf("kerneltest: %s: %v", name, err)
		}
		if c.socks[name], err = transport.NewClient(kind[1], conn, codec.Session); err != nil {
			tb.Fatalf("kerneltest: %s: %v", name, err)
		}
	}
	for _, name := range []string{"shell", "control", "stdin", "iopub"} {
		c.in[name] = make(chan *wire.Message, 1<<16)
	}
	var wg sync.WaitGroup
	for name := range c.in { // whole by now: the readers look into it
		wg.Go(func() { c.read(name) })
	}
	tb.Cleanup(func() {
		close(c.done)
		for _, s := range c.socks {
			s.Close()
		}
		wg.Wait()
	})
	if err := c.socks["iopub"].Subscribe(""); err != nil {
		tb.Fatal(err)
	}
	if m := c.Next("iopub"); m.Header.MsgType != "iopub_welcome" || len(m.Parent) > 2 {
		tb.Fatalf("kerneltest: the first message on iopub is %s with parent %s, want iopub_welcome with none", m.Header.MsgType, m.Parent)
	}
	return c
}

func (c *Client) read(name string) {
	for {
		frames, err := c.socks[name].Recv(time.Time{})
		if err != nil {
			close(c.in[name])
			return
		}
		m, err := c.codec.Decode(frames)
		if err == nil {
			err = Check(m)
		}
		if err != nil {
			c.tb.Errorf("%s: %v", name, err)
			if m == nil {
				continue
			}
		}
		select {
		case c.in[name] <- m:
		case <-c.done:
			return
		}
	}
}

// Send sends a message on shell, control or stdin and returns its id.
func (c *Client) Send(channel, msgType string, content any) string {
	c.tb.Helper()
	m, err := c.codec.New(msgType, content, nil)
	if err != nil {
		c.tb.Fatal(err)
	}
	frames, err := c.codec.Encode(m)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.SendFrames(channel, frames)
	return m.Header.MsgID
}

// SendFrames sends frames as they are, for messages that are wrong on purpose.
func (c *Client) SendFrames(channel string, frames [][]byte) {
	c.tb.Helper()
	if err := c.socks[channel].Send(frames); err != nil {
		c.tb.Fatal(err)
	}
}

// Codec is the client's, for messages made by hand.
func (c *Client) Codec() *wire.Codec { return c.codec }

// Next returns the next message of a channel.
func (c *Client) Next(channel string) *wire.Message {
	c.tb.Helper()
	t := time.NewTimer(Timeout)
	defer t.Stop()
	select {
	case m, ok := <-c.in[channel]:
		if !ok {
			c.tb.Fatalf("kerneltest: the kernel has closed %s", channel)
		}
		return m
	case <-t.C:
		c.tb.Fatalf("kerneltest: nothing on %s in %v", channel, Timeout)
	}
	return nil
}

// Heartbeat sends a beat and reports whether it came back.
func (c *Client) Heartbeat() bool {
	if c.socks["hb"].Send(transport.Message{[]byte("beat")}) != nil {
		return false
	}
	m, err := c.socks["hb"].Recv(time.Now().Add(Timeout))
	return err == nil && len(m) == 1 && string(m[0]) == "beat"
}

// ParentOf is the id of the message that m answers, "" for none.
func ParentOf(m *wire.Message) string {
	var h struct {
		ID string `json:"msg_id"`
	}
	json.Unmarshal(m.Parent, &h)
	return h.ID
}

// Request sends a request and waits for its reply and for what is published
// about it, from busy to idle; both are returned. A request that is not
// bracketed by busy and idle fails the test. Messages about other requests are
// kept for when those are waited for.
func (c *Client) Request(channel, msgType string, content any) (reply *wire.Message, published []*wire.Message) {
	c.tb.Helper()
	return c.Wait(channel, c.Send(channel, msgType, content))
}

// Wait does the waiting of Request for a message sent before.
func (c *Client) Wait(channel, id string) (*wire.Message, []*wire.Message) {
	c.tb.Helper()
	t := time.NewTimer(Timeout)
	defer t.Stop()
	replies, questions, published := c.in[channel], c.in["stdin"], c.in["iopub"]
	for !c.idle[id] || c.replies[id] == nil {
		if replies == nil && published == nil {
			c.tb.Fatalf("kerneltest: the kernel has closed its sockets: reply %v, idle %v", c.replies[id] != nil, c.idle[id])
		}
		select {
		case m, ok := <-replies:
			if !ok {
				replies = nil
				continue
			}
			c.replies[ParentOf(m)] = m
		case m, ok := <-questions:
			if !ok {
				questions = nil
				continue
			}
			c.answer(m)
		case m, ok := <-published:
			if !ok {
				published = nil
				continue
			}
			parent := ParentOf(m)
			c.published[parent] = append(c.published[parent], m)
			if StateOf(m) == "idle" {
				c.idle[parent] = true
			}
		case <-t.C:
			c.tb.Fatalf("kerneltest: after %v: reply %v, idle %v", Timeout, c.replies[id] != nil, c.idle[id])
		}
	}
	reply, all := c.replies[id], c.published[id]
	delete(c.replies, id)
	delete(c.published, id)
	delete(c.idle, id)
	if StateOf(all[0]) != "busy" {
		c.tb.Errorf("kerneltest: the first message published about a request is %s %s, want busy", all[0].Header.MsgType, all[0].Content)
	}
	return reply, all
}

// StateOf is the execution state a status message carries, "" for others.
func StateOf(m *wire.Message) string {
	var s wire.KernelStatus
	if m.Header.MsgType != "status" || json.Unmarshal(m.Content, &s) != nil {
		return ""
	}
	return s.ExecutionState
}

func (c *Client) answer(m *wire.Message) {
	c.tb.Helper()
	var q wire.InputRequest
	if err := m.Unmarshal(&q); err != nil {
		c.tb.Fatal(err)
	}
	if c.OnInput == nil {
		c.tb.Errorf("kerneltest: the kernel asks for input: %q", q.Prompt)
		return
	}
	c.Send("stdin", "input_reply", wire.InputReply{Status: wire.OK, Value: c.OnInput(q)})
}

// Result is the outcome of a cell, put together from its messages.
type Result struct {
	Status         string
	Count          int
	Ename, Evalue  string
	Traceback      []string
	Value          map[string]any // the data of execute_result
	Stdout, Stderr string
	// Log is the outputs in order: stream text as it is, <mime types> for a
	// display, [value] for the text of a result, {ename} for an error.
	Log   string
	Types []string // of all messages published, but status
	Reply *wire.Message
}

// Execute runs a cell.
func (c *Client) Execute(code string) Result {
	c.tb.Helper()
	return c.ExecuteWith(wire.ExecuteRequest{Code: code})
}

// ExecuteWith runs a cell with options.
func (c *Client) ExecuteWith(q wire.ExecuteRequest) Result {
	c.tb.Helper()
	return c.Outcome(c.Send("shell", "execute_request", q))
}

// Outcome waits for a cell that was sent before.
func (c *Client) Outcome(id string) Result {
	c.tb.Helper()
	reply, published := c.Wait("shell", id)
	var r Result
	r.Reply = reply
	var content struct {
		Status         string   `json:"status"`
		ExecutionCount int      `json:"execution_count"`
		EName          string   `json:"ename"`
		EValue         string   `json:"evalue"`
		Traceback      []string `json:"traceback"`
	}
	if err := reply.Unmarshal(&content); err != nil {
		c.tb.Fatal(err)
	}
	r.Status, r.Count, r.Ename, r.Evalue, r.Traceback = content.Status, content.ExecutionCount, content.EName, content.EValue, content.Traceback
	for _, m := range published {
		if m.Header.MsgType == "status" {
			continue
		}
		r.Types = append(r.Types, m.Header.MsgType)
		var o struct {
			Name, Text, EName string
			Data              map[string]any
		}
		if err := m.Unmarshal(&o); err != nil {
			c.tb.Fatal(err)
		}
		switch m.Header.MsgType {
		case "stream":
			if o.Name == "stdout" {
				r.Stdout += o.Text
			} else {
				r.Stderr += o.Text
			}
			r.Log += o.Text
		case "display_data", "update_display_data":
			var mimes []string
			for k := range o.Data {
				mimes = append(mimes, k)
			}
			r.Log += "<" + strings.Join(mimes, " ") + ">"
		case "execute_result":
			r.Value = o.Data
			r.Log += fmt.Sprintf("[%v]", o.Data["text/plain"])
		case "error":
			r.Log += "{" + o.EName + "}"
		}
	}
	return r
}

// Shutdown asks the kernel to end and waits until an in-process one has.
func (c *Client) Shutdown() {
	c.tb.Helper()
	c.Request("control", "shutdown_request", wire.ShutdownRequest{})
	if c.kernel != nil {
		select {
		case err := <-c.kernel.ended:
			c.kernel.ended <- err
			if err != nil {
				c.tb.Errorf("kerneltest: Serve: %v", err)
			}
		case <-time.After(Timeout):
			c.tb.Fatal("kerneltest: the server does not end")
		}
	}
}

// listener hands out the ends of socket pairs.
type listener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (l *listener) dial() (net.Conn, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "memory")
		ends[i], err = net.FileConn(f)
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	select {
	case l.conns <- ends[0]:
		return ends[1], nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
