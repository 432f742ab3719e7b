package display

import (
	"fmt"
	"reflect"
	"time"
)

// A Table shows rows under headers. Entries are formatted as the kernel
// formats values: floats to six digits, durations to three, strings as they are.
//
//	t := display.NewTable("beta", "objective")
//	t.Add(1e-3, sol.Primal)
//	t
type Table struct {
	Headers []string
	Rows    [][]any
	Caption string
	MaxRows int // rows shown before the middle is elided; 0: 60
}

// NewTable returns an empty table with the given headers.
func NewTable(headers ...string) *Table { return &Table{Headers: headers} }

// Add appends a row.
func (t *Table) Add(entries ...any) { t.Rows = append(t.Rows, entries) }

func (t Table) grid() *grid {
	limit := t.MaxRows
	if limit <= 0 {
		limit = 60
	}
	g := &grid{head: t.Headers, caption: t.Caption}
	width := len(t.Headers)
	at := span(len(t.Rows), limit)
	for _, i := range at {
		if i >= 0 {
			width = max(width, len(t.Rows[i]))
		}
	}
	for _, i := range at {
		row := make([]entry, width)
		for j := range row {
			switch {
			case i < 0:
				row[j] = ellipsis
			case j < len(t.Rows[i]):
				v := t.Rows[i][j]
				if d, ok := v.(time.Duration); ok {
					v = rounded(d)
				}
				row[j] = entryOf(reflect.ValueOf(v))
			}
		}
		g.rows = append(g.rows, row)
	}
	if n := len(t.Rows); n > limit {
		if g.caption != "" {
			g.caption += " · "
		}
		g.caption += fmt.Sprintf("%d rows", n)
	}
	return g
}

func (t Table) bundle() Bundle {
	g := t.grid()
	return one(MIMEHTML, g.html(), t.String())
}

// String lays the table out for a terminal.
func (t Table) String() string {
	g := t.grid()
	if len(g.rows) == 0 && len(g.head) == 0 {
		return "(empty table)"
	}
	s := g.text()
	if g.caption != "" {
		s += "\n" + g.caption
	}
	return s
}

// rounded is d to three digits.
func rounded(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 || d/unit <= -1000 {
		unit *= 10
	}
	return d.Round(unit)
}
