package display

import (
	"encoding/json"
	"html"
	"strings"
)

// bundler is what the types of this package implement to render themselves.
type bundler interface{ bundle() Bundle }

func renderBundle(v any) (Bundle, bool) {
	switch v := v.(type) {
	case Bundle:
		return Bundle{}.with(v), true
	case *Bundle:
		if v == nil {
			return Bundle{}, false
		}
		return Bundle{}.with(*v), true
	case bundler:
		return v.bundle(), true
	}
	return Bundle{}, false
}

// with returns a copy of c, so that Render never changes what it was given.
func (b Bundle) with(c Bundle) Bundle {
	b.merge(c)
	return b
}

// one returns a bundle of one rich form and its text.
func one(mime string, content any, text string) Bundle {
	var b Bundle
	b.set(mime, content)
	b.set(MIMEText, clip(text, maxText))
	return b
}

func (h HTML) bundle() Bundle     { return one(MIMEHTML, string(h), textOfHTML(string(h))) }
func (m Markdown) bundle() Bundle { return one(MIMEMarkdown, string(m), string(m)) }
func (s SVG) bundle() Bundle      { return one(MIMESVG, string(s), "(picture, SVG)") }
func (p PNG) bundle() Bundle      { return one(MIMEPNG, []byte(p), "(picture, PNG)") }
func (j JPEG) bundle() Bundle     { return one(MIMEJPEG, []byte(j), "(picture, JPEG)") }

func (l Latex) bundle() Bundle {
	tex := strings.TrimSpace(string(l))
	if !strings.HasPrefix(tex, "$") && !strings.HasPrefix(tex, `\begin`) && !strings.HasPrefix(tex, `\[`) && !strings.HasPrefix(tex, `\(`) {
		tex = "$\\displaystyle " + tex + "$"
	}
	return one(MIMELatex, tex, string(l))
}

func (j JSON) bundle() Bundle {
	if !json.Valid([]byte(j)) {
		var b Bundle
		b.set(MIMEText, "(not valid JSON) "+clip(string(j), maxText))
		return b
	}
	return one(MIMEJSON, json.RawMessage(j), string(j))
}

func (c Custom) bundle() Bundle {
	var b Bundle
	for mime, f := range map[string]func() string{
		MIMEText: c.Text, MIMEHTML: c.HTML, MIMEMarkdown: c.Markdown, MIMELatex: c.Latex, MIMESVG: c.SVG,
	} {
		if f != nil {
			b.set(mime, f())
		}
	}
	for mime, f := range map[string]func() []byte{MIMEPNG: c.PNG, MIMEJPEG: c.JPEG} {
		if f != nil {
			b.set(mime, f())
		}
	}
	switch {
	case len(b.Data) == 0:
		return Render(c.Value)
	case c.Text == nil:
		b.set(MIMEText, c.String())
	}
	return b
}

// textOfHTML is what a terminal shows of HTML: its text without the tags.
func textOfHTML(s string) string {
	var out strings.Builder
	for s != "" {
		open := strings.IndexByte(s, '<')
		if open < 0 {
			out.WriteString(s)
			break
		}
		out.WriteString(s[:open])
		s = s[open:]
		for _, skip := range []string{"style", "script"} {
			if len(s) > len(skip) && strings.EqualFold(s[1:1+len(skip)], skip) {
				if end := strings.Index(strings.ToLower(s), "</"+skip); end > 0 {
					s = s[end:]
				}
			}
		}
		end := strings.IndexByte(s, '>')
		if end < 0 {
			break
		}
		switch tag := strings.ToLower(strings.Trim(s[:end], "</ ")); {
		case strings.HasPrefix(tag, "br"), strings.HasPrefix(s, "</") && (tag == "p" || tag == "div" || tag == "tr" || tag == "li" || tag == "table"):
			out.WriteByte('\n')
		case tag == "td" || tag == "th":
			out.WriteByte(' ')
		}
		s = s[end+1:]
	}
	return strings.TrimSpace(html.UnescapeString(out.String()))
}
