package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCertify(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "solution.json")
	for _, problem := range []string{"01_gated_small", "06_relu_n8_d2", "10_cnn_avgpool_n5_K3", "14_gated_vector_nuclear"} {
		file := "../../convex/testdata/problems/" + problem + ".json"
		if code, _, stderr := gonvex(t, "solve", file, "--save-solution", out); code != 0 {
			t.Fatal(stderr)
		}
		code, stdout, stderr := gonvex(t, "certify", file, out, "--json")
		if code != 0 {
			t.Fatalf("%s: %s", problem, stderr)
		}
		var r certifyResult
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		if !r.Holds || *r.Gap > 1.01e-6 {
			t.Errorf("%s: %s", problem, stdout)
		}
	}
	file := "../../convex/testdata/problems/14_gated_vector_nuclear.json"
	code, stdout, _ := gonvex(t, "certify", file, out)
	if code != 0 || !strings.Contains(stdout, "hold") || !strings.Contains(stdout, "recomputed") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	// A claim that is too good does not hold.
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(text), `"claimed":{"objective":`)
	lie := string(text[:i]) + `"claimed":{"objective":0,"lower_bound":0,"scope":"global","solver":"none"}}`
	if err := os.WriteFile(out, []byte(lie), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := gonvex(t, "certify", file, out); code != 1 || !strings.Contains(stdout, "do not hold") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	// Nor does a scope that is too wide.
	out = filepath.Join(dir, "restricted.json")
	if code, _, stderr := gonvex(t, "solve", file, "--save-solution", out); code != 0 {
		t.Fatal(stderr)
	}
	if text, err = os.ReadFile(out); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, []byte(strings.Replace(string(text), `"scope":"restricted"`, `"scope":"global"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := gonvex(t, "certify", file, out); code != 1 || !strings.Contains(stdout, "do not hold") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	// A solution of another weight decay is not one of the problem.
	if code, _, stderr := gonvex(t, "solve", file, "--beta", "99", "--save-solution", out); code != 0 {
		t.Fatal(stderr)
	}
	expectOneLine(t, "another beta", "beta 99", "certify", file, out)
	if code, stdout, _ := gonvex(t, "certify", file, out, "--beta", "99"); code != 0 || !strings.Contains(stdout, "99") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	expectOneLine(t, "another problem", "gated", "certify", "../../convex/testdata/problems/06_relu_n8_d2.json", out)
	expectOneLine(t, "no solution file", "nowhere", "certify", file, filepath.Join(dir, "nowhere.json"))
}
