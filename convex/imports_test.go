package convex

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The mathematics knows nothing of Jupyter, of the interpreter, or of plots.
func TestImportsPointDown(t *testing.T) {
	for _, glob := range []string{"*.go", "convextest/*.go"} {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", glob, err)
		}
		for _, name := range files {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range f.Imports {
				path, _ := strconv.Unquote(i.Path.Value)
				for _, no := range []string{"gonvex/kernel", "gonvex/stdlib", "traefik/yaegi", "gonum/plot", "convex/sgd", "convex/data"} {
					// Benchmarks may read data.
					if strings.Contains(path, no) && !(no == "convex/data" && strings.HasSuffix(name, "_test.go")) {
						t.Errorf("%s imports %s", name, path)
					}
				}
			}
		}
	}
}
