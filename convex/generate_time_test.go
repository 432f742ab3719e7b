package convex

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// A search that runs out of time keeps the patterns of its network only: those
// next door would split its neurons in the solve that follows.
func TestPatternsOfASearchCutShort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	X, Y := randomMatrix(rng, 800, 20), randomMatrix(rng, 800, 1)
	loss, err := Squared.New(Y.RawMatrix().Data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	p, err := GeneratePatterns(ctx, X, loss, 1, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	has := map[int]bool{}
	for _, s := range p.net {
		has[s.pattern] = true
	}
	if len(has) == 0 || len(has) != p.Len() {
		t.Errorf("%d patterns, of which the network has %d: want all", p.Len(), len(has))
	}
}
