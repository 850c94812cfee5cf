"""Golden gradients for the graph operators, by torch.autograd.

Every case is one ONNX node with inputs, outputs, cotangents and the gradients of its floating-point inputs, in float64
unless the case is about another type. The outputs are there to show that the torch function of a case is the operator.
Kinks are part of the contract: what torch passes on at relu(0), at clip bounds and at ties of a maximum is expected here.

Usage: python tests/oracle/autograd.py [output folder, default internal/graph/testdata/grads]
Writes <family>.safetensors in the form of ops.py, with "cot" (by output) and "grad" (by input) beside "in" and "out".
"""

import pathlib
import sys

import numpy as np
import ops
import torch
import torch.nn.functional as F
from onnx import helper

LIMIT = 768 << 10  # bytes of all families together


class Gradients:
    """Makes the cases of one family."""

    def __init__(self, name):
        self.family = ops.Family(name)
        self.rng = np.random.default_rng([ops.SEED, *name.encode()])
        self.count = {}

    def randn(self, *shape, scale=1.0):
        return self.rng.standard_normal(shape) * scale

    def positive(self, *shape):
        return np.abs(self.randn(*shape)) + 0.25

    def case(self, op, ins, fn, opset=17, domain="", note="", fixed=(), **attrs):
        """Enters a node: fn computes its outputs (a tensor or a tuple) from torch tensors; None is an absent input. The
        gradient is taken for every floating-point input that is not in fixed."""
        given = [None if v is None else torch.from_numpy(np.array(v)) for v in ins]
        wrt = [i for i, v in enumerate(given) if v is not None and v.is_floating_point() and i not in fixed]
        for i in wrt:
            given[i].requires_grad_()
        outs = fn(*given)
        outs = outs if isinstance(outs, tuple) else (outs,)
        cots = [torch.from_numpy(np.asarray(self.randn(*y.shape))).to(y.dtype) if y.is_floating_point() else None for y in outs]
        live = [(y, c) for y, c in zip(outs, cots) if c is not None and y.requires_grad]
        grads = torch.autograd.grad([y for y, _ in live], [given[i] for i in wrt], [c for _, c in live], allow_unused=True)
        by_input = {i: torch.zeros_like(given[i]) if g is None else g for i, g in zip(wrt, grads)}
        array = lambda v: None if v is None else np.ascontiguousarray(v.detach().numpy()).reshape(v.shape)  # noqa: E731
        node = helper.make_node(op, [f"x{i}" if v is not None else "" for i, v in enumerate(ins)],
                                [f"y{i}" for i in range(len(outs))], domain=domain, **attrs)
        k = self.count[op] = self.count.get(op, 0) + 1
        name = f"{op.lower()}_{k}_opset{opset}" + (f"_{note}" if note else "")
        before = len(self.family.cases)
        self.family.add(name, node, opset, [array(v) for v in given], [array(y) for y in outs], "torch")
        assert len(self.family.cases) == before + 1, self.family.skipped
        refs = {"cot": [self.family.tensor(array(c)) for c in cots],
                "grad": [self.family.tensor(array(by_input.get(i))) for i in range(len(ins))]}
        self.family.cases[-1].update(refs)


def arithmetic(g):
    for a, b in [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((3, 1), (2, 1, 4)), ((), (3,)), ((2, 1, 1), (1, 5))]:
        g.case("Add", [g.randn(*a), g.randn(*b)], torch.add)
        g.case("Sub", [g.randn(*a), g.randn(*b)], torch.sub)
        g.case("Mul", [g.randn(*a), g.randn(*b)], torch.mul)
        g.case("Div", [g.randn(*a), g.positive(*b)], torch.div)


def unary(g):
    rows = {
        "Abs": torch.abs, "Neg": torch.neg, "Exp": torch.exp, "Sin": torch.sin, "Cos": torch.cos, "Tan": torch.tan,
        "Atan": torch.atan, "Sinh": torch.sinh, "Cosh": torch.cosh, "Asinh": torch.asinh, "Erf": torch.erf,
        "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Relu": F.relu, "Softplus": F.softplus, "Softsign": F.softsign,
        "HardSwish": F.hardswish, "Mish": F.mish, "Sign": torch.sign, "Floor": torch.floor, "Ceil": torch.ceil,
        "Round": torch.round, "Identity": lambda x: x * 1,
    }
    for op, fn in rows.items():
        g.case(op, [g.randn(2, 7, scale=2)], fn, opset=18)
    for op, fn in {"Log": torch.log, "Sqrt": torch.sqrt, "Reciprocal": torch.reciprocal}.items():
        g.case(op, [g.positive(9)], fn)
    for op, fn in {"Asin": torch.asin, "Acos": torch.acos, "Atanh": torch.atanh}.items():
        g.case(op, [np.tanh(g.randn(9)) * 0.9], fn)
    g.case("Acosh", [1 + g.positive(9)], torch.acosh)
    kinks = np.array([-3.0, -1, -0.5, -0.0, 0, 0.5, 1, 3])
    for op in ["Abs", "Relu", "HardSwish", "Softsign"]:
        g.case(op, [kinks], rows[op], opset=18, note="kinks")


def activations(g):
    kinks = np.array([-3.0, -1, -0.5, -0.0, 0, 0.5, 1, 3])
    for x, note in [(g.randn(2, 7), ""), (kinks, "kinks")]:
        g.case("LeakyRelu", [x], lambda x: F.leaky_relu(x, 0.25), alpha=0.25, note=note)
        g.case("ThresholdedRelu", [x], lambda x: F.threshold(x, 0.5, 0), alpha=0.5, note=note)
        g.case("Elu", [x], lambda x: F.elu(x, 1.5), alpha=1.5, note=note)
        g.case("Selu", [x], lambda x: 1.25 * F.elu(x, 1.5), alpha=1.5, gamma=1.25, note=note)
        g.case("Celu", [x], lambda x: F.celu(x, 0.5), alpha=0.5, note=note)
        g.case("Shrink", [x], lambda x: F.hardshrink(x, 0.5), lambd=0.5, note=note)
        g.case("Shrink", [x], lambda x: F.softshrink(x, 0.5), lambd=0.5, bias=0.5, note=note)
        g.case("PRelu", [x, g.positive(x.shape[-1])], lambda x, a: torch.where(x > 0, x, a * x), note=note)
        g.case("PRelu", [x[None], np.array(0.25)], lambda x, a: F.prelu(x, a), note=note)
    g.case("HardSigmoid", [g.randn(2, 7, scale=2)], lambda x: torch.clamp(0.25 * x + 0.5, 0, 1), alpha=0.25, beta=0.5)
    g.case("HardSigmoid", [np.array([-9.0, -3, 3, 9])], F.hardsigmoid, alpha=1 / 6, beta=0.5, note="kinks")
    g.case("Swish", [g.randn(2, 7)], F.silu, opset=24)
    g.case("Swish", [g.randn(2, 7)], lambda x: x * torch.sigmoid(1.5 * x), opset=24, alpha=1.5)
    g.case("Gelu", [g.randn(2, 7, scale=2)], F.gelu, opset=20)
    g.case("Gelu", [g.randn(2, 7, scale=2)], lambda x: F.gelu(x, approximate="tanh"), opset=20, approximate="tanh")
    g.case("Silu", [g.randn(2, 7, scale=2)], F.silu, opset=1, domain="winnow")
    g.case("Gelu", [g.randn(2, 7, scale=2)], F.gelu, opset=1, domain="winnow")
    alpha = float(np.float32(1.702))
    g.case("QuickGelu", [g.randn(2, 7, scale=2)], lambda x: x * torch.sigmoid(alpha * x), opset=1, domain="winnow")
    g.case("QuickGelu", [g.randn(2, 7)], lambda x: x * torch.sigmoid(2.5 * x), opset=1, domain="winnow", alpha=2.5)


def binary(g):
    for e in [0.0, 1.0, 2.0, 3.0, 0.5, -1.0, 1.75]:
        g.case("Pow", [g.positive(2, 5), np.array(e)], torch.pow)
        g.case("Pow", [g.positive(2, 5), np.array(e)], lambda a, e: torch.pow(a, float(e)), fixed=[1], note="constant")
    g.case("Pow", [g.positive(2, 1, 3), g.randn(4, 1)], torch.pow)
    g.case("Pow", [np.array([0.0, 0, 0, -2, 2]), np.array([0.0, 2, 1, 2, 0])], torch.pow, fixed=[1], note="zeros")
    g.case("Pow", [np.array([0.0, 0, 2]), np.array([0.0, 2, 0])], torch.pow, note="zeros")
    g.case("Pow", [g.randn(5), i64(2)], torch.pow)
    for op, fn in {"Max": torch.maximum, "Min": torch.minimum}.items():
        g.case(op, [g.randn(2, 3), g.randn(3)], fn)
        g.case(op, [np.array([1.0, 2, 3, -0.0]), np.array([1.0, 3, 2, 0])], fn, note="ties")
        g.case(op, [g.randn(2, 3), g.randn(3), g.randn(2, 1)], lambda a, b, c, fn=fn: fn(fn(a, b), c))
        g.case(op, [g.randn(4)], lambda a: a * 1)
    g.case("Sum", [g.randn(2, 3), g.randn(3), g.randn(1)], lambda a, b, c: a + b + c)
    g.case("Mean", [g.randn(2, 3), g.randn(3), g.randn(2, 1)], lambda a, b, c: (a + b + c) / 3)
    g.case("Mod", [g.randn(3, 4, scale=4), g.positive(4)], torch.fmod, fmod=1)
    g.case("Mod", [g.randn(3, 4, scale=4), -g.positive(4)], torch.fmod, fmod=1)
    edge = np.array([-2.0, -0.5, 0, 0.5, 0.75, 3])
    for x, note in [(g.randn(3, 4), ""), (edge, "bounds")]:
        g.case("Clip", [x, np.array(-0.5), np.array(0.75)], torch.clamp, note=note)
        g.case("Clip", [x, np.array(0.75), np.array(-0.5)], torch.clamp, note=note + "crossed")
        g.case("Clip", [x, np.array(-0.5), np.array(0.75)], lambda x, *_: torch.clamp(x, -0.5, 0.75), fixed=[1, 2], note=note + "numbers")
        g.case("Clip", [x, None, np.array(0.75)], lambda x, lo, hi: torch.clamp(x, max=hi), note=note)
        g.case("Clip", [x, np.array(-0.5)], lambda x, lo: torch.clamp(x, min=lo), note=note)
        g.case("Clip", [x], lambda x: torch.clamp(x, -0.5, 0.75), opset=10, min=-0.5, max=0.75, note=note)
    g.case("Where", [g.rng.integers(0, 2, (2, 1, 4)).astype(bool), g.randn(3, 4), g.randn(1)], torch.where)
    g.case("Cast", [g.randn(5)], lambda x: x.float(), to=helper.np_dtype_to_tensor_dtype(np.dtype("float32")))
    g.case("Cast", [g.randn(5).astype("float32")], lambda x: x.double(), to=helper.np_dtype_to_tensor_dtype(np.dtype("float64")))
    g.case("CastLike", [g.randn(5), g.randn(1).astype("float32")], lambda x, y: x.float(), fixed=[1])
    g.case("Dropout", [g.randn(2, 3)], lambda x: x * 1, opset=13)


def reduce(g):
    def lines(fn):  # fn over a tuple of axes
        return lambda axes, keep: (lambda x, *_: fn(x, axes, keep))

    rows = {
        "ReduceSum": lines(torch.sum), "ReduceMean": lines(torch.mean),
        "ReduceSumSquare": lines(lambda x, a, k: (x * x).sum(a, k)),
        "ReduceL1": lines(lambda x, a, k: torch.linalg.vector_norm(x, 1, a, k)),
        "ReduceL2": lines(lambda x, a, k: torch.linalg.vector_norm(x, 2, a, k)),
        "ReduceLogSumExp": lines(torch.logsumexp), "ReduceMax": lines(torch.amax), "ReduceMin": lines(torch.amin),
    }
    for op, make in rows.items():
        since = 13 if op == "ReduceSum" else 18
        g.case(op, [g.randn(2, 3, 4)], make((1,), True), opset=12, axes=[1])
        g.case(op, [g.randn(2, 3, 4)], make((0, 2), False), opset=12, axes=[0, -1], keepdims=0)
        g.case(op, [g.randn(2, 3, 4), i64(-1)], make((2,), True), opset=since)
        g.case(op, [g.randn(2, 3), i64(0)], make((0,), False), opset=since, keepdims=0)
        g.case(op, [g.randn(2, 3)], make((0, 1), True), opset=since)
    g.case("ReduceLogSum", [g.positive(2, 3, 4), i64(1)], lambda x, _: x.sum(1, True).log(), opset=18)
    g.case("ReduceProd", [g.randn(2, 3, 4), i64(1)], lambda x, _: x.prod(1, True), opset=18)
    zeros = np.array([[2.0, 0, 3, -1], [0, 0, 4, 5], [1, 2, 3, 4]])
    g.case("ReduceProd", [zeros, i64(1)], lambda x, _: x.prod(1), opset=18, keepdims=0, note="zeros")
    g.case("ReduceProd", [zeros], lambda x: x.prod(0, True), opset=13, axes=[0], note="zeros")
    g.case("ReduceL2", [np.array([[0.0, 0], [3, 4]]), i64(1)], rows["ReduceL2"]((1,), True), opset=18, note="zeros")
    g.case("ReduceL1", [np.array([[0.0, 2], [-3, 4]]), i64(1)], rows["ReduceL1"]((1,), True), opset=18, note="zeros")
    ties = np.array([[1.0, 3, 3, 0], [2, 2, 2, 2], [-1, -4, 0, 5]])
    for op in ["ReduceMax", "ReduceMin"]:
        g.case(op, [ties, i64(1)], rows[op]((1,), True), opset=18, note="ties")
    for axis in [0, 1, -1]:
        for op, fn in {"Softmax": F.softmax, "LogSoftmax": F.log_softmax}.items():
            g.case(op, [g.randn(2, 3, 4)], lambda x, fn=fn, axis=axis: fn(x, axis), axis=axis)
    for op, fn in {"Softmax": F.softmax, "LogSoftmax": F.log_softmax}.items():
        g.case(op, [g.randn(2, 3, 4)], lambda x, fn=fn: fn(x.flatten(1), 1).view(x.shape), opset=11)
        g.case(op, [g.randn(2, 3, 4)], lambda x, fn=fn: fn(x.flatten(), 0).view(x.shape), opset=11, axis=0)
        g.case(op, [g.randn(2, 3, 4)], lambda x, fn=fn: fn(x, 2), opset=11, axis=-1)
    x = g.randn(2, 4, 3)
    for reverse in [0, 1]:
        for exclusive in [0, 1]:
            def cumsum(x, _, reverse=reverse, exclusive=exclusive):
                y = x.flip(1) if reverse else x
                y = y.cumsum(1) - (y if exclusive else 0)
                return y.flip(1) if reverse else y
            g.case("CumSum", [x, np.array(1)], cumsum, reverse=reverse, exclusive=exclusive)
    for largest in [0, 1]:
        def topk(x, _, largest=largest):
            v, i = x.topk(2, 1, bool(largest))
            return v, i
        g.case("TopK", [g.randn(2, 5, 3), i64(2)], topk, axis=1, largest=largest)
    g.case("TopK", [g.randn(2, 5), i64(3)], lambda x, _: x.topk(3, 1)[0])


def shape(g):
    x = g.randn(2, 3, 4)
    g.case("Reshape", [x, i64(4, -1)], lambda x, _: x.reshape(4, 6))
    g.case("Flatten", [x], lambda x: x.reshape(6, 4), axis=2)
    g.case("Squeeze", [x[:, :1], i64(1)], lambda x, _: x.squeeze(1))
    g.case("Unsqueeze", [x], lambda x: x[:, None], opset=11, axes=[1])
    g.case("Transpose", [x], lambda x: x.permute(1, 2, 0), perm=[1, 2, 0])
    g.case("Transpose", [x], lambda x: x.permute(2, 1, 0))
    g.case("Expand", [x[:, :1], i64(5, 1, 3, 1)], lambda x, _: x.expand(5, 2, 3, 4))
    g.case("Tile", [g.randn(2, 3), i64(2, 3)], lambda x, _: x.tile(2, 3))
    g.case("Concat", [x, g.randn(2, 1, 4), g.randn(2, 2, 4)], lambda *v: torch.cat(v, 1), axis=1)
    g.case("Split", [g.randn(2, 7), i64(1, 4, 2)], lambda x, _: x.split([1, 4, 2], 1), axis=-1)
    g.case("Split", [g.randn(5, 2)], lambda x: x.split(3, 0), opset=18, num_outputs=2)
    g.case("Split", [g.randn(4, 2)], lambda x: x.split(2, 0), opset=11, split=[2, 2])
    y = g.randn(5, 7)
    g.case("Slice", [y, i64(1, 0), i64(4, 99), i64(0, 1), i64(1, 3)], lambda x, *_: x[1:4, ::3])
    g.case("Slice", [y, i64(-1), i64(-99), i64(1), i64(-1)], lambda x, *_: x.flip(1))
    g.case("Slice", [y, i64(-2), i64(0), i64(1), i64(-2)], lambda x, *_: x.flip(1)[:, 1:6:2])
    g.case("Slice", [y, i64(2), i64(-1)], lambda x, *_: x[2:-1])
    z = g.randn(1, 2, 4, 5)
    g.case("Pad", [z, i64(0, 0, 1, 2, 0, 0, 3, 0), np.array(1.5)], lambda x, _, v: F.pad(x, (2, 0, 1, 3), value=0) + v * (F.pad(torch.ones_like(x), (2, 0, 1, 3)) == 0))
    g.case("Pad", [z, i64(0, 0, -1, 2, 0, 0, 3, -2)], lambda x, _: F.pad(x, (2, -2, -1, 3)))
    for mode, torch_mode in {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}.items():
        g.case("Pad", [z, i64(0, 0, 3, 2, 0, 0, 1, 4)], lambda x, _, m=torch_mode: F.pad(x, (2, 4, 3, 1), mode=m), opset=19, mode=mode)
    g.case("Trilu", [g.randn(2, 3, 4), np.array(1)], lambda x, _: x.triu(1))
    g.case("Trilu", [g.randn(3, 4)], lambda x: x.tril(), upper=0)
    g.case("DepthToSpace", [g.randn(1, 8, 2, 3)], lambda x: F.pixel_shuffle(x, 2), blocksize=2, mode="CRD")
    g.case("DepthToSpace", [g.randn(1, 8, 2, 3)], lambda x: x.view(1, 2, 2, 2, 2, 3).permute(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6), blocksize=2)
    g.case("SpaceToDepth", [g.randn(1, 2, 4, 6)], lambda x: x.view(1, 2, 2, 2, 3, 2).permute(0, 3, 5, 1, 2, 4).reshape(1, 8, 2, 3), blocksize=2)


def gather(g):
    x = g.randn(4, 5, 3)
    for axis in [0, 1, 2]:
        g.case("Gather", [x, i64([[0, 2], [-1, 2]])], lambda x, i, a=axis: torch.stack([x.select(a, int(k)) for k in i.flatten()], a).unflatten(a, (2, 2)), axis=axis)
        g.case("Gather", [x, i64(1, 0, -1, 1)], lambda x, i, a=axis: torch.cat([x.narrow(a, int(k) % x.shape[a], 1) for k in i], a), axis=axis, opset=13)
    g.case("Gather", [x, np.array(-2)], lambda x, _: x[:, -2], axis=1)
    idx = g.rng.integers(0, 4, (4, 5, 3))
    g.case("GatherElements", [x, idx], lambda x, i: x.gather(0, i))
    g.case("GatherElements", [x, idx[:2, :, :2] % 3 - 3], lambda x, i: x.gather(2, i % 3), axis=2)
    pairs = np.stack([g.rng.integers(0, 4, 6), g.rng.integers(0, 5, 6)], -1)
    g.case("GatherND", [x, pairs], lambda x, i: x[i[:, 0], i[:, 1]])
    g.case("GatherND", [x, g.rng.integers(0, 5, (4, 2, 1))], lambda x, i: x[torch.arange(4)[:, None], i[..., 0]], batch_dims=1)
    once = np.stack([np.random.default_rng(1).permutation(5)[:3] for _ in range(12)]).reshape(4, 3, 3).transpose(0, 2, 1).copy()
    g.case("ScatterElements", [x, once, g.randn(4, 3, 3)], lambda x, i, u: x.scatter(1, i, u), axis=1, opset=13)
    many = g.rng.integers(0, 5, (4, 6, 3))
    for name, rule in {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}.items():
        g.case("ScatterElements", [x, many, g.randn(4, 6, 3)], lambda x, i, u, r=rule: x.scatter_reduce(1, i, u, r), axis=1, opset=18, reduction=name)
    u = np.array([1.0, 0, 2, 0, 0, 3])
    g.case("ScatterElements", [np.array([2.0, 3, 4]), i64(0, 0, 0, 1, 1, 2), u], lambda x, i, u: x.scatter_reduce(0, i, u, "prod"), opset=18, reduction="mul", note="zeros")
    g.case("ScatterElements", [np.array([2.0, 3, 4]), i64(0, 0, 1, 1, 1, 2), np.array([2.0, 2, 5, 5, 1, 9])], lambda x, i, u: x.scatter_reduce(0, i, u, "amax"), opset=18, reduction="max", note="ties")
    unique = i64([[0, 1], [3, 4], [2, 0]])
    g.case("ScatterND", [x, unique, g.randn(3, 3)], lambda x, i, u: x.index_put((i[:, 0], i[:, 1]), u))
    g.case("ScatterND", [x, pairs, g.randn(6, 3)], lambda x, i, u: x.index_put((i[:, 0], i[:, 1]), u, accumulate=True), opset=16, reduction="add")
    keep = np.array([True, False, True, True])
    g.case("Compress", [x, keep[:3]], lambda x, c: x[:, [0, 2]], axis=1)
    g.case("Compress", [x, keep], lambda x, c: x.flatten()[[0, 2, 3]])
    g.case("OneHot", [i64([1, -1], [7, 0]), i64(4), g.randn(2)], lambda i, _, v: v[0] + (v[1] - v[0]) * torch.tensor(np.eye(5)[[[1, 3], [4, 0]]][..., :4].transpose(0, 2, 1)), axis=1)
    g.case("ReverseSequence", [g.randn(4, 3, 2), i64(1, 3, 4)], lambda x, n: torch.stack([torch.cat([x[:k, b].flip(0), x[k:, b]]) for b, k in enumerate([1, 3, 4])], 1))


def norm(g):
    eps = 2.0**-10
    for shape, axis in [((3, 7), -1), ((2, 3, 5), 1), ((2, 3, 5), 2)]:
        dims = shape[axis:]
        g.case("LayerNormalization", [g.randn(*shape), g.randn(*dims), g.randn(*dims)], lambda x, w, b, d=dims: F.layer_norm(x, d, w, b, eps), axis=axis, epsilon=eps)
        g.case("RMSNormalization", [g.randn(*shape), g.randn(*dims)], lambda x, w, d=dims: F.rms_norm(x, d, w, eps), axis=axis, epsilon=eps, opset=23)
    g.case("LayerNormalization", [g.randn(37, 6), g.randn(6)], lambda x, w: F.layer_norm(x, (6,), w, None, eps), epsilon=eps)
    g.case("LayerNormalization", [3 + g.randn(2, 5), g.randn(1, 5), g.randn(1, 5)], lambda x, w, b: F.layer_norm(x, (5,), w[0], b[0], eps), epsilon=eps)
    g.case("InstanceNormalization", [g.randn(2, 3, 5), g.randn(3), g.randn(3)], lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=eps), epsilon=eps)
    g.case("InstanceNormalization", [g.randn(2, 3, 2, 3), g.randn(3), g.randn(3)], lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=eps), epsilon=eps)
    per = lambda x, w, b: F.group_norm(x, 2, w.repeat_interleave(3), b.repeat_interleave(3), eps)  # noqa: E731
    g.case("GroupNormalization", [g.randn(2, 6, 5), g.randn(2), g.randn(2)], per, opset=18, num_groups=2, epsilon=eps)
    g.case("GroupNormalization", [g.randn(2, 6, 2, 3), g.randn(6), g.randn(6)], lambda x, w, b: F.group_norm(x, 3, w, b, eps), opset=21, num_groups=3, epsilon=eps)
    g.case("BatchNormalization", [g.randn(2, 3, 5), g.randn(3), g.randn(3), g.randn(3), g.positive(3)], lambda x, w, b, m, v: (x - m[:, None]) / torch.sqrt(v[:, None] + eps) * w[:, None] + b[:, None], epsilon=eps)
    g.case("MeanVarianceNormalization", [g.randn(2, 3, 4, 2)], lambda x: (x - x.mean((0, 2, 3), True)) / (x.std((0, 2, 3), correction=0, keepdim=True) + 1e-9))
    g.case("MeanVarianceNormalization", [g.randn(2, 5)], lambda x: (x - x.mean(1, True)) / (x.std(1, correction=0, keepdim=True) + 1e-9), axes=[-1])
    for p in [1, 2]:
        g.case("LpNormalization", [g.randn(2, 3, 4)], lambda x, p=p: F.normalize(x, p, 1), p=p, axis=1)
        g.case("LpNormalization", [g.randn(2, 3)], lambda x, p=p: F.normalize(x, p, -1), p=p)


def product(g):
    for a, w in [((3, 5), (5, 4)), ((5,), (5,)), ((5,), (2, 5, 3)), ((2, 3, 5), (5,)), ((2, 3, 5), (5, 4)), ((3, 5), (2, 5, 4)),
                 ((2, 3, 5), (2, 5, 4)), ((2, 1, 3, 5), (3, 5, 2)), ((2, 2, 3, 5), (1, 5, 4))]:
        g.case("MatMul", [g.randn(*a), g.randn(*w)], torch.matmul)
    for ta, tb in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        a, w = g.randn(*[(3, 5), (5, 3)][ta]), g.randn(*[(5, 4), (4, 5)][tb])
        turned = lambda x, t: x.T if t else x  # noqa: E731
        for bias in [(4,), (3, 1), (3, 4), ()]:
            g.case("Gemm", [a, w, g.randn(*bias)],
                   lambda a, w, c, ta=ta, tb=tb: 0.75 * (turned(a, ta) @ turned(w, tb)) - 1.5 * c,
                   transA=ta, transB=tb, alpha=0.75, beta=-1.5)
        g.case("Gemm", [a, w], lambda a, w, ta=ta, tb=tb: turned(a, ta) @ turned(w, tb), transA=ta, transB=tb)
    for eq, *shapes in [("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 2, 5)), ("ij,jk->ik", (3, 2), (2, 4)), ("ij->ji", (3, 2)),
                        ("...ij,...jk->...ik", (2, 1, 3, 2), (3, 2, 4)), ("ij->", (3, 2)), ("ij,kl->i", (3, 2), (2, 4)),
                        ("ii->i", (4, 4)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("i,i->", (4,), (4,))]:
        g.case("Einsum", [g.randn(*s) for s in shapes], lambda *x, eq=eq: torch.einsum(eq, *x), equation=eq)


def conv(g):
    by_rank = {3: (F.conv1d, F.conv_transpose1d), 4: (F.conv2d, F.conv_transpose2d), 5: (None, F.conv_transpose3d)}

    def forward(x, w, bias=True, stride=1, pad=0, dilation=1, group=1, end=None):
        n = len(x) - 2
        each = lambda v: list(v) if isinstance(v, tuple) else [v] * n  # noqa: E731
        begin, end = each(pad), each(pad if end is None else end)
        border = [v for b, e in zip(begin[::-1], end[::-1]) for v in (b, e)]  # F.pad names the last axis first
        g.case("Conv", [g.randn(*x), g.randn(*w)] + ([g.randn(w[0])] if bias else []),
               lambda x, w, b=None: by_rank[n + 2][0](F.pad(x, border), w, b, stride, 0, dilation, group),
               kernel_shape=w[2:], strides=each(stride), dilations=each(dilation), pads=begin + end, group=group)

    forward((2, 3, 5, 4), (4, 3, 3, 3), pad=1)
    forward((2, 5, 5, 4), (2, 5, 3, 3), pad=1, bias=False)
    forward((2, 3, 3, 2), (4, 3, 1, 1))
    forward((2, 3, 5, 4), (4, 3, 1, 1), stride=(2, 3))
    forward((2, 4, 3, 2), (6, 2, 1, 1), group=2)
    forward((2, 3, 9), (4, 3, 3), stride=2, pad=2, end=1, dilation=2)
    forward((2, 3, 6, 6), (3, 3, 3, 3), stride=2, pad=1)
    forward((1, 2, 6, 7), (3, 2, 3, 3), stride=2, pad=0, end=1)
    forward((1, 2, 9, 8), (2, 2, 2, 3), stride=(4, 5), pad=(1, 0), end=(0, 2))
    forward((1, 2, 8, 9), (3, 2, 3, 2), stride=(3, 2), dilation=(2, 3), pad=(2, 1), end=(0, 3))
    forward((2, 4, 5, 4), (6, 2, 3, 2), group=2, pad=(1, 0), end=(1, 1))
    forward((2, 6, 5, 4), (4, 3, 3, 2), group=2, pad=(1, 0), end=(1, 1))
    forward((2, 3, 5, 4), (6, 1, 3, 3), group=3, stride=(2, 1), pad=1)
    forward((1, 3, 3, 2), (2, 3, 2, 2), pad=(3, 2), end=(2, 3))

    def transposed(x, w, bias=True, stride=1, pad=0, extra=0, dilation=1, group=1):
        n = len(x) - 2
        each = lambda v: list(v) if isinstance(v, tuple) else [v] * n  # noqa: E731
        g.case("ConvTranspose", [g.randn(*x), g.randn(*w)] + ([g.randn(w[1] * group)] if bias else []),
               lambda x, w, b=None: by_rank[n + 2][1](x, w, b, stride, pad, extra, group, dilation), kernel_shape=w[2:],
               strides=each(stride), dilations=each(dilation), pads=each(pad) * 2, output_padding=each(extra), group=group)

    transposed((2, 3, 4, 3), (3, 2, 3, 3), pad=1)
    transposed((2, 3, 3, 2), (3, 2, 4, 4), stride=2, pad=1)
    transposed((1, 2, 3, 2), (2, 3, 3, 3), stride=(2, 3), pad=1, extra=(1, 2))
    transposed((1, 2, 3, 4), (2, 3, 3, 2), dilation=(2, 3), pad=(1, 0), bias=False)
    transposed((2, 3, 5), (3, 2, 3), stride=2, extra=1)
    transposed((2, 4, 3, 3), (4, 3, 2, 3), stride=(1, 2), group=2)


def resize(g):
    """Scales are such that coordinates are exact in float32, in which runtimes compute them."""
    def case(x, scale, mode, coords, opset=18, torch_mode=None, corners=None, antialias=False, **attrs):
        torch_mode = torch_mode or {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[mode]
        size = [int(n * s) for n, s in zip(x[2:], scale)]
        scales = np.array([1, 1, *scale], dtype=np.float32)
        if antialias:
            attrs["antialias"] = 1
        g.case("Resize", [g.randn(*x), None, scales],
               lambda x, _, s: F.interpolate(x, size=size, mode=torch_mode, align_corners=corners, antialias=antialias),
               opset=opset, fixed=(2,), mode=mode, coordinate_transformation_mode=coords, **attrs)

    for opset in [14, 18]:
        case((2, 3, 3, 4), (2, 2), "nearest", "asymmetric", opset, nearest_mode="floor")
        case((1, 2, 3, 4), (2, 2), "linear", "half_pixel", opset, corners=False)
    case((1, 2, 4, 6), (0.5, 1.5), "nearest", "asymmetric", nearest_mode="floor")
    case((1, 2, 3, 4), (2.5, 0.5), "nearest", "half_pixel", torch_mode="nearest-exact", nearest_mode="round_prefer_ceil")
    case((1, 2, 8, 4), (0.25, 2), "linear", "pytorch_half_pixel", corners=False)
    case((1, 2, 2, 4), (2.5, 1.75), "linear", "align_corners", corners=True)
    case((1, 2, 4, 5), (2, 2), "cubic", "half_pixel", corners=False)
    case((1, 1, 2, 4), (2.5, 1.75), "cubic", "align_corners", corners=True)
    case((1, 2, 8, 8), (0.5, 0.25), "linear", "half_pixel", corners=False, antialias=True, exclude_outside=1)
    case((1, 1, 8, 16), (0.5, 0.25), "cubic", "half_pixel", corners=False, antialias=True, exclude_outside=1, cubic_coeff_a=-0.5)


def pool(g):
    """Maxima without ties; torch and ONNX agree on how windows over the border are counted."""
    x4, x3 = g.randn(2, 3, 7, 6), g.randn(2, 3, 9)
    for stride, pad in [(2, 0), (3, 0), (1, 1), (2, 1)]:
        at = dict(kernel_shape=[3, 3], strides=[stride] * 2, pads=[pad] * 4)
        g.case("MaxPool", [x4], lambda x, s=stride, p=pad: F.max_pool2d(x, 3, s, p), **at)
        g.case("AveragePool", [x4], lambda x, s=stride, p=pad: F.avg_pool2d(x, 3, s, p, count_include_pad=False), **at)
        g.case("AveragePool", [x4], lambda x, s=stride, p=pad: F.avg_pool2d(x, 3, s, p), count_include_pad=1, **at)
    g.case("MaxPool", [x3], lambda x: F.max_pool1d(x, 3, 2, 1, 2), kernel_shape=[3], strides=[2], pads=[1, 1], dilations=[2])
    g.case("MaxPool", [x4], lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    g.case("AveragePool", [x3], lambda x: F.avg_pool1d(x, 4, 3, 1, ceil_mode=True, count_include_pad=False),
           opset=19, kernel_shape=[4], strides=[3], pads=[1, 1], ceil_mode=1)
    g.case("AveragePool", [g.randn(1, 2, 4, 3, 5)], lambda x: F.avg_pool3d(x, (2, 3, 2), (2, 1, 2)), kernel_shape=[2, 3, 2],
           strides=[2, 1, 2])
    for x in [x3, x4]:
        g.case("GlobalAveragePool", [x], lambda x: x.flatten(2).mean(2).reshape(*x.shape[:2], *[1] * (x.dim() - 2)))
        g.case("GlobalMaxPool", [x], lambda x: x.flatten(2).amax(2).reshape(*x.shape[:2], *[1] * (x.dim() - 2)))
    g.case("LpPool", [x4], lambda x: F.avg_pool2d(x**2, 2, 2).mul(4).sqrt(), p=2, kernel_shape=[2, 2], strides=[2, 2])


def attention(g):
    sdpa = F.scaled_dot_product_attention
    q, k, v = g.randn(2, 4, 3, 6), g.randn(2, 4, 5, 6), g.randn(2, 4, 5, 2)
    g.case("Attention", [q, k, v], lambda q, k, v: sdpa(q, k, v), opset=23)
    g.case("Attention", [q, k, v], lambda q, k, v: sdpa(q, k, v, scale=0.25), opset=23, scale=0.25)
    g.case("Attention", [q, q, q], lambda q, k, v: sdpa(q, k, v, is_causal=True), opset=23, is_causal=1)
    g.case("Attention", [q, k, v, g.randn(2, 1, 3, 5)], lambda q, k, v, m: sdpa(q, k, v, m), opset=23)
    seen = g.randn(3, 5) > -0.5
    seen[:, 0] = True
    g.case("Attention", [q, k, v, seen], lambda q, k, v, m: sdpa(q, k, v, m), opset=23)
    g.case("Attention", [q, k[:, :2], v[:, :2]], lambda q, k, v: sdpa(q, k, v, enable_gqa=True), opset=23)
    heads = lambda x, n: x.unflatten(2, (n, -1)).transpose(1, 2)  # noqa: E731
    g.case("Attention", [g.randn(2, 3, 8), g.randn(2, 5, 4), g.randn(2, 5, 6)],
           lambda q, k, v: sdpa(heads(q, 4), heads(k, 2), heads(v, 2), enable_gqa=True).transpose(1, 2).flatten(2),
           opset=23, q_num_heads=4, kv_num_heads=2)

    def turn(x, cos, sin):
        a, b = x.chunk(2, -1)
        return torch.cat([cos * a - sin * b, sin * a + cos * b], -1)

    def turn_pairs(x, cos, sin):
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack([cos * a - sin * b, sin * a + cos * b], -1).flatten(-2)

    tables = [g.randn(2, 3, 3), g.randn(2, 3, 3)]
    g.case("RotaryEmbedding", [q, *tables], lambda x, c, s: turn(x, c[:, None], s[:, None]), opset=23, fixed=(1, 2))
    g.case("RotaryEmbedding", [q, *tables], lambda x, c, s: turn_pairs(x, c[:, None], s[:, None]), opset=23, fixed=(1, 2), interleaved=1)
    at, rows = g.rng.integers(0, 7, (2, 3)), [g.randn(7, 2), g.randn(7, 2)]
    g.case("RotaryEmbedding", [q, *rows, at], lambda x, c, s, i: torch.cat(
        [turn(x[..., :4], c[i][:, None], s[i][:, None]), x[..., 4:]], -1), opset=23, fixed=(1, 2), rotary_embedding_dim=4)
    g.case("RotaryEmbedding", [g.randn(2, 3, 12), *tables], lambda x, c, s: turn(
        heads(x, 2), c[:, None], s[:, None]).transpose(1, 2).flatten(2), opset=23, fixed=(1, 2), num_heads=2)


def i64(*v):
    return np.array(v[0] if len(v) == 1 and isinstance(v[0], list) and isinstance(v[0][0], list) else v, dtype=np.int64)


FAMILIES = {"arithmetic": arithmetic, "unary": unary, "activations": activations, "binary": binary, "reduce": reduce,
            "shape": shape, "gather": gather, "norm": norm, "product": product, "conv": conv, "resize": resize,
            "pool": pool, "attention": attention}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "internal/graph/testdata/grads")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    made = []
    for name, make in FAMILIES.items():
        g = Gradients(name)
        make(g)
        made.append(g.family)
    for old in folder.glob("*.safetensors"):
        old.unlink()
    for family in made:
        ops.write(folder, family, "python tests/oracle/autograd.py", oracle=f"torch {torch.__version__}")
    total = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    print(f"{total} bytes in all")
    assert total <= LIMIT


if __name__ == "__main__":
    main()
