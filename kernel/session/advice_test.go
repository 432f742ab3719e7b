package session

import (
	"strings"
	"testing"
)

// Each slip, and a part of what is said about it.
func TestAdvice(t *testing.T) {
	s := newSession(t)
	mustRun(t, s, "xs := []float64{1, 2}\nrows := [][]float64{{1, 2}}\nA := mat.NewDense(3, 4, nil)\nrate := 0.1\nn := 3\nword := \"a\"\nm := map[string]int{}\n"+
		"type Point struct{ X, Y float64 }\npt := Point{}\np := &pt\nfunc two() (int, error) { return 1, nil }\nfunc pair() (int, int) { return 1, 2 }\nsol := &convex.Solution{}\nstat := stat.Mean(xs, nil)\nfunc floats() {}")
	for _, c := range []struct{ code, advice string }{
		{"mat.Det(rows)", "mat.NewDense(len(rows), len(rows[0]), slices.Concat(rows...))"},
		{"mat.Det([][]float64{{1}})", "mat.NewDense("},
		{"convex.Problem{X: rows}", "mat.NewDense("},
		{"convex.Problem{X: A, Y: xs}", "mat.NewDense(len(xs), 1, xs)"},
		{"var D *mat.Dense = rows", "mat.NewDense("},
		{"var v mat.Vector = xs", "mat.NewVecDense"},
		{"mat.NewDense(1, 2, rows)", "slices.Concat(rows...)"},
		{"A * A", "c.Mul(a, b)"},
		{"A + 1", "c.Scale(2, a)"},
		{"A[0]", "A.At(i, j)"},
		{"A[0][1] = 2", "A.Set(i, j, v)"},
		{"len(A)", "A.Dims()"},
		{"for i := range 2 {\ni, xs\n}", "last line"},
		{"stat.Mean(xs, nil)", "import \"gonum.org/v1/gonum/stat\" brings the package back"},
		{"floats.Add(xs, xs)", "floats is a func of cell 1, which hides the package: import \"gonum.org/v1/gonum/floats\""},
		{"A.Rows()", "a.Dims()"},
		{"A.shape", "a.Dims()"},
		{"xs + 1", "package floats"},
		{"2 * xs", "package floats"},
		{"xs.append(3)", "xs = append(xs, v)"},
		{"xs.len()", "len(x)"},
		{"xs == xs", "slices.Equal"},
		{"m == m", "maps.Equal"},
		{"sol.Loss", "sol. and press Tab"},
		{"sol.Primel", "did you mean Primal?"},
		{"pt.Z", "X, Y"},
		{"Point{x: 1}", "did you mean X?"},
		{"convex.Problem{Bta: 1}", "did you mean Beta?"},
		{"convex.Problem{Loss: \"logistic\"}", "without quotes: convex.Logistic"},
		{"convex.Problem{Arch: \"gated_relu\"}", "without quotes: convex.GatedReLU{}"},
		{"convex.Problem{Loss: \"huber\"}", "without quotes: convex.Huber(…)"},
		{"plotter.NewScatter(A)", "figure.Dots"},
		{"type Word struct{}\nvar q fmt.Stringer = Word{}", "declare the method String"},
		{"math.Sqrt(n)", "float64(n)"},
		{"n / 2.5", "float64(n)"},
		{"xs[rate]", "int(rate)"},
		{"xs[1.5]", "int(math.Round"},
		{"var i int = rate", "int(rate)"},
		{"rate + n", "float64(…)"},
		{"rate % 2.0", "math.Mod"},
		{"rate ^ 2.0", "math.Pow"},
		{"n * time.Second", "time.Duration(n)"},
		{"word + 1", "fmt.Sprint"},
		{"word + n", "fmt.Sprint"},
		{"strings.ToUpper(n)", "fmt.Sprint(n)"},
		{"math.Abs(word)", "strconv"},
		{"math.Abs(\"1\")", "quotes"},
		{"if n {\n}", "n != 0"[1:]},
		{"if !n {\n}", "n == 0"},
		{"const c = math.Sqrt(2)", ":="},
		{"var b byte = 300", "float64"},
		{"v := two()", "v, err :="},
		{"two() + 1", "v, err := two()"},
		{"pair() + 1", "v, _ := pair()"},
		{"nothing := nil", "var x *T"},
		{"var q *Point = pt", "&pt"},
		{"var q Point = p", "*p"},
		{"math.Abs(xs)", "spread it"},
		{"fmt.Println(A.Dimms())", "did you mean Dims?"},
		{"math.Abs()", "math.Abs(x float64) float64"},
		{"convex.Solve(convex.Problem{})", "convex.Solve(ctx context.Context, p convex.Problem, s *convex.Settings) (sol *convex.Solution, err error)"},
		{"A.At(1)", "A.At(i int, j int) float64"},
		{"two(1)", "two() (int, error)"},
		{"strings.ToUpper()", "strings.ToUpper(s string) string"},
		{"if n > 1\n{\n}", "stands on the line"},
		{"var never func(int) int\nnever(1)", "never set"},
		{"!ls", "exec.Command(\"ls\")"},
		{"return 3", "shows its last expression"},
		{"func f() int { n + 1 }", "return it"},
		{"append(n, 1)", "xs = append"},
		{"for i in xs {}", "for i, x := range xs"},
		{"if n > 1 and n < 3 {}", "&&"},
		{"y := n > 1 ? 1 : 2", "if c {"},
		{"# a comment", "//"},
		{"y = [1, 2, 3]", "[]float64{"},
		{"n++ + 1", "x+1"},
		{"while n > 0 {}", "in Go that is for"},
		{"let k = 3", "in Go that is :="},
		{"def f(x): return x", "in Go that is func"},
		{"import numpy as np", "import name"},
		{"fmt.println(1)", "did you mean fmt.Println?"},
		{"fmt.Prntln(1)", "did you mean fmt.Println?"},
		{"prntln(1)", "did you mean println?"},
		{"import \"unsafe\"", "safely"},
		{"import \"net/htp\"", "net/http"},
		{"A.At(5, 0)", "a.Dims()"},
		{"mat.NewDense(2, 2, xs)", "r·c numbers"},
		{"ch := make(chan int)\nclose(ch)\nclose(ch)", "only the sender"},
	} {
		e := fails(t, s, c.code)
		if !strings.Contains(e.Advice, c.advice) {
			t.Errorf("%q: %s: advice %q, want %q", c.code, e.Msg, e.Advice, c.advice)
		}
	}
	// What the advice says works.
	if text := mustRun(t, s, "B := mat.NewDense(len(rows), len(rows[0]), slices.Concat(rows...))\nB.At(0, 1)").Value.Text(); text != "2" {
		t.Errorf("%s", text)
	}
}
