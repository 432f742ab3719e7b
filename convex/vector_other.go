//go:build !amd64 || purego

package convex

const assembled256 = false

func dotAVX2(a, b *float64, n int) float64               { panic("no assembly") }
func dot32AVX2(a, b *float32, n int) float32             { panic("no assembly") }
func axpyAVX2(alpha float64, x, y *float64, n int)       { panic("no assembly") }
func rotateAVX2(c, s float64, x, y *float64, n int)      { panic("no assembly") }
func dotsAVX2(dst, rows, v *float64, n, stride, k int)   { panic("no assembly") }
func dots32AVX2(dst, rows, v *float32, n, stride, k int) { panic("no assembly") }
func sumAVX2(v, rows, c *float64, d, k int)              { panic("no assembly") }
func addProductsAVX2(dst, a, b *float64, n int)          { panic("no assembly") }
func wrongSideAVX2(mask, bits *uint64, t *float32, least float32, words int) {
	panic("no assembly")
}
