package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func listen(t testing.TB, kind Kind, o *Options) (*Socket, string) {
	t.Helper()
	s, err := Listen(kind, "tcp://127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(0) })
	return s, "tcp://" + s.Addr().String()
}

func dial(t testing.TB, kind Kind, endpoint, id string) *Client {
	t.Helper()
	c, err := Dial(kind, endpoint, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func soon() time.Time { return time.Now().Add(10 * time.Second) }

func recv(t testing.TB, s *Socket) Received {
	t.Helper()
	ctx, cancel := context.WithDeadline(context.Background(), soon())
	defer cancel()
	m, err := s.Recv(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRouterEchoesToTheRightPeer(t *testing.T) {
	s, at := listen(t, Router, nil)
	a, b := dial(t, Dealer, at, "a"), dial(t, Dealer, at, "")
	big := bytes.Repeat([]byte("x"), 3<<20)
	for i, c := range []*Client{a, b, a} {
		want := Message{[]byte(fmt.Sprint(i)), {}, big, bytes.Repeat([]byte("y"), 256)}
		if err := c.Send(want); err != nil {
			t.Fatal(err)
		}
		m := recv(t, s)
		s.Send(m.Peer, m.Frames)
		got, err := c.Recv(soon())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 4 || !bytes.Equal(got[2], big) || string(got[0]) != fmt.Sprint(i) || len(got[1]) != 0 {
			t.Fatalf("round %d: got %d frames", i, len(got))
		}
	}
}

func TestNewestIdentityWins(t *testing.T) {
	s, at := listen(t, Router, nil)
	old := dial(t, Dealer, at, "same")
	old.Send(Message{[]byte("1")})
	recv(t, s)
	now := dial(t, Dealer, at, "same")
	now.Send(Message{[]byte("2")})
	m := recv(t, s)
	s.Send(m.Peer, Message{[]byte("answer")})
	if got, err := now.Recv(soon()); err != nil || string(got[0]) != "answer" {
		t.Fatalf("new connection got %q, %v", got, err)
	}
	if _, err := old.Recv(soon()); err == nil {
		t.Fatal("the old connection is still open")
	}
}

func TestHeartbeat(t *testing.T) {
	_, at := listen(t, Rep, nil)
	c := dial(t, Req, at, "")
	for i := range 3 {
		c.Send(Message{[]byte{byte(i)}})
		if got, err := c.Recv(soon()); err != nil || got[0][0] != byte(i) {
			t.Fatalf("got %v, %v", got, err)
		}
	}
}

func TestSubscriptions(t *testing.T) {
	s, at := listen(t, XPub, &Options{Welcome: func(topic []byte) Message { return Message{topic, []byte("welcome")} }})
	all, some := dial(t, Sub, at, ""), dial(t, Sub, at, "")
	all.Subscribe("")
	some.Subscribe("b")
	for c, topic := range map[*Client]string{all: "", some: "b"} {
		if got, err := c.Recv(soon()); err != nil || string(got[0]) != topic || string(got[1]) != "welcome" {
			t.Fatalf("first message %q, %v; want a welcome to %q", got, err, topic)
		}
	}
	for _, m := range []string{"a1", "b1", "b2"} {
		s.Publish(Message{[]byte(m)}, Wait)
	}
	for c, want := range map[*Client][]string{all: {"a1", "b1", "b2"}, some: {"b1", "b2"}} {
		for _, w := range want {
			if got, err := c.Recv(soon()); err != nil || string(got[0]) != w {
				t.Fatalf("got %q, %v; want %q", got, err, w)
			}
		}
	}
}

// A subscriber that does not read neither stops the others nor takes memory
// without bound; the one that reads loses nothing.
func TestStalledSubscriberIsCut(t *testing.T) {
	s, at := listen(t, XPub, &Options{Budget: 1 << 20, Stall: 300 * time.Millisecond,
		Welcome: func(topic []byte) Message { return Message{topic} }})
	stuck, good := dial(t, Sub, at, ""), dial(t, Sub, at, "")
	for _, c := range []*Client{stuck, good} {
		c.Subscribe("")
		if _, err := c.Recv(soon()); err != nil {
			t.Fatal(err)
		}
	}
	const n = 3000
	payload := bytes.Repeat([]byte("z"), 10<<10)
	go func() {
		for i := range n {
			s.Publish(Message{binary.BigEndian.AppendUint32(nil, uint32(i)), payload}, Wait)
		}
	}()
	for i := range n {
		m, err := good.Recv(time.Now().Add(30 * time.Second))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if got := binary.BigEndian.Uint32(m[0]); got != uint32(i) {
			t.Fatalf("message %d arrived as number %d", got, i)
		}
	}
	if p := s.Peers(); p != 1 {
		t.Errorf("%d peers, want the stalled one gone", p)
	}
}

// Messages written at once, in part, by the writer and held back for the next one
// arrive whole and in order, whatever the connection takes at a time.
func TestEveryWayOfWritingKeepsTheOrder(t *testing.T) {
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4096) })
	}}
	ln, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(XPub, ln, &Options{Welcome: func(topic []byte) Message { return Message{topic} }})
	t.Cleanup(func() { s.Close(0) })
	c := dial(t, Sub, "tcp://"+ln.Addr().String(), "")
	c.Subscribe("")
	if _, err := c.Recv(soon()); err != nil {
		t.Fatal(err)
	}
	const n = 4000
	go func() {
		for i := range n {
			how := Wait
			if i%3 == 0 {
				how = WithNext
			}
			s.Publish(Message{binary.BigEndian.AppendUint32(nil, uint32(i)), make([]byte, i*37%(2*atOnce))}, how)
		}
	}()
	for i := range n - n%3 {
		m, err := c.Recv(soon())
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if got := binary.BigEndian.Uint32(m[0]); got != uint32(i) || len(m[1]) != i*37%(2*atOnce) {
			t.Fatalf("message %d arrived as number %d with %d bytes", i, got, len(m[1]))
		}
		if i%500 == 0 {
			time.Sleep(5 * time.Millisecond) // let the connection fill
		}
	}
}

func TestPeerThatDoesNotReadItsRepliesIsCut(t *testing.T) {
	s, at := listen(t, Router, &Options{Budget: 1 << 20, Stall: 50 * time.Millisecond})
	c := dial(t, Dealer, at, "")
	c.Send(Message{[]byte("hello")})
	m := recv(t, s)
	big := make([]byte, 1<<18)
	for i := 0; s.Peers() == 1; i++ {
		if i > 1000 {
			t.Fatal("250 MB queued for a peer that does not read")
		}
		s.Send(m.Peer, Message{big})
		time.Sleep(time.Millisecond)
	}
}

// One peer's flood is held up at its own connection.
func TestFloodHoldsUpOnlyItsSender(t *testing.T) {
	s, at := listen(t, Router, &Options{Budget: 1 << 16})
	flood, other := dial(t, Dealer, at, "flood"), dial(t, Dealer, at, "other")
	go func() {
		for flood.Send(Message{make([]byte, 1000)}) == nil {
		}
	}()
	recv(t, s)
	time.Sleep(50 * time.Millisecond)
	other.Send(Message{[]byte("me too")})
	time.Sleep(50 * time.Millisecond) // on its way, 1000 of the flood can pass
	for range 1000 {
		if recv(t, s).Peer == "other" {
			return
		}
	}
	t.Error("the other peer's message is behind 1000 of the flood")
}

func TestHostilePeers(t *testing.T) {
	s, at := listen(t, Router, &Options{MaxMessage: 1 << 20, Handshake: 300 * time.Millisecond})
	addr := strings.TrimPrefix(at, "tcp://")
	hello := func(kind string) []byte {
		return append(greeting(), append([]byte{flagCommand, byte(len(ready(Kind(kind), "")))}, ready(Kind(kind), "")...)...)
	}
	for name, b := range map[string][]byte{
		"silent":         nil,
		"http":           []byte("GET / HTTP/1.0\r\n\r\n" + strings.Repeat("A", 100)),
		"zmtp 1":         append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f}, make([]byte, 54)...),
		"curve":          append(append([]byte{}, greeting()[:12]...), append([]byte("CURVE"), make([]byte, 47)...)...),
		"wrong type":     hello("SUB"),
		"2^40 frame":     append(hello("DEALER"), 2, 0, 0, 1, 0, 0, 0, 0, 0),
		"2^63 frame":     append(hello("DEALER"), 2, 0x80, 0, 0, 0, 0, 0, 0, 0),
		"many frames":    append(hello("DEALER"), bytes.Repeat([]byte{1, 0}, 10000)...),
		"flags":          append(hello("DEALER"), 0xf8, 0),
		"command + more": append(hello("DEALER"), 5, 0),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			go c.Write(b)
			c.SetReadDeadline(soon())
			if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("connection not closed: %v", err)
			}
		})
	}
	c := dial(t, Dealer, at, "")
	c.Send(Message{[]byte("still there")})
	recv(t, s)
}

func TestIPCSocketIsPrivateAndTakesOverAStaleFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k-1")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	s, err := Listen(Rep, "ipc://"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(0)
	if _, err := Listen(Rep, "ipc://"+path, nil); err == nil {
		t.Error("two live sockets on one path")
	}
	c := dial(t, Req, "ipc://"+path, "")
	c.Send(Message{[]byte("hi")})
	if m, err := c.Recv(soon()); err != nil || string(m[0]) != "hi" {
		t.Fatal(m, err)
	}
}

func TestCloseSendsWhatIsQueued(t *testing.T) {
	s, at := listen(t, Router, nil)
	c := dial(t, Dealer, at, "")
	c.Send(Message{[]byte("bye?")})
	c.Send(Message{[]byte("unread")}) // unread input must not reset the connection
	m := recv(t, s)
	s.Send(m.Peer, Message{make([]byte, 1<<20)})
	done := make(chan struct{})
	go func() { s.Close(5 * time.Second); close(done) }()
	if got, err := c.Recv(soon()); err != nil || len(got[0]) != 1<<20 {
		t.Fatalf("got %d frames, %v", len(got), err)
	}
	c.Close()
	<-done
	if _, err := s.Recv(context.Background()); err != net.ErrClosed {
		t.Errorf("Recv after Close: %v", err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{0, 1, 'a'})
	f.Add([]byte{1, 0, 0, 2, 'h', 'i'})
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3})
	f.Add([]byte{2, 0, 0, 1, 0, 0, 0, 0, 0})
	f.Add([]byte{4, 5, 4, 'P', 'I', 'N', 'G'})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, command, err := readMessage(bufio.NewReader(bytes.NewReader(b)), 1<<16)
		if err != nil {
			return
		}
		if m.Size() > 1<<16 {
			t.Fatalf("%d bytes over the limit", m.Size())
		}
		if command {
			pong(m[0])
			return
		}
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		writeMessage(w, m)
		w.Flush()
		again, _, err := readMessage(bufio.NewReader(&out), 1<<16)
		if err != nil || len(again) != len(m) || !bytes.Equal(bytes.Join(again, nil), bytes.Join(m, nil)) {
			t.Fatalf("written and read back: %q, %v; want %q", again, err, m)
		}
	})
}

func FuzzHandshake(f *testing.F) {
	hello := append(greeting(), append([]byte{flagCommand, byte(len(ready(Dealer, "me")))}, ready(Dealer, "me")...)...)
	f.Add(hello)
	f.Add(hello[:70])
	f.Add(append(greeting(), 4, 6, 5, 'R', 'E', 'A', 'D', 'Y'))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, id, err := handshake(io.Discard, bufio.NewReader(bytes.NewReader(b)), Router, "")
		if err == nil && (!Router.accepts(kind) || len(id) > 255) {
			t.Fatalf("accepted %q %q", kind, id)
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	s, at := listen(b, Router, nil)
	c := dial(b, Dealer, at, "")
	go func() {
		for {
			m, err := s.Recv(context.Background())
			if err != nil {
				return
			}
			s.Send(m.Peer, m.Frames)
		}
	}()
	m := Message{[]byte("<IDS|MSG>"), make([]byte, 64), make([]byte, 200), make([]byte, 200), make([]byte, 2), make([]byte, 200)}
	for b.Loop() {
		c.Send(m)
		if _, err := c.Recv(time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}
