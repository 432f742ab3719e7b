package stdlib

import (
	"slices"
	"sync"
)

// byName has the paths of each package name, the preferred one first.
var byName = sync.OnceValue(func() map[string][]string {
	m := map[string][]string{}
	for _, g := range groups {
		for _, p := range g.Packages {
			if p.Preferred {
				m[p.Name] = slices.Insert(m[p.Name], 0, p.Path)
			} else {
				m[p.Name] = append(m[p.Name], p.Path)
			}
		}
	}
	return m
})

// Named is the import path that a package name means in a cell that does not import it: rand is
// math/rand/v2, mat is gonum's. packages.txt has the choice where packages share a name.
func Named(name string) (path string, ok bool) {
	paths := byName()[name]
	if len(paths) == 0 {
		return "", false
	}
	return paths[0], true
}

// Candidates lists the import paths of all packages of a name, the one [Named] chooses first: when
// the first lacks what the cell selects from it (rand.Intn), another may have it.
func Candidates(name string) []string { return slices.Clone(byName()[name]) }

// Names lists the package names that [Named] knows, in order.
func Names() []string {
	names := make([]string, 0, len(byName()))
	for n := range byName() {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
