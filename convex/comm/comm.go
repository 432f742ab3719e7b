// Package comm lets the ranks of one solve add up vectors: alone, as goroutines
// of one process, or as the processes of an MPI job.
package comm

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Comm is one rank's end of a group. All ranks call Sum the same number of
// times, with vectors of the same lengths.
type Comm interface {
	Rank() int // from 0
	Size() int
	// Sum replaces x by the sum of the x of all ranks. Every rank gets the same
	// bits.
	Sum(x []float64) error
	// Close ends this rank's part; ranks that wait for it get an error.
	Close() error
}

// Agree returns the same error on every rank when there is one on any: that of
// the first rank that has one, as a *Failure where there are several ranks. It is
// collective.
func Agree(c Comm, err error) error {
	if c.Size() == 1 {
		return err
	}
	var text string
	lengths := make([]float64, c.Size())
	if err != nil {
		text = err.Error()
		lengths[c.Rank()] = float64(1 + len(text))
	}
	if e := c.Sum(lengths); e != nil {
		return errors.Join(err, e)
	}
	first := slices.IndexFunc(lengths, func(n float64) bool { return n > 0 })
	if first < 0 {
		return nil
	}
	letters := make([]float64, int(lengths[first])-1)
	if c.Rank() == first {
		for i := range len(text) {
			letters[i] = float64(text[i])
		}
	} else {
		err = nil
	}
	if e := c.Sum(letters); e != nil {
		return errors.Join(err, e)
	}
	if err == nil {
		said := make([]byte, len(letters))
		for i, b := range letters {
			said[i] = byte(b)
		}
		err = errors.New(string(said))
	}
	return &Failure{Rank: first, Size: c.Size(), Err: err}
}

// Failure is an error that all ranks know of, so that one of them is enough to
// say it.
type Failure struct {
	Rank, Size int // the rank that failed first, and how many there are
	Err        error
}

// Error says which rank failed, of how many, and why.
func (f *Failure) Error() string { return fmt.Sprintf("rank %d of %d: %v", f.Rank, f.Size, f.Err) }

// Unwrap is the error itself, on the rank that failed; elsewhere it has its text.
func (f *Failure) Unwrap() error { return f.Err }

// Counter is a rank's end of a group that counts what goes over it.
type Counter struct {
	Comm
	Sums    int
	Numbers int64         // float64s that this rank has added, 8 bytes each
	Elapsed time.Duration // in sums, waiting for the other ranks included
}

// Sum is that of Comm.
func (c *Counter) Sum(x []float64) error {
	start := time.Now()
	err := c.Comm.Sum(x)
	c.Sums++
	c.Numbers += int64(len(x))
	c.Elapsed += time.Since(start)
	return err
}

// Self is a group of one.
func Self() Comm { return self{} }

type self struct{}

func (self) Rank() int           { return 0 }
func (self) Size() int           { return 1 }
func (self) Sum([]float64) error { return nil }
func (self) Close() error        { return nil }

// Goroutines returns the ends of a group of n ranks in this process, one for
// each goroutine.
func Goroutines(n int) []Comm {
	g := &group{parts: make([][]float64, n)}
	g.turn.L = &g.mu
	out := make([]Comm, n)
	for i := range out {
		out[i] = &member{g, i}
	}
	return out
}

// group is what the ranks of a process share. A sum has two phases, so that
// nobody changes a vector that another still reads: all bring theirs, then all
// take the total.
type group struct {
	mu     sync.Mutex
	turn   sync.Cond
	parts  [][]float64
	total  []float64
	here   int // ranks that have brought theirs, or not yet taken the total
	taking bool
	err    error
}

type member struct {
	*group
	rank int
}

func (m *member) Rank() int { return m.rank }
func (m *member) Size() int { return len(m.parts) }

func (m *member) Sum(x []float64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.taking && m.err == nil { // the sum before this one is not over
		m.turn.Wait()
	}
	m.parts[m.rank] = x
	if m.here++; m.here == len(m.parts) && m.err == nil {
		m.add()
	}
	for !m.taking && m.err == nil {
		m.turn.Wait()
	}
	if m.err != nil {
		return m.err
	}
	copy(x, m.total)
	if m.here--; m.here == 0 {
		m.taking = false
		m.turn.Broadcast()
	}
	return nil
}

// add adds in the order of the ranks, whatever order they came in.
func (g *group) add() {
	g.total = append(g.total[:0], g.parts[0]...)
	for r, x := range g.parts[1:] {
		if len(x) != len(g.total) {
			g.err = fmt.Errorf("comm: rank %d adds %d numbers, rank 0 %d: all must add vectors of one length", r+1, len(x), len(g.total))
			break
		}
		for i, v := range x {
			g.total[i] += v
		}
	}
	g.taking = true
	g.turn.Broadcast()
}

func (m *member) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = fmt.Errorf("comm: rank %d has ended", m.rank)
	}
	m.turn.Broadcast()
	return nil
}
