package stdlib

import (
	"encoding/json"
	"sync"
)

// Doc is the documentation of one symbol.
type Doc struct {
	// Signature is the declaration in one or more lines of Go, without its body.
	Signature string
	// Text is the documentation comment, in the format of package go/doc/comment.
	Text string
}

var (
	docsMu sync.Mutex
	docs   = map[string]map[string][2]string{}
)

// DocOf is the documentation of a symbol of the package at path: "Printf" is a function, constant,
// variable or type, "Dense.Mul" a method or a field of a struct type, "" the package itself. A
// promoted method is documented with the type that declares it, or, where that one is not exported,
// with the type that has it. The path "builtin" has the predeclared names.
func DocOf(path, symbol string) (Doc, bool) {
	docsMu.Lock()
	defer docsMu.Unlock()
	d, ok := docs[path]
	if !ok {
		data, err := packed("doc/" + path)
		if err != nil || data == nil || json.Unmarshal(data, &d) != nil {
			return Doc{}, false // no such package; or no documentation, and all is usable without
		}
		docs[path] = d
	}
	e, ok := d[symbol]
	return Doc{e[0], e[1]}, ok
}
