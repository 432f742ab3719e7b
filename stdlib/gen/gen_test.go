package main

import (
	"bytes"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gonvex/gonvex/stdlib"
	"github.com/gonvex/gonvex/stdlib/internal/gonum"
	"github.com/gonvex/gonvex/stdlib/internal/own"
	"github.com/gonvex/gonvex/stdlib/internal/std"
)

// What is committed is what the generator makes of the packages as they are.
func TestCommittedIsCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("regenerating compiles every listed package; run without -short")
	}
	root, err := moduleDir()
	if err != nil {
		t.Fatal(err)
	}
	secs, err := parseList(packagesTxt)
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]string{"std": std.Group.Toolchain, "gonum": gonum.Group.Toolchain, "own": own.Group.Toolchain}
	for _, sec := range secs {
		t.Run(sec.name, func(t *testing.T) {
			if recorded[sec.name] != toolchain {
				t.Skipf("generated with %s, this is %s: the tables may differ; run go generate ./stdlib to move to it",
					recorded[sec.name], toolchain)
			}
			out, err := generate(root, sec)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(out)
			dir := filepath.Join(root, "stdlib", "internal", sec.name)
			for name, want := range out.files {
				if have, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(have, want) {
					t.Errorf("%s is stale (%v): run go run ./stdlib/gen -only %s", filepath.Join(dir, name), err, sec.name)
				}
			}
			have, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range have {
				if out.files[filepath.Base(f)] == nil {
					t.Errorf("%s is no longer generated: run go run ./stdlib/gen -only %s", f, sec.name)
				}
			}
		})
	}
}

func TestGenerateTwiceIsTheSame(t *testing.T) {
	root, err := moduleDir()
	if err != nil {
		t.Fatal(err)
	}
	sec := &section{name: "some", entries: []entry{{path: "slices"}, {path: "sort"}, {path: "go/constant"}}}
	a, err := generate(root, sec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := generate(root, sec)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.files) != 5 || len(a.files) != len(b.files) {
		t.Fatalf("%d and %d files", len(a.files), len(b.files))
	}
	goroot, err := goOutput("", "env", "GOROOT")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range a.files {
		if !bytes.Equal(data, b.files[name]) {
			t.Errorf("%s differs", name)
		}
		if bytes.Contains(data, []byte(root)) || bytes.Contains(data, bytes.TrimSpace(goroot)) {
			t.Errorf("%s names a directory of this machine", name)
		}
	}
}

func TestMissingPackage(t *testing.T) {
	root, err := moduleDir()
	if err != nil {
		t.Fatal(err)
	}
	entries := []entry{{path: "sort"}, {path: module + "/nowhere"}}
	if _, err := generate(root, &section{name: "gonum", entries: entries}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a package that is not there: %v", err)
	}
	out, err := generate(root, &section{name: "own", entries: entries})
	if err != nil || out.files["sort_table.go"] == nil || !strings.Contains(out.String(), "left out "+module+"/nowhere") {
		t.Errorf("one of ours that is not there: %v, %v", out, err)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir, map[string][]byte{"a_table.go": []byte("a"), "pack.zip": []byte("z")}); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, map[string][]byte{"b_table.go": []byte("b"), "pack.zip": []byte("z")}); err != nil {
		t.Fatal(err)
	}
	got, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(got) != 2 || filepath.Base(got[0]) != "b_table.go" || filepath.Base(got[1]) != "pack.zip" {
		t.Errorf("left with %v", got)
	}
}

func TestParseList(t *testing.T) {
	secs, err := parseList([]byte("# c\n[std]\nfmt\nmath/rand/v2 prefer\n- plugin: no: use\n\n[own]\n x/y \n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(secs) != 2 || secs[0].name != "std" || len(secs[0].entries) != 2 || !secs[0].entries[1].preferred ||
		secs[0].left["plugin"] != "no: use" || secs[1].entries[0].path != "x/y" {
		t.Errorf("%+v %+v", secs[0], secs[1])
	}
	for text, want := range map[string]string{
		"fmt\n":                "packages.txt:1: \"fmt\" stands before",
		"[std\nfmt":            "a section is [name]",
		"[std]\nfmt\n\nfmt":    "packages.txt:4: fmt is on line 2 already",
		"[std]\n- plugin":      "needs a reason",
		"[std]\n- plugin: ":    "needs a reason",
		"[std]\nfmt bogus":     "neither PATH nor PATH prefer",
		"[std]\n- a prefer: b": "neither PATH nor PATH prefer",
	} {
		if _, err := parseList([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A cell can name the types that it meets: a package whose types the API of an included one mentions
// is included too, or left out for a reason.
func TestMentionedPackagesAreListed(t *testing.T) {
	secs, err := parseList(packagesTxt)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, s := range secs {
		for _, e := range s.entries {
			known[e.path] = true
		}
		for path := range s.left {
			known[path] = true
		}
	}
	var missing []string
	imp := stdlib.Importer(token.NewFileSet())
	for _, path := range stdlib.Paths() {
		p, err := imp.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		mention := func(t types.Type, where string) {
			types.TypeString(t, func(q *types.Package) string {
				if !known[q.Path()] && !hidden(q.Path()) {
					known[q.Path()] = true // say it once
					missing = append(missing, q.Path()+" ("+path+"."+where+")")
				}
				return ""
			})
		}
		for _, name := range p.Scope().Names() {
			o := p.Scope().Lookup(name)
			if !o.Exported() {
				continue
			}
			if _, isType := o.(*types.TypeName); !isType {
				mention(o.Type(), name)
				continue
			}
			if s, ok := o.Type().Underlying().(*types.Struct); ok {
				for f := range s.Fields() {
					if f.Exported() {
						mention(f.Type(), name+"."+f.Name())
					}
				}
			} else {
				mention(o.Type().Underlying(), name)
			}
			for m := range types.NewMethodSet(types.NewPointer(o.Type())).Methods() {
				if m.Obj().Exported() {
					mention(m.Obj().Type(), name+"."+m.Obj().Name())
				}
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("packages.txt lists an API but not %s", strings.Join(missing, ", "))
	}
}

func FuzzParseList(f *testing.F) {
	f.Add(packagesTxt)
	f.Add([]byte("[a]\nb prefer\n- c: d\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		secs, err := parseList(text)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, s := range secs {
			for _, e := range s.entries {
				if e.path == "" || seen[e.path] {
					t.Errorf("path %q", e.path)
				}
				seen[e.path] = true
			}
		}
	})
}

func TestCheckStd(t *testing.T) {
	sec := &section{entries: []entry{{path: "fmt"}}, left: map[string]string{"plugin": "no use"}}
	if err := checkStd(sec, []string{"fmt", "plugin", "internal/abi", "vendor/golang.org/x/text"}); err != nil {
		t.Error(err)
	}
	if err := checkStd(sec, []string{"fmt", "newpkg"}); err == nil || !strings.Contains(err.Error(), "newpkg") {
		t.Errorf("a new package: %v", err)
	}
}
