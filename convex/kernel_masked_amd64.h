// The lookup kernel of kernel_masked_lookup.go in AVX-512 and AVX2, with the
// same order of summation, for the precision that who includes this names by
// NUMBER (bytes) and the instructions VADDP, VMULP, VADDS, VMOVS, VBROADCASTS and
// NEIGHBOURS (the sum of the numbers in X0). A unit is 64 bytes of columns: one
// Z or two Y registers.

// NIB sets BX to the byte offset of the table row that nibble j of AX picks,
// SH being the logarithm of the bytes of a row.
#define NIB(j, SH) \
	RORXL $31&(32+4*j-SH), AX, BX \
	ANDL  $(15<<SH), BX

// ROWS does OP for the rows that nibbles 1..7 pick.
#define ROWS(OP, SH) \
	NIB(1, SH); OP(1*(16<<SH)); \
	NIB(2, SH); OP(2*(16<<SH)); \
	NIB(3, SH); OP(3*(16<<SH)); \
	NIB(4, SH); OP(4*(16<<SH)); \
	NIB(5, SH); OP(5*(16<<SH)); \
	NIB(6, SH); OP(6*(16<<SH)); \
	NIB(7, SH); OP(7*(16<<SH))

// ADJOINT is the body of a function (out *float64, stride int, tab *float64,
// words *uint32, k int): row p of g gets the eight rows that word p picks.
#define ADJOINT(LOAD, OP, STORE, SH) \
	MOVQ out+0(FP), DI; \
	MOVQ stride+8(FP), R9; \
	MOVQ tab+16(FP), R8; \
	MOVQ words+24(FP), SI; \
	MOVQ k+32(FP), CX; \
loop: \
	MOVL (SI), AX; \
	TESTL AX, AX; \
	JZ next; \
	LOAD; \
	NIB(0, SH); OP(0*(16<<SH)); \
	ROWS(OP, SH); \
	STORE; \
next: \
	ADDQ $4, SI; \
	ADDQ R9, DI; \
	DECQ CX; \
	JNZ loop; \
	VZEROUPPER; \
	RET

// FORWARD is the body of a function (f, x *float64, stride int, tab *float64,
// words *uint32, m int): f_i gets the product of row i of x with the sum of
// the eight rows that word i picks. SUM leaves the product, by lanes, in Y0.
#define FORWARD(FIRST, OP, SUM, SH) \
	MOVQ f+0(FP), DX; \
	MOVQ x+8(FP), DI; \
	MOVQ stride+16(FP), R9; \
	MOVQ tab+24(FP), R8; \
	MOVQ words+32(FP), SI; \
	MOVQ m+40(FP), CX; \
loop: \
	MOVL (SI), AX; \
	TESTL AX, AX; \
	JZ next; \
	NIB(0, SH); FIRST; \
	ROWS(OP, SH); \
	SUM; \
	VEXTRACTF128 $1, Y0, X1; \
	VADDP X1, X0, X0; \
	NEIGHBOURS; \
	VADDS (DX), X0, X0; \
	VMOVS X0, (DX); \
next: \
	ADDQ $4, SI; \
	ADDQ $NUMBER, DX; \
	ADDQ R9, DI; \
	DECQ CX; \
	JNZ loop; \
	VZEROUPPER; \
	RET

// BUILD is the body of a function (tab, x *float64, stride int, r *float64,
// w, row int): it fills the eight tables of 32 rows of x, stride bytes apart,
// times the entries of r. w registers wide, row bytes between table rows.
// Row s of a table is row s&(s-1) plus the row of x of the lowest bit of s.
#define BUILD(R0, R1, R2, R3, R4, R5, R6, ZERO, S0, S1, S2, S3, WIDTH) \
	MOVQ tab+0(FP), DI; \
	MOVQ x+8(FP), SI; \
	MOVQ stride+16(FP), R8; \
	MOVQ r+24(FP), DX; \
	MOVQ row+40(FP), R9; \
	LEAQ (R9)(R9*2), R10; \
	LEAQ (R9)(R9*4), R11; \
	LEAQ (R10)(R9*4), R12; \
	LEAQ (R8)(R8*2), R13; \
	VXORPD ZERO, ZERO, ZERO; \
	MOVQ $8, BX; \
table: \
	VBROADCASTS (DX), S0; \
	VBROADCASTS NUMBER(DX), S1; \
	VBROADCASTS (2*NUMBER)(DX), S2; \
	VBROADCASTS (3*NUMBER)(DX), S3; \
	MOVQ DI, AX; \
	MOVQ SI, R14; \
	MOVQ w+32(FP), R15; \
column: \
	VMULP (R14), S0, R0; \
	VMULP (R14)(R8*1), S1, R1; \
	VMULP (R14)(R8*2), S2, R2; \
	VMULP (R14)(R13*1), S3, R3; \
	LEAQ (AX)(R9*8), CX; \
	VMOVUPD ZERO, (AX); \
	VMOVUPD R0, (AX)(R9*1); \
	VMOVUPD R1, (AX)(R9*2); \
	VADDP R0, R1, R4; \
	VMOVUPD R4, (AX)(R10*1); \
	VMOVUPD R2, (AX)(R9*4); \
	VADDP R0, R2, R4; \
	VMOVUPD R4, (AX)(R11*1); \
	VADDP R1, R2, R5; \
	VMOVUPD R5, (AX)(R10*2); \
	VADDP R0, R5, R4; \
	VMOVUPD R4, (AX)(R12*1); \
	VMOVUPD R3, (CX); \
	VADDP R0, R3, R4; \
	VMOVUPD R4, (CX)(R9*1); \
	VADDP R1, R3, R5; \
	VMOVUPD R5, (CX)(R9*2); \
	VADDP R0, R5, R4; \
	VMOVUPD R4, (CX)(R10*1); \
	VADDP R2, R3, R6; \
	VMOVUPD R6, (CX)(R9*4); \
	VADDP R0, R6, R4; \
	VMOVUPD R4, (CX)(R11*1); \
	VADDP R1, R6, R5; \
	VMOVUPD R5, (CX)(R10*2); \
	VADDP R0, R5, R4; \
	VMOVUPD R4, (CX)(R12*1); \
	ADDQ $WIDTH, AX; \
	ADDQ $WIDTH, R14; \
	DECQ R15; \
	JNZ column; \
	LEAQ (SI)(R8*4), SI; \
	ADDQ $(4*NUMBER), DX; \
	MOVQ R9, R15; \
	SHLQ $4, R15; \
	ADDQ R15, DI; \
	DECQ BX; \
	JNZ table; \
	VZEROUPPER; \
	RET

#define LOADAVX512x1 \
	VMOVUPD 0(DI), Z0
#define STOREAVX512x1 \
	VMOVUPD Z0, 0(DI)
#define FIRSTAVX512x1 \
	VMOVUPD 0(R8)(BX*1), Z0
#define ADDAVX512x1(o) \
	VADDP o+0(R8)(BX*1), Z0, Z0
#define SUMAVX512x1 \
	VMULP 0(DI), Z0, Z0; \
	VEXTRACTF64X4 $1, Z0, Y1; \
	VADDP Y1, Y0, Y0

#define LOADAVX512x2 \
	VMOVUPD 0(DI), Z0; \
	VMOVUPD 64(DI), Z1
#define STOREAVX512x2 \
	VMOVUPD Z0, 0(DI); \
	VMOVUPD Z1, 64(DI)
#define FIRSTAVX512x2 \
	VMOVUPD 0(R8)(BX*1), Z0; \
	VMOVUPD 64(R8)(BX*1), Z1
#define ADDAVX512x2(o) \
	VADDP o+0(R8)(BX*1), Z0, Z0; \
	VADDP o+64(R8)(BX*1), Z1, Z1
#define SUMAVX512x2 \
	VMULP 0(DI), Z0, Z0; \
	VMULP 64(DI), Z1, Z1; \
	VADDP Z1, Z0, Z0; \
	VEXTRACTF64X4 $1, Z0, Y1; \
	VADDP Y1, Y0, Y0

#define LOADAVX512x3 \
	VMOVUPD 0(DI), Z0; \
	VMOVUPD 64(DI), Z1; \
	VMOVUPD 128(DI), Z2
#define STOREAVX512x3 \
	VMOVUPD Z0, 0(DI); \
	VMOVUPD Z1, 64(DI); \
	VMOVUPD Z2, 128(DI)
#define FIRSTAVX512x3 \
	VMOVUPD 0(R8)(BX*1), Z0; \
	VMOVUPD 64(R8)(BX*1), Z1; \
	VMOVUPD 128(R8)(BX*1), Z2
#define ADDAVX512x3(o) \
	VADDP o+0(R8)(BX*1), Z0, Z0; \
	VADDP o+64(R8)(BX*1), Z1, Z1; \
	VADDP o+128(R8)(BX*1), Z2, Z2
#define SUMAVX512x3 \
	VMULP 0(DI), Z0, Z0; \
	VMULP 64(DI), Z1, Z1; \
	VMULP 128(DI), Z2, Z2; \
	VADDP Z1, Z0, Z0; \
	VADDP Z2, Z0, Z0; \
	VEXTRACTF64X4 $1, Z0, Y1; \
	VADDP Y1, Y0, Y0

#define LOADAVX512x4 \
	VMOVUPD 0(DI), Z0; \
	VMOVUPD 64(DI), Z1; \
	VMOVUPD 128(DI), Z2; \
	VMOVUPD 192(DI), Z3
#define STOREAVX512x4 \
	VMOVUPD Z0, 0(DI); \
	VMOVUPD Z1, 64(DI); \
	VMOVUPD Z2, 128(DI); \
	VMOVUPD Z3, 192(DI)
#define FIRSTAVX512x4 \
	VMOVUPD 0(R8)(BX*1), Z0; \
	VMOVUPD 64(R8)(BX*1), Z1; \
	VMOVUPD 128(R8)(BX*1), Z2; \
	VMOVUPD 192(R8)(BX*1), Z3
#define ADDAVX512x4(o) \
	VADDP o+0(R8)(BX*1), Z0, Z0; \
	VADDP o+64(R8)(BX*1), Z1, Z1; \
	VADDP o+128(R8)(BX*1), Z2, Z2; \
	VADDP o+192(R8)(BX*1), Z3, Z3
#define SUMAVX512x4 \
	VMULP 0(DI), Z0, Z0; \
	VMULP 64(DI), Z1, Z1; \
	VMULP 128(DI), Z2, Z2; \
	VMULP 192(DI), Z3, Z3; \
	VADDP Z1, Z0, Z0; \
	VADDP Z2, Z0, Z0; \
	VADDP Z3, Z0, Z0; \
	VEXTRACTF64X4 $1, Z0, Y1; \
	VADDP Y1, Y0, Y0

#define LOADAVX2x1 \
	VMOVUPD 0(DI), Y0; \
	VMOVUPD 32(DI), Y1
#define STOREAVX2x1 \
	VMOVUPD Y0, 0(DI); \
	VMOVUPD Y1, 32(DI)
#define FIRSTAVX2x1 \
	VMOVUPD 0(R8)(BX*1), Y0; \
	VMOVUPD 32(R8)(BX*1), Y1
#define ADDAVX2x1(o) \
	VADDP o+0(R8)(BX*1), Y0, Y0; \
	VADDP o+32(R8)(BX*1), Y1, Y1
#define SUMAVX2x1 \
	VMULP 0(DI), Y0, Y0; \
	VMULP 32(DI), Y1, Y1; \
	VADDP Y1, Y0, Y0

#define LOADAVX2x2 \
	VMOVUPD 0(DI), Y0; \
	VMOVUPD 32(DI), Y1; \
	VMOVUPD 64(DI), Y2; \
	VMOVUPD 96(DI), Y3
#define STOREAVX2x2 \
	VMOVUPD Y0, 0(DI); \
	VMOVUPD Y1, 32(DI); \
	VMOVUPD Y2, 64(DI); \
	VMOVUPD Y3, 96(DI)
#define FIRSTAVX2x2 \
	VMOVUPD 0(R8)(BX*1), Y0; \
	VMOVUPD 32(R8)(BX*1), Y1; \
	VMOVUPD 64(R8)(BX*1), Y2; \
	VMOVUPD 96(R8)(BX*1), Y3
#define ADDAVX2x2(o) \
	VADDP o+0(R8)(BX*1), Y0, Y0; \
	VADDP o+32(R8)(BX*1), Y1, Y1; \
	VADDP o+64(R8)(BX*1), Y2, Y2; \
	VADDP o+96(R8)(BX*1), Y3, Y3
#define SUMAVX2x2 \
	VMULP 0(DI), Y0, Y0; \
	VMULP 32(DI), Y1, Y1; \
	VMULP 64(DI), Y2, Y2; \
	VMULP 96(DI), Y3, Y3; \
	VADDP Y2, Y0, Y0; \
	VADDP Y3, Y1, Y1; \
	VADDP Y1, Y0, Y0

#define LOADAVX2x3 \
	VMOVUPD 0(DI), Y0; \
	VMOVUPD 32(DI), Y1; \
	VMOVUPD 64(DI), Y2; \
	VMOVUPD 96(DI), Y3; \
	VMOVUPD 128(DI), Y4; \
	VMOVUPD 160(DI), Y5
#define STOREAVX2x3 \
	VMOVUPD Y0, 0(DI); \
	VMOVUPD Y1, 32(DI); \
	VMOVUPD Y2, 64(DI); \
	VMOVUPD Y3, 96(DI); \
	VMOVUPD Y4, 128(DI); \
	VMOVUPD Y5, 160(DI)
#define FIRSTAVX2x3 \
	VMOVUPD 0(R8)(BX*1), Y0; \
	VMOVUPD 32(R8)(BX*1), Y1; \
	VMOVUPD 64(R8)(BX*1), Y2; \
	VMOVUPD 96(R8)(BX*1), Y3; \
	VMOVUPD 128(R8)(BX*1), Y4; \
	VMOVUPD 160(R8)(BX*1), Y5
#define ADDAVX2x3(o) \
	VADDP o+0(R8)(BX*1), Y0, Y0; \
	VADDP o+32(R8)(BX*1), Y1, Y1; \
	VADDP o+64(R8)(BX*1), Y2, Y2; \
	VADDP o+96(R8)(BX*1), Y3, Y3; \
	VADDP o+128(R8)(BX*1), Y4, Y4; \
	VADDP o+160(R8)(BX*1), Y5, Y5
#define SUMAVX2x3 \
	VMULP 0(DI), Y0, Y0; \
	VMULP 32(DI), Y1, Y1; \
	VMULP 64(DI), Y2, Y2; \
	VMULP 96(DI), Y3, Y3; \
	VMULP 128(DI), Y4, Y4; \
	VMULP 160(DI), Y5, Y5; \
	VADDP Y2, Y0, Y0; \
	VADDP Y3, Y1, Y1; \
	VADDP Y4, Y0, Y0; \
	VADDP Y5, Y1, Y1; \
	VADDP Y1, Y0, Y0

#define LOADAVX2x4 \
	VMOVUPD 0(DI), Y0; \
	VMOVUPD 32(DI), Y1; \
	VMOVUPD 64(DI), Y2; \
	VMOVUPD 96(DI), Y3; \
	VMOVUPD 128(DI), Y4; \
	VMOVUPD 160(DI), Y5; \
	VMOVUPD 192(DI), Y6; \
	VMOVUPD 224(DI), Y7
#define STOREAVX2x4 \
	VMOVUPD Y0, 0(DI); \
	VMOVUPD Y1, 32(DI); \
	VMOVUPD Y2, 64(DI); \
	VMOVUPD Y3, 96(DI); \
	VMOVUPD Y4, 128(DI); \
	VMOVUPD Y5, 160(DI); \
	VMOVUPD Y6, 192(DI); \
	VMOVUPD Y7, 224(DI)
#define FIRSTAVX2x4 \
	VMOVUPD 0(R8)(BX*1), Y0; \
	VMOVUPD 32(R8)(BX*1), Y1; \
	VMOVUPD 64(R8)(BX*1), Y2; \
	VMOVUPD 96(R8)(BX*1), Y3; \
	VMOVUPD 128(R8)(BX*1), Y4; \
	VMOVUPD 160(R8)(BX*1), Y5; \
	VMOVUPD 192(R8)(BX*1), Y6; \
	VMOVUPD 224(R8)(BX*1), Y7
#define ADDAVX2x4(o) \
	VADDP o+0(R8)(BX*1), Y0, Y0; \
	VADDP o+32(R8)(BX*1), Y1, Y1; \
	VADDP o+64(R8)(BX*1), Y2, Y2; \
	VADDP o+96(R8)(BX*1), Y3, Y3; \
	VADDP o+128(R8)(BX*1), Y4, Y4; \
	VADDP o+160(R8)(BX*1), Y5, Y5; \
	VADDP o+192(R8)(BX*1), Y6, Y6; \
	VADDP o+224(R8)(BX*1), Y7, Y7
#define SUMAVX2x4 \
	VMULP 0(DI), Y0, Y0; \
	VMULP 32(DI), Y1, Y1; \
	VMULP 64(DI), Y2, Y2; \
	VMULP 96(DI), Y3, Y3; \
	VMULP 128(DI), Y4, Y4; \
	VMULP 160(DI), Y5, Y5; \
	VMULP 192(DI), Y6, Y6; \
	VMULP 224(DI), Y7, Y7; \
	VADDP Y2, Y0, Y0; \
	VADDP Y3, Y1, Y1; \
	VADDP Y4, Y0, Y0; \
	VADDP Y5, Y1, Y1; \
	VADDP Y6, Y0, Y0; \
	VADDP Y7, Y1, Y1; \
	VADDP Y1, Y0, Y0
