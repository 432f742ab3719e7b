package session

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"math"
	"slices"
	"strings"
	"time"
)

// A %timeit runs its code so often that one repeat takes timeitFor, a few times.
const (
	timeitFor     = 200 * time.Millisecond
	timeitRepeats = 5
)

func init() {
	magics["timeit"] = magic{"%timeit CODE", "runs code many times and says how long one run takes", func(s *Session, ctx context.Context, args, body string, res *Result) *CellError {
		code := strings.TrimSpace(args + "\n" + body)
		if code == "" {
			return &CellError{Kind: KindSyntax, Msg: "%timeit needs code to run", Cell: s.count, Line: 1, Advice: "for example %timeit f(3)"}
		}
		if e, err := parser.ParseExpr(code); err == nil {
			if _, call := ast.Unparen(e).(*ast.CallExpr); !call {
				args, body = "_ = "+code, "" // a value is no statement
			}
		}
		// Once as it stands, which shows what is wrong with it where it stands.
		once := "{" + strings.Repeat(" ", len("%timeit ")-1) + args + "\n" + body + "\n}"
		if _, err := s.execute(ctx, once, res); err != nil {
			return err
		}
		// loop times n runs of some code, the compilation of the loop left out.
		loop := func(code string, n int) (time.Duration, *CellError) {
			const i = "timeit" + sep
			entry, _, err := s.compile(fmt.Sprintf("for %s := 0; %s < %d; %s++ {\n%s\n}", i, i, n, i, code), res)
			if err != nil {
				return 0, err
			}
			start := time.Now()
			err = s.run(ctx, entry)
			took := time.Since(start)
			s.rt.take()
			return took, err
		}
		code = args + "\n" + body
		n := 1
		for {
			took, err := loop(code, n)
			if err != nil {
				return err
			}
			if took >= timeitFor || n >= 1e9 {
				break
			}
			// Aim a little above, but do not trust a short measurement far.
			n = int(min(float64(n)*max(1.2, min(100, 1.2*float64(timeitFor)/float64(max(took, 1)))), 1e9)) + 1
		}
		var each []float64
		for range timeitRepeats {
			took, err := loop(code, n)
			if err != nil {
				return err
			}
			empty, err := loop("", n) // what the loop itself costs
			if err != nil {
				return err
			}
			each = append(each, math.Max(float64(took-empty), 0)/float64(n))
		}
		slices.Sort(each)
		res.Value = nil
		fmt.Fprintf(s.rt.out, "%s a run (median of %d × %d runs; fastest %s, slowest %s)\n",
			nanoseconds(each[len(each)/2]), timeitRepeats, n, nanoseconds(each[0]), nanoseconds(each[len(each)-1]))
		return nil
	}, false}
}

// nanoseconds writes a duration to three digits.
func nanoseconds(ns float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= u.size {
			return fmt.Sprintf("%.3g %s", ns/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}
