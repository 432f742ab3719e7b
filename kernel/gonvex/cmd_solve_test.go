package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gonvex/gonvex/convex"
)

func TestSolveSamples(t *testing.T) {
	files, err := filepath.Glob("../../convex/testdata/problems/*.expected.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no samples", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Optimum   float64
			Tolerance float64 `json:"relative_tolerance"`
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		problem := strings.Replace(file, ".expected", "", 1)
		code, stdout, stderr := gonvex(t, "solve", problem, "--json")
		if code != 0 || stderr != "" {
			t.Errorf("%s: exit %d, %s", problem, code, stderr)
			continue
		}
		var got solveResult
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatal(err)
		}
		if math.Abs(*got.Objective-want.Optimum) > want.Tolerance*math.Abs(want.Optimum) {
			t.Errorf("%s: objective %.12g, want %.12g", problem, *got.Objective, want.Optimum)
		}
		if *got.LowerBound > want.Optimum*(1+1e-9) {
			t.Errorf("%s: bound %.12g is above the optimum %.12g", problem, *got.LowerBound, want.Optimum)
		}
		if got.Status != "optimal" || got.Neurons == 0 {
			t.Errorf("%s: %s with %d neurons", problem, got.Status, got.Neurons)
		}
	}
}

func TestSolveText(t *testing.T) {
	out := filepath.Join(t.TempDir(), "network.json")
	code, stdout, stderr := gonvex(t, "solve", "testdata/problems/06_relu_n8_d2.json", "--beta", "0.2", "-o", out)
	if code != 0 {
		t.Fatal(stderr)
	}
	for _, want := range []string{"objective", "lower bound", "gap", "status", "optimal", "global", "beta 0.2"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("output lacks %q:\n%s", want, stdout)
		}
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var net struct {
		Architecture    string
		Inputs, Outputs int
		Weights         map[string][][]float64
	}
	if err := json.Unmarshal(text, &net); err != nil {
		t.Fatal(err)
	}
	hidden, output := net.Weights["hidden"], net.Weights["output"]
	if net.Architecture != "relu" || len(hidden) == 0 || len(hidden) != len(output) || len(hidden[0]) != net.Inputs {
		t.Errorf("network %s", text)
	}
}

func TestSolveInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	code := run(ctx, []string{"solve", "testdata/problems/06_relu_n8_d2.json", "--json"}, &stdout, &stderr)
	if code != 130 && code != 1 {
		t.Errorf("exit %d", code)
	}
	if code == 130 && !strings.Contains(stdout.String(), `"objective"`) {
		t.Errorf("interrupted with no result: %q", stdout.String())
	}
}

// A wrong file gets one line that names what is wrong, and exit code 1.
func TestSolveWrongFiles(t *testing.T) {
	dir := t.TempDir()
	const good = `"architecture":"relu","loss":"squared","beta":0.1,`
	cases := map[string]struct{ text, says string }{
		"missing field":       {`{` + good + `"X":[[1,2],[3,4]]}`, "Y"},
		"no data":             {`{` + good + `"Y":[1,2]}`, "X"},
		"NaN":                 {`{` + good + `"X":[[1,NaN],[3,4]],"Y":[1,2]}`, "X"},
		"infinite":            {`{` + good + `"X":[[1,1e999],[3,4]],"Y":[1,2]}`, "X"},
		"rows disagree":       {`{` + good + `"X":[[1,2],[3,4]],"Y":[1,2,3]}`, "Y"},
		"ragged":              {`{` + good + `"X":[[1,2],[3]],"Y":[1,2]}`, "X"},
		"patterns disagree":   {`{` + good + `"X":[[1,2],[3,4]],"Y":[1,2],"patterns":[[1,0,1]]}`, "patterns"},
		"beta zero":           {`{"architecture":"relu","beta":0,"X":[[1]],"Y":[1]}`, "beta"},
		"beta negative":       {`{"architecture":"relu","beta":-1,"X":[[1]],"Y":[1]}`, "beta"},
		"beta text":           {`{"architecture":"relu","beta":"small","X":[[1]],"Y":[1]}`, "beta"},
		"unknown field":       {`{` + good + `"X":[[1]],"Y":[1],"betta":2}`, "betta"},
		"unknown architecure": {`{"architecture":"transformer","beta":1,"X":[[1]],"Y":[1]}`, "transformer"},
		"labels":              {`{"architecture":"relu","loss":"logistic","beta":1,"X":[[1],[2]],"Y":[0,1]}`, "Y"},
		"empty":               {``, "empty"},
		"not JSON":            {"\x7fELF\x00\x01", "JSON"},
		"cut off":             {`{` + good + `"X":[[1,2`, ""},
		"two objects":         {`{` + good + `"X":[[1]],"Y":[1]}{}`, ""},
	}
	for name, c := range cases {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "_")+".json")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		expectOneLine(t, name, c.says, "solve", path)
	}
	sample := "testdata/problems/06_relu_n8_d2.json"
	expectOneLine(t, "no file", "no such file", "solve", filepath.Join(dir, "nowhere.json"))
	expectOneLine(t, "directory", "directory", "solve", dir)
	expectOneLine(t, "--beta 0", "beta", "solve", sample, "--beta", "0")
	expectOneLine(t, "--beta NaN", "beta", "solve", sample, "--beta", "NaN")
	expectOneLine(t, "--tol 0", "Tol", "solve", sample, "--tol", "-1")
	expectOneLine(t, "--solver", "nosuch", "solve", sample, "--solver", "nosuch")
	expectOneLine(t, "-o nowhere", "nowhere", "solve", sample, "-o", filepath.Join(dir, "nowhere", "net.json"))
}

// Two gigabytes of nonsense are refused without being read, whatever they begin with.
func TestSolveHugeFile(t *testing.T) {
	for i, head := range []string{"", `{"X": [[`, "1 2 3\n"} {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i, ".json"))
		if err := os.WriteFile(path, []byte(head), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 2<<30); err != nil { // sparse: takes no room
			t.Skip("this file system has no sparse files:", err)
		}
		expectOneLine(t, "2 GB", path, "solve", path)
	}
}

func expectOneLine(t *testing.T, name, says string, args ...string) {
	t.Helper()
	code, stdout, stderr := gonvex(t, args...)
	if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, says) || len(stderr) > 700 {
		t.Errorf("%s: exit %d, stdout %q, stderr %q; want exit 1 and one line naming %q", name, code, stdout, stderr, says)
	}
}

// --save-network writes a network that convex loads with the objective printed.
func TestSolveSaveNetwork(t *testing.T) {
	file, saved := "testdata/problems/06_relu_n8_d2.json", filepath.Join(t.TempDir(), "network.npz")
	code, stdout, stderr := gonvex(t, "solve", file, "--json", "--save-network", saved)
	if code != 0 {
		t.Fatal(stderr)
	}
	var result solveResult
	if err := json.Unmarshal([]byte(stdout), &result); err != nil {
		t.Fatal(err)
	}
	if result.NeuronBound != 9 || result.Cells != 16 || result.CoverBound == nil || *result.CoverBound != 16 || result.PaperBound == nil {
		t.Errorf("counts: %s", stdout)
	}
	net, err := convex.LoadNetwork(saved)
	if err != nil {
		t.Fatal(err)
	}
	p, err := convex.ReadProblem(file)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := net.Objective(p); err != nil || math.Abs(v-*result.Objective) > 1e-14*v {
		t.Errorf("the loaded network has objective %v, printed was %v (%v)", v, *result.Objective, err)
	}
	if code, _, stderr := gonvex(t, "solve", file, "--save-network", filepath.Join(t.TempDir(), "no", "where.npz")); code != 1 || !strings.Contains(stderr, "--save-network") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}
