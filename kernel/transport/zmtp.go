// Package transport carries Jupyter's sockets: a small server for ZMTP 3.0
// (https://rfc.zeromq.org/spec/23/), the wire protocol of ZeroMQ, with the
// NULL mechanism and the three socket types a kernel binds: ROUTER, XPUB and
// REP. It also has the client ends of those sockets, which tests and tools use.
//
// It differs from a general ZeroMQ library on purpose. No peer can block
// another: every connection has its own reader, writer and byte budget.
// Nothing is dropped silently: a subscriber that reads slowly makes the
// publisher wait, and one that has stopped reading is cut off and told so by
// its closed connection. And no announced length is believed: memory is taken
// as bytes arrive, under a bound.
package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Message is a ZeroMQ message: one or more frames.
type Message [][]byte

// Size is the number of payload bytes in m.
func (m Message) Size() int {
	n := 0
	for _, f := range m {
		n += len(f)
	}
	return n
}

const (
	flagMore    = 1
	flagLong    = 2
	flagCommand = 4

	// Every frame costs this much of a budget besides its bytes, so that a
	// flood of empty frames is bounded too.
	frameOverhead = 64

	maxFrames    = 4096    // frames in one message
	maxHandshake = 4096    // bytes of a READY command
	growStep     = 1 << 20 // take memory for a long frame in steps of this size
)

var errTooLarge = errors.New("zmtp: message exceeds the size limit")

// readMessage reads one message, or one command (command is then true and m
// has a single frame). The bytes of all frames together may not exceed limit.
func readMessage(r *bufio.Reader, limit int) (m Message, command bool, err error) {
	left := uint64(limit)
	for {
		flags, err := r.ReadByte()
		if err != nil {
			return nil, false, err
		}
		if flags&^(flagMore|flagLong|flagCommand) != 0 {
			return nil, false, fmt.Errorf("zmtp: reserved bits in frame flags %#x", flags)
		}
		isCommand := flags&flagCommand != 0
		if isCommand && (flags&flagMore != 0 || len(m) > 0) {
			return nil, false, errors.New("zmtp: command inside a multipart message")
		}
		var size uint64
		if flags&flagLong != 0 {
			var b [8]byte
			if _, err := io.ReadFull(r, b[:]); err != nil {
				return nil, false, unexpected(err)
			}
			size = binary.BigEndian.Uint64(b[:])
		} else {
			b, err := r.ReadByte()
			if err != nil {
				return nil, false, unexpected(err)
			}
			size = uint64(b)
		}
		if size > left || len(m) == maxFrames {
			return nil, false, errTooLarge
		}
		left -= size
		frame, err := readFrame(r, int(size))
		if err != nil {
			return nil, false, unexpected(err)
		}
		m = append(m, frame)
		if flags&flagMore == 0 {
			return m, isCommand, nil
		}
	}
}

// readFrame reads size bytes, taking memory as they arrive and not as they
// were promised.
func readFrame(r io.Reader, size int) ([]byte, error) {
	frame := make([]byte, min(size, growStep))
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	for len(frame) < size {
		step := min(size-len(frame), max(growStep, len(frame)))
		have := len(frame)
		frame = append(frame, make([]byte, step)...)
		if _, err := io.ReadFull(r, frame[have:]); err != nil {
			return nil, err
		}
	}
	return frame, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// writeMessage writes the frames of m. w is buffered by the caller, who flushes
// once a burst.
func writeMessage(w *bufio.Writer, m Message) error {
	for i, f := range m {
		if err := writeFrame(w, moreFlag(m, i), f); err != nil {
			return err
		}
	}
	return nil
}

func writeFrame(w *bufio.Writer, flags byte, f []byte) error {
	if _, err := w.Write(appendHead(w.AvailableBuffer(), flags, len(f))); err != nil {
		return err
	}
	_, err := w.Write(f)
	return err
}

// appendMessage is writeMessage into memory.
func appendMessage(b []byte, m Message) []byte {
	for i, f := range m {
		b = append(appendHead(b, moreFlag(m, i), len(f)), f...)
	}
	return b
}

// moreFlag is the flag of frame i of m.
func moreFlag(m Message, i int) byte {
	if i < len(m)-1 {
		return flagMore
	}
	return 0
}

// appendHead appends what stands before a frame of that size.
func appendHead(b []byte, flags byte, size int) []byte {
	if size > 255 {
		return binary.BigEndian.AppendUint64(append(b, flags|flagLong), uint64(size))
	}
	return append(b, flags, byte(size))
}

const greetingSize = 64

// greeting is ours: signature, version 3.0, mechanism NULL, as-server 0. The
// padding of the signature is all zero; a peer of ZMTP 1.0 would read a length
// there, and such peers are refused.
func greeting() []byte {
	g := make([]byte, greetingSize)
	g[0], g[9] = 0xff, 0x7f
	g[10] = 3
	copy(g[12:32], "NULL")
	return g
}

func checkGreeting(g []byte) error {
	switch {
	case len(g) != greetingSize:
		return errors.New("zmtp: short greeting")
	case g[0] != 0xff || g[9]&1 != 1:
		return errors.New("zmtp: the peer does not speak ZMTP")
	case g[10] < 3:
		return fmt.Errorf("zmtp: peer version %d, need 3 or later", g[10])
	}
	want := greeting()[12:32]
	if string(g[12:32]) != string(want) {
		return fmt.Errorf("zmtp: mechanism %q is not supported, only NULL", trimZero(g[12:32]))
	}
	return nil
}

func trimZero(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// ready is the body of the READY command that ends a NULL handshake.
func ready(kind Kind, identity string) []byte {
	b := []byte("\x05READY")
	for _, p := range [2][2]string{{"Socket-Type", string(kind)}, {"Identity", identity}} {
		b = append(b, byte(len(p[0])))
		b = append(b, p[0]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p[1])))
		b = append(b, p[1]...)
	}
	return b
}

// parseReady reads the peer's socket type and identity from its READY command.
func parseReady(b []byte) (kind Kind, identity string, err error) {
	const name = "\x05READY"
	if len(b) < len(name) || string(b[:len(name)]) != name {
		return "", "", errors.New("zmtp: expected READY")
	}
	b = b[len(name):]
	bad := errors.New("zmtp: malformed READY")
	for len(b) > 0 {
		n := int(b[0])
		if len(b) < 1+n+4 {
			return "", "", bad
		}
		key := string(b[1 : 1+n])
		size := binary.BigEndian.Uint32(b[1+n:])
		b = b[1+n+4:]
		if uint64(size) > uint64(len(b)) {
			return "", "", bad
		}
		value := string(b[:size])
		b = b[size:]
		switch key {
		case "Socket-Type":
			kind = Kind(value)
		case "Identity":
			identity = value
		}
	}
	// A leading zero is reserved for identities the server makes up.
	if len(identity) > 255 || identity != "" && identity[0] == 0 {
		return "", "", fmt.Errorf("zmtp: identity %.20q is not allowed", identity)
	}
	return kind, identity, nil
}

// handshake runs the greeting and READY exchange of the NULL mechanism over rw
// and returns what the peer said it is.
func handshake(w io.Writer, r *bufio.Reader, kind Kind, identity string) (peer Kind, peerID string, err error) {
	if _, err := w.Write(greeting()); err != nil {
		return "", "", err
	}
	g := make([]byte, greetingSize)
	if _, err := io.ReadFull(r, g); err != nil {
		return "", "", err
	}
	if err := checkGreeting(g); err != nil {
		return "", "", err
	}
	bw := bufio.NewWriter(w)
	if err := writeFrame(bw, flagCommand, ready(kind, identity)); err != nil {
		return "", "", err
	}
	if err := bw.Flush(); err != nil {
		return "", "", err
	}
	m, command, err := readMessage(r, maxHandshake)
	if err != nil {
		return "", "", err
	}
	if !command {
		return "", "", errors.New("zmtp: message before READY")
	}
	if peer, peerID, err = parseReady(m[0]); err != nil {
		return "", "", err
	}
	if !kind.accepts(peer) {
		return "", "", fmt.Errorf("zmtp: a %s socket does not talk to %q", kind, peer)
	}
	return peer, peerID, nil
}

// pong answers a PING command (context bytes echoed, time-to-live skipped).
func pong(ping []byte) ([]byte, bool) {
	const name = "\x04PING"
	if len(ping) < len(name)+2 || string(ping[:len(name)]) != name {
		return nil, false
	}
	return append([]byte("\x04PONG"), ping[len(name)+2:]...), true
}
