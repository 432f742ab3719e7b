package session

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"
)

func newBench(b *testing.B) *Session {
	s, err := New(Options{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func mustRun(tb testing.TB, s *Session, code string) *Result {
	tb.Helper()
	res, err := s.Execute(tb.Context(), code)
	if err != nil {
		tb.Fatalf("%s: %v", code, err)
	}
	return res
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		newBench(b)
	}
}

func BenchmarkFirstCell(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := newBench(b)
		b.StartTimer()
		mustRun(b, s, "1+1")
	}
}

// BenchmarkExpression is 1+1 in a notebook with live names.
func BenchmarkExpression(b *testing.B) {
	for _, live := range []int{0, 100, 1000} {
		b.Run(fmt.Sprint(live), func(b *testing.B) {
			s := newBench(b)
			for i := range live {
				mustRun(b, s, fmt.Sprintf("v%d := %d\nfunc f%d() int { return v%d }", i, i, i, i))
			}
			for b.Loop() {
				mustRun(b, s, "1+1")
			}
		})
	}
}

func BenchmarkRedefine(b *testing.B) {
	s := newBench(b)
	for b.Loop() {
		mustRun(b, s, "func f(x int) int { return x + 1 }\ny := f(3)\ny")
	}
}

func BenchmarkLoop(b *testing.B) {
	s := newBench(b)
	mustRun(b, s, "a := make([]float64, 1000)\nfunc loop(n int) float64 { s := 0.0; for i := 0; i < n; i++ { s += a[i%1000] }; return s }")
	for b.Loop() {
		mustRun(b, s, "loop(100000)")
	}
}

func BenchmarkFirstUse(b *testing.B) {
	for _, code := range []string{"mat.NewDense(1, 1, nil)", "plot.New()", "fmt.Sprint(1)", "convex.Problem{}"} {
		b.Run(code, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := newBench(b)
				mustRun(b, s, "1+1")
				b.StartTimer()
				mustRun(b, s, code)
			}
		})
	}
}

// mixed is cell i of a long day: definitions and redefinitions, loops, closures,
// printing.
func mixed(i int) string {
	switch i % 5 {
	case 0:
		return fmt.Sprintf("v%d := %d\nv%d + 1", i%50, i, i%50)
	case 1:
		return fmt.Sprintf("func f%d(x int) int { return x + %d }\nf%d(3)", i%50, i, i%50)
	case 2:
		return fmt.Sprintf("type T%d struct { A, B int }\nt := T%d{A: %d}\nt", i%50, i%50, i)
	case 3:
		return fmt.Sprintf("xs := make([]float64, 10)\nfor i := range xs { xs[i] = float64(i*%d) }\nxs", i)
	}
	return fmt.Sprintf("fmt.Println(%d, func(a int) int { return a * 2 }(%d))", i, i)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkPosition runs the same cells at position 100 of one session and at
// position 10,000 of another, by turns. late/early is the ratio of the medians,
// B/cell what the heap grew by from cell 1,000 to cell 10,000.
func BenchmarkPosition(b *testing.B) {
	early, late := newBench(b), newBench(b)
	for i := range 100 {
		mustRun(b, early, mixed(i))
	}
	var before uint64
	for i := range 10000 {
		if i == 1000 {
			before = heap()
		}
		mustRun(b, late, mixed(i))
	}
	grown := float64(heap()) - float64(before)
	var times [2][]float64
	for i := 0; b.Loop(); i++ {
		for k, s := range []*Session{early, late} {
			start := time.Now()
			mustRun(b, s, mixed(i))
			times[k] = append(times[k], float64(time.Since(start)))
		}
	}
	for _, t := range times {
		slices.Sort(t)
	}
	b.ReportMetric(times[1][len(times[1])/2]/times[0][len(times[0])/2], "late/early")
	b.ReportMetric(grown/9000, "B/cell")
}
