"""The mini world: scenes of coloured shapes, their renderer, the caption grammar and the exact checker.

Everything is float64 NumPy with explicit formulas, so that the Go port (internal/miniworld) draws the same pictures
and the checker gives the same verdicts. Vocabulary:

scene  what is drawn: {"kind", "objects": [{"shape", "color", "size", "x", "y", "r", "rgb"}], "relation",
       "background": {"kind", ...}}; x, y, r in pixels, y down; rgb and background levels in [0, 1].
spec   what a caption asserts: {"kind", "objects": [{"color", "shape", "size"}], "relation", "background"}; null where
       the caption says nothing.

    python world.py        draws WORLD.png and prints how the checker judges 2,000 clean renderings
"""

import itertools
import math

import numpy as np
from scipy import ndimage

SIZE = 64
COLORS = {
    "red": (0.86, 0.12, 0.14), "orange": (0.97, 0.52, 0.08), "yellow": (0.96, 0.87, 0.16), "green": (0.13, 0.66, 0.22),
    "cyan": (0.16, 0.80, 0.86), "blue": (0.13, 0.27, 0.88), "purple": (0.54, 0.16, 0.74), "pink": (0.98, 0.50, 0.74),
}
COLOR_NAMES = list(COLORS)
PALETTE = np.array([COLORS[c] for c in COLOR_NAMES])
SHAPES = ["circle", "square", "triangle", "star", "ring", "cross"]
SIZES = ["small", "large"]
RADII = {"small": (7.6, 8.6), "large": (11.6, 13.2)}
BACKGROUNDS = ["white", "grey", "black", "gradient", "striped", "checkered"]
RELATIONS = ["left of", "right of", "above", "below"]
KINDS = ["single", "relation", "and", "count", "three"]
KIND_SHARES = [0.28, 0.30, 0.12, 0.18, 0.12]

_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64) + 0.5


# ---------------------------------------------------------------------------------------------------------- drawing

def _box(x, y, half_width, half_height):
    dx, dy = np.abs(x) - half_width, np.abs(y) - half_height
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)


def _star(x, y, r):
    """Five-pointed star after Inigo Quilez, "2D distance functions" (sdStar5), inner ratio 0.45."""
    radius, ratio = 1.15 * r, 0.45
    px, py = np.abs(x), -(y - 0.05 * radius)
    kx, ky = 0.809016994375, -0.587785252292
    t = np.maximum(kx * px + ky * py, 0)
    px, py = px - 2 * t * kx, py - 2 * t * ky
    t = np.maximum(-kx * px + ky * py, 0)
    px, py = px + 2 * t * kx, py - 2 * t * ky
    px, py = np.abs(px), py - radius
    bx, by = ratio * -ky, ratio * kx - 1.0
    h = np.clip((px * bx + py * by) / (bx * bx + by * by), 0, radius)
    return np.hypot(px - bx * h, py - by * h) * np.sign(py * bx - px * by)


def distance(shape, x, y, r):
    """Signed distance in pixels (negative inside) from a centred shape of nominal radius r; y points down."""
    if shape == "circle":
        return np.hypot(x, y) - r
    if shape == "square":
        return _box(x, y, 0.9 * r, 0.9 * r)
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.76 * r) - 0.25 * r
    if shape == "cross":
        return np.minimum(_box(x, y, r, 0.34 * r), _box(x, y, 0.34 * r, r))
    if shape == "triangle":  # upright, equilateral, circumradius 1.2 r, centred on its bounding box
        radius = 1.2 * r
        down = y - 0.25 * radius
        side = math.sqrt(3) / 2
        return np.maximum(np.maximum(down, x * side - 0.5 * down), -x * side - 0.5 * down) - radius / 2
    if shape == "star":
        return _star(x, y, r)
    raise KeyError(shape)


def _background_pixels(background):
    kind = background["kind"]
    if kind in ("white", "grey", "black"):
        return np.full((SIZE, SIZE), background["level"])
    if kind == "gradient":
        return background["top"] + (background["bottom"] - background["top"]) * _Y / SIZE
    low, high = background["low"], background["high"]
    if kind == "striped":
        t = (_Y + background["phase"]) % 16.0
        to_edge = np.minimum(np.abs(t - 8), np.minimum(t, 16 - t))
        return low + (high - low) * np.clip(0.5 + np.where(t < 8, 1, -1) * to_edge, 0, 1)
    cell = (_X // 16).astype(int) + (_Y // 16).astype(int) + int(background["phase"])
    return np.where(cell % 2 == 0, low, high)


def _reach(obj):
    """Distance from the centre to the farthest pixel of the shape, roughly."""
    return obj["r"] * (1.15 if obj["shape"] in ("star", "triangle") else 1.0)


def render(scene):
    """uint8 [64, 64, 3]: background, then the objects in order, each with a one-pixel anti-aliased edge."""
    image = np.repeat(_background_pixels(scene["background"])[..., None], 3, 2)
    for obj in scene["objects"]:
        d = distance(obj["shape"], _X - obj["x"], _Y - obj["y"], obj["r"])
        cover = np.clip(0.5 - d, 0, 1)[..., None]
        image = image * (1 - cover) + np.array(obj["rgb"]) * cover
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


# ----------------------------------------------------------------------------------------------------------- scenes

def random_object(rng):
    return dict(
        shape=SHAPES[rng.integers(6)], color=COLOR_NAMES[rng.integers(8)], size=SIZES[rng.integers(2)],
    )


def _apart(a, b):
    dx, dy = abs(a["x"] - b["x"]), abs(a["y"] - b["y"])
    gap = _reach(a) + _reach(b) + 2.5
    return max(dx, dy) >= gap * 0.98 or math.hypot(dx, dy) >= gap * 1.12


def _ordered(a, b, relation, slope=1.15):
    """Whether a stands in `relation` to b clearly: the offset along the axis exceeds `slope` times the one across."""
    dx, dy = b["x"] - a["x"], b["y"] - a["y"]
    return {
        "left of": dx > abs(dy) * slope, "right of": -dx > abs(dy) * slope,
        "above": dy > abs(dx) * slope, "below": -dy > abs(dx) * slope,
    }[relation]


def place(objects, rng, relation=None):
    """Give every object a radius and a position without overlap; False when 400 tries find none."""
    for attempt in range(400):
        for obj in objects:
            low, high = RADII[obj["size"]]
            high = min(high, 12.4) if len(objects) > 2 else high
            obj["r"] = rng.uniform(low, high) if attempt < 300 else low
            edge = _reach(obj) + 1.5
            obj["x"], obj["y"] = rng.uniform(edge, SIZE - edge), rng.uniform(edge, SIZE - edge)
        if not all(_apart(a, b) for a, b in itertools.combinations(objects, 2)):
            continue
        if relation is None or _ordered(objects[0], objects[1], relation):
            return True
    return False


def _cast(kind, rng):
    """The objects of one scene, or None when the draw does not fit the kind."""
    if kind == "single":
        return [random_object(rng)]
    if kind in ("relation", "and"):
        a, b = random_object(rng), random_object(rng)
        return None if (a["color"], a["shape"]) == (b["color"], b["shape"]) else [a, b]
    if kind == "count":
        n = rng.integers(2, 4)
        obj = random_object(rng)
        return [dict(obj) for _ in range(n)]
    objects = [random_object(rng) for _ in range(3)]
    if sum(o["size"] == "large" for o in objects) > 2 or len({(o["color"], o["shape"]) for o in objects}) < 3:
        return None
    return objects


def random_scene(rng, kind=None):
    """A placed scene without its appearance; "and" scenes also get a relation, which their captions do not tell."""
    kind = kind or str(rng.choice(KINDS, p=KIND_SHARES))
    while True:
        objects = _cast(kind, rng)
        if objects is None:
            continue
        relation = RELATIONS[rng.integers(4)] if kind in ("relation", "and") else None
        if place(objects, rng, relation):
            break
    return dict(kind=kind, objects=objects, relation=relation, background=dict(kind=BACKGROUNDS[rng.integers(6)]))


def dress(scene, rng):
    """Draw the appearance of a scene in place: background levels and each object's colour. Returns the scene."""
    background = scene["background"]
    kind = background["kind"]
    if kind in ("white", "grey", "black"):
        level, jitter = {"white": (0.94, 0.03), "grey": (0.52, 0.05), "black": (0.08, 0.04)}[kind]
        background["level"] = level + rng.uniform(-jitter, jitter)
    elif kind == "gradient":
        background["top"] = 0.92 + rng.uniform(-0.04, 0.04)
        background["bottom"] = 0.18 + rng.uniform(-0.06, 0.06)
    else:
        phase = float(rng.choice([0.0, 8.0])) if kind == "striped" else None
        background["low"] = 0.30 + rng.uniform(-0.03, 0.03)
        background["high"] = 0.72 + rng.uniform(-0.03, 0.03)
        background["phase"] = phase if kind == "striped" else float(rng.integers(0, 2))
    for obj in scene["objects"]:
        obj["rgb"] = np.clip(np.array(COLORS[obj["color"]]) + rng.uniform(-0.04, 0.04, 3), 0, 1).tolist()
    return scene


# --------------------------------------------------------------------------------------------------------- captions

NUMBERS = {2: ["two", "2"], 3: ["three", "3"]}
SIZE_WORDS = {"small": ["small", "little", "tiny"], "large": ["large", "big"]}
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
RELATION_WORDS = {
    "left of": ["left of", "to the left of"], "right of": ["right of", "to the right of"],
    "above": ["above", "on top of"], "below": ["below", "under"],
}
OPENINGS = ["a picture of ", "an image of ", "a drawing of "]


def _mention(obj, rng, drop):
    said = dict(color=obj["color"], shape=obj["shape"], size=obj["size"])
    if drop:
        if rng.random() < 0.45:
            said["size"] = None
        u = rng.random()
        if u < 0.07:
            said["color"] = None
        elif u < 0.14:
            said["shape"] = None
    return said


def describe(scene, rng, drop=True):
    """Choose what a caption of the scene asserts; with drop=False everything."""
    if scene["kind"] == "count":
        said = _mention(scene["objects"][0], rng, drop)
        objects = [dict(said) for _ in scene["objects"]]
    else:
        objects = [_mention(o, rng, drop) for o in scene["objects"]]
    relation = scene["relation"] if scene["kind"] == "relation" else None
    background = None if (drop and rng.random() < 0.4) else scene["background"]["kind"]
    return dict(kind=scene["kind"], objects=objects, relation=relation, background=background)


def _phrase(obj, rng, n=1):
    words = []
    if obj["size"]:
        words.append(str(rng.choice(SIZE_WORDS[obj["size"]])))
    if obj["color"]:
        words.append(obj["color"])
    noun = obj["shape"] or "shape"
    words.append(noun if n == 1 else noun + ("es" if noun == "cross" else "s"))
    if n > 1:
        return str(rng.choice(NUMBERS[n])) + " " + " ".join(words)
    return ("an " if words[0][0] in "aeiou" else "a ") + " ".join(words)


def _subject(spec, rng):
    objects, kind = spec["objects"], spec["kind"]
    if kind == "single":
        return _phrase(objects[0], rng)
    if kind == "relation":
        a, b, relation = objects[0], objects[1], spec["relation"]
        if rng.random() < 0.3:
            a, b, relation = b, a, INVERSE[relation]
        words = RELATION_WORDS[relation]
        return f"{_phrase(a, rng)} {words[0] if rng.random() < 0.7 else words[1]} {_phrase(b, rng)}"
    if kind == "and":
        a, b = objects if rng.random() < 0.5 else objects[::-1]
        return f"{_phrase(a, rng)} {'and' if rng.random() < 0.7 else 'with'} {_phrase(b, rng)}"
    if kind == "count":
        return _phrase(objects[0], rng, len(objects))
    order = rng.permutation(3)
    return f"{_phrase(objects[order[0]], rng)}, {_phrase(objects[order[1]], rng)} and {_phrase(objects[order[2]], rng)}"


def caption(spec, rng):
    """One of the paraphrases of the spec."""
    text = _subject(spec, rng)
    if spec["background"]:
        b = spec["background"]
        text += [f" on a {b} background", f" on {b}", f", {b} background"][int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
    if rng.random() < 0.12:
        text = str(rng.choice(OPENINGS)) + text
    return text


def prompts(count, seed):
    """`count` different (spec, caption) pairs of random scenes."""
    rng, seen, out = np.random.default_rng(seed), set(), []
    while len(out) < count:
        spec = describe(random_scene(rng), rng)
        text = caption(spec, rng)
        if text not in seen:
            seen.add(text)
            out.append((spec, text))
    return out


# ---------------------------------------------------------------------------------------------------------- checker

GRID = 20  # side of a shape's normalised mask
_CROSS = ndimage.generate_binary_structure(2, 1)
_FULL = np.ones((3, 3))


def _bilinear(a, ys, xs):
    """a at the grid of rows ys and columns xs (pixel centres at whole numbers); 0 outside the centres' hull."""
    def taps(v, n):
        inside = (v >= 0) & (v <= n - 1)
        low = np.clip(np.floor(v).astype(int), 0, n - 1)
        return inside, low, np.minimum(low + 1, n - 1), v - low

    iy, y0, y1, fy = taps(ys, a.shape[0])
    ix, x0, x1, fx = taps(xs, a.shape[1])
    fy, fx = fy[:, None], fx[None, :]
    top = a[np.ix_(y0, x0)] * (1 - fx) + a[np.ix_(y0, x1)] * fx
    bottom = a[np.ix_(y1, x0)] * (1 - fx) + a[np.ix_(y1, x1)] * fx
    return np.where(iy[:, None] & ix[None, :], top * (1 - fy) + bottom * fy, 0.0)


def _normalised(mask):
    """A soft mask resampled to GRID x GRID over its bounding square (8 % margin), so that shapes compare by form only."""
    solid = mask > 0.5
    ys, xs = np.where(solid.any(1))[0], np.where(solid.any(0))[0]
    y0, y1, x0, x1 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    side = max(y1 - y0, x1 - x0)
    steps = ((np.arange(GRID) + 0.5) / GRID - 0.5) * side * 1.08
    return _bilinear(mask, (y0 + y1) / 2 + steps - 0.5, (x0 + x1) / 2 + steps - 0.5)


def _make_templates():
    yy, xx = np.mgrid[0:48, 0:48] + 0.5
    out = []
    for shape in SHAPES:
        for r in (7.6, 8.1, 8.6, 11.6, 12.4, 13.2):
            for oy, ox in ((0, 0), (0.5, 0.5), (0, 0.5), (0.5, 0)):
                out.append(_normalised(np.clip(0.5 - distance(shape, xx - 24 - oy, yy - 24 - ox, r), 0, 1)))
    return np.stack(out)


TEMPLATES = _make_templates()
PER_SHAPE = len(TEMPLATES) // len(SHAPES)


def _percentile(values, share):
    v = np.sort(values)
    at = share * (len(v) - 1)
    low = int(math.floor(at))
    high = min(low + 1, len(v) - 1)
    return v[low] + (v[high] - v[low]) * (at - low)


def _components(chroma, nearest, distances):
    """Colour blobs [(mask, colour index)] in raster order, and how many pixels lie in crumbs too small to be objects."""
    labels, n = ndimage.label(chroma > 0.28, structure=_FULL)
    blobs, crumbs = [], 0
    for i in range(1, n + 1):
        mask = labels == i
        if mask.sum() < 18:
            crumbs += int(mask.sum())
            continue
        votes = np.bincount(nearest[mask & (chroma > 0.42)], minlength=8)
        major = [c for c in range(8) if votes[c] >= max(30, 0.25 * votes.sum())]
        if len(major) <= 1:
            if votes.sum() == 0:
                votes = np.bincount(nearest[mask], minlength=8)
            blobs.append((mask, int(votes.argmax())))
            continue
        owner = distances[:, :, major].argmin(2)  # two touching objects: split by the colour that is nearer
        for j, color in enumerate(major):
            parts, count = ndimage.label(mask & (owner == j), structure=_FULL)
            if count:
                sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
                if sizes.max() >= 25:
                    blobs.append((parts == int(sizes.argmax()) + 1, color))
    return blobs, crumbs


def _classify(mask, color, chroma):
    ys, xs = np.where(mask)
    extent = max(ys.max() - ys.min(), xs.max() - xs.min()) + 1
    core = max(_percentile(chroma[mask], 0.8), 0.3)
    soft = np.where(ndimage.binary_dilation(mask, _CROSS), np.clip(chroma / core, 0, 1), 0.0)
    if (soft > 0.5).sum() < 10:
        soft = mask.astype(np.float64)
    m = _normalised(soft)
    iou = np.minimum(m, TEMPLATES).sum((1, 2)) / np.maximum(m, TEMPLATES).sum((1, 2))
    best = iou.reshape(len(SHAPES), PER_SHAPE).max(1)
    k = int(best.argmax())
    return dict(
        color=COLOR_NAMES[color], shape=SHAPES[k], size="large" if extent >= 21 else "small", iou=float(best[k]),
        x=float(xs.min() + xs.max() + 1) / 2, y=float(ys.min() + ys.max() + 1) / 2, extent=int(extent),
    )


def _classify_background(grey, tint_squared, free):
    """(name, residual variance, tint) of the pixels far from any object."""
    rows = np.where(free)[0]
    v = grey[free]
    tint = math.sqrt(tint_squared[free].mean())
    variance, mean = v.var(), v.mean()
    if variance < 0.006:
        return "white" if mean > 0.75 else "black" if mean < 0.28 else "grey", variance, tint
    y = rows + 0.5
    slope = ((y - y.mean()) * (v - mean)).mean() / y.var() if y.var() > 0 else 0.0
    around_line = (v - slope * y).var()
    counts = np.bincount(rows, minlength=SIZE)
    row_means = np.bincount(rows, weights=v, minlength=SIZE) / np.maximum(counts, 1)
    around_rows = (v - row_means[rows]).var()
    if around_line / variance < 0.3 and abs(slope) * SIZE > 0.3:
        return "gradient", around_line, tint
    if around_rows / variance < 0.35:
        return "striped", around_rows, tint
    high = v > mean
    within = v[high].var() * high.sum() + v[~high].var() * (~high).sum()
    return "checkered", within / len(v), tint


def detect(image):
    """What is on a uint8 picture [64, 64, 3]: (objects, background name, clean in [0, 1])."""
    f = image.astype(np.float64) / 255
    chroma = f.max(2) - f.min(2)
    distances = ((f[:, :, None, :] - PALETTE) ** 2).sum(3)
    blobs, crumbs = _components(chroma, distances.argmin(2), distances)
    objects, errors = [], []
    for mask, color in blobs:
        objects.append(_classify(mask, color, chroma))
        inner = ndimage.binary_erosion(mask, _CROSS)
        if inner.sum() > 4:
            errors.append(math.sqrt(((f[inner] - PALETTE[color]) ** 2).mean()))
    free = ~ndimage.binary_dilation(chroma > 0.28, _CROSS, iterations=2)
    if free.sum() < 200:
        return objects, "none", 0.0
    grey = f.sum(2) / 3
    background, residual, tint = _classify_background(grey, ((f - grey[..., None]) ** 2).sum(2), free)
    clean = 0.2 * math.exp(-math.sqrt(residual) * 10 - tint * 6) + 0.1 * math.exp(-crumbs / 12)
    clean += 0.5 * (float(np.mean([o["iou"] for o in objects])) if objects else 0.0)
    clean += 0.2 * math.exp(-max(0.0, float(np.mean(errors)) - 0.03) * 8 if errors else -9)
    return objects, background, float(clean)


def _stands(a, b, relation):
    dx, dy = b["x"] - a["x"], b["y"] - a["y"]
    return {
        "left of": dx > 4 and dx > abs(dy), "right of": -dx > 4 and -dx > abs(dy),
        "above": dy > 4 and dy > abs(dx), "below": -dy > 4 and -dy > abs(dx),
    }[relation]


def _score_assignment(spec, chosen):
    items = []
    for want, found in zip(spec["objects"], chosen):
        items.append(("present", found is not None))
        for key in ("color", "shape", "size"):
            if want[key]:
                items.append((key, found is not None and found[key] == want[key]))
    if spec["relation"]:
        a, b = chosen[0], chosen[1]
        items.append(("relation", a is not None and b is not None and _stands(a, b, spec["relation"])))
    return items


def check(image, spec, detected=None):
    """Score a picture against a spec: {"items", "frac", "strict", "clean", "score"}.

    Objects are bound to the spec by the assignment with the most true items (the first of equals in lexicographic
    order). score = frac + 0.3 clean.
    """
    objects, background, clean = detected or detect(image)
    n = len(spec["objects"])
    slots = objects[:6] + [None] * max(0, n - len(objects))
    best = None
    for chosen in itertools.permutations(slots, n):
        items = _score_assignment(spec, chosen)
        true = sum(ok for _, ok in items)
        if best is None or true > best[0]:
            best = (true, items)
    items = best[1] + [("count", len(objects) == n)]
    if spec["background"]:
        items.append(("background", background == spec["background"]))
    frac = sum(ok for _, ok in items) / len(items)
    return dict(items=items, frac=frac, strict=all(ok for _, ok in items), clean=clean, score=frac + 0.3 * clean)


def main():
    from PIL import Image

    rng = np.random.default_rng(0)
    scenes = [dress(random_scene(rng), rng) for _ in range(2000)]
    images = [render(s) for s in scenes]
    results = [check(i, describe(s, rng, drop=False)) for i, s in zip(images, scenes)]
    for key in ("strict", "frac", "clean"):
        print(key, round(float(np.mean([r[key] for r in results])), 4))
    rows = [np.concatenate(images[k * 10:k * 10 + 10], 1) for k in range(5)]
    Image.fromarray(np.concatenate(rows)).resize((1280, 640), 0).save("WORLD.png")


if __name__ == "__main__":
    main()
