"""The denoisers and autoencoders: U-Nets, ControlNet, VAEs, and the transformers of SD3, Flux and PixArt."""

import diffusers
import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from family import EARLY, LATE, MIXED, Family

IMAGE = {0: "batch", 2: "height", 3: "width"}
TOKENS = {0: "batch", 1: "sequence"}
CONTEXT = 24
POOLED = 16


class Call(torch.nn.Module):
    """Calls f(module, ...) with positional or named tensors: exporters want a forward with plain arguments."""

    def __init__(self, module, f):
        super().__init__()
        self.module, self.f = module, f

    def forward(self, *args, **kwargs):
        return self.f(self.module, *args, **kwargs)


def named(module, names, f):
    """A Call whose forward has the given argument names, which the dynamo exporter reads."""
    head, body = ", ".join(names), ", ".join(f"{n}={n}" for n in names)
    space = {"f": f}
    exec(f"def forward(self, {head}): return self.f(self.module, {body})", space)  # noqa: S102
    return type("Call", (Call,), {"forward": space["forward"]})(module, f)


# ---- U-Nets ---------------------------------------------------------------------------------------------------------


def unet_config(**more):
    config = {
        "sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": CONTEXT, "attention_head_dim": 2,
    }
    return config | more


LINEAR = {"use_linear_projection": True, "attention_head_dim": (1, 2)}
UNETS = {
    "unet_sd15": unet_config(),
    "unet_sd21": unet_config(**LINEAR, upcast_attention=True),
    "unet_sdxl": unet_config(
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=POOLED + 6 * 8, **LINEAR),
    "unet_sdturbo": unet_config(
        block_out_channels=(8, 8, 16), down_block_types=("CrossAttnDownBlock2D",) * 2 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 2, use_linear_projection=True,
        attention_head_dim=(1, 1, 2)),
    "unet_lcm": unet_config(time_cond_proj_dim=12),
}


def unet_call(m, sample, timestep, encoder_hidden_states, **more):
    extra = {k: more.pop(k) for k in ("text_embeds", "time_ids") if k in more}
    residuals = [more.pop(k) for k in sorted(more) if k.startswith("down_")]
    if residuals:
        more |= {"down_block_additional_residuals": residuals, "mid_block_additional_residual": more.pop("mid_residual")}
    return m(sample, timestep, encoder_hidden_states, added_cond_kwargs=extra or None, return_dict=False, **more)[0]


def unet_inputs(draw, k, timestep="int64 scalar"):
    """Latents 8×8 (batch 2), then 8×12 (one picture): every other axis differs from the first set."""
    batch, height, width, length = ((2, 8, 8, 7), (1, 8, 12, 5))[k]
    step = {
        "int64 scalar": np.array(481 + k), "int64 batch": np.array([481, 20][:batch]),
        "float scalar": np.array(480.5 + k, np.float32), "float batch": np.float32([480.5, 20.25])[:batch],
    }[timestep]
    return {"sample": draw.normal(batch, 4, height, width), "timestep": step,
            "encoder_hidden_states": draw.normal(batch, length, CONTEXT)}


UNET_DYNAMIC = {"sample": IMAGE, "encoder_hidden_states": TOKENS, "out_sample": IMAGE}


def unet(kind, timestep, exports, more=None, dynamic=None):
    """A U-Net family. more(draw, batch) gives inputs besides the three usual ones."""

    def inputs(draw, k):
        x = unet_inputs(draw, k, timestep)
        return x | (more(draw, len(x["sample"])) if more else {})

    def make(plain):
        m = diffusers.UNet2DConditionModel(**UNETS[kind])
        if plain:
            m.set_attn_processor(AttnProcessor())
        names = list(inputs(Names(), 0))
        return named(m, names, unet_call)

    free = dict(UNET_DYNAMIC, **(dynamic or {}))
    if "batch" in timestep:
        free["timestep"] = {0: "batch"}
    return Family(make, inputs, ("out_sample",), free, exports)


class Names:
    """Stands for Draw where only the names of the inputs matter."""

    def normal(self, *shape):
        return np.zeros(shape, np.float32)

    def ids(self, high, *shape, low=1):
        return np.ones(shape, np.int64)

    mask = lambda self, batch, length: np.ones((batch, length), np.int64)  # noqa: E731


def sdxl_extra(draw, batch):
    ids = np.float32([[64, 96, 0, 8, 64, 64]] * batch)
    return {"text_embeds": draw.normal(batch, POOLED), "time_ids": ids}


BATCH = {0: "batch"}

# ---- ControlNet -----------------------------------------------------------------------------------------------------

RESIDUALS = (("down_0", 8, 1), ("down_1", 8, 1), ("down_2", 8, 2), ("down_3", 16, 2), ("mid_residual", 16, 2))


def controlnet_call(m, sample, timestep, encoder_hidden_states, controlnet_cond):
    down, mid = m(sample, timestep, encoder_hidden_states, controlnet_cond, conditioning_scale=0.75, return_dict=False)
    return (*down, mid)


def controlnet():
    def inputs(draw, k):
        x = unet_inputs(draw, k)
        batch, _, height, width = x["sample"].shape
        return x | {"controlnet_cond": draw.normal(batch, 3, 8 * height, 8 * width)}

    def make(plain):
        config = unet_config()
        config.pop("sample_size"), config.pop("up_block_types")
        m = diffusers.ControlNetModel(**config, conditioning_embedding_out_channels=(4, 4, 8, 8))
        if plain:
            m.set_attn_processor(AttnProcessor())
        return named(m, list(inputs(Names(), 0)), controlnet_call)

    names = tuple(name for name, _, _ in RESIDUALS)
    free = {"sample": IMAGE, "encoder_hidden_states": TOKENS, "controlnet_cond": {0: "batch", 2: "H", 3: "W"}}
    return Family(make, inputs, names, free | {n: IMAGE for n in names}, MIXED)


def unet_controlled():
    def extra(draw, batch):
        height, width = (8, 8) if batch == 2 else (8, 12)
        return {n: draw.normal(batch, c, height // d, width // d) for n, c, d in RESIDUALS}

    free = {n: ({0: "batch", 2: "height", 3: "width"} if d == 1 else {0: "batch", 2: "h", 3: "w"}) for n, _, d in RESIDUALS}
    return unet("unet_sd15", "int64 batch", LATE, extra, free)


# ---- autoencoders ---------------------------------------------------------------------------------------------------


def vae(encoder):
    def make(plain):
        m = diffusers.AutoencoderKL(
            block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=16,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
        if plain:
            m.set_attn_processor(AttnProcessor())
        if encoder:
            m.decoder = m.post_quant_conv = None
            return named(m, ["sample"], lambda m, sample: m.quant_conv(m.encoder(sample)))
        m.encoder = m.quant_conv = None
        return named(m, ["latent_sample"], lambda m, latent_sample: m.decode(latent_sample, return_dict=False)[0])

    return autoencoder(make, encoder, 2, LATE if encoder else EARLY)


def taesd(encoder):
    def make(plain):
        m = diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, num_encoder_blocks=(1, 1, 1, 1),
            num_decoder_blocks=(1, 1, 1, 1))
        if encoder:
            m.decoder = None
            return named(m, ["sample"], lambda m, sample: m.encode(sample, return_dict=False)[0])
        m.encoder = None
        return named(m, ["latent_sample"], lambda m, latent_sample: m.decode(latent_sample, return_dict=False)[0])

    return autoencoder(make, encoder, 8, MIXED)


def autoencoder(make, encoder, factor, exports):
    """Pictures that are factor times as large as their latents."""

    def inputs(draw, k):
        batch, height, width = ((2, 32, 32), (1, 16, 24))[k]
        if encoder:
            return {"sample": np.tanh(draw.normal(batch, 3, height, width))}
        return {"latent_sample": draw.normal(batch, 4, height // factor, width // factor)}

    out = {0: "batch", 2: "out_height", 3: "out_width"}
    if encoder:
        return Family(make, inputs, ("latent_parameters",), {"sample": IMAGE, "latent_parameters": out}, exports)
    return Family(make, inputs, ("sample",), {"latent_sample": IMAGE, "sample": out}, exports)


# ---- transformers ---------------------------------------------------------------------------------------------------


def sd3(v35):
    """SD3 (no query and key norm) and SD3.5 (RMSNorm of query and key; the first layer attends twice)."""
    names = ["hidden_states", "encoder_hidden_states", "pooled_projections", "timestep"]

    def make(plain):
        more = {"qk_norm": "rms_norm", "dual_attention_layers": (0,)} if v35 else {}
        m = diffusers.SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=CONTEXT, caption_projection_dim=16, pooled_projection_dim=POOLED,
            pos_embed_max_size=12, **more)
        return named(m, names, lambda m, **x: m(**x, return_dict=False)[0])

    def inputs(draw, k):
        batch, height, width, length = ((2, 8, 8, 7), (1, 8, 12, 5))[k]
        return {"hidden_states": draw.normal(batch, 4, height, width),
                "encoder_hidden_states": draw.normal(batch, length, CONTEXT),
                "pooled_projections": draw.normal(batch, POOLED), "timestep": np.float32([730.5, 20.25])[:batch]}

    free = {"hidden_states": IMAGE, "encoder_hidden_states": TOKENS, "pooled_projections": BATCH, "timestep": BATCH,
            "out_sample": IMAGE}
    return Family(make, inputs, ("out_sample",), free, LATE if v35 else EARLY)


def flux():
    """Flux: joint blocks, then single blocks; rotary embedding on three axes; distilled guidance as an input."""
    names = ["hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "img_ids", "txt_ids", "guidance"]

    def make(plain):
        m = diffusers.FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=2, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=CONTEXT, pooled_projection_dim=POOLED, guidance_embeds=True,
            axes_dims_rope=(4, 6, 6))
        return named(m, names, lambda m, **x: m(**x, return_dict=False)[0])

    def inputs(draw, k):
        batch, height, width, length = ((2, 4, 4, 7), (1, 4, 6, 5))[k]
        y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        ids = np.stack([np.zeros_like(y), y, x], -1).reshape(-1, 3).astype(np.float32)
        return {"hidden_states": draw.normal(batch, height * width, 16),
                "encoder_hidden_states": draw.normal(batch, length, CONTEXT),
                "pooled_projections": draw.normal(batch, POOLED), "timestep": np.float32([0.75, 0.25])[:batch],
                "img_ids": ids, "txt_ids": np.zeros((length, 3), np.float32),
                "guidance": np.full(batch, 3.5, np.float32)}

    image = {0: "batch", 1: "image_sequence"}
    free = {"hidden_states": image, "encoder_hidden_states": TOKENS, "pooled_projections": BATCH, "timestep": BATCH,
            "img_ids": {0: "image_sequence"}, "txt_ids": {0: "sequence"}, "guidance": BATCH, "out_sample": image}
    return Family(make, inputs, ("out_sample",), free, MIXED)


def pixart(alpha):
    """PixArt-alpha at 1024 (resolution and aspect ratio as conditions) and sigma (none of these).

    The size is fixed: the position table for another one is computed outside of torch and would become a constant."""
    names = ["hidden_states", "encoder_hidden_states", "timestep", "encoder_attention_mask"]
    if alpha:
        names += ["resolution", "aspect_ratio"]

    def call(m, hidden_states, encoder_hidden_states, timestep, encoder_attention_mask, **extra):
        extra = extra or {"resolution": None, "aspect_ratio": None}
        return m(hidden_states, encoder_hidden_states, timestep, extra, encoder_attention_mask=encoder_attention_mask,
                 return_dict=False)[0]

    def make(plain):
        m = diffusers.PixArtTransformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, out_channels=8, num_layers=2, attention_head_dim=8,
            num_attention_heads=3, cross_attention_dim=24, caption_channels=16, use_additional_conditions=alpha,
            num_embeds_ada_norm=1000)
        if plain:
            for b in m.transformer_blocks:
                b.attn1.set_processor(AttnProcessor()), b.attn2.set_processor(AttnProcessor())
        return named(m, names, call)

    def inputs(draw, k):
        batch, height, width, length = ((2, 8, 8, 8), (1, 8, 8, 6))[k]
        x = {"hidden_states": draw.normal(batch, 4, height, width), "encoder_hidden_states": draw.normal(batch, length, 16),
             "timestep": np.array([481, 20][:batch]), "encoder_attention_mask": draw.mask(batch, length).astype(np.float32)}
        if alpha:
            x |= {"resolution": np.float32([[64, 96]] * batch), "aspect_ratio": np.float32([[0.75]] * batch)}
        return x

    free = {"hidden_states": BATCH, "encoder_hidden_states": TOKENS, "timestep": BATCH, "encoder_attention_mask": TOKENS,
            "out_sample": BATCH, "resolution": BATCH, "aspect_ratio": BATCH}
    free = {k: v for k, v in free.items() if k in names or k == "out_sample"}
    return Family(make, inputs, ("out_sample",), free, MIXED if alpha else LATE)


FAMILIES = {
    "unet_sd15": unet("unet_sd15", "int64 scalar", (*EARLY, "ts17f16")),
    "unet_sd21": unet("unet_sd21", "float batch", (*LATE, "dyn21f16")),
    "unet_sdxl": unet("unet_sdxl", "float scalar", MIXED, sdxl_extra, {"text_embeds": BATCH, "time_ids": BATCH}),
    "unet_sdturbo": unet("unet_sdturbo", "int64 batch", EARLY),
    "unet_lcm": unet("unet_lcm", "int64 scalar", MIXED, lambda draw, batch: {"timestep_cond": draw.normal(batch, 12)},
                     {"timestep_cond": BATCH}),
    "controlnet": controlnet(),
    "unet_controlled": unet_controlled(),
    "vae_encoder": vae(True),
    "vae_decoder": vae(False),
    "taesd_encoder": taesd(True),
    "taesd_decoder": taesd(False),
    "sd3": sd3(False),
    "sd35": sd3(True),
    "flux": flux(),
    "pixart_alpha": pixart(True),
    "pixart_sigma": pixart(False),
}
