// Package lapack chooses the numeric backend of every matrix in the program
// and reports which one is live.
//
// Importing it registers one backend with gonum's blas32, blas64, cblas128 and
// lapack64, and so with package mat. Built with cgo on Linux or macOS that
// backend is gonum.org/v1/netlib on the system's OpenBLAS and LAPACKE; built
// with CGO_ENABLED=0, with -tags purego, or for another operating system it is
// gonum's own Go code. The exported API is the same either way, and Info says
// which is live and why. The build tag netlib_static links the libraries'
// static archives, for a binary that needs only libc.
//
// OpenBLAS is set to one thread: this project finds its parallelism in
// goroutines over blocks, which scale where OpenBLAS's own threads spin and
// wait for each other. SetThreads changes that for a single large
// factorisation. An OpenBLAS compiled without threads is refused, because it
// returns wrong numbers when two goroutines call it at once.
//
// The environment variable GONVEX_BLAS=gonum chooses the Go code at run time,
// to tell whether a result depends on the library. OPENBLAS_CORETYPE, read by
// OpenBLAS itself, forces the kernels of one processor family.
package lapack

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/blas/cblas128"
	bgonum "gonum.org/v1/gonum/blas/gonum"
	"gonum.org/v1/gonum/lapack"
	lgonum "gonum.org/v1/gonum/lapack/gonum"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// Information describes the live backend.
type Information struct {
	Backend string // "netlib" or "gonum"
	Library string // what computes: "OpenBLAS", or "gonum" for Go code
	Version string // the library's version, such as "0.3.21"; empty when unknown
	Core    string // processor family whose kernels OpenBLAS chose; empty for gonum
	Threads int    // threads one BLAS call may use
	Why     string // why the backend is not netlib, or what is amiss with it; empty when all is well
}

// String describes the backend in one line.
func (i Information) String() string {
	s := i.Backend
	if i.Library != i.Backend {
		s += " on " + i.Library
	}
	if i.Version != "" {
		s += " " + i.Version
	}
	if i.Backend == "gonum" {
		s += ", pure Go"
	} else {
		plural := "s"
		if i.Threads == 1 {
			plural = ""
		}
		s += fmt.Sprintf(", %s kernels, %d thread%s", i.Core, i.Threads, plural)
	}
	if i.Why != "" {
		s += " (" + i.Why + ")"
	}
	return s
}

// Info reports the live backend.
func Info() Information {
	i := live.info
	i.Threads = live.threads()
	return i
}

// SetThreads sets how many threads one call into OpenBLAS may use, at least 1,
// and returns the number before. The setting is process wide: change it around
// a large factorisation only while no other goroutine computes. The Go backend
// follows GOMAXPROCS and ignores it.
func SetThreads(n int) (before int) {
	before = live.threads()
	live.setThreads(max(n, 1))
	return before
}

// A backend is a set of implementations to register and what to say of it.
type backend struct {
	info       Information
	b32        blas.Float32
	b64        blas.Float64
	c128       blas.Complex128
	l64        lapack.Float64
	threads    func() int
	setThreads func(int)
}

var live backend

func init() {
	live = choose()
	blas32.Use(live.b32)
	blas64.Use(live.b64)
	cblas128.Use(live.c128)
	lapack64.Use(finite{live.l64})
}

// choose returns netlib when it is built in and passes its checks, else gonum.
func choose() backend {
	switch want := os.Getenv("GONVEX_BLAS"); want {
	case "", "netlib":
	case "gonum":
		return goBackend("GONVEX_BLAS=gonum is set")
	default:
		return goBackend(fmt.Sprintf("GONVEX_BLAS=%s is neither netlib nor gonum", want))
	}
	b, err := netlibBackend()
	if err != nil {
		return goBackend(err.Error())
	}
	if err := selfCheck(b); err != nil {
		return goBackend(fmt.Sprintf("%s %s with %s kernels failed the check at start: %v; OPENBLAS_CORETYPE chooses other kernels",
			b.info.Library, b.info.Version, b.info.Core, err))
	}
	return b
}

// goBackend is gonum's Go code.
func goBackend(why string) backend {
	b := goBLAS{}
	return backend{
		info:       Information{Backend: "gonum", Library: "gonum", Version: gonumVersion(), Why: why},
		b32:        b,
		b64:        b,
		c128:       b,
		l64:        lgonum.Implementation{},
		threads:    func() int { return runtime.GOMAXPROCS(0) },
		setThreads: func(int) {},
	}
}

func gonumVersion() string {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if m.Path == "gonum.org/v1/gonum" {
				return strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return ""
}

// goBLAS is gonum's BLAS with one fault mended: for the lower triangle of AᵀA
// with beta = 0 it multiplies C by zero in place of overwriting it, so that NaN
// left in C stays NaN.
type goBLAS struct{ bgonum.Implementation }

func (b goBLAS) Dsyrk(ul blas.Uplo, t blas.Transpose, n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int) {
	if beta == 0 {
		clearLower(ul, n, c, ldc)
	}
	b.Implementation.Dsyrk(ul, t, n, k, alpha, a, lda, beta, c, ldc)
}

func (b goBLAS) Ssyrk(ul blas.Uplo, t blas.Transpose, n, k int, alpha float32, a []float32, lda int, beta float32, c []float32, ldc int) {
	if beta == 0 {
		clearLower(ul, n, c, ldc)
	}
	b.Implementation.Ssyrk(ul, t, n, k, alpha, a, lda, beta, c, ldc)
}

// clearLower zeroes the lower triangle of C. It leaves shapes that do not fit
// for the routine it precedes to report.
func clearLower[T float32 | float64](ul blas.Uplo, n int, c []T, ldc int) {
	if ul != blas.Lower || !fits(n, n, len(c), ldc) {
		return
	}
	for i := range n {
		clear(c[i*ldc : i*ldc+i+1])
	}
}

// fits reports whether an m×n row-major matrix with the given stride is valid
// and not empty in length elements.
func fits(m, n, length, stride int) bool {
	return m > 0 && n > 0 && stride >= n && length >= (m-1)*stride+n
}

// finite refuses matrices that hold NaN or infinity to the factorisations that
// would otherwise return success and wrong, finite-looking numbers, or never
// converge. It answers as they do when they fail to converge, so that mat's
// Factorize methods return false.
type finite struct{ lapack.Float64 }

func (f finite) Dsyev(jobz lapack.EVJob, ul blas.Uplo, n int, a []float64, lda int, w, work []float64, lwork int) bool {
	if lwork == -1 || !fits(n, n, len(a), lda) {
		return f.Float64.Dsyev(jobz, ul, n, a, lda, w, work, lwork)
	}
	half := func(i int) []float64 {
		if ul == blas.Upper {
			return a[i*lda+i : i*lda+n]
		}
		return a[i*lda : i*lda+i+1]
	}
	top := 0.0
	for i := range n {
		if !allFinite(half(i)) {
			return false
		}
		for _, v := range half(i) {
			top = math.Max(top, math.Abs(v))
		}
	}
	// gonum's Dsterf steps over memory in the wrong stride where it has to scale
	// very small or very large numbers, so that they are scaled here.
	if top == 0 || top > 1e-100 && top < 1e100 {
		return f.Float64.Dsyev(jobz, ul, n, a, lda, w, work, lwork)
	}
	_, e := math.Frexp(top)
	for i := range n {
		for j, v := range half(i) {
			half(i)[j] = math.Ldexp(v, -e)
		}
	}
	ok := f.Float64.Dsyev(jobz, ul, n, a, lda, w, work, lwork)
	for i := range min(n, len(w)) {
		w[i] = math.Ldexp(w[i], e)
	}
	return ok
}

func (f finite) Dgesvd(jobU, jobVT lapack.SVDJob, m, n int, a []float64, lda int, s, u []float64, ldu int, vt []float64, ldvt int, work []float64, lwork int) bool {
	if lwork != -1 && !finiteMatrix(m, n, a, lda) {
		return false
	}
	return f.Float64.Dgesvd(jobU, jobVT, m, n, a, lda, s, u, ldu, vt, ldvt, work, lwork)
}

func (f finite) Dgeev(jobvl lapack.LeftEVJob, jobvr lapack.RightEVJob, n int, a []float64, lda int, wr, wi []float64, vl []float64, ldvl int, vr []float64, ldvr int, work []float64, lwork int) (first int) {
	if lwork != -1 && !finiteMatrix(n, n, a, lda) {
		return n // no eigenvalue was found
	}
	return f.Float64.Dgeev(jobvl, jobvr, n, a, lda, wr, wi, vl, ldvl, vr, ldvr, work, lwork)
}

// finiteMatrix reports whether an m×n matrix is finite. A matrix that does not
// fit its slice counts as finite: the routine called next reports that.
func finiteMatrix(m, n int, a []float64, lda int) bool {
	if fits(m, n, len(a), lda) {
		for i := range m {
			if !allFinite(a[i*lda : i*lda+n]) {
				return false
			}
		}
	}
	return true
}

func allFinite(x []float64) bool {
	for _, v := range x {
		if v-v != 0 { // NaN and both infinities, in one comparison
			return false
		}
	}
	return true
}

// selfCheck compares a few small results of b with gonum's, in well under a
// millisecond. OpenBLAS picks its kernels by processor at run time, and some
// releases have shipped kernels that are wrong on some processors.
func selfCheck(b backend) error {
	const n = 24
	var a, s [n * n]float64
	var a32 [n * n]float32
	x := uint32(1) // a linear congruential generator: any fixed, full-rank numbers do
	for i := range a {
		x = 1664525*x + 1013904223
		a[i] = float64(x>>8)/(1<<24) - 0.5
		a32[i] = float32(a[i])
	}
	var want bgonum.Implementation

	var c, c0 [n * n]float64
	b.b64.Dgemm(blas.NoTrans, blas.Trans, n, n, n, 1, a[:], n, a[:], n, 0, c[:], n)
	want.Dgemm(blas.NoTrans, blas.Trans, n, n, n, 1, a[:], n, a[:], n, 0, c0[:], n)
	if err := near("dgemm", c[:], c0[:], 1e-13); err != nil {
		return err
	}
	var c32 [n * n]float32
	var up [n * n]float64
	b.b32.Sgemm(blas.NoTrans, blas.Trans, n, n, n, 1, a32[:], n, a32[:], n, 0, c32[:], n)
	for i, v := range c32 {
		up[i] = float64(v)
	}
	if err := near("sgemm", up[:], c0[:], 1e-5); err != nil {
		return err
	}

	// S = AAᵀ + I: its factors from both backends, and the trace as the sum of
	// its eigenvalues.
	s = c0
	trace := 0.0
	for i := range n {
		s[i*n+i]++
		trace += s[i*n+i]
	}
	l, l0 := s, s
	if !b.l64.Dpotrf(blas.Lower, n, l[:], n) || !(lgonum.Implementation{}).Dpotrf(blas.Lower, n, l0[:], n) {
		return fmt.Errorf("dpotrf calls a positive definite matrix indefinite")
	}
	if err := near("dpotrf", l[:], l0[:], 1e-12); err != nil {
		return err
	}
	var w, work [8 * n]float64
	if !b.l64.Dsyev(lapack.EVNone, blas.Lower, n, s[:], n, w[:n], work[:], len(work)) {
		return fmt.Errorf("dsyev does not converge")
	}
	sum := 0.0
	for _, v := range w[:n] {
		sum += v
	}
	return near("dsyev", []float64{sum}, []float64{trace}, 1e-12)
}

// near reports the largest difference between got and want if it exceeds tol.
func near(routine string, got, want []float64, tol float64) error {
	worst := 0.0
	for i, v := range got {
		d := math.Abs(v - want[i])
		if !(d <= tol*(1+math.Abs(want[i]))) && !(worst > d) {
			worst = d
		}
	}
	if worst != 0 {
		return fmt.Errorf("%s is off by %.1e", routine, worst)
	}
	return nil
}
