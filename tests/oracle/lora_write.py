"""Makes internal/lora/testdata/write.json: what files of adapters must look like, from the libraries that read them.

    OMP_NUM_THREADS=1 python tests/oracle/lora_write.py

names: all Linear and Conv2d modules of the U-Nets of Stable Diffusion 1.5 and XL, from diffusers' configurations.
sgm: in the order of names.sdxl, what kohya's scripts call these modules (block names of Stability's code); diffusers' own reader maps each
  back to its module.
saved: the keys that save_lora_weights writes for the tiny pipelines, attention layers of the U-Net and all Linear layers of the text encoders.
flat_lost: modules that diffusers' reader does not find again under kohya's keys with diffusers' block names.
hashes: sshs_model_hash and sshs_legacy_hash as kohya's scripts define them, of tensors made by a formula.
"""

import hashlib
import io
import json
import pathlib
import platform
import re
import tempfile
import types

import diffusers
import numpy as np
import peft
import pipelines
import safetensors
import safetensors.numpy
import torch
import transformers
from diffusers.loaders.lora_conversion_utils import _convert_unet_lora_key, _maybe_map_sgm_blocks_to_diffusers
from diffusers.utils import convert_state_dict_to_diffusers
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from sgm import sgm

ROOT = pathlib.Path(".").resolve()
OUT = pathlib.Path("internal/lora/testdata/write.json")
SD15 = {"cross_attention_dim": 768, "attention_head_dim": 8}
SDXL = {
    "block_out_channels": (320, 640, 1280), "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20), "use_linear_projection": True, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}


def names(config):
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**config)
    return [n for n, m in unet.named_modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))]


def back(keys, layers=None):
    """What diffusers' reader makes of kohya's keys: module by key, under the name that PEFT looks for."""
    out = {}
    for key in keys:
        one = {f"{key}.lora_down.weight": 0}
        if layers:
            one = _maybe_map_sgm_blocks_to_diffusers(one, types.SimpleNamespace(layers_per_block=layers))
        (renamed,) = (_convert_unet_lora_key(k) for k in one)
        (module,) = convert_unet_state_dict_to_peft({renamed: 0})
        out[key] = module.removesuffix(".lora_A.weight")
    return out


def saved(kind):
    with tempfile.TemporaryDirectory() as tmp:
        pipelines.TINY = pathlib.Path(tmp)
        pipe = pipelines.build(kind, ROOT / "tests/tiny/sd15/tokenizer")
        layers = {}
        pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
        layers["unet_lora_layers"] = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.unet))
        for name in ("text_encoder", "text_encoder_2"):
            if (text := getattr(pipe, name, None)) is not None:
                peft.inject_adapter_in_model(LoraConfig(r=2, target_modules=["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]), text)
                layers[f"{name}_lora_layers"] = convert_state_dict_to_diffusers(get_peft_model_state_dict(text))
        pipe.save_lora_weights(tmp, **layers)
        with safe_open(pathlib.Path(tmp) / "pytorch_lora_weights.safetensors", "np") as f:
            return sorted(f.keys()), f.metadata()


def ramp(shape):
    """What the Go test fills tensors with."""
    return ((np.arange(np.prod(shape)) * 7919 % 1009).astype(np.float32) / 1009 - 0.5).reshape(shape)


def hashes(size, dtype):
    """kohya's definitions: SHA-256 of all behind the header, and of 64 KiB from 1 MiB on, of a file with ss_ entries alone."""
    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {
        f"{module}.lora_down.weight": ramp((2, size)).astype(dtype), f"{module}.lora_up.weight": ramp((3, 2)).astype(dtype),
        f"{module}.alpha": np.array(2, np.float32),
    }
    metadata = {"ss_network_module": "networks.lora", "ss_network_dim": "2", "ss_network_alpha": "2", "ss_output_name": "ramp", "ss_seed": "7"}
    data = safetensors.numpy.save(tensors, metadata)
    stream = io.BytesIO(data)
    start = 8 + int.from_bytes(stream.read(8), "little")
    stream.seek(start)
    model = hashlib.sha256(stream.read()).hexdigest()
    stream.seek(0x100000)
    legacy = hashlib.sha256(stream.read(0x10000)).hexdigest()[:8]
    return {"size": size, "dtype": dtype, "model": model, "legacy": legacy}


def main():
    out = {"made_by": "OMP_NUM_THREADS=1 python tests/oracle/lora_write.py", "diffusers": diffusers.__version__, "peft": peft.__version__,
           "transformers": transformers.__version__, "safetensors": safetensors.__version__, "torch": torch.__version__, "python": platform.python_version()}
    out["names"] = {"sd15": names(SD15), "sdxl": names(SDXL)}
    for kind, modules in out["names"].items():
        flat = {"lora_unet_" + m.replace(".", "_"): m for m in modules}
        came = back(flat)
        wrong = {k: v for k, v in came.items() if v != flat[k]}
        print(kind, len(flat), "kohya names, diffusers reads", len(wrong), "wrongly:", dict(list(wrong.items())[:4]))
        out.setdefault("flat_lost", {})[kind] = sorted({re.sub(r"\d+", "N", flat[k]) for k in wrong})
    codes = {"lora_unet_" + sgm(m, 2).replace(".", "_"): m for m in out["names"]["sdxl"]}
    came = back(codes, 2)
    wrong = {k: (codes[k], v) for k, v in came.items() if v != codes[k]}
    print("sdxl sgm", len(codes), "of which diffusers reads wrongly:", dict(list(wrong.items())[:8]))
    assert not wrong
    out["sgm"] = list(codes)
    out["saved"], metadata = {}, None
    for kind in ("sd15", "sdxl"):
        out["saved"][kind], metadata = saved(kind)
    out["saved_metadata"] = metadata
    out["hashes"] = [hashes(*c) for c in ((16, "float32"), (16, "float16"), (150_000, "float32"), (400_000, "float16"))]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(OUT, OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
