"""The figures of `winnow eval`, written from their definitions with numpy and scipy. Used by evaluation.py.

A group is a dict of rank (NaN: not ranked), score, votes (lists of ranks), prompt, category. A pair is a dict of label
(1, 0, 0.5, or NaN for none), score (two numbers), prompt, category.
"""

import numpy as np
from scipy import optimize, special, stats

RESAMPLES = 20_000
# The ends that the command prints come from 2,000 resamples. Such an end estimates a quantile of the bootstrap's
# distribution; it must lie between the quantiles of RESAMPLES that are MARGIN to both sides: 4 standard errors of the share
# of resamples below the end, both sides' errors added up.
MARGIN = 4 * np.sqrt(0.025 * 0.975 * (1 / 2_000 + 1 / RESAMPLES))
THRESHOLDS = [k / 10 for k in range(11)]


def signs(rank, score):
    """Of every two pictures the sign of the human and of the predicted order, +1 when the first is better."""
    i, j = np.triu_indices(len(rank), 1)
    return np.sign(rank[j] - rank[i]), np.sign(score[i] - score[j])


def decided(rank, score):
    """Right and total of the pairs with different ranks; NaN compares with nothing."""
    human, predicted = signs(np.asarray(rank, float), score)
    return np.array([np.sum(human * predicted == 1), np.sum(np.abs(human) == 1)], float)


def against(person, other):
    """Right and total of one annotator's order by another's, on the pictures that both have ranked."""
    person, other = np.asarray(person, float), np.asarray(other, float)
    both = np.isfinite(person) & np.isfinite(other)
    return decided(other[both], -person[both])


def inversion(rank, score):
    place = np.argsort(np.argsort(-score, kind="stable"))
    human, predicted = signs(rank, -place)
    return 1 - np.mean(human * predicted == -1)


def share(count):
    return count[0] / count[1] if count[1] > 0 else np.nan


def correlation(of, rank, score):
    if np.ptp(rank) == 0 or np.ptp(score) == 0:
        return np.nan
    return of(-rank, score).statistic


def tie_optimal(groups):
    """Accuracy over all pairs at the best threshold for a tie, by trying every one; the smallest of the best."""
    human, gap, order = [], [], []
    for g in groups:
        h, p = signs(g["rank"], g["score"])
        i, j = np.triu_indices(len(g["rank"]), 1)
        human.append(h), order.append(p), gap.append(np.abs(g["score"][i] - g["score"][j]))
    human, gap, order = map(np.concatenate, (human, gap, order))
    candidates = np.unique(np.append(gap, 0.0))
    right = [np.sum(np.where(gap <= e, 0, order) == human) for e in candidates]
    best = int(np.argmax(right))
    return right[best] / len(human), candidates[best], len(human)


def ends(draws):
    """Where the two ends of a 95 % interval may lie."""
    draws = draws[np.isfinite(draws)]
    if len(draws) == 0:
        return {"low": None, "high": None}
    q = [0.025 - MARGIN, 0.025 + MARGIN, 0.975 - MARGIN, 0.975 + MARGIN]
    a, b, c, d = np.quantile(draws, q).tolist()
    return {"low": [a, b], "high": [c, d]}


def bootstrap(rng, prompts, top, bottom):
    """Σ top / Σ bottom over prompts that are drawn with replacement, whatever belongs to one together."""
    _, cluster = np.unique(np.array(prompts, dtype=object), return_inverse=True)
    n = cluster.max() + 1
    weight = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
    with np.errstate(invalid="ignore"):
        return ends((weight @ np.bincount(cluster, top)) / (weight @ np.bincount(cluster, bottom)))


def number(x):
    return float(x) if np.isfinite(x) else None


def average(rng, name, items, values):
    values = np.array(values, float)
    there = np.isfinite(values)
    value = np.mean(values[there]) if there.any() else np.nan
    prompts = [i["prompt"] for i in items]
    return {"metric": name, "value": number(value), "of": int(there.sum()), "unit": "prompts",
            **bootstrap(rng, prompts, np.where(there, values, 0), there.astype(float))}


def pooled(rng, name, items, counts, wilson=True):
    counts = np.array(counts, float)
    right, total = counts.sum(axis=0)
    out = {"metric": name, "value": number(share((right, total))), "of": int(total), "unit": "pairs",
           **bootstrap(rng, [i["prompt"] for i in items], counts[:, 0], counts[:, 1])}
    if wilson:
        out["wilson"] = None
        if total > 0:
            ci = stats.binomtest(int(right), int(total)).proportion_ci(0.95, "wilson")
            out["wilson"] = [float(ci.low), float(ci.high)]
    return out


def group_figures(rng, kind, groups):
    ranked = []
    for g in groups:
        keep = np.isfinite(g["rank"])
        assert keep.all() or not g["votes"]
        if keep.sum() > 1:
            ranked.append({**g, "rank": g["rank"][keep], "score": g["score"][keep]})
    if not ranked:
        return []
    of = lambda f: [f(g["rank"], g["score"]) for g in ranked]
    micro, out = of(decided), []
    if kind == "hpdv2":
        out += [average(rng, "hpdv2.inversion", ranked, of(inversion)),
                pooled(rng, "hpdv2.pair_micro_no_ties", ranked, micro)]
    else:
        out += [pooled(rng, "imagereward.pair_micro", ranked, micro),
                average(rng, "hpsv2.imagereward_macro", ranked, [share(c) for c in micro])]
    votes = [sum((decided(v, g["score"]) for v in g["votes"]), np.zeros(2)) for g in ranked]
    if np.sum(votes) > 0:
        out.append(pooled(rng, "hpdv2.raw_votes", ranked, votes))
    people = [sum((against(u, v) for a, u in enumerate(g["votes"]) for b, v in enumerate(g["votes"]) if a != b), np.zeros(2))
              for g in ranked]
    if np.sum(people) > 0:
        out.append(pooled(rng, "hpdv2.single_human", ranked, people))
    accuracy, epsilon, pairs = tie_optimal(ranked)
    return out + [
        average(rng, "best_of_n", ranked, of(lambda r, s: r[np.argmax(s)] == r.min())),
        average(rng, "top1_soft", ranked, of(lambda r, s: np.mean(r[s == s.max()] == r.min()))),
        average(rng, "kendall_tau_b", ranked, of(lambda r, s: correlation(stats.kendalltau, r, s))),
        average(rng, "spearman", ranked, of(lambda r, s: correlation(stats.spearmanr, r, s))),
        {"metric": "pairwise_acc_tie_opt", "value": float(accuracy), "of": pairs, "unit": "pairs", "low": None, "high": None,
         "epsilon": float(epsilon)},
    ]


def tie_points(pairs, t):
    """Points of every pair: 1 for the right class, ½ when one of label and prediction alone is a tie."""
    label = np.array([p["label"] for p in pairs])
    p0, p1 = special.softmax(np.array([p["score"] for p in pairs]), axis=1).T
    distance = np.abs(p1 - p0)
    assert not np.any((np.abs(distance - t) < 1e-9) & (distance != t)), "a probability too near to a threshold to compare"
    predicted = np.where(distance <= t, 0.5, np.where(p0 > p1, 1.0, 0.0))
    return np.where(predicted == label, 1.0, np.where((predicted == 0.5) != (label == 0.5), 0.5, 0.0))


def choose_threshold(pairs):
    pairs = [p for p in pairs if np.isfinite(p["label"])]
    return THRESHOLDS[int(np.argmax([np.mean(tie_points(pairs, t)) for t in THRESHOLDS]))]


def pair_figures(rng, pairs, threshold):
    pairs = [p for p in pairs if np.isfinite(p["label"])]
    if not pairs:
        return []
    strict = [[(p["score"][0] - p["score"][1]) * (p["label"] - 0.5) > 0, p["label"] != 0.5] for p in pairs]
    out = [pooled(rng, "pickapic.no_ties", pairs, strict)]
    if threshold is not None:
        f = pooled(rng, "pickapic.tie_threshold", pairs, [[x, 1] for x in tie_points(pairs, threshold)], wilson=False)
        ties = sum(p["label"] == 0.5 for p in pairs)
        f["threshold"] = threshold
        f["random"] = ((threshold + (1 - threshold) / 2) * ties + 0.5 * (len(pairs) - ties)) / len(pairs)
        out.append(f)
    return out


def parts(rng, kind, items, threshold):
    """Figures of the whole and of each category; items of both kinds may be mixed."""
    out = []
    for category in [""] + sorted({i["category"] for i in items} - {""}):
        own = [i for i in items if category in ("", i["category"])]
        figures = group_figures(rng, kind, [i for i in own if "rank" in i])
        figures += pair_figures(rng, [i for i in own if "label" in i], threshold)
        if figures:
            out.append({"category": category, "figures": figures})
    return out


def choices(items):
    """Every two pictures of every item: the human choice (1, 0, ½ for a tie, NaN for none), the margin of the scores, the
    prompt."""
    human, margin, prompt = [], [], []
    for item in items:
        i, j = np.triu_indices(len(item["score"]), 1)
        rank = item.get("rank")
        human += [item["label"]] if rank is None else ((np.sign(rank[j] - rank[i]) + 1) / 2).tolist()
        margin += (item["score"][i] - item["score"][j]).tolist()
        prompt += [item["prompt"]] * len(i)
    return np.array(human), np.array(margin), np.array(prompt, dtype=object)


def comparison(rng, a, b):
    """Two scorers on the decided pairs that both have scored: a paired bootstrap over prompts, and McNemar's exact test."""
    (human, x, prompt), (_, y, _) = choices(a), choices(b)
    both = np.isin(human, [0.0, 1.0]) & np.isfinite(x) & np.isfinite(y)
    human, x, y, prompt = human[both], x[both], y[both], prompt[both]
    right_a, right_b = x * (human - 0.5) > 0, y * (human - 0.5) > 0
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    _, cluster = np.unique(prompt, return_inverse=True)
    n = cluster.max() + 1
    weight = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
    difference = (weight @ np.bincount(cluster, 1.0 * right_a - right_b)) / (weight @ np.bincount(cluster))
    tail = min(np.mean(difference <= 1e-15), np.mean(difference >= -1e-15))
    slack = 4 * np.sqrt(tail * (1 - tail) * (1 / 2_000 + 1 / RESAMPLES)) + 1 / 2_000
    return {"pairs": len(human), "prompts": int(n), "accuracy_a": right_a.mean(), "accuracy_b": right_b.mean(),
            "difference": right_a.mean() - right_b.mean(), **ends(difference),
            "p": [max(0.0, 2 * (tail - slack)), min(1.0, 2 * (tail + slack))], "only_a": only_a, "only_b": only_b,
            "mcnemar_p": stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0}


def agreement(a, b):
    """Of a, b and the people, pair by pair: 1 for the same answer, ½ where one of them alone has a tie."""
    (human, x, _), (_, y, _) = choices(a), choices(b)
    signs = [np.sign(x), np.sign(y), np.sign(human - 0.5)]
    points = [[1 - np.abs(p - q) / 2 for q in signs] for p in signs]
    return {"share": [[number(np.nanmean(p)) for p in row] for row in points],
            "pairs": [[int(np.isfinite(p).sum()) for p in row] for row in points]}


def temperature(margin, label):
    """τ with the smallest cross-entropy of σ(margin/τ)."""
    slope = lambda inverse: np.sum((special.expit(margin * inverse) - label) * margin)
    scale = np.abs(margin).max()
    low, high = 1e-3 / scale, 1e3 / scale
    if slope(low) >= 0:  # margins that contradict the labels: as flat as may be
        return 1 / low
    return 1 / optimize.brentq(slope, low, high, xtol=1e-15, rtol=1e-15)


def fnv(text):
    h = 2166136261
    for byte in text.encode():
        h = (h ^ byte) * 16777619 % 2**32
    return h


def calibration(items):
    """Margins as probabilities. Prompts are cut in halves, each judged with the temperature of the other; None below 25 pairs
    in one of them."""
    human, margin, prompt = choices(items)
    use = np.isin(human, [0.0, 1.0])
    human, margin, prompt = human[use], margin[use], prompt[use]
    half = np.array([(fnv(p) ^ fnv(p) >> 16) & 1 for p in prompt])
    if min(np.sum(half == 0), np.sum(half == 1)) < 25:
        return None
    tau = [temperature(margin[half == k], human[half == k]) for k in (0, 1)]
    p = special.expit(margin / np.array(tau)[1 - half])
    confidence = np.round(special.expit(np.abs(margin) / np.array(tau)[1 - half]), 9)
    right = np.where(margin == 0, 0.5, (margin > 0) == (human == 1))
    order = np.lexsort((right, confidence))
    ece = sum(abs(np.sum(confidence[b]) - np.sum(right[b])) for b in np.array_split(order, 15)) / len(p)
    return {"temperature": temperature(margin, human), "ece": ece, "brier": np.mean((p - human) ** 2), "pairs": len(p),
            "log_loss": -np.mean(np.log(np.where(human == 1, p, 1 - p)))}
