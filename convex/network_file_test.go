package convex_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/data"
)

// predictions are those of a network on the data of a problem.
func predictions(t *testing.T, p convex.Problem, net *convex.Network) *mat.Dense {
	t.Helper()
	var f *mat.Dense
	var err error
	if len(p.Patches) > 0 {
		f, err = net.PredictPatches(p.Patches)
	} else {
		f, err = net.Predict(p.X)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A network of every architecture, saved and loaded, predicts the same and has
// the same objective, here and in another process.
func TestSaveNetwork(t *testing.T) {
	if file := os.Getenv("GONVEX_LOAD"); file != "" { // the other process
		net, err := convex.LoadNetwork(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := convex.ReadProblem(os.Getenv("GONVEX_PROBLEM"))
		if err != nil {
			t.Fatal(err)
		}
		v, err := net.Objective(p)
		fmt.Printf("objective %x %v\n", v, err)
		return
	}
	files, _ := filepath.Glob("testdata/problems/*.json")
	seen := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, ".expected.json") {
			continue
		}
		p, err := convex.ReadProblem(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, bias := range []bool{false, true} {
			p.OutputBias = bias
			t.Run(fmt.Sprint(p.Name, bias), func(t *testing.T) {
				sol, err := convex.Solve(t.Context(), p, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := sol.NetworkObjective
				saved := filepath.Join(t.TempDir(), "net.npz")
				if err := sol.Network.Save(saved); err != nil {
					t.Fatal(err)
				}
				net, err := convex.LoadNetwork(saved)
				if err != nil {
					t.Fatal(err)
				}
				if v, err := net.Objective(p); err != nil || math.Abs(v-want) > 1e-14*math.Abs(want) {
					t.Errorf("objective %.17g after loading, %.17g before (%v)", v, want, err)
				}
				if !mat.Equal(predictions(t, p, net), predictions(t, p, sol.Network)) {
					t.Error("predictions on the data changed")
				}
				if len(p.Patches) == 0 {
					rng := rand.New(rand.NewPCG(51, 0))
					X := randomDense(rng, 7, net.Inputs)
					a, err := sol.Network.Predict(X)
					if err != nil {
						t.Fatal(err)
					}
					if b, err := net.Predict(X); err != nil || !mat.EqualApprox(a, b, 1e-14) {
						t.Errorf("predictions elsewhere changed (%v)", err)
					}
				}
				again := filepath.Join(t.TempDir(), "again.npz")
				if err := net.Save(again); err != nil {
					t.Fatal(err)
				}
				a, _ := os.ReadFile(saved)
				if b, _ := os.ReadFile(again); string(a) != string(b) {
					t.Error("a loaded network saves to another file")
				}
				if bias || seen[p.Arch.Name()] {
					return
				}
				seen[p.Arch.Name()] = true
				cmd := exec.Command(os.Args[0], "-test.run=^TestSaveNetwork$")
				cmd.Env = append(os.Environ(), "GONVEX_LOAD="+saved, "GONVEX_PROBLEM="+file)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				var text string
				if _, err := fmt.Sscanf(string(out), "objective %s", &text); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if v, err := strconv.ParseFloat(text, 64); err != nil || math.Abs(v-want) > 1e-14*math.Abs(want) {
					t.Errorf("the other process has objective %s, want %x", text, want)
				}
			})
		}
	}
	for _, name := range convex.Archs() {
		if !seen[name] {
			t.Errorf("no network of architecture %s was saved", name)
		}
	}
}

func TestLoadNetworkErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.npz"):     "no such file",
		dir:                                "not a regular file",
		write("text.npz", "hello"):         "damaged archive",
		"testdata/problems/README.missing": "no such file",
	} {
		if _, err := convex.LoadNetwork(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
	}
	if err := (*convex.Network)(nil).Save(filepath.Join(dir, "x.npz")); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Error(err)
	}
	own := &convex.Network{Arch: "mine", Inputs: 1, Outputs: 1}
	if err := own.Save(filepath.Join(dir, "x.npz")); err == nil || !strings.Contains(err.Error(), "mine") {
		t.Error(err)
	}
	bad := &convex.Network{Arch: "relu", Inputs: 2, Outputs: 1, Hidden: mat.NewDense(2, 2, nil), Output: mat.NewDense(3, 1, nil)}
	if err := bad.Save(filepath.Join(dir, "x.npz")); err == nil || !strings.Contains(err.Error(), "output is 3×1") {
		t.Error(err)
	}
	bad.Output = mat.NewDense(2, 1, []float64{1, math.NaN()})
	if err := bad.Save(filepath.Join(dir, "x.npz")); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Error(err)
	}
	bad.Hidden = mat.NewDense(2, 3, nil)
	bad.Output = mat.NewDense(2, 1, nil)
	if err := bad.Save(filepath.Join(dir, "x.npz")); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Error(err)
	}
}

// A solution over patterns that a search found, one of which was off on every
// sample, is proved again from its file.
func TestCertifySearched(t *testing.T) {
	x, y := data.Moons(60, 0.2, 1)
	p := convex.Problem{X: data.WithBias(x), Y: y, Loss: convex.Logistic, Beta: 0.1}
	sol, err := convex.Solve(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s.json")
	if err := sol.Save(path); err != nil {
		t.Fatal(err)
	}
	again, _, err := convex.CertifyFile(t.Context(), p, path, nil)
	if err != nil || math.Abs(again.Primal/sol.Primal-1) > 1e-9 {
		t.Errorf("%v %v, want %v", again, err, sol)
	}
}

// The network of a relaxation over images, which a search rounds, takes images,
// is saved, and has no more neurons than an optimum needs.
func TestSaveRounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	X, y := mat.NewDense(4, 9, nil), mat.NewDense(4, 1, nil)
	for i := range 4 {
		for j := range 9 {
			X.Set(i, j, rng.NormFloat64())
		}
		y.Set(i, 0, rng.NormFloat64())
	}
	for _, a := range []convex.Arch{convex.CNN{Pool: "flatten"}, convex.ThreeLayerReLUCNN{Filters: "tied"}} {
		p := convex.Problem{X: X, Y: y, Arch: a, Beta: 0.1, Patching: convex.Patching{Height: 3, Width: 3, FilterH: 3, FilterW: 2}}
		sol, err := convex.Solve(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "net.npz")
		if err := sol.Network.Save(file); err != nil {
			t.Errorf("%s: %v", a.Name(), err)
			continue
		}
		net, err := convex.LoadNetwork(file)
		if err != nil {
			t.Fatal(a.Name(), err)
		}
		if f, g := predictions(t, p, sol.Network), predictions(t, p, net); !mat.EqualApprox(f, g, 1e-14) || sol.Network.Neurons() > 5 {
			t.Errorf("%s: %d neurons; saved %v, loaded %v", a.Name(), sol.Network.Neurons(), f, g)
		}
	}
}
