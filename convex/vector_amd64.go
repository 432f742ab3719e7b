//go:build !purego

package convex

import "golang.org/x/sys/cpu"

// assembled256 says that the loops in vector_amd64.s run here.
var assembled256 = cpu.X86.HasAVX2 && cpu.X86.HasFMA

//go:noescape
func dotAVX2(a, b *float64, n int) float64

//go:noescape
func dot32AVX2(a, b *float32, n int) float32

//go:noescape
func axpyAVX2(alpha float64, x, y *float64, n int)

//go:noescape
func rotateAVX2(c, s float64, x, y *float64, n int)

//go:noescape
func dotsAVX2(dst, rows, v *float64, n, stride, k int)

//go:noescape
func dots32AVX2(dst, rows, v *float32, n, stride, k int)

//go:noescape
func sumAVX2(v, rows, c *float64, d, k int)

//go:noescape
func addProductsAVX2(dst, a, b *float64, n int)

//go:noescape
func wrongSideAVX2(mask, bits *uint64, t *float32, least float32, words int)
