#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = ["torch>=2.4", "transformers>=4.45", "diffusers>=0.30", "onnx>=1.16", "timm>=1.0", "open_clip_torch>=2.24", "numpy", "pillow", "safetensors"]
# ///
"""Writes the folders of ONNX files that winnow reads, from original checkpoints.

    uv run export_onnx.py pickscore   yuvalkirstain/PickScore_v1 out/pickscore
    uv run export_onnx.py hpsv2       HPS_v2.1_compressed.pt     out/hpsv2.1  --version 2.1
    uv run export_onnx.py clipscore   openai/clip-vit-base-patch32 out/clipscore --variant vit-b-32
    uv run export_onnx.py clip        openai/clip-vit-base-patch32 out/clip
    uv run export_onnx.py siglip      google/siglip-base-patch16-224 out/siglip
    uv run export_onnx.py aesthetic   openai/clip-vit-large-patch14 out/aesthetic --head sac+logos+ava1-l14-linearMSE.pth
    uv run export_onnx.py imagereward ImageReward.pt             out/imagereward --tokenizer google-bert/bert-base-uncased
    uv run export_onnx.py diffusion   stable-diffusion-v1-5/stable-diffusion-v1-5 out/sd15

A model is a local folder or whatever from_pretrained takes; a checkpoint is a local file. All networks are written in
float32 with a free batch size. Python is needed for this step only.
"""

import argparse
import json
import os
import shutil
import tempfile

import torch

OPSET = 17
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
IMAGEREWARD_MEAN, IMAGEREWARD_STD = 0.16717362830052426, 1.0333394966054072


# --- files -----------------------------------------------------------------------------------------------------------

def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def export(module, args, path, inputs, outputs, dynamic=None):
    """Writes one network. dynamic names the free dimensions of inputs and outputs; without it dimension 0 is free."""
    import onnx

    os.makedirs(os.path.dirname(path), exist_ok=True)
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no ONNX form
    axes = dynamic or {name: {0: "batch"} for name in [*inputs, *outputs]}
    with torch.no_grad(), tempfile.TemporaryDirectory() as tmp:
        raw = os.path.join(tmp, "model.onnx")
        torch.onnx.export(module.eval().float(), args, raw, input_names=inputs, output_names=outputs, dynamic_axes=axes,
                          opset_version=OPSET, dynamo=False)
        model = onnx.load(raw)
        for node in model.graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        size = sum(len(t.raw_data) for t in model.graph.initializer)
        if size < 1 << 30:
            onnx.save(model, path)
        else:  # protobuf ends at 2 GiB
            onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=os.path.basename(path) + ".data")


def write_reward(out, **fields):
    """reward.json: which reward this is. The program checks the name, so that versions cannot be confused."""
    os.makedirs(out, exist_ok=True)
    write_json(f"{out}/reward.json", fields)


def save_processor(out, side, mean=CLIP_MEAN, std=CLIP_STD, squash=False):
    """preprocessor_config.json: resize the shorter side and crop, or squash to a square."""
    kind = "SiglipImageProcessor" if squash else "CLIPImageProcessor"
    config = dict(image_processor_type=kind, do_resize=True, do_rescale=True, do_normalize=True, resample=3,
                  rescale_factor=1 / 255, image_mean=list(mean), image_std=list(std), do_center_crop=not squash)
    config["size"] = {"height": side, "width": side} if squash else {"shortest_edge": side}
    if not squash:
        config["crop_size"] = {"height": side, "width": side}
    write_json(f"{out}/preprocessor_config.json", config)


def save_bpe(out, vocab, merges, bos, eos, length):
    """vocab.json, merges.txt and the names of the special tokens."""
    os.makedirs(out, exist_ok=True)
    write_json(f"{out}/vocab.json", vocab)
    save_merges(out, merges)
    write_json(f"{out}/tokenizer_config.json", dict(tokenizer_class="CLIPTokenizer", model_max_length=length, bos_token=bos,
                                                    eos_token=eos, unk_token=eos, pad_token=eos))


def save_merges(out, merges):
    with open(f"{out}/merges.txt", "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))


def save_tokenizer(out, tokenizer):
    """The tokenizer's files, vocab.json and merges.txt among them, which transformers 5 leaves out."""
    tokenizer.save_pretrained(out)
    if os.path.exists(f"{out}/vocab.json"):
        return
    with open(f"{out}/tokenizer.json", encoding="utf-8") as f:
        model = json.load(f)["model"]
    write_json(f"{out}/vocab.json", model["vocab"])
    save_merges(out, model["merges"])


def require(state, module, what):
    """Loads a state dict: a missing key is an error, unused keys are listed."""
    missing, unused = module.load_state_dict(state, strict=False)
    missing = [k for k in missing if not k.endswith(("position_ids", "attn_mask"))]
    if missing:
        raise SystemExit(f"{what}: the checkpoint lacks {len(missing)} keys, first {missing[:5]}; is it the right file?")
    if unused:
        print(f"{what}: {len(unused)} keys of the checkpoint are not used, first {unused[:5]}")


# --- dual encoders ---------------------------------------------------------------------------------------------------

class Function(torch.nn.Module):
    """A module whose forward is a function over another module."""

    def __init__(self, model, call):
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *args):
        return self.call(self.model, *args)


def hf_text(m, ids):
    return m.text_projection(m.text_model(input_ids=ids).pooler_output)


def hf_image(m, pixels):
    return m.visual_projection(m.vision_model(pixel_values=pixels).pooler_output)


def export_dual(out, model, text, image, length, side):
    """text_model.onnx: input_ids → text_embeds; vision_model.onnx: pixel_values → image_embeds. Neither is normalised."""
    ids = torch.ones(2, length, dtype=torch.int64)
    ids[:, -1] = 2
    if text is not None:
        export(Function(model, text), (ids,), f"{out}/text_model.onnx", ["input_ids"], ["text_embeds"])
    export(Function(model, image), (torch.zeros(2, 3, side, side),), f"{out}/vision_model.onnx", ["pixel_values"], ["image_embeds"])


def export_clip(out, model, tokenizer, name="clip", formula="exp(logit_scale)·cos(text, image)", preprocess="processor"):
    """Any transformers CLIPModel. tokenizer is a CLIPTokenizer."""
    side, length = model.config.vision_config.image_size, model.config.text_config.max_position_embeddings
    write_reward(out, name=name, kind="dual", formula=formula, logit_scale=float(model.logit_scale.exp()), max_tokens=length,
                 preprocess=preprocess, image_size=side)
    save_processor(out, side)
    save_tokenizer(out, tokenizer)
    export_dual(out, model, hf_text, hf_image, length, side)


def export_hpsv2(out, model, tokenizer, version):
    """An open_clip CLIP and its SimpleTokenizer. The score is the plain cosine of the two features."""
    side = model.visual.image_size
    side = side[0] if isinstance(side, (tuple, list)) else side
    write_reward(out, name="hpsv2" if version == "2.0" else "hpsv2.1", kind="dual", formula="cos(text, image)",
                 max_tokens=model.context_length, preprocess="letterbox", image_size=side)
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
    save_bpe(out, tokenizer.encoder, [m for m in merges if len(m) == 2], "<start_of_text>", "<end_of_text>", model.context_length)
    export_dual(out, model, lambda m, ids: m.encode_text(ids), lambda m, px: m.encode_image(px), model.context_length, side)


def export_siglip(out, model, tokenizer):
    """A transformers SiglipModel with its SiglipTokenizer; the score is the logit, whose sigmoid is a probability."""
    v, t = model.config.vision_config, model.config.text_config
    write_reward(out, name="siglip", kind="dual", formula="exp(logit_scale)·cos(text, image) + logit_bias",
                 logit_scale=float(model.logit_scale.exp()), logit_bias=float(model.logit_bias), max_tokens=t.max_position_embeddings,
                 preprocess="processor", image_size=v.image_size)
    save_processor(out, v.image_size, [0.5] * 3, [0.5] * 3, squash=True)
    tokenizer.save_pretrained(out)
    export_dual(out, model, lambda m, ids: m.text_model(input_ids=ids).pooler_output,
                lambda m, px: m.vision_model(pixel_values=px).pooler_output, t.max_position_embeddings, v.image_size)


# --- heads -----------------------------------------------------------------------------------------------------------

def fold(state, prefix, layers):
    """Multiplies linear layers without activations into one vector and one number, in float64."""
    weight = bias = None
    for i in layers:
        w, b = state[f"{prefix}{i}.weight"].double(), state[f"{prefix}{i}.bias"].double()
        weight, bias = (w, b) if weight is None else (w @ weight, w @ bias + b)
    return weight[0], float(bias[0])


def export_aesthetic(out, clip, head):
    """LAION's predictor: a linear head (its five layers folded) on the image feature of length one."""
    side = clip.config.vision_config.image_size
    unknown = [k for k in head if not k.startswith("layers.")]
    if unknown or "layers.7.weight" not in head:
        raise SystemExit(f"the head has the keys {sorted(head)[:6]}; want layers.0, 2, 4, 6 and 7 of the v2 linearMSE head")
    weight, bias = fold(head, "layers.", (0, 2, 4, 6, 7))
    write_reward(out, name="aesthetic-v2", kind="head", formula="w·image/|image| + b", preprocess="torchvision", image_size=side,
                 head=dict(weight=weight.tolist(), bias=bias))
    export_dual(out, clip, None, hf_image, 2, side)


class ImageReward(torch.nn.Module):
    """BLIP's ViT, BERT with cross attention on its tokens, and the folded head."""

    def __init__(self, vision, text, weight, bias):
        super().__init__()
        self.vision, self.text = vision, text
        self.register_buffer("weight", weight.float())
        self.bias = bias

    def forward(self, ids, mask, pixels):
        tokens = self.vision.forward_features(pixels)
        seen = torch.ones(tokens.shape[:2], dtype=torch.int64)
        h = self.text(input_ids=ids, attention_mask=mask, encoder_hidden_states=tokens, encoder_attention_mask=seen,
                      return_dict=True).last_hidden_state[:, 0]
        return h @ self.weight + self.bias


def imagereward_networks(size="large", image_size=224, vocab=30524, **tiny):
    """The two networks, to be filled from a checkpoint. tiny overrides sizes, for tests."""
    import timm.models.vision_transformer as vit
    from transformers import BlipTextConfig, BlipTextModel

    v = dict(img_size=image_size, patch_size=16, embed_dim=1024, depth=24, num_heads=16) | tiny.get("vision", {})
    vision = vit.VisionTransformer(**v, qkv_bias=True, num_classes=0, global_pool="")
    for block in vision.blocks:
        block.attn.fused_attn = False
    t = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, max_position_embeddings=512) | tiny.get("text", {})
    config = BlipTextConfig(vocab_size=vocab, encoder_hidden_size=v["embed_dim"], is_decoder=True, hidden_act="gelu", layer_norm_eps=1e-12, **t)
    config._attn_implementation = "eager"
    return vision, BlipTextModel(config, add_pooling_layer=False)


def export_imagereward(out, vision, text, head, vocab_file, length=35):
    """head is the state dict of mlp.layers.*; vocab_file is the vocab.txt of the BERT tokenizer."""
    side = vision.patch_embed.img_size[0]
    weight, bias = fold(head, "layers.", (0, 2, 4, 6, 7))
    net = ImageReward(vision, text, weight / IMAGEREWARD_STD, (bias - IMAGEREWARD_MEAN) / IMAGEREWARD_STD)
    write_reward(out, name="imagereward-v1.0", kind="pair", formula="(head(BLIP(image, text)) - 0.16717362830052426) / 1.0333394966054072",
                 max_tokens=length, preprocess="torchvision", image_size=side)
    shutil.copy(vocab_file, f"{out}/vocab.txt")
    write_json(f"{out}/tokenizer_config.json", dict(tokenizer_class="BertTokenizer", do_lower_case=True, model_max_length=length))
    ids = torch.ones(2, length, dtype=torch.int64)
    export(net, (ids, ids, torch.zeros(2, 3, side, side)), f"{out}/model.onnx", ["input_ids", "attention_mask", "pixel_values"], ["reward"])


# --- diffusion pipelines ---------------------------------------------------------------------------------------------

def export_diffusion(out, pipe):
    """A diffusers Stable Diffusion 1, 2, XL or 3 pipeline, in the layout of optimum."""
    os.makedirs(out, exist_ok=True)
    pipe.save_config(out)
    pipe.scheduler.save_pretrained(f"{out}/scheduler")
    for name in ("tokenizer", "tokenizer_2"):
        if getattr(pipe, name, None) is not None:
            save_tokenizer(f"{out}/{name}", getattr(pipe, name))
    if getattr(pipe, "tokenizer_3", None) is not None:
        pipe.tokenizer_3.save_pretrained(f"{out}/tokenizer_3")
    pipe.vae.set_default_attn_processor()
    for name in ("text_encoder", "text_encoder_2"):
        if getattr(pipe, name, None) is not None:
            export_text_encoder(out, name, getattr(pipe, name))
    if getattr(pipe, "text_encoder_3", None) is not None:
        export_t5(out, pipe.text_encoder_3)
    if getattr(pipe, "transformer", None) is not None:
        export_transformer(out, pipe.transformer)
    else:
        pipe.unet.set_default_attn_processor()
        export_unet(out, pipe.unet)
    export_vae(out, pipe.vae)


def export_text_encoder(out, name, model):
    model.config.save_pretrained(f"{out}/{name}")
    length, layers = model.config.max_position_embeddings, model.config.num_hidden_layers
    projected = hasattr(model, "text_projection")
    outputs = ["text_embeds" if projected else "last_hidden_state", *([] if projected else ["pooler_output"]), *[f"hidden_states.{i}" for i in range(layers + 1)]]

    def call(m, ids):
        o = m(input_ids=ids, output_hidden_states=True)
        first = (o.text_embeds,) if projected else (o.last_hidden_state, o.pooler_output)
        return (*first, *o.hidden_states)

    ids = torch.ones(2, length, dtype=torch.int64)
    ids[:, -1] = 2
    export(Function(model, call), (ids,), f"{out}/{name}/model.onnx", ["input_ids"], outputs)


def export_t5(out, model):
    model.config.save_pretrained(f"{out}/text_encoder_3")
    words = {0: "batch", 1: "sequence"}
    export(Function(model, lambda m, ids: m(ids).last_hidden_state), (torch.ones(2, 9, dtype=torch.int64),), f"{out}/text_encoder_3/model.onnx",
           ["input_ids"], ["last_hidden_state"], {"input_ids": words, "last_hidden_state": words})


def export_transformer(out, transformer):
    """The transformer of Stable Diffusion 3."""
    transformer.save_config(f"{out}/transformer")
    c = transformer.config
    args = (torch.zeros(2, c.in_channels, c.sample_size, c.sample_size), torch.zeros(2, 154, c.joint_attention_dim), torch.zeros(2, c.pooled_projection_dim),
            torch.ones(2))
    axes = {"hidden_states": {0: "batch", 2: "height", 3: "width"}, "encoder_hidden_states": {0: "batch", 1: "sequence"},
            "pooled_projections": {0: "batch"}, "timestep": {0: "steps"}, "out_hidden_states": {0: "batch", 2: "height", 3: "width"}}
    names = ["hidden_states", "encoder_hidden_states", "pooled_projections", "timestep"]
    export(Function(transformer, lambda m, *a: m(*a, return_dict=False)[0]), args, f"{out}/transformer/model.onnx", names, ["out_hidden_states"], axes)


def export_unet(out, unet):
    unet.save_config(f"{out}/unet")
    c = unet.config
    side = c.sample_size if isinstance(c.sample_size, int) else 64
    states = torch.zeros(2, 77, c.cross_attention_dim)
    args, names = [torch.zeros(2, c.in_channels, side, side), torch.ones(1), states], ["sample", "timestep", "encoder_hidden_states"]
    extra = c.addition_embed_type == "text_time"
    if extra:
        pooled = c.projection_class_embeddings_input_dim - 6 * c.addition_time_embed_dim
        args, names = [*args, torch.zeros(2, pooled), torch.zeros(2, 6)], [*names, "text_embeds", "time_ids"]

    def call(m, sample, t, hidden, *more):
        added = dict(text_embeds=more[0], time_ids=more[1]) if more else None
        return m(sample, t, hidden, added_cond_kwargs=added, return_dict=False)[0]

    axes = {"sample": {0: "batch", 2: "height", 3: "width"}, "encoder_hidden_states": {0: "batch", 1: "sequence"}, "timestep": {0: "steps"},
            "text_embeds": {0: "batch"}, "time_ids": {0: "batch"}, "out_sample": {0: "batch", 2: "height", 3: "width"}}
    export(Function(unet, call), tuple(args), f"{out}/unet/model.onnx", names, ["out_sample"], {k: v for k, v in axes.items() if k in [*names, "out_sample"]})


def export_vae(out, vae):
    picture, latent = {0: "batch", 2: "height", 3: "width"}, {0: "batch", 2: "latent_height", 3: "latent_width"}
    for part in ("vae_decoder", "vae_encoder"):
        vae.save_config(f"{out}/{part}")
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    export(Function(vae, lambda m, z: m.decode(z, return_dict=False)[0]), (torch.zeros(1, vae.config.latent_channels, 8, 8),),
           f"{out}/vae_decoder/model.onnx", ["latent_sample"], ["sample"], {"latent_sample": latent, "sample": picture})
    export(Function(vae, lambda m, x: m.encode(x).latent_dist.parameters), (torch.zeros(1, vae.config.in_channels, 8 * scale, 8 * scale),),
           f"{out}/vae_encoder/model.onnx", ["sample"], ["latent_parameters"], {"sample": picture, "latent_parameters": latent})


# --- command line ----------------------------------------------------------------------------------------------------

def load_state(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def load_clip(path):
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(path, attn_implementation="eager", dtype=torch.float32).eval()


def run_clip(a):
    from transformers import CLIPTokenizer

    options = {}
    if a.model_kind == "pickscore":
        options = dict(name="pickscore-v1")
    elif a.model_kind == "clipscore":
        options = dict(name=f"clipscore-{a.variant}", formula='2.5·max(cos("A photo depicts " + text, image), 0)', preprocess="torchvision")
    export_clip(a.out, load_clip(a.source), CLIPTokenizer.from_pretrained(a.source), **options)


def run_hpsv2(a):
    import open_clip

    model = open_clip.create_model(a.arch, pretrained=None)
    state = load_state(a.source)
    require(state.get("state_dict", state), model, a.source)
    export_hpsv2(a.out, model.eval(), open_clip.tokenizer.SimpleTokenizer(), a.version)


def run_siglip(a):
    from transformers import AutoTokenizer, SiglipModel, SiglipTokenizer

    tokenizer = AutoTokenizer.from_pretrained(a.source)
    if not isinstance(tokenizer, SiglipTokenizer):
        raise SystemExit(f"{a.source} has a {type(tokenizer).__name__}; only SigLIP of the first version, with spiece.model, can be used")
    export_siglip(a.out, SiglipModel.from_pretrained(a.source, attn_implementation="eager", dtype=torch.float32).eval(), tokenizer)


def run_aesthetic(a):
    export_aesthetic(a.out, load_clip(a.source), load_state(a.head))


def run_imagereward(a):
    from huggingface_hub import hf_hub_download

    state = load_state(a.source)
    part = lambda prefix: {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    vision, text = imagereward_networks()
    require(part("blip.visual_encoder."), vision, "blip.visual_encoder")
    require(part("blip.text_encoder."), text, "blip.text_encoder")
    local = os.path.join(a.tokenizer, "vocab.txt")
    export_imagereward(a.out, vision, text, part("mlp."), local if os.path.exists(local) else hf_hub_download(a.tokenizer, "vocab.txt"))


def run_diffusion(a):
    from diffusers import DiffusionPipeline

    export_diffusion(a.out, DiffusionPipeline.from_pretrained(a.source, torch_dtype=torch.float32))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sub = p.add_subparsers(dest="model_kind", required=True)
    for name, run in dict(clip=run_clip, clipscore=run_clip, pickscore=run_clip, hpsv2=run_hpsv2, siglip=run_siglip, aesthetic=run_aesthetic,
                          imagereward=run_imagereward, diffusion=run_diffusion).items():
        c = sub.add_parser(name)
        c.add_argument("source", help="local folder or model name; a local file for hpsv2 and imagereward")
        c.add_argument("out", help="folder to write")
        c.set_defaults(run=run)
        if name == "clipscore":
            c.add_argument("--variant", choices=["vit-b-32", "vit-l-14"], required=True)
        if name == "hpsv2":
            c.add_argument("--version", choices=["2.0", "2.1"], required=True)
            c.add_argument("--arch", default="ViT-H-14", help="architecture of open_clip")
        if name == "aesthetic":
            c.add_argument("--head", required=True, help="checkpoint of the linear head")
        if name == "imagereward":
            c.add_argument("--tokenizer", default="google-bert/bert-base-uncased")
    a = p.parse_args()
    a.run(a)
    print("wrote", a.out)


if __name__ == "__main__":
    main()
