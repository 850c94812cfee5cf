"""Generate groups of pictures (several per prompt) with a trained pipeline and score them with the exact checker.

    python make_groups.py --base RUN/unet_stage2 --vae RUN/vae --tokenizer RUN/tokenizer --prompts 500 --seed 31337 \
        --guidance 1,3,5 --out RUN/groups_train.npz
    python make_groups.py --base … --set heldout --guidance 3 --seed 99 --out RUN/groups_heldout.npz

Prompts come from random scenes with --seed (never a validation or held-out prompt), or from a committed set. The file
holds images uint8 [n, k, 64, 64, 3], ids int64 [n, 32], score/frac/strict/clean [n, k], and per-cell labels [n, k, 8, 8, 3]
(colour, shape, size of the object whose centre lies in the cell, -1 elsewhere), the background [n, k], and items [n, k, 7],
the share of true assertions of each sort.
"""

import argparse
import json
import time

import numpy as np
import torch

import make_prompts
import models
import reward_model
import sampling
import world


def training_prompts(count, seed):
    taken = make_prompts.reserved()
    return [(s, t) for s, t in world.prompts(2 * count, seed) if t not in taken][:count]


def cell_labels(objects):
    """int8 [8, 8, 3]: colour, shape and size index at the cell of each object's centre, -1 elsewhere."""
    out = np.full((8, 8, 3), -1, np.int8)
    for o in objects:
        y, x = min(int(o["y"] / 8), 7), min(int(o["x"] / 8), 7)
        out[y, x] = world.COLOR_NAMES.index(o["color"]), world.SHAPES.index(o["shape"]), world.SIZES.index(o["size"])
    return out


def item_shares(result):
    """float32 [7]: share of true assertions of each of reward_model.ITEMS, -1 where the caption makes none."""
    out = np.full(len(reward_model.ITEMS), -1, np.float32)
    for i, name in enumerate(reward_model.ITEMS):
        verdicts = [ok for item, ok in result["items"] if item == name]
        if verdicts:
            out[i] = np.mean(verdicts)
    return out


def background_label(name):
    return world.BACKGROUNDS.index(name) if name in world.BACKGROUNDS else -1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--base", "--vae", "--tokenizer", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--set", choices=list(make_prompts.SETS))
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--per-prompt", type=int, default=4)
    parser.add_argument("--guidance", default="3", help="comma-separated: prompt i takes the value i modulo their count")
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    start = time.time()
    pairs = make_prompts.load(args.set) if args.set else training_prompts(args.prompts, args.seed)
    scales, k, n = [float(g) for g in args.guidance.split(",")], args.per_prompt, len(pairs)
    pipeline = sampling.Pipeline(args.base, args.vae, args.tokenizer)
    noise = sampling.noise(n * k, args.seed).view(n, k, 4, 8, 8)
    images = np.zeros((n, k, world.SIZE, world.SIZE, 3), np.uint8)
    for j, scale in enumerate(scales):
        mine = range(j, n, len(scales))
        made = pipeline.generate([pairs[i][1] for i in mine for _ in range(k)], scale, noise[j::len(scales)].reshape(-1, 4, 8, 8))
        images[j::len(scales)] = made.reshape(-1, k, world.SIZE, world.SIZE, 3)
    detected = [[world.detect(image) for image in group] for group in images]
    results = [[world.check(None, pairs[i][0], d) for d in group] for i, group in enumerate(detected)]
    figures = {key: np.array([[r[key] for r in group] for group in results], np.float32) for key in ("score", "frac", "strict", "clean")}
    np.savez(
        args.out, images=images, ids=models.tokenize(args.tokenizer, [t for _, t in pairs]).numpy(),
        cells=np.array([[cell_labels(d[0]) for d in group] for group in detected]),
        backgrounds=np.array([[background_label(d[1]) for d in group] for group in detected], np.int8),
        items=np.array([[item_shares(r) for r in group] for group in results]),
        specs=np.array([json.dumps(s) for s, _ in pairs]), **figures,
    )
    print(f"{n} x {k} pictures in {time.time() - start:.0f} s:", {key: round(float(v.mean()), 3) for key, v in figures.items()})


if __name__ == "__main__":
    main()
