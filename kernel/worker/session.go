package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/sweep"
	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/session"
)

// Main is the worker process of gonvex: a cell session.
func Main(ctx context.Context) int { return Serve(ctx, openSession) }

func openSession(h Host) (Interpreter, error) {
	s, err := session.New(session.Options{
		Stdout: h.Stdout, Stderr: h.Stderr, Publisher: h.Publisher, Input: h.Input, MaxHeap: h.MaxHeap,
	})
	if err != nil {
		return nil, err
	}
	c := &cells{s: s}
	convex.DefaultProgress = c.progress
	sweep.DefaultProgress = c.sweepProgress
	sweep.CellSources = s.Sources
	return c, nil
}

// cells is a session as the worker's interpreter.
type cells struct {
	s *session.Session

	mu   sync.Mutex
	bars map[string]*bar
}

// sweepProgress shows a running sweep as one line.
func (c *cells) sweepProgress(p sweep.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := "sweep " + p.Launcher
	began := time.Now().Add(-p.Elapsed)
	b := c.bars[key]
	if b != nil && began.Sub(b.start) > barAfter/2 { // the cell runs another
		b.line.Done(b.text)
		b = nil
	}
	if b == nil {
		b = &bar{line: display.NewProgress(key, p.Total), start: began, shown: true}
		if c.bars == nil {
			c.bars = map[string]*bar{}
		}
		c.bars[key] = b
	}
	b.text = fmt.Sprintf("%d running, %d waiting", p.Running, p.Waiting)
	if p.Running+p.Waiting == 0 {
		b.text = ""
	}
	for _, more := range []string{countOf(p.Failed, "failed"), p.Text} {
		switch {
		case more == "":
		case b.text == "":
			b.text = more
		default:
			b.text += ", " + more
		}
	}
	b.line.Report(display.Step{Iter: p.Done, Text: b.text})
}

// countOf is "3 failed", or "" for none.
func countOf(n int, what string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (c *cells) Execute(ctx context.Context, code string, count int) Reply {
	c.s.SetCount(count)
	return c.reply(c.s.Execute(ctx, code))
}

func (c *cells) Run(ctx context.Context, code string, count int, done func(Reply, bool)) (well bool) {
	c.s.SetCount(count)
	return c.s.Run(ctx, code, func(res *session.Result, err error, well bool) { done(c.reply(res, err), well) })
}

func (c *cells) reply(res *session.Result, err error) Reply {
	c.endBars()
	r := Reply{Status: OK}
	if res != nil {
		r.Value, r.Warnings, r.NextInput, r.Page = res.Value, res.Warnings, res.NextInput, res.Page
		switch {
		case res.Reset:
			r.Effect = Forgets
		case res.Stateless:
			r.Effect = Nothing
		}
	}
	if err != nil {
		r.Value = nil
		r.fail(err)
	}
	return r
}

// fail makes the reply one of a cell that ended in an error.
func (r *Reply) fail(err error) {
	r.Status = Failed
	var e *session.CellError
	if !errors.As(err, &e) {
		r.Ename, r.Evalue, r.Traceback = "Error", err.Error(), []string{err.Error()}
		return
	}
	r.Ename, r.Evalue, r.Traceback = e.Name, e.Error(), e.Traceback()
	if r.Ename == "" {
		r.Ename = e.Kind
	}
}

// Comm runs what a cell has said is to be done with a message. What goes wrong
// is also told to the receiver, which has a place on the page.
func (c *cells) Comm(ctx context.Context, m display.CommMessage) Reply {
	r := Reply{Status: OK}
	var nobody error
	err := c.s.Call(ctx, func() { nobody = display.Deliver(m) })
	c.endBars()
	switch {
	case err != nil:
		r.fail(err)
		display.DeliveryFailed(m.ID, strings.Join(r.Traceback, "\n"))
	case nobody != nil:
		r = Reply{Status: Failed, Ename: NoComm, Evalue: nobody.Error()}
	}
	return r
}

func (c *cells) Complete(code string, cursor int) Completion {
	v := c.s.Complete(code, cursor)
	out := Completion{Start: v.Start, End: v.End}
	for _, m := range v.Matches {
		out.Matches = append(out.Matches, Match(m))
	}
	return out
}

func (c *cells) Inspect(code string, cursor, detail int) (display.Bundle, bool) {
	return c.s.Inspect(code, cursor, detail)
}

func (c *cells) IsComplete(code string) (status, indent string) { return session.IsComplete(code) }

// bar is the progress line of a solver or a sweep in the running cell.
type bar struct {
	line  *display.Progress
	start time.Time
	over  int // solves that have ended
	shown bool
	text  string
}

// A solve shows a line only when it takes this long, and the many of a loop when
// they take three times as long together: most are over before.
const barAfter = 300 * time.Millisecond

// progress shows the reports of package convex as one line a solver, however
// often a cell calls it: fifty fits in a loop are one line that counts them.
func (c *cells) progress(p convex.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bars[p.Solver]
	if b == nil {
		b = &bar{line: display.NewProgress(p.Solver, 0), start: time.Now().Add(-p.Elapsed)} // its clock runs, shown or not
		if c.bars == nil {
			c.bars = map[string]*bar{}
		}
		c.bars[p.Solver] = b
	}
	solve := b.over + 1
	if p.Done {
		b.over++
	}
	if b.shown = b.shown || p.Elapsed >= barAfter || time.Since(b.start) >= 3*barAfter; !b.shown {
		return
	}
	b.text = fmt.Sprintf("objective %.6g", p.Primal)
	switch {
	case p.Of != "":
		b.text = p.Of + ": " + b.text
	case solve > 1:
		b.text = fmt.Sprintf("solve %d: ", solve) + b.text
	}
	step := display.Step{Iter: p.Iter, Left: p.ETA}
	if !math.IsInf(p.Gap, 0) && !math.IsNaN(p.Gap) {
		b.text += fmt.Sprintf(", gap %.1e", p.Gap)
	}
	if left := p.ETA.Seconds(); left > 0 {
		step.Fraction = p.Elapsed.Seconds() / (p.Elapsed.Seconds() + left)
	}
	step.Text = b.text
	b.line.Report(step)
}

// endBars leaves the last state of each line as plain text.
func (c *cells) endBars() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bars {
		if b.shown {
			b.line.Done(b.text)
		}
	}
	c.bars = nil
}
