package display

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// A Comm is a line between a cell and code in the front end (an extension of
// JupyterLab, a widget): either side opens it, both send, either closes it. See
// https://jupyter-client.readthedocs.io/en/stable/messaging.html#custom-messages.
//
//	c, err := display.OpenComm("my_target", map[string]any{"hello": 1}, func(data map[string]any) {
//		fmt.Println("the front end says", data)
//	})
//	c.Send(map[string]any{"x": []float64{1, 2}})
type Comm struct {
	id, target string
	receive    func(data map[string]any)
	failed     func(message string) // what receive did wrong, for who can show it
	ended      func()
}

// A CommMessage is what travels on a comm.
type CommMessage struct {
	Action   CommAction
	ID       string // of the comm
	Target   string // who is to take part, for Open
	Data     json.RawMessage
	Metadata json.RawMessage // of an Open; nil for none
	Buffers  [][]byte
}

// CommAction says what a [CommMessage] does.
type CommAction byte

// The actions.
const (
	CommOpen CommAction = iota
	CommSend
	CommClose
)

// A commPublisher is a publisher whose front end takes comms.
type commPublisher interface {
	// Comm sends a message.
	Comm(CommMessage)
	// Comms says whether anyone is there to take it: not in gonvex exec.
	Comms() bool
}

func commsOf(p Publisher) (commPublisher, bool) {
	c, ok := p.(commPublisher)
	return c, ok && c.Comms()
}

// comms are the open comms of this process, and who answers when the front end
// opens one.
var comms = struct {
	sync.Mutex
	open    map[string]*Comm
	targets map[string]func(c *Comm, data map[string]any)
}{open: map[string]*Comm{}, targets: map[string]func(*Comm, map[string]any){}}

var errNoComms = errors.New("display: no front end is there to open a comm with; run the cell in JupyterLab or a notebook")

// OpenComm opens a comm to the code that the front end has registered under the
// target's name. The data, any value that JSON can hold, goes with it. receive,
// which may be nil, is called with what the front end sends, between cells.
func OpenComm(target string, data any, receive func(data map[string]any)) (*Comm, error) {
	return openComm(target, data, nil, receive)
}

func openComm(target string, data any, metadata json.RawMessage, receive func(map[string]any)) (*Comm, error) {
	pub, _ := publisher()
	p, ok := commsOf(pub)
	if !ok {
		return nil, errNoComms
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("display: the data of a comm must be what JSON can hold: %w", err)
	}
	c := &Comm{id: newID(), target: target, receive: receive}
	comms.Lock()
	comms.open[c.id] = c
	comms.Unlock()
	p.Comm(CommMessage{Action: CommOpen, ID: c.id, Target: target, Data: raw, Metadata: metadata})
	return c, nil
}

// HandleComm has open called when the front end opens a comm of that target's
// name. open sets what receives its messages with [Comm.Receive]. A nil open
// ends it: such comms are closed again.
func HandleComm(target string, open func(c *Comm, data map[string]any)) {
	comms.Lock()
	defer comms.Unlock()
	if open == nil {
		delete(comms.targets, target)
		return
	}
	comms.targets[target] = open
}

// ID is the comm's name in the protocol.
func (c *Comm) ID() string { return c.id }

// Receive sets the function that is called with what the front end sends.
func (c *Comm) Receive(f func(data map[string]any)) {
	comms.Lock()
	defer comms.Unlock()
	c.receive = f
}

// Send sends data, any value that JSON can hold, to the front end.
func (c *Comm) Send(data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("display: the data of a comm must be what JSON can hold: %w", err)
	}
	comms.Lock()
	open := comms.open[c.id] == c
	comms.Unlock()
	if !open {
		return errors.New("display: the comm is closed")
	}
	c.put(CommMessage{Action: CommSend, ID: c.id, Data: raw})
	return nil
}

// Close closes the comm.
func (c *Comm) Close() {
	comms.Lock()
	open := comms.open[c.id] == c
	delete(comms.open, c.id)
	comms.Unlock()
	if open {
		c.put(CommMessage{Action: CommClose, ID: c.id})
	}
}

func (c *Comm) put(m CommMessage) {
	pub, _ := publisher()
	if p, ok := commsOf(pub); ok {
		p.Comm(m)
	}
}

// Deliver hands a message of the front end to whom it is for. The kernel calls
// it, between cells. The error says that nobody is there.
func Deliver(m CommMessage) error {
	var data map[string]any
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &data); err != nil {
			return fmt.Errorf("display: data of comm %.64q: %w", m.ID, err)
		}
	}
	comms.Lock()
	c, open := comms.open[m.ID], comms.targets[m.Target]
	var receive func(map[string]any)
	if c != nil {
		receive = c.receive
	}
	switch {
	case m.Action == CommOpen && open != nil && c == nil:
		c = &Comm{id: m.ID, target: m.Target}
		comms.open[m.ID] = c
	case m.Action == CommClose:
		delete(comms.open, m.ID)
	}
	comms.Unlock()
	switch {
	case m.Action == CommOpen && open == nil:
		return fmt.Errorf("display: no cell has called HandleComm(%.64q, …)", m.Target)
	case c == nil:
		return fmt.Errorf("display: there is no comm %.64q", m.ID)
	case m.Action == CommOpen:
		open(c, data)
	case m.Action == CommClose:
		if c.ended != nil {
			c.ended()
		}
	case receive != nil:
		receive(data)
	}
	return nil
}

// DeliveryFailed tells the receiver of a comm that what it did with a message
// ended in an error, so that it can be shown where the reader looks. The kernel
// calls it.
func DeliveryFailed(id, message string) {
	comms.Lock()
	c := comms.open[id]
	comms.Unlock()
	if c != nil && c.failed != nil {
		c.failed(message)
	}
}
