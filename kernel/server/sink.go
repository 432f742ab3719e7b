package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/transport"
	"github.com/gonvex/gonvex/kernel/wire"
)

// outlet is where the output of one cell goes: iopub, with the cell's request
// as parent, and stdin for questions.
type outlet struct {
	s          *Server
	r          *request
	silent     bool
	allowStdin bool
	// opening publishes, once, that the cell runs: before all that it puts out,
	// and no sooner than it is on its way to the worker. Nil for comms.
	opening func()
}

// publish publishes a message of the cell.
func (o *outlet) publish(msgType string, content any) {
	o.open()
	o.s.publish(msgType, content, o.r.Message, transport.Wait)
}

func (o *outlet) open() {
	if o.opening != nil {
		o.opening()
	}
}

// maxStream bounds the text of one stream message: servers and front ends
// handle many small messages at once and a big one in one piece.
const maxStream = 128 << 10

func (o *outlet) Stream(name, text string) {
	if o.silent {
		return
	}
	for len(text) > maxStream {
		n := maxStream
		for n > maxStream-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
		o.publish("stream", wire.Stream{Name: name, Text: text[:n]})
		text = text[n:]
	}
	o.publish("stream", wire.Stream{Name: name, Text: text})
}

func (o *outlet) Display(b display.Bundle, id string, update bool) {
	if o.silent {
		return
	}
	msgType := "display_data"
	if update {
		msgType = "update_display_data"
	}
	o.publish(msgType, wire.DisplayData{MIMEBundle: bundle(b), Transient: wire.Transient{DisplayID: id}})
}

func (o *outlet) Clear(wait bool) {
	if !o.silent {
		o.publish("clear_output", wire.ClearOutput{Wait: wait})
	}
}

func (o *outlet) Input(ctx context.Context, prompt string, password bool) (string, error) {
	if !o.allowStdin {
		return "", errors.New("this front end does not take input: run the cell in JupyterLab or a console")
	}
	o.open()
	return o.s.stdin.ask(ctx, o.s, o.r, prompt, password)
}

// bundle puts an output into the protocol's form: text as strings, JSON as
// itself, other bytes in base64.
func bundle(b display.Bundle) wire.MIMEBundle {
	v := wire.MIMEBundle{Data: wire.Object{}, Metadata: wire.Object(b.Metadata)}
	for mime, content := range b.Data {
		isJSON := mime == display.MIMEJSON || strings.HasSuffix(mime, "+json")
		switch c := content.(type) {
		case string:
			if isJSON && json.Valid([]byte(c)) {
				v.Data[mime] = json.RawMessage(c)
			} else {
				v.Data[mime] = c
			}
		case []byte:
			if strings.HasPrefix(mime, "text/") || mime == display.MIMESVG {
				v.Data[mime] = string(c)
			} else {
				v.Data[mime] = base64.StdEncoding.EncodeToString(c)
			}
		case json.RawMessage:
			if json.Valid(c) {
				v.Data[mime] = c
			}
		default:
			if raw, err := wire.Marshal(c); err == nil {
				v.Data[mime] = raw
			}
		}
	}
	return v
}

// stdin asks front ends for input and waits for their replies.
type stdin struct {
	answers chan answer
}

type answer struct {
	peer  string
	value string
}

func (k *stdin) receive(ctx context.Context, s *Server) {
	for {
		in, err := s.sockets.Stdin.Recv(ctx)
		if err != nil {
			return
		}
		m, err := s.codec.Decode(in.Frames)
		if err != nil {
			s.log.Warn("message dropped", "channel", "stdin", "reason", err)
			continue
		}
		var c wire.InputReply
		if m.Header.MsgType != "input_reply" || m.Unmarshal(&c) != nil {
			continue
		}
		s.mu.Lock()
		ch := k.answers
		s.mu.Unlock()
		if ch != nil {
			select {
			case ch <- answer{in.Peer, c.Value}:
			default: // more answers than questions
			}
		}
	}
}

// stdinWait is how long a question waits for the front end's stdin channel,
// which connects on its own and may do so after the first cell was sent.
const stdinWait = 10 * time.Second

// await waits until the peer's stdin channel is there: a message to a peer that
// has not connected would be dropped, and the cell would wait for ever.
func (k *stdin) await(ctx context.Context, s *Server, peer string) error {
	limit := time.NewTimer(stdinWait)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !s.sockets.Stdin.Has(peer) {
		select {
		case <-tick.C:
		case <-limit.C:
			return errors.New("input: the front end has no stdin channel to ask on")
		case <-ctx.Done():
			return errors.New("interrupted while it waited for input")
		}
	}
	return nil
}

// ask sends an input_request to the client whose cell runs and waits for its
// reply, or for the end of ctx, which an interrupt brings.
func (k *stdin) ask(ctx context.Context, s *Server, r *request, prompt string, password bool) (string, error) {
	ch := make(chan answer, 1)
	s.mu.Lock()
	if k.answers != nil {
		s.mu.Unlock()
		return "", errors.New("input: another goroutine of this cell is waiting for input")
	}
	k.answers = ch
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		k.answers = nil
		s.mu.Unlock()
	}()
	if err := k.await(ctx, s, r.peer); err != nil {
		return "", err
	}
	s.send(s.sockets.Stdin, r.peer, "input_request", wire.InputRequest{Prompt: prompt, Password: password}, r.Message)
	for {
		select {
		case a := <-ch:
			if a.peer == r.peer {
				return a.value, nil
			}
		case <-ctx.Done():
			return "", errors.New("interrupted while it waited for input")
		}
	}
}
