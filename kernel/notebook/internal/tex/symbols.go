package tex

// greek and other letters: identifiers.
var identifiers = map[string]string{
	"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
	"theta": "θ", "vartheta": "ϑ", "iota": "ι", "kappa": "κ", "varkappa": "ϰ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "omicron": "ο",
	"pi": "π", "varpi": "ϖ", "rho": "ρ", "varrho": "ϱ", "sigma": "σ", "varsigma": "ς", "tau": "τ", "upsilon": "υ",
	"phi": "ϕ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "ell": "ℓ", "imath": "ı", "jmath": "ȷ", "wp": "℘",
}

// upright identifiers.
var constants = map[string]string{
	"Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ",
	"Phi": "Φ", "Psi": "Ψ", "Omega": "Ω", "infty": "∞", "partial": "∂", "nabla": "∇", "emptyset": "∅", "varnothing": "∅",
	"hbar": "ℏ", "hslash": "ℏ", "Re": "ℜ", "Im": "ℑ", "aleph": "ℵ", "forall": "∀", "exists": "∃", "nexists": "∄", "top": "⊤", "bot": "⊥",
	"angle": "∠", "triangle": "△", "Box": "□", "square": "□", "blacksquare": "■", "diamondsuit": "♢", "heartsuit": "♡", "checkmark": "✓",
	"dots": "…", "ldots": "…", "cdots": "⋯", "vdots": "⋮", "ddots": "⋱", "dotsc": "…", "dotsb": "⋯", "prime": "′", "degree": "°",
	"#": "#", "$": "$", "%": "%", "&": "&", "_": "_", "S": "§", "dagger": "†", "ddagger": "‡", "star": "⋆", "pounds": "£",
}

// operators and relations: the browser's dictionary gives their spacing.
var operators = map[string]string{
	"pm": "±", "mp": "∓", "times": "×", "div": "÷", "cdot": "⋅", "ast": "∗", "circ": "∘", "bullet": "∙", "oplus": "⊕", "ominus": "⊖",
	"otimes": "⊗", "oslash": "⊘", "odot": "⊙", "wedge": "∧", "land": "∧", "vee": "∨", "lor": "∨", "cap": "∩", "cup": "∪", "uplus": "⊎",
	"sqcap": "⊓", "sqcup": "⊔", "setminus": "∖", "smallsetminus": "∖", "wr": "≀", "amalg": "⨿", "bowtie": "⋈", "ltimes": "⋉", "rtimes": "⋊",
	"le": "≤", "leq": "≤", "leqslant": "⩽", "ge": "≥", "geq": "≥", "geqslant": "⩾", "ll": "≪", "gg": "≫", "lll": "⋘", "ggg": "⋙",
	"ne": "≠", "neq": "≠", "equiv": "≡", "sim": "∼", "simeq": "≃", "approx": "≈", "cong": "≅", "propto": "∝", "asymp": "≍", "doteq": "≐",
	"prec": "≺", "preceq": "⪯", "succ": "≻", "succeq": "⪰", "preccurlyeq": "≼", "succcurlyeq": "≽", "lesssim": "≲", "gtrsim": "≳",
	"in": "∈", "notin": "∉", "ni": "∋", "subset": "⊂", "subseteq": "⊆", "subsetneq": "⊊", "supset": "⊃", "supseteq": "⊇", "supsetneq": "⊋",
	"sqsubseteq": "⊑", "sqsupseteq": "⊒", "perp": "⊥", "parallel": "∥", "mid": "∣", "nmid": "∤", "vdash": "⊢", "dashv": "⊣", "models": "⊨", "vDash": "⊨",
	"to": "→", "rightarrow": "→", "longrightarrow": "⟶", "Rightarrow": "⇒", "Longrightarrow": "⟹", "implies": "⟹",
	"gets": "←", "leftarrow": "←", "longleftarrow": "⟵", "Leftarrow": "⇐", "Longleftarrow": "⟸", "impliedby": "⟸",
	"leftrightarrow": "↔", "longleftrightarrow": "⟷", "Leftrightarrow": "⇔", "Longleftrightarrow": "⟺", "iff": "⟺",
	"mapsto": "↦", "longmapsto": "⟼", "hookrightarrow": "↪", "hookleftarrow": "↩", "rightharpoonup": "⇀", "leadsto": "⇝", "rightsquigarrow": "⇝",
	"uparrow": "↑", "downarrow": "↓", "updownarrow": "↕", "Uparrow": "⇑", "Downarrow": "⇓", "nearrow": "↗", "searrow": "↘", "rightleftharpoons": "⇌",
	"neg": "¬", "lnot": "¬", "colon": ":", "coloneqq": "≔", "coloneq": "≔", "triangleq": "≜", "therefore": "∴", "because": "∵", "backslash": "∖",
	"lhd": "⊲", "rhd": "⊳", "trianglelefteq": "⊴", "triangleleft": "◃", "triangleright": "▹",
}

// large operators, whose scripts are limits in display.
var large = map[string]string{
	"sum": "∑", "prod": "∏", "coprod": "∐", "bigcup": "⋃", "bigcap": "⋂", "bigoplus": "⨁", "bigotimes": "⨂", "bigodot": "⨀",
	"bigvee": "⋁", "bigwedge": "⋀", "bigsqcup": "⨆", "biguplus": "⨄",
}

var integrals = map[string]string{"int": "∫", "iint": "∬", "iiint": "∭", "oint": "∮"}

// named functions; true: with limits below.
var functions = map[string]bool{
	"log": false, "ln": false, "lg": false, "exp": false, "sin": false, "cos": false, "tan": false, "cot": false, "sec": false, "csc": false,
	"arcsin": false, "arccos": false, "arctan": false, "sinh": false, "cosh": false, "tanh": false, "coth": false,
	"dim": false, "ker": false, "deg": false, "arg": false, "hom": false,
	"det": true, "gcd": true, "inf": true, "lim": true, "max": true, "min": true, "Pr": true, "sup": true, "liminf": true, "limsup": true,
}

var functionText = map[string]string{"liminf": "lim inf", "limsup": "lim sup"}

// fences that \left, \right, \middle and the \big family take.
var fences = map[string]string{
	"lbrace": "{", "rbrace": "}", "{": "{", "}": "}", "lbrack": "[", "rbrack": "]", "langle": "⟨", "rangle": "⟩",
	"lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "lvert": "|", "rvert": "|", "vert": "|", "lVert": "‖", "rVert": "‖", "Vert": "‖", "|": "‖",
	"uparrow": "↑", "downarrow": "↓", "updownarrow": "↕", "backslash": "\\", "lgroup": "⟮", "rgroup": "⟯",
}

// spaces, in em.
var spaces = map[string]string{
	",": "0.1667em", "thinspace": "0.1667em", ":": "0.2222em", ">": "0.2222em", "medspace": "0.2222em", ";": "0.2778em", "thickspace": "0.2778em",
	"!": "-0.1667em", "negthinspace": "-0.1667em", "enspace": "0.5em", "quad": "1em", "qquad": "2em", " ": "0.3333em", "\n": "0.3333em", "space": "0.3333em",
}

// accents above; true: as wide as what is under them.
var accents = map[string]struct {
	mark string
	wide bool
}{
	"hat": {"^", false}, "widehat": {"^", true}, "tilde": {"~", false}, "widetilde": {"~", true}, "bar": {"¯", false}, "overline": {"¯", true},
	"vec": {"→", false}, "overrightarrow": {"→", true}, "overleftarrow": {"←", true}, "dot": {"˙", false}, "ddot": {"¨", false}, "dddot": {"⃛", false},
	"check": {"ˇ", false}, "breve": {"˘", false}, "acute": {"´", false}, "grave": {"`", false}, "mathring": {"˚", false}, "overbrace": {"⏞", true},
}

var under = map[string]string{"underline": "_", "underbrace": "⏟", "underrightarrow": "→"}
