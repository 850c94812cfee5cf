"""Gradients of whole networks by torch.autograd: LoRA of tiny SD1.5, SDXL and SD3 denoisers, and latents of a reward.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/gradients.py [NETWORK...]
Writes tests/gradients/testdata, for each network
  <name>_<export>.onnx.gz   the network without adapters; ts17 is the TorchScript exporter, dyn20 the dynamo exporter
  <name>.safetensors        inputs, outputs, cotangents and gradients; metadata "about" is JSON: versions, seed, LoRA

Tensors are "in.<input>", "out.<output>", "cot.<output>" and "grad.<input>". Adapters come from PEFT, whose names are kept:
"in.lora.<adapter>.<module>.lora_A.weight". "lora.<adapter>.scale" has one number per sample: torch runs each sample by
itself with PEFT's scaling multiplied by it. Torch computes in float64 on weights that float32 holds exactly; results are
stored as float32. "reward" goes from latents through a VAE decoder, clamping, resizing to the size of a CLIP picture
encoder, normalisation and that encoder to the cosine with a text embedding.

Weights take seven values each, so that the files are small.
"""

import gzip
import json
import logging
import math
import os
import pathlib
import sys
import tempfile
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import diffusers
import numpy as np
import onnx
import peft
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

OUT = pathlib.Path("tests/gradients/testdata")
SEED = 31
BATCH = 3
WIDTH, POOLED = 24, 16
VERSIONS = (f"torch {torch.__version__}, diffusers {diffusers.__version__}, peft {peft.__version__}, "
            f"transformers {transformers.__version__}, onnx {onnx.__version__}")

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
ADAPTERS = {
    # every kind of layer, one rank, alpha of its own
    "chosen": {"r": 2, "lora_alpha": 3, "target_modules": [
        *ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "mid_block.resnets.0.conv1", "downsamplers.0.conv", "conv_shortcut",
        "mid_block.resnets.1.time_emb_proj", "conv_out"]},
    "rejected": {"r": 1, "lora_alpha": 1, "target_modules": ["attn1.to_q", "attn2.to_v", "upsamplers.0.conv"]},
}
JOINT = {
    "chosen": {"r": 2, "lora_alpha": 3, "target_modules": [
        *ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "ff.net.0.proj", "ff.net.2", "ff_context.net.2",
        "norm1.linear", "pos_embed.proj", "context_embedder"],
        "exclude_modules": ["transformer_blocks.1.attn.add_q_proj"]},  # the last block drops what it is for
    "rejected": {"r": 1, "lora_alpha": 1, "target_modules": ["to_q", "add_v_proj", "proj_out"]},
}
SCALES = {"chosen": [1.0, 0.0, -0.5], "rejected": [0.0, 1.0, 0.75]}


# ---- networks -------------------------------------------------------------------------------------------------------


class Unet(torch.nn.Module):
    def __init__(self, **config):
        super().__init__()
        self.m = diffusers.UNet2DConditionModel(
            sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=WIDTH, **config)


class Unet15(Unet):
    def __init__(self):
        super().__init__(down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), attention_head_dim=2,
                         up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.m(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class UnetXL(Unet):
    def __init__(self):
        super().__init__(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=POOLED + 6 * 8, use_linear_projection=True, attention_head_dim=(1, 2))

    def forward(self, sample, timestep, encoder_hidden_states, text_embeds, time_ids):
        more = {"text_embeds": text_embeds, "time_ids": time_ids}
        return self.m(sample, timestep, encoder_hidden_states, added_cond_kwargs=more, return_dict=False)[0]


class Joint(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.m = diffusers.SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=WIDTH, caption_projection_dim=16, pooled_projection_dim=POOLED,
            pos_embed_max_size=12)

    def forward(self, hidden_states, encoder_hidden_states, pooled_projections, timestep):
        return self.m(hidden_states, encoder_hidden_states, pooled_projections, timestep, return_dict=False)[0]


class Reward(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=16,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
        self.vae.encoder = self.vae.quant_conv = None
        config = transformers.CLIPVisionConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=16, patch_size=8,
            projection_dim=WIDTH, hidden_act="quick_gelu")
        self.clip = transformers.CLIPVisionModelWithProjection(config)
        self.register_buffer("mean", torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1), persistent=False)

    def forward(self, latents, text_embeds):
        picture = (self.vae.decode(latents, return_dict=False)[0] / 2 + 0.5).clamp(0, 1)
        small = F.interpolate(picture, size=(16, 16), mode="bicubic", align_corners=False)
        image = self.clip((small - self.mean) / self.std).image_embeds
        image = image / image.norm(dim=-1, keepdim=True)
        text = text_embeds / text_embeds.norm(dim=-1, keepdim=True)
        return (image * text).sum(-1)


def unet_inputs(draw):
    return {"sample": draw(BATCH, 4, 8, 8), "timestep": torch.tensor(481), "encoder_hidden_states": draw(BATCH, 7, WIDTH)}


def xl_inputs(draw):
    x = unet_inputs(draw) | {"timestep": torch.tensor([481.0, 20.0, 730.0]), "text_embeds": draw(BATCH, POOLED)}
    return x | {"time_ids": torch.tensor([[64.0, 96, 0, 8, 64, 64]] * BATCH)}


def joint_inputs(draw):
    return {"hidden_states": draw(BATCH, 4, 8, 8), "encoder_hidden_states": draw(BATCH, 7, WIDTH),
            "pooled_projections": draw(BATCH, POOLED), "timestep": torch.tensor([730.5, 20.25, 481.0])}


def reward_inputs(draw):
    return {"latents": draw(2, 4, 12, 16), "text_embeds": draw(2, WIDTH)}


# module, inputs, output, adapters, inputs whose gradient is not of interest, exports
NETWORKS = {
    "sd15": (Unet15, unet_inputs, "out_sample", ADAPTERS, (), ("ts17", "dyn20")),
    "sdxl": (UnetXL, xl_inputs, "out_sample", ADAPTERS, ("timestep", "time_ids"), ("dyn20",)),
    "sd3": (Joint, joint_inputs, "out_sample", JOINT, ("timestep",), ("ts17", "dyn20")),
    "reward": (Reward, reward_inputs, "score", {}, (), ("ts17", "dyn20")),
}


@torch.no_grad()
def seven_values(parameters, g):
    """Gives every parameter seven values whose spread suits its fan-in; gains spread around one."""
    for p in parameters:
        gain = p.ndim == 1 and bool((p == 1).all())
        std = 1.0 / math.sqrt(p[0].numel()) if p.ndim >= 2 else 0.1
        step = 2.0 ** round(math.log2(std / 2))
        p.copy_(torch.randint(-3, 4, p.shape, generator=g) * step + gain)


# ---- export ---------------------------------------------------------------------------------------------------------


class Traceable(TorchFunctionMode):
    """Writes unflatten as reshape: tracing fixes every axis at unflatten."""

    def __torch_function__(self, func, kinds, args=(), kwargs=None):
        if func is torch.Tensor.unflatten and args[1] == -1:
            return args[0].reshape(*args[0].shape[:-1], *args[2])
        return func(*args, **(kwargs or {}))


def export(module, inputs, output, style):
    free = {k: {0: "batch"} for k, v in inputs.items() if v.ndim}
    opset = int(style.lstrip("tsdyn"))
    with tempfile.TemporaryDirectory() as tmp, torch.no_grad(), Traceable():
        if style.startswith("ts"):
            torch.onnx.export(module, tuple(inputs.values()), f"{tmp}/m.onnx", input_names=list(inputs), output_names=[output],
                              dynamic_axes=free | {output: {0: "batch"}}, opset_version=opset, dynamo=False)
        else:
            shapes = {k: {0: torch.export.Dim("batch")} if v.ndim else {} for k, v in inputs.items()}
            torch.onnx.export(module, (), f"{tmp}/m.onnx", kwargs=dict(inputs), input_names=list(inputs), output_names=[output],
                              dynamic_shapes=shapes, opset_version=opset, dynamo=True, external_data=False, verbose=False)
        return clean(onnx.load(f"{tmp}/m.onnx"))


def clean(model):
    """Removes what only tells where the export was made."""
    model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        kept = [(p.key, p.value) for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)
    for v in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        v.doc_string = ""
        del v.metadata_props[:]
    return model


# ---- gradients ------------------------------------------------------------------------------------------------------


def inject(module, adapters, g):
    """Adds the adapters with PEFT and returns their factors by the names of ours."""
    for name, config in adapters.items():
        peft.inject_adapter_in_model(peft.LoraConfig(init_lora_weights=False, **config), module.m, adapter_name=name)
    layers = {n: m for n, m in module.m.named_modules() if isinstance(m, peft.tuners.lora.LoraLayer)}
    factors = {}
    for path, layer in layers.items():
        layer.set_adapter(list(layer.r))
        for name in layer.r:
            for half, d in (("A", layer.lora_A), ("B", layer.lora_B)):
                factors[f"lora.{name}.{path}.lora_{half}.weight"] = d[name].weight
    seven_values(factors.values(), g)
    return layers, factors


def per_sample(module, layers, inputs, scales):
    """The output for the batch, each sample with scales of its own."""
    alpha = {path: dict(layer.scaling) for path, layer in layers.items()}
    outs = []
    for i in range(len(next(iter(inputs.values())))):
        for path, layer in layers.items():
            for name, value in alpha[path].items():
                layer.scaling[name] = value * scales[f"lora.{name}.scale"][i]
        outs.append(module(**{k: v[i : i + 1] if v.ndim else v for k, v in inputs.items()}))
    for path, layer in layers.items():
        layer.scaling.update(alpha[path])
    return torch.cat(outs)


def one(name):
    make, draw_inputs, output, adapters, apart, exports = NETWORKS[name]
    torch.manual_seed(SEED)
    g = torch.Generator().manual_seed(SEED)
    module = make().eval()
    seven_values(module.parameters(), g)
    inputs = draw_inputs(lambda *shape: torch.randn(shape, generator=g))
    for style in exports:
        data = export(module, inputs, output, style).SerializeToString(deterministic=True)
        (OUT / f"{name}_{style}.onnx.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    module.requires_grad_(False)
    layers, factors = inject(module, adapters, g) if adapters else ({}, {})
    module.double()
    scales = {f"lora.{a}.scale": torch.tensor(SCALES[a]) for a in adapters}
    wide = {k: v.double() if v.is_floating_point() else v for k, v in (inputs | scales).items()}
    wrt = {k: v.requires_grad_() for k, v in wide.items() if v.is_floating_point() and k not in apart} | factors
    y = per_sample(module, layers, {k: wide[k] for k in inputs}, {k: wide[k] for k in scales})
    cot = torch.randn(y.shape, generator=g)
    grads = torch.autograd.grad(y, list(wrt.values()), cot.double())
    tensors = {f"in.{k}": v for k, v in (wide | factors).items()} | {f"out.{output}": y, f"cot.{output}": cot}
    tensors |= {f"grad.{k}": v for k, v in zip(wrt, grads)}
    for k, v in tensors.items():
        assert v.isfinite().all() and v.abs().max() > (0 if k.startswith("in.") else 1e-5), k
    about = {k: {"rank": c["r"], "alpha": c["lora_alpha"], "targets": c["target_modules"],
                 "exclude": c.get("exclude_modules", [])} for k, c in adapters.items()}
    about = {k: dict(v, layers=sum(n.startswith(f"lora.{k}.") and ".lora_A." in n for n in factors)) for k, v in about.items()}
    # One entry, because their order in the file is not fixed.
    meta = {"about": json.dumps({"versions": VERSIONS, "seed": SEED, "command": "python tests/oracle/gradients.py", "adapters": about})}
    stored = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
    stored = {k: v.float() if v.dtype == torch.float64 else v for k, v in stored.items()}
    save_file(stored, OUT / f"{name}.safetensors", metadata=meta)
    print(name, {k: v["layers"] for k, v in about.items()}, f"|y| {y.abs().max():.3g}",
          [f"{p.name} {p.stat().st_size >> 10} KiB" for p in sorted(OUT.glob(f"{name}[_.]*"))], flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    for network in sys.argv[1:] or NETWORKS:
        one(network)
