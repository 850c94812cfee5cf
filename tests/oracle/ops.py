"""Golden values for the graph operators.

Every case is one ONNX node with its inputs and expected outputs. Two sources:

* the node tests that the `onnx` package generates (expected values by the ONNX project), for the operators below;
* cases of our own, computed by ONNX Runtime (by onnx.reference where ONNX Runtime has no kernel for the type).

Usage: python tests/oracle/ops.py [output folder, default internal/graph/testdata/ops]
Writes <family>.safetensors files of at most 256 KiB; the metadata entry "cases" holds the nodes as JSON.
"""

import json
import math
import pathlib
import struct
import sys
import warnings

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import scipy
import scipy.special
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

SEED = 20260801
LIMIT = 256 << 10
MAX_CASE = 40 << 10

DTYPES = {
    "float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "int16": "I16",
    "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL",
}

FAMILIES = {
    "unary": """Abs Neg Sign Exp Log Sqrt Reciprocal Floor Ceil Round Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh
        Atanh Erf Sigmoid Tanh Relu Softplus Softsign HardSwish Mish LeakyRelu ThresholdedRelu Elu Selu Celu HardSigmoid
        Shrink Swish Gelu PRelu IsNaN IsInf Not BitwiseNot Clip""",
    "binary": """Add Sub Mul Div Mod Pow BitwiseAnd BitwiseOr BitwiseXor BitShift Equal Less LessOrEqual Greater
        GreaterOrEqual And Or Xor Where Max Min Sum Mean""",
    "cast": "Cast CastLike",
    "shape": """Shape Size Reshape Flatten Squeeze Unsqueeze Identity Constant ConstantOfShape Range EyeLike Expand Tile
        Concat Split Slice Pad Transpose DepthToSpace SpaceToDepth Trilu Dropout NonZero OneHot""",
    "gather": "Gather GatherElements GatherND ScatterElements ScatterND Compress ReverseSequence",
    "reduce": """ReduceMean ReduceSum ReduceSumSquare ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceProd ReduceMax
        ReduceMin ArgMax ArgMin TopK CumSum Softmax LogSoftmax Hardmax LpNormalization""",
    "norm": """LayerNormalization RMSNormalization InstanceNormalization GroupNormalization BatchNormalization
        MeanVarianceNormalization""",
    "product": """MatMul Gemm Conv ConvTranspose Einsum MatMulInteger QuantizeLinear DequantizeLinear
        DynamicQuantizeLinear""",
    "attention": "Attention RotaryEmbedding",
    "image": "Resize Upsample MaxPool AveragePool GlobalAveragePool GlobalMaxPool",
}


class Refused(Exception):
    """A case that the compact form cannot hold."""


class Family:
    """Cases of one group of operators; equal tensors are stored once."""

    def __init__(self, name):
        self.name, self.cases, self.tensors, self.index, self.skipped = name, [], [], {}, []

    def tensor(self, value):
        """Returns the number of a tensor, -1 for an absent one."""
        if value is None:
            return -1
        if isinstance(value, TensorProto):
            value = numpy_helper.to_array(value)
        if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.name not in DTYPES:
            raise Refused(f"value of type {getattr(value, 'dtype', type(value))}")
        value = np.asarray(value)
        if not value.flags.c_contiguous:
            value = value.copy(order="C")
        key = (value.dtype.name, value.shape, value.tobytes())
        if key not in self.index:
            self.index[key] = len(self.tensors)
            self.tensors.append(value)
        return self.index[key]

    def attr(self, a):
        kinds = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}
        if a.type not in kinds:
            raise Refused(f"attribute {a.name}")
        v = helper.get_attribute_value(a)
        if a.type == 3:
            v = v.decode()
        if a.type == 4:
            v = self.tensor(v)
        if a.type == 8:
            v = [s.decode() for s in v]
        if a.type in (6, 7):
            v = list(v)
        return {kinds[a.type]: v}

    def add(self, name, node, opset, ins, outs, by):
        """Adds a case: ins by position (None: absent), outs likewise."""
        try:
            known = sum(np.asarray(v).nbytes for v in [*ins, *outs] if isinstance(v, (np.ndarray, np.generic)))
            if known > MAX_CASE:
                raise Refused(f"{known} bytes")
            attrs = {a.name: self.attr(a) for a in node.attribute}
            case = {"name": name, "op": node.op_type, "domain": node.domain, "opset": opset, "attrs": attrs,
                    "in": [self.tensor(v) for v in ins], "out": [self.tensor(v) for v in outs], "by": by}
        except Refused as why:
            self.skipped.append(f"{name}: {why}")
            return
        self.cases.append(case)


def official(families):
    """Enters the ONNX project's single-node cases."""
    by_op = {op: f for f in families.values() for op in FAMILIES[f.name].split()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    for tc in cases:
        if tc.model is None or len(tc.model.graph.node) != 1:
            continue
        node = tc.model.graph.node[0]
        family = by_op.get(node.op_type)
        if family is None or node.domain not in ("", "ai.onnx"):
            continue
        opset = next(o.version for o in tc.model.opset_import if o.domain in ("", "ai.onnx"))
        names = [v.name for v in tc.model.graph.input]
        for ins, outs in tc.data_sets:
            given = dict(zip(names, ins))
            produced = dict(zip([v.name for v in tc.model.graph.output], outs))
            family.add(tc.name, node, opset, [given.get(n) if n else None for n in node.input],
                       [produced.get(n) if n else None for n in node.output], "onnx node test")


def onnx_type(a):
    if a.dtype.name == "bfloat16":
        return TensorProto.BFLOAT16
    return helper.np_dtype_to_tensor_dtype(a.dtype)


def evaluate(model, feeds):
    """Runs a model in ONNX Runtime, else in the ONNX reference."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        if any(v.dtype.name == "bfloat16" for v in feeds.values()):
            raise RuntimeError("ONNX Runtime takes no bfloat16 arrays")
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, feeds), "onnxruntime " + onnxruntime.__version__
    except Exception as first:  # noqa: BLE001 - any fault of the runtime sends us to the reference
        try:
            return ReferenceEvaluator(model).run(None, feeds), "onnx.reference " + onnx.__version__
        except Exception as second:
            raise RuntimeError(f"{model.graph.node[0]}: {first}; {second}") from second


class Own:
    """Makes cases of our own."""

    def __init__(self, families):
        self.families = families
        self.by_op = {op: f for f in families.values() for op in FAMILIES[f.name].split()}
        self.rng = np.random.default_rng(SEED)
        self.count = {}

    def randn(self, *shape, dtype="float32", scale=1.0):
        return (self.rng.standard_normal(shape) * scale).astype(np.dtype(dtype) if dtype != "bfloat16" else ml_dtypes.bfloat16)

    def ints(self, lo, hi, *shape, dtype="int64"):
        return self.rng.integers(lo, hi, shape).astype(dtype)

    def bools(self, *shape):
        return self.rng.integers(0, 2, shape).astype(bool)

    def case(self, op, *ins, opset=17, outputs=1, note="", **attrs):
        node = helper.make_node(op, [f"x{i}" if v is not None else "" for i, v in enumerate(ins)],
                                [f"y{i}" for i in range(outputs)], **attrs)
        feeds = {f"x{i}": np.asarray(v) for i, v in enumerate(ins) if v is not None}
        graph = helper.make_graph(
            [node], "case",
            [helper.make_tensor_value_info(n, onnx_type(v), v.shape) for n, v in feeds.items()],
            [onnx.ValueInfoProto(name=f"y{i}") for i in range(outputs)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        outs, by = evaluate(model, feeds)
        self.enter(op, node, opset, note, list(ins), list(outs), by)

    def given(self, op, ins, outs, opset, **attrs):
        """A case whose float64 results come from scipy or numpy."""
        node = helper.make_node(op, ["x"] * len(ins), ["y"] * len(outs), **attrs)
        self.enter(op, node, opset, "scipy", ins, outs, f"scipy {scipy.__version__}")

    def enter(self, op, node, opset, note, ins, outs, by):
        k = self.count[op] = self.count.get(op, 0) + 1
        name = f"{op.lower()}_{k}_opset{opset}" + (f"_{note}" if note else "")
        self.by_op[op].add(name, node, opset, ins, outs, by)


def i64(*v):
    return np.array(v, dtype=np.int64)


def own_elementwise(o):
    halves = ["float32", "float64", "float16"]
    for op in ["Abs", "Neg", "Sign", "Exp", "Floor", "Ceil", "Round", "Sin", "Cos", "Erf", "Sigmoid", "Tanh", "Relu",
               "Softplus", "HardSwish", "Mish"]:
        for dt in halves:
            if (op, dt) not in (("Erf", "float64"), ("HardSwish", "float64")):
                o.case(op, o.randn(2, 3, 7, dtype=dt, scale=3), opset=18, note=dt)
    for op in ["Log", "Sqrt", "Reciprocal"]:
        for dt in halves:
            o.case(op, np.abs(o.randn(3, 11, dtype=dt)) + np.dtype(dt).type(0.01), note=dt)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 88.0, -104.0, 1e-40, 5, -5], dtype=np.float32)
    for op in ["Abs", "Neg", "Exp", "Sigmoid", "Tanh", "Relu", "Sqrt", "Reciprocal", "Floor", "Ceil", "Round", "Erf", "IsNaN", "IsInf"]:
        o.case(op, special, opset=20, note="special")
    for op in ["Abs", "Neg", "Sign"]:
        o.case(op, o.ints(-50, 50, 13, dtype="int32"), note="int32")
        o.case(op, o.ints(-50, 50, 13), note="int64")
    for dt in halves:
        if dt != "float64":
            o.case("Gelu", o.randn(4, 33, dtype=dt, scale=2), opset=20, note=dt)
            o.case("Gelu", o.randn(4, 33, dtype=dt, scale=2), opset=20, note=dt, approximate="tanh")
    # Both runtimes evaluate these with float32 constants or polynomials when asked for float64.
    x = o.randn(2, 3, 7, dtype="float64", scale=3)
    o.given("Erf", [x], [scipy.special.erf(x)], opset=18)
    o.given("HardSwish", [x], [x * np.clip(x / 6 + 0.5, 0, 1)], opset=18)
    o.given("Gelu", [x], [x * scipy.special.ndtr(x)], opset=20)
    o.given("Gelu", [x], [0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))], opset=20, approximate="tanh")
    o.case("LeakyRelu", o.randn(3, 5), alpha=0.2)
    o.case("Elu", o.randn(3, 5), alpha=0.7)
    o.case("HardSigmoid", o.randn(3, 5, scale=4), alpha=0.25, beta=0.4)
    o.case("Clip", o.randn(5, 6), opset=6, min=-0.5, max=0.25)
    o.case("Clip", o.randn(5, 6), np.float32(-0.5), None)
    o.case("Clip", o.randn(5, 6), None, np.float32(0.5))
    o.case("Clip", o.ints(-9, 9, 12), np.int64(-3), np.int64(4))
    o.case("Clip", o.randn(5, 6, dtype="float16"), np.float16(-1), np.float16(1))


def own_binary(o):
    shapes = [((2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 4, 5), ()), ((), (3, 4)), ((2, 3, 4, 5), (5,)), ((5,), (2, 3, 4, 5)),
              ((2, 3, 4, 5), (3, 1, 1)), ((2, 3, 4, 5), (1, 3, 1, 1)), ((2, 3, 4, 5), (2, 3, 1, 1)), ((2, 1, 4, 5), (3, 1, 5)),
              ((4, 1, 3, 1), (1, 2, 1, 5)), ((2, 0, 3), (1, 3)), ((6, 1), (1, 7)), ((2, 3, 4, 5), (2, 1, 4, 1))]
    for op in ["Add", "Sub", "Mul", "Div"]:
        for a, b in shapes:
            o.case(op, o.randn(*a), o.randn(*b) + np.float32(0.1), note="broadcast")
        o.case(op, o.randn(3, 4, dtype="float64"), o.randn(4, dtype="float64"), note="f64")
        o.case(op, o.randn(3, 4, dtype="float16"), o.randn(3, 1, dtype="float16"), note="f16")
        for dt in ["int32", "int64"]:
            o.case(op, o.ints(-40, 40, 3, 4, dtype=dt), o.ints(1, 9, 4, dtype=dt), note=dt)
        o.case(op, o.ints(-40, 40, 9), -o.ints(1, 9, 9), note="negative")
    o.case("Add", o.ints(0, 200, 8, dtype="uint8"), o.ints(0, 50, 8, dtype="uint8"), note="u8")
    for e in [2.0, 0.5, -1.0, 3.0, 1.7, 0.0]:
        o.case("Pow", np.abs(o.randn(3, 5)) + np.float32(0.1), np.float32(e))
    o.case("Pow", o.randn(3, 5), i64(2), note="mixed")
    o.case("Pow", o.ints(-5, 5, 8), np.float32(2.0), note="mixed")
    o.case("Pow", o.ints(-5, 5, 8), o.ints(0, 9, 8), note="int64")
    o.case("Pow", o.ints(-5, 5, 8, dtype="int32"), o.ints(0, 5, 8, dtype="int32"), note="int32")
    o.case("Pow", o.randn(4, dtype="float64"), np.float64(3), note="f64")
    o.case("Pow", np.abs(o.randn(2, 4)), np.abs(o.randn(4)), note="vector")
    o.case("Mod", o.ints(-20, 20, 12), o.ints(1, 7, 12), note="int64")
    o.case("Mod", o.ints(-20, 20, 12), -o.ints(1, 7, 12), fmod=1, note="int64")
    o.case("Mod", o.randn(12, scale=5), o.randn(12), fmod=1)
    for op in ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]:
        for dt in ["float32", "float64", "int32", "int64"]:
            o.case(op, o.ints(-2, 2, 3, 7).astype(dt), o.ints(-2, 2, 7).astype(dt), note=dt)
    o.case("Equal", o.bools(3, 4), o.bools(4), note="bool")
    o.case("Equal", np.array([np.nan, 1], np.float32), np.array([np.nan, 1], np.float32), note="nan")
    for op in ["And", "Or", "Xor"]:
        o.case(op, o.bools(2, 3, 4), o.bools(3, 1))
    for dt in ["float32", "float16", "float64", "int64", "int32", "uint8"]:
        o.case("Where", o.bools(2, 1, 4), o.ints(0, 9, 3, 4).astype(dt), o.ints(0, 9, 1).astype(dt), note=dt)
    o.case("Where", o.bools(1, 1, 4, 4), o.randn(2, 3, 4, 4), np.float32(-1e9), note="mask")
    o.case("Where", np.array(True), o.randn(2, 3), o.randn(3), note="scalar")
    for op in ["Max", "Min"]:
        o.case(op, o.randn(2, 3, 4), o.randn(4), o.randn(3, 1))
        o.case(op, o.ints(-9, 9, 5), o.ints(-9, 9, 1))
        o.case(op, np.array([np.nan, 1, 2], np.float32), np.array([0, np.nan, 3], np.float32), note="nan")
        o.case(op, o.randn(3))
    o.case("Sum", o.randn(2, 3), o.randn(3), o.randn(1))
    o.case("Mean", o.randn(2, 3), o.randn(3), o.randn(2, 1))


def own_cast(o):
    x = np.array([0, -0.0, 1.5, -1.5, 2.5, 100.7, -100.7, 0.3], dtype=np.float32)
    np_types = ["float32", "float64", "float16", "int32", "int64", "bool", "int8", "int16"]
    for src in np_types:
        for dst in np_types:
            o.case("Cast", x.astype(src), to=helper.np_dtype_to_tensor_dtype(np.dtype(dst)), note=f"{src}_{dst}")
    o.case("Cast", np.abs(x), to=TensorProto.UINT8)
    o.case("Cast", np.abs(x), to=TensorProto.UINT64)
    o.case("Cast", o.ints(0, 255, 9, dtype="uint8"), to=TensorProto.FLOAT)
    o.case("Cast", o.randn(40, scale=1000), to=TensorProto.FLOAT16)
    o.case("Cast", o.randn(40, scale=1e-6), to=TensorProto.FLOAT16, note="subnormal")
    o.case("Cast", np.array([65504, 65519, 65520, 1e9, -1e9, np.inf, np.nan], np.float32), to=TensorProto.FLOAT16)
    o.case("Cast", np.array([3e9, -3e9, 1e19], np.float64).astype(np.float32) * 0 + 7, to=TensorProto.INT64)
    o.case("CastLike", x, o.ints(0, 2, 1), opset=15)


def own_shape(o):
    x = o.randn(2, 3, 4, 5)
    for opset in [14, 17, 21]:
        o.case("Shape", x, opset=opset)
    o.case("Shape", x, start=1)
    o.case("Shape", x, start=-2, end=-1)
    o.case("Shape", x, start=-9, end=9)
    o.case("Shape", np.float32(1))
    o.case("Size", x)
    for want in [(0, -1), (-1,), (6, 20), (2, 0, 2, 10), (1, 1, 120), (0, 3, -1, 1)]:
        o.case("Reshape", x, i64(*want), opset=14)
    o.case("Reshape", np.zeros((0, 3), np.float32), i64(3, 0), opset=14, allowzero=1)
    o.case("Reshape", np.zeros((0, 3), np.float32), i64(0, 3), opset=14)
    o.case("Reshape", np.float32(4), i64(1, 1))
    o.case("Reshape", o.randn(1), np.zeros(0, np.int64))
    for axis in [0, 1, 2, 4, -1, -3]:
        o.case("Flatten", x, axis=axis)
    y = o.randn(1, 3, 1, 5, 1)
    o.case("Squeeze", y, opset=11, axes=[0, 2])
    o.case("Squeeze", y, opset=11)
    o.case("Squeeze", y, i64(0, -1), opset=13)
    o.case("Squeeze", y, opset=13)
    o.case("Unsqueeze", x, opset=11, axes=[0, 5])
    o.case("Unsqueeze", x, i64(-1, 0), opset=13)
    o.case("Unsqueeze", np.float32(1), i64(0), opset=13)
    o.case("Identity", o.ints(0, 5, 3))
    for dt in ["float32", "int64", "bool", "float16"]:
        o.case("Identity", o.ints(0, 2, 3).astype(dt), note=dt)
        o.case("ConstantOfShape", i64(2, 3), value=helper.make_tensor("v", helper.np_dtype_to_tensor_dtype(np.dtype(dt)), [1], [1]), note=dt)
    o.case("ConstantOfShape", i64(3))
    o.case("ConstantOfShape", np.zeros(0, np.int64))
    o.case("ConstantOfShape", i64(0, 2))
    for a, b, d in [(0, 5, 1), (10, 1, -3), (0, 0, 1), (5, 1, 1)]:
        o.case("Range", np.int64(a), np.int64(b), np.int64(d))
    o.case("Range", np.float32(0), np.float32(1), np.float32(0.3))
    o.case("Range", np.int32(1), np.int32(9), np.int32(2))
    o.case("EyeLike", o.randn(3, 4), k=1)
    o.case("EyeLike", o.randn(3, 4), k=-1, dtype=TensorProto.INT64)
    o.case("Expand", o.randn(3, 1), i64(2, 1, 4))
    o.case("Expand", o.randn(1, 1, 5), i64(2, 3, 5))
    o.case("Expand", o.randn(3, 4), i64(1))
    o.case("Expand", o.ints(0, 9, 1), i64(2, 2))
    o.case("Expand", o.bools(1, 4), i64(3, 4))
    o.case("Expand", o.randn(2, 1, 3, 1), i64(2, 4, 3, 2))
    o.case("Expand", o.randn(1), i64(0))
    o.case("Expand", o.randn(2, 3, dtype="float16"), i64(2, 2, 3))
    o.case("Tile", o.randn(2, 3), i64(2, 2))
    o.case("Tile", o.randn(2, 3, 4), i64(1, 2, 3))
    o.case("Tile", o.ints(0, 9, 3), i64(0))
    for axis in [0, 1, 2, -1]:
        parts = [list((2, 3, 4)) for _ in range(3)]
        parts[1][axis] = 1
        parts[2][axis] = 5
        o.case("Concat", *[o.randn(*p) for p in parts], axis=axis)
    o.case("Concat", o.ints(0, 9, 2), o.ints(0, 9, 1), axis=0)
    o.case("Concat", o.randn(2, 0), o.randn(2, 3), axis=1)
    o.case("Concat", o.bools(2, 2), o.bools(2, 2), axis=1)
    z = o.randn(3, 8, 2)
    o.case("Split", z, opset=11, outputs=2, axis=1)
    o.case("Split", z, opset=11, outputs=3, axis=1, split=[1, 5, 2])
    o.case("Split", z, i64(1, 5, 2), opset=13, outputs=3, axis=1)
    o.case("Split", z, opset=13, outputs=4, axis=-2)
    o.case("Split", z, opset=18, outputs=3, axis=1, num_outputs=3)
    o.case("Split", z, i64(3, 0, 5), opset=18, outputs=3, axis=1)
    own_slice_pad(o, x)
    for perm in [(0, 2, 1, 3), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1)]:
        for dt in ["float32", "int64", "bool", "float16"]:
            o.case("Transpose", o.ints(0, 2, 2, 3, 4, 5).astype(dt), perm=perm, note=dt)
    o.case("Transpose", o.randn(3, 4))
    o.case("Transpose", o.randn(3))
    for mode in ["DCR", "CRD"]:
        o.case("DepthToSpace", o.randn(1, 8, 2, 3), blocksize=2, mode=mode)
    o.case("SpaceToDepth", o.randn(1, 2, 4, 6), blocksize=2)
    for k in [-2, 0, 1, 9]:
        o.case("Trilu", o.randn(2, 4, 5), np.int64(k), upper=0)
        o.case("Trilu", o.randn(4, 5), np.int64(k), upper=1)
    o.case("Trilu", np.full((5, 5), -np.inf, np.float32), np.int64(1))
    o.case("Dropout", o.randn(3, 4), opset=7)
    o.case("Dropout", o.randn(3, 4), np.float32(0.5), np.array(False), opset=13, outputs=2)


def own_slice_pad(o, x):
    big = np.iinfo(np.int64).max
    o.case("Slice", x, opset=9, starts=[1, 0], ends=[2, 3], axes=[1, 2])
    for args in [(i64(0), i64(2)), (i64(1, 1), i64(big, 3), i64(1, 3)), (i64(-1), i64(-9), i64(3), i64(-1)),
                 (i64(big, 0), i64(-big - 1, 99), i64(2, 3), i64(-2, 3)), (i64(-3), i64(-1), i64(-1)),
                 (i64(3), i64(1), i64(3)), (i64(0, 0, 0, 0), i64(2, 3, 4, 5), i64(0, 1, 2, 3), i64(1, 2, 3, 4)),
                 (i64(0), i64(2), i64(1), i64(big))]:
        o.case("Slice", x, *args, opset=13)
    o.case("Slice", o.ints(0, 9, 7), np.array([1], np.int32), np.array([5], np.int32), opset=13, note="int32")
    o.case("Slice", o.bools(4, 4), i64(1), i64(3), i64(1))
    o.case("Slice", o.randn(4, 6, dtype="float16"), i64(0), i64(3), i64(1))
    o.case("Pad", o.randn(2, 3), opset=2, pads=[0, 1, 1, 2], value=1.5)
    o.case("Pad", o.randn(2, 3), i64(0, 1, 1, 2), opset=11)
    o.case("Pad", o.randn(2, 3), i64(0, 1, 1, 2), np.float32(7), opset=13)
    o.case("Pad", o.randn(1, 2, 4, 4), i64(0, 0, 0, 0, 0, 0, 1, 1), opset=13, note="vae")
    o.case("Pad", o.randn(2, 5), i64(0, -1, 0, -2), opset=13, note="crop")
    o.case("Pad", o.randn(2, 5), i64(2, 1), np.float32(1), i64(1), opset=18, note="axes")
    o.case("Pad", o.ints(0, 9, 3), i64(1, 2), np.int64(4), opset=13)
    o.case("Pad", o.bools(3), i64(1, 2), opset=13)
    for mode in ["reflect", "edge"]:
        o.case("Pad", o.randn(1, 2, 4, 5), i64(0, 0, 2, 3, 0, 0, 1, 2), opset=13, mode=mode)
    o.case("Pad", o.randn(3, 4), i64(1, 2, 2, 1), opset=19, mode="wrap")


def own_gather(o):
    x = o.randn(4, 5, 6)
    for axis in [0, 1, 2, -1]:
        o.case("Gather", x, o.ints(-4, 4, 2, 3), axis=axis)
    o.case("Gather", x, np.int64(-1), axis=1)
    o.case("Gather", o.ints(0, 99, 7), i64(0, 6, -7))
    o.case("Gather", x, np.array([1, 2], np.int32))
    o.case("Gather", o.bools(3, 3), i64(2), axis=1)
    o.case("Gather", o.randn(6, 3, dtype="float16"), i64(5, 0))
    for axis in [0, 1, -1]:
        o.case("GatherElements", x, o.ints(-4, 4, 4, 5, 6), axis=axis)
    o.case("GatherElements", x, o.ints(0, 4, 2, 3, 4), axis=2)
    o.case("GatherND", x, np.stack([o.ints(0, 4, 3), o.ints(-5, 5, 3)], -1))
    o.case("GatherND", x, o.ints(0, 4, 2, 1))
    o.case("GatherND", x, o.ints(0, 5, 4, 1), batch_dims=1)
    o.case("GatherND", o.ints(0, 9, 2, 7), i64(0, 3).reshape(1, 2))
    for red in ["none", "add", "mul", "min", "max"]:
        o.case("ScatterElements", o.randn(4, 5), o.ints(0, 5, 4, 1) if red == "none" else o.ints(-4, 4, 4, 3), o.randn(4, 1) if red == "none" else o.randn(4, 3), opset=18, axis=1, reduction=red)
        o.case("ScatterND", o.randn(4, 5), i64(2, 0).reshape(2, 1) if red == "none" else i64(2, -2).reshape(2, 1), o.randn(2, 5), opset=18, reduction=red)
    o.case("ScatterND", o.ints(0, 9, 6), i64(1, 4).reshape(2, 1), i64(100, 200))


def own_reduce(o):
    x = o.randn(2, 3, 4, 5)
    names = ["ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceProd", "ReduceMax", "ReduceMin"]
    for op in names:
        for axes in [(-1,), (1,), (2, 3), (0, 2), (1, 3)]:
            keep = axes[0] % 2
            if op == "ReduceSum":
                o.case(op, x, i64(*axes), opset=13, keepdims=keep)
            else:
                o.case(op, x, opset=13, axes=list(axes), keepdims=keep)
            o.case(op, x, i64(*axes), opset=18, keepdims=keep)
        o.case(op, x, opset=18)
        o.case(op, x, opset=18, noop_with_empty_axes=1)
        o.case(op, o.randn(3, 4, dtype="float64"), i64(1), opset=18, note="f64")
        o.case(op, o.randn(3, 4, dtype="float16"), i64(1), opset=18, note="f16")
        o.case(op, o.ints(-5, 5, 3, 4, dtype="int32"), i64(0), opset=18, note="int32") if op not in ("ReduceL2", "ReduceLogSumExp") else None
        if op in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"):
            o.case(op, o.ints(-5, 5, 3, 4), i64(0), opset=18, note="int64")
    o.case("ReduceLogSum", np.abs(x), i64(1), opset=18)
    o.case("ReduceMean", x, opset=11, axes=[-1])
    o.case("ReduceMax", o.bools(3, 4), i64(1), opset=20, note="bool")
    for op in ["ArgMax", "ArgMin"]:
        o.case(op, x, axis=2)
        o.case(op, x, axis=-1, keepdims=0)
        o.case(op, o.ints(0, 3, 4, 9), axis=1, select_last_index=1)
        o.case(op, o.ints(0, 3, 4, 9, dtype="int32"), axis=1)
    o.case("TopK", x, i64(3), outputs=2)
    o.case("TopK", x, i64(2), outputs=2, axis=1, largest=0)
    o.case("TopK", o.ints(0, 4, 3, 9), i64(4), outputs=2, note="ties")
    o.case("TopK", x, opset=9, outputs=2, k=2, axis=2)
    for kw in [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}]:
        o.case("CumSum", o.randn(3, 4, 2), np.int64(1), **kw)
        o.case("CumSum", o.ints(0, 9, 5), np.int32(-1), **kw)
    for op in ["Softmax", "LogSoftmax", "Hardmax"]:
        for axis in [-1, 1, 0]:
            o.case(op, o.randn(2, 3, 8, scale=4), axis=axis, opset=13)
            o.case(op, o.randn(2, 3, 8, scale=4), axis=axis, opset=11)
        o.case(op, o.randn(2, 9), opset=11)
        o.case(op, o.randn(2, 9, dtype="float64"), opset=13, note="f64")
        if op != "Hardmax":
            o.case(op, o.randn(2, 9, dtype="float16"), opset=13, note="f16")
    masked = o.randn(3, 6)
    masked[0, 2:] = -np.inf
    o.case("Softmax", masked, note="masked")
    o.case("Softmax", o.randn(2, 300, scale=20), note="wide")


def own_norm(o):
    for shape, axis in [((2, 5, 64), -1), ((2, 3, 4, 5), 2), ((3, 7), 1)]:
        norm = shape[axis:]
        for dt in ["float32", "float16"]:
            o.case("LayerNormalization", o.randn(*shape, dtype=dt, scale=3) + np.dtype(dt).type(2), o.randn(*norm, dtype=dt),
                   o.randn(*norm, dtype=dt), axis=axis, epsilon=1e-5, note=dt)
        o.case("LayerNormalization", o.randn(*shape), o.randn(*norm), axis=axis)
        o.case("RMSNormalization", o.randn(*shape), o.randn(*norm), axis=axis, opset=23)
    o.case("LayerNormalization", o.randn(2, 64), o.randn(64), o.randn(64), outputs=3, stash_type=1)
    o.case("InstanceNormalization", o.randn(2, 3, 40) + 5, o.randn(3), o.randn(3), epsilon=1e-6)
    o.case("InstanceNormalization", o.randn(2, 3, 4, 5), o.randn(3), o.randn(3))
    o.case("GroupNormalization", o.randn(2, 6, 4, 3), o.randn(3), o.randn(3), opset=18, num_groups=3)
    o.case("GroupNormalization", o.randn(2, 6, 4, 3) + 4, o.randn(6), o.randn(6), opset=21, num_groups=2, epsilon=1e-6)
    o.case("BatchNormalization", o.randn(2, 3, 4, 5), o.randn(3), o.randn(3), o.randn(3), np.abs(o.randn(3)) + np.float32(0.1), opset=15)


def own_product(o):
    for a, b in [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 6)), ((4,), (4, 5)),
                 ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4,)), ((3, 4), (2, 4, 5)), ((1, 3, 4), (2, 4, 5)), ((2, 3, 0), (0, 5)),
                 ((37, 70), (70, 53)), ((2, 8, 17, 40), (2, 8, 40, 19)), ((2, 1, 3, 4), (1, 4, 2)), ((130, 3), (3, 7))]:
        o.case("MatMul", o.randn(*a), o.randn(*b))
    o.case("MatMul", o.randn(3, 4, dtype="float64"), o.randn(4, 5, dtype="float64"), note="f64")
    o.case("MatMul", o.randn(3, 4, dtype="float16"), o.randn(4, 5, dtype="float16"), note="f16")
    o.case("MatMul", o.ints(-9, 9, 3, 4), o.ints(-9, 9, 4, 2), note="int64")
    o.case("MatMul", o.ints(-9, 9, 3, 4, dtype="int32"), o.ints(-9, 9, 4, 2, dtype="int32"), note="int32")
    for ta in [0, 1]:
        for tb in [0, 1]:
            for c in [(7,), (5, 1), (5, 7), (), (1, 7)]:
                o.case("Gemm", o.randn(*((5, 9)[::-1] if ta else (5, 9))), o.randn(*((9, 7)[::-1] if tb else (9, 7))),
                       o.randn(*c), transA=ta, transB=tb, alpha=[1.0, 0.5][tb], beta=[1.0, 2.0][ta])
    o.case("Gemm", o.randn(5, 9), o.randn(9, 7))
    o.case("Gemm", o.randn(5, 9), o.randn(9, 7), o.randn(7), alpha=0.0)
    o.case("Gemm", o.randn(5, 9), o.randn(9, 7), o.randn(7), beta=0.0)
    o.case("Gemm", o.randn(2, 3, dtype="float64"), o.randn(3, 2, dtype="float64"), o.randn(2, dtype="float64"), alpha=0.5, beta=3.0)
    own_conv(o)
    for eq, shapes in [("ij,jk->ik", [(3, 4), (4, 5)]), ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]),
                       ("nhwpqc->nchpwq", [(1, 2, 3, 2, 2, 4)]), ("ii->i", [(4, 4)]), ("ij->", [(3, 4)]), ("ij->j", [(3, 4)]),
                       ("bij,bjk->bki", [(2, 3, 4), (2, 4, 5)]), ("i,j->ij", [(3,), (4,)]), ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
                       ("ij,jk", [(3, 4), (4, 5)]), ("bn,anm,bm->ba", [(2, 3), (4, 3, 5), (2, 5)]), ("bhwc,hkc->bhwk", [(2, 3, 4, 5), (3, 6, 5)]),
                       ("i,i->", [(5,), (5,)])]:
        o.case("Einsum", *[o.randn(*s) for s in shapes], equation=eq)


def own_conv(o):
    for x, w, kw in [
        ((2, 3, 9, 8), (5, 3, 3, 3), {"pads": [1, 1, 1, 1]}), ((1, 4, 7, 7), (6, 4, 1, 1), {}),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"pads": [0, 0, 1, 1], "strides": [2, 2]}), ((1, 3, 8, 8), (4, 3, 4, 4), {"strides": [4, 4]}),
        ((1, 4, 9, 9), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}), ((1, 4, 9, 9), (6, 2, 3, 3), {"group": 2}),
        ((1, 2, 9, 9), (3, 2, 3, 3), {"dilations": [2, 2], "pads": [2, 2, 2, 2]}), ((2, 3, 11), (4, 3, 3), {"pads": [1, 1]}),
        ((1, 2, 5, 7), (3, 2, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}), ((1, 2, 5, 7), (3, 2, 3, 2), {"auto_pad": "SAME_LOWER"}),
        ((1, 2, 5, 7), (3, 2, 3, 2), {"auto_pad": "VALID"}), ((1, 33, 16, 16), (40, 33, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((1, 8, 3, 5), (3, 8, 3, 5), {}),
    ]:
        o.case("Conv", o.randn(*x), o.randn(*w, scale=0.3), o.randn(w[0]), **kw)
    o.case("Conv", o.randn(1, 3, 6, 6), o.randn(4, 3, 3, 3))
    o.case("Conv", o.randn(1, 3, 6, 6, dtype="float16"), o.randn(4, 3, 3, 3, dtype="float16"), o.randn(4, dtype="float16"))
    o.case("Conv", o.randn(1, 3, 6, 6, dtype="float64"), o.randn(4, 3, 3, 3, dtype="float64"), o.randn(4, dtype="float64"), pads=[1, 1, 1, 1])
    for x, w, kw in [((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
                     ((2, 4, 4, 4), (4, 3, 2, 2), {"strides": [2, 2]}), ((1, 4, 6), (4, 2, 3), {}),
                     ((1, 4, 3, 3), (4, 2, 3, 3), {"group": 2, "dilations": [2, 1]})]:
        o.case("ConvTranspose", o.randn(*x), o.randn(*w), o.randn(w[1] * kw.get("group", 1)), **kw)


def own_attention(o):
    q, k, v = o.randn(2, 3, 5, 8), o.randn(2, 3, 6, 8), o.randn(2, 3, 6, 7)
    o.case("Attention", q, k, v, opset=23)
    o.case("Attention", q, k, v, o.randn(5, 6), opset=23)
    o.case("Attention", q, k, v, o.bools(2, 1, 5, 6) | (np.arange(6) == 0), opset=23)
    o.case("Attention", q, k, v, opset=23, is_causal=1, scale=0.3)
    o.case("Attention", o.randn(2, 5, 24), o.randn(2, 6, 24), o.randn(2, 6, 24), opset=23, q_num_heads=3, kv_num_heads=3)
    o.case("Attention", o.randn(2, 5, 24), o.randn(2, 6, 8), o.randn(2, 6, 8), opset=23, q_num_heads=6, kv_num_heads=2)


def own_image(o):
    x = o.randn(1, 2, 4, 5)
    none = np.zeros(0, np.float32)
    up2 = np.array([1, 1, 2, 2], np.float32)
    o.case("Resize", x, up2, opset=10, mode="nearest")
    o.case("Resize", x, up2, opset=10, mode="linear")
    for opset in [11, 13, 18, 19]:
        o.case("Resize", x, none, up2, opset=opset, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor", note="unet")
        o.case("Resize", x, none, none, i64(1, 2, 7, 9), opset=opset, mode="linear", coordinate_transformation_mode="pytorch_half_pixel", cubic_coeff_a=-0.75)
    for coords in ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]:
        for mode in ["nearest", "linear", "cubic"]:
            o.case("Resize", x, None, None, i64(1, 2, 8, 10), opset=13, mode=mode, coordinate_transformation_mode=coords)
            o.case("Resize", x, None, None, i64(1, 2, 3, 4), opset=13, mode=mode, coordinate_transformation_mode=coords)
    for nm in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]:
        o.case("Resize", x, None, np.array([1, 1, 1.7, 0.6], np.float32), opset=13, mode="nearest", nearest_mode=nm)
    o.case("Resize", o.randn(1, 3, 8, 8), None, None, i64(1, 3, 5, 5), opset=18, mode="cubic", antialias=1)
    o.case("Resize", o.randn(1, 3, 8, 8), None, None, i64(1, 3, 5, 5), opset=18, mode="linear", antialias=1)
    o.case("Resize", o.ints(0, 255, 1, 1, 3, 3, dtype="uint8"), None, up2, opset=13, mode="nearest")
    o.case("Resize", o.randn(1, 2, 4, 5, dtype="float16"), None, up2, opset=13, mode="nearest")
    o.case("Upsample", x, up2, opset=9, mode="nearest")
    for kw in [{"kernel_shape": [3, 3]}, {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 1, 0, 1]},
               {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}]:
        o.case("MaxPool", o.randn(1, 2, 6, 7), **kw)
        o.case("AveragePool", o.randn(1, 2, 6, 7), **kw, opset=19)
        o.case("AveragePool", o.randn(1, 2, 6, 7), **kw, count_include_pad=1, opset=19)
    o.case("MaxPool", o.randn(1, 2, 9), kernel_shape=[3], dilations=[2])
    o.case("GlobalAveragePool", o.randn(2, 3, 4, 5))
    o.case("GlobalMaxPool", o.randn(2, 3, 4, 5))


REFS = ("in", "out", "cot", "grad")  # entries of a case that refer to tensors


def refs_of(case):
    """The numbers of the tensors that a case refers to."""
    refs = [r for key in REFS for r in case.get(key, [])] + [a["t"] for a in case["attrs"].values() if "t" in a]
    return {r for r in refs if r >= 0}


def write(folder, family, command="python tests/oracle/ops.py", seed=SEED, oracle=f"onnxruntime {onnxruntime.__version__}"):
    """Stores a family in as many files as the size limit asks for."""
    parts, cases, used, size = [], [], set(), 0
    for case in family.cases:
        refs = refs_of(case)
        more = sum(family.tensors[r].nbytes + 90 for r in refs - used) + len(json.dumps(case)) + 40
        if cases and size + more > LIMIT - 4096:
            parts.append(cases)
            cases, used, size = [], set(), 0
            more = sum(family.tensors[r].nbytes + 90 for r in refs) + len(json.dumps(case)) + 40
        cases.append(case)
        used |= refs
        size += more
    parts.append(cases)
    for i, cases in enumerate(parts):
        path = folder / f"{family.name}{i + 1 if len(parts) > 1 else ''}.safetensors"
        write_part(path, family, cases, command, seed, oracle)
        print(f"{path.name}: {len(cases)} cases, {path.stat().st_size} bytes")
        assert path.stat().st_size <= LIMIT


def write_part(path, family, cases, command, seed, oracle):
    renumber, blobs, header, at = {}, [], {}, 0

    def ref(r):
        nonlocal at
        if r < 0:
            return -1
        if r not in renumber:
            v = family.tensors[r]
            renumber[r] = len(renumber)
            data = v.tobytes()
            header[str(renumber[r])] = {"dtype": DTYPES[v.dtype.name], "shape": list(v.shape), "data_offsets": [at, at + len(data)]}
            blobs.append(data)
            at += len(data)
        return renumber[r]

    out = []
    for case in cases:
        attrs = {k: ({"t": ref(a["t"])} if "t" in a else a) for k, a in case["attrs"].items()}
        out.append({**case, "attrs": attrs, **{k: [ref(r) for r in case[k]] for k in REFS if k in case}})
    header["__metadata__"] = {
        "cases": json.dumps(out, separators=(",", ":")), "seed": str(seed), "command": command,
        "versions": f"onnx {onnx.__version__}, {oracle}, numpy {np.__version__}",
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "internal/graph/testdata/ops")
    folder.mkdir(parents=True, exist_ok=True)
    families = {name: Family(name) for name in FAMILIES}
    official(families)
    own = Own(families)
    for make in [own_elementwise, own_binary, own_cast, own_shape, own_gather, own_reduce, own_norm, own_product,
                 own_attention, own_image]:
        make(own)
    for name in families:  # contrib.py has files of its own here
        for old in folder.glob(f"{name}*.safetensors"):
            old.unlink()
    for family in families.values():
        write(folder, family)
        for line in family.skipped:
            print(f"  left out: {line}")


if __name__ == "__main__":
    main()
