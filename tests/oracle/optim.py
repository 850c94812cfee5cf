"""Golden steps of optimisers, schedules and averages (internal/optim) and min-SNR weights (sampling/minsnr.go).

    OMP_NUM_THREADS=1 python tests/oracle/optim.py

writes internal/optim/testdata/*.json and tests/golden/minsnr.json. Sources: torch.optim.AdamW and SGD, bitsandbytes' AdamW8bit on
a CPU, transformers' Adafactor, diffusers' get_scheduler, EMAModel and compute_snr, torch's clip_grad_norm_.

Parameters and gradients are hashes of their index (noise below; the Go test has the same), so that only results are stored: float32
in base64 after chosen steps. Runs called "exact" have torch's square root replaced by numpy's, which is rounded correctly where
MKL's is not, and bitsandbytes' table-driven rounding by a search for the nearest value, which does not round
second moments above zero to zero; those must be met bit for bit.
"""

import base64
import hashlib
import json
import math
import pathlib

import bitsandbytes
import diffusers
import numpy as np
import torch
import transformers
from bitsandbytes.backends.cpu import ops as bnb_cpu
from bitsandbytes.functional import create_dynamic_map
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel, compute_snr
from transformers.optimization import Adafactor

DATA = pathlib.Path("internal/optim/testdata")
SHAPES = [[], [5], [3, 4], [2, 3, 4], [4, 3, 3, 3]]
KEEP = [1, 10, 150]


def noise(seed, n):
    """n float32 in (-1, 1) over eight binary orders of magnitude, one in eleven zero."""
    mask = np.uint64(0xFFFFFFFF)
    h = (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(seed * 40503 + 12345)) & mask
    for shift, factor in ((15, 2246822519), (13, 3266489917)):
        h = ((h ^ (h >> np.uint64(shift))) * np.uint64(factor)) & mask
    h ^= h >> np.uint64(16)
    x = ((h >> np.uint64(16)).astype(np.float64) - 32768) / 32768 * 2.0 ** -(h % np.uint64(8)).astype(np.float64)
    x[(h >> np.uint64(4)) % np.uint64(11) == 0] = 0
    return x.astype(np.float32)


def tensors(step, shapes):
    return [torch.tensor(noise(step * 100 + j, math.prod(s)).reshape(s)) for j, s in enumerate(shapes)]


def b64(*arrays):
    return base64.b64encode(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).decode()


def rate(base, step):
    return base * (1 + step % 3)


def run(make, lr, shapes=SHAPES, keep=KEEP, snapshot=None):
    params = [torch.nn.Parameter(t) for t in tensors(0, shapes)]
    optimiser, out = make(params), {}
    for step in range(1, keep[-1] + 1):
        for group in optimiser.param_groups:
            group["lr"] = None if lr is None else rate(lr, step)
        for p, g in zip(params, tensors(step, shapes)):
            p.grad = g
        optimiser.step()
        if step in keep:
            out[str(step)] = snapshot(params, optimiser) if snapshot else b64(*(p.detach().numpy() for p in params))
    return out


class Exact:
    """Correctly rounded square roots, and nearest values of bitsandbytes' maps: the lower one in the middle, never 0 for v > 0."""

    def __enter__(self):
        self.sqrt, self.quant = torch.Tensor.sqrt, bnb_cpu._quant_blockwise_fp32_direct
        torch.Tensor.sqrt = lambda t: torch.from_numpy(np.asarray(np.sqrt(t.numpy())))
        bnb_cpu._quant_blockwise_fp32_direct = nearest

    def __exit__(self, *_):
        torch.Tensor.sqrt, bnb_cpu._quant_blockwise_fp32_direct = self.sqrt, self.quant


def nearest(a, code, absmax, out, blocksize):
    code = code.numpy().astype(np.float64)
    middles = (code[:-1] + code[1:]) / 2
    if code[0] == 0:
        middles[0] = 0
    flat, codes = a.numpy().reshape(-1), out.view(-1)
    for b, at in enumerate(range(0, flat.size, blocksize)):
        block = flat[at : at + blocksize]
        absmax[b] = scale = float(np.abs(block).max())
        got = np.searchsorted(middles, (block / np.float32(scale)).astype(np.float64), side="left") if scale else np.zeros(block.size)
        codes[at : at + block.size] = torch.from_numpy(got.astype(np.uint8))


def config(beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2):
    return {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}


def adamw():
    rows = []
    for name, lr, c in (
        ("default", 1e-3, config()),
        ("fast", 0.02, config(0.8, 0.95, 1e-6, 0.1)),
        ("without decay", 5e-3, config(0.0, 0.99, 1e-8, 0.0)),
    ):
        def make(p, foreach=False, c=c):
            return torch.optim.AdamW(p, lr=1, betas=(c["beta1"], c["beta2"]), eps=c["eps"], weight_decay=c["weight_decay"], foreach=foreach)
        rows.append({"name": name, "lr": lr, **c, "params": run(make, lr), "foreach": run(lambda p: make(p, True), lr)})
        with Exact():
            rows[-1]["exact"] = run(make, lr)
    return {"rows": rows}


LARGE, STRIDE = [[64, 70], [40]], 13


def adamw8bit():
    c, lr, keep = config(0.9, 0.99, 1e-8, 1e-2), 1e-3, [1, 10, 120]

    def make(p):
        return bitsandbytes.optim.AdamW8bit(p, lr=1, betas=(c["beta1"], c["beta2"]), eps=c["eps"], weight_decay=c["weight_decay"])

    def snapshot(params, optimiser):
        s, p = optimiser.state[params[0]], params[0].detach().numpy().reshape(-1)
        codes = [s[k].numpy().reshape(-1) for k in ("state1", "state2")]
        return {"params": b64(p[::STRIDE]), "small": b64(params[1].detach().numpy()), "state1": b64(codes[0][::STRIDE]), "state2": b64(codes[1][::STRIDE]),
                "absmax1": b64(s["absmax1"].numpy()), "absmax2": b64(s["absmax2"].numpy()),
                "sha256": hashlib.sha256(b"".join(a.tobytes() for a in (p, *codes))).hexdigest()}

    plain = run(make, lr, LARGE, keep, snapshot)
    with Exact():
        exact = run(make, lr, LARGE, keep, snapshot)
    maps = {"signed": b64(create_dynamic_map(True).numpy()), "unsigned": b64(create_dynamic_map(False).numpy())}
    return {"lr": lr, **c, "shapes": LARGE, "stride": STRIDE, "maps": maps, "plain": plain, "exact": exact}


def adafactor():
    rows = []
    base = {"scale_parameter": False, "relative_step": False, "warmup_init": False, "clip_threshold": 1.0, "decay_rate": -0.8, "beta1": 0.0,
            "weight_decay": 0.0, "eps1": 1e-30, "eps2": 1e-3}
    for name, lr, change in (
        ("diffusion", 1e-3, {}),
        ("scaled", 1e-2, {"scale_parameter": True, "weight_decay": 0.01}),
        ("relative", None, {"scale_parameter": True, "relative_step": True}),
        ("warmup", None, {"relative_step": True, "warmup_init": True, "clip_threshold": 0.5}),
        ("momentum", 2e-3, {"beta1": 0.9, "decay_rate": -0.5, "weight_decay": 0.1, "eps1": 1e-6}),
    ):
        c = {**base, **change}

        def make(p, c=c):
            o = {k: v for k, v in c.items() if k not in ("eps1", "eps2", "beta1")}
            return Adafactor(p, lr=None if c["relative_step"] else 1, eps=(c["eps1"], c["eps2"]), beta1=c["beta1"] or None, **o)
        rows.append({"name": name, "lr": lr or 0, **c, "params": run(make, lr)})
    return {"rows": rows}


def sgd():
    return {"lr": 0.01, "weight_decay": 0.1, "params": run(lambda p: torch.optim.SGD(p, lr=1, weight_decay=0.1), 0.01)}


def clip():
    rows = []
    for limit in (0.5, 1.0, 3.0, 100.0):
        params = [torch.nn.Parameter(t) for t in tensors(0, SHAPES)]
        for p, g in zip(params, tensors(7, SHAPES)):
            p.grad = g
        norm = torch.nn.utils.clip_grad_norm_(params, limit).item()
        rows.append({"limit": limit, "norm": norm, "grads": b64(*(p.grad.numpy() for p in params))})
    return {"step": 7, "rows": rows}


def schedules():
    rows = []
    names = {"constant": {}, "constant_with_warmup": {}, "linear": {}, "cosine": {}, "cosine_with_restarts": {"num_cycles": 3}, "polynomial": {"power": 2.0}}
    for name, options in names.items():
        for warmup, total in ((0, 40), (7, 40), (40, 41), (0, 1), (50, 30)):
            optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
            lr = get_scheduler(name, optimiser, num_warmup_steps=warmup, num_training_steps=total, **options)
            values = [lr.lr_lambdas[0](k) for k in range(total + 25)]
            rows.append({"name": name, "warmup": warmup, "total": total, "lr": 1e-3, **options, "factors": [float(f"{v:.10g}") for v in values]})
    return {"rows": rows}


def ema():
    rows = []
    for c in ({"decay": 0.9999}, {"decay": 0.6, "update_after_step": 5, "min_decay": 0.3},
              {"decay": 0.995, "use_ema_warmup": True}, {"decay": 0.9999, "use_ema_warmup": True, "inv_gamma": 2.0, "power": 0.75}):
        params = [torch.nn.Parameter(t) for t in tensors(0, SHAPES)]
        model, out, decays = EMAModel(params, **c), {}, []
        for step in range(1, KEEP[-1] + 1):
            with torch.no_grad():
                for p, g in zip(params, tensors(step, SHAPES)):
                    p.sub_(g * 0.125)
            model.step(params)
            decays.append(float(f"{model.cur_decay_value:.10g}"))
            if step in KEEP:
                out[str(step)] = b64(*(p.numpy() for p in model.shadow_params))
        rows.append({**c, "decays": decays, "average": out})
    return {"rows": rows}


def minsnr():
    rows = []
    steps = torch.tensor([0, 1, 5, 50, 200, 400, 600, 800, 999])
    for zero in (False, True):
        scheduler = diffusers.DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, rescale_betas_zero_snr=zero)
        snr = compute_snr(scheduler, steps)
        for gamma in (1.0, 5.0, 20.0):
            low = torch.minimum(snr, torch.full_like(snr, gamma))
            rows.append({"gamma": gamma, "alpha_bar": scheduler.alphas_cumprod[steps].double().tolist(),
                         "epsilon": [None if math.isnan(x) else x for x in (low / snr).tolist()],
                         "v_prediction": (low / (snr + 1)).tolist(), "sample": low.tolist()})
    return {"timesteps": steps.tolist(), "rows": rows}


def main():
    torch.set_num_threads(1)
    DATA.mkdir(parents=True, exist_ok=True)
    made = {"command": "OMP_NUM_THREADS=1 python tests/oracle/optim.py", "seed": "none: hashes of indices", "versions": {
        m.__name__: m.__version__ for m in (torch, bitsandbytes, transformers, diffusers, np)}}
    files = {DATA / f"{f.__name__}.json": f for f in (adamw, adamw8bit, adafactor, sgd, clip, schedules, ema)}
    files[pathlib.Path("tests/golden/minsnr.json")] = minsnr
    for path, f in files.items():
        path.write_text(json.dumps({"made": made, **f()}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
