"""The model classes and their sizes, the noise schedule, and the small helpers that every script shares."""

from functools import lru_cache
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

PROMPT_LENGTH = 32  # tokens, start and end included
STEPS = 1000
BETAS = dict(num_train_timesteps=STEPS, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
ALPHA_BAR = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, STEPS, dtype=torch.float64) ** 2, 0).float()


def scheduler():
    """DDIM with Stable Diffusion's settings: what the model was measured with."""
    return DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type="epsilon", **BETAS)


@lru_cache
def tokenizer(folder):
    return CLIPTokenizer.from_pretrained(str(folder))


def tokenize(folder, texts):
    """Token ids [len(texts), 32], int64, padded with the end token."""
    batch = tokenizer(Path(folder))(list(texts), padding="max_length", max_length=PROMPT_LENGTH, truncation=True)
    return torch.tensor(batch["input_ids"])


def new_unet():
    """1.8 M parameters on 8x8x4 latents."""
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(64, 80), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=96, attention_head_dim=4, norm_num_groups=8,
    )


def new_text_encoder(vocabulary):
    """0.3 M parameters."""
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=96, intermediate_size=384, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=PROMPT_LENGTH, bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1, projection_dim=96, hidden_act="quick_gelu",
    ))


def new_vae():
    """0.86 M parameters, 64x64x3 pictures to 8x8x4 latents."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 48, 64), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=4, norm_num_groups=8, sample_size=64,
    )


def to_pixels(images):
    """uint8 pictures [n, 64, 64, 3] to float32 [n, 3, 64, 64] in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(pixels):
    """The inverse of to_pixels, rounding to the nearest level."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5 + 0.5).permute(0, 2, 3, 1).to(torch.uint8).numpy()
