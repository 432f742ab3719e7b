package main

import (
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// statusLine is one line on a terminal that is rewritten in place. On anything else it
// writes nothing, so logs stay clean.
type statusLine struct {
	w     io.Writer // nil when there is no terminal
	width int       // of what stands there now
}

func newStatusLine(w io.Writer) *statusLine {
	if !isTerminal(w) {
		w = nil
	}
	return &statusLine{w: w}
}

// set shows text; "" clears the line.
func (l *statusLine) set(text string) {
	if l.w == nil || text == "" && l.width == 0 {
		return
	}
	fmt.Fprintf(l.w, "\r%-*s", l.width, text)
	if text == "" {
		fmt.Fprint(l.w, "\r")
	}
	l.width = utf8.RuneCountInString(text)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
