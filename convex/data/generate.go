package data

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// The generators take no context and return no error, so that one line in a
// cell makes data. An argument that makes no sense panics with a message that
// names it, as the shapes of package mat do.

func wantSamples(who string, n, least int) {
	if n < least {
		panic(fmt.Errorf("data: %s: n is %d: want at least %d samples", who, n, least))
	}
}

func wantNoise(who string, noise float64) {
	if !(noise >= 0) || math.IsInf(noise, 1) {
		panic(fmt.Errorf("data: %s: noise is %g: want a standard deviation of 0 or more", who, noise))
	}
}

// Spiral makes n points of two interleaved spiral arms in the plane (n×2),
// each of one and a half turns and radius 1, with Gaussian noise of the given
// standard deviation. The labels are -1 and +1, one an arm, in turn.
func Spiral(n int, noise float64, seed uint64) (*mat.Dense, *mat.VecDense) {
	wantSamples("Spiral", n, 2)
	wantNoise("Spiral", noise)
	rnd := newRand(seed, "spiral")
	X, y := mat.NewDense(n, 2, nil), mat.NewVecDense(n, nil)
	for i := range n {
		label := float64(2*(i%2) - 1)
		r := math.Sqrt((float64(i/2) + 0.5) / float64((n+1)/2)) // even density over the disk
		angle := 3 * math.Pi * r
		X.Set(i, 0, label*r*math.Cos(angle)+noise*rnd.NormFloat64())
		X.Set(i, 1, label*r*math.Sin(angle)+noise*rnd.NormFloat64())
		y.SetVec(i, label)
	}
	return X, y
}

// Moons makes n points of two interleaved half circles in the plane (n×2), of
// radius 1 and centres (0, 0) and (1, ½), with Gaussian noise of the given
// standard deviation. The labels are -1 for the upper and +1 for the lower, in
// turn.
func Moons(n int, noise float64, seed uint64) (*mat.Dense, *mat.VecDense) {
	wantSamples("Moons", n, 2)
	wantNoise("Moons", noise)
	rnd := newRand(seed, "moons")
	X, y := mat.NewDense(n, 2, nil), mat.NewVecDense(n, nil)
	for i := range n {
		angle := math.Pi * rnd.Float64()
		a, b, label := math.Cos(angle), math.Sin(angle), -1.0
		if i%2 == 1 {
			a, b, label = 1-a, 0.5-b, 1
		}
		X.Set(i, 0, a+noise*rnd.NormFloat64())
		X.Set(i, 1, b+noise*rnd.NormFloat64())
		y.SetVec(i, label)
	}
	return X, y
}

// Circles makes n points of two concentric circles in the plane (n×2), of
// radius 1 (label -1) and ½ (label +1) in turn, with Gaussian noise of the
// given standard deviation.
func Circles(n int, noise float64, seed uint64) (*mat.Dense, *mat.VecDense) {
	wantSamples("Circles", n, 2)
	wantNoise("Circles", noise)
	rnd := newRand(seed, "circles")
	X, y := mat.NewDense(n, 2, nil), mat.NewVecDense(n, nil)
	for i := range n {
		angle := 2 * math.Pi * rnd.Float64()
		r := 1 / float64(1+i%2)
		X.Set(i, 0, r*math.Cos(angle)+noise*rnd.NormFloat64())
		X.Set(i, 1, r*math.Sin(angle)+noise*rnd.NormFloat64())
		y.SetVec(i, float64(2*(i%2)-1))
	}
	return X, y
}

// Toy1D returns the five points of the one-dimensional example in Pilanci and
// Ergen, "Neural networks are convex regularizers" (ICML 2020): x = -2, …, 2
// (5×1) and y = 1, -1, 1, 1, -1. The paper's network has a bias: WithBias(X).
func Toy1D() (*mat.Dense, *mat.VecDense) {
	return mat.NewDense(5, 1, []float64{-2, -1, 0, 1, 2}), mat.NewVecDense(5, []float64{1, -1, 1, 1, -1})
}

// PlantedReLU makes a regression whose targets a network explains: X is n×d
// standard Gaussian and y = Σ_j max(X u_j, 0) a_j + noise, over m neurons with
// u_j uniform on the unit sphere and a_j = ±1/√m, and Gaussian noise of the
// given standard deviation.
func PlantedReLU(n, d, m int, noise float64, seed uint64) (*mat.Dense, *mat.VecDense) {
	wantSamples("PlantedReLU", n, 1)
	wantNoise("PlantedReLU", noise)
	if d < 1 || m < 1 {
		panic(fmt.Errorf("data: PlantedReLU: d is %d and m is %d: want at least 1 feature and 1 neuron", d, m))
	}
	rnd := newRand(seed, "planted relu")
	U := gaussian(m, d, rnd.NormFloat64)
	for j := range m {
		row := mat.NewVecDense(d, U.RawRowView(j))
		row.ScaleVec(1/mat.Norm(row, 2), row)
	}
	X := gaussian(n, d, rnd.NormFloat64)
	var H mat.Dense
	H.Mul(X, U.T())
	y := mat.NewVecDense(n, nil)
	for i := range n {
		f := 0.0
		for j, v := range H.RawRowView(i) {
			f += max(v, 0) * float64(1-2*(j%2))
		}
		y.SetVec(i, f/math.Sqrt(float64(m))+noise*rnd.NormFloat64())
	}
	return X, y
}

// SyntheticClassification makes the two-class problem of Mishkin, Sahiner and
// Pilanci, "Fast convex optimization for two-layer ReLU networks" (ICML 2022,
// figures 1 and 6), as the authors' code makes it: the rows of X (n×d) are
// Gaussian with a covariance of condition number kappa ≥ 1 and eigenvalues in
// [1, kappa], and the label is the sign of a random ReLU network with the given
// number of hidden units.
//
// The weights of that network are uniform on [0, 1), its output layer
// included, although the code's description says Gaussian. Its output is
// therefore never negative, and a label is -1 only where every unit is off:
// the classes are nearly separated by a half-space. The numbers drawn are not
// those of NumPy's generator, so the data agree in distribution only.
func SyntheticClassification(n, d, hidden int, kappa float64, seed uint64) (*mat.Dense, *mat.VecDense) {
	wantSamples("SyntheticClassification", n, 1)
	if d < 2 || hidden < 1 {
		panic(fmt.Errorf("data: SyntheticClassification: d is %d and hidden is %d: want at least 2 features and 1 hidden unit", d, hidden))
	}
	if !(kappa >= 1) || math.IsInf(kappa, 1) {
		panic(fmt.Errorf("data: SyntheticClassification: kappa is %g: want a condition number of 1 or more", kappa))
	}
	rnd := newRand(seed, "synthetic classification")
	W1 := gaussian(hidden, d, rnd.Float64)
	w2 := make([]float64, hidden)
	for j := range w2 {
		w2[j] = rnd.Float64()
	}

	// X = Z Λ^½ Q has rows with covariance QᵀΛQ. Q is uniform among orthogonal
	// matrices: the QR factor of a Gaussian matrix, with R's diagonal positive.
	var qr mat.QR
	qr.Factorize(gaussian(d, d, rnd.NormFloat64))
	var Q, R mat.Dense
	qr.QTo(&Q)
	qr.RTo(&R)
	for j := range d {
		scale := kappa // the first two eigenvalues are kappa and 1
		switch {
		case j == 1:
			scale = 1
		case j > 1:
			scale = 1 + (kappa-1)*rnd.Float64()
		}
		scale = math.Copysign(math.Sqrt(scale), R.At(j, j))
		for i := range d {
			Q.Set(i, j, Q.At(i, j)*scale)
		}
	}
	var X, H mat.Dense
	X.Mul(gaussian(n, d, rnd.NormFloat64), Q.T())
	H.Mul(&X, W1.T())
	y := mat.NewVecDense(n, nil)
	for i := range n {
		f := 0.0
		for j, v := range H.RawRowView(i) {
			f += max(v, 0) * w2[j]
		}
		y.SetVec(i, -1)
		if f > 0 {
			y.SetVec(i, 1)
		}
	}
	return &X, y
}

// gaussian fills an n×d matrix with independent draws.
func gaussian(n, d int, draw func() float64) *mat.Dense {
	x := make([]float64, n*d)
	for i := range x {
		x[i] = draw()
	}
	return mat.NewDense(n, d, x)
}
