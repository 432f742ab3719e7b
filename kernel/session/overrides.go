package session

import (
	"errors"
	"fmt"
	"go/types"
	"io"
	"log"
	"os"
	"reflect"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
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
		fprint := func(w io.Writer, a []any) (int, error) { return fmt.Fprint(w, r.open(a)...) }
		fprintln := func(w io.Writer, a []any) (int, error) { return fmt.Fprintln(w, r.open(a)...) }
		fprintf := func(w io.Writer, f string, a []any) (int, error) {
			f, a = r.withTypes(f, r.open(a))
			return fmt.Fprintf(w, f, a...)
		}
		set("Print", func(a ...any) (int, error) { return fprint(r.out, a) })
		set("Println", func(a ...any) (int, error) { return fprintln(r.out, a) })
		set("Printf", func(f string, a ...any) (int, error) { return fprintf(r.out, f, a) })
		set("Fprint", func(w io.Writer, a ...any) (int, error) { return fprint(r.writer(w), a) })
		set("Fprintln", func(w io.Writer, a ...any) (int, error) { return fprintln(r.writer(w), a) })
		set("Fprintf", func(w io.Writer, f string, a ...any) (int, error) { return fprintf(r.writer(w), f, a) })
		for name, fn := range map[string]any{ // the same without results, see emitter.effect
			"Print":    func(a ...any) { fprint(r.out, a) },
			"Println":  func(a ...any) { fprintln(r.out, a) },
			"Printf":   func(f string, a ...any) { fprintf(r.out, f, a) },
			"Fprint":   func(w io.Writer, a ...any) { fprint(r.writer(w), a) },
			"Fprintln": func(w io.Writer, a ...any) { fprintln(r.writer(w), a) },
			"Fprintf":  func(w io.Writer, f string, a ...any) { fprintf(r.writer(w), f, a) },
		} {
			syms[name+sep] = reflect.ValueOf(fn)
		}
		set("Sprint", func(a ...any) string { return fmt.Sprint(r.open(a)...) })
		set("Sprintln", func(a ...any) string { return fmt.Sprintln(r.open(a)...) })
		set("Sprintf", func(f string, a ...any) string { f, a = r.withTypes(f, r.open(a)); return fmt.Sprintf(f, a...) })
		set("Errorf", func(f string, a ...any) error { f, a = r.withTypes(f, r.open(a)); return fmt.Errorf(f, a...) })
		set("Appendf", func(b []byte, f string, a ...any) []byte {
			f, a = r.withTypes(f, r.open(a))
			return fmt.Appendf(b, f, a...)
		})
	case "os":
		set("Exit", func(code int) { panic(exit{code}) })
	case "time":
		set("Sleep", r.sleep)
	case "log":
		l := log.New(r.err, "", log.LstdFlags)
		set("Print", func(a ...any) { l.Print(r.open(a)...) })
		set("Printf", func(f string, a ...any) { f, a = r.withTypes(f, r.open(a)); l.Printf(f, a...) })
		set("Println", func(a ...any) { l.Println(r.open(a)...) })
		// Fatal exits and Panic panics: in a cell both end the cell with the message.
		for _, n := range []string{"Fatal", "Panic"} {
			set(n, func(a ...any) { panic(fmt.Sprint(a...)) })
			set(n+"f", func(f string, a ...any) { f, a = r.withTypes(f, r.open(a)); panic(fmt.Sprintf(f, a...)) })
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
	case "encoding/json":
		set("Marshal", r.marshal)
		set("MarshalIndent", r.marshalIndent)
		set("Unmarshal", r.unmarshal)
	case "gonum.org/v1/plot/plotter":
		set("NewXErrorBars", func(v any) (*plotter.XErrorBars, error) {
			xy, is := partOf[plotter.XYer](v)
			e, has := partOf[plotter.XErrorer](v)
			if !is || !has {
				return nil, noParts("NewXErrorBars", "plotter.XErrors")
			}
			return plotter.NewXErrorBars(struct {
				plotter.XYer
				plotter.XErrorer
			}{xy, e})
		})
		set("NewYErrorBars", func(v any) (*plotter.YErrorBars, error) {
			xy, is := partOf[plotter.XYer](v)
			e, has := partOf[plotter.YErrorer](v)
			if !is || !has {
				return nil, noParts("NewYErrorBars", "plotter.YErrors")
			}
			return plotter.NewYErrorBars(struct {
				plotter.XYer
				plotter.YErrorer
			}{xy, e})
		})
	case "errors":
		set("Is", r.errorsIs)
		set("As", r.errorsAs)
		set("Unwrap", r.errorsUnwrap)
	}
}

// partOf finds a value's implementation of an interface: itself, or a field of it.
// The functions that take an interface without a name, for which there is no
// wrapper, want several interfaces of one value, which in a cell is a struct that
// embeds a value for each.
func partOf[T any](v any) (T, bool) {
	x, ok := v.(T)
	rv, _ := plain(reflect.ValueOf(v))
	if !ok && rv.IsValid() && rv.CanInterface() {
		x, ok = rv.Interface().(T)
	}
	if rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	for i := 0; !ok && rv.Kind() == reflect.Struct && i < rv.NumField(); i++ {
		if f := rv.Field(i); f.CanInterface() {
			x, ok = partOf[T](f.Interface())
		}
	}
	return x, ok
}

func noParts(function, errors string) error {
	return fmt.Errorf("plotter.%s: methods of a cell's type do not reach it: pass a struct that embeds a plotter.XYs and a %s, or draw the bars with figure.ErrorBars", function, errors)
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
func (r *rt) withTypes(format string, a []any) (string, []any) {
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
				if name, ok := r.typeName(a[arg]); ok {
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

// behind is the value of the session inside an interface value, and its type;
// nil if it is none of the session's.
func (r *rt) behind(e any) (reflect.Value, types.Type) {
	switch f := e.(type) {
	case *formatted:
		return reflect.ValueOf(f.v), f.t
	case *formattedError:
		return reflect.ValueOf(f.v), f.t
	}
	v, name := plain(reflect.ValueOf(unwrap(e)))
	if !v.IsValid() {
		return v, nil
	}
	if t := r.dynamic(name); t != nil {
		return v, t
	}
	return v, r.typeBehind(v.Type())
}

// errorMethod calls a method of an error that is one of the session's.
func (r *rt) errorMethod(err error, method string, args ...any) (any, bool) {
	v, t := r.behind(err)
	if t == nil {
		return nil, false
	}
	in := make([]reflect.Value, len(args))
	for i := range args {
		in[i] = reflect.ValueOf(args[i])
	}
	out, ok := r.callMethod(v, t, method, false, in...)
	if !ok || !out[0].CanInterface() {
		return nil, false
	}
	return out[0].Interface(), true
}

// causes are the errors that an error wraps.
func (r *rt) causes(err error) []error {
	u, ok := r.errorMethod(err, "Unwrap")
	if !ok {
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			u = x.Unwrap()
		case interface{ Unwrap() []error }:
			u = x.Unwrap()
		}
	}
	switch x := u.(type) {
	case error:
		return []error{x}
	case []error:
		return slices.DeleteFunc(slices.Clone(x), func(e error) bool { return e == nil })
	}
	return nil
}

// errorsUnwrap is errors.Unwrap for cells.
func (r *rt) errorsUnwrap(err error) error {
	if u, ok := r.errorMethod(err, "Unwrap"); ok {
		e, _ := u.(error)
		return e
	}
	return errors.Unwrap(err)
}

// errorsIs is errors.Is for values inside yaegi's wrappers, and methods that
// only the session finds.
func (r *rt) errorsIs(err, target error) bool {
	if target == nil || err == nil {
		return err == target
	}
	t := unwrap(target)
	comparable := reflect.TypeOf(t).Comparable()
	var is func(err error) bool
	is = func(err error) bool {
		if u := unwrap(err); comparable && reflect.TypeOf(u) == reflect.TypeOf(t) && u == t {
			return true
		}
		if yes, ok := r.errorMethod(err, "Is", target); ok {
			if yes == true {
				return true
			}
		} else if x, ok := err.(interface{ Is(error) bool }); ok && x.Is(target) {
			return true
		}
		return slices.ContainsFunc(r.causes(err), is)
	}
	return is(err)
}

// errorsAs is errors.As likewise.
func (r *rt) errorsAs(err error, target any) bool {
	to := reflect.ValueOf(target)
	if target == nil || to.Kind() != reflect.Pointer || to.IsNil() {
		panic("errors: target must be a non-nil pointer")
	}
	to = to.Elem()
	var as func(err error) bool
	as = func(err error) bool {
		for _, x := range []any{err, unwrap(err)} {
			if v := reflect.ValueOf(x); v.Type() == to.Type() || to.Kind() == reflect.Interface && v.Type().Implements(to.Type()) {
				to.Set(v)
				return true
			}
		}
		if yes, ok := r.errorMethod(err, "As", target); ok {
			if yes == true {
				return true
			}
		} else if x, ok := err.(interface{ As(any) bool }); ok && x.As(target) {
			return true
		}
		return slices.ContainsFunc(r.causes(err), as)
	}
	return err != nil && as(err)
}
