// Package rawio reads and writes non-blocking sockets without telling the
// scheduler.
//
// Before every system call the runtime wakes its monitor thread, which then
// looks every 20 µs whether the call lasts. A call on a non-blocking descriptor
// never does, and in a process that sleeps between short messages the monitor
// costs as much as the work.
//
// The monitor also sees to it that goroutines take turns, that timers fire and
// that the network is read while all processors are busy. It sleeps when none
// is, so who begins work of any length on what it has read here calls [Work].
package rawio

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a descriptor that is in non-blocking mode and known to the runtime's
// poller, which waits for it.
type Conn struct{ raw syscall.RawConn }

// New takes a connection or file; it returns nil for one without such a
// descriptor.
func New(c any) *Conn {
	k, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := k.SyscallConn()
	if err != nil {
		return nil
	}
	return &Conn{raw}
}

// most is how much one call moves: copying more takes long enough for others
// to want the processor.
const most = 64 << 10

// Read waits until there is something to read.
func (c *Conn) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	b = b[:min(len(b), most)]
	waitErr := c.raw.Read(func(fd uintptr) bool {
		var again bool
		n, again, err = call(syscall.SYS_READ, fd, b)
		return !again
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write waits until all of b is written.
func (c *Conn) Write(b []byte) (n int, err error) { return c.write(b, false) }

// TryWrite writes what can be written without a wait.
func (c *Conn) TryWrite(b []byte) (n int, err error) { return c.write(b, true) }

func (c *Conn) write(b []byte, once bool) (n int, err error) {
	waitErr := c.raw.Write(func(fd uintptr) bool {
		full := false
		for n < len(b) && !full && err == nil {
			var k int
			k, full, err = call(syscall.SYS_WRITE, fd, b[n:min(len(b), n+most)])
			n += k
		}
		return once || !full
	})
	switch {
	case waitErr != nil:
		return n, waitErr
	case err != nil:
		return n, os.NewSyscallError("write", err)
	}
	return n, nil
}

// Work wakes the monitor, by a system call that it is told of.
func Work() { unix.Poll(nil, 0) }

// A Set of descriptors tells whether a read of one of them would not wait. The
// kernel adds a descriptor to a list when something is written to it, before the
// write returns, and to look at the list costs half of what to poll the
// descriptors does.
type Set struct{ epoll int }

// NewSet returns the set of some descriptors. The set goes with the process.
func NewSet(fds ...int) (*Set, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	for _, fd := range fds {
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
			unix.Close(epoll)
			return nil, os.NewSyscallError("epoll_ctl", err)
		}
	}
	return &Set{epoll}, nil
}

// Readable reports whether one of the descriptors, or the end of one, can be
// read. A nil set has none.
func (s *Set) Readable() bool {
	if s == nil {
		return false
	}
	var e unix.EpollEvent
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(s.epoll), uintptr(unsafe.Pointer(&e)), 1, 0, 0, 0)
	return errno != 0 || n > 0
}

// call reports again when the call would have to wait.
func call(trap, fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		r, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(r), false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, errno
		}
	}
}
