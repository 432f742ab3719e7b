package figure

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/gonvex/gonvex/convex/data"
)

// cellsOfRegions is the number of predictions along each side of the picture.
const cellsOfRegions = 200

// Regions draws what a network with one output makes of the plane of the first
// two columns of X (n×d): blue where predict is negative, vermilion where it is
// positive, paler the closer to zero, with the boundary in black and the samples
// in the colour of their labels y (n numbers, by sign). Further columns of
// X, such as a bias, must each have one value, which the whole plane is given.
// predict is the Predict of a solution or a network.
//
// The axes are named after the columns; rename them on the plot it returns.
func Regions(title string, predict func(mat.Matrix) (*mat.Dense, error), X, y mat.Matrix) (*plot.Plot, error) {
	if predict == nil || X == nil || y == nil {
		return nil, errors.New("figure: Regions: predict, X and y must not be nil: pass sol.Predict and the problem's X and Y")
	}
	n, d := X.Dims()
	if r, _ := y.Dims(); n == 0 || d < 2 || r != n {
		return nil, fmt.Errorf("figure: Regions: X is %d×%d and y has %d rows: want n×d with d of two or more, and n labels", n, d, r)
	}
	for j := 2; j < d; j++ {
		for i := range n {
			if X.At(i, j) != X.At(0, j) {
				return nil, fmt.Errorf("figure: Regions: column %d of X has several values: only the first two may, the picture being a plane", j)
			}
		}
	}
	box := boxOf(X)
	const k = cellsOfRegions
	at := func(j, c int) float64 { return box[2*j] + (box[2*j+1]-box[2*j])*(float64(c)+0.5)/k }
	grid := mat.NewDense(k*k, d, nil)
	for r := range k {
		for c := range k {
			row := grid.RawRowView(r*k + c)
			row[0], row[1] = at(0, c), at(1, r)
			for j := 2; j < d; j++ {
				row[j] = X.At(0, j)
			}
		}
	}
	f, err := predict(grid)
	if err != nil {
		return nil, fmt.Errorf("figure: Regions: %w", err)
	}
	if r, c := f.Dims(); r != k*k || c != 1 {
		return nil, fmt.Errorf("figure: Regions: predict gave %d×%d for %d points: want one number each", r, c, k*k)
	}

	p := New(title, "x₁", "x₂")
	picture := image.NewNRGBA(image.Rect(0, 0, k, k))
	field := plane{at: at, f: f, bound: 1}
	for r := range k {
		for c := range k {
			v := math.Tanh(f.At(r*k+c, 0))
			picture.SetNRGBA(c, k-1-r, pale(v))
		}
	}
	p.Add(plotter.NewImage(picture, box[0], box[2], box[1], box[3]))
	if low, high := mat.Min(f), mat.Max(f); low < 0 && high > 0 && high-low < math.Inf(1) {
		contour := plotter.NewContour(field, []float64{0}, blackPalette{})
		contour.LineStyles = []draw.LineStyle{{Color: color.Black, Width: vg.Points(1)}}
		p.Add(contour)
	}
	names := []string{"y = -1", "y = +1"}
	for i := range n {
		if v := y.At(i, 0); v != 1 && v != -1 {
			names = []string{"y < 0", "y > 0"}
		}
	}
	for k, sign := range []float64{-1, 1} {
		var xs, ys []float64
		for i := range n {
			if y.At(i, 0)*sign > 0 {
				xs, ys = append(xs, X.At(i, 0)), append(ys, X.At(i, 1))
			}
		}
		rim := Dots(p, k, "", xs, ys)
		rim.GlyphStyle.Color, rim.GlyphStyle.Radius = color.White, vg.Points(3.4)
		Dots(p, k, names[k], xs, ys)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = box[0], box[1], box[2], box[3]
	p.Y.Max += 0.2 * (box[3] - box[2]) // room for the legend, which would cover samples
	return p, nil
}

// boxOf is the rectangle that Regions shows of the plane of the first two
// columns of X: left, right, bottom, top.
func boxOf(X mat.Matrix) [4]float64 {
	n, _ := X.Dims()
	box := [4]float64{math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)}
	for i := range n {
		for j := range 2 {
			box[2*j], box[2*j+1] = min(box[2*j], X.At(i, j)), max(box[2*j+1], X.At(i, j))
		}
	}
	for j := range 2 {
		margin := 0.12*(box[2*j+1]-box[2*j]) + 1e-9
		box[2*j], box[2*j+1] = box[2*j]-margin, box[2*j+1]+margin
	}
	return box
}

// Hyperplanes adds to the Regions of X the line of every neuron, on one side of
// which it is active: x'u = 0 for each row u of U (m×d), such as Network.Hidden,
// in colour k. Further columns of X than two are taken from its first row.
func Hyperplanes(p *plot.Plot, k int, label string, U, X mat.Matrix) {
	if U == nil || X == nil {
		complain(p, "Hyperplanes: U and X must not be nil: a network without neurons has no Hidden")
		return
	}
	m, d := U.Dims()
	if n, c := X.Dims(); n == 0 || d < 2 || c != d {
		complain(p, "Hyperplanes: U is %d×%d and X is %d×%d: want the same two or more columns", m, d, n, c)
		return
	}
	box := boxOf(X)
	for i := range m {
		a, b, c := U.At(i, 0), U.At(i, 1), 0.0
		for j := 2; j < d; j++ {
			c += U.At(i, j) * X.At(0, j)
		}
		var ends plotter.XYs // on the sides of the box
		side := func(x, y float64) {
			const slack = 1e-9
			sx, sy := slack*(box[1]-box[0]), slack*(box[3]-box[2])
			if x < box[0]-sx || x > box[1]+sx || y < box[2]-sy || y > box[3]+sy {
				return
			}
			if len(ends) == 0 || math.Abs(ends[0].X-x) > sx || math.Abs(ends[0].Y-y) > sy {
				ends = append(ends, plotter.XY{X: x, Y: y})
			}
		}
		for _, x := range box[:2] {
			if b != 0 {
				side(x, -(a*x+c)/b)
			}
		}
		for _, y := range box[2:] {
			if a != 0 {
				side(-(b*y+c)/a, y)
			}
		}
		if len(ends) < 2 { // it passes the picture by
			continue
		}
		line := Curve(p, k, label, []float64{ends[0].X, ends[1].X}, []float64{ends[0].Y, ends[1].Y})
		line.Width = vg.Points(0.8)
		if label != "" { // once in the legend, which has room for the labels of Regions
			p.Y.Max += 0.1 * (box[3] - box[2])
			label = ""
		}
	}
}

// pale is a colour between blue (-1), white (0) and vermilion (+1).
func pale(v float64) color.NRGBA {
	k := 0
	if v > 0 {
		k = 1
	}
	c := color.NRGBAModel.Convert(Color(k)).(color.NRGBA)
	share := 0.15 + 0.45*math.Abs(v)
	mix := func(x uint8) uint8 { return uint8(255 - share*(255-float64(x)) + 0.5) }
	return color.NRGBA{R: mix(c.R), G: mix(c.G), B: mix(c.B), A: 255}
}

// plane is predictions on a grid, cut at ±bound so that the contour at zero is
// not drawn from numbers of very different size.
type plane struct {
	at    func(j, c int) float64
	f     *mat.Dense
	bound float64
}

func (g plane) Dims() (c, r int) { return cellsOfRegions, cellsOfRegions }
func (g plane) X(c int) float64  { return g.at(0, c) }
func (g plane) Y(r int) float64  { return g.at(1, r) }
func (g plane) Z(c, r int) float64 {
	return min(max(g.f.At(r*cellsOfRegions+c, 0), -g.bound), g.bound)
}

type blackPalette struct{}

func (blackPalette) Colors() []color.Color { return []color.Color{color.Black} }

var _ palette.Palette = blackPalette{}

// Weights is a matrix as a picture, row 0 at the top: weights of neurons, a
// Gram matrix, activation patterns. With negative entries blue is negative, white
// zero and vermilion positive, on one scale for all; else white is zero and blue
// the largest.
func Weights(title, x, y string, A mat.Matrix) (*plot.Plot, error) {
	r, c := 0, 0
	if A != nil {
		r, c = A.Dims()
	}
	if r == 0 || c == 0 {
		return nil, errors.New("figure: Weights: the matrix is nil or empty")
	}
	size, negative := scale(A)
	zx, zy := zoom(c, 800), zoom(r, 600)
	picture := image.NewNRGBA(image.Rect(0, 0, c*zx, r*zy))
	for i := range r * zy {
		for j := range c * zx {
			picture.SetNRGBA(j, i, shade(A.At(i/zy, j/zx)/size))
		}
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(6)
	p.Add(plotter.NewImage(picture, -0.5, -0.5, float64(c)-0.5, float64(r)-0.5))
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, float64(c)-0.5, -0.5, float64(r)-0.5
	p.X.Max += besideScale * float64(c)
	p.X.Tick.Marker, p.Y.Tick.Marker = whole{count: c}, whole{count: r, down: true}
	scaleBar(p, size, negative)
	return p, nil
}

// Filters draws each row of W as a picture of the given shape, height and width,
// side by side in rows of tiles: the filters of a convolutional network, or the
// first-layer weights of one on images. All share one scale: blue is negative,
// white zero, vermilion positive. A column of W beyond height·width, such as a
// bias, is an error: slice it off.
func Filters(title string, W mat.Matrix, height, width int) (*plot.Plot, error) {
	r, c := 0, 0
	if W != nil {
		r, c = W.Dims()
	}
	if r == 0 || height < 1 || width < 1 || height*width != c {
		return nil, fmt.Errorf("figure: Filters: W is %d×%d and the shape %d×%d: want one row a filter and height·width columns", r, c, height, width)
	}
	cols := int(math.Ceil(math.Sqrt(float64(r) * 1.5 * float64(height) / float64(width))))
	cols = min(max(cols, 1), r)
	rows := (r + cols - 1) / cols
	zoom := zoom(max(rows*height, cols*width), 800) // the gap between tiles is of these pixels, not of theirs
	gap := max(2, zoom/2)
	w, h := cols*(width*zoom+gap)+gap, rows*(height*zoom+gap)+gap
	picture := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range picture.Pix {
		picture.Pix[i] = 255
	}
	size, negative := scale(W)
	for k := range r {
		left, top := k%cols*(width*zoom+gap)+gap, k/cols*(height*zoom+gap)+gap
		for y := -1; y <= height*zoom; y++ {
			for x := -1; x <= width*zoom; x++ {
				inside := x >= 0 && y >= 0 && x < width*zoom && y < height*zoom
				c := color.NRGBA{R: 150, G: 150, B: 150, A: 255} // the frame
				if inside {
					c = shade(W.At(k, y/zoom*width+x/zoom) / size)
				}
				picture.SetNRGBA(left+x, top+y, c)
			}
		}
	}
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(6)
	p.HideAxes()
	p.Add(plotter.NewImage(picture, 0, 0, float64(w), float64(h)))
	p.X.Max += besideScale * float64(w)
	scaleBar(p, size, negative)
	return p, nil
}

// Images draws rows of X, which are images of the given shape (see data.Set),
// side by side.
func Images(title string, X mat.Matrix, shape []int) (*plot.Plot, error) {
	picture, err := data.Mosaic(X, shape)
	if err != nil {
		return nil, err
	}
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(6)
	p.HideAxes()
	size := picture.Bounds().Size()
	z := zoom(max(size.X, size.Y), 800)
	large := image.NewNRGBA(image.Rect(0, 0, size.X*z, size.Y*z))
	for y := range size.Y * z {
		for x := range size.X * z {
			large.Set(x, y, picture.At(picture.Bounds().Min.X+x/z, picture.Bounds().Min.Y+y/z))
		}
	}
	p.Add(plotter.NewImage(large, 0, 0, float64(size.X), float64(size.Y)))
	return p, nil
}

// besideScale is the part of a picture's width that its scale takes.
const besideScale = 0.34

// zoom is how many pixels to give each of n so that they are about want: a
// canvas smooths a picture it has to enlarge.
func zoom(n, want int) int { return max(1, (want+n-1)/n) }

// scale is the largest size of the entries, and whether any is negative.
func scale(A mat.Matrix) (size float64, negative bool) {
	r, c := A.Dims()
	for i := range r {
		for j := range c {
			v := A.At(i, j)
			negative = negative || v < 0
			if a := math.Abs(v); a > size && !math.IsInf(a, 1) {
				size = a
			}
		}
	}
	if size == 0 {
		size = 1
	}
	return size, negative
}

// shade is a colour between blue (-1, or +1 where nothing is negative), white
// (0) and vermilion (+1); grey for what is no number.
func shade(v float64) color.NRGBA {
	if v != v {
		return color.NRGBA{R: 128, G: 128, B: 128, A: 255}
	}
	k := 0
	if v > 0 {
		k = 1
	}
	c := color.NRGBAModel.Convert(Color(k)).(color.NRGBA)
	share := min(math.Abs(v), 1)
	mix := func(x uint8) uint8 { return uint8(255 - share*(255-float64(x)) + 0.5) }
	return color.NRGBA{R: mix(c.R), G: mix(c.G), B: mix(c.B), A: 255}
}

// scaleBar puts the meaning of the colours into the legend.
func scaleBar(p *plot.Plot, size float64, negative bool) {
	p.Legend.Top, p.Legend.XOffs = true, vg.Points(0)
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	for _, v := range []float64{1, 0, -1} {
		if v < 0 && !negative {
			continue
		}
		p.Legend.Add(fmt.Sprintf("%.2g", v*size), swatch{shade(v)})
	}
}

type swatch struct{ color color.Color }

// Thumbnail is a filled square with a thin rim.
func (s swatch) Thumbnail(c *draw.Canvas) {
	box := []vg.Point{c.Min, {X: c.Min.X, Y: c.Max.Y}, c.Max, {X: c.Max.X, Y: c.Min.Y}}
	c.FillPolygon(s.color, box)
	c.StrokeLines(draw.LineStyle{Color: color.Gray{Y: 120}, Width: vg.Points(0.5)}, append(box, c.Min))
}

// whole ticks an axis of count rows or columns at a few whole numbers, counted
// from the far end for rows, of which the first is at the top.
type whole struct {
	count int
	down  bool
}

func (w whole) Ticks(_, _ float64) []plot.Tick {
	step := 1
	for k := 0; w.count/step > 10; k++ { // 1, 2, 5, 10, …
		step = step * 2
		if k%3 == 1 {
			step = step / 4 * 5
		}
	}
	var ticks []plot.Tick
	for i := 0; i < w.count; i += step {
		at := i
		if w.down {
			at = w.count - 1 - i
		}
		ticks = append(ticks, plot.Tick{Value: float64(at), Label: fmt.Sprint(i)})
	}
	return ticks
}
