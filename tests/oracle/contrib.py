"""Golden values for the operators of ONNX Runtime's own domain, com.microsoft.

Every case is one node with its inputs and expected outputs, in the store of ops.py. Sources:

* ONNX Runtime's CPU kernels, with graph optimisations off; float16 where it has such kernels, else float32 on the same
  numbers, rounded to float16;
* torch, for the operators without a CPU kernel: GroupNorm, SkipGroupNorm, NhwcConv, BiasSplitGelu, BiasAdd, and for the
  packed forms of MultiHeadAttention, which are unpacked first and then given to ONNX Runtime.

contrib_models.py checks the definitions used here against what ONNX Runtime's optimiser makes of whole networks.

Usage: python tests/oracle/contrib.py [output folder, default internal/graph/testdata/ops]
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import helper

from ops import Family, onnx_type, write

SEED = 20261126
MS = "com.microsoft"


def run_ort(node, feeds, outputs, opset):
    """Runs one node; raises what ONNX Runtime raises."""
    graph = helper.make_graph(
        [node], "case", [helper.make_tensor_value_info(n, onnx_type(v), v.shape) for n, v in feeds.items()],
        [onnx.ValueInfoProto(name=o) for o in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def widen(v):
    return v.astype(np.float32) if v is not None and v.dtype == np.float16 else v


class Contrib:
    def __init__(self):
        self.family = Family("contrib")
        self.rng = np.random.default_rng(SEED)
        self.count = {}

    def randn(self, *shape, dtype="float32", scale=1.0):
        return (self.rng.standard_normal(shape) * scale).astype(dtype)

    def ints(self, lo, hi, *shape):
        return self.rng.integers(lo, hi, shape).astype(np.int32)

    def node(self, op, ins, outputs, domain, attrs):
        names = [f"y{i}" if i in outputs else "" for i in range(max(outputs) + 1)]
        return helper.make_node(op, [f"x{i}" if v is not None else "" for i, v in enumerate(ins)], names, domain=domain, **attrs)

    def enter(self, node, ins, outs, by, opset, note):
        k = self.count[node.op_type] = self.count.get(node.op_type, 0) + 1
        name = f"ms_{node.op_type.lower()}_{k}" + (f"_{note}" if note else "")
        got = iter(outs)
        listed = [next(got) if n else None for n in node.output]
        self.family.add(name, node, opset if node.domain == "" else 1, ins, listed, by)

    def ort(self, op, *ins, outputs=(0,), domain=MS, opset=17, note="", **attrs):
        """A case by ONNX Runtime's kernel."""
        node = self.node(op, ins, outputs, domain, attrs)
        feeds = {f"x{i}": np.asarray(v) for i, v in enumerate(ins) if v is not None}
        names = [n for n in node.output if n]
        by = "onnxruntime " + onnxruntime.__version__
        half = any(v.dtype == np.float16 for v in feeds.values())
        try:
            outs = run_ort(node, feeds, names, opset)
        except Exception as why:  # noqa: BLE001 - no float16 kernel
            if not half or "NOT_IMPLEMENTED" not in str(why) and "Could not find an implementation" not in str(why):
                raise
            outs = run_ort(node, {n: widen(v) for n, v in feeds.items()}, names, opset)
            outs = [o.astype(np.float16) if o.dtype == np.float32 else o for o in outs]
            by += " in float32"
        self.enter(node, list(ins), outs, by, opset, note or ("f16" if half else ""))

    def given(self, op, ins, outs, note="", outputs=None, by=None, **attrs):
        """A case whose results come from a formula."""
        node = self.node(op, ins, outputs or tuple(range(len(outs))), MS, attrs)
        self.enter(node, list(ins), outs, by or "torch " + torch.__version__, 17, note)


def activations(c):
    for dt in ["float32", "float16"]:
        x = c.randn(2, 5, 12, dtype=dt, scale=2)
        c.ort("Gelu", x)
        c.ort("BiasGelu", x, c.randn(12, dtype=dt))
        c.ort("FastGelu", x)
        c.ort("FastGelu", x, c.randn(12, dtype=dt))
        c.ort("QuickGelu", x)
        c.ort("QuickGelu", x, alpha=1.0)
        c.ort("QuickGelu", x, alpha=-0.75)
    for dt in ["float32", "float16"]:
        x, b = c.randn(2, 3, 16, dtype=dt, scale=2), c.randn(16, dtype=dt)
        left, right = torch.from_numpy(widen(x) + widen(b)).chunk(2, -1)
        c.given("BiasSplitGelu", [x, b], [(left * F.gelu(right)).numpy().astype(dt)], note=dt)
        skip = c.randn(2, 3, 16, dtype=dt)
        c.given("BiasAdd", [x, b, skip], [(widen(x) + widen(b) + widen(skip)).astype(dt)], note=dt)


def nhwc(v):
    return np.ascontiguousarray(v.transpose(0, 2, 3, 1))


def group_norm(x, gamma, beta, groups, eps, act):
    """x [N,C,H,W] float32."""
    y = F.group_norm(torch.from_numpy(x), groups, torch.from_numpy(widen(gamma)), torch.from_numpy(widen(beta)), eps)
    return (F.silu(y) if act else y).numpy()


def group_norms(c):
    for dt, wt in [("float32", "float32"), ("float16", "float32"), ("float16", "float16")]:
        for act in [0, 1]:
            for last in [1, 0]:
                x = c.randn(2, 6, 3, 5, dtype=dt, scale=2) + np.dtype(dt).type(1)
                gamma, beta, bias = c.randn(6, dtype=wt), c.randn(6, dtype=wt), c.randn(6, dtype=dt)
                lay = nhwc if last else (lambda v: v)
                kw = {"groups": 3, "epsilon": 1e-4, "activation": act}
                if not last or act:  # channels_last is the default
                    kw["channels_last"] = last
                note = f"{dt}_{wt}"
                y = group_norm(widen(x), gamma, beta, 3, 1e-4, act)
                c.given("GroupNorm", [lay(x), gamma, beta], [lay(y).astype(dt)], note=note, **kw)
                full = c.randn(2, 6, 3, 5, dtype=dt)
                flat = c.randn(2, 6, dtype=dt)
                forms = [(lay(full), full), (flat, flat[:, :, None, None]), (lay(flat[:, :, None, None]), flat[:, :, None, None])]
                for i, (skip, wide) in enumerate(forms):
                    with_bias = (i + act) % 2 == 0
                    s = widen(x) + widen(wide) + (widen(bias)[:, None, None] if with_bias else 0)
                    y = group_norm(s, gamma, beta, 3, 1e-4, act)
                    ins = [lay(x), gamma, beta, skip] + ([bias] if with_bias else [])
                    outs = [lay(y).astype(dt), lay(s).astype(dt)][: 1 + i % 2]
                    c.given("SkipGroupNorm", ins, outs, note=note, **kw)


def conv(c):
    for dt in ["float32", "float16"]:
        for x, w, kw in [((2, 3, 6, 5), (4, 3, 3, 3), {"pads": [1, 1, 1, 1]}), ((1, 4, 7, 6), (5, 4, 1, 1), {}),
                         ((1, 4, 8, 8), (6, 2, 3, 3), {"group": 2, "strides": [2, 2], "pads": [0, 0, 1, 1]}),
                         ((1, 2, 9, 9), (3, 2, 3, 3), {"dilations": [2, 2], "kernel_shape": [3, 3], "auto_pad": "VALID"})]:
            a, k = c.randn(*x, dtype=dt), c.randn(*w, dtype=dt, scale=0.3)
            for b in [None, c.randn(w[0], dtype=dt)]:
                p = kw.get("pads", [0, 0, 0, 0])
                y = F.conv2d(F.pad(torch.from_numpy(widen(a)), (p[1], p[3], p[0], p[2])), torch.from_numpy(widen(k)),
                             None if b is None else torch.from_numpy(widen(b)), kw.get("strides", 1), 0,
                             kw.get("dilations", 1), kw.get("group", 1)).numpy().astype(dt)
                c.given("NhwcConv", [nhwc(a), nhwc(k)] + ([] if b is None else [b]), [nhwc(y)], note=dt, **kw)
    for act, params in [("Relu", None), ("Sigmoid", None), ("Tanh", None), ("LeakyRelu", [0.2]), ("HardSigmoid", [0.3, 0.4]),
                        ("Clip", [-0.5, 0.5])]:
        kw = {"activation": act, **({"activation_params": params} if params else {})}
        c.ort("FusedConv", c.randn(1, 3, 6, 6), c.randn(4, 3, 3, 3, scale=0.3), c.randn(4), pads=[1, 1, 1, 1], **kw)
    c.ort("FusedConv", c.randn(1, 3, 6, 6), c.randn(4, 3, 3, 3, scale=0.3), c.randn(4), c.randn(1, 4, 4, 4), activation="Relu")
    c.ort("FusedConv", c.randn(1, 3, 6, 6), c.randn(4, 3, 3, 3, scale=0.3), None, c.randn(1, 4, 4, 4), activation="Relu")
    for k in [[2, 2], [3, 2]]:
        c.ort("NhwcMaxPool", c.rng.integers(0, 255, (1, 6, 5, 3)).astype(np.uint8), kernel_shape=k, strides=[2, 1], pads=[1, 0, 0, 1])


def products(c):
    for ta in [0, 1]:
        for tb in [0, 1]:
            for batch in [(), (2, 3)]:
                a = c.randn(*batch, *((5, 4) if ta else (4, 5)))
                b = c.randn(*batch, *((6, 5) if tb else (5, 6)))
                c.ort("FusedMatMul", a, b, transA=ta, transB=tb, alpha=[1.0, 0.25][tb])
                c.ort("TransposeMatMul", a, b, transA=ta, transB=tb)
            for ba, bb in [(1, 0), (0, 1), (1, 1)]:
                a, b = c.randn(2, 3, *((5, 4) if ta else (4, 5))), c.randn(2, 3, *((6, 5) if tb else (5, 6)))
                if ba:  # [rows, batch…, columns] of the operand before transA
                    a = np.ascontiguousarray(np.moveaxis(a, 2, 0))
                if bb:
                    b = np.ascontiguousarray(np.moveaxis(b, 2, 0))
                c.ort("FusedMatMul", a, b, transA=ta, transB=tb, transBatchA=ba, transBatchB=bb, note="batch")
    for act, kw in [("Relu", {}), ("Sigmoid", {}), ("LeakyRelu", {"activation_alpha": 0.3}),
                    ("HardSigmoid", {"activation_alpha": 0.25, "activation_beta": 0.45}), ("Tanh", {})]:
        c.ort("FusedGemm", c.randn(3, 4), c.randn(4, 5), c.randn(5), activation=act, alpha=0.5, beta=2.0, **kw)
    c.ort("FusedGemm", c.randn(4, 3), c.randn(5, 4), activation="Relu", transA=1, transB=1)


def layer_norms(c):
    for dt in ["float32", "float16"]:
        for shape, skip in [((2, 3, 8), (2, 3, 8)), ((2, 3, 8), (1, 3, 8)), ((2, 3, 8), (3, 8)), ((6, 8), (6, 8))]:
            x, s, g, b, bias = c.randn(*shape, dtype=dt), c.randn(*skip, dtype=dt), *(c.randn(8, dtype=dt) for _ in range(3))
            c.ort("SkipLayerNormalization", x, s, g, b, bias, epsilon=1e-5)
            c.ort("SkipLayerNormalization", x, s, g, None, bias, outputs=(0, 3))
            c.ort("SkipLayerNormalization", x, s, g, b, outputs=(0, 3), epsilon=1e-3)
            c.ort("SkipLayerNormalization", x, s, g)
            c.ort("SkipSimplifiedLayerNormalization", x, s, g, bias, outputs=(0, 3), epsilon=1e-5)
            c.ort("SkipSimplifiedLayerNormalization", x, s, g, epsilon=1e-6)
        for shape, axis in [((2, 3, 8), -1), ((2, 3, 4), 1)]:
            x, g = c.randn(*shape, dtype=dt), c.randn(*shape[axis:], dtype=dt)
            c.ort("SimplifiedLayerNormalization", x, g, domain="", axis=axis, epsilon=1e-5)
            c.ort("SimplifiedLayerNormalization", x, g, domain="", axis=axis, opset=14)
    x, g, b = c.randn(2, 3, 8), c.randn(8), c.randn(8)
    for opset in [14, 16]:  # before ONNX had the operator
        c.ort("LayerNormalization", x, g, b, domain="", axis=-1, epsilon=1e-5, opset=opset, note=f"opset{opset}")
    ids, seg = c.ints(0, 11, 2, 5), c.ints(0, 2, 2, 5)
    word, pos, segment = c.randn(11, 8), c.randn(7, 8), c.randn(2, 8)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    op = "EmbedLayerNormalization"
    c.ort(op, ids, seg, word, pos, segment, g, b, mask, outputs=(0, 1), epsilon=1e-12)
    c.ort(op, ids, None, word, pos, None, g, b, outputs=(0, 1), epsilon=1e-5)
    c.ort(op, ids, None, word, pos, None, g, b, mask, c.ints(0, 7, 2, 5), outputs=(0, 1, 2))
    c.ort(op, ids, seg, word, pos, segment, g, b, None, c.ints(0, 7, 1, 5), outputs=(0, 1, 2))
    half = [v.astype(np.float16) for v in [word, pos, segment, g, b]]
    c.ort(op, ids, seg, *half, mask, outputs=(0, 1))


def dropout(c):
    x, bias, residual = c.randn(2, 3, 8), c.randn(8), c.randn(2, 3, 8)
    for b in [bias, c.randn(2, 3, 8)]:
        for r in [None, residual]:
            y = x + b + (0 if r is None else r)
            c.given("BiasDropout", [x, b] + ([] if r is None else [r]), [y])
    c.given("BiasDropout", [x, bias, residual, np.array(0.5, np.float32), np.array(False)], [x + bias + residual, np.ones(x.shape, bool)])


def rotary(c):
    for dt in ["float32", "float16"]:
        for inter in [0, 1]:
            angle = c.randn(9, 4)
            cos, sin = np.cos(angle).astype(dt), np.sin(angle).astype(dt)
            ids = c.rng.integers(0, 9, (2, 5)).astype(np.int64)
            c.ort("RotaryEmbedding", c.randn(2, 5, 24, dtype=dt), ids, cos, sin, interleaved=inter)
            c.ort("RotaryEmbedding", c.randn(2, 5, 24, dtype=dt), np.array([3], np.int64), cos, sin, interleaved=inter)
            c.ort("RotaryEmbedding", c.randn(2, 3, 5, 8, dtype=dt), ids, cos, sin, interleaved=inter)
            c.ort("RotaryEmbedding", c.randn(2, 5, 36, dtype=dt), ids, cos, sin, interleaved=inter, num_heads=3, rotary_embedding_dim=8)


def masks(c, b, s, t, which):
    lens = c.ints(1, t + 1, b)
    flags = c.ints(0, 2, b, t)
    flags[:, 0] = 1
    full = c.ints(0, 2, b, s, t)
    full[:, :, 0] = 1
    return {
        "none": None, "lengths": lens, "flags": flags, "flags3": full, "hidden": np.zeros((b, t), np.int32),
        "cumulative": np.concatenate([lens, c.ints(0, 5, 2 * b + 2)]),
        "range": np.concatenate([lens, np.maximum(lens - 2, 0)]).astype(np.int32),
    }[which]


def multi_head(c):
    b, n, d = 2, 3, 4
    h = n * d
    op = "MultiHeadAttention"
    for s, length, dv in [(5, 5, 4), (3, 6, 4), (4, 6, 5)]:
        hv = n * dv
        for which in ["none", "lengths", "flags", "flags3", "cumulative", "hidden"]:
            for uni in [0, 1]:
                for extra in [0, 1]:
                    if uni and s != length or which != "none" and dv != d and extra:
                        continue
                    q, k, v = c.randn(b, s, h), c.randn(b, length, h), c.randn(b, length, hv)
                    bias = c.randn(2 * h + hv) if extra else None
                    score = c.randn(*[(b, n, s, length), (1, n, s, length), (b, 1, s, length)][uni + (s != length)]) if extra else None
                    kw = {"num_heads": n, "unidirectional": uni}
                    if extra:
                        kw.update(scale=0.3)
                    if extra or which == "hidden":
                        kw.update(mask_filter_value=-50.0)
                    c.ort(op, q, k, v, bias, masks(c, b, s, length, which), score, note=which, **kw)
    # A float16 case; keys and values in heads; states of earlier tokens.
    q16 = [c.randn(b, 5, h, dtype="float16") for _ in range(3)]
    c.ort(op, *q16, c.randn(3 * h, dtype="float16"), num_heads=n)
    c.ort(op, *q16, None, masks(c, b, 5, 5, "flags"), num_heads=n)
    c.ort(op, c.randn(b, 3, h), c.randn(b, n, 6, d), c.randn(b, n, 6, d), num_heads=n, note="heads")
    c.ort(op, c.randn(b, 3, h), c.randn(b, n, 6, d), c.randn(b, n, 6, d), None, masks(c, b, 3, 6, "flags"), num_heads=n, note="heads")
    for s, past in [(1, 4), (3, 2)]:
        for uni in [0, 1]:
            for mask in [None, masks(c, b, s, past + s, "flags")]:
                c.ort(op, c.randn(b, s, h), c.randn(b, s, h), c.randn(b, s, h), c.randn(3 * h), mask, None,
                      c.randn(b, n, past, d), c.randn(b, n, past, d), num_heads=n, unidirectional=uni, outputs=(0, 1, 2), note="past")
    c.ort(op, c.randn(b, 3, h), c.randn(b, 3, h), c.randn(b, 3, h), num_heads=n, outputs=(0, 1, 2), note="present")
    packed(c)


def packed(c):
    """Packed operands: ONNX Runtime's CPU kernel takes them apart only."""
    b, n, d, s, length = 2, 3, 4, 5, 6
    for dt in ["float32", "float16"]:
        for which in ["none", "flags"]:
            qkv, q, kv = c.randn(b, s, n, 3, d, dtype=dt), c.randn(b, s, n * d, dtype=dt), c.randn(b, length, n, 2, d, dtype=dt)
            for ins, parts, t in [([qkv], [qkv[:, :, :, i].reshape(b, s, n * d) for i in range(3)], s),
                                  ([q, kv], [q] + [kv[:, :, :, i].reshape(b, length, n * d) for i in range(2)], length)]:
                mask = masks(c, b, s, t, which)
                feeds = {"q": widen(parts[0]), "k": widen(parts[1]), "v": widen(parts[2])}
                names = ["q", "k", "v"]
                if mask is not None:
                    feeds["m"], names = mask, names + ["", "m"]
                node = helper.make_node("MultiHeadAttention", names, ["y"], domain=MS, num_heads=n)
                y = run_ort(node, feeds, ["y"], 17)[0].astype(dt)
                full = ins + [None] * (3 - len(ins)) + ([None, mask] if mask is not None else [])
                while full[-1] is None:
                    full.pop()
                c.given("MultiHeadAttention", full, [y], note=f"packed_{dt}",
                        by=f"onnxruntime {onnxruntime.__version__} on separate operands", num_heads=n)


def self_attention(c):
    b, s, width, n, d = 2, 5, 6, 3, 4
    h = n * d
    op = "Attention"
    for which in ["none", "lengths", "range", "flags", "flags3", "cumulative", "hidden"]:
        for uni in [0, 1]:
            x, w, bias = c.randn(b, s, width), c.randn(width, 3 * h, scale=0.5), c.randn(3 * h)
            # Where no key of a row is seen, the default of -10000 would leave scores three digits.
            kw = {"mask_filter_value": -64.0} if which == "hidden" or which == "range" and uni else {}
            c.ort(op, x, w, bias, masks(c, b, s, s, which), num_heads=n, unidirectional=uni, note=which, **kw)
            c.ort(op, x, w, bias, masks(c, b, s, s, which), None, c.randn(1 + uni, n, s, s), num_heads=n, unidirectional=uni,
                  scale=0.4, mask_filter_value=-64.0, note=which)
    c.ort(op, c.randn(b, s, width), c.randn(width, 2 * h + n * 5), c.randn(2 * h + n * 5), num_heads=n, qkv_hidden_sizes=[h, h, n * 5])
    c.ort(op, c.randn(b, s, width, dtype="float16"), c.randn(width, 3 * h, dtype="float16", scale=0.5), c.randn(3 * h, dtype="float16"),
          masks(c, b, s, s, "flags"), num_heads=n)
    for past in [3, 0]:
        for uni in [0, 1]:
            for which in ["none", "flags", "flags3"]:
                c.ort(op, c.randn(b, s, width), c.randn(width, 3 * h, scale=0.5), c.randn(3 * h), masks(c, b, s, past + s, which),
                      c.randn(2, b, n, past, d), num_heads=n, unidirectional=uni, outputs=(0, 1), note=f"past_{which}")
    c.ort(op, c.randn(b, s, width), c.randn(width, 3 * h, scale=0.5), c.randn(3 * h), num_heads=n, outputs=(0, 1), note="present")
    square(c, b, s, width, n, d)


def square(c, b, s, width, n, d):
    """Masks [B,1,M,M]: rows are positions, so queries behind a past of P tokens read rows P and following. ONNX Runtime has
    this form on other devices only; its CPU kernel gets the rows that count."""
    big = np.tril(np.ones((9, 9), np.int32))
    big[4, 3] = 0
    for past in [0, 2]:
        state = c.randn(2, b, n, past, d) if past else None
        ins = [c.randn(b, s, width), c.randn(width, 3 * n * d, scale=0.5), c.randn(3 * n * d)]
        rows = np.broadcast_to(big[past : past + s, : past + s], (b, s, past + s)).copy()
        node = helper.make_node("Attention", ["x", "w", "b", "m"] + (["p"] if past else []), ["y", "z"], domain=MS, num_heads=n)
        feeds = dict(zip("xwbm", [*ins, rows])) | ({"p": state} if past else {})
        outs = run_ort(node, feeds, ["y", "z"], 17)
        square_mask = np.broadcast_to(big, (b, 1, 9, 9)).copy()
        c.given("Attention", [*ins, square_mask] + ([state] if past else []), outs, note="square",
                by=f"onnxruntime {onnxruntime.__version__} on rows of the mask", num_heads=n)


def quantised(c):
    u8 = lambda *s: c.rng.integers(0, 256, s).astype(np.uint8)
    for bits in [4, 8]:
        for n, k, block in [(5, 32, 16), (3, 40, 16), (4, 64, 32)]:
            blocks = -(-k // block)
            kw = {"N": n, "K": k, "bits": bits, "block_size": block}
            b, s = u8(n, blocks, block * bits // 8), c.randn(n, blocks, scale=0.1)
            z, bias = u8(n, -(-blocks * bits // 8)), c.randn(n)
            c.ort("MatMulNBits", c.randn(2, 3, k), b, s, **kw)
            c.ort("MatMulNBits", c.randn(3, k), b, s, z, **kw)
            c.ort("MatMulNBits", c.randn(3, k), b, s.reshape(-1), z.reshape(-1), None, bias, **kw)
            if bits == 4:
                c.ort("MatMulNBits", c.randn(3, k), b, s, c.rng.uniform(3, 12, (n, blocks)).astype(np.float32), **kw)
                c.ort("MatMulNBits", c.randn(3, k, dtype="float16"), b, s.astype(np.float16), **kw)
    for dt in [np.uint8, np.int8]:
        q = c.rng.integers(0, 100, (3, 4)).astype(dt)
        scale, zero = np.float32(0.1), np.array(7, dt)
        c.ort("DequantizeLinear", q, scale, zero)
        c.ort("DequantizeLinear", q, c.rng.uniform(0.1, 1, 4).astype(np.float32), c.rng.integers(0, 9, 4).astype(dt), axis=1)
        c.ort("QuantizeLinear", c.randn(3, 4, scale=3), scale, zero)
        for b in [c.rng.integers(0, 100, (4, 5)).astype(dt)]:
            col, cz = c.rng.uniform(0.1, 1, 5).astype(np.float32), c.rng.integers(0, 9, 5).astype(dt)
            c.ort("DynamicQuantizeMatMul", c.randn(2, 3, 4), b, scale, zero, c.randn(5))
            c.ort("DynamicQuantizeMatMul", c.randn(3, 4), b, col, cz)
            c.ort("DynamicQuantizeMatMul", c.randn(3, 4), b, scale)
            c.ort("MatMulIntegerToFloat", u8(3, 4), b, np.float32(0.2), scale, np.array(9, np.uint8), zero, c.randn(5))
            c.ort("MatMulIntegerToFloat", u8(3, 4), b, np.float32(0.2), col, None, cz)
            c.ort("MatMulIntegerToFloat", u8(3, 4), b, np.float32(0.2), scale)


def group_query(c):
    op, s, n, m, d = "GroupQueryAttention", 5, 4, 2, 16
    cos, sin = np.cos(c.randn(20, d // 2)), np.sin(c.randn(20, d // 2))
    lens = lambda *v: np.array(v, np.int32)
    for kw in [{}, {"do_rotary": 1}, {"do_rotary": 1, "rotary_interleaved": 1}, {"local_window_size": 2}, {"scale": 0.2}]:
        tables = [cos, sin] if "do_rotary" in kw else []
        kw = {"num_heads": n, "kv_num_heads": m, **kw}
        q, k, v = c.randn(2, s, n * d), c.randn(2, s, m * d), c.randn(2, s, m * d)
        c.ort(op, q, k, v, None, None, lens(s - 1, s - 1), np.array(s, np.int32), *tables, outputs=(0, 1, 2), note="first", **kw)
        c.ort(op, np.concatenate([q, k, v], -1), None, None, None, None, lens(s - 1, s - 1), np.array(s, np.int32), *tables,
              outputs=(0, 1, 2), note="packed", **kw)
        if "local_window_size" not in kw:  # where the window of a query that is padding holds no key, results are arbitrary
            c.ort(op, q, k, v, None, None, lens(2, s - 1), np.array(s, np.int32), *tables, note="padded", **kw)
        past = [c.randn(1, m, 3, d), c.randn(1, m, 3, d)]
        for new in [1, 2]:
            c.ort(op, q[:1, :new], k[:1, :new], v[:1, :new], *past, lens(2 + new), np.array(3 + new, np.int32), *tables,
                  outputs=(0, 1, 2), note="past", **kw)
    bias = c.randn(1, 1, s, s)
    c.ort(op, q, k, v, None, None, lens(s - 1, s - 1), np.array(s, np.int32), None, None, None, bias, outputs=(0, 1, 2), num_heads=n,
          kv_num_heads=m, note="bias")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "internal/graph/testdata/ops")
    c = Contrib()
    for make in [activations, group_norms, conv, products, layer_norms, dropout, rotary, multi_head, self_attention, quantised,
                 group_query]:
        make(c)
    for old in folder.glob("contrib*.safetensors"):
        old.unlink()
    write(folder, c.family, "python tests/oracle/contrib.py", SEED)
    for line in c.family.skipped:
        print(f"  left out: {line}")


if __name__ == "__main__":
    main()
