"""Exports a full-size SD1.5 U-Net with random weights, for the comparison of `make bench-peers`.

    python tests/oracle/sd15_unet.py OUTPUT_FOLDER [--opset 17] [--seed 0]

Writes OUTPUT_FOLDER/model.onnx and OUTPUT_FOLDER/model.onnx_data (float32, about 3.4 GB; never committed). The network is
diffusers' UNet2DConditionModel with the configuration of Stable Diffusion 1.5, exported by the TorchScript exporter with
free batch and picture sizes, as optimum does.
"""

import argparse
import glob
import os
import tempfile

import onnx
import torch
from diffusers import UNet2DConditionModel

SD15 = dict(
    sample_size=64, in_channels=4, out_channels=4, layers_per_block=2, block_out_channels=(320, 640, 1280, 1280),
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    cross_attention_dim=768, attention_head_dim=8, norm_num_groups=32,
)


class Wrapped(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


def strip(model):
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("output")
    ap.add_argument("--opset", type=int, default=17)
    ap.add_argument("--seed", type=int, default=0)
    a = ap.parse_args()
    os.makedirs(a.output, exist_ok=True)
    torch.manual_seed(a.seed)
    unet = Wrapped(UNet2DConditionModel(**SD15).eval())
    args = (torch.randn(2, 4, 64, 64), torch.tensor([500], dtype=torch.int64), torch.randn(2, 77, 768))
    with tempfile.TemporaryDirectory(dir=a.output) as tmp, torch.no_grad():
        raw = os.path.join(tmp, "raw.onnx")
        torch.onnx.export(
            unet, args, raw, opset_version=a.opset, dynamo=False, do_constant_folding=True,
            input_names=["sample", "timestep", "encoder_hidden_states"], output_names=["out_sample"],
            dynamic_axes={
                "sample": {0: "batch_size", 2: "height", 3: "width"},
                "encoder_hidden_states": {0: "batch_size", 1: "sequence_length"},
                "out_sample": {0: "batch_size", 2: "height", 3: "width"},
            },
        )
        del unet
        model = onnx.load(raw)
    strip(model)
    for old in glob.glob(os.path.join(a.output, "model.onnx*")):
        os.remove(old)
    onnx.save_model(
        model, os.path.join(a.output, "model.onnx"), save_as_external_data=True, all_tensors_to_one_file=True,
        location="model.onnx_data", size_threshold=1024,
    )


if __name__ == "__main__":
    main()
