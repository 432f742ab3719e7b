// Package data loads, makes and shapes the data that networks are trained on.
//
// A Set is samples, targets and where they come from. Digits, BreastCancer,
// Diabetes, Iris and Wine are built in; FashionMNIST reads the files of
// Debian's package, MNIST and CIFAR10 those of the user; Open reads a file by
// what is in it (CSV, LIBSVM, IDX, NPY, NPZ, CIFAR-10), and Spiral, Moons and
// the other generators make data from a seed. The X and Y of a Set go into a convex.Problem as they are: nothing
// is scaled or shuffled unasked.
package data

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"image/png"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// Set is a data set of n samples with d features.
//
// Y holds one target a sample. With ClassNames it is a class: the ids 0 to
// k-1, or, in a two-class set made by Classes, the labels -1 (ClassNames[0])
// and +1 (ClassNames[1]) that the logistic and hinge losses want. Without
// ClassNames it is a number to predict.
type Set struct {
	Name         string
	X            *mat.Dense    // n×d, one sample a row
	Y            *mat.VecDense // n targets
	FeatureNames []string      // d names, or nil
	ClassNames   []string      // by class id, or nil for a regression
	Shape        []int         // height and width, or height, width and channels (0 to 2: red, green, blue planes in turn), of samples that are images; else nil
	Source       string        // who made it and where it was read
	License      string
	SHA256       string // of the file or files it was read from, in hexadecimal
}

// Len is the number of samples n.
func (s Set) Len() int {
	if s.X == nil || s.X.IsEmpty() {
		return 0
	}
	n, _ := s.X.Dims()
	return n
}

// Features is the number of features d.
func (s Set) Features() int {
	if s.X == nil || s.X.IsEmpty() {
		return 0
	}
	_, d := s.X.Dims()
	return d
}

// check reports what makes s unusable.
func (s Set) check(method string) error {
	n := s.Len()
	switch {
	case n == 0:
		return fmt.Errorf("data: %s: the set %q has no samples", method, s.Name)
	case s.Y == nil || s.Y.IsEmpty():
		return fmt.Errorf("data: %s: the set %q has no targets: set Y to a vector of length %d", method, s.Name, n)
	case s.Y.Len() != n:
		return fmt.Errorf("data: %s: X has %d rows but Y has %d entries: want one target a row", method, n, s.Y.Len())
	}
	return nil
}

// signed reports whether the targets are the labels -1 and +1 of two classes.
func (s Set) signed() bool {
	if len(s.ClassNames) != 2 || s.Y == nil {
		return false
	}
	for i := range s.Y.Len() {
		if v := s.Y.AtVec(i); v != 1 && v != -1 {
			return false
		}
	}
	return true
}

// ids returns the class id of each sample, 0 to len(ClassNames)-1.
func (s Set) ids() ([]int, error) {
	if len(s.ClassNames) == 0 {
		return nil, fmt.Errorf("data: the set %q is a regression: it has no classes (ClassNames is empty)", s.Name)
	}
	signed := s.signed()
	ids := make([]int, s.Y.Len())
	for i := range ids {
		v := s.Y.AtVec(i)
		if signed {
			v = (v + 1) / 2
		}
		if v != math.Trunc(v) || v < 0 || v >= float64(len(s.ClassNames)) {
			return nil, fmt.Errorf("data: target %d of the set %q is %g: want a class id from 0 to %d", i, s.Name, v, len(s.ClassNames)-1)
		}
		ids[i] = int(v)
	}
	return ids, nil
}

// Counts is the number of samples of each class, by class id; nil for a
// regression.
func (s Set) Counts() []int {
	if s.check("Counts") != nil {
		return nil
	}
	ids, err := s.ids()
	if err != nil {
		return nil
	}
	counts := make([]int, len(s.ClassNames))
	for _, id := range ids {
		counts[id]++
	}
	return counts
}

// Classes returns the samples of two classes, given by id, in their order. In
// the result class a has the label -1 and class b +1.
func (s Set) Classes(a, b int) (*Set, error) {
	if err := s.check("Classes"); err != nil {
		return nil, err
	}
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	k := len(s.ClassNames)
	switch {
	case a < 0 || a >= k || b < 0 || b >= k:
		return nil, fmt.Errorf("data: Classes(%d, %d): the set %q has the classes %s", a, b, s.Name, s.classList())
	case a == b:
		return nil, fmt.Errorf("data: Classes(%d, %d): want two different classes of %s", a, b, s.classList())
	}
	var rows []int
	var y []float64
	var count [2]int
	for i, id := range ids {
		switch id {
		case a:
			rows, y = append(rows, i), append(y, -1)
			count[0]++
		case b:
			rows, y = append(rows, i), append(y, 1)
			count[1]++
		}
	}
	if count[0] == 0 || count[1] == 0 {
		return nil, fmt.Errorf("data: Classes(%d, %d): the set %q has %d samples of %s and %d of %s: want both", a, b, s.Name, count[0], s.ClassNames[a], count[1], s.ClassNames[b])
	}
	t := s.pick(rows)
	t.Y = mat.NewVecDense(len(y), y)
	t.ClassNames = []string{s.ClassNames[a], s.ClassNames[b]}
	t.Name = fmt.Sprintf("%s: %s or %s", s.Name, s.ClassNames[a], s.ClassNames[b])
	return t, nil
}

func (s Set) classList() string {
	var b strings.Builder
	for i, name := range s.ClassNames {
		if i > 0 {
			b.WriteString(", ")
		}
		if i == 12 {
			fmt.Fprintf(&b, "… %d in all", len(s.ClassNames))
			break
		}
		fmt.Fprintf(&b, "%d (%s)", i, name)
	}
	return b.String()
}

// Rows returns a copy of the given samples, in the given order. A sample may
// be asked for more than once.
func (s Set) Rows(rows []int) (*Set, error) {
	if err := s.check("Rows"); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("data: Rows: no row is asked for: want indices from 0 to %d", s.Len()-1)
	}
	for i, r := range rows {
		if r < 0 || r >= s.Len() {
			return nil, fmt.Errorf("data: Rows: rows[%d] is %d: the set %q has rows 0 to %d", i, r, s.Name, s.Len()-1)
		}
	}
	return s.pick(rows), nil
}

// pick copies valid rows.
func (s Set) pick(rows []int) *Set {
	t := s
	t.X = mat.NewDense(len(rows), s.Features(), nil)
	t.Y = mat.NewVecDense(len(rows), nil)
	for i, r := range rows {
		t.X.SetRow(i, s.X.RawRowView(r))
		t.Y.SetVec(i, s.Y.AtVec(r))
	}
	return &t
}

// Take returns a copy of the first n samples.
func (s Set) Take(n int) (*Set, error) {
	if err := s.check("Take"); err != nil {
		return nil, err
	}
	if n < 1 || n > s.Len() {
		return nil, fmt.Errorf("data: Take(%d): the set %q has %d samples: want 1 to %[3]d", n, s.Name, s.Len())
	}
	return s.pick(sequence(n)), nil
}

// Shuffle returns a copy in random order; the same seed gives the same order.
func (s Set) Shuffle(seed uint64) (*Set, error) {
	if err := s.check("Shuffle"); err != nil {
		return nil, err
	}
	return s.pick(newRand(seed, "shuffle").Perm(s.Len())), nil
}

// Split parts s at random into training and test sets, with testFraction of
// every class (of all samples, for a regression) in the test set, rounded. The
// samples keep their order; the same seed gives the same parts.
func (s Set) Split(testFraction float64, seed uint64) (train, test *Set, err error) {
	if err := s.check("Split"); err != nil {
		return nil, nil, err
	}
	var ids []int
	if len(s.ClassNames) > 0 {
		if ids, err = s.ids(); err != nil {
			return nil, nil, err
		}
	}
	in, out, err := SplitRows(s.Len(), ids, testFraction, seed)
	if err != nil {
		return nil, nil, err
	}
	train, test = s.pick(in), s.pick(out)
	train.Name += " (train)"
	test.Name += " (test)"
	return train, test, nil
}

// SplitRows chooses the samples of Split among n: those to train on and those to
// test on, both in order. ids are their classes; nil means none.
func SplitRows(n int, ids []int, testFraction float64, seed uint64) (train, test []int, err error) {
	if !(testFraction > 0 && testFraction < 1) {
		return nil, nil, fmt.Errorf("data: Split: testFraction is %g: want a fraction between 0 and 1, such as 0.25", testFraction)
	}
	if ids != nil && len(ids) != n {
		return nil, nil, fmt.Errorf("data: Split: there are %d samples but %d class ids", n, len(ids))
	}
	classes := map[int][]int{}
	for i := range n {
		id := 0
		if ids != nil {
			id = ids[i]
		}
		classes[id] = append(classes[id], i)
	}
	rnd := newRand(seed, "split")
	for _, id := range slices.Sorted(maps.Keys(classes)) {
		g := classes[id]
		rnd.Shuffle(len(g), func(i, j int) { g[i], g[j] = g[j], g[i] })
		k := int(math.Round(testFraction * float64(len(g))))
		test = append(test, g[:k]...)
		train = append(train, g[k:]...)
	}
	if len(train) == 0 || len(test) == 0 {
		return nil, nil, fmt.Errorf("data: Split: a test fraction of %g of %d samples leaves %d to train on and %d to test: choose another fraction", testFraction, n, len(train), len(test))
	}
	slices.Sort(train)
	slices.Sort(test)
	return train, test, nil
}

// OneHot returns the n×k targets of k classes: 1 in the column of the sample's
// class, 0 elsewhere.
func (s Set) OneHot() (*mat.Dense, error) {
	if err := s.check("OneHot"); err != nil {
		return nil, err
	}
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	y := mat.NewDense(len(ids), len(s.ClassNames), nil)
	for i, id := range ids {
		y.Set(i, id, 1)
	}
	return y, nil
}

// Accuracy is the share of samples whose class the predictions name: for one
// column of predictions on a set labelled -1 and +1 by sign (0 is wrong), for
// one column a class by the largest.
func (s Set) Accuracy(predictions mat.Matrix) (float64, error) {
	if err := s.check("Accuracy"); err != nil {
		return 0, err
	}
	ids, err := s.ids()
	if err != nil {
		return 0, err
	}
	if predictions == nil {
		return 0, errors.New("data: Accuracy: predictions are nil: pass what Predict(set.X) returned")
	}
	n, c := predictions.Dims()
	signed := s.signed()
	if n != len(ids) || !(c == len(s.ClassNames) || c == 1 && signed) {
		want := fmt.Sprintf("%d×%d", len(ids), len(s.ClassNames))
		if signed {
			want = fmt.Sprintf("%d×1", len(ids))
		}
		return 0, fmt.Errorf("data: Accuracy: predictions are %d×%d: want %s for the set %q", n, c, want, s.Name)
	}
	right := 0
	for i, id := range ids {
		if c == 1 {
			if predictions.At(i, 0)*float64(2*id-1) > 0 {
				right++
			}
			continue
		}
		best := 0
		for j := 1; j < c; j++ {
			if predictions.At(i, j) > predictions.At(i, best) {
				best = j
			}
		}
		if best == id {
			right++
		}
	}
	return float64(right) / float64(n), nil
}

// facts are the lines of the summary: what, and its value.
func (s Set) facts() [][2]string {
	f := [][2]string{{"samples", fmt.Sprint(s.Len())}}
	features := fmt.Sprint(s.Features())
	if s.Shape != nil {
		features += " (" + shapeString(s.Shape) + " images)"
	}
	f = append(f, [2]string{"features", features})
	if counts := s.Counts(); counts != nil {
		var b strings.Builder
		signed := s.signed()
		for i, c := range counts {
			if i > 0 {
				b.WriteString(", ")
			}
			if i == 20 {
				fmt.Fprintf(&b, "… %d in all", len(counts))
				break
			}
			label := fmt.Sprint(i)
			if signed {
				label = fmt.Sprintf("%+d", 2*i-1)
			}
			if label == s.ClassNames[i] {
				fmt.Fprintf(&b, "%s: %d", label, c)
			} else {
				fmt.Fprintf(&b, "%s (%s): %d", label, s.ClassNames[i], c)
			}
		}
		f = append(f, [2]string{"classes", b.String()})
	} else if s.Y != nil && !s.Y.IsEmpty() {
		y := s.Y.RawVector()
		lo, hi, sum := math.Inf(1), math.Inf(-1), 0.0
		for i := range y.N {
			v := y.Data[i*y.Inc]
			lo, hi, sum = min(lo, v), max(hi, v), sum+v
		}
		f = append(f, [2]string{"targets", fmt.Sprintf("%.4g to %.4g, mean %.4g", lo, hi, sum/float64(y.N))})
	}
	for _, kv := range [][2]string{{"source", s.Source}, {"licence", s.License}, {"SHA-256", s.SHA256}} {
		if kv[1] != "" {
			f = append(f, kv)
		}
	}
	return f
}

// String summarises the set: rows, columns, classes and origin.
func (s Set) String() string {
	var b strings.Builder
	b.WriteString(s.Name)
	for _, kv := range s.facts() {
		fmt.Fprintf(&b, "\n  %-9s %s", kv[0], kv[1])
	}
	return b.String()
}

// HTML is the summary as a table, with a few of the samples if they are images.
func (s Set) HTML() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<table style="text-align:left"><caption style="text-align:left;font-weight:bold">%s</caption>`, html.EscapeString(s.Name))
	for _, kv := range s.facts() {
		fmt.Fprintf(&b, `<tr><th style="text-align:left;vertical-align:top">%s</th><td style="text-align:left;overflow-wrap:anywhere">%s</td></tr>`, kv[0], html.EscapeString(kv[1]))
	}
	b.WriteString("</table>")
	if s.Shape != nil {
		if img, err := s.Images(min(s.Len(), 20)); err == nil {
			var buf bytes.Buffer
			if png.Encode(&buf, img) == nil {
				fmt.Fprintf(&b, `<img alt="the first samples" style="image-rendering:pixelated;min-width:20em" src="data:image/png;base64,%s">`, base64.StdEncoding.EncodeToString(buf.Bytes()))
			}
		}
	}
	return b.String()
}

func shapeString(shape []int) string {
	parts := make([]string, len(shape))
	for i, v := range shape {
		parts[i] = fmt.Sprint(v)
	}
	return strings.Join(parts, "×")
}

func sequence(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// newRand is the generator of one purpose: purposes with the same seed draw
// different numbers.
func newRand(seed uint64, purpose string) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range []byte(purpose) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}
