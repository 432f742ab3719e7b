package main

import (
	"strings"
	"testing"
)

// gonvex runs the command line in this process.
func gonvex(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"solve"}, {"solve", "a", "b"}, {"solve", "--tolerance", "1"}, {"install", "here"}, {"version", "--json"},
	} {
		code, stdout, stderr := gonvex(t, args...)
		if code != 2 || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("gonvex %v: exit %d, stdout %q, stderr %q; want 2 and one line on stderr", args, code, stdout, stderr)
		}
	}
	if code, _, stderr := gonvex(t, "frobnicate"); code == 0 || !strings.Contains(stderr, "unknown command") {
		t.Errorf("unknown command: exit %d, %q", code, stderr)
	}
}

// Every command explains itself, and shows how it is called.
func TestHelp(t *testing.T) {
	for _, cmd := range commands() {
		code, stdout, _ := gonvex(t, cmd.Name(), "--help")
		if code != 0 || !strings.Contains(stdout, "Usage:") {
			t.Errorf("%s --help: exit %d, %q", cmd.Name(), code, stdout)
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short text %q", cmd.Name(), cmd.Short)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := gonvex(t, "version")
	if code != 0 || !strings.HasPrefix(stdout, "gonvex ") || !strings.Contains(stdout, "go1.") {
		t.Errorf("exit %d, %q", code, stdout)
	}
}

func TestByteSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want uint64 // 0: refused
	}{{"4GB", 4e9}, {"512 mb", 512e6}, {"1.5gb", 1.5e9}, {"2000000000", 2e9}, {"", 0}, {"1MB", 0}, {"-4GB", 0}, {"NaN", 0}, {"many", 0}, {"1e300TB", 0}} {
		var b byteSize
		err := b.Set(c.text)
		if uint64(b) != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%q: %d, %v; want %d", c.text, b, err, c.want)
		}
	}
}
