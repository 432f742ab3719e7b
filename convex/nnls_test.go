package convex

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// randomCone draws a data matrix with the troubles of real ones and a pattern.
func randomCone(rng *rand.Rand, kind int) (*mat.Dense, []uint64) {
	n, d := 5+rng.IntN(60), 1+rng.IntN(12)
	x := mat.NewDense(n, d, nil)
	for i := 0; i < n; i++ {
		for j := 0; j < d; j++ {
			x.Set(i, j, rng.NormFloat64())
		}
	}
	switch kind {
	case 1: // duplicate and zero rows
		for i := 1; i < n; i += 3 {
			x.SetRow(i, mat.Row(nil, i-1, x))
		}
		x.SetRow(0, make([]float64, d))
	case 2: // rank deficient
		for i := 0; i < n; i++ {
			x.Set(i, d-1, x.At(i, 0))
		}
	case 3: // badly scaled rows and columns
		for i := 0; i < n; i++ {
			for j := 0; j < d; j++ {
				x.Set(i, j, x.At(i, j)*math.Pow(10, float64(i%7-3))*math.Pow(10, float64(j%5-2)))
			}
		}
	}
	u := make([]float64, d)
	for j := range u {
		u[j] = rng.NormFloat64()
	}
	bits := make([]uint64, (n+63)/64)
	for i := 0; i < n; i++ {
		if dot(x.RawRowView(i), u) > 0 || kind == 4 && rng.IntN(2) == 0 {
			bits[i/64] |= 1 << (i % 64)
		}
	}
	return x, bits
}

func TestConeProjectKKT(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for trial := 0; trial < 400; trial++ {
		x, bits := randomCone(rng, trial%5)
		n, d := x.Dims()
		z := make([]float64, d)
		for j := range z {
			z[j] = rng.NormFloat64() * math.Pow(10, float64(trial%9-4))
		}
		v, warm := make([]float64, d), make([]float64, n)
		for i := range warm { // a useless warm start must not matter
			if trial%2 == 1 && rng.IntN(4) == 0 {
				warm[i] = rng.Float64()
			}
		}
		resid, err := coneProject(v, z, x, bits, warm, 1e-12)
		if err != nil {
			t.Fatalf("trial %d: %v", trial, err)
		}
		tol := 1e-9
		if trial%5 == 3 {
			tol = 1e-7
		}
		if resid > tol {
			t.Errorf("trial %d (%d×%d): residual %g", trial, n, d, resid)
		}
		c, zn, recon := newConeData(x), norm2(z), append([]float64(nil), z...)
		for i := 0; i < n; i++ {
			s := c.rowSign(bits, i)
			if warm[i] < 0 {
				t.Fatalf("trial %d: negative multiplier", trial)
			}
			if w := s * dot(x.RawRowView(i), v); w < -tol*zn {
				t.Errorf("trial %d: row %d violated by %g", trial, i, -w/zn)
			}
			axpy(warm[i]*s, x.RawRowView(i), recon)
		}
		axpy(-1, v, recon)
		if e := norm2(recon); e > 1e-9*zn {
			t.Errorf("trial %d: v differs from z+S'a by %g", trial, e/zn)
		}
		if g := dot(v, v) - dot(v, z); math.Abs(g) > 10*tol*zn*zn {
			t.Errorf("trial %d: v is not orthogonal to z-v: %g", trial, g/(zn*zn))
		}
		up, lo, err := coneDualNorm(z, x, bits, warm, 1e-12)
		if err != nil || lo > up || up-lo > 10*math.Sqrt(tol)*zn || norm2(v) > up*(1+1e-12) {
			t.Errorf("trial %d: bounds %g..%g around %g (%v)", trial, lo, up, norm2(v), err)
		}
	}
}

func TestConeProjectStopsEarlyWithABound(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for trial := 0; trial < 50; trial++ {
		x, bits := randomCone(rng, 0)
		_, d := x.Dims()
		z, v, w := make([]float64, d), make([]float64, d), make([]float64, d)
		for j := range z {
			z[j] = rng.NormFloat64()
		}
		p := newConeProjector(newConeData(x))
		if _, err := p.project(v, z, bits, nil, 1e-12, 0); err != nil {
			t.Fatal(err)
		}
		stop := 1.2*norm2(v) + 1e-3
		if _, err := p.project(w, z, bits, nil, 1e-12, stop); err != nil {
			t.Fatal(err)
		}
		if g := norm2(w); g > stop || g < norm2(v)*(1-1e-12) {
			t.Errorf("stopped at %g, asked for %g, true %g", g, stop, norm2(v))
		}
	}
}

func BenchmarkConeProject(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 6))
	n, d := 1000, 50
	x := mat.NewDense(n, d, nil)
	for i := range x.RawMatrix().Data {
		x.RawMatrix().Data[i] = rng.NormFloat64()
	}
	u, z, v := make([]float64, d), make([]float64, d), make([]float64, d)
	for j := range u {
		u[j] = rng.NormFloat64()
		z[j] = u[j] + rng.NormFloat64()
	}
	bits := make([]uint64, (n+63)/64)
	for i := 0; i < n; i++ {
		if dot(x.RawRowView(i), u) > 0 {
			bits[i/64] |= 1 << (i % 64)
		}
	}
	p := newConeProjector(newConeData(x))
	if _, err := p.project(v, z, bits, nil, 1e-12, 0); err != nil {
		b.Fatal(err)
	}
	var whole activeSet
	whole.set(p, true)
	multipliers := whole.guess()
	for j := range z { // a little away
		z[j] += 0.05 * rng.NormFloat64()
	}
	for _, c := range []struct {
		name string
		from *activeSet
	}{{"cold", nil}, {"rows", &activeSet{rows: whole.rows}}, {"multipliers", &multipliers}, {"whole", &whole}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := p.project(v, z, bits, c.from, 1e-12, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(p.idx)), "active")
		})
	}
}

func TestConeProjectStartsAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for trial := range 100 {
		x, bits := randomCone(rng, trial%4)
		n, d := x.Dims()
		z, v, w := make([]float64, d), make([]float64, d), make([]float64, d)
		random := func() {
			for j := range z {
				z[j] = rng.NormFloat64()
			}
		}
		p := newConeProjector(newConeData(x))
		random()
		if _, err := p.project(v, z, bits, nil, 1e-12, 0); err != nil {
			t.Fatal(err)
		}
		var whole activeSet
		whole.set(p, true)
		random()
		if _, err := p.project(v, z, bits, nil, 1e-12, 0); err != nil {
			t.Fatal(err)
		}
		guess := whole.guess()
		twice := activeSet{rows: append(slices.Clone(guess.rows), guess.rows...), a: append(slices.Clone(guess.a), guess.a...)}
		for name, from := range map[string]*activeSet{
			"whole": &whole, "multipliers": &guess, "rows": {rows: guess.rows}, "rows twice": &twice,
			"rows of another matrix": {rows: []int{-1, 0, n - 1, n}, a: []float64{1, 1e3, 1e-3, 1}},
			"a triangle, no basis":   {rows: []int{0}, a: []float64{1}, basis: whole.basis[:0], tri: make([]float64, 3*d)},
		} {
			if _, err := p.project(w, z, bits, from, 1e-12, 0); err != nil {
				t.Fatalf("trial %d from %s: %v", trial, name, err)
			}
			for j := range v {
				if math.Abs(v[j]-w[j]) > 1e-9*norm2(z) {
					t.Fatalf("trial %d from %s: %v, from nothing %v", trial, name, w, v)
				}
			}
			for j := range p.a {
				if p.a[j] < 0 {
					t.Fatalf("trial %d from %s: multiplier %g", trial, name, p.a[j])
				}
			}
		}
	}
}

// A basis that goes from one projection to the next for long stays one.
func TestConeProjectKeepsItsBasis(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	const n, d = 400, 30
	x, bits := mat.NewDense(n, d, nil), make([]uint64, (n+63)/64)
	z, v, w := make([]float64, d), make([]float64, d), make([]float64, d)
	for i := range n {
		for j := range d {
			x.Set(i, j, rng.NormFloat64())
		}
		if x.At(i, 0)+x.At(i, 1) > 0 {
			bits[i/64] |= 1 << (i % 64)
		}
	}
	p := newConeProjector(newConeData(x))
	var set activeSet
	changes := 0
	for range 3000 {
		for j := range z {
			z[j] += 0.3*rng.NormFloat64() - 0.02*z[j]
		}
		had := map[int]bool{}
		for _, i := range set.rows {
			had[i] = true
		}
		if _, err := p.project(v, z, bits, &set, 1e-13, 0); err != nil {
			t.Fatal(err)
		}
		set.set(p, true)
		for _, i := range set.rows {
			if !had[i] {
				changes++
			}
		}
	}
	if len(set.basis) != d*d || changes < 10000 {
		t.Fatalf("%d rows came, the basis has %d numbers: the test needs more", changes, len(set.basis))
	}
	off := 0.0
	for i := range d {
		for j := range i + 1 {
			want := 0.0
			if i == j {
				want = 1
			}
			off = math.Max(off, math.Abs(dot(set.basis[i*d:][:d], set.basis[j*d:][:d])-want))
		}
	}
	for k, i := range set.rows { // a row is its column of the triangle times the basis
		row := make([]float64, d)
		for m := range k + 1 {
			axpy(set.tri[m*d+k], set.basis[m*d:][:d], row)
		}
		axpy(-p.c.rowSign(bits, i), p.c.row(i), row)
		off = math.Max(off, norm2(row))
	}
	if off > 1e-12 {
		t.Errorf("after %d rows came the basis is off by %g", changes, off)
	}
	if _, err := p.project(w, z, bits, nil, 1e-13, 0); err != nil {
		t.Fatal(err)
	}
	axpy(-1, v, w)
	if e := norm2(w); e > 1e-11*norm2(z) {
		t.Errorf("after %d rows came the projection is off by %g", changes, e/norm2(z))
	}
}

// Rows that differ by numbers of which the squares underflow.
func TestConeProjectUnderflow(t *testing.T) {
	const d = 8
	for _, tiny := range []float64{0, 1e-154, 1e-160, 1.7e-162, 1e-200} {
		x := mat.NewDense(d, d, nil)
		for i := range d {
			x.Set(i, i, 1)
		}
		x.Set(6, 7, tiny)
		z := []float64{-1, -1, -1, -1, -1, -1, -1, 2}
		v := make([]float64, d)
		p := newConeProjector(newConeData(x))
		start := activeSet{rows: []int{0, 1, 2, 3, 4, 5, 6}, a: []float64{1, 1, 1, 1, 1, 1, 1}}
		if _, err := p.project(v, z, []uint64{255}, &start, 1e-13, 0); err != nil || math.Abs(norm2(v)-2) > 1e-12 {
			t.Errorf("%g: |v| is %v, want 2 (%v)", tiny, norm2(v), err)
		}
	}
	// All of a problem that small.
	rng := rand.New(rand.NewPCG(13, 14))
	const n, m = 300, 20
	x, z, v, bits := mat.NewDense(n, m, nil), make([]float64, m), make([]float64, m), make([]uint64, (n+63)/64)
	for i := range x.RawMatrix().Data {
		x.RawMatrix().Data[i] = rng.NormFloat64()
	}
	for i := range n {
		if x.At(i, 0) > 0 {
			bits[i/64] |= 1 << (i % 64)
		}
	}
	for j := range z {
		z[j] = 1e-165 * rng.NormFloat64()
	}
	c := newConeData(x)
	if _, err := newConeProjector(c).project(v, z, bits, nil, 1e-13, 0); err != nil {
		t.Fatal(err)
	}
	if viol := c.violation(v, bits) * norm2(v) / norm2(z); viol > 1e-11 {
		t.Errorf("rows are violated by %g", viol)
	}
}

func TestConeProjectHalts(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	x, bits := randomCone(rng, 0)
	_, d := x.Dims()
	z, v := make([]float64, d), make([]float64, d)
	for j := range z {
		z[j] = rng.NormFloat64()
	}
	c := newConeData(x)
	c.halt = func() bool { return true }
	if _, err := newConeProjector(c).project(v, z, bits, nil, 1e-12, 0); !errors.Is(err, errHalted) {
		t.Errorf("a halted projection returned %v", err)
	}
}
