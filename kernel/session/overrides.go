package session

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"reflect"
	"strings"
)

// overrides replaces symbols of a compiled package that a cell must not have
// as they are: printing goes to the session, exits end the cell, sleeps end
// with the cell's context, and errors.Is looks through yaegi's wrappers.
func (r *rt) overrides(path string, syms map[string]reflect.Value) {
	set := func(name string, fn any) {
		if _, ok := syms[name]; ok {
			syms[name] = reflect.ValueOf(fn)
		}
	}
	switch path {
	case "fmt":
		set("Print", func(a ...any) (int, error) { return fmt.Fprint(r.out, r.open(a)...) })
		set("Println", func(a ...any) (int, error) { return fmt.Fprintln(r.out, r.open(a)...) })
		set("Printf", func(f string, a ...any) (int, error) {
			f, a = withTypes(f, r.open(a))
			return fmt.Fprintf(r.out, f, a...)
		})
		set("Fprint", func(w io.Writer, a ...any) (int, error) { return fmt.Fprint(r.writer(w), r.open(a)...) })
		set("Fprintln", func(w io.Writer, a ...any) (int, error) { return fmt.Fprintln(r.writer(w), r.open(a)...) })
		set("Fprintf", func(w io.Writer, f string, a ...any) (int, error) {
			f, a = withTypes(f, r.open(a))
			return fmt.Fprintf(r.writer(w), f, a...)
		})
		set("Sprint", func(a ...any) string { return fmt.Sprint(r.open(a)...) })
		set("Sprintln", func(a ...any) string { return fmt.Sprintln(r.open(a)...) })
		set("Sprintf", func(f string, a ...any) string { f, a = withTypes(f, r.open(a)); return fmt.Sprintf(f, a...) })
		set("Errorf", func(f string, a ...any) error { f, a = withTypes(f, r.open(a)); return fmt.Errorf(f, a...) })
		set("Appendf", func(b []byte, f string, a ...any) []byte {
			f, a = withTypes(f, r.open(a))
			return fmt.Appendf(b, f, a...)
		})
	case "os":
		set("Exit", func(code int) { panic(exit{code}) })
	case "time":
		set("Sleep", r.sleep)
	case "log":
		l := log.New(r.err, "", log.LstdFlags)
		set("Print", func(a ...any) { l.Print(r.open(a)...) })
		set("Printf", func(f string, a ...any) { f, a = withTypes(f, r.open(a)); l.Printf(f, a...) })
		set("Println", func(a ...any) { l.Println(r.open(a)...) })
		// Fatal exits and Panic panics: in a cell both end the cell with the message.
		for _, n := range []string{"Fatal", "Panic"} {
			set(n, func(a ...any) { panic(fmt.Sprint(a...)) })
			set(n+"f", func(f string, a ...any) { f, a = withTypes(f, r.open(a)); panic(fmt.Sprintf(f, a...)) })
			set(n+"ln", func(a ...any) { panic(strings.TrimSuffix(fmt.Sprintln(a...), "\n")) })
		}
		set("Default", func() *log.Logger { return l })
		set("SetFlags", l.SetFlags)
		set("Flags", l.Flags)
		set("SetPrefix", l.SetPrefix)
		set("Prefix", l.Prefix)
		set("SetOutput", func(w io.Writer) { l.SetOutput(r.writer(w)) })
		set("Writer", l.Writer)
		set("New", func(w io.Writer, prefix string, flag int) *log.Logger { return log.New(r.writer(w), prefix, flag) })
	case "errors":
		set("Is", errorsIs)
		set("As", errorsAs)
	}
}

// writer puts the session's streams in the place of the process's.
func (r *rt) writer(w io.Writer) io.Writer {
	switch w {
	case os.Stdout:
		return r.out
	case os.Stderr:
		return r.err
	}
	return w
}

// exit is the panic value of os.Exit in a cell.
type exit struct{ code int }

func (e exit) Error() string { return fmt.Sprintf("os.Exit(%d) called in a cell", e.code) }

// withTypes spells out %T for values that only go/types knows the type of.
func withTypes(format string, a []any) (string, []any) {
	if !strings.Contains(format, "T") {
		return format, a
	}
	var b strings.Builder
	arg := 0
	copied := false
	for i := 0; i < len(format); i++ {
		b.WriteByte(format[i])
		if format[i] != '%' {
			continue
		}
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.", format[i]) >= 0; i++ {
			b.WriteByte(format[i])
		}
		if i >= len(format) {
			break
		}
		switch format[i] {
		case '%':
		case '*', '[':
			return format, a // the order of the arguments is the user's own
		default:
			if arg < len(a) && format[i] == 'T' {
				if name, ok := typeName(a[arg]); ok {
					if !copied {
						a, copied = append([]any{}, a...), true
					}
					a[arg] = name
					b.WriteByte('s')
					arg++
					continue
				}
			}
			arg++
		}
		b.WriteByte(format[i])
	}
	return b.String(), a
}

// errorsIs is errors.Is for values inside yaegi's wrappers.
func errorsIs(err, target error) bool {
	if target == nil || err == nil {
		return err == target
	}
	t := unwrap(target)
	comparable := reflect.TypeOf(t).Comparable()
	var is func(err error) bool
	is = func(err error) bool {
		for {
			if u := unwrap(err); comparable && reflect.TypeOf(u) == reflect.TypeOf(t) && u == t {
				return true
			}
			if x, ok := err.(interface{ Is(error) bool }); ok && x.Is(target) {
				return true
			}
			switch x := err.(type) {
			case interface{ Unwrap() error }:
				if err = x.Unwrap(); err == nil {
					return false
				}
			case interface{ Unwrap() []error }:
				for _, e := range x.Unwrap() {
					if is(e) {
						return true
					}
				}
				return false
			default:
				return false
			}
		}
	}
	return is(err)
}

// errorsAs is errors.As for values inside yaegi's wrappers.
func errorsAs(err error, target any) bool {
	tv := reflect.ValueOf(target)
	if target == nil || tv.Kind() != reflect.Pointer || tv.IsNil() {
		panic("errors: target must be a non-nil pointer")
	}
	tt := tv.Type().Elem()
	if tt.Kind() == reflect.Interface || tt.Implements(reflect.TypeFor[error]()) {
		if errors.As(err, target) {
			return true
		}
	}
	for err != nil {
		if u := reflect.ValueOf(unwrap(err)); u.IsValid() && u.Type() == tt {
			tv.Elem().Set(u)
			return true
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range x.Unwrap() {
				if errorsAs(e, target) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}
