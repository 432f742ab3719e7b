package stdlib

import (
	"bytes"
	"fmt"
	"go/token"
	"go/types"
	"path"
	"strings"
	"sync"

	"golang.org/x/tools/go/gcexportdata"
)

// Importer imports, for go/types, the packages that [Lookup] finds, and no others. It decodes each
// package once, when it is first asked for; types of packages imported through the same Importer
// are identical where they should be. Imported objects have no positions. It may be used by several
// goroutines at a time.
func Importer(fset *token.FileSet) types.ImporterFrom {
	return &packImporter{fset: fset, pkgs: map[string]*types.Package{}}
}

type packImporter struct {
	fset *token.FileSet
	mu   sync.Mutex
	pkgs map[string]*types.Package // also incomplete ones, which others mention
}

func (im *packImporter) Import(path string) (*types.Package, error) {
	return im.ImportFrom(path, "", 0)
}

func (im *packImporter) ImportFrom(path, _ string, _ types.ImportMode) (*types.Package, error) {
	if _, ok := Lookup(path); !ok {
		return nil, fmt.Errorf("package %q is not part of this kernel%s", path, advice(path))
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	if p := im.pkgs[path]; p != nil && p.Complete() {
		return p, nil
	}
	data, err := packed("export/" + path)
	if err != nil {
		return nil, err
	}
	p, err := gcexportdata.Read(bytes.NewReader(data), im.fset, im.pkgs, path)
	if err != nil {
		return nil, fmt.Errorf("stdlib: types of %s: %w", path, err)
	}
	return p, nil
}

// advice names the package that was probably meant by a path that is not there.
func advice(missing string) string {
	switch missing {
	case "C", "unsafe", "syscall", "plugin":
		return " because a cell cannot use it safely"
	}
	base := path.Base(missing)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(missing))
	}
	if p, ok := Named(base); ok {
		return fmt.Sprintf("; did you mean %q?", p)
	}
	return ""
}
