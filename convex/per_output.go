package convex

import (
	"context"
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// lowerPerOutput is the program of a ReLU network for each output, side by side.
func lowerPerOutput(ctx context.Context, p *Problem, t *checked, s *Settings) (*Program, error) {
	prog := &Program{Samples: t.n, Outputs: t.c, Loss: t.loss, Penalty: GroupL1(p.Beta), Scope: Global}
	Y := mat.NewDense(t.n, t.c, t.y)
	var parts []*Program
	var of []int  // part of every block
	var own []int // its index there
	offset := []int{0}
	for o := range t.c {
		one := *p
		one.Arch, one.Y = ReLU{}, mat.NewDense(t.n, 1, mat.Col(nil, o, Y))
		part, err := one.Arch.Lower(ctx, &one, s)
		if err != nil {
			return nil, fmt.Errorf("convex: output %d: %w", o, err)
		}
		for g, b := range part.Blocks {
			b.Offset += offset[o]
			prog.Blocks = append(prog.Blocks, b)
			of, own = append(of, o), append(own, g)
		}
		offset = append(offset, offset[o]+part.Op.Cols)
		if part.Scope != Global {
			prog.Scope = Restricted
		}
		parts = append(parts, part)
	}
	prog.solver = onePart{parts}
	if first := parts[0].Patterns; prog.Scope == Global || p.Patterns != nil {
		prog.Patterns = first // the same for all
	}
	prog.Cones = &Cones{Name: "activation", Block: func(g int) *mat.Dense { return parts[of[g]].Cones.Block(own[g]) }}
	column := func(v []float64, o int) []float64 {
		c := make([]float64, t.n)
		for i := range c {
			c[i] = v[i*t.c+o]
		}
		return c
	}
	prog.Op = Op{
		Name: "one network an output", Rows: t.n * t.c, Cols: offset[t.c],
		Apply: func(dst, x []float64) {
			f := make([]float64, t.n)
			for o, part := range parts {
				part.Op.Apply(f, x[offset[o]:offset[o+1]])
				for i, v := range f {
					dst[i*t.c+o] = v
				}
			}
		},
		Adjoint: func(dst, y []float64) {
			for o, part := range parts {
				part.Op.Adjoint(dst[offset[o]:offset[o+1]], column(y, o))
			}
		},
	}
	if prog.Scope != Global {
		prog.AllPatterns = func(ctx context.Context, v []float64) float64 {
			M := 0.0
			for o, part := range parts {
				v := column(v, o)
				if part.AllPatterns != nil {
					M = math.Max(M, part.AllPatterns(ctx, v))
					continue
				}
				g := make([]float64, part.Op.Cols)
				part.Op.Adjoint(g, v)
				if part.Scope != Global {
					return math.Inf(1)
				}
				M = math.Max(M, part.maxPolar(ctx, g, nil))
			}
			return M
		}
	}
	prog.Decode = func(x []float64) (*Network, error) {
		net := newNetwork(ReLU{Penalty: "per_output"}, t.d, t.c)
		var hidden, output []float64
		for o, part := range parts {
			one, err := part.Decode(x[offset[o]:offset[o+1]])
			if err != nil {
				return nil, err
			}
			for j := range one.Neurons() {
				hidden = append(hidden, one.Hidden.RawRowView(j)...)
				a := make([]float64, t.c)
				a[o] = one.Output.At(j, 0)
				output = append(output, a...)
			}
		}
		if k := len(output) / t.c; k > 0 {
			net.Hidden, net.Output = mat.NewDense(k, t.d, hidden), mat.NewDense(k, t.c, output)
		}
		return net, nil
	}
	return prog, nil
}

// perOutputDecay is ½ Σ_j (|u_j|² + (Σ_o |w_jo|)²).
func perOutputDecay(net *Network) float64 {
	s := 0.0
	for j := range net.Neurons() {
		sum := 0.0
		for _, v := range net.Output.RawRowView(j) {
			sum += math.Abs(v)
		}
		u := net.Hidden.RawRowView(j)
		s += dot(u, u) + sum*sum
	}
	return s / 2
}

// onePart solves the parts of a program one after the other, each with the
// solver that suits it.
type onePart struct{ parts []*Program }

func (onePart) Name() string { return "one by one" }

func (onePart) Uses(*Program) error { return nil }

func (p onePart) Solve(ctx context.Context, prog *Program, s *Settings) (*Point, error) {
	c := prog.Outputs
	pt := &Point{Dual: make([]float64, prog.Op.Rows), Status: Optimal}
	each := *s
	each.Use = nil
	names := map[string]bool{}
	for o, part := range p.parts {
		// With every part within the tolerance of its own objective, their sum is
		// within it of the whole one.
		sol, err := solve(ctx, part, &each, s.record.start)
		if err != nil {
			return nil, fmt.Errorf("convex: output %d: %w", o, err)
		}
		pt.X = append(pt.X, sol.Certificate.X...)
		if len(sol.Certificate.Dual) == prog.Samples {
			for i, v := range sol.Certificate.Dual {
				pt.Dual[i*c+o] = v
			}
		}
		pt.Iter += sol.Iterations
		if st := sol.Point.Status; st != Optimal {
			pt.Status = st
		}
		if !names[sol.Solver] {
			names[sol.Solver] = true
			pt.Solver = strings.TrimPrefix(pt.Solver+", "+sol.Solver, ", ")
		}
	}
	return pt, nil
}
