//go:build cgo && !purego && ((linux && !netlib_static) || darwin)

package lapack

// Homebrew's OpenBLAS holds LAPACKE; Debian's keeps it in a library of its own.

// #cgo linux pkg-config: openblas lapacke
// #cgo darwin pkg-config: openblas
import "C"
