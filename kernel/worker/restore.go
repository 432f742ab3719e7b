package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gonvex/gonvex/kernel/display"
)

// The supervisor keeps the cells that succeeded. When the interpreter dies they
// are the way back: %restore runs them again, in order, in the interpreter that
// took its place.

// pastCell is a cell that succeeded.
type pastCell struct {
	req ExecuteRequest
	in  *process // the interpreter that ran it last
}

// record keeps a cell that succeeded in process p.
func (s *Supervisor) record(req ExecuteRequest, p *process, effect Effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case effect == Forgets:
		s.past = nil
	case effect == Defines && strings.TrimSpace(req.Code) != "":
		req.Expressions, req.Begun = nil, nil
		s.past = append(s.past, pastCell{req, p})
	}
}

// offer says what can be done about the loss of all definitions. The caller
// holds s.mu.
func (s *Supervisor) offer() string {
	n := len(s.past)
	if s.stopRestore != nil {
		n-- // the cell that died while it was restored is given up
	}
	switch n {
	case 0:
		return "All definitions are lost."
	case 1:
		return "All definitions are lost: %restore runs the one cell that had succeeded again."
	default:
		return fmt.Sprintf("All definitions are lost: %%restore runs the %d cells that had succeeded again, in order.", n)
	}
}

// isRestore tells the cell that asks for it.
func isRestore(code string) bool {
	return strings.TrimSpace(code) == "%restore"
}

// Of a restore with many cells only the first are listed.
const listed = 40

// restore runs the past cells again. It ends at the first that fails, which it
// drops, so that asking again gets further.
func (s *Supervisor) restore(ctx context.Context, sink Sink) Reply {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	err := s.renew()
	missing, present := 0, 0
	for _, c := range s.past {
		if c.in == s.current {
			present++
		} else {
			missing++
		}
	}
	past, old, notice := slices.Clone(s.past), s.current, s.notice
	s.stopRestore, s.notice = cancel, ""
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.stopRestore, s.last = nil, sink
		s.mu.Unlock()
	}()
	if err != nil {
		return unable(err)
	}
	if notice != "" {
		sink.Stream("stderr", notice)
	}
	if missing == 0 {
		sink.Stream("stdout", "nothing is lost: this interpreter has run every cell that succeeded\n")
		return Reply{Status: OK}
	}
	if present > 0 {
		// It has run later cells. In the right order again, they need a new one.
		if err := s.replace(old); err != nil {
			return unable(err)
		}
	}
	start := time.Now()
	for i, c := range past {
		b := &brief{sink: sink}
		began := time.Now()
		r, p := s.cell(ctx, c.req, b)
		b.end()
		if r.Status == OK {
			s.mu.Lock()
			s.past[i].in = p
			s.mu.Unlock()
			switch {
			case i < listed:
				sink.Stream("stdout", fmt.Sprintf("[%d] %s  %s\n%s", c.req.Count, clipLine(c.req.Code, 60), took(time.Since(began)), b.text()))
			case i == listed:
				sink.Stream("stdout", fmt.Sprintf("… and %d more\n", len(past)-listed))
			}
			continue
		}
		where := fmt.Sprintf("%%restore stopped at [%d] %s, after %s", c.req.Count, clipLine(c.req.Code, 60), countCells(i))
		if ctx.Err() == nil { // an interrupt is not the cell's fault
			s.mu.Lock()
			s.past = slices.Delete(s.past, i, i+1)
			s.mu.Unlock()
			where += ". Run that cell yourself, mended; %restore will do the others without it"
		}
		r.Expressions, r.Value = nil, nil
		r.Traceback = append([]string{where + ":"}, r.Traceback...)
		return r
	}
	sink.Stream("stdout", fmt.Sprintf("restored: %s run again in %s\n", countCells(len(past)), took(time.Since(start))))
	return Reply{Status: OK}
}

func countCells(n int) string {
	if n == 1 {
		return "1 cell"
	}
	return fmt.Sprintf("%d cells", n)
}

func took(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// clipLine is the first line of a text, cut to n characters.
func clipLine(s string, n int) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if r := []rune(line); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	if strings.TrimSpace(rest) != "" {
		line += " …"
	}
	return line
}

// brief holds back what a cell puts out when it is run again, for a line about
// it. Once the cell has ended, what its goroutines put out goes through.
type brief struct {
	sink Sink

	mu      sync.Mutex
	ended   bool
	head    []byte
	lines   int // of text
	figures int // other outputs
}

const briefBytes = 400

func (b *brief) Stream(name, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		b.sink.Stream(name, text)
		return
	}
	b.lines += strings.Count(text, "\n")
	b.head = append(b.head, text[:min(len(text), briefBytes-len(b.head))]...)
}

func (b *brief) Display(v display.Bundle, id string, update bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended:
		b.sink.Display(v, id, update)
	case !update:
		b.figures++
	}
}

func (b *brief) Clear(wait bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		b.sink.Clear(wait)
		return
	}
	b.head, b.lines, b.figures = nil, 0, 0
}

func (b *brief) Comm(m display.CommMessage) { b.sink.Comm(m) }

func (b *brief) Input(ctx context.Context, prompt string, password bool) (string, error) {
	return b.sink.Input(ctx, prompt, password)
}

func (b *brief) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// text is the cell's output in a line or none.
func (b *brief) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var parts []string
	if line := clipLine(strings.ToValidUTF8(string(b.head), ""), 100); line != "" {
		if b.lines > 1 {
			line += fmt.Sprintf(" (%d lines)", b.lines)
		}
		parts = append(parts, line)
	}
	switch b.figures {
	case 0:
	case 1:
		parts = append(parts, "(1 output)")
	default:
		parts = append(parts, fmt.Sprintf("(%d outputs)", b.figures))
	}
	if len(parts) == 0 {
		return ""
	}
	return "    " + strings.Join(parts, " ") + "\n"
}
