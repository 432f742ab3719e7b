// Products of vectors, for the precision that who includes this names by LANES (of
// a Y register), SHIFT (the logarithm of the bytes of a number) and the instructions
// VXORP, VMOVUP, VFMADDP, VADDP, VMOVS and VFMADDS. The loops are over two and four Y
// registers at a time.

// DOT is the body of a function (a, b *float64, n int) of a number. NEIGHBOURS leaves
// in X0 the sum of its numbers, and in CX what is left of n.
#define DOT \
	MOVQ a+0(FP), SI; \
	MOVQ b+8(FP), DI; \
	MOVQ n+16(FP), CX; \
	VXORP Y0, Y0, Y0; \
	VXORP Y1, Y1, Y1; \
	VXORP Y2, Y2, Y2; \
	VXORP Y3, Y3, Y3; \
	SUBQ $(4*LANES), CX; \
	JL single; \
loop: \
	VMOVUP (SI), Y4; \
	VMOVUP 32(SI), Y5; \
	VMOVUP 64(SI), Y6; \
	VMOVUP 96(SI), Y7; \
	VFMADDP (DI), Y4, Y0; \
	VFMADDP 32(DI), Y5, Y1; \
	VFMADDP 64(DI), Y6, Y2; \
	VFMADDP 96(DI), Y7, Y3; \
	ADDQ $128, SI; \
	ADDQ $128, DI; \
	SUBQ $(4*LANES), CX; \
	JGE loop; \
single: \
	ADDQ $(3*LANES), CX; \
	JL sum; \
one: \
	VMOVUP (SI), Y4; \
	VFMADDP (DI), Y4, Y0; \
	ADDQ $32, SI; \
	ADDQ $32, DI; \
	SUBQ $LANES, CX; \
	JGE one; \
sum: \
	VADDP Y1, Y0, Y0; \
	VADDP Y3, Y2, Y2; \
	VADDP Y2, Y0, Y0; \
	VEXTRACTF128 $1, Y0, X1; \
	VADDP X1, X0, X0; \
	NEIGHBOURS; \
	JZ end; \
tail: \
	VMOVS (SI), X4; \
	VFMADDS (DI), X4, X0; \
	ADDQ $(1<<SHIFT), SI; \
	ADDQ $(1<<SHIFT), DI; \
	DECQ CX; \
	JNZ tail; \
end: \
	VZEROUPPER; \
	VMOVS X0, ret+24(FP); \
	RET

// DOTS is the body of a function (dst, rows, v *float64, n, stride, k int): k, which
// is a multiple of 4, products of v with rows that begin stride numbers apart. SUMS,
// TAIL and STORE are of four rows: their sums, one more number of each, and all.
#define DOTS \
	MOVQ dst+0(FP), DX; \
	MOVQ rows+8(FP), SI; \
	MOVQ n+24(FP), R8; \
	MOVQ stride+32(FP), R10; \
	MOVQ k+40(FP), R9; \
	SHLQ $SHIFT, R10; \
	LEAQ (R10)(R10*2), R11; \
four: \
	MOVQ v+16(FP), DI; \
	MOVQ R8, CX; \
	VXORP Y0, Y0, Y0; \
	VXORP Y1, Y1, Y1; \
	VXORP Y2, Y2, Y2; \
	VXORP Y3, Y3, Y3; \
	VXORP Y4, Y4, Y4; \
	VXORP Y5, Y5, Y5; \
	VXORP Y6, Y6, Y6; \
	VXORP Y7, Y7, Y7; \
	MOVQ SI, BX; \
	SUBQ $(2*LANES), CX; \
	JL half; \
loop: \
	VMOVUP (DI), Y8; \
	VMOVUP 32(DI), Y9; \
	VFMADDP (BX), Y8, Y0; \
	VFMADDP (BX)(R10*1), Y8, Y1; \
	VFMADDP (BX)(R10*2), Y8, Y2; \
	VFMADDP (BX)(R11*1), Y8, Y3; \
	VFMADDP 32(BX), Y9, Y4; \
	VFMADDP 32(BX)(R10*1), Y9, Y5; \
	VFMADDP 32(BX)(R10*2), Y9, Y6; \
	VFMADDP 32(BX)(R11*1), Y9, Y7; \
	ADDQ $64, BX; \
	ADDQ $64, DI; \
	SUBQ $(2*LANES), CX; \
	JGE loop; \
half: \
	ADDQ $LANES, CX; \
	JL sum; \
	VMOVUP (DI), Y8; \
	VFMADDP (BX), Y8, Y0; \
	VFMADDP (BX)(R10*1), Y8, Y1; \
	VFMADDP (BX)(R10*2), Y8, Y2; \
	VFMADDP (BX)(R11*1), Y8, Y3; \
	ADDQ $32, BX; \
	ADDQ $32, DI; \
	SUBQ $LANES, CX; \
sum: \
	VADDP Y4, Y0, Y0; \
	VADDP Y5, Y1, Y1; \
	VADDP Y6, Y2, Y2; \
	VADDP Y7, Y3, Y3; \
	SUMS; \
	ADDQ $LANES, CX; \
	JZ store; \
tail: \
	TAIL; \
	ADDQ $(1<<SHIFT), BX; \
	ADDQ $(1<<SHIFT), DI; \
	DECQ CX; \
	JNZ tail; \
store: \
	STORE; \
	ADDQ $(4<<SHIFT), DX; \
	LEAQ (SI)(R10*4), SI; \
	SUBQ $4, R9; \
	JG four; \
	VZEROUPPER; \
	RET
