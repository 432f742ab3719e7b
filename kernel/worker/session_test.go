package worker

import (
	"testing"
	"time"

	"github.com/gonvex/gonvex/convex"
)

// A loop of solves is one line, which counts them and ends with the certified
// outcome of the last.
func TestProgressOfSolvesInALoop(t *testing.T) {
	c := &cells{}
	report := func(ms int, gap float64, done bool) {
		c.progress(convex.Progress{Solver: "fista", Iter: 7, Primal: 1.5, Gap: gap, Elapsed: time.Duration(ms) * time.Millisecond, Done: done})
	}
	report(10, 1, false)
	report(20, 1e-7, true)
	if b := c.bars["fista"]; b.shown {
		t.Fatalf("a short solve shows %q", b.text)
	}
	report(400, 0.1, false)
	line := c.bars["fista"].line
	report(900, 1e-8, true)
	if got, want := c.bars["fista"].text, "solve 2: objective 1.5, gap 1.0e-08"; got != want {
		t.Errorf("line %q, want %q", got, want)
	}
	report(5, 1e-9, true)
	if got, want := c.bars["fista"].text, "solve 3: objective 1.5, gap 1.0e-09"; got != want {
		t.Errorf("line %q, want %q", got, want)
	}
	if c.bars["fista"].line != line {
		t.Error("the third solve opened a line of its own")
	}
	c.progress(convex.Progress{Solver: "fista", Primal: 1.5, Gap: 0.1, Of: "fold 2 of 5, beta 7 of 20"})
	if got, want := c.bars["fista"].text, "fold 2 of 5, beta 7 of 20: objective 1.5, gap 1.0e-01"; got != want {
		t.Errorf("line %q, want %q", got, want)
	}
	c.endBars()
}

// Many short solves are a long wait all the same.
func TestProgressOfShortSolves(t *testing.T) {
	c := &cells{}
	p := convex.Progress{Solver: "fista", Primal: 1, Gap: 1, Elapsed: time.Millisecond, Done: true}
	c.progress(p)
	b := c.bars["fista"]
	b.start = b.start.Add(-2 * barAfter)
	if c.progress(p); b.shown {
		t.Error("shown too soon")
	}
	b.start = b.start.Add(-2 * barAfter)
	if c.progress(p); !b.shown {
		t.Error("a second of short solves shows nothing")
	}
	c.endBars()
}
