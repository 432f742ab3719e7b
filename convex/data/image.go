package data

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Images draws the first n samples, which must be images (see Shape), side by
// side in rows of about √n tiles. Dark is the smallest of their values and
// light the largest.
func (s Set) Images(n int) (image.Image, error) {
	if s.Len() == 0 {
		return nil, fmt.Errorf("data: Images: the set %q has no samples", s.Name)
	}
	if n < 1 || n > s.Len() {
		return nil, fmt.Errorf("data: Images(%d): the set %q has %d samples: want 1 to %[3]d", n, s.Name, s.Len())
	}
	if s.Shape == nil {
		return nil, fmt.Errorf("data: Images: the samples of %q are not images: set Shape to their height and width if they are", s.Name)
	}
	return Mosaic(s.X.Slice(0, n, 0, s.Features()), s.Shape)
}

// Mosaic draws the rows of X as images of the given shape (height and width,
// or height, width and 3 planes of colour), side by side. It serves for
// samples and for learned filters alike.
func Mosaic(X mat.Matrix, shape []int) (image.Image, error) {
	if X == nil {
		return nil, errors.New("data: Mosaic: X is nil: want one image a row")
	}
	n, d := X.Dims()
	if (len(shape) != 2 && len(shape) != 3) || shape[0] < 1 || shape[1] < 1 || (len(shape) == 3 && shape[2] != 1 && shape[2] != 3) {
		return nil, fmt.Errorf("data: Mosaic: shape is %v: want [height width] or [height width 3]", shape)
	}
	h, w, planes := shape[0], shape[1], 1
	if len(shape) == 3 {
		planes = shape[2]
	}
	if n == 0 || h > d || w > d || h*w*planes != d {
		return nil, fmt.Errorf("data: Mosaic: X is %d×%d but shape %v has %d values: want that many columns", n, d, shape, h*w*planes)
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for i := range n {
		for j := range d {
			if v := X.At(i, j); v-v == 0 { // finite
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	scale := 0.0
	if hi > lo {
		scale = 255 / (hi - lo)
	}
	level := func(i, j int) uint8 {
		v := (X.At(i, j) - lo) * scale
		if v-v != 0 {
			return 0
		}
		return uint8(math.Round(v))
	}

	const gap = 1
	cols := int(math.Ceil(math.Sqrt(float64(n) * float64(h) / float64(w)))) // about a square in all
	cols = min(cols, n)
	rows := (n + cols - 1) / cols
	img := image.NewRGBA(image.Rect(0, 0, cols*(w+gap)-gap, rows*(h+gap)-gap))
	for i := range n {
		x0, y0 := i%cols*(w+gap), i/cols*(h+gap)
		for y := range h {
			for x := range w {
				j := y*w + x
				c := color.RGBA{A: 255}
				c.R = level(i, j)
				if planes == 3 {
					c.G, c.B = level(i, j+h*w), level(i, j+2*h*w)
				} else {
					c.G, c.B = c.R, c.R
				}
				img.SetRGBA(x0+x, y0+y, c)
			}
		}
	}
	return img, nil
}
