package sweep

import (
	"os"
	"testing"

	"github.com/gonvex/gonvex/convex"
)

// BenchmarkCollect reads the results of 10,000 jobs, and looks, as a launcher does at
// every poll, which of them are there.
func BenchmarkCollect(b *testing.B) {
	const jobs = 10_000
	p := Plan{Spec: b.TempDir() + "/spec.jsonl", Out: b.TempDir()}
	betas := make([]float64, jobs)
	all := make([]int, jobs)
	for i := range betas {
		betas[i], all[i] = 1+float64(i)/1000, i
	}
	if err := Write(p.Spec, Grid(Job{Data: "breast_cancer", Rows: 60, Test: 0.3, Bias: true, Standardize: true, Arch: convex.GatedReLU{}, Loss: convex.Logistic}, nil, betas, nil)); err != nil {
		b.Fatal(err)
	}
	read, err := Read(p.Spec)
	if err != nil {
		b.Fatal(err)
	}
	first, _, err := Do(b.Context(), p.Spec, p.Out, 0)
	if err != nil {
		b.Fatal(err)
	}
	for i, j := range read[1:] {
		r := *first
		r.Index, r.Job, r.Beta = i+1, j, j.Beta
		if err := r.write(p.Out); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("collect", func(b *testing.B) {
		for b.Loop() {
			if t, err := Collect(p.Spec, p.Out); err != nil || !t.Complete() {
				b.Fatal(t, err)
			}
		}
	})
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			if missing, _ := p.look(all); len(missing) > 0 {
				b.Fatal(missing)
			}
		}
	})
	b.Run("bytes", func(b *testing.B) {
		info, err := os.Stat(resultFile(p.Out, jobs-1))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size()), "bytes/result")
	})
}
