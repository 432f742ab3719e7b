"""Solves every problem file of the folder problems again, with nothing of Gonvex's: the
arrangements are enumerated here by linear programs, the convex programs written as
published and given to CVXPY and Clarabel. Prints each optimum beside the stored one, and
with --gonvex beside what the equality table of that binary has.

Usage, from the root of the repository:

    python3 -m venv /tmp/references
    /tmp/references/bin/pip install numpy scipy cvxpy clarabel
    go build -o /tmp/gonvex ./kernel/gonvex
    /tmp/references/bin/python convex/testdata/references.py --gonvex /tmp/gonvex [--write] [NAME...]

A NAME is part of a file's. --write stores what was found as the optimum of the rows of the
equality table. "gap" is the solver's own between its primal and dual objective, relative;
the exit code is 1 when a value is off by more than its tolerance.

Every loss is a sum, and a group's weight is beta. Vector outputs over data of rank 2 are
exact here as a semidefinite program: the convex hull of (t,w)(t,w)' over t >= 0 in R^2 and
free w is that of the positive semidefinite matrices with M_12 >= 0, by the decomposition of
Sturm & Zhang (2003). Only tied filters of three layers need a search: atoms are added on a
grid of two angles, refined, until none is left to add; "gap" is then that of the search.
"""
import argparse, glob, itertools, json, os, subprocess, sys, warnings

import cvxpy as cp
import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog, minimize

warnings.filterwarnings("ignore")  # the gap is printed
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "problems")


def cells(A, within=None):
    """Sign vectors in {-1,1}^n of A u over the u with within u > 0, one for each open cell.
    Rows of zeros are -1."""
    A = np.asarray(A, float)
    unit = lambda M: M / np.linalg.norm(M, axis=1, keepdims=True)
    base = np.zeros((0, A.shape[1])) if within is None else unit(within[np.linalg.norm(within, axis=1) > 1e-12])

    def witness(rows):
        k, d = rows.shape
        r = linprog(np.r_[np.zeros(d), -1], A_ub=np.c_[-rows, np.ones(k)], b_ub=np.zeros(k), bounds=[(-1, 1)] * d + [(None, 1)], method="highs")
        return r.x[:d] if r.status == 0 and r.x[d] > 1e-9 else None

    live = np.linalg.norm(A, axis=1) > 1e-12
    rows = unit(A[live])
    start = witness(base)
    if start is None:
        return np.zeros((0, len(A)))
    found = [(np.zeros(0), start)]
    for i, x in enumerate(rows):
        grown = []
        for s, u in found:
            for sign in (1.0, -1.0):
                t = np.r_[s, sign]
                w = u if sign * (x @ u) > 1e-7 else witness(np.vstack([base, t[:, None] * rows[: i + 1]]))
                if w is not None:
                    grown.append((t, w))
        found = grown
    out = -np.ones((len(found), len(A)))
    out[:, live] = [s for s, _ in found]
    return out


def loss(p, f, y):
    if p["loss"] == "squared":
        return cp.sum_squares(f - y) / 2
    if p["loss"] == "l1":
        return cp.norm1(f - y)
    margin = cp.multiply(y, f)
    return {"hinge": cp.sum(cp.pos(1 - margin)), "logistic": cp.sum(cp.logistic(-margin))}[p["loss"]]


def optimum(objective, constraints=()):
    """The least value, and the solver's relative gap."""
    prog = cp.Problem(cp.Minimize(objective), list(constraints))
    for tol in (1e-12, 1e-10):  # where Clarabel makes no progress to the first it may to the second
        options = {k + of: t for k, t in (("tol_", tol), ("reduced_tol_", 1e-8)) for of in ("gap_abs", "gap_rel", "feas")}
        data, chain, inverse = prog.get_problem_data(cp.CLARABEL, solver_opts=options)
        found = chain.solve_via_data(prog, data, solver_opts=options)
        if str(found.status) in ("Solved", "AlmostSolved"):
            prog.unpack_results(found, chain, inverse)
            return prog.value, abs(found.obj_val - found.obj_val_dual) / abs(prog.value)
    raise SystemExit(f"Clarabel: {found.status}")


def groups(p, y, fits, cones=None, norms=None):
    """min loss(sum_g fits_g z_g) + beta sum_g |z_g| s.t. cones_g z_g >= 0. With norms, pairs of
    columns and a weight, |z| is the weighted sum of the norms of these parts."""
    w = fits[0].shape[1]
    z = cp.Variable((len(fits), w))
    flat = cp.reshape(z, (len(fits) * w,), order="C")
    f = np.hstack(fits) @ flat
    if p.get("output_bias"):
        f = f + cp.Variable()
    size = sum(k * cp.sum(cp.norm(z[:, c], axis=1)) for c, k in norms or [(list(range(w)), 1)])
    return optimum(loss(p, f, y) + p["beta"] * size, [sp.block_diag(cones, format="csr") @ flat >= 0] if cones else [])


def both(fits):  # positive and negative output weights
    return fits + [-f for f in fits]


def rectified(p, y, X, slope=0.0, basis=None, norms=None):
    """Two layers over X: a pair of groups and a cone for every pattern. z is in basis."""
    S = cells(X)
    Z = X if basis is None else X @ basis
    return groups(p, y, both([np.where(s > 0, 1, slope)[:, None] * Z for s in S]), 2 * [s[:, None] * Z for s in S], norms)


def spectrum(d):
    """s = basis @ z is real where z has the real and imaginary parts of c, s = F c with the
    unitary DFT F; the norms are those whose sum is |c|_1."""
    t, columns, norms = np.arange(d), [], []
    for k in range(d // 2 + 1):
        real = 2 * k % d == 0
        parts = [np.cos(2 * np.pi * k * t / d)] if real else [2 * np.cos(2 * np.pi * k * t / d), -2 * np.sin(2 * np.pi * k * t / d)]
        norms.append((list(range(len(columns), len(columns) + len(parts))), 1 if real else 2))
        columns += [c / np.sqrt(d) for c in parts]
    return np.array(columns).T, norms


def relu(p, y, X, **_):
    if y.ndim == 1:
        return rectified(p, y, X)
    if p.get("penalty") == "per_output":
        each = [rectified(p, v, X) for v in y.T]
        return sum(v for v, _ in each), max(g for _, g in each)
    return angles(p, y, X, [(s, lambda Z, s=s: np.diag(s > 0) @ X @ Z) for s in cells(X)], y.shape[1])


def angles(p, y, X, patterns, width):
    """min loss(sum_i fit_i(Z_i)) + beta sum_i |Z_i|, the norm the gauge of the u w' with u in
    the cone of pattern i, for X of rank 2: Z = R M_12, R the two rays of the cone."""
    f, size, constraints = 0, 0, []
    rays = np.array([r for x in X for r in ([-x[1], x[0]], [x[1], -x[0]])])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    for s, fit in patterns:
        edges = rays[(rays @ (s[:, None] * X).T > -1e-9).all(1)]
        far = np.unravel_index(np.argmin(edges @ edges.T), (len(edges),) * 2)
        R = edges[list(far)].T
        M = cp.Variable((2 + width, 2 + width), PSD=True)
        constraints.append(M[0, 1] >= 0)
        f = f + fit(R @ M[:2, 2:])
        size = size + (cp.trace(R.T @ R @ M[:2, :2]) + cp.trace(M[2:, 2:])) / 2
    return optimum(loss(p, f, y) + p["beta"] * size, constraints)


def gated_relu(p, y, X, **_):
    D = np.array(p["patterns"]) if "patterns" in p else cells(X) > 0
    if y.ndim == 1:
        return groups(p, y, [d[:, None] * X for d in D])
    Z = [cp.Variable((X.shape[1], y.shape[1])) for _ in D]
    return optimum(loss(p, sum(np.diag(d) @ X @ z for d, z in zip(D, Z)), y) + p["beta"] * sum(map(cp.normNuc, Z)))


def leaky_relu(p, y, X, **_):
    return rectified(p, y, X, p["slope"])


def threshold(p, y, X, **_):
    return groups(p, y, [(s > 0).astype(float)[:, None] for s in cells(X)])


def batch_norm_relu(p, y, X, **_):
    n = len(X)
    return rectified(p, y, np.c_[np.linalg.svd(X - X.mean(0), full_matrices=False)[0], np.ones(n) / np.sqrt(n)])


def cnn(p, y, T, **_):
    K, n, h = T.shape
    M, pool = T.reshape(K * n, h), p["pool"]
    if pool == "max":
        differ = [T[k] - T[l] for k, l in itertools.combinations(range(K), 2)]
        fits, cones = {}, {}
        for s in cells(np.vstack([M] + differ)):
            on, above = s[: K * n].reshape(K, n) > 0, {}
            for (k, l), a in zip(itertools.combinations(range(K), 2), s[K * n:].reshape(-1, n)):
                above[k, l], above[l, k] = a > 0, a < 0
            wins = [k for i in range(n) for k in range(K) if all(above[k, l][i] for l in range(K) if l != k)]
            key = tuple(k if on[k, i] else -1 for i, k in enumerate(wins))
            fits[key] = np.array([T[k, i] if k >= 0 else np.zeros(h) for i, k in enumerate(key)])
            cones[key] = np.vstack([np.vstack([T[k, i]] + [T[k, i] - T[l, i] for l in range(K) if l != k]) if k >= 0 else -T[:, i] for i, k in enumerate(key)])
        return groups(p, y, both(list(fits.values())), 2 * list(cones.values()))
    S = cells(M)
    if pool == "flatten":
        def fit(on):
            return lambda Z: sum(np.diag(on[k]) @ T[k] @ Z[:, k] for k in range(K))
        return angles(p, y, M, [(s, fit(s.reshape(K, n) > 0)) for s in S], K)
    share = {"sum": 1, "average": 1 / K}[pool]
    fits = [share * ((s.reshape(K, n) > 0)[:, :, None] * T).sum(0) for s in S]
    return groups(p, y, both(fits), 2 * [s[:, None] * M for s in S])


def linear_cnn(p, y, T, **_):
    Z = cp.Variable((T.shape[2], len(T)))
    return optimum(loss(p, sum(T[k] @ Z[:, k] for k in range(len(T))), y) + p["beta"] * cp.normNuc(Z))


def deep_linear(p, y, X, **_):
    Z = cp.Variable((X.shape[1], y.shape[1]))
    return optimum(loss(p, X @ Z, y) + p["beta"] * cp.normNuc(Z))


def circular_linear_cnn(p, y, X, **_):
    basis, norms = spectrum(X.shape[1])
    return groups(p, y, [X @ basis], norms=[(c, k / np.sqrt(X.shape[1])) for c, k in norms])


def circular_relu_cnn(p, y, X, **_):
    basis, norms = spectrum(X.shape[1])
    kappa = 1 if p["filter_norm"] == "product_frobenius" else 1 / np.sqrt(X.shape[1])
    return rectified(p, y, X, basis=basis, norms=[(c, k * kappa) for c, k in norms])


def polynomial(p, y, X, **_):
    n, d = X.shape
    a, b, c = p["coefficients"]
    Z = [cp.Variable((d + 1, d + 1), PSD=True) for _ in "+-"]
    outer = np.array([np.outer(x, x).ravel() for x in X])
    f = [a * (outer @ cp.vec(z[:d, :d], order="C")) + b * (X @ z[:d, d]) + c * z[d, d] for z in Z]
    return optimum(loss(p, f[0] - f[1], y) + p["beta"] * (Z[0][d, d] + Z[1][d, d]), [cp.trace(z[:d, :d]) == z[d, d] for z in Z])


def untied(p, y, T):
    """Program (7): a pattern of every patch, signs, and a pattern of the second layer."""
    K, n, h = T.shape
    fits, cones = [], []
    for first in itertools.product(*map(cells, T)):
        inner = sp.block_diag([s[:, None] * X for s, X in zip(first, T)]).toarray()
        for signs in itertools.product((1, -1), repeat=K):
            B = np.hstack([g * (s > 0)[:, None] * X for g, s, X in zip(signs, first, T)])
            for second in cells(B, inner):
                fits.append((second > 0)[:, None] * B)
                cones.append(np.vstack([inner, second[:, None] * B]))
    # cells with the dead rows left out are distinct, but for those with no live row
    live = [i for i, f in enumerate(fits) if f.any()]
    return groups(p, y, both([fits[i] for i in live]), 2 * [cones[i] for i in live])


def tied(p, y, T):
    """min over measures on the neurons (sum_k (X_k u)_+ w_k)_+ with |u| = |w| = 1, for two
    patches of two numbers: columns are added where |v'neuron| is above beta at a dual point v."""
    circle = lambda t: np.array([np.cos(t), np.sin(t)])
    neuron = lambda t: np.maximum(circle(t[1]) @ np.maximum(T @ circle(t[0]), 0), 0)
    grid = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    first = np.maximum(np.einsum("knh,ht->knt", T, circle(grid)), 0)
    table = np.maximum(np.einsum("knt,ks->nts", first, circle(grid)), 0)
    columns, value, lower, f = [], y @ y / 2, 0.0, np.zeros(len(y))
    for _ in range(50):
        v, found = y - f, []
        for sign in (1, -1):
            corr = sign * np.tensordot(v, table, 1)
            peak = np.max([np.roll(corr, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
            for i, j in zip(*np.where((corr == peak) & (corr > 0.9 * p["beta"]))):
                start = np.array([[grid[i], grid[j]], [grid[i] + 0.01, grid[j]], [grid[i], grid[j] + 0.01]])
                r = minimize(lambda t: -sign * v @ neuron(t), start[0], method="Nelder-Mead", options=dict(xatol=1e-13, fatol=1e-16, maxiter=4000, initial_simplex=start))
                found.append((-r.fun, neuron(r.x)))
        worst = max([m for m, _ in found], default=0)
        scaled = v * min(1, p["beta"] / worst) if worst else v
        lower = max(lower, y @ y / 2 - (scaled - y) @ (scaled - y) / 2)
        new = [c for m, c in found if m > p["beta"] * (1 + 1e-11)]
        if value - lower < 1e-11 * value or not new:
            break
        columns += new
        A = np.array(columns).T
        z = cp.Variable(A.shape[1])
        value, _ = optimum(loss(p, A @ z, y) + p["beta"] * cp.norm1(z))
        f, columns = A @ z.value, [c for c, x in zip(columns, z.value) if abs(x) > 1e-9]
    return value, (value - lower) / value


def three_layer_relu_cnn(p, y, T, **_):
    return (tied if p.get("filters") == "tied" else untied)(p, y, T)


def parallel_relu(p, y, X, **_):
    return untied(p, y, np.array([X] * p["units"]))


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    args.add_argument("name", nargs="*", help="part of a file's name; none: all")
    args.add_argument("--gonvex", help="a binary whose table to compare with")
    args.add_argument("--write", action="store_true", help="store the optima found of the table's rows")
    args = args.parse_args()
    bad = 0
    print(f"{'instance':30} {'independent':>18} {'gap':>8} {'stored':>18} digits {'gonvex':>18} digits")
    digits = lambda a, b: 15 if a == b else min(15, max(0, int(-np.log10(abs(a - b) / abs(a)))))
    for path in sorted(glob.glob(FOLDER + "/*.expected.json")):
        name = os.path.basename(path).removesuffix(".expected.json")
        if args.name and not any(a in name for a in args.name):
            continue
        want, problem = json.load(open(path)), path.replace(".expected.json", ".json")
        p = json.load(open(problem))
        data = np.array(p["X"] if "X" in p else p["patches"], float)
        value, gap = globals()[p["architecture"]](p, np.array(p["Y"], float), data)
        line = f"{p['name']:30} {value:18.12g} {gap:8.1e} {want['optimum']:18.12g} {digits(value, want['optimum']):6}"
        differs = lambda v: bool(abs(value - v) > want["relative_tolerance"] * abs(value))
        off = differs(want["optimum"])
        if args.gonvex:
            row = json.loads(subprocess.run([args.gonvex, "table", problem, "--starts", "0", "--json"], capture_output=True, check=True).stdout)[0]
            line += f" {row['convex']:18.12g} {digits(value, row['convex']):6}"
            off |= differs(row["convex"])
        print(line + "  OFF" * off, flush=True)
        bad += off
        if args.write and "row" in want:
            want["optimum"] = float(f"{value:.12g}")
            with open(path, "w") as out:
                out.write(json.dumps(want, ensure_ascii=False) + "\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
