"""Rendered groups for the reward: per caption one true picture and three that break something, scored by the checker.

    python make_synthetic.py --groups 6000 --seed 21 --out RUN/groups_synthetic.npz

A variant changes a colour, shape, size or background, swaps an attribute between two objects, moves the relation, drops
or adds an object; some pictures are blurred, noisy or pale on top. Same file format as make_groups.py.
"""

import argparse
import copy
import json
import time

import numpy as np
from scipy import ndimage

import make_groups
import make_prompts
import models
import world

CHANGES = ["color", "shape", "size", "background", "swap", "relation", "drop", "add"]
CHANGE_SHARES = [0.20, 0.22, 0.12, 0.10, 0.12, 0.12, 0.06, 0.06]


def _try_change(scene, rng):
    """A changed copy of an undressed scene, or None when the drawn change does not apply."""
    scene = copy.deepcopy(scene)
    objects = scene["objects"]
    obj = objects[rng.integers(len(objects))]
    change = rng.choice(CHANGES, p=CHANGE_SHARES)
    move = False
    if change == "color":
        obj["color"] = world.COLOR_NAMES[rng.integers(8)]
    elif change == "shape":
        obj["shape"] = world.SHAPES[rng.integers(6)]
    elif change == "size":
        obj["size"], move = "small" if obj["size"] == "large" else "large", True
    elif change == "background":
        scene["background"]["kind"] = world.BACKGROUNDS[rng.integers(6)]
    elif change == "swap" and len(objects) > 1:
        key = rng.choice(["color", "shape"])
        objects[0][key], objects[1][key] = objects[1][key], objects[0][key]
    elif change == "relation" and scene["relation"]:
        scene["relation"], move = world.RELATIONS[rng.integers(4)], True
    elif change == "drop" and len(objects) > 1:
        objects.pop()
    elif change == "add" and len(objects) < 3:
        objects.append(world.random_object(rng))
        move = True
    else:
        return None
    relation = scene["relation"] if len(objects) == 2 else None
    return None if move and not world.place(objects, rng, relation) else scene


def variant(scene, rng):
    for _ in range(50):
        changed = _try_change(scene, rng)
        if changed is not None:
            return changed
    return world.random_scene(rng)


def degrade(image, rng):
    u, f = rng.random(), image.astype(np.float64)
    if u < 0.5:
        f = ndimage.gaussian_filter(f, (rng.uniform(0.6, 1.8),) * 2 + (0,))
    elif u < 0.8:
        f = f + rng.normal(0, rng.uniform(6, 25), f.shape)
    else:
        keep = rng.uniform(0.5, 0.8)
        f = f * keep + 128 * (1 - keep)
    return np.clip(f, 0, 255).astype(np.uint8)


def group(rng, taken):
    """(spec, caption, [image] x 4) with a caption that is in no committed set."""
    while True:
        scene = world.random_scene(rng, str(rng.choice(world.KINDS, p=[0.15, 0.35, 0.12, 0.18, 0.20])))
        spec = world.describe(scene, rng)
        text = world.caption(spec, rng)
        if text not in taken:
            break
    scenes = [copy.deepcopy(scene), variant(scene, rng), variant(scene, rng)]
    scenes.append(variant(scenes[1], rng))
    images = [world.render(world.dress(copy.deepcopy(s), rng)) for s in scenes]
    return spec, text, [degrade(i, rng) if rng.random() < 0.25 else i for i in images]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    start, rng, taken = time.time(), np.random.default_rng(args.seed), make_prompts.reserved()
    specs, texts, images, cells, backgrounds, scores, items = [], [], [], [], [], [], []
    for _ in range(args.groups):
        spec, text, pictures = group(rng, taken)
        found = [world.detect(p) for p in pictures]
        specs.append(json.dumps(spec))
        texts.append(text)
        images.append(pictures)
        cells.append([make_groups.cell_labels(d[0]) for d in found])
        backgrounds.append([make_groups.background_label(d[1]) for d in found])
        results = [world.check(None, spec, d) for d in found]
        scores.append([r["score"] for r in results])
        items.append([make_groups.item_shares(r) for r in results])
    np.savez(
        args.out, images=np.array(images), ids=models.tokenize(args.tokenizer, texts).numpy(), cells=np.array(cells),
        backgrounds=np.array(backgrounds, np.int8), specs=np.array(specs), items=np.array(items), score=np.array(scores, np.float32),
    )
    print(f"{args.groups} groups in {time.time() - start:.0f} s, mean score by position", np.mean(scores, 0).round(3))


if __name__ == "__main__":
    main()
