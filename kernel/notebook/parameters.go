package notebook

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// A Parameter sets a variable of a notebook's parameters cell.
type Parameter struct {
	Name string
	Code string // Go expression
	text string // as given, when it was a bare word or number
}

// ParseParameter reads "name=value" as the command line has it. The value is a
// Go literal: a number, true, false, nil, a quoted string, a composite such as
// []float64{1, 2}. Anything else is a string without its quotes.
func ParseParameter(s string) (Parameter, error) {
	name, value, ok := strings.Cut(s, "=")
	name = strings.TrimSpace(name)
	if !ok {
		return Parameter{}, fmt.Errorf("notebook: parameter %q: want name=value", s)
	}
	if !token.IsIdentifier(name) || name == "_" {
		return Parameter{}, fmt.Errorf("notebook: parameter %q: %q is not a Go variable name", s, name)
	}
	p := Parameter{Name: name, Code: strconv.Quote(value), text: value}
	if literal(value) {
		p.Code = strings.TrimSpace(value)
	}
	return p, nil
}

// literal reports whether s is a constant or composite Go literal: nothing
// that calls or names anything of the notebook.
func literal(s string) bool {
	x, err := parser.ParseExpr(s)
	return err == nil && isLiteral(x)
}

func isLiteral(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.BasicLit:
		return true
	case *ast.UnaryExpr:
		_, number := x.X.(*ast.BasicLit)
		return number && (x.Op == token.SUB || x.Op == token.ADD)
	case *ast.Ident:
		return x.Name == "true" || x.Name == "false" || x.Name == "nil"
	case *ast.KeyValueExpr:
		return isLiteral(x.Key) && isLiteral(x.Value)
	case *ast.CompositeLit:
		for _, e := range x.Elts {
			if !isLiteral(e) {
				return false
			}
		}
		return true
	}
	return false
}

// Inject puts a cell that sets the parameters after the cell tagged
// "parameters", in place of one from an earlier run. It refuses names that the
// tagged cell does not declare: they would change nothing.
func Inject(nb *Notebook, params []Parameter) error {
	if len(params) == 0 {
		return nil
	}
	at := slices.IndexFunc(nb.Cells, func(c *Cell) bool { return c.Type == Code && c.HasTag(tagParameters) })
	if at < 0 {
		return fmt.Errorf("notebook: parameter %s given, but no code cell is tagged %q: tag the one that holds the defaults", params[0].Name, tagParameters)
	}
	declared, understood := declarations(nb.Cells[at].Source)
	var b strings.Builder
	b.WriteString("// Parameters\n")
	for _, p := range params {
		d, ok := declared[p.Name]
		if !ok && understood {
			return fmt.Errorf("notebook: parameter %q is not one of the notebook's: its parameters cell declares %s", p.Name, names(declared))
		}
		code := p.Code
		if d.isString && p.text != "" && !strings.ContainsAny(p.Code[:1], "\"`") {
			code = strconv.Quote(p.text)
		}
		if d.constant {
			fmt.Fprintf(&b, "const %s = %s\n", p.Name, code)
			continue
		}
		fmt.Fprintf(&b, "%s = %s\n", p.Name, code)
	}
	c := &Cell{Type: Code, Source: strings.TrimSuffix(b.String(), "\n"), Metadata: Object{}}
	c.Metadata.Set("tags", []string{tagInjected})
	nb.Cells = slices.DeleteFunc(nb.Cells, func(c *Cell) bool { return c.HasTag(tagInjected) })
	at = slices.IndexFunc(nb.Cells, func(c *Cell) bool { return c.Type == Code && c.HasTag(tagParameters) })
	nb.Cells = slices.Insert(nb.Cells, at+1, c)
	nb.setIDs()
	return nil
}

type declaration struct {
	constant, isString bool
}

func names(d map[string]declaration) string {
	if len(d) == 0 {
		return "none"
	}
	var out []string
	for name := range d {
		out = append(out, name)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// declarations returns the variables and constants a parameters cell
// declares. It reports false for a cell it cannot parse; the kernel will say
// what is wrong with it.
func declarations(source string) (map[string]declaration, bool) {
	out := map[string]declaration{}
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+source+"\n}", 0)
	if err != nil {
		return out, false
	}
	value := func(values []ast.Expr, i int) (isString bool) {
		if i >= len(values) {
			return false
		}
		lit, ok := values[i].(*ast.BasicLit)
		return ok && lit.Kind == token.STRING
	}
	for _, stmt := range f.Decls[0].(*ast.FuncDecl).Body.List {
		switch s := stmt.(type) {
		case *ast.AssignStmt:
			for i, x := range s.Lhs {
				if id, ok := x.(*ast.Ident); ok && s.Tok == token.DEFINE {
					out[id.Name] = declaration{isString: value(s.Rhs, i)}
				}
			}
		case *ast.DeclStmt:
			gen := s.Decl.(*ast.GenDecl)
			for _, spec := range gen.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for i, id := range v.Names {
						typ, _ := v.Type.(*ast.Ident)
						out[id.Name] = declaration{
							constant: gen.Tok == token.CONST,
							isString: value(v.Values, i) || typ != nil && typ.Name == "string",
						}
					}
				}
			}
		}
	}
	return out, true
}
