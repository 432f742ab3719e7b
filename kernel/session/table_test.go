package session

import (
	"strings"
	"testing"

	"github.com/gonvex/gonvex/kernel/display"
)

func TestTablesOfSessionTypes(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, `type P struct { Name string; age int; W []float64 }
type Named int
func (n Named) String() string { return fmt.Sprint("n", int(n)) }
type Own struct{ A int }
func (Own) String() string { return "own text" }`)
	for _, c := range []struct {
		code string
		want []string // in the table; none: no table
	}{
		{`P{"Ada", 36, []float64{1}}`, []string{"Name", "Ada", "age", "36", "[1]", "P"}},
		{`&P{"Ada", 36, nil}`, []string{"Name", "Ada"}},
		{`[]P{{"Ada", 36, nil}, {"Bob", 41, nil}}`, []string{"Name", "age", "Bob", "41", "2 × main.P"}},
		{`[]*P{{"Ada", 36, nil}, nil}`, []string{"Ada", "&lt;nil&gt;"}},
		{`map[string]P{"x": {"Ada", 36, nil}}`, []string{"x", "Name:Ada", "1 entry"}},
		{`map[Named]int{3: 4}`, []string{"n3", "4"}},
		{`func() (ps []P) { for i := range 1000 { ps = append(ps, P{fmt.Sprint("no", i), i, nil}) }; return }()`, []string{"no14", "⋯", "no985", "no999", "1000 × main.P"}},
		{`Own{1}`, nil}, {`[]Own{{1}}`, nil}, {`[]P{}`, nil}, {`map[string]P{}`, nil}, {`Named(3)`, nil}, {`(*P)(nil)`, nil}, {`[]Named{1}`, nil},
	} {
		html, _ := mustRun(t, s, c.code).Value.Data[display.MIMEHTML].(string)
		if (html != "") != (c.want != nil) {
			t.Errorf("%s: table %q", c.code, html)
		}
		for _, w := range c.want {
			if !strings.Contains(html, ">"+w) && !strings.Contains(html, w) {
				t.Errorf("%s: no %s in its table", c.code, w)
			}
		}
		if strings.Contains(html, "no500") {
			t.Errorf("%s: nothing is left out", c.code)
		}
	}
}
