package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gonvex/gonvex/convex"
	"github.com/gonvex/gonvex/convex/sweep"
	"github.com/gonvex/gonvex/kernel/kerneltest"
	"github.com/gonvex/gonvex/kernel/server"
)

// TestSlurm runs what Gonvex does on Slurm against a controller and a node daemon of its own,
// from the system's packages, with their keys and state in a temporary folder. This test
// binary is the gonvex of the tasks; see TestMain.
func TestSlurm(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Slurm's daemons: not with -short")
	}
	startSlurm(t)
	t.Run("Killed", testSlurmKilled)
	t.Run("Notebook", testSlurmNotebook)
	t.Run("Kernel", testSlurmKernel)
	t.Run("MPI", testSlurmMPI)
}

// slurmConf is the whole configuration: one node, this machine, said to have four processors.
const slurmConf = `ClusterName=gonvex
SlurmctldHost={{host}}(127.0.0.1)
SlurmctldPort={{port}}
SlurmdPort={{port}}
AuthType=auth/munge
AuthInfo=socket={{dir}}/munge/socket,cred_expire=5
SlurmUser={{user}}
SlurmdUser={{user}}
StateSaveLocation={{dir}}/state
SlurmdSpoolDir={{dir}}/spool
SlurmctldPidFile={{dir}}/slurmctld.pid
SlurmdPidFile={{dir}}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0,default_queue_depth=1000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
KillWait=2
NodeName={{host}} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`

// startSlurm starts munged, slurmctld and slurmd, and stops them when the test ends.
func startSlurm(t testing.TB) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	for _, name := range []string{"munged", "slurmctld", "slurmd", "sbatch", "srun"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s here: apt-get install slurmctld slurmd slurm-client munge", name)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	// Not below t.TempDir, which is only for this user: munged wants to be reached by all.
	dir, err := os.MkdirTemp("", "gonvex-slurm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	for _, d := range []string{"munge", "state", "spool"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	key := make([]byte, 256)
	rand.Read(key)
	conf := slurmConf
	for strings.Contains(conf, "{{port}}") {
		conf = strings.Replace(conf, "{{port}}", freePort(t), 1)
	}
	conf = strings.NewReplacer("{{host}}", host, "{{dir}}", dir, "{{user}}", me.Username).Replace(conf)
	confFile := filepath.Join(dir, "slurm.conf")
	for name, text := range map[string][]byte{filepath.Join(dir, "munge", "key"): key, confFile: []byte(conf)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(confFile, 0o644)
	t.Setenv("SLURM_CONF", confFile)

	m := filepath.Join(dir, "munge")
	daemon(t, dir, "munged", "--foreground", "--force", "--key-file="+m+"/key", "--socket="+m+"/socket",
		"--pid-file="+m+"/pid", "--log-file="+m+"/log", "--seed-file="+m+"/seed")
	until(t, "munged has its socket", func() bool { _, err := os.Stat(m + "/socket"); return err == nil })
	daemon(t, dir, "slurmctld", "-D", "-f", confFile)
	daemon(t, dir, "slurmd", "-D", "-f", confFile)
	// Before the daemons stop, no job may be left.
	t.Cleanup(func() {
		exec.Command("scancel", "--user="+me.Username).Run()
		end := time.Now().Add(20 * time.Second)
		for time.Now().Before(end) {
			out, err := exec.Command("squeue", "--noheader").Output()
			if err != nil || len(bytes.TrimSpace(out)) == 0 {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	until(t, "the node is idle", func() bool {
		out, _ := exec.Command("sinfo", "--noheader", "--format=%T").Output()
		return strings.TrimSpace(string(out)) == "idle"
	})
}

// daemon runs a program until the test ends. It dies with this process, however that ends.
func daemon(t testing.TB, dir, name string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the signal comes when the thread that started it ends
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the end of what %s said:\n%s", name, text[max(0, len(text)-3000):])
		}
	})
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited a minute until %s", what)
		}
	}
}

// manyFits is a sweep of 200 quick fits.
func manyFits() []sweep.Job {
	betas, seeds := make([]float64, 10), make([]uint64, 10)
	for i := range betas {
		betas[i], seeds[i] = 0.1*float64(i+1), uint64(i+1)
	}
	return sweep.Grid(sweep.Job{
		Data: "breast_cancer", Rows: 60, Test: 0.3, Standardize: true, Bias: true,
		Loss: convex.Logistic, Settings: sweep.Settings{Samples: 30, Tol: 1e-5},
	}, []convex.Arch{convex.GatedReLU{}, convex.Threshold{}}, betas, seeds)
}

// A sweep of 200 fits whose tasks are killed at random, in every way a cluster knows, ends
// complete, each result written once, and equal to the local launcher's to the last digit.
func testSlurmKilled(t *testing.T) {
	dir := t.TempDir()
	spec, out, local := filepath.Join(dir, "spec.jsonl"), filepath.Join(dir, "results"), filepath.Join(dir, "local")
	if err := sweep.Write(spec, manyFits()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	k := killer{out: out, rnd: mathrand.New(mathrand.NewPCG(1, 2)), seen: map[string]bool{}, files: map[string]os.FileInfo{}, lost: map[string]int{}}
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			k.round()
			time.Sleep(50 * time.Millisecond)
		}
	}()
	start := time.Now()
	code, stdout, stderr := gonvex(t, "sweep", "slurm", spec, out, "--poll", "300ms", "--sbatch=--cpus-per-task=1")
	took := time.Since(start)
	stop()
	<-ended
	if code != 0 {
		t.Errorf("exit %d, %s\n%s", code, stderr, stdout)
	}
	k.look()
	t.Logf("%d tasks in %v; killed: %d processes, %d scripts; requeued by the administrator: %d; results that Slurm computed after a restart: %d",
		200, took.Round(time.Second), k.processes, k.scripts, k.requeues, restarted(t, spec, out))
	if k.processes < 5 || k.scripts < 2 || k.requeues < 2 {
		t.Error("too few were killed for this to show anything")
	}
	if len(k.rewritten) > 0 {
		t.Errorf("written twice: %v", k.rewritten)
	}

	if code, _, stderr := gonvex(t, "sweep", "local", spec, local); code != 0 {
		t.Fatalf("local: exit %d, %s", code, stderr)
	}
	if a, b := digits(t, spec, out), digits(t, spec, local); len(a) != 200 || !bytes.Equal(bytes.Join(a, nil), bytes.Join(b, nil)) {
		t.Errorf("%d results by Slurm, %d by processes here, and they differ", len(a), len(b))
	}
}

// digits are the results of a sweep without who computed them.
func digits(t *testing.T, spec, out string) [][]byte {
	t.Helper()
	tab, err := sweep.Collect(spec, out)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, r := range tab.Results {
		r.Run = sweep.Origin{}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}

func restarted(t *testing.T, spec, out string) (n int) {
	t.Helper()
	tab, err := sweep.Collect(spec, out)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range tab.Results {
		if r.Run.Restarts > 0 {
			n++
		}
	}
	return n
}

// killer ends tasks of one sweep at random, and watches that no result is written twice.
type killer struct {
	out                          string
	rnd                          *mathrand.Rand
	seen                         map[string]bool // processes
	files                        map[string]os.FileInfo
	lost                         map[string]int // scripts killed, by the index of their task
	rewritten                    []string
	processes, scripts, requeues int
}

// round looks at every new task, and ends about one in five.
func (k *killer) round() {
	k.look()
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		// Only a process of this very sweep: gonvex sweep run SPEC OUT.
		line, err := os.ReadFile(p)
		if err != nil || !bytes.Contains(line, []byte("\x00sweep\x00run\x00")) || !bytes.Contains(line, []byte("\x00"+k.out+"\x00")) {
			continue
		}
		dir := filepath.Dir(p)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := os.ReadFile(dir + "/stat")
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if err != nil || len(f) < 20 {
			continue
		}
		parent, _ := strconv.Atoi(f[1])
		if key := filepath.Base(dir) + " since " + f[19]; k.seen[key] {
			continue
		} else {
			k.seen[key] = true
		}
		env, _ := os.ReadFile(dir + "/environ")
		task := variable(env, "SLURM_ARRAY_JOB_ID") + "_" + variable(env, "SLURM_ARRAY_TASK_ID")
		if task == "_" {
			continue
		}
		switch k.rnd.IntN(15) {
		case 0:
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				k.processes++
			}
		case 1:
			// Such a task is lost to Slurm. The launcher submits it again, but only twice.
			index := variable(env, "SLURM_ARRAY_TASK_ID")
			if k.lost[index] == 2 {
				continue
			}
			if syscall.Kill(parent, syscall.SIGKILL) == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
				k.scripts++
				k.lost[index]++
			}
		case 2:
			if exec.Command("scontrol", "requeue", task).Run() == nil {
				k.requeues++
			}
		}
	}
}

func variable(env []byte, name string) string {
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if key, value, _ := bytes.Cut(v, []byte("=")); string(key) == name {
			return string(value)
		}
	}
	return ""
}

// look notes results that are not the file they were.
func (k *killer) look() {
	paths, _ := filepath.Glob(filepath.Join(k.out, "*.json"))
	for _, p := range paths {
		info, err := os.Stat(p)
		if was := k.files[p]; err != nil || was != nil && !(os.SameFile(was, info) && was.ModTime().Equal(info.ModTime())) {
			k.rewritten = append(k.rewritten, filepath.Base(p))
		}
		k.files[p] = info
	}
}

// A cell that runs a sweep on Slurm shows its progress; interrupting the cell cancels the array.
func testSlurmNotebook(t *testing.T) {
	dir := t.TempDir()
	path := oneCell(t, fmt.Sprintf(`base := sweep.Job{Data: "digits", Loss: convex.Squared, Arch: convex.GatedReLU{}, Settings: sweep.Settings{Samples: 3000, Tol: 1e-12}}
jobs := sweep.Grid(base, nil, []float64{1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3, 7e-3, 8e-3}, nil)
sweep.Run(ctx, jobs, %q, sweep.Slurm{Poll: 200 * time.Millisecond})`, dir))
	ctx, interrupt := context.WithCancelCause(t.Context())
	defer interrupt(nil)
	go func() {
		for ctx.Err() == nil {
			out, _ := exec.Command("squeue", "--noheader", "--states=RUNNING").Output()
			if len(bytes.TrimSpace(out)) > 0 {
				time.Sleep(time.Second) // for the bar
				interrupt(errors.New("interrupted"))
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	var stdout, stderr strings.Builder
	code := run(ctx, []string{"exec", path, "--no-html"}, &stdout, &stderr)
	if code != 130 {
		t.Errorf("exit %d, %s", code, stderr.String())
	}
	until(t, "Slurm has no job", queueIsEmpty)
	text, err := os.ReadFile(strings.TrimSuffix(path, ".ipynb") + ".executed.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sweep slurm", "0 / 8", "was cancelled", "Interrupted"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the notebook does not say %q: %.3000s", want, text)
		}
	}
	if results, _ := filepath.Glob(filepath.Join(dir, "results", "*.json")); len(results) > 0 {
		t.Errorf("cancelled tasks left %v", results)
	}
}

func queueIsEmpty() bool {
	out, err := exec.Command("squeue", "--noheader").Output()
	return err == nil && len(bytes.TrimSpace(out)) == 0
}

// The kernel on a node: started by srun with the connection file that the client wrote, as the
// kernelspec in the README does. The node is this machine, so its address is the loopback's.
func testSlurmKernel(t *testing.T) {
	conn := server.Connection{Transport: "tcp", IP: "127.0.0.1", Key: "a secret", SignatureScheme: "hmac-sha256"}
	for _, port := range []*int{&conn.ShellPort, &conn.IOPubPort, &conn.StdinPort, &conn.ControlPort, &conn.HBPort} {
		*port, _ = strconv.Atoi(freePort(t))
	}
	text, err := json.Marshal(conn)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "connection.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "srun", "--ntasks=1", "--job-name=gonvex-kernel", "--input=none", binary, "kernel", "-f", file)
	cmd.Env = append(os.Environ(), "JPY_PARENT_PID=999999999") // a process of the machine where Jupyter runs
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	client := kerneltest.Dial(t, conn)
	r := client.Execute(`fmt.Print(os.Getenv("SLURM_JOB_NAME"))`)
	if r.Status != "ok" || r.Stdout != "gonvex-kernel" {
		t.Errorf("a cell on the node: %+v", r)
	}
	id := client.Send("shell", "execute_request", map[string]any{"code": "fmt.Println(\"begun\")\nfor {\n}"})
	time.Sleep(500 * time.Millisecond)
	client.Request("control", "interrupt_request", map[string]any{})
	if r := client.Outcome(id); r.Status != "error" || r.Ename != "Interrupted" {
		t.Errorf("an interrupted cell on the node: %+v", r)
	}
	client.Shutdown()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("srun: %v\n%s", err, said.String())
		}
	case <-time.After(30 * time.Second):
		t.Error("the kernel was shut down, but srun goes on")
		cmd.Process.Kill()
		<-ended
	}
	until(t, "Slurm has no job", queueIsEmpty)
}

// One problem over MPI under srun agrees with the same in one process.
func testSlurmMPI(t *testing.T) {
	if out, _ := exec.Command("srun", "--mpi=list").CombinedOutput(); !bytes.Contains(out, []byte("pmix")) {
		t.Skipf("this Slurm does not start MPI by pmix: %s", out)
	}
	// The ranks wait for each other by looking all the time: on fewer processors than ranks they
	// must give way, which mpirun sees to by itself.
	t.Setenv("OMPI_MCA_mpi_yield_when_idle", "1")
	tail := []string{mpiBinary(t), "solve", "../../convex/testdata/problems/01_gated_small.json", "--json", "--tol", "4e-9"}
	objective, bound := solved(t, tail...)
	// srun may end before it has passed on what the ranks said; a file has it all.
	file := filepath.Join(t.TempDir(), "result.json")
	srun := []string{"srun", "--mpi=pmix", "--ntasks=4", "sh", "-c", `exec "$@" >>"$0"`, file}
	if out, err := exec.CommandContext(t.Context(), srun[0], append(append(srun[1:], tail...), "--mpi")...).CombinedOutput(); err != nil {
		t.Fatalf("srun: %v\n%s", err, out)
	}
	o, b := solved(t, "cat", file)
	t.Logf("4 ranks under srun: %.12g ≥ %.12g; alone %.12g ≥ %.12g", o, b, objective, bound)
	if math.Abs(o-objective) > 1e-8*objective || math.Abs(b-bound) > 1e-8*objective {
		t.Error("they differ")
	}

	// One of the ranks dies; with the option of the README the others do not wait for it.
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	dies := `[ "$SLURM_PROCID" != 1 ] || (sleep 2; kill -9 $$) & exec "$@" >>"$0"`
	srun = []string{"srun", "--mpi=pmix", "--ntasks=2", "--kill-on-bad-exit=1", "sh", "-c", dies, file}
	tail = []string{tail[0], "solve", tail[2], "--mpi", "--tol", "1e-300", "--time-limit", "5m"}
	if out, err := exec.CommandContext(ctx, srun[0], append(srun[1:], tail...)...).CombinedOutput(); err == nil || ctx.Err() != nil {
		t.Errorf("a rank that dies under srun: %v, %v\n%s", err, ctx.Err(), out)
	}
}
