package table

import (
	"go/token"
	"slices"
	"testing"
)

func TestInstanceName(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "F"},
		{[]string{"int"}, "F_cint"},
		{[]string{"[]float64", "float64"}, "F_c_sfloat64_cfloat64"},
		{[]string{"map[string][]int"}, "F_cmap_astring_e_sint"},
		{[]string{"*gonum.org/v1/gonum/mat.Dense"}, "F_c_pgonum_dorg_fv1_fgonum_fmat_dDense"},
		{[]string{"a_b-c"}, "F_ca__b_mc"},
		{[]string{"func(int) é"}, "F_cfunc_x28_int_x29__x20__xc3__xa9_"},
	} {
		if got := InstanceName("F", c.args); got != c.want {
			t.Errorf("%q: %s, want %s", c.args, got, c.want)
		}
	}
}

// Names are identifiers, and different arguments have different names.
func FuzzInstanceName(f *testing.F) {
	f.Add("[]int", "int", "[]int", "in_t")
	f.Add("a_cb", "c", "a", "b_cc")
	f.Add("a", "", "", "a")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		x, y := []string{a, b}, []string{c, d}
		nx, ny := InstanceName("F", x), InstanceName("F", y)
		if !token.IsIdentifier(nx) {
			t.Errorf("%q: %q is no identifier", x, nx)
		}
		if (nx == ny) != slices.Equal(x, y) {
			t.Errorf("%q is %q and %q is %q", x, nx, y, ny)
		}
	})
}
