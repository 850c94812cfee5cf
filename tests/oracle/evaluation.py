"""Golden values for `winnow eval` on made-up copies of the main formats: every figure of every part, computed from the
definitions with numpy and scipy.

    python tests/oracle/evaluation.py

writes tests/golden/evaluation: sets.zip with the sets in the file types of the public ones (evaluation_sets.py) and the
scores of two made-up scorers, and expected.json with the figures (evaluation_metrics.py).
"""

import json
import pathlib
import tempfile
import zipfile

import numpy as np
import pyarrow as pa
import scipy

import evaluation_metrics as metrics
import evaluation_sets as sets

SEED = 20261127
OUT = pathlib.Path(__file__).resolve().parent.parent / "golden" / "evaluation"
# Scorers: noise beside what the labels were made from, the step of their scores (many are exactly equal), a factor.
SCORERS = {"a": (0.6, 0.25, 1.0), "b": (1.5, 0.1, 0.6)}


def score(rng, truth, scorer, coarse):
    noise, step, factor = SCORERS[scorer]
    step = 1 if coarse else step
    return {key: round(round(factor * (q + noise * rng.normal()) / step) * step, 2) for key, q in truth.items()}


def score_lines(rng, scores, gone, broken):
    """The file of a scorer: prompts where a picture has several, or at random; some other spellings of the same."""
    owners = {}
    for name, prompt in scores:
        owners.setdefault(name, []).append(prompt)
    lines = [""]
    for (name, prompt), value in scores.items():
        if (name, prompt) in gone:
            continue
        line = {"image": "./" + name if rng.random() < 0.05 else name}
        if len(owners[name]) > 1 or rng.random() < 0.1:
            line["prompt"] = prompt
        lines.append(json.dumps({**line, "score": int(value) if value == int(value) else value}, ensure_ascii=False))
        if rng.random() < 0.02:
            lines.append(lines[-1])  # said twice
    shared = [n for n, p in owners.items() if len(p) > 1]
    assert not any(n in shared for n, _ in gone), "a score without a prompt would stand in for the one that is gone"
    lines += [json.dumps({"image": n, "score": 99}) for n in shared]  # for other prompts; the scores with a prompt come first
    lines.append('{"image":"nobody/knows.png","score":-1e-1}')
    if broken:
        name, _ = gone[0]
        lines += [json.dumps({"image": name, "score": None}), "{", json.dumps({"score": 1})]
    rng.shuffle(lines)
    return "\n".join(lines) + "\n"


def scored(items, scores, gone):
    """The items with their scores, NaN where a picture of them has none."""
    return [{**i, "score": np.array([np.nan if any((p, i["prompt"]) in gone for p in i["pictures"]) else scores[q, i["prompt"]]
                                     for q in i["pictures"]])} for i in items]


class Cases(list):
    def __init__(self, folder):
        self.rng, self.folder = np.random.default_rng(SEED), folder

    def add(self, name, kind, file, make, absent=(3, 1), validation=None, coarse=False, **options):
        """One set with both scorers. absent is how many pictures have no score in the file of each; validation is the
        file and the options of a set to choose the tie threshold on; coarse scores are whole numbers, so that several
        thresholds do equally well."""
        items = make(self.rng, self.folder / file, **options)
        held, held_file = [], ""
        if validation:
            held_file, more = validation
            held = sets.pickapic(self.rng, self.folder / held_file, letter="v", **more)
        broken = (held.broken if held else []) + items.broken
        case = {"name": name, "format": kind, "data": file, "validation": held_file, "exit": 3 if broken else 0,
                "broken_rows": broken, "scores": [f"{name}.{s}.jsonl" for s in SCORERS], "results": []}
        columns = []
        for scorer, file, n in zip(SCORERS, case["scores"], absent):
            scores = score(self.rng, {**items.truth, **(held.truth if held else {})}, scorer, coarse)
            pick = sorted(self.rng.choice(len(items), n, replace=False))
            gone = [(items[k]["pictures"][0], items[k]["prompt"]) for k in pick]
            if held and n:  # of the set for the threshold as well
                gone.append((held[7]["pictures"][1], held[7]["prompt"]))
            spoiled = scorer == "b" and n > 0
            (self.folder / file).write_text(score_lines(self.rng, scores, gone, spoiled))
            columns.append(scored(items, scores, gone))
            case["results"].append(self.result(kind, columns[-1], scored(held, scores, gone), gone))
            if n > 0:
                case["exit"] = 3
        case["comparison"] = metrics.comparison(self.rng, *columns)
        case["agreement"] = metrics.agreement(*columns)
        self.append(case)

    def result(self, kind, column, held, gone):
        said = [g[0] for g in gone if not g[0].startswith("sha256:")]  # the command names pictures; nameless ones by their row
        said += [f"row {i['row']}" for i in column if any((p, i["prompt"]) in gone and p not in said for p in i["pictures"])]
        there = lambda all_items: [i for i in all_items if np.isfinite(i["score"]).all()]
        use = there(column)
        threshold = metrics.choose_threshold(there(held)) if held else None
        return {"records": len(column), "scored": len(use), "missing": len(column) - len(use), "absent": sorted(said),
                "parts": metrics.parts(self.rng, kind, use, threshold), "calibration": metrics.calibration(use)}


def pack(folder, path):
    """Names and contents only: no times, so that equal sets make equal archives."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        for file in sorted(folder.iterdir()):
            z.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_DEFLATED)


def make(cases):
    cases.add("imagereward", "imagereward", "imagereward.json", sets.imagereward)
    cases.add("hpdv2", "hpdv2", "hpdv2.json", sets.hpdv2)
    cases.add("pickapic_v2", "pickapic", "pickapic_v2.parquet", sets.pickapic,
              validation=("pickapic_v2_unique.parquet", {"records": 150}))
    cases.add("pickapic_v1", "pickapic", "pickapic_v1.parquet", sets.pickapic, (0, 0), version=1, coarse=True, records=150, broken=False,
              validation=("pickapic_v1_unique.parquet", {"version": 1, "records": 150}))
    cases.add("hpdv3", "hpdv3", "hpdv3.json", sets.hpdv3)
    cases.add("genai_bench", "genai-bench", "genai_bench.json", sets.genai_bench)
    cases.add("genai_bench_lines", "genai-bench", "genai_bench.jsonl", sets.genai_bench, (0, 0), records=110)
    cases.add("genai_bench_parquet", "genai-bench-parquet", "genai_bench.parquet", sets.genai_bench, (1, 0), records=120)
    cases.add("mmrb2", "mmrb2", "mmrb2.json", sets.mmrb2)
    cases.add("own", "jsonl", "own.jsonl", sets.own, (0, 0))


def main():
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(pathlib.Path(folder))
        make(cases)
        pack(cases.folder, OUT / "sets.zip")
    out = {
        "by": f"numpy {np.__version__}, scipy {scipy.__version__}, pyarrow {pa.__version__}, seed {SEED}",
        "command": "python tests/oracle/evaluation.py",
        "resamples": metrics.RESAMPLES, "margin": float(metrics.MARGIN), "cases": cases,
    }
    (OUT / "expected.json").write_text(json.dumps(out, ensure_ascii=False, indent=1, default=lambda o: o.item()) + "\n")


if __name__ == "__main__":
    main()
