package transport

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Client is the other end of a socket: a DEALER, SUB or REQ over one
// connection. Send and Recv may run in two goroutines.
type Client struct {
	kind Kind
	conn net.Conn
	r    *bufio.Reader
	mu   sync.Mutex
	w    *bufio.Writer
	max  int
}

// Dial connects to an endpoint of the form Listen takes.
func Dial(kind Kind, endpoint, identity string) (*Client, error) {
	network, addr, _ := strings.Cut(endpoint, "://")
	if network == "ipc" {
		network = "unix"
	}
	c, err := net.DialTimeout(network, addr, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	return NewClient(kind, c, identity)
}

// NewClient introduces itself over a connection that stands already. The
// identity may be empty.
func NewClient(kind Kind, c net.Conn, identity string) (*Client, error) {
	o := (*Options)(nil).withDefaults()
	c.SetDeadline(time.Now().Add(o.Handshake))
	r := bufio.NewReaderSize(c, 64<<10)
	if _, _, err := handshake(c, r, kind, identity); err != nil {
		c.Close()
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return &Client{kind: kind, conn: c, r: r, w: bufio.NewWriterSize(c, 64<<10), max: 1 << 30}, nil
}

// Send writes one message.
func (c *Client) Send(m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kind == Req {
		m = append(Message{{}}, m...)
	}
	if err := writeMessage(c.w, m); err != nil {
		return err
	}
	return c.w.Flush()
}

// Subscribe asks a publisher for messages whose first frame begins with topic.
func (c *Client) Subscribe(topic string) error {
	if c.kind != Sub {
		return errors.New("transport: only SUB subscribes")
	}
	return c.Send(Message{append([]byte{1}, topic...)})
}

// Recv reads one message, waiting until the deadline (zero: for ever).
func (c *Client) Recv(deadline time.Time) (Message, error) {
	c.conn.SetReadDeadline(deadline)
	for {
		m, command, err := readMessage(c.r, c.max)
		if err != nil {
			return nil, err
		}
		if command {
			if reply, ok := pong(m[0]); ok {
				c.mu.Lock()
				writeFrame(c.w, flagCommand, reply)
				c.w.Flush()
				c.mu.Unlock()
			}
			continue
		}
		if c.kind == Req && len(m) > 0 && len(m[0]) == 0 {
			m = m[1:]
		}
		return m, nil
	}
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }
