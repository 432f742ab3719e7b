package server

import (
	"context"

	"github.com/gonvex/gonvex/kernel/wire"
)

// Both are answered at once on either channel, also while a cell runs.
func init() {
	handle("shutdown_request", handler{reply: "shutdown_reply", order: atOnce, do: shutdown, then: func(s *Server) { s.stop() }})
	handle("interrupt_request", handler{reply: "interrupt_reply", order: atOnce, do: interrupt})
}

func shutdown(_ context.Context, _ *Server, r *request) (any, error) {
	var q wire.ShutdownRequest
	if err := r.Unmarshal(&q); err != nil {
		q.Restart = false // whoever may ask may also ask clumsily
	}
	return wire.ShutdownReply{Status: wire.OK, Restart: q.Restart}, nil
}

func interrupt(_ context.Context, s *Server, _ *request) (any, error) {
	s.interp.Interrupt()
	return wire.StatusReply{Status: wire.OK}, nil
}
