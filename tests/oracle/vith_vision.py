"""Exports a reward of HPSv2's type whose vision tower is a full-size ViT-H/14 with random weights, for `make bench-peers`.

    python tests/oracle/vith_vision.py OUTPUT_FOLDER [--seed 0] [--layers 32]

Writes OUTPUT_FOLDER with assets/export/export_onnx.py, as it writes HPSv2.1: vision_model.onnx and its data (float32, about
2.5 GB; never committed), a text tower of one narrow layer, and open_clip's tokenizer. The vision tower is open_clip's, with
the configuration of ViT-H-14 (width 1280, 32 layers, 16 heads, 257 tokens, feature of 1024).
"""

import argparse
import importlib.util
import os

import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("export_onnx", f"{HERE}/../../assets/export/export_onnx.py")
exporter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exporter)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("output")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--layers", type=int, default=32)
    a = ap.parse_args()
    torch.manual_seed(a.seed)
    config = open_clip.get_model_config("ViT-H-14")
    vision = CLIPVisionCfg(**dict(config["vision_cfg"], layers=a.layers))
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=1, layers=1)
    model = CLIP(config["embed_dim"], vision, text).eval()
    with torch.no_grad():  # biases and norms of a fresh network are 0 and 1, which would hide their use
        for p in model.parameters():
            if p.ndim == 1:
                p.add_(torch.randn_like(p) * 0.02)
    exporter.export_hpsv2(a.output, model, SimpleTokenizer(), "2.1")


if __name__ == "__main__":
    main()
