"""The text and picture encoders: CLIP, BLIP (ImageReward), T5, SigLIP, DINOv2, DeBERTa-v2, MPNet and BERT."""

import torch
import transformers as tr
from diffusion import named
from family import EARLY, LATE, MIXED, Family

VOCAB = 64
LENGTH = 16
BATCH = {0: "batch"}
TEXT = {0: "batch", 1: "sequence"}
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def attention(plain):
    return "eager" if plain else "sdpa"


def small(config, plain, **more):
    """A configuration of two narrow layers."""
    c = config(**(SMALL | more))
    c._attn_implementation = attention(plain)
    return c


def build(cls, config, plain):
    """Builds a network in evaluation mode with the wanted form of attention."""
    return cls._from_config(config, attn_implementation=attention(plain or not cls._supports_sdpa)).eval()


def pick(names):
    """A call of a network that returns the outputs of the given names."""

    def call(m, **x):
        y = m(**x)
        return tuple(y[name] for name in names)

    return call


def text_sizes(k):
    return ((2, 9), (1, LENGTH))[k]


# ---- CLIP, SigLIP ---------------------------------------------------------------------------------------------------


def clip_config(act, layers):
    text = dict(SMALL, hidden_act=act, vocab_size=VOCAB, max_position_embeddings=LENGTH, eos_token_id=VOCAB - 1,
                bos_token_id=1, pad_token_id=0, num_hidden_layers=layers)
    vision = dict(SMALL, hidden_act=act, image_size=16, patch_size=8 if layers == 2 else 4, num_hidden_layers=layers)
    return tr.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)


def clip_text(act, layers, exports):
    def make(plain):
        m = build(tr.CLIPTextModelWithProjection, clip_config(act, layers).text_config, plain)
        return named(m, ["input_ids", "attention_mask"], pick(names))

    def inputs(draw, k):
        batch, length = text_sizes(k)
        ids = draw.ids(VOCAB - 1, batch, length)
        ids[:, length // 2] = VOCAB - 1  # the end of the text, whose state is the text's
        return {"input_ids": ids, "attention_mask": draw.mask(batch, length)}

    names = ("text_embeds", "last_hidden_state")
    free = {"input_ids": TEXT, "attention_mask": TEXT, "text_embeds": BATCH, "last_hidden_state": TEXT}
    return Family(make, inputs, names, free, exports)


def pictures(draw, k, size=16):
    return {"pixel_values": draw.normal((2, 1)[k], 3, size, size)}


def clip_vision(act, layers, exports):
    def make(plain):
        m = build(tr.CLIPVisionModelWithProjection, clip_config(act, layers).vision_config, plain)
        return named(m, ["pixel_values"], pick(names))

    names = ("image_embeds", "last_hidden_state")
    free = {n: BATCH for n in ("pixel_values", *names)}
    return Family(make, pictures, names, free, exports)


def clip_dual():
    """Both towers and their similarity in one file, as optimum exports CLIPModel."""
    names = ("logits_per_image", "text_embeds", "image_embeds")

    def make(plain):
        m = build(tr.CLIPModel, clip_config("quick_gelu", 2), plain)
        return named(m, ["input_ids", "pixel_values", "attention_mask"], pick(names))

    def inputs(draw, k):
        length = text_sizes(k)[1]
        ids = draw.ids(VOCAB - 1, 3 - k, length)
        ids[:, -2] = VOCAB - 1
        return {"input_ids": ids, **pictures(draw, k), "attention_mask": draw.mask(3 - k, length)}

    texts = {0: "texts", 1: "sequence"}
    free = {"input_ids": texts, "pixel_values": {0: "images"}, "attention_mask": texts,
            "logits_per_image": {0: "images", 1: "texts"}, "text_embeds": {0: "texts"}, "image_embeds": {0: "images"}}
    return Family(make, inputs, names, free, LATE)


def siglip():
    """SigLIP: sigmoid head, attention pooling of the picture, last token of the text (texts are padded to full length)."""
    names = ("logits_per_image", "text_embeds", "image_embeds")

    def make(plain):
        text = dict(SMALL, vocab_size=VOCAB, max_position_embeddings=LENGTH, projection_size=32)
        vision = dict(SMALL, image_size=16, patch_size=4)
        m = build(tr.SiglipModel, tr.SiglipConfig(text_config=text, vision_config=vision), plain)
        return named(m, ["input_ids", "pixel_values"], pick(names))

    def inputs(draw, k):
        return {"input_ids": draw.ids(VOCAB, 3 - k, LENGTH), **pictures(draw, k)}

    free = {"input_ids": {0: "texts"}, "pixel_values": {0: "images"}, "logits_per_image": {0: "images", 1: "texts"},
            "text_embeds": {0: "texts"}, "image_embeds": {0: "images"}}
    return Family(make, inputs, names, free, EARLY)


# ---- BLIP as in ImageReward -----------------------------------------------------------------------------------------


class Reward(torch.nn.Module):
    """A BLIP picture encoder, a BERT that attends to it, and a small network on the first token."""

    def __init__(self, plain):
        super().__init__()
        vision = small(tr.BlipVisionConfig, plain, image_size=16, patch_size=8)
        text = small(tr.BlipTextConfig, True, vocab_size=VOCAB, max_position_embeddings=LENGTH, encoder_hidden_size=32,
                     bos_token_id=1, pad_token_id=0, eos_token_id=2, sep_token_id=3, is_decoder=True)  # with cross attention
        self.visual = build(tr.BlipVisionModel, vision, plain)
        self.text = tr.models.blip.modeling_blip_text.BlipTextModel(text, add_pooling_layer=False).eval()
        self.mlp = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1))

    def forward(self, pixel_values, input_ids, attention_mask):
        seen = self.visual(pixel_values).last_hidden_state
        everywhere = torch.ones(seen.shape[:-1], dtype=torch.long)
        y = self.text(input_ids, attention_mask=attention_mask, encoder_hidden_states=seen,
                      encoder_attention_mask=everywhere, is_decoder=False).last_hidden_state
        return self.mlp(y[:, 0])


def blip():
    def inputs(draw, k):
        batch, length = text_sizes(k)
        return {**pictures(draw, k), "input_ids": draw.ids(VOCAB, batch, length), "attention_mask": draw.mask(batch, length)}

    free = {"pixel_values": BATCH, "input_ids": TEXT, "attention_mask": TEXT, "reward": BATCH}
    return Family(lambda plain: Reward(plain).eval(), inputs, ("reward",), free, MIXED)


# ---- text encoders --------------------------------------------------------------------------------------------------


def text_encoder(cls, config, names, exports, types=False):
    """A text encoder with an attention mask; types adds token_type_ids."""
    inputs_names = ["input_ids", "attention_mask"] + ["token_type_ids"] * types

    def make(plain):
        return named(build(cls, config(plain), plain), inputs_names,
                     pick(names))

    def inputs(draw, k):
        batch, length = text_sizes(k)
        x = {"input_ids": draw.ids(VOCAB, batch, length, low=2), "attention_mask": draw.mask(batch, length)}
        return x | ({"token_type_ids": draw.ids(2, batch, length, low=0)} if types else {})

    free = {n: TEXT for n in inputs_names}
    free |= {n: TEXT if n == "last_hidden_state" else BATCH for n in names}
    return Family(make, inputs, names, free, exports)


def t5_config(plain):
    return tr.T5Config(vocab_size=VOCAB, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
                       relative_attention_num_buckets=8, relative_attention_max_distance=12,
                       feed_forward_proj="gated-gelu", is_encoder_decoder=False, use_cache=False)


def deberta_config(plain):
    return tr.DebertaV2Config(
        **SMALL, vocab_size=VOCAB, max_position_embeddings=LENGTH, type_vocab_size=0, relative_attention=True,
        position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"],
        position_biased_input=False, layer_norm_eps=1e-7)


def text_config(config):
    return lambda plain: small(config, plain, vocab_size=VOCAB, max_position_embeddings=LENGTH + 2)


# ---- DINOv2 ---------------------------------------------------------------------------------------------------------


def dinov2():
    """DINOv2 with pictures of any size: position embeddings are interpolated (bicubic) to the picture's patches."""
    names = ("last_hidden_state", "pooler_output")

    def make(plain):
        c = small(tr.Dinov2Config, plain, image_size=16, patch_size=4, mlp_ratio=2)
        return named(build(tr.Dinov2Model, c, plain), ["pixel_values"], pick(names))

    def inputs(draw, k):
        batch, height, width = ((2, 16, 24), (1, 24, 16))[k]
        return {"pixel_values": draw.normal(batch, 3, height, width)}

    free = {"pixel_values": {0: "batch", 2: "height", 3: "width"}, "last_hidden_state": TEXT, "pooler_output": BATCH}
    return Family(make, inputs, names, free, LATE)


BOTH = ("last_hidden_state", "pooler_output")
FAMILIES = {
    "clip_b32_text": clip_text("quick_gelu", 2, (*EARLY, "dyn20f16")),
    "clip_b32_vision": clip_vision("quick_gelu", 2, (*LATE, "dyn18f16")),
    "clip_h14_text": clip_text("gelu", 3, MIXED),
    "clip_h14_vision": clip_vision("gelu", 3, EARLY),
    "clip_dual": clip_dual(),
    "siglip": siglip(),
    "blip_reward": blip(),
    "t5_encoder": text_encoder(tr.T5EncoderModel, t5_config, BOTH[:1], (*EARLY, "dyn20f16")),
    "deberta_v2": text_encoder(tr.DebertaV2Model, deberta_config, BOTH[:1], MIXED),
    "mpnet": text_encoder(tr.MPNetModel, text_config(tr.MPNetConfig), BOTH, LATE),
    "bert": text_encoder(tr.BertModel, text_config(tr.BertConfig), BOTH, EARLY, types=True),
    "dinov2": dinov2(),
}
