package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// pastCell is a cell that ran, and a line of the history file.
type pastCell struct {
	Session int    `json:"session"`
	Line    int    `json:"line"` // its execution count; 0 marks the start of a session
	Input   string `json:"input"`
	Output  string `json:"output,omitempty"`
}

const (
	maxHistoryFile   = 8 << 20 // beyond this the older half goes
	maxHistoryOutput = 4 << 10 // of a result that is kept
	// Cells that follow fast are written together: opening and locking the file
	// takes as long as a small cell.
	historyDelay = 100 * time.Millisecond
)

// history keeps the cells of this session in memory, and those of all sessions
// of the user in a file of JSON lines that kernels share. The file is not looked
// at before a cell is saved and not read before somebody asks: a kernel that
// starts has to answer, and one that ran nothing leaves nothing. What goes wrong
// with the file is logged once and otherwise ignored: a full disk stops no cell.
type history struct {
	path string
	log  *slog.Logger

	begun, read sync.Once
	saving      sync.Mutex // held while the file is written
	mu          sync.Mutex
	session     int
	old         []pastCell // of earlier sessions
	cells       []pastCell
	unsaved     []pastCell
	timed       bool // they will be saved
	warned      bool
	closed      bool
}

func newHistory(path string, log *slog.Logger) *history {
	h := &history{path: path, log: log, session: 1}
	switch path {
	case "none":
		h.path = ""
	case "":
		h.path = historyFile()
	}
	return h
}

// historyFile is $XDG_DATA_HOME/gonvex/history.jsonl, or the like.
func historyFile() string {
	dir := os.Getenv("XDG_DATA_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(dir, "gonvex", "history.jsonl")
}

func (h *history) warn(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && !h.warned {
		h.warned = true
		h.log.Warn("history is not kept on disk", "error", err)
	}
}

// locked opens the file for appending under a lock that other kernels respect.
func (h *history) locked(do func(*os.File) error) {
	err := func() error {
		f, err := os.OpenFile(h.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return errors.Join(err, fmt.Errorf("%s is not a regular file", h.path))
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			return err
		}
		return do(f)
	}()
	h.warn(err)
}

func appendLines(f *os.File, cells ...pastCell) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b) // ends each with a newline
	for _, c := range cells {
		if err := e.Encode(c); err != nil {
			return err
		}
	}
	_, err := f.Write(b.Bytes())
	return err
}

// begin takes the next session number.
func (h *history) begin() {
	if h.path == "" {
		return
	}
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		h.warn(err)
		h.path = ""
		return
	}
	h.locked(func(f *os.File) error {
		if info, err := f.Stat(); err != nil {
			return err
		} else if info.Size() > maxHistoryFile {
			b, err := os.ReadFile(h.path)
			if err != nil {
				return err
			}
			b = b[len(b)-maxHistoryFile/2:]
			if i := bytes.IndexByte(b, '\n'); i >= 0 {
				b = b[i+1:]
			}
			if err := renameio.WriteFile(h.path, b, 0o600); err != nil {
				return err
			}
			// The new file has another lock; a kernel that begins at this very
			// moment may take the same session number, which does no harm.
			if f, err = os.OpenFile(h.path, os.O_RDWR|os.O_APPEND, 0o600); err != nil {
				return err
			}
			defer f.Close()
		}
		last, err := lastSession(f)
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.session = last + 1
		h.mu.Unlock()
		return appendLines(f, pastCell{Session: last + 1})
	})
}

// maxSession bounds what is taken for a session number.
const maxSession = 1 << 40

// lastSession is the largest session number in a history file. It looks at the
// beginnings of lines only, which is a hundred times faster than reading them.
func lastSession(f io.Reader) (last int, err error) {
	r, within := bufio.NewReader(f), false
	for {
		b, err := r.ReadSlice('\n')
		if rest, ok := bytes.CutPrefix(b, []byte(`{"session":`)); ok && !within {
			digits, _, _ := bytes.Cut(rest, []byte(","))
			if n, err := strconv.Atoi(string(bytes.TrimRight(digits, "}\n"))); err == nil && n <= maxSession {
				last = max(last, n)
			}
		}
		within = errors.Is(err, bufio.ErrBufferFull)
		if err == io.EOF {
			return last, nil
		}
		if err != nil && !within {
			return 0, err
		}
	}
}

// load reads what earlier sessions left.
func (h *history) load() {
	if h.path == "" {
		return
	}
	b, err := os.ReadFile(h.path)
	h.warn(err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.old = slices.DeleteFunc(parseHistory(b), func(c pastCell) bool { return c.Session >= h.session })
}

// parseHistory reads the lines of a history file, skipping what is not one.
func parseHistory(b []byte) (cells []pastCell) {
	r := bufio.NewScanner(bytes.NewReader(b))
	r.Buffer(nil, maxHistoryFile)
	for r.Scan() {
		var c pastCell
		if json.Unmarshal(r.Bytes(), &c) == nil && c.Session > 0 && c.Session <= maxSession && c.Line > 0 {
			cells = append(cells, c)
		}
	}
	return cells
}

func (h *history) add(line int, input, output string) {
	if len(output) > maxHistoryOutput {
		output = strings.ToValidUTF8(output[:maxHistoryOutput], "") + "…"
	}
	c := pastCell{Line: line, Input: input, Output: output}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cells = append(h.cells, c)
	if h.closed || strings.TrimSpace(input) == "" {
		return
	}
	h.unsaved = append(h.unsaved, c)
	if !h.timed {
		h.timed = true
		time.AfterFunc(historyDelay, h.save)
	}
}

// save appends to the file what it lacks.
func (h *history) save() {
	h.saving.Lock()
	defer h.saving.Unlock()
	h.mu.Lock()
	cells := h.unsaved
	h.unsaved, h.timed = nil, false
	h.mu.Unlock()
	if len(cells) == 0 {
		return
	}
	h.begun.Do(h.begin)
	for i := range cells {
		cells[i].Session = h.session
	}
	if h.path != "" {
		h.locked(func(f *os.File) error { return appendLines(f, cells...) })
	}
}

// close saves what is left.
func (h *history) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.save()
}

// all is every cell, oldest first.
func (h *history) all() (cells []pastCell, session int) {
	h.begun.Do(h.begin)
	h.read.Do(h.load)
	h.mu.Lock()
	defer h.mu.Unlock()
	cells = slices.Clone(h.old)
	for _, c := range h.cells {
		c.Session = h.session
		cells = append(cells, c)
	}
	return cells, h.session
}

func lastOf(cells []pastCell, n *int) []pastCell {
	if n == nil || *n < 0 || *n > len(cells) {
		return cells
	}
	return cells[len(cells)-*n:]
}

func (h *history) tail(n *int) []pastCell {
	cells, _ := h.all()
	return lastOf(cells, n)
}

// between lists the lines from start to before stop (nil: the end) of a
// session: 0 this one, negative so many before it, positive by its number.
func (h *history) between(session, start int, stop *int) []pastCell {
	cells, now := h.all()
	if session <= 0 {
		session += now
	}
	var in []pastCell
	for _, c := range cells {
		if c.Session == session && c.Line >= start && (stop == nil || c.Line < *stop) {
			in = append(in, c)
		}
	}
	return in
}

func (h *history) search(pattern string, n *int, unique bool) []pastCell {
	cells, _ := h.all()
	var in []pastCell
	at := map[string]int{} // of inputs found, for unique: the latest stands
	for _, c := range cells {
		if !globMatch(pattern, c.Input) {
			continue
		}
		if i, ok := at[c.Input]; ok && unique {
			in[i].Line = 0
		}
		at[c.Input] = len(in)
		in = append(in, c)
	}
	in = slices.DeleteFunc(in, func(c pastCell) bool { return c.Line == 0 })
	return lastOf(in, n)
}

// globMatch reports whether all of s matches a pattern of *, ? and [...], as
// SQLite's GLOB does it; "" stands for "*". It takes time proportional to the
// product of the lengths at most.
func globMatch(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	p, t := []rune(pattern), []rune(s)
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(t) {
		if i < len(p) && p[i] == '*' {
			star, mark = i, j
			i++
			continue
		}
		if i < len(p) {
			if n, ok := globOne(p[i:], t[j]); ok {
				i += n
				j++
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		i, j = star+1, mark
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// globOne matches one character and returns the length of the pattern used.
func globOne(p []rune, c rune) (n int, ok bool) {
	if p[0] == '?' {
		return 1, true
	}
	if p[0] == '[' {
		k, not, in := 1, false, false
		if k < len(p) && (p[k] == '^' || p[k] == '!') {
			not = true
			k++
		}
		for first := true; k < len(p) && (p[k] != ']' || first); first = false {
			lo, hi := p[k], p[k]
			if k+2 < len(p) && p[k+1] == '-' && p[k+2] != ']' {
				hi = p[k+2]
				k += 2
			}
			in = in || lo <= c && c <= hi
			k++
		}
		if k < len(p) {
			return k + 1, in != not
		}
	}
	return 1, p[0] == c
}
