"""Train the U-Net and the text encoder together on encoded scenes.

    ./launch.sh 2 train_unet.py --latents RUN/latents_0.npz RUN/latents_1.npz --vae RUN/vae --tokenizer RUN/tokenizer \
        --init RUN/unet_stage1 --minutes 72 --lr 8e-4 --timesteps mixed --out RUN/unet_stage2

Epsilon prediction with min-SNR-5 weights (Hang et al. 2023), captions dropped with probability 0.12, AdamW, cosine
learning rate over --steps or over --minutes of running time, exponential moving average 0.999. The state is saved every
250 steps and a second start with the same --out continues from there, with any number of processes. The averaged weights
are saved beside it and measured by the checker on 200 validation prompts every 1,000 steps.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel

import make_prompts
import models
import parallel
import sampling
import world

BATCH = 64  # over all processes
GAMMA = 5.0
DROP = 0.12
SAVE_EVERY = 250
MEASURE_EVERY = 1000
SNR = models.ALPHA_BAR / (1 - models.ALPHA_BAR)


def load_latents(paths, scale):
    data = [np.load(p) for p in paths]
    latents = torch.from_numpy(np.concatenate([d["latents"] for d in data])).float() * scale
    return latents, torch.from_numpy(np.concatenate([d["ids"] for d in data])).long()


def blank_reserved(ids, tokenizer):
    """Replace captions that are validation or held-out prompts by the empty one, in place; returns how many."""
    reserved = models.tokenize(tokenizer, sorted(make_prompts.reserved())).numpy().astype(np.int16)
    rows = [np.ascontiguousarray(a.astype(np.int16)).view("S64").ravel() for a in (ids.view(-1, ids.shape[2]).numpy(), reserved)]
    hit = np.isin(*rows)
    ids.view(-1, ids.shape[2])[torch.from_numpy(hit)] = models.tokenize(tokenizer, [""])[0]
    return int(hit.sum())


def tells_relation(ids, tokenizer):
    """bool [scenes]: whether any caption of a scene tells a relation, seen from its tokens."""
    words = models.tokenize(tokenizer, ["left right above below under top"])[0, 1:7]
    return torch.isin(ids, words).flatten(1).any(1)


def draw_scenes(count, relation, share):
    """Scene indices; with a share, that part of them from scenes whose captions tell a relation."""
    i = torch.randint(len(relation), (count,))
    if not share:
        return i
    some = relation.nonzero().squeeze(1)
    return torch.where(torch.rand(count) < share, some[torch.randint(len(some), (count,))], i)


def loss_weights(layout):
    """Min-SNR weights per timestep; with `layout`, up to that factor more where noise hides all but the layout.

    The epsilon error at high noise is small whatever the model does, so without this "left of" and "above" are learned
    last: the factor is snr^-1/2, between 1 and `layout`.
    """
    weights = SNR.clamp(max=GAMMA) / SNR
    return weights * SNR.rsqrt().clamp(1, layout) if layout else weights


def draw_timesteps(count, how):
    """Uniform, or half of them around t = 600, where the layout of a picture is decided."""
    u = torch.rand(count)
    if how == "mixed":
        u = torch.where(torch.rand(count) < 0.5, u, torch.sigmoid(0.4 + torch.randn(count)))
    return (u * models.STEPS).long().clamp(max=models.STEPS - 1)


class Trainer:
    """The two networks, their optimiser and their average."""

    def __init__(self, args, rank, world_size):
        self.args, self.rank, self.world_size = args, rank, world_size
        torch.manual_seed(0)
        if args.init:
            self.unet = UNet2DConditionModel.from_pretrained(args.init / "unet")
            self.text = CLIPTextModel.from_pretrained(args.init / "text_encoder")
        else:
            self.unet, self.text = models.new_unet(), models.new_text_encoder(len(models.tokenizer(args.tokenizer)))
        self.unet = self.unet.to(memory_format=torch.channels_last)
        self.params = list(self.unet.parameters()) + list(self.text.parameters())
        self.average = [p.detach().clone() for p in self.params]
        self.optimizer = torch.optim.AdamW(self.params, lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01)
        self.step, self.elapsed = 0, 0.0
        self.empty = models.tokenize(args.tokenizer, [""])[0]
        self.weights = loss_weights(args.layout)
        self._resume()

    def _resume(self):
        path = self.args.out / "state.pt"
        if path.exists():
            state = torch.load(path)
            self.step, self.elapsed = state["step"], state["elapsed"]
            self.optimizer.load_state_dict(state["optimizer"])
            self._assign(state["params"])
            self.average = state["average"]

    def _assign(self, values):
        for p, v in zip(self.params, values):
            p.data.copy_(v)

    def progress(self, step, now):
        return step / self.args.steps if self.args.steps else now / (60 * self.args.minutes)

    def update(self, latents, ids, relation, progress, elapsed):
        """One step on this process's share of a batch; returns the losses and the progress, equal on all processes."""
        lr = self.args.lr * min(1, (self.step + 1) / self.args.warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        n = BATCH // self.world_size
        i = draw_scenes(n, relation, self.args.relations)
        clean, tokens = latents[i], ids[i, torch.randint(ids.shape[1], (n,))]
        tokens = torch.where(torch.rand(n, 1) < DROP, self.empty[None], tokens)
        t, noise = draw_timesteps(n, self.args.timesteps), torch.randn_like(clean)
        a = models.ALPHA_BAR[t].view(-1, 1, 1, 1)
        noisy = (a.sqrt() * clean + (1 - a).sqrt() * noise).to(memory_format=torch.channels_last)
        guess = self.unet(noisy, t, self.text(tokens).last_hidden_state, return_dict=False)[0]
        error = ((guess - noise) ** 2).mean((1, 2, 3))
        loss = (error * self.weights[t]).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        progress = parallel.average(self.params, self.world_size, self.progress(self.step + 1, elapsed))
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(0.999, self.step / (self.step + 10))
        torch._foreach_mul_(self.average, keep)
        torch._foreach_add_(self.average, [p.detach() for p in self.params], alpha=1 - keep)
        return loss.item(), error.mean().item(), progress

    def save(self, elapsed):
        state = dict(step=self.step, elapsed=elapsed, optimizer=self.optimizer.state_dict(),
                     params=[p.detach() for p in self.params], average=self.average)
        path = self.args.out / "state.pt"
        torch.save(state, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)
        current = [p.detach().clone() for p in self.params]
        self._assign(self.average)
        self.unet.save_pretrained(self.args.out / "unet")
        self.text.save_pretrained(self.args.out / "text_encoder")
        self._assign(current)

    def measure(self):
        """Checker figures of the saved average on 200 validation prompts at guidance 3."""
        pairs = make_prompts.load("validation")[:200]
        pipeline = sampling.Pipeline(self.args.out, self.args.vae, self.args.tokenizer)
        images = pipeline.generate([t for _, t in pairs], 3.0, sampling.noise(len(pairs), 3), batch=50)
        results = [world.check(image, spec) for image, (spec, _) in zip(images, pairs)]
        return {key: round(float(np.mean([r[key] for r in results])), 4) for key in ("strict", "frac", "clean", "score")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", nargs="+", required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--timesteps", choices=["uniform", "mixed"], default="uniform")
    parser.add_argument("--warmup", type=int, default=200, help="steps of rising learning rate")
    parser.add_argument("--relations", type=float, default=0.0, help="share of a batch from scenes whose captions tell a relation")
    parser.add_argument("--layout", type=float, default=0.0, help="largest extra weight of high-noise timesteps; 0: plain min-SNR")
    parser.add_argument("--keep-reserved", action="store_true", help="also train on captions that are fixed prompts (the first stage did)")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float)
    args = parser.parse_args()
    rank, world_size = parallel.init()
    args.out.mkdir(parents=True, exist_ok=True)
    scale = sampling.AutoencoderKL.from_pretrained(args.vae).config.scaling_factor
    latents, ids = load_latents(args.latents, scale)
    if not args.keep_reserved:
        print("captions blanked:", blank_reserved(ids, args.tokenizer), flush=True)
    relation = tells_relation(ids, args.tokenizer)
    trainer = Trainer(args, rank, world_size)
    before, start, losses = trainer.elapsed, time.time(), []
    progress = trainer.progress(trainer.step, before)
    torch.manual_seed(100 + rank + 7919 * trainer.step)
    while progress < 1:
        elapsed = before + time.time() - start
        *loss, progress = trainer.update(latents, ids, relation, progress, elapsed)
        losses.append(loss)
        if rank != 0:
            continue
        if trainer.step % 200 == 0:
            mean, losses = np.mean(losses, 0), []
            print(f"{trainer.step} {elapsed:.0f}s weighted {mean[0]:.4f} mse {mean[1]:.4f}", flush=True)
        if trainer.step % SAVE_EVERY == 0 or progress >= 1:
            trainer.save(elapsed)
        if trainer.step % MEASURE_EVERY == 0 or progress >= 1:
            print("CHECKER", trainer.step, f"{elapsed:.0f}s", trainer.measure(), flush=True)


if __name__ == "__main__":
    main()
