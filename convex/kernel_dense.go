package convex

import (
	"sync"
	"sync/atomic"

	"runtime"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// BLAS runs on one thread; the two dense kernels a Newton step spends its time
// in spread their blocks over goroutines.

const (
	syrkBlock = 192
	cholBlock = 128
)

// tasks runs f(0..n-1) on GOMAXPROCS goroutines, largest index first.
func tasks(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		for i := n - 1; i >= 0; i-- {
			f(i)
		}
		return
	}
	var next atomic.Int64
	next.Store(int64(n))
	var wg sync.WaitGroup
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(-1))
				if i < 0 {
					return
				}
				f(i)
			}
		}()
	}
	wg.Wait()
}

// syrkLower adds alpha·A A' to beta·C in the lower triangle of C.
func syrkLower(alpha float64, a blas64.General, beta float64, c blas64.General) {
	syrkLowerUntil(alpha, a, beta, c, nil)
}

// syrkLowerUntil is syrkLower, but leaves C unfinished once halt, which may be
// nil and must bear concurrent calls, says that nobody waits for it.
func syrkLowerUntil(alpha float64, a blas64.General, beta float64, c blas64.General, halt func() bool) {
	n := a.Rows
	if a.Cols == 0 || n == 0 {
		return
	}
	tasks((n+syrkBlock-1)/syrkBlock, func(b int) {
		if halt != nil && halt() {
			return
		}
		lo := b * syrkBlock
		hi := min(lo+syrkBlock, n)
		rows := blas64.General{Rows: hi - lo, Cols: a.Cols, Stride: a.Stride, Data: a.Data[lo*a.Stride:]}
		if lo > 0 {
			left := blas64.General{Rows: lo, Cols: a.Cols, Stride: a.Stride, Data: a.Data}
			blas64.Gemm(blas.NoTrans, blas.Trans, alpha, rows, left, beta,
				blas64.General{Rows: hi - lo, Cols: lo, Stride: c.Stride, Data: c.Data[lo*c.Stride:]})
		}
		blas64.Syrk(blas.NoTrans, alpha, rows, beta,
			blas64.Symmetric{Uplo: blas.Lower, N: hi - lo, Stride: c.Stride, Data: c.Data[lo*c.Stride+lo:]})
	})
}

// gramLower adds X'X to beta·C in the lower triangle of C; what is above the
// diagonal is undefined after that. halt is that of syrkLowerUntil.
func gramLower(x blas64.General, beta float64, c blas64.General, halt func() bool) {
	workers := (c.Rows + 127) / 128
	tasks(workers, func(b int) {
		lo, hi := b*c.Rows/workers, (b+1)*c.Rows/workers
		if lo == hi || halt != nil && halt() {
			return
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, 1,
			blas64.General{Rows: x.Rows, Cols: hi - lo, Stride: x.Stride, Data: x.Data[lo:]},
			blas64.General{Rows: x.Rows, Cols: hi, Stride: x.Stride, Data: x.Data}, beta,
			blas64.General{Rows: hi - lo, Cols: hi, Stride: c.Stride, Data: c.Data[lo*c.Stride:]})
	})
}

// cholLower replaces the lower triangle of the positive definite C by its
// Cholesky factor; false if C is not positive definite.
func cholLower(c blas64.General) bool { return cholLowerUntil(c, nil) }

// cholLowerUntil is cholLower, but gives up, with false, once halt says so.
func cholLowerUntil(c blas64.General, halt func() bool) bool {
	n := c.Rows
	at := func(i, j int) []float64 { return c.Data[i*c.Stride+j:] }
	for k := 0; k < n; k += cholBlock {
		if halt != nil && halt() {
			return false
		}
		e := min(k+cholBlock, n)
		if _, ok := lapack64.Potrf(blas64.Symmetric{Uplo: blas.Lower, N: e - k, Stride: c.Stride, Data: at(k, k)}); !ok {
			return false
		}
		if e == n {
			break
		}
		diag := blas64.Triangular{Uplo: blas.Lower, Diag: blas.NonUnit, N: e - k, Stride: c.Stride, Data: at(k, k)}
		parallel(n-e, cholBlock, func(lo, hi int) {
			blas64.Trsm(blas.Right, blas.Trans, 1, diag,
				blas64.General{Rows: hi - lo, Cols: e - k, Stride: c.Stride, Data: at(e+lo, k)})
		})
		syrkLowerUntil(-1, blas64.General{Rows: n - e, Cols: e - k, Stride: c.Stride, Data: at(e, k)}, 1,
			blas64.General{Rows: n - e, Cols: n - e, Stride: c.Stride, Data: at(e, e)}, halt)
	}
	return true
}

// cholSolve solves L L' x = b in place for the factor of cholLower.
func cholSolve(c blas64.General, b []float64) {
	t := blas64.Triangular{Uplo: blas.Lower, Diag: blas.NonUnit, N: c.Rows, Stride: c.Stride, Data: c.Data}
	x := blas64.Vector{N: c.Rows, Inc: 1, Data: b}
	blas64.Trsv(blas.NoTrans, t, x)
	blas64.Trsv(blas.Trans, t, x)
}

func newGeneral(r, c int) blas64.General {
	return blas64.General{Rows: r, Cols: c, Stride: max(c, 1), Data: make([]float64, r*c)}
}
