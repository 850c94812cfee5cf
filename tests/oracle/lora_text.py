"""Makes tests/golden/lora/{sd15,sdxl}-text.safetensors and text.json: adapters of U-Net and text encoders, and final latents of diffusers under them.

    OMP_NUM_THREADS=1 python tests/oracle/lora_text.py

The pipelines are those of tests/oracle/pipelines.py. Each adapter is a kohya file with random factors, of which all modules of the U-Net have one rank
and alpha and those of the text encoders another; diffusers' load_lora_weights reads it and its pipeline makes the latents.
"""

import base64
import json
import pathlib
import tempfile

import diffusers
import guided
import peft
import pipelines
import torch
import transformers
from safetensors.torch import save_file

ROOT = pathlib.Path(".").resolve()
GOLDEN = pathlib.Path("tests/golden/lora")
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
MORE = (*ATTENTION, "proj_in", "ff.net.0.proj", "conv1", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv", "conv_shortcut")
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
# Networks, ends of module names, rank (several: in turn), alpha.
SOURCES = {
    "text": {"unet": (ATTENTION, [2], 3.0), "text_encoder": (TEXT, [3], 1.5), "text_encoder_2": (TEXT, [3], 1.5)},
    "attention": {"unet": (ATTENTION, [2, 3, 1], 2.0)},
    "unet": {"unet": (MORE, [2, 4], 1.0)},
}


def accept_peft():
    """transformers 5.24 asks for a version of PEFT that was not out when this was written; loading works with 0.21.2."""
    import transformers.integrations.peft as integration

    integration.check_peft_version = lambda min_version: None


def make(kind, source, pipe, path):
    """Writes a kohya file with diffusers' block names."""
    torch.manual_seed(7)
    tensors = {}
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te1_" if kind == "sdxl" and source == "text" else "lora_te_", "text_encoder_2": "lora_te2_"}
    for network, (ends, ranks, alpha) in SOURCES[source].items():
        if (net := getattr(pipe, network, None)) is None:
            continue
        at = 0
        for name, m in net.named_modules():
            if not isinstance(m, (torch.nn.Linear, torch.nn.Conv2d)) or not name.endswith(tuple("." + e for e in ends)):
                continue
            r = ranks[at % len(ranks)]
            at += 1
            if network != "unet" and not name.startswith("text_model."):
                name = "text_model." + name
            key = prefixes[network] + name.replace(".", "_")
            shape = m.weight.shape
            down, up = torch.randn(r, *shape[1:]), torch.randn(shape[0], r, *([1] * (len(shape) - 2)))
            tensors[f"{key}.lora_down.weight"] = (down / down[0].numel() ** 0.5).half().float()
            tensors[f"{key}.lora_up.weight"] = (up / (4 * r) ** 0.5).half().float()
            tensors[f"{key}.alpha"] = torch.tensor(alpha)
    save_file(tensors, path)
    return path


@torch.no_grad()
def main():
    accept_peft()
    cases = {}
    for kind in ("sd15", "sdxl"):
        with tempfile.TemporaryDirectory() as tmp:
            pipelines.TINY = pathlib.Path(tmp)
            pipe = pipelines.build(kind, ROOT / "tests/tiny/sd15/tokenizer")
        path = make(kind, "text", pipe, GOLDEN / f"{kind}-text.safetensors")
        pipe.scheduler = guided.SCHEDULERS["ddim"].from_pretrained(ROOT / "tests/tiny" / kind / "scheduler")
        draw = lambda: torch.cat([pipe(p, height=32, width=32, num_inference_steps=10, guidance_scale=5.0, output_type="latent",  # noqa: E731
                                       generator=torch.Generator("cpu").manual_seed(guided.SEED)).images for p in guided.PROMPTS])
        plain = draw()
        pipe.load_lora_weights(str(path.parent), weight_name=path.name)
        all_of_it = draw()
        for name in ("text_encoder", "text_encoder_2"):
            if (net := getattr(pipe, name, None)) is not None:
                net.disable_adapters()
        without = draw()
        cases[kind] = base64.b64encode(all_of_it.numpy().astype("<f4").tobytes()).decode()
        print(kind, "adapter changes", float((all_of_it - plain).norm() / plain.norm()), "text encoders", float((all_of_it - without).norm() / without.norm()))
    out = {"made_by": "OMP_NUM_THREADS=1 python tests/oracle/lora_text.py", "diffusers": diffusers.__version__, "peft": peft.__version__,
           "transformers": transformers.__version__, "torch": torch.__version__, "seed": guided.SEED, "steps": 10, "prompts": guided.PROMPTS, "latents": cases}
    (GOLDEN / "text.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
