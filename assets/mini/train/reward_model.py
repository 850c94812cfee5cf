"""The mini reward: a small image transformer and a text transformer that looks at the image (BLIP-like).

0.67 M parameters. The text side is the pipeline's text encoder with a cross attention in each layer, and starts from its
weights: it knows the captions' language before it sees a picture. The score is read from the mean over the caption's
tokens, as each token can tell whether its own assertion holds. Input pictures float32 [n, 3, 64, 64] in [-1, 1], token ids int64 [n, 32] of the pipeline's tokenizer
and their mask (1 up to and including the first end token); output one score per pair, higher is better. Attention is
written out in plain matrix products so that the exported graph holds nothing unusual.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

WIDTH = 96
HEADS = 4
ITEMS = ["present", "color", "shape", "size", "relation", "count", "background"]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x, context, bias=None):
        def split(y):
            return y.view(y.shape[0], -1, HEADS, WIDTH // HEADS).transpose(1, 2)

        q, k, v = split(self.to_q(x)), split(self.to_k(context)), split(self.to_v(context))
        weights = q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS)
        if bias is not None:
            weights = weights + bias
        out = (weights.softmax(-1) @ v).transpose(1, 2)
        return self.to_out(out.reshape(x.shape[0], -1, WIDTH))


class Block(nn.Module):
    """Pre-norm transformer block; with `looks`, a cross attention to the image between the two halves."""

    def __init__(self, looks):
        super().__init__()
        self.norm1, self.self_attention = nn.LayerNorm(WIDTH), Attention()
        self.looks = looks
        if looks:
            self.norm2, self.cross_attention = nn.LayerNorm(WIDTH), Attention()
        self.norm3 = nn.LayerNorm(WIDTH)
        self.feed_forward = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x, bias=None, image=None):
        y = self.norm1(x)
        x = x + self.self_attention(y, y, bias)
        if self.looks:
            x = x + self.cross_attention(self.norm2(x), image)
        return x + self.feed_forward(self.norm3(x))


class ImageEncoder(nn.Module):
    """Three strided convolutions to 8x8 tokens, then two blocks."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 5, 2, 2), nn.GELU(), nn.Conv2d(24, 48, 3, 2, 1), nn.GELU(), nn.Conv2d(48, WIDTH, 3, 2, 1),
        )
        self.position = nn.Parameter(torch.randn(1, 64, WIDTH) * 0.02)
        self.blocks = nn.ModuleList(Block(False) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, pixels):
        x = self.stem(pixels).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Reward(nn.Module):
    def __init__(self, vocabulary, length=32):
        super().__init__()
        self.image = ImageEncoder()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.position = nn.Parameter(torch.randn(1, length, WIDTH) * 0.02)
        self.blocks = nn.ModuleList(Block(True) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, 1))
        self.register_buffer("future", torch.full((1, 1, length, length), -10000.0).triu(1), persistent=False)

    def read(self, image_tokens, ids, mask):
        """The pooled text state [n, width] after looking at the image; attention is causal, as in the text encoder."""
        x = self.embedding(ids) + self.position
        bias = (1.0 - mask.float())[:, None, None, :] * -10000.0 + self.future
        for block in self.blocks:
            x = block(x, bias, image_tokens)
        valid = mask.float()[:, :, None]
        return (self.norm(x) * valid).sum(1) / valid.sum(1)

    def score(self, pooled):
        return self.head(pooled).squeeze(-1)

    def start_from(self, text_encoder):
        """Copy a transformers CLIPTextModel of the same width and depth; the cross attentions begin silent."""
        state = {k.removeprefix("text_model."): v for k, v in text_encoder.state_dict().items()}
        own = {"embedding.weight": state["embeddings.token_embedding.weight"], "position": state["embeddings.position_embedding.weight"][None]}
        for kind in ("weight", "bias"):
            own[f"norm.{kind}"] = state[f"final_layer_norm.{kind}"]
            for i in range(len(self.blocks)):
                theirs = f"encoder.layers.{i}."
                for mine, other in (
                    ("norm1", "layer_norm1"), ("norm3", "layer_norm2"), ("feed_forward.0", "mlp.fc1"), ("feed_forward.2", "mlp.fc2"),
                    ("self_attention.to_q", "self_attn.q_proj"), ("self_attention.to_k", "self_attn.k_proj"),
                    ("self_attention.to_v", "self_attn.v_proj"), ("self_attention.to_out", "self_attn.out_proj"),
                ):
                    own[f"blocks.{i}.{mine}.{kind}"] = state[f"{theirs}{other}.{kind}"]
        self.load_state_dict(own, strict=False)
        for block in self.blocks:
            torch.nn.init.normal_(block.cross_attention.to_out.weight, std=0.01)

    def forward(self, pixels, ids, mask):
        return self.score(self.read(self.image(pixels), ids, mask))


class Teacher(nn.Module):
    """Training-only heads, dropped at export: the image tokens tell what the checker saw, the text which sorts of
    assertions hold."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(WIDTH, 1 + 8 + 6 + 2)
        self.background = nn.Linear(WIDTH, 6)
        self.items = nn.Linear(WIDTH, len(ITEMS))

    def loss(self, tokens, cells, backgrounds):
        """tokens [n, 64, w]; cells int64 [n, 64, 3] with -1 where no object is centred; backgrounds int64 [n]."""
        present, color, shape, size = self.cell(tokens).split([1, 8, 6, 2], -1)
        here = cells[..., 0] >= 0
        total = F.binary_cross_entropy_with_logits(present.squeeze(-1), here.float(), pos_weight=torch.tensor(8.0))
        for logits, column in ((color, 0), (shape, 1), (size, 2)):
            total = total + F.cross_entropy(logits[here], cells[..., column][here])
        return total + F.cross_entropy(self.background(tokens.mean(1)), backgrounds, ignore_index=-1)

    def item_loss(self, pooled, items):
        """pooled [n, width]; items [n, 7]: share of true assertions of each sort, -1 where the caption makes none."""
        made = items >= 0
        return F.binary_cross_entropy_with_logits(self.items(pooled)[made], items[made])


def attention_mask(ids, end):
    """int64 [n, 32]: 1 up to and including the first end token."""
    first = (ids == end).int().argmax(1)
    return (torch.arange(ids.shape[1])[None] <= first[:, None]).long()
