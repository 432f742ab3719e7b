package session

import "context"

// The kernel runs %restore itself, for it has the cells that a crash took from
// the session. This entry is for %help, for completion, and for a session that
// no kernel watches.
func init() {
	magics["restore"] = magic{"%restore", "after the interpreter died: runs the cells that had succeeded again", func(s *Session, _ context.Context, _, _ string, _ *Result) *CellError {
		return &CellError{Kind: KindInterpreter, Msg: "there is nothing to restore", Cell: s.count, Line: 1, Advice: "%restore is a cell of its own in a notebook, after its interpreter died"}
	}, true}
}
