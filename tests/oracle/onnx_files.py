"""Writes internal/onnx/testdata: small ONNX models, what Python's onnx sees in them, and what ONNX Runtime makes of them.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/onnx_files.py

For each model NAME there are
  NAME.onnx          the model (NAME/model.onnx and weights files for external data)
  NAME.json          its structure as read by the onnx package: nodes, attributes, tensors with SHA-256 of their data
  NAME.safetensors   inputs ("in.<name>") and ONNX Runtime's outputs ("out.<name>"), where it can run the model
"""

import hashlib
import json
import pathlib
import re
import shutil
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
import safetensors.numpy
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

OUT = pathlib.Path("internal/onnx/testdata")
SEED = 20261123
COMMAND = "OMP_NUM_THREADS=1 python tests/oracle/onnx_files.py"


class Net(torch.nn.Module):
    """What a diffusion network is made of, in small: convolution, norms, self- and cross-attention, resampling."""

    def __init__(self, c=16, heads=2, ctx=12):
        super().__init__()
        self.conv_in = torch.nn.Conv2d(3, c, 3, padding=1)
        self.norm = torch.nn.GroupNorm(4, c)
        self.down = torch.nn.Conv2d(c, c, 3, stride=2, padding=1)
        self.ln = torch.nn.LayerNorm(c)
        self.to_q = torch.nn.Linear(c, c, bias=False)
        self.to_k = torch.nn.Linear(ctx, c, bias=False)
        self.to_v = torch.nn.Linear(ctx, c, bias=False)
        self.to_out = torch.nn.Linear(c, c)
        self.ff = torch.nn.Linear(c, 4 * c)
        self.ff_out = torch.nn.Linear(2 * c, c)
        self.conv_out = torch.nn.Conv2d(2 * c, 3, 3, padding=1)
        self.heads = heads

    def attention(self, x, context):
        b, n, c = x.shape

        def split(t):
            return t.reshape(b, -1, self.heads, c // self.heads).transpose(1, 2)

        q, k, v = split(self.to_q(x)), split(self.to_k(context)), split(self.to_v(context))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)
        return self.to_out(y)

    def forward(self, sample, context):
        skip = F.silu(self.norm(self.conv_in(sample)))
        x = self.down(skip)
        b, c, h, w = x.shape
        t = x.reshape(b, c, h * w).transpose(1, 2)
        t = t + self.attention(self.ln(t), context)
        a, gate = self.ff(t).chunk(2, dim=-1)
        t = t + self.ff_out(a * F.gelu(gate))
        x = t.transpose(1, 2).reshape(b, c, h, w)
        x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
        return self.conv_out(torch.cat([x, skip], dim=1))


def net():
    torch.manual_seed(SEED)
    return Net().eval()


def example(dtype=torch.float32):
    g = torch.Generator().manual_seed(SEED + 1)
    return torch.randn(2, 3, 8, 8, generator=g).to(dtype), torch.randn(2, 5, 12, generator=g).to(dtype)


def torchscript(model, args, opset):
    with tempfile.TemporaryDirectory() as tmp, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = f"{tmp}/m.onnx"
        torch.onnx.export(
            model, args, path, dynamo=False, opset_version=opset, input_names=["sample", "context"],
            output_names=["out_sample"],
            dynamic_axes={"sample": {0: "batch", 2: "height", 3: "width"}, "context": {0: "batch", 1: "sequence"}},
        )
        return onnx.load(path)


def dynamo(model, args, opset):
    with tempfile.TemporaryDirectory() as tmp, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch, height, width, seq = (torch.export.Dim(n) for n in ("batch", "height", "width", "sequence"))
        program = torch.onnx.export(
            model, args, dynamo=True, opset_version=opset, input_names=["sample", "context"],
            output_names=["out_sample"], verbose=False,
            dynamic_shapes=({0: batch, 2: 2 * height, 3: 2 * width}, {0: batch, 1: seq}),
        )
        path = f"{tmp}/m.onnx"
        program.save(path, external_data=False)
        return onnx.load(path)


def clean(model):
    """Takes out what names the machine that made the file."""

    def graph(g):
        g.doc_string = ""
        for v in [*g.input, *g.output, *g.value_info]:
            v.doc_string = ""
        for n in g.node:
            n.doc_string = ""
            kept = [p for p in n.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
            del n.metadata_props[:]
            n.metadata_props.extend(kept)
            for a in n.attribute:
                a.doc_string = ""
                if a.type == onnx.AttributeProto.GRAPH:
                    graph(a.g)
        for holder in [*g.input, *g.output, *g.value_info, *g.initializer, g]:
            del holder.metadata_props[:]

    model.doc_string = ""
    graph(model.graph)
    return model


def bfloat16_weights(model):
    """Stores float32 initializers as bfloat16, each behind a Cast, as weight-only conversions do."""
    casts = []
    for t in model.graph.initializer:
        if t.data_type != TensorProto.FLOAT or len(t.dims) < 2:
            continue
        name = t.name
        half = numpy_helper.to_array(t).astype(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))
        t.CopyFrom(numpy_helper.from_array(half, name + "_bf16"))
        casts.append(helper.make_node("Cast", [name + "_bf16"], [name], to=TensorProto.FLOAT, name=name + "/Cast"))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
    return model


def model_of(graph, opset=17, functions=(), imports=(), ir=8):
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in imports)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=ir, producer_name="oracle")


def branches():
    """If with subgraphs that read names from around them, one of constants only; nested."""
    f32, b1 = TensorProto.FLOAT, TensorProto.BOOL
    inner_then = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["inner_then_out"], name="mul")], "inner_then", [],
        [helper.make_tensor_value_info("inner_then_out", f32, None)],
    )
    inner_else = helper.make_graph(
        [helper.make_node("Sub", ["x", "bias"], ["inner_else_out"], name="sub")], "inner_else", [],
        [helper.make_tensor_value_info("inner_else_out", f32, None)],
        [numpy_helper.from_array(np.float32([1, 2, 3]), "bias")],
    )
    then = helper.make_graph(
        [helper.make_node("If", ["second"], ["then_out"], name="inner", then_branch=inner_then, else_branch=inner_else)],
        "then", [], [helper.make_tensor_value_info("then_out", f32, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Constant", [], ["else_out"], name="c", value=numpy_helper.from_array(np.float32([7, 8, 9])))],
        "else", [], [helper.make_tensor_value_info("else_out", f32, [3])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["input", "input"], ["x"], name="twice"),
            helper.make_node("If", ["first"], ["y"], name="outer", then_branch=then, else_branch=other),
            helper.make_node("Identity", ["y"], ["output"], name="last"),
        ],
        "branches",
        [
            helper.make_tensor_value_info("input", f32, [3]),
            helper.make_tensor_value_info("first", b1, []),
            helper.make_tensor_value_info("second", b1, []),
        ],
        [helper.make_tensor_value_info("output", f32, [3])],
        [numpy_helper.from_array(np.float32(2), "two")],
    )
    inputs = {"input": np.float32([1, 2, 3]), "first": np.array(True), "second": np.array(False)}
    return model_of(graph), inputs


def constants():
    """Constants of length zero, of bool, as attributes of every kind; an absent input; a repeated input."""
    f32, i64 = TensorProto.FLOAT, TensorProto.INT64
    const = lambda name, **kw: helper.make_node("Constant", [], [name], name="make_" + name, **kw)  # noqa: E731
    graph = helper.make_graph(
        [
            const("empty", value=numpy_helper.from_array(np.zeros([0], np.int64))),
            const("flags", value=numpy_helper.from_array(np.array([[True, False, True]]))),
            const("one", value_float=1.5),
            const("number", value_int=3),
            const("floats", value_floats=[0.5, 0.25, -1.0]),
            const("ints", value_ints=[1, 3]),
            const("scales", value=helper.make_tensor("s", f32, [4], [1, 1, 2, 2])),
            helper.make_node("Mul", ["x", "x"], ["square"], name="square"),
            helper.make_node("Reshape", ["one", "empty"], ["scalar"], name="to_scalar"),
            helper.make_node("Where", ["flags", "square", "floats"], ["chosen"], name="where"),
            helper.make_node("Add", ["chosen", "scalar"], ["sum"], name="add"),
            helper.make_node("Unsqueeze", ["sum", "ints"], ["image"], name="image"),
            helper.make_node(
                "Resize", ["image", "", "scales"], ["big"], name="resize", mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor",
            ),
            helper.make_node("ConstantOfShape", ["empty"], ["fill"], name="fill",
                             value=numpy_helper.from_array(np.float32([4]))),
            helper.make_node("Div", ["big", "fill"], ["output"], name="div"),
        ],
        "constants",
        [helper.make_tensor_value_info("x", f32, ["rows", 3])],
        [helper.make_tensor_value_info("output", f32, None), helper.make_tensor_value_info("number", i64, [])],
    )
    return model_of(graph), {"x": np.float32([[1, 2, 3], [4, 5, 6]])}


def functions():
    """Model-local functions: nested calls, attributes by reference and by default, If inside."""
    f32 = TensorProto.FLOAT
    ids = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    leaky = helper.make_node("LeakyRelu", ["v"], ["w"], name="leaky")
    leaky.attribute.append(onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope"))
    act = helper.make_function("local", "Act", ["v"], ["w"], [leaky], ids[:1])
    act.attribute_proto.append(helper.make_attribute("slope", 0.25))
    block = helper.make_function(
        "local", "Block", ["a", "b"], ["r", "t", "a2"],
        [
            helper.make_node("MatMul", ["a", "b"], ["t"], name="mm"),
            helper.make_node("Identity", ["a"], ["a2"], name="same"),
            helper.make_node("Act", ["t"], ["u"], name="act1", domain="local", slope=0.5),
            helper.make_node("Act", ["u"], ["v"], name="act2", domain="local"),
            helper.make_node("ReduceMax", ["v"], ["top"], name="top", keepdims=0),
            helper.make_node("Constant", [], ["zero"], name="zero", value_float=0.0),
            helper.make_node("Greater", ["top", "zero"], ["cond"], name="cond"),
            helper.make_node(
                "If", ["cond"], ["r"], name="choose",
                then_branch=helper.make_graph(
                    [helper.make_node("Add", ["v", "a"], ["then_r"], name="add")], "t", [],
                    [helper.make_tensor_value_info("then_r", f32, None)]),
                else_branch=helper.make_graph(
                    [helper.make_node("Act", ["a"], ["else_r"], name="act3", domain="local")], "e", [],
                    [helper.make_tensor_value_info("else_r", f32, None)]),
            ),
        ],
        ids,
    )
    graph = helper.make_graph(
        [
            helper.make_node("Block", ["x", "m"], ["h", "t1", "x2"], name="block1", domain="local"),
            helper.make_node("Block", ["h", "m"], ["y", "t", "h2"], name="block2", domain="local"),
            helper.make_node("Add", ["y", "x2"], ["output"], name="sum"),
        ],
        "functions",
        [helper.make_tensor_value_info("x", f32, [2, 2])],
        [helper.make_tensor_value_info("output", f32, [2, 2]), helper.make_tensor_value_info("t", f32, [2, 2])],
        [numpy_helper.from_array(np.float32([[1, -2], [0.5, 1]]), "m")],
    )
    model = model_of(graph, functions=[act, block], imports=[("local", 1)], ir=9)
    return model, {"x": np.float32([[1, 2], [-3, 0.5]])}


def dtypes():
    """Every element type in raw and in typed storage, text included."""
    rng = np.random.default_rng(SEED)
    tensors = []
    for name in ("FLOAT UINT8 INT8 UINT16 INT16 INT32 INT64 BOOL FLOAT16 DOUBLE UINT32 UINT64 BFLOAT16").split():
        elem = TensorProto.DataType.Value(name)
        np_type = helper.tensor_dtype_to_np_dtype(elem)
        if np_type == np.bool_:
            v = rng.integers(0, 2, (2, 3)).astype(bool)
        elif name in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"):
            v = rng.standard_normal((2, 3)).astype(np_type)
        else:
            info = np.iinfo(np_type)
            v = rng.integers(info.min, info.max, (2, 3), dtype=np_type, endpoint=True)
            v[0, 0], v[0, 1] = info.min, info.max
        tensors.append(helper.make_tensor(f"typed_{name}", elem, v.shape, v.flatten()))
        tensors.append(helper.make_tensor(f"raw_{name}", elem, v.shape, v.tobytes(), raw=True))
    tensors.append(helper.make_tensor("typed_STRING", TensorProto.STRING, [3], [b"", b"ab", "ü".encode()]))
    tensors.append(helper.make_tensor("empty_FLOAT", TensorProto.FLOAT, [2, 0, 3], []))
    tensors.append(helper.make_tensor("scalar_FLOAT", TensorProto.FLOAT, [], [2.5]))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["raw_FLOAT"], ["output"], name="id")], "dtypes", [],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [2, 3])], tensors,
    )
    return model_of(graph, opset=18), None


def attributes():
    """Every kind of attribute, a custom domain, optional outputs, derived and anonymous dimensions."""
    f32 = TensorProto.FLOAT
    graph = helper.make_graph(
        [
            _everything(),
            helper.make_node("RandomNormal", [], ["noise"], name="noise", shape=[2, 3], seed=1.0),
            helper.make_node("Add", ["y", "noise"], ["output"], name=""),
        ],
        "attributes",
        [helper.make_tensor_value_info("x", f32, ["2*((n//2))", None, 3])],
        [helper.make_tensor_value_info("output", f32, None)],
    )
    return model_of(graph, imports=[("acme.example", 3)]), None


def _everything():
    node = helper.make_node("Everything", ["x", "", "x"], ["", "y"], name="every/thing", domain="acme.example",
                            i=-(2**60), f=0.1, s=b"\xff\x00bytes", ints=[1, -1, 2**40], floats=[1.5, -0.0],
                            strings=["a", "", "b"], t=numpy_helper.from_array(np.float16([1, 2])), zero=0)
    node.attribute.append(helper.make_attribute("empty_ints", [], attr_type=onnx.AttributeProto.INTS))
    return node


def tensor_facts(t):
    a = numpy_helper.to_array(t)
    data = b"".join(x if isinstance(x, bytes) else str(x).encode() for x in a.flatten()) \
        if t.data_type == TensorProto.STRING else a.tobytes()
    return {
        "dtype": TensorProto.DataType.Name(t.data_type).lower(), "shape": list(t.dims),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def attr_facts(a):
    kind = onnx.AttributeProto.AttributeType.Name(a.type).lower()
    value = {
        "float": lambda: a.f, "int": lambda: str(a.i), "string": lambda: a.s.hex(),
        "floats": lambda: list(a.floats), "ints": lambda: [str(v) for v in a.ints],
        "strings": lambda: [s.hex() for s in a.strings], "tensor": lambda: tensor_facts(a.t),
        "graph": lambda: graph_facts(a.g),
    }[kind]()
    return {"kind": kind, "value": value}


def port_facts(v):
    t = v.type.tensor_type
    dims = None
    if t.HasField("shape"):
        dims = [d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in t.shape.dim]
    return {"name": v.name, "dtype": TensorProto.DataType.Name(t.elem_type).lower(), "dims": dims}


def scope_of(n):
    for p in n.metadata_props:
        if p.key == "pkg.torch.onnx.name_scopes":
            return eval(p.value)[-2]  # noqa: S307  a list of strings that the exporter printed
    return ""


def graph_facts(g):
    return {
        "name": g.name,
        "inputs": [port_facts(v) for v in g.input],
        "outputs": [port_facts(v) for v in g.output],
        "value_info": [port_facts(v) for v in g.value_info],
        "initializers": {t.name: tensor_facts(t) for t in g.initializer},
        "nodes": [
            {
                "name": n.name, "op": n.op_type, "domain": n.domain, "inputs": list(n.input), "outputs": list(n.output),
                "attrs": {a.name: attr_facts(a) for a in n.attribute}, "scope": scope_of(n),
            }
            for n in g.node
        ],
    }


def facts(model):
    return {
        "made_by": COMMAND, "seed": SEED,
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "torch": torch.__version__},
        "ir_version": model.ir_version, "producer": model.producer_name,
        "opsets": {o.domain: o.version for o in model.opset_import},
        "functions": len(model.functions), "graph": graph_facts(model.graph),
    }


def write_json(name, model):
    text = json.dumps(facts(model), separators=(",", ":"), sort_keys=True)
    (OUT / f"{name}.json").write_text(text.replace('{"attrs"', '\n{"attrs"') + "\n")


def run(name, path, inputs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    tensors = {"in." + k: np.ascontiguousarray(v) for k, v in inputs.items()}
    tensors |= {"out." + k: np.ascontiguousarray(v) for k, v in zip(names, session.run(names, inputs), strict=True)}
    meta = {"made_by": COMMAND, "onnxruntime": onnxruntime.__version__, "seed": str(SEED)}
    safetensors.numpy.save_file(tensors, str(OUT / f"{name}.safetensors"), metadata=meta)


def save(name, model, inputs, external=None):
    """external: None, or a function from tensor name to the name of the weights file."""
    clean(model)
    path = OUT / f"{name}.onnx"
    if external is not None:
        path = OUT / name / "model.onnx"
        shutil.rmtree(OUT / name, ignore_errors=True)
        path.parent.mkdir(parents=True)
    write_json(name, model)
    for t in model.graph.initializer if external else ():
        if len(t.raw_data) >= 100:  # as exporters do, small tensors stay inline
            onnx.external_data_helper.set_external_data(t, external(re.sub(r"[^A-Za-z0-9_.]", "_", t.name)))
    onnx.save(model, path)  # writes the external files too
    if inputs is not None:
        run(name, path, inputs)


def main():
    warnings.simplefilter("ignore")
    OUT.mkdir(parents=True, exist_ok=True)
    f32 = dict(zip(("sample", "context"), (t.numpy() for t in example()), strict=True))
    f16 = dict(zip(("sample", "context"), (t.numpy() for t in example(torch.float16)), strict=True))
    save("torchscript14", torchscript(net(), example(), 14), f32)
    save("torchscript17_f16", torchscript(net().half(), example(torch.float16), 17), f16)
    save("torchscript17_ext", torchscript(net(), example(), 17), f32,
         lambda name: "model.onnx_data")
    save("torchscript17_files", torchscript(net(), example(), 17), f32, lambda name: name)
    save("dynamo18", dynamo(net(), example(), 18), f32)
    save("dynamo20_f16", dynamo(net().half(), example(torch.float16), 20), f16)
    save("dynamo20_data", dynamo(net(), example(), 20), f32,
         lambda name: "model.onnx.data")
    save("bf16_weights", bfloat16_weights(torchscript(net(), example(), 17)), f32)
    for name, make in (("branches", branches), ("constants", constants), ("functions", functions), ("dtypes", dtypes),
                       ("attributes", attributes)):
        save(name, *make())


    for path in OUT.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main()
