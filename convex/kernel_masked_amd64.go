//go:build !purego

package convex

import "golang.org/x/sys/cpu"

func init() {
	avx2 := cpu.X86.HasAVX2 && cpu.X86.HasBMI2
	if avx2 {
		lookups = append(lookups, lookupKernel[float64]{
			name:    "avx2",
			build:   assembled(buildAVX2, 2),
			adjoint: adjoints(adjointAVX2x1, adjointAVX2x2, adjointAVX2x3, adjointAVX2x4),
			forward: forwards(forwardAVX2x1, forwardAVX2x2, forwardAVX2x3, forwardAVX2x4),
		})
		lookups32 = append(lookups32, lookupKernel[float32]{
			name:    "avx2",
			build:   assembled(build32AVX2, 2),
			adjoint: adjoints(adjoint32AVX2x1, adjoint32AVX2x2, adjoint32AVX2x3, adjoint32AVX2x4),
			forward: forwards(forward32AVX2x1, forward32AVX2x2, forward32AVX2x3, forward32AVX2x4),
		})
	}
	if avx2 && cpu.X86.HasAVX512F {
		lookups = append(lookups, lookupKernel[float64]{
			name:    "avx512",
			build:   assembled(buildAVX512, 1),
			adjoint: adjoints(adjointAVX512x1, adjointAVX512x2, adjointAVX512x3, adjointAVX512x4),
			forward: forwards(forwardAVX512x1, forwardAVX512x2, forwardAVX512x3, forwardAVX512x4),
		})
		lookups32 = append(lookups32, lookupKernel[float32]{
			name:    "avx512",
			build:   assembled(build32AVX512, 1),
			adjoint: adjoints(adjoint32AVX512x1, adjoint32AVX512x2, adjoint32AVX512x3, adjoint32AVX512x4),
			forward: forwards(forward32AVX512x1, forward32AVX512x2, forward32AVX512x3, forward32AVX512x4),
		})
	}
}

// assembled is build for assembly whose registers come several to a unit.
func assembled[T precision](f func(tab, x *T, stride int, r *T, w, row int), registers int) func([]T, []T, int, []T, int) {
	size := 64 / lanes[T]()
	return func(tab, x []T, stride int, r []T, units int) {
		_, _, _ = tab[8*16*tableStride[T](units)-1], x[31*stride+lanes[T]()*units-1], r[31]
		f(&tab[0], &x[0], size*stride, &r[0], units*registers, size*tableStride[T](units))
	}
}

type (
	adjointFunc[T precision] = func(out *T, stride int, tab *T, words *uint32, k int)
	forwardFunc[T precision] = func(f, x *T, stride int, tab *T, words *uint32, m int)
)

func adjoints[T precision](fs ...adjointFunc[T]) func([]T, int, []T, int, []uint32) {
	return func(g []T, stride int, tab []T, units int, words []uint32) {
		if k := len(words); k > 0 {
			_, _ = g[(k-1)*stride+lanes[T]()*units-1], tab[8*16*tableStride[T](units)-1]
			fs[units-1](&g[0], 64/lanes[T]()*stride, &tab[0], &words[0], k)
		}
	}
}

func forwards[T precision](fs ...forwardFunc[T]) func([]T, []T, int, []T, int, []uint32) {
	return func(f, x []T, stride int, tab []T, units int, words []uint32) {
		if m := len(words); m > 0 {
			_, _, _ = f[m-1], x[(m-1)*stride+lanes[T]()*units-1], tab[8*16*tableStride[T](units)-1]
			fs[units-1](&f[0], &x[0], 64/lanes[T]()*stride, &tab[0], &words[0], m)
		}
	}
}

//go:noescape
func buildAVX512(tab, x *float64, stride int, r *float64, w, row int)

//go:noescape
func buildAVX2(tab, x *float64, stride int, r *float64, w, row int)

//go:noescape
func adjointAVX512x1(out *float64, stride int, tab *float64, words *uint32, k int)

//go:noescape
func forwardAVX512x1(f, x *float64, stride int, tab *float64, words *uint32, m int)

//go:noescape
func adjointAVX512x2(out *float64, stride int, tab *float64, words *uint32, k int)

//go:noescape
func forwardAVX512x2(f, x *float64, stride int, tab *float64, words *uint32, m int)

//go:noescape
func adjointAVX512x3(out *float64, stride int, tab *float64, words *uint32, k int)

//go:noescape
func forwardAVX512x3(f, x *float64, stride int, tab *float64, words *uint32, m int)

//go:noescape
func adjointAVX512x4(out *float64, stride int, tab *float64, words *uint32, k int)

//go:noescape
func forwardAVX512x4(f, x *float64, stride int, tab *float64, words *uint32, m int)

//go:noescape
func adjointAVX2x1(out *float64, stride int, tab *float64, words *uint32, k int)

//go:noescape
func forwardAVX2x1(f, x *float64, stride int, tab *float64, words *uint32, m int)

//go:noescape
func adjointAVX2x2(out *float64, stride int, tab *float64, words *uint32, k int)

//go:noescape
func forwardAVX2x2(f, x *float64, stride int, tab *float64, words *uint32, m int)

//go:noescape
func adjointAVX2x3(out *float64, stride int, tab *float64, words *uint32, k int)

//go:noescape
func forwardAVX2x3(f, x *float64, stride int, tab *float64, words *uint32, m int)

//go:noescape
func adjointAVX2x4(out *float64, stride int, tab *float64, words *uint32, k int)

//go:noescape
func forwardAVX2x4(f, x *float64, stride int, tab *float64, words *uint32, m int)

//go:noescape
func build32AVX512(tab, x *float32, stride int, r *float32, w, row int)

//go:noescape
func build32AVX2(tab, x *float32, stride int, r *float32, w, row int)

//go:noescape
func adjoint32AVX512x1(out *float32, stride int, tab *float32, words *uint32, k int)

//go:noescape
func forward32AVX512x1(f, x *float32, stride int, tab *float32, words *uint32, m int)

//go:noescape
func adjoint32AVX512x2(out *float32, stride int, tab *float32, words *uint32, k int)

//go:noescape
func forward32AVX512x2(f, x *float32, stride int, tab *float32, words *uint32, m int)

//go:noescape
func adjoint32AVX512x3(out *float32, stride int, tab *float32, words *uint32, k int)

//go:noescape
func forward32AVX512x3(f, x *float32, stride int, tab *float32, words *uint32, m int)

//go:noescape
func adjoint32AVX512x4(out *float32, stride int, tab *float32, words *uint32, k int)

//go:noescape
func forward32AVX512x4(f, x *float32, stride int, tab *float32, words *uint32, m int)

//go:noescape
func adjoint32AVX2x1(out *float32, stride int, tab *float32, words *uint32, k int)

//go:noescape
func forward32AVX2x1(f, x *float32, stride int, tab *float32, words *uint32, m int)

//go:noescape
func adjoint32AVX2x2(out *float32, stride int, tab *float32, words *uint32, k int)

//go:noescape
func forward32AVX2x2(f, x *float32, stride int, tab *float32, words *uint32, m int)

//go:noescape
func adjoint32AVX2x3(out *float32, stride int, tab *float32, words *uint32, k int)

//go:noescape
func forward32AVX2x3(f, x *float32, stride int, tab *float32, words *uint32, m int)

//go:noescape
func adjoint32AVX2x4(out *float32, stride int, tab *float32, words *uint32, k int)

//go:noescape
func forward32AVX2x4(f, x *float32, stride int, tab *float32, words *uint32, m int)
