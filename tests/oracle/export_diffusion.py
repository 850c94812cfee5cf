"""Checks assets/export/export_onnx.py on diffusion pipelines, from a diffusers folder to pictures.

    OMP_NUM_THREADS=1 python tests/oracle/export_diffusion.py [sd15] [sd2] [sdxl] [sd3]

For each kind it makes the tiny pipeline of tests/oracle/pipelines.py or sd3_pipeline.py in a temporary folder, saves it as diffusers does,
exports that folder, lets `winnow generate` draw with the export, and compares final latents and picture with what
diffusers makes from the same seed. It writes nothing into the repository and fails if latents differ by more than 1e-4 of
the largest, or pixels by more than one level.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pipelines
import sd3_pipeline
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = [  # steps, seed, height, width, negative prompt, guidance
    (4, 3, 32, 32, "", 7.5),
    (5, 9, 32, 48, "blurry", 5.0),
    (3, 1, 32, 32, "", 1.0),
]


@torch.no_grad()
def expected(pipe, case):
    steps, seed, h, w, negative, scale = case
    latents = pipe(pipelines.PROMPT, negative_prompt=negative or None, num_inference_steps=steps, guidance_scale=scale, height=h, width=w,
                   generator=torch.Generator().manual_seed(seed), output_type="latent").images
    picture = pipe.vae.decode(latents / pipe.vae.config.scaling_factor + (pipe.vae.config.shift_factor or 0)).sample[0]
    return latents.numpy(), ((picture.permute(1, 2, 0) / 2 + 0.5).clamp(0, 1).numpy() * 255).round()


def drawn(winnow, model, work, case):
    steps, seed, h, w, negative, scale = case
    latents = work / "latents.safetensors"
    command = [winnow, "generate", "--model", model, "--steps", steps, "--seed", seed, "--height", h, "--width", w, "--guidance-scale", scale,
               "--save-latents", latents, "--output", work / "pictures", "--no-rank", "--quiet", pipelines.PROMPT]
    if negative:
        command += ["--negative-prompt", negative]
    out = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout
    picture = np.asarray(Image.open(out.split()[0]).convert("RGB"), dtype=np.float64)
    return load_file(latents)["latents"].numpy(), picture


def check(kind, winnow, work):
    pipelines.TINY = sd3_pipeline.TINY = work / "made"
    (pipelines.TINY / kind / "scheduler").mkdir(parents=True)
    with torch.no_grad():
        pipe = sd3_pipeline.build() if kind == "sd3" else pipelines.build(kind, ROOT / "tests/tiny/sd15/tokenizer")
    pipe.save_pretrained(work / "saved")
    subprocess.run([sys.executable, ROOT / "assets/export/export_onnx.py", "diffusion", work / "saved", work / "onnx"], check=True, capture_output=True)
    good = True
    for case in CASES:
        latents, picture = expected(pipe, case)
        got, pixels = drawn(winnow, work / "onnx", work, case)
        off = abs(got.reshape(latents.shape) - latents).max() / abs(latents).max()
        levels = abs(pixels - picture).max()
        print(f"{kind} {case}: latents differ by {off:.1e} of the largest, pixels by {levels:.0f}")
        good &= bool(off <= 1e-4 and levels <= 1)
    return good


def main():
    kinds = sys.argv[1:] or ["sd15", "sd2", "sdxl", "sd3"]
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        subprocess.run(["go", "build", "-o", tmp / "winnow", "./cmd/winnow"], check=True, cwd=ROOT)
        results = []
        for kind in kinds:
            (tmp / kind).mkdir()
            results.append(check(kind, tmp / "winnow", tmp / kind))
    sys.exit(0 if all(results) else "an export differs from its original")


if __name__ == "__main__":
    main()
