package notebook

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func page(t *testing.T, nb *Notebook, opts *HTMLOptions) string {
	t.Helper()
	out, err := HTML(nb, opts)
	if err != nil {
		t.Fatal(err)
	}
	s := string(out)
	_, body, _ := strings.Cut(s, "<body>")
	for _, far := range []string{`<link`, `src="http`, `@import`, `url(http`} {
		if strings.Contains(s, far) {
			t.Errorf("the page needs something else: %s", far)
		}
	}
	return body
}

func TestHTML(t *testing.T) {
	nb := executed(t)
	body := page(t, nb, nil)
	for _, want := range []string{
		`<h1 id="Title">Title</h1>`, `<math xmlns`, `<msup><mi>x</mi><mn>2</mn></msup>`,
		`<span class="count" aria-hidden="true">1</span>`, `<pre class="stream">a`, `<pre class="stream stderr">b`,
		"<em>one</em>", `src="data:image/png;base64,`, `<div class="result"><b>x</b></div>`,
		`<pre class="error"><span class="ansi-red">panic</span>: no`, `<section class="cell raw"><pre>raw</pre>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	// The parts come in the order of the cells.
	order := regexp.MustCompile(`(?s)class="cell code".*class="outputs".*class="cell code".*class="cell text".*class="cell raw"`)
	if !order.MatchString(body) {
		t.Error("the cells are out of order")
	}
	out, _ := HTML(nb, &HTMLOptions{Title: "A <b>", Lang: "de"})
	for _, want := range []string{"<title>A &lt;b&gt;</title>", `<html lang="de">`, "prefers-color-scheme: dark", "@media print"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if out, _ := HTML(nb, nil); !strings.Contains(string(out), "<title>Title</title>") {
		t.Error("the title is not the first heading")
	}
	if _, err := HTML(nil, nil); err == nil {
		t.Error("no error for nil")
	}
}

func TestHTMLCode(t *testing.T) {
	nb := New()
	nb.Add(Code, "x := \"<b>\" // <i>")
	hidden := nb.Add(Code, "secret()")
	hidden.Metadata.Set("jupyter", map[string]bool{"source_hidden": true})
	gone := nb.Add(Code, "gone()")
	gone.Metadata.Set("tags", []string{"remove-cell"})
	input := nb.Add(Code, "input()")
	input.Metadata.Set("tags", []string{"remove-input"})
	input.Outputs = []*Output{{Type: Stream, Name: "stdout", Text: "10%\r20%\r100%\n"}, {Type: DisplayData, Data: map[string]any{"application/json": json.RawMessage(`{"k":[1]}`)}}}
	slow := nb.Add(Code, "slow()")
	slow.Metadata.Set("execution", map[string]string{"iopub.status.busy": "2026-01-01T00:00:00.000000Z", "shell.execute_reply": "2026-01-01T00:01:05.5Z"})
	body := page(t, nb, nil)
	for _, want := range []string{"&lt;b&gt;", ` := `, "<details>", `<pre class="stream">100%`, "1 min 05 s", `<span class="s">&#34;k&#34;</span>`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s in\n%s", want, body)
		}
	}
	for _, not := range []string{"<b>", "gone", "input()"} {
		if strings.Contains(body, not) {
			t.Errorf("the page has %s", not)
		}
	}
}

func TestHTMLMarkdown(t *testing.T) {
	w := &htmlWriter{opts: &HTMLOptions{}, lang: "go"}
	for _, c := range []struct{ in, want, not string }{
		{"a $x$ b", "<mi>x</mi>", "$"},
		{"it costs $5 and $6", "it costs $5 and $6", "<math"},
		{"costs \\$5 or $x$", "costs $5 or <math", "\\$"},
		{"$ x $", "$ x $", "<math"},
		{"`$x$`", "<code>$x$</code>", "<math"},
		{"```\n$x$\n```", "$x$", "<math"},
		{"$$\nx_1\n- y_2\n= z\n$$", `<div class="formula"><math`, "<li>"},
		{"text\n$$x$$\nmore", `<div class="formula"><math`, "$$"},
		{"text $$x$$ more", `<p>text <math xmlns="http://www.w3.org/1998/Math/MathML" display="block">`, "$$"},
		{"$a_1$ and $b_1$", "<msub><mi>b</mi>", "<em>"},
		{"$a\n+b$", "<mi>b</mi>", "$a"},
		{"\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}", "<mtable", "align}</p>"},
		{"\\\\[ x \\\\]", "display=\"block\"", "["},
		{"\\\\( x \\\\)", "<mi>x</mi>", "("},
		{"```math\nx^2\n```", "<msup>", "<pre"},
		{"$\\unknown x$", `<code class="tex">\unknown x</code>`, "<math"},
		{"$$ open", "$$ open", "<math"},
		{"$$ open\n\n$$", "$$ open", "<math"},
		{"> $$\n> x\n> $$", "<blockquote>\n<div class=\"formula\"><math", "&gt;"},
		{"- a $x|y$\n- b", "<li>a <math", ""},
		{"| a | b |\n|--|--|\n| $x$ | 2 |", "<td><math", ""},
		{"~~x~~ https://example.org", `<a href="https://example.org">`, "~~"},
		{"```go\nfunc f() {}\n```", `<span class="k">func</span>`, ""},
		{"```nolang\na<b\n```", "a&lt;b", ""},
		{"<details><summary>s</summary></details>", "<details>", ""},
		{"## Same\n\n## Same", `id="Same-2"`, ""},
		{"![a](attachment:none.png)", "attachment:none.png", ""},
	} {
		w.ids = headingIDs{}
		got := annotation.ReplaceAllString(w.markdown(c.in, nil), "")
		if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%q gives\n%s\nwant %q, not %q", c.in, got, c.want, c.not)
		}
	}
}

var annotation = regexp.MustCompile(`(?s)<annotation.*?</annotation>`)

func TestHTMLPictures(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"a.png": "PNG", "b.txt": "text"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	nb := mustRead(t, sample)
	nb.Add(Markdown, "![](a.png) ![](b.txt) ![](../a.png) ![](none.png)")
	body := page(t, nb, &HTMLOptions{Dir: dir})
	for _, want := range []string{`src="data:image/png;base64,iVBORw0KGgo="`, `src="data:image/png;base64,UE5H"`, `src="b.txt"`, `src="../a.png"`, `src="none.png"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s in\n%s", want, body)
		}
	}
	nb.Cells[1].Outputs[1].Data = map[string]any{"image/svg+xml": "<svg/>", "image/png": "AAAA", "text/plain": "a \"plot\"\nmore"}
	if body := page(t, nb, nil); !strings.Contains(body, `<img alt="a &#34;plot&#34;" width="10" src="data:image/svg+xml;base64,PHN2Zy8+">`) {
		t.Errorf("no picture in\n%s", body)
	}
}

func TestANSI(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a<b", "a&lt;b"},
		{"\x1b[31mred\x1b[0m plain", `<span class="ansi-red">red</span> plain`},
		{"\x1b[1;32mok\x1b[m", `<span class="ansi-green ansi-bold">ok</span>`},
		{"\x1b[31ma\x1b[1mb\x1b[39mc", `<span class="ansi-red">a</span><span class="ansi-red ansi-bold">b</span><span class="ansi-bold">c</span>`},
		{"\x1b[38;5;196mx\x1b[48;2;1;2;3my", `<span style="color:#ff0000">x</span><span style="color:#ff0000;background-color:#010203">y</span>`},
		{"\x1b[38;5;9mx\x1b[38;5;240my", `<span class="ansi-bright-red">x</span><span style="color:#585858">y</span>`},
		{"\x1b[7mx\x1b[27m\x1b[41;7my", `<span class="ansi-invert">x</span><span class="ansi-red">y</span>`},
		{"\x1b[2Ka\x1b[3;4Hb\x1b]0;title\x07c\x1b]8;;u\x1b\\d", "abcd"},
		{"\x1b", ""}, {"\x1b[", ""}, {"\x1b[31", ""}, {"\x1b[38;5mx", "x"}, {"a\x1b(Bb", "ab"}, {"\x1b[é", "é"},
	} {
		if got := ansiHTML(c.in); got != c.want {
			t.Errorf("%q: %s, want %s", c.in, got, c.want)
		}
	}
	for _, c := range []struct{ in, want string }{{"10%\r20%\n", "20%\n"}, {"abc\rx", "xbc"}, {"a\b\bbc", "bc"}, {"a\r\nb", "a\nb"}, {"plain", "plain"}} {
		if got := overwrite(c.in); got != c.want {
			t.Errorf("overwrite(%q) = %q", c.in, got)
		}
	}
}
