package session

import (
	"fmt"
	"go/token"
	"strings"
	"unicode/utf8"
)

// Kinds of a CellError.
const (
	KindSyntax      = "syntax"      // the cell does not parse
	KindType        = "type"        // the cell does not type-check
	KindModule      = "module"      // a third-party module cannot be had or not be interpreted
	KindInterpreter = "interpreter" // valid Go that the interpreter cannot run
	KindPanic       = "panic"       // the cell panicked while it ran
	KindInterrupted = "interrupted" // the cell's context ended
	KindLimit       = "limit"       // the stack or heap limit was reached
	KindExit        = "exit"        // os.Exit with a code other than 0
)

var kindNames = map[string]string{
	KindSyntax: "SyntaxError", KindType: "TypeError", KindModule: "ModuleError", KindInterpreter: "InterpreterLimit", KindPanic: "Panic",
	KindInterrupted: "Interrupted", KindLimit: "LimitExceeded", KindExit: "Exit",
}

// CellError says what went wrong in a cell and where. Cell, Line and Col
// count from 1; Line is 0 when no position is known.
type CellError struct {
	Kind            string
	Name            string // the error's name as a notebook shows it
	Msg             string
	Cell, Line, Col int
	Source          string   // the line of source at the position
	Advice          string   // what to do about it, may be empty
	Values          string   // what the variables at a panic hold
	Trace           []string // calls that were open at a panic, innermost first
}

// Error is one line: the position and the message.
func (e *CellError) Error() string {
	switch {
	case e.Line > 0 && e.Col > 0:
		return fmt.Sprintf("cell[%d]:%d:%d: %s", e.Cell, e.Line, e.Col, e.Msg)
	case e.Line > 0:
		return fmt.Sprintf("cell[%d]:%d: %s", e.Cell, e.Line, e.Msg)
	}
	return e.Msg
}

const (
	ansiRed   = "\x1b[31m"
	ansiBold  = "\x1b[1m"
	ansiCyan  = "\x1b[36m"
	ansiReset = "\x1b[0m"
)

// Traceback is what a front end prints: position and message, the source line
// with a caret, the open calls, the advice; coloured with ANSI escapes.
func (e *CellError) Traceback() []string {
	head, _, _ := strings.Cut(e.Error(), "\n")
	if e.Line > 0 {
		pos, rest, _ := strings.Cut(e.Error(), ": ")
		head = ansiCyan + pos + ansiReset + ": " + ansiRed + ansiBold + e.Name + ansiReset + ": " + rest
	} else {
		head = ansiRed + ansiBold + e.Name + ansiReset + ": " + head
	}
	lines := strings.Split(head, "\n")
	if e.Source != "" {
		lines = append(lines, "    "+strings.ReplaceAll(e.Source, "\t", " "))
		if e.Col > 0 {
			before := e.Source[:min(e.Col-1, len(e.Source))] // columns count bytes, the caret stands under a character
			lines = append(lines, "    "+strings.Repeat(" ", utf8.RuneCountInString(before))+ansiRed+"^"+ansiReset)
		}
	}
	if e.Values != "" {
		lines = append(lines, "  with "+e.Values)
	}
	for _, t := range e.Trace {
		lines = append(lines, "  in "+t)
	}
	if e.Advice != "" {
		lines = append(lines, ansiBold+"help"+ansiReset+": "+e.Advice)
	}
	return lines
}

// errAt makes an error at a position of a cell.
func (s *Session) errAt(kind string, p token.Pos, msg string) *CellError {
	c, l, col := s.position(p)
	return &CellError{Kind: kind, Msg: msg, Cell: c, Line: l, Col: col}
}

// finish fills in what follows from the rest: name, source line, advice.
func (s *Session) finish(e *CellError, w *world) *CellError {
	e.Name = kindNames[e.Kind]
	if e.Cell == 0 {
		e.Cell = s.count
	}
	if e.Kind == KindPanic && e.Line > 0 {
		s.explain(e, w)
	}
	if e.Kind == KindInterrupted && e.Advice == "" {
		s.keep(e, w)
	}
	if e.Line > 0 {
		lines := strings.Split(s.source(e.Cell), "\n")
		if e.Line > len(lines) { // the parser ran off the end of the cell
			e.Line = len(lines)
			e.Col = len(lines[e.Line-1]) + 1
		}
		e.Source = lines[e.Line-1]
	}
	if e.Advice == "" {
		e.Advice = s.advise(e, w)
	}
	e.Cell = s.number(e.Cell)
	return e
}
