package convex

import "fmt"

// losses is the table of named losses, in the order of Losses.
func losses() []Loss { return []Loss{Squared, Logistic} }

// Losses names the losses of the package, as in problem files.
func Losses() []string {
	var names []string
	for _, l := range losses() {
		names = append(names, l.Name)
	}
	return names
}

// LookupLoss returns the loss of a name, with its default parameters.
func LookupLoss(name string) (Loss, error) {
	for _, l := range losses() {
		if l.Name == name {
			return l, nil
		}
	}
	return Loss{}, fmt.Errorf("convex: no loss %q; there are %v", name, Losses())
}
