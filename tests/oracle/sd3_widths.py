"""Holds four of the 24 blocks of Stable Diffusion 3.5 Medium's transformer, at their full widths and with random weights, against torch.

    go build -o ./winnow ./cmd/winnow && python tests/oracle/sd3_widths.py ./winnow

The network is exported by assets/export/export_onnx.py into a temporary folder (2.3 GB); `winnow model run` computes a guided call at 512 × 512
pixels, and goes back from it with checkpointing. Not part of `go test`.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import torch
from diffusers import SD3Transformer2DModel
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "assets/export"))
import export_onnx  # noqa: E402

SIZES = dict(sample_size=64, patch_size=2, in_channels=16, out_channels=16, num_layers=4, attention_head_dim=64, num_attention_heads=24,
             joint_attention_dim=4096, caption_projection_dim=1536, pooled_projection_dim=2048, pos_embed_max_size=384, qk_norm="rms_norm",
             dual_attention_layers=(0, 1))


def check(winnow, folder):
    torch.manual_seed(0)
    model = SD3Transformer2DModel(**SIZES).eval().requires_grad_(False)
    export_onnx.export_transformer(folder, model)
    inputs = {"hidden_states": torch.randn(2, 16, 64, 64), "encoder_hidden_states": torch.randn(2, 333, 4096), "pooled_projections": torch.randn(2, 2048),
              "timestep": torch.tensor([500.5, 500.5])}
    slope = torch.randn(2, 16, 64, 64)
    save_file(inputs, f"{folder}/in")
    save_file({"out_hidden_states": slope}, f"{folder}/slope")
    begin = time.time()
    subprocess.run([winnow, "model", "run", f"{folder}/transformer/model.onnx", "--inputs", f"{folder}/in", "--outputs", f"{folder}/out", "--cotangents",
                    f"{folder}/slope", "--gradients", f"{folder}/back", "--gradient-checkpointing"], check=True, capture_output=True)
    print(f"winnow, forth and back: {time.time() - begin:.0f} s")
    back = load_file(f"{folder}/back")
    for v in inputs.values():
        v.requires_grad_(True)
    begin = time.time()
    out = model(**inputs, return_dict=False)[0]
    (out * slope).sum().backward()
    print(f"torch: {time.time() - begin:.0f} s")
    pairs = {"prediction": (load_file(f"{folder}/out")["out_hidden_states"], out.detach())}
    pairs |= {f"slope of {k}": (back[k], inputs[k].grad) for k in inputs if k != "timestep"}
    for name, (got, want) in pairs.items():
        off = float((got - want).norm() / want.norm())
        print(f"{name}: {off:.1e}")
        assert off < 1e-5


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tmp:
        check(sys.argv[1], tmp)
