package display

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

type point struct {
	X, Y float64
	c    int
}

type list struct {
	V    int
	Next *list
}

type speaks struct{}

func (speaks) HTML() string         { return "<b>hi</b>" }
func (speaks) PNG() ([]byte, error) { return nil, errors.New("no ink") }
func (speaks) Markdown() string     { panic("oh") }
func (speaks) String() string       { return "hi" }

type silent struct{}

func (silent) String() string { panic("no words") }

// card stands for values such as a solution: methods on the pointer.
type card struct{ v float64 }

func (c *card) HTML() string   { return fmt.Sprint("<p>", c.v) }
func (c *card) String() string { return fmt.Sprint("card ", c.v) }

func TestText(t *testing.T) {
	cycle := &list{V: 1}
	cycle.Next = cycle
	self := []any{nil}
	self[0] = self
	big := make([]int, 1000)
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "<nil>"}, {5, "5"}, {"a\"b", `"a\"b"`}, {true, "true"}, {1.5, "1.5"}, {math.Pi, "3.141592653589793"},
		{float32(0.1), "0.1"}, {1e21, "1e+21"}, {1e20, "1e+20"}, {[]int{1, 2, 3}, "[1 2 3]"}, {[]string{"a", "b"}, "[a b]"},
		{map[string]int{"b": 2, "a": 1}, "map[a:1 b:2]"}, {point{1, 2, 3}, "{X:1 Y:2 c:3}"}, {&point{1, 2, 3}, "&{X:1 Y:2 c:3}"},
		{[]point{{1, 2, 3}}, "[{X:1 Y:2 c:3}]"}, {1500 * time.Millisecond, "1.5s"}, {errors.New("bad"), "bad"},
		{(*point)(nil), "<nil>"}, {[]int(nil), "[]"}, {math.NaN(), "NaN"}, {math.Inf(-1), "-Inf"}, {'x', "120"}, {complex(1, -2), "(1-2i)"},
		{cycle, "&{V:1 Next:…}"}, {struct{ A any }{nil}, "{A:<nil>}"}, {[]any{1, "a", nil}, "[1 a <nil>]"},
		{map[float64]int{math.NaN(): 1, 2: 2, -1: 3}, "map[NaN:<nil> -1:3 2:2]"},
		{func(int) string { return "" }, "func(int) string"}, {(func())(nil), "<nil>"}, {make(chan int, 3), "chan int (0 of 3)"},
		{speaks{}, "hi"}, {(*card)(nil), "<nil>"},
		{mat.NewDense(2, 2, []float64{1, 2, 3, 4.25}), "2×2 Dense\n1.00  2.00\n3.00  4.25"},
		{[]*plot.Plot{plot.New(), nil}, "[plot <nil>]"}, {[]image.Image{image.NewGray(image.Rect(0, 0, 1, 2))}, "[1×2 image.Gray]"},
		{Custom{Value: 3}, "3"}, {Custom{Text: func() string { return "t" }}, "t"}, {Figure{}, "plot"},
		{struct{ M *mat.Dense }{mat.NewDense(2, 3, nil)}, "{M:2×3 Dense}"},
	} {
		if got := Text(c.v); got != c.want {
			t.Errorf("Text(%T) = %q, want %q", c.v, got, c.want)
		}
	}
	if got := Text(self); !strings.Contains(got, "…") {
		t.Errorf("a slice that holds itself: %q", got)
	}
	if got := Text(big); len(got) > 200 || !strings.Contains(got, "960 more") {
		t.Errorf("1000 ints: %q", got)
	}
	if got := Text(silent{}); !strings.Contains(got, "no words") {
		t.Errorf("panicking String: %q", got)
	}
	if got := Text(strings.Repeat("é", maxText)); len(got) > 2*maxText+10 {
		t.Errorf("long string: %d bytes", len(got))
	}
}

// TestTextIsFmt holds Text to what fmt prints where the two are to agree.
func TestTextIsFmt(t *testing.T) {
	for _, v := range []any{
		1, -7, uint8(3), 2.5, float32(2.5), true, []float64{1, 1e-9, 1e30}, [2]bool{true, false}, map[int]string{3: "c", 1: "a"},
		struct {
			A []int
			B map[string]point
			c error
		}{[]int{1}, map[string]point{"p": {1, 2, 3}}, nil},
		[]time.Duration{1, 2}, [][]int{{1}, {}, nil}, []error{errors.New("x"), nil}, []byte("hi"), [0]int{},
	} {
		if got, want := Text(v), fmt.Sprintf("%+v", v); got != want {
			t.Errorf("Text(%T) = %q, fmt has %q", v, got, want)
		}
	}
}

func TestRender(t *testing.T) {
	wide := mat.NewDense(100, 50, nil)
	wide.Set(0, 0, math.NaN())
	p := plot.New()
	p.Title.Text = "A plot"
	for _, c := range []struct {
		name  string
		v     any
		mimes string   // besides text/plain
		in    []string // parts of the HTML or text
	}{
		{"nil", nil, "", []string{"<nil>"}},
		{"int", 5, "", nil},
		{"string", "<b>", "", []string{`"<b>"`}},
		{"own methods", speaks{}, MIMEHTML, []string{"<b>hi</b>", "no ink", "oh"}},
		{"pointer methods", &card{1.5}, MIMEHTML, []string{"<p>1.5", "card 1.5"}},
		{"nil card", (*card)(nil), "", []string{"<nil>"}},
		{"nil matrix", (*mat.Dense)(nil), "", []string{"<nil>"}},
		{"nil plot", (*plot.Plot)(nil), "", []string{"<nil>"}},
		{"empty matrix", &mat.Dense{}, MIMEHTML, []string{"0×0 Dense"}},
		{"matrix", wide, MIMEHTML, []string{"100×50 Dense", "1 NaN", "⋯", `class="bad"`}},
		{"vector", mat.NewVecDense(3, []float64{1, 2, 3}), MIMEHTML, []string{"3×1 VecDense"}},
		{"transposed", wide.T(), MIMEHTML, []string{"50×100 transposed Dense"}},
		{"floats", []float64{1, 2, math.Inf(1)}, MIMEHTML, []string{"3 values", "1 Inf"}},
		{"rows", [][]float64{{1, 2}, {3, 4}}, MIMEHTML, []string{"2×2 [][]float64"}},
		{"ragged", [][]int{{1, 2}, {3}}, MIMEHTML, []string{"2 rows of different lengths"}},
		{"records", []point{{1, 2, 3}, {4, 5, 6}}, MIMEHTML, []string{">X</th>", "2 × display.point"}},
		{"record pointers", []*point{{1, 2, 3}, nil}, MIMEHTML, []string{"nil"}},
		{"maps", []map[string]any{{"a": 1}, {"b": "<x>"}, nil}, MIMEHTML, []string{">a</th>", "&lt;x&gt;"}},
		{"map", map[string]float64{"a": math.NaN()}, MIMEHTML, []string{"1 entry"}},
		{"struct", point{1, 2, 3}, MIMEHTML, []string{">X</th>"}},
		{"short ints", []int{1, 2, 3}, "", nil},
		{"many ints", make([]int, 1000), MIMEHTML, []string{"1000 values"}},
		{"bytes", make([]byte, 1000), "", nil},
		{"error", errors.New("a <bad> thing"), MIMEHTML, []string{"a &lt;bad&gt; thing"}},
		{"duration", time.Second, "", []string{"1s"}},
		{"plot", p, MIMEPNG + " " + MIMESVG, []string{"plot: A plot"}},
		{"image", image.NewRGBA(image.Rect(0, 0, 3, 2)), MIMEPNG, []string{"3×2 image.RGBA"}},
		{"endless image", image.NewUniform(image.Black), "", []string{"not shown"}},
		{"html", HTML("<i>x</i><br>y"), MIMEHTML, []string{"<i>x</i>", "x\ny"}},
		{"markdown", Markdown("*x*"), MIMEMarkdown, nil},
		{"latex", Latex(`\beta`), MIMELatex, nil},
		{"json", JSON(`{"a":1}`), MIMEJSON, nil},
		{"bad json", JSON(`{`), "", []string{"not valid JSON"}},
		{"png", PNG("x"), MIMEPNG, nil},
		{"custom", Custom{Value: 3, HTML: func() string { return "<p>three" }}, MIMEHTML, []string{"<p>three", "3"}},
		{"custom panic", Custom{HTML: func() string { panic("stop") }}, "", []string{"panic: stop"}},
		{"table", Table{Headers: []string{"a"}, Rows: [][]any{{1}, {"x", nil}}}, MIMEHTML, []string{">a</th>"}},
		{"table pointer", NewTable("a"), MIMEHTML, nil},
		{"empty figure", Figure{}, "", []string{"without plots"}},
		{"figure", Figure{Plots: [][]*plot.Plot{{p, nil}, {p}}, Title: "T"}, MIMEPNG + " " + MIMESVG, nil},
		{"huge figure", Figure{Plots: [][]*plot.Plot{{p}}, Width: math.Inf(1)}, "", []string{"not drawn"}},
	} {
		b := Render(c.v)
		if _, ok := b.Data[MIMEText].(string); !ok {
			t.Errorf("%s: no text", c.name)
		}
		var all strings.Builder
		for _, mime := range strings.Fields(c.mimes) {
			if _, ok := b.Data[mime]; !ok {
				t.Errorf("%s: no %s in %v", c.name, mime, b.Data)
			}
		}
		if want := len(strings.Fields(c.mimes)) + 1; len(b.Data) != want {
			t.Errorf("%s: %d forms, want %d: %v", c.name, len(b.Data), want, b.Data)
		}
		for _, d := range b.Data {
			fmt.Fprintf(&all, "%s\n", d)
		}
		for _, part := range c.in {
			if !strings.Contains(all.String(), part) {
				t.Errorf("%s: %q is not in\n%s", c.name, part, all.String())
			}
		}
		text, err := json.Marshal(b)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var back Bundle
		if err := json.Unmarshal(text, &back); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		again, _ := json.Marshal(back)
		if string(text) != string(again) {
			t.Errorf("%s: does not survive JSON:\n%s\n%s", c.name, text, again)
		}
	}
}

// TestKeyHoldsMap is a map with a key that leads back to it.
func TestKeyHoldsMap(t *testing.T) {
	o := &odd{}
	o.H = map[any]func(){o: nil}
	if b := Render(o); b.Text() == "" {
		t.Error("no text")
	}
	if JSONOf(o.H) == "" {
		t.Error("no JSON")
	}
}

func TestJSONOf(t *testing.T) {
	self := make([]any, 100)
	for i := range self {
		self[i] = self
	}
	loop := &list{V: 1}
	loop.Next = loop
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "null"}, {"<a>", `"<a>"`}, {[]float64{1, math.NaN(), math.Inf(1)}, "[1,null,null]"},
		{map[string]any{"a": math.NaN(), "f": func() {}}, `{"a":null,"f":null}`}, {point{1, math.NaN(), 2}, `{"X":1,"Y":null}`},
		{loop, `{"Next":"…","V":1}`}, {complex(1, 2), "[1,2]"}, {map[point]int{{1, 2, 3}: 4}, `{"{X:1 Y:2 c:3}":4}`},
		{[]any{[]int(nil), uint8(3), true, (*point)(nil), math.NaN()}, "[null,3,true,null,null]"},
	} {
		if got := string(JSONOf(c.v)); got != c.want {
			t.Errorf("JSONOf(%T) = %s, want %s", c.v, got, c.want)
		}
	}
	if got := JSONOf(self); !json.Valid([]byte(got)) {
		t.Error("a slice that holds itself")
	}
}

func TestTicksOnAxis(t *testing.T) {
	ticks := onAxis{plot.LogTicks{Prec: 1}}.Ticks(0.02, 3)
	if len(ticks) == 0 {
		t.Error("no ticks")
	}
	for _, k := range ticks {
		if k.Value < 0.02 || k.Value > 3 {
			t.Errorf("a tick at %g", k.Value)
		}
	}
	p := plot.New()
	before := p.Y.Tick.Marker
	Render(p)
	if p.Y.Tick.Marker != before {
		t.Error("the plot itself is changed")
	}
}

// TestPlotImage holds a picture within a plot to the place it has on the axes.
func TestPlotImage(t *testing.T) {
	p := plot.New()
	p.Add(plotter.NewImage(image.NewGray(image.Rect(0, 0, 2, 2)), 0, 0, 10, 1))
	svg, _ := Render(p).Data[MIMESVG].(string)
	if !strings.Contains(svg, `<image preserveAspectRatio="none"`) {
		t.Error("the picture is not stretched over its rectangle")
	}
	if strings.Contains(svg, "<text") {
		t.Error("text depends on the fonts of the reader")
	}
}

// TestWideFigure: a figure wider than a notebook's column is drawn in full and
// shown as wide as the column.
func TestWideFigure(t *testing.T) {
	for _, c := range []struct {
		width float64
		shown string
		pixel int
	}{{12, `width="630pt" height="210pt" viewBox="0 0 864 288"`, 840}, {6, `width="432pt" height="288pt" viewBox="0 0 432 288"`, 576}} {
		b := Render(Figure{Plots: [][]*plot.Plot{{plot.New()}}, Width: c.width, Height: 4})
		if svg, _ := b.Data[MIMESVG].(string); !strings.Contains(svg, c.shown) {
			t.Errorf("%g inches: no %s in %.200s", c.width, c.shown, svg)
		}
		if size := b.Metadata[MIMEPNG].(map[string]any); size["width"] != c.pixel {
			t.Errorf("%g inches: the PNG is shown with %v", c.width, size)
		}
	}
}

// odd is what testing/quick fills with anything.
type odd struct {
	A map[string]any
	B []map[int]*odd
	C [][]float64
	D *[]string
	E map[[2]bool]complex128
	F []*float64
	G any
	H map[any]func()
	s []byte
	e error
}

// TestRenderAnything holds Render to its promise: a text, valid JSON, bounded.
func TestRenderAnything(t *testing.T) {
	check := func(b []map[int]string, c [][]float64, d *[]string, e map[[2]bool]complex128, f []*float64, m map[float64]string, a [3]int8) bool {
		o := &odd{A: map[string]any{"d": len(b)}, B: []map[int]*odd{nil, {}}, C: c, D: d, E: e, F: f, s: []byte("s"), e: errors.New("e")}
		o.G, o.H = o, map[any]func(){o: nil, 1: nil, "x": func() {}}
		o.A["self"], o.B[1][7] = o.A, o
		for _, v := range []any{o, *o, []*odd{o, nil}, o.A, b, c, d, e, f, m, a, &d, o.H} {
			bundle := Render(v)
			text, err := json.Marshal(bundle)
			if err != nil || !json.Valid(text) || bundle.Text() == "" || len(text) > 1<<20 || !json.Valid([]byte(JSONOf(v))) {
				t.Logf("%T: %v, %d bytes", v, err, len(text))
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 30}); err != nil {
		t.Error(err)
	}
}

// A figure is saved in every format, and a name without one is an error that
// says which there are.
func TestSaveFigure(t *testing.T) {
	p := plot.New()
	p.Title.Text = "saved"
	f := Figure{Plots: [][]*plot.Plot{{p, p}}, Width: 4, Height: 2}
	dir := t.TempDir()
	for name, magic := range map[string]string{"a.pdf": "%PDF", "a.png": "\x89PNG", "a.svg": "<?xml", "a.eps": "%%!PS", "A.JPG": "\xff\xd8"} {
		if err := f.Save(filepath.Join(dir, name)); err != nil {
			t.Error(err)
			continue
		}
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.HasPrefix(string(b), magic) {
			t.Errorf("%s begins with %.8q (%v)", name, b, err)
		}
	}
	for name, call := range map[string]func() error{
		"must end in .pdf":      func() error { return f.Save(filepath.Join(dir, "a")) },
		"figure without plots":  func() error { return Figure{}.Save(filepath.Join(dir, "b.pdf")) },
		"no such file":          func() error { return f.Save(filepath.Join(dir, "none", "b.pdf")) },
		"each side must be pos": func() error { return Figure{Plots: f.Plots, Width: 1e6}.Save(filepath.Join(dir, "b.pdf")) },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
}

func TestTableRoundsDurations(t *testing.T) {
	table := NewTable("time")
	for _, d := range []time.Duration{428151131, 1234, 0, 3*time.Minute + 1234567890, -2500 * time.Microsecond} {
		table.Add(d)
	}
	if got := table.String(); got != "time\n428ms\n1.23µs\n0s\n3m1s\n-2.5ms" {
		t.Errorf("%q", got)
	}
}
