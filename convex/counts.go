package convex

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Counts are the sizes that the papers' theorems speak of, side by side with
// those of a program.
type Counts struct {
	Patterns int // of the program, without the all-off one
	Cells    int // of the arrangement, all-off one included; 0 when they were not enumerated
	Rows     int // of the data the patterns are of: n, or nK for the patches M = [X_1; …; X_K]
	Rank     int // r of those data (of millions of numbers: min(Rows, columns))
	Cover    float64
	Paper    float64 // 2r(e(Rows-1)/r)^r, the papers' bound on Cells; Cover is 2 Σ_{k<r} C(Rows-1, k)

	// Neurons is the bound on the neurons an optimal network needs, n+1 (nc+1
	// with c outputs): m* of the papers.
	Neurons int
}

// Counts returns the sizes of a program. The counts of patterns are zero for an
// architecture without.
func (prog *Program) Counts() Counts {
	c := Counts{Neurons: prog.Op.Rows + 1}
	if prog.Patterns == nil {
		return c
	}
	c.Patterns, c.Cells = prog.Patterns.Len(), prog.Patterns.cells
	X := prog.Patterns.data
	if X == nil {
		return c
	}
	c.Rows, _ = X.Dims()
	c.Rank = rankOf(X)
	if c.Rank > 0 {
		c.Cover, c.Paper = CoverCount(c.Rows, c.Rank), PaperCount(c.Rows, c.Rank)
	}
	return c
}

// rankOf is the rank of the rows of X scaled to length one, as the enumeration
// sees it; of large data the most it can be, with which the bounds still hold.
func rankOf(X *mat.Dense) int {
	if n, d := X.Dims(); n*d > 1<<21 {
		return min(n, d)
	}
	U := mat.DenseCopyOf(X)
	n, d := U.Dims()
	for i := range n {
		normalise(U.RawRowView(i))
	}
	if n > 4*d { // the triangle of a QR factorisation has the same row space
		var qr mat.QR
		qr.Factorize(U)
		var R mat.Dense
		qr.RTo(&R)
		U = mat.DenseCopyOf(R.Slice(0, d, 0, d))
	}
	_, rank := rowSpace(U)
	return rank
}

// ofData is p with the data it is of, for Counts.
func (p *Patterns) ofData(X *mat.Dense, cells int) *Patterns {
	q := *p
	q.data, q.cells = X, cells
	return &q
}

// note says what the papers say of the number of patterns.
func (c Counts) note(source string) string {
	if c.Rank == 0 {
		return source
	}
	all := ""
	if c.Cells > 0 {
		all = fmt.Sprintf("; %d cells with the all-off one", c.Cells)
	}
	return fmt.Sprintf("%s%s; at most %s by Cover, %s by 2r(e(n-1)/r)^r, n = %d, r = %d", source, all, count(c.Cover), count(c.Paper), c.Rows, c.Rank)
}

// count shows a number that may be astronomical.
func count(v float64) string {
	if v < 1e6 {
		return fmt.Sprintf("%.0f", math.Floor(v))
	}
	return fmt.Sprintf("%.1e", v)
}
