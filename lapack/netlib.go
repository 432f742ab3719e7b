//go:build cgo && !purego && (linux || darwin)

package lapack

/*
// Declared here, not taken from cblas.h: an include path that finds the
// system's header would shadow the one that netlib bundles.
extern void openblas_set_num_threads(int);
extern int openblas_get_num_threads(void);
extern int openblas_get_parallel(void);
extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);

#ifdef __linux__
extern int blas_thread_shutdown_(void) __attribute__((weak));
#endif

// OpenBLAS starts its threads as it is loaded, and each spins on a processor for
// some 2^26 cycles before it sleeps: as long as it takes a kernel to answer for
// the first time. They come back with openblas_set_num_threads.
static void end_threads(void) {
#ifdef __linux__
	if (blas_thread_shutdown_)
		blas_thread_shutdown_();
#endif
}
*/
import "C"

import (
	"errors"
	"os"
	"strings"

	"gonum.org/v1/gonum/blas"
	bgonum "gonum.org/v1/gonum/blas/gonum"
	"gonum.org/v1/gonum/lapack"
	lgonum "gonum.org/v1/gonum/lapack/gonum"
	bnetlib "gonum.org/v1/netlib/blas/netlib"
	"gonum.org/v1/netlib/lapack/lapacke"
	lnetlib "gonum.org/v1/netlib/lapack/netlib"
)

// What openblas_get_parallel answers.
const (
	openblasSerial = 0
	openblasOpenMP = 2
)

func netlibBackend() (backend, error) {
	parallel := C.openblas_get_parallel()
	if parallel == openblasSerial {
		return backend{}, errors.New("the linked OpenBLAS is built without threads and computes wrong numbers when called from several goroutines; install libopenblas0-pthread")
	}
	C.openblas_set_num_threads(1)
	C.end_threads()
	b := netlibBLAS{}
	version, _, _ := strings.Cut(strings.TrimPrefix(C.GoString(C.openblas_get_config()), "OpenBLAS "), " ")
	info := Information{Backend: "netlib", Library: "OpenBLAS", Version: version, Core: C.GoString(C.openblas_get_corename())}
	if parallel == openblasOpenMP && os.Getenv("OMP_NUM_THREADS") != "1" {
		// Here openblas_set_num_threads holds for the calling system thread only.
		info.Why = "this OpenBLAS uses OpenMP, which slows concurrent calls down: set OMP_NUM_THREADS=1 or install libopenblas0-pthread"
	}
	return backend{
		info:       info,
		b32:        b,
		b64:        b,
		c128:       b,
		l64:        netlibLAPACK{},
		threads:    func() int { return int(C.openblas_get_num_threads()) },
		setThreads: func(n int) { C.openblas_set_num_threads(C.int(n)) },
	}, nil
}

// netlibBLAS is netlib's BLAS, with gonum's Go code for calls too short to pay
// for crossing into C.
type netlibBLAS struct{ bnetlib.Implementation }

// Below these sizes gonum's assembly wins (measured on AVX2 and AVX-512).
const (
	shortVector = 300
	smallMatrix = 4096
)

var goKernels bgonum.Implementation

func (b netlibBLAS) Ddot(n int, x []float64, incX int, y []float64, incY int) float64 {
	if n < shortVector {
		return goKernels.Ddot(n, x, incX, y, incY)
	}
	return b.Implementation.Ddot(n, x, incX, y, incY)
}

func (b netlibBLAS) Daxpy(n int, alpha float64, x []float64, incX int, y []float64, incY int) {
	if n < shortVector {
		goKernels.Daxpy(n, alpha, x, incX, y, incY)
		return
	}
	b.Implementation.Daxpy(n, alpha, x, incX, y, incY)
}

func (b netlibBLAS) Dgemv(t blas.Transpose, m, n int, alpha float64, a []float64, lda int, x []float64, incX int, beta float64, y []float64, incY int) {
	if m*n < smallMatrix {
		goKernels.Dgemv(t, m, n, alpha, a, lda, x, incX, beta, y, incY)
		return
	}
	b.Implementation.Dgemv(t, m, n, alpha, a, lda, x, incX, beta, y, incY)
}

// netlibLAPACK is netlib's LAPACK, with divide and conquer behind Dsyev and
// Dgesvd, which is 4 to 7 times as fast when vectors are wanted.
type netlibLAPACK struct{ lnetlib.Implementation }

// smallFactor is the order below which divide and conquer has nothing to gain.
const smallFactor = 32

// Dpotrf is gonum's blocked code on OpenBLAS's level 3 BLAS: LAPACKE's would
// copy and transpose a row-major matrix twice, and accepts a matrix with NaN.
func (netlibLAPACK) Dpotrf(ul blas.Uplo, n int, a []float64, lda int) bool {
	return lgonum.Implementation{}.Dpotrf(ul, n, a, lda)
}

// Dsyev calls Dsyevd when eigenvectors are wanted and the caller gave the
// workspace that the query asked for.
func (l netlibLAPACK) Dsyev(jobz lapack.EVJob, ul blas.Uplo, n int, a []float64, lda int, w, work []float64, lwork int) bool {
	need := 1 + 6*n + 2*n*n
	if jobz != lapack.EVCompute || n < smallFactor || (lwork != -1 && lwork < need) {
		return l.Implementation.Dsyev(jobz, ul, n, a, lda, w, work, lwork)
	}
	if lwork == -1 {
		ok := l.Implementation.Dsyev(jobz, ul, n, a, lda, w, work, -1)
		work[0] = max(work[0], float64(need))
		return ok
	}
	if ul != blas.Upper && ul != blas.Lower || !fits(n, n, len(a), lda) || len(w) < n || len(work) < lwork {
		// lapacke checks no lengths: leave it to netlib to say what is wrong.
		return l.Implementation.Dsyev(jobz, ul, n, a, lda, w, work, lwork)
	}
	iwork := make([]int32, 3+5*n)
	return lapacke.Dsyevd(byte(jobz), byte(ul), n, a, lda, w, work, lwork, iwork, len(iwork))
}

// Dgesvd calls Dgesdd when both or neither of the factors are wanted and the
// caller gave the workspace that the query asked for.
func (l netlibLAPACK) Dgesvd(jobU, jobVT lapack.SVDJob, m, n int, a []float64, lda int, s, u []float64, ldu int, vt []float64, ldvt int, work []float64, lwork int) bool {
	mn := min(m, n)
	// For far more columns than rows, or the converse, and no vectors, the
	// query answers less than netlib then insists on.
	enough := float64(max(3*mn+max(m, n), 5*mn, 1))
	if jobU != jobVT || jobU == lapack.SVDOverwrite || mn < smallFactor {
		ok := l.Implementation.Dgesvd(jobU, jobVT, m, n, a, lda, s, u, ldu, vt, ldvt, work, lwork)
		if lwork == -1 && ok {
			work[0] = max(work[0], enough)
		}
		return ok
	}
	// The query checks the job and the strides.
	var need [1]float64
	if !l.Implementation.Dgesvd(jobU, jobVT, m, n, a, lda, s, u, ldu, vt, ldvt, need[:], -1) {
		return false
	}
	least := max(need[0], enough)
	if jobU == lapack.SVDNone {
		ldu, ldvt = max(ldu, m), max(ldvt, n) // LAPACKE checks them though it does not use them
	}
	if !lapacke.Dgesdd(byte(jobU), m, n, nil, lda, nil, nil, ldu, nil, ldvt, need[:], -1, nil) {
		return false
	}
	if lwork == -1 {
		work[0] = max(least, need[0])
		return true
	}
	uCols, vtRows := 0, 0
	switch jobU {
	case lapack.SVDAll:
		uCols, vtRows = m, n
	case lapack.SVDStore:
		uCols, vtRows = mn, mn
	}
	if float64(lwork) < need[0] || len(work) < lwork || !fits(m, n, len(a), lda) || len(s) < mn ||
		uCols > 0 && (!fits(m, uCols, len(u), ldu) || !fits(vtRows, n, len(vt), ldvt)) {
		return l.Implementation.Dgesvd(jobU, jobVT, m, n, a, lda, s, u, ldu, vt, ldvt, work, lwork)
	}
	return lapacke.Dgesdd(byte(jobU), m, n, a, lda, s, u, ldu, vt, ldvt, work, lwork, make([]int32, 8*mn))
}
