package session

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sources returns the texts of the cells that declare the names and what they
// need, directly or through others, in the order they ran. It may be called by
// a running cell. The cells declare the same names in another session.
func (s *Session) Sources(names ...string) ([]string, error) {
	w := s.world.Load()
	want := map[string]bool{}
	for _, n := range names {
		if d := w.decls[n]; d == nil || d.predeclared {
			return nil, fmt.Errorf("no cell declares %q", n)
		}
		want[n] = true
	}
	var cells []int
	for _, key := range w.reach(want) {
		if d := w.decls[key]; !d.predeclared && !slices.Contains(cells, d.cell) {
			cells = append(cells, d.cell)
		}
	}
	slices.Sort(cells)
	// A cell may also declare a name that a later one redefined: run in order,
	// the later one wins again.
	out := w.importCell()
	for _, c := range cells {
		out = append(out, s.source(c))
	}
	return out, nil
}

// importCell is a cell with the world's imports, none if there are none.
func (w *world) importCell() []string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.imports)) {
		path := w.imports[name]
		if strings.HasPrefix(name, ".") {
			name = "."
		}
		fmt.Fprintf(&b, "import %s %q\n", name, path)
	}
	if b.Len() == 0 {
		return nil
	}
	return []string{b.String()}
}
