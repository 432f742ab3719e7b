package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mpiBinary builds gonvex with MPI, where OpenMPI is.
func mpiBinary(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds gonvex with MPI: not with -short")
	}
	for _, name := range []string{"mpirun", "pkg-config", "gcc"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s here: apt-get install openmpi-bin libopenmpi-dev pkg-config gcc", name)
		}
	}
	if exec.Command("pkg-config", "--exists", "ompi-c").Run() != nil {
		t.Skip("there are no headers of OpenMPI here: apt-get install libopenmpi-dev")
	}
	binary := filepath.Join(t.TempDir(), "gonvex")
	cmd := exec.Command("go", "build", "-tags", "mpi", "-buildvcs=false", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build -tags mpi: %v\n%s", err, out)
	}
	return binary
}

// mpirun is the start of a command line that also works as root, as in a container, and with
// more ranks than processors.
func mpirun(ranks int) []string {
	return []string{"mpirun", "--allow-run-as-root", "--oversubscribe", "-n", fmt.Sprint(ranks)}
}

// solved runs a command line that ends in `solve … --json`.
func solved(t *testing.T, command ...string) (objective, bound float64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", command, err, out, stderr.String())
	}
	var r solveResult
	if err := json.Unmarshal(out, &r); err != nil || r.Objective == nil || r.LowerBound == nil {
		t.Fatalf("%v printed %s", command, out)
	}
	if r.Status != "optimal" {
		t.Errorf("%v: %s, gap %v", command, r.Status, *r.Gap)
	}
	return *r.Objective, *r.LowerBound
}

// One, two and four processes agree with one without MPI to 1e-8 in objective and bound.
func TestMPI(t *testing.T) {
	binary := mpiBinary(t)
	for _, file := range []string{"01_gated_small.json", "06_relu_n8_d2.json", "14_gated_vector_nuclear.json"} {
		tail := []string{binary, "solve", filepath.Join("../../convex/testdata/problems", file), "--json", "--tol", "4e-9"}
		objective, bound := solved(t, tail...)
		for _, ranks := range []int{1, 2, 4} {
			o, b := solved(t, append(append(mpirun(ranks), tail...), "--mpi")...)
			t.Logf("%s, %d ranks: %.12g ≥ %.12g; alone %.12g ≥ %.12g", file, ranks, o, b, objective, bound)
			if math.Abs(o-objective) > 1e-8*objective || math.Abs(b-bound) > 1e-8*objective {
				t.Errorf("%s: %d ranks find %.12g ≥ %.12g, one process %.12g ≥ %.12g", file, ranks, o, b, objective, bound)
			}
		}
	}
	out, err := exec.Command("mpirun", append(mpirun(2)[1:], binary, "solve", "--mpi", "nowhere.json")...).CombinedOutput()
	if err == nil || strings.Count(string(out), "nowhere.json: no such file") != 1 {
		t.Errorf("a file that is not there: %v\n%s", err, out)
	}
	t.Run("interrupted", func(t *testing.T) { testMPIEnds(t, binary, true) })
	t.Run("a rank dies", func(t *testing.T) { testMPIEnds(t, binary, false) })
}

// An interrupt ends all ranks with the best so far. A rank that is killed ends the others.
func testMPIEnds(t *testing.T, binary string, interrupt bool) {
	// mpirun waits so long before it terminates the ranks, and again before it kills
	// them: a second, if not told otherwise, may be too short on a busy machine.
	line := append(mpirun(3), "--mca", "odls_base_sigkill_timeout", "8", binary, "solve", "--mpi", "../../convex/testdata/problems/06_relu_n8_d2.json", "--tol", "1e-300", "--time-limit", "60s", "--json")
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // they iterate
	if interrupt {
		cmd.Process.Signal(os.Interrupt)
	} else {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		last := strings.Fields(string(children))
		if err != nil || len(last) != 3 {
			cmd.Process.Kill()
			t.Fatalf("mpirun's ranks are %s, %v", children, err)
		}
		pid, _ := strconv.Atoi(last[2])
		syscall.Kill(pid, syscall.SIGKILL)
	}
	late := time.AfterFunc(45*time.Second, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Fatalf("45 seconds later they still run\n%s", stderr.String())
	}
	var r solveResult
	if interrupt && (json.Unmarshal([]byte(stdout.String()), &r) != nil || r.Status != "stopped" || r.Objective == nil) {
		t.Errorf("interrupted: %v\n%s%s", err, stdout.String(), stderr.String())
	}
	if !interrupt && (err == nil || stdout.Len() > 0) {
		t.Errorf("%v\n%s", err, stdout.String())
	}
}

func TestWithoutMPI(t *testing.T) {
	code, _, stderr := gonvex(t, "solve", "--mpi", "../../convex/testdata/problems/01_gated_small.json")
	if code != 1 || !strings.Contains(stderr, "go build -tags mpi") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if code, _, stderr := gonvex(t, "solve", "--mpi", "--solver", "admm", "x.json"); code != 2 || !strings.Contains(stderr, "--solver") {
		t.Errorf("--solver: exit %d, %q", code, stderr)
	}
}
