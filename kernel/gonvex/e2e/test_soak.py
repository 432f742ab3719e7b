"""Many mixed cells, one in a hundred a cell that would end a lesser kernel.

    SOAK=10000 python -m pytest -s kernel/gonvex/e2e/test_soak.py     the long run; without SOAK a short one
    SOAK=10000 SOAK_DEATHS=0 python -m pytest …                       with one interpreter from the first cell to the last

Every cell is answered, and answered right; the kernel process never ends; memory and the
time of a cell stay what they were.
"""

import os
import random
import signal
import statistics
import time

from conftest import TIMEOUT

CELLS = int(os.environ.get("SOAK", 400))
DEATHS = os.environ.get("SOAK_DEATHS") != "0"


def mixed(rng, i):
    """A cell, and the value it must show ("" for none)."""
    n = rng.randrange(1000)
    return rng.choice(
        [
            lambda: (f"v{n % 50} := {n}\nv{n % 50} + 1", str(n + 1)),
            lambda: (f"func f{n % 20}(x int) int {{ return x + {n} }}\nf{n % 20}({i})", str(i + n)),
            lambda: (f'fmt.Println("line", {i})', f"line {i}"),
            lambda: (f"for k := range 200 {{ fmt.Println({i}, k) }}", "\n".join(f"{i} {k}" for k in range(200))),
            lambda: (f"type T{n % 10} struct{{ X, Y int }}\nT{n % 10}{{1, {n}}}.Y", str(n)),
            lambda: (f"s := make([]float64, {n + 1})\nlen(s)", str(n + 1)),
            lambda: (f"m := mat.NewDense(2, 2, []float64{{1, 2, 3, {n}}})\nm.At(1, 1)", f"{n}"),
            lambda: (f"done := make(chan int)\ngo func() {{ done <- {n} }}()\n<-done", str(n)),
            lambda: (f'import "strings"\nlen(strings.Repeat("a", {n}))', str(n)),
            lambda: (f"func() (r int) {{ defer func() {{ recover(); r = {n} }}(); panic(1) }}()", str(n)),
            lambda: (f'display.Show(display.HTML("<b>{n}</b>"))', ""),
            lambda: (f"func g[E any](x E) E {{ return x }}\ng({n})", str(n)),
        ]
    )()


class Faults:
    """Cells that fail, each in its own way; every one must be told as an error."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.deaths = 0
        self.kinds = [
            lambda: self.fails('panic("soak")'),
            lambda: self.fails('go func() { panic("soak") }()\ntime.Sleep(20 * time.Millisecond)'),
            lambda: self.fails("os.Exit(1)"),
            lambda: self.fails('log.Fatal("soak")'),
            lambda: self.fails("undefinedName + 1"),
            lambda: self.fails("var p *int\n*p = 1"),
            lambda: self.fails("func deep(n int) int { return deep(n+1) + 1 }\ndeep(0)"),
            lambda: self.interrupted("for {\n}"),
            lambda: self.interrupted("<-make(chan int)"),
            lambda: self.dies(signal.SIGKILL),
            lambda: self.interrupted("for i := 0; ; i++ { fmt.Println(i) }"),
            lambda: self.dies(signal.SIGABRT),
        ]
        if not DEATHS:
            self.kinds = self.kinds[:9] + self.kinds[10:11]

    def __call__(self, i):
        self.kinds[i % len(self.kinds)]()

    def fails(self, code):
        content, _ = self.kernel.run(code)
        assert content["status"] == "error", code

    def during(self, code, action):
        did = []

        def hook(message):
            if message["msg_type"] == "stream" and not did:
                did.append(True)
                action()

        content, _ = self.kernel.run('fmt.Println("begun")\n' + code, hook)
        assert content["status"] == "error", code

    def interrupted(self, code):
        self.during(code, self.kernel.manager.interrupt_kernel)

    def dies(self, with_signal):
        self.deaths += 1
        pid = int(self.kernel.text("os.Getpid()").split()[-1])
        self.during("for {\n}", lambda: os.kill(pid, with_signal))


def resident(pid):
    """MB of memory of a process."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS"))


def test_soak(start, tmp_path):
    kernel = start(env={**os.environ, "XDG_DATA_HOME": str(tmp_path)})
    front = kernel.manager.provisioner.pid
    rng = random.Random(1)
    faults = Faults(kernel)
    times, memory, workers = [], [], []
    for i in range(CELLS):
        if i % 100 == 99:
            faults(i // 100)
            assert kernel.manager.is_alive()
            continue
        code, want = mixed(rng, i)
        got = kernel.text(code)
        assert got.splitlines()[-len(want.splitlines()) :] == want.splitlines(), (code, got)
        if i % 10 == 0:
            began = time.perf_counter()
            assert kernel.text("1+1") == "2"
            times.append(time.perf_counter() - began)
        if i % 100 == 50:
            memory.append(resident(front))
            workers.append(max(resident(pid) for pid in kernel.workers()))
    # Where the interpreter died, the way back is there.
    kernel.text("last := 1")
    os.kill(int(kernel.text("os.Getpid()").split()[-1]), signal.SIGKILL)
    time.sleep(0.5)
    began = time.perf_counter()
    content, outputs = kernel.run("%restore")
    restored = time.perf_counter() - began
    assert content["status"] == "ok", content
    assert kernel.text("last").strip() == "1"
    tail = kernel.client.history(hist_access_type="tail", n=1, reply=True, timeout=TIMEOUT)["content"]["history"]
    assert tail[0][2] == "last"

    part = max(len(times) // 10, 5)
    early, late = statistics.median(times[1 : part + 1]), statistics.median(times[-part:])
    print(
        f"\n{CELLS} cells, {CELLS // 100} faults, {faults.deaths + 1} deaths: 1+1 {early * 1e3:.2f} ms early, {late * 1e3:.2f} ms late; "
        f"kernel {memory[0]:.0f} MB, at most {max(memory):.0f}, {memory[-1]:.0f} at the end; "
        f"worker {workers[0]:.0f} MB, at most {max(workers):.0f}, {workers[-1]:.0f} at the end; "
        f"restore of all in {restored:.1f} s"
    )
    half = len(memory) // 2
    assert max(memory[half:]) < 1.5 * memory[0] + 40, memory
    # A cell that fills its stack leaves pages behind that go back to the system by and by.
    assert statistics.median(workers[half:]) < 1.5 * workers[0] + 40, workers
