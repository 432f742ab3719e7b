package worker

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/gonvex/gonvex/kernel/display"
)

// The two processes speak frames: a length of 4 bytes, a kind, the number of
// the request it belongs to (4 bytes), and a payload of strings and numbers
// with their lengths in front. It is ours alone and both ends come from one
// binary, so it has no versions.

type kind byte

const (
	// from the supervisor
	kindInit kind = iota + 1
	kindExecute
	kindInterrupt
	kindComplete
	kindInspect
	kindIsComplete
	kindInputReply
	// from the worker
	kindReady
	kindUnable
	kindStream
	kindDisplay
	kindClear
	kindInput
	kindReply
	kindAnswer
	// from either
	kindComm
)

const (
	frameHead = 9
	maxFrame  = 1 << 30
)

type frame struct {
	kind kind
	id   uint32
	body []byte
}

// begin appends the head of a frame; end fills in its length.
func begin(b []byte, k kind, id uint32) (buf []byte, start int) {
	start = len(b)
	b = append(b, 0, 0, 0, 0, byte(k))
	return binary.BigEndian.AppendUint32(b, id), start
}

func end(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-frameHead))
	return b
}

func readFrame(r *bufio.Reader) (frame, error) {
	var h [frameHead]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(h[:4])
	f := frame{kind: kind(h[4]), id: binary.BigEndian.Uint32(h[5:])}
	if n > maxFrame || f.kind < kindInit || f.kind > kindComm {
		return frame{}, fmt.Errorf("worker: bad frame of kind %d, %d bytes", f.kind, n)
	}
	if n <= 1<<20 {
		f.body = make([]byte, n)
		_, err := io.ReadFull(r, f.body)
		return f, err
	}
	// Take memory as the bytes arrive.
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(body) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	f.body = body
	return f, err
}

func putInt(b []byte, n int64) []byte { return binary.AppendVarint(b, n) }

func putBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func putString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func putStrings(b []byte, s []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, v := range s {
		b = putString(b, v)
	}
	return b
}

// The forms in which a bundle's entry can come.
const (
	entryString = iota
	entryBytes
	entryJSON
)

func putBundle(b []byte, v display.Bundle) []byte {
	keys := make([]string, 0, len(v.Data))
	for k := range v.Data {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, k := range keys {
		b = putString(b, k)
		switch e := v.Data[k].(type) {
		case string:
			b = putString(append(b, entryString), e)
		case []byte:
			b = putString(append(b, entryBytes), string(e))
		case json.RawMessage:
			b = putString(append(b, entryJSON), string(e))
		default:
			raw, err := json.Marshal(e)
			if err != nil { // NaN, a channel, a cycle: show it as Go prints it
				b = putString(append(b, entryString), fmt.Sprint(e))
			} else {
				b = putString(append(b, entryJSON), string(raw))
			}
		}
	}
	meta, err := json.Marshal(v.Metadata)
	if err != nil || len(v.Metadata) == 0 {
		meta = nil
	}
	return putString(b, string(meta))
}

func putComm(b []byte, m display.CommMessage) []byte {
	b = putString(putString(append(b, byte(m.Action)), m.ID), m.Target)
	b = putString(putString(b, string(m.Data)), string(m.Metadata))
	b = binary.AppendUvarint(b, uint64(len(m.Buffers)))
	for _, v := range m.Buffers {
		b = putString(b, string(v))
	}
	return b
}

func (t *taker) comm() display.CommMessage {
	m := display.CommMessage{Action: display.CommAction(t.byte()), ID: t.string(), Target: t.string(), Data: t.bytes(), Metadata: t.bytes()}
	for range t.length() {
		m.Buffers = append(m.Buffers, t.bytes())
	}
	if m.Action > display.CommClose {
		t.fail()
	}
	return m
}

var errShort = errors.New("worker: frame ends early")

// taker reads a payload; after an error it yields zero values.
type taker struct {
	b   []byte
	err error
}

func (t *taker) int() int64 {
	v, n := binary.Varint(t.b)
	if n <= 0 {
		t.fail()
		return 0
	}
	t.b = t.b[n:]
	return v
}

func (t *taker) fail() { t.b, t.err = nil, errShort }

func (t *taker) byte() byte {
	if len(t.b) == 0 {
		t.fail()
		return 0
	}
	v := t.b[0]
	t.b = t.b[1:]
	return v
}

func (t *taker) bool() bool { return t.byte() != 0 }

// length takes a count of things that take at least one byte each.
func (t *taker) length() int {
	n, k := binary.Uvarint(t.b)
	if k <= 0 || n > uint64(len(t.b)-k) {
		t.fail()
		return 0
	}
	t.b = t.b[k:]
	return int(n)
}

func (t *taker) bytes() []byte {
	n := t.length()
	v := t.b[:n]
	t.b = t.b[n:]
	return v
}

func (t *taker) string() string { return string(t.bytes()) }

func (t *taker) strings() []string {
	n := t.length()
	if n == 0 {
		return nil
	}
	s := make([]string, 0, min(n, 1024))
	for range n {
		if t.err != nil {
			return nil
		}
		s = append(s, t.string())
	}
	return s
}

func (t *taker) bundle() display.Bundle {
	var v display.Bundle
	n := t.length()
	if n > 0 {
		v.Data = make(map[string]any, min(n, 64))
	}
	for range n {
		k := t.string()
		switch form, b := t.byte(), t.bytes(); form {
		case entryString:
			v.Data[k] = string(b)
		case entryBytes:
			v.Data[k] = b
		case entryJSON:
			v.Data[k] = json.RawMessage(b)
		default:
			t.fail()
		}
		if t.err != nil {
			return display.Bundle{}
		}
	}
	if meta := t.bytes(); len(meta) > 0 {
		if err := json.Unmarshal(meta, &v.Metadata); err != nil {
			t.fail()
		}
	}
	return v
}
