package stdlib

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"sync"
)

// packs has the members of all packs by name.
var packs = sync.OnceValues(func() (map[string]*zip.File, error) {
	m := map[string]*zip.File{}
	for _, g := range groups {
		z, err := zip.NewReader(bytes.NewReader(g.Pack), int64(len(g.Pack)))
		if err != nil {
			return nil, fmt.Errorf("stdlib: the embedded pack of %s is damaged: %w; run go generate ./stdlib and build again", g.Name, err)
		}
		for _, f := range z.File {
			m[f.Name] = f
		}
	}
	return m, nil
})

// packed reads a member of the packs; nil with no error when there is none.
func packed(name string) ([]byte, error) {
	m, err := packs()
	if err != nil || m[name] == nil {
		return nil, err
	}
	r, err := m[name].Open()
	if err != nil {
		return nil, fmt.Errorf("stdlib: %s: %w", name, err)
	}
	defer r.Close()
	data := make([]byte, m[name].UncompressedSize64)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("stdlib: %s: %w", name, err)
	}
	return data, nil
}
