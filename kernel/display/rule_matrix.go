package display

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"gonum.org/v1/gonum/mat"
)

const (
	matrixRows = 20
	matrixCols = 10
)

func renderMatrix(v any) (Bundle, bool) {
	m, ok := v.(mat.Matrix)
	if !ok {
		return Bundle{}, false
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return Bundle{}, false
	}
	g := matrixGrid(m)
	if r, c := m.Dims(); r == 0 || c == 0 {
		return one(MIMEHTML, g.html(), g.caption), true
	}
	return one(MIMEHTML, g.html(), matrixText(m)), true
}

func matrixGrid(m mat.Matrix) *grid {
	r, c := m.Dims()
	rows, cols := span(r, matrixRows), span(c, matrixCols)
	g := &grid{head: indices(cols), index: indices(rows), caption: shapeOf(m)}
	if c == 1 {
		g.head = nil
	}
	values := make([][]float64, len(rows))
	for a, i := range rows {
		row := make([]entry, len(cols))
		values[a] = make([]float64, len(cols))
		for k, j := range cols {
			row[k] = ellipsis
			if i >= 0 && j >= 0 {
				values[a][k] = m.At(i, j)
				row[k] = floatEntry(values[a][k])
			}
		}
		g.rows = append(g.rows, row)
	}
	align(g.rows, values)
	if note := nonFinite(m, r, c); note != "" {
		g.caption += " · " + note
	}
	return g
}

// matrixText is the plain form of a matrix: its shape and its entries.
func matrixText(m mat.Matrix) string {
	g := matrixGrid(m)
	if len(g.rows) == 0 {
		return g.caption
	}
	g.head, g.index = nil, nil
	return g.caption + "\n" + g.text()
}

// shapeOf names a matrix by its shape and type: "200×3 Dense".
func shapeOf(m mat.Matrix) string {
	r, c := m.Dims()
	of := ""
	if u, ok := m.(mat.Untransposer); ok && u.Untranspose() != nil {
		m, of = u.Untranspose(), "transposed "
	}
	name := of + strings.TrimPrefix(strings.TrimPrefix(reflect.TypeOf(m).String(), "*"), "mat.")
	return fmt.Sprintf("%d×%d %s", r, c, name)
}

// maxScan bounds the entries looked at for a summary.
const maxScan = 1 << 22

// nonFinite counts the entries that are NaN or infinite, the first thing to
// know of a matrix that has any.
func nonFinite(m mat.Matrix, r, c int) string {
	if r*c > maxScan {
		return ""
	}
	nan, inf := 0, 0
	for i := range r {
		for j := range c {
			switch x := m.At(i, j); {
			case math.IsNaN(x):
				nan++
			case math.IsInf(x, 0):
				inf++
			}
		}
	}
	return nonFiniteNote(nan, inf)
}

func nonFiniteNote(nan, inf int) string {
	var notes []string
	if nan > 0 {
		notes = append(notes, fmt.Sprintf("%d NaN", nan))
	}
	if inf > 0 {
		notes = append(notes, fmt.Sprintf("%d Inf", inf))
	}
	return strings.Join(notes, " · ")
}
