"""Time to a certified relative gap: this project beside scnn, adelie and CVXPY with Clarabel.

Usage, from the root of the repository:

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install numpy scipy adelie cvxpy clarabel
    /tmp/peers/bin/pip install --no-deps pyscnn linalg_backends opt_einsum tqdm typing_extensions
    go build -o /tmp/bench ./convex/bench
    /tmp/peers/bin/python convex/bench/peers.py --bench /tmp/bench [--csv results.csv] PROBLEM.json...

It installs nothing itself and leaves out what is not there. Every peer gets the
patterns of the problem file, float64, and the objective

    1/2 |sum_i D_i X u_i - y|^2 + beta sum_i |u_i|

with beta the ratio times max_i |X'D_i y|. In a run come ours and then each peer, and
medians are taken over the runs. The gap of a peer's point is computed here, by the
same formula for all: the dual point is the residual, scaled. The time of a peer is
its own, without set-up and without the snapshots taken to find when it reached a gap.
CPU seconds are of all threads; on a busy machine they say more than the clock.

A peer that has not reached the gap within --limit CPU seconds is stopped; it counts
as that many seconds, and its ratio as "at least". A peer that ended by itself above
the gap has no ratio. Where ours did not reach the gap (within three times
the limit, by the clock), the row says so and its ratio is left out of the means.

scnn's augmented Lagrangian has no bound and no feasible point, so its whole course is
looked at, every 2 % of its time. Its violation is the Euclidean norm of the negative
parts of (2D_i - I)X v_i over all rows, patterns and signs, the square root of what its own
criterion compares. At a point it is

- still infeasible by 1e-2, up to the last time its violation is more (zero, where it
  begins, is feasible and of no use): the row with gap "feasible", beside our time to
  the smallest gap;
- solved to a gap when its violation is at most 1e-2 and its objective, on either side,
  as near to our optimum as the gap: the other rows.

It goes on past its own criterion, as the note says. The note also has the objective
of the network of its last weights, to our optimum. Before the points are feasible
this can be far below it: such networks have patterns that are not in the file, so they
are no points of the program. --times 100 gives it as many times our time, and --traces
keeps its courses in a folder and takes from there those that are long enough: delete
them to measure again.

scnn's convex solvers run on NumPy; torch, which only its non-convex side uses, is
replaced by a stub when it is not installed.
"""
import argparse, csv, importlib.util, json, multiprocessing, os, platform, resource, statistics, subprocess, sys, time, types, warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
THREADS = int(os.environ["OPENBLAS_NUM_THREADS"])
warnings.filterwarnings("ignore")
import numpy as np


def load(path):
    folder = os.path.dirname(os.path.abspath(path))
    p = json.load(open(path))
    get = lambda v: np.load(os.path.join(folder, v)) if isinstance(v, str) else np.array(v)
    X, y = get(p["X"]).astype(float), get(p["Y"]).astype(float).ravel()
    bits = get(p["patterns_bits"])
    D = np.unpackbits(bits, axis=1, bitorder="little")[:, : len(y)].T.astype(float)
    D = np.unique(D[:, D.any(0)], axis=1)
    return X, y, np.ascontiguousarray(D)


def gap(X, y, D, U, beta):
    """U is d x P. The relative duality gap and the objective of the gated program."""
    r = y - ((X @ U) * D).sum(1)
    primal = 0.5 * r @ r + beta * np.linalg.norm(U, axis=0).sum()
    worst = np.linalg.norm(X.T @ (D * r[:, None]), axis=0).max()
    s = np.clip((y @ r) / (r @ r), -beta / worst, beta / worst)
    dual = 0.5 * y @ y - 0.5 * (y - s * r) @ (y - s * r)
    return (primal - dual) / abs(primal), primal


class Stub(types.ModuleType):
    """A module of which every attribute is an empty class, or another stub."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].islower():
            return sys.modules.setdefault(f"{self.__name__}.{name}", Stub(f"{self.__name__}.{name}"))
        return type(name, (), {})

    def __call__(self, *a, **k):
        return None


def stub_torch():
    if "torch" in sys.modules or importlib.util.find_spec("torch"):
        return
    for name in ("torch", "torch.nn", "torch.nn.functional", "torch.utils", "torch.utils.data", "torch.optim", "torchvision"):
        m = sys.modules[name] = Stub(name)
        m.__path__ = []


class Stop(Exception):
    pass


class Clock:
    """Seconds and CPU seconds, with time out."""

    def __init__(self, limit):
        self.wall = self.cpu = 0.0
        # The operating system ends a peer that does not look at the time.
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + 1.5 * limit) + 2, resource.RLIM_INFINITY))
        self.on()

    def on(self):
        self.w, self.c = time.perf_counter(), time.process_time()

    def off(self):
        self.wall += time.perf_counter() - self.w
        self.cpu += time.process_time() - self.c


def scnn_setup(X, y):
    stub_torch()
    import lab
    from scnn.private.interface.utils import set_device, get_logger

    lab.set_seeds = lambda seed: None  # it wants torch's generator
    set_device("cpu", "float64", 0)
    dt = lab.get_dtype()
    return lab, dt, get_logger("scnn"), (lab.tensor(X, dtype=dt), lab.tensor(y[:, None], dtype=dt))


def scnn_rfista(X, y, D, beta, tols, limit, tell):
    lab, dt, logger, data = scnn_setup(X, y)
    from scnn.private.models import ConvexMLP, GroupL1Regularizer
    from scnn.private.interface.solvers import build_optimizer
    from scnn.private.interface import build_metrics_tuple
    from scnn.models import ConvexGatedReLU
    from scnn.solvers import RFISTA
    from scnn.regularizers import NeuronGL1
    from scnn.metrics import Metrics

    n, d = X.shape
    G = np.random.default_rng(0).normal(size=(d, D.shape[1]))
    model = ConvexMLP(d, lab.tensor(D, dtype=dt), lab.tensor(G, dtype=dt), "einsum", regularizer=GroupL1Regularizer(beta / n), c=1)
    metrics = Metrics(metric_freq=10**9, objective=False, grad_norm=False)
    run = build_optimizer(RFISTA(ConvexGatedReLU(G), max_iters=10**7, tol=0.0), NeuronGL1(beta / n), metrics)
    run.metric_freq = 10**9
    found, state, clock = {}, {"it": 0, "next": 1}, Clock(limit)

    def look(m, *_):
        state["it"] += 1
        if state["it"] < state["next"]:
            return m
        clock.off()
        state["next"] = max(state["it"] + 1, int(state["it"] * 1.07))
        rel, primal = gap(X, y, D, np.asarray(m.weights[0], float).T, beta)
        for t in tols:
            if rel <= t and t not in found:
                found[t] = dict(wall=clock.wall, cpu=clock.cpu, objective=primal, gap=rel, note=f"{state['it']} iterations")
        state["last"] = dict(cpu=clock.cpu, objective=primal, gap=rel, late=clock.cpu > limit)
        if rel <= min(tols) or clock.cpu > limit:
            raise Stop
        clock.on()
        return m

    try:
        clock.on()
        run(logger, model, lambda x: x, data, data, build_metrics_tuple(metrics), callback=look)
    except Stop:
        pass
    return found, state.get("last")


def scnn_al(X, y, D, beta, tols, limit, tell):
    """The course of scnn's augmented Lagrangian with its own settings, but going on where
    it would end: its multipliers and tolerances follow their rules until the limit."""
    lab, dt, logger, data = scnn_setup(X, y)
    from scnn.private.models import AL_MLP, GroupL1Regularizer
    from scnn.private.interface.solvers import build_optimizer
    from scnn.private.interface import build_metrics_tuple
    from scnn.models import ConvexReLU
    from scnn.solvers import AL
    from scnn.regularizers import NeuronGL1
    from scnn.metrics import Metrics

    n, d = X.shape
    G = np.random.default_rng(0).normal(size=(d, D.shape[1]))
    model = AL_MLP(d, lab.tensor(D, dtype=dt), lab.tensor(G, dtype=dt), "einsum", delta=1000, regularizer=GroupL1Regularizer(beta / n), c=1)
    metrics = Metrics(metric_freq=10**9, objective=False, grad_norm=False)
    run = build_optimizer(AL(ConvexReLU(G), max_primal_iters=10**7, max_dual_iters=10**7, tol=1e-6, constraint_tol=1e-6), NeuronGL1(beta / n), metrics)
    run.metric_freq = 10**9
    ends, trace, clock = run.outer_term_criterion, [], Clock(limit)
    S = 2 * D - 1

    def end(*a):
        if ends(*a) and trace:
            trace[-1]["ended"] = True
        return False

    run.outer_term_criterion = end

    def look(m, *_):
        clock.off()
        if not trace or clock.cpu > 1.02 * trace[-1]["cpu"]:
            V, W = (np.asarray(Z, dtype=float)[0].T for Z in m.weights)
            A, B = X @ V, X @ W
            r, q = y - ((A - B) * D).sum(1), y - (np.maximum(A, 0) - np.maximum(B, 0)).sum(1)
            cost = beta * (np.linalg.norm(V, axis=0).sum() + np.linalg.norm(W, axis=0).sum())
            trace.append(dict(cpu=clock.cpu, wall=clock.wall, objective=0.5 * r @ r + cost, network=0.5 * q @ q + cost,
                              violation=float(np.sqrt(sum((np.minimum(S * Z, 0) ** 2).sum() for Z in (A, B)))), size=float(np.sqrt((A**2).sum() + (B**2).sum()))))
            tell(({}, dict(trace=trace, cpu=clock.cpu, wall=clock.wall, late=False)))
        if clock.cpu > limit:
            raise Stop
        clock.on()
        return m

    try:
        clock.on()
        run(logger, model, lambda x: x, data, data, build_metrics_tuple(metrics), callback=look)
    except Stop:
        pass
    return {}, dict(trace=trace, cpu=clock.cpu, wall=clock.wall, late=True)


def adelie_grpnet(X, y, D, beta, tols, limit, tell):
    import adelie as ad

    n, d = X.shape
    P = D.shape[1]
    if 8 * n * d * P > 3e9:
        return {}, dict(note="needs the n×Pd matrix, left out above 3 GB")
    A = np.asfortranarray((D[:, :, None] * X[:, None, :]).reshape(n, P * d))
    found, last = {}, None
    top = np.linalg.norm(X.T @ (D * y[:, None]), axis=0).max()
    path = np.geomspace(top, beta, 12) / n
    for tol in (1e-7, 1e-9, 1e-11, 1e-13, 1e-15):
        clock = Clock(limit)
        state = ad.grpnet(A, ad.glm.gaussian(y), groups=np.arange(0, P * d, d), penalty=np.ones(P), lmda_path=path,
                          tol=tol, intercept=False, early_exit=False, progress_bar=False, n_threads=THREADS, max_iters=10**6)
        clock.off()
        if state.betas.shape[0] < len(path):
            return found, dict(late=clock.cpu > limit, cpu=clock.cpu, note=f"stopped after {state.betas.shape[0]} of {len(path)} betas")
        U = np.asarray(state.betas[-1].todense()).reshape(P, d).T
        rel, primal = gap(X, y, D, U, beta)
        last = dict(cpu=clock.cpu, late=clock.cpu > limit, objective=primal, gap=rel, note=f"tol {tol:g}")
        for goal in tols:
            if rel <= goal and goal not in found and not last["late"]:
                found[goal] = dict(wall=clock.wall, cpu=clock.cpu, objective=primal, gap=rel, note=f"tol {tol:g}")
        tell((found, last))
        if last["late"] or len(found) == len(tols):
            break
    return found, last


def clarabel(X, y, D, beta, tols, limit, tell, cones=False):
    import cvxpy as cp

    n, d = X.shape
    P = D.shape[1]
    if n * d * P > (1e6 if cones else 6e6):
        return {}, dict(note="left out: too large")
    A = (D[:, :, None] * X[:, None, :]).reshape(n, P * d)
    signs = 2 if cones else 1
    Z = [cp.Variable((P, d)) for _ in range(signs)]
    fit = A @ cp.vec(Z[0] - Z[1] if cones else Z[0], order="C")
    S = 2 * D - 1
    rows = [cp.multiply(S.T, z @ X.T) >= 0 for z in Z] if cones else []
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(fit - y) + beta * sum(cp.sum(cp.norm(z, axis=1)) for z in Z)), rows)
    found, last = {}, None
    for goal in sorted(tols, reverse=True):
        options = dict(solver=cp.CLARABEL, tol_gap_rel=goal * 0.3, tol_gap_abs=0, tol_feas=min(1e-6, goal), time_limit=float(3 * limit))
        problem.get_problem_data(cp.CLARABEL)  # CVXPY's own compilation is set-up
        clock = Clock(limit)
        try:
            problem.solve(**options)
        except cp.error.SolverError as e:
            clock.off()
            return found, dict(cpu=clock.cpu, late=clock.cpu > limit, note=str(e)[:60])
        clock.off()
        last = dict(cpu=clock.cpu, late=clock.cpu > limit or problem.status == "user_limit", note=problem.status)
        if problem.status == "optimal" and not last["late"]:
            found[goal] = dict(wall=clock.wall, cpu=clock.cpu, objective=float(problem.value), gap=goal, note="its own gap")
        tell((found, last))
        if last["late"]:
            break
    return found, last


PEERS = {
    "gated_relu": {"scnn R-FISTA": scnn_rfista, "adelie": adelie_grpnet, "CVXPY+Clarabel": clarabel},
    "relu": {"scnn AL": scnn_al, "CVXPY+Clarabel": lambda *a: clarabel(*a, cones=True)},
}


def child(pipe, solve, args):
    try:
        pipe.send(solve(*args, pipe.send))
    except ImportError as e:
        pipe.send(({}, dict(note=f"not installed: {e}")))
    except MemoryError:
        pipe.send(({}, dict(note="out of memory")))


def run_peer(solve, limit, *args):
    """Runs a peer in a process of its own and returns the last it told."""
    ours, theirs = multiprocessing.Pipe(False)
    p = multiprocessing.get_context("fork").Process(target=child, args=(theirs, solve, (*args, limit)))
    p.start()
    theirs.close()
    found, last = {}, None
    try:
        while True:
            found, last = ours.recv()
    except EOFError:
        pass
    p.join()
    if p.exitcode < 0:  # by the limit
        last = dict(last or {}, cpu=limit, late=True, note="stopped by the limit")
    elif p.exitcode > 0 and last is None:
        last = dict(note="failed")
    return found, last or {}


def judge(runs, peer, t, limit):
    """The row of one peer at one gap: (cpu, wall, at least?, note); cpu is None without a time."""
    hit = [h[t] for h, _, _ in runs if t in h]
    if hit:
        return statistics.median(h["cpu"] for h in hit), statistics.median(h["wall"] for h in hit), False, hit[0].get("note", "")
    _, last, ours = runs[-1]
    note = last.get("note", "")
    if last.get("gap") is not None:
        note += f" gap {last['gap']:.0e}"
    if last.get("trace"):
        course = last["trace"]
        off = lambda s, what="objective": s[what] / ours["objective"] - 1
        if t == "feasible":
            ok = 1 + max((i for i, s in enumerate(course) if s["violation"] > 1e-2), default=-1)
        else:
            ok = next((i for i, s in enumerate(course) if s["violation"] <= 1e-2 and abs(off(s)) <= t), len(course))
        end = course[-1]
        own = next((f"; its own end at {s['cpu']:.3g} s" for s in course if s.get("ended")), "")
        note = f"after {end['cpu']:.3g} s violation {end['violation']:.0e}, objective {off(end):+.0e}, network {off(end, 'network'):+.0e}{own}"
        if ok < len(course):
            return course[ok]["cpu"], course[ok]["wall"], False, note
        return end["cpu"], None, True, note
    if last.get("late"):
        return min(last["cpu"], limit), None, True, note.strip()
    return None, None, False, (note + (f" after {last['cpu']:.3g} s" if "cpu" in last else "")).strip()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("problems", nargs="+")
    ap.add_argument("--bench", required=True, help="binary of ./convex/bench")
    ap.add_argument("--ratios", default="0.1,0.01,0.001")
    ap.add_argument("--tols", default="1e-3,1e-6")
    ap.add_argument("--archs", default="gated_relu,relu")
    ap.add_argument("--limit", type=float, default=60, help="CPU seconds of one solve of a peer")
    ap.add_argument("--repeat", type=int, default=1)
    ap.add_argument("--peers", default="", help="only those with one of these in their names")
    ap.add_argument("--times", type=float, default=0, help="raise the limit to as many times our time")
    ap.add_argument("--traces", default="", help="folder for the courses of scnn's AL")
    ap.add_argument("--csv", default="", help="append every run's row to this file")
    o = ap.parse_args()
    tols = [float(t) for t in o.tols.split(",")]
    want = [w for w in o.peers.split(",") if w]
    rows, log = {}, None
    if o.csv:
        new = not os.path.exists(o.csv)
        file = open(o.csv, "a", newline="")
        log = csv.writer(file)
        if new:
            log.writerow("instance network ratio gap ours_cpu ours_wall ours_status peer peer_cpu peer_wall at_least speedup note".split())
    print(f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}, at most {o.limit:g} CPU seconds a peer and solve, {o.repeat} run(s)\n")
    print("| instance | network | β/βmax | gap | ours CPU s (wall) | peer | peer CPU s (wall) | ratio | note |\n|---|---|---|---|---|---|---|---|---|")
    for path in o.problems:
        X, y, D = load(path)
        name = os.path.basename(os.path.dirname(os.path.abspath(path)))
        top = np.linalg.norm(X.T @ (D * y[:, None]), axis=0).max()
        for arch in o.archs.split(","):
            peers = {k: f for k, f in PEERS[arch].items() if not want or any(w in k for w in want)}
            for ratio in map(float, o.ratios.split(",")):
                mine, theirs = {t: [] for t in tols}, {k: [] for k in peers}
                for _ in range(o.repeat):
                    for t in tols:
                        text = subprocess.run([o.bench, "-arch", arch, "-ratio", str(ratio), "-tol", str(t), "-limit", f"{3 * o.limit}s", "-threads", str(THREADS), path], capture_output=True, text=True, check=True).stdout
                        mine[t].append(json.loads(text))
                    for k, solve in peers.items():
                        limit = max(o.limit, o.times * mine[min(tols)][-1]["cpu_seconds"])
                        kept = os.path.join(o.traces, f"{name}_{arch}_{ratio:g}_{k}.json") if o.traces and k == "scnn AL" else ""
                        if kept and os.path.exists(kept) and json.load(open(kept))["limit"] >= limit:
                            found, last = {}, json.load(open(kept))
                        else:
                            found, last = run_peer(solve, limit, X, y, D, ratio * top, tols)
                            if kept and last.get("trace"):
                                os.makedirs(o.traces, exist_ok=True)
                                json.dump(dict(last, limit=limit), open(kept, "w"))
                        theirs[k].append((found, last, mine[min(tols)][-1]))
                mine["feasible"] = mine[min(tols)]
                for t in ([] if arch != "relu" or "scnn AL" not in peers else ["feasible"]) + tols:
                    c, w = (statistics.median(r[f] for r in mine[t]) for f in ("cpu_seconds", "wall_seconds"))
                    done = all(r["status"] == "optimal" for r in mine[t])
                    mark = "" if done else " **%s**, gap %.0e" % (mine[t][0]["status"], mine[t][0]["gap"])
                    for k in peers if t != "feasible" else ["scnn AL"]:
                        pc, pw, least, note = judge(theirs[k], k, t, o.limit)
                        cell, ratio_cell, speed = "–", "", None
                        if pc is not None:
                            speed = pc / c
                            cell = ("> %.3g" % pc if least else "%.3g (%.3g)" % (pc, pw))
                            ratio_cell = f"{'> ' if least else ''}{speed:.1f}"
                        rows.setdefault((arch, k, t), []).append((speed if done else None, least, name, ratio))
                        print(f"| {name} | {arch} | {ratio:g} | {t} | {c:.3g} ({w:.3g}){mark} | {k} | {cell} | {ratio_cell} | {note} |", flush=True)
                        if log:
                            log.writerow([name, arch, ratio, t, c, w, mine[t][0]["status"], k, pc, pw, least, speed, note])
                            file.flush()
    print()
    for (arch, k, t), r in rows.items():
        known = [x for x in r if x[0] is not None]
        if not known:
            print(f"- {arch}, {k}, gap {t}: no times to compare in {len(r)}")
            continue
        mean, worst = np.exp(np.mean([np.log(x[0]) for x in known])), min(known)
        least = sum(x[1] for x in known)
        print(f"- {arch}, {k}, gap {t}: {'at least ' if least else ''}{mean:.1f} times in the geometric mean of {len(known)}"
              f"{f' ({least} of them bounds)' if least else ''}, least {'> ' if worst[1] else ''}{worst[0]:.1f} ({worst[2]}, {worst[3]:g})"
              f"{f'; {len(r) - len(known)} without a ratio' if len(r) > len(known) else ''}")


if __name__ == "__main__":
    main()
