package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// The embedded sets are those that are published: size, classes, a checksum of
// the numbers computed elsewhere, and the first sample.
func TestEmbedded(t *testing.T) {
	for _, c := range []struct {
		name   string
		n, d   int
		counts []int
		sum    float64
		first  []float64
	}{
		{"digits", 1797, 64, []int{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}, 561718, []float64{0, 0, 5, 13, 9}},
		{"breast_cancer", 569, 30, []int{357, 212}, 1056474.4596356, []float64{17.99, 10.38, 122.8, 1001, 0.1184}},
		{"diabetes", 442, 10, nil, 276404.2336, []float64{59, 2, 32.1, 101, 157}},
		{"iris", 150, 4, []int{50, 50, 50}, 2078.7, []float64{5.1, 3.5, 1.4, 0.2}},
		{"wine", 178, 13, []int{59, 71, 48}, 159975.295999, []float64{14.23, 1.71, 2.43, 15.6, 127}},
	} {
		s, err := Load(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Len() != c.n || s.Features() != c.d || s.Y.Len() != c.n || len(s.FeatureNames) != c.d {
			t.Errorf("%s is %d×%d with %d targets and %d names", c.name, s.Len(), s.Features(), s.Y.Len(), len(s.FeatureNames))
		}
		if !slices.Equal(s.Counts(), c.counts) {
			t.Errorf("%s has classes of %v, want %v", c.name, s.Counts(), c.counts)
		}
		if sum := mat.Sum(s.X); math.Abs(sum-c.sum) > 1e-6 {
			t.Errorf("%s sums to %v, want %v", c.name, sum, c.sum)
		}
		for j, v := range c.first {
			if s.X.At(0, j) != v {
				t.Errorf("%s: X[0,%d] is %v, want %v", c.name, j, s.X.At(0, j), v)
			}
		}
		if s.Source == "" || s.License == "" || len(s.SHA256) != 64 || s.Name != c.name {
			t.Errorf("%s does not say where it comes from: %+v", c.name, s)
		}
	}
	if d := Diabetes(); d.Y.AtVec(0) != 151 || mat.Sum(d.Y) != 67243 {
		t.Errorf("diabetes targets: first %v, sum %v", d.Y.AtVec(0), mat.Sum(d.Y))
	}
	if _, err := Load("cifar"); err == nil || !strings.Contains(err.Error(), "digits") {
		t.Errorf("an unknown name gives %v", err)
	}
	if !slices.IsSorted(Names()) || !slices.Contains(Names(), "fashion_mnist") {
		t.Error(Names())
	}
}

// Two calls share no memory.
func TestLoadedSetsAreIndependent(t *testing.T) {
	a, b := Iris(), Iris()
	a.X.Set(0, 0, 99)
	a.Y.SetVec(0, 2)
	if b.X.At(0, 0) == 99 || b.Y.AtVec(0) == 2 {
		t.Error("writing to one set changes the other")
	}
	c, _ := b.Take(10)
	c.X.Set(0, 0, 77)
	if b.X.At(0, 0) == 77 {
		t.Error("Take shares memory")
	}
}

func TestClasses(t *testing.T) {
	s, err := Digits().Classes(3, 8)
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 183+174 || !slices.Equal(s.Counts(), []int{183, 174}) || !slices.Equal(s.ClassNames, []string{"3", "8"}) {
		t.Errorf("%v", s)
	}
	all := Digits()
	for i, k := 0, 0; i < all.Len(); i++ {
		v := all.Y.AtVec(i)
		if v != 3 && v != 8 {
			continue
		}
		if want := map[float64]float64{3: -1, 8: 1}[v]; s.Y.AtVec(k) != want {
			t.Fatalf("sample %d of class %g has the label %g", i, v, s.Y.AtVec(k))
		}
		if !mat.Equal(s.X.RowView(k), all.X.RowView(i)) {
			t.Fatalf("sample %d moved", i)
		}
		k++
	}
	// Again, from labels -1 and +1, the other way round.
	r, err := s.Classes(1, 0)
	if err != nil || !slices.Equal(r.Counts(), []int{174, 183}) || r.Y.AtVec(0) != -s.Y.AtVec(0) {
		t.Errorf("%v %v", r, err)
	}
	for _, c := range [][2]int{{1, 1}, {-1, 2}, {0, 10}} {
		if _, err := all.Classes(c[0], c[1]); err == nil || !strings.Contains(err.Error(), "data: Classes(") {
			t.Errorf("Classes%v gives %v", c, err)
		}
	}
	if _, err := Diabetes().Classes(0, 1); err == nil || !strings.Contains(err.Error(), "regression") {
		t.Errorf("a regression gives %v", err)
	}
}

func TestSplit(t *testing.T) {
	s := Wine()
	train, test, err := s.Split(0.25, 7)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range s.Counts() {
		want := int(math.Round(0.25 * float64(c)))
		if test.Counts()[i] != want || train.Counts()[i] != c-want {
			t.Errorf("class %d of %d: %d train, %d test", i, c, train.Counts()[i], test.Counts()[i])
		}
	}
	if sum := mat.Sum(train.X) + mat.Sum(test.X); math.Abs(sum-mat.Sum(s.X)) > 1e-6 {
		t.Error("a sample is lost or doubled")
	}
	again, _, _ := s.Split(0.25, 7)
	other, _, _ := s.Split(0.25, 8)
	if !mat.Equal(train.X, again.X) || mat.Equal(train.X, other.X) {
		t.Error("the seed does not decide the split")
	}
	for _, f := range []float64{0, 1, -1, math.NaN(), 1e-9} {
		if _, _, err := s.Split(f, 1); err == nil {
			t.Errorf("a fraction of %g is accepted", f)
		}
	}
	if a, b, err := Diabetes().Split(0.5, 1); err != nil || a.Len() != 221 || b.Len() != 221 {
		t.Error("a regression does not split", err)
	}
}

func TestRowsTakeShuffle(t *testing.T) {
	s := Iris()
	r, err := s.Rows([]int{3, 3, 149})
	if err != nil || r.Len() != 3 || !mat.Equal(r.X.RowView(0), r.X.RowView(1)) || r.Y.AtVec(2) != 2 {
		t.Error(r, err)
	}
	p, err := s.Shuffle(1)
	if err != nil || mat.Equal(p.X, s.X) || math.Abs(mat.Sum(p.X)-mat.Sum(s.X)) > 1e-9 {
		t.Error("Shuffle", err)
	}
	for _, f := range []func() error{
		func() error { _, err := s.Take(0); return err },
		func() error { _, err := s.Take(151); return err },
		func() error { _, err := s.Rows(nil); return err },
		func() error { _, err := s.Rows([]int{150}); return err },
		func() error { _, err := Set{}.Take(1); return err },
		func() error { _, err := Set{X: s.X}.Take(1); return err },
		func() error { _, err := Set{X: s.X, Y: mat.NewVecDense(3, nil)}.Shuffle(1); return err },
		func() error { _, _, err := Set{}.Split(0.5, 1); return err },
		func() error { _, err := Set{}.Classes(0, 1); return err },
		func() error { _, err := Set{}.OneHot(); return err },
	} {
		if err := f(); err == nil || !strings.HasPrefix(err.Error(), "data: ") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAccuracy(t *testing.T) {
	s := Iris()
	y, err := s.OneHot()
	if err != nil {
		t.Fatal(err)
	}
	if a, err := s.Accuracy(y); a != 1 || err != nil {
		t.Error(a, err)
	}
	two, _ := s.Classes(0, 2)
	if a, err := two.Accuracy(two.Y); a != 1 || err != nil {
		t.Error(a, err)
	}
	flip := mat.NewVecDense(two.Len(), nil)
	flip.ScaleVec(-1, two.Y)
	flip.SetVec(0, two.Y.AtVec(0))
	if a, err := two.Accuracy(flip); a != 0.01 || err != nil {
		t.Error(a, err)
	}
	if a, _ := two.Accuracy(mat.NewDense(100, 1, nil)); a != 0 {
		t.Error("a prediction of zero is right", a)
	}
	for _, p := range []mat.Matrix{nil, mat.NewDense(3, 1, nil), mat.NewDense(150, 2, nil)} {
		if _, err := s.Accuracy(p); err == nil {
			t.Error("accepts predictions of the wrong shape")
		}
	}
}

func TestSummary(t *testing.T) {
	s := Digits()
	for _, want := range []string{"digits", "1797", "64 (8×8 images)", "UCI", "CC BY", s.SHA256, "0: 178"} {
		if !strings.Contains(s.String(), want) {
			t.Errorf("String lacks %q:\n%v", want, s)
		}
	}
	if h := s.HTML(); !strings.Contains(h, "<table") || !strings.Contains(h, "data:image/png;base64,") {
		t.Error(h[:200])
	}
	evil := Set{Name: "<script>", X: mat.NewDense(1, 1, nil), Y: mat.NewVecDense(1, nil)}
	if strings.Contains(evil.HTML(), "<script>") {
		t.Error("the name is not escaped")
	}
	_ = Set{}.String()
	_ = Set{}.HTML()
	if d := Diabetes().String(); !strings.Contains(d, "25 to 346") {
		t.Error(d)
	}
}

func TestImages(t *testing.T) {
	s := Digits()
	img, err := s.Images(10)
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() != 4*9-1 || b.Dy() != 3*9-1 {
		t.Error(b)
	}
	if r, _, _, _ := img.At(2, 0).RGBA(); r>>8 != 5*255/16 && r>>8 != 80 {
		t.Error("pixel (0,2) of the first digit is 5 of 16, drawn", r>>8)
	}
	colour := mat.NewDense(1, 12, []float64{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0})
	img, err = Mosaic(colour, []int{2, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	if r, g, b, _ := img.At(1, 0).RGBA(); r != 0 || g != 0xffff || b != 0 {
		t.Error("planes are mixed up", r, g, b)
	}
	if _, err := Mosaic(mat.NewDense(2, 4, []float64{1, math.NaN(), math.Inf(1), 1, 1, 1, 1, 1}), []int{2, 2}); err != nil {
		t.Error("constant images with NaN", err)
	}
	for _, shape := range [][]int{nil, {8}, {8, 7}, {0, 64}, {4, 4, 4}, {math.MaxInt, 2}} {
		if _, err := Mosaic(s.X, shape); err == nil {
			t.Errorf("shape %v is accepted", shape)
		}
	}
	if _, err := Wine().Images(1); err == nil {
		t.Error("wine has no images")
	}
	if _, err := s.Images(0); err == nil {
		t.Error("no images")
	}
}

func TestStandardizer(t *testing.T) {
	train, test, _ := BreastCancer().Split(0.3, 1)
	z, err := FitStandardizer(train.X)
	if err != nil {
		t.Fatal(err)
	}
	X, err := z.Apply(train.X)
	if err != nil {
		t.Fatal(err)
	}
	n, d := X.Dims()
	for j := range d {
		c := X.ColView(j)
		if mean := mat.Sum(c) / float64(n); math.Abs(mean) > 1e-12 {
			t.Errorf("column %d has mean %g", j, mean)
		}
		if v := mat.Dot(c, c) / float64(n); math.Abs(v-1) > 1e-10 {
			t.Errorf("column %d has variance %g", j, v)
		}
	}
	T, err := z.Apply(test.X)
	if err != nil || math.Abs(T.At(5, 3)*z.Scale[3]+z.Mean[3]-test.X.At(5, 3)) > 1e-9 {
		t.Error("new data are not mapped by the same rule", err)
	}
	if c, err := FitStandardizer(mat.NewDense(3, 2, []float64{0.1, 1, 0.1, 2, 0.1, 3})); err != nil || c.Scale[0] != 1 {
		t.Error("a constant column must only be centred", c, err)
	}
	u, err := FitUnitColumns(train.X)
	if err != nil {
		t.Fatal(err)
	}
	U, _ := u.Apply(train.X)
	if norm := mat.Norm(U.ColView(4), 2); math.Abs(norm-1) > 1e-12 {
		t.Error("unit column has norm", norm)
	}
	bad := mat.NewDense(1, 1, []float64{math.NaN()})
	for _, f := range []func() error{
		func() error { _, err := FitStandardizer(nil); return err },
		func() error { _, err := FitStandardizer(bad); return err },
		func() error { _, err := FitUnitColumns(&mat.Dense{}); return err },
		func() error { _, err := z.Apply(mat.NewDense(2, 3, nil)); return err },
		func() error { _, err := z.Apply(nil); return err },
		func() error { _, err := (Standardizer{}).Apply(test.X); return err },
	} {
		if err := f(); err == nil || !strings.HasPrefix(err.Error(), "data: ") {
			t.Errorf("got %v", err)
		}
	}
}

func TestWithBias(t *testing.T) {
	X := WithBias(mat.NewDense(2, 2, []float64{1, 2, 3, 4}))
	if !mat.Equal(X, mat.NewDense(2, 3, []float64{1, 2, 1, 3, 4, 1})) {
		t.Error(mat.Formatted(X))
	}
	if WithBias(nil) != nil || WithBias(&mat.Dense{}) != nil {
		t.Error("nothing with a bias is something")
	}
}

func TestGenerators(t *testing.T) {
	type xy func(seed uint64) (*mat.Dense, *mat.VecDense)
	for name, make := range map[string]xy{
		"Spiral":    func(s uint64) (*mat.Dense, *mat.VecDense) { return Spiral(201, 0.1, s) },
		"Moons":     func(s uint64) (*mat.Dense, *mat.VecDense) { return Moons(201, 0.1, s) },
		"Circles":   func(s uint64) (*mat.Dense, *mat.VecDense) { return Circles(201, 0.1, s) },
		"Planted":   func(s uint64) (*mat.Dense, *mat.VecDense) { return PlantedReLU(201, 5, 3, 0.1, s) },
		"Synthetic": func(s uint64) (*mat.Dense, *mat.VecDense) { return SyntheticClassification(201, 5, 20, 10, s) },
	} {
		X, y := make(1)
		n, _ := X.Dims()
		if n != 201 || y.Len() != 201 {
			t.Errorf("%s: %d rows, %d targets", name, n, y.Len())
		}
		if _, _, err := finiteDims(name, X); err != nil {
			t.Error(err)
		}
		X1, y1 := make(1)
		X2, _ := make(2)
		if !mat.Equal(X, X1) || !mat.Equal(y, y1) || mat.Equal(X, X2) {
			t.Errorf("%s: the seed does not decide", name)
		}
		plus := 0
		for i := range n {
			if y.AtVec(i) == 1 {
				plus++
			} else if y.AtVec(i) != -1 && name != "Planted" {
				t.Errorf("%s: label %g", name, y.AtVec(i))
			}
		}
		if name != "Planted" && name != "Synthetic" && (plus < 100 || plus > 101) {
			t.Errorf("%s: %d of 201 are +1", name, plus)
		}
	}
	// Without noise, points lie on their curves.
	X, y := Circles(50, 0, 1)
	for i := range 50 {
		if r := math.Hypot(X.At(i, 0), X.At(i, 1)); math.Abs(r-(3-y.AtVec(i))/4) > 1e-12 {
			t.Errorf("circle point at radius %g with label %g", r, y.AtVec(i))
		}
	}
	X, y = Toy1D()
	if n, d := X.Dims(); n != 5 || d != 1 || y.AtVec(1) != -1 {
		t.Error("Toy1D")
	}
}

// The covariance of the synthetic problem has the condition number asked for,
// and a sample is negative exactly where the (hidden) half-spaces all miss it.
func TestSyntheticClassification(t *testing.T) {
	const n, d, kappa = 20000, 4, 50
	X, y := SyntheticClassification(n, d, 100, kappa, 3)
	var cov mat.SymDense
	cov.SymOuterK(1.0/n, X.T())
	var eig mat.EigenSym
	eig.Factorize(&cov, false)
	v := eig.Values(nil)
	if math.Abs(v[0]-1) > 0.1 || math.Abs(v[d-1]/kappa-1) > 0.1 {
		t.Errorf("covariance has eigenvalues %v, want 1 to %d", v, kappa)
	}
	neg := 0
	for i := range n {
		if y.AtVec(i) < 0 {
			neg++
		}
	}
	if neg == 0 || neg > n/2 {
		t.Errorf("%d of %d are negative: want fewer than half, and some", neg, n)
	}
}

func TestGeneratorsRefuse(t *testing.T) {
	for _, f := range []func(){
		func() { Spiral(1, 0, 1) },
		func() { Moons(5, -1, 1) },
		func() { Circles(5, math.NaN(), 1) },
		func() { PlantedReLU(5, 0, 1, 0, 1) },
		func() { SyntheticClassification(5, 1, 1, 1, 1) },
		func() { SyntheticClassification(5, 2, 1, 0.5, 1) },
	} {
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !strings.HasPrefix(err.Error(), "data: ") {
					t.Errorf("recovered %v", err)
				}
			}()
			f()
		}()
	}
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadCSV(t *testing.T) {
	for _, c := range []struct {
		text    string
		opts    *CSVOptions
		x       []float64
		y       []float64
		classes string
		names   string
	}{
		{text: "a,b,y\n1,2,0\n3,4,1\n", x: []float64{1, 2, 3, 4}, y: []float64{0, 1}, classes: "0 1", names: "a b"},
		{text: "\ufeffa,b,y\r\n1,2,0\r\n3,4,1", x: []float64{1, 2, 3, 4}, y: []float64{0, 1}, classes: "0 1", names: "a b"},
		{text: "1,2,cat\n3,4,dog\n5,6,cat\n", x: []float64{1, 2, 3, 4, 5, 6}, y: []float64{0, 1, 0}, classes: "cat dog"},
		{text: "1;2;-1\n3;4;1\n", x: []float64{1, 2, 3, 4}, y: []float64{-1, 1}, classes: "-1 +1"},
		{text: "1\t2\t0.5\n3\t4\t1\n", x: []float64{1, 2, 3, 4}, y: []float64{0.5, 1}},
		{text: "y,a\n2,1\n3,1\n", opts: &CSVOptions{Label: "y"}, x: []float64{1, 1}, y: []float64{0, 1}, classes: "2 3", names: "a"},
		{text: "y,a\n2,1\n3,1\n", opts: &CSVOptions{Label: "-2", Regression: true}, x: []float64{1, 1}, y: []float64{2, 3}, names: "a"},
		{text: "2,1\n3,1\n", opts: &CSVOptions{Label: "0"}, x: []float64{1, 1}, y: []float64{0, 1}, classes: "2 3"},
		{text: "word,1\nother,2\n", opts: &CSVOptions{Label: "0"}, x: []float64{1, 2}, y: []float64{1, 0}, classes: "other word"},
		{text: "a,b\n1,2\n,3\n4,?\n5,6\n", opts: &CSVOptions{SkipMissing: true, NoLabel: true}, x: []float64{1, 2, 5, 6}, names: "a b"},
		{text: "id,a,y,note\nS1,1,0,x\nS2,2,1,\n", opts: &CSVOptions{Drop: []string{"id", "-1"}, SkipMissing: true}, x: []float64{1, 2}, y: []float64{0, 1}, classes: "0 1", names: "a"},
		{text: "S1,1,0\nS2,2,1\n", opts: &CSVOptions{Drop: []string{"0"}}, x: []float64{1, 2}, y: []float64{0, 1}, classes: "0 1"},
		{text: "0,1,target\n1,2,7\n", x: []float64{1, 2}, y: []float64{0}, classes: "7", names: "0 1"},
		{text: "\"x, y\",z\n\"1\", 2\n", x: []float64{1}, y: []float64{0}, classes: "2", names: "x, y"},
	} {
		s, err := ReadCSV(write(t, "t.csv", []byte(c.text)), c.opts)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if !slices.Equal(s.X.RawMatrix().Data, c.x) {
			t.Errorf("%q: X is %v, want %v", c.text, s.X.RawMatrix().Data, c.x)
		}
		if (s.Y == nil) != (c.y == nil) || s.Y != nil && !slices.Equal(s.Y.RawVector().Data, c.y) {
			t.Errorf("%q: Y is %v, want %v", c.text, s.Y, c.y)
		}
		if got := strings.Join(s.ClassNames, " "); got != c.classes {
			t.Errorf("%q: classes %q, want %q", c.text, got, c.classes)
		}
		if got := strings.Join(s.FeatureNames, " "); got != c.names {
			t.Errorf("%q: names %q, want %q", c.text, got, c.names)
		}
	}
}

func TestReadCSVErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		opts *CSVOptions
		want string
	}{
		{"", nil, "the file is empty"},
		{"a,b\n", nil, "no row of data"},
		{"a,b\n1\n", nil, "line 2 has 1 columns but the first has 2"},
		{"a,b,y\n1,2,0\n3,x,1\n", nil, `line 3, column 3 (field 1, b): "x" is not a number`},
		{"a,b,y\n1,2,0\n3,,1\n", nil, "line 3, column 3 (field 1, b): a value is missing"},
		{"a,y\n1,\n", nil, "line 2, column 3 (field 1, y): the target is missing"},
		{"a,y\ninf,1\n", nil, `line 2, column 1 (field 0, a): "inf" is not finite`},
		{"a,y\n1e999,1\n", nil, `"1e999" is not finite`},
		{"a,y\n1,inf\n", nil, `line 2: the target "inf" is not finite`},
		{"a,y\n1,\"2\n", nil, "line 2"},
		{"a,y\n1,2\n", &CSVOptions{Label: "z"}, `label is "z": the columns are a, y`},
		{"1,2\n1,2\n", &CSVOptions{Label: "z"}, "has no header"},
		{"a,y\n1,2\n", &CSVOptions{Label: "2"}, "there are 2 columns"},
		{"a,y\n1,w\n", &CSVOptions{Regression: true}, `line 2: the target "w" is not a number`},
		{"1\n2\n", nil, "one column only"},
		{"a,y\n1,2\n", &CSVOptions{Drop: []string{"id"}}, `drop is "id": the columns are a, y`},
		{"a,y\n1,2\n", &CSVOptions{Drop: []string{"y"}, Label: "y"}, `label is "y", which is also dropped`},
		{"a,y\n1,2\n", &CSVOptions{Drop: []string{"y", "a"}}, "all columns are dropped"},
		{"id,y\nw,2\n", nil, "name this column in Drop"},
	} {
		path := write(t, "t.csv", []byte(c.text))
		_, err := ReadCSV(path, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "data: "+path) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
	if _, err := ReadCSV("/does/not/exist.csv", nil); err == nil || !strings.Contains(err.Error(), "cannot read /does/not/exist.csv: no such file") {
		t.Error(err)
	}
	if _, err := ReadCSV("", nil); err == nil {
		t.Error("an empty name is accepted")
	}
}

// idx encodes a small IDX file of bytes.
func idx(shape []int, values []byte) []byte {
	b := []byte{0, 0, 8, byte(len(shape))}
	for _, v := range shape {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return append(b, values...)
}

func zipped(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(b)
	w.Close()
	return buf.Bytes()
}

func TestReadIDX(t *testing.T) {
	X, shape, err := ReadIDX(write(t, "x.gz", zipped(idx([]int{2, 2, 3}, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255}))))
	if err != nil {
		t.Fatal(err)
	}
	if n, d := X.Dims(); n != 2 || d != 6 || X.At(1, 5) != 255 || !slices.Equal(shape, []int{2, 2, 3}) {
		t.Error(n, d, shape)
	}
	for kind, body := range map[byte][]byte{
		0x09: {0xfe}, 0x0b: {0xff, 0xfe}, 0x0c: {0xff, 0xff, 0xff, 0xfe},
		0x0d: binary.BigEndian.AppendUint32(nil, math.Float32bits(-2)), 0x0e: binary.BigEndian.AppendUint64(nil, math.Float64bits(-2)),
	} {
		b := append([]byte{0, 0, kind, 1, 0, 0, 0, 1}, body...)
		if X, _, err := parseIDX(b, 1); err != nil || X.At(0, 0) != -2 {
			t.Errorf("type %#x: %v %v", kind, X, err)
		}
	}
	for want, b := range map[string][]byte{
		"not an IDX file": {1, 2, 3},
		"cut short":       {0, 0, 8, 3, 0, 0},
		"damaged":         idx([]int{2, 2}, []byte{1, 2, 3}),
		"more than":       append([]byte{0, 0, 8, 2}, bytes.Repeat([]byte{0xff}, 8)...),
		"size 0":          idx([]int{0, 2}, nil),
		"is NaN":          binary.BigEndian.AppendUint32([]byte{0, 0, 0x0d, 1, 0, 0, 0, 1}, math.Float32bits(float32(math.NaN()))),
	} {
		if _, _, err := ReadIDX(write(t, "x", b)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, _, err := ReadIDX(write(t, "x.gz", zipped(idx([]int{2}, []byte{1, 2}))[:20])); err == nil || !strings.Contains(err.Error(), "damaged gzip") {
		t.Error(err)
	}
}

// mnistDir lays out the four files of MNIST with 4 and 2 samples of 2×2.
func mnistDir(t *testing.T) string {
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"train-images-idx3-ubyte.gz": zipped(idx([]int{4, 2, 2}, []byte{0, 255, 0, 0, 51, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1})),
		"train-labels-idx1-ubyte.gz": zipped(idx([]int{4}, []byte{9, 0, 1, 2})),
		"t10k-images-idx3-ubyte":     idx([]int{2, 2, 2}, make([]byte, 8)),
		"t10k-labels-idx1-ubyte":     idx([]int{2}, []byte{0, 1}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFashionMNISTLayout(t *testing.T) {
	dir := mnistDir(t)
	train, test, err := FashionMNIST(dir)
	if err != nil {
		t.Fatal(err)
	}
	if train.Len() != 4 || test.Len() != 2 || train.X.At(0, 1) != 1 || train.X.At(1, 0) != 0.2 || !slices.Equal(train.Shape, []int{2, 2}) {
		t.Error(train, test)
	}
	if c := train.Counts(); c[9] != 1 || train.ClassNames[9] != "ankle boot" {
		t.Error(c)
	}
	t.Setenv("GONVEX_DATA", dir)
	if s, err := Load("mnist"); err != nil || s.Len() != 4 || len(s.ClassNames) != 4 {
		t.Error(s, err)
	}
	if s, err := Load("fashion-mnist-test"); err != nil || s.Len() != 2 {
		t.Error(s, err)
	}
	if s, err := Open(filepath.Join(dir, "train-images-idx3-ubyte.gz")); err != nil || s.Y == nil || s.Y.AtVec(0) != 3 || s.ClassNames[3] != "9" {
		t.Error(s, err)
	}

	if err := os.WriteFile(filepath.Join(dir, "t10k-labels-idx1-ubyte"), idx([]int{1}, []byte{1}), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := FashionMNIST(dir); err == nil || !strings.Contains(err.Error(), "1 labels but") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "t10k-labels-idx1-ubyte"), idx([]int{2}, []byte{1, 10}), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := FashionMNIST(dir); err == nil || !strings.Contains(err.Error(), "class id from 0 to 9") {
		t.Error(err)
	}
	os.Remove(filepath.Join(dir, "t10k-labels-idx1-ubyte"))
	if _, _, err := FashionMNIST(dir); err == nil || !strings.Contains(err.Error(), "apt-get install dataset-fashion-mnist") {
		t.Error(err)
	}
	if _, _, err := FashionMNIST(t.TempDir()); err == nil || !strings.Contains(err.Error(), "apt-get install dataset-fashion-mnist") || !strings.Contains(err.Error(), "GONVEX_DATA") {
		t.Error(err)
	}
}

// The real files, where they are installed.
func TestFashionMNIST(t *testing.T) {
	if _, err := os.Stat(filepath.Join(systemData, "fashion-mnist")); err != nil {
		t.Skip("dataset-fashion-mnist is not installed")
	}
	test, err := fashionMNIST.part("t10k", nil)
	if err != nil {
		t.Fatal(err)
	}
	if test.Len() != 10000 || test.Features() != 784 || !slices.Equal(test.Shape, []int{28, 28}) {
		t.Error(test)
	}
	for i, c := range test.Counts() {
		if c != 1000 {
			t.Errorf("class %d has %d", i, c)
		}
	}
	if lo, hi := mat.Min(test.X), mat.Max(test.X); lo != 0 || hi != 1 {
		t.Error(lo, hi)
	}
}

func TestOpen(t *testing.T) {
	if s, err := Open(write(t, "x.dat", []byte("a,y\n1,2\n"))); err != nil || s.Len() != 1 {
		t.Error(s, err)
	}
	if s, err := Open(write(t, "x.dat", zipped([]byte("a,y\n1,2\n")))); err != nil || s.Len() != 1 {
		t.Error(s, err)
	}
	for want, b := range map[string][]byte{"is empty": nil, "format is not known": {0x7f, 'E', 'L', 'F', 0, 0}} {
		if _, err := Open(write(t, "x", b)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "cannot read") {
		t.Error(err)
	}
}

func sound(t *testing.T, s *Set) {
	t.Helper()
	if s.Len() == 0 {
		t.Fatal("no error and no samples")
	}
	if _, _, err := finiteDims("fuzz", s.X); err != nil {
		t.Fatal(err)
	}
	if s.Y != nil {
		if s.Y.Len() != s.Len() {
			t.Fatalf("%d samples, %d targets", s.Len(), s.Y.Len())
		}
		if _, err := s.ids(); err != nil && s.ClassNames != nil {
			t.Fatal(err)
		}
	}
	if s.FeatureNames != nil && len(s.FeatureNames) != s.Features() {
		t.Fatalf("%d names for %d features", len(s.FeatureNames), s.Features())
	}
	_, _ = s.String(), s.HTML()
}

func smallFiles(f *testing.F) {
	old := maxValues
	maxValues = 1 << 16
	f.Cleanup(func() { maxValues = old })
}

func FuzzCSV(f *testing.F) {
	smallFiles(f)
	f.Add([]byte("a,b,y\n1,2,0\n3,4,1\n"), "", false, false)
	f.Add([]byte("1;2;cat\n3;4;dog\n"), "-1", true, true)
	f.Fuzz(func(t *testing.T, b []byte, label string, none, skip bool) {
		s, err := parseCSV(b, &CSVOptions{Label: label, NoLabel: none, SkipMissing: skip})
		if err == nil {
			sound(t, s)
		}
	})
}

func FuzzIDX(f *testing.F) {
	smallFiles(f)
	f.Add(idx([]int{2, 2, 2}, make([]byte, 8)))
	f.Fuzz(func(t *testing.T, b []byte) {
		X, shape, err := parseIDX(b, 1)
		if err == nil {
			sound(t, &Set{X: X})
			if n, _ := X.Dims(); n != shape[0] {
				t.Fatal(n, shape)
			}
		}
	})
}

func ExampleSet() {
	train, test, err := Iris().Split(0.2, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	z, err := FitStandardizer(train.X)
	if err != nil {
		fmt.Println(err)
		return
	}
	test.X, err = z.Apply(test.X) // the same rule for new data
	fmt.Println(train.Len(), test.Len(), test.Counts(), err)
	// Output: 120 30 [10 10 10] <nil>
}

func ExampleSet_Classes() {
	s, err := Digits().Classes(3, 8)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Len(), "images:", s.ClassNames[0], "is -1 and", s.ClassNames[1], "is +1")
	// Output: 357 images: 3 is -1 and 8 is +1
}
