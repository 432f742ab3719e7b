package convex

import (
	"errors"
	"math"
	"runtime"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// conicProblem is what the interior-point method works on: blocks of variables
// that only meet in the rows of one dense link,
//
//	minimise   Σ_b (½ x_b'P_b x_b + c_b'x_b) + ψ(u) + above'p + below'q
//	subject to F x - u - p + q = y,  p, q ≥ 0,
//	           G_b x_b + s_b = h_b,  s_b in K_b for every block b.
//
// The parts u and (p, q) are optional: without both, the link is a set of
// equations, and with one block this is the general conic program.
type conicProblem struct {
	blocks []conicBlock
	c      []float64
	link   blas64.General // F; Rows may be 0
	y      []float64

	smooth       *smoothTerm // ψ; nil: u = 0
	above, below []float64   // nil: p = q = 0

	// embed solves the homogeneous self-dual embedding, which also finds
	// proofs of infeasibility. It is for problems without u, p and q.
	embed bool
}

type conicBlock struct {
	off, n int
	P      blas64.General // Rows 0: none
	G      blas64.General
	h      []float64
	cones  []cone // of consecutive rows of G
	row    int    // first row among all of the problem's
}

// smoothTerm is a sum of convex functions of one variable each.
type smoothTerm struct {
	value func(u []float64) float64
	grad  func(dst, u []float64)
	hess  func(dst, u []float64)
}

// conicKKT factors and solves
//
//	[ P  F'  G'  ] [dx]   [bx]
//	[ F  -D  0   ] [dv] = [bl]
//	[ G  0  -W'W ] [dz]   [bz]
//
// by block elimination: B = P + G'(W'W)⁻¹G has the blocks on its diagonal, and
// what remains is either the link's Schur complement D + F B⁻¹F' or, for more
// links than variables, B + F'D⁻¹F. Iterative refinement is on the system as it
// stands above.
type conicKKT struct {
	p          *conicProblem
	nv, nl, nz int
	d          []float64        // D
	gs         []blas64.General // W⁻ᵀG of each block
	chol       []blas64.General // of B, block by block
	u          blas64.General   // F L'⁻¹, nl×nv
	schur      blas64.General
	primal     blas64.General // factor of B + F'D⁻¹F
	viaPrimal  bool
	augment    float64 // ρ of B + ρF'F
	rx, rl, rz []float64
	cx, cl, cz []float64
	tz, tx     []float64
}

var errKKT = errors.New("the linear system of a step is singular to working precision")

func newConicKKT(p *conicProblem) *conicKKT {
	k := &conicKKT{p: p, nv: len(p.c), nl: p.link.Rows}
	for i := range p.blocks {
		b := &p.blocks[i]
		b.row = k.nz
		k.nz += b.G.Rows
		k.gs = append(k.gs, newGeneral(b.G.Rows, b.n))
	}
	k.d = make([]float64, k.nl)
	k.viaPrimal = k.nl > k.nv && (p.smooth != nil || p.above != nil)
	k.rx, k.rl, k.rz = make([]float64, k.nv), make([]float64, k.nl), make([]float64, k.nz)
	k.cx, k.cl, k.cz = make([]float64, k.nv), make([]float64, k.nl), make([]float64, k.nz)
	k.tx, k.tz = make([]float64, k.nv), make([]float64, k.nz)
	switch {
	case k.viaPrimal:
		k.primal = newGeneral(k.nv, k.nv)
		k.u = newGeneral(k.nv, k.nl)
	default:
		k.u = newGeneral(k.nl, k.nv)
		k.schur = newGeneral(k.nl, k.nl)
		for _, b := range p.blocks {
			k.chol = append(k.chol, newGeneral(b.n, b.n))
		}
	}
	return k
}

// linkOf is the block's columns of F.
func (k *conicKKT) linkOf(a blas64.General, b *conicBlock) blas64.General {
	return blas64.General{Rows: a.Rows, Cols: b.n, Stride: a.Stride, Data: a.Data[b.off:]}
}

// eachCone calls f with every cone of a block and its range of all rows.
func (b *conicBlock) eachCone(f func(c cone, lo, hi int)) {
	r := b.row
	for _, c := range b.cones {
		f(c, r, r+c.dim())
		r += c.dim()
	}
}

// normal adds P + (W⁻ᵀG)'(W⁻ᵀG) to the lower triangle of a zero matrix; unit
// scaling takes W = I.
func (k *conicKKT) normal(i int, dst blas64.General, unit bool) {
	b := &k.p.blocks[i]
	gs := k.gs[i]
	for r := 0; r < b.P.Rows; r++ {
		copy(rowOf(dst, r)[:r+1], rowOf(b.P, r)[:r+1])
	}
	if b.G.Rows == 0 {
		return
	}
	k.scaleG(i, unit)
	blas64.Syrk(blas.Trans, 1, gs, 1, blas64.Symmetric{Uplo: blas.Lower, N: b.n, Stride: dst.Stride, Data: dst.Data})
}

// scaleG computes W⁻ᵀG of a block.
func (k *conicKKT) scaleG(i int, unit bool) {
	b := &k.p.blocks[i]
	gs := k.gs[i]
	if unit {
		for r := 0; r < gs.Rows; r++ {
			copy(rowOf(gs, r), rowOf(b.G, r))
		}
	} else {
		b.eachCone(func(c cone, lo, hi int) {
			lo, hi = lo-b.row, hi-b.row
			part := func(a blas64.General) blas64.General {
				return blas64.General{Rows: hi - lo, Cols: a.Cols, Stride: a.Stride, Data: a.Data[lo*a.Stride:]}
			}
			c.scaleRows(part(gs), part(b.G))
		})
	}
}

// viaQR writes the factor L of a block's G'(W'W)⁻¹G = LL' from the QR
// decomposition of W⁻ᵀG, which keeps the digits that forming the product loses,
// when the block has no quadratic part and enough rows for it.
func (k *conicKKT) viaQR(i int, L blas64.General, unit bool) bool {
	b := &k.p.blocks[i]
	if k.p.embed || b.P.Rows > 0 || b.G.Rows < b.n {
		return false
	}
	k.scaleG(i, unit)
	a := newGeneral(b.G.Rows, b.n)
	copy(a.Data, k.gs[i].Data)
	if !finite(a.Data) {
		return false
	}
	tau := make([]float64, b.n)
	work := make([]float64, 1)
	lapack64.Geqrf(a, tau, work, -1)
	work = make([]float64, max(1, int(work[0])))
	lapack64.Geqrf(a, tau, work, len(work))
	for r := 0; r < b.n; r++ {
		size := 0.0
		for c := 0; c <= r; c++ {
			v := a.Data[c*a.Stride+r]
			L.Data[r*L.Stride+c] = v
			size = math.Max(size, math.Abs(v))
		}
		if !(math.Abs(L.Data[r*L.Stride+r]) > 1e-14*size) {
			clear(L.Data)
			return false
		}
	}
	return true
}

// reduceLink sets the block's columns of F L'⁻¹.
func (k *conicKKT) reduceLink(F, L blas64.General, b *conicBlock) {
	if k.nl == 0 {
		return
	}
	U := k.linkOf(k.u, b)
	for r := 0; r < k.nl; r++ {
		copy(rowOf(U, r), rowOf(F, r))
	}
	blas64.Trsm(blas.Right, blas.Trans, 1, blas64.Triangular{Uplo: blas.Lower, Diag: blas.NonUnit, N: b.n, Stride: L.Stride, Data: L.Data}, U)
}

// robustChol factors a positive semidefinite matrix whose lower triangle is
// given, adding more and more to its diagonal until it is definite.
func robustChol(c blas64.General, reg float64) bool {
	n := c.Rows
	big := 0.0
	diag := make([]float64, n)
	for i := range diag {
		diag[i] = c.Data[i*c.Stride+i]
		if math.IsNaN(diag[i]) || math.IsInf(diag[i], 0) {
			return false
		}
		big = math.Max(big, diag[i])
	}
	if big == 0 {
		big = 1
	}
	keep := make([]float64, 0, n*(n+1)/2)
	for i := 0; i < n; i++ {
		keep = append(keep, c.Data[i*c.Stride:i*c.Stride+i+1]...)
	}
	for range 8 {
		for i, v := range diag {
			c.Data[i*c.Stride+i] = v + reg*math.Max(v, 1e-8*big)
		}
		if cholLower(c) {
			return true
		}
		at := 0
		for i := 0; i < n; i++ {
			copy(c.Data[i*c.Stride:i*c.Stride+i+1], keep[at:at+i+1])
			at += i + 1
		}
		reg = math.Max(reg, 1e-15) * 30
	}
	return false
}

// factor computes the factors for the cones' scaling, or for W = I.
func (k *conicKKT) factor(unit bool) error {
	p := k.p
	if k.viaPrimal {
		return k.factorPrimal(unit)
	}
	rigid := p.smooth == nil && p.above == nil && k.nl > 0
	bad := make([]bool, len(p.blocks))
	work := func(i int) {
		b := &p.blocks[i]
		B := k.chol[i]
		clear(B.Data)
		F := k.linkOf(p.link, b)
		if k.viaQR(i, B, unit) {
			k.reduceLink(F, B, b)
			return
		}
		k.normal(i, B, unit)
		if rigid && len(p.blocks) == 1 {
			// The equations can only be met exactly, so B + ρF'F is as good,
			// and not singular where B is.
			tr, tf := 0.0, 0.0
			for j := 0; j < b.n; j++ {
				tr += B.Data[j*B.Stride+j]
			}
			for r := 0; r < F.Rows; r++ {
				tf += dot(rowOf(F, r), rowOf(F, r))
			}
			k.augment = 1
			if tr > 0 && tf > 0 {
				k.augment = tr / tf
			}
			blas64.Syrk(blas.Trans, k.augment, F, 1, blas64.Symmetric{Uplo: blas.Lower, N: b.n, Stride: B.Stride, Data: B.Data})
		}
		free := b.G.Rows == 0 && b.P.Rows == 0 && k.augment == 0
		if free {
			// Nothing but the link holds these: a small multiple of the
			// link's own curvature, which refinement takes out again.
			for j := 0; j < b.n; j++ {
				t := 0.0
				for r := 0; r < F.Rows; r++ {
					t += F.Data[r*F.Stride+j] * F.Data[r*F.Stride+j]
				}
				B.Data[j*B.Stride+j] = 1e-7*t + 1e-300
			}
		}
		bad[i] = !robustChol(B, 1e-15)
		if !bad[i] {
			k.reduceLink(F, B, b)
		}
	}
	if len(p.blocks) == 1 {
		work(0)
	} else {
		// Tasks of many small blocks each.
		grain := max(1, len(p.blocks)/(8*runtime.GOMAXPROCS(0)))
		tasks((len(p.blocks)+grain-1)/grain, func(t int) {
			for i := t * grain; i < min((t+1)*grain, len(p.blocks)); i++ {
				work(i)
			}
		})
	}
	for _, b := range bad {
		if b {
			return errKKT
		}
	}
	if k.nl == 0 {
		return nil
	}
	syrkLower(1, k.u, 0, k.schur)
	for i, d := range k.d {
		k.schur.Data[i*k.schur.Stride+i] += d
	}
	if !robustChol(k.schur, 1e-15) {
		return errKKT
	}
	return nil
}

func (k *conicKKT) factorPrimal(unit bool) error {
	p, M := k.p, k.primal
	clear(M.Data)
	for i := range p.blocks {
		b := &p.blocks[i]
		k.normal(i, blas64.General{Rows: b.n, Cols: b.n, Stride: M.Stride, Data: M.Data[b.off*M.Stride+b.off:]}, unit)
	}
	for r := 0; r < k.nl; r++ {
		f, w := rowOf(p.link, r), 1/math.Sqrt(math.Max(k.d[r], 1e-300))
		for j, v := range f {
			k.u.Data[j*k.u.Stride+r] = w * v
		}
	}
	syrkLower(1, k.u, 1, M)
	if !robustChol(M, 1e-15) {
		return errKKT
	}
	return nil
}

// scaleZ applies the scalings of all cones to a vector of all rows.
func (p *conicProblem) scaleZ(op scalingOp, dst, x []float64) {
	for i := range p.blocks {
		p.blocks[i].eachCone(func(c cone, lo, hi int) { c.scaling(op, dst[lo:hi], x[lo:hi]) })
	}
}

// mulG sets dst = Gx, mulGT dst = G'z, mulP dst = Px.
func (p *conicProblem) mulG(dst, x []float64) {
	for i := range p.blocks {
		if b := &p.blocks[i]; b.G.Rows > 0 {
			blas64.Gemv(blas.NoTrans, 1, b.G, vec(x[b.off:b.off+b.n]), 0, vec(dst[b.row:b.row+b.G.Rows]))
		}
	}
}

func (p *conicProblem) mulGT(dst, z []float64) {
	clear(dst)
	for i := range p.blocks {
		if b := &p.blocks[i]; b.G.Rows > 0 {
			blas64.Gemv(blas.Trans, 1, b.G, vec(z[b.row:b.row+b.G.Rows]), 0, vec(dst[b.off:b.off+b.n]))
		}
	}
}

func (p *conicProblem) mulP(dst, x []float64) {
	clear(dst)
	for i := range p.blocks {
		if b := &p.blocks[i]; b.P.Rows > 0 {
			blas64.Gemv(blas.NoTrans, 1, b.P, vec(x[b.off:b.off+b.n]), 0, vec(dst[b.off:b.off+b.n]))
		}
	}
}

// mulF sets dst = Fx; addFT adds F'v to dst.
func (p *conicProblem) mulF(dst, x []float64) {
	if p.link.Rows > 0 {
		blas64.Gemv(blas.NoTrans, 1, p.link, vec(x), 0, vec(dst))
	}
}

func (p *conicProblem) addFT(dst, v []float64) {
	if p.link.Rows > 0 {
		blas64.Gemv(blas.Trans, 1, p.link, vec(v), 1, vec(dst))
	}
}

func vec(x []float64) blas64.Vector { return blas64.Vector{N: len(x), Inc: 1, Data: x} }

// solve overwrites dx, dv and dz with the solution; W = I when unit.
func (k *conicKKT) solve(dx, dv, dz, bx, bl, bz []float64, unit bool) {
	k.direct(dx, dv, dz, bx, bl, bz, unit)
	last := math.Inf(1)
	for range 4 {
		e := k.residual(dx, dv, dz, bx, bl, bz, unit)
		// Corrections of a system this ill-conditioned may also do harm: go on
		// only while each gains a factor.
		if e == 0 || !(e < last/2) {
			if e > last { // the last correction did harm: take it back
				axpy(-1, k.cx, dx)
				axpy(-1, k.cl, dv)
				axpy(-1, k.cz, dz)
			}
			return
		}
		last = e
		k.direct(k.cx, k.cl, k.cz, k.rx, k.rl, k.rz, unit)
		axpy(1, k.cx, dx)
		axpy(1, k.cl, dv)
		axpy(1, k.cz, dz)
	}
}

// residual leaves the residuals in rx, rl and rz and returns their size
// relative to the right hand side.
func (k *conicKKT) residual(dx, dv, dz, bx, bl, bz []float64, unit bool) float64 {
	p := k.p
	p.mulP(k.rx, dx)
	p.addFT(k.rx, dv)
	p.mulGT(k.tx, dz)
	for i := range k.rx {
		k.rx[i] = bx[i] - k.rx[i] - k.tx[i]
	}
	p.mulF(k.rl, dx)
	for i := range k.rl {
		k.rl[i] = bl[i] - k.rl[i] + k.d[i]*dv[i]
	}
	p.mulG(k.rz, dx)
	if unit {
		copy(k.tz, dz)
	} else {
		p.scaleZ(opW, k.tz, dz)
		p.scaleZ(opWT, k.tz, k.tz)
	}
	for i := range k.rz {
		k.rz[i] = bz[i] - k.rz[i] + k.tz[i]
	}
	size := norm2(bx) + norm2(bl) + norm2(bz)
	return (norm2(k.rx) + norm2(k.rl) + norm2(k.rz)) / math.Max(size, 1e-300)
}

func (k *conicKKT) direct(dx, dv, dz, bx, bl, bz []float64, unit bool) {
	p := k.p
	t := make([]float64, k.nz)
	if unit {
		copy(t, bz)
	} else {
		p.scaleZ(opWInvT, t, bz)
	}
	rhs := make([]float64, k.nv)
	copy(rhs, bx)
	for i := range p.blocks {
		if b := &p.blocks[i]; b.G.Rows > 0 {
			blas64.Gemv(blas.Trans, 1, k.gs[i], vec(t[b.row:b.row+b.G.Rows]), 1, vec(rhs[b.off:b.off+b.n]))
		}
	}
	if k.viaPrimal {
		w := make([]float64, k.nl)
		for i, v := range bl {
			w[i] = v / math.Max(k.d[i], 1e-300)
		}
		p.addFT(rhs, w)
		cholSolve(k.primal, rhs)
		copy(dx, rhs)
		p.mulF(dv, dx)
		for i, v := range bl {
			dv[i] = (dv[i] - v) / math.Max(k.d[i], 1e-300)
		}
	} else {
		if k.augment > 0 {
			w := append([]float64(nil), bl...)
			scale(k.augment, w)
			p.addFT(rhs, w)
		}
		k.triangular(blas.NoTrans, rhs)
		if k.nl > 0 {
			copy(dv, bl)
			blas64.Gemv(blas.NoTrans, 1, k.u, vec(rhs), -1, vec(dv))
			cholSolve(k.schur, dv)
			blas64.Gemv(blas.Trans, -1, k.u, vec(dv), 1, vec(rhs))
		}
		k.triangular(blas.Trans, rhs)
		copy(dx, rhs)
	}
	for i := range p.blocks {
		if b := &p.blocks[i]; b.G.Rows > 0 {
			blas64.Gemv(blas.NoTrans, 1, k.gs[i], vec(dx[b.off:b.off+b.n]), -1, vec(t[b.row:b.row+b.G.Rows]))
		}
	}
	if unit {
		copy(dz, t)
	} else {
		p.scaleZ(opWInv, dz, t)
	}
}

func (k *conicKKT) triangular(trans blas.Transpose, x []float64) {
	for i, L := range k.chol {
		b := &k.p.blocks[i]
		blas64.Trsv(trans, blas64.Triangular{Uplo: blas.Lower, Diag: blas.NonUnit, N: b.n, Stride: L.Stride, Data: L.Data}, vec(x[b.off:b.off+b.n]))
	}
}
