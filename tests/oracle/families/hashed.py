"""Weights by formula: a tensor that a number generator without state makes again, so that no file has to store it.

Element i of the tensor with seed s is, in 32-bit arithmetic without sign,

    h = i·0x9E3779B1 + s·0x85EBCA77
    h ^= h >> 16;  h *= 0x85EBCA6B;  h ^= h >> 13;  h *= 0xC2B2AE35;  h ^= h >> 16
    value = mean + ((h >> 21) - 1024)·2^-shift

which float32 holds exactly for the means and shifts in use; a float16 tensor holds the nearest half. The location of the
external data says all of it: "hash,<dtype>,<elements>,<seed>,<mean>,<shift>". tests/families has the same formula in Go.
"""

import math

import numpy as np
from onnx import TensorProto

# Standard deviation of (h >> 21) - 1024.
SPREAD = 2048 / math.sqrt(12)
DTYPES = {TensorProto.FLOAT: ("f32", np.float32), TensorProto.FLOAT16: ("f16", np.float16)}


def values(count, seed, mean, shift, dtype):
    """The first count elements of the tensor with the given seed."""
    h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1)
    h += np.uint32(seed * 0x85EBCA77 & 0xFFFFFFFF)
    for down, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h ^= h >> np.uint32(down)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    whole = (h >> np.uint32(21)).astype(np.float32) - np.float32(1024)
    return (np.float32(mean) + whole * np.float32(2.0**-shift)).astype(dtype)


def shift_for(std):
    """The shift whose standard deviation is nearest to std, in powers of two."""
    return round(math.log2(SPREAD / std))


def location(elem_type, count, seed, mean, shift):
    """Names a tensor for the external data entry."""
    return f"hash,{DTYPES[elem_type][0]},{count},{seed},{mean},{shift}"


def parse(where):
    """The elements that a location stands for."""
    kind, dtype, count, seed, mean, shift = where.split(",")
    assert kind == "hash", where
    numpy_type = {"f32": np.float32, "f16": np.float16}[dtype]
    return values(int(count), int(seed), int(mean), int(shift), numpy_type)
