"""Golden derivatives of scores with respect to latents, for searches that climb (internal/ldm/gradient.go, sampling).

    python tests/oracle/search_gradients.py

writes tests/gradients/testdata/search.safetensors. The committed ONNX graphs of tests/tiny and of the embedded model are run by an
interpreter in torch in float64, so that torch.autograd gives the derivatives. Latents and embeddings are formulas that the Go test
repeats; for each pipeline P:

  P.score, P.decoded    score of r(decode(x0)) and its derivative with respect to the latents x0
  P.full                derivative of r(decode(x0_hat(x_t))) with respect to x_t, through U-Net and guidance
  P.cheap               the same with the predicted noise for constant
  P.output              prediction under guidance

Metadata "about" holds versions, prompts, timestep, guidance and token ids.
"""

import json
import math
import pathlib

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from safetensors.torch import save_file
from transformers import CLIPTokenizer

OUT = "tests/gradients/testdata/search.safetensors"
PROMPT = "a red circle above a blue square"
TIMESTEP, SCALE, RESCALE = 401, 3.0, 0.4
# folder, latent side, width of the embeddings, prediction, reward
PIPELINES = {
    "sd15": ("tests/tiny/sd15", 8, 32, "epsilon", "clip"),
    "sd2": ("tests/tiny/sd2", 8, 32, "v_prediction", "clip"),
    "sdxl": ("tests/tiny/sdxl", 8, 72, "epsilon", "clip"),
    "mini": ("assets/mini/pipeline", 8, 96, "epsilon", "mini"),
}
FACTOR = {"sd15": 0.18215, "sd2": 0.18215, "sdxl": 0.13025, "mini": None}


def wave(*shape, step, size):
    n = math.prod(shape)
    return torch.from_numpy((size * np.sin(step * np.arange(n) + 0.1)).astype(np.float32)).double().view(shape)


# ---- ONNX in torch ---------------------------------------------------------------------------------------------------


def tensor(t):
    x = torch.from_numpy(np.array(t))
    return x.double() if x.is_floating_point() else x


KINDS = {1: torch.float64, 10: torch.float64, 11: torch.float64, 6: torch.int64, 7: torch.int64, 9: torch.bool}


def ints(t):
    return [int(v) for v in t.reshape(-1)]


def pick(x, starts, ends, axes=None, steps=None):
    starts, ends = ints(starts), ints(ends)
    axes = ints(axes) if axes is not None else list(range(len(starts)))
    steps = ints(steps) if steps is not None else [1] * len(starts)
    for a, s, e, d in zip(axes, starts, ends, steps):
        index = list(range(x.shape[a]))[slice(s, e, d)]
        x = x.index_select(a, torch.tensor(index, dtype=torch.int64))
    return x


def reshape(x, shape):
    return x.reshape([x.shape[i] if v == 0 else v for i, v in enumerate(ints(shape))])


def conv(a, x, w, b=None):
    pads = a.get("pads", [0, 0, 0, 0])
    x = F.pad(x, (pads[1], pads[3], pads[0], pads[2]))
    return F.conv2d(x, w, b, a.get("strides", 1), 0, a.get("dilations", 1), a.get("group", 1))


def resize(a, x, *rest):
    assert a["mode"] == b"nearest" and a["coordinate_transformation_mode"] == b"asymmetric"
    size = ints(rest[2]) if len(rest) > 2 else [int(round(v * s)) for v, s in zip(x.shape, rest[1].tolist())]
    return F.interpolate(x, size=size[2:], mode="nearest")


def gemm(a, x, w, b=None):
    x, w = x.T if a.get("transA") else x, w.T if a.get("transB") else w
    y = a.get("alpha", 1.0) * (x @ w)
    return y if b is None else y + a.get("beta", 1.0) * b


def divide(x, y):
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def squeeze(x, axes=None):
    return x.squeeze() if axes is None else x.squeeze(tuple(ints(axes)))


def unsqueeze(x, axes):
    for v in sorted(ints(axes)):
        x = x.unsqueeze(v)
    return x


def gather(a, x, i):
    axis, i = a.get("axis", 0), torch.where(i < 0, i + x.shape[a.get("axis", 0)], i)
    return x.index_select(axis, i.reshape(-1)).reshape((*x.shape[:axis], *i.shape, *x.shape[axis:][1:]))


def split(a, x, sizes=None):
    if sizes is not None:
        return x.split(ints(sizes), a.get("axis", 0))
    return x.chunk(a.get("num_outputs", 2), a.get("axis", 0))


def mean(a, x, axes=None):
    return x.mean(a.get("axes") or ints(axes), keepdim=bool(a.get("keepdims", 1)))


OPS = {
    "Cast": lambda a, x: x.to(KINDS[a["to"]]), "Shape": lambda a, x: torch.tensor(x.shape)[a.get("start", 0) : a.get("end", None)],
    "Constant": lambda a: tensor(numpy_helper.to_array(a["value"])), "Gather": gather, "Unsqueeze": lambda a, x, i: unsqueeze(x, i),
    "Concat": lambda a, *x: torch.cat(x, a["axis"]), "Reshape": lambda a, x, s: reshape(x, s),
    "ConstantOfShape": lambda a, s: torch.full(ints(s), tensor(numpy_helper.to_array(a["value"])).item()),
    "Mul": lambda a, x, y: x * y, "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Div": lambda a, x, y: divide(x, y),
    "Equal": lambda a, x, y: x == y, "Where": lambda a, c, x, y: torch.where(c, x, y),
    "Expand": lambda a, x, s: x.expand(torch.broadcast_shapes(x.shape, ints(s))), "Sin": lambda a, x: x.sin(), "Cos": lambda a, x: x.cos(),
    "Slice": lambda a, x, *r: pick(x, *r), "Gemm": gemm, "Sigmoid": lambda a, x: x.sigmoid(), "Conv": conv,
    "InstanceNormalization": lambda a, x, w, b: F.instance_norm(x, weight=w, bias=b, eps=a.get("epsilon", 1e-5)),
    "Transpose": lambda a, x: x.permute(a["perm"]),
    "LayerNormalization": lambda a, x, w, b=None: F.layer_norm(x, w.shape, w, b, a.get("epsilon", 1e-5)),
    "MatMul": lambda a, x, y: x @ y, "Sqrt": lambda a, x: x.sqrt(), "Softmax": lambda a, x: x.softmax(a.get("axis", -1)),
    "Erf": lambda a, x: x.erf(), "Resize": resize, "ReduceSum": lambda a, x, i: x.sum(ints(i), keepdim=bool(a.get("keepdims", 1))),
    "Squeeze": lambda a, x, i=None: squeeze(x, i), "Identity": lambda a, x: x, "ReduceMean": mean, "Pow": lambda a, x, y: x**y,
    "Split": split, "Gelu": lambda a, x: F.gelu(x), "Range": lambda a, s, e, d: torch.arange(s.item(), e.item(), d.item()),
    "LessOrEqual": lambda a, x, y: x <= y, "And": lambda a, x, y: x & y, "Flatten": lambda a, x: x.reshape(math.prod(x.shape[: a["axis"]]), -1),
    "ArgMax": lambda a, x: x.argmax(a["axis"], keepdim=bool(a["keepdims"])), "Exp": lambda a, x: x.exp(),
    "ReduceL2": lambda a, x, i=None: x.norm(dim=a.get("axes") or ints(i), keepdim=True),
}


def run(path, output, **inputs):
    """The named output of a graph."""
    g = onnx.load(path).graph
    values = {t.name: tensor(numpy_helper.to_array(t)) for t in g.initializer} | inputs
    for n in g.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
        y = OPS[n.op_type](attributes, *[values[i] if i else None for i in n.input])
        values |= dict(zip(n.output, y if isinstance(y, tuple) else (y,)))
    return values[output]


# ---- pipelines and rewards -------------------------------------------------------------------------------------------


def scorer(kind):
    if kind == "clip":
        folder, side, length = "tests/tiny/clip", 24, 20
        mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
        tok = CLIPTokenizer.from_pretrained(folder)
    else:
        folder, side, length = "assets/mini/reward", 64, 32
        mean, std = [0.5] * 3, [0.5] * 3
        tok = CLIPTokenizer.from_pretrained(folder + "/tokenizer")
    ids = tok(PROMPT, padding="max_length", max_length=length, return_tensors="pt")
    mean, std = torch.tensor(mean).double().view(3, 1, 1), torch.tensor(std).double().view(3, 1, 1)

    def score(pixels):
        picture = (pixels / 2 + 0.5).clamp(0, 1)
        if picture.shape[-1] != side:
            picture = F.interpolate(picture, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
        output = "logits_per_image" if kind == "clip" else "score"
        return run(f"{folder}/model.onnx", output, pixel_values=(picture - mean) / std, input_ids=ids.input_ids,
                   attention_mask=ids.attention_mask).reshape(())

    return score, ids.input_ids[0].tolist()


def one(name):
    folder, side, width, prediction, reward = PIPELINES[name]
    factor = FACTOR[name] or json.loads(pathlib.Path(folder, "vae_decoder/config.json").read_text())["scaling_factor"]
    score, ids = scorer(reward)
    picture_score = lambda x: score(run(f"{folder}/vae_decoder/model.onnx", "sample", latent_sample=x / factor))  # noqa: E731
    x0 = wave(1, 4, side, side, step=0.37, size=0.8).requires_grad_()
    s = picture_score(x0)
    (decoded,) = torch.autograd.grad(s, x0)

    alpha = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2, 0)[TIMESTEP].double()
    hidden = torch.cat([wave(1, 32, width, step=0.53, size=1.0), wave(1, 32, width, step=0.29, size=1.0)])  # negative, positive
    extra = {}
    if name == "sdxl":
        pooled = torch.cat([wave(1, 24, step=0.53, size=0.5), wave(1, 24, step=0.29, size=0.5)])
        extra = {"text_embeds": pooled, "time_ids": torch.tensor([[4.0 * side, 4.0 * side, 0, 0, 4.0 * side, 4.0 * side]] * 2).double()}
    step = torch.tensor(TIMESTEP)
    if name == "sdxl":
        step = step.double()
    elif name != "sd15":
        step = torch.tensor([TIMESTEP] * 2).double()

    def predict(x):
        y = run(f"{folder}/unet/model.onnx", "out_sample", sample=torch.cat([x, x]), timestep=step, encoder_hidden_states=hidden, **extra)
        negative, positive = y.chunk(2)
        guided = negative + SCALE * (positive - negative)
        ratio = positive.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True)
        return RESCALE * guided * ratio + (1 - RESCALE) * guided

    def clean(x, o):
        if prediction == "v_prediction":
            return alpha.sqrt() * x - (1 - alpha).sqrt() * o
        return (x - (1 - alpha).sqrt() * o) / alpha.sqrt()

    xt = wave(1, 4, side, side, step=0.61, size=1.3).requires_grad_()
    o = predict(xt)
    (full,) = torch.autograd.grad(picture_score(clean(xt, o)), xt)
    fixed = clean(xt, o).detach().requires_grad_()
    (cheap,) = torch.autograd.grad(picture_score(fixed), fixed)
    print(name, s.item(), f"|decoded| {decoded.abs().max():.3g} |full| {full.abs().max():.3g} |cheap| {cheap.abs().max() / alpha.sqrt():.3g}", flush=True)
    tensors = {"score": s, "decoded": decoded, "output": o, "full": full, "cheap": cheap / alpha.sqrt()}
    return {f"{name}.{k}": v.detach().float().contiguous() for k, v in tensors.items()}, {"ids": ids, "scaling_factor": factor}


if __name__ == "__main__":
    torch.set_num_threads(1)
    all_tensors, about = {}, {"versions": f"torch {torch.__version__}, onnx {onnx.__version__}", "seed": None,
                              "command": "python tests/oracle/search_gradients.py", "prompt": PROMPT, "timestep": TIMESTEP,
                              "guidance": SCALE, "rescale": RESCALE}
    for name in PIPELINES:
        tensors, more = one(name)
        all_tensors |= tensors
        about[name] = more
    save_file(all_tensors, OUT, metadata={"about": json.dumps(about)})
