package sweep

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2/maybe"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// Job is one fit: data, network and settings. It is a value; a sweep is a
// slice of them, and a spec file has one JSON line for each.
//
// The data are a problem file or a data set, one of the two. What Arch, Loss,
// Beta and Seed leave at their zero value is the problem file's, or the default
// of convex.Problem.
type Job struct {
	Name string // for tables

	Problem string // a problem file, as convex.Problem.Save writes it
	Data    string // a data set of data.Names, or a file that data.Open reads
	SHA256  string // of the file; Write fills it in, and a task refuses other data

	Classes     []int   // two classes, by id, to tell apart with the labels -1 and +1; nil: all
	Rows        int     // train on at most this many samples, chosen at random; 0: all
	Test        float64 // fraction of every class held out to test on; 0: none
	TestData    string  // a data set to test on, in place of a part of Data
	TestSHA256  string
	SplitSeed   uint64 // of the choice of samples; 0: Seed
	Standardize bool   // give the columns of the training samples mean 0 and variance 1, and map the test samples the same way
	Bias        bool   // append a column of ones

	Arch       convex.Arch
	Loss       convex.Loss
	Beta       float64
	Seed       uint64
	OutputBias bool            // give each output a bias of its own, without weight decay
	Patching   convex.Patching // cuts the images of a data set for a convolutional architecture

	Settings Settings

	// Cells are cells of a notebook, run in order before the fit by a kernel
	// session of the task's own; SourceOf collects them. Formulation is the
	// expression, in their terms, of a function with the signature of
	// convex.Arch's Lower, which takes Arch's place.
	Cells       []string
	Formulation string

	Threads int // of the task; 0 means 1, so that a result does not depend on the machine's size
}

// Settings are the parts of convex.Settings that a job can set; zero values
// mean the same defaults.
type Settings struct {
	Solver      string
	Tol         float64
	MaxIter     int
	TimeLimit   time.Duration
	MaxPatterns int
	Samples     int
}

func (s Settings) convex() *convex.Settings {
	return &convex.Settings{Solver: s.Solver, Tol: s.Tol, MaxIter: s.MaxIter, TimeLimit: s.TimeLimit, MaxPatterns: s.MaxPatterns, Samples: s.Samples}
}

// jobFile is the part of a job's line that is not a field of a problem file.
type jobFile struct {
	Problem     string       `json:"problem,omitempty"`
	Data        string       `json:"data,omitempty"`
	SHA256      string       `json:"sha256,omitempty"`
	Classes     []int        `json:"classes,omitempty"`
	Rows        int          `json:"rows,omitempty"`
	Test        float64      `json:"test,omitempty"`
	TestData    string       `json:"test_data,omitempty"`
	TestSHA256  string       `json:"test_sha256,omitempty"`
	SplitSeed   uint64       `json:"split_seed,omitempty"`
	Standardize bool         `json:"standardize,omitempty"`
	Bias        bool         `json:"bias,omitempty"`
	Settings    settingsFile `json:"settings,omitzero"`
	Cells       []string     `json:"cells,omitempty"`
	Formulation string       `json:"formulation,omitempty"`
	Threads     int          `json:"threads,omitempty"`
}

type settingsFile struct {
	Solver      string  `json:"solver,omitempty"`
	Tol         float64 `json:"tol,omitempty"`
	MaxIter     int     `json:"max_iter,omitempty"`
	TimeLimit   string  `json:"time_limit,omitempty"` // such as 30s
	MaxPatterns int     `json:"max_patterns,omitempty"`
	Samples     int     `json:"samples,omitempty"`
}

func (j Job) problem() convex.Problem {
	return convex.Problem{Name: j.Name, Arch: j.Arch, Loss: j.Loss, Beta: j.Beta, Seed: j.Seed, OutputBias: j.OutputBias, Patching: j.Patching}
}

// MarshalJSON writes the job as one object: the fields of a problem file that
// are not data (name, architecture and its options, loss, delta, beta, seed)
// and problem, data, sha256, classes, rows, test, test_data, test_sha256,
// split_seed, standardize, bias, settings, cells, formulation, threads.
func (j Job) MarshalJSON() ([]byte, error) {
	fields, err := j.problem().Fields()
	if err != nil {
		return nil, err
	}
	f := jobFile{
		Problem: j.Problem, Data: j.Data, SHA256: j.SHA256, Classes: j.Classes, Rows: j.Rows, Test: j.Test,
		TestData: j.TestData, TestSHA256: j.TestSHA256, SplitSeed: j.SplitSeed, Standardize: j.Standardize, Bias: j.Bias,
		Settings: settingsFile{
			Solver: j.Settings.Solver, Tol: j.Settings.Tol, MaxIter: j.Settings.MaxIter,
			MaxPatterns: j.Settings.MaxPatterns, Samples: j.Settings.Samples,
		},
		Cells: j.Cells, Formulation: j.Formulation, Threads: j.Threads,
	}
	if j.Settings.TimeLimit != 0 {
		f.Settings.TimeLimit = j.Settings.TimeLimit.String()
	}
	own, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(own, &fields); err != nil {
		return nil, err
	}
	// Digits of whole numbers survive only as they were written.
	if j.Seed != 0 {
		fields["seed"] = j.Seed
	}
	if j.SplitSeed != 0 {
		fields["split_seed"] = j.SplitSeed
	}
	return json.Marshal(fields)
}

// UnmarshalJSON reads what MarshalJSON writes; unknown fields are errors.
func (j *Job) UnmarshalJSON(text []byte) error {
	raw := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &raw); err != nil {
		return fmt.Errorf("want one JSON object a line, such as {\"data\": \"digits\", \"beta\": 0.1}: %w", err)
	}
	own := map[string]json.RawMessage{}
	for _, name := range ownFields {
		if v, ok := raw[name]; ok {
			own[name] = v
			delete(raw, name)
		}
	}
	kept, err := json.Marshal(own)
	if err != nil {
		return err
	}
	var f jobFile
	d := json.NewDecoder(bytes.NewReader(kept))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	p, err := convex.Problem{}.WithFields(raw)
	if err != nil {
		if strings.Contains(err.Error(), "unknown field") {
			err = fmt.Errorf("%w; and a job's own: %s", err, strings.Join(ownFields, ", "))
		}
		return err
	}
	*j = Job{
		Name: p.Name, Beta: p.Beta, Seed: p.Seed, OutputBias: p.OutputBias, Patching: p.Patching,
		Problem: f.Problem, Data: f.Data, SHA256: f.SHA256, Classes: f.Classes, Rows: f.Rows, Test: f.Test,
		TestData: f.TestData, TestSHA256: f.TestSHA256, SplitSeed: f.SplitSeed, Standardize: f.Standardize, Bias: f.Bias,
		Settings: Settings{
			Solver: f.Settings.Solver, Tol: f.Settings.Tol, MaxIter: f.Settings.MaxIter,
			MaxPatterns: f.Settings.MaxPatterns, Samples: f.Settings.Samples,
		},
		Cells: f.Cells, Formulation: f.Formulation, Threads: f.Threads,
	}
	if raw["architecture"] != nil {
		j.Arch = p.Arch
	}
	if raw["loss"] != nil {
		j.Loss = p.Loss
	}
	if f.Settings.TimeLimit != "" {
		if j.Settings.TimeLimit, err = time.ParseDuration(f.Settings.TimeLimit); err != nil {
			return fmt.Errorf("settings.time_limit is %q: want a duration such as 30s or 5m", f.Settings.TimeLimit)
		}
	}
	return nil
}

// ownFields are the names in jobFile.
var ownFields = []string{
	"problem", "data", "sha256", "classes", "rows", "test", "test_data", "test_sha256", "split_seed",
	"standardize", "bias", "settings", "cells", "formulation", "threads",
}

// check finds what is wrong with a job without reading its data.
func (j Job) check() error {
	switch {
	case (j.Problem == "") == (j.Data == ""):
		return errors.New("want either problem, a problem file, or data, a data set")
	case !(j.Test >= 0 && j.Test < 1):
		return fmt.Errorf("test is %g: want the fraction of samples to test on, below 1", j.Test)
	case j.Test > 0 && j.TestData != "":
		return errors.New("test and test_data are both there: give one")
	case j.Problem != "" && (j.Classes != nil || j.TestData != "" || j.Standardize || j.Bias || j.Patching != convex.Patching{}):
		return errors.New("classes, test_data, standardize, bias and patching (shape, filter, stride, padding) are for data sets; a problem file is taken as it is")
	case j.Bias && j.Patching != convex.Patching{}:
		return errors.New("bias appends a column to the data, patching takes them for images: give one; output_bias goes with both")
	case j.Classes != nil && len(j.Classes) != 2:
		return fmt.Errorf("classes are %v: want two class ids", j.Classes)
	case j.Rows < 0:
		return fmt.Errorf("rows is %d: want a positive number, or 0 for all", j.Rows)
	case j.Beta < 0 || j.Beta == 0 && j.Data != "" || j.Beta-j.Beta != 0:
		return fmt.Errorf("beta is %g: weight decay must be a positive number, such as 1e-3", j.Beta)
	case j.Formulation != "" && len(j.Cells) == 0:
		return fmt.Errorf("formulation is %q but there are no cells that define it: fill in Cells, with SourceOf in a notebook", j.Formulation)
	case j.Formulation != "" && j.Arch != nil:
		return fmt.Errorf("formulation %q and architecture %s are both there: give one", j.Formulation, j.Arch.Name())
	case j.Threads < 0:
		return fmt.Errorf("threads is %d: want a positive number, or 0 for one", j.Threads)
	}
	return nil
}

// architecture names what the job trains; "" when the problem file says it.
func (j Job) architecture() string {
	switch {
	case j.Arch != nil:
		return j.Arch.Name()
	case j.Formulation != "":
		return j.Formulation
	case j.Problem != "":
		return ""
	}
	return convex.ReLU{}.Name()
}

// SourceOf returns the cells of this notebook that declare the names, and
// those that declare what they need, in the order they ran: for Job.Cells. Put
// a formulation into cells of its own, since whole cells travel. It is there
// in a kernel only, which fills in CellSources.
func SourceOf(names ...string) ([]string, error) {
	if CellSources == nil {
		return nil, errors.New("sweep: SourceOf: there is no notebook here: put the text of the cells into Job.Cells")
	}
	return CellSources(names...)
}

// CellSources is what SourceOf asks; a kernel sets it.
var CellSources func(names ...string) ([]string, error)

// RunCells runs cells in a session, one after the other, and returns the error
// of the first that fails. The command line sets it; jobs with Cells need it.
var RunCells func(ctx context.Context, cells []string) error

// Write writes the jobs as a spec file, one JSON line each, and fills in the
// hashes of their files. Names of files are relative to the spec's folder. An
// error names the job.
func Write(spec string, jobs []Job) error {
	if len(jobs) == 0 {
		return errors.New("sweep: Write: there are no jobs")
	}
	dir := filepath.Dir(spec)
	known := map[string]string{}
	sum := func(file string, of func(string) (string, error)) (string, error) {
		s, ok := known[file]
		if !ok {
			var err error
			if s, err = of(file); err != nil {
				return "", err
			}
			known[file] = s
		}
		return s, nil
	}
	var b bytes.Buffer
	for i, j := range jobs {
		err := j.check()
		if err == nil && j.SHA256 == "" {
			if j.Problem != "" {
				j.SHA256, err = sum(within(dir, j.Problem), hashProblem)
			} else {
				j.SHA256, err = sum(dataFile(dir, j.Data), hashData)
			}
		}
		if err == nil && j.TestData != "" && j.TestSHA256 == "" {
			j.TestSHA256, err = sum(dataFile(dir, j.TestData), hashData)
		}
		var line []byte
		if err == nil {
			line, err = j.MarshalJSON()
		}
		if err != nil {
			return fmt.Errorf("sweep: job %d: %s", i, strings.TrimPrefix(err.Error(), "convex: "))
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if err := maybe.WriteFile(spec, b.Bytes(), 0o666); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}

// Read reads the jobs of a spec file.
func Read(spec string) ([]Job, error) {
	var jobs []Job
	err := eachLine(spec, func(i int, line []byte) (bool, error) {
		var j Job
		if err := decodeJob(line, &j); err != nil {
			return false, fmt.Errorf("sweep: %s: line %d: %w", spec, i+1, err)
		}
		jobs = append(jobs, j)
		return true, nil
	})
	if err == nil && len(jobs) == 0 {
		err = fmt.Errorf("sweep: %s is empty: want one JSON object a line", spec)
	}
	return jobs, err
}

// readJob returns the text of one line. The others are not looked at: a task
// pays for its own job alone.
func readJob(spec string, index int) (line []byte, err error) {
	count := 0
	err = eachLine(spec, func(i int, text []byte) (bool, error) {
		count++
		if i == index {
			line = bytes.Clone(text)
		}
		return line == nil, nil
	})
	if err == nil && line == nil {
		err = fmt.Errorf("sweep: %s has %d jobs, numbered from 0: there is no job %d", spec, count, index)
	}
	return line, err
}

func decodeJob(line []byte, j *Job) error {
	if err := j.UnmarshalJSON(line); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "convex: "))
	}
	return j.check()
}

// eachLine calls f for the lines until it wants no more.
func eachLine(spec string, f func(i int, line []byte) (more bool, err error)) error {
	in, err := os.Open(spec)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	defer in.Close()
	r := bufio.NewReaderSize(in, 1<<16)
	for i := 0; ; i++ {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return fmt.Errorf("sweep: %w", err)
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			if err == io.EOF {
				return nil
			}
			return fmt.Errorf("sweep: %s: line %d is empty: want one JSON object a line", spec, i+1)
		}
		if more, err := f(i, line); err != nil || !more {
			return err
		}
		if err == io.EOF {
			return nil
		}
	}
}

// within is a path relative to a folder.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// dataFile is a data set's name, or the path of its file.
func dataFile(dir, name string) string {
	for _, n := range data.Names() {
		if n == name {
			return name
		}
	}
	return within(dir, name)
}
