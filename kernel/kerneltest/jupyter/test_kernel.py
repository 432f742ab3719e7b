"""jupyter_kernel_test's suite and what it lacks, for the kernel that the environment names.

KERNEL_NAME     kernelspec to test (default gonvex)
KERNEL_SAMPLES  JSON file that overrides attributes of SAMPLES below (default: samples.json beside this file)

Works with Debian 12's python3-jupyter-kernel-test 0.4.5 and with upstream 0.7.0; what upstream has
and 0.4.5 lacks (iopub_welcome) and what neither has (stdin) is here too.  See README.md.
"""
import json
import os
import time
import unittest
from queue import Empty

import jupyter_kernel_test
from jupyter_client.manager import KernelManager, start_new_kernel
from jupyter_kernel_test import msgspec_v5
from jupyter_kernel_test.msgspec_v5 import validate_message

if os.environ.get("KERNEL_LAX"):  # let a kernel whose headers say version <= 5.1 pass the "no extra keys" rule
    msgspec_v5.protocol_version = (5, -1)

KERNEL = os.environ.get("KERNEL_NAME") or "gonvex"
TIMEOUT = float(os.environ.get("KERNEL_TIMEOUT", "30"))

SAMPLES = {
    "language_name": "go",
    "file_extension": ".go",
    "setup": 'import ("fmt"; "os"; "nb")',  # run once, before the tests
    "code_hello_world": 'fmt.Println("hello, world")',
    "code_stderr": 'fmt.Fprintln(os.Stderr, "oops")',
    "completion_samples": [
        {"text": "fmt.Printl", "matches": ["Println"]},
        {"text": "fmt.Sprintf", "matches": ["Sprintf"]},
        {"text": "zeta", "matches": ["zetaAlpha", "zetaBeta"]},  # from setup_names
        {"text": "func", "matches": ["func"]},
        {"text": "x := fmt.Fprintl", "matches": ["Fprintln"]},
        {"text": 'é := "日本"; fmt.Printl', "matches": ["Println"]},
        {"text": "nosuchpackage.x", "matches": []},
    ],
    "setup_names": "zetaAlpha := 1\nzetaBeta := 2",
    "complete_code_samples": [
        "1", "x := 1", 'fmt.Println("hi")', "func f() int { return 1 }",
        "for i := 0; i < 3; i++ {\n\tfmt.Println(i)\n}", "type T struct{ X int }", "var a = []int{\n\t1,\n}",
        'import "math"', "x := `raw\nstring`", "// only a comment", "/* c */ 1", "if true { } else { }", "",
    ],
    "incomplete_code_samples": [
        "func f() int {", "for i := 0; i < 3; i++ {", "fmt.Println(", "x := []int{1,", "type T struct {",
        "x := `raw", "/* comment", "x := 1 +", "var a = map[string]int{", "switch x {\ncase 1:", "import (",
    ],
    "invalid_code_samples": ["x := )", "func func", "}", "1 2", 'x := "unterminated', "var 1x int"],
    "code_generate_error": 'panic("boom")',
    "code_execute_result": [
        {"code": "6*7", "result": "42"},
        {"code": '"a" + "b"', "result": "ab"},
        {"code": "vv := 20\nvv + 3", "result": "23"},
        {"code": "[]int{1, 2, 3}", "result": "[1 2 3]"},
        {"code": "func sq(x int) int { return x * x }\nsq(12)", "result": "144"},
        {"code": 'import "strings"\nstrings.Repeat("ab", 2)', "result": "abab"},
    ],
    "code_display_data": [{"code": 'nb.HTML("<b>hi</b>")', "mime": "text/html"}],
    "code_inspect_sample": "fmt.Println",
    "code_clear_output": "nb.Clear(false)",
    "code_history_pattern": "6?7*",
    "supported_history_operations": ["tail", "range", "search"],
    "code_page_something": "",  # pager payloads are deprecated; set to test
    "code_stdin": 'var who string; fmt.Scanln(&who); fmt.Println("hello,", who)',
    "support_iopub_welcome": True,
    # not jupyter_kernel_test's own:
    "order": "ABC*DE",
    "no_output": ["x1 := 3", "func g() {}", "type U struct{}", "var w = 3", "for i := 0; i < 2; i++ { }",
                  'import "math"', "// c", "", "_ = 4", "var e error"],
    "errors": ["undefinedName", "x := 1 +* 2", 'var n int = "s"', "var p *int; fmt.Println(*p)", "[]int{1}[5]", "1/0",
               'panic(fmt.Errorf("wrapped"))'],
    "redo": [['import "fmt"', None], ['import "fmt"', None], ["rr := 1", None], ['rr := "s"', None], ["rr", "s"],
             ["func hh() int { return 1 }", None], ["func kk() int { return hh() }", None],
             ["func hh() int { return 2 }", None], ["kk()", "2"]],
}
HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.environ.get("KERNEL_SAMPLES") or os.path.join(HERE, "samples.json")) as fh:
    SAMPLES.update(json.load(fh))
S = SAMPLES


def drain(kc, seconds=0.3):
    msgs = []
    end = time.time() + seconds
    while time.time() < end:
        try:
            msgs.append(kc.get_iopub_msg(timeout=0.1))
        except Empty:
            pass
    return msgs


class GoKernelTests(jupyter_kernel_test.KernelTests):
    kernel_name = KERNEL
    language_name = S["language_name"]
    file_extension = S["file_extension"]
    code_hello_world = S["code_hello_world"]
    code_stderr = S["code_stderr"]
    completion_samples = S["completion_samples"]
    complete_code_samples = S["complete_code_samples"]
    incomplete_code_samples = S["incomplete_code_samples"]
    invalid_code_samples = S["invalid_code_samples"]
    code_page_something = S["code_page_something"]
    code_generate_error = S["code_generate_error"]
    code_execute_result = S["code_execute_result"]
    code_display_data = S["code_display_data"]
    code_inspect_sample = S["code_inspect_sample"]
    code_clear_output = S["code_clear_output"]
    code_history_pattern = S["code_history_pattern"]
    supported_history_operations = tuple(S["supported_history_operations"])

    @classmethod
    def setUpClass(cls):
        cls.km, cls.kc = start_new_kernel(kernel_name=cls.kernel_name, startup_timeout=TIMEOUT)
        for code in (S["setup"], S["setup_names"]):
            if code:
                cls.kc.execute_interactive(code, timeout=TIMEOUT, output_hook=lambda m: None)

    @classmethod
    def tearDownClass(cls):
        cls.kc.stop_channels()
        cls.km.shutdown_kernel(now=True)

    # --- what jupyter_kernel_test does not look at -------------------------------------------
    def test_kernel_info_fields(self):
        self.flush_channels()
        c = self.kc.kernel_info(reply=True, timeout=TIMEOUT)["content"]
        self.assertEqual(c["status"], "ok")
        maj, minor = map(int, c["protocol_version"].split("."))
        self.assertGreaterEqual((maj, minor), (5, 3))
        li = c["language_info"]
        for k in ("name", "version", "mimetype", "file_extension"):
            self.assertTrue(li.get(k), k)

    def test_no_execute_result_for_statements(self):
        for code in S["no_output"]:
            with self.subTest(code=code):
                self.flush_channels()
                reply, out = self.execute_helper(code, timeout=TIMEOUT)
                self.assertEqual(reply["content"]["status"], "ok", reply["content"])
                self.assertEqual([m["msg_type"] for m in out], [])

    def test_errors_leave_the_kernel_usable(self):
        for code in S["errors"]:
            with self.subTest(code=code):
                self.flush_channels()
                reply, out = self.execute_helper(code, timeout=TIMEOUT)
                c = reply["content"]
                self.assertEqual(c["status"], "error")
                self.assertTrue(c["ename"] and c["evalue"])
                self.assertGreaterEqual(len(c["traceback"]), 1)
                err = [m for m in out if m["msg_type"] == "error"]
                self.assertEqual(len(err), 1)
                self.assertEqual(err[0]["content"]["evalue"], c["evalue"])
                time.sleep(0.05)
                reply, _ = self.execute_helper("1", timeout=TIMEOUT)
                self.assertEqual(reply["content"]["status"], "ok")

    def test_redeclaration(self):
        for code, want in S["redo"]:
            with self.subTest(code=code):
                self.flush_channels()
                reply, out = self.execute_helper(code, timeout=TIMEOUT)
                self.assertEqual(reply["content"]["status"], "ok", reply["content"])
                if want is not None:
                    got = [m["content"]["data"]["text/plain"] for m in out if m["msg_type"] == "execute_result"]
                    self.assertEqual(got, [want])

    def test_counts(self):
        self.flush_channels()
        n0 = self.execute_helper("1", timeout=TIMEOUT)[0]["content"]["execution_count"]
        r = self.execute_helper("1", timeout=TIMEOUT, store_history=False)[0]["content"]["execution_count"]
        self.assertEqual(r, n0)  # not stored: the counter stays
        n1 = self.execute_helper("1", timeout=TIMEOUT)[0]["content"]["execution_count"]
        self.assertEqual(n1, n0 + 1)

    def test_silent(self):
        self.flush_channels()
        mid = self.kc.execute("6*7", silent=True)
        reply = self.get_non_kernel_info_reply(timeout=TIMEOUT)
        validate_message(reply, "execute_reply", mid)
        types = [m["msg_type"] for m in drain(self.kc, 0.5)]
        self.assertEqual([t for t in types if t != "status"], [])
        self.assertEqual(types.count("status"), 2)

    def test_user_expressions(self):
        self.flush_channels()
        mid = self.kc.execute("", user_expressions={"a": "40+2", "b": "undefinedName"})
        reply = self.get_non_kernel_info_reply(timeout=TIMEOUT)
        validate_message(reply, "execute_reply", mid)
        u = reply["content"]["user_expressions"]
        self.assertEqual(u["a"]["status"], "ok")
        self.assertEqual(u["a"]["data"]["text/plain"], "42")
        self.assertEqual(u["b"]["status"], "error")

    def test_outputs_in_order_and_before_idle(self):
        self.flush_channels()
        code = ('fmt.Println("A"); fmt.Fprintln(os.Stderr, "B"); fmt.Println("C")\n' + S["code_display_data"][0]["code"]
                + '\nfmt.Println("D")\n"E"')
        reply, out = self.execute_helper(code, timeout=TIMEOUT)
        self.assertEqual(reply["content"]["status"], "ok", reply["content"])
        seq = ""
        for m in out:
            if m["msg_type"] == "stream":
                seq += m["content"]["text"].replace("\n", "")
            elif m["msg_type"] == "display_data":
                seq += "*"
            elif m["msg_type"] == "execute_result":
                seq += m["content"]["data"]["text/plain"]
        self.assertEqual(seq, S["order"])
        self.assertEqual(drain(self.kc, 0.4), [])

    def test_100k_lines_all_arrive(self):
        self.flush_channels()
        mid = self.kc.execute('for i := 0; i < 100000; i++ { fmt.Println("line", i) }')
        text, end = [], time.time() + 120
        while time.time() < end:
            m = self.kc.get_iopub_msg(timeout=TIMEOUT)
            if m["msg_type"] == "stream":
                text.append(m["content"]["text"])
            if m["msg_type"] == "status" and m["parent_header"].get("msg_id") == mid:
                if m["content"]["execution_state"] == "idle":
                    break
        self.assertEqual("".join(text), "".join(f"line {i}\n" for i in range(100000)))
        self.assertEqual(drain(self.kc, 0.3), [])
        self.get_non_kernel_info_reply(timeout=TIMEOUT)

    def test_stdin(self):
        if not S["code_stdin"]:
            self.skipTest("no code_stdin")
        self.flush_channels()
        mid = self.kc.execute(S["code_stdin"], allow_stdin=True)
        req = self.kc.get_stdin_msg(timeout=TIMEOUT)
        # not validate_message(): its schema wants "password" to be a number; the spec and real
        # frontends want a bool
        self.assertEqual(req["msg_type"], "input_request")
        self.assertIs(req["content"]["password"], False)
        self.assertIsInstance(req["content"]["prompt"], str)
        self.assertEqual(req["parent_header"]["msg_id"], mid)
        self.kc.input("gopher")
        reply = self.get_non_kernel_info_reply(timeout=TIMEOUT)
        validate_message(reply, "execute_reply", mid)
        text = "".join(m["content"]["text"] for m in drain(self.kc, 0.5) if m["msg_type"] == "stream")
        self.assertIn("hello, gopher", text)

    def test_stdin_not_allowed(self):
        if not S["code_stdin"]:
            self.skipTest("no code_stdin")
        self.flush_channels()
        mid = self.kc.execute(S["code_stdin"], allow_stdin=False)
        reply = self.get_non_kernel_info_reply(timeout=TIMEOUT)  # must not hang, must not ask
        validate_message(reply, "execute_reply", mid)
        with self.assertRaises(Empty):
            self.kc.get_stdin_msg(timeout=0.3)
        drain(self.kc)

    def test_cursor_positions_are_code_points(self):
        self.flush_channels()
        text = 's := "héllo 日本 😀"; fmt.Printl'
        self.kc.complete(text, len(text))
        c = self.get_non_kernel_info_reply(timeout=TIMEOUT)["content"]
        self.assertIn("Println", [m.split(".")[-1] for m in c["matches"]])
        self.assertEqual(c["cursor_end"], len(text))
        self.assertIn(text[c["cursor_start"]:], ("Printl", "fmt.Printl"))

    def test_inspect_unknown(self):
        self.flush_channels()
        self.kc.inspect("nosuchthingatall")
        reply = self.get_non_kernel_info_reply(timeout=TIMEOUT)
        validate_message(reply, "inspect_reply")
        self.assertFalse(reply["content"]["found"])

    def test_comm_info(self):
        self.flush_channels()
        mid = self.kc.comm_info()
        reply = self.get_non_kernel_info_reply(timeout=TIMEOUT)
        validate_message(reply, "comm_info_reply", mid)


class IopubWelcome(unittest.TestCase):
    """JEP 65, as upstream's IopubWelcomeTests: the first iopub message is iopub_welcome."""

    def test_first_iopub_message(self):
        if not S["support_iopub_welcome"]:
            self.skipTest("iopub_welcome not supported")
        km = KernelManager(kernel_name=KERNEL)
        km.start_kernel()
        kc = km.client()
        try:
            kc.start_channels()
            m = kc.get_iopub_msg(timeout=TIMEOUT)
            self.assertEqual(m["msg_type"], "iopub_welcome")
            self.assertEqual(m["content"], {"subscription": ""})
            self.assertFalse(m["parent_header"])
        finally:
            kc.stop_channels()
            km.shutdown_kernel(now=True)


class Lifecycle(unittest.TestCase):
    def setUp(self):
        self.km, self.kc = start_new_kernel(kernel_name=KERNEL, startup_timeout=TIMEOUT)

    def tearDown(self):
        self.kc.stop_channels()
        self.km.shutdown_kernel(now=True)

    def go(self, code, **kw):
        return self.kc.execute_interactive(code, timeout=TIMEOUT, output_hook=lambda m: None, **kw)["content"]

    def interrupt(self, code, wait=0.7, limit=2.0):
        self.assertEqual(self.go(S["setup"])["status"], "ok")
        self.go("keep := 41")
        mid = self.kc.execute(code)
        time.sleep(wait)
        t = time.time()
        self.km.interrupt_kernel()
        r = self.kc._recv_reply(mid, timeout=limit + 5)
        dt = time.time() - t
        self.assertEqual(r["content"]["status"], "error")
        self.assertLess(dt, limit)
        self.assertTrue(self.km.is_alive())
        r = self.go("", user_expressions={"k": "keep+1"})
        self.assertEqual(r["user_expressions"]["k"]["data"]["text/plain"], "42")  # state survived

    def test_interrupt_busy_loop(self):
        self.interrupt("for { }")

    def test_interrupt_sleep(self):
        self.interrupt('import "time"\ntime.Sleep(60 * time.Second)')

    def test_interrupt_channel(self):
        self.interrupt("ch := make(chan int); <-ch")

    def test_interrupt_printing(self):
        self.interrupt("for i := 0; ; i++ { fmt.Println(i) }", limit=5)

    def test_interrupt_when_idle(self):
        self.km.interrupt_kernel()
        time.sleep(0.2)
        self.assertEqual(self.go("1")["status"], "ok")

    def test_stop_on_error_aborts_the_queue(self):
        self.go(S["setup"])
        ids = [self.kc.execute(c) for c in ('import "time"\ntime.Sleep(300*time.Millisecond); panic("x")', "1", "2")]
        sts = [self.kc._recv_reply(i, timeout=TIMEOUT)["content"]["status"] for i in ids]
        self.assertEqual(sts[0], "error")
        self.assertTrue(all(s in ("error", "aborted", "abort") for s in sts[1:]), sts)
        self.assertEqual(self.go("1")["status"], "ok")

    def test_goroutine_panic_does_not_kill(self):
        self.go(S["setup"])
        self.go('go func() { panic("in a goroutine") }()')
        time.sleep(0.5)
        self.assertTrue(self.km.is_alive())
        self.assertEqual(self.go("1")["status"], "ok")

    def test_os_exit_and_log_fatal(self):
        self.go(S["setup"])
        for code in ("os.Exit(3)", 'import "log"\nlog.Fatal("x")'):
            with self.subTest(code=code):
                self.go(code)
                time.sleep(0.3)
                self.assertTrue(self.km.is_alive(), "the kernel process went away")

    def test_deep_recursion(self):
        self.go("func rec(n int) int { return rec(n+1) + 1 }")
        try:
            self.go("rec(0)")
        except Exception:
            pass
        time.sleep(0.5)
        self.assertTrue(self.km.is_alive(), "a Go stack overflow is fatal: limit depth or isolate the interpreter")

    def test_shutdown(self):
        self.kc.shutdown()
        end = time.time() + 5
        while self.km.is_alive() and time.time() < end:
            time.sleep(0.02)
        self.assertFalse(self.km.is_alive())

    def test_restart(self):
        self.go("gone := 1")
        self.km.restart_kernel(now=False)
        self.kc.wait_for_ready(timeout=TIMEOUT)
        self.assertEqual(self.go("gone")["status"], "error")


if __name__ == "__main__":
    unittest.main(verbosity=2)
