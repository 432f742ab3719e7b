"""What a kernel must live through: a killed worker, endless cells, wild goroutines."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import TIMEOUT


def test_streams_arrive_while_the_cell_runs(kernel):
    arrived = {}

    def hook(message):
        if message["msg_type"] == "stream":
            for word in ("first", "second"):
                if word in message["content"]["text"]:
                    arrived.setdefault(word, time.monotonic())

    kernel.run('fmt.Println("first"); time.Sleep(time.Second); fmt.Println("second")', hook)
    assert arrived["second"] - arrived["first"] > 0.5


def test_kill_9_of_the_worker_during_a_cell(kernel):
    assert kernel.text("x := 41; x + 1") == "42"
    before = set(kernel.workers())
    assert before, "the kernel has no worker process"

    def kill(message):
        if message["msg_type"] == "stream" and "running" in message["content"]["text"]:
            pid = int(message["content"]["text"].split()[-1])
            assert pid in before
            os.kill(pid, signal.SIGKILL)

    content, _ = kernel.run('fmt.Println("running", os.Getpid())\nfor {\n}', kill)
    assert content["status"] == "error"
    # It says what happened ...
    told = (content["ename"] + " " + content["evalue"] + " ".join(content["traceback"])).lower()
    assert "kill" in told or "died" in told or "ended" in told, content
    # ... and the same kernel runs the next cell.
    assert kernel.manager.is_alive()
    assert kernel.text("6 * 7").endswith("42")


def test_kill_9_of_the_worker_between_cells(kernel):
    pid = int(kernel.text("os.Getpid()"))
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    assert kernel.text("6 * 7").endswith("42")


def test_interrupt_keeps_the_variables(kernel):
    kernel.text("kept := 7")
    for loop in ("for {\n}", "time.Sleep(time.Hour)", "<-make(chan int)"):

        def interrupt(message):
            if message["msg_type"] == "stream" and "begun" in message["content"]["text"]:
                kernel.manager.interrupt_kernel()

        content, _ = kernel.run('fmt.Println("begun")\n' + loop, interrupt)
        assert content["status"] == "error", loop
        assert kernel.text("kept").strip() == "7", loop


def test_interrupt_by_signal(kernel):
    kernel.text("kept := 7")

    def interrupt(message):
        if message["msg_type"] == "stream":
            os.kill(kernel.manager.provisioner.pid, signal.SIGINT)

    content, _ = kernel.run('fmt.Println("begun")\nfor {\n}', interrupt)
    assert content["status"] == "error"
    assert kernel.text("kept").strip() == "7"


def test_interrupted_solve_returns_its_best(kernel):
    kernel.text("X, y := data.Spiral(400, 0.2, 1)")

    def interrupt(message):
        if message["msg_type"] == "stream" and "begun" in message["content"]["text"]:
            threading.Timer(1, kernel.manager.interrupt_kernel).start()

    content, _ = kernel.run(
        'fmt.Println("begun")\n'
        "p := convex.Problem{X: X, Y: y, Loss: convex.Logistic, Beta: 1e-4}\n"
        "best, err := convex.Solve(ctx, p, &convex.Settings{Tol: 1e-15})",
        interrupt,
    )
    assert content["status"] in ("ok", "error")
    if content["status"] == "ok":  # the solve came back with what it had
        assert kernel.text("best != nil").strip() == "true"
    assert kernel.text("6 * 7").strip() == "42"


def test_wild_cells(kernel):
    """Each of these ends a kernel that runs cells in its own process."""
    for code in (
        'go func() { panic("in a goroutine") }()\ntime.Sleep(300 * time.Millisecond)',
        "func deep(n int) int { return deep(n+1) + 1 }\ndeep(0)",
        "os.Exit(3)",
        'panic("boom")',
    ):
        kernel.run(code)
        assert kernel.manager.is_alive(), code
        assert kernel.text("6 * 7").endswith("42"), code


def test_redefinition(kernel):
    assert kernel.text("v := 1\nfunc f() int { return v }\nfunc g() int { return f() }\ng()").strip() == "1"
    # f no longer compiles, and the kernel says so; the new v stands.
    told = kernel.text('v := "now a string"\nlen(v)')
    assert "func f" in told and told.endswith("12"), told
    assert kernel.text("func f() int { return 5 }\nf()").endswith("5")


def test_a_cell_with_a_compile_error_changes_nothing(kernel):
    kernel.text("a := 1")
    content, _ = kernel.run("a = 2\nb := undefinedName")
    assert content["status"] == "error"
    assert any("undefinedName" in line for line in content["traceback"])
    assert kernel.text("a").strip() == "1"


def test_stdin(kernel):
    asked = []

    def answer(message):
        asked.append(message["content"]["prompt"])
        kernel.client.input("Ada")

    assert "hello Ada" in kernel.text(
        'name := input("who? ")\nfmt.Println("hello", name)', allow_stdin=True, stdin_hook=answer
    )
    assert asked == ["who? "]


def test_shutdown_leaves_no_process(kernel):
    workers = kernel.workers()
    kernel.text("1")
    kernel.client.shutdown()
    deadline = time.monotonic() + TIMEOUT
    while kernel.manager.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not kernel.manager.is_alive()
    for pid in workers:
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not os.path.exists(f"/proc/{pid}")


def told(content):
    """What the reply says about an error."""
    return "\n".join([content.get("ename", ""), content.get("evalue", ""), *content.get("traceback", [])])


def when_begun(action):
    """An output hook that acts once the cell has said that it has begun."""

    def hook(message):
        if message["msg_type"] == "stream" and "begun" in message["content"]["text"]:
            action()

    return hook


def worker_of(kernel):
    return int(kernel.text("os.Getpid()").splitlines()[-1])


def test_death_shows_the_trace_and_offers_restore(kernel):
    """A crash of the worker: its Go trace, the offer, the history, and the way back, twice."""
    kernel.text("a := 40")
    kernel.text("func f(n int) int { return a + n }")
    for _ in range(2):
        pid = worker_of(kernel)
        content, _ = kernel.run(
            'fmt.Println("begun")\nfor {\n}', when_begun(lambda pid=pid: os.kill(pid, signal.SIGABRT))
        )
        assert content["status"] == "error"
        assert "SIGABRT" in told(content) and "goroutine " in told(content), told(content)
        assert "%restore" in told(content)
        content, _ = kernel.run("f(1)")
        assert "undefined" in told(content)
        assert "restored" in kernel.text("%restore")
        assert kernel.text("f(2)").strip() == "42"
    tail = kernel.client.history(hist_access_type="tail", n=200, reply=True, timeout=TIMEOUT)["content"]["history"]
    assert any(source == "a := 40" for _, _, source in tail)


def test_death_closes_the_comms(kernel):
    opened = [
        m for m in kernel.run("s := &display.Slider{}\ns.Show()")[1] if m["msg_type"] == "comm_open"
    ]
    assert len(opened) == 3
    pid = worker_of(kernel)
    _, outputs = kernel.run('fmt.Println("begun")\nfor {\n}', when_begun(lambda: os.kill(pid, signal.SIGKILL)))
    closed = {m["content"]["comm_id"] for m in outputs if m["msg_type"] == "comm_close"}
    assert closed == {m["content"]["comm_id"] for m in opened}
    assert kernel.client.comm_info(reply=True, timeout=TIMEOUT)["content"]["comms"] == {}


def test_recursion_does_not_stop_the_next_cell(kernel):
    kernel.text("kept := 7\nfunc deep(n int) int { return deep(n+1) + 1 }")
    for _ in range(3):
        content, _ = kernel.run("deep(0)")
        assert "stack overflow" in told(content), told(content)
        assert kernel.text("time.Sleep(200*time.Millisecond)\nkept").strip() == "7"


def test_memory_limit(start):
    kernel = start(flags=["--memory", "1GB"])
    kernel.text("kept := 7")
    content, _ = kernel.run("var hoard [][]byte\nfor {\n\thoard = append(hoard, bytes.Repeat([]byte{1}, 4<<20))\n}")
    assert "memory" in told(content), told(content)
    kernel.run("hoard = nil")
    kernel.run("%restore")
    assert kernel.text("kept").splitlines()[-1] == "7"
    # One allocation too large for any machine: the runtime gives up, and the cell says why.
    content, _ = kernel.run("n := 1 << 38\nb := make([]byte, n)\nlen(b)")
    assert "memory" in told(content) and "limit" in told(content), told(content)
    assert kernel.text("6 * 7").splitlines()[-1] == "42"


def test_exit_and_fatal(kernel):
    kernel.text("kept := 7")
    for code in ("os.Exit(3)", 'log.Fatal("no data")', 'log.Fatalf("no %s", "data")'):
        content, _ = kernel.run(code)
        assert content["status"] == "error"
        assert "os.Exit(3)" in told(content) or "no data" in told(content), told(content)
        assert kernel.text("kept").strip() == "7"


def test_deadlocks_end_on_interrupt(kernel):
    kernel.text("kept := 7\nvar mu sync.Mutex\nvar wg sync.WaitGroup\nwg.Add(1)")
    for code in ("select {}", "mu.Lock(); mu.Lock()", "wg.Wait()", "ch := make(chan int); ch <- 1", "for range make(chan int) {}"):
        content, _ = kernel.run('fmt.Println("begun")\n' + code, when_begun(kernel.manager.interrupt_kernel))
        assert content["status"] == "error" and "nterrupt" in told(content), (code, content)
        assert kernel.text("kept").strip() == "7"


def test_compiled_loop_that_ignores_interrupt(kernel):
    """The prompt comes back without it, and what was computed stays."""
    kernel.text("kept := 7")
    start = time.monotonic()
    content, _ = kernel.run(
        'fmt.Println("begun")\n'
        "x := new(big.Int).Exp(big.NewInt(3), new(big.Int).Lsh(big.NewInt(1), 26), nil)\n_ = x",
        when_begun(kernel.manager.interrupt_kernel),
    )
    assert content["status"] == "error" and "nterrupt" in told(content), content
    assert time.monotonic() - start < 20
    assert kernel.text("kept").splitlines()[-1] == "7"


def test_closed_pipes(start):
    """Neither a cell that closes its streams nor a log that nobody reads ends the kernel."""
    end, stream = os.pipe()
    kernel = start(stdout=stream, stderr=stream)
    os.close(stream)
    os.close(end)  # from here on the kernel's own log goes nowhere
    with socket.create_connection(("127.0.0.1", kernel.manager.shell_port)) as s:
        s.sendall(b"nonsense" * 20)
    kernel.client.shell_channel.socket.send_multipart([b"no delimiter"])  # which is logged
    assert kernel.text("6 * 7").strip() == "42"
    kernel.run("os.Stdout.Close()\nos.Stderr.Close()")
    assert kernel.text('fmt.Println("printed")\n6 * 7').splitlines()[-1] == "42"


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0,
    reason="a small disk needs user namespaces",
)
def test_full_disk(start, tmp_path):
    """History and what cells write fail for lack of room; the kernel goes on."""
    script = f'mount -t tmpfs -o size=64k none {tmp_path} && exec "$@"'
    kernel = start(
        wrapper=["unshare", "-rm", "sh", "-c", script, "sh"],
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
    )
    content, _ = kernel.run(f'err := os.WriteFile("{tmp_path}/full", make([]byte, 1<<20), 0o600)\nerr.Error()', store_history=True)
    assert content["status"] == "ok"
    for i in range(5):
        assert kernel.text(f'x{i} := "{"x" * 20000}"\nlen(x{i})', store_history=True).strip() == "20000"
    tail = kernel.client.history(hist_access_type="tail", n=3, reply=True, timeout=TIMEOUT)["content"]["history"]
    assert len(tail) == 3 and "x4" in tail[-1][2]  # of this session it is all there


def test_kill_9_of_the_kernel_takes_the_worker_with_it(start):
    kernel = start()
    kernel.text("1")
    kernel.client.execute("for {\n}")  # busy
    time.sleep(0.5)
    workers = kernel.workers()
    assert workers
    os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)
    deadline = time.monotonic() + TIMEOUT
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "the worker outlives the kernel"
        time.sleep(0.05)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_kernels_at_once(start, tmp_path):
    """They share nothing but the file of the history, and write no torn line into it."""
    env = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    a, b = start(env=env), start(env=env)
    for i in range(50):
        assert a.text(f"v := {i}", store_history=True) == "" and b.text(f"v := -{i}", store_history=True) == ""
    assert a.text("v").strip() == "49" and b.text("v").strip() == "-49"
    os.kill(worker_of(a), signal.SIGKILL)
    assert b.text("v").strip() == "-49"

    def inputs():
        file = tmp_path / "gonvex" / "history.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    late = time.monotonic() + 10  # the file is written in batches
    while (n := sum("v := " in c.get("input", "") for c in inputs())) < 100 and time.monotonic() < late:
        time.sleep(0.05)
    assert n == 100 and len({c["session"] for c in inputs()}) == 2


def test_a_panic_in_a_goroutine_is_the_cells_error(kernel):
    kernel.text("kept := 7")
    content, _ = kernel.run('go func() { panic("in a goroutine") }()\ntime.Sleep(300 * time.Millisecond)')
    assert content["status"] == "error" and "in a goroutine" in told(content)
    content, _ = kernel.run('var wg sync.WaitGroup\nwg.Go(func() { panic("in a callback") })\nwg.Wait()')
    assert content["status"] == "error" and "in a callback" in told(content)
    kernel.run("%restore")
    assert kernel.text("kept").splitlines()[-1] == "7"
