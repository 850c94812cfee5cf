"""Measure the exported mini world with the exact checker and write ../EVAL.json, ../EVAL.md and ../samples.png.

    python evaluate.py                                  everything
    python evaluate.py --parts grid,reconstruction      only these; the rest of EVAL.json stays

Everything runs from the exported ONNX files in ONNX Runtime: 500 held-out prompts, DDIM 25 steps, guidance 1, 3, 5 and
7.5, initial noise torch.randn seed 11; reconstructions of 500 fresh scenes through encoder and decoder; pair accuracy of
the reward on groups of 4 pictures at guidance 3 for 250 held-out prompts. Intervals: 95 % percentile bootstrap over prompts, 2,000
resamples.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image

import make_prompts
import models
import reward_model
import sampling
import train_reward
import world

ROOT = Path(__file__).resolve().parent.parent
GUIDANCE = (1.0, 3.0, 5.0, 7.5)
STEPS = 25
PARTS = ("grid", "generation", "reconstruction", "reward")
FIGURES = ("strict", "frac", "clean", "score")


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Exported:
    """The pipeline folder run by ONNX Runtime, with the interface that sampling.ddim needs."""

    def __init__(self, folder):
        self.parts = {name: session(folder / name / "model.onnx") for name in ("text_encoder", "unet", "vae_decoder", "vae_encoder")}
        self.tokenizer = folder / "tokenizer"
        self.scale = json.loads((folder / "vae_decoder/config.json").read_text())["scaling_factor"]

    def run(self, name, **inputs):
        return torch.from_numpy(self.parts[name].run(None, {k: v.numpy() for k, v in inputs.items()})[0])

    def embed(self, prompts):
        return self.run("text_encoder", input_ids=models.tokenize(self.tokenizer, prompts))

    def unet(self, sample, timestep, context, return_dict):
        return (self.run("unet", sample=sample, timestep=timestep.float(), encoder_hidden_states=context.contiguous()),)

    def decode(self, latents):
        return models.to_images(self.run("vae_decoder", latent_sample=latents / self.scale))

    def generate(self, prompts, guidance, noise, batch=50):
        empty, out = self.embed([""]), []
        for i in range(0, len(prompts), batch):
            z = sampling.ddim(self.unet, self.embed(prompts[i:i + batch]), empty, guidance, STEPS, noise[i:i + batch])
            out.append(self.decode(z))
        return np.concatenate(out)

    def reconstruct(self, images):
        parameters = self.run("vae_encoder", sample=models.to_pixels(images))
        return models.to_images(self.run("vae_decoder", latent_sample=parameters[:, :4].contiguous()))


def interval(values, seed=0):
    """[mean, low, high] of a 95 % percentile bootstrap."""
    values = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(1)
    return [round(float(v), 4) for v in (values.mean(), *np.percentile(means, [2.5, 97.5]))]


def summarise(results, specs):
    out = {key: interval([r[key] for r in results]) for key in FIGURES}
    kinds = np.array([s["kind"] for s in specs])
    strict = np.array([r["strict"] for r in results], float)
    out["strict_by_kind"] = {k: interval(strict[kinds == k]) + [int((kinds == k).sum())] for k in world.KINDS}
    items = {}
    for r in results:
        for name, ok in r["items"]:
            items.setdefault(name, []).append(ok)
    out["items"] = {name: round(float(np.mean(v)), 4) for name, v in items.items()}
    return out


def measure_generation(pipeline, guidance):
    pairs = make_prompts.load("heldout")
    images = pipeline.generate([t for _, t in pairs], guidance, sampling.noise(len(pairs), 11))
    return summarise([world.check(i, s) for i, (s, _) in zip(images, pairs)], [s for s, _ in pairs])


def measure_reconstruction(pipeline, count=500, seed=999):
    rng = np.random.default_rng(seed)
    scenes = [world.dress(world.random_scene(rng), rng) for _ in range(count)]
    images = np.stack([world.render(s) for s in scenes])
    again = np.concatenate([pipeline.reconstruct(images[i:i + 50]) for i in range(0, count, 50)])
    results = [world.check(image, world.describe(s, rng, drop=False)) for image, s in zip(again, scenes)]
    mse = ((images.astype(np.float64) - again) ** 2).mean((1, 2, 3))
    figures = {key: interval([r[key] for r in results]) for key in FIGURES}
    return dict(figures, psnr=round(float((20 * np.log10(255) - 10 * np.log10(mse)).mean()), 2))


def measure_reward(pipeline, folder, count=4, prompts=250):
    """Pair accuracy on groups for the first held-out prompts; the interval resamples prompts."""
    pairs = make_prompts.load("heldout")[:prompts]
    texts = [t for _, t in pairs for _ in range(count)]
    images = pipeline.generate(texts, 3.0, sampling.noise(len(texts), 99))
    truth = np.array([world.check(image, s)["score"] for image, s in zip(images, [s for s, _ in pairs for _ in range(count)])])
    ids = models.tokenize(pipeline.tokenizer, texts)
    mask = reward_model.attention_mask(ids, int(ids.max()))
    model, scores = session(folder / "model.onnx"), []
    for i in range(0, len(texts), 100):
        feed = dict(pixel_values=models.to_pixels(images[i:i + 100]).numpy(), input_ids=ids[i:i + 100].numpy(), attention_mask=mask[i:i + 100].numpy())
        scores.append(model.run(None, feed)[0])
    r, truth = np.concatenate(scores).reshape(-1, count), truth.reshape(-1, count)
    gap = truth[:, :, None] - truth[:, None, :]
    right = (r[:, :, None] > r[:, None, :]) & (gap > train_reward.GAP)
    used, ok = (gap > train_reward.GAP).sum((1, 2)), right.sum((1, 2))
    draws = np.random.default_rng(0).integers(len(used), size=(2000, len(used)))
    low, high = np.percentile(ok[draws].sum(1) / used[draws].sum(1), [2.5, 97.5])
    best = r.argmax(1)
    rows = np.arange(len(truth))
    return dict(
        pair_accuracy=[round(float(v), 4) for v in (ok.sum() / used.sum(), low, high)], pairs=int(used.sum()), prompts=len(pairs), group=count,
        by_gap={f"{a}-{b}": [round(v, 4) if isinstance(v, float) else v for v in train_reward.pair_accuracy(r, truth, a, b)]
                for a, b in ((0.03, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 9.0))},
        best_of_4=dict(first=round(float(truth[:, 0].mean()), 4), reward=round(float(truth[rows, best].mean()), 4), checker=round(float(truth.max(1).mean()), 4)),
    )


def draw_grid(pipeline, path, columns=8, rows=6):
    pairs = make_prompts.load("heldout")[:columns * rows]
    images = pipeline.generate([t for _, t in pairs], 3.0, sampling.noise(len(make_prompts.load("heldout")), 11)[:len(pairs)])
    strips = [np.concatenate(images[k * columns:(k + 1) * columns], 1) for k in range(rows)]
    grid = Image.fromarray(np.concatenate(strips))
    grid.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


def show(value):
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


def write_markdown(report, path):
    lines = [
        "# How good the mini world is", "",
        "Written by `train/evaluate.py` from the shipped ONNX files (ONNX Runtime, one thread). 500 held-out prompts, DDIM 25 steps;",
        "95 % bootstrap intervals over prompts. Strict: every assertion of the caption holds; frac: share of assertions that hold.", "",
        "| guidance | strict | frac | clean | score |", "|---|---|---|---|---|",
    ]
    for g, r in report["generation"].items():
        lines.append(f"| {g} | " + " | ".join(show(r[key]) for key in FIGURES) + " |")
    lines += ["", "Strict by kind of prompt:", "", "| guidance | " + " | ".join(world.KINDS) + " |", "|---" * (len(world.KINDS) + 1) + "|"]
    for g, r in report["generation"].items():
        lines.append(f"| {g} | " + " | ".join(f"{show(v)} of {v[3]}" for v in r["strict_by_kind"].values()) + " |")
    names = list(next(iter(report["generation"].values()))["items"])
    lines += ["", "Share of true assertions by sort:", "", "| guidance | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for g, r in report["generation"].items():
        lines.append(f"| {g} | " + " | ".join(f"{r['items'][n]:.3f}" for n in names) + " |")
    v = report["reconstruction"]
    lines += ["", f"Reconstructions of 500 scenes through the autoencoder: strict {show(v['strict'])}, frac {show(v['frac'])}, "
              f"clean {show(v['clean'])}, PSNR {v['psnr']} dB.", ""]
    w = report["reward"]
    lines += [f"Reward: pair accuracy {show(w['pair_accuracy'])} on {w['pairs']} pairs (score gap above {train_reward.GAP}) within groups of "
              f"{w['group']} pictures for {w['prompts']} held-out prompts at guidance 3; by gap: "
              + ", ".join(f"{k}: {a:.3f} of {n}" for k, (a, n) in w["by_gap"].items()) + ".",
              f"Best of {w['group']}: mean checker score {w['best_of_4']['first']:.3f} for the first picture, {w['best_of_4']['reward']:.3f} chosen by "
              f"the reward, {w['best_of_4']['checker']:.3f} by the checker itself.", ""]
    path.write_text("\n".join(lines))


def measure(part, pipeline):
    """One entry of the report."""
    if part == "generation":
        out = {}
        for g in GUIDANCE:
            out[f"{g:g}"] = measure_generation(pipeline, g)
            print("guidance", g, {k: out[f"{g:g}"][k] for k in FIGURES}, flush=True)
        return out
    return measure_reconstruction(pipeline) if part == "reconstruction" else measure_reward(pipeline, ROOT / "reward")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help="which parts to measure anew; the others keep their entry in EVAL.json")
    parts = parser.parse_args().parts.split(",")
    torch.set_num_threads(1)
    pipeline, path = Exported(ROOT / "pipeline"), ROOT / "EVAL.json"
    report = json.loads(path.read_text()) if path.exists() else {}
    report["versions"] = dict(onnxruntime=onnxruntime.__version__, torch=torch.__version__, numpy=np.__version__)
    for part in parts:
        if part == "grid":
            draw_grid(pipeline, ROOT / "samples.png")
            continue
        report[part] = measure(part, pipeline)
        print(part, report[part], flush=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
    if all(part in report for part in PARTS[1:]):
        write_markdown(report, ROOT / "EVAL.md")


if __name__ == "__main__":
    main()
