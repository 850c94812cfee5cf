"""Write golden scenes, pictures and checker verdicts for the Go port (internal/miniworld/testdata).

    python make_goldens.py --groups RUN/groups_validation.npz

40 scenes with their renderings, the verdicts on the clean, a degraded, and a wrong picture of each, and 24 generated
pictures with theirs; 200 captions with their specs. Pictures are packed into one sheet per sort (8 a row).
"""

import argparse
import json
import platform
from pathlib import Path

import numpy as np
from PIL import Image

import make_synthetic
import world

OUT = Path(__file__).resolve().parents[3] / "internal/miniworld/testdata"
SEED = 20
COLUMNS = 8


def sheet(images, name):
    """One PNG holding the pictures row by row."""
    rows = -(-len(images) // COLUMNS)
    canvas = np.zeros((rows * world.SIZE, COLUMNS * world.SIZE, 3), np.uint8)
    for i, image in enumerate(images):
        y, x = i // COLUMNS * world.SIZE, i % COLUMNS * world.SIZE
        canvas[y:y + world.SIZE, x:x + world.SIZE] = image
    Image.fromarray(canvas).save(OUT / name, optimize=True)


def verdict(image, spec):
    r = world.check(image, spec)
    objects, background, _ = world.detect(image)
    return dict(
        spec=spec, items=[[name, bool(ok)] for name, ok in r["items"]], strict=bool(r["strict"]), frac=r["frac"], clean=r["clean"],
        score=r["score"], objects=objects, background=background,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", required=True, help="generated pictures from make_groups.py")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    scenes = [world.dress(world.random_scene(rng, world.KINDS[i % 5]), rng) for i in range(40)]
    for i, scene in enumerate(scenes):  # every background eight times over
        scene["background"] = dict(kind=world.BACKGROUNDS[i % 6])
        world.dress(scene, rng)
    clean = [world.render(s) for s in scenes]
    specs = [world.describe(s, rng, drop=i % 2 == 1) for i, s in enumerate(scenes)]
    degraded = [make_synthetic.degrade(image, rng) for image in clean]
    wrong = [clean[(i + 5) % 40] for i in range(40)]  # a picture of the same kind of another scene
    data = np.load(args.groups)
    picks = rng.choice(len(data["specs"]), 24, replace=False)
    generated = [data["images"][i][0] for i in picks]
    asserted = [json.loads(str(data["specs"][i])) for i in picks]
    sheet(clean, "clean.png")
    sheet(degraded, "degraded.png")
    sheet(generated, "generated.png")
    golden = dict(
        made_by=f"assets/mini/train/make_goldens.py, seed {SEED}, NumPy {np.__version__}, Python {platform.python_version()}",
        scenes=scenes,
        clean=[verdict(i, s) for i, s in zip(clean, specs)], degraded=[verdict(i, s) for i, s in zip(degraded, specs)],
        wrong=[verdict(i, s) for i, s in zip(wrong, specs)], generated=[verdict(i, s) for i, s in zip(generated, asserted)],
        captions=[dict(prompt=text, spec=spec) for spec, text in world.prompts(200, SEED)],
    )
    (OUT / "golden.json").write_text(json.dumps(golden, separators=(",", ":"), default=float))


if __name__ == "__main__":
    main()
