package figure

import (
	"math"
	"math/cmplx"

	"gonum.org/v1/gonum/dsp/fourier"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/plot"
)

// Spectrum adds the amplitude of the unitary discrete Fourier transform of a
// real signal u against frequency in cycles a sample, from 0 to ½, in colour k.
// A filter of d numbers multiplies the amplitude of its input by √d times this.
func Spectrum(p *plot.Plot, k int, label string, u []float64) {
	if len(u) == 0 {
		complain(p, "Spectrum %q: the signal is empty", label)
		return
	}
	fft := fourier.NewFFT(len(u))
	var at, size []float64
	for i, c := range fft.Coefficients(nil, u) {
		at, size = append(at, fft.Freq(i)), append(size, cmplx.Abs(c))
	}
	floats.Scale(1/math.Sqrt(float64(len(u))), size)
	Curve(p, k, label, at, size)
	Dots(p, k, "", at, size)
}
