"""Makes tests/golden/lora: small adapters in the layouts in use, and final latents of diffusers and PEFT under them.

    OMP_NUM_THREADS=1 python tests/oracle/lora.py

For sd15 and sdxl it builds the pipeline of tests/oracle/pipelines.py again, makes sure that it is the one in tests/tiny, writes
KIND-diffusers, KIND-old, KIND-kohya (sdxl: with the block names of Stability's code) and KIND-peft (a folder), loads each
with diffusers' load_lora_weights or PEFT's from_pretrained, and runs the loop of tests/oracle/guided.py. Plain guidance is also
run by diffusers' pipeline itself, which must agree.
"""

import base64
import copy
import json
import pathlib
import re
import tempfile

import guided
import numpy as np
import onnxruntime
import peft
import pipelines
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from sgm import sgm

ROOT = pathlib.Path(".").resolve()
GOLDEN = pathlib.Path("tests/golden/lora")
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
MORE = [*ATTENTION, "proj_in", "ff.net.0.proj", "ff.net.2", "conv1", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv", "conv_shortcut"]
ADAPTERS = {
    "diffusers": {"r": 3, "lora_alpha": 4.5, "target_modules": ATTENTION, "alpha_pattern": {"attn2.to_q": 6.0}},
    "old": {"r": 2, "lora_alpha": 2, "target_modules": ATTENTION},
    "kohya": {"r": 2, "lora_alpha": 1, "target_modules": MORE},
    "peft": {"r": 2, "lora_alpha": 3, "target_modules": ["to_v", "proj_out", "conv2"], "use_rslora": True},
}


def one(file, scale=1.0, side=""):
    return {"file": file, "scale": scale, "side": side}


CASES = [
    {"name": "diffusers", "guidance": "cfg", "scale": 5.0, "lora": [one("diffusers")]},
    {"name": "old", "guidance": "cfg", "scale": 5.0, "lora": [one("old", 0.8)], "scheduler": "euler"},
    {"name": "kohya", "guidance": "cfg", "scale": 5.0, "lora": [one("kohya", 0.7)]},
    {"name": "peft", "guidance": "cfg", "scale": 5.0, "lora": [one("peft", 1.0)]},
    {"name": "sum", "guidance": "cfg", "scale": 3.0, "lora": [one("diffusers", 0.5), one("kohya", -0.3)]},
    {"name": "chats", "guidance": "chats", "scale": 3.0, "lora": [one("diffusers", 1.0, "positive"), one("kohya", 1.0, "negative")]},
    {"name": "chats-more", "guidance": "chats", "scale": 2.0, "alpha": 0.3, "share": [0.3, 1.0],
     "lora": [one("old", 0.5), one("diffusers", 0.9, "positive"), one("kohya", 0.6, "negative")]},
    {"name": "auto-base", "guidance": "auto", "scale": 2.5, "lora": [one("diffusers", 1.0, "positive")]},
    {"name": "auto-weak", "guidance": "auto", "scale": 2.5, "lora": [one("diffusers", 1.0, "positive"), one("old", 1.0, "negative")]},
]


def make(unet, name, seed):
    """A copy of the U-Net with an adapter of random factors, both halves rounded to float16."""
    torch.manual_seed(seed)
    model = get_peft_model(copy.deepcopy(unet), LoraConfig(**ADAPTERS[name]))
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_" in key:
                fan = p[0].numel() if "lora_A" in key else 4 * p.shape[1]
                p.copy_((torch.randn(p.shape) / fan**0.5).half().float())
    return model


def save(kind, name, model):
    """Writes the adapter in its layout and returns the path."""
    path = GOLDEN / f"{kind}-{name}.safetensors"
    factors = {re.sub(r"^base_model\.model\.", "", k): v.contiguous() for k, v in get_peft_model_state_dict(model).items()}
    config = ADAPTERS[name]
    if name == "peft":
        folder = GOLDEN / f"{kind}-peft"
        model.save_pretrained(folder)
        (folder / "README.md").unlink()
        keep = json.loads((folder / "adapter_config.json").read_text())
        keep = {k: keep[k] for k in ("peft_type", "r", "lora_alpha", "target_modules", "use_rslora", "lora_dropout", "bias")}
        pipelines.write_json(folder / "adapter_config.json", {**keep, "target_modules": sorted(keep["target_modules"])})
        return folder
    out, metadata = {}, {"format": "pt"}
    for key, v in factors.items():
        module, half = re.fullmatch(r"(.*)\.lora_([AB])\.weight", key).groups()
        half = {"A": "down", "B": "up"}[half]
        if name == "diffusers":
            out[f"unet.{module}.lora.{half}.weight"] = v
        elif name == "old":
            head, last = re.fullmatch(r"(.*)\.(to_q|to_k|to_v|to_out\.0)", module).groups()
            out[f"unet.{head}.processor.{last.removesuffix('.0')}_lora.{half}.weight"] = v
        else:
            flat = "lora_unet_" + (sgm(module) if kind == "sdxl" else module).replace(".", "_")
            out[f"{flat}.lora_{half}.weight"] = v.half()
            out[f"{flat}.alpha"] = torch.tensor(float(config["lora_alpha"]))
    if name == "diffusers":
        # One key alone: the library's order of several changes from run to run.
        metadata = {"lora_adapter_metadata": json.dumps({f"unet.{k}": v for k, v in config.items()}, sort_keys=True)}
    save_file(out, path, metadata)
    return path


def same_as_committed(kind, pipe):
    module, inputs, outputs, _ = pipelines.jobs(kind, pipe)["unet"]
    session = onnxruntime.InferenceSession(str(ROOT / "tests/tiny" / kind / "unet/model.onnx"))
    got = session.run(outputs, {k: v.numpy() for k, v in inputs.items()})[0]
    want = module(**inputs).numpy()
    off = np.abs(got - want).max() / np.abs(want).max()
    assert off < 2e-6, f"{kind}: the U-Net built here is not the one in tests/tiny ({off})"


class Network:
    """The U-Net of diffusers with adapters loaded, as a network of tests/oracle/guided.py."""

    def __init__(self, kind, pipe, files):
        self.kind, self.pipe = kind, pipe
        for name, path in files.items():
            if name != "peft":
                pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name)
        self.peft = None

    def load_peft(self, unet, folder):
        self.peft = PeftModel.from_pretrained(unet, folder)

    def predict(self, x, t, embeds, adapters):
        hidden, pooled = (None if v is None else torch.from_numpy(v) for v in embeds)
        step = torch.tensor(int(t)) if self.kind == "sd15" else torch.tensor(t, dtype=torch.float32)
        extra = None
        if pooled is not None:
            extra = {"text_embeds": pooled, "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]])}
        net = self.pipe.unet
        if [a["file"] for a in adapters] == ["peft"]:
            net = self.peft
        elif adapters:
            self.pipe.enable_lora()
            self.pipe.set_adapters([a["file"] for a in adapters], [a["scale"] for a in adapters])
        else:
            self.pipe.disable_lora()
        with torch.no_grad():
            return net(torch.from_numpy(np.ascontiguousarray(x)), step, hidden, added_cond_kwargs=extra).sample.numpy()

    def side(self, case, name):
        adapters = [a for a in case["lora"] if a["side"] in ("", name)]
        return lambda x, t, embeds: self.predict(x, t, embeds, adapters)


def by_pipeline(kind, network, case):
    """The same pictures by diffusers' pipeline."""
    pipe = network.pipe
    pipe.enable_lora()
    pipe.set_adapters([a["file"] for a in case["lora"]], [a["scale"] for a in case["lora"]])
    pipe.scheduler = guided.SCHEDULERS[case.get("scheduler", "ddim")].from_pretrained(ROOT / "tests/tiny" / kind / "scheduler")
    forward = pipe.unet.forward
    if kind == "sd15":
        pipe.unet.forward = lambda sample, timestep, *a, **k: forward(sample, timestep.long(), *a, **k)
    out = [pipe(p, height=32, width=32, num_inference_steps=10, guidance_scale=case["scale"], output_type="latent",
                generator=torch.Generator("cpu").manual_seed(guided.SEED)).images for p in guided.PROMPTS]
    pipe.unet.forward = forward
    return torch.cat(out).numpy()


def decode(case):
    return np.frombuffer(base64.b64decode(case["latents"]), "<f4")


def distance(a, b):
    return float(np.linalg.norm(a.ravel() - b.ravel()) / np.linalg.norm(b))


@torch.no_grad()
def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)  # lora_text.py writes there, too
    for kind in ("sd15", "sdxl"):
        with tempfile.TemporaryDirectory() as tmp:
            pipelines.TINY = pathlib.Path(tmp)
            pipe = pipelines.build(kind, ROOT / "tests/tiny/sd15/tokenizer")
        same_as_committed(kind, pipe)
        plain = copy.deepcopy(pipe.unet)
        files = {name: save(kind, name, make(plain, name, seed)) for seed, name in enumerate(ADAPTERS)}
        network = Network(kind, pipe, files)
        network.load_peft(copy.deepcopy(plain), files["peft"])
        folder = guided.Folder(kind)
        base = guided.pictures({**CASES[0], "lora": []}, kind, folder, *(lambda *a: network.predict(*a, []),) * 2)
        done = []
        for case in CASES:
            got = guided.pictures(case, kind, folder, network.side(case, "positive"), network.side(case, "negative"))
            print(f"  {kind} {case['name']}: {distance(decode(got), decode(base)):.2f} from no adapter, scale {np.abs(decode(got)).max():.1f}")
            assert distance(decode(got), decode(base)) > 0.02
            if case["guidance"] == "cfg" and case["name"] != "peft":
                off = distance(by_pipeline(kind, network, case), decode(got))
                assert off < 5e-6, f"{case['name']}: diffusers' pipeline differs by {off}"
            done.append(got)
        guided.write(GOLDEN / f"{kind}.json", done, made_by="OMP_NUM_THREADS=1 python tests/oracle/lora.py", peft=peft.__version__)


if __name__ == "__main__":
    main()
