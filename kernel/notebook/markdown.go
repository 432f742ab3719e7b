package notebook

import (
	"bytes"
	"html"
	"strconv"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	goldmarkhtml "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// markdown renders a Markdown text as Jupyter reads it: GitHub's dialect, raw
// HTML, formulas, pictures put inside.
func (w *htmlWriter) markdown(source string, attachments map[string]Object) string {
	md := goldmark.New(
		goldmark.WithExtensions(extension.GFM, extension.Footnote),
		goldmark.WithParserOptions(
			parser.WithAutoHeadingID(),
			parser.WithAttribute(),
			parser.WithBlockParsers(util.Prioritized(mathBlocks{}, 690)), // ahead of fenced code
			parser.WithInlineParsers(util.Prioritized(mathSpans{}, 90)),  // ahead of escapes and code spans
		),
		goldmark.WithRendererOptions(
			goldmarkhtml.WithUnsafe(),
			renderer.WithNodeRenderers(util.Prioritized(nodeRenderer{w}, 100)),
		),
	)
	src := []byte(source)
	doc := md.Parser().Parse(text.NewReader(src), parser.WithContext(parser.NewContext(parser.WithIDs(&w.ids))))
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if img, ok := n.(*ast.Image); ok && entering {
			if uri, ok := w.inline(string(img.Destination), attachments); ok {
				img.Destination = []byte(uri)
			}
		}
		return ast.WalkContinue, nil
	}) // the function never fails
	var b bytes.Buffer
	if err := md.Renderer().Render(&b, src, doc); err != nil {
		return "<pre>" + html.EscapeString(source) + "</pre>\n"
	}
	return b.String()
}

// headingIDs makes ids of headings that are unique on the page, and the same
// as JupyterLab's where they can be: words joined by dashes.
type headingIDs struct{ used map[string]bool }

func (h *headingIDs) Generate(value []byte, kind ast.NodeKind) []byte {
	base := strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if strings.ContainsRune("`*_$\\\"'<>&#", r) {
			return -1
		}
		return r
	}, string(value))), "-")
	if base == "" {
		base = "section"
	}
	id := base
	for i := 2; h.used[id]; i++ {
		id = base + "-" + strconv.Itoa(i)
	}
	h.Put([]byte(id))
	return []byte(id)
}

func (h *headingIDs) Put(value []byte) {
	if h.used == nil {
		h.used = map[string]bool{}
	}
	h.used[string(value)] = true
}

var (
	kindMathSpan  = ast.NewNodeKind("MathSpan")
	kindMathBlock = ast.NewNodeKind("MathBlock")
)

// mathSpan is a formula in a line of text.
type mathSpan struct {
	ast.BaseInline
	source  string
	display bool
}

func (*mathSpan) Kind() ast.NodeKind              { return kindMathSpan }
func (n *mathSpan) Dump(source []byte, level int) { ast.DumpHelper(n, source, level, nil, nil) }

// mathBlock is a formula that is a paragraph of its own.
type mathBlock struct {
	ast.BaseBlock
	source strings.Builder
	close  string
	closed bool
}

func (*mathBlock) Kind() ast.NodeKind              { return kindMathBlock }
func (n *mathBlock) Dump(source []byte, level int) { ast.DumpHelper(n, source, level, nil, nil) }
func (*mathBlock) IsRaw() bool                     { return true }

// delimiter finds how a formula that starts here ends. skip is the length of
// what opens it and is no part of it.
func delimiter(s []byte) (skip int, end string, display, ok bool) {
	switch {
	case bytes.HasPrefix(s, []byte("$$")):
		return 2, "$$", true, true
	case bytes.HasPrefix(s, []byte(`\\[`)):
		return 3, `\\]`, true, true
	case bytes.HasPrefix(s, []byte(`\\(`)):
		return 3, `\\)`, false, true
	case bytes.HasPrefix(s, []byte(`\begin{`)):
		if i := bytes.IndexByte(s, '}'); i > 0 {
			return 0, `\end{` + string(s[len(`\begin{`):i]) + `}`, true, true
		}
	case len(s) > 1 && s[0] == '$' && !util.IsSpace(s[1]):
		return 1, "$", false, true
	}
	return 0, "", false, false
}

// closing returns where in s the end of a formula is, or -1.
func closing(s, end string) int {
	for at := 0; at < len(s); {
		i := strings.Index(s[at:], end)
		if i < 0 {
			return -1
		}
		i += at
		next := byte(0)
		if i+1 < len(s) {
			next = s[i+1]
		}
		// A single dollar that is escaped, or follows a space, or precedes a
		// digit ("$5 and $6"), ends nothing.
		if end != "$" || i > 0 && s[i-1] != '\\' && !util.IsSpace(s[i-1]) && (next < '0' || next > '9') {
			return i
		}
		at = i + 1
	}
	return -1
}

type mathSpans struct{}

func (mathSpans) Trigger() []byte { return []byte{'$', '\\'} }

func (mathSpans) Parse(parent ast.Node, block text.Reader, pc parser.Context) ast.Node {
	line, _ := block.PeekLine()
	skip, end, display, ok := delimiter(line)
	if !ok {
		return nil
	}
	row, at := block.Position()
	var body strings.Builder
	start := 0
	for {
		line, _ := block.PeekLine()
		if line == nil {
			block.SetPosition(row, at)
			return nil
		}
		if body.Len() == 0 {
			line = line[skip:]
			block.Advance(skip)
		}
		start = body.Len()
		body.Write(line)
		if i := closing(body.String(), end); i >= 0 {
			n := i + len(end)
			source := body.String()[:i]
			if skip == 0 {
				source = body.String()[:n]
			}
			if strings.TrimSpace(source) == "" {
				block.SetPosition(row, at)
				return nil
			}
			block.Advance(n - start)
			return &mathSpan{source: source, display: display}
		}
		block.AdvanceLine()
	}
}

type mathBlocks struct{}

func (mathBlocks) Trigger() []byte { return []byte{'$', '\\'} }

func (mathBlocks) Open(parent ast.Node, reader text.Reader, pc parser.Context) (ast.Node, parser.State) {
	line, segment := reader.PeekLine()
	pos := pc.BlockOffset()
	if pos < 0 {
		return nil, parser.NoChildren
	}
	skip, end, display, ok := delimiter(line[pos:])
	if !ok || !display {
		return nil, parser.NoChildren
	}
	n := &mathBlock{close: end}
	rest := string(line[pos+skip:])
	if i := strings.Index(rest, end); i >= 0 {
		if strings.TrimSpace(rest[i+len(end):]) != "" {
			return nil, parser.NoChildren // the line goes on: a formula within text
		}
		if skip == 0 {
			i += len(end)
		}
		n.source.WriteString(rest[:i])
		n.closed = true
		return n, parser.NoChildren
	}
	// Only what ends before the next blank line is a formula.
	after := "\n" + string(reader.Source()[segment.Stop:])
	if i := strings.Index(after, "\n\n"); i >= 0 {
		after = after[:i]
	}
	if !strings.Contains(after, end) {
		return nil, parser.NoChildren
	}
	n.source.WriteString(rest)
	return n, parser.NoChildren
}

func (mathBlocks) Continue(node ast.Node, reader text.Reader, pc parser.Context) parser.State {
	n := node.(*mathBlock)
	if n.closed {
		return parser.Close
	}
	line, segment := reader.PeekLine()
	s := string(line)
	i := strings.Index(s, n.close)
	if i < 0 {
		n.source.WriteString(s)
		reader.Advance(segment.Len() - 1)
		return parser.Continue | parser.NoChildren
	}
	if strings.HasPrefix(n.close, `\end`) {
		i += len(n.close)
	}
	n.source.WriteString(s[:i])
	n.closed = true
	reader.Advance(segment.Len() - 1)
	return parser.Close
}

func (mathBlocks) Close(node ast.Node, reader text.Reader, pc parser.Context) {}
func (mathBlocks) CanInterruptParagraph() bool                                { return true }
func (mathBlocks) CanAcceptIndentedLine() bool                                { return false }

// nodeRenderer writes the nodes goldmark does not know, and code with colours.
type nodeRenderer struct{ w *htmlWriter }

func (r nodeRenderer) RegisterFuncs(reg renderer.NodeRendererFuncRegisterer) {
	reg.Register(kindMathSpan, func(b util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			n := node.(*mathSpan)
			_, _ = b.WriteString(r.w.formula(n.source, n.display))
		}
		return ast.WalkContinue, nil
	})
	reg.Register(kindMathBlock, func(b util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			_, _ = b.WriteString(`<div class="formula">` + r.w.formula(node.(*mathBlock).source.String(), true) + "</div>\n")
		}
		return ast.WalkContinue, nil
	})
	reg.Register(ast.KindFencedCodeBlock, func(b util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		n := node.(*ast.FencedCodeBlock)
		code := string(n.Lines().Value(source))
		lang := string(n.Language(source))
		if lang == "math" {
			_, _ = b.WriteString(`<div class="formula">` + r.w.formula(code, true) + "</div>\n")
			return ast.WalkSkipChildren, nil
		}
		_, _ = b.WriteString(`<pre class="code"><code>` + highlight(strings.TrimRight(code, "\n"), lang) + "</code></pre>\n")
		return ast.WalkSkipChildren, nil
	})
}

// formula renders TeX as MathML, or leaves it legible.
func (w *htmlWriter) formula(source string, display bool) string {
	out, err := w.tex.MathML(source, display)
	if err != nil {
		return texSource(source)
	}
	return out
}
