package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// TestMain makes this test binary a task when a launcher starts it as one:
// sweep run SPEC OUT -i INDEX. Started so, it must never run the tests, which
// would start it again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sweep" {
		os.Exit(taskMain(os.Args[2:]))
	}
	Binary, _ = os.Executable()
	os.Exit(m.Run())
}

func taskMain(args []string) int {
	if len(args) != 5 || args[0] != "run" || args[3] != "-i" {
		fmt.Fprintln(os.Stderr, "not a task:", args)
		return 2
	}
	if once := os.Getenv("SWEEP_TEST_KILL"); once != "" {
		if f, err := os.OpenFile(once, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	index, err := strconv.Atoi(args[4])
	if err == nil {
		_, _, err = Do(context.Background(), args[1], args[2], index)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// An exported notebook is not gonvex: its tasks are run by the gonvex on PATH.
func TestOtherProgram(t *testing.T) {
	defer func(b string) { Binary = b }(Binary)
	self := Binary
	Binary = ""
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	p := plan(t, small())
	if err := (Local{}).Launch(t.Context(), p); err == nil || !strings.Contains(err.Error(), "not on PATH") {
		t.Errorf("without gonvex: %v", err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "gonvex")); err != nil {
		t.Fatal(err)
	}
	if err := (Local{}).Launch(t.Context(), p); err != nil {
		t.Error(err)
	}
	if tab, err := Collect(p.Spec, p.Out); err != nil || !tab.Complete() {
		t.Errorf("%v, %v", tab, err)
	}
}

// A folder that takes no results is found before anything is computed.
func TestNotWritable(t *testing.T) {
	p := plan(t, small())
	p.Out = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(p.Out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Local{}).Launch(t.Context(), p); err == nil || !strings.Contains(err.Error(), "results cannot be written to "+p.Out) {
		t.Errorf("a file for a folder: %v", err)
	}
	// A disk that is full when the reason of a failure should be written.
	p = plan(t, small())
	p.Command = []string{"/bin/sh", "-c", `mv "$1" "$1".away; echo no space left >&2; exit 1`, "sh", p.Out}
	if err := (Local{Workers: 1}).Launch(t.Context(), p); err == nil || !strings.Contains(err.Error(), "make room there") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a reason that cannot be written: %v", err)
	}
}

// A task that launches a sweep would start itself without end.
func TestTasksLaunchNothing(t *testing.T) {
	t.Setenv(insideTask, "1")
	p := plan(t, small())
	for _, l := range Launchers() {
		if err := l.Launch(t.Context(), p); err == nil || !strings.Contains(err.Error(), "task") {
			t.Errorf("%s launched from within a task: %v", l.Name(), err)
		}
	}
}

func cancer() Job {
	return Job{
		Data: "breast_cancer", Rows: 40, Test: 0.3, Standardize: true, Bias: true,
		Loss: convex.Logistic, Beta: 0.5, Arch: convex.GatedReLU{}, Seed: 1,
		Settings: Settings{Samples: 20, Tol: 1e-4},
	}
}

// small is a sweep of four quick jobs.
func small() []Job {
	return Grid(cancer(), []convex.Arch{convex.GatedReLU{}, convex.Threshold{}}, []float64{0.5, 2}, nil)
}

// plan writes the jobs into a new folder.
func plan(t testing.TB, jobs []Job) Plan {
	t.Helper()
	dir := t.TempDir()
	p := Plan{Spec: filepath.Join(dir, "spec.jsonl"), Out: filepath.Join(dir, "results"), Progress: func(Progress) {}}
	if err := Write(p.Spec, jobs); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestJobRoundTrip(t *testing.T) {
	jobs := []Job{
		cancer(),
		{Problem: "p.json"},
		{Problem: "p.json", Arch: convex.LeakyReLU{Slope: 0.25}, Loss: convex.Huber(2), Beta: 1e-3, Seed: math.MaxUint64, SplitSeed: math.MaxUint64 - 1, Test: 0.25},
		{Data: "digits", Classes: []int{3, 8}, Beta: 1, Threads: 4, Settings: Settings{TimeLimit: 90 * time.Second, MaxIter: 10, MaxPatterns: 7, Solver: "admm"}},
		{Data: "wine", Beta: 1, Cells: []string{"x := 1\ny := \"<&>\""}, Formulation: "mine"},
		{Data: "digits", Beta: 1, Arch: convex.CNN{}, OutputBias: true, Patching: convex.Patching{Height: 8, Width: 8, Channels: 3, FilterH: 3, FilterW: 3, Padding: 1}},
		{Data: "fashion_mnist", TestData: "fashion_mnist_test", TestSHA256: "ab", Beta: 1},
	}
	for i, j := range jobs {
		text, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(text, '\n') {
			t.Errorf("job %d has several lines: %s", i, text)
		}
		var back Job
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := json.Marshal(back)
		if err != nil || !bytes.Equal(text, again) {
			t.Errorf("job %d: %s became %s (%v)", i, text, again, err)
		}
		j.Loss.New, back.Loss.New = nil, nil
		if !reflect.DeepEqual(j, back) {
			t.Errorf("job %d: %+v became %+v", i, j, back)
		}
	}
}

func TestWrongJobs(t *testing.T) {
	for line, says := range map[string]string{
		`{"beta":1}`: "problem",
		`{"data":"wine","problem":"p.json","beta":1}`: "problem",
		`{"data":"wine"}`:                                                                      "beta",
		`{"data":"wine","beta":-1}`:                                                            "beta",
		`{"data":"wine","beta":"x"}`:                                                           "beta",
		`{"data":"wine","beta":1,"betta":2}`:                                                   "betta",
		`{"data":"wine","beta":1,"test":1.5}`:                                                  "test",
		`{"data":"wine","beta":1,"test":0.5,"test_data":"iris"}`:                               "test_data",
		`{"data":"wine","beta":1,"classes":[1,2,3]}`:                                           "classes",
		`{"data":"wine","beta":1,"rows":-1}`:                                                   "rows",
		`{"data":"wine","beta":1,"rows":1.5}`:                                                  "rows",
		`{"data":"wine","beta":1,"formulation":"f"}`:                                           "cells",
		`{"data":"wine","beta":1,"architecture":"transformer"}`:                                "transformer",
		`{"data":"wine","beta":1,"settings":{"tolerance":1}}`:                                  "tolerance",
		`{"data":"wine","beta":1,"settings":{"time_limit":"soon"}}`:                            "soon",
		`{"problem":"p.json","architecture":"cnn","shape":[8,8],"filter":3}`:                   "patching",
		`{"data":"digits","beta":1,"bias":true,"architecture":"cnn","shape":[8,8],"filter":3}`: "output_bias",
		`{"data":"digits","beta":1,"architecture":"relu","shape":[8,8],"filter":3}`:            "shape",
		`{"problem":"p.json","bias":true}`:                                                     "bias",
		`{"data":"wine","beta":1,"X":[[1]]}`:                                                   "X",
		`{"data":"wine","beta":1,"formulation":"f","cells":["f := 1"],"architecture":"relu"}`:  "formulation",
		`not JSON`: "invalid",
		`[1,2]`:    "array",
		``:         "empty",
	} {
		spec := filepath.Join(t.TempDir(), "spec.jsonl")
		if err := os.WriteFile(spec, []byte(`{"data":"wine","beta":1}`+"\n"+line+"\n"+`{"data":"wine","beta":1}`+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(spec)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: error %v, want line 2 and %q", line, err, says)
		}
	}
	if err := Write(filepath.Join(t.TempDir(), "spec.jsonl"), nil); err == nil {
		t.Error("an empty sweep was written")
	}
	if _, err := Read("nowhere.jsonl"); err == nil {
		t.Error("a spec that is not there was read")
	}
	mine := cancer()
	mine.Loss = convex.Loss{Name: "mine"}
	if err := Write(filepath.Join(t.TempDir(), "spec.jsonl"), []Job{cancer(), mine}); err == nil || !strings.Contains(err.Error(), "job 1") {
		t.Errorf("a loss that cannot travel: %v", err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDoIsIdempotent(t *testing.T) {
	p := plan(t, small())
	r, done, err := Do(t.Context(), p.Spec, p.Out, 2)
	if err != nil || done {
		t.Fatal(done, err)
	}
	if r.Status != "optimal" || r.Architecture != "threshold" || r.Beta != 0.5 || r.TestAccuracy == nil || *r.TestAccuracy < 0.7 || r.TestRows != 171 || r.TrainRows != 40 {
		t.Errorf("result %+v", r)
	}
	path := filepath.Join(p.Out, "00002.json")
	first := read(t, path)
	if _, done, err = Do(t.Context(), p.Spec, p.Out, 2); err != nil || !done {
		t.Errorf("a second time: done %v, %v", done, err)
	}
	if !bytes.Equal(first, read(t, path)) {
		t.Error("a second run wrote again")
	}
	entries, _ := os.ReadDir(p.Out)
	if len(entries) != 1 {
		t.Errorf("the folder holds %v", entries)
	}
	// Half a file, nothing, and another's result are not results.
	var whole Result
	if err := json.Unmarshal(first, &whole); err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(first, []byte(`"index": 2`), []byte(`"index": 3`), 1)
	for _, damaged := range [][]byte{first[:len(first)/2], {}, []byte("{}"), other, make([]byte, 100)} {
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		tab, err := Collect(p.Spec, p.Out)
		if err != nil || len(tab.Results) != 0 || len(tab.Missing) != 4 || !strings.Contains(tab.Missing[2].Reason, "damaged") {
			t.Errorf("collected %+v, %v from a damaged file", tab, err)
		}
		r, done, err := Do(t.Context(), p.Spec, p.Out, 2)
		if err != nil || done || !same(*r, whole) {
			t.Errorf("a damaged file of %d bytes: done %v, %v, %+v", len(damaged), done, err, r)
		}
	}
}

// same says whether two results agree to the last digit, whoever computed them.
func same(a, b Result) bool {
	a.Run, b.Run = Origin{}, Origin{}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func TestDoRefusesAnotherSpec(t *testing.T) {
	p := plan(t, small())
	if _, _, err := Do(t.Context(), p.Spec, p.Out, 0); err != nil {
		t.Fatal(err)
	}
	jobs := small()
	jobs[0].Beta = 3
	if err := Write(p.Spec, jobs); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Do(t.Context(), p.Spec, p.Out, 0); !errors.Is(err, errOtherJob) {
		t.Errorf("another job's result: %v", err)
	}
	if _, err := Collect(p.Spec, p.Out); !errors.Is(err, errOtherJob) {
		t.Errorf("collected another job's result: %v", err)
	}
	if err := (Local{}).Launch(t.Context(), p); !errors.Is(err, errOtherJob) {
		t.Errorf("launched over another job's result: %v", err)
	}
}

func TestDoRefusesChangedData(t *testing.T) {
	dir := t.TempDir()
	X := mat.NewDense(300, 300, nil)
	y := mat.NewVecDense(300, nil)
	for i := range 300 {
		X.Set(i, i, 1)
		y.SetVec(i, float64(i%2))
	}
	problem := convex.Problem{X: X, Y: y, Arch: convex.GatedReLU{}, Beta: 1}
	if err := problem.Save(filepath.Join(dir, "p.json")); err != nil {
		t.Fatal(err)
	}
	spec, out := filepath.Join(dir, "spec.jsonl"), filepath.Join(dir, "out")
	if err := Write(spec, []Job{{Problem: "p.json", Settings: Settings{Samples: 5}}}); err != nil {
		t.Fatal(err)
	}
	npy := filepath.Join(dir, "p.X.npy")
	b := read(t, npy)
	b[len(b)-1] ^= 1
	if err := os.WriteFile(npy, b, 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err := Do(t.Context(), spec, out, 0)
	if err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("changed data: %v", err)
	}
	// The reason is kept for Collect, and goes when the job succeeds.
	tab, err := Collect(spec, out)
	if err != nil || len(tab.Missing) != 1 || !strings.Contains(tab.Missing[0].Reason, "SHA-256") || !strings.Contains(tab.String(), "failed: 0") {
		t.Errorf("collected %v, %v", tab, err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(npy, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Do(t.Context(), spec, out, 0); err != nil {
		t.Error(err)
	}
	if tab, err := Collect(spec, out); err != nil || !tab.Complete() {
		t.Errorf("collected %v, %v", tab, err)
	}
	if _, err := os.Stat(filepath.Join(out, "00000.err")); err == nil {
		t.Error("the reason is still there")
	}
}

func TestDoInterrupted(t *testing.T) {
	p := plan(t, small())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Do(ctx, p.Spec, p.Out, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(p.Out); len(entries) != 0 {
		t.Errorf("an interrupted job left %v", entries)
	}
}

func TestDoWrongIndex(t *testing.T) {
	p := plan(t, small())
	if _, _, err := Do(t.Context(), p.Spec, p.Out, 4); err == nil || !strings.Contains(err.Error(), "4 jobs") {
		t.Errorf("job 4 of 0 to 3: %v", err)
	}
	if err := DoTask(t.Context(), p.Spec, p.Out, 2, 2, nil); err == nil {
		t.Error("task 2 of two")
	}
	for _, v := range []string{"x", "-1"} {
		t.Setenv("SLURM_ARRAY_TASK_ID", v)
		if _, err := TaskIndex(); err == nil {
			t.Errorf("SLURM_ARRAY_TASK_ID=%s was taken", v)
		}
	}
	t.Setenv("SLURM_ARRAY_TASK_ID", "")
	t.Setenv("JOB_COMPLETION_INDEX", "7")
	if i, err := TaskIndex(); err != nil || i != 7 {
		t.Error(i, err)
	}
}

// One job that cannot be run keeps none of the others of its task from running.
func TestDoTask(t *testing.T) {
	jobs := small()
	jobs[1].Classes = []int{0, 5}
	p := plan(t, jobs)
	var done []int
	err := DoTask(t.Context(), p.Spec, p.Out, 0, 3, func(i int, r *Result, _ bool, err error) {
		if err == nil {
			done = append(done, i)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "Classes") || fmt.Sprint(done) != "[0 2]" {
		t.Errorf("done %v, %v", done, err)
	}
	if err := DoTask(t.Context(), p.Spec, p.Out, 1, 3, nil); err != nil {
		t.Error(err)
	}
	tab, err := Collect(p.Spec, p.Out)
	if err != nil || len(tab.Results) != 3 || tab.Missing[0].Index != 1 || !strings.Contains(tab.HTML(), "class") {
		t.Errorf("%v, %v", tab, err)
	}
}

// The split keeps the classes' shares, does not depend on beta, and follows the seed.
func TestLoad(t *testing.T) {
	j := cancer()
	_, a, err := j.load("")
	if err != nil {
		t.Fatal(err)
	}
	j.Beta, j.Arch = 7, convex.ReLU{}
	_, b, _ := j.load("")
	if !mat.Equal(a.X, b.X) || !mat.Equal(a.Y, b.Y) {
		t.Error("the test samples depend on more than the seed")
	}
	j.SplitSeed = 9
	if _, b, _ = j.load(""); mat.Equal(a.Y, b.Y) {
		t.Error("another split seed, the same test samples")
	}
	// Several classes become columns.
	p, test, err := Job{Data: "wine", Beta: 1, Test: 0.2}.load("")
	if err != nil {
		t.Fatal(err)
	}
	if _, c := p.Y.Dims(); c != 3 {
		t.Errorf("wine has %d columns", c)
	}
	acc, r2 := score(test.Y, mat.DenseCopyOf(test.Y))
	if r2 != nil || acc == nil || *acc != 1 {
		t.Errorf("the labels themselves score %v, %v", acc, r2)
	}
	// A regression scores by R².
	p, test, err = Job{Data: "diabetes", Beta: 1, Test: 0.2}.load("")
	if err != nil {
		t.Fatal(err)
	}
	if acc, r2 = score(test.Y, mat.DenseCopyOf(test.Y)); acc != nil || *r2 != 1 {
		t.Errorf("the targets themselves score %v, %v", acc, r2)
	}
	if n, _ := p.Y.Dims(); n+rowsOf(test) != 442 {
		t.Errorf("%d + %d samples", n, rowsOf(test))
	}
	// Standardising takes nothing from the test samples.
	p, _, _ = Job{Data: "diabetes", Beta: 1, Test: 0.2, Standardize: true}.load("")
	for col := range 10 {
		sum := 0.0
		n, _ := p.X.Dims()
		for i := range n {
			sum += p.X.At(i, col)
		}
		if math.Abs(sum) > 1e-9 {
			t.Errorf("column %d of the training samples has sum %g", col, sum)
		}
	}
}

func rowsOf(p *convex.Problem) int {
	n, _ := p.Y.Dims()
	return n
}

// A problem file's split and patches.
func TestLoadProblemFile(t *testing.T) {
	dir := t.TempDir()
	X, y := data.Spiral(40, 0.1, 1)
	problem := convex.Problem{Patches: []mat.Matrix{X, X}, Y: y, Arch: convex.CNN{}, Loss: convex.Hinge, Beta: 0.25, Seed: 3}
	path := filepath.Join(dir, "p.json")
	if err := problem.Save(path); err != nil {
		t.Fatal(err)
	}
	n, _ := y.Dims()
	p, test, err := Job{Problem: "p.json", Test: 0.5, Rows: n / 4}.load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := p.Y.Dims(); r != n/4 || rowsOf(test) != n/2 || len(p.Patches) != 2 || p.Beta != 0.25 || p.Loss.Name != "hinge" || p.Arch.Name() != "cnn" {
		t.Errorf("%d rows to train on, %d to test, %v", r, rowsOf(test), p.Arch)
	}
	spec := filepath.Join(dir, "spec.jsonl")
	if err := Write(spec, []Job{{Problem: "p.json", Test: 0.5, Beta: 1}}); err != nil {
		t.Fatal(err)
	}
	r, _, err := Do(t.Context(), spec, dir, 0)
	if err != nil || r.TestAccuracy == nil || r.Architecture != "cnn" || r.Beta != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Images of a data set, cut into patches.
func TestImages(t *testing.T) {
	p := plan(t, []Job{{
		Data: "digits", Classes: []int{3, 8}, Rows: 40, Test: 0.3, Arch: convex.CNN{}, Loss: convex.Logistic, Beta: 1,
		Patching: convex.Patching{Height: 8, Width: 8, FilterH: 4, Stride: 2}, OutputBias: true, Settings: Settings{Samples: 20, Tol: 1e-3},
	}})
	r, _, err := Do(t.Context(), p.Spec, p.Out, 0)
	if err != nil || r.TestAccuracy == nil || *r.TestAccuracy < 0.7 || r.TrainRows != 40 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLocal(t *testing.T) {
	jobs := small()
	jobs = append(jobs, Job{Data: "iris", Classes: []int{0, 9}, Beta: 1})
	p := plan(t, jobs)
	var last Progress
	p.Progress = func(r Progress) { last = r }
	if err := (Local{Workers: 2}).Launch(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if last.Total != 5 || last.Done != 4 || last.Failed != 1 || last.Running != 0 || last.Waiting != 0 {
		t.Errorf("progress ended with %+v", last)
	}
	tab, err := Collect(p.Spec, p.Out)
	if err != nil || len(tab.Results) != 4 || len(tab.Missing) != 1 || tab.Missing[0].Index != 4 {
		t.Fatalf("%v, %v", tab, err)
	}
	// In this process, with other jobs before: the same to the last digit.
	q := plan(t, jobs)
	for i := 3; i >= 0; i-- {
		r, _, err := Do(t.Context(), q.Spec, q.Out, i)
		if err != nil || !same(*r, tab.Results[i]) {
			t.Errorf("job %d: %+v here, %+v in a process", i, r, tab.Results[i])
		}
	}
}

func TestLocalRetriesKilledTasks(t *testing.T) {
	p := plan(t, small())
	t.Setenv("SWEEP_TEST_KILL", filepath.Join(t.TempDir(), "killed"))
	if err := (Local{Workers: 2}).Launch(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if tab, err := Collect(p.Spec, p.Out); err != nil || !tab.Complete() {
		t.Errorf("%v, %v", tab, err)
	}
	t.Setenv("SWEEP_TEST_KILL", filepath.Join(t.TempDir(), "killed"))
	p = plan(t, small())
	if err := (Local{Workers: 1, Retries: -1}).Launch(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	tab, err := Collect(p.Spec, p.Out)
	if err != nil || len(tab.Missing) != 1 || !strings.Contains(tab.Missing[0].Reason, "killed") {
		t.Errorf("%v, %v", tab, err)
	}
}

func TestLocalInterrupted(t *testing.T) {
	jobs := small()
	for i := range jobs {
		jobs[i] = Job{Data: "digits", Beta: 1e-3, Arch: convex.GatedReLU{}, Settings: Settings{Samples: 2000, Tol: 1e-12}}
		jobs[i].Seed = uint64(i)
	}
	p := plan(t, jobs)
	ctx, cancel := context.WithCancel(t.Context())
	p.Progress = func(r Progress) {
		if r.Running == 2 {
			cancel()
		}
	}
	start := time.Now()
	err := (Local{Workers: 2}).Launch(ctx, p)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "run it again") || time.Since(start) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	if entries, _ := os.ReadDir(p.Out); len(entries) != 0 {
		t.Errorf("interrupted tasks left %v", entries)
	}
}

func TestRunGoesOn(t *testing.T) {
	dir := t.TempDir()
	jobs := small()
	tab, err := Run(t.Context(), jobs[:2], dir, nil)
	if err != nil || len(tab.Results) != 2 {
		t.Fatal(tab, err)
	}
	ran := 0
	l := counting{&ran}
	tab, err = Run(t.Context(), jobs, dir, l)
	if err != nil || !tab.Complete() || ran != 2 {
		t.Errorf("%v, %v, %d more jobs were run", tab, err, ran)
	}
}

// counting runs jobs in this process.
type counting struct{ ran *int }

func (counting) Name() string { return "counting" }
func (c counting) Launch(ctx context.Context, p Plan) error {
	missing, _, err := p.start()
	for _, i := range missing {
		*c.ran++
		if _, _, err := Do(ctx, p.Spec, p.Out, i); err != nil {
			return err
		}
	}
	return err
}

func TestCurves(t *testing.T) {
	acc := func(v float64) *float64 { return &v }
	tab := &Table{Total: 6, Results: []Result{
		{Architecture: "b", Beta: 1, TestAccuracy: acc(0.5)},
		{Architecture: "a", Beta: 2, TestAccuracy: acc(0.5)},
		{Architecture: "a", Beta: 1, TestAccuracy: acc(0.25)},
		{Architecture: "a", Beta: 2, TestAccuracy: acc(1)},
		{Architecture: "a", Beta: 3},
	}}
	got := fmt.Sprint(tab.Curves(ByArchitecture, Beta, TestAccuracy))
	if want := "[{b [1] [0.5] [0.5] [0.5] [1]} {a [1 2] [0.25 0.75] [0.25 0.5] [0.25 1] [1 2]}]"; got != want {
		t.Errorf("curves %s, want %s", got, want)
	}
}

func TestRanges(t *testing.T) {
	for want, numbers := range map[string][]int{"": nil, "3": {3}, "0-2,5,7-8": {0, 1, 2, 5, 7, 8}} {
		if got := ranges(numbers); got != want {
			t.Errorf("%v: %q, want %q", numbers, got, want)
		}
	}
}

func TestLongTable(t *testing.T) {
	tab := &Table{Total: 10000}
	for i := range 9000 {
		tab.Results = append(tab.Results, Result{Index: i, Architecture: "relu", Status: "optimal", Job: Job{Data: "<script>"}})
	}
	for i := range 1000 {
		tab.Missing = append(tab.Missing, Missing{Index: 9000 + i, Reason: fmt.Sprintf("sweep: job %d: out of <memory>", 9000+i)})
	}
	if s := tab.String(); strings.Count(s, "\n") > 60 || !strings.Contains(s, "9000-9999") || strings.Count(s, "<memory>") != 1 {
		t.Error(s)
	}
	if h := tab.HTML(); strings.Contains(h, "<script>") || strings.Contains(h, "<memory>") || len(h) > 50000 {
		t.Error(h)
	}
	var none *Table
	if none.String() == "" || none.HTML() == "" {
		t.Error("a nil table shows nothing")
	}
}

func TestParseAccount(t *testing.T) {
	for line, want := range map[string]string{
		"123_17|COMPLETED|0:0":       "17 COMPLETED",
		"123_0|OUT_OF_MEMORY|0:125":  "0 OUT_OF_MEMORY, exit code 0:125",
		"123_4|CANCELLED by 0|0:15":  "4 CANCELLED by 0, exit code 0:15",
		"123_[5-9]|PENDING|0:0":      "",
		"123|COMPLETED|0:0":          "",
		"Slurm accounting is closed": "",
	} {
		task, state, ok := parseAccount(line)
		if got := fmt.Sprint(task, " ", state); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v", line, got, ok)
		}
	}
}

func TestSlurmAbsent(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	p := plan(t, small())
	if err := (Slurm{}).Launch(t.Context(), p); err == nil || !strings.Contains(err.Error(), "slurm-client") {
		t.Errorf("without Slurm: %v", err)
	}
}

// The overhead of a task: start of a process, its line of a spec of 10,000,
// its data, its result on the disk. The fit itself is nearly nothing.
//
//	go test ./convex/sweep -run - -bench Task
func BenchmarkTask(b *testing.B) {
	job := Job{Data: "iris", Classes: []int{0, 1}, Rows: 4, Beta: 1, Arch: convex.GatedReLU{}, Settings: Settings{Samples: 2, Tol: 1e-2}}
	jobs := make([]Job, 10000)
	for i := range jobs {
		jobs[i] = job
	}
	p := plan(b, jobs)
	b.Run("process", func(b *testing.B) {
		command, _ := p.command()
		for i := range b.N {
			if err := runTask(b.Context(), command, p, 9999-i); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("inside", func(b *testing.B) {
		q := p
		q.Out = b.TempDir()
		for i := range b.N {
			if _, _, err := Do(b.Context(), q.Spec, q.Out, 9999-i%10000); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("collect", func(b *testing.B) {
		for b.Loop() {
			if _, err := Collect(p.Spec, p.Out); err != nil {
				b.Fatal(err)
			}
		}
	})
}
