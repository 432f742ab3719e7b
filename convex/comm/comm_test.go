package comm

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestGoroutines(t *testing.T) {
	const ranks, rounds = 5, 200
	var wg sync.WaitGroup
	for _, c := range Goroutines(ranks) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := &Counter{Comm: c}
			defer func() {
				if c.Sums != rounds || c.Numbers != 3*rounds || c.Elapsed <= 0 {
					t.Errorf("rank %d counted %d sums of %d numbers in %v", c.Rank(), c.Sums, c.Numbers, c.Elapsed)
				}
			}()
			for k := range rounds {
				x := []float64{float64(c.Rank()), float64(k), 1}
				if err := c.Sum(x); err != nil || x[0] != 10 || x[1] != float64(ranks*k) || x[2] != ranks {
					t.Errorf("rank %d, round %d: %v, %v", c.Rank(), k, x, err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func TestAgree(t *testing.T) {
	var wg sync.WaitGroup
	for _, c := range Goroutines(3) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := Agree(c, nil); err != nil {
				t.Error(err)
			}
			var mine error
			if c.Rank() == 1 {
				mine = errors.New("no such file")
			}
			err := Agree(c, mine)
			if err == nil || err.Error() != "rank 1 of 3: no such file" || (c.Rank() == 1) != errors.Is(err, mine) {
				t.Errorf("rank %d: %v", c.Rank(), err)
			}
			// All fail, each in its way: the first is heard. One has nothing to say.
			said := []string{"", "b", "cc"}[c.Rank()]
			if err := Agree(c, errors.New(said)); err == nil || err.Error() != "rank 0 of 3: " {
				t.Errorf("rank %d: %v", c.Rank(), err)
			}
		}()
	}
	wg.Wait()
	alone := errors.New("no such file")
	if Agree(Self(), nil) != nil || Agree(Self(), alone) != alone {
		t.Error("a rank alone does not agree with itself")
	}
}

// A rank that leaves, or adds something else, must not leave the others waiting.
func TestOneLeaves(t *testing.T) {
	for what, last := range map[string]func(c Comm) error{
		"ended":  func(c Comm) error { return c.Close() },
		"length": func(c Comm) error { c.Sum(make([]float64, 2)); return nil },
	} {
		ends := Goroutines(3)
		errs := make(chan error, 2)
		for _, c := range ends[:2] {
			go func() { errs <- c.Sum(make([]float64, 3)) }()
		}
		if err := last(ends[2]); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-errs; err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// BenchmarkSum is one sum of a vector, by goroutines: what MPI's all-reduce would have to add to.
func BenchmarkSum(b *testing.B) {
	for _, ranks := range []int{1, 2, 4} {
		for _, n := range []int{1000, 100_000} {
			b.Run(fmt.Sprintf("%dx%d", ranks, n), func(b *testing.B) {
				var wg sync.WaitGroup
				for _, c := range Goroutines(ranks) {
					wg.Add(1)
					go func() {
						defer wg.Done()
						x := make([]float64, n)
						for range b.N {
							if err := c.Sum(x); err != nil {
								b.Error(err)
							}
						}
					}()
				}
				wg.Wait()
			})
		}
	}
}
