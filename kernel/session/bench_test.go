package session

import (
	"fmt"
	"io"
	"testing"
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
