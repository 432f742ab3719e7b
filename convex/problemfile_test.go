package convex

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"codeberg.org/sbinet/npyio/npy"
	"gonum.org/v1/gonum/mat"
)

// The samples' optima were certified by an independent solver.
func TestSampleProblems(t *testing.T) {
	files, _ := filepath.Glob("testdata/problems/*.expected.json")
	if len(files) == 0 {
		t.Fatal("no samples")
	}
	for _, ef := range files {
		name := strings.TrimSuffix(ef, ".expected.json")
		t.Run(filepath.Base(name), func(t *testing.T) {
			var want struct {
				Optimum   float64
				Tolerance float64 `json:"relative_tolerance"`
				// The optimum of a relaxation, where there is one.
				Relaxation float64 `json:"frobenius_lower_bound"`
			}
			b, err := os.ReadFile(ef)
			if err == nil {
				err = json.Unmarshal(b, &want)
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := ReadProblem(name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			sol, err := Solve(context.Background(), p, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%v", sol)
			if e := math.Abs(sol.Primal-want.Optimum) / want.Optimum; e > want.Tolerance {
				t.Errorf("objective %.12g, optimum %.12g: relative error %.1e", sol.Primal, want.Optimum, e)
			}
			if sol.Lower > want.Optimum*(1+1e-11) {
				t.Errorf("lower bound %.15g above the optimum %.15g", sol.Lower, want.Optimum)
			}
			if sol.Lower < want.Relaxation {
				t.Errorf("lower bound %.12g below that of the relaxation, %.12g", sol.Lower, want.Relaxation)
			}
			if sol.Status != Optimal || sol.Infeasibility > 1e-10 {
				t.Errorf("status %v, infeasibility %g", sol.Status, sol.Infeasibility)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeArray(t *testing.T, dir, name string, v any) {
	t.Helper()
	var b bytes.Buffer
	if err := npy.Write(&b, v); err != nil {
		t.Fatal(err)
	}
	write(t, dir, name, b.String())
}

const goodProblem = `{"architecture": "relu", "beta": 0.1, "X": [[1, 2], [3, 4], [5, -6]], "Y": [1, -1, 1]}`

func TestReadProblemErrors(t *testing.T) {
	dir := t.TempDir()
	writeArray(t, dir, "three.npy", []float64{1, 2, 3})
	writeArray(t, dir, "nan.npy", []float64{1, math.NaN(), 3})
	write(t, dir, "junk.npy", "this is no array")
	write(t, dir, "huge.npy", "\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }"+strings.Repeat(" ", 46)+"\n")
	write(t, dir, "long.npy", "\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr'")
	with := func(old, new string) string {
		if !strings.Contains(goodProblem, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(goodProblem, old, new, 1)
	}
	cases := []struct{ text, want string }{
		{"", "empty"},
		{"hello", "not a problem file"},
		{"[1,2]", "not a problem file"},
		{"\x00\x01\x02\xff", "not a problem file"},
		{"{", "ends before"},
		{"{}", `"architecture" is missing`},
		{goodProblem + "{}", "more after"},
		{with(`"beta": 0.1`, `"beta": 0`), `"beta" is 0`},
		{with(`"beta": 0.1`, `"beta": -1`), `"beta" is -1`},
		{with(`"beta": 0.1`, `"beta": "x"`), `"beta": want a number`},
		{with(`"beta": 0.1`, `"beta": null`), `"beta": want a number`},
		{with(`"beta": 0.1`, `"beta": 1e999`), `"beta": want a number`},
		{with(`"beta": 0.1`, `"beta": NaN`), `"beta"`},
		{with(`"beta": 0.1, `, ``), `"beta" is missing`},
		{with(`"beta": 0.1`, `"beta": 0.1, "beta": 0.2`), `"beta" is there twice`},
		{with(`"Y": [1, -1, 1]`, `"y": [1, -1, 1]`), `did you mean "Y"`},
		{with(`"Y": [1, -1, 1]`, `"Z": 1`), `unknown field "Z"`},
		{with(`"Y": [1, -1, 1]`, `"name": "x"`), `"Y" is missing`},
		{with(`"Y": [1, -1, 1]`, `"Y": [1, -1]`), `"Y" has 2 rows`},
		{with(`"Y": [1, -1, 1]`, `"Y": [1, [2], 1]`), `"Y"`},
		{with(`"Y": [1, -1, 1]`, `"Y": [[1], 2, [1]]`), `"Y"`},
		{with(`"Y": [1, -1, 1]`, `"Y": [[[1]], [[2]], [[1]]]`), `at most 2`},
		{with(`"Y": [1, -1, 1]`, `"Y": []`), `"Y": an array`},
		{with(`"Y": [1, -1, 1]`, `"Y": 3`), `"Y": want an array`},
		{with(`"Y": [1, -1, 1]`, `"Y": null`), `"Y": want an array`},
		{with(`"Y": [1, -1, 1]`, `"Y": [1, NaN, 1]`), `"Y"`},
		{with(`"Y": [1, -1, 1]`, `"Y": [1, 1e400, 1]`), `entry [1] is 1e400: too large`},
		{with(`"Y": [1, -1, 1]`, `"Y": [1, "2", 1]`), `entry [1]`},
		{with(`"Y": [1, -1, 1]`, `"Y": [1, null, 1]`), `entry [1] is null`},
		{with(`"Y": [1, -1, 1]`, `"Y": [1, {"a": 1}, 1]`), `entry [1]`},
		{with(`[3, 4]`, `[3, 4, 5]`), `"X": row [1] has 3 entries`},
		{with(`[3, 4]`, `[]`), `"X"`},
		{with(`[3, 4]`, `7`), `"X": entry [1] is 7`},
		{with(`"X": [[1, 2], [3, 4], [5, -6]]`, `"X": [1, 2, 3]`), `"X" is a plain list`},
		{with(`"X": [[1, 2], [3, 4], [5, -6]], `, ``), `"X" is missing`},
		{with(`"X": [[1, 2], [3, 4], [5, -6]]`, `"X": "none.npy"`), `"X"`},
		{with(`"X": [[1, 2], [3, 4], [5, -6]]`, `"X": "../x.npy"`), `"X" is "../x.npy"`},
		{with(`"X": [[1, 2], [3, 4], [5, -6]]`, `"X": "/etc/passwd"`), `beside the problem file`},
		{with(`"Y": [1, -1, 1]`, `"Y": "junk.npy"`), `"Y"`},
		{with(`"Y": [1, -1, 1]`, `"Y": "nan.npy"`), `entry (1) is NaN`},
		{with(`"Y": [1, -1, 1]`, `"Y": "huge.npy"`), `does not fit`},
		{with(`"Y": [1, -1, 1]`, `"Y": "long.npy"`), `damaged`},
		{with(`"relu"`, `"transformer"`), `"architecture" is "transformer"`},
		{with(`"relu"`, `3`), `"architecture": want a string`},
		{with(`"beta"`, `"penalty": "nuclear", "beta"`), `architecture relu takes per_output only`},
		{with(`"beta"`, `"slope": 0.1, "beta"`), `"slope" is not for architecture relu`},
		{with(`"relu"`, `"gated_relu", "penalty": "best"`), `"penalty" is "best"`},
		{with(`"beta"`, `"loss": "cubed", "beta"`), `"loss" is "cubed"`},
		{with(`"beta"`, `"delta": 2, "beta"`), `"delta"`},
		{with(`"beta"`, `"loss": "huber", "delta": -2, "beta"`), `"delta"`},
		{with(`"beta"`, `"seed": -1, "beta"`), `"seed"`},
		{strings.Replace(with(`"beta"`, `"loss": "logistic", "beta"`), "-1, 1]", "0, 1]", 1), `"Y": logistic loss: label 1 is 0`},
		{with(`"beta"`, `"patterns": [[1, 0]], "beta"`), `"patterns" is 1×2 but the data have 3`},
		{with(`"beta"`, `"patterns": [[1, 0, 2]], "beta"`), `"patterns": NewPatterns: entry (0,2) is 2`},
		{with(`"beta"`, `"patterns": [[1, 0, 1]], "patterns_bits": [[1]], "beta"`), `give one`},
		{with(`"beta"`, `"patterns_bits": [[300]], "beta"`), `want bytes`},
		{with(`"beta"`, `"patterns_bits": [[1, 2]], "beta"`), `P rows of 1 bytes`},
	}
	for _, c := range cases {
		_, err := ReadProblem(write(t, dir, "p.json", c.text))
		if err == nil {
			t.Errorf("%s: accepted", c.text)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n  have %v\n  want %s", c.text, err, c.want)
		}
		if strings.Contains(err.Error(), "\n") || len(err.Error()) > 600 {
			t.Errorf("%s: not one clear line: %q", c.text, err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "absent.json"), "/dev/zero"} {
		if _, err := ReadProblem(path); err == nil {
			t.Errorf("%s accepted", path)
		}
	}
	if _, err := ReadProblem(write(t, dir, "p.json", goodProblem)); err != nil {
		t.Error(err)
	}
}

// Two gigabytes of nonsense cost neither memory nor time.
func TestReadProblemHuge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.json")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString(`{"X": [[`)
	if err := f.Truncate(2 << 30); err != nil { // sparse
		t.Skip(err)
	}
	if _, err := ReadProblem(path); err == nil || !strings.Contains(err.Error(), "2048 MB") {
		t.Errorf("2 GB file: %v", err)
	}
}

func TestReadProblemArrays(t *testing.T) {
	dir := t.TempDir()
	writeArray(t, dir, "X.npy", mat.NewDense(3, 2, []float64{1, 2, 3, 4, 5, -6}))
	writeArray(t, dir, "y.npy", []int32{1, -1, 1})
	writeArray(t, dir, "D.npy", mat.NewDense(2, 3, []float64{1, 0, 1, 0, 1, 1}))
	// Fortran order, big endian, as NumPy writes it.
	head := "{'descr': '>f4', 'fortran_order': True, 'shape': (3, 2), }"
	head += strings.Repeat(" ", 127-10-len(head)) + "\n"
	var f bytes.Buffer
	f.WriteString("\x93NUMPY\x01\x00")
	f.Write([]byte{byte(len(head)), byte(len(head) >> 8)})
	f.WriteString(head)
	for _, v := range []float32{1, 3, 5, 2, 4, -6} {
		b := math.Float32bits(v)
		f.Write([]byte{byte(b >> 24), byte(b >> 16), byte(b >> 8), byte(b)})
	}
	write(t, dir, "F.npy", f.String())
	want, err := ReadProblem(write(t, dir, "a.json", strings.Replace(goodProblem, `"Y"`, `"patterns": [[1,0,1],[0,1,1]], "Y"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []string{"X.npy", "F.npy"} {
		text := fmt.Sprintf(`{"architecture": "relu", "beta": 0.1, "X": %q, "Y": "y.npy", "patterns": "D.npy"}`, x)
		p, err := ReadProblem(write(t, dir, "b.json", text))
		if err != nil {
			t.Fatal(err)
		}
		if !mat.Equal(p.X, want.X) || !mat.Equal(p.Y, want.Y) || !p.Patterns.covers(want.Patterns) {
			t.Errorf("%s: X %v Y %v patterns %v", x, p.X, p.Y, p.Patterns)
		}
	}
	p, err := ReadProblem(write(t, dir, "c.json", `{"architecture": "relu", "beta": 0.1, "X": "X.npy", "Y": "y.npy", "patterns_bits": [[5],[6]]}`))
	if err != nil || !p.Patterns.covers(want.Patterns) {
		t.Errorf("patterns_bits: %v %v", p.Patterns, err)
	}
}

func TestSaveReadsBack(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(11, 12))
	X := randomMatrix(rng, 9, 3)
	pat, _ := SamplePatterns(X, 5, 1)
	big := randomMatrix(rng, 700, 100)
	bigPat, _ := SamplePatterns(big, 120, 1)
	signs := mat.NewVecDense(9, []float64{1, -1, 1, 1, -1, 1, 1, 1, -1})
	for i, p := range []Problem{
		{X: X, Y: signs, Loss: Logistic, Beta: 0.1 + 1e-17, Name: "α β"},
		{X: X, Y: randomMatrix(rng, 9, 2), Arch: GatedReLU{Penalty: "frobenius"}, Beta: 1e-300, Patterns: pat, Seed: math.MaxUint64},
		{X: X, Y: signs, Loss: Huber(0.3), Beta: 2},
		{X: big, Y: randomMatrix(rng, 700, 1), Arch: GatedReLU{}, Beta: 2, Patterns: bigPat},
	} {
		path := filepath.Join(dir, fmt.Sprintf("p%d.json", i))
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		q, err := ReadProblem(path)
		if err != nil {
			t.Fatal(err)
		}
		same := mat.Equal(p.X, q.X) && mat.Equal(p.Y, q.Y) && p.Beta == q.Beta && p.Name == q.Name && p.Seed == q.Seed &&
			p.Loss.orDefault().Name == q.Loss.Name && p.Loss.Delta == q.Loss.Delta
		if p.Arch == nil {
			same = same && q.Arch == Arch(ReLU{})
		} else {
			same = same && p.Arch == q.Arch
		}
		if p.Patterns != nil {
			same = same && mat.Equal(p.Patterns.Dense(), q.Patterns.Dense())
		}
		if !same {
			t.Errorf("problem %d came back as %+v", i, q)
		}
	}
	if err := (Problem{X: X, Y: signs, Beta: 1, Loss: Loss{Name: "mine", New: Squared.New}}).Save(filepath.Join(dir, "x.json")); err == nil {
		t.Error("a loss that cannot be read back was saved")
	}
	if err := (Problem{X: X, Y: signs}).Save(filepath.Join(dir, "x.json")); err == nil {
		t.Error("a problem without beta was saved")
	}
}

func FuzzReadProblem(f *testing.F) {
	dir := f.TempDir()
	f.Add([]byte(goodProblem))
	f.Add([]byte(`{"architecture":"gated_relu","penalty":"nuclear","loss":"huber","delta":2,"beta":1e-3,"X":[[1,2],[0,1]],"Y":[[1,2],[3,4]],"patterns":[[0,1]],"seed":3}`))
	f.Add([]byte(`{"architecture":"relu","beta":1,"X":[[[1]]],"Y":[[],1]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeProblem(bytes.NewReader(b), dir)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		if _, err := p.check(); err != nil {
			if p.Patches == nil && !strings.Contains(err.Error(), "too large") {
				t.Errorf("read but does not check: %v", err)
			}
		}
	})
}
