//go:build cgo && !purego && netlib_static && linux

package lapack

// The archives resolve each other in this order only. libgfortran.a comes with
// the package gfortran.

// #cgo LDFLAGS: -l:liblapacke.a -l:libtmglib.a -l:libopenblas.a -l:libgfortran.a -l:libquadmath.a -lm -lpthread
import "C"
