package display

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a Publisher that keeps what it gets.
type recorder struct {
	mu    sync.Mutex
	got   []shown
	clear []bool
}

type shown struct {
	b      Bundle
	id     string
	update bool
}

func (r *recorder) Display(b Bundle, id string, update bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, shown{b, id, update})
}

func (r *recorder) ClearOutput(wait bool) { r.clear = append(r.clear, wait) }

// record sets a recorder for the length of a test.
func record(t *testing.T) *recorder {
	r := &recorder{}
	SetPublisher(r)
	t.Cleanup(func() { SetPublisher(nil) })
	return r
}

func TestShow(t *testing.T) {
	r := record(t)
	Show(1, "a", nil)
	ShowID("x", 2)
	Update("x", 3)
	Clear(true)
	h := NewHandle("h")
	h.Update("i")
	var got []string
	for _, s := range r.got {
		id := s.id
		if id == h.ID() {
			id = "h"
		}
		got = append(got, fmt.Sprint(s.b.Text(), " ", id, " ", s.update))
	}
	want := `1  false, "a"  false, <nil>  false, 2 x false, 3 x true, "h" h false, "i" h true`
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got %s", s)
	}
	if len(r.clear) != 1 || !r.clear[0] {
		t.Errorf("clear %v", r.clear)
	}
	if a, b := NewHandle(1), NewHandle(1); a.ID() == b.ID() {
		t.Error("two handles share an id")
	}
}

func TestProgress(t *testing.T) {
	r := record(t)
	p := NewProgress("fit", 10000)
	start := time.Now()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 2500 {
				p.Add(1)
			}
		})
	}
	wait.Wait()
	if n, most := len(r.got), int(time.Since(start)/refresh)+1; n < 1 || n > most {
		t.Errorf("%d updates where %d are allowed", n, most)
	}
	p.Set(9000, "gap <1e-3>")
	Flush()
	last := r.got[len(r.got)-1].b
	if want := "9000 / 10000 · gap <1e-3>"; !strings.Contains(last.Text(), want) || !strings.Contains(last.Text(), " 90%") {
		t.Errorf("flushed %q", last.Text())
	}
	if h := last.Data[MIMEHTML].(string); !strings.Contains(h, "gap &lt;1e-3&gt;") || !strings.Contains(h, "width:90.0%") {
		t.Errorf("HTML %s", h)
	}
	n := len(r.got)
	Flush()
	p.Done("optimal")
	p.Done("again")
	p.Set(1, "late")
	Flush()
	if len(r.got) != n+1 {
		t.Errorf("%d outputs after the end, want 1", len(r.got)-n)
	}
	last = r.got[n].b
	if !strings.Contains(last.Text(), "optimal") || strings.Contains(last.Data[MIMEHTML].(string), `class="bar"`) {
		t.Errorf("the last line is not static: %q", last.Text())
	}
	for i, s := range r.got {
		if s.id != p.id || s.update != (i > 0) {
			t.Errorf("output %d: id %s, update %v", i, s.id, s.update)
		}
	}
}

func TestProgressFractions(t *testing.T) {
	r := record(t)
	for _, c := range []struct {
		total     int
		step      Step
		want, not string
	}{
		{0, Step{Iter: 5}, "x: 5 ·", "%"},
		{0, Step{Iter: 5, Fraction: 0.5}, " 50%", ""},
		{10, Step{Iter: 50}, "100%", ""},
		{10, Step{Iter: -3}, "0%", ""},
		{-1, Step{Text: "t", Left: 90 * time.Second}, "1 min 30 s left", "%"},
	} {
		NewProgress("x", c.total).Report(c.step)
		got := r.got[len(r.got)-1].b.Text()
		if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%+v of %d: %q", c.step, c.total, got)
		}
	}
	for d, want := range map[time.Duration]string{1500 * time.Microsecond: "2ms", 2500 * time.Millisecond: "2.5 s", 61 * time.Second: "1 min 01 s", 3700 * time.Second: "1 h 01 min"} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestRenderAll(t *testing.T) {
	for _, c := range []struct {
		values []any
		text   string
		html   string // "": none
	}{
		{[]any{3, nil}, "3, <nil>", ""},
		{[]any{1, "a"}, `1, "a"`, ""},
		{nil, "", ""},
		{[]any{&card{2}, nil}, "card 2, <nil>", "<p>2"},
		{[]any{HTML("<i>a</i>"), 7}, "a, 7", "<div><i>a</i></div><div><pre>7</pre></div>"},
	} {
		b := RenderAll(c.values...)
		h, _ := b.Data[MIMEHTML].(string)
		if b.Text() != c.text || h != c.html {
			t.Errorf("%v: %q, %q", c.values, b.Text(), h)
		}
	}
}

func TestPlotSize(t *testing.T) {
	defer func() { _ = PlotSize(6, 4) }()
	for _, bad := range [][2]float64{{-1, 2}, {1, 1e9}} {
		if PlotSize(bad[0], bad[1]) == nil {
			t.Errorf("PlotSize(%v) is no error", bad)
		}
	}
	if err := PlotSize(3, 0); err != nil || plotSize.width != 3 || plotSize.height != 4 {
		t.Errorf("%v: %v", plotSize.width, err)
	}
}

func TestSparkline(t *testing.T) {
	long := make([]float64, 5000)
	if b := Render(long); strings.Contains(b.Data[MIMEHTML].(string), "<svg") {
		t.Error("a line for constant values")
	}
	long[2500] = 1
	if h := Render(long).Data[MIMEHTML].(string); !strings.Contains(h, "<svg") || !strings.Contains(h, " 1.0L") && !strings.Contains(h, " 1.0\"") {
		t.Errorf("the spike is lost: %s", h)
	}
}
