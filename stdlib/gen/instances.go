package main

import (
	"go/types"

	"github.com/gonvex/gonvex/stdlib/internal/table"
)

// instance is one compiled instance of a generic function or type.
type instance struct {
	name string       // as in the table
	args []types.Type // the type arguments
}

// Element types that generic functions and types are compiled for. A generic of two parameters
// takes the first from keys and the second from values, or there would be too many.
type elements struct{ single, keys, values []types.Type }

// newElements makes the lists; duration is time.Duration, or nil.
func newElements(duration types.Type) elements {
	basic := func(kinds ...types.BasicKind) (ts []types.Type) {
		for _, k := range kinds {
			ts = append(ts, types.Typ[k])
		}
		return ts
	}
	anyType, errorType := types.Universe.Lookup("any").Type(), types.Universe.Lookup("error").Type()
	slice := func(k types.BasicKind) types.Type { return types.NewSlice(types.Typ[k]) }
	e := elements{
		single: append(basic(types.Int, types.Int32, types.Int64, types.Uint8, types.Uint64, types.Float32,
			types.Float64, types.Complex128, types.String, types.Bool),
			anyType, errorType, slice(types.Int), slice(types.Float64), slice(types.String)),
		keys: basic(types.Int, types.Float64, types.String),
		values: append(basic(types.Int, types.Float64, types.String, types.Bool),
			anyType, slice(types.Int), slice(types.Float64), slice(types.String)),
	}
	if duration != nil {
		e.single = append(e.single, duration)
	}
	return e
}

// instances lists the instances of a generic function or type: one for each choice of elements that
// satisfies the constraints. A parameter constrained to ~[]E or ~map[K]V is that very slice or map.
func (els elements) instances(name string, generic types.Type, params *types.TypeParamList) []instance {
	var free []*types.TypeParam
	core := map[*types.TypeParam]types.Type{}
	for tp := range params.TypeParams() {
		if c := coreOf(tp); c != nil {
			core[tp] = c
		} else {
			free = append(free, tp)
		}
	}
	var choices [][]types.Type
	switch len(free) {
	case 1:
		for _, t := range els.single {
			choices = append(choices, []types.Type{t})
		}
	case 2:
		for _, k := range els.keys {
			for _, v := range els.values {
				choices = append(choices, []types.Type{k, v})
			}
		}
	}
	ctxt := types.NewContext()
	var insts []instance
	for _, choice := range choices {
		chosen := map[types.Type]types.Type{}
		for i, tp := range free {
			chosen[tp] = choice[i]
		}
		var args []types.Type
		for tp := range params.TypeParams() {
			arg := chosen[tp]
			switch c := core[tp].(type) {
			case *types.Slice:
				if e := chosen[c.Elem()]; e != nil {
					arg = types.NewSlice(e)
				}
			case *types.Map:
				if k, v := chosen[c.Key()], chosen[c.Elem()]; k != nil && v != nil {
					arg = types.NewMap(k, v)
				}
			}
			if arg != nil {
				args = append(args, arg)
			}
		}
		if len(args) != params.Len() {
			continue
		}
		if _, err := types.Instantiate(ctxt, generic, args, true); err != nil {
			continue // the choice does not satisfy the constraints
		}
		var spelt []string
		for _, a := range args {
			spelt = append(spelt, types.TypeString(a, nil))
		}
		insts = append(insts, instance{table.InstanceName(name, spelt), args})
	}
	return insts
}

// coreOf is []E or map[K]V for a parameter constrained to ~[]E or ~map[K]V, else nil.
func coreOf(tp *types.TypeParam) types.Type {
	iface, ok := tp.Constraint().Underlying().(*types.Interface)
	if !ok || iface.NumEmbeddeds() != 1 || iface.NumExplicitMethods() > 0 {
		return nil
	}
	u, ok := iface.EmbeddedType(0).(*types.Union)
	if !ok || u.Len() != 1 {
		return nil
	}
	switch t := u.Term(0).Type().(type) {
	case *types.Slice, *types.Map:
		return t
	}
	return nil
}
