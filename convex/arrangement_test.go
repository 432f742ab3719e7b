package convex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize/convex/lp"
)

func randomMatrix(rng *rand.Rand, n, d int) *mat.Dense {
	X := mat.NewDense(n, d, nil)
	for i := range X.RawMatrix().Data {
		X.RawMatrix().Data[i] = rng.NormFloat64()
	}
	return X
}

// lpCells is the slow twin: grow the list of realisable sign vectors row by
// row, asking a linear program about each.
func lpCells(t *testing.T, X *mat.Dense) map[string]bool {
	t.Helper()
	n, d := X.Dims()
	unit := mat.DenseCopyOf(X)
	for i := 0; i < n; i++ {
		normalise(unit.RawRowView(i))
	}
	feasible := func(s []int) bool {
		// max t: s_i x_i'u >= t, -1 <= u <= 1, with u = p-1, p in [0,2].
		var rows [][]float64
		var rhs []float64
		for i, v := range s {
			if norm2(unit.RawRowView(i)) == 0 {
				continue
			}
			row := make([]float64, d+1)
			sum := 0.0
			for j := 0; j < d; j++ {
				row[j] = -float64(v) * unit.At(i, j)
				sum += row[j]
			}
			row[d] = 1
			rows, rhs = append(rows, row), append(rhs, sum)
		}
		for j := 0; j <= d; j++ {
			row := make([]float64, d+1)
			row[j] = 1
			rows, rhs = append(rows, row), append(rhs, 2)
		}
		m := len(rows)
		A := mat.NewDense(m, d+1+m, nil)
		for i, r := range rows {
			for j, v := range r {
				A.Set(i, j, v)
			}
			A.Set(i, d+1+i, 1)
			if rhs[i] < 0 { // Simplex likes a non-negative right side no less
				for j := 0; j < d+1+m; j++ {
					A.Set(i, j, -A.At(i, j))
				}
				rhs[i] = -rhs[i]
			}
		}
		c := make([]float64, d+1+m)
		c[d] = -1
		opt, _, err := lp.Simplex(c, A, rhs, 1e-10, nil)
		if err != nil {
			t.Fatalf("lp: %v", err)
		}
		return -opt > 1e-8
	}
	cells := [][]int{{}}
	for i := 0; i < n; i++ {
		var next [][]int
		for _, s := range cells {
			if norm2(unit.RawRowView(i)) == 0 {
				next = append(next, append(append([]int(nil), s...), -1))
				continue
			}
			for _, v := range []int{1, -1} {
				if q := append(append([]int(nil), s...), v); feasible(q) {
					next = append(next, q)
				}
			}
		}
		cells = next
	}
	out := map[string]bool{}
	for _, s := range cells {
		key := ""
		for _, v := range s {
			key += string("0 1"[v+1])
		}
		out[key] = true
	}
	return out
}

func keysOf(p *Patterns) map[string]bool {
	out := map[string]bool{}
	for i := 0; i < p.Len(); i++ {
		key := ""
		for j := 0; j < p.Samples(); j++ {
			if p.Bit(i, j) {
				key += "1"
			} else {
				key += "0"
			}
		}
		out[key] = true
	}
	return out
}

func TestEnumerateAgainstLinearPrograms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	grid := mat.NewDense(9, 3, nil)
	for i := 0; i < 9; i++ {
		grid.SetRow(i, []float64{float64(i%3) - 1, float64(i/3) - 1, 1})
	}
	low := mat.NewDense(7, 4, nil)
	low.Mul(randomMatrix(rng, 7, 2), randomMatrix(rng, 2, 4))
	messy := randomMatrix(rng, 8, 3)
	messy.SetRow(2, make([]float64, 3))
	messy.SetRow(3, messy.RawRowView(1))
	for j := 0; j < 3; j++ {
		messy.Set(5, j, -3.7*messy.At(4, j))
		messy.Set(6, j, messy.At(0, j)+messy.At(1, j))
	}
	ints := mat.NewDense(7, 4, nil)
	for i := range ints.RawMatrix().Data {
		ints.RawMatrix().Data[i] = float64(rng.IntN(3) - 1)
	}
	cases := map[string]*mat.Dense{
		"paper":        mat.NewDense(3, 2, []float64{2, 2, 3, 3, 1, 0}),
		"line":         mat.NewDense(3, 1, []float64{1, -2, 0}),
		"general 7x3":  randomMatrix(rng, 7, 3),
		"general 6x4":  randomMatrix(rng, 6, 4),
		"wide 3x6":     randomMatrix(rng, 3, 6),
		"grid":         grid,
		"rank 2 of 4":  low,
		"messy":        messy,
		"integers 7x4": ints,
		"zeros":        mat.NewDense(2, 2, nil),
	}
	want := map[string]int{"paper": 4, "grid": 58, "general 7x3": 44, "general 6x4": 52, "wide 3x6": 8, "rank 2 of 4": 14, "zeros": 1, "line": 2}
	for name, X := range cases {
		p, err := EnumeratePatterns(context.Background(), X, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, twin := keysOf(p), lpCells(t, X)
		if len(got) != p.Len() {
			t.Errorf("%s: duplicates among %d patterns", name, p.Len())
		}
		if len(got) != len(twin) {
			t.Errorf("%s: %d patterns, linear programs find %d", name, len(got), len(twin))
		}
		for k := range got {
			if !twin[k] {
				t.Errorf("%s: pattern %s is not realisable", name, k)
			}
		}
		if w, ok := want[name]; ok && p.Len() != w {
			t.Errorf("%s: %d patterns, want %d", name, p.Len(), w)
		}
		again, err := GatePatterns(X, p.Gates)
		if name != "zeros" && (err != nil || !again.covers(p)) {
			t.Errorf("%s: gates do not reproduce the patterns: %v", name, err)
		}
	}
}

func TestEnumerateCountsMatchCover(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct{ n, d int }{{1, 1}, {5, 2}, {64, 2}, {65, 2}, {40, 3}, {15, 4}, {11, 5}, {8, 6}, {6, 6}, {4, 9}} {
		X := randomMatrix(rng, c.n, c.d)
		p, err := EnumeratePatterns(context.Background(), X, 0)
		if err != nil {
			t.Fatal(err)
		}
		if want := CoverCount(c.n, min(c.n, c.d)); float64(p.Len()) != want || len(keysOf(p)) != p.Len() {
			t.Errorf("n=%d d=%d: %d patterns (%d distinct), Cover says %g", c.n, c.d, p.Len(), len(keysOf(p)), want)
		}
		if b := PaperCount(c.n, min(c.n, c.d)); c.n > c.d && b < float64(p.Len()) {
			t.Errorf("n=%d d=%d: bound %g below %d", c.n, c.d, b, p.Len())
		}
	}
}

// Badly scaled rows have the hyperplanes of the rows scaled to length one.
func TestEnumerateIgnoresRowScale(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	X := randomMatrix(rng, 12, 3)
	p, _ := EnumeratePatterns(context.Background(), X, 0)
	Y := mat.DenseCopyOf(X)
	for i := 0; i < 12; i++ {
		scale(math.Pow(10, float64(rng.IntN(300)-150)), Y.RawRowView(i))
	}
	q, err := EnumeratePatterns(context.Background(), Y, 0)
	if err != nil || !p.covers(q) || !q.covers(p) {
		t.Errorf("scaled rows: %v patterns instead of %v (%v)", q, p, err)
	}
}

func TestEnumerateLimits(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	X := randomMatrix(rng, 200, 3)
	if _, err := EnumeratePatterns(context.Background(), X, 1000); !errors.Is(err, ErrTooManyPatterns) {
		t.Errorf("limit: %v", err)
	}
	if _, err := EnumeratePatterns(context.Background(), randomMatrix(rng, 300, 100), 10000); !errors.Is(err, ErrTooManyPatterns) {
		t.Errorf("high rank: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := EnumeratePatterns(ctx, X, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	X.Set(3, 1, math.NaN())
	if _, err := EnumeratePatterns(context.Background(), X, 0); err == nil {
		t.Error("NaN accepted")
	}
}

func TestSamplePatterns(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	X := randomMatrix(rng, 100, 5)
	a, err := SamplePatterns(X, 50, 7)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := SamplePatterns(X, 50, 7)
	c, _ := SamplePatterns(X, 50, 8)
	if a.Len() != 50 || a.Complete || !a.covers(b) || a.covers(c) {
		t.Errorf("a=%v b=%v c=%v", a, b, c)
	}
	again, err := GatePatterns(X, a.Gates)
	if err != nil || !again.covers(a) || !a.covers(again) {
		t.Errorf("gates do not reproduce the patterns: %v", err)
	}
	small, err := SamplePatterns(randomMatrix(rng, 3, 2), 100, 1)
	if err != nil || small.Len() > 6 || small.Len() < 4 {
		t.Errorf("few patterns: %v, %v", small, err)
	}
	if _, err := SamplePatterns(mat.NewDense(3, 2, nil), 10, 1); err == nil {
		t.Error("zero matrix accepted")
	}
}

func ExampleEnumeratePatterns() {
	X := mat.NewDense(3, 2, []float64{2, 2, 3, 3, 1, 0})
	p, err := EnumeratePatterns(context.Background(), X, 0)
	fmt.Println(p, err)
	fmt.Println(mat.Formatted(p.Dense()))
	// Output:
	// 4 patterns over 3 samples (enumerated, complete) <nil>
	// ⎡0  0  0⎤
	// ⎢0  0  1⎥
	// ⎢1  1  0⎥
	// ⎣1  1  1⎦
}

func BenchmarkEnumerate(b *testing.B) {
	X := randomMatrix(rand.New(rand.NewPCG(1, 1)), 60, 3)
	for b.Loop() {
		if _, err := EnumeratePatterns(context.Background(), X, 0); err != nil {
			b.Fatal(err)
		}
	}
}
