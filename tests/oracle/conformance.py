"""Cases of the ONNX project's backend test, for tests/conformance.

Every node test that the `onnx` package generates (`_expanded` models included) and every model that it ships in
backend/test/data/{simple,pytorch-operator,pytorch-converted,light}: model bytes, inputs, expected outputs, tolerances.
All expected values are the ONNX project's.

Usage: python tests/oracle/conformance.py [--all FILE.zip]
Without an option it rewrites the committed archives tests/conformance/testdata/*.zip, which leave out the data of cases
above 128 KiB. --all writes one archive with everything; WINNOW_CONFORMANCE=FILE.zip lets the Go test read it.

An archive holds index.json (cases and a table of tensors), models.bin and tensors.bin (bytes one after another, equal
ones stored once). A reference to a tensor is its number in the table, -1 for an absent value. A tensor of a type without
fixed element size holds each string as a length (unsigned varint) and bytes. A sequence is an entry ["sequence", elements,
0, 0] with references in place of the shape; an optional is what it holds.
"""

import argparse
import io
import json
import pathlib
import re
import warnings
import zipfile

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

MAX_CASE = 128 << 10
STANDARD = ("", "ai.onnx")


class Archive:
    """Collects cases; equal tensors are stored once."""

    def __init__(self, limit):
        self.limit, self.cases, self.table, self.index = limit, [], [], {}
        self.models, self.tensors = bytearray(), bytearray()

    def tensor(self, value):
        """Returns the number of a value in the table, -1 for an absent one."""
        if value is None:
            return -1
        if isinstance(value, list):
            entry = ["sequence", [self.tensor(v) for v in value], 0, 0]
            if entry not in self.table:
                self.table.append(entry)
            return self.table.index(entry)
        dtype, shape, data = flatten(value)
        key = (dtype, tuple(shape), data)
        if key not in self.index:
            self.index[key] = len(self.table)
            self.table.append([dtype, list(shape), len(self.tensors), len(data)])
            self.tensors += data
        return self.index[key]

    def add(self, suite, name, model, sets, tested, rtol, atol):
        """Adds a case: model as bytes, sets of (inputs, outputs), tested = (operator, domain, opset)."""
        case = {"name": name, "suite": suite, "op": tested[0], "domain": tested[1], "opset": tested[2], "rtol": rtol, "atol": atol}
        sets = [([plain(v) for v in ins], [plain(v) for v in outs]) for ins, outs in sets]
        size = sum(length(v) for ins, outs in sets for v in [*ins, *outs]) + len(model)
        if self.limit and size > self.limit:
            case["large"] = size
        else:
            case["model"] = [len(self.models), len(model)]
            case["inputs"] = [v.name for v in onnx.load_from_string(model).graph.input]
            self.models += model
            case["sets"] = [{"in": [self.tensor(v) for v in ins], "out": [self.tensor(v) for v in outs]} for ins, outs in sets]
        self.cases.append(case)

    def write(self, path):
        """Writes the archive, the same bytes for the same cases."""
        index = {"versions": f"onnx {onnx.__version__}, numpy {np.__version__}", "command": "python tests/oracle/conformance.py",
                 "cases": self.cases, "tensors": self.table}
        text = io.StringIO()
        json.dump(index, text, separators=(",", ":"))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
            for name, data in [("index.json", text.getvalue().encode()), ("models.bin", bytes(self.models)), ("tensors.bin", bytes(self.tensors))]:
                entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                z.writestr(entry, data, compresslevel=9)
        held = sum("large" not in c for c in self.cases)
        print(f"{path}: {held} of {len(self.cases)} cases, {pathlib.Path(path).stat().st_size} bytes")


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def plain(value):
    """Returns lists for sequences and what optionals hold."""
    if isinstance(value, onnx.SequenceProto):
        return numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return numpy_helper.to_optional(value)
    return value


def length(value):
    """Number of bytes of a value."""
    if isinstance(value, list):
        return sum(length(v) for v in value)
    return 0 if value is None else len(flatten(value)[2])


def flatten(value):
    """Returns type name, shape and bytes of a value."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return type(value).__name__.removesuffix("Proto").lower(), [], b""
    value = np.asarray(value)
    if value.dtype.kind in "OUS":
        texts = [v if isinstance(v, bytes) else str(v).encode() for v in value.ravel()]
        return "string", value.shape, b"".join(varint(len(t)) + t for t in texts)
    return value.dtype.name, value.shape, np.ascontiguousarray(value).tobytes()


def version(model, domain):
    return next((o.version for o in model.opset_import if (o.domain or "ai.onnx") == (domain or "ai.onnx")), 0)


def tested(model):
    """The operator that a single-node model, or the last node of a larger one, tests."""
    node = model.graph.node[-1]
    domain = "" if node.domain in STANDARD else node.domain
    return node.op_type, domain, version(model, domain)


def node_cases(archive):
    """The generated node tests. An expanded model counts for the operator that it expands."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    plain = {tc.name: tested(tc.model) for tc in cases if "_expanded" not in tc.name}
    for tc in cases:
        base = re.sub(r"_expanded.*", "", tc.name)
        suite = "node" if base == tc.name else "expanded"
        op = plain.get(base) or tested(tc.model)
        archive.add(suite, tc.name, tc.model.SerializeToString(deterministic=True), tc.data_sets, op, tc.rtol, tc.atol)


def model_cases(archive, kind):
    """Models with data in folders."""
    for tc in sorted(load_model_tests(kind=kind), key=lambda tc: tc.name):
        folder = pathlib.Path(tc.model_dir)
        data = (folder / "model.onnx").read_bytes()
        model = onnx.load_from_string(data)
        sets = []
        for d in sorted(folder.glob("test_data_set_*")):
            sets.append(tuple(read_values(d, way, ports) for way, ports in [("input", model.graph.input), ("output", model.graph.output)]))
        # models of old IR versions list their weights as inputs, and the data sets leave those out
        named = {t.name for t in model.graph.initializer}
        free = [v.name for v in model.graph.input if v.name not in named]
        sets = [(place(ins, model, free), outs) for ins, outs in sets]
        archive.add(kind, tc.name, data, sets, tested(model), tc.rtol, tc.atol)


def place(ins, model, free):
    """Inputs in the order of graph.input, None for those that have an initializer and no value."""
    if len(ins) == len(model.graph.input):
        return ins
    values = dict(zip(free, ins))
    return [values.get(v.name) for v in model.graph.input]


def read_values(folder, way, ports):
    out = []
    for i, path in enumerate(sorted(folder.glob(f"{way}_*.pb"), key=lambda p: int(p.stem.split("_")[1]))):
        kind = ports[i].type.WhichOneof("value")
        proto = {"tensor_type": onnx.TensorProto, "sequence_type": onnx.SequenceProto, "optional_type": onnx.OptionalProto}[kind]()
        proto.ParseFromString(path.read_bytes())
        out.append(proto)
    return out


def light_cases(archive):
    """Whole classifiers with constant weights and the runner's ramp as input."""
    base = pathlib.Path(onnx.__file__).parent.parent
    for tc in sorted(load_model_tests(kind="real"), key=lambda tc: tc.name):
        path = base / tc.url
        model = onnx.load(path)
        named = {t.name for t in model.graph.initializer}
        ins = [None if v.name in named else Runner.generate_dummy_data(v) for v in model.graph.input]
        out = onnx.TensorProto()
        out.ParseFromString(path.with_name(path.stem + "_output_0.pb").read_bytes())
        archive.add("light", tc.name, path.read_bytes(), [(ins, [out])], tested(model), tc.rtol, tc.atol)


def fill_node(archive):
    node_cases(archive)


def fill_models(archive):
    for kind in ["simple", "pytorch-operator", "pytorch-converted"]:
        model_cases(archive, kind)
    light_cases(archive)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", metavar="FILE.zip")
    args = parser.parse_args()
    if args.all:
        archive = Archive(0)
        fill_node(archive)
        fill_models(archive)
        archive.write(args.all)
        return
    folder = pathlib.Path("tests/conformance/testdata")
    for name, fill in [("node", fill_node), ("models", fill_models)]:
        archive = Archive(MAX_CASE)
        fill(archive)
        archive.write(folder / f"{name}.zip")


if __name__ == "__main__":
    main()
