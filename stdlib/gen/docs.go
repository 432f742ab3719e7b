package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
)

// docs collects the documentation of a package from its source: symbol to signature and text. The
// symbol is "" for the package itself, F, T, T.Method, T.Field. The scope is the
// package's.
func docs(p *listed, scope *types.Scope) (map[string][2]string, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range append(append([]string{}, p.GoFiles...), p.CgoFiles...) {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	var mode doc.Mode
	if scope == types.Universe {
		mode = doc.AllDecls // predeclared names begin with small letters
	}
	d, err := doc.NewFromFiles(fset, files, p.ImportPath, mode)
	if err != nil {
		return nil, err
	}
	c := docCollector{fset, scope, map[string][2]string{}}
	c.set("", "package "+d.Name, d.Doc)
	c.funcs("", d.Funcs)
	c.values(d.Consts)
	c.values(d.Vars)
	for _, t := range d.Types {
		text := t.Doc
		t.Decl.Doc = nil
		for _, s := range t.Decl.Specs {
			s := s.(*ast.TypeSpec)
			s.Doc = nil
			c.members(s)
		}
		c.set(t.Name, c.node(t.Decl), text)
		c.funcs("", t.Funcs)
		c.funcs(t.Name+".", t.Methods)
		c.values(t.Consts)
		c.values(t.Vars)
	}
	return c.docs, nil
}

// builtinDocs is the documentation of the predeclared names, as the packs have it. Go keeps it in a
// package that exists for that alone.
func builtinDocs(root string) ([]byte, error) {
	out, err := goOutput(root, "list", "-json=ImportPath,Dir,GoFiles", "builtin")
	if err != nil {
		return nil, err
	}
	var l listed
	if err := json.Unmarshal(out, &l); err != nil {
		return nil, fmt.Errorf("go list builtin: %w", err)
	}
	d, err := docs(&l, types.Universe)
	if err != nil {
		return nil, err
	}
	return json.Marshal(d)
}

type docCollector struct {
	fset  *token.FileSet
	scope *types.Scope
	docs  map[string][2]string
}

func (c *docCollector) set(symbol, signature, text string) {
	c.docs[symbol] = [2]string{signature, strings.TrimSpace(text)}
}

func (c *docCollector) node(n any) string {
	var b bytes.Buffer
	if err := format.Node(&b, c.fset, n); err != nil {
		panic(fmt.Sprintf("formatting a parsed node: %v", err)) // the node came from the parser
	}
	return b.String()
}

func (c *docCollector) funcs(prefix string, fs []*doc.Func) {
	for _, f := range fs {
		f.Decl.Doc, f.Decl.Body = nil, nil
		c.set(prefix+f.Name, c.node(f.Decl), f.Doc)
	}
}

// values documents each constant or variable on its own, with what its block says after it.
func (c *docCollector) values(vs []*doc.Value) {
	for _, v := range vs {
		for _, s := range v.Decl.Specs {
			s := s.(*ast.ValueSpec)
			text := strings.TrimSpace(s.Doc.Text())
			if line := strings.TrimSpace(s.Comment.Text()); line != "" {
				text = strings.TrimSpace(text + "\n" + line)
			}
			if v.Doc != "" {
				text = strings.TrimSpace(text + "\n\n" + v.Doc)
			}
			for _, n := range s.Names {
				if o := c.scope.Lookup(n.Name); o != nil && (n.IsExported() || c.scope == types.Universe) {
					c.set(n.Name, c.valueSignature(o), text)
				}
			}
		}
	}
}

func (c *docCollector) valueSignature(o types.Object) string {
	typ := types.TypeString(o.Type(), types.RelativeTo(o.Pkg()))
	if o, ok := o.(*types.Const); ok {
		val := o.Val().ExactString()
		if o.Val().Kind() == constant.Float {
			val = o.Val().String() // an exact one may be a fraction of hundreds of digits
		}
		if strings.HasPrefix(typ, "untyped ") {
			return "const " + o.Name() + " = " + val
		}
		return "const " + o.Name() + " " + typ + " = " + val
	}
	return "var " + o.Name() + " " + typ
}

// members documents the fields of a struct type and the methods of an interface type.
func (c *docCollector) members(s *ast.TypeSpec) {
	var list *ast.FieldList
	kind := "field "
	switch t := s.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list, kind = t.Methods, "func ("+s.Name.Name+") "
	}
	if list == nil {
		return
	}
	for _, f := range list.List {
		text := f.Doc.Text()
		if text == "" {
			text = f.Comment.Text()
		}
		for _, n := range f.Names {
			if !n.IsExported() {
				continue
			}
			typ := c.node(f.Type)
			if _, ok := f.Type.(*ast.FuncType); ok && kind != "field " {
				typ = strings.TrimPrefix(typ, "func")
			} else {
				typ = " " + typ
			}
			c.set(s.Name.Name+"."+n.Name, kind+n.Name+typ, text)
		}
	}
}
