"""Encode rendered scenes to latents, with six captions each: the training data of train_unet.py.

    python encode.py --shard 0 --scenes 24000 --vae RUN/vae --tokenizer RUN/tokenizer --out RUN/latents_0.npz
    python encode.py --shard 1 --scenes 24000 --vae RUN/vae --tokenizer RUN/tokenizer --out RUN/latents_1.npz

Kinds are drawn with more relations and three-object scenes than in the prompt sets, because those are hardest. Five of
the six captions drop attributes, the last tells everything.
"""

import argparse
import time

import numpy as np
import torch
from diffusers import AutoencoderKL

import models
import world

CAPTIONS = 6
SHARES = [0.18, 0.36, 0.12, 0.18, 0.16]  # of world.KINDS
BATCH = 50
FIRST_SEED = 5000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--scenes", type=int, default=24000)
    parser.add_argument("--natural", action="store_true", help="kinds as in the prompt sets (the first stage's data)")
    for name in ("--vae", "--tokenizer", "--out"):
        parser.add_argument(name, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    vae = AutoencoderKL.from_pretrained(args.vae).eval()
    rng, n, start = np.random.default_rng(FIRST_SEED + args.shard), args.scenes, time.time()
    latents, ids = np.zeros((n, 4, 8, 8), np.float16), np.zeros((n, CAPTIONS, models.PROMPT_LENGTH), np.int16)
    for i in range(0, n, BATCH):
        count = min(BATCH, n - i)
        scenes = [world.random_scene(rng, None if args.natural else str(rng.choice(world.KINDS, p=SHARES))) for _ in range(count)]
        images = np.stack([world.render(world.dress(s, rng)) for s in scenes])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            latents[i:i + count] = vae.encode(models.to_pixels(images)).latent_dist.mode().float().numpy()
        texts = [world.caption(world.describe(s, rng, drop=k < CAPTIONS - 1), rng) for s in scenes for k in range(CAPTIONS)]
        ids[i:i + count] = models.tokenize(args.tokenizer, texts).numpy().reshape(count, CAPTIONS, -1)
    np.savez(args.out, latents=latents, ids=ids)
    print(f"{n} scenes in {time.time() - start:.0f} s, deviation {latents.astype(np.float32).std():.4f}")


if __name__ == "__main__":
    main()
