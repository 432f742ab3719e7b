package notebook

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sample is a file as Jupyter writes it: sorted members, one space of
// indentation, fields of extensions, a number that must keep its digits.
const sample = `{
 "cells": [
  {
   "attachments": {
    "dot.png": {
     "image/png": "iVBORw0KGgo="
    }
   },
   "cell_type": "markdown",
   "id": "intro",
   "metadata": {
    "slideshow": {
     "slide_type": "slide"
    }
   },
   "source": [
    "# Title & <more>\n",
    "\n",
    "$x < y$ ![d](attachment:dot.png)"
   ]
  },
  {
   "cell_type": "code",
   "execution_count": 3,
   "id": "a1b2-c_3",
   "metadata": {
    "precise": 0.10000000000000000001,
    "tags": [
     "keep"
    ]
   },
   "outputs": [
    {
     "name": "stdout",
     "output_type": "stream",
     "text": [
      "one\n",
      "two"
     ]
    },
    {
     "data": {
      "application/json": {
       "a": [
        1,
        2
       ]
      },
      "application/vnd.other+json": {
       "b": null
      },
      "image/png": "iVBORw0KGgo=",
      "image/svg+xml": [
       "<svg>\n",
       "</svg>"
      ],
      "text/html": [
       "<b>x</b>"
      ],
      "text/plain": [
       "x"
      ]
     },
     "execution_count": 3,
     "metadata": {
      "image/png": {
       "width": 10
      }
     },
     "output_type": "execute_result"
    },
    {
     "data": {},
     "metadata": {},
     "output_type": "display_data"
    },
    {
     "ename": "E",
     "evalue": "v",
     "output_type": "error",
     "traceback": [
      "\u001b[31mE\u001b[0m: v"
     ]
    }
   ],
   "source": []
  },
  {
   "cell_type": "raw",
   "id": "r",
   "metadata": {
    "format": "text/html"
   },
   "source": [
    "<hr>\n"
   ]
  }
 ],
 "metadata": {
  "kernelspec": {
   "display_name": "Go (Gonvex)",
   "language": "go",
   "name": "gonvex"
  },
  "language_info": {
   "name": "go",
   "version": "1.26"
  },
  "widgets": {
   "state": {}
  }
 },
 "nbformat": 4,
 "nbformat_minor": 5
}
`

func mustRead(t testing.TB, text string) *Notebook {
	t.Helper()
	nb, err := Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return nb
}

func TestRoundTrip(t *testing.T) {
	nb := mustRead(t, sample)
	if err := Validate(nb); err != nil {
		t.Error(err)
	}
	if got := nb.Cells[0].Source; got != "# Title & <more>\n\n$x < y$ ![d](attachment:dot.png)" {
		t.Errorf("source %q", got)
	}
	if c := nb.Cells[1]; !c.HasTag("keep") || *c.ExecutionCount != 3 || c.Outputs[0].Text != "one\ntwo" || c.Outputs[1].Data["image/svg+xml"] != "<svg>\n</svg>" {
		t.Errorf("cell %+v", c)
	}
	text, err := nb.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != sample {
		t.Errorf("not the same after a round trip:\n%s", text)
	}
}

func TestUpgrade(t *testing.T) {
	old := `{"nbformat":4,"nbformat_minor":2,"metadata":{},"extra":1,"cells":[
		{"cell_type":"code","metadata":{},"source":"x","outputs":[],"execution_count":null,"odd":true},
		{"cell_type":"code","metadata":{},"source":"x","outputs":[{"output_type":"stream","name":"stdout","text":"s"}],"execution_count":1},
		{"cell_type":"markdown","metadata":{},"source":["a\n","b"]}]}`
	nb := mustRead(t, old)
	ids := map[string]bool{}
	for _, c := range nb.Cells {
		if !cellID.MatchString(c.ID) || ids[c.ID] {
			t.Errorf("id %q", c.ID)
		}
		ids[c.ID] = true
	}
	if again := mustRead(t, old); again.Cells[0].ID != nb.Cells[0].ID {
		t.Error("ids differ from one reading to the next")
	}
	text, _ := nb.Bytes()
	for _, want := range []string{`"nbformat_minor": 5`, `"odd": true`, `"extra": 1`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is lost:\n%s", want, text)
		}
	}
	if err := Validate(nb); err == nil || !strings.Contains(err.Error(), `"odd"`) || !strings.Contains(err.Error(), `"extra"`) {
		t.Errorf("fields that nbformat does not know: %v", err)
	}
	if nb := mustRead(t, `{"nbformat":4,"nbformat_minor":7,"metadata":{},"cells":[],"new":1}`); nb.Minor != 7 || Validate(nb) != nil {
		t.Errorf("a later minor: %d, %v", nb.Minor, Validate(nb))
	}
}

func TestReadErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "empty"},
		{" \n", "empty"},
		{"{\n \"cells\": [\n  {,}\n]}", "line 3, column 4"},
		{`{"nbformat":4`, "cut off"},
		{`[1]`, "JSON array"},
		{`null`, "null"},
		{`{"a":1}`, "not a notebook"},
		{`{"nbformat":3,"worksheets":[]}`, "version 3"},
		{`{"nbformat":"4"}`, "want a whole number, got a string"},
		{`{"nbformat":4}`, "cells: missing"},
		{`{"nbformat":4,"cells":{}}`, "cells: want a list, got an object"},
		{`{"nbformat":4,"cells":[3]}`, "cell 1: cell: want an object, got the number 3"},
		{`{"nbformat":4,"cells":[{}]}`, "cell 1: cell_type: missing"},
		{`{"nbformat":4,"cells":[{"cell_type":"x"}]}`, `"x" is not one of`},
		{`{"nbformat":4,"cells":[{"cell_type":"code","source":7}]}`, "source: want a string or a list of strings, got the number 7"},
		{`{"nbformat":4,"cells":[{"cell_type":"code","source":[null]}]}`, "source: want a string"},
		{`{"nbformat":4,"cells":[{"cell_type":"code","execution_count":1.5}]}`, "execution_count: want a whole number"},
		{`{"nbformat":4,"cells":[{"cell_type":"code","outputs":[{"output_type":"error","traceback":"x"}]}]}`, "cell 1: output 1: traceback: want a list of strings"},
		{`{"nbformat":4,"metadata":[],"cells":[]}`, "metadata: want an object, got a list"},
	} {
		_, err := Read([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Read(%s): %v; want %q", c.text, err, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	one := 1
	for _, c := range []struct {
		change func(nb *Notebook)
		want   string
	}{
		{func(nb *Notebook) { nb.Cells[0].ID = "a b" }, "id"},
		{func(nb *Notebook) { nb.Cells[0].ID = nb.Cells[1].ID }, "is that of cell 1"},
		{func(nb *Notebook) { nb.Cells[0].Type = "x" }, "cell_type"},
		{func(nb *Notebook) { nb.Cells[0].ExecutionCount = &one }, "neither outputs nor"},
		{func(nb *Notebook) { nb.Cells[1].Attachments = map[string]Object{} }, "no attachments"},
		{func(nb *Notebook) { nb.Cells[1].Metadata.Set("tags", []string{"a", "a"}) }, "there twice"},
		{func(nb *Notebook) { nb.Cells[1].Metadata.Set("tags", []string{"a,b"}) }, "comma"},
		{func(nb *Notebook) { nb.Cells[1].Metadata.Set("tags", "a") }, "list of strings"},
		{func(nb *Notebook) { nb.Cells[1].Outputs[0].Type = "new" }, "output_type"},
		{func(nb *Notebook) { nb.Cells[1].Outputs[0].Name = "" }, "stream needs a name"},
		{func(nb *Notebook) { nb.Cells[1].Outputs[1].Data["text/plain"] = json.RawMessage("3") }, "text/plain"},
		{func(nb *Notebook) { nb.Cells[1].Outputs[1].Data["text/plain"] = 3 }, "got a int"},
		{func(nb *Notebook) { nb.Metadata.Set("kernelspec", map[string]int{"name": 1}) }, "kernelspec: name: want a string, got the number 1"},
		{func(nb *Notebook) { nb.Metadata.Set("authors", 1) }, "authors"},
	} {
		nb := mustRead(t, sample)
		c.change(nb)
		if err := Validate(nb); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Validate: %v; want %q", err, c.want)
		}
	}
	if err := Validate(New()); err != nil {
		t.Error(err)
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ipynb")
	nb := mustRead(t, sample)
	if err := nb.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	again, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(nb, again) {
		t.Error("not the same notebook after a file")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := nb.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("permissions became %v", info.Mode())
	}
	if err := nb.WriteFile(filepath.Join(path, "b")); err == nil {
		t.Error("no error for a path below a file")
	}
	if _, err := ReadFile(path + "x"); err == nil {
		t.Error("no error for a file that is not there")
	}
}

// TestJupyterAgrees has Jupyter's own nbformat check what we write, where it
// is installed.
func TestJupyterAgrees(t *testing.T) {
	if exec.Command("python3", "-c", "import nbformat").Run() != nil {
		t.Skip("python3 has no nbformat")
	}
	path := filepath.Join(t.TempDir(), "a.ipynb")
	nb := executed(t)
	if err := nb.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	const check = `import nbformat, sys
nb = nbformat.read(sys.argv[1], 4)
nbformat.validate(nb)
nbformat.write(nb, sys.argv[1])`
	if out, err := exec.Command("python3", "-c", check, path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ours, _ := nb.Bytes()
	theirs, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(ours) != string(theirs) {
		t.Errorf("Jupyter lays the file out otherwise:\n%s\n--- ours:\n%s", theirs, ours)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"nbformat":4,"cells":[{"cell_type":"code","source":["a"],"outputs":[{"output_type":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		nb, err := Read(text)
		if err != nil {
			return
		}
		_ = Validate(nb)
		out, err := nb.Bytes()
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		again, err := Read(out)
		if err != nil {
			t.Fatalf("written but not read: %v\n%s", err, out)
		}
		out2, err := again.Bytes()
		if err != nil || string(out) != string(out2) {
			t.Fatalf("not stable: %v\n%s\n---\n%s", err, out, out2)
		}
		if _, err := HTML(nb, nil); err != nil {
			t.Fatal(err)
		}
	})
}
