"""A tiny random CLIP model in the two ONNX layouts, and its scores, for rewards.

    python tests/oracle/clip_reward.py

writes tests/tiny/clip (one graph, as optimum exports it), tests/tiny/clip_split
(text and vision graphs, the tokenizer as the single file of transformers 5) and
tests/golden/clip/scores.json: scores of computed pictures by transformers. Run
tests/oracle/tokenizer.py first: its vocabulary is used.
"""

import json
import os
import shutil

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SEED = 11
LOGIT_SCALE = 3.7  # as after training: not logit_scale_init_value of the configuration
HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.join(HERE, "..")
TOKENIZER = f"{TESTS}/golden/tokenizer"
SIDE = 24
PICTURES = [(24, 24, 0), (61, 61, 1), (100, 30, 2), (17, 53, 3), (200, 150, 4), (24, 40, 5)]
PROMPTS = ["a photo of a cat", "a red circle above a blue square", "Naïve café, 4K!", "猫"]


def formula(w, h, k):
    """The same pictures are computed in the Go test."""
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    wave = 128 + 127 * np.sin((x * (k + 1) + c * 9) / (7.0 + k)) * np.cos(y * (k + 2) / 11.0)
    return np.floor(np.where(c == k % 3, wave, (x * 3 + y * 5 * (k + 1) + c * 40) % 256)).astype(np.uint8)


def build():
    vocab = json.load(open(f"{TOKENIZER}/plain/vocab.json", encoding="utf-8"))
    bos, eos = vocab["<|startoftext|>"], vocab["<|endoftext|>"]
    shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    config = CLIPConfig(
        text_config=dict(**shape, vocab_size=len(vocab), max_position_embeddings=20, bos_token_id=bos, eos_token_id=eos, pad_token_id=eos, projection_dim=12),
        vision_config=dict(**shape, image_size=SIDE, patch_size=8, projection_dim=12), projection_dim=12)
    torch.manual_seed(SEED)
    model = CLIPModel._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.mul_(12 if "embedding" in name else 6)  # random initial weights are so small that all pictures look alike
        model.logit_scale.fill_(LOGIT_SCALE)
    return model, config


class Joint(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, pixel_values, attention_mask):
        out = self.model(input_ids=input_ids, pixel_values=pixel_values, attention_mask=attention_mask)
        return out.logits_per_image, out.logits_per_text, out.text_embeds, out.image_embeds


class Text(Joint):
    def forward(self, input_ids, attention_mask):
        pooled = self.model.text_model(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return self.model.text_projection(pooled)


class Vision(Joint):
    def forward(self, pixel_values):
        return self.model.visual_projection(self.model.vision_model(pixel_values=pixel_values).pooler_output)


def export(module, args, path, inputs, outputs):
    axes = {"input_ids": {0: "text_batch_size"}, "attention_mask": {0: "text_batch_size"}, "pixel_values": {0: "image_batch_size"}}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    torch.onnx.export(module.eval(), args, path, input_names=inputs, output_names=outputs,
                      dynamic_axes={k: v for k, v in axes.items() if k in inputs}, opset_version=17, dynamo=False)
    model = onnx.load(path)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.save(model, path)
    assert os.path.getsize(path) <= 256 * 1024, path
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def save_shared(out, config, processor):
    write_json(f"{out}/preprocessor_config.json", processor)
    write_json(f"{out}/config.json", {"model_type": "clip", "logit_scale_init_value": config.logit_scale_init_value, "projection_dim": config.projection_dim,
                                      "text_config": {"max_position_embeddings": config.text_config.max_position_embeddings}})


def main():
    model, config = build()
    tokenizer = CLIPTokenizer.from_pretrained(f"{TOKENIZER}/plain")
    processor = dict(image_processor_type="CLIPImageProcessor", size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, resample=3)
    length = config.text_config.max_position_embeddings
    encoded = tokenizer(PROMPTS, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    images = CLIPImageProcessorPil(**{k: v for k, v in processor.items() if k != "image_processor_type"})(
        [Image.fromarray(formula(*p)) for p in PICTURES], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        joint = Joint(model)(encoded["input_ids"], images, encoded["attention_mask"])
        ids, mask, pix = encoded["input_ids"][:2], encoded["attention_mask"][:2], images[:3]
        one = export(Joint(model), (ids, pix, mask), f"{TESTS}/tiny/clip/model.onnx", ["input_ids", "pixel_values", "attention_mask"],
                     ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"])
        export(Text(model), (ids, mask), f"{TESTS}/tiny/clip_split/text_model.onnx", ["input_ids", "attention_mask"], ["text_embeds"])
        export(Vision(model), (pix,), f"{TESTS}/tiny/clip_split/vision_model.onnx", ["pixel_values"], ["image_embeds"])
    ort = one.run(None, {"input_ids": encoded["input_ids"].numpy(), "attention_mask": encoded["attention_mask"].numpy(), "pixel_values": images.numpy()})[0]
    assert np.abs(ort - joint[0].numpy()).max() < 1e-4
    for out in ("clip", "clip_split"):
        save_shared(f"{TESTS}/tiny/{out}", config, processor)
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"):
        shutil.copy(f"{TOKENIZER}/plain/{name}", f"{TESTS}/tiny/clip/{name}")
    os.makedirs(f"{TESTS}/tiny/clip_split/tokenizer", exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"{TOKENIZER}/single/{name}", f"{TESTS}/tiny/clip_split/tokenizer/{name}")
    os.makedirs(f"{TESTS}/golden/clip", exist_ok=True)
    logits = joint[0].double().numpy()
    write_json(f"{TESTS}/golden/clip/scores.json", dict(
        made_by="python tests/oracle/clip_reward.py", transformers=transformers.__version__, torch=torch.__version__, seed=SEED,
        pictures=PICTURES, prompts=PROMPTS, logit_scale=float(np.exp(np.float32(LOGIT_SCALE))), logits_per_image=logits.T.tolist()))
    print(np.round(logits.T, 3))


if __name__ == "__main__":
    main()
