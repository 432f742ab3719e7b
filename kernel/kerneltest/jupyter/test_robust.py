#!/usr/bin/python3
"""Security and reliability figures for a Jupyter kernel, on the raw wire.

  JUPYTER_PATH=... /usr/bin/python3 test_robust.py KERNELSPEC[=SNIPPETSET] ... [--only name,...]

Prints a table test x kernel.  Exit status 1 if anything failed on the last kernel named.
Uses latency.py, beside it, for the wire and the snippets.
"""
import argparse, hashlib, hmac, json, os, re, signal, socket, struct, subprocess, sys, tempfile, time, uuid
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import latency as L
import zmq
from jupyter_client import KernelManager

TESTS = []
def test(f):
    TESTS.append(f)
    return f

class Ctx:
    def __init__(self, name, S):
        self.name, self.S = name, S
        self.open()
    def open(self):
        self.km, self.w, _ = L.start(self.name, 60)
        self.pid = L.kernel_pid(self.km)
        if self.S.get("setup"):
            self.w.wait(self.w.execute(self.S["setup"]), 30)
    def close(self):
        L.stop(self.km, self.w)
    def fresh(self):
        self.close(); self.open()
    def alive(self):
        return self.km.is_alive()
    def ping(self, w=None, limit=5, chan="shell"):
        """-> ms of a kernel_info round trip, or None"""
        w = w or self.w
        t = time.perf_counter()
        g = w.wait(w.send(chan, "kernel_info_request", {}), limit, want_idle=False)
        return None if g.get("timeout") else (time.perf_counter() - t) * 1e3
    def need(self, what="after"):
        assert self.alive(), f"kernel process died ({what})"
        p = self.ping()
        assert p is not None, f"no kernel_info reply in 5 s ({what})"
        return p
    def frames(self, typ, content, key=None, hdr=None):
        h = {"msg_id": uuid.uuid4().hex, "username": "u", "session": self.w.session, "msg_type": typ, "version": "5.3",
             "date": "2026-01-01T00:00:00.000000Z"}
        h.update(hdr or {})
        fr = [json.dumps(x).encode() for x in (h, {}, {}, content)]
        return h["msg_id"], self.sign(fr, key)
    def sign(self, fr, key=None):
        m = hmac.new(self.w.key if key is None else key, digestmod=hashlib.sha256)
        for f in fr[:4]:
            m.update(f)
        return [L.DELIM, m.hexdigest().encode()] + fr
    def exec_code(self, code="1", **kw):
        c = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
        c.update(kw)
        return c
    def answered(self, mid, limit=1.0):
        return not self.w.wait(mid, limit, want_idle=False).get("timeout")

# ---- authentication -------------------------------------------------------------------------
@test
def bad_signature_ignored(c):
    mid, fr = c.frames("execute_request", c.exec_code(c.S["expr"]), key=b"wrong")
    c.w.socks["shell"].send_multipart(fr)
    assert not c.answered(mid), "it was executed"
    c.need("after a bad signature")
@test
def empty_signature_ignored(c):
    mid, fr = c.frames("execute_request", c.exec_code(c.S["expr"])); fr[1] = b""
    c.w.socks["shell"].send_multipart(fr)
    assert not c.answered(mid), "it was executed"
    c.need()
@test
def non_hex_or_short_signature_ignored(c):
    for sig in (b"zz", b"00", b"\xff" * 64, b"0" * 63):
        mid, fr = c.frames("execute_request", c.exec_code(c.S["expr"])); fr[1] = sig
        c.w.socks["shell"].send_multipart(fr)
        assert not c.answered(mid, .3), "it was executed"
        assert c.alive(), f"died of {sig!r}"
    c.need()
@test
def bad_signature_on_control_ignored(c):
    mid, fr = c.frames("shutdown_request", {"restart": False}, key=b"wrong")
    c.w.socks["control"].send_multipart(fr)
    time.sleep(.7)
    c.need("a forged shutdown_request was obeyed")
@test
def replayed_message_ignored(c):
    mid, fr = c.frames("execute_request", c.exec_code(c.S["expr"]))
    c.w.socks["shell"].send_multipart(fr)
    assert not c.w.wait(mid, 10).get("timeout")
    c.w.socks["shell"].send_multipart(fr)
    assert not c.answered(mid), "a replayed execute_request ran again"
    c.need()
@test
def key_not_in_cmdline_or_log(c):
    key = c.w.key
    assert key not in open(f"/proc/{c.pid}/cmdline", "rb").read()
    log = os.path.join(tempfile.gettempdir(), f"latency-{os.getpid()}.log")
    assert not os.path.exists(log) or key not in open(log, "rb").read()
@test
def listens_on_loopback_only(c):
    inodes = set()
    for fd in os.listdir(f"/proc/{c.pid}/fd"):
        try:
            m = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{c.pid}/fd/{fd}"))
            if m: inodes.add(m.group(1))
        except OSError: pass
    bad = []
    for f in ("tcp", "tcp6"):
        for ln in open(f"/proc/net/{f}").read().splitlines()[1:]:
            p = ln.split()
            if p[3] == "0A" and p[9] in inodes and not p[1].startswith("0100007F"):
                bad.append(p[1])
    assert not bad, f"listens on {bad}"

# ---- malformed input ------------------------------------------------------------------------
def shell_raw(name, make):
    def f(c):
        for fr in make(c):
            c.w.socks["shell"].send_multipart(fr)
            time.sleep(.03)
            assert c.alive(), f"kernel died of {str(fr)[:80]}"
        time.sleep(.1)
        c.need()
    f.__name__ = name
    return test(f)
shell_raw("no_delimiter", lambda c: [[b"hello"], [b""], [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]])
shell_raw("too_few_frames", lambda c: [[L.DELIM], [L.DELIM, b"x"], c.frames("kernel_info_request", {})[1][:4]])
def bad_json(c):
    h = json.dumps({"msg_id": "x", "username": "u", "session": "s", "msg_type": "execute_request", "version": "5.3", "date": ""}).encode()
    for parts in ([b"{", b"{}", b"{}", b"{}"], [h, b"nope", b"{}", b"{}"], [h, b"{}", b"{}", b"[1,2"], [h, b"{}", b"{}", b"\xff\xfe"],
                  [b"null", b"null", b"null", b"null"], [b"[]", b"[]", b"[]", b"[]"], [b"3", b"{}", b"{}", b'"s"'], [b"", b"", b"", b""],
                  [h, b"{}", b"{}", b"[" * 20000]):
        yield c.sign(list(parts))
shell_raw("bad_json", bad_json)
def wrong_types(c):
    for typ, content in (("execute_request", {}), ("execute_request", {"code": 3}), ("execute_request", {"code": None, "silent": "x"}),
                         ("execute_request", {"code": c.S["expr"]}), ("complete_request", {}), ("complete_request", {"code": "", "cursor_pos": -7}),
                         ("complete_request", {"code": "a", "cursor_pos": 1 << 40}), ("complete_request", {"code": "a", "cursor_pos": "x"}),
                         ("inspect_request", {}), ("inspect_request", {"code": "", "cursor_pos": 99, "detail_level": 7}), ("is_complete_request", {}),
                         ("history_request", {}), ("history_request", {"hist_access_type": "range", "session": -5, "start": 9, "stop": -3, "output": True, "raw": True}),
                         ("comm_open", {}), ("comm_msg", {"comm_id": "nope", "data": {}}), ("comm_close", {"comm_id": "nope"}), ("shutdown_request_", {}),
                         ("no_such_request", {}), ("", {}), ("execute_reply", {}), ("input_reply", {"value": "x"})):
        yield c.frames(typ, content)[1]
shell_raw("wrong_or_missing_fields", wrong_types)
@test
def every_request_is_bracketed_busy_idle(c):
    bad = []
    for typ, content in (("kernel_info_request", {}), ("complete_request", {"code": "f", "cursor_pos": 1}), ("inspect_request", {"code": "f", "cursor_pos": 1, "detail_level": 0}),
                         ("is_complete_request", {"code": "1"}), ("history_request", {"hist_access_type": "tail", "n": 2, "output": False, "raw": True}),
                         ("comm_info_request", {}), ("execute_request", c.exec_code(c.S["expr"])), ("no_such_request", {})):
        mid, fr = c.frames(typ, content)
        c.w.socks["shell"].send_multipart(fr)
        st, rep, end = [], False, time.perf_counter() + (5 if typ == "execute_request" else 1.5)
        while time.perf_counter() < end and not (st == ["busy", "idle"] and (rep or typ.startswith("no_"))):
            for ch, h, p, ct in c.w.recv(end - time.perf_counter()):
                if p.get("msg_id") == mid:
                    if h["msg_type"] == "status": st.append(ct["execution_state"])
                    elif ch == "shell": rep = True
        if st != ["busy", "idle"] or not rep and not typ.startswith("no_"):
            bad.append(f"{typ.replace('_request','')}:{'/'.join(st) or '-'}{'' if rep else ' no reply'}")
    assert not bad, "; ".join(bad)
@test
def binary_output_is_valid_json(c):
    code = {"python": "import os; os.write(1, bytes(range(256)))"}.get(L.GUESS.get(c.name), c.S.get("binary") or 'fmt.Print("a\\xff\\xfe\\x00b\\u2028")')
    if c.name == "gonb": code = "%%\n" + code
    g = c.w.wait(c.w.execute(code), 15)
    assert not g.get("timeout"), "no reply"
    c.need()

# ---- ZMTP peers that misbehave --------------------------------------------------------------
def greet(s):
    g = bytearray(64); g[0] = 0xff; g[9] = 0x7f; g[10] = 3; g[12:16] = b"NULL"; s.sendall(g); s.settimeout(1); n = 0
    try:
        while n < 64: n += len(s.recv(64 - n)) or 99
        body = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"; s.sendall(bytes([4, len(body)]) + body); s.recv(300)
    except OSError: pass
@test
def half_open_peer_does_not_block_others(c):
    raws = [socket.create_connection((c.km.ip, p)) for p in (c.km.shell_port, c.km.iopub_port, c.km.control_port)]
    time.sleep(.1)
    w = L.Wire(c.w.cfg)
    try:
        p = c.ping(w, 3)
        assert p is not None, "a new client is not served while a silent TCP peer is connected"
        t = time.perf_counter(); end = t + 3
        while time.perf_counter() < end:
            g = w.wait(w.send("shell", "kernel_info_request", {}), .5)
            if not g.get("timeout"): return f"{p:.1f} ms"
        assert False, "iopub of a new client is not served"
    finally:
        w.close(); [r.close() for r in raws]
@test
def hostile_zmtp_bytes(c):
    for what, payload in (("garbage", None), ("2^40 frame", struct.pack(">BQ", 2, 1 << 40)), ("2^62 frame", struct.pack(">BQ", 2, 1 << 62)),
                          ("2^63 frame", struct.pack(">BQ", 2, 1 << 63)), ("http", b"GET / HTTP/1.0\r\n\r\n" + b"A" * 64)):
        for port in (c.km.shell_port, c.km.hb_port, c.km.iopub_port):
            try:
                s = socket.create_connection((c.km.ip, port), 1)
                if payload is None: s.sendall(os.urandom(4096))
                elif what == "http": s.sendall(payload)
                else: greet(s); s.sendall(payload)
                time.sleep(.15); s.close()
            except OSError: pass
            assert c.alive(), f"kernel died of {what}"
    c.need()
@test
def stalled_iopub_subscriber_does_not_block_others(c):
    lazy = zmq.Context(); s = lazy.socket(zmq.SUB); s.linger = 0; s.rcvhwm = 10; s.setsockopt(zmq.RCVBUF, 4096)
    s.setsockopt(zmq.SUBSCRIBE, b""); s.connect(f"tcp://{c.km.ip}:{c.km.iopub_port}"); time.sleep(.5)
    n = {"l": 0}
    def see(ch, h, ct):
        if h["msg_type"] == "stream": n["l"] += ct["text"].count("\n")
    try:
        for _ in range(3):
            code = c.S["print"].format(n=200000) if c.name != "gonb" else c.S["print"].format(n=200000)
            t = time.perf_counter()
            g = c.w.wait(c.w.execute(code), 40, on=see)
            assert not g.get("timeout"), f"no idle in 40 s with a stalled second subscriber ({n['l']} lines seen)"
        assert n["l"] == 600000, f"{600000 - n['l']} lines lost to the attentive client"
    finally: lazy.destroy(0)
@test
def stuck_shell_client_does_not_block_others(c):
    st = zmq.Context(); s = st.socket(zmq.DEALER); s.linger = 0; s.rcvhwm = 1; s.sndhwm = 0; s.setsockopt(zmq.RCVBUF, 4096)
    s.connect(f"tcp://{c.km.ip}:{c.km.shell_port}")
    try:
        for _ in range(40000):
            s.send_multipart(c.frames("kernel_info_request", {})[1])
        time.sleep(1)
        w = L.Wire(c.w.cfg)
        p = c.ping(w, 25, "control"); w.close()
        assert p is not None, "control not answered in 25 s while a shell client does not read"
        return f"{p:.0f} ms"
    finally: st.destroy(0); c.fresh()

# ---- two clients, heartbeat, control while busy ----------------------------------------------
@test
def replies_go_to_the_right_client(c):
    a, b = L.Wire(c.w.cfg), L.Wire(c.w.cfg)
    try:
        ids = [(w, w.send("shell", "kernel_info_request", {})) for _ in range(20) for w in (a, b)]
        got = {a: set(), b: set()}; end = time.perf_counter() + 5
        while time.perf_counter() < end and len(got[a]) + len(got[b]) < 40:
            for w in (a, b):
                for ch, h, p, ct in w.recv(.02):
                    if ch == "shell": got[w].add(p["msg_id"])
        for w, m in ids: assert m in got[w], "a reply went astray"
        assert len(got[a]) == 20 and len(got[b]) == 20
    finally: a.close(); b.close()
@test
def control_replies_on_control(c):
    g = c.w.wait(c.w.send("control", "kernel_info_request", {}), 3, want_idle=False)
    assert not g.get("timeout"), "no reply at all"
    w = L.Wire(c.w.cfg)                       # a client whose control identity differs from its shell identity
    d = w.ctx.socket(zmq.DEALER); d.linger = 0; d.connect(f"tcp://{c.km.ip}:{c.km.control_port}")
    d.send_multipart(c.frames("kernel_info_request", {})[1])
    ok = d.poll(2000); w.close()
    assert ok, "control replies are routed by another socket's identities"
@test
def heartbeat_and_control_while_busy(c):
    c.w.execute(c.S["loop"].format())
    time.sleep(2.0 if c.name == "gonb" else .5)
    hb = c.w.socks["hb"]; xs = []
    for _ in range(20):
        t = time.perf_counter(); hb.send(b"x")
        assert hb.poll(3000), "no heartbeat while a cell is busy"
        hb.recv(); xs.append((time.perf_counter() - t) * 1e3)
    p = c.ping(limit=3, chan="control")
    try:
        assert p is not None, f"heartbeat {sorted(xs)[10]:.1f} ms, but control is not answered while a cell is busy"
        return f"hb {sorted(xs)[10]:.1f}, control {p:.1f} ms"
    finally: c.fresh()
@test
def shutdown_while_busy(c):
    c.w.execute(c.S["loop"].format()); time.sleep(2.0 if c.name == "gonb" else .5)
    t = time.perf_counter(); c.w.send("control", "shutdown_request", {"restart": False}); end = t + 6
    while c.alive() and time.perf_counter() < end: time.sleep(.005)
    d = time.perf_counter() - t
    ok = not c.alive(); c.fresh()
    assert ok, "still running 6 s after a shutdown_request during a busy cell"
    return f"{d*1e3:.0f} ms"
@test
def sigint_when_idle_survives(c):
    os.kill(c.pid, signal.SIGINT); time.sleep(.3)
    c.need("SIGINT while idle")
@test
def early_requests_are_not_lost(c):
    km = KernelManager(kernel_name=c.name); km.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cfg = dict(c.w.cfg, key=km.session.key.decode(), ip=km.ip, transport=km.transport,
               **{f"{n}_port": getattr(km, n + "_port") for n in ("hb", "shell", "iopub", "stdin", "control")})
    w = L.Wire(cfg)
    try:
        mids = [w.send("shell", "kernel_info_request", {}) for _ in range(5)]
        got = set(); end = time.perf_counter() + 30
        while len(got) < 5 and time.perf_counter() < end:
            for ch, h, p, ct in w.recv(end - time.perf_counter()):
                if ch == "shell": got.add(p.get("msg_id"))
        assert len(got) == 5, f"{5-len(got)} of 5 lost"
    finally: L.stop(km, w)
@test
def first_iopub_message_is_seen(c):
    """execute at once after start, without nudging: does the client see busy..idle?"""
    lost = 0
    for _ in range(5):
        km = KernelManager(kernel_name=c.name); km.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cfg = dict(c.w.cfg, key=km.session.key.decode(), ip=km.ip, transport=km.transport,
                   **{f"{n}_port": getattr(km, n + "_port") for n in ("hb", "shell", "iopub", "stdin", "control")})
        w = L.Wire(cfg)
        try:
            w.poller.unregister(w.socks["shell"]); t = time.perf_counter(); welcome = False
            while time.perf_counter() - t < 3 and not welcome:
                for ch, h, p, ct in w.recv(3): welcome = h["msg_type"] == "iopub_welcome"
            w.poller.register(w.socks["shell"], zmq.POLLIN)
            if not welcome: return "no iopub_welcome: clients must nudge"
            if w.wait(w.execute(c.S["stmt"]), 10).get("timeout"): lost += 1
        finally: L.stop(km, w)
    assert not lost, f"{lost} of 5 lost"

# ---- transport, processes --------------------------------------------------------------------
@test
def ipc_transport(c):
    d = tempfile.mkdtemp(); km = KernelManager(kernel_name=c.name, transport="ipc", ip=os.path.join(d, "k"))
    km.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); kc = km.blocking_client(); kc.start_channels()
    try:
        kc.wait_for_ready(10)
        m = {oct(os.stat(os.path.join(d, f)).st_mode & 0o777) for f in os.listdir(d)}
        return f"sockets {sorted(m)}"
    finally: kc.stop_channels(); km.shutdown_kernel(now=True)
@test
def parent_death_ends_kernel(c):
    prog = ("import sys,time\nfrom jupyter_client import KernelManager\nkm=KernelManager(kernel_name=sys.argv[1])\n"
            "km.start_kernel()\nprint(km.provisioner.pid, flush=True)\ntime.sleep(100)\n")
    p = subprocess.Popen([sys.executable, "-c", prog, c.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    kp = int(p.stdout.readline()); time.sleep(1.5)
    os.kill(p.pid, signal.SIGKILL); p.wait(); t = time.perf_counter()
    while time.perf_counter() - t < 8:
        try:
            if open(f"/proc/{kp}/stat").read().split(")")[1].split()[0] == "Z": break
        except OSError: break
        time.sleep(.02)
    else:
        os.kill(kp, signal.SIGKILL); assert False, "the kernel outlives its parent"
    return f"{time.perf_counter()-t:.1f} s"
@test
def no_children_left_after_shutdown(c):
    mark = str(90000 + os.getpid())
    go = f'import "os/exec"\nexec.Command("sleep", "{mark}").Start()'
    code = {"python": f"import subprocess; subprocess.Popen(['sleep','{mark}'])"}.get(L.GUESS.get(c.name), go)
    if c.name == "gonb": code = f'import "os/exec"\n%%\nexec.Command("sleep", "{mark}").Start()'
    g = c.w.wait(c.w.execute(code), 30); time.sleep(.3)
    def left(): return [d for d in os.listdir("/proc") if d.isdigit() and f"sleep\0{mark}".encode() in (open(f"/proc/{d}/cmdline", "rb").read() if os.path.exists(f"/proc/{d}/cmdline") else b"")]
    had = left()
    c.w.send("control", "shutdown_request", {"restart": False}); end = time.time() + 5
    while c.alive() and time.time() < end: time.sleep(.02)
    time.sleep(.5); l = left()
    for d in l: os.kill(int(d), signal.SIGKILL)
    c.fresh()
    if not had: return "child did not start: " + str((g["reply"] or {}).get("evalue"))[:60]
    assert not l, "a child process of a cell outlives the kernel"
@test
def memory_after_5k_cells(c):
    if c.name == "gonb": return "skipped (0.6 s a cell)"
    L.rtt(c.w, c.S["expr"], 300, 20); m0 = L.rss_mb(c.pid); L.rtt(c.w, c.S["expr"], 5000, 20); m1 = L.rss_mb(c.pid)
    assert m1 - m0 < 50, f"{m0:.0f} -> {m1:.0f} MB"
    return f"{m0:.0f} -> {m1:.0f} MB"
@test
def thousand_pipelined_cells_in_order(c):
    n = 20 if c.name == "gonb" else 1000
    t = time.perf_counter(); mids = [c.w.execute(c.S["stmt"]) for _ in range(n)]; ms = set(mids); rep, idle = [], []; end = time.perf_counter() + 60
    while (len(rep) < n or len(idle) < n) and time.perf_counter() < end:
        for ch, h, p, ct in c.w.recv(end - time.perf_counter()):
            if h["msg_type"] == "execute_reply": rep.append(p["msg_id"])
            elif h["msg_type"] == "status" and ct["execution_state"] == "idle" and p.get("msg_id") in ms: idle.append(p["msg_id"])
    assert rep == mids, f"{n-len(rep)} replies missing or out of order"
    assert idle == mids, f"{n-len(idle)} idle messages missing"
    return f"{(time.perf_counter()-t)*1e3/n:.2f} ms a cell"

def main():
    ap = argparse.ArgumentParser(); ap.add_argument("kernels", nargs="*", default=["gonvex"]); ap.add_argument("--only", default=""); a = ap.parse_args()
    only = set(filter(None, a.only.split(","))); res = {}; failed = 0
    for spec in a.kernels:
        name, _, ss = spec.partition("="); ss = ss or L.GUESS.get(name, "yaegi"); S = L.SNIPPETS[ss] if ss in L.SNIPPETS else json.load(open(ss))
        c = Ctx(name, S); failed = 0
        for t in TESTS:
            if only and t.__name__ not in only: continue
            try:
                if not c.alive() or c.ping(limit=8) is None: c.fresh()
                r = t(c); out = "ok" + (f" ({r})" if r else "")
            except AssertionError as e: out = "FAIL: " + str(e); failed += 1
            except Exception as e: out = "FAIL: " + repr(e)[:120]; failed += 1
            res.setdefault(t.__name__, {})[spec] = out
            print(f"{spec:12} {t.__name__:48} {out}", file=sys.stderr, flush=True)
        c.close()
    print("| test | " + " | ".join(a.kernels) + " |\n|---|" + "---|" * len(a.kernels))
    for t, r in res.items(): print(f"| {t} | " + " | ".join(r.get(k, "-") for k in a.kernels) + " |")
    print("| passed | " + " | ".join(str(sum(r.get(k, "").startswith("ok") for r in res.values())) + "/" + str(len(res)) for k in a.kernels) + " |")
    sys.exit(1 if failed else 0)
if __name__ == "__main__":
    main()
