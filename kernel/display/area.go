package display

import (
	"regexp"
	"strings"
	"sync"
	"time"
)

// An area is one output that shows what a function puts out: text and values
// together, replaced at the next run. It is how the callback of a widget can
// print: front ends drop what belongs to no cell.
type area struct {
	id string

	mu    sync.Mutex
	items []item
	fresh bool // the next output replaces what is there
	dirty bool // not shown yet
	timer *time.Timer
}

// item is a run of text, or a value.
type item struct {
	text   []byte
	bundle Bundle
	id     string
}

// A diverter is a publisher that can send what the process puts out, printed
// text included, elsewhere until undo is called.
type diverter interface {
	Divert(to Diversion) (undo func())
}

// A Diversion takes the outputs of a callback in the place of the cell's.
// Text must not put anything out itself.
type Diversion interface {
	Text(stream string, p []byte)
	// Show reports false for an update of an output that is not its own.
	Show(b Bundle, id string, update bool) bool
	Clear(wait bool)
}

// newArea shows an empty area.
func newArea() *area {
	a := &area{id: newID()}
	p, _ := publisher()
	p.Display(Bundle{Data: map[string]any{MIMEText: ""}}, a.id, false)
	return a
}

// run runs f and shows what it puts out. Outputs appear while it runs.
func (a *area) run(f func()) {
	pub, _ := publisher()
	d, ok := pub.(diverter)
	if !ok {
		f()
		return
	}
	a.mu.Lock()
	a.fresh, a.dirty = true, true
	a.mu.Unlock()
	undo := d.Divert(a)
	defer func() {
		undo()
		a.mu.Lock()
		if a.fresh { // it put out nothing
			a.items, a.fresh = nil, false
		}
		a.mu.Unlock()
		a.flush()
	}()
	f()
}

// begin makes room for an output. The caller holds a.mu.
func (a *area) begin() {
	if a.fresh {
		a.items, a.fresh = nil, false
	}
	a.dirty = true
	if a.timer == nil {
		a.timer = time.AfterFunc(refresh, a.flush)
	}
}

func (a *area) Text(_ string, p []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begin()
	if n := len(a.items); n > 0 && a.items[n-1].text != nil {
		a.items[n-1].text = append(a.items[n-1].text, p...)
	} else {
		a.items = append(a.items, item{text: append([]byte{}, p...)})
	}
	last := &a.items[len(a.items)-1]
	if n := len(last.text) - maxText; n > maxText {
		last.text = append([]byte("…"), last.text[n:]...) // the latest is what counts
	}
}

func (a *area) Show(b Bundle, id string, update bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if update {
		for i := range a.items {
			if a.items[i].id == id && id != "" {
				a.begin()
				a.items[i].bundle = b
				return true
			}
		}
		return false
	}
	a.begin()
	a.items = append(a.items, item{bundle: b, id: id})
	return true
}

func (a *area) Clear(wait bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fresh = true
	if !wait {
		a.begin()
	}
}

// fail adds an error's text.
func (a *area) fail(message string) {
	a.Text("stderr", []byte(message+"\n"))
	a.flush()
}

// flush shows the area as it is now.
func (a *area) flush() {
	a.mu.Lock()
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	dirty := a.dirty
	a.dirty = false
	b := a.bundle()
	a.mu.Unlock()
	if dirty {
		p, _ := publisher()
		p.Display(b, a.id, true)
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// bundle joins the items into one output. The caller holds a.mu.
func (a *area) bundle() Bundle {
	parts := make([]Bundle, 0, len(a.items))
	var texts []string
	for _, it := range a.items {
		b := it.bundle
		if it.text != nil {
			b = Bundle{}
			b.set(MIMEText, strings.TrimSuffix(strings.ToValidUTF8(string(it.text), "\uFFFD"), "\n"))
		}
		parts = append(parts, b)
		texts = append(texts, b.Text())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	var out Bundle
	out.set(MIMEText, clip(strings.Join(texts, "\n"), maxText))
	for i := range parts {
		if len(parts[i].Data) == 1 {
			parts[i].Data = map[string]any{MIMEText: escapes.ReplaceAllString(parts[i].Text(), "")}
		}
	}
	if h, rich := stack(parts); rich {
		out.set(MIMEHTML, h)
	}
	return bounded(out)
}
