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
		rotate(c, s, x[1:n+1], y[1:n+1])
		near("rotate, x", x, rx)
		near("rotate, y", y, ry)
	}
}
