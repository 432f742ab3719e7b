package server

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/gonvex/gonvex/kernel/transport"
	"github.com/gonvex/gonvex/kernel/wire"
	"github.com/gonvex/gonvex/kernel/worker"
)

func init() {
	handle("execute_request", handler{reply: "execute_reply", order: inTurn, opens: true, do: execute})
}

func execute(ctx context.Context, s *Server, r *request) (any, error) {
	var q wire.ExecuteRequest
	if err := r.Unmarshal(&q); err != nil {
		return nil, err
	}
	isSet := func(p *bool) bool { return p == nil || *p }
	s.mu.Lock()
	aborted := !r.at.After(s.aborted)
	store := isSet(q.StoreHistory) && !q.Silent
	if store && !aborted {
		s.count++
	}
	count := s.count
	s.mu.Unlock()
	if aborted {
		return wire.ExecuteReply{Status: wire.Aborted, ExecutionCount: count, Fault: &wire.Fault{
			EName: "Aborted", EValue: "a cell before this one failed", Traceback: wire.Strings{"Aborted: a cell before this one failed"},
		}}, nil
	}
	out := &outlet{s: s, r: r, silent: q.Silent, allowStdin: isSet(q.AllowStdin)}
	out.opening = sync.OnceFunc(func() {
		if q.Silent {
			s.begin(r, 0)
			return
		}
		s.begin(r, transport.WithNext)
		s.publish("execute_input", wire.ExecuteInput{Code: q.Code, ExecutionCount: count}, r.Message, transport.Wait)
	})
	reply := s.interp.Execute(ctx, worker.ExecuteRequest{Code: q.Code, Count: count, Expressions: q.UserExpressions, Begun: out.opening}, out)
	out.opening()
	for _, w := range reply.Warnings {
		out.Stream("stderr", "warning: "+strings.TrimSuffix(w, "\n")+"\n")
	}
	shown := ""
	if reply.Value != nil {
		shown = reply.Value.Text()
	}
	if store {
		s.history.add(count, q.Code, shown)
	}
	if reply.Status != worker.OK {
		f := faultOf(reply)
		if !q.Silent {
			s.publish("error", f, r.Message, transport.Wait|transport.WithNext)
		}
		if isSet(q.StopOnError) {
			// What is queued by now was sent in the belief that this would work.
			s.mu.Lock()
			s.aborted = time.Now()
			s.mu.Unlock()
		}
		return wire.ExecuteReply{Status: wire.Failed, ExecutionCount: count, Fault: &f}, nil
	}
	if reply.Value != nil && !q.Silent {
		s.publish("execute_result", wire.ExecuteResult{ExecutionCount: count, MIMEBundle: bundle(*reply.Value)}, r.Message, transport.Wait|transport.WithNext)
	}
	exprs := wire.Object{}
	for k, e := range reply.Expressions {
		if e.Status == worker.OK && e.Value != nil {
			exprs[k] = wire.MIMEBundleReply{Status: wire.OK, MIMEBundle: bundle(*e.Value)}
		} else {
			exprs[k] = wire.FaultReply{Status: wire.Failed, Fault: faultOf(e)}
		}
	}
	return wire.ExecuteReply{Status: wire.OK, ExecutionCount: count, Payload: payload(reply), UserExpressions: exprs}, nil
}

func faultOf(r worker.Reply) wire.Fault {
	f := wire.Fault{EName: r.Ename, EValue: r.Evalue, Traceback: r.Traceback}
	if f.EName == "" {
		f.EName = "Error"
	}
	if f.EValue == "" {
		f.EValue = f.EName
	}
	if len(f.Traceback) == 0 {
		f.Traceback = wire.Strings{f.EName + ": " + f.EValue}
	}
	return f
}

// payload is what the front end is to do besides showing outputs.
func payload(r worker.Reply) (p []any) {
	if r.NextInput != nil {
		p = append(p, wire.SetNextInput{Source: "set_next_input", Text: *r.NextInput, Replace: true})
	}
	if r.Page != nil {
		p = append(p, wire.Page{Source: "page", Data: bundle(*r.Page).Data})
	}
	return p
}
