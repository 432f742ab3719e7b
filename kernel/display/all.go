package display

import (
	"encoding/base64"
	"html"
	"strings"
)

func renderAll(values []any) Bundle {
	switch len(values) {
	case 0:
		return Bundle{}
	case 1:
		return Render(values[0])
	}
	var texts []string
	var rich []Bundle
	for i, v := range values {
		b := Render(v)
		texts = append(texts, b.Text())
		if len(b.Data) > 1 || i < len(values)-1 || v != nil {
			rich = append(rich, b)
		}
	}
	text := clip(strings.Join(texts, ", "), maxText)
	if len(rich) == 1 {
		out := Bundle{}.with(rich[0])
		out.set(MIMEText, text)
		return out
	}
	var out Bundle
	out.set(MIMEText, text)
	if h, ok := stack(rich); ok {
		out.set(MIMEHTML, h)
	}
	return bounded(out)
}

// stack puts outputs one below the other in HTML. It reports false when none
// has more than its text.
func stack(parts []Bundle) (string, bool) {
	var b strings.Builder
	anyRich := false
	for _, p := range parts {
		h, rich := asHTML(p)
		anyRich = anyRich || rich
		b.WriteString("<div>" + h + "</div>")
	}
	return b.String(), anyRich
}

// asHTML returns the richest form of an output that HTML can hold, and
// whether that is more than its text.
func asHTML(b Bundle) (string, bool) {
	if h, ok := b.Data[MIMEHTML].(string); ok {
		return h, true
	}
	if p, ok := b.Data[MIMEPNG].([]byte); ok {
		size := ""
		if m, ok := b.Metadata[MIMEPNG].(map[string]any); ok {
			if w, ok := m["width"].(int); ok {
				size = ` width="` + itoa(w) + `"`
			}
		}
		return `<img` + size + ` src="data:image/png;base64,` + base64.StdEncoding.EncodeToString(p) + `">`, true
	}
	if s, ok := b.Data[MIMESVG].(string); ok {
		return s, true
	}
	return "<pre>" + html.EscapeString(b.Text()) + "</pre>", false
}
