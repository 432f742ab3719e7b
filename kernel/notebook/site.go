package notebook

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/image/draw"
)

// SitePage is one notebook of a site.
type SitePage struct {
	Name     string // of its files, without an ending; must be unique and plain
	Notebook *Notebook
	Dir      string // where Markdown's relative pictures are looked for; "": they stay links
}

// WriteSite renders notebooks into a folder, which it makes, as a small static
// site: a page for each, NAME.html, with a link back, the notebook itself,
// NAME.ipynb, and index.html with the title, the first paragraph and the first
// picture of each. Every page needs nothing but itself.
func WriteSite(dir, title string, pages []SitePage) error {
	if err := CheckSite(dir, pages); err != nil {
		return err
	}
	for _, p := range pages {
		if err := p.Notebook.WriteFile(filepath.Join(dir, p.Name+".ipynb")); err != nil {
			return err
		}
		if err := p.Notebook.WriteHTML(filepath.Join(dir, p.Name+".html"), &HTMLOptions{Dir: p.Dir, Home: "index.html", Source: p.Name + ".ipynb"}); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(dir, "index.html"), siteIndex(title, pages))
}

// CheckSite says whether WriteSite could write these pages, and makes the folder.
func CheckSite(dir string, pages []SitePage) error {
	used := map[string]bool{"index": true}
	for _, p := range pages {
		switch {
		case p.Notebook == nil:
			return fmt.Errorf("notebook: site: page %q has no notebook", p.Name)
		case p.Name == "" || p.Name != filepath.Base(p.Name):
			return fmt.Errorf("notebook: site: page name %q: want the name of a file without a folder", p.Name)
		case used[p.Name]:
			return fmt.Errorf("notebook: site: two pages would be %s.html: rename one notebook", p.Name)
		}
		used[p.Name] = true
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("notebook: site: %w", err)
	}
	return nil
}

func siteIndex(heading string, pages []SitePage) []byte {
	w := &htmlWriter{opts: &HTMLOptions{}, lang: "go"}
	w.head("en", heading)
	w.printf("<h1>%s</h1>\n<div class=\"index\">\n", html.EscapeString(heading))
	for _, p := range pages {
		name := html.EscapeString(title(p.Notebook, w.opts))
		w.printf("<article><a href=\"%s.html\">", html.EscapeString(p.Name))
		if uri := thumbnail(p.Notebook); uri != "" {
			w.printf("<img alt=\"first picture of %s\" src=\"%s\">", name, uri)
		}
		w.printf("<h2>%s</h2></a>\n", name)
		w.opts = &HTMLOptions{Dir: p.Dir}
		if text := firstParagraph(p.Notebook); text != "" {
			w.printf("%s", w.markdown(text, nil))
		}
		w.printf("</article>\n")
	}
	w.printf("</div>\n")
	w.foot()
	return w.Bytes()
}

// firstParagraph is the source of the first paragraph of prose.
func firstParagraph(nb *Notebook) string {
	for _, c := range nb.Cells {
		if c.Type != Markdown {
			continue
		}
		for block := range strings.SplitSeq(strings.ReplaceAll(c.Source, "\r\n", "\n"), "\n\n") {
			lines := strings.Split(strings.TrimSpace(block), "\n")
			for len(lines) > 0 && (strings.HasPrefix(lines[0], "#") || strings.TrimSpace(lines[0]) == "") {
				lines = lines[1:]
			}
			// Prose, and not a picture, a table, a list or a formula by itself.
			if len(lines) > 0 && !strings.ContainsAny(lines[0][:1], "!|<$-+>`") {
				return strings.Join(lines, "\n")
			}
		}
	}
	return ""
}

// thumbnailWidth is in pixels: twice that of a card, for fine screens.
const thumbnailWidth = 560

// thumbnail is the first picture among the outputs as a small data URI; "" when
// there is none.
func thumbnail(nb *Notebook) string {
	for _, c := range nb.Cells {
		for _, out := range c.Outputs {
			if text, ok := out.Data["image/png"].(string); ok {
				if uri := shrink(text); uri != "" {
					return uri
				}
			}
			if text, ok := out.Data["image/svg+xml"].(string); ok {
				return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(text))
			}
		}
	}
	return ""
}

// shrink makes a PNG in base64 a smaller one; "" if it is none.
func shrink(text string) string {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return ""
	}
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return ""
	}
	if size := picture.Bounds(); size.Dx() > thumbnailWidth {
		small := image.NewRGBA(image.Rect(0, 0, thumbnailWidth, max(1, size.Dy()*thumbnailWidth/size.Dx())))
		draw.CatmullRom.Scale(small, small.Bounds(), picture, size, draw.Src, nil)
		var b bytes.Buffer
		if err := png.Encode(&b, small); err != nil {
			return ""
		}
		raw = b.Bytes()
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(raw)
}
