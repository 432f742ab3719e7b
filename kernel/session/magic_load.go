package session

import (
	"context"
	"os"
	"strings"
	"unicode/utf8"
)

// maxLoad is the largest file that is put into a cell, in bytes.
const maxLoad = 1 << 20

func init() {
	magics["load"] = magic{"%load FILE", "puts the text of a file in this cell, to be run or changed", func(s *Session, _ context.Context, args, _ string, res *Result) *CellError {
		fail := func(msg, advice string) *CellError {
			return &CellError{Kind: KindSyntax, Msg: msg, Cell: s.count, Line: 1, Advice: advice}
		}
		path := strings.Trim(args, "\"'`")
		if path == "" {
			return fail("%load needs the name of a file", "for example %load model.go")
		}
		info, err := os.Stat(path)
		if err != nil {
			dir, _ := os.Getwd()
			return fail(err.Error(), "names are relative to "+dir)
		}
		if !info.Mode().IsRegular() || info.Size() > maxLoad {
			return fail(path+" is not a text file of at most 1 MB", "read it from code: os.ReadFile")
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fail(err.Error(), "")
		}
		if !utf8.Valid(text) {
			return fail(path+" is not text", "read it from code: os.ReadFile")
		}
		next := "// %load " + args + "\n" + normalise(string(text))
		res.NextInput = &next
		return nil
	}, true}
}
