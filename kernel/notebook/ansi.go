package notebook

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// overwrite applies carriage returns and backspaces as a terminal does, so
// that a progress line printed with \r leaves only its last state.
func overwrite(s string) string {
	if !strings.ContainsAny(s, "\r\b") {
		return s
	}
	var out strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(s, "\r\n", "\n")) {
		body, newline := strings.CutSuffix(line, "\n")
		var cells []rune
		at := 0
		for _, r := range body {
			switch {
			case r == '\r':
				at = 0
			case r == '\b':
				at = max(at-1, 0)
			case at < len(cells):
				cells[at] = r
				at++
			default:
				cells = append(cells, r)
				at++
			}
		}
		out.WriteString(string(cells))
		if newline {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// sgr is the state that ANSI colour escapes have set.
type sgr struct {
	fg, bg                                 string // CSS class suffix or colour
	bold, faint, italic, underline, invert bool
}

var ansiNames = [8]string{"black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"}

// ansiHTML escapes text for HTML and turns its ANSI colours into spans; other
// escape sequences are dropped.
func ansiHTML(s string) string {
	var out strings.Builder
	var state sgr
	open := false
	for s != "" {
		esc := strings.IndexByte(s, 0x1b)
		if esc < 0 {
			esc = len(s)
		}
		if esc > 0 {
			if tag := state.tag(); tag != "" && !open {
				out.WriteString(tag)
				open = true
			}
			out.WriteString(html.EscapeString(s[:esc]))
		}
		s = s[esc:]
		if s == "" {
			break
		}
		var codes string
		var final byte
		codes, final, s = escape(s)
		if final == 'm' {
			if open {
				out.WriteString("</span>")
				open = false
			}
			state.apply(codes)
		}
	}
	if open {
		out.WriteString("</span>")
	}
	return out.String()
}

// escape takes one escape sequence off the front of s.
func escape(s string) (params string, final byte, rest string) {
	switch {
	case len(s) < 2:
		return "", 0, ""
	case s[1] == '[': // CSI: parameters, then a letter
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return s[2:i], s[i], s[i+1:]
			}
			if s[i] < 0x20 || s[i] > 0x7e { // not a sequence after all
				return "", 0, s[i:]
			}
		}
		return "", 0, ""
	case s[1] == ']': // OSC: up to BEL or ESC \
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return "", 0, s[i+1:]
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return "", 0, s[i+2:]
			}
		}
		return "", 0, ""
	case strings.IndexByte("()*+", s[1]) >= 0 && len(s) > 2: // character set
		return "", 0, s[3:]
	}
	return "", 0, s[2:]
}

func (g *sgr) apply(params string) {
	var codes []int
	for _, p := range strings.FieldsFunc(params, func(r rune) bool { return r == ';' || r == ':' }) {
		n, err := strconv.Atoi(p)
		if err != nil {
			return
		}
		codes = append(codes, n)
	}
	if len(codes) == 0 {
		codes = []int{0}
	}
	for i := 0; i < len(codes); i++ {
		switch n := codes[i]; {
		case n == 0:
			*g = sgr{}
		case n == 1:
			g.bold = true
		case n == 2:
			g.faint = true
		case n == 3:
			g.italic = true
		case n == 4:
			g.underline = true
		case n == 7:
			g.invert = true
		case n == 22:
			g.bold, g.faint = false, false
		case n == 23:
			g.italic = false
		case n == 24:
			g.underline = false
		case n == 27:
			g.invert = false
		case n >= 30 && n <= 37:
			g.fg = ansiNames[n-30]
		case n >= 90 && n <= 97:
			g.fg = "bright-" + ansiNames[n-90]
		case n == 39:
			g.fg = ""
		case n >= 40 && n <= 47:
			g.bg = ansiNames[n-40]
		case n >= 100 && n <= 107:
			g.bg = "bright-" + ansiNames[n-100]
		case n == 49:
			g.bg = ""
		case n == 38 || n == 48:
			colour, used := extended(codes[i+1:])
			i += used
			if n == 38 {
				g.fg = colour
			} else {
				g.bg = colour
			}
		}
	}
}

// extended reads the colour after 38 or 48: 5;n of 256, or 2;r;g;b.
func extended(codes []int) (colour string, used int) {
	switch {
	case len(codes) >= 2 && codes[0] == 5:
		n := codes[1]
		switch {
		case n < 0 || n > 255:
			return "", 2
		case n < 8:
			return ansiNames[n], 2
		case n < 16:
			return "bright-" + ansiNames[n-8], 2
		case n < 232: // a cube of 6×6×6
			level := func(k int) int {
				if k == 0 {
					return 0
				}
				return 55 + 40*k
			}
			n -= 16
			return fmt.Sprintf("#%02x%02x%02x", level(n/36), level(n/6%6), level(n%6)), 2
		}
		grey := 8 + 10*(n-232)
		return fmt.Sprintf("#%02x%02x%02x", grey, grey, grey), 2
	case len(codes) >= 4 && codes[0] == 2:
		return fmt.Sprintf("#%02x%02x%02x", codes[1]&255, codes[2]&255, codes[3]&255), 4
	}
	return "", len(codes)
}

// tag returns the span that shows the state, or "" for plain text.
func (g *sgr) tag() string {
	var class, style []string
	fg, bg := g.fg, g.bg
	if g.invert {
		fg, bg = bg, fg
		if fg == "" && bg == "" {
			class = append(class, "ansi-invert")
		}
	}
	for _, c := range []struct{ value, class, style string }{{fg, "ansi-", "color:"}, {bg, "ansi-bg-", "background-color:"}} {
		switch {
		case c.value == "":
		case c.value[0] == '#':
			style = append(style, c.style+c.value)
		default:
			class = append(class, c.class+c.value)
		}
	}
	for _, c := range []struct {
		on   bool
		name string
	}{{g.bold, "ansi-bold"}, {g.faint, "ansi-faint"}, {g.italic, "ansi-italic"}, {g.underline, "ansi-underline"}} {
		if c.on {
			class = append(class, c.name)
		}
	}
	if class == nil && style == nil {
		return ""
	}
	t := "<span"
	if class != nil {
		t += ` class="` + strings.Join(class, " ") + `"`
	}
	if style != nil {
		t += ` style="` + strings.Join(style, ";") + `"`
	}
	return t + ">"
}
