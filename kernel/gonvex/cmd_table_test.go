package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestTableCommand(t *testing.T) {
	code, stdout, stderr := gonvex(t, "table", "linear CNN", "polynomial_t4", "--starts", "3", "--json")
	if code != 0 {
		t.Fatal(stderr)
	}
	var rows []struct {
		Name, System                        string
		Convex, Network, Descent, Reference float64
		Lower                               float64 `json:"lower_bound"`
		Starts                              int
		Digits                              struct{ Network, Descent, Reference int }
	}
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 7 { // three linear, three circular, one polynomial
		t.Fatalf("%d rows\n%s", len(rows), stdout)
	}
	for _, r := range rows {
		if r.Digits.Network < 9 || r.Digits.Descent < 9 || r.Digits.Reference < 8 || r.Starts != 3 || math.Abs(r.Lower/r.Convex-1) > 1e-8 {
			t.Errorf("%+v", r)
		}
	}
	code, stdout, stderr = gonvex(t, "table", "testdata/problems/06_relu_n8_d2.json", "--starts", "0")
	if code != 0 || !strings.Contains(stdout, "1.588001297") || !strings.Contains(stdout, "  -") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := gonvex(t, "table", "nothing"); code != 2 || !strings.Contains(stderr, `"nothing"`) {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if code, _, stderr := gonvex(t, "table", "--tol", "2"); code != 1 || !strings.Contains(stderr, "--tol") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}
