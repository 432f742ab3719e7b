package display

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// grid is a table ready to be written: the common ground of matrices, slices,
// maps, structs and Table.
type grid struct {
	head    []string // titles of the columns; nil: none
	index   []string // titles of the rows; nil: none
	rows    [][]entry
	picture string // SVG shown below
	caption string
}

// entry is one field of a grid.
type entry struct {
	text string
	kind kind
}

type kind uint8

const (
	number kind = iota // set right
	words              // set left
	bad                // NaN, Inf, a nil where a value should be: marked
	gap                // stands for what is elided
)

var ellipsis = entry{"⋯", gap}

const wordLimit = 60 // runes of one entry

// entryOf formats a value for a grid.
func entryOf(v reflect.Value) entry {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.IsValid() && !hasText(v) {
		switch v.Kind() {
		case reflect.Float32, reflect.Float64:
			return floatEntry(v.Float())
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
			reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
			return entry{brief(v, wordLimit), number}
		}
	}
	return entry{brief(v, wordLimit), words}
}

// floatEntry writes six significant digits: enough to compare by eye, short
// enough for a table.
func floatEntry(f float64) entry {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return entry{strconv.FormatFloat(f, 'g', -1, 64), bad}
	}
	return entry{strconv.FormatFloat(f, 'g', 6, 64), number}
}

// align rewrites numbers that are all of one kind, a matrix's or a vector's,
// with the same number of decimals: at most four, and no more than needed.
// Entries far too small or large for that keep their exponent.
func align(rows [][]entry, values [][]float64) {
	decimals, largest := 0, 0.0
	for _, row := range values {
		for _, x := range row {
			if a := math.Abs(x); !math.IsNaN(x) && !math.IsInf(x, 0) {
				largest = max(largest, a)
				if !extreme(a) {
					_, digits, _ := strings.Cut(strconv.FormatFloat(a, 'f', -1, 64), ".")
					decimals = max(decimals, min(len(digits), 4))
				}
			}
		}
	}
	for i, row := range values {
		for j, x := range row {
			e := &rows[i][j]
			switch {
			case e.kind != number:
			case x == 0:
				e.text = "0"
			case extreme(math.Abs(x)) || largest < 0.01:
				e.text = strconv.FormatFloat(x, 'g', 4, 64)
			default:
				e.text = strconv.FormatFloat(x, 'f', decimals, 64)
			}
		}
	}
}

// extreme reports whether four decimals say too little, or too much, of a.
func extreme(a float64) bool { return a != 0 && a < 5e-5 || a >= 1e6 }

func (g *grid) bundle(v any) Bundle {
	return one(MIMEHTML, g.html(), Text(v))
}

func (g *grid) html() string {
	p := newPage()
	g.write(p)
	return p.done()
}

func (g *grid) write(p *page) {
	p.WriteString("<table>")
	if g.head != nil {
		p.WriteString("<thead><tr>")
		if g.index != nil {
			p.WriteString("<th></th>")
		}
		for j, h := range g.head {
			p.el("th", g.columnClass(j), h)
		}
		p.WriteString("</tr></thead>")
	}
	p.WriteString("<tbody>")
	for i, row := range g.rows {
		p.WriteString("<tr>")
		if g.index != nil {
			class := "l"
			if isNumber(g.index[i]) {
				class = ""
			}
			if g.index[i] == ellipsis.text {
				class = "e"
			}
			p.el("th", class, g.index[i])
		}
		for _, e := range row {
			class := ""
			switch e.kind {
			case words:
				class = "l"
			case bad:
				class = "bad"
			case gap:
				class = "e"
			}
			p.el("td", class, e.text)
		}
		p.WriteString("</tr>")
	}
	p.WriteString("</tbody></table>" + g.picture)
	p.caption(g.caption)
}

// columnClass sets the title of a column as its first real entry is set.
func (g *grid) columnClass(j int) string {
	for _, row := range g.rows {
		if j < len(row) {
			switch row[j].kind {
			case words:
				return "l"
			case number, bad:
				return ""
			}
		}
	}
	return ""
}

// text lays the grid out in columns for a terminal.
func (g *grid) text() string {
	var all [][]entry
	width := len(g.head)
	if g.head != nil {
		row := make([]entry, len(g.head))
		for j, h := range g.head {
			row[j] = entry{h, number}
			if g.columnClass(j) == "l" {
				row[j].kind = words
			}
		}
		all = append(all, row)
	}
	for _, row := range g.rows {
		all = append(all, row)
		width = max(width, len(row))
	}
	if g.index != nil {
		off := len(all) - len(g.rows)
		for i := range all {
			title := entry{"", words}
			if i >= off {
				title.text = g.index[i-off]
			}
			if isNumber(title.text) {
				title.kind = number
			}
			all[i] = append([]entry{title}, all[i]...)
		}
		width++
	}
	widths := make([]int, width)
	for _, row := range all {
		for j, e := range row {
			widths[j] = max(widths[j], utf8.RuneCountInString(e.text))
		}
	}
	var b strings.Builder
	for _, row := range all {
		var line strings.Builder
		for j, e := range row {
			if j > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(e.text))
			if e.kind == words {
				line.WriteString(e.text + pad)
			} else {
				line.WriteString(pad + e.text)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// indices titles elided rows or columns by their positions.
func indices(at []int) []string {
	out := make([]string, len(at))
	for i, k := range at {
		out[i] = ellipsis.text
		if k >= 0 {
			out[i] = strconv.Itoa(k)
		}
	}
	return out
}
