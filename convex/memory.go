package convex

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Memory estimates the bytes that a solve of prog takes beyond the problem's
// own data, at its peak; 0 when the program has no structure to tell by. For
// masked data of n rows, d columns, c outputs and P patterns it is of order
// n·d + (n+P)·d·c + n·P/8: an n×P×d array is never formed. s may be nil.
func (prog *Program) Memory(s *Settings) int64 {
	s = s.withDefaults()
	solver, err := chooseSolver(prog, s)
	m := prog.Op.Masked
	if err != nil || m == nil {
		return 0
	}
	samples, dims, outs, blocks := m.Dims()
	rows := float64(samples * m.patches())
	n, d, c := float64(samples), float64(dims), float64(outs)
	P := float64(m.Patterns.Len())
	vars := float64(blocks) * d * c
	active := math.Min(float64(blocks), n) // as many blocks as an optimum needs
	bytes := 0.0
	bytes += 8 * rows * d                   // rows padded for the vector registers
	bytes += 8 * rows * math.Min(64, P) * c // the certificate's products, a part at a time
	bytes += 8 * (6*vars + 16*n*c)          // points, gradients, predictions
	bytes += 2 * rows * P / 8               // patterns cut in words
	switch solver.Name() {
	case WorkingSet{}.Name():
		if prog.Cones == nil {
			bytes += (8 + 4) * rows * d // rotated, and in float32
		} else {
			bytes += active * 16 * math.Min(active*d, d*d) // bases of the cones' active rows
			bytes += 4 * rows * d                          // rows in float32
			bytes += 8 * vars                              // where each block was priced last
		}
		if n <= denseLimit && (prog.Cones != nil || n <= denseLimit/3) {
			// Gram and Newton matrices, and what one step keeps for the next
			bytes += 8 * (7*n*n + 2*n*d)
		}
	case ScreenedFISTA{}.Name():
		bytes += (8 + 4) * rows * d
	case ADMM{}.Name():
		switch {
		case P*d < rows && P*d <= denseLimit:
			bytes += 8 * (P*d + 512) * P * d
		case rows <= denseLimit:
			bytes += 8 * 2 * n * n
		}
		if prog.Cones != nil {
			bytes += 8 * 5 * rows * float64(blocks) // s = Gu, its multipliers and copies
		}
	}
	return int64(math.Min(bytes, math.MaxInt64/2))
}

// checkMemory refuses, with advice, a solve that does not fit.
func (prog *Program) checkMemory(s *Settings) error {
	need := prog.Memory(s)
	limit, whose := s.MaxMemory, "Settings.MaxMemory allows"
	if limit == 0 {
		limit, whose = availableMemory(), "are free"
	}
	if need == 0 || limit <= 0 || need <= limit {
		return nil
	}
	m := prog.Op.Masked
	n, d, c, _ := m.Dims()
	advice := "take fewer samples or columns, or a machine with more memory"
	if P := m.Patterns.Len(); int64(8*6*P*d*c) > need/4 {
		advice = "take fewer patterns (Settings.Samples, Settings.MaxPatterns or Problem.Patterns), or fewer columns"
	}
	return fmt.Errorf("convex: program %q with %d samples, %d columns, %d outputs and %d patterns needs about %s, and %s %s: %s; Settings.MaxMemory overrides this",
		prog.Name, n, d, c, m.Patterns.Len(), gibi(need), gibi(limit), whose, advice)
}

func gibi(b int64) string { return fmt.Sprintf("%.3g GiB", float64(b)/(1<<30)) }

// availableMemory is the memory in bytes that this process may still take, 0
// when that is not known: what Linux calls available, less if a control group
// says so.
func availableMemory() int64 { return availableUnder("/") }

// availableUnder is availableMemory by the files of Linux under a root.
func availableUnder(root string) int64 {
	// field is the number after a word at the start of a line, 0 without.
	field := func(path, word string) int64 {
		f, err := os.Open(filepath.Join(root, path))
		if err != nil {
			return 0
		}
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			if v, ok := strings.CutPrefix(sc.Text(), word); ok {
				n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(v, "kB")), 10, 64) // 0 for "max"
				return n
			}
		}
		return 0
	}
	free := field("proc/meminfo", "MemAvailable:") << 10
	const group = "sys/fs/cgroup/"
	for _, f := range []struct{ limit, usage, stat, total string }{
		{"memory.max", "memory.current", "memory.stat", ""},
		{"memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_"},
	} {
		limit := field(group+f.limit, "")
		if limit <= 0 {
			continue
		}
		// The usage counts files that the kernel keeps in memory only as long
		// as nobody needs it.
		used := field(group+f.usage, "")
		for _, list := range []string{"inactive_file ", "active_file "} {
			used -= field(group+f.stat, f.total+list)
		}
		if left := limit - max(used, 0); left < free || free == 0 {
			free = max(left, 1)
		}
	}
	return free
}
