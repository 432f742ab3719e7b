package session

import "context"

func init() {
	magics["reset"] = magic{"%reset", "forgets all declarations, variables and imports", func(s *Session, _ context.Context, _, _ string, res *Result) *CellError {
		if err := s.reset(); err != nil {
			return &CellError{Kind: KindInterpreter, Msg: err.Error()}
		}
		res.Reset = true
		textResult(res, "all declarations are forgotten")
		return nil
	}, false}
}
