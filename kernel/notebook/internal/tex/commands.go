package tex

import (
	"errors"
	"fmt"
	"html"
	"regexp"
	"strings"
)

// command parses a \command with its arguments.
func (p *parser) command() (atom, error) {
	name := p.tok.text
	if m, ok := p.macros[name]; ok {
		return p.expand(name, m)
	}
	p.next()
	if s, ok := identifiers[name]; ok {
		return atom{xml: mi(p.font, s)}, nil
	}
	if s, ok := constants[name]; ok {
		return atom{xml: `<mi mathvariant="normal">` + html.EscapeString(p.font.apply(s)) + "</mi>"}, nil
	}
	if s, ok := operators[name]; ok {
		return atom{xml: mo(s)}, nil
	}
	if s, ok := large[name]; ok {
		return atom{xml: `<mo movablelimits="true">` + s + "</mo>", limits: true}, nil
	}
	if s, ok := integrals[name]; ok {
		return atom{xml: "<mo>" + s + "</mo>"}, nil
	}
	if limits, ok := functions[name]; ok {
		if s, ok := functionText[name]; ok {
			name = s
		}
		return function(name, limits), nil
	}
	if w, ok := spaces[name]; ok {
		return atom{xml: `<mspace width="` + w + `"/>`, space: true}, nil
	}
	if s, ok := fences[name]; ok {
		return atom{xml: `<mo stretchy="false">` + html.EscapeString(s) + "</mo>"}, nil
	}
	if f, ok := fonts[name]; ok {
		old := p.font
		p.font = f
		xml, err := p.argument()
		p.font = old
		return atom{xml: xml}, err
	}
	if a, ok := accents[name]; ok {
		base, err := p.argument()
		stretchy := ""
		if !a.wide {
			stretchy = ` stretchy="false"`
		}
		return atom{xml: `<mover accent="true">` + base + "<mo" + stretchy + ">" + a.mark + "</mo></mover>", limits: name == "overbrace"}, err
	}
	if mark, ok := under[name]; ok {
		base, err := p.argument()
		return atom{xml: `<munder accentunder="true">` + base + "<mo>" + mark + "</mo></munder>", limits: name == "underbrace"}, err
	}
	if f, ok := commands[name]; ok {
		return f(p, name)
	}
	return atom{}, fmt.Errorf("\\%s is not known", name)
}

// function sets a named function upright.
func function(name string, limits bool) atom {
	name = html.EscapeString(name)
	if limits {
		return atom{xml: `<mo movablelimits="true" lspace="0" rspace="0">` + name + "</mo>", limits: true, function: true}
	}
	return atom{xml: `<mi mathvariant="normal">` + name + "</mi>", function: true}
}

var commands map[string]func(p *parser, name string) (atom, error)

func init() { // in a function: the table refers to the parser that refers to it
	commands = map[string]func(p *parser, name string) (atom, error){
		"frac": fraction, "dfrac": fraction, "tfrac": fraction, "cfrac": fraction, "binom": fraction, "dbinom": fraction, "tbinom": fraction,
		"sqrt": root, "left": leftRight, "begin": environment, "operatorname": operatorname, "not": not,
		"stackrel": stacked, "overset": stacked, "underset": stacked, "xrightarrow": arrow, "xleftarrow": arrow, "substack": substack,
		"text": text, "textrm": text, "textbf": text, "textit": text, "texttt": text, "textsf": text, "textnormal": text, "mbox": text, "hbox": text,
		"big": sized, "Big": sized, "bigg": sized, "Bigg": sized, "bigl": sized, "Bigl": sized, "biggl": sized, "Biggl": sized,
		"bigr": sized, "Bigr": sized, "biggr": sized, "Biggr": sized, "bigm": sized, "Bigm": sized, "middle": sized,
		"hspace": hspace, "phantom": phantom, "hphantom": phantom, "vphantom": phantom, "mathop": mathop, "mathrel": class, "mathbin": class, "mathord": class,
		"newcommand": define, "renewcommand": define, "providecommand": define, "def": define, "DeclareMathOperator": define,
		"pmod": modulo, "bmod": modulo, "mod": modulo, "boxed": boxed, "textcolor": coloured, "color": coloured,
		"label": ignored, "nonumber": dropped, "notag": dropped, "tag": tag, "mathstrut": dropped, "strut": dropped, "relax": dropped, "displaylimits": dropped,
	}
}

func fraction(p *parser, name string) (atom, error) {
	over, err := p.argument()
	if err != nil {
		return atom{}, err
	}
	below, err := p.argument()
	xml := "<mfrac>" + over + below + "</mfrac>"
	if strings.HasSuffix(name, "binom") {
		xml = `<mrow><mo>(</mo><mfrac linethickness="0">` + over + below + "</mfrac><mo>)</mo></mrow>"
	}
	switch name[0] {
	case 'd', 'c':
		xml = `<mstyle displaystyle="true" scriptlevel="0">` + xml + "</mstyle>"
	case 't':
		xml = `<mstyle displaystyle="false" scriptlevel="0">` + xml + "</mstyle>"
	}
	return atom{xml: xml}, err
}

func root(p *parser, name string) (atom, error) {
	index, has, err := p.optional()
	if err != nil {
		return atom{}, err
	}
	arg, err := p.argument()
	if has {
		return atom{xml: "<mroot>" + arg + index + "</mroot>"}, err
	}
	return atom{xml: "<msqrt>" + arg + "</msqrt>"}, err
}

// fence takes the delimiter after \left and its kin; "" is a dot: none.
func (p *parser) fence() (string, error) {
	t := p.tok
	p.next()
	switch {
	case t.kind == char && t.text == ".":
		return "", nil
	case t.kind == char && t.text == "<":
		return "⟨", nil
	case t.kind == char && t.text == ">":
		return "⟩", nil
	case t.kind == char && strings.Contains("()[]|/", t.text):
		return t.text, nil
	case t.kind == command && fences[t.text] != "":
		return fences[t.text], nil
	}
	return "", fmt.Errorf("%q is not a delimiter", t.text)
}

func leftRight(p *parser, name string) (atom, error) {
	left, err := p.fence()
	if err != nil {
		return atom{}, err
	}
	row, err := p.row(func(t token) bool { return t.kind == command && t.text == "right" })
	if err != nil {
		return atom{}, err
	}
	p.next()
	right, err := p.fence()
	return atom{xml: fenced(left, join(row), right)}, err
}

func fenced(left, body, right string) string {
	xml := "<mrow>"
	if left != "" {
		xml += `<mo fence="true" form="prefix" stretchy="true">` + html.EscapeString(left) + "</mo>"
	}
	xml += body
	if right != "" {
		xml += `<mo fence="true" form="postfix" stretchy="true">` + html.EscapeString(right) + "</mo>"
	}
	return xml + "</mrow>"
}

func sized(p *parser, name string) (atom, error) {
	f, err := p.fence()
	if name == "middle" {
		return atom{xml: `<mo fence="true" stretchy="true">` + html.EscapeString(f) + "</mo>"}, err
	}
	size := "1.2em"
	switch strings.TrimRight(name, "lrm") {
	case "Big":
		size = "1.8em"
	case "bigg":
		size = "2.4em"
	case "Bigg":
		size = "3em"
	}
	form := ""
	switch name[len(name)-1] {
	case 'l':
		form = ` form="prefix"`
	case 'r':
		form = ` form="postfix"`
	}
	return atom{xml: fmt.Sprintf(`<mo fence="true" stretchy="true" symmetric="true"%s minsize="%s" maxsize="%s">%s</mo>`, form, size, size, html.EscapeString(f))}, err
}

func operatorname(p *parser, name string) (atom, error) {
	limits := p.is("*")
	if limits {
		p.next()
	}
	s, err := p.verbatim()
	s = strings.NewReplacer(`\,`, "\u2009", `\ `, " ", "{", "", "}", "", `\mathrm`, "").Replace(s)
	if strings.Contains(s, `\`) {
		return atom{}, fmt.Errorf(`\operatorname{%s} holds a command`, s)
	}
	return function(s, limits), err
}

func not(p *parser, name string) (atom, error) {
	s := p.tok.text
	if p.tok.kind == command {
		s = operators[s]
	}
	if s == "" || p.tok.kind == end {
		return atom{}, errors.New(`\not needs a relation after it`)
	}
	p.next()
	return atom{xml: "<mo>" + html.EscapeString(s) + "\u0338</mo>"}, nil
}

func stacked(p *parser, name string) (atom, error) {
	small, err := p.argument()
	if err != nil {
		return atom{}, err
	}
	base, err := p.argument()
	if name == "underset" {
		return atom{xml: "<munder>" + base + small + "</munder>"}, err
	}
	return atom{xml: "<mover>" + base + small + "</mover>"}, err
}

func arrow(p *parser, name string) (atom, error) {
	below, has, err := p.optional()
	if err != nil {
		return atom{}, err
	}
	above, err := p.argument()
	mark := `<mo stretchy="true" minsize="2em">` + map[string]string{"xrightarrow": "→", "xleftarrow": "←"}[name] + "</mo>"
	if has {
		return atom{xml: "<munderover>" + mark + below + above + "</munderover>"}, err
	}
	return atom{xml: "<mover>" + mark + above + "</mover>"}, err
}

// text sets words upright, with the formulas between dollars inside them.
func text(p *parser, name string) (atom, error) {
	s, err := p.verbatim()
	if err != nil {
		return atom{}, err
	}
	style := map[string]string{"textbf": ` style="font-weight:bold"`, "textit": ` style="font-style:italic"`, "texttt": ` style="font-family:monospace"`, "textsf": ` style="font-family:sans-serif"`}[name]
	var b strings.Builder
	for i, part := range strings.Split(s, "$") {
		if part == "" {
			continue
		}
		if i%2 == 1 {
			q := &parser{src: part, depth: p.depth + 1, macros: p.macros, grown: p.grown}
			q.next()
			row, err := q.row(func(t token) bool { return t.kind == end })
			if err != nil {
				return atom{}, err
			}
			b.WriteString(mrow(row))
			continue
		}
		part = strings.NewReplacer(`\ `, " ", `\%`, "%", `\_`, "_", `\#`, "#", `\&`, "&", `\{`, "{", `\}`, "}", "~", " ", "``", "“", "''", "”", "--", "–", "{", "", "}", "", "\n", " ").Replace(part)
		if strings.Contains(part, `\`) {
			return atom{}, fmt.Errorf(`\%s{%s} holds a command`, name, s)
		}
		// Blanks at the ends of an element would be trimmed.
		body := strings.Trim(part, " ")
		if strings.HasPrefix(part, " ") {
			body = "\u00a0" + body
		}
		if strings.HasSuffix(part, " ") && strings.Trim(part, " ") != "" {
			body += "\u00a0"
		}
		b.WriteString("<mtext" + style + ">" + html.EscapeString(body) + "</mtext>")
	}
	return atom{xml: "<mrow>" + b.String() + "</mrow>"}, nil
}

var length = regexp.MustCompile(`^-?[0-9]*\.?[0-9]+(em|ex|pt|px|cm|mm|in)$`)

func hspace(p *parser, name string) (atom, error) {
	if p.is("*") {
		p.next()
	}
	s, err := p.verbatim()
	if s = strings.TrimSpace(s); err == nil && !length.MatchString(s) {
		err = fmt.Errorf("%q is not a length", s)
	}
	return atom{xml: `<mspace width="` + s + `"/>`, space: true}, err
}

func phantom(p *parser, name string) (atom, error) {
	arg, err := p.argument()
	return atom{xml: "<mphantom>" + arg + "</mphantom>"}, err
}

func mathop(p *parser, name string) (atom, error) {
	arg, err := p.argument()
	return atom{xml: arg, limits: true, function: true}, err
}

func class(p *parser, name string) (atom, error) {
	arg, err := p.argument()
	return atom{xml: `<mrow><mspace width="0.2em"/>` + arg + `<mspace width="0.2em"/></mrow>`}, err
}

func modulo(p *parser, name string) (atom, error) {
	if name == "bmod" {
		return atom{xml: `<mo lspace="0.2222em" rspace="0.2222em">mod</mo>`}, nil
	}
	arg, err := p.argument()
	xml := `<mrow><mspace width="1em"/><mo stretchy="false">(</mo><mi>mod</mi><mspace width="0.3em"/>` + arg + `<mo stretchy="false">)</mo></mrow>`
	if name == "mod" {
		xml = `<mrow><mspace width="1em"/><mi>mod</mi><mspace width="0.3em"/>` + arg + "</mrow>"
	}
	return atom{xml: xml}, err
}

func boxed(p *parser, name string) (atom, error) {
	arg, err := p.argument()
	return atom{xml: `<mrow style="border:1px solid;padding:0.3em">` + arg + "</mrow>"}, err
}

var colour = regexp.MustCompile(`^(#[0-9a-fA-F]{3,8}|[a-zA-Z]{2,20})$`)

func coloured(p *parser, name string) (atom, error) {
	c, err := p.verbatim()
	if err != nil {
		return atom{}, err
	}
	if !colour.MatchString(c) {
		return atom{}, fmt.Errorf("%q is not a colour", c)
	}
	arg, err := p.argument()
	return atom{xml: `<mstyle mathcolor="` + c + `">` + arg + "</mstyle>"}, err
}

func ignored(p *parser, name string) (atom, error) {
	_, err := p.verbatim()
	return atom{space: true}, err
}

func dropped(p *parser, name string) (atom, error) { return atom{space: true}, nil }

func tag(p *parser, name string) (atom, error) {
	s, err := p.verbatim()
	return atom{xml: `<mspace width="2em"/><mtext>(` + html.EscapeString(s) + ")</mtext>"}, err
}

// An env lays rows and columns out.
type env struct {
	left, right string
	align       string // of the columns, repeating: l, c, r
	display     bool   // entries are set as display formulas
	gap         string // between columns
}

var environments = map[string]env{
	"matrix": {align: "c"}, "pmatrix": {"(", ")", "c", false, ""}, "bmatrix": {"[", "]", "c", false, ""}, "Bmatrix": {"{", "}", "c", false, ""},
	"vmatrix": {"|", "|", "c", false, ""}, "Vmatrix": {"‖", "‖", "c", false, ""}, "smallmatrix": {align: "c"},
	"cases": {"{", "", "l", false, "1em"}, "dcases": {"{", "", "l", true, "1em"}, "rcases": {"", "}", "l", false, "1em"},
	"aligned": {align: "rl", display: true, gap: "0"}, "align": {align: "rl", display: true, gap: "0"}, "align*": {align: "rl", display: true, gap: "0"},
	"alignat": {align: "rl", display: true, gap: "0"}, "alignedat": {align: "rl", display: true, gap: "0"}, "split": {align: "rl", display: true, gap: "0"},
	"eqnarray": {align: "rcl", display: true, gap: "0.3em"}, "eqnarray*": {align: "rcl", display: true, gap: "0.3em"},
	"gather": {align: "c", display: true}, "gather*": {align: "c", display: true}, "gathered": {align: "c", display: true},
	"equation": {align: "c", display: true}, "equation*": {align: "c", display: true}, "multline": {align: "c", display: true}, "multline*": {align: "c", display: true},
	"array": {align: "c"},
}

func environment(p *parser, _ string) (atom, error) {
	name, err := p.verbatim()
	if err != nil {
		return atom{}, err
	}
	e, ok := environments[name]
	if !ok {
		return atom{}, fmt.Errorf("the environment %s is not known", name)
	}
	switch name {
	case "array":
		spec, err := p.verbatim()
		if err != nil {
			return atom{}, err
		}
		if e.align = strings.Map(func(r rune) rune {
			if strings.ContainsRune("lcr", r) {
				return r
			}
			return -1
		}, spec); e.align == "" {
			return atom{}, fmt.Errorf("array columns %q: want l, c and r", spec)
		}
	case "alignat", "alignedat":
		if _, err := p.verbatim(); err != nil {
			return atom{}, err
		}
	}
	rows, err := p.table()
	if err != nil {
		return atom{}, err
	}
	closing, err := p.verbatim()
	if err != nil {
		return atom{}, err
	}
	if closing != name {
		return atom{}, fmt.Errorf(`\begin{%s} ends with \end{%s}`, name, closing)
	}
	return atom{xml: fenced(e.left, e.html(rows), e.right)}, nil
}

func substack(p *parser, _ string) (atom, error) {
	s, err := p.verbatim()
	if err != nil {
		return atom{}, err
	}
	q := &parser{src: s + `\end`, depth: p.depth + 1, macros: p.macros, grown: p.grown}
	q.next()
	rows, err := q.table()
	return atom{xml: env{align: "c"}.html(rows)}, err
}

// table parses rows of entries up to and over \end.
func (p *parser) table() ([][]string, error) {
	stop := func(t token) bool {
		return t.kind == char && t.text == "&" || t.kind == command && (t.text == `\` || t.text == "end" || t.text == "cr")
	}
	var rows [][]string
	row := []string{}
	for {
		for p.isCommand("hline") {
			p.next()
		}
		cell, err := p.row(stop)
		if err != nil {
			return nil, err
		}
		row = append(row, mrow(cell))
		sep := p.tok
		p.next()
		if sep.text == "&" {
			continue
		}
		if !(len(row) == 1 && len(cell) == 0 && sep.text == "end") { // a last \\ opens no row
			rows = append(rows, row)
		}
		row = []string{}
		if sep.text == "end" {
			return rows, nil
		}
		if p.is("[") { // \\[2pt]: more space, which a page can do without
			if i := strings.IndexByte(p.src[p.start:], ']'); i > 0 && length.MatchString(strings.TrimSpace(p.src[p.start+1:p.start+i])) {
				p.at = p.start + i + 1
				p.next()
			}
		}
	}
}

func (e env) html(rows [][]string) string {
	var b strings.Builder
	attr := ""
	if e.display {
		attr = ` displaystyle="true"`
	}
	b.WriteString("<mtable" + attr + ">")
	for _, row := range rows {
		b.WriteString("<mtr>")
		for j, cell := range row {
			style := "text-align:" + map[byte]string{'l': "left", 'c': "center", 'r': "right"}[e.align[j%len(e.align)]]
			if e.gap != "" {
				left := e.gap
				if j == 0 {
					left = "0"
				} else if e.gap == "0" && j%2 == 0 { // the next pair of an align
					left = "2em"
				}
				style += ";padding-left:" + left + ";padding-right:0"
			}
			b.WriteString(`<mtd style="` + style + `">` + cell + "</mtd>")
		}
		b.WriteString("</mtr>")
	}
	b.WriteString("</mtable>")
	return b.String()
}
