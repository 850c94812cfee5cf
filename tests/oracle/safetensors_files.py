"""Writes internal/safetensors/testdata: files by Python's safetensors with what they hold.

Run from the repository root:  python tests/oracle/safetensors_files.py
"""

import json
import pathlib

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file

OUT = pathlib.Path("internal/safetensors/testdata")
SEED = 20261123
TYPES = {
    "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64, "I8": torch.int8,
    "I16": torch.int16, "I32": torch.int32, "I64": torch.int64, "U8": torch.uint8, "U16": torch.uint16,
    "U32": torch.uint32, "U64": torch.uint64, "BOOL": torch.bool,
}


def raw(t):
    return t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex() if t.numel() else ""


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    tensors = {}
    for name, dtype in TYPES.items():
        for shape in ((2, 3), (5,)):
            size = torch.empty(0, dtype=dtype).element_size() * int(np.prod(shape))
            data = rng.integers(0, 2 if dtype == torch.bool else 256, size, dtype=np.uint8)
            tensors[f"z.{name}.{len(shape)}"] = torch.from_numpy(data).view(dtype).reshape(shape)
    tensors["a scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(3, 0, 2)
    tensors['quotes " and <ümläuts>'] = torch.tensor([1.0, -0.0, float("nan"), float("inf")])
    cases = {
        "all": (tensors, {"made_by": f"python tests/oracle/safetensors_files.py, seed {SEED}, "
                                     f"safetensors {safetensors.__version__}, torch {torch.__version__}"}),
        "plain": ({"b": torch.arange(6.0).reshape(2, 3), "a": torch.arange(3)}, None),
        "none": ({}, {"only": 'metadata "here" <b>'}),
    }
    facts = {}
    for name, (content, meta) in cases.items():
        path = OUT / f"{name}.safetensors"
        save_file(content, path, metadata=meta)
        path.chmod(0o644)
        back = load_file(path)
        assert back.keys() == content.keys()
        names = {v: k for k, v in TYPES.items()}
        facts[name] = {
            "metadata": meta,
            "tensors": {k: {"dtype": names[v.dtype], "shape": list(v.shape), "data": raw(v)} for k, v in content.items()},
        }
    (OUT / "facts.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
