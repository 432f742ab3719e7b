package session

import (
	"fmt"
	"go/types"
	"reflect"

	"github.com/gonvex/gonvex/kernel/display"
)

// Tables of values whose types cells have declared. Package display makes those
// of compiled types; of these only the session knows the names of the fields
// and the methods.

const (
	tableRows = 30 // of a long slice or map
	tableCols = 20
)

// table is a value as a table; false when its text says as much.
func (r *rt) table(v reflect.Value, t types.Type) (display.Table, bool) {
	if _, own := r.ownText(v, t, true, false); own {
		return display.Table{}, false
	}
	if p, ok := t.Underlying().(*types.Pointer); ok && v.Kind() == reflect.Pointer && !v.IsNil() {
		v, t = v.Elem(), p.Elem()
	}
	tab := display.Table{Caption: typeString(t)}
	switch u := t.Underlying().(type) {
	case *types.Struct:
		if v.Kind() != reflect.Struct || v.NumField() != u.NumFields() || u.NumFields() == 0 {
			return tab, false
		}
		for i := range min(u.NumFields(), tableRows) {
			tab.Add(bareName(u.Field(i).Name()), r.entry(v.Field(i), u.Field(i).Type()))
		}
		return tab, true
	case *types.Map:
		if v.Kind() != reflect.Map || v.Len() == 0 {
			return tab, false
		}
		tab.Caption = fmt.Sprintf("%s · %s", typeString(t), count(v.Len(), "entry", "entries"))
		keys := v.MapKeys()
		sortValues(keys)
		for _, i := range ends(len(keys)) {
			if i < 0 {
				tab.Add("⋯", "⋯")
				continue
			}
			tab.Add(r.entry(keys[i], u.Key()), r.entry(v.MapIndex(keys[i]), u.Elem()))
		}
		return tab, true
	case interface{ Elem() types.Type }: // a slice or an array
		if v.Kind() != reflect.Slice && v.Kind() != reflect.Array || v.Len() == 0 {
			return tab, false
		}
		return r.records(v, u.Elem(), tab)
	}
	return tab, false
}

// records shows structs, or pointers to structs, as rows.
func (r *rt) records(v reflect.Value, elem types.Type, tab display.Table) (display.Table, bool) {
	fields, ok := elem.Underlying().(*types.Struct)
	if p, isPtr := elem.Underlying().(*types.Pointer); isPtr {
		fields, ok = p.Elem().Underlying().(*types.Struct)
	}
	if !ok || fields.NumFields() == 0 {
		return tab, false
	}
	if _, own := r.ownText(v.Index(0), elem, true, false); own {
		return tab, false
	}
	n := min(fields.NumFields(), tableCols)
	tab.Caption = fmt.Sprintf("%d × %s", v.Len(), typeString(elem))
	tab.Headers = []string{""}
	for i := range n {
		tab.Headers = append(tab.Headers, bareName(fields.Field(i).Name()))
	}
	for _, i := range ends(v.Len()) {
		row := make([]any, n+1)
		for k := range row {
			row[k] = "⋯"
		}
		if i >= 0 {
			row[0] = i
			e := v.Index(i)
			if e.Kind() == reflect.Pointer {
				e = e.Elem()
			}
			for k := range n {
				row[k+1] = "<nil>"
				if e.IsValid() && e.Kind() == reflect.Struct && e.NumField() == fields.NumFields() {
					row[k+1] = r.entry(e.Field(k), fields.Field(k).Type())
				}
			}
		}
		tab.Rows = append(tab.Rows, row)
	}
	return tab, true
}

// entry is a value for one field of a table: a number or text as it is, the
// rest as it prints.
func (r *rt) entry(v reflect.Value, t types.Type) any {
	if b, ok := t.(*types.Basic); ok && v.IsValid() && v.Kind() != reflect.Interface && v.CanInterface() && b.Info()&(types.IsNumeric|types.IsString|types.IsBoolean) != 0 {
		return v.Interface()
	}
	p := &printer{r: r, plus: true, show: true, depth: 1}
	p.value(v, t)
	return p.b.String()
}

// ends lists the indices of n things to be shown; -1 stands for those left out.
func ends(n int) []int {
	var at []int
	for i := range n {
		switch {
		case n <= tableRows || i < tableRows/2 || i >= n-tableRows/2:
			at = append(at, i)
		case i == tableRows/2:
			at = append(at, -1)
		}
	}
	return at
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
