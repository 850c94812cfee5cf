"""Writes tests/optimised: networks as ONNX Runtime's optimiser rewrites them, with operators of com.microsoft.

Run from the repository root:  OMP_NUM_THREADS=1 python tests/oracle/contrib_models.py

* sd15_<part>.onnx: the networks of tests/tiny/sd15 after onnxruntime.transformers.optimizer (model types unet, vae, clip).
  What ONNX Runtime computes for the networks before that is in tests/engine/testdata/sd15_<part>.safetensors.
* sd15_unet_f16.onnx, sd15_vae_decoder_f16.onnx: the same with weights, inputs and outputs in float16.
* other networks made here from random weights (vae_attention, bert, sd3), each with <name>.safetensors: inputs
  "in.<input>", and "out.<output>" of ONNX Runtime for the network before it is optimised.

ONNX Runtime itself has no CPU kernels for several of the operators, so its results come from the original networks.
"""

import builtins
import collections
import logging
import pathlib
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from diffusers import AutoencoderKL, SD3Transformer2DModel
from diffusers.models.attention_processor import AttnProcessor
from onnx import numpy_helper
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from safetensors.numpy import save_file

warnings.filterwarnings("ignore")
logging.getLogger().setLevel(logging.ERROR)
transformers.utils.logging.set_verbosity_error()

OUT = pathlib.Path("tests/optimised")
TINY = pathlib.Path("tests/tiny/sd15")
LIMIT = 400 * 1024
SEED = 31


class AnyInt(type):
    def __instancecheck__(cls, v):
        return builtins.isinstance(v, builtins.int)


class Int(builtins.int, metaclass=AnyInt):
    """int() that still takes arrays of one element, as numpy did before 2.4; the optimiser relies on it."""

    def __new__(cls, v=0, *a):
        return builtins.int(v.reshape(-1)[0]) if builtins.isinstance(v, np.ndarray) else builtins.int(v, *a)


for module in list(sys.modules):
    if module.startswith(("fusion_", "onnxruntime.transformers.fusion_")):
        sys.modules[module].int = Int


def optimise(path, kind, half=False, **kw):
    options = FusionOptions(kind)
    options.enable_bias_add = True
    m = optimizer.optimize_model(str(path), model_type=kind, opt_level=0, optimization_options=options, use_gpu=True, **kw)
    if half:
        m.convert_float_to_float16(keep_io_types=False)
    with tempfile.TemporaryDirectory() as tmp:  # saving sorts the nodes and imports com.microsoft
        m.save_model_to_file(f"{tmp}/model.onnx")
        return onnx.load(f"{tmp}/model.onnx")


def save(name, model):
    del model.graph.value_info[:], model.metadata_props[:]
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    path = OUT / f"{name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    count = collections.Counter(n.op_type for n in model.graph.node if n.domain == "com.microsoft" or n.op_type.startswith("Simplified"))
    print(f"{path}: {path.stat().st_size} bytes, {len(model.graph.node)} nodes, {dict(count)}")
    assert path.stat().st_size <= LIMIT and count, name


def run(path, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def other(name, kind, module, inputs, outputs, dynamic, opset=17, **kw):
    """Exports a module, keeps what ONNX Runtime computes for it, and optimises it."""
    with tempfile.TemporaryDirectory() as tmp, torch.no_grad():
        path = pathlib.Path(tmp) / "model.onnx"
        torch.onnx.export(module.eval(), tuple(inputs.values()), path, input_names=list(inputs), output_names=outputs,
                          dynamic_axes=dynamic, opset_version=opset, dynamo=False)
        feeds = {k: v.numpy() for k, v in inputs.items()}
        results = run(path, feeds)
        save(name, optimise(path, kind, **kw))
    meta = {"seed": str(SEED), "command": "python tests/oracle/contrib_models.py",
            "versions": f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}, numpy {np.__version__}"}
    tensors = {f"in.{k}": v for k, v in feeds.items()} | {f"out.{k}": np.ascontiguousarray(v) for k, v in results.items()}
    save_file(tensors, OUT / f"{name}.safetensors", metadata=meta)
    (OUT / f"{name}.safetensors").chmod(0o644)


class Pick(torch.nn.Module):
    """Calls f and keeps the outputs as a tuple of tensors."""

    def __init__(self, m, f):
        super().__init__()
        self.m, self.f = m, f

    def forward(self, *args):
        return self.f(self.m, *args)


def spread(module, factor):
    """Random weights of a size that lets every layer matter."""
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p) * 0.1 if p.ndim == 1 else p * factor)
            if p.ndim == 1:
                p.add_(0.5)
    return module


def vae_attention():
    vae = spread(AutoencoderKL(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=16,
                               down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2), 1.5)
    vae.set_attn_processor(AttnProcessor())
    with torch.no_grad():  # the fusion puts zeros in place of the projections' biases (fusion_attention_vae.py of 1.32)
        for name, p in vae.named_parameters():
            if name.endswith(("to_q.bias", "to_k.bias", "to_v.bias")):
                p.zero_()
    other("vae_attention", "vae", Pick(vae, lambda m, z: m.decode(z, return_dict=False)[0]), {"latent_sample": torch.randn(1, 4, 6, 8)},
          ["sample"], {"latent_sample": {0: "batch", 2: "height", 3: "width"}})


def bert():
    config = transformers.BertConfig(vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
                                     max_position_embeddings=20, attn_implementation="eager")
    m = spread(transformers.BertModel(config, add_pooling_layer=False), 4)
    ids = torch.randint(0, 60, (2, 9))
    mask = torch.ones(2, 9, dtype=torch.int64)
    mask[1, 5:] = 0
    axes = {0: "batch", 1: "sequence"}
    other("bert", "bert", Pick(m, lambda m, i, a, s: m(input_ids=i, attention_mask=a, token_type_ids=s).last_hidden_state),
          {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.randint(0, 2, (2, 9))}, ["last_hidden_state"],
          {k: axes for k in ["input_ids", "attention_mask", "token_type_ids"]}, num_heads=3, hidden_size=24)


def sd3():
    m = spread(SD3Transformer2DModel(sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
                                     joint_attention_dim=16, caption_projection_dim=16, pooled_projection_dim=8, out_channels=4,
                                     pos_embed_max_size=8, qk_norm="rms_norm"), 1.5)
    inputs = {"hidden_states": torch.randn(2, 4, 8, 8), "encoder_hidden_states": torch.randn(2, 7, 16),
              "pooled_projections": torch.randn(2, 8), "timestep": torch.tensor([481.0, 481.0])}
    other("sd3", "mmdit", Pick(m, lambda m, *a: m(*a, return_dict=False)[0]), inputs, ["out_hidden_states"],
          {k: {0: "batch"} for k in inputs}, num_heads=2, hidden_size=16)


def main():
    OUT.mkdir(exist_ok=True)
    for part, kind in [("unet", "unet"), ("vae_decoder", "vae"), ("vae_encoder", "vae"), ("text_encoder", "clip")]:
        save(f"sd15_{part}", optimise(TINY / part / "model.onnx", kind))
    for part, kind in [("unet", "unet"), ("vae_decoder", "vae")]:
        save(f"sd15_{part}_f16", optimise(TINY / part / "model.onnx", kind, half=True))
    for make in [vae_attention, bert, sd3]:
        torch.manual_seed(SEED)
        make()


if __name__ == "__main__":
    main()
