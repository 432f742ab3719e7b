package rawio

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"net"
	"os"
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
	_, d := pair(t)
	if Readable(int(b.Fd()), -1, int(d.Fd())) || Readable(-1, -1) {
		t.Error("readable with nothing to read")
	}
	a.Write([]byte("x"))
	if !Readable(-1, int(d.Fd()), int(b.Fd())) {
		t.Error("not readable with a byte to read")
	}
	a.Close()
	b.Read(make([]byte, 1))
	if !Readable(int(b.Fd())) {
		t.Error("the end is not readable")
	}
}
