"""Scores of image files of every format and mode, for rewards and winnow rank.

    python tests/oracle/reward_files.py

writes tests/golden/rewards/files.json: what two of the networks in tests/tiny/rewards, run by ONNX Runtime, give for the
files of tests/golden/images/decode.json and some more, opened by Pillow and prepared as published: ImageReward resizes
in the mode of the file and converts to RGB afterwards, HPSv2 converts first. Run images.py and rewards.py before.
"""

import base64
import io
import json
import os
import struct
import tempfile
import zlib

import numpy as np
import onnxruntime
import PIL
import torchvision
import transformers
from PIL import Image
from transformers import BertTokenizer

import images
import rewards

PROMPT = "a red circle"


def png(values, depth, colour, *before):
    """A PNG file of raw rows, with chunks before the data."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    h, w = values.shape[:2]
    rows = b"".join(b"\0" + (np.packbits(row).tobytes() if depth == 1 else row.astype(">u2").tobytes()) for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*c) for c in before) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def more():
    """Files that decode.json does not have; sizes above the networks' so that resizing shrinks."""
    big, grey = images.smooth(61, 47, 4), images.smooth(61, 47)[:, :, 0]
    deep = grey.astype(np.uint16) * 2 + 3
    yield "png rgba large", images.encoded(Image.fromarray(big, "RGBA"), "PNG")
    yield "png palette large", images.encoded(Image.fromarray(big[:, :, :3]).quantize(16), "PNG")
    yield "png grey 16 large", png(deep, 16, 0)
    yield "png grey 16 transparent", png(deep, 16, 0, (b"tRNS", struct.pack(">H", int(deep[3, 4]))))
    yield "png one bit transparent", png(grey > 128, 1, 0, (b"tRNS", b"\0\1"))
    yield "png grey alpha large", images.encoded(Image.fromarray(big, "RGBA").convert("LA"), "PNG")
    yield "jpeg cmyk large", images.encoded(Image.fromarray(big, "CMYK"), "JPEG", quality=95)
    ink = images.encoded(Image.fromarray(big, "CMYK"), "JPEG", quality=90, progressive=True)
    at = ink.index(b"Adobe") + 11
    yield "jpeg ycck large", ink[:at] + b"\2" + ink[at + 1:]
    yield "gif grey", images.encoded(Image.fromarray(grey), "GIF")
    yield "gif large", images.encoded(Image.fromarray(big[:, :, :3]).quantize(32), "GIF")
    yield "webp alpha large", images.encoded(Image.fromarray(big, "RGBA"), "WEBP", quality=90)
    separate, associated = (struct.pack("<HHIHH", 338, 3, 1, kind, 0) for kind in (2, 1))  # the tag ExtraSamples
    tiff = images.encoded(Image.fromarray(big, "RGBA"), "TIFF")
    assert separate in tiff
    yield "tiff rgba associated", tiff.replace(separate, associated)
    yield "tiff one bit large", images.encoded(Image.fromarray(grey).convert("1"), "TIFF")
    yield "bmp one bit large", images.encoded(Image.fromarray(grey).convert("1"), "BMP")


def session(folder, name="model"):
    return onnxruntime.InferenceSession(f"{rewards.TESTS}/tiny/rewards/{folder}/{name}.onnx", providers=["CPUExecutionProvider"])


def scorers():
    joint, vision = session("imagereward-v1.0"), session("hpsv2.1", "vision_model")
    words = BertTokenizer.from_pretrained(rewards.BERT, do_lower_case=True)(PROMPT, padding="max_length", truncation=True, max_length=35, return_tensors="np")
    text_net = session("hpsv2.1", "text_model")
    with tempfile.TemporaryDirectory() as tmp:
        ids = rewards.open_clip_tokenizer(tmp)([PROMPT]).numpy()
    text = text_net.run(None, {text_net.get_inputs()[0].name: ids})[0][0]

    def imagereward(image):
        pixels = rewards.torchvision_clip(image, 32)[None].numpy()
        return joint.run(None, {"input_ids": words["input_ids"], "attention_mask": words["attention_mask"], "pixel_values": pixels})[0]

    def hpsv2(image):
        seen = vision.run(None, {"pixel_values": rewards.letterbox(image, rewards.SIDE, True)[None].numpy()})[0][0]
        return seen @ text / np.linalg.norm(seen) / np.linalg.norm(text)

    return {"imagereward-v1.0": imagereward, "hpsv2.1": hpsv2}


def main():
    with open(f"{rewards.TESTS}/golden/images/decode.json", encoding="utf-8") as f:
        files = [(r["name"], base64.b64decode(r["file"]), False) for r in json.load(f)["rows"]]
    files += [(name, data, True) for name, data in more()]
    by, rows = scorers(), []
    for name, data, new in files:
        image = Image.open(io.BytesIO(data))
        image.load()
        row = dict(name=name, mode=image.mode, scores={n: round(float(np.ravel(s(image))[0]), 7) for n, s in by.items()})
        rows.append(row | dict(file=images.b64(data)) if new else row)
    meta = dict(made_by="python tests/oracle/reward_files.py", pillow=PIL.__version__, torchvision=torchvision.__version__,
                transformers=transformers.__version__, onnxruntime=onnxruntime.__version__)
    with open(f"{rewards.TESTS}/golden/rewards/files.json", "w", encoding="utf-8") as f:
        f.write(json.dumps(dict(meta=meta, prompt=PROMPT), indent=1)[:-2] + ',\n "rows": [\n')
        f.write(",\n".join("  " + json.dumps(r) for r in rows) + "\n ]\n}\n")
    for r in rows:
        print(r["mode"], r["name"], r["scores"])


if __name__ == "__main__":
    main()
