"""Golden values for rewards/metric: rank correlations, exact McNemar, Wilson intervals, isotonic regression, temperature.

Usage: python tests/oracle/metrics.py [output file, default tests/golden/metrics.json]
Everything comes from scipy; data is drawn with SEED and stored beside the results.
"""

import json
import pathlib
import sys

import numpy as np
import scipy
from scipy import optimize, stats

SEED = 20261126


def correlations(rng):
    out = []
    for n, levels in [(2, 2), (4, 3), (5, 5), (9, 4), (9, 100), (30, 6)]:
        rank = rng.integers(1, levels + 1, n).tolist()
        score = np.round(rng.normal(size=n), 1).tolist()
        out.append({
            "rank": rank, "score": score,
            "kendall": float(stats.kendalltau(-np.array(rank), score, variant="b").statistic),
            "spearman": float(stats.spearmanr(-np.array(rank), score).statistic),
        })
    return [c for c in out if np.isfinite(c["kendall"])]


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/metrics.json")
    rng = np.random.default_rng(SEED)
    x = np.round(rng.normal(size=60), 1)
    y = (rng.random(60) < 1 / (1 + np.exp(-2 * x))).astype(float)
    order = np.argsort(x, kind="stable")
    groups = [np.flatnonzero(x[order] == v) for v in np.unique(x)]
    iso = optimize.isotonic_regression([y[order][g].mean() for g in groups], weights=[len(g) for g in groups]).x
    margin, soft = rng.normal(size=200) * 3, rng.random(200)
    label = np.clip(1 / (1 + np.exp(-margin / 2.5)) + (soft - 0.5) * 0.4, 0, 1)
    nll = lambda t: np.mean(np.logaddexp(0, margin / t) - label * margin / t)
    tau = optimize.minimize_scalar(nll, bounds=(0.01, 100), method="bounded", options={"xatol": 1e-10}).x
    data = {
        "by": f"scipy {scipy.__version__}, numpy {np.__version__}, seed {SEED}",
        "correlations": correlations(rng),
        "mcnemar": [{"a": a, "b": b, "p": float(stats.binomtest(a, a + b, 0.5).pvalue)}
                    for a, b in [(1, 0), (3, 9), (10, 10), (120, 80), (1000, 1100)]],
        "wilson": [{"right": k, "total": n, "low": ci.low, "high": ci.high}
                   for k, n in [(0, 10), (7, 10), (4185, 6399)]
                   for ci in [stats.binomtest(k, n).proportion_ci(0.95, "wilson")]],
        "isotonic": {"x": x.tolist(), "y": y.tolist(), "at": np.unique(x).tolist(), "fit": iso.tolist()},
        "temperature": {"margin": margin.tolist(), "label": label.tolist(), "tau": float(tau)},
    }
    out.write_text(json.dumps(data) + "\n")


if __name__ == "__main__":
    main()
