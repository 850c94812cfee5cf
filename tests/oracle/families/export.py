"""Exports, cleans and runs one network."""

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

# Tensors smaller than this stay in the file: the entry for external data would be longer.
INLINE = 16


def export(module, family, style, inputs):
    """Returns the model and, where the exporter could not free the axes, why."""
    kind, opset = re.match(r"(ts|dyn)(\d+)", style).groups()
    args = {k: torch.from_numpy(np.array(v)) for k, v in inputs.items()}
    if kind == "ts":
        return clean(torchscript(module, args, family, int(opset))), None
    try:
        return clean(dynamo(module, args, family, int(opset), True)), None
    except Exception as e:  # the exporter raises what its passes happen to raise
        why = str(e).strip().splitlines()[0][:200]
        return clean(dynamo(module, args, family, int(opset), False)), why


def spell_out(module):
    """Puts RMSNorm in elementary operators, for the TorchScript exporter knows no rms_norm."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.RMSNorm):
            norm = RMSNorm(child.normalized_shape[0], eps=child.eps, elementwise_affine=child.weight is not None)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, norm)
        else:
            spell_out(child)


def torchscript(module, args, family, opset):
    spell_out(module)
    with tempfile.TemporaryDirectory() as tmp, torch.no_grad():
        torch.onnx.export(
            module, tuple(args.values()), f"{tmp}/m.onnx", input_names=list(args), output_names=list(family.outputs),
            dynamic_axes=family.dynamic, opset_version=opset, dynamo=False, do_constant_folding=True)
        return onnx.load(f"{tmp}/m.onnx")


def dynamo(module, args, family, opset, free):
    shapes = None
    if free:
        auto = torch.export.Dim.DYNAMIC
        shapes = {k: {i: auto for i in family.dynamic.get(k, {})} for k in args}
    with tempfile.TemporaryDirectory() as tmp, torch.no_grad():
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
    limit = 3e-2 if style.endswith("f16") else 2e-5
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
