package convextest

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
)

// Entry is a problem of the depot.
type Entry struct {
	Name    string
	Problem convex.Problem
	Optimum float64 // known optimum; NaN when it is not
	Zero    bool    // the optimal network has no neuron
}

func gauss(rng *rand.Rand, n, d int) *mat.Dense { return mat.NewDense(n, d, normal(rng, n*d, 1)) }

func signs(rng *rand.Rand, n int) *mat.VecDense {
	y := mat.NewVecDense(n, nil)
	for i := 0; i < n; i++ {
		y.SetVec(i, float64(2*rng.IntN(2)-1))
	}
	return y
}

// Depot returns small problems for every loss with the ReLU and the gated ReLU
// network: general ones, and twins that are degenerate in every way that data
// are.
func Depot() []Entry {
	rng := rand.New(rand.NewPCG(seed, 4))
	var out []Entry
	add := func(name string, p convex.Problem, more ...func(*Entry)) {
		p.Name = name
		e := Entry{Name: name, Problem: p, Optimum: math.NaN()}
		for _, f := range more {
			f(&e)
		}
		out = append(out, e)
	}
	optimum := func(v float64) func(*Entry) { return func(e *Entry) { e.Optimum = v } }
	zero := func(e *Entry) { e.Zero = true }

	// The 1-D example of Pilanci & Ergen 2020, with a bias column.
	toyX := mat.NewDense(5, 2, []float64{-2, 1, -1, 1, 0, 1, 1, 1, 2, 1})
	toyY := mat.NewVecDense(5, []float64{1, -1, 1, 1, -1})
	add("toy 1e-2", convex.Problem{X: toyX, Y: toyY, Beta: 1e-2}, optimum(0.100073830))
	add("toy 1e-3", convex.Problem{X: toyX, Y: toyY, Beta: 1e-3}, optimum(0.010116829))

	X := gauss(rng, 12, 3)
	y, labels := gauss(rng, 12, 1), signs(rng, 12)
	gates, _ := convex.SamplePatterns(X, 15, 1)
	losses := []convex.Loss{convex.Squared, convex.Logistic, convex.Hinge, convex.L1, convex.Huber(0.5)}
	archs := []convex.Arch{convex.ReLU{}, convex.GatedReLU{}}
	for _, a := range archs {
		for _, l := range losses {
			p := convex.Problem{X: X, Y: y, Arch: a, Loss: l, Beta: 0.2}
			if l.Name == "logistic" || l.Name == "hinge" {
				p.Y = labels
			}
			add(a.Name()+" "+l.Name, p)
		}
		some := convex.Problem{X: X, Y: y, Arch: a, Beta: 0.1, Patterns: gates}
		add(a.Name()+" given patterns", some)

		low := mat.NewDense(10, 5, nil)
		low.Mul(gauss(rng, 10, 2), gauss(rng, 2, 5))
		add(a.Name()+" rank 2 of 5", convex.Problem{X: low, Y: gauss(rng, 10, 1), Arch: a, Beta: 0.05})

		twins := gauss(rng, 9, 2)
		twins.SetRow(3, twins.RawRowView(0))
		twins.SetRow(4, twins.RawRowView(0))
		twins.SetRow(5, []float64{-2 * twins.At(1, 0), -2 * twins.At(1, 1)})
		add(a.Name()+" duplicate rows", convex.Problem{X: twins, Y: gauss(rng, 9, 1), Arch: a, Beta: 0.1})
		zeros := gauss(rng, 8, 3)
		zeros.SetRow(2, make([]float64, 3))
		zeros.SetRow(6, make([]float64, 3))
		add(a.Name()+" zero rows", convex.Problem{X: zeros, Y: signs(rng, 8), Arch: a, Loss: convex.Logistic, Beta: 0.1})
		add(a.Name()+" all rows zero", convex.Problem{X: mat.NewDense(4, 2, nil), Y: gauss(rng, 4, 1), Arch: a, Beta: 0.1}, zero)

		one := mat.NewVecDense(12, nil)
		for i := 0; i < 12; i++ {
			one.SetVec(i, 1)
		}
		add(a.Name()+" one class", convex.Problem{X: X, Y: one, Arch: a, Loss: convex.Logistic, Beta: 0.3})
		add(a.Name()+" n<d", convex.Problem{X: gauss(rng, 4, 9), Y: gauss(rng, 4, 1), Arch: a, Beta: 0.1})
		add(a.Name()+" one sample", convex.Problem{X: gauss(rng, 1, 3), Y: gauss(rng, 1, 1), Arch: a, Beta: 0.01})
		add(a.Name()+" one column", convex.Problem{X: gauss(rng, 10, 1), Y: gauss(rng, 10, 1), Arch: a, Beta: 0.1})
		add(a.Name()+" zero labels", convex.Problem{X: X, Y: mat.NewVecDense(12, nil), Arch: a, Beta: 0.1}, optimum(0), zero)
		add(a.Name()+" beta above its largest", convex.Problem{X: X, Y: y, Arch: a, Beta: 1e3}, zero)

		grid := mat.NewDense(9, 3, nil)
		for i := 0; i < 9; i++ {
			grid.SetRow(i, []float64{float64(i%3) - 1, float64(i/3) - 1, 1})
		}
		xor := mat.NewVecDense(9, nil)
		for i := 0; i < 9; i++ {
			xor.SetVec(i, float64(2*((i%3+i/3)%2)-1))
		}
		add(a.Name()+" grid", convex.Problem{X: grid, Y: xor, Arch: a, Beta: 0.05})

		scaled := mat.DenseCopyOf(X)
		for i := 0; i < 12; i++ {
			scaled.Set(i, 0, 1e4*scaled.At(i, 0))
			scaled.Set(i, 1, 1e-3*scaled.At(i, 1))
		}
		add(a.Name()+" badly scaled columns", convex.Problem{X: scaled, Y: y, Arch: a, Beta: 0.1})
		add(a.Name()+" small beta", convex.Problem{X: X, Y: y, Arch: a, Beta: 1e-4})
	}
	add("gated_relu 3 outputs nuclear", convex.Problem{X: X, Y: gauss(rng, 12, 3), Arch: convex.GatedReLU{}, Beta: 0.3, Patterns: gates})
	add("gated_relu 3 outputs frobenius", convex.Problem{X: X, Y: gauss(rng, 12, 3), Arch: convex.GatedReLU{Penalty: "frobenius"}, Beta: 0.3, Patterns: gates})
	add("gated_relu 3 outputs per_output", convex.Problem{X: X, Y: gauss(rng, 12, 3), Arch: convex.GatedReLU{Penalty: "per_output"}, Beta: 0.3, Patterns: gates})
	return out
}
