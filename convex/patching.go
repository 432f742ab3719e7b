package convex

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"gonum.org/v1/gonum/mat"
)

// Patching says how images are cut into the patches of a convolutional network.
// A problem with X and a Patching is one with the patches of X:
//
//	convex.Problem{X: images, Y: y, Arch: convex.CNN{},
//		Patching: convex.Patching{Height: 28, Width: 28, FilterH: 3, FilterW: 3}, …}
//
// An image is a row of Channels·Height·Width numbers, one plane after the other,
// each row by row, as package data reads them. The filter covers all channels: a
// patch is Channels·FilterH·FilterW numbers in the same order. Positions that
// would leave the (padded) image are left out. The zero value means that there
// are no images.
type Patching struct {
	Height, Width, Channels int // of the images; Channels 0 means 1
	FilterH, FilterW        int // of the filter; 0 for one of them means a square filter
	Stride                  int // step of the filter in both directions; 0 means 1
	Padding                 int // rows and columns of zeros around every image
}

// maxPatchNumbers is the most numbers Patches makes: 4 GiB of them.
const maxPatchNumbers = 1 << 29

func (g Patching) given() bool { return g != Patching{} }

// withDefaults fills in what was left at zero, and checks.
func (g Patching) withDefaults() (Patching, error) {
	if g.Channels == 0 {
		g.Channels = 1
	}
	if g.Stride == 0 {
		g.Stride = 1
	}
	if g.FilterH == 0 {
		g.FilterH = g.FilterW
	}
	if g.FilterW == 0 {
		g.FilterW = g.FilterH
	}
	switch {
	case g.Height < 1 || g.Width < 1 || g.Channels < 1:
		return g, fmt.Errorf("Patching: the images are %d×%d with %d channels: want Height, Width and Channels of 1 or more", g.Height, g.Width, g.Channels)
	case g.FilterH < 1 || g.FilterW < 1:
		return g, fmt.Errorf("Patching: the filter is %d×%d: want FilterH and FilterW of 1 or more, such as 3 and 3", g.FilterH, g.FilterW)
	case g.Stride < 1:
		return g, fmt.Errorf("Patching.Stride is %d: want 1 or more", g.Stride)
	case g.Padding < 0:
		return g, fmt.Errorf("Patching.Padding is %d: want 0 or more", g.Padding)
	case g.Padding >= g.FilterH || g.Padding >= g.FilterW:
		return g, fmt.Errorf("Patching.Padding is %d but the filter is %d×%d: some patches would be all zeros; want less than the filter", g.Padding, g.FilterH, g.FilterW)
	case g.FilterH > g.Height+2*g.Padding || g.FilterW > g.Width+2*g.Padding:
		return g, fmt.Errorf("Patching: the filter is %d×%d but the images are %d×%d with padding %d: it must fit into them", g.FilterH, g.FilterW, g.Height, g.Width, g.Padding)
	}
	return g, nil
}

// Positions is the number of rows and columns of filter positions; K, the number
// of patches, is their product.
func (g Patching) Positions() (rows, cols int, err error) {
	g, err = g.withDefaults()
	if err != nil {
		return 0, 0, fmt.Errorf("convex: %w", err)
	}
	rows, cols = g.positions()
	return rows, cols, nil
}

func (g Patching) positions() (rows, cols int) {
	return (g.Height+2*g.Padding-g.FilterH)/g.Stride + 1, (g.Width+2*g.Padding-g.FilterW)/g.Stride + 1
}

// Patches cuts n images, the rows of X, into K patches: matrix k is n×h and has
// patch k of every image, positions counted row by row.
func (g Patching) Patches(X mat.Matrix) ([]mat.Matrix, error) {
	M, err := finiteMatrix("X", X)
	if err != nil {
		return nil, err
	}
	if g, err = g.withDefaults(); err != nil {
		return nil, fmt.Errorf("convex: %w", err)
	}
	n, d := M.Dims()
	if want := g.Channels * g.Height * g.Width; d != want {
		return nil, fmt.Errorf("convex: X is %d×%d but Patching says images of %d×%d with %d channels: want %d columns", n, d, g.Height, g.Width, g.Channels, want)
	}
	rows, cols := g.positions()
	h := g.Channels * g.FilterH * g.FilterW
	if need := float64(n) * float64(rows) * float64(cols) * float64(h); need > maxPatchNumbers {
		return nil, fmt.Errorf("convex: %d images in %d×%d patches of %d numbers would take %.0f MiB, over the limit of %.0f: take a larger Stride or fewer images", n, rows, cols, h, mebibytes(8*need), mebibytes(8*maxPatchNumbers))
	}
	patches := make([]mat.Matrix, rows*cols)
	tasks(len(patches), func(k int) {
		P := mat.NewDense(n, h, nil)
		top, left := k/cols*g.Stride-g.Padding, k%cols*g.Stride-g.Padding
		for i := range n {
			image, out := M.RawRowView(i), P.RawRowView(i)
			at := 0
			for c := range g.Channels {
				for y := top; y < top+g.FilterH; y++ {
					for x := left; x < left+g.FilterW; x++ {
						if y >= 0 && y < g.Height && x >= 0 && x < g.Width {
							out[at] = image[(c*g.Height+y)*g.Width+x]
						}
						at++
					}
				}
			}
		}
		patches[k] = P
	})
	return patches, nil
}

// cutImages are the patches of one matrix of images.
type cutImages struct {
	by      Patching
	of      *mat.Dense
	patches []mat.Matrix
}

// patches are those of the problem, cut from X where that is images.
func (p *Problem) patches() ([]mat.Matrix, error) {
	switch {
	case len(p.Patches) > 0 && p.Patching.given():
		return nil, errors.New("convex: the problem has both Patches and a Patching of X: give one")
	case len(p.Patches) > 0 && !isNil(p.X):
		return nil, errors.New("convex: the problem has both X and Patches: convolutional architectures take Patches, or X with a Patching: leave X out; others take X, not Patches: leave Patches out")
	case !p.Patching.given():
		return p.Patches, nil
	}
	if X, ok := p.X.(*mat.Dense); ok && p.cut != nil && p.cut.of == X && p.cut.by == p.Patching {
		return p.cut.patches, nil
	}
	return p.Patching.Patches(p.X)
}

// keepCut remembers the patches, so that the next check need not cut again.
func (p *Problem) keepCut(patches []mat.Matrix) {
	if X, ok := p.X.(*mat.Dense); ok && p.Patching.given() {
		p.cut = &cutImages{p.Patching, X, patches}
	}
}

// patchingFields are the fields of problem files for images.
var patchingFields = []string{"shape", "filter", "stride", "padding"}

// patchingFromFile reads those fields.
func patchingFromFile(raw map[string]json.RawMessage) (Patching, error) {
	var g Patching
	present := false
	for _, k := range patchingFields {
		present = present || raw[k] != nil
	}
	switch {
	case !present:
		return g, nil
	case raw["patches"] != nil:
		return g, fmt.Errorf(`fields "patches" and "shape", "filter", "stride" or "padding" are both there: patches are cut already`)
	case raw["shape"] == nil || raw["filter"] == nil:
		return g, fmt.Errorf(`fields "shape" ([height, width] or [height, width, channels]) and "filter" ([height, width]) go together: one of them is missing`)
	}
	ints := func(field string, least, most int) ([]int, error) {
		var list []int
		if json.Unmarshal(raw[field], &list) != nil || len(list) < least || len(list) > most {
			return nil, fmt.Errorf("field %q is %s: want %d to %d whole numbers in []", field, excerpt(raw[field]), least, most)
		}
		return list, nil
	}
	shape, err := ints("shape", 2, 3)
	if err != nil {
		return g, err
	}
	g.Height, g.Width = shape[0], shape[1]
	if len(shape) == 3 {
		if g.Channels = shape[2]; g.Channels == 0 {
			return g, fmt.Errorf(`field "shape": there are no channels`)
		}
	}
	if v := raw["filter"]; v[0] == '[' {
		filter, err := ints("filter", 2, 2)
		if err != nil {
			return g, err
		}
		g.FilterH, g.FilterW = filter[0], filter[1]
	} else if g.FilterH, err = strconv.Atoi(string(v)); err != nil {
		return g, fmt.Errorf(`field "filter" is %s: want [height, width], or one whole number for a square`, excerpt(v))
	}
	if v := raw["stride"]; v != nil {
		if g.Stride, err = strconv.Atoi(string(v)); err != nil || g.Stride < 1 {
			return g, fmt.Errorf(`field "stride" is %s: want a whole number of 1 or more`, excerpt(v))
		}
	}
	if v := raw["padding"]; v != nil {
		if g.Padding, err = strconv.Atoi(string(v)); err != nil {
			return g, fmt.Errorf(`field "padding" is %s: want a whole number of 0 or more`, excerpt(v))
		}
	}
	_, err = g.withDefaults()
	return g, err
}

// toFile are the fields of a problem file that say the same.
func (g Patching) toFile() map[string]any {
	g, err := g.withDefaults()
	if err != nil {
		return nil
	}
	fields := map[string]any{"shape": []int{g.Height, g.Width}, "filter": []int{g.FilterH, g.FilterW}}
	if g.Channels != 1 {
		fields["shape"] = []int{g.Height, g.Width, g.Channels}
	}
	if g.Stride != 1 {
		fields["stride"] = g.Stride
	}
	if g.Padding != 0 {
		fields["padding"] = g.Padding
	}
	return fields
}
