"""Golden values for QuantizeLinear and DequantizeLinear: every quantised type, scales per tensor, axis and block, half types,
attributes precision, output_dtype and saturate.

Every case is one node with its inputs and expected outputs by onnx.reference, in the store of ops.py; element types that
safetensors has no name for have ours, a byte an element.

Usage: python tests/oracle/quantization.py [output folder, default internal/graph/testdata/ops]
"""

import pathlib
import sys

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import ops
from ops import Family, write

SEED = 20261127
FLOATS = {"float8_e4m3fn": "F8_E4M3", "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2": "F8_E5M2",
          "float8_e5m2fnuz": "F8_E5M2FNUZ", "float4_e2m1fn": "F4"}
NARROW = {"uint4": "U4", "int4": "I4", "uint2": "U2", "int2": "I2"}
WIDE = ["uint8", "int8", "uint16", "int16"]
ops.DTYPES.update({**FLOATS, **NARROW, "float8_e8m0fnu": "F8_E8M0"})


def dtype(name):
    return np.dtype(getattr(ml_dtypes, name) if name in ops.DTYPES and hasattr(ml_dtypes, name) else name)


def number(name):
    return helper.np_dtype_to_tensor_dtype(dtype(name))


class Cases:
    def __init__(self):
        self.family, self.rng, self.count = Family("quantization"), np.random.default_rng(SEED), 0

    def randn(self, *shape, kind="float32", scale=4.0):
        return (self.rng.standard_normal(shape) * scale).astype(dtype(kind))

    def scales(self, *shape, kind="float32"):
        if kind == "float8_e8m0fnu":
            return np.exp2(self.rng.integers(-3, 3, shape)).astype(dtype(kind))
        return self.rng.uniform(0.1, 1.5, shape).astype(dtype(kind))

    def codes(self, *shape, kind):
        """Random bit patterns, without NaN."""
        bits = 4 if kind in ("float4_e2m1fn", "uint4", "int4") else 2 if kind in NARROW else 8
        if kind in WIDE or kind == "int32":
            return self.rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)
        v = self.rng.integers(0, 1 << bits, shape).astype(np.uint8).view(dtype(kind))
        return np.where(np.isfinite(v.astype(np.float32)), v, np.zeros((), dtype(kind)))

    def zeros(self, *shape, kind):
        if kind in FLOATS:
            return np.zeros(shape, dtype(kind))
        low, high = (0, 2) if kind in ("uint2", "int2") else (0, 7)
        return self.rng.integers(low, high, shape).astype(dtype(kind))

    def add(self, op, *ins, note="", **attrs):
        node = helper.make_node(op, [f"x{i}" if v is not None else "" for i, v in enumerate(ins)], ["y"], **attrs)
        feeds = {f"x{i}": np.asarray(v) for i, v in enumerate(ins) if v is not None}
        graph = helper.make_graph([node], "case", [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
                                                   for n, v in feeds.items()], [onnx.ValueInfoProto(name="y")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)])
        outs = ReferenceEvaluator(model).run(None, feeds)
        self.count += 1
        self.family.add(f"{op.lower()}_{self.count}_{note}", node, 25, [None if v is None else np.asarray(v) for v in ins], outs,
                        "onnx.reference " + onnx.__version__)


def layouts(c, kind="float32", zero=None):
    """Scale, zero point and attributes for an input of shape (2, 7, 3): tensor, axis, blocks with and without remainder."""
    for shape, attrs in [((), {}), ((1,), {}), ((7,), {}), ((2,), {"axis": 0}), ((3,), {"axis": -1}),
                         ((2, 4, 3), {"axis": 1, "block_size": 2}), ((1, 7, 3), {"axis": 0, "block_size": 2}),
                         ((2, 7, 2), {"axis": 2, "block_size": 2})]:
        yield c.scales(*shape, kind=kind), None if zero is None else c.zeros(*shape, kind=zero), attrs


def dequantise(c):
    for kind in [*WIDE, *NARROW, *FLOATS, "int32"]:
        x = c.codes(2, 7, 3, kind=kind)
        for scale, zero, attrs in layouts(c, zero=None if kind == "int32" else kind):
            c.add("DequantizeLinear", x, scale, zero, note=kind, **attrs)
        c.add("DequantizeLinear", x, c.scales(7), note=kind)
    x = c.codes(2, 7, 3, kind="int8")
    for scale in ["float16", "bfloat16", "float32", "float8_e8m0fnu"]:
        for out in [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16]:
            c.add("DequantizeLinear", x, c.scales(7, kind=scale), note=scale, output_dtype=out)
    for scale in ["float16", "bfloat16"]:
        c.add("DequantizeLinear", x, c.scales(7, kind=scale), c.zeros(7, kind="int8"), note=scale)
    c.add("DequantizeLinear", c.codes(8, kind="uint4"), c.scales(3), c.zeros(3, kind="uint4"), axis=0, block_size=3, note="vector")


def quantise(c):
    for kind in [*WIDE, *NARROW, *FLOATS]:
        x = c.randn(2, 7, 3)
        for scale, zero, attrs in layouts(c, zero=kind):
            c.add("QuantizeLinear", x, scale, zero, note=kind, **attrs)
        c.add("QuantizeLinear", x, c.scales(7), note=kind, output_dtype=number(kind))
    for kind in FLOATS:
        for saturate in [0, 1]:
            c.add("QuantizeLinear", c.randn(2, 7, 3, scale=40000), c.scales(), note=kind, output_dtype=number(kind), saturate=saturate)
    for kind in ["float16", "bfloat16"]:
        c.add("QuantizeLinear", c.randn(2, 7, 3, kind=kind), c.scales(7, kind=kind), note=kind)
        c.add("QuantizeLinear", c.randn(2, 7, 3, kind=kind, scale=9), c.scales(7, kind=kind), c.zeros(7, kind="int8"), note=kind)
        for precision in [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16]:
            c.add("QuantizeLinear", c.randn(2, 7, 3, kind=kind, scale=900), c.scales(7, kind=kind), note=kind, precision=precision,
                  output_dtype=TensorProto.UINT16)
            c.add("QuantizeLinear", c.randn(2, 7, 3, scale=900), c.scales(7), note="float32", precision=precision,
                  output_dtype=TensorProto.INT16)
    c.add("QuantizeLinear", c.randn(2, 7, 3), c.scales(7, kind="float8_e8m0fnu"), note="scale", precision=TensorProto.FLOAT)
    c.add("QuantizeLinear", c.codes(2, 7, 3, kind="int32"), np.float32(3e7), note="int32", precision=TensorProto.FLOAT,
          output_dtype=TensorProto.INT8)
    c.add("QuantizeLinear", c.randn(8), c.scales(3), c.zeros(3, kind="int4"), axis=0, block_size=3, note="vector")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "internal/graph/testdata/ops")
    c = Cases()
    dequantise(c)
    quantise(c)
    assert not c.family.skipped, c.family.skipped
    for old in folder.glob("quantization*.safetensors"):
        old.unlink()
    write(folder, c.family, "python tests/oracle/quantization.py", SEED, f"ml_dtypes {ml_dtypes.__version__}")


if __name__ == "__main__":
    main()
