"""Write the fixed prompt sets ../prompts/{validation,heldout}.jsonl: {"prompt", "spec"} a line.

    python make_prompts.py

Validation (300, seed 777) serves to choose settings, held-out (500, seed 4242) to report figures. The two are disjoint,
and training captions that equal one of them are blanked (train_unet.py), so three disjoint sets result.
"""

import json
from pathlib import Path

import world

SETS = {"validation": (300, 777), "heldout": (500, 4242)}
FOLDER = Path(__file__).resolve().parent.parent / "prompts"


def load(name):
    """[(spec, prompt)] of a committed set."""
    rows = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]
    return [(row["spec"], row["prompt"]) for row in rows]


def reserved():
    """The texts of both sets: no training caption may equal one."""
    return {prompt for name in SETS for _, prompt in load(name)}


def main():
    FOLDER.mkdir(exist_ok=True)
    taken = set()
    for name, (count, seed) in reversed(SETS.items()):  # held-out first: validation gives way
        rows = [(s, t) for s, t in world.prompts(count + 100, seed) if t not in taken][:count]
        taken |= {t for _, t in rows}
        with open(FOLDER / f"{name}.jsonl", "w") as out:
            for spec, text in rows:
                out.write(json.dumps({"prompt": text, "spec": spec}) + "\n")
        print(name, len(rows))


if __name__ == "__main__":
    main()
