package kernelspec

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstallFindRemove(t *testing.T) {
	data := t.TempDir()
	binary := filepath.Join(t.TempDir(), "gonvex")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // installing again must be harmless
		dir, err := Install(data, DefaultName, binary)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(data, "kernels", "gonvex"); dir != want {
			t.Fatalf("installed to %s, want %s", dir, want)
		}
	}
	found := Find([]string{filepath.Join(data, "nowhere"), data})
	if len(found) != 1 {
		t.Fatalf("found %d kernels, want 1", len(found))
	}
	k := found[0]
	if k.Problem != "" || k.Spec.Argv[0] != binary || k.Spec.Argv[3] != "{connection_file}" {
		t.Errorf("found %+v", k)
	}
	if k.Spec.DisplayName != "Go (Gonvex)" || k.Spec.Language != "go" {
		t.Errorf("display name %q, language %q", k.Spec.DisplayName, k.Spec.Language)
	}

	if err := os.Remove(binary); err != nil {
		t.Fatal(err)
	}
	if p := Find([]string{data})[0].Problem; !strings.Contains(p, "does not exist") {
		t.Errorf("problem of a kernel whose binary is gone: %q", p)
	}

	if _, found, err := Remove(data, DefaultName); err != nil || !found {
		t.Fatalf("Remove: found %v, %v", found, err)
	}
	if _, found, err := Remove(data, DefaultName); err != nil || found {
		t.Fatalf("second Remove: found %v, %v", found, err)
	}
	if n := len(Find([]string{data})); n != 0 {
		t.Errorf("%d kernels left after Remove", n)
	}
}

func TestRemoveLeavesOtherKernelsAlone(t *testing.T) {
	data := t.TempDir()
	dir := Dir(data, "gonvex")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := `{"argv":["python3","-m","ipykernel_launcher"],"display_name":"Python","language":"python"}`
	if err := os.WriteFile(filepath.Join(dir, "kernel.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Remove(data, "gonvex"); err == nil {
		t.Error("Remove deleted another language's kernel")
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "a/b", "go kernel", "gö"} {
		if CheckName(bad) == nil {
			t.Errorf("name %q accepted", bad)
		}
	}
	data := t.TempDir()
	dir, err := Install(data, "gonvex-dev", "/opt/gonvex")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if spec.DisplayName == "Go (Gonvex)" {
		t.Error("a second kernel has the first one's label")
	}
	if _, err := Install(data, "gonvex", "gonvex"); err == nil {
		t.Error("a relative binary was accepted: Jupyter would look for it in its own PATH")
	}
}

// JupyterLab draws a broken image when a logo is not of the size its name says.
func TestLogos(t *testing.T) {
	for name, size := range map[string]int{"logo-32x32.png": 32, "logo-64x64.png": 64} {
		raw, err := files.ReadFile("files/" + name)
		if err != nil {
			t.Fatal(err)
		}
		config, err := png.DecodeConfig(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if config.Width != size || config.Height != size {
			t.Errorf("%s is %d×%d", name, config.Width, config.Height)
		}
	}
}

func TestUserDataDirHonoursJupyter(t *testing.T) {
	t.Setenv("JUPYTER_DATA_DIR", "/data/jupyter")
	dir, err := UserDataDir()
	if err != nil || dir != "/data/jupyter" {
		t.Errorf("UserDataDir = %q, %v", dir, err)
	}
	t.Setenv("JUPYTER_PATH", "/a"+string(os.PathListSeparator)+"/data/jupyter")
	if dirs := DataDirs(); dirs[0] != "/a" || dirs[1] != "/data/jupyter" {
		t.Errorf("DataDirs = %v", dirs)
	}
}
