package convex

import (
	"fmt"
	"math"
)

// finiteLabels checks that every label is a finite number.
func finiteLabels(loss string, y []float64) error {
	for i, v := range y {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("convex: %s loss: label %d is %g: labels must be finite numbers", loss, i, v)
		}
	}
	return nil
}

// signLabels checks that every label is -1 or +1.
func signLabels(loss string, y []float64) error {
	for i, v := range y {
		if v != 1 && v != -1 {
			return fmt.Errorf("convex: %s loss: label %d is %g: labels must be -1 or +1 (for classes 0 and 1 use 2y-1, or Classes of a data.Set)", loss, i, v)
		}
	}
	return nil
}
