package session

import (
	"reflect"
	"sync"
	"unsafe"
)

// Go panics where a shift's count is negative; yaegi takes the count for a large
// one. To look at it in emitted code would take a call, which costs ten times
// what the shift does, so the interpreter's generators of shifts are wrapped.

// shiftGenerators are those of generators that make shifts.
var shiftGenerators = map[int]string{47: "shl", 48: "shlAssign", 49: "shr", 50: "shrAssign"}

// hookShifts has the interpreter panic where a count is negative. It tells
// whether the interpreter is the one that it knows.
var hookShifts = sync.OnceValue(func() bool {
	for i, name := range shiftGenerators {
		if !generates(i, name) {
			return false
		}
	}
	for i := range shiftGenerators {
		generate := generators[i]
		generators[i] = func(n unsafe.Pointer) {
			generate(n)
			count, p := layout.children(n)[1], layout.step(n)
			shift := *p
			if shift == nil || layout.value(count).IsValid() { // a constant
				return
			}
			value := genValue(count)
			*p = func(frame unsafe.Pointer) step {
				if c := value(frame); c.CanInt() && c.Int() < 0 {
					panic(runtimeError("runtime error: negative shift amount"))
				}
				return shift(frame)
			}
		}
	}
	return true
})

// genValue returns what reads the value of a node at run time.
//
//go:linkname genValue github.com/traefik/yaegi/interp.genValue
func genValue(node unsafe.Pointer) func(frame unsafe.Pointer) reflect.Value
