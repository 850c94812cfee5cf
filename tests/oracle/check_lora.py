"""Checks files of adapters that winnow writes in the libraries that read them. Not part of `go test`.

    go build -o ./winnow ./cmd/winnow && OMP_NUM_THREADS=1 python tests/oracle/check_lora.py ./winnow

For sd15 and sdxl it builds the pipeline of tests/oracle/pipelines.py, takes adapters of U-Net and text encoders (kohya's layout, different
ranks and alphas), and lets `winnow lora convert` write every layout in float32 and float16. Each is loaded

- by diffusers' load_lora_weights, or PEFT's from_pretrained, no key missing and none left over, and every weight that changes is compared with
  alpha/r*B@A of the source;
- by the rules that ComfyUI reads keys by, written anew here from their description: prefixes of modules, endings of pairs.

Then pictures of diffusers and of `winnow generate --lora` are compared, and of `winnow lora merge`, by the largest difference of a channel in 255.
"""

import copy
import json
import logging
import pathlib
import re
import subprocess
import sys
import tempfile

import lora
import lora_text
import numpy as np
import peft
import pipelines
import torch
import transformers
from diffusers import DDIMScheduler
from PIL import Image
from safetensors import safe_open

lora_text.accept_peft()
WINNOW = sys.argv[1]
ROOT = pathlib.Path(".").resolve()
LAYOUTS = ["kohya", "kohya-sgm", "diffusers", "diffusers-old", "peft", "comfyui"]


def winnow(*args):
    return subprocess.run([WINNOW, *map(str, args)], check=True, capture_output=True, text=True).stdout


def weights(net):
    return {k: v.detach().clone() for k, v in net.state_dict().items() if k.endswith(".weight")}


def changes(net):
    """What the adapters of a network add to its weights, by module."""
    out = {}
    for name, m in net.named_modules():
        if isinstance(m, peft.tuners.lora.LoraLayer):
            for adapter in m.active_adapters:
                if adapter in m.lora_A:
                    out[name.removeprefix("base_model.model.")] = m.get_delta_weight(adapter).detach().clone()
    return out


def short(name):
    return name.removeprefix("text_model.")


def truth(path, kind):
    """alpha/r*B@A of a kohya file with diffusers' block names, by network and module."""
    out = {}
    with safe_open(path, "pt") as f:
        for key in f.keys():
            if not key.endswith(".lora_down.weight"):
                continue
            name = key.removesuffix(".lora_down.weight")
            a, b = f.get_tensor(key).double(), f.get_tensor(f"{name}.lora_up.weight").double()
            scale = float(f.get_tensor(f"{name}.alpha")) / a.shape[0]
            out[name] = scale * (b.flatten(1) @ a.flatten(1)).reshape(b.shape[0], *a.shape[1:])
    return out


def flat(network, name, kind):
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te1_" if kind == "sdxl" else "lora_te_", "text_encoder_2": "lora_te2_"}[network]
    if network != "unet" and not name.startswith("text_model."):
        name = "text_model." + name
    return prefix + name.replace(".", "_")


def compare(name, got, want, tolerance):
    assert set(got) == set(want), f"{name}: missing {sorted(set(want) - set(got))[:4]}, unexpected {sorted(set(got) - set(want))[:4]}"
    off = max(float((got[k].double() - want[k]).norm() / want[k].norm()) for k in want)
    assert off < tolerance, f"{name}: differs by {off}"
    return off


class Warnings(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def by_diffusers(pipe, path, kind):
    caught = Warnings()
    for name in ("diffusers", "peft", "transformers"):
        logging.getLogger(name).addHandler(caught)
    pipe.load_lora_weights(str(path.parent), weight_name=path.name)
    bad = [line for line in caught.lines if ("unexpected" in line.lower() or "missing" in line.lower()) and "no lora keys associated" not in line.lower()]
    assert not bad, bad
    got = {}
    for network in ("unet", "text_encoder", "text_encoder_2"):
        if (net := getattr(pipe, network, None)) is not None:
            got |= {flat(network, n, kind): v for n, v in changes(net).items()}
    return got


def by_peft(pipe, folder, kind):
    model = peft.PeftModel.from_pretrained(copy.deepcopy(pipe.unet), folder)
    return {flat("unet", n, kind): v for n, v in changes(model).items()}


def comfy_prefixes(pipe, kind, layers):
    """Prefixes by which ComfyUI finds weights of Stable Diffusion 1 and XL: every name that a module may have, to the module under kohya's."""
    table = {}
    for name, m in pipe.unet.named_modules():
        if not isinstance(m, (torch.nn.Linear, torch.nn.Conv2d)):
            continue
        key = flat("unet", name, kind)
        inner = lora.sgm(name, layers) if re.match(r"(down|mid|up)_blocks?\.", name) else None
        if m := re.match(r"up_blocks\.(\d+)\.upsamplers", name):  # behind the attention where there is one
            inner = inner if hasattr(pipe.unet.up_blocks[int(m[1])], "attentions") else inner.replace(".2.conv", ".1.conv")
        old = name.replace(".to_", ".processor.to_").removesuffix(".0") if re.search(r"\.to_(q|k|v|out\.0)$", name) else name
        for n in [key, old, "unet." + old] + ([f"diffusion_model.{inner}", "lora_unet_" + inner.replace(".", "_")] if inner else []):
            table[n] = key
    for network, clip in (("text_encoder", "clip_l"), ("text_encoder_2", "clip_g")):
        net = getattr(pipe, network, None)
        for name, m in net.named_modules() if net is not None else ():
            if isinstance(m, torch.nn.Linear):
                full = name if name.startswith("text_") else "text_model." + name
                key = flat(network, full, kind)
                for n in (key, f"{network}.{full}", f"text_encoders.{clip}.transformer.{full}"):
                    table[n] = key
    return table


PAIRS = [(".lora_down.weight", ".lora_up.weight"), ("_lora.down.weight", "_lora.up.weight"), (".lora.down.weight", ".lora.up.weight"),
         (".lora_A.weight", ".lora_B.weight"), (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight")]


def by_comfy(path, table):
    """The changes that ComfyUI's rules find, and the keys that they leave."""
    got, used = {}, set()
    with safe_open(path, "pt") as f:
        keys = set(f.keys())
        for prefix, module in table.items():
            for down, up in PAIRS:
                if prefix + down in keys:
                    a, b = f.get_tensor(prefix + down).double(), f.get_tensor(prefix + up).double()
                    used |= {prefix + down, prefix + up}
                    scale = 1.0
                    if prefix + ".alpha" in keys:
                        scale = float(f.get_tensor(prefix + ".alpha")) / a.shape[0]
                        used.add(prefix + ".alpha")
                    got[module] = scale * (b.flatten(1) @ a.flatten(1)).reshape(b.shape[0], *a.shape[1:])
    return got, keys - used


def picture(pipe, kind):
    pipe.scheduler = DDIMScheduler.from_pretrained(ROOT / "tests/tiny" / kind / "scheduler")
    # The exports take whole timesteps, in float32 for sdxl.
    return np.asarray(pipe("a big red circle", height=32, width=32, num_inference_steps=10, guidance_scale=5.0,
                           generator=torch.Generator("cpu").manual_seed(5)).images[0], dtype=int)


def drawn(folder, model, *loras):
    flags = [x for file in loras for x in ("--lora", file)]
    winnow("generate", "--model", model, "--no-rank", "--quiet", "--scheduler", "ddim", "--steps", 10, "--guidance-scale", 5, "--height", 32, "--width", 32,
           "--seed", 5, "--output", folder / "p.png", *flags, "a big red circle")
    return np.asarray(Image.open(folder / "p.png").convert("RGB"), dtype=int)


def check(kind, tmp):
    (tmp / "built").mkdir(parents=True)
    pipelines.TINY = tmp / "built"
    pipe = pipelines.build(kind, ROOT / "tests/tiny/sd15/tokenizer")
    model, layers = ROOT / "tests/tiny" / kind, 1
    base = picture(pipe, kind)
    table = comfy_prefixes(pipe, kind, layers)
    for source, layouts in (("text", ["kohya", "kohya-sgm", "diffusers", "comfyui"]), ("attention", LAYOUTS), ("unet", LAYOUTS)):
        path = lora_text.make(kind, source, pipe, tmp / f"{source}.safetensors")
        want = truth(path, kind)
        for layout in layouts:
            if layout == "diffusers-old" and source != "attention":
                continue
            for dtype, tolerance in (("float32", 1e-5), ("float16", 2e-3)):
                out = tmp / source / dtype / layout
                if layout != "peft":
                    out.mkdir(parents=True)
                    out = out / "pytorch_lora_weights.safetensors"
                else:
                    out.parent.mkdir(parents=True, exist_ok=True)
                winnow("lora", "convert", path, out, "--to", layout, "--dtype", dtype, "--model", model)
                line = [f"{kind} {source} {layout} {dtype}: {len(want)} modules"]
                if layout == "peft":
                    line.append(f"PEFT {compare('PEFT', by_peft(pipe, out, kind), want, tolerance):.1e}")
                elif layout != "comfyui" and not (layout == "kohya-sgm" and kind == "sd15"):
                    line.append(f"diffusers {compare('diffusers', by_diffusers(pipe, out, kind), want, tolerance):.1e}")
                    if dtype == "float32":
                        there = picture(pipe, kind)
                        here = drawn(tmp, model, out)
                        line.append(f"pictures {np.abs(there - here).max()}/255 (adapter changes {np.abs(there - base).max()})")
                        assert np.abs(there - here).max() <= 2 and np.abs(there - base).max() > 10
                        if layout == "kohya":
                            winnow("lora", "merge", "--model", model, "--lora", out, "--output", tmp / f"merged-{source}", "--quiet")
                            merged = np.abs(there - drawn(tmp, tmp / f"merged-{source}")).max()
                            line.append(f"merged {merged}/255")
                            assert merged <= 2
                    pipe.unload_lora_weights()
                if layout != "peft":
                    got, left = by_comfy(out, table)
                    predicted = {r["tool"]: r["loads"] for r in json.loads(winnow("lora", "inspect", out, "--json", "--model", model))["readers"]}["ComfyUI"]
                    if left:
                        line.append(f"ComfyUI leaves {len(left)} tensors, forecast {predicted}")
                        assert predicted != "yes"
                    else:
                        line.append(f"ComfyUI {compare('ComfyUI', got, want, tolerance):.1e}")
                        assert predicted == "yes", predicted
                print("; ".join(line), flush=True)


def main():
    print("diffusers", __import__("diffusers").__version__, "peft", peft.__version__, "transformers", transformers.__version__)
    for kind in ("sd15", "sdxl"):
        with tempfile.TemporaryDirectory() as tmp:
            check(kind, pathlib.Path(tmp))


if __name__ == "__main__":
    main()
