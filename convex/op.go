package convex

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// Op is a linear operator, as a struct of functions. Apply and Adjoint must be
// safe to call concurrently and must overwrite dst.
type Op struct {
	Name    string
	Rows    int                    // length of the result of Apply
	Cols    int                    // length of its argument
	Apply   func(dst, x []float64) // dst = A x
	Adjoint func(dst, y []float64) // dst = A'y

	// Masked is the structure behind the operator, when there is one; nil for
	// an operator that is only its functions.
	Masked *MaskedData

	parts []Op // of a sum
}

// MaskedData is the operator of every two-layer network with fixed activation
// patterns:
//
//	f = Scale · Σ_k Σ_g s_g (D_g + Slope (I-D_g))_k X_k Z_g,
//
// never materialised. Block g is a d×Outputs matrix. There is one block a
// pattern and, when Signed, a second set of blocks with s_g = -1: block g has
// pattern g mod P and sign +1 for g < P, -1 above.
type MaskedData struct {
	X        *mat.Dense // (n·Patches)×d; patch k of sample i is row k·n+i
	Patterns *Patterns  // P patterns of n·Patches bits
	Signed   bool       // blocks of both signs
	Outputs  int        // c; 0 means 1
	Patches  int        // patches summed into each prediction; 0 means 1
	Scale    float64    // of the fit; 0 means 1
	Slope    float64    // multiplies rows whose bit is off: 0 for ReLU

	winners bool // a neuron's pattern has the largest positive patch of a sample, not all that are positive
}

// Dims returns the number of samples n, features d, outputs c, and blocks.
func (m *MaskedData) Dims() (n, d, c, blocks int) {
	r, d := m.X.Dims()
	blocks = m.Patterns.Len()
	if m.Signed {
		blocks *= 2
	}
	return r / m.patches(), d, m.outputs(), blocks
}

func (m *MaskedData) patches() int { return max(m.Patches, 1) }
func (m *MaskedData) outputs() int { return max(m.Outputs, 1) }
func (m *MaskedData) scale() float64 {
	if m.Scale == 0 {
		return 1
	}
	return m.Scale
}

// Sign is the sign s_g of block g.
func (m *MaskedData) Sign(g int) float64 {
	if g >= m.Patterns.Len() {
		return -1
	}
	return 1
}

// Pattern is the index of the pattern of block g.
func (m *MaskedData) Pattern(g int) int { return g % m.Patterns.Len() }

// Blocks lists the blocks, all of weight 1.
func (m *MaskedData) Blocks() []Block {
	_, d, c, nb := m.Dims()
	bs := make([]Block, nb)
	for g := range bs {
		bs[g] = Block{Offset: g * d * c, Rows: d, Cols: c, Weight: 1}
	}
	return bs
}

// Op is the operator with m as its structure.
func (m *MaskedData) Op() Op {
	n, d, c, nb := m.Dims()
	return Op{
		Name:    "masked data",
		Rows:    n * c,
		Cols:    nb * d * c,
		Apply:   m.apply,
		Adjoint: m.adjoint,
		Masked:  m,
	}
}

// Cones of the blocks: (2D_g-I) X z ≥ 0, the cone on which a ReLU neuron has
// activation pattern D_g.
func (m *MaskedData) Cones() *Cones {
	if m.winners {
		return &Cones{Name: "winner", Block: m.winnerCone}
	}
	return &Cones{
		Name:   "activation",
		Masked: m,
		Block:  m.coneOf,
	}
}

// Cones are linear inequalities on blocks with one column: G_b z_b ≥ 0.
type Cones struct {
	Name string
	// Block returns G_b (rows × variables of the block); nil when block b is
	// free.
	Block func(b int) *mat.Dense
	// Masked, when set, says that G_b is exactly (2D_g-I)X of this structure.
	Masked *MaskedData

	first  *MaskedData // the same for b < blocks only; others are free
	blocks int
}

// block is Block, or what Masked says it is.
func (c *Cones) block() func(b int) *mat.Dense {
	if c.Block == nil {
		return c.Masked.coneOf
	}
	return c.Block
}

// masked is the structure of the cones of the first blocks, and how many those
// are; nil when there is none.
func (c *Cones) masked() (m *MaskedData, blocks int) {
	if c.Masked != nil {
		return c.Masked, math.MaxInt
	}
	return c.first, c.blocks
}

// before is the cones of the first blocks of a program with others after them,
// which are free.
func (c *Cones) before(blocks int) *Cones {
	of := c.block()
	return &Cones{Name: c.Name, first: c.Masked, blocks: blocks, Block: func(b int) *mat.Dense {
		if b >= blocks {
			return nil
		}
		return of(b)
	}}
}

func (m *MaskedData) coneOf(g int) *mat.Dense {
	p := m.Pattern(g)
	r, d := m.X.Dims()
	G := mat.NewDense(r, d, nil)
	for i := 0; i < r; i++ {
		src, dst := m.X.RawRowView(i), G.RawRowView(i)
		if m.Patterns.Bit(p, i) {
			copy(dst, src)
			continue
		}
		for j, v := range src {
			dst[j] = -v
		}
	}
	return G
}

// maskChunk is how many patterns go through one matrix product at a time: its
// temporary has rows × maskChunk·c numbers, 32 MiB of them if that can be.
func maskChunk(rows, c int) int { return max(1, min(64, (4<<20)/(rows*c+1))) }

func (m *MaskedData) apply(dst, x []float64) {
	n, d, c, nb := m.Dims()
	rows, _ := m.X.Dims()
	P, scale, slope := m.Patterns.Len(), m.scale(), m.Slope
	clear(dst[:n*c])
	X := m.X.RawMatrix()
	chunk := maskChunk(rows, c)
	Z := make([]float64, d*chunk*c)
	T := make([]float64, rows*chunk*c)
	for p0 := 0; p0 < P; p0 += chunk {
		k := min(chunk, P-p0)
		w := k * c
		for j := 0; j < d; j++ {
			row := Z[j*w : j*w+w]
			for q := 0; q < k; q++ {
				for o := 0; o < c; o++ {
					v := x[((p0+q)*d+j)*c+o]
					if nb > P {
						v -= x[((P+p0+q)*d+j)*c+o]
					}
					row[q*c+o] = v
				}
			}
		}
		blas64.Gemm(blas.NoTrans, blas.NoTrans, scale, X,
			blas64.General{Rows: d, Cols: w, Stride: w, Data: Z[:d*w]}, 0,
			blas64.General{Rows: rows, Cols: w, Stride: w, Data: T[:rows*w]})
		for i := 0; i < rows; i++ {
			out := dst[(i%n)*c : (i%n)*c+c]
			t := T[i*w : i*w+w]
			for q := 0; q < k; q++ {
				f := slope
				if m.Patterns.Bit(p0+q, i) {
					f = 1
				}
				if f == 0 {
					continue
				}
				for o := range out {
					out[o] += f * t[q*c+o]
				}
			}
		}
	}
}

func (m *MaskedData) adjoint(dst, y []float64) {
	n, d, c, nb := m.Dims()
	rows, _ := m.X.Dims()
	P, scale, slope := m.Patterns.Len(), m.scale(), m.Slope
	X := m.X.RawMatrix()
	chunk := maskChunk(rows, c)
	R := make([]float64, rows*chunk*c)
	G := make([]float64, d*chunk*c)
	for p0 := 0; p0 < P; p0 += chunk {
		k := min(chunk, P-p0)
		w := k * c
		for i := 0; i < rows; i++ {
			in := y[(i%n)*c : (i%n)*c+c]
			t := R[i*w : i*w+w]
			for q := 0; q < k; q++ {
				f := slope
				if m.Patterns.Bit(p0+q, i) {
					f = 1
				}
				for o, v := range in {
					t[q*c+o] = f * v
				}
			}
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, scale, X,
			blas64.General{Rows: rows, Cols: w, Stride: w, Data: R[:rows*w]}, 0,
			blas64.General{Rows: d, Cols: w, Stride: w, Data: G[:d*w]})
		for j := 0; j < d; j++ {
			for q := 0; q < k; q++ {
				for o := 0; o < c; o++ {
					v := G[j*w+q*c+o]
					dst[((p0+q)*d+j)*c+o] = v
					if nb > P {
						dst[((P+p0+q)*d+j)*c+o] = -v
					}
				}
			}
		}
	}
}

// over is the operator restricted to some blocks of its variables, as a matrix.
func (op Op) over(blocks []Block, of []int) Op {
	cols := 0
	for _, i := range of {
		cols += blocks[i].Len()
	}
	A := mat.NewDense(op.Rows, cols, nil)
	parts := op.parts
	if !partition(parts, blocks) {
		parts = []Op{op}
		if !partition(parts, blocks) { // the blocks are not those of its structure
			parts[0].Masked = nil
		}
	}
	at, first, next := 0, 0, 0 // column of A, first variable and block of the part
	for _, part := range parts {
		count := next
		for size := 0; size < part.Cols; count++ {
			size += blocks[count].Len()
		}
		e, f := make([]float64, part.Cols), make([]float64, op.Rows)
		for _, i := range of {
			if i < next || i >= count {
				continue
			}
			if m := part.Masked; m != nil {
				m.columns(A, at, i-next)
				at += blocks[i].Len()
				continue
			}
			for j := range blocks[i].Len() {
				e[blocks[i].Offset-first+j] = 1
				part.Apply(f, e)
				e[blocks[i].Offset-first+j] = 0
				A.SetCol(at, f)
				at++
			}
		}
		next, first = count, first+part.Cols
	}
	return denseOp(A)
}

// partition says whether the blocks are those of the parts of a sum, one part
// after the other.
func partition(parts []Op, blocks []Block) bool {
	next := 0
	for _, part := range parts {
		count, size := next, 0
		for ; size < part.Cols && count < len(blocks); count++ {
			size += blocks[count].Len()
		}
		if size != part.Cols {
			return false
		}
		if m := part.Masked; m != nil {
			_, d, c, nb := m.Dims()
			if count-next != nb {
				return false
			}
			for _, b := range blocks[next:count] {
				if b.Len() != d*c {
					return false
				}
			}
		}
		next = count
	}
	return len(parts) > 0 && next == len(blocks)
}

// columns sets the columns of A from at on to those of block g.
func (m *MaskedData) columns(A *mat.Dense, at, g int) {
	n, d, c, _ := m.Dims()
	p, sign := m.Pattern(g), m.Sign(g)*m.scale()
	rows, _ := m.X.Dims()
	for r := range rows {
		f := sign
		if !m.Patterns.Bit(p, r) {
			f *= m.Slope
		}
		if f == 0 {
			continue
		}
		x := m.X.RawRowView(r)
		for o := range c {
			row := A.RawRowView(r%n*c + o)
			for j := range d {
				row[at+j*c+o] += f * x[j]
			}
		}
	}
}

// DenseOp is the operator of a matrix, which is copied.
func DenseOp(A mat.Matrix) Op { return denseOp(mat.DenseCopyOf(A)) }

func denseOp(M *mat.Dense) Op {
	r, c := M.Dims()
	raw := M.RawMatrix()
	return Op{
		Name: fmt.Sprintf("dense %d×%d", r, c),
		Rows: r, Cols: c,
		Apply: func(dst, x []float64) {
			blas64.Gemv(blas.NoTrans, 1, raw, blas64.Vector{N: c, Inc: 1, Data: x}, 0, blas64.Vector{N: r, Inc: 1, Data: dst})
		},
		Adjoint: func(dst, y []float64) {
			blas64.Gemv(blas.Trans, 1, raw, blas64.Vector{N: r, Inc: 1, Data: y}, 0, blas64.Vector{N: c, Inc: 1, Data: dst})
		},
	}
}
