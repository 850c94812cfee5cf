"""Writes tests/families/testdata: every network family in small, exported in several ways, and what ONNX Runtime makes of it.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/families [FAMILY...]

For each family there is a folder with
  inputs.safetensors     two sets of inputs, "0.<input>" and "1.<input>", of different shapes
  <export>.onnx.gz       the network; <export> is the exporter (ts: TorchScript, dyn: dynamo), the opset and "f16" for
                         half precision. The opset 14 exports have attention spelled out, the others come from
                         scaled_dot_product_attention. Weights are external data by formula (hashed.py)
  <export>.safetensors   "0.<output>" and "1.<output>", or set 0 alone where the exporter fixed the shapes

Expected outputs come from ONNX Runtime's CPU provider without graph optimisation on the stored weights. Before the
weights are replaced, the export is compared with torch. Metadata: versions, seed and command.
"""

import gzip
import logging
import os
import pathlib
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import diffusers
import diffusion
import encoders
import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from export import check, export, formula_weights, run
from family import Draw, randomise
from safetensors import safe_open
from safetensors.numpy import save_file

OUT = pathlib.Path("tests/families/testdata")
SEED = 20
LIMIT = 200 * 1024
META = {
    "seed": str(SEED), "command": "OMP_NUM_THREADS=1 python tests/oracle/families",
    "versions": f"torch {torch.__version__}, diffusers {diffusers.__version__}, transformers {transformers.__version__}, "
                f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}",
}


def half(inputs):
    return {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in inputs.items()}


def write(file, tensors):
    """Writes a file unless it holds the same already: the order of the metadata varies from run to run."""
    tensors = {k: np.asarray(v, order="C") for k, v in tensors.items()}
    if file.exists():
        with safe_open(file, "np") as old:
            if old.metadata() == META and set(old.keys()) == set(tensors) and all(
                    np.array_equal(old.get_tensor(k), v) for k, v in tensors.items()):
                return
    save_file(tensors, file, metadata=META)


def one(folder, family, style, sets):
    """One export: network, outputs, and a line about it."""
    torch.manual_seed(SEED)
    module = family.make(style.startswith("ts14")).eval()
    rules = randomise(module, SEED)
    if style.endswith("f16"):
        module, sets = module.half(), [half(s) for s in sets]
    model, fixed = export(module, family, style, sets[0])
    used = sets[:1] if fixed else sets
    worst = max(check(module, model, s, style) for s in used)
    stored, formula = formula_weights(model, module, rules)
    outputs = {f"{k}.{name}": v for k, s in enumerate(used) for name, v in run(formula, s).items()}
    for name, v in outputs.items():
        assert np.isfinite(v).all() and np.abs(v).max() > 1e-3, f"{name}: {v}"
    data = stored.SerializeToString(deterministic=True)
    (folder / f"{style}.onnx.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    write(folder / f"{style}.safetensors", outputs)
    size = sum((folder / f"{style}.{e}").stat().st_size for e in ("onnx.gz", "safetensors"))
    assert size <= LIMIT, f"{folder}/{style}: {size} bytes"
    print(f"{folder.name} {style}: {len(stored.graph.node)} nodes, {size} bytes, torch {worst:.1e}"
          + ", fixed axes" * fixed, flush=True)


def main(wanted):
    for name, family in (diffusion.FAMILIES | encoders.FAMILIES).items():
        pick = [w for w in wanted if w.split("/")[0] == name]
        if wanted and not pick:
            continue
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        sets = [family.inputs(Draw(SEED + k), k) for k in range(2)]
        write(folder / "inputs.safetensors", {f"{k}.{n}": v for k, s in enumerate(sets) for n, v in s.items()})
        for style in family.exports:
            if not pick or name in pick or f"{name}/{style}" in pick:
                one(folder, family, style, sets)


warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
transformers.utils.logging.set_verbosity_error()
logging.getLogger("torch.onnx").setLevel(logging.ERROR)
torch.set_num_threads(1)
main(sys.argv[1:])
