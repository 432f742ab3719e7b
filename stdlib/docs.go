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
// variable or type, "Dense.Mul" a method or a field of a struct type, "" the package itself.
func DocOf(path, symbol string) (Doc, bool) {
	docsMu.Lock()
	defer docsMu.Unlock()
	d, ok := docs[path]
	if !ok {
		if _, ok := Lookup(path); !ok {
			return Doc{}, false
		}
		data, err := packed("doc/" + path)
		if err != nil || json.Unmarshal(data, &d) != nil {
			return Doc{}, false // without its documentation a symbol is still usable
		}
		docs[path] = d
	}
	e, ok := d[symbol]
	return Doc{e[0], e[1]}, ok
}
