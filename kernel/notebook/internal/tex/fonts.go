package tex

import "strings"

// font is the alphabet letters are set in.
type font uint8

const (
	italic font = iota // the default
	roman
	bold
	boldItalic
	double // blackboard bold
	calligraphic
	fraktur
	sans
	mono
)

var fonts = map[string]font{
	"mathrm": roman, "mathbf": bold, "mathbb": double, "mathcal": calligraphic, "mathscr": calligraphic, "mathfrak": fraktur,
	"mathsf": sans, "mathtt": mono, "mathit": italic, "mathnormal": italic, "boldsymbol": boldItalic, "bm": boldItalic, "pmb": boldItalic,
}

// upright tells the font whose single letters need saying so: MathML slants
// them otherwise. The others have characters of their own.
func (f font) upright() bool { return f == roman }

// word tells the fonts in which letters side by side are one name.
func (f font) word() bool { return f == roman || f == sans || f == mono || f == bold }

// starts of the alphabets in Unicode's block of mathematical letters:
// capitals, small letters, digits, Greek capitals, Greek small letters.
var starts = map[font][5]rune{
	bold:         {0x1D400, 0x1D41A, 0x1D7CE, 0x1D6A8, 0x1D6C2},
	boldItalic:   {0x1D468, 0x1D482, 0x1D7CE, 0x1D71C, 0x1D736},
	double:       {0x1D538, 0x1D552, 0x1D7D8},
	calligraphic: {0x1D49C, 0x1D4B6},
	fraktur:      {0x1D504, 0x1D51E},
	sans:         {0x1D5A0, 0x1D5BA, 0x1D7E2},
	mono:         {0x1D670, 0x1D68A, 0x1D7F6},
}

// letterlike are the letters Unicode had before that block, and the holes in
// it which they leave.
var letterlike = map[font]map[rune]rune{
	double:       {'C': 'ℂ', 'H': 'ℍ', 'N': 'ℕ', 'P': 'ℙ', 'Q': 'ℚ', 'R': 'ℝ', 'Z': 'ℤ'},
	calligraphic: {'B': 'ℬ', 'E': 'ℰ', 'F': 'ℱ', 'H': 'ℋ', 'I': 'ℐ', 'L': 'ℒ', 'M': 'ℳ', 'R': 'ℛ', 'e': 'ℯ', 'g': 'ℊ', 'o': 'ℴ'},
	fraktur:      {'C': 'ℭ', 'H': 'ℌ', 'I': 'ℑ', 'R': 'ℜ', 'Z': 'ℨ'},
}

// apply maps letters and digits into the font's alphabet.
func (f font) apply(s string) string {
	at, ok := starts[f]
	if !ok {
		return s
	}
	return strings.Map(func(r rune) rune {
		if l, ok := letterlike[f][r]; ok {
			return l
		}
		switch {
		case r >= 'A' && r <= 'Z':
			return at[0] + r - 'A'
		case r >= 'a' && r <= 'z':
			return at[1] + r - 'a'
		case r >= '0' && r <= '9' && at[2] != 0:
			return at[2] + r - '0'
		case r >= 'Α' && r <= 'Ω' && at[3] != 0:
			return at[3] + r - 'Α'
		case r >= 'α' && r <= 'ω' && at[4] != 0:
			return at[4] + r - 'α'
		}
		return r
	}, s)
}
