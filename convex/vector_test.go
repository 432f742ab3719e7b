package convex

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The assembled loops against plain ones, for every length of tail and with
// neighbours that must not change.
func TestVectorLoops(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 70 {
		x, y := make([]float64, n+2), make([]float64, n+2)
		for i := range x {
			x[i], y[i] = rng.NormFloat64(), rng.NormFloat64()
		}
		a, c, s := rng.NormFloat64(), 0.6, 0.8
		sum, size := 0.0, 0.0
		ax, rx, ry := append([]float64(nil), y...), append([]float64(nil), x...), append([]float64(nil), y...)
		for i := 1; i <= n; i++ {
			sum += x[i] * y[i]
			size += math.Abs(x[i] * y[i])
			ax[i] += a * x[i]
			rx[i], ry[i] = c*x[i]+s*y[i], c*y[i]-s*x[i]
		}
		if got := dot(x[1:n+1], y[1:n+1]); math.Abs(got-sum) > 1e-14*size {
			t.Errorf("dot of %d: %v, want %v", n, got, sum)
		}
		near := func(what string, got, want []float64) {
			for i := range want {
				if math.Abs(got[i]-want[i]) > 1e-14*(1+math.Abs(want[i])) {
					t.Errorf("%s of %d: entry %d is %v, want %v", what, n, i-1, got[i], want[i])
				}
			}
		}
		z := append([]float64(nil), y...)
		axpy(a, x[1:n+1], z[1:n+1])
		near("axpy", z, ax)
		copy(z, y)
		addProducts(z[1:n+1], x[1:n+1], y[1:n+1])
		for i := 1; i <= n; i++ {
			z[i] -= x[i] * y[i]
		}
		near("addProducts", z, y)
		rotate(c, s, x[1:n+1], y[1:n+1])
		near("rotate, x", x, rx)
		near("rotate, y", y, ry)
	}
}

// The loops over many rows against those over one.
func TestVectorRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for d := 1; d < 70; d++ {
		for k := range 10 {
			rows, v, c := make([]float64, k*d), make([]float64, d), make([]float64, k)
			rows32, v32 := make([]float32, k*d), make([]float32, d)
			for i := range rows {
				rows[i] = rng.NormFloat64()
				rows32[i] = float32(rows[i])
			}
			for i := range v {
				v[i] = rng.NormFloat64()
				v32[i] = float32(v[i])
			}
			for i := range c {
				c[i] = rng.NormFloat64()
			}
			got, got32, sum := make([]float64, k+1), make([]float32, k+1), append(append([]float64(nil), v...), 7)
			want := append([]float64(nil), v...)
			got[k], got32[k] = 7, 7 // the neighbours
			dots(got[:k], rows, d, v)
			dots32(got32[:k], rows32, v32)
			addRows(sum[:d], rows, c)
			for i := range k {
				row, exact, short, size := rows[i*d:][:d], 0.0, 0.0, 0.0
				for j, r := range row {
					exact += r * v[j]
					short += float64(rows32[i*d+j]) * float64(v32[j])
					size += math.Abs(r * v[j])
					want[j] += c[i] * r
				}
				if math.Abs(got[i]-exact) > 1e-14*size {
					t.Errorf("dots of %d×%d: row %d gives %v, want %v", k, d, i, got[i], exact)
				}
				if math.Abs(float64(got32[i])-short) > 1e-6*size || math.Abs(float64(dot32(rows32[i*d:][:d], v32))-short) > 1e-6*size {
					t.Errorf("dots32 of %d×%d: row %d gives %v and %v alone, want %v", k, d, i, got32[i], dot32(rows32[i*d:][:d], v32), short)
				}
			}
			for j, w := range want {
				if math.Abs(sum[j]-w) > 1e-13*(1+math.Abs(w)) {
					t.Errorf("addRows of %d×%d: entry %d is %v, want %v", k, d, j, sum[j], w)
				}
			}
			if got[k] != 7 || got32[k] != 7 || sum[d] != 7 {
				t.Errorf("%d×%d: wrote behind the end", k, d)
			}
		}
	}
}

func TestWrongSide(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for n := 1; n < 200; n++ {
		x, bits, mask := make([]float32, n), make([]uint64, (n+63)/64), make([]uint64, (n+63)/64)
		for i := range x {
			x[i] = float32(rng.IntN(5) - 2)
		}
		for i := range bits {
			bits[i] = rng.Uint64()
		}
		least := float32(rng.IntN(5) - 2)
		wrongSide(mask, bits, x, least)
		for i := range 64 * len(mask) {
			want := false
			if i < n {
				v := x[i]
				if bits[i/64]>>(i%64)&1 != 0 {
					v = -v
				}
				want = v > least
			}
			if got := mask[i/64]>>(i%64)&1 != 0; got != want {
				t.Fatalf("%d of %d: %v, want %v", i, n, got, want)
			}
		}
	}
}
