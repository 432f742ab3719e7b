package display

import (
	"fmt"
	"math"
	"reflect"
	"strings"
)

// sparkline draws numbers as a small line in the colour of the text, from the
// least to the greatest. Few numbers need none, and neither do constant ones.
// Where there are more numbers than pixels each pixel shows the range of its
// share, so that no spike is lost; gaps are where numbers are not finite.
func sparkline(v reflect.Value) string {
	const width, height, least = 240, 36, 20
	n := v.Len()
	if n < least || n > maxScan {
		return ""
	}
	columns := min(n, width)
	lo, hi := make([]float64, columns), make([]float64, columns)
	bottom, top := math.Inf(1), math.Inf(-1)
	for c := range columns {
		lo[c], hi[c] = math.Inf(1), math.Inf(-1)
		for i := c * n / columns; i < (c+1)*n/columns; i++ {
			if x := asFloat(v.Index(i)); !math.IsNaN(x) && !math.IsInf(x, 0) {
				lo[c], hi[c] = min(lo[c], x), max(hi[c], x)
			}
		}
		bottom, top = min(bottom, lo[c]), max(top, hi[c])
	}
	if span := top - bottom; !(span > 0) || math.IsInf(span, 0) {
		return ""
	}
	var path strings.Builder
	pen := byte('M')
	for c := range columns {
		if lo[c] > hi[c] {
			pen = 'M'
			continue
		}
		x := float64(c) / float64(columns-1) * width
		for _, y := range []float64{lo[c], hi[c]} {
			fmt.Fprintf(&path, "%c%.1f %.1f", pen, x, 1+(height-2)*(top-y)/(top-bottom))
			pen = 'L'
			if lo[c] == hi[c] {
				break
			}
		}
	}
	return fmt.Sprintf(`<svg width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="course of the values" style="display:block;margin:4px 9px;overflow:visible">`+
		`<path d="%s" fill="none" stroke="currentColor" stroke-width="1.2" stroke-linejoin="round" opacity=".8"/></svg>`, width, height, width, height, path.String())
}
