package stdlib_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"

	"github.com/gonvex/gonvex/stdlib"
)

// A cell that uses packages without importing them.
func ExampleNamed() {
	for _, name := range []string{"strings", "rand", "mat", "plotter"} {
		path, _ := stdlib.Named(name)
		fmt.Println(path)
	}
	fmt.Println(stdlib.Candidates("rand"))
	// Output:
	// strings
	// math/rand/v2
	// gonum.org/v1/gonum/mat
	// gonum.org/v1/plot/plotter
	// [math/rand/v2 crypto/rand math/rand golang.org/x/exp/rand]
}

func ExampleDocOf() {
	d, _ := stdlib.DocOf("gonum.org/v1/gonum/mat", "Dense.Mul")
	fmt.Println(d.Signature)
	fmt.Println(d.Text)
	// Output:
	// func (m *Dense) Mul(a, b Matrix)
	// Mul takes the matrix product of a and b, placing the result in the receiver.
	// If the number of columns in a does not equal the number of rows in b, Mul will panic.
}

// The instance of slices.Sort for a []float64, in the table of package slices.
func ExampleInstance() {
	symbol, ok := stdlib.Instance("slices", "Sort", []string{"[]float64", "float64"})
	fmt.Println(symbol, ok)
	p, _ := stdlib.Lookup("slices")
	sort := p.Symbols()[symbol].Interface().(func([]float64))
	x := []float64{3, 1, 2}
	sort(x)
	fmt.Println(x)
	// Output:
	// Sort_c_sfloat64_cfloat64 true
	// [1 2 3]
}

// Type errors in code that uses the packages, without source or compiler at hand.
func ExampleImporter() {
	const src = `package cell
import "gonum.org/v1/gonum/mat"
var a = mat.NewDense(2, 2, []int{1, 2, 3, 4})`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "cell", src, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	conf := types.Config{Importer: stdlib.Importer(fset)}
	_, err = conf.Check("cell", fset, []*ast.File{f}, nil)
	fmt.Println(err)
	// Output:
	// cell:3:28: cannot use []int{…} (value of type []int) as []float64 value in argument to mat.NewDense
}
