package lapack

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	bgonum "gonum.org/v1/gonum/blas/gonum"
	"gonum.org/v1/gonum/lapack"
	"gonum.org/v1/gonum/mat"
)

func random(rnd *rand.Rand, r, c int) *mat.Dense {
	m := mat.NewDense(r, c, nil)
	for i := range r {
		for j := range c {
			m.Set(i, j, rnd.NormFloat64())
		}
	}
	return m
}

// relative returns ‖a−b‖/‖b‖ in the Frobenius norm.
func relative(a, b mat.Matrix) float64 {
	var d mat.Dense
	d.Sub(a, b)
	return mat.Norm(&d, 2) / mat.Norm(b, 2)
}

func TestInfo(t *testing.T) {
	i := Info()
	t.Log(i)
	if i.Backend != "netlib" && i.Backend != "gonum" {
		t.Errorf("unknown backend %q", i.Backend)
	}
	if i.Threads < 1 {
		t.Errorf("%d threads", i.Threads)
	}
	if i.Backend == "gonum" && i.Why == "" {
		t.Error("no reason for the fallback is given")
	}
	if i.Backend == "netlib" && (i.Version == "" || i.Core == "" || i.Threads != 1) {
		t.Errorf("netlib must start with one thread and tell its version and core: %+v", i)
	}
	if strings.Contains(i.String(), "\n") {
		t.Errorf("String spans lines: %q", i)
	}
}

func TestInformationString(t *testing.T) {
	for want, i := range map[string]Information{
		"netlib on OpenBLAS 0.3.21, Haswell kernels, 1 thread":  {Backend: "netlib", Library: "OpenBLAS", Version: "0.3.21", Core: "Haswell", Threads: 1},
		"netlib on OpenBLAS 0.3.21, Zen kernels, 2 threads (x)": {Backend: "netlib", Library: "OpenBLAS", Version: "0.3.21", Core: "Zen", Threads: 2, Why: "x"},
		"gonum 0.17.0, pure Go (built with -tags purego)":       {Backend: "gonum", Library: "gonum", Version: "0.17.0", Why: "built with -tags purego", Threads: 2},
	} {
		if got := i.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSetThreads(t *testing.T) {
	before := SetThreads(2)
	defer SetThreads(before)
	if Info().Backend == "netlib" && Info().Threads != 2 {
		t.Errorf("SetThreads(2) gives %d", Info().Threads)
	}
	if SetThreads(-3); Info().Backend == "netlib" && Info().Threads != 1 {
		t.Errorf("SetThreads(-3) gives %d, want 1", Info().Threads)
	}
}

// The environment can force the Go code, and its reason is reported.
func TestEnvironment(t *testing.T) {
	t.Setenv("GONVEX_BLAS", "gonum")
	if b := choose(); b.info.Backend != "gonum" || !strings.Contains(b.info.Why, "GONVEX_BLAS=gonum") {
		t.Errorf("got %+v", b.info)
	}
	t.Setenv("GONVEX_BLAS", "mkl")
	if b := choose(); b.info.Backend != "gonum" || !strings.Contains(b.info.Why, "neither netlib nor gonum") {
		t.Errorf("got %+v", b.info)
	}
	t.Setenv("GONVEX_BLAS", "netlib")
	_, unavailable := netlibBackend()
	if b := choose(); (b.info.Backend == "gonum") != (unavailable != nil) {
		t.Errorf("GONVEX_BLAS=netlib gives %+v", b.info)
	}
}

// A backend with one wrong kernel is found out.
func TestSelfCheck(t *testing.T) {
	if err := selfCheck(live); err != nil {
		t.Fatal(err)
	}
	broken := goBackend("")
	broken.b64 = wrongGemm{goBLAS{}}
	if err := selfCheck(broken); err == nil || !strings.Contains(err.Error(), "dgemm is off by") {
		t.Errorf("a wrong dgemm gives %v", err)
	}
	broken = goBackend("")
	broken.l64 = nanPotrf{broken.l64}
	if err := selfCheck(broken); err == nil || !strings.Contains(err.Error(), "dpotrf") {
		t.Errorf("a wrong dpotrf gives %v", err)
	}
}

type wrongGemm struct{ blas.Float64 }

func (w wrongGemm) Dgemm(tA, tB blas.Transpose, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	w.Float64.Dgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	c[len(c)-1] += 1e-3
}

type nanPotrf struct{ lapack.Float64 }

func (nanPotrf) Dpotrf(_ blas.Uplo, _ int, a []float64, _ int) bool {
	a[0] = math.NaN()
	return true
}

// mat's factorisations hold on the registered backend, at sizes on both sides
// of every threshold.
func TestMat(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 5, 31, 32, 33, 90, 150} {
		a := random(rnd, n+7, n)
		for _, kind := range []mat.SVDKind{mat.SVDNone, mat.SVDThin, mat.SVDFull, mat.SVDThinU, mat.SVDThinV, mat.SVDFullU, mat.SVDFullV} {
			var svd, flip mat.SVD
			if !svd.Factorize(a, kind) || !flip.Factorize(a.T(), kind) {
				t.Fatalf("SVD kind %d of %d×%d fails", kind, n+7, n)
			}
			s := mat.NewVecDense(n, svd.Values(nil))
			if e := relative(s, mat.NewVecDense(n, flip.Values(nil))); e > 1e-12 {
				t.Errorf("singular values of A and Aᵀ differ by %g (n=%d kind=%d)", e, n, kind)
			}
			if kind == mat.SVDThin {
				var u, v, us, back mat.Dense
				svd.UTo(&u)
				svd.VTo(&v)
				us.Mul(&u, mat.NewDiagDense(n, svd.Values(nil)))
				back.Mul(&us, v.T())
				if e := relative(&back, a); e > 1e-13 {
					t.Errorf("UΣVᵀ differs from A by %g (n=%d)", e, n)
				}
			}
		}

		var s mat.SymDense
		s.SymOuterK(1, a.T())
		var eig mat.EigenSym
		if !eig.Factorize(&s, true) {
			t.Fatalf("EigenSym fails at n=%d", n)
		}
		var v, vl, back mat.Dense
		eig.VectorsTo(&v)
		vl.Mul(&v, mat.NewDiagDense(n, eig.Values(nil)))
		back.Mul(&vl, v.T())
		if e := relative(&back, &s); e > 1e-13 {
			t.Errorf("VΛVᵀ differs from S by %g (n=%d)", e, n)
		}

		var chol mat.Cholesky
		var qr mat.QR
		var x, y, residual mat.Dense
		rhs := random(rnd, n, 2)
		if !chol.Factorize(&s) {
			t.Fatalf("Cholesky fails at n=%d", n)
		}
		if err := chol.SolveTo(&x, rhs); err != nil {
			t.Fatal(err)
		}
		residual.Mul(&s, &x)
		if e := relative(&residual, rhs); e > 1e-9 {
			t.Errorf("Cholesky solve leaves %g (n=%d)", e, n)
		}
		qr.Factorize(&s)
		if err := qr.SolveTo(&y, false, rhs); err != nil {
			t.Fatal(err)
		}
		if e := relative(&y, &x); e > 1e-8 {
			t.Errorf("QR and Cholesky solutions differ by %g (n=%d)", e, n)
		}
	}
}

// NaN and infinity never come out of a factorisation as success.
func TestNotFinite(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{3, 40, 80} {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			a := random(rnd, n, n)
			var s mat.SymDense
			s.SymOuterK(1, a)
			i, j := rnd.IntN(n), rnd.IntN(n)
			a.Set(i, j, bad)
			s.SetSym(i, j, bad)
			if new(mat.EigenSym).Factorize(&s, true) || new(mat.EigenSym).Factorize(&s, false) {
				t.Errorf("EigenSym accepts %v at (%d,%d) of %d", bad, i, j, n)
			}
			if new(mat.SVD).Factorize(a, mat.SVDThin) || new(mat.SVD).Factorize(a, mat.SVDNone) {
				t.Errorf("SVD accepts %v", bad)
			}
			if new(mat.Eigen).Factorize(a, mat.EigenRight) {
				t.Errorf("Eigen accepts %v", bad)
			}
			s.SetSym(i, j, 0)
			s.SetSym(i, i, bad)
			if !math.IsInf(bad, 1) && new(mat.Cholesky).Factorize(&s) {
				t.Errorf("Cholesky accepts %v", bad)
			}
		}
	}
}

// Only the triangle that is named is looked at.
func TestOtherTriangleIgnored(t *testing.T) {
	for _, ul := range []blas.Uplo{blas.Upper, blas.Lower} {
		n := 40
		a := make([]float64, n*n)
		for i := range n {
			for j := range n {
				switch {
				case i == j:
					a[i*n+j] = float64(i + 1)
				case (j > i) != (ul == blas.Upper):
					a[i*n+j] = math.NaN()
				}
			}
		}
		w, work := make([]float64, n), make([]float64, 3*n)
		if !(finite{live.l64}).Dsyev('N', ul, n, a, n, w, work, len(work)) || math.Abs(w[n-1]-float64(n)) > 1e-12 {
			t.Errorf("%c: NaN in the other triangle disturbs Dsyev: %v", ul, w)
		}
	}
}

// Syrk with beta = 0 overwrites what C held.
func TestSyrkOverwritesNaN(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, ul := range []blas.Uplo{blas.Upper, blas.Lower} {
		for _, trans := range []blas.Transpose{blas.NoTrans, blas.Trans} {
			a := random(rnd, 6, 6)
			c := blas64.Symmetric{N: 6, Stride: 6, Uplo: ul, Data: make([]float64, 36)}
			for i := range c.Data {
				c.Data[i] = math.NaN()
			}
			blas64.Syrk(trans, 1, a.RawMatrix(), 0, c)
			for i := range 6 {
				for j := range 6 {
					if (j >= i) == (ul == blas.Upper) && i != j && math.IsNaN(c.Data[i*6+j]) {
						t.Errorf("%c %c: NaN left at (%d,%d)", ul, trans, i, j)
					}
				}
			}
		}
	}
}

// Concurrent calls give bit for bit what a single call gives.
func TestConcurrent(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	a, b := random(rnd, 70, 60), random(rnd, 60, 50)
	var want mat.Dense
	want.Mul(a, b)
	var group sync.WaitGroup
	errs := make([]error, 16)
	for g := range errs {
		group.Go(func() {
			for range 50 {
				var c mat.Dense
				c.Mul(a, b)
				if !mat.Equal(&c, &want) {
					errs[g] = errors.New("a concurrent product differs from a lone one")
				}
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// Short slices and bad shapes are reported by a Go panic, never by memory
// corruption: lapacke itself checks no lengths.
func TestShortSlicesPanic(t *testing.T) {
	l := finite{live.l64}
	const n = 40
	long := func() []float64 { return make([]float64, 10*n*n) }
	for name, call := range map[string]func(){
		"syev a":    func() { l.Dsyev('V', blas.Upper, n, make([]float64, n), n, long(), long(), 10*n*n) },
		"syev w":    func() { l.Dsyev('V', blas.Upper, n, long(), n, make([]float64, n-1), long(), 10*n*n) },
		"syev work": func() { l.Dsyev('V', blas.Upper, n, long(), n, long(), make([]float64, n), 10*n*n) },
		"syev lda":  func() { l.Dsyev('V', blas.Upper, n, long(), n-1, long(), long(), 10*n*n) },
		"syev uplo": func() { l.Dsyev('V', 'X', n, long(), n, long(), long(), 10*n*n) },
		"gesvd a":   func() { l.Dgesvd('S', 'S', n, n, make([]float64, n), n, long(), long(), n, long(), n, long(), 10*n*n) },
		"gesvd s": func() {
			l.Dgesvd('S', 'S', n, n, long(), n, make([]float64, n-1), long(), n, long(), n, long(), 10*n*n)
		},
		"gesvd u":   func() { l.Dgesvd('S', 'S', n, n, long(), n, long(), make([]float64, n), n, long(), n, long(), 10*n*n) },
		"gesvd vt":  func() { l.Dgesvd('A', 'A', n, n, long(), n, long(), long(), n, make([]float64, n), n, long(), 10*n*n) },
		"gesvd ldu": func() { l.Dgesvd('A', 'A', n, n, long(), n, long(), long(), n-1, long(), n, long(), 10*n*n) },
		"gesvd job": func() { l.Dgesvd('X', 'X', n, n, long(), n, long(), long(), n, long(), n, long(), 10*n*n) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

// gonum's suites test float64 and complex128 only: float32 is compared with
// gonum's own code.
func TestFloat32(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	draw := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rnd.NormFloat64())
		}
		return x
	}
	var ref bgonum.Implementation
	trans := []blas.Transpose{blas.NoTrans, blas.Trans}
	for _, n := range []int{1, 3, 17, 64, 101} {
		m, k := n+5, 2*n+1
		size := (k + 3) * (k + 3)
		a, b, c, x := draw(size), draw(size), draw(size), draw(size)
		close := func(what string, got, want []float32) {
			t.Helper()
			for i := range want {
				if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-5*float64(k)*(1+math.Abs(float64(want[i])))) {
					t.Fatalf("%s at n=%d: entry %d is %g, want %g", what, n, i, got[i], want[i])
				}
			}
		}
		for _, tA := range trans {
			for _, tB := range trans {
				got, want := slices.Clone(c), slices.Clone(c)
				live.b32.Sgemm(tA, tB, m, n, k, 0.5, a, k+3, b, k+3, -1, got, k+3)
				ref.Sgemm(tA, tB, m, n, k, 0.5, a, k+3, b, k+3, -1, want, k+3)
				close("sgemm", got, want)
			}
			got, want := slices.Clone(c), slices.Clone(c)
			live.b32.Sgemv(tA, m, n, 2, a, k+3, x, 1, 0.5, got, 2)
			ref.Sgemv(tA, m, n, 2, a, k+3, x, 1, 0.5, want, 2)
			close("sgemv", got, want)
			for _, ul := range []blas.Uplo{blas.Upper, blas.Lower} {
				got, want := slices.Clone(c), slices.Clone(c)
				live.b32.Ssyrk(ul, tA, n, k, 1, a, k+3, 0, got, k+3)
				ref.Ssyrk(ul, tA, n, k, 1, a, k+3, 0, want, k+3)
				close("ssyrk", got, want)
			}
		}
		if d := math.Abs(float64(live.b32.Sdot(k, a, 1, b, 2) - ref.Sdot(k, a, 1, b, 2))); d > 1e-4 {
			t.Errorf("sdot is off by %g", d)
		}
	}
}

// The other builds hold the same promises. They are run from here so that one
// go test covers them.
func TestOtherBuilds(t *testing.T) {
	if testing.Short() || os.Getenv("GONVEX_OTHER_BUILD") != "" {
		t.Skip("runs go test again in other build modes")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not on the path")
	}
	for _, c := range []struct {
		name, env string
		args      []string
	}{
		{"purego", "CGO_ENABLED=1", []string{"-tags", "purego"}},
		{"nocgo", "CGO_ENABLED=0", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"test", "-count=1", "-v", "-run", "TestInfo$|TestMat$|TestNotFinite|TestSyrk|TestShort|TestLAPACK/Dsyev|TestBLAS/Dgemm"}, c.args...)
			cmd := exec.Command("go", append(args, ".")...)
			cmd.Env = append(os.Environ(), c.env, "GONVEX_OTHER_BUILD=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "gonum") {
				t.Errorf("the build does not report gonum:\n%s", out)
			}
		})
	}
}

func ExampleInfo() {
	info := Info()
	fmt.Println(info.Backend == "netlib" || info.Why != "")
	// Output: true
}

func BenchmarkSelfCheck(b *testing.B) {
	for b.Loop() {
		if err := selfCheck(live); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGemm(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{4, 16, 64, 256, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, y, z := random(rnd, n, n), random(rnd, n, n), mat.NewDense(n, n, nil)
			for b.Loop() {
				z.Mul(x, y)
			}
			b.ReportMetric(2*float64(n)*float64(n)*float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GF/s")
		})
	}
}

func BenchmarkEigenSym(b *testing.B) {
	var s mat.SymDense
	s.SymOuterK(1, random(rand.New(rand.NewPCG(1, 1)), 500, 503))
	for b.Loop() {
		new(mat.EigenSym).Factorize(&s, true)
	}
}

func BenchmarkSVD(b *testing.B) {
	a := random(rand.New(rand.NewPCG(1, 1)), 500, 500)
	for b.Loop() {
		new(mat.SVD).Factorize(a, mat.SVDThin)
	}
}

// Eigenvalues of matrices near the ends of the range of numbers are those of
// the same matrix in the middle of it.
func TestEigenvaluesOfExtremeSize(t *testing.T) {
	base := []float64{2, -1, 0.5, -1, 3, 0.25, 0.5, 0.25, -1}
	for _, vectors := range []bool{false, true} {
		var want []float64
		for _, size := range []float64{1, 1e-130, 1e-145, 1e-290, 1e140, 1e290} {
			s := mat.NewSymDense(3, nil)
			for i := range 3 {
				for j := i; j < 3; j++ {
					s.SetSym(i, j, size*base[3*i+j])
				}
			}
			var e mat.EigenSym
			if !e.Factorize(s, vectors) {
				t.Fatalf("size %g: no eigenvalues", size)
			}
			got := e.Values(nil)
			if size == 1 {
				want = got
			}
			for i, v := range got {
				if math.Abs(v/size-want[i]) > 1e-14 {
					t.Errorf("size %g: eigenvalue %d is %g times that, want %g", size, i, v/size, want[i])
				}
			}
		}
	}
}
