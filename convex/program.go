package convex

import (
	"fmt"
	"math"
)

// Validate checks that the parts of the program fit together.
func (prog *Program) Validate() error {
	if prog == nil {
		return fmt.Errorf("convex: the program is nil")
	}
	bad := func(format string, a ...any) error {
		return fmt.Errorf("convex: program %q: "+format, append([]any{prog.Name}, a...)...)
	}
	switch {
	case prog.Op.Apply == nil || prog.Op.Adjoint == nil:
		return bad("operator %q needs both Apply and Adjoint", prog.Op.Name)
	case prog.Loss.Value == nil:
		return bad("loss %q needs Value", prog.Loss.Name)
	case prog.Penalty.Value == nil:
		return bad("penalty %q needs Value", prog.Penalty.Name)
	case prog.Op.Rows <= 0 || prog.Op.Cols < 0:
		return bad("the operator is %d×%d: want at least one sample", prog.Op.Rows, prog.Op.Cols)
	case prog.Samples*prog.Outputs != prog.Op.Rows:
		return bad("%d samples with %d outputs, but the operator has %d rows: want their product", prog.Samples, prog.Outputs, prog.Op.Rows)
	case prog.Loss.Labels != nil && len(prog.Loss.Labels) != prog.Op.Rows:
		return bad("the loss has %d labels, the operator %d rows", len(prog.Loss.Labels), prog.Op.Rows)
	case prog.Cones != nil && prog.Cones.Block == nil && prog.Cones.Masked == nil:
		return bad("cones %q need Block", prog.Cones.Name)
	}
	at := 0
	for i, b := range prog.Blocks {
		if b.Rows <= 0 || b.Cols <= 0 || b.Offset != at {
			return bad("block %d is %d×%d at offset %d: blocks must follow one another, this one from %d", i, b.Rows, b.Cols, b.Offset, at)
		}
		if !(b.Weight >= 0) || math.IsInf(b.Weight, 1) {
			return bad("block %d has weight %g: want a number that is not negative", i, b.Weight)
		}
		if prog.Cones != nil && b.Cols != 1 && (prog.Cones.Masked != nil || prog.Cones.Block(i) != nil) {
			return bad("block %d has %d columns and a cone: cones are for blocks of one column", i, b.Cols)
		}
		at += b.Rows * b.Cols
	}
	if at != prog.Op.Cols {
		return bad("the blocks hold %d variables, the operator has %d columns", at, prog.Op.Cols)
	}
	if m := prog.Op.Masked; m != nil {
		if err := m.validate(); err != nil {
			return err
		}
	}
	if prog.Cones != nil && prog.Cones.Masked != nil {
		if err := prog.Cones.Masked.validate(); err != nil {
			return err
		}
		if _, d, _, nb := prog.Cones.Masked.Dims(); nb != len(prog.Blocks) || d*nb != prog.Op.Cols {
			return bad("the cones are for %d blocks of %d variables, the program has %d blocks and %d variables", nb, d, len(prog.Blocks), prog.Op.Cols)
		}
	}
	return nil
}

func (m *MaskedData) validate() error {
	if m.X == nil || m.X.IsEmpty() {
		return fmt.Errorf("convex: masked data: X is empty")
	}
	r, d := m.X.Dims()
	if r%m.patches() != 0 {
		return fmt.Errorf("convex: masked data: X is %d×%d: its rows must be a multiple of the %d patches", r, d, m.patches())
	}
	if m.Patterns.Samples() != r {
		return fmt.Errorf("convex: masked data: patterns cover %d rows but X is %d×%d", m.Patterns.Samples(), r, d)
	}
	return nil
}

// Objective is Loss(Op x) + penalty at x, whether or not x is in the cones.
func (prog *Program) Objective(x []float64) (float64, error) {
	if err := prog.Validate(); err != nil {
		return 0, err
	}
	if len(x) != prog.Op.Cols {
		return 0, fmt.Errorf("convex: Objective: x has %d entries, program %q has %d variables", len(x), prog.Name, prog.Op.Cols)
	}
	f := make([]float64, prog.Op.Rows)
	prog.Op.Apply(f, x)
	return prog.Loss.Value(f) + prog.penaltyAt(x), nil
}

func (prog *Program) penaltyAt(x []float64) float64 {
	s := 0.0
	for _, b := range prog.Blocks {
		if b.Weight != 0 {
			s += b.Weight * prog.Penalty.Value(b.Of(x), b.Rows, b.Cols)
		}
	}
	return s
}

// ActiveBlocks counts the blocks of x that are not zero.
func (prog *Program) ActiveBlocks(x []float64) int {
	k := 0
	for _, b := range prog.Blocks {
		if norm2(b.Of(x)) > 0 {
			k++
		}
	}
	return k
}
