package display

import (
	"html"
	"strconv"
	"strings"
)

// style dresses every table and card this package makes. Colours are mixed
// from the surrounding text colour, so that one sheet is right on light and
// dark pages alike, JupyterLab's and plain ones; where a viewer strips styles
// (GitHub), what remains is a plain table.
const style = `<style>` +
	`.gvx{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);line-height:1.45;overflow-x:auto;max-width:100%}` +
	`.gvx table{border-collapse:collapse;margin:2px 0;font-size:inherit;border:0;display:table;width:auto;font-variant-numeric:tabular-nums}` +
	`.gvx th,.gvx td{padding:2px 9px;border:0;text-align:right;white-space:nowrap;background:none;vertical-align:top;max-width:40em;overflow:hidden;text-overflow:ellipsis}` +
	`.gvx td{font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:.95em}` +
	`.gvx th{font-weight:600;opacity:.75}` +
	`.gvx thead th{border-bottom:1px solid color-mix(in srgb,currentColor 30%,transparent)}` +
	`.gvx tbody tr{background:none}` +
	`.gvx tbody tr:nth-child(even){background:color-mix(in srgb,currentColor 4%,transparent)}` +
	`.gvx tbody tr:hover{background:color-mix(in srgb,currentColor 9%,transparent)}` +
	`.gvx table td.l,.gvx table th.l{text-align:left}.gvx table td.e,.gvx table th.e{opacity:.45;text-align:center}.gvx table td.bad{color:var(--jp-error-color1,#d33)}` +
	`.gvx .cap{opacity:.65;font-size:.9em;margin-top:1px}` +
	`.gvx .bar{display:inline-block;vertical-align:middle;width:220px;height:8px;border-radius:4px;background:color-mix(in srgb,currentColor 14%,transparent);overflow:hidden;margin:0 10px}` +
	`.gvx .bar i{display:block;height:100%;border-radius:4px;background:var(--jp-brand-color1,#1976d2)}` +
	`.gvx .err{border-left:3px solid var(--jp-error-color1,#d33);padding:2px 10px;white-space:pre-wrap}` +
	`</style>`

// page builds the HTML of one output.
type page struct{ strings.Builder }

func newPage() *page {
	p := &page{}
	p.WriteString(`<div class="gvx">` + style)
	return p
}

func (p *page) done() string {
	p.WriteString(`</div>`)
	return p.String()
}

// text writes s escaped.
func (p *page) text(s string) { p.WriteString(html.EscapeString(s)) }

// el writes an element with escaped content.
func (p *page) el(tag, class, content string) {
	p.WriteString("<" + tag)
	if class != "" {
		p.WriteString(` class="` + class + `"`)
	}
	p.WriteString(">")
	p.text(content)
	p.WriteString("</" + tag + ">")
}

func (p *page) caption(s string) {
	if s != "" {
		p.el("div", "cap", s)
	}
}

// span picks which of n rows or columns to show when at most limit fit:
// everything, or a head and a tail with -1 between for the ellipsis.
func span(n, limit int) []int {
	if n <= limit {
		out := make([]int, n)
		for i := range out {
			out[i] = i
		}
		return out
	}
	head := (limit + 1) / 2
	out := make([]int, 0, limit+1)
	for i := range head {
		out = append(out, i)
	}
	out = append(out, -1)
	for i := n - (limit - head); i < n; i++ {
		out = append(out, i)
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }
