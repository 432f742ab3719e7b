package figure

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"github.com/gonvex/gonvex/convex"
)

// mostOfPath is the largest number of curves in a path: the blocks whose norms
// are the largest.
const mostOfPath = 60

// SparsityPath is a regularisation path: the norm of each block of the convex
// program (a neuron, before its layers share it) against the weight decay, from
// BetaMax down. Positive blocks are blue and those of negative output weight, if
// the program has both, vermilion. Where every weight decay has patterns of its
// own, those that a search found there, the norms are dots: a neuron is seldom in
// the block that it was in at the weight decay before.
func SparsityPath(title string, path *convex.Path) *plot.Plot {
	p := New(title, "weight decay β", "norm of a neuron |u||a|")
	LogX(p)
	if path == nil || len(path.Solutions) == 0 {
		complain(p, "SparsityPath: the path is empty")
		return p
	}
	betas := path.Betas()
	type block struct {
		k     int
		norms []float64
		most  float64
	}
	var blocks []*block
	known := map[string]*block{}
	searched := false
	for i, sol := range path.Solutions {
		if pat := sol.Program.Patterns; pat != nil && pat.Source == "generated" {
			searched = true
		}
		for b, blk := range sol.Program.Blocks {
			norm := floats.Norm(blk.Of(sol.Certificate.X), 2)
			if norm == 0 {
				continue
			}
			name, k := fmt.Sprint("block ", b), 0
			if m := sol.Program.Op.Masked; m != nil {
				name = fmt.Sprint(m.Sign(b), m.Patterns.Row(m.Pattern(b)))
				if m.Sign(b) < 0 {
					k = 1
				}
			}
			if known[name] == nil {
				known[name] = &block{k: k, norms: make([]float64, len(betas))}
				blocks = append(blocks, known[name])
			}
			known[name].norms[i] = norm
			known[name].most = math.Max(known[name].most, norm)
		}
	}
	if searched {
		var at, norms [2][]float64
		for _, b := range blocks {
			for i, v := range b.norms {
				if v > 0 {
					at[b.k], norms[b.k] = append(at[b.k], betas[i]), append(norms[b.k], v)
				}
			}
		}
		for k := range at {
			Dots(p, k, "", at[k], norms[k]).Radius = vg.Points(2)
		}
		p.X.Min, p.X.Max, p.Y.Min = slices.Min(betas), slices.Max(betas), 0
		return p
	}
	slices.SortFunc(blocks, func(a, b *block) int { return int(math.Copysign(1, b.most-a.most)) })
	for _, b := range blocks[:min(len(blocks), mostOfPath)] {
		Curve(p, b.k, "", betas, b.norms)
	}
	return p
}

// HeldOut is the held-out loss of a cross-validation against the weight decay,
// with one standard error up and down, the best weight decay and the largest
// within one standard error of it.
func HeldOut(title string, cv *convex.CrossValidation) *plot.Plot {
	p := New(title, "weight decay β", "held-out loss a sample")
	LogX(p)
	if cv == nil || len(cv.Betas) == 0 {
		complain(p, "HeldOut: the cross-validation is empty")
		return p
	}
	ErrorBars(p, 0, cv.Betas, cv.Loss, cv.StdErr)
	Curve(p, 0, fmt.Sprintf("mean of %d folds", cv.Folds), cv.Betas, cv.Loss)
	mark := func(k int, label string, i int) {
		if i >= 0 && i < len(cv.Betas) {
			Dots(p, k, label, cv.Betas[i:i+1], cv.Loss[i:i+1]).Radius = vg.Points(4)
		}
	}
	mark(1, "best", cv.Best)
	if cv.Sparsest != cv.Best {
		mark(2, "largest within a standard error", cv.Sparsest)
	}
	p.Legend.Left = true // the loss is large at the right, where the network is small
	p.Y.Max += 0.25 * (p.Y.Max - p.Y.Min)
	return p
}
