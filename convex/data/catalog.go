package data

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gonvex/gonvex/convex/internal/npy"
)

const ccBy = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"

// The embedded files; embedded/ATTRIBUTION.md says where they come from.
var (
	//go:embed embedded/digits.csv.gz
	digitsFile []byte
	//go:embed embedded/breast_cancer.csv.gz
	breastCancerFile []byte
	//go:embed embedded/diabetes.csv.gz
	diabetesFile []byte
	//go:embed embedded/iris.csv.gz
	irisFile []byte
	//go:embed embedded/wine.csv.gz
	wineFile []byte
)

// embedded reads a file of the binary. Such a file cannot be damaged, and a
// test reads them all.
func embedded(b []byte, s Set, opts *CSVOptions) *Set {
	sum := sha256.Sum256(b)
	text, err := gunzip(b)
	if err != nil {
		panic(err)
	}
	t, err := parseCSV(text, opts)
	if err != nil {
		panic(err)
	}
	t.Name, t.Source, t.License, t.Shape = s.Name, s.Source, s.License, s.Shape
	t.SHA256 = hex.EncodeToString(sum[:])
	return t
}

// Digits is 1797 handwritten digits: 8×8 images of integers 0 to 16, ten
// classes (the test part of UCI's Optical Recognition of Handwritten Digits).
func Digits() *Set {
	return embedded(digitsFile, Set{
		Name:    "digits",
		Shape:   []int{8, 8},
		Source:  "E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, doi:10.24432/C50P49",
		License: ccBy,
	}, nil)
}

// BreastCancer is 569 tumours of 30 measurements each, benign (class 0) or
// malignant (class 1): Breast Cancer Wisconsin (Diagnostic). The features
// differ in scale by up to 10⁶: see FitStandardizer.
func BreastCancer() *Set {
	return embedded(breastCancerFile, Set{
		Name:    "breast_cancer",
		Source:  "W. Wolberg, O. Mangasarian, N. Street and W. Street (1993), Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning Repository, doi:10.24432/C5DW2B",
		License: ccBy,
	}, nil)
}

// Diabetes is 442 patients of 10 measurements each and the progression of
// their disease a year later, a regression. The features are in the units
// measured: see FitStandardizer.
func Diabetes() *Set {
	return embedded(diabetesFile, Set{
		Name:    "diabetes",
		Source:  "B. Efron, T. Hastie, I. Johnstone and R. Tibshirani (2004), Least angle regression, Annals of Statistics 32",
		License: "published by the authors with the article",
	}, &CSVOptions{Regression: true})
}

// Iris is 150 flowers of 4 measurements each, in three classes.
func Iris() *Set {
	return embedded(irisFile, Set{
		Name:    "iris",
		Source:  "R. A. Fisher (1936), The use of multiple measurements in taxonomic problems, Annals of Eugenics 7",
		License: "public domain",
	}, nil)
}

// Wine is 178 wines of 13 measurements each, of three cultivars.
func Wine() *Set {
	return embedded(wineFile, Set{
		Name:    "wine",
		Source:  "S. Aeberhard and M. Forina (1991), Wine, UCI Machine Learning Repository, doi:10.24432/C5PC7J",
		License: ccBy,
	}, nil)
}

// An archive is four IDX files named as MNIST's are.
type archive struct {
	name, folder, source, license, advice string
	classes                               []string
}

var fashionMNIST = archive{
	name:    "fashion_mnist",
	folder:  "fashion-mnist",
	source:  "H. Xiao, K. Rasul and R. Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747",
	license: "MIT, © 2017 Zalando SE",
	advice:  "run `apt-get install dataset-fashion-mnist`, or put the four files (train-images-idx3-ubyte.gz, …) into a directory and name it in GONVEX_DATA or as the argument",
	classes: []string{"T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"},
}

var mnist = archive{
	name:   "mnist",
	folder: "mnist",
	source: "Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits",
	advice: "put the four files (train-images-idx3-ubyte.gz, …) into a directory and name it in GONVEX_DATA or as the argument; FashionMNIST has the same shape and comes with a Debian package",
}

// FashionMNIST reads the 60000 training and 10000 test images of Zalando's
// articles: 28×28 greys scaled to [0, 1], ten classes. The files are looked for
// in dir, or if it is not given in $GONVEX_DATA/fashion-mnist, $GONVEX_DATA and
// where Debian's package dataset-fashion-mnist puts them.
func FashionMNIST(dir ...string) (train, test *Set, err error) { return fashionMNIST.both(dir) }

// MNIST reads the 60000 training and 10000 test images of handwritten digits:
// 28×28 greys scaled to [0, 1], ten classes. The four IDX files, compressed or
// not, are looked for in dir, or if it is not given in $GONVEX_DATA/mnist and
// $GONVEX_DATA.
func MNIST(dir ...string) (train, test *Set, err error) { return mnist.both(dir) }

func (a archive) both(dir []string) (train, test *Set, err error) {
	if train, err = a.part("train", dir); err != nil {
		return nil, nil, err
	}
	if test, err = a.part("t10k", dir); err != nil {
		return nil, nil, err
	}
	return train, test, nil
}

// part reads the part whose files start with prefix: train or t10k.
func (a archive) part(prefix string, dir []string) (*Set, error) {
	dirs := directories(dir, a.folder)
	images := prefix + "-images-idx3-ubyte"
	at, ok := find(dirs, images)
	if !ok {
		return nil, fmt.Errorf("data: %s: there is no %s in %s: %s", a.name, images, strings.Join(dirs, " or "), a.advice)
	}
	samples, err := readEither(filepath.Join(at, images))
	if err != nil {
		return nil, err
	}
	labels, err := readEither(filepath.Join(at, prefix+"-labels-idx1-ubyte"))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, a.advice)
	}
	s, err := idxSet(samples, labels, a.classes)
	if err != nil {
		return nil, err
	}
	s.Name = a.name
	if prefix != "train" {
		s.Name += " (test)"
	}
	s.Source = a.source + "; read from " + at
	s.License = a.license
	return s, nil
}

// systemData is where Debian's dataset packages put their files.
const systemData = "/usr/share/datasets"

// directories are the places to look for a set's files in, given the argument
// of its loader.
func directories(arg []string, folder string) []string {
	if len(arg) > 0 && arg[0] != "" {
		return arg[:1]
	}
	var dirs []string
	if root := os.Getenv("GONVEX_DATA"); root != "" {
		dirs = append(dirs, filepath.Join(root, folder), root)
	}
	return append(dirs, filepath.Join(systemData, folder))
}

// find returns the first of dirs that has the file, plain or compressed.
func find(dirs []string, name string) (string, bool) {
	for _, dir := range dirs {
		for _, suffix := range []string{".gz", ""} {
			if _, err := os.Stat(filepath.Join(dir, name+suffix)); err == nil {
				return dir, true
			}
		}
	}
	return "", false
}

// hashOf combines the hashes of several files.
func hashOf(sums ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(sums, "\n")))
	return hex.EncodeToString(sum[:])
}

// catalog is what Load knows: adding a data set is adding a line.
var catalog = map[string]func() (*Set, error){
	"breast_cancer":      func() (*Set, error) { return BreastCancer(), nil },
	"diabetes":           func() (*Set, error) { return Diabetes(), nil },
	"digits":             func() (*Set, error) { return Digits(), nil },
	"iris":               func() (*Set, error) { return Iris(), nil },
	"wine":               func() (*Set, error) { return Wine(), nil },
	"cifar10":            func() (*Set, error) { return cifarPart(nil, "train") },
	"cifar10_test":       func() (*Set, error) { return cifarPart(nil, "test") },
	"fashion_mnist":      func() (*Set, error) { return fashionMNIST.part("train", nil) },
	"fashion_mnist_test": func() (*Set, error) { return fashionMNIST.part("t10k", nil) },
	"mnist":              func() (*Set, error) { return mnist.part("train", nil) },
	"mnist_test":         func() (*Set, error) { return mnist.part("t10k", nil) },
}

// Names lists the data sets that Load knows, in order.
func Names() []string {
	names := make([]string, 0, len(catalog))
	for name := range catalog {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Load returns a data set by name, one of Names.
func Load(name string) (*Set, error) {
	load, ok := catalog[strings.ReplaceAll(strings.ToLower(name), "-", "_")]
	if !ok {
		return nil, fmt.Errorf("data: there is no data set %q: want one of %s; Open reads a file", name, strings.Join(Names(), ", "))
	}
	return load()
}

// Open reads a data file, whatever its name, by what is in it: CSV, LIBSVM text,
// IDX (with the labels beside it, if the files are named as MNIST's are),
// NumPy's NPY (samples only) and NPZ (arrays X and y), or CIFAR-10's binary
// records; plain or compressed with gzip. The readers of one format, such as
// ReadCSV, take options.
func Open(path string) (*Set, error) {
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	b := f.bytes
	switch {
	case len(b) == 0:
		return nil, f.in(errors.New("the file is empty"))
	case bytes.HasPrefix(b, []byte(npy.Magic)):
		X, shape, err := parseNPY(b)
		if err != nil {
			return nil, f.in(err)
		}
		s := &Set{Name: path, X: X, Source: path, SHA256: f.sha256}
		if len(shape) == 3 {
			s.Shape = shape[1:]
		}
		return s, nil
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return setFromNPZ(f, "", "")
	case isCIFAR(b):
		return openCIFAR(f)
	case isIDX(b):
		return openIDX(f)
	case bytes.IndexByte(b[:min(len(b), 4096)], 0) >= 0:
		return nil, f.in(fmt.Errorf("the format is not known: it starts with % x; want CSV, LIBSVM, IDX, NPY, NPZ or CIFAR-10 binary", b[:min(8, len(b))]))
	case isLIBSVM(b):
		return setFromLIBSVM(f)
	}
	return setFromCSV(f, nil)
}
