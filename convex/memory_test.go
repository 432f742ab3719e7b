package convex

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a solve takes is said beforehand, and one that does not fit is refused
// with advice.
func TestMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	p := Problem{X: randomMatrix(rng, 300, 20), Y: randomMatrix(rng, 300, 1), Arch: GatedReLU{}, Beta: 10}
	few, err := Lower(context.Background(), p, &Settings{Samples: 10, MaxPatterns: 20})
	if err != nil {
		t.Fatal(err)
	}
	many, err := Lower(context.Background(), p, &Settings{Samples: 2000, MaxPatterns: 20})
	if err != nil {
		t.Fatal(err)
	}
	a, b := few.Memory(nil), many.Memory(nil)
	if !(a > 8*300*20) || !(b > a) {
		t.Errorf("%d bytes for 10 patterns, %d for 2000", a, b)
	}
	_, err = SolveProgram(context.Background(), many, &Settings{MaxMemory: 1 << 20})
	if err == nil || !strings.Contains(err.Error(), "needs about") || !strings.Contains(err.Error(), "fewer patterns") {
		t.Errorf("one MiB: %v", err)
	}
	if _, err := SolveProgram(context.Background(), few, &Settings{MaxMemory: 2 * a}); err != nil {
		t.Error(err)
	}
	if _, err := SolveProgram(context.Background(), few, &Settings{MaxMemory: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
	if m := availableMemory(); m < 0 {
		t.Errorf("available memory %d", m)
	}
}

// In a control group, of either version, the limit is what counts, and files
// that the kernel keeps in memory do not: reading much data leaves room.
func TestAvailableMemory(t *testing.T) {
	const info = "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"
	for _, c := range []struct {
		files map[string]string
		want  int64
	}{
		{nil, 0},
		{map[string]string{"proc/meminfo": info}, 8000 << 10},
		{map[string]string{"proc/meminfo": info, "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "10\n"}, 8000 << 10},
		{map[string]string{
			"proc/meminfo": info, "sys/fs/cgroup/memory.max": "4000000\n", "sys/fs/cgroup/memory.current": "3999000\n",
			"sys/fs/cgroup/memory.stat": "anon 900000\nfile 3099000\ninactive_file 3000000\nactive_file 90000\n",
		}, 4000000 - 909000},
		{map[string]string{
			"proc/meminfo": info, "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
			"sys/fs/cgroup/memory/memory.stat": "inactive_file 7\ntotal_inactive_file 300\ntotal_active_file 0\n",
		}, 300},
		{map[string]string{"sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "1000\n"}, 1},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			file := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have := availableUnder(root); have != c.want {
			t.Errorf("%v: %d bytes, want %d", c.files, have, c.want)
		}
	}
}
