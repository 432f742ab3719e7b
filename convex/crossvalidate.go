package convex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// FoldOptions are the options of CrossValidate. A nil pointer and the zero
// value mean the defaults.
type FoldOptions struct {
	Folds int          // default 5
	Seed  uint64       // of the split
	Path  *PathOptions // weight decays and settings; nil: as SolvePath
}

// CrossValidation is the result of CrossValidate. Slices have one entry a
// weight decay, largest first.
type CrossValidation struct {
	Betas    []float64
	Loss     []float64 // held-out loss a sample, averaged over the folds
	StdErr   []float64 // its standard error over the folds
	Accuracy []float64 // share of held-out signs that are right, for losses with labels ±1; else NaN
	Neurons  []float64 // mean over the folds
	Best     int       // index of the least loss
	Sparsest int       // largest beta whose loss is within one standard error of the least
	Folds    int       // folds that were solved: fewer than asked for when the context ended
	Path     *Path     // over all data, at the same weight decays
}

// CrossValidate estimates by k-fold cross-validation how well p predicts at
// every weight decay of a path. Each fold is solved on the other folds, warm
// started along the path; weight decay is not rescaled to the smaller data.
// Given patterns with Gates keep their gates; given patterns without are cut
// to the rows of the fold. When ctx ends, the folds finished so far count.
func CrossValidate(ctx context.Context, p Problem, o *FoldOptions) (*CrossValidation, error) {
	ctx = background(ctx)
	var opt FoldOptions
	if o != nil {
		opt = *o
	}
	if opt.Folds == 0 {
		opt.Folds = 5
	}
	q := p
	if q.Beta == 0 {
		q.Beta = 1
	}
	t, err := q.check()
	if err != nil {
		return nil, err
	}
	if opt.Folds < 2 || opt.Folds > t.n {
		return nil, fmt.Errorf("convex: CrossValidate: Folds is %d: want from 2 to the number of samples, %d", opt.Folds, t.n)
	}
	var po PathOptions
	if opt.Path != nil {
		po = *opt.Path
	}
	po.of = "all data, "
	path, err := SolvePath(ctx, p, &po)
	if err != nil {
		return nil, err
	}
	cv := &CrossValidation{Betas: path.Betas(), Path: path}
	k := len(cv.Betas)
	po.Betas = cv.Betas
	order := rand.New(rand.NewPCG(opt.Seed, 0x666f6c64)).Perm(t.n)
	losses, hits, neurons := make([][]float64, k), make([]float64, k), make([]float64, k)
	held := 0.0
	for f := 0; f < opt.Folds && ctx.Err() == nil; f++ {
		lo, hi := f*t.n/opt.Folds, (f+1)*t.n/opt.Folds
		test := order[lo:hi]
		train := append(append([]int(nil), order[:lo]...), order[hi:]...)
		fold, err := p.Rows(train)
		if err != nil {
			return nil, fmt.Errorf("convex: CrossValidate, fold %d: %w", f+1, err)
		}
		po.of = fmt.Sprintf("fold %d of %d, ", f+1, opt.Folds)
		fp, err := SolvePath(ctx, fold, &po)
		if err != nil {
			return nil, fmt.Errorf("convex: CrossValidate, fold %d: %w", f+1, err)
		}
		if len(fp.Solutions) < k || ctx.Err() != nil {
			break // cut short: its last solution is not one of its beta
		}
		unseen := p
		unseen.Patterns = nil // a network predicts without
		out, err := unseen.Rows(test)
		if err != nil {
			return nil, err
		}
		Y := mat.DenseCopyOf(out.Y)
		loss, err := p.Loss.orDefault().New(flatten(Y))
		if err != nil {
			return nil, err
		}
		for i, s := range fp.Solutions {
			var F *mat.Dense
			if len(p.Patches) > 0 {
				F, err = s.Network.PredictPatches(out.Patches)
			} else {
				F, err = s.Network.Predict(out.X)
			}
			if err != nil {
				return nil, fmt.Errorf("convex: CrossValidate, fold %d: %w", f+1, err)
			}
			losses[i] = append(losses[i], loss.Value(flatten(F))/float64(len(test)))
			neurons[i] += float64(s.Network.Neurons())
			for j, y := range flatten(Y) {
				if y*flatten(F)[j] > 0 {
					hits[i]++
				}
			}
		}
		held += float64(len(test) * t.c)
		cv.Folds++
	}
	if cv.Folds == 0 {
		return nil, fmt.Errorf("convex: CrossValidate: ended before the first fold was solved: %w", context.Cause(ctx))
	}
	signs := p.Loss.Name == Logistic.Name || p.Loss.Name == Hinge.Name
	n := float64(cv.Folds)
	for i := range cv.Betas {
		mean, ss := 0.0, 0.0
		for _, v := range losses[i] {
			mean += v / n
		}
		for _, v := range losses[i] {
			ss += (v - mean) * (v - mean)
		}
		se := 0.0
		if cv.Folds > 1 {
			se = math.Sqrt(ss / (n - 1) / n)
		}
		acc := math.NaN()
		if signs {
			acc = hits[i] / held
		}
		cv.Loss, cv.StdErr = append(cv.Loss, mean), append(cv.StdErr, se)
		cv.Accuracy, cv.Neurons = append(cv.Accuracy, acc), append(cv.Neurons, neurons[i]/n)
		if mean < cv.Loss[cv.Best] {
			cv.Best = i
		}
	}
	for cv.Loss[cv.Sparsest] > cv.Loss[cv.Best]+cv.StdErr[cv.Best] {
		cv.Sparsest++
	}
	return cv, nil
}

// Rows is p with the given samples only, in that order, and with its patterns,
// if it has any, as they are on those. A sample may be asked for more than once.
func (p Problem) Rows(idx []int) (Problem, error) {
	if p.Y == nil {
		return Problem{}, errors.New("convex: Rows: the problem has no Y")
	}
	n, _ := p.Y.Dims()
	if len(idx) == 0 {
		return Problem{}, fmt.Errorf("convex: Rows: no row is asked for: want indices from 0 to %d", n-1)
	}
	for i, r := range idx {
		if r < 0 || r >= n {
			return Problem{}, fmt.Errorf("convex: Rows: rows[%d] is %d: the problem has rows 0 to %d", i, r, n-1)
		}
	}
	for _, M := range append([]mat.Matrix{p.X}, p.Patches...) {
		if M != nil {
			if r, _ := M.Dims(); r != n {
				return Problem{}, fmt.Errorf("convex: Rows: the data have %d rows but Y has %d", r, n)
			}
		}
	}
	pick := func(A mat.Matrix) mat.Matrix {
		_, c := A.Dims()
		B := mat.NewDense(len(idx), c, nil)
		for i, r := range idx {
			for j := 0; j < c; j++ {
				B.Set(i, j, A.At(r, j))
			}
		}
		return B
	}
	q := p
	q.cut = nil
	q.Y = pick(p.Y)
	if p.X != nil {
		q.X = pick(p.X)
	}
	q.Patches = nil
	for _, P := range p.Patches {
		q.Patches = append(q.Patches, pick(P))
	}
	if p.Patterns == nil {
		return q, nil
	}
	if p.Patterns.Gates != nil && q.X != nil && !p.Patching.given() {
		var err error
		q.Patterns, err = GatePatterns(q.X, p.Patterns.Gates)
		return q, err
	}
	patches := max(1, p.Patterns.Samples()/n)
	cut := newPatterns(p.Patterns.Len(), len(idx)*patches)
	cut.Source = p.Patterns.Source
	for g := 0; g < p.Patterns.Len(); g++ {
		for k := 0; k < patches; k++ {
			for i, r := range idx {
				if p.Patterns.Bit(g, k*n+r) {
					cut.set(g, k*len(idx)+i)
				}
			}
		}
	}
	q.Patterns = cut.Distinct()
	if q.Patterns.Len() == 0 {
		return q, errors.New("convex: Rows: none of the patterns is active on any of these samples")
	}
	return q, nil
}

// String is a table of the weight decays.
func (cv *CrossValidation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d-fold cross-validation\n%12s %14s %12s %9s %9s", cv.Folds, "beta", "held-out loss", "std. error", "accuracy", "neurons")
	for i := range cv.Betas {
		acc := "-"
		if !math.IsNaN(cv.Accuracy[i]) {
			acc = fmt.Sprintf("%.4f", cv.Accuracy[i])
		}
		mark := ""
		switch i {
		case cv.Best:
			mark = "  least loss"
		case cv.Sparsest:
			mark = "  within a standard error"
		}
		fmt.Fprintf(&b, "\n%12.5g %14.7g %12.2g %9s %9.1f%s", cv.Betas[i], cv.Loss[i], cv.StdErr[i], acc, cv.Neurons[i], mark)
	}
	return b.String()
}
