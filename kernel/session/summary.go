package session

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gonvex/gonvex/convex"
	"gonum.org/v1/gonum/mat"
)

// maxSummary is how many bytes of a value a summary quotes.
const maxSummary = 60

// summary says about the value of a variable what its type does not: the shape
// of a matrix, a length, a small value. It is empty while a cell runs, which
// may be writing the variable.
func (s *Session) summary(d *decl) string {
	if !s.mu.TryLock() {
		return ""
	}
	defer s.mu.Unlock()
	return described(s.m.Globals()[d.emitted])
}

// described is summarise of a value in any state, also one that its own methods
// do not take.
func described(v reflect.Value) (text string) {
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	if !v.IsValid() {
		return ""
	}
	v, _ = plain(v)
	return summarise(v)
}

func summarise(v reflect.Value) string {
	if !v.IsValid() {
		return "= nil"
	}
	if v.CanInterface() {
		switch x := v.Interface().(type) {
		case convex.Problem:
			return problemSummary(&x)
		case *convex.Problem:
			if x != nil {
				return problemSummary(x)
			}
		case *convex.Solution:
			if x != nil {
				return fmt.Sprintf("(%s, objective %.6g, lower bound %.6g, gap %.1e, %s)", x.Status, x.Primal, x.Lower, x.Gap, x.Scope)
			}
		case mat.Matrix:
			if v.Kind() != reflect.Pointer || !v.IsNil() {
				return shape(x)
			}
		}
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		if v.IsNil() {
			return "= nil"
		}
		if rows, cols, ok := rectangle(v); ok {
			return fmt.Sprintf("%d×%d", rows, cols)
		}
		return fmt.Sprintf("length %d", v.Len())
	case reflect.Chan:
		if !v.IsNil() {
			return fmt.Sprintf("holds %d of %d", v.Len(), v.Cap())
		}
		return "= nil"
	case reflect.String:
		if v.Len() > maxSummary {
			return fmt.Sprintf("length %d", utf8.RuneCountInString(v.String()))
		}
		return "= " + strconv.Quote(v.String())
	case reflect.Pointer, reflect.Func, reflect.Interface:
		if v.IsNil() {
			return "= nil"
		}
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32,
		reflect.Uint64, reflect.Uintptr, reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return fmt.Sprint("= ", v)
	}
	return ""
}

// shape is the size of a matrix as rows×columns.
func shape(m mat.Matrix) string {
	r, c := m.Dims()
	return fmt.Sprintf("%d×%d", r, c)
}

// rectangle tells the size of a slice of slices of one length.
func rectangle(v reflect.Value) (rows, cols int, ok bool) {
	if v.Kind() != reflect.Slice || v.Len() == 0 || v.Type().Elem().Kind() != reflect.Slice {
		return 0, 0, false
	}
	cols = v.Index(0).Len()
	for i := range v.Len() {
		if v.Index(i).Len() != cols {
			return 0, 0, false
		}
	}
	return v.Len(), cols, true
}

func problemSummary(p *convex.Problem) string {
	var parts []string
	if p.Arch != nil {
		parts = append(parts, p.Arch.Name())
	}
	if p.X != nil {
		parts = append(parts, "X "+shape(p.X))
	}
	if n := len(p.Patches); n > 0 {
		parts = append(parts, fmt.Sprintf("%d patches %s", n, shape(p.Patches[0])))
	}
	if p.Y != nil {
		parts = append(parts, "Y "+shape(p.Y))
	}
	if p.Loss.Name != "" {
		parts = append(parts, "loss "+p.Loss.Name)
	}
	return "(" + strings.Join(append(parts, fmt.Sprintf("beta %g", p.Beta)), ", ") + ")"
}
