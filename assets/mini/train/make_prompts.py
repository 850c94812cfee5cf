"""Write the fixed prompt sets ../prompts/{validation,heldout}.jsonl: {"prompt": …} a line.

    python make_prompts.py

Validation (300, seed 777) serves to choose settings, held-out (500, seed 4242) to report figures. The two are disjoint,
and training captions that equal one of them are blanked (train_unet.py), so three disjoint sets result. The files hold the texts only, as
they are embedded in the binary: what a prompt asserts follows from its words (ParseCaption in Go), and here from its seed.
"""

import json
from functools import lru_cache
from pathlib import Path

import world

SETS = {"validation": (300, 777), "heldout": (500, 4242)}
FOLDER = Path(__file__).resolve().parent.parent / "prompts"


@lru_cache
def sets():
    """{name: [(spec, prompt)]}, drawn anew from the seeds. Validation gives way to held-out where they meet."""
    out, taken = {}, set()
    for name, (count, seed) in reversed(SETS.items()):
        out[name] = [(s, t) for s, t in world.prompts(count + 100, seed) if t not in taken][:count]
        taken |= {t for _, t in out[name]}
    return out


def load(name):
    """[(spec, prompt)] of a committed set; fails when the world draws other prompts than those committed."""
    rows = [json.loads(line)["prompt"] for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]
    if rows != [t for _, t in sets()[name]]:
        raise ValueError(f"{name}.jsonl does not hold the prompts of its seed")
    return sets()[name]


def reserved():
    """The texts of both sets: no training caption may equal one."""
    return {prompt for name in SETS for _, prompt in load(name)}


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, pairs in sets().items():
        lines = [json.dumps({"prompt": text}, separators=(",", ":")) + "\n" for _, text in pairs]
        (FOLDER / f"{name}.jsonl").write_text("".join(lines))
        print(name, len(pairs))


if __name__ == "__main__":
    main()
