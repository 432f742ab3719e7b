package display

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The MIME types of a [Bundle]'s entries.
const (
	MIMEText     = "text/plain"
	MIMEHTML     = "text/html"
	MIMEMarkdown = "text/markdown"
	MIMELatex    = "text/latex"
	MIMESVG      = "image/svg+xml"
	MIMEPNG      = "image/png"
	MIMEJPEG     = "image/jpeg"
	MIMEJSON     = "application/json"
)

// A Bundle is one output in one or several forms, of which a front end shows
// the richest it can. The zero Bundle is an empty output.
type Bundle struct {
	// Data maps a MIME type to its content: a string for text and SVG, a
	// []byte for other pictures, a json.RawMessage for JSON.
	Data map[string]any
	// Metadata maps a MIME type to hints about its entry, such as the size
	// {"width": 480, "height": 320} at which a picture of twice that
	// resolution is to be shown.
	Metadata map[string]any
}

// Text returns the text/plain form, or "" when there is none.
func (b Bundle) Text() string {
	s, _ := b.Data[MIMEText].(string)
	return s
}

// set adds one form of the output.
func (b *Bundle) set(mime string, content any) {
	if b.Data == nil {
		b.Data = map[string]any{}
	}
	b.Data[mime] = content
}

// setSize records the size in CSS pixels at which a picture is to be shown.
func (b *Bundle) setSize(mime string, width, height int) {
	if b.Metadata == nil {
		b.Metadata = map[string]any{}
	}
	b.Metadata[mime] = map[string]any{"width": width, "height": height}
}

// merge adds the forms of c that b lacks.
func (b *Bundle) merge(c Bundle) {
	for mime, content := range c.Data {
		if _, have := b.Data[mime]; have {
			continue
		}
		b.set(mime, content)
		if m, ok := c.Metadata[mime]; ok {
			if b.Metadata == nil {
				b.Metadata = map[string]any{}
			}
			b.Metadata[mime] = m
		}
	}
}

// wireBundle is a Bundle as the Jupyter protocol and notebook files have it.
type wireBundle struct {
	Data     map[string]any `json:"data"`
	Metadata map[string]any `json:"metadata"`
}

// MarshalJSON writes the bundle as the Jupyter protocol has it: an object
// with "data" (pictures in base64, text as strings, JSON as itself) and
// "metadata", neither of them ever null. It never fails on NaN or Inf, which
// JSON cannot hold; they become null.
func (b Bundle) MarshalJSON() ([]byte, error) {
	w := wireBundle{Data: map[string]any{}, Metadata: map[string]any{}}
	for _, mime := range slices.Sorted(maps.Keys(b.Data)) {
		switch c := b.Data[mime].(type) {
		case string:
			w.Data[mime] = strings.ToValidUTF8(c, "\uFFFD")
		case []byte:
			w.Data[mime] = base64.StdEncoding.EncodeToString(c)
		case json.RawMessage:
			if !json.Valid(c) {
				return nil, fmt.Errorf("display: the %s form of an output is not valid JSON", mime)
			}
			w.Data[mime] = c
		default:
			w.Data[mime] = json.RawMessage(JSONOf(c))
		}
	}
	for k, v := range b.Metadata {
		w.Metadata[k] = json.RawMessage(JSONOf(v))
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (b *Bundle) UnmarshalJSON(text []byte) error {
	var w struct {
		Data     map[string]json.RawMessage `json:"data"`
		Metadata map[string]any             `json:"metadata"`
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	*b = Bundle{Data: make(map[string]any, len(w.Data)), Metadata: w.Metadata}
	for mime, raw := range w.Data {
		var s string
		if isJSON(mime) || json.Unmarshal(raw, &s) != nil {
			b.Data[mime] = raw
			continue
		}
		b.Data[mime] = s
		if isBinary(mime) {
			if p, err := base64.StdEncoding.DecodeString(s); err == nil {
				b.Data[mime] = p
			}
		}
	}
	return nil
}

// isJSON tells the types whose content is JSON itself rather than a string.
func isJSON(mime string) bool {
	return mime == MIMEJSON || strings.HasSuffix(mime, "+json")
}

// isBinary tells the types whose content travels in base64.
func isBinary(mime string) bool {
	switch {
	case mime == MIMESVG:
		return false
	case strings.HasPrefix(mime, "image/"), strings.HasPrefix(mime, "audio/"), strings.HasPrefix(mime, "video/"):
		return true
	}
	return mime == "application/pdf"
}
