package session

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gonvex/gonvex/kernel/display"
	"github.com/gonvex/gonvex/stdlib"
)

// Options configure a session. The zero value prints on the process's own
// streams and has no front end to show or ask.
type Options struct {
	// Stdout and Stderr take what cells print; os.Stdout and os.Stderr if nil.
	Stdout, Stderr io.Writer
	// Publisher, if not nil, becomes the process's receiver of display.Show.
	Publisher display.Publisher
	// MaxStack is the size in bytes of all goroutine stacks at which a cell is
	// stopped, 256 MB if 0. MaxHeap is the same for the heap; 0 is no limit.
	MaxStack, MaxHeap uint64
	// Grace is how long an interrupted cell may stay in a compiled call before
	// the prompt comes back without it, 3 s if 0. A cell in which somebody looks
	// whether its ctx is done has four times that.
	Grace time.Duration
	// Input asks the user for a line; cells call it as input(prompt) and
	// password(prompt).
	Input func(prompt string, password bool) (string, error)
}

// Session runs the cells of one notebook. Execute runs one cell at a time;
// Complete and Inspect may be called at any time.
type Session struct {
	opt    Options
	fset   *token.FileSet
	imp    types.ImporterFrom
	rt     *rt
	m      *machine
	world  atomic.Pointer[world] // the committed world; never written in place
	began  atomic.Int64          // when the last cell began, Unix time in nanoseconds
	ctxVar reflect.Value         // the cells' ctx
	mods   modules               // what %get brought

	mu       sync.Mutex // held by Execute
	count    int        // cells executed
	used     map[string]bool
	versions map[string]int
	insts    map[string]string // generic instances: key -> emitted name
	helpers  map[string]bool
	twins    map[string]bool // what stands behind the types that functions have declared
	uniq     int
	mark     *marker        // of the goroutine that cells run on
	gid      string         // that goroutine, if it is known
	placed   map[int]placed // by cell
	declared bool           // the last cell has changed declarations
	// The cells that wrote the live declarations, and those that emitted them.
	written, emitted map[int]bool

	synth   sync.Map // source -> ast.Decl, see synthetic
	aliases sync.Map // P_name -> import path
	sources sync.Map // cell -> its text
	numbers sync.Map // cell -> its number in the notebook, where it has another
	label   int      // the number of the next cell, 0 for one more than the last

	debug io.Writer // emitted source, for tests
}

// Result is what a cell gave.
type Result struct {
	Value    *display.Bundle // the last expression, nil if there is none to show
	Warnings []string
	// What who runs the cells again, after a crash, need not run or may forget.
	Stateless bool // the cell cannot have changed anything
	Reset     bool // the cell forgot all that there was
	// What the front end is to do besides.
	NextInput *string         // put this text in the place of the cell's
	Page      *display.Bundle // show this aside, as documentation
}

// predeclared is what every cell has without declaring it.
const predeclared = `package main
// input asks the user for a line of text.
func input(prompt string) string
// password asks the user for a line of text that is not shown.
func password(prompt string) string
`

// New starts a session.
func New(o Options) (*Session, error) {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	if o.Grace == 0 {
		o.Grace = 3 * time.Second
	}
	if o.MaxStack == 0 {
		o.MaxStack = 256 << 20
	}
	s := &Session{opt: o}
	if err := s.reset(); err != nil {
		return nil, err
	}
	if o.Publisher != nil {
		display.SetPublisher(o.Publisher)
	}
	go s.warm()
	return s, nil
}

// warm makes the packages that most notebooks use ready before a cell asks for
// them: that is most of what a package's first use costs. It stands back as long
// as small cells follow each other, and stops when a cell is in its way.
func (s *Session) warm() {
	for i, name := range append([]string{"fmt", "os", "time", "strings", "math", "errors"}, favourites...) {
		path, ok := stdlib.Named(name)
		if !ok {
			continue
		}
		if i == 6 {
			time.Sleep(100 * time.Millisecond) // these take longer: let the first cell of who is in a hurry pass
		}
		for i >= 6 && time.Since(time.Unix(0, s.began.Load())) < 50*time.Millisecond {
			time.Sleep(25 * time.Millisecond)
		}
		s.readTypes(path, map[string]bool{})
		if !s.mu.TryLock() {
			return
		}
		s.use(path)
		s.mu.Unlock()
	}
}

// readTypes reads the types of a package and of those that its API mentions,
// which is most of what use takes and needs no lock that a cell waits for.
func (s *Session) readTypes(path string, seen map[string]bool) {
	p, err := s.imp.Import(path)
	if err != nil || seen[path] {
		return
	}
	seen[path] = true
	for _, d := range p.Imports() {
		s.readTypes(d.Path(), seen)
	}
}

// reset begins anew: an empty world and a fresh interpreter. The counter of
// cells goes on.
func (s *Session) reset() error {
	if s.fset == nil {
		s.fset = token.NewFileSet()
		s.imp = withModules{stdlib.Importer(s.fset), &s.mods}
	}
	s.mods.unload()
	s.placed, s.declared = map[int]placed{}, true
	s.used, s.versions, s.insts, s.helpers, s.twins = map[string]bool{}, map[string]int{}, map[string]string{}, map[string]bool{}, map[string]bool{}
	s.rt = newRT(s.opt)
	s.rt.number = s.number
	var err error
	if s.m, err = newMachine(s.opt); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	w, err := s.emptyWorld()
	if err != nil {
		return err
	}
	s.world.Store(w)
	return nil
}

// emptyWorld is the world before the first cell.
func (s *Session) emptyWorld() (*world, error) {
	for _, p := range []string{"cmp", "iter", "sync", "errors", "sort", "context"} { // what the prelude and ctx name
		s.aliases.Store(alias(p), p)
	}
	w := &world{decls: map[string]*decl{}, imports: map[string]string{}}
	f, err := parser.ParseFile(s.fset, "predeclared", predeclared, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range f.Decls {
		fd := d.(*ast.FuncDecl)
		emitted := map[string]string{"input": "R_.Input", "password": "R_.Password"}[fd.Name.Name]
		w.decls[fd.Name.Name] = &decl{kind: declFunc, key: fd.Name.Name, fn: fd, emitted: emitted, refs: map[string]bool{}, predeclared: true}
	}
	w.decls["ctx"] = &decl{kind: declVar, key: "ctx", typ: alias("context") + ".Context", emitted: "R_ctx", refs: map[string]bool{}, predeclared: true}
	return w, nil
}

// SetCount gives the next cell the number that its notebook shows: messages
// name cells by it. Without it cells are numbered from 1.
func (s *Session) SetCount(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.label = n
}

// number is the number by which messages name a cell.
func (s *Session) number(cell int) int {
	if n, ok := s.numbers.Load(cell); ok {
		return n.(int)
	}
	return cell
}

func (s *Session) source(cell int) string {
	src, _ := s.sources.Load(cell)
	text, _ := src.(string)
	return text
}

// Execute runs one cell. The error is always a *CellError. It ends soon after
// ctx is done, whatever the cell does; what the cell had declared and assigned
// by then stays.
func (s *Session) Execute(ctx context.Context, code string) (*Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	res := &Result{}
	var err *CellError
	w := s.world.Load()
	if code = s.begin(code); isMagic(code) {
		err = s.magic(ctx, code, res)
	} else {
		w, err = s.execute(ctx, code, res)
	}
	if err != nil {
		return res, s.finish(err, w)
	}
	return res, nil
}

// Run is Execute on the calling goroutine, which spares a small cell most of its
// time. done gets the outcome, and whether the goroutine can run another cell,
// which Run returns, too. If not, done is called on another goroutine, perhaps
// before Run returns: the goroutine may hang in a call that does not end.
func (s *Session) Run(ctx context.Context, code string, done func(res *Result, err error, well bool)) (well bool) {
	if isMagic(normalise(code)) {
		res, err := s.Execute(ctx, code)
		done(res, err, true)
		return true
	}
	s.mu.Lock()
	res := &Result{}
	var c compiled
	prepared := false
	func() {
		defer func() {
			if !prepared { // the session itself has failed
				s.mu.Unlock()
			}
		}()
		c = s.prepare(ctx, s.begin(code), res)
		prepared = true
	}()
	end := func(ce *CellError, well bool) {
		err := func() error {
			defer s.mu.Unlock()
			s.m.forget()
			if ce = s.conclude(c, res, ce); ce != nil {
				return s.finish(ce, c.world)
			}
			return nil
		}()
		done(res, err, well)
	}
	if c.err != nil {
		end(c.err, true)
		return true
	}
	return s.watch(ctx, c.entry, end)
}

// begin counts a cell in.
func (s *Session) begin(code string) string {
	s.began.Store(time.Now().UnixNano())
	code = normalise(code)
	if s.count++; s.count == maxCells {
		s.count = 1
	}
	s.sources.Store(s.count, code)
	if s.label > 0 {
		s.numbers.Store(s.count, s.label)
		s.label = 0
	}
	return code
}

// compiled is a cell that is ready to run, or err why it is not.
type compiled struct {
	entry        func()
	world        *world // in which an error is to be explained
	err          *CellError
	base, loaded int // where the positions of its files begin, see unplace
}

// execute compiles and runs a cell; the world it returns is the one in which
// an error is to be explained.
func (s *Session) execute(ctx context.Context, code string, res *Result) (*world, *CellError) {
	c := s.prepare(ctx, code, res)
	ce := c.err
	if ce == nil {
		ce = s.run(ctx, c.entry)
	}
	return c.world, s.conclude(c, res, ce)
}

func (s *Session) prepare(ctx context.Context, code string, res *Result) (c compiled) {
	if ce := s.importModules(ctx, code); ce != nil {
		return compiled{world: s.world.Load(), err: ce, base: -1}
	}
	c.base, c.loaded = s.fset.Base(), s.m.FileSet().Base()
	c.entry, c.world, c.err = s.compile(code, res)
	return c
}

// conclude takes what a cell has left, and returns its error.
func (s *Session) conclude(c compiled, res *Result, ce *CellError) *CellError {
	if c.err == nil {
		vals, _ := s.rt.take()
		res.Warnings = append(res.Warnings, s.rt.warned()...)
		if ce == nil {
			res.Value = s.rt.bundle(vals)
		}
	}
	if c.base >= 0 {
		s.unplace(c.base, c.loaded)
	}
	return ce
}

// unplace ends a cell: the positions of all that the checker and the
// interpreter have parsed in it, from these bases on, are kept only for what it
// has left behind, and as long as that lives.
func (s *Session) unplace(base, loaded int) {
	s.placed[s.count] = placed{filesFrom(s.fset, base), filesFrom(s.m.FileSet(), loaded), s.m.lasting}
	if !s.declared && s.count%16 != 0 { // all lives where it did, and what grows old can wait
		s.forgetFiles(s.count)
		return
	}
	if s.declared {
		s.written, s.emitted, s.declared = map[int]bool{}, map[int]bool{}, false
		for _, d := range s.world.Load().decls {
			if d.node() != nil {
				s.written[d.cell], s.emitted[d.emittedIn] = true, true
			}
		}
	}
	for cell := range s.placed {
		s.forgetFiles(cell)
	}
}

// forgetFiles forgets the positions of a cell that nothing is left of.
func (s *Session) forgetFiles(cell int) {
	p := s.placed[cell]
	if !s.written[cell] {
		for _, f := range p.checked {
			if strings.HasPrefix(f.Name(), "cell") { // the others are packages'
				s.fset.RemoveFile(f)
			}
		}
		p.checked = nil
	}
	if !s.emitted[cell] && (!p.lasting || cell < s.count-closureCells) {
		for _, f := range p.loaded {
			s.m.FileSet().RemoveFile(f)
		}
		p.loaded = nil
	}
	if s.placed[cell] = p; p.checked == nil && p.loaded == nil {
		delete(s.placed, cell)
	}
}

// placed are the files with the positions of a cell.
type placed struct {
	checked, loaded []*token.File
	lasting         bool // there are closures in it, which may live for ever
}

// closureCells is for how many cells the positions in closures are kept, by
// which a panic names the calls that led to it.
const closureCells = 500

// compile makes what a cell declares the session's, and returns the function
// to run.
func (s *Session) compile(code string, res *Result) (entry func(), w *world, ce *CellError) {
	pc, err := parseCell(s.fset, fmt.Sprintf("cell%d", s.count), code)
	if err != nil {
		ce := &CellError{Kind: KindSyntax, Msg: err.Error(), Cell: s.count}
		var el scanner.ErrorList
		if errors.As(err, &el) {
			ce.Msg, ce.Line, ce.Col = el[0].Msg, el[0].Pos.Line, el[0].Pos.Column
		}
		return nil, s.world.Load(), ce
	}
	t := s.newTx(s.count, pc)
	err = t.compile()
	if err != nil {
		res.Warnings = t.warnings
		var ce *CellError
		if !errors.As(err, &ce) {
			ce = &CellError{Kind: KindInterpreter, Msg: err.Error()}
		}
		return nil, t.w, ce
	}
	res.Warnings = t.warnings
	s.commit(t)
	return t.entry, t.w, nil
}

// commit makes the world of a compiled cell the session's. What no name leads
// to any more is forgotten.
func (s *Session) commit(t *tx) {
	for _, d := range t.w.dirty() { // the others are shared with who completes and inspects
		d.dirty, s.declared = false, true
	}
	var gone []string
	before := s.world.Load().decls
	if len(t.w.touched) == 0 && len(t.w.decls) == len(before) {
		before = nil // all is as it was
	}
	for k, d := range before {
		if now := t.w.decls[k]; !d.predeclared && d.emitted != "" && (now == nil || now.emitted != d.emitted) {
			gone = append(gone, d.emitted)
			if d.generic && d.kind == declFunc {
				for key, name := range s.insts {
					if strings.HasPrefix(key, d.emitted+"[") {
						gone = append(gone, name)
						delete(s.insts, key)
					}
				}
			}
		}
	}
	s.declared = s.declared || len(gone) > 0
	t.w.touched = nil
	s.world.Store(t.w)
	s.m.forget(gone...)
}

// hasMember tells whether a package of that name has the member.
func (s *Session) hasMember(name, member string) bool {
	return slices.ContainsFunc(stdlib.Candidates(name), func(path string) bool {
		p, err := s.imp.Import(path)
		return err == nil && p.Scope().Lookup(member) != nil
	})
}

// namedPackage is the package that a cell means by a name it does not import:
// of those of the name the first that has all that is selected from it.
func (s *Session) namedPackage(name string, selected []string) (string, bool) {
	paths := stdlib.Candidates(name)
	for _, p := range paths {
		tp, err := s.imp.Import(p)
		if err == nil && !slices.ContainsFunc(selected, func(sel string) bool { return tp.Scope().Lookup(sel) == nil }) {
			return p, true
		}
	}
	if len(paths) > 0 {
		return paths[0], true
	}
	return "", false
}
