package session

import (
	"strings"
	"testing"
)

// An error that a cell leaves without a look is told in a line; it is no error
// of the cell.
func TestUnreadErrors(t *testing.T) {
	const decls = "type E struct{ n int }\nfunc (e E) Error() string { return fmt.Sprint(\"E\", e.n) }\n" +
		"func bad() (int, error) { return 0, E{4} }\nfunc good() error { return nil }\nvar err error\nn := 0"
	for _, c := range []struct{ code, want string }{ // want is empty where there is nothing to tell
		{"n, err = bad()", "err (line 1) is not nil and was not looked at: E4"},
		{"m, err := bad()\nm", "err (line 1)"},
		{"_, err = bad()\nif err != nil {\n\tn++\n}\n_, err = os.Open(\"nofile\")", "err (line 5) is not nil and was not looked at: open nofile: no such file or directory"},
		{"bad()\nn", "the error of bad (line 1) is not nil and was not looked at: E4"},
		{"os.Remove(\"nofile\")\nn", "the error of os.Remove (line 1)"},
		{"defer fmt.Sprint(1)\n_, err = bad()", "err (line 2)"},
		{"_, err = bad()\nerr", ""},
		{"_, err = bad()\nfmt.Println(err)", ""},
		{"bad()", ""}, // shown
		{"err = good()", ""},
		{"good()\nn", ""},
		{"for range 3 {\n\tif err != nil {\n\t\tn++\n\t}\n\t_, err = bad()\n}", ""},
		{"defer func() { fmt.Println(err) }()\n_, err = bad()", ""},
		{"ErrLate := errors.New(\"late\")", ""},
		{"err = fmt.Errorf(\"to come\")", ""},
		{"var kept error = E{3}", ""},
		{"fmt.Fprintln(os.Stdout)\nn", ""},
		{"func look() bool { return err == nil }\n_, err = bad()\nlook()", ""},
	} {
		s := newSession(t)
		mustRun(t, s, decls)
		got := strings.Join(mustRun(t, s, c.code).Warnings, "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%q: %q, want %q", c.code, got, c.want)
		}
		if w := mustRun(t, s, "n++").Warnings; len(w) != 0 {
			t.Errorf("%q: the next cell says %q", c.code, w)
		}
	}
}
