package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2/maybe"

	"github.com/gonvex/gonvex/convex"
)

// Result is the outcome of one job. All but Run is a function of the job
// alone, on one kind of processor. Pointers are nil where there is no number:
// no bound, no test samples, a regression or classes.
type Result struct {
	Index         int      `json:"index"`
	Job           Job      `json:"job"`
	Architecture  string   `json:"architecture"`
	Loss          string   `json:"loss"`
	Beta          float64  `json:"beta"`
	Objective     *float64 `json:"objective"`
	LowerBound    *float64 `json:"lower_bound"`
	Gap           *float64 `json:"gap"`
	Infeasibility *float64 `json:"infeasibility"`
	Status        string   `json:"status"`
	Scope         string   `json:"scope"`
	Neurons       int      `json:"neurons"`
	Iterations    int      `json:"iterations"`
	Solver        string   `json:"solver"`
	Backend       string   `json:"backend"`
	TrainRows     int      `json:"train_rows"`
	TestRows      int      `json:"test_rows"`
	TrainAccuracy *float64 `json:"train_accuracy,omitempty"` // share of samples, between 0 and 1
	TestAccuracy  *float64 `json:"test_accuracy,omitempty"`
	TrainR2       *float64 `json:"train_r2,omitempty"` // coefficient of determination
	TestR2        *float64 `json:"test_r2,omitempty"`
	Run           Origin   `json:"run"`
}

// Origin says where and when a result was computed.
type Origin struct {
	Host         string    `json:"host"`
	Started      time.Time `json:"started"`
	Seconds      float64   `json:"seconds"`            // of the whole task, data included
	SolveSeconds float64   `json:"solve_seconds"`      // of the solve
	Task         string    `json:"task,omitempty"`     // what the scheduler calls it, such as 123_17
	Restarts     int       `json:"restarts,omitempty"` // of the task before this run, as the scheduler counts
}

func newResult(index int, j Job, sol *convex.Solution) *Result {
	r := &Result{
		Index: index, Job: j, Architecture: j.architecture(), Loss: sol.Program.Loss.Name, Beta: sol.Program.Problem.Beta,
		Objective: finite(sol.Primal), LowerBound: finite(sol.Lower), Gap: finite(sol.Gap), Infeasibility: finite(sol.Infeasibility),
		Status: sol.Status.String(), Scope: sol.Scope.String(), Neurons: sol.Network.Neurons(), Iterations: sol.Iterations,
		Solver: sol.Solver, Backend: sol.Backend, TrainRows: sol.Program.Samples,
	}
	if a := sol.Program.Problem.Arch; a != nil {
		r.Architecture = a.Name()
	}
	return r
}

// finite is nil for the numbers that JSON does not have.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// resultFile is where the result of a job goes: OUT/00017.json.
func resultFile(out string, index int) string {
	return filepath.Join(out, fmt.Sprintf("%05d.json", index))
}

// errorFile is where a job that could not be run says why.
func errorFile(out string, index int) string {
	return filepath.Join(out, fmt.Sprintf("%05d.err", index))
}

// errOtherJob says that a result is of another job than the spec's.
var errOtherJob = errors.New("is the result of another job: the spec has changed; use another folder, or remove the file")

// readResult reads a result. A file that is not whole is an error, and so is
// one of another job than the line of the spec.
func readResult(out string, index int, line []byte) (*Result, error) {
	path := resultFile(out, index)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// Compare the job as it stands in the file: it may be one that this version cannot read.
	var kept struct {
		Index int             `json:"index"`
		Job   json.RawMessage `json:"job"`
	}
	var r Result
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("sweep: %s is damaged (%w): launch again to compute it anew", path, err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("sweep: %s is damaged (%w): launch again to compute it anew", path, err)
	}
	if kept.Index != index || r.Status == "" {
		return nil, fmt.Errorf("sweep: %s is damaged (it is no result of job %d): launch again to compute it anew", path, index)
	}
	var was, is bytes.Buffer
	if json.Compact(&was, kept.Job) != nil || json.Compact(&is, line) != nil || !bytes.Equal(was.Bytes(), is.Bytes()) {
		// The same job may be spelled in another order.
		var j Job
		if err := decodeJob(line, &j); err != nil {
			return nil, err
		}
		a, errA := j.MarshalJSON()
		b, errB := r.Job.MarshalJSON()
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			return nil, fmt.Errorf("sweep: %s %w", path, errOtherJob)
		}
	}
	return &r, nil
}

// write puts the result in its place, whole or not at all, and takes away what
// an earlier failure left.
func (r *Result) write(out string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("sweep: job %d: %w", r.Index, err)
	}
	if err := maybe.WriteFile(resultFile(out, r.Index), append(text, '\n'), 0o666); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if err := os.Remove(errorFile(out, r.Index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}

// writeError leaves the reason why a job could not be run.
func writeError(out string, index int, cause error) error {
	return maybe.WriteFile(errorFile(out, index), []byte(strings.TrimSpace(cause.Error())+"\n"), 0o666)
}
