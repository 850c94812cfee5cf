"""Golden pixels of Pillow and transformers for internal/imageproc.

    python tests/oracle/images.py

writes tests/golden/images/decode.json (small files of every format with the
RGB bytes that Pillow's convert("RGB") gives) and processor.json (the pixels and
values that CLIPImageProcessorPil makes of computed pictures), and resize.json
(SHA-256 of what Image.resize makes of a computed picture, for every filter) and
jpeg.json (JPEG files of every kind with the SHA-256 of their RGB bytes; noise
has seed 7); tensor.json holds torch's bicubic resize of float tensors.
"""

import base64
import hashlib
import io
import json
import os
import struct
import zlib

import numpy as np
import PIL
import torch
import transformers
from PIL import Image, ImageOps
from transformers.models.clip.image_processing_clip import CLIPImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "images")
COMMAND = "python tests/oracle/images.py"


def smooth(w, h, channels=3):
    """A picture with gradients and edges, so that chroma interpolation shows."""
    y, x = np.mgrid[0:h, 0:w]
    parts = [127 + 120 * np.sin(x / 3.1 + y / 7.3), 255 * x / max(w - 1, 1), np.where((x // 5 + y // 4) % 2 == 0, 230, 25), 255 * y / max(h - 1, 1)]
    return np.stack(parts[:channels], -1).round().clip(0, 255).astype(np.uint8)


def formula(w, h):
    """The same picture is computed in the Go test."""
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    return ((37 * (x + 1) * (c + 2) + 11 * y * y + x * y) % 256).astype(np.uint8)


def b64(data):
    return base64.b64encode(data).decode()


def encoded(image, fmt, **options):
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def frame_on_canvas():
    """A GIF whose first frame leaves canvas free and marks an entry transparent."""
    frame = Image.fromarray((np.arange(6 * 5).reshape(5, 6) % 4).astype(np.uint8), "P")
    frame.putpalette([10, 20, 30, 200, 0, 0, 0, 210, 0, 0, 0, 220] + [0] * 756)
    data = bytearray(encoded(frame, "GIF", transparency=1))
    data[6:10] = bytes([11, 0, 9, 0])
    at = data.index(b"\x2c", data.index(b"\x21\xf9"))
    data[at + 1:at + 5] = bytes([3, 0, 2, 0])
    return bytes(data)


def vertical_only(data):
    """Turns a 4:2:2 file into 4:4:0 by exchanging the sampling factors of luma; its picture is scrambled, but valid."""
    data = bytearray(data)
    at = data.index(b"\xff\xc0")
    assert data[at + 11] == 0x21
    data[at + 11] = 0x12
    return bytes(data)


def png16(values, colour):
    """A 16-bit PNG, which Pillow cannot write in colour; colour is the type of the header."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    h, w = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, colour, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def cases():
    rgb, rgba = Image.fromarray(smooth(23, 17)), Image.fromarray(smooth(23, 17, 4), "RGBA")
    grey = Image.fromarray(smooth(23, 17)[:, :, 0])
    yield "png rgb", encoded(rgb, "PNG")
    yield "png rgba", encoded(rgba, "PNG")
    yield "png grey", encoded(grey, "PNG")
    yield "png grey alpha", encoded(rgba.convert("LA"), "PNG")
    yield "png one bit", encoded(grey.convert("1"), "PNG")
    yield "png palette", encoded(rgb.quantize(16), "PNG")
    yield "png palette transparent", encoded(rgb.quantize(16), "PNG", transparency=bytes([0, 128] + [255] * 14))
    yield "png rgb transparent", encoded(rgb, "PNG", transparency=(127, 0, 230))
    deep = smooth(23, 17, 4).astype(np.uint16) * 257 + 77 * (np.arange(23)[None, :, None] % 3).astype(np.uint16)
    yield "png rgb 16", png16(deep[:, :, :3], 2)
    yield "png rgba 16", png16(deep, 6)
    yield "png grey 16", png16(deep[:, :, 0], 0)
    yield "png grey alpha 16", png16(deep[:, :, :2], 4)
    for ratio, name in ((0, "444"), (1, "422"), (2, "420")):
        for w, h in ((23, 17), (24, 18), (4, 3), (5, 1), (33, 40)):
            yield f"jpeg {name} {w}x{h}", encoded(Image.fromarray(smooth(w, h)), "JPEG", quality=92, subsampling=ratio)
    yield "jpeg 440", vertical_only(encoded(Image.fromarray(smooth(32, 32)), "JPEG", quality=92, subsampling=1))
    yield "jpeg progressive", encoded(Image.fromarray(smooth(40, 33)), "JPEG", quality=85, progressive=True)
    yield "jpeg grey", encoded(grey, "JPEG", quality=90)
    yield "jpeg cmyk", encoded(Image.fromarray(smooth(23, 17, 4), "CMYK"), "JPEG", quality=95)
    for o in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = o
        yield f"jpeg orientation {o}", encoded(Image.fromarray(smooth(19, 11)), "JPEG", quality=90, exif=exif)
    yield "gif", encoded(rgb.quantize(32), "GIF")
    yield "gif canvas", frame_on_canvas()
    yield "gif animated", encoded(rgb.quantize(8), "GIF", save_all=True, append_images=[rgb.transpose(0).quantize(8)], duration=10)
    yield "bmp 24", encoded(rgb, "BMP")
    yield "bmp 8", encoded(rgb.quantize(16), "BMP")
    yield "bmp grey", encoded(grey, "BMP")
    for name, image in (("rgb", rgb), ("rgba", rgba), ("grey", grey), ("one bit", grey.convert("1")), ("palette", rgb.quantize(16)),
                        ("grey 16", Image.fromarray(deep[:, :, 0]))):
        yield f"tiff {name}", encoded(image, "TIFF")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield f"tiff rgb {compression}", encoded(rgb, "TIFF", compression=compression)
    yield "bmp rgba", encoded(rgba, "BMP")
    yield "bmp one bit", encoded(grey.convert("1"), "BMP")
    yield "webp lossless", encoded(rgb, "WEBP", lossless=True)
    yield "webp lossless alpha", encoded(rgba, "WEBP", lossless=True, exact=True)
    for w, h in ((23, 17), (24, 18), (1, 1), (2, 2), (33, 40)):
        yield f"webp lossy {w}x{h}", encoded(Image.fromarray(smooth(w, h)), "WEBP", quality=90)
    yield "webp lossy alpha", encoded(rgba, "WEBP", quality=95)


def decoded(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    rgb = np.asarray(image.convert("RGB"))
    return rgb.shape[1], rgb.shape[0], rgb.tobytes()


def upright(data):
    """Size and digest of the picture turned by its EXIF orientation."""
    rgb = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    return dict(w=rgb.shape[1], h=rgb.shape[0], sha256=hashlib.sha256(rgb.tobytes()).hexdigest())


def jpegs():
    """JPEG files of all samplings, qualities, odd sizes and codings."""
    rng = np.random.default_rng(7)

    def noisy(w, h, channels):
        return (smooth(w, h, channels) + rng.normal(0, 25, (h, w, channels))).clip(0, 255).astype(np.uint8)

    for i, (w, h) in enumerate([(1, 1), (2, 2), (3, 5), (5, 3), (8, 8), (9, 17), (16, 15), (17, 31), (31, 9), (33, 33), (47, 20)]):
        for j, sampling in enumerate(("4:4:4", "4:2:2", "4:2:0", "4:1:1")):
            options = dict(subsampling=sampling, quality=(1, 30, 75, 92, 100)[(i + j) % 5], progressive=(i + j // 2) % 2 == 1, optimize=j % 2 == 1)
            if i % 3 == 2:
                options["restart_marker_blocks"] = 1 + j
            yield f"{sampling} {w}x{h} {options}", encoded(Image.fromarray(noisy(w, h, 3)), "JPEG", **options)
    for side in (3, 16, 17, 31, 33):
        at_once = encoded(Image.fromarray(noisy(side, side, 3)), "JPEG", quality=85, subsampling="4:2:2")
        yield f"4:4:0 {side}", vertical_only(at_once)
    for progressive in (False, True):
        yield f"grey {progressive}", encoded(Image.fromarray(noisy(29, 19, 1)[:, :, 0]), "JPEG", quality=60, progressive=progressive)
        ink = encoded(Image.fromarray(noisy(29, 19, 4), "CMYK"), "JPEG", quality=80, progressive=progressive)
        yield f"CMYK {progressive}", ink
        at = ink.index(b"Adobe") + 11
        yield f"YCCK {progressive}", ink[:at] + b"\2" + ink[at + 1:]
        yield f"RGB {progressive}", encoded(Image.fromarray(noisy(29, 19, 3)), "JPEG", quality=80, progressive=progressive, keep_rgb=True)


SIZES = [(37, 53), (64, 64), (100, 30), (20, 20), (301, 200), (9, 200), (31, 31), (32, 47)]
BACKENDS = {"pillow": CLIPImageProcessorPil, "torchvision": CLIPImageProcessor}
CONFIGS = {
    "clip": dict(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
    "exact": dict(size={"height": 24, "width": 40}, do_center_crop=False, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]),
    "old": dict(size=28, crop_size=24, resample=2),
    "pad": dict(do_resize=False, size={"shortest_edge": 40}, crop_size={"height": 40, "width": 36}, do_normalize=False),
    "lanczos": dict(size={"shortest_edge": 21}, crop_size=21, resample=1),
}


def processed(backend, name, options, w, h):
    make = BACKENDS[backend]
    values = make(**options)(Image.fromarray(formula(w, h)), return_tensors="np")["pixel_values"][0]
    raw = make(**{**options, "do_rescale": False, "do_normalize": False})
    pixels = raw(Image.fromarray(formula(w, h)), return_tensors="np")["pixel_values"][0]
    pixels = np.ascontiguousarray(np.moveaxis(pixels, 0, -1)).astype(np.uint8)
    probe = np.ascontiguousarray(values.astype(np.float32)).reshape(-1)[::97]
    return dict(backend=backend, config=name, w=w, h=h, out=[pixels.shape[1], pixels.shape[0]],
                sha256=hashlib.sha256(pixels.tobytes()).hexdigest(), probe=[float(v) for v in probe])


# Both orders of the passes, one side unchanged, growing and shrinking, single pixels.
RESIZES = [(40, 50, 20, 25), (40, 50, 30, 30), (40, 50, 30, 29), (40, 50, 33, 36), (40, 50, 33, 35), (40, 50, 80, 25), (40, 50, 20, 100), (40, 50, 41, 49),
           (60, 30, 50, 10), (60, 30, 50, 9), (200, 300, 190, 15), (200, 300, 10, 290), (301, 97, 32, 32), (97, 301, 32, 32), (64, 64, 64, 20), (64, 64, 20, 64),
           (7, 5, 4, 3), (7, 5, 11, 9), (1, 1, 5, 7), (9, 1, 4, 3), (2, 3, 1, 1), (130, 170, 224, 292), (333, 500, 224, 336), (256, 171, 336, 224), (20, 20, 40, 24), (65, 33, 13, 11)]


def resized(f, w, h, to_w, to_h):
    rgb = np.asarray(Image.fromarray(formula(w, h)).resize((to_w, to_h), f)).tobytes()
    return dict(filter=f, w=w, h=h, out=[to_w, to_h], sha256=hashlib.sha256(rgb).hexdigest())


def floats(w, h, to_w, to_h, antialias):
    """The first channel as a float tensor, bicubic; every 7th value."""
    plane = torch.from_numpy(formula(w, h)[None, None, :, :, 0].copy()).float() / 255
    out = torch.nn.functional.interpolate(plane, size=(to_h, to_w), mode="bicubic", align_corners=False, antialias=antialias)
    return dict(w=w, h=h, out=[to_w, to_h], antialias=antialias, probe=[float(v) for v in out.reshape(-1)[::7]])


def write(name, head, rows):
    meta = dict(made_by=COMMAND, pillow=PIL.__version__, transformers=transformers.__version__, seed=None, **head)
    with open(f"{OUT}/{name}", "w") as f:
        f.write('{"meta":' + json.dumps(meta) + ',\n"rows":[\n' + ",\n".join(json.dumps(r) for r in rows) + "\n]}\n")


def main():
    os.makedirs(OUT, exist_ok=True)
    rows = []
    for name, data in cases():
        w, h, rgb = decoded(data)
        rows.append(dict(name=name, file=b64(data), w=w, h=h, rgb=b64(rgb)))
        if "orientation" in name:
            rows[-1]["upright"] = upright(data)
    write("decode.json", {}, rows)
    write("processor.json", dict(configs=CONFIGS, probe="every 97th value of the float32 array, channels first"),
          [processed(b, n, c, w, h) for b in BACKENDS for n, c in CONFIGS.items() for w, h in SIZES])
    write("tensor.json", dict(torch=torch.__version__), [floats(*size, a) for size in RESIZES[:-5] for a in (False, True) if size[2] * size[3] < 3000])
    write("jpeg.json", {}, [dict(name=n, file=b64(d), w=decoded(d)[0], h=decoded(d)[1], sha256=hashlib.sha256(decoded(d)[2]).hexdigest()) for n, d in jpegs()])
    write("resize.json", {}, [resized(f, *size) for f in range(6) for size in RESIZES])


if __name__ == "__main__":
    main()
