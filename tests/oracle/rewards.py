"""Tiny random-weight rewards of the published architectures, and their scores, for rewards.

    python tests/oracle/rewards.py [FOLDER…]

needs open_clip_torch, ftfy and timm besides requirements.txt. It writes tests/tiny/rewards/NAME with
assets/export/export_onnx.py and tests/golden/rewards/scores.json: scores of 200 computed pictures of five PIL modes,
each by the published code path (transformers; open_clip with the transform of HPSv2; torchvision on PIL images for the
others), from PNG file and prompt to score. With folders named, only those are made anew. SigLIP's tokenizer is trained
here. Run tests/oracle/tokenizer.py and bert_tokenizer.py first.
"""

import gzip
import importlib.util
import io
import json
import os
import sys
import tempfile

import numpy as np
import onnxruntime
import open_clip
import torch
import torchvision
import torchvision.transforms as T
import torchvision.transforms.functional as F
import transformers
from open_clip.model import CLIP as OpenCLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from transformers import BertTokenizer, CLIPConfig, CLIPModel, CLIPTokenizer, SiglipConfig, SiglipModel, SiglipTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import unigram_tokenizer

SEED = 29
HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.join(HERE, "..")
BPE, BERT = f"{TESTS}/golden/tokenizer/plain", f"{TESTS}/golden/tokenizer/bert"
spec = importlib.util.spec_from_file_location("export_onnx", f"{HERE}/../../assets/export/export_onnx.py")
exporter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exporter)

MODES = ["RGB", "RGBA", "P", "L", "I;16"]
SHAPES = [(1, 5), (1, 3), (1, 2), (2, 3), (13, 19), (1, 1), (19, 13), (3, 2), (2, 1), (3, 1), (5, 1)]
PROMPTS = ["a photo of a cat", "a red circle above a blue square", "Naïve café, 4K!", "猫", "rock &amp;amp; roll, “quoted” don’t  ﬁn", "<start_of_text> a dog <|endoftext|> it"]
LENGTH, SIDE = 20, 28


def pictures():
    """mode, width, height and number of each picture."""
    out = []
    for k in range(200):
        a, b = SHAPES[k % len(SHAPES)]
        unit = (7 + (k * 5) % 83) / min(a, b) / 2 + 1
        out.append((MODES[k % len(MODES)], max(1, int(a * unit)), max(1, int(b * unit)), k))
    return out


def picture(mode, w, h, k):
    """The same pictures are computed in the Go test; all in integers."""
    y, x = np.mgrid[0:h, 0:w]
    ch = lambda c: ((x * (3 + k % 5) + y * 5 * (c + 1) + c * 40 + (x * y) // (2 + k % 7) + k * 11) % 256).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(((x * 997 + y * 613 + k * 4001) % 65536).astype(np.uint16))
    if mode == "P":
        img = Image.fromarray(((x // 3 + y // 2 + k) % 17).astype(np.uint8)).convert("L")
        img = Image.frombytes("P", (w, h), img.tobytes())
        img.putpalette([v for i in range(17) for v in ((i * 61 + k) % 256, (i * 97) % 256, (i * 29 + 90) % 256)])
        return img
    planes = [ch(c) for c in range({"L": 1, "RGB": 3, "RGBA": 3}[mode])]
    if mode == "RGBA":
        planes.append(((x * 7 + y * 11 + k * 13) % 256).astype(np.uint8))
    return Image.fromarray(planes[0] if mode == "L" else np.stack(planes, -1))


def from_file(img):
    """What opening the PNG file gives."""
    data = io.BytesIO()
    img.save(data, "png")
    opened = Image.open(io.BytesIO(data.getvalue()))
    opened.load()
    return opened


# --- preparation, as published ---------------------------------------------------------------------------------------

def torchvision_clip(img, side):
    """clip.load's preprocess, also of ImageReward: RGB only after resizing and cropping."""
    return T.Compose([T.Resize(side, interpolation=T.InterpolationMode.BICUBIC), T.CenterCrop(side), lambda i: i.convert("RGB"), T.ToTensor(),
                      T.Normalize(exporter.CLIP_MEAN, exporter.CLIP_STD)])(img)


def letterbox(img, side, antialias):
    """HPSv2's light augmentation, validation: the longer side to side, zeros around; alpha is dropped (there it would fail)."""
    x = F.to_tensor(img.convert("RGB"))
    h, w = x.shape[1:]
    scale = side / float(max(h, w))
    if scale != 1.0:
        size = tuple(round(d * scale) for d in (h, w))
        x = F.resize(x, size, T.InterpolationMode.BICUBIC, antialias=antialias)
    pad_h, pad_w = side - x.shape[1], side - x.shape[2]
    x = F.pad(x, [pad_w // 2, pad_h // 2, pad_w - pad_w // 2, pad_h - pad_h // 2], fill=0)
    return F.normalize(x, exporter.CLIP_MEAN, exporter.CLIP_STD)


# --- tiny networks ---------------------------------------------------------------------------------------------------

def enliven(model, gain=5.0):
    """Random initial weights are so small that all pictures look alike."""
    torch.manual_seed(SEED)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.copy_(torch.randn(p.shape) * gain * 0.02 * (2 if "embed" in name or "position" in name else 1))
            elif name.endswith("bias"):
                p.copy_(torch.randn(p.shape) * 0.05)
    return model.eval()


def tiny_clip(act):
    vocab = json.load(open(f"{BPE}/vocab.json", encoding="utf-8"))
    bos, eos = vocab["<|startoftext|>"], vocab["<|endoftext|>"]
    shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, hidden_act=act)
    config = CLIPConfig(text_config=dict(**shape, vocab_size=len(vocab), max_position_embeddings=LENGTH, bos_token_id=bos, eos_token_id=eos, pad_token_id=eos, projection_dim=12),
                        vision_config=dict(**shape, image_size=SIDE, patch_size=14, projection_dim=12), projection_dim=12)
    model = enliven(CLIPModel._from_config(config, attn_implementation="eager"))
    with torch.no_grad():
        model.logit_scale.fill_(4.6051702)
    return model


def tiny_open_clip():
    model = OpenCLIP(12, CLIPVisionCfg(layers=2, width=16, head_width=8, mlp_ratio=2, patch_size=14, image_size=SIDE),
                     CLIPTextCfg(context_length=LENGTH, vocab_size=964, width=16, heads=2, layers=2))
    return enliven(model)


def open_clip_tokenizer(tmp):
    path = os.path.join(tmp, "bpe.txt.gz")
    with gzip.open(path, "wb") as f:
        f.write(open(f"{BPE}/merges.txt", "rb").read().rstrip(b"\n"))
    return SimpleTokenizer(path, context_length=LENGTH)


def tiny_siglip(vocab):
    shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    config = SiglipConfig(text_config=dict(**shape, vocab_size=vocab, max_position_embeddings=LENGTH, projection_size=16),
                          vision_config=dict(**shape, image_size=SIDE, patch_size=14))
    model = enliven(SiglipModel._from_config(config, attn_implementation="eager"))
    with torch.no_grad():
        model.logit_scale.fill_(4.7651)
        model.logit_bias.fill_(-12.93)
    return model


def siglip_tokenizer(tmp):
    """Width and ligatures made plain, as nmt_nfkc does among much else; its whole table would not fit the folder."""
    rules = [(c, c - 0xFEE0) for c in range(0xFF01, 0xFF5F)] + [(0x3000, 0x20), (0xA0, 0x20), (0x09, 0x20), (0x0A, 0x20)]
    lines = [f"{a:X}\t{b:X}\n" for a, b in rules] + ["FB01\t66 69\n", "65 301\tE9\n", "200B\t\n"]
    with open(f"{tmp}/rules.tsv", "w") as f:
        f.writelines(sorted(lines))
    model = unigram_tokenizer.train(normalization_rule_name="", normalization_rule_tsv=f"{tmp}/rules.tsv", vocab_size=400)
    return SiglipTokenizer.from_pretrained(unigram_tokenizer.folder(tmp, "siglip", model, tokenizer_class="SiglipTokenizer", model_max_length=LENGTH))


def random_head(n):
    torch.manual_seed(SEED + 1)
    head, widths = {}, [n, 24, 16, 8, 4, 1]
    for i, layer in enumerate((0, 2, 4, 6, 7)):
        head[f"layers.{layer}.weight"] = torch.randn(widths[i + 1], widths[i]) / widths[i] ** 0.5
        head[f"layers.{layer}.bias"] = torch.randn(widths[i + 1]) * 0.1
    return head


def apply_head(head, x):
    for layer in (0, 2, 4, 6, 7):
        x = torch.nn.functional.linear(x, head[f"layers.{layer}.weight"], head[f"layers.{layer}.bias"])
    return x.squeeze(-1)


# --- scores ----------------------------------------------------------------------------------------------------------

def unit(x):
    return torch.nn.functional.normalize(x, dim=-1)


def each(text, image):
    """Cosine of picture k and prompt k % len(PROMPTS)."""
    return torch.stack([unit(image[k]) @ unit(text[k % len(PROMPTS)]) for k in range(len(image))])


def hf_ids(prompts):
    return CLIPTokenizer.from_pretrained(BPE)(prompts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")["input_ids"]


def score_hpsv2(out, files):
    """Version 2.1; version 2.0 differs in its weights only."""
    model = tiny_open_clip()
    with tempfile.TemporaryDirectory() as tmp:
        tokenizer = open_clip_tokenizer(tmp)
    exporter.export_hpsv2(out, model, tokenizer, "2.1")
    text = model.encode_text(tokenizer(PROMPTS), normalize=True)
    scores = {}
    for suffix, antialias in (("", True), ("-legacy-resize", False)):
        image = model.encode_image(torch.stack([letterbox(f, SIDE, antialias) for f in files]), normalize=True)
        scores["hpsv2.1" + suffix] = each(text, image)
    return scores


def score_pickscore(out, files):
    model = tiny_clip("gelu")
    exporter.export_clip(out, model, CLIPTokenizer.from_pretrained(BPE), name="pickscore-v1")
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, resample=3)
    # PickScore's time: alpha is dropped. The newest transformers composes onto white instead.
    pixels = processor([f.convert("RGB") for f in files], return_tensors="pt")["pixel_values"]
    image, text = exporter.hf_image(model, pixels), exporter.hf_text(model, hf_ids(PROMPTS))
    return {"pickscore-v1": model.logit_scale.exp() * each(text, image)}


def score_clipscore(out, files):
    model = tiny_clip("quick_gelu")
    exporter.export_clip(out, model, CLIPTokenizer.from_pretrained(BPE), name="clipscore-vit-b-32",
                         formula='2.5·max(cos("A photo depicts " + text, image), 0)', preprocess="torchvision")
    image = exporter.hf_image(model, torch.stack([torchvision_clip(f, SIDE) for f in files]))
    cosines = lambda prefix: each(exporter.hf_text(model, hf_ids([prefix + p for p in PROMPTS])), image)
    formula = lambda c: 2.5 * torch.clamp(c, min=0)
    return {"clipscore-vit-b-32": formula(cosines("A photo depicts ")), "clipscore-vit-b-32-noprefix": formula(cosines(""))}


def score_aesthetic(out, files):
    model, head = tiny_clip("quick_gelu"), random_head(12)
    exporter.export_aesthetic(out, model, head)
    image = exporter.hf_image(model, torch.stack([torchvision_clip(f, SIDE) for f in files]))
    return {"aesthetic-v2": apply_head(head, unit(image))}


def score_imagereward(out, files):
    os.makedirs(out, exist_ok=True)
    vocab = sum(1 for _ in open(f"{BERT}/vocab.txt", encoding="utf-8"))
    vision, text = exporter.imagereward_networks(image_size=32, vocab=vocab + 2, vision=dict(embed_dim=24, depth=2, num_heads=3, mlp_ratio=2), text=dict(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=35))
    vision, text, head = enliven(vision), enliven(text), random_head(16)
    exporter.export_imagereward(out, vision, text, head, f"{BERT}/vocab.txt")
    tokens = BertTokenizer.from_pretrained(BERT, do_lower_case=True)(PROMPTS, padding="max_length", truncation=True, max_length=35, return_tensors="pt")
    scores = []
    for k, f in enumerate(files):
        seen = vision.forward_features(torchvision_clip(f, 32)[None])
        row = k % len(PROMPTS)
        h = text(tokens["input_ids"][row:row + 1], attention_mask=tokens["attention_mask"][row:row + 1], encoder_hidden_states=seen,
                 encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.int64), return_dict=True).last_hidden_state[:, 0]
        scores.append((apply_head(head, h)[0] - 0.16717362830052426) / 1.0333394966054072)
    return {"imagereward-v1.0": torch.stack(scores)}


def score_siglip(out, files):
    with tempfile.TemporaryDirectory() as tmp:
        tokenizer = siglip_tokenizer(tmp)
        model = tiny_siglip(len(tokenizer))
        exporter.export_siglip(out, model, tokenizer)
    ids = tokenizer(PROMPTS, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")["input_ids"]
    # Alpha is dropped, as with PickScore.
    pixels = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})([f.convert("RGB") for f in files], return_tensors="pt")["pixel_values"]
    logits = model(input_ids=ids, pixel_values=pixels).logits_per_image
    logits = torch.stack([logits[k, k % len(PROMPTS)] for k in range(len(files))])
    return {"siglip": logits, "siglip-probability": torch.sigmoid(logits.double())}


def main():
    files = [from_file(picture(*p)) for p in pictures()]
    makers = {"hpsv2.1": score_hpsv2, "pickscore-v1": score_pickscore, "clipscore-vit-b-32": score_clipscore, "aesthetic-v2": score_aesthetic,
              "imagereward-v1.0": score_imagereward, "siglip": score_siglip}
    scores = {}
    if sys.argv[1:]:
        with open(f"{TESTS}/golden/rewards/scores.json", encoding="utf-8") as f:
            scores = {name: torch.tensor(s, dtype=torch.float64) for name, s in json.load(f)["scores"].items()}
    with torch.no_grad():
        for name in sys.argv[1:] or makers:
            torch.manual_seed(SEED)  # parameters that enliven leaves as the constructor made them
            scores |= makers[name](f"{TESTS}/tiny/rewards/{name}", files)
    for name, s in scores.items():
        print(f"{name}: mean {s.mean():.4f} std {s.std():.4f} range {s.min():.4f} {s.max():.4f}")
    os.makedirs(f"{TESTS}/golden/rewards", exist_ok=True)
    meta = dict(made_by="python tests/oracle/rewards.py", torch=torch.__version__, torchvision=torchvision.__version__,
                transformers=transformers.__version__, open_clip=open_clip.__version__, seed=SEED, prompts=PROMPTS)
    rows = ["  " + json.dumps(p) for p in pictures()]
    lists = [f'  "{n}": [{", ".join(f"{v:.8g}" for v in s.double().tolist())}]' for n, s in scores.items()]
    with open(f"{TESTS}/golden/rewards/scores.json", "w", encoding="utf-8") as f:
        f.write(json.dumps(meta, ensure_ascii=False, indent=1)[:-2] + ',\n "pictures": [\n' + ",\n".join(rows) + '\n ],\n "scores": {\n' + ",\n".join(lists) + "\n }\n}\n")


if __name__ == "__main__":
    main()
