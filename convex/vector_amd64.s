//go:build !purego

#include "textflag.h"

#define LANES 4
#define SHIFT 3
#define VXORP VXORPD
#define VMOVUP VMOVUPD
#define VFMADDP VFMADD231PD
#define VADDP VADDPD
#define VMOVS VMOVSD
#define VFMADDS VFMADD231SD
#define NEIGHBOURS \
	VHADDPD X0, X0, X0; \
	ADDQ $4, CX
#define SUMS \
	VHADDPD Y1, Y0, Y0; \
	VHADDPD Y3, Y2, Y2; \
	VEXTRACTF128 $1, Y0, X1; \
	VEXTRACTF128 $1, Y2, X3; \
	VADDPD X1, X0, X0; \
	VADDPD X3, X2, X2
#define TAIL \
	VMOVDDUP (DI), X8; \
	VMOVSD (BX), X9; \
	VMOVHPD (BX)(R10*1), X9, X9; \
	VFMADD231PD X9, X8, X0; \
	VMOVSD (BX)(R10*2), X10; \
	VMOVHPD (BX)(R11*1), X10, X10; \
	VFMADD231PD X10, X8, X2
#define STORE \
	VMOVUPD X0, (DX); \
	VMOVUPD X2, 16(DX)

#include "vector_amd64.h"

// func dotAVX2(a, b *float64, n int) float64
TEXT ·dotAVX2(SB), NOSPLIT, $0-32
	DOT

// func dotsAVX2(dst, rows, v *float64, n, stride, k int)
TEXT ·dotsAVX2(SB), NOSPLIT, $0-48
	DOTS

// func axpyAVX2(alpha float64, x, y *float64, n int)
TEXT ·axpyAVX2(SB), NOSPLIT, $0-32
	VBROADCASTSD alpha+0(FP), Y0
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DI
	MOVQ n+24(FP), CX
	SUBQ $8, CX
	JL axpyfour
axpyloop:
	VMOVUPD (DI), Y1
	VMOVUPD 32(DI), Y2
	VFMADD231PD (SI), Y0, Y1
	VFMADD231PD 32(SI), Y0, Y2
	VMOVUPD Y1, (DI)
	VMOVUPD Y2, 32(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $8, CX
	JGE axpyloop
axpyfour:
	ADDQ $4, CX
	JL axpytail
	VMOVUPD (DI), Y1
	VFMADD231PD (SI), Y0, Y1
	VMOVUPD Y1, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $4, CX
axpytail:
	ADDQ $4, CX
	JZ axpyend
axpyone:
	VMOVSD (DI), X1
	VFMADD231SD (SI), X0, X1
	VMOVSD X1, (DI)
	ADDQ $8, SI
	ADDQ $8, DI
	DECQ CX
	JNZ axpyone
axpyend:
	VZEROUPPER
	RET

// func rotateAVX2(c, s float64, x, y *float64, n int)
TEXT ·rotateAVX2(SB), NOSPLIT, $0-40
	VBROADCASTSD c+0(FP), Y0
	VBROADCASTSD s+8(FP), Y1
	MOVQ x+16(FP), SI
	MOVQ y+24(FP), DI
	MOVQ n+32(FP), CX
	SUBQ $4, CX
	JL rottail
rotloop:
	VMOVUPD (SI), Y2
	VMOVUPD (DI), Y3
	VMULPD Y0, Y2, Y4
	VMULPD Y0, Y3, Y5
	VFMADD231PD Y1, Y3, Y4
	VFNMADD231PD Y1, Y2, Y5
	VMOVUPD Y4, (SI)
	VMOVUPD Y5, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $4, CX
	JGE rotloop
rottail:
	ADDQ $4, CX
	JZ rotend
rotone:
	VMOVSD (SI), X2
	VMOVSD (DI), X3
	VMULSD X0, X2, X4
	VMULSD X0, X3, X5
	VFMADD231SD X1, X3, X4
	VFNMADD231SD X1, X2, X5
	VMOVSD X4, (SI)
	VMOVSD X5, (DI)
	ADDQ $8, SI
	ADDQ $8, DI
	DECQ CX
	JNZ rotone
rotend:
	VZEROUPPER
	RET

// func sumAVX2(v, rows, c *float64, d, k int): k is a multiple of 4
TEXT ·sumAVX2(SB), NOSPLIT, $0-40
	MOVQ rows+8(FP), SI
	MOVQ c+16(FP), DX
	MOVQ d+24(FP), R8
	MOVQ k+32(FP), R9
	LEAQ (R8*8), R10
	LEAQ (R10)(R10*2), R11
sumfour:
	MOVQ v+0(FP), DI
	MOVQ R8, CX
	MOVQ SI, BX
	VBROADCASTSD (DX), Y0
	VBROADCASTSD 8(DX), Y1
	VBROADCASTSD 16(DX), Y2
	VBROADCASTSD 24(DX), Y3
	SUBQ $8, CX
	JL sumhalf
sumloop:
	VMOVUPD (DI), Y4
	VMOVUPD 32(DI), Y5
	VFMADD231PD (BX), Y0, Y4
	VFMADD231PD 32(BX), Y0, Y5
	VFMADD231PD (BX)(R10*1), Y1, Y4
	VFMADD231PD 32(BX)(R10*1), Y1, Y5
	VFMADD231PD (BX)(R10*2), Y2, Y4
	VFMADD231PD 32(BX)(R10*2), Y2, Y5
	VFMADD231PD (BX)(R11*1), Y3, Y4
	VFMADD231PD 32(BX)(R11*1), Y3, Y5
	VMOVUPD Y4, (DI)
	VMOVUPD Y5, 32(DI)
	ADDQ $64, BX
	ADDQ $64, DI
	SUBQ $8, CX
	JGE sumloop
sumhalf:
	ADDQ $8, CX
	JZ sumnext
sumone:
	VMOVSD (DI), X4
	VFMADD231SD (BX), X0, X4
	VFMADD231SD (BX)(R10*1), X1, X4
	VFMADD231SD (BX)(R10*2), X2, X4
	VFMADD231SD (BX)(R11*1), X3, X4
	VMOVSD X4, (DI)
	ADDQ $8, BX
	ADDQ $8, DI
	DECQ CX
	JNZ sumone
sumnext:
	ADDQ $32, DX
	LEAQ (SI)(R10*4), SI
	SUBQ $4, R9
	JG sumfour
	VZEROUPPER
	RET

// func addProductsAVX2(dst, a, b *float64, n int)
TEXT ·addProductsAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DX
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DI
	MOVQ n+24(FP), CX
	SUBQ $8, CX
	JL productstail
productsloop:
	VMOVUPD (SI), Y0
	VMOVUPD 32(SI), Y1
	VMOVUPD (DX), Y2
	VMOVUPD 32(DX), Y3
	VFMADD231PD (DI), Y0, Y2
	VFMADD231PD 32(DI), Y1, Y3
	VMOVUPD Y2, (DX)
	VMOVUPD Y3, 32(DX)
	ADDQ $64, SI
	ADDQ $64, DI
	ADDQ $64, DX
	SUBQ $8, CX
	JGE productsloop
productstail:
	ADDQ $8, CX
	JZ productsend
productsone:
	VMOVSD (SI), X0
	VMOVSD (DX), X2
	VFMADD231SD (DI), X0, X2
	VMOVSD X2, (DX)
	ADDQ $8, SI
	ADDQ $8, DI
	ADDQ $8, DX
	DECQ CX
	JNZ productsone
productsend:
	VZEROUPPER
	RET
