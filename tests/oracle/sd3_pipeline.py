"""Makes tests/tiny/sd3 and tests/golden/pipelines/sd3*: a random-weight Stable Diffusion 3, and what diffusers makes with it.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/sd3_pipeline.py

The folder is laid out as optimum does and has all three text encoders. Goldens are made twice, with T5 and, under names that begin with
without-t5, with text_encoder_3 left out, as many exports do. Weights are rounded to float16; everything is computed in float32. Blocks are
those of SD 3.5: norms of queries and keys, and a second attention in the first block.
"""

import gzip
import json
import pathlib
import tempfile

import diffusers
import onnx
import onnxruntime
import pipelines
import torch
import transformers
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from pipelines import GOLDEN, LENGTH, TINY
from sentencepiece import sentencepiece_model_pb2
from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

KIND, SEED, FACTOR, CHANNELS, JOINT = "sd3", 1234, 4, 16, 48
WORDS = pathlib.Path("tests/tiny/sd15/tokenizer")
SPIECE = pathlib.Path("tests/golden/tokenizer/unigram/spiece.model.gz")
STYLE = {"dynamo": False, "opset": 17, "store": "float16", "timestep": "float32 [batch]"}
SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.29.0.dev0", "num_train_timesteps": 1000, "shift": 3.0}
OTHER = "three GREEN triangles on a white background"
CASES = [
    {"steps": 10, "guidance_scale": 7.0, "latents": "latents/10", "sample": "decoded/10", "picture": "picture/10"},
    {"steps": 10, "guidance_scale": 7.0, "prompt": OTHER, "latents": "latents/other-prompt"},
    {"steps": 10, "guidance_scale": 7.0, "negative_prompt": pipelines.NEGATIVE, "latents": "latents/negative"},
    {"steps": 28, "guidance_scale": 1.0, "width": 48, "prompt": OTHER, "latents": "latents/28"},
    {"steps": 4, "guidance_scale": 4.0, "height": 48, "num_images": 2, "latents": "latents/two"},
]


def t5():
    """A T5 encoder of version 1.1, and its tokenizer."""
    folder = TINY / KIND / "tokenizer_3"
    folder.mkdir(parents=True, exist_ok=True)
    pieces = sentencepiece_model_pb2.ModelProto.FromString(gzip.decompress(SPIECE.read_bytes()))
    pieces.normalizer_spec.name, pieces.normalizer_spec.precompiled_charsmap = "identity", b""  # 240 kB
    (folder / "spiece.model").write_bytes(pieces.SerializeToString(deterministic=True))
    special = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    pipelines.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", "model_max_length": 512, "extra_ids": 0, **special})
    tok = T5Tokenizer.from_pretrained(folder, extra_ids=0)
    model = T5EncoderModel(T5Config(vocab_size=len(tok), d_model=JOINT, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu",
                                    is_encoder_decoder=False, use_cache=False, pad_token_id=0, eos_token_id=1))
    return tok, model


def build():
    torch.manual_seed(14)
    tok = pipelines.save_tokenizer(WORDS, TINY / KIND / "tokenizer", "<|endoftext|>")
    tok2 = pipelines.save_tokenizer(WORDS, TINY / KIND / "tokenizer_2", "!")
    text = CLIPTextModelWithProjection(pipelines.text_config(len(tok), 16, 2, "quick_gelu", 2, 8))
    text2 = CLIPTextModelWithProjection(pipelines.text_config(len(tok), 24, 3, "gelu", 2, 12))
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=CHANNELS, out_channels=CHANNELS, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=JOINT, caption_projection_dim=16, pooled_projection_dim=20, pos_embed_max_size=12, qk_norm="rms_norm",
        dual_attention_layers=(0,))
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=CHANNELS, sample_size=32, use_quant_conv=False,
        use_post_quant_conv=False, down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, scaling_factor=1.5305,
        shift_factor=0.0609)
    tok3, text3 = t5()
    pipelines.gain(transformer, 0.2, "proj_out")
    for m, factor in ((text, 3), (text2, 3), (vae, 1.7), (transformer, 2)):
        pipelines.gain(m, factor)
    with torch.no_grad():
        z = torch.randn(4, CHANNELS, 8, 8) / vae.config.scaling_factor
        vae.decoder.conv_out.weight.mul_(0.6 / vae.decode(z).sample.std())
        vae.decoder.conv_out.bias.sub_(vae.decode(z).sample.mean((0, 2, 3)))
    parts = {"text_encoder": text, "text_encoder_2": text2, "text_encoder_3": text3, "transformer": transformer, "vae": vae}
    for m in parts.values():
        pipelines.round16(m)
    places = transformer.pos_embed.pos_embed
    places.copy_(places.half().float())
    pipelines.write_json(TINY / KIND / "scheduler/scheduler_config.json", SCHEDULER)
    pipe = StableDiffusion3Pipeline(**parts, tokenizer=tok, tokenizer_2=tok2, tokenizer_3=tok3,
                                    scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(TINY / KIND / "scheduler"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


# ---- export ---------------------------------------------------------------------------------------------------------


class Call(torch.nn.Module):
    """A module with another forward; its attribute m is taken out of names."""

    def __init__(self, m, call):
        super().__init__()
        self.m, self.call = m, call

    def forward(self, *args, **named):
        return self.call(self.m, *args, *named.values())


def clip(m, ids):
    o = m(ids, output_hidden_states=True)
    return (o.text_embeds, o.last_hidden_state, *o.hidden_states)


def denoise(m, hidden_states, encoder_hidden_states, pooled_projections, timestep):
    return m(hidden_states, encoder_hidden_states, pooled_projections, timestep, return_dict=False)[0]


def jobs(pipe):
    g = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 700, (2, LENGTH), generator=g)
    ids[:, -1] = pipe.tokenizer.eos_token_id
    wide = {0: "batch", 2: "height", 3: "width"}
    out = {}
    for name in ("text_encoder", "text_encoder_2"):
        m = getattr(pipe, name)
        names = ["text_embeds", "last_hidden_state", *[f"hidden_states.{i}" for i in range(m.config.num_hidden_layers + 1)]]
        out[name] = (Call(m, clip), {"input_ids": ids}, names, {n: {0: "batch"} for n in ["input_ids", *names]})
    words = {0: "batch", 1: "sequence"}
    out["text_encoder_3"] = (Call(pipe.text_encoder_3, lambda m, i: m(i).last_hidden_state), {"input_ids": torch.randint(0, 700, (2, 9), generator=g)},
                             ["last_hidden_state"], {"input_ids": words, "last_hidden_state": words})
    inputs = {"hidden_states": torch.randn(2, CHANNELS, 8, 8, generator=g), "encoder_hidden_states": torch.randn(2, 2 * LENGTH, JOINT, generator=g),
              "pooled_projections": torch.randn(2, 20, generator=g), "timestep": torch.tensor([500.5, 500.5])}
    out["transformer"] = (Call(pipe.transformer, denoise), inputs, ["out_hidden_states"],
                          {"hidden_states": wide, "encoder_hidden_states": words, "pooled_projections": {0: "batch"}, "timestep": {0: "steps"},
                           "out_hidden_states": wide})
    out["vae_decoder"] = (Call(pipe.vae, lambda m, z: m.decode(z, return_dict=False)[0]), {"latent_sample": torch.randn(2, CHANNELS, 8, 8, generator=g)},
                          ["sample"], {"latent_sample": wide, "sample": {0: "batch", 2: "H", 3: "W"}})
    out["vae_encoder"] = (Call(pipe.vae, lambda m, x: m.encoder(x)), {"sample": torch.rand(2, 3, 32, 32, generator=g) * 2 - 1}, ["latent_parameters"],
                          {"sample": wide, "latent_parameters": {0: "batch", 2: "h", 3: "w"}})
    return out


def same_as_committed(pipe):
    """Holds the transformer against the committed file."""
    module, inputs, outputs, _ = jobs(pipe)["transformer"]
    session = onnxruntime.InferenceSession("tests/tiny/sd3/transformer/model.onnx")
    got, want = session.run(outputs, {k: v.numpy() for k, v in inputs.items()})[0], module(*inputs.values()).detach().numpy()
    assert abs(got - want).max() < 2e-6 * abs(want).max(), "the transformer built here is not the one in tests/tiny"


@torch.no_grad()
def export_all(pipe):
    folder = TINY / KIND
    with tempfile.TemporaryDirectory() as tmp:
        for name, (module, inputs, outputs, dynamic) in jobs(pipe).items():
            model = pipelines.export(module.eval(), inputs, outputs, dynamic, STYLE, f"{tmp}/{name}.onnx")
            pipelines.clean(model)
            pipelines.rename(model)
            pipelines.merge_constants(model)
            pipelines.store_half(model)
            pipelines.check(pipelines.save(model, folder / name, STYLE), module, inputs, outputs)
    for name in ("text_encoder", "text_encoder_2", "text_encoder_3", "transformer"):
        config = getattr(pipe, name).config
        pipelines.write_json(folder / name / "config.json", pipelines.config_of(config.to_dict() if hasattr(config, "to_dict") else dict(config)))
    for name in ("vae_decoder", "vae_encoder"):
        pipelines.write_json(folder / name / "config.json", pipelines.config_of(dict(pipe.vae.config)))
    index = {"_class_name": "StableDiffusion3Pipeline", "_diffusers_version": diffusers.__version__}
    for name in sorted(p.name for p in folder.iterdir() if p.is_dir()):
        classes = {"scheduler": ("diffusers", SCHEDULER["_class_name"]), "tokenizer_3": ("transformers", "T5Tokenizer"),
                   "tokenizer": ("transformers", "CLIPTokenizer"), "tokenizer_2": ("transformers", "CLIPTokenizer")}
        index[name] = list(classes.get(name, ("diffusers", "OnnxRuntimeModel")))
    pipelines.write_json(folder / "model_index.json", index)


# ---- goldens --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def texts(pipe, prefix, tensors, meta):
    """Rows of the two CLIPs and as many of T5 as a prompt has tokens; the test knows that the rest of the first is zero."""
    for i, prompt in enumerate(pipelines.PROMPTS):
        e, _, pooled, _ = pipe.encode_prompt(prompt, None, None, do_classifier_free_guidance=False)
        meta["sequence"] = e.shape[1]
        if prefix:
            assert not e[:, LENGTH:].any()
            continue
        tensors[f"prompt_embeds/{i}"] = e[0, : 2 * LENGTH].contiguous()
        tensors[f"pooled_prompt_embeds/{i}"] = pooled[0].contiguous()
        tensors[f"tokenizer_3/{i}"] = pipe.tokenizer_3(prompt, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids[0]


@torch.no_grad()
def generate(pipe, case, prefix, tensors):
    generators = [torch.Generator("cpu").manual_seed(case["seed"] + i) for i in range(case.get("num_images", 1))]
    latents = pipe(case["prompt"], negative_prompt=case.get("negative_prompt"), height=case["height"], width=case["width"],
                   num_inference_steps=case["steps"], guidance_scale=case["guidance_scale"], num_images_per_prompt=len(generators),
                   generator=generators, output_type="latent").images
    print(f"  {prefix}{case['latents']}: deviation {latents.std():.2f}, largest {latents.abs().max():.2f}")
    tensors[prefix + case["latents"]] = latents.contiguous()
    if "picture" in case:
        sample = pipe.vae.decode(latents / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor, return_dict=False)[0]
        image = pipe.image_processor.postprocess(sample, output_type="np")
        tensors[prefix + case["sample"]] = sample.contiguous()
        tensors[prefix + case["picture"]] = torch.from_numpy((image * 255).round().astype("uint8"))


def cases(prefix):
    out = []
    for c in CASES:
        c = {"prompt": pipelines.PROMPT, "height": 32, "width": 32, "seed": SEED, **c}
        out.append({k: prefix + v if k in ("latents", "sample", "picture") else v for k, v in c.items()})
    return out


@torch.no_grad()
def main():
    origin = {"made_by": "OMP_NUM_THREADS=1 python tests/oracle/sd3_pipeline.py", "torch": torch.__version__, "diffusers": diffusers.__version__,
              "transformers": transformers.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    pipe = build()
    export_all(pipe)
    text, calls, latents, meta = {}, {}, {}, {}
    for name, (module, inputs, outputs, _) in jobs(pipe).items():
        if name == "transformer":
            calls |= {f"{name}/in/{k}": v.clone() for k, v in inputs.items()}
            calls[f"{name}/out/{outputs[0]}"] = module(*inputs.values()).contiguous()
    t5 = pipe.text_encoder_3
    for prefix in ("", "without-t5/"):
        pipe.text_encoder_3 = None if prefix else t5
        texts(pipe, prefix, text, meta)
        for case in cases(""):
            generate(pipe, case, prefix, latents)
    for name in ("latents/other-prompt", "latents/negative", "without-t5/latents/10"):
        assert (latents[name] - latents["latents/10"]).abs().max() > 0.02 * latents[name].abs().max(), "prompts make no difference"
    pipelines.write_json(GOLDEN / "sd3.json", {**origin, **meta, "style": STYLE, "prompts": pipelines.PROMPTS, "cases": cases(""),
                                               "cases_without_t5": cases("without-t5/")})
    for part, tensors in (("text", text), ("calls", calls), ("latents", latents)):
        pipelines.write_goldens(KIND, part, tensors, origin)


if __name__ == "__main__":
    main()
