package convex

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
)

// What a solve takes is said beforehand, and one that does not fit is refused
// with advice.
func TestMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	p := Problem{X: randomMatrix(rng, 300, 20), Y: randomMatrix(rng, 300, 1), Arch: GatedReLU{}, Beta: 10}
	few, err := Lower(context.Background(), p, &Settings{Samples: 10, MaxPatterns: 20})
	if err != nil {
		t.Fatal(err)
	}
	many, err := Lower(context.Background(), p, &Settings{Samples: 2000, MaxPatterns: 20})
	if err != nil {
		t.Fatal(err)
	}
	a, b := few.Memory(nil), many.Memory(nil)
	if !(a > 8*300*20) || !(b > a) {
		t.Errorf("%d bytes for 10 patterns, %d for 2000", a, b)
	}
	_, err = SolveProgram(context.Background(), many, &Settings{MaxMemory: 1 << 20})
	if err == nil || !strings.Contains(err.Error(), "needs about") || !strings.Contains(err.Error(), "fewer patterns") {
		t.Errorf("one MiB: %v", err)
	}
	if _, err := SolveProgram(context.Background(), few, &Settings{MaxMemory: 2 * a}); err != nil {
		t.Error(err)
	}
	if _, err := SolveProgram(context.Background(), few, &Settings{MaxMemory: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
	if m := availableMemory(); m < 0 {
		t.Errorf("available memory %d", m)
	}
}
