package display

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
)

// A Progress is a line that follows a long computation: a bar, the count of
// steps, a text such as the current objective, the time left. All its updates
// go to one output, at most ten a second, and the last one stays as a plain
// line in the saved notebook. Its methods may be called from any goroutine.
//
//	bar := display.NewProgress("training", 1000)
//	for i := range 1000 {
//		bar.Set(i+1, fmt.Sprintf("loss %.4g", loss))
//	}
//	bar.Done("")
type Progress struct {
	label string
	total int
	id    string
	start time.Time

	mu      sync.Mutex
	step    Step
	shown   time.Time // of the last update; zero: nothing shown yet
	pending bool      // the last step has not been shown
	done    bool
	ended   time.Time
}

// A Step is what a [Progress] shows.
type Step struct {
	Iter     int           // steps done
	Text     string        // a value worth seeing, such as "gap 1e-4"
	Fraction float64       // of the work done, between 0 and 1; 0: Iter over the total
	Left     time.Duration // expected to remain; 0: extrapolated from the fraction done
}

// refresh is the least time between two updates of a progress line: ten a
// second are smooth to the eye and far below the rates at which Jupyter
// servers drop messages.
const refresh = 100 * time.Millisecond

// NewProgress returns a progress line of total steps; 0 when the number is not
// known. It appears with its first step.
func NewProgress(label string, total int) *Progress {
	return &Progress{label: label, total: max(total, 0), id: newID(), start: time.Now()}
}

// Set says that iter steps are done, with a text to show beside them.
func (p *Progress) Set(iter int, text string) { p.Report(Step{Iter: iter, Text: text}) }

// Add says that n more steps are done.
func (p *Progress) Add(n int) {
	p.mu.Lock()
	s := p.step
	s.Iter += n
	s.Fraction, s.Left = 0, 0
	p.report(s)
	p.mu.Unlock()
}

// Report shows a step, unless one was shown less than a tenth of a second ago;
// then it is kept until the next call or the end of the cell.
func (p *Progress) Report(s Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report(s)
}

func (p *Progress) report(s Step) {
	if p.done {
		return
	}
	p.step = s
	if now := time.Now(); p.shown.IsZero() || now.Sub(p.shown) >= refresh {
		p.publish(now)
		return
	}
	p.pending = true
	live.Lock()
	live.set[p] = true
	live.Unlock()
}

// Done ends the line: the bar goes, and a static text with the time taken
// stays. An empty text keeps that of the last step.
func (p *Progress) Done(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	if text != "" {
		p.step.Text = text
	}
	p.done, p.ended = true, time.Now()
	p.publish(p.ended)
}

// live holds the progress lines whose last step has not been shown.
var live = struct {
	sync.Mutex
	set map[*Progress]bool
}{set: map[*Progress]bool{}}

// Flush shows the steps that progress lines have held back. The kernel calls
// it at the end of a cell, so that a line never stays behind the computation.
func Flush() {
	live.Lock()
	var all []*Progress
	for p := range live.set {
		all = append(all, p)
	}
	live.Unlock()
	for _, p := range all {
		p.mu.Lock()
		if p.pending {
			p.publish(time.Now())
		}
		p.mu.Unlock()
	}
}

// publish shows the present step. The caller holds p.mu.
func (p *Progress) publish(now time.Time) {
	pub, kernel := publisher()
	if kernel || p.done { // a log wants the outcome, not ten lines a second
		pub.Display(p.bundle(now), p.id, !p.shown.IsZero())
	}
	p.shown, p.pending = now, false
	live.Lock()
	delete(live.set, p)
	live.Unlock()
}

// fraction returns the part of the work done, or NaN when that is unknown.
func (p *Progress) fraction() float64 {
	f := p.step.Fraction
	if f == 0 && p.total > 0 {
		f = float64(p.step.Iter) / float64(p.total)
	}
	if math.IsNaN(f) || f <= 0 && p.total == 0 {
		return math.NaN()
	}
	return min(max(f, 0), 1)
}

func (p *Progress) bundle(now time.Time) Bundle {
	took := now.Sub(p.start)
	if p.done {
		took = p.ended.Sub(p.start)
	}
	f := p.fraction()
	count := itoa(p.step.Iter)
	if p.total > 0 {
		count += " / " + itoa(p.total)
	}
	clock := short(took)
	if !p.done {
		left := p.step.Left
		if left <= 0 && f > 0 && took > time.Second/2 {
			left = time.Duration(float64(took) * (1 - f) / f)
		}
		if left > 0 {
			clock += ", " + short(left) + " left"
		}
	}
	h := newPage()
	h.WriteString(`<div>`)
	if p.label != "" {
		h.WriteString("<b>")
		h.text(p.label)
		h.WriteString("</b> ")
	}
	parts := []string{}
	if p.label != "" {
		parts = append(parts, p.label+":")
	}
	if p.done {
		h.text("✓ ")
	} else if !math.IsNaN(f) {
		fmt.Fprintf(h, `<span class="bar"><i style="width:%.1f%%"></i></span>`, 100*f)
		parts = append(parts, textBar(f), fmt.Sprintf("%3.0f%%", 100*f))
	}
	line := []string{}
	if p.step.Iter > 0 || p.total > 0 {
		line = append(line, count)
	}
	if p.step.Text != "" {
		line = append(line, p.step.Text)
	}
	line = append(line, clock)
	h.text(strings.Join(line, " · "))
	h.WriteString(`</div>`)
	parts = append(parts, strings.Join(line, " · "))
	return one(MIMEHTML, h.done(), strings.Join(parts, " "))
}

func textBar(f float64) string {
	const width = 24
	n := int(f*width + 0.5)
	return "▕" + strings.Repeat("█", n) + strings.Repeat("░", width-n) + "▏"
}

// short writes a duration to about two digits.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}
