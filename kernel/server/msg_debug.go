package server

import (
	"context"

	"github.com/gonvex/gonvex/kernel/wire"
)

// There is no debugger, as kernel_info says. Clients that ask all the same get
// the Debug Adapter Protocol's own refusal.
func init() {
	handle("debug_request", handler{reply: "debug_reply", order: atOnce, do: debugRequest})
}

func debugRequest(_ context.Context, _ *Server, r *request) (any, error) {
	var q wire.DebugRequest
	if err := r.Unmarshal(&q); err != nil {
		return nil, err
	}
	return wire.DebugReply{
		Type: "response", RequestSeq: q.Seq, Command: q.Command, Message: "this kernel has no debugger", Body: []byte("{}"),
	}, nil
}
