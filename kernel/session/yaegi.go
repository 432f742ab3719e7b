package session

import (
	"bytes"
	"fmt"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/gonvex/gonvex/stdlib"
	"github.com/traefik/yaegi/interp"
)

// machine is the interpreter with the few handles on its inside that a
// notebook needs and its API lacks. They are found by name when a session
// starts, so that a yaegi without them is refused and not corrupted.
type machine struct {
	*interp.Interpreter
	mapped map[reflect.Value][]reflect.Type // see interp's MapTypes
	// id is the run id: every function checks it at each step and ends when
	// it is not the one it started with. done ends channel operations.
	id    *uint64
	done  *chan struct{}
	trace *traceWriter
	// lasting: what was loaded last has function literals in it.
	lasting bool

	recursive   map[string]reflect.Type // see recursive.go
	marks       int
	global      *[]reflect.Value // the variables of all cells, types are theirs
	types       *[]reflect.Type
	made        int          // of global
	boxed       reflect.Type // what yaegi keeps values of its interface types in
	compiledCat uint         // its category of types that it does not look into
}

// traceWriter collects what yaegi prints while a panic unwinds.
type traceWriter struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *traceWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() < 1<<20 { // a deep recursion prints a line a call
		t.buf.Write(p)
	}
	return len(p), nil
}

func (t *traceWriter) take() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.buf.String()
	t.buf.Reset()
	return s
}

const rtPath = "gonvex/session/rt" // the import path of package R_, which cells cannot spell

func newMachine(o Options) (*machine, error) {
	m := &machine{trace: &traceWriter{}, mapped: map[reflect.Value][]reflect.Type{}, recursive: map[string]reflect.Type{}}
	m.Interpreter = interp.New(interp.Options{Stdout: o.Stdout, Stderr: m.trace, Stdin: strings.NewReader(""), Env: os.Environ()})
	v := reflect.ValueOf(m.Interpreter).Elem()
	id, done, cancel := v.FieldByName("id"), v.FieldByName("done"), v.FieldByName("cancelChan")
	if !id.IsValid() || id.Kind() != reflect.Uint64 || !v.FieldByName("roots").IsValid() || !v.FieldByName("scopes").IsValid() || !v.FieldByName("frame").IsValid() || !v.FieldByName("universe").IsValid() || !done.IsValid() || done.Type() != reflect.TypeFor[chan struct{}]() || !cancel.IsValid() || cancel.Kind() != reflect.Bool || !checkLayout() || !hookMarks() || !hookShifts() {
		return nil, fmt.Errorf("session: this version of yaegi is not the one the session was written for")
	}
	m.id = (*uint64)(unsafe.Pointer(id.UnsafeAddr()))
	m.done = (*chan struct{})(unsafe.Pointer(done.UnsafeAddr()))
	*m.done = make(chan struct{})
	m.global = (*[]reflect.Value)(unsafe.Pointer(v.FieldByName("frame").Elem().FieldByName("data").UnsafeAddr()))
	m.types = (*[]reflect.Type)(unsafe.Pointer(v.FieldByName("universe").Elem().FieldByName("types").UnsafeAddr()))
	*(*bool)(unsafe.Pointer(cancel.UnsafeAddr())) = true
	return m, nil
}

// eval compiles source and executes its declarations.
func (m *machine) eval(src string) error {
	p, err := m.Compile(src)
	if err != nil {
		return err
	}
	m.grow()
	_, err = m.Execute(p)
	return err
}

// grow makes the variables that have been compiled. Left to itself yaegi moves
// all variables to another slice at each cell, under the feet of goroutines, and
// in time that costs more than the cell. Goroutines that run while the slice
// grows may find the old one, or the length of the one with the place of the
// other: they ask for variables that are in both.
func (m *machine) grow() {
	if n := len(*m.types); n > len(*m.global) {
		data := make([]reflect.Value, max(2*n, 4096))
		copy(data, *m.global)
		*m.global = data
	}
	for ; m.made < len(*m.types); m.made++ {
		if v := &(*m.global)[m.made]; !v.IsValid() {
			*v = reflect.New((*m.types)[m.made]).Elem()
		}
	}
}

// stop makes all interpreted code end at its next step.
func (m *machine) stop() {
	atomic.AddUint64(m.id, 1)
	close(*m.done)
}

// resume makes functions of before the stop valid again: without the old run
// id, closures made earlier would return zero values for ever.
func (m *machine) resume() {
	atomic.AddUint64(m.id, ^uint64(0))
	*m.done = make(chan struct{})
}

// scope is where the interpreter has what cells declare.
func (m *machine) scope() reflect.Value {
	return reflect.ValueOf(m.Interpreter).Elem().FieldByName("scopes").MapIndex(reflect.ValueOf(mainPath)).Elem()
}

// function is a function of a cell, without arguments and results, as Go's. To
// have emitted code assign it to a variable would take a function init for it,
// which costs as much to compile as a small cell.
func (m *machine) function(name string) func() {
	node := m.scope().FieldByName("sym").MapIndex(reflect.ValueOf(name)).Elem().FieldByName("node")
	frame := reflect.ValueOf(m.Interpreter).Elem().FieldByName("frame")
	return genFunctionWrapper(node.UnsafePointer())(frame.UnsafePointer()).Interface().(func())
}

//go:linkname genFunctionWrapper github.com/traefik/yaegi/interp.genFunctionWrapper
func genFunctionWrapper(node unsafe.Pointer) func(frame unsafe.Pointer) reflect.Value

// forget takes functions out of the interpreter's table of names, which nothing
// will be compiled against again, and lets go of the syntax of what has been
// compiled: yaegi keeps both for ever, about 20 kB a cell. What runs or may be
// called by others holds on to what it needs by itself.
func (m *machine) forget(names ...string) {
	clear := func(v reflect.Value) { reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem().SetZero() }
	clear(reflect.ValueOf(m.Interpreter).Elem().FieldByName("roots"))
	scope := m.scope()
	clear(scope.FieldByName("child"))
	syms := scope.FieldByName("sym")
	syms = reflect.NewAt(syms.Type(), unsafe.Pointer(syms.UnsafeAddr())).Elem()
	for _, name := range names {
		syms.SetMapIndex(reflect.ValueOf(name), reflect.Value{})
	}
}

// filesFrom lists the files that a file set has got since its base was that.
func filesFrom(fset *token.FileSet, base int) []*token.File {
	var fs []*token.File
	for base < fset.Base() {
		f := fset.File(token.Pos(base))
		if f == nil {
			break
		}
		fs = append(fs, f)
		base = f.Base() + f.Size() + 1
	}
	return fs
}

// start prepares the interpreter: package R_ and the variables shared with it.
func (s *Session) start() error {
	exports := s.rt.exports()
	s.m.Use(interp.Exports{rtPath + "/./R_": exports})
	for _, src := range []string{"import R_ \"" + rtPath + "\"", "var R_line int64", "var R_boxed interface{ R_() }"} {
		if err := s.m.eval(src); err != nil {
			return err
		}
	}
	if err := s.use("context"); err != nil {
		return err
	}
	if err := s.m.eval("var R_ctx " + alias("context") + ".Context"); err != nil {
		return err
	}
	g := s.m.Globals()
	s.ctxVar = g["R_ctx"]
	s.m.boxed = g["R_boxed"].Type()
	s.m.compiledCat = uint(s.m.typeNode("R_ctx").Elem().FieldByName("cat").Uint())
	s.m.Use(interp.Exports{".": {"MapTypes": reflect.ValueOf(s.m.mapped)}})
	return nil
}

// use makes a compiled package, and those its API mentions, known to yaegi.
func (s *Session) use(path string) error {
	if s.used[path] {
		return nil
	}
	p, ok := stdlib.Lookup(path)
	if !ok {
		return nil // mentioned by an API, but no cell can import it
	}
	s.used[path] = true
	syms := p.Symbols()
	s.rt.overrides(path, syms)
	s.mapMethods(path, syms)
	// The "/./" keeps yaegi from compiling its own sources of generic packages.
	s.m.Use(interp.Exports{path + "/./" + p.Name: syms})
	if err := s.m.eval("import " + alias(path) + " \"" + path + "\""); err != nil {
		return fmt.Errorf("session: the interpreter does not take package %s: %w", path, err)
	}
	tp, err := s.imp.Import(path)
	if err != nil {
		return err
	}
	for _, d := range tp.Imports() {
		if err := s.use(d.Path()); err != nil {
			return err
		}
	}
	return nil
}

// mapMethods names the functions that look for methods in arguments of type
// any; yaegi passes values with those methods in wrappers.
func (s *Session) mapMethods(path string, syms map[string]reflect.Value) {
	var names []string
	var ts []reflect.Type
	switch path {
	case "fmt":
		names = []string{"Print", "Println", "Printf", "Sprint", "Sprintf", "Sprintln", "Fprint", "Fprintf", "Fprintln", "Errorf", "Appendf"}
		for _, n := range []string{"Print", "Println", "Printf", "Fprint", "Fprintf", "Fprintln"} {
			names = append(names, n+sep)
		}
		ts = []reflect.Type{reflect.TypeFor[error](), reflect.TypeFor[fmt.Stringer]()}
	case "log":
		names = []string{"Print", "Println", "Printf", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"}
		ts = []reflect.Type{reflect.TypeFor[error](), reflect.TypeFor[fmt.Stringer]()}
	default:
		return
	}
	for _, n := range names {
		s.m.mapped[syms[n]] = ts
	}
	s.m.Use(interp.Exports{".": {"MapTypes": reflect.ValueOf(s.m.mapped)}})
}

// load compiles emitted source and executes its declarations.
func (s *Session) load(src string) (err error) {
	if s.debug != nil {
		fmt.Fprintln(s.debug, src)
	}
	defer func() {
		if r := recover(); r != nil {
			err = &CellError{Kind: KindInterpreter, Msg: fmt.Sprint("the interpreter failed: ", r)}
		}
	}()
	s.m.lasting = strings.Contains(src, "func(") // what declares functions lives as long as these
	if err := s.m.eval(src); err != nil {
		return interpreterError(err)
	}
	return nil
}

var positionPrefix = regexp.MustCompile(`^(?:_\.go:)?(\d+):(\d+): `)

// interpreterError reads the position out of an error of yaegi.
func interpreterError(err error) *CellError {
	m := err.Error()
	ce := &CellError{Kind: KindInterpreter, Msg: m}
	if x := positionPrefix.FindStringSubmatch(m); x != nil {
		l, _ := strconv.Atoi(x[1])
		ce.Msg = m[len(x[0]):]
		if l > lineMul {
			ce.Col, _ = strconv.Atoi(x[2])
			ce.Cell, ce.Line = l/lineMul, l%lineMul
		}
	}
	return ce
}

var traceLine = regexp.MustCompile(`(?m)^(?:_\.go:)?(\d+):(\d+): panic: main\.?([^\n]*)$`)

// calls turns what yaegi printed of a panic into "f (cell[3]:2)", innermost first.
func (m *machine) calls(number func(int) int) []string {
	var out []string
	for _, x := range traceLine.FindAllStringSubmatch(m.trace.take(), -1) {
		l, _ := strconv.Atoi(x[1])
		if l < lineMul {
			continue
		}
		fn := strings.TrimPrefix(strings.TrimSuffix(x[3], "(...)"), "main.")
		fn, _, _ = strings.Cut(fn, sep)
		if strings.HasPrefix(fn, "C_") {
			fn = "cell"
		}
		e := fmt.Sprintf("%s (cell[%d]:%d)", strings.Replace(fn, "__", ".", 1), number(l/lineMul), l%lineMul)
		if len(out) == 0 || out[len(out)-1] != e {
			out = append(out, e)
		}
		if len(out) == 20 {
			return append(out, "…")
		}
	}
	return out
}
