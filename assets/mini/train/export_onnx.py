"""Export the trained pipeline and reward to ONNX in the diffusers/optimum folder layout.

    python export_onnx.py pipeline --base RUN/unet_stage2 --vae RUN/vae --tokenizer RUN/tokenizer --out ../pipeline
    python export_onnx.py reward --weights RUN/reward --tokenizer RUN/tokenizer --out ../reward

Graphs come from the TorchScript exporter (opset 17) with dynamic batch, height and width. Weights are *stored* as
float16 and every stored tensor is followed by a Cast to float32, so the arithmetic of the graph stays float32: half the
file, no half-precision operators. Exporter traces (source paths of the exporting machine) are removed.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

import models

OPSET = 17
HALF_FROM = 64  # tensors with fewer values stay float32: no size to win, and scalars keep full precision

MODEL_INDEX = {
    "_class_name": "OnnxStableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["diffusers", "OnnxRuntimeModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "OnnxRuntimeModel"],
    "vae_decoder": ["diffusers", "OnnxRuntimeModel"],
    "vae_encoder": ["diffusers", "OnnxRuntimeModel"],
}
DEFAULTS = {"steps": 25, "guidance_scale": 3, "reward": "mini"}  # what winnow takes when the user says nothing
TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")


class Wrap(torch.nn.Module):
    """Gives an exporter a module whose forward is an arbitrary function of the wrapped module."""

    def __init__(self, module, call):
        super().__init__()
        self.module = module
        self.call = call

    def forward(self, *args):
        return self.call(self.module, *args)


def store_half(model):
    """Replace float32 initializers by float16 ones, each with a Cast back to float32 under the old name."""
    stored, casts = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= HALF_FROM:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            if not np.isfinite(half).all():
                raise ValueError(f"{tensor.name}: a weight does not fit into float16")
            stored.append(numpy_helper.from_array(half, tensor.name + "_fp16"))
            casts.append(helper.make_node("Cast", [tensor.name + "_fp16"], [tensor.name], to=TensorProto.FLOAT))
        else:
            stored.append(tensor)
    nodes = casts + list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(stored)
    model.graph.node.extend(nodes)


def strip(model):
    """Remove what the exporter says about itself and the machine it ran on."""
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]


def plain_names(model):
    """Drop the name of Wrap's attribute, so that names are those of the network's own modules: /down_blocks.0/…"""
    rename = lambda name: name.replace("/module/", "/").removeprefix("module.")
    for tensor in model.graph.initializer:
        tensor.name = rename(tensor.name)
    for node in model.graph.node:
        node.name = rename(node.name)
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]


def export(path, module, args, inputs, outputs, axes):
    """Export one graph to `path` and compare it with PyTorch at another batch size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    module = module.eval()
    path.unlink(missing_ok=True)
    with torch.no_grad():
        torch.onnx.export(
            module, args, str(path), input_names=inputs, output_names=outputs, dynamic_axes=axes,
            opset_version=OPSET, dynamo=False, do_constant_folding=True,
        )
    model = onnx.load(str(path))
    plain_names(model)
    store_half(model)
    strip(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    compare(path, module, args, inputs)


def compare(path, module, args, inputs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    args = [torch.cat([a, a, a])[:5] for a in args]
    with torch.no_grad():
        want = module(*args)
    want = want if isinstance(want, tuple) else (want,)
    got = session.run(None, {name: a.numpy() for name, a in zip(inputs, args)})
    worst = max(float(np.abs(g - w.numpy()).max() / np.abs(w.numpy()).max()) for g, w in zip(got, want))
    print(f"{path.parent.name}/{path.name}: {path.stat().st_size} bytes, float16 storage costs {worst:.1e} of the largest value")
    if worst > 2e-2:
        raise SystemExit(f"{path}: the exported graph differs from PyTorch by {worst:.3g}")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def config_of(model):
    """The public configuration of a diffusers or transformers model, without where it was loaded from."""
    config = model.config.to_dict() if hasattr(model.config, "to_dict") else dict(model.config)
    return {k: v for k, v in config.items() if k != "_name_or_path"}


def copy_tokenizer(source, out):
    out.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, out / name)


def export_pipeline(base, vae_dir, tokenizer_dir, out):
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    text = CLIPTextModel.from_pretrained(base / "text_encoder", attn_implementation="eager")
    vae = AutoencoderKL.from_pretrained(vae_dir)
    ids = models.tokenize(tokenizer_dir, ["a red circle", "two blue stars on a white background"])
    space = {0: "batch", 2: "height", 3: "width"}

    export(
        out / "text_encoder/model.onnx",
        Wrap(text, lambda m, i: (lambda o: (o.last_hidden_state, o.pooler_output))(m(i))),
        (ids,), ["input_ids"], ["last_hidden_state", "pooler_output"],
        {"input_ids": {0: "batch"}, "last_hidden_state": {0: "batch"}, "pooler_output": {0: "batch"}},
    )
    export(
        out / "unet/model.onnx",
        Wrap(unet, lambda m, x, t, c: m(x, t, c, return_dict=False)[0]),
        (torch.randn(2, 4, 8, 8), torch.tensor([500.0, 501.0]), torch.randn(2, 32, 96)),
        ["sample", "timestep", "encoder_hidden_states"], ["out_sample"],
        {"sample": space, "timestep": {0: "batch"}, "encoder_hidden_states": {0: "batch", 1: "sequence"}, "out_sample": space},
    )
    export(
        out / "vae_decoder/model.onnx",
        Wrap(vae, lambda m, z: m.decode(z, return_dict=False)[0]),
        (torch.randn(2, 4, 8, 8),), ["latent_sample"], ["sample"], {"latent_sample": space, "sample": space},
    )
    export(
        out / "vae_encoder/model.onnx",
        Wrap(vae, lambda m, x: m.quant_conv(m.encoder(x))),
        (torch.randn(2, 3, 64, 64),), ["sample"], ["latent_parameters"], {"sample": space, "latent_parameters": space},
    )
    write_json(out / "model_index.json", MODEL_INDEX)
    write_json(out / "winnow.json", DEFAULTS)
    write_json(out / "scheduler/scheduler_config.json", json.loads(models.scheduler().to_json_string()))
    write_json(out / "text_encoder/config.json", config_of(text))
    write_json(out / "unet/config.json", config_of(unet))
    write_json(out / "vae_decoder/config.json", config_of(vae))
    write_json(out / "vae_encoder/config.json", config_of(vae))
    copy_tokenizer(tokenizer_dir, out / "tokenizer")


def export_reward(weights, tokenizer_dir, out, name):
    import reward_model

    vocabulary = len(models.tokenizer(tokenizer_dir))
    model = reward_model.Reward(vocabulary)
    model.load_state_dict(torch.load(weights / "reward.pt"))
    ids = models.tokenize(tokenizer_dir, ["a red circle", "two blue stars on a white background"])
    mask = reward_model.attention_mask(ids, vocabulary - 1)
    batch = {0: "batch"}
    export(
        out / "model.onnx", model, (torch.randn(2, 3, 64, 64), ids, mask), ["pixel_values", "input_ids", "attention_mask"],
        ["score"], {"pixel_values": batch, "input_ids": batch, "attention_mask": batch, "score": batch},
    )
    write_json(out / "preprocessor_config.json", {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"height": 64, "width": 64}, "resample": 3,
        "do_center_crop": False, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    })
    measured = weights / "train.json"
    write_json(out / "reward.json", {
        "name": name,
        "kind": "cross_attention",
        "max_length": models.PROMPT_LENGTH,
        "attention_mask": "1 up to and including the first end token, 0 after it",
        "score": "higher is better, about 10 * (checker score - 1)",
        "training": json.loads(measured.read_text()) if measured.exists() else None,
    })
    copy_tokenizer(tokenizer_dir, out / "tokenizer")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pipeline", "reward"])
    parser.add_argument("--base", type=Path, help="folder with unet/ and text_encoder/ (pipeline)")
    parser.add_argument("--vae", type=Path, help="AutoencoderKL folder (pipeline)")
    parser.add_argument("--weights", type=Path, help="folder with reward.pt and train.json (reward)")
    parser.add_argument("--name", default="mini-reward-v1", help="version name written into reward.json")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.what == "pipeline":
        export_pipeline(args.base, args.vae, args.tokenizer, args.out)
    else:
        export_reward(args.weights, args.tokenizer, args.out, args.name)


if __name__ == "__main__":
    main()
