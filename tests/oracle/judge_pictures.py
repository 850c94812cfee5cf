"""Golden picture sizes of judges, by transformers' own functions.

    python tests/oracle/judge_pictures.py [output file, default tests/golden/judge_pictures.json]

Each case is [width, height of the file, width, height that the model sees, tokens of the picture]; a null in place of the
last three says that the function refuses it. Qwen2-VL and Qwen3-VL: smart_resize. InternVL: get_optimal_tiled_canvas with 1 to
12 tiles of 448, 256 tokens each, and a thumbnail beside more than one. Pixtral: get_resize_output_image_size, a token for each
patch of 16 and one for each row.
"""

import ast
import functools
import importlib.metadata
import importlib.util
import json
import math
import pathlib
import random
import sys

SEED = 20261127


def functions(module, *names):
    """Functions of transformers' source, without importing it, which takes torch and a minute."""
    root = pathlib.Path(importlib.util.find_spec("transformers").origin).parent
    tree = ast.parse((root / "models" / module).read_text())
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    scope = {"math": math, "lru_cache": functools.lru_cache, "ImageInput": None, "ChannelDimension": str, "get_image_size": lambda size, _: size}
    exec(compile(tree, module, "exec"), scope)
    return [scope[n] for n in names]


(smart_resize,) = functions("qwen2_vl/image_processing_qwen2_vl.py", "smart_resize")
get_optimal_tiled_canvas, _ = functions("got_ocr2/image_processing_got_ocr2.py", "get_optimal_tiled_canvas", "get_all_supported_aspect_ratios")
get_resize_output_image_size, _ = functions("pixtral/image_processing_pixtral.py", "get_resize_output_image_size", "_num_image_tokens")


def smart(w, h, factor, least, most):
    try:
        sh, sw = smart_resize(h, w, factor=factor, min_pixels=least, max_pixels=most)
    except ValueError:
        return None
    return [sw, sh, sw * sh // factor**2]


def intern(w, h):
    cols, rows = get_optimal_tiled_canvas((h, w), (448, 448), 1, 12)
    tiles = cols * rows
    return [448 * cols, 448 * rows, 256 * (tiles + (tiles > 1))]


def pixtral(w, h):
    sh, sw = get_resize_output_image_size((h, w), 1024, 16)
    return [sw, sh, sh // 16 * (sw // 16 + 1)]


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/judge_pictures.json")
    rng = random.Random(SEED)
    sizes = [(512, 512), (1024, 1024), (1216, 832), (832, 1216), (1920, 1080), (640, 427), (70, 70), (98, 126), (20, 4000), (1, 1), (1, 200), (1, 201), (448, 448), (897, 449), (3000, 3000)]
    sizes += [(rng.randint(1, 2500), rng.randint(1, 2500)) for _ in range(40)]
    kinds = {
        "qwen2-vl": lambda w, h: smart(w, h, 28, 56 * 56, 1280 * 28 * 28),
        "qwen2-vl, budget 200704": lambda w, h: smart(w, h, 28, 56 * 56, 200704),
        "qwen3-vl": lambda w, h: smart(w, h, 32, 65536, 16777216),
        "internvl": intern,
        "pixtral": pixtral,
    }
    cases = {name: [[w, h, *(f(w, h) or [None])] for w, h in sizes] for name, f in kinds.items()}
    doc = {"transformers": importlib.metadata.version("transformers"), "seed": SEED, "command": "python tests/oracle/judge_pictures.py", "cases": cases}
    out.write_text(json.dumps(doc, separators=(",", ":")).replace('],"', '],\n"') + "\n")


main()
