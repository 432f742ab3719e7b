package sweep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// sample is samples to train or test on: X or Patches, and Y.
type sample struct {
	X       *mat.Dense
	Patches []*mat.Dense
	Y       *mat.Dense
}

func (s *sample) rows() int {
	if s == nil {
		return 0
	}
	n, _ := s.Y.Dims()
	return n
}

// load reads the job's data: the problem to solve, and the samples to test on,
// nil if there are none.
func (j Job) load(dir string) (convex.Problem, *sample, error) {
	if j.Problem != "" {
		return j.loadProblem(within(dir, j.Problem))
	}
	return j.loadSet(dir)
}

func (j Job) splitSeed() uint64 {
	if j.SplitSeed != 0 {
		return j.SplitSeed
	}
	return j.Seed
}

func (j Job) loadProblem(path string) (convex.Problem, *sample, error) {
	var none convex.Problem
	if j.SHA256 != "" {
		sum, err := hashProblem(path)
		if err != nil {
			return none, nil, err
		}
		if sum != j.SHA256 {
			return none, nil, otherData(path, sum, j.SHA256)
		}
	}
	p, err := convex.ReadProblem(path)
	if err != nil {
		return none, nil, err
	}
	if j.Name != "" {
		p.Name = j.Name
	}
	if j.Arch != nil {
		p.Arch = j.Arch
	}
	if j.Loss.Name != "" {
		p.Loss = j.Loss
	}
	if j.Beta != 0 {
		p.Beta = j.Beta
	}
	if j.Seed != 0 {
		p.Seed = j.Seed
	}
	p.OutputBias = p.OutputBias || j.OutputBias
	if j.Test == 0 && j.Rows == 0 {
		return p, nil, nil
	}
	if p.Patterns != nil {
		return none, nil, fmt.Errorf("sweep: %s has patterns over all its samples: test and rows, which leave some out, are for problems without", path)
	}
	all := trained(p)
	seed := j.SplitSeed
	if seed == 0 {
		seed = p.Seed
	}
	train, test, err := all.split(j.Test, j.Rows, seed)
	if err != nil {
		return none, nil, err
	}
	p = train.in(p)
	return p, test, nil
}

// in is p with the samples as its data.
func (s *sample) in(p convex.Problem) convex.Problem {
	p.X, p.Patches, p.Y = nil, nil, s.Y
	if s.X != nil {
		p.X = s.X
	}
	for _, P := range s.Patches {
		p.Patches = append(p.Patches, P)
	}
	return p
}

// split parts the samples at random, keeping their order, with the same share
// of every class where Y has classes, and takes at most rows to train on.
func (s *sample) split(fraction float64, rows int, seed uint64) (train, test *sample, err error) {
	n := s.rows()
	groups := [][]int{nil}
	if ids, k := s.classes(); k > 0 {
		groups = make([][]int, k)
		for i, id := range ids {
			groups[id] = append(groups[id], i)
		}
	} else {
		for i := range n {
			groups[0] = append(groups[0], i)
		}
	}
	rnd := rand.New(rand.NewPCG(seed, 0x73706c6974))
	var in, out []int
	for _, g := range groups {
		rnd.Shuffle(len(g), func(a, b int) { g[a], g[b] = g[b], g[a] })
		k := int(math.Round(fraction * float64(len(g))))
		out, in = append(out, g[:k]...), append(in, g[k:]...)
	}
	if rows > 0 && rows < len(in) {
		rnd.Shuffle(len(in), func(a, b int) { in[a], in[b] = in[b], in[a] })
		in = in[:rows]
	}
	if len(in) == 0 || fraction > 0 && len(out) == 0 {
		return nil, nil, fmt.Errorf("sweep: a test fraction of %g of %d samples leaves %d to train on and %d to test", fraction, n, len(in), len(out))
	}
	slices.Sort(in)
	slices.Sort(out)
	if fraction > 0 {
		test = s.pick(out)
	}
	return s.pick(in), test, nil
}

func (s *sample) pick(rows []int) *sample {
	of := func(M *mat.Dense) *mat.Dense {
		if M == nil {
			return nil
		}
		_, d := M.Dims()
		out := mat.NewDense(len(rows), d, nil)
		for i, r := range rows {
			out.SetRow(i, M.RawRowView(r))
		}
		return out
	}
	t := &sample{X: of(s.X), Y: of(s.Y)}
	for _, P := range s.Patches {
		t.Patches = append(t.Patches, of(P))
	}
	return t
}

// classes returns the class of every sample and their number: by sign when Y
// is one column of -1 and +1, by column when its rows have one 1 and zeros;
// k is 0 for a regression.
func (s *sample) classes() (ids []int, k int) {
	n, c := s.Y.Dims()
	ids = make([]int, n)
	for i := range n {
		row := s.Y.RawRowView(i)
		ids[i] = -1
		for o, v := range row {
			switch {
			case c == 1 && (v == 1 || v == -1):
				ids[i] = int(v+1) / 2
			case c > 1 && v == 1 && ids[i] < 0:
				ids[i] = o
			case c > 1 && v == 0:
			default:
				return nil, 0
			}
		}
		if ids[i] < 0 {
			return nil, 0
		}
	}
	return ids, max(c, 2)
}

// score is how well predictions fit: the share of samples whose class they
// name, or the coefficient of determination R² of a regression.
func (s *sample) score(predictions *mat.Dense) (accuracy, r2 *float64) {
	n, c := s.Y.Dims()
	if ids, k := s.classes(); k > 0 {
		right := 0
		for i := range n {
			row, class := predictions.RawRowView(i), -1 // 0 names no class
			switch {
			case c > 1:
				class = 0
				for o, v := range row {
					if v > row[class] {
						class = o
					}
				}
			case row[0] > 0:
				class = 1
			case row[0] < 0:
				class = 0
			}
			if class == ids[i] {
				right++
			}
		}
		v := float64(right) / float64(n)
		return &v, nil
	}
	rest, total := 0.0, 0.0
	for o := range c {
		mean := 0.0
		for i := range n {
			mean += s.Y.At(i, o) / float64(n)
		}
		for i := range n {
			e, t := s.Y.At(i, o)-predictions.At(i, o), s.Y.At(i, o)-mean
			rest += e * e
			total += t * t
		}
	}
	if total == 0 {
		return nil, nil
	}
	v := 1 - rest/total
	return nil, &v
}

// predict is the network's predictions for the samples.
func (s *sample) predict(net *convex.Network) (*mat.Dense, error) {
	if s.X != nil {
		return net.Predict(s.X)
	}
	var patches []mat.Matrix
	for _, P := range s.Patches {
		patches = append(patches, P)
	}
	return net.PredictPatches(patches)
}

func (j Job) loadSet(dir string) (convex.Problem, *sample, error) {
	p := j.problem()
	set, err := j.openSet(dataFile(dir, j.Data), j.SHA256)
	if err != nil {
		return p, nil, err
	}
	var testSet *data.Set
	switch {
	case j.TestData != "":
		if testSet, err = j.openSet(dataFile(dir, j.TestData), j.TestSHA256); err != nil {
			return p, nil, err
		}
		if set.Features() != testSet.Features() || len(set.ClassNames) != len(testSet.ClassNames) {
			return p, nil, fmt.Errorf("sweep: %s has %d features and %d classes, %s %d and %d: they must be parts of one set", j.Data, set.Features(), len(set.ClassNames), j.TestData, testSet.Features(), len(testSet.ClassNames))
		}
	case j.Test > 0:
		if set, testSet, err = set.Split(j.Test, j.splitSeed()); err != nil {
			return p, nil, err
		}
	}
	if j.Rows > 0 && j.Rows < set.Len() {
		if set, err = set.Shuffle(j.splitSeed()); err != nil {
			return p, nil, err
		}
		if set, err = set.Take(j.Rows); err != nil {
			return p, nil, err
		}
	}
	var z data.Standardizer
	if j.Standardize {
		if z, err = data.FitStandardizer(set.X); err != nil {
			return p, nil, err
		}
	}
	finish := func(s *data.Set) (*sample, error) {
		t := &sample{X: s.X}
		if j.Standardize {
			if t.X, err = z.Apply(s.X); err != nil {
				return nil, err
			}
		}
		if j.Bias {
			t.X = data.WithBias(t.X)
		}
		if len(s.ClassNames) > 2 {
			t.Y, err = s.OneHot()
			return t, err
		}
		t.Y = mat.DenseCopyOf(s.Y)
		return t, nil
	}
	train, err := finish(set)
	if err != nil {
		return p, nil, err
	}
	var test *sample
	if testSet != nil {
		if test, err = finish(testSet); err != nil {
			return p, nil, err
		}
	}
	return train.in(p), test, nil
}

// openSet reads a data set, checks its hash, and makes two classes of it when
// the job wants two or there are no more.
func (j Job) openSet(name, sum string) (*data.Set, error) {
	set, err := readSet(name)
	if err != nil {
		return nil, err
	}
	if sum != "" && sum != set.SHA256 {
		return nil, otherData(name, set.SHA256, sum)
	}
	if set.Y == nil {
		return nil, fmt.Errorf("sweep: %s has no targets: put X and y into one .npz or CSV file, or into a problem file", name)
	}
	switch {
	case j.Classes != nil:
		return set.Classes(j.Classes[0], j.Classes[1])
	case len(set.ClassNames) == 2:
		if y, k := (&sample{Y: mat.DenseCopyOf(set.Y)}).classes(); k == 2 && y != nil {
			return set, nil // labelled -1 and +1 already
		}
		return set.Classes(0, 1)
	}
	return set, nil
}

func readSet(name string) (*data.Set, error) {
	if slices.Contains(data.Names(), name) {
		return data.Load(name)
	}
	return data.Open(name)
}

func hashData(name string) (string, error) {
	set, err := readSet(name)
	if err != nil {
		return "", err
	}
	return set.SHA256, nil
}

func otherData(path, have, want string) error {
	return fmt.Errorf("sweep: %s has SHA-256 %.12s…, the job was written for %.12s…: the data have changed; write the spec anew, or restore the file", path, have, want)
}

// hashProblem is the SHA-256 of a problem file; if it names .npy files, that
// of the lines of sha256sum's format for the file and for them, in the order
// of their fields' names.
func hashProblem(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	own := sha256.Sum256(text)
	raw := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &raw); err != nil {
		return "", fmt.Errorf("sweep: %s is not a problem file: %w", path, err)
	}
	var names []string
	for field := range raw {
		names = append(names, field)
	}
	slices.Sort(names)
	lines := []string{hex.EncodeToString(own[:]) + "  " + filepath.Base(path)}
	for _, field := range names {
		var file string
		if json.Unmarshal(raw[field], &file) != nil || !strings.HasSuffix(file, ".npy") {
			continue
		}
		if !filepath.IsLocal(file) {
			return "", fmt.Errorf("sweep: %s: field %q names %s: want a file beside the problem file", path, field, file)
		}
		sum, err := hashFile(filepath.Join(filepath.Dir(path), file))
		if err != nil {
			return "", err
		}
		lines = append(lines, sum+"  "+file)
	}
	if len(lines) == 1 {
		return hex.EncodeToString(own[:]), nil
	}
	all := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	return hex.EncodeToString(all[:]), nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// trained is the samples of a problem.
func trained(p convex.Problem) *sample {
	s := &sample{Y: mat.DenseCopyOf(p.Y)}
	if p.X != nil {
		s.X = mat.DenseCopyOf(p.X)
	}
	for _, P := range p.Patches {
		s.Patches = append(s.Patches, mat.DenseCopyOf(P))
	}
	return s
}
