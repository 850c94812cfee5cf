"""Makes tests/golden/flow.json: tables of diffusers' FlowMatchEulerDiscreteScheduler, and final latents of a U-Net sampled by it.

    OMP_NUM_THREADS=1 python tests/oracle/flow.py

The U-Net and text encoder are those of tests/tiny/sd2; its scheduler_config.json gives way to a flow scheduler's. What the network was
fitted to predict does not matter: it is a function. The loop is that of StableDiffusionPipeline, which cannot be called itself, since
this scheduler has no init_noise_sigma. Arrays are little-endian float32 in base64.
"""

import base64
import json
import pathlib

import diffusers
import numpy as np
import torch
import training

SEED = 77
STOCHASTIC = {"shift": 2.0, "stochastic_sampling": True}
CONFIGS = [
    {}, {"shift": 3.0}, {"shift": 0.6, "num_train_timesteps": 500}, {"shift": 3.0, "shift_terminal": 0.1}, {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True, "shift": 1.5}, {"use_beta_sigmas": True}, STOCHASTIC,
]
RUNS = [
    {"config": {}, "steps": 10, "guidance_scale": 1.0}, {"config": {"shift": 3.0}, "steps": 25, "guidance_scale": 1.0},
    {"config": {"shift": 3.0}, "steps": 10, "guidance_scale": 3.0, "width": 48}, {"config": {"use_beta_sigmas": True}, "steps": 10, "guidance_scale": 2.0},
    {"config": STOCHASTIC, "steps": 10, "guidance_scale": 1.0}, {"config": {"shift": 3.0}, "steps": 1, "guidance_scale": 1.0},
]


def pack(v):
    return base64.b64encode(np.asarray(v, "<f4").tobytes()).decode()


def tables(config, steps):
    s = diffusers.FlowMatchEulerDiscreteScheduler.from_config(config)
    s.set_timesteps(steps)
    return {"config": {"_class_name": "FlowMatchEulerDiscreteScheduler", **config}, "steps": steps, "timesteps": pack(s.timesteps), "sigmas": pack(s.sigmas)}


@torch.no_grad()
def run(model, case):
    s = diffusers.FlowMatchEulerDiscreteScheduler.from_config(case["config"])
    s.set_timesteps(case["steps"])
    g = torch.Generator("cpu").manual_seed(SEED)
    width = case.get("width", 32)
    x = torch.randn(1, 4, 8, width // 4, generator=g)
    for t in s.timesteps:
        answer = lambda prompt: model.predict(model.unet, x, t[None], model.embeds([prompt], model.unet))
        out, scale = answer(0), case["guidance_scale"]
        if scale > 1:
            empty = answer(model.empty())
            out = empty + scale * (out - empty)
        x = s.step(out, t, x, generator=g).prev_sample
    assert x.abs().max() < 50, "the run diverges"
    print(case, "size", float(x.std()), "largest", float(x.abs().max()))
    return {**case, "config": {"_class_name": "FlowMatchEulerDiscreteScheduler", **case["config"]}, "prompt": training.PROMPTS[0], "seed": SEED,
            "height": 32, "width": width, "latents": pack(x)}


def main():
    model = training.Model("sd2")
    out = {"made_by": "OMP_NUM_THREADS=1 python tests/oracle/flow.py", "diffusers": diffusers.__version__, "torch": torch.__version__,
           "tables": [tables(c, n) for c in CONFIGS for n in (1, 4, 28) if n > 1 or "shift_terminal" not in c], "runs": [run(model, c) for c in RUNS]}
    path = pathlib.Path("tests/golden/flow.json")
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
