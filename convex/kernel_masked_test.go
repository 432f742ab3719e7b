package convex

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func randomMasked(rng *rand.Rand, n, d, p int) (*maskedData, [][]uint64) {
	x := mat.NewDense(n, d, nil)
	for i := range x.RawMatrix().Data {
		x.RawMatrix().Data[i] = rng.NormFloat64()
	}
	pats := make([][]uint64, p)
	for k := range pats {
		pats[k] = make([]uint64, (n+63)/64)
		for i := 0; i < n; i++ {
			if rng.IntN(2) == 0 {
				pats[k][i/64] |= 1 << (i % 64)
			}
		}
	}
	return newMaskedData(x), pats
}

func TestMaskedKernelsAgreeWithTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, s := range [][3]int{{1, 1, 1}, {5, 3, 2}, {64, 4, 33}, {65, 7, 64}, {300, 13, 300}, {700, 50, 40}, {257, 1, 65}} {
		m, pats := randomMasked(rng, s[0], s[1], s[2])
		r, v := make([]float64, m.n), make([]float64, len(pats)*m.d)
		for i := range r {
			r[i] = rng.NormFloat64()
		}
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		wantF, wantG := make([]float64, m.n), make([]float64, len(v))
		for p, pat := range pats {
			for i := 0; i < m.n; i++ {
				if pat[i/64]>>(i%64)&1 == 1 {
					wantF[i] += dot(m.x.Data[i*m.x.Stride:][:m.d], v[p*m.d:][:m.d])
					axpy(r[i], m.x.Data[i*m.x.Stride:][:m.d], wantG[p*m.d:][:m.d])
				}
			}
		}
		for _, m.lookup = range []bool{false, true} {
			f, g := make([]float64, m.n), make([]float64, len(v))
			m.forward(f, v, pats)
			m.adjoint(g, r, pats)
			if e := maxDiff(f, wantF); e > 1e-11 {
				t.Errorf("%v lookup=%v: forward is off by %g", s, m.lookup, e)
			}
			if e := maxDiff(g, wantG); e > 1e-11 {
				t.Errorf("%v lookup=%v: adjoint is off by %g", s, m.lookup, e)
			}
		}
	}
}

func maxDiff(a, b []float64) (e float64) {
	for i := range a {
		e = math.Max(e, math.Abs(a[i]-b[i]))
	}
	return e
}

func BenchmarkMasked(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, s := range [][3]int{{1000, 50, 200}, {1797, 64, 300}, {442, 10, 200}, {2000, 784, 100}} {
		m, pats := randomMasked(rng, s[0], s[1], s[2])
		r, v := make([]float64, m.n), make([]float64, len(pats)*m.d)
		for i := range r {
			r[i] = rng.NormFloat64()
		}
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		flops := 2 * float64(s[0]) * float64(s[1]) * float64(s[2])
		for _, lookup := range []bool{false, true} {
			m.lookup = lookup
			name := map[bool]string{false: "gemm", true: "lookup"}[lookup]
			b.Run(fmt.Sprintf("%s/forward/%dx%dx%d", name, s[0], s[1], s[2]), func(b *testing.B) {
				f := make([]float64, m.n)
				for b.Loop() {
					m.forward(f, v, pats)
				}
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GF-equiv")
			})
			b.Run(fmt.Sprintf("%s/adjoint/%dx%dx%d", name, s[0], s[1], s[2]), func(b *testing.B) {
				for b.Loop() {
					m.adjoint(v, r, pats)
				}
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GF-equiv")
			})
		}
	}
}
