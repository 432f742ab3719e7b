"""What a kernel must live through: a killed worker, endless cells, wild goroutines."""

import os
import signal
import threading
import time

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
