package server

import (
	"context"

	"github.com/gonvex/gonvex/kernel/wire"
)

func init() {
	handle("history_request", handler{reply: "history_reply", do: historyRequest})
}

func historyRequest(_ context.Context, s *Server, r *request) (any, error) {
	var q wire.HistoryRequest
	if err := r.Unmarshal(&q); err != nil {
		return nil, err
	}
	var cells []pastCell
	switch q.AccessType {
	case "tail":
		cells = s.history.tail(q.N)
	case "range":
		cells = s.history.between(q.Session, q.Start, q.Stop)
	case "search":
		cells = s.history.search(q.Pattern, q.N, q.Unique)
	default:
		return nil, &fault{"BadRequest", "hist_access_type must be tail, range or search"}
	}
	reply := wire.HistoryReply{Status: wire.OK, History: [][]any{}}
	for _, c := range cells {
		if q.Output {
			var out any
			if c.Output != "" {
				out = c.Output
			}
			reply.History = append(reply.History, []any{c.Session, c.Line, []any{c.Input, out}})
		} else {
			reply.History = append(reply.History, []any{c.Session, c.Line, c.Input})
		}
	}
	return reply, nil
}
