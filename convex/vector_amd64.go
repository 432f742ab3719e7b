//go:build !purego

package convex

import "golang.org/x/sys/cpu"

// assembled256 says that the loops in vector_amd64.s run here.
var assembled256 = cpu.X86.HasAVX2 && cpu.X86.HasFMA

//go:noescape
func dotAVX2(a, b *float64, n int) float64

//go:noescape
func axpyAVX2(alpha float64, x, y *float64, n int)

//go:noescape
func rotateAVX2(c, s float64, x, y *float64, n int)
