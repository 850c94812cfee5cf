"""Train the autoencoder on freshly rendered scenes.

    ./launch.sh 2 train_vae.py --steps 3000 --lr 2e-3 --out RUN/vae

Loss: L1 + L2, both weighted fivefold on and near objects, half an L1 on the gradients, and 3e-4 KL. Judge it by the
checker on reconstructions, not by PSNR: at 31 dB a fifth of the pictures lost a shape.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

import models
import parallel
import world

MEASURED = 200


def loss_of(vae, images, kl_weight):
    x = models.to_pixels(images)
    colourful = images.max(3).astype(int) - images.min(3) > 60
    weight = F.max_pool2d(torch.from_numpy(1 + 4.0 * colourful).float()[:, None], 3, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.sample()).sample
    d = y.float() - x
    edges = (weight[:, :, 1:] * (d[:, :, 1:] - d[:, :, :-1]).abs()).mean()
    edges = edges + (weight[..., 1:] * (d[..., 1:] - d[..., :-1]).abs()).mean()
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    kl = 0.5 * (mean * mean + logvar.exp() - 1 - logvar).mean()
    return (weight * d.abs()).mean() + (weight * d * d).mean() + 0.5 * edges + kl_weight * kl


@torch.no_grad()
def measure(vae, seed=999):
    """(figures of the checker on reconstructions, standard deviation of the latents)."""
    rng = np.random.default_rng(seed)
    scenes = [world.dress(world.random_scene(rng), rng) for _ in range(MEASURED)]
    x = models.to_pixels(np.stack([world.render(s) for s in scenes]))
    vae.eval()
    z = torch.cat([vae.encode(part).latent_dist.mode() for part in x.split(50)])
    y = torch.cat([vae.decode(part).sample for part in z.split(50)])
    vae.train()
    results = [world.check(image, world.describe(s, rng, drop=False)) for image, s in zip(models.to_images(y), scenes)]
    figures = {key: float(np.mean([r[key] for r in results])) for key in ("strict", "frac", "clean")}
    figures["psnr"] = float(-10 * ((y.clamp(-1, 1) - x) ** 2).mean((1, 2, 3)).div(4).log10().mean())
    return figures, float(z.std())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16, help="pictures per process")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--kl", type=float, default=3e-4)
    parser.add_argument("--init", help="continue from this folder")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rank, world_size = parallel.init()
    torch.manual_seed(0)
    vae = AutoencoderKL.from_pretrained(args.init) if args.init else models.new_vae()
    params = list(vae.parameters())
    optimizer = torch.optim.AdamW(params, lr=args.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    rng = np.random.default_rng(1 + rank)
    torch.manual_seed(100 + rank)
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        images = np.stack([world.render(world.dress(world.random_scene(rng), rng)) for _ in range(args.batch)])
        loss = loss_of(vae, images, args.kl)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parallel.average(params, world_size)
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        if rank == 0 and ((step + 1) % 500 == 0 or step + 1 == args.steps):
            figures, deviation = measure(vae)
            vae.register_to_config(scaling_factor=1 / deviation)
            vae.save_pretrained(args.out)
            print(step + 1, f"loss {loss.item():.4f}", {k: round(v, 4) for k, v in figures.items()}, flush=True)


if __name__ == "__main__":
    main()
