package display

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"reflect"
	"strings"
)

// maxPixels bounds the pictures that are encoded: an image.Uniform, say, has
// 4e18 pixels.
const maxPixels = 1 << 26

func renderImage(v any) (Bundle, bool) {
	m, ok := v.(image.Image)
	if !ok {
		return Bundle{}, false
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return Bundle{}, false
	}
	size := m.Bounds().Size()
	text := imageText(m)
	var b Bundle
	b.set(MIMEText, text)
	if size.X <= 0 || size.Y <= 0 || size.X > maxPixels || size.Y > maxPixels || size.X*size.Y > maxPixels {
		b.set(MIMEText, text+" (not shown: no pixels, or too many)")
		return b, true
	}
	var out bytes.Buffer
	if err := png.Encode(&out, m); err != nil {
		b.set(MIMEText, text+" (not shown: "+err.Error()+")")
		return b, true
	}
	b.set(MIMEPNG, out.Bytes())
	b.setSize(MIMEPNG, size.X, size.Y)
	return b, true
}

func imageText(m image.Image) string {
	size := m.Bounds().Size()
	return fmt.Sprintf("%d×%d %s", size.X, size.Y, strings.TrimPrefix(reflect.TypeOf(m).String(), "*"))
}
