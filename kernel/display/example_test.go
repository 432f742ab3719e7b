package display_test

import (
	"errors"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/kernel/display"
)

func ExampleShow() {
	display.Show(
		mat.NewDense(2, 3, []float64{1, 2, 3, 4.5, 5, 6}),
		[]float64{1, 2, 3},
		display.Markdown("**bold**"),
		errors.New("no data"),
	)
	// Output:
	// 2×3 Dense
	// 1.0  2.0  3.0
	// 4.5  5.0  6.0
	// [1 2 3]
	// **bold**
	// no data
}

func ExampleTable() {
	t := display.NewTable("method", "objective", "gap")
	t.Add("convex", 0.010116829, 1e-9)
	t.Add("SGD, m=8", 0.0213, "none")
	t.Caption = "one seed"
	display.Show(t)
	// Output:
	// method    objective    gap
	// convex    0.0101168  1e-09
	// SGD, m=8     0.0213  none
	// one seed
}

// A value of any type can be given a rich form without methods.
func ExampleCustom() {
	display.Show(display.Custom{
		Value: 0.25,
		HTML:  func() string { return "<b>¼</b>" },
	})
	// Output: 0.25
}

// Types show themselves through methods named after the form they return.
func ExampleRender() {
	b := display.Render(badge("optimal"))
	fmt.Println(b.Data["text/html"])
	fmt.Println(b.Text())
	// Output:
	// <mark>optimal</mark>
	// optimal
}

type badge string

func (b badge) HTML() string { return "<mark>" + string(b) + "</mark>" }

func ExampleHandle() {
	h := display.NewHandle("starting")
	h.Update("half way")
	h.Update("done")
	// Output:
	// "starting"
	// "half way"
	// "done"
}

func ExampleJSONOf() {
	fmt.Println(display.JSONOf(map[string]any{"loss": []float64{1.5, 2}, "ok": true}))
	// Output: {"loss":[1.5,2],"ok":true}
}
