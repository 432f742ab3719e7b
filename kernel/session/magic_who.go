package session

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
)

func init() {
	magics["who"] = magic{"%who", "lists what the cells have declared", func(s *Session, _ context.Context, _, _ string, res *Result) *CellError {
		w := s.world.Load()
		var b strings.Builder
		tw := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
		for _, d := range w.sorted(func(d *decl) bool { return !d.predeclared && !strings.Contains(d.key, modSep) }) {
			fmt.Fprintf(tw, "%s\t%s\tcell %d\n", plainNames(d.key), plainNames(s.declaration(d)), s.number(d.cell))
		}
		tw.Flush()
		if b.Len() == 0 {
			b.WriteString("nothing is declared yet")
		}
		textResult(res, b.String())
		return nil
	}, true}
}
