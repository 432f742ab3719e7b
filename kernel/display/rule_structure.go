package display

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"
)

const (
	tableRows = 30
	tableCols = 20
	vectorMax = 12  // numbers of a slice shown side by side
	lineMax   = 100 // a value whose text is shorter needs no table of its elements
)

// renderStructure shows slices, maps and structs as tables.
func renderStructure(v any) (Bundle, bool) {
	rv := reflect.ValueOf(v)
	for depth := 0; rv.Kind() == reflect.Pointer && !rv.IsNil() && depth < maxDepth; depth++ {
		rv = rv.Elem()
	}
	var g *grid
	switch rv.Kind() {
	case reflect.Slice, reflect.Array:
		g = sliceGrid(rv)
	case reflect.Map:
		g = mapGrid(rv)
	case reflect.Struct:
		g = structGrid(rv)
	}
	if g == nil || len(g.rows) == 0 {
		return Bundle{}, false
	}
	return g.bundle(v), true
}

func sliceGrid(v reflect.Value) *grid {
	n := v.Len()
	if n == 0 {
		return nil
	}
	elem := v.Type().Elem()
	switch k := elem.Kind(); {
	case elem.Implements(errorType), elem.Implements(stringerType):
		return listGrid(v)
	case k == reflect.Float32, k == reflect.Float64:
		return vectorGrid(v)
	case k == reflect.Slice, k == reflect.Array:
		if isScalar(elem.Elem()) && elem.Elem().Kind() != reflect.Uint8 {
			return rowsGrid(v)
		}
	case k == reflect.Struct, k == reflect.Pointer && elem.Elem().Kind() == reflect.Struct:
		return recordsGrid(v, span(n, tableRows), nil)
	case k == reflect.Map && elem.Key().Kind() == reflect.String:
		return mapsGrid(v)
	}
	return listGrid(v)
}

var (
	errorType    = reflect.TypeFor[error]()
	stringerType = reflect.TypeFor[fmt.Stringer]()
)

func isScalar(t reflect.Type) bool {
	k := t.Kind()
	return k >= reflect.Bool && k <= reflect.Complex128 || k == reflect.String
}

// listGrid shows a slice of anything else, one element a line, when its text
// is too long for one line.
func listGrid(v reflect.Value) *grid {
	w := writer{limit: lineMax}
	w.value(v, 0)
	elem := v.Type().Elem()
	if utf8.RuneCountInString(w.String()) <= lineMax && v.Len() <= maxItems || elem.Kind() == reflect.Uint8 {
		return nil
	}
	if k := elem.Kind(); k >= reflect.Int && k <= reflect.Uintptr && !elem.Implements(stringerType) {
		return vectorGrid(v)
	}
	at := span(v.Len(), tableRows)
	g := &grid{index: indices(at), caption: fmt.Sprintf("%s · %d elements", goType(v.Type()), v.Len())}
	for _, i := range at {
		e := ellipsis
		if i >= 0 {
			e = entryOf(v.Index(i))
		}
		g.rows = append(g.rows, []entry{e})
	}
	return g
}

// vectorGrid lays numbers side by side under their indices and sums them up.
func vectorGrid(v reflect.Value) *grid {
	n := v.Len()
	at := span(n, vectorMax)
	row, values := make([]entry, len(at)), make([]float64, len(at))
	for k, i := range at {
		row[k] = ellipsis
		if i >= 0 {
			row[k], values[k] = entryOf(v.Index(i)), asFloat(v.Index(i))
		}
	}
	if k := v.Type().Elem().Kind(); k == reflect.Float32 || k == reflect.Float64 {
		align([][]entry{row}, [][]float64{values})
	}
	return &grid{head: indices(at), rows: [][]entry{row}, picture: sparkline(v), caption: goType(v.Type()) + " · " + vectorSummary(v)}
}

func vectorSummary(v reflect.Value) string {
	n := v.Len()
	s := fmt.Sprintf("%d values", n)
	if n == 1 {
		s = "1 value"
	}
	if n > maxScan {
		return s
	}
	lo, hi, sum := math.Inf(1), math.Inf(-1), 0.0
	nan, inf := 0, 0
	for i := range n {
		switch x := asFloat(v.Index(i)); {
		case math.IsNaN(x):
			nan++
		case math.IsInf(x, 0):
			inf++
		default:
			lo, hi, sum = min(lo, x), max(hi, x), sum+x
		}
	}
	if k := n - nan - inf; k > 1 {
		s += fmt.Sprintf(" · min %.4g · mean %.4g · max %.4g", lo, sum/float64(k), hi)
	}
	if note := nonFiniteNote(nan, inf); note != "" {
		s += " · " + note
	}
	return s
}

// asFloat returns a number of any kind as a float64.
func asFloat(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

// rowsGrid shows a slice of slices as a matrix; rows may differ in length.
func rowsGrid(v reflect.Value) *grid {
	at := span(v.Len(), matrixRows)
	widest, ragged := 0, false
	for _, i := range at {
		if i < 0 {
			continue
		}
		n := v.Index(i).Len()
		ragged = ragged || i > 0 && n != widest
		widest = max(widest, n)
	}
	cols := span(widest, matrixCols)
	shape := fmt.Sprintf("%d×%d", v.Len(), widest)
	if ragged {
		shape = fmt.Sprintf("%d rows of different lengths", v.Len())
	}
	g := &grid{head: indices(cols), index: indices(at), caption: shape + " " + goType(v.Type())}
	kind := v.Type().Elem().Elem().Kind()
	floats := kind == reflect.Float32 || kind == reflect.Float64
	values := make([][]float64, len(at))
	for a, i := range at {
		row := make([]entry, len(cols))
		values[a] = make([]float64, len(cols))
		for k, j := range cols {
			switch {
			case i < 0 || j < 0:
				row[k] = ellipsis
			case j < v.Index(i).Len():
				row[k] = entryOf(v.Index(i).Index(j))
				if floats {
					values[a][k] = v.Index(i).Index(j).Float()
				}
			default:
				row[k].kind = gap
			}
		}
		g.rows = append(g.rows, row)
	}
	if floats {
		align(g.rows, values)
	}
	return g
}

// recordsGrid shows structs as rows under the names of their fields. titles
// names the rows; nil numbers them.
func recordsGrid(v reflect.Value, at []int, titles []string) *grid {
	t := v.Type().Elem()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	fields := fieldsOf(t)
	if len(fields) == 0 {
		return listGrid(v)
	}
	g := &grid{index: titles, caption: fmt.Sprintf("%d × %s", v.Len(), goType(t))}
	if g.index == nil {
		g.index = indices(at)
	}
	for _, f := range fields {
		g.head = append(g.head, t.Field(f).Name)
	}
	for _, i := range at {
		row := make([]entry, len(fields))
		for k := range row {
			row[k] = ellipsis
		}
		if i >= 0 {
			s := v.Index(i)
			if s.Kind() == reflect.Pointer {
				s = s.Elem()
			}
			for k, f := range fields {
				row[k] = entry{"<nil>", bad}
				if s.IsValid() {
					row[k] = entryOf(s.Field(f))
				}
			}
		}
		g.rows = append(g.rows, row)
	}
	return g
}

// fieldsOf returns the fields worth a column.
func fieldsOf(t reflect.Type) []int {
	var out []int
	for i := range t.NumField() {
		if t.Field(i).IsExported() && len(out) < tableCols {
			out = append(out, i)
		}
	}
	return out
}

// mapsGrid shows maps as rows under the union of their keys.
func mapsGrid(v reflect.Value) *grid {
	at := span(v.Len(), tableRows)
	g := &grid{index: indices(at), caption: fmt.Sprintf("%d × %s", v.Len(), goType(v.Type().Elem()))}
	column := map[string]int{}
	var keys []reflect.Value
	for _, i := range at {
		if i < 0 {
			continue
		}
		for _, k := range sortedKeys(v.Index(i)) {
			if _, have := column[k.String()]; !have && len(g.head) < tableCols {
				column[k.String()] = len(g.head)
				g.head = append(g.head, oneLine(k.String(), wordLimit))
				keys = append(keys, k)
			}
		}
	}
	if len(g.head) == 0 {
		return nil
	}
	for _, i := range at {
		row := make([]entry, len(keys))
		for k, key := range keys {
			if i < 0 {
				row[k] = ellipsis
			} else if x := v.Index(i).MapIndex(key); x.IsValid() {
				row[k] = entryOf(x)
			}
		}
		g.rows = append(g.rows, row)
	}
	return g
}

func mapGrid(v reflect.Value) *grid {
	keys := sortedKeys(v)
	if len(keys) == 0 {
		return nil
	}
	at := span(len(keys), tableRows)
	g := &grid{caption: fmt.Sprintf("%s · %d entries", goType(v.Type()), len(keys))}
	if len(keys) == 1 {
		g.caption = goType(v.Type()) + " · 1 entry"
	}
	for _, i := range at {
		if i < 0 {
			g.index = append(g.index, ellipsis.text)
			g.rows = append(g.rows, []entry{ellipsis})
			continue
		}
		g.index = append(g.index, brief(keys[i], wordLimit))
		g.rows = append(g.rows, []entry{entryOf(v.MapIndex(keys[i]))})
	}
	return g
}

func structGrid(v reflect.Value) *grid {
	t := v.Type()
	g := &grid{caption: goType(t)}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		e := entryOf(v.Field(i))
		if e.kind == number {
			e.kind = words // fields are of all kinds: they line up at the left
		}
		g.index = append(g.index, f.Name)
		g.rows = append(g.rows, []entry{e})
	}
	return g
}

// goType names a type for a caption. The long text of an unnamed struct says
// less than the word.
func goType(t reflect.Type) string {
	s := t.String()
	if i := strings.Index(s, "struct {"); i >= 0 {
		return s[:i] + "struct"
	}
	return oneLine(strings.ReplaceAll(s, "interface {}", "any"), wordLimit)
}
