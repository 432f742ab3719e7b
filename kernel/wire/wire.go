// Package wire is the Jupyter message protocol, version 5.5
// (https://jupyter-client.readthedocs.io/en/stable/messaging.html), as bytes
// and Go values: frames, signatures, and a struct for the content of every
// message. It has no sockets.
//
// On the wire a message is a list of frames: routing identities, the delimiter
// <IDS|MSG>, a hex HMAC, the four JSON objects header, parent header, metadata
// and content, then raw buffers. A [Codec] turns frames into a [Message] and
// back; it refuses what is not signed with the key of the connection file, what
// it has seen before, and what is not well formed.
package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"
)

// ProtocolVersion is the version of the messaging protocol spoken here.
const ProtocolVersion = "5.5"

const delimiter = "<IDS|MSG>"

// Bounds on what is decoded, besides the transport's bound on a whole message.
const (
	maxHeader     = 64 << 10
	maxIdentities = 16
	replayWindow  = 1 << 16 // signatures remembered
)

// Header identifies a message. All fields are part of every header sent.
type Header struct {
	MsgID    string `json:"msg_id"`
	Session  string `json:"session"`
	Username string `json:"username"`
	Date     string `json:"date"` // ISO 8601 with a zone
	MsgType  string `json:"msg_type"`
	Version  string `json:"version"`
	Subshell string `json:"subshell_id,omitempty"` // protocol 5.5, empty for the main shell
}

// Message is one message. Parent, Metadata and Content are JSON objects; nil
// stands for {}.
type Message struct {
	Identities [][]byte // on ROUTER sockets, the peer; on iopub, the topic
	Header     Header
	RawHeader  json.RawMessage // the header as it came: a reply's parent header, verbatim
	Parent     json.RawMessage
	Metadata   json.RawMessage
	Content    json.RawMessage
	Buffers    [][]byte
}

// Reasons for refusing a message. Decode's errors wrap one of them; none says
// anything about the key.
var (
	ErrMalformed = errors.New("malformed message")
	ErrSignature = errors.New("wrong signature")
	ErrReplay    = errors.New("message seen before")
)

// Codec signs, checks, encodes and decodes. It is safe for concurrent use.
type Codec struct {
	Session  string // of the messages made here
	Username string

	key []byte
	mac sync.Pool

	mu   sync.Mutex
	seen map[[sha256.Size]byte]struct{}
	ring [][sha256.Size]byte
	next int
}

// NewCodec returns a codec for the key and signature scheme of a connection
// file. An empty key turns signatures off, as the protocol has it. The only
// scheme is hmac-sha256, the one Jupyter uses; empty means the same.
func NewCodec(key, scheme, session, username string) (*Codec, error) {
	if scheme != "" && scheme != "hmac-sha256" {
		return nil, fmt.Errorf("wire: signature scheme %q is not supported: set Session.signature_scheme to hmac-sha256", scheme)
	}
	c := &Codec{Session: session, Username: username, key: []byte(key), seen: map[[sha256.Size]byte]struct{}{}}
	c.mac.New = func() any { return hmac.New(sha256.New, c.key) }
	return c, nil
}

func (c *Codec) sign(parts [][]byte) (sum [sha256.Size]byte) {
	h := c.mac.Get().(hash.Hash)
	h.Reset()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	c.mac.Put(h)
	return sum
}

// Decode reads the frames of a message that a client sent.
func (c *Codec) Decode(frames [][]byte) (*Message, error) {
	at := -1
	for i, f := range frames {
		if i > maxIdentities {
			break
		}
		if string(f) == delimiter {
			at = i
			break
		}
	}
	if at < 0 {
		return nil, fmt.Errorf("wire: %w: no %s frame", ErrMalformed, delimiter)
	}
	body := frames[at+1:]
	if len(body) < 5 {
		return nil, fmt.Errorf("wire: %w: %d frames after the delimiter, need 5", ErrMalformed, len(body))
	}
	signature, parts := body[0], body[1:5]
	if len(c.key) > 0 {
		want := c.sign(parts)
		got := make([]byte, sha256.Size)
		if len(signature) != hex.EncodedLen(sha256.Size) {
			return nil, fmt.Errorf("wire: %w", ErrSignature)
		}
		if _, err := hex.Decode(got, signature); err != nil || !hmac.Equal(got, want[:]) {
			return nil, fmt.Errorf("wire: %w", ErrSignature)
		}
		if !c.remember(want) {
			return nil, fmt.Errorf("wire: %w", ErrReplay)
		}
	}
	m := &Message{Identities: frames[:at], RawHeader: parts[0], Buffers: body[5:]}
	if len(parts[0]) > maxHeader {
		return nil, fmt.Errorf("wire: %w: a header of %d bytes", ErrMalformed, len(parts[0]))
	}
	for i, name := range [4]string{"header", "parent header", "metadata", "content"} {
		if !isObject(parts[i]) {
			return nil, fmt.Errorf("wire: %w: the %s is not a JSON object", ErrMalformed, name)
		}
	}
	if err := json.Unmarshal(parts[0], &m.Header); err != nil {
		return nil, fmt.Errorf("wire: %w: header: %v", ErrMalformed, err)
	}
	if m.Header.MsgID == "" || m.Header.MsgType == "" {
		return nil, fmt.Errorf("wire: %w: a header needs msg_id and msg_type", ErrMalformed)
	}
	m.Parent, m.Metadata, m.Content = parts[1], parts[2], parts[3]
	return m, nil
}

// isObject reports whether b is exactly one JSON object in valid UTF-8 or
// near it: encoding/json mends broken UTF-8 inside strings.
func isObject(b []byte) bool {
	t := bytes.TrimLeft(b, " \t\r\n")
	return len(t) > 0 && t[0] == '{' && json.Valid(t)
}

// remember reports whether a signature is new, and keeps it.
func (c *Codec) remember(sum [sha256.Size]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.seen[sum]; ok {
		return false
	}
	if len(c.ring) < replayWindow {
		c.ring = append(c.ring, sum)
	} else {
		delete(c.seen, c.ring[c.next])
		c.ring[c.next] = sum
		c.next = (c.next + 1) % replayWindow
	}
	c.seen[sum] = struct{}{}
	return true
}

var empty = []byte("{}")

// Encode makes the frames of a message, signed.
func (c *Codec) Encode(m *Message) ([][]byte, error) {
	header, err := json.Marshal(m.Header)
	if err != nil {
		return nil, fmt.Errorf("wire: header of %s: %w", m.Header.MsgType, err)
	}
	parts := [4][]byte{header, m.Parent, m.Metadata, m.Content}
	for i := range parts {
		if len(parts[i]) == 0 {
			parts[i] = empty
		}
	}
	frames := make([][]byte, 0, len(m.Identities)+6+len(m.Buffers))
	frames = append(frames, m.Identities...)
	frames = append(frames, []byte(delimiter), nil)
	frames = append(frames, parts[:]...)
	if len(c.key) > 0 {
		sum := c.sign(parts[:])
		frames[len(m.Identities)+1] = []byte(hex.EncodeToString(sum[:]))
	}
	return append(frames, m.Buffers...), nil
}

// New makes a message of this codec's session. The content is one of this
// package's content structs; parent is the message it answers, or nil.
func (c *Codec) New(msgType string, content any, parent *Message) (*Message, error) {
	raw, err := Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("wire: content of %s: %w", msgType, err)
	}
	m := &Message{Header: c.header(msgType), Content: raw}
	if parent != nil {
		m.Parent = parent.RawHeader
		m.Header.Subshell = parent.Header.Subshell
	}
	return m, nil
}

func (c *Codec) header(msgType string) Header {
	return Header{
		MsgID: NewID(), Session: c.Session, Username: c.Username, MsgType: msgType,
		Date: time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), Version: ProtocolVersion,
	}
}

// Marshal is json.Marshal without the escaping of <, > and &, which would make
// HTML outputs several times longer.
func Marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// NewID returns a random identifier in the form of a version 4 UUID.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Unmarshal reads a message's content into v, a pointer to a content struct.
// Its errors name the field that is wrong.
func (m *Message) Unmarshal(v any) error {
	err := json.Unmarshal(m.Content, v)
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Errorf("%s: field %q cannot be a %s", m.Header.MsgType, t.Field, t.Value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.Header.MsgType, err)
	}
	return nil
}
