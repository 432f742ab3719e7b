package equality

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// The equality table: on every instance the decoded network, the bound and the
// independent solver have the convex optimum, no descent is below the bound, and
// most descents reach it.
func TestTable(t *testing.T) {
	instances, err := Instances()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	var table []Row
	reached := 0
	for _, i := range instances {
		r, err := Run(t.Context(), i, Options{Starts: 8})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Err(1e-6); err != nil {
			t.Errorf("row %s: %v", i.Row, err)
		}
		if r.Note != "" || math.IsNaN(r.Descent) {
			t.Errorf("%s: no descent: %s", r.Name, r.Note)
		}
		if r.Descent <= r.Convex*(1+1e-2) {
			reached++
		} else {
			t.Logf("%s: best of %d descents %.10g, optimum %.10g", r.Name, r.Starts, r.Descent, r.Convex)
		}
		rows[i.Row] = true
		table = append(table, r)
	}
	if len(rows) < 10 || 10*reached < 9*len(table) {
		t.Errorf("%d rows; descents reach %d of %d optima", len(rows), reached, len(table))
	}
	var b bytes.Buffer
	if err := Write(&b, table); err != nil || strings.Count(b.String(), "\n") != len(table)+1 {
		t.Errorf("%v\n%s", err, &b)
	}
	t.Logf("\n%s", &b)
}

func TestDigits(t *testing.T) {
	for _, c := range []struct {
		a, b float64
		want int
	}{{1, 1, 15}, {1, 1 + 1e-5, 5}, {1, 2, 0}, {1, 3, 0}, {2, math.NaN(), 0}, {0, 0, 15}, {-1, -1.0015, 2}} {
		if got := Digits(c.a, c.b); got != c.want && !(c.want == 5 && got == 4) {
			t.Errorf("Digits(%v, %v) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
