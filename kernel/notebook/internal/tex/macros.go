package tex

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A macro is a command that a document defines: text with #1 to #9 for its
// arguments.
type macro struct {
	args int
	body string
}

const (
	maxExpansions = 200     // in one formula, which ends a macro that calls itself
	maxExpanded   = 1 << 16 // bytes
)

// define reads \newcommand{\name}[n]{body}, \def\name#1{body} and
// \DeclareMathOperator*{\name}{text}.
func define(p *parser, kind string) (atom, error) {
	operator := ""
	if p.is("*") {
		operator = "*"
		p.next()
	}
	braces := p.is("{")
	if braces {
		p.next()
	}
	if p.tok.kind != command {
		return atom{}, fmt.Errorf("\\%s wants the name of a command, not %q", kind, p.tok.text)
	}
	name := p.tok.text
	p.next()
	if braces {
		if !p.is("}") {
			return atom{}, fmt.Errorf("\\%s{\\%s without its }", kind, name)
		}
		p.next()
	}
	m := macro{}
	if kind == "def" {
		for p.is("#") { // #1#2
			p.next()
			m.args++
			p.next()
		}
	} else if p.is("[") {
		p.next()
		n, err := strconv.Atoi(p.tok.text)
		if err != nil || n < 0 || n > 9 {
			return atom{}, fmt.Errorf("\\%s: %q is not a number of arguments", kind, p.tok.text)
		}
		m.args = n
		if p.next(); !p.is("]") {
			return atom{}, fmt.Errorf("\\%s: %q where a ] is expected", kind, p.tok.text)
		}
		if p.next(); p.is("[") {
			return atom{}, fmt.Errorf("\\%s with an optional argument is not known", kind)
		}
	}
	body, err := p.verbatim()
	if err != nil {
		return atom{}, err
	}
	m.body = body
	if kind == "DeclareMathOperator" {
		m.body = `\operatorname` + operator + "{" + body + "}"
	}
	if len(p.macros) >= 1000 {
		return atom{}, errors.New("more than 1000 macros")
	}
	p.macros[name] = m
	return atom{space: true}, nil
}

// expand puts the text of a macro in place of its call and parses on.
func (p *parser) expand(name string, m macro) (atom, error) {
	if p.grown++; p.grown > maxExpansions {
		return atom{}, fmt.Errorf("\\%s: too many expansions; does it call itself?", name)
	}
	p.next()
	body := m.body
	for i := range m.args {
		arg, err := p.rawArgument()
		if err != nil {
			return atom{}, fmt.Errorf("argument %d of \\%s: %w", i+1, name, err)
		}
		body = strings.ReplaceAll(body, "#"+strconv.Itoa(i+1), arg)
	}
	// Braces keep the expansion one element, so that \R^n raises all of it.
	src := "{" + body + "}" + p.src[p.start:]
	if len(src) > maxExpanded {
		return atom{}, fmt.Errorf("\\%s expands to more than %d bytes", name, maxExpanded)
	}
	p.src, p.at = src, 0
	p.next()
	return p.atom()
}

// rawArgument takes a group without its braces, or one token, as text.
func (p *parser) rawArgument() (string, error) {
	if p.is("{") {
		return p.verbatim()
	}
	if p.tok.kind == end {
		return "", errors.New("the formula ends where an argument is expected")
	}
	s := p.src[p.start:p.at]
	if p.tok.kind == command {
		s += " "
	}
	p.next()
	return s, nil
}
