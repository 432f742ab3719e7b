//go:build !amd64 || purego

package convex

const assembled256 = false

func dotAVX2(a, b *float64, n int) float64          { panic("no assembly") }
func axpyAVX2(alpha float64, x, y *float64, n int)  { panic("no assembly") }
func rotateAVX2(c, s float64, x, y *float64, n int) { panic("no assembly") }
