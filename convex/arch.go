package convex

import (
	"fmt"
	"sort"
	"sync"
)

var archs struct {
	sync.Mutex
	byName map[string]Arch
}

// RegisterArch makes an architecture known under its name to problem files and
// to Archs. The value registered is the one with default options.
func RegisterArch(a Arch) {
	archs.Lock()
	defer archs.Unlock()
	if archs.byName == nil {
		archs.byName = map[string]Arch{}
	}
	archs.byName[a.Name()] = a
}

// Archs names the registered architectures.
func Archs() []string {
	archs.Lock()
	defer archs.Unlock()
	var names []string
	for n := range archs.byName {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// LookupArch returns the architecture of a name, with its default options.
func LookupArch(name string) (Arch, error) {
	archs.Lock()
	a, ok := archs.byName[name]
	archs.Unlock()
	if !ok {
		return nil, fmt.Errorf("convex: no architecture %q; there are %v", name, Archs())
	}
	return a, nil
}

// maxLayers is the most layers of the networks that have any number.
const maxLayers = 1000
