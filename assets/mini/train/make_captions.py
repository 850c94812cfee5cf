"""Give the pictures of a group file more captions, each scored by the checker: a larger training set for the reward.

    python make_captions.py --groups RUN/groups_train.npz --per-group 10 --seed 5 --tokenizer RUN/tokenizer --out RUN/groups_captions.npz

Generated pictures are dear and captions are free. A new caption describes what the checker sees on one picture of the group;
half of them are then made wrong in one word. So the reward cannot learn scores by heart, it has to compare.
"""

import argparse
import copy
import json

import numpy as np

import make_groups
import make_prompts
import models
import world


def seen_scene(detected, rng):
    """A scene that a caption can describe, from what the checker saw, or None."""
    objects, background, _ = detected
    if background not in world.BACKGROUNDS or not 1 <= len(objects) <= 3:
        return None
    objects = [objects[i] for i in rng.permutation(len(objects))]
    alike = len({(o["color"], o["shape"], o["size"]) for o in objects}) == 1
    relation = None
    if len(objects) == 1:
        kind = "single"
    elif alike:
        kind = "count"
    elif len(objects) == 3:
        kind = "three"
    else:
        holding = [r for r in world.RELATIONS if world._stands(objects[0], objects[1], r)]
        relation = holding[0] if holding else None
        kind = "relation" if relation and rng.random() < 0.8 else "and"
    return dict(kind=kind, objects=objects, relation=relation, background=dict(kind=background))


def spoil(spec, rng):
    """Change one word of the spec."""
    spec = copy.deepcopy(spec)
    keys = [k for k in ("color", "shape", "size") if spec["objects"][0][k]]
    keys += [k for k in ("relation", "background") if spec[k]] + (["relation"] if spec["relation"] else [])
    if not keys:
        return spec
    key = keys[rng.integers(len(keys))]
    words = dict(color=world.COLOR_NAMES, shape=world.SHAPES, size=world.SIZES, relation=world.RELATIONS, background=world.BACKGROUNDS)[key]
    word = words[rng.integers(len(words))]
    if key in spec:
        spec[key] = word
    elif spec["kind"] == "count":
        for o in spec["objects"]:
            o[key] = word
    else:
        spec["objects"][rng.integers(len(spec["objects"]))][key] = word
    return spec


def new_caption(detected, rng, taken):
    """(spec, text) for a group, or None when nothing on it can be described."""
    for _ in range(8):
        scene = seen_scene(detected[rng.integers(len(detected))], rng)
        if scene is None:
            continue
        spec = world.describe(scene, rng)
        if rng.random() < 0.5:
            spec = spoil(spec, rng)
        text = world.caption(spec, rng)
        if text not in taken:
            return spec, text
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", required=True)
    parser.add_argument("--per-group", type=int, default=10)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    data, rng, taken = np.load(args.groups), np.random.default_rng(args.seed), make_prompts.reserved()
    pictures, specs, texts, scores, items, source = data["images"], [], [], [], [], []
    for g, group in enumerate(pictures):
        detected = [world.detect(image) for image in group]
        for _ in range(args.per_group):
            drawn = new_caption(detected, rng, taken)
            if drawn is None:
                continue
            results = [world.check(None, drawn[0], d) for d in detected]
            if np.ptp([r["frac"] for r in results]) == 0:
                continue  # the same for all four: nothing to rank
            specs.append(json.dumps(drawn[0]))
            texts.append(drawn[1])
            scores.append([r["score"] for r in results])
            items.append([make_groups.item_shares(r) for r in results])
            source.append(g)
    np.savez(
        args.out, images=pictures[source], ids=models.tokenize(args.tokenizer, texts).numpy(), cells=data["cells"][source],
        backgrounds=data["backgrounds"][source], specs=np.array(specs), items=np.array(items), score=np.array(scores, np.float32),
    )
    print(f"{len(specs)} captions for {len(pictures)} groups")


if __name__ == "__main__":
    main()
