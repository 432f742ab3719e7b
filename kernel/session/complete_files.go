package session

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxFiles bounds how many names of a folder are offered.
const maxFiles = 1000

// files completes the name of a file, as written so far; relative names are
// those of the folder that cells run in, the notebook's. What a string literal
// would have to escape is left out.
func (c *completer) files(written string, quoted bool) {
	c.prefix = written
	dir, base := written[:strings.LastIndexByte(written, '/')+1], written[strings.LastIndexByte(written, '/')+1:]
	f, err := os.Open(filepath.Join(".", filepath.FromSlash(dir)))
	if strings.HasPrefix(dir, "/") {
		f, err = os.Open(filepath.FromSlash(dir))
	}
	if err != nil {
		return
	}
	defer f.Close()
	for n := 0; n < maxFiles; {
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			name := e.Name()
			if strings.HasPrefix(name, ".") && !strings.HasPrefix(base, ".") || quoted && strconv.Quote(name) != "\""+name+"\"" {
				continue
			}
			m := Match{Text: dir + name, Kind: KindFile}
			info, err := e.Info()
			if err == nil && info.Mode()&fs.ModeSymlink != 0 {
				info, err = os.Stat(filepath.Join(f.Name(), name))
			}
			switch {
			case err != nil: // it has just gone, or leads nowhere
			case info.IsDir():
				m.Text, m.Kind = m.Text+"/", KindFolder
			default:
				m.Signature = size(info.Size())
			}
			c.add(0, m)
			n++
		}
		if err != nil {
			return
		}
	}
}

// size writes a number of bytes to be read.
func size(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= u.size {
			return strconv.FormatFloat(float64(n)/float64(u.size), 'g', 3, 64) + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}
