"""Writes tests/engine/testdata: what ONNX Runtime computes for the embedded and the tiny networks.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/engine.py

For every network of assets/mini/pipeline and tests/tiny one file <name>.safetensors holds the inputs ("in.<input>", drawn
from the seed in the metadata) and the outputs ("out.<output>") of ONNX Runtime's CPU provider without graph
optimisation. Metadata: the network's path and SHA-256, versions, seed and command. Networks that change (retrained
weights) need a new run; the test says so.
"""

import hashlib
import os
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from safetensors import safe_open
from safetensors.numpy import save_file

OUT = pathlib.Path("tests/engine/testdata")
LIMIT = 256 * 1024
SEED = 20


def networks():
    for root in ("assets/mini/pipeline", "tests/tiny"):
        for path in sorted(pathlib.Path(root).rglob("model.onnx")):
            if "rewards" in path.parts:  # tests/oracle/rewards.py has their scores
                continue
            parts = ("mini",) if root.startswith("assets") else ()
            yield "_".join(parts + path.parent.relative_to(root).parts), path


def size_of(kind, axis, name):
    """Free dimensions: batch 2, latents 8x12, pictures 32x48, 32 text tokens; all but the batch differ between axes."""
    if axis == 0:
        return 2
    if name == "encoder_hidden_states":
        return 32
    height, width = (32, 48) if kind == "vae_encoder" else (8, 12)
    return height if axis == 2 else width


def draw(rng, kind, value):
    t = value.type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else size_of(kind, i, value.name) for i, d in enumerate(t.shape.dim)]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(t.elem_type)
    if value.name == "timestep":
        return np.full(shape, 481, dtype)
    if value.name == "attention_mask":  # texts of different lengths
        lengths = rng.integers(shape[1] // 2, shape[1] + 1, (shape[0], 1))
        return (np.arange(shape[1]) < lengths).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(1, 200, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def run(name, path):
    model = onnx.load(path, load_external_data=False)
    rng = np.random.default_rng(SEED)
    weights = {i.name for i in model.graph.initializer}
    inputs = {v.name: draw(rng, path.parent.name, v) for v in model.graph.input if v.name not in weights}
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs)))
    digest = hashlib.sha256()
    for file in sorted(path.parent.glob("*.onnx*")):
        digest.update(file.read_bytes())
    meta = {
        "network": str(path), "sha256": digest.hexdigest(), "seed": str(SEED),
        "versions": f"onnxruntime {ort.__version__}, onnx {onnx.__version__}, numpy {np.__version__}, python {sys.version.split()[0]}",
        "command": "python tests/oracle/engine.py",
    }
    tensors = {f"in.{k}": np.asarray(v, order="C") for k, v in inputs.items()}
    tensors |= {f"out.{k}": np.asarray(v, order="C") for k, v in outputs.items()}
    file = OUT / f"{name}.safetensors"
    if unchanged(file, tensors, meta):
        return
    save_file(tensors, file, metadata=meta)
    size = os.path.getsize(file)
    assert size <= LIMIT, f"{file}: {size} bytes"
    print(file, size)


def unchanged(file, tensors, meta):
    """The order of metadata in a written file varies: leave files alone whose contents would be the same."""
    if not file.exists():
        return False
    with safe_open(file, "np") as old:
        return old.metadata() == meta and set(old.keys()) == set(tensors) and all(
            old.get_tensor(k).shape == v.shape and np.array_equal(old.get_tensor(k), v) for k, v in tensors.items())


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, path in networks():
        run(name, path)


if __name__ == "__main__":
    main()
