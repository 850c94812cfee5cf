"""Golden values for vlmjudge's schedules: Davidson's model of ties, the information of a comparison, worst cases of sorts.

    python tests/oracle/ranking.py [output file, default tests/golden/ranking.json]

Strengths are maxima of the likelihood as written here, by Newton's method with torch's automatic derivatives in float64, covariances inverses of
those Hessians. Information is
integrated by scipy.integrate.quad. Worst cases are counted, over every order of up to eight items by sorts of this file's own, beyond by
their recursions.
"""

import itertools
import json
import math
import pathlib
import sys

import numpy as np
import scipy
import torch
from scipy import integrate

SEED = 20261127


def loss(x, wins, ties, sigma):
    theta, eta = x[:-1], x[-1]
    p = torch.exp(theta)
    draw = torch.exp(eta) * torch.sqrt(torch.outer(p, p))
    total = p[:, None] + p[None] + draw
    value = -(wins * torch.log(p[:, None] / total)).sum() - (torch.triu(ties, 1) * torch.log(draw / total)).sum()
    return value + (x ** 2).sum() / 2 / sigma ** 2


def davidson(rng):
    rows = []
    for n, sigma in [(2, 1.0), (4, 2.0), (6, 10.0)]:
        wins = np.round(rng.random((n, n)) * 4, 2) * (rng.random((n, n)) < 0.8)
        np.fill_diagonal(wins, 0)
        wins[np.arange(n), (np.arange(n) + 1) % n] += 0.5
        ties = np.triu(rng.integers(0, 3, (n, n)), 1).astype(float)
        ties[0, 1] += 1
        ties = ties + ties.T
        f = lambda x: loss(x, torch.tensor(wins), torch.tensor(ties), sigma)
        x = torch.zeros(n + 1, dtype=torch.float64)
        for _ in range(50):
            gradient, hessian = (d(f, x) for d in (torch.autograd.functional.jacobian, torch.autograd.functional.hessian))
            x = x - torch.linalg.solve(hessian, gradient)
        assert gradient.abs().max() < 1e-10
        rows.append({"wins": wins.tolist(), "ties": ties.tolist(), "sigma": sigma, "theta": x[:-1].tolist(), "nu": float(torch.exp(x[-1])),
                     "covariance": torch.linalg.inv(hessian)[:-1, :-1].tolist()})
    return rows


def information():
    rows = []
    entropy = lambda p: float(scipy.special.entr(p) + scipy.special.entr(1 - p))
    for gap, variance in [(0, 0.25), (0, 8), (1, 1), (-2, 4), (5, 2)]:
        normal = lambda x: math.exp(-(x - gap) ** 2 / 2 / variance) / math.sqrt(2 * math.pi * variance)
        mean = lambda g: integrate.quad(lambda x: g(1 / (1 + math.exp(-x))) * normal(x), gap - 12 * variance ** .5, gap + 12 * variance ** .5,
                                        epsabs=1e-13, limit=500, points=[gap])[0]
        rows.append({"gap": gap, "variance": variance, "information": entropy(mean(lambda p: p)) - mean(entropy)})
    return rows


def merge(items, count):
    if len(items) < 2:
        return items
    a, b, out = merge(items[:len(items) // 2], count), merge(items[len(items) // 2:], count), []
    while a and b:
        count[0] += 1
        out.append((a if a[0] < b[0] else b).pop(0))
    return out + a + b


def insertion(items, count):
    out = []
    for x in items:
        low, high = 0, len(out)
        while low < high:
            middle = (low + high) // 2
            count[0] += 1
            low, high = (low, middle) if x < out[middle] else (middle + 1, high)
        out.insert(low, x)
    return out


def worst(sort, n):
    most = 0
    for order in itertools.permutations(range(n)):
        count = [0]
        assert sort(list(order), count) == sorted(order)
        most = max(most, count[0])
    return most


def counts():
    recursion = {1: 0}
    for n in range(2, 65):
        recursion[n] = recursion[n // 2] + recursion[n - n // 2] + n - 1
    rows = []
    for n in [2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 32, 64]:
        row = {"n": n, "all": math.comb(n, 2), "merge": recursion[n], "insertion": sum(math.ceil(math.log2(i + 1)) for i in range(1, n)),
               "least": math.ceil(math.log2(math.factorial(n)))}
        if n <= 8:
            assert (row["merge"], row["insertion"]) == (worst(merge, n), worst(insertion, n)), row
        rows.append(row)
    return rows


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/ranking.json")
    data = {
        "by": f"python tests/oracle/ranking.py; torch {torch.__version__}, scipy {scipy.__version__}, numpy {np.__version__}, seed {SEED}",
        "davidson": davidson(np.random.default_rng(SEED)), "information": information(), "counts": counts(),
    }
    out.write_text(json.dumps(data) + "\n")


if __name__ == "__main__":
    main()
