package lapack

import (
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/testblas"
	"gonum.org/v1/gonum/lapack"
	lgonum "gonum.org/v1/gonum/lapack/gonum"
	"gonum.org/v1/gonum/lapack/testlapack"
)

// on adapts one conformance test of gonum's, whose parameter is an interface of
// its own, to run on impl.
func on[I any](impl any, test func(*testing.T, I)) func(*testing.T) {
	return func(t *testing.T) { test(t, impl.(I)) }
}

// run runs tests one after another: gonum's level 1 tests share the scratch vectors of
// their cases and overwrite each other's when run side by side.
func run(t *testing.T, tests map[string]func(*testing.T)) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, test)
	}
}

// TestBLAS runs gonum's BLAS suite on what init registered.
func TestBLAS(t *testing.T) {
	t.Log(Info())
	b := any(live.b64)
	run(t, map[string]func(*testing.T){
		"Dasum": on(b, testblas.DasumTest), "Daxpy": on(b, testblas.DaxpyTest), "Dcopy": on(b, testblas.DcopyTest),
		"Ddot": on(b, testblas.DdotTest), "Dgbmv": on(b, testblas.DgbmvTest), "Dgemm": on(b, testblas.TestDgemm),
		"Dgemv": on(b, testblas.DgemvTest), "Dger": on(b, testblas.DgerTest), "Dnrm2": on(b, testblas.Dnrm2Test),
		"Drot": on(b, testblas.DrotTest), "Drotm": on(b, testblas.DrotmTest), "Drotmg": on(b, testblas.DrotmgTest),
		"Dsbmv": on(b, testblas.DsbmvTest), "Dscal": on(b, testblas.DscalTest), "Dspmv": on(b, testblas.DspmvTest),
		"Dspr": on(b, testblas.DsprTest), "Dspr2": on(b, testblas.Dspr2Test), "Dswap": on(b, testblas.DswapTest),
		"Dsymm": on(b, testblas.DsymmTest), "Dsymv": on(b, testblas.DsymvTest), "Dsyr": on(b, testblas.DsyrTest),
		"Dsyr2": on(b, testblas.Dsyr2Test), "Dsyr2k": on(b, testblas.Dsyr2kTest), "Dsyrk": on(b, testblas.DsyrkTest),
		"Dtbmv": on(b, testblas.DtbmvTest), "Dtbsv": on(b, testblas.DtbsvTest), "Dtpmv": on(b, testblas.DtpmvTest),
		"Dtpsv": on(b, testblas.DtpsvTest), "Dtrmm": on(b, testblas.DtrmmTest), "Dtrmv": on(b, testblas.DtrmvTest),
		"Dtrsm": on(b, testblas.DtrsmTest), "Dtrsv": on(b, testblas.DtrsvTest), "Dtxmv": on(b, testblas.DtxmvTest),
		"Idamax": on(b, testblas.IdamaxTest),
		"Drotg": on(b, func(t *testing.T, d testblas.Drotger) {
			// OpenBLAS underflows and overflows where gonum scales (gonum/netlib#92).
			skipExtreme := live.info.Backend == "netlib"
			testblas.DrotgTest(t, d, skipExtreme)
		}),
	})
}

// TestComplexBLAS runs gonum's complex BLAS suite on what init registered.
func TestComplexBLAS(t *testing.T) {
	b := any(live.c128)
	run(t, map[string]func(*testing.T){
		"Dzasum": on(b, testblas.DzasumTest), "Dznrm2": on(b, testblas.Dznrm2Test), "Izamax": on(b, testblas.IzamaxTest),
		"Zaxpy": on(b, testblas.ZaxpyTest), "Zcopy": on(b, testblas.ZcopyTest), "Zdotc": on(b, testblas.ZdotcTest),
		"Zdotu": on(b, testblas.ZdotuTest), "Zdscal": on(b, testblas.ZdscalTest), "Zgbmv": on(b, testblas.ZgbmvTest),
		"Zgemm": on(b, testblas.ZgemmTest), "Zgemv": on(b, testblas.ZgemvTest), "Zgerc": on(b, testblas.ZgercTest),
		"Zgeru": on(b, testblas.ZgeruTest), "Zhbmv": on(b, testblas.ZhbmvTest), "Zhemm": on(b, testblas.ZhemmTest),
		"Zhemv": on(b, testblas.ZhemvTest), "Zher": on(b, testblas.ZherTest), "Zher2": on(b, testblas.Zher2Test),
		"Zher2k": on(b, testblas.Zher2kTest), "Zherk": on(b, testblas.ZherkTest), "Zhpmv": on(b, testblas.ZhpmvTest),
		"Zhpr": on(b, testblas.ZhprTest), "Zhpr2": on(b, testblas.Zhpr2Test), "Zscal": on(b, testblas.ZscalTest),
		"Zswap": on(b, testblas.ZswapTest), "Zsymm": on(b, testblas.ZsymmTest), "Zsyr2k": on(b, testblas.Zsyr2kTest),
		"Zsyrk": on(b, testblas.ZsyrkTest), "Ztbmv": on(b, testblas.ZtbmvTest), "Ztbsv": on(b, testblas.ZtbsvTest),
		"Ztpmv": on(b, testblas.ZtpmvTest), "Ztpsv": on(b, testblas.ZtpsvTest), "Ztrmm": on(b, testblas.ZtrmmTest),
		"Ztrmv": on(b, testblas.ZtrmvTest), "Ztrsm": on(b, testblas.ZtrsmTest), "Ztrsv": on(b, testblas.ZtrsvTest),
	})
}

// withReference adds gonum's unblocked routines to the registered ones, for the
// tests that compare a blocked routine with them.
type withReference struct{ lapack.Float64 }

var reference lgonum.Implementation

func (withReference) Dgelq2(m, n int, a []float64, lda int, tau, work []float64) {
	reference.Dgelq2(m, n, a, lda, tau, work)
}

func (withReference) Dgeqr2(m, n int, a []float64, lda int, tau, work []float64) {
	reference.Dgeqr2(m, n, a, lda, tau, work)
}

func (withReference) Dorgl2(m, n, k int, a []float64, lda int, tau, work []float64) {
	reference.Dorgl2(m, n, k, a, lda, tau, work)
}

func (withReference) Dorg2r(m, n, k int, a []float64, lda int, tau, work []float64) {
	reference.Dorg2r(m, n, k, a, lda, tau, work)
}

func (withReference) Dorml2(side blas.Side, trans blas.Transpose, m, n, k int, a []float64, lda int, tau, c []float64, ldc int, work []float64) {
	reference.Dorml2(side, trans, m, n, k, a, lda, tau, c, ldc, work)
}

func (withReference) Dorm2r(side blas.Side, trans blas.Transpose, m, n, k int, a []float64, lda int, tau, c []float64, ldc int, work []float64) {
	reference.Dorm2r(side, trans, m, n, k, a, lda, tau, c, ldc, work)
}

// TestLAPACK runs gonum's LAPACK suite on every routine that init registered.
// Not here: Dlarfb, which lapack64 does not offer and which fails in LAPACKE
// itself (Reference-LAPACK issue 877).
func TestLAPACK(t *testing.T) {
	r := any(withReference{finite{live.l64}})
	run(t, map[string]func(*testing.T){
		"Dgecon": on(r, testlapack.DgeconTest), "Dgeev": on(r, testlapack.DgeevTest), "Dgels": on(r, testlapack.DgelsTest),
		"Dgelqf": on(r, testlapack.DgelqfTest), "Dgeqp3": on(r, testlapack.Dgeqp3Test),
		"Dgeqrf": on(r, testlapack.DgeqrfTest), "Dgetrf": on(r, testlapack.DgetrfTest),
		"Dgetri": on(r, testlapack.DgetriTest), "Dgetrs": on(r, testlapack.DgetrsTest), "Dggsvd3": on(r, testlapack.Dggsvd3Test),
		"Dlange": on(r, testlapack.DlangeTest), "Dlansy": on(r, testlapack.DlansyTest), "Dlantr": on(r, testlapack.DlantrTest),
		"Dlapmr": on(r, testlapack.DlapmrTest), "Dlapmt": on(r, testlapack.DlapmtTest),
		"Dorgqr": on(r, testlapack.DorgqrTest), "Dorglq": on(r, testlapack.DorglqTest),
		"Dormqr": on(r, testlapack.DormqrTest), "Dormlq": on(r, testlapack.DormlqTest),
		"Dpbcon": on(r, testlapack.DpbconTest), "Dpbtrf": on(r, testlapack.DpbtrfTest), "Dpbtrs": on(r, testlapack.DpbtrsTest),
		"Dpocon": on(r, testlapack.DpoconTest), "Dpotrf": on(r, testlapack.DpotrfTest), "Dpotri": on(r, testlapack.DpotriTest),
		"Dpotrs": on(r, testlapack.DpotrsTest), "Dpstrf": on(r, testlapack.DpstrfTest), "Dsyev": on(r, testlapack.DsyevTest),
		"Dtbtrs": on(r, testlapack.DtbtrsTest), "Dtrcon": on(r, testlapack.DtrconTest), "Dtrtri": on(r, testlapack.DtrtriTest),
		"Dtrtrs": on(r, testlapack.DtrtrsTest),
		"Dgesvd": on(r, func(t *testing.T, i testlapack.Dgesvder) { testlapack.DgesvdTest(t, i, 1e-12) }),
	})
}
