package rawio

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func pair(t *testing.T) (a, b *os.File) {
	t.Helper()
	fd, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b = os.NewFile(uintptr(fd[0]), "a"), os.NewFile(uintptr(fd[1]), "b")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// What is longer than any buffer arrives whole, however the reader dawdles.
func TestWriteWaitsForTheReader(t *testing.T) {
	a, b := pair(t)
	want := make([]byte, 5<<20+7)
	rand.New(rand.NewSource(1)).Read(want)
	sent := make(chan error, 1)
	go func() {
		n, err := New(a).Write(want)
		if err == nil && n != len(want) {
			err = io.ErrShortWrite
		}
		a.Close()
		sent <- err
	}()
	time.Sleep(20 * time.Millisecond)
	got, err := io.ReadAll(New(b))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestTryWriteDoesNotWait(t *testing.T) {
	a, b := pair(t)
	n, err := New(a).TryWrite(make([]byte, 5<<20))
	if err != nil || n == 0 || n == 5<<20 {
		t.Errorf("wrote %d bytes, %v: want what the socket holds", n, err)
	}
	if k, err := New(a).TryWrite([]byte("x")); k != 0 || err != nil {
		t.Errorf("a full socket took %d bytes, %v", k, err)
	}
	b.Close()
	if _, err := New(a).TryWrite([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("after the other end has closed: %v", err)
	}
}

func TestReadEnds(t *testing.T) {
	a, b := pair(t)
	r := New(b)
	b.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	if _, err := r.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at the deadline: %v", err)
	}
	b.SetReadDeadline(time.Time{})
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing asked for: %d, %v", n, err)
	}
	a.Write([]byte("last"))
	a.Close()
	if got, err := io.ReadAll(r); string(got) != "last" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	c, d := pair(t)
	defer d.Close()
	go func() { time.Sleep(5 * time.Millisecond); c.Close() }()
	if _, err := New(c).Read(make([]byte, 8)); err == nil {
		t.Error("a closed file is read")
	}
}

func TestWithoutDescriptor(t *testing.T) {
	a, _ := net.Pipe()
	if New(a) != nil {
		t.Error("a pipe in memory has no descriptor")
	}
}

func TestReadable(t *testing.T) {
	a, b := pair(t)
	c, d := pair(t)
	for _, f := range []*os.File{b, d} {
		New(f) // the runtime's poller has them, too
	}
	s, err := NewSet(int(b.Fd()), int(d.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if s.Readable() || (*Set)(nil).Readable() {
		t.Error("readable with nothing to read")
	}
	for _, x := range [][2]*os.File{{a, b}, {c, d}, {a, b}} {
		x[0].Write([]byte("xy"))
		for range 2 {
			for range 2 { // to have looked changes nothing
				if !s.Readable() {
					t.Error("not readable with a byte to read")
				}
			}
			syscall.Read(int(x[1].Fd()), make([]byte, 1))
		}
		if s.Readable() {
			t.Error("readable after all has been read")
		}
	}
	a.Close()
	if !s.Readable() {
		t.Error("the end is not readable")
	}
	if _, err := NewSet(-1); err == nil {
		t.Error("a set of no descriptor")
	}
}

// What another thread has written before is always there to be read.
func TestReadableAtOnce(t *testing.T) {
	var fd [2]int
	if err := syscall.Pipe2(fd[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	s, err := NewSet(fd[0])
	if err != nil {
		t.Fatal(err)
	}
	next, written := make(chan bool), make(chan bool)
	go func() {
		runtime.LockOSThread()
		for range next {
			syscall.Write(fd[1], []byte("x"))
			written <- true
		}
	}()
	defer close(next)
	b := make([]byte, 8)
	for i := range 10000 {
		if s.Readable() {
			t.Fatalf("write %d: readable before", i)
		}
		next <- true
		<-written
		if !s.Readable() {
			t.Fatalf("write %d: not readable", i)
		}
		if n, err := syscall.Read(fd[0], b); n != 1 || err != nil {
			t.Fatalf("write %d: %d bytes, %v", i, n, err)
		}
	}
}
