"""Exports a Stable Diffusion 1.5 of full size with random weights, to measure `winnow train` on.

    python tests/oracle/sd15_pipeline.py OUTPUT_FOLDER [--seed 0]

Writes a folder in the layout of assets/export/export_onnx.py (float32, about 4.3 GB; never committed). The sizes are those of
Stable Diffusion 1.5, the tokenizer is that of tests/tiny/sd15 with prompts of 77 tokens. With the same seed the U-Net has the weights of
tests/oracle/sd15_unet.py.
"""

import argparse
import pathlib
import sys

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "assets/export"), str(ROOT / "tests/oracle")]
import export_onnx  # noqa: E402
from sd15_unet import SD15  # noqa: E402


def pipeline(seed):
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(**SD15)
    tokenizer = CLIPTokenizer.from_pretrained(ROOT / "tests/tiny/sd15/tokenizer", model_max_length=77)
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, max_position_embeddings=77,
        hidden_act="quick_gelu", projection_dim=768, bos_token_id=tokenizer.bos_token_id, eos_token_id=2, pad_token_id=tokenizer.pad_token_id,
    ))
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, norm_num_groups=32, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )
    scheduler = PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
                              skip_prk_steps=True, steps_offset=1)
    return StableDiffusionPipeline(vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
                                   safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("output")
    ap.add_argument("--seed", type=int, default=0)
    a = ap.parse_args()
    export_onnx.export_diffusion(a.output, pipeline(a.seed))


if __name__ == "__main__":
    main()
