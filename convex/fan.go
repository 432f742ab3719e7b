package convex

import (
	"math"
	"sort"

	"gonum.org/v1/gonum/mat"
)

// fan is the plane cut by the lines x_r'u = 0 into arcs of unit vectors u, on
// each of which the same rows have x_r'u > 0. It answers exactly what no
// sampling of angles can: on an arc the function
//
//	g(u) = |Σ_r (x_r'u)_+ c_r|₂ = |A u|₂,  A = Σ_{r on} c_r x_r',
//
// is a quadratic form under a root, whose maximum is at an eigenvector of A'A
// or at an end. So the largest of the arcs' maxima is the maximum over all u.
type fan struct {
	x      [][2]float64
	events []event // in order of angle
}

// event is a row that becomes positive, or ceases to be, at an angle in [0, 2π).
type event struct {
	angle float64
	row   int
	on    bool
}

// arc is one of angles, with the rows whose lines bound it.
type arc struct {
	from, to    float64
	first, last int
}

// peak is the best unit vector (cos angle, sin angle) of an arc.
type peak struct{ angle, value float64 }

func newFan(x [][2]float64) *fan {
	f := &fan{x: x}
	for r, z := range x {
		if z[0] == 0 && z[1] == 0 {
			continue
		}
		a := math.Atan2(z[1], z[0])
		f.events = append(f.events, event{turn(a - math.Pi/2), r, true}, event{turn(a + math.Pi/2), r, false})
	}
	sort.Slice(f.events, func(i, j int) bool {
		a, b := f.events[i], f.events[j]
		if a.angle != b.angle {
			return a.angle < b.angle
		}
		return a.row < b.row
	})
	return f
}

// turn is an angle as one in [0, 2π).
func turn(a float64) float64 {
	if a = math.Mod(a, 2*math.Pi); a < 0 {
		a += 2 * math.Pi
	}
	if a >= 2*math.Pi {
		a = 0
	}
	return a
}

// arcs calls visit for every arc that is not a point, in order, with the rows
// whose lines are its ends, and toggle for every row that changes on the way to
// it; first for the rows that are on at the first arc, the widest, where rounding
// cannot mistake them.
func (f *fan) arcs(toggle func(row int, on bool), visit func(a arc)) {
	k := len(f.events)
	if k == 0 {
		return
	}
	first, widest := 0, 0.0
	for i, e := range f.events {
		next := f.events[(i+1)%k].angle
		if i == k-1 {
			next += 2 * math.Pi
		}
		if w := next - e.angle; w > widest {
			first, widest = i, w
		}
	}
	at, row := f.events[first].angle, f.events[first].row
	s, c := math.Sincos(at + widest/2)
	for r, z := range f.x {
		if z[0]*c+z[1]*s > 0 {
			toggle(r, true)
		}
	}
	for i := range k {
		e := f.events[(first+1+i)%k]
		angle := e.angle
		if angle < at {
			angle += 2 * math.Pi
		}
		if angle > at {
			visit(arc{at, angle, row, e.row})
		}
		at, row = angle, e.row
		toggle(e.row, e.on)
	}
}

// peaks returns the maximum of g on every arc, for rows c_r of C (rows × width,
// row-major), and an upper bound on all of them that allows for rounding.
func (f *fan) peaks(C []float64, width int) (ps []peak, bound float64) {
	A := make([]float64, 2*width) // its two columns
	on := make([]bool, len(f.x))
	size := 0.0
	for r, z := range f.x {
		size += math.Hypot(z[0], z[1]) * norm2(C[r*width:(r+1)*width])
	}
	add := func(r int, sign float64) {
		c := C[r*width : (r+1)*width]
		axpy(sign*f.x[r][0], c, A[:width])
		axpy(sign*f.x[r][1], c, A[width:])
	}
	// Sums are made afresh now and then, so that their rounding stays that of a
	// few additions.
	fresh, since := max(64, len(f.x)/8), 0
	f.arcs(func(r int, now bool) {
		if on[r] == now {
			return
		}
		on[r] = now
		if now {
			add(r, 1)
		} else {
			add(r, -1)
		}
		if since++; since > fresh {
			since = 0
			clear(A)
			for r, ok := range on {
				if ok {
					add(r, 1)
				}
			}
		}
	}, func(a arc) {
		p := formMax(A[:width], A[width:], a.from, a.to)
		ps = append(ps, p)
		bound = math.Max(bound, p.value)
	})
	return ps, bound + 4e-16*math.Sqrt(float64(len(f.x)+64))*size
}

// formMax is the maximum of |a cos t + b sin t| for from ≤ t ≤ to: at an end, or
// where t is the angle of an eigenvector.
func formMax(a, b []float64, from, to float64) peak {
	value := func(t float64) float64 {
		s, c := math.Sincos(t)
		sum := 0.0
		for q, x := range a {
			y := c*x + s*b[q]
			sum += y * y
		}
		return math.Sqrt(sum)
	}
	p := peak{from, value(from)}
	if v := value(to); v > p.value {
		p = peak{to, v}
	}
	top := math.Atan2(2*dot(a, b), dot(a, a)-dot(b, b)) / 2
	for top += math.Pi * math.Ceil((from-top)/math.Pi); top < to; top += math.Pi {
		if v := value(top); v > p.value {
			p = peak{top, v}
		}
	}
	return p
}

// localPeaks are the peaks no lower than those of the arcs next to them.
func localPeaks(ps []peak) []peak {
	var out []peak
	k := len(ps)
	for i, p := range ps {
		if p.value >= ps[(i+1)%k].value && p.value >= ps[(i+k-1)%k].value {
			out = append(out, p)
		}
	}
	return out
}

// planeOf returns the rows of X as points of the plane, when they have rank 2 or
// less, and the orthonormal basis (columns) they are coordinates in: a unit
// vector off that plane does no better than its projection on it.
func planeOf(X *mat.Dense) (rows [][2]float64, basis *mat.Dense, ok bool) {
	if rankOfSome(X, 3) == 3 {
		return nil, nil, false
	}
	n, h := X.Dims()
	U := mat.NewDense(n, h, nil)
	for i := range n {
		copy(U.RawRowView(i), X.RawRowView(i))
		normalise(U.RawRowView(i))
	}
	B, rank := rowSpace(U)
	if rank > 2 {
		return nil, nil, false
	}
	basis = mat.NewDense(h, 2, nil) // a missing axis stays zero
	if rank > 0 {
		basis.Slice(0, h, 0, rank).(*mat.Dense).Copy(B)
	}
	rows = make([][2]float64, n)
	for i := range rows {
		for q := range rank {
			rows[i][q] = dot(X.RawRowView(i), mat.Col(nil, q, basis))
		}
	}
	return rows, basis, true
}

// inPlane is the vector of an angle in the coordinates of a basis.
func inPlane(basis *mat.Dense, angle float64) []float64 {
	s, c := math.Sincos(angle)
	h, _ := basis.Dims()
	u := make([]float64, h)
	for j := range u {
		u[j] = c*basis.At(j, 0) + s*basis.At(j, 1)
	}
	return u
}
