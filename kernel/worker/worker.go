// Package worker runs cells in a process of their own, so that nothing a cell
// does can take the kernel down: not a panic in a goroutine of a library, not
// runaway recursion or memory, not a crash in C code, not kill -9.
//
// The [Supervisor], in the kernel's process, starts the worker process (the
// same binary, see [Main]), sends it cells and receives their output over
// pipes. When the worker dies it ends the running cell with an error that
// says what happened, and puts a spare worker, started ahead, in its place.
package worker

import (
	"context"
	"io"

	"github.com/gonvex/gonvex/kernel/display"
)

// Interpreter is what a worker process runs. Run, Execute and Comm run user
// code, are called for one cell at a time and end soon after their context; the
// other methods are called at any time, from other goroutines.
type Interpreter interface {
	Execute(ctx context.Context, code string, count int) Reply
	// Run is Execute on the calling goroutine. done is called once, with the
	// outcome and whether the goroutine can run another cell, which Run returns,
	// too. If not, done is called on another goroutine, and Run may never return.
	Run(ctx context.Context, code string, count int, done func(r Reply, well bool)) (well bool)
	Complete(code string, cursor int) Completion
	Inspect(code string, cursor, detail int) (display.Bundle, bool)
	IsComplete(code string) (status, indent string)
	// Comm handles a message of the front end.
	// A reply that is not OK with Ename [NoComm] says that nobody took it.
	Comm(ctx context.Context, m display.CommMessage) Reply
}

// NoComm is the name of the error that a message had no receiver.
const NoComm = "NoComm"

// Host is what an interpreter is given: where its output goes, how it asks for
// input, and its bounds.
type Host struct {
	Stdout, Stderr io.Writer
	Publisher      display.Publisher
	// Input asks the user for a line. It returns an error when the front end
	// does not allow input, or when the cell is interrupted.
	Input   func(prompt string, password bool) (string, error)
	MaxHeap uint64 // bytes
}

// Sink receives what a cell puts out, in order. It stays in use after the cell
// has ended, for the output of goroutines the cell started, until the next cell
// runs. Input may be called while the other methods are.
type Sink interface {
	Stream(name, text string) // "stdout" or "stderr"
	Display(b display.Bundle, id string, update bool)
	Clear(wait bool)
	Comm(m display.CommMessage)
	Input(ctx context.Context, prompt string, password bool) (string, error)
}

// ExecuteRequest is a cell to run.
type ExecuteRequest struct {
	Code  string
	Count int // the cell's number, for positions in errors
	// Expressions are evaluated after the cell has succeeded.
	Expressions map[string]string
	// Begun, if not nil, is called when the worker has been given the cell, or at
	// once if that will take a while. The cell is compiled meanwhile. It may be
	// called more than once, and after the cell's first output.
	Begun func()
}

func (q *ExecuteRequest) begun() {
	if q.Begun != nil {
		q.Begun()
	}
}

// Statuses of a [Reply].
const (
	OK      = "ok"
	Failed  = "error"
	Aborted = "aborted"
)

// Reply is the outcome of a cell.
type Reply struct {
	Status        string
	Value         *display.Bundle // of the last expression, nil if there is none
	Ename, Evalue string          // of an error
	Traceback     []string
	Warnings      []string
	NextInput     *string          // the front end is to put this in the cell's place
	Page          *display.Bundle  // the front end is to show this aside
	Expressions   map[string]Reply // by the key of ExecuteRequest.Expressions
	// Died says that the worker process ended: all definitions are lost. The
	// next cell runs in a new one.
	Died bool
	// Effect says what the cell left behind, for %restore.
	Effect Effect
}

// Effect is what a cell that succeeded left behind in the interpreter.
type Effect byte

// Most cells may have defined something; some cannot have, and %reset forgets
// all that was.
const (
	Defines Effect = iota
	Nothing
	Forgets
)

// Completion lists what can stand between Start and End, in code points.
type Completion struct {
	Matches    []Match
	Start, End int
}

// Match is one completion.
type Match struct {
	Text, Kind, Signature string
}

// Inspection describes what stands at a position.
type Inspection struct {
	Found  bool
	Bundle display.Bundle
}

func putReply(b []byte, r Reply) []byte {
	b = putString(b, r.Status)
	for _, v := range []*display.Bundle{r.Value, r.Page} {
		b = putBool(b, v != nil)
		if v != nil {
			b = putBundle(b, *v)
		}
	}
	b = putBool(b, r.NextInput != nil)
	if r.NextInput != nil {
		b = putString(b, *r.NextInput)
	}
	b = putString(b, r.Ename)
	b = putString(b, r.Evalue)
	b = putStrings(b, r.Traceback)
	b = putStrings(b, r.Warnings)
	b = append(b, byte(r.Effect))
	b = putInt(b, int64(len(r.Expressions)))
	for k, v := range r.Expressions {
		v.Expressions = nil
		b = putReply(putString(b, k), v)
	}
	return b
}

func (t *taker) reply(depth int) Reply {
	var r Reply
	r.Status = t.string()
	for _, at := range []**display.Bundle{&r.Value, &r.Page} {
		if t.bool() {
			v := t.bundle()
			*at = &v
		}
	}
	if t.bool() {
		next := t.string()
		r.NextInput = &next
	}
	r.Ename, r.Evalue = t.string(), t.string()
	r.Traceback, r.Warnings = t.strings(), t.strings()
	r.Effect = Effect(t.byte())
	n := t.int()
	if n < 0 || n > int64(len(t.b)) || n > 0 && depth > 0 {
		t.fail()
		return r
	}
	for range n {
		if r.Expressions == nil {
			r.Expressions = map[string]Reply{}
		}
		k := t.string()
		if t.err != nil {
			return r
		}
		r.Expressions[k] = t.reply(depth + 1)
	}
	return r
}

func putCompletion(b []byte, c Completion) []byte {
	b = putInt(putInt(b, int64(c.Start)), int64(c.End))
	b = putInt(b, int64(len(c.Matches)))
	for _, m := range c.Matches {
		b = putString(putString(putString(b, m.Text), m.Kind), m.Signature)
	}
	return b
}

func (t *taker) completion() Completion {
	c := Completion{Start: int(t.int()), End: int(t.int())}
	n := t.int()
	if n < 0 || n > int64(len(t.b)) {
		t.fail()
		return c
	}
	for range n {
		if t.err != nil {
			return Completion{}
		}
		c.Matches = append(c.Matches, Match{t.string(), t.string(), t.string()})
	}
	return c
}
