package notebook

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func siteNotebook(t *testing.T, prose string, width int) *Notebook {
	t.Helper()
	nb := New()
	nb.Add(Markdown, prose)
	c := nb.Add(Code, "plot")
	if width > 0 {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, width/2))); err != nil {
			t.Fatal(err)
		}
		c.Outputs = []*Output{
			{Type: Stream, Name: "stdout", Text: "no picture\n"},
			{Type: DisplayData, Data: map[string]any{"image/png": base64.StdEncoding.EncodeToString(b.Bytes())}, Metadata: Object{}},
		}
	}
	return nb
}

func TestWriteSite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "site")
	err := WriteSite(dir, "All & more", []SitePage{
		{Name: "01_a", Notebook: siteNotebook(t, "# Ellipses <b>\n\n![x](y.png)\n\nThe **question** is $x^2$.\nStill it.\n\nNot this.", 1200)},
		{Name: "02_b", Notebook: siteNotebook(t, "# Second\nRight below.", 0)},
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	index := string(raw)
	for _, want := range []string{
		"<title>All &amp; more</title>", `href="01_a.html"`, `href="02_b.html"`, "Ellipses &lt;b", "<strong>question</strong>", "<math", "Still it.", "Right below.", "data:image/png;base64,",
	} {
		if !strings.Contains(index, want) {
			t.Errorf("the index lacks %q", want)
		}
	}
	if strings.Contains(index, "Not this") || strings.Count(index, "<img") != 1 {
		t.Error("the index has more than the first paragraphs and pictures:", index[len(index)-600:])
	}
	_, rest, _ := strings.Cut(index, "data:image/png;base64,")
	text, _, _ := strings.Cut(rest, `"`)
	small, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	if picture, err := png.Decode(bytes.NewReader(small)); err != nil || picture.Bounds().Dx() != thumbnailWidth || picture.Bounds().Dy() != thumbnailWidth/2 {
		t.Error("the thumbnail is not a small picture of the same shape:", err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "01_a.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<a href="index.html">`, `<a href="01_a.ipynb" download>`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if nb, err := ReadFile(filepath.Join(dir, "01_a.ipynb")); err != nil || len(nb.Cells) != 2 {
		t.Error("the notebook beside its page:", err)
	}

	one := siteNotebook(t, "a", 0)
	for _, pages := range [][]SitePage{
		{{Name: "a", Notebook: one}, {Name: "a", Notebook: one}}, {{Name: "index", Notebook: one}}, {{Name: "x/y", Notebook: one}}, {{Name: "", Notebook: one}}, {{Name: "a"}},
	} {
		if err := WriteSite(dir, "", pages); err == nil {
			t.Errorf("%+v is accepted", pages)
		}
	}
}
