"""Golden values and gradients of torch for preparations of pictures in floating point (internal/imageproc).

    python tests/oracle/pixel_gradients.py

writes tests/golden/images/floating.json. Pixels and cotangents are formulas that the Go test repeats; torch computes in
float64, with interpolate's autograd. "values" and "gradient" hold every 41st number, channels first.
"""

import json
import os

import numpy as np
import torch
import torch.nn.functional as F

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "images", "floating.json")
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073], dtype=torch.float64).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711], dtype=torch.float64).view(3, 1, 1)
SIZES = [(37, 53), (64, 64), (100, 30), (20, 20), (32, 32), (9, 90)]
KINDS = ["processor", "bilinear", "squash", "letterbox", "legacy", "torchvision"]
SIDE = 32


def numbers(n, step, size):
    """Beyond -1 and 1 in part; the Go test has the same formula."""
    return torch.from_numpy((size * np.sin(step * np.arange(n) + 0.1)).astype(np.float32)).double()


def shorter(w, h):
    return (SIDE, SIDE * h // w) if w <= h else (SIDE * w // h, SIDE)


def resized(x, w, h, mode="bicubic", antialias=True):
    return F.interpolate(x[None], size=(h, w), mode=mode, align_corners=False, antialias=antialias)[0]


def cropped(x, left, top):
    return x[:, top : top + SIDE, left : left + SIDE]


def prepared(kind, x):
    h, w = x.shape[1:]
    if kind in ("letterbox", "legacy"):
        scale = SIDE / max(w, h)
        nw, nh = round(w * scale), round(h * scale)
        x = resized(x, nw, nh, antialias=kind == "letterbox")
        left, top = (SIDE - nw) // 2, (SIDE - nh) // 2
        x = F.pad(x, (left, SIDE - nw - left, top, SIDE - nh - top))
    elif kind == "squash":
        x = resized(x, 40, 24)
    else:
        nw, nh = shorter(w, h)
        x = resized(x, nw, nh, "bilinear" if kind == "bilinear" else "bicubic")
        half = round if kind == "torchvision" else int
        x = cropped(x, half((nw - SIDE) / 2), half((nh - SIDE) / 2))
    return (x - MEAN) / STD


def row(kind, w, h):
    pixels = numbers(3 * w * h, 0.37, 1.15).view(3, h, w).requires_grad_()
    y = prepared(kind, (pixels / 2 + 0.5).clamp(0, 1))
    (g,) = torch.autograd.grad(y, pixels, numbers(y.numel(), 0.71, 1).view(y.shape))
    probe = lambda v: [float(f"{x:.8g}") for x in v.detach().reshape(-1)[::41]]  # noqa: E731
    return dict(kind=kind, w=w, h=h, values=probe(y), gradient=probe(g))


if __name__ == "__main__":
    meta = dict(made_by="python tests/oracle/pixel_gradients.py", torch=torch.__version__, seed=None)
    rows = [row(k, w, h) for k in KINDS for w, h in SIZES]
    with open(OUT, "w") as f:
        f.write('{"meta":' + json.dumps(meta) + ',\n"rows":[\n' + ",\n".join(json.dumps(r) for r in rows) + "\n]}\n")
