package server

import (
	"context"
	"sync"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/transport"
	"github.com/gonvex/gonvex/kernel/wire"
	"github.com/gonvex/gonvex/kernel/worker"
)

// Comms end in the worker, with the cells that use them: what a message sets
// off runs there, after the cells that were sent before it.
func init() {
	handle("comm_info_request", handler{reply: "comm_info_reply", do: commInfo})
	for msgType, action := range map[string]display.CommAction{
		"comm_open": display.CommOpen, "comm_msg": display.CommSend, "comm_close": display.CommClose,
	} {
		handle(msgType, handler{order: inTurn, do: func(ctx context.Context, s *Server, r *request) (any, error) {
			return nil, commMessage(ctx, s, r, action)
		}})
	}
}

// comms are the open comms.
type comms struct {
	mu   sync.Mutex
	open map[string]string // id to target
}

// note keeps the list.
func (c *comms) note(m display.CommMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Action {
	case display.CommOpen:
		if c.open == nil {
			c.open = map[string]string{}
		}
		c.open[m.ID] = m.Target
	case display.CommClose:
		delete(c.open, m.ID)
	}
}

func commInfo(_ context.Context, s *Server, r *request) (any, error) {
	var q wire.CommInfoRequest
	if err := r.Unmarshal(&q); err != nil {
		return nil, err
	}
	reply := wire.CommInfoReply{Status: wire.OK, Comms: map[string]wire.CommInfo{}}
	s.comms.mu.Lock()
	defer s.comms.mu.Unlock()
	for id, target := range s.comms.open {
		if q.TargetName == "" || q.TargetName == target {
			reply.Comms[id] = wire.CommInfo{TargetName: target}
		}
	}
	return reply, nil
}

// commMessage takes a message of the front end to the worker. A comm that
// nobody there knows is closed again, as the protocol asks.
func commMessage(ctx context.Context, s *Server, r *request, action display.CommAction) error {
	var c wire.CommOpen // the others have fewer fields
	if err := r.Unmarshal(&c); err != nil || c.CommID == "" {
		return err
	}
	m := display.CommMessage{Action: action, ID: c.CommID, Target: c.TargetName, Data: c.Data, Buffers: r.Buffers}
	out := &outlet{s: s, r: r}
	reply := s.interp.Comm(ctx, m, out)
	switch {
	case reply.Ename != worker.NoComm:
		s.comms.note(m)
	case action != display.CommClose:
		out.Comm(display.CommMessage{Action: display.CommClose, ID: c.CommID})
	}
	if reply.Status != worker.OK && reply.Ename != worker.NoComm {
		s.publish("error", faultOf(reply), r.Message, transport.Wait)
	}
	return nil
}

// Comm passes a message of the worker on.
func (o *outlet) Comm(m display.CommMessage) {
	o.open()
	o.s.comms.note(m)
	if len(m.Data) == 0 {
		m.Data = []byte("{}")
	}
	var msgType string
	var content any
	switch m.Action {
	case display.CommOpen:
		msgType, content = "comm_open", wire.CommOpen{CommID: m.ID, TargetName: m.Target, Data: m.Data}
	case display.CommSend:
		msgType, content = "comm_msg", wire.CommMsg{CommID: m.ID, Data: m.Data}
	case display.CommClose:
		msgType, content = "comm_close", wire.CommClose{CommID: m.ID, Data: m.Data}
	}
	msg, err := o.s.codec.New(msgType, content, o.r.Message)
	if err != nil {
		o.s.log.Error("message not published", "type", msgType, "error", err)
		return
	}
	msg.Metadata, msg.Buffers = m.Metadata, m.Buffers
	o.s.publishMessage(msg, transport.Wait)
}
