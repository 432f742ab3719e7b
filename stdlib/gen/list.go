package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed packages.txt
var packagesTxt []byte

// entry is one included package of packages.txt.
type entry struct {
	path      string
	preferred bool
}

// section is one section of packages.txt.
type section struct {
	name    string
	entries []entry
	left    map[string]string // path left out -> reason
}

// parseList reads the format that packages.txt describes at its top.
func parseList(text []byte) ([]*section, error) {
	var secs []*section
	seen := map[string]int{}
	sc := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		bad := func(format string, a ...any) error {
			return fmt.Errorf("packages.txt:%d: %s", n, fmt.Sprintf(format, a...))
		}
		if line[0] == '[' {
			name := strings.TrimSuffix(line[1:], "]")
			if len(name) != len(line)-2 || name == "" {
				return nil, bad("a section is [name], not %q", line)
			}
			secs = append(secs, &section{name: name, left: map[string]string{}})
			continue
		}
		if len(secs) == 0 {
			return nil, bad("%q stands before the first [section]", line)
		}
		sec := secs[len(secs)-1]
		path, reason, out := line, "", false
		if rest, ok := strings.CutPrefix(line, "- "); ok {
			if path, reason, out = strings.Cut(rest, ": "); !out || reason == "" {
				return nil, bad("a package left out needs a reason: - PATH: REASON")
			}
		}
		fields := strings.Fields(path)
		preferred := len(fields) == 2 && fields[1] == "prefer" && !out
		if len(fields) != 1 && !preferred {
			return nil, bad("%q is neither PATH nor PATH prefer", path)
		}
		path = fields[0]
		if first := seen[path]; first > 0 {
			return nil, bad("%s is on line %d already", path, first)
		}
		seen[path] = n
		if out {
			sec.left[path] = reason
		} else {
			sec.entries = append(sec.entries, entry{path, preferred})
		}
	}
	return secs, sc.Err()
}

// checkStd reports packages of Go's library that the section neither includes nor leaves out.
func checkStd(sec *section, std []string) error {
	known := map[string]bool{}
	for _, e := range sec.entries {
		known[e.path] = true
	}
	var missing []string
	for _, p := range std {
		if _, out := sec.left[p]; !known[p] && !out && !hidden(p) {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("packages.txt [std] does not say what to do with %s: add each as PATH or as - PATH: REASON", strings.Join(missing, ", "))
	}
	return nil
}

// hidden says that only the module of the package at path can import it.
func hidden(path string) bool {
	p := "/" + path + "/"
	return strings.Contains(p, "/internal/") || strings.Contains(p, "/vendor/")
}
