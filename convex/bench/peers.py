"""Time to a certified relative gap: this project beside scnn, adelie and CVXPY with Clarabel.

Usage, from the root of the repository:

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install numpy scipy adelie cvxpy clarabel
    /tmp/peers/bin/pip install --no-deps pyscnn linalg_backends opt_einsum tqdm typing_extensions
    go build -o /tmp/bench ./convex/bench
    /tmp/peers/bin/python convex/bench/peers.py --bench /tmp/bench [--out results.jsonl] PROBLEM.json...

It installs nothing itself and leaves out what is not there. Every peer gets the
patterns of the problem file, float64, and the objective

    1/2 |sum_i D_i X u_i - y|^2 + beta sum_i |u_i|

with beta the ratio times max_i |X'D_i y|. After each pair of runs (ours, then the
peer) the gap of the peer's point is computed here, by the same formula for all: the
dual point is the residual, scaled. The time of a peer is its own, without set-up and
without the snapshots taken to find when it reached a gap. CPU seconds are of all
threads; on a busy machine they say more than the clock.

scnn's convex solvers run on NumPy; torch, which only its non-convex side uses, is
replaced by a stub when it is not installed.
"""
import argparse, importlib.util, json, os, statistics, subprocess, sys, time, types, warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
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

    def __init__(self):
        self.wall = self.cpu = 0.0
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


def scnn_rfista(X, y, D, beta, tols, limit):
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
    found, state, clock = {}, {"it": 0, "next": 1}, Clock()

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
        state["last"] = dict(objective=primal, gap=rel)
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


def scnn_al(X, y, D, beta, tols, limit):
    """Has no dual bound: what is reported is its point when it ends, with the violation."""
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
    run = build_optimizer(AL(ConvexReLU(G), max_primal_iters=10**6, max_dual_iters=10**4, tol=1e-6, constraint_tol=1e-6), NeuronGL1(beta / n), metrics)
    run.metric_freq = 10**9
    clock, last = Clock(), {}

    def look(m, *_):
        clock.off()
        last["w"] = np.array(m.weights, copy=True, dtype=float)
        if clock.cpu > limit:
            raise Stop
        clock.on()
        return m

    try:
        clock.on()
        run(logger, model, lambda x: x, data, data, build_metrics_tuple(metrics), callback=look)
        clock.off()
    except Stop:
        pass
    V, W = last["w"][0][0].T, last["w"][1][0].T
    S = 2 * D - 1
    viol = np.sqrt(sum((np.minimum(S * (X @ Z), 0) ** 2).sum() for Z in (V, W)))
    r = y - ((X @ (V - W)) * D).sum(1)
    value = 0.5 * r @ r + beta * (np.linalg.norm(V, axis=0).sum() + np.linalg.norm(W, axis=0).sum())
    return {}, dict(wall=clock.wall, cpu=clock.cpu, objective=value, gap=None, note=f"cone violation {viol:.1e}")


def adelie_grpnet(X, y, D, beta, tols, limit):
    import adelie as ad

    n, d = X.shape
    P = D.shape[1]
    if 8 * n * d * P > 3e9:
        return {}, dict(objective=None, gap=None, note="needs the n×Pd matrix, left out above 3 GB")
    A = np.asfortranarray((D[:, :, None] * X[:, None, :]).reshape(n, P * d))
    found, last = {}, None
    for goal in sorted(tols, reverse=True):
        for tol in (1e-7, 1e-9, 1e-11, 1e-12):
            clock = Clock()
            top = np.linalg.norm(X.T @ (D * y[:, None]), axis=0).max()
            path = np.geomspace(top, beta, 12) / n
            state = ad.grpnet(A, ad.glm.gaussian(y), groups=np.arange(0, P * d, d), penalty=np.ones(P), lmda_path=path,
                              tol=tol, intercept=False, early_exit=False, progress_bar=False, n_threads=2, max_iters=10**5)
            clock.off()
            if state.betas.shape[0] < len(path):
                last = dict(objective=None, gap=None, note=f"stopped after {state.betas.shape[0]} of {len(path)} betas")
                break
            U = np.asarray(state.betas[-1].todense()).reshape(P, d).T
            rel, primal = gap(X, y, D, U, beta)
            last = dict(objective=primal, gap=rel)
            if rel <= goal:
                found[goal] = dict(wall=clock.wall, cpu=clock.cpu, objective=primal, gap=rel, note=f"tol {tol:g}")
                break
            if clock.cpu > limit:
                return found, last
    return found, last


def clarabel(X, y, D, beta, tols, limit, cones=False):
    import cvxpy as cp

    n, d = X.shape
    P = D.shape[1]
    if n * d * P > (1e6 if cones else 2e6):
        return {}, dict(objective=None, gap=None, note="left out: too large")
    A = (D[:, :, None] * X[:, None, :]).reshape(n, P * d)
    signs = 2 if cones else 1
    Z = [cp.Variable((P, d)) for _ in range(signs)]
    fit = A @ cp.vec(Z[0] - Z[1] if cones else Z[0], order="C")
    S = 2 * D - 1
    rows = [cp.multiply(S.T, z @ X.T) >= 0 for z in Z] if cones else []
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(fit - y) + beta * sum(cp.sum(cp.norm(z, axis=1)) for z in Z)), rows)
    found, last = {}, None
    for goal in sorted(tols, reverse=True):
        clock = Clock()
        try:
            problem.solve(solver=cp.CLARABEL, tol_gap_rel=goal * 0.3, tol_gap_abs=0, tol_feas=min(1e-6, goal), time_limit=float(limit))
        except cp.error.SolverError as e:
            return found, dict(objective=None, gap=None, note=str(e)[:60])
        clock.off()
        ok = problem.status == "optimal"
        last = dict(objective=float(problem.value) if problem.value is not None else None, gap=None, note=problem.status)
        if ok:
            found[goal] = dict(wall=clock.wall, cpu=clock.cpu, objective=float(problem.value), gap=goal, note="its own gap")
    return found, last


PEERS = {
    "gated_relu": {"scnn R-FISTA": scnn_rfista, "adelie": adelie_grpnet, "CVXPY+Clarabel": clarabel},
    "relu": {"scnn AL": scnn_al, "CVXPY+Clarabel": lambda *a: clarabel(*a, cones=True)},
}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("problems", nargs="+")
    ap.add_argument("--bench", required=True, help="binary of ./convex/bench")
    ap.add_argument("--ratios", default="0.1,0.01,0.001")
    ap.add_argument("--tols", default="1e-3,1e-6")
    ap.add_argument("--archs", default="gated_relu,relu")
    ap.add_argument("--limit", type=float, default=60, help="CPU seconds of a peer")
    ap.add_argument("--repeat", type=int, default=1)
    ap.add_argument("--peers", default="", help="only those with one of these in their names")
    ap.add_argument("--out", default="")
    o = ap.parse_args()
    tols = [float(t) for t in o.tols.split(",")]
    want = [w for w in o.peers.split(",") if w]
    out = open(o.out, "a") if o.out else None
    ratios = {}
    print("| instance | network | β/βmax | gap | ours CPU s (wall) | peer | peer CPU s (wall) | ratio | note |\n|---|---|---|---|---|---|---|---|---|")
    for path in o.problems:
        X, y, D = load(path)
        name = os.path.basename(os.path.dirname(os.path.abspath(path)))
        top = np.linalg.norm(X.T @ (D * y[:, None]), axis=0).max()
        for arch in o.archs.split(","):
            for ratio in map(float, o.ratios.split(",")):
                for peer, solve in PEERS[arch].items():
                    if want and not any(w in peer for w in want):
                        continue
                    runs = []
                    for _ in range(o.repeat):
                        mine = {}
                        for t in tols:
                            text = subprocess.run([o.bench, "-arch", arch, "-ratio", str(ratio), "-tol", str(t), "-limit", f"{o.limit}s", path], capture_output=True, text=True, check=True).stdout
                            mine[t] = json.loads(text)
                        try:
                            theirs, last = solve(X, y, D, ratio * top, tols, o.limit)
                        except ImportError as e:
                            theirs, last = None, dict(note=f"not installed: {e}")
                        runs.append((mine, theirs, last))
                        if out:
                            out.write(json.dumps(dict(instance=name, arch=arch, ratio=ratio, peer=peer, ours=mine, theirs=theirs, last=last)) + "\n")
                            out.flush()
                    for t in tols:
                        ours = [m[t] for m, _, _ in runs]
                        c, w = (statistics.median(r[k] for r in ours) for k in ("cpu_seconds", "wall_seconds"))
                        mark = "" if ours[0]["status"] == "optimal" else f" ({ours[0]['status']}, gap {ours[0]['gap']:.0e})"
                        hit = [h[t] for _, h, _ in runs if h and t in h]
                        if hit:
                            pc, pw = (statistics.median(h[k] for h in hit) for k in ("cpu", "wall"))
                            ratios.setdefault((arch, peer, t), []).append(pc / c)
                            tail = f"{pc:.3g} ({pw:.3g}) | {pc / c:.1f} | {hit[0]['note']}"
                        else:
                            last = runs[-1][2] or {}
                            g = last.get("gap")
                            tail = f"{'not in ' + format(last['cpu'], '.3g') if 'cpu' in last else 'no'} | | {last.get('note', '')}{'' if g is None else f' gap {g:.0e}'}{'' if last.get('objective') is None else ' objective %.6g, ours %.6g' % (last['objective'], ours[0]['objective'])}"
                        print(f"| {name} | {arch} | {ratio:g} | {t:g} | {c:.3g} ({w:.3g}){mark} | {peer} | {tail} |", flush=True)
    for (arch, peer, t), r in ratios.items():
        print(f"\n{arch}, {peer}, gap {t:g}: {np.exp(np.mean(np.log(r))):.1f} times in the geometric mean of {len(r)}, least {min(r):.1f}")


if __name__ == "__main__":
    main()
