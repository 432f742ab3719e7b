package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gonvex/gonvex/convex/sweep"
)

// specOf writes a spec of jobs that differ from one quick fit by these fields.
func specOf(t *testing.T, fields ...map[string]any) string {
	t.Helper()
	var lines strings.Builder
	for _, f := range fields {
		job := map[string]any{
			"data": "breast_cancer", "rows": 40, "test": 0.3, "standardize": true, "bias": true, "loss": "logistic", "beta": 1, "seed": 1,
			"settings": map[string]any{"samples": 20, "tol": 1e-5},
		}
		for k, v := range f {
			job[k] = v
		}
		text, err := json.Marshal(job)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s\n", text)
	}
	path := filepath.Join(t.TempDir(), "spec.jsonl")
	if err := os.WriteFile(path, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A task takes its index from the flag or from the scheduler, and does nothing a second time.
func TestSweepRun(t *testing.T) {
	spec := specOf(t, map[string]any{"architecture": "gated_relu"}, map[string]any{"beta": 2}, map[string]any{"beta": 3})
	out := filepath.Join(t.TempDir(), "out")
	steps := []struct{ variable, value, flag, says string }{
		{"", "", "-i=0", "job 0: gated_relu, optimal in"},
		{"SLURM_ARRAY_TASK_ID", "1", "", "job 1: relu, optimal in"},
		{"JOB_COMPLETION_INDEX", "2", "", "job 2: relu, optimal in"},
		{"JOB_COMPLETION_INDEX", "2", "", "job 2 has its result"},
		{"SLURM_ARRAY_TASK_ID", "1", "-i=0", "job 0 has its result"},
	}
	for _, s := range steps {
		t.Run(s.variable+s.flag, func(t *testing.T) {
			args := []string{"sweep", "run", spec, out}
			if s.variable != "" {
				t.Setenv(s.variable, s.value)
			}
			if s.flag != "" {
				args = append(args, s.flag)
			}
			if code, stdout, stderr := gonvex(t, args...); code != 0 || !strings.Contains(stdout, s.says) {
				t.Errorf("exit %d, %q, %q: want %q", code, stdout, stderr, s.says)
			}
		})
	}
	code, stdout, _ := gonvex(t, "sweep", "collect", spec, out, "--json")
	if code != 0 || strings.Count(stdout, "\n") != 3 {
		t.Errorf("collected with exit %d: %s", code, stdout)
	}
}

// Every mistake is told in one place, and says what to do.
func TestSweepWrong(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.jsonl")
	if err := os.WriteFile(text, []byte("beta = 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	good, out := specOf(t, map[string]any{}), filepath.Join(dir, "out")
	for says, args := range map[string][]string{
		"give the index with -i":              {"run", good, out},
		"has 1 jobs, numbered from 0":         {"run", good, out, "-i", "1"},
		"nowhere.jsonl: no such file":         {"run", filepath.Join(dir, "nowhere.jsonl"), out, "-i", "0"},
		"want one JSON object a line":         {"run", text, out, "-i", "0"},
		"line 1: want one JSON object a line": {"local", text, out},
		"the data have changed":               {"run", specOf(t, map[string]any{"sha256": "00"}), out, "-i", "0"},
		"and a job's own: problem, data":      {"local", specOf(t, map[string]any{"test_set": "x"}), out},
		"weight decay must be a positive":     {"local", specOf(t, map[string]any{"beta": 0}), out},
		"results cannot be written to":        {"local", good, text},
	} {
		code, _, stderr := gonvex(t, append([]string{"sweep"}, args...)...)
		if code == 0 || strings.Count(stderr, says) != 1 {
			t.Errorf("%v: exit %d, %q: want %q", args, code, stderr, says)
		}
	}
}

// A formulation that a notebook's cell defines travels as text; its errors come back.
func TestSweepCells(t *testing.T) {
	cell := `func mine(ctx context.Context, p *convex.Problem, s *convex.Settings) (*convex.Program, error) {
	return convex.GatedReLU{}.Lower(ctx, p, s)
}`
	job := func(cell, formulation string) map[string]any {
		return map[string]any{"cells": []string{cell}, "formulation": formulation}
	}
	spec := specOf(t, job(cell, "mine"), job(cell, "yours"), job("func mine( {", "mine"), job(strings.Replace(cell, "return", `panic("oh"); return`, 1), "mine"),
		map[string]any{"architecture": "gated_relu"})
	out := filepath.Join(t.TempDir(), "out")
	code, stdout, stderr := gonvex(t, "sweep", "local", spec, out)
	if code != 1 || stderr != "" {
		t.Errorf("exit %d, %s", code, stderr)
	}
	for _, want := range []string{"2 of 5 jobs have a result; failed: 1-3", "undefined: yours", "never closed", "Panic: oh"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("there is no %q in\n%s", want, stdout)
		}
	}
	tab, err := sweep.Collect(spec, out)
	if err != nil || len(tab.Results) != 2 || tab.Results[0].Architecture != "mine" || *tab.Results[0].Objective != *tab.Results[1].Objective {
		t.Errorf("the formulation of the cell and the architecture it copies: %v, %v", tab, err)
	}
}
