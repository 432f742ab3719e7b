package notebook

import (
	"go/scanner"
	"go/token"
	"go/types"
	"html"
	"strings"
)

// highlightCSS colours Go code for light and for dark pages.
const highlightCSS = `
.code .k { color: #cf222e } .code .s { color: #0a3069 } .code .n { color: #0550ae } .code .f { color: #8250df } .code .c { color: #57606a }
@media screen and (prefers-color-scheme: dark) {
  .code .k { color: #ff7b72 } .code .s { color: #a5d6ff } .code .n { color: #79c0ff } .code .f { color: #d2a8ff } .code .c { color: #8b949e }
}
`

// highlight marks up Go and JSON; other languages stay plain. Go's own scanner
// does it: a library for all languages costs the kernel, which is the
// same program, much of its start.
func highlight(code, lang string) string {
	if lang != "go" && lang != "golang" && lang != "json" {
		return html.EscapeString(code)
	}
	code = strings.ReplaceAll(code, "\r", "") // the scanner leaves them out of literals
	var b strings.Builder
	var s scanner.Scanner
	f := token.NewFileSet().AddFile("", -1, len(code))
	s.Init(f, []byte(code), nil, scanner.ScanComments)
	done := 0
	// Of a name the class depends on what follows it: an opening parenthesis
	// makes it a call.
	pending := ""
	span := func(class, text string) {
		if class == "" {
			b.WriteString(html.EscapeString(text))
			return
		}
		b.WriteString(`<span class="` + class + `">` + html.EscapeString(text) + "</span>")
	}
	for {
		pos, tok, lit := s.Scan()
		at := f.Offset(pos)
		if pending != "" {
			class := ""
			if tok == token.LPAREN && at == done {
				class = "f"
			}
			span(class, pending)
			pending = ""
		}
		if tok == token.EOF {
			break
		}
		text := tok.String()
		if lit != "" {
			text = lit
		}
		// A semicolon of the scanner's own, or bytes that are no text: they come
		// with what stands before the next token.
		if at < done || !strings.HasPrefix(code[at:], text) || tok == token.SEMICOLON && lit == "\n" {
			continue
		}
		span("", code[done:at])
		done = at + len(text)
		switch {
		case tok == token.COMMENT:
			span("c", text)
		case tok == token.STRING || tok == token.CHAR:
			span("s", text)
		case tok.IsKeyword():
			span("k", text)
		case tok == token.INT || tok == token.FLOAT || tok == token.IMAG:
			span("n", text)
		case tok == token.IDENT && types.Universe.Lookup(text) != nil:
			span("n", text)
		case tok == token.IDENT:
			pending = text
		default:
			span("", text)
		}
	}
	span("", code[done:])
	return b.String()
}
