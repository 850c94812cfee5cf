"""Writes tests/golden/rng/torch.json: what torch's CPU generator draws.

Run from the repository root:  python tests/oracle/rng.py
Floats are float32 bit patterns, so that nothing is lost in printing.
"""

import hashlib
import json
import pathlib

import numpy as np
import torch

OUT = pathlib.Path("tests/golden/rng/torch.json")


def bits(t):
    return t.numpy().reshape(-1).view(np.uint32).tolist()


def draw(seed, calls):
    g = torch.Generator("cpu").manual_seed(seed)
    out = []
    for kind, n in calls:
        f = torch.randn if kind == "randn" else torch.rand
        out.append({"kind": kind, "n": n, "bits": bits(f(n, generator=g, dtype=torch.float32))})
    return {"seed": str(seed & (2**64 - 1)), "calls": out}


def main():
    cases = [
        draw(0, [("randn", 1024)]),
        draw(1, [("rand", 700)]),
        draw(42, [("randn", 16), ("randn", 16)]),
        draw(7, [("randn", n) for n in (5, 4, 1, 16, 3, 17, 2, 31, 33, 15, 1)]),
        draw(3, [("randn", 3), ("rand", 5), ("randn", 100), ("rand", 1), ("randn", 2), ("randn", 48)]),
    ]
    for seed in (2**32 + 5, -1, -5, 2**31, 2**63 - 1, 2**63 + 7, 2**64 - 1, 123456789012345678):
        cases.append(draw(seed, [("rand", 3), ("randn", 20), ("randn", 3)]))
    long = torch.randn(2**20, generator=torch.Generator("cpu").manual_seed(77), dtype=torch.float32).numpy()
    doc = {
        "made_by": "python tests/oracle/rng.py",
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "long": {"seed": 77, "n": 2**20, "sha256": hashlib.sha256(long.astype("<f4").tobytes()).hexdigest()},
        "cases": cases,
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(doc, separators=(",", ":")) + "\n")
    print(OUT, OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
