package worker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/kernel/rawio"
)

// process is one worker process, seen from the supervisor.
type process struct {
	cmd      *exec.Cmd
	requests *rawio.Conn
	cells    *rawio.Conn   // for what the worker handles one after the other
	frames   *rawio.Conn   // that it sends
	ready    chan struct{} // closed when it said that it is ready or cannot be
	dead     chan struct{} // closed when it has ended and all it sent is handled

	writeMu sync.Mutex

	mu      sync.Mutex
	unable  error // why it cannot run cells
	ended   bool
	next    uint32
	answers map[uint32]chan []byte
	cell    uint32
	reply   chan Reply
	crash   tail   // what the runtime said last
	stderr  tail   // what was left in descriptors 1 and 2
	passed  string // the end of what it wrote to standard error
	limit   uint64 // of its memory
	oom     int    // kills for memory counted by the container before it started
	comms   map[string]bool
}

var streamsAndCrash = [3]string{"stdout", "stderr", "crash"}

// tail keeps the beginning of a text.
type tail struct{ b []byte }

func (t *tail) add(p []byte) {
	t.b = append(t.b, p[:min(len(p), 64<<10-len(t.b))]...)
}

// launch starts a worker. output is called for its frames, in order, and ended
// once it is gone.
func launch(o Options, output func(*process, frame) error, ended func(*process)) (*process, error) {
	var files []*os.File
	closeAll := func() {
		for _, f := range files {
			f.Close()
		}
	}
	// Frames go by pipes. A process that reads from a socket wakes the one at its
	// other end, which could write now, and that costs as much as the frame does.
	var ours, theirs [3]*os.File // of pipes for requests, for cells, and for the worker's frames
	for i := range ours {
		var fd [2]int
		if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
			closeAll()
			return nil, fmt.Errorf("worker: cannot make a pipe: %w", err)
		}
		end, other := fd[1], fd[0]
		if i == 2 {
			end, other = other, end
			unix.FcntlInt(uintptr(end), unix.F_SETPIPE_SZ, 4*gatherBytes) // or less, if there may not be so many
		}
		unix.SetNonblock(end, true)
		ours[i], theirs[i] = os.NewFile(uintptr(end), "worker"), os.NewFile(uintptr(other), "supervisor")
		files = append(files, ours[i], theirs[i])
	}
	// Pipes for stdout, stderr and crash: the write ends and, of the first two,
	// the read ends are for the worker. Our read ends are copies, because
	// passing a descriptor on takes it from Go's poller.
	var r, w, give [3]*os.File
	for i := range r {
		var fd [2]int
		err := unix.Pipe2(fd[:], unix.O_CLOEXEC)
		if err != nil {
			closeAll()
			return nil, fmt.Errorf("worker: cannot make a pipe: %w", err)
		}
		give[i], w[i] = os.NewFile(uintptr(fd[0]), "read end"), os.NewFile(uintptr(fd[1]), "write end")
		files = append(files, give[i], w[i])
		own, err := unix.FcntlInt(uintptr(fd[0]), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeAll()
			return nil, fmt.Errorf("worker: cannot make a pipe: %w", err)
		}
		unix.SetNonblock(own, true) // also for the worker, which wants it so
		r[i] = os.NewFile(uintptr(own), streamsAndCrash[i])
		files = append(files, r[i])
	}
	cmd := exec.Command(o.Command[0], o.Command[1:]...)
	cmd.Env, cmd.Dir = o.Env, o.Dir
	cmd.Stdout, cmd.Stderr = w[0], w[1]
	cmd.ExtraFiles = []*os.File{theirs[0], give[0], give[1], w[2], theirs[1], theirs[2]}
	// A group of its own: a terminal's Ctrl-C is for the kernel, which decides,
	// and what cells start ends with the worker.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		closeAll()
		return nil, fmt.Errorf("worker: cannot start the interpreter process %s: %w", o.Command[0], err)
	}
	for _, f := range theirs {
		f.Close()
	}
	for i := range w {
		w[i].Close()
		give[i].Close()
	}
	p := &process{
		cmd: cmd, requests: rawio.New(ours[0]), cells: rawio.New(ours[1]), frames: rawio.New(ours[2]), ready: make(chan struct{}), dead: make(chan struct{}),
		answers: map[uint32]chan []byte{}, comms: map[string]bool{}, limit: o.MemoryLimit, oom: oomKills(),
	}
	p.send(kindInit, 0, func(b []byte) []byte { return putBool(putInt(b, int64(o.MemoryLimit)), o.Comms) })

	var readers sync.WaitGroup
	dying := make(chan struct{}) // the crash pipe has spoken or closed
	readers.Go(func() { p.readCrash(r[2], dying) })
	readers.Go(func() { p.readFrames(output) })
	go func() {
		// While the worker is well it reads descriptors 1 and 2 itself. A dying
		// one does not, and must not wait for room in the pipe.
		<-dying
		var rest sync.WaitGroup
		for _, f := range r[:2] {
			rest.Go(func() { p.readRest(f) })
		}
		cmd.Wait()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what its cells started
		// A process that escaped the group may hold the pipes open: do not wait
		// for it.
		for _, f := range r[:2] {
			f.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		}
		rest.Wait()
		ours[2].SetReadDeadline(time.Now().Add(time.Second))
		r[2].SetReadDeadline(time.Now().Add(time.Second))
		readers.Wait()
		for _, f := range []*os.File{ours[0], ours[1], ours[2], r[0], r[1], r[2]} {
			f.Close()
		}
		for id := range p.comms { // what it had open ends with it
			m := display.CommMessage{Action: display.CommClose, ID: id}
			output(p, frame{kind: kindComm, body: putComm(nil, m)})
		}
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		close(p.dead)
		ended(p)
	}()
	return p, nil
}

func (p *process) readCrash(f *os.File, dying chan struct{}) {
	b := make([]byte, 16<<10)
	said := false
	for {
		n, err := f.Read(b)
		if !said {
			said = true
			close(dying)
		}
		p.mu.Lock()
		p.crash.add(b[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *process) readRest(f *os.File) {
	b := make([]byte, 16<<10)
	for {
		n, err := f.Read(b)
		p.mu.Lock()
		p.stderr.add(b[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *process) readFrames(output func(*process, frame) error) {
	r := bufio.NewReaderSize(p.frames, 64<<10)
	for {
		f, err := readFrame(r)
		if err == nil {
			err = p.handle(f, output)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				p.kill() // it speaks nonsense, or its end is closed
			}
			return
		}
	}
}

func (p *process) handle(f frame, output func(*process, frame) error) error {
	t := taker{b: f.body}
	switch f.kind {
	case kindReady:
		close(p.ready)
	case kindUnable:
		p.mu.Lock()
		p.unable = fmt.Errorf("worker: the interpreter could not start: %s", t.string())
		p.mu.Unlock()
		close(p.ready)
	case kindReply:
		r := t.reply(0)
		if t.err != nil {
			return t.err
		}
		p.mu.Lock()
		if p.cell == f.id && p.reply != nil {
			p.reply <- r
			p.reply = nil
		}
		p.mu.Unlock()
	case kindAnswer:
		p.mu.Lock()
		if ch := p.answers[f.id]; ch != nil {
			delete(p.answers, f.id)
			ch <- f.body
		}
		p.mu.Unlock()
	case kindComm:
		m := t.comm()
		if t.err != nil {
			return t.err
		}
		p.track(m)
		return output(p, f)
	case kindStream, kindDisplay, kindClear, kindInput:
		if f.kind == kindStream && len(f.body) > 0 && f.body[0] == 1 {
			p.mu.Lock()
			p.passed += string(f.body[1:])
			p.passed = p.passed[max(0, len(p.passed)-4096):]
			p.mu.Unlock()
		}
		return output(p, f)
	default:
		return fmt.Errorf("worker: unexpected frame of kind %d", f.kind)
	}
	return nil
}

// track keeps the list of the worker's open comms.
func (p *process) track(m display.CommMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Action {
	case display.CommOpen:
		p.comms[m.ID] = true
	case display.CommClose:
		delete(p.comms, m.ID)
	}
}

func (p *process) hasComm(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.comms[id]
}

// expectReply returns where the reply to a cell will arrive.
func (p *process) expectReply(id uint32) <-chan Reply {
	ch := make(chan Reply, 1)
	p.mu.Lock()
	p.cell, p.reply = id, ch
	p.mu.Unlock()
	return ch
}

// wait returns when the process is ready, or with the reason why it is not.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.ready:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.unable
	case <-p.dead:
		return errors.New(p.obituary() + " while it started" + indent(p.lastWords()))
	case <-ctx.Done():
		return ctx.Err()
	}
}

func indent(s string) string {
	if s == "" {
		return ""
	}
	return ":\n    " + strings.ReplaceAll(s, "\n", "\n    ")
}

// started reports whether the interpreter ever was ready for cells.
func (p *process) started() bool {
	select {
	case <-p.ready:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.unable == nil
	default:
		return false
	}
}

func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ended && p.unable == nil
}

func (p *process) send(k kind, id uint32, body func([]byte) []byte) error {
	b, at := begin(nil, k, id)
	if body != nil {
		b = body(b)
	}
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	to := p.requests
	if k == kindExecute || k == kindComm {
		to = p.cells
	}
	_, err := to.Write(end(b, at))
	return err
}

func (p *process) ask(ctx context.Context, k kind, body func([]byte) []byte) ([]byte, error) {
	ch := make(chan []byte, 1)
	p.mu.Lock()
	p.next++
	id := p.next
	p.answers[id] = ch
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.answers, id)
		p.mu.Unlock()
	}()
	if err := p.send(k, id, body); err != nil {
		return nil, errors.New("worker: the interpreter process has ended")
	}
	select {
	case b := <-ch:
		return b, nil
	case <-p.dead:
		return nil, errors.New("worker: the interpreter process has ended")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *process) signal(s os.Signal) { p.cmd.Process.Signal(s) }

// kill ends the worker and what its cells have started.
func (p *process) kill() {
	select {
	case <-p.dead:
	default:
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		p.cmd.Process.Kill()
	}
}

// obituary says in one line how the process ended.
func (p *process) obituary() string {
	const who = "the interpreter process ended: "
	p.mu.Lock()
	defer p.mu.Unlock()
	// The runtime copies only what follows its first line to the crash pipe; that
	// line is in standard error, which the worker may still have passed on.
	// Without a crash what stands there was not about its end.
	if len(p.crash.b) > 0 {
		line := fatalLine(string(p.crash.b))
		if line == "" {
			line = fatalLine(p.passed + string(p.stderr.b))
		}
		if (line == "" || line == "fatal error: ") && bytes.Contains(p.crash.b, []byte("runtime.newstack")) {
			line = "fatal error: stack overflow"
		}
		if strings.Contains(line, "out of memory") || strings.Contains(line, "cannot allocate") {
			line += fmt.Sprintf(" (the interpreter's limit is %.1f GB)", float64(p.limit)/1e9)
		}
		if line != "" {
			return who + line
		}
	}
	state := p.cmd.ProcessState
	if state == nil {
		return who + "unknown reason"
	}
	ws, _ := state.Sys().(syscall.WaitStatus)
	switch {
	case ws.Signaled() && ws.Signal() == syscall.SIGKILL && oomKills() > p.oom:
		return who + "the system killed it because memory ran out"
	case ws.Signaled() && ws.Signal() == syscall.SIGKILL:
		return who + "killed (signal 9) from outside, perhaps by the system for lack of memory"
	case ws.Signaled():
		return who + "signal " + strconv.Itoa(int(ws.Signal())) + " (" + ws.Signal().String() + ")"
	}
	return who + "exit code " + strconv.Itoa(ws.ExitStatus())
}

// fatalLine finds the line with which the Go runtime says why it gave up.
func fatalLine(s string) string {
	for line := range strings.SplitSeq(s, "\n") {
		for _, prefix := range []string{"fatal error: ", "panic: ", "SIG", "runtime: out of memory", "runtime: goroutine stack exceeds"} {
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
	}
	return ""
}

// lastWords is what the process said when it died, shortened.
func (p *process) lastWords() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := strings.TrimSpace(string(p.stderr.b)) // has all of it, unless the worker has passed on the beginning
	if len(p.crash.b) > len(s) {
		s = strings.TrimSpace(string(p.crash.b))
	}
	lines := strings.Split(s, "\n")
	const most = 40
	if len(lines) > most {
		lines = append(lines[:most:most], fmt.Sprintf("... %d more lines", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}

// oomKills is the number of processes of this container that were killed for
// lack of memory, or 0 when that is not known.
func oomKills() int {
	b, err := os.ReadFile("/sys/fs/cgroup/memory.events")
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			v, _ := strconv.Atoi(strings.TrimSpace(n))
			return v
		}
	}
	return 0
}

// machineMemory is how much memory this process could have, in bytes.
func machineMemory() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 8 << 30
	}
	total := uint64(info.Totalram) * uint64(info.Unit)
	for _, f := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(f); err == nil {
			if v, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil && v > 0 {
				total = min(total, v)
			}
		}
	}
	return total
}
