package session

import (
	"context"
	"fmt"
	"strings"
)

func init() {
	magics["get"] = magic{"%get MODULE", "brings a third-party module, as github.com/google/uuid@v1.6.0, for cells to import", func(s *Session, ctx context.Context, args, _ string, res *Result) *CellError {
		if args == "" {
			return &CellError{Kind: KindSyntax, Msg: "%get needs the path of a module", Cell: s.count, Line: 1, Advice: "for example %get github.com/google/uuid, or with a version %get github.com/google/uuid@v1.6.0"}
		}
		var said []string
		for _, name := range strings.Fields(args) {
			text, err := s.get(ctx, strings.Trim(name, "\"'`"))
			if ctx.Err() != nil {
				return interrupted(ctx)
			}
			if err != nil {
				return &CellError{Kind: KindModule, Msg: name + ": " + err.Error(), Cell: s.count, Line: 1}
			}
			said = append(said, text)
		}
		textResult(res, strings.Join(said, "\n"))
		return nil
	}, false}
}

// get brings a module and loads the package that its name names, so that what
// cannot be interpreted is told at once.
func (s *Session) get(ctx context.Context, name string) (string, error) {
	paths, err := s.mods.fetch(ctx, name)
	if err != nil {
		return "", err
	}
	path, _, _ := strings.Cut(name, "@")
	text, others := "", paths
	if len(paths) == 0 && s.mods.get(path) == nil {
		return "", fmt.Errorf("there is no package in it that cells could import")
	}
	if s.mods.get(path) != nil {
		if err := s.loadModule(ctx, path); err != nil {
			if len(paths) > 1 {
				err = fmt.Errorf("%w\nOther packages of the module may do: %s", err, some(paths))
			}
			return "", err
		}
		p := s.mods.get(path)
		text = fmt.Sprintf("import %q", path)
		if p.Module != nil {
			text += " // " + p.Module.Version
		}
		if c := p.leftOut(); len(c) > 0 {
			text += "\nnote: what is written in C is left out, and may be missed: " + some(c)
		}
		others = paths[1:]
	}
	if len(others) > 0 {
		text = strings.TrimSpace(text + "\npackages to import: " + some(others))
	}
	return text, nil
}

// some lists the first few of many.
func some(list []string) string {
	const most = 12
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}
