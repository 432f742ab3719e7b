//go:build !purego

#include "textflag.h"

#define LANES 8
#define SHIFT 2
#define VXORP VXORPS
#define VMOVUP VMOVUPS
#define VFMADDP VFMADD231PS
#define VADDP VADDPS
#define VMOVS VMOVSS
#define VFMADDS VFMADD231SS
#define NEIGHBOURS \
	VHADDPS X0, X0, X0; \
	VHADDPS X0, X0, X0; \
	ADDQ $8, CX
#define SUMS \
	VHADDPS Y1, Y0, Y0; \
	VHADDPS Y3, Y2, Y2; \
	VHADDPS Y2, Y0, Y0; \
	VEXTRACTF128 $1, Y0, X1; \
	VADDPS X1, X0, X0
#define TAIL \
	VBROADCASTSS (DI), X8; \
	VMOVSS (BX), X9; \
	VINSERTPS $0x10, (BX)(R10*1), X9, X9; \
	VINSERTPS $0x20, (BX)(R10*2), X9, X9; \
	VINSERTPS $0x30, (BX)(R11*1), X9, X9; \
	VFMADD231PS X9, X8, X0
#define STORE \
	VMOVUPS X0, (DX)

#include "vector_amd64.h"

// func dot32AVX2(a, b *float32, n int) float32
TEXT ·dot32AVX2(SB), NOSPLIT, $0-28
	DOT

// func dots32AVX2(dst, rows, v *float32, n, stride, k int)
TEXT ·dots32AVX2(SB), NOSPLIT, $0-48
	DOTS

// func wrongSideAVX2(mask, bits *uint64, t *float32, least float32, words int)
TEXT ·wrongSideAVX2(SB), NOSPLIT, $0-40
	MOVQ mask+0(FP), DX
	MOVQ bits+8(FP), DI
	MOVQ t+16(FP), SI
	VBROADCASTSS least+24(FP), Y0
	MOVQ words+32(FP), R9
	VXORPS Y1, Y1, Y1
	VSUBPS Y0, Y1, Y1 // -least
wrongword:
	XORQ R10, R10 // below -least
	XORQ R11, R11 // above least
	MOVQ $8, CX
wrongeight:
	VMOVUPS (SI), Y2
	VCMPPS $0x11, Y1, Y2, Y3
	VCMPPS $0x1e, Y0, Y2, Y4
	VMOVMSKPS Y3, AX
	VMOVMSKPS Y4, BX
	SHRQ $8, R10
	SHRQ $8, R11
	SHLQ $56, AX
	SHLQ $56, BX
	ORQ AX, R10
	ORQ BX, R11
	ADDQ $32, SI
	DECQ CX
	JNZ wrongeight
	MOVQ (DI), AX
	ANDQ AX, R10
	NOTQ AX
	ANDQ AX, R11
	ORQ R11, R10
	MOVQ R10, (DX)
	ADDQ $8, DX
	ADDQ $8, DI
	DECQ R9
	JNZ wrongword
	VZEROUPPER
	RET
