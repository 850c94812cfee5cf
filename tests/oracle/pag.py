"""Makes tests/golden/guided/{sd15,sdxl}_pag.json: final latents of diffusers' pipelines with perturbed-attention guidance.

    OMP_NUM_THREADS=1 python tests/oracle/pag.py

The random weights of tests/tiny are made again by tests/oracle/pipelines.py, in torch, and are compared with the ONNX files in
ONNX Runtime before they are used.
"""

import base64
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import diffusers
import guided
import numpy as np
import pipelines
import torch

CASES = [
    {"name": "mid", "scale": 5.0, "pag": 3.0, "layers": ["mid"]},
    {"name": "alone", "scale": 1.0, "pag": 2.0, "layers": ["down_blocks"]},
    {"name": "several", "scale": 4.0, "pag": 1.5, "layers": ["mid_block", "up_blocks.(0|1).attentions.0"], "negative": "blurry, low quality"},
    {"name": "rescaled", "scale": 6.0, "pag": 4.0, "layers": ["up"], "rescale": 0.6},
]
KINDS = {"sd15": (diffusers.StableDiffusionPAGPipeline, "ddim"), "sdxl": (diffusers.StableDiffusionXLPAGPipeline, "euler")}


@torch.no_grad()
def check(kind, pipe):
    folder = guided.Folder(kind)
    embeds = folder.encode(guided.PROMPTS[0])
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    want = folder.predict(x.numpy(), 501, embeds)
    extra = None
    if folder.xl:
        extra = {"text_embeds": torch.from_numpy(embeds[1]), "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]])}
    got = pipe.unet(x, torch.tensor(501), torch.from_numpy(embeds[0]), added_cond_kwargs=extra).sample.numpy()
    error = np.abs(got - want).max() / np.abs(want).max()
    print(kind, "torch against ONNX Runtime:", error)
    assert error < 1e-5


def pictures(case, kind, pipe):
    cls, scheduler = KINDS[kind]
    parts = {k: v for k, v in pipe.components.items() if k != "scheduler"}
    extra = {"add_watermarker": False} if kind == "sdxl" else {"requires_safety_checker": False}
    p = cls(**parts, scheduler=guided.SCHEDULERS[scheduler].from_pretrained(pipelines.TINY / kind / "scheduler"),
            pag_applied_layers=case["layers"], **extra)
    p.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator("cpu").manual_seed(guided.SEED))
    n = len(guided.PROMPTS)
    out = p(guided.PROMPTS, negative_prompt=[case["negative"]] * n if "negative" in case else None, height=32, width=32,
            num_inference_steps=10, guidance_scale=case["scale"], pag_scale=case["pag"], guidance_rescale=case.get("rescale", 0.0),
            latents=noise.expand(n, -1, -1, -1), output_type="latent").images
    pipe.unet.set_attn_processor(diffusers.models.attention_processor.AttnProcessor2_0())
    nfe = 10 * (3 if case["scale"] > 1 else 2)
    latents = base64.b64encode(out.numpy().astype("<f4").tobytes()).decode()
    return {**case, "guidance": "pag", "scheduler": scheduler, "nfe": nfe, "latents": latents}


def main():
    for kind in KINDS:
        pipe = pipelines.build(kind, pipelines.TINY / "sd15/tokenizer")
        check(kind, pipe)
        guided.write(guided.GOLDEN / f"{kind}_pag.json", [pictures(c, kind, pipe) for c in CASES],
                     made_by="OMP_NUM_THREADS=1 python tests/oracle/pag.py")


if __name__ == "__main__":
    main()
