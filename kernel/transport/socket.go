package transport

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gonvex/gonvex/kernel/rawio"
)

// Kind is a ZeroMQ socket type.
type Kind string

// The socket types a kernel binds, and those of its clients.
const (
	Router Kind = "ROUTER"
	XPub   Kind = "XPUB"
	Rep    Kind = "REP"
	Dealer Kind = "DEALER"
	Sub    Kind = "SUB"
	Req    Kind = "REQ"
)

func (k Kind) accepts(peer Kind) bool {
	switch k {
	case Router:
		return peer == Dealer || peer == Req || peer == Router
	case XPub:
		return peer == Sub || peer == "XSUB"
	case Rep:
		return peer == Req || peer == Dealer
	case Dealer:
		return peer == Router || peer == Rep || peer == Dealer
	case Sub:
		return peer == XPub || peer == "PUB"
	case Req:
		return peer == Rep || peer == Router
	}
	return false
}

// Options bounds what peers can cost. The zero value means the defaults.
type Options struct {
	// MaxMessage is the largest message a peer may send, in bytes (64 MiB).
	MaxMessage int
	// Budget is how many bytes a peer may owe us before it is held up: sent and
	// not yet handled by Recv, or (separately) queued for it and not yet read
	// (32 MiB). A publisher waits for a subscriber over its budget.
	Budget int
	// Stall is how long a peer over its budget may take no bytes at all before
	// its connection is cut (5 s).
	Stall time.Duration
	// Handshake is how long a new connection has to introduce itself (10 s).
	Handshake time.Duration
	// MaxPeers is the number of connections at one time (1024).
	MaxPeers int
	// Welcome, on an XPUB socket, makes the first message a new subscription
	// receives (JEP 65). A nil message sends none.
	Welcome func(topic []byte) Message
}

func (o *Options) withDefaults() Options {
	var v Options
	if o != nil {
		v = *o
	}
	if v.MaxMessage <= 0 {
		v.MaxMessage = 64 << 20
	}
	if v.Budget <= 0 {
		v.Budget = 32 << 20
	}
	if v.Stall <= 0 {
		v.Stall = 5 * time.Second
	}
	if v.Handshake <= 0 {
		v.Handshake = 10 * time.Second
	}
	if v.MaxPeers <= 0 {
		v.MaxPeers = 1024
	}
	return v
}

// Received is a message with the peer it came from and when it arrived.
type Received struct {
	Peer   string // the peer's identity, for Send
	Frames Message
	At     time.Time
	from   *peer
	cost   int
}

// Socket is a bound socket. Its methods may be called from any goroutine.
type Socket struct {
	kind Kind
	ln   net.Listener
	opts Options

	mu     sync.Mutex
	peers  map[string]*peer // by identity; the newest connection of an identity wins
	live   map[net.Conn]bool
	closed bool
	wg     sync.WaitGroup

	inMu   sync.Mutex
	inbox  []Received
	inWake chan struct{}
	done   chan struct{}
}

// Listen binds a socket. The endpoint is "tcp://ADDRESS:PORT" (port 0 picks
// one, see Addr) or "ipc://PATH".
func Listen(kind Kind, endpoint string, o *Options) (*Socket, error) {
	network, addr, ok := strings.Cut(endpoint, "://")
	if !ok {
		return nil, fmt.Errorf("transport: endpoint %q is not tcp://ADDRESS:PORT or ipc://PATH", endpoint)
	}
	var ln net.Listener
	var err error
	switch network {
	case "tcp":
		ln, err = net.Listen("tcp", addr)
	case "ipc":
		ln, err = listenUnix(addr)
	default:
		return nil, fmt.Errorf("transport: %q is not a transport a kernel uses (tcp or ipc)", network)
	}
	if err != nil {
		return nil, fmt.Errorf("transport: cannot bind %s on %s: %w", kind, endpoint, err)
	}
	return Serve(kind, ln, o), nil
}

// listenUnix binds path for this user only, taking the place of a socket file
// that a dead process left.
func listenUnix(path string) (net.Listener, error) {
	ln, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if c, derr := net.Dial("unix", path); derr == nil {
			c.Close()
			return nil, err
		} else if errors.Is(derr, syscall.ECONNREFUSED) {
			os.Remove(path)
			ln, err = net.Listen("unix", path)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// Serve makes a socket of a listener; tests give it one in memory.
func Serve(kind Kind, ln net.Listener, o *Options) *Socket {
	s := &Socket{
		kind: kind, ln: ln, opts: o.withDefaults(),
		peers: map[string]*peer{}, live: map[net.Conn]bool{},
		inWake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go s.accept()
	return s
}

// Addr is where the socket is bound.
func (s *Socket) Addr() net.Addr { return s.ln.Addr() }

func (s *Socket) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			select {
			case <-s.done:
				return
			default:
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors: others may be given back
			continue
		}
		s.mu.Lock()
		if s.closed || len(s.live) >= s.opts.MaxPeers {
			s.mu.Unlock()
			c.Close()
			continue
		}
		s.live[c] = true
		s.wg.Add(1)
		s.mu.Unlock()
		go s.serve(c)
	}
}

// serve is a connection's reader, from handshake to end.
func (s *Socket) serve(c net.Conn) {
	defer s.wg.Done()
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.live, c)
		s.mu.Unlock()
	}()
	if t, ok := c.(*net.TCPConn); ok {
		t.SetNoDelay(true)
	}
	c.SetDeadline(time.Now().Add(s.opts.Handshake))
	var in io.Reader = c
	if raw := rawio.New(c); raw != nil {
		in = raw
	}
	r := bufio.NewReaderSize(in, 64<<10)
	_, id, err := handshake(c, r, s.kind, "")
	if err != nil {
		return
	}
	c.SetDeadline(time.Time{})
	if id == "" || s.kind != Router {
		var b [8]byte
		rand.Read(b[1:])
		id = string(b[:])
	}
	p := newPeer(id, c, s.opts)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	if old := s.peers[id]; old != nil {
		old.cut()
	}
	s.peers[id] = p
	s.wg.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.wg.Done()
		p.write()
	}()
	defer func() {
		p.cut()
		s.mu.Lock()
		if s.peers[id] == p {
			delete(s.peers, id)
		}
		s.mu.Unlock()
	}()
	for {
		m, command, err := readMessage(r, s.opts.MaxMessage)
		if err != nil {
			return
		}
		if command {
			if reply, ok := pong(m[0]); ok {
				p.push(outgoing{frames: Message{reply}, command: true})
			}
			continue
		}
		switch s.kind {
		case Rep:
			// The heartbeat: nothing but the network stands between question and
			// answer. An envelope (REQ sends an empty frame) goes back as it came.
			p.push(outgoing{frames: m})
		case XPub:
			p.subscribe(m, s.opts.Welcome)
		default:
			if !s.deliver(p, m) {
				return
			}
		}
	}
}

// deliver puts m in the inbox and then holds up its sender, alone, while that
// sender has more than its budget there.
func (s *Socket) deliver(p *peer, m Message) bool {
	cost := m.Size() + frameOverhead*len(m)
	s.inMu.Lock()
	s.inbox = append(s.inbox, Received{Peer: p.id, Frames: m, At: time.Now(), from: p, cost: cost})
	s.inMu.Unlock()
	select {
	case s.inWake <- struct{}{}:
	default:
	}
	return p.owe(cost)
}

// Recv waits for a message. It ends with the context's error, or net.ErrClosed.
func (s *Socket) Recv(ctx context.Context) (Received, error) {
	for {
		select {
		case <-s.done:
			return Received{}, net.ErrClosed
		default:
		}
		if m, ok := s.TryRecv(); ok {
			return m, nil
		}
		select {
		case <-s.inWake:
		case <-ctx.Done():
			return Received{}, ctx.Err()
		case <-s.done:
			return Received{}, net.ErrClosed
		}
	}
}

// TryRecv returns a message that has already arrived, if there is one.
func (s *Socket) TryRecv() (Received, bool) {
	s.inMu.Lock()
	if len(s.inbox) == 0 {
		s.inMu.Unlock()
		return Received{}, false
	}
	m := s.inbox[0]
	s.inbox[0] = Received{}
	s.inbox = s.inbox[1:]
	if len(s.inbox) == 0 {
		s.inbox = nil
	} else {
		select { // another receiver may be waiting for what is left
		case s.inWake <- struct{}{}:
		default:
		}
	}
	s.inMu.Unlock()
	m.from.owe(-m.cost)
	m.from = nil
	return m, true
}

// Send queues a message for the peer of that identity and never waits for the
// network. A peer that is gone gets nothing, as ROUTER sockets do; one that
// does not read what it asked for is cut off.
func (s *Socket) Send(peer string, m Message) {
	s.mu.Lock()
	p := s.peers[peer]
	s.mu.Unlock()
	if p != nil {
		p.push(outgoing{frames: m})
	}
}

// How says how a message is published.
type How int

const (
	// Wait makes Publish wait while a subscriber is over its budget, until the
	// subscriber catches up or has stalled and is cut. Small messages that must
	// not stand behind a slow reader (a status) do without.
	Wait How = 1 << iota
	// WithNext lets the message leave with the next one, which follows at once.
	WithNext
)

// Publish sends m to every subscriber to a prefix of its first frame. No single
// message is ever left out.
func (s *Socket) Publish(m Message, how How) {
	for _, p := range s.subscribers(m[0]) {
		if how&Wait != 0 {
			p.waitBudget()
		}
		if how&WithNext != 0 {
			p.hold(outgoing{frames: m})
		} else {
			p.push(outgoing{frames: m})
		}
	}
}

func (s *Socket) subscribers(topic []byte) []*peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	ps := make([]*peer, 0, 8)
	for _, p := range s.peers {
		if p.subscribed(topic) {
			ps = append(ps, p)
		}
	}
	return ps
}

// Has says whether a peer of that identity is connected and has introduced
// itself.
func (s *Socket) Has(peer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[peer] != nil
}

// Peers is the number of connected peers that have introduced themselves.
func (s *Socket) Peers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers)
}

// Close stops accepting, gives the queued messages up to linger to leave, and
// ends all connections.
func (s *Socket) Close(linger time.Duration) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	ps := make([]*peer, 0, len(s.peers))
	for _, p := range s.peers {
		ps = append(ps, p)
	}
	s.mu.Unlock()
	err := s.ln.Close()
	deadline := time.Now().Add(linger)
	for _, p := range ps {
		p.finish(deadline)
	}
	// Peers that have read everything close their end; wait for that a moment.
	for end := time.Now().Add(min(linger, 50*time.Millisecond)); time.Now().Before(end) && s.Peers() > 0; {
		time.Sleep(time.Millisecond)
	}
	s.mu.Lock()
	for c := range s.live {
		c.Close()
	}
	s.mu.Unlock()
	for _, p := range ps {
		p.cut()
	}
	s.wg.Wait()
	return err
}
