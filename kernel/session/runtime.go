package session

import (
	"fmt"
	"go/types"
	"io"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// rt is the part of a session that emitted code calls: package R_ of the
// interpreter.
type rt struct {
	out, err io.Writer
	input    func(prompt string, password bool) (string, error)
	number   func(cell int) int // see Session.number

	mu      sync.Mutex
	shown   []shown  // the values of the last expression
	strays  []stray  // panics on goroutines since the last look
	unseen  []string // warnings about errors that a cell left
	types   []types.Type
	typeIDs map[string]int
	methods map[string]map[string]method // session type -> published methods
	frames  map[string][]*Frame          // goroutine -> frames unwinding on it
	named   map[string]types.Type        // emitted type name -> session type
	forms   forms
	running atomic.Pointer[cellRun]
	pulse   pulse
	unwind  atomic.Int32 // frames that are panicking anywhere
	live    atomic.Int64 // goroutines that cells have started
	waiting atomic.Int64 // goroutines in the blocking calls below
}

type shown struct {
	static types.Type
	value  any
}

type stray struct {
	value any
	at    int64 // see marker
}

// method is a published method of a session type: a function of its receiver.
type method struct {
	pointer bool
	fn      reflect.Value
}

func newRT(o Options) *rt {
	return &rt{out: o.Stdout, err: o.Stderr, input: o.Input, typeIDs: map[string]int{}, methods: map[string]map[string]method{}, frames: map[string][]*Frame{}, named: map[string]types.Type{}}
}

// exports is package R_.
func (r *rt) exports() map[string]reflect.Value {
	m := map[string]reflect.Value{"Frame": reflect.ValueOf((*Frame)(nil))}
	for name, fn := range map[string]any{
		"Show": r.show, "ShowAny": func(id int, v *any) { r.show(id, *v) }, "Fmt": r.format, "FmtAny": r.formatAny, "Method": r.method, "Forget": r.forget,
		"Unread": r.unread,
		"JSON":   r.json, "JSONAny": r.jsonAny, "FromJSON": r.fromJSON, "FromJSONAny": r.fromJSONAny, "Encode": r.encode, "Decode": r.decode,
		"Go": r.spawn, "Guard": r.guard,
		"Run": r.run, "Recover": r.recover,
		"Eq": equal, "EqAny": r.equalAny, "Unwrap": unwrap, "Keep": keepValue, "Raw": func(x *any) any { return *x }, "As": r.as, "Form": form, "ErrorKey": keyOf, "Same": r.same, "EqParts": r.equalParts, "Methods": methods, "NoConversion": r.noConversion, "NoMethod": r.noMethod, "None": func() any { return struct{}{} },
		"Runes":     runes,
		"Complex":   func(re, im float64) complex128 { return complex(re, im) },
		"WaitGroup": r.waitGroup, "Lock": r.lock, "Select": r.selects,
		"Print": r.print, "Println": r.println,
		"Clear": func(x any) { reflect.ValueOf(x).Clear() },
		"Input": r.ask, "Password": r.askPassword,
	} {
		m[name] = reflect.ValueOf(fn)
	}
	return m
}

// typeID names a static type in emitted code. The same type gets the same id
// while it lives; a redefined type is another one.
func (r *rt) typeID(t types.Type) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := types.TypeString(t, nil)
	if id, ok := r.typeIDs[key]; ok && (types.Identical(r.types[id], t) || mentionsSession(t)) {
		r.types[id] = t // each check makes the session's types anew: keep the latest
		return id
	}
	r.types = append(r.types, t)
	r.typeIDs[key] = len(r.types) - 1
	return len(r.types) - 1
}

func (r *rt) typeOf(id int) types.Type {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.types[id]
}

func (r *rt) show(id int, v any) {
	t := r.typeOf(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = append(r.shown, shown{t, v})
}

func (r *rt) method(typ, name string, pointer bool, fn any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.methods[typ] == nil {
		r.methods[typ] = map[string]method{}
	}
	r.methods[typ][name] = method{pointer, reflect.ValueOf(fn)}
}

func (r *rt) forget(typ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.methods, typ)
}

func (r *rt) lookup(typ, name string) (method, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.methods[typ][name]
	return m, ok
}

// spawn is the go statement.
func (r *rt) spawn(f func(), line int) {
	r.live.Add(1)
	go func() {
		m := newMarker()
		m.use()
		m.line.Store(int64(line) * colMul)
		defer func() {
			v := recover()
			r.live.Add(-1)
			if v != nil {
				r.goPanic(stray{v, m.line.Load()})
			}
			m.release()
		}()
		f()
	}()
}

// settle waits until the goroutines that have been told to stop are gone: what
// yaegi blocks in a channel operation returns from it as if that were done, and
// must find that it has to end. Those in compiled code, which have not been
// disturbed, it does not wait for.
func (r *rt) settle() {
	for end := time.Now().Add(100 * time.Millisecond); r.live.Load() > r.waiting.Load() && time.Now().Before(end); {
		time.Sleep(200 * time.Microsecond)
	}
}

// goPanic takes a panic off a goroutine of a cell. With no cell running it is
// reported at once.
func (r *rt) goPanic(p stray) {
	if r.running.Load() == nil {
		at := int(p.at / colMul)
		fmt.Fprintf(r.err, "panic in a goroutine at cell[%d]:%d: %s\n", r.number(at/lineMul), at%lineMul, r.panicText(p.value))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.strays = append(r.strays, p)
}

// stray takes the oldest panic of a goroutine.
func (r *rt) stray() (stray, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.strays) == 0 {
		return stray{}, false
	}
	p := r.strays[0]
	r.strays = r.strays[1:]
	return p, true
}

// unread notes an error that a cell has left without a look.
func (r *rt) unread(what string, line int, err error) {
	if err == nil {
		return
	}
	text, _, more := strings.Cut(r.panicText(err), "\n")
	if more {
		text += " …"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unseen = append(r.unseen, fmt.Sprintf("%s (line %d) is not nil and was not looked at: %s", what, line, text))
}

// warned returns and clears the warnings of the cell.
func (r *rt) warned() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.unseen
	r.unseen = nil
	return w
}

// take returns and clears what the cell showed and the panics of its goroutines.
func (r *rt) take() ([]shown, []stray) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, g := r.shown, r.strays
	r.shown, r.strays = nil, nil
	return s, g
}

func (r *rt) print(a ...any)   { fmt.Fprint(r.err, a...) }
func (r *rt) println(a ...any) { fmt.Fprintln(r.err, a...) }

func (r *rt) ask(prompt string) string         { return r.read(prompt, false) }
func (r *rt) askPassword(prompt string) string { return r.read(prompt, true) }

func (r *rt) read(prompt string, password bool) string {
	if r.input == nil {
		panic("input: this front end cannot ask for input")
	}
	s, err := r.input(prompt, password)
	if err != nil {
		panic("input: " + err.Error())
	}
	return s
}

// ---- blocking calls that an interrupt must reach

// halt returns to the cell that has been stopped, which ends at its next step.
// Any other goroutine ends here: by the time it takes a step the interpreter may
// run again, and it would go on with a wait that did not come to its end.
func (c *cellRun) halt() {
	if goroutine() != c.gid {
		runtime.Goexit()
	}
}

// sleep is time.Sleep for cells.
func (r *rt) sleep(d time.Duration) {
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	c := r.running.Load()
	if c == nil {
		time.Sleep(d)
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.stopped:
		c.halt()
	}
}

// waitGroup is WaitGroup.Wait for cells.
func (r *rt) waitGroup(wg *sync.WaitGroup) {
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	c := r.running.Load()
	if c == nil {
		wg.Wait()
		return
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-c.stopped:
		c.halt()
	}
}

// lock is Mutex.Lock for cells.
func (r *rt) lock(mu *sync.Mutex) {
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	for wait := time.Microsecond; !mu.TryLock(); wait = min(2*wait, time.Millisecond) {
		if c := r.running.Load(); c != nil {
			select {
			case <-c.stopped:
				c.halt()
				return
			default:
			}
		}
		time.Sleep(wait)
	}
}

// selects is the select statement: yaegi's own shares its list of cases between
// the goroutines that run it, and a value goes to another's channel. kinds has a
// letter for each case: r receives into a variable, x drops what it receives, s
// sends a variable, d is the default. operands are the channel and a pointer to
// the variable of each. It returns the number of the case, and whether what was
// received was sent; no case if the cell was stopped.
func (r *rt) selects(kinds string, operands ...any) (int, bool) {
	cases := make([]reflect.SelectCase, len(kinds), len(kinds)+1)
	into := make([]reflect.Value, len(kinds))
	for i, k := range kinds {
		if k == 'd' {
			cases[i].Dir = reflect.SelectDefault
			continue
		}
		cases[i] = reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(operands[0])}
		operands = operands[1:]
		if k == 'x' {
			continue
		}
		v := reflect.ValueOf(operands[0]).Elem()
		operands = operands[1:]
		if k == 's' {
			cases[i].Dir, cases[i].Send = reflect.SelectSend, v
		} else {
			into[i] = v
		}
	}
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	c := r.running.Load()
	if c != nil {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c.stopped)})
	}
	i, v, ok := reflect.Select(cases)
	if i == len(kinds) {
		c.halt()
		return -1, false
	}
	if into[i].IsValid() {
		into[i].Set(v)
	}
	return i, ok
}

// ---- defer, panic, recover

// Frame is the stack of deferred calls of a running function.
type Frame struct {
	rt        *rt
	deferred  []func()
	panicking bool
	value     any
	at        int64 // where the panic was, since deferred calls have positions too
}

// Defer registers a call.
func (f *Frame) Defer(fn func()) { f.deferred = append(f.deferred, fn) }

// Recover stops the frame's panic, as the builtin does in a deferred call.
func (f *Frame) Recover() any {
	if !f.panicking {
		return nil
	}
	v := f.value
	f.panicking, f.value = false, nil
	f.rt.unwind.Add(-1)
	return recovered(v)
}

func (f *Frame) call(fn func()) {
	done := false
	defer func() {
		if done {
			return
		}
		v := recover()
		if v == nil {
			return // runtime.Goexit goes on
		}
		if !f.panicking {
			f.rt.unwind.Add(1)
		}
		f.panicking, f.value, f.at = true, v, mark().line.Load()
	}()
	fn()
	done = true
}

// run calls a function body that defers, then its deferred calls.
func (r *rt) run(body func(*Frame)) {
	f := &Frame{rt: r}
	f.call(func() { body(f) })
	for len(f.deferred) > 0 {
		fn := f.deferred[len(f.deferred)-1]
		f.deferred = f.deferred[:len(f.deferred)-1]
		// recover() in a named function finds the frame by its goroutine. That
		// costs, so it is only done while something panics.
		if r.unwind.Load() == 0 {
			f.call(fn)
			continue
		}
		g := goroutine()
		r.mu.Lock()
		r.frames[g] = append(r.frames[g], f)
		r.mu.Unlock()
		f.call(fn)
		r.mu.Lock()
		if fs := r.frames[g]; len(fs) > 1 {
			r.frames[g] = fs[:len(fs)-1]
		} else {
			delete(r.frames, g)
		}
		r.mu.Unlock()
	}
	if f.panicking {
		r.unwind.Add(-1)
		mark().line.Store(f.at)
		panic(f.value)
	}
}

// recover is the builtin in a function that is not a deferred literal.
func (r *rt) recover() any {
	if r.unwind.Load() == 0 {
		return nil
	}
	g := goroutine()
	r.mu.Lock()
	var f *Frame
	if fs := r.frames[g]; len(fs) > 0 {
		f = fs[len(fs)-1]
	}
	r.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.Recover()
}

// goroutine is the id of the calling goroutine.
func goroutine() string {
	var b [64]byte
	s, _, _ := strings.Cut(strings.TrimPrefix(string(b[:runtime.Stack(b[:], false)]), "goroutine "), " ")
	return s
}

// guard wraps a callback: a panic on a goroutine that is not the cell's own
// stops the cell and is reported; unguarded it would kill the process.
func (r *rt) guard(fn any) any {
	v := reflect.ValueOf(fn)
	if v.Kind() != reflect.Func || v.IsNil() {
		return fn
	}
	t := v.Type()
	return reflect.MakeFunc(t, func(in []reflect.Value) (out []reflect.Value) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			c := r.running.Load()
			if c != nil && goroutine() == c.gid {
				panic(p)
			}
			if c != nil {
				c.stop(c.s.panicError(p, mark().line.Load(), nil))
			} else {
				fmt.Fprintf(r.err, "panic in a callback: %s\n", panicText(p))
			}
			out = nil
			for i := range t.NumOut() {
				out = append(out, reflect.Zero(t.Out(i)))
			}
		}()
		if t.IsVariadic() {
			return v.CallSlice(in)
		}
		return v.Call(in)
	}).Interface()
}

// ---- interfaces

// unwrap returns the value inside a wrapper struct, by which yaegi makes a
// cell's value implement an interface of a compiled package.
func unwrap(e any) any {
	v := reflect.ValueOf(e)
	if v.Kind() == reflect.Struct && v.NumField() > 0 && v.Type().Field(0).Name == "IValue" {
		if f := v.Field(0); f.CanInterface() {
			return unwrap(f.Interface())
		}
	}
	if f, ok := e.(*formatted); ok {
		return f.v
	}
	if f, ok := e.(*formattedError); ok {
		return f.v
	}
	if k, ok := e.(errorKey); ok {
		return k.value
	}
	return e
}

// keepValue puts x in the wrapper w.
func keepValue(w, x any) any {
	v := reflect.ValueOf(w)
	if v.Kind() != reflect.Struct || v.NumField() == 0 || v.Type().Field(0).Name != "IValue" || x == nil {
		return w
	}
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	c.Field(0).Set(reflect.ValueOf(x))
	return c.Interface()
}

// form is a value in the interpreter's form, without one around it that says
// nothing of its type.
func form(x *any) any {
	v := reflect.ValueOf(x).Elem().Elem()
	for v.IsValid() && isPair(v) {
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		p := (*pair)(c.Addr().UnsafePointer())
		if p.node != nil {
			break
		}
		if v = p.value; v.IsValid() && v.Kind() == reflect.Interface {
			v = v.Elem()
		}
	}
	if !v.IsValid() || !v.CanInterface() {
		return nil
	}
	return v.Interface()
}

// as is the value itself if it is of the session's type of that emitted name, or,
// for "", of none of these, and else one of a type that nobody asserts.
func (r *rt) as(x *any, name string) any {
	v, typ := plain(reflect.ValueOf(x).Elem())
	if r.dynamic(typ) == nil {
		typ = ""
	}
	if typ != name || !v.IsValid() || !v.CanInterface() {
		return r
	}
	return v.Interface()
}

// methods are the methods of those names that a value of a compiled type has,
// nil if it lacks one.
func methods(x any, names ...string) []any {
	v := reflect.ValueOf(x)
	if !v.IsValid() {
		return nil
	}
	var fs []any
	for _, n := range names {
		m := v.MethodByName(n)
		if !m.IsValid() {
			return nil
		}
		fs = append(fs, m.Interface())
	}
	return fs
}

// runes are the runes of a string and where they begin.
func runes(s string) (starts []int, rs []rune) {
	starts, rs = make([]int, 0, len(s)), make([]rune, 0, len(s))
	for i, r := range s {
		starts, rs = append(starts, i), append(rs, r)
	}
	return starts, rs
}

// noConversion is the panic of a failed assertion.
func (r *rt) noConversion(x *any, to string) {
	v, name := plain(reflect.ValueOf(x).Elem())
	is := "nil"
	if t := r.dynamic(name); t != nil {
		is = typeString(t)
	} else if v.IsValid() {
		if is = v.Type().String(); r.typeBehind(v.Type()) != nil {
			is = typeString(r.typeBehind(v.Type()))
		}
	}
	panic(runtimeError("interface conversion: interface {} is " + is + ", not " + to))
}

// noMethod is the panic of a failed assertion to an interface.
func (r *rt) noMethod(x *any, id int) {
	to := r.typeOf(id)
	v, name := plain(reflect.ValueOf(x).Elem())
	if !v.IsValid() {
		panic(runtimeError("interface conversion: interface is nil, not " + typeString(to)))
	}
	t := r.dynamic(name)
	if t == nil {
		t = r.typeBehind(v.Type())
	}
	missing, is := "", v.Type().String()
	if it := to.Underlying().(*types.Interface); t != nil {
		is = typeString(t)
		if m, _ := types.MissingMethod(t, it, true); m != nil {
			missing = m.Name()
		}
	} else {
		for m := range it.Methods() {
			if missing == "" && !v.MethodByName(m.Name()).IsValid() {
				missing = m.Name()
			}
		}
	}
	panic(runtimeError("interface conversion: " + is + " is not " + typeString(to) + ": missing method " + missing))
}

// equalAny is equal for values of any in the interpreter's form, which tells
// types apart that package reflect does not.
func (r *rt) equalAny(a, b *any) bool {
	x, m := plain(reflect.ValueOf(a).Elem())
	y, n := plain(reflect.ValueOf(b).Elem())
	switch {
	case !x.IsValid() || !y.IsValid():
		return x.IsValid() == y.IsValid()
	case m != n && (r.dynamic(m) != nil || r.dynamic(n) != nil) && r.typeBehind(x.Type()) == nil:
		return false
	}
	if x, y := reflect.ValueOf(unwrap(x.Interface())), reflect.ValueOf(unwrap(y.Interface())); x.Kind() == reflect.Struct && x.Type() == y.Type() {
		return r.equalParts(x.Interface(), y.Interface())
	}
	return equal(x.Interface(), y.Interface())
}

// equal compares two interface values as Go does, wrappers aside.
func equal(a, b any) bool { return unwrap(a) == unwrap(b) }
