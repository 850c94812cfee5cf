"""Writes tests/golden/invert.json: inversions of a toy network by diffusers' DDIMInverseScheduler and by numpy.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/invert.py

trajectories   latents after every step of DDIMInverseScheduler (clip_sample off), two images of four numbers, float32, for the toy
               network and the start of schedulers.py
averages       the same by ReNoise and fixed-point iteration, worked out here in float64 with numpy: x0 and noise written out for every
               answer, at the level that the answer belongs to
roundtrips     |x - 1| after inverting the scalar x = 1 with the network 0.5 x along n levels and coming back by DDIMScheduler, eta 0;
               per method, by diffusers' schedulers fed with float64
flow           inversions of a velocity network along sigmas, and round trips

Arrays are base64 of little-endian float64.
"""

import base64
import json
import math
import pathlib
import sys
import warnings

import diffusers
import numpy as np
import torch

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
N = 8


def b64(a):
    return base64.b64encode(np.asarray(a, dtype="<f8").tobytes()).decode()


def toy(x, t):
    return 0.5 * x + 0.3 * x / (1 + x * x) + 0.1 * math.sin(float(t) / 100)


def start():
    return np.array([math.sqrt(2) * math.sin(1 + 2.3 * j) for j in range(N)]).astype(np.float32)


def config(prediction, spacing="leading", offset=1, one=False, zero=False):
    return {**SD, "_class_name": "DDIMScheduler", "prediction_type": prediction, "timestep_spacing": spacing,
            "steps_offset": offset, "set_alpha_to_one": one, "clip_sample": False, "rescale_betas_zero_snr": zero}


def inverse(c, n):
    s = diffusers.DDIMInverseScheduler.from_config(c, clip_sample=False)
    s.set_timesteps(n)
    return s


CONFIGS = [
    config("epsilon"),
    config("epsilon", offset=0, one=True),
    config("epsilon", "trailing", 0),
    config("v_prediction"),
    config("v_prediction", "trailing", 0, zero=True),
    config("sample"),
]


def trajectories():
    out = []
    for c in CONFIGS:
        for n in (1, 2, 5, 8, 20, 50):  # divisors of 1000, for which trailing spacing and the integer ratio agree
            s = inverse(c, n)
            x, xs = torch.from_numpy(start()), []
            for t in s.timesteps:
                o = toy(x.double(), t).float()
                x = s.step(o, t, x).prev_sample
                xs.append(x.numpy().astype(float))
            assert np.isfinite(xs).all(), (c, n)
            out.append({"config": json.dumps(c), "levels": n, "timesteps": [int(t) for t in s.timesteps], "x": b64(xs)})
    return out


def split(kind, x, o, a):
    """x0 and noise of x at the level with cumulative product a."""
    if kind == "epsilon":
        return (x - math.sqrt(1 - a) * o) / math.sqrt(a), o
    if kind == "v_prediction":
        return math.sqrt(a) * x - math.sqrt(1 - a) * o, math.sqrt(1 - a) * x + math.sqrt(a) * o
    if kind == "sample":
        return o, (x - math.sqrt(a) * o) / math.sqrt(1 - a)
    raise ValueError(kind)


def climb(x, kind, low, high, t, count, first, net):
    """One step up from the level low, whose noise is the mean of the answers first .. count-1."""
    answers = []
    y, level = x, low
    for _ in range(count):
        _, e = split(kind, y, net(y, t), level)
        answers.append(e)
        y = math.sqrt(high) * (x - math.sqrt(1 - low) * e) / math.sqrt(low) + math.sqrt(1 - high) * e
        level = high
    e = np.mean(answers[first:], axis=0)
    return math.sqrt(high) * (x - math.sqrt(1 - low) * e) / math.sqrt(low) + math.sqrt(1 - high) * e


def averages():
    out = []
    for c in CONFIGS:
        s = inverse(c, 5)
        table = s.alphas_cumprod.double().numpy()
        for method, iterations, first in (("renoise", 1, 0), ("renoise", 4, 2), ("fixed-point", 1, 1), ("fixed-point", 6, 6)):
            x, low, xs = start().astype(float), float(s.initial_alpha_cumprod), []
            for t in s.timesteps.tolist():
                x = climb(x, c["prediction_type"], low, table[t], t, iterations + 1, first, toy)
                low = table[t]
                xs.append(x)
            assert np.isfinite(xs).all(), (c, method)
            out.append({"config": json.dumps(c), "levels": 5, "method": method, "iterations": iterations, "from": first, "x": b64(xs)})
    return out


def round_trip(n, method):
    c = config("epsilon")
    up, down = inverse(c, n), diffusers.DDIMScheduler.from_config(c)
    up.alphas_cumprod, up.initial_alpha_cumprod = up.alphas_cumprod.double(), up.initial_alpha_cumprod.double()
    down.alphas_cumprod, down.final_alpha_cumprod = down.alphas_cumprod.double(), down.final_alpha_cumprod.double()
    down.set_timesteps(n)
    x = torch.ones(1, dtype=torch.float64)
    for t in up.timesteps:
        e0 = 0.5 * x
        y = up.step(e0, t, x).prev_sample
        if method == "renoise":
            y = up.step((e0 + 0.5 * y) / 2, t, x).prev_sample
        elif method == "fixed-point":
            y = up.step(0.5 * y, t, x).prev_sample
        x = y
    top = float(x)
    for t in down.timesteps:
        x = down.step(0.5 * x, t, x, eta=0.0).prev_sample
    return {"levels": n, "method": method, "top": top, "back": float(x)}


def flow():
    out = []
    for n in (4, 10, 40):
        sigmas = [(k + 1) / n for k in range(n)]
        for method, count, first in (("ddim", 1, 0), ("renoise", 2, 0), ("fixed-point", 2, 1), ("fixed-point", 9, 8)):
            x, low, xs = start().astype(float), 0.0, []
            for s in sigmas:
                answers, y = [], x
                for _ in range(count):
                    answers.append(toy(y, 1000 * s))
                    y = x + (s - low) * answers[-1]
                x = x + (s - low) * np.mean(answers[first:], axis=0)
                low = s
                xs.append(x)
            back = x
            for k in reversed(range(n)):
                to = sigmas[k - 1] if k else 0.0
                back = back + (to - sigmas[k]) * toy(back, 1000 * sigmas[k])
            out.append({"sigmas": sigmas, "method": method, "iterations": max(count - 1, 1), "from": first, "x": b64(xs), "back": b64(back)})
    return out


def main():
    trips = [round_trip(n, m) for n in (5, 10, 20, 50, 100) for m in ("ddim", "renoise", "fixed-point")]
    for trip in trips:
        print(trip["levels"], trip["method"], round(abs(trip["back"] - 1), 5), file=sys.stderr)
    data = {
        "command": "OMP_NUM_THREADS=1 python tests/oracle/invert.py",
        "diffusers": diffusers.__version__, "torch": torch.__version__, "numpy": np.__version__,
        "trajectories": trajectories(), "averages": averages(), "roundtrips": trips, "flow": flow(),
    }
    pathlib.Path("tests/golden/invert.json").write_text(json.dumps(data, indent=0) + "\n")


main()
