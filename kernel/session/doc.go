// Package session runs notebook cells of Go with no Jupyter in it.
//
// Each cell is a transaction over a world of live declarations:
//
//	split    the scanner finds imports and functions among the statements (split.go)
//	check    go/types checks the cell against the world (tx.go, check.go);
//	         a cell that does not compile changes nothing
//	rewrite  the checked syntax is written again in the subset of Go that
//	         yaegi runs right (emit_*.go); every rewrite names the reason
//	run      the cell's entry function runs under the cell's context, with
//	         the stack and the heap watched (run.go, runtime.go)
//	show     the last expression, if there is one, is shown with the help of
//	         the static type the checker knows (format.go, show.go)
//
// yaegi is imported here and nowhere else. The only things a session shares
// with others in the process are the caches of package stdlib.
package session
