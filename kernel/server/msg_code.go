package server

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/gonvex/gonvex/kernel/wire"
)

// Questions about code: none of them runs any.
func init() {
	handle("complete_request", handler{reply: "complete_reply", do: complete})
	handle("inspect_request", handler{reply: "inspect_reply", do: inspect})
	handle("is_complete_request", handler{reply: "is_complete_reply", do: isComplete})
}

// answerTime bounds how long a question may take, the start of the interpreter
// included.
const answerTime = 5 * time.Second

// cursorOf brings a cursor, in code points, within the code.
func cursorOf(code string, pos *int) int {
	n := utf8.RuneCountInString(code)
	if pos == nil {
		return n
	}
	return min(max(*pos, 0), n)
}

func complete(ctx context.Context, s *Server, r *request) (any, error) {
	var q wire.CompleteRequest
	if err := r.Unmarshal(&q); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	cursor := cursorOf(q.Code, q.CursorPos)
	c, err := s.interp.Complete(ctx, q.Code, cursor)
	reply := wire.CompleteReply{Status: wire.OK, CursorStart: cursor, CursorEnd: cursor}
	if err != nil || len(c.Matches) == 0 {
		return reply, nil // nothing to offer is not an error
	}
	reply.CursorStart, reply.CursorEnd = c.Start, max(c.Start, c.End)
	typed := make([]wire.TypedMatch, len(c.Matches))
	for i, m := range c.Matches {
		reply.Matches = append(reply.Matches, m.Text)
		typed[i] = wire.TypedMatch{Start: c.Start, End: reply.CursorEnd, Text: m.Text, Type: m.Kind, Signature: m.Signature}
	}
	reply.Metadata = wire.Object{wire.TypedMatchesKey: typed}
	return reply, nil
}

func inspect(ctx context.Context, s *Server, r *request) (any, error) {
	var q wire.InspectRequest
	if err := r.Unmarshal(&q); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	i, err := s.interp.Inspect(ctx, q.Code, cursorOf(q.Code, q.CursorPos), q.DetailLevel)
	reply := wire.InspectReply{Status: wire.OK}
	if err == nil && i.Found {
		reply.Found, reply.MIMEBundle = true, bundle(i.Bundle)
	}
	return reply, nil
}

func isComplete(ctx context.Context, s *Server, r *request) (any, error) {
	var q wire.IsCompleteRequest
	if err := r.Unmarshal(&q); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	status, indent, err := s.interp.IsComplete(ctx, q.Code)
	if err != nil {
		status = "unknown"
	}
	return wire.IsCompleteReply{Status: status, Indent: indent}, nil
}
