"""DDIM sampling of the mini pipeline in PyTorch, as diffusers' DDIMScheduler does it with models.scheduler()."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

import models


class Pipeline:
    """The trained parts, in evaluation mode."""

    def __init__(self, base, vae, tokenizer):
        self.unet = UNet2DConditionModel.from_pretrained(Path(base) / "unet").eval()
        self.text = CLIPTextModel.from_pretrained(Path(base) / "text_encoder").eval()
        self.vae = AutoencoderKL.from_pretrained(vae).eval()
        self.tokenizer = tokenizer

    @torch.no_grad()
    def embed(self, prompts, batch=256):
        ids = models.tokenize(self.tokenizer, prompts)
        return torch.cat([self.text(ids[i:i + batch]).last_hidden_state for i in range(0, len(ids), batch)])

    @torch.no_grad()
    def generate(self, prompts, guidance, noise, steps=25, batch=64):
        """uint8 pictures [n, 64, 64, 3] for n prompts from initial noise [n, 4, 8, 8]."""
        context, empty, out = self.embed(prompts), self.embed([""]), []
        for i in range(0, len(prompts), batch):
            z = ddim(self.unet, context[i:i + batch], empty, guidance, steps, noise[i:i + batch])
            out.append(self.vae.decode(z / self.vae.config.scaling_factor).sample)
        return models.to_images(torch.cat(out))


def timesteps(steps):
    """Leading spacing with offset 1, largest first."""
    return [i * (models.STEPS // steps) + 1 for i in reversed(range(steps))]


def ddim(unet, context, empty, guidance, steps, noise):
    """Latents after deterministic DDIM with classifier-free guidance (both halves in one batch)."""
    x, n = noise.clone(), len(noise)
    if guidance != 1:
        context = torch.cat([empty.expand(n, -1, -1), context])
    for t in timesteps(steps):
        before = t - models.STEPS // steps
        a = models.ALPHA_BAR[t]
        b = models.ALPHA_BAR[before] if before >= 0 else models.ALPHA_BAR[0]
        if guidance == 1:
            eps = unet(x, torch.full((n,), t), context, return_dict=False)[0]
        else:
            eps = unet(torch.cat([x, x]), torch.full((2 * n,), t), context, return_dict=False)[0]
            without, with_prompt = eps.chunk(2)
            eps = without + guidance * (with_prompt - without)
        clean = (x - (1 - a).sqrt() * eps) / a.sqrt()
        x = b.sqrt() * clean + (1 - b).sqrt() * eps
    return x


def noise(count, seed):
    """Standard normal latents [count, 4, 8, 8] from one generator."""
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
