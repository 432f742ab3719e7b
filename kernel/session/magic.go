package session

import (
	"context"
	"strings"
)

// isMagic tells a cell that is a command to the session: % and a name.
func isMagic(code string) bool {
	return strings.HasPrefix(strings.TrimSpace(code), "%")
}

func (s *Session) magic(ctx context.Context, code string, res *Result) (*Result, error) {
	return res, s.finish(&CellError{Kind: KindSyntax, Msg: "no such magic"}, s.world.Load())
}

func (c *completer) magics(text string) {}
