package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gonvex/gonvex/kernel/display"
)

// A magic is a command to the session: a cell whose first line is %name and
// arguments. body is the rest of the cell. Each is in a file of its own and
// puts itself in the table; %help and completion pick it up.
type magic struct {
	usage string // "%name args", first
	help  string // in a line
	run   func(s *Session, ctx context.Context, args, body string, res *Result) *CellError
	// pure magics change nothing that a later cell could see.
	pure bool
}

var magics = map[string]magic{}

// question is the name that a cell of the form name? or ?name asks about, ""
// for any other cell.
func question(code string) string {
	code = strings.TrimSpace(code)
	name := strings.TrimSpace(strings.Trim(code, "?"))
	if name == code || strings.ContainsAny(name, " \t\n?") {
		return ""
	}
	return name
}

// isMagic tells a cell that is a command to the session: % and a name, or a
// question.
func isMagic(code string) bool {
	code = strings.TrimSpace(code)
	return question(code) != "" || len(code) > 1 && code[0] == '%' && (code[1] >= 'a' && code[1] <= 'z' || code[1] == '%')
}

// magic runs a magic cell. Lines of a cell after the magic's own are its body.
func (s *Session) magic(ctx context.Context, code string, res *Result) *CellError {
	if name := question(code); name != "" {
		res.Stateless = true
		err := magics["help"].run(s, ctx, name, "", res)
		res.Page, res.Value = res.Value, nil
		return err
	}
	line, body, _ := strings.Cut(strings.TrimLeft(code, " \t\n"), "\n")
	name, args, _ := strings.Cut(strings.TrimSpace(strings.TrimLeft(line, "%")), " ")
	m, ok := magics[name]
	if !ok {
		advice := "%help lists the magics"
		if near := nearest(name, slices.Collect(maps.Keys(magics))); near != "" {
			advice = "did you mean %" + near + "? " + advice
		}
		return &CellError{Kind: KindSyntax, Msg: fmt.Sprintf("there is no magic %%%s", name), Cell: s.count, Line: 1, Col: 1, Advice: advice}
	}
	res.Stateless = m.pure
	return m.run(s, ctx, strings.TrimSpace(args), body, res)
}

// textResult makes text the cell's value.
func textResult(res *Result, text string) {
	res.Value = &display.Bundle{Data: map[string]any{display.MIMEText: strings.TrimRight(text, "\n")}}
}

// behind blanks the name of a magic that takes code, when byte off is behind
// it, so that the code can be completed and inspected where it stands.
func behind(code string, off int) (string, bool) {
	start := strings.IndexByte(code, '%')
	if start < 0 || strings.TrimSpace(code[:start]) != "" {
		return code, false
	}
	line, _, _ := strings.Cut(code[start:], "\n")
	name, _, _ := strings.Cut(line, " ")
	m, ok := magics[strings.TrimLeft(name, "%")]
	if !ok || off <= start+len(name) || !strings.Contains(m.usage, "CODE") {
		return code, false
	}
	return code[:start] + strings.Repeat(" ", len(name)) + code[start+len(name):], true
}

// magics completes the name of a magic and, where it is no code, what it takes.
func (c *completer) magics(text string) {
	name, arg, named := strings.Cut(text[strings.LastIndexByte(text, '%')+1:], " ")
	if strings.Contains(text, "\n") {
		return
	}
	if !named {
		c.prefix = name
		for name, m := range magics {
			c.add(0, Match{Text: name, Kind: KindMagicName, Signature: m.usage + ": " + m.help})
		}
		return
	}
	if strings.Contains(magics[name].usage, "FILE") {
		c.files(strings.TrimLeft(arg, " "), false)
	}
}
