"""Golden values for the rewards of judges in training and for soft rewards within a group.

    python tests/oracle/softreward.py [output file, default tests/golden/softreward.json]

What a completion says is written here by hand; whether its form is right is decided by an XML parser. Order agreement is Kendall's tau
of scipy where nothing is tied, and counted from sign matrices of numpy elsewhere. Within groups: win rates are means of a matrix, strengths maxima found by scipy.optimize, and rank utilities sums over all
permutations under Plackett and Luce's model.
"""

import itertools
import json
import pathlib
import sys
import xml.etree.ElementTree as xml

import numpy as np
import scipy
from scipy import optimize, stats

SEED = 20261127
WEIGHTS = [(0.5, 0.5, 0.1), (1, 0, 0.2), (0, 1, 0), (0.3, 0.9, 0.05)]


def formed(text, direct):
    """The form of a whole completion."""
    if direct:
        return "<" not in text
    try:
        root = xml.fromstring("<r>" + text + "</r>")
    except xml.ParseError:
        return False
    parts = list(root)
    loose = [root.text] + [p.tail for p in parts]
    return ([p.tag for p in parts] == ["think", "answer"] and all(len(p) == 0 for p in parts)
            and all(not (t or "").strip() for t in loose) and bool((parts[0].text or "").strip()))


def matrix(ranks):
    """Entry i, j: 1 where i is before j, 0 behind, half at the same place, NaN where one has none."""
    r = np.array([np.nan if x is None else x for x in ranks], dtype=float)
    d = r[None] - r[:, None]
    return np.where(np.isnan(d), np.nan, (np.sign(d) + 1) / 2)


def grade(says, truth, p):
    """says: ranks, a probability, or None. Order and Brier, None where nothing decides."""
    want = matrix(truth["ranks"]) if "ranks" in truth else np.array([[0.5, truth["share"]], [1 - truth["share"], 0.5]])
    n = len(want)
    upper = np.triu_indices(n, 1)
    q = want[upper]
    told = ~np.isnan(q)
    decided = told & (q != 0.5)
    if says is None:
        return (0.0 if decided.any() else None), (0.0 if told.any() else None)
    said = np.full(len(q), says) if isinstance(says, float) else matrix(says)[upper]
    hits = (np.sign(said - 0.5) * np.sign(q - 0.5) + 1) / 2
    order = float(hits[decided].mean()) if decided.any() else None
    if decided.all() and not isinstance(says, float) and (said != 0.5).all() and "ranks" in truth:
        assert abs(order - (stats.kendalltau(says, truth["ranks"]).statistic + 1) / 2) < 1e-12
    if p is not None:
        said = np.full(len(q), p)
    brier = float(1 - np.square(said - q)[told].mean()) if told.any() else None
    return order, brier


def think(answer, thought="the left one has no star"):
    return f"<think>{thought}</think>\n<answer>{answer}</answer>"


# text, what it says (ranks, probability, nothing), pictures
WRITTEN = [
    (think("1"), [0, 1], 2), (think("2"), [1, 0], 2), (think(" 2\n"), [1, 0], 2), (think("0.73"), 0.73, 2), (think("1.00"), 1.0, 2), (think(".5"), 0.5, 2),
    (think("B>A"), [1, 0], 2), (think("A=B"), [0, 0], 2), (think("0"), None, 2), (think("3"), None, 2), (think("1.01"), None, 2), (think(""), None, 2),
    (think("Image 1"), None, 2), ("<answer>2</answer>", [1, 0], 2), ("2", [1, 0], 2), ("the second", None, 2), ("", None, 2),
    ("<think>1 has more <answer>1</answer></think><answer>2</answer>", [1, 0], 2), ("<think>it is 1 <answer>1</answer>", None, 2),
    (think("1") + "<answer>2</answer>", [1, 0], 2), (think("1") + " so image 1", [0, 1], 2), (think("1", " "), [0, 1], 2), ("I think " + think("1"), [0, 1], 2),
    (think("A>B>C"), [0, 1, 2], 3), (think("C > A = B"), [1, 1, 0], 3), (think("A=B=C"), [0, 0, 0], 3), (think("A>B"), None, 3), (think("A>B>B"), None, 3),
    (think("A>B>C>"), None, 3), (think("a>b>c"), None, 3), (think("A>B>D"), None, 3), (think("1"), None, 3), (think("C>B>D>A"), [3, 1, 0, 2], 4),
    (think("D>C>B>A"), [3, 2, 1, 0], 4), (think("A=C>B=D"), [0, 1, 0, 1], 4), ("<think>x</think>B>C>A>D", [2, 0, 1, 3], 4),
]
DIRECT = [("1", [0, 1], 2), (" 2\n", [1, 0], 2), (think("2"), [1, 0], 2), ("0.25", 0.25, 2), ("one", None, 2), ("B>A>C", [1, 0, 2], 3)]


def truths(rng, n):
    rows = [{"share": s} for s in (0.0, 0.2, 0.5, 0.7, 1.0)] if n == 2 else []
    ranks = [rng.permutation(n).tolist(), rng.integers(1, 3, n).tolist(), [3] * n]
    ranks.append([None if i == 1 else r for i, r in enumerate(rng.permutation(n).tolist())])
    return rows + [{"ranks": r} for r in ranks]


def grades(rng):
    rows = []
    for direct, written in [(False, WRITTEN), (True, DIRECT)]:
        for k, (text, says, n) in enumerate(written):
            for truth in truths(rng, n):
                p = round(float(rng.random()), 3) if "share" in truth and rng.random() < 0.3 else None
                order, brier = grade(says, truth, p)
                form = float(formed(text, direct) and says is not None)
                w = WEIGHTS[k % len(WEIGHTS)]
                reward = w[0] * (order or 0) + w[1] * (brier or 0) + w[2] * form
                rows.append({"completion": text, "truth": truth, "p": p, "direct": direct, "weights": w, "order": order, "brier": brier, "format": form, "reward": reward})
    return rows


def strengths(m, sigma=30):
    """Bradley and Terry with the ranking's prior."""
    n = len(m)
    off = ~np.eye(n, dtype=bool)
    loss = lambda t: float((m * np.logaddexp(0, t[None] - t[:, None]))[off].sum() + (t ** 2).sum() / 2 / sigma ** 2)
    x = np.zeros(n)
    for _ in range(5):
        x = optimize.minimize(loss, x, method="BFGS", options={"gtol": 1e-12, "maxiter": 10000}).x
    return x


def utilities(theta):
    """Expected u(rank), summed over all orders and their probabilities."""
    n, weight, out = len(theta), np.exp(theta), np.zeros(len(theta))
    for order in itertools.permutations(range(n)):
        p = np.prod([weight[i] / weight[list(order[k:])].sum() for k, i in enumerate(order)])
        for place, i in enumerate(order):
            out[i] += p * (1 - place / (n - 1))
    return out


def groups(rng):
    rows = []
    for n in (2, 4, 6):
        m = np.zeros((n, n))
        for i in range(n):
            for j in range(i):
                m[i, j] = round(float(rng.uniform(0.05, 0.95)), 3)
                m[j, i] = 1 - m[i, j]
        theta = strengths(m)
        rankings = [rng.permutation(n).tolist() for _ in range(5)]
        place = np.argsort(np.array(rankings), axis=1)
        rows.append({"p": m.tolist(), "win_rate": (m.sum(1) / (n - 1)).tolist(), "strength": stats.zscore(theta).tolist(), "rank": utilities(theta).tolist(),
                     "rankings": rankings, "sampled": (1 - place / (n - 1)).mean(0).tolist()})
    return rows


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/softreward.json")
    rng = np.random.default_rng(SEED)
    data = {"by": f"python tests/oracle/softreward.py; scipy {scipy.__version__}, numpy {np.__version__}, seed {SEED}", "grades": grades(rng), "groups": groups(rng)}
    out.write_text(json.dumps(data) + "\n")


if __name__ == "__main__":
    main()
