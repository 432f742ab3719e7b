// Package problems holds the sample problems: one file NAME.json each, with the
// optimum of an independent solver in NAME.expected.json. Those with a "row" are
// the instances of the equality table (package equality).
package problems

import "embed"

// Files are the problem files.
//
//go:embed *.json
var Files embed.FS
