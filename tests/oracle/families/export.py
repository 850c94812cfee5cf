"""Exports, cleans and runs one network."""

import functools
import hashlib
import re
import tempfile

import hashed
import numpy as np
import onnx
import onnxruntime as ort
import torch
from diffusers.models.normalization import RMSNorm
from onnx import numpy_helper
from torch.overrides import TorchFunctionMode

# Tensors smaller than this stay in the file: the entry for external data would be longer.
INLINE = 16


def export(module, family, style, inputs):
    """Returns the model, and whether all of its axes are fixed because the exporter could not free them."""
    kind, opset = re.match(r"(ts|dyn)(\d+)", style).groups()

    def tensors():  # made anew for each attempt: the exporter leaves marks on them
        return {k: torch.from_numpy(np.array(v)) for k, v in inputs.items()}

    if kind == "ts":
        return clean(torchscript(module, tensors(), family, int(opset))), False
    for free in (lambda name: torch.export.Dim.DYNAMIC, functools.cache(torch.export.Dim)):
        try:
            return clean(dynamo(module, tensors(), family, int(opset), free)), False
        except Exception as e:  # the exporter raises what its passes happen to raise
            print(f"free axes refused: {type(e).__name__}")
    return clean(dynamo(module, tensors(), family, int(opset), None)), True


def spell_out(module):
    """Puts RMSNorm in elementary operators, for the TorchScript exporter knows no rms_norm."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.RMSNorm):
            norm = RMSNorm(child.normalized_shape[0], eps=child.eps, elementwise_affine=child.weight is not None)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, norm)
        else:
            spell_out(child)


class Traceable(TorchFunctionMode):
    """Writes two calls so that they can be exported: tracing fixes every axis at unflatten; squeeze of an axis whose length
    is not one becomes an If (TorchScript) or a Squeeze (dynamo) that ONNX Runtime rejects."""

    def __torch_function__(self, func, kinds, args=(), kwargs=None):
        if func is torch.Tensor.unflatten and args[1] == -1:
            return args[0].reshape(*args[0].shape[:-1], *args[2])
        if func is torch.Tensor.squeeze and len(args) == 2 and int(args[0].shape[args[1]]) != 1:
            return args[0]
        return func(*args, **(kwargs or {}))


def torchscript(module, args, family, opset):
    spell_out(module)
    with tempfile.TemporaryDirectory() as tmp, torch.no_grad(), Traceable():
        torch.onnx.export(
            module, tuple(args.values()), f"{tmp}/m.onnx", input_names=list(args), output_names=list(family.outputs),
            dynamic_axes=family.dynamic, opset_version=opset, dynamo=False, do_constant_folding=True)
        return onnx.load(f"{tmp}/m.onnx")


def dynamo(module, args, family, opset, free):
    shapes = None
    if free:
        shapes = {k: {i: free(name) for i, name in family.dynamic.get(k, {}).items()} for k in args}
    with tempfile.TemporaryDirectory() as tmp, torch.no_grad(), Traceable():
        torch.onnx.export(
            module, (), f"{tmp}/m.onnx", kwargs=args, input_names=list(args), output_names=list(family.outputs),
            dynamic_shapes=shapes, opset_version=opset, dynamo=True, external_data=False, verbose=False)
        return onnx.load(f"{tmp}/m.onnx")


def clean(model):
    """Removes what only tells where the export was made."""
    model.doc_string = ""
    del model.metadata_props[:]
    for g in graphs(model.graph):
        g.doc_string = ""
        del g.metadata_props[:]
        del g.value_info[:]
        for node in g.node:
            node.doc_string = ""
            kept = [(p.key, p.value) for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
            del node.metadata_props[:]
            for key, value in kept:
                node.metadata_props.add(key=key, value=value)
        for v in [*g.input, *g.output, *g.initializer]:
            v.doc_string = ""
            del v.metadata_props[:]
    return model


def graphs(g):
    """A graph and those inside its nodes."""
    yield g
    for node in g.node:
        for a in node.attribute:
            if a.type == onnx.AttributeProto.GRAPH:
                yield from graphs(a.g)


def run(model, inputs):
    """What ONNX Runtime computes, by output name."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    wanted = {i.name for i in session.get_inputs()}
    assert wanted == set(inputs), f"inputs {wanted}"
    return dict(zip(names, session.run(names, inputs)))


def check(module, model, inputs, style):
    """The largest difference from torch, relative to the largest magnitude of the output."""
    with torch.no_grad():
        want = module(**{k: torch.from_numpy(np.array(v)) for k, v in inputs.items()})
    want = [want] if isinstance(want, torch.Tensor) else want
    got = run(model, inputs)
    assert len(want) == len(got), f"{len(want)} outputs of torch, {len(got)} of the model"
    worst = 0.0
    for (name, a), b in zip(got.items(), want):
        assert a.shape == tuple(b.shape), f"{name}: {a.shape}, torch has {tuple(b.shape)}"
        a, b = a.astype(np.float64), b.double().numpy()
        worst = max(worst, np.abs(a - b).max() / np.abs(b).max())
    limit = 3e-2 if style.endswith("f16") else 1e-4
    assert worst < limit, f"{style}: differs from torch by {worst}"
    return worst


def digest(array):
    """Equal for tensors that hold the same numbers in any order: exporters transpose and reshape weights."""
    return hashlib.sha256(np.sort(array, axis=None).tobytes()).hexdigest()


def formula_weights(model, module, rules):
    """Replaces the weights by formula: returns the model as stored, and one with the same weights inline."""
    parameters = {digest(p.detach().numpy()): name for name, p in module.named_parameters() if p.numel() >= INLINE}
    stored, inline = onnx.ModelProto(), onnx.ModelProto()
    stored.CopyFrom(model)
    inline.CopyFrom(model)
    seed = 0
    pairs = [p for a, b in zip(graphs(stored.graph), graphs(inline.graph)) for p in zip(tensors(a), tensors(b))]
    for t, u in pairs:
        if t.data_type not in hashed.DTYPES:
            continue
        name = parameters.get(digest(numpy_helper.to_array(t)))
        if name is None:
            continue
        seed += 1
        mean, std = rules[name]
        count = int(np.prod(t.dims))
        where = hashed.location(t.data_type, count, seed, mean, hashed.shift_for(std))
        values = hashed.parse(where)
        dims, old = list(t.dims), t.name
        u.CopyFrom(numpy_helper.from_array(values.reshape(dims), old))
        t.CopyFrom(onnx.TensorProto(name=old, data_type=t.data_type, dims=dims))
        t.data_location = onnx.TensorProto.EXTERNAL
        t.external_data.add(key="location", value=where)
    return stored, inline


def tensors(g):
    """The initializers and the constants of a graph."""
    yield from g.initializer
    for node in g.node:
        if node.op_type == "Constant":
            for a in node.attribute:
                if a.name == "value":
                    yield a.t
