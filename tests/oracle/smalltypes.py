"""Conversions from and to the floats of 8 and 4 bits, for the tests of internal/tensor.

Expected values by ml_dtypes (rounding, and what overflows without attribute saturate) and by onnx.numpy_helper (saturate,
and the round modes of float8e8m0). Numbers are every midpoint between neighbours of a format, the float32 to either
side of it, powers of two around the range, and random ones; all with both signs.

Usage: python tests/oracle/smalltypes.py
Rewrites internal/tensor/testdata/small.json: by type, "values" of all bit patterns and "inputs" (base64 of float32), and by
conversion the resulting bytes (base64).
"""

import base64
import json
import pathlib
import warnings

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

SEED = 20260801
TYPES = {
    "float8e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8e5m2": ml_dtypes.float8_e5m2,
    "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "float4e2m1": ml_dtypes.float4_e2m1fn,
}
SCALE = ml_dtypes.float8_e8m0fnu


def text(a):
    return base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()


def values(dtype, count):
    return np.arange(count, dtype=np.uint8).view(dtype).astype(np.float32)


def inputs(dtype, count):
    """Float32 numbers that show how a format rounds, overflows and treats what it does not have."""
    v = np.unique(values(dtype, count)).astype(np.float64)
    v = v[np.isfinite(v) & (v >= 0)]
    v = np.append(v, 2 * v[-1] - v[-2])  # the midpoint beyond the largest number decides on overflow
    mid = (v[1:] + v[:-1]) / 2
    rng = np.random.default_rng(SEED)
    v, mid = v.astype(np.float32), mid.astype(np.float32)
    near = np.concatenate([v, mid, np.nextafter(mid, np.float32(0)), np.nextafter(mid, np.float32(np.inf))])
    rest = np.exp2(np.concatenate([np.arange(-30, 30), rng.uniform(-24, 18, 400)]))
    x = np.concatenate([near, rest, [1e-45, 1e-40, 3e38, np.inf, np.nan]]).astype(np.float32)
    return np.concatenate([x, -x])


def conversions(dtype, x):
    return {"plain": text(x.astype(dtype)), "saturated": text(numpy_helper.saturate_cast(x, dtype))}


def scale_inputs():
    rng = np.random.default_rng(SEED)
    powers = np.exp2(np.arange(-127, 128, dtype=np.float64))
    x = np.concatenate([powers, 1.5 * powers, powers * rng.uniform(1, 2, powers.size)]).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(0)), np.nextafter(x, np.float32(np.inf))])
    x = np.concatenate([x, np.array([0, 1e-45, 3e-39, 3.4028235e38, np.inf, np.nan], np.float32)])
    return np.concatenate([x, -x])


def scales(x):
    out = {}
    for mode in ["up", "down", "nearest"]:
        for saturate in [True, False]:
            out[mode + ("/saturated" if saturate else "/plain")] = text(numpy_helper.to_float8e8m0(x, saturate, mode))
    return out


def main():
    table = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, dtype in TYPES.items():
            count = 16 if name == "float4e2m1" else 256
            x = inputs(dtype, count)
            table[name] = {"values": text(values(dtype, count)), "inputs": text(x), "bytes": conversions(dtype, x)}
        x = scale_inputs()
        table["float8e8m0"] = {"values": text(values(SCALE, 256)), "inputs": text(x), "bytes": scales(x)}
        for name, dtype, count in [("int4", ml_dtypes.int4, 16), ("uint4", ml_dtypes.uint4, 16), ("int2", ml_dtypes.int2, 4), ("uint2", ml_dtypes.uint2, 4)]:
            table[name] = {"values": text(values(dtype, count)), "inputs": "", "bytes": {}}
    head = {"by": f"ml_dtypes {ml_dtypes.__version__}, onnx {onnx.__version__}, numpy {np.__version__}", "seed": SEED}
    pathlib.Path("internal/tensor/testdata/small.json").write_text(json.dumps({**head, "types": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
