// Package display is what a cell imports to show things richly: tables,
// figures, formulas, pictures, progress bars.
//
// A cell rarely needs it, for the kernel renders the value of a cell's last
// expression by the same rules ([Render]). It is for the rest: several outputs
// in one cell ([Show]), outputs that change while a cell runs ([Handle],
// [Progress]), and text that is to be read as HTML, Markdown or LaTeX.
//
//	display.Show(display.Markdown("**done** in $O(n)$"), X)
//	h := display.NewHandle("starting")
//	h.Update("half way")
//
// Without a kernel (a compiled program, a test) everything prints as text on
// standard output.
package display

import (
	"crypto/rand"
	"fmt"
	"os"
	"sync"
)

// A Publisher carries outputs to whoever shows them. The kernel sets one with
// [SetPublisher]. Its methods may be called from several goroutines at once.
type Publisher interface {
	// Display shows a bundle. A non-empty id names the output so that a later
	// call with update set replaces it wherever it is shown; an update of an
	// id nobody has shown is to be ignored.
	Display(b Bundle, id string, update bool)
	// ClearOutput removes the outputs of the running cell: at once, or when
	// wait is set, as the next output arrives (which avoids flicker).
	ClearOutput(wait bool)
}

var current struct {
	sync.RWMutex
	p Publisher
}

// SetPublisher makes p the receiver of all outputs of this process. A nil p
// restores the default, which prints plain text on standard output.
func SetPublisher(p Publisher) {
	current.Lock()
	defer current.Unlock()
	current.p = p
}

// publisher returns the receiver of outputs and whether it is a kernel's (not
// the printing default).
func publisher() (Publisher, bool) {
	current.RLock()
	defer current.RUnlock()
	if current.p == nil {
		return printer{}, false
	}
	return current.p, true
}

// printer is the publisher of a process without a kernel.
type printer struct{}

func (printer) Display(b Bundle, id string, update bool) { fmt.Fprintln(os.Stdout, b.Text()) }
func (printer) ClearOutput(wait bool)                    {}

// Show shows each value as an output of its own, rendered as the last
// expression of a cell would be.
func Show(values ...any) {
	p, _ := publisher()
	for _, v := range values {
		p.Display(Render(v), "", false)
	}
}

// ShowID shows v under a display id of the caller's choice; [Update] with the
// same id replaces it later, also from another cell.
func ShowID(id string, v any) {
	p, _ := publisher()
	p.Display(Render(v), id, false)
}

// Update replaces every output shown under id by v.
func Update(id string, v any) {
	p, _ := publisher()
	p.Display(Render(v), id, true)
}

// Clear removes what the running cell has shown so far. With wait set the old
// outputs stay until the next one arrives, which avoids flicker in a loop that
// clears and shows.
func Clear(wait bool) {
	p, _ := publisher()
	p.ClearOutput(wait)
}

// A Handle is an output that can be replaced in place.
type Handle struct{ id string }

// NewHandle shows v under a fresh display id.
func NewHandle(v any) *Handle {
	h := &Handle{id: newID()}
	ShowID(h.id, v)
	return h
}

// ID returns the display id of the output.
func (h *Handle) ID() string { return h.id }

// Update replaces the output by v.
func (h *Handle) Update(v any) { Update(h.id, v) }

// String names the handle, so that a cell ending in one shows something short.
func (h *Handle) String() string { return "display " + h.id }

// newID returns a display id no other output of any kernel has: ids outlive
// the kernel in saved notebooks, so a counter would collide after a restart.
func newID() string { return "gonvex-" + rand.Text() }
