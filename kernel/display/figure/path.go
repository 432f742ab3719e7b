package figure

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/plot"

	"github.com/gonvex/gonvex/convex"
)

// mostOfPath is the largest number of curves in a path: the blocks whose norms
// are the largest.
const mostOfPath = 60

// SparsityPath is a regularisation path: the norm of each block of the convex
// program (a neuron, before its layers share it) against the weight decay, from
// BetaMax down. Positive blocks are blue and those of negative output weight, if
// the program has both, vermilion.
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
	for i, sol := range path.Solutions {
		for b, blk := range sol.Program.Blocks {
			norm := floats.Norm(blk.Of(sol.Certificate.X), 2)
			if norm == 0 {
				continue
			}
			// Where patterns are searched for, every beta has its own.
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
	slices.SortFunc(blocks, func(a, b *block) int { return int(math.Copysign(1, b.most-a.most)) })
	for _, b := range blocks[:min(len(blocks), mostOfPath)] {
		Curve(p, b.k, "", betas, b.norms)
	}
	return p
}
