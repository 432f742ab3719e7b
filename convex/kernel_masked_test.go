package convex

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

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
			m.single = true
			m.forward(f, v, pats)
			m.adjoint(g, r, pats)
			m.single = false
			if e := math.Max(maxDiff(f, wantF), maxDiff(g, wantG)); e > 1e-3 || !m.lookup && e > 1e-11 {
				t.Errorf("%v lookup=%v: in single precision off by %g", s, m.lookup, e)
			}
		}
	}
}

// Products for several outputs at once are those for one after the other, bit
// by bit.
func TestMaskedOutputs(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	const c = 3
	for _, s := range [][3]int{{1, 1, 1}, {65, 9, 64}, {700, 50, 41}, {64, 16, 5}} {
		m, pats := randomMasked(rng, s[0], s[1], s[2])
		set, each := &patternSet{bits: pats}, len(pats)*m.d
		r, v := make([]float64, c*m.n), make([]float64, c*each)
		for i := range r {
			r[i] = rng.NormFloat64()
		}
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		for _, how := range [][2]bool{{false, false}, {true, false}, {true, true}} {
			m.lookup, m.single = how[0], how[1]
			f, g := make([]float64, c*m.n), make([]float64, c*each)
			wantF, wantG := make([]float64, c*m.n), make([]float64, c*each)
			m.forwardOutputs(f, v, set, c)
			m.adjointOutputs(g, r, set, c)
			for o := range c {
				m.forwardSet(wantF[o*m.n:][:m.n], v[o*each:][:each], set)
				m.adjointSet(wantG[o*each:][:each], r[o*m.n:][:m.n], set)
			}
			if !slices.Equal(f, wantF) || !slices.Equal(g, wantG) {
				t.Errorf("%v lookup=%v single=%v: off by %g forward, %g adjoint", s, m.lookup, m.single, maxDiff(f, wantF), maxDiff(g, wantG))
			}
		}
	}
}

// Every lookup kernel of this processor gives the bits of the portable one,
// and does so however the work is spread.
func TestLookupKernelsAgreeBitByBit(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, s := range [][3]int{{1, 1, 1}, {5, 3, 2}, {31, 8, 33}, {65, 9, 64}, {300, 16, 300}, {700, 50, 41}, {1100, 100, 70}, {257, 23, 65}, {600, 31, 128}} {
		m, pats := randomMasked(rng, s[0], s[1], s[2])
		m.lookup = true
		r, v := make([]float64, m.n), make([]float64, len(pats)*m.d)
		for i := range r {
			r[i] = rng.NormFloat64()
		}
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		check := func(choose func(k int) (name string, ok bool)) {
			var wantF, wantG []float64
			for k := 0; ; k++ {
				name, ok := choose(k)
				if !ok {
					return
				}
				for _, procs := range []int{1, 2, 3, 7} {
					runtime.GOMAXPROCS(procs)
					f, g := make([]float64, m.n), make([]float64, len(v))
					m.forward(f, v, pats)
					m.adjoint(g, r, pats)
					if wantF == nil {
						wantF, wantG = f, g
					}
					if !slices.Equal(f, wantF) || !slices.Equal(g, wantG) {
						t.Errorf("%v single=%v: kernel %s on %d processors differs from the portable one: by %g and %g", s, m.single, name, procs, maxDiff(f, wantF), maxDiff(g, wantG))
					}
				}
			}
		}
		check(func(k int) (string, bool) {
			if k == len(lookups) {
				return "", false
			}
			m.kernel = lookups[k]
			return m.kernel.name, true
		})
		m.single = true
		check(func(k int) (string, bool) {
			if k == len(lookups32) {
				return "", false
			}
			m.kernel32 = lookups32[k]
			return m.kernel32.name, true
		})
	}
}

func maxDiff(a, b []float64) (e float64) {
	for i := range a {
		e = math.Max(e, math.Abs(a[i]-b[i]))
	}
	return e
}

// cpuSeconds is the processor time of this process: on a busy machine the
// clock on the wall says little.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return math.NaN()
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func BenchmarkMasked(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, s := range [][3]int{{442, 10, 200}, {1000, 50, 200}, {1000, 50, 20}, {1797, 64, 300}, {5000, 100, 500}, {2000, 784, 100}, {20000, 784, 10}} {
		m, pats := randomMasked(rng, s[0], s[1], s[2])
		r, v := make([]float64, m.n), make([]float64, len(pats)*m.d)
		for i := range r {
			r[i] = rng.NormFloat64()
		}
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		flops := 2 * float64(s[0]) * float64(s[1]) * float64(s[2])
		f := make([]float64, m.n)
		measure := func(name string, product func()) {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", s[0], s[1], s[2], name), func(b *testing.B) {
				cpu := cpuSeconds()
				for b.Loop() {
					product()
				}
				b.ReportMetric(flops*float64(b.N)/(cpuSeconds()-cpu)/1e9, "GF-equiv/cpu-s")
			})
		}
		run := func(name string) {
			measure("forward/"+name, func() { m.forward(f, v, pats) })
			measure("adjoint/"+name, func() { m.adjoint(v, r, pats) })
		}
		m.lookup = false
		run("gemm")
		m.lookup = true
		for _, m.kernel = range lookups {
			run(m.kernel.name)
		}
		m.single = true
		for _, m.kernel32 = range lookups32 {
			run(m.kernel32.name + "-float32")
		}
	}
}
