"""Train the mini reward on groups of pictures scored by the exact checker.

    python train_reward.py --groups RUN/groups_synthetic.npz RUN/groups_train.npz --held RUN/groups_validation.npz \
        --tokenizer RUN/tokenizer --text-encoder RUN/unet_stage2/text_encoder --steps 2500 --out RUN/reward

Loss over groups that share a caption: logistic loss on every pair with a score gap above 0.03, a Huber loss that ties
the output to 10 (score - 1), and the teacher's labels (what the image tokens show, which sorts of assertions hold).
Each file gives an equal part of a batch. Pair accuracy counts pairs of one group with a gap above 0.03.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import CLIPTextModel

import models
import reward_model

GAP = 0.03


def load(path):
    data = np.load(path)
    n, k = data["score"].shape
    return dict(
        images=data["images"], ids=torch.from_numpy(data["ids"]), score=torch.from_numpy(data["score"]),
        cells=torch.from_numpy(data["cells"].reshape(n, k, 64, 3).astype(np.int64)),
        backgrounds=torch.from_numpy(data["backgrounds"].astype(np.int64)), items=torch.from_numpy(data["items"]),
    )


def draw(data, count):
    i = torch.randint(len(data["ids"]), (count,))
    images = torch.from_numpy(data["images"][i.numpy()])
    return images, data["ids"][i], data["score"][i], data["cells"][i], data["backgrounds"][i], data["items"][i]


def shift(pixels, reach=2):
    """Move every picture by up to `reach` pixels each way, repeating its border: captions stay as true as they were."""
    size = pixels.shape[-1]
    padded = F.pad(pixels, (reach,) * 4, mode="replicate")
    at = torch.randint(2 * reach + 1, (len(pixels), 2)).tolist()
    return torch.stack([p[:, y:y + size, x:x + size] for p, (y, x) in zip(padded, at)])


def pair_loss(r, score):
    """Mean logistic loss over ordered pairs of each group whose scores differ by more than GAP."""
    better = (score[:, :, None] - score[:, None, :]) > GAP
    return F.softplus(-(r[:, :, None] - r[:, None, :]))[better].mean()


@torch.no_grad()
def scores(model, data, end, batch=64):
    model.eval()
    out, k = [], data["images"].shape[1]
    for i in range(0, len(data["ids"]), batch):
        images = data["images"][i:i + batch]
        ids = data["ids"][i:i + batch].repeat_interleave(k, 0)
        pixels = models.to_pixels(images.reshape(-1, *images.shape[2:]))
        out.append(model(pixels, ids, reward_model.attention_mask(ids, end)).view(-1, k))
    model.train()
    return torch.cat(out).numpy()


def pair_accuracy(r, score, low=GAP, high=9.0):
    """(share of pairs in the right order, number of pairs) for gaps in (low, high]."""
    gap = score[:, :, None] - score[:, None, :]
    use = (gap > low) & (gap <= high)
    return float((r[:, :, None] > r[:, None, :])[use].mean()), int(use.sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="+", required=True)
    parser.add_argument("--held", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--text-encoder", required=True, help="the pipeline's trained text encoder, to start from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="continue from this folder's reward.pt")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float)
    parser.add_argument("--groups-per-batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    files, held = [load(p) for p in args.groups], load(args.held)
    vocabulary = len(models.tokenizer(Path(args.tokenizer)))
    end = vocabulary - 1
    model, teacher = reward_model.Reward(vocabulary), reward_model.Teacher()
    model.start_from(CLIPTextModel.from_pretrained(args.text_encoder))
    if args.init:
        model.load_state_dict(torch.load(args.init / "reward.pt"))
        teacher.load_state_dict(torch.load(args.init / "teacher.pt"))
    params = list(model.parameters()) + list(teacher.parameters())
    optimizer = torch.optim.AdamW(params, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.02)
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, groups {[len(f['ids']) for f in files]}", flush=True)
    start, seen, step, progress = time.time(), [], 0, 0.0
    while progress < 1:
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 150) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        parts = [draw(f, args.groups_per_batch // len(files)) for f in files]
        images, ids, score, cells, backgrounds, items = (torch.cat(column) for column in zip(*parts))
        b, k = score.shape
        ids = ids.repeat_interleave(k, 0)
        pixels = images.view(b * k, *images.shape[2:]).permute(0, 3, 1, 2).float() / 127.5 - 1
        tokens = model.image(shift(pixels))
        pooled = model.read(tokens, ids, reward_model.attention_mask(ids, end))
        r = model.score(pooled).view(b, k)
        pairs = pair_loss(r, score)
        taught = teacher.loss(tokens, cells.view(b * k, 64, 3), backgrounds.view(-1))
        told = teacher.item_loss(pooled, items.view(b * k, -1))
        loss = pairs + 0.3 * F.huber_loss(r, (score - 1) * 10, delta=1.0) + 0.3 * taught + told
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        seen.append((pairs.item(), taught.item(), told.item()))
        step += 1
        progress = step / args.steps if args.steps else (time.time() - start) / (60 * args.minutes)
        if step % 200 == 0:
            mean, seen = np.mean(seen, 0), []
            print(f"{step} {time.time() - start:.0f}s pairs {mean[0]:.4f} teacher {mean[1]:.4f} items {mean[2]:.4f}", flush=True)
        if step % 500 == 0 or progress >= 1:
            accuracy, count = pair_accuracy(scores(model, held, end), held["score"].numpy())
            print(f"EVAL {step} pair accuracy {accuracy:.4f} of {count}", flush=True)
            torch.save(model.state_dict(), args.out / "reward.pt")
            torch.save(teacher.state_dict(), args.out / "teacher.pt")
    (args.out / "train.json").write_text(json.dumps(dict(
        steps=step, seed=args.seed, learning_rate=args.lr, seconds=round(time.time() - start), pair_accuracy=accuracy, pairs=count)))


if __name__ == "__main__":
    main()
