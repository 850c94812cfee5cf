"""Golden values for vlmjudge's aggregation: Bradley–Terry with and without a prior, Plackett–Luce, a simulated judge.

    python tests/oracle/aggregation.py [output file, default tests/golden/aggregation.json]

Strengths are maxima found by scipy.optimize from the likelihoods as written here; covariances are inverses of numerical
Hessians. The simulated judge is numpy's, with its own Bradley–Terry iteration; tau is scipy's.
"""

import json
import pathlib
import sys

import numpy as np
import scipy
from scipy import optimize, stats

SEED = 20261127


def bt_loss(theta, w):
    return float((w * np.logaddexp(0, theta[None] - theta[:, None])).sum())


def pl_loss(theta, rankings):
    return float(sum(np.logaddexp.reduce(theta[r[k:]]) - theta[r[k]] for r in rankings for k in range(len(r) - 1)))


def minimum(loss, n):
    x = np.zeros(n)
    for _ in range(4):
        x = optimize.minimize(loss, x, method="BFGS", options={"gtol": 1e-11, "maxiter": 10000}).x
    return x


def hessian(loss, x, h=1e-4):
    n, e = len(x), np.eye(len(x)) * h
    return np.array([[(loss(x + e[i] + e[j]) - loss(x + e[i] - e[j]) - loss(x - e[i] + e[j]) + loss(x - e[i] - e[j])) / (4 * h * h)
                      for j in range(n)] for i in range(n)])


def strengths(rng):
    rows = []
    for n, sigma in [(3, 1.0), (5, 2.0), (7, 0.5)]:
        w = np.round(rng.random((n, n)) * 4, 2) * (rng.random((n, n)) < 0.8)
        np.fill_diagonal(w, 0)
        w[np.arange(n), (np.arange(n) + 1) % n] += 0.5  # a ring of wins: the maximum is finite
        fit = minimum(lambda t: bt_loss(t, w) + t.sum() ** 2, n)
        with_prior = lambda t: bt_loss(t, w) + (t ** 2).sum() / 2 / sigma ** 2
        prior = minimum(with_prior, n)
        rows.append({"wins": w.tolist(), "theta": fit.tolist(), "sigma": sigma, "prior": prior.tolist(),
                     "covariance": np.linalg.inv(hessian(with_prior, prior)).tolist()})
    return rows


def rankings(rng):
    rows = []
    for n, count in [(3, 6), (5, 12), (8, 30)]:
        some = [rng.permutation(n)[:rng.integers(2, n + 1)].tolist() for _ in range(count)] + [list(range(n)), list(range(n))[::-1]]
        fit = minimum(lambda t: pl_loss(t, [np.array(r) for r in some]) + t.sum() ** 2, n)
        rows.append({"items": n, "rankings": some, "theta": fit.tolist()})
    return rows


def strength(w):
    met = (w + w.T) > 0
    w = w + 0.5 * met
    p = np.ones(len(w))
    for _ in range(300):
        p = w.sum(1) / np.where(met, (w + w.T) / (p[:, None] + p[None]), 0).sum(1)
        p /= np.exp(np.log(p).mean())
    return np.log(p)


def simulated(rng, votes, orders, trials=1500):
    """Mean tau of a full round robin of 8 items: bias .5, lapses .05, strengths of deviation 1.5; votes 0 means soft."""
    taus = []
    for _ in range(trials):
        theta, w = 1.5 * rng.normal(size=8), np.zeros((8, 8))
        for i in range(8):
            for j in range(i):
                for a, b in [(i, j), (j, i)][:orders]:
                    p = 0.95 / (1 + np.exp(theta[b] - theta[a] - 0.5)) + 0.025
                    p = rng.binomial(votes, p) / votes if votes else p
                    w[a, b] += p
                    w[b, a] += 1 - p
        taus.append(stats.kendalltau(strength(w), theta, variant="b").statistic)
    return {"votes": votes, "orders": orders, "trials": trials, "tau": float(np.mean(taus)), "error": float(np.std(taus) / trials ** 0.5)}


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/aggregation.json")
    rng = np.random.default_rng(SEED)
    data = {
        "by": f"python tests/oracle/aggregation.py; scipy {scipy.__version__}, numpy {np.__version__}, seed {SEED}",
        "bradley_terry": strengths(rng), "plackett_luce": rankings(rng),
        "simulated": [simulated(rng, *c) for c in [(0, 2), (1, 1), (1, 2), (4, 2)]],
    }
    out.write_text(json.dumps(data) + "\n")


if __name__ == "__main__":
    main()
