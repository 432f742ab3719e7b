package main

import (
	"fmt"
	"os"
	"path/filepath"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// fresh writes problem files of data on which nothing of the search was tuned:
// networks with noise, labels of a network, wines and another digit than the
// one of c_digits3.
func fresh(dir string) {
	standard := func(X mat.Matrix) *mat.Dense {
		z, err := data.FitStandardizer(X)
		fail(err)
		Z, err := z.Apply(X)
		fail(err)
		return data.WithBias(Z)
	}
	against := func(y *mat.VecDense, class float64) *mat.VecDense {
		out := mat.NewVecDense(y.Len(), nil)
		for i := range y.Len() {
			out.SetVec(i, -1)
			if y.AtVec(i) == class {
				out.SetVec(i, 1)
			}
		}
		return out
	}
	for _, s := range []struct {
		name string
		make func() (*mat.Dense, *mat.VecDense)
	}{
		{"e_planted_800x30", func() (*mat.Dense, *mat.VecDense) { return data.PlantedReLU(800, 30, 40, 0.3, 1) }},
		{"e_planted_4000x60", func() (*mat.Dense, *mat.VecDense) { return data.PlantedReLU(4000, 60, 80, 0.3, 1) }},
		{"e_labels_600x20", func() (*mat.Dense, *mat.VecDense) { return data.SyntheticClassification(600, 20, 50, 10, 1) }},
		{"e_wine", func() (*mat.Dense, *mat.VecDense) { w := data.Wine(); return standard(w.X), against(w.Y, 1) }},
		{"e_digits8", func() (*mat.Dense, *mat.VecDense) { g := data.Digits(); return standard(g.X), against(g.Y, 8) }},
	} {
		X, y := s.make()
		path := filepath.Join(dir, s.name, "problem.json")
		fail(os.MkdirAll(filepath.Dir(path), 0o777))
		fail(convex.Problem{Name: s.name, X: X, Y: y, Arch: convex.ReLU{}, Beta: 1}.Save(path))
		fmt.Println(path)
	}
}
