// Package tex turns the mathematics of TeX into MathML, which browsers show
// without scripts or fonts of their own. It knows the commands of LaTeX and
// amsmath that formulas in notebooks use; what it does not know is an error,
// so that the caller can show the source instead of something wrong.
package tex

import (
	"errors"
	"fmt"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxSource = 1 << 16
	maxDepth  = 64
)

// A Converter turns the formulas of one document into MathML, with the macros
// that earlier formulas define. The zero Converter is ready.
type Converter struct{ macros map[string]macro }

// MathML converts one formula that shares no macros with others.
func MathML(source string, display bool) (string, error) {
	return new(Converter).MathML(source, display)
}

// MathML returns a <math> element for a formula without its delimiters.
// display sets it on a line of its own, with large operators.
func (c *Converter) MathML(source string, display bool) (string, error) {
	if c.macros == nil {
		c.macros = map[string]macro{}
	}
	if len(source) > maxSource {
		return "", fmt.Errorf("tex: a formula of %d bytes; at most %d are taken", len(source), maxSource)
	}
	body, err := c.whole(source)
	if err != nil && display && strings.Contains(source, `\\`) { // lines without an environment
		if b, err2 := c.whole(`\begin{gathered}` + source + `\end{gathered}`); err2 == nil {
			body, err = b, nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("tex: %w", err)
	}
	attr := ""
	if display {
		attr = ` display="block"`
	}
	return `<math xmlns="http://www.w3.org/1998/Math/MathML"` + attr + `><semantics>` + body +
		`<annotation encoding="application/x-tex">` + html.EscapeString(strings.TrimSpace(source)) + `</annotation></semantics></math>`, nil
}

// whole parses a formula to its end.
func (c *Converter) whole(source string) (string, error) {
	p := &parser{src: source, macros: c.macros}
	p.next()
	row, err := p.row(func(t token) bool { return t.kind == end })
	if err != nil {
		return "", err
	}
	return mrow(row), nil
}

// Trim removes the delimiters of a formula and tells whether they set it on a
// line of its own.
func Trim(s string) (body string, display bool) {
	s = strings.TrimSpace(s)
	for _, d := range []struct {
		open, close string
		display     bool
	}{{"$$", "$$", true}, {`\[`, `\]`, true}, {`\(`, `\)`, false}, {"$", "$", false}} {
		if len(s) >= len(d.open)+len(d.close) && strings.HasPrefix(s, d.open) && strings.HasSuffix(s, d.close) {
			return s[len(d.open) : len(s)-len(d.close)], d.display
		}
	}
	return s, true
}

type kind uint8

const (
	end     kind = iota
	command      // \name or \char
	char         // anything else, one rune
)

type token struct {
	kind kind
	text string // without the backslash
}

type parser struct {
	src    string
	at     int // of what follows tok
	tok    token
	start  int // of tok
	depth  int
	font   font
	macros map[string]macro
	grown  int // expansions so far
}

// next moves to the next token, over white space and comments.
func (p *parser) next() {
	for p.at < len(p.src) {
		c := p.src[p.at]
		if c == '%' {
			if i := strings.IndexByte(p.src[p.at:], '\n'); i >= 0 {
				p.at += i + 1
				continue
			}
			p.at = len(p.src)
			break
		}
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			break
		}
		p.at++
	}
	p.start = p.at
	if p.at >= len(p.src) {
		p.tok = token{end, "the end"}
		return
	}
	if p.src[p.at] != '\\' {
		_, n := utf8.DecodeRuneInString(p.src[p.at:])
		p.tok = token{char, p.src[p.at : p.at+n]}
		p.at += n
		return
	}
	i := p.at + 1
	for i < len(p.src) && (p.src[i] >= 'a' && p.src[i] <= 'z' || p.src[i] >= 'A' && p.src[i] <= 'Z') {
		i++
	}
	if i == p.at+1 && i < len(p.src) {
		_, n := utf8.DecodeRuneInString(p.src[i:])
		i += n
	}
	p.tok = token{command, p.src[p.at+1 : i]}
	p.at = i
}

func (p *parser) is(text string) bool { return p.tok.kind == char && p.tok.text == text }

func (p *parser) isCommand(name string) bool { return p.tok.kind == command && p.tok.text == name }

// An atom is one element of a row.
type atom struct {
	xml      string
	limits   bool // scripts go below and above (in display)
	function bool // a named function: a thin space follows before its argument
	space    bool // nothing but space
}

// row parses atoms up to, and not including, a token that stop accepts.
func (p *parser) row(stop func(token) bool) ([]atom, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("more than %d levels of nesting", maxDepth)
	}
	defer func() { p.depth-- }()
	var out []atom
	for !stop(p.tok) {
		switch {
		case p.tok.kind == end:
			return nil, errors.New("the formula ends too early: a brace, \\right or \\end is missing")
		case p.is("}"):
			return nil, errors.New("a } without its {")
		case p.is("&"):
			return nil, errors.New("an & outside an environment")
		}
		if p.tok.kind == command {
			if size, ok := styles[p.tok.text]; ok { // holds to the end of the group
				p.next()
				rest, err := p.row(stop)
				if err != nil {
					return nil, err
				}
				return append(out, atom{xml: "<mstyle " + size + ">" + join(rest) + "</mstyle>"}), nil
			}
		}
		a, err := p.scripted()
		if err != nil {
			return nil, err
		}
		out = append(out, a)
		if a.function && p.takesSpace() {
			out = append(out, atom{xml: `<mspace width="0.1667em"/>`, space: true})
		}
	}
	return out, nil
}

var styles = map[string]string{
	"displaystyle": `displaystyle="true" scriptlevel="0"`, "textstyle": `displaystyle="false" scriptlevel="0"`,
	"scriptstyle": `displaystyle="false" scriptlevel="1"`, "scriptscriptstyle": `displaystyle="false" scriptlevel="2"`,
}

// takesSpace reports whether a named function is set apart from what follows.
func (p *parser) takesSpace() bool {
	switch {
	case p.tok.kind == end:
		return false
	case p.tok.kind == char:
		return !strings.Contains("()[]{}|,.;:=+-*/<>&", p.tok.text) || p.is("{")
	}
	if _, ok := operators[p.tok.text]; ok {
		return false
	}
	switch p.tok.text {
	case "left", "right", "bigl", "Bigl", "biggl", "big", "Big", "lVert", "lvert", "{", "|", "\\", ",", ";", ":", "!", "quad", "end":
		return false
	}
	return true
}

// scripted parses an atom with its subscript, superscript and primes.
func (p *parser) scripted() (atom, error) {
	var base atom
	var err error
	if p.is("^") || p.is("_") || p.is("'") {
		base = atom{xml: "<mrow></mrow>"}
	} else if base, err = p.atom(); err != nil {
		return atom{}, err
	}
	var sub, sup, primes string
	for {
		switch {
		case p.isCommand("limits"):
			base.limits = true
			p.next()
		case p.isCommand("nolimits"):
			base.limits = false
			p.next()
		case p.is("'"):
			primes += "′"
			p.next()
		case p.is("_"), p.is("^"):
			target := &sub
			if p.is("^") {
				target = &sup
			}
			if *target != "" {
				return atom{}, fmt.Errorf("two %s on one base: add braces", map[bool]string{true: "superscripts", false: "subscripts"}[p.is("^")])
			}
			p.next()
			if *target, err = p.argument(); err != nil {
				return atom{}, err
			}
		default:
			if primes != "" {
				sup = "<mrow><mo>" + primes + "</mo>" + sup + "</mrow>"
			}
			return script(base, sub, sup), nil
		}
	}
}

func script(base atom, sub, sup string) atom {
	names := [3]string{"msub", "msup", "msubsup"}
	if base.limits {
		names = [3]string{"munder", "mover", "munderover"}
	}
	out := base
	switch {
	case sub != "" && sup != "":
		out.xml = element(names[2], base.xml+sub+sup)
	case sub != "":
		out.xml = element(names[0], base.xml+sub)
	case sup != "":
		out.xml = element(names[1], base.xml+sup)
	}
	return out
}

// argument parses what a command or script applies to: a group or one token.
func (p *parser) argument() (string, error) {
	if p.is("{") {
		return p.group()
	}
	if p.tok.kind == end {
		return "", errors.New("the formula ends where an argument is expected")
	}
	if p.is("}") || p.is("&") || p.is("^") || p.is("_") {
		return "", fmt.Errorf("%q where an argument is expected", p.tok.text)
	}
	if p.tok.kind == char && p.tok.text >= "0" && p.tok.text <= "9" { // x^23 is x² 3
		d := p.tok.text
		p.next()
		return p.number(d), nil
	}
	a, err := p.atom()
	return a.xml, err
}

// group parses { ... } into one element.
func (p *parser) group() (string, error) {
	if !p.is("{") {
		return "", fmt.Errorf("%q where a { is expected", p.tok.text)
	}
	p.next()
	row, err := p.row(func(t token) bool { return t.kind == char && t.text == "}" })
	if err != nil {
		return "", err
	}
	p.next()
	return mrow(row), nil
}

// verbatim takes the text of a { ... } argument as it is written.
func (p *parser) verbatim() (string, error) {
	if !p.is("{") {
		return "", fmt.Errorf("%q where a { is expected", p.tok.text)
	}
	depth := 0
	for i := p.start; i < len(p.src); i++ {
		switch p.src[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				s := p.src[p.start+1 : i]
				p.at = i + 1
				p.next()
				return s, nil
			}
		}
	}
	return "", errors.New("a { without its }")
}

// optional takes a [ ... ] argument, or nothing.
func (p *parser) optional() (string, bool, error) {
	if !p.is("[") {
		return "", false, nil
	}
	p.next()
	row, err := p.row(func(t token) bool { return t.kind == char && t.text == "]" })
	if err != nil {
		return "", false, err
	}
	p.next()
	return mrow(row), true, nil
}

// atom parses one element without scripts.
func (p *parser) atom() (atom, error) {
	t := p.tok
	if t.kind == command {
		return p.command()
	}
	if t.text == "{" {
		xml, err := p.group()
		return atom{xml: xml}, err
	}
	r, _ := utf8.DecodeRuneInString(t.text)
	p.next()
	switch {
	case r >= '0' && r <= '9':
		digits := t.text
		for p.tok.kind == char && p.start == p.at-1 && (p.tok.text >= "0" && p.tok.text <= "9" || p.is(".") && p.digitFollows()) && p.src[p.start-1] > ' ' {
			digits += p.tok.text
			p.next()
		}
		return atom{xml: p.number(digits)}, nil
	case r == '~':
		return atom{xml: "<mtext>\u00a0</mtext>", space: true}, nil
	case unicode.IsLetter(r):
		return atom{xml: p.letters(t.text)}, nil
	}
	if s, ok := plain[r]; ok {
		return atom{xml: s}, nil
	}
	if r == utf8.RuneError {
		return atom{}, errors.New("invalid UTF-8")
	}
	return atom{xml: mo(t.text)}, nil
}

func (p *parser) digitFollows() bool {
	return p.at < len(p.src) && p.src[p.at] >= '0' && p.src[p.at] <= '9'
}

// plain are the characters that need more than an <mo>.
var plain = map[rune]string{
	'-': "<mo>−</mo>", '*': "<mo>∗</mo>", '/': `<mo lspace="0" rspace="0">/</mo>`, ':': "<mo>:</mo>",
	'(': `<mo stretchy="false">(</mo>`, ')': `<mo stretchy="false">)</mo>`,
	'[': `<mo stretchy="false">[</mo>`, ']': `<mo stretchy="false">]</mo>`,
	'|': `<mo stretchy="false" lspace="0" rspace="0">|</mo>`, '.': `<mi mathvariant="normal">.</mi>`,
	'!': `<mo lspace="0" rspace="0">!</mo>`, '?': "<mi>?</mi>", '"': "<mi>″</mi>", '∞': `<mi mathvariant="normal">∞</mi>`,
	',': `<mo separator="true">,</mo>`, ';': `<mo separator="true">;</mo>`, '@': "<mi>@</mi>", '$': "<mi>$</mi>",
}

// number writes digits in the present font.
func (p *parser) number(digits string) string {
	return "<mn>" + p.font.apply(digits) + "</mn>"
}

// letters writes a letter, or in an upright font the word it begins.
func (p *parser) letters(s string) string {
	if p.font.word() {
		for p.tok.kind == char && p.src[p.start-1] > ' ' {
			r, _ := utf8.DecodeRuneInString(p.tok.text)
			if !unicode.IsLetter(r) {
				break
			}
			s += p.tok.text
			p.next()
		}
	}
	return mi(p.font, s)
}

func mi(f font, s string) string {
	text := html.EscapeString(f.apply(s))
	if f.upright() && utf8.RuneCountInString(s) == 1 {
		return `<mi mathvariant="normal">` + text + "</mi>"
	}
	return "<mi>" + text + "</mi>"
}

func mo(s string) string { return "<mo>" + html.EscapeString(s) + "</mo>" }

func element(name, content string) string { return "<" + name + ">" + content + "</" + name + ">" }

func join(row []atom) string {
	var b strings.Builder
	for _, a := range row {
		b.WriteString(a.xml)
	}
	return b.String()
}

func mrow(row []atom) string {
	if len(row) == 1 && !row[0].space {
		return row[0].xml
	}
	return "<mrow>" + join(row) + "</mrow>"
}
