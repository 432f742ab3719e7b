package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

func init() {
	magics["help"] = magic{"%help [NAME]", "lists the magics, or shows the documentation of a name", func(s *Session, _ context.Context, args, _ string, res *Result) *CellError {
		if args != "" {
			b, ok := s.Inspect(args, len([]rune(args)), 1)
			if !ok {
				return &CellError{Kind: KindType, Msg: "undefined: " + args, Cell: s.count, Line: 1}
			}
			res.Value = &b
			return nil
		}
		var b strings.Builder
		b.WriteString("Every cell has ctx (ends on interrupt), input(prompt), password(prompt), and the packages\n" +
			strings.Join(favourites, ", ") + ". Go's library, gonum and gonum/plot need no import.\n\n")
		for _, n := range slices.Sorted(maps.Keys(magics)) {
			fmt.Fprintf(&b, "%-16s %s\n", magics[n].usage, magics[n].help)
		}
		textResult(res, b.String())
		return nil
	}, true}
}
