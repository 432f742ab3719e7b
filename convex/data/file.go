package data

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxValues bounds the numbers read from one file: a damaged header must not
// take all memory. It is 4 GiB of float64.
var maxValues = 1 << 29

// A file is the contents of a file, decompressed if it was gzip.
type file struct {
	path   string
	bytes  []byte
	sha256 string // of the file as it lies on disk
}

// readFile reads a whole file. It is small enough to hold: its numbers are.
func readFile(path string) (file, error) {
	if path == "" {
		return file{}, errors.New("data: the file name is empty")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			return file{}, fmt.Errorf("data: cannot read %s: %w", path, p.Err)
		}
		return file{}, fmt.Errorf("data: cannot read %s: %w", path, err)
	}
	sum := sha256.Sum256(raw)
	f := file{path: path, bytes: raw, sha256: hex.EncodeToString(sum[:])}
	if f.bytes, err = gunzip(raw); err != nil {
		return file{}, fmt.Errorf("data: %s: %w", path, err)
	}
	return f, nil
}

// gunzip decompresses b if it is gzip.
func gunzip(b []byte) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("damaged gzip file: %w", err)
	}
	limit := int64(8 * maxValues)
	out, err := io.ReadAll(io.LimitReader(z, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("damaged gzip file: %w", err)
	case int64(len(out)) > limit:
		return nil, fmt.Errorf("more than %d bytes when decompressed", limit)
	}
	return out, nil
}

// in prefixes an error about the contents with the file's name.
func (f file) in(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("data: %s: %s", f.path, strings.TrimPrefix(err.Error(), "data: "))
}

// size returns n·d if it is within maxValues.
func size(n, d int) (int, error) {
	if n < 0 || d < 0 || (d > 0 && n > maxValues/d) {
		return 0, fmt.Errorf("%d×%d numbers are more than the %d that fit", n, d, maxValues)
	}
	return n * d, nil
}
