package notebook

import (
	"html"
	"regexp"
	"strings"
	"testing"
)

var tags = regexp.MustCompile(`</?span[^>]*>`)

// FuzzHighlight: whatever the code, its text is all there.
func FuzzHighlight(f *testing.F) {
	for _, code := range []string{
		"x := f(3) // call\nfmt.Println(\"a<b\", 'c', `raw\n\"`)", "func (", "\"open", "/* open", "a\r\nb", "x ++ y;; é日 \x00\xff", "", "%time f()", "`a\rb`",
	} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		got := html.UnescapeString(tags.ReplaceAllString(highlight(code, "go"), ""))
		want := html.UnescapeString(html.EscapeString(strings.ReplaceAll(code, "\r", "")))
		if got != want {
			t.Errorf("%q: the text is %q", code, got)
		}
	})
}

func TestHighlight(t *testing.T) {
	got := highlight("return f(x, nil) + 1 // why", "go")
	want := `<span class="k">return</span> <span class="f">f</span>(x, <span class="n">nil</span>) + <span class="n">1</span> <span class="c">// why</span>`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := highlight("a < b", "python"); got != "a &lt; b" {
		t.Errorf("another language: %s", got)
	}
}
