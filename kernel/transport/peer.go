package transport

import (
	"bufio"
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gonvex/gonvex/kernel/rawio"
)

// hardFactor times the budget is where even a peer that moves is cut: only
// Send and PublishNow, which never wait, can take it there.
const hardFactor = 4

// atOnce is how much is written by the goroutine that has it to say. Waking the
// connection's writer takes longer than writing so little; more is better left
// to it, so that making messages and writing them overlap.
const atOnce = 16 << 10

type outgoing struct {
	frames  Message
	command bool
	rest    []byte        // the end of messages that were written in part
	flush   chan struct{} // closed once all before it has left
}

func (o outgoing) cost() int { return o.frames.Size() + frameOverhead*len(o.frames) + len(o.rest) }

// peer is one connection after its handshake: what is queued for it, what it
// owes, and what it has subscribed to.
type peer struct {
	id   string
	conn net.Conn
	raw  *rawio.Conn // of conn; nil for one without a descriptor
	opts Options

	moved atomic.Int64 // when the connection last took bytes, Unix nanoseconds

	mu      sync.Mutex
	cond    *sync.Cond // queue, dues or closed changed
	queue   []outgoing
	queued  int    // cost of queue and of the batch the writer holds
	writing bool   // the writer holds a batch
	buf     []byte // of writeNow
	dues    int    // cost of its messages in the inbox
	closed  bool
	subs    map[string]int
}

func newPeer(id string, c net.Conn, o Options) *peer {
	p := &peer{id: id, conn: c, raw: rawio.New(c), opts: o}
	p.cond = sync.NewCond(&p.mu)
	p.moved.Store(time.Now().UnixNano())
	return p
}

// cut ends the connection and drops what is queued.
func (p *peer) cut() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		for _, o := range p.queue {
			if o.flush != nil {
				close(o.flush)
			}
		}
		p.queue, p.queued = nil, 0
		p.cond.Broadcast()
	}
	p.mu.Unlock()
	p.conn.Close()
}

// push sends one message, at once or by the queue. A peer far over its budget,
// or over it and stalled, is cut.
func (p *peer) push(o outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enqueue(o)
	p.start()
}

// hold queues a message to leave with the next one.
func (p *peer) hold(o outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enqueue(o)
}

// start sees to it that what is queued leaves. The caller holds p.mu.
func (p *peer) start() {
	if !p.writing && p.queued <= atOnce {
		p.writeNow()
	}
	if len(p.queue) > 0 {
		p.cond.Broadcast()
	}
}

// writeNow writes what is queued as far as the connection takes it without a
// wait. The caller holds p.mu, and the writer is idle.
func (p *peer) writeNow() {
	if p.raw == nil || p.closed || len(p.queue) == 0 {
		return
	}
	b := p.buf[:0]
	for _, o := range p.queue {
		switch {
		case o.command:
			b = append(appendHead(b, flagCommand, len(o.frames[0])), o.frames[0]...)
		default:
			b = append(appendMessage(b, o.frames), o.rest...)
		}
	}
	n, _ := p.raw.TryWrite(b) // the writer waits for room, or finds the error again
	if n > 0 {
		p.moved.Store(time.Now().UnixNano())
	}
	var flushed []chan struct{}
	for i, o := range p.queue {
		if o.flush != nil {
			flushed = append(flushed, o.flush)
		}
		p.queue[i] = outgoing{}
	}
	p.queue, p.queued, p.buf = p.queue[:0], 0, b
	if n == len(b) {
		closeAll(flushed)
		return
	}
	rest := outgoing{rest: bytes.Clone(b[n:])}
	p.queue, p.queued = append(p.queue, rest), rest.cost()
	for _, f := range flushed {
		p.queue = append(p.queue, outgoing{flush: f})
	}
}

// enqueue puts one message at the end of the queue. The caller holds p.mu.
func (p *peer) enqueue(o outgoing) {
	if p.closed {
		if o.flush != nil {
			close(o.flush)
		}
		return
	}
	if p.queued > p.opts.Budget && (p.queued > hardFactor*p.opts.Budget || p.stalled(time.Now())) {
		go p.cut()
		return
	}
	if p.queued == 0 {
		p.moved.Store(time.Now().UnixNano()) // it is only now being asked to move
	}
	p.queue = append(p.queue, o)
	p.queued += o.cost()
}

func (p *peer) stalled(now time.Time) bool {
	return now.Sub(time.Unix(0, p.moved.Load())) > p.opts.Stall
}

// waitBudget returns when the peer's queue is within its budget or the peer is
// closed, cutting it when it stalls.
func (p *peer) waitBudget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queued <= p.opts.Budget || p.closed {
		return
	}
	// The writer signals when bytes leave; the ticker looks whether none do.
	tick := time.NewTicker(p.opts.Stall/8 + time.Millisecond)
	defer tick.Stop()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-tick.C:
				p.cond.Broadcast()
			case <-done:
				return
			}
		}
	}()
	for p.queued > p.opts.Budget && !p.closed {
		if p.stalled(time.Now()) {
			go p.cut()
			return
		}
		p.cond.Wait()
	}
}

// owe counts cost towards what the peer has in the inbox. Its reader waits here
// while that is over the budget; it reports whether the peer is still there.
func (p *peer) owe(cost int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dues += cost
	if cost < 0 {
		p.cond.Broadcast()
		return true
	}
	for p.dues > p.opts.Budget && !p.closed {
		p.cond.Wait()
	}
	return !p.closed
}

// write is the connection's writer, for what cannot be written at once: it takes
// all that is queued, writes it and flushes once.
func (p *peer) write() {
	defer p.cut()
	w := bufio.NewWriterSize(movingWriter{p}, 64<<10)
	var batch []outgoing
	for {
		p.mu.Lock()
		p.writing = false
		for len(p.queue) == 0 && !p.closed {
			p.cond.Wait()
		}
		p.writing = true
		if p.closed {
			p.mu.Unlock()
			return
		}
		batch, p.queue = p.queue, batch[:0]
		p.mu.Unlock()
		done := 0
		var flushed []chan struct{}
		for i, o := range batch {
			var err error
			switch {
			case o.command:
				err = writeFrame(w, flagCommand, o.frames[0])
			case o.flush != nil:
				flushed = append(flushed, o.flush)
			case o.rest != nil:
				_, err = w.Write(o.rest)
			default:
				err = writeMessage(w, o.frames)
			}
			done += o.cost()
			batch[i] = outgoing{}
			if err != nil {
				closeAll(flushed)
				return
			}
			if done > 1<<20 { // tell a waiting publisher in good time
				p.paid(done)
				done = 0
			}
		}
		err := w.Flush()
		closeAll(flushed)
		if err != nil {
			return
		}
		p.paid(done)
		if cap(batch) > 1<<14 {
			batch = nil
		}
	}
}

func closeAll(cs []chan struct{}) {
	for _, c := range cs {
		close(c)
	}
}

func (p *peer) paid(n int) {
	p.mu.Lock()
	if !p.closed {
		p.queued -= n
	}
	p.cond.Broadcast()
	p.mu.Unlock()
}

// movingWriter notes that the connection takes bytes.
type movingWriter struct{ p *peer }

func (w movingWriter) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		// In pieces, so that a reader that is slow is not taken for one that stalls.
		k, err := w.p.conn.Write(b[n:min(len(b), n+256<<10)])
		n += k
		if k > 0 {
			w.p.moved.Store(time.Now().UnixNano())
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// finish waits until the queue has left or the deadline has passed, then ends
// our half of the connection and gives the peer a moment to read the rest: a
// plain close with unread input would reset the connection and lose it.
func (p *peer) finish(deadline time.Time) {
	flush := make(chan struct{})
	p.push(outgoing{flush: flush})
	t := time.NewTimer(max(0, time.Until(deadline)))
	defer t.Stop()
	select {
	case <-flush:
	case <-t.C:
		return
	}
	if c, ok := p.conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}

// subscribe handles a subscription message: 1 or 0 and a topic.
func (p *peer) subscribe(m Message, welcome func([]byte) Message) {
	if len(m) != 1 || len(m[0]) == 0 || m[0][0] > 1 {
		return
	}
	topic := m[0][1:]
	if m[0][0] == 0 {
		p.mu.Lock()
		if p.subs[string(topic)]--; p.subs[string(topic)] <= 0 {
			delete(p.subs, string(topic))
		}
		p.mu.Unlock()
		return
	}
	var first Message
	if welcome != nil && utf8.Valid(topic) {
		first = welcome(topic)
	}
	// The welcome is queued in one step with the subscription: it comes first, and
	// whoever has read it misses nothing that is published from then on.
	p.mu.Lock()
	if first != nil {
		p.enqueue(outgoing{frames: first})
		p.start()
	}
	if p.subs == nil {
		p.subs = map[string]int{}
	}
	if len(p.subs) < maxFrames {
		p.subs[string(topic)]++
	}
	p.mu.Unlock()
}

func (p *peer) subscribed(topic []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subs[""] > 0 {
		return true
	}
	for s := range p.subs {
		if bytes.HasPrefix(topic, []byte(s)) {
			return true
		}
	}
	return false
}
