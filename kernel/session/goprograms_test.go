package session

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Go's own test programs, those of GOROOT/test that a notebook could hold, run
// as one cell each in a session of its own in a process of its own. As for
// Go's own runner a program passes when it ends by itself and prints what the
// .out file beside it says, or nothing.

// programEnv names the program that a process of this test is to run.
const programEnv = "GONVEX_SESSION_PROGRAM"

// wanted is how many programs must pass.
const wanted = 690

const programLimit = time.Minute

func TestMain(m *testing.M) {
	if file := os.Getenv(programEnv); file != "" {
		os.Exit(runProgram(file))
	}
	os.Exit(m.Run())
}

// runProgram runs a file as a cell; the exit status is that of go run.
func runProgram(file string) int {
	src, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	// The stack of stack.go grows to 256 MB for a moment, which is more than the
	// default where somebody looks just then.
	s, err := New(Options{MaxHeap: 2 << 30, MaxStack: 384 << 20})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	if os.Getenv("SESSION_DEBUG") != "" {
		s.debug = os.Stderr
	}
	if _, err := s.Execute(context.Background(), string(src)); err != nil {
		var ce *CellError
		if errors.As(err, &ce) {
			fmt.Fprintf(os.Stderr, "%s: %s\n", ce.Name, ce.Error())
		}
		return 1
	}
	return 0
}

// unheld are the packages that look under the language, or outside of it.
var unheld = []string{"unsafe", "runtime", "reflect", "os/exec", "syscall", "testing", "internal", "C", "go", "plugin", ".", ".."}

// held tells a program that a notebook could hold: action "// run" without
// arguments, for this machine, and no import of what a cell cannot have.
func held(file string) bool {
	src, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(src)) {
		line = strings.TrimSpace(line)
		if x, err := constraint.Parse(line); err == nil {
			if !x.Eval(func(tag string) bool {
				return tag == runtime.GOOS || tag == runtime.GOARCH || tag == "unix" || strings.HasPrefix(tag, "go1.")
			}) {
				return false
			}
			continue
		}
		if line != "" {
			if line != "// run" {
				return false
			}
			break
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
	if err != nil {
		return false
	}
	for _, is := range f.Imports {
		path, _ := strconv.Unquote(is.Path.Value)
		top, _, _ := strings.Cut(path, "/")
		if slices.Contains(unheld, path) || slices.Contains(unheld, top) {
			return false
		}
	}
	return true
}

// goTests is the test folder of Go's own sources, "" if there is none.
func goTests() string {
	dirs := []string{os.Getenv("GOROOT")}
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	more, _ := filepath.Glob("/usr/share/go-*") // Debian's golang-*-src
	slices.Reverse(more)
	for _, d := range append(dirs, more...) {
		if d != "" {
			if _, err := os.Stat(filepath.Join(d, "test", "ken", "array.go")); err == nil {
				return filepath.Join(d, "test")
			}
		}
	}
	return ""
}

// programFailures reads the table of programs that fail: a path and the reason.
func programFailures(t *testing.T) map[string]string {
	b, err := os.ReadFile("testdata/goprograms.txt")
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		file, reason, ok := strings.Cut(line, " ")
		if reason = strings.TrimSpace(reason); !ok || reason == "" {
			t.Fatalf("testdata/goprograms.txt: no reason in %q", line)
		}
		m[file] = reason
	}
	return m
}

// verdict runs a program in a process of its own and says what is wrong.
func verdict(ctx context.Context, dir, file string) string {
	ctx, cancel := context.WithTimeout(ctx, programLimit)
	defer cancel()
	exe, err := os.Executable()
	if err != nil {
		return err.Error()
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), programEnv+"="+filepath.Join(dir, file), "GOTRACEBACK=none")
	cmd.Dir = os.TempDir()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	got := strings.ReplaceAll(out.String(), "\r\n", "\n")
	first, _, _ := strings.Cut(strings.TrimSpace(got), "\n")
	first = first[:min(len(first), 300)]
	switch {
	case ctx.Err() != nil:
		return "does not end in " + programLimit.String()
	case err != nil:
		return fmt.Sprintf("%v: %s", err, first)
	}
	want, _ := os.ReadFile(filepath.Join(dir, strings.TrimSuffix(file, ".go")+".out"))
	if got != string(want) {
		return "prints " + strconv.Quote(got[:min(len(got), 200)])
	}
	return ""
}

func TestGoPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	dir := goTests()
	if dir == "" {
		t.Skip("this Go comes without its test folder: unpack Go's sources to $GOROOT/test, or apt-get install golang-1.26-src")
	}
	var files []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(p, ".go") && !strings.Contains(p, ".dir"+string(filepath.Separator)) && held(p) {
			rel, _ := filepath.Rel(dir, p)
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	known := programFailures(t)
	only := os.Getenv("GONVEX_SESSION_PROGRAMS") // a part of the names, to look at a few
	strict := strings.HasPrefix(runtime.Version(), "go1.26")
	var mu sync.Mutex
	passed, run := 0, 0
	var report *bufio.Writer
	if f := os.Getenv("GONVEX_SESSION_REPORT"); f != "" {
		w, err := os.Create(f)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		report = bufio.NewWriter(w)
		defer report.Flush()
	}
	work := make(chan string)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for file := range work {
				if strings.HasPrefix(known[file], "slow:") && only == "" {
					mu.Lock()
					run++
					mu.Unlock()
					continue
				}
				wrong := verdict(t.Context(), dir, file)
				mu.Lock()
				run++
				if wrong == "" {
					passed++
				} else if report != nil {
					fmt.Fprintf(report, "%s\t%s\n", file, wrong)
				}
				reason, listed := known[file]
				switch {
				case wrong != "" && !listed && strict:
					t.Errorf("%s: %s", file, wrong)
				case wrong == "" && listed && strict:
					t.Errorf("%s passes now, take it off testdata/goprograms.txt (%s)", file, reason)
				}
				mu.Unlock()
			}
		})
	}
	for _, f := range files {
		if strings.Contains(f, only) {
			work <- f
		}
	}
	close(work)
	wg.Wait()
	t.Logf("%d of %d programs pass", passed, run)
	for file := range known {
		if strict && !slices.Contains(files, file) {
			t.Errorf("testdata/goprograms.txt: there is no program %s", file)
		}
	}
	if only == "" && passed < wanted {
		t.Errorf("%d programs pass, fewer than %d", passed, wanted)
	}
}
