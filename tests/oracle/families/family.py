"""What one network family is, and how its weights are drawn."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch

# Which exports a family has, so that every family has both exporters and three opsets at least.
# "ts" is the TorchScript exporter, "dyn" the dynamo exporter; "f16" is a half-precision network.
EARLY = ("ts14", "ts17", "dyn18", "dyn20")
LATE = ("ts17", "ts20", "dyn18", "dyn21")
MIXED = ("ts14", "ts18", "dyn20", "dyn21")


@dataclasses.dataclass
class Family:
    """A network with its inputs.

    make(plain) builds the module; plain asks for attention spelled out (the usual form of older exports) instead of
    scaled_dot_product_attention. inputs(draw, k) gives the inputs of shape set k, 0 or 1. dynamic names the free axes.
    """

    make: Callable
    inputs: Callable
    outputs: tuple
    dynamic: dict
    exports: tuple = EARLY


class Draw:
    """Random inputs as numpy arrays."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def ids(self, high, *shape, low=1):
        return self.rng.integers(low, high, shape).astype(np.int64)

    def mask(self, batch, length):
        """An attention mask of texts of different lengths; the first text is complete."""
        lengths = self.rng.integers(length // 2, length, (batch, 1))
        lengths[0] = length
        return (np.arange(length) < lengths).astype(np.int64)


@torch.no_grad()
def randomise(module, seed):
    """Draws every parameter, also those that start at zero or one, and returns {name: (mean, std)}.

    Matrices get 1/sqrt(fan in), so that values keep their size; gains spread around one; biases are small.
    """
    g = torch.Generator().manual_seed(seed)
    rules = {}
    for name, p in module.named_parameters():
        gain = p.ndim == 1 and bool((p == 1).all())
        if p.ndim >= 2 and "embed" in name and p.ndim == 2 and p.shape[0] > p.shape[1]:
            std = 0.5
        elif p.ndim >= 2:
            std = 1.2 / math.sqrt(p[0].numel())
        else:
            std = 0.2
        rules[name] = (1 if gain else 0, std)
        p.copy_(torch.randn(p.shape, generator=g) * std + rules[name][0])
    return rules
