"""Makes tests/tiny/{sd15,sd2,sdxl} and tests/golden/pipelines: random-weight diffusers pipelines, exported to ONNX, and
what diffusers makes with them.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/pipelines.py TOKENIZER_FOLDER

TOKENIZER_FOLDER holds vocab.json and merges.txt of a small CLIP tokenizer; after the first run tests/tiny/sd15/tokenizer
does. tests/golden/pipelines/README.md describes the results.

The weights are random, except that the last convolution of each U-Net is fitted by least squares to remove noise, so
that latents keep a natural size and depend on the prompt. All weights are rounded to float16 (so that a file may store
them in that type) and everything is computed in float32.
"""

import json
import logging
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import diffusers
import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
transformers.utils.logging.set_verbosity_error()
logging.getLogger("torch.onnx").setLevel(logging.ERROR)
torch.set_num_threads(1)

TINY = pathlib.Path("tests/tiny")
GOLDEN = pathlib.Path("tests/golden/pipelines")
LIMIT = 256 * 1024
LENGTH = 32
SEED = 1234
PROMPT = "a big red circle left of a small blue star"
NEGATIVE = "blurry, low quality"
PROMPTS = [
    PROMPT,
    "",
    "a red circle",
    "Two   blurry Unicorns!",
    "a photo of a dog's 3 colours, 42nd street",
    "three GREEN triangles on a white background",
    "naïve café – über straße",
    "日本語 and emoji 🙂",
    "a_b-c/d (e) [f] {g}: 50% & more...",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen",
]
SCHEDULERS = {
    "ddim": DDIMScheduler,
    "ddpm": DDPMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler-a": EulerAncestralDiscreteScheduler,
    "dpmpp-2m": DPMSolverMultistepScheduler,
    "pndm": PNDMScheduler,
}
SIZES = ((32, 32), (32, 48))
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


# ---- models ---------------------------------------------------------------------------------------------------------


def text_config(vocab, hidden, layers, act, eos, projection):
    return CLIPTextConfig(
        vocab_size=vocab, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=hidden // 8, max_position_embeddings=LENGTH, hidden_act=act, projection_dim=projection,
        bos_token_id=vocab - 2, eos_token_id=eos, pad_token_id=vocab - 1,
    )


def make_unet(kind):
    common = {
        "sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    if kind == "sd15":
        return UNet2DConditionModel(**common, cross_attention_dim=32, attention_head_dim=2)
    common["down_block_types"] = ("DownBlock2D", "CrossAttnDownBlock2D")
    common["up_block_types"] = ("CrossAttnUpBlock2D", "UpBlock2D")
    if kind == "sd2":
        return UNet2DConditionModel(**common, cross_attention_dim=32, attention_head_dim=(2, 4), use_linear_projection=True)
    return UNet2DConditionModel(
        **common, cross_attention_dim=72, attention_head_dim=(2, 4), use_linear_projection=True,
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24 + 6 * 8,
    )


def make_vae(scaling):
    return AutoencoderKL(
        block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, scaling_factor=scaling,
    )


def gain(model, factor, match=""):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim >= 2 and match in name:
                p.mul_(factor)


def round16(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.half().float())
    return model.eval()


@torch.no_grad()
def fit_unet(unet, kind, contexts):
    """Fits conv_out so that the network predicts the noise (or v) of smooth random latents."""
    g = torch.Generator().manual_seed(5)
    alpha_bar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)
    rows, targets, seen = [], [], {}
    hook = unet.conv_out.register_forward_pre_hook(lambda m, a: seen.__setitem__("x", a[0]))
    for k in range(48):
        clean = torch.nn.functional.interpolate(torch.randn(2, 4, 4, 4, generator=g), size=(8, 8), mode="bilinear")
        noise = torch.randn(2, 4, 8, 8, generator=g)
        t = torch.randint(0, 1000, (1,), generator=g)
        a, s = alpha_bar[t].sqrt().item(), (1 - alpha_bar[t]).sqrt().item()
        context, extra = contexts(k)
        unet(a * clean + s * noise, t, context, added_cond_kwargs=extra)
        rows.append(torch.nn.functional.unfold(seen["x"], 3, padding=1).transpose(1, 2).reshape(-1, 8 * 9))
        target = a * noise - s * clean if kind == "sd2" else noise
        targets.append(target.permute(0, 2, 3, 1).reshape(-1, 4))
    hook.remove()
    x = torch.cat([torch.cat(rows), torch.ones(len(rows) * 128, 1)], 1).double()
    y = torch.cat(targets).double()
    w = torch.linalg.solve(x.T @ x + 1e-4 * len(x) * torch.eye(73, dtype=torch.float64), x.T @ y)
    unet.conv_out.weight.copy_(w[:72].T.reshape(4, 8, 3, 3))
    unet.conv_out.bias.copy_(w[72])
    print(kind, "U-Net fit: remaining error", float(((x @ w - y) ** 2).mean()))


@torch.no_grad()
def fit_vae(vae):
    """Scales the decoder's last convolution so that pictures use the whole range."""
    z = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(6)) / vae.config.scaling_factor
    vae.decoder.conv_out.weight.mul_(0.6 / vae.decode(z).sample.std())
    vae.decoder.conv_out.bias.sub_(vae.decode(z).sample.mean((0, 2, 3)))


SCHEDULER_JSON = {
    # The file of Stable Diffusion 1.5: no timestep_spacing, so Euler and DPM-Solver take their own default.
    "sd15": {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", **BETAS, "skip_prk_steps": True,
             "set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False, "trained_betas": None},
    "sd2": {"_class_name": "DDIMScheduler", "_diffusers_version": "0.8.0", **BETAS, "prediction_type": "v_prediction",
            "set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False, "skip_prk_steps": True, "trained_betas": None},
    # The file of SDXL: leading is stored, so every scheduler inherits it.
    "sdxl": {"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", **BETAS, "clip_sample": False,
             "interpolation_type": "linear", "prediction_type": "epsilon", "sample_max_value": 1.0,
             "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading",
             "trained_betas": None, "use_karras_sigmas": False},
}


def save_tokenizer(source, folder, pad):
    folder.mkdir(parents=True, exist_ok=True)
    for f in ("vocab.json", "merges.txt"):
        if (source / f).resolve() != (folder / f).resolve():
            shutil.copyfile(source / f, folder / f)
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": pad}
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "tokenizer_config.json",
               {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "do_lower_case": True, "errors": "replace",
                "add_prefix_space": False, **special})
    return CLIPTokenizer.from_pretrained(folder)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def build(kind, tokenizer_source):
    torch.manual_seed({"sd15": 11, "sd2": 12, "sdxl": 13}[kind])
    folder = TINY / kind
    end = "<|endoftext|>"
    tok = save_tokenizer(tokenizer_source, folder / "tokenizer", "!" if kind == "sd2" else end)
    vocab = len(tok)
    parts = {"tokenizer": tok}
    act = {"sd15": "quick_gelu", "sd2": "gelu", "sdxl": "quick_gelu"}[kind]
    text = CLIPTextModel(text_config(vocab, 32, 2, act, vocab - 1, 32))
    gain(text, 3)
    parts["text_encoder"] = round16(text)
    if kind == "sdxl":
        parts["tokenizer_2"] = save_tokenizer(tokenizer_source, folder / "tokenizer_2", "!")
        # eos_token_id 2 is what older files say; the pooled token is then the one with the largest id.
        text2 = CLIPTextModelWithProjection(text_config(vocab, 40, 3, "gelu", 2, 24))
        gain(text2, 3)
        parts["text_encoder_2"] = round16(text2)
    unet = make_unet(kind)
    vae = make_vae(0.13025 if kind == "sdxl" else 0.18215)
    gain(vae, 1.7)
    fit_vae(vae)
    parts |= {"unet": unet, "vae": round16(vae)}
    pipe = pipeline(kind, parts)
    fit_unet(unet, kind, contexts_of(kind, pipe))
    round16(unet)
    return pipe


def pipeline(kind, parts):
    write_json(TINY / kind / "scheduler/scheduler_config.json", SCHEDULER_JSON[kind])
    cls = {c.__name__: c for c in SCHEDULERS.values()}[SCHEDULER_JSON[kind]["_class_name"]]
    scheduler = cls.from_pretrained(TINY / kind / "scheduler")
    if kind == "sdxl":
        pipe = StableDiffusionXLPipeline(**parts, scheduler=scheduler, add_watermarker=False)
    else:
        pipe = StableDiffusionPipeline(**parts, scheduler=scheduler, safety_checker=None, feature_extractor=None,
                                       requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def encode(kind, pipe, prompt, negative=None):
    out = pipe.encode_prompt(prompt=prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True,
                             negative_prompt=negative)
    return out if kind == "sdxl" else (*out, None, None)


def contexts_of(kind, pipe):
    encoded = [encode(kind, pipe, p) for p in PROMPTS]

    def at(k):
        e = encoded[k % len(encoded)]
        extra = None
        if kind == "sdxl":
            ids = torch.tensor([[32.0, 32, 0, 0, 32, 32]] * 2)
            extra = {"text_embeds": e[2].expand(2, -1), "time_ids": ids}
        return e[0].expand(2, -1, -1), extra

    return at


# ---- export ---------------------------------------------------------------------------------------------------------


class Text(torch.nn.Module):
    def __init__(self, m, hidden, projected):
        super().__init__()
        self.m, self.hidden, self.projected = m, hidden, projected

    def forward(self, input_ids):
        o = self.m(input_ids, output_hidden_states=self.hidden)
        first = (o.text_embeds, o.last_hidden_state) if self.projected else (o.last_hidden_state, o.pooler_output)
        return first + (tuple(o.hidden_states) if self.hidden else ())


class Unet(torch.nn.Module):
    def __init__(self, m, xl):
        super().__init__()
        self.m, self.xl = m, xl

    def forward(self, sample, timestep, encoder_hidden_states, text_embeds=None, time_ids=None):
        extra = {"text_embeds": text_embeds, "time_ids": time_ids} if self.xl else None
        return self.m(sample, timestep, encoder_hidden_states, added_cond_kwargs=extra, return_dict=False)[0]


class Decoder(torch.nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, latent_sample):
        return self.m.decode(latent_sample, return_dict=False)[0]


class Encoder(torch.nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, sample):
        return self.m.quant_conv(self.m.encoder(sample))


# How each pipeline is exported: exporter, opset, how weights are stored, type and rank of the timestep.
STYLE = {
    "sd15": {"dynamo": False, "opset": 17, "store": "float32", "timestep": "int64 scalar"},
    "sd2": {"dynamo": False, "opset": 14, "store": "float16", "timestep": "float32 [batch]"},
    "sdxl": {"dynamo": True, "opset": 20, "store": "float32", "timestep": "float32 scalar"},
}


def jobs(kind, pipe):
    g = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 700, (2, LENGTH), generator=g)
    ids[:, -1] = pipe.tokenizer.eos_token_id
    xl = kind == "sdxl"
    width = 72 if xl else 32
    step = {"int64 scalar": torch.tensor(500), "float32 [batch]": torch.tensor([500.5, 500.5]),
            "float32 scalar": torch.tensor(500.5)}[STYLE[kind]["timestep"]]
    unet_in = {"sample": torch.randn(2, 4, 8, 8, generator=g), "timestep": step,
               "encoder_hidden_states": torch.randn(2, LENGTH, width, generator=g)}
    unet_dyn = {"sample": {0: "batch", 2: "height", 3: "width"}, "encoder_hidden_states": {0: "batch", 1: "sequence"},
                "out_sample": {0: "batch", 2: "height", 3: "width"}}
    if step.ndim:
        unet_dyn["timestep"] = {0: "batch"}
    if xl:
        unet_in |= {"text_embeds": torch.randn(2, 24, generator=g), "time_ids": torch.rand(2, 6, generator=g) * 32}
        unet_dyn |= {"text_embeds": {0: "batch"}, "time_ids": {0: "batch"}}
    states = lambda n: [f"hidden_states.{i}" for i in range(n + 1)] if xl else []
    text_dyn = lambda names: {n: {0: "batch"} for n in ["input_ids", *names]}
    names = ["last_hidden_state", "pooler_output", *states(2)]
    out = {
        "text_encoder": (Text(pipe.text_encoder, xl, False), {"input_ids": ids}, names, text_dyn(names)),
        "unet": (Unet(pipe.unet, xl), unet_in, ["out_sample"], unet_dyn),
        "vae_decoder": (Decoder(pipe.vae), {"latent_sample": torch.randn(2, 4, 8, 8, generator=g)}, ["sample"],
                        {"latent_sample": {0: "batch", 2: "height", 3: "width"}, "sample": {0: "batch", 2: "H", 3: "W"}}),
        "vae_encoder": (Encoder(pipe.vae), {"sample": torch.rand(2, 3, 32, 32, generator=g) * 2 - 1}, ["latent_parameters"],
                        {"sample": {0: "batch", 2: "height", 3: "width"}, "latent_parameters": {0: "batch", 2: "h", 3: "w"}}),
    }
    if xl:
        names = ["text_embeds", "last_hidden_state", *states(3)]
        out["text_encoder_2"] = (Text(pipe.text_encoder_2, True, True), {"input_ids": ids}, names, text_dyn(names))
    return out


def export(module, inputs, outputs, dynamic, style, path):
    args = tuple(inputs.values())
    if not style["dynamo"]:
        torch.onnx.export(module, args, path, input_names=list(inputs), output_names=outputs, dynamic_axes=dynamic,
                          opset_version=style["opset"], dynamo=False, do_constant_folding=True)
        return onnx.load(path)
    dims = {}
    shapes = {k: {i: dims.setdefault(n, torch.export.Dim.DYNAMIC) for i, n in dynamic.get(k, {}).items()} for k in inputs}
    torch.onnx.export(module, (), path, kwargs=inputs, input_names=list(inputs), output_names=outputs,
                      dynamic_shapes=shapes, opset_version=style["opset"], dynamo=True, external_data=False, verbose=False)
    return onnx.load(path)


def clean(model):
    """Removes what only tells where the export was made."""
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for f in model.functions:
        raise SystemExit(f"unexpected local function {f.name}")
    for node in model.graph.node:
        node.doc_string = ""
        keep = [p for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
        kept = [(p.key, p.value) for p in keep]
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)
    for v in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        v.doc_string = ""
        del v.metadata_props[:]
    del model.graph.value_info[:]


def rename(model):
    """Takes the wrapper's attribute out of all names, which then read as in optimum's exports."""

    def short(name):
        if name.startswith("/m/"):
            return name[2:]
        return name[2:] if name.startswith("m.") else name

    for node in model.graph.node:
        node.name = short(node.name)
        for names in (node.input, node.output):
            names[:] = [short(n) for n in names]
    for t in model.graph.initializer:
        t.name = short(t.name)


def merge_constants(model):
    """Leaves one of several Constant nodes with the same value: TorchScript writes hundreds, too many for the limit."""
    first, replaced, nodes = {}, {}, []
    for node in model.graph.node:
        node.input[:] = [replaced.get(n, n) for n in node.input]
        if node.op_type == "Constant":
            key = node.attribute[0].SerializeToString(deterministic=True)
            if key in first:
                replaced[node.output[0]] = first[key]
                continue
            first[key] = node.output[0]
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def store_half(model):
    """Stores larger weights as float16 with a Cast, as tools do that keep float32 arithmetic."""
    casts, tensors = [], []
    for t in model.graph.initializer:
        if t.data_type == TensorProto.FLOAT and np.prod(t.dims) >= 64:
            half = numpy_helper.to_array(t).astype(np.float16)
            assert (half.astype(np.float32) == numpy_helper.to_array(t)).all(), t.name
            tensors.append(numpy_helper.from_array(half, t.name + "_fp16"))
            casts.append(helper.make_node("Cast", [t.name + "_fp16"], [t.name], name=t.name + "/Cast", to=TensorProto.FLOAT))
        else:
            tensors.append(t)
    nodes = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(tensors)
    model.graph.node.extend(casts + nodes)


def structure_size(model):
    return model.ByteSize() - sum(t.ByteSize() for t in model.graph.initializer)


def save(model, folder, style):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        if old.name != "config.json":
            old.unlink()
    path = folder / "model.onnx"
    onnx.checker.check_model(model)
    if model.ByteSize() > LIMIT - 4096 or style["dynamo"]:
        externalise(model, folder, "model.onnx.data" if style["dynamo"] else "model.onnx_data")
    path.write_bytes(model.SerializeToString(deterministic=True))
    for f in folder.iterdir():
        if f.stat().st_size > LIMIT:
            raise SystemExit(f"{f} has {f.stat().st_size} bytes, more than {LIMIT}")
    return path


def externalise(model, folder, name):
    """Moves weights of at least 100 bytes out of the model file, into as many files as the size limit needs."""
    data, part = bytearray(), 0

    def flush():
        nonlocal data, part
        (folder / (name if part == 0 else f"{name}_{part}")).write_bytes(data)
        data, part = bytearray(), part + 1

    for t in model.graph.initializer:
        raw = numpy_helper.to_array(t).tobytes()
        if len(raw) < 100:
            continue
        if len(data) + len(raw) > LIMIT - 4096:
            flush()
        t.raw_data = raw
        for field in ("float_data", "int32_data", "int64_data", "double_data"):
            t.ClearField(field)
        set_external_data(t, location=name if part == 0 else f"{name}_{part}", offset=len(data), length=len(raw))
        t.ClearField("raw_data")
        data += raw
        data += bytes(-len(data) % 64)
    flush()


@torch.no_grad()
def check(path, module, inputs, outputs):
    """Holds the file against the module, at another batch size and latent shape."""
    other = {}
    for k, v in inputs.items():
        v = torch.cat([v, v, v])[:3] if v.ndim else v
        other[k] = torch.cat([v, v], -1) if v.ndim == 4 else v
    want = module(**other)
    want = want if isinstance(want, tuple) else (want,)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    types = {i.name: (i.type, i.shape) for i in session.get_inputs()}
    got = session.run(outputs, {k: v.numpy() for k, v in other.items()})
    worst = max(float(np.abs(a - b.numpy()).max() / max(1e-6, b.abs().max())) for a, b in zip(got, want))
    print(f"  {path}: {path.stat().st_size} bytes, deviation {worst:.1e}", types.get("timestep", ""))
    assert worst < 2e-5, (path, worst)


def export_all(kind, pipe):
    style = STYLE[kind]
    with tempfile.TemporaryDirectory() as tmp, torch.no_grad():
        for name, (module, inputs, outputs, dynamic) in jobs(kind, pipe).items():
            module.eval()
            model = export(module, inputs, outputs, dynamic, style, os.path.join(tmp, name + ".onnx"))
            clean(model)
            rename(model)
            if structure_size(model) > LIMIT - 4096:
                merge_constants(model)
            if style["store"] == "float16":
                store_half(model)
            check(save(model, TINY / kind / name, style), module, inputs, outputs)
    folder = TINY / kind
    for name in ("text_encoder", "text_encoder_2"):
        if hasattr(pipe, name):
            write_json(folder / name / "config.json", config_of(getattr(pipe, name).config.to_dict()))
    write_json(folder / "unet/config.json", config_of(dict(pipe.unet.config)))
    for name in ("vae_decoder", "vae_encoder"):
        write_json(folder / name / "config.json", config_of(dict(pipe.vae.config)))
    write_json(folder / "model_index.json", index_of(kind))


def config_of(config):
    drop = ("_name_or_path", "_use_default_values", "transformers_version", "dtype")
    return {k: v for k, v in sorted(config.items()) if k not in drop}


def index_of(kind):
    out = {"_class_name": "StableDiffusionXLPipeline" if kind == "sdxl" else "StableDiffusionPipeline",
           "_diffusers_version": diffusers.__version__}
    for name in ("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae_decoder", "vae_encoder"):
        if (TINY / kind / name).is_dir():
            library = "transformers" if name.startswith("tokenizer") else "diffusers"
            cls = {"scheduler": SCHEDULER_JSON[kind]["_class_name"]}.get(name, "CLIPTokenizer" if library == "transformers" else "OnnxRuntimeModel")
            out[name] = [library, cls]
    if kind == "sdxl":
        out["force_zeros_for_empty_prompt"] = True
    return out


# ---- goldens --------------------------------------------------------------------------------------------------------


def cut_timesteps(pipe):
    """Makes the U-Net see what an int64 timestep input holds: fractions are cut off."""
    forward = pipe.unet.forward
    pipe.unet.forward = lambda sample, timestep, *a, **k: forward(sample, timestep.long(), *a, **k)


@torch.no_grad()
def generate(kind, pipe, case, tensors):
    pipe.scheduler = SCHEDULERS[case["scheduler"]].from_config(pipe.own_config)
    count = case.get("num_images", 1)
    generators = [torch.Generator("cpu").manual_seed(case["seed"] + i) for i in range(count)]
    extra = {k: case[k] for k in ("eta", "guidance_rescale") if k in case}
    latents = pipe(
        prompt=case["prompt"], negative_prompt=case.get("negative_prompt"), height=case["height"], width=case["width"],
        num_inference_steps=case["steps"], guidance_scale=case["guidance_scale"], num_images_per_prompt=count,
        generator=generators if count > 1 else generators[0], output_type="latent", **extra,
    ).images
    tensors[case["latents"]] = latents.float().contiguous()
    if "picture" in case:
        sample = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
        image = pipe.image_processor.postprocess(sample, output_type="np")
        tensors[case["sample"]] = sample.contiguous()
        tensors[case["picture"]] = torch.from_numpy((image * 255).round().astype("uint8")).contiguous()
    return latents


def cases_of(kind):
    out = []
    for scheduler in SCHEDULERS:
        for steps in (10, 25):
            for guidance in (1.0, 7.5):
                for height, width in SIZES:
                    out.append({"scheduler": scheduler, "steps": steps, "guidance_scale": guidance, "height": height,
                                "width": width, "seed": SEED, "prompt": PROMPT,
                                "latents": f"latents/{scheduler}/{steps}/{guidance:g}/{height}x{width}"})

    def more(name, **kw):
        base = {"scheduler": "euler-a", "steps": 10, "guidance_scale": 7.5, "height": 32, "width": 32, "seed": SEED, "prompt": PROMPT}
        case = {**base, **kw, "latents": f"latents/{name}"}
        if kw.pop("decode", False):
            case.pop("decode")
            case |= {"sample": f"decoded/{name}", "picture": f"picture/{name}"}
        out.append(case)

    more("batch", num_images=2, decode=True)
    more("batch-ddpm", num_images=2, scheduler="ddpm", width=48)
    more("negative", negative_prompt=NEGATIVE, scheduler="ddim", decode=True)
    more("other-prompt", prompt=PROMPTS[5], scheduler="ddim")
    more("other-seed", seed=99, scheduler="dpmpp-2m", width=48, decode=True)
    more("large-seed", seed=2**40 + 17, scheduler="ddim")
    more("eta", eta=0.6, scheduler="ddim", steps=25)
    more("rescale", guidance_rescale=0.7, scheduler="ddim")
    more("one-step", steps=1, scheduler="dpmpp-2m", guidance_scale=3.0)
    return out


def generate_all(kind, pipe, tensors):
    if STYLE[kind]["timestep"].startswith("int64"):
        cut_timesteps(pipe)
    for case in cases_of(kind):
        generate(kind, pipe, case, tensors)


@torch.no_grad()
def texts(kind, pipe, tensors):
    for i, prompt in enumerate(PROMPTS):
        for name in ("tokenizer", "tokenizer_2") if kind == "sdxl" else ("tokenizer",):
            ids = getattr(pipe, name)(prompt, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids
            tensors[f"{name}/{i}"] = ids[0]
        e = encode(kind, pipe, prompt)
        tensors[f"prompt_embeds/{i}"] = e[0][0].contiguous()
        if kind == "sdxl":
            tensors[f"pooled_prompt_embeds/{i}"] = e[2][0].contiguous()


@torch.no_grad()
def single_calls(kind, pipe, tensors):
    for name, (module, inputs, outputs, _) in jobs(kind, pipe).items():
        got = module(**inputs)
        for k, v in inputs.items():
            tensors[f"{name}/in/{k}"] = v.clone()
        for k, v in zip(outputs, got if isinstance(got, tuple) else (got,)):
            tensors[f"{name}/out/{k}"] = v.contiguous()


def report(kind, tensors):
    base = tensors["latents/ddim/10/7.5/32x32"]
    for name in ("latents/other-prompt", "latents/negative", "latents/ddim/10/1/32x32"):
        d = (tensors[name] - base).abs().max() / base.abs().max()
        print(f"  {name} differs by {d:.3f}; size {base.std():.2f}")
        assert d > 0.02, "prompts make no difference"
    for name, t in tensors.items():
        if name.startswith("picture/"):
            print("  ", name, tuple(t.shape), "std", t.float().std().item())
            assert t.float().std() > 10, "flat picture"


def conditioning(kind, pipe, tensors):
    """How much float32 rounding shows: the same run in double precision."""
    case = {"scheduler": "ddim", "steps": 25, "guidance_scale": 7.5, "height": 32, "width": 48, "seed": SEED, "prompt": PROMPT, "latents": "x"}
    generator = torch.Generator("cpu").manual_seed(SEED)
    noise = torch.randn(1, 4, 8, 12, generator=generator).double()
    pipe.scheduler = SCHEDULERS["ddim"].from_config(pipe.own_config)
    parts = [pipe.unet, pipe.text_encoder] + ([pipe.text_encoder_2] if kind == "sdxl" else [])
    for m in parts:
        m.double()
    got = pipe(prompt=PROMPT, height=32, width=48, num_inference_steps=25, guidance_scale=7.5, latents=noise, output_type="latent").images
    for m in parts:
        m.float()
    want = tensors["latents/ddim/25/7.5/32x48"]
    deviation = float((got.float() - want).abs().max() / want.abs().max())
    print(f"  {kind}: float32 against float64, ddim 25 steps: {deviation:.1e}")
    return deviation


def write_goldens(kind, part, tensors, origin):
    """Writes safetensors by hand: the library's order of metadata changes from run to run."""
    header, data = {"__metadata__": origin}, bytearray()
    for name in sorted(tensors, key=lambda n: (-tensors[n].element_size(), n)):  # so that every tensor is aligned
        a = np.asarray(tensors[name].numpy(), order="C")
        begin = len(data)
        data += a.tobytes()
        header[name] = {"dtype": {"float32": "F32", "int64": "I64", "uint8": "U8"}[str(a.dtype)], "shape": list(a.shape),
                        "data_offsets": [begin, begin + a.nbytes]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = GOLDEN / f"{kind}-{part}.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    print("  ", path, path.stat().st_size, "bytes,", len(tensors), "tensors")
    if path.stat().st_size > LIMIT:
        raise SystemExit(f"{path} is too large")


def main():
    source = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else TINY / "sd15/tokenizer")
    GOLDEN.mkdir(parents=True, exist_ok=True)
    origin = {"made_by": "OMP_NUM_THREADS=1 python tests/oracle/pipelines.py", "torch": torch.__version__,
              "diffusers": diffusers.__version__, "transformers": transformers.__version__, "onnx": onnx.__version__,
              "onnxruntime": onnxruntime.__version__}
    for kind in ("sd15", "sd2", "sdxl"):
        pipe = build(kind, source)
        export_all(kind, pipe)
        text, calls, latents = {}, {}, {}
        texts(kind, pipe, text)
        single_calls(kind, pipe, calls)
        pipe.own_config = pipe.scheduler.config
        generate_all(kind, pipe, latents)
        deviation = conditioning(kind, pipe, latents)
        report(kind, latents)
        write_json(GOLDEN / f"{kind}.json", {**origin, "style": STYLE[kind], "float32_deviation": deviation,
                                             "prompts": PROMPTS, "cases": cases_of(kind)})
        for part, tensors in (("text", text), ("calls", calls), ("latents", latents)):
            write_goldens(kind, part, tensors, origin)


if __name__ == "__main__":
    main()
