package convex

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// SDP is the semidefinite form of a program whose penalty is the nuclear norm,
// such as those of two-layer linear convolutional networks, of deep linear
// networks and of gated networks with several outputs: by
//
//	‖Z‖_* = min ½ (tr W1 + tr W2)  subject to  [W1 Z; Z' W2] ⪰ 0
//
// (Fazel, Hindi & Boyd 2001), with one semidefinite cone of order Rows+Cols a
// block; or is Moments, as for polynomial activations, with one cone of order
// d+1 a block. The loss is a quadratic objective or slack variables. See Conic
// for the order of the variables and what it needs of the loss.
func (prog *Program) SDP() (Conic, error) {
	if err := prog.Validate(); err != nil {
		return Conic{}, err
	}
	if n := prog.Penalty.norm(); n != "nuclear" && n != "moments" {
		return Conic{}, fmt.Errorf("convex: program %q: penalty %q is neither a multiple of the nuclear norm nor Moments (its Norm is %q), so its conic form is no semidefinite program; Program.Conic gives the one it has", prog.Name, prog.Penalty.Name, n)
	}
	return prog.conic(true)
}

// Conic is the conic form of a program, to be solved by SolveConic or written
// out for another solver. Its first Op.Cols variables are the program's own, in
// their order; auxiliary ones follow. It needs a loss that is quadratic or has
// Kinks, and a penalty whose Norm is known.
func (prog *Program) Conic() (Conic, error) {
	if err := prog.Validate(); err != nil {
		return Conic{}, err
	}
	return prog.conic(false)
}

// conic makes the conic form; matrices writes the nuclear norms of vectors
// as matrices too.
func (prog *Program) conic(matrices bool) (Conic, error) {
	fail := func(err error) (Conic, error) {
		return Conic{}, fmt.Errorf("convex: program %q has no conic form: %w", prog.Name, err)
	}
	if err := (Interior{}).Uses(prog); err != nil {
		return fail(err)
	}
	p, err := prog.conicForm(matrices)
	if err != nil {
		return fail(err)
	}
	nf, nx := prog.Op.Rows, prog.Op.Cols
	q := Conic{Name: prog.Name}
	// The columns: the program's variables, the blocks' others, u, p, q.
	next := nx
	cols := make([]int, len(p.c))
	for i, blk := range prog.Blocks {
		b := p.blocks[i]
		for j := 0; j < b.n; j++ {
			if j < blk.Len() {
				cols[b.off+j] = blk.Offset + j
				continue
			}
			cols[b.off+j] = next
			next++
		}
	}
	u, pq := -1, -1
	var h, target []float64
	if p.smooth != nil {
		if p.above != nil {
			h, target = constant(nf, 1), p.y
		} else {
			var ok bool
			if h, target, ok = prog.Loss.quadratic(nf); !ok {
				return fail(fmt.Errorf("loss %q is not quadratic and has no Kinks", prog.Loss.Name))
			}
			q.Constant = prog.Loss.Value(target)
		}
		u, next = next, next+nf
	} else {
		target = p.y
	}
	if p.above != nil {
		pq, next = next, next+2*nf
	}
	rows := 0
	for _, b := range p.blocks {
		rows += b.G.Rows
	}
	if pq >= 0 {
		rows += 2 * nf
	}
	if need := 8 * float64(next) * float64(nf+rows+next); need > conicMemory {
		return fail(fmt.Errorf("%d variables and %d rows would need about %.0f MiB as dense matrices", next, rows+nf, mebibytes(need)))
	}
	q.C = make([]float64, next)
	for j, c := range p.c {
		q.C[cols[j]] = c
	}
	P := mat.NewDense(next, next, nil)
	quadratic := false
	for i := range p.blocks {
		b := &p.blocks[i]
		for r := 0; r < b.P.Rows; r++ {
			for j, v := range rowOf(b.P, r) {
				P.Set(cols[b.off+r], cols[b.off+j], v)
				quadratic = quadratic || v != 0
			}
		}
	}
	for i, v := range h {
		P.Set(u+i, u+i, v)
		quadratic = true
	}
	if quadratic {
		q.P = P
	}
	A := mat.NewDense(nf, next, nil)
	q.A, q.B = A, append([]float64(nil), target...)
	for r := 0; r < nf; r++ {
		row := A.RawRowView(r)
		for j, v := range rowOf(p.link, r) {
			row[cols[j]] = v
		}
		if u >= 0 {
			row[u+r] = -1
		}
		if pq >= 0 {
			row[pq+r], row[pq+nf+r] = -1, 1
			q.C[pq+r], q.C[pq+nf+r] = p.above[r], p.below[r]
		}
	}
	if rows == 0 {
		return q, nil
	}
	G := mat.NewDense(rows, next, nil)
	q.G, q.H = G, make([]float64, rows)
	at := 0
	take := func(kind func(c cone) bool) {
		for i := range p.blocks {
			b := &p.blocks[i]
			b.row = 0
			b.eachCone(func(c cone, lo, hi int) {
				if !kind(c) {
					return
				}
				for r := lo; r < hi; r++ {
					for j, v := range rowOf(b.G, r) {
						G.Set(at, cols[b.off+j], v)
					}
					at++
				}
				switch c := c.(type) {
				case *orthant:
					q.NonNegative += c.dim()
				case *secondOrder:
					q.SecondOrder = append(q.SecondOrder, c.dim())
				case *semidefinite:
					q.Semidefinite = append(q.Semidefinite, c.n)
				}
			})
		}
	}
	take(func(c cone) bool { _, ok := c.(*orthant); return ok })
	if pq >= 0 {
		for i := 0; i < 2*nf; i++ {
			G.Set(at, pq+i, -1)
			at++
		}
		q.NonNegative += 2 * nf
	}
	take(func(c cone) bool { _, ok := c.(*secondOrder); return ok })
	take(func(c cone) bool { _, ok := c.(*semidefinite); return ok })
	return q, nil
}

// quadratic finds h and y with f(x) = f(y) + ½ Σ h (x-y)², when f is of that
// form with all h > 0. It looks at the Hessian and the gradient in three places.
func (f Fn) quadratic(n int) (h, y []float64, ok bool) {
	if f.Grad == nil || f.Hess == nil {
		return nil, nil, false
	}
	h, g, hx, gx := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	zero := make([]float64, n)
	f.Hess(h, zero)
	f.Grad(g, zero)
	y = make([]float64, n)
	for i := range y {
		if !(h[i] > 0) {
			return nil, nil, false
		}
		y[i] = -g[i] / h[i]
	}
	x := make([]float64, n)
	for _, s := range []float64{-1e3, 0.7, 1e6} {
		for i := range x {
			x[i] = s * (1 + float64(i%7)/5)
		}
		f.Hess(hx, x)
		f.Grad(gx, x)
		for i := range x {
			want := h[i] * (x[i] - y[i])
			if math.Abs(hx[i]-h[i]) > 1e-12*h[i] || !(math.Abs(gx[i]-want) <= 1e-10*(math.Abs(want)+math.Abs(g[i]))) {
				return nil, nil, false
			}
		}
	}
	return h, y, true
}
