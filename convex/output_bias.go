package convex

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// withOutputBias adds one number an output to the predictions, without penalty:
// a free block after the others, whose dual constraint is Σ_i v_i = 0 for every
// output. It does to any architecture's program what it does to the networks,
// whose Bias it becomes.
func (base *Program) withOutputBias() *Program {
	wide := *base // the architecture's Decode goes on with its own
	prog := &wide
	n, c, blocks, vars := prog.Samples, prog.Outputs, len(prog.Blocks), prog.Op.Cols
	bias := Op{
		Name: "bias", Rows: n * c, Cols: c,
		Apply: func(dst, x []float64) {
			for i := range dst {
				dst[i] = x[i%c]
			}
		},
		Adjoint: func(dst, y []float64) {
			clear(dst[:c])
			for i, v := range y {
				dst[i%c] += v
			}
		},
	}
	prog.Op = SumOp(prog.Op, bias)
	prog.Blocks = append(append([]Block(nil), prog.Blocks...), Block{Offset: vars, Rows: c, Cols: 1})
	if cones := prog.Cones; cones != nil {
		prog.Cones = cones.before(blocks)
	}
	prog.solver = nil
	decode := prog.Decode
	if decode == nil || prog.round != nil { // a search finds its own bias
		return prog
	}
	prog.Decode = func(x []float64) (*Network, error) {
		if len(x) != vars+c {
			return nil, fmt.Errorf("convex: Decode: the point has %d variables, want %d", len(x), vars+c)
		}
		net, err := decode(x[:vars])
		if net != nil {
			net.Bias = append([]float64(nil), x[vars:]...)
		}
		return net, err
	}
	return prog
}

// attained says why the loss has no least value over constant predictions, one
// number an output: its slope then keeps its sign and dies away, as that of the
// logistic loss does when all labels are of one class.
func (loss Fn) attained(c int) error {
	slope := loss.anyGrad()
	if slope == nil || loss.Labels == nil {
		return nil
	}
	far := 600.0 // e^-600 is still a number
	for _, y := range loss.Labels {
		far = math.Max(far, 2*math.Abs(y))
	}
	f, g := make([]float64, len(loss.Labels)), make([]float64, len(loss.Labels))
	at := func(k int, b float64) (sum float64) {
		clear(f)
		for i := k; i < len(f); i += c {
			f[i] = b
		}
		slope(g, f)
		for i := k; i < len(g); i += c {
			sum += g[i]
		}
		return sum
	}
	for k := range c {
		zero := at(k, 0)
		for _, b := range []float64{far, -far} {
			if s := at(k, b); s*b < 0 && math.Abs(s) < 1e-100*math.Abs(zero) {
				return fmt.Errorf("convex: OutputBias: the labels of output %d are all of one class, so that the %s loss falls for ever as the bias grows and there is no optimum: leave OutputBias out, or add samples of the other class", k, loss.Name)
			}
		}
	}
	return nil
}

// freeFit minimises the loss over the free blocks alone; v is a dual point
// there, near -∇L, and x the blocks' variables one after the other. v is -∇L(0)
// when there are none.
func (prog *Program) freeFit(ctx context.Context) (v, x []float64, err error) {
	free := make([]bool, len(prog.Blocks))
	some := false
	for i := range prog.Blocks {
		free[i] = prog.isFree(i)
		some = some || free[i]
	}
	if !some {
		v = make([]float64, prog.Op.Rows)
		prog.Loss.anyGrad()(v, v)
		scale(-1, v)
		return v, nil, nil
	}
	sub, _ := prog.over(free)
	if err := (Interior{}).Uses(sub); err != nil {
		return nil, nil, err
	}
	pt, err := Interior{}.Solve(ctx, sub, &Settings{Tol: 1e-10, Progress: func(Progress) {}})
	if err != nil {
		return nil, nil, err
	}
	v, _ = prog.orthogonalToFree(pt.Dual)
	return v, pt.X, nil
}

// searchPatterns finds the patterns of data that matter for ReLU neurons. With an
// output bias the search alternates with the optimal bias over what it found,
// by which the loss it sees is shifted.
func (p *Problem) searchPatterns(ctx context.Context, data *MaskedData, loss Fn, pen Penalty, s *Settings) (*Patterns, error) {
	if !p.OutputBias {
		return generatePatterns(ctx, data, loss, pen, p.Seed, s)
	}
	n, _, _, _ := data.Dims()
	over := func(pat *Patterns) *Program {
		m := *data
		m.Patterns = pat
		prog := &Program{Samples: n, Outputs: 1, Loss: loss, Op: m.Op(), Blocks: m.Blocks(), Penalty: pen, Cones: m.Cones()}
		return prog.withOutputBias()
	}
	found, err := data.samplePatterns(20, p.Seed)
	if err != nil {
		return nil, err
	}
	_, b, err := over(found).freeFit(ctx)
	if err != nil {
		return nil, err
	}
	for range 3 {
		more, err := generatePatterns(ctx, data, shifted(loss, b), pen, p.Seed, s)
		if err != nil {
			return nil, err
		}
		found = found.union(more)
		if ctx.Err() != nil {
			break
		}
		prog := over(found)
		pt, err := Pricing{}.Solve(ctx, prog, &Settings{Tol: 1e-5, Progress: s.Progress})
		if err != nil {
			return nil, err
		}
		next := pt.X[len(pt.X)-1]
		small := 1e-3 * math.Max(math.Abs(next), norm2(loss.Labels)/math.Sqrt(float64(n)))
		if done := math.Abs(next-b[0]) <= small; done {
			break
		}
		b = []float64{next}
	}
	return found, nil
}

// union is the patterns of p and those of o that are not in p.
func (p *Patterns) union(o *Patterns) *Patterns {
	u := newPatterns(0, p.n)
	u.Source = o.Source
	u.bits = append(append([]uint64(nil), p.bits...), o.bits...)
	if p.Gates != nil && o.Gates != nil {
		u.Gates = new(mat.Dense)
		u.Gates.Augment(p.Gates, o.Gates)
	}
	return u.Distinct()
}

// shifted is the loss of predictions to which b is added, one number an output.
func shifted(loss Fn, b []float64) Fn {
	c := len(b)
	plus := func(x []float64, sign float64) []float64 {
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = v + sign*b[i%c]
		}
		return y
	}
	of := Fn{Name: loss.Name, Lipschitz: loss.Lipschitz, Kinks: loss.Kinks}
	if loss.Labels != nil {
		of.Labels = plus(loss.Labels, -1)
	}
	of.Value = func(x []float64) float64 { return loss.Value(plus(x, 1)) }
	at := func(f func(dst, x []float64)) func(dst, x []float64) {
		if f == nil {
			return nil
		}
		return func(dst, x []float64) { f(dst, plus(x, 1)) }
	}
	of.Grad, of.Subgrad, of.Hess = at(loss.Grad), at(loss.Subgrad), at(loss.Hess)
	if loss.Prox != nil {
		of.Prox = func(dst, x []float64, t float64) {
			loss.Prox(dst, plus(x, 1), t)
			copy(dst, plus(dst, -1))
		}
	}
	if loss.Conj != nil {
		of.Conj = func(v []float64) float64 {
			s := loss.Conj(v)
			for i, t := range v {
				s -= t * b[i%c]
			}
			return s
		}
	}
	if loss.ConjGrad != nil {
		of.ConjGrad = func(dst, v []float64) {
			loss.ConjGrad(dst, v)
			copy(dst, plus(dst, -1))
		}
	}
	of.ConjHess = loss.ConjHess
	return of
}
