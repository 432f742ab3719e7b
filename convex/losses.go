package convex

import "fmt"

// losses is the table of named losses, in the order of Losses.
func losses() []Loss { return []Loss{Squared, Logistic, Hinge, L1, Huber(1)} }

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

// withDelta returns the loss with another parameter.
func (l Loss) withDelta(delta float64) (Loss, error) {
	if l.Name != "huber" {
		return l, fmt.Errorf("it is for the huber loss, not for %s", l.Name)
	}
	if !(delta > 0) {
		return l, fmt.Errorf("it is %g: want a positive number", delta)
	}
	return Huber(delta), nil
}
