package sweep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// load reads the job's data: the problem to solve, and the same with the samples
// to test on, nil if there are none.
func (j Job) load(dir string) (train convex.Problem, test *convex.Problem, err error) {
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

func (j Job) loadProblem(path string) (convex.Problem, *convex.Problem, error) {
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
	seed := j.SplitSeed
	if seed == 0 {
		seed = p.Seed
	}
	return split(p, j.Test, j.Rows, seed)
}

// split parts the samples at random, with the same share of every class where Y
// has classes, and takes at most rows of the rest to train on.
func split(p convex.Problem, fraction float64, rows int, seed uint64) (convex.Problem, *convex.Problem, error) {
	n, _ := p.Y.Dims()
	train := make([]int, n)
	for i := range train {
		train[i] = i
	}
	var test *convex.Problem
	if fraction > 0 {
		ids, _ := classes(p.Y)
		in, out, err := data.SplitRows(n, ids, fraction, seed)
		if err != nil {
			return p, nil, err
		}
		held, err := p.Rows(out)
		if err != nil {
			return p, nil, err
		}
		train, test = in, &held
	}
	if rows > 0 && rows < len(train) {
		rand.New(rand.NewPCG(seed, 0x726f7773)).Shuffle(len(train), func(a, b int) { train[a], train[b] = train[b], train[a] })
		train = train[:rows]
		slices.Sort(train)
	}
	if len(train) == n {
		return p, test, nil
	}
	p, err := p.Rows(train)
	return p, test, err
}

// classes returns the class of every sample and their number: by sign when Y
// is one column of -1 and +1, by column when its rows have one 1 and zeros;
// k is 0 for a regression.
func classes(Y mat.Matrix) (ids []int, k int) {
	n, c := Y.Dims()
	ids = make([]int, n)
	for i := range n {
		ids[i] = -1
		for o := range c {
			switch v := Y.At(i, o); {
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

// score is how well predictions fit targets: the share of samples whose class
// they name, or the coefficient of determination R² of a regression.
func score(Y mat.Matrix, predictions *mat.Dense) (accuracy, r2 *float64) {
	n, c := Y.Dims()
	if ids, k := classes(Y); k > 0 {
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
			mean += Y.At(i, o) / float64(n)
		}
		for i := range n {
			e, t := Y.At(i, o)-predictions.At(i, o), Y.At(i, o)-mean
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

// predict is the network's predictions for the samples of p.
func predict(net *convex.Network, p convex.Problem) (*mat.Dense, error) {
	if len(p.Patches) > 0 {
		return net.PredictPatches(p.Patches)
	}
	return net.Predict(p.X)
}

func (j Job) loadSet(dir string) (convex.Problem, *convex.Problem, error) {
	p := j.problem()
	set, err := j.openSet(dataFile(dir, j.Data), j.SHA256)
	if err != nil {
		return p, nil, err
	}
	if err := fill(&p, set); err != nil {
		return p, nil, err
	}
	p, test, err := split(p, j.Test, j.Rows, j.splitSeed())
	if err != nil {
		return p, nil, err
	}
	if j.TestData != "" {
		testSet, err := j.openSet(dataFile(dir, j.TestData), j.TestSHA256)
		if err != nil {
			return p, nil, err
		}
		if set.Features() != testSet.Features() || len(set.ClassNames) != len(testSet.ClassNames) {
			return p, nil, fmt.Errorf("sweep: %s has %d features and %d classes, %s %d and %d: they must be parts of one set", j.Data, set.Features(), len(set.ClassNames), j.TestData, testSet.Features(), len(testSet.ClassNames))
		}
		test = &convex.Problem{Arch: p.Arch, Patching: p.Patching}
		if err := fill(test, testSet); err != nil {
			return p, nil, err
		}
	}
	var z data.Standardizer
	if j.Standardize {
		if z, err = data.FitStandardizer(p.X); err != nil {
			return p, nil, err
		}
	}
	for _, q := range []*convex.Problem{&p, test} {
		if q == nil {
			continue
		}
		if j.Standardize {
			if q.X, err = z.Apply(q.X); err != nil {
				return p, nil, err
			}
		}
		if j.Bias {
			q.X = data.WithBias(q.X)
		}
	}
	return p, test, nil
}

// fill gives p the samples of a set; three or more classes become columns.
func fill(p *convex.Problem, s *data.Set) (err error) {
	p.X, p.Y = s.X, s.Y
	if len(s.ClassNames) > 2 {
		p.Y, err = s.OneHot()
	}
	return err
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
		if y, k := classes(set.Y); k == 2 && y != nil {
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
