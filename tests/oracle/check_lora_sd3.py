"""Checks files of adapters that winnow trains for Stable Diffusion 3 in diffusers and PEFT. Not part of `go test`.

    go build -o ./winnow ./cmd/winnow && OMP_NUM_THREADS=1 python tests/oracle/check_lora_sd3.py ./winnow

It labels pictures of tests/tiny/sd3, trains Flow-DPO on them, of the transformer alone and with both CLIPs, and lets `winnow lora convert` write
the other layouts that a transformer has, in float32 and float16. diffusers' load_lora_weights, or PEFT's from_pretrained, reads each, no key missing
and none left over, and every change of a weight is compared with that of the trained file. Then final latents of diffusers and of
`winnow generate --lora` are compared.
"""

import pathlib
import re
import sys
import tempfile

import check_lora
import lora_sd3
import peft
import torch
from check_lora import Warnings, changes, compare, winnow
from safetensors import safe_open
from safetensors.torch import load_file

MODEL = pathlib.Path("tests/tiny/sd3").resolve()
JOINT = ",".join(lora_sd3.JOINT)
NETWORKS = ("transformer", "text_encoder", "text_encoder_2")
RUN = {"height": 32, "width": 32, "num_inference_steps": 10, "guidance_scale": 5.0}


def truth(path):
    """B@A by network and module: alpha is the rank in this layout."""
    out = {}
    with safe_open(path, "pt") as f:
        for key in f.keys():
            if m := re.fullmatch(r"(.*)\.(lora_A|lora_linear_layer\.down)\.weight", key):
                up = key.replace("lora_A", "lora_B").replace("layer.down", "layer.up")
                out[m[1]] = f.get_tensor(up).double() @ f.get_tensor(key).double()
    return out


def full(network, name):
    return f"{network}.{'' if network == 'transformer' or name.startswith('text_') else 'text_model.'}{name}"


def by_diffusers(path):
    pipe, caught = lora_sd3.build(), Warnings()
    for name in ("diffusers", "peft", "transformers"):
        check_lora.logging.getLogger(name).addHandler(caught)
    pipe.load_lora_weights(str(path.parent), weight_name=path.name)
    bad = [line for line in caught.lines if ("unexpected" in line.lower() or "missing" in line.lower()) and "no lora keys associated" not in line.lower()]
    assert not bad, bad
    return pipe, {full(n, k): v for n in NETWORKS for k, v in changes(getattr(pipe, n)).items()}


@torch.no_grad()
def latents(pipe):
    return pipe(lora_sd3.RUN["prompt"], **RUN, output_type="latent", generator=torch.Generator("cpu").manual_seed(5)).images


def drawn(tmp, file):
    winnow("generate", "--model", MODEL, "--no-rank", "--quiet", "--steps", 10, "--guidance-scale", 5, "--seed", 5, "--output", tmp / "p.png",
           "--save-latents", tmp / "l.safetensors", "--lora", file, lora_sd3.RUN["prompt"])
    return load_file(tmp / "l.safetensors")["latents"]


def check(tmp, name, *flags):
    winnow("train", "flow-dpo", "--model", MODEL, "--data", tmp / "pairs.parquet", "--output", tmp / name, "--max-train-steps", 20, "--train-batch-size", 2,
           "--learning-rate", 0.01, "--rank", 4, "--lora-alpha", 6, "--target-modules", JOINT, "--quiet", *flags)
    source = tmp / name / "pytorch_lora_weights.safetensors"
    want = truth(source)
    for layout in ("diffusers", *([] if flags else ["peft"])):
        for dtype, tolerance in (("float32", 1e-5), ("float16", 2e-3)):
            out = tmp / f"{name}-{layout}-{dtype}"
            if layout == "peft":
                winnow("lora", "convert", source, out, "--to", layout, "--dtype", dtype, "--model", MODEL)
                net = peft.PeftModel.from_pretrained(lora_sd3.build().transformer, out)
                print(name, layout, dtype, f"{len(want)} modules, PEFT {compare('PEFT', {full('transformer', k): v for k, v in changes(net).items()}, want, tolerance):.1e}")
                continue
            out.mkdir()
            winnow("lora", "convert", source, out / source.name, "--to", layout, "--dtype", dtype, "--model", MODEL)
            pipe, got = by_diffusers(out / source.name)
            there, here, plain = latents(pipe), drawn(tmp, out / source.name), latents(lora_sd3.build())
            off, moved = float((here - there).norm() / there.norm()), float((there - plain).norm() / plain.norm())
            print(name, layout, dtype, f"{len(want)} modules, diffusers {compare('diffusers', got, want, tolerance):.1e}, latents {off:.1e}, adapter {moved:.1e}")
            assert off < 1e-5 and moved > 0.01


def main():
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        (tmp / "prompts.txt").write_text("a big red circle\na small blue star\nthree green triangles\na red square\n")
        winnow("label", "--model", MODEL, "--prompts", tmp / "prompts.txt", "--num-images", 3, "--steps", 6, "--reward", "jpeg-size", "--output",
               tmp / "pairs.parquet", "--quiet")
        check(tmp, "transformer")
        check(tmp, "text", "--train-text-encoder")


if __name__ == "__main__":
    main()
