"""Made-up sets in the layouts of the public ones, with their quirks. Used by evaluation.py.

Every function writes one file and returns what a reader must find in it: the items that can be compared (see
evaluation_metrics.py; "pictures" are the names that a score goes by) and the numbers of the rows that are broken.
"""

import hashlib
import json
import unicodedata
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WORDS = ["a red fox", "été à Nîmes", "日本の城、夜", "сова на ветке", "🦊🌙 moon",
         'a sign that says "OPEN"', "tabs\tand\nlines", "שועל אדום", "<b>bold</b> & sons", "a\u2028line", "naïve art", "two cups, one blue"]


def prompts(rng, n):
    """n different prompts; some differ only in how an accent is written, or in a space at the end."""
    texts = [f"{word} {k}".removesuffix(" 0") for k in range(n) for word in WORDS]
    out = list(dict.fromkeys(v for t in texts for v in (t, unicodedata.normalize("NFD", t), t + " ")))[:n]
    rng.shuffle(out)
    return out


def write(path, rows):
    path.write_text(json.dumps(rows, ensure_ascii=False, separators=(",", ":")) + "\n")


def ranking(rng, quality, lowest):
    """Ranks of 1 to 5 with ties, as annotators give them; the best picture need not have 1."""
    return (lowest + np.clip(np.round((quality.max() - quality) * rng.choice([0.8, 1.6])), 0, 5 - lowest)).astype(int)


class Items(list):
    """Records that can be compared, of prompts of very different difficulty: pairs of one prompt are not independent."""

    def __init__(self, rng, count):
        self.rng, self.prompts = rng, prompts(rng, count)
        self.skill = {p: s for p, s in zip(self.prompts, rng.choice([-1.0, 0.2, 1.0, 2.0], count))}
        self.truth, self.broken, self.row = {}, [], 0

    def prompt(self):
        return self.prompts[int(self.rng.beta(1, 2) * len(self.prompts))]

    def add(self, prompt, pictures, quality, category="", **what):
        for name, q in zip(pictures, quality):
            self.truth.setdefault((name, prompt), float(q) * self.skill[prompt])
        self.append({"prompt": prompt, "pictures": list(pictures), "category": category, "row": self.row, **what})

    def next(self, broken=False):
        self.row += 1
        if broken:
            self.broken.append(self.row)
        return self.row


def imagereward(rng, path, records=150):
    items, rows = Items(rng, 70), []
    for n in range(records):
        prompt, size = items.prompt(), int(rng.choice([4, 5, 6, 7, 8, 9], p=[.42, .02, .1, .33, .09, .04]))
        names = [f"p{n}/{i}.webp" for i in range(size)]
        if n in (40, 41):  # one picture under two prompts: each has its own score
            prompt, names[0] = items.prompts[n], "shared/0.webp"
        quality = rng.normal(size=size)
        rank = ranking(rng, quality, 2 if n % 10 == 3 else 3 if n % 50 == 7 else 1).tolist()
        if n % 40 == 20:
            rank = [rank[0]] * size  # all tied
        if n % 45 == 31:
            rank[1] = None  # a picture that nobody ranked
        row = {"id": f"{n:06d}-{n % 7:04d}", "prompt": prompt, "generations": names, "ranking": rank}
        broken = {50: {"ranking": rank[:-1]}, 90: {"prompt": " \n"}, 120: {"generations": "p.webp"}}.get(n)
        rows.append({**row, **(broken or {})})
        items.next(broken)
        if not broken:
            items.add(prompt, names, quality, rank=np.array([np.nan if r is None else r for r in rank], float), votes=[])
    rows.append({"id": "one", "prompt": "one", "generations": ["one.webp"], "ranking": [1]})  # nothing to compare with
    rows.append({"id": "none", "prompt": items.prompts[0], "generations": ["n/0.webp", "n/1.webp"], "ranking": [None, 1]})
    items.add(items.prompts[0], ["n/0.webp", "n/1.webp"], [0, 1], rank=np.array([np.nan, 1.0]), votes=[])
    write(path, rows)
    return items


def hpdv2(rng, path, records=100):
    items, rows = Items(rng, 60), []
    for n in range(records):
        prompt, size = items.prompt(), 9 if n % 25 else 4
        names, quality = [f"{n:05d}_{i}.jpg" for i in range(size)], rng.normal(size=size)
        votes = [np.argsort(np.argsort(-quality - rng.normal(size=size))) + 1 for _ in range(rng.integers(2, 5))]
        consensus = np.mean(votes, axis=0) if n % 2 else np.round(np.mean(votes, axis=0) / 2)
        votes = [v.astype(float) for v in votes]
        if n % 20 == 4:
            votes[0][[0, 2]] = np.nan  # an annotator who left two pictures out
        if n % 33 == 8:
            consensus, votes = np.full(size, 4.0), []  # all tied, nobody's own ranks
        clean = lambda v: [None if np.isnan(x) else int(x) if x == int(x) else float(x) for x in v]
        row = {"prompt": prompt, "image_path": names, "rank": clean(consensus),
               "raw_annotations": [{"rank": clean(v), "user_hash": f"u{k}é"} for k, v in enumerate(votes)]}
        broken = {30: {"raw_annotations": [{"rank": [1, 2], "user_hash": "u"}]}, 70: {"image_path": []}}.get(n)
        rows.append({**row, **(broken or {})})
        items.next(broken)
        if not broken:
            items.add(prompt, names, quality, rank=consensus.astype(float), votes=votes)
    write(path, rows)
    return items


def png(shade):
    """A picture of one pixel, of 16 bits."""
    chunk = lambda kind, data: len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    header, pixel = bytes([0, 0, 0, 1, 0, 0, 0, 1, 16, 0, 0, 0, 0]), zlib.compress(bytes([0, *shade.to_bytes(2)]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def pickapic(rng, path, records=200, version=2, broken=True, letter="a"):
    """Win, loss, tie, no label, best_image_uid that contradicts the label, a corrupt and a missing picture. Of version 1
    quality is a whole number and as easy to see for every prompt: equal scores of a scorer mean ties."""
    items, rows = Items(rng, 60), []
    if version == 1:
        items.skill = dict.fromkeys(items.prompts, 1.0)
    for n in range(records):
        prompt, quality = items.prompt(), rng.normal(size=2) if version == 2 else rng.integers(-1, 2, size=2)
        gap = quality[0] - quality[1]
        label = 0.5 if abs(gap) < 0.45 else float(gap > 0)
        names = [f"{letter}{n}-0", f"{letter}{n}-1"]
        label_0, label_1, labelled, caption = label, 1 - label, True, prompt
        if n % 17 == 5:  # version 2 marks rows without a label, version 1 leaves the label null
            label, labelled = np.nan, False
            label_0 = label_1 = None if version == 1 else 0.0
        best = "tie" if label == 0.5 or n % 19 == 2 else names[0] if label_0 else names[1]
        wrong = {60: (0.3, 0.7, prompt), 80: (1.0, 1.0, prompt), 120: (1.0, 0.0, "  ")}.get(n) if broken else None
        if wrong:
            label_0, label_1, caption, labelled = *wrong, True
        items.next(wrong)
        if not wrong:
            items.add(prompt, names, quality, label=label)
        rows.append({
            "are_different": label != 0.5, "best_image_uid": best, "caption": caption, "created_at": None,
            "has_label": labelled, "image_0_uid": names[0], "image_0_url": f"https://example.org/{names[0]}",
            "image_1_uid": names[1], "image_1_url": None,
            "jpg_0": b"\xff\xd8corrupt" if n == 33 else None if n == 34 else png(n % 3), "jpg_1": png(9),
            "label_0": label_0, "label_1": label_1, "model_0": "sd15", "model_1": "sdxl", "ranking_id": n, "user_id": n % 9,
            "num_example_per_prompt": 0, "__index_level_0__": n,
        })
    seen = [r["caption"] for r in rows]
    for r in rows:
        r["num_example_per_prompt"] = seen.count(r["caption"])
        if version == 1:
            del r["has_label"]
    table = pa.Table.from_pylist(rows)
    k = table.schema.get_field_index("created_at")
    table = table.set_column(k, "created_at", pa.nulls(len(rows), pa.timestamp("us")))
    pq.write_table(table, path, compression="snappy" if version == 1 else "zstd", row_group_size=64)
    return items


def hpdv3(rng, path, records=200):
    """path1 is the preferred picture always, whatever the votes say."""
    items, rows = Items(rng, 50), []
    for n in range(records):
        prompt, quality = items.prompt(), np.sort(rng.normal(size=2))[::-1]
        names, votes = [f"img/{n}a.jpg", f"img/{n}b.jpg"], int(rng.integers(9, 20))
        first = int(rng.integers(votes // 2, votes + 1))
        confidence = round(float(rng.choice([rng.uniform(0.5, 0.949), 0.95, rng.uniform(0.951, 1)])), 3)
        row = {"prompt": prompt, "path1": names[0], "path2": names[1], "choice_dist": [first, votes - first],
               "confidence": confidence, "model1": "flux", "model2": "sd3"}
        if n % 11 == 0:
            del row["confidence"]
        broken = {20: {"confidence": 1.7}, 66: {"choice_dist": [9]}, 150: {"path2": ""}}.get(n)
        rows.append({**row, **(broken or {})})
        items.next(broken)
        if not broken:
            items.add(prompt, names, quality, label=1.0)
    write(path, rows)
    return items


VOTES = {"leftvote": 1.0, "rightvote": 0.0, "tievote": 0.5, "bothbad_vote": 0.5}


def genai_bench(rng, path, records=200):
    """Both bad counts as a tie. The hub's parquet has pictures without a path, which go by their checksum."""
    items, rows, tabular = Items(rng, 50), [], path.suffix == ".parquet"
    for n in range(records):
        prompt, quality = items.prompt(), rng.normal(size=2)
        gap = quality[0] - quality[1] + 0.5 * rng.normal()
        vote = str(rng.choice(["tievote", "bothbad_vote"])) if abs(gap) < 0.4 else ["rightvote", "leftvote"][int(gap > 0)]
        pictures = [png(n), png(1000 + n)]
        names = [f"l/{n}.jpg", f"r/{n}.jpg"]
        if tabular:
            names = ["sha256:" + hashlib.sha256(p).hexdigest() for p in pictures]
        wrong = n in (44, 111)
        items.next(wrong)
        if not wrong:
            items.add(prompt, names, quality, label=VOTES[vote])
        left, right = [{"bytes": p, "path": None} for p in pictures] if tabular else names
        rows.append({"prompt": prompt, "left_model": "a", "left_image": left, "right_model": "b", "right_image": right,
                     "vote_type": ["flag", "LEFTVOTE"][n % 2] if wrong else vote})
    if tabular:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=50)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r, separators=(",", ":")) + "\n" for r in rows))
    else:
        write(path, rows)
    return items


def mmrb2(rng, path, records=140):
    """A third of the pairs is there in both orders. Sources are the categories; in one of them nothing is scored rightly."""
    items, rows = Items(rng, 40), []
    for n in range(records):
        source, quality = ["T2I-é", "edit", "rare"][0 if n % 3 else 1 if n % 24 else 2], rng.normal(size=2)
        prompt = items.prompt()
        if source == "rare":  # few, and wrong for every scorer
            quality, chosen = np.array([9.0, -9.0]) * np.sign(items.skill[prompt]), 1
        else:
            chosen = int(quality[1] + rng.normal() > quality[0])
        content = [["text", line] for line in prompt.split("\n")] + ([["image", f"in/{n}.png"]] if source == "edit" else [])
        names = [f"out/{n}_a.png", f"out/{n}_b.png"]
        for forward in [True, False] if n % 3 == 1 else [True]:
            order = [0, 1] if forward else [1, 0]
            answer = [{"model": "ab"[k], "response_content": [["image", names[k]]]} for k in order]
            row = {"pair_id": f"{n}-{'fr'[not forward]}", "prompt_source": source, "prompt_content": content,
                   "response_a": answer[0], "response_b": answer[1], "chosen": "AB"[order.index(chosen)]}
            broken = {50: {"chosen": "tie"}, 80: {"prompt_content": [["video", "x"]]},
                      95: {"response_a": {"model": "a", "response_content": [["image", "1"], ["image", "2"]]}}}.get(n)
            rows.append({**row, **(broken or {})})
            items.next(broken)
            if not broken:
                items.add(prompt, [names[k] for k in order], quality[order], source, label=1.0 - order.index(chosen))
    path.write_text(json.dumps({"pairs": rows}, separators=(",", ":")) + "\n")
    return items


def own(rng, path, records=60):
    """Our JSON lines: groups and pairs of several categories, of which one holds ties only."""
    items, lines = Items(rng, 25), []
    for n in range(records):
        prompt, category = items.prompt(), ["people", "Food & Drink", "tied", "", "日本"][n % 5]
        size = 2 if n % 2 else 4
        names, quality = [f"o{n}/{i}.png" for i in range(size)], rng.normal(size=size)
        row = {"prompt": prompt, "category": category, "images": names}
        if size == 2:
            what = {"label": 0.5 if category == "tied" else float(quality[0] > quality[1])}
            row |= what
        else:
            what = {"rank": np.full(4, 2.0) if category == "tied" else ranking(rng, quality, 1).astype(float), "votes": []}
            row["rank"] = what["rank"].tolist()
        lines.append(json.dumps(row, ensure_ascii=n % 2 == 0))
        items.next()
        items.add(prompt, names, quality, category, **what)
    path.write_text("\n".join(lines) + "\n")
    return items
