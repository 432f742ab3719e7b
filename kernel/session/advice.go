package session

// advise says what to do about an error, "" if it has nothing to add.
func (s *Session) advise(e *CellError, w *world) string { return "" }
