package convex

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// What a file says of a solution is worth what CertifyFile finds.
func TestCertifyFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	p := Problem{X: randomMatrix(rng, 12, 3), Y: randomMatrix(rng, 12, 1), Beta: 0.1}
	wide := Problem{X: randomMatrix(rng, 30, 4), Y: randomMatrix(rng, 30, 2), Beta: 0.3, Arch: GatedReLU{}}
	for _, c := range []struct {
		name string
		p    Problem
		s    *Settings
	}{
		{"all patterns", p, nil},
		{"sampled patterns", p, &Settings{MaxPatterns: 3, Samples: 10}},
		{"several outputs", wide, &Settings{Samples: 20, MaxPatterns: 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sol, err := Solve(context.Background(), c.p, c.s)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "solution.json")
			if err := sol.Save(path); err != nil {
				t.Fatal(err)
			}
			q := c.p
			q.Beta = 0
			again, claim, err := CertifyFile(context.Background(), q, path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if claim.Objective != sol.Primal || claim.Lower != sol.Lower || claim.Scope != sol.Scope || !claim.HoldsFor(again) || math.Abs(again.Primal-sol.Primal) > 1e-12*sol.Primal || again.Gap > 1.01e-6 || again.Scope != sol.Scope {
				t.Errorf("%g ≥ %g (%v), from the file %g ≥ %g (%v)", sol.Primal, sol.Lower, sol.Scope, again.Primal, again.Lower, again.Scope)
			}
			q.Beta = 2 * c.p.Beta
			if _, _, err := CertifyFile(context.Background(), q, path, nil); err == nil || !strings.Contains(err.Error(), "beta") {
				t.Errorf("another beta: %v", err)
			}
			// A file that lies is found out.
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lie := strings.Replace(string(text), `"x":[`, `"x":[1e3,`, 1)
			bad := filepath.Join(t.TempDir(), "bad.json")
			if err := os.WriteFile(bad, []byte(lie), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := CertifyFile(context.Background(), c.p, bad, nil); err == nil {
				t.Error("a block with a number too many was accepted")
			}
			i := strings.Index(string(text), `"x":[`) + len(`"x":[`)
			j := i + strings.IndexAny(string(text[i:]), ",]")
			moved := string(text[:i]) + "1e3" + string(text[j:])
			if err := os.WriteFile(bad, []byte(moved), 0o600); err != nil {
				t.Fatal(err)
			}
			if worse, claim, err := CertifyFile(context.Background(), c.p, bad, nil); err != nil || claim.HoldsFor(worse) || worse.Status == Optimal && worse.Gap > 1e-6 || worse.Lower > sol.Primal*(1+1e-9) {
				t.Errorf("a moved point: %v", err)
			}
		})
	}
	// All of over a thousand patterns, which Solve goes on to after a search.
	many := Problem{X: randomMatrix(rng, 24, 4), Y: randomMatrix(rng, 24, 1), Beta: 0.2}
	all, err := EnumeratePatterns(context.Background(), many.X, 0)
	if err != nil || all.Len() < 2*searchAbove {
		t.Fatal(all, err)
	}
	over := many
	over.Patterns = all
	whole, err := Solve(context.Background(), over, nil)
	if err != nil || whole.Scope != Global {
		t.Fatal(whole, err)
	}
	file := filepath.Join(t.TempDir(), "all.json")
	if err := whole.Save(file); err != nil {
		t.Fatal(err)
	}
	if s, _, err := CertifyFile(context.Background(), many, file, nil); err != nil || s.Scope != Global || math.Abs(s.Primal/whole.Primal-1) > 1e-9 {
		t.Errorf("all patterns: %v %v", s, err)
	}
	// Patterns that no gates make, patterns that are not the problem's, and more
	// samples than there is memory.
	gated := Problem{X: p.X, Y: p.Y, Beta: 0.1, Arch: GatedReLU{}}
	alone := mat.NewDense(12, 12, nil)
	for i := range 12 {
		alone.Set(i, i, 1)
	}
	q := gated
	q.Patterns, _ = NewPatterns(alone)
	sol, err := Solve(context.Background(), q, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "alone.json")
	if err := sol.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := CertifyFile(context.Background(), q, path, nil); err != nil {
		t.Error(err)
	}
	if s, _, err := CertifyFile(context.Background(), gated, path, nil); err == nil || !strings.Contains(err.Error(), "of any gate vector") {
		t.Errorf("patterns of no gates: %v %v", s, err)
	}
	q.Patterns, _ = SamplePatterns(p.X, 12, 1)
	if s, _, err := CertifyFile(context.Background(), q, path, nil); err == nil || !strings.Contains(err.Error(), "not the 12 of the problem") {
		t.Errorf("other patterns: %v %v", s, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"1000000000000000000", "9223372036854775807", "100", "-1"} {
		bad := strings.Replace(string(text), `"pattern_samples":12`, `"pattern_samples":`+n, 1)
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := CertifyFile(context.Background(), gated, path, nil); err == nil || !strings.Contains(err.Error(), "patterns") {
			t.Errorf("%s samples: %v", n, err)
		}
	}
	for _, text := range []string{"", "{}", `{"format":"gonvex solution 1"}`, `{"format":"gonvex solution 1","beta":1,"more":2}`} {
		path := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := CertifyFile(context.Background(), p, path, nil); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, _, err := CertifyFile(context.Background(), p, t.TempDir(), nil); err == nil {
		t.Error("a directory was accepted")
	}
}
