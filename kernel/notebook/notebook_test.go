package notebook

import (
	"os"
	"testing"
)

func TestDemo(t *testing.T) {
	out := os.Getenv("DEMO_OUT")
	if out == "" {
		t.Skip()
	}
	nb, err := ReadFile(os.Getenv("DEMO_IN"))
	if err != nil {
		t.Fatal(err)
	}
	if err := nb.WriteHTML(out, nil); err != nil {
		t.Fatal(err)
	}
}
