package notebook

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gonvex/gonvex/kernel/notebook/internal/tex"
)

// HTMLOptions of a page. The zero value makes a page titled by the notebook's
// first heading.
type HTMLOptions struct {
	Title string
	Dir   string // where Markdown's relative pictures are looked for; "": they stay links
	Lang  string // of the prose, such as "en"; ""= "en"

	// Home and Source are addresses to link to above the notebook: the page that
	// lists it, and its file; "": no link.
	Home, Source string
}

// HTML renders a notebook as one page that needs nothing but itself: styles,
// pictures and formulas (as MathML) are inside. It follows the reader's light
// or dark setting and prints well. HTML outputs are embedded as they are, as
// Jupyter's viewers do for notebooks they trust.
func HTML(nb *Notebook, opts *HTMLOptions) ([]byte, error) {
	if nb == nil {
		return nil, fmt.Errorf("notebook: HTML of a nil notebook")
	}
	if opts == nil {
		opts = &HTMLOptions{}
	}
	w := &htmlWriter{opts: opts, lang: nb.Language()}
	if w.lang == "" || w.lang == "golang" {
		w.lang = "go"
	}
	lang := opts.Lang
	if lang == "" {
		lang = "en"
	}
	w.head(lang, title(nb, opts))
	if opts.Home != "" || opts.Source != "" {
		w.printf("<nav>")
		if opts.Home != "" {
			w.printf("<a href=\"%s\">All notebooks</a>", html.EscapeString(opts.Home))
		}
		if opts.Source != "" {
			w.printf("<a href=\"%s\" download>This notebook</a>", html.EscapeString(opts.Source))
		}
		w.printf("</nav>\n")
	}
	for _, c := range nb.Cells {
		w.cell(c)
	}
	w.foot()
	return w.Bytes(), nil
}

// head begins a page, up to its contents, and foot ends it.
func (w *htmlWriter) head(lang, title string) {
	w.printf("<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n", html.EscapeString(lang))
	w.printf("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n")
	w.printf("<meta name=\"generator\" content=\"Gonvex\">\n<title>%s</title>\n", html.EscapeString(title))
	w.printf("<style>\n%s%s</style>\n</head>\n<body>\n<main>\n", pageCSS, highlightCSS)
}

func (w *htmlWriter) foot() { w.printf("</main>\n</body>\n</html>\n") }

// WriteHTML renders the notebook to a file, in one step.
func (nb *Notebook) WriteHTML(path string, opts *HTMLOptions) error {
	text, err := HTML(nb, opts)
	if err != nil {
		return err
	}
	return writeFile(path, text)
}

// title is the notebook's own, else its first heading, else a plain word.
func title(nb *Notebook, opts *HTMLOptions) string {
	if opts.Title != "" {
		return opts.Title
	}
	if t := nb.Metadata.String("title"); t != "" {
		return t
	}
	for _, c := range nb.Cells {
		if c.Type != Markdown {
			continue
		}
		for line := range strings.Lines(c.Source) {
			if t, ok := strings.CutPrefix(strings.TrimSpace(line), "# "); ok {
				return strings.Trim(t, "# *_`")
			}
		}
	}
	return "Notebook"
}

//go:embed page.css
var pageCSS string

type htmlWriter struct {
	bytes.Buffer
	opts *HTMLOptions
	lang string
	ids  headingIDs    // of all Markdown cells
	tex  tex.Converter // with the macros the notebook defines
}

func (w *htmlWriter) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

func (w *htmlWriter) cell(c *Cell) {
	if c.HasTag("remove-cell") {
		return
	}
	switch c.Type {
	case Markdown:
		if strings.TrimSpace(c.Source) == "" {
			return
		}
		w.printf("<section class=\"cell text\">\n%s</section>\n", w.markdown(c.Source, c.Attachments))
	case Raw:
		if f := c.Metadata.String("raw_mimetype") + c.Metadata.String("format"); strings.Contains(f, "html") {
			w.printf("<section class=\"cell text\">\n%s\n</section>\n", c.Source)
		} else if strings.TrimSpace(c.Source) != "" {
			w.printf("<section class=\"cell raw\"><pre>%s</pre></section>\n", html.EscapeString(c.Source))
		}
	case Code:
		if strings.TrimSpace(c.Source) == "" && len(c.Outputs) == 0 {
			return
		}
		w.printf("<section class=\"cell code\">\n")
		w.source(c)
		if len(c.Outputs) > 0 && !c.HasTag("remove-output") {
			w.printf("<div class=\"outputs\">\n")
			for _, out := range c.Outputs {
				w.output(out)
			}
			w.printf("</div>\n")
		}
		w.printf("</section>\n")
	}
}

func (w *htmlWriter) source(c *Cell) {
	if c.HasTag("remove-input") || strings.TrimSpace(c.Source) == "" {
		return
	}
	var jupyter struct {
		Hidden bool `json:"source_hidden"`
	}
	_ = json.Unmarshal(c.Metadata["jupyter"], &jupyter) // absent: shown
	hidden := jupyter.Hidden || c.HasTag("hide-input")
	if hidden {
		w.printf("<details><summary>code</summary>\n")
	}
	label := "&nbsp;"
	if c.ExecutionCount != nil {
		label = fmt.Sprint(*c.ExecutionCount)
	}
	w.printf("<div class=\"input\"><span class=\"count\" aria-hidden=\"true\">%s</span>", label)
	if t := took(c); t != "" {
		w.printf("<span class=\"took\">%s</span>", t)
	}
	w.printf("<pre class=\"code\"><code>%s</code></pre></div>\n", highlight(strings.TrimRight(c.Source, "\n"), w.lang))
	if hidden {
		w.printf("</details>\n")
	}
}

// took tells how long a cell ran, when that is worth saying.
func took(c *Cell) string {
	var times map[string]string
	if json.Unmarshal(c.Metadata["execution"], &times) != nil {
		return ""
	}
	start, err1 := time.Parse(time.RFC3339, times["iopub.status.busy"])
	end, err2 := time.Parse(time.RFC3339, times["shell.execute_reply"])
	d := end.Sub(start)
	switch {
	case err1 != nil || err2 != nil || d < time.Second/10:
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
}

func (w *htmlWriter) output(out *Output) {
	switch out.Type {
	case Stream:
		class := "stream"
		if out.Name == "stderr" {
			class += " stderr"
		}
		w.printf("<pre class=\"%s\">%s</pre>\n", class, ansiHTML(overwrite(out.Text)))
	case Error:
		text := strings.Join(out.Traceback, "\n")
		if strings.TrimSpace(text) == "" {
			text = out.Ename + ": " + out.Evalue
		}
		w.printf("<pre class=\"error\">%s</pre>\n", ansiHTML(text))
	case DisplayData, ExecuteResult:
		class := "display"
		if out.Type == ExecuteResult {
			class = "result"
		}
		if content := w.rich(out); content != "" {
			w.printf("<div class=\"%s\">%s</div>\n", class, content)
		}
	}
}

// pictures are the picture types a page can hold, best first.
var pictures = []string{"image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp"}

// rich renders the best form of an output.
func (w *htmlWriter) rich(out *Output) string {
	text := func(mime string) (string, bool) {
		s, ok := out.Data[mime].(string)
		return s, ok && strings.TrimSpace(s) != ""
	}
	if s, ok := text("text/html"); ok {
		return s
	}
	alt, _ := text("text/plain")
	for _, mime := range pictures {
		s, ok := text(mime)
		if !ok {
			continue
		}
		if mime == "image/svg+xml" {
			s = base64.StdEncoding.EncodeToString([]byte(s))
		}
		return fmt.Sprintf(`<img alt="%s"%s src="data:%s;base64,%s">`, html.EscapeString(firstLine(alt)), w.size(out, mime), mime, strings.Join(strings.Fields(s), ""))
	}
	if s, ok := text("text/markdown"); ok {
		return w.markdown(s, nil)
	}
	if s, ok := text("text/latex"); ok {
		return w.formula(tex.Trim(s))
	}
	if s, ok := out.Data["application/json"].(json.RawMessage); ok {
		var b bytes.Buffer
		if json.Indent(&b, s, "", "  ") == nil {
			return "<pre>" + highlight(b.String(), "json") + "</pre>"
		}
	}
	if alt == "" {
		return ""
	}
	return "<pre>" + ansiHTML(alt) + "</pre>"
}

// size returns the width a picture asks for. The height follows by itself.
func (w *htmlWriter) size(out *Output, mime string) string {
	for _, key := range []string{mime, "image/png"} {
		var m struct{ Width float64 }
		if json.Unmarshal(out.Metadata[key], &m) == nil && m.Width > 0 {
			return fmt.Sprintf(` width="%.0f"`, m.Width)
		}
	}
	return ""
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// texSource shows a formula that cannot be rendered as it was written.
func texSource(s string) string {
	return `<code class="tex">` + html.EscapeString(strings.TrimSpace(s)) + `</code>`
}

// inline returns a picture a Markdown cell refers to as a data URI: one of
// its attachments, or a file beside the notebook.
func (w *htmlWriter) inline(ref string, attachments map[string]Object) (string, bool) {
	if name, ok := strings.CutPrefix(ref, "attachment:"); ok {
		for mime, content := range attachments[name] {
			if s, ok := joined(content); ok {
				return "data:" + mime + ";base64," + strings.Join(strings.Fields(s), ""), true
			}
		}
		return "", false
	}
	if w.opts.Dir == "" || strings.Contains(ref, ":") || !filepath.IsLocal(ref) {
		return "", false
	}
	kind := mime.TypeByExtension(filepath.Ext(ref))
	if !strings.HasPrefix(kind, "image/") {
		return "", false
	}
	root, err := os.OpenRoot(w.opts.Dir)
	if err != nil {
		return "", false
	}
	defer root.Close()
	if info, err := root.Stat(ref); err != nil || info.Size() > 16<<20 {
		return "", false
	}
	data, err := root.ReadFile(ref)
	if err != nil {
		return "", false
	}
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data), true
}
