package display

// renderError marks an error as one.
func renderError(v any) (Bundle, bool) {
	err, ok := v.(error)
	if !ok {
		return Bundle{}, false
	}
	text := Text(err)
	p := newPage()
	p.el("div", "err", text)
	return one(MIMEHTML, p.done(), text), true
}
