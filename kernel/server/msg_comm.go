package server

import (
	"context"
	"sync"

	"github.com/gonvex/gonvex/kernel/wire"
)

func init() {
	handle("comm_info_request", handler{reply: "comm_info_reply", do: commInfo})
	handle("comm_open", handler{do: commOpen})
	handle("comm_msg", handler{do: commMsg})
	handle("comm_close", handler{do: commClose})
}

// comms are the open comms. No target is known yet, so a comm that a front end
// opens is closed again, as the protocol asks.
type comms struct {
	mu   sync.Mutex
	open map[string]string // id to target
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

func commOpen(_ context.Context, s *Server, r *request) (any, error) {
	var c wire.CommOpen
	if err := r.Unmarshal(&c); err != nil || c.CommID == "" {
		return nil, err
	}
	s.publish("comm_close", wire.CommClose{CommID: c.CommID, Data: []byte("{}")}, r.Message, false)
	return nil, nil
}

// commMsg: data for a comm that is not open has no one to go to.
func commMsg(context.Context, *Server, *request) (any, error) { return nil, nil }

func commClose(_ context.Context, s *Server, r *request) (any, error) {
	var c wire.CommClose
	if err := r.Unmarshal(&c); err != nil {
		return nil, err
	}
	s.comms.mu.Lock()
	delete(s.comms.open, c.CommID)
	s.comms.mu.Unlock()
	return nil, nil
}
