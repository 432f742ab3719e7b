package tex

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

var annotation = regexp.MustCompile(`(?s)<annotation.*</annotation>`)

// inner returns the MathML of a formula without its wrapping.
func inner(t *testing.T, s string) string {
	t.Helper()
	out, err := MathML(s, true)
	if err != nil {
		t.Errorf("%s: %v", s, err)
		return ""
	}
	if err := wellFormed(out); err != nil {
		t.Errorf("%s: %v in %s", s, err, out)
	}
	out = annotation.ReplaceAllString(out, "")
	out = strings.TrimSuffix(strings.TrimPrefix(out, `<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><semantics>`), "</semantics></math>")
	return out
}

// arity is the number of children an element must have.
var arity = map[string]int{"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "munderover": 3, "mroot": 2, "semantics": 2}

// wellFormed checks XML syntax and the number of children MathML asks for.
func wellFormed(s string) error {
	d := xml.NewDecoder(strings.NewReader(s))
	var names []string
	var counts []int
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if len(counts) > 0 {
				counts[len(counts)-1]++
			}
			names, counts = append(names, tok.Name.Local), append(counts, 0)
		case xml.EndElement:
			n := len(names) - 1
			if want, ok := arity[names[n]]; ok && counts[n] != want {
				return fmt.Errorf("%s has %d children, want %d", names[n], counts[n], want)
			}
			names, counts = names[:n], counts[:n]
		}
	}
}

func TestMathML(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"x", "<mi>x</mi>"},
		{"12.5", "<mn>12.5</mn>"},
		{"1, 2", `<mrow><mn>1</mn><mo separator="true">,</mo><mn>2</mn></mrow>`},
		{"a-b", "<mrow><mi>a</mi><mo>−</mo><mi>b</mi></mrow>"},
		{"x_i^2", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"},
		{"x^23", "<mrow><msup><mi>x</mi><mn>2</mn></msup><mn>3</mn></mrow>"},
		{"x^{23}", "<msup><mi>x</mi><mn>23</mn></msup>"},
		{"f'(x)", `<mrow><msup><mi>f</mi><mrow><mo>′</mo></mrow></msup><mo stretchy="false">(</mo><mi>x</mi><mo stretchy="false">)</mo></mrow>`},
		{"x''^2", "<msup><mi>x</mi><mrow><mo>′′</mo><mn>2</mn></mrow></msup>"},
		{`\frac12`, "<mfrac><mn>1</mn><mn>2</mn></mfrac>"},
		{`\sqrt[3]{x}`, "<mroot><mi>x</mi><mn>3</mn></mroot>"},
		{`\sqrt x`, "<msqrt><mi>x</mi></msqrt>"},
		{`\sum_{i=1}^n`, `<munderover><mo movablelimits="true">∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>`},
		{`\sum\nolimits_i`, `<msub><mo movablelimits="true">∑</mo><mi>i</mi></msub>`},
		{`\int_0^1`, "<msubsup><mo>∫</mo><mn>0</mn><mn>1</mn></msubsup>"},
		{`\log x`, `<mrow><mi mathvariant="normal">log</mi><mspace width="0.1667em"/><mi>x</mi></mrow>`},
		{`\log(x)`, `<mrow><mi mathvariant="normal">log</mi><mo stretchy="false">(</mo><mi>x</mi><mo stretchy="false">)</mo></mrow>`},
		{`\mathbb{R}^{n\times d}`, "<msup><mi>ℝ</mi><mrow><mi>n</mi><mo>×</mo><mi>d</mi></mrow></msup>"},
		{`\mathcal{L}\mathcal N`, "<mrow><mi>ℒ</mi><mi>𝒩</mi></mrow>"},
		{`\mathbf{x}_1`, "<msub><mi>𝐱</mi><mn>1</mn></msub>"},
		{`\boldsymbol\beta`, "<mi>𝜷</mi>"},
		{`\mathbf 1`, "<mn>𝟏</mn>"},
		{`\mathrm{diag}`, "<mi>diag</mi>"},
		{`\mathrm d`, `<mi mathvariant="normal">d</mi>`},
		{`\Omega`, `<mi mathvariant="normal">Ω</mi>`},
		{`a<b`, "<mrow><mi>a</mi><mo>&lt;</mo><mi>b</mi></mrow>"},
		{`\|x\|_2`, `<mrow><mo stretchy="false">‖</mo><mi>x</mi><msub><mo stretchy="false">‖</mo><mn>2</mn></msub></mrow>`},
		{`\left(x\right.`, `<mrow><mo fence="true" form="prefix" stretchy="true">(</mo><mi>x</mi></mrow>`},
		{`\not=`, "<mo>=\u0338</mo>"},
		{`\not\in`, "<mo>∈\u0338</mo>"},
		{`\hat x`, `<mover accent="true"><mi>x</mi><mo stretchy="false">^</mo></mover>`},
		{`\text{if $x$ is}`, "<mrow><mtext>if\u00a0</mtext><mi>x</mi><mtext>\u00a0is</mtext></mrow>"},
		{`\{x\}`, `<mrow><mo stretchy="false">{</mo><mi>x</mi><mo stretchy="false">}</mo></mrow>`},
		{`x % a comment`, "<mi>x</mi>"},
		{`{}`, "<mrow></mrow>"},
		{`{}_a`, "<msub><mrow></mrow><mi>a</mi></msub>"},
		{`_a`, "<msub><mrow></mrow><mi>a</mi></msub>"},
		{`a\,b`, `<mrow><mi>a</mi><mspace width="0.1667em"/><mi>b</mi></mrow>`},
		{`é`, "<mi>é</mi>"},
	} {
		if got := inner(t, c.in); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

// TestFormulas takes formulas of the kind the notebooks hold.
func TestFormulas(t *testing.T) {
	for _, s := range []string{
		`p^* = \min_{\{v_i,w_i\}_{i=1}^P} \frac12\Big\|\sum_{i=1}^P D_iX(v_i-w_i)-y\Big\|_2^2+\beta\sum_{i=1}^P\left(\|v_i\|_2+\|w_i\|_2\right) \quad\text{s.t.}\quad (2D_i-I_n)Xv_i\ge 0`,
		`\begin{aligned} a &= b + c \\[2pt] &\le d \end{aligned}`,
		`f(x)=\begin{cases} x & x\ge0\\ 0 & \text{otherwise}\end{cases}`,
		`\begin{pmatrix} 1 & 2 \\ 3 & 4 \\ \end{pmatrix}^{-1}`,
		`\left[\begin{array}{c|c} A & b \\ \hline c^\top & 0\end{array}\right]`,
		`\operatorname*{arg\,min}_{x\in\mathcal X} \operatorname{sign}(x)`,
		`\underbrace{a+b}_{\text{two}} \overbrace{c}^{k} \overset{!}{=} \underset{x}{\max} \stackrel{\text{def}}{=}`,
		`\max_{1\le i\le n}\; \left\lVert A x \right\rVert_\infty \leq \varepsilon \iff \forall\, \delta > 0`,
		`\mathbf{1}[Xg_i\ge0] \in \{0,1\}^{n}, \quad \Pr(A\mid B) = \tfrac{\Pr(A\cap B)}{\Pr(B)}`,
		`\sum_{\substack{i<j \\ j\ne k}} a_{ij} \xrightarrow[n]{k\to\infty} \boxed{x} \pmod{n}`,
		`\displaystyle \lim_{t\to 0^+} \frac{\partial^2 u}{\partial x^2} = \nabla\cdot\vec F`,
		`a \\ b`, `\big( \bigl[ \Bigg| x \bigr]`, `{\displaystyle x} \color{red}{y} \textcolor{#ff0000}{z}`, `\hspace{1em} x \phantom{y}`, `\sigma(z)=\max\{z,0\}`,
		`x \label{eq:1} \tag{3} \nonumber`, `\overline{AB}\underline{c} \widehat{abc}`, `\binom{n}{k} \dfrac{a}{b}`, `\mathop{\mathrm{argmin}}_{x} f`,
	} {
		inner(t, s)
	}
}

func TestMacros(t *testing.T) {
	var c Converter
	for _, d := range []string{`\newcommand{\R}{\mathbb R} \def\norm#1{\|#1\|}`, `\renewcommand\vec[1]{\mathbf{#1}}`, `\DeclareMathOperator*{\argmin}{argmin}`, `\newcommand{\loop}{\loop}`} {
		if _, err := c.MathML(d, false); err != nil {
			t.Errorf("%s: %v", d, err)
		}
	}
	for _, pair := range [][2]string{
		{`\R^n`, `{\mathbb R}^n`}, {`\norm{x_1}+\norm y`, `{\|x_1\|}+{\|y\|}`}, {`\vec x`, `{\mathbf{x}}`}, {`\sum_{i}\norm\R`, `\sum_i {\|\mathbb R\|}`},
		{`\text{in $\R$}`, `\text{in $\mathbb R$}`}, {`\begin{matrix}\R & 1\end{matrix}`, `\begin{matrix}\mathbb R & 1\end{matrix}`},
	} {
		got, err := c.MathML(pair[0], true)
		if err != nil {
			t.Errorf("%s: %v", pair[0], err)
		}
		want := inner(t, pair[1])
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", pair[0], got, want)
		}
	}
	for _, bad := range []string{`\loop`, `\norm`, `\newcommand{x}{y}`, `\newcommand{\a}[x]{y}`, `\newcommand{\a}[1][b]{y}`, `\newcommand{\a{y}`} {
		if _, err := c.MathML(bad, false); err == nil {
			t.Errorf("%s is no error", bad)
		}
	}
	if _, err := MathML(`\R`, false); err == nil {
		t.Error("macros leak from one converter to another")
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`\foo`, `\foo is not known`}, {`{x`, "ends too early"}, {`x}`, "} without"}, {`\left(x`, "ends too early"}, {`a & b`, "& outside"},
		{`\begin{foo}x\end{foo}`, "environment foo"}, {`\begin{matrix}x\end{pmatrix}`, `ends with \end{pmatrix}`}, {`\begin{matrix}x`, "ends too early"},
		{`x^`, "ends where an argument"}, {`x^2^3`, "two superscripts"}, {`x_1_2`, "two subscripts"}, {`\frac{1}`, "ends where an argument"},
		{`\left x \right)`, "not a delimiter"}, {`\sqrt[3`, "ends too early"}, {`\textcolor{"><script>}{x}`, "not a colour"}, {`\hspace{1em;x}`, "not a length"},
		{`\text{\foo}`, "holds a command"}, {`\not`, "relation"}, {`\operatorname{\x}`, "holds a command"}, {strings.Repeat("{", 1000), "levels"},
		{strings.Repeat("x", maxSource+1), "at most"}, {`\begin{array}{x}a\end{array}`, "want l, c and r"}, {"\\", "not known"}, {`\text`, "{ is expected"}, {`\text{a`, "without its }"},
	} {
		if _, err := MathML(c.in, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v; want %q", c.in, err, c.want)
		}
	}
}

func TestTrim(t *testing.T) {
	for _, c := range []struct {
		in, body string
		display  bool
	}{{"$x$", "x", false}, {" $$x$$ ", "x", true}, {`\[x\]`, "x", true}, {`\(x\)`, "x", false}, {`\begin{a}`, `\begin{a}`, true}, {"$", "$", true}} {
		if body, display := Trim(c.in); body != c.body || display != c.display {
			t.Errorf("Trim(%q) = %q, %v", c.in, body, display)
		}
	}
}

func FuzzMathML(f *testing.F) {
	for _, s := range []string{`\frac{1}{2}x_i^2`, `\begin{cases}a & b\\c\end{cases}`, `\left(\sqrt[3]{x}\right]`, `\text{a $b$}`, `\hat{\mathbf x}'`, `\substack{a\\b}`, `\def\a#1{#1#1}\a{\a x}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, err := MathML(s, true)
		if err != nil {
			return
		}
		// XML knows fewer characters than HTML; the annotation repeats the source.
		if out := annotation.ReplaceAllString(out, "<annotation/>"); !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0xfffd && r < 0x10000 }) {
			if err := wellFormed(out); err != nil {
				t.Fatalf("%q: %v in %s", s, err, out)
			}
		}
	})
}
