package display

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/renameio/v2"
	xfont "golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A Figure is a plot, or several on a grid, of a given size. A *plot.Plot
// alone is shown in the size [PlotSize] sets.
//
//	display.Figure{Plots: [][]*plot.Plot{{left, right}}, Width: 9}
type Figure struct {
	Plots         [][]*plot.Plot // rows of plots; a nil plot leaves its place empty
	Width, Height float64        // of the whole figure, in inches; 0: by the number of rows and columns
	Title         string         // above all of them
}

var plotSize = struct {
	sync.Mutex
	width, height float64
}{width: 6, height: 4}

// PlotSize sets the size in inches at which plots are shown from now on; it
// is 6 by 4 at first. Zero keeps a side as it is.
func PlotSize(width, height float64) error {
	for _, x := range []float64{width, height} {
		if math.IsNaN(x) || x < 0 || x > maxInches {
			return fmt.Errorf("display: plot size %g×%g inches: each side must be between 0 and %d", width, height, maxInches)
		}
	}
	plotSize.Lock()
	defer plotSize.Unlock()
	if width > 0 {
		plotSize.width = width
	}
	if height > 0 {
		plotSize.height = height
	}
	return nil
}

const (
	margin    = 5 // points left free at the edges, which labels else touch
	maxInches = 40
	cssDPI    = 96      // CSS pixels in an inch
	column    = 8.75    // inches: a wider figure is shown so wide, since JupyterLab cuts an SVG that is wider than the notebook
	maxSVG    = 1 << 20 // a picture with more strokes than this is better as PNG alone
)

func renderPlot(v any) (Bundle, bool) {
	switch p := v.(type) {
	case *plot.Plot:
		if p == nil {
			return Bundle{}, false
		}
		return Figure{Plots: [][]*plot.Plot{{p}}}.bundle(), true
	case *Figure:
		if p == nil {
			return Bundle{}, false
		}
		return p.bundle(), true
	}
	return Bundle{}, false
}

// bundle draws the figure as PNG, at twice the resolution of the screen, and
// as SVG.
func (f Figure) bundle() Bundle {
	rows, cols, w, h, err := f.size()
	if err != nil {
		return one(MIMEText, "", "("+err.Error()+")")
	}
	var b Bundle
	b.set(MIMEText, f.String())
	wl, hl := vg.Length(w)*vg.Inch, vg.Length(h)*vg.Inch

	var out bytes.Buffer
	raster := vgimg.NewWith(vgimg.UseWH(wl, hl), vgimg.UseDPI(2*cssDPI), vgimg.UseBackgroundColor(color.White))
	f.draw(draw.New(raster), rows, cols)
	if _, err := (vgimg.PngCanvas{Canvas: raster}).WriteTo(&out); err != nil {
		b.set(MIMEText, b.Text()+" (not drawn: "+err.Error()+")")
		return b
	}
	b.set(MIMEPNG, out.Bytes())
	shown := min(1, column/w)
	b.setSize(MIMEPNG, int(w*shown*cssDPI+0.5), int(h*shown*cssDPI+0.5))

	var svg bytes.Buffer
	vector := outlined{vgsvg.New(wl, hl)}
	f.draw(draw.New(vector), rows, cols)
	if _, err := vector.WriteTo(&svg); err == nil && svg.Len() <= maxSVG {
		size := `width="%.5gpt" height="%.5gpt"`
		text := strings.Replace(svg.String(), fmt.Sprintf(size, w*72, h*72), fmt.Sprintf(size, w*72*shown, h*72*shown), 1)
		// Without this an SVG viewer keeps the proportions of a picture's
		// pixels and misses the rectangle the plot gives it.
		b.set(MIMESVG, strings.ReplaceAll(text, "<image ", `<image preserveAspectRatio="none" `))
	}
	return b
}

// size is the grid of the figure and its sides in inches.
func (f Figure) size() (rows, cols int, w, h float64, err error) {
	rows = len(f.Plots)
	for _, row := range f.Plots {
		cols = max(cols, len(row))
	}
	if cols == 0 {
		return 0, 0, 0, 0, errors.New("a figure without plots")
	}
	plotSize.Lock()
	w, h = plotSize.width, plotSize.height
	plotSize.Unlock()
	if rows*cols > 1 { // smaller each, but the whole no wider than a page
		w, h = min(0.75*w*float64(cols), 12), 0.75*h*float64(rows)
	}
	if f.Width > 0 {
		w = f.Width
	}
	if f.Height > 0 {
		h = f.Height
	}
	if !(w > 0 && h > 0 && w <= maxInches && h <= maxInches) {
		return 0, 0, 0, 0, fmt.Errorf("a figure of %g×%g inches is not drawn: each side must be positive and at most %d", w, h, maxInches)
	}
	return rows, cols, w, h, nil
}

// Save writes the figure, in the size and form in which it is shown, to a
// file whose name ends in .pdf, .svg, .png, .eps, .jpg, .tif or .tex.
func (f Figure) Save(path string) error {
	rows, cols, w, h, err := f.size()
	if err != nil {
		return fmt.Errorf("display: Save %s: %w", path, err)
	}
	format := strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
	if !slices.Contains([]string{"pdf", "svg", "png", "eps", "jpg", "jpeg", "tif", "tiff", "tex"}, format) {
		return fmt.Errorf("display: Save %s: the name must end in .pdf, .svg, .png, .eps, .jpg, .tif or .tex, which says the format", path)
	}
	c, err := draw.NewFormattedCanvas(vg.Length(w)*vg.Inch, vg.Length(h)*vg.Inch, format)
	if err != nil {
		return fmt.Errorf("display: Save %s: %w", path, err)
	}
	f.draw(draw.New(c), rows, cols)
	var out bytes.Buffer
	if _, err := c.WriteTo(&out); err != nil {
		return fmt.Errorf("display: Save %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("display: Save: %w", err)
	}
	return nil
}

func (f Figure) draw(c draw.Canvas, rows, cols int) {
	c.SetColor(f.background()) // also of the margin, which the plots leave alone
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	if f.Title != "" {
		style := plot.New().Title.TextStyle
		style.Font.Size = 14
		style.XAlign, style.YAlign = draw.XCenter, draw.YTop
		c.FillText(style, vg.Point{X: c.Center().X, Y: c.Max.Y - vg.Points(4)}, f.Title)
		c = draw.Crop(c, 0, 0, 0, -vg.Points(24))
	}
	if rows == 1 && cols == 1 {
		if p := f.Plots[0][0]; p != nil {
			frame(p).draw(c)
		}
		return
	}
	frames, plots := make([][]*framed, rows), make([][]*plot.Plot, rows)
	for i := range plots {
		frames[i], plots[i] = make([]*framed, cols), make([]*plot.Plot, cols)
		for j, p := range f.Plots[i] {
			if p != nil {
				frames[i][j] = frame(p)
				plots[i][j] = frames[i][j].Plot
			}
		}
	}
	tiles := draw.Tiles{Rows: rows, Cols: cols, PadX: vg.Points(12), PadY: vg.Points(12)}
	canvases := plot.Align(plots, tiles, c)
	for i, row := range frames {
		for j, p := range row {
			if p != nil {
				p.draw(canvases[i][j])
			}
		}
	}
}

// framed is a copy of a plot, made for drawing, whose axis labels are kept
// apart. gonum/plot writes a label in the middle of its axis but keeps room
// for it at the arithmetic middle of the range, which lies at the far end of a
// logarithmic axis and pushes the plot away from there.
type framed struct {
	*plot.Plot
	x, y string // labels
}

func frame(p *plot.Plot) *framed {
	q := *p // the user's own is left as it is
	q.X.Tick.Marker, q.Y.Tick.Marker = onAxis{p.X.Tick.Marker}, onAxis{p.Y.Tick.Marker}
	f := &framed{Plot: &q}
	if q.X.Label.Position == draw.PosCenter {
		f.x, q.X.Label.Text = q.X.Label.Text, ""
	}
	if q.Y.Label.Position == draw.PosCenter {
		f.y, q.Y.Label.Text = q.Y.Label.Text, ""
	}
	return f
}

func (f *framed) draw(c draw.Canvas) {
	inner := c
	xs, ys := f.X.Label.TextStyle, f.Y.Label.TextStyle
	if f.x != "" {
		inner.Min.Y += xs.Height(f.x) + f.X.Label.Padding
	}
	if f.y != "" {
		inner.Min.X += ys.Height(f.y) + ys.FontExtents().Descent + f.Y.Label.Padding
	}
	f.Draw(inner)
	data := f.DataCanvas(inner)
	center := data.Center()
	if f.x != "" {
		c.FillText(xs, vg.Point{X: center.X, Y: c.Min.Y + xs.FontExtents().Descent}, f.x)
	}
	if f.y != "" {
		at := vg.Point{X: c.Min.X + ys.Height(f.y) - ys.FontExtents().Descent, Y: center.Y}
		ys.Rotation += math.Pi / 2
		c.FillText(ys, at, f.y)
	}
}

// onAxis drops the ticks beyond the ends of an axis. They are not drawn, but
// gonum/plot keeps room for their labels, which leaves a band of nothing above
// every plot with a logarithmic axis.
type onAxis struct{ plot.Ticker }

func (a onAxis) Ticks(least, most float64) []plot.Tick {
	slack := 1e-9 * (most - least)
	return slices.DeleteFunc(slices.Clone(a.Ticker.Ticks(least, most)), func(t plot.Tick) bool {
		return t.Value < least-slack || t.Value > most+slack
	})
}

// background is that of the first plot, which is white unless it was changed.
func (f Figure) background() color.Color {
	for _, row := range f.Plots {
		for _, p := range row {
			if p != nil && p.BackgroundColor != nil {
				return p.BackgroundColor
			}
		}
	}
	return color.White
}

// String names the figure by its titles.
func (f Figure) String() string {
	name := "plot"
	if t := f.Title; t != "" {
		name += ": " + oneLine(t, wordLimit)
	}
	for _, row := range f.Plots {
		for _, p := range row {
			if p != nil && p.Title.Text != "" {
				name += ": " + oneLine(p.Title.Text, wordLimit)
			}
		}
	}
	return name
}

// outlined is an SVG canvas that draws text as shapes. A picture then looks
// the same wherever it is opened: the fonts a plot is laid out with are part
// of this program, not of the reader's machine.
type outlined struct{ *vgsvg.Canvas }

// FillString draws txt with its baseline starting at pt.
func (c outlined) FillString(face font.Face, pt vg.Point, txt string) {
	em := face.Face.UnitsPerEm()
	ppem := fixed.I(int(em)) // glyphs in font units
	scale := face.Font.Size / vg.Length(em) / 64
	var (
		buf  sfnt.Buffer
		path vg.Path
		x    fixed.Int26_6
		last sfnt.GlyphIndex
	)
	for i, r := range txt {
		glyph, err := face.Face.GlyphIndex(&buf, r)
		if err != nil {
			continue
		}
		if i > 0 {
			if k, err := face.Face.Kern(&buf, last, glyph, ppem, xfont.HintingNone); err == nil {
				x += k
			}
		}
		last = glyph
		segments, err := face.Face.LoadGlyph(&buf, glyph, ppem, nil)
		if err != nil {
			continue
		}
		at := func(p fixed.Point26_6) vg.Point { // font coordinates run down
			return vg.Point{X: pt.X + vg.Length(p.X+x)*scale, Y: pt.Y - vg.Length(p.Y)*scale}
		}
		for k, s := range segments {
			switch s.Op {
			case sfnt.SegmentOpMoveTo:
				if k > 0 {
					path.Close()
				}
				path.Move(at(s.Args[0]))
			case sfnt.SegmentOpLineTo:
				path.Line(at(s.Args[0]))
			case sfnt.SegmentOpQuadTo:
				path.QuadTo(at(s.Args[0]), at(s.Args[1]))
			case sfnt.SegmentOpCubeTo:
				path.CubeTo(at(s.Args[0]), at(s.Args[1]), at(s.Args[2]))
			}
		}
		if len(segments) > 0 {
			path.Close()
		}
		if advance, err := face.Face.GlyphAdvance(&buf, glyph, ppem, xfont.HintingNone); err == nil {
			x += advance
		}
	}
	if len(path) > 0 {
		c.Fill(path)
	}
}
