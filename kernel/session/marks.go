package session

import (
	"go/constant"
	"reflect"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/traefik/yaegi/interp"
)

// Emitted code says before each statement that can panic where it is, by an
// assignment to R_line, which is a variable in name only: written by all
// goroutines it would be a race, and a panic would be shown at another
// goroutine's line. So the interpreter's generator of assignments is wrapped,
// and makes of these a store in a marker that the goroutine has for itself.
// That is quicker than the assignment would be.

// marker is where a goroutine of the session's keeps its position. It is that
// goroutine's profiling label, the only storage that Go gives to a goroutine,
// and begins with an empty set of labels for a profiler to find. Goroutines
// that compiled code starts inherit it, so it is atomic.
type marker struct {
	pprof.LabelSet
	line atomic.Int64
}

// markers are all there are: a label that is none of them is a user's own, by
// pprof.Do. The first is for the goroutines that have none.
var markers struct {
	all  [4096]marker
	mu   sync.Mutex
	free []*marker
	used int
}

// newMarker returns one that no other goroutine has, as long as there are any.
func newMarker() *marker {
	markers.mu.Lock()
	defer markers.mu.Unlock()
	m := &markers.all[0]
	if n := len(markers.free); n > 0 {
		m = markers.free[n-1]
		markers.free = markers.free[:n-1]
	} else if markers.used+1 < len(markers.all) {
		markers.used++
		m = &markers.all[markers.used]
	}
	m.line.Store(0)
	return m
}

func (m *marker) release() {
	if m == &markers.all[0] {
		return
	}
	markers.mu.Lock()
	defer markers.mu.Unlock()
	markers.free = append(markers.free, m)
}

// use makes the marker the calling goroutine's own.
func (m *marker) use() { setLabel(unsafe.Pointer(m)) }

// mark is the marker of the calling goroutine.
func mark() *marker {
	p := getLabel()
	if i := uintptr(p) - uintptr(unsafe.Pointer(&markers.all)); i < unsafe.Sizeof(markers.all) {
		return (*marker)(p)
	}
	return &markers.all[0]
}

//go:linkname getLabel runtime/pprof.runtime_getProfLabel
func getLabel() unsafe.Pointer

//go:linkname setLabel runtime/pprof.runtime_setProfLabel
func setLabel(unsafe.Pointer)

// generators has the interpreter's functions that turn a node of syntax into
// what is executed for it, by kind.
//
//go:linkname generators github.com/traefik/yaegi/interp.builtin
var generators [51]func(node unsafe.Pointer)

const (
	genNop    = 0
	genAssign = 2
)

// step is what is executed for a node: it returns the next.
type step func(frame unsafe.Pointer) step

// generates tells whether a generator is interp's function of that name.
func generates(i int, name string) bool {
	return strings.HasSuffix(runtime.FuncForPC(reflect.ValueOf(generators[i]).Pointer()).Name(), "/interp."+name)
}

// layout is where a node of the interpreter has what is used of it.
var layout nodeLayout

type nodeLayout struct{ child, exec, ident, rval uintptr }

// find looks for the fields, and tells whether they are what they should be.
func (l *nodeLayout) find() bool {
	roots, _ := reflect.TypeFor[interp.Interpreter]().FieldByName("roots")
	if roots.Type == nil {
		return false
	}
	node := roots.Type.Elem().Elem()
	child, ok1 := node.FieldByName("child")
	exec, ok2 := node.FieldByName("exec")
	ident, ok3 := node.FieldByName("ident")
	rval, ok4 := node.FieldByName("rval")
	if !ok1 || !ok2 || !ok3 || !ok4 || child.Type.Kind() != reflect.Slice || exec.Type.Kind() != reflect.Func ||
		ident.Type.Kind() != reflect.String || rval.Type != reflect.TypeFor[reflect.Value]() {
		return false
	}
	*l = nodeLayout{child.Offset, exec.Offset, ident.Offset, rval.Offset}
	return true
}

func (l *nodeLayout) children(n unsafe.Pointer) []unsafe.Pointer {
	return *(*[]unsafe.Pointer)(unsafe.Add(n, l.child))
}

func (l *nodeLayout) step(n unsafe.Pointer) *step  { return (*step)(unsafe.Add(n, l.exec)) }
func (l *nodeLayout) name(n unsafe.Pointer) string { return *(*string)(unsafe.Add(n, l.ident)) }
func (l *nodeLayout) value(n unsafe.Pointer) reflect.Value {
	return *(*reflect.Value)(unsafe.Add(n, l.rval))
}

// hookMarks has the interpreter make stores of the assignments to R_line. It
// tells whether the interpreter is the one that it knows.
var hookMarks = sync.OnceValue(func() bool {
	if !layout.find() || !generates(genNop, "nop") || !generates(genAssign, "assign") {
		return false
	}
	nop, assign := generators[genNop], generators[genAssign]
	generators[genAssign] = func(n unsafe.Pointer) {
		children := layout.children(n)
		if len(children) != 2 || layout.name(children[0]) != "R_line" {
			assign(n)
			return
		}
		v := layout.value(children[1])
		at := int64(0)
		if k, ok := v.Interface().(constant.Value); ok {
			at, _ = constant.Int64Val(k)
		} else {
			at = v.Int()
		}
		nop(n)
		p := layout.step(n)
		next := (*p)(nil) // doing nothing returns it
		*p = func(unsafe.Pointer) step {
			mark().line.Store(at)
			return next
		}
	}
	return true
})
